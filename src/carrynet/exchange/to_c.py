"""A network as C: one header without dependencies but <math.h>, for any formula.

What depends on the symbol only is tabulated, one row a symbol, as the network itself has it; the
rest is written out from the formula's instructions, one after another.  Values that are read once
stand where they are read; others, and the sums of products, are arrays on the stack.

C99, and C++ as well.  Numbers are decimal and come back to the last bit.  All names begin with one
of the user's, so that several networks can be included side by side.
"""

import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from carrynet.exchange.leaving import Written
from carrynet.nets.arrays import Array
from carrynet.nets.equations import Instruction
from carrynet.nets.formula import Formula
from carrynet.nets.network import Network

ARITHMETIC = (
    "This header computes with IEEE 754 in that type and in one order. It falls under the claim "
    "where the compiler keeps to IEEE 754, so not with -ffast-math, and where exp and tanh of the "
    "C library are that exact, which was not checked."
)
WIDTH = 96
_INLINE = 72
"""The longest expression that is written where it is read."""

_OPERATIONS = {
    "add": "({} + {})",
    "subtract": "({} - {})",
    "multiply": "({} * {})",
    "mix": "{name}_mix({}, {}, {})",
    "sigmoid": "{name}_sigmoid({})",
    "relu": "{name}_relu({})",
    "tanh": "{tanh}({})",
}

Value = Callable[[str], str]
"""The C of a value: what its element of some index is."""


def written(network: Network, file: Path, facts: Mapping[str, str]) -> Written:
    """The header of a network, whose names begin with that of the file, made an identifier."""
    name = identifier(file.name.removesuffix(".h"))
    code = _Code(network, name)
    text = code.header(facts)
    item = network.dtype.itemsize
    use = (
        f'#include "{file.name}"',
        f"{name}_state s;",
        f"{name}_start(&s); /* before each word */",
        f"int output = {name}_step(&s, symbol); /* for each symbol; logits: {name}_logits(&s) */",
    )
    sizes = {
        "constants": code.constants * item,
        "state": (len(network.start) + network.task.neurons) * item,
        "stack": code.scratch * item,
    }
    return Written(text.encode("ascii"), use, sizes)


def identifier(name: str) -> str:
    """A name that C takes, as like the given one as can be."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "network"
    return f"net_{plain}" if plain[0].isdigit() else plain


class _Code:
    """One network's header as it is being written, and how many numbers it needs."""

    def __init__(self, network: Network, name: str) -> None:
        self.network, self.name = network, name
        single = network.dtype == np.float32
        self.type, self.suffix = ("float", "f") if single else ("double", "")
        self.constants = self.scratch = 0

    def header(self, facts: Mapping[str, str]) -> str:
        """All of it."""
        network, name, type_ = self.network, self.name, self.type
        cell, readout = network.cell, network.readout
        S, D, Y = network.symbols, len(network.start), network.task.neurons
        tables = self._drives()
        tables += self._parameters(cell.parameter_slots, cell.of_state)
        tables += self._parameters(readout.parameter_slots, readout.instructions)
        at = np.cumsum([0, *network.widths]).tolist()
        given = {
            slot: (_element(f"{name}_drive{slot}[symbol]"), table.shape[1])
            for slot, table in zip(cell.drives, self.drives, strict=True)
        }
        for k, width in enumerate(network.widths, len(cell.inputs)):
            given[k] = _element("s->h", at[k - len(cell.inputs)]), width
        step = self._instructions(cell, cell.of_state, given, "v")
        step += self._into([_element("s->h", k) for k in at[:-1]])
        top = {0: (_element("s->h"), network.widths[0])}
        read = self._instructions(readout, readout.instructions, top, "u")
        read += self._into([_element("s->logits")])
        if network.start.any():
            tables += self._array("start_state", network.start)
            begin = f"s->h[i] = {name}_start_state[i];"
        else:
            begin = f"s->h[i] = {self._number(0)};"
        if Y == 1:
            decide = [f"return s->logits[0] > {self._number(0)};"]
        else:
            decide = [
                "int best = 0;",
                f"for (int k = 1; k < {Y}; k++)",
                "    if (s->logits[k] > s->logits[best]) best = k;",
                "return best;",
            ]
        inside = "\n".join(f"    {line}" for line in [*step, *read, *decide])
        return f"""{self._comment(facts)}
#ifndef CARRYNET_{name.upper()}_H
#define CARRYNET_{name.upper()}_H

#include <math.h>

typedef struct {name}_state {{
    {type_} h[{D}]; /* {self._parts(at)} */
    {type_} logits[{Y}]; /* of the last step */
}} {name}_state;

{tables}
{self._functions()}
/* Begin a word. */
static inline void {name}_start({name}_state *s) {{
    for (int i = 0; i < {D}; i++) {begin}
    for (int i = 0; i < {Y}; i++) s->logits[i] = {self._number(0)};
}}

/* Read a symbol, 0 to {S - 1}: the number of the output that is answered.  -1, and nothing is
   read, for any other symbol. */
static inline int {name}_step({name}_state *s, int symbol) {{
    if (symbol < 0 || symbol >= {S}) return -1;
{inside}
}}

/* The {Y} logit{"s" * (Y > 1)} of the last step. */
static inline const {type_} *{name}_logits(const {name}_state *s) {{
    return s->logits;
}}

#endif
"""

    # Words -------------------------------------------------------------------------------

    def _comment(self, facts: Mapping[str, str]) -> str:
        """What the header is: names and claims may hold anything, and end no comment."""
        machine = self.network.task.machine
        lines = [f"{self.name}: a network of carrynet {facts['carrynet']}, for any C99 compiler."]
        rows: list[tuple[str, str]] = [("task", facts["task"]), ("reads", facts["reads"])]
        rows.append(("symbols", self._listed(machine.symbols)))
        rows.append(("outputs", self._listed(machine.outputs)))
        rows.append(("decision", facts["decision"]))
        rows += [("cell", line) for line in facts["cell"].splitlines()]
        rows += [("readout", line) for line in facts["readout"].splitlines()]
        rows += [
            (key.replace("_", " "), facts[key])
            for key in ("weights_sha256", "verdict", "claim", "certificate_sha256", "arithmetic")
            if facts[key]
        ]
        before = ""
        for key, value in rows:
            label = "" if key == before else key
            before = key
            lines += textwrap.wrap(
                f"{label:<20}{value}",
                WIDTH - 3,
                subsequent_indent=" " * 20,
                break_on_hyphens=False,
            )
        plain = "\n   ".join(line.encode("ascii", "backslashreplace").decode() for line in lines)
        for sign in ("*/", "/*", "??"):  # the end of a comment, what warns, a trigraph
            plain = plain.replace(sign, f"{sign[0]}\\{sign[1]}")
        return f"/* {plain} */"

    def _listed(self, names: Sequence[str]) -> str:
        return "  ".join(f"{i} {json.dumps(name)}" for i, name in enumerate(names))

    def _parts(self, at: Sequence[int]) -> str:
        named = zip(self.network.cell.state, at[:-1], at[1:], strict=True)
        return f"the state: {', '.join(f'{part} in {k} to {n - 1}' for part, k, n in named)}"

    # Numbers -----------------------------------------------------------------------------

    def _number(self, value: float) -> str:
        """A number of the network's type, which reads back as the same."""
        text = repr(float(value)) if self.type == "double" else str(np.float32(value))
        if "." not in text and "e" not in text:
            text += ".0"
        return f"{text}{self.suffix}"

    def _array(self, what: str, values: Array) -> str:
        """A constant array of one or two axes."""
        self.constants += values.size
        shape = "".join(f"[{size}]" for size in values.shape)
        rows = [", ".join(map(self._number, row)) for row in np.atleast_2d(values)]
        rows = [f"{{{row}}}" for row in rows] if values.ndim > 1 else rows
        inside = textwrap.indent(
            "\n".join(textwrap.fill(f"{row},", WIDTH, break_on_hyphens=False) for row in rows),
            "    ",
        )
        return f"static const {self.type} {self.name}_{what}{shape} = {{\n{inside}\n}};\n"

    def _drives(self) -> str:
        self.drives = [np.ascontiguousarray(each) for each in self.network.every_drive]
        pairs = zip(self.network.cell.drives, self.drives, strict=True)
        return "".join(self._array(f"drive{slot}", table) for slot, table in pairs)

    def _parameters(self, named: Mapping[int, str], steps: Sequence[Instruction]) -> str:
        """The parameters that steps read."""
        read = {slot for each in steps for slot in each.operands}
        return "".join(
            self._array(_of_parameter(name, slot), self.network.weights[name])
            for slot, name in named.items()
            if slot in read
        )

    def _functions(self) -> str:
        """The functions that instructions call, and C has not."""
        one, called = self._number(1), set()
        for formula in (self.network.cell, self.network.readout):
            called |= {each.operation for each in formula.instructions}
        return "".join(
            f"static inline {self.type} {self.name}_{operation}({arguments}) {{\n"
            f"    return {value};\n}}\n\n"
            for operation, arguments, value in (
                ("sigmoid", f"{self.type} z", f"{one} / ({one} + exp{self.suffix}(-z))"),
                ("relu", f"{self.type} z", f"z > {self._number(0)} ? z : {self._number(0)}"),
                (
                    "mix",
                    f"{self.type} z, {self.type} n, {self.type} h",
                    f"({one} - z) * n + z * h",
                ),
            )
            if operation in called
        )

    # Instructions ------------------------------------------------------------------------

    def _instructions(
        self,
        formula: Formula,
        steps: Sequence[Instruction],
        given: Mapping[int, tuple[Value, int]],
        letter: str,
    ) -> list[str]:
        """Lines that carry instructions out, in arrays whose names begin with a letter.

        `given` are the values that there are already, with their widths.
        """
        value = {slot: each for slot, (each, _) in given.items()}
        width = {slot: each for slot, (_, each) in given.items()}
        for slot, parameter in formula.parameter_slots.items():
            value[slot] = _element(f"{self.name}_{_of_parameter(parameter, slot)}")
            width[slot] = self.network.weights[parameter].shape[-1]
        for slot, constant in formula.constant_slots.items():
            value[slot] = self._constant(constant)
            width[slot] = 0  # as wide as what it is combined with
        reads = [slot for each in steps for slot in each.operands]
        kept = {
            *formula.results,
            *(each.operands[0] for each in steps if each.operation == "matmul"),
        }
        lines: list[str] = []
        for operation, operands, out in steps:
            if operation == "matmul":
                v, W = operands
                width[out] = width[W]
                matrix = _of_parameter(formula.parameter_slots[W], W)
                lines += [
                    f"{self.type} {letter}{out}[{width[out]}];",
                    f"for (int j = 0; j < {width[out]}; j++) {{",
                    f"    {self.type} sum = {self._number(0)};",
                    f"    for (int i = 0; i < {width[v]}; i++)",
                    f"        sum += {value[v]('i')} * {self.name}_{matrix}[i][j];",
                    f"    {letter}{out}[j] = sum;",
                    "}",
                ]
            else:
                width[out] = max(width[slot] for slot in operands)
                made = self._made(operation, [value[slot] for slot in operands])
                if reads.count(out) == 1 and out not in kept and len(made("i")) <= _INLINE:
                    value[out] = made
                    continue
                lines += [
                    f"{self.type} {letter}{out}[{width[out]}];",
                    f"for (int i = 0; i < {width[out]}; i++)",
                    f"    {letter}{out}[i] = {made('i')};",
                ]
            self.scratch += width[out]
            value[out] = _element(f"{letter}{out}")
        self.results = [(value[slot], width[slot]) for slot in formula.results]
        return lines

    def _into(self, places: Sequence[Value]) -> list[str]:
        """Lines that put the results somewhere: after all others, since these read the state."""
        return [
            f"for (int i = 0; i < {width}; i++) {place('i')} = {value('i')};"
            for place, (value, width) in zip(places, self.results, strict=True)
        ]

    def _made(self, operation: str, operands: Sequence[Value]) -> Value:
        """What an operation on single numbers makes of values."""
        form, tanh = _OPERATIONS[operation], f"tanh{self.suffix}"
        return lambda i: form.format(*(of(i) for of in operands), name=self.name, tanh=tanh)

    def _constant(self, number: float) -> Value:
        text = self._number(number)
        return lambda _: f"({text})" if number < 0 else text


def _element(array: str, at: int = 0) -> Value:
    """The elements of an array from a place on."""
    return lambda i: f"{array}[{at} + {i}]" if at else f"{array}[{i}]"


def _of_parameter(name: str, slot: int) -> str:
    """A parameter's name in C, whose letters are fewer than Python's."""
    return name if name.isascii() else f"p{slot}"
