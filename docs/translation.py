"""Do the Chinese documents still follow the English ones: README.zh-CN.md README.md, and so on?

    python docs/translation.py                    # what does not, and what changed in English
    python docs/translation.py --update "Try it"  # that section has been brought up to date

After its heading each Chinese section names the English one that it follows, with a hash of
the English text as it was then:

    ## 试一试
    <!-- follows "Try it" 1a2b3c4d5e6f -->

The documents are README.md and those of `DOCUMENTS`.  Sections are those of level 2; what comes
before the first is "introduction".  A section is
stale when its English text has changed since, other than in white space.  Whether or not it has,
both must have the same commands (code without comments), the same files in their trees, the same
inline code and links (or ones to the Chinese document of a pair), the same numbers in each cell of
a table, and elsewhere the same numbers of two digits and more (a shorter one may be a word).
`--update` wants names, and stamps no section in which these differ: only what reads well is left to
whoever stamps it.
"""

import argparse
import difflib
import hashlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

README = "README.md"
DOCUMENTS = (
    "docs/guide.md",
    "docs/architecture.md",
    "docs/benchmarks.md",
    "studies/regular/README.md",
    "studies/tutorial/README.md",
)
INTRODUCTION = "introduction"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STAMP = re.compile(r'^<!-- follows "([^"]*)"(?: ([0-9a-f]{12}))? -->$')
NUMBER = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?")
# a comment, other than one that directs doctest
COMMENT = re.compile(r"(?:^|\s+)#(?! doctest:).*$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A section of a README: its name, what it follows, and its text."""

    heading: str
    text: str  # without the heading and the stamp
    follows: str | None = None
    stamp: str | None = None

    @cached_property
    def digest(self) -> str:
        """What a translation of this text is stamped with."""
        words = " ".join(f"{self.heading}\n{self.text}".split())
        return hashlib.sha256(words.encode()).hexdigest()[:12]

    @cached_property
    def facts(self) -> dict[str, list[str]]:
        """What does not depend on the language, by kind, in order where order matters."""
        prose = FENCE.sub("", self.text)
        tables = [line for line in prose.splitlines() if line.startswith("|")]
        rest = "\n".join(line for line in prose.splitlines() if not line.startswith("|"))
        # numbers in code and in addresses are compared as such
        plain = re.sub(r"`[^`]+`|\]\([^)]*\)", " ", rest)
        return {
            "code": [
                f"{language}: {line}"
                for language, code in FENCE.findall(self.text)
                for line in (_files(code) if not language else _commands(code))
            ],
            "numbers in tables": [" | ".join(_numbers(line)) for line in tables],
            "inline code": sorted(re.findall(r"`([^`]+)`", prose)),
            "links": sorted(re.findall(r"\]\(([^)]*)\)", prose.replace(".zh-CN.md", ".md"))),
            "numbers": sorted(n for n in NUMBER.findall(plain) if len(n) > 1),
        }


def _commands(code: str) -> list[str]:
    return [line for line in COMMENT.sub("", code).splitlines() if line.strip()]


def _files(tree: str) -> list[str]:
    """The files and folders that a tree names, whatever is said of them."""
    return re.findall(r"[\w.-]+(?:/|\.\w+)", tree, flags=re.ASCII)


def _numbers(row: str) -> list[str]:
    return [" ".join(sorted(NUMBER.findall(cell))) for cell in row.strip("|").split("|")]


@dataclass(frozen=True)
class Pair:
    """A document and its translation, by their names."""

    english: str

    @property
    def chinese(self) -> str:
        """The name of the translation."""
        return self.english.replace(".md", ".zh-CN.md")

    def line(self, name: str) -> str:
        """The line that leads from one of them to the other."""
        if name == self.english:
            return f"English | [简体中文]({Path(self.chinese).name})"
        return f"[English]({Path(self.english).name}) | 简体中文"

    def read(self, folder: Path, name: str) -> list[Section]:
        """The sections of one of them, without that line."""
        return sections((folder / name).read_text(encoding="utf-8"), self.line(name))


def pairs(folder: Path) -> list[Pair]:
    """The documents of a folder that are to be there in both languages."""
    return [Pair(README), *(Pair(name) for name in DOCUMENTS if (folder / name).exists())]


def sections(text: str, language_line: str = "") -> list[Section]:
    """The sections of a document, in order."""
    bodies: list[tuple[str, list[str]]] = [(INTRODUCTION, [])]
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            bodies.append((line.removeprefix("## ").strip(), []))
        elif line != language_line:
            bodies[-1][1].append(line)
    return [_section(heading, lines) for heading, lines in bodies]


def _section(heading: str, lines: list[str]) -> Section:
    stamps = [found for line in lines if (found := STAMP.match(line))]
    text = "\n".join(line for line in lines if not STAMP.match(line))
    follows, stamp = stamps[0].groups() if len(stamps) == 1 else (None, None)
    return Section(heading, text, follows, stamp)


def problems(folder: Path, pair: Pair) -> Iterator[str]:
    """What is wrong with a Chinese document, a paragraph each."""
    for name in (pair.english, pair.chinese):
        line = pair.line(name)
        if line not in (folder / name).read_text(encoding="utf-8").splitlines()[:_FIRST]:
            yield f"{name}: its first lines lack '{line}'"
    english, chinese = (pair.read(folder, name) for name in (pair.english, pair.chinese))
    names = [section.heading for section in english]
    for section in chinese:
        if section.follows is None:
            yield f'{section.heading}: needs one line <!-- follows "NAME" --> after its heading'
        elif section.follows not in names:
            yield f"{section.heading}: follows '{section.follows}', which is not in {pair.english}"
    follows = [section.follows for section in chinese if section.follows in names]
    for name in names:
        if follows.count(name) != 1:
            yield f"{name}: {follows.count(name)} sections of {pair.chinese} follow it, not one"
    if (kept := [name for name in names if name in follows]) != follows:
        yield f"{pair.chinese}: the order is {follows}, in English {kept}"
    for section in chinese:
        if section.follows in names:
            original = english[names.index(section.follows)]
            yield from differences(original, section)
            if section.stamp != original.digest:
                change = _since(folder, pair, section.stamp, original)
                yield f"{original.heading}: the English text has changed\n{change}".rstrip()


_FIRST = 10  # lines, with what Sphinx is told before the title


def differences(original: Section, translated: Section) -> Iterator[str]:
    """Where commands, numbers or links of a section and its translation differ."""
    for kind, ours in original.facts.items():
        theirs = translated.facts[kind]
        if ours != theirs:
            lost, gained = Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)
            said = f"; in English {[*lost]}, in Chinese {[*gained]}" if lost or gained else ""
            yield f"{original.heading}: not the same {kind}{said}"


def _since(folder: Path, pair: Pair, stamp: str | None, now: Section) -> str:
    """A diff from the English text that a translation was made of, where git still has it."""
    if stamp is None:
        return ""
    name = pair.english
    try:
        for commit in _git(folder, "log", "--format=%H", "--", name).split():
            text = _git(folder, "show", f"{commit}:./{name}")
            for then in sections(text, pair.line(name)):
                if then.digest == stamp:
                    ends = f"{name} at {commit[:12]}", f"{name} now"
                    lines = then.text.splitlines(), now.text.splitlines()
                    return "\n".join(difflib.unified_diff(*lines, *ends, lineterm="", n=2))
    except (OSError, subprocess.CalledProcessError):
        pass  # no git, or no repository: then without
    return ""


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, encoding="utf-8"
    )
    return done.stdout


def update(folder: Path, names: list[str]) -> str | None:
    """Stamp the sections that follow the named ones; else return why not, with nothing stamped."""
    found = pairs(folder)
    known = [section.heading for pair in found for section in pair.read(folder, pair.english)]
    for name in names:
        if name not in known:
            return f"no section '{name}' in {README}: there are {', '.join(known)}"
    texts: dict[Path, str] = {}
    for pair in found:
        english = {section.heading: section for section in pair.read(folder, pair.english)}
        chinese = {section.follows: section for section in pair.read(folder, pair.chinese)}
        path = folder / pair.chinese
        text = path.read_text(encoding="utf-8")
        for name in names:
            if name not in english:
                continue
            if name not in chinese:
                return f"no section of {pair.chinese} follows '{name}'"
            if wrong := list(differences(english[name], chinese[name])):
                return "\n".join(wrong)
            stamped = f'<!-- follows "{name}" {english[name].digest} -->'
            anyhow = rf'^<!-- follows "{re.escape(name)}".*-->$'
            text = re.sub(anyhow, stamped, text, flags=re.MULTILINE)
        texts[path] = text
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--update", nargs="+", metavar="SECTION", help="English names")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1])
    options = parser.parse_args()
    if options.update and (refused := update(options.folder, options.update)):
        print(refused, file=sys.stderr)
        return 2
    wrong = False
    for pair in pairs(options.folder):
        found = list(problems(options.folder, pair))
        print("\n\n".join(found) or f"{pair.chinese} follows {pair.english}")
        wrong |= bool(found)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
