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

A unit of which an image stands out because it is saturated on that side has no gradient there, and
would stay so for ever, one among thousands: the end of its pre-activation beyond `SATURATED` is
pulled back, too, by `PULL` of the weight of what stands out.  Of Elman's cell that is the unit
itself, of GRU the candidate, of LSTM g and tanh(c), and the output gate, shut or open (`rises`).

The last term is about gates by which the state is multiplied on its way to itself: update gates,
forget gates.  What they keep, with every error in it, adds up without bound when they are open,
and so no boxes close: they are held below sigmoid(-1), and the state is written anew from the one
before.  They are found by structure (`keeping`), in any formula in which they are sigmoids: of
what is written out as (1 - z) * h and not as `mix`, z is not known as a gate that keeps.

Shapes: E edges, R regions, Q states of the machine, S symbols, X input, H hidden, D whole state.
These are floats that are not rounded outward: something to train with, no proof.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.regions import Edges, regions
from carrynet.data.words import OPEN, Words, tables
from carrynet.nets.arrays import Array, in_one_thread, quiet
from carrynet.nets.bptt import gradients_of
from carrynet.nets.certified import worst_logits, worst_logits_vjp
from carrynet.nets.losses import LOSSES, predict
from carrynet.nets.network import Network
from carrynet.nets.readings.enclosure import Box
from carrynet.nets.step import Step, answer, forget, of_those, rises, worst
from carrynet.nets.weights import Weights

SATURATED = 2.0
"""The pre-activation to which a unit is pulled back whose image stands out by more than `FAR`."""
FAR = 0.2
"""By how much an image stands out that is far."""
PULL = 0.1
"""The weight of a pre-activation that is pulled back, as a part of that of what stands out."""


def shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """The shapes of what `begin` yields."""
    R, D, Q = regions(network.task).count, len(network.start), len(network.task.machine.states)
    boxes = {"centre": (R, D), "radius": (R, D)}
    return {**boxes, "Wstate": (network.hidden, Q), "bstate": (Q,)}


@quiet
def begin(network: Network, words: Words | None = None) -> Weights:
    """Boxes round where a network is: `centre` and `radius` (R, D), `Wstate`, `bstate`.

    The centre of a region is the mean of the states that words come to it with: not of their
    hull, which of a network that forgets slowly is so wide that the boxes lie one in another.
    The words, (N, T), are uniform ones where none are given.
    """
    double, known, D = network.astype("float64"), regions(network.task), len(network.start)
    sums, counts = np.zeros((known.count, D)), np.ones(known.count)
    sums[0] = double.start
    for i in range(1, known.count):
        sums[i] = double.step(sums[known.source[i]], int(known.symbol[i]))
    if words is None:
        drawn = rng.raw(0, rng.PROOF, 0, _WORDS * _LENGTH).reshape(_LENGTH, _WORDS)
        words = rng.below(network.symbols, drawn).T
    states = np.repeat(double.start[None], len(words), axis=0)
    region = np.zeros(len(words), np.intp)
    for symbols in words.T:
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
    cell, kind, k = network.cell, network.dtype.type, strength.worst
    weight, loss = some.weight.astype(network.dtype)[:, None], 0.0
    centre, radius = _ends(network, boxes)

    step, images, beyond = _led(network, centre, radius, some, strength.slack)
    h, *_ = images

    # what is answered, and which state the machine is in: at the centre, and at its worst
    states = np.eye(boxes.bstate.size, dtype=network.dtype)[some.state]
    read = {"Wstate": np.zeros_like(boxes.Wstate), "bstate": np.zeros_like(boxes.bstate)}
    pulled = [[np.zeros_like(each.c), np.zeros_like(each.c)] for each in images]
    found: dict[str, Array] = {}
    for image, part in ((Box(h.c, np.zeros_like(h.c)), kind(1 - k)), (h, kind(k))):
        answered = answer(network, image, some, part, found)
        guesses = worst_logits(boxes.Wstate, boxes.bstate, image.c, image.r, states)
        share = part * weight
        d = share * _SOFTMAX.gradient(guesses, states)
        gc, gr, dW = worst_logits_vjp(boxes.Wstate, image.c, image.r, states, d)
        read["Wstate"] += dW
        read["bstate"] += d.sum(axis=0)
        loss += answered.loss + float(share[:, 0] @ _SOFTMAX.value(guesses, states))
        pulled[0][0] += answered.of_h[0] + gc
        if image is h:
            pulled[0][1] += answered.of_h[1] + gr

    # how far images stand out of the boxes that they lead to, and units that are saturated there
    out = kind(strength.closing) * weight / of_those(_stands_out(beyond), weight)
    of_into = []
    held: list[tuple[int, Any]] = []  # slots, with their gradients
    for image, (below, above), g, moved in zip(images, beyond, pulled, rises(cell), strict=True):
        loss += float((out * (np.maximum(below, 0) + np.maximum(above, 0))).sum())
        low, high = out * (below > 0), out * (above > 0)  # the slopes
        g[0] += high - low
        g[1] += high + low
        of_into.append((low - high, -low - high))
        small, large = np.where(image.c < 0, (above, below), (below, above))
        for slot, under, over in ((moved.value, below, above), (moved.magnitude, small, large)):
            if slot is not None:
                z = step.value(slot)
                low = kind(PULL) * out * ((under > FAR) & (z.c - z.r < -SATURATED))
                high = kind(PULL) * out * ((over > FAR) & (z.c + z.r > SATURATED))
                loss += float((high * (z.c + z.r - SATURATED)).sum())
                loss -= float((low * (z.c - z.r + SATURATED)).sum())
                held.append((slot, (high - low, high + low)))

    lost, gates = forget(step, kind(strength.forgetting) * weight)
    loss += lost
    held += gates
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
        answered.logits,
    )


_SOFTMAX = LOSSES["cross-entropy", "argmax"]


@in_one_thread
@quiet
@np.errstate(invalid="ignore")
def open_edges(network: Network, boxes: Weights, slack: float, most: int) -> int:
    """Of how many edges the image, grown by the slack, leaves its box, or is answered wrongly.

    Wrongly somewhere in it.  Of machines of more than `most` edges so many are looked at, at
    random, always the same ones.
    """
    every, table = regions(network.task), tables(network.task)
    numbers = np.arange(min(every.edge_count, most))
    if every.edge_count > most:
        numbers = (rng.unit(rng.raw(0, rng.PROOF, 0, most)) * every.edge_count).astype(np.intp)
    targets = table.targets.astype(network.dtype)
    each = max(1, _AT_ONCE // (16 * len(network.start) + targets.shape[1] ** 2))
    (centre, radius), parts = _ends(network, boxes), np.arange(each, len(numbers), each)
    open_ = 0
    for part in np.split(numbers, parts):
        some = every.edges(part)
        _, (h, *_), beyond = _led(network, centre, radius, some, slack)
        asked = some.output != OPEN
        outputs = np.where(asked, some.output, 0)
        _, logits = worst(network, h, targets[outputs])
        right = (predict(logits) == outputs) & np.isfinite(logits).all(axis=-1) | ~asked
        # what is not a number is not inside
        inside = [((a <= 0) & (b <= 0)).all(axis=-1) for a, b in beyond]
        open_ += int(np.count_nonzero(~np.all([right, *inside], axis=0)))
    return open_


_AT_ONCE = 2**22  # numbers, of edges of which an enclosure keeps some 16 for each unit


def _ends(network: Network, boxes: Weights) -> tuple[Array, Array]:
    """The boxes' centres and radii, (R, D) each, the start's being one state."""
    centre, radius = boxes.centre.copy(), boxes.radius.copy()
    centre[0], radius[0] = network.start, 0
    return centre, radius


def _led(
    network: Network, centre: Array, radius: Array, some: Edges, slack: float
) -> tuple[Step, list[Box], list[tuple[Array, Array]]]:
    """Where edges lead: the step, its images, and how far each stands out of its box on each side.

    Images and what stands out are part by part.
    """
    fed = tables(network.task).vectors.astype(network.dtype)[some.symbol]
    step = Step(network.cell, network.weights, fed)
    ends = zip(network.parts(centre[some.source]), network.parts(radius[some.source]), strict=True)
    step.forward([Box(c, r) for c, r in ends])
    images = [Box(each.c, each.r + network.dtype.type(slack)) for each in step.results]
    into = [network.parts(each[some.target]) for each in (centre, radius)]
    beyond = [(c - r - i.l, i.u - c - r) for i, c, r in zip(images, *into, strict=True)]
    return step, images, beyond


def _stands_out(beyond: Sequence[tuple[Array, Array]]) -> NDArray[np.bool_]:
    """Which edges' images stand out of their boxes."""
    return np.any([((a > 0) | (b > 0)).any(axis=-1) for a, b in beyond], axis=0)


def least_radius(boxes: Weights, slack: float) -> Weights:
    """Boxes none of which is smaller than the slack that every image is grown by.

    A radius is moved by a slope that does not depend on it, so that a small box can grow again.
    """
    radius = np.maximum(boxes.radius, boxes.radius.dtype.type(slack))
    return Weights({**boxes, "radius": radius})


def _beside(gradients: Sequence[tuple[Array, Array]], which: int) -> Array:
    return np.concatenate([each[which] for each in gradients], axis=-1)
