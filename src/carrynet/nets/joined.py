"""Certified training on the prover's own boxes: the least that there are, joined round by round.

Region 0 is the start, and region (q, a) holds every state that the network can be in when symbol a
has led the machine to its state q.  The boxes of regions are found as the search for a proof finds
them (`proof.boxes`), from the start alone:

    round 0      the start; all other boxes are empty
    round t + 1  box j = hull of the images of the boxes i of round t, over the edges i -> j

where an *image* is an enclosure of one step from all over a box, grown by the slack.  Boxes only
grow; where they no longer do, they are an inductive invariant.

    loss = sum over rounds of the worst answers over edges            (`step.answer`)
         + closing * mean over regions of how much the boxes grow in the later half of the rounds
         + forgetting * sum over rounds of the gates that keep the state   (`step.forget`)

Its gradient goes back through all rounds: through a hull to the edge that reaches furthest, unit by
unit, or in equal parts to those that reach as far.  Where `invariant` takes boxes for parameters
and makes one step of them, here they follow from the weights, and cost as many steps as rounds.

Bounds along words (`certified`) hold Elman's states together, and not those of gates, whose
enclosures widen from step to step along one word, but hardly from hull to hull.

Shapes: E edges, R regions, H hidden, D whole state.
These are floats that are not rounded outward: something to train with, no proof.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.data.regions import Edges, regions
from carrynet.data.words import tables
from carrynet.nets.arrays import Array, quiet
from carrynet.nets.bptt import gradients_of
from carrynet.nets.network import Network
from carrynet.nets.readings.enclosure import Box
from carrynet.nets.step import Step, answer, forget
from carrynet.nets.weights import Weights
from carrynet.spec.stage import ROUNDS
from carrynet.spec.task import Task


class Found(NamedTuple):
    """What came of all edges."""

    loss: float
    weights: Weights  #: gradients of the network's
    lower: Array  #: (R, D) the boxes after the last round
    upper: Array  #: (R, D)


@quiet
def gradient(
    network: Network,
    slack: float,
    *,
    closing: float = 0.0,
    forgetting: float = 0.0,
    biases: bool = True,
    rounds: int = ROUNDS,
) -> Found:
    """The loss over the joined boxes, and its gradient by the weights."""
    known, kind = regions(network.task), network.dtype.type
    lower = np.zeros((known.count, len(network.start)), network.dtype)
    lower[0] = network.start
    upper = lower.copy()
    made: list[_Round] = []
    early = lower, upper  # the boxes from which on they should no longer grow
    for t in range(rounds):
        if t == rounds // 2:
            early = lower, upper
        made.append(_Round(network, _reached(network.task, t), lower, upper, slack))
        lower, upper = made[-1].lower, made[-1].upper

    # how much the boxes grow that are known by the middle
    there = np.zeros((known.count, 1), network.dtype)
    there[_reached(network.task, rounds // 2).known] = 1
    weight = kind(closing) * there / there.sum()
    loss = float((weight * ((early[0] - lower) + (upper - early[1]))).sum())
    of_lower, of_upper = -weight + np.zeros_like(lower), weight + np.zeros_like(upper)
    found: dict[str, Array] = {}
    for t in reversed(range(rounds)):
        lost, of_lower, of_upper = made[t].backward(
            of_lower, of_upper, kind(1), kind(forgetting), found
        )
        loss += lost
        if t == rounds // 2:
            of_lower, of_upper = of_lower + weight, of_upper - weight
    starts = network.parts((of_lower + of_upper)[:1])
    return Found(loss, gradients_of(network, found, starts, biases), lower, upper)


class _Reached(NamedTuple):
    """What there is after some rounds."""

    known: NDArray[np.intp]  # regions that are not empty
    edges: Edges  # from these, by where they lead
    target: NDArray[np.intp]  # the regions that they lead to
    first: NDArray[np.intp]  # for each of these the first of its edges


@cache
def _reached(task: Task, rounds: int) -> _Reached:
    every, S = regions(task), len(task.machine.symbols)
    if not rounds:
        known = np.zeros(1, np.intp)
    else:
        before = _reached(task, rounds - 1)
        if len(before.known) == len(before.target) + 1:  # all are known: it goes on like this
            return before
        known = np.union1d(0, before.target)
    numbers = (known[:, None] * S + np.arange(S)).ravel()
    edges = every.edges(numbers[np.argsort(every.edges(numbers).target, kind="stable")])
    target, first = np.unique(edges.target, return_index=True)
    return _Reached(known, edges, target, first)


class _Round:
    """One round: the boxes (R, D) that it comes to, and the way back."""

    def __init__(
        self, network: Network, reached: _Reached, lower: Array, upper: Array, slack: float
    ) -> None:
        self.network, self.reached, edges = network, reached, reached.edges
        x = tables(network.task).vectors.astype(network.dtype)[edges.symbol]
        self.step = Step(network.cell, network.weights, x)
        from_ = zip(
            network.parts(lower[edges.source]), network.parts(upper[edges.source]), strict=True
        )
        self.step.forward([Box(l=low, u=high) for low, high in from_])
        grown = network.dtype.type(slack)
        self.images = [Box(each.c, each.r + grown) for each in self.step.results]
        self._low = np.concatenate([each.l for each in self.images], axis=-1)  # (E, D)
        self._high = np.concatenate([each.u for each in self.images], axis=-1)
        self.lower, self.upper = np.zeros_like(lower), np.zeros_like(upper)
        self.lower[0] = self.upper[0] = network.start
        self.lower[reached.target] = np.minimum.reduceat(self._low, reached.first)
        self.upper[reached.target] = np.maximum.reduceat(self._high, reached.first)

    def backward(
        self, of_lower: Array, of_upper: Array, share: Any, forgetting: Any, found: dict[str, Array]
    ) -> tuple[float, Array, Array]:
        """The loss of the round, and the gradients of the boxes before, from those of its own.

        Those of weights are added to `found`.
        """
        network, edges = self.network, self.reached.edges
        of_low = self._furthest(self._low == self.lower[edges.target], of_lower)
        of_high = self._furthest(self._high == self.upper[edges.target], of_upper)
        both = network.parts(of_low + of_high), network.parts(of_high - of_low)
        pulled = list(zip(*both, strict=True))
        answered = answer(network, self.images[0], edges, share, found)
        pulled[0] = pulled[0][0] + answered.of_h[0], pulled[0][1] + answered.of_h[1]
        weight = edges.weight.astype(network.dtype)[:, None]
        lost, held = forget(self.step, forgetting * weight)

        inward = self.step.backward(pulled, found, held)
        of_c, of_r = (np.concatenate([each[k] for each in inward], axis=-1) for k in (0, 1))
        before = np.zeros_like(of_lower), np.zeros_like(of_upper)
        for box, later, gradient in zip(
            before, (of_lower, of_upper), (of_c - of_r, of_c + of_r), strict=True
        ):
            box[0] = later[0]  # the start is the same in all rounds
            np.add.at(box, edges.source, gradient / 2)
        return answered.loss + lost, *before

    def _furthest(self, furthest: NDArray[np.bool_], of_box: Array) -> Array:
        """The gradients of images (E, D), from those of the boxes (R, D) that they make."""
        equal = np.add.reduceat(furthest, self.reached.first, dtype=of_box.dtype)
        shared = np.zeros_like(of_box)
        shared[self.reached.target] = of_box[self.reached.target] / equal
        return furthest * shared[self.reached.edges.target]
