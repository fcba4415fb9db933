"""The worst case of an update of any cell along words: `nets.certified.bptt`, in machine code.

Beside the states run boxes, a step of which `enclosed` writes out as instructions; as everywhere in
`formula_train`, row t B + b is word b before position t.
"""

from collections.abc import Iterator
from functools import lru_cache

from carrynet.engines.kernels.block import ACTIVATIONS, Place, Way, padded
from carrynet.engines.kernels.enclosed import Enclosed, enclosed
from carrynet.engines.kernels.formulas import Formulas, depends
from carrynet.engines.kernels.rooms import Room, Rooms, along, of_gradients
from carrynet.engines.kernels.worst import Worst, known, stored, storing
from carrynet.engines.vector import Code, Integer, Value
from carrynet.nets.formula import Formula


@lru_cache(maxsize=256)
def stepped(shape: Formulas) -> Enclosed:
    """One step of the cell, from boxes."""
    _, step, _ = shape.blocks(shape)
    return enclosed(shape.formula, step.sizes, slack=True)


@lru_cache(maxsize=256)
def bounded(cell: Formula) -> bool:
    """Whether there is code for a cell: what needs the input only varies with no slack."""
    exact = all(each.operation not in ACTIVATIONS for each in cell.of_input)
    sizes = {slot: 1 for slot in range(cell.size) if slot not in cell.constant_slots}
    whole = depends(cell, cell.results) and enclosed(cell, sizes, slack=True).whole
    return exact and whole


def slack_size(shape: Formulas) -> int:
    """The floats of the slack, once for each number of the widest value, behind `p`."""
    return max(padded(size, shape.lanes) for size in stepped(shape).sizes.values())


def bounds_rooms(shape: Formulas) -> Iterator[Room]:
    """What it works in."""
    step = stepped(shape)
    block = step.block(shape.blocks(shape)[1])
    results = {i for pair in step.after for i in pair}
    values = sorted((block.saved | block.crossing) - results)
    for slot in values:
        yield f"box {slot}", "positions", block.width(slot)
    yield from of_gradients(block, "box", "positions", values)
    for name in _STATES:
        yield name, "states", shape.depth
    yield "worst", "positions", padded(shape.outputs, shape.lanes)
    yield "of Why", "outputs", padded(shape.parts[0], shape.lanes)


_STATES = "centre", "radius", "of centre", "of radius"


class Bounds:
    """The passes over boxes, as those over points are in `formula_train`."""

    def __init__(self, k: Code, shape: Formulas, room: Rooms, B: Integer) -> None:
        self.k, self.shape, self.room, self.B = k, shape, room, B
        self.step = stepped(shape)
        self.slack = shape.turned[""]
        self.block = self.step.block(shape.blocks(k)[1], self.slack)
        self.P = padded(shape.parts[0], shape.lanes)
        self.worst = Worst(k, self.P)
        product, bias = shape.reads.instructions[-2:]
        named = shape.reads.parameter_slots
        self.Why, self.by = (named[each.operands[1]] for each in (product, bias))

    def begin(self, slack: Value) -> None:
        """Make ready for an update with so much slack: the start is one state."""
        k, room = self.k, self.room
        k.loop(
            slack_size(self.shape),
            lambda i: k.store(k.splat(slack), k.p, k.add(i, self.slack)),
            step=k.lanes,
        )
        for name in (
            "of centre",
            "of radius",
            "of Why",
            *(f"d box {i}" for i in self.block.crossing),
        ):
            room.clear(name)
        (centre, _, _), (state, _, _) = room.at["centre"], room.at["state"]
        k.loop(
            k.mul(self.B, self.shape.depth),
            lambda i: k.store(k.load(state, i), centre, i),
            step=k.lanes,
        )

    def _parts(self, names: tuple[str, str], rows: list[Integer], after: bool) -> dict[int, Place]:
        """Where the boxes of states are, or their gradients, by the slots that they have."""
        pairs = self.step.after if after else self.step.before
        return {
            slot: self.room.there(name, rows, place)
            for pair, place in zip(pairs, self.shape.part_places, strict=True)
            for slot, name in zip(pair, names, strict=True)
        }

    def _places(self, first: Integer, count: int) -> tuple[list[Integer], dict[int, Place]]:
        rows = along(self.k, first, count)
        symbols = [self.k.integer(self.k.symbols, row, 32) for row in rows]
        after = [self.k.add(row, self.B) for row in rows]
        found = self.room.those("box", rows)
        found |= {i: self.room.there(f"input {i}", symbols) for i in self.shape.formula.drives}
        found |= self._parts(("centre", "radius"), rows, after=False)
        return rows, found | self._parts(("centre", "radius"), after, after=True)

    def forward(self, first: Integer, count: int) -> None:
        """A step of some rows."""
        self.block.forward(self._places(first, count)[1], count)

    def backward(self, first: Integer, count: int) -> None:
        """The gradients of a step of some rows."""
        self.block.backward(self._back, first, count)

    def _back(self, first: Integer, count: int) -> Way:
        """Those of what symbols give are added to the points'."""
        rows, values = self._places(first, count)
        after = [self.k.add(row, self.B) for row in rows]
        given = self._parts(("of centre", "of radius"), after, after=True)
        sinks = self._parts(("of centre", "of radius"), rows, after=False)
        drives = self.shape.formula.drives
        sinks |= {i: self.room.there(f"d drive {i}", values[i].rows) for i in drives}
        return values, given, self.room.those("d box", rows), sinks

    def read_out(self, r: Integer, answer: Value, share: Value) -> None:
        """The worst logits of a row's state after its symbol, and the gradients of their loss."""
        k, shape, Y = self.k, self.shape, self.shape.outputs
        here, vectors = k.mul(k.add(r, self.B), shape.depth), self.P // k.lanes
        c, radius = (
            k.only(k.load_all(self.room.at[name][0], here, vectors), shape.parts[0], 0.0)
            for name in ("centre", "radius")
        )
        matrix = k.at(k.p, shape.turned[self.Why])
        biases = k.p, k.i64(shape.places[self.by])
        if shape.decision == "bits":  # in a register: what was just written is slow to be read
            kept: dict[Integer, Value] = {}
            self.worst.logits(c, radius, matrix, biases, Y, answer, kept.__setitem__)
            d = known(self.worst.of_bit(kept[0], answer, share))
        else:
            pointer, width, _ = self.room.at["worst"]
            row = k.mul(r, width)
            self.worst.logits(c, radius, matrix, biases, Y, answer, storing(k, pointer, row))
            self.worst.less_target(pointer, row, Y, answer, share, several=True)
            d = stored(k, pointer, row)
        of_Why = self.room.at["of Why"][0]
        found = self.worst.back(d, c, radius, matrix, of_Why, Y, answer)
        for name, change in zip(("of centre", "of radius"), found, strict=True):
            target = self.room.at[name][0]
            old = k.load_all(target, here, vectors)
            k.store_all([*map(k.fadd, old, change)], target, here)
        if shape.biases:

            def bias(y: Integer) -> None:
                place = k.add(y, shape.places[self.by])
                k.store(k.fadd(k.scalar(k.gradient, place), d(y)), k.gradient, place)

            k.loop(Y, bias)

    def gather(self, positions: Integer) -> None:
        """The gradients of matrices, of all positions."""
        places: dict[int, Place] = {}
        for pairs, row in ((self.step.before, 0), (self.step.after, self.B)):
            for pair, place in zip(pairs, self.shape.part_places, strict=True):
                for slot, name in zip(pair, ("centre", "radius"), strict=True):
                    places.setdefault(slot, self.room.there(name, [row], place))
        for product in self.block.products:
            operand = product.operands[0]
            a = places.get(operand) or self.room.there(f"box {operand}", [0])
            self.block.gather(product, a, self.room.there(f"d box {product.out}", [0]), positions)
        target = self.shape.places[self.Why]
        turned = self.room.at["of Why"][0]
        H, Y = self.shape.parts[0], self.shape.outputs
        self.worst.add_turned(turned, self.k.gradient, target, H, Y)
