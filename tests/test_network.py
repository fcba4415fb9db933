"""The network: its gradients against autograd and differences, its outputs by hand."""

from collections.abc import Callable
from itertools import product

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from carrynet import tasks
from carrynet.errors import InputError
from carrynet.nets.cells import CELLS, Array
from carrynet.nets.network import (
    LOSSES,
    Network,
    Weights,
    bptt,
    initialise,
    margins,
    predict,
    read_out,
    unroll,
)
from carrynet.spec.task import Task
from tests.test_cells import FORMULAS

TASKS = {"bits": tasks.add(), "argmax": tasks.compare(base=3)}
CASES = list(product(CELLS, LOSSES, [None, 1, 3]))
of_every_case = pytest.mark.parametrize(("cell", "loss", "batch"), CASES)


def example(readout: str, batch: int | None) -> tuple[Weights, Array, Array]:
    """Weights, inputs (T, [B], X) and targets (T, [B], Y) in float64."""
    rng, task = np.random.default_rng(0), TASKS[readout]
    weights = Weights(*(rng.uniform(-1, 1, w.shape) for w in initialise(task, 5, dtype="float64")))
    lead = (6,) if batch is None else (6, batch)
    targets = np.eye(3)[rng.integers(0, 3, lead)]
    if readout == "bits":
        targets = targets[..., :1]
    return weights, rng.normal(size=(*lead, task.inputs)), targets


def total_loss(cell: str, loss: tuple[str, str]) -> Callable[..., float]:
    """The loss of a sequence, written out independently of carrynet, for autograd."""

    def total(weights: tuple[Array, ...], x: Array, targets: Array) -> float:
        Wxh, Whh, bh, Why, by = weights
        h, value = anp.zeros(bh.shape), 0.0
        for t in range(len(x)):
            h = FORMULAS[cell](anp.dot(x[t], Wxh) + anp.dot(h, Whh) + bh)
            logits = anp.dot(h, Why) + by
            output = 1 / (1 + anp.exp(-logits))
            if loss[0] == "squared":
                value = value + anp.sum((output - targets[t]) ** 2) / 2
            elif loss[1] == "bits":
                p = anp.where(targets[t] == 1, output, 1 - output)
                value = value - anp.sum(anp.log(p))
            else:
                powers = anp.exp(logits)
                share = powers / anp.sum(powers, axis=-1, keepdims=True)
                value = value - anp.sum(targets[t] * anp.log(share))
        return value / (x.shape[1] if x.ndim == 3 else 1)

    return total


def close(gradients: tuple[Array, ...], oracle: tuple[Array, ...]) -> bool:
    return all(
        np.allclose(g, o, rtol=1e-7, atol=1e-7 * np.abs(o).max())
        for g, o in zip(gradients, oracle, strict=True)
    )


@of_every_case
def test_gradients_agree_with_autograd(cell: str, loss: tuple[str, str], batch: int | None) -> None:
    weights, x, targets = example(loss[1], batch)
    gradients, logits = bptt(weights, CELLS[cell], LOSSES[loss], x, targets)
    oracle = autograd.grad(total_loss(cell, loss))(tuple(weights), x, targets)
    assert close(gradients, oracle)
    values = LOSSES[loss].value(logits, targets)
    expected = total_loss(cell, loss)(weights, x, targets)
    assert values.sum() / (batch or 1) == pytest.approx(expected, rel=1e-12)


@of_every_case
def test_a_gradient_wrong_by_a_thousandth_is_rejected(
    cell: str, loss: tuple[str, str], batch: int | None
) -> None:
    weights, x, targets = example(loss[1], batch)
    gradients, _ = bptt(weights, CELLS[cell], LOSSES[loss], x, targets)
    oracle = autograd.grad(total_loss(cell, loss))(tuple(weights), x, targets)
    for i, gradient in enumerate(gradients):
        wrong = list(gradients)
        wrong[i] = gradient * 1.001
        assert not close(tuple(wrong), oracle)
        one = gradient.copy()  # a single entry off
        place = np.unravel_index(np.abs(one).argmax(), one.shape)
        one[place] *= 1.001
        wrong[i] = one
        assert not close(tuple(wrong), oracle)


@of_every_case
def test_gradients_agree_with_central_differences(
    cell: str, loss: tuple[str, str], batch: int | None
) -> None:
    weights, x, targets = example(loss[1], batch)

    def value(weights: Weights) -> float:
        logits = read_out(weights, unroll(weights, CELLS[cell], x)[1:])
        return LOSSES[loss].value(logits, targets).sum() / (batch or 1)

    gradients, _ = bptt(weights, CELLS[cell], LOSSES[loss], x, targets)
    rng, e = np.random.default_rng(1), 1e-4
    for _ in range(5):
        # Fourth-order central difference along a random direction.
        d = Weights(*(rng.normal(size=w.shape) / 4 for w in weights))

        def along(a: float, d: Weights = d) -> float:
            return value(Weights(*(w + a * v for w, v in zip(weights, d, strict=True))))

        slope = (8 * (along(e) - along(-e)) - (along(2 * e) - along(-2 * e))) / (12 * e)
        ours = sum(float((g * v).sum()) for g, v in zip(gradients, d, strict=True))
        assert ours == pytest.approx(slope, rel=1e-7, abs=1e-9)
        assert 1.001 * ours != pytest.approx(slope, rel=1e-7, abs=1e-9)


def test_without_biases_their_gradients_are_zero() -> None:
    weights, x, targets = example("bits", 3)
    args = weights, CELLS["sigmoid"], LOSSES["squared", "bits"], x, targets
    with_biases, _ = bptt(*args)
    without, _ = bptt(*args, biases=False)
    assert not without.bh.any()
    assert not without.by.any()
    for name in ("Wxh", "Whh", "Why"):
        assert (getattr(with_biases, name) == getattr(without, name)).all()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("readout", TASKS)
def test_every_weight_matters(cell: str, readout: str) -> None:
    weights, x, _ = example(readout, None)
    weights = Weights(*map(np.abs, weights))  # keeps every ReLU alive
    before = read_out(weights, unroll(weights, CELLS[cell], np.abs(x))[1:])
    for name, array in weights._asdict().items():
        for place in np.ndindex(array.shape):
            moved = array.copy()
            moved[place] += 0.01
            w = weights._replace(**{name: moved})
            after = read_out(w, unroll(w, CELLS[cell], np.abs(x))[1:])
            assert not np.allclose(before, after, rtol=1e-9, atol=0)


def test_unrolling_by_hand() -> None:
    one = np.array([[1.0]])
    weights = Weights(one * 2, one * -3, np.array([1.0]), one, np.array([0.0]))
    # z_1 = 2*1 + 1 = 3; z_2 = 2*0 - 3*3 + 1 = -8; z_3 = 2*4 - 3*0 + 1 = 9
    h = unroll(weights, CELLS["relu"], np.array([[1.0], [0.0], [4.0]]))
    assert h.tolist() == [[0], [3], [0], [9]]


@pytest.mark.parametrize("loss", LOSSES)
def test_saturated_networks_raise_no_warning(loss: tuple[str, str]) -> None:
    weights, x, targets = example(loss[1], 3)
    weights = Weights(*(np.float32(1e4) * w.astype(np.float32) for w in weights))
    x, targets = x.astype(np.float32), targets.astype(np.float32)
    gradients, logits = bptt(weights, CELLS["sigmoid"], LOSSES[loss], x, targets)
    assert all(np.isfinite(g).all() for g in gradients)
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
    assert [w.shape for w in weights] == [(2, 32), (32, 32), (32,), (32, 1), (1,)]
    assert {w.dtype for w in weights} == {np.dtype("float32")}
    assert -0.5 <= weights.Whh.min() < -0.49
    assert 0.49 < weights.Whh.max() < 0.5
    assert not weights.bh.any()
    again, other = (initialise(tasks.add(), 32, width=0.5, seed=seed) for seed in (3, 4))
    assert all((a == b).all() for a, b in zip(weights, again, strict=True))
    assert not (weights.Whh == other.Whh).any()
    assert (
        len(np.unique(np.concatenate([w.ravel() for w in weights if w.any()])))
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
        Network(adder.task, "sigmoid", adder.weights._replace(**{name: array}))


def test_the_digest_is_of_everything_that_is_computed_with(adder: Network) -> None:
    def changed(task: Task = adder.task, activation: str = "sigmoid", **weights: Array) -> str:
        return Network(task, activation, adder.weights._replace(**weights)).digest()

    single = Weights(*(w.astype(np.float32) for w in adder.weights))
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
