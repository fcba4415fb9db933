"""The study of regular tasks: its table is counted as it says, and the one that is kept adds up."""

import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from carrynet.sweep import plan
from tests.test_studies import STUDIES, kept, script

STUDY = STUDIES / "regular"
NUMBER_WITH_PART = re.compile(r"\d+(?:\.\d+)?")
LINES, NUMBER = re.MULTILINE | re.DOTALL, re.compile(r"\d+")
OF_MIPS = "parity|add_mod:k=[3-8]"  # those that MIPS has, too


@pytest.fixture(scope="module")
def tables() -> Any:
    return script("regular/tables.py")


def row(
    verdict: str | None, uniform: int | None, walked: int | None, **more: Any
) -> dict[str, Any]:
    """A row of a sweep, of which four words of each kind were drawn."""
    pairs = None if uniform is None else 4
    return {
        "task": "parity",
        "cell": "gru",
        "recipe": "plain",
        "verdict": verdict,
        "uniform_500_right": uniform,
        "uniform_500_pairs": pairs,
        "chains_500_right": walked,
        "chains_500_pairs": pairs,
        "counterexample_digits": None,
        "seed": 0,
        "training_seconds": 1.0,
        "proof_seconds": None if verdict is None else 3.0,
        "accuracy_words": pairs,
        "accuracy_right": uniform,
        **more,
    }


def test_networks_are_counted_as_the_table_says(tables: Any) -> None:
    rows = [
        row("proved", 4, 4),
        row("refuted", 4, 3, counterexample_digits=70),
        row("refuted", 2, 0, counterexample_digits=9),
        row("undecided", 4, 4),
        row(None, None, None, seed=9),  # which diverged
        row("undecided", 1, 1, seed=10),  # of whose accuracy nothing is told
        row("proved", 4, 4, cell="lstm"),
    ]
    first, second = tables.count(rows)
    assert first == {
        "task": "parity",
        "cell": "gru",
        "recipe": "plain",
        "networks": 6,
        "right": 3,
        "right_walked": 2,
        "proved": 1,
        "refuted": 2,
        "undecided": 2,
        "right_refuted": 1,
        "shortest": 9,
        "accuracy": 0.7,
        "accuracy_best": 1.0,
        "training_seconds": 1.0,
        "proof_seconds": 2.5,
    }
    assert (second["cell"], second["networks"], second["proved"]) == ("lstm", 1, 1)
    out = io.StringIO()
    tables.write([first, second], out)
    assert out.getvalue().splitlines()[0].startswith("task,cell,recipe,networks,right,")
    assert out.getvalue().splitlines()[2].split(",")[10] == ""  # nothing was refuted


@pytest.mark.parametrize(
    ("table", "plans"),
    [
        ("table.csv", ("plan.toml", "mips.toml")),
        ("narrow.csv", ("narrow.toml",)),
        ("longer.csv", ("longer.toml",)),
        ("answered.csv", ("answered.toml",)),
    ],
)
def test_the_tables_that_are_kept_add_up(table: str, plans: tuple[str, ...], tables: Any) -> None:
    rows, done = kept(f"regular/{table}"), 0
    assert tuple(rows[0]) == tables.COLUMNS
    counts = {key: [int(each[key]) for each in rows] for key in tables.COUNTS}
    for name in plans:
        read = plan.read(STUDY / name)
        seeds = next(len(axis.values) for axis in read.axes if axis.key == "seed")
        groups = read.trials // seeds
        assert counts["networks"][done : done + groups] == [seeds] * groups
        done += groups
    assert done == len(rows) == len({tuple(each[key] for key in tables.KEYS) for each in rows})
    for i, each in enumerate(rows):
        decided = sum(counts[v][i] for v in ("proved", "refuted", "undecided"))
        assert decided <= counts["networks"][i]
        # whoever is proved was right on every word that was drawn
        assert counts["proved"][i] <= min(counts["right"][i], counts["right_walked"][i])
        assert counts["right_refuted"][i] <= counts["refuted"][i]
        assert (each["shortest"] == "") == (counts["refuted"][i] == 0)
        assert 0 <= float(each["accuracy"]) <= float(each["accuracy_best"]) <= 1
        if counts["proved"][i]:
            assert float(each["accuracy_best"]) == 1


SHOWN = ("networks", "right", "right_refuted", "proved", "refuted", "undecided")
CELLS = {"elman": "Elman", "gru": "GRU", "lstm": "LSTM"}


def by_recipe(rows: list[dict[str, str]]) -> list[str]:
    """How a text shows what became of networks of each recipe and cell."""
    lines = []
    for recipe in ("plain", "certified"):
        for cell, called in CELLS.items():
            mine = [row for row in rows if (row["recipe"], row["cell"]) == (recipe, cell)]
            counts = [str(sum(int(row[key]) for row in mine)) for key in SHOWN]
            lines.append(f"| {recipe} | {called} | {' | '.join(counts)} |")
    return lines


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_text_quotes_the_networks_of_half_the_width(name: str) -> None:
    text, rows = (STUDY / name).read_text(encoding="utf-8"), kept("regular/narrow.csv")
    wide, narrow = (plan.read(STUDY / f"{each}.toml") for each in ("plan", "narrow"))
    assert [axis for axis in narrow.axes if axis.key != "hidden"] == [
        axis for axis in wide.axes if axis.key != "hidden"
    ]
    assert 2 * narrow.recipe(0).hidden == wide.recipe(0).hidden
    for line in by_recipe(rows):
        assert line in text


def numbers_after(text: str, *openings: str) -> list[int]:
    """The numbers of the paragraphs that begin so, one of these in each text, as they come."""
    begun = "|".join(map(re.escape, openings))
    (paragraph,) = re.findall(rf"^(?:{begun}).*?\n\n", text, LINES)
    return [int(number) for number in NUMBER.findall(paragraph.replace(",", ""))]


def total(rows: list[dict[str, str]], key: str, *cells: str, recipe: str = "plain") -> int:
    """The sum over networks of a recipe and of these cells, or all, on the plan's tasks."""
    tasks = plan.read(STUDY / "plan.toml").axes[1].values
    mine = [row for row in rows if row["task"] in tasks and row["recipe"] == recipe]
    return sum(int(row[key]) for row in mine if row["cell"] in (cells or CELLS))


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_text_says_how_many_of_those_that_pass_are_wrong(name: str) -> None:
    text, rows = (STUDY / name).read_text(encoding="utf-8"), kept("regular/table.csv")
    told = numbers_after(text, "**More than half of those that pass", "**通过的有一多半")
    passing = [total(rows, key) for key in ("right", "right_refuted", "proved", "undecided")]
    assert 2 * passing[1] > passing[0] == sum(passing[1:])  # none that is undecided was wrong
    gates = [total(rows, key, "gru", "lstm") for key in ("networks", "proved")]
    certified = [total(rows, key, recipe="certified") for key in ("networks", "proved")]
    assert {total(rows, "networks"), *passing, *gates, *certified} <= set(told)
    group = ("parity", "gru", "plain")
    (parity,) = (row for row in rows if (row["task"], row["cell"], row["recipe"]) == group)
    told = numbers_after(text, "**What counts as solved", "**算作“解决”的")
    assert parity["refuted"] == parity["networks"]
    assert {int(parity["refuted"]), int(parity["shortest"])} <= set(told)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_text_says_how_many_of_half_the_width_are_wrong(name: str) -> None:
    text, rows = (STUDY / name).read_text(encoding="utf-8"), kept("regular/narrow.csv")
    told = numbers_after(
        text, "Of those that are trained plainly", "照常训练的 1,320 个网络里，719"
    )
    plainly = [total(rows, key) for key in ("networks", "right", "right_refuted")]
    gates = [total(rows, key, "gru", "lstm") for key in ("networks", "proved")]
    assert {*plainly, *gates} <= set(told)
    told = numbers_after(text, "Of the certified ones", "认证训练的有")
    assert total(rows, "proved", recipe="certified") in told


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_text_quotes_the_networks_that_had_ten_seconds(name: str) -> None:
    text, rows = (STUDY / name).read_text(encoding="utf-8"), kept("regular/longer.csv")
    before = kept("regular/table.csv")
    for cell in ("gru", "elman,elman"):
        mine = [row for row in rows if row["cell"] == cell]
        counts = [str(sum(int(row[key]) for row in mine)) for key in SHOWN]
        assert f"| `{cell}` | {' | '.join(counts)} |" in text
    proved = {(row["task"], row["cell"]): row["proved"] for row in rows}
    tasks = ["bitwise_or", "bitwise_xor", "bitwise_not", "even_digit"]
    assert {t for (t, cell), count in proved.items() if (cell, count) == ("gru", "5")} == {*tasks}
    assert sum(count == "5" for (_, cell), count in proved.items() if cell != "gru") == 12
    plain = [row for row in before if (row["cell"], row["recipe"]) == ("gru", "plain")]
    earlier = {row["task"]: (row["networks"], row["proved"]) for row in plain}
    assert [earlier[task] for task in tasks] == [("3", "0")] * 4


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_text_quotes_words_that_end_in_their_answer(name: str) -> None:
    text, rows = (STUDY / name).read_text(encoding="utf-8"), kept("regular/answered.csv")
    for plain, certified in zip(rows[::2], rows[1::2], strict=True):
        assert (plain["recipe"], certified["recipe"]) == ("plain", "certified")
        assert plain["task"] == certified["task"]
        told = [f"`{plain['task']}`", CELLS[plain["cell"]]]
        told += [row[key] for row in (plain, certified) for key in ("right", "proved", "refuted")]
        assert f"| {' | '.join(told)} |" in text
    plainly = [row for row in rows if row["recipe"] == "plain"]
    assert all(row["refuted"] == row["networks"] for row in plainly)
    assert {row["shortest"] for row in plainly} == {"2", "3"}
    accuracies = [100 * float(row["accuracy"]) for row in plainly]
    for number in (f"{min(accuracies):.1f}", f"{max(accuracies):.0f}", "60"):
        assert number in NUMBER_WITH_PART.findall(text)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_text_quotes_the_table(name: str) -> None:
    """Its first table, and the proved ones of each task; the Chinese has the same numbers."""
    text, rows = (STUDY / name).read_text(encoding="utf-8"), kept("regular/table.csv")
    tasks = plan.read(STUDY / "plan.toml").axes[1].values

    def of(**wanted: str) -> list[dict[str, str]]:
        mine = [row for row in rows if row["task"] in tasks]
        return [row for row in mine if wanted.items() <= row.items()]

    for line in by_recipe(of()):
        assert line in text
    for task in tasks:
        proved = [
            of(recipe="certified", cell=c, task=task)[0]["proved"] for c in ("elman", "gru", "lstm")
        ]
        assert f"| `{task}` | {' | '.join(proved)} |" in text
    ours = plan.read(STUDY / "mips.toml").axes[1].values
    plainly = [row for row in rows if row["task"] in ours and row["recipe"] == "plain"]
    mips = [row for row in rows if row["task"] in ours and row["recipe"] == "certified"]
    reached = [
        *mips,
        *(row for row in of(recipe="certified") if re.fullmatch(OF_MIPS, row["task"])),
    ]
    solved = {row["task"] for row in reached if row["proved"] != "0"}
    assert {row["task"] for row in reached} - solved == {"dither"}
    full = [row for row in of(recipe="plain") if float(row["accuracy"]) == 1]
    sums = [sum(int(row[key]) for row in full) for key in ("networks", "refuted", "proved")]
    sums += [len(solved) + 1, len(solved), sum(int(row["proved"]) for row in mips)]
    assert {str(number) for number in sums} <= set(NUMBER.findall(text))
    told = {sum(int(row[key]) for row in plainly) for key in ("right", "right_refuted", "proved")}
    assert told <= set(numbers_after(text, "Of the 34 tasks of MIPS", "MIPS（"))


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_text_says_what_was_learned_and_what_became_of_it(name: str, tables: Any) -> None:
    text, learned = (STUDY / name).read_text(encoding="utf-8"), kept("regular/learned.csv")
    hardened = {
        (row["task"], row["cell"]): row
        for row in kept("regular/table.csv")
        if row["recipe"] == "certified"
    }
    among = {(row["task"], row["cell"]) for row in learned}
    assert tuple(learned[0]) == tables.COLUMNS
    read = plan.read(STUDY / "learned.toml")
    assert {read.recipe(trial).stages[1].steps for trial in range(read.trials)} == {1}
    assert sum(int(row["networks"]) for row in learned) == read.trials
    for row in learned:
        told = [f"`{row['task']}`", row["cell"].upper()]
        for each in (row, hardened[row["task"], row["cell"]]):
            accuracy = f"{100 * float(each['accuracy']):.1f}"
            told += [accuracy, each["right"], each["right_walked"]]
        assert f"| {' | '.join(told)} |" in text

    def count(rows: Iterable[Mapping[str, str]], task: str, key: str = "right") -> int:
        return sum(int(row[key]) for row in rows if row["task"].startswith(task))

    after = [hardened[key] for key in sorted(among)]
    quoted = set(numbers_after(text, "Arithmetic without precedence", "不分优先级"))
    assert count(learned, "add_mod") == 0
    for rows in (learned, after):
        assert count(rows, "modular:5,") in quoted
        assert {count(rows, "dyck"), count(rows, "dyck", "right_walked")} <= quoted
    assert {count(after, "add_mod"), count(learned, "add_mod", "networks")} <= quoted
    hard = [row for row in after if row["task"] == "modular:5"]
    assert {count(hard, "", "right_walked"), count(hard, "", "proved")} <= quoted
