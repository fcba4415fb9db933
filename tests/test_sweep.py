"""Sweeps: trials and blocks, rows, workers that die, sweeps that are killed, and tables."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import pytest

import carrynet as cn
from carrynet import sweep
from carrynet.errors import CarrynetError, InputError, RunError
from carrynet.judge import evaluation
from carrynet.judge.evaluation import wilson
from carrynet.judge.work import work
from carrynet.learn import training
from carrynet.learn.training import Diverged
from carrynet.nets.network import Network
from carrynet.spec import recipe as recipes, tables, tasks
from carrynet.spec.recipe import Recipe
from carrynet.sweep import Store, block, rows, table
from carrynet.sweep.cost import Cost
from carrynet.sweep.places import Folder
from carrynet.sweep.plan import LANES, Plan
from carrynet.sweep.pool import LocalPool, Outcome
from carrynet.sweep.rows import columns
from carrynet.sweep.settings import settings_help
from tests.conftest import started, words_up_to
from tests.test_cli import carrynet, process

QUICK = """
recipe = "tutorial"
hidden = [2, 3]
steps = 200
seed = "0..15"

[sweep]
exhaustive = 3
lengths = [16]
pairs = 16
block = 5
"""


def parse(text: str, **settings: Any) -> Plan:
    return Plan.parse(text, Path(), **settings)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Every row, in order, less the times."""
    from pyarrow import dataset

    rows = dataset.dataset(folder / "parts", format="parquet").to_table().to_pylist()
    rows.sort(key=lambda row: row["number"])
    return [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in rows]


class Here:
    """An executor that works blocks in this process, and may be told to fail."""

    slots = 2

    def __init__(self, store: Store, fails: Callable[[int], str] = lambda number: "") -> None:
        self.fails, self.store = fails, store
        self.taken: list[int] = []
        self.order: list[int] = []
        self.closed = False

    def submit(self, block: int) -> None:
        self.taken.append(block)

    def result(self) -> Outcome:
        number = self.taken.pop(0)
        self.order.append(number)
        reason = self.fails(number)
        if reason:
            return Outcome(number, None, reason)
        finished = block.work(self.store.plan(), number)
        self.store.finish(number, finished.rows, finished.weights)
        return Outcome(number, finished.counts)

    def close(self) -> None:
        self.closed = True


def run(
    plan: Plan, folder: str | Path, fails: Callable[[int], str] = lambda n: ""
) -> sweep.Summary:
    return sweep.execute(plan, folder, hire=lambda store, jobs: Here(store, fails))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("swept") / "out"
    assert run(parse(QUICK), folder).complete
    return folder


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")


# Plans --------------------------------------------------------------------------------


def test_trials_are_the_product_of_lists_and_ranges() -> None:
    plan = parse(
        'recipe = "tutorial"\nseed = "7..9"\ntask = ["add", "subtract"]\nlearn.step = [0.1, 0.2]\n'
        'hidden = "2..4"\n[learn]\nsteps = [100, 300]\n'.replace("learn.step =", '"learn.step" =')
    )
    base = recipes.get("tutorial")
    expected = [
        base.with_settings(
            {"task": task, "hidden": hidden, "steps": steps, "step": step, "seed": seed}
        )
        for task, hidden, steps, step, seed in product(
            ("add", "subtract"), (2, 3, 4), (100, 300), (0.1, 0.2), (7, 8, 9)
        )
    ]
    assert plan.trials == len(expected)
    assert [plan.recipe(trial) for trial in range(plan.trials)] == expected
    kinds = [plan.kind(trial) for trial in range(plan.trials)]
    assert kinds == [trial // 6 for trial in range(plan.trials)]
    assert plan.varied == ("task", "hidden", "learn.steps", "learn.step", "seed")


def test_numbers_of_a_range_may_have_underscores_as_in_toml() -> None:
    assert parse('seed = "1_000..2_999"').axes[-1].values == range(1000, 3000)


def test_several_recipes_and_one_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nhidden = 3\n[[stages]]\nsteps = 50\n')
    text = 'recipe = ["tutorial", "certified", "mine.toml"]\nhidden = 5\nseed = [3, 8]'
    plan = Plan.parse(text, tmp_path)
    assert plan.recipe(0) == recipes.get("tutorial").with_settings({"hidden": 5, "seed": 3})
    assert plan.recipe(3) == recipes.get("certified").with_settings({"hidden": 5, "seed": 8})
    assert plan.recipe(4).stages[0].steps == 50
    names = [column.name for column in columns(plan)]
    assert {"recipe", "learn_steps", "harden_steps", "harden_batch"} <= set(names)
    # the record holds the recipes themselves, and not the names of files
    (tmp_path / "mine.toml").unlink()
    again = Plan.from_toml(plan.to_toml())
    assert again.same(plan)
    assert [again.recipe(c) for c in range(6)] == [plan.recipe(c) for c in range(6)]
    assert [again.block(n) for n in range(again.blocks)] == [plan.block(0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden = [1, 2]", "unknown key 'hiden': did you mean 'hidden'"),
        ('recpe = "tutorial"', "did you mean 'recipe'"),
        ('recipe = "tutorail"', "did you mean 'tutorial'"),
        ('recipe = "none.toml"', "cannot read recipe none.toml"),
        ("recipe = 3", "a recipe is a name or a file"),
        ("[learn]\nstps = 3", "unknown key 'learn.stps': did you mean"),
        ('recipe = "certified"\nsteps = 3', "unknown key 'steps'"),
        (
            'recipe = ["tutorial", "certified"]\n[harden]\nsteps = 3',
            "key harden.steps is not of all trials: .* recipe tutorial has the stages learn",
        ),
        ('name = "x"', "unknown key 'name'"),
        (
            'recipe = "certified"\nlearn.name = "x"',
            r"^unknown key 'learn\.name': .* dtype, learn\.over,",
        ),
        ("hidden = 2\n[lern]", "unknown table 'lern': did you mean 'learn'.*: learn, sweep$"),
        ('cell = "0..999999999999"', "cell must be text, not 0"),
        ('cell = ["gru", "gru "]', "cell has 'gru' twice"),
        ('cell = ["gru,lstm", "gru, lstm"]', "cell has 'gru,lstm' twice"),
        ("[sweep]\nkep = 'all'", "unknown key of .sweep. 'kep': did you mean 'keep'"),
        ("[sweep]\nkeep = 'some'", "unknown keep 'some'"),
        ("[sweep]\nproof = 'nome'", 'proof must be seconds from 0 to 1e.06, or "none"'),
        ("[sweep]\nproof = -1", "proof must be seconds"),
        ("[sweep]\nexhaustive = 17", "exhaustive must be from 0 to 16"),
        ("[sweep]\nlengths = [0]", "lengths must be whole numbers from 1"),
        ("[sweep]\nlengths = [8, 8]", "a length twice"),
        ("[sweep]\nlengths = 8", "lengths must be a list"),
        ("[sweep]\naccuracy = 500", "accuracy must be a list"),
        ("[sweep]\naccuracy = [500]", "accuracy must be two lengths, from and to"),
        ("[sweep]\naccuracy = [500, 41]", "accuracy must be two lengths, from and to"),
        ("[sweep]\naccuracy = [0, 41]", "accuracy must be two lengths, from and to"),
        (
            'task = "modular:9"\n[sweep]\naccuracy = [1, 60000]',
            "trial 0 .*: words of up to 60,000 symbols by .* states, .* do not fit in memory",
        ),
        ("[sweep]\naccuracy = [1, 65536]\npairs = 65536", "65,536 digits is too large"),
        ("[sweep]\nlengths = [65536]\npairs = 65536", "65,536 digits is too large"),
        ("sweep = 3", "headed .sweep."),
        ("hidden = []", "hidden has an empty list"),
        ("hidden = [4, 4]", "hidden has 4 twice"),
        ("hidden = [[4]]", "values are numbers"),
        ('seed = "9..3"', "the range '9..3' is empty"),
        ('seed = "0..9223372036854775808"', "too long or ends beyond"),
        ('hidden = "1..2000"', r"trial 1024 .*hidden 1025.*hidden must be from 1 to 1,024"),
        (
            'activation = ["tanh", "sine"]',
            r"trial 1 \(.*activation sine.*unknown activation 'sine'",
        ),
        ("steps = 5\n[learn]\nsteps = 6", "steps and learn.steps are one key"),
        ("digits = [2, 1]", r"trial 1 \(recipe tutorial, digits 1\): digits must be at least 2"),
        ("seed = [0, -1]", r"trial 1 .*seed must be from 0"),
        ('hidden = "1..1024"\ndigits = "8..200"', "197,632 kinds of trials"),
        ('seed = "0..999999999"\n[sweep]\nblock = 100', "more than 1,000,000 blocks"),
        ("hidden = [", "not a plan in TOML"),
    ],
)
def test_what_is_no_plan_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    if "recipe" not in text.split("=")[0]:
        text = f'recipe = "tutorial"\n{text}'
    (tmp_path / "plan.toml").write_text(text)
    done = carrynet("sweep", "plan.toml", "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("carrynet: plan.toml: ")
    with pytest.raises(InputError, match=message):
        parse(text)
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_plans_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "long").write_text(f"seed = {'9' * 500_000}\n")
    (tmp_path / "large").write_text("#" * 2**21)
    (tmp_path / "recipe").write_text('recipe = "pipe.toml"\n')
    os.mkfifo(tmp_path / "pipe.toml")
    name = os.fsdecode(b"caf\xe9.toml")  # as no locale has it
    (tmp_path / name).write_text("hiden = 3\n")
    reasons = {
        "folder": "cannot read plan folder: Is a directory",
        "pipe": "cannot read plan pipe: not a regular file",
        "zero": "cannot read plan zero: not a regular file",
        "none": "cannot read plan none: No such file",
        "long": "long: not a plan in TOML: it has a number of more than 10,000 digits",
        "large": "cannot read plan large: larger than 1 MB",
        "recipe": "recipe: cannot read recipe pipe.toml: not a regular file",
        name: r"caf\\udce9.toml: unknown key 'hiden'",
    }
    for file, reason in reasons.items():
        done = carrynet("sweep", file, "--out", "out", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert re.match(f"carrynet: {reason}", done.stderr), done.stderr
    assert not (tmp_path / "out").exists()


def test_seeds_are_looked_at_without_the_rest_of_their_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = [7 * number for number in range(60_000)]
    (tmp_path / "plan.toml").write_text(f"hidden = [4, 8]\nseed = {seeds}\n")
    asked = []
    original = Recipe.with_settings

    def counted(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
        asked.append(settings)
        return original(recipe, settings)

    monkeypatch.setattr(Recipe, "with_settings", counted)
    plan = sweep.read(tmp_path / "plan.toml")
    assert plan.trials == 120_000
    assert len(asked) < 10  # one of each kind
    assert plan.recipe(60_001).seed == 7
    # its record is longer, and is read all the same
    assert Store(tmp_path / "out").begin(plan).same(plan)
    assert Store(tmp_path / "out").plan().same(plan)
    with pytest.raises(InputError, match="seed has 7 twice"):
        parse(f"seed = {[*seeds, 7]}")
    with pytest.raises(InputError, match=r"trial 59999 \(.*seed must be from 0"):
        parse(f"seed = {[*seeds[:-1], -1]}")


def test_a_sweeps_files_are_regular_ones(tmp_path: Path) -> None:
    plan = parse('recipe = "tutorial"\nsteps = 50\nhidden = 2\nseed = "0..1"')
    sweep.execute(plan, tmp_path / "out", jobs=1)
    store = Store(tmp_path / "out")
    for name in ("plan.toml", "parts/part-000000.parquet"):
        (tmp_path / "out" / name).unlink()
        os.mkfifo(tmp_path / "out" / name)
        done = carrynet("table", "out", cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "not a regular file" in done.stderr
        (tmp_path / "out" / name).unlink()
        (tmp_path / "out" / "plan.toml").write_text(plan.to_toml())
    (tmp_path / "out" / "failed" / "part-000001.json").write_text("9" * 20_000)
    with pytest.raises(RunError, match="a number of more than 10,000 digits"):
        store.failures()


def test_an_engine_that_cannot_take_a_cell_is_refused(tmp_path: Path) -> None:
    plan = parse('recipe = "tutorial"\nhidden = [4, 500]\n[sweep]\nengine = "native"')
    with pytest.raises(CarrynetError, match="up to 256 hidden units, not 500"):
        sweep.execute(plan, tmp_path / "out")
    bounds = parse('"harden.bounds" = ["words", "boxes"]\n[sweep]\nengine = "native"')
    with pytest.raises(CarrynetError, match="along words, not by boxes"):
        sweep.execute(bounds, tmp_path / "out")
    with pytest.raises(InputError, match="did you mean 'numpy'"):
        sweep.execute(parse('[sweep]\nengine = "nunpy"'), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("jobs", [-1, 0, 1.5, True, "2"])
def test_jobs_that_are_no_number_of_workers_are_refused(tmp_path: Path, jobs: Any) -> None:
    with pytest.raises(InputError, match="jobs must be a whole number from 1, not"):
        sweep.execute(parse(QUICK), tmp_path / "out", jobs=jobs)
    assert not (tmp_path / "out").exists()


def test_a_folder_may_have_any_name_but_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "what?" / "now")
    store.begin(parse(QUICK))
    assert (store.name, store.path("plan.toml")) == ("now", f"{tmp_path}/what?/now/plan.toml")
    assert Store(tmp_path / "what?").name == "what?"
    (tmp_path / "plan.toml").write_text(QUICK)
    for command in (("sweep", "plan.toml", "--out", ""), ("table", "")):
        done = carrynet(*command, cwd=tmp_path)
        told = "carrynet: a sweep's folder must have a name, not '': '.' is where you are\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


@pytest.mark.parametrize(
    "text",
    [
        'recipe = "tutorial"\nhidden = [4, 8, 16, 32]\nsteps = [500, 20000]\nseed = "0..999"',
        'hidden = "2..40"\nseed = "0..2"',
        'recipe = "tutorial"\nhidden = [4, 8]\nseed = "0..99"\n[sweep]\nblock = 7',
        'seed = "0..9"\n[sweep]\nproof = 1000',
        'hidden = 2\nseed = "0..250000"\n[sweep]\nexhaustive = 0\nlengths = []\nseconds = 86400',
    ],
)
def test_blocks_hold_every_trial_once_and_follow_from_the_plan(text: str) -> None:
    plan = parse(text)
    blocks = [plan.block(number) for number in range(plan.blocks)]
    assert [trial for trials in blocks for trial in trials] == list(range(plan.trials))
    assert all(blocks)
    again = Plan.from_toml(parse(text).to_toml())
    assert [again.block(number) for number in range(again.blocks)] == blocks
    assert [plan.block_of(trials[0]) for trials in blocks] == list(range(len(blocks)))
    assert [plan.block_of(trials[-1]) for trials in blocks] == list(range(len(blocks)))
    settings = plan.settings
    for trials in blocks:
        seconds = [
            plan.cost.seconds(plan.recipe(c), settings) for c in trials[:: len(trials) // 9 + 1]
        ]
        if settings.block:
            assert len(trials) <= settings.block
        elif len(trials) > 1:
            assert max(seconds) <= settings.seconds
        if not settings.block and plan.kind(trials[0]) == plan.kind(trials[-1] + 1) < plan.kinds:
            assert len(trials) % LANES == 0 or len(trials) < LANES


def test_a_million_trials_start_at_once_in_little_memory(tmp_path: Path) -> None:
    text = 'recipe = "tutorial"\nhidden = "1..20"\nseed = "0..49999"\n[sweep]\nproof = "none"'
    block.work(parse("hidden = 2\nsteps = 5\nrecipe = 'tutorial'"), 0)
    sees: list[int] = []

    class Interrupted(Here):
        def result(self) -> Outcome:
            sees.append(len(self.taken))
            raise KeyboardInterrupt

    tracemalloc.start()
    started = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            sweep.execute(
                parse(text), tmp_path / "out", hire=lambda store, jobs: Interrupted(store)
            )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sees == [4]
    assert peak < 4e6
    assert time.perf_counter() - started < 10
    assert parse(text).trials == 1_000_000


# Rows ---------------------------------------------------------------------------------


@words_up_to(256)
def test_a_row_says_what_train_says(tmp_path: Path) -> None:
    # more units than go across lanes, and stages that do not: the same code as one run's
    for name, text, changes in (
        ("one", 'recipe = "tutorial"\nhidden = 17\nsteps = 6000\nseed = [2, 3]', {"steps": 6000}),
        ("two", 'recipe = "certified"\nhidden = 8\nseed = [1]', {}),
        ("three", 'recipe = "tutorial"\nhidden = 17\nsteps = 300\nseed = [1]', {"steps": 300}),
    ):
        lengths = [n for n in evaluation.LENGTHS if n <= 256] if name == "one" else [16]
        plan = parse(f"{text}\n[sweep]\nlengths = {lengths}\npairs = 256")
        assert run(plan, tmp_path / name).complete
        for row in rows_of(tmp_path / name):
            hidden, seed = row["hidden"], row["seed"]
            settings = {"hidden": hidden, "seed": seed, **changes}
            alone = cn.train(recipes.get(row["recipe"]).with_settings(settings), progress=False)
            whole, proof = alone.evaluation.exhaustive, alone.to_json()["proof"]
            assert row["weights_sha256"] == alone.network.digest()
            assert row["engine"] == alone.engine
            assert row["problems"] == alone.recipe.problems
            assert (row["exhaustive_right"], row["exhaustive_margin"]) == (
                whole.right,
                whole.margin,
            )
            for part in alone.evaluation.sampled:
                if part.digits in lengths:
                    start = f"{part.kind}_{part.digits}_"
                    assert row[f"{start}right"] == part.right
                    assert row[f"{start}margin"] == part.margin
                    assert row[f"{start}first_error"] == part.first_error
            assert row["verdict"] == proof["verdict"]
            assert (row["method"], row["regions"]) == (proof["method"], proof["regions"])
            assert (row["slack"], row["proof_margin"]) == (proof["slack"], proof["margin"])
            found = proof["counterexample"]
            if found is not None:
                assert row["counterexample"] == " ".join(map(str, found["operands"]))
                for key in ("digits", "position", "shortest"):
                    assert row[f"counterexample_{key}"] == found[key]
        verdicts = {row["verdict"] for row in rows_of(tmp_path / name)}
        assert verdicts <= {"proved"} if name == "two" else verdicts <= {"refuted", "undecided"}


def test_a_row_says_whether_a_stage_was_made_again(tmp_path: Path) -> None:
    text = (
        'recipe = "certified"\ncell = "gru"\ntask = "parity"\nhidden = 8\nseed = 1\n'
        "close.steps = [3, 1500]\nclose.again = 1\n"
        "[sweep]\nexhaustive = 0\nlengths = []\nproof = 'none'"
    )
    assert run(parse(text), tmp_path / "swept").complete
    few, many = sorted(rows_of(tmp_path / "swept"), key=lambda row: row["close_steps"])
    assert (few["again"], few["stage"], few["open_edges"]) == (1, "close_again", 10)
    assert (many["again"], many["stage"], many["open_edges"]) == (0, "close", 0)


def test_rows_of_another_version_are_refused_in_a_line(swept: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    shutil.copytree(swept, tmp_path / "copy")
    part = tmp_path / "copy" / "parts" / "part-000001.parquet"
    parquet.write_table(parquet.read_table(part).drop_columns(["again"]), part)
    done = carrynet("table", "copy", "--by", "again", cwd=tmp_path)
    said = "has no column again: another version of carrynet wrote it"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"carrynet: copy/parts/part-000001.parquet {said}\n"
    assert carrynet("table", "copy", "--by", "seed", cwd=tmp_path).returncode == 0


def test_a_population_and_a_network_alone_have_the_same_weights(tmp_path: Path) -> None:
    text = (
        'recipe = "tutorial"\nhidden = 4\nsteps = 300\nseed = "0..8"\nstep = [0.1, 0.3]\n'
        "init_width = [0.5, 2]\n[sweep]\nexhaustive = 0\nlengths = []\nproof = 'none'\nkeep = 'all'"
    )
    plan = parse(text)
    assert plan.kinds == 1
    run(plan, tmp_path / "out")
    store = Store(tmp_path / "out")
    for row in rows_of(tmp_path / "out"):
        recipe = plan.recipe(row["number"])
        (alone,) = training.fit_many([recipe])
        assert isinstance(alone, Network)
        assert row["weights_sha256"] == alone.digest()
        assert block.network(store, row["number"]).digest() == alone.digest()
        assert row["verdict"] == "none"
        assert row["exhaustive_right"] is None
        assert (row["init_width"], row["learn_step"]) == (recipe.init_width, recipe.stages[0].step)


def test_weights_are_kept_of_the_rows_that_are_asked_for(tmp_path: Path, swept: Path) -> None:
    assert not any((swept / "weights").iterdir())
    with pytest.raises(RunError, match="the weights of trial 3 were not kept"):
        block.network(Store(swept), 3)
    text = QUICK.replace("steps = 200", "steps = [200, 8000]").replace("[2, 3]", "8")
    plan = parse(text, keep="refuted")
    run(plan, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    kept = [row for row in rows if row["kept"]]
    assert {row["verdict"] for row in kept} == {"refuted"}
    assert len(kept) == sum(row["verdict"] == "refuted" for row in rows) < len(rows)
    for row in kept:
        network = block.network(Store(tmp_path / "out"), row["number"])
        assert network.digest() == row["weights_sha256"]
        operands = tuple(map(int, row["counterexample"].split()))
        assert not work(network, operands, row["counterexample_digits"]).right
    with pytest.raises(InputError, match="there is no trial 32: the plan has 0 to 31"):
        block.network(Store(tmp_path / "out"), 32)


def test_a_network_that_diverges_is_a_row_too(tmp_path: Path) -> None:
    text = (
        'recipe = "tutorial"\nhidden = 8\nactivation = "relu"\ninit_width = 0.3\nsteps = 400\n'
        'loss = "cross-entropy"\nstep = [0.1, 1e5]\nseed = [0, 1]\n[sweep]\nexhaustive = 3\n'
        'lengths = []\nkeep = "all"'
    )
    plan = parse(text)
    summary = run(plan, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert [row["outcome"] for row in rows] == ["trained", "trained", "diverged", "diverged"]
    assert [row["again"] for row in rows] == [0, 0, None, None]
    for row in rows:
        (alone,) = training.fit_many([plan.recipe(row["number"])])
        if isinstance(alone, Diverged):
            assert row["error"] == str(alone)
            assert (row["weights_sha256"], row["verdict"], row["kept"]) == (None, None, False)
        else:
            assert row["weights_sha256"] == alone.digest()
    assert summary.total.counts["diverged"] == 2
    assert summary.total.rate("diverged") == (0.5, *wilson(2, 4))


def test_large_alphabets_are_tried_up_to_fewer_digits(tmp_path: Path) -> None:
    text = (
        'recipe = "tutorial"\nhidden = 4\ntask = "add:base=10"\nsteps = 50\n[sweep]\nlengths = []'
    )
    run(parse(text), tmp_path / "out")
    (row,) = rows_of(tmp_path / "out")
    assert (row["exhaustive_digits"], row["exhaustive_pairs"]) == (3, 10**6)


DOCS = (Path(__file__).parents[1] / "docs" / "sweeps.md").read_text(encoding="utf-8")


def test_the_documents_examples_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (plan,) = re.findall(r"```toml\n(.*?)```", DOCS, flags=re.DOTALL)
    assert parse(plan).trials == 2 * 4 * 1000 * 2
    assert (parse(plan).settings.proof, parse(plan).settings.keep) == (10, "refuted")
    duck, polars, ours = re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL)
    text = QUICK.replace("steps = 200", "steps = [200, 9000]").replace("[2, 3]", "[2, 8]")
    run(parse(text, keep="all"), tmp_path / "adders")
    rows = rows_of(tmp_path / "adders")

    monkeypatch.chdir(tmp_path)  # DuckDB reads when it is asked for its rows

    def told(code: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        exec(code, names)
        return names

    def groups() -> Iterator[tuple[int, int, list[dict[str, Any]]]]:
        for hidden, steps in product((2, 8), (200, 9000)):
            alike = [r for r in rows if (r["hidden"], r["learn_steps"]) == (hidden, steps)]
            yield hidden, steps, alike

    def share(alike: Sequence[dict[str, Any]], key: str, value: Any) -> float:
        return sum(row[key] == value for row in alike) / len(alike)

    right = "exhaustive_right"
    assert told(duck)["answer"].fetchall() == [
        (
            hidden,
            steps,
            16,
            share(alike, "verdict", "proved"),
            sum(r["verdict"] == "refuted" and r[right] == r["exhaustive_pairs"] for r in alike),
            max((row["counterexample_digits"] or 0 for row in alike), default=None) or None,
        )
        for hidden, steps, alike in groups()
    ]
    assert told(polars)["answer"].rows() == [
        (
            hidden,
            steps,
            16,
            share(alike, right, alike[0]["exhaustive_pairs"]),
            share(alike, "verdict", "proved"),
            median(row["exhaustive_margin"] for row in alike),
        )
        for hidden, steps, alike in groups()
    ]
    names = told(ours)
    assert names["network"].digest() == rows[7]["weights_sha256"]
    small = [row for row in rows if row["hidden"] == 2]
    assert names["groups"][0].rate("proved")[0] == share(small, "verdict", "proved")


def test_every_column_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, default, about in settings_help():
        assert f"| `{name}` | {default} | {about} |" in DOCS
    plan = parse('hidden = [1, 2]\n"learn.decay" = [0.1, 0.2]\n[sweep]\naccuracy = [3, 9]')
    varied = {column.name for column in columns(plan)}
    assert "learn_decay" in varied
    monkeypatch.setattr(rows, "ALWAYS", tuple(rows._STAGE))  # as if all of a stage were varied
    every = columns(plan)
    assert varied < {column.name for column in every}
    for column in every:
        name = column.name
        for stage in ("learn", "harden"):
            name = name.replace(f"{stage}_", "STAGE_", 1)
        for kind, length in product(evaluation.KINDS, plan.settings.lengths):
            name = name.replace(f"{kind}_{length}_", "KIND_N_")
        assert f"| `{name}` | {column.kind} | {column.about} |" in DOCS


# Going on -----------------------------------------------------------------------------


def test_a_sweep_goes_on_where_it_was(tmp_path: Path, swept: Path) -> None:
    plan, folder = parse(QUICK), tmp_path / "out"

    class Tired(Here):
        def result(self) -> Outcome:
            if len(self.order) == 3:
                raise KeyboardInterrupt
            return super().result()

    workers: list[Here] = []

    def hire(store: Store, jobs: int | None) -> Here:
        workers.append(Tired(store) if not workers else Here(store))
        return workers[-1]

    with pytest.raises(KeyboardInterrupt):
        sweep.execute(plan, folder, hire=hire)
    assert workers[0].closed
    summary = sweep.execute(plan, folder, hire=hire)
    assert workers[1].order == [3, 4, 5, 6]
    assert (summary.complete, summary.networks, summary.total.networks) == (True, 17, 32)
    assert rows_of(folder) == rows_of(swept)
    assert sweep.execute(plan, folder, hire=hire).networks == 0
    assert len(workers) == 2  # nobody is hired where nothing is left to do


def test_another_plan_or_another_folder_is_refused(tmp_path: Path, swept: Path) -> None:
    for text in (
        QUICK.replace("0..15", "0..16"),
        QUICK.replace("[2, 3]", "[3, 2]"),
        QUICK.replace("steps = 200", "steps = 201"),
        QUICK.replace("block = 5", "block = 6"),
        f"{QUICK}proof = 'none'\n",
    ):
        with pytest.raises(InputError, match="holds a sweep by another plan"):
            run(parse(text), swept)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds something else"):
        run(parse(QUICK), tmp_path / "other")
    with pytest.raises(InputError, match=r"thesis.tex is a file"):
        run(parse(QUICK), tmp_path / "other" / "thesis.tex")
    (tmp_path / "empty").mkdir()
    assert run(parse(QUICK), tmp_path / "empty").complete


def test_of_two_plans_that_begin_at_once_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = parse(QUICK), parse(QUICK.replace("0..15", "0..16"))
    folder, names = tmp_path / "out", Folder.names

    def seen(place: Folder, name: str) -> list[str]:
        found = names(place, name)
        if not (folder / "plan.toml").exists():
            monkeypatch.undo()
            Store(folder).begin(theirs)
        return found

    monkeypatch.setattr(Folder, "names", seen)  # they come in after we have looked
    with pytest.raises(InputError, match="holds a sweep by another plan"):
        Store(folder).begin(mine)
    assert Store(folder).plan().same(theirs)
    assert sorted(file.name for file in folder.iterdir()) == [
        *("failed", "parts", "plan.toml", "weights"),
    ]


def test_a_sweep_whose_plan_was_exchanged_is_refused_at_its_end(tmp_path: Path) -> None:
    other = parse(QUICK.replace("steps = 200", "steps = 201"))

    def exchange(number: int) -> str:
        if number == 6:
            (tmp_path / "out" / "plan.toml").write_text(other.to_toml())
        return ""

    with pytest.raises(InputError, match="holds a sweep by another plan"):
        run(parse(QUICK), tmp_path / "out", exchange)


def test_a_recipe_may_change_for_some_lengths_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # of longer words than these are too many states to draw words by their outcome
    text = 'cell = "gru"\ntask = "modular:5"\ndigits = [24, 4_000]\n'
    before, known = parse(text).recipes_digest, recipes.VARIANTS["certified"]
    longer = known["gated, larger"].with_settings({"learn.steps": 777})
    changed = {**recipes.VARIANTS, "certified": {**known, "gated, larger": longer}}
    monkeypatch.setattr(recipes, "VARIANTS", changed)
    assert parse(text).recipes_digest != before


def test_a_sweep_does_not_go_on_by_recipes_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'recipe = "certified"\ncell = ["elman", "gru"]\nseed = "0..3"\n'
    store = Store(tmp_path)
    begun = store.begin(parse(text))
    assert store.begin(parse(text)).same(begun)
    # the recipe itself is what it was, and so is its record
    known = recipes.VARIANTS["certified"]
    longer = known["gated"].with_settings({"learn.steps": 1_201})
    changed = {**recipes.VARIANTS, "certified": {**known, "gated": longer}}
    monkeypatch.setattr(recipes, "VARIANTS", changed)
    with pytest.raises(InputError, match="by other recipes than carrynet"):
        store.begin(parse(text))
    assert store.plan().same(begun)  # it can be read
    only_elman = parse(text.replace(', "gru"', ""))
    assert Store(tmp_path / "new").begin(only_elman).trials == 4
    # one that does not say
    record = tmp_path / "plan.toml"
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(line for line in lines if not line.startswith("recipes_digest = ")))
    monkeypatch.undo()
    with pytest.raises(InputError, match="by other recipes than carrynet"):
        store.begin(parse(text))


def test_blocks_keep_their_borders_when_the_model_of_their_cost_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = QUICK.replace("block = 5", "seconds = 0.5")
    before = parse(text)
    Store(tmp_path / "out").begin(before)
    monkeypatch.setattr(Cost, "seconds", lambda self, r, s: self.proof)
    record = tmp_path / "out" / "plan.toml"
    said = record.read_text().replace("proof = 0.05", "proof = 0.1")
    record.write_text(said.replace(f"blocks = {before.blocks}\n", "blocks = 8\n"))
    summary = run(parse(text), tmp_path / "out")
    assert summary.plan.blocks == 8  # 5 trials of 0.1 s each in half a second, and not 10


@needs_proc
def test_what_a_killed_process_has_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    Store(folder).begin(parse(QUICK))
    with started(sys.executable, "-c", "", stdout=-1) as gone:
        assert gone.stdout is not None
        gone.stdout.read()  # it has ended, and nobody has asked how
        until(lambda: not works(gone.pid))
        stale = folder / "parts" / f".part-000001.parquet.{gone.pid}"
        lively = folder / "parts" / f".part-000009.parquet.{os.getpid()}"
        stale.touch()
        lively.touch()
        assert run(parse(QUICK), folder).complete
    assert (stale.exists(), lively.exists()) == (False, True)


# Blocks that fail ---------------------------------------------------------------------


def test_a_block_that_fails_is_tried_again_at_the_end(tmp_path: Path, swept: Path) -> None:
    failures = Counter({2: 2, 4: 1})

    def fails(number: int) -> str:
        failures[number] -= 1
        return "its worker was ended by signal 9" if failures[number] >= 0 else ""

    workers: list[Here] = []

    def hire(store: Store, jobs: int | None) -> Here:
        workers.append(Here(store, fails))
        return workers[-1]

    summary = sweep.execute(parse(QUICK), tmp_path / "out", hire=hire)
    assert summary.complete
    assert not summary.failures
    assert workers[0].order == [0, 1, 2, 3, 4, 5, 6, 2, 4, 2]
    assert rows_of(tmp_path / "out") == rows_of(swept)


def test_a_sweep_in_which_nothing_comes_through_stops(tmp_path: Path) -> None:
    plan = parse(QUICK.replace("block = 5", "block = 1"))
    with pytest.raises(RunError, match="10 blocks in a row have failed, the last with: no disk"):
        run(plan, tmp_path / "out", lambda number: "no disk" if number > 3 else "")
    assert len(Store(tmp_path / "out").failures()) == 10


def test_a_block_that_always_fails_is_recorded(tmp_path: Path, swept: Path) -> None:
    (tmp_path / "plan.toml").write_text(QUICK)
    folder = tmp_path / "out"
    Store(folder).begin(parse(QUICK, keep="all"))
    hindrance = folder / "weights" / "part-000002.safetensors"
    hindrance.mkdir()
    command = ("sweep", "plan.toml", "--out", "out", "--keep", "all", "--jobs", 1)
    done = carrynet(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert "networks    27 of 32, in 6 of 7 blocks" in done.stdout
    assert "FAILED      block 2, trials 10 to 14: cannot write" in done.stdout
    record = json.loads((folder / "failed" / "part-000002.json").read_text())
    assert (record["block"], record["cells"], len(record["reasons"])) == (2, [10, 14], 3)
    assert "it is a folder" in record["reasons"][0]
    hindrance.rmdir()
    done = carrynet(*command, "--json", cwd=tmp_path)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert (document["networks"], document["trained_now"]) == (32, 5)
    assert document["blocks"] == {"all": 7, "done": 7, "failed": []}
    assert not any((folder / "failed").iterdir())
    ours = [{**row, "kept": False} for row in rows_of(folder)]
    assert ours == rows_of(swept)


# Processes ----------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path, swept: Path) -> None:
    pools: list[LocalPool] = []
    killed: list[int] = []

    def hire(store: Store, jobs: int | None) -> LocalPool:
        pools.append(LocalPool(store, jobs))
        return pools[-1]

    def kill(status: sweep.Status) -> None:
        workers = [worker._process.pid for worker in pools[0]._workers]
        if workers and status.blocks_done in (1, 3) and not set(workers) & set(killed):
            os.kill(workers[0], signal.SIGKILL)
            killed.append(workers[0])

    summary = sweep.execute(parse(QUICK), tmp_path / "out", jobs=1, callback=kill, hire=hire)
    assert len(killed) >= 2
    assert summary.complete
    assert rows_of(tmp_path / "out") == rows_of(swept)


LONG = """
recipe = "tutorial"
hidden = 2
steps = 4000
seed = "0..239"

[sweep]
exhaustive = 7
lengths = [64]
pairs = 64
block = 8
"""
ENDLESS = LONG.replace("0..239", "0..99_999")  # it cannot be done before we do something


def sweeping(place: Path, *arguments: object) -> AbstractContextManager[subprocess.Popen[str]]:
    """A sweep by the plan in a folder, at work."""
    command = sys.executable, "-m", "carrynet", "sweep", "plan.toml", *arguments
    return started(*command, cwd=place, stdout=-1, stderr=-1)


def children(process: int) -> list[int]:
    threads = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for found in threads for child in found.read_text().split()]


def works(process: int) -> bool:
    """Whether a process is there, and not just waiting for somebody to hear of its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait, for as long as a busy machine may need."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


def parts(folder: Path) -> Sequence[Path]:
    return list((folder / "parts").glob("part-*")) if folder.exists() else []


@needs_proc
def test_a_sweep_that_is_killed_again_and_again_has_every_row_once(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(LONG)
    folder, moments = tmp_path / "out", random.Random(5)
    for turn in range(3):
        with sweeping(tmp_path, "--out", "out", "--jobs", 2) as parent:
            goal = len(parts(folder)) + 1
            until(lambda goal=goal: len(parts(folder)) >= goal)  # type: ignore[misc]
            time.sleep(moments.uniform(0, 0.05))
            workers = children(parent.pid)
            assert workers
            if turn % 2:
                parent.kill()  # the parent alone: its workers must go by themselves
            else:
                os.killpg(parent.pid, signal.SIGKILL)
            parent.wait()
            until(lambda workers=workers: not any(map(works, workers)))  # type: ignore[misc]
    assert len(parts(folder)) < 30
    done = process("sweep", "plan.toml", "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "240 of 240, in 30 of 30 blocks" in done.stdout
    assert not any(file.name.startswith(".") for file in (folder / "parts").iterdir())
    rows = rows_of(folder)
    assert [row["number"] for row in rows] == list(range(240))
    assert run(parse(LONG), tmp_path / "undisturbed").complete
    assert rows == rows_of(tmp_path / "undisturbed")


@needs_proc
def test_an_interrupt_ends_a_sweep_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(ENDLESS)
    options = ("--out", "my out", "--jobs", 2, "--keep", "all", "--ray", "none", "--json")
    with sweeping(tmp_path, *options) as parent:
        until(lambda: parts(tmp_path / "my out"))
        workers = children(parent.pid)
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: the workers hear of it too
        out, errors = parent.communicate(timeout=120)
    assert (parent.returncode, out) == (130, "")
    again = "carrynet sweep plan.toml --out 'my out' --jobs 2 --keep all --ray none --json"
    assert errors == f"interrupted; go on with: {again}\n"
    assert not any(map(works, workers))
    assert not any((tmp_path / "my out" / "failed").iterdir())


def test_pyarrow_that_is_missing_is_one_line(
    tmp_path: Path, swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan.toml").write_text(QUICK)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for command in (("sweep", "plan.toml", "--out", "out"), ("table", swept)):
        done = carrynet(*command, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "pyarrow, which is not installed: pip install pyarrow" in done.stderr
    assert not (tmp_path / "out").exists()


# Tables -------------------------------------------------------------------------------


def test_a_table_counts_what_the_rows_say(tmp_path: Path) -> None:
    text = QUICK.replace("steps = 200", "steps = [200, 9000]").replace("[2, 3]", "[2, 8]")
    run(parse(text), tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    for by in (["hidden", "learn_steps"], ["steps"], ["verdict"], ["seed", "hidden"], []):
        groups = table.summarise(Store(tmp_path / "out"), by)
        names = ["learn_steps" if name == "steps" else name for name in by]
        expected: dict[Any, list[dict[str, Any]]] = {}
        for row in rows:
            expected.setdefault(tuple(row[name] for name in names), []).append(row)
        assert [tuple(group.values.values()) for group in groups] == sorted(expected)
        for group in groups:
            mine = expected[tuple(group.values.values())]
            right = [row for row in mine if row["exhaustive_right"] == row["exhaustive_pairs"]]
            assert group.networks == len(mine)
            assert group.counts["right"] == len(right)
            for verdict in ("proved", "refuted", "undecided"):
                assert group.counts[verdict] == sum(row["verdict"] == verdict for row in mine)
            samples = [
                all(row[f"{kind}_16_right"] == row[f"{kind}_16_pairs"] for kind in evaluation.KINDS)
                for row in mine
            ]
            assert group.counts["sampled"] == sum(samples)
            beyond = sum(row["verdict"] == "refuted" for row in right)
            assert group.counts["refuted_beyond"] == beyond
            rate = group.rate("right")
            assert rate == (len(right) / len(mine), *wilson(len(right), len(mine)))
    assert sum(row["verdict"] == "undecided" for row in rows) > 0
    default = table.summarise(Store(tmp_path / "out"))
    assert [list(group.values) for group in default] == [["hidden", "learn_steps"]] * 4


def test_a_key_that_each_recipe_has_in_a_stage_of_its_own(tmp_path: Path) -> None:
    mine = 'name = "mine"\nhidden = 2\n[[stages]]\nname = "practice"\n'
    (tmp_path / "mine.toml").write_text(mine)
    text = 'recipe = ["tutorial", "mine.toml"]\nhidden = 2\nsteps = [5, 10]\nseed = "0..2"\n'
    plan = Plan.parse(text + "[sweep]\nlengths = []", tmp_path)
    run(plan, tmp_path / "out")
    store = Store(tmp_path / "out")
    groups = table.summarise(store)
    assert groups == table.summarise(store, ["recipe", "steps"])
    values = [tuple(group.values.values()) for group in groups]
    expected = [("mine.toml", None, 5), ("mine.toml", None, 10)]
    assert values == [*expected, ("tutorial", 5, None), ("tutorial", 10, None)]
    assert list(groups[0].values) == ["recipe", "learn_steps", "practice_steps"]
    assert [group.networks for group in groups] == [3] * 4


def test_tables_in_every_format(tmp_path: Path, swept: Path) -> None:
    import csv

    from pyarrow import parquet

    groups = table.summarise(Store(swept), ["hidden"])
    flat = [group.flat() for group in groups]
    shown = carrynet("table", swept, cwd=tmp_path)
    assert shown.returncode == 0
    head, *lines = shown.stdout.splitlines()
    assert head.split()[:2] == ["hidden", "networks"]
    assert [line.split()[:2] for line in lines] == [["2", "16"], ["3", "16"]]
    assert len({len(line) for line in (head, *lines)}) == 1
    printed = carrynet("table", swept, "--by", "hidden", "--format", "csv", cwd=tmp_path)
    read = list(csv.DictReader(printed.stdout.splitlines()))
    assert [{k: float(v) for k, v in row.items()} for row in read] == flat
    document = json.loads(carrynet("table", swept, "--format", "json", cwd=tmp_path).stdout)
    assert document == [json.loads(json.dumps(group.to_json())) for group in groups]
    assert json.loads(carrynet("table", swept, "--json", cwd=tmp_path).stdout) == document
    assert carrynet("table", swept, "--out", "t.parquet", cwd=tmp_path).stdout == ""
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == flat
    carrynet("table", swept, "--out", "t.csv", cwd=tmp_path)
    assert (tmp_path / "t.csv").read_text() == printed.stdout


def test_what_was_not_asked_has_no_rate(tmp_path: Path) -> None:
    text = QUICK.replace("exhaustive = 3", 'exhaustive = "none"\nproof = "none"')
    plan = parse(text.replace("lengths = [16]", "lengths = []"))
    run(plan, tmp_path / "out")
    (group,) = table.summarise(Store(tmp_path / "out"), [])
    assert group.counts["diverged"] == 0
    names = ("right", "sampled", "proved", "refuted_beyond")
    assert {group.counts[name] for name in names} == {None}
    assert table.render([group], "text") == "networks\n      32\n"
    assert ",,," in str(table.render([group], "csv"))


def test_nothing_is_written_over_what_a_sweep_needs(tmp_path: Path, swept: Path) -> None:
    shutil.copytree(swept, tmp_path / "out")
    (tmp_path / "link").symlink_to("out/parts/part-000000.parquet")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for command, out in (
        (("table", "out"), "out/plan.toml"),
        (("table", "out"), "out/parts/part-000000.parquet"),
        (("table", "out"), "out/parts/../weights/more/t.csv"),
        (("table", "out"), "link"),
        (("plot", "out", "--page"), "out/parts"),
        (("export", "--to", "c", "--force"), "out/failed/c.c"),
        (("train",), "out/parts/part-000009.parquet"),
    ):
        done = carrynet(*command, "--out", out, cwd=tmp_path)
        told = f"carrynet: '{out}' is a file of a sweep: choose another --out\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", told)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    # beside a plan that was not begun here, such names are anybody's
    (tmp_path / "plan.toml").write_text(QUICK)
    assert carrynet("table", "out", "--out", "out/t.csv", cwd=tmp_path).returncode == 0
    (tmp_path / "weights").mkdir()
    assert carrynet("table", "out", "--out", "weights/t.csv", cwd=tmp_path).returncode == 0


def test_tables_say_what_is_wrong(tmp_path: Path, swept: Path) -> None:
    for arguments, message in (
        (("table", "nowhere"), "nowhere is not a sweep: it has no plan.toml"),
        (("table", swept, "--by", "hiden"), "did you mean 'hidden'"),
        (("table", swept, "--by", "margin"), "unknown column 'margin'"),
        (("table", swept, "--format", "parquet"), "give --out FILE"),
        (("table", swept, "--json", "--format", "csv"), "--json and the format csv"),
        (("table", swept, "--json", "--out", "t.csv"), "--json and the format csv"),
        (("sweep", "nowhere.toml", "--out", "x"), "cannot read plan nowhere.toml: No such file"),
        (("sweep", ".", "--out", "x"), "cannot read plan .: Is a directory"),
    ):
        done = carrynet(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert message in done.stderr
    for damage in (
        b"",
        b"PAR1 and so on",
        (swept / "parts" / "part-000001.parquet").read_bytes()[:-9],
    ):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(swept, tmp_path / "copy")
        (tmp_path / "copy" / "parts" / "part-000001.parquet").write_bytes(damage)
        done = carrynet("table", "copy", cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "part-000001.parquet is damaged" in done.stderr
    (tmp_path / "copy" / "plan.toml").write_text("format = 'carrynet-sweep'\nversion = 1\n")
    done = carrynet("table", "copy", cwd=tmp_path)
    assert (
        done.stderr
        == "carrynet: copy/plan.toml is damaged or not carrynet's: 'recipes' is missing\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cells = 32", "cells = 33", "it says 33 cells, and has 32"),
        ("blocks = 7", "blocks = 8", "it says 8 blocks, and has 7"),
        ("block = 5", "block = 0", "it says 7 blocks, and has"),
        ("block = 5", "block = 6", "it says 7 blocks, and has 6"),
        ('key = "hidden"', 'key = "hiden"', "unknown key 'hiden': did you mean 'hidden'"),
        ('key = "hidden"', "key = 3", "key 3 is no text"),
        ("    2,\n    3,", '    2,\n    "x",', "trial 16 .*hidden must be a whole number, not 'x'"),
        ("flop = 1e-11", "flop = nan", "flop of a cost must be from 0 to 1e.09, not nan"),
        ("flop = 1e-11", 'flop = "x"', "flop of a cost must be from 0 to 1e.09, not 'x'"),
    ],
)
def test_a_damaged_record_of_a_plan_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    Store(tmp_path / "out").begin(parse(QUICK))
    record = tmp_path / "out" / "plan.toml"
    text = record.read_text()
    assert text.count(old) == 1
    record.write_text(text.replace(old, new))
    (tmp_path / "plan.toml").write_text(QUICK)
    for command in (("table", "out"), ("sweep", "plan.toml", "--out", "out")):
        done = carrynet(*command, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert re.match(f"carrynet: out/plan.toml is damaged or .*{message}", done.stderr)


def test_kept_weights_are_those_of_the_network(tmp_path: Path) -> None:
    plan = parse(QUICK, keep="all")
    run(plan, tmp_path / "out")
    network = block.network(Store(tmp_path / "out"), 20)
    assert (network.hidden, network.dtype.name) == (3, "float32")
    assert isinstance(plan.recipe(20), Recipe)


def test_weights_that_are_not_those_of_the_row_are_refused(tmp_path: Path) -> None:
    text = QUICK.replace("0..15", "0..4")
    run(parse(text, keep="all"), tmp_path / "out")
    run(parse(text.replace("steps = 200", "steps = 201"), keep="all"), tmp_path / "other")
    store, name = Store(tmp_path / "out"), "weights/part-000001.safetensors"
    file = tmp_path / "out" / name
    shutil.copy(tmp_path / "other" / name, file)
    with pytest.raises(RunError, match=f"{name} is damaged.* trial 7 are not those that its row"):
        block.network(store, 7)
    shutil.copy(tmp_path / "out" / "weights" / "part-000000.safetensors", file)
    with pytest.raises(RunError, match=f"{name} is damaged"):
        block.network(store, 7)
    file.unlink()
    with pytest.raises(RunError, match=f"out is damaged: it has no {name}$"):
        block.network(store, 7)
    (tmp_path / "out" / "parts" / "part-000001.parquet").unlink()
    with pytest.raises(RunError, match="trial 7 are not there yet: its block is not done"):
        block.network(store, 7)


def test_a_part_has_the_rows_of_its_block(tmp_path: Path, swept: Path) -> None:
    from pyarrow import parquet

    shutil.copytree(swept, tmp_path / "out")
    first, second = (tmp_path / "out" / "parts" / f"part-00000{n}.parquet" for n in (0, 1))
    rows = parquet.read_table(second)
    for others in (parquet.read_table(first), rows[:4], rows[1:], rows.take([0, 1, 2, 2, 4])):
        parquet.write_table(others, second)
        done = carrynet("table", "out", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "out/parts/part-000001.parquet is damaged" in done.stderr
        assert "its rows are not of trials 5 to 9" in done.stderr


def test_of_other_cells_a_recipe_has_its_own_stages() -> None:
    """Each of them is trained by what `certified` is for it; columns are those of all."""
    text = 'recipe = "certified"\ncell = [{}]\nhidden = 4\nlearn.steps = 20\n'
    both = Plan.parse(text.format('"elman", "gru"'), Path())
    stages = {both.values(c)["cell"]: both.recipe(c).stages[-1].over for c in range(both.trials)}
    assert stages == {"elman": "problems", "gru": "edges"}
    names = {column.name for column in columns(both)}
    assert {"learn_steps", "harden_steps", "close_steps"} <= names
    only = Plan.parse(text.format('"gru", "lstm"') + "close.steps = [30, 40]\n", Path())
    assert [only.recipe(c).stages[-1].steps for c in range(only.trials)] == [30, 40, 30, 40]
    kept = Plan.parse(text.format('"gru"') + "harden.steps = 30\n", Path())
    assert [stage.name for stage in kept.recipe(0).stages] == ["learn", "harden"]
    with pytest.raises(
        InputError, match=r"^key close\.steps is not of all trials: with cell 'elman'"
    ):
        Plan.parse(text.format('"elman", "gru"') + "close.steps = 30\n", Path())


def test_for_other_tasks_a_recipe_has_its_own_stages(tmp_path: Path) -> None:
    """Elman's cell closes where a machine has three states and more, one's own among them."""
    mine = tmp_path / "mine.toml"
    mine.write_text(tables.to_toml(tasks.parse("tomita:5")))
    text = 'recipe = "certified"\ntask = {}\nhidden = 4\nlearn.steps = 20\nclose.steps = [30, 40]\n'
    larger = Plan.parse(text.format('["tomita:4", "mine.toml"]'), tmp_path)
    assert [larger.recipe(c).stages[-1].steps for c in range(larger.trials)] == [30, 40, 30, 40]
    names = {column.name for column in columns(larger)}
    assert "close_steps" in names
    assert not {name for name in names if name.startswith("harden")}
    for tasks_ in ('["tomita:4", "parity"]', '["parity", "tomita:4"]'):
        with pytest.raises(InputError) as refused:
            Plan.parse(text.format(tasks_), tmp_path)
        assert str(refused.value) == (
            "key close.steps is not of all trials: with cell 'elman' and task parity recipe "
            "certified has the stages learn and harden"
        )


def test_settings_of_another_variants_stages_keep_those_stages() -> None:
    """As they do for a single recipe; also where the plan is read again."""
    for task in ('"tomita:6"', '["parity", "tomita:6"]'):
        text = f'recipe = "certified"\ntask = {task}\nhidden = 4\nharden.steps = [30, 40]\n'
        for plan in (first := Plan.parse(text, Path()), Plan.from_toml(first.to_toml())):
            steps = [plan.recipe(c).stages[-1].steps for c in range(plan.trials)]
            assert steps == [30, 40] * (plan.trials // 2)
            assert "harden_steps" in {column.name for column in columns(plan)}


def test_columns_are_those_of_the_trials_where_the_recipe_alone_is_none(tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text("digits = 4\n")
    text = 'recipe = "short.toml"\ntask = "multiply_by:k=100"\ndigits = 16\nsteps = [3, 4]\n'
    plan = Plan.parse(text, tmp_path)
    assert "learn_steps" in {column.name for column in columns(plan)}
    with pytest.raises(InputError, match=r"steps and learn\.steps are one key"):
        Plan.parse(f"{text}learn.steps = 5\n", tmp_path)


def test_of_other_cells_than_elmans_a_trial_costs_more() -> None:
    plan = Plan.parse('recipe = "plain-adam"\ncell = ["elman", "gru"]\n', Path())
    auto, numpy = (replace(plan.settings, engine=engine) for engine in ("auto", "numpy"))
    by_auto, by_numpy = (
        {recipe.cell: plan.cost.seconds(recipe, each) for recipe in map(plan.recipe, (0, 1))}
        for each in (auto, numpy)
    )
    for cell in ("elman", "gru"):
        assert by_auto[cell] < by_numpy[cell]
    assert by_auto["elman"] < by_auto["gru"] < 4 * by_auto["elman"]
