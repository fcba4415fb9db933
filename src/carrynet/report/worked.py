"""A problem that a network has worked, as text: as an equation, in columns, symbol by symbol."""

import textwrap
from collections.abc import Iterable
from math import ceil, floor, isfinite
from typing import Any

import numpy as np

from carrynet.judge.work import Worked
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.spec.codec import DIGITS, Digits
from carrynet.spec.task import Task

_BARS = "▁▂▃▄▅▆▇█"


def units(task: Task) -> str:
    """What the length of a problem is counted in."""
    return "digits" if task.numeric else "symbols"


def margin(value: float) -> str:
    """A margin with two decimals; if that leaves nothing of it, with its first digit."""
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.005 else f"{value:.0e}"


def equation(worked: Worked) -> str:
    """`118 + 8 = 126`, and what is right where that is not."""
    text = worked.task.write(worked.operands, worked.answer)
    if worked.right:
        return text
    told = zip(worked.expected, worked.predicted, strict=True)
    if all(wanted in (None, said) for wanted, said in told):
        return f"{text}   WRONG, with an output that is not a number"
    if worked.answer == worked.right_answer:
        return f"{text}   WRONG in a {units(worked.task)[:-1]} below the answer"
    if not worked.task.numeric:
        return f"{text}   WRONG, right is {worked.right_answer}"
    return f"{text}   WRONG, right is {worked.task.write(worked.operands, worked.right_answer)}"


def columns(worked: Worked, width: int = 100) -> str:
    """A problem worked in columns, most significant digit on the left, then the equation.

    A word stands in the order in which it is read.
    Where the columns are wider than `width` characters, only the equation.
    """
    task = worked.task
    names = [str(operand) for operand in worked.operands] if task.numeric else ["word"]
    answer = task.write_answer(worked.answer) if task.numeric else "answer"
    label = max(map(len, [*names, answer, task.memory])) + 2
    outputs, states = task.machine.outputs, task.machine.states
    held = [states[q] for q in worked.memory[:-1]]
    read = [] if task.numeric else [task.machine.symbols[a] for a in worked.word]
    wide = max(map(len, [*held, *read, *(outputs[o] for o in worked.predicted)]))
    if label + (wide + 1) * len(worked.word) + 2 > width:
        return _verdict(worked)

    def row(name: str, marks: Iterable[str]) -> str:
        shown = " ".join(f"{mark:>{wide}}" for mark in falling(list(marks), task))
        return f"{name:>{label}}  {shown}".rstrip()

    columns = zip(*(task.digits_of(symbol) for symbol in worked.word), strict=True)
    operand_digits = [[DIGITS[d] for d in column] for column in columns] if task.numeric else [read]
    rows = [row(task.memory, held)]
    sign = _sign(task)
    for i, (name, digits) in enumerate(zip(names, operand_digits, strict=True)):
        lead = f"{sign} {name:>{label - 2}}" if i and sign else name
        rows.append(row(lead, digits))
    rule = max(map(len, rows))
    rows += ["  " + "-" * (rule - 2), row(answer, (outputs[o] for o in worked.predicted))]
    if not worked.right:
        rows.append(row("wrong", (" " if hit else "^" for hit in worked.hits)))
    return "\n".join([*rows, "", _verdict(worked)])


def _sign(task: Task) -> str:
    """What stands between any two operands of a task's equation, if that is one sign."""
    between = set(task.equation.split("{}")[1:-1])
    sign = between.pop() if len(between) == 1 else ""
    return sign.strip() if len(sign) == 3 and sign == f" {sign.strip()} " else ""


def explanation(worked: Worked, network: Network, width: int | None = None) -> str:
    """A problem digit by digit: symbol, machine state, output, margin and the hidden units.

    Parts of the network's state, where there are several, stand apart.  Where a line would have
    more than `width` characters, the units go on below one another.
    """
    assert worked.hidden is not None
    task, machine = worked.task, worked.task.machine
    wide, unit = max(6, *map(len, [task.memory, *machine.states])) + 2, units(task)[:-1]
    header = (
        f"{unit:>7}  {'reads':<8}{task.memory:<{wide}}{'answers':<10}{'margin':>8}  hidden units"
    )
    lines = [equation(worked), "", header]
    indent = len(header) - len("hidden units")
    room = None if width is None else max(_FEWEST_BARS, width - indent)
    low, high = _range(worked.hidden, network.activation)
    for t, symbol in enumerate(worked.word):
        said, wanted = worked.predicted[t], worked.expected[t]
        state = " | ".join(bars(part, low, high) for part in network.parts(worked.hidden[t]))
        verdict = machine.outputs[said]
        if not worked.hits[t]:  # right by chance where the logit is not a number
            verdict = f"{verdict if said != wanted else 'none'} not {machine.output_name(wanted)}"
        how_far = "open" if wanted is None else margin(worked.margins[t])
        held = machine.states[worked.memory[t]]
        begin = f"{t:>7}  {machine.symbols[symbol]:<8}{held:<{wide}}{verdict:<10}{how_far:>8}  "
        step = room or len(state)
        for first in range(0, len(state), step):
            lines.append(f"{'' if first else begin:<{indent}}{state[first : first + step]}")
    parts = network.cell.state
    part_of = "hidden unit" if len(parts) == 1 else f"unit of {' | '.join(parts)}"
    told = (
        f"{task.memory} is what the machine, not the network, holds before the {unit}; margin is "
        f"how far the logit is on the right side; a bar is a {part_of}, {low:g} to {high:g}."
    )
    lines += ["", *textwrap.wrap(told, min(width or _TEXT, _TEXT))]
    return "\n".join(lines)


_FEWEST_BARS, _TEXT = 8, 88
"""Bars in a line, at least; characters in a line of text, at most."""


def explanation_json(worked: Worked) -> dict[str, Any]:
    """The same, as plain values for JSON."""
    assert worked.hidden is not None
    machine = worked.task.machine
    return {
        **worked.to_json(),
        "digits": [
            {
                "symbol": machine.symbols[symbol],
                "state": machine.states[worked.memory[t]],
                "predicted": machine.outputs[worked.predicted[t]],
                "expected": _expected(worked, t),
                "margin": None if worked.expected[t] is None else float(worked.margins[t]),
                "hidden": [h if isfinite(h) else None for h in worked.hidden[t].tolist()],
            }
            for t, symbol in enumerate(worked.word)
        ],
    }


def _expected(worked: Worked, t: int) -> str | None:
    wanted = worked.expected[t]
    return None if wanted is None else worked.task.machine.outputs[wanted]


def bars(values: Array, low: float, high: float) -> str:
    """One block character for each value between low and high."""
    finite = np.nan_to_num(values, nan=low)
    scaled = (np.clip(finite, low, high) - low) / (high - low) * (len(_BARS) - 1)
    return "".join(_BARS[i] for i in scaled.round().astype(int))


def _verdict(worked: Worked) -> str:
    wrong = worked.hits.count(False)
    count = f"{len(worked.word):,} {units(worked.task)}"
    if worked.task.numeric:
        count = f"{count} in base {worked.task.base}"
    outcome = f"{wrong:,} of {count} WRONG" if wrong else f"{count}, all right"
    return f"{equation(worked)}\n({outcome}; smallest margin {margin(worked.margins.min())})"


def _range(hidden: Array, activation: str) -> tuple[float, float]:
    """What bars reach from and to: as far as the activation does, other units as they are."""
    finite = hidden[np.isfinite(hidden)]
    if activation == "relu":
        return 0.0, float(finite.max(initial=0)) or 1.0
    if not activation:
        low, high = float(finite.min(initial=-1)), float(finite.max(initial=1))
        return floor(10 * low) / 10, ceil(10 * high) / 10
    return (-1.0 if activation == "tanh" else 0.0), 1.0


def falling(marks: list[str], task: Task) -> list[str]:
    """Marks of a word in the order in which it is written: numbers from their largest digit."""
    return marks[::-1] if isinstance(task.codec, Digits) and task.codec.first == "least" else marks
