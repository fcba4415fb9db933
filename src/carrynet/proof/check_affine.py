"""The part of the checker of word trees that is for any formula: one step, by affine values.

Hidden states are {c + y}, all y with |v . y|^2 <= v Q v for every vector v (`ellipsoids`).  Over
them every value of the formula is

    m + L y + r,    |r_i| <= e_i,    L = sum_t diag(k_t) L_t

m, k_t, L_t and e exact doubles, and r whatever is not linear, with every rounding of the doubles
here: so in exact arithmetic.  The *leaves* L_t are the parts of the state, and what was multiplied
by a matrix; all else scales rows, or adds them up.  What the network's own type comes to is off by
g_i at most.  The spread of a value is s_i = (L Q L^T)_ii^1/2, which |L y|_i never exceeds: the root
of sum_tu k_t k_u diag(L_t Q L_u^T).

    v W              m W, e |W|, and W^T L is a leaf
    a + b, a - b     each of the three added or taken away, errors added
    f(z)             a chord of slope k over m +- (s + e), and a remainder, see `check_trees.chord`:
                     k L, k e + remainder
    a b              (L_a y)(L_b y) lies within s_a s_b / 2 of c / 2, c_i = (L_a Q L_b^T)_ii: for
                     in coordinates in which Q is 1 it is the form of the matrix
                     (a^T b + b^T a) / 2, whose eigenvalues are (a . b +- |a| |b|) / 2 and 0.  So
                     m_a m_b + c / 2;  m_a L_b + m_b L_a;  and the error is
                     s_a s_b / 2 + (|m_a| + s_a) e_b + (|m_b| + s_b) e_a + e_a e_b
    mix(z, n, h)     n + z (h - n)

The image of a word is then an ellipsoid of L Q L^T and the box e, grown by the slack, which is to
be no less than g.  No cell is named here.

What comes of the input alone, and constants that the type has not, are balls of `balls`, and what
they are off by is in e.  The network's type: a sum, of several additions and products in any order,
is off as in `balls`, what was added up being |m| + sum_j |L_ij| q_j + e + g in size; a product by
g_a |b| + g_b |a| + g_a g_b besides; f(z) by g times the steepest slope of f that is come to, and
8 eps; ReLU is exact.

Rounding: A_i >= sum_t |k_ti| A_ti, A_ti >= sum_j |L_tij| q_j and q_j = Q_jj^1/2, is carried along.
Where a k_t or entries of an L_t as computed are off by at most g times a sum of magnitudes, |L y|
is by g times what that sum is with A in place of k L; every operation adds that to e, with what m
is off by.  As |(L_t Q L_u^T)_ii| <= A_ti A_ui, and so are the sums of magnitudes by which it is
computed, a sum over n_t and n_u leaves is off by g(2 D + n_t + n_u + 8) A A' at most.

What underflows is off by 2^-1074 at most: in an entry of L, times q, which is no more than 1e60;
in a k_t, times A_t; in L Q, times an entry of L, and in a sum over leaves, times k_t or k_u, or
both.  LEAST times as much has room for it.

Shapes: N words, S symbols, D state, d a value's width, R conditions of an output.  What does not
depend on the symbol has 1 in place of S.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flint import arb
from numpy.typing import NDArray

from carrynet.nets.equations import Instruction
from carrynet.proof import balls
from carrynet.proof.certificate import require
from carrynet.proof.check_trees import Followed, chord, conditions
from carrynet.proof.ellipsoids import DOWN, LEAST, UP, Array, enclosed, exact, gamma
from carrynet.proof.model import EPSILON, LARGEST, SMALLEST, Model
from carrynet.spec.task import Task


class Leaf(NamedTuple):
    """What values are linear in: rows that the state is multiplied by."""

    L: Array  # (N, S, d, D)
    half: Array  # (N, S, d, D) L Q
    A: Array  # (N, S, d)


class Value(NamedTuple):
    """A vector as an affine form of the state, what it was added up from, and how often."""

    m: Array  # (N, S, d)
    k: Mapping[int, Array]  # (N, S, d) by the numbers of leaves; none: it does not vary
    e: Array  # (N, S, d)
    A: Array  # (N, S, d)
    g: Array  # (N, S, d)
    size: Array  # (N, S, d)
    roundings: int  # 0 where g holds all there is to know

    @property
    def most(self) -> Array:
        """What its size is at most, in exact arithmetic."""
        return np.asarray((np.abs(self.m) + self.A + self.e) * UP)

    @property
    def most_computed(self) -> Array:
        """The same in that of the network's type."""
        return np.asarray((self.most + self.g) * UP)


class _Form(NamedTuple):
    """The first four of a value."""

    m: Array
    k: Mapping[int, Array]
    e: Array
    A: Array


class Affine:
    """The operations over ellipsoids of matrices Q (N, D, D), in the arithmetic of a type."""

    def __init__(self, dtype: str, Q: Array) -> None:
        self.dtype = dtype
        self.eps, self.eta = 2.0 ** EPSILON[dtype], 2.0 ** SMALLEST[dtype]
        self.Q = Q[:, None]
        self.leaves: list[Leaf] = []
        self.largest = 1.0  # of 1 and all entries of the L of leaves
        self._grams: dict[tuple[int, int], Array] = {}

    def leaf(self, L: Array, A: Array, half: Array | None = None) -> dict[int, Array]:
        """The k of what is linear by a new leaf alone, whose L Q may be known."""
        self.leaves.append(Leaf(L, L @ self.Q if half is None else half, A))
        self.largest = max(self.largest, largest(L))
        return {len(self.leaves) - 1: np.ones((1, 1, 1))}

    def whole(self, value: "Value | _Form") -> Array:
        """L (N, S, d, D), off by g(n + 1) A of n leaves."""
        if not value.k:
            return np.zeros((1, 1, value.m.shape[-1], self.Q.shape[-1]))
        return np.asarray(sum(k[..., None] * self.leaves[t].L for t, k in value.k.items()))

    def cross(self, a: "Value | _Form", b: "Value | _Form") -> tuple[Array, Array]:
        """(L_a Q L_b^T)_ii, and what that is off by at most, and a little more."""
        total = np.zeros(1)
        for t, x in a.k.items():
            inner = np.zeros(1)
            for u, y in b.k.items():
                inner = inner + y * self._gram(t, u)
            total = total + x * inner
        n = 2 * self.Q.shape[-1] + len(a.k) + len(b.k) + 8
        return total, 2 * gamma(n) * a.A * b.A + self._tiny(a, b)

    def _gram(self, t: int, u: int) -> Array:
        """diag(L_t Q L_u^T)."""
        key = min(t, u), max(t, u)
        if key not in self._grams:
            half, L = self.leaves[key[0]].half, self.leaves[key[1]].L
            self._grams[key] = np.einsum("...i,...i->...", half, L)
        return self._grams[key]

    def spread(self, value: "Value | _Form") -> Array:
        """Upper bounds of (L Q L^T)_ii^1/2."""
        squares, lost = self.cross(value, value)
        return np.asarray(np.sqrt(np.maximum(squares, 0) + lost) * UP)

    def _tiny(self, a: "Value | _Form", b: "Value | _Form") -> Array:
        """What is lost of a sum over leaves where its terms underflow."""
        return np.asarray(LEAST * self.largest * _scales(a) * _scales(b))

    def _least(self, *values: "Value | _Form") -> Array:
        """What is lost of scales that underflow."""
        leaves = {t for value in values for t in value.k}
        return LEAST * sum((self.leaves[t].A for t in leaves), start=np.ones(1))

    def settled(self, value: Value) -> Value:
        """The same with a g that holds what is computed, in whatever order sums are made."""
        n = value.roundings
        if not n:
            return value
        fits = (2 * value.size < 2.0 ** LARGEST[self.dtype]).all()
        require(bool(fits), f"sums may overflow {self.dtype}")
        g = (value.g + share(n, self.dtype) * value.size + 2 * n * self.eta) * UP
        return value._replace(g=g, roundings=0)

    def interpret(self, instructions: Sequence[Instruction], slots: list[Any]) -> None:
        """Carry out instructions, filling their slots."""
        for operation, operands, out in instructions:
            slots[out] = getattr(self, f"_{operation}")(*[slots[i] for i in operands])

    def _matmul(self, v: Value, W: Array) -> Value:
        v, size = self.settled(v), np.abs(W)
        e = (v.e @ size + 2 * gamma(len(W) + len(v.k) + 4) * (v.most @ size) + LEAST) * UP
        A = (v.A @ size) * UP
        k = self.leaf(W.T @ self.whole(v), A) if v.k else {}
        form = _Form(v.m @ W, k, e, A)
        return Value(*form, (v.g @ size) * UP, (v.most_computed @ size) * UP, len(W))

    def _add(self, a: Value, b: Value) -> Value:
        return self._sum(a, b, 1)

    def _subtract(self, a: Value, b: Value) -> Value:
        return self._sum(a, b, -1)

    def _sum(self, a: Value, b: Value, sign: int) -> Value:
        size, other = (v.size if v.roundings else v.most_computed for v in (a, b))
        roundings = a.roundings + b.roundings + 1
        return Value(*self._added(a, b, sign), (a.g + b.g) * UP, (size + other) * UP, roundings)

    def _multiply(self, a: Value, b: Value) -> Value:
        a, b = self.settled(a), self.settled(b)
        form, one, other = self._product(a, b)
        g = (one * b.g + other * a.g + a.g * b.g) * UP
        return Value(*form, g, a.most_computed * b.most_computed * UP, 1)

    def _mix(self, z: Value, n: Value, h: Value) -> Value:
        z, n, h = self.settled(z), self.settled(n), self.settled(h)
        product, gate, apart = self._product(z, self._added(h, n, -1))
        form = self._added(n, product, 1)
        # of (1 - z) n + z h, and of n + z (h - n): at most three roundings of what adds up to this
        both = n.most_computed + h.most_computed
        size = (n.most_computed + (1 + z.most_computed) * both) * UP
        rest = (np.abs(1 - z.m) + gate) * UP - np.abs(z.m) * DOWN  # |1 - z| at most
        g = (z.g * (apart + n.g + h.g) + rest * n.g + gate * h.g) * UP
        return Value(*form, g, size, 4)

    def _sigmoid(self, z: Value) -> Value:
        return self._activate("sigmoid", z)

    def _tanh(self, z: Value) -> Value:
        return self._activate("tanh", z)

    def _relu(self, z: Value) -> Value:
        return self._activate("relu", z)

    def _activate(self, activation: str, z: Value) -> Value:
        z = self.settled(z)
        width = (self.spread(z) + z.e if z.k else z.e) * UP
        k, middle, rest = chord(activation, *np.broadcast_arrays(z.m, width))
        A = k * z.A * UP
        e = (rest + k * z.e + 2 * gamma(2) * A + self._least(z)) * UP
        scales = {t: k * x for t, x in z.k.items()}
        g = (steepest(activation, np.abs(z.m) - (width + z.g) * UP) * z.g) * UP
        if activation != "relu":
            g = (g + 8 * self.eps) * UP
        return Value(middle, scales, e, A, g, A, 0)

    def _product(self, a: Value | _Form, b: Value | _Form) -> tuple[_Form, Array, Array]:
        """The product, and what the sizes of both are at most."""
        ma, mb, ea, eb = np.abs(a.m), np.abs(b.m), a.e, b.e
        m, k = a.m * b.m, dict[int, Array]()
        for one, other in ((a, b), (b, a)):
            for t, x in one.k.items():
                k[t] = other.m * x + k[t] if t in k else other.m * x
        # each term of m and of the k, and of c, whose entries are off by as much
        sizes = (np.abs(a.m) + a.A + ea) * (np.abs(b.m) + b.A + eb)
        lost = 2 * gamma(2 * self.Q.shape[-1] + len(a.k) + len(b.k) + 8) * sizes
        if a.k and b.k:
            of_a, of_b = self.spread(a), self.spread(b)
            m = m + self.cross(a, b)[0] / 2
            ma, mb, e = ma + of_a, mb + of_b, of_a * of_b / 2 + self._tiny(a, b)
        else:
            e = np.zeros(1)
            ma, mb = ma + a.A, mb + b.A
        e = (e + ma * eb + mb * ea + ea * eb + lost + self._least(a, b)) * UP
        form = _Form(m, k, e, (np.abs(a.m) * b.A + np.abs(b.m) * a.A) * UP)
        return form, (ma + ea) * UP, (mb + eb) * UP

    def _added(self, a: Value | _Form, b: Value | _Form, sign: int) -> _Form:
        """The sum, or the difference."""
        sizes = np.abs(a.m) + a.A + np.abs(b.m) + b.A
        k = dict(a.k)
        for t, x in b.k.items():
            k[t] = k[t] + sign * x if t in k else sign * x
        e = (a.e + b.e + 2 * gamma(2) * sizes + LEAST) * UP
        return _Form(a.m + sign * b.m, k, e, (a.A + b.A) * UP)


def largest(L: Array) -> float:
    """The size of the largest entry, or 1; infinite where one is not a number."""
    found = max(float(L.max()), -float(L.min()))
    return max(1.0, found) if found < np.inf else np.inf


def _scales(value: Value | _Form) -> Array:
    """1 and the sizes of all k."""
    return np.asarray(sum((np.abs(x) for x in value.k.values()), start=np.ones(1)))


def steepest(activation: str, least: Array) -> Array:
    """No less than the slope of an activation where |z| is not below `least`."""
    x = np.maximum(least * DOWN, 0)
    if activation == "sigmoid":
        slope = 1 / (2 + np.exp(x) + np.exp(-x))
    elif activation == "tanh":
        slope = 4 / (2 + np.exp(2 * x) + np.exp(-2 * x))
    else:
        slope = np.ones_like(x)
    return np.asarray(slope * (1 + 1e-9))


def share(n: int, dtype: str) -> float:
    """What n roundings of a type are off by at most, as a part of the sizes that are added up.

    Raises `Rejected` where they are so many that nothing is known.
    """
    eps = 2.0 ** EPSILON[dtype]
    require(n * eps < balls.MOST_ROUNDINGS, f"sums have too many terms for {dtype}")
    return n * eps / (1 - n * eps) * UP


def constant(m: Array, e: Array, size: Array | None = None, roundings: int = 0) -> Value:
    """What does not depend on the state."""
    none = np.zeros_like(m)
    return Value(m, {}, e, none, none, none if size is None else size, roundings)


class Steps:
    """What a network makes of ellipsoids, symbol by symbol; for `check_trees`."""

    def __init__(self, model: Model, task: Task) -> None:
        self.dtype, self.task, self.start = model.dtype, task, model.start
        self.cell, self.readout = model.formulas
        self.widths = model.widths
        self.widest = max(size for shape in model.shapes.values() for size in shape)
        require(self.widest <= _MOST_TERMS, f"trees are of up to {_MOST_TERMS:,} units a layer")
        few = self.numbers <= _MOST_NUMBERS
        require(few, "trees are of networks with fewer units, or fewer symbols")
        self.slots = self._read(model.weights)
        *self.layers, self.last, self.bias = self.readout.instructions
        self.of_readout = _slots(self.readout, model.weights, model.dtype)
        Why, by = (model.weights[self._name(i)] for i in (self.last, self.bias))
        outputs = conditions(Why, by, task)
        self.rows, self.rows_error = enclosed([[list(v) for v, _ in some] for some in outputs])
        self.offsets, self.offsets_error = enclosed([[b for _, b in some] for some in outputs])
        self.Why = np.abs(exact(Why, len(Why), len(by)))
        self.by = np.abs(np.array(by, dtype=np.float64))

    @property
    def width(self) -> int:
        """D, of the whole state."""
        return sum(self.widths)

    @property
    def numbers(self) -> int:
        """In the largest array that one word needs."""
        return len(self.task.machine.symbols) * self.widest * self.width

    def _name(self, instruction: Instruction) -> str:
        """The weights that are the second operand of an instruction of the readout."""
        return self.readout.parameter_slots[instruction.operands[1]]

    def _read(self, weights: Mapping[str, Any]) -> list[Any]:
        """The cell's slots, with what needs the input only, for every symbol at once: (1, S, d)."""
        slots, by_symbol = _slots(self.cell, weights, self.dtype), []
        arithmetic = balls.Arithmetic(self.dtype)
        for symbol in range(len(self.task.machine.symbols)):
            of_symbol = balls.slots_of(self.cell, weights, arithmetic)
            of_symbol[0] = balls.exact([arb(x) for x in self.task.vector(symbol)])
            arithmetic.interpret(self.cell.of_input, of_symbol)
            by_symbol.append(of_symbol)
        for slot in self.cell.drives:
            values = [of_symbol[slot] for of_symbol in by_symbol]
            if all(value == values[0] for value in values):  # of exact ones
                values = values[:1]
            roundings = max(value.roundings for value in values)
            m, e = enclosed([list(value.balls) for value in values])
            sizes = [[float(x.upper()) * UP for x in balls.sizes(value)] for value in values]
            slots[slot] = constant(m[None], e[None], np.array(sizes)[None], roundings)
        return slots

    def follow(self, centre: Array, Q: Array, state: NDArray[np.intp], slack: float) -> Followed:
        """Every word one symbol longer; see `Followed`.  Raises `Rejected`."""
        (N, D), S, affine = centre.shape, len(self.task.machine.symbols), Affine(self.dtype, Q)
        q = (np.sqrt(np.diagonal(Q, axis1=1, axis2=2)) * UP)[:, None]
        require(bool((q < _WIDEST).all()), "a word that is too wide")
        slots, at, unit = list(self.slots), 0, np.eye(D)
        for part, width in enumerate(self.widths, 1):
            here = slice(at, at + width)
            none = np.zeros((N, 1, width))
            k = affine.leaf(unit[here][None, None], q[..., here], Q[:, None, here])
            slots[part] = Value(centre[:, None, here], k, none, q[..., here], none, none, 0)
            at += width
        affine.interpret(self.cell.of_state, slots)
        parts = [affine.settled(slots[result]) for result in self.cell.results]
        for value in parts:
            covered = bool((value.g <= slack).all())
            require(covered, f"its slack does not cover the rounding of {self.dtype}")
        h = parts[0]
        h = h._replace(e=(h.e + slack) * UP, g=np.zeros_like(h.g))
        margin = self._margin(affine, h, state)
        m, e, A = (
            np.concatenate([_all(getattr(p, name), N, S, 1) for p in parts], axis=-1)
            for name in ("m", "e", "A")
        )
        maps = [affine.whole(p) for p in parts]
        L = np.concatenate([_all(each, N, S, 2) for each in maps], axis=-2).reshape(N * S, D, D)
        leaves = len(affine.leaves)
        e = e + 2 * gamma(leaves + 4) * A + LEAST  # of L, as it is added up here
        Z = (L.reshape(N, S * D, D) @ Q).reshape(N * S, D, D) @ np.swapaxes(L, 1, 2)
        Z = (Z + np.swapaxes(Z, 1, 2)) / 2
        A, diagonal = A.reshape(N * S, D), np.arange(D)
        Z[:, diagonal, diagonal] += 2 * gamma(2 * D + 8) * D * A**2 + LEAST * largest(L)
        return Followed(
            m.reshape(N * S, 1, D),
            np.ones((N * S, 1, D)),
            Z,
            ((e + slack) * UP).reshape(N * S, 1, D),
            margin,
        )

    def _margin(self, affine: Affine, h: Value, state: NDArray[np.intp]) -> Array:
        """Lower bounds of v . h + b over images, the least of an output's conditions: (N, S)."""
        N, S, machine = len(state), len(self.task.machine.symbols), self.task.machine
        output = np.array([[y or 0 for y in row] for row in machine.output])[state]
        slots = list(self.of_readout)
        slots[0] = h
        affine.interpret(self.layers, slots)
        v = affine.settled(slots[self.last.operands[0]])
        r, b = self.rows[output], self.offsets[output]  # (N, S, R, d), (N, S, R)
        size, most = np.abs(r), v.most_computed[..., None]

        def add_up(what: Array) -> Array:
            return np.asarray((size @ what[..., None])[..., 0] * UP)

        centre = (r @ v.m[..., None])[..., 0] + b
        A, spread = add_up(v.A), np.zeros(1)
        if v.k:
            through = r @ affine.whole(v)  # (N, S, R, D)
            squares = np.einsum("...i,...i->...", through @ affine.Q, through)
            lost = 2 * gamma(2 * self.width + 8) * A**2 + LEAST * largest(through)
            squares = np.maximum(squares, 0) + lost
            spread = np.sqrt(squares) * UP + 2 * gamma(r.shape[-1] + len(v.k) + 4) * A
        of_data = (self.rows_error[output] @ most)[..., 0] + self.offsets_error[output]
        sizes = (size @ most)[..., 0] + np.abs(b)
        lost = (2 * gamma(r.shape[-1] + 8) * sizes + of_data) * UP + LEAST
        # and what the logits of the network's own type are off by
        of_logits = (v.most_computed @ self.Why + self.by) * UP
        fits = (2 * of_logits < 2.0 ** LARGEST[self.dtype]).all()
        require(bool(fits), f"sums may overflow {self.dtype}")
        n = len(self.Why) + 1
        off = (share(n, self.dtype) * of_logits + 2 * n * affine.eta) * UP
        both = 2 * off.max(axis=-1, keepdims=True) + add_up(v.g)
        margin = (centre - add_up(v.e) - spread - lost - both).min(axis=-1)
        return np.broadcast_to(margin, (N, S))


def _all(value: Array, N: int, S: int, last: int) -> Array:
    return np.broadcast_to(value, (N, S, *value.shape[-last:]))


def _slots(formula: Any, weights: Mapping[str, Any], dtype: str) -> list[Any]:
    """The slots of a formula with its parameters and constants in, all else empty.

    A constant that is no number of the type is rounded to one.
    """
    slots: list[Any] = [None] * formula.size
    for slot, name in formula.parameter_slots.items():
        value = np.array(weights[name], dtype=np.float64)
        exactly = np.zeros((1, 1, len(value)))
        slots[slot] = value if value.ndim == 2 else constant(value[None, None], exactly)
    for slot, number in formula.constant_slots.items():
        m = np.full((1, 1, 1), number)
        off = abs(number) * 2.0 ** EPSILON[dtype] + 2.0 ** SMALLEST[dtype]
        slots[slot] = constant(m, np.full((1, 1, 1), 0.0 if balls.holds(number, dtype) else off))
    return slots


_WIDEST = 1e60
_MOST_TERMS = 4_000  # of a sum, for which UP is enough
_MOST_NUMBERS = 2**24  # 128 MB of doubles, of which some ten are there at once
