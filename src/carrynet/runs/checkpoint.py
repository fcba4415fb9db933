"""What is kept of a training along the way: metrics, snapshots, and where it stands.

A training calls a recorder as it goes: `Notes` keep what a run is to show, in memory;
`Recorder` writes it into the run's folder, with checkpoints from which the training goes on,
should its process end, to the same weights, bit for bit.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from carrynet import files
from carrynet.learn import training
from carrynet.learn.edges import Boxes
from carrynet.learn.training import Album, Diverged, Ended, Progress, Snapshot, State
from carrynet.nets import invariant
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network, network_for
from carrynet.nets.optim import BUFFERS
from carrynet.nets.weights import Weights
from carrynet.runs.format import read_config, weights_from
from carrynet.spec.recipe import Recipe

CHECKPOINT_SECONDS = 2.0
"""Between two checkpoints."""
MOST_METRICS = 256 * 2**20
"""The largest metrics.jsonl, in bytes, that is read: of a training of a hundred hours."""


class Notes:
    """A recorder in memory."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.metrics: list[dict[str, Any]] = []
        self._album, self._started = Album(state), time.monotonic()

    def __enter__(self) -> "Notes":
        return self

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, progress: Progress) -> None:
        """Keep what is told of a training."""
        self.state = progress.state
        self._album(progress)
        self.metrics.append(_line(progress))

    @property
    def seconds(self) -> float:
        """Time since the training began."""
        return time.monotonic() - self._started

    @property
    def snapshots(self) -> list[Snapshot]:
        """The network at some moments."""
        return self._album.snapshots


class Recorder:
    """A recorder into a run's folder, which begins where the folder's checkpoint stands.

    The caller holds the folder's lock.  `start` is the state where there is no checkpoint yet.
    """

    def __init__(self, folder: Path, recipe: Recipe, start: Callable[[], State]) -> None:
        state, seconds = read(folder, recipe)
        state = state or start()
        shown = recipe.shown(state.stage, state.step)
        begun = (folder / "metrics.jsonl").exists()
        before = read_metrics(folder) if begun else []
        kept = [line for line in before if line["problem"] <= shown]
        files.write(folder / "metrics.jsonl", files.json_lines(kept))
        begun = (folder / "snapshots.safetensors").exists()
        album = read_snapshots(folder, recipe, state.network) if begun else []
        taken = [each for each in album if each.problem <= shown]
        self._album = Album(state, taken)
        self.state = state  # the very first can be saved too, should training go wrong at once
        self._folder, self._before = folder, seconds
        self._file = files.guard(folder, (folder / "metrics.jsonl").open, "a", encoding="utf-8")
        self._started = self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent in training, that before the checkpoint included."""
        return self._before + time.monotonic() - self._started

    def __call__(self, progress: Progress) -> None:
        """Keep what is told of a training."""
        self.state = progress.state
        self._album(progress)
        files.guard(self._file.name, self._file.write, files.json_lines([_line(progress)]))
        if time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write where the training stands."""
        # metrics and snapshots first: a checkpoint never knows of more than they do
        files.guard(self._file.name, self._file.flush)
        self._keep_snapshots()
        write(self._folder, self.state, self.seconds)
        self._saved = time.monotonic()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if isinstance(error, KeyboardInterrupt | Diverged):
                self.checkpoint()
        finally:
            files.guard(self._file.name, self._file.close)
        if error is None:
            self._keep_snapshots()

    def _keep_snapshots(self) -> None:
        write_snapshots(self._folder, self._album.snapshots)


# Metrics -----------------------------------------------------------------------------


def _line(progress: Progress) -> dict[str, Any]:
    """One line of metrics.jsonl; a loss that is not finite is null there."""
    line = {key: getattr(progress, key) for key in _METRICS}
    if progress.open_edges is not None:
        line["open_edges"] = progress.open_edges
    return line if isfinite(progress.loss) else {**line, "loss": None}


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last one that is cut off is left out."""
    path = folder / "metrics.jsonl"
    text = files.read_bytes(path, MOST_METRICS).decode("utf-8", "replace")
    with files.reading(path):
        lines = [files.from_json(line) for line in text.split("\n")[:-1]]
        for number, line in enumerate(lines, 1):
            for key, kind in _METRICS.items():
                good = isinstance(line, dict) and type(line.get(key)) in kind
                files.require(good, f"line {number}: {key} is missing or wrong")
            opened = line.get("open_edges", 0)
            good = type(opened) is int and opened >= 0
            files.require(good, f"line {number}: open_edges is wrong")
        return lines


_METRICS: dict[str, tuple[type, ...]] = {
    "stage": (str,),
    "step": (int,),
    "problem": (int,),
    "error": (int, float),
    "loss": (int, float, type(None)),
    "right": (int, float),
}
"""The keys of a line of metrics.jsonl, and what they hold."""


# Checkpoints and snapshots -------------------------------------------------------------


def write(folder: Path, state: State, seconds: float) -> None:
    """Write where a training stands, and the seconds that it has taken."""
    tensors = _named("weights", state.network.weights)
    for i, moment in enumerate(state.moments):
        tensors |= _named(f"moments.{i}", moment)
    if state.boxes is not None:
        tensors |= _named("boxes", state.boxes.values)
        for i, moment in enumerate(state.boxes.moments):
            tensors |= _named(f"boxes_moments.{i}", moment)
    facts = {"stage": state.stage, "step": state.step, "seconds": seconds}
    if state.best:
        tensors |= _named("best", state.best.network.weights)
        facts["open_edges"] = state.best.open_edges
    _write(folder, "checkpoint.safetensors", tensors, **facts)


def read(folder: Path, recipe: Recipe) -> tuple[State | None, float]:
    """The state and the seconds of a checkpoint; (None, 0) where there is none yet."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return None, 0.0
    tensors, facts = files.read_tensors(path)
    with files.reading(path):
        _check(folder, tensors, facts)
        stage, step, seconds = (facts[key] for key in ("stage", "step", "seconds"))
        files.require(type(stage) is int and type(step) is int, "it does not say where training is")
        files.require(type(seconds) is float and 0 <= seconds < 1e12, "its time is wrong")
        groups = _groups(tensors)
        weights = weights_from(groups.pop("weights"), recipe)
        best = _best(recipe, groups.pop("best", None), facts)
        again = stage < len(recipe.schedule) and recipe.repeats(stage)
        files.require((best is not None) == again, "it has a best end, or none, against its stage")
        kept = {name: group for name, group in groups.items() if name.startswith("boxes")}
        moments = tuple(
            weights_from(groups[f"moments.{i}"], recipe) for i in range(len(groups) - len(kept))
        )
        schedule = recipe.schedule
        ended = stage == len(schedule)
        files.require(ended or 0 <= stage < len(schedule), f"there is no stage {stage}")
        steps = 1 if ended else schedule[stage].steps
        files.require(0 <= step < steps, f"stage {stage} has no step {step}")
        buffers = 0 if ended else BUFFERS[schedule[stage].optimiser]
        files.require(len(moments) == buffers, f"it has {len(moments)} moments, not {buffers}")
        network = network_for(recipe, weights)
        over = "problems" if ended else schedule[stage].over
        boxes = _boxes(network, kept, buffers) if over == "edges" else None
        files.require(bool(kept) == (over == "edges"), "it has boxes, or none, against its stage")
        return State(network, moments, stage, step, boxes, best), seconds


def _best(
    recipe: Recipe, weights: dict[str, Array] | None, facts: Mapping[str, Any]
) -> Ended | None:
    """How a stage ended best that is made again; for use within `files.reading`."""
    if weights is None:
        return None
    opened = facts["open_edges"]
    files.require(type(opened) is int and opened > 0, "how many edges were left open is wrong")
    return Ended(network_for(recipe, weights_from(weights, recipe)), opened)


def _boxes(network: Network, groups: Mapping[str, dict[str, Array]], buffers: int) -> Boxes:
    """The boxes of a stage over edges; for use within `files.reading`."""
    names = ["boxes", *(f"boxes_moments.{i}" for i in range(buffers))]
    files.require({*groups} == {*names}, "its boxes are not whole")
    shapes = invariant.shapes(network)
    for group in groups.values():
        found = {name: array.shape for name, array in group.items()}
        fits = found == shapes and {array.dtype for array in group.values()} == {network.dtype}
        finite = all(np.isfinite(array).all() for array in group.values())
        files.require(fits and finite, "its boxes are not those of the network")
    values, *moments = (Weights({name: groups[key][name] for name in shapes}) for key in names)
    return Boxes(values, tuple(moments))


def write_snapshots(folder: Path, snapshots: Sequence[Snapshot]) -> None:
    """Write the network at some moments of its training."""
    tensors: dict[str, Array] = {}
    for each in snapshots:
        tensors |= _named(str(each.problem), each.network.weights)
    _write(folder, "snapshots.safetensors", tensors)


def read_snapshots(folder: Path, recipe: Recipe, network: Network) -> list[Snapshot]:
    """The network at some moments of its training, in their order; `network` is one of them."""
    path = folder / "snapshots.safetensors"
    tensors, facts = files.read_tensors(path, most_snapshots(recipe, network))
    with files.reading(path):
        _check(folder, tensors, facts)
        return [
            Snapshot(int(problem), network_for(recipe, weights_from(group, recipe)))
            for problem, group in sorted(_groups(tensors).items(), key=lambda item: int(item[0]))
        ]


def most_snapshots(recipe: Recipe, network: Network) -> int:
    """The most bytes that the snapshots of a network's training take: weights, and a header."""
    each = sum(array.nbytes for array in network.weights.values()) + 1000
    return (1 + len(recipe.schedule) * len(training.SHARES)) * each + files.MOST_TEXT


def _write(folder: Path, name: str, tensors: dict[str, Array], **facts: Any) -> None:
    """Write tensors that belong to the run's recipe, and a digest of all that is said."""
    facts = {"recipe": read_config(folder)["recipe_sha256"], **facts}
    facts["digest"] = digest(tensors, facts)
    files.write_tensors(folder / name, tensors, facts)


def _check(folder: Path, tensors: Mapping[str, Array], facts: dict[str, Any]) -> None:
    """Refuse what `_write` has not written for this run; for use within `files.reading`."""
    said = facts.pop("digest", None)
    files.require(said == digest(tensors, facts), "its contents do not match its digest")
    mine = facts["recipe"] == read_config(folder)["recipe_sha256"]
    files.require(mine, "it belongs to another recipe")


def _named(prefix: str, weights: Weights) -> dict[str, Array]:
    return {f"{prefix}.{name}": array for name, array in weights.items()}


def _groups(tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Tensors by the parts of their names before and after the last dot."""
    groups: dict[str, dict[str, Array]] = {}
    for name, tensor in tensors.items():
        group, _, part = name.rpartition(".")
        groups.setdefault(group, {})[part] = tensor
    return groups


def digest(tensors: Mapping[str, Array], facts: Mapping[str, Any]) -> str:
    """SHA-256 of tensors, their names, types and shapes, and of what is said about them."""
    whole = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        whole.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        whole.update(tensors[name].tobytes())
    return whole.hexdigest()
