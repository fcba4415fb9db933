"""The cells: each is its equations, and nothing else says what it computes.

To add one, write its lines here: it can then be trained, evaluated, drawn and swept over, and
`tests/test_cells.py` tries it like all others.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from carrynet.errors import InputError, shorten, unknown
from carrynet.nets.arrays import ACTIVATIONS
from carrynet.nets.formula import Formula, layers, stack
from carrynet.spec.recipe import Recipe

ELMAN = "h = {activation}(x @ Wxh + bh + h @ Whh)"
"""Elman 1990, "Finding structure in time", for each of its activations."""

CELLS: MappingProxyType[str, str] = MappingProxyType(
    {
        # Cho et al. 2014, as cuDNN, PyTorch and Keras have it: reset after the product
        "gru": """
            r = sigmoid(x @ Wxr + br + h @ Whr)
            z = sigmoid(x @ Wxz + bz + h @ Whz)
            n = tanh(x @ Wxn + bn + r * (h @ Whn + bhn))
            h = mix(z, n, h)
        """,
        # as it was published: reset before the product
        "gru-reset-before": """
            r = sigmoid(x @ Wxr + br + h @ Whr)
            z = sigmoid(x @ Wxz + bz + h @ Whz)
            n = tanh(x @ Wxn + bn + (r * h) @ Whn)
            h = mix(z, n, h)
        """,
        # Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000
        "lstm": """
            state = h, c
            i = sigmoid(x @ Wxi + bi + h @ Whi)
            f = sigmoid(x @ Wxf + bf + h @ Whf)
            g = tanh(x @ Wxg + bg + h @ Whg)
            o = sigmoid(x @ Wxo + bo + h @ Who)
            c = f * c + i * g
            h = o * tanh(c)
        """,
        # Zhou et al. 2016, "Minimal gated unit for recurrent neural networks"
        "mgu": """
            f = sigmoid(x @ Wxf + bf + h @ Whf)
            n = tanh(x @ Wxn + bn + (f * h) @ Whn)
            h = mix(f, h, n)
        """,
    }
)

LINEAR = "logits = h @ Why + by"
"""The usual readout."""


@cache
def cell(names: str, activation: str = "sigmoid") -> Formula:
    """The formula of a cell by name, or of a stack of them: `elman`, `gru`, `lstm,lstm`.

    `activation` is that of Elman's cells.  Raises `InputError` for an unknown name.
    """
    layers = [name.strip() for name in names.split(",")]
    if len(layers) > MOST_LAYERS:
        raise InputError(f"a stack of {len(layers)} cells: at most {MOST_LAYERS} are accepted")
    for name in layers:
        if name != "elman" and name not in CELLS:
            raise unknown("cell", name, ("elman", *CELLS, "FILE.cell"))
    return stack(
        [
            Formula.parse(ELMAN.format(activation=activation) if name == "elman" else CELLS[name])
            for name in layers
        ]
    )


@cache
def elman_activation(formula: Formula) -> str:
    """The activation with which a formula is Elman's cell; '' where it is another."""
    return next((name for name in ACTIVATIONS if formula == cell("elman", name)), "")


@cache
def name_of(formula: Formula) -> str:
    """What a formula is called in `CELLS`, layer by layer; 'own' where it is not there."""
    known = {cell(name): name for name in CELLS}
    known |= {cell("elman", name): "elman" for name in ACTIVATIONS}
    names = [known.get(each, "") for each in layers(formula)]
    return ",".join(names) if all(names) else "own"


def of(recipe: Recipe) -> tuple[Formula, Formula]:
    """The formulas of cell and readout that a recipe names or spells out."""
    own = "=" in recipe.cell
    formula = Formula.parse(recipe.cell) if own else cell(recipe.cell, recipe.activation)
    return formula, readout(recipe.readout) if recipe.readout else readout()


def formulas(facts: Mapping[str, str]) -> tuple[Formula, Formula]:
    """The formulas that a file names: see `Network.formulas`."""
    if "activation" in facts:
        return named(facts["activation"]), readout()
    return Formula.parse(facts["cell"]), readout(facts["readout"])


def named(name: str) -> Formula:
    """`cell`, where an activation's name is Elman's cell with it.  Raises `InputError`."""
    if name in ACTIVATIONS:
        return cell("elman", name)
    try:
        return cell(name)
    except InputError:
        raise unknown("cell", name, (*ACTIVATIONS, *CELLS)) from None


def formula(cell: Formula | str) -> Formula:
    """A cell's formula: itself, or by its name."""
    if not isinstance(cell, Formula | str):
        raise InputError(f"a cell is a formula or a name, not {shorten(cell)}")
    return cell if isinstance(cell, Formula) else named(cell)


@cache
def readout(text: str = LINEAR) -> Formula:
    """The formula of a readout: from `h`, the top layer's, to `logits`."""
    formula = Formula.parse(text, inputs=("h",), result="logits")
    ends = [each.operation for each in formula.instructions[-2:]] == ["matmul", "add"]
    if ends:
        last, bias = formula.instructions[-2:]
        ends = bias.operands[0] == last.out and bias.operands[1] in formula.parameter_slots
    if not ends:
        raise InputError(f"a readout ends in a linear layer, as in {LINEAR}")
    return formula


MOST_LAYERS = 8
