"""Words followed by a network of any cell: what `inference` asks of it."""

from collections.abc import Sequence
from functools import lru_cache

import llvmlite.ir as ir

from carrynet.engines.kernels.block import Place, padded
from carrynet.engines.kernels.formulas import Formulas
from carrynet.engines.kernels.grade import grade
from carrynet.engines.kernels.shape import Parameters
from carrynet.engines.vector import Code, Integer, Value


class Following(Code):
    """Code that follows words and grades answers, as `inference.Inference` does.

    What a symbol gives to a step is read from `drives`, (S, W): of each drive in turn.  In `p`
    there is `scratch` behind all parameters.
    """

    def __init__(
        self, module: ir.Module, name: str, parameters: Parameters, shape: Formulas
    ) -> None:
        super().__init__(module, name, list(parameters.arrays), parameters.integers, shape.lanes)
        self.shape, self.width = shape, shape.depth
        _, self.one_step, self.read = shape.blocks(self)

    def begin(self, h: Value, count: int) -> None:
        """The states before the first symbol."""
        shape, L = self.shape, self.lanes
        for place, part, size in zip(
            shape.part_places, shape.formula.state, shape.parts, strict=True
        ):
            for v in range(0, padded(size, L), L):
                start = self.constant(0.0)
                if shape.learned:
                    start = self.load(self.p, shape.places[f"{part}_start"] + v)
                for row in range(count):
                    self.store(start, h, row * self.width + place + v)

    def children(self, h: Value, first: Integer, count: int, after: Value) -> None:
        """The states after every symbol, of `count` states: row i * S + a of `after`."""

        def parent(r: Value) -> None:
            row = self.add(first, r)

            def some(a: Integer, n: int) -> None:
                symbols = [self.add(a, i) for i in range(n)]
                rows = [self.add(self.mul(row, self.S), symbol) for symbol in symbols]
                self._step(h, [row] * n, symbols, after, rows, shared=True)

            self.each_row(self.S, self.one_step.tile, some)

        self.loop(count, parent)

    def follow(
        self, count: int, a: Value, a_row: Integer, drive: list[Integer], b: Value, b_row: Integer
    ) -> None:
        """The states b[r] after symbols drive[r], from a[r]; b may not be a."""
        for i in range(0, count, self.one_step.tile):
            some = list(range(i, min(i + self.one_step.tile, count)))
            symbols = [drive[r] for r in some]
            self._step(self.at(a, a_row), some, symbols, self.at(b, b_row), some)

    def _step(
        self,
        before: Value,
        rows: Sequence[Integer],
        symbols: Sequence[Integer],
        after: Value,
        new_rows: Sequence[Integer],
        *,
        shared: bool = False,
    ) -> None:
        shape, cell, D = self.shape, self.shape.formula, self.width
        places = self._scratch("step", len(rows))
        start = 0
        for slot in cell.drives:
            places[slot] = Place(self.at(self.drives, start), shape.drive_width, symbols)
            start += self.one_step.width(slot)
        for slot, (result, place) in enumerate(
            zip(cell.results, shape.part_places, strict=True), 1
        ):
            places[slot] = Place(self.at(before, place), D, rows)
            places[result] = Place(self.at(after, place), D, new_rows)
        self.one_step.forward(places, len(rows), shared=shared)

    def _scratch(self, kind: str, count: int) -> dict[int, Place]:
        start, found = self.shape.turned[""], {}
        for name, slot, width in scratch(self.shape):
            if name == kind:
                found[slot] = Place(self.at(self.p, start), width, range(count))
            start += _MOST_ROWS * width
        return found

    def grade(
        self, h: Value, h_row: Integer, edge: Integer, right: Value, seen: Sequence[Value]
    ) -> tuple[Value, list[Value]]:
        """Whether the answer to a state is that of a machine's edge; see `grade.grade`.

        Where nothing is asked, all answers are, and have no margin.
        """
        places = self._scratch("read", 1)
        places[0] = Place(self.at(h, h_row), self.width, [0])
        self.read.forward(places, 1)
        answer = places[self.shape.reads.results[0]].pointer
        logits = [self.scalar(answer, y) for y in range(self.shape.outputs)]
        b, expected = self.builder, self.integer(self.output, edge, 32)
        cut = b.trunc(expected, ir.IntType(32))
        open_ = b.icmp_signed("<", cut, ir.Constant(ir.IntType(32), 0))
        known = b.select(open_, self.i64(0), expected)
        hit, now = grade(self, self.shape.decision, logits, known, right, seen)
        return b.select(open_, self.i64(1), hit), [
            b.select(open_, old, new) for old, new in zip(seen, now, strict=True)
        ]


_MOST_ROWS = 8  # of a tile


@lru_cache(maxsize=256)
def scratch(shape: Formulas) -> tuple[tuple[str, int, int], ...]:
    """What `Following` works in, a few rows of each: block, slot and width."""
    _, step, read = shape.blocks(shape)
    results = {"step": set(shape.formula.results), "read": set()}
    logits = {*shape.reads.results}
    return tuple(
        (kind, slot, block.width(slot))
        for kind, block, more in (("step", step, set()), ("read", read, logits))
        for slot in sorted((block.crossing | more) - results[kind])
    )


def scratch_size(shape: Formulas) -> int:
    """How many floats that is."""
    return sum(_MOST_ROWS * width for _, _, width in scratch(shape))
