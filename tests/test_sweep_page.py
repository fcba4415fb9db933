"""The page of a sweep: what it holds, and in a real browser what people see."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from carrynet.judge import evaluation
from carrynet.report import page, sweep_page
from carrynet.sweep import Group, Store, table
from tests.test_census import KEYS, column, explored, grouped, outcomes_of
from tests.test_cli import carrynet
from tests.test_page import HOSTILE, Elements
from tests.test_sweep import parse, rows_of, run
from tests.test_view import browser, pytestmark as in_browser

__all__ = ["browser"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explored(tmp_path_factory.getbasetemp())


def model(folder: Path, *first: str) -> dict[str, Any]:
    made = sweep_page.model(Store(folder), first)
    read: dict[str, Any] = json.loads(json.dumps(made, allow_nan=False))
    return read


# What it holds -------------------------------------------------------------------------


def test_it_holds_what_the_rows_say(swept: Path) -> None:
    made, rows = model(swept), grouped(rows_of(swept), KEYS[1:] + KEYS[:1])
    assert [key["key"] for key in made["keys"]] == ["hidden", "learn.steps", "recipe"]
    assert made["first"] == ["hidden", "learn.steps"]
    assert (made["cells"], made["networks"], made["per_group"]) == (48, 48, 6)
    outcomes = made["outcomes"]
    shown = ["right", "sampled", "proved", "refuted_beyond", "refuted", "undecided"]
    assert outcomes == shown
    assert len(made["groups"]) == len(rows) == 8
    for i, group in enumerate(made["groups"]):
        places, (networks, *found) = group[:3], group[3:]
        values = (key["values"][place] for key, place in zip(made["keys"], places, strict=True))
        mine = rows[tuple(values)]
        assert networks == len(mine)
        for outcome, count, example in zip(outcomes, found[:6], found[6:], strict=True):
            cells = [row["number"] for row in mine if outcome in outcomes_of(row)]
            assert (count, example) == (len(cells), min(cells, default=None))
        for name in ("exhaustive_margin", "slack", "proof_margin"):
            there = [row[name] for row in mine if row[name] is not None]
            assert sum(made["values"][name][i][1::2]) == len(there)
        assert [sum(kind[1::2]) for kind in made["lengths"][i]] == [
            sum(row["counterexample_shortest"] is kind for row in mine) for kind in (False, True)
        ]
    for trial, found in made["counterexamples"].items():
        (row,) = (row for row in rows_of(swept) if row["number"] == int(trial))
        a, b = row["counterexample"].split()
        assert found["problem"] == f"{a} + {b} = ?"
        assert found["digits"] == row["counterexample_digits"]


def test_intervals_are_those_of_the_table_for_every_choice(swept: Path) -> None:
    made, store = model(swept), Store(swept)
    for by in ([], ["hidden"], ["recipe"], ["learn.steps"], ["hidden", "recipe"], [*KEYS]):
        for group in table.summarise(store, by):
            for outcome in made["outcomes"]:
                rate = group.rate(outcome)
                assert rate is not None
                low, high = made["intervals"][f"{group.counts[outcome]}/{group.networks}"]
                assert (low, high) == pytest.approx(rate[1:], abs=1e-6)


def test_it_is_one_small_file_that_asks_for_nothing(swept: Path, tmp_path: Path) -> None:
    text = Path(sweep_page.write(Store(swept), tmp_path / "new" / "page.html")).read_text()
    assert len(text) < 200_000
    elements = Elements(text)
    assert [tag for tag, _ in elements.tags].count("script") == 2
    assert not any({"src", "href"} & attributes.keys() for _, attributes in elements.tags)
    assert "48 of 48 networks" in text
    assert not re.search(r"""(?:fetch\(|XMLHttpRequest|import\(["']http|src=["']http)""", text)


def test_names_and_reasons_cannot_become_markup(tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE.replace("/", "-")
    run(
        parse('recipe = "tutorial"\nhidden = 2\nsteps = 9\n[sweep]\nexhaustive=2\nlengths=[]'),
        folder,
    )
    text = Path(sweep_page.write(Store(folder))).read_text()
    assert [tag for tag, _ in Elements(text).tags].count("script") == 2
    assert "<img" not in text.replace(page._resource("sweep.mjs"), "")


def test_the_plan_reads_as_one_would_write_it(swept: Path) -> None:
    text = model(swept)["plan"]
    again = parse(text)
    assert again.same(Store(swept).plan())
    assert 'recipe = ["tutorial", "certified"]\n' in text
    assert 'seed = "3..8"\n' in text


def test_a_page_holds_as_many_keys_as_it_can() -> None:
    steps = [n / 100 for n in range(1, 100)]
    plan = parse(f'recipe = "tutorial"\nhidden = "1..60"\nsteps = [1, 2]\nstep = {steps}')
    keys = sweep_page._affordable
    assert keys(plan, ()) == ["hidden", "steps"]  # 61 x 3 combinations, with step 18,300
    assert keys(plan, ("step",)) == ["steps", "step"]
    steps = [n / 5000 for n in range(1, 5001)]
    assert keys(parse(f'recipe = "tutorial"\nstep = {steps}\nseed = "0..9"'), ()) == []


def test_keys_that_are_too_many_are_left_out_and_named(tmp_path: Path) -> None:
    steps = [n / 5000 for n in range(1, 5001)]  # which are looked at faster than as many kinds
    text = f'recipe = "tutorial"\nsteps = 5\nstep = {steps}\nhidden = [2, 3]\n'
    plan = parse(f"{text}[sweep]\nexhaustive = 2\nlengths = []\nproof = 'none'\nblock = 10")
    run_some(plan, tmp_path / "out")
    made = model(tmp_path / "out")
    assert made["left_out"] == ["step"]
    assert [group[:2] for group in made["groups"]] == [[0, 10], [1, 10]]


def run_some(plan: Any, folder: Path) -> None:
    """Some blocks of a large plan: the first, and the first of the second half."""
    from carrynet.sweep import block

    store = Store(folder)
    store.begin(plan)
    for trial in (0, plan.trials // 2):
        finished = block.work(plan, plan.block_of(trial))
        store.finish(plan.block_of(trial), finished.rows, finished.weights)


def test_an_untested_sweep_and_one_that_failed_have_pages(tmp_path: Path) -> None:
    text = 'recipe = "tutorial"\nhidden = 2\nsteps = 9\nseed = "0..5"\n[sweep]\nexhaustive = 0\n'
    plan = parse(f'{text}lengths = []\nproof = "none"\nblock = 2')
    run(plan, tmp_path / "out", lambda number: "its worker was ended" if number == 1 else "")
    made = model(tmp_path / "out")
    assert (made["outcomes"], made["keys"], made["values"]) == (["diverged"], [], {})
    assert (made["networks"], made["blocks_done"], made["failed"]) == (4, 2, 1)
    (failure,) = made["failures"]
    assert failure == {"block": 1, "cells": [2, 3], "reason": "its worker was ended"}
    told = json.loads(carrynet("plot", "out", "--page", "--json", cwd=tmp_path).stdout)
    assert told == {"sweep": "out", "page": str(Path("out") / "report.html"), "figures": []}
    record = tmp_path / "out" / "failed" / "part-000001.json"
    record.write_text('{"cells": 3}')
    done = carrynet("plot", "out", "--page", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the record of block 1, which failed, is damaged" in done.stderr


def test_a_sweep_ends_with_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'recipe = "tutorial"\nhidden = [2, 3]\nsteps = 9\n[sweep]\nexhaustive = 2\nlengths = []'
    (tmp_path / "plan.toml").write_text(text)
    done = carrynet("sweep", "plan.toml", "--out", "out", "--jobs", 1, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "page        out/report.html" in done.stdout
    assert "2 of 2 networks" in (tmp_path / "out" / "report.html").read_text()
    (tmp_path / "out" / "report.html").unlink()
    monkeypatch.setattr(sweep_page, "MOST_AT_ONCE", 1)  # of a large one it would take long
    done = carrynet("sweep", "plan.toml", "--out", "out", "--jobs", 1, cwd=tmp_path)
    assert done.returncode == 0
    assert not (tmp_path / "out" / "report.html").exists()


# In a browser --------------------------------------------------------------------------

Open = Callable[..., Page]


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a sweep's page from the disk; afterwards, nothing may have gone wrong or out."""
    complaints: list[str] = []
    contexts = []

    def show(folder: Path, **options: Any) -> Page:
        file = Path(sweep_page.write(Store(folder), tmp_path / "shown" / "report.html"))
        context = browser.new_context(**{"locale": "en-US", **options})
        contexts.append(context)
        opened = context.new_page()
        opened.on("console", lambda message: complaints.append(f"console: {message.text}"))
        opened.on("pageerror", lambda error: complaints.append(f"error: {error}"))

        def outside(request: Any) -> None:
            if not request.url.startswith(("data:", "blob:", file.as_uri())):
                complaints.append(f"request: {request.url}")

        opened.on("request", outside)
        opened.goto(file.as_uri())
        opened.wait_for_selector("h1")
        return opened

    yield show
    for context in contexts:
        context.close()
    assert complaints == []


def browser_test(test: Any) -> Any:
    for mark in in_browser:
        test = mark(test)
    return test


def share(group: Group, outcome: str) -> str:
    """'66.7%', as the table has it."""
    rate = group.rate(outcome)
    assert rate is not None
    return f"{100 * rate[0]:.1f}%"


def cells(opened: Page) -> list[str]:
    """What the cells of the diagram are called."""
    found = opened.locator("#phase .cell").all()
    return [cell.get_attribute("aria-label") or "" for cell in found]


def named(group: Group, outcome: str) -> str:
    values = ", ".join(
        f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}"
        for key, value in group.values.items()
    )
    return f"{values}: {group.counts[outcome]} of {group.networks}, {share(group, outcome)}"


def of_table(folder: Path, *by: str) -> list[Group]:
    """Groups of the table, whose keys are spelled as in the plan."""
    spelled = {column(key): key for key in KEYS}
    return [
        Group({spelled[k]: v for k, v in group.values.items()}, group.networks, group.counts)
        for group in table.summarise(Store(folder), by)
    ]


def choose(opened: Page, **choices: str) -> None:
    for name, value in choices.items():
        opened.locator(f"#choose-{name}").select_option(value)


@browser_test
def test_the_diagram_has_the_numbers_of_the_table(show: Open, swept: Path) -> None:
    opened = show(swept)

    def check(outcome: str, *by: str) -> None:
        expected = [named(group, outcome) for group in of_table(swept, *by)]
        assert sorted(cells(opened)) == sorted(expected)

    check("right", "hidden", "learn.steps")
    for outcome in ("proved", "refuted_beyond", "undecided", "refuted"):
        choose(opened, outcome=outcome)
        check(outcome, "hidden", "learn.steps")
    choose(opened, y="recipe")
    check("refuted", "hidden", "recipe")
    choose(opened, x="recipe")  # which is upwards: they change places
    assert opened.locator("#choose-y").input_value() == "hidden"
    check("refuted", "recipe", "hidden")
    choose(opened, outcome="right", y="")
    check("right", "recipe")
    choose(opened, x="learn.steps")
    check("right", "learn.steps")
    opened.get_by_label("recipe", exact=True).select_option("certified")
    groups = of_table(swept, "learn.steps", "recipe")
    mine = [
        Group({"learn.steps": g.values["learn.steps"]}, g.networks, g.counts)
        for g in groups
        if g.values["recipe"] == "certified"
    ]
    assert cells(opened) == [named(group, "right") for group in mine]
    expect(opened.locator("#phase .hint")).to_have_text(
        re.compile(r"^Counted together: all values of hidden and seed\.")
    )


@browser_test
def test_a_cell_is_read_out_with_its_interval_and_an_example(show: Open, swept: Path) -> None:
    opened = show(swept)
    choose(opened, outcome="refuted_beyond")
    readout, rows = opened.locator("#phase .readout"), rows_of(swept)
    groups = of_table(swept, "hidden", "learn.steps")
    (group,) = (g for g in groups if tuple(g.values.values()) == (8, 9000))
    opened.locator("#phase .cell").nth(3).hover()  # upwards and across: (8, 9,000)
    rate = group.rate("refuted_beyond")
    assert rate is not None
    assert rate[0] > 0
    expect(readout.locator("h3")).to_have_text("hidden 8, learn.steps 9,000")
    expect(readout.locator(".big")).to_have_text(share(group, "refuted_beyond"))
    low, high = (f"{100 * end:.1f}%" for end in rate[1:])
    expect(readout).to_contain_text(
        f"{group.counts['refuted_beyond']} of 12 networks; 95 % interval {low} to {high}"
    )
    row = min(
        (
            row
            for row in rows
            if (row["hidden"], row["learn_steps"]) == (8, 9000)
            and "refuted_beyond" in outcomes_of(row)
        ),
        key=lambda row: int(row["number"]),
    )
    expect(readout).to_contain_text(f"For example trial {row['number']}.")
    a, b = row["counterexample"].split()
    digits = row["counterexample_digits"]
    expect(readout).to_contain_text(f"It answers {a} + {b} = ? wrongly, read at length {digits}")
    program, verb, *options = shlex.split(readout.locator("pre").inner_text())
    assert (program, verb) == ("carrynet", "train")
    assert options == [
        *("--recipe", row["recipe"], "--set", "hidden=8", "--set", "learn.steps=9000"),
        *("--set", f"seed={row['seed']}"),
    ]


@browser_test
def test_the_diagram_can_be_walked_over_by_keys(show: Open, swept: Path) -> None:
    opened = show(swept)
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")  # the link to the diagram
    assert opened.evaluate(
        "document.querySelector('#carrynet').shadowRoot.activeElement.id"
    ) == "choose-outcome"  # fmt: skip
    for _ in range(4):  # the axes, the recipe, the diagram
        opened.keyboard.press("Tab")
    head = opened.locator("#phase .readout h3")
    for key, text in (
        ("Home", "hidden 4, "),
        ("ArrowDown", "hidden 4, learn.steps 300"),
        ("ArrowRight", "hidden 8, learn.steps 300"),
        ("ArrowRight", "hidden 8, learn.steps 300"),  # at the edge
        ("ArrowUp", "hidden 8, learn.steps 9,000"),
    ):
        opened.keyboard.press(key)
        expect(head).to_contain_text(text)
    unnamed = opened.evaluate(
        """() => [...document.querySelector('#carrynet').shadowRoot.querySelectorAll(
                'button, input, select, svg[role], g[role]')]
            .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() ||
                e.getRootNode().querySelector(`label[for="${e.id}"]`)))
            .map(e => e.outerHTML.slice(0, 90))"""
    )
    assert unnamed == []


@browser_test
def test_the_table_is_sorted_by_what_is_clicked(show: Open, swept: Path) -> None:
    opened = show(swept)
    rows = opened.locator("#groups tbody tr")
    groups = of_table(swept, "hidden", "learn.steps", "recipe")
    assert rows.count() == len(groups) == 8
    shares = [float(share(group, "right")[:-1]) for group in groups]

    def column_of(place: int) -> list[str]:
        return [row.locator("td").nth(place).inner_text() for row in rows.all()]

    assert [float(text.split("%")[0]) for text in column_of(4)] != sorted(shares, reverse=True)
    heading = opened.locator("#groups th").nth(4)
    heading.get_by_role("button", name="right on all problems").click()
    assert [float(text.split("%")[0]) for text in column_of(4)] == sorted(shares, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").click()
    assert [float(text.split("%")[0]) for text in column_of(4)] == sorted(shares)
    opened.locator("#groups th").nth(1).get_by_role("button").click()
    assert column_of(1) == ["300"] * 4 + ["9,000"] * 4


@browser_test
def test_distributions_follow_the_choice(show: Open, swept: Path) -> None:
    opened, rows = show(swept), rows_of(swept)
    legend = opened.locator("#margins .legend li")
    assert legend.all_inner_texts() == ["hidden 4: 24 networks", "hidden 8: 24 networks"]
    choose(opened, margin="slack", x="recipe")
    proved = sum(row["verdict"] == "proved" for row in rows if row["recipe"] == "certified")
    expect(legend.last).to_have_text(f"recipe certified: {proved} networks")
    heads = opened.locator("#lengths svg > text.strong")
    for recipe in ("tutorial", "certified"):
        count = sum(row["verdict"] == "refuted" and row["recipe"] == recipe for row in rows)
        expect(heads.filter(has_text=recipe)).to_have_text(f"recipe {recipe}: {count} refuted")
    assert opened.locator("#lengths rect").count() > 4


@browser_test
def test_languages_and_themes(show: Open, swept: Path) -> None:
    opened = show(swept, locale="zh-CN", color_scheme="dark")
    right = sum("right" in outcomes_of(row) for row in rows_of(swept))
    expect(opened.locator("h1")).to_contain_text(f"{right} 个所有题目全对")
    choose(opened, outcome="proved")
    opened.get_by_role("button", name="Switch to English").click()
    expect(opened.locator("h1")).to_contain_text(f"48 networks: {right} right on all problems")
    assert opened.locator("#choose-outcome").input_value() == "proved"  # it is kept
    drawn = opened.locator(".page")
    expect(drawn).to_have_css("background-color", "rgb(20, 23, 27)")
    opened.get_by_role("button", name="Light or dark").click()
    expect(drawn).to_have_css("background-color", "rgb(253, 252, 249)")
    opened.get_by_role("button", name="切换到中文").click()
    expect(opened.locator("#plan h2")).to_have_text("计划")
    assert drawn.get_attribute("lang") == "zh-CN"


@browser_test
@pytest.mark.parametrize(
    ("last", "upwards"), [(20256, ["300", "10,000", "20,256"]), (20200, ["300", "1 万", "2.02 万"])]
)
def test_in_chinese_numbers_of_an_axis_are_written_in_one_way(
    show: Open, tmp_path: Path, last: int, upwards: list[str]
) -> None:
    text = f'recipe = "tutorial"\nhidden = [2, 3]\nsteps = [300, 10000, {last}]\n'
    run(parse(f"{text}[sweep]\nexhaustive = 2\nlengths = []"), tmp_path / "out")
    opened = show(tmp_path / "out", locale="zh-CN")
    assert opened.locator("#phase svg > text").all_text_contents()[2:5] == upwards
    for option in upwards:
        expect(opened.locator("#groups td.key").filter(has_text=option).first).to_be_visible()


@browser_test
@pytest.mark.parametrize("width", [360, 768, 1920])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_overflows(show: Open, swept: Path, width: int, locale: str) -> None:
    opened = show(swept, viewport={"width": width, "height": 800}, locale=locale)
    for y in ("recipe", ""):
        choose(opened, y=y)
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        beyond = opened.evaluate(
            """width => [...document.querySelector('#carrynet').shadowRoot.querySelectorAll('*')]
                .filter(e => e.checkVisibility() && !e.closest('.scroll, .hidden') &&
                    e.getBoundingClientRect().right > width + 1).map(e => e.outerHTML.slice(0, 80))
            """,
            width,
        )
        assert beyond == []


@browser_test
def test_a_sweep_that_is_not_finished_says_so(show: Open, tmp_path: Path) -> None:
    text = 'recipe = "tutorial"\nhidden = [2, 3]\nsteps = 9\nseed = "0..3"\n[sweep]\nlengths = []\n'
    plan = parse(f"{text}exhaustive = 2\nblock = 2")
    run(plan, tmp_path / "out", lambda n: "no <b>disk</b>" if n == 3 else "")
    opened = show(tmp_path / "out")
    expect(opened.get_by_role("status")).to_contain_text("6 of 8 networks are done, in 3 of 4")
    expect(opened.locator("#failed")).to_contain_text("Block 3, trials 6 to 7: no <b>disk</b>")
    assert len(cells(opened)) == 2


@browser_test
def test_sweeps_with_nothing_to_choose_have_a_page(show: Open, tmp_path: Path) -> None:
    text = 'recipe = "tutorial"\nhidden = 2\nsteps = 9\nseed = "0..3"\n[sweep]\nlengths = []\n'
    run(parse(f'{text}exhaustive = 0\nproof = "none"'), tmp_path / "out")
    opened = show(tmp_path / "out")
    expect(opened.locator("h1")).to_have_text("4 networks.")
    assert cells(opened) == ["all networks: 0 of 4, 0.0%"]
    assert opened.locator("#margins, #lengths, #failed").count() == 0


# A suite of tasks ----------------------------------------------------------------------

SUITE = """
recipe = ["plain", "specified"]
task = ["parity", "tomita:4"]
cell = ["elman", "gru"]
hidden = 8
digits = 8
seed = "0..2"

[sweep]
exhaustive = 4
lengths = [30]
pairs = 16
"""


@browser_test
def test_a_suite_is_one_table_of_tasks_by_cells(show: Open, tmp_path: Path) -> None:
    folder = tmp_path / "suite"
    run(parse(SUITE), folder)
    opened, rows = show(folder), rows_of(folder)

    def line(task: str, recipes: set[str]) -> list[str]:
        """What is right on samples, proved, refuted, undecided, of one cell after the other."""
        told = []
        for cell in ("elman", "gru"):
            mine = [
                r for r in rows if (r["task"], r["cell"]) == (task, cell) and r["recipe"] in recipes
            ]
            verdicts = [row["verdict"] for row in mine]
            counts = [sum(map(is_right_on_samples, mine))]
            counts += [verdicts.count(name) for name in ("proved", "refuted", "undecided")]
            shown = [f"{min(99, max(1, round(100 * n / len(mine))))}%" for n in counts]
            told += [
                {0: "0%", len(mine): "100%"}.get(n, share)
                for n, share in zip(counts, shown, strict=True)
            ]
            if counts[2]:
                shortest = min(
                    r["counterexample_digits"] for r in mine if r["verdict"] == "refuted"
                )
                told[-2] += f"by {shortest}"
        return told

    def check(recipes: set[str]) -> None:
        for row, task in enumerate(("parity", "tomita:4")):
            found = opened.locator("#suite tbody tr").nth(row)
            assert found.locator("th").inner_text() == task
            assert [cell.text_content() for cell in found.locator("td").all()] == line(
                task, recipes
            )

    assert {row["verdict"] for row in rows} >= {"proved", "refuted"}
    assert opened.locator("#suite thead th[colspan]").all_inner_texts() == ["elman", "gru"]
    check({"plain"})
    opened.locator("#suite select").select_option("specified")
    check({"specified"})
    opened.locator("#suite select").select_option("")
    check({"plain", "specified"})


def is_right_on_samples(row: dict[str, Any]) -> bool:
    return all(row[f"{kind}_30_right"] == row[f"{kind}_30_pairs"] for kind in evaluation.KINDS)
