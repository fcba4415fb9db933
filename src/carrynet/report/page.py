"""The page of a run: one file of HTML that opens from a disk and asks nothing of any network.

It holds the run's own files (weights, snapshots, certificate), facts beside them as JSON, and
`view.mjs`, which draws them.  The views are written in `page/src` and bundled by
`page/build.mjs`.  Whatever strings a run has reach the page as JSON, and the views put them
there as text and never as markup.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from carrynet import __version__, files
from carrynet.judge.evaluation import Evaluation, wilson
from carrynet.judge.extraction import MOST_STATES, compare, extract
from carrynet.nets.network import Network
from carrynet.proof import verdict
from carrynet.proof.certificate import BoxCertificate, Certificate
from carrynet.proof.verdict import Proved
from carrynet.report import described, drawing, space
from carrynet.report.advice import ways
from carrynet.runs.format import facts
from carrynet.runs.record import Record
from carrynet.spec.machine import Machine

FORMAT, VERSION = "carrynet-page", 2
NAME = "report.html"
"""What the page is called in a run's folder."""
MOST_REGIONS = 600
"""More regions than this are not drawn."""
PART = 5
"""Of a machine that was found in part only so many states are drawn, and '…' for the others."""
MOST_ASKED = 10**6
"""The machine that a network has learned is not looked for where that takes more questions."""
MOST_BYTES = 100_000
"""A certificate that is longer, compressed, is left out of the page; so are some snapshots.

Both are a third longer as text; with the views, 275 KB, and what can be trained, 25 KB, a page of
them stays below 600 KB.
"""


def html(run: Record) -> str:
    """The page."""
    return document(model(run), repr(run), "view.mjs")


def training(name: str = "carrynet") -> str:
    """A page with no run behind it: networks are trained in it, and looked into."""
    begun = {"format": FORMAT, "version": VERSION, "name": name, "trainable": described.trainable()}
    return document(begun, "Train a network in this page. It needs JavaScript.", "view.mjs")


def document(model: Mapping[str, Any], summary: str, script: str) -> str:
    """A page of a model, which has a `name`, for one of the bundles to draw.

    `summary` is for readers without scripts.
    """
    # in JSON, `<` occurs in strings only, where its escape means the same
    text = json.dumps(model, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return Template(_resource("page.html")).substitute(
        title=escape(_title(model["name"])),
        summary=escape(summary),
        model=text,
        script=_resource(script),
    )


def write(run: Record, path: Path) -> Path:
    """Write the page, whole or not at all."""
    files.write(path, html(run))
    return path


def frame(run: Record, height: int = 900) -> str:
    """The page within another, such as a notebook, which it can neither read nor change.

    It is called as the page is, in whose title there is nothing to translate.
    """
    return (
        f'<iframe title="{escape(_title(_name(run)))}" sandbox="allow-scripts allow-downloads" '
        f'style="width:100%;height:{height}px;border:0" srcdoc="{escape(html(run))}"></iframe>'
    )


def model(run: Record) -> dict[str, Any]:
    """What the views are given; `page/src/model.mjs` reads it."""
    network, task, proof = run.network, run.network.task, run.proof
    certificate = proof.certificate if isinstance(proof, Proved) else None
    plane = _plane(network)
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": _name(run),
        "task": described.task(task),
        "formulas": described.network(network),
        "trainable": described.trainable(),
        "model": _base64(_safetensors(network.weights, network)),
        "snapshots": _snapshots(run),
        "metrics": _columns(run.metrics),
        "evaluation": _tested(run.evaluation),
        "proof": _exact(verdict.to_json(proof)),
        "ways": [asdict(way) for way in ways(run)],
        "claim": certificate and certificate.claim,
        "learned": _learned(network),
        "plane": plane and {key: array.tolist() for key, array in vars(plane).items()},
        "regions": certificate and plane and _regions(certificate, network, plane),
        "certificate": certificate and _compressed(certificate),
        "source": run.source and run.source.to_json(),
        "mechanism": run.mechanism and files.json_text(run.mechanism.to_json()),
        "recipe": run.recipe.to_toml(),
        "about": {
            "recipe": run.recipe.name,
            "engine": run.engine,
            "seconds": run.seconds,
            "problems": run.recipe.problems,
            "seed": run.recipe.seed,
            "digits": run.recipe.digits,
            "dtype": network.dtype.name,
            "stages": [
                [stage.name, stage.steps * run.recipe.batch(stage), stage.over]
                for stage in run.made.schedule
            ],
            "hardens": any(
                s.worst and s.over == "problems" and s.bounds == "words" for s in run.recipe.stages
            ),
            "edges": run.made.edges,
            "again": run.made.again,
            "joined": run.recipe.joined,
            "specified": run.recipe.specified,
            "init": run.init,
            "origin": run.recipe.origin,
            "weights_sha256": network.digest(),
            "carrynet": __version__,
            "numpy": np.__version__,
            "command": _command(run),
        },
    }


def _name(run: Record) -> str:
    """What a run is called: as its folder or, where it has none, by what it was to learn."""
    return run.path.resolve().name if run.path else f"{run.recipe.name} {run.network.task.text}"


def _title(name: str) -> str:
    return f"{name} · carrynet"


def _exact(document: dict[str, Any]) -> dict[str, Any]:
    """Integers of a counterexample as text, since JavaScript would round long ones."""
    found = document["counterexample"]
    if found is None:
        return document
    texts = {key: str(found[key]) for key in ("answered", "expected")}
    operands = [str(operand) for operand in found["operands"]]
    return {**document, "counterexample": {**found, **texts, "operands": operands}}


def _command(run: Record) -> str | None:
    """What makes the run again."""
    if run.mechanism is not None:
        return run.mechanism.command(run.network.task)
    if not run.recipe.stages:
        return None
    begin = " --origin origin.safetensors" * bool(run.recipe.origin)
    return f"carrynet train --recipe recipe.toml{begin} --engine {run.engine}"


def _snapshots(run: Record) -> str | None:
    """Snapshots as safetensors: all, or of a large network as many as are not too long."""
    if not run.snapshots:
        return None
    size = sum(array.nbytes for array in run.network.weights.values())
    most = min(len(run.snapshots), max(2, MOST_BYTES // size))
    chosen = np.linspace(0, len(run.snapshots) - 1, most).round().astype(int)
    tensors = {
        f"{each.problem}.{name}": array
        for each in (run.snapshots[i] for i in chosen)
        for name, array in each.network.weights.items()
    }
    return _base64(_safetensors(tensors, run.network))


def _safetensors(tensors: Mapping[str, Any], network: Network) -> bytes:
    return files.tensor_bytes(tensors, facts(network))


def _columns(lines: tuple[Mapping[str, Any], ...]) -> dict[str, list[Any]]:
    """The lines of metrics.jsonl, by key, with no more digits than can be seen."""
    return {
        key: [round(v, 6) if isinstance(v := line[key], float) else v for line in lines]
        for key in ("stage", "problem", "error", "right")
    }


def _tested(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation, and in which interval the share of right problems is at each length."""
    document = evaluation.to_json()
    sampled = [
        {**line, "interval": wilson(line["right"], line["pairs"])} for line in document["sampled"]
    ]
    return {**document, "sampled": sampled}


def _learned(network: Network) -> dict[str, Any] | None:
    """The machine that the network has learned; None where the page would have to wait for it."""
    machine = network.task.machine
    most = max(described.MOST_DRAWN, len(machine.states) + 1)  # enough to tell it from the task's
    if most > MOST_STATES or most * len(machine.symbols) ** 2 > MOST_ASKED:
        return None
    found = extract(network, most=most)
    comparison = compare(network, found.machine)
    shown = found.machine if found.complete else _part(found.machine)
    return {
        **{key: getattr(shown, key) for key in ("states", "delta", "output")},
        "names": [*comparison.names[:PART], ""] if shown is not found.machine else comparison.names,
        "same": comparison.word is None,
        "complete": found.complete,
        "found": len(found.machine.states),
        "tested": found.tested,
        "drawing": described.layout(shown) if found.complete else _drawing_of_part(shown),
    }


def _part(machine: Machine) -> Machine:
    """The states that were found first, to which one more is added that stands for the others."""
    kept, symbols = min(PART, len(machine.states)), range(len(machine.symbols))
    delta = [tuple(min(r, kept) for r in row) for row in machine.delta[:kept]]
    return replace(
        machine,
        states=(*machine.states[:kept], "…"),
        delta=(*delta, tuple(kept for _ in symbols)),
        output=(*machine.output[:kept], tuple(None for _ in symbols)),
    )


def _drawing_of_part(machine: Machine) -> dict[str, Any]:
    """The same without what the last state, which stands for others, would lead to."""
    made = drawing.layout(machine, described.LINES)
    last = len(machine.states) - 1
    return asdict(replace(made, edges=tuple(each for each in made.edges if each.start != last)))


def _plane(network: Network) -> space.Plane | None:
    """What hidden space is projected to; None where the network's states are not numbers."""
    h, _ = space.visited(network)
    return space.principal_plane(h) if len(h) else None


def _regions(
    certificate: Certificate, network: Network, plane: space.Plane
) -> dict[str, Any] | None:
    """A certificate's regions, to be drawn: their outlines, as x, y, x, y, ..."""
    states = space.region_states(certificate)
    if len(states) > MOST_REGIONS:
        return None
    outlines = [np.round(outline, 3) for outline in space.outlines(certificate, plane)]
    return {
        "kind": "balls" if certificate.method == "trees" else certificate.method,
        "state": states,
        "begins_outside": _begins_outside(certificate, network),
        # of a point there is none
        "outlines": [o.ravel().tolist() if np.ptp(o, axis=0).any() else [] for o in outlines],
    }


def _begins_outside(certificate: Certificate, network: Network) -> bool:
    """Whether the start lies in no box but its own, a point, which has no outline."""
    if not isinstance(certificate, BoxCertificate):
        return False
    first, *others = certificate.regions
    start = (network.start.astype(np.float64) * 2.0**certificate.bits).tolist()
    return first.lower == first.upper and not any(
        all(low <= at <= high for low, at, high in zip(*ends, strict=True))
        for ends in ((region.lower, start, region.upper) for region in others)
    )


def _compressed(certificate: Certificate) -> str | None:
    """The certificate's JSON, deflated; None where it is too long for a page."""
    data = zlib.compress(certificate.text().encode(), 9)
    return _base64(data) if len(data) <= MOST_BYTES else None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@cache
def _resource(name: str) -> str:
    return (resources.files("carrynet.report") / name).read_text(encoding="utf-8")
