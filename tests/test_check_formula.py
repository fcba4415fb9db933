"""Proofs for any formula: the checker that carries equations out by balls, as an adversary.

Networks of gated cells are set by hand, one unit for each state and symbol, and saturated; what
is proved is cross-examined by long words, and everything in a certificate is disturbed.
"""

import json
from dataclasses import replace
from functools import cache

import flint
import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings, strategies as st

import carrynet as cn
from carrynet import tasks
from carrynet.data.words import tables
from carrynet.judge.evaluation import evaluate
from carrynet.nets import cells
from carrynet.nets.formula import Formula
from carrynet.nets.network import Network
from carrynet.nets.readings import interpret
from carrynet.nets.readings.numbers import NUMBERS
from carrynet.nets.recurrence import blank
from carrynet.nets.weights import Weights, initialise
from carrynet.proof import balls, check_formula, search
from carrynet.proof.certificate import BoxCertificate, Region, Rejected, from_json
from carrynet.proof.check import check
from carrynet.proof.model import read_model
from carrynet.proof.verdict import Proved, Refuted
from carrynet.spec.task import Task
from tests.conftest import cross_examine

OPEN_GATE, SHUT = 12.0, -12.0


def by_hand(task: Task, cell: str, dtype: str = "float32", sharpness: float = 8.0) -> Network:
    """A gated network that does what the machine does: a unit is on after a state and a symbol.

    On is near 1 and off near -1 (times tanh 1 for an LSTM); the start is as after some way to
    the start state, or as after none.
    """
    machine, vectors = task.machine, tables(task).vectors.astype(float)
    units = [(q, a) for q in range(len(machine.states)) for a in range(len(machine.symbols))]
    X, H, k = task.inputs, len(units), sharpness
    W, U, b = np.zeros((X, H)), np.zeros((H, H)), np.zeros(H)
    Why = np.zeros((H, task.neurons))
    level = np.tanh(1.0) if cell == "lstm" else 1.0
    for i, (q, a) in enumerate(units):
        # 0 for the symbol itself, -1 or less for others: the inputs are bits
        W[:, i] = 2 * k * (2 * vectors[a] - 1)
        b[i] = -2 * k * vectors[a].sum() - k
        for j, (p, c) in enumerate(units):
            if machine.delta[p][c] == q:
                U[j, i] = k / level
                b[i] += k
        output = machine.output[q][a] or 0
        Why[i] = 4 * (2 * output - 1) if task.neurons == 1 else 4 * np.eye(task.neurons)[output]
    start = np.full(H, -1.0)
    start[next(i for i, (q, a) in enumerate(units) if machine.delta[q][a] == 0)] = 1.0
    zero = {"X": np.zeros((X, H)), "H": np.zeros((H, H))}
    gates = {"gru": "rz", "gru-reset-before": "rz", "lstm": "ifo", "mgu": "f"}[cell]
    candidate = "g" if cell == "lstm" else "n"
    made: dict[str, np.ndarray] = {f"Wx{gate}": zero["X"] for gate in gates} | {
        f"Wh{gate}": zero["H"] for gate in gates
    }
    openness = {"r": OPEN_GATE, "i": OPEN_GATE, "o": OPEN_GATE, "z": SHUT, "f": SHUT}
    if cell == "mgu":
        openness["f"] = OPEN_GATE  # mix(f, h, n): the new where it is open
    made |= {f"b{gate}": np.full(H, openness[gate]) for gate in gates}
    made |= {f"Wx{candidate}": W, f"Wh{candidate}": U, f"b{candidate}": b}
    if cell == "gru":
        made["bhn"] = np.zeros(H)
    made |= {"Why": Why / level, "by": Why.sum(axis=0)}
    made["h_start"] = start * level
    if cell == "lstm":
        made["c_start"] = start
    return Network(task, cell, Weights(made).map(lambda w: w.astype(dtype)))


GATED = ["gru", "gru-reset-before", "lstm", "mgu"]
TASKS = {"add": tasks.add(), "compare": tasks.compare(), "tomita:5": cn.tasks.parse("tomita:5")}


@cache
def proved(cell: str, task: str = "add", dtype: str = "float32") -> tuple[Network, Proved]:
    network = by_hand(TASKS[task], cell, dtype)
    verdict = cn.prove(network, budget=0)
    assert isinstance(verdict, Proved), verdict
    return network, verdict


def test_networks_set_by_hand_are_right() -> None:
    for cell in GATED:
        assert evaluate(by_hand(tasks.add(), cell), 5).right == 4**5


@pytest.mark.parametrize("cell", GATED)
@pytest.mark.parametrize("task", TASKS)
def test_gated_networks_are_proved_and_cross_examined(cell: str, task: str) -> None:
    network, verdict = proved(cell, task)
    assert verdict.method == "boxes"
    assert verdict.slack > 1e-3
    cross_examine(network, {"float32": verdict.slack, "float64": verdict.slack})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_start_that_is_no_multiple_of_the_grid_is_proved(dtype: str) -> None:
    """As one that was learned: the first box is as narrow as the certificate's numbers allow."""
    right = by_hand(tasks.add(), "gru", dtype, sharpness=40)  # so that boxes close in few rounds
    moved = right.weights.h_start * np.asarray(2.99 / 3, dtype)
    network = Network(right.task, right.cell, right.weights.replace(h_start=moved), right.readout)
    assert isinstance(cn.prove(network, budget=0), Proved)


def certificate_of(cell: str) -> tuple[Network, BoxCertificate]:
    network, verdict = proved(cell)
    assert isinstance(verdict.certificate, BoxCertificate)
    return network, verdict.certificate


@pytest.mark.parametrize("cell", GATED)
def test_a_certificate_is_read_back(cell: str) -> None:
    network, certificate = certificate_of(cell)
    again = from_json(json.loads(json.dumps(certificate.to_json())))
    assert again == certificate
    assert "begun at its start" in certificate.claim
    model = search.model(network)
    assert model.digest() == network.digest() == certificate.weights_sha256
    checked = check(model, again)
    assert cn.check(network, again, progress=False) == checked
    assert checked.regions == len(certificate.regions)
    assert checked.margin > 0


@pytest.mark.parametrize("cell", GATED)
def test_what_is_disturbed_is_rejected(cell: str) -> None:
    network, certificate = certificate_of(cell)
    model, regions = search.model(network), certificate.regions
    unit = 2.0**-certificate.bits

    def with_region(i: int, **changes: object) -> BoxCertificate:
        changed = [replace(r, **changes) if j == i else r for j, r in enumerate(regions)]  # type: ignore[arg-type]
        return replace(certificate, regions=tuple(changed))

    def rejected(certificate: BoxCertificate, what: str) -> None:
        with pytest.raises(Rejected, match=what):
            check(model, certificate)

    last = len(regions) - 1
    wide = int(certificate.slack)
    shrunk = tuple(low + 3 * wide for low in regions[last].lower)
    rejected(with_region(last, lower=shrunk), "leaves region|is empty")
    grown = tuple(high + int(1.0 / unit) for high in regions[last].upper)
    rejected(with_region(last, upper=grown), "leaves region|output is not always")
    rejected(with_region(0, lower=(int(2 / unit),) * len(regions[0].lower)), "is empty|the start")
    other = 1 - regions[last].state
    rejected(with_region(last, state=other), "wrong state|output is not always")
    rejected(with_region(last, next=regions[last].next[:-1]), "has not 4 successors")
    rejected(with_region(last, next=(99,) * 4), "leads nowhere")
    rejected(with_region(last, lower=(0,)), "has not")
    rejected(replace(certificate, regions=()), "no regions")
    rejected(replace(certificate, slack=-1), "slack is negative")
    rejected(replace(certificate, slack=int(0.5 / unit)), "leaves region")
    rejected(replace(certificate, task="compare"), "another task")
    rejected(replace(certificate, readout="logits = h @ Wo + by"), "other equations")
    rejected(replace(certificate, cell=certificate.cell.replace("tanh", "relu")), "other equations")
    rejected(replace(certificate, start=(0.0,) * len(network.start)), "another start")
    rejected(replace(certificate, weights_sha256="0" * 64), "other weights")


@pytest.mark.parametrize("cell", GATED)
def test_other_networks_are_rejected(cell: str) -> None:
    """Even where the hash is forged: equations and weights that are another network."""
    network, certificate = certificate_of(cell)
    cells_ = {name: cells.cell(name).text for name in GATED}
    swapped = network.cell.text.replace("tanh", "relu", 1)
    for change in ({"cell": swapped}, {"dtype": "float64"}):
        model = replace(search.model(network), **change)  # type: ignore[arg-type]
        forged = replace(certificate, **model.about)
        if "cell" in change:
            with pytest.raises(Rejected):
                check(model, forged)
        else:  # the same numbers in double precision: the boxes hold there, too
            assert check(model, forged).margin > 0
    assert len(set(cells_.values())) == len(GATED)
    rng = np.random.default_rng(1)
    for name, array in network.weights.items():
        if name.startswith(("Wx", "Wh", "b")) and not array.any():
            continue
        moved = array + 30 * rng.choice([-1, 1], array.shape).astype(array.dtype)
        other = Network(
            network.task, network.cell, network.weights.replace(**{name: moved}), network.readout
        )
        forged = replace(certificate, **other.about)
        with pytest.raises(Rejected, match=r"leaves region|output is not|does not hold"):
            check(search.model(other), forged)


def test_numbers_that_are_not_of_the_type_are_rejected() -> None:
    network, certificate = certificate_of("gru")
    model = search.model(network)
    weights = {**model.weights, "by": [0.1]}
    with pytest.raises(Rejected, match="not numbers of float32"):
        check(replace(model, weights=weights), certificate)
    with pytest.raises(Rejected, match="not all finite"):
        check(replace(model, weights={**weights, "by": [float("nan")]}), certificate)
    with pytest.raises(Rejected, match="has not its weights"):
        check(replace(model, weights={k: w for k, w in weights.items() if k != "by"}), certificate)
    with pytest.raises(Rejected, match="type is unknown"):
        check(replace(model, dtype="float16"), certificate)


def test_sums_that_may_overflow_are_rejected() -> None:
    network, certificate = certificate_of("gru")
    huge = network.weights.replace(Why=network.weights.Why * np.float32(1e37))
    other = Network(network.task, network.cell, huge, network.readout)
    forged = replace(certificate, **other.about)
    with pytest.raises(Rejected, match="may overflow"):
        check(search.model(other), forged)


@pytest.mark.parametrize(("dtype", "doubled"), [("float32", 14), ("float32", 26), ("float64", 54)])
def test_sums_of_too_many_terms_are_rejected(dtype: str, doubled: int) -> None:
    """Of n roundings n eps / (1 - n eps) is no bound where n eps is one, and negative beyond."""
    lines = ["z = h @ W1 + b1", *["z = z + z"] * doubled, "logits = z @ Why + by"]
    readout = Formula.parse("\n".join(lines), ("h",), "logits")
    task = cn.tasks.parse("parity")
    cell = Formula.parse("h = 0.5 * tanh(x @ Wxh + bh + h @ Whh)")
    weights = initialise(task, 2, cell, readout=readout, width=0.1, dtype=dtype)
    network, delta = Network(task, cell, weights, readout), task.machine.delta
    regions = tuple(
        Region(str(q), q, (-5000, -5000), (5000, 5000), tuple(delta[q])) for q in range(2)
    )
    forged = BoxCertificate(**network.about, bits=10, slack=1, regions=regions)
    with pytest.raises(Rejected, match=f"sums have too many terms for {dtype}"):
        check(search.model(network), forged)


def test_a_wrong_network_is_never_proved() -> None:
    """Hand-set networks with one thing wrong in the machine's terms."""
    for cell in GATED:
        right = by_hand(tasks.add(), cell)
        for i in range(right.hidden):
            Why = right.weights.Why.copy()
            Why[i] *= -1
            by = Why.sum(axis=0) * (np.tanh(np.float32(1)) if cell == "lstm" else 1)
            wrong = Network(
                right.task,
                right.cell,
                right.weights.replace(Why=Why, by=by.astype(np.float32)),
            )
            verdict = cn.prove(wrong, budget=0)
            assert isinstance(verdict, Refuted)


# The reading by balls --------------------------------------------------------------------

EXPRESSIONS = st.recursive(
    st.sampled_from(["x @ Wa", "h @ Wb", "h", "ba", "0.3", "c"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
        inner.map(lambda e: f"sigmoid({e})"),
        inner.map(lambda e: f"tanh({e})"),
        inner.map(lambda e: f"relu({e})"),
        st.tuples(inner, inner, inner).map(lambda e: f"mix(sigmoid({e[0]}), {e[1]}, {e[2]})"),
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(EXPRESSIONS, EXPRESSIONS, st.integers(0, 2**32), st.sampled_from(["float32", "float64"]))
def test_balls_hold_whatever_a_type_computes(one: str, other: str, seed: int, dtype: str) -> None:
    """Of formulas made at random: each unit of the new state, from points and from boxes."""
    try:
        formula = Formula.parse(f"state = h, c\nh = {one} + h * 0\nc = {other} + c * 0 + h * 0")
    except cn.InputError:
        return
    rng = np.random.default_rng(seed)
    task = tasks.add()
    H, scale = 3, 10.0 ** rng.integers(-2, 3)
    shapes = formula.shapes({"X": 2, "H": H})
    weights = {n: (scale * rng.normal(size=s)).astype(dtype) for n, s in shapes.items()}
    low = (scale * rng.normal(size=2 * H)).astype(dtype)
    high = low + rng.choice([0, 0.1, 1]) * rng.random(2 * H).astype(dtype)
    x = tables(task).vectors[rng.integers(0, 4)].astype(dtype)

    before = flint.ctx.prec
    flint.ctx.prec = 80
    try:
        arithmetic = balls.Arithmetic(dtype)
        slots = balls.slots_of(formula, {n: w.tolist() for n, w in weights.items()}, arithmetic)
        slots[0] = balls.exact([arb(float(v)) for v in x])
        whole = [arb(float(a)).union(arb(float(b))) for a, b in zip(low, high, strict=True)]
        slots[1:3] = [balls.exact(whole[:H]), balls.exact(whole[H:])]
        try:
            arithmetic.interpret(formula.instructions, slots)
            found = [ball for r in formula.results for ball in arithmetic.settled(slots[r])]
        except Rejected:
            return  # it may overflow
        for _ in range(20):
            point = low + rng.choice([0, 1, rng.random()], 2 * H).astype(dtype) * (high - low)
            point = np.clip(point, low, high).astype(dtype)
            ours = blank(formula, weights)
            ours[:3] = [x, point[:H], point[H:]]
            with np.errstate(all="ignore"):
                interpret(formula.instructions, NUMBERS, ours)
            values = np.concatenate([ours[r] for r in formula.results])
            for ball, value in zip(found, values.tolist(), strict=True):
                assert ball.lower() <= arb(value) <= ball.upper()
    finally:
        flint.ctx.prec = before


# What is shared ---------------------------------------------------------------------------


@pytest.mark.parametrize("cell", [*GATED, "gru,lstm"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_shared_holds_every_step(cell: str, dtype: str) -> None:
    """Of networks most of whose weights are 0, so that symbols share much, from several boxes."""
    rng = np.random.default_rng([len(cell), dtype == "float64"])
    task = tasks.add()
    for turn in range(12):
        drawn = initialise(task, 4, cell, width=3.0, seed=turn, dtype=dtype)
        thin = {}
        for name, array in drawn.items():
            kept = rng.random(array.shape) < rng.choice([0, 0.1, 0.5])
            thin[name] = (np.where(kept, array, 0) + (name[0] == "b")).astype(dtype)
        network = Network(task, cell, Weights(thin))
        low = rng.normal(size=(3, len(network.start))).astype(dtype)
        high = low + rng.choice([0, 0.1, 1]) * rng.random(low.shape).astype(dtype)
        before = flint.ctx.prec
        flint.ctx.prec = 80
        try:
            ours = check_formula._Network(search.model(network), task)
            boxes = [
                [(arb(float(a)), arb(float(b))) for a, b in zip(*ends, strict=True)]
                for ends in zip(low, high, strict=True)
            ]
            together = check_formula._joined(ours, boxes, range(3))
            for symbol in range(4):
                joined = ours.image(together, symbol)
                for i in range(3):
                    alone = ours.image(ours.common(boxes[i]), symbol)
                    share = rng.choice([0, 1, 0.5], (30, low.shape[1])).astype(dtype)
                    points = np.clip(low[i] + share * (high[i] - low[i]), low[i], high[i])
                    for values in network.step(points, np.full(30, symbol)).tolist():
                        for value, one, all_ in zip(values, alone, joined, strict=True):
                            assert one.lower() <= value <= one.upper()
                            assert all_.lower() <= value <= all_.upper()
        finally:
            flint.ctx.prec = before


def test_a_symbol_that_alone_feeds_something_is_seen() -> None:
    """The last of four: what it feeds is not taken for what all feed alike."""
    network = by_hand(tasks.add(), "gru")
    certificate = cn.prove(network, budget=0).certificate  # type: ignore[union-attr]
    for name, size in (("Wxz", 60.0), ("Wxr", -60.0)):
        opened = network.weights[name].copy()
        opened += np.float32(size)  # at 1,1 a gate is turned; at 0,0 it is as it was
        other = Network(network.task, "gru", network.weights.replace(**{name: opened}))
        forged = replace(certificate, **other.about)
        with pytest.raises(Rejected, match=r"under (0,1|1,0|1,1): unit"):
            check(search.model(other), forged)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_each_of_the_regions_that_are_tried_together_counts(cell: str) -> None:
    """One that is too large is told by its number, wherever it stands among the others."""
    network, certificate = certificate_of(cell)
    model, regions = search.model(network), certificate.regions
    assert len({(region.state, region.next) for region in regions}) < len(regions)
    for i, region in enumerate(regions):
        grown = tuple(high + 4 * 2**certificate.bits for high in region.upper)
        changed = [*regions[:i], replace(region, upper=grown), *regions[i + 1 :]]
        told: list[tuple[int, int]] = []
        with pytest.raises(Rejected, match=f"from region {i} under"):
            check(
                model,
                replace(certificate, regions=tuple(changed)),
                lambda done, all_: told.append((done, all_)),  # noqa: B023
            )
        assert told == [(n + 1, len(regions)) for n in range(len(told))]


def test_regions_that_fail_together_are_tried_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    network, certificate = certificate_of("gru")
    expected = check(search.model(network), certificate)

    def wider(one: balls.Value, other: balls.Value) -> balls.Value:
        joined = balls.hull(one, other)
        return joined._replace(balls=[ball + arb(0, 100) for ball in joined.balls])

    told: list[int] = []
    monkeypatch.setattr(check_formula, "hull", wider)
    found = check(search.model(network), certificate, lambda done, _: told.append(done))
    assert found == expected
    assert told == list(range(1, len(certificate.regions) + 1))


def test_trained_networks_that_are_proved_are_right_and_wrong_ones_are_not_proved() -> None:
    """Random gated networks, far from any task: none is proved."""
    for seed in range(6):
        weights = initialise(tasks.add(), 3, "gru", width=3.0, seed=seed)
        verdict = cn.prove(Network(tasks.add(), "gru", weights), budget=0)
        assert isinstance(verdict, Refuted)


def test_models_are_read_from_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from carrynet.runs.format import write_network

    for cell in GATED:
        network, certificate = certificate_of(cell)
        path = tmp_path / f"{cell}.safetensors"
        write_network(path, network)
        model = read_model(path.read_bytes())
        assert model.digest() == network.digest()
        assert check(model, certificate).margin > 0
