"""How many words a second a search for trees follows on one core: machine code beside NumPy.

uv run python -m benchmarks.trees --cell gru --hidden 8 16 32
"""

import argparse
import time

from carrynet.learn import training
from carrynet.nets.arrays import in_one_thread
from carrynet.proof import grown, trees
from carrynet.proof.followed import Followed
from carrynet.proof.grown import Grown
from carrynet.proof.tree_model import TreeModel, tree_model
from carrynet.spec import recipe as recipes

SLACK = 1e-5


def longest(model: TreeModel, nodes: int) -> float:
    """The largest radius for which there are most words to follow, up to so many nodes."""
    made: list[tuple[int, float]] = []
    for radius in trees.RADII:
        attempt = Grown(model, radius)
        attempt.grow(nodes, lambda: False)
        made.append((attempt.made[0], radius))
    return max(made)[1]


def words_a_second(attempt: Grown | Followed, nodes: int) -> float:
    begun = time.perf_counter()
    attempt.grow(nodes, lambda: False)
    return attempt.made[0] / (time.perf_counter() - begun)


@in_one_thread
def measured(model: TreeModel, nodes: int, rounds: int) -> tuple[float, float]:
    """The most words a second of machine code, and of NumPy, by turns."""
    radius, ours, theirs = longest(model, nodes), 0.0, 0.0
    for _ in range(rounds):
        ours = max(ours, words_a_second(Grown(model, radius), nodes))
        theirs = max(theirs, words_a_second(Followed(model, radius), nodes))
    return ours, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="add")
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--recipe", default="plain-adam")
    parser.add_argument("--hidden", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print("| task | cell | H | machine code, words/s | NumPy, words/s | ratio |")
    print("|---|---|---:|---:|---:|---:|")
    for hidden in given.hidden:
        settings = {"task": given.task, "cell": given.cell, "hidden": hidden, "seed": given.seed}
        recipe = recipes.get(given.recipe).with_settings(settings)
        network = training.fit(recipe, reports=1)
        if reason := grown.refuses(network):
            parser.error(reason)
        model = tree_model(network, SLACK)
        if model is None:
            parser.error(f"there are no metrics in which the network of {hidden} units contracts")
        ours, theirs = measured(model, given.nodes, given.rounds)
        print(
            f"| {given.task} | {given.cell} | {hidden} | {ours:,.0f} | {theirs:,.0f} | "
            f"{ours / theirs:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
