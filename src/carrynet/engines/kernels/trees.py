"""Trees of words, grown one word after another: the search of `proof.trees` in machine code.

A word waits as a record: the centre c (P,) and the matrix Q (P, P) of the ellipsoid {c + x :
x x^T <= Q} that holds all hidden states after it.  Records are taken from the top of a stack,
made one symbol longer, and what does not end is put back, the largest on top: where the trees
will not end, the words that show it are soon come to.  A word that is long in one direction is
cut in two across it, if it was not of late.

Shapes as in `kernels`; K sites, G balls, R conditions of an output, B blocks of lists, F the
records that there is room for.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import llvmlite.ir as ir

from carrynet.engines.kernels.ellipsoid import Ellipsoid
from carrynet.engines.kernels.shape import Layout, Parameters, Shape
from carrynet.engines.vector import FLOAT, INT, Integer, Value

CLOSED, GROWING, DOUBT, DEEP, FULL = range(5)
"""How a call of `trees` ends: all trees end; as many nodes as were asked for; an output is in
doubt; a word is too long; there is no room for more nodes or balls."""

TREES = Parameters(
    {
        "W": "f4",  # (P, P) Whh
        "turned": "f4",  # (P, P) its transpose
        "drives": "f4",  # (S, P)
        "conditions": "f4",  # (Q, S, R, P): v . h + b is to be positive
        "offsets": "f4",  # (Q, S, R)
        "delta": "i4",  # (Q, S)
        "ball": "f4",  # (K, P, P) the matrix B of a ball of radius 1, in the metric of each site
        "squared": "f4",  # (K, P, P) the metric's T^T T
        "toward": "f4",  # (K, P, P) the metric's T^T
        "scales": "f4",  # (K, 3, P) t_j = |T_.j|, 1 / t_j, and 1 / B_jj
        "limits": "f4",  # (8,) see LIMITS
        "tally": "i8",  # (7,) see TALLY
        "order": "i4",  # (F,) the records: the stack's, from its bottom, then those to spare
        "words": "f4",  # (F, P + P P) centre and matrix
        "tags": "i4",  # (F, 4) see TAGS
        "traces": "f4",  # (F,) of T Q T^T
        "next": "i4",  # (N, S) what follows a node: a node, or ~ball; of a cut the two first slots
        "cuts": "i4",  # (N,) the axis across which a node's word is cut; -1 where symbols follow
        "axes": "f4",  # (A, P) of whole numbers up to MOST_AXIS
        "roots": "i4",  # (G,) the node of a ball
        "labels": "i4",  # (G,) the state of a ball
        "homes": "i4",  # (G,) the site of a ball
        "centres": "f4",  # (G, P)
        "places": "f4",  # (G, P) T c
        "counts": "i8",  # (K + Q,) how much is in a list: each site's balls, each state's sites
        "heads": "i4",  # (K + Q,) the last block of a list, or -1
        "chain": "i4",  # (B,) the block before a block, or -1
        "numbers": "i4",  # (B, 4 L) the balls, or sites, of a block
        "near": "f4",  # (B, 4, P, L) where they are, across lanes: T c of balls, sites themselves
        "work": "f4",  # `trees_room`
    },
    ("S", "R", "sites", "most_nodes", "most_balls", "most_axes", "most_depth", "turns"),
)

LIMITS = ("radius", "slack", "within", "open_at", "opening", "open_most", "margin", "floor")
"""What `limits` holds: the radius; the slack; the part of the radius within which a word ends; the
part up to which it gets a ball of its own: open_at + opening * symbols, at most open_most; the
least margin; the least pivot, as a part of B's diagonal."""

TALLY = ("nodes", "balls", "grown", "waiting", "status", "blocks", "axes")
"""What `tally` holds: nodes made, balls made, balls whose trees were begun, words on the stack,
how the call ended, blocks of lists, and axes across which words were cut."""

TAGS = ("state", "depth", "slot", "since")
"""What `tags` hold: the machine's state, symbols read, the slot that waits, which is ~ball at a
root, and symbols read since the word was cut, or began."""

CUT_EVERY = 2
"""Symbols that are read between two cuts, at least."""

MOST_AXIS = 9
"""The largest number of an axis."""


def trees_room(shape: Shape) -> int:
    """Floats that `trees` works in."""
    P = Layout(shape).width
    return 3 * P * P + 12 * P + 64


class Grower(Ellipsoid):
    """Code that makes words longer."""

    def limit(self, name: str) -> Value:
        """One of LIMITS, a single float."""
        return self.scalar(self.limits, LIMITS.index(name))

    def count(self, name: str) -> Value:
        """One of TALLY."""
        return self.integer(self.tally, TALLY.index(name), 64)

    def set_count(self, name: str, value: Integer) -> None:
        """Set one of TALLY."""
        self.store_integer(value, self.tally, TALLY.index(name), 64)

    def signed(self, pointer: Value, position: Integer) -> Value:
        """A signed integer of 32 bits."""
        kind = ir.IntType(32)
        value = self.builder.load(self.at(pointer, position, kind), align=4, typ=kind)
        return self.builder.sext(value, INT)


class _Metric(NamedTuple):
    """Where the numbers of a site's metric are; see TREES."""

    ball: Value
    squared: Value
    toward: Value
    scales: Value


def trees(shape: Shape) -> ir.Module:
    """`trees(...)`: grow trees by up to `turns` nodes, and say in the tally how that ended.

    A call goes on where the one before ended.  Each turn takes a word from the stack, or, where
    there is none, begins the next ball's tree; makes a node of it; and follows every symbol.
    """
    module = ir.Module("trees")
    k = Grower(module, "trees", TREES, shape)
    b, P, L, C = k.builder, k.layout.width, k.lanes, k.layout.columns
    record = P + P * P
    definite = k.definite()
    half, Z = k.work, k.at(k.work, P * P)
    weighted = k.at(k.work, 2 * P * P)
    A = half  # no longer needed when children are tested
    rows = [k.at(k.work, 3 * P * P + i * P) for i in range(12)]
    drive, width, on_diagonal, slope, rho, through, scaled, diagonal, place, apart, zeros, axis = (
        rows
    )
    lane_values = k.at(k.work, 3 * P * P + 12 * P)
    lane_indices = k.at(k.work, 3 * P * P + 12 * P + 32)
    zero, one = k.number(0.0), k.number(1.0)
    radius, within = k.limit("radius"), k.limit("within")
    squared = b.fmul(radius, radius)
    room = b.fmul(b.fmul(within, within), squared)

    def each(body: Callable[[int, int], None]) -> None:
        for v in range(C):
            body(v, v * L)

    def metric(site: Value) -> _Metric:
        ball, squared, toward = (
            k.at(array, k.mul(site, P * P)) for array in (k.ball, k.squared, k.toward)
        )
        return _Metric(ball, squared, toward, k.at(k.scales, k.mul(site, 3 * P)))

    def tagged(name: Value, tag: str) -> Value:
        return k.signed(k.tags, k.add(k.mul(name, len(TAGS)), TAGS.index(tag)))

    def tag(name: Value, values: Sequence[Integer]) -> None:
        for i, value in enumerate(values):
            k.store_integer(value, k.tags, k.add(k.mul(name, len(TAGS)), i), 32)

    def end(status: int) -> None:
        k.set_count("status", status)
        k.done()

    def begin(_: Value) -> None:
        """Put the next ball on the stack, as a word without symbols."""
        ball = k.count("grown")
        with b.if_then(b.icmp_signed("==", ball, k.count("balls"))):
            end(CLOSED)
        name = k.signed(k.order, 0)
        word = k.mul(name, record)
        each(
            lambda v, at: k.store(
                k.load(k.centres, k.add(k.mul(ball, P), at)), k.words, k.add(word, at)
            )
        )
        start = b.icmp_signed("==", ball, k.i64(0))
        size = k.splat(b.select(start, zero, squared))  # the start is a point
        matrix = k.add(word, P)
        shape_of = metric(k.signed(k.homes, ball)).ball
        k.loop(
            P * P,
            lambda i: k.store(k.fmul(size, k.load(shape_of, i)), k.words, k.add(matrix, i)),
            step=L,
        )
        tag(name, [k.signed(k.labels, ball), 0, b.not_(ball), 0])
        k.set_count("grown", k.add(ball, 1))
        k.set_count("waiting", 1)

    def turn(_: Value) -> None:
        with b.if_then(b.icmp_signed("==", k.count("waiting"), k.i64(0))):
            begin(_)
        waiting = k.sub(k.count("waiting"), 1)
        name, node = k.signed(k.order, waiting), k.count("nodes")
        slot = tagged(name, "slot")
        with b.if_then(b.icmp_signed(">=", tagged(name, "depth"), k.most_depth), likely=False):
            end(DEEP)
        full = b.icmp_signed(">=", node, k.most_nodes)
        for what in ("balls", "axes"):
            after = k.add(k.count(what), k.S)
            full = b.or_(full, b.icmp_signed(">", after, getattr(k, f"most_{what}")))
        with b.if_then(full, likely=False):
            end(FULL)
        with b.if_else(b.icmp_signed("<", slot, k.i64(0))) as (root, inner):
            with root:
                k.store_integer(node, k.roots, b.not_(slot), 32)
            with inner:
                k.store_integer(node, k.next, slot, 32)
        k.store_integer(-1, k.cuts, node, 32)
        k.set_count("waiting", waiting)
        ripe = b.icmp_signed(">=", tagged(name, "since"), k.i64(CUT_EVERY))
        two = b.icmp_signed(">=", k.S, k.i64(2))  # slots, for the two parts
        parted = k.when(b.and_(ripe, two), lambda: cut(name, node))
        with b.if_then(b.icmp_signed("==", parted, k.i64(0))):
            follow(name, node)
        k.set_count("nodes", k.add(node, 1))

    def follow(name: Value, node: Value) -> None:
        """Make a word longer by every symbol."""
        word, bottom = k.mul(name, record), k.count("waiting")
        state, depth, since = (tagged(name, tag) for tag in ("state", "depth", "since"))
        # what all symbols share
        k.product(k.words, k.add(word, P), k.W, half)
        k.product(k.turned, 0, half, Z)

        def weigh(i: Value) -> None:
            k.store(k.fmul(k.load(Z, i), k.load(k.squared, i)), weighted, i)

        k.loop(P * P, weigh, step=L)
        k.loop(P, lambda i: k.store(k.scalar(Z, k.mul(i, P + 1)), on_diagonal, i))
        received = k.row(k.words, word, k.W)

        def widths(v: int, at: int) -> None:
            k.store(received[v], drive, at)
            size = k.sqrt(k.at_least(1e-12, k.load(on_diagonal, at)))
            k.store(k.fmul(size, k.constant(1 + 1e-6)), width, at)

        each(widths)
        tags = [state, k.add(depth, 1), k.add(since, 1)]
        k.loop(k.S, lambda a: child(a, tags, node, bottom))

    def child(symbol: Value, tags: Sequence[Value], node: Value, bottom: Value) -> None:
        state, depth, since = tags
        edge = k.add(k.mul(state, k.S), symbol)
        after = k.signed(k.delta, edge)
        slot = k.add(k.mul(node, k.S), symbol)
        name = k.signed(k.order, k.count("waiting"))
        word = k.mul(name, record)
        matrix = k.at(k.words, k.add(word, P))
        slack = k.splat(k.limit("slack"))

        def chords(v: int, at: int) -> None:
            z = k.fadd(k.load(drive, at), k.load(k.drives, k.add(k.mul(symbol, P), at)))
            chord, middle, remainder = k.chord(z, k.load(width, at))
            mask = [1.0 if at + lane < shape.hidden else 0.0 for lane in range(L)]
            inside = ir.Constant(k.vector, mask)
            k.store(chord, slope, at)
            k.store(k.fmul(middle, inside), k.words, k.add(word, at))
            k.store(k.fadd(remainder, slack), rho, at)

        each(chords)

        def condition(r: Value) -> None:
            which = k.add(k.mul(edge, k.R), r)
            margin: Value | None = None

            def term(v: int, at: int) -> None:
                nonlocal margin
                value = k.load(k.conditions, k.add(k.mul(which, P), at))
                k.store(k.fmul(value, k.load(slope, at)), through, at)
                margin = k.fma(value, k.load(k.words, k.add(word, at)), margin)
                spread = k.fmul(k.abs(value), k.load(rho, at))
                margin = k.fsub(margin, spread)

            each(term)
            spread = k.form(through, Z)
            spread = k.sqrt(b.select(b.fcmp_ordered("<", spread, zero), zero, spread))
            least = b.fsub(b.fadd(k.total(margin), k.scalar(k.offsets, which)), spread)
            with b.if_then(b.fcmp_unordered("<=", least, k.limit("margin")), likely=False):
                end(DOUBT)

        k.loop(k.R, condition)

        image = k.form(slope, weighted)
        tiny = k.number(1e-20)
        image = k.sqrt(b.select(b.fcmp_ordered(">", image, tiny), image, tiny))
        box = k.dot(
            [k.load(rho, v * L) for v in range(C)], [k.load(k.scales, v * L) for v in range(C)]
        )
        ratio = b.fdiv(box, image)
        size = b.fadd(image, box)
        grown = k.splat(k.sqrt(b.fadd(one, ratio)))
        added = k.splat(b.fmul(b.fadd(one, b.fdiv(one, ratio)), box))

        def scale(v: int, at: int) -> None:
            factor = k.fmul(grown, k.load(slope, at))
            k.store(factor, scaled, at)
            of_box = k.fmul(k.fmul(added, k.load(rho, at)), k.load(k.scales, P + at))
            old = k.fmul(k.fmul(factor, factor), k.load(on_diagonal, at))
            k.store(k.fadd(old, of_box), diagonal, at)

        each(scale)
        factors = [k.load(scaled, v * L) for v in range(C)]

        def fill(i: Value) -> None:
            factor = k.broadcast(scaled, i)
            for v in range(C):
                at = k.add(k.mul(i, P), v * L)
                k.store(k.fmul(k.fmul(factor, k.load(Z, at)), factors[v]), matrix, at)
            k.store(k.scalar(diagonal, i), matrix, k.mul(i, P + 1))

        k.loop(P, fill)
        k.store(b.fmul(size, size), k.traces, name)
        tag(name, [after, depth, slot, since])
        settle(name, matrix, bottom)

    def settle(name: Value, matrix: Value, bottom: Value) -> None:
        """Let a word end, or put it on the stack: below those from `bottom` on that are larger."""
        top = k.count("waiting")
        state, depth, slot = (tagged(name, tag) for tag in ("state", "depth", "slot"))
        ended = ends(k.mul(name, record), state, slot, depth, matrix)
        with b.if_then(b.icmp_signed("==", ended, k.i64(0))):

            def sink(j: Value, carried: Value) -> list[Value]:
                other = k.signed(k.order, j)
                more = b.fcmp_ordered(">", k.scalar(k.traces, other), k.scalar(k.traces, carried))
                k.store_integer(b.select(more, carried, other), k.order, j, 32)
                return [b.select(more, other, carried)]

            (last,) = k.loop(top, sink, [name], start=bottom)
            k.store_integer(last, k.order, top, 32)
            k.set_count("waiting", k.add(top, 1))

    def cut(name: Value, node: Value) -> Value:
        """Cut a word in two across its longest axis, if that has much of its trace: 1 or 0."""
        word, state = k.mul(name, record), tagged(name, "state")
        matrix = k.at(k.words, k.add(word, P))
        own = metric(nearest(k.add(k.sites, state), k.words, word, k.number(_FAR)))
        # x = x P Q, again and again, is the longest half axis, and x P the functional `axis`
        x = through  # and in the end q
        each(lambda _, at: k.store(k.constant(1.0), x, at))

        def squeeze(_: Value) -> None:
            functional = k.row(x, 0, own.squared)
            inner = k.sqrt(k.dot(functional, [k.load(x, v * L) for v in range(C)]))
            scale = k.splat(b.fdiv(one, inner))
            for v, value in enumerate(functional):
                k.store(k.fmul(value, scale), axis, v * L)
            for v, value in enumerate(k.row(axis, 0, matrix)):
                k.store(value, x, v * L)

        k.loop(_POWERS, squeeze)
        most: Value | None = None
        for v in range(C):
            size = k.abs(k.load(axis, v * L))
            most = size if most is None else k.most(size, most)
        scale = k.splat(b.fdiv(k.number(MOST_AXIS), k.largest(most)))
        whole = k.constant(1.5 * 2**23)  # added and taken away, it rounds

        def rounded(_: int, at: int) -> None:
            value = k.fmul(k.load(axis, at), scale)
            k.store(k.fsub(k.fadd(value, whole), whole), axis, at)

        each(rounded)
        q = k.row(axis, 0, matrix)
        spread = k.dot(q, [k.load(axis, v * L) for v in range(C)])
        scale = k.splat(b.fdiv(one, k.sqrt(spread)))
        for v, value in enumerate(q):
            k.store(k.fmul(value, scale), x, v * L)
        long = k.form(x, own.squared)

        def parts() -> Value:
            count, bottom = k.count("axes"), k.count("waiting")
            k.store_integer(count, k.cuts, node, 32)
            row = k.mul(count, P)
            each(lambda _, at: k.store(k.load(axis, at), k.axes, k.add(row, at)))
            k.set_count("axes", k.add(count, 1))
            # the first part takes the word's own place
            k.loop(P * P, lambda i: k.store(k.load(matrix, i), Z, i), step=L)
            each(lambda _, at: k.store(k.load(k.words, k.add(word, at)), drive, at))
            tags = [state, tagged(name, "depth")]
            for i, side in enumerate((1.0, -1.0)):
                part(side, [*tags, k.add(k.mul(node, k.S), i), k.i64(0)], bottom)
            return k.i64(1)

        enough = b.fmul(k.number(_LONG), trace(matrix, own))
        return k.when(b.fcmp_ordered(">", long, enough), parts)

    def part(side: float, tags: Sequence[Value], bottom: Value) -> None:
        """One part of the word {drive + Z}, which is cut; `through` is q."""
        name = k.signed(k.order, k.count("waiting"))
        word = k.mul(name, record)
        matrix = k.at(k.words, k.add(word, P))

        def move(_: int, at: int) -> None:
            moved = k.fma(k.load(through, at), k.constant(side * _SHIFT), k.load(drive, at))
            k.store(moved, k.words, k.add(word, at))

        each(move)

        def fill(i: Value) -> None:
            here = k.fmul(k.broadcast(through, i), k.constant(-2 * _SHIFT))
            for v in range(C):
                at = k.add(k.mul(i, P), v * L)
                value = k.fma(here, k.load(through, v * L), k.load(Z, at))
                k.store(k.fmul(value, k.constant((1 - _SHIFT) ** 2 / (1 - 2 * _SHIFT))), matrix, at)
            k.store(k.scalar(matrix, k.mul(i, P + 1)), diagonal, i)

        k.loop(P, fill)
        k.store(trace(matrix, metric(k.i64(0))), k.traces, name)
        tag(name, tags)
        settle(name, matrix, bottom)

    def ends(word: Value, state: Value, slot: Value, depth: Value, matrix: Value) -> Value:
        """Whether a word ends, in a ball that holds it or in one of its own: 1 or 0."""
        site = nearest(k.add(k.sites, state), k.words, word, k.number(_FAR))
        own = metric(site)
        # Q_jj <= r^2 B_jj, the least that must hold
        worst: Value | None = None
        for v in range(C):
            part = k.fmul(k.load(diagonal, v * L), k.load(own.scales, 2 * P + v * L))
            worst = part if worst is None else k.most(part, worst)
        worst = k.largest(worst)

        def try_balls() -> Value:
            for v, value in enumerate(k.row(k.words, word, own.toward)):
                k.store(value, place, v * L)
            some = b.icmp_signed("<", k.i64(0), k.integer(k.counts, site, 64))
            held = k.when(some, lambda: is_held(word, own, site, slot, matrix))
            return b.or_(held, k.when(b.icmp_signed("==", held, k.i64(0)), opens))

        def opens() -> Value:
            size = b.sitofp(depth, FLOAT)
            size = b.fadd(k.limit("open_at"), b.fmul(size, k.limit("opening")))
            most = k.limit("open_most")
            size = b.select(b.fcmp_ordered("<", size, most), size, most)
            size = b.fmul(b.fmul(size, size), squared)

            def fits() -> Value:
                arguments = [A, own.ball, matrix, zeros, size, one, zero, k.limit("floor")]
                return k.when(
                    b.icmp_signed("!=", b.call(definite, arguments), k.i64(0)),
                    lambda: opened(word, state, site, slot),
                )

            return k.when(b.fcmp_ordered("<", worst, size), fits)

        return k.when(b.fcmp_ordered("<", worst, room), try_balls)

    def is_held(word: Value, own: _Metric, site: Value, slot: Value, matrix: Value) -> Value:
        """Whether the nearest ball of a site holds a word, which then ends there.

        Where none is within the radius, some ball that is not.
        """
        ball = nearest(site, place, 0, squared)
        distance: Value | None = None
        for v in range(C):
            center = k.add(k.mul(ball, P), v * L)
            off = k.fsub(k.load(place, v * L), k.load(k.places, center))
            distance = k.fma(off, off, distance)
            off = k.fsub(k.load(k.words, k.add(word, v * L)), k.load(k.centres, center))
            k.store(off, apart, v * L)
        distance = k.sqrt(k.total(distance))
        limit = b.fmul(radius, within)

        def fits() -> Value:
            least = b.fmul(k.number(_NEAREST), radius)
            far = b.select(b.fcmp_ordered(">", distance, least), distance, least)
            p = b.fdiv(far, b.fsub(radius, far))
            numbers = [room, b.fadd(one, p), b.fadd(one, b.fdiv(one, p)), k.limit("floor")]
            surely = b.fcmp_ordered("<", b.fadd(far, k.sqrt(trace(matrix, own))), limit)
            tested = k.when(
                b.not_(surely), lambda: b.call(definite, [A, own.ball, matrix, apart, *numbers])
            )

            def link() -> Value:
                k.store_integer(b.not_(ball), k.next, slot, 32)
                return k.i64(1)

            return k.when(b.or_(surely, b.icmp_signed("!=", tested, k.i64(0))), link)

        return k.when(b.fcmp_ordered("<", distance, limit), fits)

    def trace(matrix: Value, own: _Metric) -> Value:
        """That of T Q T^T, the sum of the squares of the half axes."""

        def part(i: Value, *sums: Value) -> list[Value]:
            at = [k.add(i, v * L) for v in range(C)]
            return [
                k.fma(k.load(matrix, here), k.load(own.squared, here), value)
                for here, value in zip(at, sums, strict=True)
            ]

        sums = k.loop(P * P, part, [k.constant(0.0)] * C, step=P)
        for value in sums[1:]:
            sums[0] = k.fadd(sums[0], value)
        return k.total(sums[0])

    def nearest(which: Value, of: Value, start: Integer, limit: Value) -> Value:
        """What in a list is nearest to a place; where none is within the limit, any of the list.

        A list's entries lie across lanes, four vectors of them in a block are begun at once.  Most
        are seen to be too far away by the first few coordinates alone, along which states differ
        most.
        """
        few = min(_FIRST_COORDINATES, (shape.hidden + 1) // 2)
        last = k.signed(k.heads, which)
        first = k.mul(last, 4)
        k.store(k.splat(limit), lane_values)
        k.store(k.splat_integer(first), lane_indices)

        def square(at: Value, i: Integer, sums: Value) -> Value:
            here = k.broadcast(of, k.add(start, i))
            off = k.fsub(k.load(k.near, k.add(at, k.mul(i, L))), here)
            return k.fma(off, off, sums)

        def block(_: Value, name: Value) -> list[Value]:
            starts = [k.mul(k.add(k.mul(name, 4), i), P * L) for i in range(4)]

            def unit(i: Value, *sums: Value) -> list[Value]:
                return [square(at, i, value) for at, value in zip(starts, sums, strict=True)]

            for n, value in enumerate(k.loop(few, unit, [k.constant(0.0)] * 4)):
                with b.if_then(k.any(b.fcmp_ordered("<", value, k.load(lane_values)))):
                    rest(starts[n], k.add(k.mul(name, 4), n), value)
            return [k.signed(k.chain, name)]

        def rest(start: Value, group: Value, value: Value) -> None:
            sums = [value] + [k.constant(0.0)] * 3
            for i in range(few, shape.hidden):
                sums[i % 4] = square(start, i, sums[i % 4])
            value = k.fadd(k.fadd(sums[0], sums[1]), k.fadd(sums[2], sums[3]))
            best, index = k.load(lane_values), k.load_integers(lane_indices)
            less = b.fcmp_ordered("<", value, best)
            k.store(b.select(less, value, best), lane_values)
            k.store(b.select(less, k.splat_integer(group), index), lane_indices)

        blocks = k.div(k.add(k.integer(k.counts, which, 64), 4 * L - 1), 4 * L)
        k.loop(blocks, block, [last])

        def lane(i: Value, best: Value, at: Value) -> list[Value]:
            value = k.scalar(lane_values, i)
            less = b.fcmp_ordered("<", value, best)
            mine = k.add(k.mul(k.signed(lane_indices, i), L), i)
            return [b.select(less, value, best), b.select(less, mine, at)]

        _, entry = k.loop(L, lane, [k.number(_FAR), k.mul(first, L)])
        return k.signed(k.numbers, entry)

    def opened(word: Value, state: Value, site: Value, slot: Value) -> Value:
        """A ball around a word, which ends there."""
        ball, count = k.count("balls"), k.integer(k.counts, site, 64)
        inside = b.sub(count, k.mul(k.div(count, 4 * L), 4 * L))
        with b.if_then(b.icmp_signed("==", inside, k.i64(0))):
            block = k.count("blocks")
            k.store_integer(k.signed(k.heads, site), k.chain, block, 32)
            k.store_integer(block, k.heads, site, 32)
            k.set_count("blocks", k.add(block, 1))
        entry = k.add(k.mul(k.signed(k.heads, site), 4 * L), inside)
        k.store_integer(ball, k.numbers, entry, 32)
        k.store_integer(state, k.labels, ball, 32)
        k.store_integer(site, k.homes, ball, 32)
        for v in range(C):
            at = k.add(k.mul(ball, P), v * L)
            k.store(k.load(k.words, k.add(word, v * L)), k.centres, at)
            k.store(k.load(place, v * L), k.places, at)
        group = k.div(entry, L)
        start = k.add(k.mul(group, P * L), b.sub(entry, k.mul(group, L)))
        k.loop(P, lambda i: k.store(k.scalar(place, i), k.near, k.add(start, k.mul(i, L))))
        k.store_integer(b.not_(ball), k.next, slot, 32)
        k.store_integer(k.add(count, 1), k.counts, site, 64)
        k.set_count("balls", k.add(ball, 1))
        return k.i64(1)

    k.loop(k.turns, turn)
    end(GROWING)
    return module


_SHIFT = 3 / 8  # how far the centre of a part lies from that of the word, as a part of q
_LONG = 0.4  # the part of a word's trace that its longest axis has, if it is cut
_POWERS = 8  # by which that is found
_FAR = 3.1e38
_FIRST_COORDINATES = 8  # of a place, by which most balls are seen to be too far away
_NEAREST = 1e-6  # of the radius: a word that is nearer to a centre is taken to be so far away
