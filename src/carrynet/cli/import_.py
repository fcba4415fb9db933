"""`carrynet import`."""

from pathlib import Path

import click

from carrynet.cli import options
from carrynet.spec.recipe import Recipe

ACTIVATIONS = Recipe.__dataclass_fields__["activation"].metadata["choices"]


@click.command("import")
@click.argument("weights", type=click.Path(path_type=Path))
@click.option(
    "--task",
    help="What the network has learned.  [default: what a file of carrynet's says, or add]",
)
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="KEY=EXPRESSION",
    help="Which tensors are Wxh, Whh, bh, Why, by: names, with .T, [:, :2], +, @ and 2*, as in "
    "bh=b1+b2 or Wxh=W.T; by=0 for no bias.  Where an output is 1: logit=0.5, where the logit "
    "exceeds 0.5, or p=0.5, where its sigmoid does.  [default: what names and shapes tell]",
)
@click.option(
    "--activation",
    help=f"Of its cell: {', '.join(ACTIVATIONS)}.  "
    "[default: what the file says, or what is right on samples]",
)
@click.option(
    "--head",
    help="Between its linear layers: relu, tanh, sigmoid or none; or, by commas, for each place "
    "around them.  [default: what the file says, or what is right on samples]",
)
@click.option(
    "--coding",
    help="What symbols are fed as: 0/1 or -1/+1, the bits; numbers or one-hot, the digits; joint "
    "or symbols, one-hot vectors of the symbols; 'from 0', 'from 1' or 'from 2', their numbers, "
    "counted from there; own, as the task's file says.  "
    "[default: what is right on samples]",
)
@click.option(
    "--delay",
    type=click.IntRange(0, 2),
    help="How many steps each answer comes late; only 0 can be taken.  "
    "[default: what is right on samples]",
)
@click.option(
    "--leave-out",
    "leave_out",
    multiple=True,
    metavar="NAME",
    help="A tensor that plays no part in the answers, as the run will record; * for any text.",
)
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    help="What the network answers to some words: .npz with words (N, T) and outputs or logits, or "
    "CSV.  It is compared with them, position by position, and read as they show.",
)
@options.tested_digits
@options.new_run
@options.force
@options.budget(0.0)
@options.as_json
def import_(
    weights: Path,
    task: str | None,
    maps: tuple[str, ...],
    activation: str | None,
    coding: str | None,
    delay: int | None,
    head: str | None,
    samples: Path | None,
    leave_out: tuple[str, ...],
    digits: int | None,
    out: Path | None,
    force: bool,
    budget: float,
    as_json: bool,
) -> None:
    """Make a run of a network that was trained elsewhere.

    From PyTorch, ONNX, Keras, Flax, Equinox, safetensors or npz.

    RNN, GRU and LSTM are taken, of any number of layers, with an embedding or linear layers
    before and a head of linear layers after.  ONNX and Keras say what they compute; tensors of
    PyTorch, Equinox and Flax are known by their names, an Elman cell also where shapes leave one
    possibility.  What carrynet exported says its task; its cell is in carrynet's own .safetensors
    alone.  What is said neither here nor there is tried on sample problems: activations, bits as
    0 and 1 or as -1 and +1, a cut at logit 0 or 0.5, answers that come up to 2 steps late; or,
    with --samples, on what the network itself answered.
    """
    from carrynet import lab
    from carrynet.cli.runs import carry_out
    from carrynet.exchange import foreign
    from carrynet.runs.create import making
    from carrynet.spec import tasks

    contents = foreign.read(weights)
    meant = foreign.task_of(contents, None if task is None else tasks.parse(task))
    taken = foreign.take(
        contents,
        meant,
        foreign.Mapping.parse(maps),
        activation=activation,
        coding=coding,
        delay=delay,
        head=head,
        samples=None if samples is None else foreign.read_samples(samples, meant),
        leave_out=leave_out,
    )
    recipe = lab.importing(taken.network, digits)
    with making(out, recipe, force=force, origin=taken.network, source=taken.source) as folder:
        for line in taken.notes:
            click.echo(line, err=True)
        carry_out(folder, budget, as_json)
