"""The regions of a task's machine, and the edges between them: what boxes and images are of.

A region is the start, or a state together with the symbol by which it is entered.  Shapes:
E edges, R regions, Q states of the machine, S symbols.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.data.words import tables
from carrynet.spec.task import Task

Numbers = NDArray[np.intp]


class Edges(NamedTuple):
    """Some edges of a task's machine, or rows of them."""

    source: Numbers  #: (..., E) the region it comes from
    symbol: Numbers  #: (..., E)
    target: Numbers  #: (..., E) the region that it leads to
    output: Numbers  #: (..., E) `OPEN` where nothing is asked
    state: Numbers  #: (..., E) the machine's next
    weight: NDArray[np.floating]  #: (..., E) how much each counts in its row's average; together 1

    def row(self, number: int) -> "Edges":
        """One row of them."""
        return Edges(*(each[number] for each in self))


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of a task's machine: the start, and every state with a symbol that enters it.

    Between them there are R S edges, far too many to list for large alphabets: edge r S + a is
    the one from region r by symbol a.
    """

    task: Task
    state: Numbers  #: (R,) of the machine; region 0 is the start's
    entered: Numbers  #: (Q, S) the region of a state and the symbol by which it was entered
    source: Numbers  #: (R,) the first region from which each is reached, which is before it
    symbol: Numbers  #: (R,) the symbol by which it is entered; -1 for the start

    @property
    def count(self) -> int:
        """R, the number of regions."""
        return len(self.state)

    @property
    def edge_count(self) -> int:
        """R S, the number of edges."""
        return self.count * self.entered.shape[1]

    def after(self, region: Numbers, symbol: Numbers) -> Numbers:
        """The regions that symbols lead to."""
        return self.entered[tables(self.task).delta[self.state[region], symbol], symbol]

    def edges(self, numbers: Numbers) -> Edges:
        """The edges of some numbers, (..., E)."""
        table = tables(self.task)
        source, symbol = np.divmod(numbers, self.entered.shape[1])
        before = self.state[source]
        return Edges(
            source=source,
            symbol=symbol,
            target=self.after(source, symbol),
            output=table.output[before, symbol].astype(np.intp),
            state=table.delta[before, symbol].astype(np.intp),
            weight=self._weight(source),
        )

    def some(self, draws: NDArray[np.floating]) -> Edges:
        """As many edges at random, by numbers from 0 to 1: of the start no less than its share.

        So in each row of draws (..., E).
        """
        numbers = (draws * self.edge_count).astype(np.intp)  # there may be 2^36 of them
        symbols = self.entered.shape[1]
        of_start = min(symbols, draws.shape[-1] // (1 + len(self.entered)))
        numbers[..., :of_start] = draws[..., :of_start] * symbols
        return self.edges(numbers)

    def _weight(self, source: Numbers) -> NDArray[np.floating]:
        """Equal shares for the start and for each state; in it, for each edge."""
        rows = source.reshape(-1, source.shape[-1])
        group = np.where(rows == 0, 0, 1 + self.state[rows])
        group += np.arange(len(rows))[:, None] * (1 + len(self.entered))
        weight = 1 / np.bincount(group.ravel())[group]
        return (weight / weight.sum(axis=-1, keepdims=True)).reshape(source.shape)


@cache
def regions(task: Task) -> Regions:
    """All regions that words come to, in the order in which they are reached."""
    delta = tables(task).delta
    entered = np.full(delta.shape, -1, np.intp)
    order, source, known = [(0, -1)], [0], set[int]()
    for i, (q, _) in enumerate(order):  # grows while it is read
        if q in known:
            continue  # another region of this state has led to all that it leads to
        known.add(q)
        for a, state in enumerate(delta[q].tolist()):
            if entered[state, a] < 0:
                entered[state, a] = len(order)
                order.append((state, a))
                source.append(i)
    state, symbol = np.array(order, np.intp).T
    return Regions(task, state, entered, np.array(source), symbol)
