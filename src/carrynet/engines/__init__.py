"""Engines run the updates of a training stage; all see the same problems.

`numpy` is the one to read, and the oracle for every other.
"""

from collections.abc import Callable
from dataclasses import dataclass

from carrynet.cells import Array
from carrynet.engines import reference
from carrynet.errors import unknown
from carrynet.network import Network, Weights
from carrynet.optim import Moments
from carrynet.problems import Words
from carrynet.recipe import Recipe, Stage

Advance = Callable[[Network, Moments, Recipe, Stage, Words, int], tuple[Weights, Moments, Array]]


@dataclass(frozen=True)
class Engine:
    """A way to run updates.

    `advance(network, moments, recipe, stage, words, first)` makes one update for
    each batch of `words`, shape (updates, B, T), the first of them update `first`
    of the stage.  It returns the new weights, the new moments, and the logits that
    each batch had *before* its update, shape (updates, T, B, Y).  It changes none
    of its arguments, so a caller who is interrupted still holds a good state.
    """

    name: str
    advance: Advance


ENGINES = {"numpy": Engine("numpy", reference.advance)}


def get(name: str = "auto") -> Engine:
    """An engine by name; `auto` is the fastest that works here."""
    if name == "auto":
        return ENGINES["numpy"]
    if name not in ENGINES:
        raise unknown("engine", name, ("auto", *ENGINES))
    return ENGINES[name]
