"""Networks from the specification, not from examples: codes of the machine's states, and edges."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carrynet as cn
from carrynet import cli
from carrynet.learn import codes, training
from carrynet.learn.realised import REALISED
from carrynet.nets import cells
from carrynet.nets.network import Network
from carrynet.nets.weights import initialise
from carrynet.report import page, text
from carrynet.spec import recipe as recipes, tasks
from carrynet.spec.recipe import SPECIFIED, Recipe
from carrynet.spec.stage import Stage

pytestmark = pytest.mark.usefixtures("short_words")

SPECIFICATION = recipes.get("specified")


def fresh(cell: str, task: str, hidden: int, **said: str) -> Network:
    """A network with random weights."""
    formula = cells.formula(cells.cell(cell, said.get("activation", "sigmoid")))
    specification = tasks.parse(task)
    weights = initialise(specification, hidden, formula, width=0.2, dtype="float64")
    return Network(specification, formula, weights)


def told(network: Network) -> float:
    """How often a network's state tells the machine's, along random words.

    By the pair of a state and a symbol whose mean is nearest, of means over other words.
    """
    machine, draws = network.task.machine, np.random.default_rng(5)
    states, pairs, after = [], [], []
    for word in draws.integers(network.symbols, size=(40, 30)):
        q = 0
        (found,) = (block for block, _ in network.states(word.tolist()))
        for state, symbol in zip(found, word.tolist(), strict=True):
            pairs.append(q * network.symbols + symbol)
            q = machine.delta[q][symbol]
            states.append(state)
            after.append(q)
    half = len(states) // 2
    seen, place = np.array(states), np.array(pairs)
    known = np.unique(place[:half])
    means = np.array([seen[:half][place[:half] == pair].mean(axis=0) for pair in known])
    nearest = known[((seen[half:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)]
    leads = np.array(machine.delta).ravel()
    return float((leads[nearest] == np.array(after)[half:]).mean())


@pytest.mark.parametrize(
    ("cell", "task", "least"),
    [
        ("elman", "cycle:5", 0.9),
        ("elman", "tomita:6", 0.95),
        ("elman", "add", 0.9),
        ("gru", "tomita:6", 0.5),  # gates keep a part of what the fit knows nothing of
        ("gru-reset-before", "tomita:6", 0.5),
        ("mgu", "tomita:6", 0.5),
        ("lstm", "tomita:6", 0.7),
    ],
)
def test_states_tell_the_machine_s_before_any_training(cell: str, task: str, least: float) -> None:
    network = fresh(cell, task, 64)
    assert told(network) < least - 0.1
    assert told(network.moved(codes.fitted(network, 3))) > least


def test_what_is_not_fitted_is_as_it_was() -> None:
    for cell in ("elman", "gru", "lstm,gru"):
        network = fresh(cell, "tomita:6", 9)
        fitted = codes.fitted(network, 0)
        realised = REALISED[cell.partition(",")[0]]
        suffix = "_1" if "," in cell else ""
        made = {realised.of_input, realised.of_state, realised.bias, *realised.gates}
        changed = {name for name in fitted if (fitted[name] != network.weights[name]).any()}
        assert changed == {f"{name}{suffix}" for name in made}
        again, other = codes.fitted(network, 0), codes.fitted(network, 1)
        for name in changed:
            assert fitted[name].tobytes() == again[name].tobytes()
            assert realised.gates or (fitted[name] != other[name]).any()
    own = cells.given("h = tanh(x @ A + h @ B) + 0.1 * (x @ C)")
    recipe = Recipe(task="parity", hidden=4, cell=own, biases=True)
    network = training.start(recipe).network
    assert codes.fitted(network, 0) is network.weights
    assert not codes.known(network.cell)
    once: dict[str, Any] = {"task": "parity", "hidden": 3, "steps": 1, "again": 0}
    run = cn.train("specified", cell=own, progress=False, **once)
    assert "edges of the machine, from random weights, in " in text.summary(run)
    assert page.model(run)["about"]["init"] == "random"


def test_the_recipe_is_one_of_its_own_for_gates() -> None:
    assert SPECIFICATION.specified
    assert not SPECIFICATION.problems
    assert [(stage.over, stage.steps) for stage in SPECIFICATION.stages] == [("edges", 5_000)]
    gru = SPECIFICATION.with_settings({"cell": "gru", "hidden": 8})
    assert (gru.activation, gru.stages[0].steps, gru.init) == ("sigmoid", 2_000, "machine")
    assert gru.with_settings({"cell": "elman"}) == SPECIFICATION.with_settings({"hidden": 8})
    assert SPECIFICATION.with_settings({"cell": "gru", "steps": 7}).stages[0].steps == 7
    assert Recipe.from_toml(SPECIFICATION.to_toml()) == SPECIFICATION
    for name in ("certified", "tutorial", "plain-adam"):
        assert not recipes.get(name).specified
    # it takes an example, or a network that may have seen some, to be something else
    assert not Recipe(stages=(Stage(), *SPECIFICATION.stages)).specified
    assert not Recipe(origin="0" * 64, stages=SPECIFICATION.stages).specified
    assert not Recipe(origin="0" * 64, stages=()).specified
    with pytest.raises(cn.errors.InputError, match=r"init machine .* biases = true"):
        Recipe(init="machine")


@pytest.mark.parametrize("cell", ["elman", "mgu"])
def test_a_network_that_saw_no_example_is_called_so_wherever_it_is_shown(
    cell: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    said = [
        "carrynet",
        "train",
        "-r",
        "specified",
        "--task",
        "parity",
        "--cell",
        cell,
        "--hidden",
        "8",
    ]
    monkeypatch.setattr(sys, "argv", [*said, "--set", "steps=1000", "--out", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert f"trained     {SPECIFIED}: 1,000 times 10 edges of the machine" in printed
    assert "proved      right for words of any length" in printed
    run = cn.load(folder)
    document = json.loads(json.dumps(run.to_json()))
    assert document["training"]["specified"] is True
    assert (document["training"]["problems"], document["training"]["edges"]) == (0, 10_000)
    card = (folder / "README.md").read_text()
    assert f"trained {SPECIFIED}, on 1,000 times 10 edges of the machine" in card
    assert "learned" not in card.split("\n## ")[0].split("**Exhaustive**")[0]
    model = (folder / "report.html").read_text()
    assert '"specified":true' in model.replace('": ', '":')
    # and what comes of it by hardening is something else: it begins with a network
    hardened = training.hardening(run.recipe, run.network)
    assert not hardened.specified
