"""Encodings: what a network is fed for each symbol, a table (S, X) of numbers.

    bits             the binary digits of the symbol's number: the operands' digits in base 2
    digits           each operand's digit one-hot, one after another
    one-hot          the symbol one-hot
    plus-minus-one   as bits, with -1 for 0
    number           each operand's digit as a number; of words, the symbol's number
    a table          of one's own, a vector for each symbol

Entries are numbers of float32, so that networks of either type are fed the same.  Plain
Python, because the proof checker trusts it.
"""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carrynet.errors import InputError, shorten, unknown
from carrynet.spec.codec import Codec, Digits

KINDS = ("bits", "digits", "one-hot", "plus-minus-one", "number")
MOST_INPUTS = 4096
MOST_INPUT = 1e6
"""The largest number, either way, that a network is fed."""


@dataclass(frozen=True)
class Encoding:
    """One of `KINDS`, or 'table' with a vector for each symbol.

    Raises `InputError` for another kind, and for a table that is ragged or not of numbers.
    """

    kind: str
    table: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in (*KINDS, "table"):
            raise unknown("encoding", self.kind, KINDS)
        if (self.kind == "table") != bool(self.table):
            raise InputError("an encoding has a table exactly where its kind is 'table'")
        rows = tuple(tuple(map(_single, row)) for row in self.table)
        if rows and (len({len(row) for row in rows}) > 1 or not 1 <= len(rows[0]) <= MOST_INPUTS):
            raise InputError(
                f"an encoding needs vectors of one length, from 1 to {MOST_INPUTS:,} numbers"
            )
        object.__setattr__(self, "table", rows)

    def digest(self) -> str:
        """SHA-256 of the JSON of [kind, table], as 64 hexadecimal digits."""
        text = json.dumps([self.kind, self.table], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def binary(self) -> bool:
        """Whether all entries are 0 or 1."""
        if self.kind == "table":
            return all(x in (0, 1) for row in self.table for x in row)
        return self.kind in ("bits", "digits", "one-hot")

    def check(self, codec: Codec) -> None:
        """Raise `InputError` for a table of another alphabet's size, or too many inputs."""
        symbols = codec.base**codec.operands
        if self.table and len(self.table) != symbols:
            raise InputError(f"the encoding has {len(self.table)} vectors for {symbols} symbols")
        if self.inputs(codec) > MOST_INPUTS:
            raise InputError(
                f"encoding {self.kind} has {self.inputs(codec):,} inputs for {symbols:,} symbols: "
                f"at most {MOST_INPUTS:,} are accepted"
            )

    def inputs(self, codec: Codec) -> int:
        """X, the length of a symbol's vector."""
        symbols = codec.base**codec.operands
        if self.kind == "table":
            return len(self.table[0])
        return {
            "digits": codec.operands * codec.base,
            "one-hot": symbols,
            "number": codec.operands,
        }.get(self.kind, _bits(symbols))

    def vector(self, codec: Codec, symbol: int) -> tuple[float, ...]:
        """What the network is fed for a symbol: X numbers."""
        if self.kind == "table":
            return self.table[symbol]
        if self.kind == "one-hot":
            return _one_hot([symbol], codec.base**codec.operands)
        if self.kind == "digits":
            return _one_hot(codec.digits_of(symbol), codec.base)
        if self.kind == "number":
            return tuple(map(float, codec.digits_of(symbol)))
        low = -1.0 if self.kind == "plus-minus-one" else 0.0
        count = _bits(codec.base**codec.operands)
        return tuple(1.0 if symbol >> j & 1 else low for j in reversed(range(count)))


def usual(codec: Codec) -> Encoding:
    """The encoding where none is said: bits in base 2, else digits one-hot; of words, one-hot."""
    if isinstance(codec, Digits):
        return Encoding("bits" if codec.base == 2 else "digits")
    return Encoding("one-hot")


def from_value(value: Any, symbols: Sequence[str]) -> Encoding:
    """An encoding as a file says it: a kind, or a table of vectors by the names of symbols."""
    if isinstance(value, str):
        return Encoding(value)
    if not isinstance(value, Mapping):
        raise InputError(
            f"encoding must be one of {', '.join(KINDS)}, or a vector for each symbol, "
            f"not {shorten(value)}"
        )
    for name in value.keys() - set(symbols):
        raise InputError(f"the encoding has a vector for {shorten(name)}, which is no symbol")
    for name in symbols:
        if not isinstance(value.get(name), list | tuple):
            raise InputError(f"the encoding has no vector for the symbol {shorten(name)}")
    return Encoding("table", tuple(tuple(value[name]) for name in symbols))


def to_value(encoding: Encoding, symbols: Sequence[str]) -> str | dict[str, list[float]]:
    """The inverse of `from_value`."""
    if encoding.kind != "table":
        return encoding.kind
    return {name: list(row) for name, row in zip(symbols, encoding.table, strict=True)}


def _bits(symbols: int) -> int:
    return max(1, (symbols - 1).bit_length())


def _one_hot(places: Sequence[int], size: int) -> tuple[float, ...]:
    vector = [0.0] * (len(places) * size)
    for j, place in enumerate(places):
        vector[j * size + place] = 1.0
    return tuple(vector)


def _single(value: Any) -> float:
    """The nearest number of float32."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(value) <= MOST_INPUT:
        raise InputError(
            f"a vector must be of numbers from {-MOST_INPUT:g} to {MOST_INPUT:g}, "
            f"not {shorten(value)}"
        )
    single: float = struct.unpack("f", struct.pack("f", value))[0]
    return single + 0.0  # and not -0
