"""What the builder of the documentation must not let pass; citation and changelog."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

import carrynet
from docs import build

ROOT = Path(__file__).parents[1]
HEAD = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'


def catalogues(folder: Path, index: str) -> Path:
    for name in build.TRANSLATED:
        text = index if name == "index" else ""
        for suffix in (".pot", ".po"):
            path = folder / f"{name}{suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_text(HEAD + text, encoding="utf-8")
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

    Code is not translated, whether fenced or indented; captions within directives are, and what
    a picture shows, once for itself.
    """
    captions = re.findall(r"^:caption: (.*)$|^(\w.*) </?\w[\w/]*>$", page, flags=re.MULTILINE)
    page = re.sub(r"\A---\n.*?^---$", "", page, flags=re.DOTALL | re.MULTILINE)
    page = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    page = re.sub(r"^ {4}.*$|<!--.*?-->", "", page, flags=re.MULTILINE)
    page = re.sub(r"!\[(.*?)\]\(.*?\)", r"\g<0> \1", page)
    page = re.sub(r"^ *> ?", "", page, flags=re.MULTILINE)
    page = page.replace("\\|", "|")
    rest, gone = " ".join(f"{page} {' '.join(map(' '.join, captions))}".split()), []
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
    gone, new = apart(text, strings)
    if page == "cli":
        gone = []  # the rest of its strings are the commands' help; the builder compares them
    assert (gone, new) == ([], []), "python docs/build.py --update, then translate"
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
    assert apart("```{toctree}\nOf all <a/b>\nc\n```\n", []) == ([], ["Of", "all"])


@pytest.mark.parametrize("words", [build.THEME, build.MENDED], ids=["chinese", "mended"])
def test_pages_are_reworded_and_what_they_no_longer_say_is_noticed(
    words: dict[str, str], tmp_path: Path
) -> None:
    said = [*words]
    page = tmp_path / "docs" / "index.html"
    page.parent.mkdir()
    page.write_text(" ".join(said[1:]), encoding="utf-8")
    assert build.reword(tmp_path, words) == said[:1]
    assert page.read_text(encoding="utf-8") == " ".join([*words.values()][1:])


def test_what_is_mended_is_said_in_chinese_too() -> None:
    labels = r'(?:aria-label|title)=("[^"]+")'
    for said in (labels, "<h1>.+?</h1>"):
        found = re.findall(said, " ".join(build.MENDED.values()))
        assert found
        assert set(found) <= set(build.THEME)


def test_a_list_within_a_list_is_in_one_of_its_points(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    inner = '<ul><li><a href="b">b</a></li>\n<li><a href="c">c</a></li>\n</ul>'
    page.write_text(f'<ul><li><a href="a">a</a></li>\n{inner}<li><a href="d">d</a></li>\n</ul>')
    build.reword(tmp_path, build.MENDED)
    points = ["a", "b", "c", "d"]
    a, b, c, d = (f'<li><a href="{name}">{name}</a>' for name in points)
    assert page.read_text(encoding="utf-8") == (
        f"<ul>{a}\n<ul>{b}</li>\n{c}</li>\n</ul></li>\n{d}</li>\n</ul>"
    )


def test_a_figure_says_what_its_legend_says(tmp_path: Path) -> None:
    """In both languages, whatever stands between the two; and one without is noticed."""
    page = tmp_path / "tutorial.html"
    figure = '<img alt="../_images/{0}.png" src="../_images/{0}.png" />'
    page.write_text(
        '<img alt="a page" src="page.png" />'
        f"{figure.format('a')}</div>\n<p><em>Figure 1.</em> Left: "
        '<msup><mn>2</mn><mi>a</mi></msup> &lt; 2,\nright: "b".</p><p>More.</p>'
        f"{figure.format('b')}<p>Between.</p><p><em>图 2.</em> 学到的自动机。</p>",
        encoding="utf-8",
    )
    assert build.describe(tmp_path) == []
    text = page.read_text(encoding="utf-8")
    told = ["a page", "Left: 2^a &lt; 2, right: &quot;b&quot;.", "学到的自动机。"]
    assert re.findall('alt="(.*?)"', text) == told
    assert re.findall('src="(.*?)"', text) == ["page.png", "../_images/a.png", "../_images/b.png"]
    page.write_text(text + figure.format("c"), encoding="utf-8")
    assert build.describe(tmp_path) == ['tutorial.html: <img alt="../_images/c.png"']


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["tutorial/tutorial", "studies/compiled/compiled"])
def test_every_figure_of_a_notebook_has_a_legend(name: str, language: str) -> None:
    notebook = json.loads((ROOT / f"{name}.{language}.ipynb").read_text(encoding="utf-8"))
    figures = sum(
        any(kind.startswith("image/") for kind in output.get("data", ()))
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
    )
    prose = "\n".join("".join(c["source"]) for c in notebook["cells"] if "outputs" not in c)
    legends = re.findall(r"^\*(?:Figure|图) (\d+)\.\* ", prose, flags=re.MULTILINE)
    assert legends == [str(n) for n in range(1, figures + 1)]


def test_what_is_english_in_the_chinese_site_is_marked(tmp_path: Path) -> None:
    """Whether it is told by the sources that there are."""
    chinese = ["docs/index", "docs/guide", "docs/cli", "tutorial/tutorial", "genindex", "search"]
    english = ["CHANGELOG", "docs/api/judge", "docs/sweeps", "studies/smallest/README"]
    for name in chinese + english:
        path = tmp_path / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('<article role="main" id="main">', encoding="utf-8")
    assert build.say_english(tmp_path) == english
    for name in chinese + english:
        marked = 'lang="en"' in (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        assert marked == (name in english)


def test_a_switch_of_language_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    switch = (
        '<p class="languages"><strong>English</strong> · <a href="zh/{}" hreflang="zh">中文</a>'
    )
    (tmp_path / "zh").mkdir()
    (tmp_path / "zh" / "a.html").touch()
    for name in "ab":
        page = tmp_path / f"{name}.html"
        page.write_text(switch.format(page.name), encoding="utf-8")
    assert build.lost_switches(tmp_path) == ["b.html: zh/b.html"]


def test_how_to_cite_is_said_alike() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    entry = dict(re.findall(r"^  (\w+) *= \{+(.*?)\}+,$", index, flags=re.MULTILINE))
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    said = dict(re.findall(r"^(\w+): (\S.*)$", citation, flags=re.MULTILINE))
    assert entry.pop("author") == re.findall(r"^  - name: (.*)$", citation, flags=re.MULTILINE)[0]
    assert entry == {key: said[key] for key in ("title", "version", "license")}


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
