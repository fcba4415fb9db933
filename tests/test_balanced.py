"""Words by their last answer, and problems that ask for some answers only."""

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from carrynet.data import balanced, drawn, rng, words as problems
from carrynet.engines import native
from carrynet.errors import InputError
from carrynet.judge import evaluation, measures
from carrynet.learn import training
from carrynet.learn.compile import build
from carrynet.learn.mechanism import Construction
from carrynet.nets.losses import LOSSES, predict
from carrynet.nets.network import Network
from carrynet.nets.optim import initial_moments
from carrynet.nets.weights import Weights
from carrynet.spec import recipe as recipes, tasks
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import Stage

SHORT = Recipe(
    name="short",
    task="tomita:3",
    digits=6,
    hidden=3,
    activation="tanh",
    biases=True,
    dtype="float64",
    stages=(Stage(steps=6, batch=5, loss="cross-entropy", optimiser="adam", step=0.01),),
)


def words_of(text: str, length: int, count: int, width: int | None = None) -> problems.Words:
    width = width or length
    bits = rng.raw(3, 1, 0, count * (1 + width)).reshape(count, 1 + width)
    return balanced.balanced(tasks.parse(text), np.full(count, length), bits)


@pytest.mark.parametrize("text", ["tomita:1", "tomita:3", "parity", "dyck", "modular:3", "cycle:3"])
def test_every_outcome_alike_and_within_it_every_word_alike(text: str) -> None:
    """Against the list of all words of five symbols, or three."""
    task = tasks.parse(text)
    symbols = len(task.machine.symbols)
    length, count = (5 if symbols <= 4 else 3), 40_000
    by_outcome: dict[int, set[tuple[int, ...]]] = {}
    for word in product(range(symbols), repeat=length):
        last = task.machine.transduce(word)[-1]
        if last is not None:
            by_outcome.setdefault(last, set()).add(word)
    seen = Counter(map(tuple, words_of(text, length, count, length + 2)[:, :length].tolist()))
    assert set(seen) == set.union(*by_outcome.values())
    for possible in by_outcome.values():
        wanted = count / len(by_outcome) / len(possible)
        for word in possible:
            assert abs(seen[word] - wanted) < 6 * wanted**0.5, word


def test_a_word_in_two_to_the_thousand_is_found() -> None:
    words = words_of("tomita:1", 1_000, 40)
    accepted = (words == 1).all(axis=1)
    assert 8 <= accepted.sum() <= 32
    task = tasks.parse("tomita:1")
    assert (problems.answers(task, words)[:, -1] == accepted).all()


def test_lengths_are_those_that_end_in_a_question() -> None:
    task, bits = tasks.parse("modular:3"), rng.raw(0, 1, 0, 2_000)
    lengths = balanced.lengths(task, 9, bits)
    assert sorted(set(lengths.tolist())) == [1, 3, 5, 7, 9]
    assert set(balanced.lengths(task, 9, bits, shortest=6).tolist()) == {7, 9}
    # at length 2 there is none: then it is the longest before it
    assert set(balanced.lengths(task, 2, bits, shortest=2).tolist()) == {1}
    assert words_of("modular:3", 2, 50).max() < 6


@pytest.mark.parametrize(
    ("lengths", "asked"), [("drawn", "every"), ("drawn", "end"), ("whole", "end")]
)
@pytest.mark.parametrize("text", ["tomita:3", "add:base=3", "modular:3"])
def test_what_is_asked_at_which_positions(text: str, lengths: str, asked: str) -> None:
    task = tasks.parse(text)
    stage = Stage(steps=50, batch=20, lengths=lengths, asked=asked, words="balanced")
    recipe = Recipe(name="x", task=text, digits=6, stages=(stage,))
    words = drawn.draw(recipe, 0, 0, 50).reshape(-1, 6)
    symbols, partly = len(task.machine.symbols), drawn.partly(task)
    is_asked = words < symbols
    plain = words % symbols
    right = problems.answers(task, plain)
    assert (problems.answers(partly, words) == np.where(is_asked, right, problems.OPEN)).all()
    assert partly.inputs == task.inputs
    for a in range(2 * symbols):
        assert partly.vector(a) == task.vector(a % symbols)
    counts = is_asked.sum(axis=1)
    lasts = 5 - is_asked[:, ::-1].argmax(axis=1)  # of those that are asked
    assert set(counts.tolist()) == ({1} if asked == "end" else set((lasts + 1).tolist()))
    ends = {0, 2, 4} if text == "modular:3" else set(range(6))
    assert set(lasts.tolist()) == (ends if lengths == "drawn" else {max(ends)})
    of_last = right[np.arange(len(words)), lasts]
    assert (of_last != problems.OPEN).all()


def test_problems_come_by_position() -> None:
    stage = Stage(steps=9, batch=4, lengths="drawn", words="balanced")
    recipe = replace(SHORT, stages=(stage,))
    whole = drawn.draw(recipe, 0, 0, 9)
    parts = [drawn.draw(recipe, 0, first, count) for first, count in ((0, 2), (2, 1), (3, 6))]
    assert (np.concatenate(parts) == whole).all()


def test_uniform_words_have_no_walks_among_them() -> None:
    recipe = Recipe(name="x", task="tomita:1", digits=30, stages=(Stage(batch=500),))
    accepted = {}
    for kind in ("usual", "uniform", "balanced"):
        words = drawn.draw(recipe.with_settings({"words": kind}), 0, 0, 1)[0]
        accepted[kind] = int(problems.answers(recipe.specification, words)[:, -1].sum())
    assert accepted["uniform"] == 0 < accepted["usual"] < accepted["balanced"]
    assert 200 < accepted["balanced"] < 300


@pytest.mark.parametrize("engine", ["numpy", "native", "jax"])
@pytest.mark.parametrize("cell", ["elman", "gru"])
def test_one_update_is_that_of_the_asked_answers_alone(engine: str, cell: str) -> None:
    """Against differences of the loss of those answers, by the network's own steps."""
    if engine == "native" and (reason := native.unavailable()):
        pytest.skip(reason)
    dtype = "float32" if engine == "native" else "float64"
    settings = {"optimiser": "sgd", "step": 1.0, "steps": 1, "words": "balanced"}
    recipe = SHORT.with_settings(
        {**settings, "lengths": "drawn", "asked": "end", "cell": cell, "dtype": dtype}
        | ({"activation": "sigmoid"} if cell == "gru" else {})
    )
    before = training.start(recipe).network
    made = training.fit(recipe, engine=engine, reports=1)
    words = drawn.draw(recipe, 0, 0, 1)[0]
    wide = before.astype("float64")
    task, loss = recipe.specification, LOSSES["cross-entropy", "bits"]
    partly = drawn.partly(task)

    def of(weights: object) -> float:
        network, total = wide.moved(weights), 0.0  # type: ignore[arg-type]
        for word in words.tolist():
            answers = partly.machine.transduce(word)
            logits = np.concatenate([y for _, y in network.states([a % 2 for a in word])])
            for y, answer in zip(logits, answers, strict=True):
                if answer is not None:
                    total += float(loss.value(y, np.array([answer], float)))
        return total / len(words)

    for name, w in wide.weights.items():
        place = (0,) * w.ndim
        nudge = np.zeros_like(w)
        nudge[place] = 1e-6
        more, less = (wide.weights.replace(**{name: w + s * nudge}) for s in (1, -1))
        slope = (of(more) - of(less)) / 2e-6
        step = float(before.weights[name][place]) - float(made.weights[name][place])
        assert step == pytest.approx(slope, rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize("engine", ["numpy", "native", "jax"])
def test_populations_are_asked_alike(engine: str) -> None:
    if engine == "native" and (reason := native.unavailable()):
        pytest.skip(reason)
    online = Stage(steps=40, batch=1, lengths="drawn", asked="end", words="balanced")
    one = replace(SHORT, dtype="float32", activation="sigmoid", stages=(online,))
    both = [replace(one, seed=seed) for seed in (1, 2)]
    for recipe, network in zip(
        both, training.fit_many(both, engine=engine, threads=1), strict=True
    ):
        alone = training.fit(recipe, engine="numpy")
        assert not isinstance(network, training.Diverged)
        for name, w in alone.weights.items():
            np.testing.assert_allclose(network.weights[name], w, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("task", ["add", "tomita:3"])
@pytest.mark.parametrize("words", ["usual", "balanced"])
def test_examples_are_so_many_and_the_same_in_every_stage(task: str, words: str) -> None:
    learn = Stage(steps=30, batch=4, words=words)
    stages = (learn, replace(learn, name="again", steps=3, batch=2))
    recipe = Recipe(task=task, seed=5, digits=9, examples=7, stages=stages)
    shown = drawn.draw(recipe, 0, 0, 30).reshape(120, 9)
    assert (shown == shown[np.arange(120) % 7]).all()
    assert len(np.unique(shown[:7], axis=0)) == 7
    assert (drawn.draw(recipe, 0, 12, 2).reshape(8, 9) == shown[48:56]).all()
    assert (drawn.draw(recipe, 1, 0, 3).reshape(6, 9) == shown[:6]).all()
    fresh = recipe.with_settings({"examples": 0})
    first = drawn.draw(fresh, 0, 0, 30).reshape(120, 9)
    assert (first[:7] == shown[:7]).all()
    assert len(np.unique(first, axis=0)) > 60
    assert recipe.showing("problems") == "126 problems (7 different ones)"


@pytest.mark.parametrize("cell", ["elman", "gru"])
def test_who_had_few_examples_is_hardened_by_fresh_problems(cell: str) -> None:
    recipe = Recipe(cell=cell, hidden=3, examples=5, stages=(Stage(steps=5),))
    network = training.fit(recipe)
    assert training.hardening(recipe, network).examples == 0
    elsewhere = replace(recipe, origin=network.digest(), stages=())
    assert elsewhere.showing("problems") == ""


def test_populations_have_each_their_own_examples() -> None:
    one = Recipe(hidden=3, examples=5, stages=(Stage(steps=50),))
    both = [replace(one, seed=seed) for seed in (1, 2)]
    for recipe, network in zip(both, training.fit_many(both, engine="jax"), strict=True):
        alone = training.fit(recipe, engine="numpy")
        assert not isinstance(network, training.Diverged)
        for name, w in alone.weights.items():
            np.testing.assert_allclose(network.weights[name], w, rtol=2e-4, atol=2e-5)


def test_progress_counts_what_is_asked() -> None:
    seen: list[training.Progress] = []
    recipe = SHORT.with_settings({"asked": "end", "lengths": "drawn"})
    network = training.fit(recipe, callbacks=[seen.append], engine="numpy")
    assert seen
    assert network.task == recipe.specification == seen[-1].state.network.task
    assert all(np.isfinite(p.loss) and 0 <= p.right <= 1 for p in seen)
    assert len(str(training.last_problem(recipe)[0])) == 6
    assert initial_moments("sgd", network.weights) == ()


def test_plain_learns_what_it_is_for() -> None:
    base = recipes.get("plain")
    assert (base.digits, base.partly, base.stages[0].words) == (40, True, "balanced")
    gated = base.with_settings({"cell": "gru", "task": "tomita:4"})
    assert (gated.activation, gated.stages) == ("sigmoid", base.stages)
    assert gated.with_settings({"cell": "elman"}).activation == "tanh"
    network = training.fit(base.with_settings({"task": "even_pairs", "hidden": 16, "steps": 700}))
    words = words_of("even_pairs", 100, 64)
    answers = problems.answers(network.task, words)
    right = [
        network.transduce(w) == a for w, a in zip(words.tolist(), answers.tolist(), strict=True)
    ]
    assert sum(right) > 55


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"over": "edges", "asked": "end"}, "a stage over edges has none"),
        ({"over": "edges", "words": "uniform"}, "a stage over edges has none"),
        ({"worst": 0.5, "asked": "end"}, "without a worst case"),
        ({"growing": 0.5, "lengths": "drawn"}, "growing must be 0"),
        ({"asked": "last"}, "unknown asked 'last': accepted: every, end"),
    ],
)
def test_what_cannot_be_is_one_line(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Stage(**{"loss": "cross-entropy", **settings})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_words_that_do_not_fit_in_memory_are_refused() -> None:
    stage = Stage(words="balanced")
    with pytest.raises(InputError, match=r"words by .* states.* does not fit in memory"):
        Recipe(name="x", task="dyck:kinds=4,depth=5", digits=4096, stages=(stage,))


# Accuracy ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["tomita:1", "parity", "modular:3", "add"])
def test_accuracy_is_that_of_all_words_by_their_outcome(text: str) -> None:
    """Against the list of all words of a length, those of each last answer alike."""
    recipe = replace(SHORT, task=text, stages=(Stage(steps=1),))
    network = training.start(recipe).network
    task, length, count = network.task, 3, 8_192
    right: dict[int, list[bool]] = {}
    for word in product(range(len(task.machine.symbols)), repeat=length):
        last = task.machine.transduce(word)[-1]
        if last is not None:
            *_, (_, logits) = network.states(list(word))
            said = predict(logits)[-1]
            right.setdefault(last, []).append(int(said) == last)
    share = np.mean([np.mean(mine) for mine in right.values()])
    told = measures.accuracy(network, length, length, words=count)
    assert (told.shortest, told.longest, told.words) == (length, length, count)
    assert told.rate == pytest.approx(share, abs=4 * 0.5 / count**0.5)
    assert told == measures.accuracy(network, length, length, words=count, engine="numpy")
    other = measures.accuracy(network, length, length, words=count, seed=1)
    assert other.rate == pytest.approx(share, abs=4 * 0.5 / count**0.5)


def test_what_is_answered_on_the_way_does_not_matter() -> None:
    """A network that says 1 after every symbol is right of half of all words, whatever comes."""
    network = training.start(replace(SHORT, task="parity")).network
    weights = dict(network.weights) | {"Why": 0 * network.weights["Why"], "by": np.ones(1)}
    ones = Network(network.task, network.cell, Weights(weights), network.readout)
    told = measures.accuracy(ones, 1, 60, words=4_096)
    assert told.rate == pytest.approx(0.5, abs=0.04)
    whole = evaluation.sample(ones, 60, pairs=256)
    assert whole.right == 0


def test_a_network_that_is_right_has_accuracy_1() -> None:
    network, _ = build(tasks.parse("tomita:4"), Construction(cell="gru"))
    assert measures.accuracy(network).right == 512
