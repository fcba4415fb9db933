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
needed.  What is drawn is computed by functions of their own, which need only NumPy.

Shapes: N points, H hidden, X input, Y output, V vertices, J generators.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carrynet import files
from carrynet.data.words import tables
from carrynet.engines.reference import judge
from carrynet.errors import InputError, unknown
from carrynet.judge.evaluation import wilson
from carrynet.nets.arrays import Array, in_one_thread, rows_of
from carrynet.nets.network import Network
from carrynet.proof.certificate import BoxCertificate, Certificate
from carrynet.proof.verdict import Proved, Refuted
from carrynet.report.space import outlines, principal_plane, region_states, visited
from carrynet.report.text import units
from carrynet.runs.record import Record
from carrynet.spec.codec import DIGITS
from carrynet.spec.task import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

Numbers = NDArray[np.int64]

WIDTH = 3.4
"""Inches: one column of a paper."""

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
"""The colours of Okabe and Ito (2008), which colour-blind readers can tell apart."""

_GREY = "#666666"
_STATES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)  # yellow is too faint on white
_MARKERS = "osD^vPX"
_METADATA: Mapping[str, Mapping[str, None]] = MappingProxyType(
    {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
)
"""By format; without dates, so that equal figures have equal files."""


def style() -> dict[Any, Any]:
    """Settings of matplotlib's for a figure of one column."""
    return {
        "figure.dpi": 200,
        "savefig.dpi": 200,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],  # the first comes with matplotlib
        "font.size": 8,
        "text.parse_math": False,  # a $ in a name is a $
        "axes.titlesize": 7,
        "axes.labelsize": 8,
        "figure.titlesize": 8,
        "figure.labelsize": 8,
        "legend.fontsize": 7,
        "legend.title_fontsize": 7,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.minor.width": 0.4,
        "ytick.minor.width": 0.4,
        "lines.linewidth": 1.0,
        "legend.frameon": False,
        "svg.fonttype": "none",  # text stays text
        "pdf.fonttype": 42,
        "svg.hashsalt": "carrynet",  # equal figures have equal files
    }


def write(run: Record, folder: Path, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write every figure that the run has something to show for, in each of `formats`.

    Raises `InputError` for a format other than png, svg and pdf and where matplotlib is not
    installed, `RunError` where the folder cannot be written.
    """
    return save({name: partial(draw, run) for name, draw in FIGURES.items()}, folder, formats)


def require_library() -> None:
    """Raise `InputError` where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError(
            "figures need matplotlib, which is not installed: pip install 'carrynet[plots]'"
        ) from None


def save(
    figures: Mapping[str, Callable[["Figure"], float | None]],
    folder: Path,
    formats: Sequence[str],
) -> list[Path]:
    """Draw figures, by the names of their files, and write them; see `write`.

    Each draws into what it is given and returns its height, or None to be left out.
    """
    for form in formats:
        if form not in _METADATA:
            raise unknown("format", form, _METADATA)
    require_library()
    import matplotlib
    from matplotlib.figure import Figure

    files.guard(folder, folder.mkdir, parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's own settings are
        matplotlib.rcParams.update(style())
        for name, draw in figures.items():
            figure = Figure(layout="constrained")
            height = draw(figure)
            if height is None:
                continue
            figure.set_size_inches(WIDTH, height)
            figure.draw_without_rendering()  # which lays it out, once and alike for all formats
            figure.set_layout_engine("none")
            for form in formats:
                data = io.BytesIO()
                figure.savefig(data, format=form, metadata=dict(_METADATA[form]))
                written.append(folder / f"{name}.{form}")
                files.write(written[-1], data.getvalue())
    return written


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
    right.set_xlabel("problems shown")
    right.xaxis.set_major_formatter("{x:,.0f}")
    right.set_xlim(0, shown[-1])
    right.locator_params(axis="x", nbins=5)
    start = 0
    for stage, lines in groupby(run.metrics, key=lambda line: line["stage"]):
        end = list(lines)[-1]["problem"]
        if start:
            for axes in (error, right):
                axes.axvline(start, color=_GREY, linewidth=0.6, linestyle="--")
        error.text(
            (start + end) / 2,
            1.02,
            stage,
            transform=error.get_xaxis_transform(),
            ha="center",
            va="bottom",
            color=_GREY,
            size="small",
        )
        start = end
    figure.align_ylabels()
    return 2.8


# Errors ------------------------------------------------------------------------------

_MOST_NUMBERS = 256  # on a side of a map
_MOST_FLOATS = 2**24  # in the hidden states of a map's words
_MOST_MAPS = 6
_FEW = 16  # wrong problems, which are ringed
_SEEN = 64  # numbers on a side up to which they are seen without


def map_digits(network: Network, digits: int) -> int:
    """Digits of the numbers on a map: up to `digits`, as far as 256 numbers to a side allow.

    Fewer for networks so large that so many of their hidden states need much memory.
    """
    base, shown = network.task.base, min(2, network.task.operands)
    longest = 1
    while (
        base ** (shown * (longest + 1)) <= _MOST_NUMBERS**2
        and base ** (shown * (longest + 1)) * network.hidden <= _MOST_FLOATS
    ):
        longest += 1
    return min(digits, longest)


@in_one_thread
@np.errstate(over="ignore", invalid="ignore")
def wrong_digits(network: Network, digits: int) -> Numbers:
    """How many digits of the network's answer are wrong, for each problem of some length.

    Two operands: entry [a, b] is of the problem (a, b), shape (base^digits, base^digits).
    More operands: the same with all but the first two 0.  One: entry [i, j] is of the number
    whose upper digits are i and lower digits are j, the lower half of its digits.

    As in exhaustive evaluation, words that share their low digits share hidden states: the
    words of a length are the leaves of a tree, and each level is computed at once.
    """
    task, table = network.task, tables(network.task)
    others = task.base ** max(0, task.operands - 2)  # symbols with further digits 0
    symbols = np.arange(0, len(table.vectors), others)
    h = network.start[None]
    state, wrong = np.zeros(1, np.int32), np.zeros(1, np.int64)
    for read in [symbols] * digits + [symbols[:1]] * task.headroom:
        h = rows_of(network.children(h)[:, read])
        hit, _ = judge(network.read(h), table.output[state][:, read].ravel())
        wrong = np.repeat(wrong, len(read)) + ~hit
        state = table.delta[state][:, read].ravel()
    # Now there is an axis for each digit of each operand, a_0 b_0 a_1 b_1 ..., the least
    # significant first; as numbers they are read from the most significant.
    axes = wrong.reshape((task.base,) * (digits * min(2, task.operands)))
    if task.operands == 1:
        return axes.transpose().reshape(task.base ** (digits - digits // 2), -1)
    order = [2 * t + operand for operand in (0, 1) for t in reversed(range(digits))]
    return axes.transpose(order).reshape(task.base**digits, -1)


def error_maps(run: Record, figure: "FigureBase", columns: int = 2) -> float:
    """Wrong digits of every problem of some length, at up to six moments of the training.

    Two operands, a point for each pair; one, its numbers row by row; of more, all but two
    are 0.  Where few are wrong, they are ringed.  `columns` is how many maps stand in a row.
    """
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap

    task = run.network.task
    maps = _moments(run)
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    worst = max(1, *(int(wrong.max()) for _, wrong in maps))
    # from light to dark, so that it can be read without colours too; right is white
    ramp = LinearSegmentedColormap.from_list("wrong", [SKY, BLUE, "#001c33"])
    colours = ["#ffffff", *ramp(np.linspace(0, 1, worst))]
    for axes, (title, wrong) in zip(panels, maps, strict=False):
        image = axes.imshow(
            wrong if task.operands == 1 else wrong.T,
            cmap=ListedColormap(colours),
            vmin=-0.5,
            vmax=worst + 0.5,
            origin="lower",
            interpolation_stage="rgba",
        )
        axes.spines[:].set_visible(True)
        axes.set_xticks(_ends(wrong.shape[task.operands == 1]) if task.numeric else [])
        axes.set_yticks(_ends(wrong.shape[task.operands != 1]) if task.numeric else [])
        count = int(np.count_nonzero(wrong))
        between = ": " if columns < 3 else "\n"  # one line where it fits
        axes.set_title(f"{title}{between}{_share(count, wrong.size)}")
        if 0 < count <= _FEW and len(wrong) > _SEEN:
            y, x = np.nonzero(wrong if task.operands == 1 else wrong.T)
            axes.scatter(x, y, s=25, facecolors="none", edgecolors=VERMILLION, linewidths=0.8)
    for axes in panels[len(maps) :]:
        axes.set_axis_off()
    bar = figure.colorbar(
        image, ax=list(panels), location="bottom", shrink=0.8, aspect=30, pad=0.03
    )
    outputs = task.machine.outputs
    digital = task.numeric and "".join(outputs) == DIGITS[: len(outputs)]
    bar.set_label("wrong digits" if digital else "wrong outputs")
    bar.set_ticks(range(0, worst + 1, -(-worst // 9)))
    bar.ax.tick_params(length=0)
    side = maps[0][1].shape[1]
    names = ("first number", "second number")
    if task.operands == 1:
        names = (f"number mod {side:,}", f"number div {side:,}")
    if not task.numeric:
        names = ("how a word begins", "how it goes on")
    for axes in panels[max(0, len(maps) - columns) : len(maps)]:
        axes.set_xlabel(names[0])
        axes.tick_params(labelbottom=True)
    for axes in panels[::columns]:
        axes.set_ylabel(names[1])
    if task.operands > 2:
        others = ("third number", "third and fourth number")[task.operands - 3]
        figure.suptitle(f"the {others} {'is' if task.operands == 3 else 'are'} 0")
    return 0.95 + rows * ((WIDTH - 0.8) / columns + (0.22 if columns < 3 else 0.36))


def _moments(run: Record) -> list[tuple[str, Numbers]]:
    """Titles and maps: the finished network last, before it some of the snapshots, spread evenly.

    Of snapshots in a row in which nothing is wrong only the first is shown.
    """
    digits = map_digits(run.network, run.recipe.digits)
    last = wrong_digits(run.network, digits)
    if not run.recipe.stages:
        return [("as imported", last)]
    earlier: list[tuple[int, Numbers]] = []
    for each in run.snapshots[:-1]:
        wrong = wrong_digits(each.network, digits)
        if wrong.any() or not earlier or earlier[-1][1].any():
            earlier.append((each.problem, wrong))
    if earlier and not (last.any() or earlier[-1][1].any()):
        earlier.pop()
    count = min(len(earlier), _MOST_MAPS - 1)
    chosen = np.linspace(0, max(0, len(earlier) - 1), count).round().astype(int)
    maps = [*(earlier[i] for i in chosen), (run.recipe.problems, last)]
    return [(f"{problem:,} shown", wrong) for problem, wrong in maps]


def _ends(count: int) -> list[int]:
    return [0, count // 2, count - 1] if count > 4 else list(range(count))


def _share(wrong: int, count: int) -> str:
    if wrong in (0, count):
        return "all wrong" if wrong else "none wrong"
    if wrong < count / 1000:
        return f"{wrong:,} wrong"
    return f"{min(wrong / count, 0.999):.1%} wrong"  # not 100.0 % where some are right


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
    _legend_above(axes, 2)
    return 2.4


def _legend_above(axes: "Axes", columns: int, **options: Any) -> None:
    """A legend that hides nothing."""
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=columns,
        handletextpad=0.3,
        columnspacing=1.2,
        **options,
    )


# Hidden space ------------------------------------------------------------------------


_MOST_BALLS = 400


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
        _legend_above(axes, min(4, len(names) + 1), markerscale=1.8)
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
