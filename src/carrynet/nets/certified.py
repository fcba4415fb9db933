"""Certified training: the worst that a network could answer, and its gradient.

Interval bound propagation (Gowal et al. 2018, "On the effectiveness of interval bound
propagation for training verifiably robust models"), here through time.  Beside the
sequence of hidden states runs a sequence of boxes |h - c| <= r that hold every state the
network could be in if each pre-activation were off by up to `slack` at each step.  A
network that answers rightly all over its boxes has states that flow together, which is
what a proof for all lengths needs (`proof.search`).

    c_0 = r_0 = 0
    l_t, u_t = the bounds of `Elman.step_bounds`
    c_t = (l_t + u_t)/2,   r_t = (u_t - l_t)/2

Shapes: B batch, T time, X input, H hidden, Y output; the batch axis may be left out.
These are gradients to train with, in floats that are not rounded outward: no proof.
"""

import numpy as np

from carrynet.nets.cells import Array, Elman, quiet
from carrynet.nets.network import Loss, Weights, read_out, rows_of


@quiet
def unroll(weights: Weights, cell: Elman, x: Array, slack: float) -> tuple[Array, Array]:
    """The bounds l and u for a sequence of inputs: two arrays, shaped as `network.unroll`'s."""
    drive = x.dot(weights.Wxh) + weights.bh
    lower = np.zeros((len(x) + 1, *drive.shape[1:]), drive.dtype)
    upper = np.zeros_like(lower)
    for t in range(len(x)):
        c, r = (lower[t] + upper[t]) / 2, (upper[t] - lower[t]) / 2
        lower[t + 1], upper[t + 1] = cell.step_bounds(drive[t], c, r, weights.Whh, slack)
    return lower, upper


def worst_logits(weights: Weights, c: Array, r: Array, targets: Array) -> Array:
    """The logits that speak most against the targets, over boxes (..., H): shape (..., Y).

    One neuron: c Why + by, moved by r |Why| down where the target is 1, up where it is 0.

    Several, with target y: the largest that logit k can be above logit y, for each k,

        c (Why_k - Why_y) + by_k - by_y + r |Why_k - Why_y|

    whose softmax cross-entropy log(1 + sum_{k != y} e^...) bounds that of every state inside.
    """
    logits = read_out(weights, c)
    if targets.shape[-1] == 1:
        return logits + (1 - 2 * targets) * r.dot(np.abs(weights.Why))
    spread = r.dot(np.abs(_pairs(weights.Why)).reshape(r.shape[-1], -1))  # (..., Y * Y)
    spread = spread.reshape(*targets.shape, -1)  # of target y, logit k
    own = (targets * logits).sum(axis=-1, keepdims=True)
    return logits - own + (targets[..., None] * spread).sum(axis=-2)


def bptt(
    weights: Weights,
    cell: Elman,
    loss: Loss,
    x: Array,
    targets: Array,
    slack: float,
    *,
    biases: bool = True,
) -> Weights:
    """The gradient of the loss of the worst logits, through time; arguments as `network.bptt`'s.

    With dz and drho of `Elman.step_bounds_vjp`,

        dWhh = sum_t c_{t-1}^T dz_t + sign(Whh) * r_{t-1}^T drho_t
        dWxh = sum_t x_t^T dz_t,   dbh = sum_t dz_t
    """
    lower, upper = unroll(weights, cell, x, slack)
    c, r = (lower + upper) / 2, (upper - lower) / 2
    d = loss.gradient(worst_logits(weights, c[1:], r[1:], targets), targets)
    if x.ndim == 3:
        d /= x.shape[1]
    gc, gr, dWhy = _read_out_vjp(weights.Why, c[1:], r[1:], targets, d)

    dz, drho = np.empty_like(gc), np.empty_like(gr)
    c_from_next: Array | float = 0.0
    r_from_next: Array | float = 0.0
    for t in reversed(range(len(x))):
        dz[t], drho[t], c_from_next, r_from_next = cell.step_bounds_vjp(
            lower[t + 1], upper[t + 1], gc[t] + c_from_next, gr[t] + r_from_next, weights.Whh
        )

    from_c, from_r = rows_of(c[:-1]).T.dot(rows_of(dz)), rows_of(r[:-1]).T.dot(rows_of(drho))
    return Weights(
        Wxh=rows_of(x).T.dot(rows_of(dz)),
        Whh=from_c + np.sign(weights.Whh) * from_r,
        bh=rows_of(dz).sum(axis=0) if biases else 0 * weights.bh,
        Why=dWhy,
        by=rows_of(d).sum(axis=0) if biases else 0 * weights.by,
    )


def _read_out_vjp(
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
