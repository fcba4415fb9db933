"""The checker of word trees once more, in ball arithmetic (Arb) and word by word: an oracle.

It follows `check_trees` and `check_affine` in what they do and not in how: every number is an
interval certain to hold the true value, and a comparison is true only if it is certain.  An affine
form has one matrix, as it is written, and not leaves with scales.  Some hundred times slower.

States are followed in exact arithmetic, grown by the slack.  That the slack covers what a network's
own type rounds is not asked here.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from typing import Any, NamedTuple, Protocol

import flint
import numpy as np
from flint import arb, arb_mat

from carrynet.nets.network import Network
from carrynet.proof import check as check_boxes, check_affine, check_trees
from carrynet.proof.certificate import Rejected, TreeCertificate, require
from carrynet.proof.model import Elman, Matrix, Model
from carrynet.proof.search import model
from carrynet.spec.task import Task
from carrynet.watch import Watch

Found = tuple[list[float], float] | None
"""What |h| can reach, and the smallest margin; None of what is rejected."""


def by_balls(network: Network, certificate: TreeCertificate) -> Found:
    """What the checker in ball arithmetic finds."""
    whole, task = model(network), network.task
    with flint.ctx.workprec(80):
        try:
            steps: Steps = OfFormula(whole, task)
            if elman := whole.elman:
                steps = OfElman(elman, task, check_boxes._drives(elman, task))
            reach, margin = check(steps, task, certificate)
        except Rejected:
            return None
        return [float(x.upper()) for x in reach], float(margin.lower())


def by_doubles(network: Network, certificate: TreeCertificate) -> Found:
    """What `check_trees` finds, without what `check` adds."""
    whole, task = model(network), network.task
    with flint.ctx.workprec(80):
        try:
            steps: check_trees.Steps
            if elman := whole.elman:
                drives = check_boxes._drives(elman, task)
                steps = check_trees.OfElman.read(elman, task, drives)
            else:
                steps = check_affine.Steps(whole, task)
            reach, margin = check_trees.check(steps, task, certificate)
        except Rejected:
            return None
        return [float(x) for x in reach], float(margin)


class Image(NamedTuple):
    """Where a word leads that is one symbol longer: centre + x + a box, where x x^T <= shape."""

    centre: arb_mat  # (1, H), exact
    shape: arb_mat  # (H, H)
    box: list[arb]  # (H,)
    margin: Callable[[int], float]  # a lower bound, of what is to be positive for an output


class Steps(Protocol):
    """What a network makes of words that are one symbol longer."""

    width: int  # H, of the whole state
    start: Sequence[float]

    def follow(self, centre: arb_mat, Q: arb_mat, slack: arb) -> list[Image]:
        """The image of {centre + y} for each symbol, grown by the slack in every unit."""


def check(
    steps: Steps, task: Task, certificate: TreeCertificate, watch: Watch | None = None
) -> tuple[list[arb], arb]:
    """Check trees of words: what |h| can reach (H,), and a lower bound of the smallest margin.

    Raises `Rejected`.
    """
    machine, H, S = task.machine, steps.width, len(task.machine.symbols)
    centres, radii = certificate.centres, certificate.radii
    states, trees, slack = certificate.states, certificate.trees, certificate.slack
    regions, metric_of, known = len(trees), certificate.metric_of, len(certificate.metrics)
    require(len(metric_of) == regions >= known > 0, "numbers of metrics")
    require(all(type(k) is int and 0 <= k < known for k in metric_of), "a metric")
    metrics = [_metric(rows, H) for rows in certificate.metrics]
    require(len(centres) == len(radii) == len(states) == regions > 0, "numbers of regions")
    require(isfinite(slack) and slack >= 0, "slack")
    require(all(type(q) is int and 0 <= q < len(machine.states) for q in states), "a state")
    at_start = list(centres[0]) == list(steps.start)
    require(states[0] == 0 and radii[0] == 0 and at_start, "the start point")
    require(all(isfinite(r) and r > 0 for r in radii[1:]), "a radius")
    places = _Places(
        metrics[0].P,
        [metrics[k] for k in metric_of],
        [_matrix([centre], 1, H) for centre in centres],
    )
    margin, reach = float("inf"), [arb(0)] * H
    for i, tree in enumerate(trees):
        if watch is not None:
            watch(i, regions)
        r = arb(radii[i])
        todo = [(places.centres[i], places.metrics[i].ball * (r * r), states[i], tree, False)]
        while todo:
            centre, Q, state, entries, read = todo.pop()
            if type(entries) is dict:
                half, parts = _half(Q, entries, i)
                for sign, entry in zip((1, -1), entries["parts"], strict=True):
                    place = centre + half * sign
                    if type(entry) in (list, dict):
                        todo.append((place, parts, state, entry, read))
                        continue
                    require(read, f"tree {i}: a leaf before the first symbol")
                    require(type(entry) is int and 0 < entry < regions, f"tree {i}: a leaf")
                    require(states[entry] == state, f"tree {i}: a leaf in the wrong state")
                    inside = _inside(places, place, parts, entry, arb(radii[entry]))
                    require(inside, f"tree {i}: a leaf is not inside region {entry}")
                continue
            listed = type(entries) is list and len(entries) == S
            require(listed, f"tree {i}: not one entry a symbol")
            for a, image in enumerate(steps.follow(centre, Q, arb(slack))):
                entry, Q_ = entries[a], _shape(places, image)
                reach = _reach(reach, image)
                output = machine.output[state][a]
                if output is not None:
                    answer = image.margin(output)
                    require(answer > 0, f"tree {i}: an output is not shown to be right")
                    margin = min(margin, answer)
                following = machine.delta[state][a]
                if type(entry) in (list, dict):
                    todo.append((image.centre, Q_, following, entry, True))
                    continue
                # the start point is a region without extent: nothing can end in it
                require(type(entry) is int and 0 < entry < regions, f"tree {i}: a leaf")
                require(states[entry] == following, f"tree {i}: a leaf in the wrong state")
                inside = _inside(places, image.centre, Q_, entry, arb(radii[entry]))
                require(inside, f"tree {i}: a leaf is not inside region {entry}")
    return reach, arb(margin)


LETTERS = {**{str(n): n for n in range(10)}, **{"abcdefghi"[n]: -1 - n for n in range(9)}}


class _Places(NamedTuple):
    P: arb_mat  # (H, H) T^T T of the first metric
    metrics: list["_Metric"]  # of each region
    centres: list[arb_mat]  # (1, H) each


class _Metric(NamedTuple):
    Tt: arb_mat  # T^T
    P: arb_mat  # T^T T
    ball: arb_mat  # T^-1 T^-T, the ellipsoid's matrix of |T h| <= 1


def _metric(rows: Matrix, H: int) -> _Metric:
    T = _matrix(rows, H, H)
    try:
        inverse = T.inv()
    except ZeroDivisionError:
        raise Rejected("the certificate is rejected: a metric cannot be inverted") from None
    return _Metric(T.transpose(), T.transpose() * T, inverse * inverse.transpose())


def _reach(reach: list[arb], image: Image) -> list[arb]:
    """The most that |h| can be, of what was known and of an image."""
    H, centre = len(reach), image.centre.entries()
    here = [abs(centre[j]) + _root(image.shape[j, j]) + image.box[j] for j in range(H)]
    return [max(r, x.upper(), key=float) for r, x in zip(reach, here, strict=True)]


def _shape(places: _Places, image: Image) -> arb_mat:
    """The matrix of an ellipsoid that holds an image of shape M and box e, for any p, t > 0.

    (1 + p) M + (1 + 1/p) diag(e_j^2 / alpha_j), where alpha_j = e_j t_j / sum_i e_i t_i sum to one.
    The p and t are those of `check_trees`, but for rounding; t_j is about P_jj^1/2.
    """
    H, P, M = image.shape.nrows(), places.P, image.shape
    t = [arb(max(float(P[j, j]), 1e-12) ** 0.5) for j in range(H)]
    total = sum((x * y for x, y in zip(image.box, t, strict=True)), arb(0))
    inner = sum((x * y for x, y in zip(P.entries(), M.entries(), strict=True)), arb(0))
    p = arb(min(max(float(total) / max(float(inner), 1e-20) ** 0.5, 1e-6), 1e6))
    grown = M * (1 + p)
    for j in range(H):
        grown[j, j] += (1 + 1 / p) * image.box[j] * total / t[j]
    return grown


def _chord(activation: str, z: arb, w: arb) -> tuple[arb, arb]:
    """k and e such that f(x) - k (x - z) is in e for all x in [z - w, z + w]; any k would do."""
    low, high = (z - w).lower(), (z + w).upper()
    f_low, f_high = _activate(activation, low), _activate(activation, high)
    steepest = 0.25 if activation == "sigmoid" else 1.0
    slope = float((f_high - f_low) / (high - low)) if high > low else 0.0
    k = arb(min(max(slope, 0.0), steepest))
    points = [(low, f_low), (high, f_high)]
    # between the ends, only where f' = k, or at the kink
    if activation == "relu":
        points.append((arb(0), arb(0)))
    elif k > 0:
        part = k / steepest  # sigmoid' / (1/4), at y and 1 - y
        y = part / (2 * (1 + (1 - part).sqrt()))
        x = (y / (1 - y)).log()
        if activation == "tanh":  # tanh x = 2 sigmoid(2 x) - 1
            x, y = x / 2, 2 * y - 1
            points += [(x, y), (-x, -y)]
        else:
            points += [(x, y), (-x, 1 - y)]
    e = points[0][1] - k * (low - z)
    for x, y in points[1:]:
        if not (x < low or x > high):
            e = e.union(y - k * (x - z))
    return k, e


def _activate(activation: str, x: arb) -> arb:
    if activation == "sigmoid":
        return 1 / (1 + (-x).exp())
    if activation == "tanh":
        return x.tanh()
    require(activation == "relu", "the activation")
    return x if x > 0 else arb(0) if x <= 0 else arb.nan()


def _half(Q: arb_mat, cut: dict[str, Any], tree: int) -> tuple[arb_mat, arb_mat]:
    """How far the parts of a cut lie from its centre (1, H), and their matrix."""
    H = Q.nrows()
    axis: Any = cut.get("axis")
    parts: Any = cut.get("parts")
    two = len(cut) == 2 and type(parts) is list and len(parts) == 2
    require(two, f"tree {tree}: not two parts")
    good = type(axis) is str and len(axis) == H and all(a in LETTERS for a in axis)
    require(good, f"tree {tree}: an axis")
    row = arb_mat(1, H, [LETTERS[a] for a in axis])
    b = row * Q
    square = (b * row.transpose())[0, 0]
    require(square > 0, "an axis that a word has no extent along")
    return b * (1 / square.sqrt()) * (arb(3) / 8), (
        Q - b.transpose() * b * (arb(3) / 4 / square)
    ) * (arb(25) / 16)


def _inside(places: _Places, centre: arb_mat, Q: arb_mat, region: int, radius: arb) -> bool:
    """Whether an ellipsoid lies in a region's ball |T (h - centre)| <= radius.

    With B = T^-1 T^-T and d = c - centre it does if for some p > 0 this is positive definite:

        radius^2 B - (1 + p) Q - (1 + 1/p) d^T d

    The p is the one that `check_trees` takes, but for rounding.
    """
    d, metric = centre - places.centres[region], places.metrics[region]
    distance = _root(sum((x * x for x in (d * metric.Tt).entries()), arb(0)))
    if not distance < radius:
        return False
    far, r = max(float(distance), 1e-6 * float(radius)), float(radius)
    if not far < r:
        return False
    p = arb(far / (r - far))
    M = metric.ball * (radius * radius) - Q * (1 + p)
    return _positive_definite((M - d.transpose() * d * (1 + 1 / p)).tolist())


def _positive_definite(rows: list[list[arb]]) -> bool:
    """Whether a symmetric matrix is: all pivots of Gauss's elimination are positive."""
    for i, row in enumerate(rows):
        if not row[i] > 0:
            return False
        for j in range(i + 1, len(rows)):
            factor, other = row[j] / row[i], rows[j]
            for m in range(j, len(rows)):
                other[m] -= factor * row[m]
    return True


# What networks make of words -----------------------------------------------------------


class Affine(NamedTuple):
    """A vector m + L y + r, |r| <= e, of a state {centre + y}."""

    m: list[arb]  # (d,)
    L: arb_mat  # (d, H)
    e: list[arb]  # (d,)

    def spread(self, Q: arb_mat) -> list[arb]:
        """What |L y| is at most."""
        return [_root(x) for x in _diagonal(self.L * Q * self.L.transpose())]

    def least(self, Q: arb_mat, conditions: list[tuple[list[arb], arb]]) -> float:
        """A lower bound for v . h + b over the whole of it, and all conditions."""
        found = []
        for v, b in conditions:
            through = arb_mat(1, len(v), v) * self.L
            for x, m, e in zip(v, self.m, self.e, strict=True):
                b = b + x * m - abs(x) * e
            found.append(float((b - _root((through * Q * through.transpose())[0, 0])).lower()))
        # `min` would pass over what is not a number
        return min(found) if all(isfinite(x) for x in found) else float("nan")


class OfElman:
    """The steps of Elman's cell; `drives` are x Wxh + bh for each symbol."""

    def __init__(self, network: Elman, task: Task, drives: list[list[arb]]) -> None:
        self.width = H = len(network.bh)
        self.start: Sequence[float] = [0.0] * H
        self.activation, self.drives = network.activation, drives
        self.W = _matrix(network.Whh, H, H)
        self.conditions = conditions(network.Why, network.by, task)

    def follow(self, centre: arb_mat, Q: arb_mat, slack: arb) -> list[Image]:
        """A chord and a remainder for each unit."""
        Z, received = self.W.transpose() * Q * self.W, (centre * self.W).entries()
        roots = [_root(x) for x in _diagonal(Z)]
        images = []
        for drive in self.drives:
            k, middle, box = [], [], []
            for x, y, root in zip(received, drive, roots, strict=True):
                slope, remainder = _chord(self.activation, x + y, root)
                k.append(slope)
                middle.append(remainder.mid())
                box.append(remainder.rad() + slack)
            h = Affine(middle, _diagonal_matrix(k), box)
            shape = h.L * Z * h.L
            centre_ = arb_mat(1, len(middle), middle)
            images.append(Image(centre_, shape, box, partial(self._margin, h, Z)))
        return images

    def _margin(self, h: Affine, Z: arb_mat, output: int) -> float:
        return h.least(Z, self.conditions[output])


class OfFormula:
    """The steps of any formula, by affine forms; see `check_affine` for the rules."""

    def __init__(self, model: Model, task: Task) -> None:
        self.model, self.task, self.widths = model, task, model.widths
        self.width = sum(model.widths)
        self.start: Sequence[float] = model.start
        self.cell, self.readout = model.formulas
        *self.layers, self.last, bias = self.readout.instructions
        Why, by = (self.readout.parameter_slots[i.operands[1]] for i in (self.last, bias))
        self.conditions = conditions(model.weights[Why], model.weights[by], task)

    def follow(self, centre: arb_mat, Q: arb_mat, slack: arb) -> list[Image]:
        """Each symbol by itself."""
        images = []
        for symbol in range(len(self.task.machine.symbols)):
            slots, at = self._slots(self.cell), 0
            slots[0] = self._constant([arb(x) for x in self.task.vector(symbol)])
            for part, width in enumerate(self.widths, 1):
                rows = [[int(i == j) for j in range(self.width)] for i in range(at, at + width)]
                here = centre.entries()[at : at + width]
                slots[part] = Affine(here, arb_mat(rows), [arb(0)] * width)
                at += width
            self._interpret((*self.cell.of_input, *self.cell.of_state), slots, Q)
            parts = [_centred(slots[result], slack) for result in self.cell.results]
            L = arb_mat([row for part in parts for row in part.L.tolist()])
            middle = arb_mat([[x for part in parts for x in part.m]])
            box = [x for part in parts for x in part.e]
            margin = partial(self._margin, parts[0], Q)
            images.append(Image(middle, L * Q * L.transpose(), box, margin))
        return images

    def _margin(self, h: Affine, Q: arb_mat, output: int) -> float:
        slots = self._slots(self.readout)
        slots[0] = h
        self._interpret(self.layers, slots, Q)
        v = slots[self.last.operands[0]]
        return v.least(Q, self.conditions[output])

    def _constant(self, m: list[arb]) -> Affine:
        return Affine(m, arb_mat(len(m), self.width), [arb(0)] * len(m))

    def _slots(self, formula: Any) -> list[Any]:
        """Parameters and constants of the network's type, all else empty."""
        slots: list[Any] = [None] * formula.size
        for slot, name in formula.parameter_slots.items():
            value = self.model.weights[name]
            is_matrix = len(self.model.shapes[name]) == 2
            slots[slot] = (
                _matrix(value, *self.model.shapes[name])
                if is_matrix
                else self._constant([arb(x) for x in value])
            )
        for slot, number in formula.constant_slots.items():
            slots[slot] = self._constant([arb(float(np.dtype(self.model.dtype).type(number)))])
        return slots

    def _interpret(self, instructions: Sequence[Any], slots: list[Any], Q: arb_mat) -> None:
        for operation, operands, out in instructions:
            values = [slots[i] for i in operands]
            width = max(len(v.m) for v in values if isinstance(v, Affine))
            if operation != "matmul":
                values = [_repeated(v, width) for v in values]
            slots[out] = _OPERATIONS[operation](Q, *values)


def _repeated(v: Affine, width: int) -> Affine:
    """A vector of one number as one of several."""
    if len(v.m) == width:
        return v
    return Affine(v.m * width, arb_mat(v.L.tolist() * width), v.e * width)


def _centred(v: Affine, slack: arb) -> Affine:
    """The same with an exact centre, and grown."""
    box = [e + m.rad() + slack for m, e in zip(v.m, v.e, strict=True)]
    return Affine([m.mid() for m in v.m], v.L, box)


def _matmul(Q: arb_mat, v: Affine, W: arb_mat) -> Affine:
    size = arb_mat(W.nrows(), W.ncols(), [abs(x) for x in W.entries()])
    m, e = (arb_mat([row]) for row in (v.m, v.e))
    return Affine((m * W).entries(), W.transpose() * v.L, (e * size).entries())


def _sum(sign: int, Q: arb_mat, a: Affine, b: Affine) -> Affine:
    return Affine(
        [x + sign * y for x, y in zip(a.m, b.m, strict=True)],
        a.L + b.L * sign,
        [x + y for x, y in zip(a.e, b.e, strict=True)],
    )


def _product(Q: arb_mat, a: Affine, b: Affine) -> Affine:
    m, e = [], []
    together = _diagonal(a.L * Q * b.L.transpose())
    of_a, of_b = a.spread(Q), b.spread(Q)
    for x, y, c, s, t, d, f in zip(a.m, b.m, together, of_a, of_b, a.e, b.e, strict=True):
        m.append(x * y + c / 2)
        e.append(s * t / 2 + (abs(x) + s) * f + (abs(y) + t) * d + d * f)
    return Affine(m, _diagonal_matrix(a.m) * b.L + _diagonal_matrix(b.m) * a.L, e)


def _mix(Q: arb_mat, z: Affine, n: Affine, h: Affine) -> Affine:
    return _sum(1, Q, n, _product(Q, z, _sum(-1, Q, h, n)))


def _activated(activation: str, Q: arb_mat, v: Affine) -> Affine:
    k, m, e = [], [], []
    for z, s, d in zip(v.m, v.spread(Q), v.e, strict=True):
        slope, remainder = _chord(activation, z, s + d)
        k.append(slope)
        m.append(remainder.mid())
        e.append(remainder.rad() + slope * d)
    return Affine(m, _diagonal_matrix(k) * v.L, e)


_OPERATIONS: dict[str, Callable[..., Affine]] = {
    "matmul": _matmul,
    "add": partial(_sum, 1),
    "subtract": partial(_sum, -1),
    "multiply": _product,
    "mix": _mix,
    **{name: partial(_activated, name) for name in ("sigmoid", "tanh", "relu")},
}


Conditions = list[list[tuple[list[arb], arb]]]
"""Of each output: (v, b), v . h + b > 0."""


def conditions(Why: Matrix, by: Sequence[float], task: Task) -> Conditions:
    """What must be positive for each output: the logit, or its lead over every other one."""
    Y = task.neurons
    columns = _matrix(Why, len(Why), Y).transpose().tolist()
    biases = _matrix([by], 1, Y).entries()
    if task.readout == "bits":
        return [[([-x for x in columns[0]], -biases[0])], [(columns[0], biases[0])]]
    return [
        [
            ([x - y for x, y in zip(columns[a], columns[b], strict=True)], biases[a] - biases[b])
            for b in range(Y)
            if b != a
        ]
        for a in range(Y)
    ]


def _diagonal(M: arb_mat) -> list[arb]:
    return [M[i, i] for i in range(M.nrows())]


def _diagonal_matrix(entries: list[arb]) -> arb_mat:
    n = len(entries)
    return arb_mat(n, n, [x if i == j else arb(0) for i, x in enumerate(entries) for j in range(n)])


def _root(x: arb) -> arb:
    """An upper bound for the square root of a number that is not negative."""
    x = x.upper()
    return arb(0) if x <= 0 else x.sqrt().upper()


def _matrix(rows: Matrix, height: int, width: int) -> arb_mat:
    require(len(rows) == height and all(len(row) == width for row in rows), "a shape")
    numbers = [float(x) for row in rows for x in row]
    require(all(isfinite(x) for x in numbers), "a number that is not finite")
    return arb_mat(height, width, [arb(x) for x in numbers])
