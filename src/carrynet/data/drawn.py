"""The problems that a training is shown, by their positions: any can be had without the others.

Shapes: B problems of an update, T time, S symbols.
"""

from dataclasses import replace
from functools import cache

import numpy as np

from carrynet.data import balanced, rng
from carrynet.data.words import Words, training_words
from carrynet.spec.codec import Letters
from carrynet.spec.encoding import Encoding
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage
from carrynet.spec.task import Task, own


def draw(recipe: Recipe, stage: int, first: int, count: int) -> Words:
    """The problems of updates `first .. first + count - 1` of a stage: shape (count, B, T).

    All of them of the length of the first.  Where the stage asks for some answers only, they are
    words of the task `partly`.  Where the recipe has so many examples, problem i is number i modulo
    that, of those that the first stage would have: they are the same in every stage.
    """
    how = recipe.schedule[stage]
    digits, _ = recipe.length(how, first)
    start, many = first * how.batch, count * how.batch
    if recipe.examples:
        turns = np.arange(start, start + many) % recipe.examples
        words = _drawn(recipe, how, 0, digits, 0, recipe.examples)[turns]
    else:
        words = _drawn(recipe, how, stage, digits, start, many)
    return words.reshape(count, how.batch, digits)


def _drawn(recipe: Recipe, how: Stage, stream: int, digits: int, start: int, count: int) -> Words:
    """Problems `start .. start + count - 1` of a stream, (count, digits), as a stage has them."""
    task, seed = recipe.specification, recipe.seed
    length = np.full(count, digits)
    if how.partly or how.words == "balanced":
        bits = rng.raw(seed, rng.LENGTHS + stream, start, count)
        length = balanced.lengths(task, digits, bits, 1 if how.lengths == "drawn" else digits)
    if how.words == "balanced":
        bits = rng.raw(seed, rng.STAGES + stream, start * (1 + digits), count * (1 + digits))
        words = balanced.balanced(task, length, bits.reshape(count, 1 + digits))
    else:
        which = {"seed": seed, "stream": rng.STAGES + stream, "start": start, "count": count}
        words = training_words(task, digits, **which, walks=how.words != "uniform")
    if how.partly:
        words = asking(task, words, length, end=how.asked == "end")
    return words


def asking(task: Task, words: Words, length: Words, *, end: bool) -> Words:
    """Words (N, T) as those of the task `partly`, to be asked as far as `length` (N,) says.

    After each of the first symbols, so many, or at their `end` only.
    """
    left = length[:, None] - 1 - np.arange(words.shape[1])
    silent = left != 0 if end else left < 0
    symbols = len(task.machine.symbols)
    return (words + symbols * silent).astype(np.min_scalar_type(2 * symbols - 1))


@cache
def partly(task: Task) -> Task:
    """The same task with each of its S symbols twice: a, and a + S, after which nothing is asked.

    So words can ask for some of their answers, and nobody who reads them needs to know of it.
    """
    machine = task.machine
    S = len(machine.symbols)
    taken, mark = set(machine.symbols), "'"
    while any(f"{name}{mark}" in taken for name in machine.symbols):
        mark += "'"
    twice = replace(
        machine,
        symbols=(*machine.symbols, *(f"{name}{mark}" for name in machine.symbols)),
        delta=tuple((*row, *row) for row in machine.delta),
        output=tuple((*row, *[None] * S) for row in machine.output),
    )
    vectors = tuple(task.vector(a) for a in range(S))
    return own(
        "partly",
        twice,
        codec=Letters(twice.symbols, twice.outputs, task.memory),
        encoding=Encoding("table", (*vectors, *vectors)),
    )
