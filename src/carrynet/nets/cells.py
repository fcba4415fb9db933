"""Recurrent cells: one step and, beside it, its vector-Jacobian product.

A step is pure and knows nothing of batches or time: arrays carry whatever
leading axes they like, shape (..., H).  Unrolling is in `network.py`.  Products
are written `a.dot(b)`, which on arrays this small takes half the time of `a @ b`.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Elman:
    """The cell of Elman 1990, "Finding structure in time".

        h' = f(z),   z = d + h Whh,   with the drive d = x Wxh + bh

    `slope` gives f'(z) from the *output* h' = f(z), as all three activations allow;
    nothing but the hidden states need be kept for the way back.
    """

    name: str
    f: Callable[[Array], Array]
    slope: Callable[[Array], Array]

    def step(self, drive: Array, h: Array, Whh: Array) -> Array:
        """The next hidden state, shape (..., H), from the drive and the state before."""
        return self.f(drive + h.dot(Whh))

    def step_vjp(self, h_next: Array, g: Array, Whh: Array) -> tuple[Array, Array]:
        """Pull the gradient g = dL/dh' back through one step.

        dL/dz = g * f'(z)   and   dL/dh = dL/dz Whh^T

        Returns both, each of shape (..., H); dL/dz is also the gradient of the drive.
        """
        dz = g * self.slope(h_next)
        return dz, dz.dot(Whh.T)

    def step_bounds(
        self, drive: Array, c: Array, r: Array, Whh: Array, slack: float
    ) -> tuple[Array, Array]:
        """Bounds of the next state over all states h with |h - c| <= r, unit by unit.

            z = d + c Whh,   rho = r |Whh| + slack,   l = f(z - rho),   u = f(z + rho)

        All activations are monotone, so f of the ends is the ends of f.  Returns (l, u).
        """
        z, rho = drive + c.dot(Whh), r.dot(np.abs(Whh)) + slack
        return self.f(z - rho), self.f(z + rho)

    def step_bounds_vjp(
        self, lower: Array, upper: Array, gc: Array, gr: Array, Whh: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Pull gradients with respect to c' = (l + u)/2 and r' = (u - l)/2 back through one step.

            dL/dl = (gc - gr)/2,   dL/du = (gc + gr)/2
            dL/dz = dL/dl f'(z - rho) + dL/du f'(z + rho)
            dL/drho = dL/du f'(z + rho) - dL/dl f'(z - rho)
            dL/dc = dL/dz Whh^T,   dL/dr = dL/drho |Whh|^T

        Returns dL/dz, dL/drho, dL/dc and dL/dr.
        """
        from_lower = (gc - gr) / 2 * self.slope(lower)
        from_upper = (gc + gr) / 2 * self.slope(upper)
        dz, drho = from_lower + from_upper, from_upper - from_lower
        return dz, drho, dz.dot(Whh.T), drho.dot(np.abs(Whh).T)


quiet = np.errstate(over="ignore")
"""For functions that call `sigmoid`: an overflow in it is not worth a warning."""


def sigmoid(z: Array) -> Array:
    """The logistic function 1 / (1 + e^-z).

    Where e^-z overflows, its reciprocal 0 is the right limit.
    """
    return np.reciprocal(1 + np.exp(-z))


def sigmoid_slope(y: Array) -> Array:
    """The derivative of the logistic function, from its output: y (1 - y) = y - y^2."""
    return y - y * y


def relu(z: Array) -> Array:
    """max(z, 0)."""
    return np.maximum(z, 0)


CELLS: MappingProxyType[str, Elman] = MappingProxyType(
    {
        "sigmoid": Elman("sigmoid", sigmoid, sigmoid_slope),
        "tanh": Elman("tanh", np.tanh, lambda y: 1 - y * y),
        "relu": Elman("relu", relu, lambda y: (y > 0).astype(y.dtype)),
    }
)


# One thread -------------------------------------------------------------------------

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_lock, _inside, _limit = threading.Lock(), 0, None


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def in_one_thread(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Keep NumPy's matrix products in one thread while a function runs.

    The order of their sums depends on the number of threads, and with it the last bits of
    the weights; and for matrices this small more threads only wait for one another.
    """

    @wraps(function)
    def guarded(*arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        global _inside, _limit
        with _lock:
            if _inside == 0:
                _limit = _blas().limit(limits=1)
            _inside += 1
        try:
            return function(*arguments, **options)
        finally:
            with _lock:
                _inside -= 1
                if _inside == 0 and _limit is not None:
                    _limit.restore_original_limits()

    return guarded
