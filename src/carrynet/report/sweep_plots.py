"""Figures of a sweep: rates over what its plan varies, margins, lengths of counterexamples.

Over two keys a map for each outcome, over one a curve with its band, over none a point with
its interval.  Whatever else the plan varies is counted together, and the figure says so.

    census.take(store, ("hidden", "steps"))     what is drawn; by one or two keys, or by none
    write(taken, folder)                        all of it, as files

As in `plots`, nothing here touches pyplot, and matplotlib is imported where it is needed.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carrynet.report import plots
from carrynet.report.plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, WIDTH
from carrynet.sweep.census import EDGES, LENGTHS, Census, is_numeric, written
from carrynet.sweep.plan import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

TITLES = {
    "right": "right on all problems",
    "proved": "proved for every length",
    "refuted_beyond": "right, yet refuted",
    "undecided": "undecided",
    "refuted": "refuted",
    "diverged": "diverged in training",
}
"""What figures call the outcomes."""

_LINES = {
    "right": (BLUE, "o", "-"),
    "proved": (GREEN, "s", "-"),
    "refuted_beyond": (VERMILLION, "D", "--"),
    "undecided": (ORANGE, "^", ":"),
    "diverged": (BLACK, "x", "-."),
}
"""Those that are drawn over one key and two."""
_NAMES = {
    "hidden": "hidden units",
    "steps": "updates",
    "step": "step size",
    "batch": "problems in an update",
    "digits": "digits in training",
    "init_width": "width of the initial weights",
}
_MOST = 6  # lines, and panels
_GREY = "#555555"
_LETTER = 0.058  # inches, of a label

Places = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Words:
    """What figures say beside what they show."""

    where: Sequence[str] = ()

    def under(self, census: Census, keys: Sequence[str], unit: str) -> str:
        """How many networks there are, and over what they are counted together."""
        done = census.networks[census.networks > 0]
        fewest, most = int(done.min()), int(done.max())
        count = f"{most:,}" if fewest == most else f"{fewest:,}-{most:,}"
        text = f"{count} network{'s' * (most > 1)}{unit}"
        total, all_done = census.cells * census.networks.size, int(census.networks.sum())
        if all_done < total:
            text += f" ({all_done:,} of {total:,} are done)"
        plan = census.plan
        fixed = {condition.partition("=")[0].strip() for condition in self.where}
        others = [key for key in plan.varied if key not in keys and key not in fixed]
        if others:
            text += f", over all values of {_listed(others)}"
        if self.where:
            text += f"; {', '.join(self.where)} only"
        return text


def write(
    census: Census,
    folder: Path,
    formats: Sequence[str] = ("png", "svg"),
    where: Sequence[str] = (),
) -> list[Path]:
    """Write every figure that a census has something to show for, in each of `formats`.

    `where` is what the census was restricted to.  Raises as `plots.write` does.
    """
    return plots.save(figures(census, Words(where)), folder, formats)


def figures(
    census: Census, words: Words = Words()
) -> Mapping[str, Callable[["FigureBase"], float | None]]:
    """By the names of their files."""
    found: dict[str, Callable[[FigureBase], float | None]] = {}
    if len(census.axes) == 2:
        for outcome in _LINES:
            if census.happens(outcome):
                found[outcome] = partial(rate_map, census, outcome, words)
    else:
        found["rates"] = partial(rate_curves if census.axes else rate_points, census, words)
    return {
        **found,
        "margins": partial(margins, census, words),
        "proof_margins": partial(proof_margins, census, words),
        "counterexamples": partial(counterexamples, census, words),
    }


# Rates ---------------------------------------------------------------------------------


def rate_map(census: Census, outcome: str, words: Words, figure: "FigureBase") -> float:
    """The rate of an outcome over two keys: equal cells, each with its rate and its count."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import PercentFormatter

    x, y = census.axes
    counts, networks = census.counts[outcome].T, census.networks.T
    with np.errstate(invalid="ignore"):
        rates = np.ma.masked_invalid(counts / networks)
    axes = figure.subplots()
    # from light to dark, so that it can be read without colours too
    colours = LinearSegmentedColormap.from_list("rates", ["#ffffff", SKY, BLUE, "#001c33"])
    axes.patch.set(facecolor="#eeeeee", hatch="////", edgecolor="#bbbbbb")
    lines: dict[str, Any] = {"edgecolor": "#bbbbbb", "linewidth": 0.3} if rates.size <= 900 else {}
    image = axes.pcolormesh(rates, cmap=colours, vmin=0, vmax=1, **lines)
    rows, columns = rates.shape
    beside = 0.85 + _LETTER * max(len(show(value)) for value in y.values)
    width = (WIDTH - beside) / columns
    height = min(max(0.9 * width, 0.09), 0.42)
    if rows * height > 4.5:
        height = 4.5 / rows
    size = 6.0 if width >= 0.3 else 5.0
    if width > 4.2 * size / 72 and height > 1.3 * size / 72:
        wide = width > 0.62 * size / 72 * max(len(f"{n}/{n}") for n in networks.flat)
        both = wide and height > 2.7 * size / 72
        for (row, column), rate in np.ndenumerate(rates):
            n = int(networks[row, column])
            if not n:
                continue
            text = percent(rate) + f"\n{counts[row, column]}/{n}" * both
            colour = "#ffffff" if rate > 0.5 else BLACK
            at = (column + 0.5, row + 0.5)
            axes.text(*at, text, color=colour, size=size, ha="center", va="center")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    _ticks(axes, "x", x, width)
    _ticks(axes, "y", y, height * 2.4)
    under = words.under(census, census.keys, " in each cell")
    said = _title(axes, TITLES[outcome], under, columns * width + 0.4)
    bar = figure.colorbar(image, ax=axes, aspect=18, pad=0.03, format=PercentFormatter(1))
    bar.ax.set_frame_on(False)
    bar.ax.tick_params(length=2)
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1])
    return max(0.62 + 0.13 * said + rows * height, 1.7)


def rate_curves(census: Census, words: Words, figure: "FigureBase") -> float:
    """The rates of outcomes over one key, with their Wilson 95 % intervals."""
    (axis,) = census.axes
    axes = figure.subplots()
    at, connected = _positions(axes, axis)
    groups = dict(census.groups())
    for i, (outcome, (colour, marker, style)) in enumerate(_LINES.items()):
        if not census.happens(outcome):
            continue
        places = [place for (place,) in groups]
        rates = np.array([groups[place,].rate(outcome) for place in places], np.float64)
        x, label = at[places], TITLES[outcome]
        if connected:
            size = 3 if len(x) <= 40 else 0
            options: dict[str, Any] = {"marker": marker, "markersize": size, "linestyle": style}
            axes.plot(x, rates[:, 0], color=colour, label=label, clip_on=False, **options)
            axes.fill_between(x, rates[:, 1], rates[:, 2], color=colour, alpha=0.16, linewidth=0)
        else:
            ends = np.abs(rates[:, 1:].T - rates[:, 0])
            options = {"fmt": marker, "markersize": 3, "capsize": 1.5, "linewidth": 0.8}
            x = x + 0.14 * (i - 1.5)
            axes.errorbar(x, rates[:, 0], yerr=ends, color=colour, label=label, **options)
    _rates(axes, "y")
    axes.set_ylabel("networks")
    axes.set_xlabel(label_of(axis.key))
    lines = _above(figure, words.under(census, census.keys, " at each value"))
    figure.legend(loc="outside lower center", ncols=2, handlelength=2.4, columnspacing=1.4)
    return 2.5 + 0.13 * lines


def rate_points(census: Census, words: Words, figure: "FigureBase") -> float:
    """The rates of outcomes of all networks, with their Wilson 95 % intervals."""
    axes = figure.subplots()
    group = census.group()
    assert group is not None
    outcomes = [name for name in TITLES if census.happens(name)]
    for row, outcome in enumerate(reversed(outcomes)):
        found = group.rate(outcome)
        assert found is not None
        rate, low, high = found
        colour = _LINES.get(outcome, (_GREY, "", ""))[0]
        ends = [[rate - low], [high - rate]]
        axes.errorbar(rate, row, xerr=ends, fmt="o", color=colour, markersize=4, capsize=2)
        count = f"{group.counts[outcome]:,} of {group.networks:,}"
        axes.text(1.03, row, f"{percent(rate)}, {count}", va="center", size=7)
    labels = [TITLES[name] for name in reversed(outcomes)]
    axes.set_yticks(range(len(outcomes)), [textwrap.fill(label, 18) for label in labels])
    axes.set_ylim(-0.6, len(outcomes) - 0.4)
    axes.tick_params(axis="y", length=0)
    _rates(axes, "x")
    axes.set_xlabel("networks, with 95% interval")
    lines = _above(figure, words.under(census, (), ""))
    return 0.6 + 0.13 * lines + 0.34 * len(outcomes)


def _rates(axes: "Axes", side: str) -> None:
    """An axis of rates, from 0 to 100 %."""
    from matplotlib.ticker import PercentFormatter

    axis = axes.xaxis if side == "x" else axes.yaxis
    (axes.set_xlim if side == "x" else axes.set_ylim)(-0.02, 1.02)
    axis.set_major_formatter(PercentFormatter(1))
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1])


# Distributions -------------------------------------------------------------------------


def margins(census: Census, words: Words, figure: "FigureBase") -> float | None:
    """How the smallest margin of the exhaustive evaluation is distributed.

    For each margin, how many networks have a smaller one: at 0, how many are wrong somewhere.
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
        axes.axvline(0, color=_GREY, linewidth=0.6, zorder=0)
        _distribution(axes, part, chosen, "exhaustive_margin")
        axes.set_title(title)
    for axes in panels[len(parts) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(parts) - columns) : len(parts)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("smallest margin (logits)")
    panels[0].set_xlim(min(limits[0], 0.0), max(limits[1], 0.0))
    _rates(panels[0], "y")
    figure.supylabel("networks with less")
    lines = _above(figure, words.under(census, census.keys, _of_each(census)), named)
    return 0.9 + 0.13 * lines + 1.15 * rows + _legend(figure, census, chosen)


def proof_margins(census: Census, words: Words, figure: "FigureBase") -> float | None:
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
    _rates(panels[0], "y")
    panels[0].set_xlabel("proved margin (logits)")
    panels[1].set_xlabel("proved slack")
    panels[0].set_ylabel("proofs with less")
    count = int(proved.values["slack"].sum())
    under = f"{count:,} proofs of {words.under(census.over(), census.keys[:1], '')}"
    lines = _above(figure, under.replace("1 proofs", "1 proof", count == 1), _few(proved, chosen))
    return 1.75 + 0.13 * lines + _legend(figure, proved, chosen)


def counterexamples(census: Census, words: Words, figure: "FigureBase") -> float | None:
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
            axes.axvline(tried + 0.5, color=_GREY, linewidth=0.7, linestyle="--")
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
    panels[-1].set_xlabel("length of the counterexample")
    if tried:
        above = panels[0].get_xaxis_transform()
        text = f"all problems of up to {tried} digits or symbols were tried"
        options = {"transform": above, "ha": "center", "va": "bottom", "color": _GREY, "size": 6}
        panels[0].text(tried + 0.5, 1.02, text, **options)
    figure.supylabel("networks")
    lines = _above(figure, words.under(taken, taken.keys, _of_each(taken)), _few(taken, chosen))
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


# Words ---------------------------------------------------------------------------------


def label_of(key: str) -> str:
    """What an axis of a figure is called: `learn.steps` is 'updates (learn)'."""
    stage, _, name = key.rpartition(".")
    return _NAMES.get(name, name) + f" ({stage})" * bool(stage)


def show(value: Any) -> str:
    """A value on an axis."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = f"{value:g}" if isinstance(value, float) else written(value)
    return text if len(text) <= 18 else f"{text[:7]}...{text[-8:]}"


def percent(rate: float) -> str:
    """A rate in a cell; what is not all or none is never shown as 100 % or 0 %."""
    if 0 < rate < 0.005:
        return "<1%"
    if 0.995 <= rate < 1:
        return ">99%"
    return f"{100 * rate:.0f}%"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _title(axes: "Axes", title: str, under: str, width: float) -> int:
    """A title and, smaller, what is said under it, in some inches; returns how many lines."""
    lines = textwrap.wrap(under, int(width / 0.044))
    axes.set_title("\n".join(lines), loc="left", size=6, color=_GREY, linespacing=1.15)
    over = (0, 5 + 7.6 * len(lines))
    axes.annotate(
        title,
        (0, 1),
        xycoords="axes fraction",
        textcoords="offset points",
        xytext=over,
        size=8,
        va="bottom",
    )
    return 1 + len(lines)


def _above(figure: "FigureBase", under: str, more: str = "") -> int:
    """The same where there is no title."""
    lines = textwrap.wrap("; ".join(filter(None, [under, more])), 74)
    figure.suptitle("\n".join(lines), size=6, color=_GREY, x=0.01, ha="left")
    return len(lines)


def _ticks(axes: "Axes", side: str, axis: Axis, room: float) -> None:
    """The values of an axis beside its cells, as many as there is room for."""
    labels = [show(value) for value in axis.values]
    longest = max(map(len, labels))
    every = ceil((longest + 1) * _LETTER / room) if side == "x" else ceil(0.25 / room)
    turned = side == "x" and every > 1 and room > 0.14 and len(labels) <= 16
    if turned:
        every = 1
    places = range(0, len(labels), every)
    ticks = [place + 0.5 for place in places]
    shown = [labels[place] for place in places]
    if side == "x":
        options: dict[str, Any] = {}
        if turned:
            options = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(ticks, shown, **options)
        axes.set_xlabel(label_of(axis.key))
    else:
        axes.set_yticks(ticks, shown)
        axes.set_ylabel(label_of(axis.key))


def _positions(axes: "Axes", axis: Axis) -> tuple[NDArray[np.float64], bool]:
    """Where the values of an axis are, and whether a line may connect them."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    labels = [show(value) for value in axis.values]
    if not is_numeric(axis.values):
        turned = sum(map(len, labels)) > 44
        options: dict[str, Any] = {}
        if turned:
            options = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(labels)), labels, **options)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        return np.arange(len(labels), dtype=np.float64), False
    at = np.array(axis.values, np.float64)
    spread = np.sort(at)
    if len(at) > 2 and spread[0] > 0 and spread[-1] / spread[0] >= 8:
        even = np.ptp(np.diff(np.log(spread))) < np.ptp(np.diff(spread)) / spread[-1] * 8
        if even:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
    if len(at) <= 7:
        axes.set_xticks(at, labels)
    else:
        if axes.get_xscale() == "linear":
            whole = all(isinstance(value, int) for value in axis.values)
            axes.xaxis.set_major_locator(MaxNLocator(7, integer=whole))
        axes.xaxis.set_major_formatter("{x:,g}")
    return at, bool((np.diff(at) > 0).all())
