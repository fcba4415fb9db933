"""Proof by balls and word trees: for networks that are right by contraction, not by saturation.

The regions of the proof are the exact start point and finitely many balls

    { h : |T (h - c)|_2 <= r }        T a metric, c the centre, r the radius

each in the metric of the site that its centre is nearest to (`metric`), and labelled with a state
of the machine.  From a region every word is followed, as an ellipsoid that holds all hidden states
after it, until the ellipsoid lies inside some ball that is labelled with the machine's state; on
the way all outputs must be right.  The words that were followed are the region's tree.  When every
tree ends, the answer to every word of every length is right, by induction over the leaves that a
word passes.

An ellipsoid that is long in one direction need not wait until that contracts: it may be cut in two
across it, and each part is followed on its own.

This module searches, in float32 and many words at once; the checker trusts none of it.

An ellipsoid is {c + x : x x^T <= Q}, Q an (H, H) matrix.  One step of Elman's cell: with
Z = Whh^T Q Whh the unit j receives z_j +- sqrt(Z_jj).  There its activation is within rho_j of a
chord of slope k_j, so that the image is (k Z k) plus a box rho, and that fits in the ellipsoid

    (1 + p) k Z k + (1 + 1/p) diag(rho_j^2 / alpha_j)       p > 0, sum of alpha_j = 1

with p and alpha chosen so that the trace in the first metric, the mean of all, is least.  Of any
other cell a map L of the whole state and the box come from its formula, see `affine`, and L Q L^T
stands in place of k Z k.

A cut across the axis a: with q = Q a / (a Q a)^1/2 the halves where a . x is positive and negative
fit in the ellipsoids around c + 3/8 q and c - 3/8 q of 25/16 (Q - 3/4 q^T q), see
`ellipsoids.halves`: along q they are 5/8 as long, otherwise 5/4 as wide.  An axis need
not be exact: its numbers are -9 to 9.

Shapes: K sites, H the whole state.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from carrynet.nets.arrays import Array, in_one_thread
from carrynet.nets.network import Network
from carrynet.proof import followed, grown
from carrynet.proof.certificate import TreeCertificate
from carrynet.proof.followed import Followed
from carrynet.proof.grown import Grown
from carrynet.proof.metric import States
from carrynet.proof.tree_model import TreeModel, tree_model
from carrynet.watch import Forecast

TIME_FOR_MORE = 3.0
"""Seconds of which a search must have more to make metrics anew: with two, fewer networks of 32
units were proved for it."""


RADII = tuple(4 * 0.5 ** (i / 2) for i in range(16))
"""Those that are tried side by side."""


class Attempt(Protocol):
    """Balls of one radius, and the trees between them: by machine code, or by NumPy."""

    model: TreeModel
    radius: float
    slack: float
    symbols: int
    most_nodes: int

    def grow(self, nodes: int, stop: Callable[[], bool]) -> None:
        """Grow until there are so many nodes, or all trees end, or it is seen that they will not.

        `stop` is asked every now and then.
        """

    @property
    def closed(self) -> bool:
        """Whether all trees end."""

    @property
    def goes_on(self) -> bool:
        """Whether all trees may yet end."""

    @property
    def made(self) -> tuple[int, int]:
        """How many nodes and balls there are."""

    @property
    def begun(self) -> tuple[int, int]:
        """How many balls' trees were begun, all but the last of them done, of how many so far."""

    @property
    def centres(self) -> Array:
        """The balls' centres (G, H)."""

    @property
    def labels(self) -> NDArray[Any]:
        """The balls' states (G,)."""

    @property
    def homes(self) -> NDArray[Any]:
        """The sites whose metrics are the balls' (G,)."""

    @property
    def roots(self) -> list[int]:
        """The node that begins each ball's tree (G,)."""

    @property
    def axes(self) -> dict[int, str]:
        """The axes (H,) across which words are cut, by their nodes, as `AXIS` has them."""

    @property
    def next(self) -> NDArray[Any]:
        """What follows each node and symbol, a node or ~ball; of a cut the first two, its parts."""


def refuses(network: Network) -> str | None:
    """Why there is no search for a network's trees; None if there is."""
    if max(float(np.abs(each).max(initial=0)) for each in network.weights.values()) > _LARGEST:
        return "they are searched in float32, and its weights are too large for that"
    return followed.refuses(network) if grown.refuses(network) else None


def build(network: Network) -> None:
    """Build what `search` needs, so that how much it finds is not a matter of what was cached."""
    grown.build(network)


@in_one_thread
def search(
    network: Network, *, slack: float, deadline: float, watch: Forecast | None = None
) -> TreeCertificate | None:
    """Search for balls whose trees all end; None if there was no success until the deadline.

    `slack` is an error that every unit of the state may have at every step, that of the network's
    own type included; of other cells than Elman's it is raised to what seems to cover that.
    `deadline` is an instant of `time.monotonic()`; `build` is best called before.  A ball that is
    too large gets outputs wrong, one that is too small needs too many others: all radii are tried
    at once.
    """
    anew = deadline - time.monotonic() > TIME_FOR_MORE
    model = tree_model(network, slack)
    found = None if model is None else _side_by_side(_attempts(model), deadline, watch, anew)
    return None if found is None else _harvest(found)


def _side_by_side(
    live: Sequence[Attempt], deadline: float, watch: Forecast | None, anew: bool = True
) -> Attempt | None:
    """Trees of one radius that all end, found with few nodes.

    Every radius is grown to some nodes, by machine code in as many threads as there are cores, by
    NumPy in one; then those that are neither closed nor hopeless in rounds, each of twice as many
    nodes as the one before.  All of them are for the radius that is expected to need the fewest
    when the round begins, one half of that for the next, and so on.  Where `_ENOUGH` are not, the
    balls are states where the network contracts late, and all is begun anew with metrics that know
    of them, where `anew` says so.  Of those that close in a round the first in this order is taken,
    so that what is found depends on the clock only where time runs out.
    """
    native = isinstance(live[0], Grown)
    least = _FIRST_NODES if native else _FEWER_NODES
    nodes, closed, over = least, len(live), False
    began = time.monotonic()

    def grow(place: int) -> None:
        nonlocal closed
        share = max(least, nodes >> place)
        live[place].grow(share, lambda: over or place > closed or time.monotonic() > deadline)
        if live[place].closed:
            closed = min(closed, place)

    # NumPy's would wait for one another
    with ThreadPoolExecutor(os.cpu_count() if native else 1) as pool:
        try:
            while live and time.monotonic() < deadline:
                closed = len(live)
                started = [pool.submit(grow, place) for place in range(len(live))]
                while wait(started, timeout=0.2).not_done:
                    if watch is not None:
                        watch(*_progress(live, time.monotonic() - began))
                for each in started:
                    each.result()
                # not by `closed`, which two threads may set at once
                if first := next((each for each in live if each.closed), None):
                    return first
                if anew and nodes >= _ENOUGH:
                    anew, better = False, _better(live)
                    if better is not None:
                        live, nodes = _attempts(better), least
                        continue
                live = [attempt for attempt in live if attempt.goes_on]
                live.sort(key=_expected)
                nodes *= 2
        finally:
            over = True  # also when the user interrupts
    return None


def _attempts(model: TreeModel) -> Sequence[Attempt]:
    """One for each radius."""
    if grown.refuses(model.network):
        begun = Followed(model, RADII[0])
        return [begun, *(Followed(model, radius, begun) for radius in RADII[1:])]
    first = Grown(model, RADII[0])
    return [first, *(Grown(model, radius, first) for radius in RADII[1:])]


def _expected(attempt: Attempt) -> float:
    """How many nodes there would be, were the trees to come like those that are done.

    Until the second tree is done, like the first: what has few nodes so far is tried, too.
    """
    begun, balls = attempt.begun
    return attempt.made[0] * balls / max(1, begun - 1)


def _better(attempts: Sequence[Attempt]) -> TreeModel | None:
    """The model with metrics that know of the balls of some attempts."""
    model = attempts[0].model
    h = np.concatenate([each.centres[: each.made[1]] for each in attempts], dtype=np.float64)
    state = np.concatenate([each.labels[: each.made[1]] for each in attempts], dtype=np.intp)
    return tree_model(model.network, model.slack, States(h, state))


def _progress(live: Sequence[Attempt], seconds: float) -> tuple[int, int, float]:
    """What is told after so many seconds: how far that attempt is that is expected to close."""
    some = [each for each in live if each.goes_on and each.begun[0] > _MANY_TREES]
    best = min(some, key=_expected, default=None)
    if best is None or _expected(best) > best.most_nodes:
        return (*max(each.begun for each in live), 0.0)
    return (*best.begun, seconds * _expected(best) / best.made[0])


# What was found ---------------------------------------------------------------------------


def _harvest(attempt: Attempt) -> TreeCertificate:
    """The regions that can be reached from the start, renumbered, their metrics and trees."""
    model, number, order = attempt.model, {0: 0}, [0]
    S, next_, roots = attempt.symbols, attempt.next.tolist(), attempt.roots
    axes, homes, labels = attempt.axes, attempt.homes, attempt.labels
    centres = attempt.centres.astype(np.float64)

    def entry(following: int) -> Any:
        """A tree, or the number of a region."""
        if following >= 0:
            return tree(following)
        ball = ~following
        if ball not in number:
            number[ball] = len(order)
            order.append(ball)
        return number[ball]

    def tree(node: int) -> Any:
        slots = next_[node * S : (node + 1) * S]
        if node in axes:
            return {"axis": axes[node], "parts": [entry(following) for following in slots[:2]]}
        return [entry(following) for following in slots]

    trees = [tree(roots[ball]) for ball in order]  # which grows while it is read
    sites, metric_of = np.unique(homes[order], return_inverse=True)
    return TreeCertificate(
        **model.network.about,
        metrics=model.T[sites].tolist(),
        metric_of=metric_of.tolist(),
        centres=[model.network.start.tolist(), *centres[order[1:]].tolist()],
        radii=[0.0] + [float(attempt.radius)] * (len(order) - 1),
        states=labels[order].tolist(),
        trees=trees,
        slack=attempt.slack,
    )


_FIRST_NODES, _FEWER_NODES = 2**11, 2**8  # of each in the first round; by NumPy
_ENOUGH = 2**13  # nodes: those who need no more are done before better metrics would be made
_MANY_TREES = 64  # that are done: of so many one may tell how the others will be
_LARGEST = 1e38  # of weights: float32 has little more
