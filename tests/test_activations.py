"""Activations as they are computed, beside Arb: as good as the checker assumes of them.

A step is allowed an error of 8 eps max(|h|, 1) in its activation; see `proof/check.py`.
"""

from collections.abc import Callable
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb

from carrynet.nets.arrays import ACTIVATIONS, quiet
from carrynet.proof.model import EPSILON


def native_activation(name: str) -> Callable[[Any], Any]:
    """The activation of the kernels, alone in one of its own."""
    ir = pytest.importorskip("llvmlite.ir")
    from carrynet.engines import jit, kernels
    from carrynet.engines.kernels.cell import Cell

    parameters = kernels.Parameters({"z": "f4", "y": "f4"}, ("count",))

    def write(shape: kernels.Shape) -> Any:
        module = ir.Module("activation")
        k = Cell(module, "activation", parameters, shape)
        k.loop(k.count, lambda i: k.store(k.f(k.load(k.z, i)), k.y, i), step=k.lanes)
        k.done()
        return module

    shape = kernels.Shape(lanes=8, hidden=8, inputs=1, active=1, outputs=1, activation=name)
    kernel = kernels.Kernel(write, parameters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(kernels.KERNELS, "activation", kernel)
        call = jit._load("activation", jit.build("activation", shape))

    def f(z: Any) -> Any:
        y = np.empty_like(z)
        call(z=z, y=y, count=len(z))
        return y

    return f


def arguments(dtype: str) -> Any:
    """Evenly over what is not saturated, evenly in magnitude down to 0, and the extremes."""
    rng = np.random.default_rng(0)
    small = 10.0 ** rng.uniform({"float32": -46, "float64": -324}[dtype], 2, 8_000)
    ends = [0.0, 87, 88, 89, 104, 709, 710, 745, 746, 1e5, 1e30, 3e38]
    even = np.linspace(-30, 30, 16_000), np.linspace(-1, 1, 8_000)
    found = np.concatenate([*even, small, -small, ends, np.negative(ends)]).astype(dtype)
    return found[: len(found) // 8 * 8]  # whole vectors


@pytest.mark.parametrize(
    ("engine", "dtype"), [("numpy", "float32"), ("numpy", "float64"), ("native", "float32")]
)
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_activations_are_as_good_as_is_assumed(activation: str, engine: str, dtype: str) -> None:
    """The largest error over a dense grid, in units of eps max(|h|, 1): 8 are allowed for."""
    f = ACTIVATIONS[activation].f if engine == "numpy" else native_activation(activation)
    exact: dict[str, Callable[[arb], arb]] = {
        "sigmoid": lambda z: 1 / (1 + (-z).exp()),
        "tanh": lambda z: z.tanh(),
        "relu": lambda z: z.max(arb(0)),
    }
    z = arguments(dtype)
    values = quiet(f)(z)
    assert values.dtype == dtype
    unit, worst = arb((1, EPSILON[dtype])), 0.0
    with flint.ctx.workprec(120):
        for argument, value in zip(z.tolist(), values.tolist(), strict=True):
            h = exact[activation](arb(argument))
            error = abs(arb(value) - h) / (unit * abs(h).max(arb(1)))
            worst = max(worst, float(error.upper()))
    assert worst <= (0 if activation == "relu" else 8)


def test_near_0_the_error_is_absolute() -> None:
    """tanh as 2 / (1 + e^-2z) - 1 is off there by thousands of its own units in the last place."""
    z = np.geomspace(1e-6, 1e-4, 800).astype(np.float32)
    off = np.abs(native_activation("tanh")(z) - np.tanh(z.astype(np.float64)))
    assert (off / np.spacing(z)).max() > 1000
    assert off.max() <= 8 * 2.0**-24
