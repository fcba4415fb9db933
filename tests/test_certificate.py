"""Certificates as files: what is written is read back, and nothing else is read."""

import dataclasses
import hashlib
import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import carrynet as cn
from carrynet import files, tasks
from carrynet.errors import InputError
from carrynet.nets.network import Network
from carrynet.nets.weights import initialise
from carrynet.proof import boxes, check
from carrynet.proof.certificate import (
    MOST_INCLUSIONS,
    BoxCertificate,
    Region,
    Rejected,
    TreeCertificate,
    from_json,
)
from carrynet.proof.model import read_model
from carrynet.proof.search import model
from carrynet.runs.format import facts as facts_of
from carrynet.spec.builtin import FAMILIES
from carrynet.spec.tables import from_facts, to_facts, to_table
from tests.conftest import hand_built_adder

ABOUT: dict[str, Any] = {**hand_built_adder().about, "start": [0.0, 0.0]}
CERTIFICATE = BoxCertificate(
    **ABOUT,
    bits=3,
    slack=1,
    regions=(
        Region("start", 0, (0, 0), (0, 0), (1, 1, 1, 1)),
        Region("0; 1,1", 1, (-3, 2), (5, 2**70), (0, 1, 0, 1)),
    ),
)


def test_json_and_back() -> None:
    text = json.dumps(CERTIFICATE.to_json())
    assert from_json(json.loads(text)) == CERTIFICATE
    assert "every word of symbols of every length" in text
    assert "at most 0.125" in text  # the slack, as a number


def broken(**changes: Any) -> dict[str, Any]:
    return json.loads(json.dumps({**CERTIFICATE.to_json(), **changes}))


def region(**changes: Any) -> list[dict[str, Any]]:
    start, other = broken()["regions"]
    return [start, {**other, **changes}]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "it is not a table"),
        (broken(format="x"), "its format is not carrynet-certificate"),
        (broken(version=1), "it has version 1, not 2"),
        (broken(version=3), "it has version 3, not 2"),
        (broken(machine=None), "the machine of task 'add' is not there"),
        (broken(machine=to_table(tasks.subtract())), "task 'add' is not its machine, which is"),
        (broken(task="subtract"), "task 'subtract' is not its machine, which is add@"),
        (broken(start=["0", 0]), "start must be numbers"),
        (broken(cell="h = 0"), "its claim is not what its numbers say"),
        (broken(extra=1), "unknown key 'extra'"),
        ({k: v for k, v in broken().items() if k != "slack"}, "slack is missing"),
        (broken(task=3), "task must be text"),
        (broken(bits=True), "bits must be"),
        (broken(bits=-1), "bits must be"),
        (broken(bits=65), "bits must be"),
        (broken(slack=0.5), "slack must be a whole number"),
        (broken(slack=float("nan")), "slack must be a whole number"),
        (broken(slack=2), "its claim is not what its numbers say"),
        (broken(claim="it is right"), "its claim is not what its numbers say"),
        (broken(regions={}), "regions must be a list"),
        (broken(regions=[3]), "region 0 is not a table"),
        (broken(regions=region(extra=1)), "unknown key 'extra' of region 1"),
        (broken(regions=region(name=None)), "the name of region 1 must be text"),
        (broken(regions=region(state="1")), "the state of region 1"),
        (broken(regions=region(lower=[0, float("nan")])), "lower of region 1"),
        (broken(regions=region(upper=[0.5, 1])), "upper of region 1"),
        (broken(regions=region(next=[0, 1, True, 0])), "next of region 1"),
        (broken(regions=region(lower={})), "lower of region 1"),
        (broken(regions=region(next="")), "next of region 1"),
    ],
)
def test_anything_else_is_refused(document: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"not a certificate: {message}"):
        from_json(document)


def test_what_would_take_the_checker_minutes_is_refused_with_the_limit() -> None:
    units, symbols = 1000, MOST_INCLUSIONS // 1000
    zeros = (0,) * units
    for more, refused in ((0, False), (1, True)):
        box = Region("start", 0, zeros, zeros, (0,) * (symbols + more))
        claim = dataclasses.replace(CERTIFICATE, regions=(box,))
        assert claim.inclusions == MOST_INCLUSIONS + units * more
        if refused:
            with pytest.raises(InputError, match="70,001,000 inclusions, of at most 70,000,000"):
                from_json(json.loads(json.dumps(claim.to_json())))
        else:
            assert from_json(json.loads(json.dumps(claim.to_json()))) == claim


def test_json_of_too_many_values_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match="more than 4,000,000 values"):
        files.from_json(b"[" * files.MOST_VALUES)  # which cannot be read at all
    monkeypatch.setattr(files, "MOST_VALUES", 6)
    assert files.from_json('[0, {"a": [1, 2]}]') == [0, {"a": [1, 2]}]
    with pytest.raises(ValueError, match="more than 6 values"):
        files.from_json('[0, {"a": [1, 2]}, 3]')


# Trees of words ---------------------------------------------------------------------------

TREES = TreeCertificate(
    **ABOUT,
    slack=0.1,
    metrics=[[[1.0, 0.5], [0, 2]], [[2.0, 0.0], [0.0, 1.0]]],
    metric_of=[0, 1],
    centres=[[0.0, 0.0], [0.25, -1.0]],
    radii=[0.0, 0.125],
    states=[0, 1],
    trees=[
        [1, 1, [1, 1, 1, 1], 1],
        [1, [1, {"axis": "0i", "parts": [1, [1, 1, 1, 1]]}, 1, [1, 1, 1, 1]], 1, 1],
    ],
)


@pytest.mark.parametrize(("certificate", "slack"), [(CERTIFICATE, "0.125"), (TREES, "0.1")])
def test_the_claim_in_words(certificate: BoxCertificate | TreeCertificate, slack: str) -> None:
    document = json.loads(json.dumps(certificate.to_json()))
    assert from_json(document) == certificate
    network = hand_built_adder()
    task, formulas = network.task, (network.cell, network.readout)
    cell, readout = (hashlib.sha256(each.text.encode()).hexdigest() for each in formulas)
    assert document["claim"] == (
        f"For the task add, of the machine {task.machine.digest()} and the encoding "
        f"{task.encoding.digest()}, the network of the cell {cell} and the readout {readout}, with "
        f"the weights {network.digest()}, begun at its start, answers every word of symbols of "
        "every length as the machine does: in exact arithmetic, in that of the weights' own type, "
        "and in any other whose error in each hidden unit at each step is at most "
        f"{slack} and whose readout is exact.  Machine, encoding, equations and weights are named "
        "by their SHA-256."
    )
    assert document["method"] == ("boxes" if certificate is CERTIFICATE else "trees")
    assert (document["format"], document["version"]) == ("carrynet-certificate", 2)


@pytest.mark.parametrize("bits", [0, 1, 64])
def test_as_many_bits_as_are_accepted(bits: int) -> None:
    certificate = replace(CERTIFICATE, bits=bits)
    assert from_json(json.loads(json.dumps(certificate.to_json()))) == certificate
    assert certificate.tolerance == 2.0**-bits


def test_no_more_slack_is_claimed_than_there_is() -> None:
    for slack in (2**53 + 1, 2**53 + 3, 2**60 - 1, -(2**53) - 1):
        certificate = replace(CERTIFICATE, bits=64, slack=slack)
        claimed, exact = certificate.tolerance, Fraction(slack, 2**64)
        assert claimed <= exact < Fraction(np.nextafter(claimed, np.inf))
        assert from_json(json.loads(json.dumps(certificate.to_json()))) == certificate


NAN = float("nan")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task", 3, "task must be text"),
        ("cell", None, "cell must be text"),
        ("readout", 1, "readout must be text"),
        ("start", [None], "start must be numbers"),
        ("weights_sha256", 0, "weights_sha256 must be text"),
        ("slack", "0.1", "slack must be a number"),
        ("slack", True, "slack must be a number"),
        ("slack", NAN, "slack must be a number"),
        ("slack", float("inf"), "slack must be a number"),
        ("slack", 0.2, "its claim is not what its numbers say"),
        ("metrics", 1.0, "metrics must be lists of lists of numbers"),
        ("metrics", [{"0": [1.0]}], "metrics must be lists of lists of numbers"),
        ("metrics", [[[1.0, 0.5], 2.0]], "metrics must be lists of lists of numbers"),
        ("metrics", [[[1.0, 0.5], [0.0, NAN]]], "metrics must be lists of lists of numbers"),
        ("metrics", [[[1.0, "0.5"], [0.0, 1.0]]], "metrics must be lists of lists of numbers"),
        ("metric_of", 0, "metric_of must be whole numbers"),
        ("metric_of", [0, True], "metric_of must be whole numbers"),
        ("metric_of", [0, 0.0], "metric_of must be whole numbers"),
        ("centres", "00", "centres must be lists of numbers"),
        ("centres", [[0.0, 0.0], {"0": 1}], "centres must be lists of numbers"),
        ("centres", [[0.0, False], [0.0, 0.0]], "centres must be lists of numbers"),
        ("radii", 0.5, "radii must be numbers"),
        ("radii", [0.0, None], "radii must be numbers"),
        ("radii", [0.0, NAN], "radii must be numbers"),
        ("states", 0, "states must be whole numbers"),
        ("states", "01", "states must be whole numbers"),
        ("states", [0, True], "states must be whole numbers"),
        ("states", [0, 1.0], "states must be whole numbers"),
        ("trees", {"0": []}, "trees must be a list"),
        ("trees", [1, []], "a tree must be a list|trees must be a list"),
        ("trees", [[1, 1.0]], "a tree must be a list"),
        ("trees", [[1, True]], "a tree must be a list"),
        ("trees", [[1, [1, [1, None]]]], "a tree must be a list"),
        ("trees", [[1, "1"]], "a tree must be a list"),
        ("trees", [[], {}], "a cut must have an axis and a list of parts"),
        ("trees", [[{"axis": "00", "parts": 1}]], "a cut must have an axis and a list of parts"),
        ("trees", [{"axis": "00", "parts": [], "a": 1}], "a cut must have an axis and a list of"),
        ("trees", [[{"axis": [0, 0], "parts": []}]], "an axis must be text of ihgfedcba0123456789"),
        ("trees", [[{"axis": "0-", "parts": []}]], "an axis must be text of ihgfedcba0123456789"),
        ("trees", [[{"axis": "00", "parts": [None]}]], "a tree must be a list"),
        ("method", "forest", "its method is not one of boxes, trees"),
        ("method", "boxes", ".* is missing|unknown key"),
        ("version", 1, "it has version 1, not 2"),
        ("version", True, "it has version True, not 2"),
        ("version", 2.0, "it has version 2.0, not 2"),
        ("claim", None, "its claim is not what its numbers say"),
        ("extra", 1, "unknown key 'extra'"),
    ],
)
def test_trees_that_are_none_are_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"not a certificate: ({message})"):
        from_json({**TREES.to_json(), key: value})


def test_trees_with_one_metric_are_read_as_they_once_were_written() -> None:
    document = TREES.to_json()
    metric, _ = document.pop("metrics"), document.pop("metric_of")
    read = from_json({**document, "metric": metric[0]})
    assert read == replace(TREES, metrics=metric[:1], metric_of=[0, 0])
    for key, value, message in (
        ("metric", None, "metrics must be lists of lists of numbers"),
        ("metrics", metric, "metric_of is missing"),
        ("metric_of", [0, 1], "metrics is missing"),
        ("radii", None, "radii must be numbers"),
    ):
        with pytest.raises(InputError, match=message):
            from_json({**document, "metric": metric[0], key: value})


@pytest.mark.parametrize("certificate", [CERTIFICATE, TREES])
def test_every_key_is_needed(certificate: BoxCertificate | TreeCertificate) -> None:
    whole = json.loads(json.dumps(certificate.to_json()))
    for key in whole:
        with pytest.raises(InputError, match="not a certificate"):
            from_json({name: value for name, value in whole.items() if name != key})
    for key in whole["regions"][0] if "regions" in whole else ():
        first, *others = whole["regions"]
        cut = {name: value for name, value in first.items() if name != key}
        with pytest.raises(InputError, match=f"{key} of region 0 is missing"):
            from_json({**whole, "regions": [cut, *others]})


# Models ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_has_the_networks_digest(dtype: str) -> None:
    for task in (tasks.add(), tasks.add(base=3), tasks.compare()):
        network = Network(task, "tanh", initialise(task, 7, dtype=dtype))
        assert model(network).digest() == network.digest()


def saved(tensors: dict[str, Any], facts: dict[str, Any]) -> bytes:
    return safetensors.numpy.save(tensors, {"carrynet": json.dumps(facts)})


def test_the_checkers_own_reader_reads_what_runs_write(trained: cn.Run, tmp_path: Any) -> None:
    run = trained.save(tmp_path / "run")
    data = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert read_model(data) == model(run.network)
    for cut in (0, 4, 20, len(data) - 4):
        with pytest.raises(InputError, match="not a model of carrynet's"):
            read_model(data[:cut])
    tensors, facts = dict(run.network.weights), facts_of(run.network)
    assert read_model(saved(tensors, facts)) == model(run.network)
    for key in ("task", "cell", "readout"):
        with pytest.raises(InputError, match=f"its {key} is not text"):
            read_model(saved(tensors, facts | {key: []}))
    for key in facts:
        with pytest.raises(InputError, match="not a model of carrynet's"):
            read_model(saved(tensors, {k: v for k, v in facts.items() if k != key}))
        with pytest.raises(InputError, match="not a model of carrynet's"):
            read_model(saved(tensors, facts | {key: "x"}))
    with pytest.raises(InputError, match="it has version 1, not 2"):
        read_model(saved(tensors, facts | {"version": 1}))
    with pytest.raises(InputError, match="its 'more' is not that of its network"):
        read_model(saved(tensors, facts | {"more": 1}))
    with pytest.raises(InputError, match="its 'start' is not that of its network"):
        read_model(saved(tensors, facts | {"start": [0.0] * 15 + [0.5]}))
    for name in ("bh", "by", "Whh"):
        flat = tensors[name][None] if tensors[name].ndim == 1 else tensors[name].ravel()
        with pytest.raises(InputError, match=f"{name} has the wrong shape"):
            read_model(saved(tensors | {name: flat}, facts))
    foreign = safetensors.numpy.save({"Whh": np.zeros((2, 2))})
    with pytest.raises(InputError, match="not a model of carrynet's"):
        read_model(foreign)


def test_the_checker_itself_has_the_limit(adder: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    found = boxes.close(adder, boxes.by_history(adder.task.machine, 1), 2**-10)
    assert found is not None
    certificate = boxes.certificate(adder, found)
    assert certificate.inclusions == 9 * 4 * 3
    monkeypatch.setattr(check, "MOST_INCLUSIONS", 108)
    assert check.check(model(adder), certificate).regions == 9
    monkeypatch.setattr(check, "MOST_INCLUSIONS", 107)
    with pytest.raises(Rejected, match="108 inclusions, of at most 107"):
        check.check(model(adder), certificate)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_checkers_own_reader_reads_both_types(dtype: str) -> None:
    network = Network(tasks.add(base=3), "tanh", initialise(tasks.add(base=3), 5, dtype=dtype))
    data = saved(dict(network.weights), facts_of(network))
    assert read_model(data) == model(network)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([2.0, 3], "described by other values"),
        ([2, 3.0], "described by other values"),
        ([2, True], "described by other values"),
        ([6], "Wxh has the wrong shape"),
        ([1, 2, 3], "Wxh has the wrong shape"),
        ([2, 2], "Wxh has the wrong shape"),
    ],
)
def test_a_shape_that_is_none_is_refused(shape: Any, message: str) -> None:
    network = Network(tasks.add(), "tanh", initialise(tasks.add(), 3))
    data = saved(dict(network.weights), facts_of(network))
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["Wxh"]["shape"] = shape
    text = json.dumps(header, separators=(",", ":")).encode()
    with pytest.raises(InputError, match=message):
        read_model(len(text).to_bytes(8, "little") + text + data[start:])


@pytest.mark.parametrize("cell", ["sigmoid", "tanh", "relu", "gru", "lstm,mgu"])
@pytest.mark.parametrize("learned", [False, True])
def test_models_and_certificates_say_in_full_what_they_are_about(cell: str, learned: bool) -> None:
    """Machine, encoding, equations and start, of every network alike, its own start included."""
    task = tasks.own("mine", tasks.parse("parity").machine, encoding=tasks.Encoding("number"))
    for each in (tasks.parse("parity"), task):
        weights = initialise(each, 3, cell, learned_start=learned)
        if learned:
            part = next(name for name in weights if name.endswith("_start"))
            weights = weights.replace(**{part: np.array([0.25, 0, -1], "f4")})
        network = Network(each, cell, weights)
        read = read_model(saved(dict(weights), facts_of(network)))
        assert read.about == network.about
        assert read.start == tuple(network.start.tolist())
        assert (read.elman is not None) == network.elman
        about = read.about
        assert about["machine"] == to_table(each)
        assert about["machine"]["encoding"] == ("one-hot" if each is not task else "number")
        assert (about["cell"], about["readout"]) == (network.cell.text, network.readout.text)
        assert about["start"] == ([0.25, 0.0, -1.0] if learned else [0.0] * 3) + [0.0] * (
            len(network.start) - 3
        )


NEEDED = {"multiply_by": "k=3,base=3", "divide_by": "k=3", "tomita": "4", "cycle": "5"}
NEEDED |= {"cycle_answer": "5", "modular_answer": "5"}
NEEDED |= {"modular": "5", "add_mod": "k=3", "add": "base=16,operands=2", "compare": "base=10"}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tables_of_what_is_built_in_are_read_back_to_it(family: str) -> None:
    task = tasks.parse(f"{family}:{NEEDED[family]}" if family in NEEDED else family)
    again = from_facts(json.loads(json.dumps(to_facts(task))))
    assert again == task
    assert again.text == task.text
    assert again.codec == task.codec
