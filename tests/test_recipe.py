"""Recipes: text form, settings, and what is refused."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from carrynet.cli import options
from carrynet.cli.train import recipe_keys
from carrynet.errors import InputError
from carrynet.nets import cells
from carrynet.nets.arrays import ACTIVATIONS
from carrynet.nets.formula import Formula
from carrynet.nets.losses import LOSSES
from carrynet.spec import recipe as recipes, tables, tasks
from carrynet.spec.recipe import RECIPES, Recipe
from carrynet.spec.stage import Stage
from tests.test_cli import carrynet

stages = st.builds(
    Stage,
    name=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
    steps=st.integers(1, 10**9),
    batch=st.integers(1, 100),
    optimiser=st.sampled_from(["sgd", "adam"]),
    step=st.floats(1e-12, 1e6),
    decay=st.floats(0, 1),
    loss=st.sampled_from(["squared", "cross-entropy"]),
)
any_recipe = st.builds(
    Recipe,
    name=st.text(max_size=20).filter(str.isprintable),
    task=st.sampled_from(["add", "add:base=3", "compare", "multiply_by:k=3"]),
    digits=st.integers(3, 64),
    hidden=st.integers(1, 256),
    biases=st.booleans(),
    init_width=st.floats(0, 1e3),
    seed=st.integers(0, 2**63 - 1),
    stages=st.lists(stages, min_size=1, max_size=3, unique_by=lambda s: s.name).map(tuple),
)


@given(any_recipe)
def test_toml_and_back(recipe: Recipe) -> None:
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def test_the_tutorial_is_the_tutorial() -> None:
    assert RECIPES["tutorial"].to_table() == {
        "name": "tutorial",
        "task": "add",
        "digits": 8,
        "examples": 0,
        "hidden": 32,
        "cell": "elman",
        "activation": "sigmoid",
        "readout": "",
        "start": "zero",
        "biases": False,
        "init": "random",
        "init_width": 1.0,
        "init_scaling": "none",
        "seed": 0,
        "dtype": "float32",
        "origin": "",
        "stages": (
            {
                "name": "learn",
                "over": "problems",
                "steps": 20_000,
                "batch": 1,
                "growing": 0.0,
                "words": "usual",
                "lengths": "whole",
                "asked": "every",
                "optimiser": "sgd",
                "step": 0.1,
                "step_end": 1.0,
                "decay": 0.0,
                "loss": "squared",
                "worst": 0.0,
                "bounds": "words",
                "slack": 0.0,
                "ramp_from": 0.0,
                "ramp_to": 0.0,
                "closing": 0.0,
                "forgetting": 0.0,
                "again": 0,
            },
        ),
    }
    assert RECIPES["tutorial"].problems == 20_000


def test_the_worst_case_grows_along_its_ramp() -> None:
    stage = Stage(steps=100, loss="cross-entropy", worst=0.5, slack=1, ramp_from=0.2, ramp_to=0.6)
    assert [stage.ramp_at(i) for i in (0, 20, 40, 60, 99)] == [0, 0, 0.5, 1, 1]
    assert Stage(loss="cross-entropy", worst=0.5).ramp_at(0) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slack": 0.1}, "needs a worst above 0"),
        ({"worst": 0.1}, "needs loss cross-entropy"),
        ({"ramp_from": 0.5}, "must not be larger than ramp_to"),
    ],
)
def test_a_worst_case_that_makes_no_sense(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Stage(**settings)  # type: ignore[arg-type]


def test_a_short_file_is_enough() -> None:
    recipe = Recipe.from_toml('task = "subtract"\n[[stages]]\nstep = 1\n')
    assert recipe == Recipe(task="subtract", stages=(Stage(step=1.0),))
    assert isinstance(recipe.stages[0].step, float)
    assert Recipe.from_toml("") == Recipe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden = 3", "unknown recipe key 'hiden': did you mean 'hidden'"),
        ("[[stages]]\nstepp = 3", "unknown stage key 'stepp': did you mean 'step'"),
        ("hidden = ", "not a recipe in TOML"),
        ("stages = 3", "stages must be tables"),
        ("stages = []", "one or more stages"),
        ("[[stages]]\n[[stages]]", "different names"),
        ('hidden = "3"', "hidden must be a whole number, not '3'"),
        ("hidden = 3.5", "hidden must be a whole number"),
        ("hidden = true", "hidden must be a whole number"),
        ("biases = 1", "biases must be true or false"),
        ("hidden = 0", "hidden must be from 1 to 1,024, not 0"),
        ("hidden = 1025", "not 1025"),
        ("digits = 1", "digits must be at least 2 for task add"),
        ("digits = 5000", "digits must be from 1 to 4,096"),
        ("digits = -8", "not -8"),
        ("seed = -1", "seed must be from 0"),
        ("init_width = nan", "init_width must be a finite number"),
        ('activation = "sigmod"', "unknown activation 'sigmod': did you mean 'sigmoid'"),
        ('dtype = "float16"', "accepted: float32, float64"),
        ('task = "ad"', "did you mean 'add'"),
        ("[[stages]]\nstep = 0", "step must be from 1e-12 to 1e\\+06, not 0.0"),
        ("[[stages]]\nstep = inf", "finite"),
        ("[[stages]]\nstep = -0.1", "not -0.1"),
        ("[[stages]]\nsteps = 0", "steps must be from 1"),
        ('[[stages]]\noptimiser = "adm"', "did you mean 'adam'"),
        ('[[stages]]\nloss = "square"', "did you mean 'squared'"),
        ('[[stages]]\nname = "a b"', "plain word"),
        ("examples = 70000", "examples must be from 0 to 65,536"),
        ("examples = 9\n[[stages]]\ngrowing = 0.5", "stage learn is growing"),
        (
            'examples = 9\n[[stages]]\nover = "edges"\nloss = "cross-entropy"',
            "this recipe shows none",
        ),
        ("digits = 4096\nexamples = 65536", "65,536 examples .* does not fit"),
        ("digits = 4096\nhidden = 1024\n[[stages]]\nbatch = 65536", "does not fit in memory"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.from_toml(text)


def test_settings_of_the_recipe_and_of_its_stages() -> None:
    one = RECIPES["tutorial"].with_settings({"hidden": 16, "step": 0.5, "learn.steps": 7})
    assert one == replace(RECIPES["tutorial"], hidden=16, stages=(Stage(step=0.5, steps=7),))
    assert RECIPES["tutorial"].hidden == 32

    with pytest.raises(InputError, match=r"^step and learn\.step are one key: give it once$"):
        RECIPES["tutorial"].with_settings({"step": 0.5, "hidden": 16, "learn.step": 0.25})

    two = Recipe(stages=(Stage(), Stage(name="polish")))
    assert two.with_settings({"polish.step": 0.01}).stages == (Stage(), Stage("polish", step=0.01))
    with pytest.raises(InputError, match=r"did you mean '(learn|polish)\.step'"):
        two.with_settings({"step": 0.01})


@pytest.mark.parametrize("key", ["stp", "lern.step", "learn.stp", "stages", ""])
def test_unknown_settings_are_refused(key: str) -> None:
    with pytest.raises(InputError, match=f"unknown key '{key}'"):
        RECIPES["tutorial"].with_settings({key: 1})


def test_settings_as_text() -> None:
    texts = ("hidden=16", "step = 0.5", "task=add:base=3", "biases=true", 'name="x"')
    expected: dict[str, Any] = {
        "hidden": 16,
        "step": 0.5,
        "task": "add:base=3",
        "biases": True,
        "name": "x",
    }
    assert options.parse_settings(texts) == expected
    with pytest.raises(InputError, match="key=value"):
        options.parse_settings(("hidden",))
    with pytest.raises(InputError, match="--set hidden is there twice: give it once"):
        options.parse_settings(("hidden=4", " hidden = 5"))
    lines = options.parse_settings(("hidden=4\nseed=3",))  # none of which is left out
    with pytest.raises(InputError, match=r"hidden must be a whole number, not '4\\nseed=3'"):
        RECIPES["tutorial"].with_settings(lines)


def test_numbers_of_numpy_are_numbers() -> None:
    assert Recipe(hidden=np.int64(4), init_width=np.float64(0.5)) == Recipe(  # type: ignore[arg-type]
        hidden=4, init_width=0.5
    )
    assert type(Recipe(hidden=np.int32(4)).hidden) is int  # type: ignore[arg-type]
    assert Stage(step=np.float32(0.5)) == Stage(step=0.5)  # type: ignore[arg-type]


def test_stages_may_be_a_list() -> None:
    recipe = Recipe(stages=[Stage()])  # type: ignore[arg-type]
    assert recipe == Recipe()
    assert hash(recipe) == hash(Recipe())
    for wrong in (Stage(), [1], None):
        with pytest.raises(InputError, match="tuple of Stage"):
            Recipe(stages=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a name, a file or a Recipe"):
        recipes.get(None)  # type: ignore[arg-type]


def test_one_task_has_one_spelling() -> None:
    assert Recipe(task="add:operands=3,base=2") == Recipe(task="add:operands=3")


def test_the_step_is_level_and_then_falls() -> None:
    stage = Stage(steps=100, step=2.0, decay=0.2, step_end=0.5)
    assert [stage.step_at(i) for i in (0, 50, 80)] == [2, 2, 2]
    assert stage.step_at(90) == pytest.approx(1.5)
    assert stage.step_at(99) == pytest.approx(1.05)
    assert Stage().step_at(19_999) == 0.1


def test_recipes_by_name_file_or_value(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("hidden = 5\n")
    assert recipes.get("tutorial") is RECIPES["tutorial"]
    assert recipes.get(str(file)) == recipes.get(file) == Recipe(hidden=5)
    assert recipes.get(Recipe(hidden=6)) == Recipe(hidden=6)
    with pytest.raises(InputError, match="did you mean 'tutorial'"):
        recipes.get("tutorail")
    # what a file names stands beside it
    (tmp_path / "odd.toml").write_text(tables.to_toml(tasks.parse("parity")))
    (tmp_path / "mine.cell").write_text("# of my own\nh = tanh(x @ A + h @ B)\n")
    file.write_text('task = "odd.toml"\ncell = "mine.cell"\n')
    found = cells.recipe(file)
    assert found.specification.machine == tasks.parse("parity").machine
    assert found.cell == "h = tanh(x @ A + h @ B)"
    assert cells.recipe("tutorial", {"cell": tmp_path / "mine.cell"}).cell == found.cell
    assert cells.recipe("tutorial", {"cell": Formula.parse(found.cell)}).cell == found.cell
    assert cells.recipe("tutorial", {"cell": str(tmp_path / "mine.cell")}).cell == found.cell
    with pytest.raises(InputError, match=r"cannot read cell none\.cell"):
        cells.recipe("tutorial", {"cell": "none.cell"})
    with pytest.raises(InputError, match="cannot read recipe"):
        recipes.get(str(tmp_path / "none.toml"))


def test_choices_are_what_there_is() -> None:
    def choices(kind: type, name: str) -> set[str]:
        return set(kind.__dataclass_fields__[name].metadata["choices"])  # type: ignore[attr-defined]

    assert choices(Recipe, "activation") == set(ACTIVATIONS)
    assert choices(Stage, "loss") == {loss for loss, _ in LOSSES}


def test_the_help_names_every_key() -> None:
    told = {title: dict(rows) for title, rows in recipe_keys().items()}
    assert [*told["Keys of a recipe"]] == [
        key for key in Recipe.__dataclass_fields__ if key not in ("stages", "machine")
    ]
    assert [*told["Keys of a stage"]] == [*Stage.__dataclass_fields__]
    assert "(default 32; from 1 to 1,024)" in told["Keys of a recipe"]["hidden"]


def test_files_that_are_no_recipes_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "long.toml").write_text(f"seed = {'9' * 500_000}\n")
    (tmp_path / "large.toml").write_text("#" * 2**21)
    (tmp_path / "key.toml").write_text("hiden = 3\n")
    reasons = {
        "folder": "Is a directory",
        "pipe": "not a regular file",
        "zero": "not a regular file",
        "binary": "can't decode",
        "long": "a number of more than 10,000 digits",
        "large": "larger than 1 MB",
        "key": "did you mean 'hidden'",
    }
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=rf"{name}\.toml: .*{reason}") as error:
            recipes.get(tmp_path / f"{name}.toml")
        assert "\n" not in str(error.value)
        done = carrynet("train", "--recipe", f"{name}.toml", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert f"{name}.toml" in done.stderr
    assert options.parse_settings((f"seed={'9' * 20_000}",)) == {"seed": "9" * 20_000}


@pytest.mark.parametrize("name", ["folder", "pipe", "zero", "none", "text"])
def test_origins_that_are_no_networks_are_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "text").write_text("no tensors")
    done = carrynet("train", "--origin", name, "--out", "run", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert name in done.stderr
    assert not (tmp_path / "run").exists()


def test_gates_learn_larger_machines_by_more_updates() -> None:
    base = RECIPES["certified"].with_settings({"cell": "gru"})
    assert len(base.with_settings({"task": "tomita:4"}).specification.machine.states) == 4
    for task, steps in (("tomita:4", 1_200), ("divide_by:k=5", 3_000), ("add_mod:k=8", 12_000)):
        learn, close = base.with_settings({"task": task}).stages
        assert (learn.steps, close.name) == (steps, "close")
    changed = base.with_settings({"task": "add_mod:k=8", "learn.steps": 7})
    assert changed.stages[0].steps == 7
    assert changed.with_settings({"hidden": 3}).stages == changed.stages


def test_cells_of_ones_own_without_gates_are_trained_as_elmans() -> None:
    base = RECIPES["certified"]
    plain, gate = "h = tanh(x @ A + h @ B + b)", "h = tanh(x @ A + sigmoid(x @ G) * (h @ B) + b)"
    for task in ("add", "tomita:5", "cycle:5", "add_mod:k=7", "add:base=10"):
        elman = base.with_settings({"task": task})
        own = base.with_settings({"task": task, "cell": plain})
        assert (own.stages, own.digits, own.init_scaling) == (
            *(elman.stages, elman.digits, elman.init_scaling),
        )
        assert own.activation == "sigmoid"  # which is left to the equations
        assert own.with_settings({"cell": "elman"}) == elman
        gru = base.with_settings({"task": task, "cell": "gru"})
        relu = "a = relu(x @ A + h @ B + b); h = tanh(a @ D + d)"
        for other in (gate, relu, "h = mix (sigmoid(x @ Z + z), tanh(x @ A), h)"):
            assert base.with_settings({"task": task, "cell": other}).stages == gru.stages
        named = base.with_settings({"task": task, "cell": "h = tanh(x @ Wmix + h @ B + b)"})
        assert named.stages == own.stages


def test_what_somebody_has_set_is_kept_when_another_key_is_set() -> None:
    """Also where it makes a recipe of another machine's stages."""
    certified = RECIPES["certified"]
    for settings in (
        {"task": "cycle:5", "close.slack": 0.02},
        {"task": "add_mod:k=7", "close.steps": 5_000, "close.step": 0.01},
        {"task": "tomita:6", "learn.steps": 24_000, "close.steps": 5_000},
    ):
        changed = certified.with_settings(settings)
        again = changed.with_settings({"seed": 1}).with_settings({"hidden": 9})
        assert (again.stages, again.digits) == (changed.stages, changed.digits)
        saved = Recipe.from_toml(changed.to_toml())
        assert saved.with_settings({"seed": 1}).stages == changed.stages
