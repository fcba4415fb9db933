"""Trees of words grown by machine code: one attempt of `trees`, of balls of one radius.

The kernel is `engines.kernels.trees`; here its arrays are laid out, and enlarged when they are
full.  An attempt may be grown a little at a time, and several side by side, in threads.

Shapes: S symbols, Q machine states, K sites, G balls, N nodes, A axes, P the hidden units padded,
L lanes.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.engines import jit, native
from carrynet.engines.packed import beside, buffer, formulas, lay_out_affine
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.proof import tree_model
from carrynet.proof.certificate import AXIS
from carrynet.proof.tree_model import TreeModel

if not jit.missing:
    from carrynet.engines import kernels
    from carrynet.engines.kernels import AffinePlan, Formulas, Layout, Shape

MOST_HIDDEN = 64
"""Of Elman's cell: beyond it NumPy's products are as fast, and the code for one factorisation grows
long.  Of others, whose products NumPy makes one by one, it is worth its while for twice as many."""

MOST_SYMBOLS = 128
MOST_NUMBERS = 2**26
"""In the words that may wait."""


def refuses(network: Network) -> str | None:
    """Why a network's trees are not grown by machine code; None if they are."""
    if reason := native.unavailable():
        return reason
    hidden, symbols = len(network.start), len(network.task.machine.symbols)
    most = MOST_HIDDEN if network.elman else 2 * MOST_HIDDEN
    if max(hidden, network.hidden) > most:
        return f"trees are grown by machine code for up to {most} hidden units"
    if symbols > MOST_SYMBOLS:
        return f"trees are grown by machine code for up to {MOST_SYMBOLS} symbols"
    shape = _shape(network)
    if isinstance(shape, Shape):
        return None
    plan = kernels.affine_plan(shape)
    width = Layout(plan.whole).width
    # parts are padded: many small ones are as long as a large one
    if width > most or not plan.takes:
        return "there is no machine code for trees of such a cell, or readout"
    if _most_words(symbols) * width * (1 + width) > MOST_NUMBERS:
        return "trees are grown by machine code for fewer units, or fewer symbols"
    return None


def build(network: Network) -> None:
    """Build the machine code, unless it is there: it takes up to some seconds, once."""
    if refuses(network) is None:
        jit.function("trees", _shape(network))


def _most_words(symbols: int) -> int:
    """How many may wait: of every symbol of the longest all others, of every cut the other part."""
    depth = tree_model.MOST_DEPTH
    return depth * (symbols - 1) + depth // kernels.CUT_EVERY + symbols + 1


def _shape(network: Network) -> "Shape | Formulas":
    """What the kernel is made for."""
    widest = max(network.widths)
    lanes = max(4, min(jit.processor().lanes, 1 << (widest - 1).bit_length()))  # little padding
    if not network.elman:
        return replace(formulas(network), lanes=lanes, decision="", learned=False)
    task = network.task
    return Shape(
        *(lanes, network.hidden, 1, 1, task.neurons),
        activation=network.activation,
        readout=task.readout,
    )


class Grown:
    """Balls of one radius, found as they are needed, and the trees of words between them.

    What an attempt holds of the model alone is that of another one, if there is one.
    """

    _plan: "AffinePlan | None"

    def __init__(self, model: TreeModel, radius: float, other: "Grown | None" = None) -> None:
        self.model, self.radius, self.slack = model, radius, model.slack_of(radius)
        self.end = kernels.GROWING
        K, (Q, S), R = len(model.sites), model.delta.shape, model.rows.shape[2]
        shape, self._plan = _shape(model.single), None
        if isinstance(shape, Formulas):
            self._plan = kernels.affine_plan(shape)
            self._P = Layout(self._plan.whole).width
            parts = zip(shape.part_places, shape.parts, strict=True)
            self._units = np.concatenate([place + np.arange(size) for place, size in parts])
        else:
            self._P, self._units = Layout(shape).width, np.arange(shape.hidden)
        self._L, self.symbols = shape.lanes, S
        self.most_nodes = tree_model.most_nodes(S)
        self._turns = max(4, min(512, _PRODUCTS // (S * self._P**3)))
        self._code = jit.function("trees", shape)
        waiting, record = _most_words(S), self._P * (1 + self._P)
        self._sizes = {"S": S, "R": R, "sites": K, "most_depth": tree_model.MOST_DEPTH}
        self._facts: dict[str, NDArray[Any]] = other._facts if other else self._laid_out(model)
        self._arrays: dict[str, NDArray[Any]] = {
            **self._facts,
            "limits": _copied([radius, self.slack + tree_model.LOST, *_LIMITS.values()]),
            "tally": _copied([name == "balls" for name in kernels.TALLY], np.int64),  # the start
            "counts": buffer(K + Q, np.int64),
            "heads": _copied(np.full(K + Q, -1), np.int32),
            "order": _copied(np.arange(waiting), np.int32),
            "words": buffer(waiting * record),
            "tags": buffer(waiting * len(kernels.TAGS), np.int32),
            "traces": buffer(waiting),
            "work": buffer(kernels.trees_room(shape)),
        }
        self._enlarge(nodes=2**10, balls=2**8, axes=2**8)
        self._arrays["centres"][0, self._units] = model.single.start
        self._list_sites(model)

    def grow(self, nodes: int, stop: Callable[[], bool]) -> None:
        """Grow until there are so many nodes, or all trees end, or it is seen that they will not.

        `stop` is asked every few hundredths of a second.
        """
        while self.goes_on and self.made[0] < nodes and not stop():
            if self.end == kernels.FULL:
                room = {name: self._sizes[f"most_{name}"] for name in ("nodes", "balls", "axes")}
                for name, most in room.items():  # for what may follow a node
                    room[name] = most * (2 if self._count(name) + self.symbols > most else 1)
                self._enlarge(**room)
            turns = min(nodes - self.made[0], self._turns)
            self._code(**self._arrays, **self._sizes, turns=turns)
            self.end = self._count("status")

    @property
    def made(self) -> tuple[int, int]:
        """How many nodes and balls there are."""
        return self._count("nodes"), self._count("balls")

    @property
    def begun(self) -> tuple[int, int]:
        """How many balls' trees were begun, out of how many so far."""
        return self._count("grown"), self._count("balls")

    @property
    def closed(self) -> bool:
        """Whether all trees end."""
        return self.end == kernels.CLOSED

    @property
    def goes_on(self) -> bool:
        """Whether all trees may yet end."""
        full = self.end == kernels.FULL and self.made[0] < self.most_nodes
        return full or self.end == kernels.GROWING

    def _count(self, name: str) -> int:
        return int(self._arrays["tally"][kernels.TALLY.index(name)])

    def _enlarge(self, nodes: int, balls: int, axes: int) -> None:
        """Room for more nodes, balls and axes, with what was there."""
        P, L, S, lists = self._P, self._L, self.symbols, len(self._arrays["counts"])
        # no list has more than one block that is not full
        blocks = (balls + self._sizes["sites"]) // (4 * L) + lists
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "next": ((nodes, S), np.int32),
            "cuts": ((nodes,), np.int32),
            "axes": ((axes, P), np.float32),
            "roots": ((balls,), np.int32),
            "labels": ((balls,), np.int32),
            "homes": ((balls,), np.int32),
            "centres": ((balls, P), np.float32),
            "places": ((balls, P), np.float32),
            "chain": ((blocks,), np.int32),
            "numbers": ((blocks, 4 * L), np.int32),
            "near": ((blocks, 4, P, L), np.float32),
        }
        for name, (shape, kind) in shapes.items():
            array = buffer(int(np.prod(shape)), kind).reshape(shape)
            if name == "near":
                array[:] = _FAR  # of entries that are not there yet
            old = self._arrays.get(name)
            if old is not None:
                array[tuple(map(slice, old.shape))] = old
            self._arrays[name] = array
        self._sizes |= {"most_nodes": nodes, "most_balls": balls, "most_axes": axes}

    # Layout ------------------------------------------------------------------------------

    def _laid_out(self, model: TreeModel) -> dict[str, NDArray[Any]]:
        """What is the model's alone."""
        single, units = model.single, self._units
        if self._plan is None:
            Whh = single.weights.Whh
            weights, drives = self._matrices(np.stack([Whh, Whh.T])), self._rows(single.drives)
        else:
            weights = lay_out_affine(single.weights, self._plan)
            drives = beside(single.every_drive, lanes=self._L)
        ball = self._matrices(model.ball)
        padding = np.setdiff1d(np.arange(self._P), units)
        ball[:, padding, padding] = 1  # nothing is divided by zero
        t = np.sqrt(np.diagonal(model.P, axis1=1, axis2=2))
        of_ball = np.diagonal(model.ball, axis1=1, axis2=2)
        asked = model.asked[:, :, None]
        # where nothing is asked, 0 . h + 1 is positive
        rows = np.where(asked[..., None], model.rows, 0)
        width = self._P if self._plan is None else self._plan.width(self._plan.fed)
        conditions = buffer(rows[..., 0].size * width).reshape(*rows.shape[:-1], width)
        conditions[..., : rows.shape[-1]] = rows
        return {
            "weights": weights,
            "drives": drives,
            "conditions": conditions,
            "offsets": _copied(np.where(asked, model.offsets, 1)),
            "delta": _copied(model.delta, np.int32),
            "ball": ball,
            "squared": self._matrices(model.P),
            "toward": self._matrices(model.T.swapaxes(1, 2)),
            "scales": self._rows(np.stack([t, 1 / t, 1 / of_ball], axis=1)),
        }

    def _rows(self, array: Array) -> Array:
        """Vectors (..., H) of the state in rows of P."""
        rows = buffer(int(np.prod(array.shape[:-1])) * self._P)
        rows = rows.reshape(*array.shape[:-1], self._P)
        rows[..., self._units] = array
        return rows

    def _matrices(self, array: Array) -> Array:
        """Matrices (K, H, H) in some of (P, P)."""
        matrices = buffer(len(array) * self._P**2).reshape(-1, self._P, self._P)
        matrices[:, self._units[:, None], self._units] = array
        return matrices

    def _list_sites(self, model: TreeModel) -> None:
        """A list of sites for each of the machine's states, after those of the sites' balls."""
        K, in_block, arrays = len(model.sites), 4 * self._L, self._arrays
        near, tally = arrays["near"].reshape(-1, 4, self._P, self._L), arrays["tally"]
        for list_ in range(K, len(arrays["counts"])):
            numbers = np.flatnonzero(model.states == list_ - K)
            for first in range(0, len(numbers), in_block):
                block = self._count("blocks")
                arrays["chain"][block], arrays["heads"][list_] = arrays["heads"][list_], block
                for n, site in enumerate(numbers[first : first + in_block].tolist()):
                    arrays["numbers"][block, n] = site
                    near[block, n // self._L, :, n % self._L] = 0
                    near[block, n // self._L, self._units, n % self._L] = model.sites[site]
                tally[kernels.TALLY.index("blocks")] += 1
            arrays["counts"][list_] = len(numbers)

    # What was found ----------------------------------------------------------------------

    @property
    def centres(self) -> Array:
        """The balls' centres (G, H)."""
        return self._arrays["centres"][:, self._units]

    @property
    def labels(self) -> NDArray[np.int32]:
        """The balls' states (G,)."""
        return self._arrays["labels"]

    @property
    def homes(self) -> NDArray[np.int32]:
        """The sites whose metrics are the balls' (G,)."""
        return self._arrays["homes"]

    @property
    def roots(self) -> list[int]:
        """The node that begins each ball's tree (G,)."""
        roots: list[int] = self._arrays["roots"].tolist()
        return roots

    @property
    def axes(self) -> dict[int, str]:
        """The axes (H,) across which words are cut, by their nodes, as `AXIS` has them."""
        cuts = self._arrays["cuts"][: self.made[0]]
        nodes = np.flatnonzero(cuts >= 0)
        axes = self._arrays["axes"][cuts[nodes]][:, self._units].astype(int)
        letters = np.array(list(AXIS))[axes + kernels.MOST_AXIS]
        return dict(zip(nodes.tolist(), map("".join, letters), strict=True))

    @property
    def next(self) -> NDArray[np.int32]:
        """What follows each node and symbol, a node or ~ball: (N S,).

        Of a word that is cut the first two are its parts.
        """
        return self._arrays["next"].ravel()[: self.made[0] * self.symbols]


def _copied(values: Any, kind: Any = np.float32) -> NDArray[Any]:
    array = np.asarray(values)
    copy = buffer(array.size, kind)
    copy[:] = array.ravel()
    return copy


_PRODUCTS = 2**26  # multiplications between two looks at the clock, about
_FAR = 3e38
_LIMITS = {
    "within": tree_model.WITHIN,
    "open_at": tree_model.OPEN_AT,
    "opening": tree_model.OPENING,
    "open_most": tree_model.OPEN_MOST,
    "margin": tree_model.LEAST_MARGIN,
    "floor": 1e-6,
}
