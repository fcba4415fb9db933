"""Proofs by balls and word trees: found, checked, and refused when they are wrong."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from carrynet import tasks, training
from carrynet.network import Network, Weights
from carrynet.proof import check_trees, tree
from carrynet.proof.certificate import Rejected, TreeCertificate, from_json
from carrynet.proof.check import check
from carrynet.proof.search import model
from carrynet.recipe import RECIPES
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


def plainly_trained() -> Network:
    return training.fit(RECIPES["tutorial"].with_settings({"hidden": 8, "seed": 20}))


@cache
def found(make: Callable[[], Network]) -> tuple[Network, TreeCertificate]:
    network = make()
    certificate = tree.search(network, slack=SLACK, deadline=time.monotonic() + 60)
    assert certificate is not None
    return network, certificate


@pytest.mark.parametrize(
    "make", [hand_built_adder, tanh_adder, relu_adder, comparer, plainly_trained]
)
def test_right_networks_are_proved(make: Callable[[], Network]) -> None:
    network, certificate = found(make)
    assert check(model(network), certificate).margin > 0
    assert from_json(json.loads(json.dumps(certificate.to_json()))) == certificate
    # the bound holds for every word, so also for random ones
    words = np.random.default_rng(0).integers(0, len(network.task.machine.symbols), (20, 200))
    for word in words.tolist():
        assert network.run(word) == network.task.machine.run(word)


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


TAMPERED: dict[str, Callable[[TreeCertificate], TreeCertificate]] = {
    "a symbol is missing": lambda c: replace(c, trees=[c.trees[0][:-1], *c.trees[1:]]),
    "a tree is missing": lambda c: replace(c, trees=c.trees[:-1]),
    "a tree is empty": lambda c: replace(c, trees=[*c.trees[:-1], []]),
    "a tree is a number": change_first(0),
    "a leaf in the start point": leaf(0),
    "a leaf before it": leaf(-1),
    "a leaf outside": leaf(10**6),
    "a leaf that is a truth": leaf(True),
    "a leaf that is no whole number": leaf(1.0),
    "a leaf that is nothing": leaf(None),
    "a leaf of tuples": leaf((1, 1, 1, 1)),
    "states exchanged": lambda c: replace(c, states=[0, *(1 - q for q in c.states[1:])]),
    "all states alike": lambda c: replace(c, states=[0] * len(c.states)),
    "a start in another state": lambda c: replace(c, states=[1, *c.states[1:]]),
    "a state that is a truth": lambda c: replace(c, states=[False, *c.states[1:]]),
    "a start elsewhere": lambda c: replace(
        c, centres=[[1e-9] * len(c.centres[0]), *c.centres[1:]]
    ),
    "a start with extent": lambda c: replace(c, radii=[0.1, *c.radii[1:]]),
    "radii that are nothing": radius(0.0),
    "radii below nothing": radius(-1.0),
    "radii that are no numbers": radius(float("nan")),
    "radii without end": radius(float("inf")),
    "radii too small": radius(1e-9),
    "radii too large": radius(50.0),
    "centres moved": lambda c: replace(
        c, centres=[c.centres[0], *([x + 0.5 for x in y] for y in c.centres[1:])]
    ),
    "centres that are no numbers": lambda c: replace(
        c, centres=[c.centres[0], *([float("nan")] * len(y) for y in c.centres[1:])]
    ),
    "centres too short": lambda c: replace(c, centres=[y[:-1] for y in c.centres]),
    "a metric of zeros": lambda c: replace(c, metric=[[0.0] * len(y) for y in c.metric]),
    "a metric blind to a direction": lambda c: replace(c, metric=[c.metric[0]] * len(c.metric)),
    "a metric almost blind": lambda c: replace(
        c, metric=[[1e-9 * x for x in y] for y in c.metric]
    ),
    "a metric that is none": lambda c: replace(
        c, metric=[[float("nan")] * len(y) for y in c.metric]
    ),
    "a metric too small": lambda c: replace(c, metric=c.metric[:-1]),
    "more slack than there is": change(slack=0.4),
    "slack below nothing": change(slack=-1e-3),
    "slack that is no number": change(slack=float("nan")),
    "no regions": change(centres=[], radii=[], states=[], trees=[]),
}  # fmt: skip


@pytest.mark.parametrize("make", [hand_built_adder, relu_adder])
@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_noticed(how: str, make: Callable[[], Network]) -> None:
    network, certificate = found(make)
    with pytest.raises(Rejected):
        check(model(network), TAMPERED[how](certificate))


def test_a_certificate_is_for_one_network(forgetful: Network) -> None:
    network, certificate = found(hand_built_adder)
    W = network.weights
    others = [
        forgetful,
        hand_built_adder(3.0),
        Network(network.task, "tanh", W),
        Network(network.task, "relu", W),
        Network(network.task, "sigmoid", W._replace(Why=-W.Why, by=-W.by)),
        Network(network.task, "sigmoid", W._replace(bh=W.bh + 20)),
        Network(tasks.subtract(), "sigmoid", W),
    ]
    for other in others:
        with pytest.raises(Rejected, match=r"about other weights|about another"):
            check(model(other), certificate)
        forged = replace(
            certificate,
            task=other.task.text,
            activation=other.activation,
            weights_sha256=other.digest(),
        )
        with pytest.raises(Rejected):
            check(model(other), forged)


def test_a_certificate_of_a_trained_network_is_for_no_neighbour() -> None:
    network, certificate = found(plainly_trained)
    weights = network.weights._replace(Whh=network.weights.Whh + np.float32(0.3))
    other = Network(network.task, network.activation, weights)
    with pytest.raises(Rejected):
        check(model(other), replace(certificate, weights_sha256=other.digest()))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_chords_hold_the_activation(activation: str) -> None:
    from flint import arb, ctx

    rng = np.random.default_rng(1)
    with ctx.workprec(80):
        for z, w in zip(rng.normal(0, 4, 100), 10 ** rng.uniform(-6, 1.3, 100), strict=True):
            k, e = check_trees._chord(activation, arb(z), arb(w))
            found_k, middle, rho = tree._CHORDS[activation](np.array([z]), np.array([w]))
            assert abs(float(k) - found_k[0]) < 1e-6
            assert abs(float(e.rad()) - rho[0]) < 1e-6
            for x in np.linspace(z - w, z + w, 21)[1:-1]:
                y = check_trees._activate(activation, arb(x))
                assert e.contains(y - k * (arb(x) - arb(z)))
                assert abs(float(y) - middle[0] - found_k[0] * (x - z)) < rho[0] + 1e-9


def test_positive_definite() -> None:
    from flint import arb

    def verdict(rows: list[list[float]]) -> bool:
        return check_trees._positive_definite([[arb(x) for x in row] for row in rows])

    assert verdict([[2, 1], [1, 2]])
    assert not verdict([[1, 2], [2, 1]])
    assert not verdict([[1, 1], [1, 1]])
    assert not verdict([[float("nan"), 0], [0, 1]])
    assert not verdict([[1, 0], [0, float("nan")]])


def test_a_margin_that_is_no_number_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    network, certificate = found(hand_built_adder)
    monkeypatch.setattr(check_trees, "_margin", lambda *_: float("nan"))
    with pytest.raises(Rejected, match="output"):
        check(model(network), certificate)
