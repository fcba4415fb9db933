"""The NumPy engine: the algorithms as in a textbook.

Shapes: N words (or prefixes of words), S symbols, T time, H hidden, Y output.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from carrynet import bounds
from carrynet.cells import Array
from carrynet.network import LOSSES, Network, Weights, bptt, margins, predict, read_out
from carrynet.optim import UPDATES, Moments
from carrynet.problems import Words, answers, sequences, tables
from carrynet.recipe import Recipe, Stage

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


@in_one_thread
def advance(
    network: Network, moments: Moments, recipe: Recipe, stage: Stage, words: Words, first: int
) -> tuple[Weights, Moments, Array]:
    """Make one update for each batch of words; see `engines.Engine`."""
    task, cell, weights = network.task, network.cell, network.weights
    loss, update = LOSSES[stage.loss, task.readout], UPDATES[stage.optimiser]
    x, targets = sequences(task, words, network.dtype)
    logits = np.empty_like(targets)
    # A single problem goes without its batch axis: vectors are faster than 1-row matrices.
    alone = np.s_[:, 0] if stage.batch == 1 else np.s_[:]
    # A diverging training may overflow; the caller finds the first logits that are not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(len(words)):
            problem = weights, cell, loss, x[i][alone], targets[i][alone]
            gradients, logits[i][alone] = bptt(*problem, biases=recipe.biases)
            if stage.worst:
                ramp = stage.ramp_at(first + i)
                worst = bounds.bptt(*problem, ramp * stage.slack, biases=recipe.biases)
                share = ramp * stage.worst
                gradients = Weights(
                    *((1 - share) * g + share * w for g, w in zip(gradients, worst, strict=True))
                )
            weights, moments = update(
                weights, gradients, moments, stage.step_at(first + i), first + i + 1
            )
    return weights, moments, logits


@dataclass(frozen=True, eq=False)
class Prefixes:
    """Prefixes of one length, in order, without a gap: where network and machine are after each."""

    h: Array  # (N, H)
    state: NDArray[np.int32]  # (N,)
    right: NDArray[np.bool_]  # (N,) whether every output so far was right
    word: int  # the first of them as a number in base S, first symbol most significant

    @classmethod
    def root(cls, network: Network) -> "Prefixes":
        """The empty prefix."""
        h = np.zeros((1, network.hidden), network.dtype)
        return cls(h, np.zeros(1, np.int32), np.ones(1, dtype=bool), 0)

    def split(self, size: int) -> Iterator["Prefixes"]:
        """The same in pieces of at most `size`, in order."""
        for start in range(0, len(self.state), size):
            s = np.s_[start : start + size]
            yield Prefixes(self.h[s], self.state[s], self.right[s], self.word + start)


@dataclass(frozen=True)
class Tally:
    """How words came out."""

    right: int
    margin: float  # the smallest
    wrong: int | None  # the first wrong word as a number in base S


@in_one_thread
def walk(network: Network, prefixes: Prefixes, depth: int) -> Tally:
    """Every word below some prefixes; see `engines.Engine`.

    Words that share their low digits share hidden states, so that S + S^2 + ... + S^n
    states stand for n S^n.  Depth first, in blocks that fit in the cache.
    """
    symbols = len(network.drives)
    block = max(1, _CHILD_FLOATS // (network.hidden * symbols))
    right, smallest, wrong = 0, np.inf, None
    stack = [(prefixes, depth)]
    while stack:
        prefixes, depth = stack.pop()
        if len(prefixes.state) > block:
            # the last is popped first: reversed, prefixes are visited in order
            stack += [(piece, depth) for piece in reversed(list(prefixes.split(block)))]
            continue
        prefixes, margin = expand(network, prefixes)
        smallest = min(smallest, margin)
        if depth > 1:
            stack.append((prefixes, depth - 1))
            continue
        prefixes, margin = _flush(network, prefixes)
        smallest = min(smallest, margin)
        right += int(prefixes.right.sum())
        if wrong is None and not prefixes.right.all():
            wrong = prefixes.word + int(prefixes.right.argmin())
    return Tally(right, float(smallest), wrong)


@in_one_thread
def expand(network: Network, prefixes: Prefixes) -> tuple[Prefixes, float]:
    """All prefixes one symbol longer, and the smallest margin of the new outputs.

    The S children of a state share its product h Whh.  The child of prefix i under
    symbol a stands in row i * S + a.
    """
    table, drives = tables(network.task), network.drives
    products = prefixes.h.dot(network.weights.Whh)
    h = network.cell.f(drives + products[:, None]).reshape(-1, network.hidden)
    hit, margin = _judge_states(network, h, table.output[prefixes.state].ravel())
    children = Prefixes(
        h=h,
        state=table.delta[prefixes.state].ravel(),
        right=np.repeat(prefixes.right, len(drives)) & hit,
        word=prefixes.word * len(drives),
    )
    return children, margin


def _flush(network: Network, prefixes: Prefixes) -> tuple[Prefixes, float]:
    """Read zeros (symbol 0) as far as the answer can be longer: they bring out what is carried."""
    table, zeros = tables(network.task), network.drives[0]
    h, state, right, smallest = prefixes.h, prefixes.state, prefixes.right, np.inf
    for _ in range(network.task.headroom):
        h = network.cell.step(zeros, h, network.weights.Whh)
        hit, margin = _judge_states(network, h, table.output[state, 0])
        right, state, smallest = right & hit, table.delta[state, 0], min(smallest, margin)
    return Prefixes(h, state, right, prefixes.word), smallest


@in_one_thread
def follow(network: Network, words: Words) -> tuple[NDArray[np.int32], float]:
    """Where each word first goes wrong, and the smallest margin; see `engines.Engine`."""
    expected = answers(network.task, words)
    step, Whh, drives = network.cell.step, network.weights.Whh, network.drives
    h = np.zeros((len(words), network.hidden), network.dtype)
    hits = np.empty(words.shape, dtype=bool)
    smallest = np.inf
    for start in range(0, words.shape[1], _POSITIONS):
        block = np.empty((min(_POSITIONS, words.shape[1] - start), *h.shape), h.dtype)
        for t in range(len(block)):
            block[t] = h = step(drives[words[:, start + t]], h, Whh)
        here = np.s_[:, start : start + len(block)]
        hit, margin = _judge_states(network, block, expected[here].T)
        hits[here], smallest = hit.T, min(smallest, margin)
    return np.where(hits.all(axis=1), -1, hits.argmin(axis=1)).astype(np.int32), smallest


def judge(logits: Array, expected: NDArray[np.integer]) -> tuple[NDArray[np.bool_], Array]:
    """Which logits (..., Y) give the expected outputs (...), and their margins.

    Only ReLU states can overflow; logits that are not numbers are wrong by the most there is.
    """
    margin = margins(logits, expected)
    return (predict(logits) == expected) & ~np.isnan(margin), numbers(margin)


def numbers(margin: Array) -> Array:
    """Margins with the most there is for infinity, and the least for what is not a number."""
    return np.nan_to_num(margin, nan=-float(np.finfo(margin.dtype).max))


def _judge_states(
    network: Network, h: Array, expected: NDArray[np.integer]
) -> tuple[NDArray[np.bool_], float]:
    """Which answers to hidden states are right, and their smallest margin."""
    hit, margin = judge(read_out(network.weights, h), expected)
    return hit, float(margin.min())


_CHILD_FLOATS = 2**20  # numbers in the hidden states of the children made at once
_POSITIONS = 64  # of words that are followed before they are judged
