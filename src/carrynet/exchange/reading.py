"""How a network is to be read: what its weights do not say, found by trying.

`choose` takes the `Reading` by which the network is right on sample problems, and never settles
for one of several that have nothing to be told apart by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng, words as problems
from carrynet.data.words import tables
from carrynet.errors import InputError
from carrynet.exchange.folding import Owned, Reading, decides
from carrynet.nets import cells
from carrynet.nets.arrays import Array
from carrynet.nets.losses import predict
from carrynet.nets.readings.numbers import NUMBERS
from carrynet.nets.recurrence import Unrolled
from carrynet.spec.task import Task

ACTIVATIONS = ("tanh", "relu", "sigmoid")
DELAYS = (0, 1, 2)


# Trying ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Trial:
    """On which sample problems a network is right, by each of some readings."""

    #: (problems,) each: the short ones and, where some reading was right on them, the long
    hits: Mapping[Reading, NDArray[np.bool_]]
    clear: Mapping[Reading, bool]  #: whether no logit lies exactly where it is cut
    short: int  #: problems that are not much longer than those that networks are trained on

    def count(self, reading: Reading) -> int:
        """How many of the short ones are answered rightly."""
        return int(self.hits[reading][: self.short].sum())

    def right(self, readings: Sequence[Reading]) -> list[Reading]:
        """Those by which all problems are answered rightly; where there are none, the short.

        A network whose every 0 is on the very edge is not meant to be cut there, where it is
        right by another cut, too.
        """
        on_all = [r for r in readings if self.hits[r].all()]
        on_short = [r for r in readings if self.hits[r][: self.short].all()]
        return [r for r in on_all if self.clear[r]] or on_all or on_short

    def falters(self, reading: Reading) -> bool:
        """Whether the short ones are all answered rightly, and not all of the long."""
        return self.count(reading) == self.short and not self.hits[reading].all()

    def score(self, reading: Reading) -> str:
        """How many are answered rightly, of a reading by which the short ones all are."""
        hits, n = self.hits[reading], self.short
        if hits.all():
            return f"{hits.sum():,} of {len(hits):,} sample problems"
        short = f"all {n:,} sample problems of up to {_LENGTHS[0][0]} digits"
        return f"{short}, and {hits[n:].sum():,} of {len(hits) - n:,} of up to {_LENGTHS[-1][0]}"


_LENGTHS = ((8, 128), (64, 64))  # digits, and problems of each kind
_STREAM = rng.EVALUATION


def _samples(task: Task) -> list[problems.Words]:
    """Sample problems, short ones and long ones, shape (N, T): uniform, and with long carries."""
    samples = []
    for digits, count in _LENGTHS:
        length = digits + task.headroom
        draws = problems.draws_per_word(task, length)
        bits = rng.raw(1, _STREAM, 0, count * draws).reshape(count, draws)
        steps = rng.raw(2, _STREAM, 0, count * length * 2).reshape(count, length, 2)
        parts = problems.uniform(task, length, bits), problems.chains(task, length, steps)
        samples.append(np.concatenate(parts))
    return samples


def attempt(owned: Owned, readings: Sequence[Reading]) -> Trial:
    """Let the network work the sample problems by each reading, the long where that is worth it.

    Where answers come late, zeros are read until the last has come.
    """
    task, samples = owned.task, _samples(owned.task)
    hits = {r: np.ones(0, dtype=bool) for r in readings}
    clear = dict.fromkeys(readings, True)
    late = max(r.delay for r in readings)
    for words in samples:
        right = problems.answers(task, words).T  # (T, N)
        read = np.pad(words, ((0, 0), (0, late))).T
        going = [r for r in readings if hits[r].all()]
        for activation, coding in dict.fromkeys((r.activation, r.coding) for r in going):
            outputs = _outputs(owned, activation, coding, read)
            for r in going:
                if (r.activation, r.coding) == (activation, coding):
                    logits = _logits(owned, r, outputs)[: len(right)]
                    hit = (predict(logits) == right) & np.isfinite(logits).all(axis=-1)
                    hits[r] = np.concatenate([hits[r], hit.all(axis=0)])
                    clear[r] &= logits.shape[-1] > 1 or bool(logits.all())
    return Trial(hits, clear, len(samples[0]))


@np.errstate(all="ignore")
def _outputs(owned: Owned, activation: str, coding: str, words: problems.Words) -> Array:
    """The owner's outputs for words (T, N): shape (T, N, y)."""
    folding = owned.codings[coding]
    vectors = np.eye(len(owned.task.machine.symbols))
    if folding is not None:
        vectors = tables(owned.task).vectors @ folding[0] + folding[1]
    weights = owned.weights.map(lambda array: array.astype(owned.dtype))
    x = vectors.astype(owned.dtype)[words]
    start = np.zeros((x.shape[1], weights.bh.size), owned.dtype)
    h: Array = Unrolled(cells.named(activation), weights, NUMBERS, x, [start]).along(0)
    return h.dot(weights.Why) + weights.by


@np.errstate(all="ignore")
def _logits(owned: Owned, reading: Reading, outputs: Array) -> Array:
    """The logits (T', N, Y) of a reading, less the steps that it is late."""
    B, d = decides(owned.task, owned.outputs, reading.cut)
    return np.asarray(outputs[reading.delay :] @ B + d)


# Choosing ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Stated:
    """What the owner, or the file, says of a reading; None where nothing is said."""

    activation: str | None = None
    coding: str | None = None
    cuts: tuple[float, ...] = ()  #: of which one is meant
    delay: int | None = None

    def allows(self, reading: Reading) -> bool:
        """Whether a reading is as stated."""
        return (
            self.activation in (None, reading.activation)
            and self.coding in (None, reading.coding)
            and (not self.cuts or reading.cut in self.cuts)
            and self.delay in (None, reading.delay)
        )


@dataclass(frozen=True)
class Choice:
    """The reading that was taken."""

    reading: Reading
    assumed: tuple[str, ...] = ()  #: what of it neither the owner nor the file has said
    why: str = ""  #: how it came out, where it was tried


def choose(owned: Owned, stated: Stated, usual: str | None, *, tried: bool = False) -> Choice:
    """The one reading, of those that are allowed by what is stated, that a network is meant by.

    What is stated in full is not tried, unless it must be (`tried`).  Else all are tried on
    samples, and of those that are right that one is taken whose departures from convention all
    others make, too: activation `usual` (None where there is none), bits as 0 and 1, a cut at 0
    or as stated first, no delay.
    Raises `InputError` where none is right, with how many each got right, where several are
    that depart in different ways, and where a more usual one is right on the short ones only;
    and for what carrynet's networks cannot do.
    """
    task = owned.task
    codes = list(owned.codings)
    if stated.delay not in (None, *DELAYS):
        raise InputError(f"delay must be from 0 to {DELAYS[-1]}, not {stated.delay}")
    cuts = _cuts(task, owned.outputs, stated)
    if stated.coding is not None and stated.coding not in codes:
        shown = " or ".join(codes)
        raise InputError(
            f"coding {stated.coding} does not fit {len(owned.weights.Wxh)} inputs for task "
            f"{task.text}: they are read as {shown}"
        )
    # beyond what is stated, to be able to tell where that is mistaken
    known = dict.fromkeys((*cuts, *_cuts(task, owned.outputs, Stated())))
    everything = [Reading(*each) for each in product(ACTIVATIONS, codes, known, DELAYS)]
    allowed = [reading for reading in everything if stated.allows(reading)]
    convention = Reading(usual or "", codes[0], cuts[0], 0)
    if len(allowed) == 1 and not tried:
        _require_possible(owned, allowed[0], "")
        return Choice(allowed[0], _assumed(owned, allowed[0], stated))
    trial = attempt(owned, allowed)
    right = trial.right(allowed)
    if not right:
        others = [reading for reading in everything if reading not in allowed]
        raise InputError(_none_right(owned, trial, others, stated, convention))
    least = _least(right, convention)
    if len(least) > 1:
        ways = [_flags(r, least, owned) for r in least]
        raise InputError(
            f"the network is right on {trial.score(least[0])} by several readings: say which one "
            f"is meant, {' or '.join(ways)}"
        )
    (reading,) = least
    # never another than the usual one only because it is right on the long problems, too
    nearer = _least([r for r in allowed if trial.falters(r)], convention)
    nearer = [r for r in nearer if _departures(r, convention) < _departures(reading, convention)]
    if nearer and trial.hits[reading].all():
        both = [nearer[0], reading]
        raise InputError(
            f"the network is right on {trial.score(nearer[0])} by "
            f"{_flags(nearer[0], both, owned)}, and on all of them by "
            f"{_flags(reading, both, owned)}: say which one is meant"
        )
    score = trial.score(reading)
    _require_possible(owned, reading, f"is right on {score} ")
    why = f"right on {score}; {len(allowed)} readings were tried"
    if len(right) > 1:
        why += f", {len(right)} are right on as many, and the usual one is taken"
    return Choice(reading, _assumed(owned, reading, stated), why)


def _cuts(task: Task, outputs: int, stated: Stated) -> tuple[float, ...]:
    if task.readout != "bits":
        if stated.cuts:
            raise InputError(f"task {task.text} picks the largest of its logits: no threshold")
        return (0.0,)
    # a network that was trained to give the bit itself, as a number, is cut in the middle
    return stated.cuts or ((0.0, 0.5) if outputs == 1 else (0.0,))


def _least(readings: Sequence[Reading], convention: Reading) -> list[Reading]:
    """The readings that do not depart from convention as another does and in more, nearest first.

    Of relu, and relu with another cut, the latter has nothing to speak for it.
    """
    departs = {reading: _departures(reading, convention) for reading in readings}
    least = [r for r in readings if not any(departs[s] < departs[r] for s in readings)]
    return sorted(least, key=lambda reading: len(departs[reading]))


def _departures(reading: Reading, convention: Reading) -> set[tuple[str, Any]]:
    return set(vars(reading).items()) - set(vars(convention).items())


def _require_possible(owned: Owned, reading: Reading, so_far: str) -> None:
    """Refuse what is understood, but what carrynet's networks cannot do."""
    if reading.delay:
        steps = f"{reading.delay} step{'s' * (reading.delay > 1)}"
        raise InputError(
            f"the network {so_far or 'is said to be right '}when read {steps} later: networks "
            "that answer late cannot be taken yet, only those that answer each digit at once"
        )
    if owned.codings[reading.coding] is None:
        symbols = len(owned.task.machine.symbols)
        raise InputError(
            f"Wxh has {symbols} inputs, one for each of the {symbols} symbols of task "
            f"{owned.task.text}, and the network {so_far or 'is said to be right '}when fed "
            f"one-hot vectors of them: this task feeds each digit by itself; a task of one's own "
            f"with base = {symbols}, operands = 1 takes it, docs/howto/task.md"
        )


def _assumed(owned: Owned, reading: Reading, stated: Stated) -> tuple[str, ...]:
    said = {
        "activation": stated.activation is not None,
        "coding": stated.coding is not None,
        "cut": len(stated.cuts) == 1 or (owned.task.readout != "bits" and owned.outputs > 1),
        "delay": stated.delay is not None,
    }
    phrases = reading.phrases(owned.outputs, owned.task)
    return tuple(phrase for key, phrase in phrases.items() if not said[key])


def _none_right(
    owned: Owned,
    trial: Trial,
    others: Sequence[Reading],
    stated: Stated,
    convention: Reading,
) -> str:
    """What was tried, with how many right for the best of each, and how to say what is meant.

    And by which of the `others`, that are not as stated, the network is right.
    """
    allowed = list(trial.hits)

    def best(readings: Sequence[Reading]) -> Reading:
        # of equals the more usual one
        return max(readings, key=lambda r: (trial.count(r), -_distance(r, convention)))

    task, top = owned.task, best([r for r in allowed if not r.delay] or allowed)
    parts = []
    for f in fields(Reading):
        values = dict.fromkeys(getattr(r, f.name) for r in allowed)
        if len(values) > 1:
            counts = []
            for value in values:
                some = best([r for r in allowed if getattr(r, f.name) == value])
                phrase = some.phrases(owned.outputs, task)[f.name]
                counts.append(f"{phrase} {trial.count(some):,}")
            parts.append(", ".join(counts))
    instead = ""
    if others:
        elsewhere = attempt(owned, others)
        usual = replace(convention, cut=_cuts(task, owned.outputs, Stated())[0])
        for other in _least(elsewhere.right(others), usual)[:1]:
            phrases = other.phrases(owned.outputs, task)
            differs = [key for key in phrases if not stated.allows(_only(top, other, key))]
            instead = (
                f"; with {', '.join(phrases[key] for key in differs)} instead it is right on "
                f"{elsewhere.score(other)}"
            )
    return (
        f"cannot tell how the network is to be read: of {trial.short:,} sample problems of "
        f"task {task.text} none of {len(allowed)} readings gets all right, at best "
        f"{'; '.join(parts)}{instead}; say what is meant with --activation, --coding, "
        "--map logit= and --delay, or other weights with --map"
    )


def _only(reading: Reading, other: Reading, key: str) -> Reading:
    """A reading with one field of another."""
    return replace(reading, **{key: getattr(other, key)})


def _distance(reading: Reading, convention: Reading) -> int:
    return sum(getattr(reading, f.name) != getattr(convention, f.name) for f in fields(reading))


def _flags(reading: Reading, among: Sequence[Reading], owned: Owned) -> str:
    """What is to be said on the command line for one reading of several."""
    flags = {
        "activation": f"--activation {reading.activation}",
        "coding": f"--coding {reading.coding}",
        "cut": f"--map logit={reading.cut:g}",
        "delay": f"--delay {reading.delay}",
    }
    free = [key for key in flags if len({getattr(r, key) for r in among}) > 1]
    return " ".join(flags[key] for key in free)
