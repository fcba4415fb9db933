"""Recipes: everything that determines a training, as one frozen value.

A recipe is the configuration, the help text and the record of a run.  Its text
form is TOML.  An unknown key is an error that names the nearest known one.
Plain Python, so that the command line can show its help without loading NumPy.
"""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from carrynet import files
from carrynet.errors import InputError, shorten, unknown
from carrynet.spec import tables, tasks
from carrynet.spec.stage import CLOSE, GROWING, HARDEN, ROUNDS, Stage, check_fields, setting
from carrynet.spec.task import Task


@dataclass(frozen=True)
class Recipe:
    """What is learned, by which network, from which problems, how."""

    name: str = setting("custom", "what the recipe is called")
    task: str = setting("add", "what to learn: add, add:base=3, tomita:4, or FILE.toml, .dot, .fst")
    digits: int = setting(8, "length of the training problems, answer included", within=(1, 4096))
    examples: int = setting(
        0,
        "how many different problems there are, shown in turn, over and over; 0: each is fresh",
        within=(0, 65_536),
    )
    hidden: int = setting(32, "number of hidden units", within=(1, 1024))
    cell: str = setting("elman", "elman, gru, lstm, ..., a stack such as gru,gru, or equations")
    activation: str = setting(
        "sigmoid", "of the units of Elman's cell", choices=("sigmoid", "tanh", "relu")
    )
    readout: str = setting("", "equations from h to logits; '': a linear layer")
    start: str = setting("zero", "the state before the first symbol", choices=("zero", "learned"))
    biases: bool = setting(False, "whether hidden and output units have a bias (from zero)")
    init: str = setting(
        "random",
        "initial weights: random, or fitted to random codes of the machine's states",
        choices=("random", "machine"),
    )
    init_width: float = setting(1.0, "initial weights are uniform in [-w, w)", within=(0, 1e3))
    init_scaling: str = setting(
        "none", "divide w by the square root of `hidden`?", choices=("none", "sqrt-hidden")
    )
    seed: int = setting(0, "the only source of randomness", within=(0, 2**63 - 1))
    dtype: str = setting("float32", "of the weights", choices=("float32", "float64"))
    origin: str = setting("", "SHA-256 of the network that training begins with; '': random")
    stages: tuple[Stage, ...] = (Stage(),)
    machine: Task | None = None  #: the task, where it is one's own: `task` is its text

    def __post_init__(self) -> None:
        task = self._task()
        object.__setattr__(self, "task", task.text)  # one spelling for one task
        object.__setattr__(self, "machine", task if task.own else None)
        check_fields(self)
        stages: Any = self.stages
        if not isinstance(stages, tuple | list) or {type(s) for s in stages} - {Stage}:
            raise InputError("stages must be a tuple of Stage")
        object.__setattr__(self, "stages", tuple(stages))
        if self.digits <= task.headroom:
            raise InputError(
                f"digits must be at least {task.headroom + 1} for task {task.text}, "
                f"whose answers are up to {task.headroom} longer than its operands"
            )
        if self.origin and not re.fullmatch("[0-9a-f]{64}", self.origin):
            raise InputError(f"origin must be 64 hexadecimal digits, not {shorten(self.origin)}")
        if self.init == "machine" and not self.biases:
            raise InputError("init machine sets biases: it needs biases = true")
        # without stages, a recipe says where a network that was not trained here came from
        names = {stage.name for stage in self.schedule}
        if not (self.stages or self.origin) or len(names) < len(self.schedule):
            raise InputError("a recipe needs one or more stages with different names")
        for stage in self.stages[:-1]:
            if stage.again:
                raise InputError(
                    f"stage {stage.name} may be made again, but {self.stages[-1].name} follows it: "
                    "only the last stage may"
                )
        if self.examples and not self.problems and self.stages:
            raise InputError("examples are of problems, and this recipe shows none")
        for stage in self.stages:
            if self.examples and stage.growing:
                raise InputError(f"examples are of one length, and stage {stage.name} is growing")
            self._check_memory(stage)

    def _check_memory(self, stage: Stage) -> None:
        """Refuse a stage of which an update holds more than `MAX_NUMBERS`."""
        task = self.specification
        # Hidden states forward and back, of a stack or of gates more of them; inputs, outputs,
        # and digits while they are drawn.
        values = 3 if self.elman else 16 * (1 + self.cell.count(","))
        width = values * self.hidden + 2 * task.inputs + 3 * task.neurons + 6 * task.operands
        hint, what = "", f"batch {stage.batch:,}, digits {self.digits:,}"
        numbers = stage.batch * self.digits * width
        if stage.bounds == "boxes":
            hint = "; bounds words take less"
            what = f"{what} and {ROUNDS} rounds of {self.every_edge:,} edges"
            numbers += ROUNDS * self.every_edge * width
        if stage.words == "balanced" or stage.partly:
            count, by = of_balanced(task, self.digits)
            what = f"{what} and words by {by}"
            numbers += count
        if self.examples:
            what = f"{what} and {self.examples:,} examples"
            numbers += 4 * self.examples * self.digits
        if stage.over == "edges":
            # a box for each region, and what tells every output, and every state, from any other
            batch, states, entrances = (
                self.batch(stage),
                len(task.machine.states),
                task.machine.entrances,
            )
            hint = "; plain-adam, a recipe without edges, takes less"
            what = f"{batch:,} edges, {states:,} states that {entrances:,} transitions enter"
            numbers = (batch + entrances) * width
            numbers += (batch + self.hidden) * (states**2 + task.neurons**2)
        if numbers > MAX_NUMBERS:
            raise InputError(
                f"an update with {what} and hidden {self.hidden:,} does not fit in memory: "
                f"it takes {numbers:,} numbers, at most {MAX_NUMBERS:,} are accepted{hint}"
            )

    def _task(self) -> Task:
        """The task that is meant: a text, a file, a machine; or the one that came along."""
        said: Any = self.task
        mine = self.machine
        if isinstance(mine, Task) and said in (mine.text, mine.name):
            said = mine
        if isinstance(said, str) and "@" in said:
            raise InputError(
                f"task {shorten(said)} is one's own: the recipe needs its machine, in a table "
                "[machine]"
            )
        task = tasks.parse(said)
        if task.own and len(tables.to_toml(task)) > files.MOST_TEXT // 2:
            raise InputError(
                f"task {task.name} is too large for a recipe: written out, it has more than "
                f"{files.MOST_TEXT // 2:,} characters"
            )
        return task

    @property
    def specification(self) -> Task:
        """The task itself: what is right."""
        return self.machine or tasks.parse(self.task)

    @property
    def elman(self) -> bool:
        """Whether the network is Elman's: his cell, linear, begun at zero."""
        return (self.cell, self.readout, self.start) == ("elman", "", "zero")

    @cached_property
    def schedule(self) -> tuple[Stage, ...]:
        """The stages one after another; one that may be made `again`, the last, as often.

        Each further time it has a name of its own.  See `repeats`.
        """
        again = (
            replace(stage, name=f"{stage.name}_again{number if number > 1 else ''}", again=0)
            for stage in self.stages
            for number in range(1, stage.again + 1)
        )
        return (*self.stages, *again)

    @property
    def again(self) -> int:
        """How often more the last stage may be made; of `as_made`, how often it was."""
        return len(self.schedule) - len(self.stages)

    def repeats(self, number: int) -> bool:
        """Whether a stage of the schedule is the last of the recipe's, made again."""
        return len(self.stages) <= number < len(self.schedule)

    def as_made(self, names: Container[str]) -> "Recipe":
        """The recipe as if it had asked for what was made of it.

        `names` are those of the stages that were made.
        """
        again = sum(stage.name in names for stage in self.schedule[len(self.stages) :])
        if again == self.again:
            return self
        *others, last = self.stages
        return replace(self, stages=(*others, replace(last, again=again)))

    def kept(self, open_edges: Sequence[int]) -> str | None:
        """The name of the stage whose network is kept, of what was made (`as_made`); None without.

        `open_edges` are those that the last stage left, over edges, each time that it was made.
        """
        fewest = max(range(len(open_edges)), key=lambda i: (-open_edges[i], i), default=-1)
        return self.schedule[fewest - len(open_edges)].name if self.schedule else None

    @property
    def partly(self) -> bool:
        """Whether there are problems that ask nothing at some of their positions."""
        return any(stage.partly for stage in self.stages)

    @property
    def joined(self) -> int:
        """How many updates of the training have boxes over all edges beside their problems."""
        return sum(stage.steps for stage in self.stages if stage.bounds == "boxes")

    @property
    def problems(self) -> int:
        """How many problems the whole training shows."""
        stages = (stage for stage in self.stages if stage.over == "problems")
        return sum(stage.steps * stage.batch for stage in stages)

    @property
    def edges(self) -> int:
        """How many edges of the machine the whole training shows at most, over and over."""
        return self.shown(len(self.schedule)) - self.problems

    def length(self, stage: Stage, update: int) -> tuple[int, int]:
        """How many digits the problems of an update have, and the update after the last such one.

        Where they grow: from the fewest that a problem can have, 2 or more, to twice as many, and
        so on, each for as many updates as the others.
        """
        fewest = max(2, self.specification.headroom + 1)
        lengths = [fewest]
        while 2 * lengths[-1] < self.digits:
            lengths.append(2 * lengths[-1])
        growing = int(stage.growing * stage.steps)
        if update >= growing or fewest >= self.digits:
            return self.digits, stage.steps
        each = update * len(lengths) // growing
        return lengths[each], -(-(each + 1) * growing // len(lengths))

    def batch(self, stage: Stage) -> int:
        """How many problems an update of a stage takes, or edges: those that there are at most."""
        if stage.over == "problems":
            return stage.batch
        return min(stage.batch, self.every_edge)

    @property
    def every_edge(self) -> int:
        """How many edges the machine has: from its start and from each state, however entered."""
        machine = self.specification.machine
        return (1 + machine.entrances) * len(machine.symbols)

    def shown(self, stage: int, step: int = 0) -> int:
        """How many problems, and edges, training has taken after so many stages and steps.

        Of its schedule, in which none is left out.
        """
        before = sum(each.steps * self.batch(each) for each in self.schedule[:stage])
        return before + (step * self.batch(self.schedule[stage]) if step else 0)

    @property
    def specified(self) -> bool:
        """Whether the network comes from the machine's edges alone, and has seen no example."""
        return bool(self.stages) and not self.problems and not self.origin

    def showing(self, problems: str, open_edges: Sequence[int] = ()) -> str:
        """What training shows, in words; `problems` is what its problems are called.

        `open_edges` are as in `kept`.
        """
        parts = [f"{self.problems:,} {problems}"] if self.problems else []
        if self.examples and self.problems:
            parts[0] += f" ({self.examples:,} different ones)"
        parts += [
            f"{stage.steps:,} times {self.batch(stage):,} edges of the machine"
            + (_again(stage.again, open_edges) if stage.again else "")
            for stage in self.stages
            if stage.over == "edges"
        ]
        if self.joined:
            edges = f"boxes over all {self.every_edge:,} edges of the machine"
            parts.append(f"{self.joined:,} times {edges}")
        return ", and ".join(parts)

    def to_toml(self) -> str:
        """The recipe as TOML, which `from_toml` reads back to an equal recipe."""
        import tomli_w

        table = self.to_table()
        own = tables.to_toml(self.machine, "machine") if self.machine else ""
        table.pop("machine", None)
        return tomli_w.dumps(table) + (f"\n{own}" if own else "")

    def to_table(self) -> dict[str, Any]:
        """The recipe as plain values, with the machine only where it is one's own."""
        table = {f.name: getattr(self, f.name) for f in fields(self)}
        table["stages"] = tuple(asdict(stage) for stage in self.stages)
        if self.machine is None:
            del table["machine"]
        else:
            table["machine"] = tables.to_table(self.machine)
        return table

    @classmethod
    def from_toml(cls, text: str, folder: Path = Path()) -> "Recipe":
        """Read a recipe; keys that are left out have their default values.

        A task's file stands in `folder`.
        """
        try:
            table = files.from_toml(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not a recipe in TOML: {error}") from None
        if isinstance(task := table.get("task"), str) and task.endswith(tasks.ENDINGS):
            table["task"] = str(folder / task)
        return cls.from_table(table)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> "Recipe":
        """The inverse of `to_table`; keys that are left out have their default values."""
        table = dict(table)
        stages = table.pop("stages", [{}])
        if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
            raise InputError("stages must be tables, each headed [[stages]]")
        known = {f.name for f in fields(cls)}
        for key in table.keys() - known:
            raise unknown("recipe key", key, _keys(cls))
        for key in {key for stage in stages for key in stage} - {f.name for f in fields(Stage)}:
            raise unknown("stage key", key, _keys(Stage))
        if "machine" in table:
            machine = tables.from_table(table["machine"])
            said = table.setdefault("task", machine.name)
            if said not in (machine.text, machine.name):
                raise InputError(
                    f"task {shorten(said)} is not the machine in the recipe, which is "
                    f"{machine.text}: it was changed, or belongs to another recipe"
                )
            table["machine"] = machine
        return cls(**table, stages=tuple(Stage(**stage) for stage in stages))

    def places(self) -> dict[str, tuple[str, str]]:
        """Where each key that `with_settings` takes has its value: stage, or '', and name."""
        staged = _keys(Stage)
        alone = self.stages if len(self.stages) == 1 else ()
        places = {name: (stage.name, name) for stage in alone for name in staged}
        places |= {name: ("", name) for name in _keys(Recipe)}
        for stage in self.stages:
            places |= {f"{stage.name}.{name}": (stage.name, name) for name in staged}
        return places

    def keys(self) -> tuple[str, ...]:
        """The keys that `with_settings` takes, each in its shortest spelling."""
        alone = len(self.stages) == 1
        staged = [key for key, (stage, _) in self.places().items() if stage]
        staged = [key for key in staged if ("." in key) != alone and key != "name"]
        return (*_keys(Recipe), *staged)

    def with_settings(self, settings: Mapping[str, Any]) -> "Recipe":
        """The recipe with some keys changed.

        A key is one of the recipe's own (`hidden`), one of a stage's (`learn.step`),
        or, where the recipe has a single stage, that stage's without its name (`step`).

        A recipe in `VARIANTS` becomes the one that is for its cell and its task, unless the
        settings speak of stages that this one does not have.
        """
        own = {key: value for key, value in settings.items() if key in _keys(Recipe)}
        if "task" in own:
            own["machine"] = None  # which belongs to the task that there was
        changed = replace(self, **own)
        changed = self._variant_for(changed, own, settings)
        places = changed.places()
        stages: dict[str, dict[str, Any]] = {stage.name: {} for stage in changed.stages}
        for key, value in settings.items():
            if key not in places:
                raise unknown("key", key, changed.keys())
            stage_name, name = places[key]
            if stage_name:
                if name in stages[stage_name]:
                    first = next(k for k in settings if places[k] == (stage_name, name))
                    raise InputError(f"{first} and {key} are one key: give it once")
                stages[stage_name][name] = value
        made = tuple(replace(stage, **stages[stage.name]) for stage in changed.stages)
        return replace(changed, stages=made)

    def _variant_for(
        self, changed: "Recipe", own: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> "Recipe":
        """The variant of this recipe that is for what it has been changed to."""
        variants = VARIANTS.get(self.name)
        if variants is None or self.origin or self.stages != variants[_kind(self)].stages:
            return changed  # it is somebody's own
        mine = variants[_kind(self)]
        wanted = variants[_kind(changed)]
        if wanted is mine or not settings.keys() <= wanted.places().keys():
            return changed
        was = {key: getattr(self, key) for key in _keys(Recipe)}
        kept = {key: value for key, value in was.items() if value != getattr(mine, key)}
        return replace(wanted, **{**kept, **own, "machine": changed.machine})


def _again(again: int, open_edges: Sequence[int]) -> str:
    """In words, that a stage was made so often more, and why."""
    often = f"{again + 1} times" if again > 1 else "twice"
    said = f", {often}, since boxes stayed open"
    if not open_edges:
        return said
    first, kept = open_edges[0], min(open_edges)
    edges = f"{first:,} edge{'s' * (first != 1)}"
    return f"{said}: of {edges} at first, of {kept:,} in the network that is kept"


def of_balanced(task: Task, length: int) -> tuple[int, str]:
    """How many numbers it takes to draw words by their last answer, and by what they are drawn.

    See `data.balanced`, which holds so much for each length up to that of the words.
    """
    m = task.machine
    states, outputs, symbols = len(m.states), len(m.outputs), len(m.symbols)
    by = f"{states:,} states, {outputs:,} outputs, {symbols:,} symbols"
    return 4 * length * states * outputs * symbols, by


def check_balanced(task: Task, length: int) -> None:
    """Raise `InputError` where it takes more than `MAX_NUMBERS` to draw such words."""
    numbers, by = of_balanced(task, length)
    if numbers > MAX_NUMBERS:
        raise InputError(
            f"words of up to {length:,} symbols by {by} do not fit in memory: it takes "
            f"{numbers:,} numbers, at most {MAX_NUMBERS:,} are accepted"
        )


def _kind(recipe: Recipe) -> str:
    """Which of `VARIANTS` is for a recipe's cell and task."""
    task = recipe.specification
    states, symbols = len(task.machine.states), len(task.machine.symbols)
    own = "=" in recipe.cell
    gated = bool(_AS_GATES.search(recipe.cell)) if own else recipe.cell != "elman"
    if gated:
        if "," in recipe.cell and not own:
            return "stacked"
        few = recipe.every_edge <= FEW_EDGES
        if states <= 2 or (states < SOME_STATES and few):
            return "gated"
        if states < MANY_STATES and few:
            return "gated, some states"
        rare = states >= RARE_STATES and not task.numeric
        drawn, _ = of_balanced(task, max(recipe.digits, _OF_RARE_STATES.digits))
        return "gated, rare states" if rare and drawn <= MOST_BALANCED else "gated, larger"
    if states <= 2 and symbols <= 25:
        kind = "simple"
    elif states < SOME_STATES and recipe.every_edge <= FEW_EDGES:
        kind = "few edges"
    elif states < SOME_STATES:
        kind = "many edges" if recipe.every_edge <= MANY_EDGES else "most edges"
    elif states < MANY_STATES:
        kind = "larger"
    else:
        many = states < RARE_STATES and recipe.every_edge > FEW_EDGES
        kind = "larger, many states and edges" if many else "larger, many states"
    return f"own, {kind}" if own else kind


_AS_GATES = re.compile(r"\*|\b(?:mix|relu)\s*\(")
"""What equations have that are trained as gates: a product, or relu.

Cells with relu did not learn by the tutorial's descent, which Elman's sigmoids begin with.
"""

SOME_STATES = 5
"""From so many states on, a machine takes more updates to be learned at all."""

MANY_STATES = 7
"""From so many states on it takes more still."""

FEW_EDGES = 256
"""Machines of more edges than these are shown more, however few their states are."""

MANY_EDGES = 8_192
"""Of machines of more edges than these an update takes less than a sixteenth."""

RARE_STATES = 18
"""From so many states on, gates are shown still more, of words that end in each answer alike, and
close by many updates that pull less.

Elman's cell is not: it closes such machines neither by more updates nor by fewer.  Measured on
arithmetic of 19 and 51 states, of whose words most are led to the sink at once.
"""

MOST_BALANCED = 2**24
"""The most numbers by which words that come there are drawn (`of_balanced`): 128 MB."""

MAX_NUMBERS = 2**28
"""The most numbers that one update may hold: 1 GB in float32."""

HARDEN_DIGITS = 24
"""Length of the problems, at least, by which a network that somebody trained is hardened."""

DEFAULT = "certified"
"""The recipe that is meant where none is named."""

SPECIFIED = "from the specification, not from examples"
"""What is said of a network that is `Recipe.specified`."""

RECIPES: MappingProxyType[str, Recipe] = MappingProxyType(
    {
        # The tutorial, with the mistake in its gradient mended and one output neuron.
        "tutorial": Recipe(name="tutorial"),
        # The tutorial, and then hardening: until even the worst case, in which every unit is off
        # at every step, is answered rightly.  Such networks are easy to prove.  With biases:
        # without them eight units are sometimes too few.
        "certified": Recipe(name="certified", biases=True, stages=(Stage(), HARDEN)),
        # No example at all: the machine's edges, from weights that are fitted to its states.
        "specified": Recipe(
            name="specified",
            activation="tanh",
            biases=True,
            init="machine",
            init_scaling="sqrt-hidden",
            stages=(replace(CLOSE, steps=5_000),),
        ),
        # What a practitioner would do with a benchmark of words: of up to 40 symbols, of either
        # outcome alike, as the publications train; no worst case, nothing of the machine.
        "plain": Recipe(
            name="plain",
            digits=40,
            activation="tanh",
            biases=True,
            init_scaling="sqrt-hidden",
            stages=(
                Stage(
                    steps=2_000,
                    batch=32,
                    words="balanced",
                    lengths="drawn",
                    optimiser="adam",
                    step=0.005,
                    decay=0.3,
                    step_end=0.02,
                    loss="cross-entropy",
                ),
            ),
        ),
        # The same of numbers: short ones, uniform.
        "plain-adam": Recipe(
            name="plain-adam",
            digits=12,
            biases=True,
            init_scaling="sqrt-hidden",
            stages=(
                Stage(
                    steps=2_000,
                    batch=32,
                    optimiser="adam",
                    step=0.02,
                    decay=0.2,
                    step_end=0.02,
                    loss="cross-entropy",
                ),
            ),
        ),
    }
)


def _shown(recipe: Recipe, learn: int, close: int, words: str = "usual", **closing: Any) -> Recipe:
    """A recipe that learns from such words by so many small updates, and closes in so many.

    `closing` is what else is other than in `CLOSE`.
    """
    learning = replace(GROWING, steps=learn, step=0.005, words=words)
    closed = replace(CLOSE, steps=close, **closing)
    return replace(recipe, init_width=2.0, stages=(learning, closed))


FEW_TIMES = 3
"""How often more the long stages over edges are made that close more often than not.

Shorter ones are made as often as `CLOSE` says.  Those of arithmetic by Elman's cell, which hardly
ever closed when they were made again, only once more.
"""

# Elman's cell does not learn most machines by the tutorial's descent.  From short words, since
# gradients along long ones explode, and with tanh, whose states lie round 0.
_TANH = replace(RECIPES["certified"], activation="tanh", init_scaling="sqrt-hidden")
_OF_ELMAN = {
    # Machines that it learns by that descent: of these every network that was counted is proved,
    # of most others some or none.
    "simple": RECIPES["certified"],
    "few edges": _shown(_TANH, 6_000, 3_000),
    # Where there are few states, less slack proved fewer.  Sums of four numbers, which are hardly
    # learned before, took so many updates.
    "many edges": _shown(_TANH, 24_000, 40_000, step=0.005, again=FEW_TIMES),
    # Where an update takes a small part of them, addition in base 16 closed more often by larger
    # steps.
    "most edges": _shown(_TANH, 24_000, 30_000, again=FEW_TIMES),
    # By as few updates as of few edges it learns a circle of five places half as often.
    "larger": _shown(replace(_TANH, digits=16), 24_000, 5_000, slack=0.004),
    # States lie so near to one another that a larger slack leaves no room.
    "larger, many states": _shown(
        replace(_TANH, digits=16), 24_000, 24_000, slack=0.004, step=0.005, again=1
    ),
    # Sums modulo 7 and 8 close more often by more updates of fewer edges, by large steps at first;
    # arithmetic, which closed in neither way, took three times as long (see `RARE_STATES`).
    "larger, many states and edges": _shown(
        replace(_TANH, digits=16), 24_000, 96_000, batch=128, slack=0.004, step=0.02, decay=0.7
    ),
}

# Sigmoids and tanh of one's own without a product learn as his do; they say themselves which.
_OF_UNGATED = {
    f"own, {kind}": replace(each, activation="sigmoid") for kind, each in _OF_ELMAN.items()
}

# Gates learn little by that descent, one problem at a time.
_GATED = Recipe(
    name="certified", digits=16, biases=True, init_scaling="sqrt-hidden", stages=(GROWING, CLOSE)
)
# Of words of arithmetic most are no expression at all: they are drawn by their outcome.  Its states
# close by many updates of few edges, where nothing pulls at boxes and gates before outputs are
# right: with the usual `closing` and `forgetting` no network of 51 states closed.
_OF_RARE_STATES = _shown(
    _GATED,
    24_000,
    96_000,
    words="balanced",
    batch=128,
    decay=0.8,
    slack=0.002,
    step=0.005,
    closing=1.0,
    forgetting=0.003,
    again=FEW_TIMES,
)
_OF_OTHERS = {
    "gated": _GATED,
    # Of sums modulo 5 they learn little in 1,200 updates.
    "gated, some states": _shown(_GATED, 3_000, 2_000),
    # And of sums modulo 8, or of four numbers, in 3,000.
    "gated, larger": _shown(_GATED, 12_000, 6_000, slack=0.008),
    "gated, rare states": _OF_RARE_STATES,
    # Layers learn from one another, which takes longer.
    "stacked": replace(_GATED, stages=(replace(GROWING, steps=4_000), replace(CLOSE, steps=3_000))),
}
# Gates take fewer updates than Elman's cell, and have no activation to choose.
_SPECIFIED_GATED = replace(
    RECIPES["specified"], activation="sigmoid", stages=(replace(CLOSE, steps=2_000),)
)
_PLAIN_GATED = replace(RECIPES["plain"], activation="sigmoid")


def _by_cell(of_elman: Recipe, of_others: Recipe) -> MappingProxyType[str, Recipe]:
    """The same recipe for all tasks."""
    others = dict.fromkeys(_OF_UNGATED | _OF_OTHERS, of_others)
    return MappingProxyType(dict.fromkeys(_OF_ELMAN, of_elman) | others)


VARIANTS: MappingProxyType[str, MappingProxyType[str, Recipe]] = MappingProxyType(
    {
        "certified": MappingProxyType(_OF_ELMAN | _OF_UNGATED | _OF_OTHERS),
        "plain": _by_cell(RECIPES["plain"], _PLAIN_GATED),
        "specified": _by_cell(RECIPES["specified"], _SPECIFIED_GATED),
    }
)
"""What some recipes are for which cells and tasks."""


def certified_by(recipe: Recipe) -> Stage:
    """The stage by which `certified` ends for a recipe's cell and task."""
    return VARIANTS["certified"][_kind(recipe)].stages[-1]


def get(recipe: str | Path | Recipe) -> Recipe:
    """A recipe by name, from a TOML file, or as it is.

    Raises `InputError` for a name that is neither a recipe nor a readable file.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, str) and recipe in RECIPES:
        return RECIPES[recipe]
    if not isinstance(recipe, str | Path):
        raise InputError(f"a recipe is a name, a file or a Recipe, not {shorten(recipe)}")
    if isinstance(recipe, Path) or recipe.endswith(".toml"):
        name = files.printable(recipe)
        try:
            text = files.contents(Path(recipe), files.MOST_TEXT).decode()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"cannot read recipe {name}: {reason}") from None
        try:
            return Recipe.from_toml(text, Path(recipe).parent)
        except InputError as error:
            raise InputError(f"recipe {name}: {error}") from None
    raise unknown("recipe", recipe, (*RECIPES, "FILE.toml"))


def _keys(kind: type[Recipe] | type[Stage]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.metadata)
