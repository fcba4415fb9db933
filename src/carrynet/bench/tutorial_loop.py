"""The tutorial's training loop, written afresh from its description, mended in two places.

One problem at a time, one digit at a time: arrays are made for every digit, results
are kept in Python lists of copies, gradients are added up digit by digit.  Nothing
here is carrynet's, so that it can serve as a yardstick and, in the tests, as an oracle.

Mended: the derivative is taken of the output, not of the error, and there is one
output neuron for the one target.
"""

import copy
from collections.abc import Iterable

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def diff_sigmoid(y: np.ndarray) -> np.ndarray:
    return y * (1 - y)


def train(
    weights: list[np.ndarray],
    problems: Iterable[tuple[int, int]],
    digits: int = 8,
    step: float = 0.1,
) -> float:
    """Train [input-hidden, hidden-hidden, hidden-output] in place; return the last error."""
    in_hidden, hidden_hidden, hidden_out = weights
    d_in_hidden, d_hidden_hidden, d_hidden_out = map(np.zeros_like, weights)
    table = np.unpackbits(np.arange(2**digits, dtype=">u2").view(np.uint8).reshape(-1, 2), axis=1)
    binary = {number: bits[-digits:] for number, bits in enumerate(table)}
    error = np.zeros(1)

    for a_number, b_number in problems:
        a, b, c = binary[a_number], binary[b_number], binary[a_number + b_number]
        predicted = np.zeros_like(c)
        error = np.zeros(1)
        output_deltas = []
        hidden_values = [np.zeros(len(hidden_hidden))]

        for position in range(digits):
            x = np.array([[a[digits - position - 1], b[digits - position - 1]]])
            y = np.array([[c[digits - position - 1]]]).T
            hidden = sigmoid(np.dot(x, in_hidden) + np.dot(hidden_values[-1], hidden_hidden))
            output = sigmoid(np.dot(hidden, hidden_out))
            output_error = y - output
            output_deltas.append(output_error * diff_sigmoid(output))
            error += np.abs(output_error[0])
            predicted[digits - position - 1] = np.round(output[0][0])
            hidden_values.append(copy.deepcopy(hidden))

        next_delta = np.zeros(len(hidden_hidden))
        for position in range(digits):
            x = np.array([[a[position], b[position]]])
            hidden, before = hidden_values[-position - 1], hidden_values[-position - 2]
            output_delta = output_deltas[-position - 1]
            delta = (
                next_delta.dot(hidden_hidden.T) + output_delta.dot(hidden_out.T)
            ) * diff_sigmoid(hidden)
            d_hidden_out += np.atleast_2d(hidden).T.dot(output_delta)
            d_hidden_hidden += np.atleast_2d(before).T.dot(delta)
            d_in_hidden += x.T.dot(delta)
            next_delta = delta

        in_hidden += d_in_hidden * step
        hidden_out += d_hidden_out * step
        hidden_hidden += d_hidden_hidden * step
        d_in_hidden *= 0
        d_hidden_out *= 0
        d_hidden_hidden *= 0
    return float(error[0])
