"""What a run is: a value.

A `Record` knows what was asked of a training and what came of it, and where that lies, if it was
written.  It does nothing: `folder` reads it, `report` shows it, and `lab.Run` is a record
with the verbs that people use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from carrynet.exchange.source import Source
from carrynet.judge.evaluation import Evaluation, evaluate
from carrynet.judge.work import Worked, work
from carrynet.learn import codes, training
from carrynet.learn.mechanism import Mechanism
from carrynet.learn.training import Snapshot
from carrynet.nets.network import Network
from carrynet.proof import verdict
from carrynet.proof.verdict import Proved, Refuted, Verdict
from carrynet.spec.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Record:
    """A finished training: what was asked, what came of it, and where it lies."""

    recipe: Recipe
    engine: str
    network: Network
    seconds: float  #: of training, resumed parts added up
    evaluation: Evaluation
    proof: Verdict
    metrics: tuple[Mapping[str, Any], ...]  #: the lines of metrics.jsonl
    path: Path | None = None  #: None for a run that was not written to disk
    origin: Network | None = None  #: that the training began with, where it was not random
    snapshots: tuple[Snapshot, ...] = ()
    source: Source | None = None  #: the file of a network that was trained elsewhere
    worse_than: Path | None = None  #: the run that was hardened, where this one came out worse
    mechanism: Mechanism | None = None  #: of a network by construction: what its units mean

    def __repr__(self) -> str:
        tested = self.evaluation.exhaustive
        return (
            f"Run({str(self.path or 'in memory')!r}, {self.network!r}, "
            f"{verdict.in_words(self.proof)}; exhaustive: "
            f"{tested.right:,} of {tested.pairs:,} right at {tested.digits} digits)"
        )

    @property
    def right(self) -> bool:
        """Whether nothing that was tried is answered wrongly."""
        return self.evaluation.right and not isinstance(self.proof, Refuted)

    @cached_property
    def made(self) -> Recipe:
        """What was made of the recipe."""
        return made_of(self.recipe, self.metrics)

    @cached_property
    def open_edges(self) -> tuple[int, ...]:
        """Of how many edges its last stage left boxes open, each time that it was made.

        Empty where that stage is not over edges, or a version wrote the run that did not say.
        """
        return open_edges_of(self.recipe, self.metrics)

    @property
    def init(self) -> str:
        """What the initial weights were: `random`, or fitted to the `machine`.

        Of a cell of one's own they are random, whatever the recipe says: see `codes.known`.
        """
        return self.recipe.init if codes.known(self.network.cell) else "random"

    @cached_property
    def last_problem(self) -> Worked | None:
        """The last problem of the training, worked by the finished network."""
        if not self.recipe.problems:
            return None
        digits = self.recipe.digits - self.network.task.headroom
        return work(self.network, training.last_problem(self.recipe), digits)

    def to_json(self) -> dict[str, Any]:
        """The document that `carrynet train --json` prints."""
        last = self.last_problem
        return {
            "run": None if self.path is None else str(self.path),
            "recipe": self.recipe.to_table(),
            "training": None
            if self.mechanism
            else {
                "engine": self.engine,
                "seconds": self.seconds,
                "problems": self.recipe.problems,
                "edges": self.made.edges,
                "again": self.made.again,
                "open_edges": list(self.open_edges),
                "stage": self.made.kept(self.open_edges),
                "specified": self.recipe.specified,
                "final_error": last and last.error,
            },
            "evaluation": self.evaluation.to_json(),
            "proof": verdict.to_json(self.proof),
            "last_problem": last and last.to_json(),
            "source": self.source and self.source.to_json(),
            "worse_than": self.worse_than and str(self.worse_than),
            "compiled": self.mechanism and asdict(self.mechanism.construction),
        }


def made_of(recipe: Recipe, metrics: Iterable[Mapping[str, Any]]) -> Recipe:
    """What was made of a recipe, as the lines of metrics.jsonl tell: see `Recipe.as_made`."""
    return recipe.as_made({line["stage"] for line in metrics})


def open_edges_of(recipe: Recipe, metrics: Iterable[Mapping[str, Any]]) -> tuple[int, ...]:
    """Of how many edges the last stage left boxes open, each time, as metrics.jsonl tells."""
    last = {stage.name for stage in recipe.schedule[len(recipe.stages) - 1 :]}
    return tuple(
        line["open_edges"] for line in metrics if line["stage"] in last and "open_edges" in line
    )


def has_lost(new: Record, old: Record) -> bool:
    """Whether a run has lost what another had: the proof, being right, or some right answers.

    Answers are counted over all problems of the old run's exhaustive evaluation.
    """
    if isinstance(new.proof, Proved):
        return False
    if isinstance(old.proof, Proved) or (old.right and not new.right):
        return True
    before, now = old.evaluation.exhaustive, new.evaluation.exhaustive
    if now.right == now.pairs and now.digits >= before.digits:
        return False
    return evaluate(new.network, before.digits).right < before.right
