"""What the builder of the documentation must not let pass; citation and changelog."""

import re
from pathlib import Path

import pytest

import carrynet
from docs import build

ROOT = Path(__file__).parents[1]
HEAD = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'


def catalogues(folder: Path, index: str, proof: str = "") -> Path:
    for name, text in (("index", index), ("proof", proof)):
        for suffix in (".pot", ".po"):
            (folder / f"{name}{suffix}").write_text(HEAD + text, encoding="utf-8")
    return folder


def test_a_complete_translation_passes(tmp_path: Path) -> None:
    folder = catalogues(tmp_path, 'msgid "One"\nmsgstr "一"\n')
    assert build.check_translations(folder, folder) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('msgid "One"\nmsgstr ""\n', "index.po: not translated: One"),
        ('#, fuzzy\nmsgid "One"\nmsgstr "一"\n', "index.po: not translated: One"),
        ('msgid "Two"\nmsgstr "二"\n', "index.po: no longer in the page: Two"),
    ],
)
def test_an_incomplete_translation_is_noticed(tmp_path: Path, text: str, complaint: str) -> None:
    folder = catalogues(tmp_path, 'msgid "One"\nmsgstr "一"\n')
    (folder / "index.po").write_text(HEAD + text, encoding="utf-8")
    assert complaint in build.check_translations(folder, folder)


def test_the_committed_catalogues_are_whole() -> None:
    for page in build.TRANSLATED:
        catalogue = build.read(build.CATALOGUES / f"{page}.po")
        assert len(catalogue) > 10
        assert build.untranslated(catalogue, catalogue) == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        "<script async src='//cdn.example/x.js'></script>",
        '<link rel="stylesheet" href="https://fonts.example/css">',
        '<img alt="" src="http://example/x.png">',
        "<style>@import 'https://fonts.example/css';</style>",
        "<style>body { background: url(https://example/x.png) }</style>",
    ],
)
def test_pages_that_need_a_network_are_noticed(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(f'<a href="https://example.org">a link</a> <script src="x.js"></script>{text}')
    assert len(build.from_networks(tmp_path)) == 1
    page.write_text('<a href="https://example.org">a link</a> <script src="x.js"></script>')
    assert build.from_networks(tmp_path) == []


def test_the_citation_and_the_changelog_are_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (\S+)$", citation, flags=re.MULTILINE)[1] == carrynet.__version__  # type: ignore[index]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(.+?)\]", changelog, flags=re.MULTILINE)[0]
    assert newest in ("Unreleased", carrynet.__version__)
    assert newest != "Unreleased" or f"will be {carrynet.__version__}" in changelog
