"""A network of somebody else's as one of carrynet's, exactly but for the rounding of each sum.

The same weights are another network with tanh than with relu, with bits as -1 and +1 than as
0 and 1, cut at another logit, or where each answer comes a step late.  A `Convention` is one of
the few possibilities.

What its symbols are written as is the encoding of the task (`codings`), an embedding and whatever
else comes before the first cell folded into its table, since symbols are finite.  What decides
the answer is folded into the last layer: with the owner's outputs y, and the logits y B + d,

    Why' = Why B,   by' = by B + d

    two logits, cut at k   B = (-1, 1)^T,  d = -k
    one number, rounded    B = (0, 1, ..., base - 1),  d = -(0, 1, 4, ...) / 2

The last, because n minimises (y - n)^2 where it maximises n y - n^2 / 2.

Shapes: S symbols, x inputs of the owner's network; Y logits and y outputs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.data.words import tables
from carrynet.errors import InputError
from carrynet.exchange.layered import (
    ACTIVATIONS as BETWEEN,
    NONE,
    OPTIONAL,
    UNKNOWN,
    UNPLACED,
    Layered,
    check_bias,
    logit,
)
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.nets.readings import interpret
from carrynet.nets.readings.numbers import FLAT, NUMBERS
from carrynet.nets.recurrence import blank
from carrynet.nets.weights import Weights
from carrynet.spec.codec import DIGITS
from carrynet.spec.encoding import Encoding, usual
from carrynet.spec.task import Task, own

ACTIVATIONS = ("tanh", "relu", "sigmoid")
"""Of Elman's cell, where a file tells none."""
HEADS = (*BETWEEN, NONE)
"""Between linear layers, where a file tells none."""
MOST_GAPS = 3  # of which every combination is tried


@dataclass(frozen=True)
class Convention:
    """How a network computes with its weights."""

    activation: str  #: of cells of which none is told; '' where there are none such
    coding: str  #: a key of `codings`
    cut: float  #: the answer is 1 where the logit exceeds it; 0 for tasks of more outputs
    delay: int  #: how many steps each answer comes late
    head: str = ""  #: by commas, around linear layers where none is told; '' where nowhere

    def phrases(self, outputs: int, task: Task) -> dict[str, str]:
        """What each field says, in words; `outputs` is y."""
        cut = f"cut at logit {self.cut:g}"
        if task.readout == "bits" and outputs == 2 and not self.cut:
            cut = "the larger of two logits wins"
        if task.readout != "bits":
            cut = "one number out, rounded" if outputs == 1 else "the largest logit wins"
        said = {
            "activation": self.activation and f"activation {self.activation}",
            "head": self.head and _around(self.head.split(",")),
            "coding": CODED[self.coding],
            "cut": cut,
            "delay": ("no delay", "a delay of 1 step")[self.delay]
            if self.delay < 2
            else f"a delay of {self.delay} steps",
        }
        return {key: phrase for key, phrase in said.items() if phrase}


def _around(names: list[str]) -> str:
    """What activations there are around linear layers, in their order, in words."""
    if set(names) == {NONE}:
        return "no activation around the linear layers"
    return f"{' and '.join(names)} around the linear layers"


CODED = {
    "0/1": "bits as 0 and 1",
    "-1/+1": "bits as -1 and +1",
    "one-hot": "digits as one-hot vectors",
    "numbers": "digits as numbers",
    "joint": "one-hot vectors of all digits together",
    "symbols": "one-hot vectors of the symbols",
    "own": "symbols as the task says",
    "from 0": "symbols numbered from 0",
    "from 1": "symbols numbered from 1",
    "from 2": "symbols numbered from 2",
}


# Codings of the input, and what decides the output -----------------------------------


def codings(task: Task, rows: int) -> dict[str, Encoding]:
    """The codings that have so many inputs, the likeliest first."""
    symbols = len(task.machine.symbols)
    if task.encoding != usual(task.codec):
        return {"own": task.encoding} if rows == task.inputs else {}
    n, base = task.operands, task.base
    found: dict[str, str] = {}
    if not task.numeric:
        found |= {"symbols": "one-hot"} if rows == symbols else {}
        found |= {"numbers": "number"} if rows == 1 and symbols > 2 else {}
        if rows == max(1, (symbols - 1).bit_length()):
            found |= {"0/1": "bits", "-1/+1": "plus-minus-one"}
    elif rows == n:
        binary = {"0/1": "bits", "-1/+1": "plus-minus-one"}
        found |= binary if base == 2 else {"numbers": "number"}
    if task.numeric and rows == n * base:
        found["one-hot"] = "digits"
    if task.numeric and rows == symbols and n > 1:
        found["joint"] = "one-hot"
    return {coding: Encoding(kind) for coding, kind in found.items()}


def numberings(task: Task, rows: int) -> dict[str, int]:
    """Which row of an embedding is the first symbol's: there may be others before and after."""
    return {f"from {k}": k for k in range(min(rows - len(task.machine.symbols), 2) + 1)}


def input_counts(task: Task) -> list[int]:
    """The numbers of inputs x that some coding has, the likeliest first."""
    n, base, symbols = task.operands, task.base, len(task.machine.symbols)
    counts = (task.inputs, n, n * base, symbols, max(1, (symbols - 1).bit_length()))
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


ENDS = {
    "sigmoid": "the sigmoid at the end is left out: 1/2 after it is 0 before",
    "softmax": "the softmax at the end is left out: it does not change which answer is greatest",
    "logsoftmax": "the log-softmax at the end is left out: it changes no differences of answers",
    "greater": "the comparison at the end is left out: it is where the logit is cut, at {:g}",
    "argmax": "the argmax at the end is left out: the answer is the greatest logit's",
    UNPLACED: "no sigmoid or tanh after the last linear layer",
}
"""What may come after a head, and the note that it is left out."""


def ends(layers: Layered) -> list[str]:
    """What is left out after a head, or taken not to be there."""
    return [ENDS[layers.ended].format(layers.bound)] if layers.ended else []


def decided(layers: Layered, task: Task) -> Layered:
    """The layers without a sigmoid at the end where the answer is a bit that is cut from it.

    sigmoid(y) > p where y > log(p / (1 - p)); p is 1/2 where the file says no other.  Before
    anything else that decides, a sigmoid is no end: it may saturate, or change what is rounded.
    """
    compared = layers.ended == "greater"
    p = layers.bound if compared else 0.5
    cut = task.readout == "bits" and layers.outputs == 1 and layers.head[-1:] == ("sigmoid",)
    if not (cut and 0 < p < 1):
        return layers
    ended = "greater" if compared else "sigmoid"
    return replace(layers, head=layers.head[:-1], ended=ended, bound=logit(p))


@dataclass(frozen=True, eq=False)
class Owned:
    """The owner's network, with the owner's inputs and outputs."""

    task: Task
    layers: Layered
    dtype: np.dtype[Any]  #: that the owner computes with

    @property
    def inputs(self) -> int:
        """x, or how many symbols there is an embedding for."""
        embedding = self.layers.embedding
        return self.layers.width if embedding is None else len(embedding)

    @property
    def weights(self) -> Weights:
        """By their names in the formulas, where everything around them is told."""
        return self._weights(Convention("tanh", "", 0.0, 0, self.heads[0]))

    def _weights(self, convention: Convention, names: Iterable[str] | None = None) -> Weights:
        """By their names in the formulas, all or some, as the owner computes with them."""
        arrays = self._told(convention).parameters
        some = arrays if names is None else names
        return Weights({name: arrays[name].astype(self.dtype, copy=False) for name in some})

    @property
    def outputs(self) -> int:
        """y."""
        return self.layers.outputs

    @cached_property
    def codings(self) -> list[str]:
        """What symbols may be written as, the likeliest first."""
        embedded = self.layers.embedding is not None
        return list((numberings if embedded else codings)(self.task, self.inputs))

    def conventions(self, cuts: Any, delays: Any) -> list[Convention]:
        """All of them, over what the layers leave open."""
        activations = ACTIVATIONS if self.layers.untold else ("",)
        return [
            Convention(activation, coding, cut, delay, between)
            for between, activation, coding, cut, delay in product(
                self.heads, activations, self.codings, cuts, delays
            )
        ]

    @cached_property
    def heads(self) -> list[str]:
        """What may be around the linear layers, the likeliest first.

        Where there are many places, what is between two layers is the same everywhere, and there
        is nothing before and after them.
        """
        gaps = self.layers.gaps
        choices = [HEADS if gap == UNKNOWN else (NONE, *BETWEEN) for gap in gaps]
        if len(gaps) > MOST_GAPS:
            alike = dict.fromkeys(HEADS if UNKNOWN in gaps else (NONE,))
            return [self.around(name) for name in alike]
        return [",".join(names) for names in product(*choices)]

    def around(self, name: str) -> str:
        """One name for all places between two linear layers; where there are none, for all."""
        gaps = self.layers.gaps
        everywhere = UNKNOWN not in gaps
        return ",".join(name if everywhere or gap == UNKNOWN else NONE for gap in gaps)

    def fed(self, convention: Convention) -> Array:
        """What the first cell is fed for each symbol: (S, x'), float64."""
        coding, embedding = convention.coding, self.layers.embedding
        if embedding is not None:
            first = numberings(self.task, len(embedding))[coding]
            vectors = embedding[first : first + len(self.task.machine.symbols)]
        else:
            encoding = codings(self.task, self.layers.width)[coding]
            vectors = tables(_with(self.task, encoding)).vectors
        return self._told(convention).fed(vectors)

    def answered(self, convention: Convention, words: NDArray[np.integer]) -> Array:
        """The owner's outputs for words (T, N) of symbols: (T, N, y)."""
        return self.read(convention, self.followed(convention, words))

    def below(self, convention: Convention) -> Convention:
        """A convention as far as the states depend on it: of alike ones they are the same."""
        gaps = sum(layer in (UNKNOWN, OPTIONAL) for layer in self.layers.before)
        before = ",".join(convention.head.split(",")[:gaps])
        return replace(convention, cut=0.0, delay=0, head=before)

    @np.errstate(over="ignore", invalid="ignore")
    def followed(self, convention: Convention, words: NDArray[np.integer]) -> Array:
        """The top layer's h along words (T, N) of symbols: (T, N, H)."""
        cell, _ = self._formulas(convention)
        weights = self._weights(convention)
        slots = blank(cell, weights)
        slots[0] = self.fed(convention).astype(self.dtype)
        interpret(cell.of_input, NUMBERS, slots)  # of every symbol once
        sizes = cell.sizes({name: array.shape for name, array in weights.items()})
        state = []
        for part, dim in zip(cell.state, cell.state_dims, strict=True):
            begins = weights.get(f"{part}_start", np.zeros(sizes[dim], self.dtype))
            state.append(np.broadcast_to(begins, (words.shape[1], sizes[dim])))
        h = np.empty((*words.shape, state[0].shape[1]), self.dtype)
        for t, symbols in enumerate(words):
            step = slots.copy()
            for slot in cell.drives:
                step[slot] = slots[slot][symbols]
            step[1 : 1 + len(state)] = state
            interpret(cell.of_state, NUMBERS, step)
            state = [step[result] for result in cell.results]
            h[t] = state[0]
        return h

    @np.errstate(over="ignore", invalid="ignore")
    def read(self, convention: Convention, h: Array) -> Array:
        """The owner's outputs for the top layer's h: (T, N, H) to (T, N, y)."""
        _, readout = self._formulas(convention)
        slots = blank(readout, self._weights(convention, readout.parameters))
        slots[0] = h
        interpret(readout.instructions, FLAT, slots)
        found: Array = slots[readout.results[0]]
        return found

    def _formulas(self, convention: Convention) -> Any:
        return self._told(convention).formulas()

    def _told(self, convention: Convention) -> Layered:
        around = convention.head.split(",") if convention.head else ()
        return self.layers.told(convention.activation, around)

    def network(self, convention: Convention) -> Network:
        """The network that answers as the owner's, up to rounding; of a convention without delay.

        Raises `InputError` where it has weights that are not finite, or is too far from it.
        """
        assert not convention.delay
        B, d = decides(self.task, self.outputs, convention.cut)
        last = self._told(convention).parameters
        if self.task.readout == "bits":
            W, b = (last[name].astype(np.float64) for name in ("Why", "by"))
            if self.outputs == 1:
                check_bias(b + d, np.abs(b) + np.abs(d))
            else:
                _check_pair(W, b)
        with np.errstate(over="ignore", invalid="ignore"):
            Why = (last["Why"].astype(np.float64) @ B).astype(self.dtype)
            by = (last["by"].astype(np.float64) @ B + d).astype(self.dtype)
            made = self._weights(convention).map(np.copy).replace(Why=Why, by=by)
        cell, readout = self._formulas(convention)
        return Network(_with(self.task, self._encoding(convention)), cell, made, readout)

    def _encoding(self, convention: Convention) -> Encoding:
        if self.layers.embedding is None and not self.layers.before:
            return codings(self.task, self.inputs)[convention.coding]
        fed = self.fed(convention)
        if np.array_equal(fed, tables(self.task).vectors):
            return self.task.encoding
        if self.dtype == np.float64 and (fed.astype(np.float32) != fed).any():
            raise InputError(
                "the network is in float64, and what its embedding feeds it are no numbers of "
                "float32, as all that networks are fed here: converted to float32 as a whole it "
                "can be taken, and is another network"
            )
        return Encoding("table", tuple(map(tuple, fed.tolist())))


def _check_pair(W: Array, b: Array) -> None:
    """Refuse two logits that have much in common: W (H, 2), b (2,).

    The owner's network rounds each by its own size; what is proved of their difference allows for
    rounding by the size of that.  Training moves them apart, so that they share little more
    than their first values.
    """
    rows, most = np.vstack([W, b]), 16 * (len(W) + 1) ** 0.5
    with np.errstate(invalid="ignore"):
        shared = float((np.abs(rows).sum(axis=1) - np.abs(rows[:, 1] - rows[:, 0])).sum())
    if shared > most:
        raise InputError(
            f"the two logits have too much in common: their weights are larger than those of their "
            f"difference by {shared:.3g} in all, at most {most:.3g} is accepted, since each rounds "
            "by its own size; with what they have in common left out it is another network"
        )


def _with(task: Task, encoding: Encoding) -> Task:
    """The task, its symbols written in some way; it stays what it is where that is its own."""
    if encoding == task.encoding:
        return task
    return own(task.name, task.machine, codec=task.codec, encoding=encoding)
