"""The reading of formulas as an enclosure: all values that boxes of values could give.

A `Box` holds all values v with |v - c| <= r.  What does not vary, such as weights and what the
input gives, stays a plain array.  Beside each operation stands its vector-Jacobian product,
where the gradient of a box is the pair of those of c and r.

    v W        c W, r |W|
    a b        least and most of the products of the ends: a bilinear form has them at corners
    mix        affine in z, and not falling in n or h since 0 <= z <= 1: the least is at an end of
               z with the lower ends of n and h, the most with the upper ends
    f(z)       f of the ends, since all activations are monotone; z first grown by `slack`

Interval bound propagation (Gowal et al. 2018, "On the effectiveness of interval bound
propagation for training verifiably robust models").  These are floats that are not rounded
outward: something to train and to search with, no proof.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from carrynet.nets.arrays import ACTIVATIONS, HALF, Activation, Array, matmul, rows_of
from carrynet.nets.readings import Rule

Pair = tuple[Array, Array]
Value = Any  #: a Box, or an array or number that does not vary
Gradient = Any  #: a pair of arrays, or one array, or None


class Box:
    """All values from l to u, or within r of c; either pair is made from the other when needed."""

    __slots__ = ("_c", "_l", "_r", "_u")

    def __init__(
        self,
        c: Array | None = None,
        r: Array | None = None,
        l: Array | None = None,  # noqa: E741
        u: Array | None = None,
    ) -> None:
        self._c, self._r, self._l, self._u = c, r, l, u

    @property
    def c(self) -> Array:
        """The centre."""
        if self._c is None:
            self._c = _half(self._l + self._u)  # type: ignore[operator]
        return self._c

    @property
    def r(self) -> Array:
        """The radius, unit by unit."""
        if self._r is None:
            self._r = _half(self._u - self._l)  # type: ignore[operator]
        return self._r

    @property
    def l(self) -> Array:  # noqa: E743
        """The lower end."""
        if self._l is None:
            self._l = self._c - self._r  # type: ignore[operator]
        return self._l

    @property
    def u(self) -> Array:
        """The upper end."""
        if self._u is None:
            self._u = self._c + self._r  # type: ignore[operator]
        return self._u


def ends(value: Value) -> Pair:
    """The lower and the upper end of a value."""
    return (value.l, value.u) if isinstance(value, Box) else (value, value)


def _given(value: Value, lower: Array, upper: Array) -> Gradient:
    """The gradient of a value, from those of its ends."""
    if isinstance(value, Box):
        return lower + upper, upper - lower
    return lower + upper


def _of_ends(g: Gradient) -> Pair:
    """The gradients of the ends of a box, from those of centre and radius."""
    gc, gr = g
    return _half(gc - gr), _half(gc + gr)


def _half(fresh: Array) -> Array:
    """Half of an array, in its place."""
    fresh *= HALF[fresh.dtype.char]
    return fresh


def _matmul(v: Value, W: Array) -> Value:
    if not isinstance(v, Box):
        return matmul(v, W)
    return Box(matmul(v.c, W), matmul(v.r, np.abs(W)))


def _matmul_vjp(g: Gradient, _: Value, v: Value, W: Array) -> tuple[Gradient, None]:
    if not isinstance(v, Box):
        return g.dot(W.T), None
    return (g[0].dot(W.T), g[1].dot(np.abs(W).T)), None


def _add(a: Value, b: Value) -> Value:
    if isinstance(a, Box):
        return Box(a.c + b.c, a.r + b.r) if isinstance(b, Box) else Box(a.c + b, a.r)
    return Box(a + b.c, b.r) if isinstance(b, Box) else a + b


def _add_vjp(g: Gradient, value: Value, a: Value, b: Value) -> tuple[Gradient, Gradient]:
    if not isinstance(value, Box):
        return g, g
    return g if isinstance(a, Box) else g[0], g if isinstance(b, Box) else g[0]


def _subtract(a: Value, b: Value) -> Value:
    if isinstance(a, Box):
        return Box(a.c - b.c, a.r + b.r) if isinstance(b, Box) else Box(a.c - b, a.r)
    return Box(a - b.c, b.r) if isinstance(b, Box) else a - b


def _subtract_vjp(g: Gradient, value: Value, a: Value, b: Value) -> tuple[Gradient, Gradient]:
    if not isinstance(value, Box):
        return g, -g
    return g if isinstance(a, Box) else g[0], (-g[0], g[1]) if isinstance(b, Box) else -g[0]


def _multiply(a: Value, b: Value) -> Value:
    if not isinstance(a, Box) and not isinstance(b, Box):
        return a * b
    # abs and not np.abs, which would make of a constant a float64, and so of all that it meets
    if not isinstance(a, Box):
        return Box(a * b.c, abs(a) * b.r)
    if not isinstance(b, Box):
        return Box(a.c * b, a.r * abs(b))
    corners = _corners(a, b)
    return Box(l=reduce(np.minimum, corners), u=reduce(np.maximum, corners))


def _corners(a: Box, b: Box) -> tuple[Array, ...]:
    """The products of the ends, b's alternating first."""
    return a.l * b.l, a.l * b.u, a.u * b.l, a.u * b.u


def _first(corners: Sequence[Array], extreme: Array) -> list[Array]:
    """Of each corner, where it is the first that is the extreme."""
    found, left = [], np.ones(extreme.shape, bool)
    for corner in corners:
        here = left & (corner == extreme)
        left ^= here
        found.append(here)
    return found


def _multiply_vjp(g: Gradient, value: Value, a: Value, b: Value) -> tuple[Gradient, Gradient]:
    if not isinstance(value, Box):
        return g * b, g * a
    if not isinstance(a, Box):
        return g[0] * b.c + np.sign(a) * g[1] * b.r, (g[0] * a, g[1] * abs(a))
    if not isinstance(b, Box):
        return (g[0] * b, g[1] * abs(b)), g[0] * a.c + np.sign(b) * g[1] * a.r
    corners = _corners(a, b)
    lowest, highest = (
        _first(corners, reduce(extreme, corners)) for extreme in (np.minimum, np.maximum)
    )
    from_l, from_u = _of_ends(g)
    ll, lu, ul, uu = (
        from_l * low + from_u * high for low, high in zip(lowest, highest, strict=True)
    )
    of_a = _given(a, ll * b.l + lu * b.u, ul * b.l + uu * b.u)
    return of_a, _given(b, ll * a.l + ul * a.u, lu * a.l + uu * a.u)


def _mix(z: Value, n: Value, h: Value) -> Value:
    if not any(isinstance(v, Box) for v in (z, n, h)):
        return (1 - z) * n + z * h
    (zl, zu), (nl, nu), (hl, hu) = ends(z), ends(n), ends(h)
    low = np.minimum((1 - zl) * nl + zl * hl, (1 - zu) * nl + zu * hl)
    high = np.maximum((1 - zl) * nu + zl * hu, (1 - zu) * nu + zu * hu)
    return Box(l=low, u=high)


def _mix_vjp(
    g: Gradient, value: Value, z: Value, n: Value, h: Value
) -> tuple[Gradient, Gradient, Gradient]:
    if not isinstance(value, Box):
        return g * (h - n), g * (1 - z), g * z
    (zl, zu), (nl, nu), (hl, hu) = ends(z), ends(n), ends(h)
    from_l, from_u = _of_ends(g)
    # (1 - z) n + z h falls in z where h < n: there the least is at the upper end of z
    falls_l, falls_u = hl < nl, hu < nu
    z_l, z_u = np.where(falls_l, zu, zl), np.where(falls_u, zl, zu)
    slope_l, slope_u = from_l * (hl - nl), from_u * (hu - nu)
    gzl = np.where(falls_l, 0, slope_l) + np.where(falls_u, slope_u, 0)
    gzu = np.where(falls_l, slope_l, 0) + np.where(falls_u, 0, slope_u)
    return (
        _given(z, gzl, gzu),
        _given(n, from_l * (1 - z_l), from_u * (1 - z_u)),
        _given(h, from_l * z_l, from_u * z_u),
    )


def _activate(activation: Activation, slack: float, z: Value) -> Box:
    c, r = (z.c, z.r) if isinstance(z, Box) else (z, np.zeros_like(z))
    grown = r + slack
    return Box(l=activation.f(c - grown), u=activation.f(c + grown))


def _activate_vjp(activation: Activation, g: Gradient, y: Box, z: Value) -> tuple[Gradient]:
    from_l, from_u = _of_ends(g)
    return (_given(z, from_l * activation.slope(y.l), from_u * activation.slope(y.u)),)


class Enclosure:
    """The reading with so much slack: what is added to the radius before each activation."""

    inlined: ClassVar[Mapping[str, Rule]] = MappingProxyType({})
    names: ClassVar[Mapping[str, Any]] = MappingProxyType({"VARIES": Box()})
    asks: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "multiply": ("operands",),
            "mix": ("operands",),
            **dict.fromkeys(ACTIVATIONS, ("value",)),
        }
    )
    backward: Mapping[str, Callable[..., tuple[Gradient, ...]]] = {
        "matmul": _matmul_vjp,
        "add": _add_vjp,
        "subtract": _subtract_vjp,
        "multiply": _multiply_vjp,
        "mix": _mix_vjp,
        **{name: partial(_activate_vjp, each) for name, each in ACTIVATIONS.items()},
    }

    def __init__(self, slack: float = 0.0) -> None:
        self.slack = slack
        self.forward: Mapping[str, Callable[..., Value]] = {
            "matmul": _matmul,
            "add": _add,
            "subtract": _subtract,
            "multiply": _multiply,
            "mix": _mix,
            **{name: partial(_activate, each, slack) for name, each in ACTIVATIONS.items()},
        }

    def product(self, v: Value, g: Gradient, W: Array) -> Array:
        """The gradient of a matrix W, from that of v W, over all positions at once."""
        if not isinstance(v, Box):
            return rows_of(v).T.dot(rows_of(g))
        from_c, from_r = (rows_of(a).T.dot(rows_of(b)) for a, b in zip((v.c, v.r), g, strict=True))
        return from_c + np.sign(W) * from_r

    def stack(self, values: Sequence[Any]) -> Any:
        """Values, or gradients, of successive positions as one, with a first axis of time."""
        first = values[0]
        if isinstance(first, Box):
            if values[-1]._l is not None:
                return Box(l=np.array([v.l for v in values]), u=np.array([v.u for v in values]))
            return Box(np.array([v.c for v in values]), np.array([v.r for v in values]))
        if isinstance(first, tuple):
            return tuple(np.array(part) for part in zip(*values, strict=True))
        return np.array(values)

    def unstack(self, value: Any) -> Sequence[Any]:
        """Of each position what a value, or a gradient, with a first axis of time is there."""
        if isinstance(value, tuple):
            return list(zip(*value, strict=True))
        if not isinstance(value, Box):
            return list(value)
        if value._l is not None:
            return [Box(l=l, u=u) for l, u in zip(value.l, value.u, strict=True)]  # noqa: E741
        return [Box(c, r) for c, r in zip(value.c, value.r, strict=True)]

    def at(self, value: Value, t: slice) -> Value:
        """What a value with a first axis of time is at some positions."""
        if not isinstance(value, Box):
            return value[t]
        if value._l is not None:
            return Box(l=value.l[t], u=value.u[t])
        return Box(value.c[t], value.r[t])

    def point(self, value: Value) -> Box:
        """A value, which may be an array, as one that can vary."""
        return value if isinstance(value, Box) else Box(value, np.zeros_like(value))

    def of_point(self, gradient: Gradient, value: Value) -> Gradient:
        """The gradient of a value, from that of `point` of it: of an array, its centre's."""
        return gradient if isinstance(value, Box) else gradient[0]

    def zeros(self, value: Box) -> Gradient:
        """The gradient zero of a value that can vary."""
        return np.zeros_like(value.c), np.zeros_like(value.r)

    def plus(self, one: Gradient, other: Gradient) -> Gradient:
        """The sum of two gradients."""
        if isinstance(one, tuple):
            return one[0] + other[0], one[1] + other[1]
        return one + other
