"""A network as plain numbers, which is all that a claim is about.

Plain Python, because the checker trusts this module: it reads weights by itself, and knows what
numbers there are of their type.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, prod
from typing import Any

from carrynet import files
from carrynet.errors import InputError, shorten
from carrynet.nets.formula import Formula
from carrynet.spec.tables import from_facts
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


@dataclass(frozen=True)
class Model:
    """A network as plain numbers, which is all that a claim is about.

    Shapes as in `network`: Wxh (X, H), Whh (H, H), bh (H,), Why (H, Y), by (Y,).
    """

    task: str
    activation: str
    dtype: str  #: in which it is evaluated: float32 or float64
    Wxh: Matrix
    Whh: Matrix
    bh: Sequence[float]
    Why: Matrix
    by: Sequence[float]
    machine: Any = None  #: the tables of a task of one's own; see `spec.tables`

    @cached_property
    def specification(self) -> Task:
        """What is right.  Raises `InputError` for a task that is unknown, or not its machine."""
        return from_facts({"task": self.task, "machine": self.machine})

    @classmethod
    def read(cls, data: bytes) -> "Model":
        """A model of Elman's cell; see `read_model`.  Raises `InputError` for anything else."""
        model = read_model(data)
        if not isinstance(model, Model):
            raise InputError("not a model of Elman's cell")
        return model

    def digest(self) -> str:
        """SHA-256 over everything that the network computes with; `Network.digest` agrees."""
        head = f"{self.specification.identity} {self.activation} {self.dtype} {len(self.bh)}"
        digest = hashlib.sha256(head.encode())
        code = {"float32": "f", "float64": "d"}[self.dtype]
        for rows in (self.Wxh, self.Whh, [self.bh], self.Why, [self.by]):
            for row in rows:
                digest.update(struct.pack(f"<{len(row)}{code}", *row))
        return digest.hexdigest()


@dataclass(frozen=True)
class FormulaModel:
    """A network as its equations and plain numbers, which is all that a claim is about."""

    task: str
    cell: str
    readout: str
    dtype: str
    weights: Mapping[str, Any]  #: rows of matrices, vectors as they are; by name
    machine: Any = None  #: the tables of a task of one's own; see `spec.tables`

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
            name: (len(value), len(value[0])) if name[0].isupper() else (len(value),)
            for name, value in self.weights.items()
        }

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """How many units each part of the state has."""
        cell, _ = self.formulas
        sizes = cell.sizes(self.shapes)
        return tuple(sizes[dim] for dim in cell.state_dims)

    def digest(self) -> str:
        """SHA-256 over everything that the network computes with; `Network.digest` agrees."""
        cell, readout = self.formulas
        starts = [f"{part}_start" for part in cell.state]
        names = [*cell.parameters, *readout.parameters, *starts]
        names = [name for name in names if name in self.weights]
        head = f"{self.specification.identity} {cell} {readout} {' '.join(names)}"
        digest = hashlib.sha256(f"{head} {self.dtype} {self.widths[0]}".encode())
        code = {"float32": "f", "float64": "d"}[self.dtype]
        for name in names:
            value = self.weights[name]
            for row in value if name[0].isupper() else [value]:
                digest.update(struct.pack(f"<{len(row)}{code}", *row))
        return digest.hexdigest()


def read_model(data: bytes) -> Model | FormulaModel:
    """A model from the bytes of a run's `model.safetensors`: a header in JSON, then numbers.

    Raises `InputError` for anything else.
    """
    try:
        header, facts, start = files.tensor_header(data)
        said = ("task", "activation") if "activation" in facts else ("task", "cell", "readout")
        if not all(type(facts[key]) is str for key in said):
            raise ValueError(f"its {' or '.join(said)} is not text")
        if "activation" in facts and header.keys() != {"Wxh", "Whh", "bh", "Why", "by"}:
            raise ValueError("its tensors are not Wxh, Whh, bh, Why and by")
        (kind,) = {entry["dtype"] for entry in header.values()}
        code, dtype = {"F32": ("f", "float32"), "F64": ("d", "float64")}[kind]
        arrays: dict[str, Any] = {}
        for name, entry in header.items():
            first, end = entry["data_offsets"]
            content = data[start + first : start + end]
            numbers = [x for (x,) in struct.iter_unpack(f"<{code}", content)]
            *rows, width = entry["shape"]
            fits = len(rows) == name[0].isupper()
            if not fits or not numbers or len(numbers) != prod(entry["shape"]):
                raise ValueError(f"{name} has the wrong shape")
            if not all(map(isfinite, numbers)):
                raise ValueError(f"{name} is not finite")
            arrays[name] = (
                [numbers[i : i + width] for i in range(0, len(numbers), width)] if rows else numbers
            )
        machine = facts.get("machine")
        if "activation" in facts:
            return Model(facts["task"], facts["activation"], dtype, **arrays, machine=machine)
        return FormulaModel(facts["task"], facts["cell"], facts["readout"], dtype, arrays, machine)
    except (
        *(ValueError, KeyError, TypeError, AttributeError, IndexError),
        *(RecursionError, struct.error),
    ) as error:
        raise InputError(f"not a model of carrynet's: {shorten(str(error))}") from None
