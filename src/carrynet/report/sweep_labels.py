"""What figures of a sweep say: titles, labels of axes, values, and what is counted together."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carrynet.report.figures import GREY
from carrynet.sweep.census import Census, is_numeric, key_of, written
from carrynet.sweep.plan import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


_NAMES = {
    "hidden": "hidden units",
    "steps": "updates",
    "step": "step size",
    "batch": "problems in an update",
    "digits": "digits in training",
    "init": "initial weights",
    "init_width": "width of the initial weights",
}
LETTER = 0.058  # inches, of a label


@dataclass(frozen=True)
class Caption:
    """What figures say beside what they show."""

    where: Sequence[str] = ()

    def under(self, census: Census, keys: Sequence[str], unit: str) -> str:
        """How many networks there are, and over what they are counted together."""
        done = census.networks[census.networks > 0]
        fewest, most = int(done.min()), int(done.max())
        count = f"{most:,}" if fewest == most else f"{fewest:,}-{most:,}"
        text = f"{count} network{'s' * (most > 1)}{unit}"
        total, all_done = census.trials * census.networks.size, int(census.networks.sum())
        if all_done < total:
            text += f" ({all_done:,} of {total:,} are done)"
        plan = census.plan
        fixed = {key_of(plan, condition.partition("=")[0]) for condition in self.where}
        others = [key for key in plan.varied if key not in keys and key not in fixed]
        if others:
            text += f", over all values of {_listed(others)}"
        if self.where:
            text += f"; {', '.join(self.where)} only"
        return text


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


def title_over(axes: "Axes", title: str, under: str, width: float) -> int:
    """A title and, smaller, what is said under it, in some inches; returns how many lines."""
    lines = textwrap.wrap(under, int(width / 0.044))
    axes.set_title("\n".join(lines), loc="left", size=6, color=GREY, linespacing=1.15)
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


def say_above(figure: "FigureBase", under: str, more: str = "") -> int:
    """The same where there is no title."""
    lines = textwrap.wrap("; ".join(filter(None, [under, more])), 74)
    figure.suptitle("\n".join(lines), size=6, color=GREY, x=0.01, ha="left")
    return len(lines)


def tick_cells(axes: "Axes", side: str, axis: Axis, room: float) -> None:
    """The values of an axis beside its cells, as many as there is room for."""
    labels = [show(value) for value in axis.values]
    longest = max(map(len, labels))
    every = ceil((longest + 1) * LETTER / room) if side == "x" else ceil(0.25 / room)
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


def positions(axes: "Axes", axis: Axis) -> tuple[NDArray[np.float64], bool]:
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


def rate_axis(axes: "Axes", side: str) -> None:
    """An axis of rates, from 0 to 100 %."""
    from matplotlib.ticker import PercentFormatter

    axis = axes.xaxis if side == "x" else axes.yaxis
    (axes.set_xlim if side == "x" else axes.set_ylim)(-0.02, 1.02)
    axis.set_major_formatter(PercentFormatter(1))
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1])
