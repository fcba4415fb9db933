"""The loop: it learns, reports, resumes, and stops when numbers overflow."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from carrynet import engines
from carrynet.data import drawn
from carrynet.data.words import Words
from carrynet.judge.evaluation import evaluate
from carrynet.learn import training
from carrynet.learn.training import Diverged, Progress
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import RECIPES, Recipe
from carrynet.spec.stage import Stage

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


def test_an_album_holds_the_beginning_some_moments_and_the_end() -> None:
    recipe = RECIPES["certified"].with_settings({"hidden": 4, "learn.steps": 1000})
    album = training.Album(training.start(recipe))
    network = training.fit(recipe, callbacks=[album])
    problems = [each.problem for each in album.snapshots]
    of_first = [round(share * 1000) for share in training.SHARES]
    of_second = [1000 + round(share * 800) * 32 for share in training.SHARES]
    assert problems == [0, *of_first, *of_second]
    digests = [each.network.digest() for each in album.snapshots]
    assert digests[0] == training.start(recipe).network.digest()
    assert digests[-1] == network.digest()
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("which", [0, 40, -60, -2])
def test_going_on_from_any_state_ends_in_the_same_weights(which: int) -> None:
    told: list[Progress] = []
    whole = training.fit(TWO_STAGES, callbacks=[told.append])
    resumed: list[Progress] = []
    state = told[which].state
    part = training.fit(TWO_STAGES, state=state, callbacks=[resumed.append])
    assert same(whole, part)
    stands = TWO_STAGES.shown(state.stage, state.step)
    assert stands <= told[which].problem
    rest = [p for p in told if p.problem > stands]
    assert [(p.problem, p.error) for p in resumed] == [(p.problem, p.error) for p in rest]


@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_whoever_is_told_can_end_a_training(engine: str) -> None:
    told: list[Progress] = []

    def enough(progress: Progress) -> None:
        told.append(progress)
        if progress.problem > 1_000:
            raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        training.fit(TWO_STAGES, engine=engine, callbacks=[enough])
    assert threading.active_count() == threads  # nothing goes on behind anybody's back
    whole = training.fit(TWO_STAGES, engine=engine)
    assert same(training.fit(TWO_STAGES, engine=engine, state=told[-1].state), whole)
    assert told[-1].state.step < 3_000


def watched(monkeypatch: pytest.MonkeyPatch, advance: Callable[..., Any]) -> None:
    """Let updates by machine code be made by `advance`, which is given what makes them."""
    engine = engines.ENGINES["native"]
    changed = replace(engine, advance=partial(advance, engine.advance))
    monkeypatch.setitem(engines.ENGINES, "native", changed)


def test_progress_is_told_while_machine_code_makes_the_next_updates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[int] = []
    told: list[training.State] = []

    def advance(made: Callable[..., Any], *given: Any) -> Any:
        begun.append(given[-1])
        return made(*given)

    def next_is_under_way(progress: Progress) -> None:
        if progress.step == progress.state.step:  # the last report of some updates
            told.append(progress.state)
            deadline = time.monotonic() + 20
            while len(begun) <= len(told):
                assert time.monotonic() < deadline
                time.sleep(0.001)

    watched(monkeypatch, advance)
    training.fit(TWO_STAGES, engine="native", callbacks=[next_is_under_way])
    assert len(told) > 10


def test_an_error_in_the_middle_of_updates_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def advance(made: Callable[..., Any], *given: Any) -> Any:
        calls.append(given[-1])
        if len(calls) == 3:
            raise MemoryError("no room")
        return made(*given)

    watched(monkeypatch, advance)
    told: list[Progress] = []
    with pytest.raises(MemoryError, match="no room"):
        training.fit(TWO_STAGES, engine="native", callbacks=[told.append])
    assert told[-1].step == calls[2]  # whatever was made before has been told


@pytest.mark.parametrize("settings", [{"batch": 2048}, {"task": "add:base=16", "batch": 256}])
def test_what_is_made_at_once_fits_in_memory(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
) -> None:
    sizes: list[int] = []

    def advance(_: Callable[..., Any], network: Network, moments: Any, *given: Any) -> Any:
        words = given[2]
        sizes.append(words.size * network.task.neurons)
        updates, B, T = words.shape
        return network.weights, moments, np.zeros((updates, T, B, network.task.neurons), "f4")

    watched(monkeypatch, advance)
    recipe = RECIPES["plain-adam"].with_settings({"hidden": 4, "steps": 1_200, **settings})
    training.fit(recipe, engine="native", callbacks=[lambda progress: None], reports=2)
    assert len(sizes) > 4
    assert max(sizes) <= 2**22


@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_the_step_falls_on_across_reports(engine: str) -> None:
    recipe = RECIPES["plain-adam"].with_settings({"hidden": 4, "steps": 400, "decay": 0.9})
    often, seldom = (training.fit(recipe, engine=engine, reports=n) for n in (100, 2))
    assert same(often, seldom)
    level = training.fit(recipe.with_settings({"decay": 0.0}), engine=engine)
    assert np.abs(often.weights.Whh - level.weights.Whh).max() > 0.1


def test_every_stage_has_problems_of_its_own() -> None:
    recipe = Recipe(stages=(Stage(steps=50), Stage("again", steps=50)))
    one, other = (drawn.draw(recipe, stage, 0, 50) for stage in (0, 1))
    assert (one != other).any(axis=(1, 2)).mean() > 0.9


def test_progress_is_measured_before_the_update() -> None:
    recipe = Recipe(hidden=4, dtype="float64", stages=(Stage(steps=2, batch=3),))
    told: list[Progress] = []
    training.fit(recipe, callbacks=[told.append], engine="numpy")
    network = training.start(recipe).network
    words = drawn.draw(recipe, 0, 0, 1)[0]
    errors, losses, rights = [], [], []
    for word in words.tolist():
        _, logits = next(network.states(word))
        outputs = 1 / (1 + np.exp(-logits[:, 0]))
        wanted = np.array(network.task.machine.transduce(word))
        errors.append(np.abs(wanted - outputs).sum())
        losses.append(((wanted - outputs) ** 2).sum() / 2)
        rights.append(((outputs > 0.5) == wanted).all())
    assert told[0].error == pytest.approx(np.mean(errors))
    assert told[0].loss == pytest.approx(np.mean(losses))
    assert told[0].right == pytest.approx(np.mean(rights))


def test_the_seed_decides() -> None:
    recipe = Recipe(hidden=4, stages=(Stage(steps=200),))
    one, again = training.fit(recipe), training.fit(recipe)
    assert same(one, again)
    assert not same(one, training.fit(recipe.with_settings({"seed": 1})))


def test_golden_weights() -> None:
    # What seed 0 gives must not drift from version to version (to rounding, across machines).
    network = training.fit(Recipe(hidden=2, dtype="float64", stages=(Stage(steps=50),)))
    golden = [-0.991173, -0.561964, -0.805177, 0.076199]
    assert network.weights.Wxh.ravel() == pytest.approx(golden, abs=1e-5)


POPULATIONS = {
    "across the lanes": [
        RECIPES["tutorial"].with_settings(
            {"hidden": 8, "steps": 300, "seed": seed, "step": 0.05 + 0.01 * seed}
        )
        for seed in range(21)  # a full vector and a part of one, whatever the lanes
    ],
    "one by one": [TWO_STAGES.with_settings({"seed": seed}) for seed in range(3)],
    "mixed": [
        RECIPES["tutorial"].with_settings({"steps": 200, **settings})
        for settings in (
            {"hidden": 3},
            {"hidden": 3, "seed": 1},
            {"hidden": 4, "biases": True, "task": "add:base=3", "loss": "cross-entropy"},
            {"hidden": 4, "biases": True, "task": "add:base=3", "loss": "cross-entropy", "seed": 2},
            {"hidden": 16, "task": "compare", "activation": "tanh", "init_width": 0.3},
            {"hidden": 16, "task": "compare", "activation": "tanh", "init_width": 0.3, "seed": 1},
            {"hidden": 20, "digits": 3},
            {"hidden": 5, "dtype": "float64"},
        )
    ],
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_many_networks_are_trained_as_one_by_one(name: str) -> None:
    recipes = POPULATIONS[name]
    trained = training.fit_many(recipes)
    again = training.fit_many(recipes, threads=1)
    for recipe, network, repeated in zip(recipes, trained, again, strict=True):
        alone = training.fit(recipe, engine="numpy")
        assert isinstance(network, Network)
        assert isinstance(repeated, Network)
        assert same(network, repeated)
        for ours, theirs in zip(network.weights.values(), alone.weights.values(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-4)


def test_long_trainings_across_the_lanes_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = POPULATIONS["across the lanes"]
    whole = training.fit_many(recipes)
    monkeypatch.setattr(training, "MAX_NUMBERS", 64 * 8 * 8 * 70)  # 70 updates at once
    parts = training.fit_many(recipes)
    for one, other in zip(whole, parts, strict=True):
        assert isinstance(one, Network)
        assert isinstance(other, Network)
        assert same(one, other)


@pytest.mark.parametrize("engine", ["native", "numpy"])
def test_one_that_diverges_does_not_trouble_the_others(engine: str) -> None:
    stage = Stage(steps=400, loss="cross-entropy")
    recipe = Recipe(hidden=8, activation="relu", init_width=0.3, stages=(stage,))
    recipes = [recipe, recipe.with_settings({"step": 1e5}), recipe.with_settings({"seed": 3})]
    one, diverged, other = training.fit_many(recipes, engine=engine)
    assert isinstance(diverged, Diverged)
    assert "diverged at problem" in str(diverged)
    for network, chosen in ((one, recipes[0]), (other, recipes[2])):
        assert isinstance(network, Network)
        (alone,) = training.fit_many([chosen], engine=engine)
        assert isinstance(alone, Network)
        assert same(network, alone)


def test_the_initial_weights_can_be_scaled_by_size() -> None:
    recipe = Recipe(hidden=16, init_width=2.0, init_scaling="sqrt-hidden")
    largest = np.abs(training.start(recipe).network.weights.Whh).max()
    assert 0.4 < largest <= 0.5


def test_divergence_names_the_problem_and_keeps_good_states() -> None:
    told: list[Progress] = []
    recipe = Recipe(
        activation="relu", stages=(Stage(steps=4_000, step=100.0, loss="cross-entropy"),)
    )
    with pytest.raises(
        Diverged, match=r"diverged at problem \d+ of 4,000.*smaller step \(now 100\)"
    ):
        training.fit(recipe, callbacks=[told.append])
    assert all(np.isfinite(w).all() for p in told for w in p.state.network.weights.values())


def test_the_problem_where_training_diverges_is_found() -> None:
    stage = Stage(steps=400, step=0.1, loss="cross-entropy")
    recipe = Recipe(activation="relu", stages=(stage,))
    with pytest.raises(Diverged) as many:
        training.fit(recipe, engine="numpy", reports=2)
    with pytest.raises(Diverged) as one:
        training.fit(recipe, engine="numpy", reports=400)
    assert str(many.value) == str(one.value)
    assert "problem 1 " not in str(one.value)
    assert "problem 200 " not in str(one.value)


def test_weights_that_are_not_finite_are_divergence_too() -> None:
    fine, recipe = Weights(W=np.zeros(2)), Recipe(stages=(Stage(steps=100),))
    weights, state = fine.replace(b=np.array([np.inf])), training.start(recipe)
    training._check_finite(recipe, state, np.zeros((5, 8, 1, 1)), fine)
    with pytest.raises(Diverged, match="problem 25 of 100"):
        training._check_finite(recipe, replace(state, step=20), np.zeros((5, 8, 1, 1)), weights)


def test_the_last_problem_is_the_last_that_was_shown() -> None:
    recipe = TWO_STAGES
    seen: list[Words] = []
    original = drawn.draw

    def spy(*args: object) -> Words:
        seen.append(original(*args))  # type: ignore[arg-type]
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "draw", spy)
        training.fit(recipe)
    last = seen[-1][-1, -1]
    bits = [(symbol >> 1 & 1, symbol & 1) for symbol in last.tolist()]
    columns = zip(*bits, strict=True)
    expected = tuple(sum(bit << i for i, bit in enumerate(column)) for column in columns)
    assert training.last_problem(recipe) == expected
