"""What figures for papers have in common: size, colours and style, and how they are kept.

Nothing here touches pyplot, and matplotlib, an optional dependency, is imported where it is needed.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from carrynet import files
from carrynet.errors import InputError, unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WIDTH = 3.4
"""Inches: one column of a paper."""

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
"""Of the colours of Okabe and Ito (2008), which colour-blind readers can tell apart, those that
are not too faint on white, as yellow is."""

GREY = "#666666"
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
            figure.set_layout_engine(None)
            for form in formats:
                data = io.BytesIO()
                figure.savefig(data, format=form, metadata=dict(_METADATA[form]))
                written.append(folder / f"{name}.{form}")
                files.write(written[-1], data.getvalue())
    return written


def legend_above(axes: "Axes", columns: int, **options: Any) -> None:
    """A legend that hides nothing."""
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=columns,
        handletextpad=0.3,
        columnspacing=1.2,
        **options,
    )
