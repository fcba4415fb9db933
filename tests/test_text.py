"""Text for people: columns, bars, tables."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

import carrynet as cn
from carrynet import tasks
from carrynet.judge.evaluation import Exhaustive, Sampled
from carrynet.judge.work import work
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights, initialise
from carrynet.proof.verdict import Refuted
from carrynet.report import text
from carrynet.report.worked import _range, bars, columns, equation, explanation, explanation_json
from carrynet.spec.machine import Machine


def test_columns_line_up(adder: Network) -> None:
    shown = columns(work(adder, (255, 1)))
    assert shown.splitlines()[:5] == [
        "  carry  1 1 1 1 1 1 1 1 0",
        "    255  0 1 1 1 1 1 1 1 1",
        "+     1  0 0 0 0 0 0 0 0 1",
        "  ------------------------",
        "    256  1 0 0 0 0 0 0 0 0",
    ]
    assert shown.endswith("255 + 1 = 256\n(9 digits in base 2, all right; smallest margin 20.00)")


def test_columns_too_wide_to_show_leave_the_equation(adder: Network) -> None:
    worked = work(adder, (2**60, 1))
    assert columns(worked, width=80).splitlines()[0] == f"{2**60} + 1 = {2**60 + 1}"
    assert all(len(line) <= 150 for line in columns(worked, width=150).splitlines())
    assert "carry" in columns(worked, width=150)


def test_right_answers_with_a_wrong_digit_below_are_marked(forgetful: Network) -> None:
    worked = work(forgetful, (1, 1))
    assert equation(worked) == "1 + 1 = 0   WRONG, right is 1 + 1 = 2"


def test_bars() -> None:
    assert bars(np.array([0, 0.5, 1, 0.14, -9, 9]), 0, 1) == "▁▅█▂▁█"
    assert bars(np.array([-1.0, 0, 1]), -1, 1) == "▁▅█"


def test_explanations_of_relu_units_that_overflow() -> None:
    task = tasks.add()
    weights = Weights(
        Wxh=np.ones((2, 2), np.float32),
        Whh=np.full((2, 2), 1e6, np.float32),
        bh=np.zeros(2, np.float32),
        Why=np.array([[1], [-1]], np.float32),
        by=np.zeros(1, np.float32),
    )
    network = Network(task, "relu", weights)
    worked = work(network, (2**40 - 1, 1), hidden=True)
    assert not worked.right
    assert "WRONG" in explanation(worked, network)
    wrong = worked.hits.count(False)
    assert f"({wrong} of {len(worked.word)} digits in base 2 WRONG" in columns(worked)
    json.dumps(explanation_json(worked), allow_nan=False)


def test_a_right_answer_with_an_output_that_is_no_number_is_told_as_such(
    trained: cn.Run, tmp_path: Path
) -> None:
    """The difference of two sums that overflow: it is not above zero, and neither below."""
    zero = Machine(("only",), ("a",), ("0", "1"), ((0,),), ((0,),))
    weights = Weights(
        Wxh=np.full((1, 2), 1e6, np.float32),
        Whh=np.eye(2, dtype=np.float32) * np.float32(1e6),
        bh=np.zeros(2, np.float32),
        Why=np.array([[1], [-1]], np.float32),
        by=np.array([-1], np.float32),
    )
    network = Network(tasks.own("zero", zero), "relu", weights)
    found = cn.prove(network, budget=0)
    assert isinstance(found, Refuted)
    assert found.answered == found.expected == "0" * found.digits
    said = "an output that is not a number"
    assert f", but with {said}" in text.proof(found, network.task)
    worked = work(network, found.operands)
    assert not worked.right
    assert equation(worked).endswith(f"WRONG, with {said}")
    claimed = Refuted((1, 1), 2, 1, 2, 2, shortest=True, seconds=0.0)
    path = replace(trained, proof=claimed).save(tmp_path / "run").path
    assert path is not None
    assert f"of 2 digits, with {said}." in (path / "README.md").read_text(encoding="utf-8")


def test_bars_of_relu_units_reach_their_largest() -> None:
    assert _range(np.array([[0.0, 7.0], [3.5, 1.0]]), "relu") == (0, 7)
    assert _range(np.zeros((2, 2)), "relu") == (0, 1)
    assert _range(np.zeros((2, 2)), "tanh") == (-1, 1)


def test_bars_of_other_cells_reach_as_far_as_their_values() -> None:
    assert _range(np.array([[0.5, -0.9]]), "") == (-1, 1)
    assert _range(np.array([[0.5, -1.21], [np.inf, 2.0]]), "") == (-1.3, 2)


def test_parts_of_a_state_stand_apart() -> None:
    """In the order of the formula: of an LSTM h, then c, whose bars are those of its numbers."""
    task = tasks.add()
    network = Network(task, "lstm", initialise(task, 3, "lstm", width=4.0))
    worked = work(network, (118, 45), hidden=True)
    assert worked.hidden is not None
    low, high = _range(worked.hidden, "")
    lines = explanation(worked, network).splitlines()
    rows = [line.split("  ")[-1] for line in lines[3 : 3 + len(worked.word)]]
    assert rows == [
        f"{bars(both[:3], low, high)} | {bars(both[3:], low, high)}" for both in worked.hidden
    ]
    assert f"a bar is a unit of h | c, {low:g} to {high:g}." in lines[-1]


def test_signs_of_the_operations(trained: cn.Run) -> None:
    network = Network(tasks.subtract(), "sigmoid", trained.network.weights)
    lines = columns(work(network, (9, 5))).splitlines()
    assert lines[0].startswith("  borrow  ")
    assert lines[2].startswith("-      5  0 0 1 0 1")


def test_exhaustive_results() -> None:
    right = text.exhaustive(Exhaustive(8, 65_536, 65_536, 2.5), tasks.add())
    assert right == (
        "exhaustive  right on all 65,536 pairs of numbers with up to 8 digits, smallest margin 2.50"
    )
    wrong = text.exhaustive(Exhaustive(2, 64, 60, -0.5, (3, 1, 0), 2), tasks.add(operands=3))
    assert "WRONG on 4 of all 64 triples of numbers" in wrong
    assert "3 + 1 + 0 = 2" in wrong


def test_sampled_results_name_the_first_error() -> None:
    shown = text.sampled(
        [Sampled("uniform", 1024, 256, 256, 3.0), Sampled("chains", 1024, 256, 9, -1.0, 134)],
        tasks.add(),
    )
    assert shown.splitlines()[1] == (
        "            1,024      256 of 256    9 of 256      -1.00   WRONG first at position 134"
    )
    assert "not a proof" in shown


def test_long_counterexamples_are_shortened_and_only_numbers_are_said_to_have_digits() -> None:
    word = "0001" + "1" * 60
    found = Refuted((word,), 64, 63, "1" * 64, "1" * 63 + "0", False, 1.0)
    said = text.proof(found, tasks.parse("tomita:4")).splitlines()
    ends = "000111111111...111111111111 -> 111111111111...111111111111, right is "
    assert said[0] == f"REFUTED     {ends}111111111111...111111111110"
    assert "wrong at symbol 63 of 64" in said[1]
    number = 10**50
    found = Refuted((number, 1), 170, 3, number, number + 1, False, 1.0)
    said = text.proof(found, tasks.add()).splitlines()
    assert said[0].startswith("REFUTED     100000000000...000000000000 (51 digits) + 1 = 1000")
