"""How a network is to be read: what its weights do not say, found by trying.

`choose` takes the `Convention` by which the network is right on sample problems, and never settles
for one of several that have nothing to be told apart by.  Where the owner gives samples of what
the network answers, it is the one by which it answers so, right or wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng, words as problems
from carrynet.errors import InputError, shorten
from carrynet.exchange.folding import (
    Convention,
    Owned,
    decides,
    input_counts,
    output_counts,
)
from carrynet.exchange.layered import UNPLACED
from carrynet.exchange.samples import Samples
from carrynet.nets.arrays import Array
from carrynet.nets.losses import predict
from carrynet.spec.task import Task

DELAYS = (0, 1, 2)


# Trying ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Scores:
    """On which sample problems a network is right, by each of some conventions."""

    #: (problems,) each: the short ones and, where a convention is right on them, the long; of a
    #: large network as many of these as it takes to find one that is answered wrongly
    hits: Mapping[Convention, NDArray[np.bool_]]
    clear: Mapping[Convention, bool]  #: whether no logit lies exactly where it is cut
    short: int  #: problems that are not much longer than those that networks are trained on

    def count(self, convention: Convention) -> int:
        """How many of the short ones are answered rightly."""
        return int(self.hits[convention][: self.short].sum())

    def tried(self, convention: Convention) -> int:
        """How many of the short ones were tried."""
        return min(len(self.hits[convention]), self.short)

    def told(self, convention: Convention, of: int) -> str:
        """`count` in words, where it is told of so many problems."""
        tried = self.tried(convention)
        return f"{self.count(convention):,}" + (f" of the first {tried:,}" if tried < of else "")

    def right(self, conventions: Sequence[Convention]) -> list[Convention]:
        """Those by which all problems are answered rightly; where there are none, the short.

        A network whose every 0 is on the very edge is not meant to be cut there, where it is
        right by another cut, too.
        """
        on_all = [c for c in conventions if self.hits[c].all()]
        on_short = [c for c in conventions if self.hits[c][: self.short].all()]
        return [c for c in on_all if self.clear[c]] or on_all or on_short

    def falters(self, convention: Convention) -> bool:
        """Whether the short ones are all answered rightly, and not all of the long."""
        return self.count(convention) == self.short and not self.hits[convention].all()

    def score(self, convention: Convention) -> str:
        """How many are answered rightly, of a convention by which the short ones all are."""
        hits, n = self.hits[convention], self.short
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


def attempt(
    owned: Owned, conventions: Sequence[Convention], given: Samples | None = None
) -> Scores:
    """Let the network work the sample problems by each convention, the long where that is worth it.

    With samples of the owner's, all of these, and what is right is what was answered there.
    Where answers come late, zeros are read until the last has come.  In blocks of problems: a
    convention by which one is answered wrongly is not tried on the next.
    """
    task = owned.task
    samples = _samples(task) if given is None else [given.words]
    hits = {c: np.ones(0, dtype=bool) for c in conventions}
    clear = dict.fromkeys(conventions, True)
    late = max(c.delay for c in conventions)
    for words in samples:
        done = 0
        while done < len(words) and (going := [c for c in conventions if hits[c].all()]):
            size = _block(owned, going, words.shape[1] + late)
            block = np.s_[done : done + size]
            right = problems.answers(task, words[block]).T  # (T, N)
            read = np.pad(words[block], ((0, 0), (0, late))).T
            for c, outputs in _answered(owned, going, read):
                logits = _logits(owned, c, outputs)[: len(right)]
                if given is None:
                    asked = right != problems.OPEN
                    hit = (predict(logits) == right) & np.isfinite(logits).all(axis=-1)
                    hit |= ~asked
                else:
                    answered = outputs[c.delay :][: len(right)]
                    hit = given.part(block).fits(answered.swapaxes(0, 1), predict(logits).T).T
                hits[c] = np.concatenate([hits[c], hit.all(axis=0)])
                clear[c] &= logits.shape[-1] > 1 or bool(logits.all())
            done += size
    return Scores(hits, clear, len(samples[0]))


def _answered(
    owned: Owned, conventions: Sequence[Convention], words: NDArray[np.integer]
) -> Iterator[tuple[Convention, Array]]:
    """The owner's outputs for words by each convention; what several share is computed once."""
    groups: dict[Convention, dict[str, list[Convention]]] = {}
    for each in conventions:
        groups.setdefault(owned.below(each), {}).setdefault(each.head, []).append(each)
    for heads in groups.values():
        h = owned.followed(next(iter(heads.values()))[0], words)
        for alike in heads.values():
            outputs = owned.read(alike[0], h)
            yield from ((each, outputs) for each in alike)


def _block(owned: Owned, conventions: Sequence[Convention], length: int) -> int:
    """How many problems are tried at once, before what errs on them is left out.

    All that there are, unless the network is large.
    """
    ways = len({replace(c, cut=0.0, delay=0) for c in conventions})
    size = sum(array.size for array in owned.layers.arrays)
    return max(_FEWEST, _PRODUCTS // (ways * size * length))


_PRODUCTS, _FEWEST = 2**33, 4


@np.errstate(all="ignore")
def _logits(owned: Owned, convention: Convention, outputs: Array) -> Array:
    """The logits (T', N, Y) of a convention, less the steps that it is late."""
    B, d = decides(owned.task, owned.outputs, convention.cut)
    return np.asarray(outputs[convention.delay :] @ B + d)


# Choosing ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Stated:
    """What the owner, or the file, says of a convention; None where nothing is said."""

    activation: str | None = None
    coding: str | None = None
    cuts: tuple[float, ...] = ()  #: of which one is meant
    delay: int | None = None
    head: str | None = None

    def allows(self, convention: Convention) -> bool:
        """Whether a convention is as stated."""
        return (
            self.activation in (None, convention.activation)
            and self.head in (None, convention.head)
            and self.coding in (None, convention.coding)
            and (not self.cuts or convention.cut in self.cuts)
            and self.delay in (None, convention.delay)
        )


@dataclass(frozen=True)
class Choice:
    """The convention that was taken."""

    convention: Convention
    assumed: tuple[str, ...] = ()  #: what of it neither the owner nor the file has said
    why: str = ""  #: how it came out, where it was tried


def choose(
    owned: Owned,
    stated: Stated,
    usual: str | None,
    *,
    tried: bool = False,
    samples: Samples | None = None,
) -> Choice:
    """The one convention, of those that are allowed by what is stated, that a network is meant by.

    What is stated in full is not tried, unless it must be (`tried`).  Else all are tried on
    samples, and of those that are right that one is taken whose departures from custom all
    others make, too: activation `usual` (None where there is none), what is likeliest around linear
    layers, bits as 0 and 1, a cut at 0 or as stated first, no delay.  With `samples` of the
    owner's, right is what answers as they do; where several do, and answer others differently,
    they are too few.
    Raises `InputError` where none is right, with how many each got right, where several are
    that depart in different ways, and where a more usual one is right on the short ones only;
    and for what carrynet's networks cannot do.
    """
    task = owned.task
    codes = owned.codings
    if stated.delay not in (None, *DELAYS):
        raise InputError(f"delay must be from 0 to {DELAYS[-1]}, not {stated.delay}")
    cuts = _cuts(owned, stated)
    if stated.coding is not None and stated.coding not in codes:
        shown = " or ".join(codes)
        raise InputError(
            f"coding {stated.coding} does not fit {owned.inputs} inputs for task "
            f"{task.text}: they are read as {shown}"
        )
    if not codes:
        counts = " or ".join(map(str, input_counts(task)))
        raise InputError(
            f"the network has {owned.inputs} inputs: for task {task.text} {counts} are accepted"
        )
    if owned.outputs not in output_counts(task):
        counts = " or ".join(map(str, output_counts(task)))
        raise InputError(
            f"the network has {owned.outputs} outputs: for task {task.text} {counts} are accepted"
        )
    told = not owned.layers.untold
    if stated.head is not None:
        stated = replace(stated, head=_said_of_head(owned, stated.head))
    if stated.activation is not None and told:
        raise InputError("the activation of each cell is told by the file: leave out --activation")
    # beyond what is stated, to be able to tell where that is mistaken
    known = dict.fromkeys((*cuts, *_usual_cuts(owned)))
    within = replace(stated, cuts=cuts)
    everything = owned.conventions(known, DELAYS)
    if stated.head not in (None, *owned.heads):  # more places than are tried everywhere
        first = owned.heads[0]
        everything = [replace(c, head=stated.head or "") for c in everything if c.head == first]
    allowed = [convention for convention in everything if within.allows(convention)]
    custom = Convention("" if told else usual or "", codes[0], cuts[0], 0, owned.heads[0])
    if len(allowed) == 1 and not tried and samples is None:
        _require_possible(owned, allowed[0], "")
        return Choice(allowed[0], _assumed(owned, allowed[0], stated))
    scores = attempt(owned, allowed, samples)
    right = scores.right(allowed)
    if samples is not None and not right:
        raise Unlike(_unlike(owned, scores, samples))
    if not right:
        others = [c for c in everything if c not in set(allowed)]
        raise NoneRight(_none_right(owned, scores, others, within, custom))
    least = _least(right, custom)
    if len(least) > 1:
        ways = [_flags(c, least, owned) for c in least]
        raise InputError(
            f"the network is right on {scores.score(least[0])} by several conventions: say which "
            f"one is meant, {' or '.join(ways)}"
        )
    (convention,) = least
    # where a logit is cut, logits alone do not show
    cuts_shown = samples is not None and samples.outputs is not None
    others = [c for c in right if cuts_shown or replace(c, cut=convention.cut) != convention]
    if samples is not None and (other := _answers_otherwise(owned, convention, others)):
        ways = [_flags(c, [convention, other], owned) for c in (convention, other)]
        raise InputError(
            "the samples fit by several conventions, which answer other words differently: say "
            f"which one is meant, {' or '.join(ways)}, or give more samples"
        )
    # never another than the usual one only because it is right on the long problems, too
    nearer = _least([c for c in allowed if scores.falters(c)], custom)
    nearer = [c for c in nearer if _departures(c, custom) < _departures(convention, custom)]
    if nearer and scores.hits[convention].all():
        both = [nearer[0], convention]
        raise InputError(
            f"the network is right on {scores.score(nearer[0])} by "
            f"{_flags(nearer[0], both, owned)}, and on all of them by "
            f"{_flags(convention, both, owned)}: say which one is meant"
        )
    score = scores.score(convention) if samples is None else f"{len(samples.words):,} samples"
    _require_possible(owned, convention, f"is right on {score} ")
    as_right = "right on" if samples is None else "answers as in all"
    why = f"{as_right} {score}; {len(allowed)} conventions were tried"
    if len(right) > 1:
        why += f", {len(right)} are right on as many, and the usual one is taken"
    return Choice(convention, _assumed(owned, convention, stated), why)


def _answers_otherwise(
    owned: Owned, convention: Convention, others: Sequence[Convention]
) -> Convention | None:
    """One of other conventions by which some sample problem is answered differently."""
    late = max(each.delay for each in (convention, *others))
    for words in _samples(owned.task):
        size = _block(owned, (convention, *others), words.shape[1] + late)
        for done in range(0, len(words), size):
            read = np.pad(words[done : done + size], ((0, 0), (0, late))).T
            decided = {
                each: predict(_logits(owned, each, outputs)[: words.shape[1]]).tobytes()
                for each, outputs in _answered(owned, (convention, *others), read)
            }
            for other in others:
                if decided[other] != decided[convention]:
                    return other
    return None


def _said_of_head(owned: Owned, said: str) -> str:
    """What is said of all places around linear layers, or of each, by commas."""
    gaps, names = owned.layers.gaps, said.split(",")
    if not gaps:
        raise InputError("no activation around the linear layers is left open: leave out --head")
    if len(names) == 1:
        return owned.around(said)
    if len(names) != len(gaps):
        raise InputError(
            f"--head {shorten(said)} says {len(names)} activations: accepted are one, for all "
            f"places between linear layers, or {len(gaps)}, for each place around them"
        )
    return said


class NoneRight(InputError):
    """The network is right on all sample problems by none of the conventions."""


class Unlike(InputError):
    """The network answers otherwise than its owner's samples by every convention."""


def _unlike(owned: Owned, scores: Scores, samples: Samples) -> str:
    """How far the best convention is from the samples, and where first."""
    best = max(scores.hits, key=lambda c: int(scores.hits[c].sum()))
    hits = scores.hits[best]
    row = int(hits.argmin())
    sample = samples.part(np.s_[row : row + 1])
    words = np.pad(sample.words, ((0, 0), (0, best.delay))).T
    outputs = owned.answered(best, words)[best.delay :]
    answers = predict(_logits(owned, replace(best, delay=0), outputs)).T
    where = sample.first_difference(outputs.swapaxes(0, 1), answers, before=row)
    first = "the first " if len(hits) < len(samples.words) else ""
    return f"the network answers as in {hits.sum():,} of {first}{len(hits):,} samples, {where}"


def _cuts(owned: Owned, stated: Stated) -> tuple[float, ...]:
    """Where the outputs may be cut, the likeliest first: where the file or the owner says."""
    task, layers = owned.task, owned.layers
    if task.readout != "bits":
        if stated.cuts:
            raise InputError(f"task {task.text} picks the largest of its logits: no threshold")
        if layers.ended == "greater":
            raise InputError(
                f"the network ends in a comparison, which answers 0 or 1: task {task.text} has "
                f"{task.neurons} outputs"
            )
        if layers.ended == UNPLACED and layers.outputs == 1:
            raise InputError(
                "the file has a Sigmoid or a Tanh and does not tell where: at the end it would "
                "change the number that is rounded; accepted is one in an nn.Sequential with the "
                "linear layers"
            )
        return (0.0,)
    if _says_cut(owned):
        if stated.cuts and layers.bound not in stated.cuts:
            raise InputError(
                f"the file says itself where the logit is cut, at {layers.bound:g}: leave out "
                "logit=, p= and threshold="
            )
        return (layers.bound,)
    if stated.cuts:
        return stated.cuts
    told = bool(layers.ended) or layers.head[-1:] == ("tanh",)
    return (0.0,) if told else _usual_cuts(owned)


def _usual_cuts(owned: Owned) -> tuple[float, ...]:
    """Where nothing is said."""
    # a network that was trained to give the bit itself, as a number, is cut in the middle
    return (0.0, 0.5) if owned.task.readout == "bits" and owned.outputs == 1 else (0.0,)


def _says_cut(owned: Owned) -> bool:
    """Whether the file says where a bit is cut; a sigmoid leaves it to whoever reads its p."""
    return owned.layers.ended in ("greater", "argmax")


def _least(conventions: Sequence[Convention], custom: Convention) -> list[Convention]:
    """The conventions that do not depart from custom as another does and in more, nearest first.

    Of relu, and relu with another cut, the latter has nothing to speak for it.
    """
    departs = {convention: _departures(convention, custom) for convention in conventions}
    least = [c for c in conventions if not any(departs[s] < departs[c] for s in conventions)]
    return sorted(least, key=lambda convention: len(departs[convention]))


def _departures(convention: Convention, custom: Convention) -> set[tuple[str, Any]]:
    return set(vars(convention).items()) - set(vars(custom).items())


def _require_possible(owned: Owned, convention: Convention, so_far: str) -> None:
    """Refuse what is understood, but what carrynet's networks cannot do."""
    if convention.delay:
        steps = f"{convention.delay} step{'s' * (convention.delay > 1)}"
        raise InputError(
            f"the network {so_far or 'is said to be right '}when read {steps} later: of this task "
            "only networks that answer each digit at once can be taken; for one that answers late "
            "give --task FILE, a machine whose first answers are left open, '-'"
        )


def _assumed(owned: Owned, convention: Convention, stated: Stated) -> tuple[str, ...]:
    said = {
        "activation": stated.activation is not None,
        "coding": stated.coding is not None,
        "cut": len(stated.cuts) == 1
        or _says_cut(owned)
        or (owned.task.readout != "bits" and owned.outputs > 1),
        "delay": stated.delay is not None,
        "head": stated.head is not None,
    }
    phrases = convention.phrases(owned.outputs, owned.task)
    return tuple(phrase for key, phrase in phrases.items() if not said[key])


def _none_right(
    owned: Owned,
    scores: Scores,
    others: Sequence[Convention],
    stated: Stated,
    custom: Convention,
) -> str:
    """What was tried, with how many right for the best of each, and how to say what is meant.

    And by which of the `others`, that are not as stated, the network is right.
    """
    allowed = list(scores.hits)
    tried = max(map(scores.tried, allowed))

    def best(conventions: Sequence[Convention]) -> Convention:
        # of equals the more usual one
        return max(conventions, key=lambda c: (scores.count(c), -_distance(c, custom)))

    task, top = owned.task, best([c for c in allowed if not c.delay] or allowed)
    parts = []
    for f in fields(Convention):
        values: dict[Any, None] = dict.fromkeys(getattr(c, f.name) for c in allowed)
        if len(values) > 1:
            each = [best([c for c in allowed if getattr(c, f.name) == value]) for value in values]
            told = [
                f"{some.phrases(owned.outputs, task)[f.name]} {scores.told(some, tried)}"
                for some in sorted(each, key=scores.count, reverse=True)[:_TOLD]
            ]
            less = len(each) - len(told)
            parts.append(", ".join(told) + (f", {less} others no more" if less else ""))
    # of what is nearly always wrong no convention is the cause
    instead = (
        "; perhaps it has a layer or an activation that the file does not say"
        if scores.count(top) < scores.tried(top) // 4
        else ""
    )
    if others:
        elsewhere = attempt(owned, others)
        usual = replace(custom, cut=_usual_cuts(owned)[0])
        for other in _least(elsewhere.right(others), usual)[:1]:
            phrases = other.phrases(owned.outputs, task)
            differs = [key for key in phrases if not stated.allows(_only(top, other, key))]
            instead = (
                f"; with {', '.join(phrases[key] for key in differs)} instead it is right on "
                f"{elsewhere.score(other)}"
            )
    return (
        f"cannot tell how the network is to be read: of {tried:,} sample problems of "
        f"task {task.text} none of {len(allowed)} conventions gets all right, at best "
        f"{'; '.join(parts)}{instead}; say what is meant with --activation, --coding, "
        "--map logit=, --delay and --head, other weights with --map, or what it answers with "
        "--samples"
    )


_TOLD = 4
"""Of the ways to read one thing, how many are told."""


def _only(convention: Convention, other: Convention, key: str) -> Convention:
    """A convention with one field of another."""
    return replace(convention, **{key: getattr(other, key)})


def _distance(convention: Convention, custom: Convention) -> int:
    return sum(getattr(convention, f.name) != getattr(custom, f.name) for f in fields(convention))


def _flags(convention: Convention, among: Sequence[Convention], owned: Owned) -> str:
    """What is to be said on the command line for one convention of several."""
    flags = {
        "activation": f"--activation {convention.activation}",
        "coding": f"--coding {convention.coding}",
        "cut": f"--map logit={convention.cut:g}",
        "delay": f"--delay {convention.delay}",
        "head": f"--head {convention.head}",
    }
    free = [key for key in flags if len({getattr(c, key) for c in among}) > 1]
    return " ".join(flags[key] for key in free)
