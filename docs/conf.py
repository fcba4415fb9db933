"""Sphinx's settings; `docs/build.py` makes the site.

The source folder is the repository itself, so that links between documents are the same on the site
as in a clone.  Nothing that a page needs comes from a network: fonts are the reader's own, and
formulas become MathML.
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

project = "carrynet"
author = "The carrynet authors"
copyright = "The carrynet authors"  # noqa: A001 - Sphinx's name
version = release = carrynet.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/howto/*.md",
    "studies/*/*.md",
    "studies/*/*.ipynb",
    "tutorial/*.ipynb",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = ["**/.*", "**/node_modules", "runs"]

nb_execution_mode = (
    "off"  # notebooks are run by their own builder, and committed with their outputs
)
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = "carrynet"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["carrynet.css"]
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
    return str(converter.convert(latex, display=display))


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
    """A line of text in which nothing but code is markup."""
    parts = re.split(r"(`[^`]+`)", line)
    parts[::2] = [re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", text) for text in parts[::2]]
    parts[1::2] = [f"`{code}`" for code in parts[1::2]]
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


def setup(app: Sphinx) -> None:
    """Sphinx's hook."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("autodoc-process-docstring", rewrite)
