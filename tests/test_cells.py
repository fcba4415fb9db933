"""Every cell and every stack: what it computes, its enclosures, and all gradients.

The oracle is Python itself: the equations, executed with autograd's numbers, or with intervals
of them that are written out here.  Whatever stands in `CELLS` is tried.
"""

import textwrap
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from carrynet import tasks
from carrynet.data.words import tables
from carrynet.nets import cells, certified, recurrence
from carrynet.nets.arrays import Array
from carrynet.nets.bptt import bptt, unroll
from carrynet.nets.formula import Formula
from carrynet.nets.losses import LOSSES, Loss, margins
from carrynet.nets.network import Network
from carrynet.nets.readings import interpret
from carrynet.nets.readings.enclosure import Box, Enclosure
from carrynet.nets.readings.numbers import Numbers
from carrynet.nets.recurrence import Unrolled, blank, written
from carrynet.nets.weights import Weights, initialise
from carrynet.proof import search

TASKS = {"bits": tasks.add(), "argmax": tasks.compare(base=3)}
ALONE = ["sigmoid", "tanh", "relu", *cells.CELLS]
STACKS = ["elman,elman", "gru,lstm", "lstm,gru-reset-before,elman"]
# constants, subtraction, weights that multiply and weights that are met twice
OWN = """
state = h, s
w = sigmoid(x @ Wxw + bw + wp * s)
u = relu(h @ Whu - 0.5 * (x @ Wxu)) + bu
s = w * s - (1 - w) * u * 0.25
h = tanh(s @ Wsh + 2 * s) - 0.125 * (h @ Whu)
"""
UNREAD = """
state = h, s
s = tanh(x @ Wxs + s * 0.5)
h = tanh(x @ Wxh + bh)
"""  # h forgets everything, and what s keeps is read by s alone
DELAYED = """
state = h, s
h = tanh(s @ Wsh + h @ Whh + bh)
s = x @ Wxs + bs
"""  # what s becomes is the input's alone
INWARD = "h = tanh(h @ Whh + bh)"  # no input at all
WRITTEN = {"own": OWN, "unread": UNREAD, "delayed": DELAYED, "inward": INWARD}
LAYERS = "u = relu(h @ Whu + bu)\nv = tanh(u @ Wuv)\nlogits = (u + v) @ Why + by"
SLACK = 0.05


def formula_of(name: str) -> Formula:
    return Formula.parse(WRITTEN[name]) if name in WRITTEN else cells.named(name)


def example(
    name: str = "sigmoid",
    readout: str = "bits",
    batch: int | None = 3,
    *,
    layers: bool = False,
    learned: bool = False,
) -> tuple[Network, Array, Array]:
    """A network in float64, inputs (T, [B], X) and targets (T, [B], Y)."""
    rng, task = np.random.default_rng(0), TASKS[readout]
    cell, out = formula_of(name), cells.readout(LAYERS) if layers else cells.readout()
    shaped = initialise(task, 4, cell, readout=out, learned_start=learned, dtype="float64")
    weights = shaped.map(lambda w: rng.uniform(-1, 1, w.shape))
    lead = (5,) if batch is None else (5, batch)
    targets = np.eye(3)[rng.integers(0, 3, lead)]
    if readout == "bits":
        targets = targets[..., :1]
    return Network(task, cell, weights, out), rng.normal(size=(*lead, task.inputs)), targets


# Python as the oracle ------------------------------------------------------------------


class Point:
    """A number of autograd's, of which Python executes equations."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __matmul__(self, W: Any) -> "Point":
        return Point(anp.dot(self.value, W))

    def __add__(self, other: Any) -> Any:
        return NotImplemented if _wide(other) else Point(self.value + _plain(other))

    def __radd__(self, other: Any) -> Any:
        return Point(other + self.value)

    def __sub__(self, other: Any) -> Any:
        return NotImplemented if _wide(other) else Point(self.value - _plain(other))

    def __rsub__(self, other: Any) -> Any:
        return Point(other - self.value)

    def __mul__(self, other: Any) -> Any:
        return NotImplemented if _wide(other) else Point(self.value * _plain(other))

    def __rmul__(self, other: Any) -> Any:
        return Point(other * self.value)


def _wide(value: Any) -> bool:
    return isinstance(value, Interval)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Point) else value


class Interval:
    """All numbers from `low` to `high`, both autograd's."""

    def __init__(self, low: Any, high: Any) -> None:
        self.low, self.high = low, high

    def __matmul__(self, W: Any) -> "Interval":
        up, down = anp.maximum(W, 0), anp.minimum(W, 0)
        return Interval(
            anp.dot(self.low, up) + anp.dot(self.high, down),
            anp.dot(self.high, up) + anp.dot(self.low, down),
        )

    def __add__(self, other: Any) -> "Interval":
        low, high = _ends(other)
        return Interval(self.low + low, self.high + high)

    __radd__ = __add__

    def __neg__(self) -> "Interval":
        return Interval(-self.high, -self.low)

    def __sub__(self, other: Any) -> "Interval":
        low, high = _ends(other)
        return Interval(self.low - high, self.high - low)

    def __rsub__(self, other: Any) -> "Interval":
        return -self + other

    def __mul__(self, other: Any) -> "Interval":
        low, high = _ends(other)
        corners = [self.low * low, self.low * high, self.high * low, self.high * high]
        least = anp.minimum(anp.minimum(*corners[:2]), anp.minimum(*corners[2:]))
        most = anp.maximum(anp.maximum(*corners[:2]), anp.maximum(*corners[2:]))
        return Interval(least, most)

    __rmul__ = __mul__


def _ends(value: Any) -> tuple[Any, Any]:
    if isinstance(value, Interval):
        return value.low, value.high
    value = _plain(value)
    return value, value


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda z: 1 / (1 + anp.exp(-z)),
    "tanh": anp.tanh,
    "relu": lambda z: anp.where(z > 0, z, 0.0),
}


def _mix(z: Any, n: Any, h: Any) -> Any:
    if not any(isinstance(v, Interval) for v in (z, n, h)):
        return (1 - z) * n + z * h
    (zl, zu), (nl, nu), (hl, hu) = _ends(z), _ends(n), _ends(h)
    low = anp.minimum((1 - zl) * nl + zl * hl, (1 - zu) * nl + zu * hl)
    return Interval(low, anp.maximum((1 - zl) * nu + zl * hu, (1 - zu) * nu + zu * hu))


def _function(f: Callable[[Any], Any], slack: float | None) -> Callable[[Any], Any]:
    def applied(z: Any) -> Any:
        if slack is None:
            return Point(f(_plain(z)))
        low, high = _ends(z)
        return Interval(f(low - slack), f(high + slack))

    return applied


def _wrapped(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {name: w if name[0].isupper() else Point(w) for name, w in weights.items()}


def execute(formula: Formula, weights: Mapping[str, Any], slack: float | None, **given: Any) -> Any:
    """The equations, executed by Python: the value of each name."""
    names: dict[str, Any] = {name: _function(f, slack) for name, f in FUNCTIONS.items()}
    names |= {"mix": _mix, **_wrapped(weights), **given}
    lines = [line for line in formula.text.splitlines() if not line.startswith("state")]
    exec("\n".join(lines), {}, names)
    return names


def states_by_python(
    network: Network, weights: Mapping[str, Any], x: Array, slack: float | None = None
) -> list[Any]:
    """The first part of the state after each step."""
    lead = x.shape[1:-1]
    state = {}
    for part, width in zip(network.cell.state, network.widths, strict=True):
        start = weights.get(f"{part}_start", np.zeros(width)) + np.zeros((*lead, width))
        state[part] = Point(start) if slack is None else Interval(start, start)
    states = []
    for vectors in x:
        names = execute(network.cell, weights, slack, x=Point(vectors), **state)
        state = {part: names[part] for part in network.cell.state}
        states.append(state[network.cell.state[0]])
    return states


def loss_by_python(
    network: Network, name: str, x: Array, targets: Array, slack: float | None = None
) -> Callable[[Mapping[str, Any]], Any]:
    """The loss of a sequence, or with a slack of its worst logits, written out for autograd."""

    def total(weights: Mapping[str, Any]) -> Any:
        value = 0.0
        for h, target in zip(states_by_python(network, weights, x, slack), targets, strict=True):
            if slack is None:
                logits = execute(network.readout, weights, None, h=h)["logits"].value
            else:
                logits = _worst(network, weights, h, target)
            if name == "squared":
                value = value + anp.sum((1 / (1 + anp.exp(-logits)) - target) ** 2) / 2
            elif logits.shape[-1] == 1:
                value = value + anp.sum(anp.log(1 + anp.exp((1 - 2 * target) * logits)))
            else:
                powers = anp.exp(logits)
                share = anp.sum(target * powers, axis=-1) / anp.sum(powers, axis=-1)
                value = value - anp.sum(anp.log(share))
        return value / (x.shape[1] if x.ndim == 3 else 1)

    return total


def _worst(network: Network, weights: Mapping[str, Any], h: Interval, target: Array) -> Any:
    """What speaks most against the target: each pair of logits is bounded by itself."""
    readout = network.readout
    *before, last = readout.text.splitlines()
    product = last.removeprefix("logits = ").rpartition(" + ")[0]  # 'u @ Why'
    names = execute(readout, weights, SLACK, h=h)
    assert before or product == "h @ Why"
    v, Why, by = eval(product.rpartition(" @ ")[0], {}, names), weights["Why"], weights["by"]
    if target.shape[-1] == 1:
        low, high = (v @ Why).low + by, (v @ Why).high + by
        return anp.where(target == 1, low, high)
    rows = []
    for k in range(target.shape[-1]):
        apart = Why[:, [k]] - Why  # (H, Y): logit k less each other one
        most = (v @ apart).high + by[k] - by
        rows.append(anp.sum(target * most, axis=-1))
    return anp.stack(rows, axis=-1)


# Gradients -----------------------------------------------------------------------------


def close(gradients: Mapping[str, Array], oracle: Mapping[str, Array]) -> bool:
    largest = max(np.abs(o).max() for o in oracle.values())
    return gradients.keys() == oracle.keys() and all(
        np.allclose(gradients[n], o, rtol=1e-7, atol=1e-7 * (np.abs(o).max() + 1e-6 * largest))
        for n, o in oracle.items()
    )


EVERY = [(name, False, False) for name in [*ALONE, *STACKS, *WRITTEN]]
EVERY += [("sigmoid", True, True), ("lstm", True, True), ("gru,lstm", False, True)]
of_every_case = pytest.mark.parametrize(
    ("name", "layers", "learned", "readout", "batch"),
    [(*case, readout, batch) for case, readout, batch in product(EVERY, TASKS, [None, 3])],
)


def check_gradients(
    gradients: Weights, total: Callable[[Mapping[str, Any]], Any], weights: Weights
) -> None:
    """Against autograd and differences; and that a gradient off by 0.1 % would be noticed."""
    oracle = autograd.grad(total)(dict(weights))
    assert close(gradients, oracle)
    for name, gradient in gradients.items():
        if gradient.any():
            assert not close(gradients.replace(**{name: gradient * 1.001}), oracle)
    rng, e = np.random.default_rng(1), 1e-4
    d = weights.map(lambda w: rng.normal(size=w.shape) / 8)

    def along(a: float) -> float:
        return float(total(weights.map(lambda w, v: w + a * v, d)))

    slope = (8 * (along(e) - along(-e)) - (along(2 * e) - along(-2 * e))) / (12 * e)
    ours = sum(float((gradients[name] * d[name]).sum()) for name in weights)
    assert ours == pytest.approx(slope, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
@of_every_case
def test_gradients(
    name: str, layers: bool, learned: bool, readout: str, batch: int | None, loss: str
) -> None:
    network, x, targets = example(name, readout, batch, layers=layers, learned=learned)
    total = loss_by_python(network, loss, x, targets)
    ours: Loss = LOSSES[loss, readout]
    gradients, logits = bptt(network, ours, x, targets)
    assert tuple(gradients) == tuple(network.weights)
    value = ours.value(logits, targets).sum() / (batch or 1)
    assert value == pytest.approx(total(network.weights), rel=1e-12)
    check_gradients(gradients, total, network.weights)


@of_every_case
def test_gradients_of_the_worst_case(
    name: str, layers: bool, learned: bool, readout: str, batch: int | None
) -> None:
    network, x, targets = example(name, readout, batch, layers=layers, learned=learned)
    total = loss_by_python(network, "cross-entropy", x, targets, slack=SLACK)
    gradients = certified.bptt(network, LOSSES["cross-entropy", readout], x, targets, SLACK)
    check_gradients(gradients, total, network.weights)


@pytest.mark.parametrize("name", [*ALONE, *STACKS, "own"])
def test_without_biases_their_gradients_are_zero(name: str) -> None:
    network, x, targets = example(name)
    loss = LOSSES["cross-entropy", "bits"]
    biases = network.cell.biases | network.readout.biases
    points = [bptt(network, loss, x, targets, biases=given)[0] for given in (True, False)]
    worst = [
        certified.bptt(network, loss, x, targets, SLACK, biases=given) for given in (True, False)
    ]
    for whole, without in (points, worst):
        for weight in network.weights:
            assert without[weight].any() == (weight not in biases)
            assert weight in biases or (whole[weight] == without[weight]).all()


# What is computed ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ALONE, *STACKS, *WRITTEN])
def test_a_network_steps_as_its_equations_say(name: str) -> None:
    network, _, _ = example(name, learned=True)
    word = [3, 0, 1, 1, 2, 3, 3, 0]
    x = tables(network.task).vectors[word].astype(float)
    expected = [h.value for h in states_by_python(network, network.weights, x)]
    ((states, logits),) = network.states(word)
    np.testing.assert_allclose(network.parts(states)[0], expected, rtol=1e-12, atol=1e-14)
    readout = [execute(network.readout, network.weights, None, h=Point(h)) for h in expected]
    np.testing.assert_allclose(logits, [each["logits"].value for each in readout], rtol=1e-12)

    state = np.repeat(network.start[None], 3, axis=0)
    for symbol in word[:4]:
        children = network.children(state)
        state = network.step(state, np.full(3, symbol))
        np.testing.assert_allclose(children[:, symbol], state, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(state[0], states[3], rtol=1e-12)


@pytest.mark.parametrize("name", [*ALONE, *STACKS])
def test_single_precision_stays_single(name: str) -> None:
    network, x, targets = example(name)
    network, x, targets = network.astype("float32"), x.astype("f"), targets.astype("f")
    loss = LOSSES["cross-entropy", "bits"]
    gradients, logits = bptt(network, loss, x, targets)
    worst = certified.bptt(network, loss, x, targets, SLACK)
    assert logits.dtype == np.float32
    assert {g.dtype for g in (*gradients.values(), *worst.values())} == {np.dtype("float32")}


@pytest.mark.parametrize("name", [*ALONE, *STACKS, *WRITTEN])
@pytest.mark.parametrize("readout", TASKS)
def test_every_sequence_begun_or_disturbed_inside_stays_inside(name: str, readout: str) -> None:
    """Points of the enclosure of one step, from boxes met along a word, by the equations."""
    network, x, targets = example(name, readout, 1, layers=name == "gru")
    reading, rng = Enclosure(SLACK), np.random.default_rng(2)
    unrolled = unroll(network, x, reading)
    boxes = [unrolled.along(0)]
    assert (boxes[0].l <= boxes[0].u).all()
    cell, count = network.cell, 400
    state = [Box(rng.normal(size=(1, w)), rng.uniform(0, 0.3, (1, w))) for w in network.widths]
    for vectors in x:
        slots = blank(cell, network.weights)
        slots[0] = vectors
        slots[1 : 1 + len(state)] = state
        interpret(cell.instructions, reading, slots)
        into = [reading.point(slots[result]) for result in cell.results]
        # corners and inner points of the boxes, each pre-activation off by up to the slack
        given = {
            part: Point(box.c + box.r * rng.choice([-1, 1, rng.uniform()], (count, box.c.size)))
            for part, box in zip(cell.state, state, strict=True)
        }
        names = _disturbed(
            cell, network.weights, rng, x=Point(np.repeat(vectors, count, 0)), **given
        )
        for part, box in zip(cell.state, into, strict=True):
            assert (box.l - 1e-12 <= names[part].value).all()
            assert (names[part].value <= box.u + 1e-12).all()
        state = into
    readout_slots = blank(network.readout, network.weights)
    readout_slots[0] = state[0]
    *layers, last, bias = network.readout.instructions
    interpret(layers, Enclosure(), readout_slots)
    v, Why = (readout_slots[i] for i in last.operands)
    by = readout_slots[bias.operands[1]]
    outputs = targets[-1].argmax(-1) if readout == "argmax" else targets[-1, :, 0].astype(int)
    worst = certified.worst_logits(Why, by, v.c, v.r, targets[-1])
    h = state[0].c + state[0].r * rng.choice([-1.0, 1.0], (count, state[0].c.size))
    logits = execute(network.readout, network.weights, None, h=Point(h))["logits"].value
    ours = margins(logits, np.repeat(outputs, count))
    if readout == "argmax":  # logit k less that of the target, which is 0
        least = -np.where(targets[-1] == 1, -np.inf, worst).max(axis=-1)
    else:
        least = margins(worst, outputs)
    assert (ours >= least - 1e-12).all()


def _disturbed(
    formula: Formula, weights: Mapping[str, Any], rng: np.random.Generator, **given: Any
) -> Any:
    def disturbed(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda z: Point(f(_plain(z) + SLACK * rng.choice([-1.0, 1.0], _plain(z).shape)))

    names: dict[str, Any] = {name: disturbed(f) for name, f in FUNCTIONS.items()}
    names |= {"mix": _mix, **_wrapped(weights), **given}
    lines = [line for line in formula.text.splitlines() if not line.startswith("state")]
    exec("\n".join(lines), {}, names)
    return names


def test_enclosures_are_tight_where_gates_multiply() -> None:
    """Each operation's ends are taken by some point of its box: by corners, exactly."""
    rng = np.random.default_rng(3)
    z = Box(l=np.array([0.1, 0.0, 0.9]), u=np.array([0.4, 1.0, 0.95]))
    n, h = (Box(rng.normal(size=3), rng.uniform(0, 1, 3)) for _ in range(2))
    forward = Enclosure().forward
    for operation, boxes, f in (
        ("multiply", (n, h), lambda a, b: a * b),
        ("mix", (z, n, h), lambda z, n, h: (1 - z) * n + z * h),
    ):
        found = forward[operation](*boxes)
        corners = np.array([f(*ends) for ends in product(*[(b.l, b.u) for b in boxes])])
        np.testing.assert_allclose(found.l, corners.min(axis=0), rtol=1e-14)
        np.testing.assert_allclose(found.u, corners.max(axis=0), rtol=1e-14)


def test_an_enclosure_without_slack_is_the_sequence_itself() -> None:
    for name in (*ALONE, *STACKS):
        network, x, _ = example(name)
        box = unroll(network, x, Enclosure(0.0)).along(0)
        np.testing.assert_allclose(box.c, unroll(network, x).along(0), rtol=0, atol=1e-14)
        assert (box.r <= 1e-15).all()


def test_the_way_through_time_is_written_as_its_module_shows() -> None:
    shown = textwrap.indent(written(cells.cell("elman"), Numbers), "    ")
    assert f"\n\n{shown}\n\n" in str(recurrence.__doc__)


def test_bounds_by_hand() -> None:
    # z = 3 h, h in 0 +- 0, slack 1: tanh(-1), tanh(1); then 3 (+-0.7616) +- 1
    one = np.array([[1.0]])
    weights = Weights(Wxh=one, Whh=one * 3, bh=np.zeros(1), Why=one, by=np.zeros(1))
    reading = Enclosure(1.0)
    start = [reading.point(np.zeros(1))]
    box = Unrolled(cells.named("tanh"), weights, reading, np.zeros((2, 1)), start).along(0)
    assert box.u[:, 0] == pytest.approx(np.tanh([1.0, 1 + 3 * np.tanh(1.0)]))
    assert box.l[:, 0] == pytest.approx(-box.u[:, 0])


def test_initial_weights_and_their_number() -> None:
    """By hand: X = 2, H = 5, Y = 1; each gate has X H + H H weights and H biases."""
    gate, head = 2 * 5 + 5 * 5 + 5, 5 + 1
    counts = {
        "sigmoid": gate + head,
        "gru": 3 * gate + 5 + head,
        "gru-reset-before": 3 * gate + head,
        "lstm": 4 * gate + head,
        "mgu": 2 * gate + head,
        "gru,gru": (3 * gate + 5) + (3 * (5 * 5 + 5 * 5 + 5) + 5) + head,
    }
    for name, count in counts.items():
        weights = initialise(tasks.add(), 5, name, width=0.5, seed=3)
        assert sum(w.size for w in weights.values()) == count
        for weight, array in weights.items():
            assert array.any() == (weight[0] != "b")
            assert np.abs(array).max() <= 0.5


def test_names_of_cells() -> None:
    for name in (*cells.CELLS, *STACKS):
        assert cells.name_of(cells.cell(name)) == name
    assert cells.name_of(Formula.parse(OWN)) == "own"
    assert cells.elman_activation(cells.named("tanh")) == "tanh"
    assert cells.elman_activation(cells.named("gru")) == ""


def test_a_learned_start_is_not_elmans_even_at_zero() -> None:
    """As a training begins: engines, files and the checker must not take it for what it is not."""
    learned = initialise(tasks.add(), 3, "sigmoid", learned_start=True)
    network = Network(tasks.add(), "sigmoid", learned)
    assert not network.elman
    assert search.model(network).elman is None
    plain = {name: w for name, w in learned.items() if name != "h_start"}
    assert Network(tasks.add(), "sigmoid", Weights(plain)).elman
