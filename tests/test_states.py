"""Proofs by listing all states: networks that never round, and whatever only seems to be one.

The oracles are fractions, and NumPy in float32 with units in other orders.
"""

import json
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import carrynet as cn
from carrynet import tasks
from carrynet.data.words import answers, tables
from carrynet.errors import InputError
from carrynet.learn.compile import build
from carrynet.learn.mechanism import Construction
from carrynet.nets.formula import Formula
from carrynet.nets.losses import predict
from carrynet.nets.network import Network
from carrynet.nets.readings import interpret
from carrynet.nets.readings.numbers import NUMBERS
from carrynet.nets.recurrence import blank
from carrynet.nets.weights import Weights
from carrynet.proof import check_states, closure, search
from carrynet.proof.certificate import Rejected, StateCertificate, from_json
from carrynet.proof.check import check
from carrynet.proof.verdict import Proved
from carrynet.report import page, text
from carrynet.spec.task import Task


def adder(dtype: str = "float32", *, scale: float = 1.0, **changed: Any) -> Network:
    """Three ReLU units: of the sum s of bits and carry they are s - 1, s - 2 and s, or 0.

    The carry is the first less the second; the logit is s - 2 (s - 1) + 2 (s - 2) - 1/2.
    """
    weights: dict[str, Any] = {
        "Wxh": np.ones((2, 3)),
        "Whh": np.array([[1.0] * 3, [-1.0] * 3, [0.0] * 3]),
        "bh": np.array([-1.0, -2.0, 0.0]) * scale,
        "Why": np.array([[-2.0], [2.0], [1.0]]),
        "by": np.array([-0.5]) * scale,
    }
    weights["Wxh"] = weights["Wxh"] * scale
    made = {name: np.array(w, dtype) for name, w in (weights | changed).items()}
    return Network(tasks.add(), "relu", Weights(made))


def listed(network: Network) -> StateCertificate:
    found = closure.search(network)
    assert found is not None
    return found


def rejected(network: Network, certificate: StateCertificate, what: str) -> None:
    forged = replace(certificate, **network.about)
    with pytest.raises(Rejected, match=what) as caught:
        check(search.model(network), forged)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_adder_of_whole_numbers_is_proved(dtype: str) -> None:
    verdict = cn.prove(adder(dtype), budget=0)
    assert isinstance(verdict, Proved)
    assert (verdict.method, verdict.regions) == ("states", 4)
    assert (verdict.slack, verdict.margin) == (0, 0.5)
    assert isinstance(verdict.certificate, StateCertificate)
    assert sorted(map(tuple, verdict.certificate.values)) == [
        (0, 0, 0),
        (0, 0, 1),
        (1, 0, 2),
        (2, 1, 3),
    ]
    again = from_json(json.loads(json.dumps(verdict.certificate.to_json())))
    assert again == verdict.certificate
    checked = cn.check(adder(dtype), again, progress=False)
    assert (checked.regions, checked.slack, checked.margin) == (4, 0, 0.5)
    words = np.random.default_rng(0).integers(0, 4, (64, 500))
    network, state = adder(dtype), np.zeros((64, 3), dtype)
    for t, expected in enumerate(answers(network.task, words).T):
        state = network.step(state, words[:, t])
        assert (predict(network.read(state)) == expected).all()


@pytest.mark.parametrize("scale", [2.0**-40, 0.25, 3.0, 2.0**60])
def test_units_may_be_of_any_size(scale: float) -> None:
    network = adder(scale=scale)
    assert check(search.model(network), listed(network)).margin == scale / 2


@pytest.mark.parametrize("task", ["add", "parity", "tomita:3", "cycle:5", "compare", "add:base=3"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_networks_of_whole_numbers_can_be_listed(task: str, dtype: str) -> None:
    how = Construction(activation="relu", scale=48, dtype=dtype)
    made, _ = build(cn.tasks.parse(task), how)
    network = Network(made.task, "relu", made.weights.map(np.round))
    certificate = listed(network)
    checked = check(search.model(network), certificate)
    assert checked.margin > 0
    pairs = zip(certificate.states, map(tuple, certificate.values), strict=True)
    assert checked.regions == len(set(pairs))


def test_other_equations_than_elmans() -> None:
    right = adder()
    weights = {**right.weights, "bc": np.full(3, 0.5, np.float32)}
    cell = Formula.parse("h = relu(x @ Wxh + bh + h @ Whh) * bc * 2 - 0.5 * h + 0.5 * h")
    network = Network(right.task, cell, Weights(weights))
    assert not network.elman
    found = check(search.model(network), listed(network))
    assert found == check(search.model(right), listed(right))


# What is rejected -------------------------------------------------------------------------


def test_what_is_searched_for_can_be_checked() -> None:
    """The search and the checker, which share no code, each say which operations are exact."""
    assert {*check_states.OPERATIONS} == closure.EXACT


def test_every_weight_counts() -> None:
    right = adder()
    certificate = listed(right)
    for name, array in right.weights.items():
        for place in np.ndindex(array.shape):
            for by in (1.0, -1.0, 2.0**-12):
                moved = array.copy()
                moved[place] += np.float32(by)
                changed: dict[str, Any] = {name: moved}
                other = adder(**changed)
                alike = all(
                    np.array_equal(other.children(h), right.children(h))
                    and np.array_equal(other.read(h), right.read(h))
                    for h in [np.array(certificate.values, np.float32)]
                )
                if alike:  # a weight that no listed state reaches
                    check(search.model(other), replace(certificate, **other.about))
                elif name in ("Why", "by"):
                    _agrees(other, certificate)
                else:
                    rejected(other, certificate, "is not listed|not exact|the output is not")


def _agrees(network: Network, certificate: StateCertificate) -> None:
    """What the checker says of a readout, by fractions."""
    table, margins = tables(network.task), []
    Why = [Fraction(float(w)) for w in network.weights.Why[:, 0]]
    by = Fraction(float(network.weights.by[0]))
    for q, h in zip(certificate.states, certificate.values, strict=True):
        for a in range(4):
            after = network.step(np.array([h], np.float32), np.array([a]))[0]
            logit = by + sum(Fraction(float(x)) * w for x, w in zip(after, Why, strict=True))
            margins.append(logit if table.output[q, a] == 1 else -logit)
    if min(margins) > 0:
        forged = replace(certificate, **network.about)
        assert check(search.model(network), forged).margin == float(min(margins))
    else:
        rejected(network, certificate, "the output is not")


def test_every_state_counts() -> None:
    network = adder()
    certificate = listed(network)
    N = certificate.count
    for i in range(N):
        kept = [j for j in range(N) if j != i]
        fewer = replace(
            certificate,
            states=[certificate.states[j] for j in kept],
            values=[certificate.values[j] for j in kept],
        )
        rejected(network, fewer, "is not listed")
        other = list(certificate.states)
        other[i] = 1 - other[i]
        rejected(network, replace(certificate, states=other), "is not listed|the output is not")
        for unit in range(3):
            for by in (1.0, -1.0, 2.0**-20):
                values = [list(row) for row in certificate.values]
                values[i][unit] += by
                rejected(network, replace(certificate, values=values), "not listed|not exact")


def test_more_states_than_are_reached_do_no_harm_if_they_are_closed() -> None:
    network = adder()
    found = listed(network)
    twice = replace(found, states=[*found.states] * 2, values=[*found.values] * 2)
    assert check(search.model(network), twice).margin == 0.5
    stray = replace(found, states=[*found.states, 1], values=[*found.values, [9.0, 0.0, 0.0]])
    rejected(network, stray, "from state 4 under 0,0: what follows is not listed")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"states": [], "values": []}, "the start is not listed"),
        ({"states": [0]}, "has not a machine's state for each"),
        ({"states": [0, 0, 1, 2]}, "state 3 has no such state"),
        ({"states": [0, 0, 1, -1]}, "state 3 has no such state"),
        ({"values": [[0.0, 0.0, 0.0]] * 3 + [[0.0]]}, "state 3 has not 3 units"),
        ({"values": [[0.0, 0.0, 0.1]] * 4}, "state 0 is not numbers of float32"),
        ({"values": [[0.0, 0.0, float("nan")]] * 4}, "state 0 is not numbers of float32"),
        ({"values": [[0.0, 0.0, float("inf")]] * 4}, "state 0 is not numbers of float32"),
        ({"values": [[0.0, 0.0, 10**400]] * 4}, "state 0 is not numbers of float32"),
        ({"values": [[0.0, 0.0, 2.0**127]] * 4}, "start is not listed|not exact"),
        ({"values": [[2.0**-140, 0.0, 2.0**120]] * 4}, "start is not listed|too far apart"),
    ],
)
def test_lists_that_are_none_are_rejected(changes: dict[str, Any], what: str) -> None:
    network = adder()
    rejected(network, replace(listed(network), **changes), what)


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "compare"},
        {"cell": "h = tanh(x @ Wxh + bh + h @ Whh)"},
        {"start": [1.0, 0.0, 0.0]},
        {"weights_sha256": "0" * 64},
    ],
)
def test_about_something_else(changes: dict[str, Any]) -> None:
    network = adder()
    with pytest.raises(Rejected, match="it is about"):
        check(search.model(network), replace(listed(network), **changes))


@pytest.mark.parametrize("cell", ["sigmoid", "tanh", "gru", "lstm"])
def test_what_is_only_saturated_is_refused(cell: str) -> None:
    how = Construction(activation=cell) if cell in ("sigmoid", "tanh") else Construction(cell=cell)
    network, _ = build(tasks.parse("parity"), how)
    assert not closure.applies(network)
    empty = StateCertificate(**network.about, states=[0], values=[network.start.tolist()])
    rejected(network, empty, "its equations have (sigmoid|tanh), which is not exact")


# What rounds ------------------------------------------------------------------------------


def keeps(weight: float, number: float, bias: float = 0.0, dtype: str = "float32") -> Network:
    """A network that always says 1, and multiplies a number and adds another for nothing."""
    cell = "state = h, c\nh = relu(c @ Wch + bh + x @ Wxh + h * 0)\nc = c * 1"
    w = {"Wxh": [[0.0], [0.0]], "Wch": [[weight]], "bh": [bias], "Why": [[0.0]], "by": [1.0]}
    w |= {"h_start": [0.0], "c_start": [number]}
    made = Weights({name: np.array(value, dtype) for name, value in w.items()})
    return Network(_constant(), Formula.parse(cell), made)


@cache
def _constant() -> Task:
    machine = cn.Machine(("a",), ("x", "y"), ("0", "1"), ((0, 0),), ((1, 1),))
    return tasks.own("says_one", machine)


@pytest.mark.parametrize(
    ("dtype", "weight", "number", "bias", "exact"),
    [
        ("float32", 1.0, 2.0**23, 1.0, True),
        ("float32", 1.0, 2.0**24 - 1, 1.0, True),
        ("float32", 1.0, 2.0**24, 1.0, False),
        ("float64", 1.0, 2.0**24, 1.0, True),
        ("float64", 1.0, 2.0**53 - 1, 1.0, True),
        ("float64", 1.0, 2.0**53, 1.0, False),
        ("float32", 2.0**12 + 1, 2.0**12 + 1, 0.0, False),
        ("float64", 2.0**12 + 1, 2.0**12 + 1, 0.0, True),
        ("float32", -1.0, 2.0**24 - 1, 2.0**24 - 2, False),  # the sum is small, its terms are not
        ("float32", 2.0**-60, 2.0**-66, 0.0, True),
        ("float32", 2.0**-60, 2.0**-67, 0.0, False),  # below the smallest normal number
        ("float64", 2.0**-60, 2.0**-67, 0.0, True),
        ("float32", 2.0**60, 2.0**43, 0.0, True),
        ("float32", 2.0**60, 2.0**44, 0.0, False),  # with 24 digits it may overflow
        ("float64", 2.0**60, 2.0**44, 0.0, True),
    ],
)
def test_sums_and_products_that_round_are_rejected(
    dtype: str, weight: float, number: float, bias: float, exact: bool
) -> None:
    network = keeps(weight, number, bias, dtype)
    certificate = listed(network)
    if exact:
        assert check(search.model(network), certificate).margin == 1
    else:
        rejected(network, certificate, f"its sums and products are not exact in {dtype}")


@pytest.mark.parametrize("sign", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
@pytest.mark.parametrize("operation", ["add", "subtract", "multiply", "matmul"])
def test_signs_hide_no_size(operation: str, sign: tuple[int, int]) -> None:
    """Numbers of 2^12 and of 2^24: what is too large is refused, whichever way it points."""
    arithmetic = check_states.Arithmetic("float32")
    for large, fits in ((2**12 - 1, True), (2**12 + 1, False)):
        p, q = (s * (large if operation in ("multiply", "matmul") else large**2 // 2) for s in sign)
        one, other = check_states.exact([float(p)]), check_states.exact([float(q)])
        given: list[Any] = [one, other, None]
        if operation == "matmul":
            given[1] = check_states._matrix([[float(q)]])
        elif operation != "multiply" and not fits:
            given[1] = check_states.exact([float(q - 1)])
        step = [(operation, (0, 1), 2)]
        if fits:
            arithmetic.interpret(step, given)
        else:
            with pytest.raises(Rejected, match="not exact in float32"):
                arithmetic.interpret(step, given)


def test_weights_too_far_apart_are_refused_before_they_take_memory() -> None:
    network = adder("float64", Whh=np.array([[1e300] * 3, [1e-300] * 3, [0.0] * 3]))
    empty = StateCertificate(**network.about, states=[0], values=[[0.0] * 3])
    rejected(network, empty, "too far apart")


def test_constants_must_be_of_the_type() -> None:
    right = adder()
    cell = Formula.parse("h = relu(x @ Wxh + bh + h @ Whh) * 0.1")
    network = Network(right.task, cell, right.weights)
    empty = StateCertificate(**network.about, states=[0], values=[[0.0] * 3])
    rejected(network, empty, r"its equations have 0\.1, which is no number of float32")


def test_what_would_take_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = adder()
    certificate = listed(network)
    many = replace(certificate, states=[0] * 2_000_000, values=[[0.0] * 3] * 2_000_000)
    rejected(network, many, r"it takes [\d,]+ products, of at most 1,000,000,000")
    # two matrices of the cell, one of the readout, and five more operations of 3 units
    takes = 16 * (6 + 9 + 3 + 5 * 20 * 3 - 20 * 3 + 0)
    monkeypatch.setattr(check_states, "MOST_PRODUCTS", takes)
    check(search.model(network), certificate)
    monkeypatch.setattr(check_states, "MOST_PRODUCTS", takes - 1)
    rejected(network, certificate, "it takes")


# Of formulas made at random ---------------------------------------------------------------

EXPRESSIONS = st.recursive(
    st.sampled_from(["x @ Wa", "h @ Wb", "h", "ba", "0.25", "c"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
        inner.map(lambda e: f"relu({e})"),
    ),
    max_leaves=10,
)


def by_fractions(formula: Formula, weights: dict[str, Any], x: Any, state: list[Any]) -> list[Any]:
    """What a formula comes to, in fractions."""
    slots: list[Any] = [None] * formula.size
    slots[0], slots[1 : 1 + len(state)] = x, state
    for slot, name in formula.parameter_slots.items():
        slots[slot] = np.vectorize(Fraction, otypes=[object])(weights[name].astype(float))
    for slot, constant in formula.constant_slots.items():
        slots[slot] = Fraction(constant)
    rules: dict[str, Any] = {
        "matmul": lambda v, W: v @ W,
        "add": lambda a, b: a + b,
        "subtract": lambda a, b: a - b,
        "multiply": lambda a, b: a * b,
        "relu": lambda z: np.array([max(e, Fraction(0)) for e in z], object),
    }
    for operation, operands, out in formula.instructions:
        slots[out] = rules[operation](*[slots[i] for i in operands])
    return [slots[result] for result in formula.results]


@settings(max_examples=300)
@given(EXPRESSIONS, EXPRESSIONS, st.integers(0, 2**32), st.integers(0, 26))
def test_what_is_accepted_is_exact(one: str, other: str, seed: int, size: int) -> None:
    """In fractions and in float32 alike, also with the units of the sums in another order."""
    try:
        formula = Formula.parse(f"state = h, c\nh = {one} + h * 0\nc = {other} + c * 0 + h * 0")
    except InputError:
        return
    if "X" in formula.state_dims:
        return  # what is fed would have to be as wide
    rng = np.random.default_rng(seed)
    H = 5

    def numbers(*shape: int) -> Any:
        drawn = rng.integers(-(2 ** (size // 2)), 2 ** (size // 2) + 1, shape)
        return (drawn * 2.0 ** rng.integers(-3, 3)).astype(np.float32)

    weights = {n: numbers(*s) for n, s in formula.shapes({"X": 2, "H": H}).items()}
    x, state = numbers(2), [numbers(H), numbers(H)]
    arithmetic = check_states.Arithmetic("float32")
    slots: list[Any] = [None] * formula.size
    slots[:3] = [check_states.exact(v.tolist()) for v in (x, *state)]
    for slot, name in formula.parameter_slots.items():
        rows = weights[name].tolist()
        slots[slot] = check_states._matrix(rows) if name[0].isupper() else check_states.exact(rows)
    for slot, constant in formula.constant_slots.items():
        slots[slot] = check_states.exact([constant])
    fraction = np.vectorize(Fraction, otypes=[object])
    expected = by_fractions(
        formula, weights, fraction(x.astype(float)), [fraction(v.astype(float)) for v in state]
    )
    try:
        arithmetic.interpret(formula.instructions, slots)
    except Rejected:
        return
    for result, right in zip(formula.results, expected, strict=True):
        found = slots[result]
        assert [n * Fraction(2) ** found.grain for n in found.numbers] == list(right)
    order = rng.permutation(H)
    turned = dict(weights)
    for name, dims in formula.dims.items():
        for axis, dim in enumerate(dims):
            if dim in formula.state_dims:
                turned[name] = turned[name].take(order, axis)
    for w, h, back in ((weights, state, np.arange(H)), (turned, [v[order] for v in state], order)):
        ours = blank(formula, w)
        ours[:3] = [x, *h]
        interpret(formula.instructions, NUMBERS, ours)
        for result, right in zip(formula.results, expected, strict=True):
            assert [Fraction(v) for v in ours[result].tolist()] == list(right[back])


# The search -------------------------------------------------------------------------------


def test_a_network_with_states_without_end_is_left() -> None:
    right = adder()
    w = {name: np.array(value) for name, value in right.weights.items()}
    counts = Network(
        right.task,
        "relu",
        Weights(
            {
                "Wxh": np.pad(w["Wxh"], ((0, 0), (0, 1))),
                "Whh": np.pad(w["Whh"], ((0, 1), (0, 1)))
                + np.diag([0, 0, 0, 1]).astype(np.float32),
                "bh": np.append(w["bh"], np.float32(1)),
                "Why": np.pad(w["Why"], ((0, 1), (0, 0))),
                "by": w["by"],
            }
        ),
    )
    assert closure.applies(counts)
    assert closure.search(counts) is None
    verdict = cn.prove(counts, budget=0)
    assert isinstance(verdict, cn.Undecided)
    assert any(line.startswith("states: ") for line in verdict.tried)


def test_a_wrong_network_is_left_to_those_that_refute() -> None:
    wrong = adder(Why=np.array([[-2.0], [1.0], [1.0]]))
    assert closure.search(wrong) is None
    assert isinstance(cn.prove(wrong, budget=0), cn.Refuted)


# Files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("states", 0, "states must be whole numbers"),
        ("states", [0, True], "states must be whole numbers"),
        ("states", [0, 1.0], "states must be whole numbers"),
        ("values", 1.0, "values must be lists of numbers"),
        ("values", [0.0], "values must be lists of numbers"),
        ("values", [[0.0, None]], "values must be lists of numbers"),
        ("values", [[0.0, float("nan")]], "values must be lists of numbers"),
        ("values", [[0.0, 10**400]], "values must be lists of numbers"),
        ("values", [["0"]], "values must be lists of numbers"),
        ("slack", 0, "unknown key 'slack'"),
        ("claim", "it is right", "its claim is not what its numbers say"),
    ],
)
def test_files_that_are_none_are_refused(key: str, value: Any, message: str) -> None:
    document = {**listed(adder()).to_json(), key: value}
    with pytest.raises(InputError, match=f"not a certificate: {message}"):
        from_json(document)


def test_the_claim_speaks_of_no_errors() -> None:
    claim = listed(adder()).claim
    assert (
        "in exact arithmetic, and in that of the weights' own type, where nothing is rounded"
        in claim
    )
    assert "error" not in claim
    assert listed(adder()).method == "states"


def test_texts_and_pages_deal_with_it() -> None:
    network = adder()
    verdict = cn.prove(network, budget=0)
    said = text.proof(verdict, network.task)
    assert "it comes to 4 states and no others" in said
    plane = page._plane(network)
    assert plane is not None
    assert isinstance(verdict, Proved)
    regions = page._regions(verdict.certificate, network, plane)
    assert regions is not None
    assert (regions["kind"], regions["state"]) == ("states", list(listed(network).states))
    assert regions["outlines"] == [[]] * 4
    assert not regions["begins_outside"]
    assert search.quickly_confirmed(network, verdict)
    assert search.confirm(network, verdict) == replace(verdict, seconds=verdict.seconds)
