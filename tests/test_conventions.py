"""How a network is read: the owner's network, in plain NumPy, is the oracle."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from carrynet import tasks
from carrynet.data import words as problems
from carrynet.errors import InputError
from carrynet.exchange.conventions import Stated, _samples, attempt, choose
from carrynet.exchange.folding import Convention, Owned, decided
from carrynet.exchange.layered import (
    UNKNOWN,
    UNPLACED,
    Layer,
    Layered,
    Linear,
    Recurrent,
)
from carrynet.exchange.samples import of_arrays
from carrynet.nets.arrays import ACTIVATIONS
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from tests.conftest import elman, hand_built_adder

ADD = tasks.add()
RIGHT = hand_built_adder()


def own(task: tasks.Task, weights: Weights, dtype: np.dtype[Any]) -> Owned:
    """One Elman cell and a linear layer, of which no activation is told."""
    arrays = dict(weights)
    head = Linear(arrays.pop("Why"), arrays.pop("by"))
    return Owned(task, Layered((Recurrent("elman", arrays, UNKNOWN),), (head,)), dtype)


def owners(task: tasks.Task, x: int, H: int, y: int, seed: int) -> Owned:
    rng = np.random.default_rng(seed)
    shapes = (x, H), (H, H), (H,), (H, y), (y,)
    return own(task, elman(*(rng.normal(size=shape) for shape in shapes)), np.dtype("f8"))


def outputs(
    owned: Owned, activation: str, word: list[int], vector: Callable[[tuple[int, ...]], Any]
) -> np.ndarray[Any, Any]:
    """What the owner's network answers, step by step: shape (T, y)."""
    w, f, out = owned.weights, ACTIVATIONS[activation].f, []
    h: Any = np.zeros(len(w.bh))
    for symbol in word:
        h = f(vector(owned.task.digits_of(symbol)) @ w.Wxh + h @ w.Whh + w.bh)
        out.append(h @ w.Why + w.by)
    return np.array(out)


def logits(network: Network, word: list[int]) -> np.ndarray[Any, Any]:
    return np.concatenate([block for _, block in network.states(word)])


def one_hot(base: int) -> Callable[[tuple[int, ...]], Any]:
    return lambda digits: np.concatenate([np.eye(base)[digit] for digit in digits])


@pytest.mark.parametrize(
    ("text", "coding", "vector"),
    [
        ("add", "0/1", np.array),
        ("add", "-1/+1", lambda digits: 2 * np.array(digits) - 1),
        ("add:operands=3", "-1/+1", lambda digits: 2 * np.array(digits) - 1),
        ("add", "one-hot", one_hot(2)),
        ("multiply_by:k=3", "one-hot", one_hot(2)),
        ("add:base=3", "one-hot", one_hot(3)),
        ("add:base=3", "numbers", np.array),
        ("subtract:base=10", "numbers", np.array),
    ],
)
@settings(max_examples=30)  # of each coding
@given(st.sampled_from(sorted(ACTIVATIONS)), st.integers(0, 2**32 - 1))
def test_codings_are_what_the_network_is_fed(
    text: str, coding: str, vector: Callable[..., Any], activation: str, seed: int
) -> None:
    task = tasks.parse(text)
    x = len(vector((0,) * task.operands))
    owned = owners(task, x, 4, task.neurons, seed)
    word = np.random.default_rng(seed).integers(len(task.machine.symbols), size=9).tolist()
    network = owned.network(Convention(activation, coding, 0.0, 0))
    wanted = outputs(owned, activation, word, vector)
    np.testing.assert_allclose(logits(network, word), wanted, rtol=1e-9, atol=1e-9)


@given(st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_one_of_two_logits_and_cuts(seed: int, cut: float) -> None:
    owned = owners(ADD, 2, 3, 2, seed)
    word = np.random.default_rng(seed).integers(4, size=9).tolist()
    zero, one = outputs(owned, "tanh", word, np.array).T
    network = owned.network(Convention("tanh", "0/1", cut, 0))
    np.testing.assert_allclose(logits(network, word)[:, 0], one - zero - cut, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 10]))
def test_a_number_is_rounded_to_the_nearest_digit(seed: int, base: int) -> None:
    task = tasks.add(base=base)
    owned = owners(task, 2, 8, 1, seed)
    word = np.random.default_rng(seed).integers(base**2, size=20).tolist()
    y = outputs(owned, "tanh", word, np.array)[:, 0]
    network = owned.network(Convention("tanh", "numbers", 0.0, 0))
    assert network.transduce(word) == np.clip(np.rint(y), 0, base - 1).astype(int).tolist()


# Choosing ----------------------------------------------------------------------------


def adder(
    activation: str = "sigmoid", coding: str = "0/1", scale: float = 1.0, by: float = 0.0
) -> Owned:
    """Weights that add when they are read in this way."""
    w = RIGHT.weights
    Whh, bh, Why, out = w.Whh, w.bh, w.Why, w.by
    Wxh = w.Wxh
    if activation == "tanh":  # sigmoid(z) = (1 + tanh(z / 2)) / 2; and half a carry is none
        bh = bh - 10
        Wxh, bh, Whh = Wxh / 2, (bh + Whh.sum(axis=0) / 2) / 2, Whh / 4
        Why, out = Why / 2, out + Why.sum(axis=0) / 2
    if coding == "-1/+1":  # bit = (1 + sign) / 2
        Wxh, bh = Wxh / 2, bh + Wxh.sum(axis=0) / 2
    weights = elman(Wxh, Whh, bh, scale * Why, scale * out + by)
    if activation == "relu":  # n1, n2, n3 = relu(s - 1), relu(s - 2), relu(s): the carry n1 - n2
        weights = elman(
            np.ones((2, 3)),
            np.array([[1.0, 1, 1], [-1, -1, -1], [0, 0, 0]]),
            np.array([-1.0, -2, 0]),
            scale * np.array([[-2.0], [2], [1]]),
            np.array([-scale / 2 + by]),
        )
        if coding == "-1/+1":
            weights = weights.replace(Wxh=np.ones((2, 3)) / 2, bh=weights.bh + 1)
    return own(ADD, weights, np.dtype("f8"))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("coding", ["0/1", "-1/+1"])
def test_the_convention_that_is_right_is_taken(activation: str, coding: str) -> None:
    owned = adder(activation, coding)
    choice = choose(owned, Stated(), "tanh")
    assert choice.convention == Convention(activation, coding, 0.0, 0)
    bits = "0 and 1" if coding == "0/1" else "-1 and +1"
    assert choice.assumed == (
        f"activation {activation}",
        f"bits as {bits}",
        "cut at logit 0",
        "no delay",
    )
    assert "right on 384 of 384 sample problems" in choice.why
    network = owned.network(choice.convention)
    assert all(network.compute(a, b) == a + b for a in range(32) for b in range(32))


def test_what_is_stated_is_not_assumed() -> None:
    choice = choose(adder("tanh"), Stated("tanh", None, (0.0,)), None)
    assert choice.assumed == ("bits as 0 and 1", "no delay")


def test_what_is_stated_in_full_is_taken_as_it_is() -> None:
    stated = Stated("relu", "-1/+1", (0.25,), 0)  # mistaken, and a network nevertheless
    choice = choose(adder("tanh"), stated, "tanh")
    assert choice.convention == Convention("relu", "-1/+1", 0.25, 0)
    assert (choice.assumed, choice.why) == ((), "")


def test_the_unit_of_a_threshold_is_told_by_samples() -> None:
    # p = 0.5 is logit 0, where small logits are cut; the bit itself as a number is cut at 0.5
    small = adder(scale=0.02)
    assert choose(small, Stated(cuts=(0.5, 0.0)), None).convention.cut == 0
    number = adder(scale=0.02, by=0.5)
    assert choose(number, Stated(cuts=(0.5, 0.0)), None).convention.cut == 0.5
    assert choose(number, Stated(), None).convention.cut == 0.5
    # large logits are right by both, and then it is what it says, a logit
    assert choose(adder(), Stated(cuts=(0.5, 0.0)), None).convention.cut == 0.5


def test_zeros_on_the_very_edge_are_cut_elsewhere() -> None:
    exact = adder("relu", by=0.5)  # answers 0.0 and 1.0
    assert choose(exact, Stated(), "tanh").convention == Convention("relu", "0/1", 0.5, 0)
    assert choose(exact, Stated(cuts=(0.0,)), "tanh").convention.cut == 0


def test_several_right_conventions_without_a_custom_are_asked_about() -> None:
    # without any memory, every monotone activation of a bit is right
    task = tasks.parse("multiply_by:k=1")
    weights = elman(
        np.array([[4.0]]), np.zeros((1, 1)), np.array([-2.0]), np.ones((1, 1)), np.array([-0.7])
    )
    owned = own(task, weights, np.dtype("f8"))
    stated = Stated(coding="0/1", cuts=(0.0,))
    with pytest.raises(InputError) as caught:
        choose(owned, stated, None)
    assert str(caught.value) == (
        "the network is right on 384 of 384 sample problems by several conventions: say which one "
        "is meant, --activation tanh or --activation relu or --activation sigmoid"
    )
    assert choose(owned, stated, "tanh").convention.activation == "tanh"
    assert choose(owned, Stated("relu"), None).convention == Convention("relu", "0/1", 0.0, 0)


def test_custom_is_departed_from_as_little_as_can_be() -> None:
    saturated = adder("tanh")  # as a sigmoid's, its logits are right if cut elsewhere
    assert choose(saturated, Stated(), "tanh").convention == Convention("tanh", "0/1", 0.0, 0)
    with pytest.raises(InputError) as caught:
        choose(saturated, Stated(), None)
    ways = "--activation tanh --map logit=0 or --activation sigmoid --map logit=0.5"
    assert str(caught.value).endswith(ways)


def late(steps: int) -> Owned:
    """The adder, with its output handed on from unit to unit: one step later each."""
    k, w = 40.0, RIGHT.weights
    H = 3 + steps
    Wxh, Whh, bh = np.zeros((2, H)), np.zeros((H, H)), np.zeros(H)
    Wxh[:, :3], Whh[:3, :3], bh[:3] = w.Wxh, w.Whh, w.bh
    Whh[:3, 3], bh[3] = w.Why[:, 0], w.by[0]
    for unit in range(4, H):
        Whh[unit - 1, unit], bh[unit] = k, -k / 2
    Why = np.zeros((H, 1))
    Why[-1] = k
    return own(ADD, elman(Wxh, Whh, bh, Why, np.array([-k / 2])), np.dtype("f8"))


@pytest.mark.parametrize("steps", [1, 2])
def test_answers_that_come_late_are_recognised_and_refused(steps: int) -> None:
    for delay in (None, steps):
        with pytest.raises(InputError) as caught:
            choose(late(steps), Stated(delay=delay), None)
        assert f"right on 384 of 384 sample problems when read {steps} step" in str(caught.value)
        assert "a machine whose first answers are left open" in str(caught.value)
    with pytest.raises(InputError, match=f"with a delay of {steps} step.* instead it is right"):
        choose(late(steps), Stated(delay=0), None)
    with pytest.raises(InputError, match="delay must be from 0 to 2"):
        choose(late(steps), Stated(delay=3), None)


def test_where_none_is_right_it_says_what_was_tried() -> None:
    w = RIGHT.weights
    never = own(ADD, w.replace(Whh=0 * w.Whh), np.dtype("f8"))
    with pytest.raises(InputError) as caught:
        choose(never, Stated(), "tanh")
    message = str(caught.value)
    assert message.isprintable()
    assert "of 256 sample problems of task add none of 36 conventions gets all right" in message
    for value in ("activation tanh", "activation relu", "bits as -1 and +1", "a delay of 2 steps"):
        assert value in message
    # and no flags of a convention that is wrong, which would end in a verdict on it
    assert "logit=0" not in message
    assert "--activation tanh" not in message


def test_a_large_network_is_tried_until_it_errs() -> None:
    H, rng, small = 900, np.random.default_rng(0), adder("relu").weights
    Wxh, Whh, bh = (rng.normal(size=shape) / H for shape in ((2, H), (H, H), (H,)))
    Why = np.zeros((H, 1))
    Whh[:3, :3], Whh[3:, :3] = small.Whh, 0
    Wxh[:, :3], bh[:3], Why[:3] = small.Wxh, small.bh, small.Why
    single = np.dtype("f4")
    right = own(ADD, elman(Wxh, Whh, bh, Why, small.by), single)
    assert "right on 384 of 384" in choose(right, Stated(), None).why
    wrong = own(ADD, elman(Wxh, Whh, bh, -Why, -small.by), single)
    with pytest.raises(InputError, match=r"of 1\d\d sample problems .* none of 36"):
        choose(wrong, Stated(), None)
    words = rng.integers(4, size=(256, 12))
    samples = of_arrays({"words": words, "outputs": problems.answers(ADD, words)}, ADD)
    with pytest.raises(InputError, match=r"as in \d of the first 1\d\d samples, first another"):
        choose(wrong, Stated(), None, samples=samples)


def test_no_convention_is_taken_only_for_its_long_problems() -> None:
    """A third unit drifts slowly, by which a cut at 0 is wrong after some 20 digits."""
    K = 20.0
    weights = (
        [[0.1, K, 0], [0.1, K, 0]],
        [[0, 0, 0], [0.05, 0.5 * K, 0], [0, 0, 1]],
        [0.05, -1.25 * K, 0.02],
        [[40], [-4], [6.3]],
        [-6.2],
    )
    owned = own(ADD, elman(*(np.array(w) for w in weights)), np.dtype("f4"))
    with pytest.raises(InputError) as caught:
        choose(owned, Stated(), "tanh")
    message = str(caught.value)
    assert "right on all 256 sample problems of up to 8 digits" in message
    assert "by --map logit=0, and on all of them by --map logit=0.5" in message
    assert choose(owned, Stated(cuts=(0.0,)), "tanh").convention.cut == 0


def test_what_is_stated_mistakenly_is_set_right() -> None:
    for stated, phrase in (
        (Stated("tanh"), "with activation sigmoid instead it is right on 384 of 384"),
        (Stated(coding="-1/+1"), "with bits as 0 and 1 instead"),
        (Stated(cuts=(30.0,)), "with cut at logit 0 instead"),
    ):
        with pytest.raises(InputError) as caught:
            choose(adder(), stated, None)
        assert phrase in str(caught.value)


def test_a_network_that_forgets_is_taken_by_its_short_problems() -> None:
    """A unit that counts the steps outweighs the others after 50."""
    w = adder("relu", scale=10).weights
    H = 4
    Wxh, Whh, bh, Why = np.zeros((2, H)), np.zeros((H, H)), np.zeros(H), np.zeros((H, 1))
    Wxh[:, :3], Whh[:3, :3], bh[:3], Why[:3] = w.Wxh, w.Whh, w.bh, w.Why
    Whh[3, 3], bh[3], Why[3] = 1.0, 1.0, 0.1
    owned = own(ADD, elman(Wxh, Whh, bh, Why, w.by), np.dtype("f8"))
    choice = choose(owned, Stated(), None)
    assert choice.convention == Convention("relu", "0/1", 0.0, 0)
    assert "right on all 256 sample problems of up to 8 digits, and" in choice.why
    assert owned.network(choice.convention).compute(2**63, 2**63) != 2**64


def test_samples_hold_carries_of_every_length() -> None:
    short, long = _samples(ADD)
    assert short.shape == (256, 9)
    assert long.shape == (128, 65)
    for words in (short, long):
        carries = np.zeros(words.shape, int)
        for t in range(1, words.shape[1]):
            a, b = words[:, t - 1] // 2, words[:, t - 1] % 2
            carries[:, t] = a + b + carries[:, t - 1] >= 2
        assert carries[:, 1:-1].all(axis=1).any()  # one that runs from end to end
        assert set(np.unique(words)) == {0, 1, 2, 3}
    assert all(np.array_equal(a, b) for a, b in zip(_samples(ADD), (short, long), strict=True))


def test_one_hot_vectors_of_all_digits_together_are_taken() -> None:
    w, bits = RIGHT.weights, np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    owned = own(ADD, w.replace(Wxh=bits @ w.Wxh), np.dtype("f8"))
    choice = choose(owned, Stated(), None)
    assert choice.convention.coding == "joint"
    network = owned.network(choice.convention)
    assert network.task.encoding.kind == "one-hot"
    assert all(network.compute(a, b) == a + b for a in range(16) for b in range(16))


def test_tasks_of_more_outputs_are_not_cut() -> None:
    task = tasks.compare()
    owned = owners(task, 2, 3, 3, 0)
    with pytest.raises(InputError, match="no threshold"):
        choose(owned, Stated(cuts=(0.5,)), "tanh")


@pytest.mark.parametrize("coding", ["numbers", "-1/+1", "joint"])
def test_codings_of_other_sizes(coding: str) -> None:
    with pytest.raises(InputError, match="does not fit 6 inputs for task add:base=3"):
        choose(owners(tasks.add(base=3), 6, 3, 3, 0), Stated(coding=coding), "tanh")


def test_what_overflows_is_never_right() -> None:
    relu, convention = adder("relu"), Convention("relu", "0/1", 0.0, 0)
    assert attempt(relu, [convention]).hits[convention].sum() == 384
    w = relu.weights
    grows = w.replace(Whh=w.Whh + 1e300 * np.diag([1.0, -1, 0]))  # inf - inf in the carry
    assert attempt(own(ADD, grows, relu.dtype), [convention]).count(convention) < 256


# How a file ends ---------------------------------------------------------------------


def ending(owned: Owned, *ends: Layer, ended: str = "", bound: float = 0.0) -> Owned:
    """An owner's network with more of a head, of a file that says how the answer is decided."""
    layers = Layered(owned.layers.recurrent, (*owned.layers.head, *ends), (), None, ended, bound)
    return Owned(owned.task, decided(layers, owned.task), owned.dtype)


@pytest.mark.parametrize(
    ("ends", "ended", "bound"),
    [
        (("sigmoid",), "", 0.0),
        (("tanh",), "", 0.0),
        ((), "greater", 0.0),
        (("sigmoid",), "greater", 0.5),
        ((), UNPLACED, 0.0),
        (("sigmoid",), UNPLACED, 0.0),
    ],
)
def test_a_bit_is_cut_where_the_file_says(ends: tuple[str, ...], ended: str, bound: float) -> None:
    # its numbers are 0.1 and 1.1: above 0 it always answers 1
    shifted = adder("relu", by=0.6)
    stated = Stated("relu", "0/1", (), 0)
    assert choose(shifted, stated, "relu").convention.cut == 0.5
    with pytest.raises(InputError, match=r"with cut at logit 0\.5 instead it is right on 384"):
        choose(ending(shifted, *ends, ended=ended, bound=bound), stated, "relu", tried=True)
    right = choose(ending(adder("relu"), *ends, ended=ended, bound=bound), stated, "relu")
    assert right.convention.cut == 0
    assert ("cut at logit 0" in right.assumed) == (ended != "greater")


def test_the_owner_says_another_cut_of_a_sigmoid_and_none_of_a_comparison() -> None:
    stated = Stated("relu", "0/1", (0.25,), 0)
    assert choose(ending(adder("relu"), "sigmoid"), stated, "relu").convention.cut == 0.25
    for owned in (
        ending(adder("relu"), ended="greater"),
        ending(owners(ADD, 2, 3, 2, 0), ended="argmax"),
    ):
        with pytest.raises(InputError, match="the file says itself where the logit is cut, at 0:"):
            choose(owned, stated, "relu")


def test_what_changes_a_number_that_is_rounded() -> None:
    task = tasks.parse("cycle:3")
    owned = owners(task, 1, 4, 1, 0)
    stated = Stated("tanh", owned.codings[0], (), 0)
    word = np.random.default_rng(0).integers(len(task.machine.symbols), size=30).tolist()
    for end in ("sigmoid", "tanh", "relu"):
        ended = ending(owned, Linear(np.eye(1) * 9, np.ones(1)), end)
        network = ended.network(choose(ended, stated, "tanh").convention)
        how = Convention("tanh", owned.codings[0], 0.0, 0)
        y = ended.answered(how, np.array(word)[:, None])[:, 0, 0]
        assert y.max() <= 1 or end == "relu"
        assert network.transduce(word) == np.clip(np.rint(y), 0, 2).astype(int).tolist()
    for said, reason in (("greater", "a comparison, which answers 0 or 1"), (UNPLACED, "rounded")):
        with pytest.raises(InputError, match=reason):
            choose(ending(owned, ended=said), stated, "tanh")


@pytest.mark.parametrize("end", ["softmax", "logsoftmax", "argmax"])
def test_what_decides_between_several_makes_nothing_of_one(end: str) -> None:
    with pytest.raises(InputError, match=r"max of one number, .* it always answers the same"):
        ending(adder("relu"), ended=end)
    assert ending(owners(ADD, 2, 3, 2, 0), ended=end).outputs == 2
