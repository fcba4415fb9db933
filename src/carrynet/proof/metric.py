"""A metric of hidden space in which a network contracts: differences shrink along words.

Shapes: N steps, H hidden.
"""

import numpy as np

from carrynet.data import rng
from carrynet.data.words import chains, tables
from carrynet.nets.arrays import ACTIVATIONS, Array
from carrynet.nets.network import Network


@np.errstate(over="ignore", invalid="ignore")
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
    slopes, spread = _sample(network)
    base = 2 * np.eye(H) + Why @ Why.T / max(1e-12, float((Why**2).sum()))
    share = np.full(len(slopes), 1 / len(slopes))
    for last in [False] * _ROUNDS + [True]:
        second = (slopes * share[:, None]).T @ slopes  # E[d d^T]
        P: Array = base
        for _ in range(30):
            P = base + _GAMMA**-2 * Whh @ (second * P) @ Whh.T
            P = P / max(1.0, np.trace(P) / 1e6)
        if not (np.isfinite(P).all() and np.isfinite(spread).all()):
            return None
        L = np.linalg.cholesky(P)
        if not last:
            steps = (np.linalg.inv(L) @ Whh * slopes[:, None]) @ L
            growth = norms(steps @ steps.swapaxes(1, 2)) ** 2
            share = 0.5 * share + 0.5 * growth / max(1e-300, growth.sum())
    # the same lengths, by coordinates of which the first tell most of how states differ
    T: Array = np.linalg.eigh(L.T @ spread @ L)[1].T[::-1] @ L.T
    gain = float(np.linalg.norm(np.linalg.inv(T).T @ Whh, axis=0).max())
    return T * (gain / 2 or 1.0)


def _sample(network: Network, words: int = 200, length: int = 25) -> tuple[Array, Array]:
    """Along random words f'(z), shape (N, H), and the covariance of states (H, H).

    Every other word holds on to its state; the covariance is that of states that the machine does
    not tell apart.
    """
    task, double = network.task, network.astype("float64")
    bits = rng.raw(0, rng.PROOF, 0, words * length * 2).reshape(words, length, 2)
    held = chains(task, length, bits[: words // 2])
    drawn = rng.below(network.symbols, bits[words // 2 :, :, 0])
    h: Array = np.zeros((words, network.hidden))
    state, delta = np.zeros(words, np.int32), tables(task).delta
    slopes, spread = [], np.zeros((network.hidden, network.hidden))
    for symbol in np.concatenate([held, drawn]).T:
        h, state = double.step(h, symbol), delta[state, symbol]
        slopes.append(ACTIVATIONS[network.activation].slope(h))
        for q in np.unique(state):
            off = h[state == q] - h[state == q].mean(axis=0)
            spread += off.T @ off
    sampled = np.concatenate(slopes)
    order = np.argsort(rng.raw(0, rng.PROOF, words * length * 2, len(sampled)))
    return sampled[order[:1200]], spread / max(1e-300, float(spread.trace()))


def norms(squares: Array) -> Array:
    """Close upper bounds of the norms of matrices M, from M M^T: shape (N, H, H) to (N,).

    (trace of (M M^T)^4)^(1/8): at most H^(1/8) times the norm, and the nearer the fewer
    directions are large.
    """
    fourth = squares @ squares
    return np.einsum("nij,nij->n", fourth, fourth) ** (1 / 8)


_GAMMA, _ROUNDS = 0.85, 7
