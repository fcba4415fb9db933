"""The studies: tables are counted as they say, those that are kept add up, and texts quote them."""

import csv
import importlib.util
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
