"""The way of the symbols through an ONNX graph: what each node adds to the layers so far.

A graph says nowhere which axis is time.  Axes are therefore followed from the graph's input, each
as the sizes that it was made of, until a recurrent operator tells what they are; all else
must leave the words apart from each other, and the positions in them.

    Data     what the symbols have become: layers, and axes
    State    what a recurrent operator ends in, which is no answer: c, or the h of several layers
    Constant an array

Sizes that a file leaves open are primes, so that shapes which a graph computes are numbers, too;
`onnx` follows each graph with two sets of them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from carrynet.errors import shorten
from carrynet.exchange.layered import ACTIVATIONS, Layer, Linear, Recurrent, elman, gated
from carrynet.exchange.onnx_nodes import (
    FLOATS,
    FOLDED,
    HALF,
    WHOLE,
    Budget,
    Constant,
    Node,
    fold,
    integers,
    new_shape,
    normal,
    slices,
)
from carrynet.exchange.pickles import Refused, require
from carrynet.nets.arrays import Array

FEATURE, TIME, BATCH = "feature", "time", "batch"


class Atom(NamedTuple):
    """A size that an axis is made of, and what it stands for."""

    name: str
    size: int
    known: bool = True  #: whether the file tells it


Axis = tuple[Atom, ...]
"""Of several where a Reshape has joined them, of none where an Unsqueeze has made it."""


@dataclass(frozen=True, eq=False)
class Data:
    """What the symbols have become."""

    source: str  #: the graph's input
    axes: tuple[Axis, ...]
    whole: bool = False  #: numbers of symbols
    rounded: bool = False  #: whole ones that were made of others
    embedding: Array | None = None
    before: tuple[Layer, ...] = ()
    recurrent: tuple[Recurrent, ...] = ()
    head: tuple[Layer, ...] = ()
    last: bool = False  #: after the last symbol only
    state: bool = False  #: what a recurrent operator ends in, and nothing has been made of
    ended: str = ""  #: the operator after which nothing may come
    bound: float = 0.0  #: what a comparison compares with
    cut: str = ""  #: the node that has taken a part of it

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return tuple(math.prod(atom.size for atom in axis) for axis in self.axes)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that the next one is added to."""
        return self.head if self.recurrent else self.before

    @property
    def untouched(self) -> bool:
        """Whether nothing has been computed of the graph's input."""
        return self.embedding is None and not (self.before or self.recurrent or self.ended)

    @property
    def width(self) -> int | None:
        """How many features there are, where it is known."""
        for layer in reversed(self.layers):
            if isinstance(layer, Linear):
                return layer.width
        if self.recurrent:
            return self.recurrent[-1].hidden
        if self.embedding is not None:
            return self.embedding.shape[1]
        known = bool(self.axes) and all(atom.known for atom in self.axes[-1])
        return self.shape[-1] if known else None

    def with_layers(self, layers: tuple[Layer, ...], **changes: Any) -> "Data":
        """Other layers in the place of `layers`."""
        if self.recurrent:
            return replace(self, head=layers, state=False, **changes)
        return replace(self, before=layers, **changes)


@dataclass(frozen=True, eq=False)
class State:
    """What recurrent operators end in: the h of some layers, one after the other, or what not."""

    parts: tuple[Data, ...] = ()
    ends: "Ends" = ()  #: the h and c of layers that are in it


Ends = tuple[tuple[str, Recurrent], ...]


def _ends(value: object) -> Ends:
    """The states of layers that a value holds as they are."""
    if isinstance(value, State):
        return value.ends
    if isinstance(value, Data) and value.state:
        return (("h", value.recurrent[-1]),)
    return ()


Value = Data | State | Constant


class Path:
    """The values of a graph, node by node."""

    def __init__(self, values: dict[str, Value], opset: int) -> None:
        self.values = values
        self.opset = opset
        self.notes: list[str] = []
        self.budget = Budget()
        self.steps: list[tuple[Node, Ends]] = []  #: nodes of one step, and what they must yield
        #: Constants that depend on sizes which the file leaves open, and whether by nothing but
        #: having some of these among their numbers
        self.open: dict[str, bool] = {}

    def note(self, text: str) -> None:
        """Something that is to be known of the graph."""
        if text not in self.notes:
            self.notes.append(text)

    def follow(self, node: Node) -> None:
        """Add what a node yields to the values.  Raises `Refused`."""
        given: list[Value | None] = []
        for name in node.inputs:
            require(not name or name in self.values, f"{node} reads {shorten(name)}, which is none")
            given.append(self.values[name] if name else None)
        moving = any(isinstance(each, Data | State) for each in given)
        if given and isinstance(given[0], State) and node.op in _MOVING:
            ends = () if node.op == "Slice" else given[0].ends
            self._set(node, (State(ends=ends),))
            return
        self._note_open(node, given)
        if node.op in RECURRENT or (moving and node.op in _STEPS):
            found = _STEPS[node.op](self, node, given)
        elif not moving and node.op in FOLDED:
            constants = [each for each in given if not isinstance(each, Data | State)]
            found = fold(node, constants, self.budget)
        elif not moving and node.op in _STEPS:
            raise Refused(f"{node} is a {node.op} of constants, which is not worked out")
        else:
            raise _unknown(node)
        node.done()
        self._set(node, found if isinstance(found, tuple) else (found,))

    def _set(self, node: Node, outputs: tuple[Value, ...]) -> None:
        for name, value in zip(node.outputs, outputs, strict=False):
            if name:
                require(name not in self.values, f"{shorten(name)} is computed twice")
                self.values[name] = value

    def _note_open(self, node: Node, given: Sequence[Value | None]) -> None:
        """Note where a constant will depend on sizes that the file leaves open.

        What is decided by such a size must be so for every one that it can be.
        """
        first = given[0] if given else None
        if isinstance(first, Data):
            known = all(atom.known for axis in first.axes for atom in axis)
            if node.op == "Shape" and not known:
                self.open |= dict.fromkeys(node.outputs, True)
            return
        some = [name for name in node.inputs if name in self.open]
        plain = all(self.open[name] for name in some)
        if not some or (node.op == "Shape" and plain):  # how many numbers there are is known
            return
        if node.op == "Equal":
            # no size is below zero, as is what exporters write for a size that stays
            never = plain and any(
                isinstance(each, np.ndarray) and bool((each < 0).all())
                for name, each in zip(node.inputs, given, strict=True)
                if name not in self.open
            )
            require(never, f"{node} compares {_BY_SIZE}")
            return
        require(node.op != "Where" or node.inputs[0] not in self.open, f"{node} chooses {_BY_SIZE}")
        placed = node.op in ("Concat", "Where") or (node.op in _PLACING and some == node.inputs[:1])
        self.open |= dict.fromkeys(filter(None, node.outputs), plain and placed)

    def check_steps(self, outputs: Sequence[Value | None]) -> None:
        """Refuse a graph of one step that keeps a state to itself."""
        yielded = [end for value in outputs for end in _ends(value)]
        for node, ends in self.steps:
            missing = [part for part, cell in ends if (part, cell) not in yielded]
            require(
                not missing,
                f"{node} takes one step, and the {' and '.join(missing)} that it ends in "
                "is no output, for the next step",
            )

    def diagonal(self, scale: Array, shift: Array) -> Linear:
        """A linear layer that treats each feature by itself."""
        self.budget.spend((len(scale), len(scale)))
        return Linear(np.diag(scale), shift)

    def eye(self, size: int) -> Array:
        """The unit matrix."""
        self.budget.spend((size, size))
        return np.eye(size, dtype=np.float32)


_PLACING = ("Gather", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze")
"""What puts the numbers of its first input into other places, and leaves them as they are."""
_BY_SIZE = "by how long words are, or how many"


def _unknown(node: Node) -> Refused:
    if node.op in FOLDED:
        return Refused(
            f"{node} is a {node.op} of what the network computes: accepted is one of constants"
        )
    if any(word in node.op.lower() for word in ("quantize", "qlinear", "integer")):
        return Refused(
            f"{node} is a {shorten(node.op)}, of a quantised model: export it before it is "
            "quantised"
        )
    return Refused(f"{node} is a {shorten(node.op)}: accepted are {', '.join(sorted(KNOWN))}")


# What the nodes are given ------------------------------------------------------------


def _data(node: Node, value: Value | None) -> Data:
    if isinstance(value, State):
        raise Refused(f"{node} reads a state other than the top layer's h")
    if not isinstance(value, Data):
        raise Refused(f"{node} does not read the symbols where it should")
    return value


def _array(node: Node, value: Value | None, what: str) -> Constant:
    if not isinstance(value, np.ndarray):
        raise Refused(f"{node} has {what} that the graph computes or is given: none is constant")
    return value


def _optional(node: Node, value: Value | None, what: str) -> Constant | None:
    return None if value is None else _array(node, value, what)


def _numbers(node: Node, value: Value | None, what: str) -> Array:
    found = _array(node, value, what)
    require(found.dtype.kind == "f", f"{node} has {what} of whole numbers")
    return found


def _at(given: Sequence[Value | None], place: int) -> Value | None:
    return given[place] if place < len(given) else None


def _alive(node: Node, data: Data) -> Data:
    """Data that something can still be made of, with a feature axis."""
    require(not data.ended, f"{node} comes after {data.ended}: that must be the end")
    require(not data.cut, f"{data.cut} takes a part of the input: a network reads all of it")
    if not data.recurrent and data.embedding is None and not data.before:
        require(not data.whole, f"{node} computes with the numbers of symbols")
        require(bool(data.axes), f"{node} reads a single number")
        *others, last = data.axes
        require(len(last) <= 1, f"{node} reads axes that were joined")
        feature = tuple(Atom(FEATURE, atom.size, atom.known) for atom in last)
        return replace(data, axes=(*others, feature or (Atom(FEATURE, 1),)))
    return data


def _feature(data: Data) -> int | None:
    """Which axis the features are; None where there is one feature, and no axis of it."""
    for place, axis in enumerate(data.axes):
        real = [atom.name for atom in axis if atom.size > 1]
        # one feature may share its axis with what an axis of length 1 was made of, and no more
        if any(atom.name == FEATURE for atom in axis) and real in ([], [FEATURE]):
            return place
    return None


# Layers ------------------------------------------------------------------------------


def _linear(node: Node, data: Data, weight: Array, bias: Array) -> Data:
    data = _alive(node, data)
    require(weight.ndim == 2, f"{node} has a weight of shape {weight.shape}")
    place = _feature(data)
    require(place == len(data.axes) - 1, f"{node} does not sum over the features")
    width = data.width
    require(
        width is None or width == weight.shape[0],
        f"{node} has a weight of shape {weight.shape}, for {width} features",
    )
    axes = (*data.axes[:-1], (Atom(FEATURE, weight.shape[1]),))
    return data.with_layers((*data.layers, Linear(weight, bias)), axes=axes)


def _matmul(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data, weight = _data(node, _at(given, 0)), _numbers(node, _at(given, 1), "a weight")
    while weight.ndim > 2 and weight.shape[0] == 1 and weight.ndim <= len(data.axes):
        weight = weight[0]
    require(weight.ndim == 2, f"{node} has a weight of shape {weight.shape}")
    return _linear(node, data, weight, np.zeros(weight.shape[1], weight.dtype))


def _gemm(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data, weight = _data(node, _at(given, 0)), _numbers(node, _at(given, 1), "a weight")
    require(not node.take("transA", 0), f"{node} has transA, which is not accepted")
    require(weight.ndim == 2 and len(data.axes) == 2, f"{node} multiplies no matrices")
    weight = weight.T if node.take("transB", 0) else weight
    alpha, beta = node.take("alpha", 1.0), node.take("beta", 1.0)
    bias = np.zeros(weight.shape[1], weight.dtype)
    if _at(given, 2) is not None:
        bias = _row(node, _numbers(node, given[2], "a bias"), 1, 2, weight.shape[1])
    return _linear(node, data, _scaled(weight, alpha), _scaled(bias, beta))


def _scaled(array: Array, factor: float) -> Array:
    return array if factor == 1 else np.asarray(array * factor).astype(array.dtype)


def _row(node: Node, array: Array, place: int | None, rank: int, width: int) -> Array:
    """A constant that differs between features only, as a number for each of them."""
    shape = (1,) * (rank - array.ndim) + array.shape
    along = {i for i, n in enumerate(shape) if n != 1}
    require(
        len(shape) == rank and along <= {place},
        f"{node} has a constant of shape {array.shape}, which is not one number for each feature",
    )
    flat = array.reshape(-1)
    require(flat.size in (1, width), f"{node} has {flat.size} numbers, for {width} features")
    return np.broadcast_to(flat, (width,))


def _arithmetic(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    """Add, Sub, Mul, Div by a constant: into the linear layer before it, or as one."""
    first, second = _at(given, 0), _at(given, 1)
    require(
        not (isinstance(first, Data | State) and isinstance(second, Data | State)),
        f"{node} is a {node.op} of two values that depend on the symbols",
    )
    turned = isinstance(first, np.ndarray)
    data = _alive(node, _data(node, second if turned else first))
    width = data.width
    if width is None:
        raise Refused(f"{node} computes with an input of unknown size")
    constant = _numbers(node, first if turned else second, "a constant")
    path.budget.spend((width,))
    row = _row(node, constant, _feature(data), len(data.axes), width).astype(np.float64)
    scale, shift = np.ones(width), np.zeros(width)
    match node.op:
        case "Add":
            shift = row
        case "Sub":
            scale, shift = (-scale, row) if turned else (scale, -row)
        case "Mul":
            scale = row
        case _:
            require(not turned, f"{node} divides a constant by what depends on the symbols")
            require(bool(row.all()), f"{node} divides by zero")
            scale = 1 / row
    return _affine(path, data, scale, shift, constant.dtype)


def _negative(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data = _alive(node, _data(node, _at(given, 0)))
    width = data.width
    if width is None:
        raise Refused(f"{node} computes with an input of unknown size")
    path.budget.spend((width,))
    return _affine(path, data, -np.ones(width), np.zeros(width), np.dtype("f4"))


def _affine(path: Path, data: Data, scale: Array, shift: Array, dtype: Any) -> Data:
    layers = data.layers
    if not (layers and isinstance(layers[-1], Linear)):
        layer = path.diagonal(scale.astype(dtype), shift.astype(dtype))
        return data.with_layers((*layers, layer))
    old = layers[-1]
    # in float64, and rounded once
    kind = np.result_type(old.weight, old.bias, dtype)
    weight = np.asarray(old.weight * scale).astype(kind)
    bias = np.asarray(old.bias * scale + shift).astype(kind)
    return data.with_layers((*layers[:-1], Linear(weight, bias)))


def _activation(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data = _alive(node, _data(node, _at(given, 0)))
    return data.with_layers((*data.layers, node.op.lower()))


def _softmax(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data = _alive(node, _data(node, _at(given, 0)))
    rank = len(data.axes)
    axis = normal(node, node.take("axis", -1 if path.opset >= 13 else 1), rank)
    feature = _feature(data)
    # before opset 13 it went over all axes from there on
    last = path.opset >= 13 or axis == rank - 1
    require(axis == feature and last, f"{node} is a {node.op} over another axis than the answers'")
    return replace(data, ended=node.op, state=False)


def _argmax(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data = _data(node, _at(given, 0))
    if data.ended in _SOFTMAXES:  # which does not change which is greatest
        data = replace(data, ended="")
    data = replace(_alive(node, data), ended=node.op, state=False)
    axis = normal(node, node.take("axis", 0), len(data.axes))
    keep = node.take("keepdims", 1)
    require(not node.take("select_last_index", 0), f"{node} has select_last_index")
    require(axis == _feature(data), f"{node} is an ArgMax over another axis than the answers'")
    middle: tuple[Axis, ...] = ((),) if keep else ()
    return replace(data, axes=(*data.axes[:axis], *middle, *data.axes[axis + 1 :]))


def _greater(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    """Where the answer is above a number."""
    turned = isinstance(_at(given, 0), np.ndarray)
    require(not turned, f"{node} is a Greater of a constant: accepted is one of the answer")
    data = _alive(node, _data(node, _at(given, 0)))
    bound = _array(node, _at(given, 1), "a number").reshape(-1)
    require(
        bound.size == 1 and bool(np.isfinite(bound[0])),
        f"{node} is a Greater than something else than one finite number",
    )
    require(data.width == 1, f"{node} is a Greater of {data.width} numbers")
    return replace(data, ended=node.op, bound=float(bound[0]), state=False)


def _one_hot(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data = _data(node, _at(given, 0))
    depth = _array(node, _at(given, 1), "a depth").reshape(-1)
    values = _array(node, _at(given, 2), "values").reshape(-1)
    require(depth.size == 1 and values.size == 2, f"{node} is no OneHot")
    axis = normal(node, node.take("axis", -1), len(data.axes) + 1)
    require(axis == len(data.axes), f"{node} does not put the new axis last")
    count = int(depth[0])
    require(count > 0, f"{node} has a depth of {count}")
    off, on = (float(value) for value in values)
    return _embedded(node, data, (path.eye(count) * np.float32(on - off)) + np.float32(off))


def _embedded(node: Node, data: Data, table: Array) -> Data:
    require(not data.cut, f"{data.cut} takes a part of the input: a network reads all of it")
    require(data.untouched and data.whole, f"{node} looks up what is no number of a symbol")
    require(table.ndim == 2, f"{node} looks up rows of a table of shape {table.shape}")
    axes = (*data.axes, (Atom(FEATURE, table.shape[1]),))
    return replace(data, embedding=table, axes=axes, whole=False)


# Axes --------------------------------------------------------------------------------


def _same(path: Path, node: Node, given: Sequence[Value | None]) -> Value:
    """Identity, and Dropout when it is used."""
    value = given[0]
    if node.op == "Dropout":
        node.take("seed", 0)
        node.take("ratio", 0.5)
        training = _at(given, 2)
        require(
            training is None or (isinstance(training, np.ndarray) and not training.any()),
            f"{node} is a Dropout as in training",
        )
    assert value is not None
    return value


def _cast(path: Path, node: Node, given: Sequence[Value | None]) -> Value:
    data = _data(node, given[0])
    to = node.take("to", 0)
    node.take("saturate", 1)
    if to in FLOATS:
        require(not data.rounded, f"{node} computes with numbers that were cut off to whole ones")
        if to in HALF:
            path.note("the graph computes in half precision, here in float32")
        return replace(data, whole=False)
    require(
        to in WHOLE and (data.untouched or data.ended in DECISIONS),
        f"{node} casts what the network computes to whole numbers",
    )
    return replace(data, whole=data.untouched, rounded=data.untouched and not data.whole)


def _shape_of(path: Path, node: Node, given: Sequence[Value | None]) -> Constant:
    sizes = _data(node, _at(given, 0)).shape
    start, end = node.take("start", 0), node.take("end", len(sizes))
    return np.array(sizes[start:end], np.int64)


def _transpose(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data = _data(node, _at(given, 0))
    rank = len(data.axes)
    perm = node.take("perm", ()) or tuple(reversed(range(rank)))
    require(sorted(perm) == list(range(rank)), f"{node} is a Transpose of other axes")
    return replace(data, axes=tuple(data.axes[i] for i in perm))


def _squeeze(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data = _data(node, _at(given, 0))
    axes = integers(node, "axes", _optional(node, _at(given, 1), "axes"))
    sizes = data.shape
    if axes is None:
        places = {i for i, n in enumerate(sizes) if n == 1}
    else:
        places = {normal(node, axis, len(sizes)) for axis in axes}
    require(all(sizes[i] == 1 for i in places), f"{node} takes away an axis that is not of size 1")
    return replace(data, axes=tuple(a for i, a in enumerate(data.axes) if i not in places))


def _unsqueeze(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data = _data(node, _at(given, 0))
    axes = integers(node, "axes", _optional(node, _at(given, 1), "axes")) or ()
    rank = len(data.axes) + len(axes)
    places = {normal(node, axis, rank) for axis in axes}
    require(len(places) == len(axes) and rank <= 8, f"{node} makes an axis twice")
    old = iter(data.axes)
    return replace(data, axes=tuple(() if i in places else next(old) for i in range(rank)))


def _reshape(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data = _data(node, _at(given, 0))
    wanted = integers(node, "shape", _optional(node, _at(given, 1), "a shape")) or ()
    return _reshaped(node, data, new_shape(node, data.shape, wanted))


def _flatten(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data = _data(node, _at(given, 0))
    rank = len(data.axes)
    axis = node.take("axis", 1)
    axis = rank if axis == rank else normal(node, axis, rank)
    sizes = data.shape
    return _reshaped(node, data, (math.prod(sizes[:axis]), math.prod(sizes[axis:])))


def _reshaped(node: Node, data: Data, sizes: Sequence[int]) -> Data:
    """Axes are made of the same atoms in the same order, or one of them would be torn apart."""
    left = [atom for axis in data.axes for atom in axis]
    axes: list[Axis] = []
    for size in sizes:
        axis: list[Atom] = []
        while math.prod(atom.size for atom in axis) < size and left:
            axis.append(left.pop(0))
        # an axis of length 1 may stand for one of these
        while size == 1 and left and left[0].size == 1 and not axis:
            axis.append(left.pop(0))
        require(
            math.prod(atom.size for atom in axis) == size,
            f"{node} takes apart or joins what belongs to different places",
        )
        real = [atom.name for atom in axis if atom.size > 1]
        require(
            FEATURE not in real or len(real) == 1,
            f"{node} joins the features of several positions",
        )
        axes.append(tuple(axis))
    if left and axes:  # of length 1
        axes[-1] = (*axes[-1], *left)
    return replace(data, axes=tuple(axes))


def _gather(path: Path, node: Node, given: Sequence[Value | None]) -> Value:
    first, second = _at(given, 0), _at(given, 1)
    axis = node.take("axis", 0)
    if isinstance(first, np.ndarray):
        require(axis == 0, f"{node} looks up columns of a table")
        return _embedded(node, _data(node, second), _numbers(node, first, "a table"))
    places = _array(node, second, "places")
    require(places.size == 1 and places.dtype.kind == "i", f"{node} takes several places")
    place = int(places.reshape(-1)[0])
    if isinstance(first, State):
        count = len(first.parts)
        require(
            axis == 0 and places.ndim == 0 and -count <= place < count,
            f"{node} takes a part of a state",
        )
        part = first.parts[place]
        return replace(part, axes=part.axes[1:])
    data = _data(node, first)
    axis = normal(node, axis, len(data.axes))
    size = data.shape[axis]
    require(-size <= place < size, f"{node} takes a place that there is not")
    data = _taken(path, node, data, axis, range(place % size, place % size + 1))
    if places.ndim:
        return data
    return replace(data, axes=(*data.axes[:axis], *data.axes[axis + 1 :]))


def _slice(path: Path, node: Node, given: Sequence[Value | None]) -> Data:
    data = _data(node, _at(given, 0))
    constants = [None, *(_optional(node, each, "places") for each in given[1:])]
    open_axes = [any(not atom.known for atom in axis) for axis in data.axes]
    for axis, places in slices(node, constants, data.shape, open_axes):
        data = _taken(path, node, data, axis, places)
    return data


def _taken(path: Path, node: Node, data: Data, axis: int, places: range) -> Data:
    """Some places along an axis: the last position, all of them, or of an input what there is."""
    size = data.shape[axis]
    if places == range(size):
        return data
    if not data.recurrent:
        # as yet it may be the state that a layer begins in
        part = (Atom("part", len(places)),)
        axes = (*data.axes[:axis], part, *data.axes[axis + 1 :])
        return replace(data, axes=axes, cut=str(node))
    names = [atom.name for atom in data.axes[axis] if atom.size > 1]
    require(names == [TIME], f"{node} takes a part of what the network computes")
    require(places == range(size - 1, size), f"{node} takes another position than the last one")
    return replace(data, axes=(*data.axes[:axis], (), *data.axes[axis + 1 :]), last=True)


def _concat(path: Path, node: Node, given: Sequence[Value | None]) -> Value:
    axis = node.take("axis", 0)
    if len(given) == 1 and given[0] is not None:
        return given[0]
    states = all(
        isinstance(each, State) or (isinstance(each, Data) and each.state) for each in given
    )
    require(states, f"{node} joins values that depend on the symbols")
    parts = [each for each in given if isinstance(each, Data)]
    in_order = axis == 0 and len(parts) == len(given) and all(not d.axes[0] for d in parts)
    ends = tuple(end for each in given for end in _ends(each))
    return State(tuple(parts) if in_order else (), ends)


# Recurrent operators -----------------------------------------------------------------

RECURRENT = ("RNN", "GRU", "LSTM")
DECISIONS = ("ArgMax", "Greater")
_SOFTMAXES = ("Softmax", "LogSoftmax")
# A state that only these are done with is still none of the answers
_MOVING = ("Cast", "Flatten", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")


def _recurrent(path: Path, node: Node, given: Sequence[Value | None]) -> tuple[Value, ...]:
    """Y, Y_h and, of an LSTM, Y_c."""
    require(len(given) <= (8 if node.op == "LSTM" else 6), f"{node} has {len(given)} inputs")
    layout = node.take("layout", 0)
    require(layout in (0, 1), f"{node} has the layout {layout}")
    data = _entering(node, _data(node, _at(given, 0)), layout)
    cell = _cell(path, node, given, data, layout)
    stepping = all(atom.known and atom.size == 1 for atom in data.axes[layout])
    if stepping:
        parts = {"h": 5, "c": 6} if node.op == "LSTM" else {"h": 5}
        for part, place in parts.items():
            fed = isinstance(_at(given, place), Data)
            require(fed, f"{node} reads one symbol only, and is given no state {part}")
        path.steps.append((node, tuple((part, cell) for part in parts)))
        path.note("the graph takes one step: the state that it yields is the next step's")
    hidden = (Atom(FEATURE, cell.hidden),)
    time, batch = data.axes[layout], data.axes[1 - layout]
    found = replace(data, recurrent=(*data.recurrent, cell))
    if layout:
        along: tuple[Axis, ...] = (batch, time, (), hidden)
        end: tuple[Axis, ...] = (batch, (), hidden)
    else:
        along, end = (time, (), batch, hidden), ((), batch, hidden)
    last = replace(found, axes=end, state=True, last=not stepping)
    return replace(found, axes=along), last, State(ends=(("c", cell),))


def _entering(node: Node, data: Data, layout: int) -> Data:
    """Data with its axes by their names, as they enter a recurrent operator."""
    require(len(data.axes) == 3, f"{node} reads {len(data.axes)} axes: time, batch and features")
    require(not data.last, f"{node} reads what there is after the last symbol")
    require(not data.ended, f"{node} comes after {data.ended}: that must be the end")
    if data.recurrent:
        require(not data.head, f"{node} comes after layers that are not recurrent")
        names = [{atom.name for atom in axis if atom.size > 1} for axis in data.axes]
        require(
            names[layout] <= {TIME} and names[1 - layout] <= {BATCH} and names[2] <= {FEATURE},
            f"{node} reads axes in another order than the layer below wrote",
        )
        return data
    data = _alive(node, data) if data.untouched else data
    require(not data.cut, f"{data.cut} takes a part of the input: a network reads all of it")
    require(_feature(data) == 2, f"{node} reads the features as time")
    axes = list(data.axes)
    for place, name in ((layout, TIME), (1 - layout, BATCH)):
        require(len(axes[place]) <= 1, f"{node} reads axes that were joined as {name}")
        axes[place] = tuple(Atom(name, atom.size, atom.known) for atom in axes[place])
    return replace(data, axes=tuple(axes))


def _cell(
    path: Path, node: Node, given: Sequence[Value | None], data: Data, layout: int
) -> Recurrent:
    W, R = (_numbers(node, _at(given, k), f"weights {n}") for k, n in ((1, "W"), (2, "R")))
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[node.op]
    direction = node.take("direction", "forward")
    require(direction == "forward", f"{node} has the direction {shorten(direction)}: only forward")
    require(
        W.ndim == R.ndim == 3 and W.shape[0] == R.shape[0] == 1 and R.shape[2] > 0,
        f"{node} has weights of shapes {W.shape} and {R.shape}",
    )
    H = R.shape[2]
    require(
        W.shape[1] == R.shape[1] == gates * H and node.take("hidden_size", H) == H,
        f"{node} has weights of shapes {W.shape} and {R.shape}, which do not fit",
    )
    B = _at(given, 3)
    biases = np.zeros((1, 2 * gates * H), W.dtype) if B is None else _numbers(node, B, "biases B")
    require(biases.shape == (1, 2 * gates * H), f"{node} has biases of shape {biases.shape}")
    width = data.width
    require(
        width in (None, W.shape[2]),
        f"{node} reads {W.shape[2]} features, and is given {width}",
    )
    for name in ("clip", "activation_alpha", "activation_beta"):
        require(not node.has(name), f"{node} has {name}, which is not accepted")
    require(
        node.op != "LSTM" or not node.take("input_forget", 0),
        f"{node} has input_forget, which is not accepted",
    )
    peepholes = _at(given, 7)
    if peepholes is not None:
        zero = isinstance(peepholes, np.ndarray) and not peepholes.any()
        require(zero, f"{node} has peepholes, which are not accepted")
    _whole_words(path, node, _at(given, 4), data, layout)
    start: dict[str, Array] = {}
    for part, place in (("h", 5), ("c", 6)):
        state = _start(path, node, _at(given, place), data, f"initial_{part}", H)
        start |= {part: state} if state is not None else {}
    activation = _told(node)
    b, bh = biases[0, : gates * H], biases[0, gates * H :]
    Wx, Wh = W[0].T, R[0].T
    if node.op == "RNN":
        return elman(Wx, Wh, b, bh, activation=activation, **start)
    if node.op == "LSTM":
        return gated("lstm", "iofg", Wx, Wh, b, bh, activation, **start)
    after = node.take("linear_before_reset", 0)
    cell = "gru" if after else "gru-reset-before"
    return gated(cell, "zrn", Wx, Wh, b, bh, activation, **start)


def _told(node: Node) -> str:
    """The activation that stands in the place of tanh."""
    count = {"RNN": 1, "GRU": 2, "LSTM": 3}[node.op]
    usual = ("Sigmoid", *("Tanh",) * (count - 1)) if count > 1 else ("Tanh",)
    named = node.take("activations", usual) or usual
    functions = [name.lower() for name in named]
    free = functions if count == 1 else functions[1:]
    accepted = (
        len(functions) == count
        and (count == 1 or functions[0] == "sigmoid")
        and len(set(free)) == 1
        and free[0] in ACTIVATIONS
    )
    wanted = "one of" if count == 1 else "Sigmoid and one of" if count == 2 else "Sigmoid and twice"
    require(
        accepted,
        f"{node} has the activations {shorten(', '.join(named))}: accepted are {wanted} "
        "Tanh, Relu, Sigmoid",
    )
    return free[0]


def _whole_words(path: Path, node: Node, given: Value | None, data: Data, layout: int) -> None:
    """Refuse lengths of words other than all that there is."""
    if given is None:
        return
    if isinstance(given, Data) and given.untouched and given.source != data.source:
        path.note(f"sequence_lens of {node} is a graph input, taken as the whole length")
        return
    all_of_it = isinstance(given, np.ndarray) and bool((given == data.shape[layout]).all())
    require(all_of_it, f"{node} has sequence_lens, which is not accepted")


def _start(
    path: Path, node: Node, given: Value | None, data: Data, what: str, H: int
) -> Array | None:
    """The state that a layer begins in, (H,); None for zero."""
    if given is None:
        return None
    if isinstance(given, np.ndarray):
        require(
            given.ndim == 3 and given.shape[2] == H and given.dtype.kind == "f" and given.size > 0,
            f"{node} has {what} of shape {given.shape}",
        )
        rows = given.reshape(-1, H)
        require(
            bool((rows == rows[0]).all()),
            f"{node} has {what} that differs between words of a batch",
        )
        return rows[0].copy() if rows[0].any() else None
    own = isinstance(given, Data) and given.untouched and given.source != data.source
    require(own, f"{node} has {what} that the graph computes")
    path.note(f"{what} of {node} is a graph input, taken as zero")
    return None


_STEPS: dict[str, Callable[[Path, Node, Sequence[Value | None]], Any]] = {
    **dict.fromkeys(RECURRENT, _recurrent),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
    **dict.fromkeys(("Relu", "Tanh", "Sigmoid"), _activation),
    **dict.fromkeys(_SOFTMAXES, _softmax),
    **dict.fromkeys(("Identity", "Dropout"), _same),
    "ArgMax": _argmax,
    "Cast": _cast,
    "Concat": _concat,
    "Flatten": _flatten,
    "Gather": _gather,
    "Greater": _greater,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Neg": _negative,
    "OneHot": _one_hot,
    "Reshape": _reshape,
    "Shape": _shape_of,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
KNOWN = frozenset((*_STEPS, *FOLDED))
"""The operators that are understood."""
