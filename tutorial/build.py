"""Make the notebooks, of the tutorial and of studies, each in two languages from one source.

    uv run --group tutorial python tutorial/build.py            # run them, write the notebooks
    uv run --group tutorial python tutorial/build.py --check    # run them, compare with those

A source, as `tutorial.py`, is a notebook in jupytext's percent format.  Its code speaks no
language; each of its texts is there twice, one cell marked `lang="en"` and then one marked
`lang="zh"`.  The code is run once, and a cell's outputs go into both notebooks.

A cell of code may be marked by what of it is folded away until the reader asks, in Jupyter and on
the site alike (`FOLDED`): `role="figure"` draws, `role="result"` follows a prediction, and
`role="answer"` solves an exercise.  So each notebook stays one file that runs wherever it is.

The source is refused where a text lacks its translation, or where formulas, code, links or the
levels of headings differ between the two.  A committed notebook is stale when its cells are not the
source's, or when running the code now prints something else: numbers are left out of that
comparison, since machines round differently, and of pictures only the kinds are compared.
"""

import re
import sys
from copy import deepcopy
from itertools import pairwise, zip_longest
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

HERE = Path(__file__).parent
SOURCE = HERE / "tutorial.py"
SOURCES = (SOURCE, HERE.parent / "studies" / "compiled" / "compiled.py")
LANGUAGES = ("en", "zh")

FOLDED = {"figure": ("input",), "result": ("input", "output"), "answer": ("input", "output")}
"""Which parts of a cell are folded away, by its role."""
PROMPTS = {
    "en": {"figure": "The code of the figure", "result": "What happens", "answer": "The answer"},
    "zh": {"figure": "画图的代码", "result": "看结果", "answer": "看答案"},
}
"""What the site writes where something is folded away."""


class BuildError(Exception):
    """What is wrong with the source or with a committed notebook, in one line."""


def path_of(language: str, source: Path = SOURCE) -> Path:
    """Where the notebook of a language is: beside its source."""
    return source.with_suffix(f".{language}.ipynb")


# The source ----------------------------------------------------------------------------


def read(text: str) -> dict[str, NotebookNode]:
    """The notebook of each language, not run, from the text of the source.

    Raises `BuildError` where the languages do not fit together.
    """
    cells = jupytext.reads(text, fmt="py:percent").cells
    split: dict[str, list[NotebookNode]] = {language: [] for language in LANGUAGES}
    waiting: NotebookNode | None = None  # a text whose translation must come next
    for cell in cells:
        language = cell.metadata.get("lang")
        wanted = None if cell.cell_type == "code" else LANGUAGES[waiting is not None]
        if waiting is not None and language != "zh":
            raise BuildError(f"no Chinese follows the text {_brief(waiting)}")
        if language != wanted:
            raise BuildError(f"the cell {_brief(cell)} is marked {language}, not {wanted}")
        if cell.metadata.get("role", "figure") not in FOLDED:
            raise BuildError(f"the cell {_brief(cell)} has a role that is none of {[*FOLDED]}")
        if language is None:
            for notebook in split.values():
                notebook.append(deepcopy(cell))
            continue
        if waiting is not None:
            _compare(waiting, cell)
        waiting = cell if language == "en" else None
        split[language].append(deepcopy(cell))
    if waiting is not None:
        raise BuildError(f"no Chinese follows the text {_brief(waiting)}")
    return {language: _notebook(cells, language) for language, cells in split.items()}


def _notebook(cells: list[NotebookNode], language: str) -> NotebookNode:
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number:02}"  # nbformat's own are random
        cell.metadata = _folding(cell.metadata.get("role"), language)
        if language == "zh" and cell.cell_type == "markdown":
            cell.source = join_lines(cell.source)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(
        cells=cells,
        metadata={"kernelspec": kernel, "language_info": {"name": "python"}, "lang": language},
    )


def _folding(role: str | None, language: str) -> dict[str, object]:
    """What tells Jupyter, and then what tells the site, to fold parts of a cell away."""
    if role is None:
        return {}
    parts = FOLDED[role]
    names = {"input": "source_hidden", "output": "outputs_hidden"}
    prompt = PROMPTS[language][role]
    return {
        "jupyter": {names[part]: True for part in parts},
        "tags": ["hide-cell" if len(parts) > 1 else f"hide-{parts[0]}"],
        "mystnb": {"code_prompt_show": prompt, "code_prompt_hide": prompt},
    }


def join_lines(text: str) -> str:
    """Chinese without line breaks inside paragraphs: browsers would show them as spaces."""
    mark = "，。；：、？！（）“”"
    gapless = rf"(?:[{mark}]\n|[\u4e00-\u9fff]\n[\u4e00-\u9fff{mark}])"  # no space belongs there
    block = r"[-|#><]|\d+\. |```|\$\$|$"  # what begins a line of its own
    joined = ""
    for line, following in pairwise([*text.split("\n"), ""]):
        inside = not line.startswith("#") and not re.match(block, following)
        joined += line + ("" if inside and re.search(gapless, f"{line}\n{following}") else "\n")
    return joined[:-1]


MARKS = {
    "formulas": r"\$\$.+?\$\$|\$.+?\$",
    "code": r"`[^`]+`",
    "headings": r"^#+",
    "rows of tables": r"^(\|)",
    "links": r"\]\((.+?)\)",
    "folds": r"</?(?:details|summary)>",
}
"""What a text and its translation must have alike."""


def _compare(one: NotebookNode, other: NotebookNode) -> None:
    for name, pattern in MARKS.items():
        found = []
        for cell in (one, other):
            # words within formulas and comments within code may be translated
            source = re.sub(r"\\text\{[^}]*\}|#[^\n#]*(?=\n```)", "", cell.source)
            found.append(sorted(re.findall(pattern, source, flags=re.MULTILINE | re.DOTALL)))
        if found[0] != found[1]:
            differing = [
                item for item in found[0] + found[1] if found[0].count(item) != found[1].count(item)
            ]
            raise BuildError(
                f"{name} differ between the languages at {_brief(one)}: {differing[:2]}"
            )


def _brief(cell: NotebookNode) -> str:
    return repr(cell.source.strip().partition("\n")[0][:60])


# Running it ----------------------------------------------------------------------------


def run(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook with the outputs of its code.

    Raises `BuildError` where a cell fails.
    """
    import nbclient

    done = deepcopy(notebook)
    client = nbclient.NotebookClient(
        done,
        timeout=600,
        coalesce_streams=True,
        record_timing=False,
        extra_arguments=["--Application.log_level=ERROR"],
    )
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError as error:
        raise BuildError(f"a cell fails: {error}") from None
    return done


def with_outputs(notebook: NotebookNode, ran: NotebookNode) -> NotebookNode:
    """A notebook with the outputs that the same code gave in another language's."""
    outputs = iter(cell for cell in ran.cells if cell.cell_type == "code")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            source = next(outputs)
            cell.outputs, cell.execution_count = source.outputs, source.execution_count
    return notebook


def made(text: str) -> dict[str, NotebookNode]:
    """The finished notebooks of a source."""
    notebooks = read(text)
    ran = run(notebooks["en"])
    return {language: with_outputs(notebook, ran) for language, notebook in notebooks.items()}


# Comparing -----------------------------------------------------------------------------


def stale_cells(committed: NotebookNode, source: NotebookNode) -> str | None:
    """What is not the source's in a committed notebook, in one line, without running anything."""
    for number, (old, new) in enumerate(zip_longest(committed.cells, source.cells)):
        if old is None or new is None or _content(old) != _content(new):
            return f"cell {number} is not the source's: {_brief(new or old)}"
        if new.cell_type == "code" and not old.execution_count:
            return f"cell {number} was not run: {_brief(old)}"
        if any(output.output_type == "error" for output in old.get("outputs", ())):
            return f"cell {number} failed: {_brief(old)}"
    return None


def stale_outputs(committed: NotebookNode, now: NotebookNode) -> str | None:
    """Where running the code now gives something else, in one line."""
    for number, (old, new) in enumerate(zip(committed.cells, now.cells, strict=True)):
        if old.cell_type == "code" and _shown(old) != _shown(new):
            return f"cell {number} now prints something else: {_brief(old)}"
    return None


def _content(cell: NotebookNode) -> tuple[str, str, NotebookNode]:
    return cell.cell_type, cell.source, cell.metadata


def _shown(cell: NotebookNode) -> list[object]:
    """What a cell prints, and the kinds of what it shows; no progress bars.

    Less its numbers and digests: another processor rounds otherwise, and ends in other weights.
    """
    shown: list[object] = []
    for output in cell.outputs:
        if output.output_type == "stream":
            if output.name == "stdout":
                shown.append(re.sub(r"\b[\da-f]{64}\b|[-\d.,e+]*\d|\s+", " ", output.text).split())
        else:
            shown.append(sorted(output.data))
    return shown


def main(arguments: list[str]) -> None:
    """Write the notebooks, or with `--check` compare them with the source."""
    if arguments not in ([], ["--check"]):
        sys.exit("usage: python tutorial/build.py [--check]")
    try:
        for source in SOURCES:
            _write(source, compare=bool(arguments))
    except (BuildError, OSError) as error:
        sys.exit(f"tutorial: {error}")


def _write(source: Path, *, compare: bool) -> None:
    for language, notebook in made(source.read_text(encoding="utf-8")).items():
        path = path_of(language, source)
        if not compare:
            nbformat.write(notebook, path)
            print(f"{path.relative_to(HERE.parent)}: {path.stat().st_size:,} bytes")
            continue
        committed = nbformat.read(path, as_version=4)
        wrong = stale_cells(committed, notebook) or stale_outputs(committed, notebook)
        if wrong:
            raise BuildError(f"{path.name} is stale: {wrong}")
        print(f"{path.name}: every check passes, and nothing has changed")


if __name__ == "__main__":
    main(sys.argv[1:])
