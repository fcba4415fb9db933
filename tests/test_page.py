"""The page's one file: what it holds, and that nothing in it can become markup."""

import base64
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import carrynet as cn
from carrynet import lab, tasks
from carrynet.nets.network import Network
from carrynet.nets.weights import initialise
from carrynet.proof.certificate import TreeCertificate, from_json
from carrynet.report import described, page, space
from carrynet.spec.machine import Machine
from tests.conftest import briefly, words_up_to
from tests.folders import create

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>&amp;\"'"
SOURCES = Path(__file__).parents[1] / "page" / "src"


class Elements(HTMLParser):
    """The elements of a page, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.scripts:
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def proved() -> cn.Run:
    return cn.train("certified", hidden=32)


def model_in(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Elements(text).scripts[0])
    return document


@words_up_to(64)
def test_a_page_of_gates_with_its_training_is_not_too_long() -> None:
    run = cn.train("certified", task="tomita:4", cell="gru", hidden=32)
    text = page.html(run)
    model = model_in(text)
    assert model["certificate"]
    snapshots = safetensors.numpy.load(base64.b64decode(model["snapshots"]))
    problems = {int(name.split(".")[0]) for name in snapshots}
    assert 2 < len(problems) < len(run.snapshots)
    assert {run.snapshots[0].problem, run.snapshots[-1].problem} < problems
    assert len(text.encode()) < 600_000


def test_a_page_of_hundreds_of_balls_is_not_too_long(proved: cn.Run) -> None:
    random, count, hidden = np.random.default_rng(0), space.MOST_REGIONS, 32
    certificate = TreeCertificate(
        **proved.network.about,
        slack=0.0,
        metrics=random.normal(size=(8, hidden, hidden)).round(4).tolist(),
        metric_of=random.integers(0, 8, count).tolist(),
        centres=random.random((count, hidden)).round(4).tolist(),
        radii=[0.0, *random.random(count - 1).tolist()],
        states=random.integers(0, 2, count).tolist(),
        trees=[[1] * 4] * count,
    )
    assert isinstance(proved.proof, cn.Proved)
    run = replace(proved, proof=replace(proved.proof, certificate=certificate))
    text = page.html(run)
    model = model_in(text)
    assert model["certificate"]
    assert len(text.encode()) < 600_000
    regions, plane = (
        model["regions"],
        space.Plane(**{k: np.array(v) for k, v in model["plane"].items()}),
    )
    assert regions["state"] == certificate.states
    outlines = np.array(space.outlines(certificate, plane))
    centre, a, b = np.array(regions["ellipses"]).reshape(count, 3, 2).swapaxes(0, 1)
    assert not a[0].any()
    assert centre + a == pytest.approx(outlines[:, 0], abs=2e-4)
    assert centre + b == pytest.approx(outlines[:, 15], abs=2e-4)


def test_where_there_is_little_room_two_snapshots_are_left_or_none(
    proved: cn.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(model_in(page.html(proved))["model"])
    monkeypatch.setattr(page, "MOST_BYTES", 1_000)
    text = page.html(proved)
    model, code = model_in(text), Elements(text).scripts[1]
    assert model["certificate"] is model["regions"] is model["snapshots"] is None
    least = len(code.encode()) + len(Elements(text).scripts[0].encode())
    for room in (1.9, 2.2):
        monkeypatch.setattr(page, "MOST_BYTES", least + int(room * size))
        model = model_in(page.html(proved))
        assert (model["snapshots"] is None) == (room < 2)
    assert model["certificate"] is model["regions"] is None
    kept = safetensors.numpy.load(base64.b64decode(model["snapshots"]))
    first, *_, last = proved.snapshots
    assert {int(name.split(".")[0]) for name in kept} == {first.problem, last.problem}


@pytest.mark.parametrize(("cell", "hidden"), [("lstm", 64), ("elman", 128), ("gru", 100)])
def test_pages_of_large_networks_are_not_too_long(cell: str, hidden: int) -> None:
    run = briefly("plain-adam", cell=cell, hidden=hidden, steps=8)
    assert len(run.snapshots) > 1
    text = page.html(run)
    assert model_in(text)["snapshots"] is None
    assert len(text.encode()) < 600_000


def test_the_page_is_one_file_that_asks_for_nothing(proved: cn.Run) -> None:
    text = page.html(proved)
    assert len(text.encode()) < 600_000
    elements = Elements(text)
    assert [tag for tag, _ in elements.tags].count("script") == 2
    for tag, attributes in elements.tags:
        assert not {"src", "href"} & attributes.keys(), tag
    policy = next(a["content"] for _, a in elements.tags if "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert not re.search(r"""(?:fetch\(|XMLHttpRequest|import\(["']http|src=["']http)""", text)


def test_the_model_holds_the_runs_own_files(proved: cn.Run) -> None:
    model = model_in(page.html(proved))
    tensors = safetensors.numpy.load(base64.b64decode(model["model"]))
    activation = model["formulas"]["activation"]
    again = Network(proved.network.task, activation, type(proved.network.weights)(**tensors))
    assert again.digest() == proved.network.digest() == model["about"]["weights_sha256"]
    assert model["proof"]["verdict"] == "proved"
    assert isinstance(proved.proof, cn.Proved)
    certificate = from_json(json.loads(zlib.decompress(base64.b64decode(model["certificate"]))))
    assert certificate == proved.proof.certificate
    intervals = [line.pop("interval") for line in model["evaluation"]["sampled"]]
    assert model["evaluation"] == json.loads(json.dumps(proved.evaluation.to_json()))
    for (low, high), part in zip(intervals, proved.evaluation.sampled, strict=True):
        share, z = part.right / part.pairs, 1.959963984540054
        for end in (low, high):  # whose distance from what was seen is z deviations of its own
            assert abs(end - share) == pytest.approx(z * (end * (1 - end) / part.pairs) ** 0.5)
        assert low < high
    assert model["metrics"]["problem"][-1] == proved.recipe.problems
    snapshots = safetensors.numpy.load(base64.b64decode(model["snapshots"]))
    assert {int(name.split(".")[0]) for name in snapshots} == {s.problem for s in proved.snapshots}
    assert len(model["regions"]["outlines"]) == proved.proof.regions
    assert model["task"]["delta"] == [list(row) for row in proved.network.task.machine.delta]


def test_the_machine_is_the_networks_and_not_the_tasks(trained: cn.Run, adder: Network) -> None:
    """By construction: without its carry, the network of an adder has one state."""
    forgetful = adder.weights.replace(Whh=np.zeros_like(adder.weights.Whh))
    for weights, states in ((adder.weights, 2), (forgetful, 1)):
        network = replace(adder, weights=weights)
        learned = page.model(replace(trained, network=network))["learned"]
        assert len(learned["states"]) == states == len(learned["drawing"]["places"])
        assert learned["same"] == (states == 2)
        assert learned["complete"]
        assert list(learned["names"]) == (["0", "1"] if states == 2 else [""])


def test_of_a_machine_of_many_states_and_symbols_there_is_none() -> None:
    """It would be waited for at the end of each training."""
    for text, there in (("multiply_by:k=62", True), ("multiply_by:k=64", False)):
        task = tasks.parse(text)
        network = Network(task, "tanh", initialise(task, 2))
        assert (page._learned(network) is not None) == there
    assert described.layout(tasks.parse("multiply_by:k=12").machine) is not None
    assert described.layout(tasks.parse("multiply_by:k=13").machine) is None


def test_hidden_space_is_that_of_the_figures(proved: cn.Run) -> None:
    model = page.model(proved)
    h, _ = space.visited(proved.network)
    plane = space.principal_plane(h)
    assert model["plane"]["axes"] == plane.axes.tolist()
    words = model["task"]["words"]
    along = h.reshape(-1, len(words), 32)
    for i in (0, 60):  # of either kind
        ((states, _),) = proved.network.states(words[i])
        assert along[:, i] == pytest.approx(states, abs=1e-5)
    assert isinstance(proved.proof, cn.Proved)
    for drawn, outline in zip(
        model["regions"]["outlines"],
        space.outlines(proved.proof.certificate, plane),
        strict=True,
    ):
        if np.ptp(outline, axis=0).max() > 0.01:  # corners that are told apart, none left out
            apart = np.abs(np.reshape(drawn, (-1, 1, 2)) - outline).max(axis=2)
            assert max(apart.min(axis=0).max(), apart.min(axis=1).max()) < 6e-4
        elif not np.ptp(outline):
            assert drawn == []


def test_long_integers_of_a_counterexample_are_text(trained: cn.Run) -> None:
    found = cn.Refuted((2**200, 3), 201, 200, 2**200, 2**200 + 3, False, 0.0)
    model = model_in(page.html(replace(trained, proof=found)))
    assert model["proof"]["counterexample"]["operands"] == [str(2**200), "3"]
    assert model["proof"]["counterexample"]["expected"] == str(2**200 + 3)


def test_names_cannot_become_markup(tmp_path: Path, trained: cn.Run) -> None:
    folder = tmp_path / HOSTILE.replace("/", "-")
    run = replace(trained, recipe=replace(trained.recipe, name="x" + HOSTILE[:30])).save(folder)
    text = page.html(run)
    elements = Elements(text)
    assert [tag for tag, _ in elements.tags].count("script") == 2
    assert not any("onerror" in attributes for _, attributes in elements.tags)
    assert "<img" not in text.replace(page._resource("view.mjs"), "")
    assert model_in(text)["name"] == folder.name
    assert [tag for tag, _ in Elements(page.frame(run)).tags] == ["iframe"]


def test_runs_with_less_to_show(tmp_path: Path, adder: Network) -> None:
    folder = create(tmp_path / "run", lab.importing(adder), origin=adder)
    model = model_in(page.html(lab.resume(folder, progress=False)))
    assert model["about"]["command"] is None
    assert model["metrics"]["problem"] == []
    assert model["regions"] is not None


FLIP = ((0, 1), (1, 0))
BITS = Machine(("even", "odd"), ("0", "1"), ("0", "1"), delta=FLIP, output=FLIP)


@pytest.mark.parametrize(
    ("equation", "pieces"),
    [
        ("", ["page_parity_0(", 0, ") = ", -1]),
        ("{{{0}}} is {answer}", ["{", 0, "}", " is ", -1]),
        ("{answer} = parity of {}", [-1, " = parity of ", 0]),
        ("{0} {0}", [0, " ", 0]),
    ],
)
def test_an_equation_is_given_in_pieces(equation: str, pieces: list[str | int]) -> None:
    """For a reader that has none of Python's formats."""
    name = f"page_parity_{len(equation)}"
    task = tasks.own(name, BITS, codec=tasks.Digits(equation=equation))
    run = cn.train("tutorial", task=task, hidden=2, steps=10, digits=4, progress=False)
    assert page.model(run)["task"]["equation"] == pieces
    written = "".join(
        piece if isinstance(piece, str) else {0: "12", -1: "6"}[piece] for piece in pieces
    )
    assert re.sub(r" +", " ", task.write((12,), 6)) == written


def test_a_run_is_made_again_by_what_knows_its_task(trained: cn.Run) -> None:
    task = tasks.own("page_again", BITS)
    settings: dict[str, Any] = {"hidden": 2, "digits": 4, "progress": False, "engine": "numpy"}
    own = cn.train("tutorial", task=task, steps=10, **settings)
    command = page.model(own)["about"]["command"]
    assert command == "carrynet train --recipe recipe.toml --engine numpy"
    again = cn.train(own.recipe, engine="numpy", progress=False)
    assert again.network.digest() == own.network.digest()
    about = page.model(trained)["about"]
    assert about["command"].startswith("carrynet train --recipe recipe.toml --engine ")


def test_in_a_notebook_a_run_is_its_page_in_a_sandbox(trained: cn.Run) -> None:
    shown = trained._repr_html_()
    ((tag, attributes),) = Elements(shown).tags
    assert tag == "iframe"
    assert attributes["sandbox"] == "allow-scripts allow-downloads"
    assert attributes["srcdoc"] == page.html(trained)
    inside = re.search("<title>(.*?)</title>", page.html(trained))
    assert inside is not None
    assert attributes["title"] == inside[1] == f"{page.model(trained)['name']} · carrynet"


BUNDLES = {"view.mjs": "strings.json", "sweep.mjs": "sweep-strings.json"}
VARIANTS = {"words", "most"}
"""Of what is said otherwise of words, and of numbers from their most significant digit."""


def strings(bundle: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((SOURCES / BUNDLES[bundle]).read_text("utf-8"))
    return found


def sources_of(bundle: str) -> str:
    """The text of all modules that a bundle is made of."""
    seen: dict[str, str] = {}
    waiting = [bundle]
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen[name] = (SOURCES / name).read_text(encoding="utf-8")
            waiting += re.findall(r'from "\./([\w-]+\.mjs)"', seen[name])
    return "\n".join(seen.values())


@pytest.mark.parametrize("bundle", BUNDLES)
def test_both_languages_say_the_same_things(bundle: str) -> None:
    for key, said in strings(bundle).items():
        assert said.keys() == {"en", "zh"}, key
        assert all(said.values()), key
        filled = [set(re.findall(r"\{(\w+)\}", text)) for text in said.values()]
        assert filled[0] == filled[1], key


@pytest.mark.parametrize("bundle", BUNDLES)
def test_what_can_be_said_is_said_somewhere(bundle: str) -> None:
    """And whatever the sources say, there are words for; the page itself would stop without."""
    text, known = sources_of(bundle), strings(bundle)
    quoted = set(re.findall(r'"([\w.-]+)"', text))
    begun = tuple(re.findall(r"`([\w.]+\.)\$\{", text))
    (sections,) = re.findall(r"SECTIONS = \{(.*?)\}", text)
    named = quoted | set(re.findall(r"\w+", sections))
    for key in known:
        general, _, variant = key.rpartition(".")
        if variant in VARIANTS:
            assert general in known
        elif key not in named:
            assert key.startswith(begun), key
    assert set(re.findall(r'\bsay\("([\w.]+)"', text)) <= known.keys()


@pytest.mark.parametrize(
    "task", ["add", "subtract", "compare", "multiply_by:k=3", "divide_by:k=3", "parity"]
)
def test_what_a_machine_holds_has_words_in_both_languages(task: str) -> None:
    assert f"memory.{tasks.parse(task).memory}" in strings("view.mjs")


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_bundle_is_made_of_these_words(bundle: str) -> None:
    """Where Node is there, 'npm run check' says so of all of it."""
    made = page._resource(bundle)
    for key, said in strings(bundle).items():
        for text in said.values():
            assert text in made, key


def test_the_bundle_holds_its_licences() -> None:
    text = page._resource("view.mjs")
    assert "d3-scale" in text.split("*/")[0]
    assert "Mike Bostock" in text
    assert "</script" not in text
