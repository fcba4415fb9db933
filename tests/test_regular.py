"""The study of regular tasks: its table is counted as it says, and the one that is kept adds up."""

import csv
import importlib.util
import io
from pathlib import Path
from typing import Any

import pytest

STUDY = Path(__file__).parents[1] / "studies" / "regular"


@pytest.fixture(scope="module")
def tables() -> Any:
    spec = importlib.util.spec_from_file_location("regular_tables", STUDY / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(
    verdict: str | None, uniform: int | None, walked: int | None, **more: Any
) -> dict[str, Any]:
    """A row of a sweep, of which four words of each kind were drawn."""
    pairs = None if uniform is None else 4
    return {
        "task": "parity",
        "cell": "gru",
        "recipe": "plain",
        "verdict": verdict,
        "uniform_500_right": uniform,
        "uniform_500_pairs": pairs,
        "chains_500_right": walked,
        "chains_500_pairs": pairs,
        "counterexample_digits": None,
        "training_seconds": 1.0,
        "proof_seconds": None if verdict is None else 3.0,
        **more,
    }


def test_networks_are_counted_as_the_table_says(tables: Any) -> None:
    rows = [
        row("proved", 4, 4),
        row("refuted", 4, 3, counterexample_digits=70),
        row("refuted", 2, 0, counterexample_digits=9),
        row("undecided", 4, 4),
        row(None, None, None),  # which diverged
        row("proved", 4, 4, cell="lstm"),
    ]
    first, second = tables.count(rows)
    assert first == {
        "task": "parity",
        "cell": "gru",
        "recipe": "plain",
        "networks": 5,
        "right": 3,
        "right_walked": 2,
        "proved": 1,
        "refuted": 2,
        "undecided": 1,
        "right_refuted": 1,
        "shortest": 9,
        "training_seconds": 1.0,
        "proof_seconds": 2.4,
    }
    assert (second["cell"], second["networks"], second["proved"]) == ("lstm", 1, 1)
    out = io.StringIO()
    tables.write([first, second], out)
    assert out.getvalue().splitlines()[0].startswith("task,cell,recipe,networks,right,")
    assert out.getvalue().splitlines()[2].split(",")[10] == ""  # nothing was refuted


def test_the_table_that_is_kept_adds_up(tables: Any) -> None:
    from carrynet.sweep import plan

    read = plan.read(STUDY / "plan.toml")
    with (STUDY / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == tables.COLUMNS
    counts = {key: [int(each[key]) for each in rows] for key in tables.COUNTS}
    assert sum(counts["networks"]) == read.trials
    seeds = next(len(axis.values) for axis in read.axes if axis.key == "seed")
    for i, each in enumerate(rows):
        assert counts["networks"][i] == seeds
        decided = sum(counts[v][i] for v in ("proved", "refuted", "undecided"))
        assert decided <= seeds
        # whoever is proved was right on every word that was drawn
        assert counts["proved"][i] <= min(counts["right"][i], counts["right_walked"][i])
        assert counts["right_refuted"][i] <= counts["refuted"][i]
        assert (each["shortest"] == "") == (counts["refuted"][i] == 0)
    groups = {(each["task"], each["cell"], each["recipe"]) for each in rows}
    assert len(groups) == len(rows) == read.trials // seeds
