"""The table of the study: what became of the networks of a sweep, by task, cell and recipe.

    uv run --extra sweep python studies/regular/tables.py SWEEP > studies/regular/table.csv

A network is `right` where it answers rightly after every symbol of every word that was drawn:
256 uniform words of 500 symbols.  `right_walked` is the same of the words beside them, of which a
part hold on to a state for long and a part lead through all that the machine can do.  `shortest` is
the length of the shortest word that was found to be wrong, of those that are refuted.
"""

import csv
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from carrynet.sweep import table
from carrynet.sweep.outcomes import VERDICTS
from carrynet.sweep.store import Store

KEYS = ("task", "cell", "recipe")
SAMPLES = {"right": "uniform_500", "right_walked": "chains_500"}
COUNTS = ("networks", *SAMPLES, *VERDICTS, "right_refuted")
COLUMNS = (*KEYS, *COUNTS, "shortest", "training_seconds", "proof_seconds")
_NEEDED = (
    *(*KEYS, "verdict", "counterexample_digits", "training_seconds", "proof_seconds"),
    *(f"{sample}_{part}" for sample in SAMPLES.values() for part in ("right", "pairs")),
)


def count(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each task, cell and recipe, in the order in which they come."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in KEYS)
        empty = dict.fromkeys(COUNTS, 0) | {"training_seconds": 0.0, "proof_seconds": 0.0}
        group = groups.setdefault(key, dict(zip(KEYS, key, strict=True)) | empty)
        group["networks"] += 1
        for name, sample in SAMPLES.items():
            pairs = row[f"{sample}_pairs"]
            group[name] += pairs is not None and row[f"{sample}_right"] == pairs
        if row["verdict"] in VERDICTS:
            group[row["verdict"]] += 1
        if row["verdict"] == "refuted":
            all_right = row["uniform_500_right"] == row["uniform_500_pairs"]
            group["right_refuted"] += all_right
            length = row["counterexample_digits"]
            group["shortest"] = min(length, group.get("shortest", length))
        for name in ("training_seconds", "proof_seconds"):
            group[name] += row[name] or 0.0
    for group in groups.values():
        for name in ("training_seconds", "proof_seconds"):  # of one network, on average
            group[name] = round(group[name] / group["networks"], 3)
    return list(groups.values())


def write(groups: Iterable[Mapping[str, Any]], file: TextIO) -> None:
    """The groups as CSV."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(groups)


def main(folder: str) -> None:
    """Print the table of a sweep."""
    rows = (row for batch in table.batches(Store(folder), _NEEDED) for row in batch.to_pylist())
    groups = count(rows)
    plan = Store(folder).plan()
    order = {axis.key: list(axis.values) for axis in plan.axes if axis.key in KEYS}
    groups.sort(key=lambda g: [order[k].index(g[k]) if k in order else 0 for k in KEYS])
    write(groups, sys.stdout)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("usage: python studies/regular/tables.py SWEEP")
    main(sys.argv[1])
