"""The site's scripts in a browser: the front page's network, and what is wider than the page."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from docs import build
from tests.test_view import AXE, VIOLATIONS, browser, pytestmark

__all__ = ["browser", "pytestmark"]

STRINGS = json.loads((build.ROOT / "page" / "src" / "strings.json").read_text(encoding="utf-8"))
SCRIPTS = Path(build.__file__).parent / "_static"
INDEX = """<!doctype html><html lang="{lang}"><meta charset="utf-8"><title>carrynet</title>
<body data-theme="dark" style="background: #131416"><article role="main">
<div id="front"><nav slot="ways" aria-label="ways"><a href="#use">use</a></nav></div>
<script src="adder.js"></script><script src="front.js"></script></article>"""
WIDE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>wide</title>
<style>pre {{ overflow: auto; }}</style>
<main><h1>Code</h1><pre id="narrow">short</pre><pre id="wide">{0}</pre>
<details><summary>More</summary><pre id="hidden">{0}</pre></details></main>
<script src="scroll.js"></script>"""

API = """<!doctype html><html lang="{lang}"><meta charset="utf-8"><title>Python</title>
<main><h1>Python</h1>
<dl class="py class"><dt class="sig sig-object py" id="a.B">B<span class="sig-paren">(</span>

<dl>
<dd><em class="sig-param"><span class="n">digits</span>: int</em>,</dd>
<dd><em class="sig-param"><span class="n">pairs</span>: int</em>,</dd>
</dl>

<span class="sig-paren">)</span></dt><dd><p>What was counted.</p></dd></dl>
<table><thead><tr><th class="head"><p></p></th>
<th class="head text-right"><p></p></th>
<th class="head"><p>right</p></th></tr></thead>
<tbody><tr><td>8</td><td>9</td><td>1</td></tr></tbody></table></main>"""
"""A page of Python and its tables, as Sphinx makes them."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `build.py` makes for the front page, and a page of each language that shows it."""
    folder = tmp_path_factory.mktemp("site")
    build.make_front(folder)
    for script in SCRIPTS.glob("*.js"):
        (folder / script.name).write_bytes(script.read_bytes())
    (folder / "wide.html").write_text(WIDE.format("wide " * 100), encoding="utf-8")
    for lang in ("en", "zh-CN"):
        (folder / f"{lang}.html").write_text(INDEX.format(lang=lang), encoding="utf-8")
    return folder


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Of a reader with neither language, in whom nothing may go wrong, nor out."""
    complaints: list[str] = []
    page = browser.new_page(locale="fr-FR", color_scheme="light")
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    yield page
    page.close()
    local = ("file:", "data:", "blob:")
    assert [told for told in complaints if not told.startswith(local)] == []


@pytest.mark.parametrize("lang", ["en", "zh-CN"])
def test_it_adds_and_trains(lang: str, site: Path, page: Page) -> None:
    start = STRINGS["train.start"][lang[:2]]
    page.goto((site / f"{lang}.html").as_uri())
    page.get_by_role("button", name=start, exact=True).wait_for()
    shown = page.locator("section:visible").evaluate_all("all => all.map(one => one.id)")
    assert shown == ["verdict", "calculator", "train"]
    page.locator("#operand-0").fill("1000")
    page.locator("#operand-1").fill("24")
    page.locator(".equation", has_text="1000 + 24 = 1024").first.wait_for()
    page.get_by_role("button", name=start, exact=True).click()
    page.get_by_role("button", name=start, exact=True).wait_for(state="hidden")


def test_the_ways_on_stand_below_the_verdict_however_often_it_is_drawn(
    site: Path, page: Page
) -> None:
    page.goto((site / "en.html").as_uri())
    ways, verdict = page.locator("#front > nav"), page.locator("section#verdict")

    def check_place() -> None:
        page.locator("section#train").wait_for()
        above, below = verdict.bounding_box(), page.locator("section#calculator").bounding_box()
        between = ways.bounding_box()
        assert above
        assert between
        assert below
        assert above["y"] + above["height"] <= between["y"]
        assert between["y"] + between["height"] <= below["y"]

    check_place()
    page.locator(".language").evaluate("button => button.click()")
    page.get_by_role("heading", name=STRINGS["train"]["zh"]).wait_for()
    check_place()


def test_it_follows_the_colours_that_are_chosen(site: Path, page: Page) -> None:
    page.goto((site / "en.html").as_uri())
    for chosen, seen in (("dark", "dark"), ("light", "light"), ("dark", "dark"), ("auto", "light")):
        page.evaluate("chosen => document.body.dataset.theme = chosen", chosen)
        page.locator(f'.page[data-theme="{seen}"]').wait_for()
    page.emulate_media(color_scheme="dark")
    page.locator('.page[data-theme="dark"]').wait_for()


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core: npm install in page/")
@pytest.mark.parametrize("lang", ["en", "zh-CN"])
def test_it_is_a_part_of_its_page_as_axe_sees_it(lang: str, site: Path, page: Page) -> None:
    page.goto((site / f"{lang}.html").as_uri())
    page.locator("section#train").wait_for()
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert page.evaluate(VIOLATIONS) == []
    page.locator(".language").evaluate("button => button.click()")  # and when it is drawn anew
    page.get_by_role("heading", name=STRINGS["train"]["en" if lang == "zh-CN" else "zh"]).wait_for()
    assert page.locator("main").count() == 0
    assert page.evaluate(VIOLATIONS) == []


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core: npm install in page/")
@pytest.mark.parametrize("lang", ["en", "zh-CN"])
def test_pages_of_python_are_mended(lang: str, tmp_path: Path, page: Page) -> None:
    """Of what Sphinx makes axe complains; not of what becomes of it."""
    file = tmp_path / "api.html"
    file.write_text(API.format(lang=lang), encoding="utf-8")
    for told in (["definition-list", "empty-table-header"], []):
        page.goto(file.as_uri())
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert [rule for rule, _ in page.evaluate(VIOLATIONS)] == told
        build.reword(tmp_path, build.MENDED)
    assert page.locator("li").all_inner_texts() == ["digits: int,", "pairs: int,"]


def test_tab_stops_at_what_is_wider_than_the_page(site: Path, page: Page) -> None:
    page.goto((site / "wide.html").as_uri())
    page.locator("#wide[tabindex='0']").wait_for()
    assert page.locator("[tabindex]").count() == 1
    page.locator("summary").click()
    page.locator("#hidden[tabindex='0']").wait_for()
    page.set_viewport_size({"width": 6000, "height": 400})
    page.locator("#wide:not([tabindex])").wait_for()


def test_the_one_file_is_the_whole_page(site: Path, page: Page) -> None:
    page.goto((site / "adder.html").as_uri())
    page.locator("section#train").wait_for()
    assert page.locator("section:visible").count() > 3
