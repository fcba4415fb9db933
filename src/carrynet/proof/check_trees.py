"""The checker of word trees: short, dull, and in doubles with bounds on every rounding error.

Part of `check`, which sees to it that the certificate is about this network.  It computes
anew where every word from every region leads, and shares no code with the search.  Trees have
up to a million leaves, so that it works on many words at once, in NumPy.  Whatever is not a
number fails, since every condition is an inequality that must hold.

A region is {c + x}, c and the symmetric matrix Q exact doubles, with |v . x|^2 <= v Q v for
every vector v.  Q may always be made larger, and so every rounding error is put on its
diagonal.  In doubles, u = 2^-53, a sum of n products in any order is off by at most g(n) times
the sum of their magnitudes, g(n) = n u / (1 - n u) (Higham 2002, section 3.1), and

    |Q_ij| <= q_i q_j, q_i = Q_ii^1/2; so for a matrix M, each entry of M^T Q M as computed is off
    by at most g(2 H) m_i m_j, m = |M|^T q; and a symmetric error E with |E_ij| <= g m_i m_j has
    y E y <= g (sum |y_i| m_i)^2 <= g H sum y_i^2 m_i^2: it is covered by g H m_i^2 on the diagonal.

One step: z = c W + d + x W, where x W is in {Z}, Z = W^T Q W.  There each unit's activation
is a chord of slope k_j and a remainder in an interval, whose middle is the new centre.  With
the slack and all that was lost the remainders are a box e, and the image lies in

    (1 + p) k Z k + (1 + 1/p) diag(e_j^2 / alpha_j),    p > 0, sum of alpha_j <= 1

NumPy's exp, log and tanh are taken to be good to 2^-40, which is 8,000 times what they are.

Shapes: N words, S symbols, H hidden, R conditions of an output.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from flint import arb, arb_mat
from numpy.typing import NDArray

from carrynet.proof.certificate import Rejected, TreeCertificate, require
from carrynet.proof.model import Elman, Matrix
from carrynet.spec.task import Task
from carrynet.watch import Watch

Array = NDArray[np.float64]

_U = 2.0**-53
_UP, _DOWN = 1 + 1e-12, 1 - 1e-12  # outward, for a few operations and sums of up to 4,000 terms
_LOST = 4e-12  # in a remainder, for |z| up to 1: some 4 times 2^-40
_LEAST = 1e-250  # on every diagonal, for whatever underflows
_NEAREST = 1e-6  # of the radius: an ellipsoid that is nearer to a ball's centre counts as so far
_PART = 16  # regions whose trees one thread checks together
_AT_ONCE = 2**18  # numbers in the matrices of the words that are made at once


def check(
    network: Elman,
    task: Task,
    drives: list[list[arb]],
    certificate: TreeCertificate,
    watch: Watch | None = None,
) -> tuple[list[arb], arb]:
    """Check trees of words: what |h| can reach (H,), and a lower bound of the smallest margin.

    `drives` are x Wxh + bh for each symbol.  Raises `Rejected`.
    """
    with np.errstate(all="ignore"):
        return _check(_facts(network, task, drives, certificate), certificate, watch)


class _Facts(NamedTuple):
    """The network and the regions as doubles; `_error` arrays say what they may be off by."""

    task: Task
    activation: str
    W: Array  # (H, H)
    drives: Array  # (S, H)
    drives_error: Array
    conditions: Array  # (outputs, R, H): v . h + b must be positive
    conditions_error: Array
    offsets: Array  # (outputs, R)
    offsets_error: Array
    slack: float
    T: Array  # (H, H) the metric
    ball: Array  # (H, H) of a ball of radius 1, or more
    inner: Array  # (H, H) of a ball of radius 1, or less
    centres: Array  # (G, H)
    radii: Array  # (G,)


class _Frontier(NamedTuple):
    centre: Array  # (N, H)
    shape: Array  # (N, H, H)
    state: NDArray[np.intp]  # (N,) of the machine
    below: list[Any]  # (N,) what follows: an entry for each symbol
    tree: list[int]  # (N,) where it is, for messages

    def part(self, some: slice) -> "_Frontier":
        centre, shape, state, below, tree = self
        return _Frontier(centre[some], shape[some], state[some], below[some], tree[some])


def _facts(
    network: Elman, task: Task, drives: list[list[arb]], certificate: TreeCertificate
) -> _Facts:
    """Everything that is computed but once, in part by Arb."""
    H, regions = len(network.bh), len(certificate.trees)
    centres, radii, states = certificate.centres, certificate.radii, certificate.states
    require(len(centres) == len(radii) == len(states) == regions > 0, "numbers of regions")
    slack = float(certificate.slack)
    require(isfinite(slack) and slack >= certificate.slack >= 0, "slack")
    known = len(task.machine.states)
    require(all(type(q) is int and 0 <= q < known for q in states), "a state")
    require(states[0] == 0 and radii[0] == 0 and not any(centres[0]), "the start point")
    # one that is less would make squares that underflow
    require(all(isfinite(r) and r > 1e-100 for r in radii[1:]), "a radius")
    T = _exact(certificate.metric, H, H)
    try:
        inverse = arb_mat(T.tolist()).inv()
    except ZeroDivisionError:
        raise Rejected("the certificate is rejected: its metric cannot be inverted") from None
    # |T x| <= 1 exactly if |v . x|^2 <= v T^-1 T^-T v for all v
    ball, error = _enclosed((inverse * inverse.transpose()).tolist())
    ball = _symmetric(ball)
    off = np.diag(_UP * (error + error.T + 16 * _U * np.abs(ball)).sum(axis=1))
    ball, inner = ball + off, ball - off
    outputs = _conditions(network, task)
    d, d_error = _enclosed(drives)
    v, v_error = _enclosed([[list(v) for v, _ in conditions] for conditions in outputs])
    b, b_error = _enclosed([[b for _, b in conditions] for conditions in outputs])
    return _Facts(
        task, network.activation, _exact(network.Whh, H, H), d, d_error, v, v_error, b, b_error,
        slack, T, ball, inner, _exact(centres, regions, H), np.array(radii, dtype=np.float64),
    )  # fmt: skip


def _check(
    facts: _Facts, certificate: TreeCertificate, watch: Watch | None
) -> tuple[list[arb], arb]:
    """Every tree, some in one thread and some in another: none has to do with any other."""
    regions, margin, reach = len(certificate.trees), np.inf, np.zeros(len(facts.W))
    parts = [range(i, min(i + _PART, regions)) for i in range(0, regions, _PART)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda part: _check_trees(facts, certificate, part), parts)
        for part, (least, most) in zip(parts, results, strict=True):
            # `min` would pass over what is not a number
            margin, reach = np.minimum(margin, least), np.maximum(reach, most)
            if watch is not None:
                watch(part.stop, regions)
    return [arb(float(x)) for x in reach], arb(float(margin))


def _check_trees(
    facts: _Facts, certificate: TreeCertificate, numbers: range
) -> tuple[float, Array]:
    """Some of the trees: the smallest margin, and what |h| can reach (H,)."""
    H, S = len(facts.W), len(facts.task.machine.symbols)
    at_once, states = max(1, _AT_ONCE // (S * H * H)), np.array(certificate.states)
    margin, reach = np.inf, np.zeros(H)
    some = slice(numbers.start, numbers.stop)
    with np.errstate(all="ignore"):
        shape = (facts.radii[some] ** 2 * _UP)[:, None, None] * facts.ball
        trees = list(certificate.trees[some])
        todo = [_Frontier(facts.centres[some], shape, states[some], trees, list(numbers))]
        while todo:
            parts = [todo.pop()]
            while todo and sum(len(part.tree) for part in parts) < at_once:
                parts.append(todo.pop())
            words = _joined(parts)
            if len(words.tree) > at_once:
                todo.append(words.part(slice(at_once, None)))
                words = words.part(slice(at_once))
            children, least, most = _follow(facts, words)
            margin, reach = np.minimum(margin, least), np.maximum(reach, most)
            inner = _end(facts, children, states)
            if inner.tree:
                todo.append(inner)
    return float(margin), reach


def _joined(parts: list[_Frontier]) -> _Frontier:
    """Words that are followed together."""
    if len(parts) == 1:
        return parts[0]
    return _Frontier(
        np.concatenate([part.centre for part in parts]),
        np.concatenate([part.shape for part in parts]),
        np.concatenate([part.state for part in parts]),
        [entries for part in parts for entries in part.below],
        [tree for part in parts for tree in part.tree],
    )


def _follow(facts: _Facts, words: _Frontier) -> tuple[_Frontier, float, Array]:
    """Every word one symbol longer (N * S); the smallest margin, and what |h| can reach (H,)."""
    H, machine = len(facts.W), facts.task.machine
    S = len(machine.symbols)
    for entries, tree in zip(words.below, words.tree, strict=True):
        listed = type(entries) is list and len(entries) == S
        require(listed, f"tree {tree}: not one entry a symbol")
    Z = _congruent(words.shape, facts.W)
    root = np.sqrt(np.diagonal(Z, axis1=1, axis2=2))[:, None] * _UP  # (N, 1, H)

    z = (words.centre @ facts.W)[:, None] + facts.drives  # (N, S, H)
    size = (np.abs(words.centre) @ np.abs(facts.W))[:, None] + np.abs(facts.drives)
    error = (_gamma(H + 2) * size + facts.drives_error) * _UP
    k, middle, box = _chord(facts.activation, z, root + error)
    box = (box + k * error + facts.slack) * _UP

    asked = np.array([[y is not None for y in row] for row in machine.output])[words.state]
    output = np.array([[y or 0 for y in row] for row in machine.output])[words.state]  # (N, S)
    margin = _margin(facts, output, Z, root, k, middle, box)
    margin = np.where(asked, margin, np.inf)  # where it is open, the machine asks nothing
    if not (margin > 0).all():
        bad = int(np.argmin(margin > 0)) // S
        require(False, f"tree {words.tree[bad]}: an output is not shown to be right")
    reach = ((np.abs(middle) + k * root + box) * _UP).max(axis=(0, 1))

    P = facts.T.T @ facts.T  # for the choice of p and alpha only, which may be any
    t = np.sqrt(np.maximum(np.diag(P), 1e-12))
    total = (box @ t) * _UP
    image = ((k @ (P * Z)) * k).sum(axis=-1)
    p = np.clip(total / np.sqrt(np.maximum(image, 1e-20)), 1e-6, 1e6)[..., None]
    shape = k[..., :, None] * k[..., None, :]
    shape *= (1 + p)[..., None]
    shape *= Z[:, None]
    diagonal = np.arange(H)
    shape[..., diagonal, diagonal] += (1 + 1 / p) * (box * total[..., None] / t) * _UP
    # of the products k_i (1 + p) k_j Z_ij each is off by 4 u at most
    shape[..., diagonal, diagonal] *= 1 + 16 * H * _U
    shape[..., diagonal, diagonal] += _LEAST
    children = _Frontier(
        middle.reshape(-1, H),
        shape.reshape(-1, H, H),
        np.array(machine.delta)[words.state].ravel(),
        [entry for entries in words.below for entry in entries],
        [tree for tree in words.tree for _ in range(S)],
    )
    return children, float(margin.min()), reach


def _congruent(Q: Array, M: Array) -> Array:
    """M^T Q M and its rounding errors, on the diagonal: (N, H, H)."""
    H = len(M)
    size = np.sqrt(np.diagonal(Q, axis1=1, axis2=2)) @ np.abs(M) * _UP
    product = _symmetric(M.T @ (Q @ M))
    diagonal = np.arange(H)
    product[:, diagonal, diagonal] += 2 * _gamma(2 * H + 8) * H * size**2 + _LEAST
    return product


def _chord(activation: str, z: Array, w: Array) -> tuple[Array, Array, Array]:
    """k, middle and radius: |f(x) - k (x - z) - middle| <= radius for all x in [z - w, z + w].

    The remainder f(x) - k (x - z) is extreme at the ends or where f' = k, where it changes so
    little with x that an x that is off by 1e-6 does no harm.  A point too many does none either.
    """
    w = w * _UP + 8 * _U * np.abs(z)
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
    return k, middle, (np.maximum(most - middle, middle - least) + lost) * _UP


def _activate(activation: str, x: Array) -> Array:
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-x))
    if activation == "tanh":
        return np.tanh(x)
    require(activation == "relu", "the activation")
    return np.maximum(x, 0)


def _margin(
    facts: _Facts, output: Any, Z: Array, root: Array, k: Array, middle: Array, box: Array
) -> Array:
    """Lower bounds of v . h + b over images, the least of all conditions of an output: (N, S)."""
    H, v = len(facts.W), facts.conditions[output]  # (N, S, R, H)
    b, size = facts.offsets[output], np.abs(v)
    centre = (v @ middle[..., None])[..., 0] + b
    spread = (size @ box[..., None])[..., 0]
    through = v * k[:, :, None]
    reach = (np.abs(through) @ np.swapaxes(root, 1, 2)[:, None])[..., 0] * _UP
    square = ((through @ Z[:, None]) * through).sum(axis=-1)
    root_of_square = np.sqrt(np.maximum(square + _gamma(2 * H + 8) * reach**2, 0)) * _UP
    sizes = (size @ np.abs(middle)[..., None])[..., 0] + np.abs(b) + spread + reach
    most = np.abs(middle) + k * root + box
    of_data = (facts.conditions_error[output] @ most[..., None])[..., 0]
    of_data = of_data + facts.offsets_error[output]
    lost = (2 * _gamma(H + 8) * sizes + of_data) * _UP + _LEAST
    return (centre - spread - root_of_square - lost).min(axis=-1)


def _end(facts: _Facts, words: _Frontier, states: NDArray[np.intp]) -> _Frontier:
    """Words that go on; of the others it is checked that they end inside their region."""
    regions, inner, leaves = len(states), [], []
    for n, entry in enumerate(words.below):
        if type(entry) is list:
            inner.append(n)
            continue
        # the start point is a region without extent: nothing can end in it
        if not (type(entry) is int and 0 < entry < regions):
            require(False, f"tree {words.tree[n]}: a leaf")
        leaves.append(n)
    ends = np.array([words.below[n] for n in leaves], dtype=np.intp)
    right = states[ends] == words.state[leaves]
    if not right.all():
        tree = words.tree[leaves[int(np.argmin(right))]]
        require(False, f"tree {tree}: a leaf in the wrong state")
    place, centre, radius = words.centre[leaves], facts.centres[ends], facts.radii[ends]
    size = _sizes(facts, words.shape)[leaves]
    inside = _distance(facts, place - centre, radius) + size < radius * _DOWN
    # one in three to one in ten takes more
    hard = np.flatnonzero(~inside)
    shape = words.shape[np.array(leaves, dtype=np.intp)[hard]]
    inside[hard] = _inside(facts, place[hard], shape, centre[hard], radius[hard])
    if not inside.all():
        n = int(np.argmin(inside))
        require(False, f"tree {words.tree[leaves[n]]}: a leaf is not inside region {ends[n]}")
    return _Frontier(
        words.centre[inner],
        words.shape[inner],
        words.state[inner],
        [words.below[n] for n in inner],
        [words.tree[n] for n in inner],
    )


def _sizes(facts: _Facts, shape: Array) -> Array:
    """Upper bounds of |T x| over ellipsoids: the roots of the traces of T Q T^T, (N,).

    The trace is the sum of P_ij Q_ij, P = T^T T, where |P_ij| <= t_i t_j, t the norms of T's
    columns.  P is off by g(H) t_i t_j, and the sum by g(H^2) times its magnitudes.
    """
    H, P = len(facts.W), facts.T.T @ facts.T
    magnitude = np.sqrt(np.diagonal(shape, axis1=1, axis2=2)) @ np.linalg.norm(facts.T, axis=0)
    trace = np.maximum(shape.reshape(-1, H * H) @ P.ravel(), 0)
    trace = trace + 2 * _gamma(H * H + H + 8) * (magnitude * _UP) ** 2 + _LEAST
    sizes: Array = np.sqrt(trace * _UP) * _UP
    return sizes


def _distance(facts: _Facts, d: Array, radius: Array) -> Array:
    """Upper bounds of |T d|, for d that are differences of two doubles; at least a little."""
    H = len(facts.W)
    lost = _gamma(H + 4) * (np.abs(d) @ np.abs(facts.T.T))
    off = np.linalg.norm(lost, axis=1) + np.linalg.norm(d @ facts.T.T, axis=1)
    return np.maximum(off * _UP, _NEAREST * radius)


def _inside(
    facts: _Facts, place: Array, shape: Array, centre: Array, radius: Array
) -> NDArray[np.bool_]:
    """Whether ellipsoids lie in balls |T (h - centre)| <= radius.

    With B = T^-1 T^-T and d = place - centre an ellipsoid does if, for some p > 0,

        M = radius^2 B - (1 + p) Q - (1 + 1/p) d^T d

    is positive semidefinite: for |v . (x + d)|^2 <= (1 + p) v Q v + (1 + 1/p) (v . d)^2.  Any p
    will do; here 1/p = radius / |T d| - 1.  The terms of M_ij add up to at most m_i m_j in
    magnitude, m_i^2 those of M_ii.

    M is taken to be L L^T + s H m^2 on the diagonal, and L is not trusted to be what a solver says
    it is: whatever it is, with R = M - s H m^2 - L L^T,

        y M y >= s H sum m_i^2 y_i^2 - sum |R_ij| |y_i| |y_j|

    and R_ij^2 <= R_i R_j, R_i the largest of |R_ij|, so that the last sum is at most
    H sum R_i y_i^2: enough is R_i <= s m_i^2, with what R and M are off by in R_i.
    """
    H, diagonal = len(facts.W), np.arange(len(facts.W))
    if not len(place):
        return np.ones(0, dtype=bool)
    d = place - centre
    far = np.maximum(np.linalg.norm(d @ facts.T.T, axis=1), _NEAREST * radius)
    p = far / np.where(far < radius, radius - far, np.nan)
    of_B, of_Q, of_d = radius**2 * _DOWN, (1 + p) * _UP, (1 + 1 / p) * _UP
    M = of_B[:, None, None] * facts.inner
    M -= of_Q[:, None, None] * shape
    M -= (of_d[:, None] * d)[:, :, None] * d[:, None]
    size = of_B[:, None] * np.diagonal(facts.inner) + of_d[:, None] * d**2
    size = (size + of_Q[:, None] * np.diagonal(shape, axis1=1, axis2=2)) * _UP  # m^2
    spare = 4 * _gamma(H + 16)  # s
    M[:, diagonal, diagonal] -= spare * H * size
    L = _factors(M)
    left = np.abs(M - L @ np.swapaxes(L, 1, 2)).max(axis=2) * _UP
    # L L^T is off by g(H) |L_i| |L_j|, the difference by u of itself, M by g(12) m_i m_j
    left += (_gamma(H + 4) * (L**2).sum(axis=2) + _gamma(12) * size) * _UP + _LEAST
    inside: NDArray[np.bool_] = (left < spare * size).all(axis=1)
    return inside


def _factors(M: Array) -> Array:
    """Cholesky's factors; of those that have none, what is not a number."""
    try:
        return np.asarray(np.linalg.cholesky(M), dtype=np.float64)
    except np.linalg.LinAlgError:
        if len(M) == 1:
            return np.full_like(M, np.nan)
        half = len(M) // 2
        return np.concatenate([_factors(M[:half]), _factors(M[half:])])


def _gamma(n: int) -> float:
    """What a sum of n products is off by, as a part of their magnitudes; rounded up."""
    return n * _U / (1 - n * _U) * _UP


def _symmetric(M: Array) -> Array:
    """The lower triangles, mirrored: exactly symmetric."""
    lower = np.tril(M)
    return lower + np.swapaxes(np.tril(M, -1), -1, -2)


def _conditions(network: Elman, task: Task) -> list[list[tuple[list[arb], arb]]]:
    """What must be positive for each output: the logit, or its lead over every other one."""
    Y = task.neurons
    columns = [[arb(row[y]) for row in network.Why] for y in range(Y)]
    by = [arb(b) for b in network.by]
    if task.readout == "bits":
        return [[([-x for x in columns[0]], -by[0])], [(columns[0], by[0])]]
    return [
        [
            ([x - y for x, y in zip(columns[a], columns[b], strict=True)], by[a] - by[b])
            for b in range(Y)
            if b != a
        ]
        for a in range(Y)
    ]


def _exact(rows: Matrix, height: int, width: int) -> Array:
    require(len(rows) == height and all(len(row) == width for row in rows), "a shape")
    numbers = [[float(x) for x in row] for row in rows]
    require(all(isfinite(x) for row in numbers for x in row), "a number that is not finite")
    return np.array(numbers).reshape(height, width)


def _enclosed(balls: Any) -> tuple[Array, Array]:
    """Nested lists of `arb` as doubles, and what these may be off by."""
    if not isinstance(balls, arb):
        middles, errors = zip(*(_enclosed(ball) for ball in balls), strict=True)
        return np.array(middles), np.array(errors)
    middle = float(balls.mid())
    return np.array(middle), np.array(float(abs(balls - arb(middle)).upper()) * _UP)
