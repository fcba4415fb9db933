"""Networks whose mechanism is known, and what extraction, principal components and probes find.

    uv run python studies/compiled/lab.py > studies/compiled/table.csv

Of each machine and cell there are three networks: `compiled`, where a unit stands for a pair of a
state and a symbol; `obscured`, the same mechanism in units that are shuffled, tripled, flipped,
disturbed by 5 % and beside eight that mean nothing; and `trained` by examples and hardened, whose
mechanism nobody knows.  Each is asked:

    extracted     how many states the machine has that queries find, and whether it is the right one
    plane         how much of the variance is in two principal components; how many have 95 %
    plane_tells   in how many cases the nearest mean in that plane tells the machine's state
    probe         in how many cases a linear probe, least squares on half of the cases, tells it
    unit          in how many cases the best single unit tells it
    true          the part of the units that mean something: what an answer by chance would have
    plane_true    the part of the plane's loadings that is on them
    probe_true    the part of the probe's weights that is on them, each by what its unit varies

Shapes: N cases, H units, Q states.
"""

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.judge import extraction
from carrynet.learn import compile as compiler, training
from carrynet.learn.mechanism import Construction, Mechanism
from carrynet.nets.network import Network
from carrynet.proof import search
from carrynet.report.space import principal_plane, visited
from carrynet.spec import recipe as recipes, tasks

Array = NDArray[np.float64]

MACHINES = ("add", "parity", "tomita:4", "tomita:6", "cycle:5")
CELLS = ("elman", "gru", "lstm")
KINDS = ("compiled", "obscured", "trained")
OBSCURED = {"shuffle": True, "copies": 3, "spare": 8, "flip": True, "noise": 0.05}
COLUMNS = (
    *("machine", "cell", "kind", "units", "verdict", "states", "extracted", "same"),
    *("plane", "components", "plane_tells", "probe", "unit", "true", "plane_true", "probe_true"),
)


@dataclass(frozen=True)
class Subject:
    """A network, and what is known of it: None of one that was trained."""

    network: Network
    mechanism: Mechanism | None


def subject(machine: str, cell: str, kind: str, seed: int = 0) -> Subject:
    """The network of a kind; see above."""
    if kind == "trained":
        recipe = recipes.get("certified").with_settings(
            {"task": machine, "cell": cell, "hidden": 32, "seed": seed}
        )
        return Subject(training.fit(recipe), None)
    hidden: dict[str, Any] = OBSCURED if kind == "obscured" else {}
    how = Construction(cell=cell, seed=seed, **hidden)
    return Subject(*compiler.build(tasks.parse(machine), how))


def meaning(mechanism: Mechanism) -> NDArray[np.bool_]:
    """Which units (H,) mean something: all but the spare ones."""
    units = sorted(mechanism.units, key=lambda unit: unit.unit)
    return np.array([unit.role != "spare" for unit in units])


def probe(h: Array, state: NDArray[np.int32], states: int) -> Array:
    """Weights (H + 1, Q) of a linear probe by least squares, to one for the state and else zero."""
    wanted = (state[:, None] == np.arange(states)).astype(np.float64)
    found, *_ = np.linalg.lstsq(with_one(h), wanted, rcond=1e-6)
    return found


def with_one(h: Array) -> Array:
    """Cases (N, H) with a column of ones."""
    return np.concatenate([h, np.ones((len(h), 1))], axis=1)


def nearest(points: Array, state: NDArray[np.int32], states: int) -> float:
    """In how many cases of the second half the nearest mean of the first half tells the state."""
    half = len(points) // 2
    there = [q for q in range(states) if (state[:half] == q).any()]
    means = np.array([points[:half][state[:half] == q].mean(axis=0) for q in there])
    away = ((points[half:, None] - means) ** 2).sum(axis=-1)
    return float((np.array(there)[away.argmin(axis=1)] == state[half:]).mean())


def asked(given: Subject) -> dict[str, Any]:
    """What the methods find."""
    network, states = given.network, len(given.network.task.machine.states)
    h, state = visited(network)
    order = np.random.default_rng(0).permutation(len(h))
    h, state = h[order], state[order]
    half, plane = len(h) // 2, principal_plane(h)
    variance = np.linalg.svd(h - h.mean(axis=0), compute_uv=False) ** 2
    weights = probe(h[:half], state[:half], states)
    told = (with_one(h[half:]) @ weights).argmax(axis=1) == state[half:]
    machine = extraction.extract(network).machine
    found = {
        "units": network.hidden,
        "verdict": search.prove(network).verdict,
        "states": states,
        "extracted": len(machine.states),
        "same": extraction.compare(network, machine).word is None,
        "plane": plane.shares.sum(),
        "components": int((variance.cumsum() / variance.sum() < 0.95).sum()) + 1,
        "plane_tells": nearest(plane(h), state, states),
        "probe": told.mean(),
        "unit": max(nearest(h[:, [i]], state, states) for i in range(network.hidden)),
    }
    if given.mechanism is not None:
        true = meaning(given.mechanism)
        size = (weights[:-1] * h.std(axis=0)[:, None]) ** 2
        found |= {
            "true": true.mean(),
            "plane_true": (plane.axes[:, true] ** 2).sum() / (plane.axes**2).sum(),
            "probe_true": size[true].sum() / size.sum(),
        }
    return found


def rows() -> Iterator[dict[str, Any]]:
    """A row for each network."""
    for machine in MACHINES:
        for cell in CELLS:
            for kind in KINDS:
                found = asked(subject(machine, cell, kind))
                short = {k: f"{v:.3f}" if isinstance(v, float) else v for k, v in found.items()}
                yield {"machine": machine, "cell": cell, "kind": kind, **short}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        raise SystemExit("usage: python studies/compiled/lab.py > table.csv")
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows())
