"""Figures of how margins, slacks and lengths of counterexamples of a sweep are distributed."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carrynet.report.figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from carrynet.report.sweep_labels import Caption, label_of, rate_axis, say_above, show
from carrynet.sweep.census import EDGES, LENGTHS, Census, is_numeric
from carrynet.sweep.plan import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


Places = Sequence[tuple[int, ...]]
_MOST = 6  # lines, and panels


def margins(census: Census, caption: Caption, figure: "FigureBase") -> float | None:
    """How the smallest margin of the exhaustive evaluation is distributed.

    For each margin, how many networks have a smaller one: those below 0 are wrong somewhere.
    A line for each value of the first key, a panel for each of the second.
    """
    if not census.values["exhaustive_margin"].any():
        return None
    chosen = _chosen(census, "exhaustive_margin")
    parts, named = _panels(census, chosen)
    columns = min(2, len(parts))
    rows = ceil(len(parts) / columns)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    limits = _limits(census.values["exhaustive_margin"])
    for axes, (title, part) in zip(panels, parts, strict=False):
        axes.axvline(0, color=GREY, linewidth=0.6, zorder=0)
        _distribution(axes, part, chosen, "exhaustive_margin")
        axes.set_title(title)
    for axes in panels[len(parts) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(parts) - columns) : len(parts)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("smallest margin (logits)")
    panels[0].set_xlim(min(limits[0], 0.0), max(limits[1], 0.0))
    rate_axis(panels[0], "y")
    figure.supylabel("networks with less")
    lines = say_above(figure, caption.under(census, census.keys, _of_each(census)), named)
    return 0.9 + 0.13 * lines + 1.15 * rows + _legend(figure, census, chosen)


def proof_margins(census: Census, caption: Caption, figure: "FigureBase") -> float | None:
    """How margins and slacks of the proofs are distributed, for each value of the first key."""
    proved = census.over(*census.keys[:1])
    if not proved.values["slack"].any():
        return None
    chosen = _chosen(proved, "slack")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, ("proof_margin", "slack"), strict=True):
        _distribution(axes, proved, chosen, name)
        axes.set_xlim(0, _limits(proved.values[name])[1])
        axes.locator_params(axis="x", nbins=3)
    rate_axis(panels[0], "y")
    panels[0].set_xlabel("proved margin (logits)")
    panels[1].set_xlabel("proved slack")
    panels[0].set_ylabel("proofs with less")
    count = int(proved.values["slack"].sum())
    under = f"{count:,} proofs of {caption.under(census.over(), census.keys[:1], '')}"
    lines = say_above(
        figure, under.replace("1 proofs", "1 proof", count == 1), _few(proved, chosen)
    )
    return 1.75 + 0.13 * lines + _legend(figure, proved, chosen)


def counterexamples(census: Census, caption: Caption, figure: "FigureBase") -> float | None:
    """How long counterexamples are: a row for each value of the first key."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    taken = census.over(*census.keys[:1])
    if not taken.lengths.any():
        return None
    shown = taken.lengths.any(axis=(-1, -2))
    if shown.size <= _MOST:
        shown = taken.networks > 0  # those without any too
    chosen = _spread(np.argwhere(shown))
    panels = figure.subplots(len(chosen), 1, sharex=True, squeeze=False).ravel()
    ends = np.concatenate([[0.7], LENGTHS + 0.5])
    tried = census.plan.settings.exhaustive
    for axes, place in zip(panels, chosen, strict=True):
        maybe, shortest = taken.lengths[place]
        options: dict[str, Any] = {"align": "edge", "edgecolor": "white", "linewidth": 0.3}
        widths = np.diff(ends)
        axes.bar(ends[:-1], shortest, widths, color=BLUE, label="known to be shortest", **options)
        label = "shorter ones may exist"
        axes.bar(ends[:-1], maybe, widths, bottom=shortest, color=SKY, label=label, **options)
        if tried:
            axes.axvline(tried + 0.5, color=GREY, linewidth=0.7, linestyle="--")
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        total = int(taken.lengths[place].sum())
        text = f"{_name(taken, place)}{total:,} of {taken.networks[place]:,} refuted"
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        inside = axes.transAxes
        axes.text(0.99, 0.97, text, transform=inside, ha="right", va="top", size=7, bbox=behind)
        axes.set_ylim(0, 1.3 * max(1, (maybe + shortest).max()))
    last = LENGTHS[np.flatnonzero(taken.lengths.any(axis=tuple(range(taken.lengths.ndim - 1))))[-1]]
    panels[-1].set_xscale("log", base=2)
    panels[-1].set_xlim(0.7, max(last, tried) * 1.15 + 0.5)
    powers = [2**k for k in range(20) if 2**k <= max(last, tried)]
    panels[-1].set_xticks(powers[:: ceil(len(powers) / 9)])
    panels[-1].xaxis.set_major_formatter("{x:,.0f}")
    panels[-1].xaxis.set_minor_locator(NullLocator())
    panels[-1].set_xlabel("length of the counterexample, in digits or symbols")
    if tried:
        above = panels[0].get_xaxis_transform()
        text = f"all problems of up to {tried} digits or symbols were tried"
        options = {"transform": above, "ha": "center", "va": "bottom", "color": GREY, "size": 6}
        panels[0].text(tried + 0.5, 1.02, text, **options)
    figure.supylabel("networks")
    under = caption.under(taken, taken.keys, _of_each(taken))
    lines = say_above(figure, under, _few(taken, chosen))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return 0.95 + 0.13 * lines + 0.72 * len(chosen)


def _name(census: Census, place: tuple[int, ...]) -> str:
    named = zip(census.axes, place, strict=True)
    return "".join(f"{label_of(axis.key)} {show(axis.values[i])}: " for axis, i in named)


def _distribution(axes: "Axes", census: Census, chosen: Places, name: str) -> None:
    """For each value, how many networks have a smaller one; a line for each chosen group."""
    for i, place in enumerate(chosen):
        bins = census.values[name][place]
        if not bins.any():
            continue
        share = np.concatenate([[0], bins.cumsum()]) / bins.sum()
        used = np.flatnonzero(bins)  # between the ends, and flat beyond them
        part = slice(used[0], used[-1] + 2)
        x = np.concatenate([[EDGES[0]], EDGES[part], [EDGES[-1]]])
        axes.plot(x, np.concatenate([[0], share[part], [1]]), **_line(census, i, len(chosen)))


_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, BLACK)
_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


def _line(census: Census, i: int, count: int) -> dict[str, Any]:
    """How the line of a value looks: numbers are on a ramp."""
    from matplotlib import colormaps

    style: dict[str, Any] = {"linestyle": _STYLES[i], "color": _COLOURS[i]}
    if census.axes and is_numeric(census.axes[0].values):
        style["color"] = colormaps["viridis"](0.85 * i / max(1, count - 1))
    return style


def _limits(bins: NDArray[np.int32]) -> tuple[float, float]:
    """Where all but one in a hundred values are, at each end."""
    share = bins.reshape(-1, bins.shape[-1]).sum(axis=0).cumsum()
    share = share / share[-1]
    low, high = np.searchsorted(share, [0.01, 0.99])
    low, high = float(EDGES[low]), float(EDGES[high + 1])
    room = 0.04 * (high - low)
    return low - room, high + room


def _panels(census: Census, chosen: Places) -> tuple[list[tuple[str, Census]], str]:
    """A census by the first key for each of some values of the second; and what is left out."""
    if len(census.axes) < 2:
        return [("", census)], _few(census, chosen)
    second, parts = census.axes[1], []
    for (place,) in _spread(np.arange(len(second.values))[:, None]):
        values = {name: bins[:, place] for name, bins in census.values.items()}
        title = f"{label_of(second.key)} {show(second.values[place])}"
        parts.append((title, replace(census, axes=census.axes[:1], values=values)))
    left_out = [_few(census, chosen), _some(second, len(parts))]
    return parts, "; ".join(filter(None, left_out))


def _chosen(census: Census, name: str) -> Places:
    """Some places on the first key for which there are values, or the one place without keys."""
    there = census.over(*census.keys[:1]).values[name].any(axis=-1)
    return _spread(np.argwhere(there))


def _spread(places: NDArray[np.int64]) -> Places:
    """At most six of some places (N, axes), evenly spread."""
    some = np.linspace(0, len(places) - 1, min(_MOST, len(places))).round().astype(int)
    return [tuple(place) for place in places[some].tolist()]


def _few(census: Census, chosen: Places) -> str:
    return _some(census.axes[0], len(chosen)) if census.axes else ""


def _some(axis: Axis, shown: int) -> str:
    if shown < min(_MOST, len(axis.values)) or shown == len(axis.values):
        return ""  # all of which there is something to show
    return f"{shown} of {len(axis.values):,} values of {axis.key} are shown"


def _of_each(census: Census) -> str:
    return f" for each {'value' if len(census.axes) == 1 else 'pair of values'}" * bool(census.axes)


def _legend(figure: "FigureBase", census: Census, chosen: Places) -> float:
    """Which line is which value of the first key; returns the inches that it takes."""
    from matplotlib.lines import Line2D

    if not census.axes:
        return 0.0
    labels = [show(census.axes[0].values[place[0]]) for place in chosen]
    columns = max(1, min(6, int(52 / (max(map(len, labels)) + 9))))
    figure.legend(
        handles=[
            Line2D([], [], label=label, **_line(census, i, len(chosen)))
            for i, label in enumerate(labels)
        ],
        title=label_of(census.axes[0].key),
        loc="outside lower center",
        ncols=columns,
        handlelength=2.6,
        columnspacing=1.2,
    )
    return 0.15 + 0.15 * ceil(len(labels) / columns)
