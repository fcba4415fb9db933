"""Bounds: that they hold, and their gradients against autograd and differences."""

from collections.abc import Callable, Sequence
from itertools import product

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from carrynet.nets import certified as bounds
from carrynet.nets.cells import CELLS, Array
from carrynet.nets.network import LOSSES, Weights, margins, read_out, unroll
from tests.test_cells import FORMULAS
from tests.test_network import close, example

READOUTS = ("bits", "argmax")
SLACK = 0.05
CASES = list(product(CELLS, READOUTS, [None, 1, 3]))
of_every_case = pytest.mark.parametrize(("cell", "readout", "batch"), CASES)


def worst_loss(cell: str, readout: str) -> Callable[..., float]:
    """The loss of the worst logits, written out independently of carrynet, for autograd.

    Lower and upper ends are kept, not centres and radii, and every pair of logits is
    bounded by itself.
    """

    def total(weights: tuple[Array, ...], x: Array, targets: Array) -> float:
        Wxh, Whh, bh, Why, by = weights
        positive, negative = anp.maximum(Whh, 0), anp.minimum(Whh, 0)
        lower = upper = anp.zeros((*x.shape[1:-1], len(bh)))
        value = 0.0
        for t in range(len(x)):
            drive = anp.dot(x[t], Wxh) + bh
            low = anp.dot(lower, positive) + anp.dot(upper, negative) + drive - SLACK
            high = anp.dot(upper, positive) + anp.dot(lower, negative) + drive + SLACK
            lower, upper = FORMULAS[cell](low), FORMULAS[cell](high)
            for b in np.ndindex(*x.shape[1:-1]):
                target = targets[(t, *b)]
                if readout == "bits":
                    sign = 1.0 if target[0] == 1 else -1.0
                    w = sign * Why[:, 0]
                    margin = anp.sum(anp.where(w > 0, w * lower[b], w * upper[b])) + sign * by[0]
                    value = value + anp.log(1 + anp.exp(-margin))
                    continue
                y, excess = int(np.argmax(target)), 1.0
                for k in range(len(target)):
                    if k != y:
                        w = Why[:, k] - Why[:, y]
                        most = anp.sum(anp.where(w > 0, w * upper[b], w * lower[b]))
                        excess = excess + anp.exp(most + by[k] - by[y])
                value = value + anp.log(excess)
        return value / (x.shape[1] if x.ndim == 3 else 1)

    return total


@of_every_case
def test_gradients_agree_with_autograd(cell: str, readout: str, batch: int | None) -> None:
    weights, x, targets = example(readout, batch)
    loss = LOSSES["cross-entropy", readout]
    gradients = bounds.bptt(weights, CELLS[cell], loss, x, targets, SLACK)
    oracle = autograd.grad(worst_loss(cell, readout))(tuple(weights), x, targets)
    assert close(gradients, oracle)
    for i, gradient in enumerate(gradients):  # a gradient off by a thousandth is not close
        wrong = list(gradients)
        wrong[i] = gradient * 1.001
        assert not close(tuple(wrong), oracle)

    lower, upper = bounds.unroll(weights, CELLS[cell], x, SLACK)
    c, r = (lower[1:] + upper[1:]) / 2, (upper[1:] - lower[1:]) / 2
    value = loss.value(bounds.worst_logits(weights, c, r, targets), targets).sum() / (batch or 1)
    expected = worst_loss(cell, readout)(tuple(weights), x, targets)
    assert value == pytest.approx(expected, rel=1e-12)


@of_every_case
def test_gradients_agree_with_central_differences(
    cell: str, readout: str, batch: int | None
) -> None:
    weights, x, targets = example(readout, batch)
    loss = LOSSES["cross-entropy", readout]
    gradients = bounds.bptt(weights, CELLS[cell], loss, x, targets, SLACK)
    total = worst_loss(cell, readout)
    rng, e = np.random.default_rng(1), 1e-4
    for _ in range(3):
        d = [rng.normal(size=w.shape) / 4 for w in weights]

        def along(a: float, d: Sequence[Array] = d) -> float:
            moved = tuple(w + a * v for w, v in zip(weights, d, strict=True))
            return total(moved, x, targets)

        slope = (8 * (along(e) - along(-e)) - (along(2 * e) - along(-2 * e))) / (12 * e)
        ours = sum(float((g * v).sum()) for g, v in zip(gradients, d, strict=True))
        assert ours == pytest.approx(slope, rel=1e-7, abs=1e-9)


def test_without_biases_their_gradients_are_zero() -> None:
    weights, x, targets = example("bits", 3)
    args = weights, CELLS["sigmoid"], LOSSES["cross-entropy", "bits"], x, targets, SLACK
    with_biases, without = bounds.bptt(*args), bounds.bptt(*args, biases=False)
    assert not without.bh.any()
    assert not without.by.any()
    for name in ("Wxh", "Whh", "Why"):
        assert (getattr(with_biases, name) == getattr(without, name)).all()


@pytest.mark.parametrize(("cell", "readout"), list(product(CELLS, READOUTS)))
def test_every_disturbed_sequence_stays_inside(cell: str, readout: str) -> None:
    weights, x, targets = example(readout, 1)
    x, targets = np.repeat(x, 500, axis=1), np.repeat(targets, 500, axis=1)
    lower, upper = bounds.unroll(weights, CELLS[cell], x, SLACK)
    rng = np.random.default_rng(2)
    h = np.zeros(lower.shape[1:])
    states = []
    for t in range(len(x)):
        # corners of what is allowed, where bounds are most easily left
        off = SLACK * rng.choice([-1.0, 1.0], h.shape)
        h = FORMULAS[cell](x[t] @ weights.Wxh + h @ weights.Whh + weights.bh + off)
        states.append(h)
    h = np.array(states)
    assert (lower[1:] - 1e-12 <= h).all()
    assert (h <= upper[1:] + 1e-12).all()
    c, r = (lower[1:] + upper[1:]) / 2, (upper[1:] - lower[1:]) / 2
    outputs = targets.argmax(-1) if readout == "argmax" else targets[..., 0].astype(int)
    worst = bounds.worst_logits(weights, c, r, targets)
    if readout == "argmax":  # logit k less that of the target, which is 0
        most = np.where(targets == 1, -np.inf, worst).max(axis=-1)
        assert (margins(read_out(weights, h), outputs) >= -most - 1e-12).all()
    else:
        least = margins(worst, outputs)
        assert (margins(read_out(weights, h), outputs) >= least - 1e-12).all()


def test_bounds_without_slack_are_the_sequence_itself() -> None:
    weights, x, _ = example("bits", 3)
    lower, upper = bounds.unroll(weights, CELLS["tanh"], x, 0.0)
    np.testing.assert_allclose(lower, unroll(weights, CELLS["tanh"], x), rtol=0, atol=1e-15)
    assert (lower == upper).all()


def test_bounds_are_tight_for_one_step() -> None:
    # z = 3 h, h in 0 +- 0, slack 1: tanh(-1), tanh(1); then 3 (+-0.7616) +- 1 by hand
    one = np.array([[1.0]])
    weights = Weights(one, one * 3, np.zeros(1), one, np.zeros(1))
    lower, upper = bounds.unroll(weights, CELLS["tanh"], np.zeros((2, 1)), 1.0)
    assert upper[1:, 0] == pytest.approx(np.tanh([1.0, 1 + 3 * np.tanh(1.0)]))
    assert lower[1:, 0] == pytest.approx(-upper[1:, 0])
