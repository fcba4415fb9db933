"""Metrics of hidden space in which a network contracts: differences shrink along words.

What becomes of a difference depends on where it is.  So there are *sites* in hidden space, each
of one state of the machine and with a metric of its own, which is that of all hidden states that
no other site of the same state is nearer to.

Shapes: K sites, S symbols, E steps, H the whole state.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.words import chains, tables
from carrynet.nets.arrays import ACTIVATIONS, Array, in_one_thread
from carrynet.nets.network import Network
from carrynet.proof import affine

_SITES, _FEW_SITES = 256, 32  # of all states together, or one of each; few at first
_NUMBERS = 2**18  # in the metrics of all sites
_STATES = 2400  # from which steps are looked at
_STEPS = 19200  # at most
_JACOBIANS, _LEAST_STEPS = 2**21, 200  # numbers in those of all steps, of other cells than Elman's
_READOUTS = 100  # states at which the readout is made linear
_SMALL = 1e-3
_DRAWS = 2**20  # where in the generator's sequence those of words do not come to
_SHARE, _ROUNDS = 0.75, 20
_MOST = 2.5  # of what contracts at once anyway, nothing is to be gained by more
_APART = 1e-3


class States(NamedTuple):
    """Hidden states, and the states that the machine is in."""

    h: Array  # (N, H)
    state: NDArray[np.intp]  # (N,)


class _Steps(NamedTuple):
    """Words that become one symbol longer."""

    before: Array  # (E, H)
    symbol: NDArray[np.intp]  # (E,)
    after: Array  # (E, H)
    start: NDArray[np.intp]  # (E,) the site where it was
    end: NDArray[np.intp]  # (E,) and where it is


class Metrics(NamedTuple):
    """Which metric holds where."""

    sites: Array  # (K, H), the first of no account
    states: NDArray[np.intp]  # (K,) of the machine, in order; -1 of the first
    T: Array  # (K, H, H): h is |T h| long


@in_one_thread  # with more, where cores are busy, it takes a hundred times as long
@np.errstate(over="ignore", invalid="ignore")
def metrics(network: Network, known: States | None = None) -> Metrics | None:
    """Metrics T (H, H) in which words contract soon: |T h|^2 = h P h^T, P = T^T T.

    P weighs a small change of the hidden state by what it will do to all later states,

        P_i = P0 + g E[J P_j J^T],      J the change one step later, Whh diag(f'(z)) of Elman's,

    the mean over steps from site i, which lead to sites j.  When E[J P_j J^T] is formed again and
    again it grows by some factor; g is a part of its inverse, so that there is a solution.  The
    steps are from states that random words lead to and, as many, from those that are `known` to be
    where the network contracts late.  Scaled so that nothing that an activation is taken of varies
    by more than 2 r over a ball of radius r.  The first metric is the mean of all others, and no
    site's.  None when something overflows, or digits are lost: then nothing contracts.
    """
    seen, spread = _sample(network)
    some = [seen] if known is None else [seen, _drawn(known)]
    H, most = len(network.start), _FEW_SITES if known is None else _SITES
    changes: _Changes = _OfElman(network) if network.elman else _OfFormula(network)
    before, symbol, after = _steps(network, _joined(some), changes.most_steps)
    if not (np.isfinite(after.h).all() and np.isfinite(spread).all()):
        return None
    most = min(most, _NUMBERS // H**2) // len(network.task.machine.states)
    sites = _sites(before, len(network.task.machine.states), max(1, most))
    K = len(sites.h)
    ends = nearest(sites, before), nearest(sites, after)
    earlier = changes.means(K, _Steps(before.h, symbol, after.h, *ends))
    base = _base(changes.of_logits(seen.h))
    P: Array = np.repeat(base[None], K, axis=0)
    growth = 0.0
    for _ in range(_ROUNDS):
        P = earlier(P)
        growth = float(np.linalg.norm(P))
        P = P / max(growth, 1e-300)
    P, factor = np.repeat(base[None], K, axis=0), min(_MOST, _SHARE / max(growth, 1e-12))
    for _ in range(_ROUNDS):
        P = base + factor * earlier(P)
    if not np.isfinite(P).all():
        return None
    try:
        L = np.linalg.cholesky(P)
    except np.linalg.LinAlgError:  # sums have lost what makes them definite
        return None
    # the same lengths, by coordinates of which the first tell most of how states differ
    turn = np.linalg.eigh(L.swapaxes(1, 2) @ spread @ L)[1][:, :, ::-1]
    T = (L @ turn).swapaxes(1, 2)
    T = T * (changes.gain(sites.h, np.linalg.inv(T)) / 2 or 1.0)
    mean = np.linalg.cholesky((T.swapaxes(1, 2) @ T).mean(axis=0)).T
    return Metrics(
        np.concatenate([np.zeros((1, H)), sites.h]),
        np.concatenate([[-1], sites.state]),
        np.concatenate([mean[None], T]),
    )


class _Changes(Protocol):
    """What a network makes of small changes of its state."""

    most_steps: int

    def means(self, K: int, steps: _Steps) -> Callable[[Array], Array]:
        """E[J P_j J^T] of each of K sites as a function of the P_j (K, H, H)."""

    def of_logits(self, h: Array) -> Array:
        """How much each change, and each two of them, change the logits (H, H)."""

    def gain(self, h: Array, inverse: Array) -> float:
        """By how much what an activation is taken of varies over balls of radius 1, at most.

        `inverse` (K, H, H) are those of the metrics, h (K, H) their sites.
        """


class _OfElman:
    """J = Whh diag(f'(z)); what is the same of all steps between two sites is formed once."""

    most_steps = _STEPS

    def __init__(self, network: Network) -> None:
        self.Whh, self.Why = (network.weights[W].astype(np.float64) for W in ("Whh", "Why"))
        self.slope = ACTIVATIONS[network.activation].slope

    def means(self, K: int, steps: _Steps) -> Callable[[Array], Array]:
        """By the means of d d^T, d = f'(z)."""
        Whh, slopes, start, end = self.Whh, self.slope(steps.after), steps.start, steps.end
        H = len(Whh)
        order = np.argsort(start * K + end, kind="stable")
        pairs, first = np.unique((start * K + end)[order], return_index=True)
        origin, goal = np.divmod(pairs, K)
        counts = np.bincount(start, minlength=K)
        upper = np.triu_indices(H)  # the half of what is symmetric
        whole = np.zeros((H, H), np.intp)
        whole[upper] = whole.T[upper] = np.arange(len(upper[0]))
        half = np.ravel_multi_index(upper, (H, H))
        second = np.stack([(d.T @ d)[upper] for d in np.split(slopes[order], first[1:])])
        second /= counts[origin, None]
        ends = np.searchsorted(origin, np.arange(K + 1))

        def means(P: Array) -> Array:
            halves, sums = P.reshape(K, H * H).take(half, axis=1), np.zeros((K, len(half)))
            for some, begin, stop in zip(sums, ends, ends[1:], strict=False):
                np.einsum("nv,nv->v", second[begin:stop], halves[goal[begin:stop]], out=some)
            product = (sums.take(whole, axis=1).reshape(-1, H) @ Whh.T).reshape(K, H, H)
            return (product.swapaxes(1, 2).reshape(-1, H) @ Whh.T).reshape(K, H, H)

        return means

    def of_logits(self, h: Array) -> Array:
        """The same everywhere."""
        return np.asarray(self.Why @ self.Why.T)

    def gain(self, h: Array, inverse: Array) -> float:
        """Of z = h Whh."""
        return float(np.linalg.norm(inverse.swapaxes(1, 2) @ self.Whh, axis=1).max())


class _OfFormula:
    """By the affine reading."""

    def __init__(self, network: Network) -> None:
        self.network = network.astype("float32")
        self.H, self.width = len(network.start), network.hidden
        self.most_steps = min(_STEPS, max(_LEAST_STEPS, _JACOBIANS // self.H**2))

    def means(self, K: int, steps: _Steps) -> Callable[[Array], Array]:
        """From the J (E, H, H) themselves, row by row of the new state."""
        J = affine.jacobians(self.network, steps.before, steps.symbol)
        start, end = steps.start, steps.end
        order = np.argsort(start, kind="stable")
        J, end = J[order], end[order]
        ends = np.searchsorted(start[order], np.arange(K + 1))

        def means(P: Array) -> Array:
            sums, halves = np.zeros(P.shape), P.astype(J.dtype)
            for some, begin, stop in zip(sums, ends, ends[1:], strict=False):
                if begin < stop:
                    here = J[begin:stop]
                    later = halves[end[begin:stop]] @ here
                    some[:] = np.tensordot(here, later, axes=((0, 1), (0, 1))) / (stop - begin)
            return np.asarray((sums + sums.swapaxes(1, 2)) / 2)

        return means

    def of_logits(self, h: Array) -> Array:
        """The mean, of the first part of the state alone."""
        squares, width = np.zeros((self.H, self.H)), self.width
        L = affine.readouts(self.network, h[:_READOUTS, :width]).astype(np.float64)
        squares[:width, :width] = np.tensordot(L, L, axes=((0, 1), (0, 1)))
        return squares

    def gain(self, h: Array, inverse: Array) -> float:
        """Of small balls, over which the network is linear."""
        balls = _SMALL**2 * inverse @ inverse.swapaxes(1, 2)
        return affine.widest(self.network, h, balls) / _SMALL


def _base(of_logits: Array) -> Array:
    """P0: any change counts, and twice as much what the logits make of it."""
    whole = 2 * np.eye(len(of_logits))
    return np.asarray(whole + of_logits / max(1e-12, float(of_logits.trace())))


def nearest(sites: States, states: States) -> NDArray[np.intp]:
    """Of each hidden state the nearest site of the same machine state, (N,)."""
    found = np.zeros(len(states.h), np.intp)
    for q in np.unique(states.state):
        here, there = np.flatnonzero(states.state == q), np.flatnonzero(sites.state == q)
        places = sites.h[there]
        far = (places**2).sum(axis=1) - 2 * states.h[here] @ places.T
        found[here] = there[far.argmin(axis=1)]
    return found


def _sample(network: Network, words: int = 200, length: int = 25) -> tuple[States, Array]:
    """States along random words, and the covariance (H, H) of those that the machine takes as one.

    Every other word holds on to its state.
    """
    task, double = network.task, network.astype("float64")
    bits = rng.raw(0, rng.PROOF, 0, words * length * 2).reshape(words, length, 2)
    held = chains(task, length, bits[: words // 2])
    drawn = rng.below(network.symbols, bits[words // 2 :, :, 0])
    h: Array = np.repeat(double.start[None], words, axis=0)
    state, delta = np.zeros(words, np.intp), tables(task).delta.astype(np.intp)
    seen, spread = [States(h, state)], np.zeros((h.shape[1], h.shape[1]))
    for symbol in np.concatenate([held, drawn]).T:
        h, state = double.step(h, symbol), delta[state, symbol]
        seen.append(States(h, state))
        for q in np.unique(state):
            off = h[state == q] - h[state == q].mean(axis=0)
            spread += off.T @ off
    return _drawn(_joined(seen)), spread / max(1e-300, float(spread.trace()))


def _joined(parts: list[States]) -> States:
    return States(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _drawn(states: States) -> States:
    """As many as are looked at, by lot."""
    some = _lot(len(states.h))[:_STATES]
    return States(states.h[some], states.state[some])


def _lot(count: int) -> NDArray[np.intp]:
    """The numbers below `count` in an order that is drawn."""
    return np.argsort(rng.raw(0, rng.PROOF, _DRAWS, count))


def _steps(network: Network, states: States, most: int) -> tuple[States, NDArray[np.intp], States]:
    """States before a symbol, the symbol, and after it: after every symbol, or of that so many."""
    S = network.symbols
    number, symbol = np.divmod(np.sort(_lot(S * len(states.h))[:most]), S)
    before = States(states.h[number], states.state[number])
    after = network.astype("float64").step(before.h, symbol)
    state = tables(network.task).delta[before.state, symbol].astype(np.intp)
    return before, symbol, States(after, state)


def _sites(states: States, count: int, most: int) -> States:
    """Of each machine state hidden states that lie far apart: each the farthest from all before.

    Of a machine state that was not come to, any.
    """
    places, labels = [], []
    for q in range(count):
        h = states.h[states.state == q]
        if not len(h):
            h = np.zeros((1, states.h.shape[1]))
        squares = (h**2).sum(axis=1)
        chosen, far = [0], squares + squares[0] - 2 * h @ h[0]
        while len(chosen) < most and far.max() > _APART**2:
            chosen.append(int(far.argmax()))
            far = np.minimum(far, squares + squares[chosen[-1]] - 2 * h @ h[chosen[-1]])
        places.append(h[chosen])
        labels += [q] * len(chosen)
    return States(np.concatenate(places), np.array(labels))
