"""The native engine: machine code for exactly this network's shape, built with llvmlite.

Kernels are in `kernels/`, and `jit` makes machine code of them; here they are called, with the
parameters packed as they want them.  float32 only, up to 256 hidden units.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from carrynet.data.drawn import draw
from carrynet.data.words import Words, tables
from carrynet.engines import jit, reference
from carrynet.engines.packed import (
    active_rows,
    as_elman,
    beside,
    buffer,
    common,
    formulas,
    lay_out,
    pack,
    pick_up,
    state_width,
    train_shape,
    unpack,
)
from carrynet.engines.reference import Followed, Prefixes, Tally, numbers
from carrynet.nets import cells
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.nets.optim import BETA1, BETA2, Moments
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage

if not jit.missing:
    from carrynet.engines import kernels
    from carrynet.engines.kernels import Formulas, Layout, Shape

MOST_HIDDEN = 256


def refuses(subject: Network | Recipe) -> str | None:
    """Why the engine does not take a network, or those of a recipe; None if it does."""
    if jit.missing:
        return jit.missing
    if reason := _refuses_formulas(subject):
        return reason
    if subject.dtype != "float32":
        return f"the native engine computes in float32, not {subject.dtype}"
    if subject.hidden > MOST_HIDDEN:
        return f"the native engine takes up to {MOST_HIDDEN} hidden units, not {subject.hidden}"
    if isinstance(subject, Recipe) and subject.joined:
        return "the native engine bounds the worst case along words, not by boxes"
    return unavailable()


def _refuses_formulas(subject: Network | Recipe) -> str | None:
    """Why there are no kernels of any formula for a network that Elman's do not take."""
    task = subject.task if isinstance(subject, Network) else subject.specification
    if as_elman(subject):
        return None
    cell = subject.cell if isinstance(subject, Network) else cells.of(subject)[0]
    if not kernels.takes(cell):
        return "the native engine takes cells of input and state that read the input by matrices"
    most = max(len(task.machine.symbols), task.neurons)
    if most > MOST_SYMBOLS:
        return (
            f"the native engine takes up to {MOST_SYMBOLS:,} symbols and outputs with this cell or "
            f"task, not {most:,}"
        )
    if isinstance(subject, Recipe) and any(
        stage.worst and stage.over == "problems" for stage in subject.stages
    ):
        linear = cells.of(subject)[1] == cells.readout()
        if not (linear and kernels.bounded(cell)):
            return (
                "the native engine bounds the worst case along words with a linear readout, of "
                "cells whose activations all depend on the state"
            )
    return None


MOST_SYMBOLS = 1_024
"""What cells make of each symbol is computed for all of them, in every update."""


def unavailable() -> str | None:
    """Why there is no machine code on this machine; None if there is."""
    if jit.missing:
        return jit.missing
    try:
        jit.processor()
    except (RuntimeError, OSError) as error:
        return f"LLVM does not know this processor: {error}"
    return _cannot_build()


@cache
def _cannot_build() -> str | None:
    """Why LLVM makes no machine code here, if it does not; tried once, with the smallest kernel."""
    try:
        multiply_adds(1)[0]()
    except (RuntimeError, OSError, MemoryError) as error:
        return f"LLVM cannot make machine code here: {error}"
    return None


# Training ----------------------------------------------------------------------------


def advance(
    network: Network, moments: Moments, recipe: Recipe, stage: Stage, words: Words, first: int
) -> tuple[Weights, Moments, Array]:
    """Make one update for each batch of words; see `engines.Engine`."""
    if not as_elman(network):
        return _advance_formulas(network, moments, recipe, stage, words, first)
    updates, B, T = words.shape
    task, shape = network.task, train_shape(network, recipe, stage)
    layout, table = Layout(shape), tables(task)
    P, Y, rows = layout.width, shape.outputs, B * T

    p = pack(network.weights, layout)
    packed = [pack(moment, layout) for moment in moments]
    both = buffer(len(packed) * layout.size)
    for i, moment in enumerate(packed):
        both[i * layout.size : (i + 1) * layout.size] = moment
    rates, roots = schedule(stage, first, updates, B)
    shares = _shares(stage, first, updates)
    bounded = rows if stage.worst else 0
    logits = buffer(updates * rows * Y)
    scratch = buffer(2 * layout.output_width)
    scratch[:] = -1e30  # what the softmax finds beyond the outputs
    jit.function("train", shape)(
        p=p,
        transposed=buffer(P * P),
        moments=both,
        gradient=buffer(layout.size if stage.worst or shape.optimiser == "adam" else 0),
        words=np.ascontiguousarray(words, np.uint16),
        rates=rates,
        roots=roots,
        logits=logits,
        active=active_rows(network, layout),
        delta=table.delta,
        output=table.output,
        targets=table.targets,
        symbols=buffer(rows, np.int32),
        h=buffer(rows * P),
        dz=buffer(rows * P),
        dl=buffer(rows * Y),
        scratch=scratch,
        shares=shares,
        answers=buffer(bounded, np.int32),
        lower=buffer(bounded * P),
        upper=buffer(bounded * P),
        centre=buffer((bounded + B) * P),
        radius=buffer((bounded + B) * P),
        dcentre=buffer((bounded + B) * P),
        dradius=buffer((bounded + B) * P),
        worst=buffer(bounded * Y),
        dworst=buffer(bounded * Y),
        updates=updates,
        B=B,
        T=T,
        S=table.delta.shape[1],
    )
    hidden = shape.hidden
    return (
        unpack(p, layout, hidden),
        tuple(
            unpack(both[i * layout.size : (i + 1) * layout.size], layout, hidden)
            for i in range(len(packed))
        ),
        logits.reshape(updates, T, B, Y),
    )


def _advance_formulas(
    network: Network, moments: Moments, recipe: Recipe, stage: Stage, words: Words, first: int
) -> tuple[Weights, Moments, Array]:
    """The same for any cell."""
    updates, B, T = words.shape
    shape = formulas(network, recipe, stage)
    table, Y = tables(network.task), shape.outputs
    S, P = len(table.vectors), kernels.padded(Y, shape.lanes)
    p = buffer(kernels.parameters_size(shape))
    lay_out(network.weights, shape, p)
    both = buffer(len(moments) * shape.size)
    for i, moment in enumerate(moments):
        lay_out(moment, shape, both[i * shape.size : (i + 1) * shape.size])
    rates, roots = schedule(stage, first, updates, B)
    targets = buffer(len(table.targets) * P).reshape(-1, P)
    targets[:, :Y] = table.targets
    logits = buffer(updates * B * T * Y)
    shares = _shares(stage, first, updates)
    jit.function("formula_train", shape)(
        p=p,
        moments=both,
        gradient=buffer(shape.size),
        work=buffer(kernels.room_size(shape, B, T, S)),
        words=np.ascontiguousarray(words, np.uint16),
        rates=rates,
        roots=roots,
        logits=logits,
        vectors=np.ascontiguousarray(table.vectors),
        delta=table.delta,
        output=table.output,
        targets=targets,
        symbols=buffer(B * T, np.int32),
        shares=shares,
        answers=buffer(B * T if len(shares) else 0, np.int32),
        updates=updates,
        B=B,
        T=T,
        S=S,
    )
    moved = (both[i * shape.size : (i + 1) * shape.size] for i in range(len(moments)))
    return (
        pick_up(p, shape),
        tuple(pick_up(each, shape) for each in moved),
        logits.reshape(updates, T, B, Y),
    )


def _shares(stage: Stage, first: int, updates: int) -> Array:
    """Of each update the worst case's share in the loss, and the slack; empty where it has none."""
    ramps = [stage.ramp_at(first + i) for i in range(updates)] if stage.worst else []
    return np.array([(ramp * stage.worst, ramp * stage.slack) for ramp in ramps], np.float32)


def schedule(stage: Stage, first: int, updates: int, batch: int) -> tuple[Array, Array]:
    """What each update multiplies gradients with, and Adam's corrections."""
    if stage.decay:
        steps = np.array([stage.step_at(first + i) for i in range(updates)])
    else:
        steps = np.full(updates, stage.step)
    if stage.optimiser == "sgd":
        return (-steps / batch).astype(np.float32), buffer(0)
    count = np.arange(first + 1, first + updates + 1)
    roots = np.stack([steps / (1 - BETA1**count), 1 / np.sqrt(1 - BETA2**count)], axis=1)
    return np.full(updates, 1 / batch, np.float32), np.ascontiguousarray(roots, np.float32)


# Populations -------------------------------------------------------------------------

ACROSS_HIDDEN = 16
"""Up to this many hidden units, networks go across the lanes of vectors, one in each."""


def at_once(recipe: Recipe) -> int:
    """How many networks of a recipe are trained at once by one thread; see `engines.Many`."""
    (stage, *more) = recipe.stages
    simple = stage.batch == 1 and stage.optimiser == "sgd" and not stage.decay and not more
    simple = simple and stage.over == "problems" and not stage.growing and not stage.worst
    return (
        jit.processor().lanes
        if simple and as_elman(recipe) and recipe.hidden <= ACROSS_HIDDEN
        else 1
    )


def advance_many(
    network: Network,
    weights: Weights,
    moments: Moments,
    recipes: Sequence[Recipe],
    stage: int,
    first: int,
    count: int,
) -> tuple[Weights, Moments]:
    """Updates of up to a vector of networks; see `engines.Many` and `kernels.across`."""
    recipe, table, H = recipes[0], tables(network.task), network.hidden
    shape = Shape(
        **common(network),
        loss=recipe.schedule[stage].loss,
        optimiser="sgd",
        biases=recipe.biases,
        alone=True,
    )
    X, Y, L, N = shape.inputs, shape.outputs, shape.lanes, len(recipes)
    T, _ = recipe.length(recipe.schedule[stage], first)
    # lanes to spare train the first network again
    source = [lane if lane < N else 0 for lane in range(L)]
    p = buffer(kernels.across_offsets(shape)["size"] * L)
    lanes = p.reshape(-1, L)
    lanes[:] = np.concatenate([w.reshape(N, -1) for w in weights.values()], axis=1)[source].T
    steps = buffer(L)
    steps[:] = [recipes[lane].schedule[stage].step for lane in source]
    room = {"x": buffer(T * X * L), "dl": buffer(T * Y * L)}
    room |= {name: buffer(T * H * L) for name in ("h", "dz")}
    most = max(1, _ACROSS_WORDS // (L * T))
    for start in range(first, first + count, most):
        updates = min(most, first + count - start)
        drawn = [draw(each, stage, start, updates)[:, 0] for each in recipes]
        jit.function("across", shape)(
            p=p,
            words=np.array([drawn[lane] for lane in source], np.uint16),
            steps=steps,
            vectors=table.vectors,
            delta=table.delta,
            output=table.output,
            targets=table.targets,
            **room,
            updates=updates,
            T=T,
            S=table.delta.shape[1],
        )
    trained, place = {}, 0
    for name, w in weights.items():
        size = w[0].size
        trained[name] = lanes[place : place + size, :N].T.reshape(w.shape).copy()
        place += size
    return Weights(trained), moments


_ACROSS_WORDS = 2**22
"""Symbols that are drawn at once."""


# Evaluation --------------------------------------------------------------------------


def walk(network: Network, prefixes: Prefixes, depth: int) -> Tally:
    """Every word below some prefixes; see `engines.Engine`."""
    shape, p, drives = _evaluation(network)
    table = tables(network.task)
    symbols, rows = table.delta.shape[1], len(prefixes.state)
    h = _padded(network, prefixes.h)
    # buffers of their own: two threads that write to one cache line slow each other down
    tally, margin = buffer(2, np.int64), buffer(2)
    tally[:], margin[:] = (0, _NONE), np.inf
    function = jit.function("walk", shape)
    work = buffer(depth * kernels.walk_room(shape, symbols))
    state, so_far = prefixes.state.astype(np.int32), prefixes.right.astype(np.int32)
    for i in range(0, rows, kernels.BLOCK):
        some = np.s_[i : i + kernels.BLOCK]
        function(
            p=p,
            drives=drives,
            delta=table.delta,
            output=table.output,
            h=h[some],
            state=state[some],
            right=so_far[some],
            work=work,
            tally=tally,
            margin=margin,
            N=len(state[some]),
            word=prefixes.word + i,
            depth=depth,
            headroom=network.task.headroom,
            S=symbols,
        )
    right, wrong = int(tally[0]), int(tally[1])
    if prefixes.doubt.any() or _in_doubt(network, margin):
        resolved = reference.walk(network, prefixes, depth)
        # which words differ the kernel does not say; if their number does, at least so many
        return replace(resolved, differ=abs(resolved.right - right))
    return Tally(right, float(numbers(margin)[0]), None if wrong == _NONE else wrong)


def follow(network: Network, words: Words, *, whole: bool = True) -> Followed:
    """Where each word first goes wrong, and the smallest margin; see `engines.Engine`."""
    shape, p, drives = _evaluation(network)
    table = tables(network.task)
    first_error = np.full(len(words), -1, np.int32)
    margin = buffer(2)
    margin[:] = np.inf
    jit.function("follow", shape)(
        p=p,
        drives=drives,
        delta=table.delta,
        output=table.output,
        words=np.ascontiguousarray(words, np.uint16),
        h=buffer(8 * state_width(shape)),
        state=buffer(4, np.int32),
        first_error=first_error,
        margin=margin,
        N=len(words),
        T=words.shape[1],
        S=table.delta.shape[1],
    )
    if _in_doubt(network, margin):
        resolved = reference.follow(network, words, whole=whole)
        differ = ((resolved.first_error < 0) != (first_error < 0)) & resolved.doubt
        return replace(resolved, differ=int(differ.sum()))
    return Followed(first_error, float(numbers(margin)[0]), np.zeros(len(words), dtype=bool))


def wander(
    network: Network, h: Array, state: NDArray[np.int32], words: Words
) -> reference.Wandered:
    """Words, each read from a state of its own; see `engines.Engine`."""
    shape, p, drives = _evaluation(network)
    table, there = tables(network.task), _padded(network, h)
    nearest, after = there.copy(), buffer(len(words), np.int32)
    margin = buffer(len(words))
    margin[:] = np.finfo(np.float32).max
    now, reached = state.astype(np.int32), state.astype(np.int32)
    jit.function("wander", shape)(
        p=p,
        drives=drives,
        delta=table.delta,
        output=table.output,
        words=np.ascontiguousarray(words, np.uint16),
        h=there,
        state=now,
        room=buffer(8 * state_width(shape)),
        nearest=nearest,
        reached=reached,
        margin=margin,
        after=after,
        N=len(words),
        T=words.shape[1],
        S=table.delta.shape[1],
    )
    there, nearest = (_apart(network, shape, each) for each in (there, nearest))
    return reference.Wandered(there, now, margin, nearest, reached, after)


def _in_doubt(network: Network, margin: Array) -> bool:
    """Whether some margin may be within rounding of zero, here or in NumPy's engine."""
    return bool(margin[1] <= 2 * reference.near_zero(network))


_NONE = 2**63 - 1  # no word is wrong


def _evaluation(network: Network) -> tuple["Shape | Formulas", Array, Array]:
    """What both kernels of an evaluation need: their shape, weights and drives.

    Behind the weights of formulas is room to work in, which no two threads may share.
    """
    shape, p, drives = _shared(network)
    if isinstance(shape, Shape):
        return shape, p, drives
    own = buffer(len(p))
    own[:] = p
    return shape, own, drives


@lru_cache(maxsize=8)
def _shared(network: Network) -> tuple["Shape | Formulas", Array, Array]:
    if not as_elman(network):
        made = formulas(network)
        p = buffer(made.turned[""] + kernels.scratch_size(made))
        lay_out(network.weights, made, p)
        return made, p, beside(network.every_drive)
    shape = Shape(**common(network))
    return (
        shape,
        pack(network.weights, Layout(shape)),
        beside([network.drives], Layout(shape).width),
    )


def _padded(network: Network, states: Array) -> Array:
    """States (N, D) with each part padded, as kernels have them."""
    least = Layout(Shape(**common(network))).width if as_elman(network) else 0
    return beside(network.parts(states), least)


def _apart(network: Network, shape: "Shape | Formulas", states: Array) -> Array:
    """And out of it."""
    places = shape.part_places if isinstance(shape, Formulas) else (0,)
    parts = zip(places, network.widths, strict=True)
    return np.concatenate([states[:, at : at + size] for at, size in parts], axis=1)


# The processor's peak ----------------------------------------------------------------


def multiply_adds(turns: int) -> tuple[Callable[[], None], float]:
    """A function that only multiplies and adds, and how many operations a call makes."""
    shape = Shape(jit.processor().lanes, 8, 1, 1, 1)
    function = jit.function("peak", shape)
    numbers = buffer((kernels.PEAK_SUMS + 1) * shape.lanes)
    operations = 2.0 * turns * kernels.PEAK_SUMS * shape.lanes
    return lambda: function(numbers=numbers, turns=turns), operations
