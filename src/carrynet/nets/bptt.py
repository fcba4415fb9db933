"""A network through time, and backpropagation through time.

What `recurrence` does for any formula, here for a network: from its start, along inputs, through
its readout to the gradients of a loss, in the order of its weights.

Shapes: B batch, T time, X input, D state, Y output; the batch axis may be left out.
"""

from collections.abc import Sequence
from typing import Any

from carrynet.nets.arrays import Array, quiet
from carrynet.nets.losses import Loss
from carrynet.nets.network import Network
from carrynet.nets.readings import Reading
from carrynet.nets.readings.numbers import NUMBERS
from carrynet.nets.recurrence import Unrolled
from carrynet.nets.weights import Weights


@quiet
def bptt(
    network: Network, loss: Loss, x: Array, targets: Array, *, biases: bool = True
) -> tuple[Weights, Array]:
    """Backpropagation through time (Werbos 1990): the gradient of the loss of a sequence.

    The loss is summed over positions and averaged over the batch.  Shapes: `x` (T, X) or
    (T, B, X), `targets` (T, Y) or (T, B, Y).  Returns the gradients and the logits, shaped
    like the targets.  With `biases=False` the network has none: their gradients are zero.
    """
    states = unroll(network, x, biases=biases)
    readout = Unrolled(network.readout, network.weights, NUMBERS, states.along(0), biases=biases)
    logits = readout.along(0)
    d_logits = loss.gradient(logits, targets)
    if x.ndim == 3:
        d_logits /= x.shape[1]

    of_readout, (of_states,) = readout.backward(d_logits)
    of_cell, of_start = states.backward(of_states)
    return gradients_of(network, of_cell | of_readout, of_start, biases), logits


def unroll(
    network: Network, x: Array, reading: Reading = NUMBERS, *, biases: bool = True
) -> Unrolled:
    """The states h_0 ... h_T for a sequence of inputs (T, X) or (T, B, X)."""
    batch = x.shape[1:-1]
    start = [
        reading.point(part[None].repeat(batch[0], axis=0) if batch else part)
        for part in network.parts(network.start)
    ]
    return Unrolled(network.cell, network.weights, reading, x, start, biases=biases)


def gradients_of(
    network: Network, found: dict[str, Array], of_start: Sequence[Any], biases: bool
) -> Weights:
    """Gradients in the order of the weights, the start's gathered over the batch."""
    weights = network.weights
    for formula in () if biases else (network.cell, network.readout):
        found |= {name: 0 * weights[name] for name in formula.biases}
    for part, g in zip(network.cell.state, of_start, strict=True):
        if (name := f"{part}_start") in weights:
            g = g[0] if isinstance(g, tuple) else g  # the start is exact: only its centre moves
            found[name] = g.reshape(-1, g.shape[-1]).sum(axis=0)
    return Weights({name: found[name] for name in weights})
