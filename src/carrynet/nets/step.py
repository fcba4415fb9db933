"""One step of a formula in enclosures, forward and backward; what is known of its structure.

For training over boxes (`invariant`, `joined`), where the steps of a network do not follow one
another as those of a word do.

Shapes: E boxes, X input, H hidden, Y output; the axis of boxes is the first.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.data.regions import Edges
from carrynet.data.words import OPEN, tables
from carrynet.nets.arrays import Array
from carrynet.nets.certified import worst_logits, worst_logits_vjp
from carrynet.nets.formula import Formula
from carrynet.nets.losses import LOSSES
from carrynet.nets.network import Network
from carrynet.nets.readings import interpret
from carrynet.nets.readings.enclosure import Box, Enclosure
from carrynet.nets.recurrence import blank
from carrynet.nets.weights import Weights

KEPT = -1.0
"""The pre-activation above which a gate that keeps the state is held down."""
LEAST = 0.05
"""The part of all edges that are in doubt at least, when an average is over those."""
DOUBT = 0.1
"""The loss from which an edge is in doubt."""


class Step:
    """One step of a formula in enclosures, forward and backward.

    `last` instructions, of a formula without a state, are left to others: the result is what the
    first of them is fed.
    """

    def __init__(self, formula: Formula, weights: Weights, fed: Any, last: int = 0) -> None:
        self.formula, self.reading = formula, Enclosure()
        self.instructions = formula.instructions[: len(formula.instructions) - last]
        self.ends = formula.instructions[-last].operands[:1] if last else formula.results
        self.slots = blank(formula, weights)
        self.slots[0] = fed

    @property
    def results(self) -> list[Box]:
        """The state after the step, part by part; or the result."""
        return [self.value(i) for i in self.ends]

    def value(self, slot: int) -> Box:
        """What a slot holds, as a box also where it does not depend on the state."""
        v = self.slots[slot]
        return v if isinstance(v, Box) else Box(v, np.zeros_like(v))

    def forward(self, state: Sequence[Box] = ()) -> None:
        """Carry the formula out."""
        first = len(self.formula.inputs)
        self.slots[first : first + len(state)] = state
        interpret(self.instructions, self.reading, self.slots)

    def backward(
        self,
        of_results: Sequence[Any],
        found: dict[str, Array],
        held: Sequence[tuple[int, Any]] = (),
    ) -> list[Any]:
        """The gradients of the state before, or of what was fed; those of weights go to `found`.

        `held` are further slots, each with its gradient.
        """
        formula, reading, slots = self.formula, self.reading, self.slots
        adjoint: dict[int, Any] = {}

        def give(i: int, g: Any) -> None:
            if not isinstance(slots[i], Box) and isinstance(g, tuple):
                g = g[0]  # it has no radius
            adjoint[i] = reading.plus(adjoint[i], g) if i in adjoint else g

        for i, g in (*zip(self.ends, of_results, strict=True), *held):
            give(i, g)
        for operation, operands, out in reversed(self.instructions):
            if out not in adjoint:
                continue
            values = [slots[i] for i in operands]
            g = adjoint[out]
            gs = reading.backward[operation](g, slots[out], *values)
            for place, i in enumerate(operands):
                if name := formula.parameter_slots.get(i):
                    matrix = operation == "matmul"
                    own = reading.product(values[0], g, values[1]) if matrix else gs[place].sum(0)
                    add(found, name, own)
                elif i not in formula.fixed:
                    give(i, gs[place])
        first = len(formula.inputs) if formula.state else 0
        asked = range(first, first + max(1, len(formula.state)))
        return [adjoint.get(i, reading.zeros(slots[i])) for i in asked]


class Rises(NamedTuple):
    """Slots of pre-activations: that with which a part of the state rises, and its magnitude."""

    value: int | None
    magnitude: int | None


@cache
def rises(formula: Formula) -> tuple[Rises, ...]:
    """Of each part of the state a pre-activation that moves it, or None where none is known.

    That of the sigmoid or tanh that the part is, or that a gate multiplies, as in o * tanh(c), that
    is mixed into the state or added to it; of two such the first.  Gates are not below 0: all else
    equal, the part does not fall where this rises.  Of its magnitude: that of a gate which
    multiplies all of it.  Only what depends on the state counts.
    """
    found: dict[int, Rises] = {}
    gates: dict[int, int] = {}  # sigmoids, with their pre-activations
    of_state = {each.out for each in formula.of_state}
    for operation, operands, out in formula.of_state:
        value = magnitude = None
        if operation in ("sigmoid", "tanh"):
            value = operands[0] if operands[0] in of_state else None
            if operation == "sigmoid" and value is not None:
                gates[out] = value
        among: Sequence[int] = ()
        if operation == "multiply":
            a, b = operands
            gate, other = (a, b) if a in gates else (b, a)
            if gate in gates:
                among, magnitude = (other,), gates[gate]
        elif operation in ("mix", "add"):
            among = operands[-2:]  # of a mixture without what it is mixed by
        for each in among:
            if value is None and each in found:
                value = found[each].value
        found[out] = Rises(value, magnitude)
    return tuple(found.get(slot, Rises(None, None)) for slot in formula.results)


@cache
def keeping(formula: Formula) -> tuple[tuple[int, int], ...]:
    """The gates by which the state is multiplied on its way to itself.

    Of each the slot of its pre-activation, and 1 where it keeps the state when it is open, -1 when
    it is shut.  On its way: through sums, products and mixtures of units, not through a matrix or
    an activation.
    """
    first = len(formula.inputs)
    kept = set(range(first, first + len(formula.state)))  # slots that hold the state, or part of it
    gates: list[tuple[int, int, int]] = []
    for operation, operands, out in formula.instructions:
        if operation == "mix":  # (1 - z) n + z h
            z, n, h = operands
            gates += [(z, sign, out) for i, sign in ((n, -1), (h, 1)) if i in kept]
        elif operation == "multiply":
            a, b = operands
            gates += [(gate, 1, out) for i, gate in ((a, b), (b, a)) if i in kept]
        if operation in ("mix", "multiply", "add", "subtract") and kept.intersection(operands):
            kept.add(out)
    returned = set(formula.results)
    for operation, operands, out in reversed(formula.instructions):
        if out in returned and operation in ("mix", "multiply", "add", "subtract"):
            returned.update(operands)
    made_by = {each.out: each for each in formula.instructions}
    found = (
        (made_by[gate].operands[0], sign)
        for gate, sign, out in gates
        if out in returned and gate in made_by and made_by[gate].operation == "sigmoid"
    )
    return tuple(dict.fromkeys(found))  # one gate may keep several parts of the state


def add(found: dict[str, Array], name: str, gradient: Array) -> None:
    """Add a gradient to what is known of a weight's."""
    found[name] = found[name] + gradient if name in found else gradient


class Answered(NamedTuple):
    """What a network answers all over some boxes, at worst."""

    loss: float
    of_h: tuple[Array, Array]  #: its gradients by the centres and the radii, (E, H) each
    logits: Array  #: (E, Y) those that speak most against the outputs


def answer(
    network: Network,
    h: Box,
    edges: Edges,
    part: Any,
    found: dict[str, Array],
) -> Answered:
    """The loss of the worst answers all over boxes (E, H), one for each edge, as a `part`.

    The mean, by the edges' weights, over those that are in doubt.  The gradients of the network's
    weights are added to `found`.
    """
    asked = edges.output != OPEN
    weight = edges.weight.astype(network.dtype)[:, None]
    outputs = tables(network.task).targets.astype(network.dtype)[np.where(asked, edges.output, 0)]
    loss = LOSSES["cross-entropy", network.task.readout].where(asked)
    readout, logits = worst(network, h, outputs)
    (v,), product, bias = readout.results, *network.readout.instructions[-2:]
    Why = readout.slots[product.operands[1]]
    value = loss.value(logits, outputs)
    share = part * weight / of_those(value > DOUBT, weight)
    d = share * loss.gradient(logits, outputs)
    *of_v, dWhy = worst_logits_vjp(Why, v.c, v.r, outputs, d)
    names = network.readout.parameter_slots
    add(found, names[product.operands[1]], dWhy)
    add(found, names[bias.operands[1]], d.sum(axis=0))
    return Answered(float(share[:, 0] @ value), readout.backward([tuple(of_v)], found)[0], logits)


def worst(network: Network, h: Box, targets: Array) -> tuple[Step, Array]:
    """The logits (E, Y) that speak most against targets (E, Y), all over boxes (E, H).

    And the readout as far as the last layer, which is theirs.
    """
    readout = Step(network.readout, network.weights, h, last=2)
    readout.forward()
    (v,) = readout.results
    Why, by = (readout.slots[each.operands[1]] for each in network.readout.instructions[-2:])
    return readout, worst_logits(Why, by, v.c, v.r, targets)


def forget(step: Step, weight: Array) -> tuple[float, list[tuple[int, Any]]]:
    """How far gates that keep the state are open above `KEPT`, at most; `weight` is (E, 1).

    And the slots of their pre-activations, each with its gradient.
    """
    loss, held = 0.0, []
    for slot, sign in keeping(step.formula):
        z = step.value(slot)
        over = sign * z.c + z.r - weight.dtype.type(KEPT)
        slope = weight * (over > 0)
        loss += float((slope * over).sum())
        held.append((slot, (sign * slope, slope)))
    return loss, held


def of_those(edges: NDArray[np.bool_], weight: Array) -> Any:
    """How much some edges count, or `LEAST`: an average over them has this for divisor."""
    return max(weight[edges].sum(), weight.dtype.type(LEAST))
