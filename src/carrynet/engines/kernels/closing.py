"""Updates over the edges of the machine: `nets.invariant` and an optimiser, in machine code."""

from collections.abc import Callable
from functools import partial
from math import exp

import llvmlite.ir as ir

from carrynet.engines.kernels.block import Place, Way, padded
from carrynet.engines.kernels.formulas import turn_around
from carrynet.engines.kernels.optimise import adam, descend
from carrynet.engines.kernels.over_edges import Closing, edge_rooms
from carrynet.engines.kernels.rooms import Rooms, along, clear
from carrynet.engines.kernels.shape import Parameters
from carrynet.engines.kernels.softmax import softmax
from carrynet.engines.kernels.worst import Worst, single, stored, storing
from carrynet.engines.vector import Code, Integer, Value
from carrynet.nets.invariant import FAR, PULL, SATURATED
from carrynet.nets.step import DOUBT, KEPT, LEAST, keeping, rises

SURE = exp(-DOUBT)
"""The share of an answer from which an edge is no longer in doubt: its loss is `DOUBT`."""


CLOSING = Parameters(
    {
        "p": "f4",  # the parameters, updated, and behind them room for matrices turned around
        "moments": "f4",
        "gradient": "f4",
        "b": "f4",  # the boxes (R, centre and radius), Wstate^T (Q, P) and bstate, updated
        "b_moments": "f4",
        "b_gradient": "f4",
        "work": "f4",  # `edge_room`
        "source": "i4",  # (batches, E) and so on: an update's are those of batch u * stride
        "symbol": "i4",
        "target": "i4",
        "output": "i4",  # negative where nothing is asked
        "state": "i4",
        "weight": "f4",
        "strengths": "f4",  # (updates, 4): worst, slack, closing, forgetting
        "rates": "f4",  # (updates,) minus the step, or 1 for Adam
        "roots": "f4",  # (updates, 2) Adam's step / (1 - b1^t) and 1 / sqrt(1 - b2^t)
        "logits": "f4",  # (updates, E, Y) written
        "vectors": "f4",  # (S, X)
    },
    ("updates", "E", "R", "S", "stride"),
)


def closing(shape: Closing) -> ir.Module:
    """`closing(...)`: updates over edges, as `learn.edges.advance` says."""
    module = ir.Module("closing")
    k = Code(module, "closing", list(CLOSING.arrays), CLOSING.integers, shape.lanes)
    net, L, E = shape.network, shape.lanes, k.E
    cell, (of_input, step), held = net.formula, shape.blocks(k), shape.step.held
    before, after = shape.step.before, shape.step.after
    D, X, Y, Q = net.depth, dict(net.sizes)["X"], net.outputs, shape.states
    H = net.parts[0]
    P, Yp, Qp = (padded(n, L) for n in (H, Y, Q))
    product, bias = net.reads.instructions[-2:]
    Why, by = (net.reads.parameter_slots[each.operands[1]] for each in (product, bias))
    box = shape.boxes
    guesses = k.mul(k.R, box)  # where the readout of states begins
    guess_biases = k.add(guesses, Q * P)
    b_size = k.add(guesses, shape.guesses)
    b = k.builder
    worst = Worst(k, P)

    room = Rooms(k, edge_rooms(shape), {"edges": E, "symbols": k.S, "outputs": Y})
    at, there, those = room.at, room.there, room.those

    def row_of(name: str, e: Integer, size: int) -> list[Value]:
        """A row, zero in the padding."""
        pointer, width, _ = at[name]
        return k.only(k.load_all(pointer, k.mul(e, width), width // L), size, 0.0)

    def add_to(name: str, e: Integer, values: list[Value]) -> None:
        pointer, width, _ = at[name]
        start = k.mul(e, width)
        old = k.load_all(pointer, start, len(values))
        k.store_all([*map(k.fadd, old, values)], pointer, start)

    def add_rows(target: Value, place: Integer, pointer: Value, row: Integer, width: int) -> None:
        for v in range(0, width, L):
            old, more = k.load(target, k.add(place, v)), k.load(pointer, k.add(row, v))
            k.store(k.fadd(old, more), target, k.add(place, v))

    def edge(array: Value, u: Value, e: Value) -> Value:
        return k.integer(array, k.add(k.mul(k.mul(u, k.stride), E), e), 32)

    def weight_of(u: Value, e: Value) -> Value:
        return k.scalar(k.weight, k.add(k.mul(k.mul(u, k.stride), E), e))

    def known_output(u: Value, e: Value) -> tuple[Value, Value]:
        """The output that is asked for, 0 where none is; and whether none is."""
        output = edge(k.output, u, e)
        cut = b.trunc(output, ir.IntType(32))
        none = b.icmp_signed("<", cut, ir.Constant(ir.IntType(32), 0))
        return b.select(none, k.i64(0), output), none

    # An update -------------------------------------------------------------------------

    images = [(f"step {c}", f"step {r}") for c, r in after]

    def image(part: int, e: Integer, slack: Value) -> tuple[list[Value], list[Value]]:
        size, (c, r) = net.parts[part], images[part]
        wide = [k.fadd(each, slack) for each in row_of(r, e, size)]
        return row_of(c, e, size), k.only(wide, size, 0.0)

    def into(part: int, u: Value, e: Value) -> tuple[Value, list[Value], list[Value]]:
        """Where the box is that an edge leads to, and what it is."""
        start = k.add(k.mul(edge(k.target, u, e), box), net.part_places[part])
        n = padded(net.parts[part], L) // L
        return start, k.load_all(k.b, start, n), k.load_all(k.b, k.add(start, D), n)

    def beyond(
        part: int, u: Value, e: Value, slack: Value
    ) -> tuple[Value, list[Value], list[Value]]:
        """How far an image stands out of that box, below and above."""
        start, centre, radius = into(part, u, e)
        c, r = image(part, e, slack)
        below = [
            k.fsub(k.fsub(x, y), k.fsub(p, q))
            for x, y, p, q in zip(centre, radius, c, r, strict=True)
        ]
        above = [
            k.fsub(k.fadd(p, q), k.fadd(x, y))
            for x, y, p, q in zip(centre, radius, c, r, strict=True)
        ]
        size = net.parts[part]
        return start, k.only(below, size, 0.0), k.only(above, size, 0.0)

    def update(u: Value) -> None:
        strength = [k.scalar(k.strengths, k.add(k.mul(u, 4), i)) for i in range(4)]
        slack = k.splat(strength[1])
        shares = [k.fsub(single(1.0), strength[0]), strength[0]]
        clear(k, k.gradient, net.size)
        clear(k, k.b_gradient, b_size)
        for kind, block in (("d step", step), ("d input", of_input)):
            for slot in block.crossing:
                room.clear(f"{kind} {slot}")
        for name in at:
            if name.rpartition(" ")[0] in ("given", "d drive", "of"):
                room.clear(name)
        turn_around(k, net)
        begin()
        k.each_row(k.S, of_input.tile, feed)
        k.loop(E, lambda e: fetch(u, e))
        k.each_row(E, step.tile, lambda e, n: step.forward(step_places(u, e, n), n))

        # what is answered, and which state the machine is in: at the centre, and at its worst
        def read(e: Value, *doubts: Value) -> list[Value]:
            c, r = image(0, e, slack)
            answer, none = known_output(u, e)
            found = []
            row, line = k.mul(e, Yp), k.mul(e, Qp)
            worst.logits(
                *(c, r, k.at(k.p, net.turned[Why]), (k.p, k.i64(net.places[by])), Y, answer),
                *(storing(k, at[f"answers {i}"][0], row) for i in (1, 0)),
            )
            if Q > 1:
                worst.logits(
                    *(c, r, k.at(k.b, guesses), (k.b, guess_biases), Q, edge(k.state, u, e)),
                    *(storing(k, at[f"states {i}"][0], line) for i in (1, 0)),
                )
            for i, doubt in enumerate(doubts):
                pointer, _, _ = at[f"answers {i}"]
                if i:
                    for y in range(Y):
                        out = k.add(k.mul(k.add(k.mul(u, E), e), Y), y)
                        k.store(k.scalar(pointer, k.add(row, y)), k.logits, out)
                sure = of_answer(pointer, row, answer)
                here = weight_of(u, e)
                doubtful = b.fcmp_unordered("<", sure, single(SURE))
                some = b.and_(doubtful, b.not_(none))
                found.append(k.fadd(doubt, b.select(some, here, single(0.0))))
            return found

        doubts = k.loop(E, read, [single(0.0), single(0.0)])
        divisors = [larger(doubt, LEAST) for doubt in doubts]

        def stand(e: Value, total: Value) -> list[Value]:
            any_: Value = k.constant(0.0)
            for part in range(len(after)):
                _, below, above = beyond(part, u, e, slack)
                for each in (*below, *above):
                    any_ = k.most(any_, each)
            out = b.fcmp_ordered(">", k.largest(any_), single(0.0))
            return [k.fadd(total, b.select(out, weight_of(u, e), single(0.0)))]

        (standing,) = k.loop(E, stand, [single(0.0)])
        outside = larger(standing, LEAST)

        def lose(e: Value) -> None:
            """The gradients of images, of the boxes they lead to, and of what is held down."""
            weight = weight_of(u, e)
            c, r = image(0, e, slack)
            answer, none = known_output(u, e)
            of_c, of_r = [k.constant(0.0)] * (P // L), [k.constant(0.0)] * (P // L)
            for i, radius in enumerate((None, r)):
                share = k.fmul(shares[i], weight)
                pointer, _, _ = at[f"answers {i}"]
                row = k.mul(e, Yp)
                asked = b.select(none, single(0.0), k.fdiv(share, divisors[i]))
                several = net.decision == "argmax"  # whose shares `of_answer` has left there
                worst.less_target(*(pointer, row, Y, answer, asked), several=several, known=True)
                of_by(stored(k, pointer, row))
                more_c, more_r = worst.back(
                    stored(k, pointer, row),
                    *(c, radius, k.at(k.p, net.turned[Why]), at["of Why"][0], Y, answer),
                )
                of_c, of_r = [*map(k.fadd, of_c, more_c)], [*map(k.fadd, of_r, more_r)]
                if Q > 1:
                    states, _, _ = at[f"states {i}"]
                    line, state = k.mul(e, Qp), edge(k.state, u, e)
                    worst.less_target(states, line, Q, state, share, several=True)
                    add_rows(k.b_gradient, guess_biases, states, line, Qp)
                    more_c, more_r = worst.back(
                        stored(k, states, line),
                        *(c, radius, k.at(k.b, guesses), k.at(k.b_gradient, guesses), Q, state),
                    )
                    of_c, of_r = [*map(k.fadd, of_c, more_c)], [*map(k.fadd, of_r, more_r)]
            out = k.splat(k.fdiv(k.fmul(strength[2], weight), outside))
            for part, ((gc, gr), moved) in enumerate(zip(after, rises(cell), strict=True)):
                start, below, above = beyond(part, u, e, slack)
                low, high = ([where(each, 0.0, out) for each in side] for side in (below, above))
                for place, change in (
                    (start, [*map(k.fsub, low, high)]),
                    (
                        k.add(start, D),
                        [
                            k.fsub(k.constant(0.0), k.fadd(x, y))
                            for x, y in zip(low, high, strict=True)
                        ],
                    ),
                ):
                    old = k.load_all(k.b_gradient, place, len(change))
                    k.store_all([*map(k.fadd, old, change)], k.b_gradient, place)
                more_c, more_r = [*map(k.fsub, high, low)], [*map(k.fadd, high, low)]
                if part == 0:
                    more_c, more_r = [*map(k.fadd, of_c, more_c)], [*map(k.fadd, of_r, more_r)]
                add_to(f"given {gc}", e, more_c)
                add_to(f"given {gr}", e, more_r)
                pulling = k.fmul(out, k.constant(PULL))
                if moved.value is not None:
                    pull(part, moved.value, e, pulling, below, above)
                if moved.magnitude is not None:
                    centre, _ = image(part, e, slack)
                    sides = [*map(by_magnitude, centre, below, above)]
                    small, large = ([*each] for each in zip(*sides, strict=True))
                    pull(part, moved.magnitude, e, pulling, small, large)
            for slot, sign in keeping(cell):
                forget(slot, sign, e, k.splat(k.fmul(strength[3], weight)))

        k.loop(E, lose)
        k.each_row(E, step.back_tile, partial(step.backward, partial(back, u)))
        finish()
        rate = k.broadcast(k.rates, u)
        if net.optimiser == "adam":
            adam(k, k.p, k.gradient, k.moments, net.size, u)
            adam(k, k.b, k.b_gradient, k.b_moments, b_size, u)
        else:
            for pointer, size in ((k.gradient, net.size), (k.b_gradient, b_size)):
                scale(pointer, size, rate)
            descend(k, k.p, k.gradient, net.size)
            descend(k, k.b, k.b_gradient, b_size)

        def least(row: Value) -> None:
            for v in range(0, D, L):
                place = k.add(k.mul(row, box), D + v)
                k.store(k.most(k.load(k.b, place), slack), k.b, place)

        k.loop(k.R, least)

    def scale(pointer: Value, size: Integer, rate: Value) -> None:
        k.loop(size, lambda i: k.store(k.fmul(k.load(pointer, i), rate), pointer, i), step=L)

    def larger(value: Value, least: float) -> Value:
        more = b.fcmp_ordered(">", value, single(least))
        return b.select(more, value, single(least))

    def where(value: Value, bound: float, chosen: Value) -> Value:
        more = b.fcmp_ordered(">", value, k.constant(bound))
        return b.select(more, chosen, k.constant(0.0))

    def of_answer(pointer: Value, row: Value, answer: Value) -> Value:
        """The share that an answer has, of one: e to minus its loss.

        Of several answers all their shares take the place of their logits.
        """
        if net.decision == "bits":
            logit = k.scalar(pointer, row)
            up = b.icmp_signed("==", answer, k.i64(1))
            signed = b.select(up, logit, b.fneg(logit))
            return b.extract_element(k.sigmoid(k.splat(signed)), k.i64(0))
        shares = softmax(k, k.load_all(pointer, row, Yp // L), Y)
        k.store_all(shares, pointer, row)
        # the loss is that of the logits, and the target's is 0: its share is that of e^0
        found: Value = single(0.0)
        for y in range(Y):
            mine = b.icmp_signed("==", answer, k.i64(y))
            share = b.extract_element(shares[y // L], k.i64(y % L))
            found = b.select(mine, share, found)
        return found

    def of_by(d: Callable[[Integer], Value]) -> None:
        if not net.biases:
            return
        for y in range(Y):
            place = net.places[by] + y
            k.store(k.fadd(k.scalar(k.gradient, place), d(y)), k.gradient, place)

    def pull(
        part: int, slot: int, e: Value, out: Value, below: list[Value], above: list[Value]
    ) -> None:
        c, r = held[slot]
        size = net.parts[part]
        zc, zr = row_of(f"step {c}", e, size), row_of(f"step {r}", e, size)
        low = [
            where(k.fsub(q, p), SATURATED, where(x, FAR, out))
            for p, q, x in zip(zc, zr, below, strict=True)
        ]
        high = [
            where(k.fadd(p, q), SATURATED, where(x, FAR, out))
            for p, q, x in zip(zc, zr, above, strict=True)
        ]
        add_to(f"given {c}", e, [*map(k.fsub, high, low)])
        add_to(f"given {r}", e, [*map(k.fadd, high, low)])

    def by_magnitude(centre: Value, below: Value, above: Value) -> tuple[Value, Value]:
        """How far an image is too small, and too large, where it stands out below and above."""
        negative = b.fcmp_ordered("<", centre, k.constant(0.0))
        return b.select(negative, above, below), b.select(negative, below, above)

    def forget(slot: int, sign: int, e: Value, weight: Value) -> None:
        c, r = held[slot]
        size = step.sizes[c]
        signed = k.constant(sign)
        over = [
            k.fsub(k.fma(signed, p, q), k.constant(KEPT))
            for p, q in zip(row_of(f"step {c}", e, size), row_of(f"step {r}", e, size), strict=True)
        ]
        slope = [where(each, 0.0, weight) for each in k.only(over, size, -1.0)]
        add_to(f"given {c}", e, [k.fmul(signed, each) for each in slope])
        add_to(f"given {r}", e, slope)

    def begin() -> None:
        """The box of the start: one state."""
        for place_, part, size in zip(net.part_places, cell.state, net.parts, strict=True):
            for v in range(0, padded(size, L), L):
                value = k.constant(0.0)
                if net.learned:
                    value = k.load(k.p, net.places[f"{part}_start"] + v)
                k.store(value, k.b, place_ + v)
                k.store(k.constant(0.0), k.b, D + place_ + v)

    def feed(first: Integer, count: int) -> None:
        rows = along(k, first, count)
        of_input.forward({**those("input", rows), 0: Place(k.vectors, X, rows)}, count)

    def fetch(u: Value, e: Value) -> None:
        """The box that an edge comes from."""
        start = k.mul(edge(k.source, u, e), box)
        for (c, r), place_, size in zip(before, net.part_places, net.parts, strict=True):
            n = padded(size, L) // L
            for slot, shift in ((c, place_), (r, D + place_)):
                pointer, width, _ = at[f"before {slot}"]
                values = k.load_all(k.b, k.add(start, shift), n)
                k.store_all(values, pointer, k.mul(e, width))

    def step_places(u: Value, first: Integer, count: int) -> dict[int, Place]:
        rows = along(k, first, count)
        symbols = [edge(k.symbol, u, row) for row in rows]
        found = {**those("step", rows), **those("before", rows)}
        return found | {slot: there(f"input {slot}", symbols) for slot in cell.drives}

    def back(u: Value, first: Integer, count: int) -> Way:
        rows = along(k, first, count)
        values = step_places(u, first, count)
        sources = [edge(k.source, u, row) for row in rows]
        sinks = {slot: there(f"d drive {slot}", values[slot].rows) for slot in cell.drives}
        for (c, r), place_ in zip(before, net.part_places, strict=True):
            sinks[c] = Place(k.at(k.b_gradient, place_), box, sources)
            sinks[r] = Place(k.at(k.b_gradient, D + place_), box, sources)
        return values, those("given", rows), those("d step", rows), sinks

    def finish() -> None:
        """What is gathered after all edges: gradients of matrices, of what symbols give."""
        for each in step.products:
            operand, kept = each.operands[0], there(f"d step {each.out}", [0])
            name = f"before {operand}" if f"before {operand}" in at else f"step {operand}"
            step.gather(each, there(name, [0]), kept, E)

        def feed_back(first: Integer, count: int) -> Way:
            rows = along(k, first, count)
            values = {**those("input", rows), 0: Place(k.vectors, X, rows)}
            return values, those("d drive", rows), those("d input", rows), {}

        k.each_row(k.S, of_input.back_tile, partial(of_input.backward, feed_back))
        for each in of_input.products:
            operand, kept = each.operands[0], there(f"d input {each.out}", [0])
            a = Place(k.vectors, X, [0]) if operand == 0 else there(f"input {operand}", [0])
            of_input.gather(each, a, kept, k.S)

        worst.add_turned(at["of Why"][0], k.gradient, net.places[Why], H, Y)
        for place_, part, size in zip(net.part_places, cell.state, net.parts, strict=True):
            for v in range(0, padded(size, L), L):
                if net.learned:
                    start = net.places[f"{part}_start"] + v
                    more = k.load(k.b_gradient, place_ + v)
                    k.store(k.fadd(k.load(k.gradient, start), more), k.gradient, start)
                for shift in (0, D):
                    k.store(k.constant(0.0), k.b_gradient, shift + place_ + v)

    k.loop(k.updates, update)
    k.done()
    return module
