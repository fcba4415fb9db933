"""The part of the checker that is for states, all listed: networks that never round.

A network of exact operations alone (sums, products, ReLU) may have finitely many states
that any word leads to.  Each is listed, with the state that the machine is then in.  From each,
under each symbol, what follows is reckoned in whole numbers, and must be listed with the
machine's next state; and the output must be right.  That is the network of real numbers.

A vector is whole numbers in units of 2^grain.  Beside each stands its size: the sum of what it
was added up from, without signs, over several additions if they follow one another.
Whatever is reckoned on the way, in any order, is then a multiple of 2^grain and no larger than
the size.  All of that are numbers of a type with p binary digits, if

    size <= 2^p,    2^grain is no less than the smallest normal number,    2^(p + grain) no overflow

and what is a number of the type comes out as it is (IEEE 754), also of a fused multiply-add.  So
the network's own arithmetic, and any wider one, does what real numbers do, to the last bit.  The
units are those of a whole vector: that can refuse what is exact, and accept nothing that is not.
"""

from collections.abc import Callable, Mapping, Sequence
from math import frexp, isfinite, ldexp
from typing import Any, NamedTuple

from flint import arb, fmpz_mat

from carrynet.nets.formula import Formula
from carrynet.proof.certificate import StateCertificate, require
from carrynet.proof.model import EPSILON, LARGEST, SMALLEST, Model, of_type
from carrynet.spec.task import Task
from carrynet.watch import Watch

OPERATIONS = ("matmul", "add", "subtract", "multiply", "relu")
"""What can be exact.  Of sigmoid and tanh, as they are computed, no last bit is known, so that
`mix`, whose first operand is a sigmoid, is not among them."""
MOST_PRODUCTS = 1_000_000_000
"""Of weights and units, over all states and symbols, that are checked; about a minute."""
_MOST_APART = 54  # binary digits
_DEAR = 20  # products that take as long as one number in another operation

State = tuple[float, ...]


class Value(NamedTuple):
    """A vector; see the module."""

    numbers: Sequence[int]
    size: Sequence[int]
    grain: int


class Matrix(NamedTuple):
    """A matrix of weights, in units of 2^grain, and the same without signs."""

    numbers: fmpz_mat
    size: fmpz_mat
    grain: int


class Arithmetic:
    """The operations, in whole numbers, where a type does the same."""

    def __init__(self, dtype: str) -> None:
        self.dtype, self.digits = dtype, -EPSILON[dtype]

    def interpret(self, instructions: Sequence[Any], slots: list[Any]) -> None:
        """Carry out instructions, filling their slots."""
        carry_out: Mapping[str, Callable[..., Value]] = {
            "matmul": self._matmul,
            "add": self._add,
            "subtract": self._subtract,
            "multiply": self._multiply,
            "relu": self._relu,
        }
        for operation, operands, out in instructions:
            slots[out] = carry_out[operation](*[slots[i] for i in operands])

    def _exact(self, numbers: Sequence[int], size: Sequence[int], grain: int) -> Value:
        """A value, if whatever leads to it is of the type."""
        if any(size):
            fits = max(size) <= 2**self.digits and grain >= SMALLEST[self.dtype]
            fits = fits and grain + self.digits <= LARGEST[self.dtype]
            require(fits, f"its sums and products are not exact in {self.dtype}")
        return Value(numbers, size, grain)

    def _matmul(self, v: Value, W: Matrix) -> Value:
        v = _alone(v)
        numbers = fmpz_mat([v.numbers]) * W.numbers
        size = fmpz_mat([v.size]) * W.size
        return self._exact(_whole(numbers), _whole(size), v.grain + W.grain)

    def _add(self, a: Value, b: Value) -> Value:
        a, b = _aligned(a, b)
        numbers = [p + q for p, q in zip(a.numbers, b.numbers, strict=True)]
        size = [p + q for p, q in zip(a.size, b.size, strict=True)]
        return self._exact(numbers, size, a.grain)

    def _subtract(self, a: Value, b: Value) -> Value:
        return self._add(a, b._replace(numbers=[-q for q in b.numbers]))

    def _multiply(self, a: Value, b: Value) -> Value:
        a, b = _wide(_alone(a), _alone(b))
        numbers = [p * q for p, q in zip(a.numbers, b.numbers, strict=True)]
        return self._exact(numbers, [abs(n) for n in numbers], a.grain + b.grain)

    def _relu(self, z: Value) -> Value:
        z = _alone(z)
        return _alone(z._replace(numbers=[max(n, 0) for n in z.numbers]))


def exact(numbers: Sequence[float]) -> Value:
    """Numbers as they are, in the largest units that they have."""
    ratios = [float(number).as_integer_ratio() for number in numbers]  # by a power of two
    grain = min((_zeros(above) - _zeros(below) for above, below in ratios if above), default=0)
    _, top = frexp(max(numbers, key=abs))
    # else they would take much memory; and there is no sum of both ends of them
    require(top - grain <= _MOST_APART, "its numbers are too far apart to be exact")
    whole = [int(ldexp(number, -grain)) for number in numbers]
    return Value(whole, [abs(n) for n in whole], grain)


def _zeros(number: int) -> int:
    """How many binary zeros a number ends in that is not 0."""
    return (number & -number).bit_length() - 1


def _alone(value: Value) -> Value:
    """A value that is no longer added to: its numbers, in the largest units that they have."""
    bits = 0
    for number in value.numbers:
        bits |= number
    shift = _zeros(bits) if bits else 0
    numbers = [number >> shift for number in value.numbers]
    return Value(numbers, [abs(n) for n in numbers], value.grain + shift if bits else 0)


def _wide(*values: Value) -> list[Value]:
    """The same, single numbers as vectors that are as wide as the others."""
    width = max(len(value.numbers) for value in values)
    return [
        v if len(v.numbers) == width else Value([*v.numbers] * width, [*v.size] * width, v.grain)
        for v in values
    ]


def _aligned(*values: Value) -> list[Value]:
    """The same in equal units, and equally wide.  Zeros have any unit."""
    grain = min((v.grain for v in values if any(v.size)), default=0)
    found = []
    for v in _wide(*values):
        shift = v.grain - grain if any(v.size) else 0
        found.append(Value([n << shift for n in v.numbers], [n << shift for n in v.size], grain))
    return found


def _matrix(rows: Sequence[Sequence[float]]) -> Matrix:
    width = len(rows[0])
    whole, size, grain = exact([number for row in rows for number in row])
    return Matrix(fmpz_mat(len(rows), width, whole), fmpz_mat(len(rows), width, size), grain)


def _whole(row: fmpz_mat) -> list[int]:
    return [int(entry) for entry in row.entries()]


class _Network:
    """What the certificate is about, ready to be carried out."""

    def __init__(self, model: Model, task: Task) -> None:
        self.cell, self.readout = model.formulas
        self.arithmetic, self.task, self.widths = Arithmetic(model.dtype), task, model.widths
        self.of_readout = self._slots(self.readout, model)
        self.by_symbol = []
        for symbol in range(len(task.machine.symbols)):
            slots = self._slots(self.cell, model)
            slots[0] = exact(task.vector(symbol))
            self.arithmetic.interpret(self.cell.of_input, slots)
            self.by_symbol.append(slots)

    def _slots(self, formula: Formula, model: Model) -> list[Any]:
        slots: list[Any] = [None] * formula.size
        for slot, name in formula.parameter_slots.items():
            weights = model.weights[name]
            slots[slot] = _matrix(weights) if name[0].isupper() else exact(weights)
        for slot, constant in formula.constant_slots.items():
            held = of_type([constant], model.dtype)
            require(held, f"its equations have {constant!r}, which is no number of {model.dtype}")
            slots[slot] = exact([constant])
        return slots

    def step(self, state: State, symbol: int) -> State:
        """The state after a symbol."""
        slots, at = list(self.by_symbol[symbol]), 0
        for part, width in enumerate(self.widths, 1):
            slots[part] = exact(state[at : at + width])
            at += width
        self.arithmetic.interpret(self.cell.of_state, slots)
        values = [slots[result] for result in self.cell.results]
        return tuple(ldexp(number, v.grain) for v in values for number in v.numbers)

    def margin(self, state: State, output: int) -> arb:
        """How far the logits are on the right side."""
        slots = list(self.of_readout)
        slots[0] = exact(state[: self.widths[0]])
        self.arithmetic.interpret(self.readout.instructions, slots)
        logits = slots[self.readout.results[0]]
        if self.task.readout == "bits":
            apart = logits.numbers[0] if output == 1 else -logits.numbers[0]
        else:
            others = [n for y, n in enumerate(logits.numbers) if y != output]
            apart = min(logits.numbers[output] - other for other in others)
        return arb((apart, logits.grain))


def check(
    model: Model, task: Task, certificate: StateCertificate, watch: Watch | None = None
) -> arb:
    """Check that all states are listed that any word leads to; the smallest margin.

    Raises `Rejected` with the first thing that does not hold.
    """
    machine, states = task.machine, certificate.states
    _check_size(model, len(states) * len(machine.symbols))
    require(len(states) == len(certificate.values), "it has not a machine's state for each state")
    for i, (state, values) in enumerate(zip(states, certificate.values, strict=True)):
        require(0 <= state < len(machine.states), f"state {i} has no such state of the machine")
        require(len(values) == len(model.start), f"state {i} has not {len(model.start)} units")
        of_it = of_type(values, model.dtype) and all(map(isfinite, values))
        require(of_it, f"state {i} is not numbers of {model.dtype}")
    network = _Network(model, task)
    listed = list(
        zip(states, (tuple(map(float, each)) for each in certificate.values), strict=True)
    )
    known, margins = set(listed), {}
    require((0, tuple(model.start)) in known, "the start is not listed")
    for i, (state, values) in enumerate(listed):
        for a, symbol in enumerate(machine.symbols):
            after, output = network.step(values, a), machine.output[state][a]
            following = machine.delta[state][a], after
            require(
                following in known, f"from state {i} under {symbol}: what follows is not listed"
            )
            if output is not None and (after, output) not in margins:
                found = network.margin(after, output)
                require(found > 0, f"after state {i} under {symbol} the output is not {output}")
                margins[after, output] = found
        if watch:
            watch(i + 1, len(listed))
    smallest = arb("inf")
    for margin in margins.values():
        smallest = smallest.min(margin)
    return smallest


def _check_size(model: Model, edges: int) -> None:
    """That it is of exact operations, and does not take the checker long."""
    widest = max(size for shape in model.shapes.values() for size in shape)
    each = 0
    for formula in model.formulas:
        for operation, operands, _ in formula.instructions:
            require(operation in OPERATIONS, f"its equations have {operation}, which is not exact")
            if operation == "matmul":
                rows, columns = model.shapes[formula.parameter_slots[operands[1]]]
                each += rows * columns
            else:
                each += _DEAR * widest
    many = f"it takes {edges * each:,} products, of at most {MOST_PRODUCTS:,}"
    require(edges * each <= MOST_PRODUCTS, many)
