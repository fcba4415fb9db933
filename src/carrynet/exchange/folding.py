"""A network of somebody else's as one of carrynet's, exactly but for the rounding of each sum.

The same weights are another network with tanh than with relu, with bits as -1 and +1 than as
0 and 1, cut at another logit, or where each answer comes a step late.  A `Convention` is one of
the few possibilities.

What carrynet's networks cannot do as the owner's does is folded into the weights.  With the
vectors V that carrynet feeds for each symbol, and the owner's U = V A + c; with the owner's
outputs y, and the logits y B + d:

    Wxh' = A Wxh,   bh' = bh + c Wxh,   Why' = Why B,   by' = by B + d

    bits as -1 and +1      A = 2 I,  c = -1
    digits as numbers      A = the column 0, 1, ..., base - 1 for each operand,  c = 0
    one-hot bits           A = the row (-1, 1) for each operand,  c = (1, 0, 1, 0, ...)
    two logits, cut at k   B = (-1, 1)^T,  d = -k
    one number, rounded    B = (0, 1, ..., base - 1),  d = -(0, 1, 4, ...) / 2

The last, because n minimises (y - n)^2 where it maximises n y - n^2 / 2.

Shapes: X inputs of carrynet's network, x of the owner's; Y and y outputs; S symbols.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from carrynet.nets import cells
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from carrynet.spec.codec import DIGITS
from carrynet.spec.encoding import usual
from carrynet.spec.task import Task


@dataclass(frozen=True)
class Convention:
    """How a network computes with its weights."""

    activation: str
    coding: str  #: a key of `codings`
    cut: float  #: the answer is 1 where the logit exceeds it; 0 for tasks of more outputs
    delay: int  #: how many steps each answer comes late

    def phrases(self, outputs: int, task: Task) -> dict[str, str]:
        """What each field says, in words; `outputs` is y."""
        cut = f"cut at logit {self.cut:g}"
        if task.readout == "bits" and outputs == 2 and not self.cut:
            cut = "the larger of two logits wins"
        if task.readout != "bits":
            cut = "one number out, rounded" if outputs == 1 else "the largest logit wins"
        return {
            "activation": f"activation {self.activation}",
            "coding": CODED[self.coding],
            "cut": cut,
            "delay": ("no delay", "a delay of 1 step")[self.delay]
            if self.delay < 2
            else f"a delay of {self.delay} steps",
        }


CODED = {
    "0/1": "bits as 0 and 1",
    "-1/+1": "bits as -1 and +1",
    "one-hot": "digits as one-hot vectors",
    "numbers": "digits as numbers",
    "joint": "one-hot vectors of all digits together",
    "own": "symbols as the task says",
}


# Codings of the input, and what decides the output -----------------------------------


def codings(task: Task, rows: int) -> dict[str, tuple[Array, Array] | None]:
    """The codings that have so many inputs: A (X, rows) and c (rows,), the likeliest first.

    None for the one that cannot be folded: a one-hot vector of all digits together.
    """
    if not task.numeric or task.encoding != usual(task.codec):
        X = task.inputs
        return {"own": (np.eye(X), np.zeros(X))} if rows == X else {}
    n, base = task.operands, task.base
    each = np.eye(n)
    found: dict[str, tuple[Array, Array] | None] = {}
    if base == 2 and rows == n:
        found["0/1"] = each, np.zeros(n)
        found["-1/+1"] = 2 * each, -np.ones(n)
    if base > 2 and rows == n:
        found["numbers"] = np.kron(each, np.arange(base)[:, None]), np.zeros(n)
    if rows == n * base:
        if base > 2:
            found["one-hot"] = np.eye(rows), np.zeros(rows)
        else:
            found["one-hot"] = np.kron(each, np.array([[-1, 1]])), np.tile([1.0, 0.0], n)
    if rows == len(task.machine.symbols) and n > 1:
        found["joint"] = None
    return found


def input_counts(task: Task) -> list[int]:
    """The numbers of inputs x that some coding has, the likeliest first."""
    n, base, symbols = task.operands, task.base, len(task.machine.symbols)
    counts = (task.inputs, n, n * base, symbols)
    return [rows for rows in dict.fromkeys(counts) if codings(task, rows)]


def output_counts(task: Task) -> list[int]:
    """The numbers of outputs y that can be read as the task's, the likeliest first."""
    if task.readout == "bits":
        return [1, 2]
    digits = task.machine.outputs == tuple(DIGITS[: task.neurons])
    return [task.neurons, 1] if digits else [task.neurons]


def decides(task: Task, outputs: int, cut: float) -> tuple[Array, Array]:
    """B (y, Y) and d (Y,)."""
    if task.readout == "bits":
        B = np.array([[1.0]]) if outputs == 1 else np.array([[-1.0], [1.0]])
        return B, np.array([-cut])
    if outputs == task.neurons:
        return np.eye(outputs), np.zeros(outputs)
    digits = np.arange(task.neurons, dtype=np.float64)
    return digits[None, :], -digits * digits / 2


@dataclass(frozen=True, eq=False)
class Owned:
    """The owner's weights, as rows, with the owner's inputs and outputs.

    Wxh (x, H), Whh (H, H), bh (H,), Why (H, y), by (y,), all float64.
    """

    task: Task
    weights: Weights
    dtype: np.dtype[Any]  #: that the owner computes with

    @property
    def outputs(self) -> int:
        """y."""
        return self.weights.Why.shape[1]

    @property
    def codings(self) -> dict[str, tuple[Array, Array] | None]:
        """See `codings`."""
        return codings(self.task, len(self.weights.Wxh))

    def network(self, convention: Convention) -> Network:
        """The network that answers as the owner's, up to rounding.

        For a convention without delay whose coding can be folded.
        """
        coding, w = self.codings[convention.coding], self.weights
        assert coding is not None
        assert not convention.delay
        (A, c), (B, d) = coding, decides(self.task, self.outputs, convention.cut)
        with np.errstate(over="ignore", invalid="ignore"):
            folded = Weights(
                Wxh=A @ w.Wxh, Whh=w.Whh, bh=w.bh + c @ w.Wxh, Why=w.Why @ B, by=w.by @ B + d
            )
            made = folded.map(lambda array: array.astype(self.dtype, order="C"))
            return Network(self.task, cells.named(convention.activation), made)
