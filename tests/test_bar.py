"""Progress bars: one for a training, one for an evaluation, and only where they are seen."""

import io
import sys

import pytest

import carrynet as cn
from carrynet.proof import trees
from carrynet.watch import Watch


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_by_training(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, progress: bool) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    cn.train("tutorial", hidden=2, steps=3000, progress=progress)
    return stream.getvalue()


def test_each_bar_is_drawn_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = shown_by_training(monkeypatch, Terminal(), True)
    lines = shown.rstrip("\n").split("\n")
    assert len(lines) == 3
    assert "training: 100%" in lines[0]
    assert "3000/3000" in lines[0]
    assert "error=" in lines[0]
    assert "evaluating: 100%" in lines[1]
    assert "65536/65536" in lines[1]
    assert "proving: short words, 00:00" in lines[2]
    assert lines[2].endswith("\r")  # a search leaves no line behind


def test_nothing_is_shown_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_by_training(monkeypatch, io.StringIO(), True) == ""
    assert shown_by_training(monkeypatch, Terminal(), False) == ""


def test_a_search_says_how_much_of_its_budget_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def search_trees(*_: object, watch: Watch, **__: object) -> None:
        clock.append(3.2)
        watch(3, 40)

    clock, stream = [0.0], Terminal()
    run = cn.train("tutorial", hidden=16, seed=4, progress=False)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("carrynet.watch.monotonic", lambda: clock[-1])
    monkeypatch.setattr(trees, "search", search_trees)
    cn.lab.decide(run, budget=10)
    assert "proving: trees of words, 0 of 10 s, 00:0" in stream.getvalue()
    assert "proving: trees of words, 3 of 40 regions so far, 3 of 10 s, 00:0" in stream.getvalue()
