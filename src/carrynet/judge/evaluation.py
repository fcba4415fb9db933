"""Evaluation: every problem of some length, or samples of very long ones.

An `Exhaustive` result speaks for all problems with operands of n digits, a
`Sampled` one for the problems drawn and no others; neither is a proof for all
lengths.  A problem is right when every digit of its answer is, the digits that
the answer has beyond its operands included.

What a network answers is what it computes for one word by itself, one symbol after another.
Engines, which do thousands at once, round otherwise: they leave to the network itself what is
within rounding of zero.  So counts and examples agree, whatever the engine.

How words are followed is in `engines`.  Shapes: T time, H hidden.
"""

import operator
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np

from carrynet import engines
from carrynet.data import rng, words as problems
from carrynet.engines import Engine
from carrynet.engines.reference import (
    Followed,
    Prefixes,
    Tally,
    expand,
    follow,
    walk,
)
from carrynet.errors import InputError
from carrynet.judge.work import work
from carrynet.nets.network import HasNetwork, Network, network_of
from carrynet.spec.codec import Answer, Operand
from carrynet.spec.task import Task
from carrynet.watch import Watch

LENGTHS = (16, 64, 256, 1024, 4096)
KINDS = ("uniform", "chains")
MOST_PROBLEMS = 2**32
"""An exhaustive evaluation of more problems than this is refused."""

Piece = TypeVar("Piece")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Exhaustive:
    """The outcome for every problem whose operands have up to `digits` digits."""

    digits: int
    pairs: int  #: problems: pairs of numbers where the task has two operands
    right: int
    margin: float  #: the smallest of any digit, in units of the logit; where one is wrong, <= 0
    wrong: tuple[Operand, ...] | None = None  #: operands of a problem that is answered wrongly
    answered: Answer | None = None  #: the network's answer to it, read with `digits` digits
    #: problems with a digit within rounding of zero, which were judged one by one; all of them
    #: where errors of rounding grow from symbol to symbol
    doubtful: int = field(default=0, repr=False)
    #: of which the engine, in its batches, says otherwise; there may be more
    differ: int = field(default=0, repr=False)

    @property
    def all_right(self) -> bool:
        """Whether no problem is answered wrongly."""
        return self.right == self.pairs


@dataclass(frozen=True)
class Sampled:
    """The outcome for random problems with operands of up to `digits` digits."""

    kind: str  #: 'uniform' digits, or 'chains': long carries, constant words
    digits: int
    pairs: int
    right: int
    margin: float
    first_error: int | None = None  #: the lowest position with a wrong digit in any of them
    doubtful: int = field(default=0, repr=False)  #: as in `Exhaustive`
    differ: int = field(default=0, repr=False)

    @property
    def all_right(self) -> bool:
        """Whether no problem drawn is answered wrongly."""
        return self.right == self.pairs


@dataclass(frozen=True)
class Evaluation:
    """What was tested of a network."""

    exhaustive: Exhaustive
    sampled: tuple[Sampled, ...]

    @property
    def right(self) -> bool:
        """Whether every problem that was tested was right."""
        parts: tuple[Exhaustive | Sampled, ...] = (self.exhaustive, *self.sampled)
        return all(part.all_right for part in parts)

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any], task: Task) -> "Evaluation":
        """The inverse of `to_json`.

        Raises `ValueError`, `KeyError` or `TypeError` for what no evaluation of a network for
        the task can be: other types, counts that contradict each other.
        """
        whole, parts = document["exhaustive"], document["sampled"]
        wrong = whole["wrong"]
        if wrong is not None and type(wrong) is not list:
            raise TypeError("wrong must be a list")
        exhaustive = Exhaustive(**{**whole, "wrong": None if wrong is None else tuple(wrong)})
        sampled = tuple(Sampled(**part) for part in parts)
        _check_counts(exhaustive)
        for part in sampled:
            _check_counts(part)
        if exhaustive.pairs != count_problems(task, exhaustive.digits):
            raise ValueError(f"there are not {exhaustive.pairs} problems of that length")
        if any(each is None for each in (wrong, exhaustive.answered)) != exhaustive.all_right:
            raise ValueError("it has a wrong problem exactly where some are wrong")
        if wrong is not None:
            task.encode(wrong, exhaustive.digits)
            if type(exhaustive.answered) is not (int if task.numeric else str):
                raise TypeError("answered is not what such problems have as an answer")
        for part in sampled:
            if part.kind not in KINDS or (part.first_error is None) != part.all_right:
                raise ValueError("it has a first error exactly where some are wrong")
            if part.first_error is not None:
                _check_kinds(part, ("first_error",))
        return cls(exhaustive, sampled)


def _check_kinds(part: Exhaustive | Sampled, names: Sequence[str]) -> None:
    for name in names:
        if type(getattr(part, name)) is not int:
            raise TypeError(f"{name} must be a whole number")


def _check_counts(part: Exhaustive | Sampled) -> None:
    _check_kinds(part, ("digits", "pairs", "right", "doubtful", "differ"))
    if type(part.margin) not in (int, float):
        raise TypeError("margin must be a number")
    if not 0 <= part.right <= part.pairs or part.digits < 1 or part.pairs < 1:
        raise ValueError("its counts cannot be")
    if part.all_right and part.margin < 0 and not part.doubtful:
        raise ValueError("a margin below zero, and nothing wrong")


def wilson(right: int, pairs: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The score interval of Wilson (1927) for a share of which right / pairs was seen.

        (p + z^2/2n +- z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n),   p = right / n, n = pairs

    z = 1.96 standard deviations: 95 %.  Unlike p +- z sqrt(p (1 - p) / n) it has a width where
    all samples are right.  Of nothing nothing is known: (0, 1).
    """
    if not pairs:
        return 0.0, 1.0
    p, n = right / pairs, float(pairs)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    # at the ends the two are equal, and rounding must not take them apart
    return 0.0 if right == 0 else middle - half, 1.0 if right == pairs else middle + half


def examine(
    network: Network | HasNetwork,
    digits: int = 8,
    *,
    engine: str = "auto",
    watch: Watch | None = None,
) -> Evaluation:
    """Both: exhaustive up to `digits`, sampled by length."""
    return Evaluation(
        evaluate(network, digits, engine=engine, watch=watch), by_length(network, engine=engine)
    )


def affordable_digits(task: Task, digits: int, most: int = 2**20) -> int:
    """The largest number of digits, up to `digits`, with at most `most` problems."""
    while digits > 1 and len(task.machine.symbols) ** digits > most:
        digits -= 1
    return digits


def count_problems(task: Task, digits: int) -> int:
    """How many problems have operands of up to `digits` digits.

    Raises `InputError` where they are too many to try them all.
    """
    symbols = len(task.machine.symbols)
    if digits < 1:
        raise InputError(f"digits must be at least 1, not {digits}")
    # more than 32 digits are too many for any task, and the power would itself be long
    if digits > 32 or symbols**digits > MOST_PROBLEMS:
        raise InputError(
            f"{symbols}^{digits} problems of {digits} digits are too many to try them all: "
            f"at most {affordable_digits(task, 32, MOST_PROBLEMS)} digits are accepted"
        )
    return symbols**digits


@np.errstate(over="ignore", invalid="ignore")
def evaluate(
    network: Network | HasNetwork,
    digits: int = 8,
    *,
    engine: str = "auto",
    threads: int | None = None,
    watch: Watch | None = None,
) -> Exhaustive:
    """Every problem with operands of up to `digits` digits, of a network or of a run's.

    Walks the tree of prefixes: its first levels here, the subtrees below them by the
    engine, in `threads` threads (all cores by default).  The outcome is the same
    for any number of threads.

    Raises `InputError` when there are more than `MOST_PROBLEMS` problems.
    """
    network = network_of(network)
    task, digits = network.task, operator.index(digits)
    pairs, symbols = count_problems(task, digits), len(task.machine.symbols)
    worker = _engine(engine, network)
    if watch:
        watch(0, pairs)  # the first of the pieces can take long
    smallest = np.inf
    prefixes, depth = Prefixes.root(network), digits
    subtrees = min(_MOST_SUBTREES, pairs // _SUBTREE_PAIRS)
    while depth > 1 and len(prefixes.state) * symbols <= subtrees:
        prefixes, margin = expand(network, prefixes)
        smallest, depth = min(smallest, margin), depth - 1

    tallies: list[Tally] = []
    pieces = list(prefixes.split(1))
    for tally in _side_by_side(
        lambda piece: worker.walk(network, piece, depth), pieces, worker, threads
    ):
        tallies.append(tally)
        if watch:
            watch(pairs * len(tallies) // len(pieces), pairs)
    wrong = None
    for i, piece in enumerate(pieces):
        while wrong is None and (found := tallies[i].wrong) is not None:
            operands = _operands(task, found, digits)
            if work(network, operands, digits).right:
                # engines are further apart than rounding explains: as the network itself does
                tallies[i] = walk(network, piece, depth, near=np.inf)
            else:
                wrong = operands
    return Exhaustive(
        digits=digits,
        pairs=pairs,
        right=sum(tally.right for tally in tallies),
        margin=min(smallest, *(tally.margin for tally in tallies)),
        doubtful=sum(tally.doubtful for tally in tallies),
        differ=sum(tally.differ for tally in tallies),
        wrong=wrong,
        answered=None if wrong is None else work(network, wrong, digits).answer,
    )


_MOST_SUBTREES = 256
_SUBTREE_PAIRS = 2**12  # fewer are not worth a call


def _engine(name: str, network: Network) -> Engine:
    return engines.get(name, network)


def _side_by_side(
    job: Callable[[Piece], Result], pieces: Sequence[Piece], engine: Engine, threads: int | None
) -> Iterator[Result]:
    """The results of a job for each piece, in order; in threads where the engine gains by it."""
    threads = threads or os.cpu_count() or 1
    if threads == 1 or not engine.threads or len(pieces) == 1:
        yield from map(job, pieces)
        return
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(job, piece) for piece in pieces]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def by_length(
    network: Network | HasNetwork,
    lengths: Sequence[int] = LENGTHS,
    *,
    pairs: int = 256,
    seed: int = 0,
    engine: str = "auto",
    threads: int | None = None,
) -> tuple[Sampled, ...]:
    """`sample` of both kinds at each length."""
    return tuple(
        sample(network, digits, kind, pairs=pairs, seed=seed, engine=engine, threads=threads)
        for digits in lengths
        for kind in KINDS
    )


@np.errstate(over="ignore", invalid="ignore")
def sample(
    network: Network | HasNetwork,
    digits: int,
    kind: str = "uniform",
    *,
    pairs: int = 256,
    seed: int = 0,
    engine: str = "auto",
    threads: int | None = None,
    stream: int = rng.EVALUATION,
    whole: bool = True,
) -> Sampled:
    """Random problems with operands of up to `digits` digits; see `words` for the kinds.

    Those of another `stream` of `rng` are others.  Where words need not be read as a `whole`,
    what is within rounding of zero is followed until it is wrong, which is all that a count
    needs; the margin is then no longer that of all positions.
    """
    network = network_of(network)
    words = _drawn(network.task, digits, kind, pairs, seed, stream)
    worker = _engine(engine, network)
    pieces = [words[i : i + 64] for i in range(0, pairs, 64)] if worker.threads else [words]
    parts: list[Followed] = list(
        _side_by_side(
            lambda piece: worker.follow(network, piece, whole=whole), pieces, worker, threads
        )
    )
    first_errors = np.concatenate([part.first_error for part in parts])
    row = int(np.where(first_errors < 0, words.shape[1], first_errors).argmin())
    if first_errors[row] >= 0:
        upto = words[row : row + 1, : first_errors[row] + 1]
        if follow(network, upto, near=np.inf).first_error[0] != first_errors[row]:
            # engines are further apart than rounding explains: as the network itself does
            parts = [follow(network, words, whole=whole, near=np.inf)]
            first_errors = parts[0].first_error
    errors = first_errors[first_errors >= 0]
    return Sampled(
        kind=kind,
        digits=digits,
        pairs=pairs,
        right=pairs - len(errors),
        margin=min(part.margin for part in parts),
        first_error=int(errors.min()) if len(errors) else None,
        doubtful=sum(int(part.doubt.sum()) for part in parts),
        differ=sum(part.differ for part in parts),
    )


def _drawn(
    task: Task, digits: int, kind: str, pairs: int, seed: int, stream: int = rng.EVALUATION
) -> problems.Words:
    """The words of a sample."""
    length, stream = digits + task.headroom, stream + KINDS.index(kind)
    if kind == "uniform":
        draws = problems.draws_per_word(task, length)
        bits = rng.raw(seed, stream, 0, pairs * draws)
        return problems.uniform(task, length, bits.reshape(pairs, draws))
    bits = rng.raw(seed, stream, 0, pairs * length * 2).reshape(pairs, length, 2)
    words = problems.chains(task, length, bits)
    if not task.numeric:  # what is rare among chains too
        walked = np.arange(pairs // 2, pairs)
        words[walked] = problems.walk(task, bits[walked], walked)
    return words


@np.errstate(over="ignore", invalid="ignore")
def first_wrong(
    network: Network, evaluation: Evaluation, *, seed: int = 0, engine: str = "auto"
) -> list[int] | None:
    """A word that an evaluation by `examine` found to be wrong, up to its first wrong symbol."""
    whole, task = evaluation.exhaustive, network.task
    if whole.wrong is not None:
        return task.encode(whole.wrong, whole.digits)
    worker = _engine(engine, network)
    for part in sorted(evaluation.sampled, key=lambda part: part.digits):
        if part.first_error is not None:
            words = _drawn(task, part.digits, part.kind, part.pairs, seed)
            errors = worker.follow(network, words).first_error
            for row in np.flatnonzero(errors == part.first_error):
                word = [int(a) for a in words[row, : part.first_error + 1]]
                if follow(network, np.array([word]), near=np.inf).first_error[0] >= 0:
                    return word
    return None


def _operands(task: Task, word: int, digits: int) -> tuple[Operand, ...]:
    symbols = len(task.machine.symbols)
    return task.problem([word // symbols ** (digits - 1 - t) % symbols for t in range(digits)])
