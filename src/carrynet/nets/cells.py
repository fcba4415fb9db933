"""The cells: each is its equations, and nothing else says what it computes.

To add one, write its lines here: it can then be trained, evaluated, drawn and swept over, and
`tests/test_cells.py` tries it like all others.  Plain Python, so that help can list them at once.
"""

import os
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from carrynet import files
from carrynet.errors import InputError, shorten, unknown
from carrynet.nets.equations import MOST_CHARACTERS
from carrynet.nets.formula import Formula, layers, stack
from carrynet.spec import recipe as recipes
from carrynet.spec.recipe import Recipe

ACTIVATIONS: tuple[str, ...] = Recipe.__dataclass_fields__["activation"].metadata["choices"]

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
    stacked = names_in(names)
    if len(stacked) > MOST_LAYERS:
        raise InputError(f"a stack of {len(stacked)} cells: at most {MOST_LAYERS} are accepted")
    for name in stacked:
        if name.endswith(".cell"):
            raise InputError(f"cell {shorten(name)} is a file, which is given as --cell FILE.cell")
        if name != "elman" and name not in CELLS:
            raise unknown("cell", name, ("elman", *CELLS, "FILE.cell"))
    return stack(
        [
            Formula.parse(ELMAN.format(activation=activation) if name == "elman" else CELLS[name])
            for name in stacked
        ]
    )


def names_in(stacked: str) -> list[str]:
    """The names of the layers of a stack, from below."""
    return [name.strip() for name in stacked.split(",")]


def spelled(stacked: str) -> str:
    """The names of a stack in their one spelling."""
    return ",".join(names_in(stacked))


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
    own = _is_own(recipe.cell)
    usual = Recipe.__dataclass_fields__["activation"].default
    if recipe.activation != usual and (own or "elman" not in names_in(recipe.cell)):
        raise InputError(
            f"activation {recipe.activation} is accepted for elman only: leave it out with cell "
            f"{shorten(recipe.cell)}, whose equations say what is computed"
        )
    formula = _parsed(recipe.cell) if own else cell(recipe.cell, recipe.activation)
    return formula, readout(recipe.readout) if recipe.readout else readout()


def given(text: str, folder: Path = Path()) -> str:
    """A cell as `Recipe.cell` holds it: a name, equations, or those that are in a file.

    A file is what ends in `.cell`, and what there is of that name in `folder`.  Raises
    `InputError`, which names the file and shows the line, for what cannot be read or understood.
    """
    named = all(name == "elman" or name in CELLS for name in names_in(text))
    file = folder / text
    # a name that is too long, or holds a null, is no file's, and no error
    is_file = not _is_own(text) and os.path.isfile(file)  # noqa: PTH113
    if named or not (is_file or text.endswith(".cell")):
        return spelled(text) if named else text
    name = files.printable(text)
    try:
        equations = files.contents(file, MOST_CHARACTERS).decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read cell {name}: {reason}") from None
    try:
        return Formula.parse(equations).text.replace("\n", "; ")
    except InputError as error:
        raise InputError(f"cell {name}: {error}") from None


def recipe(said: str | Path | Recipe, settings: Mapping[str, Any] = MappingProxyType({})) -> Recipe:
    """A recipe, as `recipes.get` finds it, with settings; its cell may be a formula, or a file.

    A file that a recipe in a file names stands beside that; one in the settings in the working
    folder.  Raises `InputError` as `recipes.get` and `given` do.
    """
    found = recipes.get(said)
    if found.cell.endswith(".cell"):
        beside = Path() if isinstance(said, Recipe) else Path(said).parent
        found = found.with_settings({"cell": given(found.cell, beside)})
    changed = dict(settings)
    cell = changed.get("cell")
    if isinstance(cell, Formula):
        changed["cell"] = cell.text.replace("\n", "; ")
    elif isinstance(cell, str | Path):
        changed["cell"] = given(str(cell))
    return found.with_settings(changed)


def _is_own(cell: str) -> bool:
    """Whether a cell is spelled out."""
    return "=" in cell


_parsed = lru_cache(64)(Formula.parse)


def in_words(recipe: Recipe, noun: str = "units") -> str:
    """How many units of which cell a recipe has: `32 sigmoid units`, `16 gru units`."""
    formula, _ = of(recipe)
    name = elman_activation(formula) or name_of(formula)
    if name == "own":
        return f"{recipe.hidden} {noun} of a cell of one's own"
    return f"{recipe.hidden} {name} {noun}"


def formulas(facts: Mapping[str, str]) -> tuple[Formula, Formula]:
    """The formulas that a file says: see `Network.about`."""
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
