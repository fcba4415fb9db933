"""The NumPy engine: the algorithms as in a textbook.

Shapes: N words (or prefixes of words), S symbols, T time, H hidden, Y output.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.words import (
    OPEN,
    Words,
    answers,
    chains,
    draws_per_word,
    sequences,
    tables,
    uniform,
)
from carrynet.nets import certified as bounds, joined
from carrynet.nets.arrays import Array, in_one_thread, rows_of
from carrynet.nets.bptt import bptt
from carrynet.nets.losses import LOSSES, margins, predict
from carrynet.nets.network import Network
from carrynet.nets.optim import UPDATES, Moments
from carrynet.nets.readings import Forward
from carrynet.nets.readings.numbers import ALONE, FLAT
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage


@in_one_thread
def advance(
    network: Network, moments: Moments, recipe: Recipe, stage: Stage, words: Words, first: int
) -> tuple[Weights, Moments, Array]:
    """Make one update for each batch of words; see `engines.Engine`."""
    task = network.task
    loss, update = LOSSES[stage.loss, task.readout], UPDATES[stage.optimiser]
    x, targets = sequences(task, words, network.dtype)
    open_ = task.machine.leaves_open
    asked = answers(task, words).swapaxes(-1, -2) != OPEN if open_ else None
    logits = np.empty_like(targets)
    # A single problem goes without its batch axis: vectors are faster than 1-row matrices.
    alone = np.s_[:, 0] if stage.batch == 1 else np.s_[:]
    # A diverging training may overflow; the caller finds the first logits that are not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(len(words)):
            here = loss if asked is None else loss.where(asked[i][alone])
            problem = network, here, x[i][alone], targets[i][alone]
            gradients, logits[i][alone] = bptt(*problem, biases=recipe.biases)
            if stage.worst:
                ramp = stage.ramp_at(first + i)
                if stage.bounds == "boxes":
                    worst = joined.gradient(
                        network,
                        ramp * stage.slack,
                        closing=stage.closing,
                        forgetting=stage.forgetting,
                        biases=recipe.biases,
                    ).weights
                else:
                    worst = bounds.bptt(*problem, ramp * stage.slack, biases=recipe.biases)
                share = ramp * stage.worst
                gradients = gradients.map(lambda g, w, s=share: (1 - s) * g + s * w, worst)
            weights, moments = update(
                network.weights, gradients, moments, stage.step_at(first + i), first + i + 1
            )
            network = network.moved(weights)
    return network.weights, moments, logits


# Evaluation --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Prefixes:
    """Prefixes of one length, in order, without a gap: where network and machine are after each."""

    h: Array  # (N, D)
    state: NDArray[np.int32]  # (N,)
    right: NDArray[np.bool_]  # (N,) whether every output so far was right
    doubt: NDArray[np.bool_]  # (N,) whether any of them was within rounding of zero
    word: int  # the first of them as a number in base S, first symbol most significant
    length: int  # symbols

    @classmethod
    def root(cls, network: Network) -> "Prefixes":
        """The empty prefix."""
        h = network.start[None]
        return cls(h, np.zeros(1, np.int32), np.ones(1, bool), np.zeros(1, bool), 0, 0)

    def split(self, size: int) -> Iterator["Prefixes"]:
        """The same in pieces of at most `size`, in order."""
        for start in range(0, len(self.state), size):
            s = np.s_[start : start + size]
            here = self.h[s], self.state[s], self.right[s], self.doubt[s]
            yield Prefixes(*here, self.word + start, self.length)


@dataclass(frozen=True)
class Tally:
    """How words came out."""

    right: int
    margin: float  # the smallest
    wrong: int | None  # the first wrong word as a number in base S
    doubtful: int = 0  # words with an output within rounding of zero, judged by themselves
    differ: int = 0  # of which the engine's own batches say otherwise, at least so many


@dataclass(frozen=True, eq=False)
class Followed:
    """How each of some words came out."""

    first_error: NDArray[np.int32]  # (N,) where it first goes wrong; -1 where it does not
    margin: float  # the smallest
    doubt: NDArray[np.bool_]  # (N,) whether an output was within rounding of zero
    differ: int = 0  # words of which the engine's own batches say otherwise, at least so many


@dataclass(frozen=True, eq=False)
class Wandered:
    """Where some words led, and where on the way each was nearest to an error."""

    h: Array  # (N, D)
    state: NDArray[np.int32]  # (N,) of the machine
    margin: NDArray[np.floating]  # (N,) the least; the largest number there is where none
    nearest: Array  # (N, D) the state there
    reached: NDArray[np.int32]  # (N,) that of the machine
    after: NDArray[np.int32]  # (N,) and how many symbols were read by then


@in_one_thread
@np.errstate(over="ignore", invalid="ignore")
def walk(network: Network, prefixes: Prefixes, depth: int, *, near: float | None = None) -> Tally:
    """Every word below some prefixes; see `engines.Engine`.

    Words that share their low digits share hidden states, so that S + S^2 + ... + S^n
    states stand for n S^n.  Depth first, in blocks that fit in the cache.
    """
    near = near_zero(network) if near is None else near
    symbols = network.symbols
    block = max(1, _CHILD_FLOATS // (len(network.start) * symbols))
    right, smallest, wrong, doubtful, differ = 0, np.inf, None, 0, 0
    stack = [(prefixes, depth)]
    while stack:
        prefixes, depth = stack.pop()
        if len(prefixes.state) > block:
            # the last is popped first: reversed, prefixes are visited in order
            stack += [(piece, depth) for piece in reversed(list(prefixes.split(block)))]
            continue
        prefixes, margin = expand(network, prefixes, near)
        smallest = min(smallest, margin)
        if depth > 1:
            stack.append((prefixes, depth - 1))
            continue
        prefixes, margin = _flush(network, prefixes, near)
        smallest = min(smallest, margin)
        hits = prefixes.right.copy()
        length = prefixes.length + network.task.headroom
        for rows in _in_pieces(np.flatnonzero(prefixes.doubt), length):
            found = follow_batch(network, _words(network, prefixes, rows), near=np.inf)
            hits[rows], smallest = found.first_error < 0, min(smallest, found.margin)
        right += int(hits.sum())
        doubtful += len(hits) if near == np.inf else int(prefixes.doubt.sum())
        differ += int((hits != prefixes.right).sum())
        if wrong is None and not hits.all():
            wrong = prefixes.word + int(hits.argmin())
    return Tally(right, float(smallest), wrong, doubtful, differ)


@in_one_thread
def expand(
    network: Network, prefixes: Prefixes, near: float | None = None
) -> tuple[Prefixes, float]:
    """All prefixes one symbol longer, and the smallest margin of the new outputs.

    The child of prefix i under
    symbol a stands in row i * S + a.  Margins up to `near` zero (by default `near_zero`) are
    noted as doubts, and are not among the smallest; where that is infinite, nothing is in doubt,
    since each is computed by itself.
    """
    near = near_zero(network) if near is None else near
    table, symbols = tables(network.task), network.symbols
    h = rows_of(network.children(prefixes.h, _reading(near)))
    so_far = np.repeat(prefixes.right, symbols)
    wanted = table.output[prefixes.state].ravel()
    hit, doubt, margin = _grade_states(network, h, wanted, so_far, near)
    children = Prefixes(
        h=h,
        state=table.delta[prefixes.state].ravel(),
        right=so_far & hit,
        doubt=np.repeat(prefixes.doubt, symbols) | doubt,
        word=prefixes.word * symbols,
        length=prefixes.length + 1,
    )
    return children, margin


def _flush(network: Network, prefixes: Prefixes, near: float) -> tuple[Prefixes, float]:
    """Read zeros (symbol 0) as far as the answer can be longer: they bring out what is carried."""
    table = tables(network.task)
    h, state, right, smallest = prefixes.h, prefixes.state, prefixes.right, np.inf
    doubt = prefixes.doubt
    for _ in range(network.task.headroom):
        h = network.step(h, np.zeros(len(h), np.intp), _reading(near))
        hit, unsure, margin = _grade_states(network, h, table.output[state, 0], right, near)
        right, doubt, state = right & hit, doubt | unsure, table.delta[state, 0]
        smallest = min(smallest, margin)
    return Prefixes(h, state, right, doubt, prefixes.word, prefixes.length), smallest


@in_one_thread
@np.errstate(over="ignore", invalid="ignore")
def follow(
    network: Network, words: Words, *, whole: bool = True, near: float | None = None
) -> Followed:
    """Where each word first goes wrong, and the smallest margin; see `engines.Engine`."""
    near = near_zero(network) if near is None else near
    found = follow_batch(network, words, whole=whole, near=near)
    if near == np.inf:
        return replace(found, doubt=np.ones(len(words), dtype=bool))
    rows = np.flatnonzero(found.doubt)
    if not len(rows):
        return found
    first_error = found.first_error.copy()
    again = follow_batch(network, words[rows], whole=whole, near=np.inf)
    first_error[rows] = again.first_error
    differ = int(((first_error < 0) != (found.first_error < 0)).sum())
    return Followed(first_error, min(found.margin, again.margin), found.doubt, differ)


@in_one_thread
@np.errstate(over="ignore", invalid="ignore")
def follow_batch(
    network: Network, words: Words, *, whole: bool = True, near: float | None = None
) -> Followed:
    """The same where doubts are left as they are: not judged again, nor among the margins."""
    near = near_zero(network) if near is None else near
    expected = answers(network.task, words)
    h = np.repeat(network.start[None], len(words), axis=0)
    first_error, doubts = np.full(len(words), -1, np.int32), np.zeros(len(words), dtype=bool)
    rows, smallest = np.arange(len(words)), np.inf  # those that are still read
    positions = _POSITIONS if whole else _SOON
    for start in range(0, words.shape[1], positions):
        block = np.empty((min(positions, words.shape[1] - start), *h.shape), h.dtype)
        for t in range(len(block)):
            block[t] = h = network.step(h, words[rows, start + t], _reading(near))
        right = first_error[rows] < 0
        here = expected[rows, start : start + len(block)].T
        hit, doubt, margin = _grade_states(network, block, here, right, near)
        smallest = min(smallest, margin)
        doubts[rows] |= doubt.any(axis=0)
        wrong = right & ~hit.all(axis=0)
        first_error[rows[wrong]] = start + hit[:, wrong].argmin(axis=0)
        if not whole:
            rows, h = rows[right & ~wrong], h[right & ~wrong]
            if not len(rows):
                break
    return Followed(first_error, smallest, doubts)


@in_one_thread
@np.errstate(over="ignore", invalid="ignore")
def wander(network: Network, h: Array, state: NDArray[np.int32], words: Words) -> Wandered:
    """Words (N, T), each read from a state of network and machine of its own; see `Engine`."""
    table = tables(network.task)
    least = np.full(len(words), np.finfo(np.float32).max, np.float64)
    nearest, reached, after = h.copy(), state.copy(), np.zeros(len(words), np.int32)
    for t, symbols in enumerate(words.T):
        h = network.step(h, symbols)
        margin = grade(network.read(h), table.output[state, symbols])[1]
        state = table.delta[state, symbols]
        less = margin < least
        least[less], nearest[less] = margin[less], h[less]
        reached[less], after[less] = state[less], t + 1
    return Wandered(h, state, least, nearest, reached, after)


# Within rounding of zero -------------------------------------------------------------
#
# The order of a sum decides its last bits, and with them the sign of a logit that is almost
# zero: there, engines may differ, and one engine from itself in a batch of another size.  What
# the network answers is what `Network.states` says, one word by itself, one symbol after
# another.  So words of which some output is that near are judged again in this way, by the
# reading `ALONE`.  `near` infinite means that all are.


@lru_cache(maxsize=64)
def near_zero(network: Network) -> float:
    """How near to zero a margin is in doubt, because engines round otherwise.

        max(64 u, 8 d),   u = eps max_y (sum_i |Why_iy| r_i + |by_y|),   where |h_i| <= r_i

    Of trained networks the engines were seen up to 11 u apart (`benchmarks/rounding.py`).  Where
    errors grow from step to step they come further apart; d is how far a logit moves, along some
    words, where weights and, after every symbol, states are changed in their last bit.  Infinity,
    so that every word is judged by itself, where d is more than 4,096 u, or sums may overflow.
    Nothing is known of errors that grow along other words only.

    A cell other than Elman's may have states without bound, as ReLU's: theirs is taken from the
    same words, up to `_GROWN`, since a network whose states grow without bound is wrong soon, and
    by much.
    """
    reach, apart = _nudged(network)
    if network.activation in ("sigmoid", "tanh"):
        reach = np.ones_like(reach)
    logits, sums = network.sizes(reach)
    kind = np.finfo(network.dtype)
    unit = float(kind.eps) * logits
    if not max(logits, sums) < float(kind.max) or not apart <= _APART * unit:
        return np.inf
    return max(_ROUNDINGS * unit, _NUDGES * apart)


@in_one_thread
@np.errstate(over="ignore", invalid="ignore")
def _nudged(network: Network) -> tuple[Array, float]:
    """The sizes of states (D,) along some words, and how far apart rounding takes logits there.

    Apart from those of the network itself are those of one with about half of its weights a last
    bit nearer to zero, and about half of its states after every symbol.
    """

    def nudged(array: Array) -> Array:
        some = rng.raw(0, rng.NUDGES, 0, array.size).reshape(array.shape) % 2 == 0
        return np.where(some, np.nextafter(array, np.zeros_like(array)), array)

    task, length = network.task, _NUDGED
    draws = draws_per_word(task, length)
    bits = rng.raw(0, rng.NUDGES, 0, length // 2 * max(draws, 2 * length))
    words = np.concatenate(
        [
            uniform(task, length, bits[: length // 2 * draws].reshape(-1, draws)),
            chains(task, length, bits[: length * length].reshape(-1, length, 2)),
        ]
    )
    other = Network(task, network.cell, network.weights.map(nudged), network.readout)
    h = there = np.repeat(network.start[None], len(words), axis=0)
    reach, apart = np.abs(network.start), np.zeros(())
    for symbols in words.T:
        h, there = network.step(h, symbols), nudged(other.step(there, symbols))
        reach = np.maximum(reach, numbers(np.abs(h)).max(axis=0))
        apart = np.maximum(apart, np.abs(network.read(h) - other.read(there)).max())
    return np.minimum(reach, _GROWN), float(apart)


def _reading(near: float) -> Forward:
    """How states are computed where margins up to so near zero are in doubt."""
    return ALONE if near == np.inf else FLAT


def _in_pieces(rows: NDArray[np.intp], length: int) -> Iterator[NDArray[np.intp]]:
    """Rows of words of some length, so many that they have at most `_SYMBOLS`."""
    most = max(1, _SYMBOLS // length)
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


def _words(network: Network, prefixes: Prefixes, rows: NDArray[np.intp]) -> Words:
    """Some prefixes, and the zeros behind them, as words of symbols."""
    places = network.symbols ** np.arange(prefixes.length)[::-1]
    words: Words = (prefixes.word + rows)[:, None] // places % network.symbols
    return np.pad(words, ((0, 0), (0, network.task.headroom)))


def grade(logits: Array, expected: NDArray[np.integer]) -> tuple[NDArray[np.bool_], Array]:
    """Which logits (..., Y) give the expected outputs (...), and their margins.

    Only ReLU states can overflow; logits that are not numbers are wrong by the most there is.
    Where nothing is asked every answer is right, by the most there is.
    """
    asked = expected != OPEN
    margin = np.where(asked, margins(logits, expected), np.array(np.inf, logits.dtype))
    return ~asked | ((predict(logits) == expected) & ~np.isnan(margin)), numbers(margin)


def numbers(margin: Array) -> Array:
    """Margins with the most there is for infinity, and the least for what is not a number."""
    return np.nan_to_num(margin, nan=-float(np.finfo(margin.dtype).max))


def _grade_states(
    network: Network,
    h: Array,
    expected: NDArray[np.integer],
    right: NDArray[np.bool_],
    near: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], float]:
    """Which answers to hidden states are right, which in doubt, and the smallest other margin.

    States of words (N, H) or (T, N, H), of which some were `right` (N,) so far.  In doubt is only
    what decides: of a word that is wrong already, nothing; nor is what is computed by itself.
    """
    hit, margin = grade(network.read(h, _reading(near)), expected)
    if near == np.inf:
        return hit, np.zeros_like(hit), float(margin.min(initial=np.inf))
    size = np.abs(margin)
    # close to overflow, the order of a sum decides whether there is a number
    doubt = (size <= near) | (size > np.finfo(margin.dtype).max * _HUGE)
    doubt &= expected != OPEN
    if hit.ndim == 1:
        doubt &= right
    else:
        doubt &= np.logical_and.accumulate(np.concatenate([right[None], hit[:-1]]))
    return hit, doubt, float(margin.min(initial=np.inf, where=~doubt))


_CHILD_FLOATS = 2**20  # numbers in the hidden states of the children made at once
_POSITIONS = 64  # of words that are followed before they are judged
_ROUNDINGS = 64
_NUDGES = 8
_APART = 2.0**12
_NUDGED = 32  # words, and symbols of each
_GROWN = 100.0
_HUGE = 2.0**-28
_SYMBOLS = 2**17
_SOON = 8  # positions after which it is seen whether a word is wrong
