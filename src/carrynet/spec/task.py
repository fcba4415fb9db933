"""Tasks: a machine, how problems become words for it, and what the network is fed.

The same machine gives training targets, exhaustive evaluation, proofs and drawings; the codec
says how a problem is written as a word and how outputs are read back; the encoding says what
the network is fed for each symbol.  A task is known by its digest, which covers all of these,
and never by a name in a table.  Plain Python, because the proof checker trusts this module.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from carrynet.errors import InputError, shorten
from carrynet.spec.codec import Answer, Codec, Digits, Letters, Operand
from carrynet.spec.encoding import Encoding, usual
from carrynet.spec.machine import Machine

SHORT = 12
"""Hexadecimal digits of its digest by which a task of one's own is told from others."""


@dataclass(frozen=True, eq=False)
class Task:
    """What to compute.

    `text` is how a recipe names it: `add:base=3` for one that is built in; `NAME@DIGEST` for
    one's own, with the first `SHORT` digits of its digest, so that two of one name are told
    apart.  Tasks are equal exactly where their digests are.

    Raises `InputError` where the parts do not fit together, or the digest in the text is not
    the task's.
    """

    text: str
    machine: Machine
    codec: Codec
    encoding: Encoding

    def __post_init__(self) -> None:
        try:
            self.codec.check(self.machine)
            self.encoding.check(self.codec)
        except InputError as error:
            raise InputError(f"task {self.name}: {error}") from None
        if not self.machine.asks:
            raise InputError(f"task {self.name}: the machine asks nothing: every output is open")
        if self.own and self.text != f"{self.name}@{self.digest()[:SHORT]}":
            raise InputError(
                f"task {shorten(self.text)}: its machine was changed since, whose digest begins "
                f"with {self.digest()[:SHORT]}"
            )

    def __repr__(self) -> str:
        return f"Task({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Task) and self.digest() == other.digest())

    def __hash__(self) -> int:
        return hash(self._digest)

    def digest(self) -> str:
        """SHA-256 over everything that decides what is computed and how it is told.

        Of the JSON of name, machine's digest, codec and encoding; 64 hexadecimal digits.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        codec = self.codec
        how = asdict(codec) if isinstance(codec, Digits) else {"memory": codec.memory}
        kind = type(codec).__name__
        encoding = [self.encoding.kind, self.encoding.table]
        parts = [self.name, self.machine.digest(), kind, sorted(how.items()), encoding]
        return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()

    @property
    def name(self) -> str:
        """The text without a digest."""
        return self.text.partition("@")[0]

    @property
    def own(self) -> bool:
        """Whether it is a task of one's own, which a recipe must carry along."""
        return "@" in self.text

    @property
    def identity(self) -> str:
        """Name and whole digest: what digests of networks cover."""
        return f"{self.name}@{self.digest()}"

    @property
    def family(self) -> str:
        """What is built in without its parameters, `add`; one's own is a family by itself."""
        return self.text if self.own else self.text.partition(":")[0]

    @property
    def base(self) -> int:
        """Of the digits that symbols are made of; for words, S."""
        return self.codec.base

    @property
    def operands(self) -> int:
        """How many operands a problem has; a word is one."""
        return self.codec.operands

    @property
    def headroom(self) -> int:
        """How many more digits an answer can have than the operands: so many zeros are read."""
        return self.codec.headroom

    @property
    def memory(self) -> str:
        """What the machine's state holds: 'carry', 'borrow', 'state', ..."""
        return self.codec.memory

    @property
    def equation(self) -> str:
        """How a solved problem is written: '{} + {} = {answer}'."""
        return self.codec.equation

    @property
    def numeric(self) -> bool:
        """Whether problems are numbers."""
        return isinstance(self.codec, Digits)

    @property
    def inputs(self) -> int:
        """X, the length of a symbol's vector."""
        return self.encoding.inputs(self.codec)

    def vector(self, symbol: int) -> tuple[float, ...]:
        """What the network is fed for a symbol: X numbers."""
        return self.encoding.vector(self.codec, symbol)

    @property
    def readout(self) -> str:
        """'bits': one output neuron, rounded; 'argmax': one output neuron for each output."""
        return "bits" if len(self.machine.outputs) == 2 else "argmax"

    @property
    def neurons(self) -> int:
        """Y, the number of output neurons."""
        return 1 if self.readout == "bits" else len(self.machine.outputs)

    def digits_of(self, symbol: int) -> tuple[int, ...]:
        """The digit of each operand that a symbol holds."""
        return self.codec.digits_of(symbol)

    def encode(self, operands: Sequence[Operand], digits: int | None = None) -> list[int]:
        """The word of a problem, `digits + headroom` symbols; see the codec.

        Raises `InputError` for operands that the task does not take.
        """
        return self.codec.encode(operands, digits)

    def problem(self, word: Sequence[int]) -> tuple[Operand, ...]:
        """The operands that a word stands for, all of its symbols being theirs."""
        return self.codec.problem(word)

    def decode(self, outputs: Sequence[int | None]) -> Answer:
        """The answer that a word of outputs spells."""
        return self.codec.decode(outputs)

    def answer(self, *operands: Operand) -> Answer:
        """The right answer, by the machine."""
        return self.decode(self.machine.transduce(self.encode(operands)))

    def write_answer(self, answer: Answer) -> str:
        """An answer as text: `126`, `<`."""
        return self.codec.write_answer(answer)

    def write(self, operands: Sequence[Operand], answer: Answer) -> str:
        """A solved problem as text: `118 + 8 = 126`, `5 < 9`, `0110 -> 0100`."""
        return self.codec.write(operands, answer)


def own(
    name: str, machine: Machine, *, codec: Codec | None = None, encoding: Encoding | None = None
) -> Task:
    """A task of one's own: words of the machine's symbols, or, with `Digits`, numbers.

    For example the parity of the ones so far:

    >>> flip = ((0, 1), (1, 0))
    >>> parity = own("parity", Machine(("even", "odd"), ("0", "1"), ("0", "1"), flip, flip))
    >>> parity.answer("1101")
    '1001'

    Raises `InputError` for a name that is no plain word, and what `Task` does.
    """
    said: Any = name
    if not isinstance(said, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_:=,-]{0,63}", name):
        raise InputError(
            "a task's name must be a word of up to 64 letters, digits, '_' and '-', "
            f"not {shorten(name)}"
        )
    codec = codec or Letters(machine.symbols, machine.outputs)
    if isinstance(codec, Digits) and not codec.equation:
        operands = ", ".join(["{}"] * codec.operands)
        codec = replace(codec, equation=f"{name}({operands}) = {{answer}}")
    encoding = encoding or usual(codec)
    plain = Task(name, machine, codec, encoding)
    return Task(f"{name}@{plain.digest()[:SHORT]}", machine, codec, encoding)
