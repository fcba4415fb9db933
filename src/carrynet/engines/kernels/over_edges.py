"""What the kernel over edges is made for, and what it works in."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from carrynet.engines.kernels.block import Block, padded
from carrynet.engines.kernels.enclosed import Enclosed, enclosed
from carrynet.engines.kernels.formulas import Formulas, depends
from carrynet.engines.kernels.rooms import Room, floats, of_gradients
from carrynet.nets.formula import Formula
from carrynet.nets.step import keeping, rises


@dataclass(frozen=True)
class Closing:
    """What the kernel is made for."""

    network: Formulas
    states: int  #: Q, of the machine

    @property
    def lanes(self) -> int:
        """L, as kernels ask it of their shapes."""
        return self.network.lanes

    @cached_property
    def step(self) -> Enclosed:
        """One step of the cell, from boxes."""
        cell, (_, block, _) = self.network.formula, self.network.blocks(self)
        return enclosed(cell, block.sizes, _held(cell))

    def blocks(self, k: object) -> tuple[Block, Block]:
        """What needs the input only, and the step."""
        first, step, _ = self.network.blocks(k)
        return first, self.step.block(step)

    @property
    def boxes(self) -> int:
        """The floats, for each region, of its box: its centre, then its radius."""
        return 2 * self.network.depth

    @property
    def guesses(self) -> int:
        """The floats of the readout of states: (Q, P) and (Q,), padded."""
        P = padded(self.network.parts[0], self.lanes)
        return self.states * P + padded(self.states, self.lanes)


def _held(cell: Formula) -> list[int]:
    held = {slot for each in rises(cell) for slot in each if slot is not None}
    return sorted(held | {slot for slot, _ in keeping(cell)})


@lru_cache(maxsize=256)
def closes(network: Formulas) -> bool:
    """Whether there is a kernel: what is asked of a step is computed in it, centre and radius."""
    cell = network.formula
    if not depends(cell, [*_held(cell), *cell.results]):
        return False
    return Closing(network, 1).step.whole


@lru_cache(maxsize=256)
def edge_rooms(shape: Closing) -> tuple[Room, ...]:
    """What the kernel works in: names, what there is a row for, and widths."""
    first, step = shape.blocks(shape)
    enclosed_, cell, L = shape.step, shape.network.formula, shape.lanes
    ends = {i for pair in (*enclosed_.after, *enclosed_.held.values()) for i in pair}
    before = {i for pair in enclosed_.before for i in pair}
    Y, Q = (padded(n, L) for n in (shape.network.outputs, shape.states))
    P = padded(shape.network.parts[0], L)
    found = [
        *(("step", i, step) for i in sorted(step.saved | step.crossing | ends)),
        *(("before", i, step) for i in sorted(before)),
        *(("given", i, step) for i in sorted(ends)),
        *(("input", i, first) for i in sorted(first.saved | first.crossing | set(cell.drives))),
        *(("d drive", i, first) for i in cell.drives),
    ]
    rooms = [
        (f"{kind} {i}", "symbols" if block is first else "edges", block.width(i))
        for kind, i, block in found
    ]
    rooms += of_gradients(step, "step", "edges", step.saved - ends)
    rooms += of_gradients(first, "input", "symbols", first.saved - set(cell.drives))
    rooms += [(f"answers {i}", "edges", Y) for i in range(2)]
    rooms += [(f"states {i}", "edges", Q) for i in range(2)]
    return (*rooms, ("of Why", "outputs", P))


def edge_room(shape: Closing, E: int, S: int) -> int:
    """How many floats that is."""
    counts = {"edges": E, "symbols": S, "outputs": shape.network.outputs}
    return floats(edge_rooms(shape), counts, shape.lanes)
