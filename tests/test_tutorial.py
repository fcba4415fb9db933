"""The tutorial's notebooks follow its source, and its builder refuses what does not fit."""

import re
from copy import deepcopy
from hashlib import sha256
from pathlib import Path

import nbformat
import pytest

from tutorial import build

SOURCE = build.SOURCE.read_text(encoding="utf-8")
SMALL = """\
# %% [markdown] lang="en"
# # One
# The sum `1 + 1`, and $x_t$.

# %% [markdown] lang="zh"
# # 一
# 求和：
# `1 + 1`，还有 $x_t$。

# %%
print(1 + 1)
"""


@pytest.mark.parametrize("language", build.LANGUAGES)
@pytest.mark.parametrize("source", build.SOURCES, ids=lambda source: source.stem)
def test_the_committed_notebooks_are_the_sources(source: Path, language: str) -> None:
    committed = nbformat.read(build.path_of(language, source), as_version=4)
    nbformat.validate(committed)
    read = build.read(source.read_text(encoding="utf-8"))[language]
    assert build.stale_cells(committed, read) is None


def test_both_languages_share_code_and_outputs() -> None:
    one, other = (
        [
            (cell.source, cell.outputs)
            for cell in nbformat.read(build.path_of(lang), 4).cells
            if cell.cell_type == "code"
        ]
        for lang in build.LANGUAGES
    )
    assert len(one) > 30
    assert one == other


@pytest.mark.parametrize("source", build.SOURCES, ids=lambda source: source.stem)
def test_what_is_written_in_pictures_is_of_no_language(source: Path) -> None:
    """Formulas, numbers and names of the code: the captions, which are translated, say the rest."""
    cells = build.read(source.read_text(encoding="utf-8"))["en"].cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    said = re.findall(r"""(?:label|title)(?:=|\()[rf]*(["'])(.*?)\1""", code)
    assert len(said) >= 4
    for _, text in said:
        words = re.findall(r"[^\W\d_]{2,}", re.sub(r"\$[^$]*\$|\{[^}]*\}", "", text))
        assert all(re.search(rf"\.{word}s?\b", code) for word in words), text


def folded(cell: nbformat.NotebookNode) -> str | None:
    """How a cell of code is folded away, by the word that the site and Jupyter know."""
    return next(iter(cell.metadata.get("tags", ())), None)


@pytest.mark.parametrize(
    ("language", "exercise", "predict", "figure"),
    [
        ("en", r"\*\*Exercise (\d+)\.\*\*", "> **Predict first.**", r"^\*Figure (\d+)\.\*"),
        ("zh", r"\*\*练习 (\d+)\.\*\*", "> **先猜一猜。**", r"^\*图 (\d+)\.\*"),
    ],
)
def test_answers_and_what_was_to_be_predicted_are_folded_away(
    language: str, exercise: str, predict: str, figure: str
) -> None:
    """So is what draws; each picture is told about by the text after it."""
    exercises: list[str] = []
    captions: list[str] = []
    predictions = pictures = 0
    cells = nbformat.read(build.path_of(language), as_version=4).cells
    for number, cell in enumerate(cells):
        following = cells[number + 1 :]
        if cell.cell_type == "markdown":
            captions += re.findall(figure, cell.source, flags=re.MULTILINE)
            assert pictures == len(captions), cell.source
            if found := re.findall(exercise, cell.source):
                exercises += found
                assert folded(following[0]) == "hide-cell"
                assert "assert " in following[0].source
            if predict in cell.source:
                predictions += 1
                until = next(i for i, each in enumerate(following) if each.cell_type == "markdown")
                assert "hide-cell" in map(folded, following[:until])
            continue
        if re.search(r"plt\.|SVG\(", re.sub(r"^import .*", "", cell.source, flags=re.MULTILINE)):
            assert folded(cell) in ("hide-input", "hide-cell")
        pictures += sum(
            {"image/png", "image/svg+xml"} & set(output.get("data", ())) != set()
            for output in cell.outputs
        )
    assert exercises == [str(number) for number in range(1, 7)]
    assert captions == [str(number) for number in range(1, 18)]
    assert predictions >= 8


def test_the_tutorial_ends_as_the_original_did() -> None:
    for language, heading in (("en", "## What we did"), ("zh", "## 实验总结")):
        last = build.read(SOURCE)[language].cells[-1]
        assert heading in last.source.split("\n")


def test_the_chapters_are_the_originals_and_more() -> None:
    for notebook in build.read(SOURCE).values():
        texts = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        assert re.findall(r"^## (\d+)\. ", texts, flags=re.MULTILINE) == [
            str(chapter) for chapter in range(1, 19)
        ]


def test_every_chapter_shows_something_and_checks_something() -> None:
    chapter, shown, checked = 0, set(), set()
    for cell in nbformat.read(build.path_of("en"), as_version=4).cells:
        if cell.cell_type == "markdown":
            for number in re.findall(r"^## (\d+)\. ", cell.source, flags=re.MULTILINE):
                chapter = int(number)
        else:
            shown |= {chapter} if cell.outputs else set()
            checked |= {chapter} if "assert " in cell.source else set()
    assert shown >= set(range(1, 19))
    assert checked >= set(range(1, 18)) - {15}  # its network is proved in the next


def test_a_small_source_becomes_two_notebooks() -> None:
    notebooks = build.read(SMALL)
    english, chinese = notebooks["en"].cells, notebooks["zh"].cells
    assert [cell.cell_type for cell in english] == ["markdown", "code"]
    assert english[1].source == chinese[1].source == "print(1 + 1)"
    assert chinese[0].source == "# 一\n求和：`1 + 1`，还有 $x_t$。"
    assert english[0].source == "# One\nThe sum `1 + 1`, and $x_t$."
    assert notebooks == build.read(SMALL)  # the same ids each time


def test_what_is_folded_is_said_in_the_language_of_the_notebook() -> None:
    for role, told in (
        ("figure", {"source_hidden": True}),
        ("answer", {"source_hidden": True, "outputs_hidden": True}),
    ):
        notebooks = build.read(SMALL.replace("# %%\n", f'# %% role="{role}"\n'))
        for language, notebook in notebooks.items():
            metadata = notebook.cells[1].metadata
            assert metadata["jupyter"] == told
            assert metadata["mystnb"]["code_prompt_show"] == build.PROMPTS[language][role]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            '# %% [markdown] lang="zh"\n# # 一\n# 求和：\n# `1 + 1`，还有 $x_t$。\n',
            "",
            "no Chinese",
        ),
        ('lang="zh"', 'lang="en"', "no Chinese"),
        ('lang="en"', 'lang="fr"', "marked fr"),
        ('# %% [markdown] lang="en"', "# %% [markdown]", "marked None"),
        ("还有 $x_t$", "还有 $x_s$", "formulas differ"),
        ("`1 + 1`，", "`1 + 2`，", "code differ"),
        ("# # 一", "# ## 一", "headings differ"),
        ("# 求和：", "# 求和[这里](proof.md)：", "links differ"),
        ("# 求和：", "# </details>求和：", "folds differ"),
        ("# %%\n", '# %% role="secret"\n', "a role that is none of"),
    ],
)
def test_languages_that_differ_are_refused(old: str, new: str, complaint: str) -> None:
    assert old in SMALL
    with pytest.raises(build.BuildError, match=complaint):
        build.read(SMALL.replace(old, new, 1))


def test_stale_notebooks_are_found() -> None:
    source = build.read(SMALL)["en"]
    fresh = deepcopy(source)
    fresh.cells[1].execution_count = 1
    fresh.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="2 items\n")]
    assert build.stale_cells(fresh, source) is None

    changed = build.read(SMALL.replace("1 + 1)", "1 + 2)"))["en"]
    assert "cell 1 is not the source's" in (build.stale_cells(fresh, changed) or "")
    longer = build.read(SMALL + "\n# %%\nprint(3)\n")["en"]
    assert "cell 2 is not the source's" in (build.stale_cells(fresh, longer) or "")
    assert "cell 1 was not run" in (build.stale_cells(source, source) or "")

    failed = deepcopy(fresh)
    failed.cells[1].outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    assert "cell 1 failed" in (build.stale_cells(failed, source) or "")


def test_outputs_are_compared_without_their_numbers_and_digests() -> None:
    digests = [sha256(data).hexdigest() for data in (b"one processor", b"another")]
    before = build.read(SMALL)["en"]
    before.cells[1].outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=f"2 items, 1e-16 {digests[0]}\n"),
        nbformat.v4.new_output("display_data", data={"image/png": "AA=="}),
    ]
    after = deepcopy(before)
    after.cells[1].outputs[0].text = f"3 items, 2.5e-17 {digests[1]}\n"
    after.cells[1].outputs[1].data = {"image/png": "BB=="}
    assert build.stale_outputs(before, after) is None
    bar = nbformat.v4.new_output("stream", name="stderr", text="100%")
    after.cells[1].outputs.append(bar)
    assert build.stale_outputs(before, after) is None

    after.cells[1].outputs[0].text = f"2 things, 1e-16 {digests[0]}\n"
    assert "cell 1 now prints something else" in (build.stale_outputs(before, after) or "")
    after.cells[1].outputs = before.cells[1].outputs[:1]
    assert build.stale_outputs(before, after) is not None
