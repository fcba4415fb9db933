"""The table of the study: what became of the networks of its sweeps, by task, cell and recipe.

    uv run --extra sweep python studies/regular/tables.py SWEEP ... > studies/regular/table.csv

A network is `right` where it answers rightly after every symbol of every word that was drawn:
256 uniform words of 500 symbols.  `right_walked` is the same of the words beside them, of which a
part hold on to a state for long and a part lead through all that the machine can do.  `accuracy`
is as publications have it: in how many words of lengths 41 to 500 the last answer is right, every
length and outcome alike, on average over ten networks, of seeds 0 to 9; `accuracy_best` is that of
the best of these.
`shortest` is the length of the shortest word that was found to be wrong, of those that are refuted.
"""

import csv
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from carrynet.sweep import table
from carrynet.sweep.outcomes import VERDICTS
from carrynet.sweep.plan import Plan
from carrynet.sweep.store import Store

KEYS = ("task", "cell", "recipe")
SAMPLES = {"right": "uniform_500", "right_walked": "chains_500"}
COUNTS = ("networks", *SAMPLES, *VERDICTS, "right_refuted")
PUBLISHED_SEEDS = 10
"""Of how many networks publications tell the mean accuracy, and the best."""
SECONDS = ("training_seconds", "proof_seconds")
"""What is told on average over all networks."""
COLUMNS = (*KEYS, *COUNTS, "shortest", "accuracy", "accuracy_best", *SECONDS)
_NEEDED = (
    *(*KEYS, "seed", "verdict", "counterexample_digits", *SECONDS),
    *("accuracy_right", "accuracy_words"),
    *(f"{sample}_{part}" for sample in SAMPLES.values() for part in ("right", "pairs")),
)


def count(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each task, cell and recipe, in the order in which they come."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    accuracies: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        key = tuple(row[name] for name in KEYS)
        empty = dict.fromkeys(COUNTS, 0) | dict.fromkeys(SECONDS, 0.0)
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
        for name in SECONDS:
            group[name] += row[name] or 0.0
        if row["seed"] < PUBLISHED_SEEDS:
            known = row["accuracy_words"] is not None
            accuracy = row["accuracy_right"] / row["accuracy_words"] if known else 0.0
            accuracies.setdefault(key, []).append(accuracy)
    for key, group in groups.items():
        for name in SECONDS:
            group[name] = round(group[name] / group["networks"], 3)
        if of_words := accuracies.get(key):
            group["accuracy"] = round(sum(of_words) / len(of_words), 4)
            group["accuracy_best"] = round(max(of_words), 4)
    return list(groups.values())


def in_order(groups: list[dict[str, Any]], plan: Plan) -> list[dict[str, Any]]:
    """The groups in the order of the plan's values."""
    order = {axis.key: list(axis.values) for axis in plan.axes if axis.key in KEYS}
    return sorted(groups, key=lambda g: [order[k].index(g[k]) if k in order else 0 for k in KEYS])


def write(groups: Iterable[Mapping[str, Any]], file: TextIO) -> None:
    """The groups as CSV."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(groups)


def main(folders: list[str]) -> None:
    """Print the table of some sweeps, one after the other."""
    groups = []
    for store in map(Store, folders):
        rows = (row for batch in table.batches(store, _NEEDED) for row in batch.to_pylist())
        groups += in_order(count(rows), store.plan())
    write(groups, sys.stdout)


if __name__ == "__main__":
    if len(sys.argv) < 2 or not all(Path(folder).is_dir() for folder in sys.argv[1:]):
        raise SystemExit("usage: python studies/regular/tables.py SWEEP ...")
    main(sys.argv[1:])
