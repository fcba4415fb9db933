"""`carrynet explain`."""

from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import leave, tell


@click.command(context_settings=options.OPERANDS_FOLLOW)
@click.argument("arguments", nargs=-1, required=True, metavar="[RUN] A B ...")
@options.run_option
@options.digits
@options.as_json
def explain(
    arguments: tuple[str, ...], run: Path | None, digits: int | None, as_json: bool
) -> None:
    """Show a problem digit by digit: state, output, margin and hidden units.

    RUN may come first, unless its name is a number; then use --run.
    """
    from carrynet.cli.runs import load
    from carrynet.judge.evaluation import work
    from carrynet.report import text

    numbers = arguments
    first = arguments[0]
    named = not first.lstrip("-").isdecimal() and (len(arguments) > 2 or _is_folder(first))
    if run is None and named:
        run, numbers = Path(first), arguments[1:]
    loaded = load(run)
    worked = work(loaded.network, options.whole_numbers(numbers), digits, hidden=True)
    if as_json:
        tell({"run": str(loaded.path), **text.explanation_json(worked)})
    else:
        tell(text.explanation(worked, loaded.network))
    leave(worked.right)


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except OSError:
        return False
