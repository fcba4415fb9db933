"""Training: the one loop, whatever the recipe and the engine.

    for each stage of the recipe's schedule, until its steps are done, unless it is not needed:
        draw the next problems, by position         (problems, rng)
        let the engine make the updates             (engines)
        report progress to the callbacks

Machine code makes updates in a thread, while problems are drawn and progress is reported; NumPy
and JAX make them by turns with that.

A callback may save what it is given: training that starts again from any
`Progress.state` ends in the same weights, bit for bit.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet import engines
from carrynet.data import drawn, words as problems
from carrynet.errors import CarrynetError, InputError
from carrynet.learn import codes, cost, edges
from carrynet.learn.edges import Boxes
from carrynet.nets import cells, invariant
from carrynet.nets.arrays import Array, quiet, sigmoid
from carrynet.nets.losses import LOSSES, over_neurons, predict
from carrynet.nets.network import Network
from carrynet.nets.optim import Moments, initial_moments
from carrynet.nets.weights import Weights, initialise
from carrynet.spec.codec import Operand
from carrynet.spec.recipe import HARDEN_DIGITS, MAX_NUMBERS, Recipe, certified_by
from carrynet.spec.stage import CLOSE, HARDEN, ROUNDS, Stage


class Ended(NamedTuple):
    """How a stage over edges ended."""

    network: Network
    open_edges: int  #: of how many edges it left boxes open, of those that were looked at


@dataclass(frozen=True, eq=False)
class State:
    """Where a training stands; all that is needed to go on from there."""

    network: Network
    moments: Moments  #: of the optimiser, in the stage that is running
    stage: int  #: index in the recipe's schedule; len(schedule) when training is done
    step: int  #: updates made in that stage
    boxes: Boxes | None = None  #: those that are trained with it, in a stage over edges
    best: Ended | None = None  #: how this stage ended best, where it is made again


@dataclass(frozen=True, eq=False)
class Progress:
    """What a callback is told of every few updates; means are over those updates.

    Updates are made many at a time, and told of one report after the other once they are made.
    The last of these reports has the state that they left; those before it have the one from which
    they were made, as `state.step` says, so that whoever goes on from a state has been told of all
    that came before it.
    """

    state: State  #: where the training can go on from
    stage: str
    step: int  #: updates made in this stage
    steps: int  #: updates that this stage has
    problem: int  #: problems shown since the training began, and edges
    problems: int  #: problems, and edges, that the whole training shows, as far as is known
    error: float  #: mean of sum_t |target - output|, the tutorial's error
    loss: float  #: mean loss of a problem
    right: float  #: part of the problems with every digit right
    open_edges: int | None = None  #: that a stage over edges has left, in its last report


Callback = Callable[[Progress], None]

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Of a stage's updates: after these a snapshot is kept."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A network at one moment of its training."""

    problem: int  #: problems shown
    network: Network


class Album:
    """A callback that keeps a snapshot of the beginning, and some of each stage.

    More of them early in a stage, where networks change fast.  Begun again with the
    snapshots that there were at a checkpoint, it ends with the same ones.
    """

    def __init__(self, state: State, kept: Sequence[Snapshot] = ()) -> None:
        self.snapshots = list(kept) or [Snapshot(0, state.network)]
        self._stage, self._step = state.stage, state.step

    def __call__(self, progress: Progress) -> None:
        """Keep the network where a share of the stage has just been passed."""
        ended = progress.step == progress.steps
        stage = progress.state.stage - ended
        before = self._step if stage == self._stage else 0
        if any(before < share * progress.steps <= progress.step for share in SHARES):
            self.snapshots.append(Snapshot(progress.problem, progress.state.network))
        self._stage, self._step = stage + ended, progress.state.step


class Diverged(CarrynetError):
    """Training left the finite numbers; the states given to callbacks are all good."""


def start(recipe: Recipe, origin: Network | None = None) -> State:
    """The state before the first update: random weights, or the network that the recipe names.

    Raises `InputError` unless `origin` is the network that the recipe begins with, and one as the
    recipe says.
    """
    if recipe.origin or origin:
        if origin is None or origin.digest() != recipe.origin:
            raise InputError(
                "the recipe begins with a network, its origin, which must be given: as origin=, "
                "or --origin FILE"
            )
        _check_origin(recipe, origin)
        return _next_stage(recipe, origin, 0)
    width = recipe.init_width
    if recipe.init_scaling == "sqrt-hidden":
        width /= recipe.hidden**0.5
    task = recipe.specification
    cell, readout = cells.of(recipe)
    weights = initialise(
        task,
        recipe.hidden,
        cell,
        readout=readout,
        learned_start=recipe.start == "learned",
        width=width,
        seed=recipe.seed,
        dtype=recipe.dtype,
    )
    network = Network(task, cell, weights, readout)
    if recipe.init == "machine":
        network = network.moved(codes.fitted(network, recipe.seed))
    return _next_stage(recipe, network, 0)


def _check_origin(recipe: Recipe, origin: Network) -> None:
    """Refuse a recipe that says otherwise than the network that it begins with."""
    cell, readout = cells.of(recipe)
    pairs = {
        "another task": (recipe.specification, origin.task),
        "another cell, or activation": (cell, origin.cell),
        "another readout": (readout, origin.readout),
        f"hidden = {origin.hidden}": (recipe.hidden, origin.hidden),
        f"dtype = {origin.dtype}": (recipe.dtype, origin.dtype.name),
        "another start": (recipe.start, origin.settings.get("start", "zero")),
    }
    if has := [what for what, (said, is_) in pairs.items() if said != is_]:
        raise InputError(
            f"the network that the recipe begins with, its origin, has {', '.join(has)}: that "
            "cannot be set"
        )


def fit(
    recipe: Recipe,
    *,
    engine: str = "auto",
    state: State | None = None,
    callbacks: Sequence[Callback] = (),
    reports: int = 100,
) -> Network:
    """Train as the recipe says, from `state` or from the beginning.

    Callbacks are called about `reports` times a stage, of several reports in a row where updates
    are fast.  Machine code makes the next updates meanwhile; where a callback raises, these are
    dropped.

    Raises `Diverged` when weights or outputs are no longer finite, naming the problem.
    """
    return _fit(recipe, engine, state or start(recipe), callbacks, reports).network


class Trained(NamedTuple):
    """What came of a training."""

    network: Network
    made: Recipe  #: with what was made of it: see `Recipe.as_made`
    open_edges: tuple[int, ...] = ()  #: that its last stage, over edges, left, each time


def _fit(
    recipe: Recipe, engine: str, state: State, callbacks: Sequence[Callback], reports: int
) -> Trained:
    chosen, names = engines.get(engine, recipe), set[str]()
    opened = list[int]()
    parts = _parts(recipe, state, chosen, reports)
    with ThreadPoolExecutor(1) as pool:

        def begin(state: State, part: _Part | None) -> Callable[[], _Made] | None:
            """Updates under way in a thread, where that gains time; else to be made when called."""
            if part is None:
                return None
            updates = partial(_updates, recipe, state, part, chosen)
            beside = callbacks and _by_machine_code(chosen, state)
            return pool.submit(updates).result if beside else updates

        coming = begin(state, next(parts, None))
        while coming:
            part = next(parts, None)  # drawn while updates are made, as they are told of below
            made = coming()
            names.add(recipe.schedule[state.stage].name)
            if made.open_edges is not None and state.stage >= len(recipe.stages) - 1:
                opened.append(made.open_edges)
            _check_finite(recipe, state, made.logits, made.weights)
            before, state = state, _after(recipe, state, made)
            if state.stage == len(recipe.schedule):
                part = None  # it may be of a stage that is not needed
            coming = begin(state, part)
            for progress in _reports(recipe, before, state, made, reports) if callbacks else ():
                for callback in callbacks:
                    callback(progress)
    return Trained(state.network, recipe.as_made(names), tuple(opened))


def _by_machine_code(engine: engines.Engine, state: State) -> bool:
    """Whether machine code makes the next updates; over edges, of some cells only."""
    if state.boxes is None or not engine.compiled:
        return engine.compiled
    return engine.edges is not None and engine.edges.takes(state.network)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some successive updates of a stage."""

    count: int
    words: problems.Words | None  #: (count, B, T), the problems; None over edges


def _parts(recipe: Recipe, state: State, engine: engines.Engine, reports: int) -> Iterator[_Part]:
    """All that a training makes from `state` on, each part drawn when it is asked for."""
    first = state.step
    for number in range(state.stage, len(recipe.schedule)):
        stage = recipe.schedule[number]
        while first < stage.steps:
            count = _until(recipe, number, first, engine, reports) - first
            shown = stage.over == "problems"
            words = drawn.draw(recipe, number, first, count) if shown else None
            yield _Part(count, words)
            first += count
        first = 0


@dataclass(frozen=True, eq=False)
class _Made:
    """What some updates made."""

    weights: Weights
    moments: Moments
    boxes: Boxes | None
    outputs: Callable[[], NDArray[np.integer]]  #: (updates, T, B), the right ones; of edges T is 1
    logits: Array  #: (updates, T, B, Y) before each update; of edges the worst
    open_edges: int | None = None  #: after the last update of a stage over edges


def _updates(recipe: Recipe, state: State, part: _Part, engine: engines.Engine) -> _Made:
    """Make the next updates of a stage."""
    stage, network, moments = recipe.schedule[state.stage], state.network, state.moments
    if state.boxes is not None:
        weights, moments, boxes, asked, logits = edges.advance(
            *(network, moments, state.boxes, recipe),
            *(state.stage, state.step, part.count, engine.edges),
        )
        ended, opened = state.step + part.count == stage.steps, None
        if ended:
            opened = _open_edges(recipe, stage, network.moved(weights), boxes)
        return _Made(weights, moments, boxes, lambda: asked[:, None], logits[:, None], opened)
    words = part.words
    assert words is not None
    network = _asked(network, stage)
    weights, moments, logits = engine.advance(network, moments, recipe, stage, words, state.step)
    return _Made(
        *(weights, moments, None),
        lambda: problems.answers(network.task, words).swapaxes(-1, -2),
        logits,
    )


def _asked(network: Network, stage: Stage) -> Network:
    """The network as a stage asks it: of words that ask for some answers only, another task's."""
    if not stage.partly:
        return network
    return network.for_task(drawn.partly(network.task))


def hardening(recipe: Recipe, network: Network) -> Recipe:
    """The recipe by which a network that `recipe` trained is trained on, to be easy to prove.

    It begins with the network, whose digest it names as its origin, trains biases from there
    on, and has the stage over edges by which `certified` ends for that cell and task.  Where that
    one ends otherwise, other cells than Elman's have `stage.CLOSE`, and his the stage
    `stage.HARDEN` twice, with fresh problems, long enough for states that drift slowly to show.
    """
    last = certified_by(recipe)
    if last.over == "edges":
        stages: tuple[Stage, ...] = (last,)
    elif recipe.cell == "elman":
        stages = HARDEN, replace(HARDEN, name="again")
    else:
        stages = (CLOSE,)
    return replace(
        recipe,
        name="hardened",
        digits=max(recipe.digits, HARDEN_DIGITS),
        examples=0,
        biases=True,
        origin=network.digest(),
        stages=stages,
    )


def fit_many(
    recipes: Sequence[Recipe], *, engine: str = "auto", threads: int | None = None
) -> list[Network | Diverged]:
    """Train independent networks side by side, in `threads` threads (all cores by default).

    Made for thousands of small networks: nothing is reported along the way, and one that
    diverges is returned as its error, without troubling the others.  Where that wins,
    neighbours in the list whose recipes differ in nothing but seed, step and initial weights
    are trained side by side, in the lanes of vectors or on a GPU; their weights then agree with
    those of `fit` to rounding.  A recipe's weights are the same, bit for bit, whatever its
    neighbours and the threads; but on a GPU, where `engines.fused` does not take them, they depend
    on how many are trained together, by rounding.
    """
    trained = train_many(recipes, engine=engine, threads=threads)
    return [each if isinstance(each, Diverged) else each.network for each in trained]


def train_many(
    recipes: Sequence[Recipe], *, engine: str = "auto", threads: int | None = None
) -> list[Trained | Diverged]:
    """`fit_many`, each network with what was made of its recipe."""
    jobs = _groups(recipes, engine)
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        trained = pool.map(lambda job: _fit_group(job, engine), jobs)
        return [each for group in trained for each in group]


def _groups(recipes: Sequence[Recipe], engine: str) -> list[list[Recipe]]:
    """Neighbours that are trained together."""
    groups: list[list[Recipe]] = []
    for recipe in recipes:
        last = groups[-1] if groups else []
        if 0 < len(last) < _at_once(recipe, engine) and _alike(last[0]) == _alike(recipe):
            last.append(recipe)
        else:
            groups.append([recipe])
    return groups


def _at_once(recipe: Recipe, engine: str) -> int:
    """How many networks of a recipe are trained at once by one thread."""
    many = engines.get(engine, recipe).many
    return many.at_once(recipe) if many else 1


def _alike(recipe: Recipe) -> Recipe:
    """The recipe less what may differ within a group."""
    stages = tuple(replace(stage, step=1.0) for stage in recipe.stages)
    return replace(recipe, name="", seed=0, init_width=1.0, init_scaling="none", stages=stages)


def _fit_group(recipes: list[Recipe], engine: str) -> list[Trained | Diverged]:
    # also where it is alone in the group: its weights must not depend on its neighbours
    many = engines.get(engine, recipes[0]).many
    together = many is not None and many.at_once(recipes[0]) > 1
    trained = _fit_together(recipes, many) if many and together else [None] * len(recipes)
    results: list[Trained | Diverged] = []
    for recipe, network in zip(recipes, trained, strict=True):
        try:
            done = Trained(network, recipe) if network else None
            results.append(done or _fit(recipe, engine, start(recipe), (), 1))
        except Diverged as error:
            results.append(error)
    return results


def _fit_together(recipes: list[Recipe], many: engines.Many) -> list[Network | None]:
    """A group side by side; None for one that diverges, for `fit` to find out where."""
    networks = [start(recipe).network for recipe in recipes]
    recipe, names = recipes[0], networks[0].weights
    weights = Weights({k: np.stack([each.weights[k] for each in networks]) for k in names})
    for i, stage in enumerate(recipe.schedule):
        moments, first = initial_moments(stage.optimiser, weights), 0
        network = _asked(networks[0], stage)
        while first < stage.steps:
            count = recipe.length(stage, first)[1] - first
            weights, moments = many.advance(network, weights, moments, recipes, i, first, count)
            first += count
    finite = np.all(
        [np.isfinite(w).all(axis=(*range(1, w.ndim),)) for w in weights.values()], axis=0
    )
    return [
        each.moved(Weights({name: w[i].copy() for name, w in weights.items()})) if good else None
        for i, (each, good) in enumerate(zip(networks, finite, strict=True))
    ]


def last_problem(recipe: Recipe) -> tuple[Operand, ...]:
    """The operands of the last problem that the recipe, which shows some, shows."""
    last = max(i for i, stage in enumerate(recipe.schedule) if stage.over == "problems")
    word = drawn.draw(recipe, last, recipe.schedule[last].steps - 1, 1)[0, -1]
    task = recipe.specification
    return task.problem((word % len(task.machine.symbols)).tolist())


def _next_stage(recipe: Recipe, network: Network, stage: int) -> State:
    if stage == len(recipe.schedule):
        return State(network, (), stage, 0)
    how = recipe.schedule[stage]
    boxes = edges.begin(network, recipe, stage) if how.over == "edges" else None
    return State(network, initial_moments(how.optimiser, network.weights), stage, 0, boxes)


def _until(recipe: Recipe, number: int, first: int, engine: engines.Engine, reports: int) -> int:
    """The update up to which a stage goes from its update `first`, well under a second of work.

    Never across the moment of a snapshot, where there are reports, nor of a change of length.
    """
    stage = recipe.schedule[number]
    _, until = recipe.length(stage, first)
    rows = recipe.batch(stage) * (recipe.digits if stage.over == "problems" else 1)
    room = MAX_NUMBERS // 64 // (rows * max(recipe.hidden, recipe.specification.neurons))
    if reports == 1:
        return min(until, first + max(1, room))
    moments = (ceil(share * stage.steps) for share in SHARES)
    whole = min(until, *(moment for moment in moments if moment > first)) - first
    # over edges machine code may have to leave it to NumPy
    pace = engines.PACE if engine.compiled and stage.over == "problems" else 1
    most = max(1, min(room, int(0.25 * pace / _seconds(recipe, stage))))
    # of equal length: beside a short rest there would be no time to tell of what was before
    return first + ceil(whole / ceil(whole / most))


def _seconds(recipe: Recipe, stage: Stage) -> float:
    """How long an update takes, about, on the NumPy engine."""
    if stage.over == "edges":
        return cost.over_edges(recipe.batch(stage), recipe.hidden)
    hidden, neurons = recipe.hidden, recipe.specification.neurons
    # what is done with each number is about as long as 16 multiplications
    row = hidden * (hidden + neurons) + 16 * (hidden + neurons)
    seconds = recipe.digits * 20e-6 + 3 * stage.batch * recipe.digits * row / 2e9
    if stage.bounds == "boxes":
        seconds += ROUNDS * cost.over_edges(recipe.every_edge, recipe.hidden)
    return seconds


def _after(recipe: Recipe, state: State, made: _Made) -> State:
    """Where updates from a state have led."""
    network, done = state.network.moved(made.weights), state.step + len(made.logits)
    stage, following = recipe.schedule[state.stage], state.stage + 1
    if done < stage.steps:
        return replace(state, network=network, moments=made.moments, step=done, boxes=made.boxes)
    if made.open_edges is None or following < len(recipe.stages):
        return _next_stage(recipe, network, following)
    ended = Ended(network, made.open_edges)
    best = state.best if state.best and state.best.open_edges < ended.open_edges else ended
    if made.open_edges and recipe.repeats(following) and not _hopeless(recipe, state, ended):
        return replace(_next_stage(recipe, network, following), best=best)
    return _next_stage(recipe, best.network, len(recipe.schedule))


def _hopeless(recipe: Recipe, state: State, ended: Ended) -> bool:
    """Whether a stage made again has left nearly all edges open, and hardly fewer than before.

    None that stood so was seen to close when made up to twelve times more; one was that left three
    in five open.
    """
    looked_at = min(recipe.every_edge, _most_edges(recipe, recipe.schedule[state.stage]))
    before = state.best
    return (
        before is not None
        and 8 * ended.open_edges > 7 * looked_at
        and 10 * ended.open_edges > 9 * before.open_edges
    )


def _open_edges(recipe: Recipe, stage: Stage, network: Network, boxes: Boxes) -> int:
    """Of how many edges a stage has left boxes open.

    With half its slack: so boxes that fit are not opened by the last bit of a float.
    """
    most = _most_edges(recipe, stage)
    return invariant.open_edges(network, boxes.values, stage.slack / 2, most)


def _most_edges(recipe: Recipe, stage: Stage) -> int:
    """How many edges are looked at: in a small part of the time that the stage takes."""
    return min(MOST_EDGES, max(LEAST_EDGES, stage.steps * recipe.batch(stage) // 10))


LEAST_EDGES, MOST_EDGES = 2**12, 2**18
"""How many edges at most are looked at to see which boxes are open: a tenth of those shown, but
no fewer and no more than these."""


def _check_finite(recipe: Recipe, state: State, logits: Array, weights: Weights) -> None:
    """Refuse what updates from `state` on have made, unless it is finite."""
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=(1, 2, 3)))  # updates
    if not len(bad) and all(np.isfinite(array).all() for array in weights.values()):
        return
    first = int(bad[0]) if len(bad) else len(logits) - 1
    problem = recipe.shown(state.stage, state.step + first) + 1
    all_, stage = _in_all(recipe, state), recipe.schedule[state.stage]
    raise Diverged(
        f"training diverged at problem {problem:,} of {all_:,}: the weights "
        f"or outputs are no longer finite; try a smaller step (now {stage.step:g}) or init_width"
    )


def _in_all(recipe: Recipe, state: State) -> int:
    """How many problems, and edges, the whole training shows, as far as is known at a state.

    Without stages that may yet be left out.
    """
    return recipe.shown(max(len(recipe.stages), state.stage + 1))


@quiet
def _reports(
    recipe: Recipe, before: State, after: State, made: _Made, reports: int
) -> list[Progress]:
    """What there is to tell of updates that have been made, about `reports` times a stage."""
    task, stage = before.network.task, recipe.schedule[before.stage]
    # time first, (T, updates, B): one position after another they are added up much faster
    outputs, logits = (
        np.ascontiguousarray(np.moveaxis(each, 1, 0)) for each in (made.outputs(), made.logits)
    )
    targets = problems.tables(task).targets[outputs]  # of what is open any: it does not count
    loss = LOSSES[stage.loss, task.readout].value(logits, targets)
    gaps = sigmoid(logits)
    gaps -= targets
    gaps = over_neurons(np.abs(gaps, out=gaps))
    hit = predict(logits) == outputs
    if (not_asked := outputs == problems.OPEN).any():
        loss[not_asked], gaps[not_asked], hit[not_asked] = 0, 0, True
    first, last = before.step, before.step + len(made.logits)
    each = max(1, stage.steps // reports)
    ends = [*range(first - first % each + each, last, each), last]
    starts = np.array([first, *ends[:-1]])

    def mean(of_problems: NDArray[np.number]) -> list[float]:
        """Of (updates, B), over the updates of each report and their problems."""
        sums = np.add.reduceat(of_problems.sum(axis=-1, dtype=float), starts - first)
        counts = (np.array(ends) - starts) * of_problems.shape[1]
        return (sums / counts).tolist()

    means = zip(
        *(mean(gaps.sum(axis=0)), mean(loss.sum(axis=0)), mean(hit.all(axis=0))), strict=True
    )
    return [
        Progress(
            state=after if end == last else before,
            stage=stage.name,
            step=end,
            steps=stage.steps,
            problem=recipe.shown(before.stage, end),
            problems=_in_all(recipe, before),
            error=error,
            loss=cost,
            right=right,
            open_edges=made.open_edges if end == last else None,
        )
        for end, (error, cost, right) in zip(ends, means, strict=True)
    ]
