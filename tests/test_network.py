"""The network: what it computes, by hand; its weights, refusals and digest."""

from dataclasses import replace

import numpy as np
import pytest

from carrynet import tasks
from carrynet.errors import InputError
from carrynet.nets import cells
from carrynet.nets.arrays import Array
from carrynet.nets.bptt import bptt
from carrynet.nets.formula import Formula
from carrynet.nets.losses import LOSSES, margins, predict
from carrynet.nets.network import Network
from carrynet.nets.readings.numbers import ALONE, NUMBERS
from carrynet.nets.recurrence import Unrolled
from carrynet.nets.weights import Weights, initialise
from carrynet.proof import search
from carrynet.spec.task import Task
from tests.test_cells import example


def test_unrolling_by_hand() -> None:
    one = np.array([[1.0]])
    weights = Weights(Wxh=one * 2, Whh=one * -3, bh=np.ones(1))
    # z_1 = 2*1 + 1 = 3; z_2 = 2*0 - 3*3 + 1 = -8; z_3 = 2*4 - 3*0 + 1 = 9
    x = np.array([[1.0], [0.0], [4.0]])
    h = Unrolled(cells.named("relu"), weights, NUMBERS, x, [np.zeros(1)]).along(0)
    assert h.tolist() == [[3], [0], [9]]


@pytest.mark.parametrize("loss", LOSSES)
def test_saturated_networks_raise_no_warning(loss: tuple[str, str]) -> None:
    network, x, targets = example(readout=loss[1])
    weights = network.weights.map(lambda w: np.float32(1e4) * w.astype(np.float32))
    network = replace(network, weights=weights)
    x, targets = x.astype(np.float32), targets.astype(np.float32)
    gradients, logits = bptt(network, LOSSES[loss], x, targets)
    assert all(np.isfinite(g).all() for g in gradients.values())
    assert np.isfinite(LOSSES[loss].value(logits, targets)).all()


def test_predictions_and_margins() -> None:
    bits = np.array([[2.0], [-0.5], [0.0]])
    assert predict(bits).tolist() == [1, 0, 0]  # sigmoid(0) = 1/2 rounds to 0
    assert margins(bits, np.array([1, 1, 0])).tolist() == [2, -0.5, 0]
    one_hot = np.array([[1.0, 3.0, 2.5], [4.0, -1.0, 0.0]])
    assert predict(one_hot).tolist() == [1, 0]
    assert margins(one_hot, np.array([1, 2])).tolist() == [0.5, -4]
    assert one_hot.tolist() == [[1, 3, 2.5], [4, -1, 0]]  # left as it was


def test_initial_weights() -> None:
    weights = initialise(tasks.add(), 32, width=0.5, seed=3)
    assert [w.shape for w in weights.values()] == [(2, 32), (32, 32), (32,), (32, 1), (1,)]
    assert {w.dtype for w in weights.values()} == {np.dtype("float32")}
    assert -0.5 <= weights.Whh.min() < -0.49
    assert 0.49 < weights.Whh.max() < 0.5
    assert not weights.bh.any()
    again, other = (initialise(tasks.add(), 32, width=0.5, seed=seed) for seed in (3, 4))
    assert all((a == b).all() for a, b in zip(weights.values(), again.values(), strict=True))
    assert not (weights.Whh == other.Whh).any()
    assert (
        len(np.unique(np.concatenate([w.ravel() for w in weights.values() if w.any()])))
        == 2 * 32 + 32 * 32 + 32
    )


def test_a_network_computes_with_numbers_of_any_size(adder: Network) -> None:
    assert adder.add(118, 8) == 126
    assert adder.add(0, 0) == 0
    a, b = 7**3000, 2**9000 - 1  # longer than the blocks in which a word is followed
    assert adder.compute(a, b) == a + b


def test_it_is_the_network_that_computes(forgetful: Network) -> None:
    assert forgetful.add(1, 2) == 3
    assert forgetful.add(1, 1) == 0
    assert forgetful.add(118, 8) == 118 ^ 8


def test_a_network_answers_only_what_it_has_learned(adder: Network) -> None:
    with pytest.raises(InputError, match="has learned add, not subtract"):
        adder.subtract(2, 1)
    with pytest.raises(InputError, match="takes 2 operands"):
        adder.add(1, 2, 3)


def bad_weights() -> list[tuple[str, Array, str]]:
    return [
        ("Whh", np.zeros((3, 4)), r"Whh have shape \(3, 4\)"),
        ("Wxh", np.zeros((3, 3)), r"Wxh have shape \(3, 3\), not \(2, 3\)"),
        ("by", np.zeros(2), "by have shape"),
        ("bh", np.zeros(3, np.float32), "float32"),
        ("bh", np.zeros(3, np.int64), "int64"),
        ("bh", np.array([0, np.nan, 0]), "bh are not all finite"),
        ("Why", np.array([[0], [np.inf], [0]]), "Why are not all finite"),
    ]


@pytest.mark.parametrize(("name", "array", "message"), bad_weights())
def test_weights_that_do_not_fit_are_refused(
    adder: Network, name: str, array: Array, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Network(adder.task, "sigmoid", adder.weights.replace(**{name: array}))


def test_the_digest_is_of_everything_that_is_computed_with(adder: Network) -> None:
    def changed(task: Task = adder.task, activation: str = "sigmoid", **weights: Array) -> str:
        return Network(task, activation, adder.weights.replace(**weights)).digest()

    single = adder.weights.map(lambda w: w.astype(np.float32))
    digests = {
        adder.digest(),
        changed(bh=np.nextafter(adder.weights.bh, 0)),
        changed(activation="tanh"),
        changed(task=tasks.subtract()),
        Network(adder.task, "sigmoid", single).digest(),
    }
    assert len(digests) == 5
    assert changed() == adder.digest()
    fortran = changed(Whh=np.asfortranarray(adder.weights.Whh))
    assert fortran == adder.digest()


def test_the_digest_says_what_shapes_the_weights_have() -> None:
    """The same numbers in layers of other widths are another network."""
    text = "u = tanh(h @ Wa + ba)\nv = tanh(u @ Wb + bb)\nlogits = v @ Wc + bc"
    readout, cell, task = cells.readout(text), cells.formula("tanh"), tasks.parse("parity")
    digests = set()
    for u, v in ((1, 5), (2, 3)):  # of 19 numbers both
        widths = {"X": task.inputs, "H": 2, "u": u, "v": v, "Y": 1}
        weights, numbers = {}, iter(np.linspace(-1, 1, 100))
        for formula in (cell, readout):
            for name, dims in formula.dims.items():
                shape = tuple(widths[dim] for dim in dims)
                drawn = [next(numbers) for _ in range(int(np.prod(shape)))]
                weights[name] = np.array(drawn).reshape(shape)
        network = Network(task, cell, Weights(weights), readout)
        assert search.model(network).digest() == network.digest()
        digests.add(network.digest())
    assert len(digests) == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", cells.CELLS)
def test_many_states_are_followed_as_each_is_by_itself(cell: str, dtype: str) -> None:
    """To the last bit, by the reading `ALONE`."""
    for hidden in (1, 2, 3, 19, 64):
        weights = initialise(tasks.add(), hidden, cell, width=2.0, seed=hidden, dtype=dtype)
        network = Network(tasks.add(), cell, weights)
        many, each = network.start[None], [network.start]
        for _ in range(3):
            many = network.children(many, ALONE).reshape(-1, len(network.start))
            each = [network.step(state, a) for state in each for a in range(4)]
            assert (many == each).all()
            assert (network.read(many, ALONE) == [network.read(state) for state in each]).all()


def test_it_does_not_matter_how_weights_lie_in_memory() -> None:
    weights = initialise(tasks.add(), 24, seed=1)
    given = [weights, weights.map(np.asfortranarray), weights.map(lambda w: w[::-1].copy()[::-1])]
    word = [1, 2, 0, 3, 1, 3, 0, 2, 3, 3, 0, 1]
    one, *others = (next(Network(tasks.add(), "tanh", w).states(word)) for w in given)
    for states, logits in others:
        assert (states == one[0]).all()
        assert (logits == one[1]).all()


def test_weights_cannot_be_called_as_a_learned_start_is() -> None:
    cell = Formula.parse("state = b\nb = tanh(x @ Wx + b_start + b @ Wb)")
    task = tasks.parse("parity")
    readout = cells.readout()
    with pytest.raises(InputError, match="b_start are called as a learned start is"):
        Network(task, cell, initialise(task, 2, cell, readout=readout), readout)
