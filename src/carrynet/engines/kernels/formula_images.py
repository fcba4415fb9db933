"""The images of words of any cell, by the affine reading of its formula, in machine code.

Of the leaves of `affine` the code knows L_t and L_t Q, and for each two of them the numbers

    g_tu = diag(L_t Q L_u^T)        by which (L Q L^T)_ii is sum_tu k_t k_u g_tu

and so between products with matrices everything is done with vectors.  All L are kept turned
around, (P, d), so that a unit is a lane.

In float32, without regard to rounding, as `proof.affine`; and where leaves nearly cancel, as in two
large matrices whose difference is small, that sum loses half of its digits, which the difference of
the maps would not.  The checker then refuses what is found.

Shapes as in `trees`; d a value's width.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement

from carrynet.engines.kernels.affine import LOOSEN, AffinePlan, Pair
from carrynet.engines.kernels.growing import Grower
from carrynet.engines.vector import Integer, Value
from carrynet.nets.equations import Instruction

LEAST_WIDTH = 1e-6
"""Of chords: that of `proof.affine`, which kernels cannot import."""


@dataclass
class _Leaf:
    """Where L_t and L_t Q are, turned around, and how far their rows are apart."""

    L: Value
    L_width: int
    half: Value
    half_width: int


@dataclass
class _Form:
    """A value that varies: where its numbers are, d of each.

    Without `e` there is no error; of a leaf that has no scale it is 1; `spread` may not be known.
    """

    slot: int
    m: Value
    scales: Mapping[int, Value | None]
    e: Value | None = None
    spread: Value | None = None


@dataclass
class _Given:
    """A value that does not vary: where it is, or a number in all its places."""

    at: Value | None = None
    number: float = 0.0


class OfFormula:
    """Images of any cell; `weights` lie as `AffinePlan.places` says."""

    def __init__(self, k: Grower, plan: AffinePlan, room: Value, diagonal: Value) -> None:
        self.k, self.plan, self.diagonal, self.P = k, plan, diagonal, k.layout.width
        self._room, self._used = room, self.P**2
        self._Q, self._L, self._half = (self._take(self.P**2) for _ in range(3))
        self._centre, self._rho = self._take(self.P), self._take(self.P)
        self._leaves: dict[int, _Leaf] = {}
        self._grams: dict[Pair, Value] = {}
        self._values: dict[int, _Form | _Given] = {}

    def begin(self, word: Value) -> None:
        """See `Images`."""
        k, P, plan = self.k, self.P, self.plan
        for source, size, target in ((word, P, self._centre), (k.add(word, P), P * P, self._Q)):
            self._copy(k.at(k.words, source), size, target)
        for slot, place in plan.parts.items():
            self._values[slot] = _Form(slot, k.at(self._centre, place), {slot: None})
            if slot in plan.places:
                L, half = k.at(k.weights, plan.places[slot].start), k.at(self._Q, place)
                self._leaves[slot] = _Leaf(L, plan.width(slot), half, P)
        for slot in plan.names.keys() & plan.places.keys():
            self._values[slot] = _Given(k.at(k.weights, plan.places[slot].start))
        for slot, number in plan.constants.items():
            self._values[slot] = _Given(number=number)
        self._carry_out(each for each in plan.instructions if each.out in plan.shared)
        self._measure(pair for pair in plan.pairs if plan.shared.issuperset(pair))

    def image(self, symbol: Value, edge: Value, word: Value) -> Value:
        """See `Images`."""
        k, P, plan = self.k, self.P, self.plan
        place = k.mul(symbol, plan.shape.drive_width)
        for slot in plan.shape.formula.drives:
            self._values[slot] = _Given(k.at(k.drives, place))
            place = k.add(place, plan.width(slot))
        self._carry_out(each for each in plan.instructions if each.out not in plan.shared)
        centre, matrix = k.at(k.words, word), k.at(k.words, k.add(word, P))
        for result, place in zip(plan.shape.formula.results, plan.parts.values(), strict=True):
            self._write(self._form(result), place, centre)
        self._times(self._L, P, P, self._half, P, matrix, P, P, turned=True)
        self._answer(edge, matrix)
        trace = k.trace(matrix, k.metric(k.i64(0)))
        size, more, added = k.joined(k.root(trace, 1e-20), self._rho)
        more, added, scales = k.splat(more), k.splat(added), k.metric(k.i64(0)).scales
        k.loop(P * P, lambda i: k.store(k.fmul(k.load(matrix, i), more), matrix, i), step=k.lanes)
        k.loop(P, lambda i: k.store(k.scalar(matrix, k.mul(i, P + 1)), self.diagonal, i))
        self._each(
            P,
            lambda at: [
                k.fma(
                    k.fmul(added, k.load(self._rho, at)),
                    k.load(scales, k.add(at, P)),
                    k.load(self.diagonal, at),
                )
            ],
            [self.diagonal],
        )
        k.loop(P, lambda i: k.store(k.scalar(self.diagonal, i), matrix, k.mul(i, P + 1)))
        return size

    def _write(self, v: _Form, place: int, centre: Value) -> None:
        """Write a part of the new state where the whole is: its centre, error, L and L Q."""
        k, width, size = self.k, self.plan.width(v.slot), self.plan.sizes[v.slot]
        vectors, slack = width // k.lanes, k.splat(k.limit("slack"))
        for i, value in enumerate(k.only(k.load_all(v.m, 0, vectors), size, 0.0)):
            at = place + i * k.lanes
            k.store(value, centre, at)
            e = slack if v.e is None else k.fadd(k.load(v.e, i * k.lanes), slack)
            k.store(e, self._rho, at)
        self._write_whole(v, k.at(self._L, place), k.at(self._half, place), self.P)

    def _answer(self, edge: Value, matrix: Value) -> None:
        """End the call where the answer is in doubt."""
        k, b, v, P = self.k, self.k.builder, self._form(self.plan.fed), self.P
        width, inner, step = self.plan.width(v.slot), self.plan.sizes[v.slot], P
        if v.slot != self.plan.loosened:
            L, half, between = self._whole(v)
            matrix, step = self._take(width * width), width
            self._times(L, between, P, half, width, matrix, width, width, turned=True)

        def condition(r: Value) -> None:
            which = k.add(k.mul(edge, k.R), r)
            row = k.at(k.conditions, k.mul(which, width))
            margin: Value | None = None
            for at in range(0, width, k.lanes):
                value = k.load(row, at)
                margin = k.fma(value, k.load(v.m, at), margin)
                margin = k.fsub(margin, k.fmul(k.abs(value), k.load(v.e, at)))
            square: Value | None = None
            for columns in self._tiles(width):
                (sums,) = k.gemm(1, columns, row, 0, matrix, None, inner=inner, width=step)
                for c, value in zip(columns, sums, strict=True):
                    square = k.fma(value, k.load(row, c * k.lanes), square)
            least = b.fadd(k.total(margin), k.scalar(k.offsets, which))
            k.require(b.fsub(least, k.root(k.total(square))))

        k.loop(k.R, condition)

    # The reading

    def _form(self, slot: int) -> _Form:
        form = self._values[slot]
        assert isinstance(form, _Form)
        return form

    def _carry_out(self, instructions: Iterable[Instruction]) -> None:
        for operation, operands, out in instructions:
            values = [self._values[i] for i in operands]
            self._values[out] = self._value(out, operation, values)

    def _value(
        self, out: int, operation: str, operands: Sequence[_Form | _Given]
    ) -> _Form | _Given:
        match operation, operands:
            case "matmul", [_Form() as v, _Given(W)]:
                return self._product(out, v, W)
            case "add", [a, b]:
                return self._sum(out, a, b, 1)
            case "subtract", [a, b]:
                return self._sum(out, a, b, -1)
            case "multiply", [a, b]:
                return self._multiply(out, a, b)
            case "mix", [z, n, h]:  # n + z (h - n)
                return self._sum(out, n, self._multiply(out, z, self._sum(out, h, n, -1)), 1)
            case _, [_Form() as v]:
                if operation == LOOSEN:
                    return self._loosened(out, v)
                return self._activate(out, operation, v)
        raise AssertionError(operation)

    def _product(self, out: int, v: _Form, W: Value) -> _Form:
        """v W, which is a leaf."""
        k, P, plan = self.k, self.P, self.plan
        inner, width = plan.sizes[v.slot], plan.width(out)
        half = self._take(P * width)
        if v.slot in plan.parts:  # of whose L all rows but its own are zero
            place = plan.parts[v.slot]
            self._leaves[out] = _Leaf(W, width, half, width)
            W = k.at(W, place * width)
            self._times(k.at(self._Q, place), P, inner, W, width, half, P, width)
        else:
            L, (*whole, step) = self._take(P * width), self._whole(v)
            self._leaves[out] = _Leaf(L, width, half, width)
            for a, to in zip(whole, (L, half), strict=True):
                self._times(a, step, inner, W, width, to, P, width)
        m = self._through(v.m, inner, W, width, magnitudes=False)
        e = None if v.e is None else self._through(v.e, inner, W, width, magnitudes=True)
        return _Form(out, m, {out: None}, e)

    def _through(self, v: Value, inner: int, W: Value, width: int, *, magnitudes: bool) -> Value:
        """v W, or v |W|, of a row of numbers."""
        k, to = self.k, self._take(width)
        for columns in self._tiles(width):
            (sums,) = k.gemm(
                1, columns, v, 0, W, None, magnitudes=magnitudes, inner=inner, width=width
            )
            for c, value in zip(columns, sums, strict=True):
                k.store(value, to, c * k.lanes)
        return to

    def _sum(self, out: int, a: _Form | _Given, b: _Form | _Given, sign: int) -> _Form | _Given:
        """a + b, or a - b."""
        k, width = self.k, self.plan.width(out)
        add = k.fadd if sign > 0 else k.fsub
        m = self._new(width, lambda at: add(self._middle(a, at), self._middle(b, at)))
        if isinstance(b, _Given):
            return _Given(m) if isinstance(a, _Given) else _Form(out, m, a.scales, a.e, a.spread)
        if isinstance(a, _Given):
            scales = {t: self._signed(width, scale, sign) for t, scale in b.scales.items()}
            return _Form(out, m, scales, b.e, b.spread)
        e = a.e or b.e
        if a.e and b.e:
            e = self._new(width, lambda at: k.fadd(k.load(a.e, at), k.load(b.e, at)))
        scales = dict(a.scales)
        for t, scale in b.scales.items():
            if t in scales:
                scales[t] = self._both(width, scales[t], scale, add)
            else:
                scales[t] = self._signed(width, scale, sign)
        return _Form(out, m, scales, e)

    def _multiply(self, out: int, a: _Form | _Given, b: _Form | _Given) -> _Form:
        k, width = self.k, self.plan.width(out)
        if isinstance(a, _Given):
            a, b = b, a
        assert isinstance(a, _Form)
        if isinstance(b, _Given):

            def scaled(value: Value | None, *, size: bool = False) -> Value:
                def at_place(at: Integer) -> Value:
                    factor = self._middle(b, at)
                    return k.fmul(self._scale(value, at), k.abs(factor) if size else factor)

                return self._new(width, at_place)

            scales = {t: scaled(scale) for t, scale in a.scales.items()}
            return _Form(out, scaled(a.m), scales, a.e and scaled(a.e, size=True))
        s, t = self._spread(a), self._spread(b)
        pairs = [(i, j) for i in a.scales for j in b.scales]
        self._measure(_pair(i, j) for i, j in pairs)
        m, e = self._take(width), self._take(width)

        def middle_and_error(at: Integer) -> list[Value]:
            common: Value | None = None
            for i, j in pairs:
                both = k.fmul(self._scale(a.scales[i], at), self._scale(b.scales[j], at))
                common = k.fma(both, k.load(self._grams[_pair(i, j)], at), common)
            half, x, y = k.constant(0.5), k.load(a.m, at), k.load(b.m, at)
            of_a, of_b = k.load(s, at), k.load(t, at)
            error = k.fmul(k.fmul(of_a, of_b), half)
            if b.e:
                size = k.fadd(k.abs(x), of_a)
                size = k.fadd(size, k.load(a.e, at)) if a.e else size
                error = k.fma(size, k.load(b.e, at), error)
            if a.e:
                error = k.fma(k.fadd(k.abs(y), of_b), k.load(a.e, at), error)
            return [k.fma(common, half, k.fmul(x, y)), error]

        self._each(width, middle_and_error, [m, e])
        scales = {}
        for i in {**a.scales, **b.scales}:
            terms = [(v.scales[i], other.m) for v, other in ((a, b), (b, a)) if i in v.scales]
            scales[i] = self._new(width, partial(self._weighted, terms))
        return _Form(out, m, scales, e)

    def _weighted(self, terms: Sequence[tuple[Value | None, Value]], at: Integer) -> Value:
        total: Value | None = None
        for scale, factor in terms:
            total = self.k.fma(self._scale(scale, at), self.k.load(factor, at), total)
        return total

    def _activate(self, out: int, activation: str, z: _Form) -> _Form:
        k, width, spread = self.k, self.plan.width(out), self._spread(z)
        slope, m, e = (self._take(width) for _ in range(3))

        def chord(at: Integer) -> list[Value]:
            w = k.load(spread, at)
            w = k.fadd(w, k.load(z.e, at)) if z.e else w
            w = k.at_least(LEAST_WIDTH, k.fmul(w, k.constant(1 + 1e-6)))
            chord, middle, rho = k.chord(activation, k.load(z.m, at), w)
            return [chord, middle, k.fma(chord, k.load(z.e, at), rho) if z.e else rho]

        self._each(width, chord, [slope, m, e])
        scales = {t: self._both(width, scale, slope, k.fmul) for t, scale in z.scales.items()}
        return _Form(out, m, scales, e)

    def _loosened(self, out: int, v: _Form) -> _Form:
        k, slack = self.k, self.k.splat(self.k.limit("slack"))
        e = self._new(
            self.plan.width(out), lambda at: k.fadd(k.load(v.e, at), slack) if v.e else slack
        )
        return _Form(out, v.m, v.scales, e, v.spread)

    def _spread(self, v: _Form) -> Value:
        if v.spread is None:
            k, pairs = self.k, list(combinations_with_replacement(v.scales, 2))
            self._measure(_pair(i, j) for i, j in pairs)

            def spread(at: Integer) -> Value:
                square: Value | None = None
                for i, j in pairs:
                    both = k.fmul(self._scale(v.scales[i], at), self._scale(v.scales[j], at))
                    both = both if i == j else k.fadd(both, both)
                    square = k.fma(both, k.load(self._grams[_pair(i, j)], at), square)
                return k.sqrt(k.at_least(0.0, square))

            v.spread = self._new(self.plan.width(v.slot), spread)
        return v.spread

    def _measure(self, pairs: Iterable[Pair]) -> None:
        """Find g of pairs of leaves, of which both are equally wide, where it is not known."""
        by_width: dict[int, list[Pair]] = {}
        for pair in dict.fromkeys(pairs):
            if pair not in self._grams:
                by_width.setdefault(self.plan.width(pair[0]), []).append(pair)
        for width, those in by_width.items():
            for start in range(0, len(those), _PAIRS):
                some = those[start : start + _PAIRS]
                targets = [self._take(width) for _ in some]
                self._each(width, partial(self._measured, some), targets)
                self._grams |= zip(some, targets, strict=True)

    def _measured(self, pairs: Sequence[Pair], at: Integer) -> list[Value]:
        """A vector of g of each pair."""
        k, count = self.k, len(pairs)
        sets = 4 if count < 3 else 1  # of sums, which would wait for one another
        leaves = {t: self._leaves[t] for pair in pairs for t in pair}

        def row(p: Value, *sums: Value) -> list[Value]:
            new = list(sums)
            for j in range(sets):
                L, half = {}, {}
                for t, leaf in leaves.items():
                    here = k.add(p, j)
                    L[t] = k.load(leaf.L, k.add(k.mul(here, leaf.L_width), at))
                    half[t] = k.load(leaf.half, k.add(k.mul(here, leaf.half_width), at))
                for n, (t, u) in enumerate(pairs, j * count):
                    new[n] = k.fma(L[t], half[u], new[n])
            return new

        sums = k.loop(self.P, row, [k.constant(0.0)] * (sets * count), step=sets)
        while len(sums) > count:
            middle = len(sums) // 2
            sums = [*map(k.fadd, sums[:middle], sums[middle:])]
        return sums

    # Rows and matrices in memory

    def _take(self, size: int) -> Value:
        """Room for so many floats."""
        place = self.k.at(self._room, self._used)
        self._used += size
        assert self._used <= self.plan.room
        return place

    def _copy(self, source: Value, size: int, to: Value) -> None:
        k = self.k
        k.loop(size, lambda i: k.store(k.load(source, i), to, i), step=k.lanes)

    def _each(
        self, width: int, values: Callable[[Integer], Sequence[Value]], to: Sequence[Value]
    ) -> None:
        """Write several rows, by what their vectors are at a place."""
        k = self.k

        def some(at: Integer) -> None:
            for value, pointer in zip(values(at), to, strict=True):
                k.store(value, pointer, at)

        if width <= 2 * k.lanes:
            for at in range(0, width, k.lanes):
                some(at)
        else:
            k.loop(width, some, step=k.lanes)

    def _new(self, width: int, value: Callable[[Integer], Value]) -> Value:
        """A row of what its vectors are at a place."""
        to = self._take(width)
        self._each(width, lambda at: [value(at)], [to])
        return to

    def _middle(self, v: _Form | _Given, at: Integer) -> Value:
        if isinstance(v, _Form):
            return self.k.load(v.m, at)
        return self.k.constant(v.number) if v.at is None else self.k.load(v.at, at)

    def _scale(self, scale: Value | None, at: Integer) -> Value:
        return self.k.constant(1.0) if scale is None else self.k.load(scale, at)

    def _both(
        self,
        width: int,
        one: Value | None,
        other: Value | None,
        operation: Callable[[Value, Value], Value],
    ) -> Value:
        """A scale of two."""
        return self._new(width, lambda at: operation(self._scale(one, at), self._scale(other, at)))

    def _signed(self, width: int, scale: Value | None, sign: int) -> Value | None:
        if sign > 0:
            return scale
        zero = self.k.constant(0.0)
        return self._new(width, lambda at: self.k.fsub(zero, self._scale(scale, at)))

    def _whole(self, v: _Form) -> tuple[Value, Value, int]:
        """L and L Q of a value, turned around, and how far their rows are apart."""
        width = self.plan.width(v.slot)
        L, half = self._take(self.P * width), self._take(self.P * width)
        self._write_whole(v, L, half, width)
        return L, half, width

    def _write_whole(self, v: _Form, L: Value, half: Value, step: int) -> None:
        k, leaves = self.k, [self._leaves[t] for t in v.scales]

        def column(at: Integer) -> None:
            scales = [scale and k.load(scale, at) for scale in v.scales.values()]

            def row(p: Value) -> None:
                for to, rows in (
                    (L, [(leaf.L, leaf.L_width) for leaf in leaves]),
                    (half, [(leaf.half, leaf.half_width) for leaf in leaves]),
                ):
                    total: Value | None = None
                    for scale, (pointer, width) in zip(scales, rows, strict=True):
                        value = k.load(pointer, k.add(k.mul(p, width), at))
                        if scale is not None:
                            total = k.fma(scale, value, total)
                        else:
                            total = value if total is None else k.fadd(total, value)
                    k.store(total, to, k.add(k.mul(p, step), at))

            k.loop(self.P, row)

        k.loop(self.plan.width(v.slot), column, step=k.lanes)

    def _tiles(self, width: int) -> list[range]:
        """The vectors of a row, in groups of as many as there are registers for."""
        vectors, most = width // self.k.lanes, self.k.registers // 8
        return [range(i, min(i + most, vectors)) for i in range(0, vectors, most)]

    def _times(
        self,
        a: Value,
        step: int,
        inner: int,
        w: Value,
        width: int,
        to: Value,
        rows: int,
        to_width: int,
        *,
        turned: bool = False,
    ) -> None:
        """to = a w, or a^T w: so many rows of `width`, from products of `inner` numbers.

        `step` and `to_width` are how far rows of `a` and `to` are apart.
        """
        k, steps = self.k, (1, step) if turned else (step, 1)

        def some(first: Value) -> None:
            for columns in self._tiles(width):
                start = k.mul(first, steps[0])
                sums = k.gemm(4, columns, a, start, w, None, inner=inner, width=width, steps=steps)
                for r, values in enumerate(sums):
                    for c, value in zip(columns, values, strict=True):
                        place = k.add(k.mul(k.add(first, r), to_width), c * k.lanes)
                        k.store(value, to, place)

        k.loop(rows, some, step=4)


_PAIRS = 12  # of which g is found at once


def _pair(i: int, j: int) -> Pair:
    return (i, j) if i < j else (j, i)
