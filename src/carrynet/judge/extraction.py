"""Extraction: the machine that a network has learned, found by asking it.

No answer here comes from the task, which has a say in one question only.  The algorithm is L*
(Angluin 1987), for Mealy machines, with the counterexamples of Rivest and Schapire (1993).  States
of the machine are regions of hidden space by behaviour: two hidden states belong together if the
network answers alike from both, whatever *experiment* follows.

    close     every state, after every symbol, must behave like some state; else a new one
    test      the machine must answer test words as the network does: all short ones, and
              random ones, most of them slow to change; then the shortest word, if any, that
              the task's own machine answers otherwise
    refine    a word that it answers otherwise holds a suffix that tells two states apart
              which were held to be one; it becomes an experiment

The machine is that of the words tested: no proof, and no claim about other words.  So can
anything be asked that answers words (`black_box`), of which no more is known than that.

Shapes: N states, S symbols, T time, H hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.words import sticky
from carrynet.errors import InputError
from carrynet.judge.black_box import Answers, BlackBox
from carrynet.nets.arrays import in_one_thread
from carrynet.nets.losses import predict
from carrynet.nets.network import HasNetwork, Network, network_of
from carrynet.spec.machine import Machine, shortest_difference
from carrynet.spec.task import Task, own

Word = tuple[int, ...]
Asked = dict[bytes, list[NDArray[np.int64]]]
"""What is answered to each experiment but single symbols, by the states that were asked at once."""

MOST_STATES = 64
# all words are tried of the length where there are at most so many; random ones, and their length
_OF_NETWORKS = 20_000, 256, 128
_OF_BOXES = 2_000, 128, 64  # which may answer slowly, and a function one prefix after another
_MOST_ANSWERS = 2**18  # at once


@dataclass(frozen=True)
class Extraction:
    """A machine, and how well it is known to be the network's."""

    machine: Machine  #: minimal; its states are named A, B, ... in the order they were found
    access: tuple[Word, ...]  #: for each state, a word that leads the network to it
    experiments: tuple[Word, ...]  #: by which states are told apart
    tested: int  #: words
    agreed: int  #: words that machine and network answer alike; all, unless states ran out

    kind: ClassVar[str] = "sampled"  #: as evaluations are called that tried some words: no proof

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


class Teacher(Protocol):
    """What is asked: states are rows of arrays (N, D), whatever they hold."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names of the symbols."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""

    @property
    def start(self) -> NDArray[Any]:
        """The state before the first symbol: shape (1, D)."""

    def children(self, states: NDArray[Any]) -> NDArray[Any]:
        """The states after every symbol: (N, D) to (N, S, D)."""

    def after(self, word: Sequence[int]) -> NDArray[Any]:
        """The state (1, D) after a word."""

    def answers(self, states: NDArray[Any], words: NDArray[np.int64]) -> NDArray[np.int64]:
        """Outputs from each state (N, D) along each word (M, T): shape (N, M, T)."""

    def transduce(self, word: Sequence[int]) -> list[int]:
        """The outputs along a word, asked by itself."""

    def doubtful(self, machine: Machine) -> Word | None:
        """A word that is worth a question when a machine has passed all tests, if there is one."""


@in_one_thread
@np.errstate(over="ignore", invalid="ignore")
def extract(
    subject: Network | HasNetwork | Answers,
    *,
    symbols: Sequence[Any] | None = None,
    outputs: Sequence[Any] | None = None,
    most: int = MOST_STATES,
    seed: int = 0,
    words: int | None = None,
    length: int | None = None,
) -> Extraction:
    """The machine that answers as a network does, or a black box, with at most `most` states.

    A black box is whatever `black_box` describes, with its `symbols`; its `outputs` are found
    where they are not said.  `words` and `length` say how many random words are tried, and how
    long; by default 256 of 128 symbols, of a black box 128 of 64.

    >>> even = extract(lambda word: sum(word) % 2 == 0, symbols=(0, 1))
    >>> print(even.machine)
       0          1
    A  A / True   B / False
    B  B / False  A / True
    >>> even.kind, even.tested
    ('sampled', 1152)
    """
    teacher: Teacher
    if symbols is None:
        teacher, tried = _OfNetwork(network_of(subject)), _OF_NETWORKS  # type: ignore[arg-type]
    elif isinstance(getattr(subject, "network", subject), Network):
        raise InputError("the symbols of a network are those of its task: leave them out")
    else:
        box: Any = subject
        teacher, tried = BlackBox(box, symbols, outputs), _OF_BOXES
    S = len(teacher.symbols)
    short, *usual = tried
    count, long = (usual[0] if words is None else words), (usual[1] if length is None else length)
    if count < 1 or long < 1:
        raise InputError(f"words and length are at least 1, not {count} and {long}")
    tests = _tests(S, seed, short, count, long)
    answers = [teacher.answers(teacher.start, words)[0] for words in tests]
    access: list[Word] = [()]
    experiments: list[Word] = [(a,) for a in range(S)]
    asked: Asked = {}
    while True:
        machine = _close(teacher, access, experiments, most, asked)
        differ = [(_transduced(machine, w) != a) for w, a in zip(tests, answers, strict=True)]
        agreed = sum(int((~d.any(axis=1)).sum()) for d in differ)
        tested = sum(map(len, tests))
        found = next((i for i, d in enumerate(differ) if d.any()), None)
        if len(access) >= most:
            break
        if found is None:
            doubt = teacher.doubtful(machine)
            if doubt is None or (told := teacher.transduce(doubt)) == machine.transduce(doubt):
                break
            tests.append(np.array([doubt]))
            answers.append(np.array([told]))
            continue
        row, position = np.argwhere(differ[found])[0]
        word = tuple(tests[found][row, : position + 1].tolist())
        suffix = _suffix(teacher, machine, access, word)
        if suffix is not None and suffix not in experiments:
            experiments.append(suffix)
            continue
        # asked by itself the network answers otherwise: within rounding of zero
        alone = teacher.transduce(tests[found][row].tolist())
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


class _OfNetwork:
    """A network as a teacher: a state is one of hidden space, and many are asked at once."""

    def __init__(self, network: Network) -> None:
        self._network = network
        machine = network.task.machine
        self.symbols, self.outputs = machine.symbols, machine.outputs
        self.start, self.children = network.start[None], network.children

    def after(self, word: Sequence[int]) -> NDArray[Any]:
        h = self.start
        for a in word:
            h = self._network.step(h, np.array([a]))
        return h

    def answers(self, states: NDArray[Any], words: NDArray[np.int64]) -> NDArray[np.int64]:
        network, N, (M, T) = self._network, len(states), words.shape
        answers = np.empty((N, M, T), np.int64)
        now = np.repeat(states.astype(network.dtype), M, axis=0)
        for t in range(T):
            now = network.step(now, np.tile(words[:, t], N))
            answers[:, :, t] = predict(network.read(now)).reshape(N, M)
        return answers

    def transduce(self, word: Sequence[int]) -> list[int]:
        return self._network.transduce(list(word))

    def doubtful(self, machine: Machine) -> Word | None:
        word = shortest_difference(machine, self._network.task.machine)
        return None if word is None else tuple(word)


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
    teacher: Teacher, access: list[Word], experiments: list[Word], most: int, asked: Asked
) -> Machine:
    """A machine whose states behave differently; words for new ones are added to `access`."""
    S = len(teacher.symbols)
    h = np.concatenate([teacher.after(word) for word in access])
    rows = _rows(teacher, h, experiments, asked)
    number = {row: q for q, row in enumerate(rows)}
    states, delta = list(h), []
    for q, state in enumerate(states):  # grows while it is read
        after = teacher.children(state[None])[0]
        following = []
        for a, row in enumerate(_rows(teacher, after, experiments, asked)):
            if row not in number and len(states) < most:
                number[row] = len(states)
                states.append(after[a])
                rows.append(row)
                access.append((*access[q], a))
            following.append(number.get(row, q))  # where states ran out
        delta.append(tuple(following))
    output = [tuple(row[:S]) for row in rows]  # the first experiments are the single symbols
    names = tuple(_letters(q) for q in range(len(states)))
    return Machine(names, teacher.symbols, teacher.outputs, tuple(delta), tuple(output))


def _rows(teacher: Teacher, h: NDArray[Any], experiments: list[Word], asked: Asked) -> list[Word]:
    """What is answered from each state (N, D) to each experiment, end to end.

    The same states are asked again with each experiment that comes in: only what is new.
    """
    S = len(teacher.symbols)
    most = max(1, _MOST_ANSWERS // S)
    singles = np.arange(S)[:, None]
    rows: list[Word] = []
    for part in (h[i : i + most] for i in range(0, len(h), most)):
        told = asked.setdefault(part.tobytes(), [])
        for word in experiments[S + len(told) :]:
            told.append(teacher.answers(part, np.array([word]))[:, 0])
        answers = [teacher.answers(part, singles)[:, :, 0], *told]
        rows += map(tuple, np.concatenate(answers, axis=1).tolist())
    return rows


def _suffix(teacher: Teacher, machine: Machine, access: list[Word], word: Word) -> Word | None:
    """The part of a counterexample that tells apart two states held to be one.

    From the word to its last symbol read in the machine's state, by way of prefixes replaced
    by the access words of the states that the machine is in after them: somewhere on this way
    the teacher's last answer changes, and what follows there makes the difference.  None where
    it does not: the counterexample was one of rounding.
    """
    visited = machine.visit(word)
    last = [teacher.transduce([*access[q], *word[i:]])[-1] for i, q in enumerate(visited[:-1])]
    return next((word[i:] for i in range(1, len(last)) if last[i] != last[0]), None)


def _tests(
    symbols: int, seed: int, most_short: int, count: int, length: int
) -> list[NDArray[np.int64]]:
    """Test words (N, T): all of some length, and long random ones, most slow to change."""
    long = 1
    while long < length and symbols ** (long + 1) <= most_short:
        long += 1
    short = np.arange(symbols**long)[:, None] // symbols ** np.arange(long)[::-1] % symbols
    draws = rng.raw(seed, rng.EXTRACTION, 0, 2 * count * length).reshape(2, count, length)
    chance = np.resize([0.0, 0.5, 0.9, 0.99], count)
    return [short, sticky(symbols, draws.swapaxes(1, 2), chance).T]


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
