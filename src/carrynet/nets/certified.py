"""Certified training: the worst that a network could answer, and its gradient.

Interval bound propagation (Gowal et al. 2018, "On the effectiveness of interval bound
propagation for training verifiably robust models"), here through time.  Beside the
sequence of states runs a sequence of boxes |h - c| <= r that hold every state the
network could be in if each pre-activation were off by up to `slack` at each step
(`readings.enclosure`).  A network that answers rightly all over its boxes has states that
flow together, which is what a proof for all lengths needs (`proof.search`).

Shapes: B batch, T time, X input, H hidden, Y output; the batch axis may be left out.
These are gradients to train with, in floats that are not rounded outward: no proof.
"""

import numpy as np

from carrynet.nets.arrays import Array, quiet, rows_of
from carrynet.nets.bptt import gradients_of, unroll
from carrynet.nets.losses import Loss
from carrynet.nets.network import Network
from carrynet.nets.readings.enclosure import Enclosure
from carrynet.nets.recurrence import Unrolled
from carrynet.nets.weights import Weights


def worst_logits(Why: Array, by: Array, c: Array, r: Array, targets: Array) -> Array:
    """The logits that speak most against the targets, over boxes (..., H): shape (..., Y).

    One neuron: c Why + by, moved by r |Why| down where the target is 1, up where it is 0.

    Several, with target y: the largest that logit k can be above logit y, for each k,

        c (Why_k - Why_y) + by_k - by_y + r |Why_k - Why_y|

    whose softmax cross-entropy log(1 + sum_{k != y} e^...) bounds that of every state inside.
    """
    logits = c.dot(Why) + by
    if targets.shape[-1] == 1:
        return logits + (1 - 2 * targets) * r.dot(np.abs(Why))
    spread = r.dot(np.abs(_pairs(Why)).reshape(r.shape[-1], -1))  # (..., Y * Y)
    spread = spread.reshape(*targets.shape, -1)  # of target y, logit k
    own = (targets * logits).sum(axis=-1, keepdims=True)
    return logits - own + (targets[..., None] * spread).sum(axis=-2)


@quiet
def bptt(
    network: Network, loss: Loss, x: Array, targets: Array, slack: float, *, biases: bool = True
) -> Weights:
    """The gradient of the loss of the worst logits, through time; arguments as `bptt.bptt`'s."""
    reading, readout = Enclosure(slack), network.readout
    product, bias = readout.instructions[-2:]
    of_Why, of_by = (readout.parameter_slots[each.operands[1]] for each in (product, bias))
    states = unroll(network, x, reading, biases=biases)
    layers = Unrolled(readout, network.weights, reading, states.along(0), biases=biases, last=2)
    v, Why, by = layers.along(0), network.weights[of_Why], network.weights[of_by]
    d = loss.gradient(worst_logits(Why, by, v.c, v.r, targets), targets)
    if x.ndim == 3:
        d /= x.shape[1]

    *of_v, dWhy = worst_logits_vjp(Why, v.c, v.r, targets, d)
    of_layers, (of_states,) = layers.backward(tuple(of_v))
    of_cell, of_start = states.backward(of_states)
    found = of_cell | of_layers | {of_Why: dWhy, of_by: rows_of(d).sum(axis=0)}
    return gradients_of(network, found, of_start, biases)


def worst_logits_vjp(
    Why: Array, c: Array, r: Array, targets: Array, d: Array
) -> tuple[Array, Array, Array]:
    """Gradients with respect to c, r (..., H) and Why, from those of the worst logits, d (..., Y).

    With several neurons d is softmax less one-hot and sums to 0, so that what the own
    logit loses in every difference is its own entry of d.
    """
    c_rows, r_rows, d_rows = rows_of(c), rows_of(r), rows_of(d)
    if d.shape[-1] == 1:
        signed = (1 - 2 * targets) * d
        dWhy = c_rows.T.dot(d_rows) + np.sign(Why) * r_rows.T.dot(rows_of(signed))
        return d.dot(Why.T), signed.dot(np.abs(Why).T), dWhy
    H, Y = Why.shape
    pairs = _pairs(Why)
    chosen = (targets[..., None] * d[..., None, :]).reshape(*d.shape[:-1], Y * Y)
    dr = chosen.dot(np.abs(pairs).reshape(H, Y * Y).T)
    dpairs = np.sign(pairs) * r_rows.T.dot(rows_of(chosen)).reshape(H, Y, Y)
    dWhy = c_rows.T.dot(d_rows) + dpairs.sum(axis=1) - dpairs.sum(axis=2)
    return d.dot(Why.T), dr, dWhy


def _pairs(Why: Array) -> Array:
    """Why_k - Why_y: shape (H, Y, Y), entry (:, y, k)."""
    return Why[:, None, :] - Why[:, :, None]
