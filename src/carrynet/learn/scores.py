"""Linear scores that tell symbols apart by the vectors that stand for them.

Shapes: S symbols, X input.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from carrynet.errors import InputError, shorten
from carrynet.nets.arrays import Array


def scores(vectors: Array, names: Sequence[str]) -> Array:
    """For each symbol weights w_a with (x_b - x_a) w_a <= -1 for every other: (S, X).

    Of vectors on a sphere round c, as those of bits and of one-hot codes are, it is
    w_a = 2 (x_a - c) / d^2, where d is the distance to the nearest other; else the shortest w_a.

    Raises `InputError` for a symbol that no linear score tells from the others.
    """
    S, X = vectors.shape
    squares = (vectors**2).sum(axis=1)
    centre = np.linalg.lstsq(np.column_stack([2 * vectors, np.ones(S)]), squares, rcond=None)[0][:X]
    apart = squares[:, None] + squares - 2 * vectors @ vectors.T
    np.fill_diagonal(apart, np.inf)
    nearest = apart.min(axis=1, keepdims=True)
    found = np.where(nearest > 0, 2 * (vectors - centre) / np.maximum(nearest, 1e-12), 0.0)
    for a in np.flatnonzero(~_tell_apart(found, vectors)):
        found[a] = _shortest(vectors[a] - np.delete(vectors, a, axis=0))
    lost = np.flatnonzero(~_tell_apart(found, vectors)).tolist()
    if lost:
        raise InputError(
            f"no linear score tells the symbol {shorten(names[lost[0]])} from the others as they "
            "are encoded: its vector lies between theirs, or is another's; one-hot vectors never do"
        )
    return found


def _tell_apart(scores: Array, vectors: Array) -> NDArray[np.bool_]:
    """Whether each symbol's weights give every other symbol -1 or less: (S,)."""
    score = vectors @ scores.T
    score -= np.diag(score).copy()
    np.fill_diagonal(score, -1)
    return np.all(score <= -1 + _EXACT, axis=0)


_EXACT = 1e-6


def _shortest(rows: Array) -> Array:
    """The shortest w with `rows` w >= 1 (Lawson & Hanson 1974, LDP); zeros where there is none."""
    size = np.abs(rows).max(initial=0.0) or 1.0
    A = np.vstack([rows.T / size, np.ones(len(rows))])
    b = np.append(np.zeros(rows.shape[1]), 1.0)
    rest = A @ _not_negative(A, b) - b
    return rest[:-1] / -rest[-1] / size if abs(rest[-1]) > 1e-12 else np.zeros(rows.shape[1])


def _not_negative(A: Array, b: Array) -> Array:
    """The u >= 0 with the least |A u - b| (Lawson & Hanson 1974, NNLS)."""
    u = np.zeros(A.shape[1])
    used = np.zeros(A.shape[1], bool)
    for _ in range(3 * A.shape[1]):
        gain = np.where(used, -np.inf, A.T @ (b - A @ u))
        if used.all() or gain.max() <= 1e-12:
            break
        used[gain.argmax()] = True
        while used.any():
            wanted = np.zeros_like(u)
            wanted[used] = np.linalg.lstsq(A[:, used], b, rcond=None)[0]
            below = used & (wanted <= 0)
            if not below.any():
                u = wanted
                break
            step = (u[below] / (u[below] - wanted[below])).min()
            u = u + step * (wanted - u)
            used &= u > 1e-15
            u[~used] = 0.0
    return u
