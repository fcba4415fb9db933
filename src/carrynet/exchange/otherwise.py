"""The same arrays as others would read them: what libraries mix up, and exporters write wrongly."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from carrynet.exchange.layered import Layered, Recurrent, added

_REORDERED: Mapping[str, tuple[tuple[str, Mapping[str, str]], ...]] = MappingProxyType(
    {
        # new gate: the one whose place it takes
        "gru": (("gates r and z exchanged", {"r": "z", "z": "r"}),),
        "lstm": (
            ("gates in ONNX's order", {"o": "f", "f": "g", "g": "o"}),
            ("gates in PyTorch's order", {"f": "o", "g": "f", "o": "g"}),
        ),
    }
)


def other_readings(layers: Layered) -> dict[str, Layered]:
    """The same arrays as others would read them: by what each does otherwise.

    Gates in another order, a GRU whose reset comes on the other side of the product, both, and
    one whose update gate keeps where it renews; and relu for tanh in Elman's cells.
    """
    found: dict[str, Layered] = {}

    def add(name: str, change: Callable[[Recurrent], Recurrent]) -> None:
        changed = tuple(change(each) for each in layers.recurrent)
        if any(new is not old for new, old in zip(changed, layers.recurrent, strict=True)):
            found[name] = replace(layers, recurrent=changed)

    grus = [each.cell for each in layers.recurrent if each.cell.startswith("gru")]
    if grus:
        side = "before" if grus[0] == "gru" else "after"
        add(f"reset {side} the product", _reset_elsewhere)
    for cell, ways in _REORDERED.items():
        for name, places in ways:
            add(name, lambda each, c=cell, p=places: _reordered(each, c, p))  # type: ignore[misc]
    if grus:
        exchanged = dict(_REORDERED["gru"][0][1])
        both = f"reset {side} the product, gates r and z exchanged"
        add(both, lambda each: _reset_elsewhere(_reordered(each, "gru", exchanged)))
        add("update gate the other way round", _update_turned)
    for one, other in (("tanh", "relu"), ("relu", "tanh")):
        add(f"activation {other}", lambda each, a=one, b=other: _activated(each, a, b))  # type: ignore[misc]
    return found


def _reset_elsewhere(layer: Recurrent) -> Recurrent:
    if not layer.cell.startswith("gru"):
        return layer
    weights = dict(layer.weights)
    if layer.cell == "gru":
        summed = weights["bn"], weights.pop("bhn")
        weights["bn"] = added(*summed)
        return replace(layer, cell="gru-reset-before", weights=weights, summed=summed)
    weights["bn"], weights["bhn"] = layer.summed or (weights["bn"], np.zeros_like(weights["bn"]))
    return replace(layer, cell="gru", weights=weights, summed=None)


def _reordered(layer: Recurrent, cell: str, places: Mapping[str, str]) -> Recurrent:
    if not layer.cell.startswith(cell):
        return layer
    weights = dict(layer.weights)
    for name in layer.weights:
        head, gate = name[:-1], name[-1]
        if gate in places and head in ("Wx", "Wh", "b"):
            weights[name] = layer.weights[head + places[gate]]
    return replace(layer, weights=weights)


def _update_turned(layer: Recurrent) -> Recurrent:
    """1 - z for z, which is the sigmoid of the negated sum."""
    if not layer.cell.startswith("gru"):
        return layer
    turned = {name: -layer.weights[name] for name in ("Wxz", "Whz", "bz")}
    return replace(layer, weights={**layer.weights, **turned})


def _activated(layer: Recurrent, one: str, other: str) -> Recurrent:
    return (
        replace(layer, activation=other)
        if (layer.cell, layer.activation) == ("elman", one)
        else layer
    )
