"""Problems as arrays: a task's tables, and random words for training and evaluation.

Words are arrays of symbols, shape (..., T), least significant digit first.
N counts words; T time (positions of a word); S symbols; Q machine states;
X inputs of the network; Y its output neurons.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from math import gcd
from typing import Any

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

    @cached_property
    def active(self) -> int:
        """The most numbers other than 0 that the network is fed for a symbol."""
        return int(np.count_nonzero(self.vectors, axis=1).max(initial=1))


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
    symbols = table.delta.shape[1]
    if words.size and not 0 <= words.min() <= words.max() < symbols:
        raise IndexError(f"symbols are 0 to {symbols - 1}, not {words.min()} to {words.max()}")
    # a position's symbols in a row
    turned = np.ascontiguousarray(np.moveaxis(words, -1, 0), dtype=np.intp)
    delta, output = (table.delta * symbols).ravel(), table.output.ravel()  # by q * S + a
    outputs = np.empty(turned.shape, dtype=np.int32)
    state = np.zeros(turned.shape[1:], dtype=np.int32)  # q * S
    for t, symbol in enumerate(turned):
        edge = state + symbol
        output.take(edge, out=outputs[t, ...], mode="clip")
        state = delta.take(edge, mode="clip")
    return np.moveaxis(outputs, 0, -1)


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


def uniform(task: Task, digits: int, bits: Any, np: Any = np) -> Any:
    """Words of problems whose operands are uniform below `base**(digits - headroom)`.

    So the answer fits in `digits`; the upper `headroom` digits are zero.  This is
    the tutorial's "a and b below 2^7" for any task.  `bits` has the shape
    (N, draws_per_word(task, digits)): each 64-bit number is cut into digits, as
    many bits for each as the base has where that is a power of two, else 32.

    `np` is NumPy, or another module of arrays that `bits` is one of.
    """
    kind = smallest(task)
    width, operands, free = _bits_per_digit(task.base), task.operands, digits - task.headroom
    each = 64 // width
    period = operands // gcd(each, operands)  # draws after which the cut begins anew
    if missing := -bits.shape[1] % period:
        bits = np.pad(bits, [(0, 0), (0, missing)])
    symbols = []  # of successive positions, until the cut begins anew
    for place in range(min(each * period // operands, free)):
        symbol = None
        for field in range(place * operands, (place + 1) * operands):
            draw, shift = bits[:, field // each :: period], field % each * width
            if width == 32:
                digit = rng.below(task.base, draw << np.uint64(32 - shift)).astype(kind)
            else:
                digit = (draw >> np.uint64(shift)).astype(kind) & kind.type(task.base - 1)
            symbol = digit if symbol is None else symbol * kind.type(task.base) + digit
        symbols.append(symbol)
    zeros = np.zeros((len(bits), digits - max(free, 0)), kind)
    if not symbols:
        return zeros
    words = np.stack(symbols, axis=-1).reshape(len(bits), -1)[:, :free]
    return np.concatenate([words, zeros], axis=1)


def smallest(task: Task) -> np.dtype[np.unsignedinteger]:
    """The smallest type that holds a task's symbols."""
    return np.dtype(np.min_scalar_type(len(task.machine.symbols) - 1))


def draws_per_word(task: Task, digits: int) -> int:
    """How many random numbers one word of `uniform` takes."""
    needed = (digits - task.headroom) * task.operands
    return -(-needed // (64 // _bits_per_digit(task.base)))


def _bits_per_digit(base: int) -> int:
    return max(1, base.bit_length() - 1) if base & (base - 1) == 0 else 32


def training_words(
    task: Task, digits: int, *, seed: int, stream: int, start: int, count: int, walks: bool = True
) -> Words:
    """Training problems `start .. start + count - 1` of a stream, shape (count, digits).

    Numbers are uniform.  Of a task without numbers every other word is a `walk`, unless `walks`
    are not wanted, so that what uniform words hardly ever come to is learned too.
    """
    if not task.numeric:
        bits = rng.raw(seed, stream, start * digits * 2, count * digits * 2)
        bits = bits.reshape(count, digits, 2)
        words = rng.below(task.base, bits[:, :, 1])
        some = np.arange(start, start + count)
        if walks:
            words[some % 2 == 1] = walk(task, bits[some % 2 == 1], some[some % 2 == 1] // 2)
        return words.astype(np.min_scalar_type(task.base - 1))
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
    # The ways of choosing a symbol: one that keeps the state, one that hands on all states, any.
    allowed = np.stack([stay, hand_on if hand_on.any() else stay, np.ones_like(stay)])
    allowed |= ~allowed.any(axis=-1, keepdims=True)  # where none is, any
    kept = np.argsort(~allowed, axis=-1, kind="stable")  # (3, Q, S): the allowed ones come first
    reads, leads = kept.ravel(), table.delta[np.arange(states)[:, None], kept].ravel()
    choices = allowed.sum(axis=-1).astype(np.uint64).ravel()
    row = np.arange(count - constant)
    way = row // 8 % 2
    # with chance 1 / (2 4^k)
    leave = np.uint64(1) << (63 - 2 * (row % 8)).astype(np.uint64) > bits[constant:, :free, 0].T
    state = np.zeros(len(row), dtype=np.int64)
    here, been = row, np.empty((free, len(row)), np.int64)  # q N + n of each word n; or n
    few = states <= _FEW_STATES
    at_once = _POSITIONS if few else 1
    for start in range(0, free, at_once):
        # For all positions of a block at once, what would be chosen in each state; then the
        # states, one position after another, are a matter of looking up.  Of many states one
        # position at a time, in the state that each word is in.
        some = np.s_[start : min(start + at_once, free)]
        q = np.arange(states)[:, None] if few else state  # (Q, 1) or (N,)
        place = np.where(leave[some, None], 2, way) * states + q  # (t, Q or 1, N), in `choices`
        drawn = np.ascontiguousarray(bits[constant:, some, 1].T)[:, None]
        chosen = place * symbols + rng.below(choices.take(place), drawn)
        chosen = chosen.reshape(len(chosen), -1)  # (t, Q N), by q N + n
        leads_to = leads.take(chosen)
        if few:
            leads_to = leads_to * len(row) + np.tile(row, states)
            for t, then in enumerate(leads_to):
                been[start + t] = here
                here = then.take(here)
        else:
            state, been[start] = leads_to[0], row
        words[constant:, some] = reads.take(np.take_along_axis(chosen, been[some], axis=1)).T
    return words


_POSITIONS, _FEW_STATES = 64, 16


# Walking the machine -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Map:
    """Where one can go in a machine: its components, and the way to each transition.

    A component is a set of states that lead to one another.  Transitions are numbers q * S + a.
    """

    component: NDArray[np.intp]  # (Q,)
    inner: "_Lists"  # of each component: its transitions that stay in it
    outer: "_Lists"  # and those that leave it
    toward: NDArray[np.int32]  # (Q, Q) the symbol that leads from q toward p; -1: no way, or there


@dataclass(frozen=True, eq=False)
class _Lists:
    """Lists of different lengths, end to end."""

    values: NDArray[np.intp]
    start: NDArray[np.intp]
    count: NDArray[np.intp]


MOST_MAPPED = 2**21
"""Q^2 S of the largest machine that words are led through; in larger ones they wander."""


def walk(task: Task, bits: NDArray[np.uint64], number: NDArray[np.integer]) -> Words:
    """Words that lead the machine to all its transitions evenly, rare ones included.

    Uniform words of Tomita's first grammar are rejected at once, and a window of ten ones hardly
    ever occurs.  Here each word chooses a transition, goes to it by a shortest way, makes it, and
    chooses the next one: among those that do not leave the component of states where it is, and
    with a small chance, by turns 0, 1/T, 4/T and 16/T, among those that do.  So words that are
    accepted stay so for long, and every way of being lost occurs.

    `bits` has the shape (N, T, 2): whether to leave, and which transition.  `number` (N,) says
    whose turn it is.
    """
    table, places = tables(task), _map(task)
    count, T = bits.shape[:2]
    symbols = table.delta.shape[1]
    words = np.empty((count, T), np.int64)
    state, aim = np.zeros(count, np.intp), np.full(count, -1)
    chance = np.array([0.0, 1.0, 4.0, 16.0])[number % 4] / max(T, 1)
    leaves = rng.unit(bits[:, :, 0]) < chance[:, None]
    values = np.concatenate([places.inner.values, places.outer.values])
    for t in range(T):
        here = places.component[state]
        inside, outside = places.inner.count[here], places.outer.count[here]
        leave = (leaves[:, t] & (outside > 0)) | (inside == 0)
        lists = np.where(leave, outside, inside)
        first = np.where(leave, places.outer.start[here], places.inner.start[here])
        place = first + rng.below(lists, bits[:, t, 1])
        # one array after the other: a place is in that of its list
        fresh = values[place + np.where(leave, len(places.inner.values), 0)]
        aim = np.where(aim < 0, fresh, aim)
        source, symbol = np.divmod(aim, symbols)
        there = state == source
        step = places.toward[source, state] if len(places.toward) else np.full(count, -1)
        lost = ~there & (step < 0)  # in a machine that is too large for a map
        words[:, t] = np.where(there, symbol, np.where(lost, fresh % symbols, step))
        aim = np.where(there | lost, -1, aim)
        state = table.delta[state, words[:, t]].astype(np.intp)
    return words


@cache
def _map(task: Task) -> _Map:
    delta = tables(task).delta
    states, symbols = delta.shape
    component = _components(delta)
    source = np.repeat(component, symbols)
    stays = source == component[delta.ravel()]
    inner, outer = (
        _lists(np.flatnonzero(some), source, component.max() + 1) for some in (stays, ~stays)
    )
    if states * states * symbols > MOST_MAPPED:
        return _Map(component, inner, outer, np.empty((0, 0), np.int32))
    toward = np.full((states, states), -1, np.int32)
    before: list[list[tuple[int, int]]] = [[] for _ in range(states)]
    for q in range(states):
        for a in range(symbols):
            before[delta[q, a]].append((q, a))
    for p in range(states):
        reached, seen = [p], {p}
        for r in reached:  # grows while it is read
            for q, a in before[r]:
                if q not in seen:
                    seen.add(q)
                    reached.append(q)
                    toward[p, q] = a
    return _Map(component, inner, outer, toward)


def _lists(chosen: NDArray[np.intp], source: NDArray[np.intp], groups: int) -> _Lists:
    """The transitions of each component, end to end; nothing is never drawn from."""
    order = chosen[np.argsort(source[chosen], kind="stable")]
    count = np.bincount(source[chosen], minlength=groups)
    values = order if len(order) else np.zeros(1, np.intp)
    return _Lists(values, np.minimum(np.cumsum(count) - count, len(values) - 1), count)


def _components(delta: NDArray[np.int32]) -> NDArray[np.intp]:
    """The number of each state's strongly connected component (Tarjan 1972)."""
    found = np.full(len(delta), -1, np.intp)
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    path: list[int] = []
    components = 0
    following = [sorted(set(row)) for row in delta.tolist()]
    for root in range(len(delta)):
        stack = [(root, 0)] if root not in index else []
        while stack:
            q, place = stack.pop()
            if not place:
                index[q] = low[q] = len(index)
                path.append(q)
            elif found[following[q][place - 1]] < 0:
                low[q] = min(low[q], low[following[q][place - 1]])
            while place < len(following[q]):
                r = following[q][place]
                place += 1
                if r not in index:
                    stack += [(q, place), (r, 0)]
                    break
                if found[r] < 0:
                    low[q] = min(low[q], index[r])
            else:
                if low[q] == index[q]:
                    while True:
                        member = path.pop()
                        found[member] = components
                        if member == q:
                            break
                    components += 1
    return found


def sticky(
    symbols: int, bits: NDArray[np.uint64], chance: NDArray[np.floating] | float
) -> NDArray[np.int64]:
    """Random words whose every symbol is, by some chance, the one before it again.

    `bits` has the shape (2, T, N): whether to stay, and the symbol where not; the result (T, N).
    """
    words = rng.below(symbols, bits[1])
    stay = rng.unit(bits[0]) < chance
    for t in range(1, len(words)):
        words[t] = np.where(stay[t], words[t - 1], words[t])
    return words
