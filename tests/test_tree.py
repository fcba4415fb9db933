"""Proofs by balls and word trees: found, checked, and refused when they are wrong."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb, arb_mat

from carrynet import files, tasks
from carrynet.learn import training
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from carrynet.proof import check_trees, ellipsoids, trees as tree
from carrynet.proof.certificate import Rejected, TreeCertificate, from_json
from carrynet.proof.check import check
from carrynet.proof.search import model
from carrynet.spec.recipe import RECIPES
from tests import arb_trees
from tests.conftest import hand_built_adder

SLACK = 1e-4


def tanh_adder(k: float = 20.0) -> Network:
    """As the hand-built adder, with carry -1 or 1; the start, 0, is on the side of no carry."""
    return Network(
        tasks.add(),
        "tanh",
        Weights(
            Wxh=np.full((2, 3), k),
            Whh=np.array([[0.0, 0, 0], [k / 2, k / 2, k / 2], [0, 0, 0]]),
            bh=k * (0.5 - np.array([0.75, 1.75, 2.75])),
            Why=np.array([[1.0], [-1], [1]]),
            by=np.array([0.0]),
        ),
    )


def relu_adder() -> Network:
    """Pairs of units whose difference steps from 0 to 1 where a + b + carry reaches 1, 2, 3."""
    carry = np.array([[0.0], [0], [3], [-3], [0], [0]])
    return Network(
        tasks.add(),
        "relu",
        Weights(
            Wxh=np.full((2, 6), 3.0),
            Whh=np.tile(carry, 6),
            bh=-np.array([1.0, 2, 4, 5, 7, 8]),
            Why=4 * np.array([[1.0], [-1], [-1], [1], [1], [-1]]),
            by=np.array([-2.0]),
        ),
    )


def comparer(k: float = 20.0) -> Network:
    """Two units: less so far, greater so far; three output neurons."""
    return Network(
        tasks.compare(),
        "sigmoid",
        Weights(
            Wxh=k * np.array([[-2.0, 2], [2, -2]]),
            Whh=k * np.eye(2),
            bh=-k * np.array([0.5, 0.5]),
            Why=np.array([[0.0, 4, 0], [0, 0, 4]]),
            by=np.array([2.0, 0, 0]),
        ),
    )


def hardly_proved() -> Network:
    """What contracts so late that without cuts no trees end, of all radii."""
    return training.fit(RECIPES["tutorial"].with_settings({"hidden": 8, "seed": 65}))


def plainly_trained() -> Network:
    return training.fit(RECIPES["tutorial"].with_settings({"hidden": 8, "seed": 20}))


@cache
def found(make: Callable[[], Network]) -> tuple[Network, TreeCertificate]:
    network = make()
    certificate = tree.search(network, slack=SLACK, deadline=time.monotonic() + 60)
    assert certificate is not None
    return network, certificate


@pytest.mark.parametrize(
    "make", [hand_built_adder, tanh_adder, relu_adder, comparer, plainly_trained, hardly_proved]
)
def test_right_networks_are_proved(make: Callable[[], Network]) -> None:
    network, certificate = found(make)
    assert check(model(network), certificate).margin > 0
    assert from_json(files.from_json(certificate.text())) == certificate
    assert certificate.text().count("\n") == len(certificate.to_json()) + 2  # a key a line
    # the bound holds for every word, so also for random ones
    words = np.random.default_rng(0).integers(0, len(network.task.machine.symbols), (20, 200))
    for word in words.tolist():
        assert network.transduce(word) == network.task.machine.transduce(word)


def test_wrong_networks_are_not(forgetful: Network) -> None:
    assert tree.search(forgetful, slack=SLACK, deadline=time.monotonic() + 5) is None


def test_the_deadline_is_kept() -> None:
    assert tree.search(plainly_trained(), slack=SLACK, deadline=time.monotonic() - 1) is None


def test_slack_is_for_errors_of_the_hidden_units() -> None:
    network, certificate = found(hand_built_adder)
    large = tree.search(network, slack=0.02, deadline=time.monotonic() + 20)
    assert large is not None
    one, other = (check(model(network), c) for c in (certificate, large))
    assert other.margin < one.margin
    assert (one.slack, other.slack) == (SLACK, 0.02)
    assert tree.search(network, slack=0.5, deadline=time.monotonic() + 5) is None


def change(**to: Any) -> Callable[[TreeCertificate], TreeCertificate]:
    return lambda certificate: replace(certificate, **to)


def leaf(value: Any) -> Callable[[TreeCertificate], TreeCertificate]:
    """Another leaf for the first symbol of the start point."""

    def changed(certificate: TreeCertificate) -> TreeCertificate:
        first, *others = certificate.trees
        return replace(certificate, trees=[[value, *first[1:]], *others])

    return changed


def change_first(to: Any) -> Callable[[TreeCertificate], TreeCertificate]:
    return lambda c: replace(c, trees=[to, *c.trees[1:]])


def radius(value: float) -> Callable[[TreeCertificate], TreeCertificate]:
    return lambda c: replace(c, radii=[0.0, *[value] * (len(c.radii) - 1)])


def last(key: str, value: Any) -> Callable[[TreeCertificate], TreeCertificate]:
    """The last region changed."""
    return lambda c: change(**{key: [*getattr(c, key)[:-1], value]})(c)


def metrics(to: Callable[[Any], Any]) -> Callable[[TreeCertificate], TreeCertificate]:
    """All metrics changed."""
    return lambda c: replace(c, metrics=[to(T) for T in c.metrics])


def shorter(key: str) -> Callable[[TreeCertificate], TreeCertificate]:
    return lambda c: change(**{key: getattr(c, key)[:-1]})(c)


NUMBERS, SHAPE, FINITE = "numbers of regions", "a shape", "a number that is not finite"
METRICS, METRIC = "numbers of metrics", ": a metric$"
START, STATE, RADIUS, NO_SLACK = "the start point", ": a state$", "a radius", ": slack$"
LISTED, LEAF, WRONG = "not one entry a symbol", "tree 0: a leaf$", "a leaf in the wrong state"
INVERSE, OUTPUT, INSIDE = "a metric cannot be inverted", "an output is not shown", "not inside"

TAMPERED: dict[str, tuple[str, Callable[[TreeCertificate], TreeCertificate]]] = {
    "a symbol is missing": (
        LISTED, lambda c: replace(c, trees=[c.trees[0][:-1], *c.trees[1:]])
    ),
    "a symbol too many": (
        LISTED, lambda c: replace(c, trees=[[*c.trees[0], 1], *c.trees[1:]])
    ),
    "a tree is missing": (NUMBERS, shorter("trees")),
    "a radius is missing": (NUMBERS, shorter("radii")),
    "a centre is missing": (NUMBERS, shorter("centres")),
    "a state is missing": (NUMBERS, shorter("states")),
    "no regions": (NUMBERS, change(centres=[], radii=[], states=[], trees=[])),
    "a tree is empty": (LISTED, last("trees", [])),
    "a tree is a number": (LISTED, change_first(0)),
    "a leaf in the start point": (LEAF, leaf(0)),
    "a leaf before it": (LEAF, leaf(-1)),
    "a leaf outside": (LEAF, leaf(10**6)),
    "a leaf one outside": (
        LEAF, lambda c: replace(c, trees=[[len(c.trees), *c.trees[0][1:]], *c.trees[1:]])
    ),
    "a leaf that is a truth": (LEAF, leaf(True)),
    "a leaf that is no whole number": (LEAF, leaf(1.0)),
    "a leaf that is nothing": (LEAF, leaf(None)),
    "a leaf of tuples": (LEAF, leaf((1, 1, 1, 1))),
    "a leaf in another state": (
        WRONG, lambda c: leaf(next(i for i, q in enumerate(c.states) if q))(c)
    ),
    "states exchanged": (
        OUTPUT, lambda c: replace(c, states=[0, *(1 - q for q in c.states[1:])])
    ),
    "all states alike": (OUTPUT, lambda c: replace(c, states=[0] * len(c.states))),
    "a start in another state": (START, lambda c: replace(c, states=[1, *c.states[1:]])),
    "a start elsewhere": (
        START, lambda c: replace(c, centres=[[1e-9] * len(c.centres[0]), *c.centres[1:]])
    ),
    "a start elsewhere in one unit": (
        START,
        lambda c: replace(c, centres=[[*c.centres[0][:-1], 1e-9], *c.centres[1:]]),
    ),
    "a start with extent": (START, lambda c: replace(c, radii=[0.1, *c.radii[1:]])),
    "a state that is a truth": (STATE, lambda c: replace(c, states=[False, *c.states[1:]])),
    "a state beyond the last": (STATE, last("states", 2)),
    "a state before the first": (STATE, last("states", -1)),
    "radii that are nothing": (RADIUS, radius(0.0)),
    "radii below nothing": (RADIUS, radius(-1.0)),
    "radii that are no numbers": (RADIUS, radius(float("nan"))),
    "radii without end": (RADIUS, radius(float("inf"))),
    "the first radius nothing": (
        RADIUS, lambda c: replace(c, radii=[0.0, 0.0, *c.radii[2:]])
    ),
    "the last radius nothing": (RADIUS, last("radii", 0.0)),
    "radii too small": (INSIDE, radius(1e-9)),
    "radii too large": (OUTPUT, radius(50.0)),
    "centres moved": (
        f"{OUTPUT}|{INSIDE}",
        lambda c: replace(
            c, centres=[c.centres[0], *([x + 0.5 for x in y] for y in c.centres[1:])]
        ),
    ),
    "centres that are no numbers": (
        FINITE,
        lambda c: replace(
            c, centres=[c.centres[0], *([float("nan")] * len(y) for y in c.centres[1:])]
        ),
    ),
    "centres without end": (
        FINITE, lambda c: last("centres", [float("inf")] * len(c.centres[0]))(c)
    ),
    "centres too short": (SHAPE, lambda c: replace(c, centres=[y[:-1] for y in c.centres])),
    "a centre too short": (SHAPE, lambda c: last("centres", c.centres[-1][:-1])(c)),
    "metrics of zeros": (INVERSE, metrics(lambda T: [[0.0] * len(y) for y in T])),
    "metrics blind to a direction": (INVERSE, metrics(lambda T: [T[0]] * len(T))),
    "metrics almost blind": (OUTPUT, metrics(lambda T: [[1e-9 * x for x in y] for y in T])),
    "metrics that are none": (FINITE, metrics(lambda T: [[float("nan")] * len(y) for y in T])),
    "metrics too small": (SHAPE, metrics(lambda T: T[:-1])),
    "metrics too narrow": (SHAPE, metrics(lambda T: [y[:-1] for y in T])),
    "the last metric too small": (SHAPE, lambda c: last("metrics", c.metrics[-1][:-1])(c)),
    "no metrics": (METRICS, change(metrics=[])),
    "more metrics than regions": (
        METRICS, lambda c: replace(c, metrics=[c.metrics[0]] * (len(c.radii) + 1))
    ),
    "the metric of a region is missing": (METRICS, shorter("metric_of")),
    "the metric of one region too many": (
        METRICS, lambda c: replace(c, metric_of=[*c.metric_of, 0])
    ),
    "a metric before the first": (METRIC, last("metric_of", -1)),
    "a metric beyond the last": (METRIC, lambda c: last("metric_of", len(c.metrics))(c)),
    "a metric that is a truth": (METRIC, last("metric_of", True)),
    "a metric that is no whole number": (METRIC, last("metric_of", 0.0)),
    "metrics that are wider than another's": (
        f"{OUTPUT}|{INSIDE}",
        lambda c: replace(
            c,
            metrics=[c.metrics[0], [[0.05 * x for x in y] for y in c.metrics[-1]]],
            metric_of=[0, *[1] * (len(c.metric_of) - 1)],
        ),
    ),
    "more slack than there is": (OUTPUT, change(slack=0.4)),
    "slack below nothing": (NO_SLACK, change(slack=-1e-3)),
    "slack that is no number": (NO_SLACK, change(slack=float("nan"))),
    "slack without end": (NO_SLACK, change(slack=float("inf"))),
    "slack that a double would make less": (NO_SLACK, change(slack=2**53 + 1)),
}  # fmt: skip


def cuts(to: Callable[[dict[str, Any]], Any]) -> Callable[[TreeCertificate], TreeCertificate]:
    """All cuts changed."""

    def changed(entry: Any) -> Any:
        if isinstance(entry, dict):
            return to({**entry, "parts": list(map(changed, entry["parts"]))})
        return list(map(changed, entry)) if isinstance(entry, list) else entry

    return lambda c: replace(c, trees=list(map(changed, c.trees)))


def axis(to: Callable[[str], Any]) -> Callable[[TreeCertificate], TreeCertificate]:
    return cuts(lambda cut: {**cut, "axis": to(cut["axis"])})


def parts(to: Callable[[list[Any]], Any]) -> Callable[[TreeCertificate], TreeCertificate]:
    return cuts(lambda cut: {**cut, "parts": to(cut["parts"])})


TWO, AXIS, EXTENT = "not two parts", "an axis$", "no extent along"
FORGED_CUTS: dict[str, tuple[str, Callable[[TreeCertificate], TreeCertificate]]] = {
    "one part": (TWO, parts(lambda both: both[:1])),
    "three parts": (TWO, parts(lambda both: [*both, both[0]])),
    "no parts": (TWO, cuts(lambda cut: {"axis": cut["axis"]})),
    "parts that are no list": (TWO, parts(tuple)),
    "another key": (TWO, cuts(lambda cut: {**cut, "part": 1})),
    "no axis": (AXIS, cuts(lambda cut: {"cut": "0", "parts": cut["parts"]})),
    "an axis of numbers": (AXIS, axis(lambda text: [1] * len(text))),
    "an axis too short": (AXIS, axis(lambda text: text[:-1])),
    "an axis too long": (AXIS, axis(lambda text: text + "0")),
    "an axis of other letters": (AXIS, axis(lambda text: "j" + text[1:])),
    "an axis of capital letters": (AXIS, axis(lambda text: "A" + text[1:])),
    "an axis of nothing": (EXTENT, axis(lambda text: "0" * len(text))),
    "the axis the other way": (f"{INSIDE}|{OUTPUT}", axis(
        lambda text: "".join(str("0abcdefghi".index(x)) if x in "abcdefghi" else
                             "0abcdefghi"[int(x)] for x in text)
    )),
    "parts exchanged": (f"{INSIDE}|{OUTPUT}", parts(lambda both: both[::-1])),
    "one part twice": (f"{INSIDE}|{OUTPUT}", parts(lambda both: [both[0], both[0]])),
    "no cut": (f"{INSIDE}|{OUTPUT}|{LISTED}", cuts(lambda cut: cut["parts"][0])),
    "a part that is nothing": ("a leaf$", parts(lambda both: [None, both[1]])),
    "a part in the start point": ("a leaf$", parts(lambda both: [both[0], 0])),
    "a part in a region that is not there": ("a leaf$", parts(lambda both: [both[0], 10**6])),
    "a part before the first region": ("a leaf$", parts(lambda both: [both[0], -1])),
    "a part in another state": (
        WRONG, lambda c: parts(lambda both: [
            next(i for i, q in enumerate(c.states) if i and q != c.states[each])
            if isinstance(each, int) else each for each in both
        ])(c)
    ),
    "an axis of other digits": (AXIS, axis(lambda text: chr(0xFF11) + text[1:])),
    "a leaf without a symbol": (
        "a leaf before the first symbol",
        lambda c: replace(c, trees=[*c.trees[:-1], {"axis": "1" * 8, "parts": [1, c.trees[-1]]}]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", FORGED_CUTS)
def test_tampering_with_cuts_is_noticed(how: str) -> None:
    network, certificate = found(hardly_proved)
    message, tamper = FORGED_CUTS[how]
    with pytest.raises(Rejected, match=message):
        check(model(network), tamper(certificate))
    assert arb_trees.by_balls(network, tamper(certificate)) is None


def test_no_region_is_there_because_its_parts_lie_in_it() -> None:
    """Cut again and again until only slivers are left to follow: none of it was ever followed."""
    matrix, none = np.ones((1, 1)), np.zeros(1)
    weights = Weights(
        Wxh=20 * matrix, Whh=0.01 * matrix, bh=none - 10, Why=4 * matrix, by=none
    )  # fmt: skip
    network = Network(tasks.multiply_by(1), "tanh", weights)

    def cut(first: Any, other: Any) -> dict[str, Any]:
        return {"axis": "9", "parts": [first, other]}

    def sliver(count: int, upper: bool) -> Any:
        """The outermost part after so many cuts is followed; all others are in region 1."""
        if not count:
            return [1, 1]
        return cut(sliver(count - 1, upper), 1) if upper else cut(1, sliver(count - 1, upper))

    certificate = TreeCertificate(
        **network.about, slack=SLACK, metrics=[matrix.tolist()], metric_of=[0, 0],
        centres=[[0.0], [0.0]], radii=[0.0, 20.0], states=[0, 0],
        trees=[[1, 1], cut(sliver(8, upper=True), sliver(8, upper=False))],
    )  # fmt: skip
    for judge in (arb_trees.by_doubles, arb_trees.by_balls):
        assert judge(network, certificate) is None
    with pytest.raises(Rejected, match="tree 1: a leaf before the first symbol"):
        check(model(network), certificate)


def test_a_tree_may_be_cut_before_its_first_symbol() -> None:
    """That of any region but the start point; then the same words follow twice."""
    network, certificate = found(hand_built_adder)
    first, *others = certificate.trees
    cut = [{"axis": "12f", "parts": [tree, tree]} for tree in others]
    once, twice = (
        check(model(network), replace(certificate, trees=[first, *trees]))
        for trees in (others, cut)
    )
    assert twice.margin == pytest.approx(once.margin, rel=1e-3)
    assert twice.margin != once.margin
    begun = {"axis": "12f", "parts": [first, first]}
    with pytest.raises(Rejected, match=EXTENT):
        check(model(network), replace(certificate, trees=[begun, *others]))


@pytest.mark.parametrize("make", [hand_built_adder, relu_adder])
@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_noticed(how: str, make: Callable[[], Network]) -> None:
    """By the line that is there for it: other lines may not stand against the next forgery."""
    network, certificate = found(make)
    message, tamper = TAMPERED[how]
    with pytest.raises(Rejected, match=message):
        check(model(network), tamper(certificate))


def test_a_certificate_is_for_one_network(forgetful: Network) -> None:
    network, certificate = found(hand_built_adder)
    W = network.weights
    others = [
        forgetful,
        hand_built_adder(3.0),
        Network(network.task, "tanh", W),
        Network(network.task, "relu", W),
        Network(network.task, "sigmoid", W.replace(Why=-W.Why, by=-W.by)),
        Network(network.task, "sigmoid", W.replace(bh=W.bh + 20)),
        Network(tasks.subtract(), "sigmoid", W),
    ]
    for other in others:
        with pytest.raises(Rejected, match=r"it is about (another|other)"):
            check(model(other), certificate)
        forged = replace(certificate, **other.about)
        with pytest.raises(Rejected):
            check(model(other), forged)


def test_a_certificate_of_a_trained_network_is_for_no_neighbour() -> None:
    network, certificate = found(plainly_trained)
    weights = network.weights.replace(Whh=network.weights.Whh + np.float32(0.3))
    other = Network(network.task, network.activation, weights)
    with pytest.raises(Rejected):
        check(model(other), replace(certificate, weights_sha256=other.digest()))


# The checker ----------------------------------------------------------------------------


def test_states_stay_in_the_balls_where_words_end() -> None:
    """Words with the worst errors that the slack allows: after each tree, in the ball it names."""
    network, certificate = found(plainly_trained)
    W = [w.astype(np.float64) for w in network.weights.values()]
    metrics, centres = np.array(certificate.metrics), np.array(certificate.centres)
    rng, machine = np.random.default_rng(5), network.task.machine
    ended = cuts = 0

    def opened(entries: list[Any]) -> list[Any]:
        """Where a word may be: in one of the parts of each cut, which are tried both."""
        nonlocal cuts
        while any(isinstance(entry, dict) for entry in entries):
            cuts += 1
            parts = [e["parts"] if isinstance(e, dict) else [e] for e in entries]
            entries = [entry for some in parts for entry in some]
        return entries

    for _ in range(300):
        h, state, places = np.zeros(network.hidden), 0, opened([certificate.trees[0]])
        for _ in range(60):
            a = int(rng.integers(4))
            x = np.array(network.task.digits_of(a), dtype=float)
            h = 1 / (1 + np.exp(-(x @ W[0] + h @ W[1] + W[2])))
            h += certificate.slack * rng.choice([-1, 1], network.hidden)
            logit = (h @ W[3] + W[4])[0]
            assert (logit > 0) == machine.output[state][a]
            state = machine.delta[state][a]
            following = opened([entries[a] for entries in places])
            regions = {entry for entry in following if isinstance(entry, int)}
            places = [entry for entry in following if not isinstance(entry, int)]
            for region in regions:
                assert certificate.states[region] == state
                T = metrics[certificate.metric_of[region]]
                if np.linalg.norm(T @ (h - centres[region])) <= certificate.radii[region]:
                    ended += 1
                    places += opened([certificate.trees[region]])
            assert places
            unique = {id(entry): entry for entry in places}
            places = list(unique.values())[:50]
    assert ended > 1000
    assert cuts > 1000


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_chords_hold_the_activation(activation: str) -> None:
    rng, count = np.random.default_rng(1), 400
    z, w = rng.normal(0, 6, count), 10 ** rng.uniform(-9, 1.5, count)
    w[:5], z[:3] = 0.0, [0.0, 700.0, -700.0]
    with np.errstate(all="ignore"):
        k, middle, radius = check_trees.chord(activation, z, w)
    assert (radius < 0.6 * w + 1e-8 * (1 + np.abs(z))).all()  # not for being wide
    with flint.ctx.workprec(100):
        for i in range(count):
            for part in np.linspace(-1, 1, 21):
                x = arb(z[i]) + arb(w[i]) * arb(part)
                y = arb_trees._activate(activation, x)
                if activation == "relu" and x.contains(0):
                    continue
                assert abs(y - arb(k[i]) * (x - arb(z[i])) - arb(middle[i])) <= arb(radius[i])


def test_the_functions_of_numpy_are_as_good_as_is_assumed() -> None:
    x = np.concatenate([np.linspace(-50, 50, 4001), 10.0 ** np.linspace(-300, 2.8, 500)])
    wanted = 2.0**-44  # an order better than what is taken for granted
    with flint.ctx.workprec(120):
        for value, e, t in zip(x, np.exp(-x), np.tanh(x), strict=True):
            assert abs(arb(e) / (-arb(value)).exp() - 1) < wanted
            if value:
                assert abs(arb(t) / arb(value).tanh() - 1) < wanted
        for value in x[x > 0]:
            exact = arb(value).log()
            if not exact.contains(0):
                assert abs(arb(np.log(value)) / exact - 1) < wanted


def test_products_cover_their_rounding() -> None:
    """M^T Q M as computed dominates the exact one: the difference is positive semidefinite."""
    rng = np.random.default_rng(2)
    for H in (1, 3, 8):
        root = rng.normal(size=(H, H)) * 10 ** rng.uniform(-6, 3, H)
        Q, M = ellipsoids.symmetric(root @ root.T)[None], rng.normal(size=(H, H))
        Q[:, range(H), range(H)] *= 1 + 1e-12
        computed = ellipsoids.congruent(Q, M)[0]
        with flint.ctx.workprec(200):
            exact = arb_mat(M.T.tolist()) * arb_mat(Q[0].tolist()) * arb_mat(M.tolist())
            rows = (arb_mat(computed.tolist()) - exact).tolist()
            assert arb_trees._positive_definite(rows)


@pytest.mark.parametrize("H", [1, 3, 16])
@pytest.mark.parametrize("condition", [0, 4, 9])
def test_balls_are_held_and_hold(H: int, condition: int) -> None:
    """The larger matrix less the exact one, and the exact one less the smaller, are definite."""
    rng, tightest = np.random.default_rng(H), 0.0
    sizes = 10.0 ** -np.linspace(0, condition, H) if H > 1 else np.ones(1)
    T = np.linalg.qr(rng.normal(size=(4, H, H)))[0] * sizes @ rng.normal(size=(4, H, H))
    outer, inner = ellipsoids.balls(T)
    with flint.ctx.workprec(300):
        for metric, more, less in zip(T, outer, inner, strict=True):
            inverse = arb_mat(metric.tolist()).inv()
            exact = inverse * inverse.transpose()
            for off in (arb_mat(more.tolist()) - exact, exact - arb_mat(less.tolist())):
                assert arb_trees._positive_definite(off.tolist())
            tightest = max(tightest, np.trace(less) / np.trace(more))
    assert tightest > 1 - 1e-9 * 10.0**condition / 100


def test_an_inverse_that_is_none_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    T = np.eye(3)[None] * [1, 2, 3]
    for lie in (np.zeros_like, lambda T: 2 * T, lambda T: np.full_like(T, np.nan)):
        monkeypatch.setattr(np.linalg, "inv", lie)
        with pytest.raises(Rejected, match="a metric cannot be inverted"):
            ellipsoids.balls(T)


def facts_of(H: int, rng: np.random.Generator, activation: str) -> check_trees._Facts:
    """Random weights and a random metric, for binary addition; every output is right."""
    nothing, conditions = np.zeros((4, H)), rng.normal(size=(2, 1, H))
    W, d, T = rng.normal(size=(H, H)) * 2, rng.normal(size=(4, H)) * 3, rng.normal(size=(H, H))
    T = np.stack([T + 2 * np.eye(H), np.eye(H)])  # of which the first is used
    inner = np.linalg.inv(T) @ np.linalg.inv(T).transpose(0, 2, 1) * (1 - 1e-12)
    steps = check_trees.OfElman(
        tasks.add(), activation, W, d, nothing, conditions, np.zeros_like(conditions),
        np.full((2, 1), 1e3), np.zeros((2, 1)),
    )  # fmt: skip
    return check_trees._Facts(
        tasks.add(), steps, 10 ** rng.uniform(-8, -1),
        T, T.transpose(0, 2, 1) @ T, nothing, inner, np.array([0, 0]), nothing, nothing,
        np.array([0, 0]),
    )  # fmt: skip


def steps_of(facts: check_trees._Facts) -> check_trees.OfElman:
    assert isinstance(facts.steps, check_trees.OfElman)
    return facts.steps


NO_TREES = check_trees._tables([[1, 1, 1, 1], [1, 1, 1, 1]], 4, 1)


def ellipsoid(H: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """A matrix Q, and points x on the boundary of { x x^T <= Q }."""
    root = rng.normal(size=(H, H)) * 10 ** rng.uniform(-3, 0)
    Q = ellipsoids.symmetric(root @ root.T) + 1e-9 * np.eye(H)
    on_sphere = rng.normal(size=(400, H))
    on_sphere /= np.linalg.norm(on_sphere, axis=1)[:, None]
    return Q, on_sphere @ np.linalg.cholesky(Q).T


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_a_step_holds_every_state_that_follows(activation: str) -> None:
    """From the boundary of an ellipsoid, with the worst errors: inside the image, tightly."""
    rng, largest, widest = np.random.default_rng(11), 0.0, 0.0
    for _ in range(150):
        H = int(rng.integers(1, 6))
        facts, (Q, x) = facts_of(H, rng, activation), ellipsoid(H, rng)
        c = rng.uniform(-1, 1, H)
        words = check_trees._Frontier(c[None], Q[None], np.array([0]), np.array([0]))
        with np.errstate(all="ignore"):
            images, margin, reach = check_trees._follow(facts, NO_TREES, words)
        shapes = images.shapes(np.arange(4))
        for a in range(4):
            z = (c + x) @ steps_of(facts).W + steps_of(facts).drives[a]
            h = np.maximum(z, 0) if activation == "relu" else (
                np.tanh(z) if activation == "tanh" else 1 / (1 + np.exp(-z))
            )  # fmt: skip
            h += facts.slack * rng.choice([-1, 1], h.shape)
            y = h - images.centre[a]
            inside = np.einsum("ni,ij,nj->n", y, np.linalg.inv(shapes[a]), y)
            furthest = np.linalg.norm(y @ facts.T[0].T, axis=1).max()
            (extent,) = images.extents(np.array([a]), facts.P[:1])
            largest = max(largest, inside.max())
            widest = max(widest, furthest / extent)
            assert (inside <= 1 + 1e-9).all()
            assert furthest <= extent * (1 + 1e-9)
            assert (np.abs(h) <= reach + 1e-12).all()
            output = facts.task.machine.output[0][a]
            assert (h @ steps_of(facts).rows[output, 0] + 1e3 >= margin - 1e-9).all()
    assert largest > 0.9
    assert widest > 0.9


def test_halves_hold_every_point_of_theirs() -> None:
    """On either side, those of the surface too; along the axis no more than 5/8 of it is left."""
    rng, largest = np.random.default_rng(15), 0.0
    for _ in range(200):
        H = int(rng.integers(1, 6))
        Q, x = ellipsoid(H, rng)
        c, a = rng.normal(size=H), rng.integers(-9, 10, H).astype(float)
        a[rng.integers(H)] = 9  # not all of them zero
        (centres,), (part,) = ellipsoids.halves(c[None], Q[None], a[None])
        x = np.concatenate([x, x * rng.random(len(x))[:, None] ** (1 / H)])
        q = Q @ a / np.sqrt(a @ Q @ a)
        x = np.concatenate([x, q[None], -q[None]])  # the ends of the axis
        for sign, centre in zip((1, -1), centres, strict=True):
            off = c + x[sign * (x @ a) >= 0] - centre
            inside = np.einsum("ni,ij,nj->n", off, np.linalg.inv(part), off)
            largest = max(largest, inside.max())
            assert (inside <= 1 + 1e-6).all()
        assert a @ part @ a == pytest.approx(25 / 64 * (a @ Q @ a), rel=1e-6)
    assert largest > 0.99


@pytest.mark.parametrize("H", [1, 3, 16])
def test_halves_cover_their_rounding(H: int) -> None:
    """Each matrix less the exact one, and what the centre is off by, is definite; in 300 bits."""
    rng = np.random.default_rng(H)
    for _ in range(8):
        root = rng.normal(size=(H, H)) * 10 ** rng.uniform(-5, 2, H)
        Q = ellipsoids.symmetric(root @ root.T)
        Q[range(H), range(H)] *= 1 + 1e-10
        c = rng.normal(size=H) * 10 ** rng.uniform(-3, 1)
        a = rng.integers(-9, 10, H).astype(float)
        a[0] = 9
        (centres,), (part,) = ellipsoids.halves(c[None], Q[None], a[None])
        with flint.ctx.workprec(300):
            row, exact = arb_mat([a.tolist()]), arb_mat(Q.tolist())
            b = row * exact
            square = (b * row.transpose())[0, 0]
            less = (exact - b.transpose() * b * (arb(3) / 4 / square)) * (arb(25) / 16)
            for sign, centre in zip((1, -1), centres.tolist(), strict=True):
                off = (
                    arb_mat([centre])
                    - arb_mat([c.tolist()])
                    - b * (sign * arb(3) / 8 / square.sqrt())
                )
                # holds {off + y}, y y^T <= less, if this is definite for some r
                r = arb(5e-10)
                held = less * (1 + r) + off.transpose() * off * (1 + 1 / r)
                assert arb_trees._positive_definite((arb_mat(part.tolist()) - held).tolist())


def test_no_axis_is_cut_along_which_there_is_nothing() -> None:
    Q = np.diag([1.0, 0.0, 1e-30])
    thin = np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]) + 1e-15 * np.eye(3)
    none = np.array([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]])  # not even an ellipsoid
    for matrix, a, good in (
        (Q, [1, 0, 0], True),
        (Q, [0, 1, 0], False),
        (Q, [0, 0, 0], False),
        (Q, [9, -9, 9], True),
        (thin, [1, 1, 0], True),
        (thin, [1, -1, 0], False),
        (none, [1, -1, 0], False),
    ):
        args = np.zeros((1, 3)), matrix[None], np.array([a], dtype=float)
        if good:
            assert np.isfinite(ellipsoids.halves(*args)[1]).all()
            continue
        with np.errstate(all="ignore"), pytest.raises(Rejected, match=EXTENT):
            ellipsoids.halves(*args)


def test_what_is_inside_is_inside() -> None:
    """The smallest radius that is accepted, beside the largest distance that can be found."""
    rng, tight = np.random.default_rng(12), 0
    for _ in range(200):
        H = int(rng.integers(1, 6))
        facts, (Q, x) = facts_of(H, rng, "sigmoid"), ellipsoid(H, rng)
        centre, place = np.zeros(H), rng.normal(size=H) * 10 ** rng.uniform(-4, 0)
        D, TL = facts.T[0] @ place, facts.T[0] @ np.linalg.cholesky(Q)
        s = np.linalg.solve(np.linalg.cholesky(Q), x.T).T
        for _ in range(40):  # uphill
            s = (D + s @ TL.T) @ TL
            s /= np.linalg.norm(s, axis=1)[:, None]
        farthest = np.linalg.norm(D + s @ TL.T, axis=1).max()
        low, high = farthest / 2, farthest * 10
        while high / low > 1 + 1e-13:
            radius = (low + high) / 2
            if radius in (low, high):
                break
            args = place[None], Q[None], centre[None], np.array([radius])
            inside = ellipsoids.lie_inside(facts.T[:1], facts.inner[:1], *args)
            low, high = (low, radius) if inside[0] else (radius, high)
        assert high > farthest * (1 - 1e-12)
        tight += high < farthest * (1 + 1e-4)
    assert tight > 80  # it is no empty promise


def test_no_ellipsoid_reaches_further_than_is_said() -> None:
    """Nor is the bound far from what the points of its surface that are sought out do reach."""
    rng, loosest = np.random.default_rng(17), 1.0
    for H in (1, 2, 5, 32):
        for _ in range(50):
            T, root = rng.normal(size=(H, H)) + 2 * np.eye(H), rng.normal(size=(H, H))
            root *= 10.0 ** rng.uniform(-2, 0, H)  # long this way, and short that way
            d = rng.normal(size=H) * 10.0 ** rng.uniform(-4, 1)
            P = (T.T @ T)[None]
            far, v = ellipsoids.distances(P, d[None], np.ones(1))
            bound = np.sqrt(ellipsoids.reaches(P, (root @ root.T)[None], d[None], v, far)[0])
            begun, reached = rng.normal(size=H), np.float64(0)
            for u in (begun, -begun):
                for _ in range(100):  # to the point of {root u + d, |u| = 1} that is furthest
                    u = root.T @ (T.T @ (T @ (root @ (u / np.linalg.norm(u)) + d)))
                furthest = T @ (root @ (u / np.linalg.norm(u)) + d)
                reached = np.maximum(reached, np.linalg.norm(furthest))
            assert reached <= bound
            loosest = max(loosest, bound / reached)
    assert loosest < 2


def test_distances_are_never_less_than_what_they_bound() -> None:
    rng = np.random.default_rng(13)
    for _ in range(100):
        H = int(rng.integers(1, 6))
        facts, d = facts_of(H, rng, "sigmoid"), rng.normal(size=H)
        (distance,), (v,) = ellipsoids.distances(facts.P[:1], d[None], np.zeros(1))
        assert np.allclose(v, facts.P[0] @ d)
        with flint.ctx.workprec(100):
            exact = arb_mat([d.tolist()]) * arb_mat(facts.T[0].T.tolist())
            assert sum((y * y for y in exact.entries()), arb(0)) <= arb(distance) ** 2


def test_words_end_where_they_are() -> None:
    """Small ones, whose extent is enough, and larger ones: not in the mirrored ball."""
    rng, states = np.random.default_rng(14), np.array([0, 0])
    of_7 = np.array([1]), np.array([7])  # a leaf in region 1, and its tree
    for size in (1e-9, 0.2, 0.9):
        facts = facts_of(3, rng, "sigmoid")
        place = np.array([3.0, -3.0, 3.0])
        ones, Z = np.ones((1, 3)), size**2 * facts.inner[:1]
        root = np.sqrt(np.diagonal(Z, axis1=1, axis2=2))
        words = check_trees._Images(place[None], ones, Z, root, 0 * ones, states[:1], *of_7)
        for centre, radius, ends in (
            (place, 1.0, True),
            (-place, 1.0, False),
            (0 * place, 1.0, False),
            (place, size * 0.9, False),
        ):
            there = facts._replace(
                centres=np.array([0 * place, centre]), radii=np.array([0, radius])
            )
            assert np.linalg.norm(facts.T[0] @ place) > 2
            if ends:
                assert not check_trees._end(there, NO_TREES, words)
                continue
            with pytest.raises(Rejected, match="tree 7: a leaf is not inside region 1"):
                check_trees._end(there, NO_TREES, words)


def test_an_output_that_is_no_number_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    network, certificate = found(hand_built_adder)
    nothing = lambda steps, output, *_: np.full(output.shape, np.nan)  # noqa: E731
    monkeypatch.setattr(check_trees.OfElman, "margin", nothing)
    with pytest.raises(Rejected, match="output"):
        check(model(network), certificate)


def test_a_solver_that_lies_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cholesky's factors are only ever used with what they leave over."""
    network, certificate = found(plainly_trained)
    limit = replace(certificate, radii=[0.0, *(0.97 * r for r in certificate.radii[1:])])
    honest = arb_trees.by_doubles(network, limit)
    rng = np.random.default_rng(0)
    for lie in (
        np.zeros_like,
        lambda M: -1e3 * M,
        lambda M: rng.normal(size=M.shape),
        lambda M: np.full_like(M, np.nan),
    ):
        monkeypatch.setattr(np.linalg, "cholesky", lie)
        assert arb_trees.by_doubles(network, limit) is None or honest is not None
        assert arb_trees.by_doubles(network, replace(certificate, slack=0.05)) is None
