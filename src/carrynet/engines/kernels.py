"""The native kernels: LLVM IR for exactly one shape of network.

Shapes: B batch, T time, X input, H hidden, Y output, S symbols, Q machine states,
J inputs that a symbol can switch on; L the lanes of a vector.  H is padded to P, a
multiple of L, with units that stay at zero.

Parameters lie in one array of float32 (see `Layout`): Wxh (X+1, P), whose last row
is always zero; Whh (P, P); bh (P,); Why (Y, P); by (Y padded).  A symbol's inputs are
0 or 1, so that x Wxh is the sum of the J rows that it switches on; `active` (S, J)
holds where they begin, and that of the zero row for inputs that are off.

Products come in two forms, both with all sums in registers:

    gemm    C[r] = C0[r] + sum_k A[r, k] W[k]         rows of states through weights
    rank    C[i] += sum_k A[k, i] B[k]                gradients, over time and batch

For the way back W^T is kept beside W and takes the same updates, or is made anew.
Reading: `train` is `network.bptt` and an update; `walk` is the tree of prefixes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir

from carrynet.engines.vector import FLOAT, Code, Integer, Value


@dataclass(frozen=True)
class Shape:
    """What a kernel is made for; equal shapes share machine code."""

    lanes: int  # L
    hidden: int  # H
    inputs: int  # X
    active: int  # J
    outputs: int  # Y
    activation: str = "sigmoid"
    loss: str = ""  # of training only
    readout: str = "bits"
    optimiser: str = ""
    biases: bool = True
    alone: bool = False  # one problem for each update


@dataclass(frozen=True)
class Layout:
    """Where the parameters lie, in floats."""

    shape: Shape

    @property
    def columns(self) -> int:
        """P / L, the vectors of a hidden state."""
        # at least 8 units, so that loops over units can be unrolled by 8
        multiple = max(8, self.shape.lanes)
        return -(-self.shape.hidden // multiple) * multiple // self.shape.lanes

    @property
    def width(self) -> int:
        """P, the padded number of hidden units."""
        return self.columns * self.shape.lanes

    @property
    def Whh(self) -> int:
        """Where Whh begins."""
        return (self.shape.inputs + 1) * self.width

    @property
    def bh(self) -> int:
        """Where bh begins."""
        return self.Whh + self.width**2

    @property
    def Why(self) -> int:
        """Where Why begins, transposed."""
        return self.bh + self.width

    @property
    def by(self) -> int:
        """Where by begins."""
        return self.Why + self.shape.outputs * self.width

    @property
    def output_width(self) -> int:
        """Y, padded to vectors."""
        return -(-self.shape.outputs // self.shape.lanes) * self.shape.lanes

    @property
    def size(self) -> int:
        """How many floats there are."""
        return self.by + self.output_width


Rows = list[list[Value]]  # vectors by row and column


class _Cell(Code):
    """Code with the cell and the two products of one shape."""

    def __init__(
        self,
        module: ir.Module,
        name: str,
        arrays: Iterable[str],
        integers: Sequence[str],
        shape: Shape,
    ) -> None:
        super().__init__(module, name, list(arrays), integers, shape.lanes)
        self.shape, self.layout = shape, Layout(shape)
        self.registers = 32 if shape.lanes == 16 else 16

    def f(self, z: Value) -> Value:
        """The activation."""
        if self.shape.activation == "relu":
            return self.at_least(0.0, z)
        return self.tanh(z) if self.shape.activation == "tanh" else self.sigmoid(z)

    def activate(self, z: Value, column: int) -> Value:
        """f(z) for a column of units, zero in the padding, where sigmoid(0) is not."""
        L, H, y = self.lanes, self.shape.hidden, self.f(z)
        if (column + 1) * L <= H or self.shape.activation != "sigmoid":
            return y
        mask = [1.0 if column * L + lane < H else 0.0 for lane in range(L)]
        return self.fmul(y, ir.Constant(self.vector, mask))

    def slope(self, y: Value) -> Value:
        """f'(z) from y = f(z)."""
        if self.shape.activation == "relu":
            positive = self.builder.fcmp_ordered(">", y, self.constant(0.0))
            return self.builder.select(positive, self.constant(1.0), self.constant(0.0))
        first = y if self.shape.activation == "sigmoid" else self.constant(1.0)
        return self.fsub(first, self.fmul(y, y))

    def gemm(
        self,
        rows: int,
        columns: Sequence[int],
        a: Value,
        a_row: Integer,
        w: Value,
        start: Rows | None,
    ) -> Rows:
        """start[r] + sum_k a[r, k] w[k], for some columns; a[r] begins at a + r * P.

        Few sums at once would wait for one another: then k is dealt out to several
        sets of sums, which are added at the end.
        """
        P, L = self.layout.width, self.lanes
        sets = max(1, 8 // (rows * len(columns)))
        unrolled = P if rows == 1 and P * len(columns) <= 256 else 4
        size = rows * len(columns)
        sums: list[Value | None] = [None] * (sets * size)
        if start is not None:
            sums[:size] = [value for row in start for value in row]

        def turn(k: Integer, *carried: Value | None) -> list[Value | None]:
            sums = list(carried)
            for j in range(unrolled):
                here = self.add(k, j)
                weights = [self.load(w, self.add(self.mul(here, P), v * L)) for v in columns]
                for r in range(rows):
                    value = self.broadcast(a, self.add(self.add(a_row, r * P), here))
                    for c, weight in enumerate(weights):
                        i = ((j % sets) * rows + r) * len(columns) + c
                        sums[i] = self.fma(value, weight, sums[i])
            return sums

        if unrolled == P:
            sums = turn(0, *sums)
        else:
            zero = self.constant(0.0)
            sums = self.loop(P, turn, [zero if s is None else s for s in sums], step=unrolled)
        while len(sums) > size:
            half = len(sums) // 2
            sums = [self.fadd(sums[i], sums[half + i]) for i in range(half)]
        return [sums[r * len(columns) : (r + 1) * len(columns)] for r in range(rows)]

    def column_tiles(self, most: int) -> list[range]:
        """The columns, in groups of at most `most`."""
        C = self.layout.columns
        return [range(i, min(i + most, C)) for i in range(0, C, most)]

    def each_row(self, count: Integer, tile: int, body: Callable[[Integer, int], None]) -> None:
        """`body(first, rows)` for all rows in tiles, then for the rest one by one."""
        if count == 1:
            body(0, 1)
            return
        tiled = self.mul(self.div(count, tile), tile)
        self.loop(tiled, lambda row: body(row, tile), step=tile)
        self.loop(count, lambda row: body(row, 1), start=tiled)

    def rank(
        self,
        target: Value,
        offset: int,
        a: Value,
        a_row: Integer,
        b: Value,
        b_row: Integer,
        count: Integer,
        *,
        add: bool = True,
    ) -> None:
        """target[i] (+)= sum_k a[k, i] b[k] over `count` rows of P, for all P rows i."""
        P, L = self.layout.width, self.lanes
        for columns in self.column_tiles(4):
            sums_at_once = 16 if self.registers == 32 else 8
            # a power of two up to 8, so that it divides P
            height = 1 << min(3, (sums_at_once // len(columns)).bit_length() - 1)

            def tile(i: Value, columns: range = columns, height: int = height) -> None:
                places = [
                    self.add(offset + v * L, self.mul(self.add(i, r), P))
                    for r in range(height)
                    for v in columns
                ]
                sums = [self.load(target, place) if add else self.constant(0.0) for place in places]

                def turn(k: Value, *sums: Value) -> list[Value]:
                    shift = self.mul(k, P)
                    right = [self.load(b, self.add(self.add(b_row, shift), v * L)) for v in columns]
                    from_a = self.add(self.add(a_row, shift), i)
                    left = [self.broadcast(a, self.add(from_a, r)) for r in range(height)]
                    return [
                        self.fma(left[n // len(columns)], right[n % len(columns)], s)
                        for n, s in enumerate(sums)
                    ]

                sums = self.loop(count, turn, sums)
                for value, place in zip(sums, places, strict=True):
                    self.store(value, target, place)

            self.loop(P, tile, step=height)

    def drive(self, symbol: Value, columns: Sequence[int]) -> list[Value]:
        """X Wxh + bh of a symbol, by the rows that it switches on."""
        sums: list[Value] | None = None
        if self.shape.biases:
            sums = [self.load(self.p, self.layout.bh + v * self.lanes) for v in columns]
        for j in range(self.shape.active):
            row = self.integer(self.active, self.add(self.mul(symbol, self.shape.active), j), 32)
            rows = [self.load(self.p, self.add(row, v * self.lanes)) for v in columns]
            sums = (
                rows
                if sums is None
                else [self.fadd(*pair) for pair in zip(sums, rows, strict=True)]
            )
        assert sums is not None
        return sums

    def logit(self, h: Value, h_row: Integer, y: int) -> Value:
        """One logit of a hidden state, a single float."""
        dot: Value | None = None
        for v in range(self.layout.columns):
            weight = self.load(self.p, self.layout.Why + y * self.layout.width + v * self.lanes)
            dot = self.fma(self.load(h, self.add(h_row, v * self.lanes)), weight, dot)
        total = self.total(dot)
        if self.shape.biases:
            total = self.fadd(total, self.scalar(self.p, self.layout.by + y))
        return total


TRAIN = {
    "p": "f4",  # the parameters, updated
    "transposed": "f4",  # (P, P) room for Whh^T
    "moments": "f4",  # Adam's, two as long as the parameters, updated
    "gradient": "f4",  # room as long as the parameters, for Adam
    "words": "u2",  # (updates, B, T)
    "rates": "f4",  # (updates,) what gradients are multiplied with: -step / B, or 1 / B for Adam
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
}


def train(shape: Shape) -> ir.Module:
    """`train(...)`: updates, each from one batch, as `engines.Engine.advance` says."""
    module = ir.Module("train")
    k = _Cell(module, "train", TRAIN, ("updates", "B", "T", "S"), shape)
    P, L, X, Y = k.layout.width, k.lanes, shape.inputs, shape.outputs
    B: Integer = 1 if shape.alone else k.B
    tile = 1 if shape.alone else k.registers // 4  # rows at once
    group = 4 if shape.alone else 2  # columns at once
    tiles = k.column_tiles(group)
    rows = k.mul(k.T, B)  # of all hidden states, time before batch
    descent = shape.optimiser == "sgd"

    def update(u: Value) -> None:
        read_words(u)
        forward()
        first_logit = k.mul(k.mul(u, rows), Y)
        read_out(first_logit)
        loss_gradient(u, first_logit)
        backward()
        if descent:
            gather(k.p, add=True)
            if shape.alone:  # the same sums for W^T
                k.rank(k.transposed, 0, k.dz, P, k.h, 0, k.sub(k.T, 1))
        else:
            k.loop(k.layout.size, lambda i: k.store(k.constant(0.0), k.gradient, i), step=L)
            gather(k.gradient, add=False)
            adam(u)
        if not (descent and shape.alone):
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
                answer = k.mul(k.integer(k.output, edge, 32), Y)
                for y in range(Y):
                    target = k.scalar(k.targets, k.add(answer, y))
                    k.store(target, k.dl, k.add(k.mul(row, Y), y))
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
                for columns in tiles:
                    z = [
                        k.drive(k.integer(k.symbols, k.add(row, i), 32), columns)
                        for i in range(count)
                    ]
                    if not first:
                        weights = k.at(k.p, k.layout.Whh)
                        z = k.gemm(count, columns, k.h, before, weights, z)
                    for i, row_of_z in enumerate(z):
                        for v, value in zip(columns, row_of_z, strict=True):
                            place = k.add(k.mul(k.add(row, i), P), v * L)
                            k.store(k.activate(value, v), k.h, place)

            k.each_row(B, tile, some_rows)

        step(k.i64(0), first=True)
        k.loop(k.T, step, start=1)

    def read_out(first_logit: Integer) -> None:
        def row(r: Value) -> None:
            for y in range(Y):
                place = k.add(first_logit, k.add(k.mul(r, Y), y))
                k.store(k.logit(k.h, k.mul(r, P), y), k.logits, place)

        k.loop(rows, row)

    def loss_gradient(u: Value, first_logit: Integer) -> None:
        """dL/dlogits over the targets in `dl`, times the rate of the update."""
        rate = k.broadcast(k.rates, u)  # -step / B for descent, 1 / B for Adam
        if (shape.loss, shape.readout) == ("cross-entropy", "argmax"):
            k.loop(rows, lambda r: softmax_gradient(r, first_logit, rate))
            return

        def some(i: Value) -> None:
            y = k.sigmoid(k.load(k.logits, k.add(first_logit, i)))
            difference = k.fsub(y, k.load(k.dl, i))
            if shape.loss == "squared":
                difference = k.fmul(difference, k.fsub(y, k.fmul(y, y)))
            k.store(k.fmul(difference, rate), k.dl, i)

        k.loop(k.mul(rows, Y), some, step=L)

    def softmax_gradient(r: Value, first_logit: Integer, rate: Value) -> None:
        # `scratch` is as wide as vectors, and -1e30 beyond the outputs: e^that is nothing.
        place, width = k.mul(r, Y), k.layout.output_width
        for y in range(Y):
            k.store(k.scalar(k.logits, k.add(k.add(first_logit, place), y)), k.scratch, y)
        logits = k.load_all(k.scratch, 0, width // L)
        largest = k.largest(logits[0])
        for vector in logits[1:]:
            other = k.largest(vector)
            more = k.builder.fcmp_ordered(">", other, largest)
            largest = k.builder.select(more, other, largest)
        powers = [k.exp(k.fsub(vector, k.splat(largest))) for vector in logits]
        total = k.total(powers[0])
        for vector in powers[1:]:
            total = k.fadd(total, k.total(vector))
        for i, vector in enumerate(powers):
            share = k.builder.fdiv(vector, k.splat(total))
            k.store(share, k.scratch, width + i * L)
        for y in range(Y):
            share = k.scalar(k.scratch, width + y)
            difference = k.fsub(share, k.scalar(k.dl, k.add(place, y)))
            scaled = k.fmul(difference, k.builder.extract_element(rate, k.i64(0)))
            k.store(scaled, k.dl, k.add(place, y))

    def backward() -> None:
        def step(t: Integer, last: bool) -> None:
            def some_rows(r: Integer, count: int) -> None:
                row = k.add(k.mul(t, B), r)
                after = k.mul(k.add(row, B), P)
                for columns in tiles:
                    g: Rows = []
                    for i in range(count):
                        sums: list[Value | None] = [None] * len(columns)
                        for y in range(Y):
                            d = k.broadcast(k.dl, k.add(k.mul(k.add(row, i), Y), y))
                            for c, v in enumerate(columns):
                                weight = k.load(k.p, k.layout.Why + y * P + v * L)
                                sums[c] = k.fma(d, weight, sums[c])
                        g.append(sums)
                    if not last:
                        g = k.gemm(count, columns, k.dz, after, k.transposed, g)
                    for i, row_of_g in enumerate(g):
                        for v, value in zip(columns, row_of_g, strict=True):
                            place = k.add(k.mul(k.add(row, i), P), v * L)
                            slope = k.slope(k.load(k.h, place))
                            k.store(k.fmul(value, slope), k.dz, place)

            k.each_row(B, tile, some_rows)

        end = k.sub(k.T, 1)
        step(end, last=True)
        k.loop(end, lambda i: step(k.sub(k.sub(end, 1), i), last=False))

    def gather(target: Value, add: bool) -> None:
        """Add up the gradients of all parameters."""
        C = k.layout.columns
        k.rank(target, k.layout.Whh, k.h, 0, k.dz, k.mul(B, P), k.mul(k.sub(k.T, 1), B), add=add)
        for y in range(Y):
            for columns in k.column_tiles(4):

                def turn(
                    r: Value, *sums: Value, y: int = y, columns: range = columns
                ) -> list[Value]:
                    d = k.broadcast(k.dl, k.add(k.mul(r, Y), y))
                    return [
                        k.fma(d, k.load(k.h, k.add(k.mul(r, P), v * L)), s)
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
                    lambda r, s, v=v: [k.fadd(s, k.load(k.dz, k.add(k.mul(r, P), v * L)))],
                    [k.load(target, place)],
                )
                k.store(summed[0], target, place)
            for y in range(Y):
                summed = k.loop(
                    rows,
                    lambda r, s, y=y: [k.fadd(s, k.scalar(k.dl, k.add(k.mul(r, Y), y)))],
                    [k.scalar(target, k.layout.by + y)],
                )
                k.store(summed[0], target, k.layout.by + y)

        def scatter(r: Value) -> None:
            symbol = k.integer(k.symbols, r, 32)
            for j in range(shape.active):
                row = k.integer(k.active, k.add(k.mul(symbol, shape.active), j), 32)
                for v in range(C):
                    place = k.add(row, v * L)
                    dz = k.load(k.dz, k.add(k.mul(r, P), v * L))
                    k.store(k.fadd(k.load(target, place), dz), target, place)

        k.loop(rows, scatter)
        for v in range(C):  # the zero row has taken what belongs nowhere
            k.store(k.constant(0.0), target, X * P + v * L)

    def adam(u: Value) -> None:
        """As `optim.adam`: `roots` holds step / (1 - b1^t) and 1 / sqrt(1 - b2^t)."""
        rate = k.broadcast(k.roots, k.mul(u, 2))
        root = k.broadcast(k.roots, k.add(k.mul(u, 2), 1))
        size = k.layout.size

        def some(i: Value) -> None:
            g = k.load(k.gradient, i)
            m = k.fma(k.constant(0.9), k.load(k.moments, i), k.fmul(k.constant(0.1), g))
            squares = k.fmul(k.fmul(k.constant(0.001), g), g)
            v = k.fma(k.constant(0.999), k.load(k.moments, k.add(i, size)), squares)
            k.store(m, k.moments, i)
            k.store(v, k.moments, k.add(i, size))
            divisor = k.fma(k.sqrt(v), root, k.constant(1e-8))
            change = k.builder.fdiv(k.fmul(rate, m), divisor)
            k.store(k.fsub(k.load(k.p, i), change), k.p, i)

        k.loop(size, some, step=L)

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


ACROSS = {
    "p": "f4",  # (parameters, L): the parameters of L networks, updated; see `across_size`
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
}


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
    k = _Cell(module, "across", ACROSS, ("updates", "T", "S"), shape)
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


class _Judge(_Cell):
    """Code that follows words and judges what the network answers.

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

    def judge(
        self, h: Value, h_row: Integer, edge: Integer, smallest: Value
    ) -> tuple[Value, Value]:
        """Whether the answer to a hidden state is that of a machine's edge.

        Returns that, and the smaller of `smallest` and the margin.  As `network.predict`
        and `network.margins`; what is not a number is wrong by the most there is.
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
        smaller = b.select(b.fcmp_ordered("<", margin, smallest), margin, smallest)
        return b.zext(b.and_(hit, number), ir.IntType(64)), smaller


BLOCK = 32
"""Prefixes that `walk` expands at once; their children stay in the cache."""


def walk_room(shape: Shape, symbols: int) -> int:
    """Floats that one level of `walk` works in: children, and rows to flush them into."""
    return BLOCK * symbols * (2 * Layout(shape).width + 2)


WALK = {
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
}


def walk(shape: Shape) -> ir.Module:
    """`walk(...)`: every word below some prefixes, judged; see `evaluation.evaluate`.

    N prefixes with hidden states h (N, P), machine states and whether each was right
    so far; `word` is the number of the first in base S.  Adds to `tally` how many words
    of `depth` more symbols and `headroom` zeros are right, and lowers tally[1] to the
    first that is wrong, and `margin` to the smallest margin.  Calls itself for each
    block of children.
    """
    module = ir.Module("walk")
    k = _Judge(module, "walk", WALK, ("N", "word", "depth", "headroom", "S"), shape)
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

    def judge_children(i: Value, smallest: Value) -> list[Value]:
        before, so_far = k.integer(k.state, i, 32), k.integer(k.right, i, 32)

        def child(a: Value, smallest: Value) -> list[Value]:
            edge, row = k.add(k.mul(before, k.S), a), k.add(k.mul(i, k.S), a)
            hit, smallest = k.judge(h_next, k.mul(row, P), edge, smallest)
            k.store_integer(b.and_(hit, so_far), right_next, row, 32)
            k.store_integer(k.integer(k.delta, edge, 32), state_next, row, 32)
            return [smallest]

        return k.loop(k.S, child, [smallest])

    def keep_margin(smallest: list[Value]) -> None:
        k.store(smallest[0], k.margin)

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

        def one(i: Value, smallest: Value) -> list[Value]:
            edge = k.mul(k.integer(state_next, i, 32), k.S)
            hit, smallest = k.judge(there, k.mul(i, P), edge, smallest)
            k.store_integer(b.and_(hit, k.integer(right_next, i, 32)), right_next, i, 32)
            k.store_integer(k.integer(k.delta, edge, 32), state_next, i, 32)
            return [smallest]

        keep_margin(k.loop(children, one, [k.scalar(k.margin)]))
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
    keep_margin(k.loop(k.N, judge_children, [k.scalar(k.margin)]))
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


FOLLOW = {
    "p": "f4",
    "drives": "f4",
    "delta": "i4",
    "output": "i4",
    "words": "u2",
    "h": "f4",
    "state": "i4",
    "first_error": "i4",
    "margin": "f4",
}


def follow(shape: Shape) -> ir.Module:
    """`follow(...)`: N words of T symbols, judged; see `evaluation.sample`.

    Writes to `first_error` (N,) where a word first goes wrong, and leaves it where it
    does not; lowers `margin` to the smallest margin.  `h` has room for 8 states, `state` for 4.
    """
    module = ir.Module("follow")
    k = _Judge(module, "follow", FOLLOW, ("N", "T", "S"), shape)
    b, P, L = k.builder, k.layout.width, k.lanes

    def some_words(first: Integer, count: int) -> None:
        k.loop(8 * P, lambda i: k.store(k.constant(0.0), k.h, i), step=L)
        for r in range(count):
            k.store_integer(0, k.state, r, 32)

        def position(t: Value, here: Value, there: Value, smallest: Value) -> list[Value]:
            symbols = [
                k.integer(k.words, k.add(k.mul(k.add(first, r), k.T), t), 16) for r in range(count)
            ]
            k.follow(count, here, 0, list(symbols), there, 0)
            for r, symbol in enumerate(symbols):
                edge = k.add(k.mul(k.integer(k.state, r, 32), k.S), symbol)
                hit, smallest = k.judge(there, r * P, edge, smallest)
                k.store_integer(k.integer(k.delta, edge, 32), k.state, r, 32)
                word = k.add(first, r)
                none = b.trunc(k.integer(k.first_error, word, 32), ir.IntType(32))
                new = b.and_(
                    b.icmp_signed("<", none, ir.Constant(ir.IntType(32), 0)),
                    b.icmp_signed("==", hit, k.i64(0)),
                )
                error = b.select(new, b.trunc(t, ir.IntType(32)), none)
                k.store_integer(b.zext(error, ir.IntType(64)), k.first_error, word, 32)
            return [there, here, smallest]

        *_, smallest = k.loop(k.T, position, [k.h, k.at(k.h, 4 * P), k.scalar(k.margin)])
        k.store(smallest, k.margin)

    k.each_row(k.N, 4, some_words)
    k.done()
    return module


PEAK_CHAINS = 16
"""Independent multiply-adds in each turn of `peak`."""


def peak(shape: Shape) -> ir.Module:
    """`peak(...)`: nothing but multiply-adds in registers, to measure how many there can be."""
    module = ir.Module("peak")
    k = _Cell(module, "peak", {"numbers": "f4"}, ("turns",), shape)
    chains = [k.load(k.numbers, i * k.lanes) for i in range(PEAK_CHAINS)]
    factor = k.load(k.numbers, PEAK_CHAINS * k.lanes)

    def turn(_: Value, *chains: Value) -> list[Value]:
        return [k.fma(chain, factor, factor) for chain in chains]

    k.store_all(k.loop(k.turns, turn, chains), k.numbers, 0)
    k.done()
    return module


@dataclass(frozen=True)
class Kernel:
    """How a kernel is written, and the arrays that it takes, by name and NumPy type."""

    write: Callable[[Shape], ir.Module]
    arrays: Mapping[str, str]


KERNELS = {
    "train": Kernel(train, TRAIN),
    "across": Kernel(across, ACROSS),
    "walk": Kernel(walk, WALK),
    "follow": Kernel(follow, FOLLOW),
    "peak": Kernel(peak, {"numbers": "f4"}),
}
