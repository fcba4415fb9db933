"""Figures for papers: what is drawn, against plain arithmetic, and the files that come of it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import carrynet as cn
from carrynet import lab, tasks
from carrynet.errors import InputError
from carrynet.learn.training import Snapshot
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.nets.weights import initialise
from carrynet.proof.certificate import BoxCertificate, Region, TreeCertificate
from carrynet.proof.verdict import Proved, Refuted
from carrynet.report import error_maps, figures, plots, space
from carrynet.spec.encoding import Encoding
from carrynet.spec.machine import Machine
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage
from tests.conftest import briefly, hand_built_adder

NAMES = ["learning_curve", "error_maps", "accuracy_by_length", "hidden_space", "weights"]


def texts(path: Path) -> str:
    """All that an SVG says, which must be text and not outlines of letters."""
    tree = ElementTree.parse(path)
    return "\n".join("".join(e.itertext()) for e in tree.iter("{http://www.w3.org/2000/svg}text"))


@pytest.fixture(scope="module")
def written(trained: cn.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plots") / "new" / "figures"
    paths = plots.write(trained, folder)
    assert paths == [folder / f"{name}.{form}" for name in NAMES for form in ("png", "svg")]
    return folder


def imported(network: Network) -> cn.Run:
    return cn.train(lab.importing(network, digits=4), origin=network, progress=False)


def shortly(task: str | tasks.Task, activation: str = "sigmoid", **settings: str) -> cn.Run:
    """A run of a few updates, in memory."""
    stages = (Stage(steps=20), Stage(name="more", steps=20, batch=2))
    what: Any = task
    recipe = Recipe("short", what, digits=5, hidden=4, activation=activation, stages=stages)
    return briefly(recipe, engine="numpy", **settings)


# Files -------------------------------------------------------------------------------


def test_both_formats_are_written_and_say_what_is_on_the_axes(written: Path) -> None:
    assert sorted(file.stem for file in written.glob("*.svg")) == sorted(NAMES)
    for name in NAMES:
        assert (written / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    expected = {
        "learning_curve": ("problems shown", "error of a problem", "problems right", "learn"),
        "error_maps": ("first number", "second number", "wrong digits", "20,000 shown: none wrong"),
        "accuracy_by_length": ("digits of the operands", "all 65,536 problems", "chains", "4,096"),
        "hidden_space": ("principal component 1", "carry 0", "carry 1", "start, h = 0"),
        "weights": ("Wxh", "bh", "Whh", "Why", "by", "hidden units, by readout weight"),
    }
    for name, words in expected.items():
        said = texts(written / f"{name}.svg")
        for word in words:
            assert word in said, name


def test_the_same_run_gives_the_same_files(trained: cn.Run, written: Path, tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path"}):  # a user's own
        again = plots.write(trained, tmp_path)
    assert dict(matplotlib.rcParams) == before
    for path in again:
        assert path.read_bytes() == (written / path.name).read_bytes(), path.name
        assert b"<dc:date>" not in path.read_bytes()


def test_an_imported_run_has_no_learning_curve(adder: Network, tmp_path: Path) -> None:
    run = imported(adder)
    paths = plots.write(replace(run, snapshots=()), tmp_path, ["svg"])
    assert [path.stem for path in paths] == NAMES[1:]
    assert "as imported: none wrong" in texts(tmp_path / "error_maps.svg")
    assert isinstance(run.proof, Proved)
    said = texts(tmp_path / "accuracy_by_length.svg").split("\n")
    assert "proved for all lengths" in said


def test_a_proof_that_was_not_checked_is_drawn_as_recorded(adder: Network, tmp_path: Path) -> None:
    run = imported(adder)
    assert isinstance(run.proof, Proved)
    plots.write(replace(run, proof=replace(run.proof, checked=False)), tmp_path, ["svg"])
    said = texts(tmp_path / "accuracy_by_length.svg").split("\n")
    assert "proved for all lengths, as recorded" in said
    assert "proved for all lengths" not in said


def test_pdf_is_written_and_other_formats_are_refused(
    trained: cn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: plots.FIGURES[name] for name in ("learning_curve", "weights")}
    monkeypatch.setattr(plots, "FIGURES", few)
    bare = replace(trained, metrics=(), snapshots=(), proof=cn.Undecided((), 0.0))
    (path,) = plots.write(bare, tmp_path, ["pdf"])
    assert path.read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in path.read_bytes()
    with pytest.raises(InputError, match="did you mean 'png'"):
        plots.write(trained, tmp_path, ["pgn"])


def test_without_matplotlib_one_line_says_what_to_install(
    trained: cn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"^[^\n]*pip install 'carrynet\[plots\]'$"):
        plots.write(trained, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_matplotlib_is_loaded_only_when_it_is_needed_and_pyplot_never() -> None:
    code = "import sys; from carrynet.report import plots; print('matplotlib' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
    for module in (plots, figures, error_maps, space):
        assert "pyplot" not in Path(str(module.__file__)).read_text().replace("touches pyplot", "")


@pytest.mark.parametrize(
    ("task", "activation"),
    [
        ("compare", "relu"),
        ("subtract:base=3", "tanh"),
        ("add:operands=4", "relu"),
        ("multiply_by:k=11", "sigmoid"),
    ],
)
def test_every_task_can_be_drawn(task: str, activation: str) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    run = shortly(task, activation)
    with matplotlib.rc_context(plots.style()):
        figure = Figure(figsize=(4, 20), layout="constrained")  # composed of all, in one
        parts = np.asarray(figure.subfigures(len(plots.FIGURES), 1))
        drawn = zip(plots.FIGURES.values(), parts, strict=True)
        heights = [draw(run, part) for draw, part in drawn]
        figure.draw_without_rendering()
    assert all(height is not None and 1 < height < 9 for height in heights)
    titles = [axes.get_title() for axes in parts[1].axes]
    assert titles[0].startswith("0 shown")
    assert any(title.startswith("60 shown") for title in titles)
    assert ("fourth number are 0" in parts[1].get_suptitle()) == (run.network.task.operands == 4)
    stages = {text.get_text() for text in parts[0].axes[0].texts}
    assert stages == {"learn", "more"}


def test_machines_of_ones_own_can_be_drawn(tmp_path: Path) -> None:
    """Whose outputs are digits, and where they are words are not called so."""
    flip = ((0, 1), (1, 0))
    bits = Machine(("even", "odd"), ("0", "1"), ("0", "1"), delta=flip, output=flip)
    parity = tasks.own("drawn_parity", bits, codec=tasks.Digits())
    row = tuple(int(2 in (a, b)) for a in range(3) for b in range(3))
    symbols = tuple(f"{a},{b}" for a in range(3) for b in range(3))
    rows = (row, (1,) * 9)
    words = Machine(("none", "some"), symbols, ("no", "yes"), delta=rows, output=rows)
    either = tasks.own("drawn_either", words, codec=tasks.Digits(3, 2, memory="twos"))
    for task, what, input_ in (
        (parity, "wrong digits", "a"),
        (either, "wrong outputs", "b = 2"),
    ):
        folder = tmp_path / task.name
        paths = plots.write(shortly(task, "sigmoid"), folder, ["svg"])
        assert [path.stem for path in paths] == NAMES
        assert what in texts(folder / "error_maps.svg")
        assert input_ in texts(folder / "weights.svg").split("\n")
        assert "some" in texts(folder / "hidden_space.svg") or task is parity


# Wrong digits ------------------------------------------------------------------------


def right_outputs(task: tasks.Task, operands: tuple[int, ...], length: int) -> list[int]:
    """What is right at each position, by Python's integers alone."""
    base = task.base
    if task.family == "compare":
        lows = [tuple(x % base ** (t + 1) for x in operands) for t in range(length)]
        return [0 if a == b else 1 if a < b else 2 for a, b in lows]
    k = int(task.text.partition("k=")[2].split(",")[0] or 1)
    value = operands[0] - operands[1] if task.family == "subtract" else k * sum(operands)
    return [value // base**t % base for t in range(length)]


@pytest.mark.parametrize("digits", [1, 3])
@pytest.mark.parametrize(
    "text",
    [
        *("add", "add:base=3", "add:operands=3", "subtract", "compare"),
        *("multiply_by:k=3", "multiply_by:k=5,base=3"),
    ],
)
def test_wrong_digits_are_those_of_plain_arithmetic(text: str, digits: int) -> None:
    task = tasks.parse(text)
    network = Network(task, "tanh", initialise(task, 5, seed=1, dtype="float64"))
    found = error_maps.wrong_digits(network, digits)
    side = task.base**digits
    zeros = (0,) * (task.operands - 2)
    for operands in product(range(side), repeat=min(2, task.operands)):
        word = task.encode((*operands, *zeros), digits)
        right = right_outputs(task, (*operands, *zeros), len(word))
        wrong = sum(a != b for a, b in zip(network.transduce(word), right, strict=True))
        where = operands if task.operands > 1 else divmod(operands[0], task.base ** (digits // 2))
        assert found[where] == wrong, operands
    assert found.size == side ** min(2, task.operands)
    assert found.mean() < digits + task.headroom
    assert found.any() or digits == 1


def test_one_that_never_carries_is_wrong_where_sum_and_exclusive_or_differ(
    adder: Network, forgetful: Network
) -> None:
    a, b = np.ogrid[:256, :256]
    assert (error_maps.wrong_digits(forgetful, 8) == np.bitwise_count((a + b) ^ (a ^ b))).all()
    assert not error_maps.wrong_digits(adder, 8).any()


def test_maps_are_as_large_as_can_be_afforded() -> None:
    def digits(task: str, most: int = 99, hidden: int = 4) -> int:
        parsed = tasks.parse(task)
        return error_maps.map_digits(Network(parsed, "relu", initialise(parsed, hidden)), most)

    assert [digits("add"), digits("add", 3), digits("add", hidden=1024)] == [8, 3, 7]
    assert [digits(f"add:base={base}") for base in (3, 10, 16)] == [5, 2, 2]
    assert digits("multiply_by:k=3") == 16


def test_maps_are_of_moments_that_tell_something(
    trained: cn.Run, adder: Network, forgetful: Network
) -> None:
    def titles(*networks: Network) -> list[str]:
        snapshots = [Snapshot(i, network) for i, network in enumerate(networks)]
        run = replace(trained, network=networks[-1], snapshots=tuple(snapshots))
        return [title.split()[0] for title, _ in error_maps._moments(run)]

    bad, good = forgetful, adder
    assert titles(bad, bad, good, good, bad, good, good) == ["0", "1", "2", "4", "20,000"]
    assert titles(*[bad] * 11) == ["0", "2", "4", "7", "9", "20,000"]
    assert titles(good) == ["20,000"]


# Accuracy ----------------------------------------------------------------------------


def test_a_counterexample_is_marked_where_it_is(trained: cn.Run) -> None:
    from matplotlib.figure import Figure

    proof = Refuted((0, 1), 31, 3, 2, 1, shortest=False, seconds=0.1)
    figure = Figure()
    plots.accuracy_by_length(replace(trained, proof=proof), figure)
    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    assert np.asarray(lines["wrong at 31 digits"].get_xdata()).tolist() == [31]
    assert "proved for all lengths" not in lines


def test_of_a_task_of_words_no_number_is_spoken_of(tmp_path: Path) -> None:
    """And each input is called by what it stands for, however symbols are fed."""
    run = shortly("tomita:4")
    plots.write(run, tmp_path, ["svg"])
    said = {name: texts(tmp_path / f"{name}.svg") for name in NAMES}
    for words in said.values():
        assert not re.search("digit|number|operand|carr", words)
    assert "wrong outputs" in said["error_maps"]
    assert "symbols of the words" in said["accuracy_by_length"]
    refuted = Refuted(("0001",), 4, 3, "1111", "1110", True, 0.0)
    plots.write(replace(run, proof=refuted), tmp_path, ["svg"])
    assert "wrong at 4 symbols" in texts(tmp_path / "accuracy_by_length.svg")
    vectors = Encoding("table", ((0.5, 0.0, 1.0), (0.0, 1.0, 1.0)))
    for encoding, inputs in ((Encoding("one-hot"), ["0", "1"]), (vectors, ["x0", "x1", "x2"])):
        task = tasks.own("plots_words", tasks.parse("tomita:4").machine, encoding=encoding)
        assert plots._input_names(task) == inputs
    assert plots._input_names(tasks.parse("add:base=3"))[2:4] == ["a = 2", "b = 0"]


# Hidden space ------------------------------------------------------------------------


def boxes(network: Network) -> Iterator[tuple[Array, Array]]:
    proof = cn.prove(network)
    assert isinstance(proof, Proved)
    assert isinstance(proof.certificate, BoxCertificate)
    for region in proof.certificate.regions:
        unit = 2.0**-proof.certificate.bits
        yield unit * np.array(region.lower), unit * np.array(region.upper)


def inside(polygon: Array, points: Array) -> bool:
    """Whether points (P, 2) are in a convex polygon (V, 2) whose corners go anticlockwise."""
    sides = np.roll(polygon, -1, axis=0) - polygon
    to = points[:, None] - polygon
    return bool((sides[:, 0] * to[..., 1] - sides[:, 1] * to[..., 0] >= -1e-12).all())


@pytest.mark.parametrize("hidden", [1, 2, 3, 6])
def test_a_zonotope_is_the_hull_of_the_projected_corners(hidden: int) -> None:
    random = np.random.default_rng(hidden)
    centre, generators = random.normal(size=2), random.normal(size=(hidden, 2))
    corners = centre + np.array(list(product([-1, 1], repeat=hidden))) @ generators
    polygon = space.zonotope(centre, generators)
    assert len(polygon) == 2 * hidden
    assert inside(polygon, corners)
    nearest = np.abs(polygon[:, None] - corners).max(axis=-1).min(axis=1)
    assert nearest.max() < 1e-12  # and its own corners are among them


def test_of_boxes_without_width_a_point_is_left() -> None:
    assert space.zonotope(np.ones(2), np.zeros((3, 2))).tolist() == [[1, 1]]
    flat = space.zonotope(np.zeros(2), np.array([[1.0, 0], [0, 0], [-2, 0]]))
    assert (flat.min(), flat.max()) == (-3, 3)


def test_outlines_of_boxes_hold_all_their_corners(adder: Network) -> None:
    plane = space.principal_plane(space.visited(adder)[0])
    proof = cn.prove(adder)
    assert isinstance(proof, Proved)
    polygons = space.outlines(proof.certificate, plane)
    for polygon, ends in zip(polygons, boxes(adder), strict=True):
        corners = np.array(list(product(*zip(*ends, strict=True))))
        assert inside(polygon, plane(corners))


@pytest.mark.parametrize("hidden", [1, 2, 5])
def test_outlines_of_balls_reach_as_far_as_the_balls(hidden: int) -> None:
    random = np.random.default_rng(hidden)
    T, c = random.normal(size=(hidden, hidden)), random.normal(size=(2, hidden))
    plane = space.principal_plane(random.normal(size=(50, hidden)))
    certificate = TreeCertificate(
        **hand_built_adder().about,
        slack=0.0,
        metrics=[np.eye(hidden).tolist(), T.tolist()],
        metric_of=[0, 1],
        centres=c.tolist(),
        radii=[0.0, 0.5],
        states=[0, 1],
        trees=[[], []],
    )
    point, ellipse = space.outlines(certificate, plane)
    assert np.ptp(point, axis=0).max() == 0
    for angle in np.linspace(0, np.pi, 7):
        d = np.array([np.cos(angle), np.sin(angle)])
        # max of d . axes (h - c) over |T (h - c)| <= r is r |T^-T axes^T d|
        reach = 0.5 * np.linalg.norm(np.linalg.solve(T.T, plane.axes.T @ d))
        assert ((ellipse - plane(c[1])) @ d).max() == pytest.approx(reach, rel=2e-3, abs=1e-12)


def test_the_plane_is_that_of_the_largest_variance() -> None:
    random = np.random.default_rng(0)
    h = random.normal(size=(500, 3)) * [1, 5, 0.1] + 7
    plane = space.principal_plane(h)
    assert np.abs(plane.axes[0]).argmax() == 1
    assert plane.axes[0, 1] > 0
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2))
    variance = plane(h).var(axis=0)
    assert plane.shares == pytest.approx(variance / h.var(axis=0).sum())


def test_states_are_those_of_the_machine(adder: Network) -> None:
    h, state = space.visited(adder)
    assert set(state) == {0, 1}
    assert ((h[:, 1] > 0.5) == (state == 1)).all()  # the unit that is the carry


# Weights -----------------------------------------------------------------------------


def test_units_are_in_the_order_of_what_they_say(adder: Network) -> None:
    Why = np.array([[0.1, 2.0], [3.0, 0.0], [0.0, 5.0], [4.0, 1.0]])
    task = tasks.compare()
    three = np.hstack([Why, np.full((4, 1), -9.0)])
    network = Network(task, "tanh", initialise(task, 4, dtype="float64").replace(Why=three))
    assert plots.unit_order(network).tolist() == [3, 1, 2, 0]
    assert plots.unit_order(adder).tolist() == [0, 2, 1]


@pytest.mark.parametrize("cell", ["gru", "lstm", "gru,elman"])
def test_of_every_cell_all_weights_are_shown(cell: str) -> None:
    from matplotlib.figure import Figure

    figure, run = Figure(), shortly("add:base=3", cell=cell, start="learned")
    plots.weights(run, figure)
    panels = {axes.get_title(): axes.images[0] for axes in figure.axes if axes.get_title()}
    weights = run.network.weights
    assert panels.keys() == weights.keys()
    most = max(float(np.abs(array).max()) for array in weights.values())
    for name, image in panels.items():
        assert (np.asarray(image.get_array()) == np.atleast_2d(weights[name])).all()
        assert image.get_clim() == (-most, most)


def test_of_a_state_of_several_parts_the_first_is_drawn() -> None:
    """Its projection of a box is that of the box of the whole state, less what is not seen."""
    run = shortly("add", cell="lstm")
    h, _ = space.visited(run.network)
    assert h.shape[1] == run.network.hidden
    plane = space.principal_plane(h)
    cube = Region("all", 0, (-4,) * 4 + (-64,) * 4, (4,) * 4 + (64,) * 4, (0,) * 4)
    claim = BoxCertificate(**run.network.about, bits=2, slack=0, regions=(cube,))
    (outline,) = space.outlines(claim, plane)
    corners = plane(np.array(list(product((-1.0, 1.0), repeat=4))))
    for side in (space.principal_plane(corners).axes, np.eye(2)):
        assert np.allclose((outline @ side.T).max(0), (corners @ side.T).max(0))
        assert np.allclose((outline @ side.T).min(0), (corners @ side.T).min(0))


def test_a_learned_start_is_where_the_network_begins() -> None:
    from matplotlib.figure import Figure

    run = shortly("add", cell="gru", start="learned")
    begin = np.array([0.5, -0.25, 0.125, 0.75], np.float32)
    moved = replace(run.network, weights=run.network.weights.replace(h_start=begin))
    figure = Figure()
    plots.hidden_space(replace(run, network=moved), figure)
    (mark,) = (line for line in figure.axes[0].lines if line.get_label() == "start, learned")
    plane = space.principal_plane(space.visited(moved)[0])
    assert np.allclose(mark.get_xydata(), plane(begin[None]))


def test_all_weights_are_on_one_scale_centred_at_zero(trained: cn.Run, adder: Network) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    plots.weights(replace(trained, network=adder), figure)
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert {image.get_clim() for image in images} == {(-100.0, 100.0)}
    arrays = [np.asarray(image.get_array()) for image in images]
    (Whh,) = [array for array in arrays if array.shape == (3, 3)]
    assert (Whh == adder.weights.Whh[np.ix_([0, 2, 1], [0, 2, 1])]).all()
