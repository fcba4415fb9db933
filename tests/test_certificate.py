"""Certificates as files: what is written is read back, and nothing else is read."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import carrynet as cn
from carrynet import tasks
from carrynet.errors import InputError
from carrynet.network import Network, initialise
from carrynet.proof.certificate import (
    BoxCertificate,
    Model,
    Region,
    TreeCertificate,
    from_json,
)
from carrynet.proof.search import model

CERTIFICATE = BoxCertificate(
    task="add",
    activation="sigmoid",
    weights_sha256="0" * 64,
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
        (broken(version=2), "it has version 2, not 1"),
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


# Trees of words ---------------------------------------------------------------------------

TREES = TreeCertificate(
    task="add",
    activation="tanh",
    weights_sha256="0" * 64,
    slack=0.1,
    metric=[[1.0, 0.5], [0, 2]],
    centres=[[0.0, 0.0], [0.25, -1.0]],
    radii=[0.0, 0.125],
    states=[0, 1],
    trees=[[1, 1, [1, 1, 1, 1], 1], [1, [1, 1, 1, [1, 1, 1, 1]], 1, 1]],
)


@pytest.mark.parametrize(("certificate", "slack"), [(CERTIFICATE, "0.125"), (TREES, "0.1")])
def test_the_claim_in_words(certificate: BoxCertificate | TreeCertificate, slack: str) -> None:
    document = json.loads(json.dumps(certificate.to_json()))
    assert from_json(document) == certificate
    assert document["claim"] == (
        "For the task add, the network with these weights, begun at h = 0, answers every word of "
        "symbols of every length as the task's machine does: in exact arithmetic, in that of the "
        "weights' own type, and in any other whose error in each hidden unit at each step is at "
        f"most {slack} and whose readout is exact."
    )
    assert document["method"] == ("boxes" if certificate is CERTIFICATE else "trees")
    assert (document["format"], document["version"]) == ("carrynet-certificate", 1)


@pytest.mark.parametrize("bits", [0, 1, 64])
def test_as_many_bits_as_are_accepted(bits: int) -> None:
    certificate = replace(CERTIFICATE, bits=bits)
    assert from_json(json.loads(json.dumps(certificate.to_json()))) == certificate
    assert certificate.tolerance == 2.0**-bits


NAN = float("nan")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task", 3, "task must be text"),
        ("activation", None, "activation must be text"),
        ("weights_sha256", 0, "weights_sha256 must be text"),
        ("slack", "0.1", "slack must be a number"),
        ("slack", True, "slack must be a number"),
        ("slack", NAN, "slack must be a number"),
        ("slack", float("inf"), "slack must be a number"),
        ("slack", 0.2, "its claim is not what its numbers say"),
        ("metric", 1.0, "metric must be lists of numbers"),
        ("metric", {"0": [1.0]}, "metric must be lists of numbers"),
        ("metric", [[1.0, 0.5], 2.0], "metric must be lists of numbers"),
        ("metric", [[1.0, 0.5], [0.0, NAN]], "metric must be lists of numbers"),
        ("metric", [[1.0, "0.5"], [0.0, 1.0]], "metric must be lists of numbers"),
        ("centres", "00", "centres must be lists of numbers"),
        ("centres", [[0.0, 0.0], {"0": 1}], "centres must be lists of numbers"),
        ("centres", [[0.0, False], [0.0, 0.0]], "centres must be lists of numbers"),
        ("radii", 0.5, "radii must be numbers"),
        ("radii", [0.0, None], "radii must be numbers"),
        ("radii", [0.0, NAN], "radii must be numbers"),
        ("states", 0, "states must be numbers"),
        ("states", "01", "states must be numbers"),
        ("states", [0, True], "states must be numbers"),
        ("states", [0, 1.0], "states must be numbers"),
        ("trees", {"0": []}, "trees must be a list"),
        ("trees", [1, []], "a tree must be a list|trees must be a list"),
        ("trees", [[1, 1.0]], "a tree must be a list"),
        ("trees", [[1, True]], "a tree must be a list"),
        ("trees", [[1, [1, [1, None]]]], "a tree must be a list"),
        ("trees", [[1, "1"]], "a tree must be a list"),
        ("trees", [[], {}], "a tree must be a list"),
        ("method", "forest", "its method is not one of boxes, trees"),
        ("method", "boxes", ".* is missing|unknown key"),
        ("version", True, "it has version True, not 1"),
        ("version", 1.0, "it has version 1.0, not 1"),
        ("claim", None, "its claim is not what its numbers say"),
        ("extra", 1, "unknown key 'extra'"),
    ],
)
def test_trees_that_are_none_are_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"not a certificate: ({message})"):
        from_json({**TREES.to_json(), key: value})


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
    assert Model.read(data) == model(run.network)
    for cut in (0, 4, 20, len(data) - 4):
        with pytest.raises(InputError, match="not a model of carrynet's"):
            Model.read(data[:cut])
    tensors = dict(run.network.weights._asdict())
    facts = {"task": "add", "activation": "sigmoid"}
    assert Model.read(saved(tensors, facts)) == model(run.network)
    wrongs: list[dict[str, Any]] = [{"task": []}, {"task": {}}, {"task": 5}, {"activation": []}]
    for wrong in wrongs:
        with pytest.raises(InputError, match="task or activation is not text"):
            Model.read(saved(tensors, facts | wrong))
    for name in ("bh", "by", "Whh"):
        flat = tensors[name][None] if tensors[name].ndim == 1 else tensors[name].ravel()
        with pytest.raises(InputError, match=f"{name} has the wrong shape"):
            Model.read(saved(tensors | {name: flat}, facts))
    foreign = safetensors.numpy.save({"Whh": np.zeros((2, 2))})
    with pytest.raises(InputError, match="not a model of carrynet's"):
        Model.read(foreign)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_checkers_own_reader_reads_both_types(dtype: str) -> None:
    network = Network(tasks.add(base=3), "tanh", initialise(tasks.add(base=3), 5, dtype=dtype))
    data = saved(network.weights._asdict(), {"task": "add:base=3", "activation": "tanh"})
    assert Model.read(data) == model(network)


@pytest.mark.parametrize("shape", [[2.0, 1], [2, 1.0], [2, True], [2], [1, 2, 1], [2, 2]])
def test_a_shape_that_is_none_is_refused(shape: Any) -> None:
    entry = {"dtype": "F64", "shape": shape, "data_offsets": [0, 16]}
    facts = json.dumps({"task": "add", "activation": "tanh"})
    header = json.dumps({"__metadata__": {"carrynet": facts}, "Wxh": entry}).encode()
    with pytest.raises(InputError, match="Wxh has the wrong shape"):
        Model.read(len(header).to_bytes(8, "little") + header + bytes(16))
