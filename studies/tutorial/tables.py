"""The numbers of the study's text: how often networks that pass are wrong at some length.

    uv run --extra sweep python studies/tutorial/tables.py SWEEP

A network passes if it is right on all pairs of numbers of up to eight digits.
"""

import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from carrynet.judge.evaluation import wilson
from carrynet.sweep import table
from carrynet.sweep.outcomes import VERDICTS
from carrynet.sweep.store import Store

COLUMNS = (
    *("hidden", "learn_steps", "seed", "exhaustive_right", "exhaustive_pairs"),
    *("verdict", "counterexample", "counterexample_digits"),
)
OWN = (32, 20_000)
"""Hidden units and problems of the tutorial itself."""

Row = Mapping[str, Any]


def passes(row: Row) -> bool:
    """Whether a network was trained and is right on all pairs."""
    pairs = row["exhaustive_pairs"]
    return pairs is not None and row["exhaustive_right"] == pairs


def share(what: str, count: int, of: int) -> str:
    """A count, its share, and the interval of that at 95 %."""
    if not of:
        return f"{what}: none of none"
    low, high = (100 * end for end in wilson(count, of))
    return f"{what}: {count:,} of {of:,}, {100 * count / of:.0f} % ({low:.1f} - {high:.1f} %)"


def numbers(rows: Collection[Row]) -> Iterator[str]:
    """What the text says, line by line."""
    yield share("wrong on some of the pairs", sum(not passes(row) for row in rows), len(rows))
    yield from _of_those_that_pass(rows)
    yield ""
    yield "The tutorial's own setting"
    yield from _of_those_that_pass([row for row in rows if _group(row) == OWN])
    yield ""
    yield "hidden units, problems: networks, those that pass, and of these " + ", ".join(VERDICTS)
    for group in sorted({_group(row) for row in rows}):
        mine = [row for row in rows if _group(row) == group]
        passed = [row["verdict"] for row in mine if passes(row)]
        counts = (len(mine), len(passed), *map(passed.count, VERDICTS))
        yield "{}, {}: ".format(*group) + ", ".join(map(str, counts))


def _group(row: Row) -> tuple[int, int]:
    return row["hidden"], row["learn_steps"]


def _of_those_that_pass(rows: Collection[Row]) -> Iterator[str]:
    passed = [row for row in rows if passes(row)]
    yield share("pass", len(passed), len(rows))
    for verdict in VERDICTS:
        count = sum(row["verdict"] == verdict for row in passed)
        yield share(f"pass, and {verdict}", count, len(rows))
        yield share("  of those that pass", count, len(passed))
    refuted = [row for row in passed if row["verdict"] == "refuted"]
    if not refuted:
        return
    digits = [row["counterexample_digits"] for row in refuted]
    shortest = min(refuted, key=lambda row: (row["counterexample_digits"], row["seed"]))
    yield f"counterexamples of {min(digits)} to {max(digits)} digits, median {median(digits):g}"
    yield f"the shortest: {shortest['counterexample']}, of seed {shortest['seed']}"


def main(folder: str) -> None:
    """Print the numbers of a sweep."""
    batches = table.batches(Store(folder), COLUMNS)
    rows = [row for batch in batches for row in batch.to_pylist()]
    sys.stdout.writelines(f"{line}\n" for line in numbers(rows))


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("usage: python studies/tutorial/tables.py SWEEP")
    main(sys.argv[1])
