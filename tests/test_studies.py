"""The studies: tables are counted as they say, those that are kept add up, and texts quote them."""

import csv
import importlib.util
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carrynet.judge import evaluation
from carrynet.sweep import plan

STUDIES = Path(__file__).parents[1] / "studies"


def script(name: str) -> Any:
    """A script of a study as a module."""
    path = STUDIES / name
    spec = importlib.util.spec_from_file_location(name.replace("/", "_")[:-3], path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def kept(name: str) -> list[dict[str, str]]:
    """A table that is kept."""
    with (STUDIES / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# The smallest --------------------------------------------------------------------------


def test_how_few_are_enough_is_counted_as_it_says() -> None:
    smallest = script("smallest/tables.py")
    read = plan.read(STUDIES / "smallest" / "units.toml")
    row = {
        "cell": "elman",
        "biases": True,
        "hidden": 2,
        "verdict": "proved",
        "exhaustive_right": 9,
        "exhaustive_pairs": 9,
    }
    others = {"verdict": None, "exhaustive_right": None, "exhaustive_pairs": None}
    rows = [row | {"number": 20}, row | others | {"number": 21}]
    (group,) = smallest.count(rows, ("cell", "biases", "hidden"), read.recipe)
    assert (group["networks"], group["right"], group["proved"]) == (2, 1, 1)
    assert group["parameters"] == 2 * 2 + 2 * 2 + 2 + 2 * 1 + 1


@pytest.mark.parametrize("which", ["units", "examples"])
def test_the_tables_of_the_smallest_add_up(which: str) -> None:
    rows = kept(f"smallest/{which}.csv")
    read = plan.read(STUDIES / "smallest" / f"{which}.toml")
    assert sum(int(each["networks"]) for each in rows) == read.trials
    for each in rows:
        proved, right, networks = (int(each[key]) for key in ("proved", "right", "networks"))
        assert proved <= right <= networks
        assert int(each["refuted"]) <= networks - proved


def test_the_text_on_the_smallest_quotes_its_tables() -> None:
    text = (STUDIES / "smallest" / "README.md").read_text(encoding="utf-8")

    def line(head: str) -> list[str]:
        (found,) = (each for each in text.splitlines() if each.startswith(f"| {head} |"))
        return [cell.strip() for cell in found.strip("|").split("|")[1:]]

    rows = kept("smallest/units.csv")
    for cell in ("elman", "gru", "lstm"):
        for biases, head in (("True", "with biases"), ("False", "without")):
            mine = [row for row in rows if (row["cell"], row["biases"]) == (cell, biases)]
            name = {"elman": "Elman", "gru": "GRU", "lstm": "LSTM"}[cell]
            assert line(f"{name}, {head}") == [row["proved"] for row in mine]
    smallest = min(int(row["parameters"]) for row in rows if int(row["proved"]))
    assert f"**{smallest} parameters**" in text
    few = {row["examples"]: row["proved"] for row in kept("smallest/examples.csv")}
    assert line("proved, of 20 networks each") == [few["10"], few["20"], few["30"], "20 each"]
    assert {proved for count, proved in few.items() if int(count) >= 40} == {"20"}


def test_an_adder_by_hand_is_proved() -> None:
    hand = script("smallest/hand.py")
    rows = [{k: str(v) for k, v in row.items()} for row in hand.rows()]
    assert [row["verdict"] for row in rows] == ["proved"] * 4
    told = ("made", "cell", "units", "parameters", "not_zero")
    assert [[row[key] for key in told] for row in rows] == [
        [row[key] for key in told] for row in kept("smallest/hand.csv")
    ]
    network = next(hand.networks())[2]
    assert evaluation.evaluate(network, 8).all_right


# The laboratory ------------------------------------------------------------------------


def test_what_the_laboratory_asks(tmp_path: Path) -> None:
    lab, rows = script("compiled/lab.py"), kept("compiled/table.csv")
    assert [(row["machine"], row["cell"], row["kind"]) for row in rows] == list(
        product(lab.MACHINES, lab.CELLS, lab.KINDS)
    )
    for kind in ("compiled", "obscured"):
        given = lab.subject("parity", "gru", kind)
        found = lab.asked(given)
        (row,) = (
            r for r in rows if (r["machine"], r["cell"], r["kind"]) == ("parity", "gru", kind)
        )
        for key in ("units", "verdict", "states", "extracted", "same"):
            assert str(found[key]) == row[key]
        for key in ("plane", "plane_tells", "probe", "unit", "true", "plane_true", "probe_true"):
            assert found[key] == pytest.approx(float(row[key]), abs=0.02)
        roles = {unit.unit: unit.role for unit in given.mechanism.units}
        assert lab.meaning(given.mechanism).tolist() == [
            roles[unit] != "spare" for unit in range(given.network.hidden)
        ]


def test_a_probe_tells_what_is_linear_in_its_units_and_nothing_else() -> None:
    lab, random = script("compiled/lab.py"), np.random.default_rng(0)
    h = random.normal(size=(4_000, 5))
    state = (h[:, 2] > 0).astype(np.int32)
    weights = lab.probe(h, state, 2)
    assert ((lab.with_one(h) @ weights).argmax(axis=1) == state).mean() > 0.97
    assert (weights[2] ** 2).sum() > 0.99 * (weights[:-1] ** 2).sum()
    other = lab.probe(h, random.integers(0, 2, 4_000).astype(np.int32), 2)
    told = (lab.with_one(random.normal(size=(4_000, 5))) @ other).argmax(axis=1)
    assert abs((told == random.integers(0, 2, 4_000)).mean() - 0.5) < 0.05
    assert lab.nearest(h[:, [2]], state, 2) > 0.97
    assert abs(lab.nearest(h[:, [0]], state, 2) - 0.5) < 0.05
