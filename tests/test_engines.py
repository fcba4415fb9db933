"""Engines: what an update is, against loops written independently."""

import numpy as np
import pytest

from benchmarks import tutorial_loop
from carrynet import engines, problems, training
from carrynet.errors import InputError
from carrynet.network import Weights
from carrynet.recipe import RECIPES, Recipe, Stage
from tests.test_problems import numbers

of_every_engine = pytest.mark.parametrize("engine", engines.ENGINES)


def advance(
    engine: str, recipe: Recipe, state: training.State, words: problems.Words
) -> tuple[Weights, np.ndarray]:
    weights, _, logits = engines.get(engine).advance(
        state.network, state.moments, recipe, recipe.stages[0], words, 0
    )
    return weights, logits


@of_every_engine
def test_the_tutorials_updates(engine: str) -> None:
    recipe = RECIPES["tutorial"].with_settings({"dtype": "float64", "hidden": 7})
    state = training.start(recipe)
    words = problems.training_words(state.network.task, 8, seed=0, stream=99, start=0, count=300)
    Wxh, Whh, _, Why, _ = (w.copy() for w in state.network.weights)
    error = tutorial_loop.train([Wxh, Whh, Why], [tuple(n) for n in numbers("add", words)])

    weights, logits = advance(engine, recipe, state, words[:, None])
    for ours, theirs in zip((weights.Wxh, weights.Whh, weights.Why), (Wxh, Whh, Why), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert not weights.bh.any()
    assert not weights.by.any()
    outputs = problems.answers(state.network.task, words[-1])
    ours_error = np.abs(1 / (1 + np.exp(-logits[-1, :, 0, 0])) - outputs).sum()
    assert ours_error == pytest.approx(error, rel=1e-9)


@of_every_engine
@pytest.mark.parametrize("name", RECIPES)
def test_nothing_depends_on_how_many_updates_are_made_at_once(engine: str, name: str) -> None:
    recipe = RECIPES[name].with_settings({"hidden": 5})
    stage, state = recipe.stages[0], training.start(recipe)
    words = problems.training_words(
        state.network.task, recipe.digits, seed=0, stream=9, start=0, count=12 * stage.batch
    ).reshape(12, stage.batch, -1)
    run = engines.get(engine).advance
    whole = run(state.network, state.moments, recipe, stage, words, 0)

    network, moments, logits, first = state.network, state.moments, [], 0
    for size in (1, 4, 7):
        part = run(network, moments, recipe, stage, words[first : first + size], first)
        network = type(network)(network.task, network.activation, part[0])
        moments, first = part[1], first + size
        logits.append(part[2])
    assert all((a == b).all() for a, b in zip(whole[0], network.weights, strict=True))
    assert (whole[2] == np.concatenate(logits)).all()
    assert logits[0].shape == (1, recipe.digits, stage.batch, 1)


@of_every_engine
def test_arguments_are_left_as_they_were(engine: str) -> None:
    recipe = RECIPES["plain-adam"].with_settings({"hidden": 4, "batch": 2})
    state = training.start(recipe)
    before = [w.copy() for w in state.network.weights]
    words = np.ones((5, 2, 12), dtype=np.uint8)
    after, _ = advance(engine, recipe, state, words)
    assert all((a == b).all() for a, b in zip(before, state.network.weights, strict=True))
    assert not any((a == b).all() for a, b in zip(before, after, strict=True))
    assert not any(array.any() for moment in state.moments for array in moment)


@of_every_engine
def test_a_batch_of_equal_problems_is_one_problem(engine: str) -> None:
    recipe = Recipe(hidden=6, dtype="float64", biases=True, stages=(Stage(loss="cross-entropy"),))
    word = np.array([[[3, 1, 0, 2, 1, 1, 2, 0]]], dtype=np.uint8)
    one, logits = advance(engine, recipe, training.start(recipe), word)
    batched = recipe.with_settings({"batch": 4})
    four, more = advance(engine, batched, training.start(batched), np.repeat(word, 4, axis=1))
    for a, b in zip(one, four, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_allclose(np.repeat(logits, 4, axis=2), more, rtol=1e-12)


def test_auto_is_an_engine_and_others_are_named() -> None:
    assert engines.get("auto").name in engines.ENGINES
    with pytest.raises(InputError, match="unknown engine 'nunpy': did you mean 'numpy'"):
        engines.get("nunpy")
