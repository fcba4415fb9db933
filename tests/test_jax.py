"""The engine of JAX, on the processor: the same problems and weights as NumPy's.

Here too its programs for GPUs, which Pallas interprets.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carrynet import engines, tasks
from carrynet.data import drawn, rng
from carrynet.engines import fused, jax, programs
from carrynet.errors import Unavailable
from carrynet.learn import training
from carrynet.learn.training import Diverged
from carrynet.nets.network import Network
from carrynet.spec.recipe import RECIPES, Recipe
from tests.conftest import words_up_to
from tests.test_cli import carrynet
from tests.test_sweep import rows_of

NUMPY, JAX = engines.ENGINES["numpy"], engines.ENGINES["jax"]
OWN = "state = h, m; g = sigmoid(x @ Wxg + h @ Whg + bg); m = m * g + tanh(x @ Wxm) - 0.5 * g; "
OWN += "h = relu(m @ Wm + b) * w"
PARITY = tasks.parse("parity").machine
OPEN = tasks.own("open", replace(PARITY, output=((0, None), (None, 1))))


def recipe(**settings: Any) -> Recipe:
    small = {"digits": 5, "hidden": 6, "dtype": "float64", "init_width": 0.5, **settings}
    return RECIPES["tutorial"].with_settings(small)


WORST = {"loss": "cross-entropy", "worst": 0.5, "slack": 0.1, "ramp_to": 0.001, "biases": True}
ADAM = {"optimiser": "adam", "step": 0.01, "batch": 3, "decay": 0.5, "step_end": 0.1}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {**ADAM, "biases": True, "activation": "tanh"},
        {"cell": "gru", "task": "add:base=3", "loss": "cross-entropy", "biases": True},
        {"cell": OWN, "biases": True, "readout": "v = tanh(h @ V + bv); logits = v @ W + bw"},
        {"cell": "lstm,mgu", "start": "learned", **ADAM},
        {"task": OPEN, "loss": "cross-entropy", "biases": True},
        {**WORST, "activation": "relu", "task": "compare"},
        {**WORST, **ADAM, "cell": "gru"},
        {**WORST, "cell": "lstm", "readout": "v = relu(h @ V + bv); logits = v @ W + bw"},
    ],
    ids=str,
)
def test_weights_moments_and_logits_are_numpys(settings: dict[str, Any]) -> None:
    how = recipe(**settings)
    state, words = training.start(how), drawn.draw(how, 0, 0, 15)
    given = state.network, state.moments, how, how.stages[0], words, 7
    ours, theirs = JAX.advance(*given), NUMPY.advance(*given)
    for one, other in zip((ours[0], *ours[1]), (theirs[0], *theirs[1]), strict=True):
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours[2], theirs[2], rtol=0, atol=1e-10)
    moved = [np.abs(w - state.network.weights[name]).max() for name, w in ours[0].items()]
    assert max(moved) > 1e-3  # the agreement is about something


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": 8},
        {"hidden": 8, "biases": True, "loss": "cross-entropy", "decay": 0.5},
        {"hidden": 4, "cell": "gru", "optimiser": "adam", "step": 0.01, "biases": True},
        {"hidden": 4, "task": "add:operands=4", "loss": "cross-entropy", "start": "learned"},
    ],
    ids=str,
)
def test_a_program_for_gpus_computes_the_same(settings: dict[str, Any]) -> None:
    how = recipe(dtype="float32", **settings)
    (stage,), both = how.stages, [replace(how, seed=seed) for seed in (3, 4)]
    states = [training.start(each) for each in both]
    words = np.stack([drawn.draw(each, 0, 0, 20) for each in both])
    stacked = [
        {name: np.stack([a[name], b[name]]) for name in a}
        for a, b in zip(*((s.network.weights, *s.moments) for s in states), strict=True)
    ]
    asked = programs.How.of(states[0].network, how, stage)
    assert fused.takes(asked, stacked[0], stage.batch, how.digits)
    weights, moments = fused.fused(asked, interpreted=True)(
        *(stacked[0], tuple(stacked[1:]), np.full(2, stage.step, np.float32), words),
        programs.schedule(stage, 0, 20, np.float32),
    )
    for i, state in enumerate(states):
        theirs = NUMPY.advance(state.network, state.moments, how, stage, words[i], 0)
        for one, other in zip((weights, *moments), (theirs[0], *theirs[1]), strict=True):
            for name in other:
                np.testing.assert_allclose(one[name][i], other[name], rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "settings",
    [
        *({"hidden": 6}, {"batch": 2}, {"dtype": "float64"}, {"digits": 60}, {"task": OPEN}),
        *({"task": "add:base=3"}, {"loss": "cross-entropy", "worst": 0.5}),
    ],
    ids=str,
)
def test_what_such_a_program_does_not_take(settings: dict[str, Any]) -> None:
    how = recipe(**{"hidden": 8, "dtype": "float32", **settings})
    network = training.start(how).network
    asked = programs.How.of(network, how, how.stages[0])
    weights = {name: w[None] for name, w in network.weights.items()}
    assert not fused.takes(asked, weights, how.stages[0].batch, how.digits)


@pytest.mark.parametrize(
    "task", ["add", "add:base=3", "add:base=10,operands=4", "subtract:base=8", "multiply_by:k=7"]
)
def test_problems_are_drawn_on_the_device_as_elsewhere(task: str) -> None:
    population = [recipe(task=task, batch=3, digits=25, seed=seed) for seed in (0, 5, 2**62)]
    for first in (0, 3, 1001):
        ours = np.asarray(jax._words(population, 0, first, 7))
        theirs = np.stack([drawn.draw(each, 0, first, 7) for each in population])
        assert ours.dtype == theirs.dtype
        assert (ours == theirs).all()


def test_philox_is_numpys() -> None:
    key = np.array([[2**63 + 5], [16]], np.uint64)
    counter = np.array([1, 8, 2**40], np.uint64)
    ours = np.stack(rng.philox(counter, (key[0], key[1])), axis=-1)
    for row, block in zip(ours, counter.tolist(), strict=True):
        assert (row == rng.raw(2**63 + 5, 16, 4 * (block - 1), 4)).all()


def equal(one: Network | Diverged, other: Network | Diverged) -> bool:
    assert isinstance(one, Network)
    assert isinstance(other, Network)
    return all((w == other.weights[name]).all() for name, w in one.weights.items())


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({}, [slice(2, 3), slice(1, 4), slice(0, 8)]),
        ({**WORST, "batch": 4}, [slice(2, 3)]),  # whose programs take long to be compiled
    ],
    ids=["plain", "certified"],
)
def test_many_at_once_are_what_each_is_alone(settings: dict[str, Any], parts: list[slice]) -> None:
    how = recipe(dtype="float32", steps=150, **settings)
    population = [replace(how, seed=seed) for seed in range(9)]
    steeper = population[2].with_settings({"step": 0.3})
    population[2] = steeper
    trained = training.fit_many(population, engine="jax")
    for some in parts:
        again = training.fit_many(population[some], engine="jax")
        assert all(equal(a, b) for a, b in zip(trained[some], again, strict=True))
    alone = training.fit(steeper, engine="numpy")
    assert isinstance(trained[2], Network)
    for name, w in alone.weights.items():
        np.testing.assert_allclose(trained[2].weights[name], w, rtol=0, atol=2e-5)


def test_growing_problems_and_edges_are_trained_too() -> None:
    gated = RECIPES["certified"].with_settings({"cell": "gru", "hidden": 3, "digits": 3})
    gated = gated.with_settings({"learn.steps": 8, "close.steps": 2, "learn.batch": 4})
    growing = replace(gated, stages=gated.stages[:1])
    for how in (gated, growing):
        (ours,), (theirs,) = (training.fit_many([how], engine=e) for e in ("jax", "numpy"))
        assert isinstance(ours, Network)
        assert isinstance(theirs, Network)
        for name, w in theirs.weights.items():
            np.testing.assert_allclose(ours.weights[name], w, rtol=0, atol=1e-4)


def test_one_that_diverges_does_not_trouble_the_others() -> None:
    how = Recipe(activation="relu").with_settings({"steps": 100, "loss": "cross-entropy"})
    how = how.with_settings({"step": 1e-3, "init_width": 0.2, "digits": 4, "hidden": 8})
    population = [how, how.with_settings({"step": 1e6, "init_width": 1.0}), replace(how, seed=1)]
    fine, diverged, other = training.fit_many(population, engine="jax")
    assert isinstance(diverged, Diverged)
    assert equal(fine, training.fit_many([how], engine="jax")[0])
    assert isinstance(other, Network)


def test_what_it_does_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = RECIPES["certified"].with_settings({"harden.bounds": "boxes"})
    with pytest.raises(Unavailable, match="jax bounds the worst case along words"):
        engines.get("jax", boxes)
    monkeypatch.setattr(jax, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"JAX is not installed: pip install 'carrynet\[jax\]'"):
        engines.get("jax", Recipe())


@words_up_to(64)
def test_the_command_line_trains_and_sweeps_with_it(tmp_path: Path) -> None:
    small = ("--set", "hidden=3", "--set", "steps=40", "--set", "digits=4")
    command = ("train", "--recipe", "tutorial", *small, "--engine", "jax", "--out", "run")
    done = carrynet(*command, cwd=tmp_path)
    assert "jax engine" in done.stdout
    assert json.loads((tmp_path / "run" / "config.json").read_text())["engine"] == "jax"
    (tmp_path / "plan.toml").write_text(
        'recipe = "tutorial"\nhidden = 3\nsteps = 40\ndigits = 4\nseed = "0..4"\n'
        '[sweep]\nengine = "jax"\nexhaustive = 2\nlengths = []\nproof = "none"\n'
    )
    done = carrynet("sweep", "plan.toml", "--out", "out", "--jobs", "1", "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)["networks"]) == (0, 5)
    assert {row["engine"] for row in rows_of(tmp_path / "out")} == {"jax"}
