"""Codecs: how a problem is written as a word of symbols, and how outputs are read as its answer.

    Digits    integers, digit by digit: 118 + 8 is the word 0,0 1,0 1,0 0,1 ... of binary addition
    Letters   a text of symbols, for machines that are not about numbers: 0110, push "turn left"

A problem is a tuple of operands, of which `Letters` has one, the word as text.  What both know
of symbols is their number as digits: symbol `a` holds `digits_of(a)`, in base `base`.  Plain
Python, because the proof checker trusts it.
"""

import operator
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from string import Formatter
from typing import Any, ClassVar

from carrynet.errors import InputError, shorten
from carrynet.spec.machine import MOST_NAME, OPEN, Machine

DIGITS = "0123456789abcdef"
MAX_WORD = 10_000_000
"""The longest word, in symbols, that is read in one go; a longer one is refused."""
MOST_TEXT = 200
"""Characters in an equation, or in the name of what a state holds."""

Operand = int | str
Answer = int | str


@dataclass(frozen=True)
class Digits:
    """Integers from 0 on, digit by digit.

    Symbol `a` holds the digits of the operands in base `base`, the first operand most
    significant: `a = sum_j digit_j * base**(operands-1-j)`.  `headroom` is the number of
    digits that an answer can need beyond those of its operands.

    Raises `InputError` for what is not accepted.
    """

    base: int = 2
    operands: int = 1
    headroom: int = 0
    first: str = "least"  #: which digit is read first, the 'least' or the 'most' significant
    #: what the outputs are: the digits of a 'number', those of one in base's 'complement',
    #: which can be negative, or, the last of them, a 'relation' =, < or >
    answer: str = "number"
    memory: str = "state"  #: what the machine's state holds: 'carry', 'borrow', ...
    equation: str = ""  #: how a solved problem is written: '{} + {} = {answer}'

    def __post_init__(self) -> None:
        within("base", self.base, 2, 16)
        within("operands", self.operands, 1, 4)
        within("headroom", self.headroom, 0, 64)
        _among("first", self.first, ("least", "most"))
        _among("answer", self.answer, ("number", "complement", "relation"))
        if self.first == "most" and self.headroom:
            raise InputError("headroom is read last: with first = 'most' there can be none")
        _check_text("memory", self.memory)
        if self.equation:  # else the task's name stands in it
            _check_text("equation", self.equation)
            _check_equation(self.equation, self.operands)

    def check(self, machine: Machine) -> None:
        """Raise `InputError` for a machine whose symbols or outputs are not such digits."""
        if len(machine.symbols) != self.base**self.operands:
            raise InputError(
                f"{self.operands} operand{'s' * (self.operands > 1)} in base {self.base} make "
                f"{self.base**self.operands} symbols, the machine has {len(machine.symbols)}"
            )
        outputs = len(machine.outputs)
        if self.answer == "relation":
            if outputs != 3:
                raise InputError(f"a relation needs the 3 outputs =, < and >, not {outputs}")
        elif not 2 <= outputs <= self.base:
            raise InputError(
                f"the machine needs from 2 to {self.base} outputs, the digits of base {self.base}"
            )

    def digits_of(self, symbol: int) -> tuple[int, ...]:
        """The digit of each operand that a symbol holds."""
        return tuple(
            symbol // self.base ** (self.operands - 1 - j) % self.base for j in range(self.operands)
        )

    def encode(self, operands: Sequence[Operand], digits: int | None = None) -> list[int]:
        """The word of a problem: `digits + headroom` symbols.

        `digits` defaults to as many as the longest operand has, at least one.
        Raises `InputError` for operands that are negative, not integers, of the
        wrong number, longer than `digits`, or longer than `MAX_WORD`.
        """
        if len(operands) != self.operands:
            raise InputError(
                f"the task takes {self.operands} operand{'s' * (self.operands > 1)}, "
                f"not {len(operands)}"
            )
        numbers = [_whole(value) for value in operands]
        columns = [to_digits(number, self.base) for number in numbers]
        longest = max(map(len, columns))
        digits = longest if digits is None else operator.index(digits)
        if longest > digits:
            raise InputError(f"an operand has {longest} digits in base {self.base}, not {digits}")
        if digits + self.headroom > MAX_WORD:
            raise InputError(
                f"a word of {digits + self.headroom:,} symbols is too long: "
                f"at most {MAX_WORD:,} are accepted"
            )
        word = [0] * (digits + self.headroom)
        for column in columns:
            column += [0] * (len(word) - len(column))
            word = [symbol * self.base + digit for symbol, digit in zip(word, column, strict=True)]
        return word[::-1] if self.first == "most" else word

    def problem(self, word: Sequence[int]) -> tuple[Operand, ...]:
        """The operands whose digits are the symbols of a word, of at least one symbol."""
        columns = zip(*(self.digits_of(symbol) for symbol in self._rising(word)), strict=True)
        return tuple(from_digits(column, self.base) for column in columns)

    def decode(self, outputs: Sequence[int | None]) -> Answer:
        """The answer that a word of outputs spells.

        Raises `InputError` where one of them is left open.
        """
        known = [out for out in outputs if out is not None]
        if len(known) < len(outputs):
            raise InputError("the machine leaves a digit of the answer open")
        if self.answer == "relation":
            return (0, -1, 1)[known[-1]]
        known = list(self._rising(known))
        value = from_digits(known, self.base)
        if self.answer == "complement" and 2 * known[-1] >= self.base:
            value -= int(self.base ** len(known))
        return value

    def write_answer(self, answer: Answer) -> str:
        """An answer as text: `126`, `<`."""
        if self.answer == "relation" and isinstance(answer, int):
            return "=><"[answer]
        return str(answer)

    def write(self, operands: Sequence[Operand], answer: Answer) -> str:
        """A solved problem as text: `118 + 8 = 126`, `5 < 9`."""
        return self.equation.format(*operands, answer=self.write_answer(answer))

    def to_table(self) -> dict[str, Any]:
        """As plain values: base, operands, and what is not as where nothing is said."""
        plain = {**asdict(Digits(operands=self.operands)), "base": None, "operands": None}
        return {key: value for key, value in asdict(self).items() if value != plain[key]}

    def _rising(self, symbols: Sequence[int]) -> Sequence[int]:
        """Symbols or outputs with the least significant first."""
        return symbols[::-1] if self.first == "most" else symbols


@dataclass(frozen=True)
class Letters:
    r"""Words of symbols, and the outputs, letter by letter.

    `0110` where all names are one character.  Where some are longer, commas or spaces stand
    between them, and a name with a comma, a space or a quotation mark in it is written as JSON
    writes it, in quotation marks: `push "turn left"`.  So any names can be told apart.  Seen as
    digits, a symbol is one, in base S, the number of symbols.

    >>> doors = Letters(("push", "turn left", 'say "no"'), ("0", "1"))
    >>> doors.encode((r'push, "turn left" "say \"no\""',))
    [0, 1, 2]
    >>> print(*doors.problem([1, 0]))
    "turn left" push
    """

    symbols: tuple[str, ...]
    outputs: tuple[str, ...]
    memory: str = "state"  #: what the machine's state holds

    headroom: ClassVar[int] = 0
    operands: ClassVar[int] = 1
    equation: ClassVar[str] = "{} -> {answer}"

    def __post_init__(self) -> None:
        _check_text("memory", self.memory)

    @property
    def base(self) -> int:
        """S."""
        return len(self.symbols)

    def check(self, machine: Machine) -> None:
        """Raise `InputError` for a machine of other names, or that answers nothing."""
        if (machine.symbols, machine.outputs) != (self.symbols, self.outputs):
            raise InputError("a codec of words needs the symbols and outputs of its machine")
        if len(machine.outputs) < 2:
            raise InputError("the machine needs at least 2 outputs: with one there is no question")

    def digits_of(self, symbol: int) -> tuple[int, ...]:
        """A symbol's own number."""
        return (symbol,)

    def encode(self, operands: Sequence[Operand], digits: int | None = None) -> list[int]:
        """The symbols that a text names.

        Raises `InputError` for what is none of them, and where they are not `digits`, if given.
        """
        if len(operands) != 1 or not isinstance(operands[0], str):
            given = shorten(operands[0]) if len(operands) == 1 else f"{len(operands)} operands"
            raise InputError(
                f"the task takes one word of the symbols {self._listing()}, not {given}"
            )
        word = self._read(operands[0])
        if digits is not None and len(word) != digits:
            raise InputError(f"the word has {len(word):,} symbols, not {digits:,}")
        return word

    def _read(self, text: str) -> list[int]:
        number = {name: a for a, name in enumerate(self.symbols)}
        if len(text) > MAX_WORD * (2 * MOST_NAME + 3):  # every character escaped
            raise InputError(f"a word is too long: at most {MAX_WORD:,} symbols are accepted")
        if _short(self.symbols):  # 0, 1, 1 as well as 011
            names = [name for name in text if name in number or not _between(name)]
        else:
            names = _parted(text)
        if not 1 <= len(names) <= MAX_WORD:
            raise InputError(
                f"a word of {len(names):,} symbols: from 1 to {MAX_WORD:,} are accepted"
            )
        for name in names:
            if name not in number:
                raise InputError(f"{shorten(name)} is no symbol: accepted are {self._listing()}")
        return [number[name] for name in names]

    def _listing(self) -> str:
        return listing(self.symbols if _short(self.symbols) else list(map(_apart, self.symbols)))

    def problem(self, word: Sequence[int]) -> tuple[Operand, ...]:
        """A word of at least one symbol, as text, which `encode` reads back."""
        return (_spelt([self.symbols[a] for a in word], self.symbols),)

    def decode(self, outputs: Sequence[int | None]) -> Answer:
        """The outputs, written out, with `OPEN` for what is left open."""
        names = [OPEN if out is None else self.outputs[out] for out in outputs]
        return _spelt(names, self.outputs)

    def write_answer(self, answer: Answer) -> str:
        """An answer as text, which it is."""
        return str(answer)

    def write(self, operands: Sequence[Operand], answer: Answer) -> str:
        """A solved problem as text: `0110 -> 0100`."""
        return self.equation.format(*operands, answer=answer)


def _short(alphabet: Sequence[str]) -> bool:
    """Whether names need nothing between them."""
    return all(len(name) == 1 for name in alphabet)


def _between(character: str) -> bool:
    return character == "," or character.isspace()


def _spelt(names: Sequence[str], alphabet: Sequence[str]) -> str:
    """Names of symbols or outputs as one text, which cannot be that of others."""
    if _short(alphabet):
        return "".join(names)
    written = {name: _apart(name) for name in set(names)}
    return " ".join(written[name] for name in names)


def _apart(name: str) -> str:
    """A name as it is written where names stand apart."""
    return quoted(name) if any(sign in name for sign in ', "') else name


def quoted(text: str) -> str:
    """Printable text in quotation marks, as JSON and TOML read it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _parted(text: str) -> list[str]:
    """The names in a text that stand apart; the inverse of `_spelt`.  Raises `InputError`."""
    if '"' not in text:
        return text.replace(",", " ").split()
    name_at = re.compile(r"""[\s,]*(?:"((?:[^"\\]|\\["\\])*)"|([^\s,"]+))(?=[\s,]|\Z)""").match
    names, place, end = [], 0, len(text)
    while _between(text[end - 1]):  # the text has a quotation mark
        end -= 1
    while place < end:
        match = name_at(text, place)
        if match is None:
            rest = shorten(text[place : place + 60].lstrip(", "))
            raise InputError(
                f"a word cannot be read from {rest} on: a name with a comma, a space or a "
                'quotation mark in it is written in quotation marks, as in JSON: "say \\"no\\""'
            )
        place, (within, plain) = match.end(), match.groups()
        names.append(plain if within is None else re.sub(r"\\(.)", r"\1", within))
    return names


Codec = Digits | Letters
"""Either kind."""


def from_table(table: Any) -> Digits:
    """The inverse of `Digits.to_table`; raises `InputError` for unknown keys and values."""
    if not isinstance(table, dict):
        raise InputError("numbers must be a table, headed [numbers]")
    known = tuple(Digits.__dataclass_fields__)
    for key in table:
        if key not in known:
            raise InputError(
                f"unknown key {shorten(key)} of [numbers]: accepted: {', '.join(known)}"
            )
    for key in ("first", "answer", "memory", "equation"):
        if not isinstance(table.get(key, ""), str):
            raise InputError(f"{key} must be text, not {shorten(table[key])}")
    return Digits(**table)


def listing(names: Sequence[str], most: int = 12) -> str:
    """Some names, in short."""
    more = f", ... ({len(names):,} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def to_digits(value: int, base: int) -> list[int]:
    """The digits of an integer >= 0, least significant first, at least one.

    Long numbers are halved until they are short, which keeps the cost far below
    that of one division for each digit.
    """
    if base in (2, 16):  # Python's own conversions, linear in the length
        text = f"{value:b}" if base == 2 else f"{value:x}"
        return [DIGITS.index(character) for character in reversed(text)]
    if value.bit_length() <= 512:
        digits = [value % base]
        while value := value // base:
            digits.append(value % base)
        return digits
    half = value.bit_length() // (2 * base.bit_length())
    high, low = divmod(value, base**half)
    lower = to_digits(low, base)
    return lower + [0] * (half - len(lower)) + to_digits(high, base)


def from_digits(digits: Sequence[int], base: int) -> int:
    """The integer whose digits, least significant first, are given."""
    if len(digits) <= 64:
        value = 0
        for digit in reversed(digits):
            value = value * base + digit
        return value
    if base == 2:
        return int("".join("01"[digit] for digit in reversed(digits)), 2)
    half = len(digits) // 2
    low, high = from_digits(digits[:half], base), from_digits(digits[half:], base)
    return low + high * int(base**half)


def within(name: str, value: object, low: int, high: int) -> None:
    """Raise `InputError` unless a value is a whole number between two others."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"{name} must be a whole number from {low} to {high}, not {shorten(value)}"
        )


def _among(name: str, value: object, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise InputError(f"{name} must be one of {', '.join(accepted)}, not {shorten(value)}")


def _whole(value: Any) -> int:
    if not hasattr(value, "__index__"):
        raise InputError(f"operand {shorten(value)} is not an integer")
    number = operator.index(value)
    if number < 0:
        raise InputError(f"operand {shorten(value)} is negative: accepted are 0, 1, 2, ...")
    # log2(base) <= 4 bits a digit, so this bound costs nothing and is never too strict
    if number.bit_length() > 4 * MAX_WORD:
        raise InputError(f"an operand is longer than {MAX_WORD:,} digits")
    return number


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str) or not text.isprintable() or not 1 <= len(text) <= MOST_TEXT:
        raise InputError(
            f"{name} must be printable text of 1 to {MOST_TEXT} characters, not {shorten(text)}"
        )


def _check_equation(equation: str, operands: int) -> None:
    """An equation is text, `{}` or `{0}` for operands, and `{answer}`: nothing is looked up."""
    try:
        fields = [(name, spec, conv) for _, name, spec, conv in Formatter().parse(equation)]
        plain = all(
            name is None or ((name in ("", "answer") or name.isdecimal()) and not spec and not conv)
            for name, spec, conv in fields
        )
        if not plain:
            raise ValueError("its fields are {} for each operand, and {answer}")
        equation.format(*("0" * operands), answer="0")
    except (IndexError, KeyError, ValueError) as error:
        raise InputError(f"equation {shorten(equation)} is not one: {error}") from None
