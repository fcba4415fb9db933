"""The verbs: what they take, and that each run has them."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import carrynet as cn
from carrynet import lab
from carrynet.errors import InputError, RunError
from carrynet.learn import training
from carrynet.nets.network import Network
from carrynet.proof.certificate import BoxCertificate
from carrynet.runs import folder
from carrynet.runs.record import Record
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage
from tests.folders import create

pytestmark = pytest.mark.usefixtures("short_words")

SHORT = Recipe(name="short", hidden=2, digits=3, stages=(Stage(steps=20),))


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> cn.Run:
    return cn.train("certified", hidden=8, out=tmp_path_factory.mktemp("lab") / "proved")


def test_a_proof_is_checked_wherever_it_is(proved: cn.Run, tmp_path: Path) -> None:
    assert isinstance(proved.proof, cn.Proved)
    assert proved.path is not None
    in_memory = replace(proved, path=None)
    certificate = proved.proof.certificate
    found = [
        cn.check(in_memory),
        cn.check(proved.path),
        cn.check(str(proved.path)),
        cn.check(proved.network, certificate),
    ]
    facts = {(each.regions, each.slack, each.margin) for each in found}
    assert facts == {(proved.proof.regions, proved.proof.slack, proved.proof.margin)}
    # of a folder, weights and certificate are enough
    for name in ("model.safetensors", "certificate.json"):
        shutil.copy(proved.path / name, tmp_path)
    assert cn.check(tmp_path).regions == proved.proof.regions


def test_what_is_no_proof_is_rejected(proved: cn.Run, adder: Network, tmp_path: Path) -> None:
    assert isinstance(proved.proof, cn.Proved)
    assert proved.path is not None
    certificate = proved.proof.certificate
    assert isinstance(certificate, BoxCertificate)
    forged = replace(certificate, slack=2**23)  # more than any invariant allows
    for subject in (proved, proved.path, proved.network):
        with pytest.raises(cn.Rejected):
            cn.check(subject, forged)
    with pytest.raises(cn.Rejected):
        cn.check(replace(proved, proof=replace(proved.proof, certificate=forged)))
    for subject in (adder, replace(proved, network=adder)):
        with pytest.raises(cn.Rejected, match="about other weights"):
            cn.check(subject, certificate)


def test_without_a_certificate_there_is_nothing_to_check(
    proved: cn.Run, adder: Network, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="a network has no certificate: give one"):
        cn.check(adder)
    undecided = replace(proved, proof=cn.Undecided(("nothing",), 0.0))
    with pytest.raises(InputError, match="has no certificate: it is undecided, not proved"):
        cn.check(undecided)
    with pytest.raises(InputError, match="a Network or a Run is asked for, not 5"):
        cn.check(5)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="cannot be checked: there is no such folder"):
        cn.check(tmp_path / "none")


def test_every_run_has_its_verbs(tmp_path: Path) -> None:
    memory = cn.train(SHORT, progress=False)
    saved = memory.save(tmp_path / "saved")
    interrupted = create(tmp_path / "resumed", SHORT)
    few = {"harden.steps": 1, "again.steps": 1}
    runs = [
        memory,
        saved,
        cn.load(tmp_path / "saved"),
        cn.resume(interrupted),
        cn.resume(interrupted),  # which is finished by now
        cn.train(SHORT, out=tmp_path / "trained"),
        cn.harden(memory, settings=few),
        lab.decide(memory, budget=0),
        lab.decide(saved, budget=0),
        replace(memory, seconds=1.0),
    ]
    assert {type(run) for run in runs} == {cn.Run}
    assert len({run.network.digest() for run in runs}) == 2  # the hardened, and the others
    # a record is the same, less its verbs, and they take it
    record = folder.load(tmp_path / "saved")
    assert type(record) is Record
    assert repr(record) == repr(saved)
    assert not hasattr(record, "save")
    decided = lab.decide(record, budget=0)
    assert type(decided) is cn.Run
    assert decided.path == saved.path
    assert decided.proof.verdict == saved.proof.verdict
    assert cn.harden(record, settings=few).recipe == cn.harden(memory, settings=few).recipe


def test_settings_by_name_or_in_a_mapping() -> None:
    run = cn.train("certified", settings={"learn.steps": 20, "harden.steps": 10, "seed": 1}, seed=2)
    assert [stage.steps for stage in run.recipe.stages] == [20, 10]
    assert run.recipe.seed == 2
    again = cn.harden(run, settings={"again.steps": 3, "harden.steps": 5})
    assert [stage.steps for stage in again.recipe.stages] == [5, 3]
    with pytest.raises(InputError, match="did you mean 'harden"):
        cn.train("certified", settings={"hraden.steps": 3})


def test_what_is_no_path_and_no_settings_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="settings are a dictionary of keys and values"):
        cn.train(settings=[1])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="from the path of its folder, not 3"):
        cn.load(3)  # type: ignore[call-overload]
    cell = cn.Formula.parse("h = tanh(x @ A + h @ B)")
    run = cn.train("plain-adam", cell=cell, hidden=3, steps=1, progress=False)
    assert run.network.cell == cell


def test_a_network_of_many_symbols_is_tested_as_far_as_it_can_be() -> None:
    """Also where two digits are more problems than are soon tried: the recipe needs that many."""
    network = training.start(Recipe(task="add:base=16,operands=4", hidden=2)).network
    assert lab.importing(network).digits == 2
    with pytest.raises(InputError, match="all problems of 2 digits are more than are tried here"):
        lab.importing(network, 2)
    assert lab.importing(training.start(Recipe(hidden=2)).network).digits == 8
