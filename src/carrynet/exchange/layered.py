"""A network of somebody else's in the field's standard terms: layers of arrays, as rows.

Whatever a file is written in, its network ends in a `Layered`; what is exported as the layers of
another library begins with one.  From below:

    embedding, linear layers     what comes between a symbol and the first cell
    recurrent layers             each a cell of `nets.cells`, and its weights by their names there
    head                         linear layers and activations, from the top layer's h

Shapes: S symbols, x inputs of the first layer, H units of a layer, y outputs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from types import MappingProxyType

import numpy as np

from carrynet.data.words import tables
from carrynet.errors import InputError
from carrynet.nets import cells
from carrynet.nets.arrays import Array
from carrynet.nets.formula import Formula, layers as layers_of, stack
from carrynet.nets.network import Network

ACTIVATIONS = ("relu", "tanh", "sigmoid")
NONE = "none"
"""No activation between two layers, where one may be."""
UNKNOWN = "?"
"""An activation that a file does not tell: of an Elman layer, or between two linear layers."""
OPTIONAL = "? or none"
"""One that may be there, and more often is not: before or after all linear layers."""
UNPLACED = "unplaced"
"""A sigmoid or tanh that may be at the end: the file does not tell where it is."""

_OF_ONE = {
    "softmax": "a softmax of one number, which is 1 whatever the number is",
    "logsoftmax": "a log-softmax of one number, which is 0 whatever the number is",
    "argmax": "an argmax of one number, which is 0 whatever the number is",
}
"""What decides between several outputs, and makes nothing of one."""

NOT_FINITE = "NaN or infinity, as after a training that has diverged"

_NO_WEIGHTS: Mapping[str, Array] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Linear:
    """y = x W + b, with W (n, m) and b (m,)."""

    weight: Array
    bias: Array

    @property
    def width(self) -> int:
        """m."""
        return self.weight.shape[1]


Layer = Linear | str
"""One layer of a head, or before the cell: linear, or an activation by its name."""


@dataclass(frozen=True, eq=False)
class Recurrent:
    """One recurrent layer.

    Elman's cell has weights Wxh (x, H), Whh (H, H), bh (H,); gated ones as `nets.cells.CELLS` says.
    """

    cell: str  #: 'elman', or a key of `CELLS`
    weights: Mapping[str, Array]
    #: Elman's, or what a gated cell has in the place of tanh
    activation: str = "tanh"
    #: The state that it begins in, by its parts: `h` and `c`, each (H,); zero where none is told
    start: Mapping[str, Array] = field(default_factory=lambda: _NO_WEIGHTS)
    #: Of a GRU that resets before the product, the two biases that its bn is the sum of: (H,) each.
    #: They are apart where it resets after it, which a file may say wrongly
    summed: tuple[Array, Array] | None = None

    def formula(self) -> Formula:
        """The layer's equations; an `UNKNOWN` activation is taken to be tanh."""
        activation = "tanh" if self.activation == UNKNOWN else self.activation
        if self.cell == "elman":
            return cells.cell("elman", activation)
        text = cells.CELLS[self.cell].replace("tanh(", f"{activation}(")
        return Formula.parse(text)

    @property
    def hidden(self) -> int:
        """H."""
        return next(w.shape[0] for name, w in self.weights.items() if name.startswith("Wh"))

    @property
    def inputs(self) -> int:
        """x, or the units of the layer below."""
        return next(w.shape[0] for name, w in self.weights.items() if name.startswith("Wx"))


@dataclass(frozen=True, eq=False)
class Layered:
    """A network, layer by layer."""

    recurrent: tuple[Recurrent, ...]  #: from below
    head: tuple[Layer, ...]  #: in the order in which they are computed
    before: tuple[Layer, ...] = ()  #: between what a symbol is written as and the first cell
    embedding: Array | None = None  #: (n, m): a row for each of n numbers, where these are read
    #: What makes answers of the head's outputs: 'softmax', 'logsoftmax', 'argmax', 'greater', a
    #: 'sigmoid' that is left out (`folding.decided`), `UNPLACED`; '' where the file says nothing
    ended: str = ""
    bound: float = 0.0  #: the answer is 1 where the only output exceeds it, as `ended` says

    def __post_init__(self) -> None:
        """Raise `InputError` for layers that do not fit onto each other, and for NaN in them."""
        if not self.recurrent:
            raise InputError("there is no recurrent layer")
        if len(self.recurrent) > cells.MOST_LAYERS:
            raise InputError(
                f"there are {len(self.recurrent)} recurrent layers: at most {cells.MOST_LAYERS} "
                "are accepted"
            )
        width = self.width
        for layer in self.before:
            width = _through(layer, width)
        for each in self.recurrent:
            if each.inputs != width:
                raise InputError(
                    f"a recurrent layer of {each.inputs} inputs stands on {width} outputs"
                )
            width = each.hidden
        for layer in self.head:
            width = _through(layer, width)
        if width == 1 and self.ended in _OF_ONE:
            raise InputError(
                f"it ends in {_OF_ONE[self.ended]}, so that it always answers the same: "
                "accepted are a sigmoid there, or nothing"
            )
        for name, array in self._named():
            if not np.isfinite(array).all():
                raise InputError(f"{name} is not finite: it holds {NOT_FINITE}")

    @property
    def width(self) -> int:
        """x, the length of the vector that each symbol is written as, or of an embedding's."""
        if self.embedding is not None:
            return self.embedding.shape[1]
        first = next((layer for layer in self.before if isinstance(layer, Linear)), None)
        return self.recurrent[0].inputs if first is None else first.weight.shape[0]

    @property
    def hidden(self) -> int:
        """H of the top layer."""
        return self.recurrent[-1].hidden

    @property
    def outputs(self) -> int:
        """y."""
        linear = [layer for layer in self.head if isinstance(layer, Linear)]
        return linear[-1].width if linear else self.hidden

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """float32 where all arrays are; else float64."""
        single = all(array.dtype == np.float32 for array in self.arrays)
        return np.dtype("float32" if single else "float64")

    @property
    def arrays(self) -> list[Array]:
        """Every array of it."""
        return [array for _, array in self._named()]

    def _named(self) -> list[tuple[str, Array]]:
        """Every array of it, with what it is, for people."""
        found = [] if self.embedding is None else [("the embedding", self.embedding)]
        linear = [layer for layer in (*self.before, *self.head) if isinstance(layer, Linear)]
        for k, layer in enumerate(linear, 1):
            found += [(f"the weight of linear layer {k}", layer.weight)]
            found += [(f"the bias of linear layer {k}", layer.bias)]
        for k, each in enumerate(self.recurrent, 1):
            found += [(f"{n} of recurrent layer {k}", w) for n, w in each.weights.items()]
            found += [(f"the start {n} of recurrent layer {k}", w) for n, w in each.start.items()]
        return found

    @property
    def untold(self) -> bool:
        """Whether an activation of a recurrent layer is `UNKNOWN`."""
        return any(each.activation == UNKNOWN for each in self.recurrent)

    @property
    def gaps(self) -> tuple[str, ...]:
        """Where between other layers an activation is not told: `UNKNOWN` or `OPTIONAL` each."""
        layers = (*self.before, *self.head)
        return tuple(layer for layer in layers if layer in (UNKNOWN, OPTIONAL))

    def told(self, activation: str, around: Sequence[str]) -> "Layered":
        """The same with an activation for cells of which none is told, and one for each gap."""
        names = iter(around)

        def filled(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
            found = [next(names) if e in (UNKNOWN, OPTIONAL) else e for e in layers]
            return tuple(layer for layer in found if layer != NONE)

        before, head = filled(self.before), filled(self.head)
        recurrent = tuple(
            replace(each, activation=activation) if each.activation == UNKNOWN else each
            for each in self.recurrent
        )
        found = object.__new__(Layered)  # whose arrays are checked already
        kept = {each.name: getattr(self, each.name) for each in fields(self)}
        vars(found).update(kept | {"recurrent": recurrent, "before": before, "head": head})
        return found

    def fed(self, vectors: Array) -> Array:
        """What the first cell is fed where symbols are written as vectors (S, x): (S, x')."""
        return _carried_out(self.before, vectors)

    # As formulas -------------------------------------------------------------------------

    def formulas(self) -> tuple[Formula, Formula]:
        """Cell and readout, where everything is told."""
        cell = stack([each.formula() for each in self.recurrent])
        return cell, cells.readout(self._readout())

    def _readout(self) -> str:
        linear = self._linear
        value, lines = "h", []
        for number, (_, after) in enumerate(linear[:-1], 1):
            value_of = f"{value} @ Wl{number} + bl{number}"
            value = f"l{number}"
            for name in after:
                value_of = f"{name}({value_of})"
            lines.append(f"{value} = {value_of}")
        return "\n".join([*lines, f"logits = {value} @ Why + by"])

    @cached_property
    def _linear(self) -> list[tuple[Linear, list[str]]]:
        """The head's linear layers, each with the activations after it; the last one has none.

        A head that begins or ends with an activation, or is empty, has the identity there.
        """
        found: list[tuple[Linear, list[str]]] = []
        for layer in self.head:
            if isinstance(layer, Linear):
                found.append((layer, []))
            else:
                found = found or [(self._identity(self.hidden), [])]
                found[-1][1].append(layer)
        if not found or found[-1][1]:
            found.append((self._identity(self.outputs), []))
        return found

    def _identity(self, width: int) -> Linear:
        return Linear(np.eye(width, dtype=self.dtype), np.zeros(width, self.dtype))

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays by their names in `formulas`, and the start states where some is told."""
        found: dict[str, Array] = {}
        several = len(self.recurrent) > 1
        for number, each in enumerate(self.recurrent, 1):
            of = f"_{number}" if several else ""
            found |= {f"{name}{of}": array for name, array in each.weights.items()}
            if any(layer.start for layer in self.recurrent):
                for part in each.formula().state:
                    zero = np.zeros(each.hidden, self.dtype)
                    found[f"{part}{of}_start"] = each.start.get(part, zero)
        for number, (linear, _) in enumerate(self._linear[:-1], 1):
            found |= {f"Wl{number}": linear.weight, f"bl{number}": linear.bias}
        last, _ = self._linear[-1]
        return {**found, "Why": last.weight, "by": last.bias}


# Of a network of ours ------------------------------------------------------------------


def layered(network: Network) -> Layered:
    """A network in these terms; the inverse of `formulas` and `parameters`.

    Raises `InputError` for a cell or a readout that they have no name for.
    """
    vectors = tables(network.task).vectors.astype(network.dtype)
    return Layered(recurrent(network), _head(network), embedding=vectors)


def recurrent(network: Network) -> tuple[Recurrent, ...]:
    """The recurrent layers of a network, from below.  Raises `InputError` as `layered` does."""
    found, weights = [], network.weights
    formulas = layers_of(network.cell)
    for number, formula in enumerate(formulas, 1):
        if formula not in _named():
            raise InputError(
                "other libraries have no name for a cell of one's own: onnx and c take any"
            )
        cell, activation = _named()[formula]
        of = "" if formula == network.cell else f"_{number}"
        starts = {part: f"{part}{of}_start" for part in formula.state}
        start = {part: weights[name] for part, name in starts.items() if name in weights}
        own = {name: weights[f"{name}{of}"] for name in formula.parameters}
        found.append(Recurrent(cell, own, activation, start))
    return tuple(found)


@cache
def _named() -> dict[Formula, tuple[str, str]]:
    """By formula: the cell of a `Recurrent`, and its activation."""
    cells_of = ("elman", *cells.CELLS)
    pairs = [(cell, activation) for cell in cells_of for activation in ACTIVATIONS]
    return {
        Recurrent(cell, {}, activation).formula(): (cell, activation) for cell, activation in pairs
    }


def _head(network: Network) -> tuple[Layer, ...]:
    """A readout that is a chain of linear layers and activations."""
    formula, last = network.readout, 0
    found: list[Layer] = []
    for operation, operands, out in formula.instructions:
        names = [formula.parameter_slots.get(slot, "") for slot in operands]
        before = found[-1] if found else None
        match operation, names:
            case (("relu" | "tanh" | "sigmoid"), [""]) if operands == (last,):
                found.append(operation)
            case "matmul", ["", matrix] if operands[0] == last:
                W = network.weights[matrix]
                found.append(Linear(W, np.zeros(W.shape[1], W.dtype)))
            case "add", ["", bias] if operands[0] == last and isinstance(before, Linear):
                found[-1] = Linear(before.weight, before.bias + network.weights[bias])
            case _:
                raise InputError(
                    "other libraries have no name for a readout that is no chain of linear layers "
                    "and activations: onnx and c take any"
                )
        last = out
    return tuple(found)


def _through(layer: Layer, width: int) -> int:
    """How many outputs a layer has on so many inputs."""
    if isinstance(layer, str):
        return width
    if layer.weight.shape[0] != width:
        raise InputError(f"a linear layer of {layer.weight.shape[0]} inputs stands on {width}")
    return layer.width


def _carried_out(layers: tuple[Layer, ...], values: Array) -> Array:
    """What layers make of rows of values, in float64."""
    found = values.astype(np.float64)
    for layer in layers:
        if isinstance(layer, Linear):
            found = found @ layer.weight.astype(np.float64) + layer.bias
            continue
        match layer:
            case "relu":
                found = np.maximum(found, 0)
            case "tanh":
                found = np.tanh(found)
            case "sigmoid":
                found = 1 / (1 + np.exp(-found))
            case other:
                raise InputError(f"an activation {other} before the cell cannot be taken")
    return found


def logit(p: float) -> float:
    """Of which number p is the sigmoid, for p between 0 and 1."""
    return math.log(p / (1 - p))


# Gates -------------------------------------------------------------------------------


def elman(
    Wxh: Array, Whh: Array, b: Array, bh: Array | None = None, *, activation: str, **start: Array
) -> Recurrent:
    """An Elman layer, whose bias is the sum of two where there are two."""
    total = b if bh is None else added(b, bh)
    return Recurrent("elman", {"Wxh": Wxh, "Whh": Whh, "bh": total}, activation, start)


def gated(
    cell: str,
    order: str,
    Wx: Array,
    Wh: Array,
    b: Array,
    bh: Array | None = None,
    activation: str = "tanh",
    **start: Array,
) -> Recurrent:
    """A gated layer of matrices whose gates lie side by side, in an order such as 'rzn' or 'ifgo'.

    Wx (x, G H), Wh (H, G H); b (G H,), the bias of the input; bh (G H,), that of the state, where
    there are two.  Of all gates the two are added, except of `n` of a GRU whose reset comes after
    the product, where the second is multiplied by r.
    """
    H = Wh.shape[0]
    G = len(order)
    sizes = {"the input's matrix": Wx.shape[1:], "the state's": Wh.shape[1:], "the bias": b.shape}
    for what, shape in sizes.items():
        if shape != (G * H,):
            raise InputError(f"{what} of a cell of {H} units has {shape}, not {(G * H,)} columns")
    matrices, vectors, summed = {}, {}, None
    second = np.zeros_like(b) if bh is None else bh
    for k, gate in enumerate(order):
        part = slice(k * H, (k + 1) * H)
        matrices[f"Wx{gate}"], matrices[f"Wh{gate}"] = Wx[:, part], Wh[:, part]
        apart = cell == "gru" and gate == "n"
        vectors[f"b{gate}"] = b[part] if apart else added(b[part], second[part])
        if apart:
            vectors["bhn"] = second[part]
        elif gate == "n":
            summed = b[part], second[part]
    return Recurrent(cell, {**matrices, **vectors}, activation, start, summed)


MOST_CANCELLED = 4.0
"""By how much the terms of a bias may be larger than it, together; see `check_bias`."""


def added(one: Array, other: Array) -> Array:
    """The sum of two biases, taken in float64.  Raises `InputError` as `check_bias` does."""
    total = one.astype(np.float64) + other
    check_bias(total, np.abs(one.astype(np.float64)) + np.abs(other))
    return np.asarray(total).astype(np.result_type(one, other))


def check_bias(total: Array, sizes: Array) -> None:
    """Refuse terms that cancel where a bias is their sum; `sizes` are those of all, added up.

    The owner's network adds them one by one, between other terms, and rounds by their sizes; what
    is proved allows for rounding by the size of their sum.  Training moves both alike, so that
    they differ by no more than their first values do.

    Raises `InputError`.
    """
    with np.errstate(invalid="ignore"):
        lost = float(np.max(sizes - np.abs(total), initial=0.0))
    if lost > MOST_CANCELLED:  # what is not finite is refused as that
        raise InputError(
            f"two biases of one unit nearly cancel: they are larger than their sum by {lost:.3g}, "
            f"at most {MOST_CANCELLED:g} is accepted, since in the network's own order they round "
            "otherwise; with their sum as the one and zeros as the other it is another network"
        )
