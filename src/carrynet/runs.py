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
    .lock               the process that is writing, while one is

Every file but `metrics.jsonl` is written under another name and then renamed,
so that whenever the process ends, each is whole or absent.  `metrics.jsonl`
grows line by line; what it has beyond the checkpoint is dropped on resuming.
Results, with the configuration that vouches for them, are replaced together, so
that a run that was finished stays so.  A folder that is written to belongs to one
process.  Nothing is ever unpickled.
"""

import errno
import glob
import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from carrynet import __version__, engines, files
from carrynet.errors import CarrynetError, InputError, RunError, shorten, unknown
from carrynet.exchange.foreign import Source
from carrynet.judge.evaluation import (
    Evaluation,
    Worked,
    affordable_digits,
    evaluate,
    examine,
    first_wrong,
    work,
)
from carrynet.learn import training
from carrynet.learn.progress import Bar
from carrynet.learn.training import Album, Callback, Diverged, Progress, Snapshot, State
from carrynet.nets.cells import Array
from carrynet.nets.network import Network, Weights, network_of
from carrynet.nets.optim import BUFFERS
from carrynet.proof import search, verdict
from carrynet.proof.certificate import (
    MOST_BYTES as MOST_CERTIFICATE,
    Certificate,
    Model,
    Rejected,
    from_json,
)
from carrynet.proof.verdict import Proved, Refuted, Undecided, Verdict
from carrynet.spec import recipe as recipes
from carrynet.spec.recipe import Recipe
from carrynet.spec.task import BUILT_IN, parse

RUNS = Path("runs")
PLOTS = "plots"
FIGURES = ("learning_curve", "error_maps", "accuracy_by_length", "hidden_space", "weights")
"""What the figures in `PLOTS` are called, less the kind of file."""
MOST_METRICS = 256 * 2**20
"""The largest metrics.jsonl, in bytes, that is read: of a training of a hundred hours."""
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
    proof: Verdict
    metrics: tuple[Mapping[str, Any], ...]  #: the lines of metrics.jsonl
    path: Path | None = None  #: None for a run that was not written to disk
    origin: Network | None = None  #: that the training began with, where it was not random
    snapshots: tuple[Snapshot, ...] = ()
    source: Source | None = None  #: the file of a network that was trained elsewhere
    worse_than: Path | None = None  #: the run that was hardened, where this one came out worse

    def __repr__(self) -> str:
        tested = self.evaluation.exhaustive
        return (
            f"Run({str(self.path or 'in memory')!r}, {self.network!r}, "
            f"{verdict.in_words(self.proof)}; exhaustive: "
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
            "proof": verdict.to_json(self.proof),
            "last_problem": last and last.to_json(),
            "source": self.source and self.source.to_json(),
            "worse_than": self.worse_than and str(self.worse_than),
        }

    def save(self, path: str | Path, *, force: bool = False) -> "Run":
        """Write the run as a folder and return it with its new place.

        Raises `InputError` when `path` exists, unless `force` and it is a run.
        """
        options: dict[str, Any] = {"origin": self.origin, "source": self.source}
        with making(path, self.recipe, self.engine, force=force, **options) as folder:
            files.write(folder / "metrics.jsonl", files.json_lines(self.metrics))
            _write_snapshots(folder, self.snapshots)
            _write_model(folder, self.network, self.seconds)
            return _finish(folder, self.network, self.evaluation, self.proof)


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
        with making(out, chosen, engine, force=force, origin=origin) as folder:
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


def has_lost(new: Run, old: Run) -> bool:
    """Whether a run has lost what another had: the proof, being right, or some right answers.

    Answers are counted over all problems of the old run's exhaustive evaluation.
    """
    if isinstance(new.proof, Proved):
        return False
    if isinstance(old.proof, Proved) or (old.right and not new.right):
        return True
    before, now = old.evaluation.exhaustive, new.evaluation.exhaustive
    if now.right == now.pairs and now.digits >= before.digits:
        return False
    return evaluate(new.network, before.digits).right < before.right


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

    Raises `RunError` where another process is writing into the folder, or has put another run
    in its place.
    """
    with Bar(progress) as bar:
        if run.path is None:
            return replace(run, proof=_decide(run, budget, bar, suspect))
        with files.Lock(run.path):
            if _read_config(run.path).get("weights_sha256") != run.network.digest():
                raise RunError(f"{run.path} holds another run by now")
            found = _decide(run, budget, bar, suspect)
            return _finish(run.path, run.network, run.evaluation, found)


def _decide(run: Run, budget: float, bar: Bar, suspect: Sequence[int] | None) -> Verdict:
    """A verdict by a new search, or the one that there was, if that decides and still holds."""
    found = judge(run.network, run.evaluation, budget, bar.say, suspect)
    if isinstance(found, Undecided) and not isinstance(run.proof, Undecided):
        try:
            return search.confirm(run.network, run.proof, bar.say)
        except Rejected:
            pass
    return found


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
        if examine(network, evaluation.exhaustive.digits).right:
            raise RunError("the evaluation that the run has is not its network's: make it anew")
        raise CarrynetError(
            "a proof was found for a network that is seen to be wrong: one of the two is an error "
            "of carrynet's; please report it, with the recipe"
        )
    return found


def _examine(recipe: Recipe, network: Network, bar: Bar) -> Evaluation:
    """Test a fresh network up to its recipe's digits, fewer where those are too many."""
    return examine(network, affordable_digits(network.task, recipe.digits), watch=bar.watch)


@contextmanager
def making(
    path: str | Path | None,
    recipe: Recipe,
    engine: str = "auto",
    *,
    force: bool = False,
    origin: Network | None = None,
    source: Source | None = None,
    hardened: Path | None = None,
) -> Iterator[Path]:
    """Make a new run folder, which appears whole or not at all, for `resume` to carry out.

    It belongs to this thread for as long as the context lasts.  Without a path it gets the
    next free name under `RUNS`.  With `force` a run that is there is replaced, but not a folder
    that holds anything else.  `source` says where a network from elsewhere came from,
    `hardened` which run is trained on: should this one come out worse, that one stays the newest.

    Raises `InputError` when `path` exists, for an unknown engine, or when the recipe's origin
    is not given; `RunError` when the folder cannot be written, or is being written.
    """
    training.start(recipe, origin)
    chosen = engines.get(engine, recipe.hidden, recipe.dtype).name
    config = _first_config(recipe, chosen, source, hardened)
    lock = None
    if path is not None:
        # the name itself, for '.' and the like, but not what a link points to
        place, shown = Path(os.path.abspath(path)), Path(path)  # noqa: PTH100
        _recover(place)
        if os.path.lexists(place):
            _check_replaceable(shown, place, force)
        lock = files.guard(path, _appear, place, recipe, config, force, origin)
        if lock is None:
            raise _exists(shown)
    while lock is None:
        place = shown = fresh_path(recipe)
        # None where another process has just taken the name
        lock = files.guard(place, _appear, place, recipe, config, False, origin)
    try:
        yield shown
    finally:
        lock.__exit__()


def create(path: str | Path | None, recipe: Recipe, engine: str = "auto", **options: Any) -> Path:
    """Make a new run folder by `making`, and leave it to whoever comes to `resume` it."""
    with making(path, recipe, engine, **options) as folder:
        return folder


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
    for file in sorted(place.iterdir()):
        foreign = _foreign(file)
        if foreign is not None:
            shown = files.printable(foreign.relative_to(place))
            raise InputError(f"{path} holds {shown}, which is not carrynet's: move it away first")


def _first_config(
    recipe: Recipe, engine: str, source: Source | None, hardened: Path | None
) -> dict[str, Any]:
    more = {"source": source and source.to_json(), "hardened": hardened and str(hardened)}
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "carrynet": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "engine": engine,
        "recipe_sha256": files.sha256(recipe.to_toml().encode()),
        "status": "training",
        **{key: value for key, value in more.items() if value is not None},
    }


def _appear(
    place: Path, recipe: Recipe, config: Mapping[str, Any], force: bool, origin: Network | None
) -> files.Lock | None:
    """Make the folder in full beside its place and rename it; None where that is taken.

    Returns the folder's lock, held.
    """
    mark = secrets.token_hex(4)
    beside = place.with_name(f".{place.name}.{mark}.new")
    replaced = place.with_name(f".{place.name}.{mark}.old")
    beside.mkdir(parents=True)
    lock = files.Lock(beside).__enter__()
    try:
        files.write(beside / "recipe.toml", recipe.to_toml())
        if origin is not None:
            _write_network(beside / "origin.safetensors", origin)
        files.write_json(beside / "config.json", config)
        if force and place.exists():
            with files.Lock(place) as old:
                try:
                    old.rename(replaced)
                    lock.rename(place)
                except BaseException:
                    if replaced.exists() and not place.exists():
                        old.rename(place)
                    raise
                shutil.rmtree(replaced, ignore_errors=True)
        else:
            lock.rename(place)  # fails where the place is a folder with anything in it
    except BaseException as error:
        lock.__exit__()
        shutil.rmtree(beside, ignore_errors=True)
        taken = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
        if isinstance(error, OSError) and error.errno in taken and place.exists():
            return None
        raise
    return lock


def _recover(place: Path) -> None:
    """Bring back a run whose replacement was cut off half way, and sweep away what is left over.

    Only of processes that are gone: those that live have locked what they work on, but for the
    first moment of a folder that is new.
    """
    for left in place.parent.glob(f".{glob.escape(place.name)}.*"):
        found = _HIDDEN.fullmatch(left.name)
        if found is None or found[1] != place.name:
            continue
        with suppress(OSError):
            new = found[2] == "new" and time.time() - left.stat().st_mtime < _NEW
            if new or not files.is_free(left):
                continue
        if found[2] == "old" and not os.path.lexists(place):
            files.guard(place, left.rename, place)
        else:
            shutil.rmtree(left, ignore_errors=True)


_HIDDEN = re.compile(r"\.(.+)\.[0-9a-f]{8}\.(new|old)", re.DOTALL)
"""What a folder is called while it is being made, or replaced."""
_NEW = 60.0  # seconds


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
    if _read_config(folder)["status"] == "complete":
        return load(folder)
    with files.Lock(folder), Bar(progress) as bar:
        files.settle(folder)
        config = _read_config(folder)
        recipe = _read_recipe(folder, config)
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
            proof = judge(network, evaluation, budget, bar.say)
            return _finish(folder, network, evaluation, proof)
    return load(folder)


def load(path: str | Path) -> Run:
    """Read a finished run from its folder.

    A proof is checked once more, unless that would take long: then it is the one that is
    recorded, and says so (`Proved.checked`).

    Raises `RunError`, naming the file, for a folder that is missing, not a run,
    unfinished, damaged or from a later version.
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
    config = _read_config(folder)
    if config["status"] != "complete":
        raise RunError(f"{folder} is unfinished: {resume_hint(folder)}")
    return config


def _read_run(folder: Path, config: Mapping[str, Any], proof: Verdict | None = None) -> Run:
    """A run, with a verdict that is known in this process, or the one in its folder."""
    recipe = _read_recipe(folder, config)
    network = _read_model(folder, config)
    with files.reading(folder / "evaluation.json"):
        document = _read_result(folder, config, "evaluation")
        evaluation = Evaluation.from_json(document, network.task)
    with files.reading(folder / "config.json"):
        source = Source.from_json(config["source"]) if "source" in config else None
    return Run(
        recipe,
        config["engine"],
        network,
        config["seconds"],
        evaluation,
        proof or _read_proof(folder, config, network),
        tuple(_read_metrics(folder)),
        folder,
        _read_origin(folder, recipe),
        tuple(_read_snapshots(folder, recipe)),
        source,
        Path(config["worse_than"]) if "worse_than" in config else None,
    )


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
        if found := _HIDDEN.fullmatch(hidden.name):
            _recover(Path(root) / found[1])
    for recipe_file in Path(root).glob("*/recipe.toml"):
        if not recipe_file.parent.name.startswith("."):
            starts.append((recipe_file.stat().st_mtime_ns, recipe_file.parent))
    unfinished: Path | None = None
    worse: Path | None = None
    for _, folder in sorted(starts, reverse=True):
        try:
            config = _read_config(folder)
            if fits(_read_recipe(folder, config)):
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


def program() -> str:
    """What the user types to run the command line: with `uv run` in front where that was used."""
    return "uv run carrynet" if "UV_RUN_RECURSION_DEPTH" in os.environ else "carrynet"


def resume_hint(folder: Path) -> str:
    """How to go on with an unfinished run."""
    with suppress(RunError):
        if parse(_read_recipe(folder, _read_config(folder)).task).family not in BUILT_IN:
            return f"go on in Python: carrynet.resume({str(folder)!r})"
    return f"go on with: {program()} train --resume {argument(folder)}"


def argument(path: Path) -> str:
    """A path as an argument of a command, to be copied."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


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
    """One line of metrics.jsonl; a loss that is not finite is null there."""
    line = {key: getattr(progress, key) for key in _METRICS}
    return line if isfinite(progress.loss) else {**line, "loss": None}


class _Recorder:
    """The callback that keeps a run's metrics, snapshots and checkpoints on disk."""

    def __init__(self, folder: Path, recipe: Recipe, state: State, seconds: float) -> None:
        shown = _shown(recipe, state)
        begun = (folder / "metrics.jsonl").exists()
        before = _read_metrics(folder) if begun else []
        kept = [line for line in before if line["problem"] <= shown]
        files.write(folder / "metrics.jsonl", files.json_lines(kept))
        begun = (folder / "snapshots.safetensors").exists()
        album = _read_snapshots(folder, recipe) if begun else []
        taken = [each for each in album if each.problem <= shown]
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


def _foreign(file: Path) -> Path | None:
    """A file of a run's folder that carrynet has not made: itself, or one in it; None if all is."""
    if file.name == PLOTS and file.is_dir():
        made = {f"{name}.{form}" for name in FIGURES for form in ("png", "svg")}
        return next((each for each in sorted(file.iterdir()) if each.name not in made), None)
    ours = file.name in FILES or file.name == files.Lock.NAME or _is_leftover(file)
    if file.name.startswith(files.REPLACING) and file.is_dir():
        ours = all(each.name[3:] in FILES for each in file.iterdir())
    return None if ours else file


def _is_leftover(file: Path) -> bool:
    """Whether a file is a write of ours that was cut off."""
    return files.leftover(file.name) in FILES


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


def _finish(folder: Path, network: Network, evaluation: Evaluation, proof: Verdict) -> Run:
    """Write the results, the model card, and that the run is complete: all of it or nothing.

    Raises `RunError` where the folder is not locked, or the weights in it are not the network's.
    """
    found = _read_config(folder)
    files.require_lock(folder)
    if found.get("weights_sha256") != network.digest():
        raise RunError(f"{folder} holds another network than the one that was judged")
    outdated = (*_RESULTS, "worse_than")
    config = {key: value for key, value in found.items() if key not in outdated}
    if "hardened" in config and _has_got_worse(config, network, evaluation, proof):
        config["worse_than"] = config["hardened"]
    documents = {"evaluation": evaluation.to_json(), "proof": verdict.to_json(proof)}
    if isinstance(proof, Proved):
        documents["certificate"] = proof.certificate.to_json()
    contents = {f"{name}.json": files.json_text(each).encode() for name, each in documents.items()}
    hashes = {f"{name}_sha256": files.sha256(contents[f"{name}.json"]) for name in documents}
    config |= {"status": "complete", **hashes}
    contents["README.md"] = model_card(
        _read_recipe(folder, config), config, evaluation, proof
    ).encode()
    contents["config.json"] = files.json_text(config).encode()  # the last to be moved
    files.replace_all(folder, contents)
    for file in folder.iterdir():
        stale = file.name == "checkpoint.safetensors" or _is_leftover(file)
        if stale or (file.name == "certificate.json" and "certificate" not in documents):
            files.guard(file, file.unlink, missing_ok=True)
    return _read_run(folder, config, proof)


_RESULTS = ("evaluation_sha256", "proof_sha256", "certificate_sha256")


def _has_got_worse(
    config: Mapping[str, Any], network: Network, evaluation: Evaluation, proof: Verdict
) -> bool:
    """Whether a hardened network has lost what the run had that was hardened, if that is there."""
    try:
        old = load(config["hardened"])
    except RunError:
        return False
    return has_lost(replace(old, network=network, evaluation=evaluation, proof=proof), old)


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
    recipe: Recipe, config: Mapping[str, Any], evaluation: Evaluation, proof: Verdict
) -> str:
    """The run's README.md, with its results in the form that model hubs read."""
    tested, name = evaluation.exhaustive, f"{recipe.name}-{recipe.task}-h{recipe.hidden}"
    rows = "\n".join(
        f"| {part.digits:,} | {part.kind} | {part.right:,} of {part.pairs:,} | {part.margin:.2f} |"
        for part in evaluation.sampled
    )
    made = f"trained on {recipe.problems:,} examples of the task `{recipe.task}`"
    own = parse(recipe.task).family not in BUILT_IN
    again = f"""Made by carrynet {config["carrynet"]}, {config["engine"]} engine. To make it again:

    carrynet train --recipe recipe.toml{" --origin origin.safetensors" * bool(recipe.origin)} \\
        --engine {config["engine"]} --out again"""
    if own:
        begin = ', origin=carrynet.load(".").origin' * bool(recipe.origin)
        again = f"""Made by carrynet {config["carrynet"]}, {config["engine"]} engine. To make it
again, in Python, where the task has been registered:

    carrynet.train("recipe.toml"{begin}, engine="{config["engine"]}", out="again")"""
    if recipe.origin:
        made += ", beginning with the weights in `origin.safetensors`"
    if not recipe.stages:
        made = f"trained elsewhere, for the task `{recipe.task}`"
        again = f"Imported by carrynet {config['carrynet']}."
        if "source" in config:
            again += f"\n\n{Source.from_json(config['source']).to_markdown()}"
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

{_verdict_card(proof, own)}

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


def _verdict_card(proof: Verdict, own: bool) -> str:
    """The verdict, in the card of a run of a task of one's `own` or a built-in one."""
    if isinstance(proof, Proved):
        margin = "" if proof.margin is None else f", smallest margin {proof.margin:.2f}"
        recorded = "" if proof.checked else ", as recorded,"
        how = '`carrynet.prove(carrynet.load("."))`, in Python' if own else "`carrynet check .`"
        return (
            f"**Proved**{recorded} right for numbers of any length: {proof.certificate.claim} The "
            f"proof is `certificate.json` ({proof.regions} regions{margin}); {how} checks it."
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
    _recover(folder)
    try:
        is_folder = folder.is_dir()
        path = files.path_of(folder, "config.json")
        is_run = os.path.lexists(path) or os.path.lexists(folder / "config.json")
    except OSError as error:
        raise RunError(f"cannot read {shorten(str(folder))}: {error.strerror}") from None
    if not is_folder:
        raise RunError(f"{folder} is not a run: there is no such folder")
    if not is_run:
        raise RunError(f"{folder} is not a run: it has no config.json")
    with files.reading(folder / "config.json"):
        config = files.from_json(files.read_result(folder, "config.json", files.MOST_TEXT))
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise RunError(f"{folder} is not a run: {path.name} is not of format {FORMAT}")
    if config.get("version") != FORMAT_VERSION:
        version = shorten(config.get("version"))
        raise RunError(f"{folder} has format version {version}, not {FORMAT_VERSION}")
    with files.reading(folder / "config.json"):
        known = ("training", "trained", "complete")
        status = config.get("status")
        files.require(status in known, f"unknown status {shorten(status)}")
        optional = set() if status == "training" else {"seconds", "weights_sha256"}
        later = {"source", "hardened", "worse_than", "seconds", "weights_sha256", *_RESULTS}
        needed = _CONFIG.keys() - later | optional
        if status == "complete":
            needed |= {"evaluation_sha256", "proof_sha256"}
        for key in sorted(needed - config.keys()):
            raise ValueError(f"{key} is missing")
        for key, value in config.items():
            if key not in _CONFIG:
                raise unknown("key", key, _CONFIG)
            files.require(isinstance(value, _CONFIG[key]), f"{key} is wrong: {shorten(value)}")
    return config


_CONFIG: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("format", "carrynet", "python", "numpy", "engine", "recipe_sha256"), str),
    **dict.fromkeys(("status", "weights_sha256", *_RESULTS), str),
    "version": int,
    "seconds": (int, float),
    "source": dict,
    "hardened": str,
    "worse_than": str,
}
"""The keys of config.json, and what they hold."""


def _read_recipe(folder: Path, config: Mapping[str, Any]) -> Recipe:
    path = folder / "recipe.toml"
    data = files.read_bytes(path, files.MOST_TEXT)
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
    tensors, facts = files.read_tensors(path, _most_snapshots(recipe))
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


def _most_snapshots(recipe: Recipe) -> int:
    """The most bytes that the snapshots of a training take: weights, and a header."""
    task, H = parse(recipe.task), recipe.hidden
    numbers = (task.inputs + H + 1) * H + (H + 1) * task.neurons
    moments = 1 + len(recipe.stages) * len(training.SHARES)
    return moments * (numbers * np.dtype(recipe.dtype).itemsize + 1000) + files.MOST_TEXT


def _groups(tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Tensors by the parts of their names before and after the last dot."""
    groups: dict[str, dict[str, Array]] = {}
    for name, tensor in tensors.items():
        group, _, part = name.rpartition(".")
        groups.setdefault(group, {})[part] = tensor
    return groups


def _read_result(folder: Path, config: Mapping[str, Any], name: str) -> Any:
    """The document in NAME.json, which must be the one that the run was finished with."""
    most = MOST_CERTIFICATE if name == "certificate" else files.MOST_TEXT
    data = files.read_result(folder, f"{name}.json", most)
    with files.reading(folder / f"{name}.json"):
        ours = files.sha256(data) == config[f"{name}_sha256"]
        files.require(ours, f"it is not the {name} that the run was finished with")
        return files.from_json(data)


def _read_proof(folder: Path, config: Mapping[str, Any], network: Network) -> Verdict:
    """The verdict on a network, confirmed where that is quickly done."""
    document = _read_result(folder, config, "proof")
    certificate = None
    if "certificate_sha256" in config:
        values = _read_result(folder, config, "certificate")
        with files.reading(folder / "certificate.json"):
            certificate = from_json(values)
            about = certificate.task, certificate.activation, certificate.weights_sha256
            ours = network.task.text, network.activation, network.digest()
            files.require(about == ours, "it is about another network")
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
        return Model.read(data)


def read_network(path: Path) -> Network:
    """A network from a `model.safetensors`, or from the finished run in a folder.

    Of a run, no more is read than its network takes.  Raises `RunError` for any other file.
    """
    if not path.is_file():
        return _read_model(path, _finished(path))
    tensors, facts = files.read_tensors(path)
    with files.reading(path):
        return Network(parse(facts["task"]), facts["activation"], Weights(**tensors))


def read_certificate(folder: Path) -> Certificate:
    """The certificate in a run's folder, believed by nobody yet.

    Raises `RunError` where there is none, or something else.
    """
    _recover(folder)
    paths = files.path_of(folder, "certificate.json"), folder / "certificate.json"
    if not any(map(os.path.lexists, paths)):
        exists = folder.is_dir()
        what = (
            "it has no certificate.json: only a proved run has"
            if exists
            else "there is no such folder"
        )
        raise RunError(f"{folder} cannot be checked: {what}")
    data = files.read_result(folder, "certificate.json", MOST_CERTIFICATE)
    with files.reading(folder / "certificate.json"):
        return from_json(files.from_json(data))


def _read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last one that is cut off is left out."""
    path = folder / "metrics.jsonl"
    text = files.read_bytes(path, MOST_METRICS).decode("utf-8", "replace")
    with files.reading(path):
        lines = [files.from_json(line) for line in text.split("\n")[:-1]]
        for number, line in enumerate(lines, 1):
            for key, kind in _METRICS.items():
                good = isinstance(line, dict) and type(line.get(key)) in kind
                files.require(good, f"line {number}: {key} is missing or wrong")
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
