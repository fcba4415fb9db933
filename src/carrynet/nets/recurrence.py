"""Through time, forward and backward, for any formula and any reading of it.

Forward, a step follows the other; what needs the input only is done for all positions at once.
Backward (backpropagation through time, Werbos 1990), gradients go from the results of a step to
the state before it; the weights do not change on the way, so that their gradients are gathered
in one product or sum each, after it.

Both ways are written as Python from the instructions, once for each formula: on arrays this
small, a loop over instructions costs more than what they do.  Of Elman's cell they read

    def through(reading, parameters, S0, start):
        p2, p3, p4, = parameters
        S5 = S0.dot(p2)
        S6 = S5 + p4
        s1, = start
        every1 = [s1]
        for s6, in zip(reading.unstack(S6)):
            s7 = s1.dot(p3)
            s8 = s6 + s7
            s9 = sigmoid(s8)
            s1, = s9,
            every1.append(s1)
        H1 = reading.stack(every1)

        def backward(G):
            c1, = map(reading.zeros, start)
            every_g8 = []
            F9 = sigmoid_slope(reading.at(H1, AFTER))
            for g, f9, in zip(reading.unstack(G)[::-1], reading.unstack(F9)[::-1]):
                g9 = c1 + g
                g8 = g9 * f9
                g1 = g8.dot(p3.T)
                every_g8.append(g8)
                c1, = g1,
            G8 = reading.stack(every_g8[::-1])
            S1 = reading.at(H1, BEFORE)
            D3 = reading.product(S1, G8, p3)
            D2 = reading.product(S0, G8, p2)
            D4 = total(G8)
            return {'Wxh': D2, 'Whh': D3, 'bh': D4}, (c1,)

        return (reading.at(H1, AFTER),), backward

Here `p` is a parameter, `s` a slot at one position and `S` at all of them; `g`, `G` and `D` are
gradients, of a slot at one position, of one at all, of a parameter; `f` and `F` are slopes; `c` is
a gradient that the next step hands on to this one.

Shapes: B batch, T time, X input, H hidden; time is the first axis, and the batch axis may be
left out.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from carrynet.nets.arrays import Array, rows_of
from carrynet.nets.equations import Instruction
from carrynet.nets.formula import Formula
from carrynet.nets.readings import Reading


def blank(formula: Formula, weights: Mapping[str, Array]) -> list[Any]:
    """The slots of a formula with its parameters and constants in, all else empty."""
    slots: list[Any] = [None] * formula.size
    for slot, name in formula.parameter_slots.items():
        slots[slot] = weights[name]
    for slot, constant in formula.constant_slots.items():
        slots[slot] = constant
    return slots


class Unrolled:
    """A formula carried out along inputs, and the way back.

    `inputs` has a first axis of time, `start` is a value for each part of the state.  Without
    `biases` their gradients are not gathered.  A readout, which has no state, may leave its `last`
    instructions to others: its result is then what the first of them is fed.
    """

    def __init__(
        self,
        formula: Formula,
        weights: Mapping[str, Array],
        reading: Reading,
        inputs: Any,
        start: Sequence[Any] = (),
        *,
        biases: bool = True,
        last: int = 0,
    ) -> None:
        through = _through(formula, type(reading), biases, last)
        parameters = [weights[name] for name in formula.parameters]
        self._along, self._backward = through(reading, parameters, inputs, start)

    def along(self, part: int) -> Any:
        """One part of the state after every step, or the result, with a first axis of time."""
        return self._along[part]

    def backward(self, gradient: Any) -> tuple[dict[str, Array], tuple[Any, ...]]:
        """The gradients of the weights, and of each part of the first state or of the inputs.

        `gradient` is that of `along(0)`, which of a state is what a readout reads.
        """
        found: tuple[dict[str, Array], tuple[Any, ...]] = self._backward(gradient)
        return found


# Written as Python -------------------------------------------------------------------


@cache
def _through(
    formula: Formula, reading: type[Reading], biases: bool, last: int
) -> Callable[..., Any]:
    """The function that `written` gives the text of."""
    made = {**reading.names, "total": _total, "BEFORE": slice(None, -1), "AFTER": slice(1, None)}
    # numbers, names of operations, and names of weights that `Formula` has parsed
    exec(written(formula, reading, biases, last), made)
    through: Callable[..., Any] = made["through"]
    return through


def _total(gradients: Array) -> Array:
    return rows_of(gradients).sum(axis=0)


def written(formula: Formula, reading: type[Reading], biases: bool = True, last: int = 0) -> str:
    """The way through time, forward and backward, as the text of a function.

    For what `biases` and `last` mean see `Unrolled`.
    """
    at_once, results = formula.of_input, formula.results
    if last:
        at_once, results = at_once[:-last], at_once[-last].operands[:1]
    ahead, behind = (_Lines(formula, reading, "S", "G", biases) for _ in range(2))
    ahead.carry_out(at_once)
    if formula.state:
        loop, back = _loops(formula, reading, behind)
        along = [f"reading.at(H{part}, AFTER)" for part in _state(formula)]
    else:
        loop, back, along = [], [], [f"S{results[0]}"]
        behind.give(results[0], "G")
    behind.pull(at_once)
    behind.weigh(at_once)

    parameters = formula.parameter_slots
    found = (f"{name!r}: D{i}" for i, name in parameters.items() if i in behind.weighed)
    ends = _row("c", _state(formula)) if formula.state else f"{behind.gradients[0]},"
    operations = {each.operation for each in at_once + formula.of_state} - {*reading.inlined}
    called = (
        f"{name}, {name}_vjp = reading.forward['{name}'], reading.backward['{name}']"
        for name in sorted(operations)
    )
    return "\n".join(
        [
            "def through(reading, parameters, S0, start):",
            *_indented([*called, f"{_row('p', parameters)} = parameters"]),
            *_indented([*ahead.lines, *loop, "", "def backward(G):"]),
            *_indented(_indented([*back, *behind.lines])),
            *_indented([f"    return {{{', '.join(found)}}}, ({ends})", ""]),
            *_indented([f"return ({_row('', along)}), backward"]),
        ]
    )


def _loops(
    formula: Formula, reading: type[Reading], behind: "_Lines"
) -> tuple[list[str], list[str]]:
    """The loop over steps, and the loop back, after which `behind` goes on."""
    state, results, drives = _state(formula), formula.results, formula.drives
    inner = [each.out for each in formula.of_state if each.out not in results]
    part_of = {i: part for part, i in zip(state, results, strict=True) if i not in drives}
    step, back = (_Lines(formula, reading, "s", "g") for _ in range(2))
    step.carry_out(formula.of_state)
    after = [f"reading.point(s{i})" if i in drives else f"s{i}" for i in results]

    for i, gradient in [
        *((i, f"c{part}") for part, i in zip(state, results, strict=True)),
        (results[0], "g"),
    ]:
        # what needs the input only may be an array, which becomes a state as a point
        back.give(i, f"reading.of_point({gradient}, {back.name(i)})" if i in drives else gradient)
    back.slopes = {}
    back.pull(formula.of_state)
    # drives hand their gradients on, instructions with parameters need those of their results
    asked = [*drives, *(each.out for each in formula.of_state if behind.places(each))]
    met = {i: back.gradients[i] for i in asked if i in back.gradients}
    behind.gradients = {i: name.upper() for i, name in met.items()}
    names = list(dict.fromkeys(met.values()))
    behind.lines = [f"{name.upper()} = reading.stack(every_{name}[::-1])" for name in names]
    behind.later = {i: f"reading.stack(every{i})" for i in inner}
    behind.later |= {part: f"reading.at(H{part}, BEFORE)" for part in state}
    behind.later |= {i: f"reading.at(H{part}, AFTER)" for i, part in part_of.items()}
    behind.weigh(formula.of_state)

    # only what the way back reads is kept; of a result there is the history of the state
    kept = [i for i in inner if i in back.read | behind.read | back.slopes.keys()]
    ways = {i: f"every{i}[::-1]" for i in kept}
    ways |= {i: f"reading.unstack(S{i})[::-1]" for i in drives}
    ways |= {i: f"every{part}[:0:-1]" for i, part in part_of.items()}
    ways |= {part: f"every{part}[-2::-1]" for part in state}
    read = sorted(back.read)
    names_read = [*(f"s{i}" for i in read), *(f"f{i}" for i in back.slopes)]
    handed_on = [back.gradients.get(part, f"c{part}") for part in state]
    back_along = ["reading.unstack(G)[::-1]", *(ways[i] for i in read)]
    back_along += [f"reading.unstack(F{i})[::-1]" for i in back.slopes]
    slopes = []  # of all positions at once
    for i, slope in back.slopes.items():
        at_all = f"reading.at(H{part_of[i]}, AFTER)" if i in part_of else f"reading.stack(every{i})"
        slopes.append(f"F{i} = {slope}".replace("(y)", f"({at_all})"))
    each = f"{_row('s', drives)} in zip({', '.join(f'reading.unstack(S{i})' for i in drives)})"
    loop = [
        f"{_row('s', state)} = start",
        *(f"every{part} = [s{part}]" for part in state),
        *(f"every{i} = []" for i in kept),
        f"for {each if drives else '_ in S0'}:",
        *_indented(step.lines),
        *_indented(f"every{i}.append(s{i})" for i in kept),
        *_indented([f"{_row('s', state)} = {_row('', after)}"]),
        *_indented(f"every{part}.append(s{part})" for part in state),
        *(f"H{part} = reading.stack(every{part})" for part in state),
    ]
    loop_back = [
        f"{_row('c', state)} = map(reading.zeros, start)",
        *(f"every_{name} = []" for name in names),
        *slopes,
        f"for {_row('', ['g', *names_read])} in zip({', '.join(back_along)}):",
        *_indented(back.lines),
        *_indented(f"every_{name}.append({name})" for name in names),
        *_indented([f"{_row('c', state)} = {_row('', handed_on)}"]),
    ]
    return loop, loop_back


class _Lines:
    """Lines that carry out instructions, or pull gradients back through them.

    `slot` and `gradient` are what names begin with: small for one position, large for all.
    """

    def __init__(
        self,
        formula: Formula,
        reading: type[Reading],
        slot: str,
        gradient: str,
        biases: bool = True,
    ) -> None:
        self.formula, self.inlined, self.asks = formula, reading.inlined, reading.asks
        self.inside = {*_state(formula), *(each.out for each in formula.of_state)}
        self.asked = {*formula.parameters} - (set() if biases else formula.biases)
        self.slot, self.gradient = slot, gradient
        self.lines: list[str] = []
        self.read: set[int] = set()  #: slots, other than of parameters and constants
        self.later: dict[int, str] = {}  #: what sets slots that are not set unless they are read
        self.slopes: dict[int, str] | None = None  #: by slot: those that are made apart, if any are
        self.gradients: dict[int, str] = {}  #: by slot: the name of what is known by now
        self.weighed: set[int] = set()  #: parameters whose gradient is known
        self._called: set[int] = set()

    def carry_out(self, instructions: Sequence[Instruction]) -> None:
        """Set the slots of instructions."""
        for each in instructions:
            if each.operation in self.inlined:
                value = self._inlined(self.inlined[each.operation].value, each)
            else:
                value = f"{each.operation}({', '.join(self.name(i) for i in each.operands)})"
            self.lines.append(f"{self.slot}{each.out} = {value}")

    def pull(self, instructions: Sequence[Instruction]) -> None:
        """Pull gradients back through instructions, from the last to the first."""
        for each in reversed(instructions):
            if each.out in self.gradients:
                for place, i in enumerate(each.operands):
                    if i not in self.formula.fixed:
                        self.give(i, self._pulled(each, place))

    def weigh(self, instructions: Sequence[Instruction]) -> None:
        """Gather the gradients of parameters, where those of the results are known."""
        for each in instructions:
            for place, i in self.places(each) if each.out in self.gradients else ():
                if each.operation == "matmul":
                    v, g = self.name(each.operands[0]), self.gradients[each.out]
                    gradient = f"reading.product({v}, {g}, p{i})"
                else:
                    gradient = f"total({self._pulled(each, place)})"
                before = f"D{i} + " if i in self.weighed else ""
                self.lines.append(f"D{i} = {before}{gradient}")
                self.weighed.add(i)

    def places(self, instruction: Instruction) -> list[tuple[int, int]]:
        """Places and slots of the operands that are parameters whose gradient is asked for."""
        name = self.formula.parameter_slots.get
        return [(k, i) for k, i in enumerate(instruction.operands) if name(i) in self.asked]

    def give(self, i: int, gradient: str) -> None:
        """Add a gradient to what is known of a slot's."""
        if i not in self.gradients and gradient.isidentifier():  # the same, by another name
            self.gradients[i] = gradient
            return
        if i in self.gradients:
            # where sums are inlined, gradients are what values are, and are added as they are
            both = "{} + {}" if "add" in self.inlined else "reading.plus({}, {})"
            own = gradient if gradient.isidentifier() else f"({gradient})"
            gradient = both.format(self.gradients[i], own)
        self.gradients[i] = f"{self.gradient}{i}"
        self.lines.append(f"{self.gradients[i]} = {gradient}")

    def _pulled(self, instruction: Instruction, place: int) -> str:
        """The gradient of an operand, from that of the result."""
        operation, operands, out = instruction
        if operation in self.inlined:
            return self._inlined(self.inlined[operation].gradients[place], instruction)
        names = [f"{self.gradient}{out}_{k}" for k in range(len(operands))]
        if out not in self._called:  # which gives those of all operands
            asks = self.asks.get(operation, ())
            value = self._met(out, "value" in asks)
            values = [self._met(i, "operands" in asks) for i in operands]
            given = ", ".join([self.gradients[out], value, *values])
            self.lines.append(f"{_row('', names)} = {operation}_vjp({given})")
            self._called.add(out)
        return names[place]

    def _met(self, i: int, asked: bool) -> str:
        """A slot for a rule, which may ask only whether it varies: what a step sets does."""
        return self.name(i) if asked or i not in self.inside else "VARIES"

    def _inlined(self, text: str, instruction: Instruction) -> str:
        """The text of a rule, with the names that it has here."""
        operation, operands, out = instruction
        slots = dict(
            zip([*self.inlined[operation].operands.split(), "y"], [*operands, out], strict=True)
        )

        def named(word: re.Match[str]) -> str:
            if word[0] == "g":
                return self.gradients[out]
            if word[0] == "slope":
                return self._slope(instruction)
            return self.name(slots[word[0]]) if word[0] in slots else word[0]

        return re.sub(r"\b[^\W\d]\w*", named, text)

    def _slope(self, instruction: Instruction) -> str:
        """The slope of a function: by its name, where that of all positions is made apart."""
        slope = self.inlined[instruction.operation].slope
        if self.slopes is None:
            return self._inlined(slope, instruction)
        self.slopes[instruction.out] = slope
        return f"f{instruction.out}"

    def name(self, i: int) -> str:
        """A slot's, which it is given first where that was left for later."""
        if i in self.formula.parameter_slots:
            return f"p{i}"
        if i in self.formula.constant_slots:
            return f"({self.formula.constant_slots[i]!r})"
        if i in self.later:
            self.lines.append(f"{self.slot}{i} = {self.later.pop(i)}")
        self.read.add(i)
        return f"{self.slot}{i}"


def _state(formula: Formula) -> range:
    """The slots of the state before a step."""
    return range(len(formula.inputs), len(formula.inputs) + len(formula.state))


def _row(letter: str, names: Iterable[Any]) -> str:
    return ", ".join(f"{letter}{name}" for name in names) + ","


def _indented(lines: Iterable[str]) -> list[str]:
    return [line and f"    {line}" for line in lines]
