"""A network as its equations and plain numbers, which is all that a claim is about.

Plain Python, because the checker trusts this module: it reads weights by itself, and knows what
numbers there are of their type.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, prod
from typing import Any, NamedTuple

from carrynet import files
from carrynet.errors import InputError
from carrynet.nets.formula import Formula
from carrynet.spec.tables import from_facts, to_facts
from carrynet.spec.task import Task

Matrix = Sequence[Sequence[float]]


EPSILON = {"float32": -24, "float64": -53}  # as powers of two
SMALLEST = {"float32": -126, "float64": -1022}
LARGEST = {"float32": 127, "float64": 1023}


def of_type(numbers: Sequence[float], dtype: str) -> bool:
    """Whether all numbers are numbers of a type, to the last bit."""
    form = str(len(numbers)) + {"float32": "f", "float64": "d"}[dtype]
    try:
        return struct.unpack(form, struct.pack(form, *numbers)) == tuple(numbers)
    except (struct.error, OverflowError):
        return False


class Elman(NamedTuple):
    """Elman's cell with a linear readout, begun at zero: the checker has a way of its own for it.

    Shapes: Wxh (X, H), Whh (H, H), bh (H,), Why (H, Y), by (Y,).
    """

    activation: str
    dtype: str
    Wxh: Matrix
    Whh: Matrix
    bh: Sequence[float]
    Why: Matrix
    by: Sequence[float]


# said again and not taken from `nets.cells`, which need not be trusted
_ELMAN = {
    f"h = {activation}(x @ Wxh + bh + h @ Whh)": activation
    for activation in ("sigmoid", "tanh", "relu")
}
_LINEAR = "logits = h @ Why + by"


@dataclass(frozen=True)
class Model:
    """A network as its equations and plain numbers, which is all that a claim is about."""

    task: str
    machine: Any  #: the task's tables, with the encoding; see `spec.tables`
    cell: str
    readout: str
    dtype: str  #: in which it is evaluated: float32 or float64
    weights: Mapping[str, Any]  #: rows of matrices, vectors as they are; by name

    @cached_property
    def specification(self) -> Task:
        """What is right.  Raises `InputError` for a task that is unknown, or not its machine."""
        return from_facts({"task": self.task, "machine": self.machine})

    @cached_property
    def formulas(self) -> tuple[Formula, Formula]:
        """Of the cell, and of the readout, from `h` to `logits`."""
        return Formula.parse(self.cell), Formula.parse(self.readout, ("h",), "logits")

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each of the weights."""
        return {
            name: (len(value), len(value[0]) if value else 0) if _matrix(name) else (len(value),)
            for name, value in self.weights.items()
        }

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """How many units each part of the state has."""
        cell, _ = self.formulas
        sizes = cell.sizes(self.shapes)
        return tuple(sizes[dim] for dim in cell.state_dims)

    @cached_property
    def start(self) -> tuple[float, ...]:
        """The state before the first symbol, its parts one after another; zero unless learned."""
        cell, _ = self.formulas
        return tuple(
            x
            for part, width in zip(cell.state, self.widths, strict=True)
            for x in self.weights.get(f"{part}_start", [0.0] * width)
        )

    @cached_property
    def about(self) -> dict[str, Any]:
        """What a model's file and a certificate say of it; `Network.about` agrees."""
        cell, readout = self.formulas
        return {
            **to_facts(self.specification),
            "cell": cell.text,
            "readout": readout.text,
            "start": list(self.start),
            "weights_sha256": self.digest(),
        }

    @property
    def elman(self) -> Elman | None:
        """The same by its letters, where it is Elman's cell; None where it is another."""
        cell, readout = self.formulas
        activation = _ELMAN.get(cell.text) if readout.text == _LINEAR else None
        if activation is None or self.weights.keys() != set(Elman._fields[2:]):
            return None  # another, or a start that is learned
        return Elman(activation, self.dtype, **self.weights)

    def digest(self) -> str:
        """SHA-256 over everything that the network computes with; `Network.digest` agrees."""
        cell, readout = self.formulas
        starts = [f"{part}_start" for part in cell.state]
        names = [*cell.parameters, *readout.parameters, *starts]
        names = [name for name in names if name in self.weights]
        head = f"{self.specification.identity} {cell} {readout} {' '.join(names)}"
        widths = [self.widths[0], *cell.free(self.shapes), *readout.free(self.shapes)]
        digest = hashlib.sha256(f"{head} {self.dtype} {' '.join(map(str, widths))}".encode())
        code = {"float32": "f", "float64": "d"}[self.dtype]
        for name in names:
            value = self.weights[name]
            for row in value if _matrix(name) else [value]:
                digest.update(struct.pack(f"<{len(row)}{code}", *row))
        return digest.hexdigest()


def _matrix(name: str) -> bool:
    return name[0].isupper()


def read_model(data: bytes) -> Model:
    """A model from the bytes of a run's `model.safetensors`: a header in JSON, then numbers.

    Raises `InputError` for anything else.
    """
    try:
        header, facts, start = files.tensor_header(data)
        files.require_version(facts, files.MODEL)
        for key in ("task", "cell", "readout"):
            if type(facts[key]) is not str:
                raise ValueError(f"its {key} is not text")
        (kind,) = {entry["dtype"] for entry in header.values()}
        code, dtype = {"F32": ("f", "float32"), "F64": ("d", "float64")}[kind]
        arrays: dict[str, Any] = {}
        for name, entry in header.items():
            first, end = entry["data_offsets"]
            content = data[start + first : start + end]
            numbers = [x for (x,) in struct.iter_unpack(f"<{code}", content)]
            *rows, width = entry["shape"]
            fits = len(rows) == _matrix(name)
            if not fits or not numbers or len(numbers) != prod(entry["shape"]):
                raise ValueError(f"{name} has the wrong shape")
            if not all(map(isfinite, numbers)):
                raise ValueError(f"{name} is not finite")
            arrays[name] = (
                [numbers[i : i + width] for i in range(0, len(numbers), width)] if rows else numbers
            )
        said = {key: facts[key] for key in ("task", "machine", "cell", "readout")}
        model = Model(**said, dtype=dtype, weights=arrays)
        files.require_facts(facts, model.about)
        return model
    except (
        *(ValueError, KeyError, TypeError, AttributeError, IndexError),
        *(RecursionError, OverflowError, struct.error, InputError),
    ) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"not a model of carrynet's: {files.first_line(what)[:300]}") from None
