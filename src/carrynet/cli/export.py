"""`carrynet export`."""

from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import tell
from carrynet.exchange.formats import FORMATS


@click.command(epilog="Formats: " + "; ".join(f"{to}, {what}" for to, (_, what) in FORMATS.items()))
@options.run
@click.option("--to", type=click.Choice(list(FORMATS)), required=True, help="The format.")
@options.new("File to write.  [default: named after the run, here]")
@click.option("--force", is_flag=True, help="Replace the file.")
@options.as_json
def export(run: Path | None, to: str, out: Path | None, force: bool, as_json: bool) -> None:
    """Write a network as ONNX, PyTorch, Keras, C or safetensors.

    The file says what is proved of the network, by the digest of its certificate, or that nothing
    is; and whose arithmetic that covers.
    """
    from carrynet import lab
    from carrynet.cli.runs import load

    loaded = load(run)
    made = lab.export(loaded, to=to, out=out, force=force)
    tell({"run": str(loaded.path), **made.to_json()} if as_json else str(made))
