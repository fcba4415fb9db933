"""Folders of runs that nobody has worked at yet."""

from pathlib import Path
from typing import Any

from carrynet.runs.create import making
from carrynet.spec.recipe import Recipe


def create(path: str | Path | None, recipe: Recipe, engine: str = "auto", **options: Any) -> Path:
    """Make a new run's folder, and leave it to whoever comes to `resume` it."""
    with making(path, recipe, engine, **options) as folder:
        return folder
