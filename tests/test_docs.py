"""Documents: their examples are run, their links lead somewhere, all keys are explained."""

import doctest
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import carrynet as cn
from carrynet import files, lab, tasks
from carrynet.exchange.source import Source
from carrynet.learn import training
from carrynet.runs.create import making
from carrynet.spec.recipe import Recipe
from tests.test_cli import carrynet

pytestmark = [
    pytest.mark.usefixtures("short_words"),
    # AALpy's sources have them, which newer Pythons tell of when they first read them
    pytest.mark.filterwarnings("ignore:invalid escape sequence"),
]

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path.relative_to(ROOT).as_posix()
    for pattern in (
        "*.md",
        "docs/*.md",
        "docs/api/*.md",
        "docs/howto/*.md",
        "studies/*/*.md",
        "benchmarks/*.md",
    )
    for path in sorted(ROOT.glob(pattern))
]
TESTED_ELSEWHERE = {
    "README.md": "tests/test_readme.py, and as a doctest",
    "README.zh-CN.md": "its commands are README.md's: tests/test_translation.py",
    "docs/sweeps.md": "tests/test_sweep.py",
    "docs/guide.md": "as a doctest: it has no commands",
    "docs/guide.zh-CN.md": "its code is docs/guide.md's: tests/test_translation.py",
}
NOT_RUN = {  # blocks that are marked so, and may be
    "docs/cluster.md": 3,
    "docs/howto/microcontroller.md": 1,
    "docs/howto/pytorch.md": 2,
    "studies/compiled/README.md": 1,
    "studies/regular/README.md": 1,
    "studies/regular/README.zh-CN.md": 1,
    "studies/smallest/README.md": 1,
    "studies/tutorial/README.md": 1,
    "studies/tutorial/README.zh-CN.md": 1,
}
MARK = re.compile(r"<!-- not run: .+ -->")
BLOCK = re.compile(r"([^\n]*)\n```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHELL, PYTHON = ("sh", "bash", "shell", "console"), ("python", "pycon", "py")
COMMAND = re.compile(r"(?:uv run (?:--(?:extra|group) \w+ )*)?carrynet (.*)")
FILE = re.compile(r"# (\w+\.toml)\n")  # the first line of a file that is shown
CI = [line.strip() for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The kind and text of each block of code that is to be run, in order."""
    for before, kind, body in BLOCK.findall("\n" + text):
        shown = kind in SHELL + PYTHON or (kind == "toml" and FILE.match(body))
        if shown and not MARK.fullmatch(before):
            yield kind, body


def run_shell(body: str, folder: Path) -> None:
    """Run carrynet's commands; others must be ones that `.ci/run` runs."""
    for line in body.splitlines():
        command = line.partition("  #")[0].strip()
        if not command or command.startswith("#"):
            continue
        if found := COMMAND.fullmatch(command):
            done = carrynet(*shlex.split(found[1]), cwd=folder)
            assert done.returncode in (0, 3), f"{command}\n{done.stderr}"  # 3: undecided
        else:
            assert command in CI, f"neither carrynet's nor run by CI: {command}"


def run_python(body: str, names: dict[str, Any], where: str) -> None:
    """Run examples with their outputs, or a script."""
    if ">>>" not in body:
        exec(compile(body, where, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(body, names, where, where, 0)
    report: list[str] = []
    outcome = doctest.DocTestRunner().run(test, out=report.append, clear_globs=False)
    names.update(test.globs)
    assert not outcome.failed, "".join(report)


def test_no_document_is_forgotten() -> None:
    """Of all that is in a clone; what is installed, built or hidden is not ours."""
    theirs = ("node_modules", "_build", "runs", "shared")
    found = {path.relative_to(ROOT) for path in ROOT.rglob("*.md")}
    ours = {
        path.as_posix()
        for path in found
        if not any(part.startswith(".") or part in theirs for part in path.parts)
    }
    assert ours == set(DOCUMENTS)
    assert set(TESTED_ELSEWHERE) | set(NOT_RUN) <= set(DOCUMENTS)


@pytest.mark.parametrize("name", sorted(set(DOCUMENTS) - set(TESTED_ELSEWHERE)))
def test_everything_that_a_document_shows_works(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for kind, body in blocks(read(name)):
        if kind in SHELL:
            run_shell(body, tmp_path)
        elif found := FILE.match(body):
            (tmp_path / found[1]).write_text(body, encoding="utf-8")
        else:
            run_python(body, names, name)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_not_run_is_counted(name: str) -> None:
    assert len(MARK.findall(read(name))) == NOT_RUN.get(name, 0)


def test_the_runner_of_documents_notices_what_fails(tmp_path: Path) -> None:
    text = "```sh\ncarrynet add 1 x\n```\n\n<!-- not run: why -->\n```sh\nrm x\n```\n"
    assert list(blocks(text)) == [("sh", "carrynet add 1 x\n")]
    with pytest.raises(AssertionError, match="carrynet add 1 x"):
        run_shell("carrynet add 1 x", tmp_path)
    with pytest.raises(AssertionError, match="neither"):
        run_shell("make", tmp_path)
    with pytest.raises(AssertionError, match="Expected"):
        run_python(">>> 1 + 1\n3\n", {}, "here")
    with pytest.raises(ZeroDivisionError):
        run_python("1 / 0\n", {}, "here")


# Links


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub and MyST make them."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", plain, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(name: str) -> list[str]:
    """The links of a document, within the repository, that lead nowhere."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", read(name)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            broken.append(target)
    return broken


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    assert broken_links(name) == []


def test_broken_links_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_docs.ROOT", tmp_path)
    (tmp_path / "a.md").write_text("# One two\n[a](b.md) [b](#one-two) [c](#two) [d](a.md#three)\n")
    assert broken_links("a.md") == ["b.md", "#two", "a.md#three"]


# Python


def test_every_module_is_documented_once() -> None:
    """But for commands, which have a page, measurements, and what engines are made of."""
    source = ROOT / "src"
    paths = (path.relative_to(source).with_suffix("") for path in source.rglob("*.py"))
    modules = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    left_out = ("carrynet.__main__", "carrynet.bench", "carrynet.cli", "carrynet.engines.")
    wanted = {name for name in modules if not name.startswith(left_out)}
    pages = (path for path in DOCUMENTS if path.startswith("docs/api"))
    told = [name for page in pages for name in re.findall(r":: (carrynet\S*)", read(page))]
    assert sorted(told) == sorted(wanted | {"carrynet.engines.reference"})


# The keys of files


def documented(heading: str, text: str | None = None) -> set[str]:
    """The keys in the tables under a heading of docs/files.md."""
    section = re.search(
        rf"^## {re.escape(heading)}.*?\n(.*?)(?=^## |\Z)",
        read("docs/files.md") if text is None else text,
        flags=re.DOTALL | re.MULTILINE,
    )
    assert section, heading
    rows = re.findall(r"^\| (`[^|]+) \|", section[1], flags=re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def keys_of(value: object) -> set[str]:
    """The keys of a JSON or TOML document, at all depths."""
    if isinstance(value, dict):
        return set(value) | set().union(*map(keys_of, value.values()), set())
    return set().union(*map(keys_of, value), set()) if isinstance(value, list) else set()


def test_every_key_of_a_run_is_documented_and_no_other(tmp_path: Path) -> None:
    proved = cn.train("certified", hidden=8, out=tmp_path / "proved", progress=False)
    refuted = cn.train("tutorial", hidden=8, seed=2, out=tmp_path / "refuted", progress=False)
    assert isinstance(proved.proof, cn.Proved)
    assert isinstance(refuted.proof, cn.Refuted)
    source, network = Source("w.npz", "0" * 64, "Wxh=W", ("x",), ("tanh",)), proved.network
    recipe = lab.importing(network)
    with making(tmp_path / "imported", recipe, origin=network, source=source) as folder:
        assert lab.resume(folder).source == source
    assert cn.load(folder).source == source
    hardened = tmp_path / "hardened"
    recipe = training.hardening(recipe, network).with_settings(
        {"harden.steps": 1, "again.steps": 1, "harden.step": 5.0}
    )
    with making(hardened, recipe, origin=network, hardened=proved.path) as folder:
        assert lab.resume(folder).worse_than == proved.path

    short: dict[str, Any] = {"learn.steps": 3, "close.steps": 3, "close.again": 0}
    few: dict[str, Any] = {"task": "parity", "cell": "gru", "hidden": 4, "progress": False}
    cn.train("certified", **few, **short, out=tmp_path / "closed")
    found: dict[str, set[str]] = {}
    cn.compile("parity", out=tmp_path / "compiled", progress=False)
    undecided = replace(refuted, proof=cn.Undecided(("nothing",), 0.0)).save(tmp_path / "undecided")
    assert isinstance(undecided.proof, cn.Undecided)
    for run in ("proved", "refuted", "undecided", "imported", "hardened", "compiled", "closed"):
        for path in (tmp_path / run).iterdir():
            keys = found.setdefault(path.name, set())
            if path.suffix == ".json":
                keys |= keys_of(json.loads(path.read_text()))
            elif path.suffix == ".toml":
                keys |= keys_of(tomllib.loads(path.read_text()))
            elif path.suffix == ".jsonl":
                keys |= keys_of([json.loads(line) for line in path.read_text().splitlines()])

    own = tasks.own("mine", tasks.parse("parity").machine)
    its = tomllib.loads(Recipe(task=own).to_toml())  # type: ignore[arg-type]
    assert documented("`recipe.toml`") == found["recipe.toml"] | its.keys()
    assert documented("`config.json`") == found["config.json"]
    assert documented("`mechanism.json`") == found["mechanism.json"]
    assert documented("`metrics.jsonl`") == found["metrics.jsonl"]
    assert documented("`evaluation.json`") == found["evaluation.json"] - {"exhaustive", "sampled"}
    assert documented("`proof.json`") == found["proof.json"]
    others = {"metrics", "metric_of", "centres", "radii", "states", "trees", "values"}
    of_regions = {"name", "state", "lower", "upper", "next"}
    document = json.loads((tmp_path / "proved" / "certificate.json").read_text())
    assert documented("`certificate.json`") - others == document.keys()
    assert others <= documented("`certificate.json`")
    assert keys_of(document["regions"]) == of_regions
    _, facts = files.read_tensors(tmp_path / "proved" / "model.safetensors")
    assert documented("`model.safetensors`") == facts.keys()
    assert of_regions <= set(re.findall(r"`(\w+)`", read("docs/files.md")))
    for name in found:
        assert f"`{name}`" in read("docs/files.md"), name
