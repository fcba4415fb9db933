"""How far apart engines are in a logit, in the unit that `reference.near_zero` is made of.

    uv run python -m benchmarks.rounding --seeds 3

The largest difference between a network's own steps and the batches of each engine, over words
of 24 symbols, in eps max_y (sum_i |Why_iy| r_i + |by_y|); `near_zero` is 64 of these.
"""

import argparse
from itertools import product

import numpy as np

from carrynet.data import rng, words as problems
from carrynet.engines import native, reference
from carrynet.learn import training
from carrynet.nets.arrays import ACTIVATIONS
from carrynet.nets.network import Network
from carrynet.spec.recipe import RECIPES

TASKS = ("add", "add:base=3", "subtract", "compare", "multiply_by:k=5")
WORDS, LENGTH = 64, 24


def apart(network: Network) -> dict[str, float]:
    """The largest difference of each engine from the network's own steps, in units of `near_zero`.

    Of an engine's smallest margins: of its logits one by one nothing is known.
    """
    task = network.task
    draws = problems.draws_per_word(task, LENGTH)
    bits = rng.raw(0, 99, 0, WORDS * draws).reshape(WORDS, draws)
    words = problems.uniform(task, LENGTH, bits)
    own = [reference.follow(network, word[None], near=np.inf).margin for word in words]
    unit = reference.near_zero(network) / 64
    found = {}
    for name, engine in (("numpy", reference.follow_batch), ("native", native.follow)):
        # a word in a batch of its likes: the smallest margin is its own
        margins = [engine(network, np.repeat(word[None], 8, axis=0)).margin for word in words]
        known = np.isfinite(margins) & (np.abs(own) > 2 * 64 * unit)
        found[name] = float(np.abs(np.array(margins) - own)[known].max(initial=0.0)) / unit
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    print("activation  hidden  steps     numpy    native   (largest of all tasks and seeds)")
    for activation, hidden, steps in product(ACTIVATIONS, (8, 32, 128), (1, 100, 1000)):
        recipe = RECIPES["plain-adam"].with_settings(
            {"activation": activation, "hidden": hidden, "steps": steps}
        )
        jobs = [
            recipe.with_settings({"task": task, "seed": seed})
            for task in TASKS
            for seed in range(seeds)
        ]
        networks = [net for net in training.fit_many(jobs) if isinstance(net, Network)]
        found = [apart(network) for network in networks]
        worst = {name: max(each[name] for each in found) for name in found[0]}
        print(
            f"{activation:<12}{hidden:>6}{steps:>7}{worst['numpy']:>10.2f}{worst['native']:>10.2f}"
        )


if __name__ == "__main__":
    main()
