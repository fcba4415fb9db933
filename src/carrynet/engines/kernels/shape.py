"""Which network a kernel is made for, and where its parameters lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Shape:
    """What a kernel is made for; equal shapes share machine code."""

    lanes: int  # L
    hidden: int  # H
    inputs: int  # X
    active: int  # J
    outputs: int  # Y
    activation: str = "sigmoid"
    loss: str = ""  # of training only
    readout: str = "bits"
    optimiser: str = ""
    biases: bool = True
    alone: bool = False  # one problem for each update, by plain descent
    worst: bool = False  # the worst case has a share in the loss


@dataclass(frozen=True)
class Parameters:
    """What a kernel is called with, by name."""

    arrays: Mapping[str, str]  #: contiguous, with the NumPy type of each
    integers: tuple[str, ...]  #: of 64 bits


@dataclass(frozen=True)
class Layout:
    """Where the parameters lie, in floats."""

    shape: Shape

    @cached_property
    def columns(self) -> int:
        """P / L, the vectors of a hidden state."""
        # at least 8 units, so that loops over units can be unrolled by 8
        multiple = max(8, self.shape.lanes)
        return -(-self.shape.hidden // multiple) * multiple // self.shape.lanes

    @cached_property
    def width(self) -> int:
        """P, the padded number of hidden units."""
        return self.columns * self.shape.lanes

    @cached_property
    def Whh(self) -> int:
        """Where Whh begins."""
        return (self.shape.inputs + 1) * self.width

    @cached_property
    def bh(self) -> int:
        """Where bh begins."""
        return self.Whh + self.width**2

    @cached_property
    def Why(self) -> int:
        """Where Why begins, transposed."""
        return self.bh + self.width

    @cached_property
    def by(self) -> int:
        """Where by begins."""
        return self.Why + self.shape.outputs * self.width

    @cached_property
    def output_width(self) -> int:
        """Y, padded to vectors."""
        return -(-self.shape.outputs // self.shape.lanes) * self.shape.lanes

    @cached_property
    def size(self) -> int:
        """How many floats there are."""
        return self.by + self.output_width
