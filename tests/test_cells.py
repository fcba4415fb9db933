"""Cells: one step, and its way back."""

import math

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from carrynet.nets.cells import CELLS, quiet, sigmoid

FORMULAS = {
    "sigmoid": lambda z: 1 / (1 + anp.exp(-z)),
    "tanh": anp.tanh,
    "relu": lambda z: anp.where(z > 0, z, 0.0),
}
of_every_cell = pytest.mark.parametrize("name", CELLS)


@of_every_cell
@pytest.mark.parametrize("batch", [(), (5,), (2, 5)])
def test_a_step_and_its_product(name: str, batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    drive, h, g = rng.normal(size=(3, *batch, 4))
    Whh = rng.normal(size=(4, 4))
    cell = CELLS[name]

    def step(drive: np.ndarray, h: np.ndarray) -> np.ndarray:
        return FORMULAS[name](drive + anp.einsum("...i,ij->...j", h, Whh))

    after = cell.step(drive, h, Whh)
    np.testing.assert_allclose(after, step(drive, h), rtol=1e-12)
    vjp, _ = autograd.make_vjp(lambda both: step(*both))(np.stack([drive, h]))
    np.testing.assert_allclose(np.stack(cell.step_vjp(after, g, Whh)), vjp(g), rtol=1e-10)


@of_every_cell
def test_single_precision_stays_single(name: str) -> None:
    h = np.ones(3, np.float32)
    cell = CELLS[name]
    after = cell.step(h, h, np.eye(3, dtype=np.float32))
    assert after.dtype == np.float32
    assert {a.dtype for a in cell.step_vjp(after, h, np.eye(3, dtype=np.float32))} == {h.dtype}


@quiet
def test_the_sigmoid_saturates_without_a_warning() -> None:
    y = sigmoid(np.array([-1e4, -100.0, 0, 100, 1e4], np.float32))
    assert y.tolist() == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-30)
    assert sigmoid(np.array([-20.0]))[0] == pytest.approx(1 / (1 + math.exp(20)), rel=1e-14)
