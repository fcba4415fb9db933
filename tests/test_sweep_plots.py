"""Figures of a sweep: what they say, and that it is what the rows say."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from carrynet.report import plots, sweep_distributions, sweep_plots
from carrynet.report.sweep_labels import Caption
from carrynet.sweep import Store, census, table
from carrynet.sweep.census import EDGES, Census
from carrynet.sweep.outcomes import OUTCOMES
from carrynet.sweep.plan import Axis
from tests.test_census import explored
from tests.test_cli import carrynet
from tests.test_plots import texts
from tests.test_sweep import parse, rows_of, run

MAPS = ["right", "proved", "refuted_beyond", "undecided"]
REST = ["margins", "proof_margins", "counterexamples"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explored(tmp_path_factory.getbasetemp())


def taken(folder: Path, *keys: str, where: Sequence[str] = ()) -> Census:
    return census.take(Store(folder), keys, where)


def drawn(draw: Any, *arguments: Any) -> Figure:
    with matplotlib.rc_context(plots.style()):
        figure = Figure(layout="constrained")
        height = draw(*arguments, figure)
        assert 1 < height < 9
        figure.set_size_inches(3.4, height)
        figure.draw_without_rendering()
        return figure


@pytest.fixture(scope="module")
def plotted(
    swept: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What the command says, and the folder that it writes into."""
    cwd = tmp_path_factory.mktemp("plotted")
    return carrynet("plot", swept, "--out", "new/figures", cwd=cwd), cwd / "new" / "figures"


def test_figures_are_written_and_say_what_is_on_them(
    plotted: tuple[subprocess.CompletedProcess[str], Path], swept: Path
) -> None:
    done, folder = plotted
    assert (done.returncode, done.stderr) == (0, "")
    names = [f"{name}.{form}" for name in (*MAPS, *REST) for form in ("png", "svg")]
    listed = [f"new/figures/{name}" for name in (*names, "report.html")]
    assert done.stdout.splitlines() == listed
    assert {file.name for file in folder.iterdir()} == {*names, "report.html"}
    for name in (*MAPS, *REST):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    groups = {
        tuple(group.values.values()): group
        for group in table.summarise(Store(swept), ("hidden", "learn.steps"))
    }
    for name in MAPS:
        said = texts(folder / f"{name}.svg").splitlines()
        assert {OUTCOMES[name].title, "hidden units", "updates (learn)"} <= set(said)
        assert {"4", "8", "300", "9,000", "0%", "100%", "share of networks"} <= set(said)
        under = "12 networks in each cell, over all values of recipe and seed"
        assert under in said
        counts = [f"{group.counts[name]}/12" for group in groups.values()]
        assert sorted(text for text in said if text.endswith("/12")) == sorted(counts)
        # each count is where its values are: a row of the figure is one of the learn.steps
        assert [groups[4, 300].networks, groups[8, 9000].networks] == [12, 12]
    assert "smallest margin (logits)" in texts(folder / "margins.svg")
    assert "updates (learn) 9,000" in texts(folder / "margins.svg")
    words = texts(folder / "counterexamples.svg")
    refuted = {n: sum(groups[n, s].counts["refuted"] or 0 for s in (300, 9000)) for n in (4, 8)}
    for hidden, count in refuted.items():
        assert f"hidden units {hidden}: {count} of 24 refuted" in words
    for text in (
        "known to be shortest",
        "shorter ones may exist",
        "all problems of up to 3 digits",
    ):
        assert text in words
    proved = sum(row["verdict"] == "proved" for row in rows_of(swept))
    words = texts(folder / "proof_margins.svg")
    assert f"{proved} proofs of 48 networks" in words
    assert "proved slack" in words


def test_equal_sweeps_have_equal_figures(
    tmp_path: Path, plotted: tuple[subprocess.CompletedProcess[str], Path], swept: Path
) -> None:
    files = sweep_plots.write(taken(swept, "hidden", "learn.steps"), tmp_path)
    assert len(files) == 2 * len((*MAPS, *REST))
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (plotted[1] / file.name).read_bytes(), file.name


def test_a_map_has_the_rates_where_their_values_are(swept: Path) -> None:
    one = taken(swept, "hidden", "learn.steps")
    figure = drawn(sweep_plots.rate_map, one, "right", Caption())
    (mesh,) = figure.axes[0].collections
    rows = rows_of(swept)
    shown = np.asarray(mesh.get_array()).reshape(2, 2)
    for i, steps in enumerate((300, 9000)):
        for j, hidden in enumerate((4, 8)):
            mine = [r for r in rows if (r["hidden"], r["learn_steps"]) == (hidden, steps)]
            right = sum(r["exhaustive_right"] == r["exhaustive_pairs"] for r in mine)
            assert shown[i, j] == right / len(mine)
            place = {(t.get_position()): t.get_text() for t in figure.axes[0].texts}
            assert place[j + 0.5, i + 0.5].endswith(f"\n{right}/{len(mine)}")


def test_over_one_key_there_are_curves_with_their_bands(swept: Path) -> None:
    one = taken(swept, "hidden", where=["recipe=tutorial"])
    assert list(sweep_plots.figures(one)) == ["rates", *REST]
    figure = drawn(sweep_plots.rate_curves, one, Caption(["recipe=tutorial"]))
    groups = [group for _, group in one.groups()]
    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    for outcome in MAPS:
        line = lines[OUTCOMES[outcome].title]
        assert np.asarray(line.get_xdata()).tolist() == [4, 8]
        rates = [group.rate(outcome) for group in groups]
        assert np.asarray(line.get_ydata()).tolist() == [rate and rate[0] for rate in rates]
    bands = [np.asarray(band.get_paths()[0].vertices) for band in figure.axes[0].collections]
    for outcome, band in zip(MAPS, bands, strict=True):
        for hidden, group in zip((4, 8), groups, strict=True):
            rate = group.rate(outcome)
            assert rate is not None
            at = band[band[:, 0] == hidden, 1]
            assert (at.min(), at.max()) == pytest.approx(rate[1:])
    assert "recipe=tutorial only" in figure.get_suptitle()
    assert "over all values of learn.steps and seed" in figure.get_suptitle()


@pytest.mark.parametrize("key", ["steps", "learn_steps", " learn.steps "])
def test_figures_say_what_is_counted_together_however_a_condition_is_spelled(
    swept: Path, key: str
) -> None:
    where = [f"{key}=300"]
    said = Caption(where).under(taken(swept, "hidden", where=where), ("hidden",), "")
    assert said == f"12 networks, over all values of recipe and seed; {key}=300 only"


def test_over_what_is_no_number_there_are_points(swept: Path) -> None:
    figure = drawn(sweep_plots.rate_curves, taken(swept, "recipe"), Caption())
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["tutorial", "certified"]
    assert not figure.axes[0].collections or len(figure.axes[0].containers) == 4


def test_over_nothing_there_is_a_point_for_each_outcome(swept: Path) -> None:
    whole = taken(swept)
    figure = drawn(sweep_plots.rate_points, whole, Caption())
    group = whole.group()
    assert group is not None
    said = "\n".join(text.get_text() for text in figure.axes[0].texts)
    for outcome in (*MAPS, "refuted"):
        assert f"{group.counts[outcome]} of 48" in said
    assert list(sweep_plots.figures(whole)) == ["rates", *REST]


def test_lines_of_margins_are_shares_of_the_networks(swept: Path) -> None:
    figure = drawn(sweep_distributions.margins, taken(swept, "hidden"), Caption())
    rows = rows_of(swept)
    _, *lines = figure.axes[0].lines  # the first stands at 0
    for hidden, line in zip((4, 8), lines, strict=True):
        margins = [row["exhaustive_margin"] for row in rows if row["hidden"] == hidden]
        for x, y in np.transpose(np.asarray(line.get_data())).tolist():
            if x in EDGES[1:-1] and x != 0:
                below = sum(m < x for m in margins), sum(m <= x for m in margins)
                assert below[0] / len(margins) <= y + 1e-12
                assert y <= below[1] / len(margins) + 1e-12


def test_what_is_not_done_is_said_and_left_blank(tmp_path: Path) -> None:
    text = 'recipe = "tutorial"\nhidden = [2, 3, 4]\nsteps = [9, 20]\nseed = "0..1"\n'
    plan = parse(f"{text}[sweep]\nexhaustive = 2\nlengths = []\nblock = 2\n")
    run(plan, tmp_path / "out", lambda number: "no" if number in (1, 4, 5) else "")
    one = taken(tmp_path / "out", "hidden", "steps")
    figure = drawn(sweep_plots.rate_map, one, "right", Caption())
    assert len([t for t in figure.axes[0].texts if "%" in t.get_text()]) == 3
    assert "(6 of 12 are done)" in figure.axes[0].get_title(loc="left").replace("\n", " ")


def test_divergence_is_drawn_where_there_is_any(tmp_path: Path) -> None:
    text = (
        'recipe = "tutorial"\nhidden = 8\nactivation = "relu"\ninit_width = 0.3\nsteps = 400\n'
        'loss = "cross-entropy"\nstep = [0.1, 1e5]\nseed = [0, 1]\n[sweep]\nexhaustive = 3\n'
        "lengths = []"
    )
    run(parse(text), tmp_path / "out")
    one = taken(tmp_path / "out", "step")
    figure = drawn(sweep_plots.rate_curves, one, Caption())
    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    assert np.asarray(lines["diverged in training"].get_ydata()).tolist() == [0, 1]
    assert "diverged in training" not in sweep_plots.figures(taken(tmp_path / "out", "seed"))


def test_many_values_and_long_names_are_drawn_as_there_is_room() -> None:
    long = tuple(f"a recipe with a very long name ${i}_x$.toml" for i in range(30))
    plan = parse('recipe = "tutorial"\nhidden = "1..40"\nsteps = [1, 2]\nseed = "0..3"')
    shape, random = (40, 30), np.random.default_rng(0)
    bins = (*shape, len(EDGES) - 1)
    made = Census(
        replace(plan, bases=dict.fromkeys(long, plan.bases["tutorial"])),
        (Axis("hidden", range(1, 41)), Axis("recipe", long)),
        8,
        np.full(shape, 8),
        {name: random.integers(0, 9, shape) for name in OUTCOMES},
        {name: np.zeros(shape, np.int64) for name in OUTCOMES},
        {},
        {name: random.integers(0, 3, bins).astype(np.int32) for name in census.VALUES},
        random.integers(0, 3, (*shape, 2, len(census.LENGTHS))).astype(np.int32),
        np.full(shape, census.NONE),
    )
    for name, draw in sweep_plots.figures(made).items():
        figure = drawn(draw)
        width, height = figure.get_size_inches() * figure.dpi
        for axes in figure.axes:
            box = axes.get_tightbbox()
            assert box is not None, name
            assert box.x0 >= -1, name
            assert box.x1 <= width + 1, name
            assert box.y1 <= height + 1, name
            assert axes.get_window_extent().width > 20, name
    figure = drawn(sweep_plots.rate_map, made, "right", Caption())
    assert 5 < len(figure.axes[0].get_xticklabels()) < 30
    figure = drawn(sweep_distributions.margins, made, Caption())
    assert "6 of 40 values of hidden are shown" in figure.get_suptitle().replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--x", "hiden"], "unknown key 'hiden': did you mean 'hidden'"),
        (["--x", "hidden", "--y", "hidden"], "x and y are both hidden"),
        (["--where", "hidden=5"], "hidden has no value '5': it has 8, 4"),
        (["--where", "stepz=5"], "unknown key 'stepz'"),
        (["--page", "--where", "hidden=4"], "--where is for figures"),
        (["--format", "pdf"], "'pdf' is not one of"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    tmp_path: Path, swept: Path, arguments: list[str], message: str
) -> None:
    done = carrynet("plot", swept, *arguments, "--out", tmp_path / "x", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr
    assert not (tmp_path / "x").exists()


def test_sweeps_that_cannot_be_read_are_one_line(tmp_path: Path, swept: Path) -> None:
    Store(tmp_path / "begun").begin(parse("seed = '0..9'"))
    shutil.copytree(swept, tmp_path / "damaged")
    part = tmp_path / "damaged" / "parts" / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:-9])
    shutil.copytree(swept, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "parts")
    (tmp_path / "thesis").mkdir()
    for folder, message in (
        ("begun", "begun: nothing is done yet"),
        ("damaged", "part-000001.parquet is damaged"),
        ("bare", "bare is damaged: it has no parts"),
        ("thesis", "thesis is not a sweep: it has no plan.toml"),
        ("nowhere", "nowhere is not a sweep"),
    ):
        for more in ((), ("--page",)):
            done = carrynet("plot", folder, *more, cwd=tmp_path)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
            assert message in done.stderr
            assert not (tmp_path / folder / "plots").exists()


def test_without_matplotlib_there_is_the_page_alone(
    tmp_path: Path, swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = carrynet("plot", swept, "--out", "x", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "pip install 'carrynet[plots]'; --page writes the page alone" in done.stderr
    done = carrynet("plot", swept, "--page", "--out", "x", "--open", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "x/report.html\n")
    assert (tmp_path / "x" / "report.html").exists()
