"""README.zh-CN.md follows README.md, and what no longer would is reported."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH = """\
# tool

English | [简体中文](README.zh-CN.md)

It adds.

## Use

```sh
tool add 118 8        # by hand
```

See [the docs](docs/a.md), of 1,024 pages; `tool -h` says more.

| size | time |
|---|---|
| 10 | 2.5 s |

## Files

```
src/
  a.py    the adder, alone
```
"""
CHINESE = """\
# tool
<!-- follows "introduction" -->

[English](README.md) | 简体中文

它做加法。

## 用法
<!-- follows "Use" -->

```sh
tool add 118 8        # 手算
```

见 [文档](docs/a.md) 的 1,024 页。`tool -h` 说得更多。

| 大小 | 用时 |
|---|---|
| 10 | 2.5 秒 |

## 文件
<!-- follows "Files" -->

```
src/
  a.py    只有加法器
```
"""


def translation(folder: Path, *arguments: str) -> tuple[int, str]:
    """The script's exit code and what it says."""
    script = str(ROOT / "docs" / "translation.py")
    command = [sys.executable, script, "--folder", str(folder), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8")
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two READMEs, of which one follows the other."""
    (tmp_path / "README.md").write_text(ENGLISH, encoding="utf-8")
    (tmp_path / "README.zh-CN.md").write_text(CHINESE, encoding="utf-8")
    assert translation(tmp_path, "--update", "introduction", "Use", "Files")[0] == 0
    return tmp_path


def edit(folder: Path, name: str, old: str, new: str) -> None:
    file = folder / name
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_the_chinese_readme_follows_the_english() -> None:
    guides = ("docs/guide", "docs/architecture", "docs/benchmarks")
    names = ("README", *guides, "studies/regular/README", "studies/tutorial/README")
    said = "".join(f"{name}.zh-CN.md follows {name}.md\n" for name in names)
    assert translation(ROOT) == (0, said)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_links_within_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)#][^)]*)\)", text)}
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_a_changed_section_is_reported_until_it_is_stamped(folder: Path) -> None:
    edit(folder, "README.md", "It adds.", "It adds, and subtracts.")
    code, said = translation(folder)
    assert code == 1
    assert said == "introduction: the English text has changed\n"
    assert translation(folder, "--update", "Use") == (code, said)
    assert translation(folder, "--update", "introduction")[0] == 0


def test_new_line_ends_are_no_change(folder: Path) -> None:
    edit(folder, "README.md", "of 1,024 pages; `tool -h`", "of\n1,024 pages;  `tool -h`")
    assert translation(folder)[0] == 0


def test_the_change_is_shown_where_git_has_it(folder: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)

    git("init")
    for text in ("It adds.", "It adds!", "It adds numbers."):
        if text != "It adds.":
            file = folder / "README.md"
            file.write_text(ENGLISH.replace("It adds.", text), encoding="utf-8")
        git("add", "README.md")
        git("commit", "-m", text)
    _, said = translation(folder)
    assert "-It adds.\n" in said  # the text that was translated, not the one before the last
    assert "+It adds numbers." in said
    assert "It adds!" not in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("118 8", "118 9", "Use: not the same code"),
        ("tool add 118 8        # 手算\n", "", "Use: not the same code"),
        ("```sh", "```python", "Use: not the same code"),
        ("2.5 秒", "2.6 秒", "Use: not the same numbers in tables"),
        ("| 10 | 2.5 秒 |\n", "", "Use: not the same numbers in tables"),
        ("1,024", "1,025", "Use: not the same numbers"),
        ("docs/a.md", "docs/b.md", "Use: not the same links"),
        ("`tool -h`", "`tool -v`", "Use: not the same inline code"),
        ("a.py", "b.py", "Files: not the same code"),
        ('<!-- follows "Use"', '<!-- "Use"', "用法: needs one line"),
        ('<!-- follows "Use"', '<!-- follows "Usage"', "follows 'Usage', which is not in README"),
        ("[English](README.md) | 简体中文\n", "", "its first lines lack '[English]"),
    ],
)
def test_what_differs_in_chinese_is_reported(folder: Path, old: str, new: str, said: str) -> None:
    edit(folder, "README.zh-CN.md", old, new)
    code, found = translation(folder)
    assert code == 1
    assert said in found


@pytest.mark.parametrize(
    ("name", "heading", "following", "said"),
    [
        ("README.md", "## Use", "## Files", "用法: follows 'Use', which is not in README.md"),
        ("README.zh-CN.md", "## 用法", "## 文件", "Use: 0 sections of README.zh-CN.md follow it"),
    ],
)
def test_a_missing_section_is_reported(
    folder: Path, name: str, heading: str, following: str, said: str
) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    rest = text[: text.index(heading)] + text[text.index(following) :]
    (folder / name).write_text(rest, encoding="utf-8")
    code, found = translation(folder)
    assert code == 1
    assert said in found


def test_a_new_english_section_is_missed(folder: Path) -> None:
    with (folder / "README.md").open("a", encoding="utf-8") as file:
        file.write("\n## More\n\nThere is more.\n")
    assert "More: 0 sections of README.zh-CN.md follow it, not one" in translation(folder)[1]


def test_sections_in_another_order_are_reported(folder: Path) -> None:
    file = folder / "README.zh-CN.md"
    head, use, files = re.split(r"(?=^## )", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file.write_text(head + files + "\n" + use, encoding="utf-8")
    code, said = translation(folder)
    assert code == 1
    assert "the order is ['introduction', 'Files', 'Use']" in said


def test_only_what_agrees_can_be_stamped_and_only_by_name(folder: Path) -> None:
    edit(folder, "README.md", "118 8", "118 10")
    before = (folder / "README.zh-CN.md").read_text(encoding="utf-8")
    code, said = translation(folder, "--update", "Use")
    assert code == 2
    assert "Use: not the same code; in English ['sh: tool add 118 10']" in said
    assert translation(folder, "--update")[0] == 2
    assert translation(folder, "--update", "All") == (
        2,
        "no section 'All' in README.md: there are introduction, Use, Files\n",
    )
    assert (folder / "README.zh-CN.md").read_text(encoding="utf-8") == before
