"""Words that go on from where a network was nearest to an error: a search by many walkers.

Each walker reads random symbols that tend to repeat, and keeps going.  After every round half of
the walkers are set to states of the least margins that any of them has come by, some for each
state of the machine.  So a state that drifts a little with every chain is driven on and on, which
random words from the start hardly ever do.  (The idea of returning to what was found before going
on at random is that of Ecoffet et al. 2021, "First return, then explore".)

Shapes: N walkers, T symbols of a round, D numbers of a state.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from carrynet import engines
from carrynet.data import rng
from carrynet.data.words import Words, smallest, sticky
from carrynet.engines.reference import Wandered
from carrynet.nets.network import Network


@dataclass(frozen=True)
class _Round:
    """What walkers read in a round, and whom they went on from."""

    words: Words  # (N, T)
    source: NDArray[np.integer]  # (N,) a walker of the round before
    after: NDArray[np.integer]  # (N,) and how many of that round's symbols it had read


def words(network: Network, enough: Callable[[int], bool]) -> Iterator[list[int]]:
    """Words that seem to be answered wrongly, until `enough` says so of the rounds made.

    After `_ROUNDS` all begin anew at the start, so that neither words nor memory grow for ever,
    with rounds of another length: some errors need many turns, and some a long time.
    """
    engine, (N, lengths) = engines.get("auto", network, quietly=True), _size(network)
    everyone, chance = np.arange(N), np.resize(_REPEATED, N)
    threads = (os.cpu_count() or 1) if engine.threads else 1
    pieces = [np.s_[i::threads] for i in range(threads)]
    drawn = 0
    with ThreadPoolExecutor(threads) as pool:
        for number in count():
            if enough(number):
                return
            if number % _ROUNDS == 0:
                T, rounds = lengths[number // _ROUNDS % len(lengths)], list[_Round]()
                h, state = np.repeat(network.start[None], N, axis=0), np.zeros(N, np.int32)
                source, after = everyone, np.zeros(N, np.int32)
            bits = rng.raw(0, rng.WALKERS, drawn, (2 * T + 2) * N).reshape(-1, N)
            drawn += bits.size
            read = (
                sticky(network.symbols, bits[2:].reshape(2, T, N), chance)
                .astype(smallest(network.task))
                .T
            )
            rounds.append(_Round(read, source, after))
            jobs = [pool.submit(engine.wander, network, h[s], state[s], read[s]) for s in pieces]
            found = _together([job.result() for job in jobs], pieces, N)
            for n in np.argsort(found.margin, kind="stable")[:_DOUBTS]:
                if found.margin[n] < 0:
                    yield _walked(rounds, int(n), int(found.after[n]))
            kept = _nearest(found.margin, found.reached)
            chosen = kept[rng.below(len(kept), bits[0])]
            back = rng.unit(bits[1]) < _RETURNING
            h = np.where(back[:, None], found.nearest[chosen], found.h)
            state = np.where(back, found.reached[chosen], found.state)
            source, after = np.where(back, chosen, everyone), np.where(back, found.after[chosen], T)


def few(network: Network) -> int:
    """How many rounds take about a second, at most those before the first beginning anew."""
    N, (T, *_) = _size(network)
    return min(_ROUNDS, max(1, _SECOND // (N * T * _weights(network))))


def _size(network: Network) -> tuple[int, list[int]]:
    """How many walkers there are, and the lengths of rounds: less of both of large networks."""
    N = min(max(_PRODUCTS // _weights(network), 64), 1024)
    first, *longer = _LENGTHS
    most = _SECOND // 4 // (N * _weights(network))
    return N, [first, *(T for T in longer if most >= T)]


def _weights(network: Network) -> int:
    return sum(array.size for array in network.weights.values())


def _together(parts: list[Wandered], pieces: list[slice], count: int) -> Wandered:
    """What happened to all walkers, from what did to some of them."""
    whole = {}
    for name, array in vars(parts[0]).items():
        whole[name] = np.empty((count, *array.shape[1:]), array.dtype)
        for part, piece in zip(parts, pieces, strict=True):
            whole[name][piece] = getattr(part, name)
    return Wandered(**whole)


def _nearest(least: NDArray[np.floating], state: NDArray[np.int32]) -> NDArray[np.intp]:
    """The walkers that came nearest to an error, as many in each state of the machine."""
    order = np.lexsort((least, state))
    first = np.searchsorted(state[order], state[order])  # where each one's state begins
    among, each = np.arange(len(order)) - first, -(-_KEPT // len(np.unique(state)))
    return order[among < each]


def _walked(rounds: list[_Round], walker: int, length: int) -> list[int]:
    """All that a walker has read when it has read so many symbols of the last round."""
    pieces = []
    for each in reversed(rounds):
        pieces.append(each.words[walker, :length])
        walker, length = int(each.source[walker]), int(each.after[walker])
    return [int(symbol) for piece in reversed(pieces) for symbol in piece]


_LENGTHS = 64, 256, 1024  # T, by turns
_ROUNDS = 64  # after which all begin anew
_KEPT = 64  # walkers whose states others go on from
_RETURNING = 0.5  # of the walkers, by chance
_DOUBTS = 4  # words of a round that are handed on
_PRODUCTS = 2**21  # with weights, of one symbol of all walkers
_SECOND = 2**33  # of all symbols of some rounds, on a slow machine
_REPEATED = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""The chance that a symbol is that before it, of the walkers by turns."""
