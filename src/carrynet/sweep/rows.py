"""The columns of a sweep's table, and the row of a network.

`columns` is the data dictionary: names, kinds and meanings.  Names are plain words, so that
SQL needs no quotes: what a plan calls `learn.steps` is the column `learn_steps`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any

from carrynet import __version__
from carrynet.judge.evaluation import KINDS, Evaluation, Exhaustive
from carrynet.judge.measures import Accuracy
from carrynet.learn.training import Diverged, Trained
from carrynet.proof.verdict import Proved, Refuted, Verdict
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage
from carrynet.sweep.plan import Plan

ALWAYS = ("steps", "batch", "step")
"""Keys of each stage that are columns even where the plan does not vary them."""

NOT_EXAMINED = Exhaustive(digits=0, pairs=0, right=0, margin=inf)
"""What stands for an exhaustive evaluation where the plan has none."""


@dataclass(frozen=True)
class Column:
    """A column: its name, its kind as Parquet has it, and what it says."""

    name: str
    kind: str
    about: str


_WHERE = (
    Column("number", "int64", "the network's number in the plan, from 0"),
    Column("block", "int32", "the block that it was worked in"),
    Column("recipe", "string", "the recipe, as the plan names it"),
)

_KINDS = {int: "int64", float: "double", bool: "bool", str: "string"}
_TASK = "what was to be learned: add, add:base=3, tomita:4; of one's own, as in flip@fc3e02ece847"
_OWN = tuple(
    Column(f.name, _KINDS[f.type], _TASK if f.name == "task" else f.metadata["help"])  # type: ignore[index]
    for f in fields(Recipe)
    if f.metadata and f.name not in ("name", "origin")
)
_STAGE = {
    f.name: Column(f.name, _KINDS[f.type], f.metadata["help"])  # type: ignore[index]
    for f in fields(Stage)
    if f.metadata and f.name != "name"
}

_TRAINED = (
    Column("problems", "int64", "problems that the whole training shows"),
    Column("engine", "string", "the engine that trained it"),
    Column("carrynet", "string", "the version of carrynet"),
    Column(
        "outcome",
        "string",
        "`trained`, or `diverged`: but for `error`, `training_seconds` and `kept`, what follows is "
        "then null",
    ),
    Column("error", "string", "where training diverged"),
    Column("again", "int32", "how often more its last stage was made, since boxes stayed open"),
    Column(
        "stage",
        "string",
        "the stage whose network it is: made again, that which left fewest boxes open",
    ),
    Column(
        "open_edges",
        "int64",
        "of how many edges that stage left boxes open, where it is over edges",
    ),
    Column("weights_sha256", "string", "SHA-256 of the network, as a run has it"),
    Column("training_seconds", "double", "its share of the seconds that its population took"),
)
_EXHAUSTIVE = (
    Column(
        "exhaustive_digits",
        "int32",
        "all problems whose operands have up to so many digits were tried",
    ),
    Column("exhaustive_pairs", "int64", "how many these are"),
    Column("exhaustive_right", "int64", "and how many of them are right"),
    Column(
        "exhaustive_margin", "double", "the smallest margin of any digit; where one is wrong, <= 0"
    ),
)
_SAMPLED = (
    Column("pairs", "int64", "problems with operands of up to N digits that were drawn"),
    Column("right", "int64", "how many of them are right"),
    Column("margin", "double", "the smallest margin of any of their digits"),
    Column("first_error", "int32", "the lowest position that is wrong in any; null: none is"),
)
_ACCURACY = (
    Column("accuracy_words", "int64", "words of lengths from and to, of every outcome alike"),
    Column("accuracy_right", "int64", "of how many of them the last answer is right"),
)
_PROOF = (
    Column("evaluation_seconds", "double", "what these evaluations took"),
    Column("verdict", "string", "`proved`, `refuted`, `undecided`; `none`: no proof was sought"),
    Column("method", "string", "proved: by `boxes`, `trees` or `states`"),
    Column("regions", "int64", "proved: regions of the certificate"),
    Column("slack", "double", "proved: the error in every unit at every step that does no harm"),
    Column("proof_margin", "double", "proved: every logit is at least so far on the right side"),
    Column("counterexample", "string", "refuted: the operands, with spaces between them"),
    Column("counterexample_digits", "int64", "refuted: they are read as so many digits"),
    Column("counterexample_position", "int64", "refuted: where the answer is wrong, from 0"),
    Column("counterexample_shortest", "bool", "refuted: every shorter word is known to be right"),
    Column("proof_seconds", "double", "what the search took, with the check"),
    Column("kept", "bool", "whether the weights are in the sweep's `weights/`"),
)


def columns(plan: Plan) -> list[Column]:
    """The columns of a sweep's rows."""
    staged = {}
    for recipe in plan.variants:
        varied = {recipe.places()[axis.key] for axis in (*plan.outer, *plan.inner)}
        for stage in recipe.stages:
            for key in _STAGE:
                if key in ALWAYS or (stage.name, key) in varied:
                    staged[f"{stage.name}_{key}"] = _STAGE[key]
    return [
        *_WHERE,
        *_OWN,
        *(Column(name, column.kind, column.about) for name, column in staged.items()),
        *_TRAINED,
        *_EXHAUSTIVE,
        *(
            Column(f"{kind}_{length}_{column.name}", column.kind, column.about)
            for length in plan.settings.lengths
            for kind in KINDS
            for column in _SAMPLED
        ),
        *(_ACCURACY if plan.settings.accuracy else ()),
        *_PROOF,
    ]


def described(recipe: Recipe, described: Sequence[Column]) -> dict[str, Any]:
    """The part of a row that says by what a network was trained."""
    row = {column.name: getattr(recipe, column.name) for column in _OWN}
    row |= {f"{stage.name}_{key}": getattr(stage, key) for stage in recipe.stages for key in _STAGE}
    names = {column.name for column in described}
    row = {name: value for name, value in row.items() if name in names}
    return {**row, "problems": recipe.problems, "carrynet": __version__}


def trained(result: Trained | Diverged, seconds: float, engine: str) -> dict[str, Any]:
    """The part of a row that says what came of a training."""
    row = {"engine": engine, "training_seconds": seconds}
    if isinstance(result, Diverged):
        return {**row, "outcome": "diverged", "error": str(result)}
    row |= {"outcome": "trained", "again": result.made.again}
    row["stage"] = result.made.kept(result.open_edges)
    row["open_edges"] = min(result.open_edges, default=None)
    return {**row, "weights_sha256": result.network.digest()}


def examined(evaluation: Evaluation, accuracy: Accuracy | None, seconds: float) -> dict[str, Any]:
    """The part of a row that says what was tested."""
    row: dict[str, Any] = {"evaluation_seconds": seconds}
    whole = evaluation.exhaustive
    if whole != NOT_EXAMINED:
        row |= {
            "exhaustive_digits": whole.digits,
            "exhaustive_pairs": whole.pairs,
            "exhaustive_right": whole.right,
            "exhaustive_margin": whole.margin,
        }
    for part in evaluation.sampled:
        row |= {
            f"{part.kind}_{part.digits}_{column.name}": getattr(part, column.name)
            for column in _SAMPLED
        }
    if accuracy is not None:
        row |= {"accuracy_words": accuracy.words, "accuracy_right": accuracy.right}
    return row


def judged(verdict: Verdict | None) -> Mapping[str, Any]:
    """The part of a row that says what is known for numbers of any length."""
    if verdict is None:
        return {"verdict": "none"}
    row: dict[str, Any] = {"verdict": verdict.verdict, "proof_seconds": verdict.seconds}
    if isinstance(verdict, Proved):
        row |= {"method": verdict.method, "regions": verdict.regions, "slack": verdict.slack}
        row["proof_margin"] = verdict.margin
    if isinstance(verdict, Refuted):
        row |= {
            "counterexample": " ".join(map(str, verdict.operands)),
            "counterexample_digits": verdict.digits,
            "counterexample_position": verdict.position,
            "counterexample_shortest": verdict.shortest,
        }
    return row
