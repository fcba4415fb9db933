"""A few words of vector code, in which the kernels are written.

A thin layer over llvmlite's IR builder: float32 vectors of `lanes` numbers,
64-bit integers, pointers, counted loops that carry values, and the elementary
functions.  Integers may be Python's, which fold away.  What the loops carry
stays in registers, which auto-vectorised loops do not achieve here.
"""

from collections.abc import Callable, Iterable, Sequence
from math import copysign
from typing import Any, TypeAlias

import llvmlite.ir as ir

FLOAT, INT, POINTER = ir.FloatType(), ir.IntType(64), ir.PointerType()
Value: TypeAlias = Any  # llvmlite's values; it has no types of its own
Integer: TypeAlias = Any  # a Value or a Python int


class Code:
    """One function under construction; its parameters are attributes.

    `pointers` come first in its signature, then `integers`.
    """

    def __init__(
        self,
        module: ir.Module,
        name: str,
        pointers: Sequence[str],
        integers: Sequence[str],
        lanes: int,
    ) -> None:
        kinds = [POINTER] * len(pointers) + [INT] * len(integers)
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        self.function.attributes.add("nounwind")
        self.module, self.lanes = module, lanes
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.vector = ir.VectorType(FLOAT, lanes)
        self.integers = ir.VectorType(ir.IntType(32), lanes)
        self.parameters = dict(zip([*pointers, *integers], self.function.args, strict=True))
        self._constants: dict[
            tuple[Any, float, float], Value
        ] = {}  # it takes long to write one out
        for parameter, argument in self.parameters.items():
            argument.name = parameter

    def __getattr__(self, name: str) -> Value:
        try:
            return self.__dict__["parameters"][name]
        except KeyError:
            raise AttributeError(name) from None

    # Integers

    def i64(self, value: Integer) -> Value:
        """A 64-bit integer."""
        return self._constant(INT, value) if isinstance(value, int) else value

    def add(self, a: Integer, b: Integer) -> Integer:
        """a + b."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        return a if b == 0 else self.builder.add(self.i64(a), self.i64(b))

    def sub(self, a: Integer, b: Integer) -> Integer:
        """a - b."""
        return self.builder.sub(self.i64(a), self.i64(b))

    def mul(self, a: Integer, b: Integer) -> Integer:
        """a * b."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        return a if b == 1 else self.builder.mul(self.i64(a), self.i64(b))

    def div(self, a: Integer, b: int) -> Integer:
        """a // b, for a >= 0."""
        return a if b == 1 else self.builder.udiv(self.i64(a), self.i64(b))

    def less(self, a: Integer, b: Integer) -> Value:
        """a < b."""
        return self.builder.icmp_signed("<", self.i64(a), self.i64(b))

    # Control

    def loop(
        self,
        stop: Integer,
        body: Callable[..., Iterable[Value] | None],
        carried: Sequence[Value] = (),
        *,
        start: Integer = 0,
        step: int = 1,
    ) -> list[Value]:
        """Call `body(i, *values)` for i = start, start + step, ... below stop.

        The body returns the values that the next turn is called with; the result
        is what the last turn returned, or `carried` where there was none.

        A counter of a loop that carries nothing is a number of which LLVM knows nothing: half of
        the time that it took for a kernel went into addresses that follow from such counters.
        """
        b, before = self.builder, self.builder.block
        head, after = b.append_basic_block("loop"), b.append_basic_block("after")
        b.cbranch(self.less(start, stop), head, after)

        b.position_at_end(head)
        i = b.phi(INT)
        i.add_incoming(self.i64(start), before)
        values = [b.phi(value.type) for value in carried]
        returned = list(body(i if carried else self._opaque(i), *values) or ())
        last = b.block
        following = b.add(i, self.i64(step))
        i.add_incoming(following, last)
        for phi, first, value in zip(values, carried, returned, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(value, last)
        b.cbranch(self.less(following, stop), head, after)

        b.position_at_end(after)
        results = [b.phi(value.type) for value in carried]
        for phi, first, value in zip(results, carried, returned, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(value, last)
        return results

    def _opaque(self, i: Value) -> Value:
        """The same integer, from where LLVM does not look."""
        kind = ir.FunctionType(INT, [INT])
        return self.builder.asm(kind, "", "=r,0", [i], side_effect=False)

    def each_row(self, count: Integer, tile: int, body: Callable[[Integer, int], None]) -> None:
        """`body(first, rows)` for all rows in tiles, then for the rest one by one."""
        if count == 1:
            body(0, 1)
            return
        tiled = self.mul(self.div(count, tile), tile)
        self.loop(tiled, lambda row: body(row, tile), step=tile)
        self.loop(count, lambda row: body(row, 1), start=tiled)

    def when(self, condition: Value, body: Callable[[], Integer]) -> Value:
        """The integer that `body` returns, where a condition holds; else 0, and it is not run."""
        before = self.builder.block
        with self.builder.if_then(condition):
            value = self.i64(body())
            last = self.builder.block
        result = self.builder.phi(INT)
        result.add_incoming(self.i64(0), before)
        result.add_incoming(value, last)
        return result

    def done(self) -> None:
        """End the function."""
        self.builder.ret_void()

    def procedure(
        self, name: str, kinds: Sequence[Any], result: Any, body: Callable[..., None]
    ) -> ir.Function:
        """A function beside this one, for `builder.call`; `body(*arguments)` writes it.

        The body returns by `builder.ret`, from where it likes.
        """
        function = ir.Function(self.module, ir.FunctionType(result, list(kinds)), name)
        function.linkage = "internal"
        function.attributes.add("nounwind")
        outer, self.builder = self.builder, ir.IRBuilder(function.append_basic_block("entry"))
        body(*function.args)
        self.builder = outer
        return function

    # Memory; positions count elements

    def at(self, pointer: Value, position: Integer, kind: Any = FLOAT) -> Value:
        """The address of an element."""
        if isinstance(position, int) and position == 0:
            return pointer
        return self.builder.gep(pointer, [self.i64(position)], source_etype=kind)

    def load(self, pointer: Value, position: Integer = 0) -> Value:
        """A vector."""
        return self.builder.load(self.at(pointer, position), align=4, typ=self.vector)

    def load_all(self, pointer: Value, position: Integer, count: int) -> list[Value]:
        """`count` vectors, one after another."""
        return [self.load(pointer, self.add(position, i * self.lanes)) for i in range(count)]

    def load_integers(self, pointer: Value, position: Integer = 0) -> Value:
        """A vector of integers of 32 bits."""
        place = self.at(pointer, position, ir.IntType(32))
        return self.builder.load(place, align=4, typ=self.integers)

    def store(self, value: Value, pointer: Value, position: Integer = 0) -> None:
        """A vector, of floats or integers, or a single float."""
        self.builder.store(value, self.at(pointer, position), align=4)

    def store_all(self, values: Sequence[Value], pointer: Value, position: Integer) -> None:
        """Vectors, one after another."""
        for i, value in enumerate(values):
            self.store(value, pointer, self.add(position, i * self.lanes))

    def scalar(self, pointer: Value, position: Integer = 0) -> Value:
        """A single float."""
        return self.builder.load(self.at(pointer, position), align=4, typ=FLOAT)

    def broadcast(self, pointer: Value, position: Integer = 0) -> Value:
        """A single float in every lane."""
        return self.splat(self.scalar(pointer, position))

    def integer(self, pointer: Value, position: Integer, bits: int) -> Value:
        """An unsigned integer of some width."""
        kind = ir.IntType(bits)
        value = self.builder.load(self.at(pointer, position, kind), align=bits // 8, typ=kind)
        return value if bits == 64 else self.builder.zext(value, INT)

    def store_integer(self, value: Integer, pointer: Value, position: Integer, bits: int) -> None:
        """An integer, cut to some width."""
        kind, value = ir.IntType(bits), self.i64(value)
        cut = value if bits == 64 else self.builder.trunc(value, kind)
        self.builder.store(cut, self.at(pointer, position, kind), align=bits // 8)

    # Vectors

    def constant(self, value: float) -> Value:
        """The same number in every lane."""
        return self._constant(self.vector, float(value))

    def splat(self, value: Value) -> Value:
        """A single float in every lane."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(self.integers, None))

    def together(self, values: Sequence[Value]) -> Value:
        """Single floats as the first lanes of a vector; the others are 0."""
        vector = self.constant(0.0)
        for i, value in enumerate(values):
            vector = self.builder.insert_element(vector, value, ir.Constant(ir.IntType(32), i))
        return vector

    def lane(self, value: Value, i: int) -> Value:
        """One of the lanes, a single float."""
        return self.builder.extract_element(value, ir.Constant(ir.IntType(32), i))

    def only(self, values: Sequence[Value], count: int, other: float) -> list[Value]:
        """The same for the first `count` numbers, beyond them another number."""
        found = []
        for i, value in enumerate(values):
            inside = [int(i * self.lanes + lane < count) for lane in range(self.lanes)]
            mask = ir.Constant(ir.VectorType(ir.IntType(1), self.lanes), inside)
            whole = (i + 1) * self.lanes <= count
            kept = value if whole else self.builder.select(mask, value, self.constant(other))
            found.append(kept)
        return found

    def splat_integer(self, value: Value) -> Value:
        """An integer, cut to 32 bits, in every lane."""
        nothing = ir.Constant(self.integers, ir.Undefined)
        cut = self.builder.trunc(self.i64(value), ir.IntType(32))
        first = self.builder.insert_element(nothing, cut, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(self.integers, None))

    def fma(self, a: Value, b: Value, c: Value | None) -> Value:
        """a * b + c; without c, a * b."""
        if c is None:
            return self.builder.fmul(a, b)
        # fmuladd and not fma: where the processor has none, that would be a call to libm
        return self._intrinsic(f"llvm.fmuladd.v{self.lanes}f32", self.vector, a, b, c)

    def fadd(self, a: Value, b: Value) -> Value:
        """a + b."""
        return self.builder.fadd(a, b)

    def fsub(self, a: Value, b: Value) -> Value:
        """a - b."""
        return self.builder.fsub(a, b)

    def fmul(self, a: Value, b: Value) -> Value:
        """a * b."""
        return self.builder.fmul(a, b)

    def fdiv(self, a: Value, b: Value) -> Value:
        """a / b."""
        return self.builder.fdiv(a, b)

    def least(self, a: Value, b: Value) -> Value:
        """The lesser of two; b where one is not a number."""
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def most(self, a: Value, b: Value) -> Value:
        """The larger of two; b where one is not a number."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def any(self, mask: Value) -> Value:
        """Whether a condition holds in some lane."""
        bits = ir.IntType(self.lanes)
        return self.builder.icmp_unsigned("!=", self.builder.bitcast(mask, bits), bits(0))

    def total(self, value: Value) -> Value:
        """The sum of the lanes, halves onto halves."""
        name, zero = f"llvm.vector.reduce.fadd.v{self.lanes}f32", ir.Constant(FLOAT, -0.0)
        return self._intrinsic(name, FLOAT, zero, value, fastmath=("reassoc",))

    def largest(self, value: Value) -> Value:
        """The largest of the lanes."""
        return self._intrinsic(f"llvm.vector.reduce.fmax.v{self.lanes}f32", FLOAT, value)

    def sqrt(self, value: Value) -> Value:
        """The square root of each lane, or of a single float."""
        if value.type == FLOAT:
            return self._intrinsic("llvm.sqrt.f32", FLOAT, value)
        return self._intrinsic(f"llvm.sqrt.v{self.lanes}f32", self.vector, value)

    def abs(self, value: Value) -> Value:
        """The magnitude of each lane."""
        return self._intrinsic(f"llvm.fabs.v{self.lanes}f32", self.vector, value)

    def sign(self, value: Value) -> Value:
        """1, 0 or -1 for each lane."""
        c, b = self.constant, self.builder
        negative = b.select(b.fcmp_ordered("<", value, c(0.0)), c(-1.0), c(0.0))
        return b.select(b.fcmp_ordered(">", value, c(0.0)), c(1.0), negative)

    def _constant(self, kind: Any, value: float) -> Value:
        """A constant, in every lane of a vector."""
        key = kind, value, copysign(1.0, value)  # 0.0 is equal to -0.0
        if key not in self._constants:
            vector = isinstance(kind, ir.VectorType)
            self._constants[key] = ir.Constant(kind, [value] * self.lanes if vector else value)
        return self._constants[key]

    def _intrinsic(self, name: str, kind: Any, *arguments: Value, **options: Any) -> Value:
        declared = self.module.globals.get(name)
        if declared is None:
            types = [argument.type for argument in arguments]
            declared = ir.Function(self.module, ir.FunctionType(kind, types), name)
        return self.builder.call(declared, arguments, **options)

    # Elementary functions; all keep NaN

    def at_least(self, bound: float, x: Value) -> Value:
        """max(bound, x)."""
        c = self.constant(bound)
        return self.builder.select(self.builder.fcmp_ordered(">", c, x), c, x)

    def at_most(self, bound: float, x: Value) -> Value:
        """min(bound, x)."""
        c = self.constant(bound)
        return self.builder.select(self.builder.fcmp_ordered("<", c, x), c, x)

    def exp(self, x: Value) -> Value:
        """e^x to about one unit in the last place, for x clamped to [-87, 88].

        Without a multiply-add of one rounding its relative error grows with x, to some 5e-6.
        """
        return self.fmul(*self._power(x, 1.0))

    def _power(self, x: Value, scale: float) -> tuple[Value, Value]:
        """Two factors of e^(scale x): a number near 1 and a power of 2; clamped as `exp` is.

        scale x log2(e) = n + f with n rounded by adding 1.5 * 2^23, and 127 beside, so that the
        lowest bits of the sum are the exponent of 2^n; 2^f by the polynomial of Cephes' exp2f
        (Moshier 1992), in Estrin's order.
        """
        c, b, fma = self.constant, self.builder, self.fma
        lowest, highest = sorted((-87.0 / scale, 88.0 / scale))
        x = self.at_least(lowest, self.at_most(highest, x))
        high, low = scale * 1.4426950216293335, scale * 1.92596299e-8  # log2(e), as two floats
        shifted = fma(x, c(high), c(1.5 * 2**23 + 127))
        n = self.fsub(c(1.5 * 2**23 + 127), shifted)
        f = fma(x, c(low), fma(x, c(high), n))
        f2 = self.fmul(f, f)
        first = fma(f, c(6.931472028550421e-1), c(1.0))
        middle = fma(f, c(5.550332471162809e-2), c(2.402264791363012e-1))
        last = fma(f, c(1.339887440266574e-3), c(9.618437357674640e-3))
        last = fma(f2, c(1.535336188319500e-4), last)
        near_one = fma(f2, fma(f2, last, middle), first)
        power = b.shl(b.bitcast(shifted, self.integers), self._bits(23))
        return near_one, b.bitcast(power, self.vector)

    def log(self, x: Value) -> Value:
        """ln x to about one unit in the last place, for x of at least 2^-126.

        x = 2^e (1 + m), m from sqrt(1/2) - 1 to sqrt(2) - 1; ln (1 + m) by the polynomial of
        Cephes' logf (Moshier 1992).
        """
        c, b, fma = self.constant, self.builder, self.fma
        # counted from the bits of sqrt(1/2), so that the exponent is rounded to the nearest
        bits = b.sub(b.bitcast(x, self.integers), self._bits(0x3F3504F3))
        e = b.sitofp(b.ashr(bits, self._bits(23)), self.vector)
        fraction = b.add(b.and_(bits, self._bits(0x7FFFFF)), self._bits(0x3F3504F3))
        m = self.fsub(b.bitcast(fraction, self.vector), c(1.0))
        m2 = self.fmul(m, m)
        polynomial = c(7.0376836292e-2)
        for coefficient in (
            *(-1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
            *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
        ):
            polynomial = fma(polynomial, m, c(coefficient))
        y = fma(e, c(-2.12194440e-4), self.fmul(self.fmul(polynomial, m2), m))
        y = fma(m2, c(-0.5), y)
        return fma(e, c(0.693359375), self.fadd(m, y))

    def sigmoid(self, z: Value) -> Value:
        """1 / (1 + e^-z)."""
        return self._over_one_more(z, -1.0)

    def tanh(self, z: Value) -> Value:
        """2 / (1 + e^-2z) - 1."""
        return self.fma(self._over_one_more(z, -2.0), self.constant(2.0), self.constant(-1.0))

    def _over_one_more(self, z: Value, scale: float) -> Value:
        """1 / (1 + e^(scale z)).

        A division of 16 numbers keeps a processor waiting: there LLVM may take an estimate of 14
        bits and Newton's step, as `arcp` and `contract` allow where nothing is infinite.
        """
        one = self.constant(1.0)
        flags = ("arcp", "contract", "ninf") if self.lanes == 16 else ()
        return self.builder.fdiv(one, self.fma(*self._power(z, scale), one), flags=flags)

    def _bits(self, value: int) -> Value:
        return self._constant(self.integers, value)
