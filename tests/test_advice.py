"""What would decide an undecided network: commands that work, and numbers that were measured."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import carrynet as cn
from carrynet import lab, tasks
from carrynet.judge.evaluation import Evaluation, by_length, evaluate
from carrynet.judge.measures import Share
from carrynet.learn.compile import build
from carrynet.learn.mechanism import Construction
from carrynet.nets.network import Network
from carrynet.nets.weights import initialise
from carrynet.proof.verdict import Effort, Undecided
from carrynet.report import text
from carrynet.report.advice import HARDENED, ways

PATH = Path("runs/0001")
NONE = Effort()


def undecided(network: Network, effort: Effort = NONE) -> cn.Run:
    """A run of which the search is said to have come to nothing."""
    tested = Evaluation(evaluate(network, 3), by_length(network, (16,), pairs=8))
    proof = Undecided(("nothing",), 0.0, effort)
    return cn.Run(lab.importing(network), "numpy", network, 0.0, tested, proof, (), PATH)


def test_a_network_of_elmans_cell(adder: Network) -> None:
    search, harden, digits = ways(undecided(adder, Effort(10, 300, 1200, rate=1e6)))
    assert search.command == "carrynet prove runs/0001 --budget 40"
    assert "4 times as long; how long it takes is not known" in search.text
    assert "when 10 s were over, 300 of 1,200 regions were done" in search.text
    assert harden.command == "carrynet harden runs/0001"
    # 4^11 problems in 4.2 s; 4^12 would take 17
    assert digits.command == "carrynet prove runs/0001 --budget 0 --digits 11"
    assert "all 4,194,304 problems of up to 11 digits, in about 4.2 s" in digits.text


def test_a_budget_comes_with_an_estimate(adder: Network) -> None:
    for expected, budget, said in ((24.3, "50", "24"), (3.0, "20", "3"), (137.0, "300", "140")):
        effort = Effort(10, 3110, 4033, expected=expected)
        search, *_ = ways(undecided(adder, effort))
        assert search.command == f"carrynet prove runs/0001 --budget {budget}"
        assert f"for up to {budget} s; about {said} s would do" in search.text
        assert "the 3,110 of 4,033 regions that were done in 10 s" in search.text


def test_what_does_not_help_is_not_advised(adder: Network) -> None:
    def kinds(effort: Effort, known: int = 0) -> list[str]:
        return [way.kind for way in ways(undecided(adder, effort), known)]

    assert kinds(Effort()) == ["trees", "harden.counted"]  # and how many digits nobody knows
    assert kinds(Effort(5)) == ["budget.unknown", "harden.counted"]
    assert kinds(Effort(5, 1, 2, over=True)) == ["harden.counted"]
    assert kinds(Effort(5, over=True, rate=1e6), known=10) == ["harden.counted", "digits"]
    assert kinds(Effort(5, over=True, rate=1e6), known=11) == ["harden.counted"]
    assert kinds(Effort(5, over=True, rate=4.0)) == ["harden.counted"]  # 3 digits are known
    run = undecided(adder)
    assert ways(replace(run, path=None)) == ()
    assert ways(replace(run, proof=cn.Refuted((1, 1), 2, 1, 0, 2, True, 0.0))) == ()


def test_of_gates_trees_and_walkers_share_a_budget() -> None:
    task = tasks.parse("parity")
    for cell, counted in (("gru", True), ("lstm", True), ("mgu", False), ("gru,gru", False)):
        network = Network(task, cell, initialise(task, 4, cell))
        search, harden, digits = ways(undecided(network, Effort(rate=1e5)))
        assert (search.kind, search.command) == ("walkers", "carrynet prove runs/0001")
        assert "trees of words, and for a wrong word on from" in search.text
        assert "for up to 10 s" in search.text
        more, *_ = ways(undecided(network, Effort(10, over=True)))
        assert more.command == "carrynet prove runs/0001 --budget 40"
        assert "a wrong word 4 times as long" in more.text
        first, *_ = ways(undecided(network, Effort(1)))  # of which trees had nothing
        assert (first.kind, first.command) == ("walkers", "carrynet prove runs/0001")
        longer, *_ = ways(undecided(network, Effort(10, 300, 1200)))
        assert longer.command == "carrynet prove runs/0001 --budget 40"
        assert "trees of words 4 times as long" in longer.text
        assert "when 3.3 s were over, 300 of 1,200 regions were done" in longer.text
        surely, *_ = ways(undecided(network, Effort(10, 300, 1200, expected=14)))
        assert surely.command == "carrynet prove runs/0001 --budget 90"
        assert "for up to 30 s, a third of the budget, and then" in surely.text
        assert "about 14 s would do" in surely.text
        assert harden.kind == ("harden.counted" if counted else "harden")
        assert (digits.kind, digits.values["digits"]) == ("digits.words", 19)
        assert digits.command == "carrynet prove runs/0001 --budget 0 --digits 19"
        assert "all 524,288 words of 19 symbols" in digits.text


def test_a_network_by_construction_is_not_trained_on() -> None:
    network, mechanism = build(tasks.parse("parity"), Construction(cell="elman", scale=4.0))
    (way,) = ways(replace(undecided(network), mechanism=mechanism))
    assert way.kind == "trees"


def test_what_is_said_of_hardening_is_what_the_documents_count() -> None:
    rows = (Path(__file__).parents[1] / "docs" / "proof.md").read_text()
    for cell, start in {
        "elman": r"`tutorial`, then `harden`",
        "gru": r"`certified`, `cell=gru`, `add`",
        "lstm": r"`certified`, `cell=lstm`, `add`",
    }.items():
        row = re.search(rf"^\| {start} \| 8, 16, 32 \| ([\d, ]+) of (\d+)", rows, re.MULTILINE)
        assert row is not None, cell
        counts = [int(count) for count in row[1].split(", ")]
        assert HARDENED[cell] == (sum(counts), len(counts) * int(row[2]))


def test_the_verdict_ends_with_what_would_decide_it(adder: Network) -> None:
    run = undecided(adder, Effort(10, 300, 1200, rate=1e6))
    lines = text.verdict(run).splitlines()
    assert lines[1] == "            nothing"
    assert lines[2] == "to decide   carrynet prove runs/0001 --budget 40"
    assert lines[5] == "            carrynet harden runs/0001"
    assert max(map(len, lines)) <= 100
    assert "to decide" not in text.verdict(replace(run, path=None))


@pytest.mark.parametrize(("task", "state"), [("add", "carry 1"), ("tomita:4", "1")])
def test_a_refutation_says_where_and_how_often(task: str, state: str) -> None:
    found = cn.Refuted((3, 1), 2, 1, 0, 4, True, 0.0, "1", "1,0")
    if task != "add":
        found = replace(found, operands=("01",), answered="00", expected="01")
    found = replace(found, shares=(Share(16, 2048, 0), Share(1024, 64, 64)))
    said = text.proof(found, tasks.parse(task))
    assert f"1 of 2, in state '{state}', reading '1,0'; a shortest counterexample)" in said
    assert said.splitlines()[-2:] == [
        "            16         0 of 2,048        0 % to 0.19 %",
        "            1,024      64 of 64          94 % to 100 %",
    ]
