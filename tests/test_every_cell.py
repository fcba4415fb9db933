"""Every cell, from the command line: whatever can be trained can be asked, judged and drawn."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

import carrynet as cn
from carrynet.judge.work import work
from carrynet.nets import cells
from carrynet.nets.weights import initialise
from carrynet.report import plots
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage
from tests.test_cli import carrynet

pytestmark = pytest.mark.usefixtures("short_words")

OWN = """\
w = sigmoid(x @ Wxw + bw + h @ Whw)  # a gate
u = tanh(x @ Wxu + bu)
v = relu(h @ Whv - 0.5 * u)
h = mix(w, h, tanh(v + u))
"""
CELLS = [*cells.CELLS, "gru,elman", "mine.cell"]
SHORT = ("--recipe", "plain-adam", "--set", "steps=30", "--hidden", 4, "--digits", 6)
FIGURES = ("error_maps", "hidden_space", "weights")
"""What is drawn of a network; the others are of a training and an evaluation, of whatever cell."""


def ask(*arguments: object, cwd: Path, codes: tuple[int, ...] = (0, 1)) -> str:
    """What a command prints; that it ends in one of some exit codes, and not in an error."""
    done = carrynet(*arguments, cwd=cwd)
    assert done.returncode in codes, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def refused(*arguments: object, cwd: Path) -> str:
    """The one line by which a command refuses what it was given, having written nothing."""
    before = sorted(cwd.iterdir())
    done = carrynet(*arguments, cwd=cwd)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert sorted(cwd.iterdir()) == before
    return done.stderr


@pytest.fixture(scope="module", params=CELLS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of some cell, by the name `run`."""
    cwd = tmp_path_factory.mktemp("cell")
    (cwd / "mine.cell").write_text(OWN)
    said = ask("train", "--cell", request.param, *SHORT, "--out", "run", cwd=cwd)
    kind = {"mine.cell": "units of a cell of one's own"}.get(
        request.param, f"{request.param} units"
    )
    assert f"4 {kind}, seed 0, native engine" in said
    card = (cwd / "run" / "README.md").read_text()
    assert f"4 hidden {kind}" in card.replace(
        f"4 {request.param} hidden", f"4 hidden {request.param}"
    )
    return cwd


def test_it_works_problems(trained: Path) -> None:
    network = cn.load(trained / "run").network
    for numbers in ((1, 2), (118, 45), (2**70, 2**70 - 1)):
        worked = work(network, numbers)
        said = ask("add", *numbers, "--run", "run", "--json", cwd=trained)
        assert json.loads(said)["predicted"] == worked.answer


def test_it_is_explained(trained: Path) -> None:
    network = cn.load(trained / "run").network
    lines = ask("explain", "run", 7, 9, cwd=trained).splitlines()
    width = sum(network.widths) + len(" | ") * (len(network.widths) - 1)
    assert [len(line.split("  ")[-1]) for line in lines[3:8]] == [width] * 5
    digits = json.loads(ask("explain", "run", 7, 9, "--json", cwd=trained))["digits"]
    assert {len(digit["hidden"]) for digit in digits} == {len(network.start)}


def test_it_is_judged(trained: Path) -> None:
    assert "all 64 pairs" in ask("evaluate", "run", "--digits", 3, cwd=trained)
    said = ask("prove", "run", "--budget", 0, cwd=trained, codes=(0, 1, 3))
    verdict = cn.load(trained / "run").proof.verdict
    assert said.lower().startswith(verdict)
    machine = json.loads(ask("automaton", "run", "--json", cwd=trained))
    assert machine


def test_it_is_drawn(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "FIGURES", {name: plots.FIGURES[name] for name in FIGURES})
    ask("report", "run", "--plots", cwd=trained)
    for name in FIGURES:
        assert (trained / "run" / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    svg = (trained / "run" / "plots" / "weights.svg").read_text()
    network = cn.load(trained / "run").network
    assert all(f">{name}<" in svg for name in network.weights)
    assert (
        f'"text":{json.dumps(network.cell.text)}' in (trained / "run" / "report.html").read_text()
    )


def test_it_is_read_again(trained: Path) -> None:
    """As a run, and as nothing but its file of weights, which says what they are of."""
    run = cn.load(trained / "run")
    said = ask(
        *("import", "run/model.safetensors", "--out", "imported", "--digits", 3, "--force"),
        cwd=trained,
    )
    assert "elsewhere: model.safetensors" in said
    again = cn.load(trained / "imported")
    assert again.network.digest() == run.network.digest()
    assert again.network.cell == run.network.cell
    assert again.source is not None
    assert again.source.assumed == ()
    ask("harden", "run", "--set", "steps=2", "--engine", "numpy", cwd=trained)  # compiles nothing
    assert "leave out --coding" in refused(
        "import", "run/model.safetensors", "--coding", "0/1", cwd=trained
    )


def test_it_is_resumed(trained: Path) -> None:
    """An unfinished run ends in the weights that it would have ended in."""
    from tests.folders import create

    run = cn.load(trained / "run")
    create(trained / "begun", run.recipe)
    ask("train", "--resume", "begun", cwd=trained)
    assert cn.load(trained / "begun").network.digest() == run.network.digest()


# What is said of a cell ----------------------------------------------------------------


def test_help_lists_the_cells() -> None:
    done = carrynet("train", "--help", cwd=Path.cwd())
    for name in ("elman", *cells.CELLS):
        assert name in done.stdout.split("Cells:")[1].split("Keys of a recipe:")[0]


def test_help_lists_every_setting_of_a_recipe_and_its_stages() -> None:
    done = carrynet("train", "--help", cwd=Path.cwd())
    keys = [each.name for kind in (Recipe, Stage) for each in fields(kind) if each.metadata]
    listed = "(?ms)" + ".*".join(rf"^  {key}  " for key in keys)
    assert re.search(listed, done.stdout)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cell", "gruu"), ("unknown cell 'gruu'", "did you mean 'gru'?", "lstm")),
        (("--cell", "gru,lstn"), ("unknown cell 'lstn'", "did you mean 'lstm'?")),
        (("--cell", "no.cell"), ("cannot read cell no.cell",)),
        (("--cell", "folder.cell"), ("cannot read cell folder.cell",)),
        (("--cell", "big.cell"), ("cannot read cell big.cell", "larger than")),
        (("--cell", "bytes.cell"), ("cannot read cell bytes.cell",)),
        (("--cell", "wrong.cell"), ("wrong.cell", "line 2", "h = tanh(x @ Wxh + u)", "reads u")),
        (("--cell", "wrong"), ("cell wrong", "line 2")),
        (("--cell", "empty.cell"), ("cell empty.cell", "no line sets")),
        (("--cell", "h = tanh(x @ Wxh"), ("formula, line 1",)),
        (("--cell", "x" * 5000), ("unknown cell",)),
        (("--set", "cell=none.cell"), ("cannot read cell none.cell",)),
        (("--set", "cell=wrong.cell"), ("cell wrong.cell", "line 2", "reads u")),
        (("--cell", "gru", "--set", "activation=tanh"), ("activation tanh", "elman", "'gru'")),
        (("--cell", "mine.cell", "--set", "activation=relu"), ("activation relu", "elman")),
        (
            ("--cell", "gru", "--set", "dtype=float64", "--engine", "native"),
            ("native engine computes in float32",),
        ),
    ],
)
def test_what_is_no_cell_is_refused_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    (tmp_path / "mine.cell").write_text(OWN)
    (tmp_path / "folder.cell").mkdir()
    (tmp_path / "big.cell").write_bytes(b"#" * 2**20)
    (tmp_path / "bytes.cell").write_bytes(b"h = \xff")
    (tmp_path / "empty.cell").write_text("# nothing\n")
    for name in ("wrong.cell", "wrong"):
        (tmp_path / name).write_text("# mine\nh = tanh(x @ Wxh + u)\n")
    said = refused("train", *arguments, cwd=tmp_path)
    for word in words:
        assert word in said


def test_an_activation_is_that_of_the_elman_layers_of_a_stack(tmp_path: Path) -> None:
    settings = ("--cell", "gru,elman", "--set", "activation=tanh", *SHORT)
    ask("train", *settings, "--out", "run", cwd=tmp_path)
    assert cn.load(tmp_path / "run").network.cell == cells.cell("gru,elman", "tanh")


def test_a_cell_file_needs_no_ending_and_no_comments(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(OWN)
    ask("train", "--cell", "mine", *SHORT, "--out", "run", cwd=tmp_path)
    run = cn.load(tmp_path / "run")
    assert "#" not in run.recipe.cell
    again = cn.train(run.recipe, progress=False)
    assert again.network.digest() == run.network.digest()


def test_weights_under_other_equations_are_refused(tmp_path: Path) -> None:
    """A file of weights whose equations were changed is not the network that it says."""
    from carrynet import files
    from carrynet.runs.format import facts

    task = cn.tasks.add()
    network = cn.Network(task, "mgu", initialise(task, 4, "mgu"))
    said = facts(network)
    said["cell"] = said["cell"].replace("mix(f, h, n)", "mix(f, n, h)")
    (tmp_path / "m.safetensors").write_bytes(files.tensor_bytes(network.weights, said))
    said_no = refused("import", "m.safetensors", cwd=tmp_path)
    assert "its 'weights_sha256' is not that of its network" in said_no


# Sweeps --------------------------------------------------------------------------------

PLAN = """
recipe = "plain-adam"
cell = ["elman", "gru", "gru,elman", "mine.cell"]
readout = ["", "u = tanh(h @ Whu + bu_); logits = u @ Why + by"]
start = ["zero", "learned"]
hidden = 3
steps = 5
seed = "0..1"

[sweep]
engine = "numpy"  # which compiles nothing
exhaustive = 2
lengths = [8]
pairs = 16
"""


def test_cells_readouts_and_starts_are_axes_of_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "mine.cell").write_text(OWN)
    (tmp_path / "plan.toml").write_text(PLAN)
    ask("sweep", "plan.toml", "--out", "swept", "--jobs", 2, cwd=tmp_path)
    said = ask("table", "swept", "--by", "cell,start", "--format", "json", cwd=tmp_path)
    groups = json.loads(said)
    assert len(groups) == 8
    assert {group["networks"] for group in groups} == {4}
    own = cells.given("mine.cell", tmp_path)
    assert {group["cell"] for group in groups} == {"elman", "gru", "gru,elman", own}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('cell = ["gru", "lstn"]', "unknown cell 'lstn'"),
        ('cell = ["gru", "no.cell"]', "cannot read cell no.cell"),
        ('cell = "gru"\nactivation = "tanh"', "activation tanh"),
        ('readout = "logits = relu(h @ Why + by)"', "linear layer"),
    ],
)
def test_a_plan_with_what_is_no_cell_is_refused(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "plan.toml").write_text(f"{line}\nhidden = 3\n")
    assert words in refused("sweep", "plan.toml", "--out", "swept", cwd=tmp_path)
