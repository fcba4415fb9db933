"""Sphinx's settings; `docs/build.py` makes the site.

The source folder is the repository itself, so that links between documents are the same on the site
as in a clone.  Nothing that a page needs comes from a network: fonts are the reader's own, and
formulas become MathML, by a library of Python's and not by a script in the page.

Each language has a site of its own (`-t chinese`), with the same addresses: `X.zh-CN.md` or
`X.zh.ipynb` is the Chinese of `X.md` or `X.en.ipynb`, and takes its place; other pages are
translated by their strings, in `locale`, or stay English.
"""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml import converter
from sphinx.application import Sphinx

import carrynet
from carrynet.spec.stage import accepted

ROOT = Path(__file__).parents[1]
CHINESE = tags.has("chinese")  # type: ignore[name-defined]  # noqa: F821 - Sphinx's
OTHER_LANGUAGE = re.compile(
    r"^English \| \[简体中文\].*|^\[English\].* \| 简体中文$| \(\[in Chinese\]\([^)]*\)\)",
    re.MULTILINE,
)

project = "carrynet"
author = "The carrynet authors"
copyright = "The carrynet authors"  # noqa: A001 - Sphinx's name
version = release = carrynet.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_copybutton",
]
if not CHINESE:
    extensions.append("sphinx.ext.viewcode")  # once will do
root_doc = "docs/index"
language = "zh_CN" if CHINESE else "en"
include_patterns = [
    "docs/*.md",
    "docs/api/*.md",
    "docs/howto/*.md",
    "studies/*/*.md",
    "studies/*/*.ipynb",
    "tutorial/*.ipynb",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = ["**/.*", "**/node_modules", "runs"]
if CHINESE:
    suffixes = (".zh.ipynb", ".en.ipynb", ".zh-CN.md", ".md")  # as links have them
    source_suffix = dict.fromkeys(suffixes, "myst-nb")
    translated = [*ROOT.glob("docs/*.zh-CN.md"), *ROOT.glob("studies/*/*.zh-CN.md")]
    exclude_patterns += ["**/*.en.ipynb"]
    exclude_patterns += [
        path.relative_to(ROOT).as_posix().replace(".zh-CN.md", ".md") for path in translated
    ]
else:
    source_suffix = {".en.ipynb": "myst-nb", ".md": "myst-nb"}
    exclude_patterns += ["**/*.zh.ipynb", "**/*.zh-CN.md"]

nb_execution_mode = (
    "off"  # notebooks are run by their own builder, and committed with their outputs
)
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = [
    "mystnb.unknown_mime_type",
    "ref.python",  # `Mapping` is Python's, and a class of ours
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = "carrynet"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["carrynet.css"]
html_js_files = [("scroll.js", {"defer": "defer"})]
templates_path = ["_templates"]
html_show_sourcelink = False
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_copy_source = False

locale_dirs = [str(Path(__file__).parent / "locale")]  # else beside the sources
gettext_compact = False
gettext_location = False  # a moved line is no change
gettext_uuid = False


def mathml(latex: str, display: str) -> str:
    """A formula as MathML, which every browser draws by itself."""
    written = str(converter.convert(latex, display=display))
    # a bar is no relation here but one of a pair, with no space beside it
    return re.sub(
        r"<mo[^>]*>(&#x0007C;|\|)</mo>",
        r'<mo stretchy="false" lspace="0" rspace="0">|</mo>',
        written,
    )


def visit_math(self: Any, node: nodes.math) -> None:
    """Write a formula that stands in a line."""
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(self: Any, node: nodes.math_block) -> None:
    """Write a formula that stands by itself."""
    self.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def restructured(lines: list[str]) -> Iterator[str]:
    """A docstring as reStructuredText: ours are plain text, with `code` and indented formulas."""
    literal = example = False
    before = ""
    for line in lines:
        if line.strip():
            indented = line.startswith("    ")
            example = line.startswith(">>>") or (example and bool(before.strip()))
            if indented and not literal and not before.strip():
                yield from ("::", "")
            literal = indented and (literal or not before.strip())
            yield line if literal or example else prose(line)
        else:
            example = False
            yield line
        before = line


def prose(line: str) -> str:
    """A line of text in which nothing but code and emphasis is markup."""
    parts = re.split(r"(`[^`]+`|(?<![\w*])\*[^\W\d][\w' ]*\*(?![\w*]))", line)
    parts[::2] = [re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", text) for text in parts[::2]]
    parts[1::2] = [f"`{code}`" if code[0] == "`" else code for code in parts[1::2]]
    return "".join(parts)


def rewrite(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Autodoc's hook, for each docstring; settings bring theirs with them."""
    lines[:] = restructured(list(lines))
    if what == "class" and is_dataclass(thing):
        for setting in filter(lambda field: field.metadata, fields(thing)):
            text = "; ".join(filter(None, (setting.metadata["help"], accepted(setting))))
            lines.append(f":param {setting.name}: {prose(text)}")


def stay(app: Sphinx, docname: str, source: list[str]) -> None:
    """Sphinx's hook, for each text: the site has its own way to the other language."""
    source[0] = OTHER_LANGUAGE.sub("", source[0])


FRONT = """
<div id="front"><div slot="ways" class="ways">
<p class="front-file"><a href="{root}adder.html" download>{download}</a> · <a
href="{root}adder.html">{whole}</a></p>
<nav aria-label="{ways}"><a href="../tutorial/tutorial.html"><strong>{learn}</strong> {tutorial}</a>
<a href="#use"><strong>{use}</strong> {commands}</a>
<a href="#cite"><strong>{cite}</strong> {entry}</a></nav></div></div>
<script src="{root}adder.js" defer></script>
<script src="{static}front.js" defer></script>
"""
"""What the site shows where `index.md` has a picture of the page, which GitHub shows.

What is in `ways` then stands below the network's verdict: `front.js` has the place for it.
"""
WAYS = (
    {
        "download": "下载：一个文件，不用安装，直接从磁盘打开",
        "whole": "整个页面",
        "ways": "三条路",
        "learn": "学习",
        "tutorial": "教程：亲手写出这个网络，一直走到证明",
        "use": "使用",
        "commands": "两条命令：训练你自己的网络，并证明它",
        "cite": "引用",
        "entry": "写论文时用的条目",
    }
    if CHINESE
    else {
        "download": "Download: one file, which opens from a disk",
        "whole": "The whole page",
        "ways": "Three ways on",
        "learn": "Learn",
        "tutorial": "The tutorial: write this network yourself, and go on to its proof",
        "use": "Use",
        "commands": "Two commands: train and prove a network of your own",
        "cite": "Cite",
        "entry": "The entry for your paper",
    }
)


def live(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Sphinx's hook, for each page: on the front page the network itself takes its picture's place.

    `build.py` makes `adder.js` and `adder.html`, once for both languages.
    """
    if docname != root_doc or app.builder.format != "html":
        return
    (picture,) = doctree.findall(nodes.image)
    ways = {"root": "../../" if CHINESE else "../", "static": "../_static/", **WAYS}
    # in place of its paragraph, which holds no blocks
    picture.parent.replace_self(nodes.raw("", FRONT.format(**ways), format="html"))


def setup(app: Sphinx) -> None:
    """Sphinx's hook."""
    app.connect("doctree-resolved", live)
    app.connect("source-read", stay)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("autodoc-process-docstring", rewrite)
