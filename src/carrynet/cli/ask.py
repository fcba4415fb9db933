"""`carrynet ask`: one problem of any task, in columns."""

import shutil
from contextlib import suppress
from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import leave, tell
from carrynet.errors import InputError, shorten
from carrynet.spec.recipe import Recipe


@click.command(context_settings=options.OPERANDS_FOLLOW)
@click.argument("arguments", nargs=-1, required=True, metavar="[RUN] PROBLEM ...")
@options.run_option
@options.digits
@options.as_json
def ask(arguments: tuple[str, ...], run: Path | None, digits: int | None, as_json: bool) -> None:
    """Let a network work one problem: carrynet ask 118 8.

    PROBLEM is numbers or, of a task without numbers, a word of its symbols. RUN may come
    first, if it is a folder.
    """
    from carrynet.judge.work import work
    from carrynet.report.worked import columns
    from carrynet.runs.folder import newest, read_network

    if run is None:
        run, arguments = options.run_first(arguments)

    def fits(recipe: Recipe) -> bool:
        with suppress(InputError):
            task = recipe.specification
            task.encode(options.problem(task, arguments), digits)
            return True
        return False

    if run is None:
        what = "run of a task with such a problem"
        if len(arguments) > 1:  # of which the first was perhaps meant to be one
            what = f"folder {shorten(arguments[0])}, nor a {what}"
        run = newest(fits=fits, what=what, make="train --task ...")
    network = read_network(run)
    worked = work(network, options.problem(network.task, arguments), digits)
    if as_json:
        tell({"run": str(run), "task": network.task.text, **worked.to_json()})
    else:
        tell(columns(worked, width=shutil.get_terminal_size((100, 24)).columns))
    leave(worked.right)
