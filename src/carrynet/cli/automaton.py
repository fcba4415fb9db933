"""`carrynet automaton`."""

from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import as_text, leave
from carrynet.errors import InputError
from carrynet.spec import automata, tables
from carrynet.spec.machine import Machine


@click.command()
@options.run
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "svg", "toml", "dot", "openfst"]),
    help="[default: text]",
)
@options.new("File to write; with openfst its symbol tables too, .isyms and .osyms.")
@options.as_json
def automaton(run: Path | None, form: str | None, out: Path | None, as_json: bool) -> None:
    """Show the machine that a network has learned.

    It is found by asking the network.

    The formats toml, dot and openfst are files for --task; toml says also what its task says of
    numbers, of what the network is fed, and where nothing is asked.
    """
    from carrynet import files
    from carrynet.cli.runs import load
    from carrynet.judge import extraction as extract
    from carrynet.report import drawing, text

    options.check_format(form, as_json)
    form = form or "text"
    if form == "openfst" and (out is None or out.suffix in _SYMBOLS):
        raise InputError("OpenFst's text needs its symbol tables beside it: give --out FILE.fst")
    loaded = load(run)
    extraction = extract.extract(loaded.network)
    comparison = extract.compare(loaded.network, extraction.machine)
    if as_json:
        shown = as_text({"run": str(loaded.path), **text.automaton_json(extraction, comparison)})
    elif form == "text":
        shown = text.automaton(extraction, comparison, loaded.network.task) + "\n"
    elif form == "toml":
        shown = tables.to_toml(extract.as_task(loaded.network, extraction.machine))
    elif form == "openfst":
        assert out is not None
        shown, *symbols = automata.to_openfst(extraction.machine)
        stem = out.name.partition(".")[0]  # as who reads them looks for them
        for suffix, table in zip(_SYMBOLS, symbols, strict=True):
            files.write(out.with_name(stem + suffix), table)
    else:
        draw = {"svg": drawing.svg, "mermaid": Machine.to_mermaid, "dot": Machine.to_dot}[form]
        shown = draw(extraction.machine)
    if out is None:
        click.echo(shown, nl=False)
    else:
        files.write(out, shown)
    leave(comparison.word is None and extraction.complete)


_SYMBOLS = (".isyms", ".osyms")  # how the names of OpenFst's symbol tables end
