"""What is asked of logits: outputs, margins, and losses with their gradients.

Shapes: Y output neurons, last; any number of axes before them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from carrynet.nets.arrays import Array, quiet, sigmoid, sigmoid_slope


def predict(logits: Array) -> NDArray[np.intp]:
    """The outputs that logits stand for: shape (..., Y) to (...).

    One neuron is a binary digit, rounded: 1 where sigmoid(logit) > 1/2.  Several
    neurons are one-hot: the largest wins.
    """
    if logits.shape[-1] == 1:
        return (logits[..., 0] > 0).astype(np.intp)
    return logits.argmax(axis=-1)


def margins(logits: Array, outputs: NDArray[np.integer]) -> Array:
    """How far logits (..., Y) are on the right side of outputs (...): negative means wrong.

    One neuron: the logit, with the sign that the output asks for.  Several: the
    logit of the output less the largest of the others.
    """
    if logits.shape[-1] == 1:
        return np.where(outputs == 1, logits[..., 0], -logits[..., 0])
    chosen = np.take_along_axis(logits, outputs[..., None], axis=-1)[..., 0]
    others = logits.copy()
    np.put_along_axis(others, outputs[..., None], -np.inf, axis=-1)
    return chosen - others.max(axis=-1)


def over_neurons(values: Array) -> Array:
    """Sums over the output neurons: (..., Y) to (...)."""
    # which takes NumPy far longer where there is one to add up
    return values[..., 0] if values.shape[-1] == 1 else values.sum(axis=-1)


@dataclass(frozen=True)
class Loss:
    """A loss of logits against targets, both (..., Y), and its gradient with respect to the logits.

    `value` sums over the output neurons only: (..., Y) to (...).
    """

    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]

    def where(self, asked: NDArray[np.bool_]) -> "Loss":
        """The loss that is 0, and has no gradient, where nothing is asked; `asked` is (...)."""
        return Loss(
            lambda logits, targets: np.where(asked, self.value(logits, targets), 0),
            lambda logits, targets: np.where(
                asked[..., None], self.gradient(logits, targets), logits.dtype.type(0)
            ),
        )


@quiet
def _squared(logits: Array, targets: Array) -> Array:
    gaps = sigmoid(logits)
    gaps -= targets
    return over_neurons(np.square(gaps, out=gaps)) / 2


@quiet
def _squared_gradient(logits: Array, targets: Array) -> Array:
    # The derivative of the sigmoid comes from its *output*, y (1 - y).  The tutorial took it
    # of the error e = target - y: its step e * e (1 - e) is never negative, so it pushed
    # every output up, whatever the target, and ended with ones everywhere: 255.
    y = sigmoid(logits)
    return (y - targets) * sigmoid_slope(y)


def _logistic(logits: Array, targets: Array) -> Array:
    # log(1 + e^z) = max(z, 0) + log(1 + e^-|z|), for which np.logaddexp takes eight times as long
    value = np.log1p(np.exp(-np.abs(logits)))
    value += np.maximum(logits, 0)
    return over_neurons(value - targets * logits)


@quiet
def _logistic_gradient(logits: Array, targets: Array) -> Array:
    return sigmoid(logits) - targets


def _softmax(logits: Array, targets: Array) -> Array:
    largest = logits.max(axis=-1, keepdims=True)
    log_sum = largest[..., 0] + np.log(np.exp(logits - largest).sum(axis=-1))
    return log_sum - (targets * logits).sum(axis=-1)


def _softmax_gradient(logits: Array, targets: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True) - targets


SQUARED = Loss(_squared, _squared_gradient)
"""1/2 sum (sigmoid(logit) - target)^2, the tutorial's."""

LOSSES: MappingProxyType[tuple[str, str], Loss] = MappingProxyType(
    {
        ("squared", "bits"): SQUARED,
        ("squared", "argmax"): SQUARED,
        ("cross-entropy", "bits"): Loss(_logistic, _logistic_gradient),
        ("cross-entropy", "argmax"): Loss(_softmax, _softmax_gradient),
    }
)
"""By name and by the task's readout."""
