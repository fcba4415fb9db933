"""The run folder: what a training leaves behind, and how it survives being killed.

    recipe.toml         everything that determines the training
    config.json         format, versions, engine, how far the run is, hash of the weights
    metrics.jsonl       error, loss and accuracy along the way
    model.safetensors   the weights
    evaluation.json     what was tested, and the outcome
    README.md           the model card
    checkpoint.safetensors   where an unfinished training stands

Every file but `metrics.jsonl` is written under another name and then renamed,
so that whenever the process ends, each is whole or absent.  `metrics.jsonl`
grows line by line; what it has beyond the checkpoint is dropped on resuming.
Nothing is ever unpickled.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from carrynet import __version__, engines, recipe as recipes, training
from carrynet.cells import Array
from carrynet.errors import CarrynetError, InputError, RunError
from carrynet.evaluation import Evaluation, Worked, examine, work
from carrynet.network import Network, Weights
from carrynet.progress import Bar
from carrynet.recipe import Recipe
from carrynet.tasks import parse
from carrynet.training import Callback, Diverged, Progress, State

RUNS = Path("runs")
CHECKPOINT_SECONDS = 2.0
FORMAT, FORMAT_VERSION = "carrynet-run", 1


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training: what was asked, what came of it, and where it lies."""

    recipe: Recipe
    engine: str
    network: Network
    seconds: float  # of training, resumed parts added up
    evaluation: Evaluation
    metrics: tuple[Mapping[str, Any], ...]  # the lines of metrics.jsonl
    path: Path | None = None  # None for a run that was not written to disk

    def __repr__(self) -> str:
        tested = self.evaluation.exhaustive
        return (
            f"Run({str(self.path or 'in memory')!r}, {self.network!r}, exhaustive: "
            f"{tested.right:,} of {tested.pairs:,} right at {tested.digits} digits)"
        )

    @cached_property
    def last_problem(self) -> Worked:
        """The last problem of the training, worked by the finished network."""
        digits = self.recipe.digits - self.network.task.headroom
        return work(self.network, training.last_problem(self.recipe), digits)

    def to_json(self) -> dict[str, Any]:
        """The document that `carrynet train --json` prints."""
        last = self.last_problem
        return {
            "run": None if self.path is None else str(self.path),
            "recipe": asdict(self.recipe),
            "training": {
                "engine": self.engine,
                "seconds": self.seconds,
                "problems": self.recipe.problems,
                "final_error": last.error,
            },
            "evaluation": self.evaluation.to_json(),
            "proof": None,
            "last_problem": last.to_json(),
        }

    def save(self, path: str | Path, *, force: bool = False) -> "Run":
        """Write the run as a folder and return it with its new place.

        Raises `InputError` when `path` exists, unless `force` and it is a run.
        """
        folder = create(path, self.recipe, self.engine, force=force)
        _write(folder / "metrics.jsonl", _json_lines(self.metrics))
        _write_model(folder, self.network, self.seconds)
        return _write_evaluation(folder, self.evaluation)


def train(
    recipe: str | Path | Recipe = "tutorial",
    *,
    out: str | Path | None = None,
    force: bool = False,
    engine: str = "auto",
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Train a network by a recipe and evaluate it.

    `settings` change single keys of the recipe: `train("tutorial", hidden=16, seed=3)`.
    With `out` the run is written to that folder, with checkpoints along the way;
    without, it is kept in memory and can be saved later.

    Raises `InputError` for settings outside what is accepted or an `out` that exists,
    `RunError` when the folder cannot be written, `Diverged` when training overflows.
    """
    chosen = recipes.get(recipe).with_settings(settings)
    if out is not None:
        folder = create(out, chosen, engine, force=force)
        return resume(folder, callbacks=callbacks, progress=progress)
    engine = engines.get(engine, chosen.hidden, chosen.dtype).name
    lines: list[dict[str, Any]] = []
    started = time.monotonic()
    with Bar(progress) as bar:
        callbacks = [lambda progress: lines.append(_metrics(progress)), bar, *callbacks]
        network = training.fit(chosen, engine=engine, callbacks=callbacks)
        seconds = time.monotonic() - started
        evaluation = examine(network, chosen.digits, watch=bar.watch)
    return Run(chosen, engine, network, seconds, evaluation, tuple(lines))


def create(path: str | Path, recipe: Recipe, engine: str = "auto", *, force: bool = False) -> Path:
    """Make a new run folder, which appears whole or not at all, for `resume` to carry out.

    Raises `InputError` when `path` exists, unless `force` and it is a run, or for an
    unknown engine; `RunError` when the folder cannot be written.
    """
    path, engine = Path(path), engines.get(engine, recipe.hidden, recipe.dtype).name
    if path.exists() or path.is_symlink():
        if not force:
            raise InputError(f"{path} exists: choose another folder, or --force to replace it")
        try:
            _read_config(path)
        except RunError:
            raise InputError(f"{path} is not a run: --force replaces nothing else") from None
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    replaced = path.with_name(f".{path.name}.{os.getpid()}.old")

    def action() -> None:
        try:
            beside.mkdir(parents=True)
            _write(beside / "recipe.toml", recipe.to_toml())
            _write_json(
                beside / "config.json",
                {
                    "format": FORMAT,
                    "version": FORMAT_VERSION,
                    "carrynet": __version__,
                    "python": sys.version.split()[0],
                    "numpy": np.__version__,
                    "engine": engine,
                    "status": "training",
                },
            )
            if path.exists():
                path.rename(replaced)
            beside.rename(path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            shutil.rmtree(replaced, ignore_errors=True)

    _guard(path, action)
    return path


def resume(path: str | Path, *, callbacks: Sequence[Callback] = (), progress: bool = True) -> Run:
    """Go on with a run that was interrupted, from its last checkpoint.

    Ends in the same weights, bit for bit, as if it had not been.  A finished run
    is returned as it is.  Raises `RunError` when the folder is not a run or damaged.
    """
    folder = Path(path)
    config, recipe = _read_config(folder), _read_recipe(folder)
    with Bar(progress) as bar:
        if config["status"] == "training":
            state, seconds = _read_checkpoint(folder, recipe)
            recorder = _Recorder(folder, recipe, state, seconds)
            try:
                network = training.fit(
                    recipe,
                    engine=config["engine"],
                    state=state,
                    callbacks=[recorder, bar, *callbacks],
                )
            except (KeyboardInterrupt, Diverged):
                recorder.checkpoint()
                raise
            finally:
                recorder.close()
            _write_model(folder, network, recorder.seconds)
            config = _read_config(folder)
        if config["status"] == "trained":
            network = _read_model(folder, config)
            _write_evaluation(folder, examine(network, recipe.digits, watch=bar.watch))
    return load(folder)


def load(path: str | Path) -> Run:
    """Read a finished run from its folder.

    Raises `RunError`, naming the file, for a folder that is missing, not a run,
    unfinished, damaged or from a later version.
    """
    folder = Path(path)
    config, recipe = _read_config(folder), _read_recipe(folder)
    if config["status"] != "complete":
        raise RunError(
            f"{folder} is unfinished: go on with 'carrynet train --resume {folder}', "
            "or name another run"
        )
    try:
        evaluation = Evaluation.from_json(json.loads(_read_text(folder / "evaluation.json")))
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder / "evaluation.json", error) from None
    return Run(
        recipe,
        config["engine"],
        _read_model(folder, config),
        config["seconds"],
        evaluation,
        tuple(_read_metrics(folder)),
        folder,
    )


def newest(
    root: str | Path = RUNS, fits: Callable[[Recipe], bool] = lambda _: True, what: str = "run"
) -> Path:
    """The run under `root` that was started last, among those whose recipe fits.

    Raises `RunError` when there is none; `what` says what was looked for.
    """
    starts = []
    for recipe_file in Path(root).glob("*/recipe.toml"):
        if not recipe_file.parent.name.startswith("."):
            starts.append((recipe_file.stat().st_mtime_ns, recipe_file.parent))
    for _, folder in sorted(starts, reverse=True):
        try:
            if fits(_read_recipe(folder)):
                return folder
        except RunError:
            continue  # a damaged folder is reported when it is asked for by name
    raise RunError(f"no {what} under {root}: make one with 'carrynet train'")


def fresh_path(recipe: Recipe, root: str | Path = RUNS) -> Path:
    """A name for a new run under `root`, numbered after those that are there."""
    root = Path(root)
    numbers = [
        int(match[1])
        for folder in (root.iterdir() if root.is_dir() else ())
        if (match := re.match(r"(\d{4,})-", folder.name))
    ]
    text = f"{recipe.name}-{recipe.task}-h{recipe.hidden}-s{recipe.seed}"
    return root / f"{max(numbers, default=0) + 1:04}-{re.sub(r'[^A-Za-z0-9]+', '-', text)}"


# Recording ---------------------------------------------------------------------------


def _metrics(progress: Progress) -> dict[str, Any]:
    """One line of metrics.jsonl."""
    keys = ("stage", "step", "problem", "error", "loss", "right")
    return {key: getattr(progress, key) for key in keys}


class _Recorder:
    """The callback that keeps a run's metrics and checkpoints on disk."""

    def __init__(self, folder: Path, recipe: Recipe, state: State | None, seconds: float) -> None:
        shown = 0 if state is None else _shown(recipe, state)
        kept = [line for line in _read_metrics(folder) if line["problem"] <= shown]
        _write(folder / "metrics.jsonl", _json_lines(kept))
        self._folder, self._state, self._before = folder, state, seconds
        self._file = _guard(folder, (folder / "metrics.jsonl").open, "a", encoding="utf-8")
        self._started = self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent in training, that before the checkpoint included."""
        return self._before + time.monotonic() - self._started

    def __call__(self, progress: Progress) -> None:
        self._state = progress.state
        _guard(self._file.name, self._file.write, _json_lines([_metrics(progress)]))
        if time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
            self.checkpoint()

    def checkpoint(self) -> None:
        if self._state is not None:
            # metrics first: a checkpoint never knows of more than they do
            _guard(self._file.name, self._file.flush)
            _write_checkpoint(self._folder, self._state, self.seconds)
            self._saved = time.monotonic()

    def close(self) -> None:
        _guard(self._file.name, self._file.close)


def _shown(recipe: Recipe, state: State) -> int:
    """How many problems were shown up to a state."""
    done = sum(stage.steps * stage.batch for stage in recipe.stages[: state.stage])
    if state.stage < len(recipe.stages):
        done += state.step * recipe.stages[state.stage].batch
    return done


# Writing -----------------------------------------------------------------------------


def _guard(place: object, action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Do something to the disk; what the system refuses becomes one line."""
    try:
        return action(*arguments, **options)
    except OSError as error:
        raise RunError(f"cannot write {place}: {error.strerror or error}") from None


def _write(path: Path, content: str | bytes) -> None:
    """Write a whole file or leave what was there."""
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}")

    def action() -> None:
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    _guard(path, action)


def _json_lines(documents: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    _write(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def _write_model(folder: Path, network: Network, seconds: float) -> None:
    """Write the weights and, after them, that the run is trained."""
    facts = {
        "task": network.task.text,
        "activation": network.activation,
        "weights_sha256": network.digest(),
    }
    _write_tensors(folder / "model.safetensors", network.weights._asdict(), facts)
    _set_status(folder, "trained", seconds=seconds, weights_sha256=network.digest())


def _write_evaluation(folder: Path, evaluation: Evaluation) -> Run:
    """Write the evaluation and the model card and, after them, that the run is complete."""
    _write_json(folder / "evaluation.json", evaluation.to_json())
    config, recipe = _read_config(folder), _read_recipe(folder)
    _write(folder / "README.md", model_card(recipe, config, evaluation))
    for leftover in ("checkpoint.safetensors", ".*"):  # hidden: writes that were cut off
        for path in folder.glob(leftover):
            _guard(path, path.unlink)
    _set_status(folder, "complete")
    return load(folder)


def _set_status(folder: Path, status: str, **more: Any) -> None:
    _write_json(folder / "config.json", {**_read_config(folder), "status": status, **more})


def _write_checkpoint(folder: Path, state: State, seconds: float) -> None:
    tensors = _named("weights", state.network.weights)
    for i, moment in enumerate(state.moments):
        tensors |= _named(f"moments.{i}", moment)
    facts = {
        "recipe": _recipe_digest(_read_recipe(folder)),
        "stage": state.stage,
        "step": state.step,
        "seconds": seconds,
    }
    facts["digest"] = _digest(tensors, facts)
    _write_tensors(folder / "checkpoint.safetensors", tensors, facts)


def _write_tensors(path: Path, tensors: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
    # One key of metadata: safetensors writes several in random order, and equal runs are to
    # have equal files.
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    _write(path, safetensors.numpy.save(contiguous, {"carrynet": json.dumps(facts)}))


def _named(prefix: str, weights: Weights) -> dict[str, Array]:
    return {f"{prefix}.{name}": array for name, array in weights._asdict().items()}


def _recipe_digest(recipe: Recipe) -> str:
    return hashlib.sha256(recipe.to_toml().encode()).hexdigest()


def _digest(tensors: Mapping[str, Array], facts: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def model_card(recipe: Recipe, config: Mapping[str, Any], evaluation: Evaluation) -> str:
    """The run's README.md, with its results in the form that model hubs read."""
    tested, name = evaluation.exhaustive, f"{recipe.name}-{recipe.task}-h{recipe.hidden}"
    rows = "\n".join(
        f"| {part.digits:,} | {part.kind} | {part.right:,} of {part.pairs:,} | {part.margin:.2f} |"
        for part in evaluation.sampled
    )
    return f"""---
library_name: carrynet
tags: [recurrent-neural-network, arithmetic, length-generalisation]
model-index:
- name: {json.dumps(name)}
  results:
  - task: {{type: arithmetic, name: {json.dumps(recipe.task)}}}
    dataset: {{type: exhaustive, name: "all problems of up to {tested.digits} digits"}}
    metrics: [{{type: accuracy, value: {tested.right / tested.pairs}}}]
---
# {recipe.task}, learned digit by digit

A recurrent network with {recipe.hidden} {recipe.activation} hidden units that was trained on
{recipe.problems:,} examples of the task `{recipe.task}`, least significant digit first.

**Exhaustive**: {tested.right:,} of all {tested.pairs:,} problems with operands of up to
{tested.digits} digits are right (smallest margin {tested.margin:.2f}).

**Sampled**: problems drawn at random, evenly (uniform) or with long carries (chains).

| digits | drawn | right | smallest margin |
|---:|---|---|---:|
{rows}

These are tests of the problems counted above; nothing is proved about other numbers.

Made by carrynet {config["carrynet"]}, {config["engine"]} engine. To make it again:

    carrynet train --recipe recipe.toml --engine {config["engine"]} --out again

Weights: `model.safetensors`, SHA-256 of the network `{config["weights_sha256"]}`.
"""


# Reading -----------------------------------------------------------------------------


def _damaged(path: Path, error: object) -> RunError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RunError(f"{path} is damaged or not carrynet's: {reason}")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path.parent} is damaged: it has no {path.name}") from None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None


def _read_text(path: Path) -> str:
    try:
        return _read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise _damaged(path, error) from None


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise RunError(f"{folder} is not a run: there is no such folder")
    if not (folder / "config.json").exists():
        raise RunError(f"{folder} is not a run: it has no config.json")
    path = folder / "config.json"
    try:
        config = json.loads(_read_text(path))
    except ValueError as error:
        raise _damaged(path, error) from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise RunError(f"{folder} is not a run: {path.name} is not of format {FORMAT}")
    if config.get("version") != FORMAT_VERSION:
        raise RunError(
            f"{folder} has format version {config.get('version')!r}, not {FORMAT_VERSION}"
        )
    needed: dict[str, type | tuple[type, ...]] = {"status": str, "engine": str, "carrynet": str}
    if config.get("status") in ("trained", "complete"):
        needed.update(seconds=(int, float), weights_sha256=str)
    for key, kind in needed.items():
        if not isinstance(config.get(key), kind):
            raise _damaged(path, f"{key} is missing or wrong")
    if config["status"] not in ("training", "trained", "complete"):
        raise _damaged(path, f"unknown status {config['status']!r}")
    return config


def _read_recipe(folder: Path) -> Recipe:
    try:
        return Recipe.from_toml(_read_text(folder / "recipe.toml"))
    except InputError as error:
        raise _damaged(folder / "recipe.toml", error) from None


def _read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a safetensors file, and the facts that carrynet wrote beside them."""
    data = _read_bytes(path)
    try:
        tensors = safetensors.numpy.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return tensors, json.loads(header["__metadata__"]["carrynet"])
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from None


def _read_model(folder: Path, config: Mapping[str, Any]) -> Network:
    path, recipe = folder / "model.safetensors", _read_recipe(folder)
    tensors, _ = _read_tensors(path)
    try:
        if tensors.keys() != set(Weights._fields):
            raise ValueError(f"it holds {', '.join(sorted(tensors)) or 'nothing'}")
        network = Network(parse(recipe.task), recipe.activation, Weights(**tensors))
        if (network.hidden, network.dtype.name) != (recipe.hidden, recipe.dtype):
            raise ValueError(f"its size or type is not that of the recipe: {network.hidden} units")
    except (CarrynetError, ValueError) as error:
        raise _damaged(path, error) from None
    if network.digest() != config["weights_sha256"]:
        raise _damaged(path, "its weights are not those that the run was finished with")
    return network


def _read_checkpoint(folder: Path, recipe: Recipe) -> tuple[State | None, float]:
    """The state and the seconds of a checkpoint; (None, 0) where there is none yet."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return None, 0.0
    tensors, facts = _read_tensors(path)
    if facts.pop("digest", None) != _digest(tensors, facts):
        raise _damaged(path, "its contents do not match its digest")
    if facts["recipe"] != _recipe_digest(recipe):
        raise _damaged(path, "it belongs to another recipe")
    groups: dict[str, dict[str, Array]] = {}
    for name, tensor in tensors.items():
        group, _, part = name.rpartition(".")
        groups.setdefault(group, {})[part] = tensor
    weights = Weights(**groups.pop("weights"))
    network = Network(parse(recipe.task), recipe.activation, weights)
    moments = tuple(Weights(**groups[f"moments.{i}"]) for i in range(len(groups)))
    return State(network, moments, facts["stage"], facts["step"]), facts["seconds"]


def _read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last one that is cut off is left out."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    lines = []
    for text in _read_text(path).split("\n")[:-1]:
        try:
            line = json.loads(text)
            lines.append({**line, "problem": int(line["problem"])})
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path, error) from None
    return lines
