"""Words followed and judged: the tree of prefixes, long words, and words from any states."""

from collections.abc import Sequence

import llvmlite.ir as ir

from carrynet.engines.kernels.cell import Cell, Rows
from carrynet.engines.kernels.following import Following
from carrynet.engines.kernels.formulas import Formulas
from carrynet.engines.kernels.grade import grade
from carrynet.engines.kernels.shape import Layout, Parameters, Shape
from carrynet.engines.vector import Code, Integer, Value


class Inference(Cell):
    """Code that follows words and grades what the network answers.

    Where a symbol leads to is read from `drives`, x Wxh + bh for each symbol, (S, P).
    """

    @property
    def width(self) -> int:
        """The floats of a state."""
        return self.layout.width

    def begin(self, h: Value, count: int) -> None:
        """The states before the first symbol."""
        self.loop(
            count * self.width,
            lambda i: self.store(self.constant(0.0), h, i),
            step=self.lanes,
        )

    def children(self, h: Value, first: Integer, count: int, after: Value) -> None:
        """The states after every symbol, of `count` states: row i * S + a of `after`."""
        P, L = self.width, self.lanes
        weights = self.at(self.p, self.layout.Whh)

        def some(columns: Sequence[Integer]) -> None:
            z = self.gemm(count, columns, h, self.mul(first, P), weights, None)

            def child(a: Value) -> None:
                for i, v in enumerate(columns):
                    shift = self.mul(v, L)
                    drive = self.load(self.drives, self.add(self.mul(a, P), shift))
                    for r in range(count):
                        row = self.add(self.mul(self.add(first, r), self.S), a)
                        value = self.activate(self.fadd(z[r][i], drive), v)
                        self.store(value, after, self.add(self.mul(row, P), shift))

            self.loop(self.S, child)

        self.each_tile(self.registers // 8, some)

    def follow(
        self, count: int, a: Value, a_row: Integer, drive: list[Integer], b: Value, b_row: Integer
    ) -> None:
        """b[r] = f(drives[drive[r]] + a[r] Whh) for `count` rows; b may not be a."""
        P, L = self.layout.width, self.lanes

        def some(columns: Sequence[Integer]) -> None:
            shifts = [self.mul(v, L) for v in columns]
            z: Rows = [
                [self.load(self.drives, self.add(self.mul(s, P), shift)) for shift in shifts]
                for s in drive
            ]
            z = self.gemm(count, columns, a, a_row, self.at(self.p, self.layout.Whh), z)
            for r, row in enumerate(z):
                for v, shift, value in zip(columns, shifts, row, strict=True):
                    place = self.add(b_row, self.add(shift, r * P))
                    self.store(self.activate(value, v), b, place)

        self.each_tile(self.registers // 8, some)

    def grade(
        self, h: Value, h_row: Integer, edge: Integer, right: Value, seen: Sequence[Value]
    ) -> tuple[Value, list[Value]]:
        """Whether the answer to a hidden state is that of a machine's edge; see `grade.grade`."""
        expected = self.integer(self.output, edge, 32)
        logits = [self.logit(h, h_row, y) for y in range(self.shape.outputs)]
        return grade(self, self.shape.readout, logits, expected, right, seen)


def inference(
    module: ir.Module, name: str, parameters: Parameters, shape: Shape | Formulas
) -> Inference | Following:
    """Code that follows words, for Elman's cell or for any formulas."""
    if isinstance(shape, Formulas):
        return Following(module, name, parameters, shape)
    return Inference(module, name, parameters, shape)


BLOCK = 32
"""Prefixes that `walk` expands at once; their children stay in the cache."""


def walk_room(shape: Shape | Formulas, symbols: int) -> int:
    """Floats that one level of `walk` works in: children, and rows to flush them into."""
    width = shape.depth if isinstance(shape, Formulas) else Layout(shape).width
    return BLOCK * symbols * (2 * width + 2)


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


def walk(shape: Shape | Formulas) -> ir.Module:
    """`walk(...)`: every word below some prefixes, judged; see `evaluation.evaluate`.

    N prefixes with hidden states h (N, P), machine states and whether each was right
    so far; `word` is the number of the first in base S.  Adds to `tally` how many words
    of `depth` more symbols and `headroom` zeros are right, and lowers tally[1] to the
    first that is wrong, and `margin` to the smallest margin and the one nearest to zero.
    Calls itself for each block of children.
    """
    module = ir.Module("walk")
    k = inference(module, "walk", WALK, shape)
    b, P = k.builder, k.width
    most = k.mul(k.S, BLOCK)
    h_next = k.work
    h_flush = k.at(k.work, k.mul(most, P))
    state_next = k.at(k.work, k.mul(most, 2 * P))
    right_next = k.at(state_next, most)
    beyond = k.at(right_next, most)

    def grade_children(i: Value, *seen: Value) -> list[Value]:
        before, so_far = k.integer(k.state, i, 32), k.integer(k.right, i, 32)

        def child(a: Value, *seen: Value) -> list[Value]:
            edge, row = k.add(k.mul(before, k.S), a), k.add(k.mul(i, k.S), a)
            hit, now = k.grade(
                h_next, k.mul(row, P), edge, b.icmp_unsigned("!=", so_far, k.i64(0)), seen
            )
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
            hit, now = k.grade(
                there, k.mul(i, P), edge, b.icmp_unsigned("!=", so_far, k.i64(0)), seen
            )
            k.store_integer(b.and_(hit, so_far), right_next, i, 32)
            k.store_integer(k.integer(k.delta, edge, 32), state_next, i, 32)
            return now

        keep(k, k.loop(children, one, seen_so_far(k)))
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

    k.each_row(k.N, 4, lambda first, count: k.children(k.h, first, count, h_next))
    keep(k, k.loop(k.N, grade_children, seen_so_far(k)))
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


def seen_so_far(k: Code) -> list[Value]:
    """What has been seen of margins, in all calls; see `grade.grade`."""
    return [k.scalar(k.margin, i) for i in range(2)]


def keep(k: Code, seen: Sequence[Value]) -> None:
    """Keep what has been seen of margins for the next call, and for the caller."""
    for i, value in enumerate(seen):
        k.store(value, k.margin, i)


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


def follow(shape: Shape | Formulas) -> ir.Module:
    """`follow(...)`: N words of T symbols, judged; see `evaluation.sample`.

    Writes to `first_error` (N,) where a word first goes wrong, and leaves it where it
    does not; lowers `margin` to the smallest margin and the one nearest to zero.  `h` has room
    for 8 states, `state` for 4.
    """
    module = ir.Module("follow")
    k = inference(module, "follow", FOLLOW, shape)
    b, P = k.builder, k.width

    def some_words(first: Integer, count: int) -> None:
        k.begin(k.h, 4)
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

        _, _, *seen = k.loop(k.T, position, [k.h, k.at(k.h, 4 * P), *seen_so_far(k)])
        keep(k, seen)

    k.each_row(k.N, 4, some_words)
    k.done()
    return module


WANDER = Parameters(
    {
        "p": "f4",
        "drives": "f4",
        "delta": "i4",
        "output": "i4",
        "words": "u2",
        "h": "f4",  # (N, P) updated
        "state": "i4",  # (N,) updated
        "room": "f4",  # for 8 states
        "nearest": "f4",  # (N, P)
        "reached": "i4",  # (N,)
        "margin": "f4",  # (N,)
        "after": "i4",  # (N,)
    },
    ("N", "T", "S"),
)


def wander(shape: Shape | Formulas) -> ir.Module:
    """`wander(...)`: N words of T symbols, each read from a state of its own.

    See `reference.wander`.  Where a margin is less than what `margin` (N,) says, it is kept there,
    with the states of network and machine, and after how many symbols they were reached.
    """
    module = ir.Module("wander")
    k = inference(module, "wander", WANDER, shape)
    b, P, L = k.builder, k.width, k.lanes
    huge = [ir.Constant(ir.FloatType(), 3.4028234663852886e38)] * 2
    always = ir.Constant(ir.IntType(1), 1)

    def copy(source: Value, row: Integer, target: Value, place: Integer) -> None:
        for v in range(0, P, L):
            k.store(k.load(source, k.add(row, v)), target, k.add(place, v))

    def some_words(first: Integer, count: int) -> None:
        rows = [k.add(first, r) for r in range(count)]
        for r, word in enumerate(rows):
            copy(k.h, k.mul(word, P), k.room, r * P)

        def position(t: Value, here: Value, there: Value) -> list[Value]:
            symbols = [k.integer(k.words, k.add(k.mul(word, k.T), t), 16) for word in rows]
            k.follow(count, here, 0, list(symbols), there, 0)
            for r, (word, symbol) in enumerate(zip(rows, symbols, strict=True)):
                edge = k.add(k.mul(k.integer(k.state, word, 32), k.S), symbol)
                _, (margin, _) = k.grade(there, r * P, edge, always, huge)
                reached = k.integer(k.delta, edge, 32)
                k.store_integer(reached, k.state, word, 32)
                with b.if_then(b.fcmp_ordered("<", margin, k.scalar(k.margin, word))):
                    k.store(margin, k.margin, word)
                    k.store_integer(reached, k.reached, word, 32)
                    k.store_integer(k.add(t, 1), k.after, word, 32)
                    copy(there, r * P, k.nearest, k.mul(word, P))
            return [there, here]

        here, _ = k.loop(k.T, position, [k.room, k.at(k.room, 4 * P)])
        for r, word in enumerate(rows):
            copy(here, r * P, k.h, k.mul(word, P))

    k.each_row(k.N, 4, some_words)
    k.done()
    return module
