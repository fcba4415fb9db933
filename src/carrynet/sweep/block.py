"""One block of a sweep: train its networks as one population, judge each, fill the part.

A block depends on its plan and its number and on nothing else, so that anybody can work it,
anywhere, and more than once.
"""

import time
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from carrynet import engines, files
from carrynet.errors import RunError
from carrynet.judge import evaluation, measures
from carrynet.judge.evaluation import Evaluation
from carrynet.judge.measures import Accuracy
from carrynet.learn import training
from carrynet.learn.training import Diverged, Trained
from carrynet.nets.network import Network, network_for
from carrynet.nets.weights import Weights
from carrynet.proof import search
from carrynet.spec.recipe import Recipe
from carrynet.sweep import rows, table
from carrynet.sweep.outcomes import VERDICTS
from carrynet.sweep.plan import Plan
from carrynet.sweep.settings import Settings
from carrynet.sweep.store import Store, weights_name


@dataclass(frozen=True)
class Counts:
    """What became of some networks."""

    networks: int = 0
    diverged: int = 0
    proved: int = 0
    refuted: int = 0
    undecided: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        mine, theirs = vars(self), vars(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Counts":
        """Of one row."""
        counts = {name: int(row.get("verdict") == name) for name in VERDICTS}
        return cls(networks=1, diverged=int(row["outcome"] == "diverged"), **counts)


@dataclass(frozen=True)
class Finished:
    """What came of a block: the contents of its files, which `Store.finish` takes."""

    counts: Counts
    rows: bytes
    weights: bytes | None  # of the rows whose weights are kept


def work(plan: Plan, number: int) -> Finished:
    """Work a block, in one thread: there is a process for each core."""
    described = rows.columns(plan)
    found, kept, counts = [], {}, Counts()
    trials = plan.block(number)
    for _, alike in groupby(trials, plan.kind):
        population = list(alike)
        recipes = [plan.recipe(trial) for trial in population]
        started = time.perf_counter()
        trained = training.train_many(recipes, engine=plan.settings.engine, threads=1)
        seconds = (time.perf_counter() - started) / len(population)
        for trial, recipe, result in zip(population, recipes, trained, strict=True):
            row = {"number": trial, "block": number, "recipe": plan.values(trial)["recipe"]}
            row |= _row(recipe, result, seconds, plan.settings, described)
            if row["kept"]:
                assert isinstance(result, Trained)
                kept.update({f"{trial}.{k}": w for k, w in result.network.weights.items()})
            found.append(row)
            counts += Counts.of(row)
    weights = None
    if kept:
        facts = {"plan_sha256": files.sha256(plan.to_toml().encode()), "block": number}
        weights = files.tensor_bytes(kept, facts)
    return Finished(counts, table.encode(found, described), weights)


def network(store: Store, trial: int) -> Network:
    """The network of a trial whose weights were kept.

    Raises `RunError` where they were not, are not there yet, or are others than its row says;
    `InputError` for no such trial.
    """
    plan = store.plan()
    row = table.row(store, plan, trial, ("kept", "weights_sha256"))
    if row is None:
        raise RunError(f"the weights of trial {trial} are not there yet: its block is not done")
    if not row["kept"]:
        raise RunError(f"the weights of trial {trial} were not kept")
    block = plan.block_of(trial)
    tensors, start = store.weights(block), f"{trial}."
    mine = {name.removeprefix(start): w for name, w in tensors.items() if name.startswith(start)}
    with files.reading(store.path(weights_name(block))):
        network = network_for(plan.recipe(trial), Weights(mine))
        ours = network.digest() == row["weights_sha256"]
        files.require(ours, f"the weights of trial {trial} are not those that its row says")
        return network


def _row(
    recipe: Recipe,
    result: Trained | Diverged,
    seconds: float,
    settings: Settings,
    described: list[rows.Column],
) -> dict[str, Any]:
    """What a network's row says, but for where it stands."""
    engine = engines.get(settings.engine, recipe).name
    row = rows.described(recipe, described) | rows.trained(result, seconds, engine)
    if isinstance(result, Diverged):
        return {**row, "kept": False}
    network, started = result.network, time.perf_counter()
    tested, accuracy = _examine(network, settings), _accuracy(network, settings)
    row |= rows.examined(tested, accuracy, time.perf_counter() - started)
    verdict = None
    if settings.proof is not None:
        verdict = search.decide(network, tested, settings.proof)
    row |= rows.judged(verdict)
    row["kept"] = settings.keep == "all" or settings.keep == row["verdict"]
    return row


def _accuracy(network: Network, settings: Settings) -> Accuracy | None:
    if not settings.accuracy:
        return None
    shortest, longest = settings.accuracy
    how: dict[str, Any] = {"words": settings.pairs, "engine": settings.engine}
    return measures.accuracy(network, shortest, longest, **how)


def _examine(network: Network, settings: Settings) -> Evaluation:
    engine, whole = settings.engine, rows.NOT_EXAMINED
    if settings.exhaustive:
        # of an alphabet larger than that of binary addition, fewer digits: not more problems
        most = max(2**20, 4**settings.exhaustive)
        digits = evaluation.affordable_digits(network.task, settings.exhaustive, most)
        whole = evaluation.evaluate(network, digits, engine=engine, threads=1)
    sampled = evaluation.by_length(
        network, settings.lengths, pairs=settings.pairs, engine=engine, threads=1
    )
    return Evaluation(whole, sampled)
