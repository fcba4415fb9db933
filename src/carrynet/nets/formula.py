"""Formulas: a recurrent cell, or a readout, as its equations and nothing else.

    state = h, c
    i = sigmoid(x @ Wxi + bi + h @ Whi)
    ...
    c = f * c + i * g
    h = o * tanh(c)

Each line gives a name to a value.  A part of the state means its value before the step until
a line sets it.  Names with a capital letter are matrices of weights, right of an `@`; names with
`b` or `w` that no line sets are vectors of weights.  `mix(z, n, h)` is (1 - z) n + z h.

The text is parsed, never executed.  What is parsed is a list of instructions over slots, which
each reading (`carrynet.nets.readings`) carries out in its own way: in numbers, as an enclosure.

Widths need not be said: whatever is added or multiplied is equally wide, a state part is as wide
as what sets it, and that leaves X for the input, H for the first part of the state, Y for logits.
"""

import ast
import hashlib
import math
import re
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from carrynet.errors import InputError, shorten

FUNCTIONS = {"sigmoid": 1, "tanh": 1, "relu": 1, "mix": 3}
"""What can be called, and with how many values."""

MOST_CHARACTERS = 64 * 1024
MOST_LINES = 1_000
MOST_INSTRUCTIONS = 1_000
LARGEST = 1e6  #: of numbers that stand in a formula
EXAMPLE = "h = tanh(x @ Wxh + bh + h @ Whh)"


class Instruction(NamedTuple):
    """One operation: `slots[out] = operation(slots[operands[0]], ...)`."""

    operation: str  #: matmul, add, subtract, multiply, mix, sigmoid, tanh, relu
    operands: tuple[int, ...]
    out: int


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
        return _Parser(text, tuple(inputs), result).formula()

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
            f"{_target(equation)} = {_write(equation.value)}"
            for equation in body
            if isinstance(equation, ast.Assign) and _target(equation) != f"state_{layer}"
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


Key = str | int | tuple[str, float]
"""A slot before it has its number: a name, an instruction's place, or a constant."""


class _Parser:
    """One formula being read: its values by name, and which widths are equal."""

    def __init__(self, text: str, inputs: tuple[str, ...], result: str | None) -> None:
        text = textwrap.dedent(text)
        self.lines = text.splitlines()
        self.inputs, self.result = inputs, result
        self.state: tuple[str, ...] = () if result else ("h",)
        self.equations: list[str] = []
        self.set_at: list[tuple[int, int]] = []  # the line of each equation, and its value
        self.parameters: dict[str, tuple[str, ...]] = {}  # with the variables of their widths
        self.constants: dict[tuple[str, float], None] = {}
        self.instructions: list[tuple[str, tuple[Key, ...]]] = []
        self.within_one: set[Key] = set()  # values that are from 0 to 1
        self.same: dict[str, str] = {}  # which width is the same as which other
        self.line = 0
        if len(text) > MOST_CHARACTERS or len(self.lines) > MOST_LINES:
            raise InputError(
                f"a formula of {len(text):,} characters in {len(self.lines):,} lines is too long: "
                f"at most {MOST_CHARACTERS:,} in {MOST_LINES:,} are accepted"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of strings, which a formula has none of
                body = ast.parse(text).body
        except SyntaxError as error:
            self.line = error.lineno or 0
            raise self._wrong(f"is no equation such as {EXAMPLE}") from None
        except (ValueError, RecursionError, MemoryError):
            raise InputError("a formula with null characters or too many brackets") from None
        if body and _target(body[0]) == "state" and result is None:
            self._read_state(body.pop(0))
        self.values: dict[str, Key] = {name: name for name in (*inputs, *self.state)}
        self.set_below = {_target(statement) for statement in body}
        try:
            for statement in body:
                self._read(statement)
        except RecursionError:
            raise self._wrong("has too many brackets") from None
        for name in self._results():
            if isinstance(self.values.get(name, name), str):
                kind = "logits" if result else f"the state's part {name}"
                raise InputError(f"a formula in which no line sets {kind}")
            self._equal(self._width(self.values[name]), "Y" if result else self._width(name))
        read = {key for _, operands in self.instructions for key in operands}
        read |= {self.values[name] for name in self._results()}
        for line, key in self.set_at:
            if key not in read:
                self.line = line
                raise self._wrong("sets what nothing reads")
        said = {dim for widths in self.parameters.values() for dim in self._dims(widths)}
        for name in self.state:
            if not said.issuperset(self._dims((self._width(name),))):
                raise InputError(f"a formula in which no weights say how wide {name} is")

    def formula(self) -> Formula:
        """What was read, its slots in the order of `Formula`."""
        matrices = sorted(self.parameters, key=lambda name: len(self.parameters[name]) == 1)
        order: list[Key] = [*self.inputs, *self.state, *matrices, *self.constants]
        slots: dict[Key, int] = {key: i for i, key in enumerate(order)}
        slots |= {i: len(order) + i for i in range(len(self.instructions))}
        named = {name: slots[key] for name, key in self.values.items() if isinstance(key, int)}
        state = [] if self.state in ((), ("h",)) else [f"state = {', '.join(self.state)}"]
        return Formula(
            text="\n".join([*state, *self.equations]),
            inputs=self.inputs,
            state=self.state,
            parameters=tuple(matrices),
            constants=tuple(value for _, value in self.constants),
            instructions=tuple(
                Instruction(operation, tuple(slots[key] for key in operands), slots[i])
                for i, (operation, operands) in enumerate(self.instructions)
            ),
            results=tuple(slots[self.values[name]] for name in self._results()),
            named=named,
            dims={name: self._dims(widths) for name, widths in self.parameters.items()},
            state_dims=self._dims(tuple(self._width(name) for name in self.state)),
        )

    def _results(self) -> tuple[str, ...]:
        return (self.result,) if self.result else self.state

    def _wrong(self, what: str) -> InputError:
        text = self.lines[self.line - 1].strip() if 0 < self.line <= len(self.lines) else ""
        return InputError(f"formula, line {self.line}: {shorten(text, 60)} {what}")

    # Statements --------------------------------------------------------------------------

    def _read_state(self, statement: ast.stmt) -> None:
        assert isinstance(statement, ast.Assign)
        self.line, value = statement.lineno, statement.value
        parts = value.elts if isinstance(value, ast.Tuple) else [value]
        names = tuple(part.id for part in parts if isinstance(part, ast.Name))
        taken = {name for name in names if name in _RESERVED or not _is_value(name)}
        if not names or len(names) < len(parts) or len(set(names)) < len(names) or taken:
            raise self._wrong("must name the parts of the state, as in state = h, c")
        self.state = names

    def _read(self, statement: ast.stmt) -> None:
        self.line = statement.lineno
        name = _target(statement)
        if name is None:
            raise self._wrong(f"is no equation such as {EXAMPLE}")
        if name in _RESERVED or name in self.inputs or not _is_value(name):
            raise self._wrong(
                f"sets {name}: a value's name begins with a small letter, and is not "
                f"{', '.join(sorted(_RESERVED | set(self.inputs)))}"
            )
        if name in self.parameters:
            raise self._wrong(f"sets {name}, which a line above has read as weights")
        assert isinstance(statement, ast.Assign)
        key = self._value(statement.value)
        if not isinstance(key, int):
            raise self._wrong("computes nothing")
        self.values[name] = key
        self.set_at.append((self.line, key))
        self.equations.append(f"{name} = {_write(statement.value)}")

    # Expressions -------------------------------------------------------------------------

    def _value(self, node: ast.expr) -> Key:
        match node:
            case ast.Name(id=name):
                return self._named(name)
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return self._constant(number)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return self._constant(-number)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._do("multiply", self._constant(-1.0), self._value(operand))
            case ast.BinOp(left=left, op=ast.MatMult(), right=right):
                return self._product(left, right)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self._do(_OPERATORS[type(op)], self._value(left), self._value(right))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                if name not in FUNCTIONS:
                    raise self._wrong(
                        f"calls {name}: the functions are {', '.join(sorted(FUNCTIONS))}"
                    )
                if len(arguments) != FUNCTIONS[name]:
                    raise self._wrong(
                        f"gives {name} {len(arguments)} values, not {FUNCTIONS[name]}"
                    )
                return self._do(name, *(self._value(argument) for argument in arguments))
        raise self._wrong("has more in it than names, numbers, brackets, functions, +, -, * and @")

    def _named(self, name: str) -> Key:
        if name in self.values:
            return self.values[name]
        if name in self.set_below:
            raise self._wrong(
                f"reads {name} before a line sets it: is it part of the state, "
                f"state = {', '.join((*self.state, name))}?"
            )
        if name[0] not in "bw":
            capital = ", and matrices of weights stand right of an @" if name[0].isupper() else ""
            raise self._wrong(
                f"reads {name}, which is not known: no line sets it, and vectors of weights "
                f"begin with b or w{capital}"
            )
        self.parameters.setdefault(name, (f"of {name}",))
        return name

    def _constant(self, number: float) -> Key:
        try:
            value = float(number)
        except OverflowError:
            value = math.inf
        if not abs(value) <= LARGEST:
            raise self._wrong(f"has a number beyond {LARGEST:g}")
        self.constants[key := ("constant", value)] = None
        return key

    def _product(self, left: ast.expr, right: ast.expr) -> Key:
        if not isinstance(right, ast.Name) or not right.id[0].isupper():
            raise self._wrong("must have a matrix right of the @, its name with a capital letter")
        value, name = self._value(left), right.id
        rows, columns = self.parameters.setdefault(name, (f"rows of {name}", f"columns of {name}"))
        key = self._add("matmul", value, name)
        self._equal(self._width(value), rows)
        self._equal(self._width(key), columns)
        return key

    def _do(self, operation: str, *operands: Key) -> Key:
        if operation == "mix" and operands[0] not in self.within_one:
            raise self._wrong("mixes by something other than a sigmoid, which is from 0 to 1")
        key = self._add(operation, *operands)
        for operand in operands:
            if not isinstance(operand, tuple):
                self._equal(self._width(key), self._width(operand))
        if operation == "sigmoid":
            self.within_one.add(key)
        return key

    def _add(self, operation: str, *operands: Key) -> int:
        if all(isinstance(key, tuple) or key in self.parameters for key in operands):
            raise self._wrong("computes with weights or numbers alone")
        if len(self.instructions) == MOST_INSTRUCTIONS:
            raise InputError(f"a formula of more than {MOST_INSTRUCTIONS:,} operations")
        self.instructions.append((operation, operands))
        return len(self.instructions) - 1

    # Widths ------------------------------------------------------------------------------

    def _width(self, key: Key) -> str:
        if isinstance(key, int):
            return f"value {key}"
        assert isinstance(key, str)
        if key in self.parameters:
            return self.parameters[key][0]
        if key in self.inputs:
            return key.upper()
        return "H" if key == self.state[0] else f"of {key}"

    def _root(self, width: str) -> str:
        while width in self.same:
            width = self.same[width]
        return width

    def _equal(self, one: str, other: str) -> None:
        one, other = self._root(one), self._root(other)
        if one == other:
            return
        if one in _DIMS and other in _DIMS:
            raise self._wrong(f"joins values of different widths, {one} and {other}")
        if one in _DIMS:
            one, other = other, one
        self.same[one] = other

    def _dims(self, widths: tuple[str, ...]) -> tuple[str, ...]:
        """The names of widths: X, H, Y, or else of the first value that is as wide."""
        between: dict[str, str] = {}
        for name, key in self.values.items():
            between.setdefault(self._root(self._width(key)), name)
        roots = map(self._root, widths)
        return tuple(root if root in _DIMS else between.get(root, root) for root in roots)


def _target(statement: ast.stmt) -> str | None:
    """The name that a statement sets; None where it is another kind of statement."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        return target.id if isinstance(target, ast.Name) else None
    return None


def _is_value(name: str) -> bool:
    return name.isascii() and name[0].islower()


def _write(node: ast.expr, tightness: int = 0) -> str:
    """An expression as text with no more brackets than it needs, the same under every Python."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=value):
            return repr(float(value)) if isinstance(value, float) else str(value)
        case ast.UnaryOp(operand=operand):
            text, own = f"-{_write(operand, 3)}", 3
        case ast.BinOp(left=left, op=op, right=right):
            sign, own = _SIGNS[type(op)]
            text = f"{_write(left, own)} {sign} {_write(right, own + 1)}"
        case ast.Call(func=function, args=arguments):
            return f"{_write(function)}({', '.join(map(_write, arguments))})"
        case _:
            raise AssertionError(node)
    return f"({text})" if own < tightness else text


_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
}
_SIGNS: dict[type[ast.operator], tuple[str, int]] = {
    ast.Add: ("+", 1),
    ast.Sub: ("-", 1),
    ast.Mult: ("*", 2),
    ast.MatMult: ("@", 2),
}
_RESERVED = {"x", "state", *FUNCTIONS}
_DIMS = {"X", "H", "Y"}
