"""The mutator: what it changes and what it spares, and that it tells a fault from none."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import mutants
from benchmarks.mutants import SUBJECTS, Subject, drawn, mutated

ROOT = Path(__file__).parents[1]
SOURCE = '''
"""A module."""


def clipped(number: int = 5) -> int:
    """At least 0."""
    require(number != 7, "not 7" + "!")
    if number < 0:
        raise ValueError("below" + "0")
    return max(number, 0) + 1
'''


def test_every_place_but_messages_and_words_is_changed() -> None:
    changes = {(m.line, m.before.partition("\n")[0], m.after) for m in mutants.mutants(SOURCE)}
    without_blocks = {change for change in changes if not change[2].startswith("if ")}
    assert without_blocks == {
        (5, "5", "6"),
        (7, "require(number != 7, 'not 7' + '!')", "pass"),
        (7, "number != 7", "number == 7"),
        (7, "number != 7", "number != 8"),
        (8, "number < 0", "number <= 0"),
        (8, "number < 0", "number < 1"),
        (9, "raise ValueError('below' + '0')", "pass"),
        (10, "max(number, 0) + 1", "max(number, 0) - 1"),
        (10, "max(number, 0) + 1", "max(number, 0)"),
        (10, "max(number, 0) + 1", "max(number, 0) + 2"),
        (10, "max(number, 0)", "min(number, 0)"),
        (10, "max(number, 0)", "max(number, 1)"),
    }
    blocks = {change[2].partition("\n")[0] for change in changes - without_blocks}
    assert blocks == {"if True:", "if False:"}


def test_a_mutant_has_its_one_change() -> None:
    lines = ast.unparse(ast.parse(SOURCE)).splitlines()
    for mutant in mutants.mutants(SOURCE):
        changed = ast.unparse(mutated(SOURCE, mutant)).splitlines()
        assert sum(a != b for a, b in zip(lines, changed, strict=True)) == 1


def test_a_seed_says_which_mutants_are_tried() -> None:
    every = mutants.mutants(SOURCE)
    assert drawn(every, None, 0) == drawn(every, 1000, 0) == every
    some = drawn(every, 5, 1)
    assert some == drawn(mutants.mutants(SOURCE), 5, 1) != drawn(every, 5, 2)
    assert len(some) == 5
    assert [m for m in every if m in some] == some


@pytest.fixture
def toy(tmp_path: Path) -> Subject:
    """A module whose only survivor is equivalent, and one that can run for ever."""
    (tmp_path / "toy.py").write_text(
        "def larger(a, b):\n    return a if a > b else b\n\n\n"
        "def emptied(n):\n    while n:\n        n -= n\n    return n\n"
    )
    (tmp_path / "test_toy.py").write_text(
        "import toy\n\n\ndef test_toy(worker_id):\n"  # as the fixtures of these tests do
        "    assert [toy.larger(*pair) for pair in ((1, 2), (2, 1), (3, 3))] == [2, 2, 3]\n"
        "    assert toy.emptied(3) == 0\n"
    )
    return Subject("toy", tmp_path / "toy.py", (tmp_path / "test_toy.py",))


def apart(toy: Subject, code: str) -> Any:
    """What code says of the toy in a process of its own: one with JAX in it must not fork."""
    names = [toy.module, str(toy.file), *map(str, toy.tests)]
    before = (
        "import ast, json, pathlib, sys\nfrom benchmarks import mutants\n"
        "module, file, *tests = sys.argv[1:]\n"
        "paths = [pathlib.Path(each) for each in tests]\n"
        "toy = mutants.Subject(module, pathlib.Path(file), tuple(paths))\n"
        "source = toy.file.read_text()\n"
    )
    path = os.pathsep.join([str(ROOT), str(toy.file.parent)])
    done = subprocess.run(
        [sys.executable, "-c", before + code, *names],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    return json.loads(done.stdout)


def test_faults_are_killed_and_what_makes_no_difference_survives(toy: Subject) -> None:
    source = toy.file.read_text()
    unchanged, survived, known = apart(
        toy,
        "unchanged = mutants.passes(toy, ast.parse(source), seconds=60)\n"
        "survived = {\n"
        "    mutant.after: mutants.passes(\n"
        "        toy,\n"
        "        mutants.mutated(source, mutant),\n"
        "        seconds=2 if mutant.after == 'pass' else 60,\n"  # the one that runs for ever
        "    )\n"
        "    for mutant in mutants.mutants(source)\n"
        "    if mutant.after != 'n += n'\n"  # which would do so too
        "}\n"
        "print(json.dumps([unchanged, survived, 'toy' in sys.modules]))\n",
    )
    assert unchanged
    assert survived == {"a >= b": True, "a": False, "b": False, "pass": False}
    assert toy.file.read_text() == source
    assert not known


def test_tests_that_fail_by_themselves_are_no_measure(toy: Subject) -> None:
    (test,) = toy.tests
    test.write_text("def test_nothing():\n    assert False\n")
    said = apart(
        toy,
        "try:\n    mutants.survivors(toy, None, 0)\n"
        "except ValueError as error:\n    print(json.dumps(str(error)))\n",
    )
    assert said == "the tests of toy fail without any mutant"


def test_the_trusted_base_is_where_it_is_looked_for() -> None:
    for subject in SUBJECTS.values():
        assert subject.file.is_file()
        assert all(test.is_file() for test in subject.tests)


def test_a_number_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["mutants", "--most", "0"])
    with pytest.raises(SystemExit) as stopped:
        mutants.main()
    assert stopped.value.code == 2
    assert "not one of 1, 2, 3, ...: '0'" in capsys.readouterr().err
