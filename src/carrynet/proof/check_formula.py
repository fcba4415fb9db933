"""The part of the checker that is for any formula: boxes, carried forward by balls.

For each region and each symbol, the cell is carried out on all states of the region at once, in
the arithmetic of the network's type (`balls`); the images, moved by up to `slack` in every unit
of the state, must lie in the region that follows; and the readout must be right all over that
region, by more than two logits may be off.  No cell is named here.
"""

from typing import TYPE_CHECKING

from flint import arb, arb_mat

from carrynet.proof.balls import Arithmetic, Balls, Value, exact, slots_of
from carrynet.proof.certificate import BoxCertificate, require
from carrynet.proof.model import Model
from carrynet.spec.task import Task
from carrynet.watch import Watch

if TYPE_CHECKING:
    from carrynet.nets.equations import Instruction


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

    def images(self, state: Balls) -> list[Balls]:
        """The states after each symbol, from all states of a box."""
        parts, at = [], 0
        for width in self.widths:
            parts.append(exact(state[at : at + width]))
            at += width
        found: list[Balls] = []
        shared = self._shared(parts)
        known = set(shared)
        rest = [each for each in self.cell.of_state if each.out not in known]
        for by_symbol in self.by_symbol:
            slots = list(by_symbol)
            slots[1 : 1 + len(parts)] = parts
            for out, value in shared.items():
                slots[out] = value
            self.arithmetic.interpret(rest, slots)
            values = [slots[result] for result in self.cell.results]
            found.append([ball for value in values for ball in self.arithmetic.settled(value)])
        return found

    def _shared(self, parts: list[Value]) -> dict[int, Value]:
        """What depends on the state only, which all symbols share."""
        slots = list(self.slots)
        slots[1 : 1 + len(parts)] = parts
        known = {i for i, value in enumerate(slots) if value is not None}
        chosen: list[Instruction] = []
        for each in self.cell.of_state:
            if known.issuperset(each.operands):
                known.add(each.out)
                chosen.append(each)
        self.arithmetic.interpret(chosen, slots)
        return {each.out: slots[each.out] for each in chosen}

    def margin(self, state: Balls, output: int) -> arb:
        """A lower bound of how far the logits are on the right side, all over a box."""
        *layers, last, bias = self.readout.instructions
        slots = list(self.of_readout)
        slots[0] = exact(state[: self.widths[0]])
        self.arithmetic.interpret(layers, slots)
        v, W, b = slots[last.operands[0]], slots[last.operands[1]], slots[bias.operands[1]]
        row = arb_mat([self.arithmetic.settled(v)])
        errors = self.arithmetic.errors(v, W, b)
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
    for i, (region, box) in enumerate(zip(regions, boxes, strict=True)):
        images = network.images([low.union(high) for low, high in box])
        for a, (j, image) in enumerate(zip(region.next, images, strict=True)):
            where = f"from region {i} under {machine.symbols[a]}"
            right = regions[j].state == machine.delta[region.state][a]
            require(right, f"{where}: region {j} has the wrong state")
            for k, (ball, (low, high)) in enumerate(zip(image, boxes[j], strict=True)):
                inside = low <= ball - slack and ball + slack <= high
                require(inside, f"{where}: unit {k} leaves region {j}")
            output = machine.output[region.state][a]
            if output is not None:  # where it is open, the machine asks nothing
                needed.setdefault(j, set()).add(output)
        if watch:
            watch(i + 1, len(regions))
    margin = arb("inf")
    for j, outputs in needed.items():
        for output in outputs:
            found = network.margin([low.union(high) for low, high in boxes[j]], output)
            require(found > 0, f"in region {j} the output is not always {output}")
            margin = margin.min(found)
    return margin
