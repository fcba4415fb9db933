"""`carrynet explain`."""

import shutil
from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import leave, tell


@click.command(context_settings=options.OPERANDS_FOLLOW)
@click.argument("arguments", nargs=-1, required=True, metavar="[RUN] PROBLEM ...")
@options.run_option
@options.digits
@options.as_json
def explain(
    arguments: tuple[str, ...], run: Path | None, digits: int | None, as_json: bool
) -> None:
    """Show a problem digit by digit, with margins and hidden units.

    PROBLEM is numbers or, of a task without numbers, a word of its symbols. RUN may come
    first, unless its name is a number; then use --run.
    """
    from carrynet.cli.runs import load
    from carrynet.judge.work import work
    from carrynet.report.worked import explanation, explanation_json

    if run is None:
        run, arguments = options.run_first(arguments)
    loaded = load(run)
    asked = options.problem(loaded.network.task, arguments)
    worked = work(loaded.network, asked, digits, hidden=True)
    if as_json:
        tell({"run": str(loaded.path), **explanation_json(worked)})
    else:
        wide = shutil.get_terminal_size((0, 0)).columns  # 0: not a terminal, and as wide as it is
        tell(explanation(worked, loaded.network, wide or None))
    leave(worked.right)
