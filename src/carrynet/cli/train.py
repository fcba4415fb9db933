"""`carrynet train`."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from carrynet.cli import options
from carrynet.errors import InputError, shorten
from carrynet.nets import cells
from carrynet.spec import recipe as recipes, tasks
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage, accepted

RECIPES = ", ".join(sorted(recipes.RECIPES, key=lambda name: name != recipes.DEFAULT))


def _keys() -> options.Keys:
    ways = [
        ("NAME", ", ".join(("elman", *cells.CELLS))),
        ("NAME,NAME", "a stack, as in gru,lstm"),
        ("FILE.cell", "equations"),
    ]
    return {"Cells": ways, **recipe_keys()}


def recipe_keys() -> options.Keys:
    """Every key of a recipe and of its stages, with what it does and what it accepts."""
    return {"Keys of a recipe": _settings(Recipe), "Keys of a stage": _settings(Stage)}


def _settings(kind: type[Recipe] | type[Stage]) -> list[tuple[str, str]]:
    rows = []
    for f in fields(kind):
        if f.metadata:
            default = "default " + ("''" if f.default == "" else f"{f.default}")
            details = "; ".join(filter(None, (default, accepted(f))))
            rows.append((f.name, f"{f.metadata['help']} ({details})"))
    return rows


@click.command(cls=options.WithKeys, keys=_keys)
@click.option("--recipe", "-r", help=f"{RECIPES} or FILE.toml.  [default: {recipes.DEFAULT}]")
@click.option("--task", help=f"{', '.join(tasks.FAMILIES)}; or FILE.toml, FILE.dot, FILE.fst.")
@click.option("--cell", metavar="NAME|FILE", help="How hidden units are computed: see below.")
@click.option(
    "--length", "digits", type=int, help="Length of the training problems, answer included."
)
@click.option("--digits", type=int, hidden=True)  # what --length was called; elsewhere of operands
@click.option("--hidden", type=int, help="Number of hidden units.")
@click.option("--seed", type=int, help="The only source of randomness.")
@options.settings
@click.option("--engine", help="auto, native, numpy, jax.  [default: auto]")
@options.new_run
@options.force
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with an interrupted run.")
@click.option(
    "--origin",
    type=click.Path(path_type=Path),
    help="The model.safetensors that a recipe with an origin begins with.",
)
@options.budget(0.0)
@options.as_json
def train(
    recipe: str | None,
    settings: tuple[str, ...],
    engine: str | None,
    out: Path | None,
    force: bool,
    resume: Path | None,
    origin: Path | None,
    budget: float,
    as_json: bool,
    **named: Any,
) -> None:
    """Train a network, test it, try to prove it, and write the run."""
    given = {key: value for key, value in named.items() if value is not None}
    if resume is not None and (recipe or settings or engine or out or force or origin or given):
        raise click.UsageError("--resume goes on with the run's own recipe: give it alone")
    said = options.parse_settings(settings)
    for key, value in given.items():
        if said.setdefault(key, value) != value:
            option = {"digits": "length"}.get(key, key)
            raise InputError(f"--{option} {value} and --set {key}={said[key]}: give one of them")
    chosen = cells.recipe(recipe or recipes.DEFAULT, said)

    from carrynet.cli.runs import carry_out
    from carrynet.runs.create import making
    from carrynet.runs.folder import read_network

    if resume is not None:
        carry_out(resume, budget, as_json)
        return
    if origin is not None and not origin.exists():
        raise InputError(f"cannot read {shorten(str(origin), 200)}: no such file or folder")
    begin = None if origin is None else read_network(origin)
    with making(out, chosen, engine or "auto", force=force, origin=begin) as folder:
        carry_out(folder, budget, as_json)
