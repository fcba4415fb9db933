"""Boxes: the search for an inductive invariant of networks that forget.

A plan says which regions there are.  First, one for each *history*: the last few symbols
that were read, with the machine's states between them; for the start, one of its own.  Then
each is split where the hidden states that the network is seen in fall into separate groups,
since many networks remember more than their machine: one box round two groups would
hold what lies between, where the network never is.  Groups that are followed by different
groups are split again, until each has one successor under each symbol.

Then each region's box is the smallest that holds what the network can be in, found as a
least fixed point:

    repeat: every box takes in the images of the boxes that lead to it, grown by the slack
    until nothing grows (an invariant), or an output is no longer certain (none)

Computed in floats, with boxes rounded outward to a grid; `check` decides whether it is a proof.

Shapes: N regions, P hidden states seen, S symbols, H hidden, Y output.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carrynet.data import rng
from carrynet.data.words import OPEN, sticky
from carrynet.nets.arrays import ACTIVATIONS, Array, quiet
from carrynet.nets.network import Network
from carrynet.nets.readings.enclosure import Box, Enclosure
from carrynet.proof.certificate import BoxCertificate, Region
from carrynet.spec.machine import Machine
from carrynet.watch import Watch

Numbers = NDArray[np.intp]

BITS = 24  # boxes are rounded outward to multiples of 2^-BITS
_GUARD = 1e-9  # what floats may be off by
_ROUNDS = 2_000
_MOST_REGIONS = 4_000


@dataclass(frozen=True, eq=False)
class Plan:
    """Which regions there are, and how they follow one another; region 0 is the start's."""

    names: tuple[str, ...]
    state: Numbers  #: (N,) of the machine
    next: Numbers  #: (N, S) the region that follows
    output: Numbers  #: (N,) of the symbol by which it is entered; `OPEN` where nothing is asked
    symbol: Numbers  #: (N,) by which it is entered; -1 for the start


def by_history(machine: Machine, length: int) -> Plan:
    """A region for each history of up to `length` >= 1 symbols that the machine can have."""
    start: tuple[int, tuple[int, ...]] = (0, ())  # the state before the symbols that are kept
    order, number, next_, ends = [start], {start: 0}, [], [(0, -1)]
    for before, word in order:  # grows while it is read
        state, row = _after(machine, before, word), []
        for a in range(len(machine.symbols)):
            longer = (*word, a)
            dropped, kept = longer[:-length], longer[-length:]
            key = _after(machine, before, dropped), kept
            if key not in number:
                number[key] = len(order)
                order.append(key)
                ends.append((state, a))
            row.append(number[key])
        next_.append(row)
    return Plan(
        names=tuple(_name(machine, *key) for key in order),
        state=np.array([_after(machine, *key) for key in order]),
        next=np.array(next_),
        output=np.array([OPEN, *(_asked(machine, q, a) for q, a in ends[1:])]),
        symbol=np.array([a for _, a in ends]),
    )


def _asked(machine: Machine, state: int, symbol: int) -> int:
    output = machine.output[state][symbol]
    return OPEN if output is None else output


def _after(machine: Machine, state: int, word: tuple[int, ...]) -> int:
    for a in word:
        state = machine.delta[state][a]
    return state


def _name(machine: Machine, before: int, word: tuple[int, ...]) -> str:
    if not word:
        return "start"
    return f"{machine.states[before]}; {' '.join(machine.symbols[a] for a in word)}"


# Splitting ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Seen:
    """Hidden states that the network was seen in, and what follows them."""

    h: Array  #: (P, H); the start is the first
    region: Numbers  #: (P,) where each belongs, in some plan
    follower: Numbers  #: (P, S) the one of them that is nearest to each one's image
    regions: list[tuple[Numbers, Array]]  #: of each: who is there (M,), how far apart (M, M)


@np.errstate(over="ignore", invalid="ignore")
def observe(network: Network, plan: Plan) -> Seen | None:
    """Follow words that come to every region of a plan.

    None where states grow so large that it cannot be told how far apart they are.
    """
    h, region = _states_seen(network, plan)
    S, double = plan.next.shape[1], network.astype("float64")
    follower = np.empty((len(h), S), np.intp)
    for a in range(S):
        image, into = double.step(h, np.full(len(h), a)), plan.next[region, a]
        for j in np.flatnonzero(np.bincount(into)):
            here, there = np.flatnonzero(into == j), np.flatnonzero(region == j)
            squares = (h[there] ** 2).sum(axis=1) - 2 * image[here] @ h[there].T
            if not np.isfinite(squares).all():
                return None
            follower[here, a] = there[squares.argmin(axis=1)]
    regions = []
    for j in np.flatnonzero(np.bincount(region)):
        here = np.flatnonzero(region == j)
        regions.append((here, np.abs(h[here, None] - h[None, here]).max(axis=-1)))
    return Seen(h, region, follower, regions)


def split(plan: Plan, seen: Seen, gap: float) -> Plan | None:
    """The plan with its regions split into groups of states that are `gap` apart or more.

    None where that makes too many.
    """
    group, follower = _groups(seen, gap), seen.follower
    count = -1
    while group.max() + 1 != count:  # Moore's refinement, on what was seen
        count = group.max() + 1
        if count > _MOST_REGIONS:
            return None
        group = np.unique(np.column_stack([group, group[follower]]), axis=0, return_inverse=True)[
            1
        ].ravel()
    # number the groups by their first member; the start is the first of all
    _, first, group = np.unique(group, return_index=True, return_inverse=True)
    order = np.argsort(first)
    group, first = np.argsort(order)[group], first[order]
    old = seen.region[first]
    return Plan(
        names=tuple(plan.names[i] for i in old),
        state=plan.state[old],
        next=group[follower[first]],
        output=plan.output[old],
        symbol=plan.symbol[old],
    )


def _states_seen(network: Network, plan: Plan) -> tuple[Array, Numbers]:
    """Hidden states (P, H) that the network comes to, and the regions where they belong (P,).

    After one word that leads to each region, after all short words, and along words that
    are random and, most of them, slow to change.  The start is the first.
    """
    S, double = plan.next.shape[1], network.astype("float64")
    states: list[Array] = [double.start[None]]
    regions = [np.zeros(1, np.intp)]

    entered = np.zeros((len(plan.names), len(double.start)))
    # regions are numbered breadth first: each is first entered from one with a lower number
    for j, edge in zip(*np.unique(plan.next, return_index=True), strict=True):
        entered[j] = double.step(entered[edge // S], edge % S)
    states.append(entered)
    regions.append(np.arange(len(plan.names)))

    h, region = states[0], regions[0]
    while len(h) * S <= _SHORT_WORDS and len(states) < _LENGTH:  # of one symbol few words are many
        h = np.concatenate(list(double.children(h).swapaxes(0, 1)))
        region = plan.next[region].T.ravel()
        states.append(h)
        regions.append(region)

    draws = rng.raw(0, rng.PROOF, 0, 2 * _WORDS * _LENGTH).reshape(2, _LENGTH, _WORDS)
    h, region = np.repeat(double.start[None], _WORDS, axis=0), np.zeros(_WORDS, np.intp)
    for a in sticky(S, draws, np.resize([0.0, 0.5, 0.8, 0.95], _WORDS)):
        h, region = double.step(h, a), plan.next[region, a]
        states.append(h)
        regions.append(region)

    h, region = np.concatenate(states), np.concatenate(regions)
    coarse = np.column_stack([region, np.round(h * 20)])  # states alike need not be seen twice
    first = np.sort(np.unique(coarse, axis=0, return_index=True)[1])
    by_region = first[np.argsort(region[first], kind="stable")]
    _, start = np.unique(region[by_region], return_index=True)
    rank = np.arange(len(by_region)) - np.repeat(start, np.diff([*start, len(by_region)]))
    kept = np.sort(by_region[rank < _SEEN])
    return h[kept], region[kept]


_SEEN = 64  # hidden states, at most, for each region
_SHORT_WORDS = 1_500  # all words are followed up to the length where there are so many
_WORDS, _LENGTH = 64, 60


def _groups(seen: Seen, gap: float) -> Numbers:
    """Number the groups of each region: states nearer than `gap` in every unit are in one."""
    group, count = np.empty(len(seen.h), np.intp), 0
    for here, apart in seen.regions:
        near = apart < gap
        left = np.ones(len(here), dtype=bool)
        while left.any():
            members = np.zeros(len(here), dtype=bool)
            more = np.arange(len(here)) == left.argmax()
            while (more != members).any():
                members, more = more, near[more].any(axis=0)
            group[here[members]] = count
            count, left = count + 1, left & ~members
    return group


# Closing -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Boxes:
    """A fixed point: one box for each region of a plan."""

    plan: Plan
    lower: Array  #: (N, H), multiples of 2^-BITS; infinite where nothing leads to a region
    upper: Array  #: (N, H)
    slack: float
    margin: float  #: the smallest, by floats

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Which regions have a box at all (N,): to a group that was split off, nothing may lead."""
        reached: NDArray[np.bool_] = np.all(self.lower <= self.upper, axis=1)
        return reached

    @property
    def extent(self) -> Array:
        """What |h| can reach in any of them (H,)."""
        ends: Array = np.maximum(np.abs(self.lower), np.abs(self.upper))[self.reached].max(axis=0)
        return ends


@quiet
def close(
    network: Network, plan: Plan, slack: float, watch: Watch = lambda turn, most: None
) -> Boxes | None:
    """The least boxes that hold all images grown by the slack; None if an output is in doubt.

    Of Elman's cell; of others see `_close_formula`.  `watch` is told which round it is, of at most
    how many.

    All regions that lead to one read the same symbol, so that z is bounded for each region
    before its symbol is read, and f, which is monotone, taken once for each that is entered.
    Many are entered from the same regions: of addition in base 16, whose 512 have 131,072 edges,
    from one of three sets.
    """
    if not network.elman:
        return _close_formula(network, plan, slack, watch)
    double = network.astype("float64")
    W, f = double.weights, ACTIVATIONS[network.activation].f
    grid = 2.0**BITS
    positive, negative = np.maximum(W.Whh, 0), np.minimum(W.Whh, 0)
    entered, before, sources, first_source = _sources(plan)
    drives = double.drives[plan.symbol[entered]]
    outputs = plan.output[entered]

    shape = len(plan.names), network.hidden
    lower, upper = np.full(shape, np.inf), np.full(shape, -np.inf)  # nothing is in them yet
    lower[0] = upper[0] = 0.0
    for turn in range(_ROUNDS):
        watch(turn + 1, _ROUNDS)
        empty = lower[:, :1] > upper[:, :1]
        low, high = np.where(empty, 0, lower), np.where(empty, 0, upper)
        z_low = np.where(empty, np.inf, low @ positive + high @ negative - _GUARD)
        z_high = np.where(empty, -np.inf, high @ positive + low @ negative + _GUARD)
        z_low = np.minimum.reduceat(z_low[sources], first_source)[before] + drives
        z_high = np.maximum.reduceat(z_high[sources], first_source)[before] + drives
        some = z_low[:, 0] <= z_high[:, 0]
        at = entered[some]
        new_lower, new_upper = lower.copy(), upper.copy()
        grown = f(z_low[some]) - slack - _GUARD
        new_lower[at] = np.minimum(lower[at], np.floor(grown * grid) / grid)
        grown = f(z_high[some]) + slack + _GUARD
        new_upper[at] = np.maximum(upper[at], np.ceil(grown * grid) / grid)
        margin = smallest_margin(double, new_lower[at], new_upper[at], outputs[some])
        if not margin > 0:
            return None
        if (new_lower == lower).all() and (new_upper == upper).all():
            return Boxes(plan, lower, upper, slack, margin)
        lower, upper = new_lower, new_upper
    return None


def _sources(plan: Plan) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """From which regions each is entered.

    Those that are entered (M,); which set of regions leads to each (M,); the sets one after
    another; and where in these each begins.
    """
    order = np.argsort(plan.next, axis=None, kind="stable")  # edges by where they lead
    entered, first_edge = np.unique(plan.next.ravel()[order], return_index=True)
    number: dict[bytes, int] = {}
    sets: list[Numbers] = []
    before = np.empty(len(entered), np.intp)
    for i, edges in enumerate(np.split(order, first_edge[1:])):
        source = edges // plan.next.shape[1]
        before[i] = number.setdefault(source.tobytes(), len(sets))
        if before[i] == len(sets):
            sets.append(source)
    begins = np.cumsum([0, *(len(source) for source in sets[:-1])])
    return entered, before, np.concatenate(sets), begins


def _close_formula(network: Network, plan: Plan, slack: float, watch: Watch) -> Boxes | None:
    """The same for any formula: the enclosures of one step, from every region on every edge.

    Boxes of gated cells creep, their growth geometric: now and then the limit is guessed from
    two rounds (Aitken 1926), the jump at most a quarter of the width, and the rounds go on.
    """
    double, reading, grid = network.astype("float64"), Enclosure(), 2.0**BITS
    D = len(network.start)
    lower = np.full((len(plan.names), D), np.inf)  # nothing is in them yet
    upper = -lower
    lower[0] = np.floor(double.start * grid) / grid
    upper[0] = np.ceil(double.start * grid) / grid
    older = lower, upper
    each = max(1, _AT_ONCE // (D * plan.next.shape[1]))  # regions, whose images fit in memory
    for turn in range(_ROUNDS_OF_GATES):
        watch(turn + 1, _ROUNDS_OF_GATES)
        some = np.flatnonzero(lower[:, 0] <= upper[:, 0])
        new_lower, new_upper, entered = lower.copy(), upper.copy(), np.zeros(len(lower), bool)
        for part in np.array_split(some, -(-len(some) // each)):
            image = double.enclose(reading, Box(l=lower[part], u=upper[part]))
            into = plan.next[part].ravel()
            order = np.argsort(into, kind="stable")  # edges by where they lead
            at, first_edge = np.unique(into[order], return_index=True)
            low = np.floor((image.l.reshape(-1, D) - slack - _GUARD) * grid) / grid
            high = np.ceil((image.u.reshape(-1, D) + slack + _GUARD) * grid) / grid
            if not (np.isfinite(low).all() and np.isfinite(high).all()):
                return None
            new_lower[at] = np.minimum(new_lower[at], np.minimum.reduceat(low[order], first_edge))
            new_upper[at] = np.maximum(new_upper[at], np.maximum.reduceat(high[order], first_edge))
            entered[at] = True
        at = np.flatnonzero(entered)
        margin = smallest_margin(double, new_lower[at], new_upper[at], plan.output[at])
        if not margin > 0:
            return None
        if (new_lower == lower).all() and (new_upper == upper).all():
            return Boxes(plan, lower, upper, slack, margin)
        if turn % _LEAP == _LEAP - 1:
            full = new_lower <= new_upper
            quarter = np.where(full, new_upper, 0) / 4 - np.where(full, new_lower, 0) / 4
            guess = new_lower - _ahead(older[0], lower, new_lower, quarter)
            new_lower = np.floor(guess * grid) / grid
            guess = new_upper + _ahead(older[1], upper, new_upper, quarter)
            new_upper = np.ceil(guess * grid) / grid
        older, lower, upper = (lower, upper), new_lower, new_upper
    return None


@np.errstate(invalid="ignore", divide="ignore")
def _ahead(older: Array, old: Array, new: Array, most: Array) -> Array:
    """How much further ends will move that moved geometrically from `older` to `old` to `new`."""
    ratio = (new - old) / (old - older)
    left = np.abs(new - old) * ratio / (1 - ratio)
    sound = np.isfinite(left) & (ratio > 0) & (ratio < 1)
    return np.where(sound, np.minimum(left, most), 0.0)


_AT_ONCE = 2**20  # ends of images, of which an enclosure keeps some 16 numbers each
_LEAP = 8  # rounds after which the limit is guessed
_ROUNDS_OF_GATES = 150


def smallest_margin(double: Network, lower: Array, upper: Array, outputs: Numbers) -> float:
    """The smallest margin of the readout over boxes (N, H) that are to answer `outputs` (N,).

    Of a network in float64.  Infinity where none of them is asked anything.
    """
    asked = outputs != OPEN
    lower, upper, outputs = lower[asked], upper[asked], outputs[asked]
    if not len(outputs):
        return np.inf
    c, r, Why, by = double.enclose_readout(Enclosure(), Box(l=lower, u=upper))
    if by.size == 1:
        sign = np.where(outputs == 1, 1.0, -1.0)
        return float((sign * (c @ Why + by)[:, 0] - (r @ np.abs(Why))[:, 0]).min())
    smallest: list[float] = []
    for y in np.unique(outputs):
        others = np.arange(by.size) != y
        pairs, bias = Why[:, [y]] - Why[:, others], by[y] - by[others]
        some = outputs == y
        smallest.append(float((c[some] @ pairs + bias - r[some] @ np.abs(pairs)).min()))
    return float(np.min(smallest))  # which, unlike Python's, passes on what is not a number


def certificate(network: Network, boxes: Boxes) -> BoxCertificate:
    """Boxes as exact numbers.  Regions that nothing leads to are left out."""
    plan, grid = boxes.plan, 2**BITS
    kept = np.flatnonzero(boxes.reached)
    number = np.cumsum(np.isin(np.arange(len(plan.names)), kept)) - 1
    lower, upper = ((side[kept] * grid).astype(int).tolist() for side in (boxes.lower, boxes.upper))
    next_ = number[plan.next[kept]].tolist()
    return BoxCertificate(
        **network.about,
        bits=BITS,
        slack=int(boxes.slack * grid / (1 if network.elman else 2)),
        regions=tuple(
            Region(plan.names[i], int(plan.state[i]), tuple(low), tuple(high), tuple(row))
            for i, low, high, row in zip(kept, lower, upper, next_, strict=True)
        ),
    )
