"""`carrynet report`."""

from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import show as open_page, tell


@click.command()
@options.run
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
@options.new("File to write.  [default: report.html in RUN]")
@click.option("--plots", is_flag=True, help="Figures for papers too, in the folder 'plots' of RUN.")
@options.as_json
def report(run: Path | None, show: bool, out: Path | None, plots: bool, as_json: bool) -> None:
    """Write the page of a run, one file to look inside the network."""
    from carrynet import locks
    from carrynet.cli.runs import load, write_page
    from carrynet.report import page
    from carrynet.runs.format import PLOTS

    loaded = load(run)
    assert loaded.path is not None
    drawn: list[str] = []
    if plots:
        from carrynet.report import plots as figures

        with locks.Lock(loaded.path):
            drawn = [str(file) for file in figures.write(loaded, loaded.path / PLOTS)]
    written = page.write(loaded, out) if out else write_page(loaded)
    if as_json:
        tell({"run": str(loaded.path), "page": str(written), "figures": drawn})
    else:
        tell("\n".join([*drawn, str(written)]))
    open_page(written, show)
