"""Nodes and tensors of an ONNX graph as plain values, and what nodes make of constants.

Nothing of the `onnx` library is called on what a file claims: tensors are decoded here, once their
sizes are checked, and constants are folded with NumPy, as much as exporters leave to be folded
(transposing weights, putting gates in order, states of zeros in a shape that is computed).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.errors import shorten
from carrynet.exchange.found import MAX_BYTES, stored, widened
from carrynet.exchange.pickles import Refused, require

Constant = NDArray[Any]

MAX_FIELDS = 200_000  # of the whole file: each may take some 100 bytes once it is parsed
MAX_PACKED = 8 * 2**20  # bytes of whole numbers, which grow eightfold
MAX_FOLDED = 2 * MAX_BYTES  # of all constants that are computed
MAX_RANK = 8
FOREVER = 2**31 - 1  # and more: the end of an axis, whatever its size

_KINDS = {1: "f4", 11: "f8", 10: "f2", 16: "bfloat16", 6: "i4", 7: "i8", 9: "?"}
"""The kinds of number, by ONNX's number for them; others are of quantised models, or of texts."""
_TYPES = {1: "f4", 11: "f8", 6: "i4", 7: "i8", 9: "?"}
FLOATS = (1, 10, 11, 16)
HALF = (10, 16)
WHOLE = (6, 7)


def check_wire(data: bytes, message: Any) -> None:
    """Refuse a file that would take far more memory when protobuf parses it than it has bytes.

    A walk over the fields, with the message's own description of what nests in what.
    """
    fields, packed = 0, 0
    open_parts = [(0, len(data), message, 0)]
    while open_parts:
        at, end, kind, depth = open_parts.pop()
        require(depth < 32, "its parts are nested too deeply")
        while at < end:
            fields += 1
            require(fields <= MAX_FIELDS, f"it has more than {MAX_FIELDS:,} fields")
            key, at = _varint(data, at)
            match key & 7:
                case 0:
                    _, at = _varint(data, at)
                case 1:
                    at += 8
                case 5:
                    at += 4
                case 2:
                    length, at = _varint(data, at)
                    field = kind.fields_by_number.get(key >> 3)
                    if field is not None and field.message_type is not None:
                        open_parts.append((at, at + length, field.message_type, depth + 1))
                    elif field is not None and field.type not in _AS_LONG:
                        packed += length
                        require(packed <= MAX_PACKED, "it has too many whole numbers")
                    at += length
                case _:
                    raise Refused("it is damaged: its fields are of no kind")
            require(at <= end, "it is damaged: it is cut short")


_AS_LONG = (1, 2, 9, 12)  # double, float, text, bytes: as long in memory as in the file


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        require(shift < 70, "it is damaged: a number does not end")


def tensor(proto: Any, what: str) -> Constant:
    """The numbers of a tensor: half precision widened, the others as they are."""
    require(
        not proto.data_location and not proto.external_data,
        f"{what} lies in another file, which is not read; where FILE is the model, beside it, this "
        "puts all into ONE.onnx: python -c \"import onnx; onnx.save(onnx.load('FILE'), 'ONE.onnx', "
        'save_as_external_data=False)"',
    )
    kind = _KINDS.get(proto.data_type)
    if kind is None:
        raise Refused(f"{what} holds {_type_name(proto.data_type)}, which is not supported")
    shape = tuple(proto.dims)
    require(
        len(shape) <= MAX_RANK and all(0 <= n <= MAX_BYTES for n in shape),
        f"{what} has the shape {shorten(shape)}",
    )
    count = math.prod(shape)
    require(count <= MAX_BYTES and not proto.HasField("segment"), f"{what} is too large")
    if proto.HasField("raw_data"):
        dtype = stored(kind)
        require(len(proto.raw_data) == count * dtype.itemsize, _UNEQUAL.format(what))
        flat = np.frombuffer(proto.raw_data, dtype)
    else:
        numbers = {"f4": proto.float_data, "f8": proto.double_data, "i8": proto.int64_data}
        given = numbers.get(kind, proto.int32_data)
        require(len(given) == count, _UNEQUAL.format(what))
        flat = np.array(given, "i8" if kind in ("f2", "bfloat16", "?", "i4") else kind)
        if kind in ("f2", "bfloat16"):  # their bits
            flat = flat.astype("u2").view(stored(kind))
        flat = flat.astype(stored(kind))
    return widened(flat, kind).reshape(shape)


_UNEQUAL = "{} does not have the size that it claims"


def _type_name(number: int) -> str:
    from onnx import TensorProto

    names = {value: name for name, value in TensorProto.DataType.items()}
    return str(names.get(number, f"numbers of kind {number}"))


class Node:
    """One operation of a graph.  Its attributes are taken one by one, so that none is ignored."""

    def __init__(self, proto: Any) -> None:
        self.op: str = proto.op_type
        self.inputs: list[str] = list(proto.input)
        self.outputs: list[str] = list(proto.output)
        first = next((name for name in self.outputs if name), "")
        # names that exporters make up are paths of dots and slashes, and long
        self.named = f"node {shorten(proto.name)}" if proto.name else f"the node of {first!r:.60}"
        self._attributes: dict[str, Any] = {}
        for each in proto.attribute:
            require(each.name not in self._attributes, f"{self} has {shorten(each.name)} twice")
            self._attributes[each.name] = self._value(each)

    def __str__(self) -> str:
        return self.named

    def _value(self, proto: Any) -> Any:
        match proto.type:
            case 1:
                return float(proto.f)
            case 2:
                return int(proto.i)
            case 3:
                return proto.s.decode()
            case 4:
                return tensor(proto.t, f"{self}")
            case 6:
                return tuple(proto.floats)
            case 7:
                return tuple(proto.ints)
            case 8:
                return tuple(text.decode() for text in proto.strings)
        raise Refused(f"{self} is a {shorten(self.op)} with an attribute {shorten(proto.name)}")

    def take(self, name: str, default: Any) -> Any:
        """An attribute of the type that the default has; a default of `()` takes tuples."""
        value = self._attributes.pop(name, default)
        require(
            default is None or type(value) is type(default),
            f"{self} has an attribute {name} of another kind than it should be",
        )
        return value

    def has(self, name: str) -> bool:
        """Whether there is such an attribute that is not taken yet."""
        return name in self._attributes

    def done(self) -> None:
        """Refuse attributes that nobody has taken."""
        for name in self._attributes:
            raise Refused(f"{self} has the attribute {shorten(name)}, which {self.op} cannot have")


class Budget:
    """How many bytes of constants may still be made."""

    def __init__(self) -> None:
        self._left = MAX_FOLDED

    def spend(self, shape: Sequence[int], itemsize: int = 8) -> None:
        """Before an array is made."""
        self._left -= math.prod(int(n) for n in shape) * itemsize
        require(self._left >= 0, f"its constants take more than {MAX_FOLDED >> 20} MB")


def integers(node: Node, name: str, given: Constant | None) -> tuple[int, ...] | None:
    """Whole numbers that older graphs have as an attribute, and newer ones as an input."""
    if given is None:
        return tuple(node.take(name, ())) if node.has(name) else None
    require(given.dtype.kind == "i" and given.ndim <= 1, f"{node} has {name} that are no numbers")
    return tuple(int(n) for n in given.reshape(-1))


def normal(node: Node, axis: int, rank: int) -> int:
    """An axis counted from the first."""
    require(-rank <= axis < rank, f"{node} has no axis {axis}")
    return axis % rank


def new_shape(node: Node, old: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """What a Reshape comes to: 0 keeps a size, -1 is what is left."""
    zero = node.take("allowzero", 0)
    require(len(wanted) <= MAX_RANK, f"{node} makes {len(wanted)} axes")
    found = []
    for i, n in enumerate(wanted):
        require(n != 0 or not zero, f"{node} makes an axis of no length")
        require(n != 0 or i < len(old), f"{node} has no axis {i}")
        found.append(n or old[i])
    if -1 in found:
        known = -math.prod(found)
        left = math.prod(old) // known if known > 0 else 0
        found[found.index(-1)] = left
    require(
        all(n >= 0 for n in found) and math.prod(found) == math.prod(old),
        f"{node} makes a shape that does not hold what there is for every length",
    )
    return tuple(found)


def slices(
    node: Node,
    given: Sequence[Constant | None],
    sizes: Sequence[int],
    open_axes: Sequence[bool] = (),
) -> list[tuple[int, range]]:
    """What a Slice takes: for each axis that it names, which places.

    Of an axis whose size is open no bound is beyond it, unless that is beyond any.
    """
    starts, ends, axes, steps = (
        integers(node, name, given[k] if k < len(given) else None)
        for k, name in enumerate(("starts", "ends", "axes", "steps"), 1)
    )
    require(starts is not None and ends is not None, f"{node} does not say what it takes")
    assert starts is not None
    assert ends is not None
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    require(
        len(starts) == len(ends) == len(axes) == len(steps) and all(steps),
        f"{node} does not say what it takes",
    )
    found = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = normal(node, axis, len(sizes))
        size = sizes[place]
        require(step > 0, f"{node} goes backwards")
        beyond = [b for b in (start, end) if size < abs(b) < FOREVER]
        require(
            not (beyond and open_axes and open_axes[place]),
            f"{node} cuts an axis at {', '.join(map(str, beyond))}, which words may be longer than",
        )
        found.append((place, range(size)[start:end:step]))
    require(len({place for place, _ in found}) == len(found), f"{node} cuts an axis twice")
    return found


# Constants ---------------------------------------------------------------------------

FOLDED = (
    *("Add", "Sub", "Mul", "Div", "Neg", "Cast", "Concat", "Constant", "ConstantOfShape"),
    *("Equal", "Expand", "EyeLike", "Flatten", "Gather", "Identity", "Range", "Reshape", "Shape"),
    *("Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Dropout", "Where"),
)


def constant(node: Node) -> Constant:
    """What a node Constant holds."""
    for name, kind, default in (
        *(("value_float", "f4", 0.0), ("value_int", "i8", 0)),
        *(("value_floats", "f4", ()), ("value_ints", "i8", ())),
    ):
        if node.has(name):
            return np.array(node.take(name, default), kind)
    value = node.take("value", None)
    require(isinstance(value, np.ndarray), f"{node} holds no numbers")
    return value


def fold(node: Node, given: Sequence[Constant | None], budget: Budget) -> Constant:
    """What a node makes of constants."""
    if node.op == "Constant":
        return constant(node)
    require(bool(given) and given[0] is not None, f"{node} has no input")
    arrays = [each for each in given if each is not None]
    a = arrays[0]
    second = given[1] if len(given) > 1 else None
    # overflows are the file's own, and infinite weights are refused later
    with np.errstate(all="ignore"):
        match node.op:
            case "Add" | "Sub" | "Mul" | "Div":
                return _arithmetic(node, a, second, budget)
            case "Neg":
                budget.spend(a.shape)
                return np.negative(a)
            case "Identity" | "Dropout":
                return a
            case "Cast":
                budget.spend(a.shape)
                return _cast(node, a)
            case "Concat":
                axis = normal(node, node.take("axis", 0), a.ndim)
                require(len({b.dtype for b in arrays}) == 1, f"{node} joins two kinds of number")
                budget.spend((sum(b.size for b in arrays),))
                return np.concatenate(arrays, axis)
            case "ConstantOfShape":
                value = node.take("value", None)
                value = np.zeros(1, "f4") if value is None else value
                require(value.size == 1, f"{node} holds no number")
                shape = _shape(node, a)
                budget.spend(shape)
                return np.full(shape, value.reshape(-1)[0])
            case "Equal":
                require(
                    second is not None and a.dtype == second.dtype, f"{node} compares two kinds"
                )
                assert second is not None
                budget.spend(np.broadcast_shapes(a.shape, second.shape), 1)
                return np.asarray(a == second)
            case "Expand":
                require(second is not None, f"{node} has no shape")
                assert second is not None
                shape = np.broadcast_shapes(a.shape, _shape(node, second))
                budget.spend(shape)
                return np.broadcast_to(a, shape)
            case "EyeLike":
                require(a.ndim == 2, f"{node} makes no matrix")
                budget.spend(a.shape)
                kind = _TYPES.get(node.take("dtype", 1))
                require(kind is not None, f"{node} makes numbers of an unusual kind")
                rows, columns = a.shape
                return np.eye(rows, columns, node.take("k", 0), np.dtype(kind))
            case "Flatten":
                axis = node.take("axis", 1)
                axis = a.ndim if axis == a.ndim else normal(node, axis, a.ndim)
                return a.reshape(math.prod(a.shape[:axis]), -1)
            case "Gather":
                require(second is not None and second.dtype.kind == "i", f"{node} takes no places")
                assert second is not None
                axis = normal(node, node.take("axis", 0), a.ndim)
                budget.spend((*a.shape[:axis], *second.shape, *a.shape[axis + 1 :]))
                return np.asarray(np.take(a, second, axis))
            case "Range":
                require(len(arrays) == 3 and all(b.size == 1 for b in arrays), f"{node} is none")
                start, limit, step = (b.reshape(-1)[0].item() for b in arrays)
                require(a.dtype.kind == "i" and step != 0, f"{node} is none of whole numbers")
                budget.spend((len(range(start, limit, step)),))
                return np.arange(start, limit, step, dtype=a.dtype)
            case "Reshape":
                wanted = integers(node, "shape", second)
                return a.reshape(new_shape(node, a.shape, wanted or ()))
            case "Shape":
                return np.array(a.shape[node.take("start", 0) : node.take("end", a.ndim)], np.int64)
            case "Slice":
                places: list[slice] = [slice(None)] * a.ndim
                for axis, r in slices(node, given, a.shape):
                    places[axis] = slice(r.start, r.stop, r.step)
                return a[tuple(places)]
            case "Squeeze":
                axes = integers(node, "axes", second)
                return np.squeeze(a, axes)
            case "Tile":
                require(
                    second is not None and second.shape == (a.ndim,), f"{node} repeats other axes"
                )
                assert second is not None
                times = _shape(node, second)
                budget.spend([n * k for n, k in zip(a.shape, times, strict=True)])
                return np.tile(a, times)
            case "Transpose":
                perm = node.take("perm", ()) or tuple(reversed(range(a.ndim)))
                return np.transpose(a, perm)
            case "Unsqueeze":
                axes = integers(node, "axes", second)
                require(a.ndim + len(axes or ()) <= MAX_RANK, f"{node} makes too many axes")
                return np.expand_dims(a, axes or ())
            case "Where":
                require(
                    len(arrays) == 3 and a.dtype == bool and arrays[1].dtype == arrays[2].dtype,
                    f"{node} chooses between two kinds of number, or by none",
                )
                budget.spend(np.broadcast_shapes(*(b.shape for b in arrays)))
                return np.where(a, arrays[1], arrays[2])
    raise Refused(f"{node} is a {shorten(node.op)} of constants, which is not worked out")


def _arithmetic(node: Node, a: Constant, b: Constant | None, budget: Budget) -> Constant:
    require(b is not None and a.dtype == b.dtype != bool, f"{node} has two kinds of number")
    assert b is not None
    budget.spend(np.broadcast_shapes(a.shape, b.shape))
    if node.op != "Div":
        operation = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}[node.op]
        return np.asarray(operation(a, b))
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    # ONNX cuts off, NumPy rounds down
    require(bool((a >= 0).all() and (b > 0).all()), f"{node} divides whole numbers below zero")
    return np.asarray(a // b)


def _cast(node: Node, a: Constant) -> Constant:
    to = node.take("to", 0)
    node.take("saturate", 1)  # of 8-bit numbers
    if to == 10:  # rounded, and widened again
        return a.astype(np.float16).astype(np.float32)
    kind = _TYPES.get(to)
    require(kind is not None, f"{node} casts to {_type_name(to)}, which is not supported")
    return a.astype(kind)


def _shape(node: Node, a: Constant) -> tuple[int, ...]:
    require(
        a.dtype.kind == "i" and a.ndim == 1 and a.size <= MAX_RANK and bool((a >= 0).all()),
        f"{node} is given no shape",
    )
    return tuple(int(n) for n in a)
