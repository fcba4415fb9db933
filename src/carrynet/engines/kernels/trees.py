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

import llvmlite.ir as ir

from carrynet.engines.kernels.affine import affine_plan
from carrynet.engines.kernels.formula_images import OfFormula
from carrynet.engines.kernels.formulas import Formulas
from carrynet.engines.kernels.growing import (
    CLOSED,
    CUT_EVERY,
    DEEP,
    FULL,
    GROWING,
    MOST_AXIS,
    TREES,
    Grower,
    Metric,
)
from carrynet.engines.kernels.images import Images, OfElman
from carrynet.engines.kernels.shape import Layout, Shape
from carrynet.engines.vector import FLOAT, Integer, Value


def trees_room(shape: Shape | Formulas) -> int:
    """Floats that `trees` works in."""
    room = affine_plan(shape).room if isinstance(shape, Formulas) else OfElman.room(shape)
    return _ROWS * Layout(_whole(shape)).width + 64 + room


def _whole(shape: Shape | Formulas) -> Shape:
    """The state as one vector."""
    return affine_plan(shape).whole if isinstance(shape, Formulas) else shape


def trees(shape: Shape | Formulas) -> ir.Module:
    """`trees(...)`: grow trees by up to `turns` nodes, and say in the tally how that ended.

    A call goes on where the one before ended.  Each turn takes a word from the stack, or, where
    there is none, begins the next ball's tree; makes a node of it; and follows every symbol.
    """
    module = ir.Module("trees")
    k = Grower(module, "trees", TREES, _whole(shape))
    b, P, L, C = k.builder, k.layout.width, k.lanes, k.layout.columns
    record = P + P * P
    definite = k.definite()
    centre, through, diagonal, place, apart, zeros, axis = (
        k.at(k.work, i * P) for i in range(_ROWS)
    )
    lane_values, lane_indices = k.at(k.work, _ROWS * P), k.at(k.work, _ROWS * P + 32)
    room = k.at(k.work, _ROWS * P + 64)
    A, copy = room, k.at(room, P * P)
    images: Images = OfElman(k, room, diagonal)
    if isinstance(shape, Formulas):
        images = OfFormula(k, affine_plan(shape), room, diagonal)
    zero, one = k.number(0.0), k.number(1.0)
    radius, within = k.limit("radius"), k.limit("within")
    squared = b.fmul(radius, radius)
    ball_room = b.fmul(b.fmul(within, within), squared)

    def each(body: Callable[[int, int], None]) -> None:
        for v in range(C):
            body(v, v * L)

    def begin(_: Value) -> None:
        """Put the next ball on the stack, as a word without symbols."""
        ball = k.count("grown")
        with b.if_then(b.icmp_signed("==", ball, k.count("balls"))):
            k.end(CLOSED)
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
        shape_of = k.metric(k.signed(k.homes, ball)).ball
        k.loop(
            P * P,
            lambda i: k.store(k.fmul(size, k.load(shape_of, i)), k.words, k.add(matrix, i)),
            step=L,
        )
        k.tag(name, [k.signed(k.labels, ball), 0, b.not_(ball), 0])
        k.set_count("grown", k.add(ball, 1))
        k.set_count("waiting", 1)

    def turn(_: Value) -> None:
        with b.if_then(b.icmp_signed("==", k.count("waiting"), k.i64(0))):
            begin(_)
        waiting = k.sub(k.count("waiting"), 1)
        name, node = k.signed(k.order, waiting), k.count("nodes")
        slot = k.tagged(name, "slot")
        with b.if_then(b.icmp_signed(">=", k.tagged(name, "depth"), k.most_depth), likely=False):
            k.end(DEEP)
        full = b.icmp_signed(">=", node, k.most_nodes)
        for what in ("balls", "axes"):
            after = k.add(k.count(what), k.S)
            full = b.or_(full, b.icmp_signed(">", after, getattr(k, f"most_{what}")))
        with b.if_then(full, likely=False):
            k.end(FULL)
        with b.if_else(b.icmp_signed("<", slot, k.i64(0))) as (root, inner):
            with root:
                k.store_integer(node, k.roots, b.not_(slot), 32)
            with inner:
                k.store_integer(node, k.next, slot, 32)
        k.store_integer(-1, k.cuts, node, 32)
        k.set_count("waiting", waiting)
        ripe = b.icmp_signed(">=", k.tagged(name, "since"), k.i64(CUT_EVERY))
        two = b.icmp_signed(">=", k.S, k.i64(2))  # slots, for the two parts
        parted = k.when(b.and_(ripe, two), lambda: cut(name, node))
        with b.if_then(b.icmp_signed("==", parted, k.i64(0))):
            follow(name, node)
        k.set_count("nodes", k.add(node, 1))

    def follow(name: Value, node: Value) -> None:
        """Make a word longer by every symbol."""
        bottom = k.count("waiting")
        state, depth, since = (k.tagged(name, tag) for tag in ("state", "depth", "since"))
        images.begin(k.mul(name, record))

        def child(symbol: Value) -> None:
            edge = k.add(k.mul(state, k.S), symbol)
            name = k.signed(k.order, k.count("waiting"))
            word = k.mul(name, record)
            size = images.image(symbol, edge, word)
            k.store(b.fmul(size, size), k.traces, name)
            slot = k.add(k.mul(node, k.S), symbol)
            k.tag(name, [k.signed(k.delta, edge), k.add(depth, 1), slot, k.add(since, 1)])
            settle(name, k.at(k.words, k.add(word, P)), bottom)

        k.loop(k.S, child)

    def settle(name: Value, matrix: Value, bottom: Value) -> None:
        """Let a word end, or put it on the stack: below those from `bottom` on that are larger."""
        top = k.count("waiting")
        state, depth, slot = (k.tagged(name, tag) for tag in ("state", "depth", "slot"))
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
        word, state = k.mul(name, record), k.tagged(name, "state")
        matrix = k.at(k.words, k.add(word, P))
        own = k.metric(nearest(k.add(k.sites, state), k.words, word, k.number(_FAR)))
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
            k.loop(P * P, lambda i: k.store(k.load(matrix, i), copy, i), step=L)
            each(lambda _, at: k.store(k.load(k.words, k.add(word, at)), centre, at))
            tags = [state, k.tagged(name, "depth")]
            for i, side in enumerate((1.0, -1.0)):
                part(side, [*tags, k.add(k.mul(node, k.S), i), k.i64(0)], bottom)
            return k.i64(1)

        enough = b.fmul(k.number(_LONG), k.trace(matrix, own))
        return k.when(b.fcmp_ordered(">", long, enough), parts)

    def part(side: float, tags: Sequence[Value], bottom: Value) -> None:
        """One part of the word {centre + copy}, which is cut; `through` is q."""
        name = k.signed(k.order, k.count("waiting"))
        word = k.mul(name, record)
        matrix = k.at(k.words, k.add(word, P))

        def move(_: int, at: int) -> None:
            moved = k.fma(k.load(through, at), k.constant(side * _SHIFT), k.load(centre, at))
            k.store(moved, k.words, k.add(word, at))

        each(move)

        def fill(i: Value) -> None:
            here = k.fmul(k.broadcast(through, i), k.constant(-2 * _SHIFT))
            for v in range(C):
                at = k.add(k.mul(i, P), v * L)
                value = k.fma(here, k.load(through, v * L), k.load(copy, at))
                k.store(k.fmul(value, k.constant((1 - _SHIFT) ** 2 / (1 - 2 * _SHIFT))), matrix, at)
            k.store(k.scalar(matrix, k.mul(i, P + 1)), diagonal, i)

        k.loop(P, fill)
        k.store(k.trace(matrix, k.metric(k.i64(0))), k.traces, name)
        k.tag(name, tags)
        settle(name, matrix, bottom)

    def ends(word: Value, state: Value, slot: Value, depth: Value, matrix: Value) -> Value:
        """Whether a word ends, in a ball that holds it or in one of its own: 1 or 0."""
        site = nearest(k.add(k.sites, state), k.words, word, k.number(_FAR))
        own = k.metric(site)
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

        return k.when(b.fcmp_ordered("<", worst, ball_room), try_balls)

    def is_held(word: Value, own: Metric, site: Value, slot: Value, matrix: Value) -> Value:
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
            numbers = [ball_room, b.fadd(one, p), b.fadd(one, b.fdiv(one, p)), k.limit("floor")]
            surely = b.fcmp_ordered("<", b.fadd(far, k.sqrt(k.trace(matrix, own))), limit)
            tested = k.when(
                b.not_(surely), lambda: b.call(definite, [A, own.ball, matrix, apart, *numbers])
            )

            def link() -> Value:
                k.store_integer(b.not_(ball), k.next, slot, 32)
                return k.i64(1)

            return k.when(b.or_(surely, b.icmp_signed("!=", tested, k.i64(0))), link)

        return k.when(b.fcmp_ordered("<", distance, limit), fits)

    def nearest(which: Value, of: Value, start: Integer, limit: Value) -> Value:
        """What in a list is nearest to a place; where none is within the limit, any of the list.

        A list's entries lie across lanes, four vectors of them in a block are begun at once.  Most
        are seen to be too far away by the first few coordinates alone, along which states differ
        most.
        """
        few = min(_FIRST_COORDINATES, (k.shape.hidden + 1) // 2)
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
            for i in range(few, k.shape.hidden):
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
    k.end(GROWING)
    return module


_ROWS = 7  # of P floats that are worked in
_SHIFT = 3 / 8  # how far the centre of a part lies from that of the word, as a part of q
_LONG = 0.4  # the part of a word's trace that its longest axis has, if it is cut
_POWERS = 8  # by which that is found
_FAR = 3.1e38
_FIRST_COORDINATES = 8  # of a place, by which most balls are seen to be too far away
_NEAREST = 1e-6  # of the radius: a word that is nearer to a centre is taken to be so far away
