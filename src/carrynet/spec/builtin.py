"""The tasks that are built in: a row of `FAMILIES` each.

A row says what the task is, which parameters it takes, and its rule, from a state and a symbol
to the next state and the output.  Rules about numbers read their digits; the others read
symbols, and have the states that their rule comes to.  Most are standards of the literature:

    tomita               Tomita 1982; each prefix is accepted or not
    parity, even_pairs, cycle, modular      Deletang et al. 2023, the regular tasks
    first, repeat_01, dyck                  Butoi et al. 2025
    those of MIPS        Michaud et al. 2024, as far as they are small finite-state machines
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise, product
from types import MappingProxyType
from typing import Any

from carrynet.errors import InputError, shorten, unknown
from carrynet.spec.codec import DIGITS, Codec, Digits, Words, to_digits, within
from carrynet.spec.encoding import usual
from carrynet.spec.machine import Machine
from carrynet.spec.task import Task

Parts = tuple[Machine, Codec]


@dataclass(frozen=True)
class Parameter:
    """A whole number that a family of tasks takes."""

    name: str
    low: int
    high: int
    default: int | None = None  #: None: it must be given


@dataclass(frozen=True)
class Family:
    """A row: tasks that differ in their parameters.

    `make` has the values of the parameters as its arguments.  Where `short`, the first is
    written without its name: `tomita:4`.
    """

    about: str
    make: Callable[..., Parts]
    parameters: tuple[Parameter, ...] = ()
    short: bool = False


_BASE = Parameter("base", 2, 16, 2)
_K = Parameter("k", 2, 16)

# Rules about numbers -----------------------------------------------------------------


def _numbers(
    base: int,
    operands: int,
    states: Iterable[object],
    rule: Callable[[int, tuple[int, ...]], tuple[int, int]],
    outputs: str = "",
    **more: Any,
) -> Parts:
    """Tabulate a rule (state, digits of a symbol) -> (next state, output)."""
    names = tuple(map(str, states))
    symbols = list(product(range(base), repeat=operands))
    rows = [[rule(q, digits) for digits in symbols] for q in range(len(names))]
    machine = Machine(
        states=names,
        symbols=tuple(",".join(DIGITS[d] for d in digits) for digits in symbols),
        outputs=tuple(outputs or DIGITS[:base]),
        delta=tuple(tuple(there for there, _ in row) for row in rows),
        output=tuple(tuple(out for _, out in row) for row in rows),
    )
    return machine, Digits(base, operands, **more)


def _add(base: int, operands: int) -> Parts:
    return _numbers(
        *(base, operands, range(operands)),
        lambda carry, digits: divmod(carry + sum(digits), base),
        headroom=len(to_digits(operands - 1, base)),
        memory="carry",
        equation=" + ".join(["{}"] * operands) + " = {answer}",
    )


def _subtract(base: int) -> Parts:
    def rule(borrow: int, digits: tuple[int, ...]) -> tuple[int, int]:
        difference = digits[0] - digits[1] - borrow
        return int(difference < 0), difference % base

    return _numbers(
        *(base, 2, range(2), rule),
        headroom=1,
        answer="complement",
        memory="borrow",
        equation="{} - {} = {answer}",
    )


def _compare(base: int) -> Parts:
    def rule(so_far: int, digits: tuple[int, ...]) -> tuple[int, int]:
        a, b = digits
        relation = so_far if a == b else 1 if a < b else 2
        return relation, relation

    return _numbers(
        *(base, 2, "=<>", rule, "=<>"),
        answer="relation",
        memory="so far",
        equation="{} {answer} {}",
    )


def _multiply_by(k: int, base: int) -> Parts:
    return _numbers(
        *(base, 1, range(k)),
        lambda carry, digits: divmod(carry + k * digits[0], base),
        headroom=len(to_digits(k - 1, base)) if k > 1 else 0,
        memory="carry",
        equation=f"{k} × {{}} = {{answer}}",
    )


def _divide_by(k: int, base: int) -> Parts:
    def rule(remainder: int, digits: tuple[int, ...]) -> tuple[int, int]:
        quotient, rest = divmod(base * remainder + digits[0], k)
        return rest, quotient

    return _numbers(
        *(base, 1, range(k), rule),
        first="most",
        memory="remainder",
        equation=f"{{}} ÷ {k} = {{answer}}",
    )


def _bitwise(sign: str, rule: Callable[[int, int], int]) -> Family:
    def make() -> Parts:
        return _numbers(
            *(2, 2, ("none",), lambda q, digits: (0, rule(*digits))),
            equation=f"{{}} {sign} {{}} = {{answer}}",
        )

    return Family(f"a {sign} b, bit by bit", make)


def _bitwise_not() -> Parts:
    return _numbers(
        *(2, 1, ("none",), lambda q, digits: (0, 1 - digits[0])), equation="not {} = {answer}"
    )


# Rules about words -------------------------------------------------------------------


def _words(
    start: Hashable,
    symbols: Sequence[str],
    step: Callable[[Any, int], tuple[Hashable, int | None]],
    outputs: Sequence[str] = "01",
    memory: str = "state",
) -> Parts:
    """Tabulate a rule (state, symbol) -> (next state, output) over the states that it comes to."""
    number, rows = {start: 0}, []
    states = [start]
    for state in states:  # grows while it is read
        row = [step(state, a) for a in range(len(symbols))]
        for there, _ in row:
            if there not in number:
                number[there] = len(states)
                states.append(there)
        rows.append(row)
    machine = Machine(
        states=tuple(map(_called, states)),
        symbols=tuple(symbols),
        outputs=tuple(outputs),
        delta=tuple(tuple(number[there] for there, _ in row) for row in rows),
        output=tuple(tuple(out for _, out in row) for row in rows),
    )
    return machine, Words(machine.symbols, machine.outputs, memory)


def _both(value: int) -> tuple[int, int]:
    """What is next state and output at once."""
    return value, value


def _called(state: Hashable) -> str:
    return " ".join(map(str, state)) or "nothing" if isinstance(state, tuple) else str(state)


def _numerals(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


_TOMITA = (
    "A*(B,A) B(B,B)",  # 1*
    "A*(D,B) B(A,D) D(D,D)",  # (10)*
    "A*(A,B) B*(C,A) C(E,D) D(D,D) E*(C,E)",  # no odd run of 1s, later an odd run of 0s
    "A*(B,A) B*(C,A) C*(D,A) D(D,D)",  # no 000
    "A*(B,C) B(A,D) C(D,A) D(C,B)",  # evenly many 0s and evenly many 1s
    "A*(B,C) B(C,A) C(A,B)",  # as many 0s as 1s, modulo 3
    "A*(A,B) B*(C,B) C*(C,D) D*(E,D) E(E,E)",  # 0*1*0*1*
)
"""By number: state(next on 0, next on 1), the start first; `*` accepts."""


def _tomita(n: int) -> Parts:
    rows = {row[0]: row for row in _TOMITA[n - 1].split()}

    def step(state: str, a: int) -> tuple[str, int]:
        there = rows[state][-4:-1].split(",")[a]
        return there, int("*" in rows[there])

    return _words("A", "01", step)


def _modular(k: int, precedence: int) -> Parts:
    """Digits and + - *: the value of what was read; open where that is no expression.

    A state is s and p, and whether a digit must follow: then the value will be s + p * digit,
    else it is s + p.  Without precedence, what was read is one number as soon as it ends.
    """
    symbols = (*_numerals(k), "+", "-", "*")

    def step(state: tuple[Any, ...], a: int) -> tuple[Hashable, int | None]:
        if state == ("malformed",) or (state[2] == "digit") != (a < k):
            return ("malformed",), None
        s, p, _ = state
        if a < k:
            p = p * a % k
            return (s, p, "sign") if precedence else ((s + p) % k, 0, "sign"), (s + p) % k
        if symbols[a] == "*":
            return (s, p, "digit") if precedence else (0, s, "digit"), None
        return ((s + p) % k, 1 if symbols[a] == "+" else k - 1, "digit"), None

    return _words((0, 1, "digit"), symbols, step, _numerals(k))


def _dyck(kinds: int, depth: int) -> Parts:
    def step(stack: tuple[Any, ...], a: int) -> tuple[Hashable, int]:
        if stack == ("malformed",) or (a % 2 and (not stack or stack[-1] != _OPENING[a // 2])):
            return ("malformed",), 0
        now = stack[:-1] if a % 2 else (*stack, _OPENING[a // 2])
        return (now, int(not now)) if len(now) <= depth else (("malformed",), 0)

    return _words((), "()[]{}<>"[: 2 * kinds], step)


_OPENING = "([{<"


def _window(test: Callable[[tuple[int, ...]], bool], length: int) -> Parts:
    """Whether the last symbols, zeros before the start, pass a test; of them all but one is kept.

    What no longer matters is not kept: states are minimised.
    """
    machine, codec = _words(
        (0,) * (length - 1),
        "01",
        lambda kept, a: ((*kept, a)[1:], int(test((*kept, a)))),
    )
    small = machine.minimise()
    # the shortest of the memories that a state stands for, with the latest symbol last
    names = tuple(f"after {machine.states[q]}" for q in _first_of(machine, small))
    return replace(small, states=names), codec


def _first_of(machine: Machine, small: Machine) -> list[int]:
    """For each state of a minimised machine, the first state that it stands for."""
    found: dict[int, int] = {}
    pairs = [(0, 0)]
    for p, q in pairs:  # grows while it is read
        found.setdefault(q, p)
        for pair in zip(machine.delta[p], small.delta[q], strict=True):
            if pair not in pairs:
                pairs.append(pair)
    return [found[q] for q in range(len(small.states))]


_REPEATED: dict[tuple[str, int], tuple[str, int]] = {
    ("even", 0): ("odd", 0),
    ("odd", 1): ("even", 1),
}


def _alternates(last: tuple[int, ...]) -> bool:
    return all(a != b for a, b in pairwise(last))


def _no_memory(symbols: Sequence[str], test: Callable[[int], bool]) -> Callable[[], Parts]:
    return lambda: _words("none", symbols, lambda q, a: (q, int(test(a))))


def _bits_rule(step: Callable[[int, int], tuple[int, int]], *names: str) -> Callable[[], Parts]:
    """A rule about bits whose states, numbers, have names."""

    def make() -> Parts:
        machine, codec = _words(0, "01", step)
        named = tuple(names[int(state)] for state in machine.states)
        return replace(machine, states=named), codec

    return make


FAMILIES: MappingProxyType[str, Family] = MappingProxyType(
    {
        "add": Family("the sum of 2 to 4 numbers", _add, (_BASE, Parameter("operands", 2, 4, 2))),
        "subtract": Family("a - b; negatives in base's complement", _subtract, (_BASE,)),
        "compare": Family("which of two numbers is larger", _compare, (_BASE,)),
        "multiply_by": Family("k times a number", _multiply_by, (Parameter("k", 1, 100), _BASE)),
        "divide_by": Family(
            "a number divided by k, most significant digit first",
            _divide_by,
            (Parameter("k", 2, 100), _BASE),
        ),
        "bitwise_and": _bitwise("and", lambda a, b: a & b),
        "bitwise_or": _bitwise("or", lambda a, b: a | b),
        "bitwise_xor": _bitwise("xor", lambda a, b: a ^ b),
        "bitwise_not": Family("each bit the other way round", _bitwise_not),
        "tomita": Family(
            "whether what was read is a word of Tomita's grammar",
            _tomita,
            (Parameter("n", 1, 7),),
            short=True,
        ),
        "parity": Family(
            "whether the ones so far are odd",
            _bits_rule(lambda q, a: _both(q ^ a), "even", "odd"),
        ),
        "parity_of_zeros": Family(
            "whether the zeros so far are odd",
            _bits_rule(lambda q, a: _both(q ^ 1 ^ a), "even", "odd"),
        ),
        "parity_of_index": Family(
            "0, 1, 0, 1, ... whatever is read",
            _bits_rule(lambda q, a: (1 - q, q), "even", "odd"),
        ),
        "shift": Family(
            "the symbol before, 0 at first",
            _bits_rule(lambda q, a: (a, q), "after 0", "after 1"),
        ),
        "even_pairs": Family(
            "whether first and last symbol differ: pairs 01 and 10 are odd in number",
            lambda: _words(
                "start",
                "01",
                lambda q, a: (f"began with {a}", 0) if q == "start" else (q, int(q[-1]) ^ a),
            ),
        ),
        "first": Family(
            "whether the first symbol is 1",
            lambda: _words(
                "start",
                "01",
                lambda q, a: (f"began with {a}", a) if q == "start" else (q, int(q[-1])),
            ),
        ),
        "repeat_01": Family(
            "whether what was read is 01 over and over",
            lambda: _words("even", "01", lambda q, a: _REPEATED.get((q, a), ("malformed", 0))),
        ),
        "cycle": Family(
            "the position on a circle of k places, after steps + and - and stays 0",
            lambda k: _words(
                0, "0+-", lambda q, a: _both((q + (0, 1, -1)[a]) % k), _numerals(k), "position"
            ),
            (_K,),
            short=True,
        ),
        "modular": Family(
            "the value of an expression of digits and + - *, modulo k; else anything",
            _modular,
            (Parameter("k", 2, 10), Parameter("precedence", 0, 1, 1)),
            short=True,
        ),
        "dyck": Family(
            "whether brackets of some kinds are balanced, and never nested deeper",
            _dyck,
            (Parameter("kinds", 1, 4, 2), Parameter("depth", 1, 5, 3)),
        ),
        "window": Family(
            "whether the last symbols, so many, are all 1",
            lambda length: _window(all, length),
            (Parameter("length", 1, 10, 3),),
        ),
        "window_parity": Family(
            "whether the ones among the last symbols, so many, are odd",
            lambda length: _window(lambda last: sum(last) % 2 == 1, length),
            (Parameter("length", 1, 10, 3),),
        ),
        "window_alternates": Family(
            "whether the last symbols, so many, alternate",
            lambda length: _window(_alternates, length),
            (Parameter("length", 2, 10, 3),),
        ),
        "add_mod": Family(
            "the sum of all digits so far, modulo k",
            lambda k: _words(0, _numerals(k), lambda q, a: _both((q + a) % k), _numerals(k), "sum"),
            (_K,),
        ),
        "scalar_product": Family(
            "the scalar product of two words of bits, modulo 2",
            lambda: _words(
                0, ("00", "01", "10", "11"), lambda q, a: _both(q ^ (a == 3)), "01", "sum"
            ),
        ),
        "dither": Family(
            "16 levels by two: what is over is kept for the next",
            lambda: _words(
                0, _numerals(16), lambda q, a: ((q + a) % 15, (q + a) // 15), "01", "error"
            ),
        ),
        "minimum": Family(
            "the smallest digit so far",
            lambda: _words(
                9, _numerals(10), lambda q, a: _both(min(q, a)), _numerals(10), "minimum"
            ),
        ),
        "repeats": Family(
            "whether a symbol is the one before it again, 0 before the first",
            lambda: _words(0, _numerals(8), lambda q, a: (a, int(q == a)), "01", "before"),
        ),
        "even_digit": Family(
            "whether a digit is even", _no_memory(_numerals(10), lambda a: a % 2 == 0)
        ),
        "is_square": Family(
            "whether a number from 0 to 19 is a square",
            _no_memory(_numerals(20), lambda a: a in (0, 1, 4, 9, 16)),
        ),
    }
)
"""By name."""


@cache
def parse(text: str) -> Task:
    """The task that a text names: `add`, `add:base=3,operands=3`, `tomita:4`, `divide_by:k=5`.

    The first parameter may stand without its name.  Raises `InputError` for an unknown
    family or parameter, or a value outside its range.
    """
    family, _, rest = text.partition(":")
    if family not in FAMILIES:
        raise unknown("task", family, (*FAMILIES, "FILE.toml", "FILE.dot"))
    parameters = {p.name: p for p in FAMILIES[family].parameters}
    if rest and not parameters:
        raise InputError(f"task {family} takes no parameter, not {shorten(rest)}")
    arguments: dict[str, int] = {}
    for place, part in enumerate(rest.split(",") if rest else []):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals and not place and parameters and name not in parameters:
            name, value = next(iter(parameters)), name
        if name not in parameters:
            raise unknown(f"parameter of task {family}", name, parameters)
        if not (value.isascii() and value.isdecimal() and len(value) < 20):
            raise InputError(f"task {family}: {name} must be a whole number, not '{value[:60]}'")
        if name in arguments:
            raise InputError(f"task {family}: {name} is given twice")
        arguments[name] = int(value)
    return make(family, **arguments)


@cache
def make(family: str, **arguments: int) -> Task:
    """A task of a family, by its parameters.

    Raises `InputError` for one that is missing or outside its range.
    """
    row = FAMILIES[family]
    for name in arguments.keys() - {p.name for p in row.parameters}:
        raise unknown(f"parameter of task {family}", name, [p.name for p in row.parameters])
    values = []
    for p in row.parameters:
        value = arguments.get(p.name, p.default)
        if value is None:
            example = f"{family}:{'' if row.short else f'{p.name}='}{max(p.low, 3)}"
            raise InputError(f"task {family} needs {p.name}: write for example {example}")
        within(p.name, value, p.low, p.high)
        values.append(value)
    machine, codec = row.make(*values)
    return Task(_text(family, values), machine, codec, usual(codec))


def _text(family: str, values: Sequence[int]) -> str:
    """How a task is named: what is as usual is left out."""
    row = FAMILIES[family]
    given = [
        str(value) if row.short and not place else f"{p.name}={value}"
        for place, (p, value) in enumerate(zip(row.parameters, values, strict=True))
        if value != p.default
    ]
    return family + (":" + ",".join(given) if given else "")


def add(base: int = 2, operands: int = 2) -> Task:
    """Addition of 2 to 4 numbers in base 2 to 16; the state is the carry.

    >>> add().answer(118, 8)
    126
    >>> add(base=10, operands=3).answer(999, 99, 9)
    1107
    """
    return make("add", base=base, operands=operands)


def subtract(base: int = 2) -> Task:
    """Subtraction in base 2 to 16; the state is the borrow; negatives in base's complement.

    >>> subtract().answer(9, 5), subtract().answer(5, 9)
    (4, -4)
    >>> subtract().machine.run(subtract().encode((5, 9)))  # ...11100 in two's complement
    [0, 0, 1, 1, 1]
    """
    return make("subtract", base=base)


def compare(base: int = 2) -> Task:
    """Which of two numbers is larger; state and output are the relation of the digits so far.

    >>> compare().write((5, 9), compare().answer(5, 9))
    '5 < 9'
    >>> compare().machine.run(compare().encode((5, 9)))  # 1?1, 01?01, 101?001, 0101?1001
    [0, 0, 2, 1]
    """
    return make("compare", base=base)


def multiply_by(k: int, base: int = 2) -> Task:
    """Multiplication of one number by a constant from 1 to 100; the state is the carry.

    >>> multiply_by(3).answer(14)
    42
    """
    return make("multiply_by", k=k, base=base)
