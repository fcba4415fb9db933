"""Benchmarks: that competitors do the same work, and how it is told.  No time is asserted."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carrynet import bench
from carrynet.bench import rivals, timing
from carrynet.bench.timing import Comparison, Row
from carrynet.data import words as problems
from carrynet.engines import jit, native
from carrynet.errors import CarrynetError, InputError, Unavailable
from carrynet.learn import training
from carrynet.spec.recipe import RECIPES
from tests.test_cli import carrynet


# JAX and Numba are compared when they are measured; JAX's threads would trouble other tests.
@pytest.mark.parametrize("rival", [rivals.loop, rivals.plain_c])
def test_rivals_train_the_same_network(rival: Callable[..., rivals.Job]) -> None:
    recipe = RECIPES["tutorial"].with_settings({"steps": 300})
    network = training.start(recipe).network
    words = problems.training_words(network.task, 8, seed=0, stream=16, start=0, count=300)
    try:
        job = rival(network.weights, words, 0.1)
    except rivals.Absent as missing:
        pytest.skip(f"needs {missing}")
    weights, _, _ = native.advance(network, (), recipe, recipe.stages[0], words[:, None], 0)
    for _ in range(2):  # each time from the same start
        for ours, theirs in zip((weights.Wxh, weights.Whh, weights.Why), job(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)


def test_competitors_take_turns() -> None:
    turns: list[str] = []
    seconds = timing.measure({name: partial(turns.append, name) for name in "abc"}, 3)
    assert "".join(turns) == "abcabcabc"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_other_weights_are_noticed() -> None:
    def job(value: float) -> Callable[[], rivals.Job]:
        return lambda: lambda: (np.full(3, value),)

    def missing() -> rivals.Job:
        raise rivals.Absent("a compiler")

    ready, absent = timing.ready({"ours": job(1.0), "theirs": job(1.001), "C": missing}, 0.01)
    assert list(ready) == ["ours", "theirs"]
    assert absent == ("C (needs a compiler)",)
    ready, _ = timing.ready({"ours": job(1.0), "merely timed": lambda: lambda: ()}, 0.01)
    assert list(ready) == ["ours", "merely timed"]
    for wrong in (1.1, np.nan):
        with pytest.raises(CarrynetError, match="theirs ends in other weights"):
            timing.ready({"ours": job(1.0), "theirs": job(wrong)}, 0.01)


def test_there_is_nothing_to_measure_without_the_native_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jit, "missing", "llvmlite cannot be imported")
    with pytest.raises(Unavailable, match="llvmlite cannot be imported"):
        bench.comparisons(("process",))


def test_results_are_ratios_to_ours() -> None:
    comparison = Comparison("T", (Row("ours", (2.0, 1.0)), Row("x", (8.0, 6.0, 4.0))), ("y",))
    rows = comparison.to_json()["rows"]
    assert [(row["minimum_s"], row["median_s"], row["ratio"]) for row in rows] == [
        (1, 1.5, 1),
        (4, 6, 4),
    ]
    assert "| x | 4.00 s | 6.00 s | 4 |  |" in comparison.to_markdown()
    assert "Not installed, so not measured: y." in comparison.to_markdown()


def test_many_gates_at_once_are_trained_by_jax_as_by_us(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    settings = {"cell": "gru", "hidden": 4, "steps": 100}
    monkeypatch.setattr(bench, "RECIPES", {"tutorial": RECIPES["tutorial"].with_settings(settings)})
    comparison = bench._gates_at_once(1)
    assert [row.name.partition(",")[0] for row in comparison.rows] == ["native engine", "JAX"]


def test_a_training_ends_in_the_weights_of_its_updates_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = {"learn.steps": 60, "harden.steps": 5}
    short = {
        "tutorial": RECIPES["tutorial"].with_settings({"steps": 100}),
        "certified": RECIPES["certified"].with_settings(few),
    }
    monkeypatch.setattr(bench, "RECIPES", short)
    for name, comparison in zip(short, bench.trainings(1), strict=True):
        assert comparison.title == f"The whole training: {name}, H = 32"
        assert [len(row.seconds) for row in comparison.rows] == [4, 4]
    # and where one of the two did other work, that would be noticed
    monkeypatch.setattr(native, "advance", shifted(native.advance))
    with pytest.raises(CarrynetError, match="the training ends in other weights than ours"):
        bench.trainings(1)


def shifted(advance: Callable[..., Any]) -> Callable[..., Any]:
    """Updates, with weights that are a little larger."""

    def made(*given: Any) -> Any:
        weights, *rest = advance(*given)
        return weights.map(lambda w: w + np.float32(1e-3)), *rest

    return made


def test_the_command(tmp_path: Path) -> None:
    done = carrynet("bench", "--only", "building", "--rounds", 1, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["machine"]["lanes"] in (4, 8, 16)
    (comparison,) = document["comparisons"]
    assert comparison["title"] == "Building the kernels that a training needs"
    assert [row["name"] for row in comparison["rows"]] == [
        *("gru, H = 32", "lstm, H = 32"),
        *(f"elman, H = {hidden}" for hidden in (32, 64, 128, 256)),
    ]
    with pytest.raises(InputError, match="did you mean 'exhaustive'"):
        bench.comparisons(("exhaust",))


def test_whole_commands_are_run_and_the_cache_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CARRYNET_CACHE", str(tmp_path))
    bench._cold(lambda: training.fit(RECIPES["tutorial"].with_settings({"steps": 2, "hidden": 3})))
    assert (jit.cache_folder(), list(tmp_path.iterdir())) == (tmp_path, [])
    comparison = bench._command(1, "--recipe", "tutorial")
    assert comparison.title == "The whole command: carrynet train --recipe tutorial"
    assert [len(row.seconds) for row in comparison.rows] == [1, 1, 1]
    assert (jit.cache_folder(), list(tmp_path.iterdir())) == (tmp_path, [])
