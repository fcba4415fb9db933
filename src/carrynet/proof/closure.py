"""Finite closure: the search for all states that any word leads to, where they are few.

A network of exact operations, whole numbers say, may come to finitely many states.  It is
followed from its start under every symbol, until nothing is new:

    repeat: the states after every symbol, of those that are new, each with the machine's state
    until none of them is new (all are listed), or there are too many, or an output is wrong

Computed in the network's own arithmetic; `check_states` decides whether nothing was rounded.

Shapes: N states, D units of the state, S symbols.
"""

import numpy as np

from carrynet.data.words import OPEN, tables
from carrynet.nets.arrays import quiet
from carrynet.nets.losses import predict
from carrynet.nets.network import Network
from carrynet.proof.certificate import StateCertificate

MOST_EDGES = 10_000
"""The most states times symbols that are followed."""
EXACT = frozenset({"matmul", "add", "subtract", "multiply", "relu"})


def applies(network: Network) -> bool:
    """Whether the equations are of exact operations alone, so that states may be finitely many."""
    formulas = (network.cell, network.readout)
    return all(each.operation in EXACT for f in formulas for each in f.instructions)


@quiet
def search(network: Network) -> StateCertificate | None:
    """All states that any word leads to; None if they are too many, or an output is wrong."""
    table = tables(network.task)
    S = len(network.task.machine.symbols)
    h, q = network.start[None] + 0, np.zeros(1, np.intp)  # + 0: one zero, not two
    found = {(0, h[0].tobytes()): h[0]}
    while len(h):
        after, next_ = network.children(h) + 0, table.delta[q]
        asked = table.output[q]
        if not np.isfinite(after).all():
            return None
        if ((predict(network.read(after)) != asked) & (asked != OPEN)).any():
            return None
        new = {}
        for state, row in zip(next_.ravel().tolist(), after.reshape(-1, h.shape[1]), strict=True):
            key = state, row.tobytes()
            if key not in found:
                found[key] = new[key] = row
        if len(found) * S > MOST_EDGES:
            return None
        h = np.array(list(new.values()), network.dtype).reshape(len(new), h.shape[1])
        q = np.array([state for state, _ in new], np.intp)
    return StateCertificate(
        **network.about,
        states=[state for state, _ in found],
        values=[row.tolist() for row in found.values()],
    )
