"""Certificates: what is claimed of a network, for numbers of any length, and why it is true.

A certificate is an *inductive invariant*: finitely many regions of hidden space, each
labelled with a state of the task's machine, such that

    start    the network's start lies in region 0, which is labelled with the start state;
    step     from every region, under every symbol, the next hidden state, moved by up to
             `slack` in every unit, lies in a region labelled with the machine's next state;
    output   all over that region the readout gives the machine's output.

By induction over its length, every word is then answered rightly.  In place of `step`, every
word that begins in a region may be followed for several steps, its outputs right on the way,
until it lies in some region: then the words that are followed are the region's tree.  The states
after a word may be followed in two parts, each to regions of its own.  Or the regions are single
states, of a network that never rounds and comes to finitely many.

Plain Python, because the checker trusts this module; what finds certificates is in `search`,
`boxes`, `trees` and `closure`, what believes them in `check`.  All numbers are exact.  A
certificate says in full what it is about, so that nothing has to be looked up by a name.  The
JSON of all kinds:

    format, version   "carrynet-certificate", 2
    claim             the theorem in words; it names machine, encoding, equations and weights by
                      their SHA-256
    method            "boxes", "trees" or "states"
    task              its text, as a recipe has it
    machine           its tables, with the encoding; see `spec.tables`
    cell, readout     the equations of the network; see `nets.formula`
    start             the state before the first symbol (D numbers)
    weights_sha256    of the network, by `Model.digest`

of boxes, numbers being whole multiples of 2^-bits:

    bits, slack
    regions           for each: name (a history, for readers), state (of the machine),
                      lower, upper (D numbers each), next (a region for each symbol)

of trees, numbers being doubles, which JSON's decimals stand for to the last bit:

    slack
    metrics           some T (H, H) each
    metric_of         for each region, which of them: it is the ball |T (h - centre)| <= radius,
                      region 0 the start
    centres, radii, states
    trees             for each region a list with an entry for each symbol: the number of the
                      region that holds every state after it, or again such a list; or, where
                      the states are cut in two, a table: axis, a letter of `AXIS` for each unit,
                      and parts, the entries of those where axis . (h - c) is positive and not,
                      c the centre of the ellipsoid that the checker has come to

of states, numbers being doubles:

    states            for each, of the machine
    values            for each, of the network (D numbers)
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import cached_property
from math import inf, isfinite, nextafter
from sys import float_info
from types import MappingProxyType
from typing import Any, ClassVar

from carrynet import files
from carrynet.errors import CarrynetError, InputError, shorten
from carrynet.proof.model import EPSILON, Matrix, of_type
from carrynet.spec.tables import from_facts
from carrynet.spec.task import Task

HEAD = MappingProxyType({"format": "carrynet-certificate", "version": 2})
"""What every certificate begins with."""
MOST_BITS = 64
MOST_BYTES = 96 * 2**20
"""The largest file of a certificate that is read.

Those of 20,000 boxes with 100 successors have some 60 MB.  How much memory one takes is bounded
by `files.MOST_VALUES`: reading and checking it take less than 1 GB.
"""
AXIS = "ihgfedcba0123456789"
"""The letters of an axis, one for each unit, stand for -9 to 9: its direction need not be exact."""
MOST_INCLUSIONS = 70_000_000
"""The most that the checker compares: regions times symbols times units; about a minute."""


class Rejected(CarrynetError):
    """A certificate that does not prove its claim; the message says where it fails."""


def require(condition: bool, what: str) -> None:
    """Reject a certificate unless a condition holds."""
    if not condition:
        raise Rejected(f"the certificate is rejected: {what}")


def require_numbers(rows: Sequence[Sequence[float]], dtype: str) -> None:
    """Reject a model unless all of its numbers are finite, and of its type."""
    require(dtype in EPSILON, "the model's type is unknown")
    finite = all(isfinite(number) for row in rows for number in row)
    require(finite, "the model's weights are not all finite")
    same = all(of_type(row, dtype) for row in rows)
    require(same, f"the model's weights are not numbers of {dtype}")


def below(number: Any) -> float:
    """The largest double that is not larger than a fraction, or an exact ball.

    So that no more is said than was checked.
    """
    nearest = float(number)
    return nearest if nearest <= number else nextafter(nearest, -inf)


@dataclass(frozen=True)
class Region:
    """A box of hidden space, one interval for each unit, in units of 2^-bits."""

    name: str
    state: int
    lower: tuple[int, ...]
    upper: tuple[int, ...]
    next: tuple[int, ...]  #: the region that follows under each symbol


@dataclass(frozen=True)
class _Claim:
    """What a certificate is about; see the module."""

    task: str
    machine: Any
    cell: str
    readout: str
    start: Sequence[float]
    weights_sha256: str

    method: ClassVar[str]

    @property
    def tolerance(self) -> float:
        """The slack, as a number."""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """How many regions there are."""
        raise NotImplementedError

    @cached_property
    def specification(self) -> Task:
        """The task.  Raises `InputError` where its machine is not the one that its text names."""
        return from_facts({"task": self.task, "machine": self.machine})

    @property
    def claim(self) -> str:
        """The theorem in words."""
        task = self.specification
        cell, readout = (files.sha256(text.encode()) for text in (self.cell, self.readout))
        return (
            f"For the task {task.name}, of the machine {task.machine.digest()} and the encoding "
            f"{task.encoding.digest()}, the network of the cell {cell} and the readout {readout}, "
            f"with the weights {self.weights_sha256}, begun at its start, answers every word of "
            f"symbols of every length as the machine does: {self.arithmetic}.  Machine, encoding, "
            "equations and weights are named by their SHA-256."
        )

    @property
    def arithmetic(self) -> str:
        """In which arithmetic the theorem holds."""
        return (
            "in exact arithmetic, in that of the weights' own type, and in any other whose error "
            f"in each hidden unit at each step is at most {self.tolerance!r} and whose readout is "
            "exact"
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON; see the module."""
        head = {**HEAD, "claim": self.claim, "method": self.method}
        return {**head, **{f.name: getattr(self, f.name) for f in fields(self)}}

    def text(self) -> str:
        """As JSON."""
        return files.json_text(self.to_json())


@dataclass(frozen=True)
class TreeCertificate(_Claim):
    """Balls, and where every word from them ends.  Region 0 is the start point."""

    slack: float
    metrics: Sequence[Matrix]  #: (K, H, H), by the first of which a word's ellipsoid is made least
    metric_of: Sequence[int]  #: (G,)
    centres: Matrix  #: (G, H)
    radii: Sequence[float]  #: (G,)
    states: Sequence[int]  #: (G,)
    trees: Sequence[Any]  #: (G,) nested lists, and tables of an axis and two parts

    method: ClassVar[str] = "trees"

    def text(self) -> str:
        """As JSON, one key a line: trees are nested too deeply to be indented."""
        return files.json_text(self.to_json(), deep=False)

    @property
    def tolerance(self) -> float:
        """The slack."""
        return self.slack

    @property
    def count(self) -> int:
        """How many regions there are."""
        return len(self.radii)

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> "TreeCertificate":
        _require(_number(values["slack"]), "slack must be a number")
        metrics, trees = values["metrics"], values["trees"]
        good = isinstance(metrics, list) and all(map(_matrix, metrics))
        _require(good, "metrics must be lists of lists of numbers")
        _require(_matrix(values["centres"]), "centres must be lists of numbers")
        _require(_numbers(values["radii"]), "radii must be numbers")
        for key in ("metric_of", "states"):
            good = isinstance(values[key], list) and all(map(_whole, values[key]))
            _require(good, f"{key} must be whole numbers")
        _require(isinstance(trees, list), "trees must be a list")
        todo = list(trees)
        while todo:
            tree = todo.pop()
            if isinstance(tree, dict):
                good = tree.keys() == {"axis", "parts"} and isinstance(tree["parts"], list)
                _require(good, "a cut must have an axis and a list of parts")
                good = isinstance(tree["axis"], str) and set(tree["axis"]) <= set(AXIS)
                _require(good, f"an axis must be text of {AXIS}")
                tree = tree["parts"]
            _require(isinstance(tree, list), "a tree must be a list, or a cut")
            todo += [entry for entry in tree if not _whole(entry)]
        return cls(**values)


@dataclass(frozen=True)
class BoxCertificate(_Claim):
    """Boxes that prove a network right."""

    bits: int
    slack: int
    regions: tuple[Region, ...]

    method: ClassVar[str] = "boxes"

    @property
    def tolerance(self) -> float:
        """The slack, as a number, which is no larger."""
        return below(Fraction(self.slack, 2**self.bits))

    @property
    def count(self) -> int:
        """How many regions there are."""
        return len(self.regions)

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON; see the module."""
        return {**super().to_json(), "regions": [asdict(region) for region in self.regions]}

    @property
    def inclusions(self) -> int:
        """How many intervals the checker finds inside others: one a region, symbol and unit."""
        return sum(len(region.next) * len(region.lower) for region in self.regions)

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> "BoxCertificate":
        bits = values["bits"]
        _require(_whole(bits) and 0 <= bits <= MOST_BITS, f"bits must be from 0 to {MOST_BITS}")
        _require(_whole(values["slack"]), "slack must be a whole number")
        _require(isinstance(values["regions"], list), "regions must be a list")
        regions = []
        for i, entry in enumerate(values["regions"]):
            where = f"region {i}"
            _require(isinstance(entry, Mapping), f"{where} is not a table")
            _keys(entry, Region, f" of {where}")
            _require(isinstance(entry["name"], str), f"the name of {where} must be text")
            _require(_whole(entry["state"]), f"the state of {where} must be a whole number")
            lists = {key: entry[key] for key in ("lower", "upper", "next")}
            for key, numbers in lists.items():
                good = isinstance(numbers, list) and all(map(_whole, numbers))
                _require(good, f"{key} of {where} must be whole numbers")
            tuples = {key: tuple(numbers) for key, numbers in lists.items()}
            regions.append(Region(entry["name"], entry["state"], **tuples))
        certificate = cls(**{**values, "regions": tuple(regions)})
        size = certificate.inclusions
        few = f"it has {size:,} inclusions, of at most {MOST_INCLUSIONS:,} that are checked"
        _require(size <= MOST_INCLUSIONS, few)
        return certificate


@dataclass(frozen=True)
class StateCertificate(_Claim):
    """Every state that any word leads to, of a network that never rounds."""

    states: Sequence[int]  #: (N,)
    values: Matrix  #: (N, D)

    method: ClassVar[str] = "states"

    @property
    def tolerance(self) -> float:
        """None: of states that are a little off nothing is claimed."""
        return 0.0

    @property
    def arithmetic(self) -> str:
        """In which arithmetic the theorem holds."""
        return "in exact arithmetic, and in that of the weights' own type, where nothing is rounded"

    @property
    def count(self) -> int:
        """How many states there are."""
        return len(self.states)

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> "StateCertificate":
        states, rows = values["states"], values["values"]
        whole = isinstance(states, list) and all(map(_whole, states))
        _require(whole, "states must be whole numbers")
        _require(_matrix(rows), "values must be lists of numbers")
        return cls(**values)


Certificate = BoxCertificate | TreeCertificate | StateCertificate
"""Any kind."""

KINDS = MappingProxyType(
    {kind.method: kind for kind in (BoxCertificate, TreeCertificate, StateCertificate)}
)


def from_json(document: Any) -> Certificate:
    """The inverse of `to_json`.

    Raises `InputError` for whatever is not a certificate in full: missing and unknown keys,
    numbers that are none, a claim that says something else.
    """
    _require(isinstance(document, Mapping), "it is not a table")
    try:
        files.require_version(document, HEAD)
    except ValueError as error:
        raise InputError(f"not a certificate: {error}") from None
    kind = KINDS.get(str(document.get("method")))
    if kind is None:
        raise InputError(f"not a certificate: its method is not one of {', '.join(KINDS)}")
    head = ("format", "version", "claim", "method")
    values = {key: value for key, value in document.items() if key not in head}
    if kind is TreeCertificate and not {"metrics", "metric_of"} & values.keys():
        # of the only metric, as it was once written
        values["metrics"] = [values.pop("metric", None)]
        radii = values.get("radii")
        values["metric_of"] = [0] * len(radii) if isinstance(radii, list) else []
    _keys(values, kind)
    for key in ("task", "cell", "readout", "weights_sha256"):
        _require(isinstance(values[key], str), f"{key} must be text")
    _require(_numbers(values["start"]), "start must be numbers")
    claimed = document.get("claim")
    try:
        certificate: Certificate = kind._from_values(values)
        claim = certificate.claim
    except (InputError, OverflowError, UnicodeError) as error:
        raise InputError(f"not a certificate: {error}") from None
    _require(claimed == claim, "its claim is not what its numbers say")
    return certificate


def _keys(given: Mapping[str, Any], kind: type, of: str = "") -> None:
    wanted = {f.name for f in fields(kind)}
    for key in wanted - given.keys():
        raise InputError(f"not a certificate: {key}{of} is missing")
    for key in given.keys() - wanted:
        raise InputError(f"not a certificate: unknown key {shorten(key)}{of}")


def _number(value: Any) -> bool:
    # a whole number may be larger than any float, of which isfinite makes an error
    return type(value) in (int, float) and abs(value) <= float_info.max


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and all(map(_number, values))


def _matrix(rows: Any) -> bool:
    return isinstance(rows, list) and all(map(_numbers, rows))


def _whole(value: Any) -> bool:
    return type(value) is int


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise InputError(f"not a certificate: {what}")
