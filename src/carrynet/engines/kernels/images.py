"""The images of a word under every symbol, in machine code: what `trees` asks of a cell."""

from typing import Protocol

import llvmlite.ir as ir

from carrynet.engines.kernels.growing import Grower
from carrynet.engines.kernels.shape import Layout, Shape
from carrynet.engines.vector import Value


class Images(Protocol):
    """Code that makes words longer by a symbol."""

    def begin(self, word: Value) -> None:
        """What all symbols share, of the record that begins at `word`.

        The record may be written over from then on, and the first P^2 floats of the room that the
        images work in after each of them.
        """

    def image(self, symbol: Value, edge: Value, word: Value) -> Value:
        """Write the states after a symbol to the record at `word`, and Q's diagonal to `diagonal`.

        The root of the trace of T Q T^T, in the first metric.  Ends the call where what is asked
        of the machine's `edge` is in doubt.
        """


class OfElman:
    """Those of Elman's cell; `weights` are Whh and its transpose, (2, P, P).

    The image has the matrix k Z k, Z = Whh^T Q Whh, and the box rho; see `proof.trees`.
    """

    def __init__(self, k: Grower, room: Value, diagonal: Value) -> None:
        P = k.layout.width
        self.k, self.diagonal, self.half = k, diagonal, room
        self.Z, self.weighted = (k.at(room, n * P * P) for n in (1, 2))
        rows = (k.at(room, 3 * P * P + n * P) for n in range(7))
        (
            self.drive,
            self.width,
            self.on_diagonal,
            self.slope,
            self.rho,
            self.through,
            self.scaled,
        ) = rows
        self.W, self.turned = k.weights, k.at(k.weights, P * P)

    @staticmethod
    def room(shape: Shape) -> int:
        """Floats that it works in."""
        P = Layout(shape).width
        return 3 * P * P + 7 * P

    def begin(self, word: Value) -> None:
        """See `Images`."""
        k, P, Z = self.k, self.k.layout.width, self.Z
        k.product(k.words, k.add(word, P), self.W, self.half)
        k.product(self.turned, 0, self.half, Z)
        squared = k.metric(k.i64(0)).squared

        def weigh(i: Value) -> None:
            k.store(k.fmul(k.load(Z, i), k.load(squared, i)), self.weighted, i)

        k.loop(P * P, weigh, step=k.lanes)
        k.loop(P, lambda i: k.store(k.scalar(Z, k.mul(i, P + 1)), self.on_diagonal, i))
        for v, value in enumerate(k.row(k.words, word, self.W)):
            at = v * k.lanes
            k.store(value, self.drive, at)
            size = k.sqrt(k.at_least(1e-12, k.load(self.on_diagonal, at)))
            k.store(k.fmul(size, k.constant(1 + 1e-6)), self.width, at)

    def image(self, symbol: Value, edge: Value, word: Value) -> Value:
        """See `Images`."""
        k, b, P, L = self.k, self.k.builder, self.k.layout.width, self.k.lanes
        vectors = range(k.layout.columns)
        matrix, slack = k.at(k.words, k.add(word, P)), k.splat(k.limit("slack"))
        for v in vectors:
            at = v * L
            z = k.fadd(k.load(self.drive, at), k.load(k.drives, k.add(k.mul(symbol, P), at)))
            chord, middle, remainder = k.chord(k.shape.activation, z, k.load(self.width, at))
            mask = [1.0 if at + lane < k.shape.hidden else 0.0 for lane in range(L)]
            inside = ir.Constant(k.vector, mask)
            k.store(chord, self.slope, at)
            k.store(k.fmul(middle, inside), k.words, k.add(word, at))
            k.store(k.fadd(remainder, slack), self.rho, at)

        def condition(r: Value) -> None:
            which = k.add(k.mul(edge, k.R), r)
            margin: Value | None = None
            for v in vectors:
                at = v * L
                value = k.load(k.conditions, k.add(k.mul(which, P), at))
                k.store(k.fmul(value, k.load(self.slope, at)), self.through, at)
                margin = k.fma(value, k.load(k.words, k.add(word, at)), margin)
                margin = k.fsub(margin, k.fmul(k.abs(value), k.load(self.rho, at)))
            spread = k.root(k.form(self.through, self.Z))
            k.require(b.fsub(b.fadd(k.total(margin), k.scalar(k.offsets, which)), spread))

        k.loop(k.R, condition)
        size, more, added = k.joined(k.root(k.form(self.slope, self.weighted), 1e-20), self.rho)
        grown, added, scales = k.splat(k.sqrt(more)), k.splat(added), k.metric(k.i64(0)).scales
        for v in vectors:
            at = v * L
            factor = k.fmul(grown, k.load(self.slope, at))
            k.store(factor, self.scaled, at)
            of_box = k.fmul(k.fmul(added, k.load(self.rho, at)), k.load(scales, P + at))
            old = k.fmul(k.fmul(factor, factor), k.load(self.on_diagonal, at))
            k.store(k.fadd(old, of_box), self.diagonal, at)
        factors = [k.load(self.scaled, v * L) for v in vectors]

        def fill(i: Value) -> None:
            factor = k.broadcast(self.scaled, i)
            for v in vectors:
                at = k.add(k.mul(i, P), v * L)
                k.store(k.fmul(k.fmul(factor, k.load(self.Z, at)), factors[v]), matrix, at)
            k.store(k.scalar(self.diagonal, i), matrix, k.mul(i, P + 1))

        k.loop(P, fill)
        return size
