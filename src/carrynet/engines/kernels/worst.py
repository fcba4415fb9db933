"""The worst that a readout can answer over a box, row by row, and its gradients.

As `nets.certified.worst_logits`.  Rows are vectors in registers, a centre and a radius; None stands
for a radius of zero.  A readout's matrix is (outputs, P), as `formulas.turn_around` leaves it.
"""

from collections.abc import Callable

import llvmlite.ir as ir

from carrynet.engines.kernels.block import Rows, padded
from carrynet.engines.kernels.softmax import softmax
from carrynet.engines.vector import Code, Integer, Value


class Worst:
    """The code of it, for states of `P` floats, padded."""

    def __init__(self, k: Code, P: int) -> None:
        self.k, self.P = k, P

    def _weights(self, matrix: Value, y: Integer) -> Rows:
        return self.k.load_all(matrix, self.k.mul(y, self.P), self.P // self.k.lanes)

    def _dot(self, left: Rows, right: Rows) -> Value:
        total: Value | None = None
        for one, other in zip(left, right, strict=True):
            total = self.k.fma(one, other, total)
        return self.k.total(total)

    def _up(self, answer: Value, value: int) -> Value:
        return self.k.builder.icmp_signed("==", answer, self.k.i64(value))

    def logits(
        self,
        c: Rows,
        r: Rows | None,
        matrix: Value,
        biases: tuple[Value, Integer],
        count: int,
        answer: Value,
        out: Callable[[Integer, Value], None],
        centre: Callable[[Integer, Value], None] | None = None,
    ) -> None:
        """The `count` logits that speak most against an answer, each handed to `out`.

        And to `centre` those of a radius of zero.
        """
        k = self.k
        if count == 1:
            W = self._weights(matrix, 0)
            logit = k.fadd(self._dot(c, W), k.scalar(*biases))
            if centre is not None:
                centre(0, logit)
            if r is not None:
                wide = self._dot(r, [*map(k.abs, W)])
                zero = self._up(answer, 0)
                logit = k.builder.select(zero, k.fadd(logit, wide), k.fsub(logit, wide))
            out(0, logit)
            return
        own = self._weights(matrix, answer)

        def each(y: Value) -> None:
            apart = [*map(k.fsub, self._weights(matrix, y), own)]
            logit = self._dot(c, apart)
            biases_apart = k.fsub(
                k.scalar(biases[0], k.add(biases[1], y)),
                k.scalar(biases[0], k.add(biases[1], answer)),
            )
            if centre is not None:
                centre(y, k.fadd(logit, biases_apart))
            if r is not None:
                logit = k.fadd(logit, self._dot(r, [*map(k.abs, apart)]))
            out(y, k.fadd(logit, biases_apart))

        k.loop(count, each)

    def back(
        self,
        d: Callable[[Integer], Value],
        c: Rows,
        r: Rows | None,
        matrix: Value,
        of_matrix: Value,
        count: int,
        answer: Value,
    ) -> tuple[Rows, Rows]:
        """The gradients of c and r, from those `d` of the logits; the matrix's are added up."""
        k, P, n = self.k, self.P, self.P // self.k.lanes

        def add_row(y: Integer, change: Rows) -> None:
            start = k.mul(y, P)
            old = k.load_all(of_matrix, start, n)
            k.store_all([*map(k.fadd, old, change)], of_matrix, start)

        zero = [k.constant(0.0)] * n
        if count == 1:
            W, g = self._weights(matrix, 0), k.splat(d(0))
            signed = k.builder.select(self._up(answer, 0), g, k.fsub(k.constant(0.0), g))
            change = [k.fmul(g, each) for each in c]
            if r is not None:
                change = [
                    k.fma(k.fmul(signed, k.sign(w)), each, old)
                    for w, each, old in zip(W, r, change, strict=True)
                ]
            add_row(0, change)
            of_r = [k.fmul(signed, k.abs(w)) for w in W] if r is not None else zero
            return [k.fmul(g, w) for w in W], of_r
        own = self._weights(matrix, answer)

        def each(y: Value, *sums: Value) -> Rows:
            g = k.splat(d(y))
            apart = [*map(k.fsub, self._weights(matrix, y), own)]
            change = [k.fmul(g, value) for value in c]
            if r is not None:
                change = [
                    k.fma(k.fmul(g, k.sign(a)), value, old)
                    for a, value, old in zip(apart, r, change, strict=True)
                ]
            add_row(y, change)
            add_row(answer, [k.fsub(k.constant(0.0), value) for value in change])
            of_c = [k.fma(g, a, s) for a, s in zip(apart, sums[:n], strict=True)]
            of_r = list(sums[n:])
            if r is not None:
                of_r = [k.fma(g, k.abs(a), s) for a, s in zip(apart, of_r, strict=True)]
            return [*of_c, *of_r]

        sums = k.loop(count, each, [*zero, *zero])
        return sums[:n], sums[n:]

    def of_bit(self, logit: Value, answer: Value, share: Value) -> Value:
        """The gradient of the only logit that there is, times a share."""
        k = self.k
        target = k.builder.select(self._up(answer, 1), single(1.0), single(0.0))
        y = k.builder.extract_element(k.sigmoid(k.splat(logit)), k.i64(0))
        return k.fmul(k.fsub(y, target), share)

    def less_target(
        self,
        pointer: Value,
        row: Value,
        count: int,
        answer: Value,
        share: Value,
        *,
        several: bool,
        known: bool = False,
    ) -> None:
        """Logits become their gradients: shares of one less the target, times a share.

        Where those of `several` are `known`, they stand there already.
        """
        k = self.k
        here = k.load_all(pointer, row, padded(count, k.lanes) // k.lanes)
        if several:
            shares = here if known else softmax(k, here, count)
            k.store_all([k.fmul(each, k.splat(share)) for each in shares], pointer, row)
            place = k.add(row, answer)
            k.store(k.fsub(k.scalar(pointer, place), share), pointer, place)
            return
        target = k.builder.select(self._up(answer, 1), k.constant(1.0), k.constant(0.0))
        left = [k.fmul(k.fsub(k.sigmoid(each), target), k.splat(share)) for each in here]
        k.store_all(k.only(left, count, 0.0), pointer, row)

    def add_turned(
        self, turned: Value, target: Value, place: Integer, height: int, count: int
    ) -> None:
        """Add (count, P), turned around, to a matrix (height, count) as `Formulas.places` says."""
        k, width = self.k, padded(count, self.k.lanes) if count > 1 else 1

        def column(y: Value) -> None:
            def element(i: Value) -> None:
                here = k.add(place, k.add(k.mul(i, width), y))
                more = k.scalar(turned, k.add(k.mul(y, self.P), i))
                k.store(k.fadd(k.scalar(target, here), more), target, here)

            k.loop(height, element)

        k.loop(count, column)


def storing(k: Code, pointer: Value, row: Integer) -> Callable[[Integer, Value], None]:
    """A function that writes the numbers of a row."""
    return lambda y, value: k.store(value, pointer, k.add(row, y))


def stored(k: Code, pointer: Value, row: Integer) -> Callable[[Integer], Value]:
    """A function that reads them."""
    return lambda y: k.scalar(pointer, k.add(row, y))


def known(value: Value) -> Callable[[Integer], Value]:
    """A function that has the only number of a row, which is not in memory."""
    return lambda _: value


def single(value: float) -> ir.Constant:
    """A float, where vectors are not meant."""
    return ir.Constant(ir.FloatType(), float(value))
