"""Training on the certificate: a network and boxes that hold all its states, edge by edge.

A proof needs boxes such that every edge of the machine leads from box into box (`proof.boxes`).
Here the boxes are parameters beside the weights: one for the start, and for each state q of the
machine and symbol by which it is entered one of centre c and radius r, unit by unit.
For an edge, from region i by symbol a into region j, with output y and next state q', the
*image* is an enclosure of one step of the cell from all over box i, grown by the slack, and

    loss =  (1 - k) L(y at the image's centre) + k L(y at its worst)
          + the same for q', by a linear readout of its own that is thrown away after
          + closing * sum over units of how far the image stands out of box j, and of those that
                      stand out because they are saturated, of how far
          + forgetting * sum over gates of relu(highest pre-activation + 1)

averaged over edges.  There are no words and nothing is unrolled: one step for each edge.  Where
no image stands out, the boxes are an inductive invariant.

The average is not over all edges alike.  Those from the start count as much together as those from
each state of the machine: they are few, and without them no word is right.  And L and what stands
out are averaged over the edges that are in doubt: soon most are not, and those that are would
hardly be seen among thousands.

A unit that is saturated on the wrong side has no gradient, and would stay there: of one that is
the state itself, as Elman's are, the pre-activation is pulled back too.

The last term is about gates by which the state is multiplied on its way to itself: update gates,
forget gates.  What they keep, with every error in it, adds up without bound when they are open,
and so no boxes close: they are held below sigmoid(-1), and the state is written anew from the one
before.  They are found by structure (`keeping`), in any formula in which they are sigmoids: of
what is written out as (1 - z) * h and not as `mix`, z is not known as a gate that keeps.

Shapes: E edges, R regions, Q states of the machine, S symbols, X input, H hidden, D whole state.
These are floats that are not rounded outward: something to train with, no proof.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.regions import Edges, regions
from carrynet.data.words import OPEN, tables
from carrynet.nets.arrays import Array, quiet
from carrynet.nets.bptt import gradients_of
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
SATURATED = 2.0
"""The pre-activation beyond which a unit that stands out by more than `FAR` is pulled back."""
FAR = 0.2
LEAST = 0.05
"""The part of all edges that are in doubt at least, when an average is over those."""
DOUBT = 0.1
"""The loss from which an edge is in doubt."""


def shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """The shapes of what `begin` yields."""
    R, D, Q = regions(network.task).count, len(network.start), len(network.task.machine.states)
    boxes = {"centre": (R, D), "radius": (R, D)}
    return {**boxes, "Wstate": (network.hidden, Q), "bstate": (Q,)}


@quiet
def begin(network: Network) -> Weights:
    """Boxes round where a network is: `centre` and `radius` (R, D), `Wstate`, `bstate`.

    The centre of a region is the mean of the states that words come to it with: not of their
    hull, which of a network that forgets slowly is so wide that the boxes lie one in another.
    """
    double, known, D = network.astype("float64"), regions(network.task), len(network.start)
    sums, counts = np.zeros((known.count, D)), np.ones(known.count)
    sums[0] = double.start
    for i in range(1, known.count):
        sums[i] = double.step(sums[known.source[i]], int(known.symbol[i]))
    S = network.symbols
    drawn = rng.below(S, rng.raw(0, rng.PROOF, 0, _WORDS * _LENGTH)).reshape(_LENGTH, _WORDS)
    states, region = np.repeat(double.start[None], _WORDS, axis=0), np.zeros(_WORDS, np.intp)
    for symbols in drawn:
        states, region = double.step(states, symbols), known.after(region, symbols)
        np.add.at(sums, region, states)
        np.add.at(counts, region, 1)
    states_of_machine, kind = len(network.task.machine.states), network.dtype
    draws = rng.uniform(0, rng.PROOF, 0, network.hidden * states_of_machine)
    spread = (2 * draws - 1) / np.sqrt(network.hidden)
    return Weights(
        centre=(sums / counts[:, None]).astype(kind),
        radius=np.full((known.count, D), _RADIUS, kind),
        Wstate=spread.reshape(network.hidden, states_of_machine).astype(kind),
        bstate=np.zeros(states_of_machine, kind),
    )


_WORDS, _LENGTH = 128, 20
_RADIUS = 0.05  # of boxes to begin with


class Strength(NamedTuple):
    """How much the parts of the loss count, in one update."""

    worst: float  #: k
    slack: float
    closing: float
    forgetting: float


class Found(NamedTuple):
    """What came of some edges."""

    loss: float
    weights: Weights  #: gradients of the network's
    boxes: Weights  #: gradients of what `begin` yields
    logits: Array  #: (E, Y) those that speak most against the outputs


@quiet
def gradient(
    network: Network, boxes: Weights, some: Edges, strength: Strength, *, biases: bool = True
) -> Found:
    """The loss of some edges, averaged over them, and its gradients.

    Radii are taken as they are; see `least_radius`.
    """
    cell, task, kind, k = network.cell, network.task, network.dtype.type, strength.worst
    weight, loss = some.weight.astype(network.dtype)[:, None], 0.0
    centre, radius = boxes.centre.copy(), boxes.radius.copy()
    centre[0], radius[0] = network.start, 0  # the start is one state

    step = _Step(cell, network.weights, tables(task).vectors.astype(network.dtype)[some.symbol])
    ends = zip(network.parts(centre[some.source]), network.parts(radius[some.source]), strict=True)
    step.forward([Box(c, r) for c, r in ends])
    images = [Box(each.c, each.r + kind(strength.slack)) for each in step.results]
    h, *_ = images

    # what is answered, and which state the machine is in: at the centre, and at its worst
    asked = some.output != OPEN
    outputs = tables(task).targets.astype(network.dtype)[np.where(asked, some.output, 0)]
    states = np.eye(boxes.bstate.size, dtype=network.dtype)[some.state]
    of_answer, of_state = LOSSES["cross-entropy", task.readout].where(asked), _SOFTMAX
    read = {"Wstate": np.zeros_like(boxes.Wstate), "bstate": np.zeros_like(boxes.bstate)}
    pulled = [[np.zeros_like(each.c), np.zeros_like(each.c)] for each in images]
    found: dict[str, Array] = {}
    for image, part in ((Box(h.c, np.zeros_like(h.c)), kind(1 - k)), (h, kind(k))):
        readout = _Step(network.readout, network.weights, image, last=2)
        readout.forward()
        (v,), product, bias = readout.results, *network.readout.instructions[-2:]
        Why, by = (readout.slots[each.operands[1]] for each in (product, bias))
        logits = worst_logits(Why, by, v.c, v.r, outputs)
        value, share = of_answer.value(logits, outputs), part * weight
        in_doubt = share / _of_those(value > DOUBT, weight)
        d = in_doubt * of_answer.gradient(logits, outputs)
        *of_v, dWhy = worst_logits_vjp(Why, v.c, v.r, outputs, d)
        names = network.readout.parameter_slots
        _add(found, names[product.operands[1]], dWhy)
        _add(found, names[bias.operands[1]], d.sum(axis=0))
        of_h = readout.backward([tuple(of_v)], found)[0]
        loss += float(in_doubt[:, 0] @ value)

        guesses = worst_logits(boxes.Wstate, boxes.bstate, image.c, image.r, states)
        d = share * of_state.gradient(guesses, states)
        gc, gr, dW = worst_logits_vjp(boxes.Wstate, image.c, image.r, states, d)
        read["Wstate"] += dW
        read["bstate"] += d.sum(axis=0)
        loss += float(share[:, 0] @ of_state.value(guesses, states))
        pulled[0][0] += of_h[0] + gc
        if image is h:
            pulled[0][1] += of_h[1] + gr

    # how far images stand out of the boxes that they lead to, and units that are saturated there
    into = [network.parts(each[some.target]) for each in (centre, radius)]
    beyond = [(c - r - i.l, i.u - c - r) for i, c, r in zip(images, *into, strict=True)]
    stands = np.any([((a > 0) | (b > 0)).any(axis=-1) for a, b in beyond], axis=0)
    out = kind(strength.closing) * weight / _of_those(stands, weight)
    of_into = []
    held: list[tuple[int, Any]] = []  # slots, with their gradients
    for (below, above), g, slot in zip(beyond, pulled, activated(cell), strict=True):
        loss += float((out * (np.maximum(below, 0) + np.maximum(above, 0))).sum())
        low, high = out * (below > 0), out * (above > 0)  # the slopes
        g[0] += high - low
        g[1] += high + low
        of_into.append((low - high, -low - high))
        if slot is not None:
            z = step.value(slot)
            low = kind(_PULL) * out * ((below > FAR) & (z.c + z.r < -SATURATED))
            high = kind(_PULL) * out * ((above > FAR) & (z.c - z.r > SATURATED))
            loss += float((high * (z.c + z.r - SATURATED) - low * (z.c - z.r + SATURATED)).sum())
            held.append((slot, (high - low, high + low)))

    # gates that keep the state
    for slot, sign in keeping(cell):
        z = step.value(slot)
        over = sign * z.c + z.r - kind(KEPT)
        slope = kind(strength.forgetting) * weight * (over > 0)
        loss += float((slope * over).sum())
        held.append((slot, (sign * slope, slope)))

    inward = step.backward([tuple(g) for g in pulled], found, held)
    of_centre, of_radius = np.zeros_like(centre), np.zeros_like(centre)
    for at, gradients in ((some.source, inward), (some.target, of_into)):
        np.add.at(of_centre, at, _beside(gradients, 0))
        np.add.at(of_radius, at, _beside(gradients, 1))
    starts = network.parts(of_centre[:1].copy())
    of_centre[0] = of_radius[0] = 0
    return Found(
        loss,
        gradients_of(network, found, starts, biases),
        Weights(centre=of_centre, radius=of_radius, **read),
        logits,
    )


_SOFTMAX = LOSSES["cross-entropy", "argmax"]
_PULL = 0.1  # of what a unit stands out by, for its pre-activation


def _of_those(edges: NDArray[np.bool_], weight: Array) -> Any:
    """How much some edges count, or `LEAST`: an average over them has this for divisor."""
    return max(weight[edges].sum(), weight.dtype.type(LEAST))


def least_radius(boxes: Weights, slack: float) -> Weights:
    """Boxes none of which is smaller than the slack that every image is grown by.

    A radius is moved by a slope that does not depend on it, so that a small box can grow again.
    """
    radius = np.maximum(boxes.radius, boxes.radius.dtype.type(slack))
    return Weights({**boxes, "radius": radius})


def _add(found: dict[str, Array], name: str, gradient: Array) -> None:
    found[name] = found[name] + gradient if name in found else gradient


def _beside(gradients: Sequence[tuple[Array, Array]], which: int) -> Array:
    return np.concatenate([each[which] for each in gradients], axis=-1)


class _Step:
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
                    _add(found, name, own)
                elif i not in formula.fixed:
                    give(i, gs[place])
        first = len(formula.inputs) if formula.state else 0
        asked = range(first, first + max(1, len(formula.state)))
        return [adjoint.get(i, reading.zeros(slots[i])) for i in asked]


@cache
def activated(formula: Formula) -> tuple[int | None, ...]:
    """Of each part of the state the slot of its pre-activation, where it is a sigmoid or tanh."""
    made_by = {each.out: each for each in formula.instructions}
    makes = (made_by.get(slot) for slot in formula.results)
    return tuple(
        each.operands[0] if each and each.operation in ("sigmoid", "tanh") else None
        for each in makes
    )


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
