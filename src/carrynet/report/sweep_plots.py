"""Figures of a sweep: rates over what its plan varies, margins, lengths of counterexamples.

Over two keys a map for each outcome, over one a curve with its band, over none a point with
its interval.  Whatever else the plan varies is counted together, and the figure says so.

    census.take(store, ("hidden", "steps"))     what is drawn; by one or two keys, or by none
    write(taken, folder)                        all of it, as files

As in `plots`, nothing here touches pyplot, and matplotlib is imported where it is needed.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carrynet.report import figures as papers
from carrynet.report.figures import BLACK, BLUE, GREEN, GREY, ORANGE, SKY, VERMILLION, WIDTH
from carrynet.report.sweep_distributions import counterexamples, margins, proof_margins
from carrynet.report.sweep_labels import (
    LETTER,
    Caption,
    label_of,
    percent,
    positions,
    rate_axis,
    say_above,
    show,
    tick_cells,
    title_over,
)
from carrynet.sweep.census import Census
from carrynet.sweep.outcomes import BY_WEIGHT, OUTCOMES

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


_LINES = {
    "right": (BLUE, "o", "-"),
    "proved": (GREEN, "s", "-"),
    "refuted_beyond": (VERMILLION, "D", "--"),
    "undecided": (ORANGE, "^", ":"),
    "diverged": (BLACK, "x", "-."),
}
"""Those that are drawn over one key and two."""


def write(
    census: Census,
    folder: Path,
    formats: Sequence[str] = ("png", "svg"),
    where: Sequence[str] = (),
) -> list[Path]:
    """Write every figure that a census has something to show for, in each of `formats`.

    `where` is what the census was restricted to.  Raises as `plots.write` does.
    """
    return papers.save(figures(census, where), folder, formats)


def figures(
    census: Census, where: Sequence[str] = ()
) -> Mapping[str, Callable[["FigureBase"], float | None]]:
    """By the names of their files."""
    caption = Caption(where)
    found: dict[str, Callable[[FigureBase], float | None]] = {}
    if len(census.axes) == 2:
        for outcome in _LINES:
            if census.happens(outcome):
                found[outcome] = partial(rate_map, census, outcome, caption)
    else:
        found["rates"] = partial(rate_curves if census.axes else rate_points, census, caption)
    return {
        **found,
        "margins": partial(margins, census, caption),
        "proof_margins": partial(proof_margins, census, caption),
        "counterexamples": partial(counterexamples, census, caption),
    }


# Rates ---------------------------------------------------------------------------------


def rate_map(census: Census, outcome: str, caption: Caption, figure: "FigureBase") -> float:
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
    beside = 1.0 + LETTER * max(len(show(value)) for value in y.values)
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
    tick_cells(axes, "x", x, width)
    tick_cells(axes, "y", y, height * 2.4)
    under = caption.under(census, census.keys, " in each cell")
    said = title_over(axes, OUTCOMES[outcome].title, under, columns * width + 0.55)
    bar = figure.colorbar(image, ax=axes, aspect=18, pad=0.03, format=PercentFormatter(1))
    bar.set_label("share of networks")
    bar.ax.set_frame_on(False)
    bar.ax.tick_params(length=2)
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1])
    return max(0.62 + 0.13 * said + rows * height, 1.7)


def rate_curves(census: Census, caption: Caption, figure: "FigureBase") -> float:
    """The rates of outcomes over one key, with their Wilson 95 % intervals."""
    (axis,) = census.axes
    axes = figure.subplots()
    at, connected = positions(axes, axis)
    groups = dict(census.groups())
    for i, (outcome, (colour, marker, style)) in enumerate(_LINES.items()):
        if not census.happens(outcome):
            continue
        places = [place for (place,) in groups]
        rates = np.array([groups[place,].rate(outcome) for place in places], np.float64)
        x, label = at[places], OUTCOMES[outcome].title
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
    rate_axis(axes, "y")
    axes.set_ylabel("networks")
    axes.set_xlabel(label_of(axis.key))
    lines = say_above(figure, caption.under(census, census.keys, " at each value"))
    figure.legend(loc="outside lower center", ncols=2, handlelength=2.4, columnspacing=1.4)
    return 2.5 + 0.13 * lines


def rate_points(census: Census, caption: Caption, figure: "FigureBase") -> float:
    """The rates of outcomes of all networks, with their Wilson 95 % intervals."""
    axes = figure.subplots()
    group = census.group()
    assert group is not None
    outcomes = [name for name in BY_WEIGHT if census.happens(name)]
    for row, outcome in enumerate(reversed(outcomes)):
        found = group.rate(outcome)
        assert found is not None
        rate, low, high = found
        colour = _LINES.get(outcome, (GREY, "", ""))[0]
        ends = [[rate - low], [high - rate]]
        axes.errorbar(rate, row, xerr=ends, fmt="o", color=colour, markersize=4, capsize=2)
        count = f"{group.counts[outcome]:,} of {group.networks:,}"
        axes.text(1.03, row, f"{percent(rate)}, {count}", va="center", size=7)
    labels = [OUTCOMES[name].title for name in reversed(outcomes)]
    axes.set_yticks(range(len(outcomes)), [textwrap.fill(label, 18) for label in labels])
    axes.set_ylim(-0.6, len(outcomes) - 0.4)
    axes.tick_params(axis="y", length=0)
    rate_axis(axes, "x")
    axes.set_xlabel("networks, with 95% interval")
    lines = say_above(figure, caption.under(census, (), ""))
    return 0.6 + 0.13 * lines + 0.34 * len(outcomes)
