"""The page of a sweep: what became of its networks, by whatever its plan varies.

One file, as that of a run: see `page`.  It holds counts for each combination of values, and
the interval of each rate that a reader can come to by choosing, so that the page itself only
adds counts and looks intervals up.  `page/src/sweep.mjs` draws it.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from carrynet import __version__, files
from carrynet.errors import RunError
from carrynet.judge.evaluation import wilson
from carrynet.report.page import NAME, document
from carrynet.sweep import census as censuses
from carrynet.sweep.census import EDGES, LENGTHS, MOST_GROUPS, Census
from carrynet.sweep.outcomes import BY_WEIGHT
from carrynet.sweep.plan import Axis, Plan
from carrynet.sweep.store import Store

FORMAT, VERSION = "carrynet-sweep-page", 1

MOST_AT_ONCE = 200_000
"""Networks of which `carrynet sweep` writes the page by itself: a second or so."""

_MOST_FAILURES = 100
_MOST_DIGITS = 40  # of an operand that is shown whole


def write(store: Store, path: Path | None = None, first: Sequence[str] = ()) -> str:
    """Write the page of a sweep, whole or not at all; by default into its folder.

    `first` is the keys that the page begins with.  Returns where the page is.

    Raises `RunError` for a folder without a sweep, a damaged part, or where nothing is done.
    """
    facts = model(store, first)
    done = f"{facts['networks']:,} of {facts['cells']:,} networks"
    page = document(facts, f"carrynet: a sweep, {done}", "sweep.mjs")
    if path is None:
        store.place.write(NAME, page.encode())
        return store.path(NAME)
    files.guard(path.parent, path.parent.mkdir, parents=True, exist_ok=True)
    files.write(path, page)
    return str(path)


def model(store: Store, first: Sequence[str] = ()) -> dict[str, Any]:
    """What the views are given."""
    plan = store.plan()
    keys = _affordable(plan, first)
    census = censuses.take(store, keys)
    outcomes = [name for name in BY_WEIGHT if name in census.counts and census.happens(name)]
    groups = list(census.groups())
    asked = [key for key in first if key in keys]
    shown = {name: bins for name, bins in census.values.items() if bins.any()}
    done = store.done(plan.blocks)
    failures = {n: f for n, f in store.failures().items() if n < plan.blocks and not done[n]}
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": store.name,
        "carrynet": __version__,
        "plan": plan_text(plan),
        "cells": plan.trials,
        "networks": int(census.networks.sum()),
        "blocks": plan.blocks,
        "blocks_done": sum(done),
        "failures": _failures(store, failures),
        "failed": len(failures),
        "digits": plan.settings.exhaustive,
        "axes": [_axis(axis) for axis in plan.axes],  # by which trials are numbered
        "keys": [{"key": axis.key, "values": list(axis.values)} for axis in census.axes],
        "left_out": [a.key for a in censuses.varied(plan) if a.key not in keys],
        "per_group": census.trials,
        "first": [*asked, *(key for key in keys if key not in asked)][:2],
        "outcomes": outcomes,
        # each: places on the keys, networks, counts of the outcomes, their examples
        "groups": [
            [
                *place,
                group.networks,
                *(group.counts[outcome] for outcome in outcomes),
                *(census.example(outcome, *place) for outcome in outcomes),
            ]
            for place, group in groups
        ],
        # of each, how long the shortest counterexample is that was seen
        "shortest": [
            None if census.shortest[place] == censuses.NONE else int(census.shortest[place])
            for place, _ in groups
        ],
        "intervals": intervals(census),
        "counterexamples": {
            str(trial): {
                "problem": _problem(plan, trial, found.operands),
                "digits": found.digits,
                "shortest": found.shortest,
            }
            for trial, found in census.counterexamples.items()
        },
        "edges": [float(f"{edge:.4g}") for edge in EDGES],
        "length_ends": LENGTHS.tolist(),
        # for each group: a bin, its count, the next bin, ...
        "values": {
            name: [_sparse(bins[place]) for place, _ in groups] for name, bins in shown.items()
        },
        "lengths": [[_sparse(kind) for kind in census.lengths[place]] for place, _ in groups],
    }


def intervals(census: Census) -> dict[str, list[float]]:
    """Wilson 95 % intervals by '20/25', of every rate that a choice of keys and values has."""
    pairs = {pair for keys in _subsets(range(len(census.axes))) for pair in _pairs(census, keys)}
    return {
        f"{hits}/{count}": [round(end, 6) for end in wilson(hits, count)]
        for hits, count in sorted(pairs)
    }


def _subsets(places: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for count in range(len(places) + 1):
        yield from combinations(places, count)


def _pairs(census: Census, others: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Hits and networks of all groups when some keys are not looked at."""
    networks = census.networks.sum(axis=others).ravel()
    for counts in census.counts.values():
        hits = counts.sum(axis=others).ravel()
        yield from zip(hits[networks > 0].tolist(), networks[networks > 0].tolist(), strict=True)


def _affordable(plan: Plan, first: Sequence[str]) -> list[str]:
    """The keys that can be chosen: as many as a page can hold all combinations of.

    Those to begin with are kept first, and then those with few values.  Each may also be left
    open, which is one value more.
    """
    axes = censuses.varied(plan)
    kept: list[Axis] = []
    for axis in sorted(axes, key=lambda axis: (axis.key not in first, len(axis.values))):
        if prod(len(a.values) + 1 for a in (*kept, axis)) <= MOST_GROUPS:
            kept.append(axis)
    return [axis.key for axis in axes if axis in kept]


def plan_text(plan: Plan) -> str:
    """A plan as one would write it; recipes that were files go by their names."""
    lines = []
    for axis in plan.axes:
        values = axis.to_table()["values"]
        alone = isinstance(values, list) and len(values) == 1
        lines.append(f"{axis.key} = {_toml(values[0] if alone else values)}")
    settings = plan.settings.to_table().items()
    return "\n".join([*lines, "", "[sweep]", *(f"{key} = {_toml(v)}" for key, v in settings), ""])


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # of numbers, texts and lists it is TOML too


def _axis(axis: Axis) -> dict[str, Any]:
    if isinstance(axis.values, range):
        return {"key": axis.key, "first": axis.values.start, "count": len(axis.values)}
    return {"key": axis.key, "values": list(axis.values)}


def _problem(plan: Plan, trial: int, operands: Sequence[str]) -> str:
    """`118 + 8 = ?`."""
    task = plan.recipe(trial).specification
    given = operands if task.numeric else (" ".join(operands),)
    return task.equation.format(*map(_brief, given), answer="?")


def _brief(number: str) -> str:
    return number if len(number) <= _MOST_DIGITS else f"{number[:12]}…{number[-12:]}"


def _sparse(bins: Any) -> list[int]:
    used = np.flatnonzero(bins)
    return [int(n) for place in used for n in (place, bins[place])]


def _failures(store: Store, failures: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks that were given up: which trials, and the last reason."""
    found = []
    for number, failure in list(failures.items())[:_MOST_FAILURES]:
        try:
            trials, reason = list(map(int, failure["cells"])), str(failure["reasons"][-1])
            found.append({"block": number, "cells": trials, "reason": reason[:500]})
        except (KeyError, IndexError, TypeError, ValueError) as error:
            message = f"{store.root}: the record of block {number}, which failed, is damaged"
            raise RunError(f"{message}: {json.dumps(str(error))}") from None
    return found
