"""Formulas: a recurrent cell, or a readout, as its equations and nothing else.

    state = h, c
    i = sigmoid(x @ Wxi + bi + h @ Whi)
    ...
    c = f * c + i * g
    h = o * tanh(c)

Each line gives a name to a value.  A part of the state means its value before the step until
a line sets it.  Names with a capital letter are matrices of weights, right of an `@`; names with
`b` or `w` that no line sets are vectors of weights.  `mix(z, n, h)` is (1 - z) n + z h.

The text is parsed, never executed (`equations`), into a list of instructions over slots, which
each reading (`carrynet.nets.readings`) carries out in its own way: in numbers, as an enclosure.
"""

import ast
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from carrynet.errors import InputError
from carrynet.nets.equations import FUNCTIONS, Instruction, parse, target, write


@dataclass(frozen=True)
class Formula:
    """Equations as instructions over numbered slots.

    Slots hold, in this order: the inputs, the state before the step, the parameters, the
    constants, and what each instruction yields.  Two formulas are equal when their canonical
    texts are.
    """

    text: str  #: canonical: one equation a line, without comments
    inputs: tuple[str, ...] = field(compare=False)
    state: tuple[str, ...] = field(compare=False)
    parameters: tuple[str, ...] = field(compare=False)  #: matrices first, then vectors
    constants: tuple[float, ...] = field(compare=False)
    instructions: tuple[Instruction, ...] = field(compare=False)
    results: tuple[int, ...] = field(compare=False)  #: slots of the new state, or of the logits
    named: Mapping[str, int] = field(compare=False)  #: the slot of what the last line of a name set
    dims: Mapping[str, tuple[str, ...]] = field(compare=False, repr=False)  #: of each parameter
    state_dims: tuple[str, ...] = field(compare=False, repr=False)  #: of each part of the state

    @classmethod
    def parse(
        cls, text: str, inputs: Sequence[str] = ("x",), result: str | None = None
    ) -> "Formula":
        """Read equations: of a cell, or with `result` those of that one value (a readout).

        Raises `InputError`, with the number and the text of the line, for what is not understood:
        unknown names and functions, widths that contradict each other, a part of the state
        that no line sets.
        """
        return cls(**parse(text, tuple(inputs), result))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def size(self) -> int:
        """How many slots there are."""
        first = len(self.inputs) + len(self.state) + len(self.parameters) + len(self.constants)
        return first + len(self.instructions)

    @cached_property
    def parameter_slots(self) -> Mapping[int, str]:
        """The parameter that a slot holds."""
        return dict(enumerate(self.parameters, len(self.inputs) + len(self.state)))

    @cached_property
    def constant_slots(self) -> Mapping[int, float]:
        """The constant that a slot holds."""
        first = len(self.inputs) + len(self.state) + len(self.parameters)
        return dict(enumerate(self.constants, first))

    @property
    def gates(self) -> dict[str, int]:
        """The slots of values from 0 to 1 that a line gives a name to, other than the state's."""
        sigmoids = {each.out for each in self.instructions if each.operation == "sigmoid"}
        gates = sigmoids.difference(self.results)
        return {name: slot for name, slot in self.named.items() if slot in gates}

    @cached_property
    def biases(self) -> frozenset[str]:
        """The parameters that are added: vectors which begin at zero."""
        return frozenset(
            self.parameter_slots[slot]
            for operation, operands, _ in self.instructions
            if operation in ("add", "subtract")
            for slot in operands
            if slot in self.parameter_slots
        )

    @cached_property
    def of_input(self) -> tuple[Instruction, ...]:
        """The instructions that need no state: they can be done for all positions at once."""
        known = (
            set(range(len(self.inputs))) | self.parameter_slots.keys() | self.constant_slots.keys()
        )
        found = []
        for instruction in self.instructions:
            if known.issuperset(instruction.operands):
                known.add(instruction.out)
                found.append(instruction)
        return tuple(found)

    @cached_property
    def drives(self) -> tuple[int, ...]:
        """The slots that depend on the input only and that steps read: its share in them."""
        of_input = {*range(len(self.inputs)), *(each.out for each in self.of_input)}
        read = {i for each in self.of_state for i in each.operands} | set(self.results)
        return tuple(sorted(of_input & read))

    @cached_property
    def of_state(self) -> tuple[Instruction, ...]:
        """The instructions that are left for each step."""
        before = set(self.of_input)
        return tuple(each for each in self.instructions if each not in before)

    @cached_property
    def fixed(self) -> frozenset[int]:
        """The slots through which no gradient goes: inputs, parameters, constants."""
        inputs = range(len(self.inputs)) if self.state else ()
        return frozenset((*inputs, *self.parameter_slots, *self.constant_slots))

    def shapes(self, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, from what X, H and Y are.

        A width that is none of them, as of a layer between, is as large as H.
        """
        return {
            name: tuple(sizes.get(dim, sizes["H"]) for dim in self.dims[name])
            for name in self.parameters
        }

    def sizes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The widths by name that shapes of parameters give; the other way round from `shapes`.

        Raises `InputError` where two of them contradict each other or a shape has another rank.
        """
        found: dict[str, tuple[int, str]] = {}
        for name in self.parameters:
            dims, shape = self.dims[name], shapes[name]
            if len(shape) != len(dims):
                wanted = " by ".join(dims)
                raise InputError(f"weights {name} have shape {shape}, the formula has {wanted}")
            for dim, size in zip(dims, shape, strict=True):
                known, first = found.setdefault(dim, (size, name))
                if known != size:
                    raise InputError(
                        f"weights {name} have shape {shape}, but by {first} {dim} is {known}"
                    )
        return {dim: size for dim, (size, _) in found.items()}

    def free(self, shapes: Mapping[str, tuple[int, ...]]) -> list[int]:
        """The widths that neither the task nor H decides, by their names; see `sizes`.

        What a digest of weights must say, since it covers their numbers as one row.
        """
        sizes = self.sizes(shapes)
        return [sizes[dim] for dim in sorted(sizes.keys() - {"X", "H", "Y"})]

    def __str__(self) -> str:
        return self.text


def stack(cells: Sequence[Formula]) -> Formula:
    """One formula of several layers: each reads the first part of the state of the one below.

    Names get the number of their layer: `h_1`, `Wxh_1`.  The top layer's parts come first in the
    state, so that the readout reads it.  One layer alone keeps its names.
    """
    if len(cells) == 1:
        return cells[0]
    lines: list[str] = []
    parts: list[str] = []
    for layer, cell in enumerate(cells, 1):
        below = f"{cells[layer - 2].state[0]}_{layer - 1}" if layer > 1 else "x"
        body = ast.parse(cell.text).body
        for node in (node for statement in body for node in ast.walk(statement)):
            if isinstance(node, ast.Name) and node.id not in FUNCTIONS:
                node.id = below if node.id == "x" else f"{node.id}_{layer}"
        parts = [*(f"{part}_{layer}" for part in cell.state), *parts]
        lines += [
            f"{target(equation)} = {write(equation.value)}"
            for equation in body
            if isinstance(equation, ast.Assign) and target(equation) != f"state_{layer}"
        ]
    return Formula.parse("\n".join([f"state = {', '.join(parts)}", *lines]))


def layers(formula: Formula) -> list[Formula]:
    """The cells of a stack, from below; a formula that is none, by itself."""
    numbers = {part.rpartition("_")[2] for part in formula.state}
    if not all(number.isdecimal() for number in numbers):
        return [formula]
    cells: list[Formula] = []
    for layer in range(1, len(numbers) + 1):
        parts = [part.removesuffix(f"_{layer}") for part in formula.state if _of(part, layer)]
        lines = [line for line in formula.text.splitlines() if _of(line.split(" = ")[0], layer)]
        text = re.sub(rf"_{layer}\b", "", "\n".join(lines))
        if layer > 1 and cells:
            text = re.sub(rf"\b{cells[-1].state[0]}_{layer - 1}\b", "x", text)
        try:
            cells.append(Formula.parse(f"state = {', '.join(parts)}\n{text}"))
        except InputError:  # numbers in its names do not make it a stack
            return [formula]
    return cells


def _of(name: str, layer: int) -> bool:
    return name.endswith(f"_{layer}")
