"""A step as an enclosure, written out as instructions on centres, radii and ends.

What `nets.readings.enclosure` does with boxes, as data for `block`: instructions on plain values
with a few operations more (`magnitudes`, `least`, `most`, `pick`, `abs`, `half`).  Their gradients
are then those of any formula.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from carrynet.engines.kernels.block import Block
from carrynet.nets.equations import Instruction
from carrynet.nets.formula import Formula

Slot = int


@dataclass
class _Box:
    """All values from l to u, or within r of c; either pair is made when it is needed."""

    writer: "_Writer"
    c_: Slot | None = None
    r_: Slot | None = None
    l_: Slot | None = None
    u_: Slot | None = None
    above: bool = False  #: whether none of them is below 0, as is known of what activations give

    @property
    def centred(self) -> bool:
        """Whether its centre and radius are at hand."""
        return self.c_ is not None and self.r_ is not None

    @property
    def c(self) -> Slot:
        if self.c_ is None:
            assert self.l_ is not None
            assert self.u_ is not None
            self.c_ = self.writer("half", self.writer("add", self.l_, self.u_))
        return self.c_

    @property
    def r(self) -> Slot:
        if self.r_ is None:
            assert self.l_ is not None
            assert self.u_ is not None
            self.r_ = self.writer("half", self.writer("subtract", self.u_, self.l_))
        return self.r_

    @property
    def l(self) -> Slot:  # noqa: E743
        if self.l_ is None:
            self.l_ = self.writer("subtract", self.c, self.r)
        return self.l_

    @property
    def u(self) -> Slot:
        if self.u_ is None:
            self.u_ = self.writer("add", self.c, self.r)
        return self.u_


@dataclass
class _Writer:
    """Instructions as they are written, and how many numbers each value has."""

    sizes: dict[Slot, int]
    constants: dict[Slot, float]
    next: Slot
    slack: Slot | None = None
    written: list[Instruction] = field(default_factory=list)

    def __call__(self, operation: str, *operands: Slot) -> Slot:
        out = self.slot()
        known = [self.sizes[i] for i in operands if i in self.sizes]
        self.sizes[out] = known[-1]  # of a product, of its matrix
        self.written.append(Instruction(operation, operands, out))
        return out

    def slot(self, size: int | None = None) -> Slot:
        self.next += 1
        if size is not None:
            self.sizes[self.next - 1] = size
        return self.next - 1

    def constant(self, value: float) -> Slot:
        """The slot of a number."""
        for slot, known in self.constants.items():
            if known == value:
                return slot
        out = self.slot()
        self.constants[out] = value
        return out


@dataclass(frozen=True)
class Enclosed:
    """The instructions, and where boxes are: pairs of the slots of a centre and a radius."""

    instructions: tuple[Instruction, ...]
    sizes: Mapping[Slot, int]
    constants: Mapping[Slot, float]
    before: tuple[tuple[Slot, Slot], ...]  #: inputs, of each part of the state
    after: tuple[tuple[Slot, Slot], ...]
    held: Mapping[Slot, tuple[Slot, Slot]]  #: by the slot of the formula that was asked for
    slack: Slot | None = None  #: a vector of it, where every pre-activation is off by so much

    def block(self, step: Block, slack: int | None = None) -> Block:
        """The same as a block, `step` being that of the formula; `slack` is where that begins."""
        known = {} if self.slack is None or slack is None else {self.slack: slack}
        return Block(
            *(step.k, self.instructions, self.sizes),
            *(step.matrices, {**step.vectors, **known}, self.constants),
            *(step.transposed, step.frozen | known.keys()),
        )

    @property
    def whole(self) -> bool:
        """Whether all that is asked of it is computed in it."""
        asked = {i for pair in (*self.after, *self.held.values()) for i in pair}
        return asked <= {each.out for each in self.instructions}


def enclosed(
    formula: Formula,
    sizes: Mapping[Slot, int],
    held: Sequence[Slot] = (),
    *,
    slack: bool = False,
) -> Enclosed:
    """A step of a cell from boxes of the state; what needs the input only is given, and exact.

    `sizes` are those of all its slots.  With `slack`, boxes grow before each activation.
    """
    write = _Writer(dict(sizes), dict(formula.constant_slots), formula.size)
    if slack:
        write.slack = write.slot()
    value: dict[Slot, Slot | _Box] = {i: i for i in range(formula.size)}
    before = []
    for part, slot in enumerate(range(1, 1 + len(formula.state))):
        pair = write.slot(sizes[1 + part]), write.slot(sizes[1 + part])
        before.append(pair)
        value[slot] = _Box(write, *pair)
    for operation, operands, out in formula.of_state:
        value[out] = _carried_out(write, operation, [value[i] for i in operands])
    after = [_pair(write, value[i]) for i in formula.results]
    pairs = {i: _pair(write, value[i]) for i in held}
    return Enclosed(
        tuple(write.written),
        *(write.sizes, write.constants),
        before=tuple(before),
        after=tuple(after),
        held=pairs,
        slack=write.slack,
    )


def _pair(write: _Writer, value: Slot | _Box) -> tuple[Slot, Slot]:
    assert isinstance(value, _Box), "a step depends on the state"
    return value.c, value.r


def _ends(value: Slot | _Box) -> tuple[Slot, Slot]:
    return (value.l, value.u) if isinstance(value, _Box) else (value, value)


def _carried_out(write: _Writer, operation: str, operands: Sequence[Slot | _Box]) -> Slot | _Box:
    if not any(isinstance(each, _Box) for each in operands):
        return write(operation, *(each for each in operands if not isinstance(each, _Box)))
    if operation == "matmul":
        v, W = operands
        assert isinstance(v, _Box)
        assert not isinstance(W, _Box)
        return _Box(write, write("matmul", v.c, W), write("magnitudes", v.r, W))
    if operation in ("add", "subtract"):
        return _summed(write, operation, *operands)
    if operation == "multiply":
        return _multiplied(write, *operands)
    if operation == "mix":
        (zl, zu), (nl, nu), (hl, hu) = map(_ends, operands)
        low = write("mix", write("pick", hl, nl, zu, zl), nl, hl)
        high = write("mix", write("pick", hu, nu, zl, zu), nu, hu)
        return _Box(write, l_=low, u_=high, above=all(map(_above, operands[1:])))
    (z,) = operands
    assert isinstance(z, _Box)
    if write.slack is not None:
        z = _grown(write, z, write.slack)
    low, high = (write(operation, end) for end in _ends(z))
    return _Box(write, l_=low, u_=high, above=operation in ("sigmoid", "relu"))


def _above(value: Slot | _Box) -> bool:
    """Whether it is known that a value is not below 0."""
    return isinstance(value, _Box) and value.above


def _grown(write: _Writer, box: _Box, slack: Slot) -> _Box:
    if box.centred:
        return _Box(write, box.c, write("add", box.r, slack))
    return _Box(write, l_=write("subtract", box.l, slack), u_=write("add", box.u, slack))


def _summed(write: _Writer, operation: str, a: Slot | _Box, b: Slot | _Box) -> _Box:
    """By centres and radii where these are what is there, else by ends."""
    boxes = [each for each in (a, b) if isinstance(each, _Box)]
    if all(box.centred for box in boxes):
        centres = (each.c if isinstance(each, _Box) else each for each in (a, b))
        radii = [box.r for box in boxes]
        r = write("add", *radii) if len(radii) == 2 else radii[0]
        return _Box(write, write(operation, *centres), r)
    (al, au), (bl, bu) = _ends(a), _ends(b)
    if operation == "subtract":
        bl, bu = bu, bl
    above = operation == "add" and _above(a) and _above(b)
    return _Box(write, l_=write(operation, al, bl), u_=write(operation, au, bu), above=above)


def _multiplied(write: _Writer, a: Slot | _Box, b: Slot | _Box) -> _Box:
    if isinstance(a, _Box) and isinstance(b, _Box):
        if _above(b):
            a, b = b, a
        if _above(a):
            return _scaled(write, a, b)
        corners = [write("multiply", p, q) for p in _ends(a) for q in _ends(b)]
        low, high = (reduce(lambda p, q: write(name, p, q), corners) for name in ("least", "most"))
        return _Box(write, l_=low, u_=high)
    box, plain = (a, b) if isinstance(a, _Box) else (b, a)
    assert isinstance(box, _Box)
    assert not isinstance(plain, _Box)
    c = write("multiply", box.c, plain)
    if plain in write.constants:
        size = write.constant(abs(write.constants[plain]))
        return _Box(write, c, write("multiply", box.r, size))
    return _Box(write, c, write("multiply", box.r, write("abs", plain)))


def _scaled(write: _Writer, a: _Box, b: _Box) -> _Box:
    """The products of a, which is not below 0, and b: the corners are known by the signs of b.

    Where two are equal, `nets.readings.enclosure` may choose the other: then a does not vary, or b
    is 0, or does not vary, and gradients are the same but for those of radii that are 0.
    """
    low, high = a.l, a.u
    if not b.above:
        zero = write.constant(0.0)
        low = write("pick", b.l, zero, a.u, a.l)
        high = write("pick", b.u, zero, a.l, a.u)
    low, high = write("multiply", low, b.l), write("multiply", high, b.u)
    return _Box(write, l_=low, u_=high, above=b.above)
