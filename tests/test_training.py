"""The loop: it learns, reports, resumes, and stops when numbers overflow."""

import numpy as np
import pytest

from carrynet import training
from carrynet.evaluation import evaluate
from carrynet.network import Network
from carrynet.problems import Words
from carrynet.recipe import RECIPES, Recipe, Stage
from carrynet.training import Diverged, Progress

TWO_STAGES = Recipe(
    hidden=8,
    digits=6,
    stages=(
        Stage(steps=3_000),
        Stage("polish", steps=400, batch=8, optimiser="adam", step=0.01, loss="cross-entropy"),
    ),
)


def same(one: Network, other: Network) -> bool:
    return one.digest() == other.digest()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"activation": "tanh", "init_width": 0.3},
        {"task": "subtract"},
        {"task": "add:base=3", "digits": 6},
    ],
    ids=str,
)
def test_the_tutorials_recipe_learns(settings: dict[str, object]) -> None:
    network = training.fit(RECIPES["tutorial"].with_settings({"seed": 1, **settings}))
    result = evaluate(network, digits=5)
    assert result.right == result.pairs


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("task", ["add", "subtract", "compare"])
def test_plain_adam_learns(task: str, activation: str) -> None:
    recipe = RECIPES["plain-adam"].with_settings({"task": task, "activation": activation})
    result = evaluate(training.fit(recipe), digits=4)
    assert result.right == result.pairs


def test_progress_is_told() -> None:
    told: list[Progress] = []
    training.fit(TWO_STAGES, callbacks=[told.append])
    learn = [p for p in told if p.stage == "learn"]
    polish = [p for p in told if p.stage == "polish"]
    assert len(learn) >= 100
    assert [p.step for p in (learn[-1], polish[-1])] == [3_000, 400]
    assert told[-1].problem == told[-1].problems == TWO_STAGES.problems == 3_000 + 8 * 400
    steps = [p.problem for p in told]
    assert steps == sorted(set(steps))
    assert learn[0].error - 0.3 > polish[-1].error > 0
    assert 0 <= learn[0].right < 0.5
    assert polish[-1].loss < polish[0].loss


@pytest.mark.parametrize("which", [0, 40, -60, -2])
def test_going_on_from_any_state_ends_in_the_same_weights(which: int) -> None:
    told: list[Progress] = []
    whole = training.fit(TWO_STAGES, callbacks=[told.append])
    resumed: list[Progress] = []
    part = training.fit(TWO_STAGES, state=told[which].state, callbacks=[resumed.append])
    assert same(whole, part)
    rest = told[which:][1:]
    assert [(p.problem, p.error) for p in resumed] == [(p.problem, p.error) for p in rest]


def test_the_seed_decides() -> None:
    recipe = Recipe(hidden=4, stages=(Stage(steps=200),))
    one, again = training.fit(recipe), training.fit(recipe)
    assert same(one, again)
    assert not same(one, training.fit(recipe.with_settings({"seed": 1})))


def test_golden_weights() -> None:
    # What seed 0 gives must not drift from version to version (to rounding, across machines).
    network = training.fit(Recipe(hidden=2, dtype="float64", stages=(Stage(steps=50),)))
    golden = [-0.984539, -0.542496, -0.783987, 0.106358]
    assert network.weights.Wxh.ravel() == pytest.approx(golden, abs=1e-5)


def test_the_initial_weights_can_be_scaled_by_size() -> None:
    recipe = Recipe(hidden=16, init_width=2.0, init_scaling="sqrt-hidden")
    largest = np.abs(training.start(recipe).network.weights.Whh).max()
    assert 0.4 < largest <= 0.5


def test_divergence_names_the_problem_and_keeps_good_states() -> None:
    told: list[Progress] = []
    recipe = Recipe(
        activation="relu", stages=(Stage(steps=4_000, step=100.0, loss="cross-entropy"),)
    )
    with pytest.raises(Diverged, match=r"diverged at problem (\d+) of 4,000.*smaller than 100"):
        training.fit(recipe, callbacks=[told.append])
    assert all(np.isfinite(w).all() for p in told for w in p.state.network.weights)


def test_the_last_problem_is_the_last_that_was_shown() -> None:
    recipe = TWO_STAGES
    seen: list[Words] = []
    original = training._words

    def spy(*args: object) -> Words:
        seen.append(original(*args))  # type: ignore[arg-type]
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_words", spy)
        training.fit(recipe)
    last = seen[-1][-1, -1]
    bits = [(symbol >> 1 & 1, symbol & 1) for symbol in last.tolist()]
    expected = [sum(bit << i for i, bit in enumerate(column)) for column in zip(*bits, strict=True)]
    assert training.last_problem(recipe) == expected
