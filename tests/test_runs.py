"""Run folders: written whole, resumed bit for bit, refused with one line when damaged."""

import hashlib
import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, chdir
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carrynet as cn
from carrynet import files, lab, locks
from carrynet.errors import CarrynetError, InputError, RunError
from carrynet.judge import refutation as refute
from carrynet.judge.work import work
from carrynet.learn import training
from carrynet.learn.training import Progress
from carrynet.nets.network import Network
from carrynet.proof import search
from carrynet.proof.certificate import BoxCertificate
from carrynet.proof.verdict import Effort
from carrynet.report import plots, text
from carrynet.runs import checkpoint
from carrynet.runs.create import fresh_path
from carrynet.runs.folder import newest, read_certificate
from carrynet.runs.format import FIGURES
from carrynet.spec.recipe import RECIPES, Recipe
from carrynet.spec.stage import Stage
from tests.conftest import started
from tests.folders import create

pytestmark = pytest.mark.usefixtures("short_words")

SHORT = Recipe(name="short", hidden=4, stages=(Stage(steps=600),))
FILES = {
    "recipe.toml",
    "config.json",
    "metrics.jsonl",
    "model.safetensors",
    "snapshots.safetensors",
    "evaluation.json",
    "proof.json",
    "README.md",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to be copied before it is changed."""
    path = tmp_path_factory.mktemp("runs") / "made"
    cn.train(SHORT, out=path)
    return path


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A run that a test may damage."""
    target = tmp_path / "copy"
    target.mkdir()
    for file in made.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_a_run_is_a_folder_and_comes_back(made: Path) -> None:
    assert {file.name for file in made.iterdir()} == FILES
    run = cn.load(made)
    memory = cn.train(SHORT)
    assert memory.path is None
    assert run.network.digest() == memory.network.digest()
    assert run.recipe == memory.recipe == SHORT
    assert run.evaluation == memory.evaluation
    assert run.metrics == memory.metrics
    moments = [
        [(each.problem, each.network.digest()) for each in r.snapshots] for r in (run, memory)
    ]
    assert moments[0] == moments[1]
    assert run.metrics[-1]["problem"] == 600
    assert run.seconds > 0


def test_a_run_in_memory_can_be_saved(tmp_path: Path) -> None:
    memory = cn.train(SHORT, seed=5)
    saved = memory.save(tmp_path / "saved")
    assert {file.name for file in (tmp_path / "saved").iterdir()} == FILES
    assert saved.network.digest() == memory.network.digest()
    assert saved.to_json() == {**memory.to_json(), "run": str(tmp_path / "saved")}
    with pytest.raises(InputError, match="exists"):
        memory.save(tmp_path / "saved")


def test_the_document(made: Path) -> None:
    document = cn.load(made).to_json()
    keys = ["run", "recipe", "training", "evaluation", "proof", "last_problem"]
    assert list(document) == [*keys, "source", "worse_than", "compiled"]
    assert document["source"] is None  # it was trained here
    assert document["recipe"]["hidden"] == 4
    assert document["training"]["problems"] == 600
    assert 0 < document["training"]["final_error"] < 8
    assert document["evaluation"]["exhaustive"]["pairs"] == 65_536
    assert [s["digits"] for s in document["evaluation"]["sampled"]][::2] == [16, 64]
    assert document["proof"]["verdict"] == "refuted"
    last = document["last_problem"]
    assert last["operands"] == list(training.last_problem(SHORT))
    assert last["expected"] == sum(last["operands"])
    json.dumps(document, allow_nan=False)


def test_the_card_tells_what_was_tested_and_no_more(made: Path) -> None:
    card, evaluation = (made / "README.md").read_text(), cn.load(made).evaluation
    tested = evaluation.exhaustive
    assert tested.right < tested.pairs  # 600 problems are not enough, and the card says so
    assert f"**Exhaustive**: {tested.right:,} of all 65,536 problems" in card
    assert "**Refuted**: it is wrong for" in card
    assert "say nothing of other numbers" in card
    assert f"value: {tested.right / tested.pairs}" in card
    for part in evaluation.sampled:
        assert f"| {part.digits:,} | {part.kind} | {part.right:,} of 256 |" in card


# Bad folders -------------------------------------------------------------------------


def truncate(name: str, size: int) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:size])


def overwrite(name: str, text: str) -> Callable[[Path], object]:
    return lambda run: (run / name).write_text(text)


def edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new))

    return change


def new_recipe(old: str, new: str) -> Callable[[Path], object]:
    """Another recipe, vouched for in config.json."""

    def change(run: Path) -> None:
        edit("recipe.toml", old, new)(run)
        config = json.loads((run / "config.json").read_text())
        config["recipe_sha256"] = hashlib.sha256((run / "recipe.toml").read_bytes()).hexdigest()
        (run / "config.json").write_text(json.dumps(config))

    return change


def remove(name: str) -> Callable[[Path], object]:
    return lambda run: (run / name).unlink()


def flip_a_bit(run: Path) -> None:
    data = bytearray((run / "model.safetensors").read_bytes())
    data[-5] ^= 1
    (run / "model.safetensors").write_bytes(data)


def another_network(run: Path) -> None:
    other = cn.train(SHORT, seed=9, out=run.parent / "other")
    assert other.path
    (run / "model.safetensors").write_bytes((other.path / "model.safetensors").read_bytes())


class Exploit:
    """Unpickling this would create a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def says(**changes: Any) -> Callable[[Path], object]:
    """The model says something else of the same weights."""

    def change(run: Path) -> None:
        tensors, facts = files.read_tensors(run / "model.safetensors")
        files.write_tensors(run / "model.safetensors", tensors, {**facts, **changes})

    return change


def pickled(run: Path) -> None:
    (run / "model.safetensors").write_bytes(pickle.dumps(Exploit(str(run / "exploited"))))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate("model.safetensors", 0), "model.safetensors is damaged"),
        (truncate("model.safetensors", 7), "model.safetensors is damaged"),
        (truncate("model.safetensors", 100), "model.safetensors is damaged"),
        (truncate("model.safetensors", -1), "model.safetensors is damaged"),
        (flip_a_bit, "model.safetensors is damaged"),
        (another_network, "not those that the run was finished with"),
        (pickled, "model.safetensors is damaged"),
        (says(version=1), "model.safetensors is damaged.*it has version 1, not 2"),
        (says(format="other"), "its format is not carrynet-model version 2"),
        (says(cell="h = tanh(x @ Wxh + bh + h @ Whh)"), "its 'cell' is not that of its network"),
        (says(machine={}), "its 'machine' is not that of its network"),
        (says(start=[0, 0, 0, 1]), "its 'start' is not that of its network"),
        (says(more=1), "its 'more' is not that of its network"),
        (remove("model.safetensors"), "has no model.safetensors"),
        (remove("recipe.toml"), "has no recipe.toml"),
        (remove("evaluation.json"), "has no evaluation.json"),
        (remove("config.json"), "not a run: it has no config.json"),
        (truncate("config.json", 20), "config.json is damaged"),
        (overwrite("config.json", "[]"), "its format is not carrynet-run"),
        (overwrite("config.json", '{"format": "other"}'), "its format is not carrynet-run"),
        (edit("config.json", '"version": 2', '"version": 1'), "it has version 1, not 2"),
        (edit("config.json", '"version": 2', '"version": 3'), "it has version 3, not 2"),
        (edit("config.json", '"complete"', '"odd"'), "unknown status 'odd'"),
        (edit("config.json", '"engine": "', '"engine": "x'), "unknown engine 'x"),
        (edit("config.json", '"weights_sha256"', '"x"'), "weights_sha256 is missing"),
        (edit("config.json", '"proof_sha256"', '"prof_sha256"'), "proof_sha256 is missing"),
        (edit("config.json", '"python"', '"pyton"'), "python is missing"),
        (edit("config.json", '"seconds": ', '"seconds": "a", "x": '), "seconds is wrong: 'a'"),
        (
            edit("config.json", '"seconds": ', '"certificat_sha256": "a", "seconds": '),
            "unknown key",
        ),
        (edit("config.json", '"seconds": ', '"status": "complete", "seconds": '), "there twice"),
        (edit("config.json", '"seconds": ', '"seconds": NaN, "x": '), "NaN is no number of JSON"),
        (
            overwrite("config.json", '{"format": ' + "9" * 500_000 + "}"),
            "more than 10,000 digits",
        ),
        (overwrite("recipe.toml", "seed = " + "9" * 2_000_000), "larger than 1 MB"),
        (overwrite("config.json", " " * 2**21), "larger than 1 MB"),
        (remove("proof.json"), "has no proof.json"),
        (remove("metrics.jsonl"), "has no metrics.jsonl"),
        (remove("snapshots.safetensors"), "has no snapshots.safetensors"),
        (edit("config.json", '"complete"', '"trained"'), "unfinished"),
        (edit("recipe.toml", "seed = 0", "seed = 1"), "not the recipe that the run was started"),
        (new_recipe("hidden = 4", "hidden = 5"), "it has 4 units in float32"),
        (new_recipe('"float32"', '"float64"'), "it has 4 units in float32"),
        (new_recipe("hidden = 4", "hiden = 4"), "recipe.toml is damaged.*did you mean 'hidden'"),
        (new_recipe("hidden = 4", "hidden = x"), "recipe.toml is damaged"),
        (edit("evaluation.json", '"right": ', '"right": 1'), "not the evaluation that the run"),
        (overwrite("config.json", "[" * 10_000), "config.json is damaged"),
        (overwrite("metrics.jsonl", '{"problem": Infinity}\n'), "metrics.jsonl is damaged"),
        (edit("metrics.jsonl", '"error": ', '"errr": '), "line 1: error is missing"),
        (edit("metrics.jsonl", '"error": ', '"error": NaN, "x": '), "NaN is no number of JSON"),
        (overwrite("metrics.jsonl", "1\n"), "line 1: stage is missing or wrong"),
        (overwrite("evaluation.json", "{}"), "evaluation.json is damaged"),
        (truncate("evaluation.json", 50), "evaluation.json is damaged"),
        (overwrite("metrics.jsonl", "what\n"), "metrics.jsonl is damaged"),
        (lambda run: (run / "recipe.toml").write_bytes(b"\xff\xfe"), "recipe.toml is damaged"),
    ],
)
def test_damaged_runs_are_refused_in_one_line(
    copy: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(copy)
    with pytest.raises(RunError, match=message) as caught:
        cn.load(copy)
    assert "\n" not in str(caught.value)
    assert str(copy) in str(caught.value)
    assert not (copy / "exploited").exists()


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        cn.load(tmp_path / "none")
    with pytest.raises(RunError, match=r"no config\.json"):
        cn.load(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="no such folder"):
        cn.load(tmp_path / "file")


def test_nothing_is_overwritten_without_force(copy: Path, tmp_path: Path) -> None:
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    with pytest.raises(InputError, match="exists"):
        cn.train(SHORT, out=copy)
    with pytest.raises(InputError, match="unknown engine"):
        cn.train(SHORT, out=copy, force=True, engine="nonesuch")
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == before

    other = tmp_path / "not-a-run"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a run: --force replaces nothing else"):
        cn.train(SHORT, out=other, force=True)
    assert (other / "thesis.txt").read_text() == "years of work"

    (copy / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes.txt, which is not carrynet's"):
        cn.train(SHORT, out=copy, force=True)
    (copy / "notes.txt").unlink()
    (tmp_path / "link").symlink_to(copy)
    with pytest.raises(InputError, match="is a link"):
        cn.train(SHORT, out=tmp_path / "link", force=True)
    (tmp_path / "link").unlink()

    with pytest.raises(InputError, match="is where you are"), chdir(copy):
        cn.train(SHORT, out=".", force=True)

    cn.train(SHORT, out=copy, force=True, seed=7)
    assert cn.load(copy).recipe.seed == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "not-a-run"]


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_replacement_loses_nothing(
    copy: Path, monkeypatch: pytest.MonkeyPatch, failing: int, error: type[BaseException]
) -> None:
    original, calls = Path.rename, 0

    def rename(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise error
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises((error, RunError)):
        cn.train(SHORT, out=copy, force=True, seed=7)
    assert cn.load(copy).recipe.seed == 0
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_run_is_not_made_where_another_has_its_files(tmp_path: Path) -> None:
    recipe = Recipe(hidden=2, stages=(Stage(steps=5),))
    create(tmp_path / "run", recipe)
    (tmp_path / "link").symlink_to("run")
    for place in ("run/model.safetensors", "link/report.html"):
        with pytest.raises(InputError, match=f"{place} is a file of a run: choose another folder"):
            create(tmp_path / place, recipe)
    create(tmp_path / "run" / "again", recipe)
    create(tmp_path / "model.safetensors", recipe)


def test_of_many_at_once_one_gets_the_folder(tmp_path: Path) -> None:
    script = (
        "import sys, carrynet as cn\n"
        "run = cn.train('tutorial', steps=10, digits=2, seed=int(sys.argv[1]), out='same')\n"
        "assert run.recipe.seed == int(sys.argv[1])"
    )
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started(sys.executable, "-c", script, i, cwd=tmp_path, stderr=-1))
            for i in range(3)
        ]
        errors = [process.communicate()[1].strip().splitlines() for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1, 1]
    for lines in filter(None, errors):
        assert lines[-1].startswith("carrynet.errors.InputError: same exists")


def test_of_many_at_once_each_gets_a_name(tmp_path: Path) -> None:
    short = ("--hidden", 4, "--digits", 2, "--set", "learn.steps=10", "--set", "harden.steps=10")
    arguments = command("train", *short, "--json")
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started(*arguments, cwd=tmp_path, stdout=-1)) for _ in range(3)
        ]
        documents = [json.loads(process.communicate()[0]) for process in processes]
    assert len({document["run"] for document in documents}) == 3


def test_what_a_killed_creation_leaves_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".run.0123abcd.new").mkdir()
    (tmp_path / ".run.theirs.new").mkdir()
    (tmp_path / ".run.4567abcd.new").mkdir()
    (tmp_path / ".run.89ababcd.new").mkdir()  # of somebody who has just begun
    for name in (".run.0123abcd.new", ".run.4567abcd.new"):
        os.utime(tmp_path / name, (1000, 1000))
    with locks.Lock(tmp_path / ".run.4567abcd.new"):  # of somebody who is still at it
        cn.train(SHORT, out=tmp_path / "run")
    assert {path.name for path in tmp_path.iterdir()} == {
        *("run", ".run.theirs.new", ".run.4567abcd.new", ".run.89ababcd.new")
    }


def test_other_hidden_files_are_left_alone(tmp_path: Path) -> None:
    path = create(tmp_path / "run", SHORT)
    (path / ".ipynb_checkpoints").mkdir()
    (path / ".gitignore").write_text("*")
    (path / ".model.safetensors.0123abcd.123").write_text("cut off")
    (path / ".notes.txt.0123abcd.123").write_text("mine")
    cn.resume(path)
    hidden = {file.name for file in path.iterdir() if file.name.startswith(".")}
    assert hidden == {".ipynb_checkpoints", ".gitignore", ".notes.txt.0123abcd.123"}


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match=r"cannot write .*file/run: Not a directory"):
        cn.train(SHORT, out=tmp_path / "file" / "run")
    with pytest.raises(RunError, match="cannot write"):
        cn.train(SHORT, out="/proc/run")


# Finding runs ------------------------------------------------------------------------


def test_the_newest_run_that_fits(tmp_path: Path, made: Path) -> None:
    with pytest.raises(RunError, match="no run under"):
        newest(tmp_path)
    for i, (name, seed) in enumerate([("b", 1), ("a", 2), (".hidden", 3), ("c", 4)]):
        cn.train(SHORT.with_settings({"seed": seed, "steps": 10}), out=tmp_path / name)
        os.utime(tmp_path / name / "recipe.toml", (1000 + i, 1000 + i))
    assert newest(tmp_path).name == "c"
    assert newest(tmp_path, lambda recipe: recipe.seed < 4).name == "a"
    (tmp_path / "c" / "recipe.toml").write_text("damaged")
    assert newest(tmp_path).name == "a"
    create(tmp_path / "unfinished", SHORT)
    assert newest(tmp_path).name == "a"
    with pytest.raises(RunError, match=r"no finished run .*: go on with: .*unfinished"):
        newest(tmp_path, lambda recipe: recipe == SHORT)
    assert newest(made.parent) == made


def test_fresh_names_are_numbered(tmp_path: Path) -> None:
    recipe = RECIPES["tutorial"].with_settings({"task": "add:base=3"})
    assert fresh_path(recipe, tmp_path / "none").name == "0001-tutorial-add-base-3-h32-s0"
    for cell, named in {
        "gru": "gru",
        "lstm,gru-reset-before": "lstm-gru-reset-before",
        "elman,elman": "elman-elman",
        "h = tanh(x @ Wxh + bh + h @ Whh) * bo": "own",
        "h = tanh(x @ Wxh + bh + h @ Whh)": "",
        ",".join(["gru-reset-before"] * 8): "gru-reset-before-gru-reset-before-gru-re",
    }.items():
        name = fresh_path(recipe.with_settings({"cell": cell, "hidden": 3}), tmp_path / "none").name
        assert name == "-".join(("0001-tutorial-add-base-3", *filter(None, [named]), "h3-s0"))
    (tmp_path / "0041-x").mkdir()
    (tmp_path / "mine").mkdir()
    assert fresh_path(recipe, tmp_path).name.startswith("0042-")


# Being interrupted -------------------------------------------------------------------


class Stop(KeyboardInterrupt):
    """As if Ctrl-C were pressed."""


def interrupt_at(problem: int) -> Callable[[Progress], None]:
    def callback(progress: Progress) -> None:
        if progress.problem >= problem:
            raise Stop

    return callback


def test_an_interrupted_run_goes_on_bit_for_bit(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(Stop):
        cn.train(SHORT, out=path, callbacks=[interrupt_at(201)])
    with pytest.raises(RunError, match="unfinished: go on with: carrynet train --resume"):
        cn.load(path)
    assert "model.safetensors" not in {file.name for file in path.iterdir()}
    with pytest.raises(Stop):
        cn.resume(path, callbacks=[interrupt_at(450)])
    run = cn.resume(path)
    assert {file.name for file in path.iterdir()} == FILES
    for name in FILES - {"config.json", "proof.json", "README.md"}:
        assert (path / name).read_bytes() == (made / name).read_bytes(), name
    # A finished run is left as it is.
    before = (path / "config.json").stat().st_mtime_ns
    assert cn.resume(path).network.digest() == run.network.digest()
    assert (path / "config.json").stat().st_mtime_ns == before


def test_snapshots_that_are_changed_are_refused(copy: Path) -> None:
    path = copy / "snapshots.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError, match="do not match its digest"):
        cn.load(copy)


def test_metrics_beyond_the_checkpoint_are_dropped(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(Stop):
        cn.train(SHORT, out=path, callbacks=[interrupt_at(201)])
    with (path / "metrics.jsonl").open("a") as file:
        line = {"stage": "learn", "step": 599, "problem": 599, "error": 1, "loss": 1, "right": 0}
        file.write(json.dumps(line) + '\n{"stage": "le')
    cn.resume(path)
    assert (path / "metrics.jsonl").read_bytes() == (made / "metrics.jsonl").read_bytes()


def interrupted(path: Path, recipe: Recipe = SHORT) -> Path:
    with pytest.raises(Stop):
        cn.train(recipe, out=path, callbacks=[interrupt_at(201)])
    return path / "checkpoint.safetensors"


@pytest.mark.parametrize("change", ["truncate", "flip", "step", "recipe"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, change: str) -> None:
    file = interrupted(tmp_path / "run")
    data = bytearray(file.read_bytes())
    if change == "truncate":
        data = data[:-9]
    elif change == "flip":
        data[-9] ^= 1
    elif change == "step":
        changed, changes = re.subn(rb'(step\\": )\d', rb"\g<1>9", data)
        assert changes == 1
        data = bytearray(changed)
    else:
        new_recipe("step = 0.1", "step = 0.2")(tmp_path / "run")
    file.write_bytes(data)
    with pytest.raises(RunError, match=r"checkpoint.safetensors is damaged"):
        cn.resume(tmp_path / "run")


ADAM = SHORT.with_settings({"optimiser": "adam", "step": 0.01})


def changed(name: str, value: object) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda tensors, facts: (tensors if "." in name else facts).update({name: value})


@pytest.mark.parametrize(
    "change",
    [
        changed("stage", -1),
        changed("stage", 2),
        changed("stage", "0"),
        changed("step", -5),
        changed("step", 600),
        changed("step", "1"),
        changed("seconds", "1"),
        changed("seconds", -1.0),
        lambda tensors, facts: facts.pop("stage"),
        lambda tensors, facts: tensors.pop("weights.bh"),
        lambda tensors, facts: tensors.pop("moments.0.bh"),
        lambda tensors, facts: [tensors.pop(n) for n in list(tensors) if "moments.1" in n],
        lambda tensors, facts: [tensors.pop(n) for n in list(tensors) if "moments" in n],
        changed("weights.extra", np.zeros(1, np.float32)),
        changed("other.bh", np.zeros(1, np.float32)),
        changed("weights.Whh", np.float32(0)),
        changed("weights.Whh", np.zeros((5, 5), np.float32)),
        changed("weights.Whh", np.full((4, 4), np.nan, np.float32)),
        changed("moments.1.Whh", np.zeros((4, 5), np.float32)),
        lambda tensors, facts: tensors.update(
            {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        ),
    ],
)
def test_an_impossible_checkpoint_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]
) -> None:
    """Whole and with a right digest, but not what this training can have written."""
    file = interrupted(tmp_path / "run", ADAM)
    tensors, facts = files.read_tensors(file)
    del facts["digest"]
    change(tensors, facts)
    tensors = {name: np.asarray(tensor) for name, tensor in tensors.items()}
    files.write_tensors(file, tensors, {**facts, "digest": checkpoint.digest(tensors, facts)})
    with pytest.raises(RunError, match=r"checkpoint.safetensors is damaged") as caught:
        cn.resume(tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_checkpoints_are_written_along_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < checkpoint.CHECKPOINT_SECONDS <= 5
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    seen: list[int] = []

    def look(progress: Progress) -> None:
        state, seconds = checkpoint.read(tmp_path / "run", SHORT)
        assert state is not None
        assert state.network.digest() == progress.state.network.digest()
        assert seconds > 0
        seen.append(state.step)

    cn.train(SHORT, out=tmp_path / "run", callbacks=[look])
    assert seen[0] == 6
    assert len(seen) == 100


def test_seconds_of_all_parts_are_added_up(tmp_path: Path) -> None:
    def wait(progress: Progress) -> None:
        if progress.problem == 30:
            time.sleep(0.3)

    path = tmp_path / "run"
    with pytest.raises(Stop):
        cn.train(SHORT, out=path, callbacks=[wait, interrupt_at(201)])
    assert 0.3 < cn.resume(path).seconds < 5


def test_divergence_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    stage = Stage(steps=4_000, step=100.0, loss="cross-entropy")
    recipe = Recipe(activation="relu", stages=(stage,))
    with pytest.raises(cn.Diverged, match="diverged at problem"):
        cn.train(recipe, out=tmp_path / "run")
    state, _ = checkpoint.read(tmp_path / "run", recipe)
    assert state is not None  # though it went wrong before the first report
    assert state.network.digest() == training.start(recipe).network.digest()
    with pytest.raises(cn.Diverged):
        cn.resume(tmp_path / "run")


def test_the_number_of_threads_of_blas_does_not_matter(tmp_path: Path) -> None:
    script = (
        "import carrynet as cn\nfrom carrynet.learn import training\n"
        "from carrynet.spec.recipe import RECIPES\n"
        "recipe = RECIPES['plain-adam'].with_settings({'hidden': 128, 'batch': 128, 'steps': 15})\n"
        "network = training.fit(recipe, engine='numpy')\n"
        "print(network.digest(), cn.evaluate(network, 6, engine='numpy'))\n"
        "print(cn.by_length(network, (64,), engine='numpy'))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(outputs) == 1


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "carrynet", *map(str, arguments)]


def with_room_for(bytes_: int, *arguments: object) -> list[str]:
    """The same, of which no file may grow beyond so many bytes, as on a full disk.

    The limit is set by a process of its own: a worker that has imported JAX must not fork.
    """
    script = (
        "import os, resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes_}, {bytes_}))\n"
        "os.environ['PYTHONDONTWRITEBYTECODE'] = '1'\n"  # of which it would leave a part
        "os.execv(sys.executable, sys.argv[1:])"
    )
    return [sys.executable, "-c", script, *command(*arguments)]


def saving_often(*arguments: object) -> list[str]:
    """The same, with a checkpoint each tenth of a second, so that a short run has many."""
    script = (
        "from carrynet import cli\nfrom carrynet.runs import checkpoint\n"
        "checkpoint.CHECKPOINT_SECONDS = 0.1\ncli.main()"
    )
    return [sys.executable, "-c", script, *map(str, arguments)]


LONG = {  # some seconds on each engine
    "numpy": ("--hidden", 8, "--set", "steps=5000", "--set", "digits=16"),
    "native": ("--hidden", 16, "--set", "steps=40000", "--set", "digits=16"),
}


def long(engine: str) -> tuple[object, ...]:
    return ("--recipe", "plain-adam", *LONG[engine], "--engine", engine)


@pytest.mark.parametrize("engine", LONG)
def test_a_killed_run_ends_in_the_same_weights(tmp_path: Path, engine: str) -> None:
    """Real processes, killed without warning, at random moments, until one comes through."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL}
    moments, kills, checkpoints, done = random.Random(0), 0, 0, False
    arguments: tuple[object, ...] = (*long(engine), "--out", killed)
    with started(*command("train", *long(engine), "--out", whole), **quiet) as undisturbed:
        while not done:
            with started(*saving_often("train", *arguments), **quiet) as process:
                # the first may be killed before its checkpoint, later ones once they wrote another
                file = killed / ("checkpoint.safetensors" if kills else "metrics.jsonl")
                wait_for(partial(has_changed, file, written(file), process))
                try:
                    process.wait(moments.uniform(0.0, 0.2) if kills < 4 else 300)
                    done = True
                except subprocess.TimeoutExpired:
                    process.kill()
            if not done:
                kills += 1
                checkpoints += (killed / "checkpoint.safetensors").exists()
                arguments = ("--resume", killed)
        undisturbed.wait(300)
    assert kills >= 3
    assert checkpoints >= 1  # it did not merely start again
    assert {file.name for file in killed.iterdir()} == {file.name for file in whole.iterdir()}
    for name in ("model.safetensors", "metrics.jsonl", "evaluation.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


def written(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def has_changed(file: Path, before: int | None, process: subprocess.Popen[str]) -> bool:
    return written(file) != before or process.poll() is not None


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("engine", LONG)
def test_control_c_exits_with_130_and_leaves_a_resumable_run(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "run"
    with started(*command("train", *long(engine), "--out", path), stderr=-1) as process:
        wait_for(lambda: (path / "metrics.jsonl").exists())
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines() == [f"interrupted; go on with: carrynet train --resume {path}"]
    assert (path / "checkpoint.safetensors").exists()
    assert json.loads((path / "config.json").read_text())["status"] == "training"


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run"
    limited = subprocess.run(
        with_room_for(1500, "train", "--hidden", 4, "--set", "learn.steps=4000", "--out", path),
        check=False,
        capture_output=True,
        text=True,
    )
    assert limited.returncode == 2
    assert limited.stdout == ""
    assert limited.stderr.startswith(f"carrynet: cannot write {path}")
    assert limited.stderr.count("\n") == 1
    # With room again, the run goes on.
    assert subprocess.run(command("train", "--resume", path), check=False).returncode in (0, 1)
    assert {file.name for file in path.iterdir()} == FILES | {"report.html"}


# Verdicts and origins ------------------------------------------------------------------


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("proofs") / "proved"
    cn.train("certified", hidden=8, out=path)
    return path


def test_a_proof_comes_back_with_its_certificate(proved: Path) -> None:
    run = cn.load(proved)
    assert isinstance(run.proof, cn.Proved)
    assert run.proof.certificate == read_certificate(proved)
    assert "proved; " in repr(run)
    card = (proved / "README.md").read_text()
    assert "**Proved** right for numbers of any length" in card
    memory = cn.train("certified", hidden=8)
    assert isinstance(memory.proof, cn.Proved)
    assert memory.proof.certificate == run.proof.certificate
    saved = memory.save(proved.parent / "saved")
    assert {file.name for file in saved.path.iterdir()} == {f.name for f in proved.iterdir()}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("proof.json", lambda text: text.replace('"proved"', '"refuted"')),
        ("proof.json", lambda text: text[:50]),
        ("certificate.json", lambda text: text[:-50]),
        ("certificate.json", lambda text: text.replace('"bits": 24', '"bits": 23')),
    ],
)
def test_a_damaged_proof_is_named(
    proved: Path, tmp_path: Path, name: str, change: Callable[[str], str]
) -> None:
    shutil.copytree(proved, tmp_path / "run")
    file = tmp_path / "run" / name
    file.write_text(change(file.read_text()))
    with pytest.raises(RunError, match=name.replace(".", r"\.")):
        cn.load(tmp_path / "run")


def test_a_verdict_is_not_given_up_for_an_undecided_one(
    proved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(proved, tmp_path / "run")
    run = cn.load(tmp_path / "run")
    nothing = cn.Undecided(("nothing",), 0.0, Effort(rate=1.0))
    monkeypatch.setattr(search, "prove", lambda *_, **__: nothing)
    kept = lab.decide(run)
    assert kept.proof == run.proof
    assert isinstance(kept.proof, cn.Proved)
    assert kept.proof.checked
    assert isinstance(cn.load(tmp_path / "run").proof, cn.Proved)
    (tmp_path / "run" / "config.json").touch()
    refuted = cn.train("tutorial", hidden=3, steps=5)
    assert refuted.proof == nothing


def test_a_verdict_that_no_longer_holds_is_given_up(
    proved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(proved, tmp_path / "run")
    run = cn.load(tmp_path / "run")
    assert isinstance(run.proof, cn.Proved)
    nothing = cn.Undecided(("nothing",), 0.0, Effort(rate=1.0))
    monkeypatch.setattr(search, "prove", lambda *_, **__: nothing)
    assert isinstance(run.proof.certificate, BoxCertificate)
    other = replace(run.proof.certificate, slack=2**23)  # more than any invariant allows
    forged = replace(run, proof=replace(run.proof, certificate=other))
    assert lab.decide(forged).proof == nothing
    of_nothing = cn.Refuted((118, 8), 8, 0, 127, 126, False, 0.0)  # which it answers rightly
    assert lab.decide(replace(run, proof=of_nothing)).proof == nothing


def test_a_proof_of_another_network_is_refused(proved: Path, tmp_path: Path) -> None:
    """Even if all hashes are forged: the certificate says which weights it is about."""
    path, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(proved, path)
    cn.train("certified", hidden=8, seed=1, out=other)
    for name in ("proof", "certificate"):
        shutil.copy(other / f"{name}.json", path)
    config = json.loads((path / "config.json").read_text())
    theirs = json.loads((other / "config.json").read_text())
    keys = ("proof_sha256", "certificate_sha256")
    (path / "config.json").write_text(json.dumps(config | {key: theirs[key] for key in keys}))
    with pytest.raises(RunError, match=r"certificate\.json .*about another network"):
        cn.load(path)


def test_what_a_run_says_that_it_has_must_be_there(proved: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(proved, path)
    (path / "certificate.json").unlink()
    with pytest.raises(RunError, match=r"run is damaged: it has no certificate\.json"):
        cn.load(path)
    with pytest.raises(RunError, match="cannot be checked: it has no certificate"):
        read_certificate(path)
    with pytest.raises(RunError, match="cannot be checked: there is no such folder"):
        read_certificate(tmp_path / "nowhere")

    shutil.copy(proved / "certificate.json", path)
    edit("config.json", '"certificate_sha256"', '"certificat_sha256"')(path)
    with pytest.raises(RunError, match=r"unknown key .*did you mean 'certificate_sha256'"):
        cn.load(path)


def vouched(path: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit a result, and the hash of it in config.json too."""
    document = json.loads((path / f"{name}.json").read_text())
    change(document)
    (path / f"{name}.json").write_text(json.dumps(document))
    config = json.loads((path / "config.json").read_text())
    data = (path / f"{name}.json").read_bytes()
    config[f"{name}_sha256"] = hashlib.sha256(data).hexdigest()
    (path / "config.json").write_text(json.dumps(config))


def test_what_is_said_of_a_proof_is_the_checkers(proved: Path, tmp_path: Path) -> None:
    """And not what a file says, whoever vouches for it."""
    path = tmp_path / "run"
    shutil.copytree(proved, path)
    honest = cn.load(proved).proof
    vouched(path, "proof", lambda d: d.update(slack=0.9, margin=90.0, regions=1, method="trees"))
    proof = cn.load(path).proof
    assert isinstance(proof, cn.Proved)
    assert proof == honest
    assert proof.checked
    # a certificate whose slack is raised says what it does not prove
    claim = cn.load(proved).proof
    assert isinstance(claim, cn.Proved)
    assert isinstance(claim.certificate, BoxCertificate)
    forged = replace(claim.certificate, slack=2**23).to_json()
    vouched(path, "certificate", lambda document: document.update(forged))
    with pytest.raises(RunError, match=r"certificate\.json is damaged .*rejected") as caught:
        cn.load(path)
    assert "\n" not in str(caught.value)


def test_a_proof_that_takes_long_to_check_is_as_recorded(
    proved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    shutil.copytree(proved, path)
    vouched(path, "proof", lambda document: document.update(slack=0.9, margin=90.0, regions=1))
    monkeypatch.setattr(search, "quickly_confirmed", lambda *_: False)
    run = cn.load(path)
    honest = json.loads((proved / "certificate.json").read_text())
    assert isinstance(run.proof, cn.Proved)
    assert (run.proof.checked, run.proof.margin) == (False, None)
    assert run.proof.slack == honest["slack"] / 2 ** honest["bits"]
    assert run.proof.regions == len(honest["regions"])
    assert run.to_json()["proof"]["checked"] is False
    assert "proved, as recorded" in repr(run)
    assert "as recorded" in text.proof(run.proof, run.network.task)
    assert "checked," not in text.proof(run.proof, run.network.task)
    again = lab.decide(run, budget=0)
    assert "as recorded" not in text.proof(again.proof, run.network.task)  # it has been checked


def test_a_counterexample_is_told_as_the_network_answers(made: Path, tmp_path: Path) -> None:
    """And not as a file says, whoever vouches for it."""
    honest = cn.load(made).proof
    assert isinstance(honest, cn.Refuted)
    path = tmp_path / "run"
    shutil.copytree(made, path)
    tale: dict[str, Any] = {
        "answered": int(honest.expected) + 9,
        "expected": 0,
        "shortest": honest.shortest,
    }
    tale |= {"state": "nowhere", "symbol": "7"}
    vouched(path, "proof", lambda document: document["counterexample"].update(tale))
    assert cn.load(path).proof == honest
    # a longer word that is wrong at once is no shortest one
    longer = {"digits": honest.digits + 20, "shortest": True}
    vouched(path, "proof", lambda document: document["counterexample"].update(longer))
    again = cn.load(path).proof
    assert isinstance(again, cn.Refuted)
    assert (again.digits, again.shortest) == (honest.digits + 20, False)
    odd: list[dict[str, Any]] = [
        {"digits": "2"},
        {"digits": 10**9},
        {"digits": 0},
        {"position": "2"},
        {"position": -1},
        {"operands": ["3", "1"]},
        {"operands": [3]},
        {"operands": [-1, 3]},
        {"operands": None},
        {"answered": None},
        {"shortest": 1},
        {"state": 1},
        {"symbol": None},
        {"shares": 1},
        {"shares": [{"digits": 16, "problems": 4}]},
        {"shares": [{"digits": 16, "problems": 4, "wrong": 5}]},
        {"shares": [{"digits": 16, "problems": 4, "wrong": 0.5}]},
        {"more": 1},
    ]
    for changes in odd:
        shutil.rmtree(path)
        shutil.copytree(made, path)
        vouched(path, "proof", lambda document: document["counterexample"].update(changes))  # noqa: B023
        with pytest.raises(RunError, match=r"proof\.json is damaged") as caught:
            cn.load(path)
        assert "\n" not in str(caught.value)


def test_a_counterexample_that_is_none_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "run"
    cn.train("tutorial", hidden=8, seed=2, out=path)  # right on all pairs of 8 digits
    assert isinstance(cn.load(path).proof, cn.Refuted)
    about = {"operands": [118, 8], "digits": 8, "position": 0, "answered": 127, "expected": 126}
    vouched(path, "proof", lambda document: document["counterexample"].update(about))
    assert cn.load(path).proof.verdict == "undecided"


def test_what_an_evaluation_finds_wrong_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the search for long words does not come upon it."""

    def nothing(*_: object) -> None: ...

    monkeypatch.setattr(refute, "by_long_words", nothing)
    monkeypatch.setattr(refute, "by_short_words", nothing)
    run = cn.train(SHORT)
    assert not run.evaluation.right
    assert isinstance(run.proof, cn.Refuted)
    assert not work(run.network, run.proof.operands, run.proof.digits).right


def test_a_proof_of_what_is_seen_to_be_wrong_is_an_error(
    proved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as no one should ever see: evaluation and proof contradict each other."""
    proof = cn.load(proved).proof
    monkeypatch.setattr(search, "prove", lambda *_, **__: proof)
    with pytest.raises(CarrynetError, match="one of the two is an error"):
        cn.train(SHORT)


@pytest.fixture(scope="module")
def undecided(proved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that is proved, as if nobody had found the proof yet."""
    path = tmp_path_factory.mktemp("proofs") / "undecided"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "prove", lambda *_, **__: cn.Undecided(("nothing",), 0.0))
        cn.train("certified", hidden=8, out=path)
    assert not (path / "certificate.json").exists()
    return path


def test_wherever_a_proof_is_cut_off_nothing_is_lost(
    proved: Path, undecided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every single call by which it changes the disk: the old verdict stands, or the new."""

    class Cut(BaseException):
        """As if the process were killed: nothing that it does afterwards counts."""

    names = ("replace", "rename", "mkdir", "rmdir", "unlink", "open")
    originals = {name: getattr(Path, name) for name in names}
    calls, cut = 0, 0

    def counted(name: str) -> Callable[..., Any]:
        def call(self: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal calls
            if str(path) in str(self) and (name != "open" or "wb" in arguments):
                calls += 1
                if calls >= cut:
                    raise Cut
            return originals[name](self, *arguments, **options)

        return call

    before, states = cn.load(undecided), []
    for cut in range(1, 100):
        path, calls = tmp_path / str(cut), 0
        shutil.copytree(undecided, path)
        run = replace(before, path=path)
        with monkeypatch.context() as patch:
            for name in names:
                patch.setattr(Path, name, counted(name))
            try:
                lab.decide(run, budget=0)
            except Cut:
                pass
            else:
                break  # it took fewer calls
        states.append(cn.load(path).proof.verdict)
        # and whatever is done next, the folder is whole again
        assert isinstance(lab.decide(cn.load(path), budget=0).proof, cn.Proved)
        whole = {file.name: file.read_bytes() for file in path.iterdir()}
        assert whole.keys() == {file.name for file in proved.iterdir()}
        assert whole["certificate.json"] == (proved / "certificate.json").read_bytes()
        shutil.rmtree(path)
    assert states == sorted(states, reverse=True)  # undecided, up to some moment, then proved
    assert {"undecided", "proved"} == set(states)
    assert len(states) > 12


def test_a_full_disk_does_not_cost_a_proof(proved: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(proved, path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    for room in (200, 2000):
        full = subprocess.run(
            with_room_for(room, "prove", path, "--budget", 0),
            check=False,
            capture_output=True,
            text=True,
        )
        assert full.returncode == 2
        assert full.stderr.startswith(f"carrynet: cannot write {path}")
        assert full.stderr.count("\n") == 1
        assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert isinstance(cn.load(path).proof, cn.Proved)


def test_a_folder_is_written_by_one_at_a_time(proved: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(proved, path)
    with locks.Lock(path):
        other = threading.Thread(target=lambda: said.append(refused(path)))
        said: list[str] = []
        other.start()
        other.join()
        assert "another thread of this process" in said[0]
        for arguments in (
            ("prove", path),
            ("report", path),
            ("train", "--out", path, "--force", "--set", "learn.steps=10"),
        ):
            done = subprocess.run(
                command(*arguments), check=False, capture_output=True, text=True, cwd=tmp_path
            )
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr == (
                f"carrynet: {path} is being written by process {os.getpid()}: try again when that "
                "is done\n"
            )
    assert isinstance(cn.load(path).proof, cn.Proved)
    assert not (path / ".lock").exists()


def refused(path: Path) -> str:
    try:
        with locks.Lock(path):
            return "taken"
    except RunError as error:
        return str(error)


def test_a_verdict_is_written_to_the_network_that_was_judged(
    proved: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although its folder was renamed meanwhile, and another run has come in its place."""
    path = tmp_path / "run"
    shutil.copytree(proved, path)
    before = {file.name: file.read_bytes() for file in made.iterdir()}
    search_proof = search.prove

    def slow(*arguments: Any, **options: Any) -> Any:
        path.rename(tmp_path / "moved")
        shutil.copytree(made, path)
        return search_proof(*arguments, **options)

    monkeypatch.setattr(search, "prove", slow)
    with pytest.raises(RunError, match="has become another folder in the meantime"):
        lab.decide(cn.load(path), budget=0)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    monkeypatch.undo()
    moved = cn.load(tmp_path / "moved")
    assert isinstance(moved.proof, cn.Proved)
    with pytest.raises(RunError, match="holds another run by now"):
        lab.decide(replace(moved, path=path), budget=0)


def test_readers_find_results_while_they_are_replaced(proved: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(proved, path)
    results = ("evaluation.json", "proof.json", "certificate.json", "README.md", "config.json")
    done = threading.Event()

    def write() -> None:
        contents = {name: (path / name).read_bytes() for name in results}
        with locks.Lock(path):
            while not done.is_set():
                locks.replace_all(path, contents)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(30):
            assert isinstance(cn.load(path).proof, cn.Proved)
            read_certificate(path)
    finally:
        done.set()
        writer.join()


@pytest.mark.parametrize("cell", ["elman", "lstm", "wide"])
def test_the_limit_of_snapshots_is_that_of_the_network(tmp_path: Path, cell: str) -> None:
    settings = {"hidden": 96, "dtype": "float64", "cell": cell.replace("wide", "gru")}
    recipe = RECIPES["certified"].with_settings(settings)
    network = training.start(recipe).network
    if cell == "wide":  # a layer that no recipe makes, of a network from elsewhere
        layers = {"readout": "u = relu(h @ Whu + bu); logits = u @ Why + by"}
        recipe = recipe.with_settings({"hidden": 8, **layers})
        made, shapes = training.start(recipe).network, {"Whu": (8, 9_000), "Why": (9_000, 1)}
        wide = {name: np.zeros(shape) for name, shape in shapes.items()} | {"bu": np.zeros(9_000)}
        network = Network(made.task, made.cell, made.weights.replace(**wide), made.readout)
    moments = 1 + len(recipe.schedule) * len(training.SHARES)
    album = [training.Snapshot(10**9 + i, network) for i in range(moments)]
    folder = create(tmp_path / "run", recipe)
    checkpoint.write_snapshots(folder, album)
    size = (folder / "snapshots.safetensors").stat().st_size
    assert size < checkpoint.most_snapshots(recipe, network) < size + 2 * files.MOST_TEXT
    assert len(checkpoint.read_snapshots(folder, recipe, network)) == moments


def test_links_and_devices_are_written_into(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    files.write(tmp_path / "link", "a")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "a"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match=r"cannot write .*pipe: No such device"):  # nobody reads it
        files.write(tmp_path / "pipe", "b")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    files.write(tmp_path / "pipe", "b")
    assert os.read(reader, 9) == b"b"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom carrynet import locks\n"
        "locks.Lock(Path(sys.argv[1])).__enter__()\nprint('held', flush=True)\ntime.sleep(60)"
    )
    with started(sys.executable, "-c", script, tmp_path, stdout=-1) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert f"written by process {process.pid}" in refused(tmp_path)
        process.kill()
    assert (tmp_path / ".lock").exists()
    assert refused(tmp_path) == "taken"


def test_many_at_once_do_each_other_no_harm(proved: Path, tmp_path: Path) -> None:
    """Four proofs of one run, then three trainings that would all replace it."""
    path = tmp_path / "run"
    shutil.copytree(proved, path)

    def at_once(*commands: list[str]) -> list[int]:
        pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": -1, "cwd": tmp_path}
        with ExitStack() as stack:
            processes = [stack.enter_context(started(*each, **pipes)) for each in commands]
            for process in processes:
                lines = process.communicate()[1].splitlines()
                if process.returncode == 2:
                    assert len(lines) == 1
                    assert "is being written by" in lines[0]
            return [process.returncode for process in processes]

    codes = at_once(*[command("prove", path, "--budget", 0)] * 4)
    assert set(codes) <= {0, 2}
    assert 0 in codes
    assert {file.name for file in path.iterdir()} == {
        *(file.name for file in proved.iterdir()),
        "report.html",
    }
    quick = ("--recipe", "tutorial", "--set", "steps=300", "--digits", 3, "--force", "--out", path)
    codes = at_once(*[command("train", *quick, "--seed", seed) for seed in range(3)])
    assert 2 in codes or len(codes) == 3
    run = cn.load(path)  # whose weights are those of its recipe
    assert training.fit(run.recipe, engine=run.engine).digest() == run.network.digest()
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_a_replacement_that_was_killed_half_way_brings_the_old_run_back(
    made: Path, tmp_path: Path
) -> None:
    for number, ask in enumerate((cn.load, newest, create)):
        root = tmp_path / str(number)
        shutil.copytree(made, root / ".run.0123abcd.old")
        (root / ".run.0123abcd.new").mkdir()
        os.utime(root / ".run.0123abcd.new", (1000, 1000))
        if ask is newest:
            assert newest(root) == root / "run"
        elif ask is create:
            with pytest.raises(InputError, match="exists"):
                create(root / "run", SHORT)
        else:
            cn.load(root / "run")
        assert cn.load(root / "run").recipe == SHORT
        # where the new run has appeared, the old one was to go
        shutil.copytree(made, root / ".run.0123abcd.old")
        create(root / "run", SHORT.with_settings({"seed": 7}), force=True)
        assert [path.name for path in root.iterdir()] == ["run"]


def test_force_leaves_figures_of_ones_own(made: Path, tmp_path: Path) -> None:
    assert set(FIGURES) == set(plots.FIGURES)
    path = tmp_path / "run"
    shutil.copytree(made, path)
    (path / "plots").mkdir()
    (path / "plots" / "weights.svg").write_text("carrynet's")
    (path / "plots" / "mine.svg").write_text("mine")
    with pytest.raises(InputError, match=r"holds plots/mine\.svg, which is not carrynet's"):
        cn.train(SHORT, out=path, force=True)
    (path / "plots" / "mine.svg").unlink()
    assert cn.train(SHORT, out=path, force=True, seed=7).recipe.seed == 7


@pytest.mark.parametrize(
    "name", ["config.json", "recipe.toml", "model.safetensors", "metrics.jsonl", "proof.json"]
)
def test_only_regular_files_are_read(made: Path, tmp_path: Path, name: str) -> None:
    """Pipes are not waited for, devices not read; a link to a file is as good as the file."""
    path = tmp_path / "runs" / "run"
    shutil.copytree(made, path)
    moved = (path / name).rename(tmp_path / name)
    (path / name).symlink_to(moved)
    cn.load(path)
    makers: list[Callable[[Path], object]] = [
        os.mkfifo,
        lambda file: file.symlink_to("/dev/zero"),
        lambda file: file.mkdir(),
    ]
    for make in makers:
        (path / name).unlink()  # the link, the pipe, the link
        make(path / name)
        with pytest.raises(RunError, match=rf"cannot read .*{name}: (not a regular|Is a dir)"):
            cn.load(path)
        if name in ("config.json", "recipe.toml"):
            with pytest.raises(RunError, match="no run under"):
                newest(path.parent)
    (path / name).rmdir()


def test_a_hardened_run_knows_its_origin(tmp_path: Path) -> None:
    old = cn.train("tutorial", hidden=8, seed=2)
    run = cn.harden(old, out=tmp_path / "run")
    assert isinstance(run.proof, cn.Proved)
    assert run.origin is not None
    assert run.origin.digest() == old.network.digest() == run.recipe.origin
    assert cn.load(run.path or "").origin is not None
    # interrupted before its first checkpoint, it begins with its origin again
    path = tmp_path / "again"
    recipe = training.hardening(old.recipe, old.network)
    create(path, recipe, run.engine, origin=old.network)
    assert cn.resume(path).network.digest() == run.network.digest()
    data = (path / "origin.safetensors").read_bytes()
    tensors, said = files.read_tensors(path / "origin.safetensors")
    files.write_tensors(path / "origin.safetensors", tensors, said | {"start": [1.0] * 8})
    with pytest.raises(RunError, match=r"origin\.safetensors is damaged .* 'start'"):
        cn.load(path)
    (path / "origin.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(RunError, match=r"origin\.safetensors is damaged"):
        cn.load(path)
    with pytest.raises(InputError, match="its origin, which must be given"):
        cn.train(recipe)
    with pytest.raises(InputError, match="its origin, which must be given"):
        cn.train(recipe, origin=run.network)
