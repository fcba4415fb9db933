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

An ellipsoid is {c + x : x x^T <= Q}, Q an (H, H) matrix.  One step: with Z = Whh^T Q Whh the
unit j receives z_j +- sqrt(Z_jj).  There its activation is within rho_j of a chord of slope
k_j, so that the image is (k Z k) plus a box rho, and that fits in the ellipsoid

    (1 + p) k Z k + (1 + 1/p) diag(rho_j^2 / alpha_j)       p > 0, sum of alpha_j = 1

with p and alpha chosen so that the trace in the first metric, the mean of all, is least.

A cut across the axis a: with q = Q a / (a Q a)^1/2 the halves where a . x is positive and negative
fit in the ellipsoids around c + 3/8 q and c - 3/8 q of 25/16 (Q - 3/4 q^T q), see
`ellipsoids.halves`: along q they are 5/8 as long, otherwise 5/4 as wide.  An axis need
not be exact: its numbers are -9 to 9.  By machine code only.

Shapes: N words, S symbols, Q machine states, K sites, G balls, H hidden, Y output, R
conditions of one.
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.nets.arrays import Array, in_one_thread, quiet, sigmoid
from carrynet.nets.network import Network
from carrynet.proof import grown
from carrynet.proof.certificate import TreeCertificate
from carrynet.proof.grown import Grown
from carrynet.proof.metric import States, nearest
from carrynet.proof.tree_model import TreeModel, tree_model
from carrynet.watch import Forecast

TIME_FOR_MORE = 3.0
"""Seconds of which a search must have more to make metrics anew: with two, fewer networks of 32
units were proved for it."""


@in_one_thread
def search(
    network: Network, *, slack: float, deadline: float, watch: Forecast | None = None
) -> TreeCertificate | None:
    """Search for balls whose trees all end; None if there was no success until the deadline.

    `slack` is an error that every hidden unit may have at every step.  `deadline` is an
    instant of `time.monotonic()`.  A ball that is too large gets outputs wrong, one that is too
    small needs too many others.  By machine code, where there is some, all radii are tried at once;
    else by NumPy, one after another, from large to small.
    """
    model = tree_model(network, slack)
    if model is None:
        return None
    by = _one_by_one if grown.refuses(network) else _side_by_side
    found = by(model, deadline, watch)
    return None if found is None else _harvest(found)


def _one_by_one(model: TreeModel, deadline: float, watch: Forecast | None) -> "_Attempt | None":
    """The largest radius of which all trees end, each within a part of the time that is left."""
    for radius in _RADII:
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        attempt = _Attempt(model, radius)
        if attempt.closes(time.monotonic() + _SHARE * left, watch):
            return attempt
    return None


def _side_by_side(model: TreeModel, deadline: float, watch: Forecast | None) -> Grown | None:
    """Trees of one radius that all end, found with few nodes.

    Every radius is grown to some nodes, in as many threads as there are cores; then those that are
    neither closed nor hopeless in rounds, each of twice as many nodes as the one before.  All of
    them are for the radius that is expected to need the fewest when the round begins, one half of
    that for the next, and so on.  Where `_ENOUGH` are not, the balls are states where the network
    contracts late, and all is begun anew with metrics that know of them, if the search had more
    than `TIME_FOR_MORE`.  Of those that close in a round the first in this order is taken,
    so that what is found depends on the clock only where time runs out.
    """
    live = _attempts(model)
    nodes, closed, over = _FIRST_NODES, len(live), False
    began = time.monotonic()
    first = deadline - began > TIME_FOR_MORE

    def grow(place: int) -> None:
        nonlocal closed
        share = max(_FIRST_NODES, nodes >> place)
        live[place].grow(share, lambda: over or place > closed or time.monotonic() > deadline)
        if live[place].closed:
            closed = min(closed, place)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            while live and time.monotonic() < deadline:
                closed = len(live)
                started = [pool.submit(grow, place) for place in range(len(live))]
                while wait(started, timeout=0.2).not_done:
                    if watch is not None:
                        watch(*_progress(live, time.monotonic() - began))
                for each in started:
                    each.result()
                if closed < len(live):
                    return live[closed]
                if first and nodes >= _ENOUGH:
                    first, better = False, _better(live)
                    if better is not None:
                        live, nodes = _attempts(better), _FIRST_NODES
                        continue
                live = [attempt for attempt in live if attempt.goes_on]
                live.sort(key=lambda attempt: attempt.expected)
                nodes *= 2
        finally:
            over = True  # also when the user interrupts
    return None


def _attempts(model: TreeModel) -> list[Grown]:
    """One for each radius."""
    first = Grown(model, _GRID[0])
    return [first, *(Grown(model, radius, first) for radius in _GRID[1:])]


def _better(attempts: Sequence[Grown]) -> TreeModel | None:
    """The model with metrics that know of the balls of some attempts."""
    model = attempts[0].model
    h = np.concatenate([each.centres[: each.made[1]] for each in attempts], dtype=np.float64)
    state = np.concatenate([each.labels[: each.made[1]] for each in attempts], dtype=np.intp)
    return tree_model(model.network, model.slack, States(h, state))


def _progress(live: Sequence[Grown], seconds: float) -> tuple[int, int, float]:
    """What is told after so many seconds: how far that attempt is that is expected to close."""
    some = [each for each in live if each.goes_on and each.begun[0] > _MANY_TREES]
    best = min(some, key=lambda each: each.expected, default=None)
    if best is None or best.expected > best.most_nodes:
        return (*max(each.begun for each in live), 0.0)
    return (*best.begun, seconds * best.expected / best.made[0])


# One step for many ellipsoids, in NumPy ---------------------------------------------------


@quiet
def _sigmoid_chord(z: Array, w: Array) -> tuple[Array, Array, Array]:
    low, high = sigmoid(z - w), sigmoid(z + w)
    k = np.minimum((high - low) / (2 * w), 0.25)
    end = low + k * w  # of f(x) - k (x - z), at both ends of the interval
    y = np.maximum(2 * k / (1 + np.sqrt(1 - 4 * k)), 1e-300)  # where f' = k: at y and 1 - y
    x = np.log(y / np.maximum(1 - y, 1e-300))
    lower = np.where(np.abs(x - z) < w, y - k * (x - z), end)
    upper = np.where(np.abs(-x - z) < w, 1 - y - k * (-x - z), end)
    return _spread(k, np.stack([end, lower, upper]))


def _tanh_chord(z: Array, w: Array) -> tuple[Array, Array, Array]:
    k, middle, rho = _sigmoid_chord(2 * z, 2 * w)  # tanh z = 2 sigmoid(2 z) - 1
    return 4 * k, 2 * middle - 1, 2 * rho


def _relu_chord(z: Array, w: Array) -> tuple[Array, Array, Array]:
    low, high = np.maximum(z - w, 0), np.maximum(z + w, 0)
    k = (high - low) / (2 * w)
    end = low + k * w
    return _spread(k, np.stack([end, np.where(np.abs(z) < w, k * z, end)]))


def _spread(k: Array, values: Array) -> tuple[Array, Array, Array]:
    low, high = values.min(axis=0), values.max(axis=0)
    return k, (low + high) / 2, (high - low) / 2


_CHORDS = {"sigmoid": _sigmoid_chord, "tanh": _tanh_chord, "relu": _relu_chord}
"""On [z - w, z + w] the activation is within rho of middle + k (x - z): (k, middle, rho)."""


def _norms(squares: Array) -> Array:
    """Close upper bounds of the norms of matrices M, from M M^T: shape (N, H, H) to (N,).

    (trace of (M M^T)^4)^(1/8): at most H^(1/8) times the norm, and the nearer the fewer
    directions are large.
    """
    fourth = squares @ squares
    return np.einsum("nij,nij->n", fourth, fourth) ** (1 / 8)


class _Frontier(NamedTuple):
    """Words that are followed side by side, each from a ball."""

    centre: Array  # (N, H)
    shape: Array  # (N, H, H)
    state: NDArray[np.intp]  # (N,) of the machine
    slot: NDArray[np.intp]  # (N,) the place in the trees that waits for what becomes of it
    depth: NDArray[np.intp]  # (N,) symbols read since the ball

    def at(self, index: Any) -> "_Frontier":
        return _Frontier(*(a[index] for a in self))


def _joined(parts: list[_Frontier]) -> _Frontier:
    if len(parts) == 1:
        return parts[0]
    return _Frontier(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@dataclass
class _Attempt:
    """Balls of one radius, found as they are needed, until all their trees end."""

    model: TreeModel
    radius: float

    def __post_init__(self) -> None:
        (K, H), self.symbols = self.model.sites.shape, self.model.delta.shape[1]
        self.T, self.P = self.model.T.astype(np.float32), self.model.P.astype(np.float32)
        self.columns = np.sqrt(np.diag(self.P[0]))
        self.balls = (self.model.ball * self.radius**2).astype(np.float32)
        self.at_once = max(1, _CHILD_FLOATS // (self.symbols * H * H))
        # balls: centres, states and sites
        self.centres, self.labels, self.homes = [np.zeros(H, np.float32)], [0], [0]
        # centres in the metric, T c, and ball numbers, by site
        self.near = [np.zeros((0, H), np.float32) for _ in range(K)]
        self.numbers: list[list[int]] = [[] for _ in range(K)]
        # trees: what follows node n and symbol a stands in slot n * S + a: a node, or ~ball
        self.next = np.zeros(0, np.int64)
        self.owner: list[int] = []  # of each node: the slot it fills; ~ball for a root
        self.roots: list[int] = [0]

    def closes(self, deadline: float, watch: Forecast | None) -> bool:
        """Follow words until all trees end (True), an output is in doubt, or time is up."""
        H = len(self.columns)
        start, nothing = np.zeros((1, H), np.float32), np.zeros((1, H, H), np.float32)
        stack = [_Frontier(start, nothing, np.array([0]), np.array([~0]), np.array([0]))]
        waiting: list[_Frontier] = []  # balls whose trees are yet to be grown
        grown = 0
        while stack or waiting:
            if time.monotonic() > deadline:
                return False
            if not stack:
                if watch is not None:
                    watch(grown, len(self.centres), 0.0)
                grown = len(self.centres)
                stack, waiting = [_joined(waiting)], []
            # the latest words first, and of those that wait longer as many as fill a batch
            parts = [stack.pop()]
            while stack and sum(len(part.state) for part in parts) < self.at_once:
                parts.append(stack.pop())
            words = _joined(parts)
            if len(words.state) > self.at_once:
                stack.append(words.at(np.s_[self.at_once :]))
                words = words.at(np.s_[: self.at_once])
            if words.depth.max() >= _MOST_DEPTH:
                return False
            children, _, margin = self._step(words)
            if not margin.min() > _LEAST_MARGIN:
                return False
            rest, opened = self._end(children)
            if len(rest.state):
                stack.append(rest)
            waiting += opened
        return True

    def _step(self, words: _Frontier) -> tuple[_Frontier, Array, Array]:
        """Every word one symbol longer; traces in the first metric, and margins (N * S,)."""
        model, H, S = self.model, len(self.columns), self.symbols
        count, diagonal = len(words.state), np.arange(H)
        nodes = np.arange(len(self.owner), len(self.owner) + count)
        self._grow(words.slot)
        half = (words.shape.reshape(-1, H) @ model.Whh).reshape(-1, H, H)
        Z = model.Whh.T @ half
        w = np.sqrt(np.maximum(Z[:, diagonal, diagonal], 1e-12)) * np.float32(1 + 1e-6)
        z = (words.centre @ model.Whh)[:, None] + model.drives
        chord = _CHORDS[model.network.activation]
        k, middle, rho = (
            a.astype(np.float32)
            for a in chord(
                *np.broadcast_arrays(z.astype(np.float64), w.astype(np.float64)[:, None])
            )
        )
        rho += np.float32(model.slack)

        rows, offsets = model.rows[words.state], model.offsets[words.state]  # (N, S, R, H), ...
        through = k[:, :, None] * rows
        spread = np.einsum("nsri,nsri->nsr", through @ Z[:, None], through)
        margin = (
            (rows @ middle[..., None] - np.abs(rows) @ rho[..., None])[..., 0]
            + offsets
            - np.sqrt(np.maximum(spread, 0))
        ).min(axis=2)
        margin[~model.asked[words.state]] = np.inf

        image = np.maximum((k @ (Z * self.P[0]) * k).sum(axis=2), 1e-20)  # trace of k Z k
        box = rho @ self.columns
        p = box / np.sqrt(image)
        scaled = k * np.sqrt(1 + p)[:, :, None]
        shape = scaled[:, :, :, None] * scaled[:, :, None, :]
        shape *= Z[:, None]
        shape[:, :, diagonal, diagonal] += ((1 + 1 / p) * box)[:, :, None] * rho / self.columns
        trace = (np.sqrt(image) + box) ** 2
        slots = (nodes[:, None] * S + np.arange(S)).ravel()
        state = model.delta[words.state].ravel().astype(np.intp)
        children = _Frontier(
            middle.reshape(-1, H),
            shape.reshape(-1, H, H),
            state,
            slots,
            np.repeat(words.depth + 1, S),
        )
        return children, trace.ravel(), margin.ravel()

    def _end(self, words: _Frontier) -> tuple[_Frontier, list[_Frontier]]:
        """Let words end in balls that hold them, and make balls of small ones.

        Returns the words that go on, and the new balls as words without symbols.
        """
        radius, open_ = np.float32(self.radius), np.ones(len(words.state), bool)
        opened: list[_Frontier] = []
        sites = States(self.model.sites, self.model.states)
        site = nearest(sites, States(words.centre, words.state))
        trace = np.einsum("nij,nij->n", self.P[site], words.shape)
        small = np.flatnonzero(trace < len(self.columns) * radius**2)
        some, site = words.at(small), site[small]
        T = self.T[site]
        squares = T @ some.shape @ T.swapaxes(1, 2)
        size = np.minimum(_norms(squares), np.sqrt(trace[small])) * np.float32(1 + 1e-5)
        place = (T @ some.centre[:, :, None])[:, :, 0]
        limit = np.minimum(0.92, _OPEN_AT + 0.02 * some.depth) * radius
        for home in np.unique(site).tolist():
            here = np.flatnonzero((site == home) & (size < radius))
            if len(here) and len(self.near[home]):
                near, held = self._held(place[here], size[here], squares[here], self.near[home])
                self._link(some.slot[here[held]], np.array(self.numbers[home])[near[held]])
                open_[small[here[held]]] = False
                here = here[~held]
            here = here[size[here] < limit[here]]
            here = here[np.argsort(-size[here], kind="stable")]  # room for the larger ones first
            while len(here):
                first = here[:1]
                ball = self._make(some.at(first), home, place[first])
                opened.append(ball)
                _, held = self._held(place[here], size[here], squares[here], place[first])
                held[0] = True  # the word that the ball was made for
                self._link(some.slot[here[held]], ~ball.slot.repeat(held.sum()))
                open_[small[here[held]]] = False
                here = here[~held]
        return words.at(open_), opened

    def _make(self, word: _Frontier, home: int, place: Array) -> _Frontier:
        """A new ball around the states after a word, as a word without symbols."""
        number, state = len(self.centres), int(word.state[0])
        self.centres.append(word.centre[0])
        self.labels.append(state)
        self.homes.append(home)
        self.roots.append(-1)
        self.numbers[home].append(number)
        self.near[home] = np.concatenate([self.near[home], place])
        return _Frontier(
            word.centre, self.balls[home][None], word.state, np.array([~number]), np.array([0])
        )

    def _held(
        self, place: Array, size: Array, squares: Array, centres: Array
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """The nearest of some balls, and whether it holds each ellipsoid; in the metric.

        With D from the ball's centre to the ellipsoid's, N its matrix and n > |N|^1/2: when |D| + n
        <= r; or, by the S-lemma, when t I > N and D^T (I - N / t)^-1 D + t <= r^2.  Any t would do:
        r (r - |D|) is the one that the checker takes, its r^2 / (1 + p).
        """
        radius = np.float32(self.radius)
        far = (place**2).sum(axis=1)[:, None] - 2 * place @ centres.T + (centres**2).sum(axis=1)
        ball = far.argmin(axis=1)
        D = place - centres[ball]
        distance = np.sqrt((D**2).sum(axis=1))
        held = distance + size < radius * np.float32(1 - 2e-4)
        t = radius * (radius - np.maximum(distance, np.float32(1e-6) * radius))
        maybe = np.flatnonzero(~held & (size**2 < t * np.float32(0.998)))
        if len(maybe):
            t = t[maybe]
            A = np.eye(len(self.columns), dtype=np.float32) - squares[maybe] / t[:, None, None]
            solved = np.linalg.solve(A, D[maybe][:, :, None])[:, :, 0]
            value = (solved * D[maybe]).sum(axis=1) + t
            held[maybe] = value < radius**2 * np.float32(1 - 8e-4)
        return ball, held

    # The trees ---------------------------------------------------------------------------

    @property
    def axes(self) -> dict[int, str]:
        """No word is cut in two."""
        return {}

    def _grow(self, slots: NDArray[np.intp]) -> None:
        """Make a node for the word of each slot."""
        for slot in slots.tolist():
            if slot < 0:
                self.roots[~slot] = len(self.owner)
            else:
                self.next[slot] = len(self.owner)
            self.owner.append(slot)
        if len(self.next) < len(self.owner) * self.symbols:
            more = np.zeros(max(1024, len(self.owner)) * self.symbols, np.int64)
            self.next = np.concatenate([self.next, more])

    def _link(self, slots: NDArray[np.intp], balls: NDArray[np.intp]) -> None:
        self.next[slots] = ~balls


# What was found ---------------------------------------------------------------------------


def _harvest(attempt: "_Attempt | Grown") -> TreeCertificate:
    """The regions that can be reached from the start, renumbered, their metrics and trees."""
    model, number, order = attempt.model, {0: 0}, [0]
    S, next_, roots = attempt.symbols, attempt.next.tolist(), attempt.roots
    axes = attempt.axes

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
    sites, metric_of = np.unique(np.array(attempt.homes)[order], return_inverse=True)
    return TreeCertificate(
        **model.network.about,
        metrics=model.T[sites].tolist(),
        metric_of=metric_of.tolist(),
        centres=[[float(x) for x in attempt.centres[ball]] for ball in order],
        radii=[0.0] + [float(attempt.radius)] * (len(order) - 1),
        states=[int(attempt.labels[ball]) for ball in order],
        trees=trees,
        slack=model.slack,
    )


_RADII = (4.0, 2.0, 1.2, 0.8, 0.6, 0.5, 0.42, 0.35, 0.29, 0.24, 0.2, 0.17, 0.14, 0.11)
_SHARE = 0.6  # of the time that is left, for one radius, where they are tried one by one
_GRID = tuple(4 * 0.5 ** (i / 2) for i in range(16))  # the radii that are tried side by side
_FIRST_NODES = 2**11  # of each of them, in the first round
_ENOUGH = 2**13  # nodes: those who need no more are done before better metrics would be made
_MANY_TREES = 64  # that are done: of so many one may tell how the others will be
_OPEN_AT = 0.4  # of the radius: the size up to which a word that no ball holds gets its own
_MOST_DEPTH = 120
_LEAST_MARGIN = 1e-3
_CHILD_FLOATS = 2**18  # numbers in the shapes of the words made at once
