"""Trees of words followed by NumPy, many at once: one attempt of `trees`, of balls of one radius.

Of any cell, by the affine reading of its formula (`affine`).  Where there is machine code that does
the same, word by word and far faster (`grown`), that is taken.

Shapes: N words, S symbols, Q machine states, K sites, G balls, D the whole state.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.proof import tree_model
from carrynet.proof.affine import Images
from carrynet.proof.certificate import AXIS
from carrynet.proof.metric import States, nearest
from carrynet.proof.tree_model import TreeModel

MOST_STATE = 128
"""Of other cells than Elman's: with more, metrics alone take seconds."""

MOST_NUMBERS = 2**24
"""In the largest maps of what follows a single word, symbols times units times the state's, and in
the metrics of all states of the machine."""


def refuses(network: Network) -> str | None:
    """Why a network's trees are not followed by NumPy; None if they are."""
    D, states = len(network.start), len(network.task.machine.states)
    if D > MOST_STATE and not network.elman:
        return f"they are for networks with up to {MOST_STATE} units in all parts of the state"
    if states * D**2 > MOST_NUMBERS:
        return "they are for networks with fewer units, or machines with fewer states"
    widest = max(size for array in network.weights.values() for size in array.shape)
    if network.symbols * D * (D if network.elman else max(D, widest)) > MOST_NUMBERS:
        return "they are for networks with fewer units, or fewer symbols"
    return None


class Words(NamedTuple):
    """Words that are followed side by side, each from a ball: ellipsoids of all states there."""

    centre: Array  # (N, D)
    shape: Array  # (N, D, D)
    state: NDArray[np.intp]  # (N,) of the machine
    slot: NDArray[np.intp]  # (N,) the place in the trees that waits for what becomes of it
    depth: NDArray[np.intp]  # (N,) symbols read since the ball
    since: NDArray[np.intp]  # (N,) symbols read since it was cut, or began

    def at(self, index: Any) -> "Words":
        """Those of some places."""
        return Words(*(a[index] for a in self))


class _Measured(NamedTuple):
    """Words in the metrics of their sites."""

    T: Array  # (N, D, D)
    centre: Array  # (N, D)
    place: Array  # (N, D) T c
    size: Array  # (N,) what |T y| is at most, or a little more
    squares: Array  # (N, D, D) T Q T^T

    def at(self, index: NDArray[np.intp]) -> "_Measured":
        """Those of some places."""
        return _Measured(*(a[index] for a in self))


def _joined(parts: list[Words]) -> Words:
    if len(parts) == 1:
        return parts[0]
    return Words(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class Followed:
    """Balls of one radius, found as they are needed, and the trees of words between them."""

    def __init__(self, model: TreeModel, radius: float, other: "Followed | None" = None) -> None:
        """What an attempt holds of the model alone is that of another one, if there is one."""
        self.model, self.radius, self.slack = model, radius, model.slack_of(radius)
        (K, D), self.symbols = model.sites.shape, model.delta.shape[1]
        self.closed, self.goes_on = False, True  # whether all trees end, and whether they may
        self.most_nodes = tree_model.most_nodes(self.symbols)
        self._T: Array = other._T if other else model.T.astype(np.float32)
        self._P: Array = other._P if other else model.P.astype(np.float32)
        self._columns = np.sqrt(np.diag(self._P[0]))
        self._ball: Array = other._ball if other else model.ball.astype(np.float32)
        self._sites = States(model.sites.astype(np.float32), model.states)
        self._at_once = max(1, _FLOATS // (self.symbols * D * D))
        self._stack: list[Words] = []
        self._done = self._begun = 0  # balls whose trees are done, and those that were begun
        # centres in the metric, T c, and ball numbers, by site
        self._near = [np.zeros((0, D), np.float32) for _ in range(K)]
        self._numbers: list[list[int]] = [[] for _ in range(K)]
        self._centres, self._labels = [model.single.start], [0]
        self._homes, self.roots = [0], [-1]
        # trees: what follows node n and symbol a stands in slot n * S + a: a node, or ~ball
        self._next = np.zeros(0, np.int64)
        self._nodes = 0
        self._axes: dict[int, Array] = {}

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def grow(self, nodes: int, stop: Callable[[], bool]) -> None:
        """Grow until there are so many nodes, or all trees end, or it is seen that they will not.

        `stop` is asked after every batch.
        """
        while self.goes_on and self._nodes < nodes and not stop():
            if not self._stack:
                if self._begun == len(self._labels):
                    self.closed, self.goes_on, self._done = True, False, self._begun
                    return
                self._begin()
            words = self._taken()
            waiting = sum(len(part.state) for part in self._stack) * len(self._columns) ** 2
            many = self._nodes + len(words.state) > self.most_nodes or waiting > _MOST_WAITING
            if many or words.depth.max() >= tree_model.MOST_DEPTH:
                self.goes_on = False
                return
            number = np.arange(self._nodes, self._nodes + len(words.state))
            self._make_nodes(words.slot)
            cut = self._cut(words, number)
            if cut.all():
                continue
            stepped = self.step(words.at(~cut), number[~cut])
            if stepped is None:
                self.goes_on = False
                return
            self._settle(*stepped)

    def _begin(self) -> None:
        """The trees of as many balls again as were begun, at most as fill a batch."""
        first = self._done = self._begun
        self._begun = min(len(self._labels), 2 * first + 1, first + self._at_once)
        balls = np.arange(first, self._begun)
        shape = self._ball[np.array(self._homes[first : self._begun])] * np.float32(self.radius**2)
        shape[balls == 0] = 0  # the start is a point
        nothing = np.zeros(len(balls), np.intp)
        centre = np.array(self._centres[first : self._begun])
        state = np.array(self._labels[first : self._begun])
        words = Words(centre, shape, state, ~balls, nothing, nothing)
        self._stack.append(words)

    def _taken(self) -> Words:
        """The latest words, and of those that wait longer as many as fill a batch."""
        parts = [self._stack.pop()]
        while self._stack and sum(len(part.state) for part in parts) < self._at_once:
            parts.append(self._stack.pop())
        words = _joined(parts)
        if len(words.state) > self._at_once:
            self._stack.append(words.at(np.s_[self._at_once :]))
            words = words.at(np.s_[: self._at_once])
        return words

    def step(self, words: Words, number: NDArray[np.intp]) -> tuple[Words, Array] | None:
        """Words one symbol longer (N S,), and traces in the first metric; None where one is wrong.

        `number` (N,) are the words' nodes.
        """
        model, S = self.model, self.symbols
        images = Images(model.single, words.centre, words.shape)
        slack = self.slack + tree_model.LOST
        rows, offsets = model.rows[words.state], model.offsets[words.state]
        margin = images.margins(slack, rows, offsets)[model.asked[words.state]]
        if not (margin > tree_model.LEAST_MARGIN).all():
            return None
        shape, e = images.shapes(), images.e + np.float32(slack)
        image = _roots((shape * self._P[0]).sum(axis=(2, 3)))  # of its trace
        box, diagonal = e @ self._columns, np.arange(e.shape[-1])
        p = box / image
        shape *= (1 + p)[:, :, None, None]
        shape[:, :, diagonal, diagonal] += ((1 + 1 / p) * box)[:, :, None] * e / self._columns
        D = len(self._columns)
        children = Words(
            images.m.reshape(-1, D),
            shape.reshape(-1, D, D),
            model.delta[words.state].ravel().astype(np.intp),
            (number[:, None] * S + np.arange(S)).ravel(),
            np.repeat(words.depth + 1, S),
            np.repeat(words.since + 1, S),
        )
        return children, ((image + box) ** 2).ravel()

    def _settle(self, words: Words, trace: Array) -> None:
        """Let words end in balls that hold them; put the others on the stack, the largest on top.

        `trace` is that in the first metric.
        """
        left = self._end(words)
        if len(left):
            self._stack.append(words.at(left[np.argsort(-trace[left], kind="stable")]))

    def _cut(self, words: Words, number: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Cut words in two across their longest axes, if those have much of the trace: which."""
        cut = np.zeros(len(words.state), np.bool_)
        ripe = np.flatnonzero(words.since >= _CUT_EVERY)
        if not len(ripe) or self.symbols < 2:  # there are no slots for two parts
            return cut
        some = words.at(ripe)
        P = self._P[nearest(self._sites, States(some.centre, some.state))]
        # x = x P Q, again and again, is the longest half axis, and x P the functional `axis`
        x = axis = np.ones_like(some.centre)
        for _ in range(_POWERS):
            axis = _times(P, x)
            axis = axis / _roots((axis * x).sum(axis=1))[:, None]
            x = _times(some.shape, axis)
        most = np.abs(axis).max(axis=1, keepdims=True)
        axis = np.round(axis * (_MOST_AXIS / most))
        q = _times(some.shape, axis)
        q = q / _roots((q * axis).sum(axis=1))[:, None]
        long = (_times(P, q) * q).sum(axis=1) > _LONG * (P * some.shape).sum(axis=(1, 2))
        if not long.any():
            return cut
        cut[ripe[long]] = True
        some, q, axis, node = some.at(long), q[long], axis[long], number[ripe[long]]
        self._axes.update(zip(node.tolist(), axis, strict=True))
        # see `ellipsoids.halves`
        shape = np.float32(25 / 16) * (some.shape - np.float32(3 / 4) * q[:, :, None] * q[:, None])
        trace = (shape * self._P[0]).sum(axis=(1, 2))
        none = np.zeros_like(some.depth)
        sides = [
            Words(some.centre + side * q, shape, some.state, slot, some.depth, none)
            for side, slot in (
                (np.float32(3 / 8), node * self.symbols),
                (np.float32(-3 / 8), node * self.symbols + 1),
            )
        ]
        self._settle(_joined(sides), np.tile(trace, 2))
        return cut

    def _end(self, words: Words) -> NDArray[np.intp]:
        """Let words end in balls that hold them, and make balls of small ones: those that go on."""
        radius, open_ = np.float32(self.radius), np.ones(len(words.state), bool)
        site = nearest(self._sites, States(words.centre, words.state))
        trace = (self._P[site] * words.shape).sum(axis=(1, 2))
        small = np.flatnonzero(trace < len(self._columns) * radius**2)
        some, site = words.at(small), site[small]
        T = self._T[site]
        squares = T @ some.shape @ T.swapaxes(1, 2)
        size = np.minimum(_norms(squares), _roots(trace[small])) * np.float32(1 + 1e-5)
        place = _times(T, some.centre)
        measured = _Measured(T, some.centre, place, size, squares)
        limit = tree_model.OPEN_AT + tree_model.OPENING * some.depth
        limit = np.minimum(tree_model.OPEN_MOST, limit) * radius
        for home in np.unique(site).tolist():
            here = np.flatnonzero((site == home) & (size < radius))
            if len(here) and len(self._near[home]):
                ball, inside = self._held(measured.at(here), np.array(self._numbers[home]))
                self._link(some.slot[here[inside]], ball[inside])
                open_[small[here[inside]]] = False
                here = here[~inside]
            here = here[size[here] < limit[here]]
            here = here[np.argsort(-size[here], kind="stable")]  # room for the larger ones first
            while len(here):
                first = here[:1]
                ball = self._make_ball(some.at(first), home, place[first])
                _, inside = self._held(measured.at(here), ball)
                inside[0] = True  # the word that the ball was made for
                self._link(some.slot[here[inside]], np.repeat(ball, inside.sum()))
                open_[small[here[inside]]] = False
                here = here[~inside]
        return np.flatnonzero(open_)

    def _make_ball(self, word: Words, home: int, place: Array) -> NDArray[np.intp]:
        """A new ball around the states after a word: its number (1,)."""
        number = len(self._labels)
        self._centres.append(word.centre[0])
        self._labels.append(int(word.state[0]))
        self._homes.append(home)
        self.roots.append(-1)
        self._numbers[home].append(number)
        self._near[home] = np.concatenate([self._near[home], place])
        return np.array([number])

    def _held(
        self, words: "_Measured", balls: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """The nearest of some balls of a site, and whether it holds each ellipsoid; in the metric.

        With D from the ball's centre to the ellipsoid's, N its matrix and n > |N|^1/2: when |D| + n
        <= r; or, by the S-lemma, when t I > N and D^T (I - N / t)^-1 D + t <= r^2.  Any t would do:
        r (r - |D|) is the one that the checker takes, its r^2 / (1 + p).
        """
        T, centre, place, size, squares = words
        radius, within = np.float32(self.radius), np.float32(tree_model.WITHIN)
        near = self._near[self._homes[balls[0]]][-len(balls) :]
        far = (near**2).sum(axis=1) - 2 * place @ near.T
        ball = balls[far.argmin(axis=1)]
        # not as a difference of places, which have lost what it is about
        D = _times(T, centre - np.array([self._centres[i] for i in ball]))
        distance = np.sqrt((D**2).sum(axis=1))
        held = distance + size < radius * within
        t = radius * (radius - np.maximum(distance, np.float32(1e-6) * radius))
        maybe = np.flatnonzero(~held & (size**2 < t * within))
        if len(maybe):
            t = t[maybe]
            A = np.eye(len(self._columns), dtype=np.float32) - squares[maybe] / t[:, None, None]
            solved = np.linalg.solve(A, D[maybe][:, :, None])[:, :, 0]
            value = (solved * D[maybe]).sum(axis=1) + t
            held[maybe] = value < (radius * within) ** 2
        return ball, held

    # The trees ---------------------------------------------------------------------------

    @property
    def made(self) -> tuple[int, int]:
        """How many nodes and balls there are."""
        return self._nodes, len(self._labels)

    @property
    def begun(self) -> tuple[int, int]:
        """How many balls' trees are done, and one more, out of how many so far.

        Of those that were begun together it is not known which are.
        """
        return min(self._done + 1, len(self._labels)), len(self._labels)

    @property
    def centres(self) -> Array:
        """The balls' centres (G, D)."""
        return np.array(self._centres)

    @property
    def labels(self) -> NDArray[np.intp]:
        """The balls' states (G,)."""
        return np.array(self._labels)

    @property
    def homes(self) -> NDArray[np.intp]:
        """The sites whose metrics are the balls' (G,)."""
        return np.array(self._homes)

    @property
    def axes(self) -> dict[int, str]:
        """The axes (D,) across which words are cut, by their nodes, as `AXIS` has them."""
        letters = np.array(list(AXIS))
        middle = AXIS.index("0")
        return {n: "".join(letters[a.astype(int) + middle]) for n, a in self._axes.items()}

    @property
    def next(self) -> NDArray[np.int64]:
        """What follows each node and symbol, a node or ~ball: (nodes * S,)."""
        return self._next[: self._nodes * self.symbols]

    def _make_nodes(self, slots: NDArray[np.intp]) -> None:
        """Make a node for the word of each slot."""
        count, S = len(slots), self.symbols
        more = (self._nodes + count) * S - len(self._next)
        if more > 0:
            room = np.zeros(max(more, len(self._next), 1024 * S), np.int64)
            self._next = np.concatenate([self._next, room])
        numbers, root = np.arange(self._nodes, self._nodes + count), slots < 0
        for ball, node in zip(~slots[root], numbers[root], strict=True):
            self.roots[ball] = int(node)
        self._next[slots[~root]] = numbers[~root]
        self._nodes += count

    def _link(self, slots: NDArray[np.intp], balls: NDArray[np.intp]) -> None:
        self._next[slots] = ~balls


def _times(M: Array, v: Array) -> Array:
    """M v, of N matrices and vectors."""
    return np.asarray((M @ v[:, :, None])[:, :, 0])


def _roots(squares: Array) -> Array:
    """Those of numbers that only rounding makes negative."""
    return np.sqrt(np.maximum(squares, squares.dtype.type(1e-20)))


def _norms(squares: Array) -> Array:
    """Close upper bounds of the norms of matrices M, from M M^T: shape (N, D, D) to (N,).

    (trace of (M M^T)^4)^(1/8): at most D^(1/8) times the norm, and the nearer the fewer
    directions are large.
    """
    fourth = squares @ squares
    return np.asarray((fourth**2).sum(axis=(1, 2)) ** (1 / 8))


_CUT_EVERY, _LONG, _POWERS = 2, 0.4, 8
"""Symbols that are read between two cuts, at least; the part of a word's trace that its longest
axis has, if it is cut; and the powers by which that is found."""
_MOST_AXIS = AXIS.index("0")
_MOST_WAITING = 2**24  # numbers in the shapes of the words that wait: 64 MB for each radius
_FLOATS = 2**19  # numbers in the shapes of the words made at once
