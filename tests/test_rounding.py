"""Networks within rounding of zero: what is counted, shown and refuted is one and the same.

The oracle is the network asked for one word at a time, all words of some length.
"""

import json
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

import carrynet as cn
from carrynet.engines import ENGINES, reference
from carrynet.judge import evaluation, extraction as extract
from carrynet.judge.evaluation import KINDS, Evaluation, by_length, evaluate, sample
from carrynet.judge.work import work
from carrynet.learn import training
from carrynet.nets.network import Network
from carrynet.proof import search
from carrynet.proof.verdict import Refuted, Undecided
from carrynet.report import text
from carrynet.spec.recipe import RECIPES
from tests.test_refute import barely_wrong

DIGITS = 5
of_every_engine = pytest.mark.parametrize("engine", ENGINES)


def words(network: Network) -> list[list[int]]:
    pairs = product(range(2**DIGITS), repeat=network.task.operands)
    return [network.task.encode(pair, DIGITS) for pair in pairs]


@cache
def nearly_zero(activation: str, seed: int, ulps: int, task: str = "add") -> Network:
    """A trained network, its output shifted until its smallest margin is a few ulps."""
    settings = {"task": task, "hidden": 8, "steps": 400, "seed": seed, "activation": activation}
    network = training.fit(RECIPES["plain-adam"].with_settings(settings))
    answered = [
        (margin, output)
        for word in words(network)
        for margin, output in zip(
            alone(network, word)[1], network.task.machine.transduce(word), strict=True
        )
    ]
    margin, output = min(answered)
    by = network.weights.by - (margin if output else -margin)
    for _ in range(abs(ulps)):
        by = np.nextafter(by, np.float32(np.inf * ulps))
    return Network(network.task, activation, network.weights.replace(by=by))


def alone(network: Network, word: list[int]) -> tuple[bool, np.ndarray]:
    """Whether a word, asked by itself, is answered rightly, and its margins; bits only."""
    expected = np.array(network.task.machine.transduce(word))
    logits = np.concatenate([logits[:, 0] for _, logits in network.states(word)])
    return bool(((logits > 0) == expected).all()), np.where(expected == 1, logits, -logits)


CASES = [
    (activation, seed, ulps)
    for activation, seed in (("sigmoid", 0), ("tanh", 1), ("relu", 1))
    for ulps in (-1, 0, 1)
]


def test_the_engines_do_disagree_here() -> None:
    # without which the other tests would say nothing
    differ = {
        engine: sum(evaluate(nearly_zero(*case), DIGITS, engine=engine).differ for case in CASES)
        for engine in ENGINES
    }
    assert all(differ.values())


@of_every_engine
@pytest.mark.parametrize("case", CASES)
def test_counts_are_the_networks_own(case: tuple[str, int, int], engine: str) -> None:
    network = nearly_zero(*case)
    own = [alone(network, word) for word in words(network)]
    result = evaluate(network, DIGITS, engine=engine)
    assert result.right == sum(right for right, _ in own)
    assert result.doubtful == sum(bool((np.abs(m) < 1e-5).any()) for _, m in own) > 0
    assert result.margin == min(float(m.min()) for _, m in own)
    if result.wrong is None:
        assert result.right == result.pairs
    else:
        assert not alone(network, network.task.encode(result.wrong, DIGITS))[0]
        assert result.answered == work(network, result.wrong, DIGITS).answer
        assert not work(network, result.wrong, DIGITS).right


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_refuted_by_what_was_wrong(case: tuple[str, int, int]) -> None:
    network = nearly_zero(*case)
    found = evaluate(network, DIGITS)
    tested = Evaluation(found, by_length(network, (16,)))
    verdict = search.decide(network, tested, 0)
    assert isinstance(verdict, Refuted) or tested.right
    if isinstance(verdict, Refuted):
        assert not work(network, verdict.operands, verdict.digits).right


@of_every_engine
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_samples_count_as_the_network_itself(
    case: tuple[str, int, int], kind: str, engine: str
) -> None:
    network = nearly_zero(*case)
    result = sample(network, 40, kind, pairs=50, engine=engine)
    drawn = evaluation._drawn(network.task, 40, kind, 50, 0)
    own = [alone(network, [int(a) for a in word]) for word in drawn]
    assert result.right == sum(right for right, _ in own)
    wrong = [m for right, m in own if not right]
    # a margin of zero may be either
    first = min((int((m <= 0).argmax()) for m in wrong), default=None)
    assert result.first_error == first
    whole = Evaluation(evaluate(network, 1), (result,))
    if result.right != result.pairs and whole.exhaustive.wrong is None:
        word = evaluation.first_wrong(network, whole, engine=engine)
        assert word is not None
        assert not alone(network, word)[0]


@pytest.mark.parametrize("task", ["compare", "add:base=3"])
@of_every_engine
def test_ties_of_several_outputs(task: str, engine: str) -> None:
    # two outputs of three that are alike: which of them wins is a matter of rounding
    network = training.fit(RECIPES["plain-adam"].with_settings({"task": task, "steps": 150}))
    w = network.weights
    tied = Network(
        network.task,
        network.activation,
        w.replace(
            Why=np.stack([w.Why[:, 0], w.Why[:, 0] * (1 + 1e-7), w.Why[:, 2]], axis=1),
            by=np.array([w.by[0], w.by[0], w.by[2]]),
        ),
    )
    result = evaluate(tied, 3, engine=engine)
    machine = tied.task.machine
    own = 0
    for pair in product(range(tied.task.base**3), repeat=2):
        word = tied.task.encode(pair, 3)
        own += tied.transduce(word) == machine.transduce(word)
    assert (result.right, result.doubtful > 0) == (own, True)


@of_every_engine
def test_a_network_that_says_nothing(engine: str) -> None:
    # every logit is exactly zero: every word is in doubt
    shapes = training.start(RECIPES["tutorial"].with_settings({"hidden": 4})).network
    weights = shapes.weights.replace(Why=np.zeros((4, 1), np.float32))
    network = Network(shapes.task, "sigmoid", weights)
    result = evaluate(network, 4, engine=engine)
    assert (result.right, result.doubtful, result.pairs) == (1, 256, 256)
    assert result.wrong is not None
    assert not work(network, result.wrong, 4).right
    assert sample(network, 100, "chains", engine=engine).doubtful == 256


@of_every_engine
@pytest.mark.parametrize("near", [None, np.inf])
def test_where_words_first_go_wrong_needs_no_reading_beyond(
    engine: str, near: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of words that are right, and of those that go wrong at a block's first or last place."""
    if near is not None:  # everything is in doubt
        monkeypatch.setattr(reference, "near_zero", lambda network: near)
    for case in CASES:
        network = nearly_zero(*case)
        for digits in (1, 7, 12, 30):
            both = [
                sample(network, digits, pairs=64, engine=engine, whole=whole)
                for whole in (True, False)
            ]
            one, other = (replace(found, margin=0.0) for found in both)
            assert one == other
            assert one.doubtful or near is None
    rng = np.random.default_rng(0)
    words = rng.integers(0, network.symbols, (64, 20))
    first = reference.follow(network, words, near=np.inf).first_error
    soon = reference.follow(network, words, whole=False, near=np.inf).first_error
    assert (first == soon).all()


@of_every_engine
def test_doubts_of_the_first_symbols_reach_every_word_below(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the first levels of the tree are NumPy's, whoever walks the subtrees
    monkeypatch.setattr(evaluation, "_SUBTREE_PAIRS", 4)
    network = nearly_zero("tanh", 1, 0)  # in doubt after one symbol
    assert (np.abs(alone(network, network.task.encode((0, 1), 1))[1]) < 1e-5).any()
    result = evaluate(network, DIGITS, engine=engine)
    assert (result.right, result.doubtful) == (768, 256)


@pytest.mark.parametrize("case", CASES)
def test_a_part_of_a_word_is_answered_as_in_the_word(case: tuple[str, int, int]) -> None:
    # products of matrices round otherwise in a block of another height
    network = nearly_zero(*case)
    for word in words(network)[::37]:
        _, whole = alone(network, word)
        for length in range(1, len(word)):
            assert (alone(network, word[:length])[1] == whole[:length]).all()


@of_every_engine
def test_examples_are_wrong_even_if_engines_are_far_apart(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as in a network whose errors grow: nothing is thought to be in doubt, and yet they differ
    monkeypatch.setattr(reference, "near_zero", lambda network: -1.0)
    for case in CASES:
        network = nearly_zero(*case)
        result = evaluate(network, DIGITS, engine=engine)
        if result.wrong is not None:
            assert not work(network, result.wrong, DIGITS).right
        sampled = sample(network, 12, engine=engine)
        if sampled.first_error is not None:
            word = evaluation.first_wrong(network, Evaluation(result, (sampled,)), engine=engine)
            assert word is not None
            assert not alone(network, word)[0]


def test_ordinary_networks_are_not_judged_twice(
    trained: cn.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError

    monkeypatch.setattr(reference, "follow_batch", never)
    monkeypatch.setattr(reference, "walk", never)
    result = evaluate(trained.network, 8, engine="native")
    assert (result.right, result.doubtful, result.differ) == (65_536, 0, 0)


@pytest.mark.parametrize("engine", ["numpy", "auto"])
def test_where_errors_of_rounding_grow_all_are_judged_by_themselves(engine: str) -> None:
    """One wild network of which, in batches, two more words were right; and others, in float64."""
    for seed in (43, 5, 17):
        network = barely_wrong(seed)
        every = list(product(range(network.symbols), repeat=6))
        machine = network.task.machine
        own = sum(network.transduce(list(word)) == machine.transduce(word) for word in every)
        result = evaluate(network, 6, engine=engine)
        assert (result.right, result.doubtful, result.pairs) == (own, len(every), len(every))
        assert "(rounding could decide any of them" in text.exhaustive(result, network.task)
        found = sample(network, 30, "chains", pairs=40, engine=engine)
        drawn = evaluation._drawn(network.task, 30, "chains", 40, 0)
        words = [[int(a) for a in word] for word in drawn]
        told = [network.transduce(word) == machine.transduce(word) for word in words]
        assert (found.right, found.doubtful) == (sum(told), 40)


def test_doubts_are_said() -> None:
    for engine in ENGINES:
        for case in CASES:
            network = nearly_zero(*case)
            result = evaluate(network, DIGITS, engine=engine)
            shown = text.exhaustive(result, network.task)
            assert f"({result.doubtful} within rounding of zero: engines " in shown
            assert ("disagree on at least" in shown) == (result.differ > 0)
            assert "margin 0.00" not in shown or result.margin == 0
            if result.wrong is not None:
                example = shown.splitlines()[1].split("   ")[4].strip()
                left, right = example.split(" = ")
                assert sum(map(int, left.split(" + "))) != int(right)
    document = json.loads(json.dumps(Evaluation(result, ()).to_json()))
    assert Evaluation.from_json(document, network.task).exhaustive == result


def test_a_suspect_that_is_answered_rightly_is_no_riddle(adder: Network) -> None:
    # as of an evaluation on a machine that rounds otherwise: right, but by too little to prove
    margins = [alone(adder, word)[1] for word in words(adder)]
    by = adder.weights.by + min(float(each.min()) for each in margins) * (1 - 1e-13)
    network = Network(adder.task, "sigmoid", adder.weights.replace(by=by))
    suspect = words(network)[7]
    assert alone(network, suspect)[0]
    verdict = search.prove(network, budget=0, suspect=suspect)
    assert isinstance(verdict, Undecided)
    assert "asked again, it is answered rightly" in " ".join(verdict.tried)


@pytest.mark.parametrize("case", CASES[1::3])
def test_machines_are_extracted_of_them_too(case: tuple[str, int, int]) -> None:
    network = nearly_zero(*case)
    found = extract.extract(network)
    extract.compare(network, found.machine)
    assert 1 <= len(found.machine.states) <= extract.MOST_STATES
