"""Initial weights from the task's machine: its states as random codes, and weights fitted to them.

Every state q of the machine gets a code A_q, and every symbol what the weights of the input make
of its vector x, a code x V; both are uniform in [-w, w).  By a step from state p along symbol a
the pre-activation is to be A_p + x_a V, so that the network's state, which is

    h = activation(A_p + x_a V)        in the region of the machine's next state q, entered by a

(`realised.settled`), tells p and a.  What the next step needs to know is q, and so

    h Whh + bh = A_q                   over all regions, and the start, h = 0

by ridge regression (Hoerl & Kennard 1970): exactly, where there are fewer regions than units.
All other weights are as they were.  A cell with gates has them open, or shut, by their biases.

Random weights keep something of all that was read, long ago too, and edges alone do not undo it:
of two Elman networks, two GRU and two LSTM with 32 units none learned `add_mod:k=5` from random
ones (`benchmarks.proofs --recipe specified --set init=random`), from these all (docs/proof.md).

Shapes: R regions, Q states of the machine, X input, H hidden.
"""

import numpy as np

from carrynet.data import rng
from carrynet.data.regions import regions
from carrynet.data.words import tables
from carrynet.learn.realised import REALISED, settled
from carrynet.nets import cells
from carrynet.nets.arrays import in_one_thread, quiet
from carrynet.nets.formula import Formula, layers
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights

WIDTH = 2.5
"""w: pre-activations of which tanh is neither flat nor straight."""
GATE = 2.0
"""The bias of a gate that is open, and less that of one that is shut: either can still change."""
RIDGE = 0.1


def known(cell: Formula) -> bool:
    """Whether there are codes for a cell's lowest layer, which must be one of `REALISED`."""
    return cells.name_of(layers(cell)[0]) in REALISED


@in_one_thread
@quiet
def fitted(network: Network, seed: int) -> Weights:
    """A network's weights, those of its lowest layer fitted to codes of the task's machine.

    Of a layer that is none of `cells.CELLS` all are left as they are: which of its weights mean
    what, nobody has said.
    """
    if not known(network.cell):
        return network.weights
    lowest = layers(network.cell)[0]
    realised, every = REALISED[cells.name_of(lowest)], regions(network.task)
    H, Q = network.hidden, len(network.task.machine.states)
    vectors = tables(network.task).vectors.astype(np.float64)
    # sigmoid(2 z) is what tanh(z) is, from 0 to 1
    width = WIDTH * (2 if cells.elman_activation(lowest) == "sigmoid" else 1)
    draws = rng.uniform(seed, rng.CODES, 0, (Q + vectors.shape[1]) * H).reshape(-1, H)
    codes, of_input = np.split(width * (2 * draws - 1), [Q])
    before, symbol = every.state[every.source], every.symbol
    h = settled(lowest, realised, codes[before] + vectors[symbol] @ of_input, GATE)
    h[0] = 0  # the start
    rows = np.hstack([h, np.ones((len(h), 1))])
    square = rows.T @ rows + RIDGE * np.eye(H + 1)
    fit = np.linalg.solve(square, rows.T @ codes[every.state])
    made = {realised.of_input: of_input, realised.of_state: fit[:-1], realised.bias: fit[-1]}
    made |= realised.gate_biases(H, GATE)
    suffix = "_1" if len(layers(network.cell)) > 1 else ""
    kind = network.dtype
    return network.weights.replace(**{f"{k}{suffix}": v.astype(kind) for k, v in made.items()})
