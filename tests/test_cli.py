"""The command line: output, exit codes, and one line for bad input."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import termios
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import click
import pytest

import carrynet as cn
from carrynet import cli, tasks
from carrynet.bench import COMPARISONS
from carrynet.cli import output
from carrynet.engines import ENGINES
from carrynet.judge import evaluation as evaluations, extraction as extract
from carrynet.nets.arrays import ACTIVATIONS
from carrynet.nets.network import Network
from carrynet.report import plots, text
from carrynet.spec import automata
from carrynet.spec.machine import shortest_difference
from carrynet.spec.recipe import RECIPES, Recipe
from carrynet.sweep.settings import KEEP
from carrynet.sweep.table import FORMATS
from tests.conftest import started, words_up_to
from tests.folders import create

pytestmark = pytest.mark.usefixtures("short_words")


def process(*arguments: object, cwd: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """The command line as users start it, with what is piped into it."""
    return subprocess.run(
        [sys.executable, "-m", "carrynet", *map(str, arguments)],
        cwd=cwd,
        input=given,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )


def carrynet(*arguments: object, cwd: Path, columns: int = 100) -> subprocess.CompletedProcess[str]:
    """The same in this process, which is faster."""
    command = ["carrynet", *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch, chdir(cwd):
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(sys, "argv", command)
        patch.setattr("webbrowser.open", lambda address: address.startswith("file:///"))
        out, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors), pytest.raises(SystemExit) as done:
            cli.main()
    code = done.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(command, code, out.getvalue(), errors.getvalue())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, trained: cn.Run, forgetful: Network) -> Path:
    """A working directory with two runs; the newer is wrong."""
    cwd = tmp_path_factory.mktemp("cwd")
    trained.save(cwd / "runs" / "right")
    wrong = Recipe(name="wrong", hidden=3, dtype="float64")
    evaluation = cn.evaluate(forgetful, 8), cn.by_length(forgetful, (16,))
    unknown = cn.Undecided(("nobody asked",), 0.0)
    run = cn.Run(wrong, "numpy", forgetful, 0.0, type(trained.evaluation)(*evaluation), unknown, ())
    run.save(cwd / "runs" / "wrong")
    os.utime(cwd / "runs" / "right" / "recipe.toml", (1, 1))
    return cwd


def test_train_and_add(tmp_path: Path) -> None:
    done = process("train", "--hidden", 16, "--seed", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "recipe      certified: add, 16 sigmoid units, seed 1, native engine"
    length = "8 digits (operands of up to 7, answers of up to 8)"
    assert lines[1].startswith(f"trained     45,600 problems of {length}, in ")
    assert lines[3].startswith("error       0.")
    predicted, true = lines[4].split()[1:], lines[5].split()[1:]
    assert len(true) == 8
    assert predicted == true
    a, plus, b, equals, c = lines[6].split()
    assert (plus, equals, int(a) + int(b)) == ("+", "=", int(c))
    assert int("".join(true), 2) == int(c)
    assert "exhaustive  right on all 65,536 pairs of numbers with up to 8 digits" in done.stdout
    assert "proved      right for numbers of any length" in done.stdout
    assert "run         runs/0001-certified-add-h16-s1" in done.stdout
    checked = carrynet("check", cwd=tmp_path)
    assert checked.returncode == 0
    assert checked.stdout.startswith("valid       For the task add, of the machine ")

    added = carrynet("add", 118, 8, cwd=tmp_path)
    first, named = (carrynet("add", *how, 118, 8, cwd=tmp_path).stdout for how in (
        ("runs/0001-certified-add-h16-s1",), ("--run", "runs/0001-certified-add-h16-s1")
    ))  # fmt: skip
    assert first == named == added.stdout
    assert added.returncode == 0
    assert added.stdout.splitlines()[:5] == [
        "  carry  0 0 0 0 0 0 0 0",
        "    118  0 1 1 1 0 1 1 0",
        "+     8  0 0 0 0 1 0 0 0",
        "  ----------------------",
        "    126  0 1 1 1 1 1 1 0",
    ]
    assert "118 + 8 = 126" in added.stdout


def test_train_prints_one_document(tmp_path: Path) -> None:
    settings = ("--recipe", "tutorial", "--set", "steps=300", "--set", "init_width=0.5")
    done = carrynet("train", "--hidden", 4, *settings, "--json", "--out", "x/y", cwd=tmp_path)
    assert done.returncode == 1  # 300 problems are not enough
    document = json.loads(done.stdout)
    assert document["run"] == "x/y"
    assert document["recipe"]["stages"][0]["steps"] == 300
    assert document["recipe"]["init_width"] == 0.5
    expected = cn.load(tmp_path / "x" / "y").to_json() | {"run": "x/y"}
    assert document == json.loads(json.dumps(expected))


def test_a_recipe_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nhidden = 3\n[[stages]]\nsteps = 50\n')
    done = carrynet("train", "--recipe", "mine.toml", "--seed", 4, cwd=tmp_path)
    assert done.returncode == 1
    assert "WRONG on" in done.stdout
    assert "carrynet harden runs/0001-mine-add-h3-s4" in done.stdout
    run = cn.load(tmp_path / "runs" / "0001-mine-add-h3-s4")
    assert (run.recipe.hidden, run.recipe.seed, run.recipe.problems) == (3, 4, 50)


def test_thousand_digit_operands(place: Path) -> None:
    a, b = 10**999 + 7, 9 * 10**998 + 5
    done = carrynet("add", a, b, "--run", "runs/right", cwd=place)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"{a} + {b} = {a + b}"
    done = carrynet("add", a, b, "--run", "runs/right", "--json", cwd=place)
    assert json.loads(done.stdout)["predicted"] == a + b


def test_more_digits_than_python_converts_by_default(place: Path) -> None:
    done = process("add", "9" * 5000, 1, "--run", "runs/right", cwd=place)
    assert done.returncode == 0
    assert f" = 1{'0' * 5000}" in done.stdout


def test_a_wrong_answer_is_shown_and_exits_with_1(place: Path) -> None:
    done = carrynet("add", 3, 1, cwd=place)  # by the newest run, which never carries
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "  carry  1 1 0",
        "      3  0 1 1",
        "+     1  0 0 1",
        "  ------------",
        "      2  0 1 0",
        "  wrong  ^ ^",
        "",
        "3 + 1 = 2   WRONG, right is 3 + 1 = 4",
        "(2 of 3 digits in base 2 WRONG; smallest margin -20.00)",
    ]
    document = json.loads(carrynet("add", 3, 1, "--json", cwd=place).stdout)
    assert document == {
        "run": "runs/wrong",
        "task": "add",
        "operands": [3, 1],
        "predicted": 2,
        "expected": 4,
        "right": False,
    }


def test_operands_can_have_leading_zeros(place: Path) -> None:
    done = carrynet("add", 3, 1, "--digits", 8, "--run", "runs/right", cwd=place)
    assert done.stdout.splitlines()[1] == "      3  0 0 0 0 0 0 0 1 1"
    document = json.loads(carrynet("explain", 3, 1, "--digits", 8, "--json", cwd=place).stdout)
    assert len(document["digits"]) == 9


@words_up_to(evaluations.LENGTHS[-1])
def test_evaluate(place: Path) -> None:
    done = carrynet("evaluate", "runs/right", cwd=place)
    assert done.returncode == 0
    assert "right on all 65,536 pairs" in done.stdout
    assert done.stdout.count("256 of 256    256 of 256") == 5
    assert "not a proof" in done.stdout
    document = json.loads(carrynet("evaluate", "--digits", 3, "--json", cwd=place).stdout)
    assert document["evaluation"]["exhaustive"]["pairs"] == 64
    assert document["evaluation"]["exhaustive"]["right"] == 27
    assert carrynet("evaluate", cwd=place).returncode == 1


def test_explain(place: Path) -> None:
    done = carrynet("explain", 3, 1, cwd=place)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "3 + 1 = 2   WRONG, right is 3 + 1 = 4"
    assert lines[2] == "  digit  reads   carry   answers     margin  hidden units"
    assert lines[3:6] == [
        "      0  1,1     0       0            20.00  ██▁",
        "      1  1,0     1       1 not 0     -20.00  █▁▁",
        "      2  0,0     1       0 not 1     -20.00  ▁▁▁",
    ]
    done = carrynet("explain", "runs/right", 3, 1, "--json", cwd=place)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["run"] == "runs/right"
    assert [digit["state"] for digit in document["digits"]] == ["0", "1", "1"]
    assert {len(digit["hidden"]) for digit in document["digits"]} == {16}


@pytest.mark.parametrize(
    ("task", "command", "operands", "shown"),
    [
        ("subtract", "subtract", (5, 9), "5 - 9 = -4"),
        ("compare", "compare", (5, 9), "5 < 9"),
        ("multiply_by:k=3", "multiply", (14,), "3 × 14 = 42"),
        ("add:operands=3", "add", (1, 2, 3), "1 + 2 + 3 = 6"),
        ("add:base=3", "add", (14, 9), "14 + 9 = 23"),
    ],
)
def test_every_task_has_its_command(
    tmp_path: Path, task: str, command: str, operands: tuple[int, ...], shown: str
) -> None:
    settings = ("--recipe", "plain-adam", "--task", task, "--hidden", 16)
    done = carrynet("train", *settings, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    answered = carrynet(command, *operands, cwd=tmp_path)
    assert answered.returncode == 0, answered.stdout
    assert shown in answered.stdout
    assert carrynet("explain", *operands, cwd=tmp_path).returncode == 0
    missing = carrynet("add" if command != "add" else "subtract", 1, 2, cwd=tmp_path)
    assert missing.returncode == 2
    assert "with 2 operands under runs" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--recipe", "tutorail"), "did you mean 'tutorial'"),
        (("train", "--task", "ad"), "did you mean 'add'"),
        (("train", "--set", "hiden=3"), "did you mean 'hidden'"),
        (("train", "--set", "hidden"), "key=value"),
        (("train", "--engine", "nunpy"), "did you mean 'numpy'"),
        (("train", "--length", "1"), "digits must be at least 2"),
        (("train", "--digits", "1"), "digits must be at least 2"),
        (("train", "--digits", "9999"), "from 1 to 4,096"),
        (("train", "--digits", "x"), "not a valid integer"),
        (("train", "--hidden", "0"), "from 1 to 1,024"),
        (("train", "--seed", "-1"), "seed must be from 0"),
        (("train", "--set", "learn.step=-1"), "step must be from"),
        (("train", "--out", "runs/right"), "exists"),
        (("train", "--out", ".", "--force"), "not a run"),
        (("train", "--resume", "none"), "no such folder"),
        (("train", "--resume", "runs/right", "--seed", "3"), "give it alone"),
        (("add", "-5", "3"), "'-5' is negative"),
        (("add", "5.0", "3"), "'5.0' is not a whole number"),
        (("add", "ff", "3"), "'ff' is not a whole number"),
        (("add", "0b11", "3"), "'0b11' is not a whole number"),
        (("add", "٣", "3"), "is not a whole number"),
        (("add", "x" * 5000, "3"), "x... is not"),
        (("add", "1"), "add takes two to four numbers, not 1$"),
        (("add", "1", "2", "3", "4", "5"), "add takes two to four numbers, not 5$"),
        (("add", "1", "--run", "runs/right"), "add takes two to four numbers, not 1$"),
        (
            ("train", "--task", "weighted"),
            "unknown task 'weighted': accepted: .*, FILE.dot, FILE.fst$",
        ),
        (("add", "1", "2", "3", "--run", "runs/right"), "takes 2 operands, not 3"),
        (("add", "1", "2", "--run", "nowhere"), "nowhere is not a run: there is no such folder"),
        (("add", "1", "2", "--run", "."), "not a run: it has no config.json"),
        (("subtract", "2", "1", "--run", "runs/right"), "has learned add, not subtract"),
        (
            ("add", "9", "1", "--digits", "3", "--run", "runs/right"),
            "has 4 digits in base 2, not 3",
        ),
        (("subtract", "2"), "subtract takes 2 numbers, not 1"),
        (("subtract", "nowhere", "2", "1"), "nowhere is not a run: there is no such folder"),
        (("add",), "Missing argument"),
        (("add", "runs/right"), "add takes two to four numbers, not 0"),
        (("evaluate", "nowhere"), "no such folder"),
        (("evaluate", "--digits", "17"), "at most 16 digits"),
        (("evaluate", "--digits", "0"), "at least 1"),
        (("explain", "1"), "takes 2 operands, not 1"),
        (("explain", "nowhere", "1", "2"), "no such folder"),
        (("explain", "runs/right", "1", "x"), "'x' is not a whole number"),
        (("explain", "--run", "nowhere", "1", "2"), "no such folder"),
        (("add", "1\n2", "3"), "n2' is not a whole number"),
        (("train", "--recipe", "a\nb"), "unknown recipe"),
        (("train", "--set", "a\nb=1"), "unknown key"),
        (("train", "--set", "learn.step=1" + "0" * 400), "step must be a finite number"),
        (("train", "--set", "hidden=" + "[" * 5000), "hidden must be a whole number"),
        (("train", "--set", "name=a\tb"), "name must be printable"),
        (("train", "--digits", "4096", "--set", "learn.batch=65536"), "does not fit in memory"),
        (("evaluate", "n" * 300), "cannot read"),
        (("train", "--out", "n" * 300), "n: File name too long|cannot write"),
        (("ad", "1", "2"), "No such command"),
        (("train", "--sed", "1"), "No such option"),
        (("train", "--hidden", "3", "--set", "hidden=4"), "--hidden 3 and --set hidden=4"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    place: Path, arguments: tuple[str, ...], message: str
) -> None:
    before = sorted(path.as_posix() for path in place.rglob("*"))
    done = carrynet(*arguments, cwd=place)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("carrynet: ")
    assert done.stderr.count("\n") == 1
    assert re.search(message, done.stderr)
    assert sorted(path.as_posix() for path in place.rglob("*")) == before


@pytest.mark.parametrize(
    ("command", "operands", "task"),
    [
        ("add", (1, 2), "add"),
        ("add", (1, 2, 3), "add:operands=3"),
        ("subtract", (5, 9), "subtract"),
        ("compare", (3, 4), "compare"),
        ("multiply", (14,), "multiply_by:k=3"),
    ],
)
def test_hints_are_commands_that_work(
    tmp_path: Path, command: str, operands: tuple[int, ...], task: str
) -> None:
    missing = carrynet(command, *operands, cwd=tmp_path)
    hint = re.search(r"make one with 'carrynet (.*)'", missing.stderr)
    assert hint
    assert hint[1] == f"train --task {task}"
    few = ("--set", "learn.steps=300", "--set", "harden.steps=1", "--hidden", 2)
    assert carrynet(*shlex.split(hint[1]), *few, cwd=tmp_path).returncode in (0, 1)
    # this run fits: it answers, rightly or not
    assert carrynet(command, *operands, cwd=tmp_path).returncode in (0, 1)


@pytest.mark.parametrize(
    ("task", "out"), [("add", "runs/mine"), ("multiply_by:k=2", "some where/else")]
)
def test_what_is_next_is_a_command_that_works(tmp_path: Path, out: str, task: str) -> None:
    settings = ("--hidden", 8, "--task", task, "--out", out)
    done = carrynet("train", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    (advice,) = re.findall(r"next        carrynet (.*)", done.stdout)
    again = carrynet(*shlex.split(advice), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "118" in again.stdout
    few = ("--force", "--set", "learn.steps=9", "--set", "harden.steps=1")
    worse = carrynet("train", *settings, *few, cwd=tmp_path)
    assert worse.returncode == 1
    (advice,) = re.findall(r"next        carrynet (.*?)   \(", worse.stdout)
    assert advice == f"harden {shlex.quote(out)}"
    assert carrynet(*shlex.split(advice), "--out", "hardened", cwd=tmp_path).returncode in (0, 1)


def test_the_length_of_problems_says_what_is_left_for_operands(tmp_path: Path) -> None:
    few = ("--recipe", "tutorial", "--set", "steps=100", "--hidden", 2, "--out", "run", "--force")
    for task, length in {
        "multiply_by:k=12": "8 digits (operands of up to 4, answers of up to 8)",
        "compare": "8 digits",
    }.items():
        done = carrynet("train", "--task", task, "--length", 8, *few, cwd=tmp_path)
        assert f"trained     100 problems of {length}, in " in done.stdout
    shown = {command: carrynet(command, "--help", cwd=tmp_path).stdout for command in LENGTHS}
    for command, means in LENGTHS.items():
        assert means in " ".join(shown[command].split()), command


LENGTHS = {
    "train": "--length INTEGER Length of the training problems, answer included.",
    "evaluate": "--digits INTEGER Try all problems whose operands have up to so many digits.",
    "import": "--digits INTEGER Try all problems whose operands have up to so many digits.",
    "add": "--digits INTEGER Read the operands with this many digits.",
}
"""How long problems are: to train, with their answers, as the recipe has it; else the operands."""


def test_an_unfinished_run_is_passed_over(place: Path) -> None:
    create(place / "runs" / "newer", Recipe())
    try:
        assert carrynet("evaluate", "--digits", 2, cwd=place).returncode == 1
    finally:
        shutil.rmtree(place / "runs" / "newer")


def test_only_unfinished_runs_are_named(tmp_path: Path) -> None:
    create(tmp_path / "runs" / "my run", Recipe())
    done = carrynet("add", 1, 2, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "carrynet: no finished run of add with 2 operands under runs: "
        "go on with: carrynet train --resume 'runs/my run'\n"
    )


def test_advice_is_what_the_user_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    done = carrynet("add", 1, 2, cwd=tmp_path)
    assert "make one with 'uv run carrynet train --task add'" in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])  # "" is as good as unset
def test_output_that_cannot_be_written(place: Path, unbuffered: str) -> None:
    for command in ("add 1 2 --run runs/right", "--help", "--version", "evaluate runs/right"):
        done = shell(f"carrynet {command} > /dev/full", place, PYTHONUNBUFFERED=unbuffered)
        assert done.returncode == 2
        assert done.stderr == "carrynet: output: No space left on device\n", command


def test_consoles_without_the_signs(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "carrynet", "explain", "runs/right", "1", "2"],
        cwd=place,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        check=False,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"???" in done.stdout


def test_too_little_memory_is_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("carrynet.judge.work.work", out_of_memory)
    done = carrynet("add", 1, 2, cwd=place)
    assert done.returncode == 2
    assert "not enough memory" in done.stderr


def test_control_c_in_an_evaluation(place: Path) -> None:
    leader, follower = os.openpty()  # on a terminal a bar shows that the work has begun
    termios.tcsetwinsize(leader, (24, 80))
    command = sys.executable, "-m", "carrynet", "evaluate", "runs/right", "--digits", 15
    with started(*command, cwd=place, stdout=subprocess.PIPE, stderr=follower) as running:
        os.close(follower)
        assert b"evaluating" in os.read(leader, 1024)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=60)
    os.close(leader)
    assert running.returncode == 130
    assert out == ""


def test_alone_it_shows_what_to_begin_with(tmp_path: Path) -> None:
    done = carrynet(cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    shown = [line for line in done.stderr.splitlines() if line.startswith("  carrynet ")]
    assert [line.split()[1] for line in shown] == ["train", "add", "report"]
    assert all(len(line) <= 80 for line in done.stderr.splitlines())
    assert "Commands:" in carrynet("--help", cwd=tmp_path).stdout


def test_shells_complete_commands_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_CARRYNET_COMPLETE", "bash_complete")
    for words, wanted in (("carrynet tr", ["train"]), ("carrynet train --rec", ["--recipe"])):
        command = [str(Path(sys.executable).with_name("carrynet"))]
        place = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        done = subprocess.run(command, env=os.environ | place, capture_output=True, text=True)
        assert done.stdout.split() == [f"plain,{each}" for each in wanted]


@pytest.mark.parametrize(("settings", "in_colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_verdict_has_a_colour_where_there_is_a_terminal(
    tmp_path: Path, settings: dict[str, str], in_colour: bool
) -> None:
    assert carrynet("compile", "parity", "--out", "built", cwd=tmp_path).returncode == 0
    plain = carrynet("check", "built", cwd=tmp_path)
    assert plain.stdout.startswith("valid  ")
    leader, follower = os.openpty()
    termios.tcsetwinsize(leader, (24, 80))
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    command = sys.executable, "-m", "carrynet", "check", "built"
    with started(*command, cwd=tmp_path, stdout=follower, env=kept | settings) as running:
        os.close(follower)
        running.wait(timeout=60)
        shown = os.read(leader, 4096).decode()
    os.close(leader)
    first, *rest = shown.splitlines()
    assert first.startswith("\x1b[32m\x1b[1mvalid\x1b[0m  " if in_colour else "valid  ")
    assert all(line.startswith(" " * 12) and len(line) <= 80 for line in rest)
    assert plain.stdout.count("\n") == 1 < len(rest)  # for scripts it is one line
    assert click.unstyle(shown).split() == plain.stdout.split()


def test_every_verdict_has_its_colour(trained: cn.Run) -> None:
    wrong = cn.prove(cn.train("tutorial", hidden=2, steps=50, progress=False))
    verdicts = {
        32: cn.compile("parity", progress=False).proof,
        31: wrong,
        33: cn.Undecided(("short words",), 0.1),
    }
    for colour, verdict in verdicts.items():
        told = text.proof(verdict, trained.network.task)
        assert output.coloured(told).startswith(f"\x1b[{colour}m\x1b[1m{told.split()[0]}\x1b[0m ")
    assert output.coloured("a proved one") == "a proved one"


def test_what_is_wrong_has_its_colour(place: Path) -> None:
    asked = (("add", 255, 1, "--run"), ("ask", 255, 1, "--run"), ("evaluate",))
    for command in asked:
        told = carrynet(*command, "runs/wrong", cwd=place)
        assert told.returncode == 1
        assert "\x1b[31m\x1b[1mWRONG\x1b[0m" in output.coloured(told.stdout)
    assert output.coloured("NOT VALID   why").startswith("\x1b[31m\x1b[1mNOT VALID\x1b[0m ")


def test_an_explanation_fits_a_narrow_terminal(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = carrynet("explain", "runs/right", 7, 9, cwd=place).stdout.splitlines()
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_: os.terminal_size((60, 24)))
    narrow = carrynet("explain", "runs/right", 7, 9, cwd=place).stdout.splitlines()
    assert max(map(len, narrow)) <= 60 < max(map(len, wide))
    bars = [re.findall("[▁▂▃▄▅▆▇█]", "".join(lines)) for lines in (narrow, wide)]
    assert bars[0] == bars[1]


def test_divergence_is_one_line_and_exit_2(tmp_path: Path) -> None:
    recipe = "activation=relu", "step=100", "loss=cross-entropy"
    settings = [part for setting in recipe for part in ("--set", setting)]
    arguments = ("train", "--recipe", "tutorial", *settings, "--out", "run")
    done = carrynet(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "diverged at problem" in done.stderr
    assert "the last good state is in run" in done.stderr
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_help_and_version_do_not_wait_for_numpy(tmp_path: Path) -> None:
    helps = [[command, "--help"] for command in cli.COMMANDS]
    asked = [["--help"], ["--version"], *helps, ["train", "--task", "ad"]]
    probe = (
        "import json, sys\nfrom carrynet.cli import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['carrynet', *arguments]\n"
        "    try:\n        main()\n"
        "    except SystemExit as done:\n"
        "        assert done.code == (2 if 'ad' in arguments else 0), arguments\n"
        "        assert 'numpy' not in sys.modules, arguments\n"
        "    else:\n        raise AssertionError(arguments)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, json.dumps(asked)],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: carrynet") == 1 + len(helps)
    assert (
        cn.__version__
        in subprocess.run(
            [sys.executable, "-m", "carrynet", "--version"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )


def test_the_list_of_commands_fits_80_columns(tmp_path: Path) -> None:
    _, rows = carrynet("--help", cwd=tmp_path).stdout.split("Commands:\n")
    listed = dict(row.strip().split(maxsplit=1) for row in rows.splitlines())
    assert listed == cli.COMMANDS  # of what is cut there is no end


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_keeps_to_the_width_of_the_terminal(command: str, tmp_path: Path) -> None:
    asked = (*command.split(), "--help")
    told = {width: carrynet(*asked, cwd=tmp_path, columns=width).stdout for width in (60, 80)}
    assert all(len(line) <= width for width in told for line in told[width].splitlines())
    if command:  # in the list of all, what is said of each is cut where that is narrow
        assert "".join(told[60].split()) == "".join(told[80].split()) != ""


def test_keys_are_told_in_two_columns(tmp_path: Path) -> None:
    assert (
        "  init          initial weights: random, or fitted to random codes of the\n"
        "                machine's states (default random; one of random, machine)\n"
    ) in carrynet("train", "--help", cwd=tmp_path, columns=80).stdout
    assert (
        "  exhaustive  try all problems whose operands have up to so many digits; 0 or\n"
        '              "none": do not (from 0 to 16); default 8\n'
    ) in carrynet("sweep", "--help", cwd=tmp_path, columns=80).stdout


def test_the_list_of_commands_says_how_the_help_of_each_begins() -> None:
    for name, about in cli.COMMANDS.items():
        command = cli.cli.commands[name]
        assert command.name == name
        assert command.get_short_help_str(1000) == about


def test_a_command_is_imported_when_it_is_called(tmp_path: Path) -> None:
    probe = (
        "import sys\nfrom carrynet.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print(*sorted(name for name in sys.modules if name.startswith('carrynet.cli.')))\n"
    )
    for arguments, command in ((["--help"], []), (["table", "--help"], ["carrynet.cli.table"])):
        done = subprocess.run(
            [sys.executable, "-c", probe, *arguments], check=True, capture_output=True, text=True
        )
        loaded = set(done.stdout.splitlines()[-1].split())
        assert loaded - {"carrynet.cli.options", "carrynet.cli.output"} == set(command)


def test_lists_in_help_texts_are_those_of_the_code(tmp_path: Path) -> None:
    """Also where the code takes too long to be imported for a help text."""
    listed = {
        ("train", "--recipe"): (*RECIPES, "FILE.toml"),
        ("train", "--engine"): ("auto", *ENGINES),
        ("harden", "--engine"): ("auto", *ENGINES),
        ("import", "--activation"): ACTIVATIONS,
        ("bench", "--only"): COMPARISONS,
        ("sweep", "--keep"): KEEP,
        ("table", "--format"): FORMATS,
    }
    for (name, option), choices in listed.items():
        (found,) = (each for each in cli.cli.commands[name].params if option in each.opts)
        assert isinstance(found, click.Option)
        names = getattr(found.type, "choices", None)
        if names is None:
            text = (found.help or "").removeprefix("Of its cell: ")
            names = re.split(", | or ", re.split(r"[.:](?: |$)", text)[0])
        assert sorted(names) == sorted(choices), (name, option)


def shell(line: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line for bash, in which `carrynet` is the command line."""
    # unbuffered, Python takes a write that was cut off for a whole one
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", f'carrynet() {{ "{sys.executable}" -m carrynet "$@"; }}\n{line}'],
        cwd=cwd,
        env={**buffered, **environment},
        check=False,
        capture_output=True,
        text=True,
    )


CLOSED = "carrynet: standard output is closed: send it to a file, or to /dev/null\n"


@words_up_to(evaluations.LENGTHS[-1])  # as other processes have them
def test_1_means_wrong_and_nothing_else(place: Path) -> None:
    """Whatever becomes of the streams."""
    big = "7" * 6000
    gone = shell(f"carrynet explain runs/right {big} 1 | head -1; exit ${{PIPESTATUS[0]}}", place)
    assert (gone.returncode, gone.stderr) == (2, "")
    gone = shell("carrynet add 1 2 --run runs/right | true; exit ${PIPESTATUS[0]}", place)
    assert gone.returncode in (0, 2)  # it may be faster than its reader
    assert gone.stderr == ""
    for command in ("--help", "evaluate runs/wrong"):
        closed = shell(f"carrynet {command} >&-", place)
        assert (closed.returncode, closed.stdout, closed.stderr) == (2, "", CLOSED)
    closed = shell("carrynet evaluate runs/wrong >&- 2>&- <&-", place)
    assert (closed.returncode, closed.stdout, closed.stderr) == (2, "", "")
    for command, code in (("evaluate runs/right", 0), ("evaluate runs/wrong", 1), ("nonesuch", 2)):
        open_ = carrynet(*command.split(), "--digits", 2, cwd=place)
        closed = shell(f"carrynet {command} --digits 2 2>&-", place)
        assert (closed.returncode, closed.stdout) == (code, open_.stdout)


def test_an_error_of_carrynets_own_is_70(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("of nobody's\nmaking")

    monkeypatch.setattr("carrynet.judge.work.work", fails)
    done = carrynet("add", 1, 2, cwd=place)
    assert (done.returncode, done.stdout) == (70, "")
    assert done.stderr.count("\n") == 1
    assert "an error of carrynet's own at arithmetic.py:" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    monkeypatch.setenv("CARRYNET_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        carrynet("add", 1, 2, cwd=place)


def test_control_c_that_comes_out_as_something_else(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("a library could not be imported") from error

    monkeypatch.setattr("carrynet.judge.work.work", fails)
    done = carrynet("add", 1, 2, cwd=place)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_control_c_while_python_still_imports(tmp_path: Path) -> None:
    interrupt = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    (tmp_path / "click.py").write_text(interrupt)
    done = shell("carrynet --help", tmp_path, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_folder_is_no_place_for_a_file(place: Path) -> None:
    for out in (".", "..", "runs", "/"):
        done = carrynet("report", "runs/right", "--out", out, cwd=place)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"carrynet: cannot write {out}: it is a folder, a file is needed\n"


def test_names_that_are_no_text(place: Path, tmp_path: Path) -> None:
    """A byte that is not UTF-8 in the name of a run; letters that the locale has not."""
    no_text = os.fsdecode(b"\xff run")
    shutil.copytree(place / "runs" / "right", tmp_path / no_text)
    for command in ("report", "evaluate", "add", "explain", "check", "automaton"):
        run = ("--run", no_text, 1, 2) if command in ("add", "explain") else (no_text,)
        done = carrynet(command, *run, cwd=tmp_path)
        assert done.returncode == (2 if command == "check" else 0), done.stderr
        assert done.stderr.count("\n") == (command == "check")
    shutil.copytree(place / "runs" / "right", tmp_path / "进位")
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = shell("carrynet report 进位 && carrynet check 进位", tmp_path, **ascii_only)
    assert done.returncode == 2
    assert "cannot be checked: it has no certificate.json" in done.stderr
    assert done.stderr.count("\n") == 1


# Proofs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proofs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a run that is proved, one that is refuted, one that is neither."""
    cwd = tmp_path_factory.mktemp("proofs")
    cn.train("certified", hidden=8, out=cwd / "proved")
    cn.train("tutorial", hidden=8, seed=2, out=cwd / "refuted")
    cn.train("tutorial", hidden=16, seed=4, out=cwd / "undecided")
    return cwd


@pytest.mark.parametrize(
    ("run", "code", "line"),
    [
        ("proved", 0, "proved      right for numbers of any length: "),
        ("refuted", 1, "REFUTED     "),
        ("undecided", 3, "undecided   neither proved nor refuted for numbers of any length:"),
    ],
)
def test_prove(proofs: Path, run: str, code: int, line: str) -> None:
    before = {file.name: file.read_bytes() for file in (proofs / run).iterdir()}
    done = carrynet("prove", run, "--budget", 0, cwd=proofs)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.startswith(line)
    document = json.loads(carrynet("prove", run, "--budget", 0, "--json", cwd=proofs).stdout)
    assert document["run"] == run
    assert document["proof"]["verdict"] == run
    after = {file.name: file.read_bytes() for file in (proofs / run).iterdir()}
    assert before.keys() | {"report.html"} == after.keys()
    assert before.get("certificate.json") == after.get("certificate.json")
    assert cn.load(proofs / run).to_json()["proof"] == document["proof"]


def test_report(proofs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: plots.FIGURES[name] for name in ("learning_curve", "weights")}  # for speed
    monkeypatch.setattr(plots, "FIGURES", few)
    shutil.copytree(proofs / "proved", tmp_path / "run")
    done = carrynet("report", "run", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{Path('run') / 'report.html'}\n")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    told = json.loads(carrynet("report", "run", "--json", cwd=tmp_path).stdout)
    assert told == {"run": "run", "page": str(Path("run") / "report.html"), "figures": []}
    done = carrynet("report", "run", "--open", "--out", "p.html", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "p.html\n")
    assert (tmp_path / "p.html").read_text(encoding="utf-8") == page
    done = carrynet("report", "run", "--plots", cwd=tmp_path)
    assert done.returncode == 0
    *figures, last = map(Path, done.stdout.split())
    assert last == Path("run") / "report.html"
    assert {figure.stem for figure in figures} == set(few)
    assert {figure.parent for figure in figures} == {Path("run") / "plots"}
    assert all((tmp_path / figure).stat().st_size > 1000 for figure in figures)
    replaced = carrynet("train", "--hidden", 2, "--set", "learn.steps=100", "--set",
                        "harden.steps=1", "--out", "run", "--force", cwd=tmp_path)  # fmt: skip
    assert replaced.returncode == 1  # it has learned nothing, but was written
    assert not (tmp_path / "run" / "plots").exists()
    done = carrynet("report", "run", "--out", "no/p.html", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "carrynet: cannot write no/p.html: No such file or directory\n"


def test_check(proofs: Path, tmp_path: Path) -> None:
    done = carrynet("check", "proved", cwd=proofs)
    assert done.returncode == 0
    assert done.stdout.startswith("valid       For the task add, of the machine ")
    document = json.loads(carrynet("check", "proved", "--json", cwd=proofs).stdout)
    assert document["valid"]
    assert document["regions"] == cn.load(proofs / "proved").to_json()["proof"]["regions"]
    missing = carrynet("check", "refuted", cwd=proofs)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "it has no certificate.json" in missing.stderr


def test_a_network_is_not_trained_on_as_another(proofs: Path, tmp_path: Path) -> None:
    for setting, what in (
        *(("hidden=3", "hidden"), ("dtype=float64", "dtype = float32"), ("task=subtract", "task")),
        *(("activation=relu", "activation"), ("start=learned", "start")),
    ):
        done = carrynet("harden", proofs / "refuted", "--set", setting, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), setting
        assert what in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_check_does_not_believe_a_certificate(proofs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(proofs / "proved", copy)
    certificate = json.loads((copy / "certificate.json").read_text())
    certificate["regions"][3]["upper"][0] -= 2**20
    (copy / "certificate.json").write_text(json.dumps(certificate))
    done = carrynet("check", copy, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("NOT VALID   the certificate is rejected: ")
    document = json.loads(carrynet("check", copy, "--json", cwd=tmp_path).stdout)
    assert not document["valid"]
    # another run's weights
    shutil.copy(proofs / "proved" / "certificate.json", copy)
    shutil.copy(proofs / "refuted" / "model.safetensors", copy)
    assert "about other weights" in carrynet("check", copy, cwd=tmp_path).stdout
    (copy / "certificate.json").write_text("{")
    broken = carrynet("check", copy, cwd=tmp_path)
    assert broken.returncode == 2
    assert broken.stderr.count("\n") == 1


def test_harden_makes_a_refuted_network_provable(proofs: Path, tmp_path: Path) -> None:
    done = carrynet("harden", proofs / "refuted", "--out", "hard", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "proved      right for numbers of any length" in done.stdout
    run = cn.load(tmp_path / "hard")
    assert run.recipe.origin == cn.load(proofs / "refuted").network.digest()
    card = (tmp_path / "hard" / "README.md").read_text()
    assert "beginning with the weights in `origin.safetensors`" in card
    # as the card says
    place = tmp_path / "hard"
    again = carrynet(
        *("train", "--recipe", "recipe.toml", "--origin", "origin.safetensors"),
        *("--engine", run.engine, "--out", "again"),
        cwd=place,
    )
    assert again.returncode == 0, again.stderr
    assert cn.load(place / "again").network.digest() == run.network.digest()
    alone = carrynet("train", "--recipe", "recipe.toml", cwd=place)
    assert alone.returncode == 2
    assert "its origin, which must be given" in alone.stderr


@pytest.fixture
def few_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an extraction give up early: networks that are no small machine take it long."""
    monkeypatch.setattr(extract, "extract", partial(extract.extract, most=16))


@pytest.mark.usefixtures("few_states")
def test_automaton(proofs: Path) -> None:
    done = carrynet("automaton", "proved", cwd=proofs)
    assert done.returncode == 0
    assert "the same machine as the task's: A is carry 0, B is carry 1" in done.stdout
    wrong = carrynet("automaton", "refuted", cwd=proofs)
    assert wrong.returncode == 1
    assert "NOT the task's machine: they differ after" in wrong.stdout
    document = json.loads(carrynet("automaton", "refuted", "--json", cwd=proofs).stdout)
    word = document["comparison"]["word"]
    network = cn.load(proofs / "refuted").network
    if document["comparison"]["confirmed"]:
        assert network.transduce(word) != network.task.machine.transduce(word)
    for form, start in (("svg", "<svg "), ("mermaid", "stateDiagram-v2"), ("dot", "digraph")):
        drawn = carrynet("automaton", "proved", "--format", form, cwd=proofs)
        assert drawn.stdout.startswith(start)
        written = carrynet("automaton", "proved", "--format", form, "--out", form, cwd=proofs)
        assert written.stdout == ""
        assert (proofs / form).read_text() == drawn.stdout


@pytest.mark.usefixtures("few_states")
def test_no_file_that_a_run_needs_is_written_over(proofs: Path) -> None:
    kept = {file: file.read_bytes() for file in (proofs / "proved").iterdir() if file.is_file()}
    for command in (("automaton",), ("report",), ("export", "--to", "c", "--force")):
        for file in ("model.safetensors", "config.json"):
            done = carrynet(*command, "proved", "--out", f"proved/{file}", cwd=proofs)
            assert (done.returncode, done.stdout) == (2, "")
            told = f"'proved/{file}' is a file of a run: choose another --out"
            assert done.stderr == f"carrynet: {told}\n"
    assert all(file.read_bytes() == data for file, data in kept.items())
    done = carrynet("report", "proved", "--out", "proved/report.html", cwd=proofs)
    assert done.returncode == 0  # which it is the one to write
    done = carrynet("automaton", "proved", "--json", "--format", "dot", cwd=proofs)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--json and the format dot say different things" in done.stderr


@pytest.mark.usefixtures("few_states")
def test_the_machine_that_was_learned_is_written_for_others(proofs: Path, tmp_path: Path) -> None:
    """As OpenFst's text with its symbol tables, and as DOT: read back, it is the task's."""
    for form in ("openfst", "dot"):
        file = tmp_path / f"learned.{form}"
        carrynet("automaton", "proved", "--format", form, "--out", file, cwd=proofs)
    tables = ((tmp_path / f"learned.{side}syms").read_text() for side in "io")
    symbols = [automata.symbol_table(table) for table in tables]
    for machine in (
        automata.from_openfst((tmp_path / "learned.openfst").read_text(), *symbols),
        automata.from_dot((tmp_path / "learned.dot").read_text()),
    ):
        assert shortest_difference(machine, tasks.add().machine) is None
    assert symbols[0] == {"<eps>": 0, "0,0": 1, "0,1": 2, "1,0": 3, "1,1": 4}
    done = carrynet("automaton", "proved", "--format", "openfst", cwd=proofs)
    assert (done.returncode, done.stdout) == (2, "")
    assert "give --out FILE.fst" in done.stderr


def test_a_budget_is_a_number(tmp_path: Path) -> None:
    for budget in ("nan", "-1", "inf"):
        done = carrynet("prove", "--budget", budget, cwd=tmp_path)
        assert done.returncode == 2
        assert "is not in the range" in done.stderr


@words_up_to(64)
@pytest.mark.usefixtures("few_states")
def test_import_a_pytorch_state_dict(tmp_path: Path) -> None:
    file = Path(__file__).parent / "data" / "state_dict.pt"
    refused = carrynet("import", file, "--out", "run", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.splitlines()) == 1
    assert (
        "of 256 sample problems of task add none of 36 conventions gets all right" in refused.stderr
    )
    assert not (tmp_path / "run").exists()
    # it was never trained, and is a network nevertheless, once it is said how to read it
    said = ("--activation", "tanh", "--coding", "0/1", "--delay", 0, "--map", "logit=0")
    done = carrynet("import", file, "--out", "run", *said, cwd=tmp_path)
    assert done.returncode == 1
    assert "trained     elsewhere" in done.stdout
    assert "REFUTED" in done.stdout
    assert "Wxh=rnn.weight_ih_l0.T" in done.stderr or "weight_ih_l0.T" in done.stderr
    run = cn.load(tmp_path / "run")
    assert run.recipe.stages == ()
    assert run.last_problem is None
    assert run.network.digest() == run.recipe.origin
    assert "trained elsewhere" in (tmp_path / "run" / "README.md").read_text()
    for command in (("prove", "--budget", 0), ("evaluate",), ("automaton",)):
        assert carrynet(*command, "run", cwd=tmp_path).returncode == 1
    hardened = carrynet("harden", "run", "--set", "again.steps=100", "--out", "hard", cwd=tmp_path)
    assert hardened.returncode in (0, 1)
    assert "worse" not in hardened.stdout
    assert cn.load(tmp_path / "hard").recipe.origin == run.network.digest()


def test_import_says_what_it_cannot_take(tmp_path: Path) -> None:
    data = Path(__file__).parent / "data"
    for arguments, message in (
        ((data / "lstm.pt",), "there is no linear layer"),
        ((data / "none.pt",), "none.pt"),
        ((data / "state_dict.pt", "--task", "compare"), "must have .5, 3."),
        ((data / "state_dict.pt", "--map", "Whx=a"), "did you mean 'Wxh'"),
        ((data / "state_dict.pt", "--activation", "sine"), "unknown activation"),
        ((data / "none.pt", "--digits", -1), "digits must be at least 1, not -1"),
    ):
        done = carrynet("import", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert re.search(message, done.stderr), done.stderr
        assert done.stderr.splitlines()[-1].startswith("carrynet: ")
    assert not (tmp_path / "runs").exists()


def test_a_bounded_claim_where_nothing_more_is_known(proofs: Path) -> None:
    done = carrynet("prove", "undecided", "--budget", 0, "--digits", 9, cwd=proofs)
    assert done.returncode == 0
    assert "undecided   neither proved nor refuted" in done.stdout
    assert "right for all numbers of up to 9 digits, and nothing is known of longer" in done.stdout
    assert "by exhaustion, all 262,144 problems were tried" in done.stdout
    arguments = ("prove", "undecided", "--budget", 0, "--digits", 3, "--json")
    document = json.loads(carrynet(*arguments, cwd=proofs).stdout)
    assert document["proof"]["verdict"] == "undecided"
    assert (document["bounded"]["pairs"], document["bounded"]["right"]) == (64, 64)
    proved = carrynet("prove", "proved", "--digits", 9, "--json", cwd=proofs)
    assert json.loads(proved.stdout)["bounded"] is None  # more is known
    many = carrynet("prove", "undecided", "--digits", 99, cwd=proofs)
    assert (many.returncode, many.stdout) == (2, "")
    assert "at most 16 digits are accepted" in many.stderr
