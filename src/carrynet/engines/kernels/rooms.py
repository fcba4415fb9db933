"""Arrays of a kernel's own, one after another in `work`."""

from collections.abc import Iterable, Mapping, Sequence

from carrynet.engines.kernels.block import Block, Place
from carrynet.engines.vector import Code, Integer, Value

Room = tuple[str, str, int]
"""A name, what there is a row for, such as positions or symbols, and a row's width.

Or the name of a room before it that is the same memory.
"""


class Rooms:
    """Where they are, when it is known how many rows there are of each kind.

    `at` has the address, the row's width and the floats of each.  What belongs to a slot is called
    after its block and the slot, as in "step 12"; of gradients, "d step 12".
    """

    def __init__(self, k: Code, rooms: Iterable[Room], counts: Mapping[str, Integer]) -> None:
        self.k = k
        self.at: dict[str, tuple[Value, int, Integer]] = {}
        place: Integer = 0
        for name, kind, width in rooms:
            if kind in self.at:
                self.at[name] = self.at[kind]
                continue
            size = k.mul(counts[kind], width)
            self.at[name] = k.at(k.work, place), width, size
            place = k.add(place, k.add(size, k.lanes))

    def there(self, name: str, rows: Sequence[Integer], shift: int = 0) -> Place:
        """Some rows of an array, or what begins `shift` floats behind their beginnings."""
        pointer, width, _ = self.at[name]
        return Place(self.k.at(pointer, shift), width, rows)

    def those(self, block: str, rows: Sequence[Integer]) -> dict[int, Place]:
        """The values, or gradients, of a block's slots that have room."""
        return {
            int(name.rpartition(" ")[2]): self.there(name, rows)
            for name in self.at
            if name.rpartition(" ")[0] == block
        }

    def clear(self, name: str) -> None:
        """Fill an array with zeros."""
        pointer, _, size = self.at[name]
        clear(self.k, pointer, size)


def of_gradients(block: Block, kind: str, rows: str, values: Iterable[int]) -> list[Room]:
    """For those of a block's products and of `crossing`; some in the places of `values`."""
    taken = {p: slot for p, slot in block.in_place.items() if slot in set(values)}
    wanted = sorted({each.out for each in block.products} | block.crossing)
    places = [f"{kind} {taken[slot]}" if slot in taken else rows for slot in wanted]
    return [
        (f"d {kind} {slot}", place, block.width(slot))
        for slot, place in zip(wanted, places, strict=True)
    ]


def floats(rooms: Iterable[Room], counts: Mapping[str, int], lanes: int) -> int:
    """How many floats they all are."""
    return sum(counts[kind] * width + lanes for _, kind, width in rooms if kind in counts)


def clear(k: Code, pointer: Value, size: Integer) -> None:
    """Fill floats with zeros."""
    k.loop(size, lambda i: k.store(k.constant(0.0), pointer, i), step=k.lanes)


def along(k: Code, first: Integer, count: int) -> list[Integer]:
    """The numbers of successive rows."""
    return [k.add(first, i) for i in range(count)]
