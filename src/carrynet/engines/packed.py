"""Networks as kernels have them: what a kernel is made for, and numbers in one array.

All arrays begin on the border of a cache line and have a vector's width to spare.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.data.words import tables
from carrynet.engines import jit
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage

if not jit.missing:
    from carrynet.engines import kernels
    from carrynet.engines.kernels import AffinePlan, Formulas, Layout, Shape


def as_elman(subject: Network | Recipe) -> bool:
    """Whether the kernels that are shaped by hand take a network: Elman's, fed 0 and 1 only."""
    task = subject.task if isinstance(subject, Network) else subject.specification
    if isinstance(subject, Recipe) and subject.partly:
        return False
    return subject.elman and task.encoding.binary and not task.machine.leaves_open


def train_shape(network: Network, recipe: Recipe, stage: Stage) -> "Shape":
    """What a kernel of updates of Elman's cell is made for."""
    return Shape(
        **common(network),
        loss=stage.loss,
        optimiser=stage.optimiser,
        biases=recipe.biases,
        alone=stage.batch == 1 and stage.optimiser == "sgd" and not stage.worst,
        worst=stage.worst > 0,
    )


def common(network: Network) -> dict[str, Any]:
    """What all kernels of Elman's cell depend on."""
    task = network.task
    return {
        "lanes": jit.processor().lanes,
        "hidden": network.hidden,
        "inputs": task.inputs,
        "active": tables(task).active,
        "outputs": task.neurons,
        "activation": network.activation,
        "readout": task.readout,
    }


def formulas(
    network: Network, recipe: Recipe | None = None, stage: Stage | None = None
) -> "Formulas":
    """What kernels of a network of any cell are made for."""
    shapes = {name: array.shape for name, array in network.weights.items()}
    X, Y = network.task.inputs, network.task.neurons
    sizes, own = (
        tuple(sorted({**formula.sizes(shapes), "X": X, "Y": Y}.items()))
        for formula in (network.cell, network.readout)
    )
    made = Formulas(
        lanes=jit.processor().lanes,
        cell=network.cell.text,
        readout=network.readout.text,
        sizes=sizes,
        own=own,
        decision=network.task.readout,
        learned=f"{network.cell.state[0]}_start" in shapes,
    )
    if recipe is None or stage is None:
        return made
    return replace(
        made,
        loss=stage.loss,
        optimiser=stage.optimiser,
        biases=recipe.biases,
        worst=bool(stage.worst) and stage.over == "problems",
    )


def state_width(shape: "Shape | Formulas") -> int:
    """The floats of a state in kernels."""
    return shape.depth if isinstance(shape, Formulas) else Layout(shape).width


# In one array ------------------------------------------------------------------------


def buffer(size: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Zeros on a cache line's border, with a vector's width to spare behind them.

    Kernels work on whole vectors and may touch what follows the last number.
    """
    item = np.dtype(dtype).itemsize
    room = np.zeros((size + _SPARE) * item + _LINE, np.uint8)
    start = -room.ctypes.data % _LINE
    return room[start : start + size * item].view(dtype)


_LINE, _SPARE = 64, 16


def _sections(flat: Array, layout: "Layout") -> dict[str, Array]:
    """Views of the parameters, padded, shaped as `kernels.Layout` says."""
    X, P, Y = layout.shape.inputs, layout.width, layout.shape.outputs
    return {
        "Wxh": flat[: X * P].reshape(X, P),
        "Whh": flat[layout.Whh : layout.bh].reshape(P, P),
        "bh": flat[layout.bh : layout.Why],
        "Why": flat[layout.Why : layout.by].reshape(Y, P).T,
        "by": flat[layout.by :],
    }


def pack(weights: Weights, layout: "Layout") -> Array:
    """The weights of Elman's cell in one array; see `kernels.Layout`."""
    flat = buffer(layout.size)
    for name, section in _sections(flat, layout).items():
        array = getattr(weights, name)
        section[tuple(map(slice, array.shape))] = array
    return flat


def unpack(flat: Array, layout: "Layout", hidden: int) -> Weights:
    """And out of it."""
    X, Y = layout.shape.inputs, layout.shape.outputs
    shapes = {"Wxh": (X, hidden), "Whh": (hidden, hidden), "bh": (hidden,)}
    shapes |= {"Why": (hidden, Y), "by": (Y,)}
    sections = _sections(flat, layout)
    return Weights(
        **{name: sections[name][tuple(map(slice, shape))].copy() for name, shape in shapes.items()}
    )


def active_rows(network: Network, layout: "Layout") -> NDArray[np.int32]:
    """Where the rows of Wxh begin that each symbol switches on: shape (S, J)."""
    vectors = tables(network.task).vectors
    rows = np.full((len(vectors), layout.shape.active), layout.shape.inputs, np.int32)  # zero row
    for symbol, vector in enumerate(vectors):
        (on,) = np.nonzero(vector)
        rows[symbol, : len(on)] = on
    return rows * layout.width


def lay_out(weights: Weights, shape: "Formulas", flat: Array) -> None:
    """Weights, each row padded to vectors, where `shape.places` says."""
    for name, array in weights.items():
        _section(flat, shape, name)[:] = array


def pick_up(flat: Array, shape: "Formulas") -> Weights:
    """Weights from where `lay_out` puts them."""
    return Weights({name: _section(flat, shape, name).copy() for name in shape.shapes})


def _section(flat: Array, shape: "Formulas", name: str) -> Array:
    size, start = shape.shapes[name], shape.places[name]
    if len(size) == 1 or size[1] == 1:
        return flat[start : start + size[0]].reshape(size)
    rows, width = size[0], kernels.padded(size[1], shape.lanes)
    return flat[start : start + rows * width].reshape(rows, width)[:, : size[1]]


def lay_out_affine(weights: Weights, plan: "AffinePlan") -> Array:
    """Weights, and the parts of the state as maps of the whole, where `plan.places` says."""
    flat = buffer(plan.size)
    for slot, (start, count, width, first) in plan.places.items():
        if slot in plan.parts:
            array = np.eye(plan.sizes[slot], dtype=np.float32)
        else:
            array = np.atleast_2d(weights[plan.names[slot]])
        rows = flat[start : start + count * width].reshape(count, width)
        rows[first : first + len(array), : array.shape[1]] = array
    return flat


def beside(tables: Sequence[Array], least: int = 0, lanes: int = 0) -> Array:
    """Tables side by side, each padded to vectors, of `lanes` if need be, and to `least` floats."""
    lanes = lanes or jit.processor().lanes
    widths = [max(least, kernels.padded(each.shape[1], lanes)) for each in tables]
    made = buffer(len(tables[0]) * sum(widths)).reshape(len(tables[0]), -1)
    start = 0
    for table, width in zip(tables, widths, strict=True):
        made[:, start : start + table.shape[1]] = table
        start += width
    return made
