"""Verdicts: what is known of a network for numbers of any length.

Exactly one of three.  `Proved` exists only with a certificate that `check` has accepted: in
this process, or, where `checked` is false, in the one that wrote the run that it was read from.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import inf
from typing import Any, ClassVar

from carrynet.judge.measures import Share
from carrynet.proof.certificate import Certificate
from carrynet.spec.codec import Answer, Operand

MOST_SYMBOLS = 100_000
"""Of a counterexample; none that is searched for is longer than some thousands."""


@dataclass(frozen=True)
class Proved:
    """Right for every word of every length; the checker has accepted the certificate."""

    method: str  #: by which the certificate was found
    regions: int
    slack: float  #: an error of up to this in every hidden unit at every step does no harm
    margin: float | None  #: every logit of every word is at least this far on the right side
    seconds: float
    certificate: Certificate = field(repr=False, compare=False)
    checked: bool = True  #: in this process; else it is as recorded, and its margin not known

    verdict: ClassVar[str] = "proved"


@dataclass(frozen=True)
class Refuted:
    """Wrong for at least one problem, which the network itself was seen to answer wrongly."""

    operands: tuple[Operand, ...]  #: read as numbers of `digits` digits; or a word of so many
    digits: int
    position: int  #: of the wrong output, from 0
    answered: Answer  #: where it is what is expected, an output there is not a number
    expected: Answer
    shortest: bool  #: whether every shorter word is known to be right
    seconds: float
    state: str = ""  #: of the machine before the wrong output, by its name
    symbol: str = ""  #: that is read there, by its name
    shares: tuple[Share, ...] = ()  #: of random problems that are wrong, where they were drawn

    verdict: ClassVar[str] = "refuted"


@dataclass(frozen=True)
class Effort:
    """How far a search came that decided nothing, and what was measured beside it."""

    #: seconds of trees of words and, of other cells than Elman's, walkers; 0 where they had none
    budget: float = 0.0
    done: int = 0  #: regions all of whose words had been followed, of the last radius
    found: int = 0  #: regions that there were by then
    #: whether more time would not help: every radius was tried to its end, or what was found was
    #: refused by the checker
    over: bool = False
    rate: float = 0.0  #: problems a second that are tried exhaustively; 0 where not measured
    #: seconds that a search for trees would take in all, were those to come like those that are
    #: done; 0 where too few are done to tell
    expected: float = 0.0


@dataclass(frozen=True)
class Undecided:
    """Neither: what was tried did not find a proof or a wrong answer."""

    tried: tuple[str, ...]
    seconds: float
    effort: Effort = Effort()

    verdict: ClassVar[str] = "undecided"


Verdict = Proved | Refuted | Undecided


def in_words(verdict: Verdict) -> str:
    """The verdict, and whether it is believed on the word of a file."""
    recorded = isinstance(verdict, Proved) and not verdict.checked
    return f"{verdict.verdict}, as recorded" if recorded else verdict.verdict


def to_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain values: the same keys for all three, null where they do not apply."""
    counterexample = None
    if isinstance(verdict, Refuted):
        counterexample = {**asdict(verdict), "operands": list(verdict.operands)}
        del counterexample["seconds"]
        counterexample["shares"] = [
            {**asdict(share), "interval": list(share.interval)} for share in verdict.shares
        ]
    proved = verdict if isinstance(verdict, Proved) else None
    return {
        "verdict": verdict.verdict,
        "method": proved and proved.method,
        "regions": proved and proved.regions,
        "slack": proved and proved.slack,
        "margin": proved and proved.margin,
        "counterexample": counterexample,
        "tried": list(verdict.tried) if isinstance(verdict, Undecided) else None,
        "effort": asdict(verdict.effort) if isinstance(verdict, Undecided) else None,
        "seconds": verdict.seconds,
        "checked": proved is not None and proved.checked,
    }


def from_json(document: Mapping[str, Any], certificate: Certificate | None) -> Verdict:
    """The inverse of `to_json`.

    Of a proof nothing is believed but its certificate, from which the figures are taken.
    Raises `ValueError`, `KeyError` or `TypeError` for anything else.
    """
    kind, seconds = document["verdict"], document["seconds"]
    if type(seconds) not in (int, float):
        raise TypeError("seconds must be a number")
    if kind == "proved":
        if certificate is None:
            raise ValueError("a proof without a certificate")
        method, count, slack = certificate.method, certificate.count, certificate.tolerance
        return Proved(method, count, slack, None, seconds, certificate, checked=False)
    if certificate is not None:
        raise ValueError(f"a certificate, but the verdict {kind!r}")
    if kind == "refuted":
        # what `search.confirm` finds out anew, and what need not have been drawn
        later: dict[str, Any] = {"state": "", "symbol": "", "shares": []}
        values = {**later, **document["counterexample"]}
        if values.keys() != {f.name for f in fields(Refuted)} - {"seconds"}:
            raise ValueError("its counterexample is not one")
        if not {type(values["state"]), type(values["symbol"])} <= {str}:
            raise TypeError("its counterexample is in no state, or reads no symbol")
        values["shares"] = tuple(map(_share, values["shares"]))
        numbers = [values[key] for key in ("digits", "position")]
        said = [values["answered"], values["expected"], *values["operands"]]
        if type(values["operands"]) is not list or type(values["shortest"]) is not bool:
            raise TypeError("its counterexample is not one")
        whole = all(type(number) is int for number in numbers)
        if not whole or {type(each) for each in said} not in ({int}, {str}):
            raise TypeError("its counterexample is not made of whole numbers, or of words")
        if not 0 <= values["position"] < values["digits"] <= MOST_SYMBOLS:
            raise ValueError("its counterexample is nowhere, or too long")
        return Refuted(**{**values, "operands": tuple(values["operands"])}, seconds=seconds)
    if kind == "undecided":
        if type(document["tried"]) is not list:
            raise TypeError("what was tried must be a list")
        return Undecided(tuple(map(str, document["tried"])), seconds, _effort(document))
    raise ValueError(f"unknown verdict {kind!r}")


def _share(document: Mapping[str, Any]) -> Share:
    values = {f.name: document[f.name] for f in fields(Share)}
    share = Share(**values)
    if {type(value) for value in values.values()} != {int}:
        raise TypeError("shares are made of whole numbers")
    if not 0 <= share.wrong <= share.problems or share.digits < 1 or share.problems < 1:
        raise ValueError("a share that cannot be")
    return share


def _effort(document: Mapping[str, Any]) -> Effort:
    effort = Effort(**(document.get("effort") or {}))
    numbers = effort.budget, effort.rate, effort.expected
    if {*map(type, numbers)} - {int, float} or type(effort.over) is not bool:
        raise TypeError("effort is not made of numbers")
    if {type(effort.done), type(effort.found)} != {int}:
        raise TypeError("effort is not made of whole numbers")
    if not all(0 <= number < inf for number in numbers):
        raise ValueError("an effort that cannot be")
    if not (effort.done >= 0 and effort.found >= 0):
        raise ValueError("an effort of fewer regions than none")
    return effort
