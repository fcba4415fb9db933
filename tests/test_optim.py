"""Optimisers, by hand."""

import numpy as np
import pytest

from carrynet.nets.optim import BUFFERS, UPDATES, initial_moments
from carrynet.nets.weights import Weights
from carrynet.spec import stage
from tests.conftest import elman


def weights(value: float, dtype: str = "float64") -> Weights:
    shapes = ((2, 3), (3, 3), (3,), (3, 1), (1,))
    return elman(*(np.full(shape, value, dtype) for shape in shapes))


def test_gradient_descent() -> None:
    after, moments = UPDATES["sgd"](weights(1.0), weights(2.0), (), 0.1, 1)
    assert moments == ()
    for array in after.values():
        assert array == pytest.approx(0.8)


def test_adam_by_hand() -> None:
    w, moments = weights(1.0), initial_moments("adam", weights(1.0))
    # t = 1, g = 2: m = 0.2, v = 0.004; corrected 2 and 4; w = 1 - 0.1 * 2/2
    w, moments = UPDATES["adam"](w, weights(2.0), moments, 0.1, 1)
    assert w.Whh == pytest.approx(0.9, rel=1e-7)
    # t = 2, g = -1: m = 0.18 - 0.1 = 0.08, v = 0.003996 + 0.001 = 0.004996;
    # corrected 0.08/0.19 and 0.004996/0.001999; w = 0.9 - 0.1 * 0.4210526 / 1.5808940
    w, moments = UPDATES["adam"](w, weights(-1.0), moments, 0.1, 2)
    for array in w.values():
        assert array == pytest.approx(0.9 - 0.1 * 0.42105263 / 1.58089400, rel=1e-6)
    assert moments[0].by == pytest.approx(0.08)
    assert moments[1].by == pytest.approx(0.004996)


@pytest.mark.parametrize("name", UPDATES)
def test_updates_are_pure_and_keep_the_type(name: str) -> None:
    w, g = weights(1.0, "float32"), weights(0.5, "float32")
    moments = initial_moments(name, w)
    after, moved = UPDATES[name](w, g, moments, 0.1, 1)
    assert (w.Whh == 1).all()
    assert (g.Whh == 0.5).all()
    assert not any(array.any() for moment in moments for array in moment.values())
    assert {a.dtype for part in (after, *moved) for a in part.values()} == {np.dtype("float32")}


@pytest.mark.parametrize("name", UPDATES)
def test_a_zero_gradient_moves_nothing(name: str) -> None:
    w = weights(1.0)
    after, _ = UPDATES[name](w, weights(0.0), initial_moments(name, w), 0.1, 1)
    assert all((a == 1).all() for a in after.values())


def test_recipes_offer_what_there_is() -> None:
    choices = stage.Stage.__dataclass_fields__["optimiser"].metadata["choices"]
    assert set(choices) == set(UPDATES) == set(BUFFERS)
