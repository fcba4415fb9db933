"""The engine of JAX: many networks side by side, on whatever device JAX finds.

Programs are made by `programs`, and for small networks on a GPU by `fused`.

Shapes: N networks, U updates, B batch, T time, Y output.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from carrynet.data import rng
from carrynet.data.drawn import draw
from carrynet.data.words import Words
from carrynet.engines.fused import fused, takes
from carrynet.engines.programs import How, drawn, library, scanned, schedule
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.nets.optim import Moments
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage


def refuses(subject: Network | Recipe) -> str | None:
    """Why the engine does not train a network, or those of a recipe; None if it does."""
    if find_spec("jax") is None:
        return "JAX is not installed: pip install 'carrynet[jax]'; in a clone, uv sync --extra jax"
    if isinstance(subject, Recipe) and subject.joined:
        return "the engine jax bounds the worst case along words, not by boxes"
    return None


def device() -> str:
    """What JAX computes on, in words."""
    return str(library().devices()[0].device_kind)


def advance(
    network: Network, moments: Moments, recipe: Recipe, stage: Stage, words: Words, first: int
) -> tuple[Weights, Moments, Array]:
    """Make one update for each batch of words; see `engines.Engine`."""
    given = dict(network.weights), _plain(moments), np.asarray(stage.step, network.dtype), words
    with _as_asked(network):
        train = _alone(How.of(network, recipe, stage))
        weights, moved, logits = train(*given, schedule(stage, first, len(words), network.dtype))
        return *_back(network, weights, moved), np.array(logits)


MOST = 65_536
"""Networks that are trained at once: of a device for which more were better, nothing is known."""


def at_once(recipe: Recipe) -> int:
    """How many networks of a recipe are trained at once; see `engines.Many`."""
    return 1 if any(stage.over == "edges" for stage in recipe.stages) else MOST


def advance_many(
    network: Network,
    weights: Weights,
    moments: Moments,
    recipes: Sequence[Recipe],
    stage: int,
    first: int,
    count: int,
) -> tuple[Weights, Moments]:
    """Updates of networks side by side; see `engines.Many`."""
    here, many = recipes[0].schedule[stage], len(recipes)
    # A program is made for a number of networks: with up to an eighth to spare, there are few
    # programs.  For a single one it would be another, whose roundings differ.
    spare = max(2, many + -many % (1 << max(0, many.bit_length() - 4))) - many
    recipes = [*recipes, *[recipes[0]] * spare]

    def filled(array: Array) -> Array:
        return np.concatenate([array, np.repeat(array[:1], spare, axis=0)]) if spare else array

    state = dict(weights.map(filled)), _plain(tuple(each.map(filled) for each in moments))
    steps = np.array([recipe.schedule[stage].step for recipe in recipes], network.dtype)
    how, (digits, _) = How.of(network, recipes[0], here), recipes[0].length(here, first)
    small = library().default_backend() == "gpu" and takes(how, weights, here.batch, digits)
    most = max(1, MOST_SYMBOLS // (len(recipes) * here.batch * digits))
    for start in range(first, first + count, most):
        updates = min(most, first + count - start)
        words = _words(recipes, stage, start, updates)
        with _as_asked(network):
            when = schedule(here, start, updates, network.dtype)
            state = _many(how, small)(*state, steps, words, when)
    return _back(network, *state, many)


MOST_SYMBOLS = 2**29
"""Of problems that are drawn at once: half a gigabyte, and some more while they are drawn."""


def _words(recipes: Sequence[Recipe], stage: int, first: int, count: int) -> Any:
    """The problems of so many updates of each recipe, (N, U, B, T); of numbers, on the device."""
    recipe, here = recipes[0], recipes[0].schedule[stage]
    task, (digits, _) = recipe.specification, recipe.length(here, first)
    if not task.numeric or here.words == "balanced" or here.partly or recipe.examples:
        return np.stack([draw(each, stage, first, count) for each in recipes])
    seeds = np.array([each.seed for each in recipes], np.uint64)
    with library().enable_x64(True):
        return _drawn(task, digits, here.batch, rng.STAGES + stage, count)(seeds, np.uint64(first))


@lru_cache(maxsize=32)
def _drawn(*arguments: Any) -> Callable[..., Any]:
    return library().jit(drawn(*arguments))


@lru_cache(maxsize=32)
def _alone(how: How) -> Callable[..., Any]:
    return library().jit(scanned(how, logits=True))


@lru_cache(maxsize=32)
def _many(how: How, small: bool) -> Callable[..., Any]:
    jax = library()
    if small:
        return jax.jit(fused(how))
    program = jax.vmap(scanned(how, logits=False), in_axes=(0, 0, 0, 0, None))
    return jax.jit(lambda *given: program(*given)[:2])


def _as_asked(network: Network) -> Any:
    """JAX as the NumPy engine computes: in the network's own type, and in no shorter one."""
    jax = library()
    jax.config.update("jax_default_matmul_precision", "highest")
    return jax.enable_x64(network.dtype == np.float64)


def _plain(moments: Moments) -> tuple[dict[str, Array], ...]:
    return tuple(dict(each) for each in moments)


def _back(network: Network, weights: Any, moments: Any, count: int | None = None) -> Any:
    """What a device has made, in the order of a network's weights, which JAX does not keep."""
    made, *moved = (
        Weights({name: np.array(each[name])[:count] for name in network.weights})
        for each in (weights, *moments)
    )
    return made, tuple(moved)
