"""What would decide an undecided network: commands, each with what is known of its price.

Whatever is a number was measured, of this network by the search or of others by
`docs/proof.md`; what is not known is said not to be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from carrynet.judge.evaluation import MOST_PROBLEMS, affordable_digits
from carrynet.nets.network import Network
from carrynet.proof.search import BUDGET, for_trees
from carrynet.proof.verdict import Effort, Undecided
from carrynet.runs.folder import argument, program
from carrynet.runs.record import Record

HARDENED = MappingProxyType({"elman": (299, 300), "gru": (300, 300), "lstm": (300, 300)})
"""Of how many networks that learned `add`, with 8, 16 and 32 units, how many were proved after
`harden`, or after the stage by which it hardens: as `docs/proof.md` counts them."""
MORE = 4
"""So many times the budget is what a search that ran out of it is given next."""


@dataclass(frozen=True)
class Way:
    """A command that may decide, and what is known of it."""

    kind: str  #: which sentence says it: a key of `SENTENCES`, and of the page's
    command: str
    values: Mapping[str, Any]  #: for the sentence

    @property
    def text(self) -> str:
        """What it does, in a sentence or two."""
        return SENTENCES[self.kind].format(**self.values)


SENTENCES = MappingProxyType(
    {
        "trees": "searches for trees of words, which were not tried, for up to {seconds:g} s;\n"
        "to check what it finds takes about as long again",
        "budget": "searches for trees of words {times} times as long; how long it takes is not "
        "known:\nwhen {seconds:g} s were over, {done:,} of {found:,} regions were done, and each "
        "may lead to more",
        "budget.expected": "searches for trees of words for up to {budget:g} s; about "
        "{expected:g} s would do, were those\nto come like the {done:,} of {found:,} regions that "
        "were done in {seconds:g} s; the check takes longer",
        "budget.third": "searches for trees of words for up to {budget:g} s, a third of the "
        "budget, and then\nfor a wrong word; about {expected:g} s would do, were those to come "
        "like the {done:,} of\n{found:,} regions that were done in {seconds:g} s; the check takes "
        "longer",
        "budget.unknown": "searches for trees of words {times} times as long; how long it takes is "
        "not known",
        "walkers": "searches for trees of words, and for a wrong word on from the states nearest "
        "to an error,\nfor up to {seconds:g} s",
        "walkers.more": "searches for a wrong word {times} times as long; that decides only if "
        "there is\none and it is found",
        "harden": "trains on, to another network, whose answers may differ; this run stays as it "
        "is;\nhow often such a network is proved then has not been counted",
        "harden.counted": "trains on, to another network, whose answers may differ; this run stays "
        "as it is;\nof {networks} networks that learned 'add', with 8 to 32 units, {proved} were "
        "proved after it",
        "digits": "tries all {pairs:,} problems of up to {digits} digits, in about {seconds:.2g} "
        "s;\nof longer ones nothing is known then",
        "digits.words": "tries all {pairs:,} words of {digits} symbols, in about {seconds:.2g} s;"
        "\nof longer ones nothing is known then",
    }
)


def ways(run: Record, known: int = 0) -> tuple[Way, ...]:
    """What would decide a run's network; nothing where that is decided, or the run has no folder.

    `known` is a number of digits up to which it is right, beside those of the run's evaluation.

    Of other cells than Elman's trees of words have but a part of a budget, walkers the rest; a
    network by construction is not trained on, which would blur it.
    """
    if not isinstance(run.proof, Undecided) or run.path is None:
        return ()
    effort = run.proof.effort
    return (*_search(run, effort), *_harden(run), *_exhaust(run, effort, known))


def _search(run: Record, effort: Effort) -> list[Way]:
    prove, elman = _command("prove", run), run.network.elman
    if not effort.budget or not for_trees(run.network, effort.budget):
        return [Way("trees" if elman else "walkers", prove, {"seconds": BUDGET})]
    more = MORE * effort.budget
    if effort.over:
        return [] if elman else [Way("walkers.more", f"{prove} --budget {more:g}", {"times": MORE})]
    seconds = for_trees(run.network, effort.budget)
    values = {
        "times": MORE,
        "seconds": _round(seconds, 2),
        "done": effort.done,
        "found": effort.found,
    }
    kind = "budget" if effort.found else "budget.unknown"
    if effort.expected:
        # twice as long, since regions may lead to more than are known
        budget = _round(2 * max(effort.expected, seconds), 1)
        kind = "budget.expected" if elman else "budget.third"
        values |= {"budget": budget, "expected": _round(effort.expected, 2)}
        more = budget * effort.budget / seconds
    return [Way(kind, f"{prove} --budget {more:g}", values)]


def _round(number: float, digits: int) -> float:
    return float(f"{number:.{digits}g}")


def _harden(run: Record) -> list[Way]:
    if run.mechanism is not None or is_exact(run.network):
        return []
    command = _command("harden", run)
    if run.recipe.cell not in HARDENED or run.recipe.readout:
        return [Way("harden", command, {})]
    proved, networks = HARDENED[run.recipe.cell]
    return [Way("harden.counted", command, {"proved": proved, "networks": networks})]


def _exhaust(run: Record, effort: Effort, known: int) -> list[Way]:
    """All problems of the largest length that can be tried in about the time of the search."""
    task = run.network.task
    affordable = int(min(effort.rate * max(effort.budget, BUDGET), MOST_PROBLEMS))
    digits = affordable_digits(task, 32, affordable)
    pairs = len(task.machine.symbols) ** digits
    if pairs > affordable or digits <= max(known, run.evaluation.exhaustive.digits):
        return []  # all of that length are known to be right
    values = {"digits": digits, "pairs": pairs, "seconds": pairs / effort.rate}
    # the search that it begins with has been made
    command = f"{_command('prove', run)} --budget 0 --digits {digits}"
    return [Way("digits" if task.numeric else "digits.words", command, values)]


def _command(verb: str, run: Record) -> str:
    assert run.path is not None
    return f"{program()} {verb} {argument(run.path)}"


def is_exact(network: Network) -> bool:
    """Whether hidden states are whole numbers, as by construction: training would blur them."""
    w = network.weights
    return network.activation == "relu" and all(
        (a == a.round()).all() for a in (w.Wxh, w.Whh, w.bh)
    )
