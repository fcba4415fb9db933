"""Machines in the formats of other programs: DOT of AALpy and of AutomataLib, OpenFst's text.

DOT has an edge for each symbol, labelled `symbol/output`, and `__start0` before the start; of
an acceptor, accepting states are doublecircles and edges are labelled with symbols; of a Moore
machine, states are labelled `name|output` (AALpy) or `name / output` (AutomataLib), and a step
answers the output of the state that it leads to.  `Machine.to_dot` writes it.  OpenFst's text
has lines `source destination input output`, and a final state alone on a line; the first line,
of either kind, begins with the start.

Whatever is wrong is one line that says where.
"""

import re
from collections.abc import Mapping

from carrynet.errors import InputError, shorten
from carrynet.spec.machine import MOST_STATES, OPEN, Machine, moore_sign
from carrynet.spec.tables import from_start, machine_of, where

EPSILON = ("<eps>", "<epsilon>")
"""What OpenFst calls the empty word."""

# DOT ---------------------------------------------------------------------------------

_START = "__start0"
# compiled when a graph is read: to do so takes longer than to import this
_TOKEN = r"""(?P<space>\s+|//[^\n]*|\#[^\n]*|/\*.*?\*/)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<arrow>->)
      | (?P<word>[A-Za-z0-9_.\u0080-\uffff+-]+?(?=->|[^A-Za-z0-9_.\u0080-\uffff+-]|$))
      | (?P<sign>[][{};,=])"""


def from_dot(text: str) -> Machine:
    """The machine of a graph as AALpy and AutomataLib write it.

    Raises `InputError`, naming the line, for other graphs, for one whose outputs are nowhere or
    could be in two places, and for a machine that is incomplete or not deterministic.
    """
    nodes, edges = _graph(_tokens(text))
    begins = [(there, line) for here, there, _, line in edges if here == _START]
    if len(begins) != 1:
        raise InputError(f"DOT: one edge must lead from {_START} to the start, not {len(begins)}")
    edges = [edge for edge in edges if edge[0] != _START]
    ids = [node for node in nodes if node != _START]
    ids += [node for h, t, *_ in edges for node in (h, t) if node not in nodes]
    ids = from_start(list(dict.fromkeys(ids)), begins[0][0])
    labels = {node: nodes.get(node, {}).get("label", node) for node in ids}
    accepts = {node for node in ids if nodes.get(node, {}).get("shape") == "doublecircle"}
    mealy = any("/" in attributes.get("label", "") for *_, attributes, _ in edges)
    moore = moore_sign(labels.values())
    said = {
        "on edges (symbol/output)": mealy,
        "in the labels of states (name|output, or name / output)": moore,
        "by which states accept (doublecircle)": accepts,
    }
    if len(found := [place for place, there in said.items() if there] or list(said)) > 1:
        many = (
            "in several ways" if mealy or moore or accepts else "in none of the ways that are read"
        )
        raise InputError(f"DOT: outputs are said {many}: {'; '.join(found)}")
    names, answers = labels, {node: "1" if node in accepts else "0" for node in ids}
    if moore:
        said_by = {node: label.split(moore) for node, label in labels.items()}
        names = {node: name.strip() for node, (name, _) in said_by.items()}
        answers = {node: answer.strip() for node, (_, answer) in said_by.items()}
    if len(set(names.values())) < len(names) or not all(names.values()):
        names = {node: node for node in ids}
    moves: dict[tuple[str, str], tuple[str, str | None]] = {}
    for here, there, attributes, line in edges:
        label = attributes.get("label", "")
        symbol, *rest = parts = [part.strip() for part in (label.split("/") if mealy else [label])]
        if len(parts) != 1 + mealy or not all(parts):
            form = "symbol/output" if mealy else "symbol"
            raise InputError(f"DOT, line {line}: an edge is labelled {form}, not {shorten(label)}")
        answer = rest[0] if mealy else answers[there]
        place = names[here], symbol
        if place in moves:
            raise InputError(f"DOT, line {line}: {where(*place)}: there are two transitions")
        moves[place] = names[there], None if answer == OPEN else answer
    symbols = dict.fromkeys(symbol for _, symbol in moves)
    outputs = ["0", "1"] if accepts else []
    return machine_of([names[node] for node in ids], list(symbols), moves, outputs)


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """The tokens of a graph: kind, text and line."""
    token_at = re.compile(_TOKEN, re.VERBOSE | re.DOTALL).match
    found, place, line = [], 0, 1
    while place < len(text):
        match = token_at(text, place)
        if match is None:
            raise InputError(f"DOT, line {line}: {shorten(text[place : place + 20])} is not read")
        kind, token = str(match.lastgroup), match[0]
        if kind == "quoted":
            found.append(("word", re.sub(r"\\(.)", _unescaped, token[1:-1]), line))
        elif kind != "space":
            found.append((kind if kind in ("word", "arrow") else token, token, line))
        place, line = match.end(), line + token.count("\n")
    return found


def _unescaped(match: re.Match[str]) -> str:
    return match[1] if match[1] in '"\\' else match[0]


Node = dict[str, str]
Edge = tuple[str, str, Node, int]


def _graph(tokens: list[tuple[str, str, int]]) -> tuple[dict[str, Node], list[Edge]]:
    """Nodes with their attributes, and edges (from, to, attributes, line), of `digraph X {...}`."""
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    place = 0

    def at(offset: int = 0) -> tuple[str, str, int]:
        last = tokens[-1][2] if tokens else 1
        return tokens[place + offset] if place + offset < len(tokens) else ("end", "its end", last)

    def expect(kind: str, what: str) -> str:
        nonlocal place
        found, token, line = at()
        if found != kind:
            raise InputError(f"DOT, line {line}: {what} is needed, not {shorten(token)}")
        place += 1
        return token

    def attributes() -> Node:
        nonlocal place
        given: Node = {}
        while at()[0] == "[":
            place += 1
            while at()[0] != "]":
                key = expect("word", "an attribute or ]")
                expect("=", "=")
                given[key] = expect("word", "a value")
                if at()[0] in (",", ";"):
                    place += 1
            place += 1
        return given

    if at()[:2] == ("word", "strict"):
        place += 1
    if at()[1] != "digraph":
        raise InputError(f"DOT, line {at()[2]}: a digraph is needed, not {shorten(at()[1])}")
    place += 1
    if at()[0] == "word":
        place += 1
    expect("{", "{")
    while at()[0] != "}":
        if at()[0] == ";":
            place += 1
            continue
        line = at()[2]
        name = expect("word", "a node or }")
        if at()[0] == "=":  # of the graph
            place += 1
            expect("word", "a value")
        elif at()[0] == "arrow":
            place += 1
            there = expect("word", "a node")
            edges.append((name, there, attributes(), line))
        elif name in ("graph", "node", "edge"):
            attributes()
        else:
            nodes[name] = {**nodes.get(name, {}), **attributes()}
        if len(nodes) > MOST_STATES + 1:
            raise InputError(f"DOT: at most {MOST_STATES:,} states are accepted")
    return nodes, edges


# OpenFst -----------------------------------------------------------------------------


def from_openfst(
    text: str,
    inputs: Mapping[str, int] | None = None,
    outputs: Mapping[str, int] | None = None,
) -> Machine:
    """The machine of a transducer in OpenFst's text; states are called by their numbers.

    `inputs` and `outputs` are symbol tables, names with their labels; without one, labels are
    names, and 0 is OpenFst's empty word.  Raises `InputError` for that, for weights, and for a
    machine that is incomplete or not deterministic.  Every state must be final, or none is said
    to be: a Mealy machine answers every prefix.
    """
    moves: dict[tuple[str, str], tuple[str, str | None]] = {}
    states: dict[str, None] = {}
    final: set[str] = set()
    for number, row in enumerate(text.splitlines(), 1):
        fields, line = row.split(), f"OpenFst, line {number}"
        if not fields:
            continue
        if len(fields) <= 2:  # a final state, and its weight
            if len(fields) == 2 and _weight(fields[1], line) != 0:
                raise InputError(f"{line}: weights are not read")
            states.setdefault(fields[0])
            final.add(fields[0])
            continue
        if len(fields) not in (4, 5):
            raise InputError(f"{line}: source destination input output are needed")
        here, there, a, out, *weight = fields
        if weight and _weight(weight[0], line) != 0:
            raise InputError(f"{line}: weights are not read")
        for label, table, side in ((a, inputs, "input"), (out, outputs, "output")):
            empty = label in EPSILON or (table or {"0": 0}).get(label) == 0
            if empty or (table is not None and label not in table):
                what = "is the empty word: a machine reads and answers one symbol at a time"
                raise InputError(
                    f"{line}: {side} {shorten(label)} "
                    f"{what if empty else 'is not in the symbol table'}"
                )
        if (here, a) in moves:
            raise InputError(f"{line}: {where(here, a)}: there are two transitions")
        states.setdefault(here)
        moves[here, a] = there, None if out == OPEN else out
    for there, _ in list(moves.values()):
        states.setdefault(there)
    if not moves:
        raise InputError("OpenFst: there are no transitions")
    if final and (others := [state for state in states if state not in final]):
        raise InputError(
            f"OpenFst: state {shorten(others[0])} is not final, and others are: a machine answers "
            "after every symbol, so that all states must be final or none said to be"
        )
    return machine_of(list(states), list(dict.fromkeys(a for _, a in moves)), moves, [])


def _weight(text: str, line: str) -> float:
    """A weight."""
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{line}: {shorten(text)} is not a weight") from None


def to_openfst(machine: Machine) -> tuple[str, str, str]:
    """A machine as OpenFst's text, and the symbol tables of its inputs and outputs.

    For `fstcompile --isymbols=X.isyms --osymbols=X.osyms`; every state is final.  Raises
    `InputError` for names with spaces.
    """
    for name in (*machine.symbols, *machine.outputs):
        if name.split() != [name] or name in EPSILON:
            raise InputError(f"OpenFst cannot have a symbol called {shorten(name)}")
    lines = [
        f"{q} {there} {symbol} {machine.output_name(out)}"
        for q, (row, outs) in enumerate(zip(machine.delta, machine.output, strict=True))
        for symbol, there, out in zip(machine.symbols, row, outs, strict=True)
    ]
    lines += [str(q) for q in range(len(machine.states))]
    answers = [*machine.outputs, *([OPEN] if machine.leaves_open else [])]
    tables = (
        "".join(f"{name} {i}\n" for i, name in enumerate([EPSILON[0], *names]))
        for names in (machine.symbols, answers)
    )
    return ("\n".join(lines) + "\n", *tables)  # type: ignore[return-value]


def symbol_table(text: str) -> dict[str, int]:
    """The names of a symbol table in OpenFst's text, with their labels."""
    table = {}
    for number, row in enumerate(text.splitlines(), 1):
        fields = row.split()
        if not fields:
            continue
        if len(fields) != 2 or not fields[1].isdecimal():
            raise InputError(f"symbol table, line {number}: a name and its number are needed")
        table[fields[0]] = int(fields[1])
    return table
