"""Updates of small networks on a GPU: a program for each network, with its weights in registers.

A scan over problems (`engines.programs`) writes all weights to memory at every update, and reads
them at every position.  A network of 32 units fits in the registers of one warp: Pallas, which is
part of JAX, makes a program for that from the same formula, the same rules and JAX's own gradient.

Shapes: N networks, U updates, T time, S symbols, X input, Y output.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from carrynet.data.words import tables
from carrynet.engines.programs import How, Schedule, Value, library, loss_of, numbers, updated
from carrynet.nets.arrays import Array
from carrynet.nets.readings import interpret
from carrynet.nets.recurrence import blank

MOST_WRITTEN = 160
"""Instructions along a word, which are written out: with more, compilers take too long."""


def takes(how: How, weights: Mapping[str, Array], batch: int, digits: int) -> bool:
    """Whether there is such a program; `weights` have a first axis of networks.

    For one problem at a time, of widths that are powers of two, as those of registers are.
    """
    instructions = len(how.cell.instructions) + len(how.readout.instructions)
    return (
        batch == 1
        and how.dtype == np.float32
        and not how.worst
        and not how.task.machine.leaves_open
        and digits * instructions <= MOST_WRITTEN
        and all(size & (size - 1) == 0 for w in weights.values() for size in w.shape[1:])
    )


def fused(how: How, *, interpreted: bool = False) -> Callable[..., Any]:
    """The updates of N networks: from weights, moments, steps (N,), words (N, U, 1, T), schedule.

    `interpreted`, on any device and slowly, for tests.
    """
    jax = library()
    from jax.experimental import pallas

    def train(weights: Any, moments: Any, steps: Value, words: Value, when: Schedule) -> Any:
        state, structure = jax.tree.flatten((weights, moments))
        N, U, _, T = words.shape
        table = tables(how.task)
        shared = *(a.ravel() for a in (table.delta, table.output)), table.vectors, table.targets

        def program(*refs: Any) -> None:
            """A network: what it reads, and where it writes its weights and moments."""
            step, symbols, *read = refs[: -len(state)]
            at, edges, begun = read[:5], read[5:9], read[9:]
            update = _update(how, step[0], symbols, T, Schedule(*at), edges)
            first = jax.tree.unflatten(structure, [ref[...] for ref in begun])
            last = jax.lax.fori_loop(0, U, update, first)
            for ref, value in zip(refs[-len(state) :], jax.tree.leaves(last), strict=True):
                ref[...] = value

        def own(array: Value) -> Any:
            rest = array.shape[1:]
            return pallas.BlockSpec((None, *rest), lambda n: (n, *[0] * len(rest)))

        def whole(array: Value) -> Any:
            return pallas.BlockSpec(array.shape, lambda n: (0,) * array.ndim)

        given = [steps[:, None], words.reshape(N, U * T), *when, *shared, *state]
        specs = [own(each) for each in given[:2]] + [whole(each) for each in (*when, *shared)]
        made = pallas.pallas_call(
            program,
            grid=(N,),
            in_specs=[*specs, *map(own, state)],
            out_specs=list(map(own, state)),
            out_shape=[jax.ShapeDtypeStruct(each.shape, each.dtype) for each in state],
            interpret=interpreted,
            **({} if interpreted else _in_one_warp()),
        )(*given)
        return jax.tree.unflatten(structure, made)

    return train


def _in_one_warp() -> dict[str, Any]:
    from jax.experimental.pallas import triton

    return {"compiler_params": triton.CompilerParams(num_warps=1)}


def _update(
    how: How, step: Value, symbols: Any, T: int, when: Schedule, edges: Any
) -> Callable[[Value, Any], Any]:
    """An update of one network, from problem `u` of `symbols` (U * T,); all is read from memory."""
    delta, output, vectors, targets = edges
    S = len(how.task.machine.symbols)

    def update(u: Value, now: Any) -> Any:
        x, wanted, state = [], [], 0
        for t in range(T):
            symbol = symbols[u * T + t].astype(np.int32)
            edge = state * S + symbol
            x.append(vectors[symbol, :])
            wanted.append(targets[output[edge], :])
            state = delta[edge]
        at = Schedule(*(each[u] for each in when))
        new, _ = updated(how, lambda weights: (_loss(how, weights, x, wanted), None), now, step, at)
        return new

    return update


def _loss(how: How, weights: Any, x: list[Value], targets: list[Value]) -> Value:
    """The loss of one problem, from the inputs (X,) and the targets (Y,) of its positions."""
    jnp, reading = library().numpy, numbers(matmul=lambda v, W: (v[:, None] * W).sum(axis=0))
    sizes = how.cell.sizes({name: w.shape for name, w in weights.items()})
    state = [
        weights.get(f"{part}_start", jnp.zeros(sizes[dim], how.dtype))
        for part, dim in zip(how.cell.state, how.cell.state_dims, strict=True)
    ]
    total = 0.0
    for at_t, wanted in zip(x, targets, strict=True):
        slots = blank(how.cell, weights)
        slots[0], slots[1 : 1 + len(state)] = at_t, state
        interpret(how.cell.instructions, reading, slots)
        state = [slots[result] for result in how.cell.results]
        out = blank(how.readout, weights)
        out[0] = state[0]
        interpret(how.readout.instructions, reading, out)
        total += loss_of(how.loss, how.task.readout, out[how.readout.results[0]], wanted)
    return total
