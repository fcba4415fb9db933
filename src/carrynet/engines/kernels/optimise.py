"""Optimisers, as `nets.optim` has them: what a gradient does to parameters, both in memory."""

from carrynet.engines.vector import Code, Value
from carrynet.nets.optim import BETA1, BETA2, EPSILON


def descend(k: Code, size: int) -> None:
    """Add `gradient`, which has been multiplied by minus the step, to `p`."""
    k.loop(
        size,
        lambda i: k.store(k.fadd(k.load(k.p, i), k.load(k.gradient, i)), k.p, i),
        step=k.lanes,
    )


def adam(k: Code, size: int, u: Value) -> None:
    """Update `u` by Adam: `roots` holds step / (1 - b1^t) and 1 / sqrt(1 - b2^t)."""
    rate = k.broadcast(k.roots, k.mul(u, 2))
    root = k.broadcast(k.roots, k.add(k.mul(u, 2), 1))
    b1, b2 = k.constant(BETA1), k.constant(BETA2)

    def some(i: Value) -> None:
        g = k.load(k.gradient, i)
        m = k.fma(b1, k.load(k.moments, i), k.fmul(k.constant(1 - BETA1), g))
        squares = k.fmul(k.fmul(k.constant(1 - BETA2), g), g)
        v = k.fma(b2, k.load(k.moments, k.add(i, size)), squares)
        k.store(m, k.moments, i)
        k.store(v, k.moments, k.add(i, size))
        divisor = k.fma(k.sqrt(v), root, k.constant(EPSILON))
        change = k.builder.fdiv(k.fmul(rate, m), divisor)
        k.store(k.fsub(k.load(k.p, i), change), k.p, i)

    k.loop(size, some, step=k.lanes)
