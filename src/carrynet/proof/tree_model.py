"""A network as the search for trees needs it, with metrics in which it contracts.

Shapes: S symbols, Q machine states, K sites, H the whole state, R conditions of an output, d what
the readout's last layer is fed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet import files
from carrynet.data.words import OPEN, tables
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.proof import affine
from carrynet.proof.metric import States, metrics


class TreeModel(NamedTuple):
    """A network and what is asked of it in float32, and metrics in float64."""

    network: Network
    single: Network  # the same in float32
    slack: float  # what each unit may be off by at every step
    rounding: float  # and is anyway, about, in the network's type; 0 where the slack covers that
    rows: Array  # (Q, S, R, d) what must stay positive of an answer: rows . v + offsets
    offsets: Array  # (Q, S, R)
    asked: NDArray[np.bool_]  # (Q, S) whether anything is asked
    delta: NDArray[np.int32]  # (Q, S)
    sites: Array  # (K, H) where each metric holds, see `metric`
    states: NDArray[np.intp]  # (K,)
    T: Array  # (K, H, H) the metrics
    P: Array  # (K, H, H) T^T T
    ball: Array  # (K, H, H) P^-1, the matrix of a ball of radius 1

    def slack_of(self, radius: float) -> float:
        """The slack of words between balls of a radius: at least what covers rounding.

        The checker, which bounds that, knows the less of states the larger an ellipsoid is.
        """
        return max(self.slack, (_ROUNDING + _WIDER * radius) * self.rounding)


@np.errstate(over="ignore", invalid="ignore")
def tree_model(network: Network, slack: float, known: States | None = None) -> TreeModel | None:
    """What is needed of a network; None if there are no metrics in which it contracts.

    `known` are states where it contracts late.
    """
    found = metrics(network, known)
    if found is None:
        return None
    of_type = 0.0 if network.elman else affine.rounding(network, found.sites)
    P = found.T.swapaxes(1, 2) @ found.T
    table, (last, bias) = tables(network.task), network.last_layer
    Why, by = last.T.astype(np.float64), bias.astype(np.float64)
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
        network.astype("float32"),
        slack,
        of_type,
        np.array(rows, single)[table.output],
        np.array(offsets, single)[table.output],
        table.output != OPEN,
        table.delta,
        *found,
        P,
        np.linalg.inv(P),
    )


def most_nodes(symbols: int) -> int:
    """Of one radius: a certificate of more would take minutes to check, or is not read."""
    return min(2**22, files.MOST_VALUES // max(symbols, 4))


MOST_DEPTH = 120
"""The most symbols that a word has: of a longer one nothing is hoped."""

LEAST_MARGIN = 1e-3
"""Of an output that is not in doubt."""

WITHIN = 1 - 4e-3
"""Of the radius, within which a word ends: the rest is for float32 and the checker's roundings."""

OPEN_AT, OPENING, OPEN_MOST = 0.4, 0.02, 0.92
"""Of the radius: a word that no ball holds gets its own up to a size of OPEN_AT + OPENING times the
symbols read, at most OPEN_MOST."""

LOST = 1e-7
"""In a unit, which is computed in float32."""

_ROUNDING, _WIDER = 2.5, 12.0  # times what rounding is about: of a point, and for each radius
