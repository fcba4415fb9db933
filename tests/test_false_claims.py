"""False claims, each of which one line of the checker stands against.

`benchmarks/mutants.py` spoils such lines one by one; here is what would then be believed.  The
networks are small enough to be seen through: most repeat their input, `multiply_by:k=1`, whose
machine has one state; hidden units are at the ends of their range, and boxes 2^-20 about them.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb

from carrynet import tasks
from carrynet.data.words import tables
from carrynet.nets.network import Network
from carrynet.proof import check as checker, check_trees, trees as tree
from carrynet.proof.certificate import BoxCertificate, Region, Rejected
from carrynet.proof.check import check
from carrynet.proof.model import Model
from carrynet.proof.search import model
from tests.conftest import by_letters, elman, hand_built_adder
from tests.test_allowances import random_weights
from tests.test_check import ADDER, CERTIFICATE
from tests.test_tree import found, relu_adder

BITS, SLACK, WIDTH = 30, 2**4, 2**10
ONE = 2**BITS
Box = tuple[tuple[int, ...], tuple[int, ...]]


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    """As `check` sets it, for tests of its parts."""
    with flint.ctx.workprec(checker.PRECISION):
        yield


def of(*rows: Any) -> Any:
    return np.array(rows, dtype=np.float64)


def about(*corner: int) -> Box:
    """The lower and the upper ends of a small box about a point."""
    return tuple(x * ONE - WIDTH for x in corner), tuple(x * ONE + WIDTH for x in corner)


def repeats(network: Network, zero: Box, one: Box, start: Box | None = None) -> BoxCertificate:
    """The claim that a network repeats its input, and which box follows a 0 and a 1."""
    H = network.hidden
    boxes = start or ((0,) * H, (0,) * H), zero, one
    regions = tuple(Region(str(i), 0, *box, (1, 2)) for i, box in enumerate(boxes))
    return BoxCertificate(**network.about, bits=BITS, slack=SLACK, regions=regions)


def repeater(activation: str, *weights: Any) -> Network:
    return Network(tasks.multiply_by(1), activation, elman(*weights))


# The model --------------------------------------------------------------------------------


def edited(whole: Model, part: str, value: Any) -> Model:
    return replace(whole, weights={**whole.weights, part: value})


@pytest.mark.parametrize("part", ["Wxh", "Whh", "Why"])
@pytest.mark.parametrize("rows", [0, -1])
def test_one_row_of_weights_that_is_too_long(part: str, rows: int) -> None:
    """What lies beyond the columns that are used would count for the digest alone."""
    whole = model(ADDER)
    matrix = [list(row) for row in whole.weights[part]]
    matrix[rows].append(7.0)
    long = edited(whole, part, matrix)
    with pytest.raises(Rejected, match="do not fit together"):
        check(long, CERTIFICATE)


@pytest.mark.parametrize("part", ["Wxh", "Whh", "bh", "Why", "by"])
def test_a_part_of_the_model_that_is_too_long(part: str) -> None:
    whole = model(ADDER)
    values = whole.weights[part]
    long = edited(whole, part, [*values, values[0]])
    with pytest.raises(Rejected, match="do not fit together"):
        check(long, CERTIFICATE)


def test_a_model_without_units() -> None:
    whole = model(ADDER)
    weights = {**whole.weights, "Wxh": [[], []], "Whh": [], "bh": [], "Why": []}
    with pytest.raises(Rejected, match="do not fit together"):
        check(replace(whole, weights=weights), CERTIFICATE)


@pytest.mark.parametrize("part", ["Wxh", "Whh", "bh", "Why", "by"])
@pytest.mark.parametrize(
    ("number", "message"),
    [
        (float("inf"), "not all finite"),
        (float("nan"), "not all finite"),
        (1e39, "not numbers of float32"),
        (0.1, "not numbers of float32"),
    ],
)
def test_a_weight_that_is_no_number_of_its_type(part: str, number: float, message: str) -> None:
    weights = ADDER.weights.map(lambda w: w.astype(np.float32))
    whole = model(Network(ADDER.task, "sigmoid", weights))
    values = whole.weights[part]
    last = [*values[-1][:-1], number] if part[0] == "W" else number
    with pytest.raises(Rejected, match=message):
        check(edited(whole, part, [*values[:-1], last]), CERTIFICATE)


@pytest.mark.parametrize("text", ["add", "add:base=3", "add:base=4,operands=3", "multiply_by:k=3"])
def test_drives_are_those_of_the_network(text: str) -> None:
    task = tasks.parse(text)
    weights = random_weights(task, 3, np.random.default_rng(0))
    ours = checker._drives(by_letters(Network(task, "tanh", weights)), task)
    theirs = tables(task).vectors @ weights.Wxh + weights.bh
    assert np.allclose([[float(x) for x in drive] for drive in ours], theirs)


# Steps ------------------------------------------------------------------------------------

# Unit 0 repeats the input.  Unit 1 is not where it is claimed to be, and spoils the output.
FALSE_STEPS: dict[str, tuple[Network, Box, Box]] = {
    "a negative weight turns a sigmoid off": (
        repeater(
            "sigmoid", of([80, 0]), of([0, -80], [0, 0]), of(-40, 40), of([40], [60]), of(-80)
        ),
        about(0, 1),
        about(1, 1),
    ),
    "a negative weight turns a tanh on": (
        repeater("tanh", of([80, 0]), of([0, -80], [0, 0]), of(-40, -40), of([40], [-60]), of(-60)),
        about(-1, -1),
        about(1, -1),
    ),
    "a relu below 0": (
        repeater("relu", of([1, 0]), of([0, 0], [0, 0]), of(0, -5), of([40], [30]), of(10)),
        about(0, -1),
        about(1, -1),
    ),
}


@pytest.mark.parametrize("how", FALSE_STEPS)
def test_a_unit_that_is_elsewhere(how: str) -> None:
    network, zero, one = FALSE_STEPS[how]
    assert any(network.transduce(word) != word for word in ([0, 1, 1, 1], [1, 0, 1, 0]))
    with pytest.raises(Rejected, match="leaves region"):
        check(model(network), repeats(network, zero, one))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("seed", range(6))
def test_boxes_end_where_the_corners_go(activation: str, seed: int) -> None:
    """Weights of either sign: as large as the images of the corners, accepted; less, not.

    f is monotone in each unit's sum and that in each h, so that the ends of an image are images
    of corners.  Sides are 2^-20 too wide, then one of them 2^-20 too narrow.
    """
    f: Any = {
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
    }[activation]
    H, bits, slack, near = 3, 32, 2.0**-12, 2.0**-20
    hull = (
        (np.full(H, -0.1), np.full(H, 12.0))
        if activation == "relu"
        else (of(*[-1.1] * H), of(*[1.1] * H))
    )
    corners = np.array(list(product(*zip(*hull, strict=True))))
    rng = np.random.default_rng(seed)
    Wxh, Whh, bh = (rng.uniform(-0.2, 0.2, shape) for shape in ((1, H), (H, H), H))
    Wxh[0, 0], Whh[:, 0] = 3, Whh[:, 0] / 10  # unit 0 tells the inputs apart
    images = [f(corners @ Whh + x * Wxh[0] + bh) for x in (0, 1)]
    low = [image.min(axis=0) - slack - near for image in images]
    high = [image.max(axis=0) + slack + near for image in images]
    assert (np.minimum(*low) >= hull[0]).all()
    assert (np.maximum(*high) <= hull[1]).all()
    middle = (high[0][0] + low[1][0]) / 2
    network = repeater(activation, Wxh, Whh, bh, of([64], [0], [0]), of(-64 * middle))

    def accepted() -> bool:
        def box(*sides: Any) -> Any:
            return tuple(tuple(int(x * 2**bits) for x in side) for side in sides)

        zero, one = (box(*sides) for sides in zip(low, high, strict=True))
        claim = repeats(network, zero, one, box(*hull))
        try:
            check(model(network), replace(claim, bits=bits, slack=int(slack * 2**bits)))
        except Rejected:
            return False
        return True

    assert accepted()
    for symbol, unit in product(range(2), range(H)):
        for side, by in ((low[symbol], 2 * near), (high[symbol], -2 * near)):
            side[unit] += by
            assert not accepted()
            side[unit] -= by


INF = float("inf")


@pytest.mark.parametrize(
    ("activation", "bound", "least", "most"),
    [
        # f(z) >= bound for z >= least, f(z) <= bound for z <= most
        ("sigmoid", 0.75, np.log(3), np.log(3)),
        ("sigmoid", 0.25, -np.log(3), -np.log(3)),
        ("sigmoid", 0, -INF, -INF),
        ("sigmoid", -0.5, -INF, -INF),
        ("sigmoid", 1, INF, INF),
        ("sigmoid", 1.5, INF, INF),
        ("tanh", 0.5, np.log(3) / 2, np.log(3) / 2),
        ("tanh", -0.5, -np.log(3) / 2, -np.log(3) / 2),
        ("tanh", -1, -INF, -INF),
        ("tanh", -1.5, -INF, -INF),
        ("tanh", 1, INF, INF),
        ("tanh", 1.5, INF, INF),
        ("relu", 2, 2, 2),
        ("relu", 0, -INF, 0),
        ("relu", -2, -INF, -INF),
    ],
)
def test_inverses(activation: str, bound: float, least: float, most: float) -> None:
    inverse = checker.INVERSES[activation]
    found = [float(inverse(arb(bound), side)) for side in (-1, 1)]
    assert found == pytest.approx([least, most])


@pytest.mark.parametrize(
    ("activation", "bound"),
    [("sigmoid", 0), ("sigmoid", 1), ("tanh", -1), ("tanh", 1), ("relu", 0)],
)
def test_a_bound_that_may_be_beyond_an_end_satisfies_nothing(activation: str, bound: int) -> None:
    for side, z in product((-1, 1), (-1e3, 0, 1e3)):
        limit = checker.INVERSES[activation](arb(bound, 0.01), side)
        assert not (limit <= z)
        assert not (z <= limit)


# Outputs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("neuron", [0, 1, 2])
@pytest.mark.parametrize("by", [1.0, 2.0])
def test_an_output_neuron_that_is_raised(neuron: int, by: float) -> None:
    """The comparer of test_check, and one neuron whose logit is always the largest."""
    k, task, d = 100.0, tasks.compare(), 2**27
    Why, biases = k * of([-1, 1, 0], [-1, 0, 1]), k * of(0.5, 0, 0)
    right = Network(
        task, "sigmoid", elman(k * of([-1, 1], [1, -1]), k * np.eye(2), of(-50, -50), Why, biases)
    )
    spoiled = biases + 2 * k * by * np.eye(3)[neuron]
    wrong = replace(right, weights=right.weights.replace(by=spoiled))
    boxes = [((x - d, y - d), (x + d, y + d)) for x, y in ((0, 0), (ONE, 0), (0, ONE))]
    regions = [Region(str(q), q, *boxes[q], task.machine.delta[q]) for q in range(3)]
    claim = BoxCertificate(**right.about, bits=BITS, slack=WIDTH, regions=tuple(regions))
    # k (1/2 - h1 - h2) leads k h1 by the least where both h are 1/8: by k (1/2 - 3/8)
    assert check(model(right), claim).margin == pytest.approx(12.5)
    with pytest.raises(Rejected, match="the output is not always"):
        check(model(wrong), replace(claim, weights_sha256=wrong.digest()))


def test_margins_are_those_of_the_corners() -> None:
    rng = np.random.default_rng(2)
    for text in ["add", "add:base=3", "compare", "multiply_by:k=3"] * 10:
        task = tasks.parse(text)
        network = Network(task, "tanh", random_weights(task, 3, rng))
        low = rng.normal(size=3)
        high = low + rng.uniform(0, 1, 3)
        corners = np.array(list(product(*zip(low, high, strict=True))))
        logits = corners @ network.weights.Why + network.weights.by
        for output in range(len(task.machine.outputs)):
            if task.readout == "bits":
                least = logits.min() if output else -logits.max()
            else:
                others = np.delete(logits, output, axis=1)
                least = (logits[:, [output]] - others).min()
            ends = [arb(x) for x in low], [arb(x) for x in high]
            ours = checker._margin(by_letters(network), task, *ends, output)
            assert float(ours) == pytest.approx(least)


@pytest.mark.parametrize("shift", [-5.0, 0.0, 5.0])
def test_the_margin_is_the_least_of_all_regions(shift: float) -> None:
    """A bias moves the logits of both outputs, one of them towards 0."""
    moved = replace(ADDER, weights=ADDER.weights.replace(by=ADDER.weights.by + shift))
    claim = replace(CERTIFICATE, weights_sha256=moved.digest())
    expected = check(model(ADDER), CERTIFICATE).margin - abs(shift)
    assert check(model(moved), claim).margin == pytest.approx(expected, abs=1e-5)


# Rounding ---------------------------------------------------------------------------------


@pytest.mark.parametrize("idle", [0, 1])
@pytest.mark.parametrize("region", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1, 1])
def test_what_h_reaches_in_any_region_counts(idle: int, region: int, sign: int) -> None:
    """A unit without weights may be anywhere in its box; the wider that is, the more slack."""
    Wxh, Why = np.zeros((1, 2)), np.zeros((2, 1))
    Wxh[0, 1 - idle], Why[1 - idle, 0] = 1, 40
    network = repeater("relu", Wxh, np.zeros((2, 2)), np.zeros(2), Why, of(-20))

    def claim(reach: int) -> BoxCertificate:
        boxes = [about(0, 0), about(0, 0), about(1, 1)]
        sides = [[list(side) for side in box] for box in boxes]
        for i, (lower, upper) in enumerate(sides):
            lower[idle], upper[idle] = -WIDTH, WIDTH
            if i == region:
                (upper if sign > 0 else lower)[idle] = sign * reach
        start, zero, one = ((tuple(lower), tuple(upper)) for lower, upper in sides)
        return repeats(network, zero, one, start)

    most = SLACK * 2**50  # 8 eps |h| is the slack
    assert check(model(network), claim(most - 2**12)).regions == 3
    with pytest.raises(Rejected, match="its slack does not cover"):
        check(model(network), claim(most + 2**12))


def test_slack_counts_in_the_units_of_its_certificate() -> None:
    """Eight units are enough at 2^-24, and nothing at 2^-60."""
    finer = 36
    regions = tuple(
        replace(
            r, lower=tuple(x << finer for x in r.lower), upper=tuple(x << finer for x in r.upper)
        )
        for r in CERTIFICATE.regions
    )
    fine = replace(CERTIFICATE, bits=CERTIFICATE.bits + finer, regions=regions, slack=8)
    with pytest.raises(Rejected, match="its slack does not cover"):
        check(model(ADDER), fine)
    assert check(model(ADDER), replace(fine, slack=8 << finer)).slack == 8 / 2**CERTIFICATE.bits


def test_the_precision_is_put_back() -> None:
    for precision in (53, 200):
        with flint.ctx.workprec(precision):
            check(model(ADDER), CERTIFICATE)
            assert flint.ctx.prec == precision


# Trees ------------------------------------------------------------------------------------


def test_a_tree_that_starts_in_another_state() -> None:
    """An adder that starts with a carry: all is as it should be, but for the start."""
    k, add = 40.0, tasks.add()
    machine = add.machine
    weights = elman(
        k * of([1, -1, 1], [1, -1, 1]),
        k * of([0, 0, 0], [-1, 1, -1], [0, 0, 0]),
        k * of(0.5, 0.5, -1.5),
        k * of([1], [1], [1]),
        of(-1.5 * k),
    )
    swapped = replace(
        machine,
        delta=tuple(tuple(1 - q for q in row) for row in machine.delta[::-1]),
        output=machine.output[::-1],
    )
    other = Network(replace(add, machine=swapped), "sigmoid", weights)
    claim = tree.search(other, slack=1e-4, deadline=time.monotonic() + 60)
    assert claim is not None
    network = Network(add, "sigmoid", weights)
    assert network.add(118, 8) == 127
    false = replace(claim, states=[1 - q for q in claim.states], **network.about)
    with pytest.raises(Rejected, match="the start point"):
        check(model(network), false)


def test_a_tree_whose_slack_is_less_than_rounding() -> None:
    network, claim = found(hand_built_adder)
    with pytest.raises(Rejected, match="its slack does not cover the rounding of float64"):
        check(model(network), replace(claim, slack=1e-16))


def spoiled(entries: Any) -> Any:
    """A tree whose last leaf is a region that is not there."""
    if isinstance(entries, int):
        return 10**6
    if isinstance(entries, dict):
        return {**entries, "parts": spoiled(entries["parts"])}
    *others, last = entries
    return [*others, spoiled(last)]


def nodes(entries: Any) -> int:
    """Of a tree, its leaves and its cuts left out."""
    if isinstance(entries, dict):
        return sum(map(nodes, entries["parts"]))
    return 1 + sum(map(nodes, entries)) if isinstance(entries, list) else 0


@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
def test_more_words_than_are_made_at_once(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tree counts to its last leaf, in whichever batch that is."""
    network, claim = found(relu_adder)
    whole, symbols = check(model(network), claim), len(network.task.machine.symbols)
    monkeypatch.setattr(check_trees, "_AT_ONCE", at_once * symbols * network.hidden**2)
    monkeypatch.setattr(check_trees, "_PART", 2)
    monkeypatch.setattr(check_trees, "_TURNS", 2)  # the rest of a tree goes to another thread
    told: list[tuple[int, int]] = []
    parts = check(model(network), claim, lambda *turn: told.append(turn))
    regions, words = len(claim.trees), sum(map(nodes, claim.trees))
    assert told == sorted(told)
    assert len(told) > 2 or at_once > 1  # threads that end together are told of once
    assert (told[-1], {known for _, known in told}) == ((words, words), {words})
    assert parts.regions == whole.regions == regions
    assert parts.margin == pytest.approx(whole.margin)
    for i, entries in enumerate(claim.trees):
        trees = [*claim.trees[:i], spoiled(entries), *claim.trees[i + 1 :]]
        with pytest.raises(Rejected, match=f"tree {i}: a leaf"):
            check(model(network), replace(claim, trees=trees))
