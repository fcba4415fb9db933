"""Which network of any cell a kernel is made for, where its parameters lie, and its blocks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from carrynet.engines.kernels.block import Block, padded
from carrynet.engines.vector import Code, Value
from carrynet.nets.formula import Formula


@dataclass(frozen=True)
class Formulas:
    """What a kernel is made for; the like of `shape.Shape`, for any cell."""

    lanes: int
    cell: str
    readout: str
    sizes: tuple[tuple[str, int], ...]  #: the widths by name, of the cell and of the readout
    own: tuple[tuple[str, int], ...]
    loss: str = ""  # of training only
    decision: str = "bits"
    optimiser: str = ""
    biases: bool = True
    learned: bool = False  # the start
    worst: bool = False  # whether the worst case has a share, see `formula_bounds`

    @property
    def formula(self) -> Formula:
        """The cell's formula."""
        return _parsed(self.cell)

    @property
    def reads(self) -> Formula:
        """The readout's."""
        return _parsed(self.readout, ("h",), "logits")

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of each parameter, in the order of a network's weights."""
        cell, own = dict(self.sizes), dict(self.own)
        found = {**self.formula.shapes(cell), **self.reads.shapes(own)}
        if self.learned:
            parts = zip(self.formula.state, self.parts, strict=True)
            found |= {f"{part}_start": (size,) for part, size in parts}
        return found

    @cached_property
    def parts(self) -> tuple[int, ...]:
        """How many numbers each part of the state has."""
        return tuple(dict(self.sizes)[dim] for dim in self.formula.state_dims)

    @cached_property
    def part_places(self) -> tuple[int, ...]:
        """Where each begins in a row of the state."""
        widths = [padded(n, self.lanes) for n in self.parts]
        return tuple(sum(widths[:i]) for i in range(len(widths)))

    @cached_property
    def depth(self) -> int:
        """D, the floats of a state."""
        return sum(padded(n, self.lanes) for n in self.parts)

    @cached_property
    def outputs(self) -> int:
        """Y."""
        return dict(self.own)["Y"]

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each parameter begins in `p`: rows, each padded to vectors.

        A matrix of one column, as the readout of a bit is, lies as one row.
        """
        found, place = {}, 0
        for name, shape in self.shapes.items():
            found[name] = place
            rows, width = shape if len(shape) == 2 and shape[1] > 1 else (1, max(shape))
            place += padded(width, self.lanes) * rows
        return {**found, "": place}

    @property
    def drive_width(self) -> int:
        """W, the floats of all that a symbol gives to a step."""
        step = self.blocks(self)[1]
        return sum(step.width(slot) for slot in self.formula.drives)

    @property
    def size(self) -> int:
        """The floats of all parameters."""
        return self.places[""]

    @cached_property
    def turned(self) -> dict[str, int]:
        """Where each matrix begins that is turned around, in `p` behind all parameters."""
        found, place = {}, self.size
        for name, shape in self.shapes.items():
            if len(shape) == 2 and shape[1] == 1:
                found[name] = self.places[name]
            elif len(shape) == 2:
                found[name] = place
                place += padded(shape[0], self.lanes) * shape[1]
        return {**found, "": place}

    def blocks(self, k: Any) -> tuple[Block, Block, Block]:
        """What needs the input only, a step, and the readout; `k` has lanes, or writes code."""
        cell, sizes = self.formula, dict(self.sizes)
        first = slot_sizes(cell, [sizes["X"], *self.parts], self.shapes)
        last = slot_sizes(self.reads, [self.parts[0]], self.shapes)
        made = []
        for formula, slots, instructions in (
            (cell, first, cell.of_input),
            (cell, first, cell.of_state),
            (self.reads, last, self.reads.instructions),
        ):
            named = formula.parameter_slots
            matrices = {i: name for i, name in named.items() if len(self.shapes[name]) == 2}
            vectors = {i: self.places[name] for i, name in named.items() if i not in matrices}
            biases = frozenset(i for i, name in named.items() if name in formula.biases)
            made.append(
                Block(
                    *(k, instructions, slots),
                    {i: self.places[name] for i, name in matrices.items()},
                    *(vectors, formula.constant_slots),
                    {i: self.turned[name] for i, name in matrices.items()},
                    frozenset() if self.biases else biases,
                )
            )
        return made[0], made[1], made[2]


_parsed = lru_cache(maxsize=256)(Formula.parse)


def turn_around(k: Code, shape: Formulas) -> None:
    """Write W^T of each matrix behind all parameters."""
    for name, target in shape.turned.items():
        if not name or target == shape.places[name]:
            continue
        start, (height, wide) = shape.places[name], shape.shapes[name]
        here, beside = padded(wide, k.lanes), padded(height, k.lanes)
        unrolled = next(n for n in (8, 4, 2, 1) if height % n == 0)

        def row(
            j: Value,
            start: int = start,
            target: int = target,
            height: int = height,
            here: int = here,
            beside: int = beside,
            unrolled: int = unrolled,
        ) -> None:
            def some(i: Value) -> None:
                source = k.add(k.add(start, k.mul(i, here)), j)
                place = k.add(k.add(target, k.mul(j, beside)), i)
                for n in range(unrolled):
                    k.store(k.scalar(k.p, k.add(source, n * here)), k.p, k.add(place, n))

            k.loop(height, some, step=unrolled)

        k.loop(wide, row)


def takes(cell: Formula) -> bool:
    """Whether there are kernels of a cell: of input and state, the input read by matrices only."""
    made = {each.out for each in cell.instructions}
    by_matrices = all(
        each.operation == "matmul" for each in cell.instructions if 0 in each.operands
    )
    return (
        by_matrices
        and bool(cell.drives)
        and set(cell.drives) <= made
        and depends(cell, cell.results)
        and len(set(cell.results)) == len(cell.results)
    )


def depends(cell: Formula, slots: Iterable[int]) -> bool:
    """Whether all of some slots are computed from the state."""
    return set(slots) <= {each.out for each in cell.of_state}


def slot_sizes(
    formula: Formula, inputs: Sequence[int], shapes: Mapping[str, tuple[int, ...]]
) -> dict[int, int]:
    """The size of each slot's value, constants left out."""
    found = dict(enumerate(inputs))
    found |= {slot: shapes[name][-1] for slot, name in formula.parameter_slots.items()}
    for operation, operands, out in formula.instructions:
        known = [found[i] for i in operands if i in found]
        found[out] = known[-1] if operation == "matmul" else known[0]
    return found
