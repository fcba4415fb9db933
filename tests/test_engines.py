"""Engines: what an update is, against loops written independently."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import carrynet as cn
from carrynet import engines, tasks
from carrynet.bench import tutorial_loop
from carrynet.data import words as problems
from carrynet.engines import jit, native
from carrynet.errors import InputError, Unavailable
from carrynet.learn import training
from carrynet.nets.arrays import ACTIVATIONS
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import RECIPES, Recipe
from carrynet.spec.stage import Stage
from carrynet.sweep.loop import execute
from carrynet.sweep.plan import Plan
from carrynet.sweep.store import Store
from tests.conftest import elman
from tests.test_native import OWN
from tests.test_problems import numbers

of_every_engine = pytest.mark.parametrize("engine", engines.ENGINES)
ENGINES = engines.ENGINES


def advance(
    engine: str, recipe: Recipe, state: training.State, words: problems.Words
) -> tuple[Weights, np.ndarray]:
    weights, _, logits = ENGINES[engine].advance(
        state.network, state.moments, recipe, recipe.stages[0], words, 0
    )
    return weights, logits


def batches(recipe: Recipe, updates: int) -> problems.Words:
    batch = recipe.stages[0].batch
    return problems.training_words(
        recipe.specification, recipe.digits, seed=0, stream=9, start=0, count=updates * batch
    ).reshape(updates, batch, recipe.digits)


@pytest.mark.parametrize(
    ("engine", "dtype", "tolerance"), [("numpy", "float64", 1e-9), ("native", "float32", 2e-4)]
)
@pytest.mark.parametrize("hidden", [7, 32])
def test_the_tutorials_updates(engine: str, dtype: str, tolerance: float, hidden: int) -> None:
    recipe = RECIPES["tutorial"].with_settings({"dtype": dtype, "hidden": hidden})
    state = training.start(recipe)
    words = batches(recipe, 300)
    Wxh, Whh, _, Why, _ = (w.astype(np.float64) for w in state.network.weights.values())
    error = tutorial_loop.train([Wxh, Whh, Why], [tuple(n) for n in numbers("add", words[:, 0])])

    weights, logits = advance(engine, recipe, state, words)
    for ours, theirs in zip((weights.Wxh, weights.Whh, weights.Why), (Wxh, Whh, Why), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    assert not weights.bh.any()
    assert not weights.by.any()
    outputs = problems.answers(state.network.task, words[-1, 0])
    ours_error = np.abs(1 / (1 + np.exp(-logits[-1, :, 0, 0])) - outputs).sum()
    assert ours_error == pytest.approx(error, abs=tolerance)


@of_every_engine
@pytest.mark.parametrize("name", RECIPES)
def test_nothing_depends_on_how_many_updates_are_made_at_once(engine: str, name: str) -> None:
    recipe = RECIPES[name].with_settings({"hidden": 5, "digits": 4})
    stage, state = recipe.stages[0], training.start(recipe)
    sizes = (5, 5) if engine == "jax" else (1, 4, 7)  # JAX compiles each of them
    words, run = batches(recipe, sum(sizes)), ENGINES[engine].advance
    whole = run(state.network, state.moments, recipe, stage, words, 0)

    network, moments, logits, first = state.network, state.moments, [], 0
    for size in sizes:
        part = run(network, moments, recipe, stage, words[first : first + size], first)
        network = type(network)(network.task, network.activation, part[0])
        moments, first = part[1], first + size
        logits.append(part[2])
    assert all(
        (a == b).all() for a, b in zip(whole[0].values(), network.weights.values(), strict=True)
    )
    assert (whole[2] == np.concatenate(logits)).all()
    assert logits[0].shape == (sizes[0], recipe.digits, stage.batch, 1)


@of_every_engine
def test_arguments_are_left_as_they_were(engine: str) -> None:
    recipe = RECIPES["plain-adam"].with_settings({"hidden": 4, "batch": 2})
    state = training.start(recipe)
    before = [w.copy() for w in state.network.weights.values()]
    words = np.ones((5, 2, 12), dtype=np.uint8)
    after, _ = advance(engine, recipe, state, words)
    assert all((a == b).all() for a, b in zip(before, state.network.weights.values(), strict=True))
    assert not any((a == b).all() for a, b in zip(before, after.values(), strict=True))
    assert not any(array.any() for moment in state.moments for array in moment.values())


@of_every_engine
def test_a_batch_of_equal_problems_is_one_problem(engine: str) -> None:
    recipe = Recipe(hidden=6, biases=True, stages=(Stage(loss="cross-entropy"),))
    word = np.array([[[3, 1, 0, 2, 1, 1, 2, 0]]], dtype=np.uint8)
    one, logits = advance(engine, recipe, training.start(recipe), word)
    batched = recipe.with_settings({"batch": 4})
    four, more = advance(engine, batched, training.start(batched), np.repeat(word, 4, axis=1))
    for a, b in zip(one.values(), four.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.repeat(logits, 4, axis=2), more, rtol=1e-5, atol=1e-7)


OPEN = tasks.own("open", replace(tasks.parse("parity").machine, output=((0, None), (None, 1))))
ADAM = {"optimiser": "adam", "step": 0.01, "biases": True, "init_width": 0.5}
FORMULAS: list[dict[str, object]] = [
    {"cell": "gru", "init_width": 0.5, "hidden": 32},
    {"cell": "gru", **ADAM, "batch": 32, "hidden": 32, "digits": 16},
    {"cell": "lstm", **ADAM, "batch": 9, "hidden": 7, "task": "add:base=3"},
    {"cell": "gru-reset-before", "init_width": 0.5, "hidden": 17, "start": "learned"},
    {"cell": "mgu", **ADAM, "batch": 3, "hidden": 1, "digits": 2},
    {"cell": "lstm,elman", **ADAM, "batch": 5, "hidden": 33, "start": "learned"},
    {"cell": "gru,gru,gru", **ADAM, "batch": 2, "hidden": 9, "loss": "cross-entropy"},
    {"cell": OWN, **ADAM, "batch": 4, "readout": "v = tanh(h @ V + bv); logits = v @ W + bw"},
    {"cell": "gru", "task": OPEN, "loss": "cross-entropy", **ADAM, "batch": 4},
    {"task": OPEN, "loss": "cross-entropy", **ADAM, "batch": 4, "activation": "tanh"},
    {"cell": "lstm", "task": "compare", **ADAM, "digits": 64, "hidden": 5},
    {"cell": "gru", "task": "add:base=16", "loss": "cross-entropy", **ADAM, "batch": 2},
]
NATIVE_CASES = [
    *FORMULAS,
    *({"hidden": hidden} for hidden in (1, 3, 8, 16, 17, 33, 64)),
    {"hidden": 100, "init_scaling": "sqrt-hidden"},
    {"hidden": 256, "init_scaling": "sqrt-hidden", "digits": 5},
    *({"activation": name, "init_width": 0.1, "hidden": 7} for name in ACTIVATIONS),
    {"activation": "tanh", "init_width": 0.3},
    {"activation": "tanh", "init_width": 0.3, "hidden": 5, "biases": True},
    {"activation": "relu", "init_width": 0.1},
    {"activation": "relu", "init_width": 0.2, "hidden": 9, "biases": True},
    {"biases": True, "loss": "cross-entropy", "hidden": 13},
    {"batch": 7},
    {"batch": 3, "optimiser": "adam", "step": 0.01, "biases": True},
    {"optimiser": "adam", "step": 0.01, "decay": 0.5, "step_end": 0.1, "steps": 300},
    {"digits": 64, "init_scaling": "sqrt-hidden"},
    {"task": "multiply_by:k=1", "digits": 1},
    {"task": "compare", "loss": "cross-entropy", "hidden": 20},
    {"task": "compare", "loss": "cross-entropy", "optimiser": "adam", "step": 0.01, "batch": 9},
    {"task": "add:base=3", "loss": "squared", "biases": True},
    {"task": "add:base=16,operands=3", "loss": "cross-entropy", "digits": 5, "biases": True},
    {"task": "add:operands=4", "optimiser": "adam", "step": 0.01, "batch": 32},
    *(
        {"loss": "cross-entropy", "worst": 0.5, "slack": 0.2, "init_width": 0.3, **more}
        for more in (
            {},
            {"optimiser": "adam", "step": 0.01, "batch": 32, "steps": 250, "ramp_to": 0.6},
            {"optimiser": "adam", "step": 0.01, "batch": 5, "ramp_from": 0.002, "ramp_to": 0.006},
            {"hidden": 1, "biases": True},
            {"hidden": 17, "biases": True, "batch": 3},
            {"hidden": 100, "init_width": 0.1, "batch": 4, "worst": 1.0},
            {"activation": "tanh", "optimiser": "adam", "step": 0.01, "batch": 8},
            {"activation": "relu", "biases": True, "batch": 2, "init_width": 0.1, "step": 0.01},
            {"task": "compare", "batch": 9, "optimiser": "adam", "step": 0.01, "biases": True},
            {"task": "add:base=3", "hidden": 20},
            {"task": "add:base=16,operands=3", "digits": 5, "batch": 2, "step": 0.01},
        )
    ),
]


@pytest.mark.parametrize("settings", NATIVE_CASES, ids=str)
def test_native_weights_are_numpys_to_rounding(settings: dict[str, object]) -> None:
    recipe = RECIPES["tutorial"].with_settings(settings)
    # fewer with the worst case: where a weight crosses 0 its gradient jumps, and roundings part
    updates = 60 if recipe.stages[0].worst else 200
    state, words = training.start(recipe), batches(recipe, updates)
    weights, logits = advance("native", recipe, state, words)
    oracle, expected = advance("numpy", recipe, state, words)
    begun = state.network.weights
    moved = max(np.abs(w - begun[name]).max() for name, w in oracle.items())
    for ours, theirs in zip(weights.values(), oracle.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-3)
    assert recipe.digits == 1 or moved > 1e-3  # the agreement is about something


def test_native_weights_are_numpys_after_two_thousand_problems() -> None:
    recipe = RECIPES["tutorial"]
    state, words = training.start(recipe), batches(recipe, 2_000)
    weights, _ = advance("native", recipe, state, words)
    oracle, _ = advance("numpy", recipe, state, words)
    for ours, theirs in zip(weights.values(), oracle.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-5)


@of_every_engine
def test_repeated_runs_are_equal_to_the_bit(engine: str) -> None:
    recipe = RECIPES["plain-adam"].with_settings({"task": "add:base=3", "hidden": 9})
    state, words = training.start(recipe), batches(recipe, 20)
    one, again = (advance(engine, recipe, state, words) for _ in range(2))
    assert all((a == b).all() for a, b in zip(one[0].values(), again[0].values(), strict=True))
    assert (one[1] == again[1]).all()


@of_every_engine
def test_saturated_and_tiny_weights(engine: str) -> None:
    for size in (1e15, 1e4, 1e-30, 1e-42):  # the last is a denormal number
        recipe = Recipe(hidden=5, stages=(Stage(step=1e-3),))
        state = training.start(recipe)
        network = state.network
        weights = elman(*(np.float32(size) * np.sign(w) for w in network.weights.values()))
        network = type(network)(network.task, network.activation, weights)
        _, logits = advance(engine, recipe, replace(state, network=network), batches(recipe, 5))
        assert np.isfinite(logits).all()


@of_every_engine
def test_divergence_shows_in_the_logits_or_the_weights(engine: str) -> None:
    stage = Stage(step=1e6, loss="cross-entropy")
    recipe = Recipe(activation="relu", stages=(stage,))
    with np.errstate(over="ignore", invalid="ignore"):
        weights, logits = advance(engine, recipe, training.start(recipe), batches(recipe, 100))
    assert not all(np.isfinite(array).all() for array in (*weights.values(), logits))


def test_auto_takes_what_works_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert engines.get("auto", Recipe(hidden=32, dtype="float32")).name == "native"
    assert engines.get("auto", Recipe(hidden=32, dtype="float64")).name == "numpy"
    monkeypatch.setattr(jit, "missing", "llvmlite cannot be imported: no such module")
    engines._say_once.cache_clear()
    caplog.clear()
    assert engines.get("auto", Recipe(hidden=32, dtype="float32")).name == "numpy"
    assert engines.get("auto", Recipe(hidden=16, dtype="float32")).name == "numpy"
    assert [record.getMessage() for record in caplog.records] == [
        "carrynet: llvmlite cannot be imported: no such module; using the NumPy engine"
    ]
    with pytest.raises(Unavailable, match="llvmlite cannot be imported"):
        engines.get("native", Recipe(hidden=32, dtype="float32"))


def test_what_is_refused_is_told_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = RECIPES["plain-adam"].with_settings({"dtype": "float64", "hidden": 3, "steps": 1})
    (tmp_path / "there").mkdir()
    plan = 'recipe = "plain-adam"\nhidden = 3\nsteps = 1\nseed = "0..1"\ndtype = '
    Store(str(tmp_path / "sweep")).begin(Plan.parse(f'{plan}"float32"', tmp_path))
    engines._say_once.cache_clear()
    caplog.clear()
    with pytest.raises(InputError, match="exists: choose another folder"):
        cn.train(recipe, out=tmp_path / "there", progress=False)
    with pytest.raises(InputError, match="holds a sweep by another plan"):
        execute(Plan.parse(f'{plan}"float64"', tmp_path), tmp_path / "sweep")
    assert not caplog.records
    cn.train(recipe, out=tmp_path / "new", progress=False)
    (record,) = caplog.records
    assert "using the NumPy engine" in record.getMessage()


def test_where_building_fails_numpy_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> bytes:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(jit, "_object_file", fails)
    monkeypatch.setattr(jit, "_loaded", {})
    native._cannot_build.cache_clear()
    try:
        assert engines.get("auto", Recipe(hidden=32, dtype="float32")).name == "numpy"
        with pytest.raises(Unavailable, match="cannot make machine code here: no such instruct"):
            engines.get("native", Recipe(hidden=32, dtype="float32"))
    finally:
        native._cannot_build.cache_clear()


def test_without_llvmlite_numpy_serves(tmp_path: Path) -> None:
    script = (
        "import sys\nsys.modules['llvmlite'] = None\n"
        "sys.argv[:1] = ['carrynet', 'train', '--hidden', '4', '--set', 'learn.steps=20',"
        "'--set', 'harden.steps=1']\n"
        "from carrynet.cli import main\nmain()"
    )
    said = []
    for engine in ("auto", "native"):
        done = subprocess.run(
            [sys.executable, "-c", script, "--engine", engine, "--out", str(tmp_path / engine)],
            check=False,
            capture_output=True,
            text=True,
        )
        said.append((done.returncode, "numpy engine" in done.stdout, done.stderr))
    reason = "llvmlite cannot be imported: import of llvmlite halted; None in sys.modules"
    assert said == [
        (1, True, f"carrynet: {reason}; using the NumPy engine\n"),
        (2, False, f"carrynet: {reason}\n"),
    ]
    assert not (tmp_path / "native").exists()


def test_engines_say_what_they_refuse() -> None:
    with pytest.raises(InputError, match="unknown engine 'nunpy': did you mean 'numpy'"):
        engines.get("nunpy", Recipe(hidden=32, dtype="float32"))
    with pytest.raises(Unavailable, match="in float32, not float64"):
        engines.get("native", Recipe(hidden=32, dtype="float64"))
    with pytest.raises(Unavailable, match="up to 256 hidden units, not 257"):
        engines.get("native", Recipe(hidden=257, dtype="float32"))
