"""What the search for trees has at hand in machine code: arrays, limits, counters, metrics.

Shapes as in `trees`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import llvmlite.ir as ir

from carrynet.engines.kernels.ellipsoid import Ellipsoid
from carrynet.engines.kernels.shape import Parameters
from carrynet.engines.vector import INT, Integer, Value

CLOSED, GROWING, DOUBT, DEEP, FULL = range(5)
"""How a call of `trees` ends: all trees end; as many nodes as were asked for; an output is in
doubt; a word is too long; there is no room for more nodes or balls."""

TREES = Parameters(
    {
        "weights": "f4",  # as the images have them
        "drives": "f4",  # (S, W) what a symbol gives to a step
        "conditions": "f4",  # (Q, S, R, V): v . h + b is to be positive, h what is read out
        "offsets": "f4",  # (Q, S, R)
        "delta": "i4",  # (Q, S)
        "ball": "f4",  # (K, P, P) the matrix B of a ball of radius 1, in the metric of each site
        "squared": "f4",  # (K, P, P) the metric's T^T T
        "toward": "f4",  # (K, P, P) the metric's T^T
        "scales": "f4",  # (K, 3, P) t_j = |T_.j|, 1 / t_j, and 1 / B_jj
        "limits": "f4",  # (8,) see LIMITS
        "tally": "i8",  # (7,) see TALLY
        "order": "i4",  # (F,) the records: the stack's, from its bottom, then those to spare
        "words": "f4",  # (F, P + P P) centre and matrix
        "tags": "i4",  # (F, 4) see TAGS
        "traces": "f4",  # (F,) of T Q T^T
        "next": "i4",  # (N, S) what follows a node: a node, or ~ball; of a cut the two first slots
        "cuts": "i4",  # (N,) the axis across which a node's word is cut; -1 where symbols follow
        "axes": "f4",  # (A, P) of whole numbers up to MOST_AXIS
        "roots": "i4",  # (G,) the node of a ball
        "labels": "i4",  # (G,) the state of a ball
        "homes": "i4",  # (G,) the site of a ball
        "centres": "f4",  # (G, P)
        "places": "f4",  # (G, P) T c
        "counts": "i8",  # (K + Q,) how much is in a list: each site's balls, each state's sites
        "heads": "i4",  # (K + Q,) the last block of a list, or -1
        "chain": "i4",  # (B,) the block before a block, or -1
        "numbers": "i4",  # (B, 4 L) the balls, or sites, of a block
        "near": "f4",  # (B, 4, P, L) where they are, across lanes: T c of balls, sites themselves
        "work": "f4",  # `trees_room`
    },
    ("S", "R", "sites", "most_nodes", "most_balls", "most_axes", "most_depth", "turns"),
)

LIMITS = ("radius", "slack", "within", "open_at", "opening", "open_most", "margin", "floor")
"""What `limits` holds: the radius; the slack; the part of the radius within which a word ends; the
part up to which it gets a ball of its own: open_at + opening * symbols, at most open_most; the
least margin; the least pivot, as a part of B's diagonal."""

TALLY = ("nodes", "balls", "grown", "waiting", "status", "blocks", "axes")
"""What `tally` holds: nodes made, balls made, balls whose trees were begun, words on the stack,
how the call ended, blocks of lists, and axes across which words were cut."""

TAGS = ("state", "depth", "slot", "since")
"""What `tags` hold: the machine's state, symbols read, the slot that waits, which is ~ball at a
root, and symbols read since the word was cut, or began."""

CUT_EVERY = 2
"""Symbols that are read between two cuts, at least."""

MOST_AXIS = 9
"""The largest number of an axis."""


class Metric(NamedTuple):
    """Where the numbers of a site's metric are; see TREES."""

    ball: Value
    squared: Value
    toward: Value
    scales: Value


class Grower(Ellipsoid):
    """Code that makes words longer."""

    def limit(self, name: str) -> Value:
        """One of LIMITS, a single float."""
        return self.scalar(self.limits, LIMITS.index(name))

    def count(self, name: str) -> Value:
        """One of TALLY."""
        return self.integer(self.tally, TALLY.index(name), 64)

    def set_count(self, name: str, value: Integer) -> None:
        """Set one of TALLY."""
        self.store_integer(value, self.tally, TALLY.index(name), 64)

    def end(self, status: int) -> None:
        """End the call."""
        self.set_count("status", status)
        self.done()

    def signed(self, pointer: Value, position: Integer) -> Value:
        """A signed integer of 32 bits."""
        kind = ir.IntType(32)
        value = self.builder.load(self.at(pointer, position, kind), align=4, typ=kind)
        return self.builder.sext(value, INT)

    def tagged(self, name: Value, tag: str) -> Value:
        """One of TAGS, of a record."""
        return self.signed(self.tags, self.add(self.mul(name, len(TAGS)), TAGS.index(tag)))

    def tag(self, name: Value, values: Sequence[Integer]) -> None:
        """Set all TAGS of a record."""
        for i, value in enumerate(values):
            self.store_integer(value, self.tags, self.add(self.mul(name, len(TAGS)), i), 32)

    def metric(self, site: Integer) -> Metric:
        """That of a site."""
        P = self.layout.width
        ball, squared, toward = (
            self.at(array, self.mul(site, P * P))
            for array in (self.ball, self.squared, self.toward)
        )
        return Metric(ball, squared, toward, self.at(self.scales, self.mul(site, 3 * P)))

    def trace(self, matrix: Value, own: Metric) -> Value:
        """That of T Q T^T, the sum of the squares of the half axes."""
        P, L, C = self.layout.width, self.lanes, self.layout.columns

        def part(i: Value, *sums: Value) -> list[Value]:
            at = [self.add(i, v * L) for v in range(C)]
            return [
                self.fma(self.load(matrix, here), self.load(own.squared, here), value)
                for here, value in zip(at, sums, strict=True)
            ]

        sums = self.loop(P * P, part, [self.constant(0.0)] * C, step=P)
        for value in sums[1:]:
            sums[0] = self.fadd(sums[0], value)
        return self.total(sums[0])

    def require(self, least: Value) -> None:
        """End the call with an output in doubt, if its least margin is."""
        doubt = self.builder.fcmp_unordered("<=", least, self.limit("margin"))
        with self.builder.if_then(doubt, likely=False):
            self.end(DOUBT)

    def root(self, square: Value, least: float = 0.0) -> Value:
        """That of a single float which only rounding makes less than `least`."""
        b, bound = self.builder, self.number(least)
        return self.sqrt(b.select(b.fcmp_ordered("<", square, bound), bound, square))

    def joined(self, image: Value, rho: Value) -> tuple[Value, Value, Value]:
        """How an ellipsoid and a box fit in one, whose trace is least in the first metric.

        From the root of the ellipsoid's trace, and the box (P,): the root of the new one's trace,
        what the matrix is to be multiplied by, and what of rho_j / t_j is to be added to Q_jj.
        """
        b, one, scales = self.builder, self.number(1.0), self.metric(self.i64(0)).scales
        vectors = range(self.layout.columns)
        box = self.dot(
            [self.load(rho, v * self.lanes) for v in vectors],
            [self.load(scales, v * self.lanes) for v in vectors],
        )
        ratio = b.fdiv(box, image)
        added = b.fmul(b.fadd(one, b.fdiv(one, ratio)), box)
        return b.fadd(image, box), b.fadd(one, ratio), added
