"""Machines of one's own from a file to a proof: recipes, runs, sweeps in other processes."""

import json
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

import carrynet as cn
from carrynet import tasks
from carrynet.data import words as problems
from carrynet.engines import ENGINES, get, native, reference
from carrynet.errors import InputError, Unavailable
from carrynet.learn import training
from carrynet.nets.bptt import bptt
from carrynet.nets.losses import LOSSES
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights, initialise
from carrynet.proof import check, search, trees
from carrynet.proof.certificate import Rejected
from carrynet.spec.machine import Machine, shortest_difference
from carrynet.spec.recipe import Recipe
from carrynet.sweep.plan import Plan
from carrynet.sweep.store import Store
from tests.conftest import by_letters
from tests.test_cli import carrynet

pytestmark = pytest.mark.usefixtures("short_words")

# Whether the b's so far are odd, asked after a "?" only: most outputs are left open.
ASKED = """
name = "asked"
outputs = ["even", "odd"]
[transitions.even]
a = ["even"]
b = ["odd"]
"?" = ["even", "even"]
[transitions.odd]
a = ["odd"]
b = ["even"]
"?" = ["odd", "odd"]
"""
SHORT: dict[str, Any] = {"hidden": 6, "digits": 6, "learn.steps": 300, "harden.steps": 40}


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "asked.toml"
    path.write_text(ASKED)
    return path


def test_a_recipe_carries_its_machine(asked: Path) -> None:
    recipe = Recipe(task=str(asked))
    task = tasks.parse(asked)
    assert recipe.task == task.text
    assert recipe.specification == task
    again = Recipe.from_toml(recipe.to_toml())
    assert again == recipe
    assert again.to_toml() == recipe.to_toml()
    asked.unlink()  # which it needs no more
    assert again.with_settings({"hidden": 7}).specification == task
    assert again.with_settings({"task": "add"}).specification == tasks.add()
    assert again.with_settings({"task": "add"}) == Recipe()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('a = ["even"]', 'a = ["odd"]', "is not the machine in the recipe, which is asked@"),
        ("[machine.transitions.even]", "[machine.transitions.evn]", "no state 'even'"),
        ('name = "asked"\nsymbols', 'name = "add"\nsymbols', "which is add@"),
    ],
)
def test_a_recipe_whose_machine_was_edited_is_refused(
    asked: Path, old: str, new: str, complaint: str
) -> None:
    text = Recipe(task=str(asked)).to_toml()
    assert old in text
    with pytest.raises(InputError, match=complaint) as caught:
        Recipe.from_toml(text.replace(old, new, 1))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="needs its machine"):
        Recipe(task="asked@0123456789ab")


def test_two_machines_of_one_name_are_told_apart(asked: Path, tmp_path: Path) -> None:
    other = tasks.parse(asked)
    asked.write_text(ASKED.replace('"?" = ["even", "even"]', '"?" = ["odd", "even"]'))
    task = tasks.parse(asked)
    assert (task.name, other.name) == ("asked", "asked")
    assert task.text != other.text
    networks = [Network(each, "tanh", initialise(each, 4)) for each in (task, other)]
    assert networks[0].digest() != networks[1].digest()


def test_a_proof_is_of_one_machine(asked: Path) -> None:
    task = tasks.parse(asked)
    settings: dict[str, Any] = {**SHORT, "hidden": 12, "learn.steps": 4000, "harden.steps": 1500}
    run = cn.train("certified", task=task, progress=False, engine="numpy", **settings)
    assert isinstance(run.proof, cn.Proved)
    certificate = run.proof.certificate
    named = f"the machine {task.machine.digest()} and the encoding {task.encoding.digest()}"
    assert f"For the task asked, of {named}, the network" in certificate.claim
    model = search.model(run.network)
    assert check.check(model, certificate).margin > 0
    # beside another machine of that name the certificate says nothing
    turned = Machine(
        task.machine.states,
        task.machine.symbols,
        task.machine.outputs,
        task.machine.delta,
        ((None, None, 1), (None, None, 0)),
    )
    other = Network(tasks.own("asked", turned), "sigmoid", run.network.weights)
    with pytest.raises(Rejected, match="about another task"):
        check.check(search.model(other), certificate)
    # and a certificate that is made to name it does not hold
    forged = replace(certificate, **other.about)
    with pytest.raises(Rejected, match="the output is not always"):
        check.check(search.model(other), forged)
    # the same by trees of words
    grown = trees.search(run.network, slack=1e-4, deadline=monotonic() + 60)
    assert grown is not None
    assert check.check(model, grown).margin > 0
    forged_trees = replace(grown, **other.about)
    with pytest.raises(Rejected, match="an output is not shown to be right"):
        check.check(search.model(other), forged_trees)


def test_from_the_command_line_alone(asked: Path, tmp_path: Path) -> None:
    settings = [f"--set={key}={value}" for key, value in SHORT.items()]
    done = carrynet("train", "--task", asked, *settings, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    asked.unlink()
    for command in (
        ("ask", "ab?"),
        ("ask", "a", "b", "?"),
        ("explain", "ab?b"),
        ("evaluate", "--digits", "4"),
        ("automaton",),
        ("report",),
        ("harden", "--set", "harden.steps=5", "--set", "again.steps=5"),
        ("prove", "--budget", "0"),
    ):
        done = carrynet(*command, cwd=tmp_path)
        assert done.returncode in (0, 1, 3), (command, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stdout.strip()
    said = json.loads(carrynet("ask", "ab?", "--json", cwd=tmp_path).stdout)
    assert said["operands"] == ["ab?"]
    assert said["expected"] == "- - odd"
    done = carrynet("ask", "abc", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


ODD = r"""
[transitions.shut]
"open door" = ["ajar", "a, b"]
"0,0" = ["shut", "\""]
'say "x/y" \' = ["shut", "a, b"]
[transitions.ajar]
"open door" = ["ajar", "\""]
"0,0" = ["shut", "a, b"]
'say "x/y" \' = ["ajar", "a, b"]
"""


def test_symbols_of_any_names_are_trained_and_asked(tmp_path: Path) -> None:
    """What is printed is read: words worked, and the one that an answer is wrong for."""
    (tmp_path / "odd.toml").write_text(ODD)
    settings = [f"--set={key}={value}" for key, value in {**SHORT, "learn.steps": 2}.items()]
    done = carrynet("train", "--task", "odd.toml", *settings, "--out", "run", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    wrong = cn.load(tmp_path / "run").proof
    assert isinstance(wrong, cn.Refuted)
    (word,) = map(str, wrong.operands)
    assert word in done.stdout
    for command in ("ask", "explain"):
        done = carrynet(command, "run", word, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert f"{word} -> {wrong.answered}   WRONG, right is {wrong.expected}" in done.stdout
    asked = '"open door" "0,0" "say \\"x/y\\" \\\\"'
    for arguments in ((asked,), (asked.replace('" "', '","'),), ('"open door"', asked[12:])):
        done = carrynet("ask", "run", *arguments, "--json", cwd=tmp_path)
        assert json.loads(done.stdout)["expected"] == r'"a, b" "a, b" "a, b"'
    for unread, complaint in (
        ("open door", """'open' is no symbol: accepted are "open door", "0,0", "say """),
        ('"open door', "a word cannot be read from '\"open door' on"),
        ('"0,0""0,0"', "a word cannot be read from"),
        (r'"0\,0"', "a word cannot be read from"),
        ("", "a word of 0 symbols"),
    ):
        done = carrynet("ask", "run", unread, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert complaint in done.stderr
    learned = carrynet("automaton", "run", cwd=tmp_path).stdout
    word = learned.partition("they differ after")[2].splitlines()[1].strip()
    assert carrynet("ask", "run", word, cwd=tmp_path).returncode == 1


@pytest.mark.parametrize("form", ["dot", "openfst"])
def test_a_machine_of_numbers_that_was_learned_is_trained_on_as_one_of_words(
    form: str, tmp_path: Path
) -> None:
    cn.train("certified", progress=False).save(tmp_path / "add")
    file = "learned.dot" if form == "dot" else "learned.fst"
    done = carrynet("automaton", "add", "--format", form, "--out", file, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    settings = ("--set=learn.steps=3", "--set=harden.steps=3", "--set=hidden=4")
    done = carrynet("train", "--task", file, *settings, "--out", "run", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    done = carrynet("ask", "run", '"1,1" "0,0" "0,1"', "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["expected"] == "011"


@pytest.mark.parametrize("name", ["add", "divide_by:k=3", "modular:2", "asked"])
def test_the_machine_that_was_learned_is_a_task(asked: Path, name: str, tmp_path: Path) -> None:
    """With its numbers, its encoding, and where it asks nothing; of a right network, its task."""
    task = tasks.parse(asked if name == "asked" else name)
    if name == "asked":
        task = tasks.own("asked", task.machine, encoding=tasks.Encoding("plus-minus-one"))
    cn.compile(task).save(tmp_path / "right")
    done = carrynet("automaton", "right", "--format", "toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "learned.toml").write_text(done.stdout)
    again = tasks.parse(tmp_path / "learned.toml")
    assert (again.codec, again.encoding) == (task.codec, task.encoding)
    assert shortest_difference(again.machine, task.machine) is None
    if not task.machine.leaves_open:  # or what is answered there may make more states
        assert again == task


def test_a_machine_that_was_not_learned_rightly_is_written_as_it_is(
    asked: Path, tmp_path: Path
) -> None:
    cn.train("certified", task=str(asked), progress=False, **SHORT).save(tmp_path / "run")
    file = ("--format", "toml", "--out", "learned.toml")
    assert carrynet("automaton", "run", *file, cwd=tmp_path).returncode == 1
    learned = tasks.parse(tmp_path / "learned.toml")
    network = cn.load(tmp_path / "run").network
    assert (learned.name, learned.encoding) == ("learned", network.task.encoding)
    word = [0, 2, 1, 2, 2, 1, 0, 2]
    expected = [
        out if a == 2 else None for a, out in zip(word, network.transduce(word), strict=True)
    ]
    assert learned.machine.transduce(word) == expected
    done = carrynet("train", "--task", "learned.toml", "--set=learn.steps=3", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr


def test_asked_for_numbers_as_well(tmp_path: Path) -> None:
    carrynet("train", "--set=learn.steps=5", "--set=harden.steps=5", cwd=tmp_path)
    done = carrynet("ask", "118", "8", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "118 + 8 = " in done.stdout


def test_a_sweep_over_files_in_other_processes(asked: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(
        'recipe = "tutorial"\ntask = ["asked.toml", "add", "tomita:4"]\nhidden = 4\nsteps = 50\n'
        'seed = "0..3"\n[sweep]\nexhaustive = 3\nlengths = [8]\nblock = 3\nproof = "none"\n'
        'keep = "all"\n'
    )
    done = carrynet("sweep", "plan.toml", "--out", "out", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    asked.unlink()
    plan = Store(tmp_path / "out").plan()
    text = next(text for text in plan.axes[1].values if text.startswith("asked@"))
    assert plan.machines[text].name == "asked"
    again = Plan.from_toml(plan.to_toml())
    assert again.same(plan)
    done = carrynet("table", "out", "--by", "task", cwd=tmp_path)
    assert text in done.stdout, done.stderr


def test_there_is_no_loss_where_nothing_is_asked(asked: Path) -> None:
    """The gradient is that of central differences of a loss over the asked positions alone."""
    task = tasks.parse(asked)
    network = Network(task, "tanh", initialise(task, 3, seed=2, dtype="float64"))
    word = [1, 0, 2, 1, 2]
    x, targets = problems.sequences(task, np.array([word]), np.dtype(np.float64))
    asked_at = problems.answers(task, np.array(word)) != problems.OPEN
    assert asked_at.tolist() == [False, False, True, False, True]
    loss = LOSSES["cross-entropy", task.readout]
    gradient, _ = bptt(network, loss.where(asked_at), x[:, 0], targets[:, 0])

    def value(weights: Weights) -> float:
        logits = np.concatenate([z for _, z in Network(task, "tanh", weights).states(word)])
        return float(loss.value(logits, targets[:, 0])[asked_at].sum())

    for name, array in network.weights.items():
        for place in np.ndindex(array.shape):
            sides = []
            for step in (1e-6, -1e-6):
                moved = array.copy()
                moved[place] += step
                sides.append(value(network.weights.replace(**{name: moved})))
            slope = (sides[0] - sides[1]) / 2e-6
            assert getattr(gradient, name)[place] == pytest.approx(slope, abs=1e-7)


def test_every_answer_is_right_where_nothing_is_asked(asked: Path) -> None:
    task = tasks.parse(asked)
    network = Network(task, "tanh", initialise(task, 3, seed=2))
    words = np.array([[0, 1, 0, 1], [1, 1, 1, 0]])  # no "?"
    assert (reference.follow(network, words).first_error == -1).all()
    worked = cn.evaluate(network, 3, engine="numpy")
    by_hand = 0
    for n in range(27):
        word = [n // 9, n // 3 % 3, n % 3]
        wanted = task.machine.transduce(word)
        said = network.transduce(word)
        by_hand += all(y is None or y == s for y, s in zip(wanted, said, strict=True))
    assert worked.right == by_hand


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"dtype": "float64"}, "computes in float32, not float64"),
        (
            {"cell": "gru", "task": "add:base=16,operands=4"},
            "up to 1,024 symbols and outputs with",
        ),
        (
            {"cell": "g = sigmoid(h @ V); h = tanh((x * g) @ W)"},
            "read the input by matrices",
        ),
        (
            {
                "cell": "k = sigmoid(x @ Wxk); h = mix(k, tanh(x @ Wxh + h @ Whh), h)",
                "loss": "cross-entropy",
                "worst": 0.5,
            },
            "cells whose activations all depend on the state",
        ),
    ],
    ids=str,
)
def test_the_native_engine_says_what_it_does_not_take(
    settings: dict[str, Any], reason: str
) -> None:
    recipe = Recipe(hidden=8).with_settings(settings)
    if native.refuses(Recipe(hidden=8)) is None:
        with pytest.raises(Unavailable, match=reason):
            get("native", recipe)
    assert get("auto", recipe) is ENGINES["numpy"]


@pytest.mark.parametrize("kind", ["bits", "one-hot", "plus-minus-one", "number"])
def test_every_encoding_is_trained_and_judged_alike(kind: str) -> None:
    """By both engines where both take it; the checker's bounds are those of what is fed."""
    machine = tasks.parse("add_mod:k=3").machine
    task = tasks.own("sum", machine, encoding=tasks.Encoding(kind))
    recipe = Recipe(task=task, hidden=5, digits=5).with_settings({"steps": 60})  # type: ignore[arg-type]
    networks = [
        training.fit(recipe, engine=engine)
        for engine in ("numpy", "native")
        if ENGINES[engine].refuses(recipe) is None
    ]
    assert networks
    for network in networks:
        assert np.allclose(network.weights.Whh, networks[0].weights.Whh, atol=1e-4)
    model = by_letters(networks[0])
    drives = check._drives(model, task)
    ours = networks[0].drives
    assert np.allclose([[float(x) for x in row] for row in drives], ours, atol=1e-6)


def test_a_training_that_goes_on_ends_in_the_same_weights(asked: Path) -> None:
    recipe = Recipe(task=str(asked), hidden=6, digits=6).with_settings({"steps": 300})
    states: list[training.State] = []
    whole = training.fit(recipe, callbacks=[lambda progress: states.append(progress.state)])
    assert 0 < states[len(states) // 2].step < 300
    assert training.fit(recipe, state=states[len(states) // 2]).digest() == whole.digest()
