"""How often a recipe learns: a row for each seed, then the counts.

uv run python -m benchmarks.seeds --recipe tutorial --seeds 10 --hidden 32
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import carrynet as cn


def row(recipe: str, hidden: int, digits: int, seed: int) -> tuple[int, int, int, int, float]:
    run = cn.train(recipe, hidden=hidden, seed=seed, progress=False)
    result = cn.evaluate(run.network, digits)
    sampled = run.evaluation.sampled
    wrong = sum(part.pairs - part.right for part in sampled)
    margin = min(result.margin, *(part.margin for part in sampled))
    return seed, result.right, result.pairs, wrong, margin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="tutorial")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--digits", type=int, default=8)
    arguments = parser.parse_args()

    job = partial(row, arguments.recipe, arguments.hidden, arguments.digits)
    with ProcessPoolExecutor() as pool:
        rows = list(pool.map(job, range(arguments.seeds)))
    print(
        f"| seed | right, of all {arguments.digits}-digit pairs | wrong, of the samples | margin |"
    )
    print("|---:|---:|---:|---:|")
    for seed, right, pairs, wrong, margin in rows:
        print(f"| {seed} | {right:,} of {pairs:,} | {wrong:,} | {margin:.2f} |")
    whole = sum(right == pairs for _, right, pairs, _, _ in rows)
    both = sum(right == pairs and not wrong for _, right, pairs, wrong, _ in rows)
    print(
        f"\nright on all pairs: {whole} of {len(rows)}; also on every sample: {both} of {len(rows)}"
    )


if __name__ == "__main__":
    main()
