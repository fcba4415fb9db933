"""Problems as arrays, and what the samplers reach."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from carrynet import tasks
from carrynet.data import rng, words as problems
from carrynet.judge import evaluation

ALL = [
    "add",
    "add:base=3",
    "add:operands=3",
    "subtract",
    "compare",
    "multiply_by:k=3",
    "add:base=10",
]


def training_words(text: str, digits: int = 8, count: int = 20_000) -> problems.Words:
    return problems.training_words(
        tasks.parse(text), digits, seed=0, stream=rng.STAGES, start=0, count=count
    )


def chains(text: str, digits: int, count: int = 256) -> problems.Words:
    bits = rng.raw(0, 2, 0, count * digits * 2).reshape(count, digits, 2)
    return problems.chains(tasks.parse(text), digits, bits)


def numbers(text: str, words: problems.Words) -> np.ndarray:
    """The operands of each word: shape (N, operands)."""
    task = tasks.parse(text)
    digits = np.array([task.digits_of(a) for a in range(len(task.machine.symbols))])[words]
    return (digits * task.base ** np.arange(words.shape[1])[:, None]).sum(axis=1)


@pytest.mark.parametrize("text", ALL)
def test_answers_are_the_machines(text: str) -> None:
    task = tasks.parse(text)
    words = np.vstack([training_words(text, count=20), chains(text, 8, count=20)])
    assert problems.answers(task, words).tolist() == [
        task.machine.transduce(word) for word in words
    ]


@pytest.mark.parametrize("text", ALL)
def test_training_reaches_every_symbol_everywhere(text: str) -> None:
    task, words = tasks.parse(text), training_words(text)
    for t in range(8 - task.headroom):
        assert len(np.unique(words[:, t])) == len(task.machine.symbols)
    assert not words[:, 8 - task.headroom :].any()


def test_the_tutorials_problems_reach_the_extremes_evenly() -> None:
    a, b = numbers("add", training_words("add")).T
    for operand in (a, b):
        counts = np.bincount(operand, minlength=128)
        assert len(counts) == 128  # none is 2^7 or more
        # 156 of each are expected, with a standard deviation of 12.4
        assert 95 < counts.min() <= counts.max() < 220
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


@pytest.mark.parametrize("text", ALL)
def test_training_words_come_by_position(text: str) -> None:
    whole = training_words(text, count=30)
    part = problems.training_words(
        tasks.parse(text), 8, seed=0, stream=rng.STAGES, start=11, count=7
    )
    assert (part == whole[11:18]).all()


def test_chains_hold_a_carry_for_long() -> None:
    task, digits = tasks.add(), 1024
    words = chains("add", digits)
    states = np.array([task.machine.visit(word) for word in words])
    assert longest_runs(states).max() >= 1000
    assert np.median(longest_runs(states)) > 20
    uniform = training_words("add", digits, count=256)
    assert longest_runs(np.array([task.machine.visit(word) for word in uniform])).max() < 60
    # Carries that hang on one sum of 1 after another, each of which could break them.
    carried = ((words == 1) | (words == 2)) & (states[:, :-1] == 1)
    assert longest_runs(carried).max() > 100


def longest_runs(values: np.ndarray) -> np.ndarray:
    """For each row, the length of the longest run of ones."""
    best = run = np.zeros(len(values), dtype=int)
    for column in values.T:
        run = (run + 1) * (column == 1)
        best = np.maximum(best, run)
    return best


def test_chains_are_of_many_lengths() -> None:
    task = tasks.add()
    words = chains("add", 2048)
    states = np.array([task.machine.visit(word) for word in words[4:]])
    changes = (states[:, 1:] != states[:, :-1]).sum(axis=1)
    means = [changes[row::8].mean() for row in range(8)]
    assert means[0] > 2 * means[1] > 4 * means[2] > 8 * means[3] > 16 * means[4]


@pytest.mark.parametrize("text", ["add", "tomita:6", "cycle:5", "dyck:kinds=2,depth=3"])
def test_chains_of_many_states_are_looked_up_one_position_at_a_time(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = chains(text, 300, count=40)
    monkeypatch.setattr(problems, "_FEW_STATES", 0)
    assert (chains(text, 300, count=40) == expected).all()


@pytest.mark.parametrize("text", ALL)
def test_chains_hold_the_extremes(text: str) -> None:
    task = tasks.parse(text)
    words = chains(text, 16)
    found = {tuple(row) for row in numbers(text, words).tolist()}
    largest = task.base ** (16 - task.headroom) - 1
    assert (0,) * task.operands in found
    assert (largest,) * task.operands in found
    assert len(np.unique(words)) == len(task.machine.symbols)
    assert not words[:, 16 - task.headroom :].any()


def test_vectors_and_targets() -> None:
    binary = problems.tables(tasks.add())
    assert binary.vectors.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert binary.targets.tolist() == [[0], [1]]
    ternary = problems.tables(tasks.add(base=3))
    assert ternary.vectors.shape == (9, 6)
    assert ternary.vectors[5].tolist() == [0, 1, 0, 0, 0, 1]  # symbol 1,2
    assert ternary.targets.tolist() == np.eye(3).tolist()
    assert problems.tables(tasks.compare()).targets.shape == (3, 3)


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        problems.tables(tasks.add()).delta[0, 0] = 1


def test_sequences_put_time_before_batch() -> None:
    words = np.array([[[3, 0], [1, 2]]])  # one update, two problems, two positions
    x, targets = problems.sequences(tasks.add(), words, np.dtype("float64"))
    assert x.dtype == targets.dtype == np.float64
    assert x[0].tolist() == [[[1, 1], [0, 1]], [[0, 0], [1, 0]]]
    assert targets[0].tolist() == [[[0], [1]], [[1], [1]]]


# Tasks without numbers: rare words ------------------------------------------------------

WORDS = [
    *(f"tomita:{n}" for n in range(1, 8)),
    *("parity", "even_pairs", "repeat_01", "cycle:5", "modular:5", "modular:5,precedence=0"),
    *("dyck:kinds=2,depth=3", "window:length=10", "window_parity:length=4", "minimum"),
    *("dither", "repeats", "scalar_product", "is_square", "first"),
]


@pytest.mark.parametrize("text", WORDS)
def test_training_comes_to_every_transition_of_every_machine(text: str) -> None:
    task = tasks.parse(text)
    reached = set()
    for word in training_words(text, digits=24, count=16_000).tolist():
        reached |= set(zip(task.machine.visit(word), word, strict=False))
    states, symbols = len(task.machine.states), len(task.machine.symbols)
    assert reached == {(q, a) for q in range(states) for a in range(symbols)}


@pytest.mark.parametrize("text", WORDS)
@pytest.mark.parametrize("digits", [24, 64])
def test_every_outcome_is_asked_at_the_end_of_many_words(text: str, digits: int) -> None:
    """Which among uniform words of Tomita's first grammar happens once in 2^24."""
    task = tasks.parse(text)
    words = training_words(text, digits=digits, count=4_000)
    last = problems.answers(task, words)[:, -2:]  # what is accepted has an even length, for some
    shares = np.bincount(last[last != problems.OPEN], minlength=len(task.machine.outputs))
    assert shares.min() > (0.05 if "tomita" in text else 0.003) * last.size


def test_uniform_words_alone_would_not_come_there() -> None:
    task = tasks.parse("tomita:1")
    bits = rng.raw(0, 1, 0, 4_000).reshape(4_000, 1)
    words = problems.uniform(task, 24, bits)
    assert not problems.answers(task, words)[:, -1].any()


def test_walked_problems_do_not_depend_on_how_many_are_drawn() -> None:
    """So that a training that is interrupted goes on with the same ones."""
    task = tasks.parse("dyck")
    options: dict[str, Any] = {"seed": 5, "stream": rng.STAGES}
    whole = problems.training_words(task, 12, start=0, count=50, **options)
    parts = [
        problems.training_words(task, 12, start=start, count=count, **options)
        for start, count in ((0, 7), (7, 1), (8, 42))
    ]
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_a_machine_without_a_map_is_wandered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "MOST_MAPPED", 0)
    problems._map.cache_clear()
    try:
        assert training_words("dyck", digits=24, count=100).max() < 4
    finally:
        problems._map.cache_clear()


def test_long_samples_hold_words_that_are_accepted() -> None:
    for n in range(1, 8):
        task = tasks.parse(f"tomita:{n}")
        words = evaluation._drawn(task, 256, "chains", 256, 0)
        last = problems.answers(task, words)[:, -1]
        assert 20 < last.sum() < 236


@given(st.integers(1, 7), st.integers(1, 3), st.data())
def test_components_are_those_of_mutual_reach(
    states: int, symbols: int, data: st.DataObject
) -> None:
    entry = st.integers(0, states - 1)
    delta = np.array([[data.draw(entry) for _ in range(symbols)] for _ in range(states)])
    reach = np.eye(states, dtype=bool)
    for _ in range(states):
        for q, row in enumerate(delta):
            reach[q] |= reach[row].any(axis=0)
    found = problems._components(delta.astype(np.int32))
    assert ((reach & reach.T) == (found[:, None] == found)).all()


def test_every_place_of_a_number_has_every_digit_as_often() -> None:
    # of base 8 a 64-bit number holds 21 digits, and one bit that must not become one
    task, digits = tasks.parse("subtract:base=8"), 40
    draws = problems.draws_per_word(task, digits)
    words = problems.uniform(task, digits, rng.raw(0, 9, 0, 4_000 * draws).reshape(-1, draws))
    free = words[:, : digits - task.headroom]
    for operand in (free // 8, free % 8):
        counts = np.stack([(operand == digit).sum(axis=0) for digit in range(8)])
        assert (np.abs(counts - 500) < 130).all()  # six standard deviations
