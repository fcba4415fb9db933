"""A small recurrent network, and what it answers.  Read this first.

A network reads one symbol at each position, keeps a state, and answers one output for
each position.  What it computes is a formula for the cell and one for the readout
(`cells.py`), for example Elman's:

    h = sigmoid(x @ Wxh + bh + h @ Whh)        the cell, from the state before
    logits = h @ Why + by                      the readout

Vectors are rows.  Shapes: B batch, T time, N states side by side, S symbols, X input,
H hidden, D the whole state, all its parts side by side, Y output.

Before it come its weights (`weights.py`) and what is asked of its logits (`losses.py`); after it
its gradients, backward through time (`bptt.py`).  A network computes with numbers of any size.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from carrynet import files
from carrynet.data.words import tables
from carrynet.errors import InputError, shorten
from carrynet.nets import cells
from carrynet.nets.arrays import Array, in_one_thread
from carrynet.nets.formula import Formula
from carrynet.nets.losses import predict
from carrynet.nets.readings import Forward, interpret
from carrynet.nets.readings.enclosure import Box, Enclosure, ends as ends_of
from carrynet.nets.readings.numbers import FLAT, NUMBERS, SIZES
from carrynet.nets.recurrence import blank
from carrynet.nets.weights import Weights
from carrynet.spec import builtin
from carrynet.spec.codec import Answer, Operand
from carrynet.spec.recipe import Recipe
from carrynet.spec.tables import from_facts, to_facts
from carrynet.spec.task import Task


@dataclass(frozen=True, eq=False, init=False)
class Network:
    """A task, a cell and weights: what a training yields and everything else works on.

    `cell` is a formula or the name of a cell, of which an activation's is Elman's with it.
    `readout` goes from the first part of the top layer's state to the logits.

    Raises `InputError` when the weights do not fit the formulas, do not fit the task,
    or are not finite.
    """

    task: Task
    cell: Formula
    weights: Weights
    readout: Formula

    def __init__(
        self,
        task: Task,
        cell: Formula | str,
        weights: Weights,
        readout: Formula | None = None,
    ) -> None:
        own = {"task": task, "cell": cells.formula(cell), "weights": weights}
        vars(self).update(own, readout=readout or cells.readout())
        names = (*self.cell.parameters, *self.readout.parameters)
        if twice := {name for name in self.cell.parameters if name in self.readout.parameters}:
            raise InputError(f"cell and readout both have weights {min(twice)}")
        starts = tuple(f"{part}_start" for part in self.cell.state)
        if taken := {*starts}.intersection(names):
            raise InputError(f"weights {min(taken)} are called as a learned start is")
        given = tuple(self.weights)
        if set(given) not in (set(names), {*names, *starts}):
            raise InputError(
                f"the weights are {shorten(', '.join(given))}, not {shorten(', '.join(names))}"
            )
        if given != (*names, *starts)[: len(given)]:
            ordered = {name: self.weights[name] for name in (*names, *starts) if name in given}
            vars(self)["weights"] = Weights(ordered)
        X, Y = self.task.inputs, self.task.neurons
        shapes = {name: array.shape for name, array in self.weights.items()}
        if not self.hidden:
            raise InputError("weights of a network without hidden units")
        for formula in (self.cell, self.readout):
            sizes = {**formula.sizes(shapes), "X": X, "Y": Y}
            wanted = formula.shapes(sizes)
            for name in formula.parameters:
                if shapes[name] != wanted[name]:
                    raise InputError(
                        f"weights {name} have shape {shapes[name]}, not {wanted[name]}"
                    )
        for name, array in self.weights.items():
            if array.dtype != self.dtype or self.dtype not in (np.float32, np.float64):
                raise InputError(f"weights {name} are {array.dtype}: all float32 or all float64")
            if not np.isfinite(array).all():
                raise InputError(f"weights {name} are not all finite")
        # how they lie in memory decides in which order products sum, and so the last bits: as in a
        # file, row by row
        vars(self)["weights"] = self.weights.map(np.ascontiguousarray)

    def __repr__(self) -> str:
        return f"Network({self.task.text!r}, hidden={self.hidden}, {self.kind!r})"

    @property
    def hidden(self) -> int:
        """H, the number of units in the first part of the state."""
        return self.widths[0]

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """float32 or float64."""
        return next(iter(self.weights.values())).dtype

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """How many units each part of the state has; D is their sum."""
        sizes = self.cell.sizes({name: array.shape for name, array in self.weights.items()})
        return tuple(sizes[dim] for dim in self.cell.state_dims)

    @property
    def kind(self) -> str:
        """The cell in a word or two: an activation for Elman's, a name such as 'gru', or 'own'."""
        return self.activation or cells.name_of(self.cell)

    @property
    def activation(self) -> str:
        """That of Elman's cell, where the network is one, linear and begun at zero; else ''."""
        if self.readout != cells.readout() or f"{self.cell.state[0]}_start" in self.weights:
            return ""
        return cells.elman_activation(self.cell)

    @cached_property
    def start(self) -> Array:
        """The state before the first symbol: shape (D,), zero unless it is learned."""
        starts = [
            self.weights.get(f"{part}_start", np.zeros(width, self.dtype))
            for part, width in zip(self.cell.state, self.widths, strict=True)
        ]
        return np.concatenate(starts)

    def parts(self, state: Array) -> list[Array]:
        """A state (..., D) as its parts."""
        if len(self.widths) == 1:
            return [state]
        ends = accumulate(self.widths)
        return [state[..., end - width : end] for width, end in zip(self.widths, ends, strict=True)]

    @cached_property
    def _slots(self) -> list[Any]:
        """The cell's slots after what needs the input only, for every symbol at once: (S, ...)."""
        slots = blank(self.cell, self.weights)
        slots[0] = tables(self.task).vectors.astype(self.dtype)
        interpret(self.cell.of_input, NUMBERS, slots)
        return slots

    @cached_property
    def _read_out_slots(self) -> list[Any]:
        return blank(self.readout, self.weights)

    def step(
        self, state: Array, symbols: int | NDArray[np.integer], reading: Forward = NUMBERS
    ) -> Array:
        """The states (..., D) after symbols (...), from those before; by `ALONE` as `children`."""
        slots = self._slots.copy()
        for slot in self.cell.drives:
            slots[slot] = slots[slot][symbols]
        slots[1 : 1 + len(self.widths)] = self.parts(state)
        interpret(self.cell.of_state, reading, slots)
        return _joined(self._new(slots))

    def children(self, states: Array, reading: Forward = FLAT) -> Array:
        """The states after every symbol: shape (N, D) to (N, S, D).

        The S children of a state share its products.  By the reading `ALONE` they are to the last
        bit what `step` makes of that state by itself.
        """
        slots = self._slots.copy()
        slots[1 : 1 + len(self.widths)] = self.parts(states[:, None])
        interpret(self.cell.of_state, reading, slots)
        shape = len(states), len(tables(self.task).vectors)
        return _for_all(shape, self._new(slots))

    def _new(self, slots: list[Any]) -> list[Array]:
        return [slots[result] for result in self.cell.results]

    def read(self, state: Array, reading: Forward = NUMBERS) -> Array:
        """Logits of states: shape (..., D) to (..., Y); of each by itself with `ALONE`."""
        slots = self._read_out_slots.copy()
        slots[0] = self.parts(state)[0]
        interpret(self.readout.instructions, reading, slots)
        logits: Array = slots[self.readout.results[0]]
        return logits

    def states(self, word: list[int]) -> Iterator[tuple[Array, Array]]:
        """States (t, D) and logits (t, Y) along a word, in blocks of positions.

        One symbol after another, which is how the network answers: products of more rows sum
        in another order.  A block at a time, so that a word of millions of symbols needs
        little memory.
        """
        state = self.start
        for begin in range(0, len(word), _BLOCK):
            block, logits = self._follow(state, word[begin : begin + _BLOCK])
            state = block[-1]
            yield block, logits

    @in_one_thread
    @np.errstate(over="ignore", invalid="ignore")
    def _follow(self, state: Array, symbols: list[int]) -> tuple[Array, Array]:
        block = np.empty((len(symbols), len(self.start)), self.dtype)
        logits = np.empty((len(symbols), self.task.neurons), self.dtype)
        for t, symbol in enumerate(symbols):
            block[t] = state = self.step(state, symbol)
            logits[t] = self.read(state)
        return block, logits

    @property
    def symbols(self) -> int:
        """S, the number of symbols that the task's machine reads."""
        return len(tables(self.task).vectors)

    def moved(self, weights: Weights) -> "Network":
        """The same with other weights of the same shapes, unchecked: for each update."""
        network = object.__new__(Network)
        same = {"task": self.task, "cell": self.cell, "readout": self.readout}
        vars(network).update(same, weights=weights, widths=self.widths)
        if len(weights) == len(self.cell.parameters) + len(self.readout.parameters):
            vars(network)["start"] = self.start  # zero
        return network

    def for_task(self, task: Task) -> "Network":
        """The same weights for another task.  Raises `InputError` where they do not fit it."""
        return Network(task, self.cell, self.weights, self.readout)

    @property
    def every_drive(self) -> list[Array]:
        """What each symbol gives to a step, whatever the state: a table (S, ...) for each drive."""
        symbols = len(tables(self.task).vectors)
        found = [self._slots[slot] for slot in self.cell.drives]
        return [np.broadcast_to(each, (symbols, each.shape[-1])) for each in found]

    @property
    def drives(self) -> Array:
        """x Wxh + bh for every symbol: shape (S, H); of Elman's cell."""
        (drive,) = self.cell.drives
        found: Array = self._slots[drive]
        return found

    @property
    def about(self) -> dict[str, Any]:
        """What it computes, in full, as models and certificates say it."""
        return {
            **to_facts(self.task),
            "cell": self.cell.text,
            "readout": self.readout.text,
            "start": self.start.tolist(),
            "weights_sha256": self.digest(),
        }

    @property
    def settings(self) -> dict[str, Any]:
        """What it computes, as a recipe says it."""
        if self.elman:
            return {"activation": self.activation}
        linear, learned = self.readout == cells.readout(), f"{self.cell.state[0]}_start"
        named = self.kind if self.kind in cells.CELLS else self.cell.text.replace("\n", "; ")
        return {
            "cell": named,
            "readout": "" if linear else self.readout.text.replace("\n", "; "),
            "start": "learned" if learned in self.weights else "zero",
        }

    @property
    def elman(self) -> bool:
        """Whether it is Elman's: his cell, linear, begun at zero."""
        return bool(self.activation)

    @np.errstate(over="ignore", invalid="ignore")
    def sizes(self, reach: Array) -> tuple[float, float]:
        """How large logits, and values on the way to the next state, can be for |state| <= reach.

        The sums of what is added, without regard to signs; shape (D,) to two numbers.
        """
        double = self.weights.map(lambda a: np.abs(a.astype(np.float64)))
        slots = blank(self.cell, double)
        slots[0] = np.abs(tables(self.task).vectors.astype(np.float64)).max(axis=0)
        slots[1 : 1 + len(self.widths)] = self.parts(reach)
        interpret(self.cell.instructions, SIZES, slots)
        out = blank(self.readout, double)
        out[0] = self.parts(reach)[0]
        interpret(self.readout.instructions, SIZES, out)
        values = [slots[each.out] for each in self.cell.instructions]
        values += [out[each.out] for each in self.readout.instructions]
        return float(out[self.readout.results[0]].max()), max(float(v.max()) for v in values)

    def enclose(self, reading: Enclosure, box: Box) -> Box:
        """All states after every symbol from those in boxes, without rounding: (N, D) to (N, S, D).

        The S images of a box share its products, and whatever all symbols feed alike.
        """
        ends = zip(self.parts(box.l[:, None]), self.parts(box.u[:, None]), strict=True)
        new = self.carry(reading, [Box(l=low, u=high) for low, high in ends])
        shape = len(box.l), len(self.task.machine.symbols)
        lower, upper = zip(*map(ends_of, new), strict=True)
        return Box(l=_for_all(shape, lower), u=_for_all(shape, upper))

    def carry(
        self, reading: Forward, parts: Sequence[Any], symbols: NDArray[np.intp] | None = None
    ) -> list[Any]:
        """The parts of the state after every symbol, of whatever values a reading is of.

        From those before, (N, 1, ...); what all symbols feed alike has 1 in place of S.  Or after
        one symbol each (N,).
        """
        slots = self._slots.copy()
        for slot in self.cell.drives:
            if (slots[slot] == slots[slot][:1]).all():
                slots[slot] = slots[slot][:1]
            elif symbols is not None:
                slots[slot] = slots[slot][symbols][:, None]
        slots[1 : 1 + len(self.widths)] = parts
        interpret(self.cell.of_state, reading, slots)
        return self._new(slots)

    def enclose_readout(self, reading: Enclosure, box: Box) -> tuple[Array, Array, Array, Array]:
        """Of boxes (N, D), what the last layer of the readout is fed, c and r; its Why and by."""
        v = self.feed(reading, Box(l=self.parts(box.l)[0], u=self.parts(box.u)[0]))
        return v.c, v.r, *self.last_layer

    def feed(self, reading: Forward, h: Any) -> Any:
        """What the last layer of the readout is fed, of whatever values a reading is of."""
        *layers, product, _ = self.readout.instructions
        slots = self._read_out_slots.copy()
        slots[0] = h
        interpret(layers, reading, slots)
        return slots[product.operands[0]]

    @property
    def last_layer(self) -> tuple[Array, Array]:
        """Why (d, Y) and by (Y,) of the readout's last layer, which is linear."""
        *_, product, bias = self.readout.instructions
        Why, by = (self._read_out_slots[each.operands[1]] for each in (product, bias))
        return Why, by

    def astype(self, dtype: str) -> "Network":
        """The same network with its weights in another type."""
        return replace(self, weights=self.weights.map(lambda a: a.astype(dtype)))

    def transduce(self, word: list[int]) -> list[int]:
        """The outputs that the network answers to a word of symbols."""
        return [int(out) for _, logits in self.states(word) for out in predict(logits)]

    def compute(self, *operands: Operand) -> Answer:
        """The network's own answer to a problem, right or wrong; integers of any size.

        Of a task without numbers the problem is a word, as text, and so is the answer.
        Raises `InputError` for operands that the task does not take.
        """
        return self.task.decode(self.transduce(self.task.encode(operands)))

    __call__ = compute

    def add(self, *operands: int) -> int:
        """`compute`, for a network that has learned to add."""
        return self._compute("add", operands)

    def subtract(self, *operands: int) -> int:
        """`compute`, for a network that has learned to subtract."""
        return self._compute("subtract", operands)

    def _compute(self, family: str, operands: tuple[int, ...]) -> int:
        if builtin.family(self.task) != family:
            raise InputError(
                f"this network has learned {self.task.text}, not {family}: `compute` works a "
                "problem of whatever it has learned"
            )
        return int(self.compute(*operands))

    def digest(self) -> str:
        """SHA-256 over everything that the network computes with, as 64 hexadecimal digits."""
        formulas = f"{self.cell} {self.readout} {' '.join(self.weights)}"
        shapes = {name: array.shape for name, array in self.weights.items()}
        widths = [self.hidden, *self.cell.free(shapes), *self.readout.free(shapes)]
        text = f"{self.task.identity} {formulas} {self.dtype.name} {' '.join(map(str, widths))}"
        digest = hashlib.sha256(text.encode())
        for array in self.weights.values():
            digest.update(np.ascontiguousarray(array, dtype=self.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()


def _for_all(shape: tuple[int, ...], parts: Sequence[Array]) -> Array:
    return _joined([np.broadcast_to(part, (*shape, part.shape[-1])) for part in parts])


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def network_for(recipe: Recipe, weights: Weights) -> Network:
    """The network that a recipe speaks of, with weights that it, or something else, has got."""
    cell, readout = cells.of(recipe)
    return Network(recipe.specification, cell, weights, readout)


def written(tensors: Mapping[str, Array], said: Mapping[str, Any]) -> Network:
    """The network that carrynet wrote into a file: its tensors, and what the file says of them.

    For use within `files.reading`: raises `ValueError`, or what else a wrong value leads to,
    where the file is of another version, or its weights are not those that it speaks of.
    """
    files.require_version(said, files.MODEL)
    cell, readout = cells.formulas(said)
    network = Network(from_facts(said), cell, Weights(tensors), readout)
    files.require_facts(said, network.about)
    return network


class HasNetwork(Protocol):
    """Whatever has a network, such as a run."""

    @property
    def network(self) -> Network:
        """The network."""


def network_of(subject: Network | HasNetwork) -> Network:
    """The network that a function is asked about: itself, or that of a run.

    Raises `InputError` for anything else.
    """
    network = subject if isinstance(subject, Network) else getattr(subject, "network", None)
    if not isinstance(network, Network):
        raise InputError(f"a Network or a Run is asked for, not {shorten(subject)}")
    return network


_BLOCK = 4096
