"""Rules, tabulated: from a state and a symbol to the next state and the output.

Rules about numbers read the digits of a symbol; the others read symbols, and have the states that
they come to.  Of most, the rows of `builtin.FAMILIES` say what they are.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

from carrynet.spec.codec import DIGITS, Codec, Digits, Letters, to_digits
from carrynet.spec.machine import Machine

Parts = tuple[Machine, Codec]

# Rules about numbers -----------------------------------------------------------------


def numbers(
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


def add(base: int, operands: int) -> Parts:
    """The state is the carry."""
    return numbers(
        *(base, operands, range(operands)),
        lambda carry, digits: divmod(carry + sum(digits), base),
        headroom=len(to_digits(operands - 1, base)),
        memory="carry",
        equation=" + ".join(["{}"] * operands) + " = {answer}",
    )


def subtract(base: int) -> Parts:
    """The state is the borrow; negatives in base's complement."""

    def rule(borrow: int, digits: tuple[int, ...]) -> tuple[int, int]:
        difference = digits[0] - digits[1] - borrow
        return int(difference < 0), difference % base

    return numbers(
        *(base, 2, range(2), rule),
        headroom=1,
        answer="complement",
        memory="borrow",
        equation="{} - {} = {answer}",
    )


def compare(base: int) -> Parts:
    """State and output are the relation of the digits so far."""

    def rule(so_far: int, digits: tuple[int, ...]) -> tuple[int, int]:
        a, b = digits
        relation = so_far if a == b else 1 if a < b else 2
        return relation, relation

    return numbers(
        *(base, 2, "=<>", rule, "=<>"),
        answer="relation",
        memory="so far",
        equation="{} {answer} {}",
    )


def multiply_by(k: int, base: int) -> Parts:
    """The state is the carry."""
    return numbers(
        *(base, 1, range(k)),
        lambda carry, digits: divmod(carry + k * digits[0], base),
        headroom=len(to_digits(k - 1, base)) if k > 1 else 0,
        memory="carry",
        equation=f"{k} × {{}} = {{answer}}",
    )


def divide_by(k: int, base: int) -> Parts:
    """The state is the remainder; the most significant digit comes first."""

    def rule(remainder: int, digits: tuple[int, ...]) -> tuple[int, int]:
        quotient, rest = divmod(base * remainder + digits[0], k)
        return rest, quotient

    return numbers(
        *(base, 1, range(k), rule),
        first="most",
        memory="remainder",
        equation=f"{{}} ÷ {k} = {{answer}}",
    )


def bitwise(sign: str, rule: Callable[[int, int], int]) -> Callable[[], Parts]:
    """A rule about two bits, of numbers that are worked bit by bit."""
    return lambda: numbers(
        *(2, 2, ("none",), lambda q, digits: (0, rule(*digits))),
        equation=f"{{}} {sign} {{}} = {{answer}}",
    )


def bitwise_not() -> Parts:
    """Each bit the other way round."""
    return numbers(
        *(2, 1, ("none",), lambda q, digits: (0, 1 - digits[0])), equation="not {} = {answer}"
    )


# Rules about words -------------------------------------------------------------------


def words(
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
    return machine, Letters(machine.symbols, machine.outputs, memory)


def both(value: int) -> tuple[int, int]:
    """What is next state and output at once."""
    return value, value


def _called(state: Hashable) -> str:
    return " ".join(map(str, state)) or "nothing" if isinstance(state, tuple) else str(state)


def numerals(count: int) -> tuple[str, ...]:
    """The names of symbols or outputs that are numbers."""
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


def tomita(n: int) -> Parts:
    """Whether what was read is a word of Tomita's grammar of that number."""
    rows = {row[0]: row for row in _TOMITA[n - 1].split()}

    def step(state: str, a: int) -> tuple[str, int]:
        there = rows[state][-4:-1].split(",")[a]
        return there, int("*" in rows[there])

    return words("A", "01", step)


def modular(k: int, precedence: int) -> Parts:
    """Digits and + - *: the value of what was read; open where that is no expression."""
    return words((0, 1, "digit"), (*numerals(k), *_SIGNS), _expression(k, precedence), numerals(k))


def modular_answer(k: int) -> Parts:
    """An expression, from left to right, then = and its value; whatever follows is wrong."""
    read, equals = _expression(k, precedence=0), k + len(_SIGNS)

    def step(state: tuple[Any, ...], a: int) -> tuple[Hashable, int]:
        if state[0] == "equals" and a == state[1]:
            return _MALFORMED, 1
        if state[-1] == "sign" and a == equals:
            return ("equals", state[0]), 0
        if state[-1] in ("sign", "digit") and a < equals:
            return read(state, a)[0], 0
        return _MALFORMED, 0

    return words((0, 1, "digit"), (*numerals(k), *_SIGNS, "="), step)


def _expression(
    k: int, precedence: int
) -> Callable[[tuple[Any, ...], int], tuple[tuple[Any, ...], int | None]]:
    """How an expression is read, modulo k.

    A state is s and p, and whether a digit must follow: then the value will be s + p * digit,
    else it is s + p.  Without precedence, what was read is one number, s, as soon as it ends.
    """

    def step(state: tuple[Any, ...], a: int) -> tuple[tuple[Any, ...], int | None]:
        if state == _MALFORMED or (state[2] == "digit") != (a < k):
            return _MALFORMED, None
        s, p, _ = state
        if a < k:
            p = p * a % k
            return (s, p, "sign") if precedence else ((s + p) % k, 0, "sign"), (s + p) % k
        if _SIGNS[a - k] == "*":
            return (s, p, "digit") if precedence else (0, s, "digit"), None
        return ((s + p) % k, 1 if _SIGNS[a - k] == "+" else k - 1, "digit"), None

    return step


_SIGNS = "+-*"
_MALFORMED = ("malformed",)


def cycle_answer(k: int) -> Parts:
    """Moves on a circle, then the place where they end; whatever follows is wrong."""

    def step(place: Hashable, a: int) -> tuple[Hashable, int]:
        if isinstance(place, int) and a < len(_MOVES):
            return (place + tuple(_MOVES.values())[a]) % k, 0
        return "over", int(a - len(_MOVES) == place)

    return words(0, (*_MOVES, *numerals(k)), step)


_MOVES = {"=": 0, ">": 1, "<": -1}


def dyck(kinds: int, depth: int) -> Parts:
    """Whether all brackets are closed; the state is those that are open."""

    def step(stack: tuple[Any, ...], a: int) -> tuple[Hashable, int]:
        if stack == _MALFORMED or (a % 2 and (not stack or stack[-1] != _OPENING[a // 2])):
            return _MALFORMED, 0
        now = stack[:-1] if a % 2 else (*stack, _OPENING[a // 2])
        return (now, int(not now)) if len(now) <= depth else (_MALFORMED, 0)

    return words((), "()[]{}<>"[: 2 * kinds], step)


_OPENING = "([{<"


def window(test: Callable[[tuple[int, ...]], bool], length: int) -> Parts:
    """Whether the last symbols, zeros before the start, pass a test; of them all but one is kept.

    What no longer matters is not kept: states are minimised.
    """
    machine, codec = words(
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


def repeat_01() -> Parts:
    """What is next after an even and after an odd number of symbols; all else is malformed."""
    return words("even", "01", lambda q, a: _REPEATED.get((q, a), ("malformed", 0)))


def alternates(last: tuple[int, ...]) -> bool:
    """Whether no two neighbours are equal."""
    return all(a != b for a, b in pairwise(last))


def no_memory(symbols: Sequence[str], test: Callable[[int], bool]) -> Callable[[], Parts]:
    """A rule with one state: whether the symbol that is read passes a test."""
    return lambda: words("none", symbols, lambda q, a: (q, int(test(a))))


def bits(step: Callable[[int, int], tuple[int, int]], *names: str) -> Callable[[], Parts]:
    """A rule about bits whose states, numbers, have names."""

    def make() -> Parts:
        machine, codec = words(0, "01", step)
        named = tuple(names[int(state)] for state in machine.states)
        return replace(machine, states=named), codec

    return make
