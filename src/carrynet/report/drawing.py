"""Machines drawn: states on a circle, edges as arcs, symbols and outputs written on them.

`layout` says where everything is; `svg` writes that as a picture, and the page draws it with its
own colours.  Lengths are in pixels, y grows downwards.
"""

from dataclasses import dataclass
from html import escape
from math import atan2, cos, hypot, pi, sin

from carrynet.spec.machine import Machine

_RADIUS, _LINE = 34.0, 17.0
_LETTER = 7.8  # the width of a letter of a label
_BEND = 60.0  # how far an arc is drawn aside, where there is one back

Point = tuple[float, float]


@dataclass(frozen=True)
class Edge:
    """All symbols that lead from one state to another."""

    start: int  #: a state
    end: int  #: another, or the same
    symbols: tuple[int, ...]
    path: str  #: as SVG writes curves
    at: Point  #: the middle of the label, which has a line for each symbol


@dataclass(frozen=True)
class Layout:
    """Where the parts of a drawing are."""

    radius: float  #: of a state
    line: float  #: from one line of a label to the next
    places: tuple[Point, ...]  #: of the states
    edges: tuple[Edge, ...]
    arrow: str  #: the path of the arrow to the start
    box: tuple[float, float, float, float]  #: left, top, width and height of it all
    lines: int  #: so many symbols of an edge are written, and then how many more there are


def layout(machine: Machine, lines: int = 8) -> Layout:
    """Where the states and edges of a machine are, the first on the left, clockwise."""
    count = len(machine.states)
    joined = machine.edges()
    texts = {(q, r): machine.labels(q, symbols, lines) for q, r, symbols in joined}
    widest = _LETTER * max(len(line) for label in texts.values() for line in label)
    ring = 0.0 if count == 1 else max(60.0 + widest, 150.0, 46.0 * count)
    places = tuple(_away((0, 0), ring, pi + 2 * pi * q / count) for q in range(count))
    # the start's arrow comes from where no loop is
    turn = 0.0 if count <= 2 else pi / 4
    tail = _away(places[0], 2.3 * _RADIUS, turn + pi)
    arrow = f"M{_written(tail)} {_written(_away(places[0], _RADIUS, turn + pi))}"
    # where many edges cross in the middle, labels stand before it
    along = 0.5 if count <= 4 else 0.36
    edges, corners = [], [tail]
    for q, r, symbols in joined:
        label = texts[q, r]
        half = _LETTER * max(map(len, label)) / 2, _LINE * len(label) / 2
        if q == r:
            path, at = _loop(places[q], half, upwards=count <= 2)
        else:
            bend = _BEND if (r, q) in texts else 0.0
            path, at = _arc(places[q], places[r], half, bend, along)
        edges.append(Edge(q, r, symbols, path, at))
        corners += [
            (at[0] + sx * half[0], at[1] + sy * half[1]) for sx in (-1, 1) for sy in (-1, 1)
        ]
    corners += [(x + s * _RADIUS, y + s * _RADIUS) for x, y in places for s in (-1, 1)]
    margin = _LINE / 2
    left, top = (min(corner[k] for corner in corners) - margin for k in (0, 1))
    right, bottom = (max(corner[k] for corner in corners) + margin for k in (0, 1))
    box = left, top, right - left, bottom - top
    return Layout(_RADIUS, _LINE, places, tuple(edges), arrow, box, lines)


def svg(machine: Machine) -> str:
    """A drawing that needs nothing else: it follows the reader's light or dark scheme."""
    made = layout(machine)
    parts = [_path(made.arrow)]
    for edge in made.edges:
        texts = machine.labels(edge.start, edge.symbols, made.lines)
        x, top = edge.at[0], edge.at[1] + 5 - _LINE * (len(texts) - 1) / 2
        spans = "".join(
            f'<tspan x="{x:.1f}" y="{top + i * _LINE:.1f}">{escape(line)}</tspan>'
            for i, line in enumerate(texts)
        )
        parts += [_path(edge.path), f"<text>{spans}</text>"]
    for (x, y), name in zip(made.places, machine.states, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS:g}"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 5:.1f}" class="state">{escape(name)}</text>')
    box = " ".join(f"{length:.0f}" for length in made.box)
    return "\n".join([_HEAD.format(box=box, width=made.box[2]), *parts, "</svg>\n"])


_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{width:.0f}" role="img">
<title>A Mealy machine; edges are labelled symbol / output</title>
<style>
svg {{ color: #1a1a1a; background: #ffffff; font: 13px sans-serif; }}
@media (prefers-color-scheme: dark) {{ svg {{ color: #e8e8e8; background: #1b1b1b; }} }}
path, circle {{ fill: none; stroke: currentColor; stroke-width: 1.5; }}
text {{ fill: currentColor; stroke: #ffffff; stroke-width: 4px; paint-order: stroke;
text-anchor: middle; }}
.state {{ font-weight: bold; }}
@media (prefers-color-scheme: dark) {{ text {{ stroke: #1b1b1b; }} }}
.head {{ fill: currentColor; }}
</style>
<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
orient="auto-start-reverse"><path class="head" d="M0 0 10 5 0 10z"/></marker></defs>"""


def _path(d: str) -> str:
    return f'<path d="{d}" marker-end="url(#head)"/>'


def _away(place: Point, distance: float, turn: float) -> Point:
    """The point so far from a place, by an angle that grows clockwise from the right."""
    return place[0] + distance * cos(turn), place[1] + distance * sin(turn)


def _written(*points: Point) -> str:
    return " ".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _arc(start: Point, end: Point, half: Point, bend: float, along: float) -> tuple[str, Point]:
    """A curve from rim to rim, drawn aside to the left by a bend, and its label's place.

    The label, of which `half` is half the width and half the height, stands clear of the curve,
    so far along it, from 0 to 1.
    """
    length = hypot(end[0] - start[0], end[1] - start[1])
    control = (
        (start[0] + end[0]) / 2 + bend * (end[1] - start[1]) / length,
        (start[1] + end[1]) / 2 + bend * (start[0] - end[0]) / length,
    )
    a, b = _rim(start, control), _rim(end, control)
    # B(t) = (1 - t)^2 a + 2 t (1 - t) c + t^2 b, and the direction of B'(t)
    t = along
    x, y = (
        (1 - t) ** 2 * p + 2 * t * (1 - t) * c + t**2 * q
        for p, c, q in zip(a, control, b, strict=True)
    )
    dx, dy = ((1 - t) * (c - p) + t * (q - c) for p, c, q in zip(a, control, b, strict=True))
    nx, ny = dy / hypot(dx, dy), -dx / hypot(dx, dy)
    out = 8 + half[0] * abs(nx) + half[1] * abs(ny)
    return f"M{_written(a)}Q{_written(control, b)}", (x + nx * out, y + ny * out)


def _loop(place: Point, half: Point, *, upwards: bool) -> tuple[str, Point]:
    """An edge from a state to itself, on the side away from the others, and its label's place."""
    turn = -pi / 2 if upwards else atan2(place[1], place[0])
    a, b, c, d = (
        _away(place, distance * _RADIUS, turn + angle)
        for distance, angle in ((1, -0.5), (1, 0.5), (3.1, -0.62), (3.1, 0.62))
    )
    far = 2.45 * _RADIUS + 8 + half[0] * abs(cos(turn)) + half[1] * abs(sin(turn))
    return f"M{_written(a)}C{_written(c, d, b)}", _away(place, far, turn)


def _rim(centre: Point, towards: Point) -> Point:
    """The point of a state's rim that faces another."""
    return _away(centre, _RADIUS, atan2(towards[1] - centre[1], towards[0] - centre[0]))
