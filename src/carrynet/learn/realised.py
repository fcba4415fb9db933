"""How each cell computes activation(pre-activation), for weights that are set and not found.

Gates are set by their biases, and stay there; then every cell does what Elman's does.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from carrynet.nets.arrays import Array
from carrynet.nets.formula import Formula
from carrynet.nets.readings import interpret
from carrynet.nets.readings.numbers import NUMBERS
from carrynet.nets.recurrence import blank


class Realised(NamedTuple):
    """How a cell computes activation(pre-activation): its weights, and the gates that stay as set.

    A gate is the bias of one: 1 where it is open, -1 where it is shut.
    """

    of_input: str
    of_state: str
    bias: str
    gates: Mapping[str, int] = {}

    def gate_biases(self, hidden: int, size: float) -> dict[str, Array]:
        """The biases of all gates, `size` where one is open and -`size` where it is shut: (H,)."""
        return {name: np.full(hidden, size * way) for name, way in self.gates.items()}


REALISED: Mapping[str, Realised] = {
    "elman": Realised("Wxh", "Whh", "bh"),
    "gru": Realised("Wxn", "Whn", "bn", {"br": 1, "bz": -1}),
    "gru-reset-before": Realised("Wxn", "Whn", "bn", {"br": 1, "bz": -1}),
    "lstm": Realised("Wxg", "Whg", "bg", {"bi": 1, "bf": -1, "bo": 1}),
    "mgu": Realised("Wxn", "Whn", "bn", {"bf": 1}),
}
"""By the name of the cell."""


def settled(formula: Formula, realised: Realised, pre: Array, gate: float) -> Array:
    """What units come to whose pre-activations are always the same: shape (N, H) to (N, H).

    By the cell's equations, with gates set by biases of size `gate`; the first part of the state.
    """
    N, H = pre.shape
    shapes = formula.shapes({"X": 1, "H": H, "Y": 1})
    weights: dict[str, Array] = {name: np.zeros(shape) for name, shape in shapes.items()}
    weights |= {**realised.gate_biases(H, gate), realised.bias: pre}
    state = [np.zeros((N, H)) for _ in formula.state]
    for _ in range(_STEPS):
        slots = blank(formula, weights)
        slots[0] = np.zeros((N, 1))
        slots[1 : 1 + len(state)] = state
        interpret(formula.instructions, NUMBERS, slots)
        state = [slots[result] for result in formula.results]
    found: Array = state[0]
    return found


_STEPS = 20  # with gates of 10, more than floats can tell
