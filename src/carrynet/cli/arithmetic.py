"""`carrynet add`, `subtract`, `compare` and `multiply`: one command, for four families of tasks."""

import shutil
from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import leave, tell
from carrynet.errors import InputError
from carrynet.spec import tasks
from carrynet.spec.recipe import Recipe


def _solving(command: str, family: str, count: int, about: str) -> click.Command:
    """The command that lets a network of some family of tasks work one problem."""
    many = "NUMBER ..." if count < 0 else " ".join(["NUMBER"] * count)

    @click.command(command, help=about, context_settings=options.OPERANDS_FOLLOW)
    @click.argument("arguments", nargs=-1, required=True, metavar=f"[RUN] {many}")
    @options.run_option
    @options.digits
    @options.as_json
    def solve(
        arguments: tuple[str, ...], run: Path | None, digits: int | None, as_json: bool
    ) -> None:
        from carrynet.judge.work import work
        from carrynet.report.worked import columns
        from carrynet.runs.folder import newest, read_network

        if run is None:
            run, arguments = options.run_first(arguments)
        operands = options.whole_numbers(arguments)

        def fits(recipe: Recipe) -> bool:
            task = recipe.specification
            return tasks.family(task) == family and task.operands == len(operands)

        if family == "add" and not 2 <= len(operands) <= 4:
            raise InputError(f"add takes two to four numbers, not {len(operands)}")
        if count not in (-1, len(operands)):
            numbers = "number" if count == 1 else "numbers"
            raise InputError(f"{command} takes {count} {numbers}, not {len(operands)}")
        if run is None:
            task = tasks.example(family, len(operands))
            what = f"run of {command} with {len(operands)} operand{'s' * (len(operands) > 1)}"
            run = newest(fits=fits, what=what, make=f"train --task {task.text}")
        network = read_network(run)
        if tasks.family(network.task) != family:
            raise InputError(f"{run} has learned {network.task.text}, not {family}")
        worked = work(network, operands, digits)
        if as_json:
            tell({"run": str(run), "task": network.task.text, **worked.to_json()})
        else:
            tell(columns(worked, width=shutil.get_terminal_size((100, 24)).columns))
        leave(worked.right)

    return solve


add = _solving("add", "add", -1, "Add numbers of any length, in columns: carrynet add 118 8.")
subtract = _solving("subtract", "subtract", 2, "Subtract the second number: carrynet subtract 5 9.")
compare = _solving(
    "compare", "compare", 2, "Say which of two numbers is larger: carrynet compare 5 9."
)
multiply = _solving(
    "multiply",
    "multiply_by",
    1,
    "Multiply by the constant of the task: carrynet multiply 14.",
)
