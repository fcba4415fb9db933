"""A plugin for pytest: whatever tests put to the checker of boxes, and what it said.

    CARRYNET_RECORD=cases.jsonl pytest -p tests.recorded tests/test_check.py ...

The page has a checker of its own, in JavaScript, to which `test_second_checker` puts the same: so
that there is one list of forged certificates, which is the tests of the first checker.

Each line is an object: the `test`, the `certificate` (its JSON), the `model` that it was to be
about (null where a file was only read), what was `said` against it (null where it was accepted),
and the `margin` that was found.
"""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carrynet.errors import CarrynetError
from carrynet.proof import certificate as certificates, check as checker
from carrynet.proof.certificate import BoxCertificate, Certificate
from carrynet.proof.check import Checked
from carrynet.proof.model import Model

_running = ""
_limit = certificates.MOST_INCLUSIONS


def document_of(certificate: Certificate) -> dict[str, Any]:
    """A certificate as JSON has it, even where its claim cannot be put in words."""
    try:
        return certificate.to_json()
    except (CarrynetError, OverflowError):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BoxCertificate, "claim", "")
            return certificate.to_json()


def facts_of(model: Model) -> dict[str, Any]:
    """A model as the page's checker takes it."""
    said = {key: getattr(model, key) for key in ("task", "machine", "cell", "readout")}
    return {"facts": json.dumps(said), "dtype": model.dtype, "weights": dict(model.weights)}


def _record(model: Model | None, document: Any, found: Any) -> None:
    line = {
        "test": _running,
        "model": model and facts_of(model),
        "certificate": json.dumps(document),
        "said": str(found) if isinstance(found, CarrynetError) else None,
        "margin": found.margin if isinstance(found, Checked) else None,
    }
    with Path(os.environ["CARRYNET_RECORD"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _told(action: Callable[[], Any], record: Callable[[Any], None]) -> Any:
    try:
        found = action()
    except CarrynetError as error:
        record(error)
        raise
    record(found)
    return found


_first: Any = checker.check
_read: Any = certificates.from_json


@functools.wraps(_first)
def _check(model: Model, certificate: Certificate, *more: Any) -> Any:
    def record(found: Any) -> None:
        # limits that a test lowers are not those of the page
        if isinstance(certificate, BoxCertificate) and vars(checker)["MOST_INCLUSIONS"] == _limit:
            _record(model, document_of(certificate), found)

    return _told(lambda: _first(model, certificate, *more), record)


@functools.wraps(_read)
def _from_json(document: Any) -> Any:
    return _told(lambda: _read(document), lambda found: _record(None, document, found))


def pytest_configure() -> None:
    """Before tests are imported, with their own names for what they test."""
    for module, name, action in (checker, "check", _check), (certificates, "from_json", _from_json):
        setattr(module, name, action)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Which test it is."""
    global _running
    _running = item.nodeid
