"""The figure of hidden space: where words lead, and the regions of a proof (`space`)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from carrynet.proof.certificate import Certificate, TreeCertificate
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
from carrynet.report.space import MOST_REGIONS, outlines, principal_plane, region_states, visited
from carrynet.runs.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


_STATES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
_MARKERS = "osD^vPX"


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
        states = region_states(certificate)
        if has_outlines(certificate):
            edges = [colours[q] for q in states]
            # fainter where they are many, since they overlap
            faces = [(edge, 0.1 * min(1, 20 / len(states))) for edge in edges]
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
    return not isinstance(certificate, TreeCertificate) or certificate.count <= MOST_REGIONS


def _state_colours(count: int) -> list[Any]:
    """A colour for each state: distinct ones where they suffice, else a ramp."""
    if count <= len(_STATES):
        return list(_STATES[:count])
    from matplotlib import colormaps

    return [colormaps["viridis"](q / (count - 1)) for q in range(count)]
