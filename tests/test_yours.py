"""A machine of one's own and a cell of one's own, from the command line alone, to a proof."""

import json
from functools import partial
from pathlib import Path

import pytest

from tests.test_every_cell import ask

pytestmark = pytest.mark.usefixtures("short_words")

DOORS = """
memory = "door"

[transitions.closed]
push = ["open", "creak"]
pull = ["closed", "nothing"]

[transitions.open]
push = ["open", "nothing"]
pull = ["closed", "creak"]
"""
CELL = """
# how much is new, and what
f = sigmoid(x @ Wxf + bf + h @ Whf)
n = tanh(x @ Wxn + bn + h @ Whn)
h = mix(f, h, n)
"""
PLAN = """
recipe = "certified"
task = "doors.toml"
cell = "mine.cell"
hidden = 4
learn.steps = 300
close.steps = 300
seed = "0..19"

[sweep]
exhaustive = 4
lengths = [16]
proof = 0
"""


def test_a_machine_and_a_cell_of_ones_own_end_in_a_proof(tmp_path: Path) -> None:
    files = {"doors.toml": DOORS, "mine.cell": CELL, "plan.toml": PLAN}
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    run = partial(ask, cwd=tmp_path, codes=(0,))
    said = run("train", "--task", "doors.toml", "--cell", "mine.cell", "--hidden", 6, "--out", "r")
    assert "proved      right for words of any length" in said
    for name in ("doors.toml", "mine.cell"):
        (tmp_path / name).unlink()  # the run holds both
    assert "right on all 64 words of 6 symbols" in run("evaluate", "r", "--digits", 6)
    assert json.loads(run("prove", "r", "--json"))["proof"]["verdict"] == "proved"
    assert "valid       For the task doors, of the machine " in run("check", "r")
    assert "push push pull -> creak nothing creak" in run("ask", "r", "push push pull").replace(
        ",", " "
    )
    assert "compared    as far as it was tested, the same machine" in run("automaton", "r")
    run("report", "r", "--plots")
    assert (tmp_path / "r" / "plots" / "hidden_space.svg").exists()

    for name in ("doors.toml", "mine.cell"):
        (tmp_path / name).write_text(files[name])
    swept = json.loads(run("sweep", "plan.toml", "--out", "swept", "--jobs", 2, "--json"))
    assert swept["networks"] == 20
    rows = run("table", "swept", "--by", "task").splitlines()
    assert any("doors@" in row and " 20 " in f"{row} " for row in rows)
