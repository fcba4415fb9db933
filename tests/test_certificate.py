"""Certificates as files: what is written is read back, and nothing else is read."""

import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import carrynet as cn
from carrynet import tasks
from carrynet.errors import InputError
from carrynet.network import Network, initialise
from carrynet.proof.certificate import BoxCertificate, Model, Region, from_json
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
    ],
)
def test_anything_else_is_refused(document: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"not a certificate: {message}"):
        from_json(document)


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
