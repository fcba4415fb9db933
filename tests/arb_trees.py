"""The checker of word trees once more, in ball arithmetic (Arb) and word by word: an oracle.

It follows `check_trees` in what it does and not in how: every number is an interval certain to
hold the true value, and a comparison is true only if it is certain.  Some hundred times slower.
"""

from math import isfinite
from typing import Any, NamedTuple

from flint import arb, arb_mat

from carrynet.proof.certificate import Rejected, TreeCertificate, require
from carrynet.proof.model import Elman, Matrix
from carrynet.spec.task import Task
from carrynet.watch import Watch


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
    machine, H, S = task.machine, len(network.bh), len(task.machine.symbols)
    centres, radii = certificate.centres, certificate.radii
    states, trees, slack = certificate.states, certificate.trees, certificate.slack
    W = _matrix(network.Whh, H, H)
    regions, metric_of, known = len(trees), certificate.metric_of, len(certificate.metrics)
    require(len(metric_of) == regions >= known > 0, "numbers of metrics")
    require(all(type(k) is int and 0 <= k < known for k in metric_of), "a metric")
    metrics = [_metric(rows, H) for rows in certificate.metrics]
    require(len(centres) == len(radii) == len(states) == regions > 0, "numbers of regions")
    require(isfinite(slack) and slack >= 0, "slack")
    require(all(type(q) is int and 0 <= q < len(machine.states) for q in states), "a state")
    require(states[0] == 0 and radii[0] == 0 and not any(centres[0]), "the start point")
    require(all(isfinite(r) and r > 0 for r in radii[1:]), "a radius")
    model = _Model(
        network.activation,
        W,
        W.transpose(),
        drives,
        _conditions(network, task),
        arb(slack),
        metrics[0].P,
        [metrics[k] for k in metric_of],
        [_matrix([centre], 1, H) for centre in centres],
    )
    margin, reach = float("inf"), [arb(0)] * H
    for i, tree in enumerate(trees):
        if watch is not None:
            watch(i, regions)
        r = arb(radii[i])
        todo = [(model.centres[i], model.metrics[i].ball * (r * r), states[i], tree, False)]
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
                    inside = _inside(model, place, parts, entry, arb(radii[entry]))
                    require(inside, f"tree {i}: a leaf is not inside region {entry}")
                continue
            listed = type(entries) is list and len(entries) == S
            require(listed, f"tree {i}: not one entry a symbol")
            Z = model.Wt * Q * W
            pairs = zip(model.P.entries(), Z.entries(), strict=True)
            weighted = arb_mat(H, H, [p * z for p, z in pairs])
            for a, entry in enumerate(entries):
                image = _step(model, centre, Z, weighted, a)
                reach = _reach(reach, image, Z)
                output = machine.output[state][a]
                if output is not None:
                    answer = _margin(model, image, Z, output)
                    require(answer > 0, f"tree {i}: an output is not shown to be right")
                    margin = min(margin, answer)
                following = machine.delta[state][a]
                if type(entry) in (list, dict):
                    todo.append((image.centre, _shape(model, image, Z), following, entry, True))
                    continue
                # the start point is a region without extent: nothing can end in it
                require(type(entry) is int and 0 < entry < regions, f"tree {i}: a leaf")
                require(states[entry] == following, f"tree {i}: a leaf in the wrong state")
                Q_ = _shape(model, image, Z)
                inside = _inside(model, image.centre, Q_, entry, arb(radii[entry]))
                require(inside, f"tree {i}: a leaf is not inside region {entry}")
    return reach, arb(margin)


LETTERS = {**{str(n): n for n in range(10)}, **{"abcdefghi"[n]: -1 - n for n in range(9)}}


class _Model(NamedTuple):
    activation: str
    W: arb_mat  # (H, H), and its transpose
    Wt: arb_mat
    drives: list[list[arb]]  # (S, H)
    conditions: list[list[tuple[list[arb], arb]]]  # of each output: (v, b), v . h + b > 0
    slack: arb
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


class _Image(NamedTuple):
    """centre + k x + a box, where x x^T <= Z; the last two as `_shape` splits them."""

    centre: arb_mat  # (1, H), exact
    k: list[arb]  # (H,)
    box: list[arb]  # (H,)
    p: arb
    total: arb  # sum_j box_j t_j, with any t_j > 0; here about P_jj^1/2
    t: list[arb]


def _step(model: _Model, centre: arb_mat, Z: arb_mat, weighted: arb_mat, symbol: int) -> _Image:
    """The image of an ellipsoid under one symbol: a chord and a remainder for each unit.

    `weighted` has the entries P_ij Z_ij, whose form at k is the trace of P k Z k.
    """
    H = Z.nrows()
    received = (centre * model.W).entries()
    k, middle, box = [], [], []
    for j in range(H):
        z = received[j] + model.drives[symbol][j]
        slope, remainder = _chord(model.activation, z, _root(Z[j, j]))
        k.append(slope)
        middle.append(remainder.mid())
        box.append(remainder.rad() + model.slack)
    row = arb_mat(1, H, k)
    inner = (row * weighted * row.transpose())[0, 0]
    t = [arb(max(float(model.P[j, j]), 1e-12) ** 0.5) for j in range(H)]
    total = sum((x * y for x, y in zip(box, t, strict=True)), arb(0))
    ratio = float(total) / max(float(inner), 1e-20) ** 0.5
    p = arb(min(max(ratio, 1e-6), 1e6))
    return _Image(arb_mat(1, H, middle), k, box, p, total, t)


def _reach(reach: list[arb], image: _Image, Z: arb_mat) -> list[arb]:
    """The most that |h| can be, of what was known and of an image."""
    H, centre = Z.nrows(), image.centre.entries()
    here = [abs(centre[j]) + image.k[j] * _root(Z[j, j]) + image.box[j] for j in range(H)]
    return [max(r, x.upper(), key=float) for r, x in zip(reach, here, strict=True)]


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


def _margin(model: _Model, image: _Image, Z: arb_mat, output: int) -> float:
    """A lower bound for v . h + b over the image and all conditions of an output."""
    centre, least = image.centre.entries(), []
    for v, b in model.conditions[output]:
        through = arb_mat(1, len(v), [x * k for x, k in zip(v, image.k, strict=True)])
        spread = _root((through * Z * through.transpose())[0, 0])
        for x, c, e in zip(v, centre, image.box, strict=True):
            b = b + x * c - abs(x) * e
        least.append(float((b - spread).lower()))
    # `min` would pass over what is not a number
    return min(least) if all(isfinite(x) for x in least) else float("nan")


def _shape(model: _Model, image: _Image, Z: arb_mat) -> arb_mat:
    """The matrix of an ellipsoid that holds the image: of k Z k and a box, for any p, t > 0.

    (1 + p) k Z k + (1 + 1/p) diag(e_j^2 / alpha_j), where alpha_j = e_j t_j / sum_i e_i t_i
    sum to one.
    """
    H, k = Z.nrows(), image.k
    scale = 1 + image.p
    scaled = [scale * x for x in k]
    entries = [x * z for x, z in zip((x * y for x in scaled for y in k), Z.entries(), strict=True)]
    for j in range(H):
        entries[j * H + j] += (1 + 1 / image.p) * image.box[j] * image.total / image.t[j]
    return arb_mat(H, H, entries)


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


def _inside(model: _Model, centre: arb_mat, Q: arb_mat, region: int, radius: arb) -> bool:
    """Whether an ellipsoid lies in a region's ball |T (h - centre)| <= radius.

    With B = T^-1 T^-T and d = c - centre it does if for some p > 0 this is positive definite:

        radius^2 B - (1 + p) Q - (1 + 1/p) d^T d

    The p is the one that `check_trees` takes, but for rounding.
    """
    d, metric = centre - model.centres[region], model.metrics[region]
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


def _conditions(network: Elman, task: Task) -> list[list[tuple[list[arb], arb]]]:
    """What must be positive for each output: the logit, or its lead over every other one."""
    Y = task.neurons
    columns = _matrix(network.Why, len(network.bh), Y).transpose().tolist()
    by = _matrix([network.by], 1, Y).entries()
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


def _root(x: arb) -> arb:
    """An upper bound for the square root of a number that is not negative."""
    x = x.upper()
    return arb(0) if x <= 0 else x.sqrt().upper()


def _matrix(rows: Matrix, height: int, width: int) -> arb_mat:
    require(len(rows) == height and all(len(row) == width for row in rows), "a shape")
    numbers = [float(x) for row in rows for x in row]
    require(all(isfinite(x) for x in numbers), "a number that is not finite")
    return arb_mat(height, width, [arb(x) for x in numbers])
