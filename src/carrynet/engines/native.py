"""The native engine: machine code for exactly this network's shape, built with llvmlite.

Kernels are in `kernels/`, and `jit` makes machine code of them; here they are called, with the
parameters packed as they want them.  float32 only, up to 256 hidden units.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.data.words import Words, draw, tables
from carrynet.engines import jit, reference
from carrynet.engines.reference import Followed, Prefixes, Tally, numbers
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.nets.optim import BETA1, BETA2, Moments
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage

if not jit.missing:
    from carrynet.engines import kernels
    from carrynet.engines.kernels import Layout, Shape

MOST_HIDDEN = 256


def refuses(subject: Network | Recipe) -> str | None:
    """Why the engine does not take a network, or those of a recipe; None if it does."""
    if jit.missing:
        return jit.missing
    if not subject.elman:
        return "the native engine takes Elman's cell only, begun at zero, read out linearly"
    if subject.dtype != "float32":
        return f"the native engine computes in float32, not {subject.dtype}"
    if subject.hidden > MOST_HIDDEN:
        return f"the native engine takes up to {MOST_HIDDEN} hidden units, not {subject.hidden}"
    if isinstance(subject, Recipe) and subject.joined:
        return "the native engine bounds the worst case along words, not by boxes"
    task = subject.task if isinstance(subject, Network) else subject.specification
    if task.machine.leaves_open:
        return f"the native engine asks for every output, which task {task.name} does not"
    if not task.encoding.binary:
        return f"the native engine feeds 0 and 1 only, not {task.encoding.kind} of task {task.name}"
    return unavailable()


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
    updates, B, T = words.shape
    task, shape = network.task, _train_shape(network, recipe, stage)
    layout, table = Layout(shape), tables(task)
    P, Y, rows = layout.width, shape.outputs, B * T

    p = _pack(network.weights, layout)
    packed = [_pack(moment, layout) for moment in moments]
    both = buffer(len(packed) * layout.size)
    for i, moment in enumerate(packed):
        both[i * layout.size : (i + 1) * layout.size] = moment
    rates, roots = _rates(stage, first, updates, B)
    ramps = [stage.ramp_at(first + i) for i in range(updates)] if stage.worst else []
    shares = np.array([(ramp * stage.worst, ramp * stage.slack) for ramp in ramps], np.float32)
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
        active=_active(network, layout),
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
        _unpack(p, layout, hidden),
        tuple(
            _unpack(both[i * layout.size : (i + 1) * layout.size], layout, hidden)
            for i in range(len(packed))
        ),
        logits.reshape(updates, T, B, Y),
    )


def _train_shape(network: Network, recipe: Recipe, stage: Stage) -> "Shape":
    return Shape(
        **_common(network),
        loss=stage.loss,
        optimiser=stage.optimiser,
        biases=recipe.biases,
        alone=stage.batch == 1 and stage.optimiser == "sgd" and not stage.worst,
        worst=stage.worst > 0,
    )


def _common(network: Network) -> dict[str, Any]:
    task = network.task
    return {
        "lanes": jit.processor().lanes,
        "hidden": network.hidden,
        "inputs": task.inputs,
        "active": tables(task).active,
        "outputs": task.neurons,
        "activation": network.activation,
        "readout": task.readout,
    }


def _rates(stage: Stage, first: int, updates: int, batch: int) -> tuple[Array, Array]:
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
    """How many networks of a recipe are trained at once by one thread; see `engines.Engine`."""
    (stage, *more) = recipe.stages
    simple = stage.batch == 1 and stage.optimiser == "sgd" and not stage.decay and not more
    simple = simple and stage.over == "problems" and not stage.growing
    return (
        jit.processor().lanes if simple and recipe.elman and recipe.hidden <= ACROSS_HIDDEN else 1
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
        **_common(network),
        loss=recipe.stages[stage].loss,
        optimiser="sgd",
        biases=recipe.biases,
        alone=True,
    )
    X, Y, L, N = shape.inputs, shape.outputs, shape.lanes, len(recipes)
    T, _ = recipe.length(recipe.stages[stage], first)
    # lanes to spare train the first network again
    source = [lane if lane < N else 0 for lane in range(L)]
    p = buffer(kernels.across_offsets(shape)["size"] * L)
    lanes = p.reshape(-1, L)
    lanes[:] = np.concatenate([w.reshape(N, -1) for w in weights.values()], axis=1)[source].T
    steps = buffer(L)
    steps[:] = [recipes[lane].stages[stage].step for lane in source]
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
    shape, layout, p, drives = _evaluation(network)
    table = tables(network.task)
    symbols, rows = table.delta.shape[1], len(prefixes.state)
    h = buffer(rows * layout.width).reshape(rows, layout.width)
    h[:, : network.hidden] = prefixes.h
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
    shape, layout, p, drives = _evaluation(network)
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
        h=buffer(8 * layout.width),
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


def _in_doubt(network: Network, margin: Array) -> bool:
    """Whether some margin may be within rounding of zero, here or in NumPy's engine."""
    return bool(margin[1] <= 2 * reference.near_zero(network))


_NONE = 2**63 - 1  # no word is wrong


@lru_cache(maxsize=8)
def _evaluation(network: Network) -> tuple["Shape", "Layout", Array, Array]:
    """What both kernels of an evaluation need: their shape, weights and drives."""
    shape = Shape(**_common(network))
    layout = Layout(shape)
    drives = buffer(len(network.drives) * layout.width).reshape(-1, layout.width)
    drives[:, : network.hidden] = network.drives
    return shape, layout, _pack(network.weights, layout), drives


# The processor's peak ----------------------------------------------------------------


def multiply_adds(turns: int) -> tuple[Callable[[], None], float]:
    """A function that only multiplies and adds, and how many operations a call makes."""
    shape = Shape(jit.processor().lanes, 8, 1, 1, 1)
    function = jit.function("peak", shape)
    numbers = buffer((kernels.PEAK_SUMS + 1) * shape.lanes)
    operations = 2.0 * turns * kernels.PEAK_SUMS * shape.lanes
    return lambda: function(numbers=numbers, turns=turns), operations


# Parameters in one array -------------------------------------------------------------


def buffer(size: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Zeros on a cache line's border, with a vector's width to spare behind them.

    Kernels work on whole vectors and may touch what follows the last number.
    """
    item = np.dtype(dtype).itemsize
    room = np.zeros((size + _SPARE) * item + _LINE, np.uint8)
    start = -room.ctypes.data % _LINE
    return room[start : start + size * item].view(dtype)


_LINE, _SPARE = 64, 16


def _sections(flat: Array, layout: "Layout") -> dict[str, Array]:
    """Views of the parameters, padded, shaped as `kernels.Layout` says."""
    X, P, Y = layout.shape.inputs, layout.width, layout.shape.outputs
    return {
        "Wxh": flat[: X * P].reshape(X, P),
        "Whh": flat[layout.Whh : layout.bh].reshape(P, P),
        "bh": flat[layout.bh : layout.Why],
        "Why": flat[layout.Why : layout.by].reshape(Y, P).T,
        "by": flat[layout.by :],
    }


def _pack(weights: Weights, layout: "Layout") -> Array:
    flat = buffer(layout.size)
    for name, section in _sections(flat, layout).items():
        array = getattr(weights, name)
        section[tuple(map(slice, array.shape))] = array
    return flat


def _unpack(flat: Array, layout: "Layout", hidden: int) -> Weights:
    X, Y = layout.shape.inputs, layout.shape.outputs
    shapes = {"Wxh": (X, hidden), "Whh": (hidden, hidden), "bh": (hidden,)}
    shapes |= {"Why": (hidden, Y), "by": (Y,)}
    sections = _sections(flat, layout)
    return Weights(
        **{name: sections[name][tuple(map(slice, shape))].copy() for name, shape in shapes.items()}
    )


def _active(network: Network, layout: "Layout") -> NDArray[np.int32]:
    """Where the rows of Wxh begin that each symbol switches on: shape (S, J)."""
    vectors = tables(network.task).vectors
    rows = np.full((len(vectors), layout.shape.active), layout.shape.inputs, np.int32)  # zero row
    for symbol, vector in enumerate(vectors):
        (on,) = np.nonzero(vector)
        rows[symbol, : len(on)] = on
    return rows * layout.width
