"""Competitors by turns in one process: their seconds, and a table of ratios."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from carrynet.bench import rivals
from carrynet.errors import CarrynetError
from carrynet.nets.arrays import Array


@dataclass(frozen=True)
class Row:
    """One competitor in one comparison."""

    name: str
    seconds: tuple[float, ...]  # of each round
    rate: str = ""  # work per second, at the minimum

    @property
    def minimum(self) -> float:
        """The fastest round."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Comparison:
    """Competitors at the same work; ratios are to the first."""

    title: str
    rows: tuple[Row, ...]
    absent: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        first = self.rows[0].minimum
        return {
            "title": self.title,
            "rows": [
                {
                    "name": row.name,
                    "minimum_s": row.minimum,
                    "median_s": row.median,
                    "ratio": row.minimum / first,
                    "rate": row.rate,
                    "rounds": len(row.seconds),
                }
                for row in self.rows
            ],
            "absent": list(self.absent),
        }

    def to_markdown(self) -> str:
        """As a table."""
        first = self.rows[0].minimum
        lines = [f"**{self.title}**", "", "| | minimum | median | time, ours = 1 | |"]
        lines.append("|---|---:|---:|---:|---|")
        for row in self.rows:
            lines.append(
                f"| {row.name} | {_time(row.minimum)} | {_time(row.median)} "
                f"| {row.minimum / first:.3g} | {row.rate} |"
            )
        if self.absent:
            lines += ["", f"Not installed, so not measured: {', '.join(self.absent)}."]
        return "\n".join(lines)


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def measure(jobs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, ...]]:
    """Seconds of each job in each round, the jobs taking turns.

    A job of more than a second is measured in at most three rounds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds):
        for name, job in jobs.items():
            if turn >= 3 and min(seconds[name]) > 1:
                continue
            start = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - start)
    return {name: tuple(values) for name, values in seconds.items()}


def available(
    jobs: Mapping[str, Callable[[], Callable[[], Any]]],
) -> tuple[dict[str, Callable[[], Any]], tuple[str, ...]]:
    """The jobs that can be had here, prepared, and the others with what they need."""
    here: dict[str, Callable[[], Any]] = {}
    absent: list[str] = []
    for name, prepare in jobs.items():
        try:
            here[name] = prepare()
        except rivals.Absent as missing:
            absent.append(f"{name} (needs {missing})")
    return here, tuple(absent)


def ready(
    jobs: Mapping[str, Callable[[], rivals.Job]],
    agree: float,
    by: Callable[[Array], Any] = np.max,
) -> tuple[dict[str, Callable[[], Any]], tuple[str, ...]]:
    """The same, each run once and its weights, where it has any, compared with the first's.

    Of each array they may be `agree` apart, as the differences are summed up: `by` the largest.
    """
    here, absent = available(jobs)
    expected: tuple[Array, ...] = ()
    for name, job in here.items():
        weights = job()
        if not weights:
            continue  # it trains another network, and is merely timed
        expected = expected or weights
        apart = [by(np.abs(a - b)) for a, b in zip(expected, weights, strict=True)]
        if not all(gap < agree for gap in apart):
            raise CarrynetError(f"{name} ends in other weights than ours: {max(apart):.2g} apart")
    return here, absent
