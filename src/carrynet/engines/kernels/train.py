"""Updates of one network: `nets.bptt` and an optimiser, in machine code."""

from collections.abc import Sequence

import llvmlite.ir as ir

from carrynet.engines.kernels.bounds import BOUNDS, Bounds
from carrynet.engines.kernels.cell import Cell, Rows
from carrynet.engines.kernels.optimise import adam, descend
from carrynet.engines.kernels.shape import Parameters, Shape
from carrynet.engines.vector import Integer, Value

TRAIN = Parameters(
    {
        "p": "f4",  # the parameters, updated
        "transposed": "f4",  # (P, P) room for Whh^T
        "moments": "f4",  # Adam's, two as long as the parameters, updated
        "gradient": "f4",  # room as long as the parameters, for Adam
        "words": "u2",  # (updates, B, T)
        "rates": "f4",  # (updates,) what multiplies gradients: -step / B, or 1 / B for Adam
        "roots": "f4",  # (updates, 2) Adam's step / (1 - b1^t) and 1 / sqrt(1 - b2^t)
        "logits": "f4",  # (updates, T, B, Y) written
        "active": "i4",  # (S, J)
        "delta": "i4",  # (Q, S)
        "output": "i4",  # (Q, S)
        "targets": "f4",  # (outputs, Y)
        "symbols": "i4",  # (T, B) room
        "h": "f4",  # (T, B, P) room
        "dz": "f4",  # (T, B, P) room
        "dl": "f4",  # (T, B, Y) room for targets, then for gradients
        "scratch": "f4",  # two outputs, padded, -1e30
        **BOUNDS,
    },
    ("updates", "B", "T", "S"),
)


def train(shape: Shape) -> ir.Module:
    """`train(...)`: updates, each from one batch, as `engines.Engine.advance` says."""
    module = ir.Module("train")
    k = Cell(module, "train", TRAIN, shape)
    P, L, X, Y = k.layout.width, k.lanes, shape.inputs, shape.outputs
    B: Integer = 1 if shape.alone else k.B
    tile = 1 if shape.alone else k.registers // 4  # rows at once
    group = 4 if shape.alone else 2  # columns at once
    rows = k.mul(k.T, B)  # of all hidden states, time before batch
    bounds = Bounds(k, B, tile, group)
    # descent alone can add gradients to the weights at once; the worst case needs both
    apart = shape.worst or shape.optimiser == "adam"

    def update(u: Value) -> None:
        read_words(u)
        forward()
        first_logit = k.mul(k.mul(u, rows), Y)
        read_out(first_logit)
        rate = k.broadcast(k.rates, u)  # -step / B for descent, 1 / B for Adam
        if apart:
            k.loop(k.layout.size, lambda i: k.store(k.constant(0.0), k.gradient, i), step=L)
        if shape.worst:
            share = k.broadcast(k.shares, k.mul(u, 2))
            bounds.forward(k.broadcast(k.shares, k.add(k.mul(u, 2), 1)))
            bounds.read_out()
            loss_gradient(k.worst, 0, k.dworst, k.fmul(rate, share))
            bounds.backward()
            bounds.gather()
            gather(k.gradient, bounds.centre, k.dcentre, k.dworst)
            rate = k.fmul(rate, k.fsub(k.constant(1.0), share))
        loss_gradient(k.logits, first_logit, k.dl, rate)
        backward()
        gather(k.gradient if apart else k.p, k.h, k.dz, k.dl)
        if shape.optimiser == "adam":
            adam(k, k.p, k.gradient, k.moments, k.layout.size, u)
        elif apart:
            descend(k, k.p, k.gradient, k.layout.size)
        if shape.alone:  # the same sums for W^T, cheaper than to turn W around
            k.rank(k.transposed, 0, k.dz, P, k.h, 0, k.sub(k.T, 1))
        else:
            transpose()

    def read_words(u: Value) -> None:
        """Symbols and targets, time before batch."""

        def word(b: Integer) -> None:
            start = k.mul(k.add(k.mul(u, B), b), k.T)

            def position(t: Value, state: Value) -> list[Value]:
                symbol = k.integer(k.words, k.add(start, t), 16)
                edge = k.add(k.mul(state, k.S), symbol)
                row = k.add(k.mul(t, B), b)
                k.store_integer(symbol, k.symbols, row, 32)
                answer = k.integer(k.output, edge, 32)
                for y in range(Y):
                    target = k.scalar(k.targets, k.add(k.mul(answer, Y), y))
                    k.store(target, k.dl, k.add(k.mul(row, Y), y))
                    if shape.worst:
                        k.store(target, k.dworst, k.add(k.mul(row, Y), y))
                if shape.worst:
                    k.store_integer(answer, k.answers, row, 32)
                return [k.integer(k.delta, edge, 32)]

            k.loop(k.T, position, [k.i64(0)])

        if shape.alone:
            word(0)
        else:
            k.loop(B, word)

    def forward() -> None:
        def step(t: Value, first: bool = False) -> None:
            def some_rows(r: Integer, count: int) -> None:
                row = k.add(k.mul(t, B), r)
                before = k.mul(k.sub(row, B), P)

                def some(columns: Sequence[Integer]) -> None:
                    z = [
                        k.drive(k.integer(k.symbols, k.add(row, i), 32), columns)
                        for i in range(count)
                    ]
                    if not first:
                        weights = k.at(k.p, k.layout.Whh)
                        z = k.gemm(count, columns, k.h, before, weights, z)
                    for i, row_of_z in enumerate(z):
                        for v, value in zip(columns, row_of_z, strict=True):
                            place = k.add(k.mul(k.add(row, i), P), k.mul(v, L))
                            k.store(k.activate(value, v), k.h, place)

                k.each_tile(group, some)

            k.each_row(B, tile, some_rows)

        step(k.i64(0), first=True)
        k.loop(k.T, step, start=1)

    def read_out(first_logit: Integer) -> None:
        def row(r: Value) -> None:
            for y in range(Y):
                place = k.add(first_logit, k.add(k.mul(r, Y), y))
                k.store(k.logit(k.h, k.mul(r, P), y), k.logits, place)

        k.loop(rows, row)

    def loss_gradient(logits: Value, first: Integer, targets: Value, rate: Value) -> None:
        """dL/dlogits, times a rate, over the targets."""
        if (shape.loss, shape.readout) == ("cross-entropy", "argmax"):
            k.loop(rows, lambda r: softmax_gradient(r, logits, first, targets, rate))
            return

        def some(i: Value) -> None:
            y = k.sigmoid(k.load(logits, k.add(first, i)))
            difference = k.fsub(y, k.load(targets, i))
            if shape.loss == "squared":
                difference = k.fmul(difference, k.fsub(y, k.fmul(y, y)))
            k.store(k.fmul(difference, rate), targets, i)

        k.loop(k.mul(rows, Y), some, step=L)

    def softmax_gradient(
        r: Value, logits: Value, first: Integer, targets: Value, rate: Value
    ) -> None:
        # `scratch` is as wide as vectors, and -1e30 beyond the outputs: e^that is nothing.
        place, width = k.mul(r, Y), k.layout.output_width
        for y in range(Y):
            k.store(k.scalar(logits, k.add(k.add(first, place), y)), k.scratch, y)
        vectors = k.load_all(k.scratch, 0, width // L)
        largest = k.largest(vectors[0])
        for vector in vectors[1:]:
            other = k.largest(vector)
            more = k.builder.fcmp_ordered(">", other, largest)
            largest = k.builder.select(more, other, largest)
        powers = [k.exp(k.fsub(vector, k.splat(largest))) for vector in vectors]
        total = k.total(powers[0])
        for vector in powers[1:]:
            total = k.fadd(total, k.total(vector))
        for i, vector in enumerate(powers):
            share = k.builder.fdiv(vector, k.splat(total))
            k.store(share, k.scratch, width + i * L)
        for y in range(Y):
            share = k.scalar(k.scratch, width + y)
            difference = k.fsub(share, k.scalar(targets, k.add(place, y)))
            scaled = k.fmul(difference, k.builder.extract_element(rate, k.i64(0)))
            k.store(scaled, targets, k.add(place, y))

    def backward() -> None:
        def step(t: Integer, last: bool) -> None:
            def some_rows(r: Integer, count: int) -> None:
                row = k.add(k.mul(t, B), r)
                after = k.mul(k.add(row, B), P)

                def some(columns: Sequence[Integer]) -> None:
                    g: Rows = []
                    for i in range(count):
                        sums: list[Value | None] = [None] * len(columns)
                        for y in range(Y):
                            d = k.broadcast(k.dl, k.add(k.mul(k.add(row, i), Y), y))
                            for c, v in enumerate(columns):
                                start = k.add(k.mul(v, L), k.layout.Why + y * P)
                                weight = k.load(k.p, start)
                                sums[c] = k.fma(d, weight, sums[c])
                        g.append(sums)
                    if not last:
                        g = k.gemm(count, columns, k.dz, after, k.transposed, g)
                    for i, row_of_g in enumerate(g):
                        for v, value in zip(columns, row_of_g, strict=True):
                            place = k.add(k.mul(k.add(row, i), P), k.mul(v, L))
                            slope = k.slope(k.load(k.h, place))
                            k.store(k.fmul(value, slope), k.dz, place)

                k.each_tile(group, some)

            k.each_row(B, tile, some_rows)

        end = k.sub(k.T, 1)
        step(end, last=True)
        k.loop(end, lambda i: step(k.sub(k.sub(end, 1), i), last=False))

    def gather(target: Value, h: Value, dz: Value, dl: Value) -> None:
        """Add the gradients of all parameters to what is there."""
        C = k.layout.columns
        k.rank(target, k.layout.Whh, h, 0, dz, k.mul(B, P), k.mul(k.sub(k.T, 1), B))
        for y in range(Y):
            for columns in k.column_tiles(4):

                def turn(
                    r: Value, *sums: Value, y: int = y, columns: range = columns
                ) -> list[Value]:
                    d = k.broadcast(dl, k.add(k.mul(r, Y), y))
                    return [
                        k.fma(d, k.load(h, k.add(k.mul(r, P), v * L)), s)
                        for v, s in zip(columns, sums, strict=True)
                    ]

                place = k.layout.Why + y * P + columns[0] * L
                sums = k.load_all(target, place, len(columns))
                k.store_all(k.loop(rows, turn, sums), target, place)
        if shape.biases:
            for v in range(C):
                place = k.layout.bh + v * L
                summed = k.loop(
                    rows,
                    lambda r, s, v=v: [k.fadd(s, k.load(dz, k.add(k.mul(r, P), v * L)))],
                    [k.load(target, place)],
                )
                k.store(summed[0], target, place)
            for y in range(Y):
                summed = k.loop(
                    rows,
                    lambda r, s, y=y: [k.fadd(s, k.scalar(dl, k.add(k.mul(r, Y), y)))],
                    [k.scalar(target, k.layout.by + y)],
                )
                k.store(summed[0], target, k.layout.by + y)

        def scatter(r: Value) -> None:
            symbol = k.integer(k.symbols, r, 32)
            for j in range(shape.active):
                row = k.integer(k.active, k.add(k.mul(symbol, shape.active), j), 32)
                for v in range(C):
                    place = k.add(row, v * L)
                    change = k.load(dz, k.add(k.mul(r, P), v * L))
                    k.store(k.fadd(k.load(target, place), change), target, place)

        k.loop(rows, scatter)
        for v in range(C):  # the zero row has taken what belongs nowhere
            k.store(k.constant(0.0), target, X * P + v * L)

    def transpose() -> None:
        def row(i: Value) -> None:
            def element(j: Value) -> None:
                value = k.scalar(k.p, k.add(k.layout.Whh, k.add(k.mul(i, P), j)))
                k.store(value, k.transposed, k.add(k.mul(j, P), i))

            k.loop(P, element)

        k.loop(P, row)

    transpose()
    k.loop(k.updates, update)
    k.done()
    return module
