"""A census: what became of a sweep's networks, in one pass, for every combination of some keys.

Counts, distributions in fixed bins, and an example of each outcome.  A row's place follows from
its trial's number, by the plan.  Memory grows with the combinations, which are limited, and not
with the rows: a million take no more than a few thousand.

Shapes: the first axes of every array are the keys, then B bins of values, or L of lengths.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.errors import InputError, RunError, shorten, unknown
from carrynet.nets import cells
from carrynet.sweep import outcomes, table
from carrynet.sweep.outcomes import OUTCOMES
from carrynet.sweep.plan import Axis, Plan
from carrynet.sweep.store import Store
from carrynet.sweep.table import Group

Counts = NDArray[np.int64]

MOST_GROUPS = 4096
"""Combinations of values, at most: more are neither seen in a map nor read in a table."""

VALUES = ("exhaustive_margin", "proof_margin", "slack")
"""The columns whose distribution is kept."""

# Bins of values: 0 in the middle, to each side 32 bins a decade from 0.0001 to 100,000; what is
# nearer to 0 is in the first of a side, and what is farther in the last.
_SIDE = 288
_STEPS = 1e-4 * 10 ** (np.arange(1, _SIDE + 1) / 32)
EDGES = np.concatenate([-_STEPS[::-1], [0.0, 0.0], _STEPS])
"""(B + 1,) Where bins begin and end; only 0 itself is in the bin that has no width."""

LENGTHS = np.array([*range(1, 17), *(2**k // 4 * q for k in range(4, 20) for q in (5, 6, 7, 8))])
"""(L,) The longest length in each bin: each for itself up to 16, then four bins an octave."""

_NEEDED = (
    *VALUES,
    *("counterexample", "counterexample_digits", "counterexample_shortest"),
)

NONE = int(np.iinfo(np.int64).max)
"""What stands for no trial, or no length."""


@dataclass(frozen=True)
class Counterexample:
    """Numbers that a network gets wrong."""

    operands: tuple[str, ...]  # in decimal, of any length
    digits: int
    shortest: bool


@dataclass(frozen=True, eq=False)
class Census:
    """What became of networks, by the values of some keys."""

    plan: Plan
    axes: tuple[Axis, ...]  # the keys, with the values that are looked at
    trials: int  # of the plan, for each combination
    networks: Counts  # (...) of them that are done
    counts: Mapping[str, Counts]  # (...) by outcome; those that were asked for
    examples: Mapping[str, Counts]  # (...) the first trial of an outcome
    counterexamples: Mapping[int, Counterexample]  # by trial, of examples that are refuted
    values: Mapping[str, NDArray[np.int32]]  # (..., B)
    lengths: NDArray[np.int32]  # (..., 2, L) of counterexamples; 1: known to be shortest
    shortest: Counts  # (...) the length of the shortest of them; NONE: there is none

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys."""
        return tuple(axis.key for axis in self.axes)

    def happens(self, outcome: str) -> bool:
        """Whether an outcome is worth a mention: divergence only where there is any."""
        if outcome == "diverged" and len(self.counts) > 1:
            return bool(self.counts[outcome].any())
        return outcome in self.counts

    def over(self, *keys: str) -> "Census":
        """The same by some of the keys, in their order, whatever the others are."""
        places = [self.keys.index(key) for key in keys]
        others = tuple(i for i in range(len(self.axes)) if i not in places)
        order = [sorted(places).index(place) for place in places]

        def ordered(array: NDArray[Any]) -> NDArray[Any]:
            return array.transpose([*order, *range(len(order), array.ndim)])

        def summed(array: NDArray[Any]) -> NDArray[Any]:
            return ordered(array.sum(axis=others, dtype=array.dtype))

        return replace(
            self,
            axes=tuple(self.axes[i] for i in places),
            trials=self.trials * prod(len(self.axes[i].values) for i in others),
            networks=summed(self.networks),
            counts={name: summed(counts) for name, counts in self.counts.items()},
            examples={name: ordered(e.min(axis=others)) for name, e in self.examples.items()},
            values={name: summed(bins) for name, bins in self.values.items()},
            lengths=summed(self.lengths),
            shortest=ordered(self.shortest.min(axis=others)),
        )

    def group(self, *place: int) -> Group | None:
        """The networks at a place; None where none is done."""
        values = {axis.key: axis.values[i] for axis, i in zip(self.axes, place, strict=True)}
        if not self.networks[place]:
            return None
        counts = {
            outcome: int(self.counts[outcome][place]) if outcome in self.counts else None
            for outcome in OUTCOMES
        }
        return Group(values, int(self.networks[place]), counts)

    def groups(self) -> Iterator[tuple[tuple[int, ...], Group]]:
        """Every place where a network is done, with its group."""
        for place in np.ndindex(self.networks.shape):
            if (group := self.group(*place)) is not None:
                yield place, group

    def example(self, outcome: str, *place: int) -> int | None:
        """The first trial of an outcome at a place."""
        trial = int(self.examples[outcome][place])
        return None if trial == NONE else trial


def take(store: Store, keys: Sequence[str], where: Sequence[str] = ()) -> Census:
    """Count every network that is done and is as `where` says; see `conditions`.

    Raises `InputError` for an unknown key, or keys that have more than MOST_GROUPS combinations
    of values; `RunError` for a folder without a sweep, a damaged part, or where nothing is done.
    """
    plan = store.plan()
    keys = [key_of(plan, key) for key in keys]
    kept = conditions(plan, where)
    axes = [axis for axis in _kept_axes(plan, kept) if axis.key in keys]
    shape = tuple(len(axis.values) for axis in axes)
    if prod(shape) > MOST_GROUPS:
        raise InputError(
            f"{' and '.join(keys)} have {prod(shape):,} combinations of values, more than "
            f"{MOST_GROUPS:,}: choose others, or fewer values by --where"
        )
    total = prod(sum(map(len, kept.get(axis.key, [range(len(axis.values))]))) for axis in plan.axes)
    asked = [outcome for outcome, is_asked in outcomes.asked(plan).items() if is_asked]
    groups = prod(shape)
    networks = np.zeros(groups, np.int64)
    counts = {outcome: np.zeros(groups, np.int64) for outcome in asked}
    examples = {outcome: np.full(groups, NONE) for outcome in asked}
    values = {name: np.zeros((groups, len(EDGES) - 1), np.int32) for name in VALUES}
    lengths = np.zeros((groups, 2, len(LENGTHS)), np.int32)
    least = np.full(groups, NONE)
    texts: dict[int, Counterexample] = {}
    for batch in table.batches(store, (*_NEEDED, *outcomes.needed(plan)), plan):
        trials = batch["number"].to_numpy()
        where_is, at = _places(plan, kept, [axis.key for axis in axes], trials)
        networks += np.bincount(at, minlength=groups)
        for outcome, flags in outcomes.of(plan, batch).items():
            if outcome in counts:
                hits = flags[where_is]
                counts[outcome] += np.bincount(at[hits], minlength=groups)
                before = examples[outcome].copy()
                np.minimum.at(examples[outcome], at[hits], trials[where_is][hits])
                if outcome in ("refuted", "refuted_beyond"):
                    _note(texts, batch, trials, examples[outcome][examples[outcome] < before])
        for name, bins in values.items():
            found = batch[name].to_numpy().astype(np.float64)[where_is]
            there = ~np.isnan(found)
            np.add.at(bins, (at[there], value_bin(found[there])), 1)
        digits = batch["counterexample_digits"].to_numpy().astype(np.float64)[where_is]
        there = ~np.isnan(digits)
        shortest = (batch["counterexample_shortest"].to_numpy() == True)[where_is]  # noqa: E712
        bins_of = np.searchsorted(LENGTHS[:-1], digits[there])
        np.add.at(lengths, (at[there], shortest[there].astype(np.int64), bins_of), 1)
        np.minimum.at(least, at[there], digits[there].astype(np.int64))
    if not networks.any():
        raise RunError(f"{store.root}: nothing is done yet" + " of what --where says" * bool(where))
    needed = {int(trial) for e in examples.values() for trial in e}
    orders = [_order(axis.values) for axis in axes]

    def shaped(array: NDArray[Any]) -> NDArray[Any]:
        array = array.reshape((*shape, *array.shape[1:]))
        for i, order in enumerate(orders):
            array = array.take(order, axis=i)
        return array

    return Census(
        plan,
        tuple(
            Axis(axis.key, [axis.values[i] for i in order])
            for axis, order in zip(axes, orders, strict=True)
        ),
        total // groups,
        shaped(networks),
        {outcome: shaped(array) for outcome, array in counts.items()},
        {outcome: shaped(array) for outcome, array in examples.items()},
        {trial: text for trial, text in texts.items() if trial in needed},
        {name: shaped(bins) for name, bins in values.items()},
        shaped(lengths),
        shaped(least),
    ).over(*keys)


def _order(values: Sequence[Any]) -> list[int]:
    """Numbers by size, other values as the plan has them."""
    places = range(len(values))
    return sorted(places, key=values.__getitem__) if is_numeric(values) else list(places)


def value_bin(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bins (N,) that values (N,) are in."""
    away = 1 + np.searchsorted(_STEPS[:-1], np.abs(values), side="right")
    return _SIDE + np.sign(values).astype(np.int64) * away


def _note(
    texts: dict[int, Counterexample], batch: Any, trials: Counts, examples: Sequence[int] | Counts
) -> None:
    """Keep the counterexamples of trials that have become examples."""
    if not len(examples):
        return
    row_of = {int(trials[row]): int(row) for row in np.flatnonzero(np.isin(trials, examples))}
    for trial, row in row_of.items():
        found = {
            name: batch[f"counterexample{name}"][row].as_py()
            for name in ("", "_digits", "_shortest")
        }
        operands = tuple(found[""].split())
        texts[trial] = Counterexample(operands, found["_digits"], found["_shortest"])


# Keys and places ------------------------------------------------------------------------


def key_of(plan: Plan, key: str) -> str:
    """The key of a plan that is meant: `steps`, `learn.steps` and `learn_steps` may be one.

    Raises `InputError` for another, naming the nearest.
    """
    wanted = key.strip().replace(".", "_")
    spellings: dict[str, set[str]] = {}
    for axis in plan.axes:
        names = {axis.key, axis.key.rpartition(".")[2]}
        if axis.key != "recipe":
            names |= {"_".join(filter(None, place)) for place in plan.places(axis.key)}
        for name in names:
            spellings.setdefault(name.replace(".", "_"), set()).add(axis.key)
    if len(meant := spellings.get(wanted, set())) == 1:
        return meant.pop()
    raise unknown("key", key, [axis.key for axis in plan.axes])


def choose(
    plan: Plan, x: str | None = None, y: str | None = None, where: Sequence[str] = ()
) -> tuple[str, ...]:
    """Up to two keys to look at a sweep by: those that are asked for, else as `varied` has them.

    The second may be "none".  Raises `InputError` for an unknown key.
    """
    chosen: list[str | None] = [
        None if key is None or key == "none" else key_of(plan, key) for key in (x, y)
    ]
    if chosen[0] is not None and chosen[0] == chosen[1]:
        raise InputError(f"x and y are both {chosen[0]}: choose two keys")
    for i, key in enumerate(chosen):
        if key is None and not (i == 1 and y == "none"):
            others = (axis.key for axis in varied(plan, where) if axis.key not in chosen)
            chosen[i] = next(others, None)
    return tuple(key for key in chosen if key is not None)


def varied(plan: Plan, where: Sequence[str] = ()) -> list[Axis]:
    """What trials differ in, but for the seed; what has numbers comes first."""
    kept = _kept_axes(plan, conditions(plan, where))
    axes = [axis for axis in kept if len(axis.values) > 1 and axis.key != "seed"]
    return sorted(axes, key=lambda axis: not is_numeric(axis.values))


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether values are numbers."""
    if isinstance(values, range):
        return True
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


Kept = Mapping[str, Sequence[range]]


def conditions(plan: Plan, where: Sequence[str]) -> Kept:
    """The places on axes that conditions keep: `hidden=8`, `seed=0..9`; of one key, any holds.

    Raises `InputError` for an unknown key or a value that the plan has not.
    """
    found: dict[str, list[range]] = {}
    for condition in where:
        key, equals, text = condition.partition("=")
        if not equals:
            raise InputError(f"a condition is key=value, not {shorten(condition)}")
        key = key_of(plan, key)
        axis = next(axis for axis in plan.axes if axis.key == key)
        places = _places_of(axis, text.strip())
        if not places:
            raise InputError(f"{key} has no value {shorten(text.strip())}: it has {_listed(axis)}")
        found.setdefault(key, []).extend(places)
    return {key: _merged(places) for key, places in found.items()}


def _places_of(axis: Axis, text: str) -> list[range]:
    """Where an axis has a value, or those of a range."""
    spell = cells.spelled if axis.key == "cell" else str
    first, dots, last = text.partition("..")
    low, high = (_number(first), _number(last)) if dots else (_number(text), _number(text))
    values = axis.values
    if isinstance(values, range):
        if low is None or high is None:
            return []
        start, stop = (
            max(0, int(low) - values.start),
            min(len(values), int(high) + 1 - values.start),
        )
        exact = low == int(low)
        return [range(start, stop)] if start < stop and exact else []
    return [
        range(place, place + 1)
        for place, value in enumerate(values)
        if spell(written(value)) == spell(text)
        or (low is not None and high is not None and is_numeric([value]) and low <= value <= high)
    ]


def _merged(places: Sequence[range]) -> list[range]:
    """The same places, in order, each once."""
    merged: list[range] = []
    for place in sorted(places, key=lambda r: r.start):
        if merged and place.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, place.stop))
        else:
            merged.append(place)
    return merged


def _number(text: str) -> float | int | None:
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        return number if abs(number) < float("inf") else None
    return None


def written(value: Any) -> str:
    """A value as plans have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(axis: Axis) -> str:
    values = axis.values
    if isinstance(values, range):
        return f"{values[0]} to {values[-1]}"
    shown = ", ".join(written(value) for value in values[:12])
    return shown + ", ..." * (len(values) > 12)


def _kept_axes(plan: Plan, kept: Kept) -> list[Axis]:
    return [
        Axis(axis.key, _chosen(axis.values, kept[axis.key])) if axis.key in kept else axis
        for axis in plan.axes
    ]


def _chosen(values: Sequence[Any], places: Sequence[range]) -> Sequence[Any]:
    if len(places) == 1:
        return values[places[0].start : places[0].stop]  # of a range a range, however long
    return [values[i] for part in places for i in part]


def _places(
    plan: Plan, kept: Kept, keys: Sequence[str], trials: Counts
) -> tuple[NDArray[np.bool_], Counts]:
    """Which trials (N,) are kept, and the combination of values that each of those has."""
    keep = np.ones(len(trials), bool)
    at = np.zeros(len(trials), np.int64)
    before, combinations = 1, 1
    for axis in reversed(plan.axes):
        place = trials // before % len(axis.values)
        before *= len(axis.values)
        if axis.key in kept:
            place, inside, count = _renumbered(place, kept[axis.key])
            keep &= inside
        else:
            count = len(axis.values)
        if axis.key in keys:
            at += place * combinations
            combinations *= count
    return keep, at[keep]


def _renumbered(place: Counts, kept: Sequence[range]) -> tuple[Counts, NDArray[np.bool_], int]:
    """Places numbered among those that are kept, whether they are, and how many are."""
    starts = np.array([places.start for places in kept])
    stops = np.array([places.stop for places in kept])
    before = np.concatenate([[0], (stops - starts).cumsum()])
    which = (np.searchsorted(starts, place, side="right") - 1).clip(0)
    inside = (starts[which] <= place) & (place < stops[which])
    return before[which] + place - starts[which], inside, int(before[-1])
