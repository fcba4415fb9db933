"""The reading of formulas in numbers: arrays of any leading axes, vectors last.

Beside each operation stands its vector-Jacobian product: from the gradient g of the result, the
result y and the operands, the gradients of the operands, in their order.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from carrynet.nets.arrays import (
    Array,
    matmul,
    relu,
    relu_slope,
    rows_of,
    sigmoid,
    sigmoid_slope,
    tanh_slope,
)
from carrynet.nets.readings import Rule

RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {
        "matmul": Rule("v W", "v.dot(W)", ("g.dot(W.T)",)),
        "add": Rule("a b", "a + b", ("g", "g")),
        "subtract": Rule("a b", "a - b", ("g", "-g")),
        "multiply": Rule("a b", "a * b", ("g * b", "g * a")),
        "mix": Rule("z n h", "(1 - z) * n + z * h", ("g * (h - n)", "g * (1 - z)", "g * z")),
        "sigmoid": Rule("z", "sigmoid(z)", ("g * slope",), "sigmoid_slope(y)"),
        "tanh": Rule("z", "tanh(z)", ("g * slope",), "tanh_slope(y)"),
        "relu": Rule("z", "relu(z)", ("g * slope",), "relu_slope(y)"),
    }
)
NAMES: MappingProxyType[str, Any] = MappingProxyType(
    {
        "sigmoid": sigmoid,
        "sigmoid_slope": sigmoid_slope,
        "tanh": np.tanh,
        "tanh_slope": tanh_slope,
        "relu": relu,
        "relu_slope": relu_slope,
    }
)


class Numbers:
    """The reading itself; it has no settings, `NUMBERS` is the one there is."""

    inlined: ClassVar[Mapping[str, Rule]] = RULES
    names: ClassVar[Mapping[str, Any]] = NAMES
    asks: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    forward: MappingProxyType[str, Callable[..., Any]] = MappingProxyType(
        {name: rule.function(NAMES) for name, rule in RULES.items()}
    )
    backward: MappingProxyType[str, Callable[..., Any]] = MappingProxyType({})

    def product(self, v: Array, g: Array, W: Array) -> Array:
        """The gradient of a matrix W from those of v W, over all positions at once."""
        return rows_of(v).T.dot(rows_of(g))

    def stack(self, values: Sequence[Array]) -> Array:
        """Values of successive positions as one, with a first axis of time."""
        return np.array(values)

    def unstack(self, value: Array) -> Any:
        """Of each position what a value, or a gradient, with a first axis of time is there."""
        return value  # whose items they are

    def at(self, value: Array, t: slice) -> Array:
        """What a value with a first axis of time is at some positions."""
        return value[t]

    def point(self, value: Array) -> Array:
        """A value as one that can vary."""
        return value

    def of_point(self, gradient: Array, value: Array) -> Array:
        """The gradient of a value, from that of `point` of it."""
        return gradient

    def zeros(self, value: Array) -> Array:
        """The gradient zero of a value."""
        return np.zeros(value.shape, value.dtype)

    def plus(self, one: Array, other: Array) -> Array:
        """The sum of two gradients."""
        return one + other


NUMBERS = Numbers()


class Flat(Numbers):
    """For `interpret`, with products of matrices only: far faster for a tree's states (N, S, D)."""

    forward = MappingProxyType({**Numbers.forward, "matmul": matmul})


FLAT = Flat()


class Alone(Numbers):
    """For `interpret`, of many vectors to the last bit what is computed of each by itself.

    `matmul` hands vectors to BLAS one after another, as `dot` hands it one; a product of matrices
    sums in another order.  All other operations work on each number by itself.
    """

    forward = MappingProxyType(
        {**Numbers.forward, "matmul": lambda v, W: np.matmul(v[..., None, :], W)[..., 0, :]}
    )


ALONE = Alone()


class Sizes(Numbers):
    """For `interpret`, bounds of the sizes of values: sums of those of the operands."""

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
