"""Optimisers, as `nets.optim` has them: what a gradient does to parameters, both in memory."""

from carrynet.engines.vector import Code, Integer, Value
from carrynet.nets.optim import BETA1, BETA2, EPSILON


def descend(k: Code, p: Value, gradient: Value, size: Integer) -> None:
    """Add a gradient, which has been multiplied by minus the step, to parameters."""
    k.loop(
        size,
        lambda i: k.store(k.fadd(k.load(p, i), k.load(gradient, i)), p, i),
        step=k.lanes,
    )


def adam(k: Code, p: Value, gradient: Value, moments: Value, size: Integer, u: Value) -> None:
    """Update `u` by Adam: `roots` holds step / (1 - b1^t) and 1 / sqrt(1 - b2^t)."""
    rate = k.broadcast(k.roots, k.mul(u, 2))
    root = k.broadcast(k.roots, k.add(k.mul(u, 2), 1))
    b1, b2 = k.constant(BETA1), k.constant(BETA2)

    def some(i: Value) -> None:
        g = k.load(gradient, i)
        m = k.fma(b1, k.load(moments, i), k.fmul(k.constant(1 - BETA1), g))
        squares = k.fmul(k.fmul(k.constant(1 - BETA2), g), g)
        v = k.fma(b2, k.load(moments, k.add(i, size)), squares)
        k.store(m, moments, i)
        k.store(v, moments, k.add(i, size))
        divisor = k.fma(k.sqrt(v), root, k.constant(EPSILON))
        change = k.builder.fdiv(k.fmul(rate, m), divisor)
        k.store(k.fsub(k.load(p, i), change), p, i)

    k.loop(size, some, step=k.lanes)
