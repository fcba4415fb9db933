"""Training on the certificate: boxes and weights together, over the edges of the machine."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import carrynet as cn
from carrynet import engines, tasks
from carrynet.data import drawn
from carrynet.data.regions import Edges, regions
from carrynet.data.words import OPEN, tables
from carrynet.errors import InputError
from carrynet.learn import edges, training
from carrynet.learn.training import Progress
from carrynet.nets import cells, invariant, step
from carrynet.nets.formula import Formula
from carrynet.nets.invariant import Strength
from carrynet.nets.losses import predict
from carrynet.nets.network import Network
from carrynet.nets.readings import interpret
from carrynet.nets.readings.numbers import NUMBERS
from carrynet.nets.recurrence import blank
from carrynet.nets.weights import Weights, initialise
from carrynet.proof import search
from carrynet.report import text
from carrynet.spec import recipe as recipes
from carrynet.spec.recipe import RECIPES, Recipe, get
from carrynet.spec.stage import CLOSE, Stage
from carrynet.spec.task import Task
from tests.test_cells import LAYERS, OWN, UNREAD

pytestmark = pytest.mark.usefixtures("short_words")

STRENGTH = Strength(worst=0.6, slack=0.02, closing=0.7, forgetting=0.3)
# a gate of the input alone; one gate for two parts of the state, for one of them the other way
INPUT_GATE = "k = sigmoid(x @ Wxk + bk)\nh = mix(k, tanh(x @ Wxh + bh + h @ Whh), h)"
SHARED_GATE = """
state = h, s, u
f = sigmoid(x @ Wxf + bf + h @ Whf)
n = tanh(x @ Wxn + bn + s @ Wsn)
s = f * s + n
u = mix(f, u, n)
h = mix(f, tanh(u @ Wuh), h)
"""
EQUATIONS = {"own": OWN, "unread": UNREAD, "input gate": INPUT_GATE, "shared gate": SHARED_GATE}
NAMES = ["sigmoid", "tanh", *cells.CELLS, "gru,lstm", *EQUATIONS]


def example(
    name: str, task: Task, *, layers: bool = False, learned: bool = True
) -> tuple[Network, Weights]:
    """A network and boxes at random, in float64."""
    rng = np.random.default_rng(3)
    cell = Formula.parse(EQUATIONS[name]) if name in EQUATIONS else cells.named(name)
    readout = cells.readout(LAYERS) if layers else cells.readout()
    weights = initialise(
        task, 3, cell, readout=readout, learned_start=learned, dtype="float64"
    ).map(lambda w: rng.uniform(-1, 1, w.shape))
    network = Network(task, cell, weights, readout)
    boxes = invariant.begin(network).map(lambda a: a + 0.1 * rng.normal(size=a.shape))
    return network, invariant.least_radius(boxes, 0.01)


def every_edge(task: Task) -> Edges:
    known = regions(task)
    return known.edges(np.arange(known.edge_count))


def by_differences(loss: Callable[[Weights], float], at: Weights, along: Weights) -> float:
    """How a loss changes along a direction."""
    step = 1e-6
    ends = [loss(at.map(lambda a, d, s=s: a + s * d, along)) for s in (step, -step)]
    return (ends[0] - ends[1]) / (2 * step)


def check_gradients(
    loss: Callable[[Weights], float], at: Weights, gradients: Weights, rng: np.random.Generator
) -> None:
    """Compare the gradient by each array with differences, along a random direction."""
    assert {*gradients} == {*at}
    for key in at:
        along = at.map(np.zeros_like).replace(**{key: rng.normal(size=at[key].shape)})
        inner = float((gradients[key] * along[key]).sum())
        expected = by_differences(loss, at, along)
        assert inner == pytest.approx(expected, abs=1e-7, rel=1e-6), key
        if abs(expected) > 1e-2:  # and one that is 0.1 % off would be seen
            assert 1.001 * inner != pytest.approx(expected, abs=1e-7, rel=1e-6), key


@pytest.mark.parametrize("layers", [False, True])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["add", "compare:base=3"])
def test_gradients_of_weights_and_boxes(name: str, layers: bool, text: str) -> None:
    if layers and name == "own":
        return  # both have weights Whu
    network, boxes = example(name, tasks.parse(text), layers=layers)
    some, rng = every_edge(network.task), np.random.default_rng(0)

    def of_weights(weights: Weights) -> float:
        moved = Network(network.task, network.cell, weights, network.readout)
        return invariant.gradient(moved, boxes, some, STRENGTH).loss

    def of_boxes(values: Weights) -> float:
        return invariant.gradient(network, values, some, STRENGTH).loss

    found = invariant.gradient(network, boxes, some, STRENGTH)
    for loss, at, gradients in (
        (of_weights, network.weights, found.weights),
        (of_boxes, boxes, found.boxes),
    ):
        check_gradients(loss, at, gradients, rng)


def test_what_moves_a_long_sum_is_found_at_once() -> None:
    doubled = "; ".join(f"a{i + 1} = a{i} + a{i}" for i in range(300))
    cell = Formula.parse(f"a0 = h + h; {doubled}; h = a300 + tanh(x @ Wxh + h @ Whh)")
    ((value, magnitude),) = step.rises(cell)
    assert (value is None, magnitude) == (False, None)


@pytest.mark.parametrize("name", ["tanh", "gru", "mgu", "lstm", "gru,lstm", "shared gate"])
def test_gradients_where_units_are_pulled_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, boxes = example(name, tasks.add())
    network = network.moved(network.weights.map(lambda w: 4 * w))
    boxes = boxes.replace(radius=3 * boxes.radius)
    some, rng = every_edge(network.task), np.random.default_rng(0)

    def loss(weights: Weights) -> float:
        return invariant.gradient(network.moved(weights), boxes, some, STRENGTH).loss

    found = invariant.gradient(network, boxes, some, STRENGTH)
    check_gradients(loss, network.weights, found.weights, rng)
    monkeypatch.setattr(invariant, "PULL", 0.0)
    assert found.loss > loss(network.weights) + 0.01


def test_the_loss_by_hand() -> None:
    # one unit, parity of one bit: h' = tanh(x wx + h wh), read out by logit = 2 h
    task = tasks.parse("parity")
    x = tables(task).vectors
    weights = Weights(
        Wxh=np.array([[0.5]] * task.inputs), Whh=np.array([[-0.75]]), bh=np.zeros(1),
        Why=np.array([[2.0]]), by=np.array([0.25]),
    )  # fmt: skip
    network = Network(task, "tanh", weights)
    some = every_edge(task)
    known = regions(task)
    R, Q = known.count, len(task.machine.states)
    boxes = Weights(
        centre=np.linspace(-0.5, 0.5, R)[:, None], radius=np.full((R, 1), 0.125),
        Wstate=np.zeros((1, Q)), bstate=np.zeros(Q),
    )  # fmt: skip
    per_edge, outside = [], []
    for r, a, t, y in zip(some.source, some.symbol, some.target, some.output, strict=True):
        c, w = (0.0, 0.0) if r == 0 else (boxes.centre[r, 0], 0.125)
        drive = float(0.5 * x[a].sum())
        ends = sorted(np.tanh(drive - 0.75 * (c + s * w)) for s in (-1, 1))
        low, high = ends[0] - 0.02, ends[1] + 0.02
        middle = (low + high) / 2

        def cross_entropy(h: float, y: int = int(y)) -> float:
            logit = 2 * h + 0.25
            return float(np.logaddexp(0, logit) - y * logit)

        per_edge.append((cross_entropy(middle), cross_entropy(low if y else high)))
        inside = boxes.centre[t, 0] - 0.125, boxes.centre[t, 0] + 0.125
        outside.append(max(0, inside[0] - low) + max(0, high - inside[1]))

    # the start counts as much as each of the two states: 1/3, and in that, each of its edges
    from_state = [-1 if r == 0 else known.state[r] for r in some.source]
    weight = [1 / 3 / from_state.count(q) for q in from_state]

    def mean(values: list[float], doubt: float) -> float:
        """Over those that are in doubt."""
        in_doubt = sum(w for w, value in zip(weight, values, strict=True) if value > doubt)
        return sum(w * v for w, v in zip(weight, values, strict=True)) / max(in_doubt, 0.05)

    at_centre, at_worst = zip(*per_edge, strict=True)
    total = 0.4 * mean(list(at_centre), 0.1) + 0.6 * mean(list(at_worst), 0.1) + np.log(Q)
    total += 0.7 * mean(outside, 0)
    loss = invariant.gradient(network, boxes, some, STRENGTH).loss
    assert loss == pytest.approx(total)


@pytest.mark.parametrize(
    ("cell", "biases", "of", "centre", "pull"),
    [
        ("tanh", {"bh": 6.0}, "bh", -0.9, 0.1),
        ("tanh", {"bh": 6.0}, "bh", 0.99, 0.0),  # where it is right to be
        ("tanh", {"bh": -6.0}, "bh", 0.9, -0.1),
        ("gru", {"bn": 6.0}, "bn", -0.9, 0.1),
        ("gru", {"bn": -6.0}, "bn", 0.9, -0.1),
        ("lstm", {"bg": 6.0}, "bg", -0.9, 0.1),
        # an output gate: shut, where the unit should be farther from 0, on either side; and open
        ("lstm", {"bo": -6.0, "bg": -6.0}, "bo", -0.9, -0.1),
        ("lstm", {"bo": -6.0, "bg": 6.0}, "bo", 0.9, -0.1),
        ("lstm", {"bo": 6.0, "bg": 6.0}, "bo", 0.1, 0.1),
        ("lstm", {"bo": 6.0, "bg": -6.0}, "bo", -0.1, 0.1),
    ],
)
def test_a_unit_that_stands_out_saturated_is_pulled_back(
    cell: str, biases: dict[str, float], of: str, centre: float, pull: float
) -> None:
    """Its pre-activation counts, whose own slope is some 0.001; where it is right to be, not."""
    task = tasks.parse("parity")
    weights = initialise(task, 1, cells.named(cell), dtype="float64").map(np.zeros_like)
    set_ = {name: np.array([value]) for name, value in biases.items()}
    network = Network(task, cells.named(cell), weights.replace(**set_))
    boxes = invariant.begin(network)
    boxes = boxes.replace(
        centre=np.full_like(boxes.centre, centre), Wstate=0 * boxes.Wstate, bstate=0 * boxes.bstate
    )
    found = invariant.gradient(network, boxes, every_edge(task), Strength(0.0, 0.02, 1.0, 0.0))
    assert float(found.weights[of][0]) == pytest.approx(pull, abs=2e-3)


@pytest.mark.parametrize("lengths", ["whole", "drawn"])
def test_boxes_begin_round_the_states_of_the_words_that_were_learned_from(lengths: str) -> None:
    """Of arithmetic, where uniform words are hardly ever an expression: the mean, region by region.

    One word that leads to each region counts, too.
    """
    settings = {"task": "modular:3", "cell": "lstm", "hidden": 4, "learn.growing": 0.0}
    recipe = get("certified").with_settings({**settings, "learn.lengths": lengths})
    network = training.start(recipe).network
    first = recipe.stages[0].steps - 40  # of 64 words of 16 symbols each
    words = (drawn.draw(recipe, 0, first, 40) % 6).reshape(-1, 16)
    machine, known = recipe.specification.machine, regions(network.task)
    double = network.astype("float64")
    met = [[double.start]]
    for source, symbol in zip(known.source[1:], known.symbol[1:], strict=True):
        met.append([double.step(met[source][0][None], np.array([symbol]))[0]])
    states, at = np.repeat(double.start[None], len(words), axis=0), [0] * len(words)
    for symbols in words.T:
        states = double.step(states, symbols)
        at = [machine.delta[q][a] for q, a in zip(at, symbols, strict=True)]
        for q, a, state in zip(at, symbols, states, strict=True):
            met[known.entered[q, a]].append(state)
    centre = edges.begin(network, recipe, 1).values.centre
    np.testing.assert_allclose(centre, [np.mean(each, axis=0) for each in met], atol=1e-6)
    assert np.quantile([len(each) for each in met], 0.1) > 8
    uniform = invariant.begin(network).centre
    assert np.abs(uniform - centre).max() > 0.01
    usual = replace(recipe, stages=(replace(recipe.stages[0], words="usual"), recipe.stages[1]))
    if lengths == "whole":
        assert (edges.begin(network, usual, 1).values.centre == uniform).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_part_of_the_state_rises_with_what_is_said_to_move_it(name: str) -> None:
    """By carrying the step out again with that raised; its magnitude with the other."""
    network, _ = example(name, tasks.add(), learned=False)
    cell, rng, bumped = network.cell, np.random.default_rng(1), set()
    known = {slot for each in step.rises(cell) for slot in each if slot is not None}
    first = len(cell.inputs)
    for _ in range(20):
        slots = blank(cell, network.weights)
        slots[0] = tables(network.task).vectors[rng.integers(0, 4, 1)]
        for i in range(len(cell.state)):
            slots[first + i] = rng.uniform(-1, 1, (1, 3))
        interpret(cell.instructions, NUMBERS, slots)
        for result, moved in zip(cell.results, step.rises(cell), strict=True):
            for slot, what in ((moved.value, lambda v: v), (moved.magnitude, np.abs)):
                if slot is None:
                    continue
                raised = list(slots)
                raised[slot] = slots[slot] + 0.5
                done = [each.out for each in cell.instructions].index(slot)
                interpret(cell.instructions[done + 1 :], NUMBERS, raised)
                rise = what(raised[result]) - what(slots[result])
                assert (rise >= 0).all()
                if (rise > 0).all():
                    bumped.add(slot)
    expected = {"own": 0, "gru,lstm": 4, "lstm": 3, "shared gate": 2}
    assert len(known) == expected.get(name, 1)
    assert bumped == known


def test_of_many_edges_the_start_is_met_by_its_share() -> None:
    task = tasks.parse("add:base=7")
    known = regions(task)
    some = known.some(np.linspace(0, 1, 90, endpoint=False))
    assert (some.source == 0).sum() >= 30  # the start, and two states
    assert some.weight.sum() == pytest.approx(1)
    assert some.weight[some.source == 0].sum() == pytest.approx(1 / 3)
    assert len(set(known.state[some.source[30:]])) == 2


def test_many_rows_of_edges_are_what_each_is_alone() -> None:
    known, draws = regions(tasks.parse("add:base=7")), np.random.default_rng(0).random((3, 90))
    rows = known.some(draws)
    assert len({tuple(row) for row in rows.source.tolist()}) == 3
    for i, each in enumerate(draws):
        for one, other in zip(rows.row(i), known.some(each), strict=True):
            np.testing.assert_array_equal(one, other)


def test_edges_are_those_that_words_take() -> None:
    for task in (tasks.add(), tasks.parse("divide_by:k=3"), tasks.parse("dyck:kinds=1,depth=2")):
        every, machine = every_edge(task), task.machine
        at = dict(zip(zip(every.source.tolist(), every.symbol.tolist(), strict=True),
                      range(len(every.source)), strict=True))  # fmt: skip
        assert regions(task).count == 1 + machine.entrances
        rng, seen = np.random.default_rng(0), set()
        for _ in range(300):
            region = state = 0
            for a in rng.integers(0, len(machine.symbols), 12).tolist():
                edge = at[region, a]
                seen.add(edge)
                asked = machine.output[state][a]
                assert every.output[edge] == (OPEN if asked is None else asked)
                state, region = machine.delta[state][a], int(every.target[edge])
                assert every.state[edge] == state
        assert seen == {*range(len(every.source))}


@pytest.mark.parametrize(
    ("cell", "kept"), [("gru", 1), ("gru-reset-before", 1), ("lstm", 1), ("mgu", 1), ("tanh", 0)]
)
def test_gates_that_keep_the_state(cell: str, kept: int) -> None:
    """Pushed shut as the penalty says, each forgets: the state before has no influence by it."""
    formula = cells.formula(cell)
    gates = step.keeping(formula)
    assert len(gates) == kept
    text = {"gru": "z", "gru-reset-before": "z", "lstm": "f", "mgu": "f"}
    made_by = {each.out: each for each in formula.instructions}
    for slot, sign in gates:
        drives: list[int] = [slot]
        names = set()
        while drives:
            slot = drives.pop()
            if slot in made_by:
                drives += made_by[slot].operands
            names.add(formula.parameter_slots.get(slot, ""))
        assert f"Wx{text[cell]}" in names
        assert sign == (-1 if cell == "mgu" else 1)


def test_a_gate_on_its_way_through_a_matrix_keeps_nothing() -> None:
    reset_only = "r = sigmoid(x @ Wxr + br)\nh = tanh(x @ Wxh + bh + (r * h) @ Whh)"
    assert step.keeping(Formula.parse(reset_only)) == ()
    assert len(step.keeping(Formula.parse(SHARED_GATE))) == 2  # each way once
    both = "k = sigmoid(x @ Wxk + bk)\nh = k * h + (1 - k) * tanh(x @ Wxh + bh)"
    assert len(step.keeping(Formula.parse(both))) == 1


# Stages over edges ---------------------------------------------------------------------


def closing(**changed: object) -> Recipe:
    """A GRU for parity that is trained in two short stages."""
    learn = Stage(steps=60, batch=16, optimiser="adam", step=0.02, loss="cross-entropy")
    recipe = Recipe(
        name="short", task="parity", digits=8, hidden=6, cell="gru", biases=True,
        init_scaling="sqrt-hidden", stages=(learn, CLOSE),
    )  # fmt: skip
    return recipe.with_settings({"close.steps": 40, "close.again": 0, **changed})


@pytest.mark.parametrize(
    ("batch", "stage", "passes"), [(512, "close", 1), (5, "close", 1), (512, "close_again", 2)]
)
def test_a_stage_over_edges_goes_on_bit_for_bit(
    tmp_path: Path, batch: int, stage: str, passes: int
) -> None:
    recipe = closing(**{"close.batch": batch, "start": "learned", "close.again": passes - 1})
    whole = cn.train(recipe, progress=False)

    def stop(progress: Progress) -> None:
        if progress.stage == stage and progress.step >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cn.train(recipe, out=tmp_path / "run", callbacks=[stop], progress=False)
    run = cn.resume(tmp_path / "run", progress=False)
    assert run.network.digest() == whole.network.digest()
    assert run.made == whole.made == recipe
    assert [line["problem"] for line in run.metrics] == [line["problem"] for line in whole.metrics]
    per_update = min(batch, regions(recipe.specification).edge_count)
    assert run.metrics[-1]["problem"] == 60 * 16 + passes * 40 * per_update
    assert recipe.problems == 60 * 16


def test_damaged_boxes_of_a_checkpoint_are_refused(tmp_path: Path) -> None:
    from carrynet import files
    from carrynet.runs import checkpoint

    def stop(progress: Progress) -> None:
        if progress.stage == "close":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cn.train(closing(), out=tmp_path / "run", callbacks=[stop], progress=False)
    path = tmp_path / "run" / "checkpoint.safetensors"
    tensors, facts = files.read_tensors(path)
    facts.pop("digest")
    centre = tensors["boxes.centre"]
    for damaged in (
        {**tensors, "boxes.centre": centre[1:]},
        {**tensors, "boxes.centre": np.full_like(centre, np.nan)},
        {**tensors, "boxes.more": centre},
        {name: array for name, array in tensors.items() if not name.startswith("boxes.")},
        {name: array for name, array in tensors.items() if not name.startswith("boxes")},
    ):
        said = {**facts, "digest": checkpoint.digest(damaged, facts)}
        files.write_tensors(path, damaged, said)
        with pytest.raises(cn.errors.RunError, match="boxes"):
            cn.resume(tmp_path / "run", progress=False)


def plainly_trained(cell: str, task: str, seed: int) -> Network:
    learn = Stage(steps=250, batch=32, optimiser="adam", step=0.02, loss="cross-entropy")
    return training.fit(
        Recipe(
            name="plain",
            task=task,
            digits=10,
            hidden=8,
            cell=cell,
            biases=True,
            init_scaling="sqrt-hidden",
            seed=seed,
            stages=(learn,),
        )
    )


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_what_was_trained_as_usual_is_proved_once_it_is_hardened(cell: str) -> None:
    plain = plainly_trained(cell, "add", 1)
    assert search.prove(plain, budget=0).verdict != "proved"
    hardened = cn.harden(plain, progress=False, settings={"steps": 700})
    assert hardened.proof.verdict == "proved"
    assert hardened.recipe.stages[0].over == "edges"


@pytest.mark.parametrize(
    ("cell", "task", "stages"),
    [
        ("elman", "add", ("harden", "again")),  # the one by which he learns it, twice
        ("elman", "tomita:3", ("close",)),
        ("gru", "dyck", ("close",)),
        ("h = sigmoid(x @ Wxh + bh + h @ Whh)", "add", ("close",)),
    ],
)
def test_a_network_is_hardened_as_certified_hardens_its_cell_and_task(
    cell: str, task: str, stages: tuple[str, ...]
) -> None:
    plain = get("plain").with_settings({"cell": cell, "task": task})
    network = training.start(plain).network
    hardened = training.hardening(plain, network)
    certified = get("certified").with_settings({"cell": cell, "task": task}).stages[-1]
    assert tuple(stage.name for stage in hardened.stages) == stages
    assert (hardened.stages[0] == certified) == ("=" not in cell)
    assert hardened.stages[0].over == ("problems" if stages[0] == "harden" else "edges")


@pytest.mark.parametrize(("cell", "task"), [("elman", "tomita:6"), ("gru", "dyck")])
def test_machines_of_words_are_proved_once_they_are_hardened(cell: str, task: str) -> None:
    """Tomita's sixth grammar is not, of Elman's cell, by bounds along words."""
    plain = get("plain").with_settings({"cell": cell, "task": task, "hidden": 16, "steps": 1_000})
    network = training.fit(plain, reports=1)
    assert not isinstance(search.prove(network, budget=0), cn.Proved)
    hardened = training.fit(
        recipe := training.hardening(plain, network), state=training.start(recipe, network)
    )
    assert isinstance(search.prove(hardened, budget=0), cn.Proved)


def test_boxes_are_an_invariant_where_nothing_stands_out() -> None:
    """The parameters themselves, once they have closed: disturbed words stay inside them."""
    plain = plainly_trained("gru", "parity", 0)
    recipe = training.hardening(cn.lab.importing(plain), plain)
    states = []

    def keep(progress: Progress) -> None:
        states.append(progress.state)

    training.fit(recipe, state=training.start(recipe, plain), callbacks=[keep])
    before = states[-2]
    assert before.boxes is not None
    network, boxes = before.network.astype("float64"), before.boxes.values
    every, rng = every_edge(network.task), np.random.default_rng(0)
    known = regions(network.task)
    centre, radius = boxes.centre.astype(float), boxes.radius.astype(float)
    outside = invariant.gradient(before.network, boxes, every, Strength(0, CLOSE.slack, 1, 0)).loss
    outside -= invariant.gradient(before.network, boxes, every, Strength(0, CLOSE.slack, 0, 0)).loss
    assert outside < 1e-3
    states_, region = np.repeat(network.start[None], 64, axis=0), np.zeros(64, np.intp)
    for _ in range(200):
        symbols = rng.integers(0, 2, 64)
        states_ = network.step(states_, symbols) + rng.uniform(-1, 1, states_.shape) * CLOSE.slack
        region = known.after(region, symbols)
        assert (np.abs(states_ - centre[region]) <= radius[region] + 0.01).all()


# Made again ----------------------------------------------------------------------------


def seen_open(network: Network, boxes: Weights, slack: float, words: int = 64) -> int:
    """Of how many edges corners of the box are seen to lead out of a box less the slack, or wrong.

    No more than there are, since only some corners are looked at.
    """
    task, rng = network.task, np.random.default_rng(0)
    known, table, count = regions(task), tables(task), 0
    for region in range(known.count):
        centre, radius = boxes.centre[region], boxes.radius[region] * (region > 0)
        corners = rng.choice([-1, 1], (words, len(centre)))
        states = centre + radius * corners if region else network.start[None]
        for a in range(len(task.machine.symbols)):
            after = network.step(states, np.full(len(states), a))
            into = int(known.after(np.array([region]), np.array([a]))[0])
            out = np.abs(after - boxes.centre[into]) > boxes.radius[into] - slack + 1e-12
            output = table.output[known.state[region], a]
            wrong = output != OPEN and predict(network.read(after)) != output
            count += bool(out.any() or np.any(wrong))
    return count


def at_the_end(recipe: Recipe) -> tuple[Network, Weights]:
    """The network and boxes that the last stage, over edges, ends in."""
    states = []

    def keep(progress: Progress) -> None:
        if progress.state.boxes is not None:
            states.append(progress.state)

    network, last = training.fit(recipe, callbacks=[keep]), states[-1]
    assert last.boxes is not None
    left = recipe.stages[-1].steps - last.step
    given = last.network, last.moments, last.boxes, recipe, last.stage, last.step, left
    weights, _, boxes, *_ = edges.advance(*given, engines.get("auto", recipe).edges)
    assert network.moved(weights).digest() == network.digest()
    return network.astype("float64"), boxes.values.map(lambda a: a.astype(np.float64))


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_boxes_are_closed_where_all_edges_lead_into_them(cell: str) -> None:
    settings = {"cell": cell, "task": "tomita:3", "hidden": 8, "close.again": 0}
    recipe = get("certified").with_settings(settings)
    (network, boxes), slack = at_the_end(recipe), recipe.stages[-1].slack / 2
    assert invariant.open_edges(network, boxes, slack, 100) == 0
    assert invariant.open_edges(network, boxes, slack, 5) == 0
    assert seen_open(network, boxes, slack) == 0
    # a single unit of one box that leaves no room, and one box that is elsewhere
    for name, unit, value in (("radius", 3, 0.0), ("centre", 5, 2.0)):
        array = boxes[name].copy()
        array[2, unit] = value
        spoilt = boxes.replace(**{name: array})
        assert seen_open(network, spoilt, slack) > 0
        assert seen_open(network, spoilt, slack) <= invariant.open_edges(
            network, spoilt, slack, 100
        )
    # answers the other way round, which lead into the same boxes
    wrong = network.moved(network.weights.map(np.copy).replace(by=network.weights.by - 60))
    assert 0 < seen_open(wrong, boxes, slack) <= invariant.open_edges(wrong, boxes, slack, 100)
    # the edges into a box that is spoilt, and no others
    every = regions(network.task).edges(np.arange(regions(network.task).edge_count))
    spoilt = boxes.replace(centre=boxes.centre + 9 * (np.arange(len(boxes.centre)) == 2)[:, None])
    into = np.isin(every.target, 2) | np.isin(every.source, 2)
    assert invariant.open_edges(network, spoilt, slack, 100) == into.sum() < len(into)


def test_a_stage_that_leaves_boxes_open_is_made_again(tmp_path: Path) -> None:
    open_ = closing(**{"close.steps": 3, "close.again": 1})
    told = list[Progress]()
    network = training.fit(open_, callbacks=[told.append])
    (learn, close), (*_, again) = open_.stages, open_.schedule
    assert again == replace(close, name="close_again", again=0)
    assert [each.name for each in open_.schedule] == ["learn", "close", "close_again"]
    assert {each.stage for each in told} == {"learn", "close", "close_again"}
    extra = 3 * regions(open_.specification).edge_count
    shown = 60 * 16 + extra
    assert {each.problems for each in told if each.stage != "close_again"} == {shown}
    assert (told[-1].problem, told[-1].problems) == (shown + extra, shown + extra)
    # as a recipe that has both of them, as far as each is told of
    both = replace(open_, stages=(learn, replace(close, again=0), again))
    assert network.digest() == training.fit(both).digest()
    assert (open_.edges, both.edges) == (2 * extra, 2 * extra)

    run = cn.train(open_, out=tmp_path / "run", progress=False)
    assert run.made == open_
    document = run.to_json()["training"]
    assert (document["again"], document["edges"]) == (1, 2 * extra)
    assert (document["stage"], document["open_edges"]) == ("close_again", list(run.open_edges))
    said = (
        "3 times 10 edges of the machine, twice, since boxes stayed open: of 10 edges at first, "
        "of 10 in the network that is kept"
    )
    assert said in text.summary(run)
    assert said in (tmp_path / "run" / "README.md").read_text()
    assert cn.load(tmp_path / "run").open_edges == run.open_edges == (10, 10)
    (trained,) = training.train_many([open_])
    assert isinstance(trained, training.Trained)
    assert (trained.made, trained.network.digest()) == (open_, network.digest())
    assert trained.open_edges == run.open_edges


def test_a_stage_is_made_again_while_it_leaves_boxes_open(tmp_path: Path) -> None:
    """As often as the recipe says, or while most stay open but ever fewer.

    Kept is the network that left the fewest, of such the last.
    """
    seen = dict[str, Recipe]()
    for (steps, most), seed in product(((20, 1), (40, 2), (80, 3)), range(8)):
        recipe = closing(**{"close.steps": steps, "close.again": most, "seed": seed})
        ends = list[tuple[int, Network]]()

        def keep(progress: Progress, ends: list[tuple[int, Network]] = ends) -> None:
            if progress.open_edges is not None:
                ends.append((progress.open_edges, progress.state.network))

        kept = training.fit(recipe, callbacks=[keep]).digest()
        opened, networks = zip(*ends, strict=True)
        assert 0 not in opened[:-1]
        hopeless = [
            8 * now > 7 * recipe.every_edge and 10 * now > 9 * min(opened[:i])
            for i, now in enumerate(opened)
            if i
        ]
        assert not any(hopeless[:-1])
        if opened[-1] and len(opened) < 1 + most:
            assert hopeless[-1]
            seen["hopeless"] = recipe
        # the last report has what was kept
        *others, last = (network.digest() for network in networks)
        assert kept == last
        best = max(i for i, count in enumerate(opened) if count == min(opened))
        if best < len(opened) - 1:
            assert last == others[best]
            seen["worse"] = recipe
        else:
            assert last not in others
            seen["closed" if len(opened) > 2 and opened[-1] == 0 else "best"] = recipe
    assert {*seen} == {"worse", "closed", "best", "hopeless"}

    run = cn.train(seen["worse"], out=tmp_path / "run", progress=False)
    best = max(i for i, count in enumerate(run.open_edges) if count == min(run.open_edges))
    assert run.to_json()["training"]["stage"] == ("close", "close_again", "close_again2")[best]
    for told in (text.summary(run), (tmp_path / "run" / "README.md").read_text()):
        assert f"of {min(run.open_edges)} in the network that is kept" in told
    closed = cn.train(seen["closed"], progress=False)
    assert f"{len(closed.open_edges)} times, since boxes stayed open" in text.summary(closed)
    assert "of 0 in the network that is kept" in text.summary(closed)
    assert search.prove(closed.network, budget=0).verdict == "proved"


@pytest.mark.parametrize("at", ["close_again", "close_again2"])
def test_what_is_made_again_goes_on_bit_for_bit(tmp_path: Path, at: str) -> None:
    """Also where the network before is the better one."""
    changed = {"close.steps": 40, "close.again": 3, "seed": 2}
    whole = cn.train(closing(**changed), progress=False)
    assert len(whole.open_edges) > 2

    def stop(progress: Progress) -> None:
        if progress.stage == at and progress.step >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cn.train(whole.recipe, out=tmp_path / "run", callbacks=[stop], progress=False)
    run = cn.resume(tmp_path / "run", progress=False)
    assert run.network.digest() == whole.network.digest()
    assert (run.made, run.open_edges) == (whole.made, whole.open_edges)


def test_a_stage_that_closes_its_boxes_is_not_made_again(tmp_path: Path) -> None:
    settings = {"cell": "gru", "task": "parity", "hidden": 8}
    recipe = get("certified").with_settings({**settings, "seed": 1})
    once = recipe.with_settings({"close.again": 0})
    run = cn.train(recipe, out=tmp_path / "run", progress=False)
    assert run.network.digest() == training.fit(once).digest()
    assert {line["stage"] for line in run.metrics} == {"learn", "close"}
    assert (run.made, cn.load(tmp_path / "run").made) == (once, once)
    assert run.made.edges == once.edges
    assert run.recipe.edges == (1 + run.recipe.again) * once.edges
    document = run.to_json()["training"]
    assert (document["again"], document["open_edges"], document["stage"]) == (0, [0], "close")
    assert "twice" not in (tmp_path / "run" / "README.md").read_text()
    (trained,) = training.train_many([recipe])
    assert isinstance(trained, training.Trained)
    assert trained.made == once


def test_what_was_left_open_is_proved_when_it_is_made_again() -> None:
    few = {"cell": "gru", "hidden": 8, "learn.steps": 600, "close.steps": 150}

    def proved(again: int) -> set[int]:
        """Of which seeds."""
        settings = [{**few, "close.again": again, "seed": seed} for seed in range(4)]
        recipes = [get("certified").with_settings(each) for each in settings]
        networks = [training.fit(recipe) for recipe in recipes]
        return {
            seed
            for seed, network in enumerate(networks)
            if search.prove(network, budget=0).verdict == "proved"
        }

    assert proved(again=0) < proved(again=1)


def test_what_is_not_a_number_is_not_closed() -> None:
    settings = {"cell": "lstm", "task": "tomita:3", "hidden": 8, "close.again": 0}
    network, boxes = at_the_end(get("certified").with_settings(settings))
    assert invariant.open_edges(network, boxes, 0.0, 100) == 0
    for name in ("centre", "radius"):
        array = boxes[name].copy()
        array[2, 1] = np.nan
        assert invariant.open_edges(network, boxes.replace(**{name: array}), 0.0, 100) > 0
    for weights in (
        network.weights.replace(by=np.full_like(network.weights.by, np.nan)),
        network.weights.replace(Why=np.full_like(network.weights.Why, np.inf)),
    ):
        assert invariant.open_edges(network.moved(weights), boxes, 0.0, 100) > 0


def test_of_many_edges_some_are_looked_at() -> None:
    network, boxes = example("gru", tasks.parse("add:base=16,operands=4"))
    assert 0 < invariant.open_edges(network, boxes, 0.02, 5_000) <= 5_000  # of 5,100,339,200


def test_names_of_what_is_made_again_are_taken() -> None:
    with pytest.raises(InputError, match="stages with different names"):
        Recipe(stages=(Stage(name="close_again"), CLOSE))


def test_only_the_last_stage_may_be_made_again() -> None:
    last = replace(CLOSE, name="last", again=0)
    with pytest.raises(InputError, match="stage close may be made again, but last follows it"):
        Recipe(stages=(CLOSE, last))
    assert Recipe(stages=(replace(CLOSE, again=0), last)).schedule[-1] == last


# Recipes -------------------------------------------------------------------------------


def test_certified_is_another_recipe_for_other_cells() -> None:
    certified = RECIPES["certified"]
    assert [stage.over for stage in certified.stages] == ["problems", "problems"]
    for recipe in (
        get("certified").with_settings({"cell": "lstm", "hidden": 8}),
        get("certified").with_settings({"hidden": 8}).with_settings({"cell": "lstm"}),
    ):
        assert [stage.over for stage in recipe.stages] == ["problems", "edges"]
        assert (recipe.hidden, recipe.cell, recipe.name) == (8, "lstm", "certified")
    stacked = get("certified").with_settings({"cell": "lstm,gru"})
    assert [stage.steps for stage in stacked.stages] == [4_000, 3_000]
    gate = "state = h, c; c = sigmoid(x @ G) * tanh(x @ A + c @ B); h = c"
    own = get("certified").with_settings({"cell": gate})
    assert [stage.steps for stage in own.stages] == [1_200, 1_500]
    changed = certified.with_settings({"harden.steps": 5}).with_settings({"cell": "lstm"})
    assert [stage.name for stage in changed.stages] == ["learn", "harden"]  # somebody's own
    assert get("tutorial").with_settings({"cell": "gru"}).stages == RECIPES["tutorial"].stages


def test_certified_is_another_recipe_for_larger_machines() -> None:
    certified = get("certified")
    for task, stages, activation in (
        ("add:base=5", ["learn", "harden"], "sigmoid"),
        ("compare", ["learn", "close"], "tanh"),  # of three states
        ("add:base=6", ["learn", "close"], "tanh"),
        ("tomita:6", ["learn", "close"], "tanh"),
        ("add:operands=3", ["learn", "close"], "tanh"),
    ):
        recipe = certified.with_settings({"task": task, "hidden": 9})
        assert [stage.name for stage in recipe.stages] == stages
        assert (recipe.activation, recipe.hidden, recipe.task) == (activation, 9, task)
        # back again, and to gates
        back = recipe.with_settings({"task": "add"})
        assert back == certified.with_settings({"hidden": 9})
        gru = recipe.with_settings({"cell": "gru"})
        assert gru == certified.with_settings({"cell": "gru", "task": task, "hidden": 9})
    # settings that speak of the stages of one keep that one
    kept = certified.with_settings({"task": "tomita:6", "harden.steps": 5})
    assert [stage.steps for stage in kept.stages] == [20_000, 5]
    said = certified.with_settings({"task": "tomita:6", "activation": "sigmoid", "close.steps": 5})
    assert (said.activation, said.stages[1].steps) == ("sigmoid", 5)


def test_machines_with_more_states_are_shown_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(task: str, cell: str = "gru") -> tuple[int, int, str]:
        """By how many updates it is learned and closed, and from which words."""
        learn, close = get("certified").with_settings({"cell": cell, "task": task}).stages
        return learn.steps, close.steps, learn.words

    assert shown("tomita:5") == (1_200, 1_500, "usual")  # 4 states
    assert shown("add_mod:k=5") == shown("add_mod:k=6") == (3_000, 2_000, "usual")
    assert shown("add_mod:k=7") == shown("dyck") == (12_000, 6_000, "usual")  # dyck: 16
    assert shown("modular:5,precedence=0") == (24_000, 96_000, "balanced")  # 19
    assert shown("multiply_by:base=13,k=6") == (3_000, 2_000, "usual")  # 247 edges
    assert shown("multiply_by:base=16,k=6") == (12_000, 6_000, "usual")  # 336
    assert shown("add:operands=4") == (12_000, 6_000, "usual")  # 4 states, 1,040 edges
    assert shown("add:base=16") == (1_200, 1_500, "usual")  # 2 states
    assert shown("tomita:5", "elman") == (6_000, 3_000, "usual")
    assert shown("multiply_by:base=16,k=3", "elman") == (24_000, 40_000, "usual")  # 304 edges
    assert shown("add:base=10", "elman") == (24_000, 30_000, "usual")  # 11,100
    assert shown("add_mod:k=6", "elman") == (24_000, 5_000, "usual")
    assert shown("dyck", "elman") == (24_000, 24_000, "usual")  # 132 edges
    assert shown("add_mod:k=7", "elman") == (24_000, 96_000, "usual")  # 350
    assert shown("modular:5", "elman") == (24_000, 24_000, "usual")  # 51 states
    slacks = {
        (task, cell): get("certified").with_settings({"cell": cell, "task": task}).stages[1].slack
        for task in ("tomita:5", "compare:base=10", "cycle:5", "dyck", "modular:5")
        for cell in ("elman", "gru")
    }
    of_elman, of_gru = (
        [v for (_, c), v in slacks.items() if c == cell] for cell in ("elman", "gru")
    )
    assert of_elman == [0.02, 0.02, 0.004, 0.004, 0.004]
    assert of_gru == [0.02, 0.008, 0.02, 0.008, 0.002]
    long = get("certified").with_settings({"cell": "gru", "task": "modular:5", "digits": 4_096})
    assert long.stages[0].words == "usual"  # what it takes to draw words grows with their length
    monkeypatch.setattr(recipes, "RARE_STATES", 16)
    assert shown("dyck") == (24_000, 96_000, "balanced")
    assert shown("multiply_by:k=16") == (12_000, 6_000, "usual")  # numbers are uniform
    monkeypatch.setattr(recipes, "MOST_BALANCED", 1_000)
    assert shown("modular:5,precedence=0") == (12_000, 6_000, "usual")


def test_problems_grow() -> None:
    recipe = get("certified").with_settings({"cell": "gru"})
    learn = recipe.stages[0]
    lengths, update = [], 0
    while update < learn.steps:
        digits, until = recipe.length(learn, update)
        assert recipe.length(learn, until - 1) == (digits, until)
        assert drawn.draw(recipe, 0, update, 2).shape == (2, learn.batch, digits)
        lengths.append((digits, until - update))
        update = until
    assert lengths == [(2, 300), (4, 300), (8, 300), (16, 300)]
    whole = recipe.with_settings({"learn.growing": 0.0})
    assert whole.length(whole.stages[0], 0) == (16, 1_200)
    short = recipe.with_settings({"digits": 2})
    assert short.length(short.stages[0], 0) == (2, 1_200)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"over": "edges", "loss": "squared"}, "needs loss cross-entropy"),
        ({"closing": 1.0}, "closing is of boxes: it needs bounds boxes, or a stage over edges"),
        ({"forgetting": 1.0}, "forgetting is of boxes: it needs bounds boxes, or a stage over"),
        ({"over": "edges", "growing": 0.5, "loss": "cross-entropy"}, "edges have no length"),
        ({"over": "words"}, "unknown over 'words': accepted: problems, edges"),
        ({"growing": 1.5}, "from 0 to 1"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Stage(**settings)  # type: ignore[arg-type]


def test_the_weight_of_closing_grows_to_the_whole() -> None:
    weights = [CLOSE.closing_at(i) for i in (0, 450, 900, 1499)]
    assert weights == pytest.approx([0.1, 1, 10, 10])


def test_diverging_boxes_are_told() -> None:
    # the sixteenth power of what is large after one step, whatever the processor's roundings
    cell = "a = x @ Wx + b + h @ Wh; a = a * a; a = a * a; a = a * a; h = a * a"
    recipe = closing(**{"cell": cell, "learn.step": 1e-6, "close.step": 1e6})
    with pytest.raises(training.Diverged, match="diverged at problem"):
        training.fit(recipe)


def test_populations_train_over_edges_as_one_network_does() -> None:
    stage = Stage(over="edges", steps=30, step=0.1, loss="cross-entropy", worst=0.5, closing=1.0)
    recipes = [Recipe(hidden=4, biases=True, seed=seed, stages=(stage,)) for seed in (0, 1)]
    for recipe, network in zip(recipes, training.fit_many(recipes), strict=True):
        assert isinstance(network, Network)
        assert network.digest() == training.fit(recipe).digest()


def test_what_only_meets_edges_has_no_last_problem(tmp_path: Path) -> None:
    run = cn.train(closing(**{"learn.steps": 3, "close.steps": 3}), progress=False)
    assert run.last_problem is not None
    last = drawn.draw(run.recipe, 0, 2, 1)[0, -1]
    assert training.last_problem(run.recipe) == run.recipe.specification.problem(last.tolist())
    once = {"steps": 3, "again": 0}
    hardened = cn.harden(run, settings=once, out=tmp_path / "run", progress=False)
    assert hardened.last_problem is None
    card = (tmp_path / "run" / "README.md").read_text()
    assert "trained on 3 times 10 edges of the machine of the task `parity`" in card
    assert run.recipe.showing("words") == "48 words, and 3 times 10 edges of the machine"


def test_snapshots_of_large_gated_networks_are_read(tmp_path: Path) -> None:
    recipe = get("certified").with_settings(
        {"cell": "lstm", "hidden": 96, "digits": 2, "learn.batch": 1, "learn.steps": 100}
    )
    run = cn.train(recipe.with_settings({"close.steps": 100}), out=tmp_path / "run", progress=False)
    assert len(cn.load(tmp_path / "run").snapshots) == len(run.snapshots) > 10


def test_a_machine_of_many_edges_is_met_a_batch_at_a_time() -> None:
    """Sums of four digits in base 16: 5,100,339,200 edges, which are not listed."""
    task = tasks.parse("add:base=16,operands=4")
    known = regions(task)
    assert known.count == 1 + task.machine.entrances
    assert known.edge_count == 5_100_339_200
    some = known.edges(np.array([0, known.edge_count - 1]))
    for source, a, target, y, state in zip(*some[:5], strict=True):
        before = known.state[source]
        assert (task.machine.output[before][a], task.machine.delta[before][a]) == (y, state)
        assert (known.state[target], known.symbol[target]) == (state, a)


def test_what_does_not_fit_in_memory() -> None:
    count = 900
    steps = tuple((q, (q + 1) % count) for q in range(count))
    outputs = tuple((int(q == 0),) * 2 for q in range(count))
    names = tuple(map(str, range(count)))
    ring = tasks.own("ring", cn.Machine(names, ("0", "1"), ("0", "1"), steps, outputs))
    certified = get("certified").with_settings({"cell": "gru"})
    for settings, words in (
        ({"task": ring}, "512 edges, 900 states that 1,800 transitions enter and hidden 32"),
        ({"digits": 4096, "learn.batch": 512}, "batch 512, digits 4,096 and hidden 32"),
    ):
        with pytest.raises(InputError, match=f"{words} does not fit in memory"):
            certified.with_settings(settings)
    certified.with_settings({"digits": 1000})  # of which edges know nothing
