"""A network as PyTorch's weights: a state dict as safetensors, and the lines that load it.

The names are those of an nn.ModuleDict with `embedding`, the table of what symbols are fed as;
`rnn`, one module of PyTorch's for all layers, or `rnn_1`, `rnn_2`, ... where layers are of
different kinds; and `head`.  Where the network does not begin at zero, `start`, and of an LSTM
`start_c`, are parameters beside them.

nn.RNN has no sigmoid.  With t = 2 h - 1, which is tanh of half of what h is the sigmoid of,

    h = sigmoid(x Wxh + h Whh + bh)    becomes    t = tanh(x Wxh/2 + t Whh/4 + bh/2 + 1 Whh/4)

and whatever reads h, as in h W + b, reads t: t W/2 + b + 1 W/2.  Halves and quarters are exact;
the biases are rounded, and the file says so.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from carrynet.errors import InputError
from carrynet.exchange.layered import Layer, Layered, Linear, Recurrent, layered
from carrynet.exchange.leaving import IN_SAFETENSORS, Written, library
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network

ARITHMETIC = library("PyTorch")
TRANSFORMED = (
    "nn.RNN has no sigmoid: these are the weights of an equal network of tanh, t = 2 h - 1, whose "
    "biases were rounded once more. The claim is about the weights before that."
)
_MODULES = {"elman": ("RNN", "h"), "gru": ("GRU", "rzn"), "lstm": ("LSTM", "ifgo")}
"""By cell: the module, and its order of gates by their letters in `nets.cells`."""
_HEADS = {"relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def written(network: Network, file: Path, facts: Mapping[str, str]) -> Written:
    """The state dict, with what is to be said of it in its metadata.

    Raises `InputError` for cells that PyTorch has no module for.
    """
    from safetensors.numpy import save

    model = layered(network)
    for layer in model.recurrent:
        usual = layer.cell == "elman" or layer.activation == "tanh"
        if layer.cell not in _MODULES or not usual:
            called = layer.cell if usual else f"{layer.cell} with {layer.activation} for tanh"
            raise InputError(f"PyTorch has no module for {called}: onnx and c take any cell")
    said = dict(facts)
    if any(map(_is_sigmoid, model.recurrent)):
        model = _of_tanh(model)
        said["transformed"] = TRANSFORMED
    tensors, use = _module(model, file.name)
    said["load"] = "\n".join(use)
    arrays = {name: np.ascontiguousarray(array, network.dtype) for name, array in tensors.items()}
    # one key: safetensors writes several in random order
    comment = [f"# {TRANSFORMED}"] * ("transformed" in said)
    return Written(save(arrays, {IN_SAFETENSORS: json.dumps(said)}), (*comment, *use))


# Tanh for sigmoid ------------------------------------------------------------------------


def _is_sigmoid(layer: Recurrent) -> bool:
    return (layer.cell, layer.activation) == ("elman", "sigmoid")


def _of_tanh(model: Layered) -> Layered:
    """The equal network whose Elman layers are of tanh where they were of sigmoid."""
    layers = []
    for below, layer in pairwise((None, *model.recurrent)):
        assert layer is not None
        weights = dict(layer.weights)
        if below is not None and _is_sigmoid(below):
            for name in [name for name in weights if name.startswith("Wx")]:
                bias = f"b{name[2:]}"
                weights[name], weights[bias] = _reading(weights[name], weights[bias])
        if _is_sigmoid(layer):
            W, b = _reading(weights["Whh"], weights["bh"])
            halves = {"Wxh": weights["Wxh"] / 2, "Whh": W / 2, "bh": b / 2}
            start = 2 * layer.start.get("h", np.zeros_like(b)) - 1
            layer = Recurrent("elman", halves, "tanh", {"h": start})
        else:
            layer = replace(layer, weights=weights)
        layers.append(layer)
    head = list(model.head)
    if _is_sigmoid(model.recurrent[-1]):
        if not head or not isinstance(head[0], Linear):
            H = model.hidden
            head.insert(0, Linear(np.eye(H, dtype=model.dtype), np.zeros(H, model.dtype)))
        first = head[0]
        assert isinstance(first, Linear)
        head[0] = Linear(*_reading(first.weight, first.bias))
    return Layered(tuple(layers), tuple(head), embedding=model.embedding)


def _reading(W: Array, b: Array) -> tuple[Array, Array]:
    """The weights that make of t = 2 h - 1 what W and b make of h; sums in float64."""
    bias = b.astype(np.float64) + W.astype(np.float64).sum(axis=0) / 2
    return W / 2, bias.astype(b.dtype)


# The module ------------------------------------------------------------------------------


def _module(model: Layered, file: str) -> tuple[dict[str, Array], tuple[str, ...]]:
    """The state dict, and the lines of Python that make its module, load it and call it."""
    layers = model.recurrent
    kinds = {(layer.cell, layer.activation, layer.hidden) for layer in layers}
    groups = [("", layers)]
    if len(kinds) > 1:
        groups = [(f"_{number}", (layer,)) for number, layer in enumerate(layers, 1)]
    assert model.embedding is not None
    tensors = {"embedding.weight": model.embedding}
    modules = {"embedding": "nn.Embedding({}, {})".format(*model.embedding.shape)}
    parameters, call = [], 'net["embedding"](symbols)'
    for of, group in groups:
        kind, order = _MODULES[group[0].cell]
        H, name = group[0].hidden, f"rnn{of}"
        options = f", num_layers={len(group)}" * (len(group) > 1) + ", batch_first=True"
        if kind == "RNN":
            options += f', nonlinearity="{group[0].activation}"'
        modules[name] = f"nn.{kind}({group[0].inputs}, {H}{options})"
        tensors |= _weights(name, group, order)
        starts = _starts(of, group)
        tensors |= starts
        parameters += [
            f"net.{start} = nn.Parameter(empty({len(group)}, 1, {H}))" for start in starts
        ]
        begin = [f"net.{start}.repeat(1, len(symbols), 1)" for start in starts]
        both = f"({', '.join(begin)})" if len(begin) > 1 else "".join(begin)
        call = f'net["{name}"]({call}{f", {both}" if begin else ""})[0]'
    modules["head"], saved = _head(model.head)
    tensors |= saved
    decide = "logits[..., 0] > 0" if model.outputs == 1 else "logits.argmax(-1)"
    double = ".double()" * (model.dtype == np.float64)
    made = ", ".join(f'"{name}": {module}' for name, module in modules.items())
    lines = (
        f"from torch import {'empty, ' * bool(parameters)}nn",
        "from safetensors.torch import load_file",
        f"net = nn.ModuleDict({{{made}}})",
        *parameters,
        f"net{double}.load_state_dict(load_file({json.dumps(file)}))  # symbols: (batch, time)",
        f'logits = net["head"]({call})  # outputs: {decide}',
    )
    return tensors, lines


def _weights(name: str, layers: Sequence[Recurrent], order: str) -> dict[str, Array]:
    """The tensors of a module of PyTorch's."""
    found: dict[str, Array] = {}
    for k, layer in enumerate(layers):
        weights = layer.weights
        for side, kind in (("ih", "x"), ("hh", "h")):
            columns = [weights[f"W{kind}{gate}"].T for gate in order]
            found[f"{name}.weight_{side}_l{k}"] = np.concatenate(columns)
        biases = np.concatenate([weights[f"b{gate}"] for gate in order])
        second = np.zeros_like(biases)
        if "bhn" in weights:
            second[-layer.hidden :] = weights["bhn"]
        found |= {f"{name}.bias_ih_l{k}": biases, f"{name}.bias_hh_l{k}": second}
    return found


def _starts(of: str, layers: Sequence[Recurrent]) -> dict[str, Array]:
    """The start states of a module, (layers, 1, H) each; none where all are zero."""
    if not any(layer.start for layer in layers):
        return {}
    return {
        f"start{'' if part == 'h' else f'_{part}'}{of}": np.stack(
            [layer.start.get(part, np.zeros(layer.hidden)) for layer in layers]
        )[:, None]
        for part in layers[0].formula().state
    }


def _head(layers: Sequence[Layer]) -> tuple[str, dict[str, Array]]:
    """The head's module, as Python writes it, and its tensors."""
    made: list[str] = []
    tensors: dict[str, Array] = {}
    for i, layer in enumerate(layers):
        if isinstance(layer, str):
            made.append(f"nn.{_HEADS[layer]}()")
            continue
        n, m = layer.weight.shape
        made.append(f"nn.Linear({n}, {m})")
        of = f"head.{i}" if len(layers) > 1 else "head"
        tensors |= {f"{of}.weight": layer.weight.T, f"{of}.bias": layer.bias}
    return (made[0] if len(made) == 1 else f"nn.Sequential({', '.join(made)})"), tensors
