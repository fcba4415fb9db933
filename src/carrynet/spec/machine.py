"""Mealy machines: finite automata that answer every symbol they read.

A task *is* its machine: training targets, exhaustive evaluation, proofs and
drawings are all derived from the two tables `delta` and `output`.  Everything
here is plain Python over those tables, because the proof checker trusts this
module; arrays live in `words.py`.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from carrynet.errors import InputError


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
    >>> adder.run([3, 0])  # 1 + 1 = binary 10
    [0, 1]

    Raises `InputError` when the tables are ragged or point outside.
    """

    states: tuple[str, ...]
    symbols: tuple[str, ...]
    outputs: tuple[str, ...]
    delta: tuple[tuple[int, ...], ...]
    output: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        for table, name, bound in (
            (self.delta, "delta", len(self.states)),
            (self.output, "output", len(self.outputs)),
        ):
            if not self.states or len(table) != len(self.states):
                raise InputError(f"{name} needs one row for each of {len(self.states)} states")
            for row in table:
                if len(row) != len(self.symbols):
                    raise InputError(f"{name} needs one column for each symbol")
                if not all(0 <= entry < bound for entry in row):
                    raise InputError(f"{name} has an entry outside 0..{bound - 1}")

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # made once: tables may be long, and tasks are looked up by them in every step
        return hash((self.states, self.symbols, self.outputs, self.delta, self.output))

    def __getstate__(self) -> dict[str, object]:
        # hashes of text differ between processes
        return {name: value for name, value in vars(self).items() if name != "_hash"}

    def run(self, word: Iterable[int]) -> list[int]:
        """The outputs for a word of symbols, from the start state."""
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
        when their minimised tables are equal.
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
            states=tuple("/".join(self.states[q] for q in qs) for qs in members.values()),
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
        lines += [f"    s{q} --> s{r}: {_mermaid(label)}" for q, r, label in self.edges()]
        return "\n".join(lines) + "\n"

    def to_dot(self) -> str:
        """The machine in Graphviz DOT, as AALpy and AutomataLib read it.

        An edge for each state and symbol, labelled `symbol/output`; `__start0` leads to the start.
        """
        lines = ["digraph machine {", '    __start0 [label="" shape="none"];']
        lines += [f"    s{q} [label={_dot(name)}];" for q, name in enumerate(self.states)]
        for q, (row, out) in enumerate(zip(self.delta, self.output, strict=True)):
            for a, symbol in enumerate(self.symbols):
                label = _dot(f"{symbol}/{self.outputs[out[a]]}")
                lines.append(f"    s{q} -> s{row[a]} [label={label}];")
        return "\n".join([*lines, "    __start0 -> s0;", "}"]) + "\n"

    def edges(self, most: int = 8) -> list[tuple[int, int, str]]:
        """One edge (from, to, label) for each pair of joined states.

        A label is 'symbol / output; symbol / output; ...', with at most `most` of them.
        """
        edges = []
        for q, row in enumerate(self.delta):
            for r in sorted(set(row)):
                labels = [
                    f"{self.symbols[a]} / {self.outputs[self.output[q][a]]}"
                    for a in range(len(self.symbols))
                    if row[a] == r
                ]
                shown = labels[:most]
                if len(labels) > most:
                    shown.append(f"and {len(labels) - most} more")
                edges.append((q, r, "; ".join(shown)))
        return edges

    def __str__(self) -> str:
        """The tables as text: a row for each state, `next / output` under each symbol."""
        cells = [["", *self.symbols]] + [
            [name]
            + [
                f"{self.states[r]} / {self.outputs[o]}"
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
    with differently numbered outputs can be compared.

    Raises `InputError` when the machines do not read the same symbols.
    """
    if one.symbols != other.symbols:
        raise InputError("machines that read different symbols cannot be compared")
    came_from: dict[tuple[int, int], tuple[tuple[int, int], int] | None] = {(0, 0): None}
    queue = deque([(0, 0)])
    while queue:
        here = p, q = queue.popleft()
        for a in range(len(one.symbols)):
            if one.outputs[one.output[p][a]] != other.outputs[other.output[q][a]]:
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
