"""The reading of formulas by balls: what a network can compute, with every rounding of its type.

Each value is a vector of balls (Arb) that hold whatever the network's own arithmetic could come
to.  Sums may be made in any order, over several additions and products: so a sum carries its
exact enclosure, the sum s of the sizes of what is added, and the number n of roundings on any
way through it; when something else than another sum needs it, it is widened by (Higham 2002,
sections 2.1 and 3.1)

    g(n) s + 2 n eta,    g(n) = n eps / (1 - n eps)

with eps = 2^-24 or 2^-53 and eta the smallest normal number, which covers underflow, gradual or
to zero.  That holds where nothing overflows: so 2 s must be a number of the type.  A product of
two values is a sum of one term.  `mix` is affine in z, so its extremes are where z is at an end;
there 1 - z and z are numbers, so that n and h, each in it once, may be whole balls.  The same
holds of the first operand of a product.  The s of `mix` covers (1 - z) n + z h as well as
n + z (h - n).  Of sigmoid and tanh, as they are computed, an absolute error of 8 eps is assumed;
ReLU is exact.

It needs no NumPy, and shares no rule with the readings that networks are trained and searched by.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flint import arb, arb_mat

from carrynet.nets.equations import Instruction
from carrynet.nets.formula import Formula
from carrynet.proof.certificate import require
from carrynet.proof.model import EPSILON, LARGEST, SMALLEST, of_type

Balls = Sequence[arb]

MOST_ROUNDINGS = 2.0**-10
"""On any way through a sum, times eps: where they come to one, as of sums that are doubled 24
times, g(n) is no bound."""


class Value(NamedTuple):
    """A vector: its balls in exact arithmetic, what they were added up from, and how often."""

    balls: Balls
    size: Balls
    roundings: int  #: 0 where the balls hold all there is to know


class Matrix(NamedTuple):
    """A matrix of weights."""

    exact: arb_mat
    size: arb_mat  #: its entries without their signs


class Arithmetic:
    """The operations in the arithmetic of a type."""

    def __init__(self, dtype: str) -> None:
        self.dtype, self.largest = dtype, arb((1, LARGEST[dtype]))
        self.eps, self.eta = arb((1, EPSILON[dtype])), arb((1, SMALLEST[dtype]))

    def settled(self, value: Value) -> Balls:
        """Balls that hold what is computed, in whatever order sums are made."""
        n = value.roundings
        if not n:
            return value.balls
        require(n * self.eps < MOST_ROUNDINGS, f"sums have too many terms for {self.dtype}")
        share, least = n * self.eps / (1 - n * self.eps), 2 * n * self.eta
        for size in value.size:
            require(2 * size < self.largest, f"sums may overflow {self.dtype}")
        pairs = zip(value.balls, value.size, strict=True)
        return [_widened(ball, share * size + least) for ball, size in pairs]

    def interpret(
        self, instructions: Sequence[Instruction], slots: list[Value | Matrix | arb | None]
    ) -> None:
        """Carry out instructions, filling their slots."""
        for operation, operands, out in instructions:
            slots[out] = getattr(self, f"_{operation}")(*[slots[i] for i in operands])

    def errors(self, v: Value, W: Matrix, b: Value) -> Balls:
        """What each of v W + b can be off by."""
        found = self._add(self._matmul(v, W), b)
        zeros = Value([arb(0)] * len(found.size), found.size, found.roundings)
        return [_most(ball) for ball in self.settled(zeros)]

    def _matmul(self, v: Value, W: Matrix) -> Value:
        row = arb_mat([self.settled(v)])
        size = arb_mat([[_most(ball) for ball in row.entries()]]) * W.size
        return Value((row * W.exact).entries(), size.entries(), W.exact.nrows())

    def _add(self, a: Value | arb, b: Value | arb) -> Value:
        return self._sum(a, b, 1)

    def _subtract(self, a: Value | arb, b: Value | arb) -> Value:
        return self._sum(a, b, -1)

    def _sum(self, a: Value | arb, b: Value | arb, sign: int) -> Value:
        a, b = _vectors(a, b)
        return Value(
            [p + sign * q for p, q in zip(a.balls, b.balls, strict=True)],
            [p + q for p, q in zip(sizes(a), sizes(b), strict=True)],
            a.roundings + b.roundings + 1,
        )

    def _multiply(self, a: Value | arb, b: Value | arb) -> Value:
        a, b = _vectors(a, b)
        pairs = zip(self.settled(a), self.settled(b), strict=True)
        balls = [(x.lower() * y).union(x.upper() * y) for x, y in pairs]
        return Value(balls, [_most(ball) for ball in balls], 1)

    def _mix(self, z: Value | arb, n: Value | arb, h: Value | arb) -> Value:
        z, n, h = _vectors(z, n, h)
        triples = list(zip(*(self.settled(v) for v in (z, n, h)), strict=True))
        balls = []
        for x, y, w in triples:
            low, high = x.lower(), x.upper()
            balls.append(((1 - low) * y + low * w).union((1 - high) * y + high * w))
        # of (1 - z) n + z h, and of n + z (h - n): at most three roundings of what adds up to this
        sizes = [(_most(y) + (1 + _most(x)) * (_most(y) + _most(w))).upper() for x, y, w in triples]
        return Value(balls, sizes, 4)

    def _sigmoid(self, z: Value) -> Value:
        return self._activate(z, lambda x: 1 / (1 + (-x).exp()))

    def _tanh(self, z: Value) -> Value:
        return self._activate(z, arb.tanh)

    def _activate(self, z: Value, f: Callable[[arb], arb]) -> Value:
        error = 8 * self.eps
        balls = [f(ball.lower()).union(f(ball.upper())) for ball in self.settled(z)]
        return Value([_widened(ball, error) for ball in balls], (), 0)

    def _relu(self, z: Value) -> Value:
        zero = arb(0)
        balls = [ball.lower().max(zero).union(ball.upper().max(zero)) for ball in self.settled(z)]
        return Value(balls, (), 0)


def exact(balls: Balls) -> Value:
    """A value of which the balls hold all there is to know."""
    return Value(balls, (), 0)


def holds(constant: float, dtype: str) -> bool:
    """Whether a type has a constant of a formula."""
    return of_type([constant], dtype)


def hull(one: Value, other: Value) -> Value:
    """What holds both of two values that the same instruction yields."""
    balls = [p.union(q) for p, q in zip(one.balls, other.balls, strict=True)]
    sizes = [p.max(q) for p, q in zip(one.size, other.size, strict=True)]
    return Value(balls, sizes, max(one.roundings, other.roundings))


def slots_of(formula: Formula, weights: Mapping[str, Any], arithmetic: Arithmetic) -> list[Any]:
    """The slots of a formula with its parameters and constants in, all else empty.

    A constant that is no number of the type is rounded to one.
    """
    slots: list[Any] = [None] * formula.size
    for slot, name in formula.parameter_slots.items():
        matrix = name[0].isupper()
        slots[slot] = _matrix(weights[name]) if matrix else exact([arb(w) for w in weights[name]])
    for slot, constant in formula.constant_slots.items():
        rounding = abs(constant) * arithmetic.eps + arithmetic.eta
        slots[slot] = (
            arb(constant)
            if holds(constant, arithmetic.dtype)
            else _widened(arb(constant), rounding)
        )
    return slots


def _vectors(*values: Value | arb) -> list[Value]:
    """The same, with numbers as vectors that are as wide as the others."""
    (width,) = {len(value.balls) for value in values if isinstance(value, Value)}
    return [v if isinstance(v, Value) else exact([v] * width) for v in values]


def sizes(value: Value) -> Balls:
    """Of what it was added up from, or its own."""
    return value.size if value.roundings else [_most(ball) for ball in value.balls]


def _most(ball: arb) -> arb:
    """The largest size in a ball, or more."""
    return abs(ball).upper()


def _widened(ball: arb, by: arb) -> arb:
    return ball + arb(0, by.upper())


def _matrix(rows: Sequence[Sequence[float]]) -> Matrix:
    return Matrix(arb_mat(rows), arb_mat([[abs(x) for x in row] for row in rows]))
