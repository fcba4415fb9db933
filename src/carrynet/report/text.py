"""Runs and problems as text for a terminal; every function returns a string."""

import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from carrynet.errors import InputError, RunError
from carrynet.files import printable
from carrynet.judge.evaluation import Evaluation, Exhaustive, Sampled, affordable_digits
from carrynet.judge.extraction import Comparison, Extraction
from carrynet.judge.measures import Share
from carrynet.judge.work import Worked
from carrynet.nets import cells
from carrynet.proof.verdict import Proved, Refuted, Undecided, Verdict
from carrynet.report import page
from carrynet.report.advice import is_exact, ways
from carrynet.report.worked import equation, falling, margin, units
from carrynet.runs.folder import argument, load, newest, program
from carrynet.runs.record import Record
from carrynet.spec import tasks
from carrynet.spec.codec import listing
from carrynet.spec.machine import Machine, shortest_difference
from carrynet.spec.recipe import SPECIFIED, Recipe
from carrynet.spec.task import Task


def summary(run: Record) -> str:
    """A finished training: the tutorial's closing lines, and what was tested."""
    recipe, last = run.recipe, run.last_problem
    kind = f"{cells.in_words(recipe)}, seed {recipe.seed}, {run.engine} engine"
    lines = [
        f"recipe      {recipe.name}: {recipe.task}, {kind}",
        _made(run),
        *_assumed(run),
        *_unreached(run.network.task.machine),
        "",
    ]
    if last is not None:
        lines += [
            f"error       {last.error:.4f}, summed over the {units(last.task)} of the last problem",
            f"predicted   {_digits(last.predicted, last)}",
            f"true        {_digits(last.expected, last)}",
            f"            {equation(last)}",
            "",
        ]
    lines.append(evaluation(run.evaluation, run.network.task))
    lines += ["", verdict(run)]
    if run.path is not None:
        lines += ["", f"run         {run.path}"]
        if (run.path / page.NAME).exists():
            lines.append(f"page        {run.path / page.NAME}")
        if run.worse_than is not None:
            lines.append(f"worse       {_worse(run, run.worse_than)}")
        lines.append(f"next        {_advice(run)}")
    return "\n".join(lines)


def _made(run: Record) -> str:
    """How a network came about."""
    recipe = run.recipe
    if run.mechanism is not None:
        return f"compiled    {run.mechanism.in_words()}"
    if not recipe.stages:
        return f"trained     elsewhere{f': {printable(run.source.file)}' if run.source else ''}"
    shown = run.made.showing(f"problems of {_length(recipe)}", run.open_edges)
    if recipe.specified:
        begun = ", from random weights" if run.init == "random" else ""
        shown = f"{SPECIFIED}: {shown}{begun}"
    return f"trained     {shown}, in {run.seconds:.2f} s"


def _assumed(run: Record) -> list[str]:
    """What the verdict on a network from elsewhere rests on, which nobody has said."""
    if run.source is None or not run.source.assumed:
        return []
    return [f"assumed     {printable(', '.join(run.source.assumed))}"]


def _unreached(machine: Machine) -> list[str]:
    """The states of a machine that do not matter, which may well be a slip of its author's."""
    names = machine.unreachable
    return [f"unreached   no word leads to {listing(names)}"] if names else []


def _worse(run: Record, better: Path) -> str:
    """How a run has come out worse than the one that it hardened."""
    lost = ""
    with suppress(RunError):  # it may be gone by now
        old = load(better)
        parts = [each.evaluation.exhaustive for each in (run, old)]
        now, before = (f"{part.right:,} of {part.pairs:,}" for part in parts)
        lost = f" ({now} right, before {before})"
        if isinstance(old.proof, Proved):
            lost = " (the proof is lost)"
    return f"than before{lost}: {better} stays the newest run"


def subjects(task: Task) -> str:
    """What a verdict speaks of."""
    return "numbers" if task.numeric else "words"


def _length(recipe: Recipe) -> str:
    """How long the training problems are, and what of that is left for their operands."""
    digits, headroom = recipe.digits, recipe.specification.headroom
    if not headroom:
        return f"{digits} {units(recipe.specification)}"
    return f"{digits} digits (operands of up to {digits - headroom}, answers of up to {digits})"


def _advice(run: Record) -> str:
    """A command that works as it stands, and leads on."""
    assert run.path is not None
    task, folder = run.network.task, argument(run.path)
    if run.worse_than is not None:
        return f"{program()} prove {argument(run.worse_than)}"
    if run.right and not isinstance(run.proof, Undecided):
        where = "" if _is_newest(run) else f" --run {folder}"
        example = _example(task)
        if example.startswith(("-", "'-")):  # a word that is no option
            return f"{program()} {_command(task)}{where} -- {example}"
        return f"{program()} {_command(task)} {example}{where}"
    tested = run.evaluation.exhaustive
    if tested.right < tested.pairs and run.source is not None and run.source.assumed:
        return f"{program()} import --help   (is it read as its owner reads it?)"
    if run.mechanism is not None:
        finer = run.network.dtype.name == "float32" and run.right
        way = "--dtype float64, which rounds less" if finer else "another scale"
        way = "less noise" if run.mechanism.construction.noise else way
        return f"{program()} compile --help   (try {way})"
    if run.right and is_exact(run.network):
        digits = affordable_digits(task, 32, 2**24)
        return f"{program()} prove {folder} --digits {digits}   (tries all problems of that length)"
    return f"{program()} harden {folder}   (trains on until it is easy to prove)"


COMMANDS = {"add": "add", "subtract": "subtract", "compare": "compare", "multiply_by": "multiply"}
"""Families with a command of their own, beside `ask`."""


def _command(task: Task) -> str:
    return COMMANDS.get(tasks.family(task), "ask")


def _example(task: Task) -> str:
    """A problem of a task, as arguments of a command."""
    if task.numeric:
        return " ".join(("118", "8", "3", "2")[: task.operands])
    machine, symbols = task.machine, len(task.machine.symbols)
    word = [a % symbols for a in (0, 1, 1, 0)]
    answers = {y for y in machine.transduce(word) if y is not None}
    if len(answers) < 2:  # the shortest word that ends in another answer, if there is one
        told = ((min(answers, default=0),) * symbols,)
        always = replace(machine, states=("always",), delta=((0,) * symbols,), output=told)
        word = shortest_difference(machine, always) or word
    (text,) = task.problem(word)
    return shlex.quote(str(text))


def _is_newest(run: Record) -> bool:
    """Whether it is this run that answers where none is named."""
    task = run.network.task
    asked = (tasks.family(task), task.operands)

    def fits(recipe: Recipe) -> bool:
        with suppress(InputError):  # a task of another process's
            theirs = recipe.specification
            return (tasks.family(theirs), theirs.operands) == asked
        return False

    try:
        return newest(fits=fits) == run.path
    except RunError:
        return False


def verdict(run: Record, known: int = 0) -> str:
    """A run's verdict and, where it is none, what would decide it; `known` as for `ways`."""
    lines = [proof(run.proof, run.network.task, run.path)]
    for number, way in enumerate(ways(run, known)):
        lines.append(f"{'' if number else 'to decide':<12}{way.command}")
        lines += [f"              {line}" for line in way.text.split("\n")]
    return "\n".join(lines)


def proof(verdict: Verdict, task: Task, run: Path | None = None) -> str:
    """A verdict, on the network of a run: what is known of numbers, or words, of any length."""
    what = subjects(task)
    if isinstance(verdict, Proved):
        if not verdict.checked:
            check = f"{program()} check {argument(run)}" if run else f"{program()} check"
            return (
                f"proved      as recorded, right for {what} of any length: {verdict.regions} "
                f"regions, with errors of up to {verdict.slack:.2g}\n"
                f"            in every unit at every step; '{check}' checks it anew"
            )
        if verdict.method == "states":
            return (
                f"proved      right for {what} of any length: it comes to {verdict.regions} states "
                f"and no others, smallest\n            margin {verdict.margin:.2f}, and nothing is "
                f"ever rounded; checked, {verdict.seconds:.2f} s"
            )
        # of trees, the slack is what was asked for; they may hold with more
        more = "" if verdict.method == "boxes" else ", perhaps more,"
        return (
            f"proved      right for {what} of any length: {verdict.regions} regions, "
            f"smallest margin {verdict.margin:.2f},\n"
            f"            with errors of up to {verdict.slack:.2g}{more} in every unit at every "
            f"step; checked, {verdict.seconds:.2f} s"
        )
    if isinstance(verdict, Refuted):
        operands = [_brief(str(operand), task) for operand in verdict.operands]
        answer, right = (
            _brief(task.write_answer(a), task) for a in (verdict.answered, verdict.expected)
        )
        wrong = task.equation.format(*operands, answer=answer)
        where = f"wrong at {units(task)[:-1]} {verdict.position:,} of {verdict.digits:,}"
        if verdict.state:
            state = verdict.state if task.memory == "state" else f"{task.memory} {verdict.state}"
            where += f", in state '{state}', reading '{verdict.symbol}'"
        shortest = "a shortest counterexample" if verdict.shortest else "it may not be the shortest"
        if verdict.answered == verdict.expected:  # by chance: there the logit is not a number
            wrong = f"{wrong}, but with an output that is not a number"
        else:
            wrong = f"{wrong}, right is {right}"
        found = f"REFUTED     {wrong}\n            ({where}; {shortest})"
        return "\n".join([found, *_shares(verdict.shares, task)])
    tried = "\n            ".join(verdict.tried)
    return f"undecided   neither proved nor refuted for {what} of any length:\n            {tried}"


def _shares(shares: Sequence[Share], task: Task) -> list[str]:
    """Of random problems, a row for each length: how many are wrong, and what that says of all."""
    if not shares:
        return []
    lines = [f"sampled     {units(task):<11}{'wrong':<18}share that is wrong, 95 % confidence"]
    for share in shares:
        low, high = (f"{100 * end:.{2 if end < 0.995 else 4}g}" for end in share.interval)
        count = f"{share.wrong:,} of {share.problems:,}"
        lines.append(f"            {share.digits:<11,}{count:<18}{low} % to {high} %")
    return lines


def evaluation(evaluation: Evaluation, task: Task) -> str:
    """What was tested, and how it came out."""
    return "\n".join([exhaustive(evaluation.exhaustive, task), sampled(evaluation.sampled, task)])


def exhaustive(result: Exhaustive, task: Task) -> str:
    """All problems of some length, in one line, and a wrong one if there is."""
    noun = {1: "numbers", 2: "pairs of numbers", 3: "triples of numbers"}.get(
        task.operands, f"{task.operands}-tuples of numbers"
    )
    scope = f"all {result.pairs:,} {noun} with up to {result.digits} digits"
    if not task.numeric:
        scope = f"all {result.pairs:,} words of {result.digits} symbols"
    if result.wrong is None or result.answered is None:
        lines = [f"exhaustive  right on {scope}, smallest margin {margin(result.margin)}"]
    else:
        example = task.write(result.wrong, result.answered)
        lines = [
            f"exhaustive  WRONG on {result.pairs - result.right:,} of {scope}, for example",
            f"            {example}   (smallest margin {margin(result.margin)})",
        ]
    return "\n".join([*lines, *_doubts([result])])


def _doubts(results: Sequence[Exhaustive | Sampled]) -> list[str]:
    """A line where some problems are within rounding of zero."""
    doubtful = sum(result.doubtful for result in results)
    differ = sum(result.differ for result in results)
    if not doubtful:
        return []
    engines = f"engines disagree on at least {differ:,}" if differ else "engines may disagree"
    if doubtful == sum(result.pairs for result in results):
        return [f"            (rounding could decide any of them: {engines}; judged one by one)"]
    return [f"            ({doubtful:,} within rounding of zero: {engines}; judged one by one)"]


def bounded(result: Exhaustive, task: Task) -> str:
    """What is shown for numbers of some length and no longer: by trying them all."""
    if result.right < result.pairs:
        return exhaustive(result, task)
    return (
        f"bounded     right for all {subjects(task)} of up to {result.digits} {units(task)}, and "
        "nothing is known "
        f"of longer ones:\n            by exhaustion, all {result.pairs:,} problems were tried, "
        f"smallest margin {margin(result.margin)}"
        + "".join(f"\n{line}" for line in _doubts([result]))
    )


def sampled(results: Iterable[Sampled], task: Task) -> str:
    """Longer problems: a row for each length, a column for each kind of sample."""
    lines = [f"sampled     {units(task):<11}uniform       long chains   smallest margin"]
    by_digits: dict[int, dict[str, Sampled]] = {}
    for result in results:
        by_digits.setdefault(result.digits, {})[result.kind] = result
    for digits, row in by_digits.items():
        counts = [f"{part.right:,} of {part.pairs:,}" for part in row.values()]
        errors = [part.first_error for part in row.values() if part.first_error is not None]
        first = f"   WRONG first at position {min(errors):,}" if errors else ""
        smallest = min(part.margin for part in row.values())
        columns = "".join(f"{count:<14}" for count in counts)
        lines.append(f"            {digits:<11,}{columns}{margin(smallest)}{first}")
    lines += _doubts([part for row in by_digits.values() for part in row.values()])
    lines.append(
        f"            (tests of the problems counted; not a proof for other {subjects(task)})"
    )
    return "\n".join(lines)


def automaton(extraction: Extraction, comparison: Comparison, task: Task) -> str:
    """The machine that a network has learned, and how it differs from the task's."""
    machine = extraction.machine
    count = len(machine.states)
    how = (
        f"that answer all of {extraction.tested:,} test words as the network does"
        if extraction.complete
        else f"which answer {extraction.agreed:,} of {extraction.tested:,} test words as the "
        "network does: it has more states, or is within rounding of zero"
    )
    lines = [f"learned     {count} state{'s' * (count > 1)}, {how}", ""]
    shown = min(count, _STATES), min(len(machine.symbols), _SYMBOLS)
    part = Machine(
        states=machine.states,
        symbols=machine.symbols[: shown[1]],
        outputs=machine.outputs,
        delta=tuple(row[: shown[1]] for row in machine.delta),
        output=tuple(row[: shown[1]] for row in machine.output),
    )
    table = str(part).split("\n")[: shown[0] + 1]
    lines += [f"            {row}" for row in table]
    left = [
        f"{whole - some:,} more {what}"
        for whole, some, what in (
            (count, shown[0], "states"),
            (len(machine.symbols), shown[1], "symbols"),
        )
        if whole > some
    ]
    if left:
        lines.append(f"            and {', '.join(left)}: --json has them all")
    lines.append("            (next state / output, under each symbol)")
    if comparison.word is None:
        names = ", ".join(
            f"{state} is {task.memory} {name}"
            for state, name in zip(machine.states, comparison.names, strict=True)
        )
        return "\n".join(
            [
                *lines,
                "",
                f"compared    as far as it was tested, the same machine as the task's: {names}",
            ]
        )
    if task.numeric:
        word = " ".join(machine.symbols[a] for a in comparison.word)
    else:  # as `ask` reads it
        word = str(task.problem(comparison.word)[0])
    length = f"{len(comparison.word):,}"
    order = "least significant first; " if falling(["0", "1"], task) == ["1", "0"] else ""
    asked = "wrong" if comparison.confirmed else "right, unlike its machine"
    return "\n".join(
        [
            *lines,
            "",
            f"compared    NOT the task's machine: they differ after {length} symbols",
            f"            {word if len(word) < 200 else word[:200] + ' ...'}",
            f"            ({order}asked, the network is {asked} there)",
        ]
    )


_STATES, _SYMBOLS = 12, 12  # that a table shows


def automaton_json(extraction: Extraction, comparison: Comparison) -> dict[str, Any]:
    """The same, as plain values for JSON."""
    return {"extraction": asdict(extraction), "comparison": asdict(comparison)}


def _brief(written: str, task: Task) -> str:
    """A number or a word, or, where it is long, its ends, and of how many digits a number is."""
    if len(written) <= 40:
        return written
    digits = f" ({len(written):,} digits)" if task.numeric else ""
    return f"{written[:12]}...{written[-12:]}{digits}"


def _digits(outputs: Sequence[int | None], worked: Worked) -> str:
    names = [worked.task.machine.output_name(out) for out in outputs]
    return " ".join(falling(names, worked.task))
