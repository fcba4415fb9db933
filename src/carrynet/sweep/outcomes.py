"""What becomes of the networks of a sweep: the outcomes that are counted, and what they are called.

A network diverges, or is trained.  Then it may be right on all problems of the exhaustive
evaluation, and proved, refuted or undecided; right there and yet refuted is one more outcome.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

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
        "proved": Called("proved", "proved for every length"),
        "refuted": Called("refuted", "refuted"),
        "undecided": Called("undecided", "undecided"),
        "refuted_beyond": Called("right, yet refuted", "right, yet refuted"),
    }
)
"""By name, in the order of a table's columns."""

BY_WEIGHT = ("right", "proved", "refuted_beyond", "refuted", "undecided", "diverged")
"""The order in which they are shown: what is asked first comes first."""


def of(outcome: Any, verdict: Any, right: Any) -> dict[str, Any]:
    """Which of OUTCOMES a row's columns say, or those of many rows, as arrays.

    `right` is whether all problems of the exhaustive evaluation were.
    """
    verdicts = {name: verdict == name for name in VERDICTS}
    beyond = right & verdicts["refuted"]
    return {"diverged": outcome == "diverged", "right": right, **verdicts, "refuted_beyond": beyond}


def asked(plan: Plan) -> dict[str, bool]:
    """Which of OUTCOMES a plan asks for."""
    tested, judged = plan.settings.exhaustive > 0, plan.settings.proof is not None
    known = {"diverged": True, "right": tested, "refuted_beyond": tested and judged}
    return {outcome: known.get(outcome, judged) for outcome in OUTCOMES}
