"""What JAX compiles: the updates of one network, by `scan` over problems and over positions.

A formula is carried out by `jax.numpy`, with the rules of `nets.readings`, and its gradient is
JAX's own.  Nothing here knows a device or its instructions: they are the library's business.

Shapes: U updates, B batch, T time, Q states, S symbols, X input, H hidden, Y output.
"""

import os
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from typing import Any, NamedTuple

import numpy as np

from carrynet.data import rng
from carrynet.data.words import OPEN, draws_per_word, tables, uniform
from carrynet.errors import Unavailable
from carrynet.nets.arrays import Array
from carrynet.nets.formula import Formula
from carrynet.nets.network import Network
from carrynet.nets.optim import BETA1, BETA2, EPSILON
from carrynet.nets.readings import interpret
from carrynet.nets.readings.numbers import RULES
from carrynet.nets.recurrence import blank
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage
from carrynet.spec.task import Task

Value = Any  #: an array of JAX's, which is imported when it is first needed


@lru_cache(maxsize=1)
def library() -> Any:
    """JAX.  Raises `Unavailable` where it finds no device."""
    # else the first of several processes takes three quarters of the memory of a GPU
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    try:
        jax.devices()
    except RuntimeError as error:
        raise Unavailable(f"JAX finds no device: {error}") from None
    return jax


class How(NamedTuple):
    """What a program depends on, beside shapes."""

    task: Task
    cell: Formula
    readout: Formula
    dtype: Any
    biases: bool
    loss: str
    optimiser: str
    worst: bool

    @classmethod
    def of(cls, network: Network, recipe: Recipe, stage: Stage) -> "How":
        """The program for a stage of a recipe."""
        return cls(
            *(network.task, network.cell, network.readout, network.dtype, recipe.biases),
            *(stage.loss, stage.optimiser, stage.worst > 0),
        )


class Schedule(NamedTuple):
    """What changes from update to update: arrays (U,)."""

    part: Array  #: of the stage's step
    rate: Array  #: 1 / (1 - b1^t) of Adam
    root: Array  #: sqrt(1 - b2^t) of Adam
    share: Array  #: of the worst case in the loss
    slack: Array


def schedule(stage: Stage, first: int, updates: int, dtype: Any) -> Schedule:
    """Of updates `first .. first + updates - 1` of a stage."""
    count = np.arange(first, first + updates)
    ramps = np.array([stage.ramp_at(i) for i in count.tolist()]) if stage.worst else 0 * count
    columns = (
        np.array([stage.step_at(i) for i in count.tolist()]) / stage.step,
        1 / (1 - BETA1 ** (count + 1)),
        np.sqrt(1 - BETA2 ** (count + 1)),
        ramps * stage.worst,
        ramps * stage.slack,
    )
    return Schedule(*(column.astype(dtype) for column in columns))


def drawn(
    task: Task, digits: int, batch: int, stream: int, count: int
) -> Callable[[Value, Value], Value]:
    """The problems of a task with numbers as `data.drawn.draw` has them, on the device.

    From seeds (N,) and the first update, unsigned 64-bit integers, to words (N, `count`, B, T).
    """
    jnp, draws = library().numpy, draws_per_word(task, digits)
    each = batch * draws

    def words(seeds: Value, first: Value) -> Value:
        start = first * each
        counter = start // 4 + 1 + jnp.arange(count * each // 4 + 2, dtype=jnp.uint64)
        blocks = rng.philox(counter[None], (seeds[:, None], jnp.uint64(stream)))
        numbers = jnp.stack(blocks, axis=-1).reshape(len(seeds), -1)
        mine = library().lax.dynamic_slice_in_dim(numbers, start % 4, count * each, axis=1)
        found = uniform(task, digits, mine.reshape(-1, draws), jnp)
        return found.reshape(len(seeds), count, batch, digits)

    return words


def scanned(how: How, *, logits: bool) -> Callable[..., Any]:
    """The updates of one network: from weights, moments, step, words (U, B, T) and a schedule."""
    jax, loss = library(), _loss(how)

    def train(weights: Any, moments: Any, step: Value, words: Value, when: Schedule) -> Any:
        def update(now: Any, given: Any) -> Any:
            batch, at = given
            new, seen = updated(how, lambda weights: loss(weights, batch, at), now, step, at)
            return new, seen if logits else None

        (weights, moments), seen = jax.lax.scan(update, (weights, moments), (words, when))
        return weights, moments, seen

    return train


def updated(
    how: How, loss: Callable[[Any], Any], now: Any, step: Value, at: Schedule
) -> tuple[Any, Any]:
    """New weights and moments, as `nets.optim` has them, and what `loss` says beside its value."""
    jax, (weights, moments) = library(), now
    frozen = () if how.biases else (*how.cell.biases, *how.readout.biases)
    still = {name: weights[name] for name in frozen}
    moving = {name: w for name, w in weights.items() if name not in still}
    (_, seen), g = jax.value_and_grad(lambda w: loss(w | still), has_aux=True)(moving)
    if how.optimiser == "sgd":
        new = {k: moving[k] - step * at.part * g[k] for k in moving}
        return (new | still, moments), seen
    m, v = moments
    m = m | {k: BETA1 * m[k] + (1 - BETA1) * g[k] for k in moving}
    v = v | {k: BETA2 * v[k] + (1 - BETA2) * g[k] * g[k] for k in moving}
    rate = step * at.part * at.rate
    new = {
        k: w - rate * m[k] / (jax.numpy.sqrt(v[k]) / at.root + EPSILON) for k, w in moving.items()
    }
    return (new | still, (m, v)), seen


def _loss(how: How) -> Callable[..., Any]:
    """The loss of a batch of words (B, T): its value with the logits (T, B, Y), by the weights."""
    jnp, table = library().numpy, tables(how.task)
    vectors, target_of = (a.astype(how.dtype) for a in (table.vectors, table.targets))
    open_ = how.task.machine.leaves_open

    def loss(weights: Any, words: Value, at: Schedule) -> Any:
        outputs = _answers(how.task, words).T
        targets = jnp.asarray(target_of)[jnp.where(outputs == OPEN, 0, outputs)]
        x = jnp.asarray(vectors)[words.T.astype(int)]

        def mean(logits: Value) -> Value:
            values = loss_of(how.loss, how.task.readout, logits, targets)
            return (jnp.where(outputs == OPEN, 0, values) if open_ else values).sum() / len(words)

        logits = _through(how, weights, x)
        value = mean(logits)
        if how.worst:
            boxes = _through(how, weights, x, at.slack, targets)
            value = (1 - at.share) * value + at.share * mean(boxes)
        return value, logits

    return loss


def loss_of(name: str, readout: str, logits: Value, targets: Value) -> Value:
    """As `nets.losses` has them, summed over the neurons."""
    jax = library()
    if name == "squared":
        return ((jax.nn.sigmoid(logits) - targets) ** 2).sum(axis=-1) / 2
    if readout == "bits":
        return (jax.numpy.logaddexp(0, logits) - targets * logits).sum(axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - (targets * logits).sum(axis=-1)


def _answers(task: Task, words: Value) -> Value:
    """The machine's outputs for words (B, T)."""
    jax, table = library(), tables(task)
    delta, output = jax.numpy.asarray(table.delta), jax.numpy.asarray(table.output)

    def step(state: Value, symbol: Value) -> tuple[Value, Value]:
        return delta[state, symbol], output[state, symbol]

    start = jax.numpy.zeros(len(words), delta.dtype)
    return jax.lax.scan(step, start, words.T, unroll=_UNROLLED)[1].T


_UNROLLED = 8
"""Positions that a program has one after another before it loops."""


def _through(how: How, weights: Any, x: Value, slack: Value = None, targets: Value = None) -> Value:
    """The logits (T, B, Y) along inputs (T, B, X); with a slack, the worst there can be."""
    jax = library()
    forward = numbers() if slack is None else _enclosure(slack)
    cell, widths = how.cell, how.cell.sizes({name: w.shape for name, w in weights.items()})
    every = blank(cell, weights)
    every[0] = x
    interpret(cell.of_input, forward, every)
    drives = {slot: every[slot] for slot in cell.drives}
    fixed = [None if i in drives else slot for i, slot in enumerate(every)]

    def point(value: Any) -> Any:
        exact = slack is not None and not isinstance(value, _Box)
        return _Box(value, jax.numpy.zeros_like(value)) if exact else value

    def step(state: Any, given: Any) -> Any:
        slots = list(fixed)
        for slot, value in given.items():
            slots[slot] = value
        slots[1 : 1 + len(state)] = state
        interpret(cell.of_state, forward, slots)
        new = tuple(point(slots[result]) for result in cell.results)
        return new, new[0]

    start = []
    for part, dim in zip(cell.state, cell.state_dims, strict=True):
        known = weights.get(f"{part}_start", jax.numpy.zeros(widths[dim], how.dtype))
        start.append(point(jax.numpy.broadcast_to(known, (x.shape[1], widths[dim]))))
    # boxes are not written out: of gates that would take a compiler a minute
    unroll = _UNROLLED if slack is None else 1
    _, h = jax.lax.scan(step, tuple(start), drives, length=len(x), unroll=unroll)
    slots = blank(how.readout, weights)
    slots[0] = h
    if slack is None:
        interpret(how.readout.instructions, forward, slots)
        return slots[how.readout.results[0]]
    *layers, product, bias = how.readout.instructions
    interpret(layers, forward, slots)
    v, Why, by = slots[product.operands[0]], slots[product.operands[1]], slots[bias.operands[1]]
    return _worst_logits(v, Why, by, targets)


class _Reading(NamedTuple):
    """By operation: from its operands to its value; what `interpret` asks for."""

    forward: Mapping[str, Callable[..., Any]]


def numbers(**other: Callable[..., Any]) -> _Reading:
    """The rules of `readings.numbers`, with JAX's functions, or `other` ones for some."""
    jax = library()
    names = {"sigmoid": jax.nn.sigmoid, "tanh": jax.numpy.tanh, "relu": jax.nn.relu}
    return _Reading({name: rule.function(names) for name, rule in RULES.items()} | other)


class _Box(NamedTuple):
    """All values within r of c."""

    c: Value
    r: Value


def _enclosure(slack: Value) -> _Reading:
    """As `readings.enclosure` has it; gradients are JAX's."""
    jnp, rules = library().numpy, numbers().forward

    def ends(value: Any) -> tuple[Value, Value]:
        return (value.c - value.r, value.c + value.r) if isinstance(value, _Box) else (value, value)

    def between(low: Value, high: Value) -> _Box:
        return _Box((low + high) / 2, (high - low) / 2)

    # Of what is equal the first is chosen, as there: else gradients part, and weights after them.
    def lesser(a: Value, b: Value) -> Value:
        return jnp.where(b < a, b, a)

    def larger(a: Value, b: Value) -> Value:
        return jnp.where(b > a, b, a)

    def matmul(v: Any, W: Value) -> Any:
        return _Box(v.c.dot(W), v.r.dot(jnp.abs(W))) if isinstance(v, _Box) else v.dot(W)

    def linear(name: str) -> Callable[[Any, Any], Any]:
        def value(a: Any, b: Any) -> Any:
            (ac, ar), (bc, br) = (v if isinstance(v, _Box) else (v, 0) for v in (a, b))
            c = rules[name](ac, bc)
            return _Box(c, ar + br) if isinstance(a, _Box) or isinstance(b, _Box) else c

        return value

    def multiply(a: Any, b: Any) -> Any:
        if not isinstance(a, _Box):
            return _Box(a * b.c, abs(a) * b.r) if isinstance(b, _Box) else a * b
        if not isinstance(b, _Box):
            return _Box(a.c * b, a.r * abs(b))
        corners = [p * q for p in ends(a) for q in ends(b)]
        return between(reduce(lesser, corners), reduce(larger, corners))

    def mix(z: Any, n: Any, h: Any) -> Any:
        if not any(isinstance(v, _Box) for v in (z, n, h)):
            return rules["mix"](z, n, h)
        (zl, zu), (nl, nu), (hl, hu) = ends(z), ends(n), ends(h)
        low = rules["mix"](jnp.where(hl < nl, zu, zl), nl, hl)
        return between(low, rules["mix"](jnp.where(hu < nu, zl, zu), nu, hu))

    def activation(name: str) -> Callable[[Any], _Box]:
        def value(z: Any) -> _Box:
            c, r = z if isinstance(z, _Box) else (z, 0)
            low, high = (rules[name](c + sign * (r + slack)) for sign in (-1, 1))
            return between(low, high)

        return value

    return _Reading(
        {
            "matmul": matmul,
            "multiply": multiply,
            "mix": mix,
            **{name: linear(name) for name in ("add", "subtract")},
            **{name: activation(name) for name in ("sigmoid", "tanh", "relu")},
        }
    )


def _worst_logits(v: _Box, Why: Value, by: Value, targets: Value) -> Value:
    """As `nets.certified.worst_logits` has them."""
    jnp = library().numpy
    logits = v.c.dot(Why) + by
    if targets.shape[-1] == 1:
        return logits + (1 - 2 * targets) * v.r.dot(jnp.abs(Why))
    pairs = Why[:, None, :] - Why[:, :, None]
    spread = jnp.einsum("tbh,hyk->tbyk", v.r, jnp.abs(pairs))
    own = (targets * logits).sum(axis=-1, keepdims=True)
    return logits - own + (targets[..., None] * spread).sum(axis=-2)
