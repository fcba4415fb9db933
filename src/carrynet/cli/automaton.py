"""`carrynet automaton`."""

from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import leave, tell
from carrynet.spec.machine import Machine


@click.command()
@options.run
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "svg", "dot"]),
    default="text",
    show_default=True,
)
@options.as_json
def automaton(run: Path | None, form: str, as_json: bool) -> None:
    """Show the machine that a network has learned, found by asking it."""
    from carrynet.cli.runs import load
    from carrynet.judge import extraction as extract
    from carrynet.report import drawing, text

    loaded = load(run)
    extraction = extract.extract(loaded.network)
    comparison = extract.compare(loaded.network, extraction.machine)
    if as_json:
        tell({"run": str(loaded.path), **text.automaton_json(extraction, comparison)})
    elif form == "text":
        tell(text.automaton(extraction, comparison, loaded.network.task))
    else:
        draw = {"svg": drawing.svg, "mermaid": Machine.to_mermaid, "dot": Machine.to_dot}[form]
        click.echo(draw(extraction.machine), nl=False)
    leave(comparison.word is None and extraction.complete)
