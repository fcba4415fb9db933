"""A census of a sweep, against a plain count over its rows."""

import shutil
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carrynet.errors import InputError, RunError
from carrynet.sweep import Store, census, table
from carrynet.sweep.census import EDGES, LENGTHS, VALUES
from carrynet.sweep.rows import columns
from tests.test_sweep import parse, rows_of, run

PLAN = """
recipe = ["tutorial", "certified"]
hidden = [8, 4]
learn.steps = [300, 9_000]
seed = "3..8"

[sweep]
exhaustive = 3
lengths = [40]
pairs = 8
block = 7
"""
KEYS = ("recipe", "hidden", "learn.steps")


@cache
def explored(place: Path) -> Path:
    """Networks that are right, proved, refuted, both right and refuted, and undecided.

    One sweep for several modules, which leave it as it is.
    """
    folder = place / "explored" / "adders"
    assert run(parse(PLAN), folder).complete
    return folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explored(tmp_path_factory.getbasetemp())


def column(key: str) -> str:
    return key.replace(".", "_")


def outcomes_of(row: dict[str, Any]) -> set[str]:
    """What is so of a row, in plain words."""
    found = {row["verdict"]} & {"proved", "refuted", "undecided"}
    if row["uniform_40_right"] == row["chains_40_right"] == 8:
        found.add("sampled")
    if row["outcome"] == "diverged":
        found.add("diverged")
    if row["exhaustive_right"] is not None and row["exhaustive_right"] == row["exhaustive_pairs"]:
        found.add("right")
        if row["verdict"] == "refuted":
            found.add("refuted_beyond")
    return found


def grouped(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> dict[Any, list[dict[str, Any]]]:
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column(key)] for key in keys), []).append(row)
    return groups


def is_within(value: float, low: float, high: float) -> bool:
    """Whether a value is in a bin: with the end that is nearer to 0, which is by itself."""
    if low == high or value == 0:
        return low == high == value
    return low <= value < high if low >= 0 else low < value <= high


def check(taken: census.Census, rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> None:
    """Everything that a census says, counted again."""
    expected = grouped(rows, keys)
    found = {tuple(group.values.values()): (place, group) for place, group in taken.groups()}
    assert taken.keys == tuple(keys)
    assert found.keys() == expected.keys()
    for values, (place, group) in found.items():
        mine = expected[values]
        assert group.networks == len(mine)
        for outcome, count in group.counts.items():
            trials = [row["number"] for row in mine if outcome in outcomes_of(row)]
            assert count == len(trials)
            assert taken.example(outcome, *place) == min(trials, default=None)
            if trials and outcome in ("refuted", "refuted_beyond"):
                (row,) = (row for row in mine if row["number"] == min(trials))
                kept = taken.counterexamples[row["number"]]
                assert " ".join(kept.operands) == row["counterexample"]
                assert kept.digits == row["counterexample_digits"]
                assert kept.shortest == row["counterexample_shortest"]
        for name in VALUES:
            bins, there = taken.values[name][place], [r[name] for r in mine if r[name] is not None]
            assert bins.sum() == len(there)
            for count, low, high in zip(bins, EDGES[:-1], EDGES[1:], strict=True):
                assert count == sum(is_within(value, low, high) for value in there)
        digits = [r["counterexample_digits"] for r in mine if r["verdict"] == "refuted"]
        assert taken.shortest[place] == min(digits, default=census.NONE)
        for kind in (False, True):
            ends = Counter(
                min(end for end in LENGTHS.tolist() if end >= row["counterexample_digits"])
                for row in mine
                if row["counterexample_shortest"] is kind
            )
            assert taken.lengths[place][int(kind)].tolist() == [ends[end] for end in LENGTHS]


def test_a_census_is_a_plain_count_over_the_rows(swept: Path) -> None:
    rows, store = rows_of(swept), Store(swept)
    assert {o for row in rows for o in outcomes_of(row)} >= {
        *("right", "sampled", "proved", "refuted", "undecided", "refuted_beyond")
    }
    whole = census.take(store, KEYS)
    check(whole, rows, KEYS)
    assert (whole.trials, whole.over().trials) == (6, 48)
    assert whole.axes[1].values == [4, 8]  # numbers by size, whatever the plan's order
    assert whole.axes[0].values == ["tutorial", "certified"]
    for keys in ((), ("hidden",), ("learn.steps", "recipe"), ("hidden", "learn.steps", "recipe")):
        check(whole.over(*keys), rows, keys)
        check(census.take(store, keys), rows, keys)
    check(census.take(store, ("seed", "hidden")), rows, ("seed", "hidden"))


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (["hidden=8"], {"hidden": {8}}),
        (["learn_steps=9_000", "steps=300"], {"learn_steps": {300, 9000}}),
        (["seed=4..5", "seed=7", "recipe=certified"], {"seed": {4, 5, 7}, "recipe": {"certified"}}),
        (["seed=0..99", "hidden=3.5..6"], {"hidden": {4}}),
    ],
)
def test_conditions_keep_rows(
    swept: Path, where: list[str], wanted: dict[str, set[object]]
) -> None:
    rows = [row for row in rows_of(swept) if all(row[k] in values for k, values in wanted.items())]
    assert len(rows) > 0
    for keys in (KEYS, ("seed",), ()):
        taken = census.take(Store(swept), keys, where)
        check(taken, rows, keys)
        assert taken.over().trials == len(rows)


def test_counts_are_those_of_the_table(swept: Path) -> None:
    store = Store(swept)
    ours = {tuple(g.values.values()): g.flat() for _, g in census.take(store, KEYS).groups()}
    theirs = {tuple(g.values.values()): g.flat() for g in table.summarise(store)}
    for values, row in theirs.items():
        assert list(ours[values].values()) == list(row.values())
    assert len(ours) == len(theirs) == 8


def test_what_was_not_asked_is_not_counted(tmp_path: Path) -> None:
    text = PLAN.replace("lengths = [40]", "lengths = []")
    plan = parse(text.replace("exhaustive = 3", "exhaustive = 0\nproof = 'none'"))
    run(plan, tmp_path / "out", lambda number: "no" if number > 1 else "")
    taken = census.take(Store(tmp_path / "out"), ("recipe",))
    assert taken.counts.keys() == {"diverged"}
    assert taken.networks.tolist() == [14, 0]
    assert taken.group(1) is None
    assert taken.trials == 24
    assert not any(bins.any() for bins in taken.values.values())


def test_values_are_in_the_bins_whose_edges_are_around_them() -> None:
    values = np.array([-1e9, -3.3, -1e-4, -1e-7, 0.0, 1e-7, 1e-4, 0.05, 3.3, 1e9, np.inf, -np.inf])
    for value, i in zip(values, census.value_bin(values), strict=True):
        low, high = EDGES[i], EDGES[i + 1]
        assert (low <= value <= high) or abs(value) >= 1e5
        assert np.sign(low + high) == np.sign(value)
    assert census.value_bin(np.array([-np.inf, np.inf])).tolist() == [0, len(EDGES) - 2]
    assert (np.diff(EDGES) >= 0).all()
    assert (np.diff(LENGTHS) > 0).all()


def test_keys_go_by_all_their_names() -> None:
    plan = parse("hidden = [2, 3]\nlearn.steps = [1, 2]\nharden.steps = [3, 4]\n")
    for name, key in (
        ("learn.steps", "learn.steps"),
        ("harden_steps", "harden.steps"),
        (" hidden ", "hidden"),
        ("recipe", "recipe"),
    ):
        assert census.key_of(plan, name) == key
    for name, nearest in (("steps", "learn.steps"), ("hiden", "hidden"), ("digits", "hidden")):
        with pytest.raises(InputError, match=f"unknown key '{name}'.*{nearest}"):
            census.key_of(plan, name)
    one = parse('recipe = "tutorial"\nsteps = [1, 2]')
    assert {census.key_of(one, name) for name in ("steps", "learn.steps", "learn_steps")} == {
        "steps"
    }


def test_axes_are_what_the_plan_varies_numbers_first_and_never_the_seed() -> None:
    plan = parse(
        'recipe = "tutorial"\nseed = "0..9"\nactivation = ["tanh", "relu"]\nbiases = [true, false]'
        "\nhidden = [2, 3]\ndigits = 8\nstep = [0.1, 0.2]\n"
    )
    assert census.choose(plan) == ("hidden", "step")
    assert census.choose(plan, y="activation") == ("hidden", "activation")
    assert census.choose(plan, x="step") == ("step", "hidden")
    assert census.choose(plan, y="none") == ("hidden",)
    assert census.choose(plan, y="hidden") == ("step", "hidden")
    assert census.choose(plan, "seed", "biases") == ("seed", "biases")
    assert census.choose(plan, where=["hidden=3"]) == ("step", "activation")
    with pytest.raises(InputError, match="x and y are both hidden"):
        census.choose(plan, "hidden", "hidden")
    assert census.choose(parse("seed = '0..9'")) == ()
    assert census.choose(parse("hidden = '2..9'")) == ("hidden",)


def test_a_condition_takes_an_empty_text_and_a_cell_in_any_spelling() -> None:
    own = "state = h, c; c = tanh(x @ Wxc + h @ Whc + bc); h = tanh(c)"
    plan = parse(
        f'recipe = "plain-adam"\ncell = ["gru", "gru,gru", "{own}"]\n'
        'readout = ["", "logits = h @ Why + by"]'
    )
    for condition, place in (
        ("readout=", 0),
        ("readout=logits = h @ Why + by", 1),
        ("cell=gru ", 0),
        ("cell= gru , gru", 1),
        (f"cell={own}", 2),
    ):
        (kept,) = census.conditions(plan, [condition]).values()
        assert list(kept) == [range(place, place + 1)]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("hiden=8", "unknown key 'hiden': did you mean 'hidden'"),
        ("hidden", "a condition is key=value, not 'hidden'"),
        ("hidden=", "hidden has no value '': it has 8, 4"),
        ("hidden=5", "hidden has no value '5': it has 8, 4"),
        ("recipe=cert", "recipe has no value 'cert': it has tutorial, certified"),
        ("seed=9..99", "seed has no value '9..99': it has 3 to 8"),
        ("seed=4.5", "seed has no value"),
        ("seed=x", "seed has no value"),
        ("hidden=nan", "hidden has no value 'nan'"),
        ("seed=1e999", "seed has no value"),
    ],
)
def test_conditions_that_nothing_meets_are_refused(condition: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        census.conditions(parse(PLAN), [condition])


def test_more_combinations_than_can_be_seen_are_refused(tmp_path: Path) -> None:
    plan = parse('recipe = "tutorial"\nhidden = "1..100"\nseed = "0..9999"')
    store = Store(tmp_path / "out")
    store.begin(plan)
    with pytest.raises(InputError, match="hidden and seed have 1,000,000 combinations"):
        census.take(store, ("hidden", "seed"))
    with pytest.raises(RunError, match=r"out: nothing is done yet$"):
        census.take(store, ("hidden",))
    with pytest.raises(RunError, match="nothing is done yet of what --where says"):
        census.take(store, (), ["hidden=7"])


def test_rows_of_trials_that_the_plan_has_not_are_damage(tmp_path: Path, swept: Path) -> None:
    shutil.copytree(swept, tmp_path / "out")
    store = Store(tmp_path / "out")
    (row, *_) = rows_of(swept)
    for trial in (48, -1):
        store.finish(0, table.encode([{**row, "number": trial}], columns(store.plan())), None)
        with pytest.raises(RunError, match=r"000000\.parquet is damaged.* not of trials 0 to 6"):
            census.take(store, ())


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Twenty times the rows, and the same peak."""
    peaks = []
    for parts in (2, 40):
        plan = parse(f'recipe = "tutorial"\nhidden = [2, 3]\nseed = "0..{parts * 2500 - 1}"\n'
                     "[sweep]\nblock = 5000")  # fmt: skip
        store = Store(tmp_path / str(parts))
        store.begin(plan)
        assert plan.blocks == parts
        made = columns(plan)
        same = {"outcome": "trained", "verdict": "refuted", "counterexample": "1 2"}
        for number in range(parts):
            rows = [
                {**same, "number": trial, "counterexample_digits": 2 + trial % 7}
                for trial in plan.block(number)
            ]
            store.finish(number, table.encode(rows, made), None)
        census.take(store, ("hidden",))  # what is imported and kept is not counted
        tracemalloc.start()
        taken = census.take(store, ("hidden",))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert taken.networks.tolist() == [parts * 2500] * 2
    assert peaks[1] < 1.3 * peaks[0]
