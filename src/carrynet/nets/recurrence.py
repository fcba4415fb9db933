"""Through time, forward and backward, for any formula and any reading of it.

Forward, a step follows the other; what needs the input only is done for all positions at once.
Backward (backpropagation through time, Werbos 1990), gradients go from the results of a step to
the state before it; the weights do not change on the way, so that their gradients are gathered
in one product or sum each, after it.

Shapes: B batch, T time, X input, H hidden; time is the first axis, and the batch axis may be
left out.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from carrynet.nets.arrays import Array
from carrynet.nets.equations import Instruction
from carrynet.nets.formula import Formula
from carrynet.nets.readings import Reading, run


def blank(formula: Formula, weights: Mapping[str, Array]) -> list[Any]:
    """The slots of a formula with its parameters and constants in, all else empty."""
    slots: list[Any] = [None] * formula.size
    for slot, name in formula.parameter_slots.items():
        slots[slot] = weights[name]
    for slot, constant in formula.constant_slots.items():
        slots[slot] = constant
    return slots


class Unrolled:
    """A formula carried out along inputs: what came of every step, kept for the way back.

    `inputs` has a first axis of time, `start` is a value for each part of the state.
    """

    def __init__(
        self,
        formula: Formula,
        weights: Mapping[str, Array],
        reading: Reading,
        inputs: Array,
        start: Sequence[Any],
    ) -> None:
        self.formula, self.reading, self.start = formula, reading, tuple(start)
        self.base = blank(formula, weights)
        self.base[0] = inputs
        run(formula.of_input, reading, self.base)
        self.step = _step(formula)
        forward = self.step.forward(reading.forward, self.base)
        self.tape: list[tuple[Any, ...]] = []
        states = [self.start]
        drives = [reading.unstack(self.base[slot]) for slot in formula.drives]
        for shares in zip(*drives, strict=True) if drives else [()] * len(inputs):
            state, kept = forward(shares, states[-1])
            states.append(state)
            self.tape.append(kept)
        self._history = [reading.stack([parts[i] for parts in states]) for i in range(len(start))]

    def along(self, part: int) -> Any:
        """One part of the state after every step, with a first axis of time."""
        return self.reading.at(self._history[part], slice(1, None))

    def backward(self, gradient: Any) -> tuple[dict[str, Array], tuple[Any, ...]]:
        """The gradients of the weights, and of each part of the first state.

        `gradient` is that of the first part of the state after every step, which is what a
        readout reads.
        """
        formula, reading, step = self.formula, self.reading, self.step
        carried = zeros = tuple(reading.zeros(each) for each in self.start)
        back = step.backward(reading.backward, reading.plus, zeros, self.base)
        met: list[tuple[Any, ...]] = []  # gradients of drives, and of what has weights
        for kept, own in zip(reversed(self.tape), reversed(reading.unstack(gradient)), strict=True):
            carried, gs = back(kept, own, carried)
            met.append(gs)
        over_time = [reading.stack(gs[::-1]) for gs in zip(*met, strict=True)]
        of_drives = over_time[: len(step.drives)]

        found: dict[str, Array] = {}
        for instruction, g in zip(step.weighted, over_time[len(step.drives) :], strict=True):
            operands = [self._over_time(slot) for slot in instruction.operands]
            needed = instruction.operation != "matmul"
            value = self._over_time(instruction.out) if needed else None
            _weigh(formula, reading, instruction, g, value, operands, found)
        adjoint: list[Any] = [None] * formula.size
        for slot, g in zip(step.drives, of_drives, strict=True):
            adjoint[slot] = g
        pull(formula, formula.of_input, reading, self.base, adjoint)
        gather(formula, formula.of_input, reading, self.base, adjoint, found)
        return found, carried

    def _over_time(self, slot: int) -> Any:
        """What a slot held before or in every step, with a first axis of time."""
        first = len(self.formula.inputs)
        if first <= slot < first + len(self.start):
            return self.reading.at(self._history[slot - first], slice(None, -1))
        if slot in self.step.kept:
            i = self.step.kept[slot]
            return self.reading.stack([kept[i] for kept in self.tape])
        return self.base[slot]


def pull(
    formula: Formula,
    instructions: Sequence[Instruction],
    reading: Reading,
    slots: Sequence[Any],
    adjoint: list[Any],
) -> None:
    """Pull gradients back through instructions, from the last to the first."""
    backward, fixed, plus = reading.backward, formula.fixed, reading.plus
    for operation, operands, out in reversed(instructions):
        g = adjoint[out]
        if g is None or fixed.issuperset(operands):
            continue
        gs = backward[operation](g, slots[out], *[slots[i] for i in operands])
        for i, g in zip(operands, gs, strict=True):
            if i not in fixed:
                before = adjoint[i]
                adjoint[i] = g if before is None else plus(before, g)


def gather(
    formula: Formula,
    instructions: Sequence[Instruction],
    reading: Reading,
    slots: Sequence[Any],
    adjoint: Sequence[Any],
    found: dict[str, Array],
) -> None:
    """Add the gradients of the weights of instructions, of which those of the results are known."""
    for each in instructions:
        if adjoint[each.out] is not None:
            operands = [slots[i] for i in each.operands]
            _weigh(formula, reading, each, adjoint[each.out], slots[each.out], operands, found)


def _weigh(
    formula: Formula,
    reading: Reading,
    instruction: Instruction,
    g: Any,
    value: Any,
    operands: Sequence[Any],
    found: dict[str, Array],
) -> None:
    for place, name in formula.weights_of.get(instruction.out, ()):
        gradient = reading.weigh(instruction.operation, g, value, operands, place)
        found[name] = found[name] + gradient if name in found else gradient


# Steps -------------------------------------------------------------------------------


class Step(NamedTuple):
    """One step as Python functions, made from the instructions: a loop over them costs more.

    `forward(operations, slots)` gives (shares of the drives, state) -> (state, kept), and
    `backward(operations, plus, zeros, slots)` gives (kept, gradient of the first part from
    elsewhere, gradients of the state from the next step) -> (those of the state before, those of
    the drives and of what `weighted` instructions yield).
    """

    forward: Callable[..., Callable[..., tuple[Any, ...]]]
    backward: Callable[..., Callable[..., tuple[Any, ...]]]
    drives: tuple[int, ...]  #: those that have a gradient
    weighted: tuple[Instruction, ...]
    kept: Mapping[int, int]  #: where in `kept` a slot is


@cache
def _step(formula: Formula) -> Step:
    """The functions of a formula; of Elman's cell, for example, they read as follows.

    def forward(shares, state):        def backward(kept, own, carried):
        s6, = shares                       s6, s1, s7, s8, s9, = kept
        s1, = state                        g9 = carried[0]
        s7 = f_matmul(s1, s3)              g9 = plus(g9, own)
        s8 = f_add(s6, s7)                 g8, = b_sigmoid(g9, s9, s8)
        s9 = f_sigmoid(s8)                 g6, g7, = b_add(g8, s8, s6, s7)
        return (s9,), (s6, ...)            g1, _, = b_matmul(g7, s7, s1, s3)
                                           return (g1,), (g6, g7,)
    """
    first, parts = len(formula.inputs), len(formula.state)
    state = range(first, first + parts)
    slots = [*formula.drives, *state, *(each.out for each in formula.of_state)]
    varies = {*slots} - {*formula.fixed}

    lines = [f"{_names('s', formula.drives)}= shares", f"{_names('s', state)}= state"]
    for operation, operands, out in formula.of_state:
        lines.append(f"s{out} = f_{operation}({', '.join(f's{i}' for i in operands)})")
    lines.append(f"return ({_names('s', formula.results)}), ({_names('s', slots)})")
    forward = _function("forward", "shares, state", lines)

    known: set[int] = set()  # slots that have a gradient by now
    lines = [f"{_names('s', slots)}= kept"]

    def give(slot: int, text: str) -> None:
        lines.append(f"g{slot} = plus(g{slot}, {text})" if slot in known else f"g{slot} = {text}")
        known.add(slot)

    for i, result in enumerate(formula.results):
        give(result, f"carried[{i}]")
    give(formula.results[0], "own")
    for operation, operands, out in reversed(formula.of_state):
        asked = [i for i in operands if i in varies]
        if out not in known or not asked:
            continue
        values = ", ".join([f"g{out}", f"s{out}", *(f"s{i}" for i in operands)])
        fresh = [i not in known and operands.count(i) == 1 for i in operands]
        names = [
            "_" if i not in varies else f"g{i}" if new else f"t{place}"
            for place, (i, new) in enumerate(zip(operands, fresh, strict=True))
        ]
        lines.append(f"{', '.join(names)}, = b_{operation}({values})")
        for place, (i, new) in enumerate(zip(operands, fresh, strict=True)):
            if i in varies and new:
                known.add(i)
            elif i in varies:
                give(i, f"t{place}")
    drives = tuple(slot for slot in formula.drives if slot in known)
    weighted = tuple(
        each for each in formula.of_state if each.out in known and each.out in formula.weights_of
    )
    # a part that no line reads hands no gradient on
    before = "".join(
        f"g{i}, " if i in known else f"zeros[{part}], " for part, i in enumerate(state)
    )
    met = _names("g", [*drives, *(each.out for each in weighted)])
    lines.append(f"return ({before}), ({met})")
    backward = _function("backward", "kept, own, carried", lines)

    held = [*formula.parameter_slots, *formula.constant_slots]
    prologue = [f"s{i} = slots[{i}]" for i in held]
    operations = sorted({each.operation for each in formula.of_state})
    makers: dict[str, Any] = {}
    source = [
        "def make_forward(operations, slots):",
        *(f"    f_{name} = operations['{name}']" for name in operations),
        *(f"    {line}" for line in (*prologue, *forward, "return forward")),
        "def make_backward(operations, plus, zeros, slots):",
        *(f"    b_{name} = operations['{name}']" for name in operations),
        *(f"    {line}" for line in (*prologue, *backward, "return backward")),
    ]
    exec("\n".join(source), makers)  # numbers of slots and names of operations only
    kept = {slot: i for i, slot in enumerate(slots)}
    return Step(makers["make_forward"], makers["make_backward"], drives, weighted, kept)


def _names(letter: str, slots: Sequence[int]) -> str:
    return "".join(f"{letter}{slot}, " for slot in slots)


def _function(name: str, arguments: str, lines: Sequence[str]) -> list[str]:
    return [f"def {name}({arguments}):", *(f"    {line}" for line in lines)]
