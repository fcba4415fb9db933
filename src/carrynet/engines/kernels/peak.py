"""Nothing but multiply-adds: what the others are measured against."""

import llvmlite.ir as ir

from carrynet.engines.kernels.cell import Cell
from carrynet.engines.kernels.shape import Parameters, Shape
from carrynet.engines.vector import Value

PEAK_SUMS = 16
"""Independent multiply-adds in each turn of `peak`."""

PEAK = Parameters({"numbers": "f4"}, ("turns",))


def peak(shape: Shape) -> ir.Module:
    """`peak(...)`: nothing but multiply-adds in registers, to measure how many there can be."""
    module = ir.Module("peak")
    k = Cell(module, "peak", PEAK, shape)
    sums = [k.load(k.numbers, i * k.lanes) for i in range(PEAK_SUMS)]
    factor = k.load(k.numbers, PEAK_SUMS * k.lanes)

    def turn(_: Value, *sums: Value) -> list[Value]:
        return [k.fma(each, factor, factor) for each in sums]

    k.store_all(k.loop(k.turns, turn, sums), k.numbers, 0)
    k.done()
    return module
