"""Networks that were proved, disturbed at random: is whatever is proved of them still right?

    uv run python -m benchmarks.adversary --mutants 5000
    uv run python -m benchmarks.adversary --mutants 1000 --trees 2

Each mutant of a proved gated network has a disturbance of a kind and a size drawn at random: all
weights, or one matrix, one row, one weight; gates exchanged; numbers rounded to few bits.  It is
decided as any network is, or, with `--trees`, by trees of words alone that are found in so many
seconds.  What is proved is checked once more, and cross-examined by words that a
search for errors tries, in float32 and in float64, and by long words in balls of 200 bits, carried
out here with nothing of carrynet's readings.  A certificate of the original, renamed to speak of
the mutant, is given to the checker, too: what it accepts counts as proved.

Ends with exit code 1 if anything proved was wrong.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import flint
import numpy as np
from flint import arb

import carrynet as cn
from carrynet.data.words import OPEN, answers, tables
from carrynet.judge import refutation
from carrynet.nets.network import Network
from carrynet.proof import check, search, trees
from carrynet.proof.certificate import BoxCertificate, Rejected
from carrynet.proof.verdict import Proved, Refuted, Undecided, Verdict

SUBJECTS = (
    *(("gru", "add", 8), ("lstm", "add", 8), ("mgu", "add", 12), ("gru-reset-before", "add", 8)),
    *(("gru", "tomita:5", 8), ("lstm", "tomita:7", 8), ("gru", "parity", 8)),
    *(("lstm", "compare", 12), ("gru,lstm", "add", 8), ("elman,gru", "parity", 8)),
)
KINDS = ("all", "matrix", "row", "weight", "gates", "rounded")
SLACK = 1e-9  # that trees are asked for: as little as covers rounding
LONG = 120  # symbols of the words in balls


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant."""

    subject: str
    kind: str
    verdict: str
    passed_off: bool  #: whether the original's certificate was accepted for it
    wrong: str  #: what is wrong about that; '' if nothing


def decided(network: Network, seconds: float | None) -> Verdict:
    """The verdict on a network; by errors and trees alone where there are seconds for trees."""
    if seconds is None:
        return search.prove(network, budget=0)
    if (found := refutation.refute(network)) is not None:
        return search._refuted(network, found)
    deadline = time.monotonic() + seconds
    certificate = trees.search(network, slack=SLACK, deadline=deadline)
    if certificate is None:
        return Undecided(("trees",), seconds)
    try:
        checked = check.check(search.model(network), certificate)
    except Rejected as error:
        return Undecided((str(error),), seconds)
    figures = (checked.regions, checked.slack, checked.margin)
    return Proved("trees", *figures, seconds, certificate)


def originals(
    cell: str, task: str, hidden: int, seconds: float | None
) -> list[tuple[str, Network, Proved]]:
    """A certified network in either type, the first of some seeds that is proved in both."""
    for seed in range(20):
        run = cn.train("certified", cell=cell, task=task, hidden=hidden, seed=seed, progress=False)
        found = []
        for dtype in ("float32", "float64"):
            network = run.network.astype(dtype)
            proof = decided(network, seconds)
            if isinstance(proof, Proved):
                found.append((f"{cell} {task} {dtype}", network, proof))
        if len(found) == 2:
            return found
    raise RuntimeError(f"no {cell} of {task} was proved")


def mutant(network: Network, kind: str, rng: np.random.Generator) -> Network:
    """The network with a disturbance of a kind, small ones as likely as large ones."""
    weights = {name: array.copy() for name, array in network.weights.items()}
    size = 10 ** rng.uniform(-4, 0.5)
    name = str(rng.choice(list(weights)))
    array = weights[name]
    scale = size * (np.abs(array).mean() + 1e-3)
    if kind == "all":
        for key, each in weights.items():
            each += size * np.abs(each).mean() * rng.standard_normal(each.shape)
            weights[key] = each
    elif kind == "matrix":
        array += scale * rng.standard_normal(array.shape)
    elif kind == "row":
        array[rng.integers(len(array))] *= 1 + size * rng.standard_normal()
    elif kind == "weight":
        array.reshape(-1)[rng.integers(array.size)] += 10 * scale * rng.standard_normal()
    elif kind == "gates":
        same = [other for other, each in weights.items() if each.shape == array.shape]
        other = str(rng.choice(same))
        weights[name], weights[other] = weights[other], weights[name]
    else:
        bits = rng.integers(2, 14)
        for key, each in weights.items():
            fraction, exponent = np.frexp(each)
            weights[key] = np.ldexp(np.rint(fraction * 2.0**bits) / 2.0**bits, exponent)
    dtype = network.dtype
    return network.moved(type(network.weights)({k: w.astype(dtype) for k, w in weights.items()}))


def judged(job: tuple[str, Network, Proved, str, int, float | None]) -> Outcome:
    """The verdict on a mutant, and whether it stands."""
    subject, network, proof, kind, seed, seconds = job
    rng = np.random.default_rng(seed)
    disturbed = mutant(network, kind, rng)
    found = decided(disturbed, seconds)
    passed_off = accepts(disturbed, proof)
    wrong = ""
    if isinstance(found, Proved) or passed_off:
        wrong = error_of(disturbed, rng)
    if isinstance(found, Refuted) and passed_off:
        wrong = wrong or "refuted, and the original's certificate was accepted for it"
    return Outcome(subject, kind, found.verdict, passed_off, wrong)


def accepts(network: Network, proof: Proved) -> bool:
    """Whether the checker takes the original's regions for the mutant, with no slack claimed."""
    certificate = proof.certificate
    facts: dict[str, Any] = {"weights_sha256": network.digest()}
    if isinstance(certificate, BoxCertificate):
        facts["slack"] = 0
    try:
        check.check(search.model(network), replace(certificate, **facts))
    except Rejected:
        return False
    return True


def error_of(network: Network, rng: np.random.Generator) -> str:
    """A word that is answered wrongly, in words; '' where none of many is."""
    for dtype in ("float32", "float64"):
        typed = network.astype(dtype)
        found = refutation.refute(typed)
        if found is not None:
            return f"proved, and wrong in {dtype} on {found.word}"
    symbols = len(network.task.machine.symbols)
    for stay in (0.0, 0.9, 0.99):
        word = rng.integers(symbols, size=LONG)
        for t in range(1, LONG):
            word[t] = word[t - 1] if rng.random() < stay else word[t]
        if (where := first_error(network, word)) is not None:
            return f"proved, and wrong in balls of 200 bits on {word[: where + 1].tolist()}"
    return ""


# In balls, with nothing of carrynet's ------------------------------------------------------


def first_error(network: Network, word: Any) -> int | None:
    """The first position at which exact arithmetic answers otherwise than the machine."""
    flint.ctx.prec = 200
    vectors = tables(network.task).vectors
    asked = answers(network.task, word[None])[0]
    starts = [[arb(float(v)) for v in part] for part in network.parts(network.start)]
    weights = {
        name: [[arb(float(v)) for v in row] for row in np.atleast_2d(array)]
        for name, array in network.weights.items()
    }
    state = starts
    for t, symbol in enumerate(word):
        x = [arb(float(v)) for v in vectors[symbol]]
        state = carried_out(network.cell, weights, [x, *state])
        (logits,) = carried_out(network.readout, weights, [state[0]])
        if asked[t] == OPEN:
            continue
        if len(logits) == 1:
            right = logits[0] > 0 if asked[t] else logits[0] < 0
        else:
            right = all(logits[asked[t]] > v for k, v in enumerate(logits) if k != asked[t])
        if not right:
            return t
    return None


def carried_out(formula: Any, weights: dict[str, Any], values: list[Any]) -> list[Any]:
    """The results of a formula over rows of balls."""
    slots: dict[int, Any] = dict(enumerate(values))
    for slot, name in formula.parameter_slots.items():
        slots[slot] = weights[name]
    for slot, number in formula.constant_slots.items():
        slots[slot] = number
    for operation, operands, out in formula.instructions:
        taken = [slots[i] for i in operands]
        if operation == "matmul":
            v, W = taken
            slots[out] = [
                sum((a * row[j] for a, row in zip(v, W, strict=True)), arb(0))
                for j in range(len(W[0]))
            ]
            continue
        rows = [row(each) for each in taken]
        width = max(map(len, rows))
        columns = zip(*(each * (width if len(each) == 1 else 1) for each in rows), strict=True)
        slots[out] = [OPERATIONS[operation](*column) for column in columns]
    return [slots[i] for i in formula.results]


def row(value: Any) -> list[Any]:
    """A vector of weights, a value or a constant as a row."""
    if isinstance(value, float | int):
        return [arb(value)]
    return value[0] if isinstance(value[0], list) else value


OPERATIONS: dict[str, Any] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "mix": lambda z, n, h: (1 - z) * n + z * h,
    "sigmoid": lambda a: 1 / (1 + (-a).exp()),
    "tanh": lambda a: a.tanh(),
    "relu": lambda a: arb(0) if a < 0 else a,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trees", type=float, metavar="SECONDS", help="by trees of words alone")
    arguments = parser.parse_args()
    started = time.perf_counter()
    subjects = [each for subject in SUBJECTS for each in originals(*subject, arguments.trees)]
    print(f"{len(subjects)} proved networks in {time.perf_counter() - started:.0f} s", flush=True)
    jobs = [
        (
            *subjects[k % len(subjects)],
            KINDS[k // len(subjects) % len(KINDS)],
            arguments.seed + k,
            arguments.trees,
        )
        for k in range(arguments.mutants)
    ]
    with ProcessPoolExecutor() as pool:
        outcomes = list(pool.map(judged, jobs, chunksize=8))
    for by in ("subject", "kind"):
        print(f"| {by} | mutants | proved | refuted | undecided | certificate passed off | wrong |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for value in dict.fromkeys(getattr(each, by) for each in outcomes):
            some = [each for each in outcomes if getattr(each, by) == value]
            verdicts = Counter(each.verdict for each in some)
            counts = [len(some), *(verdicts[v] for v in ("proved", "refuted", "undecided"))]
            counts += [sum(e.passed_off for e in some), sum(bool(e.wrong) for e in some)]
            print(f"| {value} | {' | '.join(map(str, counts))} |")
    wrong = [each for each in outcomes if each.wrong]
    for each in wrong[:20]:
        print(each)
    print(f"{len(outcomes)} mutants, {len(wrong)} wrong, {time.perf_counter() - started:.0f} s")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
