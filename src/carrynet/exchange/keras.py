"""Networks of Keras, without Keras: `.keras`, and HDF5 in the formats of now and of before.

    .keras          a zip file: config.json says the layers, model.weights.h5 has their arrays
    .h5             the older format: an attribute says the layers
    .weights.h5     arrays only: kinds and order of layers by names and shapes (`chains.arranged`)

What a layer is, and what its settings are, the configuration says; every setting is understood, or
known to play no part in answers, or refused by name.  No code of a file is run: a Lambda is
refused.

Left out: both directions, masks, normalisation, models with branches, models of their own class.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from carrynet import files
from carrynet.errors import shorten
from carrynet.exchange.archive import Archive
from carrynet.exchange.chains import LAST, arranged
from carrynet.exchange.found import Found
from carrynet.exchange.hdf5 import Hdf5, read_hdf5
from carrynet.exchange.layered import (
    ACTIVATIONS,
    UNKNOWN,
    Layer,
    Layered,
    Linear,
    Recurrent,
    elman,
    gated,
)
from carrynet.exchange.leaving import IN_KERAS
from carrynet.exchange.pickles import Refused, require
from carrynet.nets.arrays import Array

MOST_LAYERS = 200

_CELLS = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
_INERT = (
    *("Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout"),
    *("ActivityRegularization", "Identity"),
)
ACCEPTED = (
    *("InputLayer", "Embedding", *_CELLS, "RNN", "Dense", "TimeDistributed", "Activation"),
    *("ReLU", "Softmax", *_INERT),
)
_ENDS = {"softmax": "softmax", "log_softmax": "logsoftmax"}

# Settings that play no part in answers: how weights began, how they were trained
_IDLE = re.compile(
    r"name|trainable|seed|implementation|unroll|unit_forget_bias|(recurrent_)?dropout|"
    r"zero_output_for_mask|input_length|batch_input_shape|batch_shape|\w+_initializer|"
    r"\w+_regularizer|\w+_constraint"
)
_PRECISIONS = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")


def read_keras(archive: Archive, found: Found) -> None:
    """The layers of a `.keras` file.  Raises `Refused`, and `InputError` where they do not fit."""
    require("config.json" in archive.members, "it has no config.json, which says its layers")
    config = files.from_json(archive.read("config.json", files.MOST_TEXT))
    contents = read_hdf5(archive.read("model.weights.h5"), found)
    _configured(config, contents, False, found)
    if IN_KERAS in archive.members:
        with suppress(ValueError, RecursionError):
            found.exported(files.from_json(archive.read(IN_KERAS, files.MOST_TEXT)))


def read_keras_h5(data: bytes, found: Found) -> None:
    """The layers of an HDF5 file of Keras's: with their configuration, or of arrays alone."""
    contents = read_hdf5(data, found)
    if contents.config:
        _configured(files.from_json(contents.config), contents, True, found)
    else:
        _unconfigured(contents, found)


# Configurations ----------------------------------------------------------------------


class _Settings:
    """The settings of a layer.  They are taken one by one, so that none is ignored."""

    def __init__(self, kind: str, config: Mapping[str, Any]) -> None:
        self.kind = kind if kind.isprintable() else shorten(kind)
        self.name = str(config.get("name", ""))
        self._left = {key: v for key, v in config.items() if not _IDLE.fullmatch(key)}
        precision = self._left.pop("dtype", None)
        if isinstance(precision, dict):
            inner = precision.get("config")
            plain = precision.get("class_name") in ("DTypePolicy", "Policy")
            precision = inner.get("name") if plain and isinstance(inner, dict) else "another way"
        self.half = str(precision).startswith("mixed") or precision in ("float16", "bfloat16")
        require(
            kind == "InputLayer" or precision in (None, *_PRECISIONS),
            f"{self} computes in {shorten(precision)}, which is not supported",
        )

    def __str__(self) -> str:
        return f"layer {shorten(self.name)}, {self.kind},"

    def take(self, key: str, default: Any) -> Any:
        """A setting of the type of its default."""
        value = self._left.pop(key, default)
        require(
            type(value) is type(default), f"{self} has a setting {key} that is {shorten(value)}"
        )
        return value

    def has(self, key: str) -> bool:
        """Whether there is such a setting that is not taken yet."""
        return key in self._left

    def activation(self, key: str = "activation") -> str:
        """The name of a function."""
        value = self._left.pop(key, None)
        value = "linear" if value is None else value
        require(isinstance(value, str), f"{self} has an {key} of its own")
        return str(value)

    def done(self) -> None:
        """Refuse settings that nobody has taken and that are not off."""
        for key, value in self._left.items():
            require(
                value in (None, False, [], {}, 0),
                f"{self} has {shorten(key)} = {shorten(value, 40)}, which is not accepted",
            )


class _Placed(NamedTuple):
    """A layer of a configuration, and where its arrays are."""

    kind: str
    config: Mapping[str, Any]
    path: str


def _configured(model: Any, contents: Hdf5, older: bool, found: Found) -> None:
    chain = _Chain(contents, older, found)
    for layer in _placed(_layers_of(model), older):
        chain.add(layer)
    chain.finish()


def _layers_of(model: Any) -> list[Mapping[str, Any]]:
    """The layers of a model, in the order in which they are computed."""
    require(isinstance(model, dict), "its configuration is no model's")
    kind, config = model.get("class_name"), model.get("config")
    require(
        kind in ("Sequential", "Functional", "Model"),
        f"it is a {shorten(kind)}: accepted are Sequential and Functional models",
    )
    layers = config.get("layers") if isinstance(config, dict) else config
    require(
        isinstance(layers, list) and all(_is_layer(each) for each in layers),
        "its configuration has no layers",
    )
    assert isinstance(layers, list)
    require(len(layers) <= MOST_LAYERS, f"it has more than {MOST_LAYERS} layers")
    if kind != "Sequential":
        assert isinstance(config, dict)
        _check_chain(layers, config)
    return layers


def _is_layer(layer: Any) -> bool:
    return (
        isinstance(layer, dict)
        and isinstance(layer.get("class_name"), str)
        and isinstance(layer.get("config"), dict)
    )


def _check_chain(layers: list[Any], config: Mapping[str, Any]) -> None:
    """Refuse layers other than a chain, in the order in which they are listed."""
    names = [each.get("name", each["config"].get("name")) for each in layers]
    require(len(set(map(str, names))) == len(names), "it has two layers of one name")
    for place, layer in enumerate(layers):
        what = f"layer {shorten(names[place])}"
        nodes = layer.get("inbound_nodes") or []
        if place == 0:
            require(not nodes, f"{what} is not the input")
            continue
        require(
            isinstance(nodes, list) and len(nodes) == 1,
            f"{what} is used {len(nodes)} times: only chains of layers are accepted",
        )
        came_from = _inbound(what, nodes[0])
        require(
            came_from == [[names[place - 1], 0, 0]],
            f"{what} does not follow on {shorten(names[place - 1])} alone: "
            "only chains of layers are accepted",
        )
    for key, name in (("input_layers", names[0]), ("output_layers", names[-1])):
        ends = config.get(key)
        require(
            ends in ([name, 0, 0], [[name, 0, 0]]),
            f"its {key} are not one: only chains of layers are accepted",
        )


def _inbound(what: str, node: Any) -> list[Any]:
    """What a layer is fed with: names, and which use and which output of the layer."""
    settings: dict[str, Any] = {}
    if isinstance(node, dict):  # Keras 3
        settings = dict(node.get("kwargs") or {})
        tensors = [each for each in node.get("args") or [] if each is not None]
        plain = all(isinstance(each, dict) for each in tensors)
        require(plain, f"{what} is fed with several values: only chains of layers are accepted")
        found = [each["config"]["keras_history"] for each in tensors]
    else:
        node = [node] if node and isinstance(node[0], str) else node
        found = [each[:3] for each in node]
        for each in node:
            settings |= each[3] if len(each) > 3 else {}
    for key, value in settings.items():
        require(value in (None, False), f"{what} is called with {shorten(key)}")
    return found


def _placed(layers: Sequence[Mapping[str, Any]], older: bool) -> list[_Placed]:
    """Layers with the names of the groups that their arrays are in."""
    counts: Counter[str] = Counter()
    found = []
    for layer in layers:
        kind, config = layer["class_name"], layer["config"]
        what = f"layer {shorten(config.get('name'))}"
        own = layer.get("registered_name") or not str(layer.get("module") or "keras").startswith(
            ("keras", "tf_keras", "tensorflow.keras", "builtins")
        )
        require(not own or kind == "Lambda", f"{what} is a {shorten(kind)} of its author's own")
        snake = _snake(kind)
        counts[snake] += 1
        number = counts[snake] - 1
        newer = f"layers/{snake}_{number}" if number else f"layers/{snake}"
        path = f"model_weights/{config.get('name')}" if older else newer
        found.append(_Placed(kind, config, path))
    return found


def _snake(kind: str) -> str:
    """As Keras names groups: `SimpleRNN` is simple_rnn."""
    text = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", text).lower()


class _Chain:
    """A network, to which one layer after the other is added."""

    def __init__(self, contents: Hdf5, older: bool, found: Found) -> None:
        self._contents, self._older, self._found = contents, older, found
        self._used: set[str] = set()
        self._embedding: Array | None = None
        self._before: list[Layer] = []
        self._recurrent: list[Recurrent] = []
        self._head: list[Layer] = []
        self._last = False
        self._ended = ""

    def add(self, layer: _Placed) -> None:
        """Raises `Refused` for a layer that is not accepted."""
        settings = _Settings(layer.kind, layer.config)
        if settings.half and layer.kind not in _INERT:
            self._found.notes.append(f"{settings} computes in half precision, here in float32")
        if layer.kind in _INERT:
            return
        self._check_name(settings, layer.path)
        if layer.kind != "InputLayer":
            require(not self._ended, f"{settings} comes after the softmax")
        match layer.kind:
            case "InputLayer":
                require(not self._recurrent and not self._before, f"{settings} is not the first")
                settings.done()
            case "Embedding":
                self._embed(settings, layer.path)
                settings.done()
            case "Dense":
                self._dense(settings, layer.path)
                settings.done()
            case "TimeDistributed":
                self._distributed(settings, layer)
            case "Activation":
                self._activate(settings, settings.activation())
                settings.done()
            case "ReLU":
                settings.done()  # it has no other slope, and no greatest value
                self._activate(settings, "relu")
            case "Softmax":
                require(settings.take("axis", -1) == -1, f"{settings} is over another axis")
                settings.done()
                self._activate(settings, "softmax")
            case "SimpleRNN" | "GRU" | "LSTM":
                self._along(settings)
                self._cell(settings, layer.kind, f"{layer.path}/cell", layer.path)
                settings.done()
            case "RNN":
                self._rnn(settings, layer)
                settings.done()
            case "Lambda":
                raise Refused(f"{settings} is code of its author's, which is not run")
            case "Masking":
                raise Refused(f"{settings} skips positions, which is not accepted")
            case "Bidirectional":
                raise Refused(f"{settings} reads words backwards, too, which is not accepted")
            case other:
                raise Refused(
                    f"layer {shorten(settings.name)} is a {shorten(other)}: "
                    f"accepted are {', '.join(ACCEPTED)}"
                )

    def finish(self) -> None:
        """The network is complete."""
        for name in self._contents.arrays:
            require(name in self._used, f"{shorten(name)} belongs to no layer that is known")
        if self._last:
            self._found.notes.append(LAST)
        self._found.layers = Layered(
            tuple(self._recurrent),
            tuple(self._head),
            tuple(self._before),
            self._embedding,
            self._ended,
        )

    # Arrays --------------------------------------------------------------------------

    def _check_name(self, settings: _Settings, path: str) -> None:
        """Keras writes beside a layer's arrays what it was called."""
        called = self._contents.names.get(f"{path}/vars")
        require(
            called in (None, settings.name),
            f"{settings} has its arrays where those of {shorten(called)} are",
        )

    def _arrays(self, settings: _Settings, path: str, roles: Sequence[str]) -> dict[str, Array]:
        """A layer's arrays by what they are for: numbered, or in the older format named."""
        found: dict[str, Array] = {}
        if self._older:
            for name in self._contents.under(path):
                role = name.rpartition("/")[2].partition(":")[0]
                require(role in roles and role not in found, f"{settings} has {shorten(name)}")
                found[role] = self._contents.arrays[name]
                self._used.add(name)
            return found
        for k, role in enumerate(roles):
            name = f"{path}/vars/{k}"
            if name in self._contents.arrays:
                found[role] = self._contents.arrays[name]
                self._used.add(name)
        return found

    # Layers --------------------------------------------------------------------------

    def _append(self, layer: Layer) -> None:
        (self._head if self._recurrent else self._before).append(layer)

    def _activate(self, settings: _Settings, name: str) -> None:
        if name in _ENDS:
            require(bool(self._recurrent), f"{settings} is a softmax before the first cell")
            self._ended = _ENDS[name]
        elif name != "linear":
            require(
                name in ACTIVATIONS,
                f"{settings} has the activation {shorten(name)}: accepted are linear, "
                f"{', '.join((*ACTIVATIONS, *_ENDS))}",
            )
            self._append(name)

    def _embed(self, settings: _Settings, path: str) -> None:
        first = self._embedding is None and not (self._before or self._recurrent)
        require(first, f"{settings} is not the first layer")
        require(
            not settings.take("mask_zero", False),
            f"{settings} has mask_zero, so that positions are skipped: that is not accepted",
        )
        table = self._arrays(settings, path, ("embeddings",)).get("embeddings")
        sizes = (settings.take("input_dim", 0), settings.take("output_dim", 0))
        if table is None or table.shape != sizes:
            raise Refused(f"{settings} has no array of shape {sizes}")
        self._embedding = table

    def _dense(self, settings: _Settings, path: str) -> None:
        arrays = self._arrays(settings, path, ("kernel", "bias"))
        kernel, units = arrays.get("kernel"), settings.take("units", 0)
        use_bias = settings.take("use_bias", True)
        require(
            ("bias" in arrays) == use_bias, f"{settings} has a bias where it should not, or none"
        )
        if kernel is None or kernel.ndim != 2 or kernel.shape[1] != units:
            raise Refused(f"{settings} has no kernel for {units} units")
        bias = arrays.get("bias", np.zeros(units, kernel.dtype))
        require(bias.shape == (units,), f"{settings} has a bias of shape {bias.shape}")
        self._append(Linear(kernel, bias))
        self._activate(settings, settings.activation())

    def _distributed(self, settings: _Settings, layer: _Placed) -> None:
        inner = settings.take("layer", {})
        settings.done()
        require(not self._last, f"{settings} comes after an answer that is the last one's")
        require(_is_layer(inner), f"{settings} has no layer")
        require(
            inner["class_name"] in ("Dense", "Activation", "ReLU", "Softmax", *_INERT)
            and not inner.get("registered_name"),
            f"{settings} has a {shorten(inner['class_name'])}: accepted is Dense",
        )
        path = layer.path if self._older else f"{layer.path}/layer"
        # what is in it is called otherwise than it is itself
        self.add(_Placed(inner["class_name"], inner["config"], path))

    def _along(self, settings: _Settings) -> None:
        """What layers do with a whole word."""
        require(not self._last, f"{settings} reads what is the last answer of the layer below")
        require(not self._head, f"{settings} comes after layers that are not recurrent")
        require(
            not settings.take("go_backwards", False),
            f"{settings} has go_backwards, which is not accepted",
        )
        require(
            not settings.take("time_major", False),
            f"{settings} has time_major, which is not accepted",
        )
        self._last = not settings.take("return_sequences", False)
        settings.take("return_state", False)  # states, which no layer that is accepted reads
        if settings.take("stateful", False):
            self._found.notes.append(f"{settings} is stateful: words are taken to begin with zero")

    def _rnn(self, settings: _Settings, layer: _Placed) -> None:
        """Cells that are put into a layer."""
        self._along(settings)
        cell = settings.take("cell", {})
        require(_is_layer(cell), f"{settings} has no cell")
        path = f"{layer.path}/cell"
        cells, paths = [cell], [path]
        if cell["class_name"] == "StackedRNNCells":
            cells = cell["config"].get("cells", [])
            require(
                isinstance(cells, list) and all(map(_is_layer, cells)) and not self._older,
                f"{settings} has cells that are not accepted",
            )
            require(len(cells) <= MOST_LAYERS, f"{settings} has too many cells")
            placed = _placed(cells, False)
            paths = [f"{path}/cells/{each.path.removeprefix('layers/')}" for each in placed]
        for each, place in zip(cells, paths, strict=True):
            kind = each["class_name"].removesuffix("Cell")
            require(
                kind in _CELLS and kind != each["class_name"] and not each.get("registered_name"),
                f"{settings} has the cell {shorten(each['class_name'])}: accepted are "
                "SimpleRNNCell, GRUCell, LSTMCell",
            )
            inner = _Settings(each["class_name"], each["config"])
            self._cell(inner, kind, place, layer.path)
            inner.done()

    def _cell(self, settings: _Settings, kind: str, path: str, older: str) -> None:
        roles = ("kernel", "recurrent_kernel", "bias")
        arrays = self._arrays(settings, older if self._older else path, roles)
        units = settings.take("units", 0)
        activation = settings.activation()
        require(
            activation in ACTIVATIONS,
            f"{settings} has the activation {shorten(activation)}: accepted are "
            f"{', '.join(ACTIVATIONS)}",
        )
        if kind != "SimpleRNN":
            gates = settings.activation("recurrent_activation")
            require(
                gates == "sigmoid",
                f"{settings} has the recurrent_activation {shorten(gates)}: accepted is sigmoid",
            )
        after = None
        if kind == "GRU":  # files of long ago do not say it
            after = settings.take("reset_after", False) if settings.has("reset_after") else None
        use_bias = settings.take("use_bias", True)
        require(
            ("bias" in arrays) == use_bias, f"{settings} has a bias where it should not, or none"
        )
        cell, _ = _cell_of(str(settings), kind, arrays, activation, after)
        require(cell.hidden == units, f"{settings} has arrays of {cell.hidden} units, not {units}")
        self._recurrent.append(cell)


def _cell_of(
    what: str, kind: str, arrays: Mapping[str, Array], activation: str, after: bool | None
) -> tuple[Recurrent, list[str]]:
    """A cell of its arrays, and what is assumed; `after` is None where it is not told."""
    kernel, second = arrays.get("kernel"), arrays.get("recurrent_kernel")
    if kernel is None or second is None or kernel.ndim != 2 or second.ndim != 2:
        raise Refused(f"{what} does not have the arrays of a {kind}")
    H, wide = second.shape[0], _CELLS[kind] * second.shape[0]
    bias = arrays.get("bias")
    if bias is not None and kind == "GRU" and after is None:
        after = bias.ndim == 2
    assumed = []
    if kind == "GRU" and after is None:
        assumed.append(f"{what} is taken to have reset_after")
        after = True
    shape = (2, wide) if after else (wide,)
    bias = np.zeros(shape, kernel.dtype) if bias is None else bias
    require(
        H > 0 and kernel.shape[1] == second.shape[1] == wide and bias.shape == shape,
        f"{what} has arrays of shapes {kernel.shape}, {second.shape}, {bias.shape}",
    )
    if kind == "SimpleRNN":
        return elman(kernel, second, bias, activation=activation), assumed
    if kind == "LSTM":
        return gated("lstm", "ifgo", kernel, second, bias, None, activation), assumed
    if after:
        return gated("gru", "zrn", kernel, second, bias[0], bias[1], activation), assumed
    return gated("gru-reset-before", "zrn", kernel, second, bias, None, activation), assumed


# Arrays alone ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """The arrays of one layer."""

    path: str
    arrays: Mapping[str, Array]  #: by number or by name


def _groups(contents: Hdf5) -> list[_Group]:
    found: dict[str, dict[str, Array]] = {}
    for name, array in contents.arrays.items():
        path, _, last = name.rpartition("/")
        found.setdefault(path.removesuffix("/vars"), {})[last.partition(":")[0]] = array
    return [_Group(path, arrays) for path, arrays in found.items()]


def _unconfigured(contents: Hdf5, found: Found) -> None:
    """Layers by the names of groups and the shapes of arrays."""
    embeddings: dict[str, Array] = {}
    linear: dict[str, Linear] = {}
    cells: dict[str, Recurrent] = {}
    for group in _groups(contents):
        what = f"the layer {shorten(group.path)}"
        require(
            not re.search(r"backward|forward|bidirectional", group.path),
            f"{what} reads words in one of two directions, which is not accepted",
        )
        arrays = _in_roles(group)
        if "recurrent_kernel" in arrays:
            kind = _kind(what, group.path, arrays)
            activation = UNKNOWN if kind == "SimpleRNN" else "tanh"
            cell, assumed = _cell_of(what, kind, arrays, activation, None)
            cells[group.path] = cell
            found.notes += assumed
            if kind != "SimpleRNN":
                found.notes.append(f"{what} is taken to have tanh, and gates of sigmoid")
        elif "embeddings" in arrays:
            embeddings[group.path] = arrays["embeddings"]
        elif "kernel" in arrays:
            kernel = arrays["kernel"]
            bias = arrays.get("bias", np.zeros(kernel.shape[-1], kernel.dtype))
            fits = kernel.ndim == 2 and bias.shape == kernel.shape[1:]
            require(fits, f"{what} is no Dense: it has {_shapes(arrays)}")
            linear[group.path] = Linear(kernel, bias)
        else:
            raise Refused(f"{what} is of an unknown kind: it has {_shapes(group.arrays)}")
    found.layers = arranged(embeddings, linear, cells)


def _in_roles(group: _Group) -> dict[str, Array]:
    """The arrays by what they are for; none where that cannot be told."""
    known = {"kernel", "recurrent_kernel", "bias", "embeddings"}
    if known.issuperset(group.arrays):
        return dict(group.arrays)
    numbered = [group.arrays.get(str(k)) for k in range(len(group.arrays))]
    arrays = [array for array in numbered if array is not None]
    ranks = [array.ndim for array in arrays]
    if len(arrays) < len(group.arrays):
        return {}
    if ranks in ([2, 2], [2, 2, 1], [2, 2, 2]):
        return dict(zip(("kernel", "recurrent_kernel", "bias"), arrays, strict=False))
    if ranks == [2] and re.search(r"embedding", group.path):
        return {"embeddings": arrays[0]}
    return dict(zip(("kernel", "bias"), arrays, strict=False)) if ranks in ([2], [2, 1]) else {}


def _kind(what: str, path: str, arrays: Mapping[str, Array]) -> str:
    """Which cell, by how many gates there are; names must not contradict it."""
    kernel = arrays["recurrent_kernel"]
    gates = kernel.shape[1] // kernel.shape[0] if kernel.ndim == 2 and kernel.shape[0] else 0
    kind = next((kind for kind, count in _CELLS.items() if count == gates), "")
    require(bool(kind), f"{what} is of an unknown kind: it has {_shapes(arrays)}")
    named = [k for k in _CELLS if re.search(rf"(^|/){_snake(k)}(_cell)?(_\d+)?(/|$)", path)]
    require(named in ([], [kind]), f"{what} is called otherwise than its {gates} gates are")
    return kind


def _shapes(arrays: Mapping[str, Array]) -> str:
    shown = ", ".join(str(array.shape) for array in list(arrays.values())[:4])
    return f"arrays of shapes {shown}"
