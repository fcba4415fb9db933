"""Making a run's folder, for `lab.resume` to carry out: a new one, or in the place of another."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from carrynet import __version__, engines, files
from carrynet.errors import InputError, RunError
from carrynet.exchange.source import Source
from carrynet.learn import training
from carrynet.learn.mechanism import COMPILED, Mechanism
from carrynet.nets import cells
from carrynet.nets.network import Network
from carrynet.runs.format import (
    HEAD,
    RUNS,
    foreign,
    is_of_run,
    read_config,
    write_network,
)
from carrynet.runs.replace import appear, recover
from carrynet.spec.recipe import Recipe


@contextmanager
def making(
    path: str | Path | None,
    recipe: Recipe,
    engine: str = "auto",
    *,
    force: bool = False,
    origin: Network | None = None,
    source: Source | None = None,
    hardened: Path | None = None,
    mechanism: Mechanism | None = None,
) -> Iterator[Path]:
    """Make a new run folder, which appears whole or not at all, for `resume` to carry out.

    It belongs to this thread for as long as the context lasts.  Without a path it gets the
    next free name under `RUNS`.  With `force` a run that is there is replaced, but not a folder
    that holds anything else.  `source` says where a network from elsewhere came from,
    `hardened` which run is trained on: should this one come out worse, that one stays the newest;
    `mechanism` what the units of one by construction mean.

    Raises `InputError` when `path` exists, for an unknown engine, or when the recipe's origin,
    or the mechanism of one that is `COMPILED`, is not given, or the origin is not as the recipe
    says; `RunError` when the folder cannot be written, or is being written.
    """
    if recipe.name == COMPILED and not recipe.stages and mechanism is None:
        raise InputError(
            f"recipe {COMPILED} has no training, and what its units mean is not in it: 'carrynet "
            "compile' makes such a network"
        )
    training.start(recipe, origin)
    chosen = engines.get(engine, recipe, quietly=True).name
    document = None if mechanism is None else files.json_text(mechanism.to_json())
    config = _first_config(recipe, chosen, source, hardened, document)
    fill = partial(_begin, recipe, config, origin, document)
    lock = None
    if path is not None:
        # the name itself, for '.' and the like, but not what a link points to
        place, shown = Path(os.path.abspath(path)), Path(path)  # noqa: PTH100
        if is_of_run(place):
            raise InputError(f"{shown} is a file of a run: choose another folder")
        recover(place)
        if os.path.lexists(place):
            _check_replaceable(shown, place, force)
        lock = files.guard(path, appear, place, fill, force)
        if lock is None:
            raise _exists(shown)
    while lock is None:
        place = shown = fresh_path(recipe)
        # None where another process has just taken the name
        lock = files.guard(place, appear, place, fill, False)
    try:
        engines.get(engine, recipe)  # which says what is used, now that nothing is in the way
        yield shown
    finally:
        lock.__exit__()


def _exists(path: Path) -> InputError:
    return InputError(f"{path} exists: choose another folder, or --force to replace it")


def _check_replaceable(path: Path, place: Path, force: bool) -> None:
    if not force:
        raise _exists(path)
    try:
        read_config(place)
    except RunError:
        raise InputError(f"{path} is not a run: --force replaces nothing else") from None
    if place.is_symlink():
        raise InputError(f"{path} is a link: --force replaces folders only")
    if place in (Path.cwd(), *Path.cwd().parents):
        raise InputError(f"{path} is where you are: --force cannot replace it from inside")
    for file in sorted(place.iterdir()):
        theirs = foreign(file)
        if theirs is not None:
            shown = files.printable(theirs.relative_to(place))
            raise InputError(f"{path} holds {shown}, which is not carrynet's: move it away first")


def _first_config(
    recipe: Recipe,
    engine: str,
    source: Source | None,
    hardened: Path | None,
    mechanism: str | None,
) -> dict[str, Any]:
    more = {
        "source": source and source.to_json(),
        "hardened": hardened and str(hardened),
        "mechanism_sha256": mechanism and files.sha256(mechanism.encode()),
    }
    return {
        **HEAD,
        "carrynet": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "engine": engine,
        "recipe_sha256": files.sha256(recipe.to_toml().encode()),
        "status": "training",
        **{key: value for key, value in more.items() if value is not None},
    }


def _begin(
    recipe: Recipe,
    config: Mapping[str, Any],
    origin: Network | None,
    mechanism: str | None,
    folder: Path,
) -> None:
    """Write what a run begins with."""
    files.write(folder / "recipe.toml", recipe.to_toml())
    if origin is not None:
        write_network(folder / "origin.safetensors", origin)
    if mechanism is not None:
        files.write(folder / "mechanism.json", mechanism)
    files.write_json(folder / "config.json", config)


def fresh_path(recipe: Recipe, root: str | Path = RUNS) -> Path:
    """A name for a new run under `root`, numbered after those that are there.

    It says recipe, task, cell (where that is not Elman's, the usual one), units and seed.
    """
    root = Path(root)
    numbers = [
        int(match[1])
        for folder in (root.iterdir() if root.is_dir() else ())
        if (match := re.match(r"(\d{4,})-", folder.name))
    ]
    cell = cells.name_of(cells.of(recipe)[0])
    what = recipe.task if cell == "elman" else f"{recipe.task}-{cell[:40]}"
    text = f"{recipe.name[:40]}-{what}-h{recipe.hidden}-s{recipe.seed}"
    return root / f"{max(numbers, default=0) + 1:04}-{re.sub(r'[^A-Za-z0-9]+', '-', text)}"
