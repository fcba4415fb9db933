"""The worst case of an update: `certified.bptt`, in machine code."""

from collections.abc import Sequence

from carrynet.engines.kernels.cell import Cell, Rows
from carrynet.engines.vector import Integer, Value

BOUNDS = {
    "shares": "f4",  # (updates, 2) the worst case's share in the loss, and the slack
    "answers": "i4",  # (T, B) room
    "lower": "f4",  # (T, B, P) room
    "upper": "f4",  # (T, B, P) room
    "centre": "f4",  # (1 + T, B, P) zeros, then room
    "radius": "f4",  # (1 + T, B, P) zeros, then room
    "dcentre": "f4",  # (T + 1, B, P) room for dL/dz, then zeros
    "dradius": "f4",  # (T + 1, B, P) room for dL/drho, then zeros
    "worst": "f4",  # (T, B, Y) room for the worst logits
    "dworst": "f4",  # (T, B, Y) room for targets, then for gradients
}
"""The arrays that it takes, all empty where the worst case has no share."""


class Bounds:
    """The passes over boxes, as the passes over points are in `train`.

    Rows are those of all hidden states, time before batch; `tile` of them, and `group` columns,
    are worked at once.
    """

    def __init__(self, k: Cell, B: Integer, tile: int, group: int) -> None:
        self.k, self.B, self.tile, self.group = k, B, max(1, tile // 2), group
        self.rows = k.mul(k.T, B)
        # the zeros before the first box and after the last let all steps be the same code
        ahead = k.mul(B, k.layout.width)
        self.centre, self.radius = k.at(k.centre, ahead), k.at(k.radius, ahead)

    def forward(self, slack: Value) -> None:
        """Boxes of all hidden states, by ends and by centre and radius."""
        k, P, L, half = self.k, self.k.layout.width, self.k.lanes, self.k.constant(0.5)

        def step(t: Value) -> None:
            def some_rows(r: Integer, count: int) -> None:
                row = k.add(k.mul(t, self.B), r)
                before = k.mul(row, P)  # of centre and radius, which begin with zeros

                def some(columns: Sequence[Integer]) -> None:
                    z = [
                        k.drive(k.integer(k.symbols, k.add(row, i), 32), columns)
                        for i in range(count)
                    ]
                    rho: Rows = [[slack] * len(columns)] * count
                    W = k.at(k.p, k.layout.Whh)
                    z = k.gemm(count, columns, k.centre, before, W, z)
                    rho = k.gemm(count, columns, k.radius, before, W, rho, magnitudes=True)
                    for i in range(count):
                        for c, v in enumerate(columns):
                            place = k.add(k.mul(k.add(row, i), P), k.mul(v, L))
                            lower = k.activate(k.fsub(z[i][c], rho[i][c]), v, bound=True)
                            upper = k.activate(k.fadd(z[i][c], rho[i][c]), v, bound=True)
                            k.store(lower, k.lower, place)
                            k.store(upper, k.upper, place)
                            k.store(k.fmul(half, k.fadd(lower, upper)), self.centre, place)
                            k.store(k.fmul(half, k.fsub(upper, lower)), self.radius, place)

                k.each_tile(self.group, some)

            k.each_row(self.B, self.tile, some_rows)

        k.loop(k.T, step)

    def read_out(self) -> None:
        """The worst logits; see `certified.worst_logits`."""
        k, P, Y = self.k, self.k.layout.width, self.k.shape.outputs

        def row(r: Value) -> None:
            answer = k.integer(k.answers, r, 32)
            own = self._logit_of(r, answer) if Y > 1 else None
            for y in range(Y):
                logit, spread = k.logit(self.centre, k.mul(r, P), y), None
                for v in range(k.layout.columns):
                    radius = k.load(self.radius, k.add(k.mul(r, P), v * k.lanes))
                    spread = k.fma(radius, k.abs(self._pair(answer, y, v)), spread)
                worse = k.total(spread)
                if own is None:  # down where the target is 1, up where it is 0
                    worse = k.fmul(worse, k.builder.extract_element(self._up(answer), k.i64(0)))
                else:
                    logit = k.fsub(logit, own)
                k.store(k.fadd(logit, worse), k.worst, k.add(k.mul(r, Y), y))

        k.loop(self.rows, row)

    def backward(self) -> None:
        """dL/dz and dL/drho, from dL/dworst; see `nets.readings.enclosure`."""
        k, P, L, Y = self.k, self.k.layout.width, self.k.lanes, self.k.shape.outputs
        half = k.constant(0.5)

        def step(t: Integer) -> None:
            def some_rows(r: Integer, count: int) -> None:
                row = k.add(k.mul(t, self.B), r)
                after = k.mul(k.add(row, self.B), P)

                def some(columns: Sequence[Integer]) -> None:
                    gc: Rows = []
                    gr: Rows = []
                    for i in range(count):
                        answer = k.integer(k.answers, k.add(row, i), 32)
                        to_c: list[Value | None] = [None] * len(columns)
                        to_r: list[Value | None] = [None] * len(columns)
                        for y in range(Y):
                            d = k.broadcast(k.dworst, k.add(k.mul(k.add(row, i), Y), y))
                            turned = d if Y > 1 else k.fmul(d, self._up(answer))
                            for c, v in enumerate(columns):
                                to_c[c] = k.fma(d, self._Why(y, v), to_c[c])
                                spread = k.abs(self._pair(answer, y, v))
                                to_r[c] = k.fma(turned, spread, to_r[c])
                        gc.append(to_c)
                        gr.append(to_r)
                    W = k.transposed
                    gc = k.gemm(count, columns, k.dcentre, after, W, gc)
                    gr = k.gemm(count, columns, k.dradius, after, W, gr, magnitudes=True)
                    for i in range(count):
                        for c, v in enumerate(columns):
                            place = k.add(k.mul(k.add(row, i), P), k.mul(v, L))
                            low = k.fmul(half, k.fsub(gc[i][c], gr[i][c]))
                            high = k.fmul(half, k.fadd(gc[i][c], gr[i][c]))
                            low = k.fmul(low, k.slope(k.load(k.lower, place)))
                            high = k.fmul(high, k.slope(k.load(k.upper, place)))
                            k.store(k.fadd(high, low), k.dcentre, place)
                            k.store(k.fsub(high, low), k.dradius, place)

                k.each_tile(self.group, some)

            k.each_row(self.B, self.tile, some_rows)

        k.loop(k.T, lambda i: step(k.sub(k.sub(k.T, 1), i)))

    def gather(self) -> None:
        """What radii add to the gradients of Whh and Why, put where nothing is yet."""
        k, P, L, Y = self.k, self.k.layout.width, self.k.lanes, self.k.shape.outputs
        earlier = k.mul(k.sub(k.T, 1), self.B)
        first = k.mul(self.B, P)
        k.rank(k.gradient, k.layout.Whh, self.radius, 0, k.dradius, first, earlier)

        def sign(i: Value) -> None:
            place = k.add(i, k.layout.Whh)
            turned = k.fmul(k.load(k.gradient, place), k.sign(k.load(k.p, place)))
            k.store(turned, k.gradient, place)

        k.loop(P * P, sign, step=L)

        def row(r: Value) -> None:
            answer = k.integer(k.answers, r, 32)
            for y in range(Y):
                d = k.broadcast(k.dworst, k.add(k.mul(r, Y), y))
                turned = d if Y > 1 else k.fmul(d, self._up(answer))
                for v in range(k.layout.columns):
                    radius = k.load(self.radius, k.add(k.mul(r, P), v * L))
                    change = k.fmul(k.fmul(turned, radius), k.sign(self._pair(answer, y, v)))
                    place = k.layout.Why + y * P + v * L
                    k.store(k.fadd(k.load(k.gradient, place), change), k.gradient, place)
                    if Y > 1:
                        own = k.add(k.mul(answer, P), k.layout.Why + v * L)
                        k.store(k.fsub(k.load(k.gradient, own), change), k.gradient, own)

        k.loop(self.rows, row)

    def _up(self, answer: Value) -> Value:
        """1 - 2 target, for a single neuron."""
        k = self.k
        zero = k.builder.icmp_signed("==", answer, k.i64(0))
        return k.builder.select(zero, k.constant(1.0), k.constant(-1.0))

    def _Why(self, y: int, v: Integer) -> Value:
        k = self.k
        return k.load(k.p, k.add(k.mul(v, k.lanes), k.layout.Why + y * k.layout.width))

    def _pair(self, answer: Value, y: int, v: Integer) -> Value:
        """A vector of Why_y - Why_answer; of Why itself, where there is a single neuron."""
        k = self.k
        if k.shape.outputs == 1:
            return self._Why(y, v)
        shift = k.add(k.mul(v, k.lanes), k.layout.Why)
        own = k.add(k.mul(answer, k.layout.width), shift)
        return k.fsub(self._Why(y, v), k.load(k.p, own))

    def _logit_of(self, r: Value, answer: Value) -> Value:
        """The logit of a box's centre for the answer."""
        k, P = self.k, self.k.layout.width
        dot = None
        for v in range(k.layout.columns):
            own = k.add(k.mul(answer, P), k.layout.Why + v * k.lanes)
            centre = k.load(self.centre, k.add(k.mul(r, P), v * k.lanes))
            dot = k.fma(centre, k.load(k.p, own), dot)
        total = k.total(dot)
        if k.shape.biases:
            total = k.fadd(total, k.scalar(k.p, k.add(answer, k.layout.by)))
        return total
