"""What the affine reading of any cell's formula comes to in machine code, but for the numbers.

Every value is m + L y + r, |r| <= e; see `proof.affine`.  All but products with matrices go unit by
unit and only scale the rows of L, so that

    L = sum_t diag(k_t) L_t

over few *leaves* t: parts of the state, and products with matrices.  Here it is seen which values
have which leaves, which are the same for every symbol, where parameters lie, and whether all of
that is short enough; `formula_images` writes the code.

Shapes as in `trees`; d a value's width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations_with_replacement
from typing import NamedTuple

from carrynet.engines.kernels.block import ACTIVATIONS, padded
from carrynet.engines.kernels.formulas import Formulas, slot_sizes, takes
from carrynet.engines.kernels.shape import Layout, Shape
from carrynet.nets.equations import Instruction

Pair = tuple[int, int]

LOOSEN = "loosen"
"""What makes the new state of the readout's: the slack is added to its error."""


class Rows(NamedTuple):
    """Where rows begin, how many and how wide they are, and the first that is not zero."""

    start: int
    number: int
    width: int
    first: int


@dataclass(frozen=True)
class AffinePlan:
    """What the reading of a cell and its readout comes to, but for the numbers.

    The slots of the readout come after those of the cell.
    """

    shape: Formulas

    @cached_property
    def whole(self) -> Shape:
        """The state as one vector, each part padded."""
        shape = self.shape
        hidden = shape.part_places[-1] + shape.parts[-1]
        return Shape(shape.lanes, hidden, 1, 1, 1)

    @cached_property
    def instructions(self) -> tuple[Instruction, ...]:
        """A step, and the layers of the readout but for the last."""
        cell, reads, first = self.shape.formula, self.shape.reads, self.shape.formula.size
        layers = (
            Instruction(name, tuple(first + i for i in operands), first + out)
            for name, operands, out in reads.instructions[:-2]
        )
        return (*cell.of_state, Instruction(LOOSEN, (cell.results[0],), first), *layers)

    @property
    def loosened(self) -> int:
        """The slot of what the readout is fed: the new state's first part, with the slack."""
        return self.shape.formula.size

    @cached_property
    def fed(self) -> int:
        """The slot of what the readout's last layer is fed."""
        return self.shape.formula.size + self.shape.reads.instructions[-2].operands[0]

    @cached_property
    def names(self) -> Mapping[int, str]:
        """The parameters by their slots."""
        cell, reads = self.shape.formula, self.shape.reads
        return {
            **cell.parameter_slots,
            **{cell.size + i: name for i, name in reads.parameter_slots.items()},
        }

    @cached_property
    def constants(self) -> Mapping[int, float]:
        """The constants by their slots."""
        cell, reads = self.shape.formula, self.shape.reads
        return {
            **cell.constant_slots,
            **{cell.size + i: value for i, value in reads.constant_slots.items()},
        }

    @cached_property
    def sizes(self) -> Mapping[int, int]:
        """How many numbers a slot's value has."""
        shape, first = self.shape, self.shape.formula.size
        cell = slot_sizes(shape.formula, [dict(shape.sizes)["X"], *shape.parts], shape.shapes)
        reads = slot_sizes(shape.reads, [shape.parts[0]], shape.shapes)
        return {**cell, **{first + slot: size for slot, size in reads.items()}}

    def width(self, slot: int) -> int:
        """d, padded to vectors."""
        return padded(self.sizes[slot], self.shape.lanes)

    @cached_property
    def parts(self) -> Mapping[int, int]:
        """Where in a state each part begins, by its slot."""
        return dict(enumerate(self.shape.part_places, 1))

    @cached_property
    def leaves(self) -> Mapping[int, tuple[int, ...]]:
        """The leaves of each value that varies with the state, by their slots."""
        found: dict[int, tuple[int, ...]] = {slot: (slot,) for slot in self.parts}
        for operation, operands, out in self.instructions:
            those = [leaf for i in operands for leaf in found.get(i, ())]
            if those:
                found[out] = (out,) if operation == "matmul" else tuple(dict.fromkeys(those))
        return found

    @cached_property
    def shared(self) -> frozenset[int]:
        """The slots that are the same for every symbol."""
        found = set(self.parts)
        fixed = self.names.keys() | self.constants.keys()
        for each in self.instructions:
            if all(i in found or i in fixed for i in each.operands):
                found.add(each.out)
        return frozenset(found)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The leaves whose spread, or covariance, is asked for, with themselves and each other.

        Of activations' arguments, and of factors that vary.
        """
        found: set[Pair] = set()
        for operation, operands, _ in self.instructions:
            those = [self.leaves[i] for i in operands if i in self.leaves]
            several = operation in ("multiply", "mix") and len(those) > 1
            if several or operation in ACTIVATIONS:
                leaves = sorted({leaf for each in those for leaf in each})
                found |= set(combinations_with_replacement(leaves, 2))
        return tuple(sorted(found))

    @cached_property
    def places(self) -> Mapping[int, Rows]:
        """Where in `weights` each parameter lies, and the L of each part.

        A matrix that a part is multiplied by lies in the rows of that part.
        """
        P, found, start = Layout(self.whole).width, {}, 0
        operands = {each.operands[1]: each.operands[0] for each in self._products}
        used = {i for each in self.instructions for i in each.operands}
        for slot in sorted(used & (self.names.keys() | self.parts.keys())):
            rows, first, operand = 1, 0, operands.get(slot, slot)
            if operand in self.parts:
                rows, first = P, self.parts[operand]
            elif operand != slot:
                rows = self.sizes[operand]
            found[slot] = Rows(start, rows, self.width(slot), first)
            start += rows * self.width(slot)
        return found

    @property
    def size(self) -> int:
        """The floats of `weights`."""
        return sum(each.number * each.width for each in self.places.values())

    @property
    def _products(self) -> list[Instruction]:
        return [each for each in self.instructions if each.operation == "matmul"]

    @cached_property
    def takes(self) -> bool:
        """Whether there is code for it."""
        matrices = {each.operands[1] for each in self._products}
        return (
            takes(self.shape.formula)
            and all(each.out in self.leaves for each in self.instructions)
            and len(matrices) == len(self._products) <= MOST_PRODUCTS
            and len(self.instructions) <= MOST_INSTRUCTIONS
            and len(self.pairs) <= MOST_PAIRS
            and max(map(self.width, self.leaves)) <= MOST_WIDTH
        )

    @cached_property
    def room(self) -> int:
        """Floats that images work in, at most."""
        P, lanes = Layout(self.whole).width, self.shape.lanes
        widest = max(self.width(slot) for slot in self.leaves)
        leaves = {leaf for those in self.leaves.values() for leaf in those}
        # what is multiplied, what it gives, and what is read out
        maps = 2 * (2 * len(leaves) + 2) * P * widest
        values = sum(3 * (4 + len(those)) * self.width(i) for i, those in self.leaves.items())
        return maps + values + len(leaves) ** 2 * widest + 4 * P * P + 4 * P + widest**2 + lanes


MOST_PRODUCTS, MOST_INSTRUCTIONS, MOST_PAIRS, MOST_WIDTH = 40, 200, 150, 256
"""Of a formula with more, or with wider values, the code would be too long."""

affine_plan = lru_cache(maxsize=64)(AffinePlan)
