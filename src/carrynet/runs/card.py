"""The model card: what a run's README.md says, with results in the form that model hubs read."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from carrynet.exchange.source import Source
from carrynet.judge.evaluation import Evaluation
from carrynet.learn.mechanism import Mechanism
from carrynet.nets.cells import in_words
from carrynet.proof.verdict import Proved, Refuted, Verdict
from carrynet.runs.record import made_of, open_edges_of
from carrynet.spec.codec import Digits
from carrynet.spec.recipe import SPECIFIED, Recipe


def model_card(
    asked: Recipe,
    metrics: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    evaluation: Evaluation,
    proof: Verdict,
    mechanism: Mechanism | None = None,
) -> str:
    """The run's README.md, with its results in the form that model hubs read.

    `asked` is the recipe of the training, and `metrics` are the lines of its metrics.jsonl.
    """
    recipe, open_edges = made_of(asked, metrics), open_edges_of(asked, metrics)
    tested, name = evaluation.exhaustive, f"{recipe.name}-{recipe.task}-h{recipe.hidden}"
    rows = "\n".join(
        f"| {part.digits:,} | {part.kind} | {part.right:,} of {part.pairs:,} | {part.margin:.2f} |"
        for part in evaluation.sampled
    )
    made = f"trained on {recipe.showing('examples', open_edges)} of the task `{recipe.task}`"
    task = recipe.specification
    what, units = ("numbers", "digits") if task.numeric else ("words", "symbols")
    order = ""
    if isinstance(task.codec, Digits):
        order = f",\n{task.codec.first} significant digit first"
    scope = f"problems with operands of up to {tested.digits} digits"
    if not task.numeric:
        scope = f"words of {tested.digits} symbols"
    again = f"""Made by carrynet {config["carrynet"]}, {config["engine"]} engine. To make it again:

    carrynet train --recipe recipe.toml{" --origin origin.safetensors" * bool(recipe.origin)} \\
        --engine {config["engine"]} --out again"""
    if recipe.origin:
        made += ", beginning with the weights in `origin.safetensors`"
    kind = "arithmetic" if task.numeric else "formal-language"
    carries = task.memory in ("carry", "borrow")
    held = "with long carries" if carries else "that hold a state for long"
    learned = "learned"
    if recipe.specified:
        learned = "trained from its specification,"
        made = (
            f"trained {SPECIFIED}, on {recipe.showing('', open_edges)} of the task `{recipe.task}`"
        )
    if mechanism is not None:
        learned = "by construction,"
        made = f"not trained but compiled from the machine of the task `{recipe.task}`"
        again = f"""Compiled by carrynet {config["carrynet"]}: {mechanism.in_words()}.
What each unit means is in `mechanism.json`. To make it again:

    {mechanism.command(task)} --out again"""
    elif not recipe.stages:
        made = f"trained elsewhere, for the task `{recipe.task}`"
        again = f"Imported by carrynet {config['carrynet']}."
        if "source" in config:
            again += f"\n\n{Source.from_json(config['source']).to_markdown()}"
    return f"""---
library_name: carrynet
tags: [recurrent-neural-network, {kind}, length-generalisation]
model-index:
- name: {json.dumps(name)}
  results:
  - task: {{type: {kind}, name: {json.dumps(recipe.task)}}}
    dataset: {{type: exhaustive, name: "all problems of up to {tested.digits} {units}"}}
    metrics: [{{type: accuracy, value: {tested.right / tested.pairs}}}]
---
# {recipe.task}, {learned} {units[:-1]} by {units[:-1]}

A recurrent network with {in_words(recipe, "hidden units")} that was {made}{order}.

{_verdict_card(proof, what, units)}

**Exhaustive**: {tested.right:,} of all {tested.pairs:,} {scope} are right
(smallest margin {tested.margin:.2f}).

**Sampled**: problems drawn at random, evenly (uniform) or {held} (chains).

| {units} | drawn | right | smallest margin |
|---:|---|---|---:|
{rows}

These are tests of the problems counted above, and say nothing of other {what}.

{again}

Weights: `model.safetensors`, SHA-256 of the network `{config["weights_sha256"]}`.
"""


def _verdict_card(proof: Verdict, what: str, units: str) -> str:
    """The verdict, in a run's card, on numbers or words of any length."""
    if isinstance(proof, Proved):
        margin = "" if proof.margin is None else f", smallest margin {proof.margin:.2f}"
        recorded = "" if proof.checked else ", as recorded,"
        return (
            f"**Proved**{recorded} right for {what} of any length: {proof.certificate.claim} The "
            f"proof is `certificate.json` ({proof.regions} regions{margin}); `carrynet check .` "
            "checks it."
        )
    if isinstance(proof, Refuted):
        operands = ", ".join(map(str, proof.operands))
        how = f"where it answers {proof.answered} and not {proof.expected}"
        if proof.answered == proof.expected:
            how = "with an output that is not a number"
        return (
            f"**Refuted**: it is wrong for {operands}, read as {what} of {proof.digits} {units}, "
            f"{how}."
        )
    return "**Undecided**: neither proved nor refuted for all lengths."
