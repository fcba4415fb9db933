"""`carrynet harden`."""

from pathlib import Path

import click

from carrynet.cli import options


@click.command()
@options.run
@options.budget(0.0)
@options.settings
@click.option("--engine", default="auto", help="auto, native, numpy, jax.  [default: auto]")
@options.new_run
@options.force
@options.as_json
def harden(
    run: Path | None,
    budget: float,
    settings: tuple[str, ...],
    engine: str,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Train a run on until it is easy to prove: a new run.

    It is trained against its worst case.  Where the new run gets fewer problems right, or has
    lost a proof, RUN stays the newest.
    """
    from carrynet.cli.runs import carry_out, load
    from carrynet.learn import training
    from carrynet.runs.create import making

    old = load(run)
    recipe = training.hardening(old.recipe, old.network).with_settings(
        options.parse_settings(settings)
    )
    with making(out, recipe, engine, force=force, origin=old.network, hardened=old.path) as folder:
        carry_out(folder, budget, as_json)
