"""Refutation: a search for a word that a network answers wrongly, as short as can be.

Searches, one after another, until one finds something:

    all words up to some length            the first error found here is a shortest one
    a beam of the states nearest to error  errors that need a certain approach
    prefix, then a period for ever         errors of states that fade or drift slowly
    long random words that tend to repeat  errors of states that drift now here, now there
    walkers, where they are asked for      errors to which states have to be driven for long

What is found is shortened, and counts only when the network itself, one symbol after
another in its own arithmetic, confirms it.

Shapes: N words or states, S symbols, Q machine states, T time, H hidden, Y output.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.words import Words, answers, sticky, tables
from carrynet.engines.reference import follow_batch, grade
from carrynet.judge import walkers
from carrynet.nets.arrays import Array, in_one_thread, rows_of
from carrynet.nets.network import Network
from carrynet.nets.readings import Forward
from carrynet.nets.readings.numbers import ALONE, FLAT
from carrynet.watch import Tell, within


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
    found = _first_wrong(network, _all_words)
    return None if found is None else _shortened(network, found)


def by_long_words(network: Network, tell: Tell = lambda step: None) -> Refutation | None:
    """A wrong word among those of a beam, prefixes with periods, and random words, shortened.

    `tell` is told which prefixes and periods it is at, and of random words.
    """
    found = _first_wrong(network, _beam) or _first_wrong(network, partial(_chains, tell=tell))
    if found is None or len(found) > _LONG:
        # of a long word there may be a shorter one among these, which takes less time to shorten
        others = _first_wrong(network, partial(_random, tell=tell))
        found = min(filter(None, (found, others)), key=len, default=None)
    return None if found is None else _shortened(network, found)


def by_walkers(
    network: Network, budget: float | None = None, tell: Tell = lambda step: None
) -> Refutation | None:
    """A wrong word that `walkers` come by, shortened.

    In so many seconds, and what it takes to make it shorter; without a budget in few rounds, as
    many as take about a second.
    """
    deadline, few = None if budget is None else monotonic() + budget, walkers.few(network)
    tell = tell if budget is None else within(tell, budget)

    def enough(rounds: int) -> bool:
        if rounds % few == 0:
            tell(f"long words, walkers from the states nearest to an error, {rounds} rounds")
        return rounds >= few if deadline is None else monotonic() > deadline

    found = _first_wrong(network, partial(walkers.words, enough=enough))
    return None if found is None else _shortened(network, found)


def by_words(network: Network, words: list[list[int]]) -> Refutation | None:
    """A wrong word among some, shortened."""
    found = _first_wrong(network, lambda network: iter(words))
    return None if found is None else _shortened(network, found)


@in_one_thread
@np.errstate(over="ignore", invalid="ignore")
def _first_wrong(
    network: Network, search: Callable[[Network], Iterator[list[int]]]
) -> list[int] | None:
    """The first word that a search yields and that the network itself confirms."""
    confirmed = (confirm(network, word) for word in search(network))
    return next((word for word in confirmed if word is not None), None)


@in_one_thread
@np.errstate(over="ignore", invalid="ignore")
def _shortened(network: Network, word: list[int]) -> Refutation:
    length = exhaustive_length(network)
    return _report(network, shorten(network, word) if len(word) > length + 1 else word, length)


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
    become any one symbol; and again, from four times the longest stretch that was left out, until
    nothing gets shorter, or after `_MOST_OPERATIONS`, since some words get shorter by little each
    time.  Stretches that can each be left out are left out together, where the word is wrong
    without them all.
    """
    symbols = len(network.task.machine.symbols)
    weights = sum(array.size for array in network.weights.values())
    each = len(network.cell.of_state) * max(1, weights // _NARROW)
    done, longest = 0, len(word)
    while done < _MOST_OPERATIONS:
        before = len(word)
        stretch, longest = min(len(word) // 2, 4 * longest), 1
        while stretch and done < _MOST_OPERATIONS:
            done += len(word) * each
            every = max(1, len(word) // _LONG)  # of a long word, not at every place
            places = range(0, len(word) - stretch + 1, every)
            tries = [word[:i] + word[i + stretch :] for i in places]
            found = _wrong(network, tries)
            alone = next(_confirmed(network, tries, found), None)
            if alone is None:
                stretch //= 2
                continue
            apart = sorted(places[n] for n in found)
            word = _without(network, word, apart, stretch, len(alone)) or alone
            longest = max(longest, stretch)
            stretch = min(stretch, len(word) // 2)
        if len(word) * symbols <= _MOST_TRIES:
            tries = [
                [*word[:i], a, *word[i + 2 :]] for i in range(len(word) - 1) for a in range(symbols)
            ]
            word = next(_confirmed(network, tries, _wrong(network, tries)), word)
        if len(word) == before:
            break
    return word


# The four searches, each an iterator over words that may be wrong ---------------------


def _all_words(network: Network) -> Iterator[list[int]]:
    """Every wrong word up to `exhaustive_length`, shorter ones first, of one length the worst.

    That all others are right is claimed, too, of what the network computes of each by itself: an
    error of rounding in batches could grow without bound from step to step.
    """
    symbols = len(network.task.machine.symbols)
    h, state = _start(network)
    for length in range(1, exhaustive_length(network) + 1):
        h, state, right, margin = _expand(network, h, state, ALONE)
        wrong = np.flatnonzero(~right)
        for n in wrong[np.argsort(margin[wrong], kind="stable")]:
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
        h, state, _, margin = _expand(network, h, state)
        links.append(np.arange(len(h)))
        for n in np.flatnonzero(margin < _NEAR)[:_DOUBTS]:
            yield _read_back(links, int(n), symbols)
        ahead = _expand(network, h, state)[-1].reshape(len(h), symbols).min(axis=1)
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


def _random(network: Network, tell: Tell = lambda step: None) -> Iterator[list[int]]:
    """Random words whose symbols tend to repeat: of each batch those that are wrong soonest."""
    weights = sum(array.size for array in network.weights.values())
    count = min(max(_PRODUCTS // (_RANDOM_LENGTH * weights), 64), 1024)
    tell(f"long words, {count:,} random ones of {_RANDOM_LENGTH} symbols")
    bits = rng.raw(0, rng.REFUTATION, 0, 2 * _RANDOM_LENGTH * count)
    chance = np.resize(_REPEATED, count)
    words = sticky(network.symbols, bits.reshape(2, _RANDOM_LENGTH, count), chance).T
    first = follow_batch(network, words).first_error
    for n in _soonest(first)[:_DOUBTS]:
        yield words[n, : first[n] + 1].tolist()


def _start(network: Network) -> tuple[Array, NDArray[np.int32]]:
    return network.start[None], np.zeros(1, np.int32)


def _expand(
    network: Network, h: Array, state: NDArray[np.int32], reading: Forward = FLAT
) -> tuple[Array, NDArray[np.int32], NDArray[np.bool_], Array]:
    """Every state (N, D) after every symbol: row n * S + a.

    Beside them machine states, whether the answers are right, and their margins.
    """
    table = tables(network.task)
    h = rows_of(network.children(h, reading))
    right, margin = grade(network.read(h, reading), table.output[state].ravel())
    return h, table.delta[state].ravel(), right, margin


def _wrong(network: Network, tries: list[list[int]]) -> NDArray[np.intp]:
    """Which of words of one length seem to be wrong, those that are so soonest first."""
    if not tries or not tries[0]:
        return np.empty(0, np.intp)
    return _soonest(follow_batch(network, np.array(tries)).first_error)


def _soonest(first_error: NDArray[np.int32]) -> NDArray[np.intp]:
    """Which words go wrong, those that do so soonest first."""
    wrong = np.flatnonzero(first_error >= 0)
    return wrong[np.argsort(first_error[wrong], kind="stable")]


def _confirmed(
    network: Network, tries: list[list[int]], wrong: NDArray[np.intp]
) -> Iterator[list[int]]:
    """Those of the first words that seem wrong which are, up to their first wrong output."""
    for n in wrong[:_DOUBTS]:
        confirmed = confirm(network, tries[n])
        if confirmed is not None:
            yield confirmed


def _without(
    network: Network, word: list[int], places: list[int], stretch: int, known: int
) -> list[int] | None:
    """The word without several stretches that begin at `places`, each of which can be left out.

    None where it is not wrong without two of them, or no shorter than is `known`.
    """
    apart = [places[0]]
    for place in places[1:]:
        if place >= apart[-1] + stretch:
            apart.append(place)
    while len(apart) > 1:
        left, end = [], 0
        for place in apart:
            left += word[end:place]
            end = place + stretch
        confirmed = confirm(network, left + word[end:])
        if confirmed is not None:
            return confirmed if len(confirmed) < known else None
        apart = apart[: len(apart) // 2]
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
_MOST_OPERATIONS = 400_000  # of the cell, on batches of words, while one is made shorter: seconds
_NARROW = 2**13  # weights, up to which an operation takes as long as another
_LONG = 100  # symbols of a wrong word from which on a shorter one is looked for elsewhere
_CHAIN_LENGTH = 2_000
_BEAM = 512 * 16  # grandchildren of the states kept for a machine state
_BEAM_LENGTH = 40
_DOUBTS = 16  # words of one batch left for confirmation
_NEAR = 1e-4  # a margin below this may be wrong in the network's own arithmetic
_RANDOM_LENGTH = 400
_PRODUCTS = 2**31  # with weights, of all random words together: a second or two
_REPEATED = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)  # the chance that a symbol is that before it
_STILL = 1e-6  # a state that moves less in 12 periods has come to rest
