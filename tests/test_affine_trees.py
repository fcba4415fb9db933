"""Trees of words for any formula: found, checked by affine forms, refused when forged."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import flint
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import carrynet as cn
from carrynet import tasks
from carrynet.nets import cells
from carrynet.nets.arrays import ACTIVATIONS
from carrynet.nets.formula import Formula, stack
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights, initialise
from carrynet.proof import affine, check_affine, check_trees, grown, search, trees as tree
from carrynet.proof.certificate import Rejected, TreeCertificate, from_json
from carrynet.proof.check import check
from carrynet.proof.check_affine import Steps
from carrynet.proof.search import model
from carrynet.proof.tree_model import tree_model
from carrynet.proof.verdict import Proved, Undecided
from carrynet.report.space import ellipses, principal_plane
from carrynet.spec.task import Task
from tests import arb_trees
from tests.conftest import cross_examine, hand_built_adder
from tests.test_check_formula import by_hand
from tests.test_tree import TAMPERED, tanh_adder

DEEP = Formula.parse("m = tanh(h @ Wm + bm)\nlogits = m @ Why + by", ("h",), "logits")


def stacked() -> Network:
    """The tanh adder, and above it a layer that passes on what it answers."""
    W = tanh_adder().weights
    above = {"Wxh_2": W.Why, "Whh_2": 0 * np.eye(1), "bh_2": np.zeros(1)}
    below = {"Wxh_1": W.Wxh, "Whh_1": W.Whh, "bh_1": W.bh}
    out = {"Why": np.array([[4.0]]), "by": np.array([0.0])}
    return Network(
        tasks.add(), stack([cells.formula("tanh")] * 2), Weights({**above, **below, **out})
    )


def read_out_twice() -> Network:
    """A GRU whose readout has a layer between, begun at a state that is learned."""
    right = by_hand(tasks.add(), "gru")
    H = right.hidden
    between = {"Wm": (3 * np.eye(H)).astype("f4"), "bm": np.zeros(H, "f4")}
    return Network(right.task, right.cell, Weights({**right.weights, **between}), DEEP)


def forgetting(dtype: str = "float32") -> Network:
    """What its own equations remember fades, and is multiplied by a constant, and by itself.

    It repeats the last symbol; the other unit drifts slowly between -1 and 1.
    """
    text = "k = tanh(x @ Wxk + bk)\nh = 0.9 * mix(sigmoid(h @ Whz + bz), k, h) + 0.05 * h * k"
    weights = {
        "Wxk": [[8.0, 3.0]], "bk": [-4.0, -1.0], "Whz": [[0.0, 0.5], [0.0, 0.0]],
        "bz": [-8.0, 1.0], "Why": [[9.0], [0.3]], "by": [0.0],
    }  # fmt: skip
    arrays = {name: np.array(value, dtype) for name, value in weights.items()}
    return Network(tasks.multiply_by(1), Formula.parse(text), Weights(arrays))


MAKE: dict[str, Callable[[], Network]] = {
    "gru": lambda: by_hand(tasks.add(), "gru", sharpness=3.0),
    "gru-reset-before": lambda: by_hand(tasks.parse("tomita:5"), "gru-reset-before"),
    "lstm": lambda: by_hand(tasks.parse("parity"), "lstm"),
    "mgu, float64": lambda: by_hand(tasks.compare(), "mgu", "float64"),
    "a stack": stacked,
    "a readout of two layers": read_out_twice,
    "an own cell": forgetting,
    "an own cell, float64": lambda: forgetting("float64"),
}


@cache
def found(name: str, *, by_numpy: bool = False) -> tuple[Network, TreeCertificate]:
    network = MAKE[name]()
    assert not network.elman
    if by_numpy:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grown, "refuses", lambda network: "not here")
            patch.delattr(grown.Grown, "grow")
            certificate = tree.search(network, slack=1e-6, deadline=time.monotonic() + 60)
        assert certificate is not None
        return network, certificate
    certificate = tree.search(network, slack=1e-6, deadline=time.monotonic() + 60)
    assert certificate is not None
    return network, certificate


@pytest.mark.parametrize("by_numpy", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_networks_of_any_cell_are_proved_and_cross_examined(name: str, by_numpy: bool) -> None:
    network, certificate = found(name, by_numpy=by_numpy)
    checked = check(model(network), certificate)
    assert checked.margin > 0
    assert checked.slack == certificate.slack
    assert from_json(certificate.to_json()) == certificate
    # in float32 its own rounding takes much of the slack
    cross_examine(network, {"float32": 0.0, "float64": certificate.slack}, 48, 200)


def test_wrong_networks_are_not_proved() -> None:
    right = by_hand(tasks.add(), "gru")
    deaf = Network(right.task, right.cell, right.weights.replace(Whn=0 * right.weights.Whn))
    assert tree.search(deaf, slack=1e-6, deadline=time.monotonic() + 10) is None


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_noticed(how: str) -> None:
    network, certificate = found("gru")
    message, tamper = TAMPERED[how]
    message = f"{message}|does not cover the rounding|its slack is negative"
    if how.startswith("a start elsewhere"):  # it is elsewhere
        start = [[x + 1e-9 for x in certificate.centres[0]], *certificate.centres[1:]]
        tamper = lambda c: replace(c, centres=start)  # noqa: E731
    with pytest.raises(Rejected, match=message):
        check(model(network), tamper(certificate))


@pytest.mark.parametrize("name", ["gru", "lstm", "an own cell", "a readout of two layers"])
def test_no_certificate_is_for_a_neighbour(name: str) -> None:
    """Weights that are a little off in one place, under the digest of the others."""
    network, certificate = found(name)
    for part, array in network.weights.items():
        if part.endswith("_start"):
            continue
        off = array.copy()
        off.flat[int(np.abs(array).argmax())] *= -1
        other = Network(network.task, network.cell, network.weights.replace(**{part: off}),
                        network.readout)  # fmt: skip
        if not np.abs(array).max():
            continue
        with pytest.raises(Rejected, match=r"it is about (another|other)"):
            check(model(other), certificate)
        forged = replace(certificate, **other.about)
        try:
            check(model(other), forged)
        except Rejected:
            continue
        words = np.random.default_rng(1).integers(0, network.symbols, (20, 100)).tolist()
        assert all(other.transduce(w) == network.task.machine.transduce(w) for w in words)


def test_slack_has_to_cover_rounding() -> None:
    for name, least in (("gru", 1e-7), ("an own cell", 1e-7), ("an own cell, float64", 1e-16)):
        network, certificate = found(name)
        with pytest.raises(Rejected, match="its slack does not cover the rounding of float"):
            check(model(network), replace(certificate, slack=least))


def test_sums_may_not_overflow() -> None:
    network, certificate = found("gru")
    for part in ("Wxn", "bhn", "by"):
        huge = network.weights[part] * 0 + np.float32(2e38)
        other = Network(network.task, network.cell, network.weights.replace(**{part: huge}))
        with pytest.raises(Rejected, match="may overflow float32"):
            check(model(other), replace(certificate, **other.about))


@pytest.mark.parametrize(("dtype", "doubled"), [("float32", 24), ("float32", 25), ("float64", 54)])
@pytest.mark.parametrize("where", ["readout", "cell"])
def test_sums_of_too_many_terms_are_refused(where: str, dtype: str, doubled: int) -> None:
    """A bound on their roundings would be negative, and the margin the larger for it."""
    more = "\n".join(["z = z + z"] * doubled)
    inner, outer = (f"{more}\n", "") if where == "cell" else ("", f"{more}\n")
    cell = Formula.parse(f"z = x @ Wxh + bh + h @ Whh\n{inner}h = 0.5 * tanh(z)")
    readout = Formula.parse(f"z = h @ W1 + b1\n{outer}logits = z @ Why + by", ("h",), "logits")
    task = tasks.parse("parity")
    weights = initialise(task, 2, cell, readout=readout, width=0.1, dtype=dtype)
    network, delta = Network(task, cell, weights, readout), task.machine.delta
    forged = TreeCertificate(
        **network.about, slack=1e-3, metrics=[np.eye(2).tolist()], metric_of=[0] * 3,
        centres=[[0.0, 0.0]] * 3, radii=[0.0, 5.0, 5.0], states=[0, 0, 1],
        trees=[[to + 1 for to in delta[q]] for q in (0, 0, 1)],
    )  # fmt: skip
    with pytest.raises(Rejected, match=f"sums have too many terms for {dtype}"):
        check(model(network), forged)


def test_what_underflows_is_not_lost() -> None:
    """A map of 1e-324 is 0 as a double: of a word that is 1e150 wide it is what the answer is."""
    text = "state = h, a\nh = x @ Wxh + a * w1 * w2 * w3\na = relu(x @ Wxa + ba)"
    values = {
        "Wxh": [[1e-78]], "Wxa": [[1e150]], "w1": [1e-300], "w2": [-1e-24], "w3": [1e100],
        "ba": [0.0], "Why": [[1.0]], "by": [-5e-79],
    }  # fmt: skip
    weights = Weights({name: np.array(value) for name, value in values.items()})
    network = Network(tasks.multiply_by(1), Formula.parse(text), weights)
    word = [1, 1, 0, 1]
    assert network.transduce(word) != network.task.machine.transduce(word)
    wide = np.diag([1e-50, 1e-152]).tolist()
    forged = TreeCertificate(
        **network.about, slack=1e-85, metrics=[np.eye(2).tolist(), wide], metric_of=[1, 1],
        centres=[[0.0, 0.0]] * 2, radii=[0.0, 1.0], states=[0, 0], trees=[[1, 1], [1, 1]],
    )  # fmt: skip
    with pytest.raises(Rejected, match="a word that is too wide"):
        check(model(network), forged)


def test_what_would_need_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network, certificate = found("gru")
    for constant, value, why in (
        ("_MOST_TERMS", 7, "up to 7 units a layer"),
        ("_MOST_NUMBERS", 255, "fewer units, or fewer symbols"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(check_affine, constant, value)
            with pytest.raises(Rejected, match=why):
                check(model(network), certificate)


# One step ---------------------------------------------------------------------------------

ONE_STEP: dict[str, tuple[str, Formula | None]] = {
    "gru": ("gru", None),
    "lstm": ("lstm", None),
    "mgu": ("mgu", None),
    "a stack": ("gru,elman", None),
    "a deep readout": ("tanh", DEEP),
    "products and a constant": (
        """
        state = h, c
        r = x @ Wxr + br + h @ Whr
        c = 0.7 * c - relu(r) * tanh(c @ Wc)
        h = sigmoid(r + c) * (h + 0.1)
        """,
        None,
    ),
    "a part that the state does not reach": (
        "state = h, c\nc = x @ Wxc\nh = tanh(h @ Whh + c)",
        None,
    ),
}


def network_of(name: str, rng: np.random.Generator, task: Task, scale: float) -> Network:
    """Of random weights; what it answers is of no account."""
    text, readout = ONE_STEP[name]
    cell = Formula.parse(text) if "=" in text else cells.formula(text)
    weights = initialise(task, int(rng.integers(1, 5)), cell, readout=readout)
    drawn = weights.map(lambda w: (scale * rng.normal(size=w.shape)).astype(w.dtype))
    return Network(task, cell, drawn, readout)


@given(st.sampled_from(sorted(ONE_STEP)), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_a_step_holds_every_state_that_follows(name: str, seed: int) -> None:
    """From all over an ellipsoid, with its boundary: in every direction, and tightly at times."""
    rng = np.random.default_rng(seed)
    task = tasks.parse(str(rng.choice(["add", "compare", "tomita:3"])))
    network = network_of(name, rng, task, float(10 ** rng.uniform(-1, 0.7)))
    D, S, whole = len(network.start), network.symbols, model(network)
    root = rng.normal(size=(D, D)) * 10 ** rng.uniform(-5, 0)
    c, Q = rng.uniform(-1, 1, D), root @ root.T + 1e-14 * np.eye(D)
    y = rng.normal(size=(300, D))
    y /= np.linalg.norm(y, axis=1)[:, None] * rng.choice([1.0, 1.0, 2.0], 300)[:, None]
    states = c + y @ np.linalg.cholesky(Q).T
    q, slack = rng.integers(0, len(task.machine.states), 1), 0.01 * 10 ** rng.uniform(0, 1)
    with flint.ctx.workprec(80), np.errstate(all="ignore"):
        got = Steps(whole, task).follow(c[None], Q[None], q, slack)
    v = rng.normal(size=(200, D))
    exact, single = network.astype("float64"), network.astype("float32")
    after = exact.children(states)  # (300, S, D)
    computed = single.children(states.astype("f4"))
    assert np.abs(computed - exact.children(states.astype("f4").astype(float))).max() <= slack
    after = after + slack * rng.choice([-1, 1], after.shape)
    centre, Z, box = (a.reshape(S, *a.shape[2 if i != 1 else 1:]) for i, a in
                      enumerate((got.centre, got.Z, got.box)))  # fmt: skip
    for a in range(S):
        reach = np.sqrt(np.einsum("vi,ij,vj->v", v, Z[a], v)) + np.abs(v) @ box[a]
        assert (np.abs((after[:, a] - centre[a]) @ v.T) <= reach * (1 + 1e-9)).all()
    logits = exact.read(after)
    for a, output in enumerate(task.machine.output[q[0]]):
        if output is None:
            continue
        mine = logits[:, a]
        if task.readout == "bits":
            margins = mine[:, 0] * (1 if output else -1)
        else:
            margins = (mine[:, [output]] - np.delete(mine, output, axis=1)).min(axis=1)
        assert got.margin[0, a] <= margins.min()


@given(st.sampled_from(sorted(ONE_STEP)), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_a_step_is_that_of_balls(name: str, seed: int) -> None:
    """Of random formulas over ellipsoids small and large, in figures."""
    rng = np.random.default_rng(seed)
    task = tasks.parse(str(rng.choice(["add", "compare", "tomita:3"])))
    network = network_of(name, rng, task, float(10 ** rng.uniform(-1, 0.7))).astype("float64")
    D, whole, slack = len(network.start), model(network), 1e-6
    root = rng.normal(size=(D, D)) * 10 ** rng.uniform(-4, 0)
    c, Q = rng.uniform(-1, 1, D), root @ root.T + 1e-10 * np.eye(D)
    Q, q = (Q + Q.T) / 2, rng.integers(0, len(task.machine.states), 1)
    with flint.ctx.workprec(80), np.errstate(all="ignore"):
        got = Steps(whole, task).follow(c[None], Q[None], q, slack)
        images = arb_trees.OfFormula(whole, task).follow(
            flint.arb_mat([c.tolist()]), flint.arb_mat(Q.tolist()), flint.arb(slack)
        )
        for a, image in enumerate(images):
            away = np.abs(got.centre[a, 0] - [float(x) for x in image.centre.entries()])
            box = np.array([float(x.upper()) for x in image.box])
            # the radii of balls have 30 bits only
            assert (box + away <= got.box[a, 0] * (1 + 1e-7)).all()
            assert np.allclose(got.box[a, 0], box, rtol=1e-6)
            Z = np.array([float(x) for x in image.shape.entries()]).reshape(D, D)
            assert np.abs(got.Z[a] - Z).max() <= 1e-7 * np.abs(Z).max() + 1e-14
            output = task.machine.output[q[0]][a]
            if output is not None:
                margin = image.margin(output)
                assert np.isclose(got.margin[0, a], margin, rtol=1e-6, atol=1e-6)


def test_a_step_is_tight_where_it_is_small() -> None:
    """Of small ellipsoids L is the derivative, and all else is small beside them."""
    rng, task = np.random.default_rng(3), tasks.add()
    for name in ONE_STEP:
        network = network_of(name, rng, task, 0.7).astype("float64")
        D, size = len(network.start), 1e-5
        c = rng.uniform(0.1, 0.9, (1, D))
        with flint.ctx.workprec(80), np.errstate(all="ignore"):
            got = Steps(model(network), task).follow(c, size**2 * np.eye(D)[None], np.zeros(1, int),
                                                     1e-12)  # fmt: skip
        moved = network.children(c + 1e-6 * np.eye(D)) - network.children(c - 1e-6 * np.eye(D))
        J = moved.transpose(1, 0, 2) / 2e-6  # (S, D, D), of each unit before
        expected = size**2 * J.swapaxes(1, 2) @ J
        assert np.allclose(got.Z, expected, rtol=1e-3, atol=1e-4 * size**2)
        assert np.allclose(got.centre[:, 0], network.children(c)[0], atol=1e-8)
        assert got.box.max() < 1e-3 * size


# The operations, in figures -----------------------------------------------------------------


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allowances so large that each of them shows."""
    monkeypatch.setattr(check_affine, "LEAST", 1e-3)
    monkeypatch.setattr(check_affine, "UP", 1.001)
    monkeypatch.setattr(check_affine, "gamma", lambda n: n * 2.0**-12)


def covers(found: Any, expected: Any) -> bool:
    """Whether a bound is what it should be, and rounded upward at least once, but not often."""
    return bool((found >= 1.000999 * expected).all() and (found <= 1.008 * expected).all())


def value(
    affine: check_affine.Affine, rng: np.random.Generator, d: int, D: int, roundings: int
) -> Any:
    """Linear by a leaf of its own."""
    m, L = rng.normal(size=(1, 1, d)), rng.normal(size=(1, 1, d, D))
    e, g, more = rng.uniform(0, 0.1, (3, 1, 1, d))
    A = np.abs(L).sum(axis=-1)
    k = affine.leaf(L, A)
    return check_affine.Value(m, k, e, A, g, np.abs(m) + A + e + more, roundings)


def test_every_operation_has_its_allowances(coarse: None) -> None:
    """With Q = 1: beside the docstring's figures, and what rounding may add."""
    rng, d, D, eps, U = np.random.default_rng(2), 3, 4, 2.0**-24, 2.0**-12
    for _ in range(20):
        affine = check_affine.Affine("float32", np.eye(D)[None])
        a, b, c = (value(affine, rng, d, D, n) for n in (0, 3, 2))
        L_a, L_b, L_c = (affine.whole(v) for v in (a, b, c))
        eta = 2 * 3 * 2.0**-126
        settled = affine.settled(b)
        assert covers(settled.g, b.g + 3 * eps / (1 - 3 * eps) * b.size + eta)
        assert settled.roundings == 0

        total: Any = affine._subtract(a, b)
        sizes = np.abs(a.m) + a.A + np.abs(b.m) + b.A
        assert np.allclose(total.m, a.m - b.m)
        assert np.allclose(affine.whole(total), L_a - L_b)
        assert covers(total.e, a.e + b.e + 4 * U * sizes + 1e-3)
        assert covers(total.g, a.g + b.g)
        assert covers(total.size, a.most + a.g + b.size)
        assert total.roundings == 4

        W = rng.normal(size=(d, 2))
        product: Any = affine._matmul(b, W)
        assert np.allclose(affine.whole(product), W.T @ L_b)
        assert covers(product.e, b.e @ np.abs(W) + 2 * (d + 5) * U * (b.most @ np.abs(W)) + 1e-3)
        assert covers(product.g, settled.g @ np.abs(W))
        assert covers(product.size, (b.most + settled.g) @ np.abs(W))
        assert product.roundings == d

        tiny = 4e-3 * max(1.0, affine.largest)  # two leaves, whose scales are 1

        s, t = (
            np.sqrt((L**2).sum(axis=-1) + 2 * (2 * D + 10) * U * v.A**2 + tiny)
            for v, L in ((a, L_a), (c, L_c))
        )
        both: Any = affine._multiply(a, c)
        gc = affine.settled(c).g
        cross = (L_a * L_c).sum(axis=-1)
        sizes = (np.abs(a.m) + a.A + a.e) * (np.abs(c.m) + c.A + c.e)
        expected = s * t / 2 + (np.abs(a.m) + s) * c.e + (np.abs(c.m) + t) * a.e + a.e * c.e
        assert np.allclose(both.m, a.m * c.m + cross / 2)
        assert np.allclose(affine.whole(both), a.m[..., None] * L_c + c.m[..., None] * L_a)
        lost = 2 * (2 * D + 10) * U * sizes + tiny + 1e-3 * (1 + a.A + c.A)
        assert covers(both.e, expected + lost)
        g = (np.abs(a.m) + s + a.e) * gc + (np.abs(c.m) + t + c.e) * a.g + a.g * gc
        assert covers(both.g, g)
        assert (both.roundings, both.size.shape) == (1, (1, 1, d))
        assert covers(both.size, (a.most + a.g) * (c.most + gc))

        squeezed: Any = affine._activate("relu", total)
        lost = 2 * 2 * U * squeezed.A + 1e-3 * (1 + a.A + b.A)
        k = squeezed.k[0] / total.k[0]
        z = affine.settled(total)
        width = (affine.spread(z) + z.e) * 1.001
        rest = check_trees.chord("relu", z.m, width)[2]
        assert covers(squeezed.A, k * total.A)
        assert covers(squeezed.e, rest + k * total.e + lost)


@pytest.mark.parametrize("task", ["add", "compare"])
def test_a_margin_has_its_allowances(task: str, coarse: None) -> None:
    """One condition after another, as the docstrings have them; of weights that are exact."""
    rng, U, eps = np.random.default_rng(5), 2.0**-12, 2.0**-24
    network = network_of("gru", rng, tasks.parse(task), 1.0)
    W, b = (network.weights[name].astype(float) for name in ("Why", "by"))
    H, steps = network.hidden, Steps(model(network), network.task)
    affine = check_affine.Affine("float32", np.eye(H)[None])
    h = value(affine, rng, H, H, 0)
    with flint.ctx.workprec(80):
        found = steps._margin(affine, h, np.array([0]))
    (L,) = affine.whole(h)[0]
    sizes = (np.abs(h.m) + h.A + h.e + h.g)[0, 0]
    off = (H + 1) * eps * (sizes @ np.abs(W) + np.abs(b)).max()
    for a, output in enumerate(network.task.machine.output[0]):
        assert output is not None
        rows = [(2 * output - 1) * W[:, 0]], [(2 * output - 1) * b[0]]
        if task == "compare":
            others = [y for y in range(3) if y != output]
            rows = [W[:, output] - W[:, y] for y in others], [b[output] - b[y] for y in others]
        margins = []
        for r, offset in zip(*rows, strict=True):
            A = np.abs(r) @ h.A[0, 0]
            through = r @ L
            tiny = 1e-3 * max(1.0, np.abs(through).max())
            spread = np.sqrt(through @ through + 2 * (2 * H + 8) * U * A**2 + tiny)
            lost = 2 * (H + 8) * U * (np.abs(r) @ sizes + abs(offset)) + 1e-3
            away = np.abs(r) @ (h.e + h.g)[0, 0] + spread + 2 * (H + 5) * U * A + lost + 2 * off
            margins.append((r @ h.m[0, 0] + offset - away, away))
        least = min(margin for margin, _ in margins)
        assert found[0, a] <= least
        assert found[0, a] >= least - 0.01 * max(away for _, away in margins)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_the_steepest_slope_is_no_less_than_any(activation: str) -> None:
    x = np.linspace(0, 40, 4001)
    with flint.ctx.workprec(200):
        for least in x[::40]:
            z = flint.arb(float(least))
            slope = {
                "sigmoid": 1 / (2 + z.exp() + (-z).exp()), "tanh": 1 / z.cosh() ** 2,
                "relu": flint.arb(1),
            }[activation]  # fmt: skip
            found = check_affine.steepest(activation, np.array([least]))[0]
            assert slope <= flint.arb(float(found))
            assert float(found) <= float(slope) * (1 + 1e-6)


# The search ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONE_STEP)
def test_the_search_reads_a_step_as_the_checker_does(name: str) -> None:
    """The same maps and errors, for one symbol each too; and derivatives of small words."""
    rng, task = np.random.default_rng(7), tasks.add()
    network = network_of(name, rng, task, 0.6)
    D, S, N = len(network.start), network.symbols, 5
    c, root = rng.uniform(-0.5, 0.5, (N, D)).astype("f4"), 0.2 * rng.normal(size=(N, D, D))
    Q = (root @ root.swapaxes(1, 2) + 1e-3 * np.eye(D)).astype("f4")
    images = affine.Images(network, c, Q)
    with flint.ctx.workprec(80), np.errstate(all="ignore"):
        got = Steps(model(network), task).follow(c.astype(float), Q.astype(float), np.zeros(N, int),
                                                 1.0)  # fmt: skip
    assert np.allclose(images.m.reshape(N * S, D), got.centre[:, 0], atol=1e-5)
    assert np.allclose(images.e.reshape(N * S, D) + 1, got.box[:, 0], atol=1e-4)
    assert np.allclose(images.shapes().reshape(N * S, D, D), got.Z, atol=1e-4)
    symbols = rng.integers(0, S, N)
    alone = affine.Images(network, c, Q, symbols)
    assert np.allclose(alone.m[:, 0], images.m[np.arange(N), symbols], atol=1e-6)
    assert np.allclose(alone.e[:, 0], images.e[np.arange(N), symbols], atol=1e-6)
    double, step = network.astype("float64"), 1e-5
    J = affine.jacobians(network, c, symbols)
    for i in range(D):
        off = step * np.eye(D)[i]
        moved = double.step(c + off, symbols) - double.step(c - off, symbols)
        assert np.allclose(J[:, :, i], moved / (2 * step), atol=1e-3)


@pytest.mark.parametrize("name", affine.CHORDS)
def test_a_chord_of_the_search_is_one(name: str) -> None:
    rng = np.random.default_rng(1)
    z, w = rng.normal(size=300) * 5, 10 ** rng.uniform(-5, 1, 300)
    k, middle, rho = affine.CHORDS[name](z, w)
    x = z + w * np.linspace(-1, 1, 201)[:, None]
    away = np.abs(ACTIVATIONS[name].f(x) - middle - k * (x - z)).max(axis=0)
    assert (away <= rho + 1e-9).all()
    assert np.allclose(away, rho, rtol=0.02, atol=1e-7)


OF_THE_INPUT = "state = h, p\nh = tanh(x @ Wxh + bh + p @ Wph + h @ Whh)\np = tanh(x @ Wxp + bp)"


def test_a_part_of_the_state_may_be_of_the_input_alone(without_boxes: None) -> None:
    """It has been read a symbol before: nothing of the state leads to it."""
    task = tasks.multiply_by(1)
    weights = initialise(task, 2, Formula.parse(OF_THE_INPUT))
    loud = weights.map(lambda w: 0 * w).replace(
        Wxh=np.array([[8.0, 8.0]], "f4"), bh=np.array([-4.0, -4.0], "f4"),
        Wxp=np.array([[1.0, 2.0]], "f4"), Why=np.array([[4.0], [4.0]], "f4"),
    )  # fmt: skip
    verdict = cn.prove(Network(task, Formula.parse(OF_THE_INPUT), loud), budget=10)
    assert isinstance(verdict, Proved)
    assert verdict.method == "trees"


def test_weights_that_no_search_can_hold(without_boxes: None) -> None:
    """Beyond float32; and so large that sums of squares lose what is to be definite."""
    task, cell = tasks.multiply_by(1), "gru"
    weights = initialise(task, 3, cell, dtype="float64")
    for scale in (1e3, 1e12, 1e30):
        network = Network(task, cell, weights.map(lambda w, by=scale: w * by))
        assert tree.refuses(network) is None
        tree.search(network, slack=1e-6, deadline=time.monotonic() + 0.5)
    beyond = Network(task, cell, weights.map(lambda w: w * 1e39))
    assert "too large for that" in str(tree.refuses(beyond))


def test_metrics_make_the_maps_of_no_more_symbols_than_they_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One for each step, of 256: what all of them would take is more than a search has."""
    made: list[int] = []
    maps = affine.Images.L

    class Seen(affine.Images):
        @property
        def L(self) -> Any:
            found = maps.fget(self)  # type: ignore[attr-defined]
            made.append(found.shape[1])
            return found

    monkeypatch.setattr(affine, "Images", Seen)
    task = tasks.add(base=16)
    network = Network(task, "gru", initialise(task, 8, "gru"))
    assert tree_model(network, 1e-6) is not None
    assert made
    assert set(made) == {1}


@pytest.fixture
def without_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_by_boxes", lambda network, tell: "none closed")


def test_gated_networks_are_proved_by_trees(without_boxes: None) -> None:
    said: list[str] = []
    network = by_hand(tasks.parse("tomita:5"), "gru")
    verdict = cn.prove(network, budget=20, tell=said.append)
    assert isinstance(verdict, Proved)
    assert verdict.method == "trees"
    assert any(step.startswith("trees of words") for step in said)
    assert not any("walkers" in step for step in said)


def test_of_what_is_too_large_there_are_no_trees(without_boxes: None) -> None:
    large = Network(tasks.add(), "gru", initialise(tasks.add(), 129, "gru"))
    assert "up to 128 units in all parts of the state" in str(tree.refuses(large))
    many = tasks.add(base=16)
    assert tree.refuses(Network(many, "gru", initialise(many, 128, "gru"))) is None
    deep = initialise(many, 128, "gru", readout=DEEP)
    wide = {"Wm": np.zeros((128, 513), "f4"), "bm": np.zeros(513, "f4")}
    out = {"Why": np.zeros((513, many.neurons), "f4")}
    wider = Network(many, "gru", Weights({**deep, **wide, **out}), DEEP)
    assert "fewer units, or fewer symbols" in str(tree.refuses(wider))


def test_two_thirds_of_a_budget_are_for_walkers(
    without_boxes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, given = by_hand(tasks.parse("parity"), "gru"), dict[str, float | None]()

    def nothing(network: Network, *, deadline: float, **_: object) -> None:
        given["trees"] = deadline - time.monotonic()

    def none(network: Network, budget: float | None, tell: object) -> None:
        given["walkers"] = budget

    monkeypatch.setattr(tree, "build", lambda network: time.sleep(0.5))  # which is not counted
    monkeypatch.setattr(tree, "search", nothing)
    monkeypatch.setattr("carrynet.judge.refutation.by_walkers", none)
    verdict = cn.prove(network, budget=9)
    assert isinstance(verdict, Undecided)
    assert given["trees"] == pytest.approx(3, abs=0.2)
    assert given["walkers"] == pytest.approx(8.5, abs=0.5)  # which trees had no use for
    assert verdict.effort.budget == 9
    assert "trees: none closed in 3 s" in verdict.tried
    assert verdict.tried[-1].startswith("walkers: none came to an error in")
    given.clear()
    verdict = cn.prove(network, budget=0)
    assert given == {"walkers": None}
    assert isinstance(verdict, Undecided)
    assert any(line.startswith("trees: not tried, for want of a budget:") for line in verdict.tried)
    given.clear()
    verdict = cn.prove(network, budget=1)
    assert given == {"walkers": pytest.approx(1, abs=0.1)}
    assert isinstance(verdict, Undecided)
    assert "trees: not tried, for want of a budget of 1.5 s or more" in verdict.tried


def test_cuts_and_balls_are_those_that_are_checked() -> None:
    """Of a network that forgets so slowly that no words end uncut."""
    network, certificate = found("an own cell")
    text = certificate.text()
    assert '"axis"' in text
    assert check(model(network), certificate).regions == len(certificate.radii)


def test_balls_are_drawn_as_the_first_part_of_the_state_sees_them() -> None:
    """Every point of a ball's surface within its ellipse, and some on its border."""
    network, certificate = found("lstm")
    rng, H = np.random.default_rng(4), network.hidden
    plane = principal_plane(rng.normal(size=(50, H)))
    for i, (centre, *halves) in enumerate(ellipses(certificate, plane)):
        u = rng.normal(size=(20_000, 2 * H))
        u *= certificate.radii[i] / np.linalg.norm(u, axis=1)[:, None]
        T = np.array(certificate.metrics[certificate.metric_of[i]])
        h = np.array(certificate.centres[i]) + np.linalg.solve(T, u.T).T
        off = plane(h[:, :H]) - centre
        if not i:  # the start is a point
            assert np.abs(off).max() < 1e-12
            continue
        far = np.linalg.norm(np.linalg.solve(np.array(halves).T, off.T), axis=0)
        assert 0.7 < far.max() <= 1 + 1e-9


def test_a_certificate_for_elmans_cell_by_numpy_is_checked_in_its_own_way() -> None:
    network = hand_built_adder()
    W = network.weights
    as_own = Network(
        network.task,
        Formula.parse("h = sigmoid(x @ Wxh + (h @ Whh + bh))"),
        Weights({"Wxh": W.Wxh, "Whh": W.Whh, "bh": W.bh, "Why": W.Why, "by": W.by}),
    )
    assert not as_own.elman
    certificate = tree.search(as_own, slack=1e-4, deadline=time.monotonic() + 60)
    assert certificate is not None
    one = check(model(as_own), certificate)
    other = check(model(network), replace(certificate, **network.about))
    assert one.margin == pytest.approx(other.margin, rel=1e-6)
