"""Progress bars: one for a training, one for an evaluation, and only where they are seen."""

import io
import os
import re
import sys
from typing import Any

import pytest

import carrynet as cn
from carrynet.learn.bar import Bar
from carrynet.learn.training import Progress
from carrynet.proof import trees
from carrynet.watch import Forecast


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


def test_all_of_a_bar_fits_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bar that can be seen to grow."""
    stream, nothing = Terminal(), None
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(stream, "fileno", lambda: 2, raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    with Bar() as shown:
        for problem in (12_288, 94_800):
            told: Any = (nothing, "first", 1, 2, problem, 94_800, 0.001, 0.01, 0.999)
            shown(Progress(*told))
    lines = [line for line in re.split(r"[\r\n]+", stream.getvalue()) if "error" in line]
    assert lines
    for line in lines:
        assert re.search(r"\|.{10,}\| \d+/94800 \d\d:\d\d<\S+, error=0.001, right=99.9%$", line)
        assert len(line) <= 80


def test_a_stage_that_is_made_again_has_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, nothing = Terminal(), None
    monkeypatch.setattr(sys, "stderr", stream)
    with Bar() as shown:
        for problem, problems in ((500, 1_000), (1_000, 1_000), (1_250, 2_000), (2_000, 2_000)):
            told: Any = (nothing, "close", 1, 2, problem, problems, 0.001, 0.01, 0.999)
            shown(Progress(*told))
    first, second = stream.getvalue().rstrip("\n").split("\n")
    assert "100%" in first
    assert "1000/1000" in first
    assert "2000/2000" in second
    assert "1000/2000" in second  # from where the first one ended


def test_nothing_is_shown_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_by_training(monkeypatch, io.StringIO(), True) == ""
    assert shown_by_training(monkeypatch, Terminal(), False) == ""


def test_a_search_says_how_much_of_its_budget_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def search_trees(*_: object, watch: Forecast, **__: object) -> None:
        clock.append(3.2)
        watch(3, 40, 0.0)

    clock, stream = [0.0], Terminal()
    run = cn.train("tutorial", hidden=16, seed=4, progress=False)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("carrynet.watch.monotonic", lambda: clock[-1])
    monkeypatch.setattr(trees, "search", search_trees)
    cn.lab.decide(run, budget=10)
    assert "proving: trees of words, 0 of 10 s, 00:0" in stream.getvalue()
    assert "proving: trees of words, 3 of 40 regions so far, 3 of 10 s, 00:0" in stream.getvalue()
