"""Training in the page, in a real browser: settings, pace, guesses, and what came of them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

import carrynet as cn
from carrynet import tasks
from carrynet.bench import tutorial_loop
from carrynet.data.words import tables
from carrynet.judge.evaluation import evaluate
from carrynet.nets import cells
from carrynet.nets.bptt import bptt
from carrynet.nets.formula import Formula
from carrynet.nets.losses import SQUARED, Loss
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from carrynet.report import described, page
from carrynet.spec.recipe import RECIPES
from tests.test_view import (
    AXE,
    PLANE,
    VIOLATIONS,
    Open,
    browser,
    opened,
    proved,
    pytestmark,
    show,
)

__all__ = ["browser", "opened", "proved", "pytestmark", "show"]

KINDS = [
    *(("elman", name) for name in cells.ACTIVATIONS),
    *((name, "") for name in cells.CELLS),
]
MODEL = """
    const {Network, Offer, Task, Trainer} = carrynet;
    const {trainable} = JSON.parse(document.getElementById("carrynet-model").textContent);
    const offer = new Offer(trainable);
    const say118and8 = (task, formulas, {weights}) => {
        const network = new Network(task, formulas, weights);
        return Number(task.decode(network.work(task.encode([118n, 8n])).steps.map(s => s.output)));
    };
"""


def in_page(opened: Page, body: str, given: Any = None) -> Any:
    """What a function of `given` returns, to which the page's classes are known."""
    return opened.evaluate("given => {" + MODEL + body + "}", given)


@pytest.fixture
def plain(show: Open, proved: cn.Run) -> Page:
    return show(proved)


# What can be trained -------------------------------------------------------------------


def test_cells_and_tasks_are_the_packages() -> None:
    made = described.trainable()
    assert [(each["kind"], each["activation"]) for each in made["cells"]] == KINDS
    for each in made["cells"]:
        formula = cells.cell(each["kind"], each["activation"] or "sigmoid")
        assert Formula.parse(each["cell"]["text"]) == formula
        assert each["readout"]["text"] == cells.readout().text
    for facts in made["tasks"]:
        machine = tasks.parse(facts["text"]).machine
        assert (facts["delta"], facts["output"]) == (machine.delta, machine.output)
    recipe = RECIPES["tutorial"]
    assert made["tutorial"]["hidden"] == recipe.hidden
    assert made["tutorial"]["digits"] == 7  # of numbers whose sum has eight
    assert made["tutorial"]["problems"] == recipe.problems == 20_000


# Its gradients -------------------------------------------------------------------------

DIFFERENCES = """
    const {text, recipe, cell, activation, loss} = given;
    const usual = {...offer.usual(text, recipe), cell, activation, hidden: 4, digits: 3};
    const {task, settings} = offer.prepared(usual);
    const trainer = new Trainer(task, {...settings, batch: 2, loss});
    for (const w of Object.values(trainer.weights))
        for (let i = 0; i < w.length; i++) w[i] = 2 * trainer.next() - 1;
    const random = () => trainer.tapes.map(() => Math.floor(trainer.next() * task.symbols.length));
    const words = [random(), random()], expected = words.map(word => task.run(word).outputs);
    const value = () => {
        trainer.forward(words);
        let sum = 0;
        trainer.tapes.forEach(({readout: {results: [logits]}}, t) => expected.forEach((due, b) => {
            const Y = task.neurons, own = [...logits.subarray(b * Y, b * Y + Y)];
            if (due[t] === null) return;
            const target = own.map((_, y) => Y === 1 ? due[t] : Number(y === due[t]));
            if (loss !== "cross-entropy")
                own.forEach((z, y) => sum += (1 / (1 + Math.exp(-z)) - target[y]) ** 2 / 2);
            else if (Y === 1) sum += Math.log1p(Math.exp(own[0])) - target[0] * own[0];
            else sum += Math.log(own.reduce((s, z) => s + Math.exp(z), 0)) - own[due[t]];
        }));
        return sum;
    };
    for (const g of Object.values(trainer.gradient)) g.fill(0);
    value();
    trainer.backward();
    let worst = 0, size = 0;
    for (const [name, w] of Object.entries(trainer.weights)) for (let i = 0; i < w.length; i++) {
        const was = w[i], step = 1e-5, around = [step, -step].map(d => (w[i] = was + d, value()));
        w[i] = was;
        const slope = (around[0] - around[1]) / (2 * step), mine = trainer.gradient[name][i];
        worst = Math.max(worst, Math.abs(slope - mine));
        size = Math.max(size, Math.abs(slope));
    }
    return worst / size;
"""
"""How far the page's gradients are from central differences of the loss, of all weights."""


@pytest.mark.parametrize("loss", ["cross-entropy", "squared", "mistaken"])
def test_gradients_are_finite_differences(opened: Page, loss: str) -> None:
    """Of each cell, of one output neuron and of several; what the mistake makes is no gradient."""
    recipe = "adam" if loss == "cross-entropy" else "tutorial"
    for cell, activation in KINDS:
        for text in ("add", "compare", "divide_by:k=3"):
            given = {"text": text, "recipe": recipe, "loss": loss}
            found = in_page(opened, DIFFERENCES, given | {"cell": cell, "activation": activation})
            if loss == "mistaken":
                assert found > 0.1, (cell, activation, text)
            else:
                assert found < 1e-6, (cell, activation, text)


TRAINED = """
    const {updates, mistake = false, seed = 1} = given;
    const usual = {...offer.usual("add", "tutorial"), mistake, seed};
    const {task, settings} = offer.prepared(usual), trainer = new Trainer(task, settings);
    const copy = () => Object.entries(trainer.weights).map(([name, w]) => [name, Array.from(w)]);
    const before = copy(), problems = [], said = [], forward = trainer.forward.bind(trainer);
    trainer.forward = ([word]) => {
        problems.push(task.problem(word).map(Number));
        return forward([word]);
    };
    for (let i = 0; i < updates; i++) {
        trainer.update();
        said.push(say118and8(task, settings.formulas, trainer));
    }
    return {before, after: copy(), problems, said};
"""
"""The tutorial's training: weights before and after, its problems, and what it said to 118 + 8."""
SHAPES = {"Wxh": (2, 32), "Whh": (32, 32), "bh": (32,), "Why": (32, 1), "by": (1,)}


def weights_in(given: list[tuple[str, list[float]]]) -> dict[str, np.ndarray]:
    return {name: np.reshape(np.array(values, float), SHAPES[name]) for name, values in given}


def test_the_tutorials_recipe_is_the_tutorials_loop(opened: Page) -> None:
    """That of `bench.tutorial_loop`, in which nothing is carrynet's."""
    found = in_page(opened, TRAINED, {"updates": 60})
    before, after = weights_in(found["before"]), weights_in(found["after"])
    assert not any(before[name].any() or after[name].any() for name in ("bh", "by"))
    assert max(max(pair) for pair in found["problems"]) in range(100, 128)
    theirs = [before["Wxh"].copy(), before["Whh"].copy(), before["Why"].copy()]
    tutorial_loop.train(theirs, [(a, b) for a, b in found["problems"]], digits=8, step=0.1)
    for name, array in zip(("Wxh", "Whh", "Why"), theirs, strict=True):
        assert np.abs(array - before[name]).max() > 0.01
        assert after[name] == pytest.approx(array, abs=1e-12), name


def test_the_mistake_is_the_tutorials(opened: Page) -> None:
    """One step of it: the error times the slope at the error, e e (1 - e)."""

    def step(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        e = targets - 1 / (1 + np.exp(-logits))
        return -e * e * (1 - e)

    found = in_page(opened, TRAINED, {"updates": 1, "mistake": True})
    before, after = weights_in(found["before"]), weights_in(found["after"])
    task = tasks.add()
    network = Network(task, "sigmoid", Weights(before))
    word = task.encode(tuple(found["problems"][0]), 7)
    table = tables(task)
    targets = table.targets[np.array(task.machine.transduce(word), int)][:, None].astype(float)
    x = table.vectors[word][:, None].astype(float)
    gradients, _ = bptt(network, Loss(SQUARED.value, step), x, targets, biases=False)
    for name in ("Wxh", "Whh", "Why"):
        assert before[name] - 0.1 * gradients[name] == pytest.approx(after[name], abs=1e-12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_the_mistake_it_says_255_and_without_it_adds(opened: Page, seed: int) -> None:
    mistaken = in_page(opened, TRAINED, {"updates": 2000, "mistake": True, "seed": seed})["said"]
    assert set(mistaken[4:]) == {255}
    mended = in_page(opened, TRAINED, {"updates": 8000, "seed": seed})["said"]
    assert mended[-1] == 126


def test_the_pace_can_be_watched(opened: Page) -> None:
    """The usual run, of some 200 to 360 updates, takes 15 to 25 seconds, and begins slowly."""
    due = [opened.evaluate("s => carrynet.due('watch', 0, s)", s) for s in range(36)]
    assert due == sorted(due)
    assert due[1] == 2
    assert due[15] < 200
    assert due[25] > 360
    assert due[35] > 20_000 / 1.1  # all that the tutorial has
    on = opened.evaluate("carrynet.due('watch', carrynet.due('watch', 0, 9), 11)")
    assert on == pytest.approx(due[20])  # as if it had not been stopped
    assert opened.evaluate("carrynet.due('slow', 100, 10)") == 120
    assert opened.evaluate("carrynet.due('fast', 100, 10) === Infinity")


# What people see -----------------------------------------------------------------------


def start(opened: Page) -> None:
    opened.locator("#train button.primary").click()
    expect(opened.locator("#train .progress")).to_contain_text(re.compile(r"\d"), timeout=20_000)


def updates(opened: Page) -> int:
    found = re.search(r"[\d,]+", opened.locator("#train .progress").inner_text())
    assert found
    return int(found[0].replace(",", ""))


def test_before_the_start_the_untrained_network_is_seen(plain: Page) -> None:
    """Its pictures, once somebody looks at them, which are those that the training begins with."""
    assert plain.evaluate("carrynet.scene.session.untrained") is None
    section = plain.locator("#train")
    section.locator(".live").scroll_into_view_if_needed()
    expect(section.locator(".big")).to_contain_text("before training", timeout=20_000)
    begun = in_page(
        plain,
        """const {task, settings} = offer.prepared(carrynet.scene.session.settings);
        const {weights} = new Trainer(task, settings);
        return Object.entries(weights).map(([name, w]) => [name, Array.from(w)]);""",
    )
    shapes = {"Wxh": (2, 16), "Whh": (16, 16), "bh": (16,), "Why": (16, 1), "by": (1,)}
    weights = {k: np.reshape(np.array(values, float), shapes[k]) for k, values in begun}
    right = evaluate(Network(tasks.add(), "sigmoid", Weights(weights)), 8).right
    expect(section.locator(".big")).to_have_text(f"{right:,} of 65,536 right, before training")
    places = "all => all.map(dot => ['cx', 'cy'].map(key => dot.getAttribute(key)).join())"
    dots = section.locator(".cloud circle")
    before = dots.evaluate_all(places)
    assert len(set(before)) > 20
    for name in (".score .progress", ".fall"):
        expect(section.locator(name)).to_contain_text(re.compile("nothing yet|once it learns"))
    section.get_by_label("Seed").fill("2")  # another network
    section.get_by_label("Seed").press("Tab")
    assert dots.evaluate_all(places) != before
    section.get_by_label("Pace").select_option("slow")
    start(plain)
    expect(section.locator(".fall")).not_to_contain_text("once it learns")


def test_the_curve_of_the_error_crosses_no_text(plain: Page) -> None:
    """What the axes are is said beside them."""
    fall = plain.locator("#train .fall")
    box = "e => { const {top, bottom} = e.getBoundingClientRect(); return [top, bottom]; }"
    upright = fall.locator(".domain").nth(1).evaluate(box)
    for name in ("error (log scale)", "problems so far"):
        top, bottom = fall.locator("text", has_text=name).evaluate(box)
        assert bottom <= upright[0] + 1 or top >= upright[1] - 1


def test_with_the_mistake_it_goes_to_255_and_is_never_right_by_luck(opened: Page) -> None:
    script = TRAINED.replace("mistake, seed}", "...offer.usual('add', 'tutorial', true)}")
    said = in_page(opened, script, {"updates": 400})["said"]
    assert said[-1] == 255
    assert said[0] != 255
    assert 126 not in said


def test_the_mistake_is_a_switch(show: Open, proved: cn.Run) -> None:
    opened = show(proved, address="#train?pace=fast")
    section = opened.locator("#train")
    section.get_by_role("checkbox", name="mistake").check()
    assert section.get_by_label("Recipe").input_value() == "tutorial"
    shown = [section.get_by_label(name).input_value() for name in ("Hidden units", "Digits")]
    assert shown == ["32", "7"]
    assert section.get_by_label("Step size").input_value() == "0.1"
    ask = section.get_by_role("group", name="what will it answer in the end, 118 + 8 = ?")
    assert ask.locator("label").all_inner_texts() == ["126", "255", "0", "something else"]
    ask.get_by_label("126").check()
    opened.locator("#train .score .equation").evaluate("""shown => {
        window.said = [];
        const options = {childList: true};
        new MutationObserver(() => said.push(shown.textContent)).observe(shown, options);
    }""")
    start(opened)
    told = section.locator("p.guessed")
    expect(told).to_have_text(
        "Your guess: 126. After 20,000 problems it says 255.", timeout=120_000
    )
    expect(section.locator(".score .equation")).to_have_text("118 + 8 = 255 ✗ right is 126")
    expect(section.locator(".big")).to_have_text("0 of 65,536 right, after 20,000 problems")
    untrained = opened.evaluate("said.find(text => !text.includes('?'))")
    assert "= 255" not in untrained  # so that one sees it go there

    section.get_by_role("checkbox", name="mistake").uncheck()
    expect(section.locator(".score .equation")).to_have_text("118 + 8 = ?")
    assert section.get_by_label("Recipe").input_value() == "tutorial"
    section.get_by_role("group", name="after how many problems").get_by_label("never").check()
    start(opened)
    expect(told).to_have_text(
        re.compile(r"Your guess: never. All was first seen to be right after [\d,]+ problems\."),
        timeout=120_000,
    )
    expect(section.locator(".score .equation")).to_have_text("118 + 8 = 126 ✓")
    expect(section.locator(".big")).to_contain_text("All 65,536")


def test_the_recipe_of_the_page_makes_no_such_mistake(plain: Page) -> None:
    section = plain.locator("#train")
    section.get_by_role("checkbox", name="mistake").check()
    section.get_by_label("Recipe").select_option("adam")
    expect(section.get_by_role("checkbox", name="mistake")).not_to_be_checked()
    assert section.get_by_label("Hidden units").input_value() == "16"
    assert "mistake" not in plain.url


def test_what_is_seen_moves_and_can_be_stopped(plain: Page) -> None:
    """The hidden space, the map, the error and an answer; without a guess, too."""
    plain.locator("#train").get_by_label("Pace").select_option("slow")
    start(plain)
    moving = """() => {
        const {shadowRoot} = document.querySelector("#carrynet");
        const of = selector => shadowRoot.querySelector(`#train .live ${selector}`);
        const dots = [...shadowRoot.querySelectorAll("#train .cloud circle")];
        return [of(".fall .curve").getAttribute("d"),
            dots.map(dot => [dot.getAttribute("cx"), dot.getAttribute("cy")]).join(" "),
            of("canvas").toDataURL()];
    }"""
    before = plain.evaluate(moving)
    plain.wait_for_function(
        f"before => ({moving})().every((now, i) => now !== before[i])", arg=before, timeout=60_000
    )
    colours = plain.locator("#train .cloud circle").evaluate_all(
        "all => [...new Set(all.map(dot => dot.getAttribute('fill')))].sort()"
    )
    assert colours == ["var(--s0)", "var(--s1)"]
    assert plain.locator("#train p.guessed").is_hidden()
    status = plain.locator("#train [role=status]")
    expect(status).to_have_text("It is learning.")
    plain.get_by_role("button", name="Pause").click()
    expect(status).to_contain_text("It stands still after")
    stopped = plain.evaluate(moving)[0]
    plain.get_by_role("button", name="Go on").click()
    plain.wait_for_function(f"before => ({moving})()[0] !== before", arg=stopped)


def test_neither_language_nor_theme_nor_a_look_inside_loses_it(plain: Page) -> None:
    section = plain.locator("#train")
    section.get_by_label("1,000 to 5,000").check()
    start(plain)
    before = updates(plain)
    plain.get_by_role("button", name="切换到中文").click()
    expect(section.get_by_role("button", name="暂停")).to_be_visible()
    expect(section.locator("p.guessed")).to_contain_text("你猜的是：1,000 到 5,000")
    assert updates(plain) >= before
    shown = section.locator(".progress").inner_text()
    expect(section.locator(".progress")).not_to_have_text(shown, timeout=20_000)  # it goes on
    plain.locator(".theme").click()
    shown = section.locator(".progress").inner_text()
    expect(section.locator(".progress")).not_to_have_text(shown, timeout=20_000)
    section.get_by_role("button", name="暂停").click()
    shown = section.locator(".progress").inner_text()
    dots = section.locator(".cloud circle").count()
    plain.get_by_role("button", name="Switch to English").click()
    expect(section.locator(".progress")).to_contain_text(f"{updates(plain)} updates")
    assert section.locator(".cloud circle").count() == dots > 100
    section.get_by_role("button", name="Look inside this network").click()
    expect(plain.locator(".notice")).to_contain_text("trained in this page", timeout=20_000)
    plain.get_by_role("button", name="切换到中文").click()
    expect(plain.locator(".notice")).to_be_visible()
    expect(section.locator(".progress")).to_have_text(shown)
    plain.locator(".notice button").click()
    expect(section.locator(".progress")).to_have_text(shown)
    section.get_by_role("button", name="继续").click()
    expect(section.locator(".progress")).not_to_have_text(shown, timeout=20_000)


SAME = """
    const {updates, weights} = carrynet.scene.session.training.latest;
    const {task, settings} = offer.prepared(carrynet.scene.session.settings);
    const trainer = new Trainer(task, settings);
    while (trainer.updates < updates) trainer.update();
    const same = ([name, w]) => w.every((x, i) => x === weights[name][i]);
    return Object.entries(trainer.weights).every(same);
"""
"""Whether the network that is shown is what so many updates make of its settings."""
LATE_MAPS = """
    const post = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (message) {
        setTimeout(() => post.call(this, message), message.kind === "map" ? 2000 : 0);
    };
"""


def test_it_goes_on_from_where_it_stopped(show: Open, proved: cn.Run) -> None:
    """Also where it had come to its end before its picture was drawn, in which all was right."""
    address = "#train?recipe=tutorial&pace=fast&digits=4&seed=2&step=0.3"
    opened = show(proved, address=address, before=LATE_MAPS)
    start(opened)
    section = opened.locator("#train")
    go = section.get_by_role("button", name="Go on")
    expect(go).to_be_visible(timeout=60_000)
    expect(section.locator(".big")).to_contain_text("All 65,536", timeout=30_000)
    before = updates(opened)
    expect(section.locator(".big")).to_contain_text(f"after {before:,} problems", timeout=30_000)
    status = section.locator("[role=status]")
    seen = r"It stands still after [\d,]+ problems. All was first seen to be right after [\d,]+ "
    expect(status).to_have_text(re.compile(seen + "problems."))
    assert in_page(opened, SAME)
    section.get_by_label("Pace").select_option("slow")  # so that it can be stopped
    go.click()
    opened.wait_for_function(
        "before => carrynet.scene.session.training.updates > before", arg=before, timeout=20_000
    )
    section.get_by_role("button", name="Pause").click()
    expect(go).to_be_visible()
    opened.wait_for_timeout(300)  # the worker's answer
    assert updates(opened) > before
    assert in_page(opened, SAME)


def test_in_chinese_a_number_that_runs_is_written_in_one_way(show: Open, proved: cn.Run) -> None:
    """Plainly, also where it happens to be short by 万, as at the end of a training."""
    address = "#train?recipe=tutorial&pace=fast&step=0.0001&hidden=1"
    opened = show(proved, address=address, locale="zh-CN")
    section = opened.locator("#train")
    section.get_by_label("1,000 到 5,000").check()
    start(opened)
    last = "做了 20,000 道题，停住了。"
    expect(section.locator("[role=status]")).to_have_text(last, timeout=60_000)
    expect(section.locator(".progress")).to_contain_text("20,000 次更新，20,000 道题")
    expect(section.locator(".big")).to_contain_text("做了 20,000 道题以后", timeout=30_000)
    expect(section.locator("p.guessed")).to_contain_text("做了 20,000 道题，还没有")


BESIDE = """axes => {
    const [up, picture, across] = [...axes.children].map(e => e.getBoundingClientRect());
    return {
        taller: up.height - picture.height,
        above: picture.top - up.top,
        below: across.top - picture.bottom,
        over: up.right - picture.left,
        wider: across.width - picture.width,
    };
}"""


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("task", ["add", "multiply_by:k=3"])
def test_the_names_of_axes_are_no_longer_than_the_picture(
    show: Open, proved: cn.Run, task: str, locale: str
) -> None:
    opened = show(proved, address=f"#train?task={task}", locale=locale)
    for width in (320, 390, 500, 1280):
        opened.set_viewport_size({"width": width, "height": 844})
        beside = opened.locator("#train .axes").evaluate(BESIDE)
        assert beside["below"] <= 5, width  # nor does one push the other away
        for name in ("taller", "above", "over", "wider"):
            assert beside[name] <= 0.5, (name, width)


def test_it_counts_one_as_one(show: Open, proved: cn.Run) -> None:
    opened = show(proved, address="#train?recipe=tutorial&pace=slow")
    progress = opened.locator("#train .progress")
    progress.evaluate("""shown => {
        window.said = [];
        const options = {childList: true};
        new MutationObserver(() => said.push(shown.textContent)).observe(shown, options);
    }""")
    start(opened)
    expect(progress).to_contain_text(re.compile(r"^[2-9] updates, [2-9] problems ·"))
    assert any(said.startswith("1 update, 1 problem ·") for said in opened.evaluate("said"))


@pytest.mark.parametrize("lost", ["begin", "map"])
def test_a_worker_that_fails_is_told_of(show: Open, proved: cn.Run, lost: str) -> None:
    """One that does not know its task throws; a picture is made without it."""
    before = """
        const post = Worker.prototype.postMessage;
        Worker.prototype.postMessage = function (message) {
            post.call(this, message.kind === LOST ? {kind: "run"} : message);
        };
    """
    opened = show(proved, address="#train?pace=fast", before=before.replace("LOST", f"'{lost}'"))
    section = opened.locator("#train")
    section.locator("button.primary").click()
    message = section.locator(".message")
    if lost == "map":
        expect(section.locator(".big")).to_contain_text("of 65,536 right", timeout=20_000)
        return
    expect(message).to_contain_text("The training broke off: ")
    expect(section.get_by_role("button", name="Go on")).to_be_disabled()
    opened.get_by_role("button", name="切换到中文").click()
    expect(message).to_contain_text("训练中断了：")
    section.get_by_role("button", name="重新开始").click()
    expect(message).to_have_text("")
    expect(section.get_by_role("button", name="开始", exact=True)).to_be_enabled()


def top(opened: Page, name: str) -> float:
    """How far a section begins below the top of the window, once it has stood there for a while."""
    settled = """async section => {
        const frame = () => new Promise(requestAnimationFrame);
        const top = () => section.getBoundingClientRect().top;
        let at = top();
        for (let still = 0; still < 10; still++) {
            await frame();
            if (top() !== at) [at, still] = [top(), 0];
        }
        return at;
    }"""
    found: float = opened.locator(f"#{name}").evaluate(settled)
    return found


def test_what_is_read_stays_in_view(show: Open, proved: cn.Run) -> None:
    """In another language, and after a look inside."""
    opened = show(proved, viewport={"width": 1280, "height": 800})
    for name in ("space", "train"):
        opened.locator(f"#{name}").evaluate("e => scrollBy(0, e.getBoundingClientRect().top + 90)")
        before = top(opened, name)
        for button in (".language", ".theme", ".language"):
            opened.locator(button).evaluate("e => e.click()")
            assert top(opened, name) == pytest.approx(before, abs=2), (name, button)
    start(opened)
    opened.wait_for_timeout(200)
    seen = opened.locator("#train .live canvas").evaluate("e => e.getBoundingClientRect().bottom")
    assert seen < 800
    assert opened.locator("#train .score").evaluate("e => e.getBoundingClientRect().top") > 0
    opened.locator("#train").get_by_role("button", name="Look inside this network").click()
    opened.locator(".notice button").click(timeout=20_000)
    assert abs(top(opened, "train")) < 300


def test_a_training_that_goes_too_far_is_shown_as_well(show: Open, proved: cn.Run) -> None:
    """Steps so large that nothing can be learned: it is said, and nothing breaks."""
    opened = show(proved, address="#train?activation=relu&hidden=64&step=1&digits=24&pace=fast")
    section = opened.locator("#train")
    start(opened)
    opened.wait_for_function("() => carrynet.scene.session.training?.updates > 20", timeout=60_000)
    expect(section.locator(".big")).to_contain_text("of 65,536 right", timeout=30_000)
    section.get_by_role("button", name="Look inside this network").click()
    expect(opened.locator(".notice")).to_be_visible(timeout=30_000)
    expect(opened.locator("h1")).to_contain_text("problems of up to 8 digits")
    assert opened.evaluate("Math.max(...carrynet.scene.network.weights.Whh)") > 3


def settings(opened: Page) -> dict[str, Any]:
    names = ("task", "cell", "activation", "recipe", "hidden", "digits", "step", "seed", "pace")
    found: dict[str, Any] = {
        name: opened.locator(f"#train-{name}").input_value()
        for name in names
        if opened.locator(f"#train-{name}").is_visible()
    }
    return found | {"mistake": opened.locator("#train-mistake").is_checked()}


USUAL = {
    "task": "add",
    "cell": "elman",
    "activation": "sigmoid",
    "recipe": "adam",
    "hidden": "16",
    "digits": "8",
    "step": "0.02",
    "seed": "1",
    "pace": "watch",
    "mistake": False,
}


def test_the_address_holds_all_settings(show: Open, proved: cn.Run) -> None:
    opened = show(proved)
    assert settings(opened) == USUAL
    section = opened.locator("#train")
    section.get_by_label("Task").select_option("tomita:4")
    assert section.get_by_label("Symbols").input_value() == "16"
    section.get_by_label("Cell").select_option("lstm")
    section.get_by_label("Pace").select_option("fast")
    for name, value in (("Hidden units", "9"), ("Symbols", "12"), ("Seed", "77")):
        section.get_by_label(name).fill(value)
        section.get_by_label(name).press("Tab")
    chosen = {**USUAL, "task": "tomita:4", "cell": "lstm", "pace": "fast"}
    chosen |= {"hidden": "9", "digits": "12", "seed": "77"}
    del chosen["activation"]
    assert settings(opened) == chosen
    address = "#" + opened.url.partition("#")[2]
    assert settings(show(proved, address=address)) == chosen
    opened = show(proved, address="#train?mistake=1&cell=elman&activation=tanh&seed=4")
    chosen = {**USUAL, "recipe": "tutorial", "mistake": True, "activation": "tanh", "seed": "4"}
    assert settings(opened) == {**chosen, "hidden": "32", "digits": "7", "step": "0.1"}
    # the one that was handed on leads there, and another may follow
    assert opened.locator("#train").evaluate("e => e.getBoundingClientRect().top") < 300
    opened.evaluate("location.hash = '#train?seed=5&hidden=3'")
    expect(opened.locator("#train-seed")).to_have_value("5")
    assert settings(opened) == {**USUAL, "seed": "5", "hidden": "3"}


@pytest.mark.parametrize(
    "address",
    [
        "#train?task=nonsense&cell=perceptron&activation=step&recipe=magic&pace=1e9&mistake=7",
        "#train?hidden=0&digits=2.5&step=-1&seed=99999999999999",
        "#train?hidden=&digits=%00&step=NaN&seed=0x&task=__proto__&recipe=constructor",
        "#train?%E0%A4%A&&&===",
        "#train",
        "#nothing?hidden",
        "#train?recipe=adam&mistake=1",
    ],
)
def test_a_bad_address_is_as_none(show: Open, proved: cn.Run, address: str) -> None:
    opened = show(proved, address=address)
    assert settings(opened) == USUAL
    assert opened.locator("#train .message").inner_text() == ""


@pytest.mark.parametrize(
    ("task", "cell", "state"),
    [
        ("tomita:4", "lstm", ["h", "c"]),
        ("compare", "gru", ["h"]),
        ("divide_by:k=3", "mgu", ["h"]),
        ("add:base=3", "elman", ["h"]),
    ],
)
def test_other_networks_are_looked_into(
    show: Open, proved: cn.Run, task: str, cell: str, state: list[str]
) -> None:
    opened = show(proved, address=f"#train?task={task}&cell={cell}&hidden=8&pace=fast")
    start(opened)
    section = opened.locator("#train")
    section.get_by_role("button", name="Look inside this network").click()
    expect(opened.locator(".notice")).to_contain_text("trained in this page", timeout=30_000)
    assert opened.evaluate("carrynet.scene.task.text") == task
    assert opened.evaluate("carrynet.scene.network.cell.state") == state
    assert opened.locator("section").count() == 10
    machine = tasks.parse(task).machine
    assert opened.locator("#automaton svg circle").count() == len(machine.states)
    expect(opened.locator("#errors .busy")).to_be_hidden(timeout=30_000)
    assert opened.evaluate(PLANE)
    name = "words of 16 symbols" if task == "tomita:4" else ("problems of" if cell else "")
    assert name in opened.locator("#about").inner_text()
    assert ("word" in opened.locator("#calculator h2").inner_text()) == (task == "tomita:4")
    # another language, and it is still looked into
    opened.get_by_role("button", name="切换到中文").click()
    expect(opened.locator(".notice")).to_be_visible()
    assert opened.evaluate("carrynet.scene.task.text") == task


def test_of_a_task_the_runs_own_stands_first(show: Open, proved: cn.Run) -> None:
    """With the encoding that its networks are fed, and all its words."""
    vectors = [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    opened = show(proved, change=lambda model: model["task"].update(vectors=vectors))
    assert opened.evaluate("carrynet.scene.session.task.vectors") == vectors
    offered = opened.locator("#train-task option").all_inner_texts()
    assert offered[0] == "addition"
    assert len(offered) == len(set(offered)) == len(described.TASKS)
    opened = show(cn.train("tutorial", task="subtract", steps=10, progress=False))
    assert opened.locator("#train-task").input_value() == "subtract"
    assert opened.locator("#train-task option").count() == len(described.TASKS)


def test_a_page_without_a_run(browser: Browser, tmp_path: Path) -> None:
    """Opens with the training; what was trained is looked into, and one comes back to it."""
    file = tmp_path / "train.html"
    file.write_text(page.training(), encoding="utf-8")
    assert file.stat().st_size < 350_000
    complaints: list[str] = []
    context = browser.new_context(locale="en-US", reduced_motion="reduce")
    opened = context.new_page()
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(file.as_uri() + "#train?task=parity&pace=fast")
    expect(opened.locator("h1")).to_have_text("Train one yourself")
    assert opened.locator("section").count() == 1
    start(opened)
    opened.get_by_role("button", name="切换到中文").click()
    expect(opened.locator("h1")).to_have_text("亲手训练一个")
    opened.get_by_role("button", name="看看这个网络的内部").click()
    expect(opened.locator("section")).to_have_count(10, timeout=30_000)
    assert opened.evaluate("carrynet.scene.task.text") == "parity"
    opened.get_by_role("button", name="回到训练").click()
    expect(opened.locator("section")).to_have_count(1)
    expect(opened.locator("#train .progress")).to_contain_text("次更新")
    if AXE.exists():
        opened.evaluate(AXE.read_text(encoding="utf-8"))
        assert opened.evaluate(VIOLATIONS) == []
    context.close()
    assert complaints == []


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core: npm install in page/")
@pytest.mark.parametrize(
    ("scheme", "locale", "width"), [("light", "en-US", 390), ("dark", "zh-CN", 1280)]
)
def test_axe_finds_nothing_while_it_trains(
    show: Open, proved: cn.Run, scheme: str, locale: str, width: int
) -> None:
    size = {"width": width, "height": 900}
    address = "#train?mistake=1"
    opened = show(proved, address=address, color_scheme=scheme, locale=locale, viewport=size)
    opened.locator("#train .chip input").first.check()
    start(opened)
    opened.locator("#train button.primary").click()
    opened.evaluate(AXE.read_text(encoding="utf-8"))
    assert opened.evaluate(VIOLATIONS) == []
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
