"""The tutorial job: 20,000 problems of 8 bits, one at a time, Elman 2-32-1, SGD.

The tutorial's loop and carrynet's NumPy engine by turns in one process, on the same
problems from the same weights; in float64 their final weights must agree.

    uv run python -m benchmarks.tutorial_job
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks import tutorial_loop
from carrynet import problems, rng, training
from carrynet.recipe import RECIPES


def measure(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each job in each round, the jobs taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()

    double = RECIPES["tutorial"].with_settings({"steps": arguments.problems, "dtype": "float64"})
    single = double.with_settings({"dtype": "float32"})
    task = training.start(double).network.task
    words = problems.training_words(
        task, 8, seed=0, stream=rng.STAGES, start=0, count=arguments.problems
    )
    place = 1 << np.arange(8)
    pairs = [
        (int(a), int(b)) for a, b in zip((words >> 1) @ place, (words & 1) @ place, strict=True)
    ]

    results = {}

    def loop() -> None:
        w = training.start(double).network.weights
        results["loop"] = [w.Wxh.copy(), w.Whh.copy(), w.Why.copy()]
        tutorial_loop.train(results["loop"], pairs)

    def numpy_double() -> None:
        w = training.fit(double, engine="numpy").weights
        results["numpy"] = [w.Wxh, w.Whh, w.Why]

    jobs: dict[str, Callable[[], object]] = {
        "the tutorial's loop": loop,
        "numpy engine, float64": numpy_double,
        "numpy engine, float32": lambda: training.fit(single, engine="numpy"),
    }
    seconds = measure(jobs, arguments.rounds)
    gap = max(np.abs(a - b).max() for a, b in zip(results["loop"], results["numpy"], strict=True))
    if not gap < 1e-6:
        raise SystemExit(f"the loop and the engine end in different weights: {gap:.2g} apart")

    yardstick = seconds["the tutorial's loop"]
    rows = [
        {
            "name": name,
            "minimum_s": min(values),
            "median_s": statistics.median(values),
            "ratio_of_minima": min(yardstick) / min(values),
            "ratio_of_medians": statistics.median(yardstick) / statistics.median(values),
        }
        for name, values in seconds.items()
    ]
    if arguments.as_json:
        print(json.dumps({"problems": arguments.problems, "weights_apart": gap, "rows": rows}))
        return
    print(f"{arguments.problems:,} problems, {arguments.rounds} rounds by turns, NumPy")
    print(f"{np.__version__}, Python {platform.python_version()}, {platform.machine()}\n")
    print("| | minimum s | median s | faster than the loop |")
    print("|---|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row['name']} | {row['minimum_s']:.2f} | {row['median_s']:.2f} "
            f"| {row['ratio_of_minima']:.1f}x |"
        )


if __name__ == "__main__":
    main()
