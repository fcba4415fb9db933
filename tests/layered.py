"""What a network of somebody else's computes, by carrynet's formulas and carrynet's readings."""

from typing import Any

import numpy as np

from carrynet.exchange.layered import NONE, OPTIONAL, Layered
from carrynet.nets.arrays import Array
from carrynet.nets.readings.numbers import NUMBERS
from carrynet.nets.recurrence import Unrolled


def logits(layers: Layered, symbols: Any) -> Array:
    """In float64, of numbers of symbols (T, B) or of vectors (T, B, x): (T, B, y).

    What is not told is what is likeliest.
    """
    layers = layers.told("tanh", [NONE if gap == OPTIONAL else "relu" for gap in layers.gaps])
    vectors = symbols if layers.embedding is None else layers.embedding[symbols]
    shape = vectors.shape
    fed = layers.fed(np.asarray(vectors).reshape(-1, shape[-1])).reshape(*shape[:-1], -1)
    cell, readout = layers.formulas()
    weights = {name: array.astype(np.float64) for name, array in layers.parameters.items()}
    widths = cell.sizes({name: weights[name].shape for name in cell.parameters})
    start = [
        np.tile(weights.get(f"{part}_start", np.zeros(widths[dim])), (shape[1], 1))
        for part, dim in zip(cell.state, cell.state_dims, strict=True)
    ]
    with np.errstate(over="ignore"):
        states = Unrolled(cell, weights, NUMBERS, fed, start).along(0)
        found: Array = Unrolled(readout, weights, NUMBERS, states).along(0)
    return found
