"""A small recurrent network, from its weights to its gradients.  Read this first.

An Elman network reads one symbol at each position, keeps a hidden state, and
answers one output for each position:

    h_0 = 0
    h_t = f(x_t Wxh + h_{t-1} Whh + bh)        the cell, in `cells.py`
    logits_t = h_t Why + by                    the readout

Vectors are rows.  Shapes: B batch, T time, X input, H hidden, Y output; time is
the first axis of an unrolled sequence, and the batch axis may be left out.

The parts, in the order of a lesson: weights, `unroll` (forward through time),
losses, `bptt` (backward through time), and the `Network` that computes with
numbers of any size.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.words import tables
from carrynet.errors import InputError, shorten, unknown
from carrynet.nets.cells import CELLS, Array, Elman, in_one_thread, quiet, sigmoid, sigmoid_slope
from carrynet.spec.codec import Answer, Operand
from carrynet.spec.task import Task


class Weights(NamedTuple):
    """The parameters of a network, or anything else with their shapes, such as gradients."""

    Wxh: Array  #: (X, H) input to hidden
    Whh: Array  #: (H, H) hidden to hidden, from row to column
    bh: Array  #: (H,)   bias of the hidden units
    Why: Array  #: (H, Y) hidden to output
    by: Array  #: (Y,)   bias of the output units


def initialise(
    task: Task, hidden: int, *, width: float = 1.0, seed: int = 0, dtype: str = "float32"
) -> Weights:
    """Weights uniform in [-width, width), biases zero."""
    shapes = ((task.inputs, hidden), (hidden, hidden), (hidden, task.neurons))
    matrices, start = [], 0
    for rows, columns in shapes:
        draws = rng.uniform(seed, rng.WEIGHTS, start, rows * columns)
        matrices.append((width * (2 * draws - 1)).astype(dtype).reshape(rows, columns))
        start += rows * columns
    Wxh, Whh, Why = matrices
    return Weights(Wxh, Whh, np.zeros(hidden, dtype), Why, np.zeros(task.neurons, dtype))


# Forward through time ----------------------------------------------------------------


@quiet
def unroll(weights: Weights, cell: Elman, x: Array) -> Array:
    """The hidden states h_0 ... h_T for a sequence of inputs.

    `x` has shape (T, X) or (T, B, X); the result (T+1, H) or (T+1, B, H), where
    h[0] is zero and h[t+1] is the state after input x[t].
    """
    drive = x.dot(weights.Wxh) + weights.bh  # the inputs' share of every step at once
    h = np.zeros((len(x) + 1, *drive.shape[1:]), drive.dtype)
    for t in range(len(x)):
        h[t + 1] = cell.step(drive[t], h[t], weights.Whh)
    return h


def read_out(weights: Weights, h: Array) -> Array:
    """Logits of hidden states: shape (..., H) to (..., Y)."""
    return h.dot(weights.Why) + weights.by


def predict(logits: Array) -> NDArray[np.intp]:
    """The outputs that logits stand for: shape (..., Y) to (...).

    One neuron is a binary digit, rounded: 1 where sigmoid(logit) > 1/2.  Several
    neurons are one-hot: the largest wins.
    """
    if logits.shape[-1] == 1:
        return (logits[..., 0] > 0).astype(np.intp)
    return logits.argmax(axis=-1)


def margins(logits: Array, outputs: NDArray[np.integer]) -> Array:
    """How far logits (..., Y) are on the right side of outputs (...): negative means wrong.

    One neuron: the logit, with the sign that the output asks for.  Several: the
    logit of the output less the largest of the others.
    """
    if logits.shape[-1] == 1:
        return np.where(outputs == 1, logits[..., 0], -logits[..., 0])
    chosen = np.take_along_axis(logits, outputs[..., None], axis=-1)[..., 0]
    others = logits.copy()
    np.put_along_axis(others, outputs[..., None], -np.inf, axis=-1)
    return chosen - others.max(axis=-1)


# Losses ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """A loss of logits against targets, both (..., Y), and its gradient with respect to the logits.

    `value` sums over the output neurons only: (..., Y) to (...).
    """

    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]

    def where(self, asked: NDArray[np.bool_]) -> "Loss":
        """The loss that is 0, and has no gradient, where nothing is asked; `asked` is (...)."""
        return Loss(
            lambda logits, targets: np.where(asked, self.value(logits, targets), 0),
            lambda logits, targets: np.where(
                asked[..., None], self.gradient(logits, targets), logits.dtype.type(0)
            ),
        )


@quiet
def _squared(logits: Array, targets: Array) -> Array:
    return ((sigmoid(logits) - targets) ** 2).sum(axis=-1) / 2


@quiet
def _squared_gradient(logits: Array, targets: Array) -> Array:
    # The derivative of the sigmoid comes from its *output*, y (1 - y).  The tutorial took it
    # of the error e = target - y: its step e * e (1 - e) is never negative, so it pushed
    # every output up, whatever the target, and ended with ones everywhere: 255.
    y = sigmoid(logits)
    return (y - targets) * sigmoid_slope(y)


def _logistic(logits: Array, targets: Array) -> Array:
    return (np.logaddexp(0, logits) - targets * logits).sum(axis=-1)


@quiet
def _logistic_gradient(logits: Array, targets: Array) -> Array:
    return sigmoid(logits) - targets


def _softmax(logits: Array, targets: Array) -> Array:
    largest = logits.max(axis=-1, keepdims=True)
    log_sum = largest[..., 0] + np.log(np.exp(logits - largest).sum(axis=-1))
    return log_sum - (targets * logits).sum(axis=-1)


def _softmax_gradient(logits: Array, targets: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True) - targets


SQUARED = Loss(_squared, _squared_gradient)
"""1/2 sum (sigmoid(logit) - target)^2, the tutorial's."""

LOSSES: MappingProxyType[tuple[str, str], Loss] = MappingProxyType(
    {
        ("squared", "bits"): SQUARED,
        ("squared", "argmax"): SQUARED,
        ("cross-entropy", "bits"): Loss(_logistic, _logistic_gradient),
        ("cross-entropy", "argmax"): Loss(_softmax, _softmax_gradient),
    }
)
"""By name and by the task's readout."""


# Backward through time ---------------------------------------------------------------


def bptt(
    weights: Weights, cell: Elman, loss: Loss, x: Array, targets: Array, *, biases: bool = True
) -> tuple[Weights, Array]:
    """Backpropagation through time (Werbos 1990): the gradient of the loss of a sequence.

    The loss is summed over positions and averaged over the batch.  Backward, the
    hidden state at t hears from its own logits and from the state at t+1:

        g_t   = dL/dlogits_t Why^T + dz_{t+1} Whh^T        dL/dh_t
        dz_t  = g_t * f'(z_t)                              dL/dz_t
        dWhh  = sum_t h_{t-1}^T dz_t,   dWxh = sum_t x_t^T dz_t,   dbh = sum_t dz_t

    The weights do not change on the way, so their gradients are gathered in one
    product each, after it.  Shapes: `x` (T, X) or (T, B, X), `targets` (T, Y) or
    (T, B, Y).  Returns the gradients and the logits, shaped like the targets.
    With `biases=False` the network has none: their gradients are zero.
    """
    h = unroll(weights, cell, x)
    logits = read_out(weights, h[1:])
    d_logits = loss.gradient(logits, targets)
    if x.ndim == 3:
        d_logits /= x.shape[1]

    g = d_logits.dot(weights.Why.T)
    dz = np.empty_like(g)
    from_next: Array | float = 0.0
    for t in reversed(range(len(x))):
        dz[t], from_next = cell.step_vjp(h[t + 1], g[t] + from_next, weights.Whh)

    # every position of every sequence is a row: sums over t and b are matrix products
    x_rows, h_rows, z_rows, y_rows = map(rows_of, (x, h, dz, d_logits))
    before, after = h_rows[: len(z_rows)], h_rows[-len(z_rows) :]
    gradients = Weights(
        Wxh=x_rows.T.dot(z_rows),
        Whh=before.T.dot(z_rows),
        bh=z_rows.sum(axis=0) if biases else 0 * weights.bh,
        Why=after.T.dot(y_rows),
        by=y_rows.sum(axis=0) if biases else 0 * weights.by,
    )
    return gradients, logits


def rows_of(a: Array) -> Array:
    """All vectors of an array as the rows of a matrix: shape (..., N) to (rows, N)."""
    return a.reshape(-1, a.shape[-1])


# The network -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Network:
    """A task, a cell and weights: what a training yields and everything else works on.

    Raises `InputError` when the weights do not fit together, do not fit the task,
    or are not finite.
    """

    task: Task
    activation: str
    weights: Weights

    def __post_init__(self) -> None:
        if self.activation not in CELLS:
            raise unknown("activation", self.activation, CELLS)
        X, H, Y = self.task.inputs, self.hidden, self.task.neurons
        if not H:
            raise InputError("weights of a network without hidden units")
        shapes = Weights((X, H), (H, H), (H,), (H, Y), (Y,))  # type: ignore[arg-type]
        for name, array, shape in zip(Weights._fields, self.weights, shapes, strict=True):
            if array.shape != shape:
                raise InputError(f"weights {name} have shape {array.shape}, not {shape}")
            if array.dtype != self.dtype or self.dtype not in (np.float32, np.float64):
                raise InputError(f"weights {name} are {array.dtype}: all float32 or all float64")
            if not np.isfinite(array).all():
                raise InputError(f"weights {name} are not all finite")

    def __repr__(self) -> str:
        return f"Network({self.task.text!r}, hidden={self.hidden}, {self.activation!r})"

    @property
    def hidden(self) -> int:
        """H, the number of hidden units."""
        return self.weights.bh.size

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """float32 or float64."""
        return self.weights.Whh.dtype

    @property
    def cell(self) -> Elman:
        """The recurrent cell."""
        return CELLS[self.activation]

    @property
    def drives(self) -> Array:
        """x Wxh + bh for every symbol: shape (S, H)."""
        vectors = tables(self.task).vectors.astype(self.dtype)
        return vectors @ self.weights.Wxh + self.weights.bh

    def states(self, word: list[int]) -> Iterator[tuple[Array, Array]]:
        """Hidden states (t, H) and logits (t, Y) along a word, in blocks of positions.

        A block at a time, so that a word of millions of symbols needs little memory.
        """
        h = np.zeros(self.hidden, self.dtype)
        for start in range(0, len(word), _BLOCK):
            block, logits = self._follow(h, word[start : start + _BLOCK])
            h = block[-1]
            yield block, logits

    @in_one_thread
    @np.errstate(over="ignore", invalid="ignore")
    def _follow(self, h: Array, symbols: list[int]) -> tuple[Array, Array]:
        drives = self.drives
        block = np.empty((len(symbols), self.hidden), self.dtype)
        logits = np.empty((len(symbols), self.task.neurons), self.dtype)
        for t, symbol in enumerate(symbols):
            block[t], logits[t] = h, _ = self.step(drives[symbol], h)
        return block, logits

    def step(self, drive: Array, h: Array) -> tuple[Array, Array]:
        """The state (H,) and the logits (Y,) after a symbol, from its drive and the state before.

        In this way, one vector after another, the network answers: products of matrices sum in
        another order, which depends on how many rows they have.
        """
        h = self.cell.step(drive, h, self.weights.Whh)
        return h, read_out(self.weights, h)

    def run(self, word: list[int]) -> list[int]:
        """The outputs that the network answers to a word of symbols."""
        return [int(out) for _, logits in self.states(word) for out in predict(logits)]

    def compute(self, *operands: Operand) -> Answer:
        """The network's own answer to a problem, right or wrong; integers of any size.

        Of a task without numbers the problem is a word, as text, and so is the answer.
        Raises `InputError` for operands that the task does not take.
        """
        return self.task.decode(self.run(self.task.encode(operands)))

    __call__ = compute

    def add(self, *operands: int) -> int:
        """`compute`, for a network that has learned to add."""
        return self._compute("add", operands)

    def subtract(self, *operands: int) -> int:
        """`compute`, for a network that has learned to subtract."""
        return self._compute("subtract", operands)

    def _compute(self, family: str, operands: tuple[int, ...]) -> int:
        if self.task.family != family:
            raise InputError(
                f"this network has learned {self.task.text}, not {family}: `compute` works a "
                "problem of whatever it has learned"
            )
        return int(self.compute(*operands))

    def digest(self) -> str:
        """SHA-256 over everything that the network computes with, as 64 hexadecimal digits."""
        text = f"{self.task.identity} {self.activation} {self.dtype.name} {self.hidden}"
        digest = hashlib.sha256(text.encode())
        for array in self.weights:
            digest.update(np.ascontiguousarray(array, dtype=self.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()


class HasNetwork(Protocol):
    """Whatever has a network, such as a run."""

    @property
    def network(self) -> Network:
        """The network."""


def network_of(subject: Network | HasNetwork) -> Network:
    """The network that a function is asked about: itself, or that of a run.

    Raises `InputError` for anything else.
    """
    network = subject if isinstance(subject, Network) else getattr(subject, "network", None)
    if not isinstance(network, Network):
        raise InputError(f"a Network or a Run is asked for, not {shorten(subject)}")
    return network


_BLOCK = 4096
