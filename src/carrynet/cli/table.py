"""`carrynet table`."""

from pathlib import Path

import click

from carrynet.cli import options
from carrynet.errors import InputError


@click.command()
@click.argument("sweep", metavar="DIR")
@click.option("--by", help="Columns, with commas: hidden,steps.  [default: what the plan varies]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "csv", "json", "parquet"]),
    help="[default: what FILE ends in, else text]",
)
@options.new("File to write.")
@options.as_json
def table(sweep: str, by: str | None, form: str | None, out: Path | None, as_json: bool) -> None:
    """Count what became of a sweep's networks: rates and intervals.

    Intervals are of 95 %; rates are for each group.
    """
    from carrynet import files
    from carrynet.sweep import Store, table as tables

    suffix = out.suffix[1:] if out else ""
    form = form or (suffix if suffix in tables.FORMATS else None)
    options.check_format(form, as_json)
    form = form or ("json" if as_json else "text")
    if form == "parquet" and out is None:
        raise InputError("Parquet is not for a terminal: give --out FILE")
    keys = None if by is None else [key for key in by.split(",") if key.strip()]
    result = tables.render(tables.summarise(Store(sweep), keys), form)
    if out is not None:
        files.write(out, result)
    else:
        assert isinstance(result, str)
        click.echo(result, nl=False)
