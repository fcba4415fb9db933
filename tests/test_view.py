"""The page in a real browser: what people see, and that its arithmetic is the network's.

Needs Chromium; where there is none, these tests are skipped, unless CARRYNET_BROWSER names one.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import carrynet as cn
from carrynet import runs
from carrynet.evaluation import evaluate, work
from carrynet.network import LOSSES, Network, Weights, bptt, margins, read_out
from carrynet.problems import tables
from carrynet.report import page

CHROMIUM = os.environ.get("CARRYNET_BROWSER") or shutil.which("chromium")
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: set CARRYNET_BROWSER to one"),
    pytest.mark.xdist_group("browser"),
]

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS) as browser,
    ):
        yield browser


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a run's page from the disk; afterwards, nothing may have gone wrong or out."""
    complaints: list[str] = []
    contexts = []

    def show(run: cn.Run, address: str = "", **options: Any) -> Page:
        file = page.write(run, tmp_path / "report.html")
        chosen = {"locale": "en-US", "reduced_motion": "reduce", **options}
        context = browser.new_context(**chosen)
        contexts.append(context)
        opened = context.new_page()
        opened.on("console", lambda message: complaints.append(f"console: {message.text}"))
        opened.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        opened.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))

        def outside(request: Any) -> None:
            if not request.url.startswith(("data:", "blob:", file.as_uri())):
                complaints.append(f"request: {request.url}")

        opened.on("request", outside)
        opened.goto(file.as_uri() + address)
        opened.wait_for_selector("h1")
        return opened

    yield show
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def proved() -> cn.Run:
    return cn.train("certified", hidden=16)


@pytest.fixture(scope="module")
def refuted() -> cn.Run:
    """Right on all pairs of 8 digits, wrong on longer ones."""
    run = cn.train("tutorial", hidden=8, seed=7)
    assert run.evaluation.exhaustive.right == 65536
    assert isinstance(run.proof, cn.Refuted)
    return run


def type_numbers(opened: Page, *numbers: object) -> None:
    for j, number in enumerate(numbers):
        opened.locator(f"#operand-{j}").fill(str(number))


# Its arithmetic ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "activation", "dtype"),
    [
        ("add", "sigmoid", "float32"),
        ("add:base=3,operands=3", "tanh", "float32"),
        ("compare:base=10", "sigmoid", "float64"),
        ("subtract:base=16", "relu", "float32"),
        ("multiply_by:k=7", "tanh", "float64"),
    ],
)
def test_its_arithmetic_is_the_networks(show: Open, task: str, activation: str, dtype: str) -> None:
    """The same digits and margins, on thousands of words."""
    settings: dict[str, Any] = {"task": task, "activation": activation, "dtype": dtype}
    settings |= {"hidden": 12, "init_width": 0.4, "steps": 300}
    run = cn.train("tutorial", progress=False, **settings)
    network, S = run.network, len(run.network.task.machine.symbols)
    words = np.random.default_rng(0).integers(0, S, (2000, 12))
    opened = show(run)
    found = opened.evaluate(
        """words => words.map(word => carrynet.scene.network.work(word).steps
            .map(step => [step.output, step.margin, step.expected]))""",
        words.tolist(),
    )
    outputs, theirs, expected = np.moveaxis(np.array(found), -1, 0)
    weights, h = network.weights, np.zeros((len(words), 12), network.dtype)
    table = np.array([network.task.machine.run(word) for word in words.tolist()])
    assert (expected == table).all()
    for t in range(12):
        h = network.cell.step(network.drives[words[:, t]], h, weights.Whh)
        margin = margins(read_out(weights, h), table[:, t])
        scale = 1 + np.abs(h).max() * np.abs(weights.Why).sum()
        rounding = 1e-4 if dtype == "float32" else 1e-9
        assert np.allclose(theirs[:, t], margin, rtol=0, atol=rounding * scale)
        sure = np.abs(margin) > rounding * scale
        assert ((outputs[:, t] == table[:, t]) == (margin > 0))[sure].all()


def test_the_error_map_is_the_evaluation(show: Open) -> None:
    run = cn.train("tutorial", hidden=8, steps=2000, progress=False)
    wrong = evaluate(run.network, 8)
    assert 0 < wrong.right < 65536
    opened = show(run)
    count = opened.locator("#errors .big")
    expect(count).to_have_text(f"{wrong.right:,} of 65,536 right", timeout=20_000)
    opened.locator("#errors canvas").first.click(position={"x": 200, "y": 100})
    operands = [int(opened.locator(f"#operand-{j}").input_value()) for j in range(2)]
    assert operands[0] > 0
    assert operands[1] > 128  # from below upwards
    right = work(run.network, operands, 8).right
    assert opened.locator("#calculator .outcome").inner_text().startswith("Right") == right


def test_the_machine_that_it_finds(show: Open, proved: cn.Run) -> None:
    opened = show(proved)
    expect(opened.locator("#automaton b")).to_have_text(
        "It has 2 states, and is the very machine of the task."
    )
    machine = opened.evaluate("(({delta, output}) => ({delta, output}))(carrynet.scene.machine)")
    assert machine["delta"] == [list(row) for row in proved.network.task.machine.delta]
    assert machine["output"] == [list(row) for row in proved.network.task.machine.output]


# The calculator ------------------------------------------------------------------------


def test_the_calculator_adds(show: Open, proved: cn.Run) -> None:
    opened = show(proved)
    equation, outcome = opened.locator("#calculator .equation"), opened.locator(".outcome")
    for a, b in ((0, 0), (1, 1), (118, 8), (255, 1), (2**64 - 1, 2**64 - 1)):
        type_numbers(opened, a, b)
        expect(equation).to_have_text(f"{a} + {b} = {a + b}")
        expect(outcome).to_have_text("Right.")
    a, b = 10**400 - 1, 7 * 10**399 + 12345
    type_numbers(opened, a, b)
    answer = opened.evaluate(
        """() => { const {task, work} = carrynet.scene;
            return String(task.decode(work.steps.map(step => step.output))) }"""
    )
    assert int(answer) == a + b
    expect(outcome).to_have_text("Right.")
    expect(equation).to_contain_text("…")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "Type a whole number"),
        ("-3", "“-3” is not a whole number"),
        ("1.5", "“1.5” is not a whole number"),
        ("abc<b>", "“abc<b>” is not a whole number"),
        ("9" * 1001, "That has 1,001 digits; at most 1,000"),
    ],
)
def test_wrong_input_is_said_and_nothing_is_lost(
    show: Open, proved: cn.Run, typed: str, message: str
) -> None:
    opened = show(proved)
    before = opened.locator("#calculator .equation").inner_text()
    type_numbers(opened, typed)
    expect(opened.locator("#calculator .message")).to_contain_text(message)
    assert opened.locator("#calculator .equation").inner_text() == before
    type_numbers(opened, "1 000")  # as people write it
    expect(opened.locator("#calculator .message")).to_have_text("")
    expect(opened.locator("#calculator .equation")).to_have_text("1000 + 45 = 1045")


def test_play_step_and_scrub(show: Open, proved: cn.Run) -> None:
    opened = show(proved)
    section = opened.locator("#calculator")
    count, answers = section.locator(".count"), section.locator("tr.answer td:not(.more)")
    section.get_by_label("To the start").click()
    expect(count).to_have_text("0 / 8")
    assert "".join(answers.all_inner_texts()).strip() == ""
    expect(section).to_contain_text("Nothing is read yet")
    section.get_by_label("Next column").click()
    expect(count).to_have_text("1 / 8")
    assert "".join(answers.all_inner_texts()).strip() == "1"
    expect(opened.locator("#automaton .lit .state")).to_have_text("A")
    for _ in range(2):
        section.get_by_label("Next column").click()
    expect(opened.locator("#automaton .lit .holds")).to_have_text("carry 1")  # 110 + 101
    section.get_by_label("Previous column").click()
    expect(count).to_have_text("2 / 8")
    section.locator(".scrub").fill("5")
    expect(count).to_have_text("5 / 8")
    section.locator(".speed input").fill("30")
    section.get_by_label("Play", exact=True).click()
    expect(count).to_have_text("8 / 8")
    expect(section.get_by_label("Play", exact=True)).to_be_visible()
    assert "".join(answers.all_inner_texts()) == "10100011"


def test_a_wrong_digit_is_marked(show: Open, forgetful: Network, tmp_path: Path) -> None:
    folder = runs.create(tmp_path / "run", runs.importing(forgetful), origin=forgetful)
    opened = show(runs.resume(folder, progress=False))
    type_numbers(opened, 3, 1)
    expect(opened.locator("#calculator .outcome")).to_have_text("Wrong: right is 4.")
    marked = opened.locator("#calculator td.wrong")
    assert marked.count() == 2
    assert "✗" in opened.locator("#calculator tr.marks").inner_text()


# Verdicts ------------------------------------------------------------------------------


def test_a_proof_comes_first_with_its_facts(show: Open, proved: cn.Run) -> None:
    opened = show(proved)
    assert isinstance(proved.proof, cn.Proved)
    expect(opened.locator("h1")).to_have_text("Proved right for numbers of every length.")
    facts = opened.locator("#verdict .facts").inner_text()
    assert str(proved.proof.regions) in facts
    assert f"{proved.proof.slack:.2g}" in facts
    assert "proved for every length" in opened.locator("#lengths").inner_text()


def test_a_proof_by_trees_says_what_it_is(show: Open, tmp_path: Path) -> None:
    run = runs.prove(cn.train("tutorial", hidden=8, seed=4), budget=60, progress=False)
    assert isinstance(run.proof, cn.Proved)
    assert run.proof.method == "trees"
    opened = show(run)
    assert "comes into one of them again" in opened.locator("#verdict").inner_text()
    assert "comes back to one of them" in opened.locator("#space").inner_text()
    assert opened.locator("#space path[fill-opacity]").count() == run.proof.regions - 1


def test_a_counterexample_is_played(show: Open, refuted: cn.Run) -> None:
    opened = show(refuted, reduced_motion="no-preference")
    proof = refuted.proof
    assert isinstance(proof, cn.Refuted)
    expect(opened.locator("h1")).to_have_text("Wrong for some numbers: here is one.")
    expect(opened.locator("#verdict .equation")).to_have_text(
        refuted.network.task.write(proof.operands, proof.answered)
    )
    count, end = opened.locator("#verdict .count"), proof.position + 1
    started = int(count.inner_text().split(" / ")[0])
    assert started < end
    expect(count).to_have_text(f"{end} / {proof.digits + 1}", timeout=20_000)
    assert opened.locator("#verdict td.wrong").count() == 1
    assert f"wrong at {proof.digits} digits" in opened.locator("#lengths").inner_text()
    assert "proved for every length" not in opened.locator(".page").inner_text()


def test_undecided_is_not_dressed_up(show: Open) -> None:
    run = cn.train("tutorial", hidden=8, seed=4, progress=False)
    undecided = replace(run, proof=cn.Undecided(("short words: all right",), 0.1))
    opened = show(undecided)
    expect(opened.locator("h1")).to_contain_text("Undecided")
    text = opened.locator(".page").inner_text()
    assert "short words: all right" in text
    assert "proved for every length" not in text


# Languages, themes, sizes --------------------------------------------------------------


def test_the_language_is_the_browsers_and_can_be_switched(show: Open, proved: cn.Run) -> None:
    opened = show(proved, locale="zh-CN")
    expect(opened.locator("h1")).to_contain_text("任意长度的数都算得对。")
    type_numbers(opened, 7, 9)
    opened.get_by_role("button", name="Switch to English").click()
    expect(opened.locator("h1")).to_have_text("Proved right for numbers of every length.")
    expect(opened.locator("#calculator .equation")).to_have_text("7 + 9 = 16")  # it is kept
    opened.get_by_role("button", name="切换到中文").click()
    expect(opened.locator("#calculator h2")).to_have_text("计算器")
    assert opened.locator(".page").get_attribute("lang") == "zh-CN"


def test_the_theme_is_the_systems_and_can_be_switched(show: Open, proved: cn.Run) -> None:
    opened = show(proved, color_scheme="dark")
    drawn = opened.locator(".page")
    expect(drawn).to_have_css("background-color", "rgb(20, 23, 27)")
    opened.get_by_role("button", name="Light or dark").click()
    expect(drawn).to_have_css("background-color", "rgb(253, 252, 249)")


@pytest.mark.parametrize("width", [360, 768, 1920])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_overflows(show: Open, refuted: cn.Run, width: int, locale: str) -> None:
    opened = show(refuted, viewport={"width": width, "height": 800}, locale=locale)
    type_numbers(opened, 10**300, 10**299)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    beyond = opened.evaluate(
        """width => [...document.querySelector('#carrynet').shadowRoot.querySelectorAll('*')]
            .filter(e => e.checkVisibility() && !e.closest('.sum, .hidden') &&
                e.getBoundingClientRect().right > width + 1).map(e => e.outerHTML.slice(0, 80))""",
        width,
    )
    assert beyond == []


def test_the_slider_changes_the_moment(show: Open, proved: cn.Run) -> None:
    opened = show(proved)
    slider, when = opened.locator("#errors .moment"), opened.locator("#errors .two .prose").first
    expect(opened.locator("#errors .big")).to_have_text("65,536 of 65,536 right", timeout=20_000)
    weights = opened.locator("#weights .prose").nth(1).inner_text()
    slider.fill("0")
    expect(when).to_have_text("before training")
    expect(opened.locator("#errors .big")).not_to_have_text(
        "65,536 of 65,536 right", timeout=20_000
    )
    assert opened.locator("#weights .prose").nth(1).inner_text() != weights
    pressed = opened.locator('#errors .strip [aria-pressed="true"]')
    expect(pressed).to_have_count(1)


def test_everything_can_be_reached_by_keyboard_and_has_a_name(show: Open, proved: cn.Run) -> None:
    opened = show(proved)
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")  # the link to the calculator
    opened.keyboard.press("End")
    opened.keyboard.type("1")
    expect(opened.locator("#calculator .equation")).to_have_text("1181 + 45 = 1226")
    unnamed = opened.evaluate(
        """() => [...document.querySelector('#carrynet').shadowRoot.querySelectorAll(
                'button, input, select, svg[role=img], canvas[role=img]')]
            .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() ||
                e.closest('label') || e.getRootNode().querySelector(`label[for="${e.id}"]`)))
            .map(e => e.outerHTML.slice(0, 90))"""
    )
    assert unnamed == []


# Training in the page ------------------------------------------------------------------


def test_a_network_is_trained_in_the_page_and_looked_into(show: Open, proved: cn.Run) -> None:
    opened = show(proved, address="#train?hidden=12&step=0.03&seed=5&speed=3")
    section = opened.locator("#train")
    assert section.get_by_label("Hidden units").input_value() == "12"
    assert section.get_by_label("Seed").input_value() == "5"
    section.get_by_role("button", name="Start", exact=True).click()
    expect(section.locator(".big")).to_have_text(
        "All 65,536 problems of the picture are right.", timeout=60_000
    )
    section.get_by_role("button", name="Look inside this network").click()
    expect(opened.get_by_role("status")).to_contain_text("trained in this page", timeout=20_000)
    expect(opened.locator("h1")).to_have_text("Right on all 65,536 problems of up to 8 digits.")
    assert opened.evaluate("carrynet.scene.network.hidden") == 12
    type_numbers(opened, 200, 55)
    expect(opened.locator("#calculator .equation")).to_have_text("200 + 55 = 255")
    assert "12 units, step 0.03, seed 5" in opened.locator("#about").inner_text()
    opened.get_by_role("button", name="Back to the run").click()
    expect(opened.locator("h1")).to_have_text("Proved right for numbers of every length.")


@pytest.mark.parametrize("task", ["add", "compare", "add:base=3"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_its_gradients_are_those_of_backpropagation_through_time(
    show: Open, proved: cn.Run, task: str, activation: str
) -> None:
    network = cn.train("tutorial", task=task, hidden=5, steps=1, activation=activation).network
    rng, symbols = np.random.default_rng(3), len(network.task.machine.symbols)
    word = rng.integers(0, symbols, 8 + network.task.headroom).tolist()
    weights = Weights(*(rng.normal(size=w.shape) for w in network.weights))
    given = {name: w.ravel().tolist() for name, w in weights._asdict().items()}
    model = page.model(cn.train("tutorial", task=task, hidden=5, steps=1, progress=False))
    found = show(proved).evaluate(
        """([facts, activation, weights, word]) => {
            const {Task, Trainer, Network} = carrynet, task = new Task(facts);
            const settings = {activation, hidden: 5, step: 0.1, seed: 7, digits: 8};
            const one = new Trainer(task, settings), other = new Trainer(task, settings);
            for (let i = 0; i < 20; i++) { one.update(); other.update(); }
            const alike = JSON.stringify(one.weights) === JSON.stringify(other.weights);
            const trainer = new Trainer(task, settings);
            for (const key in weights) trainer.weights[key].set(weights[key]);
            trainer.forward(new Network(task, activation, trainer.weights), word);
            trainer.backward(word);
            return [alike, Object.values(trainer.gradient).map(g => Array.from(g))];
        }""",
        [model["task"], activation, given, word],
    )
    task_, table = network.task, tables(network.task)
    targets = table.targets[task_.machine.run(word)]
    loss = LOSSES["cross-entropy", task_.readout]
    gradients, _ = bptt(weights, network.cell, loss, table.vectors[word].astype(float), targets)
    assert found[0]  # the seed decides
    for name, theirs, ours in zip(Weights._fields, found[1], gradients, strict=True):
        assert np.allclose(theirs, ours.ravel(), rtol=1e-9, atol=1e-10), name


def test_settings_outside_what_is_accepted(show: Open, proved: cn.Run) -> None:
    section = show(proved).locator("#train")
    for typed in ("0", "65", "2.5", ""):
        section.get_by_label("Hidden units").fill(typed)
        section.get_by_role("button", name="Start", exact=True).click()
        expect(section.locator(".message")).to_have_text("Hidden units must be from 1 to 64.")


# Strangers -----------------------------------------------------------------------------


def test_hostile_names_stay_text(show: Open, trained: cn.Run, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)><script>alert(2)<"
    saved = replace(trained, recipe=replace(trained.recipe, name="<b>x</b>")).save(tmp_path / name)
    opened = show(saved)
    assert opened.locator(".name").inner_text() == name
    assert opened.locator("img").count() == 0
    assert "<b>x</b>" in opened.locator("#about").inner_text()


def test_downloads_are_the_runs_files(show: Open, proved: cn.Run, tmp_path: Path) -> None:
    saved = proved.save(tmp_path / "saved")
    assert saved.path is not None
    opened = show(saved)
    for name in ("model.safetensors", "certificate.json", "recipe.toml"):
        with opened.expect_download() as download:
            opened.get_by_role("button", name=name).click()
        assert download.value.suggested_filename == name
        content = Path(download.value.path()).read_bytes()
        if name != "model.safetensors":  # whose facts are written in one order here
            assert content == (saved.path / name).read_bytes()


def test_in_a_sandboxed_frame_it_works_too(show: Open, browser: Browser, proved: cn.Run) -> None:
    """As in a notebook: no origin of its own, and still workers and all."""
    context = browser.new_context(locale="en-US")
    opened = context.new_page()
    opened.set_content(f"<!doctype html><body>{page.frame(proved)}")
    inside = opened.frame_locator("iframe")
    expect(inside.locator("h1")).to_have_text("Proved right for numbers of every length.")
    expect(inside.locator("#errors .big")).to_have_text("65,536 of 65,536 right", timeout=20_000)
    inside.locator("#train").get_by_role("button", name="Start", exact=True).click()
    expect(inside.locator("#train .hint")).to_contain_text("updates", timeout=20_000)
    context.close()
