"""The search for a verdict: a proof, a counterexample, or neither.

    short words    all of them                                refutes, with a shortest
    boxes          from coarse plans to fine ones             proves what forgets fast
    states         all of them, of what never rounds          proves what has finitely many
    long words     nearest to an error, or repetitive         refutes
    trees          of words, from ball to ball                proves what forgets slowly
    walkers        of other cells than Elman's: from where    refutes what drifts slowly
                   an error was near

Whatever is found is judged by somebody else: a counterexample by the network itself, a
certificate by `check`.  All but the last two always do the same work; only those, which may
take long, look at the clock.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, isfinite
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from carrynet import files
from carrynet.data.words import tables
from carrynet.errors import CarrynetError, RunError
from carrynet.judge import refutation as refute
from carrynet.judge.evaluation import Evaluation, examine, first_wrong
from carrynet.judge.measures import rate, shares
from carrynet.judge.work import Worked, work
from carrynet.nets.arrays import Array, in_one_thread, quiet
from carrynet.nets.network import HasNetwork, Network, network_of
from carrynet.proof import boxes, closure, trees as tree
from carrynet.proof.boxes import Boxes, Plan
from carrynet.proof.certificate import (
    MOST_BYTES,
    Certificate,
    Rejected,
    TreeCertificate,
    from_json,
    require,
)
from carrynet.proof.model import Model
from carrynet.proof.verdict import Effort, Proved, Refuted, Undecided, Verdict
from carrynet.spec.tables import to_facts
from carrynet.watch import Tell, seldom, within

if TYPE_CHECKING:
    from carrynet.proof.check import Checked

BUDGET = 10.0
"""Seconds that a search may take, by default, beyond what it always does.

The check of what it finds is not counted: of trees it may take longer than their search.
"""

LEAST_FOR_TREES = 0.5
"""Seconds that trees of other cells than Elman's are tried with, at least."""

PLANS = MappingProxyType({1: (0.5, 0.3, inf), 2: (0.3, 0.15), 3: (0.3, 0.15, 0.08), 4: (0.15,)})
"""Lengths of the histories, and gaps of the groups, that boxes are tried with.

Whole regions, inf, last: their boxes have less slack, but close in a tenth of the rounds.
"""

MOST_EDGES = 200_000  # of the plan of a history: all of addition in base 16
FINE_EDGES = 20_000  # of a plan for which the slack is bisected finely


def model(network: Network) -> Model:
    """A network as its equations and the plain numbers that certificates speak of."""
    weights = {name: array.tolist() for name, array in network.weights.items()}
    texts = {"cell": network.cell.text, "readout": network.readout.text}
    return Model(**to_facts(network.task), **texts, dtype=network.dtype.name, weights=weights)


@in_one_thread
@quiet
def prove(
    network: Network | HasNetwork,
    *,
    budget: float = BUDGET,
    tell: Tell = lambda step: None,
    suspect: Sequence[int] | None = None,
) -> Verdict:
    """Decide whether a network is right for words of every length, if that can be done.

    Of a run, its network is meant; the run, and its folder, stay as they are.

    `suspect` is a word that the network is known or thought to answer wrongly, if there is one.
    """
    network, started = network_of(network), monotonic()
    tried: list[str] = []

    def proved(method: str, certificate: Certificate) -> Proved | None:
        checked = _checked(network, method, certificate, tried, tell)
        return checked and replace(checked, seconds=monotonic() - started)

    tell("short words")
    refutation = refute.by_short_words(network)
    if refutation is not None:
        return replace(_refuted(network, refutation), seconds=monotonic() - started)
    length = refute.exhaustive_length(network)
    tried.append(f"short words: all of up to {length} symbols are right")
    if suspect is not None:
        refutation = refute.by_words(network, [list(suspect)])
        if refutation is not None:
            return replace(_refuted(network, refutation), seconds=monotonic() - started)
        tried.append(
            "the problem that was found wrong: asked again, it is answered rightly; 'carrynet "
            "evaluate' tests the network anew"
        )
    tell("boxes")
    found = _by_boxes(network, tell)
    if isinstance(found, str):
        tried.append(f"boxes: {found}")
    elif proof := proved("boxes", boxes.certificate(network, found)):
        return proof
    if closure.applies(network):
        tell("states")
        states = closure.search(network)
        if states is None:
            most = f"{closure.MOST_EDGES:,}"
            tried.append(f"states: they are not few and right, followed for {most} transitions")
        elif proof := proved("states", states):
            return proof
    tell("long words")
    refutation = refute.by_long_words(network, tell)
    if refutation is not None:
        return replace(_refuted(network, refutation), seconds=monotonic() - started)
    tried.append(
        "long words: those that come nearest to an error, long chains and random ones are right"
    )
    begun, effort = monotonic(), Effort()
    if seconds := for_trees(network, budget):
        proof, effort = _by_trees(network, seconds, proved, tried, tell)
        if proof is not None:
            return proof
    elif not budget:
        tried.append("trees: not tried, for want of a budget: 'carrynet prove' has one")
    else:
        tried.append(f"trees: not tried, for want of a budget of {3 * LEAST_FOR_TREES:g} s or more")
    if not network.elman:
        left = max(budget - seconds, begun + budget - monotonic()) if budget else None
        refutation = refute.by_walkers(network, left, tell)
        if refutation is not None:
            return replace(_refuted(network, refutation), seconds=monotonic() - started)
        how = f"in {left:.2g} s" if left else "in the time of a few rounds"
        tried.append(f"walkers: none came to an error {how}, from the states nearest to one")
    return Undecided(tuple(tried), monotonic() - started, replace(effort, budget=budget))


def for_trees(network: Network, budget: float) -> float:
    """What trees of words have of a budget: of other cells than Elman's a third, walkers the rest.

    What trees decide of gates they mostly decide soon; but metrics alone take up to half a second,
    and so they have nothing of a third that is less than `LEAST_FOR_TREES`.
    """
    if network.elman:
        return budget
    return budget / 3 if budget >= 3 * LEAST_FOR_TREES else 0.0


def _by_trees(
    network: Network,
    budget: float,
    proved: Callable[[str, Certificate], Proved | None],
    tried: list[str],
    tell: Tell,
) -> tuple[Proved | None, Effort]:
    """A proof, if there is one, and how far the search came."""
    if refused := tree.refuses(network):
        tried.append(f"trees: {refused}")
        return None, Effort(budget, over=True)
    tell("trees of words: their machine code")
    tree.build(network)
    effort, deadline, tell_used = Effort(budget), monotonic() + budget, within(tell, budget)
    tell_used("trees of words")

    def watch(done: int, so_far: int, expected: float) -> None:
        nonlocal effort
        effort = replace(effort, done=done, found=so_far, expected=expected)
        about = f", about {expected:.0f} s in all" if expected else ""
        tell_used(f"trees of words, {done} of {so_far} regions so far{about}")

    # with less, metrics were not made anew, as with more they are, or left no time for trees
    whole = budget > tree.TIME_FOR_MORE + 1
    slack = _smallest_slack(network) if network.elman else _SLACK_OF_TREES[network.dtype.name]
    found = tree.search(network, slack=slack, deadline=deadline, watch=watch)
    if found is not None:
        # what is refused would be found again
        return proved("trees", found), replace(effort, over=whole)
    # what is cut off has had all of the time
    effort = replace(effort, over=whole and deadline - monotonic() > budget / 2)
    how = "whatever the budget" if effort.over else f"in {budget:.3g} s"
    tried.append(f"trees: none closed {how}")
    return None, effort


_SLACK_OF_TREES = {"float32": 1e-6, "float64": 1e-12}
"""Of other cells than Elman's, at least; the search raises it to what covers rounding."""


def decide(
    network: Network,
    evaluation: Evaluation,
    budget: float,
    tell: Tell = lambda step: None,
    suspect: Sequence[int] | None = None,
) -> Verdict:
    """A verdict by `prove`, which takes up where an evaluation has found something wrong.

    Raises `RunError` where a proof shows that the evaluation is not the network's.
    """
    suspect = suspect or first_wrong(network, evaluation)
    found = prove(network, budget=budget, tell=tell, suspect=suspect)
    if isinstance(found, Proved) and not evaluation.right:
        if examine(network, evaluation.exhaustive.digits).right:
            raise RunError("the evaluation that the run has is not its network's: make it anew")
        raise CarrynetError(
            "a proof was found for a network that is seen to be wrong: one of the two is an error "
            "of carrynet's; please report it, with the recipe"
        )
    return found


def measured(network: Network, verdict: Verdict) -> Verdict:
    """A verdict with what is asked of it next, which is sampled or measured, not searched for.

    Of a network that is wrong, how often; of one that may be, how many problems can be tried.
    """
    if isinstance(verdict, Refuted) and not verdict.shares:
        return replace(verdict, shares=shares(network))
    if isinstance(verdict, Undecided) and not verdict.effort.rate:
        return replace(verdict, effort=replace(verdict.effort, rate=rate(network)))
    return verdict


def _histories(network: Network) -> list[int]:
    """The lengths of histories of which plans have no more than `MOST_EDGES`."""
    states, symbols = len(network.task.machine.states), len(network.task.machine.symbols)
    return [length for length in PLANS if states * symbols ** (length + 1) <= MOST_EDGES]


def _by_boxes(network: Network, tell: Tell) -> Boxes | str:
    """Boxes from the first plan that closes, with the largest slack that still does.

    Where none are found, what was tried.
    """
    machine, lengths = network.task.machine, _histories(network)
    if not lengths:
        return f"not tried, since there are more than {MOST_EDGES:,} edges between them"
    for length in lengths:
        gaps = PLANS[length]
        what = f"boxes, histories of {length} symbol{'s' * (length > 1)}"
        tell(what)
        histories = boxes.by_history(machine, length)
        seen = boxes.observe(network, histories)
        if seen is None:
            return "not tried, since states were seen to grow until they overflow doubles"
        sizes = set[int]()
        for gap in gaps:
            plan = boxes.split(histories, seen, gap)
            if plan is None or len(plan.names) in sizes:
                continue  # a smaller gap only parts groups: as many of them are the same
            sizes.add(len(plan.names))
            groups = f"groups {gap:g} apart, " if isfinite(gap) else ""
            tries = f"{what}, {groups}{len(plan.names):,} regions"
            found = _close(network, plan, _smallest_slack(network), tries, tell)
            if found is not None:
                tries = f"boxes close, {len(plan.names):,} regions"  # and now with more slack
                return _largest_slack(network, plan, found, tries, tell)
    *others, last = lengths
    said = f"1 to {last} symbols" if others else "1 symbol"
    return f"none closed, for histories of {said}"


def _largest_slack(network: Network, plan: Plan, found: Boxes, tries: str, tell: Tell) -> Boxes:
    """Boxes with a slack that cannot be raised by a twentieth: doubled, then bisected.

    For large plans, where a try takes seconds, by a factor of two.  No more than `_ENOUGH`: of a
    network that always answers the same, any slack will do.
    """
    low, high = found, None
    precision = 1.05 if plan.next.size < FINE_EDGES else 2.01
    while low.slack < _ENOUGH and (high is None or high > precision * low.slack):
        slack = 2 * low.slack if high is None else (low.slack * high) ** 0.5
        wider = _close(network, plan, slack, f"{tries}, slack {slack:.2g}", tell)
        if wider is None:
            high = slack
        else:
            low = wider
    return low


_ENOUGH = 1e6


def _close(network: Network, plan: Plan, slack: float, tries: str, tell: Tell) -> Boxes | None:
    """`boxes.close`, if slack and margin also cover the rounding of the network's own type.

    `tries` says in words what is tried.
    """
    tell(tries)
    now_and_then = seldom(tell)
    found = boxes.close(
        network, plan, slack, lambda turn, most: now_and_then(f"{tries}: round {turn} of {most}")
    )
    if found is None or not network.elman:
        return found  # of other cells than Elman's half of the slack is left for rounding
    step, readout = rounding(network, found.extent)
    return found if slack >= step and found.margin >= readout else None


def _smallest_slack(network: Network) -> float:
    """A slack that covers rounding, should states stay within 1 (or, for ReLU, 100)."""
    if not network.elman:
        return {"float32": 1e-4, "float64": 1e-10}[network.dtype.name]
    reach = np.full(network.hidden, 100.0 if network.activation == "relu" else 1.0)
    return 1.1 * rounding(network, reach)[0]


def rounding(network: Network, reach: Array) -> tuple[float, float]:
    """What one step and one readout may be off by, for |h| <= reach (H,); see `check`."""
    Wxh, Whh, bh, Why, by = (np.abs(w.astype(np.float64)) for w in network.weights.values())
    kind = np.finfo(network.dtype)
    eps, slope = float(kind.eps) / 2, 0.25 if network.activation == "sigmoid" else 1.0

    def of_sums(count: int, size: Array) -> Array:
        return count * eps / (1 - count * eps) * size + 2 * count * float(kind.tiny)

    count = network.hidden + network.task.inputs + 4
    fed = np.abs(tables(network.task).vectors).max(axis=0).astype(np.float64)
    step = of_sums(count, reach @ Whh + fed @ Wxh + bh) * slope + 8 * eps * np.maximum(reach, 1)
    readout = 2 * of_sums(network.hidden + 4, reach @ Why + by)
    return 1.000001 * float(step.max()), 1.000001 * float(readout.max())


def confirm(
    network: Network, verdict: Proved | Refuted, tell: Tell = lambda step: None
) -> Proved | Refuted:
    """A verdict that is recorded, once more seen to be true: a proof by the checker.

    Raises `Rejected` where it does not hold for this network.
    """
    if isinstance(verdict, Refuted):
        worked = work(network, verdict.operands, verdict.digits)
        require(not worked.right, "the counterexample that is recorded is answered rightly here")
        return replace(
            verdict,
            **_where(worked, worked.hits.index(False)),
            answered=worked.answer,
            expected=worked.right_answer,
            shortest=verdict.shortest and _is_shortest(network, verdict.digits),
        )
    result = _check(network, verdict.certificate, tell)
    figures = (result.regions, result.slack, result.margin)
    return Proved(verdict.method, *figures, verdict.seconds, verdict.certificate)


def _is_shortest(network: Network, length: int) -> bool:
    """Whether no word that is shorter than some wrong one is wrong."""
    shorter = refute.by_short_words(network)
    if shorter is not None:
        return len(shorter.word) == length
    return length <= refute.exhaustive_length(network) + 1


def quickly_confirmed(network: Network, verdict: Proved | Refuted) -> bool:
    """Whether `confirm` takes a second or two: for words, and for what is not too many but trees.

    Trees take some seconds, and up to a minute.
    """
    if isinstance(verdict, Refuted):
        return True
    if verdict.method == "trees":
        return False
    edges = verdict.regions * len(network.task.machine.symbols)
    return (edges + verdict.regions * network.hidden) * network.hidden <= _QUICK


_MANY = 5_000  # regions, of which certificates may be longer than what is read
_QUICK = 200_000  # multiplications of balls, each of some 5 microseconds


def _check(network: Network, certificate: Certificate, tell: Tell) -> "Checked":
    """What the checker says.  Raises `Rejected`."""
    from carrynet.proof import check

    tell(f"checking {certificate.count:,} regions")
    now_and_then = seldom(tell)

    parts = "words of trees" if isinstance(certificate, TreeCertificate) else "regions"

    def watch(done: int, known: int) -> None:
        now_and_then(f"checking, {done:,} of {known:,} {parts}")

    return check.check(model(network), certificate, watch)


def _checked(
    network: Network, method: str, certificate: Certificate, tried: list[str], tell: Tell
) -> Proved | None:
    """A proof, if the checker accepts the certificate, also when it is read from a file.

    Trees are not read again to see that: they take longest, and what limits them is their number.
    """
    try:
        if isinstance(certificate, TreeCertificate):
            text = certificate.text()
            files.refuse_many_values(text)
            require(len(text) <= MOST_BYTES, f"it has more than {MOST_BYTES:,} bytes")
        elif certificate.count > _MANY:
            from_json(files.from_json(certificate.text()))
        result = _check(network, certificate, tell)
    except (Rejected, ValueError) as error:
        tried.append(f"{method}: {error}")
        return None
    return Proved(method, result.regions, result.slack, result.margin, 0.0, certificate)


def _where(worked: Worked, position: int) -> dict[str, Any]:
    """Where a problem is answered wrongly, and in which state the machine is and reads what."""
    machine = worked.task.machine
    state, symbol = worked.memory[position], worked.word[position]
    return {
        "position": position,
        "state": machine.states[state],
        "symbol": machine.symbols[symbol],
    }


def _refuted(network: Network, found: refute.Refutation) -> Refuted:
    """A wrong word as numbers: its symbols hold the digits of the operands."""
    task = network.task
    operands = task.problem(found.word)
    worked = work(network, operands, len(found.word))
    return Refuted(
        operands=operands,
        digits=len(found.word),
        **_where(worked, found.position),
        answered=worked.answer,
        expected=worked.right_answer,
        shortest=found.shortest,
        seconds=0.0,
    )
