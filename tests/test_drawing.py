"""Drawings of machines."""

from xml.etree import ElementTree

import pytest

from carrynet import tasks
from carrynet.report.drawing import svg
from carrynet.spec.machine import Machine

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("task", ["add", "multiply_by:k=5", "add:base=3", "multiply_by:k=1"])
def test_every_state_and_every_label_is_drawn(task: str) -> None:
    machine = tasks.parse(task).machine
    tree = ElementTree.fromstring(svg(machine))
    assert len(tree.findall(f"{SVG}circle")) == len(machine.states)
    texts = ["".join(text.itertext()) for text in tree.iter(f"{SVG}text")]
    assert set(machine.states) <= set(texts)
    for q, _, symbols in machine.edges():
        assert "".join(machine.labels(q, symbols)) in texts
    assert len(tree.findall(f"{SVG}path")) == len(machine.edges()) + 1  # and the start


def test_names_cannot_break_out() -> None:
    machine = Machine(("<script>",), ("&",), ('"',), ((0,),), ((0,),))
    drawn = svg(machine)
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn
