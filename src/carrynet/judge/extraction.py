"""Extraction: the machine that a network has learned, found by asking it.

Nothing here knows what the network should do.  The algorithm is L* (Angluin 1987), for Mealy
machines, with the counterexamples of Rivest and Schapire (1993).  States of the machine
are regions of hidden space by behaviour: two hidden states belong together if the network
answers alike from both, whatever *experiment* follows.

    close     every state, after every symbol, must behave like some state; else a new one
    test      the machine must answer test words as the network does: all short ones, and
              random ones, most of them slow to change
    refine    a word that it answers otherwise holds a suffix that tells two states apart
              which were held to be one; it becomes an experiment

The machine is that of the words tested: no proof, and no claim about other words.

Shapes: N states, S symbols, T time, H hidden.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.words import sticky
from carrynet.nets.arrays import Array, in_one_thread
from carrynet.nets.losses import predict
from carrynet.nets.network import HasNetwork, Network, network_of
from carrynet.spec.machine import Machine, shortest_difference
from carrynet.spec.task import Task, own

Word = tuple[int, ...]
Asked = dict[bytes, list[NDArray[np.int64]]]
"""What is answered to each experiment but single symbols, by the states that were asked at once."""

MOST_STATES = 64
_SHORT_WORDS = 20_000  # all words are tried of the length where there are at most so many
_WORDS, _LENGTH = 256, 128
_MOST_ANSWERS = 2**18  # at once


@dataclass(frozen=True)
class Extraction:
    """A machine, and how well it is known to be the network's."""

    machine: Machine  #: minimal; its states are named A, B, ... in the order they were found
    access: tuple[Word, ...]  #: for each state, a word that leads the network to it
    experiments: tuple[Word, ...]  #: by which states are told apart
    tested: int  #: words
    agreed: int  #: words that machine and network answer alike; all, unless states ran out

    @property
    def complete(self) -> bool:
        """Whether the machine answers every word tested as the network does."""
        return self.agreed == self.tested


@dataclass(frozen=True)
class Comparison:
    """An extracted machine beside that of the network's task."""

    word: Word | None  #: the shortest whose last symbol they answer differently
    confirmed: bool  #: the network answers it as the extracted machine does
    names: tuple[str, ...]  #: what the task calls each extracted state; '' where there is no one


@in_one_thread
@np.errstate(over="ignore", invalid="ignore")
def extract(network: Network | HasNetwork, *, most: int = MOST_STATES, seed: int = 0) -> Extraction:
    """The machine that answers as the network does, with at most `most` states."""
    network = network_of(network)
    S = network.symbols
    tests = _tests(S, seed)
    answers = [_answers(network, network.start[None], words)[0] for words in tests]
    access: list[Word] = [()]
    experiments: list[Word] = [(a,) for a in range(S)]
    asked: Asked = {}
    while True:
        machine = _close(network, access, experiments, most, asked)
        differ = [(_transduced(machine, w) != a) for w, a in zip(tests, answers, strict=True)]
        agreed = sum(int((~d.any(axis=1)).sum()) for d in differ)
        tested = sum(map(len, tests))
        found = next((i for i, d in enumerate(differ) if d.any()), None)
        if found is None or len(access) >= most:
            break
        row, position = np.argwhere(differ[found])[0]
        word = tuple(tests[found][row, : position + 1].tolist())
        suffix = _suffix(network, machine, access, word)
        if suffix is not None and suffix not in experiments:
            experiments.append(suffix)
            continue
        # asked by itself the network answers otherwise: within rounding of zero
        alone = network.transduce(tests[found][row].tolist())
        if alone == answers[found][row].tolist():
            break
        answers[found][row] = alone
    return Extraction(machine, tuple(access), tuple(experiments), tested, agreed)


def compare(network: Network | HasNetwork, machine: Machine) -> Comparison:
    """An extracted machine beside that of the network's task."""
    network = network_of(network)
    specified = network.task.machine
    word = shortest_difference(machine, specified)
    confirmed = word is not None and network.transduce(word) == machine.transduce(word)
    held = _held(machine, specified)
    names = tuple(specified.states[min(qs)] if len(qs) == 1 else "" for qs in held)
    return Comparison(None if word is None else tuple(word), confirmed, names)


def as_task(network: Network | HasNetwork, machine: Machine) -> Task:
    """An extracted machine as a task, to be written and to be trained on.

    What the network is fed, and how problems are written, is as its own task says it, and nothing
    is asked where that one asks nothing, whichever word was read.  It is that task itself where
    the machine is its, state for state.
    """
    task = network_of(network).task
    held = _held(machine, task.machine)
    paired = sorted(tuple(qs) for qs in held) == [(q,) for q in range(len(task.machine.states))]
    if paired and shortest_difference(machine, task.machine) is None:
        return task
    output = [
        [None if all(task.machine.output[q][a] is None for q in qs) else out for a, out in row]
        for qs, row in zip(held, map(enumerate, machine.output), strict=True)
    ]
    asked = replace(machine, output=tuple(map(tuple, output)))
    return own("learned", asked, codec=task.codec, encoding=task.encoding)


def _held(machine: Machine, specified: Machine) -> list[set[int]]:
    """For each state of a machine, those that another of the same symbols can then be in."""
    held: list[set[int]] = [set() for _ in machine.states]
    pairs = {(0, 0): None}
    queue = [(0, 0)]
    for p, q in queue:  # grows while it is read
        held[p].add(q)
        for a in range(len(machine.symbols)):
            pair = machine.delta[p][a], specified.delta[q][a]
            if pair not in pairs:
                pairs[pair] = None
                queue.append(pair)
    return held


def _close(
    network: Network, access: list[Word], experiments: list[Word], most: int, asked: Asked
) -> Machine:
    """A machine whose states behave differently; words for new ones are added to `access`."""
    S = network.symbols
    h = np.concatenate([_after(network, word) for word in access])
    rows = _rows(network, h, experiments, asked)
    number = {row: q for q, row in enumerate(rows)}
    states, delta = list(h), []
    for q, state in enumerate(states):  # grows while it is read
        after = network.children(state[None])[0]
        following = []
        for a, row in enumerate(_rows(network, after, experiments, asked)):
            if row not in number and len(states) < most:
                number[row] = len(states)
                states.append(after[a])
                rows.append(row)
                access.append((*access[q], a))
            following.append(number.get(row, q))  # where states ran out
        delta.append(tuple(following))
    output = [tuple(row[:S]) for row in rows]  # the first experiments are the single symbols
    task = network.task.machine
    names = tuple(_letters(q) for q in range(len(states)))
    return Machine(names, task.symbols, task.outputs, tuple(delta), tuple(output))


def _rows(network: Network, h: Array, experiments: list[Word], asked: Asked) -> list[Word]:
    """What the network answers from each state (N, D) to each experiment, end to end.

    The same states are asked again with each experiment that comes in: only what is new.
    """
    S, most = network.symbols, max(1, _MOST_ANSWERS // network.symbols)
    singles = np.arange(S)[:, None]
    rows: list[Word] = []
    for part in (h[i : i + most] for i in range(0, len(h), most)):
        told = asked.setdefault(part.tobytes(), [])
        for word in experiments[S + len(told) :]:
            told.append(_answers(network, part, np.array([word]))[:, 0])
        answers = [_answers(network, part, singles)[:, :, 0], *told]
        rows += map(tuple, np.concatenate(answers, axis=1).tolist())
    return rows


def _suffix(network: Network, machine: Machine, access: list[Word], word: Word) -> Word | None:
    """The part of a counterexample that tells apart two states held to be one.

    From the word to its last symbol read in the machine's state, by way of prefixes replaced
    by the access words of the states that the machine is in after them: somewhere on this way
    the network's last answer changes, and what follows there makes the difference.  None where
    it does not: the counterexample was one of rounding.
    """
    visited = machine.visit(word)
    last = [network.transduce([*access[q], *word[i:]])[-1] for i, q in enumerate(visited[:-1])]
    return next((word[i:] for i in range(1, len(last)) if last[i] != last[0]), None)


def _tests(symbols: int, seed: int) -> list[NDArray[np.int64]]:
    """Test words (N, T): all of some length, and long random ones, most slow to change."""
    length = 1
    while symbols ** (length + 1) <= _SHORT_WORDS:
        length += 1
    short = np.unravel_index(np.arange(symbols**length), (symbols,) * length)
    draws = rng.raw(seed, rng.EXTRACTION, 0, 2 * _WORDS * _LENGTH).reshape(2, _WORDS, _LENGTH)
    chance = np.resize([0.0, 0.5, 0.9, 0.99], _WORDS)
    return [np.stack(short, axis=1), sticky(symbols, draws.swapaxes(1, 2), chance).T]


def _answers(network: Network, h: Array, words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Outputs from each state (N, D) along each word (M, T): shape (N, M, T)."""
    N, (M, T) = len(h), words.shape
    answers = np.empty((N, M, T), np.int64)
    now = np.repeat(h.astype(network.dtype), M, axis=0)
    for t in range(T):
        now = network.step(now, np.tile(words[:, t], N))
        answers[:, :, t] = predict(network.read(now)).reshape(N, M)
    return answers


def _after(network: Network, word: Word) -> Array:
    """The state (1, D) after a word."""
    h = network.start[None]
    for a in word:
        h = network.step(h, np.array([a]))
    return h


def _transduced(machine: Machine, words: NDArray[np.int64]) -> NDArray[np.int64]:
    """A machine's outputs along words (N, T)."""
    delta, output = np.array(machine.delta), np.array(machine.output, dtype=np.int64)
    state, outputs = np.zeros(len(words), np.int64), np.empty_like(words)
    for t in range(words.shape[1]):
        outputs[:, t] = output[state, words[:, t]]
        state = delta[state, words[:, t]]
    return outputs


def _letters(number: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    name, number = "", number + 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(ord("A") + rest) + name
    return name
