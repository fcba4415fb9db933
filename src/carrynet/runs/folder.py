"""A run's folder as a whole: read, found, finished.  What its files hold is in `format`."""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from carrynet import files, locks
from carrynet.errors import RunError
from carrynet.exchange.source import Source
from carrynet.judge.evaluation import Evaluation
from carrynet.nets.network import Network, written
from carrynet.proof import search, verdict
from carrynet.proof.certificate import (
    MOST_BYTES as MOST_CERTIFICATE,
    Certificate,
    Rejected,
    from_json,
)
from carrynet.proof.model import Model, read_model as read_model_of
from carrynet.proof.verdict import Proved, Undecided, Verdict
from carrynet.runs.card import model_card
from carrynet.runs.checkpoint import read_metrics, read_snapshots
from carrynet.runs.format import (
    RESULTS,
    RUNS,
    is_leftover,
    read_config,
    read_mechanism,
    read_origin,
    read_recipe,
    read_result,
    read_trained,
)
from carrynet.runs.record import Record, has_lost
from carrynet.runs.replace import meant_for, recover
from carrynet.spec.recipe import Recipe


def load(path: str | Path) -> Record:
    """Read a finished run from its folder.

    A proof is checked once more, unless that would take long: then it is the one that is
    recorded, and says so (`Proved.checked`).

    Raises `RunError`, naming the file, for a folder that is missing, not a run,
    unfinished, damaged or of another version.
    """
    folder, error = Path(path), None
    config: dict[str, Any] = {}
    for _ in range(_TRIES):
        now = _finished(folder)
        if error is not None and now == config:
            raise error
        try:
            return _read_run(folder, now)
        except RunError as refused:  # unless results were replaced while they were read
            config, error = now, refused
    raise RunError(f"{folder} is being written all the time: try again when that is done")


_TRIES = 20


def _finished(folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    if config["status"] != "complete":
        raise RunError(f"{folder} is unfinished: {resume_hint(folder)}")
    return config


def _read_run(folder: Path, config: Mapping[str, Any], proof: Verdict | None = None) -> Record:
    """A run, with a verdict that is known in this process, or the one in its folder."""
    recipe = read_recipe(folder, config)
    network = read_trained(folder, config)
    with files.reading(folder / "evaluation.json"):
        document = read_result(folder, config, "evaluation")
        evaluation = Evaluation.from_json(document, network.task)
    with files.reading(folder / "config.json"):
        source = Source.from_json(config["source"]) if "source" in config else None
    return Record(
        recipe,
        config["engine"],
        network,
        config["seconds"],
        evaluation,
        proof or _read_proof(folder, config, network),
        tuple(read_metrics(folder)),
        folder,
        read_origin(folder, recipe),
        tuple(read_snapshots(folder, recipe, network)),
        source,
        Path(config["worse_than"]) if "worse_than" in config else None,
        read_mechanism(folder, config),
    )


def _read_proof(folder: Path, config: Mapping[str, Any], network: Network) -> Verdict:
    """The verdict on a network, confirmed where that is quickly done."""
    document = read_result(folder, config, "proof")
    certificate = None
    if "certificate_sha256" in config:
        values = read_result(folder, config, "certificate")
        with files.reading(folder / "certificate.json"):
            certificate = from_json(values)
            ours = certificate.weights_sha256 == network.digest()
            files.require(ours, "it is about another network")
    with files.reading(folder / "proof.json"):
        recorded = verdict.from_json(document, certificate)
        if isinstance(recorded, Undecided) or not search.quickly_confirmed(network, recorded):
            return recorded
        try:
            return search.confirm(network, recorded)
        except Rejected as error:
            if isinstance(recorded, Proved):
                raise files.damaged(folder / "certificate.json", error) from None
            # a wrong digit within rounding of zero may be right on another machine
            return Undecided((f"{error}",), recorded.seconds)


def read_model(folder: Path) -> Model:
    """A run's weights, as plain numbers and by the checker's own reader."""
    path = folder / "model.safetensors"
    data = files.read_bytes(path)
    with files.reading(path):
        return read_model_of(data)


def read_network(path: Path) -> Network:
    """A network from a `model.safetensors`, or from the finished run in a folder.

    Of a run, no more is read than its network takes.  Raises `RunError` for any other file.
    """
    if not path.is_file():
        return read_trained(path, _finished(path))
    tensors, said = files.read_tensors(path)
    with files.reading(path):
        return written(tensors, said)


def read_certificate(folder: Path) -> Certificate:
    """The certificate in a run's folder, believed by nobody yet.

    Raises `RunError` where there is none, or something else.
    """
    recover(folder)
    paths = locks.path_of(folder, "certificate.json"), folder / "certificate.json"
    if not any(map(os.path.lexists, paths)):
        exists = folder.is_dir()
        what = (
            "it has no certificate.json: only a proved run has"
            if exists
            else "there is no such folder"
        )
        raise RunError(f"{folder} cannot be checked: {what}")
    data = locks.read_result(folder, "certificate.json", MOST_CERTIFICATE)
    with files.reading(folder / "certificate.json"):
        return from_json(files.from_json(data))


def newest(
    root: str | Path = RUNS,
    fits: Callable[[Recipe], bool] = lambda _: True,
    what: str = "run",
    make: str = "train",
) -> Path:
    """The finished run under `root` that was started last, among those whose recipe fits.

    A run that came out worse than the one that it hardened counts only where there is no other.
    Raises `RunError` when there is none; `what` says what was looked for, `make` by which
    command there will be one.
    """
    starts = []
    for hidden in Path(root).glob(".*"):
        if name := meant_for(hidden.name):
            recover(Path(root) / name)
    for recipe_file in Path(root).glob("*/recipe.toml"):
        if not recipe_file.parent.name.startswith("."):
            starts.append((recipe_file.stat().st_mtime_ns, recipe_file.parent))
    unfinished: Path | None = None
    worse: Path | None = None
    for _, folder in sorted(starts, reverse=True):
        try:
            config = read_config(folder)
            if fits(read_recipe(folder, config)):
                if config["status"] == "complete" and "worse_than" not in config:
                    return folder
                if config["status"] == "complete":
                    worse = worse or folder
                else:
                    unfinished = unfinished or folder
        except RunError:
            continue  # a damaged folder is reported when it is asked for by name
    if worse:
        return worse
    if unfinished:
        raise RunError(f"no finished {what} under {root}: {resume_hint(unfinished)}")
    raise RunError(f"no {what} under {root}: make one with '{program()} {make}'")


def finish(folder: Path, network: Network, evaluation: Evaluation, proof: Verdict) -> Record:
    """Write the results, the model card, and that the run is complete: all of it or nothing.

    Raises `RunError` where the folder is not locked, or the weights in it are not the network's.
    """
    found = read_config(folder)
    locks.require_lock(folder)
    if found.get("weights_sha256") != network.digest():
        raise RunError(f"{folder} holds another network than the one that was judged")
    outdated = (*RESULTS, "worse_than")
    config = {key: value for key, value in found.items() if key not in outdated}
    if "hardened" in config and _has_got_worse(config, network, evaluation, proof):
        config["worse_than"] = config["hardened"]
    texts = {
        "evaluation": files.json_text(evaluation.to_json()),
        "proof": files.json_text(verdict.to_json(proof)),
    }
    if isinstance(proof, Proved):
        texts["certificate"] = proof.certificate.text()
    contents = {f"{name}.json": text.encode() for name, text in texts.items()}
    hashes = {f"{name}_sha256": files.sha256(contents[f"{name}.json"]) for name in texts}
    config |= {"status": "complete", **hashes}
    mechanism = read_mechanism(folder, config)
    training = read_recipe(folder, config), read_metrics(folder)
    card = model_card(*training, config, evaluation, proof, mechanism)
    contents["README.md"] = card.encode()
    contents["config.json"] = files.json_text(config).encode()  # the last to be moved
    locks.replace_all(folder, contents)
    for file in folder.iterdir():
        stale = file.name == "checkpoint.safetensors" or is_leftover(file)
        if stale or (file.name == "certificate.json" and "certificate" not in texts):
            files.guard(file, file.unlink, missing_ok=True)
    return _read_run(folder, config, proof)


def _has_got_worse(
    config: Mapping[str, Any], network: Network, evaluation: Evaluation, proof: Verdict
) -> bool:
    """Whether a hardened network has lost what the run had that was hardened, if that is there."""
    try:
        old = load(config["hardened"])
    except RunError:
        return False
    return has_lost(replace(old, network=network, evaluation=evaluation, proof=proof), old)


def program() -> str:
    """What the user types to run the command line: with `uv run` in front where that was used."""
    return "uv run carrynet" if "UV_RUN_RECURSION_DEPTH" in os.environ else "carrynet"


def resume_hint(folder: Path) -> str:
    """How to go on with an unfinished run."""
    return f"go on with: {program()} train --resume {argument(folder)}"


def argument(path: Path) -> str:
    """A path as an argument of a command, to be copied."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)
