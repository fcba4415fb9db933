"""Which named tensors are carrynet's weights: expressions, as `--map` takes them.

    sum      = product { "+" product }
    product  = factor { ("@" | "*") factor }        @ of matrices; * with a number, as in 2*W
    factor   = number | ( NAME | "(" sum ")" ) { ".T" | "[" slices "]" }
    slices   = slice [ "," slice ],   slice = i | [i] ":" [i]          as in NumPy

A name that a tensor has is a name, whatever it looks like: the longest that fits is taken.
Everything is computed in float64.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping as AbstractMapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.errors import InputError, shorten, unknown
from carrynet.exchange.layered import check_bias, logit
from carrynet.files import brief
from carrynet.nets.arrays import Array

Tensors = AbstractMapping[str, NDArray[Any]]

MATRICES, BIASES = ("Wxh", "Whh", "Why"), ("bh", "by")
NO_BIAS = "0"
"""What `bh` and `by` are where the network has no such bias."""


@dataclass(frozen=True)
class Mapping:
    """How named tensors become carrynet's weights, as far as that is said.

    Each weight is an expression: a tensor's name, `NAME.T` for its transpose, `NAME[:, :2]`
    for a part of it, sums, products.  `bh=0` and `by=0` say that there is no such bias.
    For a task with binary output, `Why` may have two columns, the logits of 0 and of 1, of
    which the larger wins.  The output is 1 where the logit (of 1 less that of 0, if there
    are two) exceeds `logit`, or where its sigmoid exceeds the probability `p`:

        sigmoid(y) > p   where   y > log(p / (1 - p))

    `threshold` is one of the two, whichever is right.

    >>> Mapping.parse(["Wxh=weight_ih_l0.T,bh=bias_ih_l0+bias_hh_l0", "p=0.5"])
    Mapping(Wxh='weight_ih_l0.T', bh='bias_ih_l0+bias_hh_l0', p=0.5)
    >>> print(_)
    Wxh=weight_ih_l0.T,bh=bias_ih_l0+bias_hh_l0,p=0.5
    """

    Wxh: str = ""  #: (x, H)
    Whh: str = ""  #: (H, H)
    bh: str = ""  #: (H,)
    Why: str = ""  #: (H, y)
    by: str = ""  #: (y,)
    logit: float | None = None
    p: float | None = None  #: between 0 and 1
    threshold: float | None = None  #: logit or p

    def __post_init__(self) -> None:
        cuts = {key: value for key in _CUTS if (value := getattr(self, key)) is not None}
        if len(cuts) > 1:
            raise InputError(f"{' and '.join(cuts)} say the same thing: give one of them")
        for key, value in cuts.items():
            if not math.isfinite(value):
                raise InputError(f"{key} {value} is not finite")
        if self.p is not None and not 0 < self.p < 1:
            raise InputError(f"p must be a probability between 0 and 1, not {self.p:g}")

    def __repr__(self) -> str:
        return f"Mapping({', '.join(f'{key}={value!r}' for key, value in self._said())})"

    def __str__(self) -> str:
        return ",".join(f"{key}={str(value).removesuffix('.0')}" for key, value in self._said())

    def _said(self) -> Iterator[tuple[str, Any]]:
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self))
        return ((key, value) for key, value in pairs if value not in ("", None))

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Mapping":
        """A mapping from texts `KEY=EXPRESSION`, each one or several with commas between.

        Raises `InputError` for unknown keys, and for keys without or with two expressions.
        """
        keys = [f.name for f in fields(cls)]
        comma = rf",(?=\s*(?:{'|'.join(keys)})\s*=)"  # names and slices have commas, too
        said: dict[str, Any] = {}
        for part in (part for text in texts for part in re.split(comma, text)):
            key, _, expression = (piece.strip() for piece in part.partition("="))
            if key not in keys:
                raise unknown("weight", key, keys)
            if not expression:
                example = "0.5" if key in _CUTS else f"NAME or {key}=NAME.T"
                needs = "a number" if key in _CUTS else "the name of a tensor"
                raise InputError(f"{key} needs {needs}: {key}={example}")
            if key in said:
                raise InputError(f"{key} is given twice")
            said[key] = _number(key, expression) if key in _CUTS else expression
        return cls(**said)

    def has_part(self, name: str) -> bool:
        """Whether an expression has a part of a tensor, as in `W[:, 2:]`."""
        part = re.compile(rf"{re.escape(name)}(\.T)?\[")
        return any(part.search(text) for _, text in self.weights)

    def adding(self, key: str, value: str | float | None) -> "Mapping":
        """The mapping with something else said of one key."""
        said: dict[str, Any] = {key: value}
        return replace(self, **said)

    @property
    def weights(self) -> Iterator[tuple[str, str]]:
        """The weights that are said: name and expression."""
        return ((key, getattr(self, key)) for key in _WEIGHTS if getattr(self, key))

    @property
    def cuts(self) -> tuple[float, ...]:
        """Where the logit may be cut, the likeliest first; () where nothing is said."""
        if self.logit is not None:
            return (self.logit,)
        if self.p is not None:
            return (logit(self.p),)
        if self.threshold is None:
            return ()
        inside = 0 < self.threshold < 1
        both = (self.threshold, *([logit(self.threshold)] if inside else []))
        return tuple(dict.fromkeys(both))


_WEIGHTS = ("Wxh", "Whh", "bh", "Why", "by")
_CUTS = ("logit", "p", "threshold")


def _number(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{key} {shorten(text)} is not a number") from None


# Expressions -------------------------------------------------------------------------


@dataclass
class Made:
    """What an expression makes."""

    array: Array  #: float64; of shape (0,) for `NO_BIAS`
    #: The tensors in it, and whether each stands alone: not multiplied by anything
    names: dict[str, bool] = field(default_factory=dict)
    #: Which elements of each it takes, flattened
    taken: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


def evaluate(key: str, expression: str, tensors: Tensors) -> Made:
    """What an expression makes of tensors, in float64.

    Raises `InputError`, which names the key, for names that no tensor has, tensors of other
    than numbers, shapes that do not go together, and whatever is no expression.
    """
    parser = _Parser(key, expression, tensors)
    value = parser.sum()
    parser.skip()
    if parser.rest:
        raise parser.error(f"{brief(parser.rest)} is not understood")
    if isinstance(value, float):
        if value != 0 or key not in BIASES:
            raise parser.error("a number is no weight; accepted is bh=0 or by=0, for no bias")
        return Made(np.zeros(0))
    return Made(value, parser.names, parser.taken)


MOST_NUMBERS = 2**24  # that an expression may make
MOST_WEIGHTS = 2**22  # in one tensor: the square of 1,024 units is a fourth of it
MOST_NAMES, MOST_DEPTH = 100, 20  # of tensors and of brackets in an expression
_FACTOR = re.compile(
    r"-?(?:\d{1,15}\.?\d{0,15}|\.\d{1,15})(?:[eE][-+]?\d{1,2})?(?=\s*(?:[*+@)]|$))"
)
_SLICES = re.compile(r"\[\s*(?P<first>[-\d:\s]*)(?:,(?P<second>[-\d:\s]*))?\]")
_SLICE = re.compile(
    r"\s*(?:(?P<index>-?\d{1,9})|(?P<low>-?\d{1,9})?\s*:\s*(?P<high>-?\d{1,9})?)\s*"
)
_UNKNOWN = re.compile(r"[^\s+*@()\[\]]+")


class _Parser:
    """Reads an expression from left to right, and computes as it goes."""

    def __init__(self, key: str, text: str, tensors: Tensors) -> None:
        self.key, self.text, self.tensors = key, text, tensors
        self.rest, self.depth, self.names = text, 0, dict[str, bool]()
        self.taken: dict[str, NDArray[np.bool_]] = {}

    def error(self, what: str) -> InputError:
        return InputError(f"{self.key}={brief(self.text)}: {what}")

    def skip(self) -> None:
        self.rest = self.rest.lstrip()

    def take(self, sign: str) -> bool:
        self.skip()
        found = self.rest.startswith(sign)
        self.rest = self.rest[len(sign) :] if found else self.rest
        return found

    def sum(self) -> Array | float:
        total = self.product()
        sizes = np.abs(total)
        while self.take("+"):
            term = self.product()
            if np.shape(total) != np.shape(term):
                raise self.error(f"shape {np.shape(term)} is added to shape {np.shape(total)}")
            with np.errstate(over="ignore", invalid="ignore"):
                total = total + term
                sizes = sizes + np.abs(term)
        if self.key in BIASES:
            check_bias(np.asarray(total), np.asarray(sizes))
        return total

    def product(self) -> Array | float:
        before = len(self.names)
        value, multiplied = self.factor(), False
        while (sign := "@" if self.take("@") else "*" if self.take("*") else "") != "":
            other, multiplied = self.factor(), True
            value = self.matrices(value, other) if sign == "@" else self.scaled(value, other)
        if multiplied:
            self.names |= dict.fromkeys(list(self.names)[before:], False)
        return value

    def scaled(self, a: Array | float, b: Array | float) -> Array | float:
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            raise self.error("* multiplies by a number, as in 2*W; @ multiplies matrices")
        with np.errstate(over="ignore", invalid="ignore"):
            return a * b

    def matrices(self, a: Array | float, b: Array | float) -> Array:
        if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
            raise self.error("@ multiplies matrices; by a number it is *")
        fits = a.ndim in (1, 2) and b.ndim in (1, 2) and a.shape[-1] == b.shape[0]
        if not fits:
            raise self.error(f"shape {a.shape} @ shape {b.shape} do not go together")
        rows, columns = a.size // max(1, a.shape[-1]), b.size // max(1, b.shape[0])
        if rows * columns * max(1, a.shape[-1]) > 2**6 * MOST_NUMBERS:
            raise self.error("the product takes too long")
        if rows * columns > MOST_NUMBERS:
            raise self.error(f"the product has more than {MOST_NUMBERS:,} numbers")
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(a @ b)

    def factor(self) -> Array | float:
        self.skip()
        value: Array | float
        name = self.name()
        if name is not None:
            self.rest = self.rest[len(name) :]
            value = self.tensor(name)
        elif number := _FACTOR.match(self.rest):
            self.rest = self.rest[number.end() :]
            return float(number[0])
        elif self.take("("):
            self.depth += 1
            if self.depth > MOST_DEPTH:
                raise self.error(f"there are more than {MOST_DEPTH} brackets in each other")
            value = self.sum()
            self.depth -= 1
            if not self.take(")"):
                raise self.error("a bracket is not closed")
        else:
            raise self.missing()
        places = np.arange(np.size(value)).reshape(np.shape(value))
        while isinstance(value, np.ndarray):
            if self.take(".T"):
                value, places = value.T, places.T
            elif self.rest.startswith("["):
                index = self.part(value)
                value, places = value[index], places[index]
            else:
                break
        if name is not None:
            taken = self.taken.setdefault(name, np.zeros(self.tensors[name].size, dtype=bool))
            taken[places.ravel()] = True
        return value

    def name(self) -> str | None:
        """The longest name of a tensor that stands here."""
        here = [n for n in self.tensors if n and self.rest.startswith(n) and self.ends(len(n))]
        return max(here, key=len, default=None)

    def ends(self, length: int) -> bool:
        after = self.rest[length:]
        return not after or after[0] in "+*@)[" or after[0].isspace() or after.startswith(".T")

    def tensor(self, name: str) -> Array:
        array = self.tensors[name]
        if array.dtype.kind not in "fiu":
            raise self.error(f"{shorten(name)} holds {array.dtype}, not weights")
        self.names.setdefault(name, True)
        if len(self.names) > MOST_NAMES:
            raise self.error(f"it has more than {MOST_NAMES} tensors")
        if array.size > MOST_WEIGHTS:  # before it is widened eightfold
            raise self.error(
                f"{shorten(name)} holds {array.size:,} numbers: "
                f"at most {MOST_WEIGHTS:,} are accepted"
            )
        low, high = (
            int(m(initial=0)) if array.dtype.kind != "f" else 0 for m in (array.min, array.max)
        )
        if max(-low, high) >= 2**53:
            raise self.error(f"{shorten(name)} holds whole numbers of 2^53 or more, not weights")
        return array.astype(np.float64)

    def part(self, array: Array) -> tuple[int | slice, ...]:
        found = _SLICES.match(self.rest)
        parts = [p for p in found.groups() if p is not None] if found else []
        read = [_SLICE.fullmatch(p) for p in parts]
        if not found or not all(read):
            raise self.error("a part of a tensor is written as in W[:, :2] or W[0]")
        self.rest = self.rest[found.end() :]
        index = tuple(
            int(m["index"])
            if m["index"]
            else slice(*(None if m[end] is None else int(m[end]) for end in ("low", "high")))
            for m in read
            if m
        )
        try:
            array[index]
            return index
        except IndexError:
            raise self.error(f"shape {array.shape} has no part {found[0]}") from None

    def missing(self) -> InputError:
        found = _UNKNOWN.match(self.rest)
        if found is None:
            where = f"before {brief(self.rest)}" if self.rest else "at its end"
            return self.error(f"the name of a tensor is missing {where}")
        name = found[0].removesuffix(".T")
        nearest = get_close_matches(name, self.tensors, n=1, cutoff=0.5)
        hint = f" did you mean {shorten(nearest[0])}?" if nearest else ""
        there = listing(self.tensors)
        return InputError(
            f"{self.key}: there is no tensor {shorten(name)};{hint} there are {there}"
        )


def names(mapping: Mapping, tensors: Tensors) -> set[str]:
    """The tensors that a mapping takes."""
    return {
        name
        for key, expression in mapping.weights
        for name in evaluate(key, expression, tensors).names
    }


def in_part(mapping: Mapping, tensors: Tensors) -> list[str]:
    """The tensors that a mapping takes, and of which all its weights together leave out elements.

    What is left out of a bracket, as in `(A + B)[:2]`, is not seen.
    """
    all_taken: dict[str, NDArray[np.bool_]] = {}
    for key, expression in mapping.weights:
        for name, taken in evaluate(key, expression, tensors).taken.items():
            all_taken[name] = all_taken.get(name, False) | taken
    return [name for name, taken in all_taken.items() if not taken.all()]


def listing(tensors: Tensors, chosen: Iterable[str] | None = None, most: int = 12) -> str:
    """Tensors with their shapes, fit for a terminal."""
    chosen = list(tensors if chosen is None else chosen)
    shown = [f"{shorten(name)} {tensors[name].shape}" for name in chosen[:most]]
    if len(chosen) > most:
        shown.append(f"{len(chosen) - most} more")
    return ", ".join(shown)
