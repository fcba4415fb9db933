"""Ellipsoids of hidden states in machine code: products with their matrices, and what holds what.

The ellipsoid {c + x : x x^T <= Q} has a centre c (P,) and a matrix Q (P, P); see `proof.trees`.
"""

from collections.abc import Sequence

import llvmlite.ir as ir

from carrynet.engines.kernels.cell import Cell
from carrynet.engines.vector import FLOAT, INT, POINTER, Integer, Value


class Ellipsoid(Cell):
    """Code with the algebra of ellipsoids."""

    def number(self, value: float) -> Value:
        """A single float."""
        return ir.Constant(FLOAT, value)

    def row(self, a: Value, start: Integer, w: Value) -> list[Value]:
        """a w, for a row of P numbers and a matrix (P, P)."""
        columns = []
        for tile in self.column_tiles(4):
            columns += self.gemm(1, tile, a, start, w, None)[0]
        return columns

    def product(self, a: Value, a_start: Integer, w: Value, to: Value) -> None:
        """to = a w, all (P, P)."""
        P, L = self.layout.width, self.lanes

        def some_rows(first: Value) -> None:
            for columns in self.column_tiles(self.registers // 8):
                start = self.add(a_start, self.mul(first, P))
                for r, values in enumerate(self.gemm(4, columns, a, start, w, None)):
                    for v, value in zip(columns, values, strict=True):
                        self.store(value, to, self.add(self.mul(self.add(first, r), P), v * L))

        self.loop(P, some_rows, step=4)

    def form(self, a: Value, w: Value) -> Value:
        """a w a^T, for a row of P numbers in memory and a matrix (P, P); a single float."""
        sums: Value | None = None
        for v, value in enumerate(self.row(a, 0, w)):
            sums = self.fma(value, self.load(a, v * self.lanes), sums)
        return self.total(sums)

    def dot(self, a: Sequence[Value], b: Sequence[Value]) -> Value:
        """a . b, a single float."""
        sums: Value | None = None
        for x, y in zip(a, b, strict=True):
            sums = self.fma(x, y, sums)
        return self.total(sums)

    # Chords: on [z - w, z + w] the activation is within rho of middle + k (x - z)

    def chord(self, activation: str, z: Value, w: Value) -> tuple[Value, Value, Value]:
        """k, middle and rho."""
        if activation == "sigmoid":
            return self._sigmoid_chord(z, w)
        c = self.constant
        if activation == "tanh":  # tanh z = 2 sigmoid(2 z) - 1
            k, middle, rho = self._sigmoid_chord(self.fadd(z, z), self.fadd(w, w))
            return self.fmul(k, c(4.0)), self.fma(middle, c(2.0), c(-1.0)), self.fadd(rho, rho)
        # (max(z + w, 0) - max(z - w, 0)) / 2 w, without what would cancel
        k = self.fdiv(self.fadd(z, w), self.fadd(w, w))
        k = self.at_most(1.0, self.at_least(0.0, k))
        end = self.fma(k, w, self.at_least(0.0, self.fsub(z, w)))
        inside = self.builder.fcmp_ordered("<", self.abs(z), w)
        return k, *self._spread(end, self.builder.select(inside, self.fmul(k, z), end))

    def _sigmoid_chord(self, z: Value, w: Value) -> tuple[Value, Value, Value]:
        """That of the sigmoid, s: s(a) - s(b) = s(a) s(-b) (1 - e^(b - a)) cancels nothing."""
        c, b, fma = self.constant, self.builder, self.fma
        u = self.fadd(w, w)
        powers = self.fdiv(
            self.fsub(c(1.0), self.exp(self.fsub(c(0.0), u))), self.at_least(1e-30, u)
        )
        series = c(-1 / 720)
        for coefficient in (1 / 120, -1 / 24, 1 / 6, -1 / 2, 1.0):
            series = fma(series, u, c(coefficient))
        part = b.select(b.fcmp_ordered("<", u, c(0.5)), series, powers)
        below = self.sigmoid(self.fsub(w, z))  # s(-b)
        k = self.fmul(self.fmul(self.sigmoid(self.fadd(z, w)), below), part)
        k = self.at_most(0.25, k)
        end = fma(k, w, self.fsub(c(1.0), below))
        # where s' = k: at y and 1 - y
        root = self.sqrt(self.at_least(0.0, fma(k, c(-4.0), c(1.0))))
        y = self.at_least(1e-30, self.fdiv(self.fadd(k, k), self.fadd(c(1.0), root)))
        other = self.fsub(c(1.0), y)
        x = self.log(self.fdiv(y, other))
        values = []
        for place, value in ((x, y), (self.fsub(c(0.0), x), other)):
            off = self.fsub(place, z)
            inside = b.fcmp_ordered("<", self.abs(off), w)
            values.append(b.select(inside, self.fsub(value, self.fmul(k, off)), end))
        return k, *self._spread(end, *values)

    def _spread(self, *values: Value) -> tuple[Value, Value]:
        low = high = values[0]
        for value in values[1:]:
            low, high = self.least(value, low), self.most(value, high)
        half = self.constant(0.5)
        return self.fmul(self.fadd(low, high), half), self.fmul(self.fsub(high, low), half)

    # Whether a matrix is positive definite

    def definite(self) -> ir.Function:
        """`definite(A, B, Q, d, a, b, c, floor)`: whether a B - b Q - c d d^T is, 1 or 0.

        By Gauss's elimination of the upper triangle, in A (P, P), each pivot at least `floor` of
        what stands on the diagonal of a B.
        """
        P, L, C, H = self.layout.width, self.lanes, self.layout.columns, self.shape.hidden
        yes, no = ir.Constant(INT, 1), ir.Constant(INT, 0)

        def body(A: Value, B: Value, Q: Value, d: Value, *numbers: Value) -> None:
            of_B, of_Q, of_d = (self.splat(number) for number in numbers[:3])
            floor = self.builder.fmul(numbers[0], numbers[3])
            zero = self.constant(0.0)
            scaled = [self.fmul(self.load(d, v * L), self.fsub(zero, of_d)) for v in range(C)]

            for block in range(C):

                def fill(i: Value, block: int = block) -> None:
                    here = self.broadcast(d, i)
                    for v in range(block, C):
                        place = self.add(self.mul(i, P), v * L)
                        value = self.fmul(of_B, self.load(B, place))
                        value = self.fsub(value, self.fmul(of_Q, self.load(Q, place)))
                        self.store(self.fma(here, scaled[v], value), A, place)

                self.loop(min((block + 1) * L, H), fill, start=block * L)

            for block in range(C):
                stop = min((block + 1) * L, H)

                def eliminate(k: Value, block: int = block, stop: int = stop) -> None:
                    start, diagonal = self.mul(k, P), self.mul(k, P + 1)
                    pivot = self.scalar(A, diagonal)
                    least = self.builder.fmul(floor, self.scalar(B, diagonal))
                    with self.builder.if_then(
                        self.builder.fcmp_unordered("<=", pivot, least), likely=False
                    ):
                        self.builder.ret(no)
                    inverse = self.builder.fdiv(self.number(-1.0), pivot)
                    row = [self.load(A, self.add(start, v * L)) for v in range(block, C)]

                    def subtract(i: Value, first: int) -> None:
                        factor = self.builder.fmul(self.scalar(A, self.add(start, i)), inverse)
                        factors = self.splat(factor)
                        for v in range(first, C):
                            place = self.add(self.mul(i, P), v * L)
                            value = self.fma(factors, row[v - block], self.load(A, place))
                            self.store(value, A, place)

                    self.loop(stop, lambda i: subtract(i, block), start=self.add(k, 1))
                    for later in range(block + 1, C):
                        whole = min((later + 1) * L, H)
                        tiled = later * L + (whole - later * L) // 4 * 4

                        def four(i: Value, later: int = later) -> None:
                            for r in range(4):
                                subtract(self.add(i, r), later)

                        self.loop(tiled, four, start=later * L, step=4)
                        for i in range(tiled, whole):
                            subtract(self.i64(i), later)

                self.loop(stop, eliminate, start=block * L)
            self.builder.ret(yes)

        kinds = [POINTER] * 4 + [FLOAT] * 4
        return self.procedure("definite", kinds, INT, body)
