"""Parts as Parquet, and what they say: counts and rates, by whatever the trials differ in.

A rate is of all networks of a group, those that diverged included, and has its Wilson 95 %
interval (Wilson 1927).  Parts are read a batch at a time: a million rows take no more memory
than a few thousand.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carrynet import files
from carrynet.errors import RunError, unknown
from carrynet.judge.evaluation import wilson
from carrynet.sweep import outcomes
from carrynet.sweep.outcomes import OUTCOMES
from carrynet.sweep.places import library
from carrynet.sweep.plan import Plan
from carrynet.sweep.rows import Column, columns
from carrynet.sweep.store import Store, part_name

FORMATS = ("text", "csv", "json", "parquet")


@dataclass(frozen=True)
class Group:
    """What became of the networks that have some values in common."""

    values: Mapping[str, Any]
    networks: int
    counts: Mapping[str, int | None]  #: by the names in OUTCOMES; None: it was not asked

    def rate(self, outcome: str) -> tuple[float, float, float] | None:
        """The part of the networks, and its interval."""
        count = self.counts[outcome]
        if count is None:
            return None
        return count / self.networks, *wilson(count, self.networks)

    def flat(self) -> dict[str, Any]:
        """As one row."""
        row = {**self.values, "networks": self.networks}
        for outcome in OUTCOMES:
            rate, low, high = self.rate(outcome) or (None, None, None)
            row |= {outcome: self.counts[outcome], f"{outcome}_rate": rate}
            row |= {f"{outcome}_low": low, f"{outcome}_high": high}
        return row

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        document: dict[str, Any] = {**self.values, "networks": self.networks}
        for outcome in OUTCOMES:
            rate = self.rate(outcome)
            document[outcome] = rate and {
                "count": self.counts[outcome],
                "rate": rate[0],
                "interval": list(rate[1:]),
            }
        return document


def summarise(store: Store, by: Sequence[str] | None = None) -> list[Group]:
    """Groups by some columns, in order; by default what the plan varies, but for the seed.

    Keys may be spelled as in the plan: `steps`, `learn.steps`; where that is another column for
    each recipe, it means them all.  Raises `InputError` for an
    unknown one, `RunError` for a folder without a sweep or a damaged part.
    """
    plan = store.plan()
    names = [c.name for c in columns(plan)]
    keys = [key for key in plan.varied if key != "seed"] if by is None else list(by)
    chosen = list(dict.fromkeys(name for key in keys for name in _columns(plan, key, names)))
    totals: dict[tuple[Any, ...], list[int]] = {}
    for values, flags, count in _tallies(store, plan, chosen):
        counts = totals.setdefault(values, [0] * (len(OUTCOMES) + 1))
        counts[0] += count
        for i, outcome in enumerate(OUTCOMES, 1):
            counts[i] += count * flags[outcome]
    is_asked = outcomes.asked(plan)
    return [
        Group(
            dict(zip(chosen, values, strict=True)),
            counts[0],
            {
                outcome: counts[i] if is_asked[outcome] else None
                for i, outcome in enumerate(OUTCOMES, 1)
            },
        )
        for values, counts in sorted(totals.items(), key=lambda item: _order(item[0]))
    ]


def render(groups: Sequence[Group], form: str) -> str | bytes:
    """Groups in one of FORMATS; only Parquet is bytes."""
    rows = [group.flat() for group in groups]
    if form == "json":
        return json.dumps([group.to_json() for group in groups], indent=2) + "\n"
    if form == "parquet":
        arrow = library()
        return _bytes(arrow.Table.from_pylist(rows))
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0].keys() if rows else (), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()
    return _text(groups)


def _text(groups: Sequence[Group]) -> str:
    keys = list(groups[0].values) if groups else []
    shown = [
        outcome
        for outcome in OUTCOMES
        if any(group.counts[outcome] is not None for group in groups)
        and (outcome != "diverged" or any(group.counts[outcome] for group in groups))
    ]
    lines = [[*keys, "networks", *(OUTCOMES[outcome].head for outcome in shown)]]
    for group in groups:
        fields = ["" if v is None else str(v) for v in group.values.values()]
        fields.append(f"{group.networks:,}")
        for outcome in shown:
            rate = group.rate(outcome)
            percent = [] if rate is None else [100 * part for part in rate]
            fields.append("{:.1f}% ({:.1f}-{:.1f})".format(*percent) if percent else "")
        lines.append(fields)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(each.rjust(width) for each, width in zip(line, widths, strict=True)) + "\n"
        for line in lines
    )


# Parquet ------------------------------------------------------------------------------


def encode(rows: Iterable[Mapping[str, Any]], described: Sequence[Column]) -> bytes:
    """Rows as a Parquet file, whose schema the columns give."""
    arrow = library()
    schema = arrow.schema([(column.name, column.kind) for column in described])
    return _bytes(arrow.Table.from_pylist(list(rows), schema=schema))


def _bytes(table: Any) -> bytes:
    arrow = library()
    from pyarrow import parquet

    sink = arrow.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def batches(store: Store, wanted: Sequence[str], plan: Plan | None = None) -> Iterator[Any]:
    """Some columns of all parts, and `number`, as pyarrow tables of some ten thousand rows.

    `plan` is the store's, where that is read already.  Raises `RunError` for a part that is
    damaged, has not all of them, or has the rows of other trials.
    """
    plan = plan or store.plan()
    for block, is_there in enumerate(store.done(plan.blocks)):
        if is_there:
            yield from _part(store, plan, block, wanted)


def row(store: Store, plan: Plan, trial: int, wanted: Sequence[str]) -> dict[str, Any] | None:
    """Some columns of a trial's row; None where its block is not done.

    Raises `InputError` for a trial that the plan has not, `RunError` as `batches` does.
    """
    block = plan.block_of(trial)
    if not store.done(plan.blocks)[block]:
        return None
    rows = (row for batch in _part(store, plan, block, wanted) for row in batch.to_pylist())
    return next(row for row in rows if row["number"] == trial)


def _part(store: Store, plan: Plan, block: int, wanted: Sequence[str]) -> Iterator[Any]:
    """The part of a block; see `batches`."""
    arrow = library()
    from pyarrow import parquet

    path, trials = store.path(part_name(block)), plan.block(block)
    whose = f"trials {trials.start} to {trials.stop - 1}, of which its block is"
    others = files.damaged(path, f"its rows are not of {whose}")
    names, at = list(dict.fromkeys(("number", *wanted))), trials.start
    try:
        with store.open_part(block) as file:
            part = parquet.ParquetFile(file)
            for name in set(names).difference(part.schema_arrow.names):
                raise RunError(f"{path} has no column {name}: another version of carrynet wrote it")
            for batch in part.iter_batches(columns=names):
                rows = arrow.Table.from_batches([batch])
                expected = np.arange(at, at := at + len(rows))
                if not np.array_equal(rows["number"].to_numpy(), expected):
                    raise others
                yield rows
    except (arrow.ArrowException, OSError) as error:
        raise files.damaged(path, error) from None
    if at != trials.stop:
        raise others


def _tallies(
    store: Store, plan: Plan, chosen: Sequence[str]
) -> Iterator[tuple[tuple[Any, ...], dict[str, bool], int]]:
    """Values, what is so of them, and how many rows have both: a few for each batch."""
    for part in batches(store, [*chosen, *outcomes.needed(plan)], plan):
        table, flags = part.select(list(chosen)), outcomes.of(plan, part)
        for name, flag in flags.items():
            table = table.append_column(f"{name}?", [flag])
        keys = table.column_names
        for row in table.group_by(keys).aggregate([([], "count_all")]).to_pylist():
            values = tuple(row[name] for name in chosen)
            yield values, {name: row[f"{name}?"] for name in flags}, row["count_all"]


def _columns(plan: Plan, key: str, names: Sequence[str]) -> Iterable[str]:
    """The columns that a key means: of all recipes, whose stages may have different names."""
    name = key.strip().replace(".", "_")
    if name in names:
        return [name]
    if found := {"_".join(place) for place in plan.places(key.strip())} & set(names):
        return [name for name in names if name in found]
    if len(ends := [column for column in names if column.endswith(f"_{name}")]) == 1:
        return ends
    raise unknown("column", key, names)


def _order(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Numbers by size, texts by letter, what is missing first."""
    return tuple((v is not None, isinstance(v, str), v if v is not None else 0) for v in values)
