"""Engines run what takes time: the updates of a training, and evaluations.

`numpy` is the one to read, and the oracle for the others: `native` is machine code, `jax` is for
many networks at once on a GPU.  All see the same problems; their weights agree to rounding.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from carrynet.data.regions import Edges
from carrynet.data.words import Words
from carrynet.engines import edges, jax, native, reference
from carrynet.engines.reference import Followed, Prefixes, Tally, Wandered
from carrynet.errors import Unavailable, unknown
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.nets.optim import Moments
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage

Subject = Network | Recipe
Advance = Callable[[Network, Moments, Recipe, Stage, Words, int], tuple[Weights, Moments, Array]]


class Follow(Protocol):
    """See `Engine`."""

    def __call__(self, network: Network, words: Words, *, whole: bool = ...) -> Followed:
        """Where each of some words first goes wrong."""


class Many(NamedTuple):
    """How many networks are trained side by side.

    `advance(network, weights, moments, recipes, stage, first, count)` makes updates
    `first .. first + count - 1` of stage number `stage`, whose problems have one length, for up to
    `at_once(recipe)` networks, where that is more than one.  All have the formulas of `network`;
    weights and moments have a first axis of networks.  The recipes may differ in seeds, in the
    steps of stages, and in what comes before training.
    """

    at_once: Callable[[Recipe], int]
    advance: Callable[
        [Network, Weights, Moments, Sequence[Recipe], int, int, int], tuple[Weights, Moments]
    ]


class OverEdges(NamedTuple):
    """How networks are trained over edges of the machine, with boxes; see `learn.edges`.

    `advance(network, moments, boxes, box_moments, recipe, stage, drawn, first, count)` makes
    updates `first .. first + count - 1`, of a row of edges for each, or of one for all.  It
    returns new weights, moments, boxes and moments of those, and the logits (count, E, Y) that
    spoke most against the outputs before each update.
    """

    takes: Callable[[Network], bool]
    advance: Callable[
        [Network, Moments, Weights, Moments, Recipe, Stage, Edges, int, int],
        tuple[Weights, Moments, Weights, Moments, Array],
    ]


PACE = 4
"""How many times as fast as NumPy machine code makes updates, whatever the network: at least."""


@dataclass(frozen=True)
class Engine:
    """A way to run updates and to judge words.

    `advance(network, moments, recipe, stage, words, first)` makes one update for
    each batch of `words`, shape (updates, B, T), the first of them update `first`
    of the stage.  It returns the new weights, the new moments, and the logits that
    each batch had *before* its update, shape (updates, T, B, Y).  It changes none
    of its arguments, so a caller who is interrupted still holds a good state.

    `walk(network, prefixes, depth)` judges every word that has `depth` more symbols
    than some prefixes, followed by `headroom` zeros.

    `follow(network, words)` judges words, shape (N, T), and says where each first goes wrong.
    Where they need not be read as a `whole`, the margin is not that of what is behind.

    `wander(network, h, state, words)` reads words, shape (N, T), each from a state h (N, D) of its
    own and one of the machine, and says where each came nearest to an error; what is within
    rounding of zero is as the engine has it.

    The others leave words of which some output is within rounding of zero (`reference.near_zero`)
    to the network's own steps, so that no count depends on the engine.

    `refuses(subject)` says why the engine cannot take such networks, or None.
    """

    name: str
    advance: Advance
    many: Many | None
    edges: OverEdges | None  #: where none, NumPy serves
    walk: Callable[[Network, Prefixes, int], Tally]
    follow: Follow
    wander: Callable[[Network, Array, NDArray[np.int32], Words], Wandered]
    refuses: Callable[[Subject], str | None]
    threads: bool  #: whether calls from several threads run side by side
    #: whether updates are made by machine code: outside of Python's lock, and `PACE` times as fast
    compiled: bool = False


def _walk(network: Network, prefixes: Prefixes, depth: int) -> Tally:
    """That of the fastest engine of this processor: on a GPU, states would wait for one another."""
    return get("auto", network, quietly=True).walk(network, prefixes, depth)


def _follow(network: Network, words: Words, *, whole: bool = True) -> Followed:
    return get("auto", network, quietly=True).follow(network, words, whole=whole)


def _wander(network: Network, h: Array, state: NDArray[np.int32], words: Words) -> Wandered:
    return get("auto", network, quietly=True).wander(network, h, state, words)


ENGINES = {
    "native": Engine(
        *("native", native.advance, Many(native.at_once, native.advance_many)),
        OverEdges(edges.takes, edges.advance),
        walk=native.walk,
        follow=native.follow,
        wander=native.wander,
        refuses=native.refuses,
        threads=True,
        compiled=True,
    ),
    "numpy": Engine(
        *("numpy", reference.advance, None, None),
        walk=reference.walk,
        follow=reference.follow,
        wander=reference.wander,
        refuses=lambda subject: None,
        threads=False,
    ),
    "jax": Engine(
        *("jax", jax.advance, Many(jax.at_once, jax.advance_many), None),
        walk=_walk,
        follow=_follow,
        wander=_wander,
        refuses=jax.refuses,
        threads=True,
    ),
}
"""All of them; `auto` is one of the first two."""


def get(name: str, subject: Subject, *, quietly: bool = False) -> Engine:
    """An engine for a network, or those of a recipe; `auto` is the fastest that takes them.

    Which that is, where it is the slower one, is logged once; not `quietly`, by who may yet have
    to refuse what is asked, in a line that should stand alone.

    Raises `InputError` for an unknown name, `Unavailable` when the engine
    that is asked for cannot take such networks, saying why.
    """
    if name == "auto":
        reason = native.refuses(subject)
        if reason is None:
            return ENGINES["native"]
        if not quietly:
            _say_once(f"{reason}; using the NumPy engine")
        return ENGINES["numpy"]
    if name not in ENGINES:
        raise unknown("engine", name, ("auto", *ENGINES))
    reason = ENGINES[name].refuses(subject)
    if reason is not None:
        raise Unavailable(reason)
    return ENGINES[name]


@cache
def _say_once(message: str) -> None:
    logging.getLogger("carrynet").warning("carrynet: %s", message)
