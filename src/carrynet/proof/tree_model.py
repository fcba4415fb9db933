"""A network as the search for trees needs it, with a metric in which it contracts.

Shapes: S symbols, Q machine states, H hidden, R conditions of an output.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.data.words import OPEN, tables
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.proof.metric import metric


class TreeModel(NamedTuple):
    """The network in float32, the metric in float64."""

    network: Network
    slack: float
    Whh: Array  # (H, H)
    drives: Array  # (S, H)
    rows: Array  # (Q, S, R, H) what must stay positive of an answer: rows . h + offsets
    offsets: Array  # (Q, S, R)
    asked: NDArray[np.bool_]  # (Q, S) whether anything is asked
    delta: NDArray[np.int32]  # (Q, S)
    T: Array  # (H, H) the metric
    P: Array  # (H, H) T^T T
    ball: Array  # (H, H) P^-1, the matrix of a ball of radius 1


def tree_model(network: Network, slack: float) -> TreeModel | None:
    """What is needed of a network; None if there is no metric in which it contracts."""
    T = metric(network)
    if T is None:
        return None
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
        T,
        T.T @ T,
        np.linalg.inv(T.T @ T),
    )
