"""Maps of the problems that a network gets wrong, over its training.

What is drawn is computed by functions of their own, which need only NumPy.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carrynet.data.words import tables
from carrynet.engines.reference import grade
from carrynet.nets.arrays import in_one_thread, rows_of
from carrynet.nets.network import Network
from carrynet.report.figures import BLUE, SKY, VERMILLION, WIDTH
from carrynet.runs.record import Record
from carrynet.spec.codec import DIGITS

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


Numbers = NDArray[np.int64]

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
        hit, _ = grade(network.read(h), table.output[state][:, read].ravel())
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
    maps = [*(earlier[i] for i in chosen), (run.made.shown(len(run.made.schedule)), last)]
    return [(f"{problem:,} shown", wrong) for problem, wrong in maps]


def _ends(count: int) -> list[int]:
    return [0, count // 2, count - 1] if count > 4 else list(range(count))


def _share(wrong: int, count: int) -> str:
    if wrong in (0, count):
        return "all wrong" if wrong else "none wrong"
    if wrong < count / 1000:
        return f"{wrong:,} wrong"
    return f"{min(wrong / count, 0.999):.1%} wrong"  # not 100.0 % where some are right
