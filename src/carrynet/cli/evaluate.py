"""`carrynet evaluate`."""

from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import leave, tell


@click.command()
@options.run
@click.option("--digits", type=int, help=f"{options.ALL_DIGITS}  [default: the recipe's, or fewer]")
@options.as_json
def evaluate(run: Path | None, digits: int | None, as_json: bool) -> None:
    """Test a run on every short problem, and on samples of long ones."""
    from carrynet.cli.runs import load
    from carrynet.judge import evaluation
    from carrynet.learn.bar import Bar
    from carrynet.report import text

    loaded = load(run)
    if digits is None:
        digits = evaluation.affordable_digits(loaded.network.task, loaded.recipe.digits)
    with Bar() as bar:
        result = evaluation.examine(loaded.network, digits, watch=bar.watch)
    if as_json:
        tell({"run": str(loaded.path), "evaluation": result.to_json()})
    else:
        tell(text.evaluation(result, loaded.network.task))
    leave(result.right)
