"""Layers in a row, where a file does not tell it all: which comes where."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations

from carrynet.errors import InputError, shorten
from carrynet.exchange.layered import OPTIONAL, UNKNOWN, Layer, Layered, Linear, Recurrent
from carrynet.nets.arrays import Array

LAST = "the answer is the one after the last symbol, and is taken after each"
MOST_ORDERED = 6  #: layers whose names do not tell their order
MOST_WAYS = 1_000  #: of which more are not told apart


def arranged(
    embeddings: Mapping[str, Array],
    linear: Mapping[str, Linear],
    cells: Mapping[str, Recurrent],
) -> Layered:
    """The one way in which layers by name fit onto each other.

    Numbers in names tell an order, shapes tell the rest; a network ends in a linear layer if it
    can.  Raises `InputError` where there is no way, or several.
    """
    if not cells:
        raise InputError("there is no recurrent layer")
    if len(embeddings) > 1:
        raise InputError(f"there are {len(embeddings)} embeddings: {_listed(embeddings)}")
    embedding = next(iter(embeddings.values()), None)
    width = None if embedding is None else [embedding.shape[1]]
    ways = ways_through(linear, cells, width, None)
    ways = [way for way in ways if way[2]] or ways
    names = _listed([*embeddings, *cells, *linear])
    if not ways:
        raise InputError(f"there is no order in which its layers fit onto each other: {names}")
    if len(ways) > 1:
        raise InputError(f"its layers fit onto each other in {len(ways)} orders: {names}")
    before, order, head = ways[0]
    return Layered(
        tuple(cells[name] for name in order),
        (OPTIONAL, *_with_activations([linear[name] for name in head])) if head else (),
        (*_with_activations([linear[name] for name in before]), OPTIONAL) if before else (),
        embedding,
    )


def _with_activations(layers: list[Linear]) -> tuple[Layer, ...]:
    """Linear layers, and between them activations that the file does not tell."""
    found: list[Layer] = []
    for layer in layers:
        found += [UNKNOWN, layer] if found else [layer]
    return tuple(found)


Way = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""The names of linear layers before the cells, of the cells, and of linear layers after them."""


def ways_through(
    linear: Mapping[str, Linear],
    cells: Mapping[str, Recurrent],
    inputs: Sequence[int] | None,
    outputs: Sequence[int] | None,
) -> list[Way]:
    """Every way in which layers fit onto each other, by widths and by the numbers in names.

    `inputs` are the widths that may come in, `outputs` those that may come out; None is any.
    Raises `InputError` where there are more than `MOST_WAYS`.
    """
    stacks = [order for order in _orders(list(cells)) if _fits(None, [], [cells[n] for n in order])]
    chains = list(_orders(list(linear)))
    ends = {cells[order[-1]].hidden for order in stacks}
    heads = {
        H: [
            (c[:k], c[k:])
            for c in chains
            for k in range(len(c) + 1)
            if _led(linear, H, c[k:], outputs)
        ]
        for H in ends
    }
    ways: list[Way] = []
    for order in stacks:
        below = [cells[n] for n in order]
        for before, head in heads[below[-1].hidden]:
            if _fits(inputs, [linear[n] for n in before], below):
                ways.append((before, order, head))
            if len(ways) > MOST_WAYS:
                raise InputError(
                    f"its layers fit onto each other in more than {MOST_WAYS:,} orders: "
                    f"{_listed([*cells, *linear])}"
                )
    return ways


def _led(
    linear: Mapping[str, Linear], width: int, names: Sequence[str], outputs: Sequence[int] | None
) -> bool:
    """Whether linear layers lead from a width to one that may come out."""
    return _fits([width], [linear[name] for name in names], [], outputs)


def _orders(names: list[str]) -> Iterator[tuple[str, ...]]:
    """The orders that names leave open: those that differ in a number only come by that."""
    keys = {name: natural(name) for name in names}
    stems = {name: tuple(stem for stem, _ in key) for name, key in keys.items()}
    groups = {
        stem: sorted((n for n in names if stems[n] == stem), key=keys.__getitem__)
        for stem in stems.values()
    }
    if len(groups) <= 1:
        yield tuple(sorted(names, key=keys.__getitem__))
        return
    if len(names) > MOST_ORDERED:
        raise InputError(f"the names of {len(names)} layers do not tell their order")
    seen = set()
    for places in permutations([stems[name] for name in sorted(names)]):
        if places not in seen:
            seen.add(places)
            left = {stem: iter(group) for stem, group in groups.items()}
            yield tuple(next(left[stem]) for stem in places)


def natural(name: str) -> list[tuple[str, int]]:
    """The parts of a name, each without the number that it ends in, and with it."""
    found = []
    for part in re.split(r"[./]", name):
        stem = re.sub(r"_?\d{1,9}$", "", part)
        # `dense` comes before `dense_1`
        found.append((stem, int(re.sub(r"\D", "", part[len(stem) :]) or -1)))
    return found


def _fits(
    inputs: Sequence[int] | None,
    linear: list[Linear],
    cells: list[Recurrent],
    outputs: Sequence[int] | None = None,
) -> bool:
    """Whether layers chain, from one of some widths to one of others."""
    sizes = [(each.weight.shape[0], each.width) for each in linear]
    sizes += [(each.inputs, each.hidden) for each in cells]
    for entering, leaving in sizes:
        if inputs is not None and entering not in inputs:
            return False
        inputs = [leaving]
    return outputs is None or inputs is None or any(width in outputs for width in inputs)


def _listed(names: Iterable[str]) -> str:
    return shorten(", ".join(names))
