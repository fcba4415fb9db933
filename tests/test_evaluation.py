"""Evaluation against brute force with Python's integers."""

import json
from functools import cache
from itertools import product

import numpy as np
import pytest

import carrynet as cn
from carrynet import tasks
from carrynet.data import rng, words as problems
from carrynet.engines import ENGINES, reference
from carrynet.errors import InputError
from carrynet.judge import evaluation, measures
from carrynet.judge.evaluation import (
    Evaluation,
    by_length,
    evaluate,
    sample,
    wilson,
)
from carrynet.judge.measures import rate, shares
from carrynet.judge.work import work
from carrynet.learn import training
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights, initialise
from carrynet.spec.machine import Machine
from carrynet.spec.recipe import RECIPES
from tests.conftest import hand_built_adder


def briefly(task: str, steps: int, hidden: int = 32) -> Network:
    """Trained for some steps; by NumPy, since to build a kernel would take longer."""
    settings = {"task": task, "steps": steps, "hidden": hidden}
    return training.fit(RECIPES["plain-adam"].with_settings(settings), engine="numpy")


half_trained = cache(briefly)


@cache
def by_brute_force(task: str, digits: int, steps: int) -> tuple[int, float]:
    """How many problems are right, one at a time, and the smallest margin of their answers."""
    network = half_trained(task, steps)
    machine = network.task.machine
    right, smallest = 0, np.inf
    for operands in product(range(network.task.base**digits), repeat=network.task.operands):
        word = network.task.encode(operands, digits)
        right += network.transduce(word) == machine.transduce(word)
        smallest = min(smallest, work(network, operands).margins.min())
    return right, smallest


@pytest.mark.parametrize(
    ("task", "digits"),
    [
        ("add", 4),
        ("add:base=3", 3),
        ("add:operands=3", 2),
        ("subtract", 4),
        ("compare", 4),
        ("multiply_by:k=5", 7),
    ],
)
@pytest.mark.parametrize("steps", [1, 150, 400])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_problem_is_counted_once(task: str, digits: int, steps: int, engine: str) -> None:
    network = half_trained(task, steps)
    machine = network.task.machine
    right, smallest = by_brute_force(task, digits, steps)
    result = evaluate(network, digits, engine=engine)
    assert result.pairs == len(machine.symbols) ** digits
    assert result.right == right
    # `work` uses only as many digits as the operands need; the others are covered too
    assert result.margin <= smallest + 1e-5 * abs(smallest)
    if result.wrong is None:
        assert right == result.pairs
    else:
        word = network.task.encode(result.wrong, digits)
        assert network.transduce(word) != machine.transduce(word)
        assert network.task.decode(network.transduce(word)) == result.answered


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    network = half_trained("add", 300)
    whole = evaluate(network, 6)
    assert 0 < whole.right < whole.pairs
    assert evaluate(network, 6, engine="numpy").right == whole.right
    monkeypatch.setattr(reference, "_CHILD_FLOATS", 32 * 4 * 7)  # seven parents at a time
    monkeypatch.setattr(evaluation, "_SUBTREE_PAIRS", 300)
    small = evaluate(network, 6, engine="numpy")
    assert (small.right, small.pairs) == (whole.right, whole.pairs)
    assert small.margin == pytest.approx(whole.margin, rel=1e-4)


def test_the_tree_follows_the_network_to_float32(trained: cn.Run) -> None:
    result = evaluate(trained.network, 8)
    assert (result.digits, result.pairs, result.right) == (8, 65_536, 65_536)
    worst = min(work(trained.network, (a, b)).margins.min() for a, b in [(255, 255), (85, 170)])
    assert 0 < result.margin <= worst * (1 + 1e-4)


@pytest.mark.parametrize("hidden", [1, 3, 17, 33, 100])
@pytest.mark.parametrize("task", ["add", "compare", "add:base=3", "multiply_by:k=5"])
def test_engines_agree_on_odd_shapes(task: str, hidden: int) -> None:
    network = briefly(task, 60, hidden)
    digits = evaluation.affordable_digits(network.task, 8, 2**12)
    one, *others = (evaluate(network, digits, engine=engine) for engine in ENGINES)
    for other in others:
        assert one.margin == pytest.approx(other.margin, rel=1e-4)
        assert (one.right, one.wrong) == (other.right, other.wrong)
    for kind in evaluation.KINDS:
        first, *rest = (sample(network, 40, kind, pairs=37, engine=engine) for engine in ENGINES)
        for other_sample in rest:
            assert first.right == other_sample.right
            assert first.first_error == other_sample.first_error


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_do_not_matter(engine: str) -> None:
    network = half_trained("add", 300)
    results = {evaluate(network, 7, engine=engine, threads=threads) for threads in (1, 2, 5)}
    assert len(results) == 1
    samples = {sample(network, 50, engine=engine, threads=threads) for threads in (1, 3)}
    assert len(samples) == 1
    some = [
        sample(network, digits, kind, engine=engine)
        for digits in (16, 64)
        for kind in evaluation.KINDS
    ]
    for threads in (1, 3):
        assert list(by_length(network, (16, 64), engine=engine, threads=threads)) == some


def test_the_carry_out_of_the_top_counts(adder: Network) -> None:
    # A unit that needs an input of 1 to fire forgets the carry exactly where both digits are 0.
    w, first = adder.weights, np.array([40.0, 0, 0])
    blind = Network(adder.task, "sigmoid", w.replace(bh=w.bh - first, Wxh=w.Wxh + first))
    assert [blind.add(*pair) for pair in [(0, 0), (0, 1), (1, 0), (1, 1)]] == [0, 1, 1, 0]
    result = evaluate(blind, 1)
    assert (result.pairs, result.right, result.wrong, result.answered) == (4, 3, (1, 1), 0)
    assert evaluate(adder, 1).right == 4


def test_a_network_that_forgets_is_caught(forgetful: Network) -> None:
    result = evaluate(forgetful, 3)
    assert result.right == 3**3  # no digit where both operands have a 1
    assert result.wrong is not None
    a, b = map(int, result.wrong)
    assert a & b
    assert result.answered == a ^ b
    assert result.margin < 0
    for part in by_length(forgetful, (16, 64)):
        assert part.right < part.pairs
        assert part.first_error is not None


def test_the_hand_built_adder_is_right_at_every_length(adder: Network) -> None:
    for part in by_length(adder):
        assert part.right == part.pairs == 256
        assert part.first_error is None
        assert part.margin == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", evaluation.KINDS)
def test_samples_agree_with_one_problem_at_a_time(kind: str, engine: str) -> None:
    network = half_trained("add", 300)
    result = sample(network, 20, kind, pairs=50, engine=engine)
    words = sampled_words(network, 20, kind, 50)
    machine = network.task.machine
    wrong = [
        [
            t
            for t, (p, e) in enumerate(zip(network.transduce(w), machine.transduce(w), strict=True))
            if p != e
        ]
        for w in words
    ]
    assert result.right == sum(not errors for errors in wrong) < 50
    assert result.first_error == min(errors[0] for errors in wrong if errors)


def sampled_words(
    network: Network, digits: int, kind: str, pairs: int, seed: int = 0
) -> list[list[int]]:
    seen: list[np.ndarray] = []
    original = getattr(problems, kind)

    def spy(*arguments: object) -> np.ndarray:
        seen.append(original(*arguments))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problems, kind, spy)
        sample(network, digits, kind, pairs=pairs, seed=seed)
    assert seen[0].shape == (pairs, digits + network.task.headroom)
    return seen[0].tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_chains_find_what_uniform_samples_miss(engine: str) -> None:
    # The carry unit feeds itself through a sigmoid of slope k/4 at its middle: below k = 4
    # it has no two stable states, and a carry fades, but slowly.
    fading = hand_built_adder(sharpness=3.8)
    single = Network(fading.task, "sigmoid", fading.weights.map(lambda w: w.astype(np.float32)))
    uniform, chains = (sample(single, 256, kind, engine=engine) for kind in evaluation.KINDS)
    assert evaluate(single, 6, engine=engine).right == 4**6
    assert uniform.right == uniform.pairs
    assert chains.right < chains.pairs


@pytest.mark.parametrize("kind", evaluation.KINDS)
def test_the_seed_of_a_sample_decides(adder: Network, kind: str) -> None:
    one, again, other = (sampled_words(adder, 16, kind, 40, seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other


def test_the_kinds_are_drawn_from_different_streams(
    adder: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = []
    original = rng.raw

    def spy(seed: int, stream: int, start: int, count: int) -> np.ndarray:
        streams.append(stream)
        return original(seed, stream, start, count)

    monkeypatch.setattr(rng, "raw", spy)
    by_length(adder, (16,))
    assert len(set(streams)) == 2
    assert not {rng.WEIGHTS, rng.STAGES} & set(streams)


def test_too_many_problems_are_refused(adder: Network) -> None:
    with pytest.raises(InputError, match=r"4\^17 problems .* at most 16 digits"):
        evaluate(adder, 17)
    with pytest.raises(InputError, match="too many"):
        evaluate(adder, 10**9)
    with pytest.raises(InputError, match="at least 1, not 0"):
        evaluate(adder, 0)


def test_affordable_digits() -> None:
    assert evaluation.affordable_digits(tasks.add(), 8) == 8
    assert evaluation.affordable_digits(tasks.add(), 12) == 10
    assert evaluation.affordable_digits(tasks.add(base=10), 8) == 3
    assert evaluation.affordable_digits(tasks.add(base=16, operands=4), 8) == 1


def test_one_problem_worked(adder: Network, forgetful: Network) -> None:
    worked = work(adder, (3, 1), hidden=True)
    assert worked.predicted == worked.expected == [0, 0, 1]
    assert worked.memory == [0, 1, 1, 0]
    assert (worked.answer, worked.right_answer, worked.right) == (4, 4, True)
    assert worked.hidden is not None
    assert worked.hidden.round().tolist() == [[1, 1, 0], [1, 1, 0], [1, 0, 0]]
    assert worked.margins == pytest.approx([20, 20, 20], abs=0.01)
    assert worked.error < 1e-6

    wrong = work(forgetful, (3, 1))
    assert wrong.hidden is None
    assert (wrong.answer, wrong.right_answer, wrong.right) == (2, 4, False)
    assert wrong.error == pytest.approx(2, abs=1e-6)  # two digits wrong by one each
    assert wrong.to_json() == {"operands": [3, 1], "predicted": 2, "expected": 4, "right": False}


@pytest.mark.parametrize("engine", ENGINES)
def test_states_that_overflow_are_wrong_and_finite(engine: str) -> None:
    exploding = Network(
        tasks.add(),
        "relu",
        Weights(
            Wxh=np.ones((2, 2), np.float32),
            Whh=np.full((2, 2), 1e6, np.float32),
            bh=np.zeros(2, np.float32),
            Why=np.array([[1], [-1]], np.float32),
            by=np.zeros(1, np.float32),
        ),
    )
    result = sample(exploding, 64, engine=engine)
    assert result.right < result.pairs
    assert result.margin == -np.finfo(np.float32).max
    assert np.isfinite(evaluate(exploding, 8, engine=engine).margin)
    assert not work(exploding, (2**60, 1)).right
    # infinitely wrong, in a way that leaves numbers
    bias = exploding.weights.replace(Why=np.array([[1], [0]], np.float32))
    infinite = Network(exploding.task, "relu", bias)
    assert np.isfinite(sample(infinite, 64, engine=engine).margin)
    assert np.isfinite(evaluate(infinite, 8, engine=engine).margin)


def test_evaluations_as_json_and_back(forgetful: Network) -> None:
    result = Evaluation(evaluate(forgetful, 3), by_length(forgetful, (16,)))
    assert not result.right
    document = json.loads(json.dumps(result.to_json()))
    assert Evaluation.from_json(document, forgetful.task) == result


@pytest.mark.parametrize(
    "changes",
    [
        {"right": "x"},
        {"right": True},
        {"right": 2**3},
        {"right": -1},
        {"right": 4**3, "wrong": None, "answered": None},  # with a margin below zero
        {"margin": None},
        {"digits": None},
        {"digits": 0},
        {"digits": 33},
        {"pairs": 0},
        {"pairs": 4**4},
        {"wrong": [1]},
        {"wrong": ["a", 3]},
        {"wrong": [9, 9]},
        {"wrong": 3},
        {"wrong": None},
        {"answered": None},
        {"answered": "4"},
        {"doubtful": None},
        {"more": 1},
    ],
    ids=str,
)
def test_evaluations_that_cannot_be(forgetful: Network, changes: dict[str, object]) -> None:
    result = Evaluation(evaluate(forgetful, 3), by_length(forgetful, (16,)))
    document = json.loads(json.dumps(result.to_json()))
    document["exhaustive"] |= changes
    if "right" in changes and changes["right"] == 2**3:
        document["exhaustive"]["pairs"] = 7
    with pytest.raises((ValueError, TypeError)):
        Evaluation.from_json(document, forgetful.task)
    document = json.loads(json.dumps(result.to_json()))
    for part in ({"kind": "odd"}, {"first_error": None}, {"first_error": "1"}, {"digits": None}):
        other = {**document, "sampled": [document["sampled"][0] | part]}
        with pytest.raises((ValueError, TypeError)):
            Evaluation.from_json(other, forgetful.task)


def test_the_wilson_interval() -> None:
    # Agresti and Coull (1998); Newcombe (1998), table I
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(29, 29) == pytest.approx((0.8830, 1), abs=5e-5)
    assert wilson(0, 0) == (0, 1)
    for count in (1, 7, 1000):
        for hits in range(0, count + 1, max(1, count // 7)):
            low, high = wilson(hits, count)
            assert 0 <= low <= hits / count <= high <= 1
            # the ends are the rates of which this one is z standard errors away
            for p in {low, high} - {0.0, 1.0}:
                error = (p * (1 - p) / count) ** 0.5
                assert abs(hits / count - p) == pytest.approx(1.959964 * error, rel=1e-5)


def test_the_share_that_is_wrong_of_a_network_that_never_carries(forgetful: Network) -> None:
    """It is right where no two ones meet: with n digits, of (3/4)^n of all pairs."""
    told = shares(forgetful, (1, 2, 4, 8, 16))
    assert told == shares(forgetful, (1, 2, 4, 8, 16))
    for share in told:
        assert share.problems == 2048
        expected = 1 - 0.75**share.digits
        error = (expected * (1 - expected) / share.problems) ** 0.5
        assert abs(share.wrong / share.problems - expected) < 4 * error
        low, high = share.interval
        assert low < share.wrong / share.problems < high


def test_shares_are_of_other_problems_than_samples(
    forgetful: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search may have begun at a sample's error: whoever counts that again counts too many."""
    drawn: list[tuple[int, int]] = []
    raw = rng.raw

    def noted(seed: int, stream: int, start: int, count: int) -> object:
        drawn.append((seed, stream))
        return raw(seed, stream, start, count)

    monkeypatch.setattr(rng, "raw", noted)
    by_length(forgetful, (16, 64), pairs=8)
    theirs = set(drawn)
    drawn.clear()
    shares(forgetful, (16, 64))
    assert len(set(drawn)) == 2
    assert not theirs & set(drawn)


def test_of_a_large_network_fewer_problems_are_drawn() -> None:
    """And never so few that nothing could be said."""
    task = tasks.parse("parity")
    counts = {}
    for hidden in (8, 64, 256):
        network = Network(task, "gru", initialise(task, hidden, "gru", width=0.1))
        (share,) = shares(network, (64,))
        counts[hidden] = share.problems
    assert counts[8] == 2048 > counts[64] > counts[256] == 32


def test_the_rate_is_that_of_an_evaluation(adder: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes a microsecond a problem, and once stands still for other work."""
    now = [0.0]

    def slowly(network: Network, digits: int, **_: object) -> None:
        now[0] += 1e-6 * 4**digits + 0.1 * (digits == 3)

    monkeypatch.setattr(measures, "evaluate", slowly)
    monkeypatch.setattr(measures, "monotonic", lambda: now[0])
    assert rate(adder) == pytest.approx(1e6)
    assert now[0] < 1


def test_of_one_symbol_there_is_one_word_of_each_length() -> None:
    """Of which none takes long enough to be timed: the rate is measured all the same."""
    machine = Machine(("odd", "even"), ("tick",), ("0", "1"), ((1,), (0,)), ((0,), (1,)))
    task = tasks.own("clock", machine)
    assert rate(Network(task, "gru", initialise(task, 2, "gru"))) > 0
