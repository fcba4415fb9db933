"""Ellipsoids in doubles, with bounds on every rounding error: the arithmetic of `check_trees`.

An ellipsoid is {c + x}, c and the matrix Q exact doubles, with |v . x|^2 <= v Q v for every vector
v; Q is symmetric, but for a rounding error, of which every bound below has more than enough.  Q may
always be made larger, and so every rounding error is put on its diagonal.  In doubles, u = 2^-53, a
sum of n products in any order is off by at most g(n) times the sum of their magnitudes,
g(n) = n u / (1 - n u) (Higham 2002, section 3.1), and

    |Q_ij| <= q_i q_j, q_i = Q_ii^1/2; so for a matrix M, each entry of M^T Q M as computed is off
    by at most g(2 H) m_i m_j, m = |M|^T q; and a symmetric error E with |E_ij| <= g m_i m_j has
    y E y <= g (sum |y_i| m_i)^2 <= g H sum y_i^2 m_i^2: it is covered by g H m_i^2 on the diagonal.

Each ellipsoid is measured by a metric T of its own, |T x| the length of x, P = T^T T.

Shapes: N ellipsoids, H dimensions.
"""

from math import isfinite
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import NDArray

from carrynet.proof.certificate import require
from carrynet.proof.model import Matrix

Array = NDArray[np.float64]

U = 2.0**-53
UP, DOWN = 1 + 1e-12, 1 - 1e-12  # outward, for a few operations and sums of up to 4,000 terms
LEAST = 1e-250  # on every diagonal, for whatever underflows
NEAREST = 1e-6  # of the radius: an ellipsoid that is nearer to a ball's centre counts as so far


def gamma(n: int) -> float:
    """What a sum of n products is off by, as a part of their magnitudes; rounded up."""
    return n * U / (1 - n * U) * UP


def symmetric(M: Array) -> Array:
    """The means of matrices and their transposes: exactly symmetric."""
    twice = M + np.swapaxes(M, -1, -2)
    twice /= 2  # in place: this is much of what a word takes
    return twice


def balls(T: Array) -> tuple[Array, Array]:
    """The matrices of the balls |T x| <= 1, or of more, and of less, (K, H, H) each.

    A ball is all x with |v . x|^2 <= v T^-1 T^-T v for every v.  X is taken to be the inverse, and
    not trusted: with R = 1 - T X, whose norm is r or less, T^-1 is X (1 - R)^-1, so that

        |X^T v| / (1 + r)  <=  |T^-T v|  <=  |X^T v| / (1 - r)

    r^2 is the product of the largest sums of a row and of a column of |R|.  X X^T as computed is
    off by at most g(H) x_i x_j, x_i the norms of X's rows, which H g(H) x_i^2 on the diagonal
    covers.  Raises `Rejected` where r is not below 1/2.
    """
    H, diagonal = T.shape[1], np.arange(T.shape[1])
    try:
        X = np.linalg.inv(T)
    except np.linalg.LinAlgError:
        X = np.full_like(T, np.nan)
    R = np.abs(np.eye(H) - T @ X) + gamma(H + 2) * (np.abs(T) @ np.abs(X) + np.eye(H)) * UP
    r = np.sqrt(R.sum(axis=1).max(axis=1) * R.sum(axis=2).max(axis=1)) * UP + LEAST
    require((r < 0.5).all(), "a metric cannot be inverted")
    squares: Array = symmetric(np.asarray(X @ np.swapaxes(X, 1, 2)))
    # four times as much, for what is off in what follows
    off = 4 * H * gamma(H + 2) * (X**2).sum(axis=2) * UP
    outer, inner = squares.copy(), squares
    outer[:, diagonal, diagonal] += off
    inner[:, diagonal, diagonal] -= off
    outer, inner = outer / ((1 - r) ** 2)[:, None, None], inner / ((1 + r) ** 2)[:, None, None]
    outer[:, diagonal, diagonal] += LEAST
    return outer, inner


def congruent(Q: Array, M: Array) -> Array:
    """M^T Q M and its rounding errors, on the diagonal: (N, H, H)."""
    H = len(M)
    size = np.sqrt(np.diagonal(Q, axis1=1, axis2=2)) @ np.abs(M) * UP
    product = symmetric(M.T @ (Q @ M))
    diagonal = np.arange(H)
    product[:, diagonal, diagonal] += 2 * gamma(2 * H + 8) * H * size**2 + LEAST
    return product


def halves(centre: Array, Q: Array, axis: Array) -> tuple[Array, Array]:
    """Ellipsoids that hold the two halves of others, where axis . x is positive and where not.

    `axis` (N, H) are exact.  Returns centres (N, 2, H), and matrices (N, H, H), one for both.

    With b = Q a, t = a Q a and q = b / t^1/2 the first half lies in {c + m q + y}, y y^T <= Q',

        Q' = (1 - m)^2 / (1 - 2 m) (Q - 2 m q^T q),    0 <= m < 1/2;  here 25/16 (Q - 3/4 q^T q)

    for in coordinates in which Q is 1 and q the first unit vector x_1 is between 0 and 1, and

        (x_1 - m)^2 + (1 - 2 m) (1 - x_1^2)  =  (1 - m)^2 - 2 m x_1 (1 - x_1)

    The ellipsoid method (Groetschel, Lovasz and Schrijver 1988, section 3.1) has that m for which
    the volume is least; here long ones are to become short.

    Rounding: n = sum q_i |a_i|, q_i = Q_ii^1/2, and w = n^2 / t, which is 1 at least.  Then b_i is
    off by g(H) q_i n, t by g(2 H + 2) n^2, and as |b_i| <= q_i t^1/2, entries of Q' are by less
    than 2 l q_i q_j, l = g(8 H + 16) w, if that is small, which 2 H l q_i^2 on the diagonal covers;
    as much again covers the rest.  Centres are off by e_i, less than l q_i + 4 u |c_i|, and
    (1 + r) Q' + (1 + 1/r) H diag(e^2) holds what is moved so far; r = 1e-9.  Raises `Rejected`
    where l is not small.
    """
    H, diagonal = centre.shape[1], np.arange(centre.shape[1])
    size = np.sqrt(np.diagonal(Q, axis1=1, axis2=2)) * UP
    b = times(Q, axis)
    t = (b * axis).sum(axis=1)
    lost = gamma(8 * H + 16) * ((size * np.abs(axis)).sum(axis=1) * UP) ** 2 / t * (1 + 1e-3)
    require(((t > 0) & (lost < 1e-4)).all(), "an axis that a word has no extent along")
    q = b / np.sqrt(t)[:, None]
    parts: Array = 3 / 4 * q[:, :, None] * q[:, None]
    np.subtract(Q, parts, out=parts)
    parts *= 25 / 16
    parts = symmetric(parts)
    off = (lost[:, None] * size + 4 * U * np.abs(centre)) * UP
    parts *= 1 + 1e-9
    of_rounding = 4 * H * lost[:, None] * size**2 + 2e9 * H * off**2
    parts[:, diagonal, diagonal] += of_rounding * UP + LEAST
    return np.stack([centre + 3 / 8 * q, centre - 3 / 8 * q], axis=1), parts


def times(M: Array, v: Array) -> Array:
    """M v, of N matrices and vectors."""
    return np.asarray((M @ v[:, :, None])[:, :, 0])


def distances(P: Array, d: Array, radius: Array) -> tuple[Array, Array]:
    """Upper bounds of |T d| (N,), for d that are differences of two doubles; at least a little.

    |T d|^2 = d P d is off by g(2 H + 4) s^2 at most, s = sum |d_i| t_i and t the norms of T's
    columns, P as it is computed by g(H) t_i t_j.  Also P d (N, H), for `reaches`.
    """
    H, t = d.shape[1], np.sqrt(np.diagonal(P, axis1=1, axis2=2)) * UP
    v = times(P, d)
    lost = gamma(4 * H + 8) * ((np.abs(d) * t).sum(axis=1) * UP) ** 2
    far = np.sqrt(np.maximum((v * d).sum(axis=1), 0) + lost) * UP
    return np.maximum(far, NEAREST * radius), v


def reaches(P: Array, shape: Array, d: Array, v: Array, far: Array) -> Array:
    """Upper bounds of |T (x + d)|^2 over ellipsoids {x} whose matrices are Q, (N,).

    With v = P d.

    For every p > 0 they are the largest eigenvalues of

        T ((1 + p) Q + (1 + 1/p) d^T d) T^T

    at most, and so the roots of the sums of squares of its entries:

        (1 + p)^2 tr(Q P Q P) + 2 (1 + p) (1 + 1/p) d P Q P d^T + (1 + 1/p)^2 |T d|^4

    |T d| <= far.  With t the norms of T's columns, m = sum q_i t_i and s = sum |d_i| t_i, the
    entries of Q P are at most q_i m t_j, of P d s t_i, and off by g(2 H + 4) times as much, P as it
    is computed by no more than g(H) t_i t_j.
    """
    H, t = d.shape[1], np.sqrt(np.diagonal(P, axis1=1, axis2=2)) * UP
    m2 = ((np.sqrt(np.diagonal(shape, axis1=1, axis2=2)) * t).sum(axis=1) * UP) ** 2
    s2 = ((np.abs(d) * t).sum(axis=1) * UP) ** 2
    A = shape @ P
    squares = np.maximum(np.einsum("nij,nji->n", A, A), 0)
    squares = squares + 2 * gamma(H * H + 4 * H + 16) * m2**2 + LEAST
    along = np.maximum(((v[:, None] @ shape)[:, 0] * v).sum(axis=1), 0)
    along = along + 2 * gamma(6 * H + 16) * m2 * s2 + LEAST
    p = far / np.sqrt(np.sqrt(squares))
    of_Q, of_d = 1 + p, (1 + 1 / p) * far**2
    entries = of_Q**2 * squares + 2 * of_Q * (1 + 1 / p) * along + of_d**2
    bounds: Array = np.sqrt(entries * UP) * UP
    return bounds


def lie_inside(
    T: Array, inner: Array, place: Array, shape: Array, centre: Array, radius: Array
) -> NDArray[np.bool_]:
    """Whether ellipsoids lie in balls |T (h - centre)| <= radius.

    `inner` (N, H, H) are those of balls of radius 1, or of less.

    With B = T^-1 T^-T and d = place - centre an ellipsoid does if, for some p > 0,

        M = radius^2 B - (1 + p) Q - (1 + 1/p) d^T d

    is positive semidefinite: for |v . (x + d)|^2 <= (1 + p) v Q v + (1 + 1/p) (v . d)^2.  Any p
    will do; here 1/p = radius / |T d| - 1.  The terms of M_ij add up to at most m_i m_j in
    magnitude, m_i^2 those of M_ii.

    M is taken to be L L^T + s H m^2 on the diagonal, and L is not trusted to be what a solver says
    it is: whatever it is, with R = M - s H m^2 - L L^T,

        y M y >= s H sum m_i^2 y_i^2 - sum |R_ij| |y_i| |y_j|

    and R_ij^2 <= R_i R_j, R_i the largest of |R_ij|, so that the last sum is at most
    H sum R_i y_i^2: enough is R_i <= s m_i^2, with what R and M are off by in R_i.
    """
    H, diagonal = place.shape[1], np.arange(place.shape[1])
    if not len(place):
        return np.ones(0, dtype=bool)
    d = place - centre
    far = np.maximum(np.linalg.norm(times(T, d), axis=1), NEAREST * radius)
    p = far / np.where(far < radius, radius - far, np.nan)
    of_B, of_Q, of_d = radius**2 * DOWN, (1 + p) * UP, (1 + 1 / p) * UP
    M = of_B[:, None, None] * inner
    M -= of_Q[:, None, None] * shape
    M -= (of_d[:, None] * d)[:, :, None] * d[:, None]
    size = of_B[:, None] * np.diagonal(inner, axis1=1, axis2=2) + of_d[:, None] * d**2
    size = (size + of_Q[:, None] * np.diagonal(shape, axis1=1, axis2=2)) * UP  # m^2
    spare = 4 * gamma(H + 16)  # s
    M[:, diagonal, diagonal] -= spare * H * size
    L = _factors(M)
    left = np.abs(M - L @ np.swapaxes(L, 1, 2)).max(axis=2) * UP
    # L L^T is off by g(H) |L_i| |L_j|, the difference by u of itself, M by g(12) m_i m_j
    left += (gamma(H + 4) * (L**2).sum(axis=2) + gamma(12) * size) * UP + LEAST
    inside: NDArray[np.bool_] = (left < spare * size).all(axis=1)
    return inside


def _factors(M: Array) -> Array:
    """Cholesky's factors; of those that have none, what is not a number."""
    try:
        return np.asarray(np.linalg.cholesky(M), dtype=np.float64)
    except np.linalg.LinAlgError:
        if len(M) == 1:
            return np.full_like(M, np.nan)
        half = len(M) // 2
        return np.concatenate([_factors(M[:half]), _factors(M[half:])])


def exact(rows: Matrix, height: int, width: int) -> Array:
    """Finite numbers of a certificate or a model, of this shape; raises `Rejected`."""
    require(len(rows) == height and all(len(row) == width for row in rows), "a shape")
    numbers = [[float(x) for x in row] for row in rows]
    require(all(isfinite(x) for row in numbers for x in row), "a number that is not finite")
    return np.array(numbers).reshape(height, width)


def enclosed(balls: Any) -> tuple[Array, Array]:
    """Nested lists of `arb` as doubles, and what these may be off by."""
    if not isinstance(balls, arb):
        middles, errors = zip(*(enclosed(ball) for ball in balls), strict=True)
        return np.array(middles), np.array(errors)
    middle = float(balls.mid())
    return np.array(middle), np.array(float(abs(balls - arb(middle)).upper()) * UP)
