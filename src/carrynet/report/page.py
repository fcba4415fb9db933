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
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.proof import verdict
from carrynet.proof.certificate import BoxCertificate, Certificate, TreeCertificate
from carrynet.proof.verdict import Proved
from carrynet.report import described, drawing, space
from carrynet.report.advice import ways
from carrynet.runs.format import facts
from carrynet.runs.record import Record
from carrynet.spec.machine import Machine

FORMAT, VERSION = "carrynet-page", 2
NAME = "report.html"
"""What the page is called in a run's folder."""
PART = 5
"""Of a machine that was found in part only so many states are drawn, and '…' for the others."""
MOST_ASKED = 10**6
"""The machine that a network has learned is not looked for where that takes more questions."""
MOST_BYTES = 590_000
"""No page is longer, but of a network that is too large itself.

Of what may be long two snapshots come first, or none, where they have no room; the certificate gets
up to half of what is left, regions up to half of what is left then, and more snapshots the rest.
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
    return Template(_resource("page.html")).substitute(
        title=escape(_title(model["name"])),
        summary=escape(summary),
        model=_text(model),
        script=_resource(script),
    )


def _text(model: Any) -> str:
    """JSON, in which `<` occurs in strings only, where its escape means the same."""
    return json.dumps(model, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


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
    page = {
        "format": FORMAT,
        "version": VERSION,
        "name": _name(run),
        "task": described.task(task),
        "formulas": described.network(network),
        "trainable": described.trainable(),
        "model": _base64(_safetensors(network.weights, network)),
        "metrics": _columns(run.metrics),
        "evaluation": _tested(run.evaluation),
        "proof": _exact(verdict.to_json(proof)),
        "ways": [asdict(way) for way in ways(run)],
        "claim": certificate and certificate.claim,
        "learned": _learned(network),
        "plane": plane and {key: array.tolist() for key, array in vars(plane).items()},
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
    room = MOST_BYTES - len(_resource("view.mjs").encode()) - _length(page)
    size = _length(page["model"])
    least = min(2, len(run.snapshots))
    kept = least * size if least * size <= room else 0
    page["certificate"] = _within((room - kept) // 2, certificate and _compressed(certificate))
    room -= _length(page["certificate"])
    drawn = certificate and plane and _regions(certificate, network, plane)
    page["regions"] = _within((room - kept) // 2, drawn)
    room -= _length(page["regions"])
    page["snapshots"] = _snapshots(run, room // size) if kept else None
    return page


def _length(part: Any) -> int:
    """How many bytes of a page a part of its model takes."""
    return len(_text(part).encode())


def _within(most: int, part: Any) -> Any:
    """A part of the model; None where it would be too long."""
    return part if _length(part) <= most else None


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


def _snapshots(run: Record, most: int) -> str:
    """Snapshots as safetensors: of the whole training, so many at most."""
    most = min(len(run.snapshots), most)
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
    """A certificate's regions, to be drawn: their outlines, as x, y, x, y, ...

    Of balls, which may be hundreds, as a centre and two half axes: x, y each.
    """
    states = space.region_states(certificate)
    if len(states) > space.MOST_REGIONS:
        return None
    if isinstance(certificate, TreeCertificate):
        ellipses = space.ellipses(certificate, plane).reshape(-1, 6)
        return {"kind": "balls", "state": states, "ellipses": np.round(ellipses, 4).tolist()}
    outlines = [_rounded(outline) for outline in space.outlines(certificate, plane)]
    return {
        "kind": certificate.method,
        "state": states,
        "begins_outside": _begins_outside(certificate, network),
        "outlines": [outline.ravel().tolist() for outline in outlines],
    }


def _rounded(outline: Array) -> Array:
    """The corners that can be told apart; none of a point."""
    corners = np.round(outline, 3)
    apart: Array = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
    return apart


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


def _compressed(certificate: Certificate) -> str:
    """The certificate's JSON, deflated."""
    return _base64(zlib.compress(certificate.text().encode(), 9))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@cache
def _resource(name: str) -> str:
    return (resources.files("carrynet.report") / name).read_text(encoding="utf-8")
