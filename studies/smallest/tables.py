"""The tables of the study: how few units, parameters and examples are enough to add, proved.

    uv run --extra sweep python studies/smallest/tables.py units SWEEP > studies/smallest/units.csv

and the same of `examples`.  `parameters` are the numbers that are trained; without biases those
stay zero and are left out.  `right` is right on all pairs of numbers of up to eight digits.
"""

import csv
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from carrynet.learn import training
from carrynet.spec.recipe import Recipe
from carrynet.sweep import table
from carrynet.sweep.outcomes import VERDICTS
from carrynet.sweep.store import Store

KEYS = {"units": ("cell", "biases", "hidden"), "examples": ("examples",)}
COUNTS = ("networks", "right", *VERDICTS)


def parameters(recipe: Recipe) -> int:
    """How many numbers a recipe trains."""
    weights = training.start(recipe).network.weights.values()
    return sum(w.size for w in weights if recipe.biases or w.ndim > 1)


def count(
    rows: Iterable[Mapping[str, Any]], keys: Iterable[str], recipe_of: Any
) -> list[dict[str, Any]]:
    """One row for each combination of values, in order; `recipe_of` takes a trial's number."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        values = {key: row[key] for key in keys}
        group = groups.setdefault(tuple(values.values()), values | dict.fromkeys(COUNTS, 0))
        group.setdefault("parameters", parameters(recipe_of(row["number"])))
        group["networks"] += 1
        pairs = row["exhaustive_pairs"]
        group["right"] += pairs is not None and row["exhaustive_right"] == pairs
        if row["verdict"] in VERDICTS:
            group[row["verdict"]] += 1
    return [groups[values] for values in sorted(groups)]


def write(groups: Iterable[Mapping[str, Any]], keys: Iterable[str], file: TextIO) -> None:
    """The groups as CSV."""
    writer = csv.DictWriter(file, (*keys, "parameters", *COUNTS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(groups)


def main(which: str, folder: str) -> None:
    """Print the table of a sweep."""
    store, keys = Store(folder), KEYS[which]
    wanted = ("number", *keys, "verdict", "exhaustive_right", "exhaustive_pairs")
    rows = (row for batch in table.batches(store, wanted) for row in batch.to_pylist())
    write(count(rows, keys, store.plan().recipe), keys, sys.stdout)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in KEYS or not Path(sys.argv[2]).is_dir():
        raise SystemExit(f"usage: python studies/smallest/tables.py {'|'.join(KEYS)} SWEEP")
    main(*sys.argv[1:])
