"""The tasks that are built in: a row of `FAMILIES` each.

A row says what the task is, which parameters it takes, and its rule, from a state and a symbol
to the next state and the output.  Rules about numbers read their digits; the others read
symbols, and have the states that their rule comes to.  Most are standards of the literature:

    tomita               Tomita 1982; each prefix is accepted or not
    parity, even_pairs, cycle, modular      Deletang et al. 2023, the regular tasks
    first, repeat_01, dyck, cycle_answer, modular_answer     Butoi et al. 2025
    those of MIPS        Michaud et al. 2024, as far as they are small finite-state machines
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from carrynet.errors import InputError, shorten, unknown
from carrynet.spec import rules
from carrynet.spec.codec import within
from carrynet.spec.encoding import usual
from carrynet.spec.task import Task


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
    make: Callable[..., rules.Parts]
    parameters: tuple[Parameter, ...] = ()
    short: bool = False


_BASE = Parameter("base", 2, 16, 2)
_K = Parameter("k", 2, 16)


FAMILIES: MappingProxyType[str, Family] = MappingProxyType(
    {
        "add": Family(
            "the sum of 2 to 4 numbers", rules.add, (_BASE, Parameter("operands", 2, 4, 2))
        ),
        "subtract": Family("a - b; negatives in base's complement", rules.subtract, (_BASE,)),
        "compare": Family("which of two numbers is larger", rules.compare, (_BASE,)),
        "multiply_by": Family(
            "k times a number", rules.multiply_by, (Parameter("k", 1, 100), _BASE)
        ),
        "divide_by": Family(
            "a number divided by k, most significant digit first",
            rules.divide_by,
            (Parameter("k", 2, 100), _BASE),
        ),
        "bitwise_and": Family("a and b, bit by bit", rules.bitwise("and", lambda a, b: a & b)),
        "bitwise_or": Family("a or b, bit by bit", rules.bitwise("or", lambda a, b: a | b)),
        "bitwise_xor": Family("a xor b, bit by bit", rules.bitwise("xor", lambda a, b: a ^ b)),
        "bitwise_not": Family("each bit the other way round", rules.bitwise_not),
        "tomita": Family(
            "whether what was read is a word of Tomita's grammar",
            rules.tomita,
            (Parameter("n", 1, 7),),
            short=True,
        ),
        "parity": Family(
            "whether the ones so far are odd",
            rules.bits(lambda q, a: rules.both(q ^ a), "even", "odd"),
        ),
        "parity_of_zeros": Family(
            "whether the zeros so far are odd",
            rules.bits(lambda q, a: rules.both(q ^ 1 ^ a), "even", "odd"),
        ),
        "parity_of_index": Family(
            "0, 1, 0, 1, ... whatever is read",
            rules.bits(lambda q, a: (1 - q, q), "even", "odd"),
        ),
        "shift": Family(
            "the symbol before, 0 at first",
            rules.bits(lambda q, a: (a, q), "after 0", "after 1"),
        ),
        "even_pairs": Family(
            "whether first and last symbol differ: pairs 01 and 10 are odd in number",
            lambda: rules.words(
                "start",
                "01",
                lambda q, a: (f"began with {a}", 0) if q == "start" else (q, int(q[-1]) ^ a),
            ),
        ),
        "first": Family(
            "whether the first symbol is 1",
            lambda: rules.words(
                "start",
                "01",
                lambda q, a: (f"began with {a}", a) if q == "start" else (q, int(q[-1])),
            ),
        ),
        "repeat_01": Family(
            "whether what was read is 01 over and over",
            rules.repeat_01,
        ),
        "cycle": Family(
            "the position on a circle of k places, after steps + and - and stays 0",
            lambda k: rules.words(
                0,
                "0+-",
                lambda q, a: rules.both((q + (0, 1, -1)[a]) % k),
                rules.numerals(k),
                "position",
            ),
            (_K,),
            short=True,
        ),
        "cycle_answer": Family(
            "whether moves > and < and = on a circle of k places are followed by the place",
            rules.cycle_answer,
            (Parameter("k", 2, 10),),
            short=True,
        ),
        "modular": Family(
            "the value of an expression of digits and + - *, modulo k; else anything",
            rules.modular,
            (Parameter("k", 2, 10), Parameter("precedence", 0, 1, 1)),
            short=True,
        ),
        "modular_answer": Family(
            "whether an expression, read from left to right, is followed by = and its value",
            rules.modular_answer,
            (Parameter("k", 2, 10),),
            short=True,
        ),
        "dyck": Family(
            "whether brackets of some kinds are balanced, and never nested deeper",
            rules.dyck,
            (Parameter("kinds", 1, 4, 2), Parameter("depth", 1, 5, 3)),
        ),
        "window": Family(
            "whether the last symbols, so many, are all 1",
            lambda length: rules.window(all, length),
            (Parameter("length", 1, 10, 3),),
        ),
        "window_parity": Family(
            "whether the ones among the last symbols, so many, are odd",
            lambda length: rules.window(lambda last: sum(last) % 2 == 1, length),
            (Parameter("length", 1, 10, 3),),
        ),
        "window_alternates": Family(
            "whether the last symbols, so many, alternate",
            lambda length: rules.window(rules.alternates, length),
            (Parameter("length", 2, 10, 3),),
        ),
        "add_mod": Family(
            "the sum of all digits so far, modulo k",
            lambda k: rules.words(
                0, rules.numerals(k), lambda q, a: rules.both((q + a) % k), rules.numerals(k), "sum"
            ),
            (_K,),
        ),
        "scalar_product": Family(
            "the scalar product of two words of bits, modulo 2",
            lambda: rules.words(
                0, ("00", "01", "10", "11"), lambda q, a: rules.both(q ^ (a == 3)), "01", "sum"
            ),
        ),
        "dither": Family(
            "16 levels by two: what is over is kept for the next",
            lambda: rules.words(
                0, rules.numerals(16), lambda q, a: ((q + a) % 15, (q + a) // 15), "01", "error"
            ),
        ),
        "minimum": Family(
            "the smallest digit so far",
            lambda: rules.words(
                9,
                rules.numerals(10),
                lambda q, a: rules.both(min(q, a)),
                rules.numerals(10),
                "minimum",
            ),
        ),
        "repeats": Family(
            "whether a symbol is the one before it again, 0 before the first",
            lambda: rules.words(
                0, rules.numerals(8), lambda q, a: (a, int(q == a)), "01", "before"
            ),
        ),
        "even_digit": Family(
            "whether a digit is even", rules.no_memory(rules.numerals(10), lambda a: a % 2 == 0)
        ),
        "is_square": Family(
            "whether a number from 0 to 19 is a square",
            rules.no_memory(rules.numerals(20), lambda a: a in (0, 1, 4, 9, 16)),
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
        raise unknown("task", family, (*FAMILIES, "FILE.toml", "FILE.dot", "FILE.fst"))
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
def family(task: Task) -> str:
    """What is built in without its parameters, `add`, however its symbols are written.

    A task of one's own is a family by itself.
    """
    if task.own and task.name.partition(":")[0] in FAMILIES:
        with suppress(InputError):
            known = parse(task.name)
            if (task.machine.digest(), task.codec) == (known.machine.digest(), known.codec):
                return known.family
    return task.family


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
        within(f"task {family}: {p.name}", value, p.low, p.high)
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
    >>> subtract().machine.transduce(subtract().encode((5, 9)))  # ...11100 in two's complement
    [0, 0, 1, 1, 1]
    """
    return make("subtract", base=base)


def compare(base: int = 2) -> Task:
    """Which of two numbers is larger; state and output are the relation of the digits so far.

    >>> compare().write((5, 9), compare().answer(5, 9))
    '5 < 9'
    >>> compare().machine.transduce(compare().encode((5, 9)))  # 1?1, 01?01, 101?001, 0101?1001
    [0, 0, 2, 1]
    """
    return make("compare", base=base)


def multiply_by(k: int, base: int = 2) -> Task:
    """Multiplication of one number by a constant from 1 to 100; the state is the carry.

    >>> multiply_by(3).answer(14)
    42
    """
    return make("multiply_by", k=k, base=base)
