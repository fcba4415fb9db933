"""Certified training on the prover's own boxes, joined round by round."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

import carrynet as cn
from carrynet import engines, tasks
from carrynet.data.regions import regions
from carrynet.data.words import tables
from carrynet.errors import InputError, Unavailable
from carrynet.learn import training
from carrynet.learn.training import Progress
from carrynet.nets import joined
from carrynet.nets.network import Network
from carrynet.nets.readings.enclosure import Box, Enclosure
from carrynet.nets.weights import Weights
from carrynet.proof import search
from carrynet.proof.verdict import Proved
from carrynet.spec.recipe import RECIPES
from carrynet.spec.stage import Stage
from tests.test_invariant import NAMES, check_gradients, example

STRENGTH: dict[str, Any] = {"closing": 0.7, "forgetting": 0.3, "rounds": 5}


@pytest.mark.parametrize("layers", [False, True])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["tomita:4", "compare:base=3"])
def test_gradients(name: str, layers: bool, text: str) -> None:
    if layers and name == "own":
        return  # both have weights Whu
    network, _ = example(name, tasks.parse(text), layers=layers)
    network = network.moved(network.weights.map(lambda w: 0.5 * w))

    def loss(weights: Weights) -> float:
        moved = Network(network.task, network.cell, weights, network.readout)
        return joined.gradient(moved, 0.01, **STRENGTH).loss

    found = joined.gradient(network, 0.01, **STRENGTH).weights
    check_gradients(loss, network.weights, found, np.random.default_rng(0))


def test_without_biases_they_have_no_gradient() -> None:
    network, _ = example("gru", tasks.add())
    found = joined.gradient(network, 0.01, biases=False).weights
    assert {name for name, g in found.items() if not g.any()} == {"br", "bz", "bn", "bhn", "by"}


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm", "gru,lstm"])
def test_boxes_hold_every_state(name: str) -> None:
    network, _ = example(name, tasks.parse("compare:base=3"))
    known, rounds = regions(network.task), 4
    found = joined.gradient(network, 0.0, rounds=rounds)
    for word in product(range(network.symbols), repeat=rounds):
        h, region = network.start, np.zeros((), np.intp)
        for symbol in word:
            h = network.step(h, symbol)
            region = known.after(region, np.array(symbol))
            assert (found.lower[region] - 1e-12 <= h).all()
            assert (h <= found.upper[region] + 1e-12).all()


def by_hand(
    network: Network, slack: float, rounds: int
) -> tuple[list[dict[int, tuple[float, float]]], list[list[float]]]:
    """Of one tanh unit: the boxes after each round, and the losses of its edges, unweighted."""
    task, weights = network.task, dict(network.weights)
    known, table = regions(task), tables(task)
    fed = (table.vectors @ weights.pop("Wxh"))[:, 0].tolist()  # of each symbol
    W = {name: array.item() for name, array in weights.items()}
    boxes, losses = [{0: (0.0, 0.0)}], []
    for _ in range(rounds):
        images: dict[int, list[tuple[float, float]]] = {0: [(0.0, 0.0)]}
        of_edges = []
        for region, ends in boxes[-1].items():
            for symbol in range(len(task.machine.symbols)):
                made = [math.tanh(fed[symbol] + end * W["Whh"] + W["bh"]) for end in ends]
                low, high = min(made) - slack, max(made) + slack
                into = int(known.after(np.array(region), np.array(symbol)))
                images.setdefault(into, []).append((low, high))
                one = table.output[known.state[region], symbol] == 1
                logits = [end * W["Why"] + W["by"] for end in (low, high)]
                worst = -min(logits) if one else max(logits)
                of_edges.append(math.log1p(math.exp(worst)))
        boxes.append({j: (min(a)[0], max(b for _, b in a)) for j, a in images.items()})
        losses.append(of_edges)
    return boxes, losses


def test_boxes_and_their_loss_by_hand() -> None:
    task = tasks.parse("parity")
    weights = Weights(
        Wxh=np.array([[0.5], [-0.25]]), Whh=np.array([[-0.75]]), bh=np.array([0.125]),
        Why=np.array([[2.0]]), by=np.array([0.25]),
    )  # fmt: skip
    network, slack, rounds = Network(task, "tanh", weights), 0.02, 6
    boxes, losses = by_hand(network, slack, rounds)
    found = joined.gradient(network, slack, rounds=rounds)
    assert len(boxes[-1]) == regions(task).count > len(boxes[1])  # some are reached later
    for region, (low, high) in boxes[-1].items():
        assert (found.lower[region, 0], found.upper[region, 0]) == pytest.approx((low, high))

    # every edge is in doubt, so that the mean is that of all: the start's, and each state's
    assert min(map(min, losses)) > 0.1
    total = 0.0
    for before, of_edges in zip(boxes, losses, strict=False):
        groups: dict[int, list[float]] = {}
        for place, region in enumerate(before):
            group = -1 if region == 0 else int(regions(task).state[region])
            groups.setdefault(group, []).extend(of_edges[2 * place : 2 * place + 2])
        total += sum(float(np.mean(group)) for group in groups.values()) / len(groups)
    assert found.loss == pytest.approx(total)

    closing = joined.gradient(network, slack, closing=1.0, rounds=rounds).loss - found.loss
    early, late = boxes[rounds // 2], boxes[rounds]
    grown = [early[j][0] - late[j][0] + late[j][1] - early[j][1] for j in early]
    assert closing == pytest.approx(np.mean(grown))
    assert closing > 1e-4


def test_boxes_that_no_longer_grow_are_an_invariant() -> None:
    """After enough rounds, of a network that is proved by boxes."""
    run = cn.train("certified", hidden=8, seed=1, progress=False)
    double, known = run.network.astype("float64"), regions(run.network.task)
    found = joined.gradient(double, 0.0, rounds=200)
    again = joined.gradient(double, 0.0, rounds=201)
    assert np.allclose(found.lower, again.lower, atol=1e-12)
    image = double.enclose(Enclosure(), Box(l=found.lower, u=found.upper))
    every = known.edges(np.arange(known.edge_count))
    D = len(double.start)
    low, high = (a.reshape(-1, D) for a in (image.l, image.u))
    assert (found.lower[every.target] <= low + 1e-12).all()
    assert (high <= found.upper[every.target] + 1e-12).all()


# Training ----------------------------------------------------------------------------

BOXES = {
    "close.over": "problems",
    "close.bounds": "boxes",
    "close.batch": 16,
    "close.worst": 0.5,
    "close.slack": 0.02,
    "close.closing": 1.0,
    "close.forgetting": 0.1,
    "close.ramp_to": 0.6,
    "close.again": 0,
}


def test_gates_are_proved_that_are_trained_on_boxes() -> None:
    settings = BOXES | {"cell": "gru", "task": "window", "hidden": 6, "digits": 8}
    settings |= {"learn.steps": 300, "close.steps": 200}
    recipe, learned = RECIPES["certified"].with_settings(settings), []

    def keep(progress: Progress) -> None:
        if progress.stage == "learn":
            learned.append(progress.state.network)

    network = training.fit(recipe, callbacks=[keep])
    assert not isinstance(search.prove(learned[-1], budget=0), Proved)
    assert isinstance(search.prove(network, budget=0), Proved)
    assert (recipe.joined, RECIPES["certified"].joined) == (200, 0)
    assert recipe.showing("problems") == (
        "22,400 problems, and 200 times boxes over all 8 edges of the machine"
    )


def test_the_native_engine_leaves_it_to_numpy() -> None:
    recipe = RECIPES["certified"].with_settings({"harden.bounds": "boxes", "harden.slack": 0.02})
    with pytest.raises(Unavailable, match="bounds the worst case along words, not by boxes"):
        engines.get("native", recipe)
    assert engines.get("auto", recipe).name == "numpy"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"bounds": "edges"}, "unknown bounds 'edges': accepted: words, boxes"),
        ({"bounds": "boxes"}, "they need a worst above 0"),
        (
            {"bounds": "boxes", "over": "edges", "loss": "cross-entropy", "worst": 0.5},
            "a stage over edges has boxes of its own",
        ),
        ({"again": 1}, "again asks for boxes that are left open: it needs a stage over edges"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Stage(**settings)  # type: ignore[arg-type]


def test_more_than_fits_in_memory_is_refused() -> None:
    settings = BOXES | {"cell": "gru", "task": "add:base=16", "hidden": 256}
    with pytest.raises(InputError, match=r"16 rounds of .* edges.*; bounds words take less"):
        RECIPES["certified"].with_settings(settings)
