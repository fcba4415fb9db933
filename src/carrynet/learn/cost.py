"""About how long updates over edges take, for who must know before: a model, not a clock."""

UPDATE, UNIT, FLOP = 1e-3, 1e-7, 6e-9
"""Seconds of an update, of each edge and hidden unit, of each weight between those units."""


def over_edges(
    edges: int, hidden: int, update: float = UPDATE, unit: float = UNIT, flop: float = FLOP
) -> float:
    """Seconds of one update over so many edges, on the NumPy engine."""
    return update + edges * hidden * (unit + hidden * flop)
