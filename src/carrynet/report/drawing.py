"""Machines as SVG: states on a circle, edges as arcs, symbols and outputs written on them."""

from html import escape
from math import atan2, cos, hypot, pi, sin

from carrynet.spec.machine import Machine

_RADIUS, _LINE = 26.0, 15.0  # of a state, and between lines of a label

Point = tuple[float, float]


def svg(machine: Machine) -> str:
    """A drawing that needs nothing else: it follows the reader's light or dark scheme."""
    count = len(machine.states)
    labels = [label for _, _, label in machine.edges()]
    tallest = max(label.count("; ") + 1 for label in labels) * _LINE
    widest = 7.5 * max(len(part) for label in labels for part in label.split("; "))
    ring = 0.0 if count == 1 else max(60.0 + widest, 30.0 * count)
    loop = 3 * _RADIUS + 16 + tallest
    left = ring + 3 * _RADIUS + widest
    above, below = (loop, 3 * _RADIUS + tallest) if count <= 2 else (ring + loop,) * 2
    # from the left, clockwise
    places = [
        (-ring * cos(2 * pi * q / count), -ring * sin(2 * pi * q / count)) for q in range(count)
    ]
    joined = {(q, r) for q, r, _ in machine.edges()}
    # the start's arrow comes from where no loop is
    parts = [_arrow(places[0], 0.0 if count <= 2 else pi / 4)]
    for q, r, label in machine.edges():
        if q == r:
            parts.append(_loop(places[q], label, count))
        else:
            parts.append(_arc(places[q], places[r], label, bent=(r, q) in joined or count == 2))
    for (x, y), name in zip(places, machine.states, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS:g}"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 5:.1f}" class="state">{escape(name)}</text>')
    box = f"{-left:.0f} {-above:.0f} {2 * left:.0f} {above + below:.0f}"
    return "\n".join([_HEAD.format(box=box, width=2 * left), *parts, "</svg>\n"])


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


def _arrow(place: Point, turn: float) -> str:
    """A short arrow from nowhere to the rim of a state, downwards by an angle."""
    (x, y), c, s = place, cos(turn), sin(turn)
    start, end = 2.4 * _RADIUS, _RADIUS
    return _path(f"M{x - start * c:.1f} {y - start * s:.1f} {x - end * c:.1f} {y - end * s:.1f}")


def _arc(start: Point, end: Point, label: str, *, bent: bool) -> str:
    """A curve from rim to rim, to the left of its direction where it is bent."""
    (x0, y0), (x1, y1) = start, end
    length = hypot(x1 - x0, y1 - y0)
    normal = (y1 - y0) / length, (x0 - x1) / length
    bend = 46.0 if bent else 0.0
    middle = (x0 + x1) / 2 + bend * normal[0], (y0 + y1) / 2 + bend * normal[1]
    a, b = _rim(start, middle), _rim(end, middle)
    out = (bend / 2 + 8.0 + _LINE * label.count("; ") / 2) * 1.0
    at = (x0 + x1) / 2 + normal[0] * (out + 8), (y0 + y1) / 2 + normal[1] * (out + 8)
    curve = f"M{a[0]:.1f} {a[1]:.1f} Q{middle[0]:.1f} {middle[1]:.1f} {b[0]:.1f} {b[1]:.1f}"
    return _path(curve) + _label(at, label)


def _loop(place: Point, label: str, count: int) -> str:
    """An edge from a state to itself, on the side away from the others."""
    x, y = place
    turn = -pi / 2 if count <= 2 else atan2(y, x)
    a, b = ((x + _RADIUS * cos(turn + s), y + _RADIUS * sin(turn + s)) for s in (-0.5, 0.5))
    c, d = ((x + 3 * _RADIUS * cos(turn + s), y + 3 * _RADIUS * sin(turn + s)) for s in (-0.6, 0.6))
    lines = label.count("; ") + 1
    far = 2.6 * _RADIUS + 10 + _LINE * lines / 2
    at = x + far * cos(turn), y + far * sin(turn)
    curve = (
        f"M{a[0]:.1f} {a[1]:.1f} C{c[0]:.1f} {c[1]:.1f} {d[0]:.1f} {d[1]:.1f} {b[0]:.1f} {b[1]:.1f}"
    )
    return _path(curve) + _label(at, label)


def _rim(centre: Point, towards: Point) -> Point:
    length = hypot(towards[0] - centre[0], towards[1] - centre[1])
    part = _RADIUS / length
    return (
        centre[0] + part * (towards[0] - centre[0]),
        centre[1] + part * (towards[1] - centre[1]),
    )


def _label(at: Point, label: str) -> str:
    lines = label.split("; ")
    top = at[1] + 5 - _LINE * (len(lines) - 1) / 2
    spans = "".join(
        f'<tspan x="{at[0]:.1f}" y="{top + i * _LINE:.1f}">{escape(line)}</tspan>'
        for i, line in enumerate(lines)
    )
    return f"<text>{spans}</text>"
