"""The tutorial's notebooks follow its source, and its builder refuses what does not fit."""

import re
from copy import deepcopy
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
        [cell for cell in nbformat.read(build.path_of(lang), 4).cells if cell.cell_type == "code"]
        for lang in build.LANGUAGES
    )
    assert len(one) > 30
    assert one == other


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


def test_outputs_are_compared_without_their_numbers() -> None:
    before = build.read(SMALL)["en"]
    before.cells[1].outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="2 items, 1e-16\n"),
        nbformat.v4.new_output("display_data", data={"image/png": "AA=="}),
    ]
    after = deepcopy(before)
    after.cells[1].outputs[0].text = "3 items, 2.5e-17\n"
    after.cells[1].outputs[1].data = {"image/png": "BB=="}
    assert build.stale_outputs(before, after) is None
    bar = nbformat.v4.new_output("stream", name="stderr", text="100%")
    after.cells[1].outputs.append(bar)
    assert build.stale_outputs(before, after) is None

    after.cells[1].outputs[0].text = "2 things, 1e-16\n"
    assert "cell 1 now prints something else" in (build.stale_outputs(before, after) or "")
    after.cells[1].outputs = before.cells[1].outputs[:1]
    assert build.stale_outputs(before, after) is not None
