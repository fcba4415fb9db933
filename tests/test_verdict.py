"""Verdicts as JSON."""

import json

import pytest

from carrynet.judge.evaluation import wilson
from carrynet.judge.measures import Share
from carrynet.proof import verdict
from carrynet.proof.verdict import Effort, Proved, Refuted, Undecided
from tests.test_certificate import CERTIFICATE

VERDICTS: list[verdict.Verdict] = [
    Proved("boxes", 2, 0.125, 3.5, 0.1, CERTIFICATE),
    Refuted((3, 2**80), 81, 80, 7, 9, True, 0.2),
    Refuted((3, 1), 2, 1, 7, 9, False, 0.2, "carry 1", "1,0", (Share(16, 64, 3), Share(64, 8, 8))),
    Undecided(("boxes: no", "trees: too many"), 10.0),
    Undecided(("boxes: no",), 10.0, Effort(10.0, 5, 7, over=False, rate=1e6, expected=25.5)),
]


@pytest.mark.parametrize("found", VERDICTS, ids=lambda v: v.verdict)
def test_json_and_back(found: verdict.Verdict) -> None:
    document = json.loads(json.dumps(verdict.to_json(found)))
    assert document["verdict"] == found.verdict
    assert document["checked"] == (found.verdict == "proved")
    certificate = CERTIFICATE if found.verdict == "proved" else None
    back = verdict.from_json(document, certificate)
    if isinstance(back, Proved):  # of which only what the certificate says is believed
        figures = len(CERTIFICATE.regions), CERTIFICATE.slack / 2**CERTIFICATE.bits, None
        assert back == Proved("boxes", *figures, 0.1, CERTIFICATE, checked=False)
        assert verdict.in_words(back) == "proved, as recorded"
    else:
        assert back == found
        with pytest.raises(ValueError, match="a certificate, but the verdict"):
            verdict.from_json(document, CERTIFICATE)
    assert verdict.in_words(found) == found.verdict
    assert [document.keys()] * len(VERDICTS) == [verdict.to_json(v).keys() for v in VERDICTS]


def test_a_proof_without_a_certificate_is_none() -> None:
    document = verdict.to_json(VERDICTS[0])
    with pytest.raises(ValueError, match="a proof without a certificate"):
        verdict.from_json(document, None)
    with pytest.raises(ValueError, match="unknown verdict"):
        verdict.from_json({**document, "verdict": "likely"}, None)


def test_shares_are_written_with_their_interval() -> None:
    first, _ = verdict.to_json(VERDICTS[2])["counterexample"]["shares"]
    assert first == {"digits": 16, "problems": 64, "wrong": 3, "interval": list(wilson(3, 64))}


def test_verdicts_that_were_written_before_these_keys_are_read() -> None:
    for found in (VERDICTS[1], VERDICTS[3]):
        document = verdict.to_json(found)
        for key in ("state", "symbol", "shares"):
            (document["counterexample"] or {}).pop(key, None)
        del document["effort"]
        assert verdict.from_json(document, None) == found


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": -1},
        {"budget": "10"},
        {"rate": None},
        {"rate": float("inf")},
        {"done": 0.5},
        {"found": -1},
        {"over": 1},
        {"expected": -0.5},
        {"expected": "soon"},
        {"expected": float("nan")},
        {"more": 1},
    ],
)
def test_an_effort_that_is_none_is_refused(changes: dict[str, object]) -> None:
    document = verdict.to_json(VERDICTS[4])
    with pytest.raises((TypeError, ValueError)):
        verdict.from_json({**document, "effort": {**document["effort"], **changes}}, None)
