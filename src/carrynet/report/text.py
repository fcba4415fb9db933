"""Runs and problems as text for a terminal; every function returns a string."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

import numpy as np

from carrynet.cells import Array
from carrynet.evaluation import Evaluation, Exhaustive, Sampled, Worked
from carrynet.runs import Run, program
from carrynet.tasks import DIGITS, Task

_BARS = "▁▂▃▄▅▆▇█"


def summary(run: Run) -> str:
    """A finished training: the tutorial's closing lines, and what was tested."""
    recipe, last = run.recipe, run.last_problem
    kind = f"{recipe.hidden} {recipe.activation} units, seed {recipe.seed}, {run.engine} engine"
    lines = [
        f"recipe      {recipe.name}: {recipe.task}, {recipe.digits} digits, {kind}",
        f"trained     {recipe.problems:,} problems in {run.seconds:.2f} s",
        "",
        f"error       {last.error:.4f}, summed over the digits of the last problem",
        f"predicted   {_digits(last.predicted, last)}",
        f"true        {_digits(last.expected, last)}",
        f"            {equation(last)}",
        "",
        evaluation(run.evaluation, run.network.task),
    ]
    if run.path is not None:
        lines += ["", f"run         {run.path}", f"next        {_advice(run)}"]
    return "\n".join(lines)


def _advice(run: Run) -> str:
    if not run.evaluation.right:
        return "it is wrong somewhere: try more problems (--set steps=...) or another --seed"
    task = run.network.task
    operands = " ".join(("118", "8", "3", "2")[: task.operands])
    return f"{program()} {task.family.removesuffix('_by')} {operands}"


def evaluation(evaluation: Evaluation, task: Task) -> str:
    """What was tested, and how it came out."""
    return "\n".join([exhaustive(evaluation.exhaustive, task), sampled(evaluation.sampled)])


def exhaustive(result: Exhaustive, task: Task) -> str:
    """All problems of some length, in one line, and a wrong one if there is."""
    noun = {1: "numbers", 2: "pairs of numbers", 3: "triples of numbers"}.get(
        task.operands, f"{task.operands}-tuples of numbers"
    )
    scope = f"all {result.pairs:,} {noun} with up to {result.digits} digits"
    if result.wrong is None or result.answered is None:
        return f"exhaustive  right on {scope}, smallest margin {result.margin:.2f}"
    example = task.write(result.wrong, result.answered)
    return (
        f"exhaustive  WRONG on {result.pairs - result.right:,} of {scope}, for example\n"
        f"            {example}   (smallest margin {result.margin:.2f})"
    )


def sampled(results: Iterable[Sampled]) -> str:
    """Longer problems: a row for each length, a column for each kind of sample."""
    lines = ["sampled     digits     uniform       long chains   smallest margin"]
    by_digits: dict[int, dict[str, Sampled]] = {}
    for result in results:
        by_digits.setdefault(result.digits, {})[result.kind] = result
    for digits, row in by_digits.items():
        counts = [f"{part.right:,} of {part.pairs:,}" for part in row.values()]
        errors = [part.first_error for part in row.values() if part.first_error is not None]
        first = f"   WRONG first at position {min(errors):,}" if errors else ""
        margin = min(part.margin for part in row.values())
        columns = "".join(f"{count:<14}" for count in counts)
        lines.append(f"            {digits:<11,}{columns}{margin:.2f}{first}")
    lines.append("            (tests of the problems counted; not a proof for other numbers)")
    return "\n".join(lines)


def equation(worked: Worked) -> str:
    """`118 + 8 = 126`, and what is right where that is not."""
    text = worked.task.write(worked.operands, worked.answer)
    if worked.right:
        return text
    if worked.answer == worked.right_answer:
        return f"{text}   WRONG in a digit below the answer"
    return f"{text}   WRONG, right is {worked.task.write(worked.operands, worked.right_answer)}"


def columns(worked: Worked, width: int = 100) -> str:
    """A problem worked in columns, most significant digit on the left, then the equation.

    Where the columns are wider than `width` characters, only the equation.
    """
    task = worked.task
    names = [str(operand) for operand in worked.operands]
    label = max(map(len, [*names, str(worked.answer), task.memory])) + 2
    if label + 2 * len(worked.word) + 2 > width:
        return _verdict(worked)

    def row(name: str, marks: Iterable[str]) -> str:
        return f"{name:>{label}}  {' '.join(reversed(list(marks)))}".rstrip()

    outputs, states = task.machine.outputs, task.machine.states
    operand_digits = zip(*(task.digits_of(symbol) for symbol in worked.word), strict=True)
    rows = [row(task.memory, (states[q] for q in worked.memory[:-1]))]
    sign = {"add": "+", "subtract": "-"}.get(task.family, "")
    for i, (name, digits) in enumerate(zip(names, operand_digits, strict=True)):
        lead = f"{sign} {name:>{label - 2}}" if i and sign else name
        rows.append(row(lead, (DIGITS[digit] for digit in digits)))
    rule = max(map(len, rows))
    answer = task.write_answer(worked.answer)
    rows += ["  " + "-" * (rule - 2), row(answer, (outputs[o] for o in worked.predicted))]
    if not worked.right:
        rows.append(row("wrong", (" " if hit else "^" for hit in worked.hits)))
    return "\n".join([*rows, "", _verdict(worked)])


def explanation(worked: Worked, activation: str) -> str:
    """A problem digit by digit: symbol, machine state, output, margin and the hidden units."""
    assert worked.hidden is not None
    task, machine = worked.task, worked.task.machine
    header = f"{'digit':>7}  {'reads':<8}{task.memory:<8}{'answers':<10}{'margin':>8}  hidden units"
    lines = [equation(worked), "", header]
    low, high = _range(worked.hidden, activation)
    for t, symbol in enumerate(worked.word):
        said, wanted = worked.predicted[t], worked.expected[t]
        verdict = machine.outputs[said]
        if not worked.hits[t]:  # right by chance where the logit is not a number
            verdict = f"{verdict if said != wanted else 'none'} not {machine.outputs[wanted]}"
        lines.append(
            f"{t:>7}  {machine.symbols[symbol]:<8}{machine.states[worked.memory[t]]:<8}"
            f"{verdict:<10}{worked.margins[t]:>8.2f}  {bars(worked.hidden[t], low, high)}"
        )
    lines += [
        "",
        f"{task.memory} is what the machine, not the network, holds before the digit; margin is",
        f"how far the logit is on the right side; a bar is a hidden unit, {low:g} to {high:g}.",
    ]
    return "\n".join(lines)


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
                "expected": machine.outputs[worked.expected[t]],
                "margin": float(worked.margins[t]),
                "hidden": [h if isfinite(h) else None for h in worked.hidden[t].tolist()],
            }
            for t, symbol in enumerate(worked.word)
        ],
    }


def bars(values: Array, low: float, high: float) -> str:
    """One block character for each value between low and high."""
    finite = np.nan_to_num(values, nan=low)
    scaled = (np.clip(finite, low, high) - low) / (high - low) * (len(_BARS) - 1)
    return "".join(_BARS[i] for i in scaled.round().astype(int))


def _verdict(worked: Worked) -> str:
    wrong = worked.hits.count(False)
    count = f"{len(worked.word):,} digits in base {worked.task.base}"
    outcome = f"{wrong:,} of {count} WRONG" if wrong else f"{count}, all right"
    return f"{equation(worked)}\n({outcome}; smallest margin {worked.margins.min():.2f})"


def _range(hidden: Array, activation: str) -> tuple[float, float]:
    if activation == "relu":
        finite = hidden[np.isfinite(hidden)]
        return 0.0, float(finite.max(initial=0)) or 1.0
    return (-1.0 if activation == "tanh" else 0.0), 1.0


def _digits(outputs: list[int], worked: Worked) -> str:
    return " ".join(worked.task.machine.outputs[o] for o in reversed(outputs))
