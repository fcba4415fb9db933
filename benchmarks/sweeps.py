"""How many networks a second a sweep trains, beside the bare kernel in the same run.

uv run --extra sweep python -m benchmarks.sweeps --hidden 16 --networks 8000

Evaluation and proofs are off.  The bare kernel is `training.fit_many` in one process, in a
thread for each core; the two take turns.  A sweep's seconds are from its first to its last
line: workers started, parts written, the table read.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from carrynet import sweep
from carrynet.learn import training
from carrynet.spec import recipe as recipes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="tutorial")
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--networks", type=int, default=8_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=sweep.cores())
    arguments = parser.parse_args()

    last = arguments.networks - 1
    text = (
        f'recipe = "{arguments.recipe}"\nhidden = {arguments.hidden}\nseed = "0..{last}"\n'
        '[sweep]\nexhaustive = "none"\nlengths = []\nproof = "none"\n'
    )
    base = recipes.get(arguments.recipe).with_settings({"hidden": arguments.hidden})
    population = [base.with_settings({"seed": seed}) for seed in range(arguments.networks)]
    bare, swept = [], []
    for _ in range(arguments.rounds):
        started = time.perf_counter()
        for first in range(0, len(population), 1_000):
            training.fit_many(population[first : first + 1_000], threads=arguments.jobs)
        bare.append(len(population) / (time.perf_counter() - started))
        with tempfile.TemporaryDirectory() as folder:
            plan = Path(folder) / "plan.toml"
            plan.write_text(text)
            started = time.perf_counter()
            summary = sweep.execute(sweep.read(plan), Path(folder) / "out", jobs=arguments.jobs)
            swept.append(summary.networks / (time.perf_counter() - started))
    print(f"{arguments.networks:,} networks, hidden {arguments.hidden}, {arguments.jobs} cores")
    for name, rates in (("bare kernel", bare), ("sweep", swept)):
        print(f"{name:<12}{median(rates):>7.1f} networks/s", [round(rate, 1) for rate in rates])
    print(f"ratio       {median(swept) / median(bare):>7.1%}")


if __name__ == "__main__":
    main()
