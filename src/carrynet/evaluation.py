"""Evaluation: every problem of some length, or samples of very long ones.

An `Exhaustive` result speaks for all problems with operands of n digits, a
`Sampled` one for the problems drawn and no others; neither is a proof for all
lengths.  A problem is right when every digit of its answer is, the digits that
the answer has beyond its operands included.

Shapes: N words (or prefixes of words), S symbols, T time, H hidden, Y output.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet import problems, rng
from carrynet.cells import Array, sigmoid
from carrynet.errors import InputError
from carrynet.network import Network, margins, predict, read_out
from carrynet.problems import tables
from carrynet.tasks import Task, from_digits

LENGTHS = (16, 64, 256, 1024, 4096)
KINDS = ("uniform", "chains")
MOST_PROBLEMS = 2**32
"""An exhaustive evaluation of more problems than this is refused."""

Watch = Callable[[int, int], None]
"""Told how much is done, out of how much."""


@dataclass(frozen=True)
class Exhaustive:
    """The outcome for every problem whose operands have up to `digits` digits."""

    digits: int
    pairs: int  # problems: pairs of numbers where the task has two operands
    right: int
    margin: float  # the smallest of any digit, in units of the logit; negative if one is wrong
    wrong: tuple[int, ...] | None = None  # operands of a problem that is answered wrongly
    answered: int | None = None  # the network's answer to it, read as numbers of `digits` digits


@dataclass(frozen=True)
class Sampled:
    """The outcome for random problems with operands of up to `digits` digits."""

    kind: str  # 'uniform' digits, or 'chains': long carries, constant words
    digits: int
    pairs: int
    right: int
    margin: float
    first_error: int | None = None  # the lowest position with a wrong digit in any of them


@dataclass(frozen=True)
class Evaluation:
    """What was tested of a network."""

    exhaustive: Exhaustive
    sampled: tuple[Sampled, ...]

    @property
    def right(self) -> bool:
        """Whether every problem that was tested was right."""
        parts: tuple[Exhaustive | Sampled, ...] = (self.exhaustive, *self.sampled)
        return all(part.right == part.pairs for part in parts)

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Evaluation":
        """The inverse of `to_json`."""
        whole, wrong = document["exhaustive"], document["exhaustive"]["wrong"]
        return cls(
            Exhaustive(**{**whole, "wrong": None if wrong is None else tuple(wrong)}),
            tuple(Sampled(**part) for part in document["sampled"]),
        )


def examine(network: Network, digits: int = 8, *, watch: Watch | None = None) -> Evaluation:
    """Both: exhaustive up to `digits` (fewer where that is too many), sampled by length."""
    return Evaluation(
        evaluate(network, affordable_digits(network.task, digits), watch=watch),
        by_length(network),
    )


def affordable_digits(task: Task, digits: int, most: int = 2**20) -> int:
    """The largest number of digits, up to `digits`, with at most `most` problems."""
    while digits > 1 and len(task.machine.symbols) ** digits > most:
        digits -= 1
    return digits


@np.errstate(over="ignore", invalid="ignore")
def evaluate(network: Network, digits: int = 8, *, watch: Watch | None = None) -> Exhaustive:
    """Every problem with operands of up to `digits` digits.

    Walks the tree of prefixes: problems that share their low digits share hidden
    states, so S + S^2 + ... + S^n states stand for n S^n, and the S children of a
    state share its product h Whh.  Depth first, in blocks that fit in the cache.

    Raises `InputError` when there are more than `MOST_PROBLEMS` problems.
    """
    task, table = network.task, tables(network.task)
    symbols = len(task.machine.symbols)
    if digits < 1:
        raise InputError(f"digits must be at least 1, not {digits}")
    # more than 32 digits are too many for any task, and the power would itself be long
    if digits > 32 or symbols**digits > MOST_PROBLEMS:
        raise InputError(
            f"{symbols}^{digits} problems of {digits} digits are too many to try them all: "
            f"at most {affordable_digits(task, 32, MOST_PROBLEMS)} digits are accepted"
        )
    pairs, right, smallest, wrong = symbols**digits, 0, np.inf, None
    done = 0
    block = max(1, _CHILD_FLOATS // (network.hidden * symbols))  # parents expanded at once
    cell, Whh, drives = network.cell, network.weights.Whh, network.drives

    stack = [_Prefixes.root(network)]
    while stack:
        prefixes = stack.pop()
        if len(prefixes.state) > block:
            stack += prefixes.split(block)
            continue
        # Children of prefix p under symbol a stand in row p * S + a.
        h = cell.f(drives + (prefixes.h @ Whh)[:, None]).reshape(-1, network.hidden)
        expected = table.output[prefixes.state].ravel()
        margin, hit = _judge(network, h, expected)
        smallest = min(smallest, margin)
        children = _Prefixes(
            h=h,
            state=table.delta[prefixes.state].ravel(),
            right=np.repeat(prefixes.right, symbols) & hit,
            word=(prefixes.word[:, None] * symbols + np.arange(symbols)).ravel(),
            length=prefixes.length + 1,
        )
        if children.length < digits:
            stack.append(children)
            continue
        h, state, good = children.h, children.state, children.right
        for _ in range(task.headroom):  # symbol 0 holds only zeros: it brings out what is carried
            h = cell.step(drives[0], h, Whh)
            margin, hit = _judge(network, h, table.output[state, 0])
            smallest = min(smallest, margin)
            state = table.delta[state, 0]
            good = good & hit
        right += int(good.sum())
        if wrong is None and not good.all():
            wrong = _operands(task, int(children.word[good.argmin()]), digits)
        done += len(good)
        if watch:
            watch(done, pairs)
    answered = None if wrong is None else work(network, wrong, digits).answer
    return Exhaustive(digits, pairs, right, float(smallest), wrong, answered)


@dataclass(frozen=True, eq=False)
class _Prefixes:
    """Prefixes of one length: where the network and the machine are after each."""

    h: Array  # (N, H)
    state: NDArray[np.integer]  # (N,)
    right: NDArray[np.bool_]  # (N,) whether every output so far was right
    word: NDArray[np.int64]  # (N,) the prefix as a number in base S, first symbol most significant
    length: int

    @classmethod
    def root(cls, network: Network) -> "_Prefixes":
        zero = np.zeros(1, dtype=np.int64)
        h = np.zeros((1, network.hidden), network.dtype)
        return cls(h, zero, np.ones(1, dtype=bool), zero, 0)

    def split(self, size: int) -> Iterator["_Prefixes"]:
        # the last piece is popped first; reversed, prefixes are visited in order
        for start in reversed(range(0, len(self.state), size)):
            s = np.s_[start : start + size]
            yield _Prefixes(self.h[s], self.state[s], self.right[s], self.word[s], self.length)


def _judge(
    network: Network, h: Array, expected: NDArray[np.integer]
) -> tuple[float, NDArray[np.bool_]]:
    """The smallest margin of hidden states against expected outputs, and which are right.

    Only ReLU states can overflow; logits that are not numbers are wrong by the most there is.
    """
    logits = read_out(network.weights, h)
    margin = margins(logits, expected)
    hit = (predict(logits) == expected) & ~np.isnan(margin)
    worst = -float(np.finfo(margin.dtype).max)
    return float(np.nan_to_num(margin, nan=worst).min()), hit


@dataclass(frozen=True, eq=False)
class Worked:
    """One problem, worked by the network and, beside it, by the machine."""

    task: Task
    operands: tuple[int, ...]
    word: list[int]  # T symbols
    memory: list[int]  # T+1 states of the machine
    expected: list[int]  # T outputs of the machine
    predicted: list[int]  # T outputs of the network
    margins: Array  # (T,)
    error: float  # sum_t |target - sigmoid(logit)|, the tutorial's error
    hidden: Array | None  # (T, H), where asked for

    @property
    def answer(self) -> int:
        """The network's answer."""
        return self.task.decode(self.predicted)

    @property
    def right_answer(self) -> int:
        """The machine's answer."""
        return self.task.decode(self.expected)

    @property
    def right(self) -> bool:
        """Whether every digit is right."""
        return self.predicted == self.expected

    def to_json(self) -> dict[str, Any]:
        """The problem, both answers and the verdict as plain values for JSON."""
        return {
            "operands": list(self.operands),
            "predicted": self.answer,
            "expected": self.right_answer,
            "right": self.right,
        }


@np.errstate(over="ignore", invalid="ignore")
def work(
    network: Network, operands: Sequence[int], digits: int | None = None, *, hidden: bool = False
) -> Worked:
    """Let the network work one problem; integers of any size.

    The operands are read as numbers of `digits` digits, or of as many as the longest
    has: leading zeros are digits that a network can get wrong.

    Raises `InputError` for operands that the task does not take.
    """
    task, machine = network.task, network.task.machine
    word = task.encode(operands, digits)
    expected = machine.run(word)
    blocks, margin, predicted, error, start = [], [], [], 0.0, 0
    for h, logits in network.states(word):
        wanted = np.array(expected[start : start + len(h)])
        predicted += predict(logits).tolist()
        margin.append(margins(logits, wanted))
        error += float(np.abs(tables(task).targets[wanted] - sigmoid(logits)).sum())
        start += len(h)
        if hidden:
            blocks.append(h)
    return Worked(
        task=task,
        operands=tuple(operands),
        word=word,
        memory=machine.visit(word),
        expected=expected,
        predicted=predicted,
        margins=np.concatenate(margin),
        error=error,
        hidden=np.concatenate(blocks) if hidden else None,
    )


def _operands(task: Task, word: int, digits: int) -> tuple[int, ...]:
    symbols = len(task.machine.symbols)
    columns = [task.digits_of(word // symbols ** (digits - 1 - t) % symbols) for t in range(digits)]
    return tuple(from_digits(column, task.base) for column in zip(*columns, strict=True))


def by_length(
    network: Network,
    lengths: Sequence[int] = LENGTHS,
    *,
    pairs: int = 256,
    seed: int = 0,
    watch: Watch | None = None,
) -> tuple[Sampled, ...]:
    """`sample` of both kinds at each length."""
    results = []
    for digits in lengths:
        results += [sample(network, digits, kind, pairs=pairs, seed=seed) for kind in KINDS]
        if watch:
            watch(sum(r.digits for r in results[::2]), sum(lengths))
    return tuple(results)


@np.errstate(over="ignore", invalid="ignore")
def sample(
    network: Network, digits: int, kind: str = "uniform", *, pairs: int = 256, seed: int = 0
) -> Sampled:
    """Random problems with operands of up to `digits` digits; see `problems` for the kinds."""
    task, length = network.task, digits + network.task.headroom
    stream = rng.EVALUATION + KINDS.index(kind)
    if kind == "uniform":
        draws = problems.draws_per_word(task, length)
        words = problems.uniform(
            task, length, rng.raw(seed, stream, 0, pairs * draws).reshape(pairs, draws)
        )
    else:
        bits = rng.raw(seed, stream, 0, pairs * length * 2)
        words = problems.chains(task, length, bits.reshape(pairs, length, 2))
    expected = problems.answers(task, words)

    step, Whh, drives = network.cell.step, network.weights.Whh, network.drives
    h = np.zeros((pairs, network.hidden), network.dtype)
    hits = np.empty(words.shape, dtype=bool)
    smallest = np.inf
    for start in range(0, length, _BLOCK):
        block = np.empty((min(_BLOCK, length - start), *h.shape), h.dtype)
        for t in range(len(block)):
            block[t] = h = step(drives[words[:, start + t]], h, Whh)
        here = np.s_[:, start : start + len(block)]
        margin, hit = _judge(network, block, expected[here].T)
        hits[here] = hit.T
        smallest = min(smallest, margin)
    errors = np.flatnonzero(~hits.all(axis=0))
    return Sampled(
        kind=kind,
        digits=digits,
        pairs=pairs,
        right=int(hits.all(axis=1).sum()),
        margin=float(smallest),
        first_error=int(errors[0]) if len(errors) else None,
    )


_BLOCK = 64  # positions of sampled words followed before they are judged
_CHILD_FLOATS = 2**20  # numbers in the hidden states of the children made at once
