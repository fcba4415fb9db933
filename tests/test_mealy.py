"""Machines: answers, minimisation, differences, drawings."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from carrynet import tasks
from carrynet.errors import InputError
from carrynet.spec.machine import Machine, shortest_difference

ADDER = Machine(
    states=("carry 0", "carry 1"),
    symbols=("0,0", "0,1", "1,0", "1,1"),
    outputs=("0", "1"),
    delta=((0, 0, 0, 1), (0, 1, 1, 1)),
    output=((0, 1, 1, 0), (1, 0, 0, 1)),
)


@st.composite
def machines(draw: st.DrawFn, symbols: int = 2, outputs: int = 2) -> Machine:
    """Random complete machines, many of them with states that are equal or out of reach."""
    states = draw(st.integers(1, 6))

    def table(bound: int) -> tuple[tuple[int, ...], ...]:
        entry = st.integers(0, bound - 1)
        return tuple(tuple(draw(entry) for _ in range(symbols)) for _ in range(states))

    return Machine(
        states=tuple(f"q{i}" for i in range(states)),
        symbols=tuple("ab"[:symbols]),
        outputs=tuple("01"[:outputs]),
        delta=table(states),
        output=table(outputs),
    )


def words(symbols: int, longest: int) -> list[tuple[int, ...]]:
    return [word for n in range(1, longest + 1) for word in product(range(symbols), repeat=n)]


def test_it_runs_as_the_tables_say() -> None:
    assert ADDER.transduce([3, 2, 0]) == [0, 0, 1]  # 3 + 1 = 4
    assert ADDER.visit([3, 2, 0]) == [0, 1, 1, 0]
    assert ADDER.transduce([]) == []


@given(machines())
def test_minimised_answers_alike_and_is_smallest(machine: Machine) -> None:
    small = machine.minimise()
    tests = words(2, 6)
    assert all(small.transduce(word) == machine.transduce(word) for word in tests)
    # No two of its states answer every short word alike, and each can be reached.
    behaviours = set()
    for q in range(len(small.states)):
        answers = []
        for word in words(2, 5):
            state, outputs = q, []
            for symbol in word:
                outputs.append(small.output[state][symbol])
                state = small.delta[state][symbol]
            answers.append(tuple(outputs))
        behaviours.add(tuple(answers))
    assert len(behaviours) == len(small.states)
    assert {small.visit(word)[-1] for word in tests} | {0} == set(range(len(small.states)))


@given(machines(), machines())
def test_minimised_tables_are_equal_exactly_when_answers_are(one: Machine, other: Machine) -> None:
    a, b = one.minimise(), other.minimise()
    same = (a.delta, a.output) == (b.delta, b.output)
    assert same == (shortest_difference(one, other) is None)


@given(machines(), machines())
def test_shortest_difference_is_one_and_is_shortest(one: Machine, other: Machine) -> None:
    found = shortest_difference(one, other)
    differing = [word for word in words(2, 7) if one.transduce(word) != other.transduce(word)]
    if found is None:
        assert not differing
    else:
        assert one.transduce(found)[-1] != other.transduce(found)[-1]
        assert one.transduce(found)[:-1] == other.transduce(found)[:-1]
        if differing:
            assert tuple(found) == min(differing, key=lambda word: (len(word), word))


def test_shortest_difference_of_nearly_equal_machines() -> None:
    # Forgets a carry only after it has come through three digits.
    limited = Machine(
        states=("0", "1", "2", "3"),
        symbols=ADDER.symbols,
        outputs=ADDER.outputs,
        delta=((0, 0, 0, 1), (0, 2, 2, 1), (0, 3, 3, 1), (0, 0, 0, 1)),
        output=(ADDER.output[0], ADDER.output[1], ADDER.output[1], ADDER.output[1]),
    )
    assert shortest_difference(ADDER, limited) == [3, 1, 1, 1, 0]


def test_equal_machines_are_found_in_other_processes_too() -> None:
    script = (
        "import pickle, sys; from carrynet import tasks; "
        "sent = pickle.load(sys.stdin.buffer); assert sent in {tasks.add(): 1}"
    )
    task = tasks.add()
    hash(task)
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", script],
            input=pickle.dumps(task),
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )


def test_different_alphabets_are_not_compared() -> None:
    other = Machine(("q",), ("x",), ("0",), ((0,),), ((0,),))
    with pytest.raises(InputError, match="different symbols"):
        shortest_difference(ADDER, other)


@pytest.mark.parametrize(
    ("states", "delta", "output", "message"),
    [
        ("q", ((0, 0, 0),), ((0, 0),), "delta needs one column for each symbol"),
        ("q", ((0, 0),), ((0,),), "output needs one column for each symbol"),
        ("q", ((0, 1),), ((0, 0),), r"delta has an entry outside 0\.\.0"),
        ("q", ((-1, 0),), ((0, 0),), r"delta has an entry outside 0\.\.0"),
        ("q", ((0, 0),), ((0, 2),), r"output has an entry outside 0\.\.1"),
        ("q", ((0, 0),), ((-1, 0),), r"output has an entry outside 0\.\.1"),
        ("q", (), (), "delta needs one row for each of 1 states"),
        ("pq", ((0, 0),) * 2, ((0, 0),), "output needs one row for each of 2 states"),
        ("pq", ((0, 0),) * 2, ((0, 0),) * 3, "output needs one row for each of 2 states"),
        ("", (), (), "needs at least one of its states"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    states: str, delta: tuple[Any, ...], output: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Machine(tuple(states), ("a", "b"), ("0", "1"), delta, output)


def test_mermaid() -> None:
    assert ADDER.to_mermaid() == (
        "stateDiagram-v2\n"
        '    state "carry 0" as s0\n'
        '    state "carry 1" as s1\n'
        "    [*] --> s0\n"
        "    s0 --> s0: 0,0 / 0#59; 0,1 / 1#59; 1,0 / 1\n"
        "    s0 --> s1: 1,1 / 0\n"
        "    s1 --> s0: 0,0 / 1\n"
        "    s1 --> s1: 0,1 / 0#59; 1,0 / 0#59; 1,1 / 1\n"
    )


def test_dot() -> None:
    """As AALpy loads it: the file is one that it does."""
    machine = replace(ADDER, states=("A", "B"))
    assert machine.to_dot() == (Path(__file__).parent / "data" / "adder.dot").read_text()


def test_names_with_special_characters_are_escaped() -> None:
    odd = Machine(('say "<;"',), ("a",), ('"\\"',), ((0,),), ((0,),))
    assert r'label="say \"<;\""' in odd.to_dot()
    assert r'label="a/\"\\\""' in odd.to_dot()
    assert 'state "say #quot;#lt;#59;#quot;" as s0' in odd.to_mermaid()
    every = replace(odd, states=('#";:<>',))
    assert 'state "#35;#quot;#59;#58;#lt;#gt;" as s0' in every.to_mermaid()


def test_drawings_of_large_alphabets_stay_readable() -> None:
    symbols = tuple(map(str, range(100)))
    large = Machine(("q",), symbols, ("0",), ((0,) * 100,), ((0,) * 100,))
    assert "and 92 more" in large.to_mermaid()
    eight = Machine(("q",), symbols[:8], ("0",), ((0,) * 8,), ((0,) * 8,))
    assert eight.edges() == [(0, 0, tuple(range(8)))]
    assert eight.labels(0, range(8)) == [f"{symbol} / 0" for symbol in symbols[:8]]


def test_the_table_as_text() -> None:
    assert str(ADDER) == (
        "         0,0          0,1          1,0          1,1\n"
        "carry 0  carry 0 / 0  carry 0 / 1  carry 0 / 1  carry 1 / 0\n"
        "carry 1  carry 0 / 1  carry 1 / 0  carry 1 / 0  carry 1 / 1"
    )
    assert len(str(Machine(("q",), ("x",), ("0",), ((0,),), ((0,),))).splitlines()) == 2


def test_states_that_are_one_keep_their_names() -> None:
    (none, carry), delta = ADDER.output, ((0, 2, 2, 1), (0, 1, 1, 1), (0, 0, 0, 1))
    states, output = ("0", "1", "0 again"), (none, carry, none)
    twice = replace(ADDER, states=states, delta=delta, output=output)
    assert twice.minimise().states == ("0/0 again", "1")
