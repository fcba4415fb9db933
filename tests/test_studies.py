"""The studies: tables are counted as they say, those that are kept add up, and texts quote them."""

import csv
import importlib.util
import re
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carrynet.judge import evaluation
from carrynet.sweep import plan

STUDIES = Path(__file__).parents[1] / "studies"
PLANS = [path.relative_to(STUDIES).as_posix() for path in sorted(STUDIES.glob("*/*.toml"))]


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


@pytest.mark.parametrize("path", PLANS)
def test_workers_read_the_plan_that_was_given(path: str) -> None:
    read = plan.read(STUDIES / path)
    assert plan.Plan.from_toml(read.to_toml()).same(read)


# The tutorial --------------------------------------------------------------------------


def test_the_numbers_on_the_tutorial_are_counted_as_they_say() -> None:
    row = {
        "hidden": 32,
        "learn_steps": 20_000,
        "seed": 3,
        "exhaustive_right": 9,
        "exhaustive_pairs": 9,
        "verdict": "refuted",
        "counterexample": "5 7",
        "counterexample_digits": 12,
    }
    rows = [
        row,
        row | {"seed": 2, "counterexample": "6 8"},
        row | {"seed": 1, "counterexample_digits": 21},
        row | {"verdict": "proved", "hidden": 8},
        row | {"exhaustive_right": 8, "counterexample_digits": 2},
        dict.fromkeys(row) | {"hidden": 8, "learn_steps": 2_500},  # it has diverged
    ]
    said = list(script("tutorial/tables.py").numbers(rows))
    assert said[0].startswith("wrong on some of the pairs: 2 of 6, 33 % (9.7 - 70.0 %)")
    assert said[1].startswith("pass: 4 of 6, 67 %")
    assert "  of those that pass: 3 of 4, 75 % (30.1 - 95.4 %)" in said
    assert "counterexamples of 12 to 21 digits, median 12" in said
    assert "the shortest: 6 8, of seed 2" in said
    assert said[-3:] == [
        "8, 2500: 1, 0, 0, 0, 0",
        "8, 20000: 1, 1, 1, 0, 0",
        "32, 20000: 4, 3, 0, 3, 0",
    ]
    begun = list(script("tutorial/tables.py").numbers(rows[-1:]))  # a sweep that was stopped
    assert begun[0].startswith("wrong on some of the pairs: 1 of 1, 100 %")
    assert begun[-1] == "8, 2500: 1, 0, 0, 0, 0"


def test_what_is_told_of_the_tutorial_is_in_its_table() -> None:
    rows = kept("tutorial/table.csv")
    assert sum(int(row["networks"]) for row in rows) == 10_000
    passed, wrong = (sum(int(row[key]) for row in rows) for key in ("right", "refuted_beyond"))
    share = round(100 * wrong / passed)
    counts = [passed, wrong, *(sum(int(r[v]) for r in rows) for v in ("proved", "undecided"))]
    for name in ("README.md", "README.zh-CN.md"):
        text = (STUDIES / "tutorial" / name).read_text(encoding="utf-8")
        assert all(f"{count:,}" in text for count in counts), name
        assert f"{share} %" in text, name
    root = STUDIES.parent
    for name in ("README.md", "README.zh-CN.md", "tutorial/tutorial.py"):
        text = (root / name).read_text(encoding="utf-8")
        places = [found.start() for found in re.finditer(f"{passed:,}", text)]
        assert len(places) == 2
        assert all(f"{share} %" in text[place : place + 200] for place in places), name
    page = (root / "page" / "src" / "verdict.mjs").read_text(encoding="utf-8")
    assert f"{{ passed: {passed}, share: {share / 100} }}" in page


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


def test_the_readme_and_the_tutorial_quote_the_studies() -> None:
    """Each finding, with the numbers that the tables have, in both languages."""
    tasks = plan.read(STUDIES / "regular" / "plan.toml").axes[1].values
    regular = [row for row in kept("regular/table.csv") if row["task"] in tasks]

    def total(recipe: str, column: str) -> int:
        return sum(int(row[column]) for row in regular if row["recipe"] == recipe)

    passed, wrong = total("plain", "right"), total("plain", "right_refuted")
    page = (STUDIES.parent / "page" / "src" / "verdict.mjs").read_text(encoding="utf-8")
    assert f"{{ passed: {passed}, wrong: {wrong} }}" in page
    certified = total("certified", "networks"), total("certified", "proved")
    few = {row["examples"]: row for row in kept("smallest/examples.csv")}["30"]
    assert few["proved"] == few["networks"] == "20"
    trained = [int(row["parameters"]) for row in kept("smallest/units.csv") if row["proved"] != "0"]
    sizes = min(trained), int(kept("smallest/hand.csv")[0]["parameters"])
    short = {"regular": (passed, wrong), "smallest": (20,), "compiled": preferred()}
    whole = short | {"regular": (passed, wrong, *certified), "smallest": (20, *sizes)}

    def check(text: str, end: int, numbers: tuple[int, ...]) -> None:
        said = re.findall(r"\d+", text[max(0, end - 300) : end].replace(",", ""))
        assert {str(number) for number in numbers} <= set(said), text[end - 300 : end]

    for name in ("README.md", "README.zh-CN.md"):
        text = (STUDIES.parent / name).read_text(encoding="utf-8")
        for study, numbers in whole.items():
            check(text, text.index(f"[studies/{study}]"), numbers)
    text = (STUDIES.parent / "tutorial" / "tutorial.py").read_text(encoding="utf-8")
    for study, numbers in short.items():
        english, chinese = (found.start() for found in re.finditer(f"`studies/{study}`", text))
        check(text, english, numbers)
        check(text, chinese, numbers)


# The laboratory ------------------------------------------------------------------------


def preferred() -> tuple[int, int]:
    """In how many obscured networks the plane prefers units that mean nothing, and of how many."""
    obscured = [row for row in kept("compiled/table.csv") if row["kind"] == "obscured"]
    fooled = sum(float(row["plane_true"]) < float(row["true"]) for row in obscured)
    return fooled, len(obscured)


def test_the_text_on_the_laboratory_quotes_its_table() -> None:
    text = " ".join((STUDIES / "compiled" / "README.md").read_text(encoding="utf-8").split())
    rows = kept("compiled/table.csv")
    assert all(row["verdict"] == "proved" for row in rows)  # as the text says
    kinds = [[row for row in rows if row["kind"] == k] for k in ("compiled", "obscured", "trained")]
    lines: dict[str, list[int]] = {
        "networks": [len(kind) for kind in kinds],
        "(`carrynet automaton`) find the right machine": [
            sum(row["same"] == "True" for row in kind) for kind in kinds
        ],
        "without a mistake": [sum(float(row["probe"]) == 1 for row in kind) for kind in kinds],
        "two principal components does": [
            sum(float(row["plane_tells"]) == 1 for row in kind) for kind in kinds
        ],
        "the best single unit does": [
            sum(float(row["unit"]) == 1 for row in kind) for kind in kinds
        ],
    }
    for head, counts in lines.items():
        assert f"{head} | {' | '.join(map(str, counts))} |" in text
    spare = [1 - float(row["true"]) for row in kinds[1]]
    assert f"they are {100 * min(spare):.0f} to {100 * max(spare):.0f} % of the units" in text
    most = max(1 - float(row["probe_true"]) for row in kinds[1])
    assert f"up to {100 * most:.0f} % is on them" in text
    assert "In {} of the {} obscured".format(*preferred()) in text


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
