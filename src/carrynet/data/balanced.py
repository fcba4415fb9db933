"""Words whose last answer is every possible one alike, and the lengths at which there is one.

Among uniform words of 40 symbols hardly one is of Tomita's first grammar.  Here a word's outcome,
the machine's answer to its last symbol, is drawn first, evenly from those that words of its length
come to; then the word, evenly from those that come to it.  With

    R_n(q, y)    the share of the words of length n, read from state q, whose last answer is y
    R_1(q, y) = mean_a [output(q, a) = y]        R_n(q, y) = mean_a R_n-1(delta(q, a), y)

symbol a is drawn in state q, with n symbols to go, by weights R_n-1(delta(q, a), y).

Shapes: N words, T time, S symbols, Q states, O outputs.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.words import Words, tables
from carrynet.spec.task import Task


def lengths(task: Task, longest: int, bits: NDArray[np.uint64], shortest: int = 1) -> Words:
    """Lengths (N,) from `bits` (N,): evenly those from `shortest` on that end in a question.

    Where none does, the longest shorter one; where none of those does either, any.
    """
    asked = np.flatnonzero(_ways(task, longest).asked)
    if not len(asked):
        asked = np.arange(shortest, longest + 1)
    asked = asked[asked >= min(shortest, asked[-1])]
    return asked[rng.below(len(asked), bits)]


def balanced(task: Task, length: Words, bits: NDArray[np.uint64]) -> Words:
    """Words (N, T) whose first `length` (N,) symbols are as above; what follows is uniform.

    `bits` has the shape (N, 1 + T): the outcome, then symbol after symbol.
    """
    T = bits.shape[1] - 1
    ways, chance = _ways(task, int(length.max(initial=1))), rng.unit(bits)
    delta, symbols = tables(task).delta, len(task.machine.symbols)
    outcome = (chance[:, :1] >= ways.outcome[length]).sum(axis=1)
    state = np.zeros(len(bits), np.int32)
    words = np.empty((len(bits), T), np.min_scalar_type(symbols - 1))
    for t in range(T):
        ends = ways.symbol[np.maximum(length - t, 0), state, outcome]
        words[:, t] = (chance[:, t + 1, None] >= ends).sum(axis=1)
        state = delta[state, words[:, t]]
    return words


@dataclass(frozen=True, eq=False)
class _Ways:
    """Where chances end, each divided into [0, 1) one after another; the last ends are left out."""

    asked: NDArray[np.bool_]  # (T + 1,): whether a word of that length can end in a question
    outcome: NDArray[np.float64]  # (T + 1, O): of a word of that length
    symbol: NDArray[np.float64]  # (T + 1, Q, O, S - 1): with so many symbols to go


@lru_cache(maxsize=16)
def _ways(task: Task, longest: int) -> _Ways:
    """By R_n(q, y), each n and y up to a factor, since only ratios are needed.

    Words that are rarer than doubles tell, 1 of 10^308 among those from the likeliest state, are
    taken for none.
    """
    table = tables(task)
    (states, symbols), outputs = table.delta.shape, len(task.machine.outputs)
    last = (table.output[:, :, None] == np.arange(outputs)).swapaxes(1, 2).astype(np.float64)
    asked, outcome = np.zeros(longest + 1, bool), np.ones((longest + 1, outputs))
    symbol = np.empty((longest + 1, states, outputs, symbols - 1))
    symbol[0] = np.arange(1, symbols) / symbols
    weights = last  # (Q, O, S)
    for n in range(1, longest + 1):
        symbol[n] = _ends(weights)[..., :-1]
        share = weights.mean(axis=2)
        asked[n], outcome[n] = share[0].any(), _ends(share[0] > 0)
        share /= np.where(share.any(axis=0), share.max(axis=0), 1.0)
        weights = share[table.delta].swapaxes(1, 2)
    for array in (asked, outcome, symbol):
        array.setflags(write=False)
    return _Ways(asked, outcome, symbol)


def _ends(weights: NDArray[Any]) -> NDArray[np.float64]:
    """Where the shares of weights (..., K) end; those of all alike where no weight is above 0."""
    some = weights.any(axis=-1, keepdims=True)
    ends = np.where(some, weights, 1.0).cumsum(axis=-1)
    # what is behind the last weight above 0 ends where that does, at 1 exactly
    return np.asarray(ends / ends[..., -1:])
