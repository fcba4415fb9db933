"""The weights of a network: arrays by name, and how they are drawn before training.

Shapes: X input, H hidden, Y output; which weights there are, and their shapes, follow from
the formulas.
"""

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any

import numpy as np

from carrynet.data import rng
from carrynet.nets import cells
from carrynet.nets.arrays import Array
from carrynet.nets.formula import Formula
from carrynet.spec.task import Task


class Weights(Mapping[str, Array]):
    """The parameters of a network by name, or anything else with their shapes, such as gradients.

    First the cell's, then the readout's, of each its matrices before its vectors, at last
    the start state where that is learned: `h_start` for the part `h`.  Each is an attribute, too.
    """

    __slots__ = ("_arrays",)

    def __init__(self, arrays: Mapping[str, Array] | None = None, /, **named: Array) -> None:
        self._arrays = {**(arrays or {}), **named}

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __getattr__(self, name: str) -> Array:
        if name in Weights.__slots__ or name not in self._arrays:
            raise AttributeError(f"there are no weights {name}")
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    # what Mapping has instead takes several calls for each name
    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def items(self) -> ItemsView[str, Array]:
        """Names with arrays."""
        return self._arrays.items()

    def values(self) -> ValuesView[Array]:
        """The arrays."""
        return self._arrays.values()

    def __len__(self) -> int:
        return len(self._arrays)

    def __reduce__(self) -> Any:
        return Weights, (self._arrays,)

    def __repr__(self) -> str:
        shapes = (f"{name} {array.shape}" for name, array in self.items())
        return f"Weights({', '.join(shapes)})"

    def map(self, function: Callable[..., Array], *others: "Weights") -> "Weights":
        """`function` of each array, and of those of the same name of others."""
        arrays = [other._arrays for other in others]
        return Weights({n: function(a, *[w[n] for w in arrays]) for n, a in self._arrays.items()})

    def replace(self, **changed: Array) -> "Weights":
        """The same with other arrays for some names."""
        return Weights(self._arrays, **changed)


def initialise(
    task: Task,
    hidden: int,
    cell: Formula | str = "sigmoid",
    *,
    readout: Formula | None = None,
    learned_start: bool = False,
    width: float = 1.0,
    seed: int = 0,
    dtype: str = "float32",
) -> Weights:
    """Matrices, and vectors that multiply, uniform in [-width, width); biases and start zero.

    `cell` and `readout` as a `Network` takes them.
    """
    cell, readout = cells.formula(cell), readout or cells.readout()
    sizes = {"X": task.inputs, "H": hidden, "Y": task.neurons}
    made, drawn = {}, 0
    for formula in (cell, readout):
        for name, shape in formula.shapes(sizes).items():
            if name in formula.biases:
                made[name] = np.zeros(shape, dtype)
                continue
            count = int(np.prod(shape))
            draws = rng.uniform(seed, rng.WEIGHTS, drawn, count)
            made[name] = (width * (2 * draws - 1)).astype(dtype).reshape(shape)
            drawn += count
    if learned_start:
        made |= {f"{part}_start": np.zeros(hidden, dtype) for part in cell.state}
    return Weights(made)
