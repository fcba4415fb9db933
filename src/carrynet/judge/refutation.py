"""Refutation: a search for a word that a network answers wrongly, as short as can be.

Three searches, one after another, until one finds something:

    all words up to some length            the first error found here is a shortest one
    a beam of the states nearest to error  errors that need a certain approach
    prefix, then a period for ever         errors of states that fade or drift slowly

What is found is shortened, and counts only when the network itself, one symbol after
another in its own arithmetic, confirms it.

Shapes: N words or states, S symbols, Q machine states, T time, H hidden, Y output.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from carrynet.data.words import Words, answers, tables
from carrynet.engines.reference import follow_batch, grade
from carrynet.nets.arrays import Array, in_one_thread, rows_of
from carrynet.nets.network import Network
from carrynet.watch import Tell


@dataclass(frozen=True)
class Refutation:
    """A word whose last symbol, and no earlier one, is answered wrongly."""

    word: tuple[int, ...]  #: symbols, least significant first
    answered: int  #: the output for the last of them
    expected: int
    margin: float  #: of that output; negative
    shortest: bool  #: whether every shorter word was tried, and found right

    @property
    def position(self) -> int:
        """Where the wrong output stands."""
        return len(self.word) - 1


def refute(network: Network) -> Refutation | None:
    """Search for a word that is answered wrongly; None if none was found.

    None says nothing about words that were not tried.
    """
    return by_short_words(network) or by_long_words(network)


def by_short_words(network: Network) -> Refutation | None:
    """The first wrong one of all words up to `exhaustive_length`: no shorter one is wrong."""
    return _first_wrong(network, _all_words)


def by_long_words(network: Network, tell: Tell = lambda step: None) -> Refutation | None:
    """A wrong word among those that a beam finds, or among prefixes with periods, shortened.

    `tell` is told which prefixes and periods it is at.
    """
    chains = partial(_chains, tell=tell)
    return _first_wrong(network, _beam) or _first_wrong(network, chains)


def by_words(network: Network, words: list[list[int]]) -> Refutation | None:
    """A wrong word among some, shortened."""
    return _first_wrong(network, lambda network: iter(words))


@in_one_thread
@np.errstate(over="ignore", invalid="ignore")
def _first_wrong(
    network: Network, search: Callable[[Network], Iterator[list[int]]]
) -> Refutation | None:
    length = exhaustive_length(network)
    for word in search(network):
        confirmed = confirm(network, word)
        if confirmed is not None:
            if len(confirmed) > length + 1:
                confirmed = shorten(network, confirmed)
            return _report(network, confirmed, length)
    return None


def exhaustive_length(network: Network) -> int:
    """The length up to which all words are tried: 7, or less for larger alphabets."""
    symbols, length = len(network.task.machine.symbols), 1
    while length < 7 and symbols ** (length + 1) <= _MOST_WORDS:
        length += 1
    return length


def confirm(network: Network, word: Sequence[int]) -> list[int] | None:
    """The word up to its first wrong output, by the network's own evaluation; None if all right."""
    expected = answers(network.task, np.array(word))
    start = 0
    for _, logits in network.states(list(word)):
        right, _ = grade(logits, expected[start : start + len(logits)])
        if not right.all():
            return list(word[: start + int(right.argmin()) + 1])
        start += len(logits)
    return None


def shorten(network: Network, word: list[int]) -> list[int]:
    """A shorter wrong word, by leaving out stretches and merging neighbours; greedy.

    Stretches of half the word, a quarter, ... one symbol; then any two neighbours
    become any one symbol; and again from the start, until nothing gets shorter.
    """
    symbols = len(network.task.machine.symbols)
    while True:
        before = len(word)
        stretch = len(word) // 2
        while stretch:
            tries = [word[:i] + word[i + stretch :] for i in range(len(word) - stretch + 1)]
            found = _shortest_wrong(network, tries)
            if found is None:
                stretch //= 2
            else:
                word, stretch = found, min(stretch, len(found) // 2)
        if len(word) * symbols <= _MOST_TRIES:
            tries = [
                [*word[:i], a, *word[i + 2 :]] for i in range(len(word) - 1) for a in range(symbols)
            ]
            word = _shortest_wrong(network, tries) or word
        if len(word) == before:
            return word


# The three searches, each an iterator over words that may be wrong ---------------------


def _all_words(network: Network) -> Iterator[list[int]]:
    """Every word up to `exhaustive_length`, shorter ones first."""
    symbols = len(network.task.machine.symbols)
    h, state = _start(network)
    for length in range(1, exhaustive_length(network) + 1):
        h, state, margin = _expand(network, h, state)
        # batches round otherwise than single words: what is near zero is left to `confirm`
        near = _NEAR * float(np.clip(np.abs(margin).max(), 1, 1e4))
        for n in np.argsort(margin):
            if margin[n] > near:
                break
            yield [int(n) // symbols**t % symbols for t in reversed(range(length))]


def _beam(network: Network) -> Iterator[list[int]]:
    """Of the words of each length, in each machine state, those whose next margin is worst.

    Words are kept as links: what was read last, and which row it continues.
    """
    symbols, states = len(network.task.machine.symbols), len(network.task.machine.states)
    width = max(1, _BEAM // symbols**2)
    h, state = _start(network)
    links: list[NDArray[np.intp]] = []
    for _ in range(_BEAM_LENGTH):
        h, state, margin = _expand(network, h, state)
        links.append(np.arange(len(h)))
        for n in np.flatnonzero(margin < _NEAR)[:_DOUBTS]:
            yield _read_back(links, int(n), symbols)
        ahead = _expand(network, h, state)[2].reshape(len(h), symbols).min(axis=1)
        order = np.argsort(ahead, kind="stable")
        # states that are almost alike have almost the same margin: one of them is enough
        order = order[np.unique(np.round(ahead[order], 4), return_index=True)[1]]
        kept = np.concatenate([order[state[order] == q][:width] for q in range(states)])
        h, state, links[-1] = h[kept], state[kept], links[-1][kept]


def _read_back(links: list[NDArray[np.intp]], row: int, symbols: int) -> list[int]:
    """The word that ends in a row: links[t][n] = row before * S + symbol."""
    word = []
    for link in reversed(links):
        row, symbol = divmod(int(link[row]), symbols)
        word.append(symbol)
    return word[::-1]


def _chains(network: Network, tell: Tell = lambda step: None) -> Iterator[list[int]]:
    """Every prefix of up to 2 symbols followed by every period of up to 4, for long."""
    symbols = len(network.task.machine.symbols)
    table = tables(network.task)
    for period in range(1, 5):
        for prefix in range(3):
            if symbols ** (prefix + period) > _MOST_CHAINS:
                continue
            tell(f"long words, chains with a prefix of {prefix} and a period of {period}")
            number = np.arange(symbols ** (prefix + period))
            places = symbols ** np.arange(prefix + period)
            words: Words = number[:, None] // places % symbols  # (N, prefix + period)
            h = np.repeat(network.start[None], len(words), axis=0)
            state = np.zeros(len(words), np.int32)
            before = h
            for t in range(_CHAIN_LENGTH):
                a = words[:, t if t < prefix else prefix + (t - prefix) % period]
                h = network.step(h, a)
                margin = grade(network.read(h), table.output[state, a])[1]
                state = table.delta[state, a]
                wrong = np.flatnonzero(margin < 0)[:_DOUBTS]
                for n in wrong:
                    body = [int(b) for b in words[n]]
                    full = body[:prefix] + body[prefix:] * (t // period + 1)
                    yield full[: t + 1]
                if t >= prefix and (t - prefix) % (12 * period) == 0:
                    moving = (np.abs(h - before) > _STILL).any(axis=1)
                    if not moving.any():
                        break
                    h, state, words = h[moving], state[moving], words[moving]
                    before = h


def _start(network: Network) -> tuple[Array, NDArray[np.int32]]:
    return network.start[None], np.zeros(1, np.int32)


def _expand(
    network: Network, h: Array, state: NDArray[np.int32]
) -> tuple[Array, NDArray[np.int32], Array]:
    """Every state (N, D) after every symbol: row n * S + a; machine states and margins beside."""
    table = tables(network.task)
    h = rows_of(network.children(h))
    margin = grade(network.read(h), table.output[state].ravel())[1]
    return h, table.delta[state].ravel(), margin


def _shortest_wrong(network: Network, tries: list[list[int]]) -> list[int] | None:
    """Of words of one length, all shorter than what is known, the shortest wrong one."""
    if not tries or not tries[0]:
        return None
    first = follow_batch(network, np.array(tries)).first_error
    wrong = np.flatnonzero(first >= 0)
    for n in wrong[np.argsort(first[wrong], kind="stable")][:_DOUBTS]:
        confirmed = confirm(network, tries[n])
        if confirmed is not None:
            return confirmed
    return None


def _report(network: Network, word: list[int], length: int) -> Refutation:
    *_, (_, logits) = network.states(word)
    expected = int(answers(network.task, np.array(word))[-1])
    margin = grade(logits[-1:], np.array([expected]))[1]
    return Refutation(
        word=tuple(word),
        answered=network.transduce(word)[-1],
        expected=expected,
        margin=float(margin[0]),
        shortest=len(word) <= length + 1,
    )


_MOST_WORDS = 4**7  # of one length, tried exhaustively
_MOST_CHAINS = 10_000  # of one length of prefix and of period
_MOST_TRIES = 4_000  # words made by merging neighbours
_CHAIN_LENGTH = 2_000
_BEAM = 512 * 16  # grandchildren of the states kept for a machine state
_BEAM_LENGTH = 40
_DOUBTS = 16  # words of one batch left for confirmation
_NEAR = 1e-4  # a margin below this may be wrong in the network's own arithmetic
_STILL = 1e-6  # a state that moves less in 12 periods has come to rest
