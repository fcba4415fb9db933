"""Hidden space in its principal plane: where words lead, and the regions of a proof.

What is drawn is computed by functions of their own, which need only NumPy.

Shapes: N points, H hidden, V vertices, J generators.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng, words as problems
from carrynet.data.words import Words, tables
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network, unroll
from carrynet.proof.certificate import BoxCertificate, Certificate
from carrynet.proof.verdict import Proved
from carrynet.report.figures import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    legend_above,
)
from carrynet.runs.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


_STATES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
_MARKERS = "osD^vPX"

_WORDS, _LENGTH = 48, 16  # of each kind of word along which hidden states are shown
_MOST_BALLS = 400


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane in which points of hidden space vary most: (h - centre) axes^T."""

    centre: Array  #: (H,)
    axes: Array  #: (2, H) orthonormal rows; the second is 0 where H = 1
    shares: Array  #: (2,) of the variance

    def __call__(self, h: Array) -> Array:
        """Project points (..., H) to (..., 2)."""
        return (h - self.centre) @ self.axes.T


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


def visited(network: Network) -> tuple[Array, NDArray[np.int32]]:
    """Hidden states (N, H) after symbols of random words, and the machine's state (N,) at each.

    Of a state of several parts, the first.  Half of the words are uniform, half have long
    carries.  The start is left out: it is often far from where the network ever is again.
    """
    task, table, length = network.task, tables(network.task), _LENGTH + network.task.headroom
    draws = problems.draws_per_word(task, length)
    bits = rng.raw(0, rng.EVALUATION, 0, _WORDS * draws).reshape(_WORDS, draws)
    more = rng.raw(0, rng.EVALUATION + 1, 0, _WORDS * length * 2).reshape(_WORDS, length, 2)
    words: Words = np.concatenate(
        [problems.uniform(task, length, bits), problems.chains(task, length, more)]
    )
    state = np.zeros((length + 1, len(words)), np.int32)
    for t in range(length):
        state[t + 1] = table.delta[state[t], words[:, t]]
    with np.errstate(over="ignore", invalid="ignore"):
        after = unroll(network, table.vectors.astype(network.dtype)[words.T]).along(0)
    h = after.reshape(-1, network.hidden).astype(np.float64)
    # ReLU units of a network that is no good can overflow, even when they are squared
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
    projection of a ball |T (h - c)| <= r is an ellipse, {A u : |u| <= r} about the projected c
    with A = axes T^-1 of shape (2, H),
    drawn with 60 corners.
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
    A = np.linalg.solve(np.array(certificate.metric).T, plane.axes.T).T
    squares, turn = np.linalg.eigh(A @ A.T)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ellipse = circle * np.sqrt(squares.clip(0)) @ turn.T
    centres = plane(np.array(certificate.centres))
    return [c + r * ellipse for c, r in zip(centres, certificate.radii, strict=True)]


def hidden_space(run: Record, figure: "FigureBase") -> float:
    """Hidden states along random words in the plane of their two principal components.

    Coloured by the state of the task's machine, which the network is not told.  Where there
    is a proof, the outlines are the projected regions of its certificate: boxes, which after its
    first symbol no word of any length makes the network leave, or balls, to which it always comes
    back.  The start has a region of its own, most often a point.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import ListedColormap, Normalize

    task, axes = run.network.task, figure.subplots()
    h, state = visited(run.network)
    plane = principal_plane(h)
    names = task.machine.states
    colours = _state_colours(len(names))
    if isinstance(run.proof, Proved):
        certificate = run.proof.certificate
        if isinstance(certificate, BoxCertificate):
            states = [region.state for region in certificate.regions]
        else:
            states = list(certificate.states)
        if has_outlines(certificate):
            edges = [colours[q] for q in states]
            # fainter where they are many, since they overlap
            faces = [(edge, 0.12 * min(1, 20 / len(states))) for edge in edges]
            shapes = outlines(certificate, plane)
            axes.add_collection(PolyCollection(shapes, facecolors=faces, edgecolors=edges, lw=0.5))
        else:
            how = "proved" if run.proof.checked else "as recorded, proved"
            axes.set_title(f"{how} by {len(states):,} regions, which are too many to draw")
    points = plane(h)
    for q, name in enumerate(names):
        marker = _MARKERS[q] if len(names) <= len(_MARKERS) else "o"
        label = f"{task.memory} {name}"
        axes.plot(
            *points[state == q].T, marker, color=colours[q], ms=2, mew=0, alpha=0.6, label=label
        )
    begin = run.network.start[None, : run.network.hidden].astype(np.float64)
    learned = "start, learned" if begin.any() else "start, h = 0"
    axes.plot(*plane(begin).T, "+", color=BLACK, ms=5, mew=0.8, label=learned)
    axes.set_aspect("equal", adjustable="datalim")
    axes.autoscale_view()
    axes.set_xlabel(f"principal component 1 ({plane.shares[0]:.0%} of variance)")
    axes.set_ylabel(f"principal component 2 ({plane.shares[1]:.0%})")
    if len(names) <= len(_STATES):
        legend_above(axes, min(4, len(names) + 1), markerscale=1.8)
    else:
        scale = ScalarMappable(Normalize(-0.5, len(names) - 0.5), ListedColormap(colours))
        bar = figure.colorbar(scale, ax=axes, label=task.memory)
        bar.ax.tick_params(length=0)
        axes.legend([axes.lines[-1]], [learned], loc="best", handletextpad=0.2)
    return 3.1


def has_outlines(certificate: Certificate) -> bool:
    """Whether the regions are few enough to be told apart: boxes are, balls may be thousands."""
    return isinstance(certificate, BoxCertificate) or len(certificate.radii) <= _MOST_BALLS


def _state_colours(count: int) -> list[Any]:
    """A colour for each state: distinct ones where they suffice, else a ramp."""
    if count <= len(_STATES):
        return list(_STATES[:count])
    from matplotlib import colormaps

    return [colormaps["viridis"](q / (count - 1)) for q in range(count)]
