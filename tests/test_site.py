"""What the builder of the documentation must not let pass; citation and changelog."""

import re
from collections.abc import Iterable
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


def apart(page: str, strings: Iterable[str]) -> tuple[list[str], list[str]]:
    """Strings that a page in Markdown has not, and words of the page that no string has.

    Code is not translated, whether fenced or indented; captions within directives are.
    """
    captions = re.findall(r"^:caption: (.*)$", page, flags=re.MULTILINE)
    page = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    page = re.sub(r"^ {4}.*$", "", page, flags=re.MULTILINE)
    page = re.sub(r"^ *> ?", "", page, flags=re.MULTILINE)
    rest, gone = " ".join(f"{page} {' '.join(captions)}".split()), []
    for text in sorted(strings, key=len, reverse=True):
        words = " ".join(text.split())
        if words not in rest:
            gone.append(text)
        rest = rest.replace(words, " ")
    return gone, re.findall(r"\w*[A-Za-z]{2}\w*", rest)


@pytest.mark.parametrize("page", build.TRANSLATED)
def test_the_committed_catalogues_are_those_of_the_pages(page: str) -> None:
    catalogue = build.read(build.CATALOGUES / f"{page}.po")
    strings = [str(message.id) for message in catalogue if message.id]
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert apart(text, strings) == ([], []), "python docs/build.py --update, then translate"
    assert build.untranslated(catalogue, catalogue) == []  # nor is one empty, or a guess


def test_a_page_that_was_changed_is_noticed() -> None:
    page = "# One\n\nIt adds *two*\nnumbers.\n\n> So it does.\n\n```sh\nrun\n```\n\n| a row |\n"
    strings = ["One", "It adds *two* numbers.", "So it does.", "a row"]
    assert apart(page, strings) == ([], [])
    assert apart(page.replace("two", "three"), strings) == (
        [strings[1]],
        ["It", "adds", "three", "numbers"],
    )
    assert apart(page + "\nMore.\n", strings) == ([], ["More"])
    assert apart(page, strings[1:]) == ([], ["One"])
    assert apart(page, [*strings, "Gone"]) == (["Gone"], [])
    assert apart("```{toctree}\n:caption: How to\n```\n", []) == ([], ["How", "to"])


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
