"""Instructions of a formula over rows in memory, forward and backward; no cell is named here.

Values are rows of numbers, padded to vectors.  Elementwise work on a few rows and one column of
vectors stays in registers; what a matrix multiplies has to be whole first, so that instructions
fall into phases, with all values that later ones need in memory.  In a phase, products of one
operand are one product: the operand is read once for all its matrices.

Padding is never read across: products run over the numbers that there are, and lanes do not mix,
but for matrices of one column, where what is behind the numbers is left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from carrynet.engines.vector import Integer, Value
from carrynet.nets.equations import Instruction

Rows = list[Value]  # a vector of each row


@dataclass(frozen=True)
class Place:
    """Where a slot's value lies: `width` floats from row to row; `rows` says which are meant."""

    pointer: Value
    width: int
    rows: Sequence[Integer]


Way = tuple[Mapping[int, Place], Mapping[int, Place], Mapping[int, Place], Mapping[int, Place]]
"""Of some rows on the way back, by slots: the values, and the gradients given of some; where those
of products are kept, and those of `crossing`, zero at first; and where those of inputs are added.
"""


@dataclass(frozen=True)
class Block:
    """Some instructions of a formula, and what their slots are.

    `sizes` says how many numbers a slot's value has, `matrices` and `vectors` where parameters
    begin, `transposed` where matrices begin that were turned around.
    """

    k: Any  #: a `Code`; where none is written, anything with lanes
    instructions: Sequence[Instruction]
    sizes: Mapping[int, int]
    matrices: Mapping[int, int]
    vectors: Mapping[int, int]
    constants: Mapping[int, float]
    transposed: Mapping[int, int] = field(default_factory=dict)
    frozen: frozenset[int] = frozenset()  #: slots of parameters that are not trained

    # What follows from the instructions

    @cached_property
    def phase(self) -> dict[int, int]:
        """Of each instruction's slot, when it is known."""
        found: dict[int, int] = {}
        for each in self.instructions:
            before = [found[i] + _product(each) for i in each.operands if i in found]
            found[each.out] = max(before, default=0)
        return found

    @cached_property
    def phases(self) -> int:
        """How many there are."""
        return 1 + max(self.phase.values(), default=-1)

    @cached_property
    def crossing(self) -> frozenset[int]:
        """Slots that a later phase reads."""
        return frozenset(
            i
            for _, operands, out in self.instructions
            for i in operands
            if i in self.phase and self.phase[i] < self.phase[out]
        )

    @cached_property
    def saved(self) -> frozenset[int]:
        """Slots whose values the way back reads; what follows from these it makes again.

        That saves memory: a few sums and products take less than to write them all and to read
        them again.
        """
        again: dict[int, Sequence[int]] = {}
        activations: set[int] = set()
        for operation, operands, out in self.instructions:
            mine = [i for i in operands if i in self.phase]
            if operation in ACTIVATIONS:
                activations.add(out)
            elif operation not in _PRODUCTS and activations.union(again).issuperset(mine):
                again[out] = mine
        found = {each.operands[0] for each in self.products} & self.phase.keys()
        asked = [i for each in self.instructions for i in _asked(*each) if i in self.phase]
        while asked:
            slot = asked.pop()
            if slot in again and slot not in found:
                asked += again[slot]
            else:
                found.add(slot)
        return frozenset(found)

    @cached_property
    def in_place(self) -> Mapping[int, int]:
        """Of products the saved values whose places in memory their gradients may take.

        That is what follows from a product unit by unit, and is no operand of another: it is read
        for the last time before the gradient is known.  Gradients of `crossing` begin with zeros.
        """
        left = set(self.saved) - {each.operands[0] for each in self.products}
        behind: dict[int, list[int]] = {}
        found: dict[int, int] = {}
        for each in self.instructions:
            if _product(each):
                behind[each.out] = [each.out] if each.out not in self.crossing else []
                continue
            behind[each.out] = [p for i in each.operands for p in behind.get(i, ())]
            free = [p for p in behind[each.out] if p not in found]
            if each.out in left and free:
                found[free[0]] = each.out
        return found

    @cached_property
    def _made(self) -> Mapping[int, Instruction]:
        return {each.out: each for each in self.instructions}

    @cached_property
    def products(self) -> list[Instruction]:
        """The instructions that multiply by a matrix."""
        return [each for each in self.instructions if _product(each)]

    @cached_property
    def _together(self) -> int:
        """The most matrices that multiply one operand in one phase."""
        alike = [(self.phase[each.out], each.operands[0]) for each in self.products]
        return max(map(alike.count, alike), default=1)

    @property
    def _sums(self) -> int:
        """How many sums registers hold, beside what is multiplied."""
        return 24 if self.k.lanes == 16 else 12

    @property
    def tile(self) -> int:
        """How many rows are worked at once: a power of two, which divides most batches."""
        most = 8 if self._together * 16 <= self._sums else 4
        fits = max(1, min(most, self._sums // self._together))
        return 1 << fits.bit_length() - 1

    @property
    def back_tile(self) -> int:
        """How many rows `backward` takes: a product has one matrix at a time there."""
        return 8 if self.k.lanes == 16 else 4

    def _columns(self, width: int, count: int, matrices: int) -> int:
        """How many vectors of each row are worked at once."""
        even = width // self.k.lanes % 2 == 0
        return 2 if even and 2 * count * matrices <= self._sums * 2 // 3 else 1

    def width(self, slot: int) -> int:
        """The floats of a slot's value, padded to vectors."""
        return padded(self.sizes[slot], self.k.lanes)

    # Forward

    def forward(self, places: Mapping[int, Place], count: int, *, shared: bool = False) -> None:
        """Carry out the instructions for `count` rows.

        `places` has the inputs, and wherever a value is to be kept: at least for `crossing`.
        Where they are `shared`, all rows have the first one's inputs of matrices.
        """
        k, L = self.k, self.k.lanes
        for phase in range(self.phases):
            here = [each for each in self.instructions if self.phase[each.out] == phase]
            for width in sorted({self.width(each.out) for each in here}):
                mine = [each for each in here if self.width(each.out) == width]
                wide = self._columns(width, count, self._together)

                def column(v: Value, mine: list[Instruction] = mine, wide: int = wide) -> None:
                    known: dict[int, Rows] = {}
                    for operand in dict.fromkeys(i.operands[0] for i in mine if _product(i)):
                        those = [i for i in mine if _product(i) and i.operands[0] == operand]
                        rows = 1 if shared and operand not in self.phase else count
                        a, size = places[operand], self.sizes[operand]
                        columns = [i for i in those if self.sizes[i.out] == 1]
                        others = [i for i in those if i not in columns]
                        sums = [self._dots(a, rows, size, self._matrix(i)) for i in columns]
                        if others:
                            matrices = [self._matrix(i) for i in others]
                            sums += self._multiply(a, rows, size, matrices, v, wide)
                        for i, found in zip((*columns, *others), sums, strict=True):
                            known[i.out] = found * (count // rows)
                    for operation, operands, out in mine:
                        if operation not in _PRODUCTS:
                            values = [
                                self._value(i, v, count, wide, known, places) for i in operands
                            ]
                            known[out] = self._each_row(operation, values)
                        if out in places:
                            self._store(known[out], places[out], v, wide)

                k.loop(width, column, step=wide * L)

    def _value(
        self,
        slot: int,
        v: Value,
        count: int,
        wide: int,
        known: dict[int, Rows],
        places: Mapping[int, Place],
    ) -> Rows:
        if slot not in known:
            if slot in self.constants:
                known[slot] = [self.k.constant(self.constants[slot])] * (count * wide)
            elif slot in self.vectors:
                start = self.k.add(self.vectors[slot], v)
                known[slot] = self.k.load_all(self.k.p, start, wide) * count
            elif slot in places:
                known[slot] = self._load(places[slot], v, count, wide)
            else:
                operation, operands, _ = self._made[slot]
                values = [self._value(i, v, count, wide, known, places) for i in operands]
                known[slot] = self._each_row(operation, values)
        return known[slot]

    def _load(self, place: Place, v: Value, count: int, wide: int) -> Rows:
        k = self.k
        starts = [k.add(k.mul(row, place.width), v) for row in place.rows[:count]]
        return [value for start in starts for value in k.load_all(place.pointer, start, wide)]

    def _store(self, values: Rows, place: Place, v: Value, wide: int) -> None:
        k = self.k
        for i in range(0, len(values), wide):
            start = k.add(k.mul(place.rows[i // wide], place.width), v)
            k.store_all(values[i : i + wide], place.pointer, start)

    def _each_row(self, operation: str, values: Sequence[Rows]) -> Rows:
        return [self._carry_out(operation, row) for row in zip(*values, strict=True)]

    def _carry_out(self, operation: str, operands: Sequence[Value]) -> Value:
        k = self.k
        if operation == "mix":  # (1 - z) n + z h
            z, n, h = operands
            return k.fma(z, k.fsub(h, n), n)
        if operation == "relu":
            return k.at_least(0.0, *operands)
        if operation in _CHOICES:
            *_, a, b = operands
            beyond, one, other = self._beyond(operation, operands), *_order(operation, a, b)
            return k.builder.select(beyond, one, other)
        functions: dict[str, Callable[..., Value]] = {
            "add": k.fadd,
            "subtract": k.fsub,
            "multiply": k.fmul,
            "abs": k.abs,
            "half": lambda x: k.fmul(x, k.constant(0.5)),
            "sigmoid": k.sigmoid,
            "tanh": k.tanh,
        }
        return functions[operation](*operands)

    def _beyond(self, operation: str, operands: Sequence[Value]) -> Value:
        """Of a choice whether the second is less, or more, than the first; of `pick`, otherwise."""
        first, second = operands[:2]
        if operation == "pick":
            first, second = second, first
        return self.k.builder.fcmp_ordered(">" if operation == "most" else "<", second, first)

    def _matrix(self, product: Instruction) -> tuple[int, int, bool]:
        """Where a matrix begins, how wide its rows are, and whether magnitudes are meant."""
        magnitudes = product.operation == "magnitudes"
        return self.matrices[product.operands[1]], self.width(product.out), magnitudes

    def _multiply(
        self,
        a: Place,
        rows: int,
        size: int,
        matrices: Sequence[tuple[int, int, bool]],
        v: Value,
        wide: int,
        begun: Sequence[Value] = (),
    ) -> list[Rows]:
        """sum_k a[r, k] W[k] from column v on for each matrix, which `_matrix` describes.

        Of one matrix, sums may have `begun`.

        Few sums at once would wait for one another: then k is dealt out to several sets of sums.
        """
        k, count = self.k, len(matrices) * wide
        each = rows * count
        unrolled = next(n for n in (4, 2, 1) if size % n == 0)
        sets = 1
        while sets < unrolled and sets * each < 8:
            sets *= 2

        def turn(i: Integer, *carried: Value) -> list[Value]:
            sums = list(carried)
            for j in range(unrolled):
                here = k.add(i, j)
                weights: Rows = []
                for start, width, magnitudes in matrices:
                    place = k.add(k.add(start, k.mul(here, width)), v)
                    found = k.load_all(k.p, place, wide)
                    weights += [*map(k.abs, found)] if magnitudes else found
                for r in range(rows):
                    value = k.broadcast(a.pointer, k.add(k.mul(a.rows[r], a.width), here))
                    for m, weight in enumerate(weights):
                        n = ((j % sets) * rows + r) * count + m
                        sums[n] = k.fma(value, weight, sums[n])
            return sums

        zeros = [k.constant(0.0)] * (sets * each - len(begun))
        sums = k.loop(size, turn, [*begun, *zeros], step=unrolled)
        while len(sums) > each:
            half = len(sums) // 2
            sums = [k.fadd(sums[i], sums[half + i]) for i in range(half)]
        return [
            [sums[r * count + m * wide + c] for r in range(rows) for c in range(wide)]
            for m in range(len(matrices))
        ]

    def _dots(self, a: Place, rows: int, size: int, matrix: tuple[int, int, bool]) -> Rows:
        """sum_k a[r, k] W[k] for a matrix of one column, which lies as a row."""
        k, (start, _, magnitudes) = self.k, matrix
        count = padded(size, k.lanes) // k.lanes
        weights = k.load_all(k.p, start, count)
        if magnitudes:
            weights = [*map(k.abs, weights)]
        found = []
        for row in a.rows[:rows]:
            values = k.load_all(a.pointer, k.mul(row, a.width), count)
            total = None
            for value, weight in zip(k.only(values, size, 0.0), weights, strict=True):
                total = k.fma(value, weight, total)
            found.append(k.together([k.total(total)]))
        return found

    # Backward

    def backward(self, way: Callable[[Integer, int], Way], first: Integer, count: int) -> None:
        """The gradients of inputs and vectors, of up to `back_tile` rows.

        Units go row by row, since every value of a column is alive at once; products take all rows.
        """
        for phase in reversed(range(self.phases)):
            here = [each for each in self.instructions if self.phase[each.out] == phase]
            self.k.loop(
                count,
                lambda r, here=here: self._through_units(here, *way(self.k.add(first, r), 1)),
            )
            _, _, kept, sinks = way(first, count)
            self._through_matrices([i for i in here if _product(i)], kept, sinks, count)

    def _through_units(
        self,
        instructions: Sequence[Instruction],
        places: Mapping[int, Place],
        given: Mapping[int, Place],
        kept: Mapping[int, Place],
        sinks: Mapping[int, Place],
    ) -> None:
        k, L = self.k, self.k.lanes
        for width in sorted({self.width(each.out) for each in instructions}):
            mine = [each for each in instructions if self.width(each.out) == width]

            def column(v: Value, mine: list[Instruction] = mine) -> None:
                known: dict[int, Rows] = {}
                found: dict[int, Rows] = {}

                def give(slot: int, g: Rows) -> None:
                    if slot not in self.constants:
                        old = found.get(slot)
                        found[slot] = [*map(k.fadd, old, g)] if old else g

                for each in mine:
                    for source in (given, kept if each.out in self.crossing else {}):
                        if each.out in source:
                            give(each.out, self._load(source[each.out], v, 1, 1))
                for operation, operands, out in reversed(mine):
                    g = found.pop(out, [k.constant(0.0)])
                    if operation in _PRODUCTS:
                        self._store(g, kept[out], v, 1)
                        continue
                    asked = _asked(operation, operands, out)
                    values = [self._value(i, v, 1, 1, known, places) for i in asked]
                    gradients = self._gradients(operation, g, values)
                    # what `pick` compares has none
                    for i, theirs in zip(operands[-len(gradients) :], gradients, strict=True):
                        give(i, theirs)
                for slot, g in found.items():
                    if slot in self.vectors:
                        self._add_up(slot, g, v)
                    elif slot in self.phase:
                        self._add_to(kept[slot], g, v, 1)
                    elif slot in sinks:
                        self._add_to(sinks[slot], g, v, 1)

            k.loop(width, column, step=L)

    def _through_matrices(
        self,
        products: list[Instruction],
        kept: Mapping[int, Place],
        sinks: Mapping[int, Place],
        count: int,
    ) -> None:
        for operand in dict.fromkeys(each.operands[0] for each in products):
            if operand not in self.phase and operand not in sinks:
                continue
            target = kept[operand] if operand in self.phase else sinks[operand]
            width = self.width(operand)
            wide = self._columns(width, count, 1)
            those = [each for each in products if each.operands[0] == operand]

            def column(
                v: Value,
                those: list[Instruction] = those,
                target: Place = target,
                width: int = width,
                wide: int = wide,
            ) -> None:
                total: Rows = []
                for operation, (_, matrix), out in those:
                    turned = self.transposed[matrix], width, operation == "magnitudes"
                    (total,) = self._multiply(
                        *(kept[out], count, self.sizes[out], [turned], v, wide), total
                    )
                self._add_to(target, total, v, wide)

            self.k.loop(width, column, step=wide * self.k.lanes)

    def _gradients(self, operation: str, g: Rows, values: Sequence[Rows]) -> list[Rows]:
        k, one = self.k, self.k.constant(1.0)
        if operation == "add":
            return [g, g]
        if operation == "subtract":
            return [g, [k.fsub(k.constant(0.0), each) for each in g]]
        if operation == "half":
            return [[k.fmul(x, k.constant(0.5)) for x in g]]
        if operation == "multiply":
            a, b = values
            return [[*map(k.fmul, g, b)], [*map(k.fmul, g, a)]]
        if operation == "mix":
            z, n, h = values
            return [
                [k.fmul(x, k.fsub(b, a)) for x, a, b in zip(g, n, h, strict=True)],
                [k.fmul(x, k.fsub(one, s)) for x, s in zip(g, z, strict=True)],
                [*map(k.fmul, g, z)],
            ]
        if operation in _CHOICES:
            zero = k.constant(0.0)
            pairs = []
            for x, *row in zip(g, *values, strict=True):
                beyond, select = self._beyond(operation, row), k.builder.select
                pairs.append(_order(operation, select(beyond, x, zero), select(beyond, zero, x)))
            return [*map(list, zip(*pairs, strict=True))]
        if operation == "abs":
            return [[k.fmul(x, k.sign(each)) for x, each in zip(g, values[0], strict=True)]]
        (y,) = values
        return [[k.fmul(x, self._slope(operation, each)) for x, each in zip(g, y, strict=True)]]

    def _slope(self, operation: str, y: Value) -> Value:
        """The derivative of an activation, from its value."""
        k = self.k
        if operation == "relu":
            positive = k.builder.fcmp_ordered(">", y, k.constant(0.0))
            return k.builder.select(positive, k.constant(1.0), k.constant(0.0))
        first = {"sigmoid": y, "tanh": k.constant(1.0)}[operation]
        return k.fsub(first, k.fmul(y, y))

    def _add_up(self, slot: int, g: Rows, v: Value) -> None:
        """Add a row's gradient to that of a vector of parameters."""
        if slot not in self.frozen:
            k = self.k
            place = k.add(self.vectors[slot], v)
            k.store(k.fadd(k.load(k.gradient, place), *g), k.gradient, place)

    def _add_to(self, place: Place, values: Rows, v: Value, wide: int) -> None:
        """Add rows to others in memory, one after another: two of them may be the same."""
        k = self.k
        for i in range(0, len(values), wide):
            start = k.add(k.mul(place.rows[i // wide], place.width), v)
            old = k.load_all(place.pointer, start, wide)
            k.store_all([*map(k.fadd, old, values[i : i + wide])], place.pointer, start)

    def gather(self, product: Instruction, a: Place, kept: Place, count: Integer) -> None:
        """Add to a matrix's gradient what `count` rows say, from a row of each place on.

        W'[i] += sum_r a[r, i] g[r]
        """
        if self.sizes[product.out] == 1:
            self._gather_column(product, a, kept, count)
            return
        k, L = self.k, self.k.lanes
        start, width = self.matrices[product.operands[1]], self.width(product.out)
        size, C = self.sizes[product.operands[0]], width // L
        wide = next(n for n in (4, 2, 1) if C % n == 0)
        tall = max(1, (16 if L == 16 else 8) // wide)

        def columns(v: Value) -> None:
            def some(i: Value, height: int) -> None:
                places = [
                    k.add(k.add(start, k.mul(k.add(i, r), width)), k.add(v, c * L))
                    for r in range(height)
                    for c in range(wide)
                ]

                begun = [k.load(k.gradient, place) for place in places]

                def turn(row: Value, *sums: Value) -> list[Value]:
                    of_g = k.add(k.mul(k.add(kept.rows[0], row), kept.width), v)
                    right = [k.load(kept.pointer, k.add(of_g, c * L)) for c in range(wide)]
                    of_a = k.add(k.mul(k.add(a.rows[0], row), a.width), i)
                    left = [k.broadcast(a.pointer, k.add(of_a, r)) for r in range(height)]
                    return [k.fma(left[n // wide], right[n % wide], s) for n, s in enumerate(sums)]

                if product.operation == "matmul":
                    sums = k.loop(count, turn, begun)
                else:  # of |W|
                    sums = k.loop(count, turn, [k.constant(0.0)] * len(places))
                    signs = [k.sign(k.load(k.p, place)) for place in places]
                    sums = [*map(k.fma, sums, signs, begun)]
                for value, place in zip(sums, places, strict=True):
                    k.store(value, k.gradient, place)

            whole = size // tall * tall
            if whole:
                k.loop(whole, lambda i: some(i, tall), step=tall)
            if whole < size:
                k.loop(size, lambda i: some(i, 1), start=whole)

        k.loop(width, columns, step=wide * L)

    def _gather_column(self, product: Instruction, a: Place, kept: Place, count: Integer) -> None:
        """The same of a matrix of one column, which lies as a row."""
        k, L = self.k, self.k.lanes
        start, size = self.matrices[product.operands[1]], self.sizes[product.operands[0]]
        C = padded(size, L) // L
        for first in range(0, C, 4):
            wide = min(4, C - first)

            def turn(row: Value, *sums: Value, first: int = first, wide: int = wide) -> Rows:
                g = k.broadcast(kept.pointer, k.mul(k.add(kept.rows[0], row), kept.width))
                of_a = k.add(k.mul(k.add(a.rows[0], row), a.width), first * L)
                return [*map(partial(k.fma, g), k.load_all(a.pointer, of_a, wide), sums)]

            sums = k.loop(count, turn, [k.constant(0.0)] * wide)
            place = k.add(start, first * L)
            if product.operation == "magnitudes":
                sums = [*map(k.fmul, sums, map(k.sign, k.load_all(k.p, place, wide)))]
            begun = k.load_all(k.gradient, place, wide)
            k.store_all(
                [*map(k.fadd, begun, k.only(sums, size - first * L, 0.0))], k.gradient, place
            )


_PRODUCTS = ("matmul", "magnitudes")
"""v W, and v |W|, where |W| are the magnitudes of the numbers in W."""


def _product(instruction: Instruction) -> bool:
    return instruction.operation in _PRODUCTS


def _asked(operation: str, operands: Sequence[int], out: int) -> Sequence[int]:
    """The slots whose values the gradients of an operation depend on."""
    if operation in ("add", "subtract", "half", *_PRODUCTS):
        return ()
    if operation == "pick":
        return operands[:2]
    return operands if operation in ("multiply", "mix", "least", "most", "abs") else (out,)


ACTIVATIONS = ("sigmoid", "tanh", "relu")

_CHOICES = ("least", "most", "pick")
"""The lesser and the larger of two, the first of equals; and `pick`: x where h < n, else y."""


def _order(operation: str, a: Value, b: Value) -> tuple[Value, Value]:
    """Of two what is chosen where the second is beyond the first; and the other way round."""
    return (a, b) if operation == "pick" else (b, a)


def padded(size: int, lanes: int) -> int:
    """A size in floats of whole vectors."""
    return -(-size // lanes) * lanes
