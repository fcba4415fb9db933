"""The reading of formulas that the search for trees has: affine forms over ellipsoids.

For hidden states {c + y}, all y with y y^T <= Q, a value of the formula is m + L y + r, |r| <= e:
a centre, a linear map of the state, and whatever is not linear.  With the spread
s_i = (L Q L^T)_ii^1/2 of a value

    f(z)             lies within rho of a chord of slope k over m +- (s + e):  k L, k e + rho
    a b              is a product of centres, of centre and map each way, and of two maps, which
                     is within s_a s_b / 2 of c / 2, c_i = (L_a Q L_b^T)_ii
    mix(z, n, h)     is n + z (h - n)

In float32, without regard to rounding: `check_affine`, which has a reading of its own, believes
nothing of it.

Shapes: N words, S symbols, or 1 where all are alike, D state, d a value's width.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.nets.arrays import ACTIVATIONS, Array, matmul, quiet, sigmoid
from carrynet.nets.network import Network


class Form:
    """A value: m (N, S, d), L (N, S, d, D) and e (N, S, d), which is None where it is nothing.

    Of an activation L is k times that of another form, and made of it when needed.
    """

    __slots__ = ("_L", "_half", "_spread", "e", "m", "scaled")

    def __init__(
        self,
        m: Array,
        L: Array | None = None,
        e: Array | None = None,
        scaled: "tuple[Array, Form] | None" = None,
    ) -> None:
        self.m, self._L, self.e, self.scaled = m, L, e, scaled
        self._half: Array | None = None
        self._spread: Array | None = None

    @property
    def L(self) -> Array:
        """How it changes with the state."""
        if self._L is None:
            assert self.scaled is not None
            k, other = self.scaled
            self._L = k[..., None] * other.L
        return self._L


Value = Any  #: a Form, or an array or number that does not vary


class Affine:
    """The reading over ellipsoids of matrices Q (N, D, D)."""

    forward: Mapping[str, Callable[..., Value]]

    def __init__(self, Q: Array) -> None:
        self.Q = Q
        self.widest = 0.0  # of all spreads of what activations are taken of
        self.forward = {
            "matmul": self._matmul,
            "add": partial(self._sum, 1),
            "subtract": partial(self._sum, -1),
            "multiply": self._multiply,
            "mix": self._mix,
            **{name: partial(self._activate, name) for name in ACTIVATIONS},
        }

    def half(self, value: Form) -> Array:
        """L Q, (N, S, d, D)."""
        if value._half is None:
            if len(value.L) == 1 and value.L.shape[1] == 1:  # one product is faster than many
                N, D, _ = self.Q.shape
                product = self.Q.reshape(N * D, D) @ value.L[0, 0].T
                value._half = product.reshape(N, 1, D, -1).swapaxes(2, 3)
            else:
                value._half = value.L @ self.Q[:, None]
        return value._half

    def spread(self, value: Form) -> Array:
        """s (N, S, d)."""
        if value._spread is None:
            value._spread = np.sqrt(np.maximum((self.half(value) * value.L).sum(axis=-1), 0))
        return value._spread

    def _matmul(self, v: Value, W: Array) -> Value:
        if not isinstance(v, Form):
            return matmul(v, W)
        return Form(v.m @ W, W.T @ v.L, None if v.e is None else v.e @ np.abs(W))

    def _sum(self, sign: int, a: Value, b: Value) -> Value:
        if not isinstance(b, Form):
            return Form(a.m + sign * b, a.L, a.e) if isinstance(a, Form) else a + sign * b
        if not isinstance(a, Form):
            return Form(a + sign * b.m, sign * b.L, b.e)
        e = b.e if a.e is None else a.e if b.e is None else a.e + b.e
        return Form(a.m + sign * b.m, a.L + sign * b.L, e)

    def _multiply(self, a: Value, b: Value) -> Value:
        if not isinstance(a, Form):
            if not isinstance(b, Form):
                return a * b
            a, b = b, a
        if not isinstance(b, Form):
            e = None if a.e is None else a.e * abs(b)
            return Form(a.m * b, a.L * np.asarray(b, a.L.dtype)[..., None], e)
        s, t = self.spread(a), self.spread(b)
        c, e = (self.half(a) * b.L).sum(axis=-1), s * t / 2
        if b.e is not None:
            e = e + (np.abs(a.m) + s + (0 if a.e is None else a.e)) * b.e
        if a.e is not None:
            e = e + (np.abs(b.m) + t) * a.e
        return Form(a.m * b.m + c / 2, a.m[..., None] * b.L + b.m[..., None] * a.L, e)

    def _mix(self, z: Value, n: Value, h: Value) -> Value:
        return self._sum(1, n, self._multiply(z, self._sum(-1, h, n)))

    def _activate(self, name: str, z: Value) -> Value:
        if not isinstance(z, Form):
            return ACTIVATIONS[name].f(z)
        w = self.spread(z)
        self.widest = max(self.widest, float(w.max()))
        w = w if z.e is None else w + z.e
        w = np.maximum(w * w.dtype.type(1 + 1e-6), w.dtype.type(_LEAST_WIDTH))
        double = [a.astype(np.float64) for a in np.broadcast_arrays(z.m, w)]
        k, middle, rho = (a.astype(w.dtype) for a in CHORDS[name](*double))
        return Form(middle, None, rho if z.e is None else rho + k * z.e, (k, z))


class Images:
    """The images {m + L y + r}, |r| <= e, of ellipsoids {c + y} under every symbol."""

    @quiet
    def __init__(
        self, network: Network, centre: Array, Q: Array, symbols: NDArray[np.intp] | None = None
    ) -> None:
        """Of a network in float32, from c (N, D) and Q (N, D, D); or under one symbol each (N,)."""
        (N, D), S = centre.shape, network.symbols if symbols is None else 1
        self.reading, unit = Affine(Q), np.eye(D, dtype=centre.dtype)
        self._network, self._shape, at, parts = network, (N, S), 0, []
        for part in network.parts(centre[:, None]):
            width = part.shape[-1]
            parts.append(Form(part, unit[None, None, at : at + width]))
            at += width
        new = [_form(value, D) for value in network.carry(self.reading, parts, symbols)]
        self._new, self._h = new, new[0]
        self.m = self._whole([each.m for each in new], 1)  #: (N, S, D)
        errors = [np.zeros_like(each.m) if each.e is None else each.e for each in new]
        self.e = self._whole(errors, 1)  #: (N, S, D)

    def _whole(self, arrays: list[Array], last: int) -> Array:
        """What is known of the parts of the state, of the whole, for all words and symbols."""
        wide = [np.broadcast_to(a, (*self._shape, *a.shape[-last:])) for a in arrays]
        return np.concatenate(wide, axis=-last)

    @property
    def L(self) -> Array:
        """How the states change with those before, (N, S, D, D)."""
        return self._whole([each.L for each in self._new], 2)

    def shapes(self) -> Array:
        """L Q L^T, (N, S, D, D)."""
        if len(self._new) == 1 and self._h.scaled is not None:
            k, z = self._h.scaled
            if z.L.shape[1] == 1:  # which all symbols share
                Z = self.reading.half(z) @ z.L.swapaxes(2, 3)
                return np.asarray(k[..., :, None] * Z * k[..., None, :])
        L = self.L
        return np.asarray(L @ self.reading.Q[:, None] @ L.swapaxes(2, 3))

    @quiet
    def margins(self, slack: float, rows: Array, offsets: Array) -> Array:
        """The least of rows . v + offsets, v what the readout's last layer is fed, (N, S).

        `rows` (N, S, R, d), `offsets` (N, S, R); the slack is added to the new state's errors.
        """
        h, affine = self._h, self.reading
        h = Form(h.m, h.L, np.full_like(h.m, slack) if h.e is None else h.e + slack)
        v = self._network.feed(affine, h)
        through = rows @ v.L
        spread = np.sqrt(np.maximum((through @ affine.Q[:, None] * through).sum(axis=-1), 0))
        centre = (rows @ v.m[..., None] - np.abs(rows) @ v.e[..., None])[..., 0]
        least: Array = (centre + offsets - spread).min(axis=-1)
        return least


def _form(value: Value, D: int) -> Form:
    """A part of the new state, which need not depend on the old: (S, d) then, or (N, 1, d)."""
    if isinstance(value, Form):
        return value
    m = np.asarray(value)
    m = m if m.ndim == 3 else m[None]
    return Form(m, np.zeros((1, 1, m.shape[-1], D), m.dtype))


def jacobians(network: Network, h: Array, symbols: NDArray[np.intp]) -> Array:
    """How the state after a symbol (N,) changes with that before, h (N, H): (N, H, H).

    Row by row of the new state; of a network in float32.
    """
    N, D = h.shape
    found = np.empty((N, D, D), np.float32)
    each = max(1, _AT_ONCE // (D * D))
    for some in np.array_split(np.arange(N), -(-N // each)):
        nothing = np.zeros((len(some), D, D), np.float32)
        found[some] = Images(network, h[some].astype(np.float32), nothing, symbols[some]).L[:, 0]
    return found


def widest(network: Network, h: Array, Q: Array) -> float:
    """The largest spread of what an activation is taken of, over ellipsoids about h (N, H)."""
    most, each = 0.0, max(1, _AT_ONCE // (network.symbols * h.shape[1] ** 2))
    for some in np.array_split(np.arange(len(h)), -(-len(h) // each)):
        images = Images(network, h[some].astype(np.float32), Q[some].astype(np.float32))
        most = max(most, images.reading.widest)
    return most


def readouts(network: Network, h: Array) -> Array:
    """How the logits change with the first part of the state h (N, H): (N, Y, H)."""
    N, H = h.shape
    affine = Affine(np.zeros((N, H, H), np.float32))
    unit = np.eye(H, dtype=np.float32)[None, None]
    v = network.feed(affine, Form(h[:, None].astype(np.float32), unit))
    L = network.last_layer[0].T @ v.L
    return np.broadcast_to(L[:, 0], (N, *L.shape[2:]))


# Chords: on [z - w, z + w] the activation is within rho of middle + k (x - z) ----------------


def _sigmoid_chord(z: Array, w: Array) -> tuple[Array, Array, Array]:
    low, high = sigmoid(z - w), sigmoid(z + w)
    # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)), without a loss of digits
    k = high * sigmoid(w - z) * (-np.expm1(-2 * w) / (2 * w))
    k = np.minimum(k, w.dtype.type(0.25))
    ends = low + k * w, high - k * w  # of f(x) - k (x - z)
    tiny = w.dtype.type(1e-30)
    y = np.maximum(2 * k / (1 + np.sqrt(1 - 4 * k)), tiny)  # where f' = k: at y and 1 - y
    x = np.log(y / np.maximum(1 - y, tiny))
    lower = np.where(np.abs(x - z) < w, y - k * (x - z), ends[0])
    upper = np.where(np.abs(-x - z) < w, 1 - y - k * (-x - z), ends[1])
    return _between(k, [*ends, lower, upper])


def _tanh_chord(z: Array, w: Array) -> tuple[Array, Array, Array]:
    k, middle, rho = _sigmoid_chord(2 * z, 2 * w)  # tanh z = 2 sigmoid(2 z) - 1
    return 4 * k, 2 * middle - 1, 2 * rho


def _relu_chord(z: Array, w: Array) -> tuple[Array, Array, Array]:
    low, high = np.maximum(z - w, 0), np.maximum(z + w, 0)
    k = (high - low) / (2 * w)
    end = low + k * w
    return _between(k, [end, np.where(np.abs(z) < w, k * z, end)])


def _between(k: Array, values: list[Array]) -> tuple[Array, Array, Array]:
    low, high = np.minimum.reduce(values), np.maximum.reduce(values)
    return k, (low + high) / 2, (high - low) / 2


CHORDS = {"sigmoid": _sigmoid_chord, "tanh": _tanh_chord, "relu": _relu_chord}
"""(k, middle, rho) by activation."""

_LEAST_WIDTH = 1e-6
_AT_ONCE = 2**22  # numbers in the maps that are made at once


# What the network's own type may add ---------------------------------------------------------


@quiet
def rounding(network: Network, h: Array) -> float:
    """About what a unit is off by after a step in the network's own type, at most.

    The most from states h (N, D): a sum of n terms is by n eps of the sum of their sizes, an
    activation by 8 eps.
    """
    reading = _Rounding(float(np.finfo(network.dtype).eps) / 2)
    parts = [_Rounded(part, 0.0) for part in network.parts(h[:, None].astype(network.dtype))]
    new = [_rounded(part) for part in network.carry(reading, parts)]
    return max(float(np.max(part.off)) for part in new)


class _Rounded(NamedTuple):
    """A value, and what it is off by."""

    value: Any
    off: Any


def _rounded(value: Any) -> _Rounded:
    return value if isinstance(value, _Rounded) else _Rounded(np.asarray(value), 0.0)


class _Rounding:
    """The reading of `rounding`."""

    forward: Mapping[str, Callable[..., Any]]

    def __init__(self, eps: float) -> None:
        def matmul(v: Any, W: Array) -> _Rounded:
            v, size = _rounded(v), np.abs(W)
            off = np.broadcast_to(v.off, v.value.shape) @ size
            return _Rounded(v.value @ W, off + len(W) * eps * (np.abs(v.value) @ size))

        def add(sign: int, a: Any, b: Any) -> _Rounded:
            a, b = _rounded(a), _rounded(b)
            off = a.off + b.off + 2 * eps * (np.abs(a.value) + np.abs(b.value))
            return _Rounded(a.value + sign * b.value, off)

        def multiply(a: Any, b: Any) -> _Rounded:
            a, b = _rounded(a), _rounded(b)
            off = a.off * np.abs(b.value) + b.off * np.abs(a.value)
            return _Rounded(a.value * b.value, off + eps * np.abs(a.value * b.value))

        def mix(z: Any, n: Any, h: Any) -> _Rounded:
            z, n, h = _rounded(z), _rounded(n), _rounded(h)
            size, apart = np.abs(n.value) + np.abs(h.value), np.abs(h.value - n.value)
            off = z.off * apart + (1 - z.value) * n.off + z.value * h.off
            value = (1 - z.value) * n.value + z.value * h.value
            return _Rounded(value, off + 4 * eps * (np.abs(n.value) + (1 + z.value) * size))

        def activate(name: str, z: Any) -> _Rounded:
            z, of = _rounded(z), ACTIVATIONS[name]
            y = of.f(z.value)
            return _Rounded(y, of.slope(y) * z.off + (0 if name == "relu" else 8 * eps))

        self.forward = {
            "matmul": matmul,
            "add": partial(add, 1),
            "subtract": partial(add, -1),
            "multiply": multiply,
            "mix": mix,
            **{name: partial(activate, name) for name in ACTIVATIONS},
        }
