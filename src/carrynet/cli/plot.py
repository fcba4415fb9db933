"""`carrynet plot`."""

from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import show as open_page, tell
from carrynet.errors import InputError


@click.command()
@click.argument("sweep", metavar="DIR")
@click.option("--x", help="Key that runs across.  [default: what the plan varies, numbers first]")
@click.option("--y", help="Key that runs upwards; 'none' for curves over x alone.")
@click.option(
    "--where", multiple=True, metavar="KEY=VALUE", help="Only these networks: hidden=8, seed=0..9."
)
@click.option(
    "--format", "form", type=click.Choice(["png", "svg", "both"]), default="both", show_default=True
)
@options.new("Folder for the figures and the page.  [default: plots/ and report.html in DIR]")
@click.option(
    "--page", "only_page", is_flag=True, help="The page alone, which needs no matplotlib."
)
@click.option("--open", "show", is_flag=True, help="Show the page in the browser.")
@options.as_json
def plot(
    sweep: str,
    x: str | None,
    y: str | None,
    where: tuple[str, ...],
    form: str,
    out: Path | None,
    only_page: bool,
    show: bool,
    as_json: bool,
) -> None:
    """Draw what became of a sweep's networks: figures and a page.

    Figures are maps of rates over two keys, or curves over one, distributions of margins, and
    lengths of counterexamples; whatever else the plan varies is counted together.  The page is
    of the whole sweep, and begins with x and y.
    """
    from carrynet.report import figures, page, sweep_page, sweep_plots
    from carrynet.sweep import Store, census

    if only_page and where:
        raise InputError("--where is for figures: the page holds the whole sweep, to choose from")
    if "://" in sweep and out is None and not only_page:
        raise InputError("figures of a sweep elsewhere need a folder here: give --out FOLDER")
    store = Store(sweep)
    drawn: list[str] = []
    keys = census.choose(store.plan(), x, y, where)
    if not only_page:
        try:
            figures.require_library()
        except InputError as error:
            raise InputError(f"{error}; --page writes the page alone, without") from None
        taken = census.take(store, keys, where)
        formats = ("png", "svg") if form == "both" else (form,)
        files = sweep_plots.write(taken, out or Path(sweep) / "plots", formats, where)
        drawn = [str(file) for file in files]
    written = sweep_page.write(store, out and out / page.NAME, keys)
    if as_json:
        tell({"sweep": sweep, "page": str(written), "figures": drawn})
    else:
        tell("\n".join([*drawn, str(written)]))
    if show and "://" in written:
        raise InputError("--open is for a page on this machine: give --out FOLDER")
    open_page(Path(written), show)
