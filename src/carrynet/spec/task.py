"""Tasks: a Mealy machine and a codec between integers and words of symbols.

A problem, such as 118 + 8, is read as a word: one symbol for each position,
least significant digit first, each symbol holding one digit of every operand.
The machine answers one output for each symbol, and the outputs decode to the
answer:

    position      0 1 2 3 4 5 6 7 8
    118           0 1 1 0 1 1 1 0 0
      8           0 0 0 1 0 0 0 0 0
    carry         0 0 0 0 0 0 0 0 0
    126           0 1 1 1 1 1 1 0 0

The machine is the specification: nothing else says what a right answer is.
Plain Python only, because the proof checker trusts this module; how problems
become arrays is in `data/words.py`.
"""

import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from types import MappingProxyType

from carrynet.errors import InputError, shorten, unknown
from carrynet.spec.machine import Machine

DIGITS = "0123456789abcdef"
MAX_WORD = 10_000_000
"""The longest word, in symbols, that is read in one go; a longer one is refused."""


@dataclass(frozen=True)
class Task:
    """What to compute, digit by digit.

    Symbol `a` of the machine holds the digits of its operands in base `base`,
    the first operand most significant: `a = sum_j digit_j * base**(operands-1-j)`.
    `headroom` is the number of digits that an answer can need beyond the digits
    of its operands.
    """

    text: str  #: as written in a recipe, in canonical form: 'add', 'add:base=3'
    family: str  #: 'add', 'subtract', 'compare', 'multiply_by'
    machine: Machine
    base: int
    operands: int
    headroom: int
    memory: str  #: what the machine's state holds: 'carry', 'borrow', ...
    equation: str  #: how a solved problem is written: '{} + {} = {answer}'

    def __repr__(self) -> str:
        return f"Task({self.text!r})"

    @property
    def digit_inputs(self) -> int:
        """Inputs that the network has for one digit: the digit itself in base 2, else one-hot."""
        return 1 if self.base == 2 else self.base

    @property
    def inputs(self) -> int:
        """X, the length of a symbol's vector."""
        return self.operands * self.digit_inputs

    @property
    def readout(self) -> str:
        """'bits': one output neuron, rounded; 'argmax': one output neuron for each output."""
        return "bits" if len(self.machine.outputs) == 2 else "argmax"

    @property
    def neurons(self) -> int:
        """Y, the number of output neurons."""
        return 1 if self.readout == "bits" else len(self.machine.outputs)

    def digits_of(self, symbol: int) -> tuple[int, ...]:
        """The digit of each operand that a symbol holds."""
        return tuple(
            symbol // self.base ** (self.operands - 1 - j) % self.base for j in range(self.operands)
        )

    def encode(self, operands: Sequence[int], digits: int | None = None) -> list[int]:
        """The word of a problem: `digits + headroom` symbols, least significant first.

        `digits` defaults to as many as the longest operand has, at least one.
        Raises `InputError` for operands that are negative, not integers, of the
        wrong number, longer than `digits`, or longer than `MAX_WORD`.
        """
        if len(operands) != self.operands:
            raise InputError(
                f"task {self.text} takes {self.operands} operand{'s' * (self.operands > 1)}, "
                f"not {len(operands)}"
            )
        for value in operands:
            if not hasattr(value, "__index__"):
                raise InputError(f"operand {shorten(value)} is not an integer")
            if value < 0:
                raise InputError(f"operand {shorten(value)} is negative: accepted are 0, 1, 2, ...")
            # log2(base) <= 4 bits a digit, so this bound costs nothing and is never too strict
            if operator.index(value).bit_length() > 4 * MAX_WORD:
                raise InputError(f"an operand is longer than {MAX_WORD:,} digits")
        columns = [to_digits(operator.index(value), self.base) for value in operands]
        longest = max(map(len, columns))
        digits = longest if digits is None else operator.index(digits)
        if longest > digits:
            raise InputError(f"an operand has {longest} digits in base {self.base}, not {digits}")
        if digits + self.headroom > MAX_WORD:
            raise InputError(
                f"a word of {digits + self.headroom:,} symbols is too long: "
                f"at most {MAX_WORD:,} are accepted"
            )
        word = [0] * (digits + self.headroom)
        for column in columns:
            column += [0] * (len(word) - len(column))
            word = [symbol * self.base + digit for symbol, digit in zip(word, column, strict=True)]
        return word

    def decode(self, outputs: Sequence[int]) -> int:
        """The answer that a word of outputs spells.

        A number, except for `compare`, where it is -1, 0 or 1; for `subtract`
        outputs are read in base's complement, so that it can be negative.
        """
        if self.family == "compare":
            return (0, -1, 1)[outputs[-1]]
        value = from_digits(outputs, self.base)
        if self.family == "subtract" and 2 * outputs[-1] >= self.base:
            value -= int(self.base ** len(outputs))
        return value

    def answer(self, *operands: int) -> int:
        """The right answer, by the machine."""
        return self.decode(self.machine.run(self.encode(operands)))

    def write_answer(self, answer: int) -> str:
        """An answer as text: `126`, `<`."""
        return "=><"[answer] if self.family == "compare" else str(answer)

    def write(self, operands: Sequence[int], answer: int) -> str:
        """A solved problem as text: `118 + 8 = 126`, `5 < 9`."""
        return self.equation.format(*operands, answer=self.write_answer(answer))


def add(base: int = 2, operands: int = 2) -> Task:
    """Addition of 2 to 4 numbers in base 2 to 16; the state is the carry.

    >>> add().answer(118, 8)
    126
    >>> add(base=10, operands=3).answer(999, 99, 9)
    1107
    """
    _within("base", base, 2, 16)
    _within("operands", operands, 2, 4)
    machine = _machine(
        base, operands, range(operands), lambda carry, digits: divmod(carry + sum(digits), base)
    )
    return Task(
        text=_text("add", base=(base, 2), operands=(operands, 2)),
        family="add",
        machine=machine,
        base=base,
        operands=operands,
        headroom=len(to_digits(operands - 1, base)),
        memory="carry",
        equation=" + ".join(["{}"] * operands) + " = {answer}",
    )


def subtract(base: int = 2) -> Task:
    """Subtraction in base 2 to 16; the state is the borrow; negatives in base's complement.

    >>> subtract().answer(9, 5), subtract().answer(5, 9)
    (4, -4)
    >>> subtract().machine.run(subtract().encode((5, 9)))  # ...11100 in two's complement
    [0, 0, 1, 1, 1]
    """
    _within("base", base, 2, 16)

    def rule(borrow: int, digits: tuple[int, ...]) -> tuple[int, int]:
        difference = digits[0] - digits[1] - borrow
        return int(difference < 0), difference % base

    return Task(
        text=_text("subtract", base=(base, 2)),
        family="subtract",
        machine=_machine(base, 2, range(2), rule),
        base=base,
        operands=2,
        headroom=1,
        memory="borrow",
        equation="{} - {} = {answer}",
    )


def compare(base: int = 2) -> Task:
    """Which of two numbers is larger; state and output are the relation of the digits so far.

    >>> compare().write((5, 9), compare().answer(5, 9))
    '5 < 9'
    >>> compare().machine.run(compare().encode((5, 9)))  # 1?1, 01?01, 101?001, 0101?1001
    [0, 0, 2, 1]
    """
    _within("base", base, 2, 16)

    def rule(so_far: int, digits: tuple[int, ...]) -> tuple[int, int]:
        a, b = digits
        relation = so_far if a == b else 1 if a < b else 2
        return relation, relation

    return Task(
        text=_text("compare", base=(base, 2)),
        family="compare",
        machine=_machine(base, 2, "=<>", rule, outputs="=<>"),
        base=base,
        operands=2,
        headroom=0,
        memory="so far",
        equation="{} {answer} {}",
    )


def multiply_by(k: int, base: int = 2) -> Task:
    """Multiplication of one number by a constant from 1 to 100; the state is the carry.

    >>> multiply_by(3).answer(14)
    42
    """
    _within("k", k, 1, 100)
    _within("base", base, 2, 16)
    machine = _machine(base, 1, range(k), lambda carry, digits: divmod(carry + k * digits[0], base))
    return Task(
        text=_text("multiply_by", k=(k, None), base=(base, 2)),
        family="multiply_by",
        machine=machine,
        base=base,
        operands=1,
        headroom=len(to_digits(k - 1, base)) if k > 1 else 0,
        memory="carry",
        equation=f"{k} × {{}} = {{answer}}",
    )


_FAMILIES: dict[str, Callable[..., Task]] = {
    "add": add,
    "subtract": subtract,
    "compare": compare,
    "multiply_by": multiply_by,
}
FAMILIES: MappingProxyType[str, Callable[..., Task]] = MappingProxyType(_FAMILIES)


def register(
    name: str,
    machine: Machine,
    *,
    base: int = 2,
    operands: int = 1,
    headroom: int = 0,
    memory: str = "state",
    equation: str = "",
) -> Task:
    """A task of one's own: in this process recipes, networks and certificates may name it.

    Symbol `a` of the machine is read as the digits of its operands, see `Task`, and its
    outputs as digits of the answer, in the same base.  For example the parity of the ones
    so far:

        states, bits = ("even", "odd"), ("0", "1")
        flip = ((0, 1), (1, 0))
        task = register("parity", Machine(states, bits, bits, delta=flip, output=flip))

    `equation` is how a solved problem is written, `{}` for each operand and `{answer}`.  To
    register the same task again does nothing.

    Raises `InputError` for a name that is no word or is another task's, and for a machine
    with more or fewer symbols than `base**operands`, or more outputs than digits.
    """
    _within("base", base, 2, 16)
    _within("operands", operands, 1, 4)
    _within("headroom", headroom, 0, 64)
    if not (name.isascii() and name.isidentifier()):
        raise InputError(f"a task's name must be a plain word, not {shorten(name)}")
    if len(machine.symbols) != base**operands:
        raise InputError(
            f"task {name}: {operands} operand{'s' * (operands > 1)} in base {base} make "
            f"{base**operands} symbols, the machine has {len(machine.symbols)}"
        )
    if not 2 <= len(machine.outputs) <= base:
        raise InputError(
            f"task {name}: the machine needs from 2 to {base} outputs, the digits of base {base}"
        )
    task = Task(
        text=name,
        family=name,
        machine=machine,
        base=base,
        operands=operands,
        headroom=headroom,
        memory=memory,
        equation=equation or f"{name}({', '.join(['{}'] * operands)}) = {{answer}}",
    )
    try:
        task.write((0,) * operands, 0)
    except (IndexError, KeyError, ValueError) as error:
        raise InputError(f"task {name}: equation {shorten(equation)} is not one: {error}") from None
    if name in _FAMILIES and (name in BUILT_IN or parse(name) != task):
        raise InputError(f"task {name} is already another machine's")
    _FAMILIES[name] = lambda: task
    return task


BUILT_IN = frozenset(_FAMILIES)
"""Families that every process knows; others are registered in some."""


def example(family: str, operands: int) -> Task:
    """A task of a built-in family, with so many operands where that can be chosen."""
    if family == "add":
        return add(operands=operands)
    return multiply_by(3) if family == "multiply_by" else parse(family)


@cache
def parse(text: str) -> Task:
    """The task that a text names: `add`, `add:base=3,operands=3`, `multiply_by:k=3`.

    Raises `InputError` for an unknown family or parameter, or a value outside its range.
    """
    family, _, rest = text.partition(":")
    if family not in FAMILIES:
        reason = unknown("task", family, FAMILIES)
        raise InputError(f"{reason}; one of your own must first be registered, in Python")
    build = FAMILIES[family]
    parameters = inspect.signature(build).parameters
    arguments: dict[str, int] = {}
    for part in rest.split(",") if rest else []:
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in parameters:
            raise unknown(f"parameter of task {family}", name, parameters)
        if not (value.isascii() and value.isdecimal()):
            raise InputError(f"task {family}: {name} must be a whole number, not '{value}'")
        arguments[name] = int(value)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise InputError(f"task {family} needs {name}: write for example {family}:{name}=3")
    return build(**arguments)


def to_digits(value: int, base: int) -> list[int]:
    """The digits of an integer >= 0, least significant first, at least one.

    Long numbers are halved until they are short, which keeps the cost far below
    that of one division for each digit.
    """
    if base in (2, 16):  # Python's own conversions, linear in the length
        text = f"{value:b}" if base == 2 else f"{value:x}"
        return [DIGITS.index(character) for character in reversed(text)]
    if value.bit_length() <= 512:
        digits = [value % base]
        while value := value // base:
            digits.append(value % base)
        return digits
    half = value.bit_length() // (2 * base.bit_length())
    high, low = divmod(value, base**half)
    lower = to_digits(low, base)
    return lower + [0] * (half - len(lower)) + to_digits(high, base)


def from_digits(digits: Sequence[int], base: int) -> int:
    """The integer whose digits, least significant first, are given."""
    if len(digits) <= 64:
        value = 0
        for digit in reversed(digits):
            value = value * base + digit
        return value
    if base == 2:
        return int("".join("01"[digit] for digit in reversed(digits)), 2)
    half = len(digits) // 2
    low, high = from_digits(digits[:half], base), from_digits(digits[half:], base)
    return low + high * int(base**half)


def _machine(
    base: int,
    operands: int,
    states: Iterable[object],
    rule: Callable[[int, tuple[int, ...]], tuple[int, int]],
    outputs: str = DIGITS,
) -> Machine:
    """Tabulate a rule (state, digits of a symbol) -> (next state, output)."""
    names = tuple(map(str, states))
    symbols = list(product(range(base), repeat=operands))
    rows = [[rule(q, digits) for digits in symbols] for q in range(len(names))]
    return Machine(
        states=names,
        symbols=tuple(",".join(DIGITS[d] for d in digits) for digits in symbols),
        outputs=tuple(outputs[:base] if outputs is DIGITS else outputs),
        delta=tuple(tuple(there for there, _ in row) for row in rows),
        output=tuple(tuple(out for _, out in row) for row in rows),
    )


def _text(family: str, **parameters: tuple[int, int | None]) -> str:
    given = [f"{name}={value}" for name, (value, default) in parameters.items() if value != default]
    return family + (":" + ",".join(given) if given else "")


def _within(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
