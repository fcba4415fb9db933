"""Make the documentation site, in English and Chinese.

    uv run --group docs python docs/build.py             # docs/_build/html/index.html
    uv run --group docs python docs/build.py --update    # after a change: what is to be translated

Warnings are errors.  The pages of `TRANSLATED` must be there in Chinese in full: their strings are
in `locale/zh_CN/LC_MESSAGES/docs/*.po`, which `--update` brings in step with the English pages.
What then is new or marked fuzzy is to be translated by hand, and the mark removed.
"""

import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages import pofile
from babel.messages.catalog import Catalog

HERE = Path(__file__).parent
ROOT = HERE.parent
BUILD = HERE / "_build"
SITE = BUILD / "html"
LOCALE = HERE / "locale"
CATALOGUES = LOCALE / "zh_CN" / "LC_MESSAGES" / "docs"
TRANSLATED = ("index", "proof")

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
    sphinx("gettext", folder, "-D", "language=en")
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
    for page in TRANSLATED:
        template, translation = read(templates / f"{page}.pot"), read(catalogues / f"{page}.po")
        wrong += [
            f"{page}.po: not translated: {text}" for text in untranslated(template, translation)
        ]
        known = {message.id for message in template}
        gone = [message.id for message in translation if message.id not in known]
        wrong += [f"{page}.po: no longer in the page: {text}" for text in gone]
    return wrong


def update() -> None:
    """Bring the catalogues in step with the English pages."""
    folder = templates() / "docs"
    for page in TRANSLATED:
        template, path = read(folder / f"{page}.pot"), CATALOGUES / f"{page}.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        translation = read(path) if path.exists() else Catalog(locale="zh_CN", fuzzy=False)
        translation.update(template)
        translation.obsolete.clear()
        translation.header_comment = f"# The Chinese of docs/{page}.md; see docs/build.py."
        translation.project, translation.version = "carrynet", ""
        translation.creation_date = translation.revision_date = NO_DATE
        with path.open("wb") as file:
            pofile.write_po(file, translation, width=100, omit_header=False)
        left = untranslated(template, translation)
        print(f"{path.relative_to(ROOT)}: {len(left)} to translate")


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
    sphinx("html", SITE, "-W", "--keep-going", "-D", "language=en")
    sphinx("html", SITE / "zh", "-W", "--keep-going", "-D", "language=zh_CN")
    (SITE / "index.html").write_text(REDIRECT, encoding="utf-8")
    if wrong := from_networks(SITE):
        sys.exit("docs: these pages need a network:\n" + "\n".join(wrong))
    print(f"{(SITE / 'index.html').relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
