"""The run folder: what a training leaves behind, and how it survives being killed.

    recipe.toml         everything that determines the training
    config.json         format, versions, engine, how far the run is, hash of the weights
    metrics.jsonl       error, loss and accuracy along the way
    model.safetensors   the weights
    evaluation.json     what was tested, and the outcome
    proof.json          the verdict: proved, refuted or undecided
    certificate.json    the proof, where there is one
    README.md           the model card
    origin.safetensors  the weights that training began with, where they were not random
    snapshots.safetensors    the weights at some moments of the training
    report.html         the page to look inside, written by the command line
    plots/              figures for papers, where they were asked for
    checkpoint.safetensors   where an unfinished training stands

Every file but `metrics.jsonl` is written under another name and then renamed,
so that whenever the process ends, each is whole or absent.  `metrics.jsonl`
grows line by line; what it has beyond the checkpoint is dropped on resuming.
Nothing is ever unpickled.
"""

import errno
import glob
import hashlib
import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from carrynet import __version__, engines, files, recipe as recipes, training
from carrynet.cells import Array
from carrynet.errors import CarrynetError, InputError, RunError, shorten
from carrynet.evaluation import (
    Evaluation,
    Worked,
    affordable_digits,
    examine,
    first_wrong,
    work,
)
from carrynet.network import Network, Weights, network_of
from carrynet.optim import BUFFERS
from carrynet.progress import Bar
from carrynet.proof import search, verdict
from carrynet.proof.certificate import Certificate, Model, from_json
from carrynet.proof.verdict import Proved, Refuted, Undecided, Verdict
from carrynet.recipe import Recipe
from carrynet.tasks import parse
from carrynet.training import Album, Callback, Diverged, Progress, Snapshot, State

RUNS = Path("runs")
PLOTS = "plots"
CHECKPOINT_SECONDS = 2.0
FORMAT, FORMAT_VERSION = "carrynet-run", 1
FILES = frozenset(
    {
        *("recipe.toml", "config.json", "metrics.jsonl", "model.safetensors"),
        *("evaluation.json", "proof.json", "certificate.json", "README.md"),
        *("origin.safetensors", "snapshots.safetensors", "report.html"),
        "checkpoint.safetensors",
    }
)


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training: what was asked, what came of it, and where it lies."""

    recipe: Recipe
    engine: str
    network: Network
    seconds: float  #: of training, resumed parts added up
    evaluation: Evaluation
    proof: Verdict | None  #: None for a run from before there were proofs
    metrics: tuple[Mapping[str, Any], ...]  #: the lines of metrics.jsonl
    path: Path | None = None  #: None for a run that was not written to disk
    origin: Network | None = None  #: that the training began with, where it was not random
    snapshots: tuple[Snapshot, ...] = ()  #: none for a run from before they were kept

    def __repr__(self) -> str:
        tested = self.evaluation.exhaustive
        proof = f"{self.proof.verdict}; " if self.proof else ""
        return (
            f"Run({str(self.path or 'in memory')!r}, {self.network!r}, {proof}exhaustive: "
            f"{tested.right:,} of {tested.pairs:,} right at {tested.digits} digits)"
        )

    def _repr_html_(self) -> str:
        from carrynet.report import page

        return page.frame(self)

    @property
    def right(self) -> bool:
        """Whether nothing that was tried is answered wrongly."""
        return self.evaluation.right and not isinstance(self.proof, Refuted)

    @cached_property
    def last_problem(self) -> Worked | None:
        """The last problem of the training, worked by the finished network."""
        if not self.recipe.stages:
            return None
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
                "final_error": last and last.error,
            },
            "evaluation": self.evaluation.to_json(),
            "proof": self.proof and verdict.to_json(self.proof),
            "last_problem": last and last.to_json(),
        }

    def save(self, path: str | Path, *, force: bool = False) -> "Run":
        """Write the run as a folder and return it with its new place.

        Raises `InputError` when `path` exists, unless `force` and it is a run.
        """
        folder = create(path, self.recipe, self.engine, force=force, origin=self.origin)
        files.write(folder / "metrics.jsonl", files.json_lines(self.metrics))
        _write_snapshots(folder, self.snapshots)
        _write_model(folder, self.network, self.seconds)
        return _finish(folder, self.evaluation, self.proof)


def train(
    recipe: str | Path | Recipe = recipes.DEFAULT,
    *,
    out: str | Path | None = None,
    force: bool = False,
    engine: str = "auto",
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    origin: Network | None = None,
    budget: float = 0.0,
    **settings: Any,
) -> Run:
    """Train a network by a recipe, evaluate it, and try to prove it.

    `settings` change single keys of the recipe: `train("tutorial", hidden=16, seed=3)`.
    `origin` is the network that training begins with, for recipes that name one.  `budget`
    is how many seconds a search for a proof may take beyond its first, quick steps.
    With `out` the run is written to that folder, with checkpoints along the way;
    without, it is kept in memory and can be saved later.

    Raises `InputError` for settings outside what is accepted or an `out` that exists,
    `RunError` when the folder cannot be written, `Diverged` when training overflows.
    """
    chosen = recipes.get(recipe).with_settings(settings)
    if out is not None:
        folder = create(out, chosen, engine, force=force, origin=origin)
        return resume(folder, callbacks=callbacks, progress=progress, budget=budget)
    engine = engines.get(engine, chosen.hidden, chosen.dtype).name
    lines: list[dict[str, Any]] = []
    state, started = training.start(chosen, origin), time.monotonic()
    album = Album(state)
    with Bar(progress) as bar:
        callbacks = [lambda progress: lines.append(_metrics(progress)), album, bar, *callbacks]
        network = training.fit(chosen, engine=engine, state=state, callbacks=callbacks)
        seconds = time.monotonic() - started
        evaluation = _examine(chosen, network, bar)
        proof = judge(network, evaluation, budget, bar.say)
    return Run(
        chosen,
        engine,
        network,
        seconds,
        evaluation,
        proof,
        tuple(lines),
        origin=origin,
        snapshots=tuple(album.snapshots),
    )


def harden(
    run: Run | Network,
    *,
    out: str | Path | None = None,
    force: bool = False,
    engine: str = "auto",
    progress: bool = True,
    budget: float = 0.0,
    **settings: Any,
) -> Run:
    """Train a run's network on, against its worst case, until it is easy to prove.

    The new run's recipe has one stage, `recipe.HARDEN`, whose keys `settings` may change, and
    names the old network as its origin.  Biases are trained from here on.
    """
    recipe = run.recipe if isinstance(run, Run) else importing(run)
    network = network_of(run)
    options: dict[str, Any] = {"out": out, "force": force, "engine": engine, "progress": progress}
    return train(
        training.hardening(recipe, network),
        **options,
        origin=network,
        budget=budget,
        **settings,
    )


def importing(network: Network, digits: int = 8) -> Recipe:
    """The recipe of a run that only holds a network: no stages, and the network its origin."""
    return Recipe(
        name="imported",
        task=network.task.text,
        digits=digits,
        hidden=network.hidden,
        activation=network.activation,
        biases=True,
        dtype=network.dtype.name,
        origin=network.digest(),
        stages=(),
    )


def prove(
    run: Run,
    *,
    budget: float = search.BUDGET,
    progress: bool = True,
    suspect: Sequence[int] | None = None,
) -> Run:
    """Search again for a verdict on a run's network; what is decided is written to its folder.

    A verdict that the run has already, and that still holds, is not given up for an undecided
    one.  `suspect` is a word that may be answered wrongly.
    """
    with Bar(progress) as bar:
        found = judge(run.network, run.evaluation, budget, bar.say, suspect)
        if isinstance(found, Undecided) and _still_holds(run, bar):
            return run
    if run.path is None:
        return replace(run, proof=found)
    _set_status(run.path, "trained")  # until all that is written fits together again
    return _finish(run.path, run.evaluation, found)


def judge(
    network: Network,
    evaluation: Evaluation,
    budget: float,
    watch: search.Watch | None = None,
    suspect: Sequence[int] | None = None,
) -> Verdict:
    """A verdict, which takes up where the evaluation has found something wrong."""
    suspect = suspect or first_wrong(network, evaluation)
    found = search.prove(network, budget=budget, watch=watch, suspect=suspect)
    if isinstance(found, Proved) and not evaluation.right:
        raise CarrynetError(
            "a proof was found for a network that is seen to be wrong: one of the two is an error "
            "of carrynet's; please report it, with the recipe"
        )
    return found


def _still_holds(run: Run, bar: Bar) -> bool:
    """Whether the verdict that a run has can be seen to be true once more."""
    if isinstance(run.proof, Refuted):
        return not work(run.network, run.proof.operands, run.proof.digits).right
    return isinstance(run.proof, Proved) and search.accepts(
        run.network, run.proof.certificate, bar.say
    )


def _examine(recipe: Recipe, network: Network, bar: Bar) -> Evaluation:
    """Test a fresh network up to its recipe's digits, fewer where those are too many."""
    return examine(network, affordable_digits(network.task, recipe.digits), watch=bar.watch)


def create(
    path: str | Path | None,
    recipe: Recipe,
    engine: str = "auto",
    *,
    force: bool = False,
    origin: Network | None = None,
) -> Path:
    """Make a new run folder, which appears whole or not at all, for `resume` to carry out.

    Without a path it gets the next free name under `RUNS`.  With `force` a run that is
    there is replaced, but not a folder that holds anything else.

    Raises `InputError` when `path` exists, for an unknown engine, or when the recipe's origin
    is not given; `RunError` when the folder cannot be written.
    """
    training.start(recipe, origin)
    chosen = engines.get(engine, recipe.hidden, recipe.dtype).name
    if path is not None:
        # the name itself, for '.' and the like, but not what a link points to
        place = Path(os.path.abspath(path))  # noqa: PTH100
        if os.path.lexists(place):
            _check_replaceable(Path(path), place, force)
        if not files.guard(path, _appear, place, recipe, chosen, force, origin):
            raise _exists(Path(path))
        return Path(path)
    while True:
        place = fresh_path(recipe)
        if files.guard(place, _appear, place, recipe, chosen, False, origin):
            return place
        # another process has just taken the name


def _exists(path: Path) -> InputError:
    return InputError(f"{path} exists: choose another folder, or --force to replace it")


def _check_replaceable(path: Path, place: Path, force: bool) -> None:
    if not force:
        raise _exists(path)
    try:
        _read_config(place)
    except RunError:
        raise InputError(f"{path} is not a run: --force replaces nothing else") from None
    if place.is_symlink():
        raise InputError(f"{path} is a link: --force replaces folders only")
    if place in (Path.cwd(), *Path.cwd().parents):
        raise InputError(f"{path} is where you are: --force cannot replace it from inside")
    foreign = sorted(file.name for file in place.iterdir() if not _is_ours(file))
    if foreign:
        raise InputError(f"{path} holds {foreign[0]}, which is not carrynet's: move it away first")


def _appear(place: Path, recipe: Recipe, engine: str, force: bool, origin: Network | None) -> bool:
    """Make the folder in full beside its place and rename it; False where that is taken."""
    for stale in place.parent.glob(f".{glob.escape(place.name)}.*.new"):
        process = re.search(r"\.(\d+)\.new$", stale.name)
        if process and not files.lives(int(process[1])):
            shutil.rmtree(stale, ignore_errors=True)
    beside = place.with_name(f".{place.name}.{os.getpid()}.new")
    replaced = place.with_name(f".{place.name}.{os.getpid()}.old")
    text = recipe.to_toml()
    try:
        beside.mkdir(parents=True)
        files.write(beside / "recipe.toml", text)
        if origin is not None:
            _write_network(beside / "origin.safetensors", origin)
        files.write_json(
            beside / "config.json",
            {
                "format": FORMAT,
                "version": FORMAT_VERSION,
                "carrynet": __version__,
                "python": sys.version.split()[0],
                "numpy": np.__version__,
                "engine": engine,
                "recipe_sha256": files.sha256(text.encode()),
                "status": "training",
            },
        )
        try:
            if force and place.exists():
                place.rename(replaced)
            beside.rename(place)  # fails if the place is taken by a folder with anything in it
        except BaseException:
            if replaced.exists() and not place.exists():
                replaced.rename(place)
            raise
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and place.exists():
            return False
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if place.exists():
            shutil.rmtree(replaced, ignore_errors=True)
    return True


def resume(
    path: str | Path,
    *,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    budget: float = 0.0,
) -> Run:
    """Go on with a run that was interrupted, from its last checkpoint.

    Ends in the same weights, bit for bit, as if it had not been.  A finished run
    is returned as it is.  Raises `RunError` when the folder is not a run or damaged.
    """
    folder = Path(path)
    config = _read_config(folder)
    recipe = _read_recipe(folder, config)
    with Bar(progress) as bar:
        if config["status"] == "training":
            state, seconds = _read_checkpoint(folder, recipe)
            state = state or training.start(recipe, _read_origin(folder, recipe))
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
            recorder.keep_snapshots()
            _write_model(folder, network, recorder.seconds)
            config = _read_config(folder)
        if config["status"] == "trained":
            network = _read_model(folder, config)
            evaluation = _examine(recipe, network, bar)
            _finish(folder, evaluation, judge(network, evaluation, budget, bar.say))
    return load(folder)


def load(path: str | Path) -> Run:
    """Read a finished run from its folder.

    Raises `RunError`, naming the file, for a folder that is missing, not a run,
    unfinished, damaged or from a later version.
    """
    folder = Path(path)
    config = _read_config(folder)
    recipe = _read_recipe(folder, config)
    if config["status"] != "complete":
        raise RunError(f"{folder} is unfinished: {resume_hint(folder)}")
    network = _read_model(folder, config)
    return Run(
        recipe,
        config["engine"],
        network,
        config["seconds"],
        Evaluation.from_json(_read_result(folder, config, "evaluation")),
        _read_proof(folder, config, network),
        tuple(_read_metrics(folder)),
        folder,
        _read_origin(folder, recipe),
        tuple(_read_snapshots(folder, recipe)),
    )


def newest(
    root: str | Path = RUNS,
    fits: Callable[[Recipe], bool] = lambda _: True,
    what: str = "run",
    make: str = "train",
) -> Path:
    """The finished run under `root` that was started last, among those whose recipe fits.

    Raises `RunError` when there is none; `what` says what was looked for, `make` by which
    command there will be one.
    """
    starts = []
    for recipe_file in Path(root).glob("*/recipe.toml"):
        if not recipe_file.parent.name.startswith("."):
            starts.append((recipe_file.stat().st_mtime_ns, recipe_file.parent))
    unfinished: Path | None = None
    for _, folder in sorted(starts, reverse=True):
        try:
            config = _read_config(folder)
            if fits(_read_recipe(folder, config)):
                if config["status"] == "complete":
                    return folder
                unfinished = unfinished or folder
        except RunError:
            continue  # a damaged folder is reported when it is asked for by name
    if unfinished:
        raise RunError(f"no finished {what} under {root}: {resume_hint(unfinished)}")
    raise RunError(f"no {what} under {root}: make one with '{program()} {make}'")


def program() -> str:
    """What the user types to run the command line: with `uv run` in front where that was used."""
    return "uv run carrynet" if "UV_RUN_RECURSION_DEPTH" in os.environ else "carrynet"


def resume_hint(folder: Path) -> str:
    """How to go on with an unfinished run."""
    return f"go on with: {program()} train --resume {shlex.quote(str(folder))}"


def fresh_path(recipe: Recipe, root: str | Path = RUNS) -> Path:
    """A name for a new run under `root`, numbered after those that are there."""
    root = Path(root)
    numbers = [
        int(match[1])
        for folder in (root.iterdir() if root.is_dir() else ())
        if (match := re.match(r"(\d{4,})-", folder.name))
    ]
    text = f"{recipe.name[:40]}-{recipe.task}-h{recipe.hidden}-s{recipe.seed}"
    return root / f"{max(numbers, default=0) + 1:04}-{re.sub(r'[^A-Za-z0-9]+', '-', text)}"


# Recording ---------------------------------------------------------------------------


def _metrics(progress: Progress) -> dict[str, Any]:
    """One line of metrics.jsonl."""
    keys = ("stage", "step", "problem", "error", "loss", "right")
    return {key: getattr(progress, key) for key in keys}


class _Recorder:
    """The callback that keeps a run's metrics, snapshots and checkpoints on disk."""

    def __init__(self, folder: Path, recipe: Recipe, state: State, seconds: float) -> None:
        shown = _shown(recipe, state)
        kept = [line for line in _read_metrics(folder) if line["problem"] <= shown]
        files.write(folder / "metrics.jsonl", files.json_lines(kept))
        taken = [each for each in _read_snapshots(folder, recipe) if each.problem <= shown]
        self._album = Album(state, taken)
        self._state = state  # the very first can be saved too, should training go wrong at once
        self._folder, self._before = folder, seconds
        self._file = files.guard(folder, (folder / "metrics.jsonl").open, "a", encoding="utf-8")
        self._started = self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent in training, that before the checkpoint included."""
        return self._before + time.monotonic() - self._started

    def __call__(self, progress: Progress) -> None:
        self._state = progress.state
        self._album(progress)
        files.guard(self._file.name, self._file.write, files.json_lines([_metrics(progress)]))
        if time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
            self.checkpoint()

    def checkpoint(self) -> None:
        # metrics and snapshots first: a checkpoint never knows of more than they do
        files.guard(self._file.name, self._file.flush)
        self.keep_snapshots()
        _write_checkpoint(self._folder, self._state, self.seconds)
        self._saved = time.monotonic()

    def keep_snapshots(self) -> None:
        _write_snapshots(self._folder, self._album.snapshots)

    def close(self) -> None:
        files.guard(self._file.name, self._file.close)


def _shown(recipe: Recipe, state: State) -> int:
    """How many problems were shown up to a state."""
    done = sum(stage.steps * stage.batch for stage in recipe.stages[: state.stage])
    if state.stage < len(recipe.stages):
        done += state.step * recipe.stages[state.stage].batch
    return done


# Writing -----------------------------------------------------------------------------


def _is_ours(file: Path) -> bool:
    if file.name == PLOTS and file.is_dir():
        return all(figure.suffix in (".png", ".svg") for figure in file.iterdir())
    return file.name in FILES or _is_leftover(file)


def _is_leftover(file: Path) -> bool:
    """Whether a file is a write of ours that was cut off."""
    match = re.fullmatch(r"\.(.+)\.\d+", file.name)
    return match is not None and match[1] in FILES


def _write_model(folder: Path, network: Network, seconds: float) -> None:
    """Write the weights and, after them, that the run is trained."""
    _write_network(folder / "model.safetensors", network)
    _set_status(folder, "trained", seconds=seconds, weights_sha256=network.digest())


def _write_network(path: Path, network: Network) -> None:
    facts = {
        "task": network.task.text,
        "activation": network.activation,
        "weights_sha256": network.digest(),
    }
    files.write_tensors(path, network.weights._asdict(), facts)


def _finish(folder: Path, evaluation: Evaluation, proof: Verdict | None) -> Run:
    """Write the results and the model card and, after them, that the run is complete."""
    config = _read_config(folder)
    hashes = {"evaluation_sha256": _write_result(folder, "evaluation", evaluation.to_json())}
    if isinstance(proof, Proved):
        document = proof.certificate.to_json()
        hashes["certificate_sha256"] = _write_result(folder, "certificate", document)
    else:
        files.guard(folder, (folder / "certificate.json").unlink, missing_ok=True)
    if proof is not None:
        hashes["proof_sha256"] = _write_result(folder, "proof", verdict.to_json(proof))
    recipe = _read_recipe(folder, config)
    files.write(folder / "README.md", model_card(recipe, config, evaluation, proof))
    for file in folder.iterdir():
        if file.name == "checkpoint.safetensors" or _is_leftover(file):
            files.guard(file, file.unlink)
    _set_status(folder, "complete", **hashes)
    return load(folder)


def _write_result(folder: Path, name: str, document: Mapping[str, Any]) -> str:
    """Write NAME.json, and return its hash."""
    text = files.json_text(document)
    files.write(folder / f"{name}.json", text)
    return files.sha256(text.encode())


def _set_status(folder: Path, status: str, **more: Any) -> None:
    files.write_json(folder / "config.json", {**_read_config(folder), "status": status, **more})


def _write_checkpoint(folder: Path, state: State, seconds: float) -> None:
    tensors = _named("weights", state.network.weights)
    for i, moment in enumerate(state.moments):
        tensors |= _named(f"moments.{i}", moment)
    facts = {
        "recipe": _read_config(folder)["recipe_sha256"],
        "stage": state.stage,
        "step": state.step,
        "seconds": seconds,
    }
    facts["digest"] = _digest(tensors, facts)
    files.write_tensors(folder / "checkpoint.safetensors", tensors, facts)


def _write_snapshots(folder: Path, snapshots: Sequence[Snapshot]) -> None:
    tensors: dict[str, Array] = {}
    for each in snapshots:
        tensors |= _named(str(each.problem), each.network.weights)
    facts = {"recipe": _read_config(folder)["recipe_sha256"]}
    facts["digest"] = _digest(tensors, facts)
    files.write_tensors(folder / "snapshots.safetensors", tensors, facts)


def _named(prefix: str, weights: Weights) -> dict[str, Array]:
    return {f"{prefix}.{name}": array for name, array in weights._asdict().items()}


def _digest(tensors: Mapping[str, Array], facts: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def model_card(
    recipe: Recipe, config: Mapping[str, Any], evaluation: Evaluation, proof: Verdict | None
) -> str:
    """The run's README.md, with its results in the form that model hubs read."""
    tested, name = evaluation.exhaustive, f"{recipe.name}-{recipe.task}-h{recipe.hidden}"
    rows = "\n".join(
        f"| {part.digits:,} | {part.kind} | {part.right:,} of {part.pairs:,} | {part.margin:.2f} |"
        for part in evaluation.sampled
    )
    made = f"trained on {recipe.problems:,} examples of the task `{recipe.task}`"
    again = f"""Made by carrynet {config["carrynet"]}, {config["engine"]} engine. To make it again:

    carrynet train --recipe recipe.toml{" --origin origin.safetensors" * bool(recipe.origin)} \\
        --engine {config["engine"]} --out again"""
    if recipe.origin:
        made += ", beginning with the weights in `origin.safetensors`"
    if not recipe.stages:
        made = f"trained elsewhere, for the task `{recipe.task}`"
        again = f"Imported by carrynet {config['carrynet']}."
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

A recurrent network with {recipe.hidden} {recipe.activation} hidden units that was {made},
least significant digit first.

{_verdict_card(proof)}

**Exhaustive**: {tested.right:,} of all {tested.pairs:,} problems with operands of up to
{tested.digits} digits are right (smallest margin {tested.margin:.2f}).

**Sampled**: problems drawn at random, evenly (uniform) or with long carries (chains).

| digits | drawn | right | smallest margin |
|---:|---|---|---:|
{rows}

These are tests of the problems counted above, and say nothing of other numbers.

{again}

Weights: `model.safetensors`, SHA-256 of the network `{config["weights_sha256"]}`.
"""


def _verdict_card(proof: Verdict | None) -> str:
    if isinstance(proof, Proved):
        return (
            f"**Proved** right for numbers of any length: {proof.certificate.claim} The proof is "
            f"`certificate.json` ({proof.regions} regions, smallest margin {proof.margin:.2f}); "
            "`carrynet check .` checks it."
        )
    if isinstance(proof, Refuted):
        operands = ", ".join(map(str, proof.operands))
        return (
            f"**Refuted**: it is wrong for {operands}, read as numbers of {proof.digits} digits, "
            f"where it answers {proof.answered} and not {proof.expected}."
        )
    return "**Undecided**: neither proved nor refuted for all lengths."


# Reading -----------------------------------------------------------------------------


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        is_folder, is_run = folder.is_dir(), (folder / "config.json").exists()
    except OSError as error:
        raise RunError(f"cannot read {shorten(str(folder))}: {error.strerror}") from None
    if not is_folder:
        raise RunError(f"{folder} is not a run: there is no such folder")
    if not is_run:
        raise RunError(f"{folder} is not a run: it has no config.json")
    path = folder / "config.json"
    with files.reading(path):
        config = json.loads(files.read_bytes(path).decode())
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise RunError(f"{folder} is not a run: {path.name} is not of format {FORMAT}")
    if config.get("version") != FORMAT_VERSION:
        raise RunError(
            f"{folder} has format version {config.get('version')!r}, not {FORMAT_VERSION}"
        )
    needed: dict[str, type | tuple[type, ...]] = {
        "status": str,
        "engine": str,
        "carrynet": str,
        "recipe_sha256": str,
    }
    if config.get("status") in ("trained", "complete"):
        needed.update(seconds=(int, float), weights_sha256=str)
    if config.get("status") == "complete":
        needed.update(evaluation_sha256=str)
        optional = ("proof_sha256", "certificate_sha256")
        needed.update({key: str for key in optional if key in config})
    with files.reading(path):
        for key, kind in needed.items():
            files.require(isinstance(config.get(key), kind), f"{key} is missing or wrong")
        known = config["status"] in ("training", "trained", "complete")
        files.require(known, f"unknown status {config['status']!r}")
    return config


def _read_recipe(folder: Path, config: Mapping[str, Any]) -> Recipe:
    path = folder / "recipe.toml"
    data = files.read_bytes(path)
    with files.reading(path):
        unchanged = files.sha256(data) == config["recipe_sha256"]
        files.require(unchanged, "it is not the recipe that the run was started with")
        return Recipe.from_toml(data.decode())


def _read_weights(tensors: Mapping[str, Array], recipe: Recipe) -> Weights:
    """The weights among tensors by name, which must be those of the recipe's network."""
    names = ", ".join(sorted(tensors)) or "nothing"
    files.require(tensors.keys() == set(Weights._fields), f"it holds {names}")
    network = Network(parse(recipe.task), recipe.activation, Weights(**tensors))
    fits = (network.hidden, network.dtype.name) == (recipe.hidden, recipe.dtype)
    files.require(
        fits, f"it has {network.hidden} units in {network.dtype}, which the recipe has not"
    )
    return network.weights


def _read_model(folder: Path, config: Mapping[str, Any]) -> Network:
    path, recipe = folder / "model.safetensors", _read_recipe(folder, config)
    tensors, _ = files.read_tensors(path)
    with files.reading(path):
        weights = _read_weights(tensors, recipe)
        network = Network(parse(recipe.task), recipe.activation, weights)
        ours = network.digest() == config["weights_sha256"]
        files.require(ours, "its weights are not those that the run was finished with")
        return network


def _read_checkpoint(folder: Path, recipe: Recipe) -> tuple[State | None, float]:
    """The state and the seconds of a checkpoint; (None, 0) where there is none yet."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return None, 0.0
    tensors, facts = files.read_tensors(path)
    with files.reading(path):
        digest = facts.pop("digest", None)
        files.require(digest == _digest(tensors, facts), "its contents do not match its digest")
        mine = facts["recipe"] == _read_config(folder)["recipe_sha256"]
        files.require(mine, "it belongs to another recipe")
        stage, step, seconds = (facts[key] for key in ("stage", "step", "seconds"))
        files.require(type(stage) is int and type(step) is int, "it does not say where training is")
        files.require(type(seconds) is float and 0 <= seconds < 1e12, "its time is wrong")
        groups = _groups(tensors)
        weights = _read_weights(groups.pop("weights"), recipe)
        moments = tuple(
            _read_weights(groups.pop(f"moments.{i}"), recipe) for i in range(len(groups))
        )
        ended = stage == len(recipe.stages)
        files.require(ended or 0 <= stage < len(recipe.stages), f"there is no stage {stage}")
        steps = 1 if ended else recipe.stages[stage].steps
        files.require(0 <= step < steps, f"stage {stage} has no step {step}")
        buffers = 0 if ended else BUFFERS[recipe.stages[stage].optimiser]
        files.require(len(moments) == buffers, f"it has {len(moments)} moments, not {buffers}")
        network = Network(parse(recipe.task), recipe.activation, weights)
        return State(network, moments, stage, step), seconds


def _read_origin(folder: Path, recipe: Recipe) -> Network | None:
    """The network that the recipe begins with; None where it begins with random weights."""
    if not recipe.origin:
        return None
    path = folder / "origin.safetensors"
    tensors, _ = files.read_tensors(path)
    with files.reading(path):
        weights = _read_weights(tensors, recipe)
        network = Network(parse(recipe.task), recipe.activation, weights)
        files.require(network.digest() == recipe.origin, "it is not the recipe's origin")
        return network


def _read_snapshots(folder: Path, recipe: Recipe) -> list[Snapshot]:
    path = folder / "snapshots.safetensors"
    if not path.exists():
        return []
    tensors, facts = files.read_tensors(path)
    with files.reading(path):
        digest = facts.pop("digest", None)
        files.require(digest == _digest(tensors, facts), "its contents do not match its digest")
        mine = facts["recipe"] == _read_config(folder)["recipe_sha256"]
        files.require(mine, "it belongs to another recipe")
        task = parse(recipe.task)
        return [
            Snapshot(int(problem), Network(task, recipe.activation, _read_weights(group, recipe)))
            for problem, group in sorted(_groups(tensors).items(), key=lambda item: int(item[0]))
        ]


def _groups(tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Tensors by the parts of their names before and after the last dot."""
    groups: dict[str, dict[str, Array]] = {}
    for name, tensor in tensors.items():
        group, _, part = name.rpartition(".")
        groups.setdefault(group, {})[part] = tensor
    return groups


def _read_result(folder: Path, config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The document in NAME.json, which must be the one that the run was finished with."""
    file = folder / f"{name}.json"
    data = files.read_bytes(file)
    with files.reading(file):
        ours = files.sha256(data) == config[f"{name}_sha256"]
        files.require(ours, f"it is not the {name} that the run was finished with")
        return json.loads(data)


def _read_proof(folder: Path, config: Mapping[str, Any], network: Network) -> Verdict | None:
    """The verdict on a network; None where there is none, or a proof without its certificate."""
    if "proof_sha256" not in config:
        return None
    document = _read_result(folder, config, "proof")
    with files.reading(folder / "proof.json"):
        if document["verdict"] != "proved":
            return verdict.from_json(document, None)
    if "certificate_sha256" not in config or not (folder / "certificate.json").exists():
        return None
    values = _read_result(folder, config, "certificate")
    with files.reading(folder / "certificate.json"):
        certificate = from_json(values)
        about = certificate.task, certificate.activation, certificate.weights_sha256
        ours = network.task.text, network.activation, network.digest()
        files.require(about == ours, "it is about another network")
    with files.reading(folder / "proof.json"):
        return verdict.from_json(document, certificate)


def read_model(folder: Path) -> Model:
    """A run's weights, as plain numbers and by the checker's own reader."""
    path = folder / "model.safetensors"
    data = files.read_bytes(path)
    with files.reading(path):
        return Model.read(data)


def read_network(path: Path) -> Network:
    """A network from a `model.safetensors`, or from the run in a folder.

    Raises `RunError` for any other file.
    """
    if path.is_dir():
        return load(path).network
    tensors, facts = files.read_tensors(path)
    with files.reading(path):
        return Network(parse(facts["task"]), facts["activation"], Weights(**tensors))


def read_certificate(folder: Path) -> Certificate:
    """The certificate in a run's folder, believed by nobody yet.

    Raises `RunError` where there is none, or something else.
    """
    path = folder / "certificate.json"
    if not path.exists():
        what = (
            "it has no certificate.json: only a proved run has"
            if folder.is_dir()
            else ("there is no such folder")
        )
        raise RunError(f"{folder} cannot be checked: {what}")
    data = files.read_bytes(path)
    with files.reading(path):
        return from_json(json.loads(data))


def _read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last one that is cut off is left out."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    with files.reading(path):
        lines = [json.loads(text) for text in files.read_bytes(path).decode().split("\n")[:-1]]
        for line in lines:
            files.require(type(line["problem"]) is int, "a line has no problem")
        return lines
