"""Formulas as text: what is read, and the one line that says what is wrong with the rest."""

import string
from typing import Any

import pytest
from hypothesis import given, strategies as st

from carrynet.errors import InputError
from carrynet.nets import cells
from carrynet.nets.equations import MOST_CHARACTERS, MOST_LINES
from carrynet.nets.formula import Formula, layers, stack

ELMAN = "h = sigmoid(x @ Wxh + bh + h @ Whh)"


def refusal(text: str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        Formula.parse(text, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_parts_of_a_formula() -> None:
    lstm = cells.cell("lstm")
    assert lstm.state == ("h", "c")
    assert lstm.parameters == (
        *("Wxi", "Whi", "Wxf", "Whf", "Wxg", "Whg", "Wxo", "Who"),  # matrices first
        *("bi", "bf", "bg", "bo"),
    )
    assert lstm.biases == {"bi", "bf", "bg", "bo"}
    assert lstm.shapes({"X": 2, "H": 5})["Wxi"] == (2, 5)
    assert lstm.shapes({"X": 2, "H": 5})["Whi"] == (5, 5)
    assert lstm.shapes({"X": 2, "H": 5})["bi"] == (5,)
    operations = [each.operation for each in lstm.instructions]
    assert operations.count("matmul") == 8
    assert operations.count("multiply") == 3
    # what needs the input only: four products and four biases
    assert len(lstm.of_input) == 8
    assert len(lstm.of_input) + len(lstm.of_state) == len(lstm.instructions)


def test_gates_are_the_sigmoids_that_have_a_name() -> None:
    """But not those within an expression, nor the state; of a name that is set twice, the last."""
    text = "g = tanh(x @ W)\ng = sigmoid(g)\nu = g * sigmoid(h @ V)\nh = sigmoid(u)"
    formula = Formula.parse(text)
    (slot,) = formula.gates.values()
    assert list(formula.gates) == ["g"]
    after_tanh = next(each for each in formula.instructions if each.operation == "tanh").out
    assert formula.instructions[slot - formula.instructions[0].out].operands == (after_tanh,)
    assert list(cells.cell("lstm").gates) == ["i", "f", "o"]
    assert list(cells.cell("gru,mgu").gates) == ["r_1", "z_1", "f_2"]
    assert cells.cell("elman").gates == {}


def test_equal_formulas_are_equal_however_they_are_written() -> None:
    one = Formula.parse(ELMAN)
    other = Formula.parse("# Elman 1990\n\nh=sigmoid( (x@Wxh+bh) + (h @ Whh) )  # as ever\n")
    assert one == other
    assert one.digest == other.digest
    assert one.text == ELMAN
    assert Formula.parse("state = h; h = sigmoid(x @ Wxh + bh + h @ Whh)") == one
    regrouped = Formula.parse("h = sigmoid(x @ Wxh + (bh + h @ Whh))")  # which rounds otherwise
    assert regrouped != one
    assert regrouped.digest != one.digest
    assert Formula.parse("h = tanh(x @ Wxh + bh + h @ Whh)") != one


def test_the_canonical_text_is_read_back() -> None:
    texts = [cells.CELLS[name] for name in cells.CELLS]
    texts.append("h = relu(-(x @ W - h * -0.5 * wd)) - (0.1 - (h @ U - 1e-07)) * 2")
    for text in texts:
        formula = Formula.parse(text)
        again = Formula.parse(formula.text)
        assert again == formula
        assert again.instructions == formula.instructions
        assert again.constants == formula.constants


def test_widths_between_are_named_after_a_value() -> None:
    head = Formula.parse("u = relu(h @ Wu + bu)\nlogits = u @ Why + by", ("h",), "logits")
    assert head.dims == {"Wu": ("H", "u"), "Why": ("u", "Y"), "bu": ("u",), "by": ("Y",)}
    assert head.shapes({"H": 4, "Y": 2})["Wu"] == (4, 4)
    shapes = {"Wu": (4, 7), "Why": (7, 2), "bu": (7,), "by": (2,)}
    assert head.sizes(shapes) == {"H": 4, "u": 7, "Y": 2}
    with pytest.raises(InputError, match="Why have shape"):
        head.sizes(shapes | {"Why": (6, 2)})
    with pytest.raises(InputError, match="u by Y"):
        head.sizes(shapes | {"Why": (7,)})
    two = Formula.parse("state = h, s\ns = tanh(x @ Ws + s @ Us)\nh = relu(s @ Wh + h @ Uh)")
    assert two.state_dims == ("H", "s")


def test_a_stack_and_its_layers() -> None:
    gru, lstm = cells.cell("gru"), cells.cell("lstm")
    both = stack([gru, lstm])
    assert both == cells.cell("gru,lstm")
    assert both.state == ("h_2", "c_2", "h_1")  # the top layer first: it is read out
    assert layers(both) == [gru, lstm]
    assert layers(gru) == [gru]
    assert stack([gru]) == gru
    assert both.shapes({"X": 3, "H": 5})["Wxr_1"] == (3, 5)
    assert both.shapes({"X": 3, "H": 5})["Wxi_2"] == (5, 5)
    numbered = Formula.parse("state = s_1, s_3\ns_1 = tanh(x @ W)\ns_3 = s_1 * s_3")
    assert layers(numbered) == [numbered]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line sets the state's part h"),
        ("h = tanh(x @ W", "line 1: 'h = tanh(x @ W' is no equation such as h = tanh"),
        (
            "# a\n\nh = foo(x @ W)",
            "line 3: 'h = foo(x @ W)' calls foo: the functions are mix, relu",
        ),
        ("h = tanh(x @ W) / 2", "has more in it than names, numbers, brackets, functions"),
        ("h = tanh(x @ W)[0]", "has more in it"),
        ("h = __import__('os').system('x')", "has more in it"),
        ("h = (lambda: x)()", "has more in it"),
        ("h = True * x", "has more in it"),
        ("import os", "line 1: 'import os' is no equation"),
        ("h += x @ W", "is no equation"),
        ("h, c = x @ W", "is no equation"),
        ("if h: pass", "is no equation"),
        ("h = tanh(x @ W + z)", "reads z, which is not known: no line sets it"),
        ("h = tanh(x @ W + Whh)", "matrices of weights stand right of an @"),
        ("h = tanh(x @ W + h @ v)", "must have a matrix right of the @"),
        ("h = tanh(x @ (W + V))", "must have a matrix right of the @"),
        ("h = tanh(W @ x)", "must have a matrix right of the @"),
        (
            "h = tanh(x @ W + c)\nc = h * 2",
            "reads c before a line sets it: is it part of the state",
        ),
        ("state = h, c\nh = tanh(x @ W + c)", "no line sets the state's part c"),
        ("state = h, c\nc = tanh(x @ W + c)", "no line sets the state's part h"),
        ("state = h, h\nh = x @ W", "must name the parts of the state"),
        ("state = h, 3\nh = x @ W", "must name the parts of the state"),
        ("state = x\nx = x @ W", "must name the parts of the state"),
        ("x = x @ W\nh = x", "sets x: a value's name begins with a small letter"),
        ("tanh = x @ W\nh = tanh", "sets tanh"),
        ("Wa = x @ W\nh = Wa", "sets Wa"),
        ("h = tanh(x @ W + bh)\nbh = h", "reads bh before a line sets it"),
        ("h = tanh(x @ W) + x", "joins values of different widths"),
        ("h = tanh(x @ W + h @ W)", "joins values of different widths"),
        ("h = x", "computes nothing"),
        ("h = mix(x @ W, h, h)", "mixes by something other than a sigmoid"),
        ("h = mix(h, h)", "gives mix 2 values, not 3"),
        ("state = h, s\ns = s * 0.5\nh = tanh(x @ W + h @ U)", "no weights say how wide s is"),
        ("h = tanh(h * 0.5)", "no weights say how wide h is"),
        ("u = x @ Wu\nh = tanh(x @ W + h @ U)", "line 1: 'u = x @ Wu' sets what nothing reads"),
        ("h = tanh(x @ W)\nh = tanh(x @ V)", "line 1: 'h = tanh(x @ W)' sets what nothing reads"),
        ("h = tanh(b1 + b2)", "computes with weights or numbers alone"),
        ("h = 1 + 2", "computes with weights or numbers alone"),
        ("h = bh", "computes nothing"),
        ("h = 0.5", "computes nothing"),
        ("h = x @ W * 1e999", "has a number beyond"),
        ("h = x @ W * 1" + "0" * 400, "has a number beyond"),
        ("h = x @ W + " + "(" * 300 + "h" + ")" * 300, "brackets|is no equation"),
        ("h = " + "-" * 5000 + "h", "brackets|is no equation"),
        ("h = x @ W\0", "with null characters"),
        ("h = x @ W\udcff", "characters that are no text|is no equation"),
        ("h = x @ W\n" * (MOST_LINES + 1), "is too long"),
        ("h = x @ W" + " + h" * MOST_CHARACTERS, "is too long"),
        ("h = x @ W" + " + h" * 1500, "more than 1,000 operations|brackets"),
    ],
)
def test_what_is_no_formula_is_one_line(text: str, message: str) -> None:
    said = refusal(text)
    assert any(part in said for part in message.split("|")), said


def test_readouts_end_in_a_linear_layer() -> None:
    for text in ("logits = tanh(h @ Why + by)", "logits = h @ Why", "logits = by + h @ Why"):
        with pytest.raises(InputError, match="ends in a linear layer"):
            cells.readout(text)
    with pytest.raises(InputError, match="no line sets logits"):
        cells.readout("u = h @ Why + by")


def test_unknown_cells() -> None:
    with pytest.raises(InputError, match="unknown cell 'gruu'"):
        cells.cell("gruu")
    with pytest.raises(InputError, match="unknown cell ''"):
        cells.cell("gru,")
    with pytest.raises(InputError, match="at most"):
        cells.cell(",".join(["gru"] * 100))


@given(st.text(alphabet=string.printable, max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        formula = Formula.parse(text)
    except InputError:
        message = refusal(text)
        assert len(message) < 400
    else:
        assert Formula.parse(formula.text) == formula
