"""Rows of logits as shares of one."""

from carrynet.engines.vector import Code, Value


def softmax(k: Code, logits: list[Value], count: int) -> list[Value]:
    """e^l over the sum of all, for `count` logits, whose largest is taken off first."""
    logits = k.only(logits, count, -1e30)
    largest = k.largest(logits[0])
    for vector in logits[1:]:
        other = k.largest(vector)
        more = k.builder.fcmp_ordered(">", other, largest)
        largest = k.builder.select(more, other, largest)
    powers = k.only([k.exp(k.fsub(v, k.splat(largest))) for v in logits], count, 0.0)
    total = k.total(powers[0])
    for vector in powers[1:]:
        total = k.fadd(total, k.total(vector))
    return [k.fdiv(power, k.splat(total)) for power in powers]
