"""How fast this machine is: carrynet beside others, by turns in one process.

Machines are shared and noisy, so competitors take turns, minimum and median are
given, and what counts are ratios.  What is not installed is left out and said so.
Rivals that train must first end in the same weights as ours, and those that evaluate
find as many pairs right; only PyTorch, whose nn.RNN has no sigmoid, is merely timed.
"""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from carrynet import engines
from carrynet.bench import rivals, timing
from carrynet.bench.timing import Comparison, Row
from carrynet.data import drawn
from carrynet.engines import jit, native, reference
from carrynet.errors import CarrynetError, unknown
from carrynet.judge import evaluation
from carrynet.learn import training
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.nets.optim import initial_moments
from carrynet.nets.weights import Weights
from carrynet.spec.recipe import RECIPES, Recipe
from carrynet.spec.stage import Stage
from carrynet.watch import Tell


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": jit.processor().cpu,
        "lanes": jit.processor().lanes,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def comparisons(
    only: tuple[str, ...] = (), rounds: int = 5, tell: Tell = lambda _: None
) -> list[Comparison]:
    """The comparisons, all or some of them; `tell` hears what is going on.

    Raises `InputError` for an unknown comparison, `Unavailable` where the native
    engine is, `CarrynetError` when competitors that should do the same work do not.
    """
    engines.get("native", Recipe())
    for name in only:
        if name not in COMPARISONS:
            raise unknown("comparison", name, COMPARISONS)
    results = []
    for name, compare in COMPARISONS.items():
        if not only or name in only:
            tell(f"measuring {name} ...")
            results += compare(rounds)
    return results


# The comparisons -----------------------------------------------------------------------


def tutorial_job(rounds: int) -> list[Comparison]:
    """20,000 problems of 8 bits, one at a time."""
    recipe = RECIPES["tutorial"]
    stage, network = recipe.stages[0], training.start(recipe).network
    words = drawn.draw(recipe, 0, 0, recipe.stages[0].steps)
    operations = _operations(recipe)
    beats, per_call = native.multiply_adds(2_000_000)

    def ours(engine: Any) -> rivals.Job:
        return lambda: _matrices(engine.advance(network, (), recipe, stage, words, 0)[0])

    jobs: dict[str, Callable[[], rivals.Job]] = {
        "native engine": lambda: ours(native),
        "C, plain loops, -O3 -march=native -ffast-math": lambda: rivals.plain_c(*given),
        "Numba, loops": lambda: rivals.numba_loops(*given),
        "JAX, jitted scans": lambda: rivals.jax_scan(*given),
        "NumPy engine": lambda: ours(reference),
        "the tutorial's loop": lambda: rivals.loop(*given),
        "PyTorch nn.RNN (tanh), eager": lambda: rivals.torch_rnn(*given),
    }
    given = (network.weights, words[:, 0], stage.step)
    ready, absent = timing.ready(jobs, agree=2e-2)
    ready["multiply-adds alone"] = beats
    seconds = timing.measure(ready, rounds)
    peak = per_call / min(seconds.pop("multiply-adds alone"))
    rows = []
    for name, values in seconds.items():
        speed = operations / min(values)
        rows.append(Row(name, values, f"{speed / 1e9:.3g} GFLOP/s, {speed / peak:.0%} of peak"))
    title = f"The tutorial job: 20,000 problems of 8 bits, H = 32 (peak {peak / 1e9:.0f} GFLOP/s)"
    return [Comparison(title, tuple(rows), absent)]


def mini_batches(rounds: int) -> list[Comparison]:
    """1,000 updates from batches of 32 words of 16 bits, Adam, cross-entropy, biases; by cell."""
    return [_mini_batches(cell, rounds) for cell in ("elman", "gru", "lstm")]


def _mini_batches(cell: str, rounds: int) -> Comparison:
    stage = Stage(steps=1_000, batch=32, optimiser="adam", step=0.01, loss="cross-entropy")
    recipe = Recipe(cell=cell, digits=16, biases=True, init_scaling="sqrt-hidden", stages=(stage,))
    network, words = (
        training.start(recipe).network,
        drawn.draw(recipe, 0, 0, recipe.stages[0].steps),
    )
    moments = initial_moments("adam", network.weights)

    def ours(engine: Any) -> rivals.Job:
        return lambda: tuple(engine.advance(network, moments, recipe, stage, words, 0)[0].values())

    jobs: dict[str, Callable[[], rivals.Job]] = {
        "native engine": lambda: ours(native),
        "JAX, jitted scans": lambda: rivals.jax_adam(network.weights, words, stage.step, cell),
        "PyTorch, eager": lambda: rivals.torch_adam(network.weights, words, stage.step, cell),
        "NumPy engine": lambda: ours(reference),
    }
    ready, absent = timing.ready(jobs, agree=5e-2)
    seconds = timing.measure(ready, rounds)
    products = sum(each.operation == "matmul" for each in network.cell.of_state)
    rows = tuple(
        Row(name, values, f"{products * _operations(recipe) / min(values) / 1e9:.3g} GFLOP/s")
        for name, values in seconds.items()
    )
    title = f"Mini-batches: 1,000 updates, {cell}, B = 32, T = 16, H = 32, Adam"
    return Comparison(title, rows, absent)


def trainings(rounds: int) -> list[Comparison]:
    """What a training takes beside its updates: problems drawn, progress told, snapshots kept."""
    return [_training(name, rounds) for name in ("tutorial", "certified")]


def _training(name: str, rounds: int) -> Comparison:
    recipe = RECIPES[name]
    begun = training.start(recipe)
    words = [drawn.draw(recipe, i, 0, stage.steps) for i, stage in enumerate(recipe.stages)]

    def updates() -> tuple[Array, ...]:
        network = begun.network
        for stage, shown in zip(recipe.stages, words, strict=True):
            moments = initial_moments(stage.optimiser, network.weights)
            made, *_ = native.advance(network, moments, recipe, stage, shown, 0)
            network = network.moved(made)
        return tuple(network.weights.values())

    def whole() -> tuple[Array, ...]:
        told: list[training.Progress] = []
        network = training.fit(
            recipe, engine="native", callbacks=[told.append, training.Album(begun)]
        )
        return tuple(network.weights.values())

    jobs: dict[str, Callable[[], rivals.Job]] = {
        "updates alone, of a stage in one call": lambda: updates,
        "the training": lambda: whole,
    }
    ready, _ = timing.ready(jobs, agree=1e-12)
    rows = tuple(Row(name, values) for name, values in timing.measure(ready, 4 * rounds).items())
    return Comparison(f"The whole training: {name}, H = {recipe.hidden}", rows)


def populations(rounds: int) -> list[Comparison]:
    """Independent networks, each by the tutorial job, data included."""
    results = []
    for hidden in (8, 16, 32):
        recipes = [
            RECIPES["tutorial"].with_settings({"hidden": hidden, "seed": seed})
            for seed in range(64)
        ]
        jobs: dict[str, Callable[[], object]] = {
            f"{threads} core{'s' * (threads > 1)}": partial(
                training.fit_many, recipes, engine="native", threads=threads
            )
            for threads in sorted({1, os.cpu_count() or 1})
        }
        rows = tuple(
            Row(name, values, f"{len(recipes) / min(values):.0f} networks/s")
            for name, values in timing.measure(jobs, min(rounds, 3)).items()
        )
        results.append(Comparison(f"Populations: 64 tutorial jobs, H = {hidden}", rows))
    return [*results, _gates_at_once(rounds)]


def _gates_at_once(rounds: int) -> Comparison:
    """Independent GRUs; problems are drawn beforehand for JAX, and as it goes for ours."""
    recipes = [
        RECIPES["tutorial"].with_settings({"cell": "gru", "hidden": 16, "seed": seed})
        for seed in range(16)
    ]
    (stage,) = recipes[0].stages
    cores = os.cpu_count() or 1

    def ours() -> tuple[Array, ...]:
        trained = training.fit_many(recipes, engine="native")
        return _stacked([each for each in trained if isinstance(each, Network)])

    def theirs() -> rivals.Job:
        start = [training.start(recipe).network for recipe in recipes]
        names = start[0].weights
        networks = Weights(dict(zip(names, _stacked(start), strict=True)))
        words = np.array([drawn.draw(each, 0, 0, stage.steps)[:, 0] for each in recipes])
        return rivals.jax_vmap(networks, words, stage.step, "gru")

    jobs: dict[str, Callable[[], rivals.Job]] = {
        f"native engine, {cores} core{'s' * (cores > 1)}": lambda: ours,
        "JAX, a jitted scan, vmap over networks, all cores": theirs,
    }
    # of many networks there may be one that rounding leads elsewhere
    ready, absent = timing.ready(jobs, agree=1e-3, by=np.median)
    rows = tuple(
        Row(name, values, f"{len(recipes) / min(values):.3g} networks/s")
        for name, values in timing.measure(ready, min(rounds, 3)).items()
    )
    return Comparison("Populations: 16 tutorial jobs by GRUs, H = 16", rows, absent)


def _stacked(networks: Sequence[Network]) -> tuple[Array, ...]:
    return tuple(
        np.stack([each.weights[name] for each in networks]) for name in networks[0].weights
    )


def exhaustive(rounds: int) -> list[Comparison]:
    """Every pair of numbers."""
    network = training.fit(RECIPES["tutorial"])
    return [
        _every_pair(network, 8, rounds, with_numpy=True),
        _every_pair(network, 12, min(rounds, 3), with_numpy=False),
    ]


def _every_pair(network: Network, digits: int, rounds: int, with_numpy: bool) -> Comparison:
    pairs = 4**digits

    def ours(engine: str, threads: int) -> Callable[[], int]:
        return lambda: evaluation.evaluate(network, digits, engine=engine, threads=threads).right

    jobs: dict[str, Callable[[], Callable[[], int]]] = {
        "native engine, 1 core": lambda: ours("native", 1),
        "native engine, all cores": lambda: ours("native", os.cpu_count() or 1),
        "JAX, each pair by itself, all cores": lambda: rivals.jax_pairs(network.weights, digits),
    }
    if with_numpy:
        jobs["NumPy engine"] = lambda: ours("numpy", 1)
    ready, absent = timing.available(jobs)
    for name, job in ready.items():
        if job() != pairs:
            raise CarrynetError(f"{name} does not find all {pairs:,} pairs right")
    rows = tuple(
        Row(name, values, f"{pairs / min(values) / 1e6:.3g} million pairs/s")
        for name, values in timing.measure(ready, rounds).items()
    )
    return Comparison(f"Every pair of {digits}-digit numbers: {pairs:,}", rows, absent)


def building(rounds: int) -> list[Comparison]:
    """The machine code that training by `certified` needs, with nothing in the cache.

    Each network is trained by two updates of each stage, which take next to no time.
    """
    jobs: dict[str, Callable[[], object]] = {}
    for cell, hidden in (("gru", 32), ("lstm", 32), *(("elman", H) for H in (32, 64, 128, 256))):
        recipe = RECIPES["certified"].with_settings({"cell": cell, "hidden": hidden})
        short = replace(recipe, stages=tuple(replace(each, steps=2) for each in recipe.stages))
        jobs[f"{cell}, H = {hidden}"] = partial(
            _cold, partial(training.fit, short, engine="native")
        )
    rows = tuple(Row(name, values) for name, values in timing.measure(jobs, rounds).items())
    return [Comparison("Building the kernels that a training needs", rows)]


def _cold(job: Callable[[], object]) -> None:
    """Carry a job out with an empty cache of machine code."""
    before = os.environ.get("CARRYNET_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CARRYNET_CACHE"] = folder
        jit.forget()
        try:
            job()
        finally:
            del os.environ["CARRYNET_CACHE"]
            if before is not None:
                os.environ["CARRYNET_CACHE"] = before


def process(rounds: int) -> list[Comparison]:
    """Whole commands from start to exit, with imports and evaluation, beside importing NumPy."""
    return [_command(rounds, *words) for words in (("--recipe", "tutorial"), ("--cell", "gru"))]


def _command(rounds: int, *words: str) -> Comparison:
    """`carrynet train` with some options."""
    with tempfile.TemporaryDirectory() as folder:
        count = iter(range(10**9))

        def run(*command: str, cache: str = "cache") -> None:
            subprocess.run(
                [sys.executable, *command],
                env={**os.environ, "CARRYNET_CACHE": str(Path(folder) / cache)},
                check=True,
                capture_output=True,
            )

        def train(cold: bool) -> None:
            name = f"{next(count)}"
            out = str(Path(folder) / f"run-{name}")
            cache = f"cold-{name}" if cold else "cache"
            run("-m", "carrynet", "train", *words, "--out", out, cache=cache)

        train(cold=False)
        seconds = timing.measure(
            {
                "warm: machine code cached": lambda: train(cold=False),
                "cold: cache empty": lambda: train(cold=True),
                "no more than importing NumPy": lambda: run("-c", "import numpy"),
            },
            rounds,
        )
    rows = tuple(Row(name, values) for name, values in seconds.items())
    return Comparison(f"The whole command: carrynet train {' '.join(words)}", rows)


def _matrices(weights: Weights) -> tuple[Array, ...]:
    return weights.Wxh, weights.Whh, weights.Why


def _operations(recipe: Recipe) -> float:
    """Multiplications and additions in products with Whh: forward, back, and its gradient."""
    return 3.0 * 2 * (recipe.digits - 1) * recipe.hidden**2 * recipe.problems


COMPARISONS: dict[str, Callable[[int], list[Comparison]]] = {
    "tutorial": tutorial_job,
    "batches": mini_batches,
    "training": trainings,
    "populations": populations,
    "exhaustive": exhaustive,
    "building": building,
    "process": process,
}
