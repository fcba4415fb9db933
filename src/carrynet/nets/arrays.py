"""What networks are computed with: arrays, activations, and one thread.

Products are written `a.dot(b)`, which on arrays this small takes half the time of `a @ b`.
"""

import threading
from collections.abc import Callable
from functools import cache, wraps
from types import MappingProxyType
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def rows_of(a: Array) -> Array:
    """All vectors of an array as the rows of a matrix: shape (..., N) to (rows, N)."""
    return a.reshape(-1, a.shape[-1])


def matmul(v: Array, W: Array) -> Array:
    """v W for vectors of any leading axes, by one product of matrices.

    `dot` makes none of more than two axes, which took up to 80 times as long with 128 units.
    """
    if v.ndim <= 2:
        product: Array = v.dot(W)
        return product
    return rows_of(v).dot(W).reshape(*v.shape[:-1], W.shape[-1])


ONE, HALF = ({kind: np.array(value, kind) for kind in "fd"} for value in (1, 0.5))
"""1 and 1/2 for arrays of a `dtype.char`: to make them of a number takes as long as to add them."""


# Activations -------------------------------------------------------------------------

quiet = np.errstate(over="ignore")
"""For functions that call `sigmoid`: an overflow in it is not worth a warning."""


def sigmoid(z: Array) -> Array:
    """The logistic function 1 / (1 + e^-z).

    Where e^-z overflows, its reciprocal 0 is the right limit.
    """
    y = np.exp(-z)
    y += ONE[y.dtype.char]
    return np.reciprocal(y)


def sigmoid_slope(y: Array) -> Array:
    """The derivative of the logistic function, from its output: y (1 - y) = y - y^2."""
    return y - y * y


def tanh_slope(y: Array) -> Array:
    """The derivative of tanh, from its output: 1 - y^2."""
    return ONE[y.dtype.char] - y * y


def relu(z: Array) -> Array:
    """max(z, 0)."""
    return np.maximum(z, 0)


def relu_slope(y: Array) -> Array:
    """The derivative of ReLU, from its output: 1 where it is positive, else 0."""
    return (y > 0).astype(y.dtype)


class Activation(NamedTuple):
    """A monotone function of one number, and its derivative in terms of its own output."""

    f: Callable[[Array], Array]
    slope: Callable[[Array], Array]


ACTIVATIONS: MappingProxyType[str, Activation] = MappingProxyType(
    {
        "sigmoid": Activation(sigmoid, sigmoid_slope),
        "tanh": Activation(np.tanh, tanh_slope),
        "relu": Activation(relu, relu_slope),
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
