"""Figures for papers: how a network learned, where it is right, and what it looks like inside.

`write` makes all that a run has something to show for.  To compose figures of one's own:

    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(plots.style()):                    # or a style of one's own
        figure = Figure(figsize=(7, 3), layout="constrained")
        left, right = figure.subfigures(1, 2)
        plots.hidden_space(run, left)
        plots.weights(run, right)
        figure.savefig("inside.svg")

Nothing here touches pyplot, and matplotlib, an optional dependency, is imported where it is
needed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from carrynet.judge.evaluation import wilson
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.proof.verdict import Proved, Refuted
from carrynet.report.error_maps import Numbers, error_maps
from carrynet.report.figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    legend_above,
    save,
    style,
)
from carrynet.report.hidden_space import hidden_space
from carrynet.report.worked import units
from carrynet.runs.record import Record
from carrynet.spec.codec import DIGITS
from carrynet.spec.task import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


__all__ = [
    "FIGURES",
    "accuracy_by_length",
    "error_maps",
    "hidden_space",
    "learning_curve",
    "style",
    "unit_order",
    "weights",
    "write",
]


def write(run: Record, folder: Path, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write every figure that the run has something to show for, in each of `formats`.

    Raises `InputError` for a format other than png, svg and pdf and where matplotlib is not
    installed, `RunError` where the folder cannot be written.
    """
    return save({name: partial(draw, run) for name, draw in FIGURES.items()}, folder, formats)


# Learning ----------------------------------------------------------------------------


def learning_curve(run: Record, figure: "FigureBase") -> float | None:
    """Error and problems right, over the problems shown; stages are marked.

    A point is a mean over the updates since the point before it.  The error is the
    tutorial's, sum_t |target - output|.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter

    if not run.metrics:
        return None
    error, right = figure.subplots(2, 1, sharex=True)
    shown = [line["problem"] for line in run.metrics]
    # an error of exactly 0 has no logarithm: a gap
    errors = np.array([line["error"] or np.nan for line in run.metrics])
    error.plot(shown, errors, color=BLUE)
    error.set_yscale("log")
    seen = errors[np.isfinite(errors)]
    close = seen.max(initial=0) < 50 * seen.min(initial=np.inf)  # within two decades or so
    error.yaxis.set_major_locator(LogLocator(subs=[1, 2, 5] if close else [1]))
    error.yaxis.set_major_formatter("{x:g}")
    error.yaxis.set_minor_formatter(NullFormatter())
    error.set_ylabel("error of a problem")
    right.plot(shown, [line["right"] for line in run.metrics], color=BLUE)
    right.set_ylim(-0.03, 1.03)
    right.yaxis.set_major_formatter(PercentFormatter(1))
    right.set_ylabel("problems right")
    both = "problems, then edges of the machine, shown" if run.recipe.edges else "problems shown"
    right.set_xlabel("edges of the machine shown" if run.recipe.specified else both)
    right.xaxis.set_major_formatter("{x:,.0f}")
    right.set_xlim(0, shown[-1])
    right.locator_params(axis="x", nbins=5)
    start = 0
    for stage, lines in groupby(run.metrics, key=lambda line: line["stage"]):
        end = list(lines)[-1]["problem"]
        if start:
            for axes in (error, right):
                axes.axvline(start, color=GREY, linewidth=0.6, linestyle="--")
        error.text(
            (start + end) / 2,
            1.02,
            stage,
            transform=error.get_xaxis_transform(),
            ha="center",
            va="bottom",
            color=GREY,
            size="small",
        )
        start = end
    figure.align_ylabels()
    return 2.8


# Accuracy ----------------------------------------------------------------------------


def accuracy_by_length(run: Record, figure: "FigureBase") -> float:
    """Problems right by length: all of some length, samples of longer ones, and the verdict.

    Only samples have intervals (Wilson, 95 %).  A proof is a line, for it holds at all
    lengths; a counterexample is marked at its length.
    """
    from matplotlib.ticker import NullLocator

    axes = figure.subplots()
    tested, lowest = run.evaluation.exhaustive, 1.0
    axes.plot(
        [tested.digits],
        [tested.right / tested.pairs],
        "s",
        color=BLACK,
        markersize=4,
        label=f"all {tested.pairs:,} problems",
    )
    lowest = min(lowest, tested.right / tested.pairs)
    looks = {"uniform": (BLUE, "o", 2**-0.12), "chains": (ORANGE, "D", 2**0.12)}
    for kind, (colour, marker, aside) in looks.items():
        parts = [part for part in run.evaluation.sampled if part.kind == kind]
        if not parts:
            continue
        share = np.array([part.right / part.pairs for part in parts])
        ends = np.array([wilson(part.right, part.pairs) for part in parts])
        axes.errorbar(
            [part.digits * aside for part in parts],
            share,
            yerr=np.abs(ends.T - share),
            fmt=marker,
            color=colour,
            markersize=3,
            capsize=1.5,
            linewidth=0.8,
            label=f"{kind} samples, 95% interval",
        )
        lowest = min(lowest, float(ends.min()))
    lengths = [tested.digits, *(part.digits for part in run.evaluation.sampled)]
    axes.set_xscale("log", base=2)
    reach = [*lengths, run.proof.digits] if isinstance(run.proof, Refuted) else lengths
    axes.set_xlim(min(reach) / 1.6, max(reach) * 1.6)
    axes.set_xticks(sorted(set(lengths)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    space = 1 - lowest
    axes.set_ylim(max(lowest - 0.1 * space, -0.02), 1 + 0.15 * space)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    axes.locator_params(axis="y", nbins=5)
    unit = units(run.network.task)[:-1]
    axes.set_xlabel(f"{unit}s of the {'operands' if run.network.task.numeric else 'words'}")
    axes.set_ylabel("problems right")
    if isinstance(run.proof, Proved):
        # it comes from the left and goes on to the right
        label = "proved for all lengths" + ", as recorded" * (not run.proof.checked)
        axes.axhline(1, color=GREEN, linewidth=1.4, zorder=0, label=label)
        axes.plot(1, 1, ">", color=GREEN, ms=4, clip_on=False, transform=axes.get_yaxis_transform())
    if isinstance(run.proof, Refuted):
        axes.axvline(run.proof.digits, color=VERMILLION, linestyle=":", zorder=0)
        axes.plot(
            [run.proof.digits],
            [0.0],
            "X",
            color=VERMILLION,
            markersize=5,
            clip_on=False,
            transform=axes.get_xaxis_transform(),
            label=f"wrong at {run.proof.digits:,} {unit + 's' * (run.proof.digits > 1)}",
        )
    legend_above(axes, 2)
    return 2.4


# Weights -----------------------------------------------------------------------------


def unit_order(network: Network) -> Numbers:
    """The hidden units by what they say: for which output most loudly, then how loudly.

    With one output neuron that is from the unit that speaks most for 1 to the one that
    speaks most against it.
    """
    Why = network.weights.Why
    output = Why.argmax(axis=1)
    return np.lexsort((-Why.max(axis=1), output))


def weights(run: Record, figure: "FigureBase") -> float:
    """All weights and biases, on one scale of colours that is centred at zero.

    Of Elman's cell, a column is a hidden unit, in the order of `unit_order`: what it hears from
    the inputs (Wxh), its bias (bh), what it hears from the units (Whh, from the row's unit, in
    the same order) and what it says to the outputs (Why, transposed), whose biases stand beside
    (by).  Of other cells each array has a panel, its units in the order of the file.
    """
    return (_elman_weights if run.network.elman else _all_weights)(run, figure)


def _elman_weights(run: Record, figure: "FigureBase") -> float:
    network, order = run.network, unit_order(run.network)
    w = network.weights
    parts = {
        "Wxh": w.Wxh[:, order],
        "bh": w.bh[None, order],
        "Whh": w.Whh[np.ix_(order, order)],
        "Why": w.Why[order].T,
        "by": w.by[:, None],
    }
    heights = _row_heights(network)
    grid = figure.add_gridspec(4, 2, height_ratios=heights, width_ratios=[_MATRIX, _BESIDE])
    places = {"Wxh": (0, 0), "bh": (1, 0), "Whh": (2, 0), "Why": (3, 0), "by": (3, 1)}
    panels = {name: figure.add_subplot(grid[place]) for name, place in places.items()}
    scale = _scale(parts.values())
    for name, axes in panels.items():
        image = axes.imshow(parts[name], **scale)
        _bare(axes)
        if name != "by":
            axes.set_ylabel(name, rotation=0, ha="right", va="center")
    panels["by"].set_title("by", fontsize=panels["Why"].yaxis.label.get_fontsize(), pad=3)
    names = _input_names(network.task)
    panels["Wxh"].set_yticks(range(len(names)), names)
    outputs = network.task.machine.outputs
    if len(w.by) > 1:
        panels["Why"].set_yticks(range(len(outputs)), outputs)
    if network.hidden <= 16:
        panels["Whh"].set_yticks(range(network.hidden), map(str, order))
        panels["Why"].set_xticks(range(network.hidden), map(str, order))
    by = "readout weight" if len(w.by) == 1 else "output, then readout weight"
    panels["Why"].set_xlabel(f"hidden units, by {by}")
    figure.align_ylabels([panels[name] for name in ("Wxh", "bh", "Whh", "Why")])
    figure.colorbar(image, ax=list(panels.values()), aspect=40, pad=0.02)
    return 0.8 + sum(heights)


def _all_weights(run: Record, figure: "FigureBase") -> float:
    """A panel for each array, three in a row, those of as many rows beside each other."""
    parts = {name: np.atleast_2d(array) for name, array in run.network.weights.items()}
    by_rows: dict[int, list[str]] = {}
    for name in sorted(parts, key=lambda name: run.network.weights[name].ndim == 1):
        by_rows.setdefault(len(parts[name]), []).append(name)
    rows = [names[i : i + 3] for names in by_rows.values() for i in range(0, len(names), 3)]
    heights = [min(max(0.12 * len(parts[names[0]]), 0.12), 0.9) for names in rows]
    grid = figure.add_gridspec(len(rows), 3, height_ratios=heights)
    panels, scale = [], _scale(parts.values())
    for row, names in enumerate(rows):
        for column, name in enumerate(names):
            panels.append(figure.add_subplot(grid[row, column]))
            image = panels[-1].imshow(parts[name], **scale)
            panels[-1].set_title(name, pad=2)
            _bare(panels[-1])
    figure.colorbar(image, ax=panels, aspect=40, pad=0.02)
    return 0.3 + sum(heights) + 0.2 * len(rows)


def _scale(parts: Iterable[Array]) -> dict[str, Any]:
    """How weights become colours: Okabe and Ito's blue and vermillion, darker to the ends."""
    from matplotlib.colors import LinearSegmentedColormap

    most = max(float(np.abs(part).max()) for part in parts) or 1.0
    ends = ["#00344f", BLUE, "#ffffff", VERMILLION, "#5e2900"]
    colours = LinearSegmentedColormap.from_list("weights", ends)
    return {"cmap": colours, "vmin": -most, "vmax": most, "aspect": "auto"}


def _bare(axes: "Axes") -> None:
    """A frame without ticks."""
    axes.spines[:].set_visible(True)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0, pad=2)


_MATRIX, _BESIDE = 2.2, 0.12  # inches that a row of H cells, and the column of by, have


def _row_heights(network: Network) -> list[float]:
    """Inches for the rows of Wxh, bh, Whh and Why: cells are square where they can be read so."""
    cell = _MATRIX / network.hidden
    one = min(max(cell, 0.1), 0.2)
    inputs, outputs = network.task.inputs, network.task.neurons
    return [max(one, inputs * min(one, 0.12)), one, _MATRIX, max(one, outputs * min(one, 0.12))]


def _input_names(task: Task) -> list[str]:
    """The network's inputs: an operand's digit; or, one-hot, which digit or symbol it is."""
    letters = "abcd"[: task.operands]
    if task.numeric and task.encoding.kind == "digits":
        return [f"{letter} = {DIGITS[digit]}" for letter in letters for digit in range(task.base)]
    if task.encoding.kind in ("digits", "one-hot"):
        return list(task.machine.symbols)
    if task.numeric and task.encoding.kind != "table" and task.inputs == task.operands:
        return list(letters)
    return [f"x{i}" for i in range(task.inputs)]


# All ---------------------------------------------------------------------------------


FIGURES: Mapping[str, Callable[[Record, "FigureBase"], float | None]] = MappingProxyType(
    {
        "learning_curve": learning_curve,
        "error_maps": error_maps,
        "accuracy_by_length": accuracy_by_length,
        "hidden_space": hidden_space,
        "weights": weights,
    }
)
"""By the name of its file.  Each draws a run into a figure or a part of one, and returns the
height in inches that suits a column's width, or None where there is nothing to show."""
