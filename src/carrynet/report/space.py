"""Hidden space in two dimensions: where a network goes, and the regions of its proof.

Points are projected to the plane in which they vary most.  The page and the figures both draw
what is computed here.

Shapes: N points, H hidden units (of a state of several parts, those of the first, which is read
out), V vertices, J generators, B words, T time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng, words as problems
from carrynet.data.words import Words, tables
from carrynet.nets.arrays import Array, in_one_thread
from carrynet.nets.bptt import unroll
from carrynet.nets.network import Network
from carrynet.proof.certificate import (
    BoxCertificate,
    Certificate,
    StateCertificate,
    TreeCertificate,
)
from carrynet.spec.task import Task

MOST_REGIONS = 600
"""More than this are not drawn: balls of a proof, and any regions in the page."""
_WORDS, _LENGTH = 48, 16  # of each kind of word along which hidden states are shown


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane in which points of hidden space vary most: (h - centre) axes^T."""

    centre: Array  #: (H,)
    axes: Array  #: (2, H) orthonormal rows; the second is 0 where H = 1
    shares: Array  #: (2,) of the variance

    def __call__(self, h: Array) -> Array:
        """Project points (..., H) to (..., 2)."""
        return (h - self.centre) @ self.axes.T


@in_one_thread  # with more, where cores are busy, it takes a hundred times as long
def principal_plane(h: Array) -> Plane:
    """The first two principal components of points (N, H)."""
    centre = h.mean(axis=0)
    _, sizes, rows = np.linalg.svd(h - centre, full_matrices=False)
    axes, variance = np.zeros((2, h.shape[1])), np.zeros(2)
    count = min(2, len(rows))
    axes[:count], variance[:count] = rows[:count], sizes[:count] ** 2
    # the sign of a component means nothing: the largest part is positive, on every machine
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1))
    axes *= np.where(signs == 0, 1, signs)
    return Plane(centre, axes, variance / max(float((sizes**2).sum()), 1e-300))


def words_shown(task: Task) -> Words:
    """Words (B, T) along which hidden states are shown: half uniform, half with long carries."""
    length = _LENGTH + task.headroom
    draws = problems.draws_per_word(task, length)
    bits = rng.raw(0, rng.EVALUATION, 0, _WORDS * draws).reshape(_WORDS, draws)
    more = rng.raw(0, rng.EVALUATION + 1, 0, _WORDS * length * 2).reshape(_WORDS, length, 2)
    return np.concatenate(
        [problems.uniform(task, length, bits), problems.chains(task, length, more)]
    )


def visited(network: Network) -> tuple[Array, NDArray[np.int32]]:
    """Hidden states (N, H) after symbols of the words, and the machine's state (N,) at each.

    The start is left out: it is often far from where the network ever is again.  So are states
    that are not numbers, or too large to be squared.
    """
    words, table = words_shown(network.task), tables(network.task)
    state = np.zeros((words.shape[1] + 1, len(words)), np.int32)
    for t in range(words.shape[1]):
        state[t + 1] = table.delta[state[t], words[:, t]]
    with np.errstate(over="ignore", invalid="ignore"):
        after = unroll(network, table.vectors.astype(network.dtype)[words.T]).along(0)
    h = after.reshape(-1, network.hidden).astype(np.float64)
    finite = (np.abs(h) < 1e100).all(axis=1)
    return h[finite], state[1:].ravel()[finite]


def zonotope(centre: Array, generators: Array) -> Array:
    """The vertices (V, 2), anticlockwise, of {centre + sum_j s_j g_j : |s_j| <= 1}.

    `generators` (J, 2) are the projected half edges of a box.  Turned into the upper
    half-plane and sorted by angle, they and then their opposites are half the sides of
    the polygon, which begins at the vertex centre - sum_j g_j.
    """
    g = generators[(generators != 0).any(axis=1)]
    downwards = (g[:, 1] < 0) | ((g[:, 1] == 0) & (g[:, 0] < 0))
    g = np.where(downwards[:, None], -g, g)
    g = g[np.argsort(np.arctan2(g[:, 1], g[:, 0]), kind="stable")]
    sides = 2 * np.concatenate([np.zeros((1, 2)), g, -g])
    return centre - g.sum(axis=0) + sides.cumsum(axis=0)[: max(1, 2 * len(g))]


def outlines(certificate: Certificate, plane: Plane) -> list[Array]:
    """The polygon (V, 2) of each region's projection to a plane.

    Of a box it is exact, a zonotope; of the state's parts a plane is in the first.  The
    projection of a ball is an ellipse, drawn with 60 corners.  Of a single state it is a point.
    """
    if isinstance(certificate, BoxCertificate):
        polygons = []
        for region in certificate.regions:
            lower, upper = (
                np.array(ends[: len(plane.centre)], np.float64) / 2**certificate.bits
                for ends in (region.lower, region.upper)
            )
            half = (upper - lower) / 2
            polygons.append(zonotope(plane(lower + half), (plane.axes * half).T))
        return polygons
    if isinstance(certificate, StateCertificate):
        states = np.array(certificate.values)[:, : len(plane.centre)]
        return list(plane(states)[:, None])
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return [centre + circle @ halves for centre, *halves in ellipses(certificate, plane)]


def ellipses(certificate: TreeCertificate, plane: Plane) -> Array:
    """The projections of balls: of each the centre and two half axes, (G, 3, 2).

    A ball |T (h - c)| <= r becomes {A u : |u| <= r} about the projected c, A = axes T^-1 of
    shape (2, D); of the state's parts a plane is in the first.
    """
    H, halves = len(plane.centre), []
    for T in certificate.metrics:
        axes = np.pad(plane.axes, ((0, 0), (0, len(T) - H)))
        A = np.linalg.solve(np.array(T).T, axes.T).T
        squares, turn = np.linalg.eigh(A @ A.T)
        halves.append(np.sqrt(squares.clip(0))[:, None] * turn.T)
    radii, centres = np.array(certificate.radii), plane(np.array(certificate.centres)[:, :H])
    scaled = radii[:, None, None] * np.array(halves)[list(certificate.metric_of)]
    return np.concatenate([centres[:, None], scaled], axis=1)


def region_states(certificate: Certificate) -> list[int]:
    """The machine's state that each region stands for."""
    if isinstance(certificate, BoxCertificate):
        return [region.state for region in certificate.regions]
    return list(certificate.states)
