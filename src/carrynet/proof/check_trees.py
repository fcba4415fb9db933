"""The checker of word trees: short, dull, and in doubles with bounds on every rounding error.

Part of `check`, which sees to it that the certificate is about this network.  It computes
anew where every word from every region leads, and shares no code with the search.  Trees have
up to millions of leaves, so that it works on many words at once, in NumPy.  Whatever is not a
number fails, since every condition is an inequality that must hold.

A region is {c + x}, c and the symmetric matrix Q exact doubles, with |v . x|^2 <= v Q v for
every vector v; `ellipsoids` has their arithmetic, in which every rounding error makes Q larger.

One step of Elman's cell: z = c W + d + x W, where x W is in {Z}, Z = W^T Q W.  There each unit's
activation is a chord of slope k_j and a remainder in an interval, whose middle is the new centre.
(Of other cells see `check_affine`: k is 1 then.)  With the slack and all that was lost the
remainders are a box e, and the image lies in

    (1 + p) k Z k + (1 + 1/p) diag(e_j^2 / alpha_j),    p > 0, sum of alpha_j <= 1

A word may also be cut in two across an axis, and each part is followed on its own.  What ends
somewhere must have read a symbol: the proof is by induction over the leaves that a word passes.

NumPy's exp, log and tanh are taken to be good to 2^-40, which is 8,000 times what they are.

Shapes: N words, S symbols, K metrics, G regions, E entries of trees that are no leaves, C of which
are cuts, H hidden, R conditions of an output.
"""

import os
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from math import isfinite
from typing import Any, NamedTuple, Protocol

import numpy as np
from flint import arb
from numpy.typing import NDArray

from carrynet.files import MOST_VALUES
from carrynet.proof.certificate import AXIS, TreeCertificate, require
from carrynet.proof.ellipsoids import (
    DOWN,
    LEAST,
    UP,
    Array,
    U,
    balls,
    congruent,
    distances,
    enclosed,
    exact,
    gamma,
    halves,
    lie_inside,
    reaches,
)
from carrynet.proof.model import Elman, Matrix
from carrynet.spec.task import Task
from carrynet.watch import Watch

_LETTERS = frozenset(AXIS)
_LOST = 4e-12  # in a remainder, for |z| up to 1: some 4 times 2^-40
_PART = 128  # regions whose trees one thread begins together
_TURNS = 64  # batches after which it lets others have what is left
_AT_ONCE = 2**20  # numbers in the largest array of the words that are followed at once


def check(
    steps: "Steps", task: Task, certificate: TreeCertificate, watch: Watch | None = None
) -> tuple[list[arb], arb]:
    """Check trees of words: what |h| can reach (H,), and a lower bound of the smallest margin.

    Raises `Rejected`.
    """
    with np.errstate(all="ignore"):
        facts = _facts(steps, task, certificate)
        symbols = len(task.machine.symbols)
        return _check(facts, _tables(certificate.trees, symbols, facts.width), watch)


class Steps(Protocol):
    """What a network makes of words that are one symbol longer."""

    @property
    def width(self) -> int:
        """H, of the whole state."""

    @property
    def numbers(self) -> int:
        """In the largest array that one word needs."""

    @property
    def start(self) -> Sequence[float]:
        """The state before the first symbol (H,)."""

    def follow(self, centre: Array, Q: Array, state: NDArray[np.intp], slack: float) -> "Followed":
        """The images of {c + x} under every symbol, grown by the slack in every unit.

        Raises `Rejected`.
        """


class Followed(NamedTuple):
    """The images of words: {centre + k x}, x in {Z}, and a box.

    M S' of them, N S in all, which follow from N words: M = N where the symbols share their Z, else
    M = N S and S' = 1.
    """

    centre: Array  # (M, S', H)
    k: Array  # (M, S', H)
    Z: Array  # (M, H, H)
    box: Array  # (M, S', H)
    margin: Array  # (N, S), of what the machine answers, also where it may answer anything


class _Facts(NamedTuple):
    """The network and the regions as doubles."""

    task: Task
    steps: Steps
    slack: float
    T: Array  # (K, H, H) the metrics
    P: Array  # (K, H, H) T^T T
    ball: Array  # (K, H, H) of a ball of radius 1, or more
    inner: Array  # (K, H, H) of a ball of radius 1, or less
    metric: NDArray[np.intp]  # (G,) which is a region's
    centres: Array  # (G, H)
    radii: Array  # (G,)
    states: NDArray[np.intp]  # (G,)

    @property
    def width(self) -> int:
        """H, of the whole state."""
        return self.steps.width


class _Trees(NamedTuple):
    """All trees as tables: what follows an entry is a region, or ~ the number of an entry."""

    cut: NDArray[np.bool_]  # (E,) whether an entry is a cut
    place: NDArray[np.intp]  # (E,) its place among the cuts, or among the others
    tree: NDArray[np.intp]  # (E,) where it is, for messages
    follows: NDArray[np.intp]  # (E - C, S), for each symbol
    axes: NDArray[np.int8]  # (C, H)
    parts: NDArray[np.intp]  # (C, 2) what follows
    roots: NDArray[np.intp]  # (G,)

    def cuts(self, words: "_Frontier") -> bool:
        """Whether these words are cut, and not followed."""
        return bool(self.cut[words.entry[0]])


class _Frontier(NamedTuple):
    centre: Array  # (N, H)
    shape: Array  # (N, H, H)
    state: NDArray[np.intp]  # (N,) of the machine
    entry: NDArray[np.intp]  # (N,), either all of them cuts or none

    def part(self, some: Any) -> "_Frontier":
        """Those of some places."""
        return _Frontier(*(array[some] for array in self))


def _facts(steps: Steps, task: Task, certificate: TreeCertificate) -> _Facts:
    """Everything that is computed but once, in part by Arb."""
    H, regions = steps.width, len(certificate.trees)
    centres, radii, states = certificate.centres, certificate.radii, certificate.states
    require(len(centres) == len(radii) == len(states) == regions > 0, "numbers of regions")
    slack = float(certificate.slack)
    require(isfinite(slack) and slack >= certificate.slack >= 0, "slack")
    known = len(task.machine.states)
    require(all(type(q) is int and 0 <= q < known for q in states), "a state")
    places = exact(centres, regions, H)
    starts = places[0].tolist() == list(steps.start)
    require(states[0] == 0 and radii[0] == 0 and starts, "the start point")
    # one that is less would make squares that underflow
    require(all(isfinite(r) and r > 1e-100 for r in radii[1:]), "a radius")
    metrics, metric = certificate.metrics, certificate.metric_of
    require(len(metric) == regions >= len(metrics) > 0, "numbers of metrics")
    require(all(type(k) is int and 0 <= k < len(metrics) for k in metric), "a metric")
    T = np.array([exact(rows, H, H) for rows in metrics])
    outer, inner = balls(T)
    return _Facts(
        task, steps, slack, T, np.swapaxes(T, 1, 2) @ T, outer, inner, np.array(metric),
        places, np.array(radii, dtype=np.float64), np.array(states),
    )  # fmt: skip


def _tables(trees: Sequence[Any], symbols: int, hidden: int) -> _Trees:
    """Trees as tables; whatever is no tree is refused.

    So is a leaf before which no symbol is read: a region whose parts lie in itself says nothing.
    """
    regions = len(trees)
    cut: list[bool] = []
    place: list[int] = []
    tree: list[int] = []
    axes: list[str] = []
    follows: list[Any] = []
    parts: list[Any] = []
    roots: list[Any] = list(trees)
    # entries that are no leaves: where one is found, in which tree, and whether a symbol was read
    todo: list[tuple[list[Any], int, int, bool]] = [(roots, i, i, False) for i in range(regions)]
    while todo:
        among, n, i, read = todo.pop()
        entry, among[n] = among[n], ~len(tree)
        require(len(tree) < MOST_VALUES, "more entries than are read")
        tree.append(i)
        if type(entry) is dict:
            axis, below = _cut_of(entry, hidden, i)
            cut.append(True)
            place.append(len(axes))
            axes.append(axis)
            into = parts
        else:
            if type(entry) is not list or len(entry) != symbols:
                require(False, f"tree {i}: not one entry a symbol")
            read, below = True, entry
            cut.append(False)
            place.append(len(follows) // symbols)
            into = follows
        first = len(into)
        into.extend(below)
        for m, each in enumerate(below, first):
            if type(each) is not int:
                if type(each) is not list and type(each) is not dict:
                    require(False, f"tree {i}: a leaf")
                todo.append((into, m, i, read))
            # the start point is a region without extent: nothing can end in it
            elif not 0 < each < regions:
                require(False, f"tree {i}: a leaf")
            elif not read:
                require(False, f"tree {i}: a leaf before the first symbol")
    values = np.zeros(128, dtype=np.int8)
    values[[ord(letter) for letter in AXIS]] = np.arange(len(AXIS)) - AXIS.index("0")
    return _Trees(
        np.array(cut, dtype=bool),
        np.array(place, dtype=np.intp),
        np.array(tree, dtype=np.intp),
        np.array(follows, dtype=np.intp).reshape(-1, symbols),
        values[np.frombuffer("".join(axes).encode("ascii"), dtype=np.uint8)].reshape(-1, hidden),
        np.array(parts, dtype=np.intp).reshape(-1, 2),
        np.array(roots, dtype=np.intp),
    )


def _cut_of(entry: dict[str, Any], hidden: int, tree: int) -> tuple[str, list[Any]]:
    """The axis and the two parts of an entry; whatever is no cut is refused."""
    axis: Any = entry.get("axis")
    below: Any = entry.get("parts")
    listed = len(entry) == 2 and type(below) is list and len(below) == 2
    require(listed, f"tree {tree}: not two parts")
    written = type(axis) is str and len(axis) == hidden and _LETTERS.issuperset(axis)
    require(written, f"tree {tree}: an axis")
    return axis, below


def _check(facts: _Facts, trees: _Trees, watch: Watch | None) -> tuple[list[arb], arb]:
    """Every tree, words in one thread and words in another: none has to do with any other.

    Few trees may have most of the words, and so what a thread has left over goes to whichever is
    free.  Which words are followed together does not depend on that.
    """
    margin, reach, done = np.inf, np.zeros(facts.width), 0
    known, regions, at_once = len(trees.follows), len(trees.roots), os.cpu_count() or 1
    todo: list[range | list[_Frontier]] = [
        range(first, min(first + _PART, regions)) for first in range(0, regions, _PART)
    ]
    with ThreadPoolExecutor(at_once) as pool:
        going: set[Future[tuple[float, Array, int, list[_Frontier]]]] = set()
        while todo or going:
            while todo and len(going) < at_once:  # what is left over first: it takes memory
                going.add(pool.submit(_check_words, facts, trees, todo.pop()))
            ended, going = wait(going, return_when=FIRST_COMPLETED)
            for each in ended:
                least, most, followed, left = each.result()
                # `min` would pass over what is not a number
                margin, reach = np.minimum(margin, least), np.maximum(reach, most)
                done += followed
                todo += [half for half in (left[::2], left[1::2]) if half]
            if watch is not None:
                watch(done, known)
    return [arb(float(x)) for x in reach], arb(float(margin))


def _check_words(
    facts: _Facts, trees: _Trees, part: range | list[_Frontier]
) -> tuple[float, Array, int, list[_Frontier]]:
    """Follow words of some trees, or words that were left over.

    The smallest margin, what |h| can reach (H,), how many were followed, and those left over.
    """
    at_once = max(1, _AT_ONCE // facts.steps.numbers)
    margin, reach, count = np.inf, np.zeros(facts.width), 0
    with np.errstate(all="ignore"):
        todo: dict[bool, list[_Frontier]] = {False: [], True: []}  # whether they are cut
        for words in _roots(facts, trees, part) if isinstance(part, range) else part:
            todo[trees.cuts(words)].append(words)
        while any(todo.values()) and count < _TURNS * at_once:
            cut = _words(todo[True]) > _words(todo[False])
            some = todo[cut]
            parts = [some.pop()]
            while some and _words(parts) < at_once:
                parts.append(some.pop())
            words = _joined(parts)
            if len(words.entry) > at_once:
                some.append(words.part(slice(at_once, None)))
                words = words.part(slice(at_once))
            images, least, most = (_cut if cut else _follow)(facts, trees, words)
            margin, reach = np.minimum(margin, least), np.maximum(reach, most)
            for longer in _end(facts, trees, images):
                todo[trees.cuts(longer)].append(longer)
            count += 0 if cut else len(words.entry)
    return float(margin), reach, count, [*todo[False], *todo[True]]


def _words(parts: list[_Frontier]) -> int:
    """How many words there are in all."""
    return sum(len(part.entry) for part in parts)


def _roots(facts: _Facts, trees: _Trees, numbers: range) -> list[_Frontier]:
    """The words without symbols, all over their regions."""
    regions = np.array(numbers)
    return [
        _Frontier(
            facts.centres[some],
            (facts.radii[some] ** 2 * UP)[:, None, None] * facts.ball[facts.metric[some]],
            facts.states[some],
            entry,
        )
        for some, entry in _apart(trees, regions, ~trees.roots[regions])
    ]


def _apart(
    trees: _Trees, words: NDArray[np.intp], entry: NDArray[np.intp]
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Words and their entries: those that are followed, those that are cut; none is empty."""
    cut = trees.cut[entry]
    return [(words[some], entry[some]) for some in (~cut, cut) if some.any()]


class _Images(NamedTuple):
    """Where words lead that are one symbol longer, M = N S of them: their matrices are s Z s + d.

    Or the parts of words that are cut, of which there are M = 2 N.

    Most words end here, and where their extents are enough to see it, no matrix is made of them.
    """

    centre: Array  # (M, H)
    scale: Array  # (M, H) s = (1 + p)^1/2 k
    Z: Array  # (N, H, H)
    root: Array  # (N, H) of Z's diagonal
    diagonal: Array  # (M, H) d
    state: NDArray[np.intp]  # (M,)
    follows: NDArray[np.intp]  # (M,) a region, or ~ the number of an entry
    tree: NDArray[np.intp]  # (M,)

    def extents(self, some: NDArray[np.intp], P: Array) -> Array:
        """Of some of them what |T x| is at most, P = T^T T: the root of the trace of T Q T^T."""
        H, scale = self.scale.shape[1], self.scale[some]
        word = some // (len(self.scale) // len(self.Z))
        squares = np.diagonal(P, axis1=1, axis2=2)
        trace = ((scale[:, None] @ (P * self.Z[word]))[:, 0] * scale).sum(axis=1)
        # its terms add up to (sum of t_i s_i Z_ii^1/2)^2 at most
        terms = (scale * self.root[word] * np.sqrt(squares)).sum(axis=1) * UP
        trace = np.maximum(trace, 0) + 2 * gamma(3 * H + 8) * terms**2
        trace += (self.diagonal[some] * squares).sum(axis=1) * UP
        extents: Array = np.sqrt(trace * UP + LEAST) * UP
        return extents

    def shapes(self, some: NDArray[np.intp]) -> Array:
        """The matrices of some of them."""
        H, scale = self.scale.shape[1], self.scale[some]
        shape = self.Z[some // (len(self.scale) // len(self.Z))]
        shape *= scale[:, :, None]
        shape *= scale[:, None, :]
        diagonal = shape.reshape(-1, H * H)[:, :: H + 1]
        diagonal += self.diagonal[some]
        # each product s_i Z_ij s_j is off by 8 u at most
        diagonal *= 1 + 32 * H * U
        diagonal += LEAST
        return shape


def _joined(parts: list[_Frontier]) -> _Frontier:
    """Words that are followed together."""
    if len(parts) == 1:
        return parts[0]
    return _Frontier(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _follow(facts: _Facts, trees: _Trees, words: _Frontier) -> tuple[_Images, float, Array]:
    """Every word one symbol longer (N * S); the smallest margin, and what |h| can reach (H,)."""
    H, machine = facts.width, facts.task.machine
    S = len(machine.symbols)
    middle, k, Z, box, margin = facts.steps.follow(
        words.centre, words.shape, words.state, facts.slack
    )
    asked = np.array([[y is not None for y in row] for row in machine.output])[words.state]
    margin = np.where(asked, margin, np.inf)  # where it is open, the machine asks nothing
    if not (margin > 0).all():
        bad = int(np.argmin(margin > 0)) // S
        tree = trees.tree[words.entry[bad]]
        require(False, f"tree {tree}: an output is not shown to be right")
    root = np.sqrt(np.diagonal(Z, axis1=1, axis2=2))[:, None] * UP  # (M, 1, H)
    reach = ((np.abs(middle) + k * root + box) * UP).max(axis=(0, 1))

    # p for which the trace in the first metric is least, more or less
    P = facts.P[0]
    t = np.sqrt(np.maximum(np.diag(P), 1e-12))
    total = (box @ t) * UP
    image = np.maximum(((k @ (P * Z)) * k).sum(axis=-1), 1e-20)
    p = np.clip(total / np.sqrt(image), 1e-6, 1e6)
    images = _Images(
        middle.reshape(-1, H),
        (k * np.sqrt(1 + p)[..., None]).reshape(-1, H),
        Z,
        root[:, 0],
        ((1 + 1 / p)[..., None] * (box * total[..., None] / t) * UP).reshape(-1, H),
        np.array(machine.delta)[words.state].ravel(),
        trees.follows[trees.place[words.entry]].ravel(),
        np.repeat(trees.tree[words.entry], S),
    )
    return images, float(margin.min()), reach


class OfElman(NamedTuple):
    """The steps of Elman's cell as doubles; `_error` arrays say what they may be off by."""

    task: Task
    activation: str
    W: Array  # (H, H)
    drives: Array  # (S, H)
    drives_error: Array
    rows: Array  # (outputs, R, H): v . h + b must be positive
    rows_error: Array
    offsets: Array  # (outputs, R)
    offsets_error: Array

    @classmethod
    def read(cls, network: Elman, task: Task, drives: list[list[arb]]) -> "OfElman":
        """`drives` are x Wxh + bh for each symbol."""
        H, outputs = len(network.bh), conditions(network.Why, network.by, task)
        v = enclosed([[list(v) for v, _ in some] for some in outputs])
        b = enclosed([[b for _, b in some] for some in outputs])
        W = exact(network.Whh, H, H)
        return cls(task, network.activation, W, *enclosed(drives), *v, *b)

    @property
    def width(self) -> int:
        """H."""
        return len(self.W)

    @property
    def numbers(self) -> int:
        """S H^2, of images."""
        return len(self.task.machine.symbols) * self.width**2

    @property
    def start(self) -> Sequence[float]:
        """Zero."""
        return [0.0] * self.width

    def follow(self, centre: Array, Q: Array, state: NDArray[np.intp], slack: float) -> Followed:
        """Every word one symbol longer; all share their Z."""
        W, Z = self.W, congruent(Q, self.W)
        root = np.sqrt(np.diagonal(Z, axis1=1, axis2=2))[:, None] * UP  # (N, 1, H)
        z = (centre @ W)[:, None] + self.drives  # (N, S, H)
        size = (np.abs(centre) @ np.abs(W))[:, None] + np.abs(self.drives)
        error = (gamma(self.width + 2) * size + self.drives_error) * UP
        k, middle, box = chord(self.activation, z, root + error)
        box = (box + k * error + slack) * UP
        table = [[y or 0 for y in row] for row in self.task.machine.output]
        margin = self.margin(np.array(table)[state], Z, root, k, middle, box)
        return Followed(middle, k, Z, box, margin)

    def margin(
        self, output: Any, Z: Array, root: Array, k: Array, middle: Array, box: Array
    ) -> Array:
        """Lower bounds of v . h + b over images, the least of an output's conditions: (N, S)."""
        H, v = self.width, self.rows[output]  # (N, S, R, H)
        b, size = self.offsets[output], np.abs(v)
        centre = (v @ middle[..., None])[..., 0] + b
        spread = (size @ box[..., None])[..., 0]
        through = v * k[:, :, None]
        reach = (np.abs(through) @ np.swapaxes(root, 1, 2)[:, None])[..., 0] * UP
        square = ((through @ Z[:, None]) * through).sum(axis=-1)
        root_of_square = np.sqrt(np.maximum(square + gamma(2 * H + 8) * reach**2, 0)) * UP
        sizes = (size @ np.abs(middle)[..., None])[..., 0] + np.abs(b) + spread + reach
        most = np.abs(middle) + k * root + box
        of_data = (self.rows_error[output] @ most[..., None])[..., 0] + self.offsets_error[output]
        lost = (2 * gamma(H + 8) * sizes + of_data) * UP + LEAST
        least: Array = (centre - spread - root_of_square - lost).min(axis=-1)
        return least


def _cut(facts: _Facts, trees: _Trees, words: _Frontier) -> tuple[_Images, float, Array]:
    """The parts of words that are cut (N * 2); no margin, and nothing that |h| can reach."""
    N, H = words.centre.shape
    cut = trees.place[words.entry]
    axes = trees.axes[cut].astype(np.float64)
    centres, shapes = halves(words.centre, words.shape, axes)
    images = _Images(
        centres.reshape(2 * N, H),
        np.ones((2 * N, H)),
        shapes,
        np.sqrt(np.diagonal(shapes, axis1=1, axis2=2)) * UP,
        np.zeros((2 * N, H)),
        np.repeat(words.state, 2),
        trees.parts[cut].ravel(),
        np.repeat(trees.tree[words.entry], 2),
    )
    return images, np.inf, np.zeros(H)


def chord(activation: str, z: Array, w: Array) -> tuple[Array, Array, Array]:
    """k, middle and radius: |f(x) - k (x - z) - middle| <= radius for all x in [z - w, z + w].

    The remainder f(x) - k (x - z) is extreme at the ends or where f' = k, where it changes so
    little with x that an x that is off by 1e-6 does no harm.  A point too many does none either.
    """
    w = w * UP + 8 * U * np.abs(z)
    low, high = z - w, z + w
    f_low, f_high = _activate(activation, low), _activate(activation, high)
    steepest = 0.25 if activation == "sigmoid" else 1.0
    k = np.clip(np.where(high > low, (f_high - f_low) / (high - low), 0.0), 0.0, steepest)
    points = [(low, f_low), (high, f_high)]
    if activation == "relu":
        points.append((np.zeros_like(z), np.zeros_like(z)))
    else:
        part = k / steepest  # f' / steepest = 4 y (1 - y), at y and 1 - y, y = sigmoid(x)
        y = part / (2 * (1 + np.sqrt(1 - part)))
        x = np.log(y / (1 - y))
        if activation == "tanh":  # tanh x = 2 sigmoid(2 x) - 1
            points += [(x / 2, 2 * y - 1), (-x / 2, 1 - 2 * y)]
        else:
            points += [(x, y), (-x, 1 - y)]
    least = most = f_low - k * (low - z)
    for x, y in points[1:]:
        value = y - k * (x - z)
        inside = (x >= low - 1e-6) & (x <= high + 1e-6)
        least = np.where(inside, np.minimum(least, value), least)
        most = np.where(inside, np.maximum(most, value), most)
    middle = (least + most) / 2
    lost = _LOST * (1 + np.abs(z) + w)
    return k, middle, (np.maximum(most - middle, middle - least) + lost) * UP


def _activate(activation: str, x: Array) -> Array:
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-x))
    if activation == "tanh":
        return np.tanh(x)
    require(activation == "relu", "the activation")
    return np.maximum(x, 0)


def _end(facts: _Facts, trees: _Trees, images: _Images) -> list[_Frontier]:
    """Words that go on; of the others it is checked that they end inside their region."""
    going, leaves = np.flatnonzero(images.follows < 0), np.flatnonzero(images.follows >= 0)
    ends = images.follows[leaves]
    right = facts.states[ends] == images.state[leaves]
    if not right.all():
        tree = images.tree[leaves[int(np.argmin(right))]]
        require(False, f"tree {tree}: a leaf in the wrong state")
    place, centre, radius = images.centre[leaves], facts.centres[ends], facts.radii[ends]
    metric, d = facts.metric[ends], place - centre
    P = facts.P[metric]
    far, v = distances(P, d, radius)
    inside = far + images.extents(leaves, P) < radius * DOWN
    hard = np.flatnonzero(~inside)  # a tenth to three fifths of them
    shape = images.shapes(leaves[hard])
    squares = reaches(P[hard], shape, d[hard], v[hard], far[hard])
    inside[hard] = squares < radius[hard] ** 2 * DOWN
    harder = ~inside[hard]  # of these one in seven to one in twenty
    hard, shape = hard[harder], shape[harder]
    T, inner = facts.T[metric[hard]], facts.inner[metric[hard]]
    inside[hard] = lie_inside(T, inner, place[hard], shape, centre[hard], radius[hard])
    if not inside.all():
        n = int(np.argmin(inside))
        require(False, f"tree {images.tree[leaves[n]]}: a leaf is not inside region {ends[n]}")
    return [
        _Frontier(images.centre[some], images.shapes(some), images.state[some], entry)
        for some, entry in _apart(trees, going, ~images.follows[going])
    ]


def conditions(Why: Matrix, by: Sequence[float], task: Task) -> list[list[tuple[list[arb], arb]]]:
    """What must be positive for each output: the logit, or its lead over every other one."""
    Y = task.neurons
    columns, biases = [[arb(row[y]) for row in Why] for y in range(Y)], [arb(b) for b in by]
    if task.readout == "bits":
        return [[([-x for x in columns[0]], -biases[0])], [(columns[0], biases[0])]]
    return [
        [
            (
                [x - y for x, y in zip(columns[a], columns[b], strict=True)],
                biases[a] - biases[b],
            )
            for b in range(Y)
            if b != a
        ]
        for a in range(Y)
    ]
