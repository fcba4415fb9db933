"""Updates of a network of any cell: its formulas through time, backward, and an optimiser."""

from collections.abc import Callable
from functools import lru_cache, partial

import llvmlite.ir as ir

from carrynet.engines.kernels.block import Place, Way, padded
from carrynet.engines.kernels.formula_bounds import Bounds, bounds_rooms, slack_size
from carrynet.engines.kernels.formulas import Formulas, turn_around
from carrynet.engines.kernels.optimise import adam, descend
from carrynet.engines.kernels.rooms import Room, Rooms, along, clear, floats, of_gradients
from carrynet.engines.kernels.shape import Parameters
from carrynet.engines.kernels.softmax import softmax
from carrynet.engines.kernels.worst import single
from carrynet.engines.vector import Code, Integer, Value


@lru_cache(maxsize=256)
def rooms(shape: Formulas) -> tuple[Room, ...]:
    """All that a kernel of updates works in."""
    cell, blocks = shape.formula, shape.blocks(shape)
    found = [(name, "states", shape.depth) for name in ("state", "adjoint")]
    Y = padded(shape.outputs, shape.lanes)
    found += [(name, "positions", Y) for name in ("logits", "dl")]
    found.append(("asked", "positions", 1))
    results = {
        "input": set(cell.drives),
        "step": set(cell.results),
        "read": set(shape.reads.results),
    }
    for kind, block in zip(("input", "step", "read"), blocks, strict=True):
        rows = "symbols" if kind == "input" else "positions"
        values = block.saved | block.crossing | (results[kind] if kind == "input" else set())
        values -= results[kind] if kind != "input" else set()
        found += [(f"{kind} {slot}", rows, block.width(slot)) for slot in sorted(values)]
        found += of_gradients(block, kind, rows, values - results[kind])
    found += [(f"d drive {slot}", "symbols", blocks[0].width(slot)) for slot in cell.drives]
    return (*found, *(bounds_rooms(shape) if shape.worst else ()))


def room_size(shape: Formulas, B: int, T: int, S: int) -> int:
    """How many floats that is."""
    counts = {
        "positions": T * B,
        "states": (T + 1) * B,
        "symbols": S,
        "outputs": shape.outputs,
    }
    return floats(rooms(shape), counts, shape.lanes)


def parameters_size(shape: Formulas) -> int:
    """How many floats `p` has: parameters, matrices turned around, and the slack."""
    return shape.turned[""] + (slack_size(shape) if shape.worst else 0)


# Updates -----------------------------------------------------------------------------

FORMULA_TRAIN = Parameters(
    {
        "p": "f4",  # the parameters, updated, and room behind them: `parameters_size`
        "moments": "f4",  # Adam's, two as long as the parameters, updated
        "gradient": "f4",  # room as long as the parameters
        "work": "f4",  # `room_size`
        "words": "u2",  # (updates, B, T)
        "rates": "f4",  # (updates,) what multiplies gradients: -step / B, or 1 / B for Adam
        "roots": "f4",  # (updates, 2) Adam's step / (1 - b1^t) and 1 / sqrt(1 - b2^t)
        "logits": "f4",  # (updates, T, B, Y) written
        "vectors": "f4",  # (S, X)
        "delta": "i4",  # (Q, S)
        "output": "i4",  # (Q, S); negative where nothing is asked
        "targets": "f4",  # (outputs, Y padded)
        "symbols": "i4",  # (T, B) room
        "shares": "f4",  # (updates, 2) the worst case's share in the loss, and the slack; or empty
        "answers": "i4",  # (T, B) room, empty where the worst case has no share
    },
    ("updates", "B", "T", "S"),
)


def formula_train(shape: Formulas) -> ir.Module:
    """`formula_train(...)`: updates, each from one batch, as `engines.Engine.advance` says."""
    module = ir.Module("formula_train")
    names = FORMULA_TRAIN
    k = Code(module, "formula_train", list(names.arrays), names.integers, shape.lanes)
    L, Y, D = shape.lanes, shape.outputs, shape.depth
    cell, (of_input, step, read) = shape.formula, shape.blocks(k)
    X, B, T, S = dict(shape.sizes)["X"], k.B, k.T, k.S
    positions, states = k.mul(T, B), k.mul(k.add(T, 1), B)
    Yp = padded(Y, L)
    parts = list(enumerate(shape.part_places, 1))  # slots of the state before, and where they lie

    counts = {"positions": positions, "states": states, "symbols": S, "outputs": Y}
    room = Rooms(k, rooms(shape), counts)
    bounds = Bounds(k, shape, room, B) if shape.worst else None
    at, there, those = room.at, room.there, room.those

    def update(u: Value) -> None:
        clear(k, k.gradient, shape.size)
        room.clear("adjoint")
        for kind, block in (("input", of_input), ("step", step), ("read", read)):
            for slot in block.crossing:
                room.clear(f"d {kind} {slot}")
        for slot in cell.drives:
            room.clear(f"d drive {slot}")
        turn_around(k, shape)
        k.each_row(S, of_input.tile, feed)
        begin()
        k.loop(B, lambda b: read_word(u, b))
        in_time(step.tile, forward)
        k.each_row(positions, read.tile, read_out)
        first = k.mul(k.mul(u, positions), Y)
        rate, of_worst = k.scalar(k.rates, u), single(0.0)
        if bounds:
            share, slack = (k.scalar(k.shares, k.add(k.mul(u, 2), i)) for i in range(2))
            rate, of_worst = k.fmul(rate, k.fsub(single(1.0), share)), k.fmul(rate, share)
            bounds.begin(slack)
        if Y == 1:
            some = partial(bits_gradient, first=first, rate=k.splat(rate))
            k.each_row(positions, L, some)
        else:
            k.loop(positions, lambda r: loss_gradient(r, first, k.splat(rate)))
        k.each_row(positions, read.back_tile, partial(read.backward, read_back))
        in_time(step.back_tile, partial(step.backward, back), backward=True)
        gather()
        if bounds:
            in_time(bounds.block.tile, bounds.forward)
            k.loop(positions, lambda r: worst_case(r, of_worst))
            in_time(bounds.block.back_tile, bounds.backward, backward=True)
            bounds.gather(positions)
            gather_start("of centre")
        k.each_row(S, of_input.back_tile, partial(of_input.backward, feed_back))
        for product in of_input.products:
            operand, kept = product.operands[0], there(f"d input {product.out}", [0])
            a = Place(k.vectors, X, [0]) if operand == 0 else there(f"input {operand}", [0])
            of_input.gather(product, a, kept, S)
        if shape.optimiser == "adam":
            adam(k, k.p, k.gradient, k.moments, shape.size, u)
        else:
            descend(k, k.p, k.gradient, shape.size)

    def in_time(tile: int, work: Callable[[Integer, int], None], *, backward: bool = False) -> None:
        """Work at the rows of one position after the other, or from the last one back."""

        def position(i: Integer) -> None:
            first = k.mul(k.sub(k.sub(T, 1), i) if backward else i, B)
            k.each_row(B, tile, lambda r, n: work(k.add(first, r), n))

        k.loop(T, position)

    def worst_case(r: Integer, of_worst: Value) -> None:
        assert bounds
        share = k.fmul(of_worst, k.scalar(at["asked"][0], r))
        bounds.read_out(r, k.integer(k.answers, r, 32), share)

    def feed(first: Integer, count: int) -> None:
        """What the cell makes of each symbol, whatever its state."""
        rows = along(k, first, count)
        x = {0: Place(k.vectors, X, rows)}
        of_input.forward({**those("input", rows), **x}, count)

    def feed_back(first: Integer, count: int) -> Way:
        rows = along(k, first, count)
        values = {**those("input", rows), 0: Place(k.vectors, X, rows)}
        return values, those("d drive", rows), those("d input", rows), {}

    def begin() -> None:
        if not shape.learned:
            return
        for (_, place), part, size in zip(parts, cell.state, shape.parts, strict=True):
            start = shape.places[f"{part}_start"]

            def row(b: Value, place: int = place, start: int = start, size: int = size) -> None:
                for v in range(0, padded(size, L), L):
                    target = k.add(k.mul(b, D), place + v)
                    k.store(k.load(k.p, start + v), at["state"][0], target)

            k.loop(B, row)

    def read_word(u: Value, b: Value) -> None:
        start = k.mul(k.add(k.mul(u, B), b), T)

        def position(t: Value, state: Value) -> list[Value]:
            symbol = k.integer(k.words, k.add(start, t), 16)
            edge, row = k.add(k.mul(state, S), symbol), k.add(k.mul(t, B), b)
            k.store_integer(symbol, k.symbols, row, 32)
            answer = k.integer(k.output, edge, 32)
            cut = k.builder.trunc(answer, ir.IntType(32))
            open_ = k.builder.icmp_signed("<", cut, ir.Constant(ir.IntType(32), 0))
            asked = k.builder.select(open_, single(0.0), single(1.0))
            k.store(asked, at["asked"][0], row)
            known = k.builder.select(open_, k.i64(0), answer)
            if bounds:
                k.store_integer(known, k.answers, row, 32)
            for v in range(0, Yp, L):
                wanted = k.load(k.targets, k.add(k.mul(known, Yp), v))
                k.store(wanted, at["dl"][0], k.add(k.mul(row, Yp), v))
            return [k.integer(k.delta, edge, 32)]

        k.loop(T, position, [k.i64(0)])

    def step_places(first: Integer, count: int) -> dict[int, Place]:
        rows = along(k, first, count)
        symbols = [k.integer(k.symbols, row, 32) for row in rows]
        after = [k.add(row, B) for row in rows]
        found = those("step", rows)
        found |= {slot: there(f"input {slot}", symbols) for slot in cell.drives}
        found |= {slot: there("state", rows, place) for slot, place in parts}
        for result, (_, place) in zip(cell.results, parts, strict=True):
            found[result] = there("state", after, place)
        return found

    def forward(first: Integer, count: int) -> None:
        step.forward(step_places(first, count), count)

    def back(first: Integer, count: int) -> Way:
        values = step_places(first, count)
        rows = along(k, first, count)
        given = {
            result: there("adjoint", values[result].rows, place)
            for result, (_, place) in zip(cell.results, parts, strict=True)
        }
        sinks = {slot: there("adjoint", rows, place) for slot, place in parts}
        sinks |= {slot: there(f"d drive {slot}", values[slot].rows) for slot in cell.drives}
        return values, given, those("d step", rows), sinks

    def read_places(first: Integer, count: int) -> tuple[list[Integer], dict[int, Place]]:
        rows = along(k, first, count)
        h = there("state", [k.add(row, B) for row in rows])
        logits = {shape.reads.results[0]: there("logits", rows)}
        return rows, {**those("read", rows), **logits, 0: h}

    def read_out(first: Integer, count: int) -> None:
        read.forward(read_places(first, count)[1], count)

    def read_back(first: Integer, count: int) -> Way:
        rows, values = read_places(first, count)
        given = {shape.reads.results[0]: there("dl", rows)}
        sinks = {0: there("adjoint", values[0].rows)}
        return values, given, those("d read", rows), sinks

    def loss_gradient(r: Value, first: Integer, rate: Value) -> None:
        """dL/dlogits, times a rate, over the targets; and the logits written."""
        logits, dl, row = at["logits"][0], at["dl"][0], k.mul(r, Yp)
        for y in range(Y):
            value = k.scalar(logits, k.add(row, y))
            k.store(value, k.logits, k.add(k.add(first, k.mul(r, Y)), y))
        scale = k.fmul(rate, k.broadcast(at["asked"][0], r))
        here = [k.load(logits, k.add(row, v)) for v in range(0, Yp, L)]
        if (shape.loss, shape.decision) == ("cross-entropy", "argmax"):
            shares = softmax(k, here, Y)
        else:
            shares = [k.sigmoid(logit) for logit in here]
        targets = k.load_all(dl, row, Yp // L)
        found = [difference(y, target, scale) for y, target in zip(shares, targets, strict=True)]
        # beyond the outputs nothing is asked
        k.store_all(k.only(found, Y, 0.0), dl, row)

    def difference(y: Value, target: Value, scale: Value) -> Value:
        found = k.fsub(y, target)
        if shape.loss == "squared":
            found = k.fmul(found, k.fsub(y, k.fmul(y, y)))
        return k.fmul(found, scale)

    def bits_gradient(r: Integer, count: int, first: Integer, rate: Value) -> None:
        """The same of rows with one logit each, as many as a vector has lanes, or one."""
        rows = [k.mul(k.add(r, i), Yp) for i in range(count)]
        logits, targets = (
            k.together([k.scalar(at[name][0], row) for row in rows]) for name in ("logits", "dl")
        )
        scale = k.fmul(rate, k.load(at["asked"][0], r))
        found = difference(k.sigmoid(logits), targets, scale)
        for i, row in enumerate(rows):
            k.store(k.lane(logits, i), k.logits, k.add(k.add(first, r), i))
            k.store(k.lane(found, i), at["dl"][0], row)

    def gather() -> None:
        """The gradients of all matrices but the input's, from all positions; and of the start."""
        places = dict(parts)
        for product in step.products:
            operand, kept = product.operands[0], there(f"d step {product.out}", [0])
            if operand in places:
                a = there("state", [0], places[operand])
            elif operand in cell.results:
                a = there("state", [B], shape.part_places[cell.results.index(operand)])
            else:
                a = there(f"step {operand}", [0])
            step.gather(product, a, kept, positions)
        for product in read.products:
            operand, kept = product.operands[0], there(f"d read {product.out}", [0])
            a = there("state", [B]) if operand == 0 else there(f"read {operand}", [0])
            read.gather(product, a, kept, positions)
        gather_start("adjoint")

    def gather_start(adjoint: str) -> None:
        if not shape.learned:
            return
        for (_, place), part, size in zip(parts, cell.state, shape.parts, strict=True):
            start = shape.places[f"{part}_start"]

            def row(b: Value, place: int = place, start: int = start, size: int = size) -> None:
                for v in range(0, padded(size, L), L):
                    more = k.load(at[adjoint][0], k.add(k.mul(b, D), place + v))
                    k.store(k.fadd(k.load(k.gradient, start + v), more), k.gradient, start + v)

            k.loop(B, row)

    room.clear("state")
    if bounds:
        room.clear("radius")  # that of the start is 0, and is never written
    k.loop(k.updates, update)
    k.done()
    return module
