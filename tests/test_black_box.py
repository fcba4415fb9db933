"""Anything that answers words: its machine is found by asking it, and AALpy reads what is found."""

import random
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carrynet as cn
from carrynet import tasks
from carrynet.errors import InputError
from carrynet.judge.black_box import BlackBox
from carrynet.nets.network import Network
from carrynet.spec import automata
from carrynet.spec.machine import Machine, shortest_difference
from tests.test_cli import carrynet
from tests.test_extract import random_machine

TASKS = ["add", "tomita:3", "tomita:5", "compare", "add:base=3", "cycle:5"]


@pytest.fixture(scope="module")
def aalpy() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, of escapes in texts, when it is first compiled
        return pytest.importorskip("aalpy")


class Sul:
    """A machine as AALpy asks one."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.state, self.open = machine, 0, False
        self.queries = 0

    def pre(self) -> None:
        assert not self.open
        self.state, self.open = 0, True
        self.queries += 1

    def step(self, letter: str) -> str:
        assert self.open
        a = self.machine.symbols.index(letter)
        out = self.machine.output[self.state][a]
        self.state = self.machine.delta[self.state][a]
        return self.machine.output_name(out)

    def post(self) -> None:
        self.open = False


@pytest.mark.parametrize("seed", range(4))
def test_a_system_is_found_again(seed: int) -> None:
    machine = random_machine(2 + 2 * seed, seed)
    found = cn.extract(Sul(machine), symbols=machine.symbols, outputs=machine.outputs)
    assert found.complete
    assert found.kind == "sampled"
    assert shortest_difference(found.machine, machine) is None
    assert len(found.machine.states) == len(machine.states)


def test_a_function_is_asked_whole_words_and_none_twice() -> None:
    asked = []

    def third_from_the_end(word: tuple[str, ...]) -> str:
        asked.append(word)
        return word[-3] if len(word) > 2 else "none"

    found = cn.extract(third_from_the_end, symbols="ab")
    assert found.complete
    assert len(found.machine.states) == 7
    assert found.machine.outputs == ("none", "a", "b")  # as they came
    assert len(set(asked)) == len(asked)
    assert all(word and set(word) <= {"a", "b"} for word in asked)
    few = cn.extract(third_from_the_end, symbols="ab", most=5)
    assert (len(few.machine.states), few.complete) == (5, False)


def test_a_network_asked_from_outside_has_the_same_machine(adder: Network) -> None:
    symbols = adder.task.machine.symbols

    def answered(word: tuple[str, ...]) -> str:
        return str(adder.transduce([symbols.index(letter) for letter in word])[-1])

    outside = cn.extract(answered, symbols=symbols, outputs=("0", "1"))
    assert outside.machine == cn.extract(adder).machine
    task = tasks.own("found", outside.machine)  # which can be trained on
    assert task.answer('"1,1" "0,0"') == "01"


def test_what_is_no_machine_is_one_line(adder: Network) -> None:
    class Drifting(Sul):
        def step(self, letter: str) -> str:
            return str(self.queries % 2)

    refused: list[tuple[Any, dict[str, Any], str]] = [
        (Drifting(adder.task.machine), {"symbols": adder.task.machine.symbols}, "otherwise than"),
        (lambda _: "2", {"symbols": "ab", "outputs": "01"}, "'2' is none of the outputs '0, 1'"),
        (lambda _: [], {"symbols": "ab"}, "must be hashable, not \\[\\]"),
        (lambda _: "1", {"symbols": ()}, "at least one of its symbols"),
        (lambda _: "1", {"symbols": "aa"}, "aa|twice|two|same"),
        (lambda _: "1", {"symbols": "ab", "words": 0}, "at least 1, not 0 and 64"),
        (lambda _: "1", {}, "a Network or a Run is asked for"),
        (5, {"symbols": "ab"}, "has pre, step and post"),
        (adder, {"symbols": "ab"}, "leave them out"),
    ]
    for subject, options, words in refused:
        with pytest.raises(InputError, match=words) as caught:
            cn.extract(subject, **options)
        assert "\n" not in str(caught.value)


def test_states_are_words() -> None:
    box = BlackBox(lambda word: len(word) % 3, symbols=("x", "y"))
    children = box.children(box.start)
    assert children.shape == (1, 2, 1)
    assert (box.children(box.start) == children).all()
    assert (box.after([1]) == children[0, 1]).all()
    answers = box.answers(children[0], np.array([[0, 0], [1, 1], [0, 1]]))
    assert (answers == np.array([1, 2])).all()  # after 2 and 3 symbols: the second and third found
    assert box.outputs == ("1", "2", "0")


# AALpy -----------------------------------------------------------------------------------


def same(machine: Machine, theirs: Any) -> bool:
    """Whether AALpy's machine answers random words alike; of digits it makes numbers."""
    letters = {str(letter): letter for letter in theirs.initial_state.transitions}
    rng = random.Random(0)
    for _ in range(100):
        word = rng.choices(range(len(machine.symbols)), k=rng.randrange(1, 30))
        given = [letters[machine.symbols[a]] for a in word]
        answered = theirs.execute_sequence(theirs.initial_state, given)
        if list(map(str, answered)) != list(map(machine.output_name, machine.transduce(word))):
            return False
    return True


@pytest.mark.parametrize("task", TASKS)
def test_aalpy_reads_our_dot_as_it_is(task: str, tmp_path: Path, aalpy: Any) -> None:
    machine = tasks.parse(task).machine
    file = tmp_path / "machine.dot"
    file.write_text(machine.to_dot())
    theirs = aalpy.utils.load_automaton_from_file(file, "mealy")
    assert theirs.size == len(machine.states)
    assert same(machine, theirs)
    first, *rest = (list(row) for row in machine.output)
    first[0] = int(first[0] == 0)
    wrong = replace(machine, output=[first, *rest])  # type: ignore[arg-type]
    assert not same(wrong, theirs)


@pytest.mark.parametrize("task", TASKS)
def test_we_read_aalpys_dot_as_it_is(task: str, tmp_path: Path, aalpy: Any) -> None:
    machine = tasks.parse(task).machine
    file = tmp_path / "ours.dot"
    file.write_text(machine.to_dot())
    theirs = aalpy.utils.load_automaton_from_file(file, "mealy")
    aalpy.utils.save_automaton_to_file(theirs, str(tmp_path / "theirs"))
    again = automata.from_dot((tmp_path / "theirs.dot").read_text())
    assert set(again.symbols) == set(machine.symbols)
    assert same(again, theirs)


def test_the_command_writes_what_aalpy_reads(
    adder: Network, tmp_path: Path, aalpy: Any, trained: cn.Run
) -> None:
    trained.save(tmp_path / "run")
    done = carrynet("automaton", "run", "--format", "dot", "--out", "learned.dot", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    theirs = aalpy.utils.load_automaton_from_file(tmp_path / "learned.dot", "mealy")
    assert same(trained.network.task.machine, theirs)


def test_a_system_of_aalpys_is_found_again(tmp_path: Path, aalpy: Any) -> None:
    """Asked by our L* as by AALpy's own."""
    machine = random_machine(8, 3)
    (tmp_path / "m.dot").write_text(machine.to_dot())
    theirs = aalpy.utils.load_automaton_from_file(tmp_path / "m.dot", "mealy")
    sul = aalpy.SULs.AutomatonSUL(theirs)
    assert isinstance(sul, aalpy.base.SUL)
    found = cn.extract(sul, symbols=theirs.get_input_alphabet())
    assert found.complete
    assert len(found.machine.states) == len(machine.states)
    assert same(found.machine, theirs)


def test_one_symbol_alone() -> None:
    found = cn.extract(lambda word: len(word) % 3 == 0, symbols=[0])
    assert found.complete
    assert len(found.machine.states) == 3
