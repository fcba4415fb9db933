"""How many networks a second are trained side by side: the tutorial's 20,000 problems each.

uv run --extra jax python -m benchmarks.populations --networks 1000 10000 --hidden 16 32
uv run python -m benchmarks.populations --engine native --networks 1000
"""

import argparse
import os
import time
from dataclasses import replace

import numpy as np

import carrynet as cn
from carrynet import engines
from carrynet.engines import jax
from carrynet.learn import training
from carrynet.nets.optim import initial_moments
from carrynet.nets.weights import Weights
from carrynet.spec import recipe as recipes

STARTS = 64  # initial weights that are drawn; of more networks, each is some of these again


def updates(population: list[cn.Recipe], engine: str) -> None:
    """The updates of networks side by side, their problems drawn, and nothing else."""
    recipe, many = population[0], engines.get(engine, population[0]).many
    assert many is not None
    networks = [training.start(each).network for each in population[:STARTS]]
    rows = np.arange(len(population)) % len(networks)
    start = {k: np.stack([each.weights[k] for each in networks])[rows] for k in networks[0].weights}
    most, (stage,) = many.at_once(recipe), recipe.stages
    for first in range(0, len(population), most):
        some = np.s_[first : first + most]
        weights = Weights({name: w[some] for name, w in start.items()})
        moments = initial_moments(stage.optimiser, weights)
        many.advance(networks[0], weights, moments, population[some], 0, 0, stage.steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="jax", choices=("jax", "native"))
    parser.add_argument("--networks", type=int, nargs="+", default=[1_000])
    parser.add_argument("--hidden", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--cell", default="elman")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--whole", action="store_true", help="the start and end of each, too")
    given = parser.parse_args()
    device = jax.device() if given.engine == "jax" else f"{os.cpu_count()} cores"
    print(
        f"{given.engine} engine on {device}, cell {given.cell}: seconds are the fewest of ", end=""
    )
    print(f"{given.rounds}, after one that is not counted")
    for hidden in given.hidden:
        settings = {"hidden": hidden, "cell": given.cell, "biases": given.cell != "elman"}
        recipe = recipes.get("tutorial").with_settings(settings)
        for count in given.networks:
            population = [replace(recipe, seed=seed) for seed in range(count)]

            def job(population: list[cn.Recipe] = population) -> None:
                if given.whole or given.engine == "native":
                    training.fit_many(population, engine=given.engine)
                else:
                    updates(population, given.engine)

            seconds = []
            for _ in range(given.rounds + 1):
                begun = time.perf_counter()
                job()
                seconds.append(time.perf_counter() - begun)
            best, what = min(seconds[1:]), "whole" if given.whole else "updates"
            rate = f"{count / best:,.0f} networks a second, {what}"
            print(f"H {hidden:>3}  {count:>7,} networks  {best:8.3f} s  {rate}", flush=True)


if __name__ == "__main__":
    main()
