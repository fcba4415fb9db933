"""The native engine over edges of the machine: weights and boxes packed, the kernel called."""

from typing import TYPE_CHECKING

import numpy as np

from carrynet.data.regions import Edges
from carrynet.data.words import tables
from carrynet.engines import jit, native
from carrynet.engines.packed import beside, buffer, formulas, lay_out, pick_up, state_width
from carrynet.nets import cells
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.nets.optim import Moments
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage

if TYPE_CHECKING:
    from carrynet.engines.kernels import Closing

if not jit.missing:
    from carrynet.engines import kernels


def takes(network: Network) -> bool:
    """Whether machine code trains a network over edges: with a linear readout, of few outputs."""
    few = max(len(network.task.machine.states), network.task.neurons) <= MOST_OUTPUTS
    linear = network.readout == cells.readout()
    return (
        few
        and linear
        and network.hidden <= MOST_OUTPUTS
        and native.refuses(network) is None
        and kernels.takes(network.cell)
        and kernels.closes(formulas(network))
    )


MOST_OUTPUTS = 128
"""Of the machine's states too: the rows of a readout that are kept in registers."""


def advance(
    network: Network,
    moments: Moments,
    boxes: Weights,
    box_moments: Moments,
    recipe: Recipe,
    stage: Stage,
    drawn: Edges,
    first: int,
    count: int,
) -> tuple[Weights, Moments, Weights, Moments, Array]:
    """Make updates over edges; see `engines.OverEdges`."""
    shape = kernels.Closing(formulas(network, recipe, stage), len(network.task.machine.states))
    net, table = shape.network, tables(network.task)
    rows, E = drawn.source.shape
    R, S = len(boxes.centre), len(table.vectors)
    p = buffer(net.turned[""])
    lay_out(network.weights, net, p)
    b = _boxes_in_one(network, shape, boxes)
    both, b_both = buffer(len(moments) * net.size), buffer(len(box_moments) * len(b))
    for i, (mine, theirs) in enumerate(zip(moments, box_moments, strict=True)):
        lay_out(mine, net, both[i * net.size : (i + 1) * net.size])
        b_both[i * len(b) : (i + 1) * len(b)] = _boxes_in_one(network, shape, theirs)
    rates, roots = native.schedule(stage, first, count, 1)
    strengths = [
        (stage.worst * stage.ramp_at(i), stage.slack, stage.closing_at(i), stage.forgetting)
        for i in range(first, first + count)
    ]
    numbers_of = {
        name: np.ascontiguousarray(getattr(drawn, name), np.int32)
        for name in ("source", "symbol", "target", "output", "state")
    }
    logits = buffer(count * E * net.outputs)
    jit.function("closing", shape)(
        p=p,
        moments=both,
        gradient=buffer(net.size),
        b=b,
        b_moments=b_both,
        b_gradient=buffer(len(b)),
        work=buffer(kernels.edge_room(shape, E, S)),
        **numbers_of,
        weight=np.ascontiguousarray(drawn.weight, np.float32),
        strengths=np.array(strengths, np.float32),
        rates=rates,
        roots=roots,
        logits=logits,
        vectors=np.ascontiguousarray(table.vectors),
        updates=count,
        E=E,
        R=R,
        S=S,
        stride=int(rows > 1),
    )
    moved = [
        (
            pick_up(both[i * net.size : (i + 1) * net.size], net),
            _boxes_apart(network, shape, b_both[i * len(b) : (i + 1) * len(b)], R),
        )
        for i in range(len(moments))
    ]
    made = _boxes_apart(network, shape, b, R)
    for name in ("centre", "radius"):  # the start's, which nobody asks for, is left as it was
        made[name][0] = boxes[name][0]
    return (
        *(pick_up(p, net), tuple(each for each, _ in moved)),
        *(made, tuple(each for _, each in moved)),
        logits.reshape(count, E, net.outputs),
    )


def _boxes_in_one(network: Network, shape: "Closing", boxes: Weights) -> Array:
    """Boxes as the kernel has them: `centre` and `radius` by region, `Wstate`^T, `bstate`."""
    R, Q, P = len(boxes.centre), shape.states, state_width(shape.network)
    found = buffer(R * shape.boxes + shape.guesses)
    rows = found[: R * shape.boxes].reshape(R, shape.boxes)
    rows[:, :P] = beside(network.parts(boxes.centre))
    rows[:, P:] = beside(network.parts(boxes.radius))
    H, wide = boxes.Wstate.shape[0], kernels.padded(boxes.Wstate.shape[0], shape.lanes)
    start = R * shape.boxes
    found[start : start + Q * wide].reshape(Q, wide)[:, :H] = boxes.Wstate.T
    found[start + Q * wide : start + Q * wide + Q] = boxes.bstate
    return found


def _boxes_apart(network: Network, shape: "Closing", found: Array, R: int) -> Weights:
    Q, H, P = shape.states, network.hidden, state_width(shape.network)
    wide, start = kernels.padded(H, shape.lanes), R * shape.boxes
    rows = found[:start].reshape(R, shape.boxes)
    places = zip(shape.network.part_places, network.widths, strict=True)
    columns = np.concatenate([np.arange(at, at + size) for at, size in places])
    return Weights(
        centre=rows[:, columns],
        radius=rows[:, P + columns],
        Wstate=found[start : start + Q * wide].reshape(Q, wide)[:, :H].T.copy(),
        bstate=found[start + Q * wide : start + Q * wide + Q].copy(),
    )
