"""Tasks of one's own as tables: of TOML, to be written by hand, or of JSON.

Of the tables only `transitions` must be there:

    name = "parity"             # else that of the file
    symbols = ["0", "1"]        # else those of the first state, in its order
    outputs = ["0", "1"]        # else in the order of their names
    start = "even"              # else the first state
    memory = "ones"             # what a state holds, for people
    encoding = "one-hot"        # see `encoding`; or a vector for each symbol

    [transitions.even]          # a table for each state: symbol = [next state, output]
    0 = ["even", "0"]
    1 = ["odd", "1"]
    [transitions.odd]
    0 = ["odd", "1"]
    1 = ["even"]                # no output, or "-": nothing is asked here

    [numbers]                   # symbols are digits of numbers: the fields of `Digits`

With `accepting`, a list of states, an entry is the next state alone, and what is answered is
whether that accepts, 1 or 0.  Whatever is wrong is one line that says where.

Plain Python, because the proof checker trusts it: tables are what a model has inside.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from carrynet import files
from carrynet.errors import InputError, shorten, unknown
from carrynet.spec import builtin, codec as codecs, encoding as encodings
from carrynet.spec.codec import Codec, Digits, Letters, listing
from carrynet.spec.machine import MOST_STATES, OPEN, Machine
from carrynet.spec.task import Task, own

_KEYS = (
    *("name", "symbols", "outputs", "start", "memory", "encoding", "accepting"),
    *("transitions", "numbers"),
)


def from_toml(text: str, name: str = "machine") -> Task:
    """A task in TOML; `name` is what it is called if it does not say."""
    try:
        table = files.from_toml(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a machine in TOML: {error}") from None
    return from_table(table, name)


def from_table(table: Any, name: str = "machine") -> Task:
    """A task as plain values, the tables of its TOML.  Raises `InputError`."""
    if not isinstance(table, Mapping):
        raise InputError(f"a machine must be a table, not {shorten(table)}")
    for key in table:
        if key not in _KEYS:
            raise unknown("key of a machine", key, _KEYS)
    rows = table.get("transitions")
    if not isinstance(rows, Mapping) or not all(isinstance(r, Mapping) for r in rows.values()):
        raise InputError("a machine needs transitions: a table [transitions.STATE] for each state")
    if not rows:
        raise InputError("a machine needs at least one state: there is no [transitions.STATE]")
    if len(rows) > MOST_STATES:
        raise InputError(f"{len(rows):,} states are too many: at most {MOST_STATES:,} are accepted")
    states = from_start(list(rows), table.get("start"))
    symbols = _listed(table, "symbols") or list(rows[states[0]])
    arcs = {(q, a): entry for q, row in rows.items() for a, entry in row.items()}
    accepting = table.get("accepting")
    if accepting is not None:
        arcs = _accepted(arcs, _listed(table, "accepting"), states)
    moves = {place: _entry(place, entry) for place, entry in arcs.items()}
    machine = machine_of(states, symbols, moves, _listed(table, "outputs"))
    memory = table.get("memory", "state")
    codec: Codec
    if "numbers" in table:
        codec = codecs.from_table({"memory": memory, **_as_table(table["numbers"])})
    else:
        codec = Letters(machine.symbols, machine.outputs, memory)
    said = table.get("encoding")
    encoding = None if said is None else encodings.from_value(said, machine.symbols)
    return own(table.get("name", name), machine, codec=codec, encoding=encoding)


def _as_table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError("numbers must be a table, headed [numbers]")
    return value


def _listed(table: Mapping[str, Any], key: str) -> list[str]:
    """A list of names that a table may have; [] where it has none."""
    names = table.get(key)
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{key} must be a list of names, not {shorten(names)}")
    if not names and key != "accepting":
        raise InputError(f"a machine needs at least one of its {key}")
    return names


def from_start(states: list[str], start: Any) -> list[str]:
    """The states with the start first.  Raises `InputError` where it is none of them."""
    if start is None:
        return states
    if start not in states:
        raise InputError(f"the start {shorten(start)} is no state: there are {listing(states)}")
    return [start, *(state for state in states if state != start)]


def _accepted(
    arcs: Mapping[tuple[str, str], Any], accepting: list[str], states: list[str]
) -> dict[tuple[str, str], Any]:
    """Entries of an acceptor, next states, as entries of a Mealy machine."""
    for name in set(accepting) - set(states):
        raise InputError(f"accepting names {shorten(name)}, which is no state")
    made, accepts = {}, set(accepting)
    for place, there in arcs.items():
        if isinstance(there, list) and len(there) == 1:
            (there,) = there
        if not isinstance(there, str):
            raise InputError(
                f"{where(*place)}: an entry of an acceptor is its next state, not {shorten(there)}"
            )
        made[place] = [there, "1" if there in accepts else "0"]
    return made


def _entry(place: tuple[str, str], entry: Any) -> tuple[str, str | None]:
    parts = [entry] if isinstance(entry, str) else entry
    if (
        not isinstance(parts, list)
        or not 1 <= len(parts) <= 2
        or not all(isinstance(part, str) for part in parts)
    ):
        raise InputError(
            f'{where(*place)}: an entry is ["next state", "output"], or, where nothing is asked, '
            f'["next state"], not {shorten(entry)}'
        )
    return parts[0], None if len(parts) == 1 or parts[1] == OPEN else parts[1]


def to_toml(task: Task, under: str = "") -> str:
    """A task in TOML, which `from_toml` reads back to an equal one.

    `under` is a table that it is to be put into, such as that of a recipe.
    """
    table = to_table(task)
    rows, numbers = table.pop("transitions"), table.pop("numbers", None)
    vectors = table.pop("encoding") if isinstance(table["encoding"], dict) else None
    dot = f"{under}." if under else ""
    lines = [f"[{under}]"] if under else []
    lines += [f"{key} = {_written(value)}" for key, value in table.items()]
    if vectors is not None:
        lines += ["", f"[{dot}encoding]"]
        lines += [f"{_key(name)} = {_written(vector)}" for name, vector in vectors.items()]
    if numbers is not None:
        lines += ["", f"[{dot}numbers]"]
        lines += [f"{key} = {_written(value)}" for key, value in numbers.items()]
    for state, row in rows.items():
        lines += ["", f"[{dot}transitions.{_key(state)}]"]
        lines += [f"{_key(symbol)} = {_written(entry)}" for symbol, entry in row.items()]
    return "\n".join(lines) + "\n"


def to_table(task: Task) -> dict[str, Any]:
    """The inverse of `from_table`."""
    machine = task.machine
    table: dict[str, Any] = {
        "name": task.name,
        "symbols": list(machine.symbols),
        "outputs": list(machine.outputs),
        "memory": task.memory,
        "encoding": encodings.to_value(task.encoding, machine.symbols),
    }
    if isinstance(task.codec, Digits):
        table["numbers"] = {k: v for k, v in task.codec.to_table().items() if k != "memory"}
    table["transitions"] = {
        state: {
            symbol: [machine.states[there]]
            if out is None
            else [
                machine.states[there],
                machine.outputs[out],
            ]
            for symbol, there, out in zip(machine.symbols, row, outs, strict=True)
        }
        for state, row, outs in zip(machine.states, machine.delta, machine.output, strict=True)
    }
    return table


def to_facts(task: Task) -> dict[str, Any]:
    """What a model's file says of its task: its text and its whole machine."""
    return {"task": task.text, "machine": to_table(task)}


def from_facts(facts: Mapping[str, Any]) -> Task:
    """The inverse of `to_facts`.

    Raises `InputError` for a task that is unknown, whose machine is not there, or whose machine
    is not the one whose digest its text has.
    """
    text = facts.get("task")
    if not isinstance(text, str):
        raise InputError("its task is not text")
    if facts.get("machine") is None:
        raise InputError(f"the machine of task {shorten(text)} is not there")
    task = from_table(facts["machine"])
    known = task if "@" in text else builtin.parse(text)
    if known.text != text or known != task:
        raise InputError(f"task {shorten(text)} is not its machine, which is {task.text}")
    return known


def _written(value: Any) -> str:
    """A value in TOML: names are printable."""
    if isinstance(value, str):
        return codecs.quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return repr(value)


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _written(name)


# From names to numbers ---------------------------------------------------------------


def machine_of(
    states: Sequence[str],
    symbols: Sequence[str],
    moves: Mapping[tuple[str, str], tuple[str, str | None]],
    outputs: Sequence[str],
) -> Machine:
    """The machine of transitions by names; outputs that are not listed are found and sorted."""
    number = {name: q for q, name in enumerate(states)}
    known = set(symbols)
    outputs = outputs or _sorted({out for _, out in moves.values() if out is not None})
    if not symbols or not outputs:
        what = "symbols" if not symbols else "outputs"
        raise InputError(f"a machine needs at least one of its {what}")
    answer = {name: y for y, name in enumerate(outputs)}
    for place, (there, out) in moves.items():
        if place[1] not in known:
            raise InputError(f"{where(*place)}: there is no such symbol, only {listing(symbols)}")
        if there not in number:
            raise InputError(
                f"{where(*place)}: there is no state {shorten(there)}, only {listing(states)}"
            )
        if out is not None and out not in answer:
            raise InputError(
                f"{where(*place)}: there is no output {shorten(out)}, only {listing(outputs)}"
            )
    if len(moves) < len(states) * len(symbols):
        q, a = next((q, a) for q in states for a in symbols if (q, a) not in moves)
        raise InputError(f"{where(q, a)}: the transition is missing, a machine must be complete")
    rows = [[moves[q, a] for a in symbols] for q in states]
    return Machine(
        states=tuple(states),
        symbols=tuple(symbols),
        outputs=tuple(outputs),
        delta=tuple(tuple(number[there] for there, _ in row) for row in rows),
        output=tuple(tuple(None if out is None else answer[out] for _, out in row) for row in rows),
    )


def where(state: str, symbol: str) -> str:
    """A transition, for a message."""
    return f"state {files.printable(state)[:60]}, symbol {files.printable(symbol)[:60]}"


def _sorted(names: Iterable[str]) -> list[str]:
    """Names in order, numerals by their size and before others."""

    def order(name: str) -> tuple[bool, int, str]:
        numeral = name.isascii() and name.isdecimal() and len(name) < 20
        return (not numeral, int(name) if numeral else 0, name)

    return sorted(names, key=order)
