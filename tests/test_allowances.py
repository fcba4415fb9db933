"""What the checker adds for rounding, in figures: each bound beside its formula.

A bound that is too small is seen by no example, since rounding errors are hardly ever at their
worst: so every one is compared with what the docstrings of `check`, `check_trees` and
`ellipsoids` derive.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb

from carrynet import tasks
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights, initialise
from carrynet.proof import check as checker, check_trees, ellipsoids
from carrynet.proof.certificate import Rejected
from tests.conftest import by_letters, elman, hand_built_adder
from tests.test_tree import found, steps_of


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    """As `check` sets it."""
    with flint.ctx.workprec(checker.PRECISION):
        yield


def of(*rows: Any) -> Any:
    return np.array(rows, dtype=np.float64)


def random_weights(
    task: tasks.Task, hidden: int, rng: np.random.Generator, dtype: str = "float64"
) -> Weights:
    shapes = (w.shape for w in initialise(task, hidden).values())
    return elman(*(rng.normal(size=shape).astype(dtype) for shape in shapes))


# Boxes ----------------------------------------------------------------------------------


def least_slack_and_margin(network: Network, reach: Any) -> tuple[float, float]:
    """The formulas in the docstring of `check`, in doubles."""
    Wxh, Whh, bh, Why, by = (abs(w.astype(np.float64)) for w in network.weights.values())
    eps, eta = {"float32": (2.0**-24, 2.0**-126), "float64": (2.0**-53, 2.0**-1022)}[
        str(network.dtype)
    ]
    slope = 0.25 if network.activation == "sigmoid" else 1.0

    def off(n: int, size: Any) -> Any:
        return n * eps / (1 - n * eps) * size + 2 * n * eta

    X, H = Wxh.shape
    step = off(H + X + 4, reach @ Whh + Wxh.sum(axis=0) + bh) * slope
    step += 8 * eps * np.maximum(reach, 1)
    return step.max(), (2 * off(H + 4, reach @ Why + by)).max()


def covers(network: Network, reach: Any, slack: float, margin: float) -> bool:
    try:
        checker._check_rounding(
            by_letters(network), network.task, [arb(x) for x in reach], arb(slack), arb(margin)
        )
    except Rejected:
        return False
    return True


def test_the_least_slack_and_the_least_margin_are_the_formulas() -> None:
    """Of 240 networks, from weights that underflow to large ones, in both types."""
    rng, most, near = np.random.default_rng(0), 1e30, 1e-9
    cases = product(
        ["add", "compare", "add:base=3", "multiply_by:k=3"], ["sigmoid", "tanh", "relu"]
    )
    for text, activation in [*cases] * 10:
        for dtype in ("float32", "float64"):
            task = tasks.parse(text)
            scale = 10 ** rng.uniform(-2, 2) if rng.random() < 0.8 else 2.0**-120
            weights = random_weights(task, int(rng.integers(1, 6)), rng)
            weights = elman(*((w * scale).astype(dtype) for w in weights.values()))
            network = Network(task, activation, weights)
            reach = 10 ** rng.uniform(-1, 1, network.hidden)
            slack, margin = least_slack_and_margin(network, reach)
            assert covers(network, reach, slack * (1 + near), margin * (1 + near))
            assert not covers(network, reach, slack * (1 - near), most)
            assert not covers(network, reach, most, margin * (1 - near))


@pytest.mark.parametrize(
    ("dtype", "eta", "huge"), [("float32", -126, 127), ("float64", -1022, 1023)]
)
def test_sums_at_the_ends_of_a_type(dtype: str, eta: int, huge: int) -> None:
    """A sum of nothing is off by 2 n eta; one whose double is 2^huge may be too large."""
    assert checker._rounding(dtype, 3, arb(0)) == 6 * arb((1, eta))
    half = arb((1, huge - 1))
    checker._rounding(dtype, 3, half * (1 - arb((1, -40))))
    with pytest.raises(Rejected, match=f"may overflow {dtype}"):
        checker._rounding(dtype, 3, half)


# Trees ----------------------------------------------------------------------------------


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allowances so large that each of them shows in the sixth digit."""
    constants = {"U": 2.0**-12, "UP": 1.01, "DOWN": 0.98, "LEAST": 1e-3}
    for name, value in constants.items():
        for module in (ellipsoids, check_trees):
            monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(check_trees, "_LOST", 1e-3)


def gamma(n: int) -> float:
    return ellipsoids.UP * n * ellipsoids.U / (1 - n * ellipsoids.U)


def test_the_allowances_are_what_they_are_said_to_be() -> None:
    assert np.finfo(np.float64).eps == 2 * ellipsoids.U
    # u, as a part: of sums of up to 4,000 terms, and a few operations more
    assert 4_100 * ellipsoids.U < ellipsoids.UP - 1 < 1e-11
    assert 4_100 * ellipsoids.U < 1 - ellipsoids.DOWN < 1e-11
    assert 4 * 2.0**-40 < check_trees._LOST < 1e-11
    assert 0 < ellipsoids.LEAST < 1e-200
    with flint.ctx.workprec(200):
        for n in (1, 10, 1000, 10**6):
            u = arb((1, -53))
            assert n * u / (1 - n * u) <= ellipsoids.gamma(n) <= n * u * (1 + 2 * n * u) * 1.01


def test_what_is_made_double_is_enclosed() -> None:
    with flint.ctx.workprec(200):
        third, tenth = arb(1) / 3, arb(1) / 10  # whose doubles are below and above them
        balls = [[third, arb(0, 1e-3), tenth], [arb(7), -third, tenth + arb(0, 1e-17)]]
        middles, errors = ellipsoids.enclosed(balls)
        for row, column in product(range(2), range(3)):
            middle, error = (arb(float(a[row][column])) for a in (middles, errors))
            assert abs(balls[row][column] - middle) <= error
        assert errors[0][0] < 1e-16
        assert errors[0][1] < 1.001e-3
        assert errors[1][0] == 0


def test_a_ball_is_that_of_the_inverse_metric(
    coarse: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the words of a region begin all over its ball."""
    network, claim = found(hand_built_adder)
    T = of([2, 1, 0], [0, 1, -1], [0.5, 0, 1])
    metric_of, begun = [k % 2 for k in range(len(claim.radii))], []
    claim = replace(claim, metrics=[np.eye(3).tolist(), T.tolist()], metric_of=metric_of)
    off = np.random.default_rng(5).uniform(0, 0.02, (3, 3))

    def inverse(T: Any) -> Any:
        """Off by more than it is."""
        return np.linalg.solve(T, np.eye(3)) + off

    def follow(facts: Any, trees: Any, words: Any) -> Any:
        begun.append((words, facts.ball, facts.inner))
        raise Rejected("seen")

    monkeypatch.setattr(np.linalg, "inv", inverse)
    monkeypatch.setattr(check_trees, "_follow", follow)
    facts = by_letters(network)
    drives = checker._drives(facts, network.task)
    steps = check_trees.OfElman.read(facts, network.task, drives)
    with pytest.raises(Rejected, match="seen"):
        check_trees.check(steps, network.task, claim)
    ((words, (first, ball), (_, inner)),) = begun
    X = inverse(T)
    R = np.abs(np.eye(3) - T @ X) + 1.01 * gamma(5) * (np.abs(T) @ np.abs(X) + np.eye(3))
    r = 1.01 * np.sqrt(R.sum(axis=0).max() * R.sum(axis=1).max()) + 1e-3
    lost = np.diag(1.01 * 4 * 3 * gamma(5) * (X**2).sum(axis=1))
    assert np.allclose(inner, (X @ X.T - lost) / (1 + r) ** 2, rtol=1e-9)
    assert np.allclose(ball, (X @ X.T + lost) / (1 - r) ** 2 + 1e-3 * np.eye(3), rtol=1e-9)
    radii = np.array(claim.radii)[:, None, None]
    assert np.allclose(words.shape[1::2], radii[1::2] ** 2 * 1.01 * ball, rtol=1e-9)
    assert np.allclose(words.shape[::2], radii[::2] ** 2 * 1.01 * first, rtol=1e-9)
    assert np.array_equal(words.centre, claim.centres)
    assert words.state.tolist() == list(claim.states)


def test_products_have_their_allowance(coarse: None) -> None:
    rng = np.random.default_rng(6)
    for H in (1, 2, 5):
        root, M = rng.normal(size=(H, H)), rng.normal(size=(H, H))
        Q = root @ root.T
        m = 1.01 * np.abs(M).T @ np.sqrt(np.diag(Q))
        expected = M.T @ Q @ M + np.diag(2 * gamma(2 * H + 8) * H * m**2 + 1e-3)
        assert np.allclose(ellipsoids.congruent(Q[None], M)[0], expected, rtol=1e-9)


@pytest.mark.parametrize(("z", "slope"), [(5.0, 1), (-5.0, 0)])
def test_a_chord_has_its_allowance(z: float, slope: int, coarse: None) -> None:
    """Of a straight piece of a relu, where nothing else is left."""
    k, middle, radius = check_trees.chord("relu", of(z), of(1))
    w = 1.01 * 1 + 8 * 2.0**-12 * abs(z)
    assert (k[0], middle[0]) == (slope, slope * z)
    assert radius[0] == pytest.approx(1.01 * 1e-3 * (1 + abs(z) + w))


def random_facts(rng: np.random.Generator, H: int, leads: float) -> check_trees._Facts:
    """Random weights for `compare`, whose logits have a lead of about `leads`."""
    shapes = (4, H), (3, 2, H), (3, 2)  # 4 symbols; 3 outputs, each of which leads 2 others
    (d, v, b), off = ([draw(size=shape) for shape in shapes] for draw in (rng.normal, rng.random))
    W, T = rng.normal(size=(H, H)), rng.normal(size=(2, H, H)) + 2 * np.eye(H)
    o = np.zeros((H, H))  # for what is not used
    P, metric = T.transpose(0, 2, 1) @ T, np.array([0, 1])
    steps = check_trees.OfElman(tasks.compare(), "tanh", W, d, off[0], v, off[1], b + leads, off[2])
    return check_trees._Facts(
        tasks.compare(), steps, 0.125,
        T, P, o, o, metric, o, o, np.array([0, 0]),
    )  # fmt: skip


def least_lead(
    facts: check_trees._Facts, output: int, Z: Any, r: Any, k: Any, middle: Any, e: Any
) -> float:
    """Of an image, all over it: the lead of the logit that is to be the largest."""
    H, leads = len(Z), []
    for y in range(2):
        v, b = steps_of(facts).rows[output, y], steps_of(facts).offsets[output, y]
        through = v * k
        furthest = 1.01 * np.abs(through) @ r
        ellipsoid = 1.01 * np.sqrt(through @ Z @ through + gamma(2 * H + 8) * furthest**2)
        sizes = np.abs(v) @ np.abs(middle) + abs(b) + np.abs(v) @ e + furthest
        data = steps_of(facts).rows_error[output, y] @ (np.abs(middle) + k * r + e)
        data += steps_of(facts).offsets_error[output, y]
        lost = 1.01 * (2 * gamma(H + 8) * sizes + data) + 1e-3
        leads.append(v @ middle + b - np.abs(v) @ e - ellipsoid - lost)
    return min(leads)


@pytest.mark.parametrize("leads", [100.0, 0.0, -100.0])
def test_a_margin_has_its_allowances(leads: float, coarse: None) -> None:
    rng, H, N, S = np.random.default_rng(9), 3, 2, 4
    facts = random_facts(rng, H, leads)
    root = rng.normal(size=(N, H, H))
    Z, r = root @ root.transpose(0, 2, 1), rng.uniform(0, 1, (N, 1, H))
    k, e = (rng.uniform(0, 1, (N, S, H)) for _ in range(2))
    middle, output = rng.normal(size=(N, S, H)), rng.integers(0, 3, (N, S))
    found = steps_of(facts).margin(output, Z, r, k, middle, e)
    for n, a in product(range(N), range(S)):
        expected = least_lead(facts, output[n, a], Z[n], r[n, 0], k[n, a], middle[n, a], e[n, a])
        assert found[n, a] == pytest.approx(expected, rel=1e-9)


def test_a_step_has_its_allowances(coarse: None) -> None:
    """Word by word, as the docstring of `check_trees` has it, beside all words at once."""
    rng, H, N, S = np.random.default_rng(7), 3, 4, 4
    facts = random_facts(rng, H, 100.0)
    W, (T, other), machine = steps_of(facts).W, facts.T, facts.task.machine
    roots = rng.normal(size=(N, H, H)) / 4
    c, Q = rng.normal(size=(N, H)), roots @ roots.transpose(0, 2, 1)
    state = np.array([0, 1, 2, 1])
    entry = np.array([2, 0, 3, 1])
    follows = np.arange(N * S).reshape(N, S) + 100
    o = np.zeros(0, dtype=np.intp)
    place = np.array([3, 1, 2, 0])  # of entries, among those that are no cuts
    no = np.zeros(N, dtype=bool)
    trees = check_trees._Trees(no, place, 10 + np.arange(N), follows, o.astype(np.int8), o, o)
    words = check_trees._Frontier(c, Q, state, entry)
    images, margin, reach = check_trees._follow(facts, trees, words)
    shapes = images.shapes(np.arange(N * S)[::-1])[::-1]

    margins, reaches = [], []
    for n, a in product(range(N), range(S)):
        m = 1.01 * np.abs(W).T @ np.sqrt(np.diag(Q[n]))
        Z = W.T @ Q[n] @ W + np.diag(2 * gamma(2 * H + 8) * H * m**2 + 1e-3)
        r = 1.01 * np.sqrt(np.diag(Z))
        size = np.abs(c[n]) @ np.abs(W) + np.abs(steps_of(facts).drives[a])
        error = 1.01 * (gamma(H + 2) * size + steps_of(facts).drives_error[a])
        k, middle, e = check_trees.chord("tanh", c[n] @ W + steps_of(facts).drives[a], r + error)
        e = 1.01 * (e + k * error + facts.slack)
        reaches.append(1.01 * (np.abs(middle) + k * r + e))
        margins.append(least_lead(facts, machine.output[state[n]][a], Z, r, k, middle, e))
        child = n * S + a
        assert np.allclose(images.centre[child], middle)
        assert images.state[child] == machine.delta[state[n]][a]
        assert images.follows[child] == follows[place[entry[n]], a]
        assert images.tree[child] == 10 + entry[n]
        shape = shapes[child]
        p = shape[0, 1] / (k[0] * k[1] * Z[0, 1]) - 1  # which may be any positive number
        assert p > 0
        t = np.linalg.norm(T, axis=0)
        total = 1.01 * e @ t
        of_box = 1.01 * (1 + 1 / p) * e * total / t
        expected = (1 + p) * np.outer(k, k) * Z + np.diag(of_box)
        expected[range(H), range(H)] = (1 + 32 * H * ellipsoids.U) * np.diag(expected) + 1e-3
        assert np.allclose(shape, expected, rtol=1e-9)
        s, t = np.sqrt(1 + p) * k, np.linalg.norm(other, axis=0)
        trace = np.trace(other @ (np.outer(s, s) * Z) @ other.T)
        trace += 2 * gamma(3 * H + 8) * (1.01 * (s * r) @ t) ** 2 + 1.01 * of_box @ t**2
        (extent,) = images.extents(np.array([child]), facts.P[1:])
        assert extent == pytest.approx(1.01 * np.sqrt(1.01 * trace + 1e-3), rel=1e-9)
    assert margin == pytest.approx(min(margins), rel=1e-9)
    assert np.allclose(reach, np.max(reaches, axis=0), rtol=1e-9)


def test_a_cut_has_its_allowances(coarse: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut by cut, as the docstring of `halves` has it, beside all at once."""
    for module in (ellipsoids, check_trees):
        monkeypatch.setattr(module, "U", 2.0**-26)  # of which an axis may lose a part
    rng, H, N = np.random.default_rng(16), 3, 5
    facts, roots = random_facts(rng, H, 1.0), rng.normal(size=(N, H, H))
    c, Q = rng.normal(size=(N, H)), roots @ roots.transpose(0, 2, 1)
    texts = ["9a0", "012", "i9i", "00b", "111"]
    axes = of([9, -1, 0], [0, 1, 2], [-9, 9, -9], [0, 0, -2], [1, 1, 1])
    state, entry = np.array([0, 1, 2, 1, 0]), np.array([4, 3, 2, 1, 0])
    ends = [[1, 1, 1, 1], [2, 2, 2, 2]]
    tables = [{"axis": text, "parts": ends} for text in texts]
    trees = check_trees._tables(tables, 4, H)
    assert trees.axes[trees.place[~trees.roots]].tolist() == axes.tolist()
    images, margin, reach = check_trees._cut(facts, trees, words_of(c, Q, state, trees, entry))
    assert (margin, reach.tolist()) == (np.inf, [0] * H)
    for n, i in enumerate(entry):
        a, q = axes[i], 1.01 * np.sqrt(np.diag(Q[n]))
        b = Q[n] @ a
        t = a @ b
        lost = gamma(8 * H + 16) * (1.01 * q @ np.abs(a)) ** 2 / t * (1 + 1e-3)
        off = 1.01 * (lost * q + 4 * ellipsoids.U * np.abs(c[n]))
        expected = 25 / 16 * (Q[n] - 3 / 4 * np.outer(b, b) / t) * (1 + 1e-9)
        expected += np.diag(1.01 * (4 * H * lost * q**2 + 2e9 * H * off**2) + 1e-3)
        for side, sign in enumerate((1, -1)):
            part = 2 * n + side
            assert np.allclose(images.centre[part], c[n] + sign * 3 / 8 * b / np.sqrt(t))
            follows = trees.follows[trees.place[~images.follows[part]]]
            assert (follows.tolist(), images.tree[part]) == (ends[side], i)
            assert images.state[part] == state[n]
            shape = images.shapes(np.array([part]))[0]
            of_shapes = np.diag(np.diag(expected) * 32 * H * ellipsoids.U + 1e-3)
            assert np.allclose(shape, expected + of_shapes, rtol=1e-9)
            assert np.allclose(images.root[n], 1.01 * np.sqrt(np.diag(expected)), rtol=1e-9)


def words_of(c: Any, Q: Any, state: Any, trees: Any, numbers: Any) -> Any:
    """Words at the roots of some trees."""
    return check_trees._Frontier(c, Q, state, ~trees.roots[numbers])


def test_a_distance_has_its_allowance(coarse: None) -> None:
    rng, H, N = np.random.default_rng(10), 3, 5
    T, d, radius = rng.normal(size=(N, H, H)), rng.normal(size=(N, H)), 1.0
    P = T.transpose(0, 2, 1) @ T
    far, v = ellipsoids.distances(P, d, np.full(N, radius))
    for n, distance in enumerate(far):
        s = 1.01 * np.abs(d[n]) @ (1.01 * np.linalg.norm(T[n], axis=0))
        expected = 1.01 * np.sqrt((T[n] @ d[n]) @ (T[n] @ d[n]) + gamma(4 * H + 8) * s**2)
        assert distance == pytest.approx(expected, rel=1e-9)
        assert np.allclose(v[n], P[n] @ d[n])
    nearest, _ = ellipsoids.distances(P, 0 * d, np.full(N, radius))
    assert np.allclose(nearest, 1e-6, rtol=1e-9)


def test_what_an_ellipsoid_reaches_has_its_allowances(coarse: None) -> None:
    """By the entries of the matrix in the metric, one ellipsoid after another."""
    rng, H, N = np.random.default_rng(13), 3, 20
    metrics, roots = rng.normal(size=(2, N, H, H))
    P = metrics.transpose(0, 2, 1) @ metrics
    shape, d, far = roots @ roots.transpose(0, 2, 1), rng.normal(size=(N, H)), rng.uniform(2, 9, N)
    v = (P @ d[:, :, None])[:, :, 0]
    for n, square in enumerate(ellipsoids.reaches(P, shape, d, v, far)):
        T, t = metrics[n], 1.01 * np.linalg.norm(metrics[n], axis=0)
        S, D = T @ shape[n] @ T.T, T @ d[n]
        m2, s2 = (1.01 * np.sqrt(np.diag(shape[n])) @ t) ** 2, (1.01 * np.abs(d[n]) @ t) ** 2
        squares = (S**2).sum() + 2 * gamma(H * H + 4 * H + 16) * m2**2 + 1e-3
        along = D @ S @ D + 2 * gamma(6 * H + 16) * m2 * s2 + 1e-3
        p = far[n] / squares**0.25
        entries = (1 + p) ** 2 * squares + 2 * (1 + p) * (1 + 1 / p) * along
        entries += ((1 + 1 / p) * far[n] ** 2) ** 2
        assert square == pytest.approx(1.01 * np.sqrt(1.01 * entries), rel=1e-9)


@pytest.mark.parametrize("by", ["extent", "reaches"])
def test_to_end_has_its_allowances(by: str, coarse: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the two bounds a word's end is seen by, where the other one says nothing."""
    rng, H, states = np.random.default_rng(12), 3, np.array([0, 0])
    nowhere = lambda T, inner, place, *_: np.zeros(len(place), dtype=bool)  # noqa: E731
    monkeypatch.setattr(check_trees, "lie_inside", nowhere)
    facts, root = random_facts(rng, H, 0.0), rng.normal(size=(H, H))
    place, centre = rng.normal(size=(2, 1, H))
    Z, ones = (root @ root.T)[None], np.ones((1, H))
    far, v = ellipsoids.distances(facts.P[1:], place - centre, of(0))
    first, trees = np.array([0]), check_trees._tables([[1] * 4] * 2, 4, H)
    images = check_trees._Images(place, ones, Z, ones, 0 * ones, states[:1], first + 1, first)
    if by == "extent":
        monkeypatch.setattr(check_trees, "reaches", lambda P, Q, d, v, far: far * np.inf)
        least = (far + images.extents(first, facts.P[1:])) / 0.98
    else:
        nothing = lambda *_: of(np.inf)  # noqa: E731
        monkeypatch.setattr(check_trees._Images, "extents", nothing)
        square = ellipsoids.reaches(facts.P[1:], images.shapes(first), place - centre, v, far)
        least = np.sqrt(square / 0.98)
    for factor, ends in ((1 + 1e-9, True), (1 - 1e-9, False)):
        there = facts._replace(
            centres=np.concatenate([0 * centre, centre]), radii=of(0, factor * least[0])
        )
        if ends:
            assert not check_trees._end(there, trees, images)
            continue
        with pytest.raises(Rejected, match="a leaf is not inside region 1"):
            check_trees._end(there, trees, images)


def to_be_definite(
    T: Any, inner: Any, place: Any, shape: Any, centre: Any, radius: Any
) -> tuple[Any, Any]:
    """M with what is spared on its diagonal, and m^2, as the docstring of `lie_inside` has them."""
    H, up = len(T), 1.01
    d = place - centre
    far = max(np.linalg.norm(T @ d), 1e-6 * radius)
    p = far / (radius - far) if far < radius else np.nan
    terms = 0.98 * radius**2 * inner, up * (1 + p) * shape, up * (1 + 1 / p) * np.outer(d, d)
    m2 = up * sum(np.diag(term) for term in terms)
    return terms[0] - terms[1] - terms[2] - np.diag(4 * gamma(H + 16) * H * m2), m2


def surely_inside(T: Any, inner: Any, place: Any, shape: Any, centre: Any, radius: Any) -> bool:
    """As the docstring of `lie_inside` has it, with every allowance."""
    H, up = len(T), 1.01
    M, m2 = to_be_definite(T, inner, place, shape, centre, radius)
    if np.isnan(M).any():
        return False
    try:
        L = np.linalg.cholesky(M)
    except np.linalg.LinAlgError:
        return False
    left = up * np.abs(M - L @ L.T).max(axis=1)
    left += up * (gamma(H + 4) * (L**2).sum(axis=1) + gamma(12) * m2) + 1e-3
    return bool((left < 4 * gamma(H + 16) * m2).all())


def test_to_be_inside_has_its_allowances(coarse: None) -> None:
    """The radii from which on ellipsoids are inside, for several at once and one by one."""
    rng, H, N = np.random.default_rng(8), 3, 60
    T = rng.normal(size=(N, H, H)) / 4 + 2 * np.eye(H)
    inner = np.linalg.inv(T) @ np.linalg.inv(T).transpose(0, 2, 1)
    roots = rng.normal(size=(N, H, H)) * 10 ** rng.uniform(-1, 0.5, (N, 1, 1))
    shape = roots @ roots.transpose(0, 2, 1)
    place, centre = rng.normal(size=(2, N, H)) * 10 ** rng.uniform(-1, 1, (2, N, 1))
    limits = []
    for n in range(N):
        low, high = 0.0, 1e3
        while high - low > 1e-11 * high:
            middle = (low + high) / 2
            enough = surely_inside(T[n], inner[n], place[n], shape[n], centre[n], middle)
            low, high = (low, middle) if enough else (middle, high)
        limits.append(high)
    for factor, expected in ((1 + 1e-9, True), (1 - 1e-9, False)):
        found = ellipsoids.lie_inside(T, inner, place, shape, centre, np.array(limits) * factor)
        assert (found == expected).all()


def test_factors_are_not_trusted(coarse: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be so far off as the docstring of `lie_inside` has it, and no further."""
    rng, H = np.random.default_rng(11), 3
    T = rng.normal(size=(H, H)) / 4 + 2 * np.eye(H)
    inner = np.linalg.inv(T) @ np.linalg.inv(T).T
    for _ in range(20):
        root, (place, centre) = rng.normal(size=(H, H)), rng.normal(size=(2, H))
        shape, radius = root @ root.T, 60.0
        M, m2 = to_be_definite(T, inner, place, shape, centre, radius)
        L = np.linalg.cholesky(M)
        # of L (1 - f)^1/2 what is left is f M
        may = 4 * gamma(H + 16) * m2 - 1.01 * gamma(12) * m2 - 1e-3
        rows, squares = np.abs(M).max(axis=1), 1.01 * gamma(H + 4) * (L**2).sum(axis=1)
        most = ((may - squares) / (1.01 * rows - squares)).min()
        assert 0 < most < 1
        for factor, expected in ((1 - 1e-9, True), (1 + 1e-9, False)):
            off = L * (1 - factor * most) ** 0.5
            monkeypatch.setattr(ellipsoids, "_factors", lambda M, off=off: off[None])
            args = place[None], shape[None], centre[None], np.array([radius])
            assert ellipsoids.lie_inside(T[None], inner[None], *args) == expected
