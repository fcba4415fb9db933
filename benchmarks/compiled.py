"""How many machines that are built in are proved when they are compiled: a row for each.

uv run python -m benchmarks.compiled                                     # some 35 machines
uv run python -m benchmarks.compiled --every --kinds sigmoid tanh        # some 600
uv run python -m benchmarks.compiled --task cycle:16 --kinds lstm,gru

Of each family the machine of the usual parameters, or the smallest, and the largest with up to
`--most` pairs of a state and a symbol; with `--every` all of them.  For each cell whether it is
proved, how many regions that takes, the slack, and seconds of processor time: to build it, to
search for the proof and to have it checked.
"""

import argparse
import time
from collections import Counter
from itertools import product

from carrynet.learn.compile import build
from carrynet.learn.mechanism import Construction
from carrynet.nets import cells
from carrynet.proof.search import prove
from carrynet.proof.verdict import Proved
from carrynet.spec import tasks
from carrynet.spec.builtin import FAMILIES, make
from carrynet.spec.task import Task


def pairs(task: Task) -> int:
    return len(task.machine.states) * len(task.machine.symbols)


def machines(most: int, every: bool) -> list[Task]:
    """Tasks of each family with up to `most` pairs: the usual or smallest, and the largest."""
    chosen = []
    for family, row in FAMILIES.items():
        ranges = [range(p.low, p.high + 1) for p in row.parameters]
        names = [p.name for p in row.parameters]
        found = []
        for values in product(*ranges):
            named = dict(zip(names, values, strict=True))
            # of digits there are as many symbols as bases to the power of operands
            if named.get("base", 1) ** named.get("operands", 1) <= most:
                task = make(family, **named)
                if pairs(task) <= most:
                    found.append(task)
        if found and not every:
            usual = [task for task in found if task.text == family] or found[:1]
            found = list(dict.fromkeys([*usual, max(found, key=pairs)]))
        chosen += found
    return chosen


def construction(kind: str) -> Construction:
    if kind in cells.ACTIVATIONS:
        return Construction(activation=kind)
    return Construction(cell=kind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=["sigmoid", "tanh", "gru", "lstm"])
    parser.add_argument("--most", type=int, default=100, help="pairs of a state and a symbol")
    parser.add_argument("--every", action="store_true", help="all values of all parameters")
    parser.add_argument("--task", nargs="+", help="these instead")
    arguments = parser.parse_args()
    if arguments.task:
        chosen = [tasks.parse(text) for text in arguments.task]
    else:
        chosen = machines(arguments.most, arguments.every)

    print("| task | pairs | cell | H | verdict | regions | slack | seconds |")
    print("|---|---:|---|---:|---|---:|---:|---:|")
    counts: Counter[tuple[str, str]] = Counter()
    longest: dict[str, float] = {}
    for task in chosen:
        for kind in arguments.kinds:
            started = time.process_time()
            network, _ = build(task, construction(kind))
            found = prove(network, budget=0)
            seconds = time.process_time() - started
            counts[kind, found.verdict] += 1
            longest[kind] = max(longest.get(kind, 0.0), seconds)
            proof = f"{found.regions} | {found.slack:.2g}" if isinstance(found, Proved) else " | "
            print(
                f"| {task.text} | {pairs(task)} | {kind} | {network.hidden} | {found.verdict} | "
                f"{proof} | {seconds:.2f} |",
                flush=True,
            )
    print()
    for kind in arguments.kinds:
        said = ", ".join(
            f"{count} {verdict}" for (k, verdict), count in counts.items() if k == kind
        )
        print(f"{kind}: of {len(chosen)} machines {said}; the longest took {longest[kind]:.1f} s")


if __name__ == "__main__":
    main()
