"""Mealy machines: finite automata that answer every symbol they read.

A task *is* its machine: training targets, exhaustive evaluation, proofs and
drawings are all derived from the two tables `delta` and `output`.  Everything
here is plain Python over those tables, because the proof checker trusts this
module; arrays live in `data.words`.

An entry of `output` may be None, *don't care*: there nothing is asked, so that whatever
is answered is right.  In every text that is written `OPEN`.
"""

import hashlib
import json
import operator
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from carrynet.errors import InputError, shorten

OPEN = "-"
"""How an output that is left open is written, as in the KISS format of logic synthesis."""
MOST_STATES = MOST_SYMBOLS = 2**16
MOST_ENTRIES = 2**20
"""Of a table, states times symbols: what every part of carrynet can still work with."""
MOST_NAME = 64
"""Characters in the name of a state, a symbol or an output."""


@dataclass(frozen=True)
class Machine:
    """A complete, deterministic Mealy machine with start state 0.

    In state `q`, reading symbol `a`, it answers `output[q][a]` and moves to
    `delta[q][a]`.  States, symbols and outputs are numbers; their names serve
    people.  The full adder, least significant digit first, is

    >>> adder = Machine(
    ...     states=("carry 0", "carry 1"),
    ...     symbols=("0,0", "0,1", "1,0", "1,1"),
    ...     outputs=("0", "1"),
    ...     delta=((0, 0, 0, 1),
    ...            (0, 1, 1, 1)),
    ...     output=((0, 1, 1, 0),
    ...             (1, 0, 0, 1)),
    ... )
    >>> adder.transduce([3, 0])  # 1 + 1 = binary 10
    [0, 1]

    An output may be None: don't care.  Lists pass for tuples, and whole numbers of any type
    for Python's.

    Raises `InputError` when the tables are ragged, too large or point outside, for two
    symbols or two outputs of one name, for a name that cannot be printed, and for an output
    called `OPEN`.
    """

    states: tuple[str, ...]
    symbols: tuple[str, ...]
    outputs: tuple[str, ...]
    delta: tuple[tuple[int, ...], ...]
    output: tuple[tuple[int | None, ...], ...]

    def __post_init__(self) -> None:
        for key in ("states", "symbols", "outputs"):
            object.__setattr__(self, key, _names(key, getattr(self, key)))
        if len(self.states) > MOST_STATES or len(self.symbols) > MOST_SYMBOLS:
            raise InputError(
                f"a machine of {len(self.states):,} states and {len(self.symbols):,} symbols is "
                f"too large: at most {MOST_STATES:,} of each are accepted"
            )
        if len(self.states) * len(self.symbols) > MOST_ENTRIES:
            raise InputError(
                f"a machine of {len(self.states):,} states and {len(self.symbols):,} symbols is "
                f"too large: at most {MOST_ENTRIES:,} transitions are accepted"
            )
        bounds = {"delta": len(self.states), "output": len(self.outputs)}
        for key, bound in bounds.items():
            object.__setattr__(self, key, self._table(key, getattr(self, key), bound))
        if OPEN in self.outputs:  # or tables, graphs and answers could be read in two ways
            raise InputError(
                f"an output cannot be called {OPEN!r}: that is written where nothing is asked, "
                "and so it is None in Python"
            )

    def _table(self, key: str, given: Any, bound: int) -> tuple[tuple[int | None, ...], ...]:
        try:
            rows = [list(row) for row in given]
        except TypeError:
            raise InputError(f"{key} must be rows of numbers, not {shorten(given)}") from None
        if len(rows) != len(self.states):
            raise InputError(f"{key} needs one row for each of {len(self.states)} states")
        table: list[tuple[int | None, ...]] = []
        for row in rows:
            if len(row) != len(self.symbols):
                raise InputError(f"{key} needs one column for each symbol")
            table.append(tuple(_entry(key, entry, bound) for entry in row))
        return tuple(table)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # made once: tables may be long, and tasks are looked up by them in every step
        return hash((self.states, self.symbols, self.outputs, self.delta, self.output))

    def __getstate__(self) -> dict[str, object]:
        # hashes of text differ between processes
        return {name: value for name, value in vars(self).items() if name != "_hash"}

    def digest(self) -> str:
        """SHA-256 over the tables and all names, as 64 hexadecimal digits.

        Of the JSON of [states, symbols, outputs, delta, output], in ASCII and without spaces.
        """
        parts = [self.states, self.symbols, self.outputs, self.delta, self.output]
        return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def leaves_open(self) -> bool:
        """Whether some output is left open."""
        return any(None in row for row in self.output)

    @property
    def asks(self) -> bool:
        """Whether some word has an output that is not left open."""
        return any(out is not None for q in self._reachable() for out in self.output[q])

    @cached_property
    def entrances(self) -> int:
        """How many pairs there are of a state and a symbol by which some word enters it."""
        return len({(r, a) for q in self._reachable() for a, r in enumerate(self.delta[q])})

    @property
    def unreachable(self) -> tuple[str, ...]:
        """The states that no word leads to."""
        reached = set(self._reachable())
        return tuple(name for q, name in enumerate(self.states) if q not in reached)

    def output_name(self, output: int | None) -> str:
        """What an output is called; `OPEN` for one that is left open."""
        return OPEN if output is None else self.outputs[output]

    def transduce(self, word: Iterable[int]) -> list[int | None]:
        """The outputs for a word of symbols, from the start state; None where any is right."""
        outputs, state = [], 0
        for symbol in word:
            outputs.append(self.output[state][symbol])
            state = self.delta[state][symbol]
        return outputs

    def visit(self, word: Iterable[int]) -> list[int]:
        """The states before each symbol of a word and after its last: one more than symbols."""
        visited = [0]
        for symbol in word:
            visited.append(self.delta[visited[-1]][symbol])
        return visited

    def minimise(self) -> "Machine":
        """The smallest machine with the same answers, its states numbered breadth first.

        Partition refinement (Moore 1956) over the reachable states.  Because of
        the numbering, two machines over the same alphabet answer alike exactly
        when their minimised tables are equal.  An open output counts as one of its own:
        of a machine that has some, there may be a smaller one that does as well.
        """
        reachable = self._reachable()
        # block[q] is the class of q; it starts as what q answers and is refined by where q goes.
        block = _number([self.output[q] for q in reachable], reachable)
        while True:
            refined = _number(
                [(block[q], tuple(block[r] for r in self.delta[q])) for q in reachable], reachable
            )
            if len(set(refined.values())) == len(set(block.values())):
                break
            block = refined
        members: dict[int, list[int]] = {}
        for q in reachable:
            members.setdefault(block[q], []).append(q)
        # `reachable` is in breadth-first order, so classes are met, and numbered, in it too.
        return Machine(
            states=_joined([[self.states[q] for q in qs] for qs in members.values()]),
            symbols=self.symbols,
            outputs=self.outputs,
            delta=tuple(tuple(block[r] for r in self.delta[qs[0]]) for qs in members.values()),
            output=tuple(self.output[qs[0]] for qs in members.values()),
        )

    def _reachable(self) -> list[int]:
        order, seen = [0], {0}
        for q in order:  # grows while it is read
            for r in self.delta[q]:
                if r not in seen:
                    seen.add(r)
                    order.append(r)
        return order

    def to_mermaid(self) -> str:
        """The machine as a Mermaid `stateDiagram-v2`, edges labelled `symbol / output`."""
        lines = ["stateDiagram-v2"]
        lines += [f'    state "{_mermaid(name)}" as s{q}' for q, name in enumerate(self.states)]
        lines.append("    [*] --> s0")
        lines += [
            f"    s{q} --> s{r}: {_mermaid('; '.join(self.labels(q, symbols)))}"
            for q, r, symbols in self.edges()
        ]
        return "\n".join(lines) + "\n"

    def to_dot(self) -> str:
        """The machine in Graphviz DOT, as AALpy and AutomataLib read it.

        An edge for each state and symbol, labelled `symbol/output`; `__start0` leads to the start.
        Raises `InputError` for names that they, and `automata.from_dot`, would read otherwise.
        """
        for name in (*self.symbols, *self.outputs):
            if "/" in name or name != name.strip():
                raise InputError(
                    f"DOT cannot have a symbol or an output called {shorten(name)}: edges are "
                    "labelled symbol/output, and read without spaces around these"
                )
        if sign := moore_sign(self.states):
            raise InputError(
                f"DOT cannot have states that are all called as {shorten(self.states[0])} is: what "
                f"stands after {sign!r} would be read as an output"
            )
        lines = ["digraph machine {", '    __start0 [label="" shape="none"];']
        lines += [f"    s{q} [label={_dot(name)}];" for q, name in enumerate(self.states)]
        for q, (row, out) in enumerate(zip(self.delta, self.output, strict=True)):
            for a, symbol in enumerate(self.symbols):
                label = _dot(f"{symbol}/{self.output_name(out[a])}")
                lines.append(f"    s{q} -> s{row[a]} [label={label}];")
        return "\n".join([*lines, "    __start0 -> s0;", "}"]) + "\n"

    def edges(self) -> list[tuple[int, int, tuple[int, ...]]]:
        """One edge (from, to, symbols) for each pair of joined states."""
        return [
            (q, r, tuple(a for a, there in enumerate(row) if there == r))
            for q, row in enumerate(self.delta)
            for r in sorted(set(row))
        ]

    def labels(self, q: int, symbols: Sequence[int], most: int = 8) -> list[str]:
        """What is written on an edge from q: 'symbol / output', with at most `most` of them."""
        texts = [
            f"{self.symbols[a]} / {self.output_name(self.output[q][a])}" for a in symbols[:most]
        ]
        left = len(symbols) - most
        return [*texts, f"and {left} more"] if left > 0 else texts

    def __str__(self) -> str:
        """The tables as text: a row for each state, `next / output` under each symbol."""
        cells = [["", *self.symbols]] + [
            [name]
            + [
                f"{self.states[r]} / {self.output_name(o)}"
                for r, o in zip(self.delta[q], self.output[q], strict=True)
            ]
            for q, name in enumerate(self.states)
        ]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        )


def shortest_difference(one: Machine, other: Machine) -> list[int] | None:
    """The shortest word whose last symbol two machines answer differently; None if there is none.

    Breadth-first search of the product machine; among shortest words the first
    in the order of the symbols.  Outputs are compared by name, so that machines
    with differently numbered outputs can be compared.  Where one of them leaves its output
    open, they do not differ.

    Raises `InputError` when the machines do not read the same symbols.
    """
    if one.symbols != other.symbols:
        raise InputError("machines that read different symbols cannot be compared")
    came_from: dict[tuple[int, int], tuple[tuple[int, int], int] | None] = {(0, 0): None}
    queue = deque([(0, 0)])
    while queue:
        here = p, q = queue.popleft()
        for a in range(len(one.symbols)):
            mine, theirs = one.output[p][a], other.output[q][a]
            asked = mine is not None and theirs is not None
            if asked and one.output_name(mine) != other.output_name(theirs):
                word, back = [a], came_from[here]
                while back is not None:
                    word.append(back[1])
                    back = came_from[back[0]]
                return word[::-1]
            there = one.delta[p][a], other.delta[q][a]
            if there not in came_from:
                came_from[there] = here, a
                queue.append(there)
    return None


def moore_sign(labels: Collection[str]) -> str | None:
    """What stands between name and output in all labels of a Moore machine's states in DOT.

    `|` as AALpy writes it, ` / ` as AutomataLib does; None where they are names alone.
    """
    parted = {sign: [label.split(sign) for label in labels] for sign in ("|", " / ")}
    for sign, parts in parted.items():
        if all(len(part) == 2 and all(map(str.strip, part)) for part in parts):
            return sign
    return None


def _names(key: str, given: Any) -> tuple[str, ...]:
    """Names of states, symbols or outputs, checked."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InputError(f"{key} must be a list of names, not {shorten(given)}")
    if not given:
        raise InputError(f"a machine needs at least one of its {key}")
    for name in given:
        if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= MOST_NAME:
            raise InputError(
                f"{key} must be called by printable text of 1 to {MOST_NAME} characters, "
                f"not {shorten(name)}"
            )
    seen: set[str] = set()
    for name in given:
        if name in seen:
            raise InputError(f"two of the {key} are called {shorten(name)}")
        seen.add(name)
    return tuple(given)


def _entry(key: str, entry: Any, bound: int) -> int | None:
    if entry is None and key == "output":
        return None
    try:
        number = -1 if isinstance(entry, bool) else operator.index(entry)
    except TypeError:
        number = -1
    if not 0 <= number < bound:
        raise InputError(f"{key} has an entry outside 0..{bound - 1}: {shorten(entry)}")
    return number


def _joined(groups: list[list[str]]) -> tuple[str, ...]:
    """What states are called that stand for several: all their names, or the first of them."""
    joined = tuple("/".join(names) for names in groups)
    if max(map(len, joined)) <= MOST_NAME and len(set(joined)) == len(joined):
        return joined
    return tuple(names[0] for names in groups)


def _number(keys: Sequence[object], states: Sequence[int]) -> dict[int, int]:
    """Number equal keys alike, in the order in which they first occur."""
    numbers: dict[object, int] = {}
    return {q: numbers.setdefault(key, len(numbers)) for q, key in zip(states, keys, strict=True)}


def _mermaid(text: str) -> str:
    # Mermaid has no backslash escapes; it reads entity codes, and ';' ends a statement.
    escapes = {"#": "#35;", '"': "#quot;", ";": "#59;", ":": "#58;", "<": "#lt;", ">": "#gt;"}
    return "".join(escapes.get(character, character) for character in text)


def _dot(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
