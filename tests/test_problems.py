"""Problems as arrays, and what the samplers reach."""

import numpy as np
import pytest

from carrynet import tasks
from carrynet.data import rng, words as problems

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
    assert problems.answers(task, words).tolist() == [task.machine.run(word) for word in words]


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
