"""How many networks of a recipe are proved, refuted or neither: a row for each size and task.

uv run python -m benchmarks.proofs --recipe certified --hidden 8 16 32 --seeds 100
uv run python -m benchmarks.proofs --recipe tutorial --hidden 8 16 32 --seeds 34 --harden
uv run python -m benchmarks.proofs --recipe tutorial --hidden 8 16 32 --seeds 100 --workers 1
uv run python -m benchmarks.proofs --task add add:base=3 subtract compare --seeds 10
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median

import carrynet as cn
from carrynet.cli import options
from carrynet.judge.evaluation import affordable_digits, evaluate
from carrynet.learn import training
from carrynet.nets.network import Network
from carrynet.proof import check
from carrynet.proof.search import model, prove
from carrynet.proof.verdict import Proved, Refuted, Verdict
from carrynet.spec import recipe as recipes


@dataclass(frozen=True)
class Job:
    """One network."""

    recipe: cn.Recipe
    budget: float
    harden: bool


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    verdict: Verdict
    searched: float  # seconds, the check included
    checked: float  # seconds
    passed: bool  # all problems of up to 8 digits, or of as many as make 65,536
    hardened: str | None  # the verdict after hardening


def run(job: Job) -> Outcome:
    network = training.fit(job.recipe, reports=1)
    found, seconds = timed(network, job.budget)
    checked = 0.0
    if isinstance(found, Proved):
        started = time.perf_counter()
        check.check(model(network), found.certificate)
        checked = time.perf_counter() - started
    digits = affordable_digits(network.task, 8, 2**16)
    passed = evaluate(network, digits).all_right
    hardened = None
    if job.harden:
        recipe = training.hardening(job.recipe, network)
        stronger = training.fit(recipe, state=training.start(recipe, network), reports=1)
        hardened = timed(stronger, 0.0)[0].verdict
    return Outcome(found, seconds, checked, passed, hardened)


def timed(network: Network, budget: float) -> tuple[Verdict, float]:
    started = time.perf_counter()
    return prove(network, budget=budget), time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default=recipes.DEFAULT)
    parser.add_argument("--task", nargs="+", default=["add"])
    parser.add_argument("--hidden", nargs="+", type=int, default=[32])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for each search")
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count(),
        help="networks at a time; with 1 a search has all cores to itself",
    )
    parser.add_argument("--harden", action="store_true", help="harden each network, and try again")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()

    columns = (
        *("task", "H", "proved", "refuted", "of them right on all that were tried", "undecided"),
        *("decided in 10 s", "regions", "slack", "search s", "longest", "check s", "longest"),
        "proved when hardened",
    )
    print(f"| {' | '.join(columns)} |")
    print("|---|" + "---:|" * (len(columns) - 1))
    settings = options.parse_settings(tuple(arguments.set))
    for task in arguments.task:
        for hidden in arguments.hidden:
            base = recipes.get(arguments.recipe).with_settings({"task": task, "hidden": hidden})
            jobs = [
                Job(
                    base.with_settings({**settings, "seed": seed}),
                    arguments.budget,
                    arguments.harden,
                )
                for seed in range(arguments.seeds)
            ]
            with ProcessPoolExecutor(arguments.workers) as pool:
                outcomes = list(pool.map(run, jobs))
            print(row(task, hidden, outcomes), flush=True)


def row(task: str, hidden: int, outcomes: list[Outcome]) -> str:
    counts = {
        kind: sum(o.verdict.verdict == kind for o in outcomes)
        for kind in ("proved", "refuted", "undecided")
    }
    proofs = [o.verdict for o in outcomes if isinstance(o.verdict, Proved)]
    searched = [o.searched for o in outcomes]
    checked = [o.checked for o in outcomes if isinstance(o.verdict, Proved)] or [0.0]
    hardened = [o.hardened for o in outcomes if o.hardened is not None]
    cells = [
        task,
        str(hidden),
        f"{counts['proved']} of {len(outcomes)}",
        str(counts["refuted"]),
        str(sum(isinstance(o.verdict, Refuted) and o.passed for o in outcomes)),
        str(counts["undecided"]),
        str(sum(o.verdict.verdict != "undecided" and o.searched <= 10 for o in outcomes)),
        f"{median(p.regions for p in proofs):.0f}" if proofs else "",
        f"{median(p.slack for p in proofs):.2g}" if proofs else "",
        *(f"{seconds:.3f}" for seconds in (median(searched), max(searched))),
        *(f"{seconds:.3f}" for seconds in (median(checked), max(checked))),
        f"{hardened.count('proved')} of {len(hardened)}" if hardened else "",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
