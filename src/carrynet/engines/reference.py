"""The NumPy engine: the algorithm as in a textbook, one update after another."""

import numpy as np

from carrynet.cells import Array
from carrynet.network import LOSSES, Network, Weights, bptt
from carrynet.optim import UPDATES, Moments
from carrynet.problems import Words, sequences
from carrynet.recipe import Recipe, Stage


def advance(
    network: Network, moments: Moments, recipe: Recipe, stage: Stage, words: Words, first: int
) -> tuple[Weights, Moments, Array]:
    """Make one update for each batch of words; see `engines.Engine`."""
    task, cell, weights = network.task, network.cell, network.weights
    loss, update = LOSSES[stage.loss, task.readout], UPDATES[stage.optimiser]
    x, targets = sequences(task, words, network.dtype)
    logits = np.empty_like(targets)
    # A single problem goes without its batch axis: vectors are faster than 1-row matrices.
    alone = np.s_[:, 0] if stage.batch == 1 else np.s_[:]
    # A diverging training may overflow; the caller finds the first logits that are not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(len(words)):
            gradients, logits[i][alone] = bptt(
                weights, cell, loss, x[i][alone], targets[i][alone], biases=recipe.biases
            )
            weights, moments = update(
                weights, gradients, moments, stage.step_at(first + i), first + i + 1
            )
    return weights, moments, logits
