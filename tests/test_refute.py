"""Refutation: wrong words are found, confirmed and short; right networks have none."""

from itertools import product

import numpy as np

from carrynet import tasks
from carrynet.judge.refutation import confirm, exhaustive_length, refute, shorten
from carrynet.learn import training
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
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
