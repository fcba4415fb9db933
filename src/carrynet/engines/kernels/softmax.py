"""Rows of logits as shares of one."""

import llvmlite.ir as ir

from carrynet.engines.vector import Code, Value


def only(k: Code, values: list[Value], count: int, other: float) -> list[Value]:
    """The same for the first `count` numbers, beyond them another number."""
    found = []
    for i, value in enumerate(values):
        inside = [int(i * k.lanes + lane < count) for lane in range(k.lanes)]
        mask = ir.Constant(ir.VectorType(ir.IntType(1), k.lanes), inside)
        found.append(k.builder.select(mask, value, k.constant(other)))
    return found


def softmax(k: Code, logits: list[Value], count: int) -> list[Value]:
    """e^l over the sum of all, for `count` logits, whose largest is taken off first."""
    logits = only(k, logits, count, -1e30)
    largest = k.largest(logits[0])
    for vector in logits[1:]:
        other = k.largest(vector)
        more = k.builder.fcmp_ordered(">", other, largest)
        largest = k.builder.select(more, other, largest)
    powers = only(k, [k.exp(k.fsub(v, k.splat(largest))) for v in logits], count, 0.0)
    total = k.total(powers[0])
    for vector in powers[1:]:
        total = k.fadd(total, k.total(vector))
    return [k.fdiv(power, k.splat(total)) for power in powers]
