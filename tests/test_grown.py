"""Trees grown by machine code, beside NumPy's: the same words, the same verdicts."""

import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks import trees
from carrynet import tasks
from carrynet.data import words
from carrynet.engines import jit, native
from carrynet.learn import training
from carrynet.nets import cells
from carrynet.nets.formula import Formula
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights, initialise
from carrynet.proof import (
    affine,
    ellipsoids,
    grown,
    metric,
    tree_model as tree_model_,
    trees as tree,
)
from carrynet.proof.affine import Images
from carrynet.proof.certificate import AXIS, Rejected, TreeCertificate
from carrynet.proof.check import check
from carrynet.proof.followed import Followed, Words
from carrynet.proof.grown import Grown
from carrynet.proof.search import model
from carrynet.proof.tree_model import TreeModel, tree_model
from carrynet.spec.recipe import RECIPES
from tests.conftest import hand_built_adder
from tests.test_tree import comparer, hardly_proved, plainly_trained, relu_adder, tanh_adder

SLACK = 1e-4
NETWORKS = [hand_built_adder, tanh_adder, relu_adder, comparer, plainly_trained, hardly_proved]

pytestmark = pytest.mark.skipif(
    native.unavailable() is not None, reason="there is no machine code here"
)


def search(network: Network, seconds: float = 60) -> TreeCertificate | None:
    return tree.search(network, slack=SLACK, deadline=time.monotonic() + seconds)


def with_lanes(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    facts = {**vars(jit.processor()), "lanes": lanes}
    monkeypatch.setattr(jit, "processor", lambda: jit.Processor(**facts))


def random_network(hidden: int, activation: str, task: Any, seed: int) -> Network:
    """Of small weights; what it answers is of no account."""
    rng, Y = np.random.default_rng(seed), task.neurons
    shapes = {"Wxh": (task.inputs, hidden), "Whh": (hidden, hidden), "bh": (hidden,)}
    weights = {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    weights["Whh"] *= np.float32({"relu": 0.5}.get(activation, 2.0) / hidden**0.5)
    out = {"Why": np.zeros((hidden, Y), "f4"), "by": np.zeros(Y, "f4")}
    return Network(task, activation, Weights(**weights, **out))


def lenient(network: Network) -> TreeModel:
    """Of which every output is right."""
    found = tree_model(network, SLACK)
    assert found is not None
    return found._replace(rows=0 * found.rows, offsets=np.ones_like(found.offsets))


Step = int | tuple[str, int]
"""A symbol, or an axis and which part of a word that is cut across it."""


def word_of(attempt: Grown, slot: int) -> tuple[int, list[Step]]:
    """The ball and the steps that lead to a slot."""
    word: list[Step] = []
    axes = attempt.axes
    by_node = {node: slot for slot, node in enumerate(attempt.next.tolist()) if node > 0}
    while True:
        node, place = divmod(slot, attempt.symbols)
        word.append((axes[node], place) if node in axes else place)
        if node not in by_node:
            return attempt.roots.index(node), word[::-1]
        slot = by_node[node]


class ByNumpy:
    """Words as NumPy's search follows them, each beginning of them once."""

    def __init__(self, model: TreeModel, radius: float) -> None:
        self.attempt, self.radius = Followed(model, radius), radius
        self.steps: dict[tuple[Step, ...], tuple[Words, Any]] = {}

    def follow(self, attempt: Grown, slot: int) -> tuple[Any, Any, Any]:
        """Centre, matrix and trace of the ellipsoid that waits for a slot."""
        ball, word = word_of(attempt, slot)
        model, home = self.attempt.model, attempt.homes[ball]
        words = Words(
            attempt.centres[ball][None],
            (model.ball[[home]] * self.radius**2 * (ball > 0)).astype(np.float32),
            *(np.array([n]) for n in (attempt.labels[ball], ~0, 0, 0)),
        )
        trace: Any = np.zeros(1)
        for length, step in enumerate(word):
            if not isinstance(step, int):
                words = part(words, *step)
                trace = np.einsum("ij,nij->n", model.P[0], words.shape)
                continue
            begun = (ball, *word[:length])
            if begun not in self.steps:
                stepped = self.attempt.step(words, np.array([0]))
                assert stepped is not None
                self.steps[begun] = stepped
            children, traces = self.steps[begun]
            words, trace = children.at([step]), traces[[step]]
        return words.centre[0], words.shape[0], trace[0]


def part(words: Words, axis: str, which: int) -> Words:
    """One part of a word that is cut across an axis."""
    a = np.array([AXIS.index(letter) - 9 for letter in axis], dtype=np.float64)
    before = words.centre.astype(np.float64), words.shape.astype(np.float64)
    (centres,), shape = ellipsoids.halves(*before, a[None])
    return words._replace(centre=centres[[which]], shape=shape)


def of_formula(name: str, hidden: int, task: str, readout: str = cells.LINEAR) -> Network:
    """Of random weights; what it answers is of no account."""
    found, rng = tasks.parse(task), np.random.default_rng(hidden)
    cell = Formula.parse(WRITTEN[name]) if name in WRITTEN else cells.cell(name)
    read = cells.readout(readout)
    sizes = {"X": found.inputs, "H": hidden, "Y": found.neurons}
    weights = {
        name: rng.normal(size=shape) / (4 * shape[0] ** 0.5 if len(shape) > 1 else 3)
        for name, shape in (cell.shapes(sizes) | read.shapes(sizes)).items()
    }
    return Network(found, cell, Weights({n: w.astype("f4") for n, w in weights.items()}), read)


WRITTEN = {
    "own": """
    state = h, c
    k = relu(c @ Wck + x @ Wxk + bk - h)
    c = 0.5 * k + w * c - 0.25
    h = tanh(bh - h * k @ Whh - c + 0.5 * (x @ Wxh))
    """,
    "mixed": """
    z = sigmoid(h @ Whz + x @ Wxz)
    n = tanh(x @ Wxn + bn)
    k = mix(z, n, b0) + mix(sigmoid(h), 0.5, -0.25) + mix(z, h, n)
    h = tanh(12 * k @ Whh - mix(z, w0, w1))
    """,
}
"""Products and sums with what varies and with what does not, and both orders of differences."""

FOLLOWED = [
    *[
        ("elman", *each, lanes)
        for each in ((3, "add"), (17, "compare"), (33, "add"))
        for lanes in (4, 8, 16)
    ],
    ("gru", 5, "add", 4),
    ("gru", 33, "parity", 16),
    ("gru-reset-before", 9, "compare", 8),
    ("lstm", 3, "add", 4),
    ("lstm", 20, "compare", 16),
    ("mgu", 8, "add", 8),
    ("lstm,elman", 5, "compare", 8),
    ("own", 5, "add", 4),
    ("own", 17, "compare", 16),
    ("mixed", 5, "parity", 8),
]


@pytest.mark.parametrize(("name", "hidden", "task", "lanes"), FOLLOWED)
def test_words_are_followed_as_by_numpy(
    monkeypatch: pytest.MonkeyPatch, name: str, hidden: int, task: str, lanes: int
) -> None:
    if lanes > jit.processor().lanes:
        pytest.skip("the processor has no such vectors")
    with_lanes(monkeypatch, lanes)
    if name == "elman":
        networks = [
            random_network(hidden, activation, tasks.parse(task), hidden)
            for activation in ("sigmoid", "tanh", "relu")
        ]
    else:
        networks = [of_formula(name, hidden, task)]
    for network in networks:
        assert grown.refuses(network) is None
        model, compared = lenient(network), 0
        for radius in (1.0, 0.1) if name == "elman" else (0.2, 0.02):
            attempt, by_numpy = Grown(model, radius), ByNumpy(model, radius)
            for turns in (1, 3, 9, 40):
                attempt.grow(turns, lambda: False)
                compared += compare(attempt, by_numpy)
        assert compared


def compare(attempt: Grown, by_numpy: ByNumpy) -> int:
    """The words that wait, one by one: how many."""
    P, arrays, units, compared = attempt._P, attempt._arrays, attempt._units, 0
    others, waiting = np.setdiff1d(np.arange(P), units), int(arrays["tally"][3])
    for record in arrays["order"][:waiting].tolist():
        data = arrays["words"][record * (P + P * P) :][: P + P * P]
        state, depth, slot, since = arrays["tags"][4 * record :][:4].tolist()
        if slot < 0:
            continue
        centre, shape, trace = by_numpy.follow(attempt, slot)
        ours = data[P:].reshape(P, P)
        scale = np.sqrt(np.diag(shape))
        assert np.allclose(data[units], centre, rtol=1e-4, atol=2e-5)
        assert np.allclose(
            ours[np.ix_(units, units)] / np.outer(scale, scale),
            shape / np.outer(scale, scale),
            atol=2e-3,
        )
        assert not data[others].any()
        assert not ours[others].any()
        assert not ours[:, others].any()
        assert arrays["traces"][record] == pytest.approx(trace, rel=1e-3)
        steps = word_of(attempt, slot)[1]
        assert depth == sum(isinstance(step, int) for step in steps)
        read = [isinstance(step, int) for step in reversed(steps)]
        assert since == [*read, False].index(False)
        assert 0 <= state < len(attempt.model.network.task.machine.states)
        compared += 1
    return compared


LAYERED = "v = relu(h @ V + bv); k = tanh(wv * v - 0.5 * h); logits = k @ Why + by"


@pytest.mark.parametrize(
    ("name", "hidden", "task", "readout"),
    [
        ("gru", 9, "add", cells.LINEAR),
        ("lstm", 17, "add:base=3", cells.LINEAR),
        ("gru", 17, "compare", LAYERED),
        ("own", 4, "add", LAYERED),
    ],
)
@pytest.mark.parametrize("doubtful", [False, True])
def test_an_output_is_in_doubt_where_it_is_for_numpy(
    name: str, hidden: int, task: str, readout: str, doubtful: bool
) -> None:
    """Its margin a little above what is asked, or below."""
    from carrynet.engines.kernels import DOUBT, GROWING

    found = tree_model(of_formula(name, hidden, task, readout), SLACK)
    assert found is not None
    model = found._replace(offsets=np.full_like(found.offsets, 1e3))
    attempt = Grown(model, 0.2)
    by_numpy = ByNumpy(model, 0.2)
    attempt.grow(2, lambda: False)
    record = attempt._arrays["order"][int(attempt._arrays["tally"][3]) - 1]
    state, _, slot, since = attempt._arrays["tags"][4 * record :][:4].tolist()
    assert since < 2  # it is followed next, and not cut
    centre, shape, _ = by_numpy.follow(attempt, slot)
    assert np.trace(shape) > 1e-6
    images = Images(model.single, centre[None], shape[None])
    rows, offsets = model.rows[[state]], np.zeros_like(model.offsets[[state]])
    margins = images.margins(model.slack + tree_model_.LOST, rows, offsets)[model.asked[[state]]]
    off = 1e-4 * max(1.0, float(np.abs(margins).max()))
    offset = tree_model_.LEAST_MARGIN - margins.min() + (-off if doubtful else off)
    attempt._arrays["offsets"][model.asked.ravel().repeat(rows.shape[2])] = offset
    attempt.grow(3, lambda: False)
    assert attempt.end == (DOUBT if doubtful else GROWING)


def test_what_would_need_much_memory_is_left_to_numpy() -> None:
    """Long words of many symbols and units, and a layer of the readout that is very wide."""
    many, few = tasks.parse("add:base=10"), tasks.add()
    assert grown.refuses(Network(few, "gru", initialise(few, 128, "gru"))) is None
    refused = grown.refuses(Network(many, "gru", initialise(many, 128, "gru")))
    assert refused == "trees are grown by machine code for fewer units, or fewer symbols"
    layer = cells.readout("k = tanh(h @ Wk + bk); logits = k @ Why + by")
    for width, refuses in ((100, False), (9000, True)):
        wide = {"Wk": (4, width), "bk": (width,), "Why": (width, 1)}
        arrays = {name: np.zeros(shape, "f4") for name, shape in wide.items()}
        weights = Weights({**initialise(few, 4, "gru", readout=layer), **arrays})
        assert (grown.refuses(Network(few, "gru", weights, layer)) is not None) == refuses


@pytest.mark.parametrize(
    "cell",
    [
        "h = tanh(x @ Wxh + h @ Whh + relu(h @ Whh))",  # one matrix in two products
        "state = h, c\nc = tanh(x @ Wxc)\nh = tanh(c @ Wch + h @ Whh)",  # what the input sets
        f"state = h, {', '.join('abcdefgijklm')}\n"  # many small parts, which are padded
        + "\n".join(f"{part} = 0.5 * tanh({part} + b{part})" for part in "abcdefgijklm")
        + "\nh = tanh(h @ Whh + x @ Wxh + "
        + " + ".join("abcdefgijklm")
        + ")",
        "k1 = tanh(h @ W0)\n"
        + "\n".join(f"k{n + 1} = tanh(k{n} @ W{n} + h * k{n})" for n in range(1, 20))
        + "\nh = tanh(x @ Wxh + k20)",  # of too many leaves
    ],
)
def test_cells_without_machine_code_for_trees(cell: str) -> None:
    formula = Formula.parse(cell)
    network = Network(tasks.add(), formula, initialise(tasks.add(), 9, formula))
    refused = "there is no machine code for trees of such a cell, or readout"
    assert grown.refuses(network) == refused
    assert tree.refuses(network) is None


def test_the_constants_that_kernels_cannot_import_are_the_same() -> None:
    from carrynet.engines.kernels import MOST_AXIS, formula_images

    assert AXIS[MOST_AXIS] == "0"
    assert formula_images.LEAST_WIDTH == affine._LEAST_WIDTH


def test_words_are_cut_across_their_longest_axis() -> None:
    """Which is the eigenvector of the largest of T Q T^T, nearly; T the metric of the site."""
    from carrynet.engines.kernels import CUT_EVERY

    network = hardly_proved()
    model = tree_model(network, SLACK)
    assert model is not None
    attempt, by_numpy = Grown(model, 0.25), ByNumpy(model, 0.25)
    attempt.grow(3000, lambda: False)
    slots = {node: slot for slot, node in enumerate(attempt.next.tolist()) if node > 0}
    sites, best, depths = metric.States(model.sites, model.states), [], []
    for node, axis in list(attempt.axes.items())[:200]:
        centre, shape, _ = by_numpy.follow(attempt, slots[node])
        ball, steps = word_of(attempt, slots[node])
        state = int(attempt.labels[ball])
        for step in steps:
            state = int(model.delta[state, step]) if isinstance(step, int) else state
        (site,) = metric.nearest(sites, metric.States(centre[None], np.array([state])))
        squares = model.T[site] @ shape @ model.T[site].T
        a = np.array([AXIS.index(letter) - 9 for letter in axis])
        q = shape @ a / np.sqrt(a @ shape @ a)
        long = np.linalg.norm(model.T[site] @ q) ** 2
        best.append(long / np.linalg.eigvalsh(squares)[-1])
        assert long > 0.95 * 0.4 * np.trace(squares)
        depths.append([*(isinstance(step, int) for step in reversed(steps)), False].index(False))
    assert len(best) > 100
    assert max(best) < 1.001
    assert np.median(best) > 0.99
    assert min(depths) == CUT_EVERY


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize(("hidden", "most"), [(2, 1), (5, 1), (5, 300), (17, 1)])
def test_words_end_in_the_nearest_ball(
    monkeypatch: pytest.MonkeyPatch, hidden: int, most: int, lanes: int
) -> None:
    """Nearest of all of its site that were there before it: those of lower numbers were."""
    if lanes > jit.processor().lanes:
        pytest.skip("the processor has no such vectors")
    with_lanes(monkeypatch, lanes)
    monkeypatch.setattr(metric, "_FEW_SITES", most)
    model = lenient(random_network(hidden, "sigmoid", tasks.parse("add:base=3"), hidden))
    radius = {2: 0.004, 5: 0.1, 17: 0.2}[hidden]
    attempt, by_numpy = Grown(model, radius), ByNumpy(model, radius)
    attempt.grow(600, lambda: False)
    sites = metric.States(model.sites, model.states)
    ends = np.flatnonzero(attempt.next < 0)
    others = []
    for slot in ends[:: len(ends) // 150 or 1].tolist():
        ball = ~int(attempt.next[slot])
        centre, home = by_numpy.follow(attempt, slot)[0], attempt.homes[ball]
        state = attempt.labels[[ball]].astype(np.intp)
        assert metric.nearest(sites, metric.States(centre[None], state)) == home
        off = (attempt.centres[: ball + 1] - centre) @ model.T[home].T
        *distances, own = np.linalg.norm(off, axis=1)[attempt.homes[: ball + 1] == home]
        least = min(distances, default=np.inf)
        assert own < radius
        if own > 1e-3 * radius:
            assert own <= least + 1e-3 * radius
            others.append((len(distances), own / radius))
        else:  # made for this word, whose size is 0.92 of the radius at most
            assert least > 0.07 * radius
    among, far = np.array(others).T
    assert len(among) > 20
    assert far.max() > 0.5
    # more than are looked at at once
    assert max(among.max(), (model.states == 0).sum()) > 4 * attempt._L


def test_the_first_coordinates_of_a_metric_tell_most() -> None:
    """Of states that the machine does not tell apart."""
    network = plainly_trained()
    found, table = tree_model(network, SLACK), words.tables(network.task)
    assert found is not None
    h, state = np.repeat(network.start[None], 500, axis=0), np.zeros(500, int)
    for symbols in np.random.default_rng(0).integers(0, network.symbols, (40, 500)):
        h, state = network.step(h, symbols), table.delta[state, symbols]
    for T in found.T[1:]:
        spread = sum(np.cov(h[state == q] @ T.T, rowvar=False) for q in (0, 1))
        assert np.diag(spread)[:3].sum() > 0.85 * np.trace(spread)
        assert np.diag(spread).argmax() == 0


def test_a_metric_weighs_a_difference_by_what_it_will_do() -> None:
    """P_i = P0 + g E[J P_j J^T], but for a factor; the mean by one step after another."""
    network = plainly_trained()
    found = tree_model(network, SLACK)
    assert found is not None
    sites = metric.States(found.sites, found.states)
    before, _, after = metric._steps(network, metric._sample(network)[0], metric._STEPS)
    here, there = metric.nearest(sites, before), metric.nearest(sites, after)
    means, counts = np.zeros_like(found.P), np.bincount(here, minlength=len(found.P))
    for i, j, h in zip(here, there, after.h, strict=True):
        J = network.weights.Whh * (h * (1 - h))
        means[i] += J @ found.P[j] @ J.T / counts[i]
    base = (
        2 * np.eye(8) + network.weights.Why @ network.weights.Why.T / (network.weights.Why**2).sum()
    )
    terms = np.stack([np.broadcast_to(base, means[1:].shape).ravel(), means[1:].ravel()], axis=1)
    (scale, gain), *_ = np.linalg.lstsq(terms, found.P[1:].ravel())
    assert scale > 0
    assert 1 < gain <= metric._MOST * 1.001
    rest = found.P[1:].ravel() - terms @ [scale, gain]
    assert np.abs(rest).max() < 1e-2 * np.abs(found.P).max()
    assert counts[1:].min() > 0  # a site is where a step begins
    assert np.allclose(found.P[0], found.P[1:].mean(axis=0))


def test_metrics_know_of_the_balls_that_were_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first round, and only once."""
    known: list[metric.States | None] = []
    make = metric.metrics

    def counted(network: Network, states: metric.States | None = None) -> Any:
        known.append(states)
        return make(network, states)

    monkeypatch.setattr("carrynet.proof.tree_model.metrics", counted)
    assert search(training.fit(RECIPES["tutorial"].with_settings({"hidden": 8, "seed": 10})))
    assert len(known) == 2
    first, balls = known
    assert first is None
    assert balls is not None
    h, state = balls
    assert len(h) == len(state) > 1000
    assert ((h > -0.2) & (h < 1.2)).all()  # of parts, some have no state
    assert set(state.tolist()) == {0, 1}


@pytest.mark.parametrize("scale", [0.0, 1e-20, 2.0, 1e4, 1e15])
def test_of_any_weights_there_is_a_metric_or_none(scale: float) -> None:
    """Of states that all are the same, too, and of those that grow beyond all numbers."""
    network = random_network(5, "relu", tasks.parse("add"), 0)
    whole = {name: array * np.float32(scale) for name, array in network.weights.items()}
    found = tree_model(network.moved(Weights(**whole)), SLACK)
    assert (found is None) == (scale > 1e4)
    if found is not None:
        assert np.allclose(found.T.transpose(0, 2, 1) @ found.T, found.P)
        assert np.isfinite(found.ball).all()


@pytest.mark.parametrize("make", NETWORKS)
def test_what_is_found_is_accepted(make: Any) -> None:
    network = make()
    assert grown.refuses(network) is None
    one, again = search(network), search(network)
    assert one is not None
    assert check(model(network), one).margin > 0
    assert one == again


@pytest.mark.parametrize("make", NETWORKS)
def test_without_machine_code_numpy_searches(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    network = make()
    monkeypatch.setattr(grown, "refuses", lambda network: "not here")
    monkeypatch.delattr(Grown, "grow")
    found = search(network)
    assert found is not None
    assert check(model(network), found).margin > 0


@pytest.mark.parametrize("hidden", [8, 16, 32])
def test_trained_networks_are_proved(hidden: int) -> None:
    seed = {8: 4, 16: 3, 32: 2}[hidden]
    recipe = RECIPES["tutorial"].with_settings({"hidden": hidden, "seed": seed})
    network = training.fit(recipe, reports=1)
    found = search(network)
    assert found is not None
    assert len(found.trees) > 50
    assert check(model(network), found).margin > 0
    with pytest.raises(Rejected):
        check(model(network), replace(found, radii=[0.0, *(0.9 * r for r in found.radii[1:])]))


def test_nodes_go_where_trees_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though there are 15 larger radii, of which the first trees go on and on."""
    attempts, needed = [], 200_000

    class Attempt:
        """One of the smallest radius ends a tree every 400 nodes, the others end three in all."""

        def __init__(self, _: object, radius: float, __: object = None) -> None:
            self.radius, self.made = radius, (0, 500)
            attempts.append(self)

        def grow(self, nodes: int, _: object) -> None:
            self.made = nodes, 500

        @property
        def begun(self) -> tuple[int, int]:
            ends = self.radius == min(tree.RADII)
            return min(500, self.made[0] // 400) if ends else 3, 500

        @property
        def closed(self) -> bool:
            return self.begun[0] == 500

        @property
        def goes_on(self) -> bool:
            return not self.closed

    monkeypatch.setattr(tree, "Grown", Attempt)
    monkeypatch.setattr(tree, "_better", lambda attempts: None)
    live: Any = [Attempt(None, radius) for radius in tree.RADII]
    found: Any = tree._side_by_side(live, time.monotonic() + 60, None)
    assert found.closed
    assert sum(attempt.made[0] for attempt in attempts) < 5 * needed


def test_where_nothing_is_asked_every_answer_is_right() -> None:
    network = hand_built_adder()
    found = tree_model(network, SLACK)
    assert found is not None
    wrong = found._replace(rows=-found.rows, offsets=-found.offsets)
    for asked, closes in ((True, False), (False, True)):
        attempt = Grown(wrong._replace(asked=np.full_like(found.asked, asked)), 0.25)
        attempt.grow(10**5, lambda: False)
        assert attempt.closed == closes
        assert not attempt.goes_on


def test_symbols_may_be_many() -> None:
    """100 of them, with their children in order of size."""
    network = random_network(5, "sigmoid", tasks.parse("add:base=10"), 1)
    attempt = Grown(lenient(network), 0.5)
    attempt.grow(20, lambda: False)
    arrays = attempt._arrays
    waiting = arrays["order"][: int(arrays["tally"][3])]
    assert len(set(arrays["order"].tolist())) == len(arrays["order"])
    slots = arrays["tags"].reshape(-1, 4)[waiting, 2]
    for node in set((slots // 100).tolist()):
        traces = arrays["traces"][waiting[slots // 100 == node]]
        assert (np.diff(traces) >= 0).all()


def test_what_is_too_large_is_left_to_numpy() -> None:
    for hidden, task, refused in (
        (64, "add:base=10", None),
        (65, "add", "64 hidden units"),
        (3, "add:base=16", "128 symbols"),
    ):
        reason = grown.refuses(random_network(hidden, "sigmoid", tasks.parse(task), 0))
        assert (reason is None) if refused is None else refused in str(reason)


def test_a_wrong_network_is_not_proved(forgetful: Network) -> None:
    assert search(forgetful, 5) is None


def test_trees_that_were_interrupted_go_on() -> None:
    """A little at a time, and with more room than at first, as all at once."""
    found = tree_model(plainly_trained(), SLACK)
    assert found is not None
    whole, parts = Grown(found, 0.1), Grown(found, 0.1)
    whole.grow(10**6, lambda: False)
    while parts.goes_on:
        parts.grow(parts.made[0] + 7, lambda: False)
    assert whole.closed == parts.closed
    assert whole.made == parts.made
    assert whole.made[0] > 2**10  # more than there was room for
    assert (whole.next == parts.next).all()
    assert whole.begun[0] == whole.made[1] or not whole.closed


def test_both_searches_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = "--cell gru --hidden 4 --task parity --nodes 60 --rounds 1"
    monkeypatch.setattr(sys, "argv", ["trees", *arguments.split()])
    trees.main()
    *_, row = capsys.readouterr().out.splitlines()
    task, cell, hidden, ours, theirs, ratio = row.strip("| ").split(" | ")
    assert (task, cell, hidden) == ("parity", "gru", "4")
    native, numpy = (float(number.replace(",", "")) for number in (ours, theirs))
    assert float(ratio) == pytest.approx(native / numpy, rel=0.1, abs=0.1)
