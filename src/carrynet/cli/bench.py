"""`carrynet bench`."""

import click

from carrynet.cli import options
from carrynet.cli.output import tell


@click.command()
@click.option(
    "--only",
    multiple=True,
    help="tutorial, batches, training, populations, exhaustive, building, process.",
)
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, show_default=True)
@options.as_json
def bench(only: tuple[str, ...], rounds: int, as_json: bool) -> None:
    """Measure this machine: carrynet beside what else is installed.

    The tutorial's loop is among that.
    """
    from carrynet import bench as benchmarks

    results = benchmarks.comparisons(only, rounds, tell=lambda text: click.echo(text, err=True))
    machine = benchmarks.machine()
    if as_json:
        tell({"machine": machine, "comparisons": [result.to_json() for result in results]})
    else:
        facts = ", ".join(f"{name} {value}" for name, value in machine.items())
        tell("\n\n".join([facts, *(result.to_markdown() for result in results)]))
