"""The files of a run's folder, and how each is read and written.

    recipe.toml         everything that determines the training
    config.json         format, versions, engine, how far the run is, hash of the weights
    metrics.jsonl       error, loss and accuracy along the way
    model.safetensors   the weights
    evaluation.json     what was tested, and the outcome
    proof.json          the verdict: proved, refuted or undecided
    certificate.json    the proof, where there is one
    mechanism.json      what each unit of a network by construction means
    README.md           the model card
    origin.safetensors  the weights that training began with, where they were not random
    snapshots.safetensors    the weights at some moments of the training
    report.html         the page to look inside, written by the command line
    plots/              figures for papers, where they were asked for
    checkpoint.safetensors   where an unfinished training stands
    .lock               the process that is writing, while one is

Every file but `metrics.jsonl` is written under another name and then renamed,
so that whenever the process ends, each is whole or absent.  `metrics.jsonl`
grows line by line; what it has beyond the checkpoint is dropped on resuming.
Results, with the configuration that vouches for them, are replaced together, so
that a run that was finished stays so.  A folder that is written to belongs to one
process.  Nothing is ever unpickled.

Here is what a training begins with and what it ends in: recipe, configuration, networks and
results, each file by itself.  What is kept along the way is in `checkpoint`; how all of it makes
a run, in `folder`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from carrynet import files, locks
from carrynet.engines import ENGINES
from carrynet.errors import RunError, shorten, unknown
from carrynet.learn.mechanism import Mechanism
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network, network_for
from carrynet.nets.weights import Weights
from carrynet.proof.certificate import MOST_BYTES as MOST_CERTIFICATE
from carrynet.runs.replace import recover
from carrynet.spec.recipe import Recipe

RUNS = Path("runs")
"""Where runs are made, and looked for, when nobody says where."""
PLOTS = "plots"
"""The folder of a run for figures."""
FIGURES = ("learning_curve", "error_maps", "accuracy_by_length", "hidden_space", "weights")
"""What the figures in `PLOTS` are called, less the kind of file."""
HEAD = MappingProxyType({"format": "carrynet-run", "version": 2})
"""What every config.json begins with."""
FILES = frozenset(
    {
        *("recipe.toml", "config.json", "metrics.jsonl", "model.safetensors"),
        *("evaluation.json", "proof.json", "certificate.json", "README.md"),
        *("origin.safetensors", "snapshots.safetensors", "report.html", "mechanism.json"),
        "checkpoint.safetensors",
    }
)
"""What carrynet writes into a run's folder."""
RESULTS = ("evaluation_sha256", "proof_sha256", "certificate_sha256")
"""The keys of config.json that vouch for what was found out about the network."""


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration in a run's folder, each key of its kind and none missing.

    First a run whose replacement was cut off is brought back.  Raises `RunError` for a folder
    that is not a run, is damaged or from another version.
    """
    recover(folder)
    try:
        is_folder = folder.is_dir()
        path = locks.path_of(folder, "config.json")
        is_run = os.path.lexists(path) or os.path.lexists(folder / "config.json")
    except OSError as error:
        raise RunError(f"cannot read {shorten(str(folder))}: {error.strerror}") from None
    if not is_folder:
        raise RunError(f"{folder} is not a run: there is no such folder")
    if not is_run:
        raise RunError(f"{folder} is not a run: it has no config.json")
    with files.reading(folder / "config.json"):
        config = files.from_json(locks.read_result(folder, "config.json", files.MOST_TEXT))
    try:
        files.require_version(config if isinstance(config, dict) else {}, HEAD)
    except ValueError as error:
        raise RunError(f"{folder} is not a run that can be read: {error}") from None
    with files.reading(folder / "config.json"):
        known = ("training", "trained", "complete")
        status = config.get("status")
        files.require(status in known, f"unknown status {shorten(status)}")
        optional = set() if status == "training" else {"seconds", "weights_sha256"}
        later = {"source", "hardened", "worse_than", "seconds", "weights_sha256", *RESULTS}
        later.add("mechanism_sha256")
        needed = _CONFIG.keys() - later | optional
        if status == "complete":
            needed |= {"evaluation_sha256", "proof_sha256"}
        for key in sorted(needed - config.keys()):
            raise ValueError(f"{key} is missing")
        for key, value in config.items():
            if key not in _CONFIG:
                raise unknown("key", key, _CONFIG)
            files.require(isinstance(value, _CONFIG[key]), f"{key} is wrong: {shorten(value)}")
        files.require(config["engine"] in ENGINES, f"unknown engine {shorten(config['engine'])}")
    return config


_CONFIG: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("format", "carrynet", "python", "numpy", "engine", "recipe_sha256"), str),
    **dict.fromkeys(("status", "weights_sha256", *RESULTS), str),
    "version": int,
    "seconds": (int, float),
    "source": dict,
    "hardened": str,
    "worse_than": str,
    "mechanism_sha256": str,
}
"""The keys of config.json, and what they hold."""


def read_recipe(folder: Path, config: Mapping[str, Any]) -> Recipe:
    """The recipe, which must be the one that the run was started with."""
    path = folder / "recipe.toml"
    data = files.read_bytes(path, files.MOST_TEXT)
    with files.reading(path):
        unchanged = files.sha256(data) == config["recipe_sha256"]
        files.require(unchanged, "it is not the recipe that the run was started with")
        return Recipe.from_toml(data.decode())


def weights_from(tensors: Mapping[str, Array], recipe: Recipe) -> Weights:
    """The weights among tensors by name, which must be those of the recipe's network.

    For use within `files.reading`.
    """
    files.require(bool(tensors), "it holds nothing")
    network = network_for(recipe, Weights(tensors))
    fits = (network.hidden, network.dtype.name) == (recipe.hidden, recipe.dtype)
    files.require(
        fits, f"it has {network.hidden} units in {network.dtype}, which the recipe has not"
    )
    return network.weights


def read_trained(folder: Path, config: Mapping[str, Any]) -> Network:
    """The network that training ended in, which must be the one that it was finished with."""
    path, recipe = folder / "model.safetensors", read_recipe(folder, config)
    tensors, said = files.read_tensors(path)
    with files.reading(path):
        files.require_version(said, files.MODEL)
        network = network_for(recipe, weights_from(tensors, recipe))
        ours = network.digest() == config["weights_sha256"]
        files.require(ours, "its weights are not those that the run was finished with")
        files.require_facts(said, network.about)
        return network


def read_origin(folder: Path, recipe: Recipe) -> Network | None:
    """The network that the recipe begins with; None where it begins with random weights."""
    if not recipe.origin:
        return None
    path = folder / "origin.safetensors"
    tensors, said = files.read_tensors(path)
    with files.reading(path):
        files.require_version(said, files.MODEL)
        network = network_for(recipe, weights_from(tensors, recipe))
        files.require(network.digest() == recipe.origin, "it is not the recipe's origin")
        files.require_facts(said, network.about)
        return network


def read_result(folder: Path, config: Mapping[str, Any], name: str) -> Any:
    """The document in NAME.json, which must be the one that the run was finished with."""
    most = MOST_CERTIFICATE if name == "certificate" else files.MOST_TEXT
    data = locks.read_result(folder, f"{name}.json", most)
    with files.reading(folder / f"{name}.json"):
        ours = files.sha256(data) == config[f"{name}_sha256"]
        files.require(ours, f"it is not the {name} that the run was finished with")
        return files.from_json(data)


def read_mechanism(folder: Path, config: Mapping[str, Any]) -> Mechanism | None:
    """What the units of a network by construction mean; None of any other."""
    if "mechanism_sha256" not in config:
        return None
    path = folder / "mechanism.json"
    data = files.read_bytes(path)
    with files.reading(path):
        ours = files.sha256(data) == config["mechanism_sha256"]
        files.require(ours, "it is not the mechanism that the run was started with")
        found = Mechanism.from_json(files.from_json(data))
        its = found.weights_sha256 == config.get("weights_sha256", found.weights_sha256)
        files.require(its, "it is about another network")
        return found


def foreign(file: Path) -> Path | None:
    """A file of a run's folder that carrynet has not made: itself, or one in it; None if all is."""
    if file.name == PLOTS and file.is_dir():
        made = {f"{name}.{form}" for name in FIGURES for form in ("png", "svg")}
        return next((each for each in sorted(file.iterdir()) if each.name not in made), None)
    ours = file.name in FILES or file.name == locks.Lock.NAME or is_leftover(file)
    if file.name.startswith(locks.REPLACING) and file.is_dir():
        ours = all(each.name[3:] in FILES for each in file.iterdir())
    return None if ours else file


def is_of_run(path: Path) -> bool:
    """Whether a path is where a run has, or will have, one of its files."""
    return path.name in FILES and (path.parent / "recipe.toml").exists()


def is_leftover(file: Path) -> bool:
    """Whether a file is a write of ours that was cut off."""
    return files.leftover(file.name) in FILES


def write_trained(folder: Path, network: Network, seconds: float) -> None:
    """Write the weights and, after them, that the run is trained."""
    write_network(folder / "model.safetensors", network)
    set_status(folder, "trained", seconds=seconds, weights_sha256=network.digest())


def write_network(path: Path, network: Network) -> None:
    """Write a network as safetensors that say what it is."""
    files.write_tensors(path, network.weights, facts(network))


def facts(network: Network) -> dict[str, Any]:
    """What a file of weights says of the network that they are of."""
    return {**files.MODEL, **network.about}


def set_status(folder: Path, status: str, **more: Any) -> None:
    """Write how far the run is, and `more` keys of its configuration."""
    files.write_json(folder / "config.json", {**read_config(folder), "status": status, **more})
