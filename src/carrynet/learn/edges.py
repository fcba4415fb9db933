"""Updates over the edges of the machine: weights and boxes together; see `nets.invariant`.

In NumPy, or by an engine that does the same faster.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.data import drawn, rng
from carrynet.data.regions import Edges, Regions, regions
from carrynet.data.words import Words
from carrynet.engines import OverEdges
from carrynet.nets import invariant
from carrynet.nets.arrays import Array, in_one_thread
from carrynet.nets.invariant import Strength
from carrynet.nets.network import Network
from carrynet.nets.optim import UPDATES, Moments, initial_moments
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import Recipe


class Boxes(NamedTuple):
    """The boxes of a stage over edges, and the optimiser's buffers for them."""

    values: Weights  #: as `invariant.begin` has them
    moments: Moments


def begin(network: Network, recipe: Recipe, stage: int) -> Boxes:
    """The boxes before the first update of a stage of the schedule.

    Round the states that uniform words lead to; of a network that learned from words drawn by
    their outcome, those that the last of these lead to: uniform ones come to few of its states.
    """
    values = invariant.begin(network, _learned_from(recipe, stage))
    return Boxes(values, initial_moments(recipe.schedule[stage].optimiser, values))


def _learned_from(recipe: Recipe, stage: int) -> Words | None:
    """Some of the last balanced words, (N, T), that were shown before a stage; None without."""
    before = [i for i, how in enumerate(recipe.schedule[:stage]) if how.words == "balanced"]
    if not before:
        return None
    how = recipe.schedule[before[-1]]
    updates = min(how.steps, -(-_POSITIONS // (how.batch * recipe.digits)))
    words = drawn.draw(recipe, before[-1], how.steps - updates, updates)
    words = words.reshape(-1, words.shape[-1])[: -(-_POSITIONS // words.shape[-1])]
    return words % len(recipe.specification.machine.symbols)  # whether or not it asks for all


_POSITIONS = 40_960
"""How many positions those words have together, about."""


@in_one_thread
def advance(
    network: Network,
    moments: Moments,
    boxes: Boxes,
    recipe: Recipe,
    stage: int,
    first: int,
    count: int,
    engine: OverEdges | None = None,
) -> tuple[Weights, Moments, Boxes, NDArray[np.intp], Array]:
    """Make updates `first .. first + count - 1` of a stage, each over all edges or a batch of them.

    By `engine` where it takes the network.  Returns the new weights, moments and boxes; of every
    update the outputs that its edges ask for, (count, E), and the logits that speak most against
    them, (count, E, Y).
    """
    how, every = recipe.schedule[stage], regions(network.task)
    if engine and engine.takes(network):
        some = _drawn(every, recipe, stage, first, count)
        weights, moments, values, buffers, seen = engine.advance(
            *(network, moments, boxes.values, boxes.moments, recipe, how, some, first, count)
        )
        asked = np.broadcast_to(some.output, seen.shape[:2])
        return weights, moments, Boxes(values, buffers), asked, seen
    update = UPDATES[how.optimiser]
    outputs, logits = [], []
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(first, first + count):
            some = _drawn(every, recipe, stage, i, 1).row(0)
            strength = Strength(
                how.worst * how.ramp_at(i), how.slack, how.closing_at(i), how.forgetting
            )
            found = invariant.gradient(network, boxes.values, some, strength, biases=recipe.biases)
            place = how.step_at(i), i + 1
            weights, moments = update(network.weights, found.weights, moments, *place)
            values, buffers = update(boxes.values, found.boxes, boxes.moments, *place)
            boxes = Boxes(invariant.least_radius(values, how.slack), buffers)
            network = network.moved(weights)
            outputs.append(some.output)
            logits.append(found.logits)
    return network.weights, moments, boxes, np.array(outputs), np.array(logits)


def _drawn(every: Regions, recipe: Recipe, stage: int, first: int, count: int) -> Edges:
    """The edges of updates, (count, E): all in one row where a batch holds them, else at random."""
    batch = recipe.schedule[stage].batch
    if every.edge_count <= batch:
        return every.edges(np.arange(every.edge_count)[None])
    bits = rng.raw(recipe.seed, rng.STAGES + stage, first * batch, count * batch)
    return every.some(rng.unit(bits).reshape(count, batch))
