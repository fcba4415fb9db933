"""Tasks against Python's own integers."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

import carrynet as cn
from carrynet import tasks
from carrynet.errors import InputError
from carrynet.spec.machine import Machine
from carrynet.spec.task import Task

ORACLES: list[tuple[Task, Callable[..., int]]] = [
    (tasks.add(), lambda *n: sum(n)),
    (tasks.add(operands=3), lambda *n: sum(n)),
    (tasks.add(operands=4), lambda *n: sum(n)),
    (tasks.add(base=3), lambda *n: sum(n)),
    (tasks.add(base=10), lambda *n: sum(n)),
    (tasks.add(base=3, operands=4), lambda *n: sum(n)),
    (tasks.add(base=16), lambda *n: sum(n)),
    (tasks.subtract(), lambda a, b: a - b),
    (tasks.subtract(base=3), lambda a, b: a - b),
    (tasks.subtract(base=10), lambda a, b: a - b),
    (tasks.compare(), lambda a, b: (a > b) - (a < b)),
    (tasks.compare(base=7), lambda a, b: (a > b) - (a < b)),
    (tasks.multiply_by(1), lambda a: a),
    (tasks.multiply_by(2), lambda a: 2 * a),
    (tasks.multiply_by(3), lambda a: 3 * a),
    (tasks.multiply_by(100), lambda a: 100 * a),
    (tasks.multiply_by(7, base=10), lambda a: 7 * a),
]
of_every_task = pytest.mark.parametrize(
    ("task", "oracle"), ORACLES, ids=lambda x: getattr(x, "text", "")
)


@of_every_task
def test_small_problems_are_all_right(task: Task, oracle: Callable[..., int]) -> None:
    most = {1: 1000, 2: 40, 3: 12, 4: 7}[task.operands]
    for operands in product(range(most), repeat=task.operands):
        assert task.answer(*operands) == oracle(*operands)


@of_every_task
@given(data=st.data())
def test_large_problems_are_right(
    task: Task, oracle: Callable[..., int], data: st.DataObject
) -> None:
    number = st.integers(0, 10**60) | st.integers(0, 400).map(lambda n: task.base**n - 1)
    operands = data.draw(st.tuples(*[number] * task.operands))
    assert task.answer(*operands) == oracle(*operands)


@of_every_task
def test_headroom_is_enough_and_not_more(task: Task, oracle: Callable[..., int]) -> None:
    largest = task.base**5 - 1
    longest = len(tasks.to_digits(abs(oracle(*[largest] * task.operands)), task.base))
    if task.family in ("add", "multiply_by"):
        assert longest == 5 + task.headroom
    else:
        assert longest <= 5 + task.headroom


def test_the_full_adder_is_the_textbook_one() -> None:
    machine = tasks.add().machine
    assert machine.states == ("0", "1")
    assert machine.symbols == ("0,0", "0,1", "1,0", "1,1")
    assert machine.delta == ((0, 0, 0, 1), (0, 1, 1, 1))
    assert machine.output == ((0, 1, 1, 0), (1, 0, 0, 1))


@pytest.mark.parametrize(("task", "states"), [(t, len(t.machine.states)) for t, _ in ORACLES])
def test_no_task_has_a_state_too_many(task: Task, states: int) -> None:
    assert len(task.machine.minimise().states) == states


@pytest.mark.parametrize(
    ("text", "encoding", "inputs", "readout", "neurons"),
    [
        ("add", "bits", 2, "bits", 1),
        ("add:operands=4", "bits", 4, "bits", 1),
        ("add:base=3", "digits", 6, "argmax", 3),
        ("add:base=10,operands=3", "digits", 30, "argmax", 10),
        ("subtract:base=4", "digits", 8, "argmax", 4),
        ("compare", "bits", 2, "argmax", 3),
        ("compare:base=5", "digits", 10, "argmax", 3),
        ("multiply_by:k=100", "bits", 1, "bits", 1),
        ("multiply_by:k=7,base=16", "digits", 16, "argmax", 16),
    ],
)
def test_the_ends_of_a_network(
    text: str, encoding: str, inputs: int, readout: str, neurons: int
) -> None:
    """What the vectors of symbols and the logits mean is a part of the specification."""
    task = tasks.parse(text)
    found = task.encoding.kind, task.inputs, task.readout, task.neurons
    assert found == (encoding, inputs, readout, neurons)
    assert repr(task) == f"Task({text!r})"


@pytest.mark.parametrize(
    ("task", "family", "headroom", "memory", "states"),
    [
        (tasks.add(), "add", 1, "carry", "01"),
        (tasks.add(operands=4), "add", 2, "carry", "0123"),
        (tasks.subtract(), "subtract", 1, "borrow", "01"),
        (tasks.compare(), "compare", 0, "so far", "=<>"),
        (tasks.multiply_by(1), "multiply_by", 0, "carry", "0"),
        (tasks.multiply_by(2), "multiply_by", 1, "carry", "01"),
        (tasks.multiply_by(3), "multiply_by", 2, "carry", "012"),
    ],
)
def test_what_is_known_of_a_task(
    task: Task, family: str, headroom: int, memory: str, states: str
) -> None:
    assert (task.base, task.family, task.headroom, task.memory) == (2, family, headroom, memory)
    assert task.machine.states == tuple(states)


def test_words_are_least_significant_digit_first() -> None:
    task = tasks.add()
    assert task.encode((6, 3)) == [0b01, 0b11, 0b10, 0b00]
    assert task.encode((0, 0)) == [0, 0]
    assert task.encode((1, 0), digits=3) == [0b10, 0, 0, 0]
    assert [task.digits_of(symbol) for symbol in task.encode((6, 3))] == [
        (0, 1),
        (1, 1),
        (1, 0),
        (0, 0),
    ]


def test_negative_answers_are_in_twos_complement() -> None:
    task = tasks.subtract()
    assert task.machine.transduce(task.encode((5, 9))) == [0, 0, 1, 1, 1]  # -4 in five digits
    assert task.decode([0, 0, 1, 1, 1]) == -4
    assert tasks.subtract(base=10).decode([6, 9, 9]) == -4
    # the upper half of a base's digits on top is below 0
    assert [tasks.subtract(base=10).decode([d]) for d in (0, 4, 5, 9)] == [0, 4, -5, -1]
    assert [tasks.subtract(base=3).decode([d]) for d in range(3)] == [0, 1, -1]


@example(10**3000, 2)
@given(st.integers(0, 10**600), st.integers(2, 16))
def test_digits_and_back(value: int, base: int) -> None:
    digits = tasks.to_digits(value, base)
    assert all(0 <= digit < base for digit in digits)
    assert digits[-1] or value == 0
    assert tasks.from_digits(digits, base) == value
    assert sum(digit * base**i for i, digit in enumerate(digits)) == value


def test_text_and_back() -> None:
    for text, task in {
        "add": tasks.add(2, 2),
        "add:base=3": tasks.add(base=3),
        "add:base=16,operands=4": tasks.add(16, 4),
        "subtract": tasks.subtract(2),
        "subtract:base=16": tasks.subtract(16),
        "compare": tasks.compare(2),
        "compare:base=10": tasks.compare(10),
        "multiply_by:k=3": tasks.multiply_by(3, 2),
        "multiply_by:k=3,base=10": tasks.multiply_by(3, 10),
    }.items():
        assert tasks.parse(text) == task
        assert task.text == text
    assert tasks.parse("add:base=2, operands=2").text == "add"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ad", "did you mean 'add'"),
        ("add:bas=3", "did you mean 'base'"),
        ("add:base=17", "base must be a whole number from 2 to 16, not 17"),
        ("add:base=1", "from 2 to 16"),
        ("add:operands=5", "from 2 to 4"),
        ("add:base=x", "base must be a whole number, not 'x'"),
        ("add:base=-3", "not '-3'"),
        ("add:base", "not ''"),
        ("multiply_by", "needs k"),
        ("add:operands=1", "operands must be a whole number from 2 to 4, not 1"),
        ("subtract:base=17", "base must be a whole number from 2 to 16, not 17"),
        ("subtract:base=1", "base must be a whole number from 2 to 16, not 1"),
        ("compare:base=17", "base must be a whole number from 2 to 16, not 17"),
        ("compare:base=1", "base must be a whole number from 2 to 16, not 1"),
        ("multiply_by:k=3,base=17", "base must be a whole number from 2 to 16, not 17"),
        ("multiply_by:k=3,base=1", "base must be a whole number from 2 to 16, not 1"),
        ("multiply_by:k=0", "k must be a whole number from 1 to 100, not 0"),
        ("multiply_by:k=101", "k must be a whole number from 1 to 100, not 101"),
        ("", "unknown task"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tasks.parse(text)


@pytest.mark.parametrize(
    ("operands", "digits", "message"),
    [
        ((1,), None, "takes 2 operands, not 1"),
        ((1, 2, 3), None, "takes 2 operands, not 3"),
        ((1, -2), None, "operand -2 is negative"),
        ((1, 2.0), None, "operand 2.0 is not an integer"),
        ((1, "2"), None, "operand '2' is not an integer"),
        ((1, 8), 3, "has 4 digits in base 2, not 3"),
        ((1, 1), 10**9, "too long: at most 10,000,000"),
        ((1, 1), tasks.MAX_WORD, "a word of 10,000,001 symbols is too long"),
        ((1, 1 << 40_000_000), None, "longer than 10,000,000 digits"),
    ],
)
def test_bad_operands_are_refused(
    operands: tuple[int, ...], digits: int | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        tasks.add().encode(operands, digits)


def test_problems_as_text() -> None:
    assert tasks.add().write((118, 8), 126) == "118 + 8 = 126"
    assert tasks.add(operands=3).write((1, 2, 3), 6) == "1 + 2 + 3 = 6"
    assert tasks.subtract().write((5, 9), -4) == "5 - 9 = -4"
    assert [tasks.compare().write((5, 9), answer) for answer in (-1, 0, 1)] == [
        "5 < 9",
        "5 = 9",
        "5 > 9",
    ]
    assert tasks.multiply_by(3).write((14,), 42) == "3 × 14 = 42"


# Tasks of one's own


def weighted() -> Machine:
    """The machine of a + 2b, whose carry is 0, 1 or 2."""
    rows = [[divmod(carry + a + 2 * b, 2) for a in (0, 1) for b in (0, 1)] for carry in range(3)]
    return Machine(
        states=("0", "1", "2"),
        symbols=("0,0", "0,1", "1,0", "1,1"),
        outputs=("0", "1"),
        delta=tuple(tuple(there for there, _ in row) for row in rows),
        output=tuple(tuple(out for _, out in row) for row in rows),
    )


WEIGHTED = tasks.Digits(operands=2, headroom=2, memory="carry", equation="{} + 2 * {} = {answer}")


def test_a_task_of_ones_own_is_known_by_its_digest() -> None:
    own = tasks.own("weighted", weighted(), codec=WEIGHTED)
    assert own.text == f"weighted@{own.digest()[:12]}"
    assert all(own.answer(a, b) == a + 2 * b for a in range(20) for b in range(20))
    assert own.write((5, 7), own.answer(5, 7)) == "5 + 2 * 7 = 19"
    again = tasks.own("weighted", weighted(), codec=WEIGHTED)
    assert (again, hash(again)) == (own, hash(own))
    flipped = replace(weighted(), output=((1, 1, 0, 0), *weighted().output[1:]))
    others = [
        tasks.own("weighted", flipped, codec=WEIGHTED),
        tasks.own("weighted", weighted(), codec=replace(WEIGHTED, headroom=3)),
        tasks.own("weighted", weighted(), codec=replace(WEIGHTED, equation="{} {} {answer}")),
        tasks.own("weighted", weighted(), codec=WEIGHTED, encoding=tasks.Encoding("one-hot")),
        tasks.own("weighed", weighted(), codec=WEIGHTED),
    ]
    assert len({own, *others}) == 6
    assert len({task.text for task in (own, *others)}) == 6


def test_a_task_is_no_other_machines() -> None:
    own = tasks.own("weighted", weighted(), codec=WEIGHTED)
    with pytest.raises(InputError, match="its machine was changed since"):
        replace(own, encoding=tasks.Encoding("one-hot"))


def test_a_machine_that_is_built_in_is_known_as_such() -> None:
    for text in ("add", "tomita:4"):
        task = tasks.parse(text)
        assert tasks.parse(tasks.own(text, task.machine, codec=task.codec)) is task
    other = tasks.own("bitwise_not", tasks.parse("bitwise_not").machine)  # words, not numbers
    assert tasks.parse(other) is other != tasks.parse("bitwise_not")


def test_a_task_of_ones_own_is_trained_and_proved() -> None:
    task = tasks.own("weighted", weighted(), codec=WEIGHTED)
    settings: dict[str, Any] = {"harden.steps": 2000}
    run = cn.train("certified", task=task, hidden=16, digits=12, progress=False, **settings)
    assert isinstance(run.proof, cn.Proved)
    assert run.network.compute(10**30, 10**29) == 10**30 + 2 * 10**29
    assert run.proof.certificate.task == task.text


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("two words", {}, "a word of up to 64 letters"),
        ("", {}, "a word of up to 64 letters"),
        ("加权", {}, "a word of up to 64 letters"),
        ("x" * 65, {}, "a word of up to 64 letters"),
        ("other", {"operands": 1, "equation": ""}, "2 symbols, the machine has 4"),
        ("other", {"base": 1}, "base must be a whole number from 2 to 16"),
        ("other", {"base": 17}, "base must be a whole number from 2 to 16"),
        ("other", {"operands": 0}, "operands must be a whole number from 1 to 4"),
        ("other", {"operands": 5}, "operands must be a whole number from 1 to 4"),
        ("other", {"headroom": -1}, "headroom must be a whole number from 0 to 64"),
        ("other", {"headroom": 65}, "headroom must be a whole number from 0 to 64"),
        ("other", {"first": "most"}, "there can be none"),
        ("other", {"first": "last"}, "first must be one of least, most"),
        ("other", {"answer": "words"}, "answer must be one of number, complement, relation"),
        ("other", {"answer": "relation"}, "a relation needs the 3 outputs"),
        ("other", {"equation": "{} {} {}"}, "equation"),
        ("other", {"equation": "{sum}"}, "equation"),
        ("other", {"equation": "{0.__class__} {1}"}, "equation"),
        ("other", {"equation": "{:>9999999} {}"}, "equation"),
        ("other", {"memory": "\x1b[31m"}, "memory must be printable text"),
    ],
)
def test_what_is_no_task_is_refused(name: str, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        tasks.own(name, weighted(), codec=replace(WEIGHTED, **change))


def test_what_is_not_said_of_a_task_of_ones_own() -> None:
    bits, flip = ("0", "1"), ((0, 1), (1, 0))
    machine = Machine(("even", "odd"), bits, bits, flip, flip)
    parity = tasks.own("parity", machine, codec=tasks.Digits())
    said = parity.base, parity.operands, parity.headroom, parity.memory
    assert said == (2, 1, 0, "state")
    assert parity.write((5,), parity.answer(5)) == "parity(5) = 3"  # 101, read from below: 1 1 0
    words = tasks.own("parity", machine)
    assert (words.encoding.kind, words.inputs, words.numeric) == ("one-hot", 2, False)
    assert words.write(("101",), words.answer("101")) == "101 -> 110"
    eight = Machine(("q",), tuple("abcdefgh"), bits, ((0,) * 8,), ((0,) * 8,))
    assert tasks.own("eight", eight, codec=tasks.Digits(operands=3)).inputs == 3


def test_a_machine_with_one_output_is_refused() -> None:
    machine = Machine(("q",), ("0", "1"), ("x",), ((0, 0),), ((0, 0),))
    with pytest.raises(InputError, match="from 2 to 2 outputs"):
        tasks.own("other", machine, codec=tasks.Digits())
    with pytest.raises(InputError, match="at least 2 outputs"):
        tasks.own("other", machine)


def test_a_machine_with_more_outputs_than_digits_is_refused() -> None:
    machine = Machine(("q",), ("0", "1"), ("x", "y", "z"), ((0, 0),), ((0, 2),))
    with pytest.raises(InputError, match="from 2 to 2 outputs"):
        tasks.own("other", machine, codec=tasks.Digits())


def test_a_machine_that_asks_nothing_is_refused() -> None:
    machine = Machine(("q", "r"), ("0", "1"), ("x", "y"), ((0, 0), (1, 1)), ((None,) * 2, (0, 1)))
    with pytest.raises(InputError, match="asks nothing"):
        tasks.own("other", machine)
