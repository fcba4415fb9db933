"""The part of the checker that is for any formula: boxes, carried forward by balls.

For each region and each symbol, the cell is carried out on all states of the region at once, in
the arithmetic of the network's type (`balls`); the images, moved by up to `slack` in every unit
of the state, must lie in the region that follows; and the readout must be right all over that
region, by more than two logits may be off.  No cell is named here.

Work is shared where that changes nothing that is claimed:

    among symbols    what depends on the state only is carried out once for a region.  So is what
                     an input reaches through zeros only: where x W + b is the same exact vector
                     for every symbol, it counts as a constant
    among regions    those of one state that lead to the same regions are first tried together:
                     what is shared among symbols is joined, value by value, and carried on from
                     there.  That holds every value of each of them, so if it lies where it should
                     nothing is left to show; if it does not, each region is tried by itself
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flint import arb, arb_mat

from carrynet.proof.balls import Arithmetic, Balls, Value, exact, hull, slots_of
from carrynet.proof.certificate import BoxCertificate, require
from carrynet.proof.model import Model
from carrynet.spec.task import Task
from carrynet.watch import Watch

if TYPE_CHECKING:
    from carrynet.nets.equations import Instruction

Box = Sequence[tuple[arb, arb]]  # lower and upper end of each unit


class _Network:
    """What the certificate is about, ready to be carried out."""

    def __init__(self, model: Model, task: Task) -> None:
        self.cell, self.readout = model.formulas
        self.arithmetic, self.task = Arithmetic(model.dtype), task
        self.slots = slots_of(self.cell, model.weights, self.arithmetic)
        self.of_readout = slots_of(self.readout, model.weights, self.arithmetic)
        self.widths = model.widths
        self.start = model.start
        self.by_symbol = []
        for symbol in range(len(task.machine.symbols)):
            slots = list(self.slots)
            slots[0] = exact([arb(x) for x in task.vector(symbol)])
            self.arithmetic.interpret(self.cell.of_input, slots)
            self.by_symbol.append(slots)
        first, *others = self.by_symbol
        for out in (each.out for each in self.cell.of_input):
            # the same vector of balls for every symbol, which only exact ones are told to be
            if all(slots[out] == first[out] for slots in others):
                self.slots[out] = first[out]
        self.shared, self.rest = self._split()
        read = {i for each in self.rest for i in each.operands}.union(self.cell.results)
        state = range(1, 1 + len(self.widths))
        self.handed_on = [*read.intersection((*state, *(each.out for each in self.shared)))]

    def _split(self) -> tuple[list["Instruction"], list["Instruction"]]:
        """The instructions that all symbols share, and the others."""
        known = {i for i, value in enumerate(self.slots) if value is not None}
        known.update(range(1, 1 + len(self.widths)))
        shared, rest = [], []
        for each in self.cell.of_state:
            if known.issuperset(each.operands):
                known.add(each.out)
                shared.append(each)
            else:
                rest.append(each)
        return shared, rest

    def common(self, box: Box) -> dict[int, Value]:
        """What all symbols share from a box: the values that the others are reckoned from."""
        slots, at = list(self.slots), 0
        state = [low.union(high) for low, high in box]
        for part, width in enumerate(self.widths, 1):
            slots[part] = exact(state[at : at + width])
            at += width
        self.arithmetic.interpret(self.shared, slots)
        return {i: slots[i] for i in self.handed_on}

    def image(self, common: dict[int, Value], symbol: int) -> list[arb]:
        """All states after a symbol."""
        slots: list[Any] = list(self.by_symbol[symbol])
        for i, value in common.items():
            slots[i] = value
        self.arithmetic.interpret(self.rest, slots)
        values = [slots[result] for result in self.cell.results]
        return [ball for value in values for ball in self.arithmetic.settled(value)]

    def margin(self, state: Balls, output: int) -> arb:
        """A lower bound of how far the logits are on the right side, all over a box."""
        *layers, last, bias = self.readout.instructions
        slots = list(self.of_readout)
        slots[0] = exact(state[: self.widths[0]])
        self.arithmetic.interpret(layers, slots)
        v, weights, b = slots[last.operands[0]], slots[last.operands[1]], slots[bias.operands[1]]
        row, W = arb_mat([self.arithmetic.settled(v)]), weights.exact
        errors = self.arithmetic.errors(v, weights, b)
        if self.task.readout == "bits":
            sign = 1 if output == 1 else -1
            exact_logit = (row * W).entries()[0] + b.balls[0]
            return (sign * exact_logit - 2 * errors[0]).lower()
        margin = arb("inf")
        for y in range(len(b.balls)):
            if y != output:
                apart = arb_mat([[W[i, output] - W[i, y]] for i in range(W.nrows())])
                gap = (row * apart).entries()[0] + b.balls[output] - b.balls[y]
                margin = margin.min((gap - errors[output] - errors[y]).lower())
        return margin


def check(
    model: Model,
    task: Task,
    certificate: BoxCertificate,
    watch: Watch | None = None,
) -> arb:
    """Check an inductive invariant of boxes; the smallest margin.

    Raises `Rejected` with the first thing that does not hold.
    """
    network, regions = _Network(model, task), certificate.regions
    unit, slack = -certificate.bits, arb((certificate.slack, -certificate.bits))
    machine, boxes = task.machine, []
    for region in regions:
        ends = zip(region.lower, region.upper, strict=True)
        boxes.append([(arb((low, unit)), arb((high, unit))) for low, high in ends])
    start = zip(network.start, boxes[0], strict=True)
    require(
        all(low <= arb(x) and arb(x) <= high for x, (low, high) in start),
        "region 0 does not hold the start",
    )
    needed: dict[int, set[int]] = {}
    alike: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for i, region in enumerate(regions):
        alike.setdefault((region.state, region.next), []).append(i)
        for a, j in enumerate(region.next):
            right = regions[j].state == machine.delta[region.state][a]
            where = f"from region {i} under {machine.symbols[a]}"
            require(right, f"{where}: region {j} has the wrong state")
            output = machine.output[region.state][a]
            if output is not None:  # where it is open, the machine asks nothing
                needed.setdefault(j, set()).add(output)
    done = 0
    for (_, row), members in alike.items():
        targets = [boxes[j] for j in row]
        together = len(members) > 1 and not _leaving(
            network, _joined(network, boxes, members), targets, slack
        )
        for i in members:
            left = None if together else _leaving(network, network.common(boxes[i]), targets, slack)
            if left:
                where = f"from region {i} under {machine.symbols[left.symbol]}"
                require(False, f"{where}: unit {left.unit} leaves region {row[left.symbol]}")
            done += 1
            if watch:
                watch(done, len(regions))
    margin = arb("inf")
    for j, outputs in needed.items():
        for output in outputs:
            found = network.margin([low.union(high) for low, high in boxes[j]], output)
            require(found > 0, f"in region {j} the output is not always {output}")
            margin = margin.min(found)
    return margin


class _Leaving(NamedTuple):
    """Under which symbol, and in which unit, an image is not where it should be."""

    symbol: int
    unit: int


def _joined(network: _Network, boxes: Sequence[Box], members: Sequence[int]) -> dict[int, Value]:
    """What all symbols share, from any of several boxes."""
    first, *others = members
    joined = network.common(boxes[first])
    for i in others:
        joined = {
            slot: hull(joined[slot], value) for slot, value in network.common(boxes[i]).items()
        }
    return joined


def _leaving(
    network: _Network, common: dict[int, Value], targets: Sequence[Box], slack: arb
) -> _Leaving | None:
    """Where an image, moved by the slack, leaves the box that it should lie in, if it does."""
    for symbol, target in enumerate(targets):
        image = network.image(common, symbol)
        for unit, (ball, (low, high)) in enumerate(zip(image, target, strict=True)):
            if not (low <= ball - slack and ball + slack <= high):
                return _Leaving(symbol, unit)
    return None
