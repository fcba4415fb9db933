"""Problems as arrays: a task's tables, and random words for training and evaluation.

Words are arrays of symbols, shape (..., T), least significant digit first.
N counts words; T time (positions of a word); S symbols; Q machine states;
X inputs of the network; Y its output neurons.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.spec.task import Task

Words = NDArray[np.integer]
OPEN = -1
"""An output that is left open: every answer is right, there is no loss and no margin."""


@dataclass(frozen=True, eq=False)
class Tables:
    """A task's machine, its symbol vectors and its target vectors."""

    delta: NDArray[np.int32]  #: (Q, S) next state
    output: NDArray[np.int32]  #: (Q, S) output; `OPEN` where nothing is asked
    vectors: NDArray[np.float32]  #: (S, X) what the network is fed for each symbol
    targets: NDArray[np.float32]  #: (outputs, Y) what each output asks of the output neurons


@cache
def tables(task: Task) -> Tables:
    """The arrays of a task, made once and read-only."""
    symbols = len(task.machine.symbols)
    vectors = np.empty((symbols, task.inputs), dtype=np.float32)
    for a in range(symbols):
        vectors[a] = task.vector(a)
    outputs = len(task.machine.outputs)
    targets = np.eye(outputs, dtype=np.float32)
    if task.readout == "bits":
        targets = targets[:, 1:].copy()  # one neuron: 0 for output 0, 1 for output 1
    made = Tables(
        delta=np.array(task.machine.delta, dtype=np.int32),
        output=np.array(
            [[OPEN if out is None else out for out in row] for row in task.machine.output],
            dtype=np.int32,
        ),
        vectors=vectors,
        targets=targets,
    )
    for array in vars(made).values():
        array.setflags(write=False)
    return made


def answers(task: Task, words: Words) -> NDArray[np.int32]:
    """The machine's outputs for words of symbols: shape (..., T) to shape (..., T).

    `OPEN` where nothing is asked.
    """
    table = tables(task)
    outputs = np.empty(words.shape, dtype=np.int32)
    state = np.zeros(words.shape[:-1], dtype=np.int32)
    for t in range(words.shape[-1]):
        symbol = words[..., t]
        outputs[..., t] = table.output[state, symbol]
        state = table.delta[state, symbol]
    return outputs


def sequences(
    task: Task, words: Words, dtype: np.dtype[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Batches of words as the network sees them, time before batch.

    `words` has shape (..., B, T); returns inputs (..., T, B, X) and targets (..., T, B, Y).
    """
    table = tables(task)
    x = table.vectors.astype(dtype)[words]
    targets = table.targets.astype(dtype)[answers(task, words)]
    return x.swapaxes(-3, -2), targets.swapaxes(-3, -2)


def uniform(task: Task, digits: int, bits: NDArray[np.uint64]) -> Words:
    """Words of problems whose operands are uniform below `base**(digits - headroom)`.

    So the answer fits in `digits`; the upper `headroom` digits are zero.  This is
    the tutorial's "a and b below 2^7" for any task.  `bits` has the shape
    (N, draws_per_word(task, digits)): each 64-bit number is cut into digits, as
    many bits for each as the base has where that is a power of two, else 32.
    """
    free = digits - task.headroom
    needed, width = free * task.operands, _bits_per_digit(task.base)
    shifts = np.arange(0, min(64, needed * width), width, dtype=np.uint64)
    fields = (bits[:, :, None] >> shifts).reshape(len(bits), -1)[:, :needed]
    if width == 32:
        drawn = rng.below(task.base, fields << np.uint64(32))
    else:
        drawn = (fields & np.uint64(task.base - 1)).astype(np.int64)
    words = np.zeros((len(bits), digits), dtype=np.min_scalar_type(len(task.machine.symbols) - 1))
    symbols = np.zeros((len(bits), free), dtype=np.int64)
    for operand in range(task.operands):
        symbols = symbols * task.base + drawn[:, operand :: task.operands]
    words[:, :free] = symbols
    return words


def draws_per_word(task: Task, digits: int) -> int:
    """How many random numbers one word of `uniform` takes."""
    needed = (digits - task.headroom) * task.operands
    return -(-needed // (64 // _bits_per_digit(task.base)))


def _bits_per_digit(base: int) -> int:
    return base.bit_length() - 1 if base & (base - 1) == 0 else 32


def training_words(
    task: Task, digits: int, *, seed: int, stream: int, start: int, count: int
) -> Words:
    """Training problems `start .. start + count - 1` of a stream, shape (count, digits)."""
    draws = draws_per_word(task, digits)
    bits = rng.raw(seed, stream, start * draws, count * draws)
    return uniform(task, digits, bits.reshape(count, draws))


def chains(task: Task, digits: int, bits: NDArray[np.uint64]) -> Words:
    """Words that hold on to the machine's state for long: carry chains, and the extremes.

    Uniform numbers hardly ever carry through more than log2(T) places, so they
    cannot tell a network that remembers from one that forgets slowly.  Here the
    first words repeat one symbol throughout (all zeros, all ones, largest plus
    zero, ...), as many as fill a quarter of the rows; then each word keeps to
    symbols that leave its state as it is, changing state at random, on average
    once in 2, 8, 32, ... positions by turns.  Every other one of these keeps, where
    it can, to symbols that leave *every* state as it is, such as 0 + 1 in addition,
    which hand a carry on and never make one.

    `bits` has the shape (N, T, 2), T = digits: one number that decides whether to stay
    and one that picks the symbol.  The upper `headroom` symbols are zero.
    """
    table = tables(task)
    states, symbols = table.delta.shape
    count, free = len(bits), digits - task.headroom
    words = np.zeros((count, digits), dtype=np.min_scalar_type(symbols - 1))
    constant = min(symbols, max(1, count // 4))
    # spread over the alphabet, first and last symbol always among them
    spread = np.linspace(0, symbols - 1, constant).round().astype(np.int64)
    words[:constant, :free] = spread[:, None]

    stay = table.delta == np.arange(states)[:, None]  # (Q, S): symbols that keep state q
    hand_on = np.broadcast_to(stay.all(axis=0), stay.shape)
    allowed = np.stack([stay, hand_on if hand_on.any() else stay])  # (2, Q, S)
    kept = np.argsort(~allowed, axis=-1, kind="stable")  # the allowed ones come first
    choices = allowed.sum(axis=-1)
    row = np.arange(count - constant)
    way = row // 8 % 2
    leave = rng.unit(bits[constant:, :, 0]) < 1 / (2.0 * 4.0 ** (row % 8))[:, None]
    state = np.zeros(count - constant, dtype=np.int64)
    for start in range(0, free, _POSITIONS):
        # For all positions of a block at once, what would be read in each state; then the
        # states, one position after another, are a matter of looking up.
        some = np.s_[start : min(start + _POSITIONS, free)]
        would_read = np.empty((states, len(row), some.stop - start), dtype=np.int64)
        for q in range(states):
            anywhere = leave[:, some] | (choices[way, q] == 0)[:, None]
            bound = np.where(anywhere, symbols, choices[way, q][:, None])
            chosen = rng.below(bound, bits[constant:, some, 1])
            would_read[q] = np.where(anywhere, chosen, kept[way[:, None], q, chosen])
        leads_to = table.delta[np.arange(states)[:, None, None], would_read]
        for t in range(would_read.shape[2]):
            words[constant:, start + t] = would_read[state, row, t]
            state = leads_to[state, row, t]
    return words


_POSITIONS = 256
