"""The model card: what a run's README.md says, with results in the form that model hubs read."""

import json
from collections.abc import Mapping
from typing import Any

from carrynet.exchange.foreign import Source
from carrynet.judge.evaluation import Evaluation
from carrynet.nets.cells import units
from carrynet.proof.verdict import Proved, Refuted, Verdict
from carrynet.spec.recipe import Recipe
from carrynet.spec.task import BUILT_IN, parse


def model_card(
    recipe: Recipe, config: Mapping[str, Any], evaluation: Evaluation, proof: Verdict
) -> str:
    """The run's README.md, with its results in the form that model hubs read."""
    tested, name = evaluation.exhaustive, f"{recipe.name}-{recipe.task}-h{recipe.hidden}"
    rows = "\n".join(
        f"| {part.digits:,} | {part.kind} | {part.right:,} of {part.pairs:,} | {part.margin:.2f} |"
        for part in evaluation.sampled
    )
    made = f"trained on {recipe.problems:,} examples of the task `{recipe.task}`"
    own = parse(recipe.task).family not in BUILT_IN
    again = f"""Made by carrynet {config["carrynet"]}, {config["engine"]} engine. To make it again:

    carrynet train --recipe recipe.toml{" --origin origin.safetensors" * bool(recipe.origin)} \\
        --engine {config["engine"]} --out again"""
    if own:
        begin = ', origin=carrynet.load(".").origin' * bool(recipe.origin)
        again = f"""Made by carrynet {config["carrynet"]}, {config["engine"]} engine. To make it
again, in Python, where the task has been registered:

    carrynet.train("recipe.toml"{begin}, engine="{config["engine"]}", out="again")"""
    if recipe.origin:
        made += ", beginning with the weights in `origin.safetensors`"
    if not recipe.stages:
        made = f"trained elsewhere, for the task `{recipe.task}`"
        again = f"Imported by carrynet {config['carrynet']}."
        if "source" in config:
            again += f"\n\n{Source.from_json(config['source']).to_markdown()}"
    return f"""---
library_name: carrynet
tags: [recurrent-neural-network, arithmetic, length-generalisation]
model-index:
- name: {json.dumps(name)}
  results:
  - task: {{type: arithmetic, name: {json.dumps(recipe.task)}}}
    dataset: {{type: exhaustive, name: "all problems of up to {tested.digits} digits"}}
    metrics: [{{type: accuracy, value: {tested.right / tested.pairs}}}]
---
# {recipe.task}, learned digit by digit

A recurrent network with {units(recipe, "hidden units")} that was {made},
least significant digit first.

{_verdict_card(proof, own)}

**Exhaustive**: {tested.right:,} of all {tested.pairs:,} problems with operands of up to
{tested.digits} digits are right (smallest margin {tested.margin:.2f}).

**Sampled**: problems drawn at random, evenly (uniform) or with long carries (chains).

| digits | drawn | right | smallest margin |
|---:|---|---|---:|
{rows}

These are tests of the problems counted above, and say nothing of other numbers.

{again}

Weights: `model.safetensors`, SHA-256 of the network `{config["weights_sha256"]}`.
"""


def _verdict_card(proof: Verdict, own: bool) -> str:
    """The verdict, in the card of a run of a task of one's `own` or a built-in one."""
    if isinstance(proof, Proved):
        margin = "" if proof.margin is None else f", smallest margin {proof.margin:.2f}"
        recorded = "" if proof.checked else ", as recorded,"
        how = '`carrynet.prove(carrynet.load("."))`, in Python' if own else "`carrynet check .`"
        return (
            f"**Proved**{recorded} right for numbers of any length: {proof.certificate.claim} The "
            f"proof is `certificate.json` ({proof.regions} regions{margin}); {how} checks it."
        )
    if isinstance(proof, Refuted):
        operands = ", ".join(map(str, proof.operands))
        return (
            f"**Refuted**: it is wrong for {operands}, read as numbers of {proof.digits} digits, "
            f"where it answers {proof.answered} and not {proof.expected}."
        )
    return "**Undecided**: neither proved nor refuted for all lengths."
