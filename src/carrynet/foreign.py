"""Networks that others trained: which of their tensors are carrynet's weights, and how.

A `Mapping` says it; `guess` finds it for files with carrynet's own names and for
`torch.nn.RNN` or `RNNCell` with an `nn.Linear` readout; `to_network` follows it.

    PyTorch:   h' = f(W_ih x + b_ih + W_hh h + b_hh),   logits = W h' + b     columns
    carrynet:  h' = f(x Wxh + h Whh + bh),              logits = h' Why + by  rows

so that Wxh = W_ih^T (X, H), Whh = W_hh^T (H, H), bh = b_ih + b_hh (H,), Why = W^T (H, Y)
and by = b (Y,).

Left out: inputs in another order or coding than carrynet's (`problems.tables`), initial
states other than zero, LSTM, GRU, several layers, both directions.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches

import numpy as np

from carrynet.cells import Array
from carrynet.errors import InputError, shorten, unknown
from carrynet.network import Network, Weights
from carrynet.tasks import Task
from carrynet.tensor_files import Tensors, read

__all__ = ["Mapping", "guess", "guess_activation", "read", "to_network", "unused"]


@dataclass(frozen=True)
class Mapping:
    """How named tensors become carrynet's weights.

    Each weight is a tensor's name, `NAME.T` for its transpose, or a sum of such,
    joined by `+`.  A bias left empty is zero.  For a task with binary output,
    `Why` may have two columns, the logits of 0 and of 1, of which the larger
    wins; and the output is 1 where the logit (of 1 less that of 0, if there are
    two) exceeds `threshold`.  A network that answers 1 where sigmoid(logit) > p
    has the threshold log(p / (1 - p)).

    Each holds only what is said: `guess` adds the rest.

    >>> Mapping.parse(["Wxh=weight_ih_l0.T,bh=bias_ih_l0+bias_hh_l0", "threshold=0.5"])
    Mapping(Wxh='weight_ih_l0.T', Whh='', bh='bias_ih_l0+bias_hh_l0', Why='', by='', threshold=0.5)
    >>> print(_)
    Wxh=weight_ih_l0.T,bh=bias_ih_l0+bias_hh_l0,threshold=0.5
    """

    Wxh: str = ""  #: (X, H)
    Whh: str = ""  #: (H, H)
    bh: str = ""  #: (H,)
    Why: str = ""  #: (H, Y)
    by: str = ""  #: (Y,)
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise InputError(f"threshold {self.threshold} is not finite")

    def __str__(self) -> str:
        said = ((f.name, getattr(self, f.name)) for f in fields(self))
        return ",".join(f"{key}={value}" for key, value in said if value)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Mapping":
        """A mapping from texts `KEY=EXPRESSION`, each one or several with commas between.

        Raises `InputError` for unknown keys, and for keys without or with two expressions.
        """
        keys = [f.name for f in fields(cls)]
        comma = rf",(?=\s*(?:{'|'.join(keys)})\s*=)"  # names may have commas, too
        said: dict[str, str] = {}
        for part in (part for text in texts for part in re.split(comma, text)):
            key, _, expression = (piece.strip() for piece in part.partition("="))
            if key not in keys:
                raise unknown("weight", key, keys)
            if not expression:
                raise InputError(f"{key} needs the name of a tensor: {key}=NAME or {key}=NAME.T")
            if key in said:
                raise InputError(f"{key} is given twice")
            said[key] = expression
        text = said.pop("threshold", "0")
        try:
            threshold = float(text)
        except ValueError:
            raise InputError(f"threshold {shorten(text)} is not a number") from None
        return cls(**said, threshold=threshold)

    @property
    def weights(self) -> Iterator[tuple[str, str]]:
        """The weights that are said: name and expression."""
        return ((key, getattr(self, key)) for key in Weights._fields if getattr(self, key))


def to_network(tensors: Tensors, task: Task, activation: str, mapping: Mapping) -> Network:
    """The network that a mapping makes of tensors, computing as the original does up to rounding.

    Sums are taken in float64.  With two logits for a binary output and a threshold c,

        Why = Why[:, 1] - Why[:, 0],    by = by[1] - by[0] - c

    The weights are float64 if a tensor they are made of is, else float32.  Raises
    `InputError` when names, shapes or numbers do not fit.
    """
    for key in ("Wxh", "Whh", "Why"):
        if not getattr(mapping, key):
            raise InputError(f"no tensor is said to be {key}: {_USAGE}")
    if mapping.threshold and task.readout != "bits":
        raise InputError(f"task {task.text} picks the largest of its logits: no threshold")
    X, Y = task.inputs, task.neurons
    made = {key: _evaluate(key, expression, tensors) for key, expression in mapping.weights}
    H = made["Whh"].shape[-1] if made["Whh"].ndim else 0
    if Y == 1 and made["Why"].shape in {(H, 2), (2, H)}:
        Y = 2  # of which the larger wins
    for key, shape in {"Whh": (H, H), "Wxh": (X, H), "bh": (H,), "Why": (H, Y), "by": (Y,)}.items():
        if key in made:
            made[key] = _fit(key, made[key], shape, mapping, task)
        else:
            made[key] = np.zeros(shape)
    if task.neurons < Y:
        made["Why"] = made["Why"][:, 1:] - made["Why"][:, :1]
        made["by"] = made["by"][1:] - made["by"][:1]
    made["by"] = made["by"] - mapping.threshold
    used = {tensors[name].dtype for name in _names(mapping, tensors)}
    dtype = np.dtype("float64" if np.dtype("float64") in used else "float32")
    with np.errstate(over="ignore"):  # `Network` refuses what is not finite
        weights = Weights(**{key: array.astype(dtype, order="C") for key, array in made.items()})
    return Network(task, activation, weights)


def _fit(key: str, array: Array, shape: tuple[int, ...], mapping: Mapping, task: Task) -> Array:
    if len(shape) == 1 and array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)  # a bias kept as a row or as a column
    if array.shape == shape and array.size:
        return array
    expression = getattr(mapping, key)
    wanted = {
        "Whh": "a square (H, H)",
        "Wxh": f"{shape}: task {task.text} has {shape[0]} inputs, Whh {shape[-1]} hidden units",
        "Why": f"{shape}: Whh has {shape[0]} hidden units, task {task.text} {task.neurons} "
        f"output neuron{'s' * (task.neurons > 1)}",
    }.get(key, str(shape))
    hint = ""
    if array.shape == shape[::-1] and "+" not in expression:
        turned = expression[:-2] if expression.endswith(".T") else f"{expression}.T"
        hint = f"; its transpose fits, {key}={_shown(turned)}"
        if key == "Wxh":
            hint += ", and Whh may need the same, which its shape cannot show"
    shown = f"{key}={_shown(expression)}"
    raise InputError(f"{shown} has shape {array.shape}, but must have {wanted}{hint}")


# Expressions -------------------------------------------------------------------------


def _terms(key: str, expression: str, tensors: Tensors) -> Iterator[tuple[str, bool]]:
    """The tensors that an expression adds: name, and whether transposed."""
    # a name that a tensor has is a name, whatever it looks like
    whole = expression in tensors or expression.removesuffix(".T") in tensors
    for term in [expression] if whole else expression.split("+"):
        term = term.strip()
        name = term if term in tensors else term.removesuffix(".T")
        if name not in tensors:
            nearest = get_close_matches(name, tensors, n=1, cutoff=0.5)
            hint = f" did you mean {shorten(nearest[0])}?" if nearest else ""
            raise InputError(
                f"{key}: there is no tensor {shorten(name)};{hint} there are {_listing(tensors)}"
            )
        yield name, name != term


def _evaluate(key: str, expression: str, tensors: Tensors) -> Array:
    total: Array | None = None
    for name, transposed in _terms(key, expression, tensors):
        tensor = tensors[name]
        if tensor.dtype not in (np.float32, np.float64):
            raise InputError(f"{key}: {shorten(name)} holds {tensor.dtype}, not weights")
        term = (tensor.T if transposed else tensor).astype(np.float64)
        if total is not None and total.shape != term.shape:
            raise InputError(
                f"{key}: {shorten(name)} of shape {term.shape} is added to shape {total.shape}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            total = term if total is None else total + term
    assert total is not None  # an expression has a term
    return total


def _names(mapping: Mapping, tensors: Tensors) -> set[str]:
    return {
        name for key, expression in mapping.weights for name, _ in _terms(key, expression, tensors)
    }


def unused(tensors: Tensors, mapping: Mapping) -> list[str]:
    """The names of the tensors that a mapping leaves out."""
    return sorted(tensors.keys() - _names(mapping, tensors))


def _shown(text: str) -> str:
    """An expression to be copied, unless a name in it would write to the terminal's controls."""
    return text if text.isprintable() else shorten(text)


def _listing(tensors: Tensors, names: Iterable[str] | None = None, most: int = 12) -> str:
    """Tensors with their shapes, fit for a terminal."""
    chosen = list(tensors if names is None else names)
    shown = [f"{shorten(name)} {tensors[name].shape}" for name in chosen[:most]]
    if len(chosen) > most:
        shown.append(f"{len(chosen) - most} more")
    return ", ".join(shown)


# Guessing ----------------------------------------------------------------------------

_USAGE = "say it with --map, as in --map Wxh=weight_ih_l0.T --map bh=bias_ih_l0+bias_hh_l0"

_CELL = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<part>(?:weight|bias)_(?:ih|hh))(?P<layer>_l\d+)?(?P<reverse>_reverse)?",
    re.DOTALL,
)


def guess(tensors: Tensors, task: Task, given: Mapping | None = None) -> Mapping:
    """Which tensors are the weights, by their names and shapes; what is given stays.

    The cell is guessed unless `given` says Wxh and Whh, the readout unless it says
    Why.  Raises `InputError`, never settles for one of several: also when a tensor
    has no place in the mapping, unless the caller has said some of it.
    """
    given = found = given or Mapping()
    if not (given.Wxh and given.Whh):
        found = _overlay(_guess_cell(tensors), found)
    if not given.Why:
        found = _overlay(_guess_readout(tensors, task, found), found)
    rest = unused(tensors, found)
    if rest and not any(given.weights):
        raise InputError(
            f"{_listing(tensors, rest)} would have no place in the network: if that is right, "
            f"say which tensors have, --map '{_shown(str(found))}'"
        )
    return found


def guess_activation(mapping: Mapping) -> str:
    """That of the cell whose names the weights have: PyTorch's own default, or carrynet's."""
    terms = (term.strip().removesuffix(".T") for term in mapping.Whh.split("+"))
    return "tanh" if any(_CELL.fullmatch(term) for term in terms) else "sigmoid"


def _overlay(guessed: Mapping, said: Mapping) -> Mapping:
    return replace(guessed, **dict(said.weights), threshold=said.threshold)


def _guess_cell(tensors: Tensors) -> Mapping:
    if {"Wxh", "Whh"} <= tensors.keys():
        return Mapping("Wxh", "Whh", "bh" if "bh" in tensors else "")
    matches = [match for name in tensors if (match := _CELL.fullmatch(name))]
    for match in matches:
        name, shape = match[0], tensors[match[0]].shape
        if (
            match["part"] == "weight_hh"
            and len(shape) == 2
            and shape[0] in (3 * shape[1], 4 * shape[1])
        ):
            kind = "a GRU" if shape[0] == 3 * shape[1] else "an LSTM"
            raise InputError(
                f"{shorten(name)} of shape {shape} is of {kind}: only simple recurrent networks, "
                "torch.nn.RNN or RNNCell, can be taken"
            )
    prefixes = sorted({match["prefix"] for match in matches})
    if len(prefixes) > 1:
        shown = ", ".join(shorten(prefix) for prefix in prefixes[:12])
        raise InputError(f"there are {len(prefixes)} recurrent cells, {shown}: {_USAGE}")
    if any(match["reverse"] for match in matches):
        raise InputError("the network runs in both directions: only one, forward, can be taken")
    layers = sorted({match["layer"] or "" for match in matches})
    if len(layers) > 1:
        raise InputError(f"the network has {len(layers)} recurrent layers: only one can be taken")
    names = {
        part: name
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if prefixes and (name := f"{prefixes[0]}{part}{layers[0]}") in tensors
    }
    if not {"weight_ih", "weight_hh"} <= names.keys():
        raise InputError(
            f"cannot tell which tensors are the weights: {_USAGE}; there are {_listing(tensors)}"
        )
    biases = [names[part] for part in ("bias_ih", "bias_hh") if part in names]
    return Mapping(f"{names['weight_ih']}.T", f"{names['weight_hh']}.T", "+".join(biases))


def _guess_readout(tensors: Tensors, task: Task, cell: Mapping) -> Mapping:
    if "Why" in tensors:
        return replace(cell, Why="Why", by="by" if "by" in tensors else "")
    taken = _names(cell, tensors)
    linear = [
        name
        for name, tensor in tensors.items()
        if name not in taken
        and re.fullmatch(r"(.*\.)?weight", name, re.DOTALL)
        and tensor.ndim == 2
    ]
    H = _evaluate("Whh", cell.Whh, tensors).shape[-1]
    neurons = {task.neurons, 2} if task.readout == "bits" else {task.neurons}
    fitting = [name for name in linear if tensors[name].shape in {(Y, H) for Y in neurons}]
    candidates = fitting or linear
    if len(candidates) != 1:
        many = f"{_listing(tensors, candidates)} could each be" if candidates else "none is like"
        raise InputError(
            f"cannot tell which tensor is the readout: {many} the weight of an nn.Linear; say it "
            f"with --map, as in --map Why=fc.weight.T --map by=fc.bias; "
            f"there are {_listing(tensors)}"
        )
    bias = f"{candidates[0].removesuffix('weight')}bias"
    return replace(cell, Why=f"{candidates[0]}.T", by=bias if bias in tensors else "")
