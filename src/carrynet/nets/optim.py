"""Optimisers: pure updates of weights from their gradients.

Each takes the weights, the gradients, its own moments (a tuple of buffers shaped
like the weights), the step size and the number of the update, from 1; it returns
new weights and new moments.
"""

from collections.abc import Callable
from math import sqrt
from types import MappingProxyType

import numpy as np

from carrynet.nets.weights import Weights

Moments = tuple[Weights, ...]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # of Adam


def sgd(
    weights: Weights, gradients: Weights, moments: Moments, step: float, count: int
) -> tuple[Weights, Moments]:
    """Gradient descent: w <- w - step * g."""
    return weights.map(lambda w, g: w - step * g, gradients), moments


def adam(
    weights: Weights, gradients: Weights, moments: Moments, step: float, count: int
) -> tuple[Weights, Moments]:
    """Adam (Kingma & Ba 2015, algorithm 1), with beta1 0.9, beta2 0.999, epsilon 1e-8.

    m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2;
    w <- w - step * m/(1 - b1^t) / (sqrt(v/(1 - b2^t)) + epsilon)
    """
    b1, b2 = BETA1, BETA2
    m = moments[0].map(lambda m, g: b1 * m + (1 - b1) * g, gradients)
    v = moments[1].map(lambda v, g: b2 * v + (1 - b2) * g * g, gradients)
    rate, root = step / (1 - b1**count), sqrt(1 - b2**count)
    moved = weights.map(lambda w, m, v: w - rate * m / (np.sqrt(v) / root + EPSILON), m, v)
    return moved, (m, v)


Update = Callable[[Weights, Weights, Moments, float, int], tuple[Weights, Moments]]
UPDATES: MappingProxyType[str, Update] = MappingProxyType({"sgd": sgd, "adam": adam})
BUFFERS = MappingProxyType({"sgd": 0, "adam": 2})


def initial_moments(optimiser: str, weights: Weights) -> Moments:
    """The buffers of an optimiser before its first update: all zero."""
    return tuple(weights.map(np.zeros_like) for _ in range(BUFFERS[optimiser]))
