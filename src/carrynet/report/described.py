"""Tasks, cells and recipes as the views are given them, in JSON.

Those of a run, and those that a page can train beside them: each is made of what the package
itself computes with, so that the page names no cell and no task of its own.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from itertools import count
from string import Formatter
from typing import Any

from carrynet.nets import cells
from carrynet.nets.formula import Formula
from carrynet.nets.network import Network
from carrynet.report import drawing, space
from carrynet.spec import tasks
from carrynet.spec.codec import Digits
from carrynet.spec.encoding import usual
from carrynet.spec.machine import Machine
from carrynet.spec.recipe import RECIPES
from carrynet.spec.task import Task

MOST_DRAWN = 12
"""Machines of more states than this are not drawn,"""
LINES = 4
"""and of the symbols of an edge only so many are written."""
TASKS = (
    *("add", "subtract", "compare", "multiply_by:k=3", "divide_by:k=3"),
    *("add:base=3", "parity", "tomita:4"),
)
"""What can be trained in a page beside its run's own task: learned in seconds, each otherwise."""
EVERY = 4
"""Of the words along which their hidden states are shown, one in so many: a page must be short."""


def task(task: Task, every: int = 1) -> dict[str, Any]:
    """The machine of a task, and how its problems are written; `page/src/task.mjs` reads it."""
    return {
        **{key: getattr(task, key) for key in ("text", "family", "base", "operands")},
        **{key: getattr(task, key) for key in ("headroom", "memory", "readout", "numeric")},
        "first": task.codec.first if isinstance(task.codec, Digits) else None,
        "answer": task.codec.answer if isinstance(task.codec, Digits) else None,
        "vectors": _vectors(task),
        "equation": _pieces(task),
        **asdict(task.machine),
        "drawing": layout(task.machine),
        "words": space.words_shown(task)[::every].tolist(),
    }


def network(network: Network) -> dict[str, Any]:
    """What a network computes, for the page's own reading of formulas, `page/src/formula.mjs`."""
    shapes = {name: array.shape for name, array in network.weights.items()}
    known = {"X": network.task.inputs, "H": network.hidden, "Y": network.task.neurons}

    def sized(formula: Formula) -> dict[str, Any]:
        return {**_formula(formula), "sizes": {**formula.sizes(shapes), **known}}

    return {
        "kind": network.kind,
        "activation": network.activation,
        "learned_start": len(shapes) > len(network.cell.parameters + network.readout.parameters),
        "cell": sized(network.cell),
        "readout": sized(network.readout),
    }


@cache
def trainable() -> dict[str, Any]:
    """What a page can train: cells of any size, tasks, and the tutorial's way to train them."""
    recipe = RECIPES["tutorial"]
    (stage,) = recipe.stages
    return {
        "cells": list(_cells()),
        "tasks": [task(tasks.parse(text), EVERY) for text in TASKS],
        "tutorial": {
            **{key: getattr(stage, key) for key in ("step", "batch", "loss", "optimiser")},
            **{key: getattr(recipe, key) for key in ("cell", "activation", "hidden", "biases")},
            "digits": recipe.digits - recipe.specification.headroom,
            "problems": recipe.problems,
        },
    }


def _cells() -> Iterator[dict[str, Any]]:
    """Elman's cell with each activation, and all others, with the usual readout."""
    named = [("elman", activation) for activation in cells.ACTIVATIONS]
    for kind, activation in named + [(kind, "") for kind in cells.CELLS]:
        yield {
            "kind": kind,
            "activation": activation,
            "learned_start": False,
            "cell": _formula(cells.cell(kind, activation or "sigmoid")),
            "readout": _formula(cells.readout()),
        }


def _formula(formula: Formula) -> dict[str, Any]:
    """A formula of any size."""
    listed = ("text", "inputs", "state", "parameters", "constants", "instructions", "results")
    return {
        **{name: getattr(formula, name) for name in (*listed, "state_dims")},
        "dims": dict(formula.dims),
        "biases": sorted(formula.biases),
        "gates": formula.gates,
    }


def layout(machine: Machine) -> dict[str, Any] | None:
    """Where the parts of a machine are drawn; None of one of too many states."""
    return asdict(drawing.layout(machine, LINES)) if len(machine.states) <= MOST_DRAWN else None


def _vectors(task: Task) -> list[tuple[float, ...]] | None:
    """What the network is fed for each symbol; None where its digits say it, as is usual."""
    if task.numeric and task.encoding == usual(task.codec):
        return None
    return [task.vector(a) for a in range(len(task.machine.symbols))]


def _pieces(task: Task) -> list[str | int]:
    """How a solved problem is written, for a reader without Python's formats.

    Text is itself, a number that operand, and -1 the answer: [0, " + ", 1, " = ", -1].
    """
    pieces: list[str | int] = []
    following = count()
    for text, name, _, _ in Formatter().parse(task.equation):
        if text:
            pieces.append(text)
        if name is not None:
            number = re.match(r"\d+", name)
            answer = name.startswith("answer")
            pieces.append(-1 if answer else int(number[0]) if number else next(following))
    return pieces
