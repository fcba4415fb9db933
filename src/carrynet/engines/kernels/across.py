"""Updates of as many networks at once as a vector has lanes."""

from typing import Any

import llvmlite.ir as ir

from carrynet.engines.kernels.cell import Cell
from carrynet.engines.kernels.shape import Parameters, Shape
from carrynet.engines.vector import Integer, Value

ACROSS = Parameters(
    {
        "p": "f4",  # (parameters, L): the parameters of L networks, updated; see `across_offsets`
        "words": "u2",  # (L, updates, T)
        "steps": "f4",  # (L,) step sizes
        "vectors": "f4",
        "delta": "i4",
        "output": "i4",
        "targets": "f4",
        "x": "f4",  # (T, X, L) room
        "h": "f4",  # (T, H, L) room
        "dz": "f4",  # (T, H, L) room
        "dl": "f4",  # (T, Y, L) room for targets, then for gradients
    },
    ("updates", "T", "S"),
)


def across_offsets(shape: Shape) -> dict[str, int]:
    """Where the parameters of `across` begin, and as `size` how many there are; not padded."""
    X, H, Y = shape.inputs, shape.hidden, shape.outputs
    sizes = {"Wxh": X * H, "Whh": H * H, "bh": H, "Why": H * Y, "by": Y}
    offsets, total = {}, 0
    for name, size in sizes.items():
        offsets[name] = total
        total += size
    return {**offsets, "size": total}


def across(shape: Shape) -> ir.Module:
    """`across(...)`: updates from one problem each, for L networks at once, one in each lane.

    The same sums as `train` with vectors turned by a right angle: every number of a
    network is a lane, so that nothing need be padded, broadcast or added up across.
    It wins while L networks fit in the first-level cache.
    """
    module = ir.Module("across")
    k = Cell(module, "across", ACROSS, shape)
    X, H, Y, L = shape.inputs, shape.hidden, shape.outputs, k.lanes
    at = across_offsets(shape)
    steps = k.load(k.steps)
    minus = k.fsub(k.constant(0.0), steps)

    def parameter(name: str, position: Integer) -> Value:
        return k.load(k.p, k.mul(k.add(position, at[name]), L))

    def room(array: Value, t: Integer, width: int, i: Integer) -> Integer:
        return k.mul(k.add(k.mul(t, width), i), L)

    def tiles(size: int) -> list[range]:
        most = 16 if k.registers == 32 else 8
        return [range(i, min(i + most, size)) for i in range(0, size, most)]

    def update(u: Value) -> None:
        for lane in range(L):
            read_word(u, lane)
        k.loop(k.T, forward)
        k.loop(k.T, loss_gradient)
        end = k.sub(k.T, 1)
        backward(end, last=True)
        k.loop(end, lambda i: backward(k.sub(k.sub(end, 1), i), last=False))
        gather()

    def read_word(u: Value, lane: int) -> None:
        start = k.mul(k.add(k.mul(k.updates, lane), u), k.T)

        def position(t: Value, state: Value) -> list[Value]:
            symbol = k.integer(k.words, k.add(start, t), 16)
            edge = k.add(k.mul(state, k.S), symbol)
            answer = k.mul(k.integer(k.output, edge, 32), Y)
            for x in range(X):
                value = k.scalar(k.vectors, k.add(k.mul(symbol, X), x))
                k.store(value, k.x, k.add(room(k.x, t, X, x), lane))
            for y in range(Y):
                target = k.scalar(k.targets, k.add(answer, y))
                k.store(target, k.dl, k.add(room(k.dl, t, Y, y), lane))
            return [k.integer(k.delta, edge, 32)]

        k.loop(k.T, position, [k.i64(0)])

    def forward(t: Value) -> None:
        for units in tiles(H):
            z = [parameter("bh", j) for j in units]
            for x in range(X):
                value = k.load(k.x, room(k.x, t, X, x))
                z = [
                    k.fma(value, parameter("Wxh", x * H + j), s)
                    for j, s in zip(units, z, strict=True)
                ]

            def turn(i: Value, *z: Value, units: range = units) -> list[Value]:
                value = k.load(k.h, room(k.h, k.sub(t, 1), H, i))
                row = k.mul(i, H)
                return [
                    k.fma(value, parameter("Whh", k.add(row, j)), s)
                    for j, s in zip(units, z, strict=True)
                ]

            # at t = 0 there is no state before
            before = k.builder.select(k.less(0, t), k.i64(H), k.i64(0))
            for j, s in zip(units, k.loop(before, turn, z), strict=True):
                k.store(k.f(s), k.h, room(k.h, t, H, j))

    def loss_gradient(t: Value) -> None:
        """dL/dlogits times minus the step."""
        logits = [parameter("by", y) for y in range(Y)]

        def turn(i: Value, *logits: Value) -> list[Value]:
            value = k.load(k.h, room(k.h, t, H, i))
            row = k.mul(i, Y)
            return [k.fma(value, parameter("Why", k.add(row, y)), s) for y, s in enumerate(logits)]

        logits = k.loop(H, turn, logits)
        if (shape.loss, shape.readout) == ("cross-entropy", "argmax"):
            largest = logits[0]
            for logit in logits[1:]:
                more = k.builder.fcmp_ordered(">", logit, largest)
                largest = k.builder.select(more, logit, largest)
            powers = [k.exp(k.fsub(logit, largest)) for logit in logits]
            total = powers[0]
            for power in powers[1:]:
                total = k.fadd(total, power)
            shares = [k.builder.fdiv(power, total) for power in powers]
        else:
            shares = [k.sigmoid(logit) for logit in logits]
        for y, share in enumerate(shares):
            place = room(k.dl, t, Y, y)
            difference = k.fsub(share, k.load(k.dl, place))
            if shape.loss == "squared":
                difference = k.fmul(difference, k.fsub(share, k.fmul(share, share)))
            k.store(k.fmul(difference, minus), k.dl, place)

    def backward(t: Integer, last: bool) -> None:
        for units in tiles(H):
            g: list[Value | None] = [None] * len(units)
            for y in range(Y):
                value = k.load(k.dl, room(k.dl, t, Y, y))
                g = [
                    k.fma(value, parameter("Why", i * Y + y), s)
                    for i, s in zip(units, g, strict=True)
                ]
            if not last:

                def turn(j: Value, *g: Value, units: range = units) -> list[Value]:
                    value = k.load(k.dz, room(k.dz, k.add(t, 1), H, j))
                    return [
                        k.fma(value, parameter("Whh", k.add(j, i * H)), s)
                        for i, s in zip(units, g, strict=True)
                    ]

                g = k.loop(H, turn, g)
            for i, s in zip(units, g, strict=True):
                place = room(k.dz, t, H, i)
                k.store(k.fmul(s, k.slope(k.load(k.h, place))), k.dz, place)

    def gather() -> None:
        """Add every weight's gradient, summed over time in registers, to the weight."""

        def add_up(name: str, row: Value, width: int, left: Any, right: Any, start: int) -> None:
            for columns in tiles(width):
                places = [k.mul(k.add(k.mul(row, width), at[name] + j), L) for j in columns]

                def turn(t: Value, *sums: Value, columns: range = columns) -> list[Value]:
                    value = left(t)
                    return [
                        k.fma(value, right(t, j), s) for j, s in zip(columns, sums, strict=True)
                    ]

                sums = k.loop(k.T, turn, [k.load(k.p, place) for place in places], start=start)
                for value, place in zip(sums, places, strict=True):
                    k.store(value, k.p, place)

        def dz(t: Value, j: int) -> Value:
            return k.load(k.dz, room(k.dz, t, H, j))

        def dl(t: Value, y: int) -> Value:
            return k.load(k.dl, room(k.dl, t, Y, y))

        def hidden_row(i: Value) -> None:
            add_up("Whh", i, H, lambda t: k.load(k.h, room(k.h, k.sub(t, 1), H, i)), dz, 1)
            add_up("Why", i, Y, lambda t: k.load(k.h, room(k.h, t, H, i)), dl, 0)

        k.loop(H, hidden_row)
        k.loop(
            X,
            lambda x: add_up("Wxh", x, H, lambda t: k.load(k.x, room(k.x, t, X, x)), dz, 0),
        )
        if shape.biases:
            one = k.constant(1.0)
            add_up("bh", k.i64(0), H, lambda _: one, dz, 0)
            add_up("by", k.i64(0), Y, lambda _: one, dl, 0)

    k.loop(k.updates, update)
    k.done()
    return module
