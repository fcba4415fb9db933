"""How a formula is carried out: in numbers, and as an enclosure of numbers.

A reading knows each operation of a formula twice: forward, and backward, the vector-Jacobian
product.  Everything else, such as unrolling through time, is the same for all readings
(`carrynet.nets.recurrence`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from carrynet.nets.equations import Instruction


class Reading(Protocol):
    """What values are, and how operations work on them and on their gradients."""

    @property
    def forward(self) -> Mapping[str, Callable[..., Any]]:
        """By operation: from its operands to its value."""

    @property
    def backward(self) -> Mapping[str, Callable[..., Any]]:
        """By operation: from (gradient, value, *operands) to the gradients of the operands."""

    def weigh(self, operation: str, g: Any, value: Any, operands: Sequence[Any], of: int) -> Any:
        """The gradient of the weights that are operand `of`, over all positions at once."""

    def stack(self, values: Sequence[Any]) -> Any:
        """Values of successive positions as one, with a first axis of time."""

    def unstack(self, value: Any) -> Sequence[Any]:
        """Of each position what a value, or a gradient, with a first axis of time is there."""

    def at(self, value: Any, t: slice) -> Any:
        """What a value with a first axis of time is at some positions."""

    def point(self, array: Any) -> Any:
        """An array as a value that can vary."""

    def zeros(self, value: Any) -> Any:
        """The gradient zero of a value."""

    def plus(self, one: Any, other: Any) -> Any:
        """The sum of two gradients."""


def run(instructions: Sequence[Instruction], reading: Reading, slots: list[Any]) -> None:
    """Carry out instructions, filling their slots."""
    forward = reading.forward
    for operation, operands, out in instructions:
        slots[out] = forward[operation](*[slots[i] for i in operands])
