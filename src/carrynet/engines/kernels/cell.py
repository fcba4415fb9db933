"""Code with the cell of one shape, and the two products that all kernels are made of."""

from collections.abc import Callable, Sequence

import llvmlite.ir as ir

from carrynet.engines.kernels.shape import Layout, Parameters, Shape
from carrynet.engines.vector import Code, Integer, Value

Rows = list[list[Value]]  # vectors by row and column


class Cell(Code):
    """Code with the cell and the two products of one shape."""

    def __init__(
        self,
        module: ir.Module,
        name: str,
        parameters: Parameters,
        shape: Shape,
    ) -> None:
        super().__init__(module, name, list(parameters.arrays), parameters.integers, shape.lanes)
        self.shape, self.layout = shape, Layout(shape)
        self.registers = 32 if shape.lanes == 16 else 16

    def f(self, z: Value) -> Value:
        """The activation."""
        if self.shape.activation == "relu":
            return self.at_least(0.0, z)
        return {"sigmoid": self.sigmoid, "tanh": self.tanh}[self.shape.activation](z)

    def activate(self, z: Value, column: Integer, *, bound: bool = False) -> Value:
        """f(z) for a column of units, zero in the padding, which is in the last of `each_tile`.

        There sigmoid(0) is not zero, and of a bound no f(z +- slack) is.
        """
        L, H, y = self.lanes, self.shape.hidden, self.f(z)
        if not isinstance(column, int) or (column + 1) * L <= H:
            return y
        if not (bound or self.shape.activation == "sigmoid"):
            return y
        mask = [1.0 if column * L + lane < H else 0.0 for lane in range(L)]
        return self.fmul(y, ir.Constant(self.vector, mask))

    def slope(self, y: Value) -> Value:
        """f'(z) from y = f(z)."""
        if self.shape.activation == "relu":
            positive = self.builder.fcmp_ordered(">", y, self.constant(0.0))
            return self.builder.select(positive, self.constant(1.0), self.constant(0.0))
        first = {"sigmoid": y, "tanh": self.constant(1.0)}[self.shape.activation]
        return self.fsub(first, self.fmul(y, y))

    def gemm(
        self,
        rows: int,
        columns: Sequence[Integer],
        a: Value,
        a_row: Integer,
        w: Value,
        start: Rows | None,
        *,
        magnitudes: bool = False,
        inner: int = 0,
        width: int = 0,
        steps: tuple[int, int] = (0, 1),
    ) -> Rows:
        """start[r] + sum_k a[r, k] w[k], for some columns; a[r] begins at a + r * P.

        With `magnitudes`, |w[k]| instead.  There are P of all, where nothing else is said: `inner`
        is how many k, `width` how far w[k] is from w[k + 1], `steps` how far a[r, k] is from
        a[r + 1, k] and from a[r, k + 1].

        Few sums at once would wait for one another: then k is dealt out to several
        sets of sums, which are added at the end.
        """
        P, L = self.layout.width, self.lanes
        inner, width, (down, along) = inner or P, width or P, (steps[0] or P, steps[1])
        unrolled = next(n for n in (4, 2, 1) if inner % n == 0)
        if self.shape.alone and rows == 1 and inner * len(columns) <= 256:
            unrolled = inner
        size = rows * len(columns)
        sets = max(1, min(8 // size, unrolled))
        sums: list[Value | None] = [None] * (sets * size)
        if start is not None:
            sums[:size] = [value for row in start for value in row]

        def turn(k: Integer, *carried: Value | None) -> list[Value | None]:
            sums = list(carried)
            for j in range(unrolled):
                here = self.add(k, j)
                weights = [
                    self.load(w, self.add(self.mul(here, width), self.mul(v, L))) for v in columns
                ]
                if magnitudes:
                    weights = [self.abs(weight) for weight in weights]
                for r in range(rows):
                    place = self.add(self.add(a_row, r * down), self.mul(here, along))
                    value = self.broadcast(a, place)
                    for c, weight in enumerate(weights):
                        i = ((j % sets) * rows + r) * len(columns) + c
                        sums[i] = self.fma(value, weight, sums[i])
            return sums

        if unrolled == inner:
            sums = turn(0, *sums)
        else:
            zero = self.constant(0.0)
            sums = self.loop(inner, turn, [zero if s is None else s for s in sums], step=unrolled)
        while len(sums) > size:
            half = len(sums) // 2
            sums = [self.fadd(sums[i], sums[half + i]) for i in range(half)]
        return [sums[r * len(columns) : (r + 1) * len(columns)] for r in range(rows)]

    def column_tiles(self, most: int) -> list[range]:
        """The columns, in groups of at most `most`."""
        C = self.layout.columns
        return [range(i, min(i + most, C)) for i in range(0, C, most)]

    def each_tile(self, most: int, body: Callable[[Sequence[Integer]], None]) -> None:
        """`body(columns)` for all columns, in groups of at most `most`, an even number.

        Where groups are many they are not written out, but for the last, which may be smaller or
        end in padding: code as long as the network is wide would take long to build.
        """
        *others, last = self.column_tiles(most)
        if len(others) < 2:
            for columns in others:
                body(columns)
        else:
            stop = len(others) * most
            self.loop(stop, lambda v: body([self.add(v, c) for c in range(most)]), step=most)
        body(last)

    def rank(
        self,
        target: Value,
        offset: int,
        a: Value,
        a_row: Integer,
        b: Value,
        b_row: Integer,
        count: Integer,
    ) -> None:
        """target[i] += sum_k a[k, i] b[k] over `count` rows of P, for all P rows i."""
        P, L = self.layout.width, self.lanes

        def some(columns: Sequence[Integer]) -> None:
            sums_at_once = 16 if self.registers == 32 else 8
            # a power of two up to 8, so that it divides P
            height = 1 << min(3, (sums_at_once // len(columns)).bit_length() - 1)

            def tile(i: Value) -> None:
                places = [
                    self.add(self.add(self.mul(v, L), offset), self.mul(self.add(i, r), P))
                    for r in range(height)
                    for v in columns
                ]
                sums = [self.load(target, place) for place in places]

                def turn(k: Value, *sums: Value) -> list[Value]:
                    shift = self.mul(k, P)
                    right = [
                        self.load(b, self.add(self.add(b_row, shift), self.mul(v, L)))
                        for v in columns
                    ]
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

        self.each_tile(4, some)

    def drive(self, symbol: Value, columns: Sequence[Integer]) -> list[Value]:
        """x Wxh + bh of a symbol, by the rows that it switches on."""
        sums: list[Value] | None = None
        shifts = [self.mul(v, self.lanes) for v in columns]
        if self.shape.biases:
            sums = [self.load(self.p, self.add(shift, self.layout.bh)) for shift in shifts]
        for j in range(self.shape.active):
            row = self.integer(self.active, self.add(self.mul(symbol, self.shape.active), j), 32)
            rows = [self.load(self.p, self.add(row, shift)) for shift in shifts]
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
