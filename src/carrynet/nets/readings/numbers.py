"""The reading of formulas in numbers: arrays of any leading axes, vectors last.

Beside each operation stands its vector-Jacobian product: from the gradient g of the result,
the result and the operands, the gradients of the operands, in their order.  A gradient that
nobody asks for, of a matrix, is None: see `weigh`.
"""

import operator
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from carrynet.nets.arrays import (
    Array,
    relu,
    relu_slope,
    rows_of,
    sigmoid,
    sigmoid_slope,
    tanh_slope,
)

Gradients = tuple[Any, ...]


def _matmul_vjp(g: Array, _: Array, v: Array, W: Array) -> Gradients:
    return g.dot(W.T), None


def _add_vjp(g: Array, _: Array, a: Array, b: Array) -> Gradients:
    return g, g


def _subtract_vjp(g: Array, _: Array, a: Array, b: Array) -> Gradients:
    return g, -g


def _multiply_vjp(g: Array, _: Array, a: Array, b: Array) -> Gradients:
    return g * b, g * a


def _mix(z: Array, n: Array, h: Array) -> Array:
    """(1 - z) n + z h."""
    return (1 - z) * n + z * h


def _mix_vjp(g: Array, _: Array, z: Array, n: Array, h: Array) -> Gradients:
    return g * (h - n), g * (1 - z), g * z


def _sigmoid_vjp(g: Array, y: Array, z: Array) -> Gradients:
    return (g * sigmoid_slope(y),)


def _tanh_vjp(g: Array, y: Array, z: Array) -> Gradients:
    return (g * tanh_slope(y),)


def _relu_vjp(g: Array, y: Array, z: Array) -> Gradients:
    return (g * relu_slope(y),)


class Numbers:
    """The reading itself; it has no settings, `NUMBERS` is the one there is."""

    forward: MappingProxyType[str, Callable[..., Array]] = MappingProxyType(
        {
            "matmul": np.ndarray.dot,
            "add": operator.add,
            "subtract": operator.sub,
            "multiply": operator.mul,
            "mix": _mix,
            "sigmoid": sigmoid,
            "tanh": np.tanh,
            "relu": relu,
        }
    )
    backward: MappingProxyType[str, Callable[..., Gradients]] = MappingProxyType(
        {
            "matmul": _matmul_vjp,
            "add": _add_vjp,
            "subtract": _subtract_vjp,
            "multiply": _multiply_vjp,
            "mix": _mix_vjp,
            "sigmoid": _sigmoid_vjp,
            "tanh": _tanh_vjp,
            "relu": _relu_vjp,
        }
    )

    def weigh(
        self, operation: str, g: Array, value: Array, operands: Sequence[Array], of: int
    ) -> Array:
        """The gradient of the weights that are operand `of`: one product, one sum over rows."""
        if operation == "matmul":
            return rows_of(operands[0]).T.dot(rows_of(g))
        gradient = self.backward[operation](g, value, *operands)[of]
        return rows_of(gradient).sum(axis=0)

    def stack(self, values: Sequence[Array]) -> Array:
        """Values of successive positions as one, with a first axis of time."""
        return np.array(values)

    def unstack(self, value: Array) -> Sequence[Array]:
        """Of each position what a value, or a gradient, with a first axis of time is there."""
        return list(value)

    def at(self, value: Array, t: slice) -> Array:
        """What a value with a first axis of time is at some positions."""
        return value[t]

    def point(self, array: Array) -> Array:
        """An array as a value that can vary."""
        return array

    def zeros(self, value: Array) -> Array:
        """The gradient zero of a value."""
        return np.zeros_like(value)

    plus = staticmethod(operator.add)


NUMBERS = Numbers()


class Flat(Numbers):
    """The same with products of matrices only: far faster for states (N, S, D) of a tree."""

    forward = MappingProxyType(
        {**Numbers.forward, "matmul": lambda v, W: rows_of(v).dot(W).reshape(*v.shape[:-1], -1)}
    )


FLAT = Flat()


class Sizes(Numbers):
    """Bounds of the sizes of values, from those of the operands: sums without regard to signs."""

    forward = MappingProxyType(
        {
            "matmul": np.ndarray.dot,
            "add": lambda a, b: np.abs(a) + np.abs(b),
            "subtract": lambda a, b: np.abs(a) + np.abs(b),
            "multiply": lambda a, b: np.abs(a) * np.abs(b),
            "mix": lambda z, n, h: np.maximum(n, h),
            "sigmoid": np.ones_like,
            "tanh": lambda z: np.minimum(z, 1),
            "relu": lambda z: z,
        }
    )


SIZES = Sizes()
