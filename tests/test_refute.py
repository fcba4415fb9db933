"""Refutation: wrong words are found, confirmed and short; right networks have none."""

from itertools import product

import numpy as np
import pytest

from carrynet import tasks
from carrynet.judge import refutation, walkers
from carrynet.judge.refutation import (
    by_long_words,
    by_short_words,
    by_walkers,
    confirm,
    exhaustive_length,
    refute,
    shorten,
)
from carrynet.learn import training
from carrynet.nets.losses import margins
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights, initialise
from carrynet.spec.machine import Machine
from carrynet.spec.recipe import RECIPES
from tests.conftest import elman


def fading(keep: float) -> Network:
    """Adds by units that are linear between their ends, so that a carry fades if it is not fed.

    One leaky unit: the parity of ones would need more, so it is the carry alone that fades.
    """
    k = 40.0
    return Network(
        tasks.add(),
        "sigmoid",
        Weights(
            Wxh=np.array([[k, 4.0, k], [k, 4.0, k]]),
            Whh=np.array([[0.0, 0, 0], [k, keep, k], [0, 0, 0]]),
            bh=np.array([-0.5 * k, -4 - keep / 2 - 0.15, -2.5 * k]),
            Why=k * np.array([[1.0], [-1], [1]]),
            by=np.array([-k / 2]),
        ),
    )


def test_a_right_network_has_no_refutation(adder: Network) -> None:
    assert refute(adder) is None


def test_the_first_wrong_word_is_a_shortest(forgetful: Network) -> None:
    found = refute(forgetful)
    assert found is not None
    assert found.shortest
    assert len(found.word) == 2
    assert found.position == 1
    for word in product(range(4), repeat=1):
        assert forgetful.transduce(list(word)) == forgetful.task.machine.transduce(word)


def barely_wrong(seed: int) -> Network:
    """A random network, tame or wild, of which the worst of all short words is wrong, but hardly.

    Of wild ones rounding grows without bound from step to step.
    """
    draw = np.random.default_rng(seed)
    symbols, outputs = int(draw.choice([1, 2, 2])), int(draw.integers(2, 4))
    zeros = ((0,) * symbols,)
    machine = Machine(("only",), tuple("ab"[:symbols]), tuple("012"[:outputs]), zeros, zeros)
    cell, dtype = (
        draw.choice(["tanh", "tanh", "relu", "gru"]),
        draw.choice(["float32", "float32", "float64"]),
    )
    task = tasks.own("zero", machine)
    weights = initialise(task, int(draw.choice([3, 64, 64])), cell, seed=seed, dtype=dtype)
    gain = 10 ** draw.uniform(-0.5, 1)
    weights = weights.map(lambda w: (gain * w).astype(dtype))
    weights = weights.replace(Why=(weights.Why * 10 ** draw.uniform(4, 9)).astype(dtype))
    network = Network(task, cell, weights)
    logits = [each for word in longest(network) for _, each in network.states(word)]
    worst = margins(np.concatenate(logits), np.zeros(7 * len(logits), int)).min()
    by = weights.by.copy()
    by[0] += (worst + 1e-6 * abs(worst)) * (1 if outputs == 2 else -1)  # 0 is a negative logit
    return Network(task, cell, weights.replace(by=by))


def longest(network: Network) -> list[list[int]]:
    """All words of which beginnings are all short words."""
    every = range(len(network.task.machine.symbols))
    return [list(word) for word in product(every, repeat=exhaustive_length(network))]


def test_short_words_are_judged_as_each_is_by_itself() -> None:
    wrong = 0
    for network in map(barely_wrong, range(24)):
        machine, shortest = network.task.machine, None
        for word in longest(network):
            told = zip(network.transduce(word), machine.transduce(word), strict=True)
            first = next((t for t, (said, wanted) in enumerate(told) if said != wanted), None)
            if first is not None:
                shortest = first + 1 if shortest is None else min(shortest, first + 1)
        found = by_short_words(network)
        assert (found and len(found.word)) == shortest
        if found is not None:
            assert found.shortest
            check(network, found.word)
            wrong += 1
    assert wrong > 10


def check(network: Network, word: tuple[int, ...]) -> None:
    answers, expected = network.transduce(list(word)), network.task.machine.transduce(word)
    assert answers[:-1] == expected[:-1]
    assert answers[-1] != expected[-1]


def test_what_is_found_is_wrong_in_the_networks_own_arithmetic() -> None:
    recipes = [RECIPES["tutorial"].with_settings({"hidden": 8, "seed": s}) for s in range(8)]
    lengths = []
    for network in training.fit_many(recipes):
        assert isinstance(network, Network)
        found = refute(network)
        if found is not None:
            check(network, found.word)
            expected = network.task.machine.transduce(found.word)[-1] or 0
            assert (found.answered, found.expected) == (1 - expected, expected)
            assert found.margin < 0
            assert found.shortest == (len(found.word) <= 8)
            lengths.append(len(found.word))
    assert min(lengths) <= 7 < max(lengths)


def test_a_carry_that_fades_is_found_by_a_long_word() -> None:
    for keep in (4.2, 4.5, 4.8):
        network = fading(keep)
        found = refute(network)
        if found is not None and len(found.word) > 8:
            check(network, found.word)
            assert not found.shortest
            return
    raise AssertionError("no carry fades slowly enough")


def test_shortening(forgetful: Network) -> None:
    word = [0, 1, 2, 0, 3, 1, 0, 0, 0]
    first = confirm(forgetful, word)
    assert first == word[:6]
    short = shorten(forgetful, first)
    check(forgetful, tuple(short))
    assert len(short) == 2


def test_larger_alphabets_are_tried_to_shorter_lengths(adder: Network) -> None:
    assert exhaustive_length(adder) == 7
    task = tasks.add(base=10)
    rng = np.random.default_rng(0)
    network = Network(
        task,
        "sigmoid",
        elman(*(rng.normal(size=s) for s in ((20, 5), (5, 5), (5,), (5, 10), (10,)))),
    )
    assert exhaustive_length(network) == 2
    found = refute(network)
    assert found is not None
    assert found.shortest
    assert len(found.word) == 1


def test_shortening_never_makes_a_right_word_of_a_wrong_one(forgetful: Network) -> None:
    """Whatever it begins with: what comes of it is wrong, at its end and nowhere before."""
    draw, shortened = np.random.default_rng(3), 0
    for network, length in ((forgetful, 12), (fading(4.2), 60), (fading(4.5), 60)):
        for chance in np.linspace(0, 0.95, 12):
            word = draw.integers(0, 4, length)
            for t in range(1, length):
                word[t] = word[t - 1] if draw.random() < chance else word[t]
            first = confirm(network, word.tolist())
            if first is None:
                continue
            check(network, tuple(first))
            short = shorten(network, first)
            check(network, tuple(short))
            assert len(short) <= len(first)
            shortened += len(short) < len(first)
    assert shortened > 5


def slowly_fading() -> Network:
    """One that is right on all words of 8 symbols."""
    for keep in (4.2, 4.5, 4.8):
        found = refute(fading(keep))
        if found is not None and len(found.word) > 8:
            return fading(keep)
    raise AssertionError("no carry fades slowly enough")


def test_random_words_find_what_beam_and_periods_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    network = slowly_fading()
    monkeypatch.setattr(refutation, "_beam", lambda network: iter(()))
    monkeypatch.setattr(refutation, "_chains", lambda network, tell: iter(()))
    said: list[str] = []
    found = by_long_words(network, said.append)
    assert found is not None
    check(network, found.word)
    assert said == ["long words, 1,024 random ones of 400 symbols"]
    again = by_long_words(network)
    assert again == found  # there is but one seed


def counting(ones: int) -> Network:
    """Adds by units that are sums less 0, 1 and 2; a fourth one spoils it in time.

    It counts up with each 1 + 1 and down with each 0 + 0, and is wrong from so many on.
    """
    carry = np.array([0.0, 1, -1])
    return Network(
        tasks.add(),
        "relu",
        elman(
            np.array([[1.0, 1, 1, 1 / ones]] * 2),
            np.array([[each] * 3 + [0] for each in carry] + [[0.0, 0, 0, 1]]),
            np.array([0.0, -1, -2, -1 / ones]),
            np.array([[1.0], [-2], [2], [0.5]]),
            np.array([-0.5]),
        ),
    )


def test_walkers_are_driven_to_where_no_random_word_comes() -> None:
    network = counting(450)  # more than there are symbols in a random word
    assert next(refutation._random(network), None) is None
    said: list[str] = []
    found = by_walkers(network, tell=said.append)
    assert found is not None
    check(network, found.word)
    assert len(found.word) >= 450
    assert said[0] == "long words, walkers from the states nearest to an error, 0 rounds"
    assert by_walkers(network) == found  # there is but one seed
    # a budget is not used up where something is found
    assert by_walkers(network, 30.0, tell=said.append) == found
    assert f"{said[0]}, 0 of 30 s" in said


def test_walkers_come_home_from_a_right_network(adder: Network) -> None:
    assert by_walkers(adder) is None
    assert by_walkers(adder, 0.2) is None
    assert by_walkers(counting(20_000)) is None  # too far to go for few rounds


def test_what_walkers_hand_on_is_what_they_have_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walkers, "_ROUNDS", 8)  # and they begin anew
    network, several = counting(150), 0
    for word in walkers.words(network, lambda rounds: rounds >= 16):
        assert confirm(network, word) is not None
        assert network.transduce(word)[-1] != network.task.machine.transduce(word)[-1]
        several += 1
    assert several > 20


def test_a_long_word_may_be_replaced_by_a_shorter_random_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = slowly_fading()
    word = next(iter(refutation._random(network)))
    long = [0] * 500 + word
    monkeypatch.setattr(refutation, "_beam", lambda network: iter([long]))
    monkeypatch.setattr(refutation, "shorten", lambda network, word: word)
    found = by_long_words(network)
    assert found is not None
    assert list(found.word) == word


def test_shortening_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it has by then, which is wrong, too."""
    network = slowly_fading()
    word = [0] * 300 + next(iter(refutation._random(network)))
    whole = shorten(network, word)
    monkeypatch.setattr(refutation, "_MOST_OPERATIONS", 1_500)
    short = shorten(network, word)
    check(network, tuple(short))
    assert len(whole) < len(short) < len(word)


def test_what_can_be_left_out_is_left_out_together() -> None:
    network = slowly_fading()
    word = next(iter(refutation._random(network)))
    short = refutation._without(network, [0] * 90 + word, [0, 1, 30, 45, 60], 30, len(word) + 90)
    assert short == word  # of those that overlap the first; all three are left out
