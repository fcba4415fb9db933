"""One problem, worked by a network and, beside it, by the machine.

This is the reference of all counts: a network by itself, one symbol after another.
Shapes: T time, H hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carrynet.data.words import OPEN, tables
from carrynet.engines.reference import (
    grade,
)
from carrynet.nets.arrays import Array, sigmoid
from carrynet.nets.losses import predict
from carrynet.nets.network import HasNetwork, Network, network_of
from carrynet.spec.codec import Answer, Operand
from carrynet.spec.task import Task


@dataclass(frozen=True, eq=False)
class Worked:
    """One problem, worked by the network and, beside it, by the machine."""

    task: Task
    operands: tuple[Operand, ...]
    word: list[int]  #: T symbols
    memory: list[int]  #: T+1 states of the machine
    expected: list[int | None]  #: T outputs of the machine; None where it leaves them open
    predicted: list[int]  #: T outputs of the network
    margins: Array  #: (T,)
    hits: list[bool]  #: T: whether the output is right, and its logits are numbers
    error: float  #: sum_t |target - sigmoid(logit)|, the tutorial's error
    hidden: Array | None  #: (T, H), where asked for

    @property
    def answer(self) -> Answer:
        """The network's answer."""
        return self.task.decode(self.predicted)

    @property
    def right_answer(self) -> Answer:
        """The machine's answer; of a number, a digit that is left open is the network's own."""
        if not self.task.numeric:
            return self.task.decode(self.expected)
        pairs = zip(self.expected, self.predicted, strict=True)
        return self.task.decode([said if wanted is None else wanted for wanted, said in pairs])

    @property
    def right(self) -> bool:
        """Whether every digit is right."""
        return all(self.hits)

    def to_json(self) -> dict[str, Any]:
        """The problem, both answers and the verdict as plain values for JSON."""
        return {
            "operands": list(self.operands),
            "predicted": self.answer,
            "expected": self.right_answer,
            "right": self.right,
        }


@np.errstate(over="ignore", invalid="ignore")
def work(
    network: Network | HasNetwork,
    operands: Sequence[Operand],
    digits: int | None = None,
    *,
    hidden: bool = False,
) -> Worked:
    """Let the network work one problem; integers of any size.

    The operands are read as numbers of `digits` digits, or of as many as the longest
    has: leading zeros are digits that a network can get wrong.

    Raises `InputError` for operands that the task does not take.
    """
    network = network_of(network)
    task, machine = network.task, network.task.machine
    word = task.encode(operands, digits)
    expected = machine.transduce(word)
    blocks, margin, predicted, hits, error, start = [], [], [], [], 0.0, 0
    for h, logits in network.states(word):
        wanted = np.array([OPEN if y is None else y for y in expected[start : start + len(h)]])
        hit, margin_here = grade(logits, wanted)
        predicted += predict(logits).tolist()
        hits += hit.tolist()
        margin.append(margin_here)
        gaps = np.abs(tables(task).targets[wanted] - sigmoid(logits))[wanted != OPEN]
        error += float(np.nan_to_num(gaps, nan=1.0).sum())
        start += len(h)
        if hidden:
            blocks.append(h)
    return Worked(
        task=task,
        operands=tuple(operands),
        word=word,
        memory=machine.visit(word),
        expected=expected,
        predicted=predicted,
        margins=np.concatenate(margin),
        hits=hits,
        error=error,
        hidden=np.concatenate(blocks) if hidden else None,
    )
