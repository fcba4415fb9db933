"""Verdicts as JSON."""

import json

import pytest

from carrynet.proof import verdict
from carrynet.proof.verdict import Proved, Refuted, Undecided
from tests.test_certificate import CERTIFICATE

VERDICTS: list[verdict.Verdict] = [
    Proved("boxes", 2, 0.125, 3.5, 0.1, CERTIFICATE),
    Refuted((3, 2**80), 81, 80, 7, 9, True, 0.2),
    Undecided(("boxes: no", "trees: too many"), 10.0),
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
    assert [document.keys()] * 3 == [verdict.to_json(v).keys() for v in VERDICTS]


def test_a_proof_without_a_certificate_is_none() -> None:
    document = verdict.to_json(VERDICTS[0])
    with pytest.raises(ValueError, match="a proof without a certificate"):
        verdict.from_json(document, None)
    with pytest.raises(ValueError, match="unknown verdict"):
        verdict.from_json({**document, "verdict": "likely"}, None)
