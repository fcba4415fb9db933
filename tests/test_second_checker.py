"""The page's own checker, in JavaScript: it refuses whatever the first one refuses.

It is run in a browser, as it is where people see it; see `page/src/checker/`.
"""

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb
from playwright.sync_api import Page

import carrynet as cn
from carrynet import files, tasks
from carrynet.nets.formula import Formula
from carrynet.nets.network import Network
from carrynet.proof import check as checker, search
from carrynet.proof.certificate import BoxCertificate, Rejected
from tests.conftest import hand_built_adder
from tests.recorded import facts_of
from tests.test_view import browser, in_json, opened, pytestmark

__all__ = ["browser", "opened", "pytestmark"]

ROOT = Path(__file__).parents[1]
STRINGS = json.loads((ROOT / "page" / "src" / "strings.json").read_text(encoding="utf-8"))

CHECK = """([model, certificate]) => {
    const { check, read, requireClaim, reason } = carrynet.checker;
    try {
        if (!model) requireClaim(read(certificate));
        else for (let step, steps = check(model, certificate); ; )
            if ((step = steps.next()).done) return { margin: step.value.margin };
        return { margin: null };
    } catch (error) {
        return reason(error);
    }
}"""


def said(found: dict[str, Any]) -> str | None:
    """What is said against a certificate; None where nothing is."""
    if "key" not in found:
        return None
    text: str = STRINGS[f"checker.{found['key']}"]["en"]
    return text.format_map(found["values"])


# The same as the first -------------------------------------------------------------------

CASES = (
    *("tests/test_check.py", "tests/test_check_formula.py", "tests/test_false_claims.py"),
    *("tests/test_certificate.py", "tests/test_own_machines.py::test_a_proof_is_of_one_machine"),
    "tests/test_lab.py::test_what_is_no_proof_is_rejected",
    "tests/test_runs.py::test_a_verdict_that_no_longer_holds_is_given_up",
    "tests/test_runs.py::test_what_is_said_of_a_proof_is_the_checkers",
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Whatever the tests of the first checker put to it."""
    file = tmp_path_factory.mktemp("cases") / "cases.jsonl"
    options = "-n0", "-q", "-p", "tests.recorded", "-p", "no:cacheprovider"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *CASES],
        cwd=ROOT,
        env=os.environ | {"CARRYNET_RECORD": str(file)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_both_refuse_the_same_and_say_the_same(opened: Page, cases: list[dict[str, Any]]) -> None:
    """Of certificates of other kinds than boxes nothing is said here but that."""
    accepted = refused = 0
    for case in cases:
        # not as JSON, which has no NaN, as some of these models have
        found = opened.evaluate(CHECK, [case["model"], case["certificate"]])
        ours, theirs = said(found), case["said"]
        if found.get("key") == "kind":
            assert found["values"]["method"] in ("trees", "states")
            assert case["model"] is None
            continue
        assert (ours is None) == (theirs is None), (case["test"], ours, theirs)
        if case["model"] is None:
            continue
        if ours is None:
            accepted += 1
            assert found["margin"] == pytest.approx(case["margin"], rel=1e-6)  # see ROUGH
        else:
            refused += 1  # which output it is they say by its name, and by its number
            assert ours.partition(" always ")[0] in theirs, (case["test"], ours, theirs)
    assert accepted > 50
    assert refused > 200


KINDS: dict[str, dict[str, Any]] = {
    "sigmoid": {"activation": "sigmoid"},
    "tanh": {"activation": "tanh", "dtype": "float64"},
    "relu": {"activation": "relu"},
    "gru": {"cell": "gru"},
    "gru in doubles": {"cell": "gru", "dtype": "float64"},
    "gru-reset-before": {"cell": "gru-reset-before"},
    "lstm": {"cell": "lstm", "dtype": "float64"},
    "mgu": {"cell": "mgu"},
    "stack": {"cell": "lstm,elman"},
}
ROUNDABOUT = "equations of one's own"


@cache
def proof_of(kind: str) -> tuple[Network, BoxCertificate]:
    if kind == ROUNDABOUT:
        network = roundabout()
        return network, boxes_of(cn.prove(network, budget=0))
    run = cn.compile("tomita:4", progress=False, **KINDS[kind])
    return run.network, boxes_of(run.proof)


def boxes_of(verdict: object) -> BoxCertificate:
    assert isinstance(verdict, cn.Proved)
    assert isinstance(verdict.certificate, BoxCertificate)
    return verdict.certificate


def roundabout() -> Network:
    """Elman's cell in other words: numbers that float32 has not, signs, a layer in the readout."""
    run = cn.compile("tomita:4", progress=False, activation="tanh")
    weights = run.network.weights
    eye = np.eye(run.network.hidden, dtype="f")
    cell = """
        u = x @ Wxh + bh - -1.0 * (h @ Whh)
        h = -tanh(-u) * 0.7 - (-0.3 * tanh(u) - relu(0.0 * u))
    """
    layers = {
        "Wm": np.hstack([eye, -eye]),
        "bm": np.zeros(2 * len(eye), "f"),
        "Why": np.vstack([weights.Why, -weights.Why]),
    }
    return Network(
        run.network.task,
        Formula.parse(cell),
        weights.replace(**layers),
        Formula.parse("m = relu(h @ Wm + bm)\nlogits = m @ Why + by", ("h",), "logits"),
    )


def finer(certificate: BoxCertificate, bits: int) -> BoxCertificate:
    """The same, in units of 2^-bits."""
    by = bits - certificate.bits
    regions = tuple(
        replace(
            region,
            lower=tuple(x << by for x in region.lower),
            upper=tuple(x << by for x in region.upper),
        )
        for region in certificate.regions
    )
    return replace(certificate, bits=bits, slack=certificate.slack << by, regions=regions)


def where_it_turns(accepted: Callable[[int], bool], good: int, bad: int) -> int:
    """The last whole number on the way from a good one to a bad one that is accepted."""
    assert accepted(good)
    assert not accepted(bad)
    while abs(bad - good) > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if accepted(middle) else (good, middle)
    return good


FINE = 2.0**-40
ROUGH = 2.0**-24
"""The first checker takes boxes of other cells than Elman's as balls, whose radii have 30 bits."""


@pytest.mark.parametrize("kind", [*KINDS, ROUNDABOUT])
def test_genuine_ones_are_accepted_by_both_and_as_much_slack(opened: Page, kind: str) -> None:
    """The largest slack that each accepts and, of Elman's cell, the smallest: rounding counts."""
    network, found = proof_of(kind)
    model, fine = search.model(network), finer(found, 48)
    given = facts_of(model)

    def ours(slack: int) -> bool:
        text = json.dumps(replace(fine, slack=slack).to_json())
        return said(in_json(opened, CHECK, [given, text])) is None

    def theirs(slack: int) -> bool:
        try:
            checker.check(model, replace(fine, slack=slack))
        except Rejected:
            return False
        return True

    assert said(in_json(opened, CHECK, [given, json.dumps(found.to_json())])) is None
    near = int(2**48 * (FINE if model.elman else ROUGH))
    for bad, away in ((2**56, near), (-1, -near)):
        if bad == -1 and model.elman is None:
            continue  # there rounding is not a part of the slack: none at all is enough
        turn = where_it_turns(theirs, fine.slack, bad)
        assert ours(turn - away)
        assert not ours(turn + away + (1 if away > 0 else -1))


def test_a_readout_that_is_not_linear_is_refused_by_both(opened: Page) -> None:
    network, found = proof_of("tanh")
    for readout in ("logits = tanh(h @ Why + by)", "logits = h @ Why", "logits = by + h @ Why"):
        weights = {**search.model(network).weights}
        if "by" not in readout:
            del weights["by"]
        model = replace(search.model(network), readout=readout, weights=weights)
        forged = replace(found, **model.about)
        with pytest.raises(Rejected, match="its readout is not linear"):
            checker.check(model, forged)
        ours = said(in_json(opened, CHECK, [facts_of(model), json.dumps(forged.to_json())]))
        assert ours == "its readout is not linear"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((text, None) for text in ("add", "add:base=3", "compare", "subtract", "tomita:5")),
        *((text, None) for text in ("parity", "window", "cycle:5")),
        *(("add:base=3", kind) for kind in ("bits", "one-hot", "plus-minus-one")),
        ("subtract", "number"),
        ("parity", tasks.Encoding("table", ((0.5, -1e-5), (1.0, 1000.0)))),
    ],
)
def test_tasks_and_encodings(opened: Page, text: str, encoding: Any) -> None:
    """Of those of one's own the name has a digest, which the page works out anew."""
    task = tasks.parse(text)
    if encoding is not None:
        if isinstance(encoding, str):
            encoding = tasks.Encoding(encoding)
        task = tasks.own("mine", task.machine, codec=task.codec, encoding=encoding)
    run = cn.compile(task, progress=False, digits=2)
    document = boxes_of(run.proof).to_json()
    given = facts_of(search.model(run.network))
    assert said(in_json(opened, CHECK, [given, json.dumps(document)])) is None
    for change in ({"claim": document["claim"].replace("every word", "some word")}, {"claim": ""}):
        found = in_json(opened, CHECK, [given, json.dumps({**document, **change})])
        assert said(found) == "its claim is not what its numbers say"


# Real numbers ----------------------------------------------------------------------------


def points() -> list[float]:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=3000) * 10.0 ** rng.uniform(-20, 3.2, 3000)
    near = [
        math.nextafter(x, to) for x in (36.7, 700.0, 350.0, math.log(2), 1.0) for to in (0, 1e9)
    ]
    ends = [0.0, 5e-324, 2.0**-1022, 1e-300, 2.0**-60, 0.5, 350.0, 700.0, 709.8, 745.2, 1e4, 1e308]
    return [float(x) for x in (*drawn, *near, *ends, *(-x for x in (*near, *ends)))]


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_functions_are_enclosed(opened: Page, name: str) -> None:
    where = points()
    found = opened.evaluate(f"points => points.map(carrynet.checker.{name})", where)
    with flint.ctx.workprec(2000):
        for x, (low, high) in zip(where, found, strict=True):
            true = arb(x).tanh() if name == "tanh" else 1 / (1 + (-arb(x)).exp())
            assert not true < arb(low), x  # the ball is far smaller than any distance of doubles
            assert not true > arb(high), x
            size = high if name == "sigmoid" else 1.0
            assert high - low <= 6 * 2.0**-52 * size + 2.0**-1000, x
    for x in (math.inf, -math.inf):
        low, high = opened.evaluate(f"x => carrynet.checker.{name}(x)", x)
        limit = 1.0 if x > 0 else {"sigmoid": 0.0, "tanh": -1.0}[name]
        assert low <= limit <= high
        assert high - low <= 1e-15
    assert all(map(math.isnan, opened.evaluate(f"() => carrynet.checker.{name}(NaN)")))


def test_the_doubles_beside_a_number(opened: Page) -> None:
    where = [*points(), 1.0, -1.0, 2.0**-1022, 1.7976931348623157e308, 4503599627370496.0]
    for name, to in (("up", math.inf), ("down", -math.inf)):
        found = opened.evaluate(f"points => points.map(carrynet.checker.{name})", where)
        assert found == [math.nextafter(x, to) for x in where]


def test_the_doubles_beside_a_whole_number(opened: Page) -> None:
    rng = np.random.default_rng(1)
    numbers = [int(rng.integers(-(2**62), 2**62)) << int(rng.integers(0, 60)) for _ in range(500)]
    numbers += [n + by for n in (0, 2**53, -(2**53), 2**54, 2**64, 2**80) for by in (-1, 0, 1)]
    for bits in (0, 24, 48, 64):
        script = """([texts, bits]) => texts.map((text) =>
            ["below", "above"].map((name) => carrynet.checker[name](BigInt(text), bits)))"""
        found = opened.evaluate(script, [list(map(str, numbers)), bits])
        for n, ends in zip(numbers, found, strict=True):
            low, high = map(float, ends)
            true = Fraction(n, 2**bits)
            assert Fraction(low) <= true <= Fraction(high)
            assert high <= math.nextafter(low, math.inf)
            assert (low == high) == (Fraction(float(true)) == true)
    huge = opened.evaluate("() => ['below', 'above'].map(f => carrynet.checker[f](1n << 5000n, 0))")
    assert huge == [sys.float_info.max, math.inf]


def test_numbers_of_float32(opened: Page) -> None:
    rng = np.random.default_rng(2)
    halves = [0.0, 2.0**-149, 2.0**-150, 3 * 2.0**-149, 2.0**-126, 2.0**128, 0.1, 1 + 2.0**-24]
    drawn = rng.normal(size=300) * 10.0 ** rng.uniform(-46, 40, 300)
    with np.errstate(over="ignore"):
        where = [*halves, *drawn.tolist(), *drawn.astype("f")[np.abs(drawn) < 3e38].tolist()]
        expected = [float(np.float32(x)) == x for x in where]
    assert opened.evaluate("points => points.map(carrynet.checker.isSingle)", where) == expected


# Documents -------------------------------------------------------------------------------


def test_hashes_and_numbers_are_pythons(opened: Page) -> None:
    data = [bytes(range(256))[:n] * (1 + n % 3) for n in range(140)]
    script = "all => all.map(bytes => carrynet.checker.sha256(Uint8Array.from(bytes)))"
    assert opened.evaluate(script, list(map(list, data))) == [
        hashlib.sha256(each).hexdigest() for each in data
    ]
    numbers = [*points(), 1e-4, 1e-5, 9.999e-5, 1e15, 1e16, 123456789012345680.0, 1e22, 0.1]
    assert opened.evaluate("all => all.map(carrynet.checker.float)", numbers) == list(
        map(repr, numbers)
    )
    texts = ["0,1", 'say "no"\\', "加法", "é\x7f\n", "\U0001f600"]
    assert opened.evaluate("carrynet.checker.toJson", texts) == json.dumps(
        texts, separators=(",", ":")
    )


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "{}", "[1, -2.5e3, true, null]", '{"a": {"b": ["\\u00e9", ""]}}', " 3 ", "1e3"),
        *(
            "",
            "[1,]",
            "[,]",
            "{,}",
            '{"a": 1,}',
            '{"a" 1}',
            "{1: 2}",
            "[1 2]",
            "01",
            "+1",
            "1.",
            ".5",
        ),
        *(
            "NaN",
            "[Infinity]",
            "'a'",
            '"a',
            '"\t"',
            "[1]]",
            "[[1]",
            "[1}",
            '{"a": 1]',
            "nul",
            "1 2",
        ),
        '{"a": 1, "a": 1}',
    ],
)
def test_json_is_read_as_by_python(opened: Page, text: str) -> None:
    try:
        expected = json.dumps(files.from_json(text), separators=(",", ":"))
    except ValueError:
        expected = None
    script = """text => {
        try {
            return carrynet.checker.toJson(carrynet.checker.fromJson(text));
        } catch (error) {
            return null;
        }
    }"""
    assert opened.evaluate(script, text) == expected


def test_what_is_shown_must_be_what_is_checked(opened: Page) -> None:
    network, found = proof_of("sigmoid")
    model, machine = search.model(network), network.task.machine
    shown = {
        **{
            key: getattr(machine, key)
            for key in ("states", "symbols", "outputs", "delta", "output")
        },
        "vectors": [network.task.vector(a) for a in range(len(machine.symbols))],
        "cell": network.cell.text,
        "readout": network.readout.text,
    }
    script = """([model, certificate, shown]) => {
        try {
            for (const steps = carrynet.checker.check(model, certificate, shown); ; )
                if (steps.next().done) return null;
        } catch (error) {
            return carrynet.checker.reason(error).key;
        }
    }"""

    def refused(**changes: Any) -> str | None:
        text = json.dumps(found.to_json())
        key: str | None = opened.evaluate(script, [facts_of(model), text, {**shown, **changes}])
        return key

    assert refused() is None
    other = hand_built_adder()
    for changes in (
        {"delta": machine.delta[::-1]},
        {"states": machine.states[::-1]},
        {"vectors": [[1.0, 1.0]] * len(machine.symbols)},
        {"cell": tasks.__doc__},
        {"readout": other.readout.text + " "},
    ):
        assert refused(**changes) == "shown"
