"""The same trainings as others would write them, to be measured beside carrynet.

Each function takes the same initial weights and problems and returns a job to be
timed, which starts from those weights every time, and ends in the trained weights
(Wxh, Whh, Why), to be compared with ours; or in nothing, where it cannot train the same
network.  Compilation and the making of inputs are done before and are not timed.  None
of these libraries is installed with carrynet; `Absent` says which is missing.
"""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from carrynet.bench import tutorial_loop
from carrynet.data.words import Words, sequences
from carrynet.nets.arrays import Array
from carrynet.nets.weights import Weights
from carrynet.spec import tasks

Job = Callable[[], tuple[Array, ...]]


class Absent(Exception):
    """What a rival needs and this machine does not have."""


def _matrices(weights: Weights, dtype: Any = np.float32) -> tuple[Array, Array, Array]:
    return weights.Wxh.astype(dtype), weights.Whh.astype(dtype), weights.Why.astype(dtype)


# The tutorial job: one problem at a time, squared error, plain descent -----------------


def loop(weights: Weights, words: Words, step: float) -> Job:
    """The tutorial's own loop, mended; float64, as in the tutorial."""
    place = 1 << np.arange(words.shape[1])
    pairs = list(zip(((words >> 1) @ place).tolist(), ((words & 1) @ place).tolist(), strict=True))

    def job() -> tuple[Array, ...]:
        matrices = list(_matrices(weights, np.float64))
        tutorial_loop.train(matrices, pairs, words.shape[1], step)
        return tuple(matrices)

    return job


C_SOURCE = r"""
#include <math.h>
#include <string.h>
#define H 32
/* Plain loops over fixed sizes, for the compiler to vectorise. */
void train(float *wxh, float *whh, float *why, const float *x, const float *y, long n, long T,
           float step) {
    float h[65][H], dz[64][H], dl[64];
    for (long p = 0; p < n; p++, x += 2 * T, y += T) {
        memset(h[0], 0, sizeof h[0]);
        for (long t = 0; t < T; t++) {
            float z[H];
            for (int j = 0; j < H; j++) z[j] = x[2 * t] * wxh[j] + x[2 * t + 1] * wxh[H + j];
            for (int i = 0; i < H; i++)
                for (int j = 0; j < H; j++) z[j] += h[t][i] * whh[i * H + j];
            for (int j = 0; j < H; j++) h[t + 1][j] = 1 / (1 + expf(-z[j]));
            float logit = 0;
            for (int j = 0; j < H; j++) logit += h[t + 1][j] * why[j];
            float o = 1 / (1 + expf(-logit));
            dl[t] = (o - y[t]) * o * (1 - o);
        }
        float after[H] = {0};
        for (long t = T - 1; t >= 0; t--) {
            for (int j = 0; j < H; j++) {
                float s = h[t + 1][j];
                dz[t][j] = (after[j] + dl[t] * why[j]) * s * (1 - s);
            }
            for (int i = 0; i < H; i++) {
                float g = 0;
                for (int j = 0; j < H; j++) g += dz[t][j] * whh[i * H + j];
                after[i] = g;
            }
        }
        for (long t = 0; t < T; t++) {
            for (int j = 0; j < H; j++) why[j] -= step * dl[t] * h[t + 1][j];
            for (int j = 0; j < H; j++) wxh[j] -= step * x[2 * t] * dz[t][j];
            for (int j = 0; j < H; j++) wxh[H + j] -= step * x[2 * t + 1] * dz[t][j];
            for (int i = 0; i < H; i++)
                for (int j = 0; j < H; j++) whh[i * H + j] -= step * h[t][i] * dz[t][j];
        }
    }
}
"""


def plain_c(weights: Weights, words: Words, step: float) -> Job:
    """Plain C, as the compiler vectorises it: -O3 -march=native -ffast-math."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Absent("a C compiler")
    with tempfile.TemporaryDirectory() as folder:
        source, code, library = (Path(folder) / f"train.{kind}" for kind in ("c", "o", "so"))
        source.write_text(C_SOURCE)
        flags = ["-O3", "-march=native", "-ffast-math", "-fPIC"]
        subprocess.run([compiler, *flags, "-c", source, "-o", code], check=True)
        # linked without -ffast-math, which would switch denormal numbers off in this process
        subprocess.run([compiler, "-shared", code, "-o", library, "-lm"], check=True)
        function = ctypes.CDLL(str(library)).train
    x, y = _inputs(words)

    def job() -> tuple[Array, ...]:
        matrices = [np.ascontiguousarray(m).copy() for m in _matrices(weights)]
        pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*matrices, x, y)]
        n, T = words.shape
        function(*pointers, ctypes.c_long(n), ctypes.c_long(T), ctypes.c_float(step))
        return tuple(matrices)

    return job


def _inputs(words: Words) -> tuple[Array, Array]:
    """Inputs (n, T, 2) and targets (n, T) of binary additions."""
    x, y = sequences(tasks.add(), words[:, None], np.dtype(np.float32))
    return np.ascontiguousarray(x[:, :, 0]), np.ascontiguousarray(y[:, :, 0, 0])


def jax_scan(weights: Weights, words: Words, step: float) -> Job:
    """JAX: one jitted scan over problems, the scan over digits unrolled inside."""
    jax, jnp = _jax()
    x, y = map(jnp.asarray, _inputs(words))

    def loss(matrices: Any, problem: Any) -> Any:
        Wxh, Whh, Why = matrices
        inputs, targets = problem

        def position(h: Any, x_t: Any) -> Any:
            h = jax.nn.sigmoid(x_t @ Wxh + h @ Whh)
            return h, h

        _, states = jax.lax.scan(position, jnp.zeros(Whh.shape[0]), inputs, unroll=len(inputs))
        return ((jax.nn.sigmoid(states @ Why)[:, 0] - targets) ** 2).sum() / 2

    def update(matrices: Any, problem: Any) -> Any:
        gradients = jax.grad(loss)(matrices, problem)
        return tuple(w - step * g for w, g in zip(matrices, gradients, strict=True)), None

    train = jax.jit(lambda matrices, x, y: jax.lax.scan(update, matrices, (x, y))[0])
    start = tuple(map(jnp.asarray, _matrices(weights)))
    return _ready(jax, lambda: train(start, x, y))


def numba_loops(weights: Weights, words: Words, step: float) -> Job:
    """Numba: loops over rows, fastmath, as one writes them to be vectorised."""
    try:
        import numba
    except ImportError:
        raise Absent("numba") from None

    def train(Wxh: Array, Whh: Array, Why: Array, x: Array, y: Array, step: np.float32) -> None:
        n, T = y.shape
        H = len(Whh)
        one = np.float32(1)
        h, dz = np.zeros((T + 1, H), np.float32), np.zeros((T, H), np.float32)
        dl, after = np.zeros(T, np.float32), np.zeros(H, np.float32)
        for p in range(n):
            for t in range(T):
                z = x[p, t, 0] * Wxh[0] + x[p, t, 1] * Wxh[1]
                for i in range(H):
                    s = h[t, i]
                    for j in range(H):
                        z[j] += s * Whh[i, j]
                logit = np.float32(0)
                for j in range(H):
                    h[t + 1, j] = one / (one + np.exp(-z[j]))
                    logit += h[t + 1, j] * Why[j, 0]
                o = one / (one + np.exp(-logit))
                dl[t] = (o - y[p, t]) * o * (one - o)
            after[:] = 0
            for t in range(T - 1, -1, -1):
                for j in range(H):
                    s = h[t + 1, j]
                    dz[t, j] = (after[j] + dl[t] * Why[j, 0]) * s * (one - s)
                for i in range(H):
                    g = np.float32(0)
                    for j in range(H):
                        g += dz[t, j] * Whh[i, j]
                    after[i] = g
            for t in range(T):
                for i in range(H):
                    Why[i, 0] -= step * dl[t] * h[t + 1, i]
                    s = step * h[t, i]
                    for j in range(H):
                        Whh[i, j] -= s * dz[t, j]
                for i in range(2):
                    s = step * x[p, t, i]
                    for j in range(H):
                        Wxh[i, j] -= s * dz[t, j]

    compiled = numba.njit(fastmath=True)(train)
    x, y = _inputs(words)
    matrices = _matrices(weights)

    def job() -> tuple[Array, ...]:
        fresh = tuple(m.copy() for m in matrices)
        compiled(*fresh, x, y, np.float32(step))
        return fresh

    job()  # compiles

    return job


def torch_rnn(weights: Weights, words: Words, step: float) -> Job:
    """PyTorch, eager: nn.RNN (which has tanh, and not the sigmoid) with a linear readout."""
    torch = _torch()
    x, y = map(torch.from_numpy, _inputs(words))

    def job() -> tuple[Array, ...]:
        Wxh, Whh, Why = _matrices(weights)
        rnn = torch.nn.RNN(2, len(Whh), bias=False)
        readout = torch.nn.Linear(len(Whh), 1, bias=False)
        with torch.no_grad():
            rnn.weight_ih_l0.copy_(torch.from_numpy(Wxh.T.copy()))
            rnn.weight_hh_l0.copy_(torch.from_numpy(Whh.T.copy()))
            readout.weight.copy_(torch.from_numpy(Why.T.copy()))
        optimiser = torch.optim.SGD([*rnn.parameters(), *readout.parameters()], lr=step)
        for inputs, targets in zip(x, y, strict=True):
            optimiser.zero_grad()
            states, _ = rnn(inputs)
            ((torch.sigmoid(readout(states))[:, 0] - targets) ** 2).sum().div(2).backward()
            optimiser.step()
        return ()

    return job


# Mini-batches with Adam and cross-entropy ----------------------------------------------


def jax_adam(weights: Weights, words: Words, step: float, cell: str = "elman") -> Job:
    """JAX: one jitted scan over updates; words (updates, B, T); with biases.

    `cell` is elman (sigmoid), gru or lstm.  The job ends in all weights, in their order.
    """
    jax, jnp = _jax()
    x, y = sequences(tasks.add(), words, np.dtype(np.float32))
    x, y = jnp.asarray(x), jnp.asarray(y[..., 0])
    start = {name: jnp.asarray(w) for name, w in weights.items()}
    after, parts = _cells(jax)[cell]

    def loss(w: Any, batch: Any) -> Any:
        inputs, targets = batch

        def position(state: Any, x_t: Any) -> Any:
            state = after(w, x_t, state)
            return state, state[0]

        zero = (jnp.zeros((inputs.shape[1], w["Why"].shape[0])),) * parts
        _, states = jax.lax.scan(position, zero, inputs, unroll=len(inputs))
        logits = (states @ w["Why"] + w["by"])[..., 0]
        return (jnp.logaddexp(0, logits) - targets * logits).sum() / inputs.shape[1]

    def update(carry: Any, batch: Any) -> Any:
        weights, m, v, count = carry
        g = jax.grad(loss)(weights, batch)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, root = step / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v) / root + 1e-8), weights, m, v
        )
        return (weights, m, v, count + 1), None

    zeros = jax.tree.map(jnp.zeros_like, start)
    train = jax.jit(lambda x, y: jax.lax.scan(update, (start, zeros, zeros, 1.0), (x, y))[0][0])
    ready = _ready_tree(jax, lambda: train(x, y))

    def job() -> tuple[Array, ...]:
        trained = ready()
        return tuple(np.asarray(trained[name]) for name in weights)

    return job


def jax_vmap(networks: Weights, words: Words, step: float, cell: str) -> Job:
    """JAX: one jitted scan over problems, vmapped over networks; squared error, no biases.

    `networks` are stacked, and `words` (networks, problems, T).  The job ends in all weights.
    """
    jax, jnp = _jax()
    after, parts = _cells(jax)[cell]
    frozen = {name: jnp.asarray(w) for name, w in networks.items() if name.startswith("b")}
    start = {name: jnp.asarray(w) for name, w in networks.items() if name not in frozen}
    x, y = sequences(tasks.add(), words, np.dtype(np.float32))  # (N, T, problems, ...)
    x, y = jnp.asarray(x.swapaxes(1, 2)), jnp.asarray(y[..., 0].swapaxes(1, 2))

    def train(weights: Any, biases: Any, x: Any, y: Any) -> Any:
        def loss(weights: Any, inputs: Any, targets: Any) -> Any:
            w = {**weights, **biases}

            def position(state: Any, x_t: Any) -> Any:
                state = after(w, x_t, state)
                return state, state[0]

            zero = (jnp.zeros(w["Why"].shape[0]),) * parts
            _, states = jax.lax.scan(position, zero, inputs, unroll=inputs.shape[0])
            outputs = jax.nn.sigmoid(states @ w["Why"] + w["by"])[..., 0]
            return ((outputs - targets) ** 2).sum() / 2

        def update(weights: Any, problem: Any) -> Any:
            g = jax.grad(loss)(weights, *problem)
            return jax.tree.map(lambda w, g: w - step * g, weights, g), None

        return jax.lax.scan(update, weights, (x, y))[0]

    together = jax.jit(jax.vmap(train))
    ready = _ready_tree(jax, lambda: together(start, frozen, x, y))

    def job() -> tuple[Array, ...]:
        trained = {**ready(), **frozen}
        return tuple(np.asarray(trained[name]) for name in networks)

    return job


def _cells(jax: Any) -> dict[str, tuple[Any, int]]:
    """One step of each cell, as one writes it with JAX, and how many parts its state has."""
    sigmoid, tanh = jax.nn.sigmoid, jax.numpy.tanh

    def gate(w: Any, name: str, x_t: Any, h: Any) -> Any:
        return x_t @ w[f"Wx{name}"] + w[f"b{name}"] + h @ w[f"Wh{name}"]

    def elman(w: Any, x_t: Any, state: Any) -> Any:
        return (sigmoid(gate(w, "h", x_t, state[0])),)

    def gru(w: Any, x_t: Any, state: Any) -> Any:
        (h,) = state
        r, z = (sigmoid(gate(w, name, x_t, h)) for name in "rz")
        n = tanh(x_t @ w["Wxn"] + w["bn"] + r * (h @ w["Whn"] + w["bhn"]))
        return ((1 - z) * n + z * h,)

    def lstm(w: Any, x_t: Any, state: Any) -> Any:
        h, c = state
        i, f, o = (sigmoid(gate(w, name, x_t, h)) for name in "ifo")
        c = f * c + i * tanh(gate(w, "g", x_t, h))
        return o * tanh(c), c

    return {"elman": (elman, 1), "gru": (gru, 1), "lstm": (lstm, 2)}


def torch_adam(weights: Weights, words: Words, step: float, cell: str = "elman") -> Job:
    """PyTorch, eager: nn.RNN (tanh, not the sigmoid), nn.GRU or nn.LSTM, and torch.optim.Adam.

    It begins at weights of its own and has two biases where there is one here, so that the job
    ends in nothing that could be compared; the work is the same but for that bias.
    """
    torch = _torch()
    inputs, targets = sequences(tasks.add(), words, np.dtype(np.float32))
    x, y = torch.from_numpy(inputs), torch.from_numpy(np.ascontiguousarray(targets[..., 0]))
    kind = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]

    def job() -> tuple[Array, ...]:
        torch.manual_seed(0)
        rnn, readout = kind(2, weights["Why"].shape[0]), torch.nn.Linear(weights["Why"].shape[0], 1)
        optimiser = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=step)
        loss = torch.nn.BCEWithLogitsLoss(reduction="sum")
        for batch, wanted in zip(x, y, strict=True):
            optimiser.zero_grad()
            states, _ = rnn(batch)
            loss(readout(states)[..., 0], wanted).div(batch.shape[1]).backward()
            optimiser.step()
        return ()

    return job


# Every pair of numbers -----------------------------------------------------------------


def jax_pairs(weights: Weights, digits: int) -> Callable[[], int]:
    """JAX: every pair as a word of its own, in blocks; returns how many are right."""
    jax, jnp = _jax()
    Wxh, Whh, bh, Why, by = map(jnp.asarray, weights)

    def block(start: Any) -> Any:
        numbers = start + jnp.arange(2**16, dtype=jnp.uint32)
        a, b = numbers >> digits, numbers & (2**digits - 1)

        def position(carry: Any, t: Any) -> Any:
            h, right = carry
            bits = jnp.stack([a >> t & 1, b >> t & 1], axis=1).astype(jnp.float32)
            h = jax.nn.sigmoid(bits @ Wxh + h @ Whh + bh)
            answer = (h @ Why + by)[:, 0] > 0
            return (h, right & (answer == ((a + b) >> t & 1).astype(bool))), None

        first = (jnp.zeros((2**16, Whh.shape[0])), jnp.ones(2**16, bool))
        (_, right), _ = jax.lax.scan(position, first, jnp.arange(digits + 1, dtype=jnp.uint32))
        return right.sum()

    starts = jnp.arange(0, 4**digits, 2**16, dtype=jnp.uint32)
    count = jax.jit(lambda starts: jax.lax.map(block, starts).sum())
    count(starts[:1]).block_until_ready()
    compiled = count.lower(starts).compile()
    return lambda: int(compiled(starts))


def _torch() -> Any:
    """PyTorch with one thread, since two are no faster with networks this small."""
    try:
        import torch
    except ImportError:
        raise Absent("torch") from None
    torch.set_num_threads(1)
    return torch


def _jax() -> tuple[Any, Any]:
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        raise Absent("jax") from None
    return jax, jnp


def _ready_tree(jax: Any, job: Callable[[], Any]) -> Callable[[], Any]:
    """A job that has been compiled, and that waits for its result."""
    jax.block_until_ready(job())
    return lambda: jax.block_until_ready(job())


def _ready(jax: Any, job: Callable[[], Any]) -> Job:
    """The same, whose result is arrays one after another."""
    ready = _ready_tree(jax, job)
    return lambda: tuple(np.asarray(w) for w in ready())
