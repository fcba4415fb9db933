"""Expressions of named tensors: Python and NumPy, which read the same texts, are the oracle."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from carrynet.errors import InputError
from carrynet.exchange.mapping import Mapping, evaluate, in_part
from tests.conftest import ELMAN

FLOATS = np.random.default_rng(0)
SQUARES = {name: FLOATS.integers(-9, 9, (3, 3)).astype("f4") for name in ("A", "B", "Cc")}
TENSORS: dict[str, Any] = {
    "i2h.weight": np.arange(15, dtype="f4").reshape(3, 5),
    "i2h.bias": np.arange(3, dtype="f4"),
    "up": np.ones((3, 2)),
    "whole": np.arange(6).reshape(2, 3),
    "huge": np.array([2**53]),
    "mask": np.ones((2, 3), bool),
    "nul\x1b[2J": np.zeros(3, "f4"),
    "wide": np.zeros((1, 5000)),
}


def refusal(key: str, expression: str) -> str:
    with pytest.raises(InputError) as caught:
        evaluate(key, expression, TENSORS)
    assert str(caught.value).isprintable()
    return str(caught.value)


def expressions() -> st.SearchStrategy[str]:
    """Texts that mean the same here and in Python."""
    space = st.sampled_from(["", " "])
    names = st.sampled_from(sorted(SQUARES))
    numbers = st.sampled_from(["2", "-1", "0.5", "1e1", ".25"])

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        joined = st.tuples(inner, space, st.sampled_from("+@"), space, inner).map("".join)
        scaled = st.tuples(numbers, space, st.just("*"), space, inner).map("".join)
        part = st.sampled_from(["[:, ::]", "[:]", "[0:3]", "[:,-3:]", "[-9:9, :3]"])
        ends = st.sampled_from([".T"]) | part.filter(lambda text: "::" not in text)
        ended = st.tuples(st.just("("), inner, st.just(")"), ends).map("".join)
        return joined | scaled | ended | st.tuples(names, ends).map("".join)

    return st.recursive(names, larger, max_leaves=6)


@given(expressions())
def test_expressions_mean_what_they_mean_in_python(text: str) -> None:
    arrays = {name: array.astype(np.float64) for name, array in SQUARES.items()}
    try:
        wanted = eval(text, {}, arrays)  # a text that this test has made
    except (ValueError, TypeError):  # a matrix @ a number
        with pytest.raises(InputError):
            evaluate("Whh", text, SQUARES)
        return
    made = evaluate("Whh", text, SQUARES)
    np.testing.assert_allclose(made.array, wanted, rtol=1e-12)
    assert made.array.dtype == np.float64
    assert set(made.names) == set(re.findall("[ABC]c?", text))


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("i2h.weight[:, :2].T", TENSORS["i2h.weight"][:, :2].T),
        ("i2h.weight[:, 2:]", TENSORS["i2h.weight"][:, 2:]),
        ("i2h.weight[1]", TENSORS["i2h.weight"][1]),
        ("i2h.weight[ -1 , 1:-1 ]", TENSORS["i2h.weight"][-1, 1:-1]),
        ("whole.T + up", TENSORS["whole"].T + 1.0),
        ("i2h.weight.T @ i2h.bias", TENSORS["i2h.weight"].T @ TENSORS["i2h.bias"]),
        ("2 * whole", 2.0 * TENSORS["whole"]),
    ],
)
def test_parts_sums_and_products(expression: str, wanted: Any) -> None:
    assert evaluate("Wxh", expression, TENSORS).array.tolist() == wanted.tolist()


def test_what_is_multiplied_does_not_stand_alone() -> None:
    made = evaluate("Wxh", "i2h.weight[:, :2] + 2*up + up @ (whole[:, :2])", TENSORS)
    assert made.names == {"i2h.weight": True, "up": False, "whole": False}


def test_a_name_is_a_name_whatever_it_looks_like() -> None:
    names = ["a+a.T", "b", "a+b", "c,by=d", "2*b", "b.T", "b[0]", "0", "(b)", "a @ b"]
    tensors = {name: np.full(2, float(i)) for i, name in enumerate(names)}
    for i, name in enumerate(names):
        assert evaluate("by", name, tensors).array.tolist() == [i, i], name
    assert evaluate("by", "a+a.T + 2*2*b", tensors).array.tolist() == [8, 8]


def test_no_bias_can_be_said() -> None:
    assert evaluate("by", "0", TENSORS).array.size == 0
    assert "no weight" in refusal("Why", "0")
    assert "no weight" in refusal("by", "0.5")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("i2h.wieght", "did you mean 'i2h.weight'"),
        ("no\x1b[2J", "there is no tensor 'no\\x1b'"),
        ("up+", "the name of a tensor is missing at its end"),
        ("up++up", "the name of a tensor is missing before +up"),
        ("(up", "a bracket is not closed"),
        ("(" * 100 + "up", "more than 20 brackets"),
        ("up)", ") is not understood"),
        ("up.T.", ". is not understood"),
        ("up[x]", "a part of a tensor is written as"),
        ("up[0:1:2]", "a part of a tensor is written as"),
        ("up[:, :, :]", "a part of a tensor is written as"),
        ("up[" + "9" * 5000 + "]", "a part of a tensor is written as"),
        ("up[7]", "has no part [7]"),
        ("i2h.bias[:, 0]", "has no part [:, 0]"),
        ("up*up", "* multiplies by a number"),
        ("2@up", "@ multiplies matrices"),
        ("up@up", "do not go together"),
        ("up+whole", "shape (2, 3) is added to shape (3, 2)"),
        ("wide.T@wide", "more than 16,777,216 numbers"),
        ("mask", "'mask' holds bool, not weights"),
        ("huge", "2^53 or more"),
    ],
)
def test_what_is_no_expression(expression: str, message: str) -> None:
    assert message in refusal("Wxh", expression)


def test_expressions_are_bounded() -> None:
    tensors = {f"t{i}": np.zeros(1) for i in range(200)}
    with pytest.raises(InputError, match="more than 100 tensors"):
        evaluate("by", "+".join(tensors), tensors)


# Mappings ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["Whx=a"], "did you mean 'Wxh'"),
        (["Wxh"], "needs the name of a tensor"),
        (["Wxh="], "needs the name of a tensor"),
        (["Wxh=a", "by=b,Wxh=c"], "given twice"),
        (["logit="], "needs a number: logit=0.5"),
        (["threshold=high"], "not a number"),
        (["threshold=nan"], "not finite"),
        (["p=1"], "a probability between 0 and 1, not 1"),
        (["p=0.5", "logit=0"], "logit and p say the same thing"),
        (["\x1b[31m=x"], "\\x1b"),
    ],
)
def test_mappings_that_say_nothing(said: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Mapping.parse(said)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_units_of_the_cut() -> None:
    assert Mapping().cuts == ()
    assert Mapping(logit=0.5).cuts == (0.5,)
    assert Mapping(p=0.5).cuts == (0.0,)
    assert Mapping(p=0.9).cuts == pytest.approx((np.log(9),))
    assert Mapping(threshold=0.5).cuts == (0.5, 0.0)
    assert Mapping(threshold=2.0).cuts == (2.0,)  # no probability
    assert Mapping(threshold=0.0).cuts == (0.0,)


NAMES = st.from_regex(r"[a-z_.0-9]{1,9}(\[:, :2\])?(\+[a-z]{1,5})?(\.T)?", fullmatch=True)


@given(
    st.builds(Mapping, *[NAMES | st.just("")] * 5),
    st.sampled_from(["logit", "p", "threshold"]),
    st.none() | st.floats(0.01, 0.99),
)
def test_mappings_are_read_as_written(mapping: Mapping, key: str, cut: float | None) -> None:
    mapping = mapping.adding(key, cut)
    assert Mapping.parse([str(mapping)] if str(mapping) else []) == mapping


def test_the_weights_of_a_mapping_are_those_of_a_network() -> None:
    assert set(ELMAN) < set(vars(Mapping()))


def test_parts_of_tensors_that_no_weight_takes_are_named() -> None:
    tensors = {"W": np.ones((8, 13), "f4"), "V": np.ones((1, 8), "f4"), "B": np.ones((2, 8))}
    some = Mapping.parse(["Wxh=W[:, :2].T,Whh=W[:, 5:].T,bh=B[0]+B[1],Why=V.T"])
    assert in_part(some, tensors) == ["W"]
    whole = Mapping.parse(["Wxh=W[:, :5].T,Whh=W[:, 5:].T,bh=B[1],Why=V.T"])
    assert in_part(whole, tensors) == ["B"]
    product = Mapping.parse(["Wxh=W[:, :5],Whh=W[:, 4:] @ B"])
    assert in_part(product, tensors | {"B": np.ones((9, 2))}) == []


def test_tensors_that_no_network_has_are_refused_before_they_are_widened() -> None:
    large = np.broadcast_to(np.int8(1), (8192, 8192))  # 512 MB as float64
    with pytest.raises(InputError, match="holds 67,108,864 numbers: at most 4,194,304"):
        evaluate("Whh", "W", {"W": large})
