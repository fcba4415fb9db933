"""Weights by construction: a network for a machine, without training, whose mechanism is known.

A unit stands for each pair of a state before and a symbol, and is high exactly after that symbol
was read in that state.  It is told so by its pre-activation

    beta (2 score_a(x) + 2 [state = q] - 1),    score_a(x) = 0 for its own symbol, else <= -1

which is beta where both hold and -beta or less where one does not; beta is the scale.  The state
before is read off the units themselves: [state = q] is the sum of those that lead to q, or 1 less
the sum of those that do not, or some of both, whichever hands on the least error.  One unit more,
"started", is high after the first symbol: at the start, where all are 0, they say nothing yet.

What makes of this a network of some cell is a row of `mechanism.REALISED`: which of its weights
are the pre-activation's, and which gates are open or shut for good.  Upper layers of a stack copy
what the layer below says.  The levels that units then have, high and low, come of the equations.

Saturated units forget errors, whatever the machine remembers (Omlin & Giles 1996, "Constructing
deterministic finite-state automata in recurrent neural networks", for second-order networks).
ReLU does not saturate: its units listen only to others that are exactly 0, so that an error is
not passed on.  For transformers, Tracr (Lindner et al. 2023) compiles programs to the same end.

Shapes: X input, H hidden, Y output, R roles, Q states.  Left out: cells of one's own, and
encodings in which a symbol's vector lies between others', since no linear score tells it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.words import tables
from carrynet.errors import InputError
from carrynet.learn.mechanism import Construction, Mechanism, Unit
from carrynet.learn.realised import REALISED, Realised, settled
from carrynet.learn.scores import scores as scores_of
from carrynet.nets import cells
from carrynet.nets.arrays import Array, in_one_thread, quiet
from carrynet.nets.formula import Formula, layers
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import Recipe
from carrynet.spec.task import Task

GATE = 10.0
"""The bias of a gate that is open, and less that of one that is shut."""
SCALE, SCALE_OF_RELU = 8.0, 64.0
"""The scale where none is said.

A larger one leaves more room for errors, but less than it adds in rounding: of machines with some
hundred pairs, whose sums are long, a proof in float32 has most to spare between 5 and 8.  Of ReLU
the room grows with the scale, and the prover expects states of up to 100.
"""


@in_one_thread
@quiet
def build(task: Task, how: Construction) -> tuple[Network, Mechanism]:
    """A network for a task by construction, and its mechanism.

    Whether it is right is for others to say: with much noise, or a small scale, it may not be.

    Raises `InputError` for symbols that no linear score tells apart, and for too many units.
    """
    cell, _ = cells.of(Recipe(cell=how.cell, activation=how.activation))
    vectors = tables(task).vectors.astype(np.float64)
    roles = _roles(task, how)
    scores = scores_of(vectors, task.machine.symbols)
    if not how.scale:
        how = replace(how, scale=SCALE_OF_RELU if how.activation == "relu" else SCALE)
    arrays: dict[str, Array] = {}
    units: list[Unit] = []
    below: _Layer | None = None
    for number, (name, formula) in enumerate(
        zip(how.cell.split(","), layers(cell), strict=True), 1
    ):
        layer = _layer(roles, how, number, formula, REALISED[name])
        if below is None:
            made = _first(layer, roles, scores, vectors, how)
        else:
            made = _relay(layer, below, roles, how)
        suffix = f"_{number}" if "," in how.cell else ""
        arrays |= {f"{key}{suffix}": array for key, array in made.items()}
        units += _told(task, roles, layer)
        below = layer
    assert below is not None
    arrays |= _readout(roles, below, task, how)
    network = Network(task, cell, Weights(_noisy(arrays, how)))
    return network, Mechanism(how, tuple(units), network.digest())


# Roles -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Roles:
    """What units can mean: R pairs and, the last where there is one, that a symbol was read."""

    pairs: Sequence[tuple[int, int, int]]  #: a state that some word leads to, a symbol, the next
    before: Mapping[int, tuple[Array, float]]  #: [state = q] of the roles: (R + 1,), and a constant
    listed: Sequence[int]  #: the role of each unit, before they are shuffled; R + 1 of spare ones

    @property
    def started(self) -> int:
        """R, the number of that role."""
        return len(self.pairs)


def _roles(task: Task, how: Construction) -> _Roles:
    machine = task.machine
    lost = set(machine.unreachable)
    pairs = [
        (q, a, r)
        for q, (name, row) in enumerate(zip(machine.states, machine.delta, strict=True))
        if name not in lost
        for a, r in enumerate(row)
    ]
    most = Recipe.__dataclass_fields__["hidden"].metadata["within"][1]
    if len(pairs) * how.copies + how.spare > most:
        raise _too_many(task, len(pairs), len(pairs) * how.copies + how.spare)
    elman = how.cell.split(",")[0] == "elman"
    relu = elman and how.activation == "relu"
    next_ = np.array([r for _, _, r in pairs])
    rest = 0.0 if elman and how.activation != "tanh" else 0.5  # where 0 lies from off to on
    before = {
        q: _state_of(q, next_ == q, rest, relu) for q in dict.fromkeys(q for q, _, _ in pairs)
    }
    read = np.array([vector for vector, _ in before.values()])
    started = read[:, -1].any() or (read.any() and (rest > 0 or how.flip))
    listed = np.repeat(np.arange(len(pairs) + started), how.copies).tolist()
    listed += [len(pairs) + 1] * how.spare
    if len(listed) > most:
        raise _too_many(task, len(pairs), len(listed))
    return _Roles(pairs, before, listed)


def _too_many(task: Task, pairs: int, units: int) -> InputError:
    most = Recipe.__dataclass_fields__["hidden"].metadata["within"][1]
    return InputError(
        f"task {task.name} has {pairs:,} pairs of a state and a symbol, which with copies and "
        f"spare ones takes {units:,} units: at most {most:,} are accepted"
    )


def _state_of(q: int, leads: NDArray[np.bool_], rest: float, relu: bool) -> tuple[Array, float]:
    """Whether the state is q, as a sum over roles of whether they hold, and a constant.

    A unit that leads to q holds, or none does that leads elsewhere, or some of both: whichever
    hands on the least of what units are off by.  At the start none holds at all.
    """
    start = q == 0
    present = np.append(leads.astype(float), -1.0 if start else 0.0)
    absent = np.append(leads - 1.0, 0.0 if start else 1.0)
    if relu:  # of which only what is 0 is certain
        return absent, float(start)

    def of_started(way: Array) -> float:
        return float(way[-1] + rest * way[:-1].sum())

    def handed_on(way: Array) -> float:
        return float((1 - rest) * np.abs(way[:-1]).sum() + abs(of_started(way)))

    ways = [absent, present]
    if of_started(absent) * of_started(present) < 0:  # so mixed, "started" is not needed
        part = of_started(absent) / (of_started(absent) - of_started(present))
        ways.append(part * present + (1 - part) * absent)
    return min(ways, key=handed_on), float(start)


# Layers ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Layer:
    """The units of a layer: which roles they have, and how they say so."""

    number: int
    formula: Formula
    realised: Realised
    role: NDArray[np.intp]  #: (H,)
    sign: Array  #: (H,) 1, or -1 where a unit is low when its role holds
    size: float  #: of a pre-activation
    low: float
    high: float
    copies: int
    started: int

    @property
    def hidden(self) -> int:
        """H."""
        return len(self.role)

    @property
    def spare(self) -> NDArray[np.bool_]:
        """(H,) which units mean nothing."""
        return self.role > self.started

    @property
    def levels(self) -> tuple[Array, Array]:
        """What each unit is where its role holds, and where not: (H,) each."""
        up = self.sign > 0
        return np.where(up, self.high, self.low), np.where(up, self.low, self.high)

    def meaning(self) -> tuple[Array, Array]:
        """Whether each role holds, as a sum over units, and a constant: (H, R + 1), (R + 1,).

        The mean over its copies of (h - off) / (on - off).
        """
        on, off = self.levels
        off = np.where((off == self.low) & (self.low >= 0), 0.0, off)  # which is what the start is
        off[self.role == self.started] = 0.0  # and which is what it tells from all later
        units = np.flatnonzero(~self.spare)
        share = np.zeros((self.hidden, self.started + 1))
        share[units, self.role[units]] = 1 / (self.copies * (on - off)[units])
        return share, -off @ share

    def meaning_before(self) -> Array:
        """The same of the state before a step, which may be the start: (H, R + 1).

        There all units are 0, as if no role held: only once started, a level is taken off.
        """
        share, constant = self.meaning()
        started = share[:, self.started]
        return share + np.outer(started, np.append(constant[:-1], 0.0))


def _layer(
    roles: _Roles, how: Construction, number: int, formula: Formula, realised: Realised
) -> _Layer:
    role = np.array(roles.listed)
    place = (number - 1) * len(role)
    sign = np.ones(len(role))
    if how.flip:
        bits = rng.raw(how.seed, _SIGNS, place, len(role))
        sign[(bits & np.uint64(1) == 1) & (role != roles.started)] = -1.0
    if how.shuffle:
        order = np.argsort(rng.raw(how.seed, _ORDER, place, len(role)), kind="stable")
        role, sign = role[order], sign[order]
    # sigmoid(2 z) is what tanh(z) is, from 0 to 1
    size = how.scale * (2 if cells.elman_activation(formula) == "sigmoid" else 1)
    low, high = settled(formula, realised, np.array([[-size], [size]]), GATE).ravel().tolist()
    return _Layer(number, formula, realised, role, sign, size, low, high, how.copies, roles.started)


def _first(
    layer: _Layer, roles: _Roles, scores: Array, vectors: Array, how: Construction
) -> dict[str, Array]:
    """The lowest layer: from the symbol and the state before."""
    meaning, kinds = layer.meaning_before(), (len(vectors[0]), layer.hidden)
    Wx, Wh, b = np.zeros(kinds), np.zeros((layer.hidden, layer.hidden)), np.zeros(layer.hidden)
    for unit, role in enumerate(layer.role):
        if role < layer.started:
            q, a, _ = roles.pairs[role]
            read, constant = roles.before[q]
            Wx[:, unit] = 2 * scores[a]
            Wh[:, unit] = 2 * meaning @ read
            b[unit] = -2 * scores[a] @ vectors[a] + 2 * constant - 1
        elif role == layer.started:
            b[unit] = 1.0
        else:
            read, constant, a, much = _nonsense(layer, roles, how, unit)
            Wx[:, unit] = much * scores[a]
            Wh[:, unit] = meaning @ read
            b[unit] = constant - much * scores[a] @ vectors[a]
    Wh[layer.spare] = _disturbance(layer, how, layer.hidden) * (layer.role != layer.started)
    return _as_weights(layer, Wx, Wh, b)


def _relay(layer: _Layer, below: _Layer, roles: _Roles, how: Construction) -> dict[str, Array]:
    """A layer above: each unit is told by the layer below, after the same symbol, what it means."""
    meaning, constants = below.meaning()
    H = layer.hidden
    Wx, b = np.zeros((H, H)), np.zeros(H)
    for unit, role in enumerate(layer.role):
        if role <= layer.started:
            Wx[:, unit] = 2 * meaning[:, role]
            b[unit] = 2 * constants[role] - 1
        else:
            _, _, a, much = _nonsense(layer, roles, how, unit)
            Wx[:, unit] = much * meaning[:, a % len(roles.pairs)]
            b[unit] = much * constants[a % len(roles.pairs)] - 1
    Wx[below.spare] = _disturbance(below, how, H)
    return _as_weights(layer, Wx, np.zeros((H, H)), b)


def _as_weights(layer: _Layer, Wx: Array, Wh: Array, b: Array) -> dict[str, Array]:
    """The cell's weights, by their names in one layer, from those of a pre-activation of 1."""
    realised, factor = layer.realised, layer.size * layer.sign
    shapes = layer.formula.shapes({"X": len(Wx), "H": layer.hidden})
    made: dict[str, Array] = {name: np.zeros(shape) for name, shape in shapes.items()}
    made |= realised.gate_biases(layer.hidden, GATE)
    made[realised.of_input], made[realised.of_state] = Wx * factor, Wh * factor
    return {**made, realised.bias: b * factor}


def _readout(roles: _Roles, top: _Layer, task: Task, how: Construction) -> dict[str, Array]:
    """Logits from what the top layer says: of one neuron scale or -scale, of several twice that."""
    meaning, constants = top.meaning()
    answers = [task.machine.output[q][a] for q, a, _ in roles.pairs]
    Y = task.neurons
    gives = np.array([[answer == y for y in range(max(Y, 2))] for answer in answers], float)
    gives = np.vstack([gives, np.zeros((1, gives.shape[1]))])[: roles.started + 1]
    Why, by = 2 * meaning @ gives, 2 * constants @ gives
    if Y == 1:  # that it is 1, or that it is not 0: whichever is said by fewer units, but by some
        zeros, ones = gives.sum(axis=0)
        one = ones > 0 and (ones <= zeros or not zeros)
        Why, by = (Why[:, 1:], by[1:] - 1) if one else (-Why[:, :1], 1 - by[:1])
    Why[top.spare] = _disturbance(top, how, Y)
    return {"Why": how.scale * Why, "by": how.scale * by}


# What hides the mechanism ------------------------------------------------------------

_ORDER, _SIGNS, _SPARE, _NOISE = range(rng.COMPILED, rng.COMPILED + 4)
SPARED = 0.1
"""How much all spare units together can move a pre-activation, as a part of the scale."""


def _nonsense(
    layer: _Layer, roles: _Roles, how: Construction, unit: int
) -> tuple[Array, float, int, float]:
    """What a spare unit reads: of each state some part, and a symbol's score.

    So it changes with the state before and the symbol, as others do, but for nothing.
    """
    states = list(roles.before.values())
    place = (layer.number * layer.hidden + unit) * (len(states) + 2)
    draws = rng.uniform(how.seed, _SPARE, place, len(states) + 2)
    parts = 4 * draws[:-2] - 2
    read = sum((part * vector for part, (vector, _) in zip(parts, states, strict=True)), 0.0)
    constant = sum(part * one for part, (_, one) in zip(parts, states, strict=True))
    symbols = len({a for _, a, _ in roles.pairs})
    return np.asarray(read), float(constant), int(draws[-2] * symbols), 2 * float(draws[-1])


def _disturbance(layer: _Layer, how: Construction, width: int) -> Array:
    """What spare units do to pre-activations of 1, or logits, of a scale of 1: (spare, width)."""
    count = int(layer.spare.sum())
    draws = rng.uniform(how.seed, _SPARE, 2**40 + 2**30 * layer.number + width, count * width)
    most = SPARED / (2 * max(count, 1) * layer.high)  # 2: as high as relu's get
    return most * (2 * draws - 1).reshape(count, width)


def _noisy(arrays: Mapping[str, Array], how: Construction) -> dict[str, Array]:
    """The weights in their type, those that are not 0 a little off."""
    made: dict[str, Array] = {}
    place = 0
    for name, array in arrays.items():
        draws = rng.uniform(how.seed, _NOISE, place, array.size).reshape(array.shape)
        made[name] = (array * (1 + how.noise * (2 * draws - 1))).astype(how.dtype)
        place += array.size
    return made


# What is told ------------------------------------------------------------------------


def _told(task: Task, roles: _Roles, layer: _Layer) -> list[Unit]:
    """The units of a layer, with names for numbers."""
    machine, units = task.machine, []
    for unit, (role, on, off) in enumerate(zip(layer.role, *layer.levels, strict=True)):
        if role < layer.started:
            q, a, r = roles.pairs[role]
            names = machine.states[q], machine.symbols[a], machine.states[r]
            answer = machine.output_name(machine.output[q][a])
            each = Unit(layer.number, unit, "pair", *names, answer, float(on), float(off))
        elif role == layer.started:
            each = Unit(layer.number, unit, "started", None, None, None, None, layer.high, 0.0)
        else:
            each = Unit(layer.number, unit, "spare", None, None, None, None, None, None)
        units.append(each)
    return units
