"""`carrynet compile`."""

from pathlib import Path
from typing import Any

import click

from carrynet.cli import options
from carrynet.nets import cells

CELLS, ACTIVATIONS = (", ".join(names) for names in (("elman", *cells.CELLS), cells.ACTIVATIONS))


@click.command("compile")
@click.argument("task")
@click.option("--cell", help=f"{CELLS}; or a stack, as in gru,lstm.  [default: elman]")
@click.option("--activation", help=f"Of Elman's cell: {ACTIVATIONS}.  [default: sigmoid]")
@click.option("--scale", type=float, help="Size of the pre-activations.  [default: by rule]")
@click.option("--copies", type=int, help="Units for each role.  [default: 1]")
@click.option("--spare", type=int, help="Units in each layer that mean nothing.  [default: 0]")
@click.option("--noise", type=float, help="Change every weight by up to this part of it, as 0.1.")
@click.option("--shuffle", is_flag=True, default=None, help="Put units in a random order.")
@click.option(
    "--flip", is_flag=True, default=None, help="Let some units be low where their role holds."
)
@click.option("--seed", type=int, help="Of all that is random.  [default: 0]")
@click.option("--dtype", help="Of the weights: float32, float64.  [default: float32]")
@options.tested_digits
@options.new_run
@options.force
@options.budget(0.0)
@options.as_json
def compile_(
    task: str,
    digits: int | None,
    out: Path | None,
    force: bool,
    budget: float,
    as_json: bool,
    **named: Any,
) -> None:
    """Make a run of weights by construction, for a machine.

    For example: compile parity --cell gru.

    TASK is a name or a file, as of train.  Nothing is trained: a unit stands for each pair of a
    state and a symbol, and mechanism.json in the run says which.  It is tested and proved as any
    other.
    """
    from carrynet import lab
    from carrynet.cli.runs import carry_out
    from carrynet.learn import compile as compiling
    from carrynet.learn.mechanism import Construction
    from carrynet.runs.create import making
    from carrynet.spec import tasks

    given = {key: value for key, value in named.items() if value is not None}
    how = Construction(**given)
    network, mechanism = compiling.build(tasks.parse(task), how)
    recipe = lab.importing(network, digits, **mechanism.settings)
    with making(out, recipe, force=force, origin=network, mechanism=mechanism) as folder:
        carry_out(folder, budget, as_json)
