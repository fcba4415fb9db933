"""Plans: a recipe with lists and ranges, which span a grid of trials, cut into blocks.

    recipe = "tutorial"              # or a list; a name or a file
    hidden = [4, 8, 16]
    seed = "0..999"                  # both ends included
    learn.steps = [5_000, 20_000]    # of a stage

    [sweep]                          # see `Settings`
    keep = "refuted"

Trials are numbered, and never listed: trial i is computed from i, whose digits, in a mixed
radix, are the places on the axes.  What a step size, a width of initial weights or a seed may
change comes last, so that neighbours are trained as one population.  A *kind* is a run of
trials that differ in nothing else.

Where one block ends and the next begins follows from the plan alone, so that a sweep that was
killed goes on where it was: from what its trials cost by a model, not by a clock.
"""

import hashlib
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from carrynet import __version__, files
from carrynet.errors import InputError, shorten, unknown
from carrynet.nets import cells
from carrynet.spec import recipe as recipes, tables, tasks
from carrynet.spec.recipe import Recipe, check_balanced
from carrynet.spec.stage import Stage, check_value
from carrynet.spec.task import Task
from carrynet.sweep.cost import Cost
from carrynet.sweep.settings import MOST_TRIALS, Settings

FORMAT, FORMAT_VERSION = "carrynet-sweep", 1
MOST_KINDS = 100_000
"""Each kind of trial is looked at before anything starts, which takes a millisecond, or of cells
with gates five."""
MOST_BLOCKS = 1_000_000
MOST_VALUES = 10**12
"""Of a range."""

LANES = 16
"""Blocks are cut at multiples of this, the most networks that share a vector anywhere."""


@dataclass(frozen=True)
class Axis:
    """A key of a plan, and the values that it takes, one after another."""

    key: str
    values: Sequence[Any]  #: a tuple, or a range

    def to_table(self) -> dict[str, Any]:
        """As it stands in a file."""
        values = self.values
        listed = f"{values[0]}..{values[-1]}" if isinstance(values, range) else list(values)
        return {"key": self.key, "values": listed}


@dataclass(frozen=True)
class Plan:
    """Trials 0, 1, ..., and the blocks that they are worked in."""

    bases: Mapping[str, Recipe]  #: by the name that the plan gives them; the first axis
    outer: tuple[Axis, ...]
    inner: tuple[Axis, ...]  #: what trials of a kind differ in
    settings: Settings
    cost: Cost = field(default_factory=Cost)
    machines: Mapping[str, Task] = field(default_factory=dict)  #: tasks of one's own, by their text
    recorded: str | None = None  #: `recipes_digest` as it was when the sweep began

    @classmethod
    def parse(cls, text: str, folder: Path, **settings: Any) -> "Plan":
        """Read a plan; recipes and tasks that are files are found from `folder`.

        `settings` replace those of [sweep].  Raises `InputError` for an unknown key, naming
        the nearest known one, and for the first trial that is no valid recipe.
        """
        try:
            table = files.from_toml(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not a plan in TOML: {error}") from None
        chosen = replace(Settings.from_table(table.pop("sweep", {})), **settings)
        names = _values("recipe", table.pop("recipe", recipes.DEFAULT))
        bases = {name: _base(name, folder) for name in names}
        axes, machines = tuple(_read_cells(axis, folder) for axis in _axes(table)), {}
        for i, axis in enumerate(axes):
            if axis.key == "task":
                given = [_task(value, folder) for value in axis.values]
                texts = tuple(task.text for task in given)
                axes = (*axes[:i], Axis("task", _values("task", list(texts))), *axes[i + 1 :])
                machines = {task.text: task for task in given if task.own}
        inner = [axis for axis in axes if _is_inner(axis.key)]
        # the seed last: neighbours are then repetitions of one and the same
        inner.sort(key=lambda axis: axis.key == "seed")
        outer = tuple(axis for axis in axes if axis not in inner)
        plan = cls(bases, outer, tuple(inner), chosen, machines=machines)
        plan.check()
        stages = {stage.name for recipe in plan.variants for stage in recipe.stages}
        for name in (key for key, value in table.items() if value == {}):
            if name not in stages:
                raise unknown("table", name, (*sorted(stages), "sweep"))
        return plan

    def _with_each(self) -> Iterator[tuple[str, Recipe]]:
        """What the recipes are for each cell, task and length, and what the plan calls them.

        Of each the first trial; where that is no recipe, as `check` says, what it is without the
        plan's other keys.
        """
        varied = [axis for axis in self.outer if axis.key in ("cell", "task", "digits")]
        first = {axis.key: axis.values[0] for axis in self.axes[1:] if _may_vary(axis.key)}
        for key, base in self.bases.items():
            for values in product(*(axis.values for axis in varied)):
                of_these = {axis.key: value for axis, value in zip(varied, values, strict=True)}
                for settings in ({**first, **of_these}, of_these):
                    try:
                        recipe = base.with_settings(self._machine(settings))
                    except InputError:
                        continue
                    yield key, recipe
                    break

    @cached_property
    def variants(self) -> tuple[Recipe, ...]:
        """Of the recipes of `_with_each` one for each list of names of stages."""
        found: dict[tuple[str, ...], Recipe] = {}
        for key, recipe in self._with_each():
            found.setdefault((key, *(stage.name for stage in recipe.stages)), recipe)
        return tuple(found.values())

    @cached_property
    def recipes_digest(self) -> str:
        """A digest of what the recipes are for each cell, task and length.

        The variants of a recipe may change where the recipe itself does not.
        """
        every = [recipe.to_table() for _, recipe in self._with_each()]
        for table in every:
            table.pop("machine", None)  # whose digest is in the task
        return hashlib.sha256(repr(every).encode()).hexdigest()

    def places(self, key: str) -> set[tuple[str, str]]:
        """Where a key has its values, in the recipes that have it: see `Recipe.places`."""
        places = (recipe.places() for recipe in self.variants)
        return {known[key] for known in places if key in known}

    def _check_keys(self) -> None:
        """Raise `InputError` unless the keys are each other than the others, and of all trials."""
        keys = [axis.key for axis in self.axes[1:]]
        if not self.variants:
            self._check_trial(0)  # which no recipe is
        every = {key for recipe in self.variants for key in recipe.places()}
        for recipe in self.variants:
            known = recipe.places()
            for key in keys:
                if key not in every or not _may_vary(key):
                    names = filter(_may_vary, recipe.keys())
                    raise unknown("key", key, ("recipe", *names, "sweep"))
                if key not in known:
                    raise InputError(
                        f"key {key} is not of all trials: with cell {shorten(recipe.cell)} and "
                        f"task {recipe.task} recipe {recipe.name} has the stages "
                        f"{' and '.join(stage.name for stage in recipe.stages)}"
                    )
            places = [known[key] for key in keys]
            for i, place in enumerate(places):
                if place in places[:i]:
                    first = keys[places.index(place)]
                    raise InputError(f"{first} and {keys[i]} are one key: give it once")

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All axes, the slowest first."""
        return (Axis("recipe", tuple(self.bases)), *self.outer, *self.inner)

    @property
    def varied(self) -> tuple[str, ...]:
        """The keys that take more than one value."""
        return tuple(axis.key for axis in self.axes if len(axis.values) > 1)

    @property
    def kinds(self) -> int:
        """How many kinds of trials there are."""
        return len(self.bases) * prod(len(axis.values) for axis in self.outer)

    @property
    def alike(self) -> int:
        """How many trials are of one kind."""
        return prod(len(axis.values) for axis in self.inner)

    @property
    def trials(self) -> int:
        """How many trials there are."""
        return self.kinds * self.alike

    def values(self, trial: int) -> dict[str, Any]:
        """What a trial has on each axis."""
        values = {}
        for axis in reversed(self.axes):
            trial, place = divmod(trial, len(axis.values))
            values[axis.key] = axis.values[place]
        return dict(reversed(values.items()))

    def recipe(self, trial: int) -> Recipe:
        """What a trial trains by."""
        values = self.values(trial)
        base = self.bases[values.pop("recipe")]
        return base.with_settings(self._machine(values))

    def _machine(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values with a task of one's own as its machine, which its text does not tell."""
        if values.get("task") in self.machines:
            values["task"] = self.machines[values["task"]]
        return values

    def check(self) -> None:
        """Raise `InputError` for a plan that is too large, or the first trial that is no recipe."""
        self._check_axes(self.inner)
        for kind in range(self.kinds):
            self._check_trial(kind * self.alike)
        if self.blocks > MOST_BLOCKS:
            raise InputError(
                f"the plan has {self.trials:,} trials in more than {MOST_BLOCKS:,} blocks: "
                "let a block take more seconds"
            )

    def _check_axes(self, axes: Sequence[Axis]) -> None:
        """Raise `InputError` for too many kinds, a wrong key, or a wrong value of the last axes."""
        if self.kinds > MOST_KINDS:
            raise InputError(
                f"the plan has {self.kinds:,} kinds of trials, which differ in more than step, "
                f"initial weights and seed: at most {MOST_KINDS:,} are accepted"
            )
        self._check_keys()
        before = 1
        for axis in reversed(axes):
            # What these say is judged by itself, without the rest of a recipe: there may be many.
            # The values between the two ends of a range are fine.
            values: Sequence[Any] = axis.values
            ends = (0, len(values) - 1)
            checked = {_field(*place) for place in self.places(axis.key)}
            for place in ends if isinstance(values, range) else range(len(values)):
                try:
                    for one in checked:
                        check_value(one, values[place])
                except InputError:
                    self._check_trial(place * before)  # which says where it is
                    raise
            before *= len(values)

    def _check_trial(self, trial: int) -> None:
        try:
            recipe = self.recipe(trial)
            cells.of(recipe)
            if self.settings.accuracy:
                check_balanced(recipe.specification, self.settings.accuracy[1])
        except InputError as error:
            values = ", ".join(f"{key} {value}" for key, value in self.values(trial).items())
            raise InputError(f"trial {trial} ({shorten_text(values)}): {error}") from None

    # Blocks --------------------------------------------------------------------------

    @cached_property
    def _starts(self) -> "array[int]":
        """The first trial of each block, and the number of trials at the end."""
        settings, starts = self.settings, array("q", [0])
        target, lanes = (float(settings.block), 1) if settings.block else (settings.seconds, LANES)
        room, inside = target, 0  # of the block that is being filled: what is left, trials
        for kind in range(self.kinds):
            cost = 1.0
            if not settings.block:
                cost = self.cost.seconds(self.recipe(kind * self.alike), settings)
            left = self.alike
            while left:
                fit = min(left, int(room / cost + 1e-9), MOST_TRIALS - inside)
                if fit < left and fit >= lanes:
                    fit -= fit % lanes  # whole vectors, where a kind goes on in the next block
                if not inside:
                    fit = max(fit, 1)  # a trial that takes longer is a block by itself
                if fit < left and inside and fit < lanes:
                    fit = 0  # too few to share a vector: they go with their likes
                room, inside, left = room - fit * cost, inside + fit, left - fit
                if left:
                    starts.append(starts[-1] + inside)
                    room, inside = target, 0
                    if len(starts) > MOST_BLOCKS + 1:
                        return starts
        if inside:
            starts.append(starts[-1] + inside)
        return starts

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self._starts) - 1

    def block(self, number: int) -> range:
        """The trials of a block."""
        return range(self._starts[number], self._starts[number + 1])

    def block_of(self, trial: int) -> int:
        """The block that a trial is in.

        Raises `InputError` for a trial that the plan has not.
        """
        if not 0 <= trial < self.trials:
            raise InputError(f"there is no trial {trial}: the plan has 0 to {self.trials - 1:,}")
        return bisect_right(self._starts, trial) - 1

    def kind(self, trial: int) -> int:
        """The number of a trial's kind."""
        return trial // self.alike

    # The record in a sweep's folder ------------------------------------------------------

    def to_toml(self) -> str:
        """Everything that the sweep depends on, recipes in full; see `from_toml`."""
        import tomli_w

        return tomli_w.dumps(
            {
                "format": FORMAT,
                "version": FORMAT_VERSION,
                "carrynet": __version__,
                "recipes_digest": self.recipes_digest,
                "cells": self.trials,
                "blocks": self.blocks,
                "sweep": self.settings.to_table(),
                "cost": asdict(self.cost),
                "outer": [axis.to_table() for axis in self.outer],
                "inner": [axis.to_table() for axis in self.inner],
                "recipes": [{"key": key, **base.to_table()} for key, base in self.bases.items()],
                "machines": [tables.to_table(task) for task in self.machines.values()],
            }
        )

    @classmethod
    def from_toml(cls, text: str) -> "Plan":
        """Read what `to_toml` wrote.

        Raises `InputError`, `ValueError`, `KeyError` or `TypeError` for anything else.
        """
        table = files.from_toml(text)
        if table["format"] != FORMAT or table["version"] != FORMAT_VERSION:
            raise ValueError(f"it is not of format {FORMAT}, version {FORMAT_VERSION}")

        def axes(name: str) -> tuple[Axis, ...]:
            for each in table[name]:
                files.require(type(each["key"]) is str, f"key {shorten(each['key'])} is no text")
            return tuple(Axis(a["key"], _values(a["key"], a["values"])) for a in table[name])

        bases = {base.pop("key"): Recipe.from_table(base) for base in table["recipes"]}
        settings = Settings.from_table(table["sweep"])
        given = [tables.from_table(each) for each in table["machines"]]
        machines = {task.text: task for task in given}
        cost = Cost(**table["cost"])
        outer, inner, recorded = axes("outer"), axes("inner"), table.get("recipes_digest")
        plan = cls(bases, outer, inner, settings, cost, machines, recorded)
        plan._check_axes((*outer, *inner))
        for name, count in (("cells", plan.trials), ("blocks", plan.blocks)):
            said = table[name]
            files.require(said == count, f"it says {shorten(said)} {name}, and has {count:,}")
        return plan

    @property
    def changed(self) -> bool:
        """Whether a plan that was read from a record has other recipes now than were meant."""
        return self.recorded != self.recipes_digest

    def same(self, other: "Plan") -> bool:
        """Whether two plans have the same rows; what blocks are said to cost may differ."""
        mine, theirs = (
            (list(plan.bases.items()), plan.outer, plan.inner, plan.settings, plan.machines)
            for plan in (self, other)
        )
        return mine == theirs


def read(path: Path, **settings: Any) -> Plan:
    """Read a plan from a file; see `Plan.parse`.

    Raises `InputError`, which names the file.
    """
    name = files.printable(path)
    try:
        text = files.contents(path, files.MOST_TEXT).decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read plan {shorten_text(name)}: {reason}") from None
    try:
        return Plan.parse(text, path.parent, **settings)
    except InputError as error:
        raise InputError(f"{files.printable(path.name)}: {error}") from None


def shorten_text(text: str, most: int = 200) -> str:
    """A text as it is shown in a message."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _base(name: Any, folder: Path) -> Recipe:
    if isinstance(name, str) and name.endswith(".toml"):
        base = cells.recipe(folder / name)
    elif isinstance(name, str):
        base = recipes.get(name)
    else:
        raise InputError(f"a recipe is a name or a file, not {shorten(name)}")
    if base.origin or not base.stages:
        raise InputError(f"recipe {name} begins with a network of its own: a sweep cannot")
    return base


def _task(value: Any, folder: Path) -> Task:
    """What a plan names as a task: what is built in, or a file."""
    if isinstance(value, str) and value.endswith(tasks.ENDINGS):
        return tasks.parse(folder / value)
    return tasks.parse(value)


def _axes(table: Mapping[str, Any], stage: str = "") -> Iterator[Axis]:
    for key, value in table.items():
        if isinstance(value, dict) and not stage:
            yield from _axes(value, f"{key}.")
        else:
            yield Axis(f"{stage}{key}", _values(f"{stage}{key}", value))


def _read_cells(axis: Axis, folder: Path) -> Axis:
    """An axis, whose cells that are files are read."""
    if axis.key != "cell":
        return axis
    for value in axis.values:  # of a range the first is none
        check_value(_field("", "cell"), value)
    read = [cells.given(value, folder) for value in axis.values]
    return Axis(axis.key, _values(axis.key, read))


def _field(stage: str, name: str) -> Any:
    """The field that a key of a plan is; `stage` is '' for one of the recipe itself."""
    return next(f for f in fields(Stage if stage else Recipe) if f.name == name)


def _may_vary(key: str) -> bool:
    """Whether a plan may set a key: not what something is called, nor a network in a file."""
    return key.rpartition(".")[2] not in ("name", "origin")


def _is_inner(key: str) -> bool:
    return key in ("seed", "init_width", "init_scaling") or key.rpartition(".")[2] == "step"


_RANGE = re.compile(r"\s*(\d+(?:_\d+)*)\s*\.\.\s*(\d+(?:_\d+)*)\s*")


def _values(key: str, value: Any) -> Sequence[Any]:
    """One value, a list of them, or a range: 'FIRST..LAST'."""
    if isinstance(value, str) and (found := _RANGE.fullmatch(value)):
        first, last = int(found[1]), int(found[2])
        if last < first:
            raise InputError(f"{key}: the range {shorten(value)} is empty")
        if last >= 2**63 or last - first >= MOST_VALUES:
            raise InputError(
                f"{key}: the range {shorten(value)} is too long or ends beyond 2^63 - 1: at most "
                f"{MOST_VALUES:,} values are accepted"
            )
        return range(first, last + 1)
    values = tuple(value) if isinstance(value, list) else (value,)
    if not values:
        raise InputError(f"{key} has an empty list: give at least one value")
    seen = set()
    for one in values:
        if not isinstance(one, int | float | str):
            raise InputError(f"{key} has {shorten(one)}: values are numbers, texts, true and false")
        if one in seen:
            raise InputError(f"{key} has {shorten(one)} twice")
        seen.add(one)
    return values
