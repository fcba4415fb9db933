"""Weights by construction: proved, true to their mechanism, and never called trained.

The oracle walks the machine's tables by itself; what is proved, the independent checker says.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carrynet as cn
from carrynet import lab, tasks
from carrynet.errors import InputError, RunError
from carrynet.judge.evaluation import Evaluation, by_length, evaluate
from carrynet.learn.compile import build
from carrynet.learn.mechanism import Construction, Mechanism
from carrynet.learn.realised import REALISED
from carrynet.nets import cells
from carrynet.nets.network import Network
from carrynet.proof import check as checker
from carrynet.proof.search import model, prove
from carrynet.report import page, text
from carrynet.spec.builtin import FAMILIES
from carrynet.spec.encoding import Encoding
from carrynet.spec.machine import Machine
from carrynet.spec.task import Task
from tests.test_cli import carrynet

pytestmark = pytest.mark.usefixtures("short_words")

KINDS = ["sigmoid", "tanh", "relu", *cells.CELLS]


def of_kind(kind: str, **more: Any) -> Construction:
    """A construction for a cell, or for Elman's with an activation."""
    named: dict[str, Any] = {"activation": kind} if kind in cells.ACTIVATIONS else {"cell": kind}
    return Construction(**named, **more)


def every_family() -> list[str]:
    """A task of each family that is built in, with 100 pairs of a state and a symbol at most."""
    named = []
    for name, row in FAMILIES.items():
        given = [f"{p.name}={max(p.low, 3)}" for p in row.parameters if p.default is None]
        task = tasks.parse(f"{name}:{','.join(given)}" if given else name)
        if len(task.machine.states) * len(task.machine.symbols) <= 100:
            named.append(task.text)
    assert len(named) == len(FAMILIES) - 2  # dither has 240, modular 114
    return named


def walked(machine: Machine, word: Sequence[int]) -> list[tuple[int, int, int | None]]:
    """State before, symbol and output, at each position."""
    q, steps = 0, []
    for a in word:
        steps.append((q, a, machine.output[q][a]))
        q = machine.delta[q][a]
    return steps


def words(task: Task, lengths: Sequence[int] = (1, 2, 3, 17, 80, 500)) -> list[list[int]]:
    drawn = random.Random(task.text)
    symbols = range(len(task.machine.symbols))
    return [drawn.choices(symbols, k=length) for length in lengths]


def is_right(network: Network) -> bool:
    task = network.task
    return all(
        wanted in (None, answer)
        for word in words(task)
        for (_, _, wanted), answer in zip(
            walked(task.machine, word), network.transduce(word), strict=True
        )
    )


def is_proved(network: Network) -> bool:
    """By the search, and once more by the checker alone."""
    found = prove(network, budget=0)
    if not isinstance(found, cn.Proved):
        return False
    checked = checker.check(model(network), found.certificate)
    return checked.regions == found.regions and bool(checked.slack > 0)


# Proved, and right by the oracle


@pytest.mark.parametrize("name", every_family())
def test_every_machine_is_proved(name: str) -> None:
    network, _ = build(tasks.parse(name), Construction())
    assert is_right(network)
    assert is_proved(network)


def test_a_machine_of_one_symbol() -> None:
    turn = Machine(("a", "b"), ("x",), ("0", "1"), ((1,), (0,)), ((0,), (1,)))
    network, _ = build(tasks.own("turn", turn), Construction())
    assert network.transduce([0] * 5) == [0, 1, 0, 1, 0]
    assert is_proved(network)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["add", "tomita:5", "cycle:4", "first", "even_digit"])
def test_every_cell_is_proved(name: str, kind: str) -> None:
    network, mechanism = build(tasks.parse(name), of_kind(kind))
    assert network.kind == kind
    assert mechanism.construction.scale in (8, 64)
    assert is_right(network)
    assert is_proved(network)


@pytest.mark.parametrize("cell", ["gru,lstm", "elman,mgu", "lstm,elman,gru"])
def test_stacks_are_proved(cell: str) -> None:
    network, mechanism = build(tasks.parse("add"), Construction(cell=cell))
    layers = cell.count(",") + 1
    assert [unit.layer for unit in mechanism.units] == sorted(
        [*range(1, layers + 1)] * network.hidden
    )
    assert is_right(network)
    assert is_proved(network)


def test_every_cell_that_there_is_can_be_compiled() -> None:
    assert set(REALISED) == {"elman", *cells.CELLS}


HIDDEN: dict[str, Any] = {"copies": 2, "spare": 3, "noise": 0.05, "shuffle": True, "seed": 5}


@pytest.mark.parametrize("kind", [*KINDS, "lstm,elman"])
def test_what_hides_the_mechanism_leaves_it_right(kind: str) -> None:
    for name in ("add", "tomita:4"):
        how = of_kind(kind, **HIDDEN, flip=kind != "relu")
        network, _ = build(tasks.parse(name), how)
        assert is_right(network)
        assert is_proved(network)


def test_noise_beyond_what_can_be_borne_is_found_out() -> None:
    """By evaluation or refutation, as of any other network: nothing is claimed of it."""
    verdicts = {
        prove(build(tasks.parse("add"), Construction(noise=1.0, seed=seed))[0], budget=0).verdict
        for seed in range(8)
    }
    assert "refuted" in verdicts


def test_of_a_network_that_is_wrong_it_is_said_what_may_help(tmp_path: Path) -> None:
    for options, hint in (
        (("--noise", 1), "(try less noise)"),
        (("--scale", 0.5), "(try another scale)"),
    ):
        named = ("add", *options, "--digits", 2, "--out", "run", "--force")
        done = carrynet("compile", *named, cwd=tmp_path)
        assert done.returncode == 1
        assert "\nREFUTED     " in done.stdout
        assert hint in done.stdout


# The mechanism is the ground truth


def follow(network: Network, mechanism: Mechanism, word: list[int]) -> np.ndarray:
    """Each unit of the mechanism along a word: (T, units)."""
    (states,) = (np.concatenate([block for block, _ in network.states(word)]),)
    parts = dict(zip(network.cell.state, network.parts(states), strict=True))
    layers = mechanism.construction.cell.count(",") + 1
    named = {unit: "h" if layers == 1 else f"h_{unit.layer}" for unit in mechanism.units}
    return np.stack([parts[named[unit]][:, unit.unit] for unit in mechanism.units], axis=1)


@pytest.mark.parametrize("kind", [*KINDS, "gru,elman"])
def test_a_unit_is_high_exactly_when_its_role_holds(kind: str) -> None:
    task = tasks.parse("tomita:3")
    for how in (of_kind(kind), of_kind(kind, **HIDDEN, flip=kind != "relu")):
        network, mechanism = build(task, how)
        machine = task.machine
        for word in words(task, (1, 60, 300)):
            seen = follow(network, mechanism, word)
            for unit, values in zip(mechanism.units, seen.T, strict=True):
                if unit.on is None or unit.off is None:
                    assert unit.role == "spare"
                    continue
                said = np.abs(values - unit.on) < np.abs(values - unit.off)
                holds = [
                    unit.role == "started"
                    or (machine.states[q], machine.symbols[a]) == (unit.state, unit.symbol)
                    for q, a, _ in walked(machine, word)
                ]
                assert said.tolist() == holds, unit


def test_the_mechanism_says_where_a_pair_leads() -> None:
    machine = tasks.parse("modular:2").machine
    _, mechanism = build(tasks.parse("modular:2"), Construction(cell="gru"))
    pairs = [unit for unit in mechanism.units if unit.role == "pair"]
    assert len(pairs) == len({(unit.state, unit.symbol) for unit in pairs})
    for unit in pairs:
        q, a = machine.states.index(str(unit.state)), machine.symbols.index(str(unit.symbol))
        assert unit.next == machine.states[machine.delta[q][a]]
        assert unit.output == machine.output_name(machine.output[q][a])


def test_spare_units_change_and_are_not_needed() -> None:
    task = tasks.parse("tomita:4")
    network, mechanism = build(task, Construction(spare=4, seed=1))
    spare = [unit.unit for unit in mechanism.units if unit.role == "spare"]
    seen = follow(network, mechanism, words(task)[-1])
    assert (np.ptp(seen[:, spare], axis=0) > 0.01).all()
    cut = {key: network.weights[key].copy() for key in ("Whh", "Why")}
    assert all(array[spare].any(axis=1).all() for array in cut.values())
    for array in cut.values():
        array[spare] = 0
    without = Network(task, network.cell, network.weights.replace(**cut))
    assert is_right(without)
    assert is_proved(without)


def test_flipped_units_are_low_where_their_role_holds() -> None:
    _, mechanism = build(tasks.parse("dyck"), Construction(cell="mgu", flip=True))
    flipped = [unit.on < unit.off for unit in mechanism.units if unit.on and unit.off]
    assert 0.3 < np.mean(flipped) < 0.7


# Options


def test_the_same_seed_gives_the_same_weights_and_another_others() -> None:
    task = tasks.parse("cycle:3")
    made = [build(task, Construction(**{**HIDDEN, "seed": seed}))[0] for seed in (1, 1, 2)]
    assert made[0].digest() == made[1].digest() != made[2].digest()


@pytest.mark.parametrize(
    "option", [{"noise": 0.1}, {"shuffle": True}, {"flip": True}, {"spare": 2}]
)
def test_each_kind_of_randomness_is_of_the_seed(option: dict[str, Any]) -> None:
    made = [
        build(tasks.parse("cycle:3"), Construction(cell="gru", seed=seed, **option))[0]
        for seed in (0, 1)
    ]
    assert made[0].digest() != made[1].digest()


def test_without_them_the_seed_is_not_asked() -> None:
    made = [build(tasks.parse("add"), Construction(seed=seed))[0].weights for seed in (0, 1)]
    assert all((made[0][name] == made[1][name]).all() for name in made[0])


def test_noise_is_as_large_as_it_is_said_to_be() -> None:
    plain, _ = build(tasks.parse("add"), Construction(cell="gru", dtype="float64"))
    noisy, _ = build(tasks.parse("add"), Construction(cell="gru", dtype="float64", noise=0.1))
    ratios = np.concatenate(
        [(noisy.weights[n][a != 0] / a[a != 0]).ravel() for n, a in plain.weights.items()]
    )
    assert 0.9 <= ratios.min() < 0.91
    assert 1.09 < ratios.max() <= 1.1
    assert all((noisy.weights[n][a == 0] == 0).all() for n, a in plain.weights.items())


def test_the_scale_is_the_size_of_the_weights() -> None:
    small, large = (
        build(tasks.parse("add"), Construction(scale=scale))[0].weights for scale in (4, 12)
    )
    assert np.abs(large.Wxh).max() == 3 * np.abs(small.Wxh).max()


# Encodings


def encoded(table: Any, name: str = "tomita:3") -> Task:
    machine = tasks.parse(name).machine
    rows = tuple(tuple(map(float, row)) for row in table)
    return tasks.own("encoded", machine, encoding=Encoding("table", rows))


@pytest.mark.parametrize("kind", ["sigmoid", "gru"])
def test_whatever_can_be_told_apart_by_a_linear_score(kind: str) -> None:
    drawn = np.random.default_rng(3)
    angles = np.arange(9) * 2 * np.pi / 9
    ellipse = np.column_stack([np.cos(angles), 1.5 * np.sin(angles) + 4])
    for task in (
        encoded([[0.0], [1.0]]),
        encoded([[-3.0, 2.0], [5.0, 2.5]]),
        encoded(drawn.normal(size=(3, 5)), "cycle:4"),
        encoded(drawn.normal(size=(5, 3)) * [1, 2, 3], "modular:2"),  # on no sphere
        encoded(ellipse[:8], "repeats"),
    ):
        network, _ = build(task, of_kind(kind))
        assert is_right(network), task.encoding
        assert is_proved(network), task.encoding


@pytest.mark.parametrize(
    "table",
    [[[0.0], [1.0], [2.0]], [[1.0, 1.0], [2.0, 0.0], [1.0, 1.0]], [[0.0, 0], [0, 0], [0, 0]]],
)
def test_symbols_that_no_score_tells_apart_are_refused(table: list[list[float]]) -> None:
    with pytest.raises(
        InputError, match=r"no linear score tells the symbol '[0+-]' from the others"
    ):
        build(encoded(table, "cycle:4"), Construction())


# As a run


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run by the name `run`."""
    cwd = tmp_path_factory.mktemp("compiled")
    options = ("--copies", 2, "--spare", 1, "--noise", 0.01, "--shuffle", "--flip", "--seed", 3)
    named = ("add", "--activation", "tanh", *options)
    done = carrynet("compile", *named, "--out", "run", cwd=cwd)
    assert done.returncode == 0, done.stderr
    (cwd / "said").write_text(done.stdout)
    return cwd


def test_it_says_that_it_is_by_construction(compiled: Path) -> None:
    said = (compiled / "said").read_text()
    assert "\ncompiled    by construction, 2 units for each of 8 pairs" in said
    assert "\nproved      right for numbers of any length" in said
    card = (compiled / "run" / "README.md").read_text()
    assert "not trained but compiled from the machine of the task `add`" in card
    assert "# add, by construction, digit by digit" in card
    for words_ in (said, card.replace("not trained but", "")):
        assert "trained" not in words_
        assert "learned" not in words_
    document = cn.load(compiled / "run").to_json()
    assert document["training"] is None
    assert document["compiled"]["copies"] == 2
    assert document["recipe"]["name"] == "compiled"


def test_its_page_says_so_too_and_has_the_mechanism(compiled: Path) -> None:
    run = cn.load(compiled / "run")
    shown = page.model(run)
    assert shown["mechanism"] == (compiled / "run" / "mechanism.json").read_text()
    assert shown["about"]["command"].startswith("carrynet compile add --activation tanh --scale 8 ")
    assert shown["about"]["stages"] == []


def test_the_command_in_it_makes_the_same_again(compiled: Path) -> None:
    run = cn.load(compiled / "run")
    assert run.mechanism is not None
    command = run.mechanism.command(run.network.task).split()[1:]
    assert carrynet(*command, "--out", "again", cwd=compiled).returncode == 0
    again = cn.load(compiled / "again")
    assert again.network.digest() == run.network.digest()
    assert again.mechanism == run.mechanism


def test_its_recipe_is_no_training(compiled: Path) -> None:
    given = ("--recipe", "run/recipe.toml", "--origin", "run/origin.safetensors")
    done = carrynet("train", *given, "--out", "trained", cwd=compiled)
    assert done.returncode == 2
    assert "recipe compiled has no training" in done.stderr
    assert not (compiled / "trained").exists()


def test_it_is_a_run_as_any_other(compiled: Path) -> None:
    for command, wanted in {
        "ask 118 8 --run run": "118 + 8 = 126",
        "add 118 8 --run run": "118 + 8 = 126",
        "explain run 7 9": "carry",
        "evaluate run --digits 4": "right on all 256 pairs",
        "prove run": "proved",
        "check run": "valid",
        "automaton run": "the same machine as the task's",
        "report run": "report.html",
    }.items():
        done = carrynet(*command.split(), cwd=compiled)
        assert done.returncode == 0, done.stderr
        assert wanted in done.stdout, command


def test_trained_on_it_is_no_longer_by_construction(compiled: Path, tmp_path: Path) -> None:
    run = cn.load(compiled / "run")
    hardened = cn.harden(
        run, settings={"harden.steps": 2, "again.steps": 2}, out=tmp_path / "hard", progress=False
    )
    assert hardened.mechanism is None
    assert hardened.recipe.origin == run.network.digest()
    assert not (tmp_path / "hard" / "mechanism.json").exists()
    assert "trained     " in text.summary(hardened)


def test_of_a_library_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(_: object, network: Network, __: object) -> Evaluation:
        return Evaluation(evaluate(network, 3), by_length(network, (16,)))

    monkeypatch.setattr(lab, "_examine", short)
    run = cn.compile("parity", cell="elman,lstm", activation="tanh", copies=2, progress=False)
    assert isinstance(run.proof, cn.Proved)
    assert run.mechanism is not None
    assert run.path is None
    saved = run.save(tmp_path / "saved")
    assert saved.mechanism == run.mechanism == cn.load(tmp_path / "saved").mechanism
    written = cn.compile(
        "parity",
        cell="elman,lstm",
        activation="tanh",
        copies=2,
        out=tmp_path / "written",
        progress=False,
    )
    for name in ("mechanism.json", "model.safetensors", "recipe.toml", "README.md"):
        one, other = (tmp_path / folder / name for folder in ("saved", "written"))
        assert one.read_bytes() == other.read_bytes()
    assert written.to_json()["compiled"] == run.to_json()["compiled"]


def test_a_mechanism_that_is_not_the_runs_is_refused(compiled: Path, tmp_path: Path) -> None:
    run = cn.load(compiled / "run").save(tmp_path / "run")
    assert run.path is not None
    file = run.path / "mechanism.json"
    file.write_text(file.read_text().replace('"role": "spare"', '"role": "started"'))
    with pytest.raises(RunError, match=r"mechanism\.json.* not the mechanism that the run"):
        cn.load(run.path)
    file.unlink()
    with pytest.raises(RunError, match=r"mechanism\.json"):
        cn.load(run.path)


def test_what_is_no_mechanism_is_refused() -> None:
    _, mechanism = build(tasks.parse("add"), Construction())
    document = json.loads(json.dumps(mechanism.to_json()))
    assert Mechanism.from_json(document) == mechanism
    unit = document["units"][0]
    for wrong in (
        {**document, "version": 2},
        {**document, "more": 1},
        {**document, "weights_sha256": 5},
        {**document, "units": [{**unit, "role": "magic"}]},
        {**document, "units": [{**unit, "state": 5}]},
        {**document, "units": [{**unit, "on": "1"}]},
        {**document, "units": [{**unit, "more": "1"}]},
        {**document, "construction": {"scale": -1}},
    ):
        with pytest.raises((ValueError, TypeError)):
            Mechanism.from_json(wrong)


def test_an_open_output_is_free() -> None:
    machine = replace(tasks.parse("parity").machine, output=((0, None), (None, 1)))
    network, mechanism = build(tasks.own("open", machine), Construction(cell="lstm"))
    assert is_proved(network)
    assert {unit.output for unit in mechanism.units if unit.role == "pair"} == {"0", "1", "-"}
    assert mechanism.command(network.task) == "carrynet compile FILE --cell lstm --scale 8"


def test_states_that_no_word_leads_to_have_no_units() -> None:
    flip = ((0, 1), (1, 0), (2, 2))
    machine = Machine(("a", "b", "lost"), ("0", "1"), ("0", "1"), flip, ((0, 1), (1, 0), (1, 1)))
    network, mechanism = build(tasks.own("lost", machine), Construction())
    assert network.hidden == 4
    assert {unit.state for unit in mechanism.units} == {"a", "b"}
    assert is_proved(network)


def test_an_output_that_is_never_given() -> None:
    machine = Machine(("only",), ("0", "1"), ("no", "yes"), ((0, 0),), ((1, 1),))
    for kind in KINDS:
        network, _ = build(tasks.own("only", machine), of_kind(kind))
        assert is_proved(network)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nothing"], "unknown task 'nothing'"),
        (["add", "--cell", "mine.cell"], "cell 'mine.cell' is none that a machine can be compiled"),
        (["add", "--cell", "h = tanh(x @ W)"], "is none that a machine can be compiled for"),
        (["add", "--cell", "gru,what"], "accepted are elman, gru, gru-reset-before, lstm, mgu"),
        (["add", "--cell", "gru", "--activation", "tanh"], "accepted for elman only"),
        (["add", "--activation", "sine"], "unknown activation 'sine'"),
        (["add", "--activation", "relu", "--flip"], "flip is not for relu"),
        (["add", "--noise", "1.5"], "noise must be from 0 to 1, not 1.5"),
        (["add", "--noise", "nan"], "noise must be a finite number, not nan"),
        (["add", "--scale", "-1"], "scale must be from 0 to 1000, not -1.0"),
        (["add", "--scale", "inf"], "scale must be a finite number"),
        (["add", "--copies", "0"], "copies must be from 1 to 64, not 0"),
        (["add", "--spare", "-1"], "spare must be from 0 to 512"),
        (["add", "--dtype", "float16"], "unknown dtype 'float16'"),
        (["add", "--digits", "0"], "digits must be at least 1, not 0"),
        (["add", "--digits", "17"], "more than are tried here, at most those of 10"),
        (["add:base=16,operands=4"], "takes 262,144 units: at most 1,024 are accepted"),
        (["minimum", "--copies", "11"], "takes 1,100 units: at most 1,024 are accepted"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], line: str, tmp_path: Path) -> None:
    done = carrynet("compile", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert line in done.stderr
    assert not list(tmp_path.iterdir())
