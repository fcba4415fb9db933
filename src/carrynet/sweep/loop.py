"""The loop over blocks, which is a sweep: what is not done is given to an executor.

What fails is given again, and what fails three times is recorded.  A sweep that was killed goes
on with the same call, and ends with every row once.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrynet import __version__, engines
from carrynet.errors import InputError, RunError, shorten
from carrynet.nets import cells
from carrynet.spec.recipe import Recipe
from carrynet.sweep import places
from carrynet.sweep.block import Counts
from carrynet.sweep.outcomes import OUTCOMES
from carrynet.sweep.plan import Plan
from carrynet.sweep.pool import Executor, LocalPool
from carrynet.sweep.store import Store
from carrynet.sweep.table import Group, summarise

TRIES = 3
"""A block that fails so often is given up."""

LOSSES = 10
"""And one that is lost so often with the machine that worked it."""

HOPELESS = 10
"""So many blocks given up with none that came through between them: something else is wrong."""


@dataclass(frozen=True)
class Status:
    """Where a sweep stands."""

    trials: int  #: of the plan
    done: int  #: of them
    blocks: int
    blocks_done: int
    failed: int  #: blocks that were given up, in this call
    counts: Counts  #: of this call


@dataclass(frozen=True)
class Summary:
    """What a sweep has come to."""

    folder: str
    plan: Plan
    total: Group  #: of all that is done, from the table
    blocks_done: int
    failures: dict[int, dict[str, Any]]
    networks: int  #: trained in this call
    seconds: float  #: of this call

    @property
    def complete(self) -> bool:
        """Whether every block is done."""
        return self.blocks_done == self.plan.blocks

    def to_json(self) -> dict[str, Any]:
        """The document that `carrynet sweep --json` prints."""
        return {
            "sweep": self.folder,
            "cells": self.plan.trials,
            "blocks": {
                "all": self.plan.blocks,
                "done": self.blocks_done,
                "failed": list(self.failures.values()),
            },
            **self.total.to_json(),
            "trained_now": self.networks,
            "seconds": self.seconds,
            "networks_per_second": self.networks / self.seconds if self.seconds else 0.0,
        }


def execute(
    plan: Plan,
    folder: str | Path,
    *,
    jobs: int | None = None,
    callback: Callable[[Status], None] = lambda status: None,
    hire: Callable[[Store, int | None], Executor] = LocalPool,
) -> Summary:
    """Work what a folder lacks of a plan, with `jobs` workers (one a core by default).

    The folder may be the URL of an object store; see `places`.  `hire` makes the executor,
    given the store and `jobs`.  `callback` is called after every block.

    Raises `InputError` where the folder holds another plan or was begun by other recipes, an
    engine cannot take a cell, or there are no such `jobs`;
    `RunError` when the folder cannot be written, or nothing comes through.
    """
    if jobs is not None and (type(jobs) is not int or jobs < 1):
        raise InputError(f"jobs must be a whole number from 1, not {shorten(jobs)}")
    places.library()  # before anything is written
    kinds = _check_engines(plan)
    store = Store(folder)
    plan = store.begin(plan)
    for recipe in kinds:  # now that nothing is refused any more, which engine is used is said
        engines.get(plan.settings.engine, recipe)
    started = time.perf_counter()
    done = store.done(plan.blocks)
    counts = Counts()
    if not all(done):
        executor = hire(store, jobs)
        try:
            counts = _work(plan, store, done, executor, callback)
        finally:
            executor.close()
        # an object store lets two begin at once, and keeps the plan of who came last
        store.recorded(plan)
    seconds = time.perf_counter() - started
    groups = summarise(store, by=())
    total = groups[0] if groups else Group({}, 0, dict.fromkeys(OUTCOMES, 0))
    failures = {n: f for n, f in store.failures().items() if n < plan.blocks and not done[n]}
    return Summary(store.root, plan, total, sum(done), failures, counts.networks, seconds)


def _work(
    plan: Plan,
    store: Store,
    done: bytearray,
    executor: Executor,
    callback: Callable[[Status], None],
) -> Counts:
    """The loop over blocks; marks in `done` what comes through."""
    reasons: dict[int, list[str]] = {}
    losses: Counter[int] = Counter()
    again: deque[int] = deque()
    fresh = (number for number in range(plan.blocks) if not done[number])
    counts, failed, in_a_row, waiting = Counts(), 0, 0, 0
    trials = sum(len(plan.block(number)) for number in range(plan.blocks) if done[number])
    blocks_done = sum(done)

    def tell() -> None:
        callback(Status(plan.trials, trials, plan.blocks, blocks_done, failed, counts))

    tell()
    while True:
        # twice as many as are worked at once, so that nobody waits for the next
        while waiting < 2 * executor.slots and (number := _next(fresh, again)) is not None:
            executor.submit(number)
            waiting += 1
        if not waiting:
            return counts
        outcome = executor.result()
        number, waiting = outcome.block, waiting - 1
        if outcome.counts is not None:
            done[number] = 1
            counts += outcome.counts
            trials, blocks_done, in_a_row = trials + len(plan.block(number)), blocks_done + 1, 0
            reasons.pop(number, None)
        else:
            reasons.setdefault(number, []).append(outcome.reason)
            losses[number] += outcome.lost
            tries = len(reasons[number]) - losses[number]
            if tries < TRIES and losses[number] < LOSSES:
                again.append(number)
            else:
                _give_up(plan, store, number, reasons.pop(number))
                failed, in_a_row = failed + 1, in_a_row + 1
                if in_a_row == HOPELESS:
                    raise RunError(
                        f"{HOPELESS} blocks in a row have failed, the last with: {outcome.reason}"
                    )
        tell()


def _next(fresh: Iterator[int], again: deque[int]) -> int | None:
    """The next block to be worked: those that failed come last, when what ailed may be over."""
    number = next(fresh, None)
    if number is None and again:
        number = again.popleft()
    return number


def _give_up(plan: Plan, store: Store, number: int, reasons: list[str]) -> None:
    trials = plan.block(number)
    document = {
        "block": number,
        "cells": [trials[0], trials[-1]],
        "reasons": reasons,
        "carrynet": __version__,
    }
    store.fail(number, document)


def _check_engines(plan: Plan) -> list[Recipe]:
    """Refuse an engine that does not take some cell, before anything starts.

    Returns a recipe of each kind that an engine may take or not.
    """
    kinds: dict[Any, Recipe] = {}
    for kind in range(plan.kinds):
        recipe = plan.recipe(kind * plan.alike)
        needed = (
            *(recipe.elman, recipe.hidden, recipe.dtype),
            *(recipe.specification, bool(recipe.joined)),
        )
        if needed in kinds and recipe.elman:
            continue
        kinds.setdefault(needed, recipe)
        try:
            cells.of(recipe)
            engines.get(plan.settings.engine, recipe, quietly=True)
        except InputError as error:
            raise InputError(f"[sweep]: {error}") from None
    return list(kinds.values())
