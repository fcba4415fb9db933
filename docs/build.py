"""Make the documentation site, in English and Chinese.

    uv run --group docs python docs/build.py             # docs/_build/html/index.html
    uv run --group docs python docs/build.py --update    # after a change: what is to be translated

Warnings are errors.  The pages of `TRANSLATED` must be there in Chinese in full: their strings are
in `locale/zh_CN/LC_MESSAGES/docs/*.po`, which `--update` brings in step with the English pages.
What then is new or marked fuzzy is to be translated by hand, and the mark removed.
"""

import base64
import html
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages import pofile
from babel.messages.catalog import Catalog

import carrynet as cn
from carrynet.report import page

HERE = Path(__file__).parent
ROOT = HERE.parent
BUILD = HERE / "_build"
SITE = BUILD / "html"
LOCALE = HERE / "locale"
CATALOGUES = LOCALE / "zh_CN" / "LC_MESSAGES" / "docs"
HOWTO = (
    *("task", "machine", "pytorch", "onnx", "keras", "extract"),
    *("microcontroller", "certificate", "compile"),
)
TRANSLATED = ("index", "proof", *(f"howto/{name}" for name in HOWTO), "cli", "files")

MENDED = {
    '<p class="caption" role="heading"': '<p class="caption" role="heading" aria-level="2"',
    '<summary aria-label="Toggle hidden content">': "<summary>",  # it has a text, which says more
    '<aside class="sidebar-drawer"': '<aside aria-label="All pages" class="sidebar-drawer"',
    '<aside class="toc-drawer': '<aside aria-label="On this page" class="toc-drawer',
    # parameters are no definitions
    '<dl>\n<dd><em class="sig-param">': '<ul>\n<li><em class="sig-param">',
    '</em>,</dd>\n<dd><em class="sig-param">': '</em>,</li>\n<li><em class="sig-param">',
    "</em>,</dd>\n</dl>": "</em>,</li>\n</ul>",
    # above what needs no name there is no heading
    '<th class="head"><p></p></th>': '<td class="head"></td>',
    '<th class="head text-right"><p></p></th>': '<td class="head"></td>',
    # the theme leaves the page of the search without a heading
    '<noscript>\n<div class="admonition error">': (
        '<h1>Search</h1>\n<noscript>\n<div class="admonition error">'
    ),
    # what is in a module is in its point of the list
    "</a></li>\n<ul><li>": "</a>\n<ul><li>",
    "</li>\n</ul><li>": "</li>\n</ul></li>\n<li>",
}
"""What a reader who listens would miss in the pages as they are made, and what it becomes."""

THEME = {
    ">Next<": ">下一页<",
    ">Previous<": ">上一页<",
    ">Home<": ">首页<",
    ">Menu<": ">菜单<",
    ">Expand<": ">展开<",
    ">Light mode<": ">浅色<",
    ">Dark mode<": ">深色<",
    ">Auto light/dark, in light mode<": ">随系统，现在是浅色<",
    ">Auto light/dark, in dark mode<": ">随系统，现在是深色<",
    ">Skip to content<": ">跳到正文<",
    ">Back to top<": ">回到顶部<",
    '"Toggle site navigation sidebar"': '"显示或隐藏导航"',
    '"Toggle table of contents sidebar"': '"显示或隐藏本页目录"',
    '"Toggle Light / Dark / Auto color theme"': '"切换浅色、深色或随系统"',
    "On this page\n": "本页目录\n",
    '"On this page"': '"本页目录"',
    '"All pages"': '"所有页面"',
    "<h1>Search</h1>": "<h1>搜索</h1>",
    "Copyright &#169; The carrynet authors\n": "版权所有 &#169; carrynet 作者\n",
    "Made with <a": "制作工具：<a",
    '</a> and <a class="muted-link"': '</a> 和 <a class="muted-link"',
    "@pradyunsg</a>'s": "@pradyunsg</a> 的",
    "Please activate JavaScript to enable the search functionality.": "搜索需要启用 JavaScript。",
}
"""What theme and `MENDED` say, which has no translation of its own, as it stands in the pages."""

WORDLESS = re.compile(r"`[^`]*`|\$[^$]*\$|\\[a-z]+(?:\{\w+\})?")
"""What is the same in every language: code and formulas."""

NO_DATE = datetime(2026, 1, 1, tzinfo=UTC)  # a format's duty; equal catalogues are equal files

REDIRECT = """<!doctype html>
<meta charset="utf-8">
<title>carrynet</title>
<meta http-equiv="refresh" content="0; url=docs/index.html">
<a href="docs/index.html">carrynet</a>
"""


def sphinx(builder: str, target: Path, *options: str) -> None:
    """Run Sphinx over the repository; ends the process where it fails."""
    command = [sys.executable, "-m", "sphinx", "-b", builder, "-c", HERE, *options]
    command += ["-d", BUILD / "doctrees" / target.name, "-q", ROOT, target]
    done = subprocess.run([str(part) for part in command], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def templates() -> Path:
    """The strings of the English pages, written anew: a folder of .pot files."""
    folder = BUILD / "gettext"
    # the index and what it names, without what takes long; of links into the rest the site warns
    pages = "docs/*.md,docs/howto/*.md,studies/*/README.md,*.md"
    sphinx("gettext", folder, "-Q", "-D", f"include_patterns={pages}")
    return folder


def read(path: Path) -> Catalog:
    """A catalogue of strings."""
    with path.open("rb") as file:
        return pofile.read_po(file)


def untranslated(template: Catalog, translation: Catalog) -> list[str]:
    """The strings of a page that its translation lacks, leaves empty or marks fuzzy."""
    missing = []
    for message in template:
        if message.id:
            found = translation.get(message.id)
            if found is None or not found.string or found.fuzzy:
                missing.append(str(message.id))
    return missing


def from_networks(folder: Path) -> list[str]:
    """What pages would fetch from a network to be shown, links to be followed aside."""
    fetched = r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^>]*>"""
    fetched += r"""|<link\b[^>]*\bhref=["']?(?:https?:)?//[^>]*>|@import[^;]*//[^;]*;"""
    fetched += r"""|url\(["']?(?:https?:)?//[^)]*\)"""
    return [
        f"{path.relative_to(folder)}: {found}"
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".html", ".css")
        for found in re.findall(fetched, path.read_text(encoding="utf-8"))
    ]


def check_translations(templates: Path, catalogues: Path = CATALOGUES) -> list[str]:
    """What is wrong with the translations, one line each."""
    wrong = []
    for name in TRANSLATED:
        template, translation = read(templates / f"{name}.pot"), read(catalogues / f"{name}.po")
        wrong += [
            f"{name}.po: not translated: {text}" for text in untranslated(template, translation)
        ]
        known = {message.id for message in template}
        gone = [message.id for message in translation if message.id not in known]
        wrong += [f"{name}.po: no longer in the page: {text}" for text in gone]
    return wrong


def update() -> None:
    """Bring the catalogues in step with the English pages."""
    folder = templates() / "docs"
    for name in TRANSLATED:
        template, path = read(folder / f"{name}.pot"), CATALOGUES / f"{name}.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        translation = read(path) if path.exists() else Catalog(locale="zh_CN", fuzzy=False)
        translation.update(template)
        for message in translation:
            if message.id and not re.search("[A-Za-z]{2}", WORDLESS.sub("", str(message.id))):
                message.string = message.id
        translation.obsolete.clear()
        translation.header_comment = f"# The Chinese of docs/{name}.md; see docs/build.py."
        translation.project, translation.version = "carrynet", ""
        translation.creation_date = translation.revision_date = NO_DATE
        with path.open("wb") as file:
            pofile.write_po(file, translation, width=100, omit_header=False)
        left = untranslated(template, translation)
        print(f"{path.relative_to(ROOT)}: {len(left)} to translate")


def reword(folder: Path, words: dict[str, str]) -> list[str]:
    """Put words in the place of others, in all pages; those that no page has."""
    unsaid = set(words)
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for old, new in words.items():
            if old in text:
                unsaid.discard(old)
                text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    return sorted(unsaid)


FIGURE = re.compile(r'(<img )alt="[^"]*_images/[^"]*"')
LEGEND = re.compile(r"<p><em>(?:Figure|图) \d+\.</em>(.*?)</p>", re.DOTALL)


def text_of(marked: str) -> str:
    """What is said in HTML, in one line; powers and indices as they are typed."""
    for raised, sign in (("msup", "^"), ("msub", "_")):
        marked = re.sub(rf"(<{raised}><m[in]>[^<]*</m[in]>)", rf"\1{sign}", marked)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", marked)).split())


def describe(folder: Path) -> list[str]:
    """Let a figure of a notebook say what the legend below it says; those with none, by page."""
    bare = []
    for path in sorted(folder.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        described, at = "", 0
        for figure in FIGURE.finditer(text):
            legend = LEGEND.search(text, figure.end())
            if not legend:
                bare.append(f"{path.relative_to(folder)}: {figure[0]}")
                continue
            alt = html.escape(text_of(legend[1]))
            described += text[at : figure.start()] + f'{figure[1]}alt="{alt}"'
            at = figure.end()
        if at:
            path.write_text(described + text[at:], encoding="utf-8")
    return bare


ARTICLE = '<article role="main"'
PERMALINK = 'title="链接到此标题。"', 'title="Link to this heading"'


def is_english(name: str) -> bool:
    """Whether a page of the Chinese site, by its source without an ending, is in English only."""
    if name.removeprefix("docs/") in TRANSLATED or name.startswith("_modules/"):
        return False
    chinese = (ROOT / f"{name}{ending}" for ending in (".zh-CN.md", ".zh.ipynb"))
    # what has no source is made by Sphinx, which speaks Chinese
    return (ROOT / f"{name}.md").exists() and not any(each.exists() for each in chinese)


def say_english(folder: Path) -> list[str]:
    """Mark what is in English within the Chinese site, as those who listen need; these pages."""
    marked = []
    for path in sorted(folder.rglob("*.html")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if is_english(name):
            text = path.read_text(encoding="utf-8").replace(*PERMALINK)
            path.write_text(text.replace(ARTICLE, f'{ARTICLE} lang="en"'), encoding="utf-8")
            marked.append(name)
    return marked


def lost_switches(folder: Path) -> list[str]:
    """The pages from which the way to the other language leads nowhere."""
    switch = re.compile(r'<p class="languages">.*?href="([^"]+)"', re.DOTALL)
    return [
        f"{path.relative_to(folder)}: {target}"
        for path in sorted(folder.rglob("*.html"))
        for target in switch.findall(path.read_text(encoding="utf-8"))
        if not (path.parent / target).is_file()
    ]


def make_front(folder: Path) -> None:
    """A network, trained and proved now, as one file and as what the front page shows of it."""
    run = cn.train(progress=False)
    if run.proof.verdict != "proved":
        sys.exit(f"docs: the front page says that its network is proved; it is {run.proof.verdict}")
    page.write(run, folder / "adder.html")
    views = (Path(page.__file__).parent / "view.mjs").read_bytes()
    script = "data:text/javascript;base64," + base64.b64encode(views).decode()
    shown = json.dumps({"script": script, "model": page.model(run)}, allow_nan=False)
    (folder / "adder.js").write_text(f"const adder = {shown};\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Build the site, or with `--update` the catalogues."""
    if arguments == ["--update"]:
        update()
        return
    if arguments:
        sys.exit("usage: python docs/build.py [--update]")
    if wrong := check_translations(templates() / "docs"):
        sys.exit("\n".join(wrong) + "\ndocs: 'python docs/build.py --update', then translate")
    shutil.rmtree(SITE, ignore_errors=True)
    for site, options in ((SITE, ()), (SITE / "zh", ("-t", "chinese"))):
        sphinx("html", site, "-W", "--keep-going", *options)
        (site / "index.html").write_text(REDIRECT, encoding="utf-8")
    make_front(SITE)
    if bare := describe(SITE):
        sys.exit("docs: these figures have no legend:\n" + "\n".join(bare))
    say_english(SITE / "zh")
    if unsaid := reword(SITE, MENDED) + reword(SITE / "zh", THEME):
        sys.exit("docs: the pages no longer say:\n" + "\n".join(unsaid))
    if lost := lost_switches(SITE):
        sys.exit("docs: the other language is not there:\n" + "\n".join(lost))
    if wrong := from_networks(SITE):
        sys.exit("docs: these pages need a network:\n" + "\n".join(wrong))
    print(f"{(SITE / 'index.html').relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
