"""Binary addition by networks that nobody trained, each proved: `hand.csv`.

    uv run python studies/smallest/hand.py > studies/smallest/hand.csv

Two sigmoid units are enough for Elman's cell.  With n = a + b + carry, and K large,

    carry <- sigmoid(K (a + b + carry/2 - 5/4))     near 1 where n >= 2, else near 0
    count <- sigmoid((n - 3/2) / 5)                 nearly 0.426 + 0.05 n

and the digit n - 2 carry, which is 0 or 1, is linear in both: 160 count - 16 carry - 72 is near 4
or -4.
Units by `carrynet compile`: one for each pair of a state and a symbol, and one for the start.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from carrynet.learn.compile import build
from carrynet.learn.mechanism import Construction
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from carrynet.proof import search
from carrynet.proof.verdict import Proved
from carrynet.spec import tasks

K = 40.0
HAND = {
    "Wxh": [[0.2, K], [0.2, K]],
    "Whh": [[0.0, 0.0], [0.2, K / 2]],
    "bh": [-0.3, -1.25 * K],
    "Why": [[160.0], [-16.0]],
    "by": [-72.0],
}
"""The weights by hand: rows are what a weight comes from, columns where it goes."""

COLUMNS = ("made", "cell", "units", "parameters", "not_zero", "verdict", "regions", "slack")


def networks() -> Iterator[tuple[str, str, Network]]:
    """How each is made, of which cell, and the network."""
    weights = Weights({name: np.array(rows, np.float32) for name, rows in HAND.items()})
    yield "by hand", "elman", Network(tasks.add(), "sigmoid", weights)
    for cell in ("elman", "gru", "lstm"):
        yield "compiled", cell, build(tasks.add(), Construction(cell=cell))[0]


def rows() -> Iterator[dict[str, object]]:
    """A row for each."""
    for made, cell, network in networks():
        verdict, weights = search.prove(network), network.weights.values()
        proof = verdict if isinstance(verdict, Proved) else None
        yield {
            "made": made,
            "cell": cell,
            "units": network.hidden,
            "parameters": sum(w.size for w in weights),
            "not_zero": sum(int(np.count_nonzero(w)) for w in weights),
            "verdict": verdict.verdict,
            "regions": proof and proof.regions,
            "slack": proof and float(f"{proof.slack:.3g}"),
        }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        raise SystemExit(f"usage: python studies/smallest/{Path(__file__).name}")
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows())
