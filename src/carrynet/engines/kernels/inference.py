"""Words followed and judged: the tree of prefixes, and long words."""

from collections.abc import Sequence

import llvmlite.ir as ir

from carrynet.engines.kernels.cell import Cell, Rows
from carrynet.engines.kernels.shape import Layout, Parameters, Shape
from carrynet.engines.vector import FLOAT, Integer, Value


class Inference(Cell):
    """Code that follows words and grades what the network answers.

    Where a symbol leads to is read from `drives`, x Wxh + bh for each symbol, (S, P).
    """

    def follow(
        self, count: int, a: Value, a_row: Integer, drive: list[Integer], b: Value, b_row: Integer
    ) -> None:
        """b[r] = f(drives[drive[r]] + a[r] Whh) for `count` rows; b may not be a."""
        P, L = self.layout.width, self.lanes
        for columns in self.column_tiles(self.registers // 8):
            z = [
                [self.load(self.drives, self.add(self.mul(s, P), v * L)) for v in columns]
                for s in drive
            ]
            z = self.gemm(count, columns, a, a_row, self.at(self.p, self.layout.Whh), z)
            for r, row in enumerate(z):
                for v, value in zip(columns, row, strict=True):
                    place = self.add(b_row, r * P + v * L)
                    self.store(self.activate(value, v), b, place)

    def grade(
        self, h: Value, h_row: Integer, edge: Integer, right: Value, seen: Sequence[Value]
    ) -> tuple[Value, list[Value]]:
        """Whether the answer to a hidden state is that of a machine's edge.

        Returns that, and what has been `seen` of margins: the smallest, and, where the word was
        `right` so far (a bit), the one nearest to zero.  As `losses.predict` and
        `losses.margins`; what is not a number is wrong by the most there is, and, like what is
        about to overflow, as near to zero as can be.
        """
        b, Y = self.builder, self.shape.outputs
        expected = self.integer(self.output, edge, 32)
        logits = [self.logit(h, h_row, y) for y in range(Y)]
        if self.shape.readout == "bits":
            (logit,) = logits
            one = b.icmp_unsigned("==", expected, self.i64(1))
            zero = ir.Constant(FLOAT, 0.0)
            hit = b.select(one, b.fcmp_ordered(">", logit, zero), b.fcmp_ordered("<=", logit, zero))
            margin = b.select(one, logit, b.fneg(logit))
        else:
            lowest = ir.Constant(FLOAT, -3.4028234663852886e38)
            chosen, other = lowest, lowest
            here = [b.icmp_unsigned("==", expected, self.i64(y)) for y in range(Y)]
            for logit, mine in zip(logits, here, strict=True):
                chosen = b.select(mine, logit, chosen)
            hit = ir.Constant(ir.IntType(1), 1)
            for y, (logit, mine) in enumerate(zip(logits, here, strict=True)):
                # the first of equals wins: those before must be less, those after not more
                before = b.icmp_unsigned("<", self.i64(y), expected)
                beaten = b.select(
                    before,
                    b.fcmp_ordered("<", logit, chosen),
                    b.fcmp_ordered("<=", logit, chosen),
                )
                hit = b.and_(hit, b.or_(mine, beaten))
                more = b.and_(b.fcmp_unordered(">", logit, other), b.not_(mine))
                other = b.select(more, logit, other)
            margin = b.fsub(chosen, other)
        number = b.fcmp_ordered("==", margin, margin)
        margin = b.select(number, margin, ir.Constant(FLOAT, -3.4028234663852886e38))
        zero = ir.Constant(FLOAT, 0.0)
        size = b.select(b.fcmp_ordered("<", margin, zero), b.fneg(margin), margin)
        huge = b.fcmp_ordered(">", size, ir.Constant(FLOAT, HUGE))
        settled = ir.Constant(FLOAT, 3.4028234663852886e38)  # it is wrong, whatever comes
        news = (margin, b.select(right, b.select(huge, zero, size), settled))
        now = [
            b.select(b.fcmp_ordered("<", new, old), new, old)
            for new, old in zip(news, seen, strict=True)
        ]
        return b.zext(b.and_(hit, number), ir.IntType(64)), now

    def bit(self, number: Value) -> Value:
        """Whether a number is not zero."""
        return self.builder.icmp_unsigned("!=", number, self.i64(0))

    def seen(self) -> list[Value]:
        """What has been seen of margins so far, in all calls; see `grade`."""
        return [self.scalar(self.margin, i) for i in range(2)]

    def keep(self, seen: Sequence[Value]) -> None:
        """Keep what has been seen of margins for the next call, and for the caller."""
        for i, value in enumerate(seen):
            self.store(value, self.margin, i)


HUGE = 2.0**100
"""A larger margin is near to overflow, where the order of a sum decides what is a number."""


BLOCK = 32
"""Prefixes that `walk` expands at once; their children stay in the cache."""


def walk_room(shape: Shape, symbols: int) -> int:
    """Floats that one level of `walk` works in: children, and rows to flush them into."""
    return BLOCK * symbols * (2 * Layout(shape).width + 2)


WALK = Parameters(
    {
        "p": "f4",
        "drives": "f4",
        "delta": "i4",
        "output": "i4",
        "h": "f4",
        "state": "i4",
        "right": "i4",  # the prefixes
        "work": "f4",  # `walk_room` for each level
        "tally": "i8",
        "margin": "f4",
    },
    ("N", "word", "depth", "headroom", "S"),
)


def walk(shape: Shape) -> ir.Module:
    """`walk(...)`: every word below some prefixes, judged; see `evaluation.evaluate`.

    N prefixes with hidden states h (N, P), machine states and whether each was right
    so far; `word` is the number of the first in base S.  Adds to `tally` how many words
    of `depth` more symbols and `headroom` zeros are right, and lowers tally[1] to the
    first that is wrong, and `margin` to the smallest margin and the one nearest to zero.
    Calls itself for each block of children.
    """
    module = ir.Module("walk")
    k = Inference(module, "walk", WALK, shape)
    b, P, L = k.builder, k.layout.width, k.lanes
    columns_at_once = k.registers // 8
    most = k.mul(k.S, BLOCK)
    h_next = k.work
    h_flush = k.at(k.work, k.mul(most, P))
    state_next = k.at(k.work, k.mul(most, 2 * P))
    right_next = k.at(state_next, most)
    beyond = k.at(right_next, most)

    def expand(first: Integer, count: int) -> None:
        for columns in k.column_tiles(columns_at_once):
            z = k.gemm(count, columns, k.h, k.mul(first, P), k.at(k.p, k.layout.Whh), None)

            def child(a: Value, z: Rows = z, columns: range = columns) -> None:
                for v_index, v in enumerate(columns):
                    drive = k.load(k.drives, k.add(k.mul(a, P), v * L))
                    for r in range(count):
                        row = k.add(k.mul(k.add(first, r), k.S), a)
                        value = k.activate(k.fadd(z[r][v_index], drive), v)
                        k.store(value, h_next, k.add(k.mul(row, P), v * L))

            k.loop(k.S, child)

    def grade_children(i: Value, *seen: Value) -> list[Value]:
        before, so_far = k.integer(k.state, i, 32), k.integer(k.right, i, 32)

        def child(a: Value, *seen: Value) -> list[Value]:
            edge, row = k.add(k.mul(before, k.S), a), k.add(k.mul(i, k.S), a)
            hit, now = k.grade(h_next, k.mul(row, P), edge, k.bit(so_far), seen)
            k.store_integer(b.and_(hit, so_far), right_next, row, 32)
            k.store_integer(k.integer(k.delta, edge, 32), state_next, row, 32)
            return now

        return k.loop(k.S, child, seen)

    children = k.mul(k.N, k.S)
    first_word = k.mul(k.word, k.S)

    def flush(_: Value, here: Value, there: Value) -> list[Value]:
        """One more symbol, all zeros, which brings out what is carried."""
        k.each_row(
            children,
            4,
            lambda row, count: k.follow(
                count, here, k.mul(row, P), [0] * count, there, k.mul(row, P)
            ),
        )

        def one(i: Value, *seen: Value) -> list[Value]:
            edge = k.mul(k.integer(state_next, i, 32), k.S)
            so_far = k.integer(right_next, i, 32)
            hit, now = k.grade(there, k.mul(i, P), edge, k.bit(so_far), seen)
            k.store_integer(b.and_(hit, so_far), right_next, i, 32)
            k.store_integer(k.integer(k.delta, edge, 32), state_next, i, 32)
            return now

        k.keep(k.loop(children, one, k.seen()))
        return [there, here]

    def count(i: Value, right: Value, wrong: Value) -> list[Value]:
        good = k.integer(right_next, i, 32)
        word = k.add(first_word, i)
        earlier = b.and_(b.icmp_signed("==", good, k.i64(0)), k.less(word, wrong))
        return [k.add(right, good), b.select(earlier, word, wrong)]

    def deeper(first: Value) -> None:
        left = k.sub(children, first)
        size = b.select(k.less(left, BLOCK), left, k.i64(BLOCK))
        b.call(
            k.function,
            [
                *(k.p, k.drives, k.delta, k.output),
                k.at(h_next, k.mul(first, P)),
                k.at(state_next, first),
                k.at(right_next, first),
                *(beyond, k.tally, k.margin),
                *(size, k.add(first_word, first), k.sub(k.depth, 1), k.headroom, k.S),
            ],
        )

    k.each_row(k.N, 4, expand)
    k.keep(k.loop(k.N, grade_children, k.seen()))
    with b.if_else(b.icmp_signed("==", k.depth, k.i64(1))) as (leaves, inner):
        with leaves:
            k.loop(k.headroom, flush, [h_next, h_flush])
            found = [k.integer(k.tally, i, 64) for i in range(2)]
            for i, value in enumerate(k.loop(children, count, found)):
                k.store_integer(value, k.tally, i, 64)
        with inner:
            k.loop(children, deeper, step=BLOCK)
    k.done()
    return module


FOLLOW = Parameters(
    {
        "p": "f4",
        "drives": "f4",
        "delta": "i4",
        "output": "i4",
        "words": "u2",
        "h": "f4",
        "state": "i4",
        "first_error": "i4",
        "margin": "f4",
    },
    ("N", "T", "S"),
)


def follow(shape: Shape) -> ir.Module:
    """`follow(...)`: N words of T symbols, judged; see `evaluation.sample`.

    Writes to `first_error` (N,) where a word first goes wrong, and leaves it where it
    does not; lowers `margin` to the smallest margin and the one nearest to zero.  `h` has room
    for 8 states, `state` for 4.
    """
    module = ir.Module("follow")
    k = Inference(module, "follow", FOLLOW, shape)
    b, P, L = k.builder, k.layout.width, k.lanes

    def some_words(first: Integer, count: int) -> None:
        k.loop(8 * P, lambda i: k.store(k.constant(0.0), k.h, i), step=L)
        for r in range(count):
            k.store_integer(0, k.state, r, 32)

        def position(t: Value, here: Value, there: Value, *so_far: Value) -> list[Value]:
            seen = list(so_far)
            symbols = [
                k.integer(k.words, k.add(k.mul(k.add(first, r), k.T), t), 16) for r in range(count)
            ]
            k.follow(count, here, 0, list(symbols), there, 0)
            for r, symbol in enumerate(symbols):
                edge = k.add(k.mul(k.integer(k.state, r, 32), k.S), symbol)
                word = k.add(first, r)
                none = b.trunc(k.integer(k.first_error, word, 32), ir.IntType(32))
                right = b.icmp_signed("<", none, ir.Constant(ir.IntType(32), 0))
                hit, seen = k.grade(there, r * P, edge, right, seen)
                k.store_integer(k.integer(k.delta, edge, 32), k.state, r, 32)
                new = b.and_(right, b.icmp_signed("==", hit, k.i64(0)))
                error = b.select(new, b.trunc(t, ir.IntType(32)), none)
                k.store_integer(b.zext(error, ir.IntType(64)), k.first_error, word, 32)
            return [there, here, *seen]

        _, _, *seen = k.loop(k.T, position, [k.h, k.at(k.h, 4 * P), *k.seen()])
        k.keep(seen)

    k.each_row(k.N, 4, some_words)
    k.done()
    return module
