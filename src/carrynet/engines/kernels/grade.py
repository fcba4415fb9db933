"""What is said of a network's answer: whether it is right, and by how much."""

from collections.abc import Sequence

import llvmlite.ir as ir

from carrynet.engines.vector import FLOAT, Code, Value

HUGE = 2.0**100
"""A larger margin is near to overflow, where the order of a sum decides what is a number."""


def grade(
    k: Code,
    decision: str,
    logits: Sequence[Value],
    expected: Value,
    right: Value,
    seen: Sequence[Value],
) -> tuple[Value, list[Value]]:
    """Whether logits are the answer that is expected.

    Returns that, and what has been `seen` of margins: the smallest, and, where the word was
    `right` so far (a bit), the one nearest to zero.  As `losses.predict` and
    `losses.margins`; what is not a number is wrong by the most there is, and, like what is
    about to overflow, as near to zero as can be.
    """
    b, Y = k.builder, len(logits)
    if decision == "bits":
        (logit,) = logits
        one = b.icmp_unsigned("==", expected, k.i64(1))
        zero = ir.Constant(FLOAT, 0.0)
        hit = b.select(one, b.fcmp_ordered(">", logit, zero), b.fcmp_ordered("<=", logit, zero))
        margin = b.select(one, logit, b.fneg(logit))
    else:
        lowest = ir.Constant(FLOAT, -3.4028234663852886e38)
        chosen, other = lowest, lowest
        here = [b.icmp_unsigned("==", expected, k.i64(y)) for y in range(Y)]
        for logit, mine in zip(logits, here, strict=True):
            chosen = b.select(mine, logit, chosen)
        hit = ir.Constant(ir.IntType(1), 1)
        for y, (logit, mine) in enumerate(zip(logits, here, strict=True)):
            # the first of equals wins: those before must be less, those after not more
            before = b.icmp_unsigned("<", k.i64(y), expected)
            beaten = b.select(
                before,
                b.fcmp_ordered("<", logit, chosen),
                b.fcmp_ordered("<=", logit, chosen),
            )
            hit = b.and_(hit, b.or_(mine, beaten))
            more = b.and_(b.fcmp_unordered(">", logit, other), b.not_(mine))
            other = b.select(more, logit, other)
        margin = b.fsub(chosen, other)
    number = b.fcmp_ordered("==", margin, margin)
    margin = b.select(number, margin, ir.Constant(FLOAT, -3.4028234663852886e38))
    zero = ir.Constant(FLOAT, 0.0)
    size = b.select(b.fcmp_ordered("<", margin, zero), b.fneg(margin), margin)
    huge = b.fcmp_ordered(">", size, ir.Constant(FLOAT, HUGE))
    settled = ir.Constant(FLOAT, 3.4028234663852886e38)  # it is wrong, whatever comes
    news = (margin, b.select(right, b.select(huge, zero, size), settled))
    now = [
        b.select(b.fcmp_ordered("<", new, old), new, old)
        for new, old in zip(news, seen, strict=True)
    ]
    return b.zext(b.and_(hit, number), ir.IntType(64)), now
