"""Words that go on from where a network was nearest to an error: a search by many walkers.

Each walker reads random symbols that tend to repeat, and keeps going.  After every few symbols half
of the walkers are set to states of the least margins that any of them has come by, some for each
state of the machine.  So a state that drifts a little with every chain is driven on and on, which
random words from the start hardly ever do.  (The idea of returning to what was found before going
on at random is that of Ecoffet et al. 2021, "First return, then explore".)

Shapes: N walkers, T symbols of a round, D numbers of a state.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.words import Words, sticky, tables
from carrynet.engines.reference import grade
from carrynet.nets.network import Network


@dataclass(frozen=True)
class _Round:
    """What walkers read in a round, and whom they went on from."""

    words: Words  # (T, N)
    source: NDArray[np.intp]  # (N,) a walker of the round before
    after: NDArray[np.intp]  # (N,) and how many of that round's symbols it had read


def words(network: Network, enough: Callable[[int], bool]) -> Iterator[list[int]]:
    """Words that seem to be answered wrongly, until `enough` says so of the rounds made.

    After `_ROUNDS` all begin anew at the start, so that neither words nor memory grow for ever.
    """
    weights = sum(array.size for array in network.weights.values())
    N = min(max(_PRODUCTS // weights, 64), 1024)
    table, everyone = tables(network.task), np.arange(N)
    chance = np.resize(_REPEATED, N)
    rounds: list[_Round] = []
    for number in count():
        if enough(number):
            return
        if number % _ROUNDS == 0:
            rounds = []
            h, state = np.repeat(network.start[None], N, axis=0), np.zeros(N, np.int32)
            source, after = everyone, np.zeros(N, np.intp)
        bits = rng.raw(0, rng.WALKERS, number * (2 * _LENGTH + 2) * N, (2 * _LENGTH + 2) * N)
        bits = bits.reshape(-1, N)
        read = sticky(network.symbols, bits[2:].reshape(2, _LENGTH, N), chance)
        rounds.append(_Round(read.astype(np.uint16), source, after))
        # the state of the least margin of each walker so far in this round, and after how many
        # symbols it was there
        least, at = np.full(N, np.inf), np.zeros(N, np.intp)
        best_h, best = h.copy(), state.copy()
        for t, symbols in enumerate(read):
            h = network.step(h, symbols)
            margin = grade(network.read(h), table.output[state, symbols])[1]
            state = table.delta[state, symbols]
            less = margin < least
            least, at = np.where(less, margin, least), np.where(less, t + 1, at)
            best_h[less], best = h[less], np.where(less, state, best)
        for n in np.argsort(least, kind="stable")[:_DOUBTS]:
            if least[n] < 0:
                yield _walked(rounds, int(n), int(at[n]))
        kept = _nearest(least, best)
        chosen = kept[rng.below(len(kept), bits[0])]
        back = rng.unit(bits[1]) < _RETURNING
        h, state = np.where(back[:, None], best_h[chosen], h), np.where(back, best[chosen], state)
        source, after = np.where(back, chosen, everyone), np.where(back, at[chosen], _LENGTH)


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
        pieces.append(each.words[:length, walker])
        walker, length = int(each.source[walker]), int(each.after[walker])
    return [int(symbol) for piece in reversed(pieces) for symbol in piece]


_LENGTH = 64  # T
_ROUNDS = 400  # after which all begin anew
_KEPT = 64  # walkers whose states others go on from
_RETURNING = 0.5  # of the walkers, by chance
_DOUBTS = 16  # words of a round that are handed on
_PRODUCTS = 2**21  # with weights, of one symbol of all walkers
_REPEATED = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""The chance that a symbol is that before it, of the walkers by turns."""
