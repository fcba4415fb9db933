"""What becomes of the networks of a sweep: the outcomes that are counted, and what they are called.

A network diverges, or is trained.  Then it may be right on all problems of the exhaustive
evaluation, and on all that were drawn; and proved, refuted or undecided.  Right on all problems
and yet refuted is one more outcome.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.judge.evaluation import KINDS
from carrynet.sweep.plan import Plan

VERDICTS = ("proved", "refuted", "undecided")


class Called(NamedTuple):
    """What an outcome is called."""

    head: str  #: of a column
    title: str  #: of a figure


OUTCOMES: Mapping[str, Called] = MappingProxyType(
    {
        "diverged": Called("diverged", "diverged in training"),
        "right": Called("right on all problems", "right on all problems"),
        "sampled": Called("right on samples", "right on all samples"),
        "proved": Called("proved", "proved for every length"),
        "refuted": Called("refuted", "refuted"),
        "undecided": Called("undecided", "undecided"),
        "refuted_beyond": Called("right, yet refuted", "right, yet refuted"),
    }
)
"""By name, in the order of a table's columns."""

BY_WEIGHT = ("right", "sampled", "proved", "refuted_beyond", "refuted", "undecided", "diverged")
"""The order in which they are shown: what is asked first comes first."""


def needed(plan: Plan) -> tuple[str, ...]:
    """The columns that say which outcomes a network has."""
    pairs = ("exhaustive_right", "exhaustive_pairs"), *_samples(plan)
    return ("outcome", "verdict", *(column for pair in pairs for column in pair))


def of(plan: Plan, rows: Any) -> dict[str, NDArray[np.bool_]]:
    """Which of OUTCOMES each of some rows has: a pyarrow table with the columns `needed`."""

    def all_right(right: str, pairs: str) -> NDArray[np.bool_]:
        # what is null is not a number in NumPy, and equal to none
        return np.asarray(rows[right].to_numpy() == rows[pairs].to_numpy(), bool)

    verdict, right = rows["verdict"].to_numpy(), all_right("exhaustive_right", "exhaustive_pairs")
    diverged = rows["outcome"].to_numpy() == "diverged"
    sampled = ~diverged & np.all([all_right(*pair) for pair in _samples(plan)], axis=0)
    verdicts = {name: verdict == name for name in VERDICTS}
    beyond = right & verdicts["refuted"]
    found = {"diverged": diverged, "right": right, "sampled": sampled}
    return {**found, **verdicts, "refuted_beyond": beyond}


def _samples(plan: Plan) -> list[tuple[str, str]]:
    """The columns of each sample: how many problems are right, of how many."""
    lengths = plan.settings.lengths
    return [(f"{k}_{n}_right", f"{k}_{n}_pairs") for n in lengths for k in KINDS]


def asked(plan: Plan) -> dict[str, bool]:
    """Which of OUTCOMES a plan asks for."""
    tested, judged = plan.settings.exhaustive > 0, plan.settings.proof is not None
    known = {"diverged": True, "right": tested, "refuted_beyond": tested and judged}
    known |= {"sampled": bool(plan.settings.lengths)}
    return {outcome: known.get(outcome, judged) for outcome in OUTCOMES}
