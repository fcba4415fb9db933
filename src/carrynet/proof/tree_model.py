"""A network as the search for trees needs it, with metrics in which it contracts.

Shapes: S symbols, Q machine states, K sites, H hidden, R conditions of an output.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.data.words import OPEN, tables
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.proof.metric import States, metrics


class TreeModel(NamedTuple):
    """The network in float32, the metrics in float64."""

    network: Network
    slack: float
    Whh: Array  # (H, H)
    drives: Array  # (S, H)
    rows: Array  # (Q, S, R, H) what must stay positive of an answer: rows . h + offsets
    offsets: Array  # (Q, S, R)
    asked: NDArray[np.bool_]  # (Q, S) whether anything is asked
    delta: NDArray[np.int32]  # (Q, S)
    sites: Array  # (K, H) where each metric holds, see `metric`
    states: NDArray[np.intp]  # (K,)
    T: Array  # (K, H, H) the metrics
    P: Array  # (K, H, H) T^T T
    ball: Array  # (K, H, H) P^-1, the matrix of a ball of radius 1


def tree_model(network: Network, slack: float, known: States | None = None) -> TreeModel | None:
    """What is needed of a network; None if there are no metrics in which it contracts.

    `known` are states where it contracts late.
    """
    found = metrics(network, known)
    if found is None:
        return None
    P = found.T.swapaxes(1, 2) @ found.T
    table, weights = tables(network.task), network.weights
    Why, by = weights.Why.T.astype(np.float64), weights.by.astype(np.float64)
    rows, offsets = [], []
    for output in range(len(network.task.machine.outputs)):
        if network.task.readout == "bits":
            sign = 1 if output else -1
            rows.append(sign * Why)
            offsets.append(sign * by)
        else:
            others = [o for o in range(len(Why)) if o != output]
            rows.append(Why[output] - Why[others])
            offsets.append(by[output] - by[others])
    single = np.float32
    return TreeModel(
        network,
        slack,
        weights.Whh.astype(single),
        network.drives.astype(single),
        np.array(rows, single)[table.output],
        np.array(offsets, single)[table.output],
        table.output != OPEN,
        table.delta,
        *found,
        P,
        np.linalg.inv(P),
    )
