"""The verbs: train, compile, harden, resume, load, decide, check, save, export.

Each makes a `Run`, a record with its verbs, in memory or in a folder, or asks something of one.
THE pipeline, by which every run comes about, is `_carry_out`: train, test, search for a proof.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, overload

from carrynet import engines, files, locks
from carrynet.errors import InputError, RunError, shorten
from carrynet.exchange.export import Exported, export as write_as
from carrynet.exchange.formats import FORMATS
from carrynet.exchange.leaving import Standing
from carrynet.judge.evaluation import Evaluation, affordable_digits, examine
from carrynet.learn import training
from carrynet.learn.bar import Bar
from carrynet.learn.training import Callback
from carrynet.nets import cells
from carrynet.nets.network import Network, network_of
from carrynet.proof import search
from carrynet.proof.certificate import Certificate, Rejected
from carrynet.proof.verdict import Proved, Refuted, Undecided, Verdict, in_words
from carrynet.report import page
from carrynet.runs import folder as folders
from carrynet.runs.checkpoint import Notes, Recorder, write_snapshots
from carrynet.runs.create import making
from carrynet.runs.format import (
    read_config,
    read_origin,
    read_recipe,
    read_trained,
    write_trained,
)
from carrynet.runs.record import Record
from carrynet.spec import recipe as recipes, tasks
from carrynet.spec.machine import Machine
from carrynet.spec.recipe import Recipe
from carrynet.spec.task import Task

if TYPE_CHECKING:
    from carrynet.proof.check import Checked


class Run(Record):
    """A finished training, with what one does with it."""

    @classmethod
    def of(cls, record: Record) -> "Run":
        """A record, with its verbs."""
        return cls(**{each.name: getattr(record, each.name) for each in fields(record)})

    def save(self, path: str | Path, *, force: bool = False) -> "Run":
        """Write the run as a folder and return it with its new place.

        Raises `InputError` when `path` exists, unless `force` and it is a run.
        """
        options: dict[str, Any] = {"origin": self.origin, "source": self.source}
        options["mechanism"] = self.mechanism
        with making(path, self.recipe, self.engine, force=force, **options) as folder:
            files.write(folder / "metrics.jsonl", files.json_lines(self.metrics))
            write_snapshots(folder, self.snapshots)
            write_trained(folder, self.network, self.seconds)
            return Run.of(folders.finish(folder, self.network, self.evaluation, self.proof))

    def _repr_html_(self) -> str:
        return page.frame(self)


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
    settings: Mapping[str, Any] = MappingProxyType({}),
    **named: Any,
) -> Run:
    """Train a network by a recipe, evaluate it, and try to prove it.

    `named` settings change single keys of the recipe: `train("tutorial", hidden=16, seed=3)`;
    `settings` those whose names have a dot, too: `train(settings={"harden.steps": 2000})`.
    A `cell` may also be a `Formula`, or a file of equations.
    `origin` is the network that training begins with, for recipes that name one.  `budget`
    is how many seconds a search for a proof may take beyond its first, quick steps.
    With `out` the run is written to that folder, with checkpoints along the way;
    without, it is kept in memory and can be saved later.

    Raises `InputError` for settings outside what is accepted or an `out` that exists,
    `RunError` when the folder cannot be written, `Diverged` when training overflows.
    """
    if not isinstance(settings, Mapping):
        raise InputError(f"settings are a dictionary of keys and values, not {shorten(settings)}")
    chosen = cells.recipe(recipe, {**settings, **named})
    if out is not None:
        with making(out, chosen, engine, force=force, origin=origin) as folder:
            return resume(folder, callbacks=callbacks, progress=progress, budget=budget)
    with Bar(progress) as bar:
        return _carry_out(_InMemory(chosen, engine, origin), bar, callbacks, budget)


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
    if read_config(folder)["status"] == "complete":
        return load(folder)
    with locks.Lock(folder), Bar(progress) as bar:
        locks.settle(folder)
        if read_config(folder)["status"] == "complete":  # by somebody else, by now
            return load(folder)
        return _carry_out(_InFolder(folder), bar, callbacks, budget)


@overload
def load(source: str | Path) -> Run: ...
@overload
def load(
    source: Any, task: str | Path | Task | Machine, *, samples: Any = None, **said: Any
) -> Network: ...
def load(
    source: Any,
    task: str | Path | Task | Machine | None = None,
    *,
    samples: str | Path | Mapping[str, Any] | None = None,
    **said: Any,
) -> Run | Network:
    """Read a finished run from its folder; with a task, a network that was trained elsewhere.

    Of a run, a proof is checked once more, unless that would take long: then it is the one that
    is recorded, and says so (`Proved.checked`).

    Of a network, `source` is a file, of any kind that `carrynet import` takes, or a live
    `torch.nn.Module`.  `samples` are what it answers to some words, a file or arrays by their
    names, `words`, `outputs`, `logits`; see `exchange.samples`.  `said` is what else the owner
    says: `activation`, `coding`, `delay`, `head`, as the command's options; `map`, a text or
    several; `leave_out`.  What is neither said nor shown is tried on sample problems, and told by
    `carrynet import`, which makes a run of it.

    Raises `RunError`, naming the file, for a folder that is missing, not a run,
    unfinished, damaged or from a later version; `InputError` for what is no path, and for what
    cannot be taken.
    """
    if task is None:
        if samples is not None or said:
            raise InputError("a network that was trained elsewhere is loaded with its task")
        if not isinstance(source, str | Path):
            raise InputError(f"a run is loaded from the path of its folder, not {shorten(source)}")
        return Run.of(folders.load(source))
    from carrynet.exchange import foreign, live  # which no other verb needs

    meant = tasks.parse(task)
    if isinstance(source, str | Path):
        contents = foreign.read(Path(source))
    elif live.is_module(source):
        contents = live.contents(source)
    else:
        raise InputError(f"a network is a file or a torch.nn.Module, not {shorten(source)}")
    texts = {}
    for name in ("map", "leave_out"):
        given = said.pop(name, ())
        texts[name] = [given] if isinstance(given, str) else given
        if not isinstance(texts[name], Sequence) or not all(type(t) is str for t in texts[name]):
            raise InputError(f"{name} is a text or several, not {shorten(given)}")
    maps = foreign.Mapping.parse(texts["map"])
    if unknown := sorted(said.keys() - {"activation", "coding", "delay", "head"}):
        raise InputError(f"{shorten(unknown[0])} cannot be said of a network")
    answers = None
    if isinstance(samples, str | Path):
        answers = foreign.read_samples(Path(samples), meant)
    elif samples is not None:
        answers = foreign.samples_of(samples, meant)
    said["leave_out"] = texts["leave_out"]
    taken = foreign.take(contents, meant, maps, samples=answers, **said)
    if live.is_module(source):
        live.confirm(source, taken.network)
    return taken.network


def harden(
    run: Record | Network,
    *,
    out: str | Path | None = None,
    force: bool = False,
    engine: str = "auto",
    progress: bool = True,
    budget: float = 0.0,
    settings: Mapping[str, Any] = MappingProxyType({}),
    **named: Any,
) -> Run:
    """Train a run's network on, against its worst case, until it is easy to prove.

    The new run's recipe is `training.hardening`, whose keys `settings` and `named` may change as
    in `train`, but those of the network; it names the old network as its origin.  Biases are
    trained from here on.
    """
    recipe = run.recipe if isinstance(run, Record) else importing(run)
    network = network_of(run)
    options: dict[str, Any] = {"out": out, "force": force, "engine": engine, "progress": progress}
    return train(
        training.hardening(recipe, network),
        **options,
        origin=network,
        budget=budget,
        settings=settings,
        **named,
    )


def compile(  # noqa: A001
    task: str | Path | Task | Machine,
    *,
    out: str | Path | None = None,
    force: bool = False,
    digits: int | None = None,
    progress: bool = True,
    budget: float = 0.0,
    **construction: Any,
) -> Run:
    """A network for a task's machine by construction, not by training, tested and proved.

    `construction` as of `learn.mechanism.Construction`: `compile("parity", cell="gru", copies=3)`.
    The run's `mechanism` says what each unit means.  `digits` as in `evaluate`, by default 8 or as
    many as are soon tried; `out`, `force` and `budget` as in `train`.

    Raises `InputError` for what cannot be compiled: another cell, more than 1,024 units, symbols
    that no linear score tells apart.
    """
    from carrynet.learn import compile as compiling  # which no other verb needs
    from carrynet.learn.mechanism import Construction

    network, mechanism = compiling.build(tasks.parse(task), Construction(**construction))
    recipe = importing(network, digits, **mechanism.settings)
    if out is not None:
        options: dict[str, Any] = {"origin": network, "mechanism": mechanism}
        with making(out, recipe, force=force, **options) as folder:
            return resume(folder, progress=progress, budget=budget)
    with Bar(progress) as bar:
        run = _carry_out(_InMemory(recipe, "auto", network), bar, (), budget)
    return replace(run, mechanism=mechanism)


def importing(network: Network, digits: int | None = None, **named: Any) -> Recipe:
    """The recipe of a run that only holds a network: no stages, and the network its origin.

    It is tested on all problems of up to `digits`, by default 8 or as many as are soon tried.
    `named` keys are what is known besides.

    Raises `InputError` for more digits than are soon tried, some million problems.
    """
    most = affordable_digits(network.task, 8 if digits is None else digits)
    if digits is None:
        digits = max(most, network.task.headroom + 1)
    elif digits > most:
        raise InputError(
            f"all problems of {digits} digits are more than are tried here, at most those of "
            f"{most}: '{folders.program()} evaluate --digits {digits}' tries more, where it can"
        )
    usual: dict[str, Any] = {"name": "imported", **network.settings, "biases": True, **named}
    return Recipe(
        task=network.task.text,
        machine=network.task,
        digits=digits,
        hidden=network.hidden,
        **usual,
        dtype=network.dtype.name,
        origin=network.digest(),
        stages=(),
    )


def decide(
    run: Record,
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
            return replace(Run.of(run), proof=_verdict(run, budget, bar, suspect))
        with locks.Lock(run.path):
            if read_config(run.path).get("weights_sha256") != run.network.digest():
                raise RunError(f"{run.path} holds another run by now")
            found = _verdict(run, budget, bar, suspect)
            return Run.of(folders.finish(run.path, run.network, run.evaluation, found))


def _verdict(run: Record, budget: float, bar: Bar, suspect: Sequence[int] | None) -> Verdict:
    """A verdict by a new search, or the one that there was, if that decides and still holds."""
    found = search.decide(run.network, run.evaluation, budget, bar.say, suspect)
    if isinstance(found, Undecided) and not isinstance(run.proof, Undecided):
        with suppress(Rejected):
            found = search.confirm(run.network, run.proof, bar.say)
    return search.measured(run.network, found)


def check(
    subject: Record | Network | str | Path,
    certificate: Certificate | None = None,
    *,
    progress: bool = True,
) -> "Checked":
    """Have a proof checked by the independent checker, from its weights and nothing else.

    Of a run's folder the checker reads the weights by itself, and nothing else of the run is
    believed; of a `Run`, its network is meant.  Without a `certificate` it is the one that is
    there: in the folder, or in the run's proof.

    Raises `Rejected` where the certificate does not prove the network right, `InputError` or
    `RunError` where there is none.
    """
    from carrynet.proof import check as checker

    if isinstance(subject, str | Path):
        certificate = certificate or folders.read_certificate(Path(subject))
        model = folders.read_model(Path(subject))
    else:
        model = search.model(network_of(subject))
        certificate = certificate or _certificate_of(subject)
    with Bar(progress) as bar:
        return checker.check(model, certificate, bar.watch)


def export(
    subject: Record | Network,
    *,
    to: str,
    out: str | Path | None = None,
    force: bool = False,
) -> Exported:
    """Write a network for other programs: `to` is one of `exchange.formats.FORMATS`.

    `out` is the file; by default it is named after the run, or the task, in the working folder.
    It says what is proved of the network, or that nothing is.

    Raises `InputError` for a format that has no words for the network, and for a file that is
    there, unless `force`; `RunError` where it cannot be written.
    """
    network = network_of(subject)
    if out is None:
        path = subject.path if isinstance(subject, Record) else None
        ending, _ = FORMATS.get(to, ("", ""))
        name = path.resolve().name if path else re.sub(r"[^\w-]+", "-", network.task.name)
        out = f"{name}{ending}"
    return write_as(network, to, Path(out), _standing(subject), force=force)


def _standing(subject: Record | Network) -> Standing:
    """What is known of a network that leaves, in words."""
    if not isinstance(subject, Record):
        return Standing()
    proof = subject.proof
    if isinstance(proof, Proved):
        certificate = proof.certificate.text().encode()
        return Standing(in_words(proof), proof.certificate.claim, files.sha256(certificate))
    if isinstance(proof, Refuted):
        task = subject.network.task
        what, units = ("numbers", "digits") if task.numeric else ("words", "symbols")
        operands = ", ".join(map(str, proof.operands))
        words = (
            f"It is wrong for {operands}, read as {what} of {proof.digits} {units}: it answers "
            f"{proof.answered} and not {proof.expected}."
        )
        return Standing("refuted", words)
    return Standing("undecided", "It is neither proved nor refuted for words of every length.")


def _certificate_of(subject: Record | Network) -> Certificate:
    if not isinstance(subject, Record):
        raise InputError("a network has no certificate: give one, or a run that is proved")
    if not isinstance(subject.proof, Proved):
        raise InputError(f"the run has no certificate: it is {subject.proof.verdict}, not proved")
    return subject.proof.certificate


# The pipeline ------------------------------------------------------------------------


class _Place(Protocol):
    """Where a run comes about: what is asked, and who keeps what comes of it."""

    recipe: Recipe
    engine: str
    network: Network | None  #: what training ended in, where it is over already

    def recorder(self) -> AbstractContextManager[Notes | Recorder]:
        """What the training is to tell of itself, and the state that it begins with."""

    def keep(self, network: Network, seconds: float) -> Network:
        """Keep what training ended in, and return it as it is kept."""

    def finish(self, network: Network, evaluation: Evaluation, proof: Verdict) -> Record:
        """The finished run."""


def _carry_out(place: _Place, bar: Bar, callbacks: Sequence[Callback], budget: float) -> Run:
    """Train, test, search for a proof."""
    recipe, network = place.recipe, place.network
    if network is None:
        with place.recorder() as recorder:
            network = training.fit(
                recipe,
                engine=place.engine,
                state=recorder.state,
                callbacks=[recorder, bar, *callbacks],
            )
        network = place.keep(network, recorder.seconds)
    evaluation = _examine(recipe, network, bar)
    proof = search.measured(network, search.decide(network, evaluation, budget, bar.say))
    return Run.of(place.finish(network, evaluation, proof))


def _examine(recipe: Recipe, network: Network, bar: Bar) -> Evaluation:
    """Test a fresh network up to its recipe's digits, fewer where those are too many."""
    return examine(network, affordable_digits(network.task, recipe.digits), watch=bar.watch)


class _InMemory:
    """A run that is not written."""

    network: Network | None = None

    def __init__(self, recipe: Recipe, engine: str, origin: Network | None) -> None:
        self.engine = engines.get(engine, recipe).name
        self.recipe, self._origin = recipe, origin
        self._notes = Notes(training.start(recipe, origin))
        self._seconds = 0.0

    def recorder(self) -> Notes:
        return self._notes

    def keep(self, network: Network, seconds: float) -> Network:
        self._seconds = seconds
        return network

    def finish(self, network: Network, evaluation: Evaluation, proof: Verdict) -> Record:
        return Record(
            self.recipe,
            self.engine,
            network,
            self._seconds,
            evaluation,
            proof,
            tuple(self._notes.metrics),
            origin=self._origin,
            snapshots=tuple(self._notes.snapshots),
        )


class _InFolder:
    """A run whose folder has been made, and is locked."""

    def __init__(self, folder: Path) -> None:
        config = read_config(folder)
        self._folder, self.engine = folder, config["engine"]
        self.recipe = read_recipe(folder, config)
        done = config["status"] == "trained"
        self.network = read_trained(folder, config) if done else None

    def recorder(self) -> Recorder:
        folder, recipe = self._folder, self.recipe
        return Recorder(folder, recipe, lambda: training.start(recipe, read_origin(folder, recipe)))

    def keep(self, network: Network, seconds: float) -> Network:
        write_trained(self._folder, network, seconds)
        return read_trained(self._folder, read_config(self._folder))

    def finish(self, network: Network, evaluation: Evaluation, proof: Verdict) -> Record:
        return folders.finish(self._folder, network, evaluation, proof)
