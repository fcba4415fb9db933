"""A metric of hidden space in which a network contracts: differences shrink along words.

Shapes: N steps, H hidden.
"""

import numpy as np

from carrynet.data.words import tables
from carrynet.nets.arrays import ACTIVATIONS, Array, quiet
from carrynet.nets.network import Network


@quiet
def metric(network: Network) -> Array | None:
    """A metric T (H, H) in which words contract soon: |T h|^2 = h P h^T, P = T^T T.

    P weighs a small change of the hidden state by what it will do to all later states,

        P = P0 + gamma^-2 E[J P J^T],      J = Whh diag(f'(z)) the change one step later,

    the mean over simulated steps, of which those that grow most count more in each of
    several rounds.  Scaled so that no unit's z varies by more than 2 r over a ball of
    radius r.  None when that overflows: then nothing contracts.
    """
    weights = network.weights
    Whh, Why = (a.astype(np.float64) for a in (weights.Whh, weights.Why))
    H = network.hidden
    slopes = _sample_slopes(network)
    base = 2 * np.eye(H) + Why @ Why.T / max(1e-12, float((Why**2).sum()))
    share = np.full(len(slopes), 1 / len(slopes))
    for last in [False] * _ROUNDS + [True]:
        second = (slopes * share[:, None]).T @ slopes  # E[d d^T]
        P: Array = base
        for _ in range(30):
            P = base + _GAMMA**-2 * Whh @ (second * P) @ Whh.T
            P = P / max(1.0, np.trace(P) / 1e6)
        if not np.isfinite(P).all():
            return None
        L = np.linalg.cholesky(P)
        if not last:
            steps = (np.linalg.inv(L) @ Whh * slopes[:, None]) @ L
            growth = norms(steps @ steps.swapaxes(1, 2)) ** 2
            share = 0.5 * share + 0.5 * growth / max(1e-300, growth.sum())
    T: Array = L.T
    gain = float(np.linalg.norm(np.linalg.inv(T).T @ Whh, axis=0).max())
    return T * (gain / 2 or 1.0)


def _sample_slopes(network: Network, words: int = 200, length: int = 25) -> Array:
    """f'(z) along random words, shape (N, H); every other word tends to keep its state."""
    table, rng = tables(network.task), np.random.default_rng(0)
    double, slope = network.astype("float64"), ACTIVATIONS[network.activation].slope
    symbols = double.symbols
    stays = table.delta == np.arange(len(table.delta))[:, None]
    sticky = np.where(np.arange(words) % 2, 0.85, 0.0)[:, None]
    h: Array = np.zeros((words, network.hidden))
    state, slopes = np.zeros(words, np.int32), []
    for _ in range(length):
        kept = stays[state] / np.maximum(1, stays[state].sum(axis=1, keepdims=True))
        chance = (sticky * kept + (1 - sticky * kept.sum(axis=1, keepdims=True)) / symbols).cumsum(
            axis=1
        )
        symbol = np.minimum((rng.random((words, 1)) > chance).sum(axis=1), symbols - 1)
        h = double.step(h, symbol)
        state = table.delta[state, symbol]
        slopes.append(slope(h))
    sampled = np.concatenate(slopes)
    return sampled[rng.permutation(len(sampled))[:1200]]


def norms(squares: Array) -> Array:
    """Close upper bounds of the norms of matrices M, from M M^T: shape (N, H, H) to (N,).

    (trace of (M M^T)^4)^(1/8): at most H^(1/8) times the norm, and the nearer the fewer
    directions are large.
    """
    fourth = squares @ squares
    return np.einsum("nij,nij->n", fourth, fourth) ** (1 / 8)


_GAMMA, _ROUNDS = 0.85, 7
