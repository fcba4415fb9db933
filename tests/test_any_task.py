"""Whatever can be trained works all the way: tasks of one's own, and runs in place of networks."""

import shlex
from pathlib import Path
from typing import Any

import pytest

import carrynet as cn
from carrynet import tasks
from carrynet.judge import evaluation, extraction as extract
from carrynet.judge.work import work
from carrynet.learn import training
from carrynet.report import page, plots, text
from carrynet.report.worked import _sign, columns, explanation
from carrynet.runs.folder import newest
from carrynet.spec import tables
from carrynet.spec.machine import Machine
from tests.test_cli import carrynet

pytestmark = pytest.mark.usefixtures("short_words")


def table(states: tuple[str, ...], symbols: tuple[str, ...], outputs: str, rule: str) -> Machine:
    """A machine by a table of 'next state, output' in one digit each, row by row."""
    cells = [[tuple(map(int, cell)) for cell in row.split()] for row in rule.split(";")]
    return Machine(
        states,
        symbols,
        tuple(outputs),
        delta=tuple(tuple(there for there, _ in row) for row in cells),
        output=tuple(tuple(out for _, out in row) for row in cells),
    )


OWN = {
    # one operand: the parity of the ones
    "parity": (table(("even", "odd"), ("0", "1"), "01", "00 11;11 00"), tasks.Digits()),
    # two, and an answer longer than both: a + 2 b
    "weighted": (
        table(
            ("0", "1", "2"),
            ("0,0", "0,1", "1,0", "1,1"),
            "01",
            "00 10 01 11;01 11 10 20;10 20 11 21",
        ),
        tasks.Digits(2, 2, 2, memory="carry", equation="{} + 2 × {} = {answer}"),
    ),
    # digits of base 3, two outputs: whether a two was seen
    "twos": (table(("none", "seen"), ("0", "1", "2"), "01", "00 00 11;11 11 11"), tasks.Digits(3)),
    # words: whether the last two symbols were b; a second one in a row is not asked about
    "pairs": (
        Machine(("no", "b"), ("a", "b"), ("x", "y"), ((0, 1), (0, 0)), ((0, 0), (0, None))),
        None,
    ),
}


@pytest.fixture(scope="module", params=OWN)
def run(request: pytest.FixtureRequest) -> cn.Run:
    machine, codec = OWN[request.param]
    task = tasks.own(f"own_{request.param}", machine, codec=codec)
    settings: dict[str, Any] = {"learn.steps": 200, "harden.steps": 20, "hidden": 6, "digits": 6}
    return cn.train("certified", task=task, progress=False, **settings)


def numbers(run: cn.Run) -> tuple[int | str, ...]:
    task = run.network.task
    return (5, 3)[: task.operands] if task.numeric else ("abba",)


def test_a_run_of_ones_own_task_is_shown(run: cn.Run, tmp_path: Path) -> None:
    last = run.last_problem
    assert last is not None
    assert last.expected == run.network.task.machine.transduce(last.word)
    saved = run.save(tmp_path / "run")
    shown = text.summary(saved)
    assert run.network.task.text in shown
    (advice,) = (line for line in shown.splitlines() if line.startswith("next"))
    assert "carrynet ask" in advice or "carrynet harden" in advice
    assert "base" in page.model(run)["task"]
    assert run._repr_html_().startswith("<iframe")
    assert plots.write(run, tmp_path / "plots", ["svg"])


def test_problems_of_ones_own_task_are_shown(run: cn.Run) -> None:
    worked = work(run, numbers(run), hidden=True)
    assert worked.right_answer == run.network.task.answer(*numbers(run))
    assert columns(worked, width=200)
    assert explanation(worked, run.network)
    with pytest.raises(cn.InputError, match="not add: `compute` works"):
        run.network.add(1, 2)
    assert run.network.compute(*numbers(run)) == worked.answer


def test_functions_take_a_run_or_its_network(run: cn.Run, tmp_path: Path) -> None:
    network = run.network
    assert cn.evaluate(run, 3) == cn.evaluate(network, 3)
    assert cn.by_length(run, (16,)) == cn.by_length(network, (16,))
    assert evaluation.sample(run, 9) == evaluation.sample(network, 9)
    assert extract.extract(run) == extract.extract(network)
    machine = extract.extract(run).machine
    assert extract.compare(run, machine) == extract.compare(network, machine)
    text.automaton(extract.extract(run), extract.compare(run, machine), network.task)
    saved = run.save(tmp_path / "run")
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    one, other = cn.prove(saved, budget=0), cn.prove(network, budget=0)
    assert one.verdict == other.verdict
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
    stages = training.hardening(run.recipe, network).stages
    settings: dict[str, Any] = {f"{stage.name}.steps": 3 for stage in stages}
    settings |= {f"{stage.name}.again": 0 for stage in stages if stage.over == "edges"}
    hardened = [cn.harden(each, progress=False, **settings) for each in (run, network)]
    for each in hardened:
        assert each.origin is not None
        assert each.origin.digest() == network.digest()


def test_what_is_neither_run_nor_network_is_refused(run: cn.Run) -> None:
    functions: tuple[Any, ...] = (cn.prove, cn.evaluate, cn.by_length, extract.extract)
    for function in functions:
        with pytest.raises(cn.InputError, match="a Network or a Run is asked for, not 'runs/0001'"):
            function("runs/0001")


def test_signs_stand_where_the_equation_has_them() -> None:
    named = ("add", "add:operands=4", "subtract", "compare", "multiply_by:k=12")
    assert [_sign(tasks.parse(name)) for name in named] == ["+", "+", "-", "", ""]


def test_columns_of_states_with_long_names_line_up() -> None:
    recipe = cn.Recipe(task="multiply_by:k=12", hidden=2)
    worked = work(training.start(recipe).network, (2**6 - 1,))
    rows = columns(worked).splitlines()
    carries = [0]
    for bit in worked.word[:-1]:
        carries.append((carries[-1] + 12 * bit) // 2)
    assert rows[0].split()[1:] == [str(carry) for carry in reversed(carries)]
    ends = [
        [i for i, mark in enumerate(row) if mark != " " and row[i + 1 : i + 2] in ("", " ")]
        for row in rows[:2]
    ]
    assert ends[0][-len(worked.word) :] == ends[1][-len(worked.word) :]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = carrynet("ask", "nosuch", ">1", cwd=tmp_path)
    told = "no folder 'nosuch', nor a run of a task with such a problem under runs: make one with"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"carrynet: {told}")


def test_a_word_that_looks_like_an_option_is_asked_as_a_word(tmp_path: Path) -> None:
    """By the command that is printed, as it is typed."""
    machine = table(("up", "down"), ("-h", "5"), "01", "11 00;11 00")
    (tmp_path / "down.toml").write_text(tables.to_toml(tasks.own("down", machine)))
    made = carrynet("compile", "down.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    _, _, following = made.stdout.splitlines()[-1].partition("carrynet ")
    words = shlex.split(following)
    assert words[words.index("--") + 1].startswith("-h")
    done = carrynet(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Usage" not in done.stdout


@pytest.mark.parametrize(
    ("task", "proposed"), [("parity", "0110"), ("window", "111"), ("modular_answer:3", "0=0")]
)
def test_the_problem_that_is_proposed_has_more_than_one_answer(
    task: str, proposed: str, tmp_path: Path
) -> None:
    """Or ends in the one that is rare: 1, of whether something is the case."""
    made = carrynet("compile", task, "--out", "run", cwd=tmp_path)
    assert made.stdout.splitlines()[-1] == f"next        carrynet ask {proposed} --run run"
    assert "1" in str(tasks.parse(task).answer(proposed))


def test_the_newest_that_fits_is_not_looked_for_in_vain(tmp_path: Path) -> None:
    with pytest.raises(cn.RunError, match="make one with 'carrynet train --task compare'"):
        newest(tmp_path, make="train --task compare")
