"""How a formula is carried out: in numbers, and as an enclosure of numbers.

A reading knows each operation of a formula twice: forward, and backward, the vector-Jacobian
product.  Everything else, such as unrolling through time, is the same for all readings
(`carrynet.nets.recurrence`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from carrynet.nets.equations import Instruction


class Rule(NamedTuple):
    """An operation as text, for where a call would cost more than what it does."""

    operands: str  #: their names, as in "a b"
    value: str
    gradients: tuple[str, ...]  #: of each operand, from the value y, its gradient g, and `slope`
    slope: str = ""  #: from the value y only, so that it is known for all positions at once

    def function(self, names: Mapping[str, Any]) -> Callable[..., Any]:
        """From the operands to the value, where `names` are what the text calls."""
        made: Callable[..., Any] = eval(
            f"lambda {', '.join(self.operands.split())}: {self.value}", dict(names)
        )
        return made


class Forward(Protocol):
    """What values are, and how operations work on them."""

    @property
    def forward(self) -> Mapping[str, Callable[..., Any]]:
        """By operation: from its operands to its value."""


class Reading(Forward, Protocol):
    """The same with gradients."""

    inlined: ClassVar[Mapping[str, Rule]]  #: by operation: what stands in place of a call
    names: ClassVar[Mapping[str, Any]]  #: what those call; VARIES is some value that varies
    #: by operation, unless inlined: whether `backward` looks into value or operands, or both;
    #: of others it asks only whether they vary
    asks: ClassVar[Mapping[str, tuple[str, ...]]]

    @property
    def backward(self) -> Mapping[str, Callable[..., Any]]:
        """By operation, unless inlined: from (gradient, value, *operands) to their gradients."""

    def product(self, v: Any, g: Any, W: Any) -> Any:
        """The gradient of a matrix W, from that of v W, over all positions at once."""

    def stack(self, values: Sequence[Any]) -> Any:
        """Values of successive positions as one, with a first axis of time."""

    def unstack(self, value: Any) -> Sequence[Any]:
        """Of each position what a value, or a gradient, with a first axis of time is there."""

    def at(self, value: Any, t: slice) -> Any:
        """What a value with a first axis of time is at some positions."""

    def point(self, value: Any) -> Any:
        """A value, which may be an array, as one that can vary."""

    def of_point(self, gradient: Any, value: Any) -> Any:
        """The gradient of a value, from that of `point` of it."""

    def zeros(self, value: Any) -> Any:
        """The gradient zero of a value."""

    def plus(self, one: Any, other: Any) -> Any:
        """The sum of two gradients."""


def interpret(instructions: Sequence[Instruction], reading: Forward, slots: list[Any]) -> None:
    """Carry out instructions, filling their slots."""
    forward = reading.forward
    for operation, operands, out in instructions:
        slots[out] = forward[operation](*[slots[i] for i in operands])
