"""Stages of a training, and those that recipes share; settings, which say what they accept.

Plain Python, as recipes are.
"""

from dataclasses import dataclass, field, fields
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any

from carrynet.errors import InputError, shorten, unknown


def setting(
    default: Any,
    about: str,
    *,
    within: tuple[float, float] | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A field with a default, what it is for, and what it accepts."""
    return field(default=default, metadata={"help": about, "within": within, "choices": choices})


_KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "text",
}


def check_fields(settings: Any) -> None:
    """Check every field's type, range and choices; whole numbers pass for floats."""
    for f in fields(settings):
        if f.metadata:
            object.__setattr__(settings, f.name, check_value(f, getattr(settings, f.name)))


def check_value(f: Any, value: Any) -> Any:
    """A value as a field holds it.  Raises `InputError` for one that the field does not accept."""
    value = _plain(value, f.type)
    choices, within = f.metadata["choices"], f.metadata["within"]
    if type(value) is not f.type or (f.type is float and not isfinite(value)):
        raise InputError(f"{f.name} must be {_KINDS[f.type]}, not {shorten(value)}")
    if f.type is str and not value.isprintable():
        raise InputError(f"{f.name} must be printable text, not {shorten(value)}")
    if choices and value not in choices:
        raise unknown(f.name, value, choices)
    if within and not within[0] <= value <= within[1]:
        raise InputError(f"{f.name} must be {accepted(f)}, not {shorten(value)}")
    return value


def _plain(value: Any, kind: Any) -> Any:
    """NumPy's numbers as Python's, and whole numbers as floats where those are wanted."""
    if isinstance(value, bool):
        return value
    if kind is int and isinstance(value, Integral):
        return int(value)
    if kind is float and isinstance(value, Real):
        try:
            return float(value)
        except OverflowError:
            return inf
    return value


def accepted(f: Any) -> str:
    """What a field accepts: 'one of sgd, adam', 'from 1 to 4,096', or ''."""
    if f.metadata["choices"]:
        return f"one of {', '.join(f.metadata['choices'])}"
    if f.metadata["within"]:
        return "from {:{form}} to {:{form}}".format(
            *f.metadata["within"], form="g" if f.type is float else ","
        )
    return ""


@dataclass(frozen=True)
class Stage:
    """One stage of a training: `steps` updates, each from a batch of fresh problems.

    Or, `over` the edges of the task's machine, each from a batch of those: see `nets.invariant`.
    The worst case of problems is bounded along their words (`nets.certified`), or by the boxes
    that a proof would need (`nets.joined`).
    """

    name: str = setting("learn", "what the stage is called")
    over: str = setting(
        "problems",
        "what the loss is taken over: problems, or all that the machine can do",
        choices=("problems", "edges"),
    )
    steps: int = setting(20_000, "number of weight updates", within=(1, 10**9))
    batch: int = setting(
        1, "problems for each update, or edges, of which there may be fewer", within=(1, 65_536)
    )
    growing: float = setting(
        0.0,
        "the part of the stage over which problems grow to `digits`, each time to twice as many",
        within=(0, 1),
    )
    words: str = setting(
        "usual",
        "which problems: uniform numbers, of words every other one a walk; uniform; or balanced, "
        "whose last answer is each possible one alike",
        choices=("usual", "uniform", "balanced"),
    )
    lengths: str = setting(
        "whole",
        "how long problems are: as `digits` says, or drawn evenly from 1 to so many",
        choices=("whole", "drawn"),
    )
    asked: str = setting(
        "every",
        "which answers count: after every symbol, or at the end only",
        choices=("every", "end"),
    )
    optimiser: str = setting("sgd", "how gradients become updates", choices=("sgd", "adam"))
    step: float = setting(0.1, "step size of an update", within=(1e-12, 1e6))
    step_end: float = setting(1.0, "the step's last value, as a part of `step`", within=(0, 1))
    decay: float = setting(
        0.0, "the part of the stage, at its end, over which the step falls", within=(0, 1)
    )
    loss: str = setting(
        "squared", "what is made small, summed over digits", choices=("squared", "cross-entropy")
    )
    worst: float = setting(
        0.0, "the share of the worst case in the loss, at last (see `certified`)", within=(0, 1)
    )
    bounds: str = setting(
        "words",
        "what the worst case is of: these words, or all that is in the prover's boxes",
        choices=("words", "boxes"),
    )
    slack: float = setting(
        0.0,
        "what the worst case adds to every pre-activation, at last; of boxes, to states",
        within=(0, 1e3),
    )
    ramp_from: float = setting(
        0.0,
        "the part of the stage after which worst and, of problems, slack grow from 0",
        within=(0, 1),
    )
    ramp_to: float = setting(0.0, "the part of the stage after which they are whole", within=(0, 1))
    closing: float = setting(
        0.0, "of boxes: the weight, at last, of what stands out of them, or grows", within=(0, 1e6)
    )
    forgetting: float = setting(
        0.0, "of boxes: the weight of gates that keep the state", within=(0, 1e6)
    )
    again: int = setting(
        0,
        "of a last stage over edges: how often more it is made at most, while boxes stay open",
        within=(0, 64),
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.name.isidentifier():
            raise InputError(f"stage name '{self.name}' must be a plain word")
        if self.slack and not self.worst:
            raise InputError("slack is part of the worst case: it needs a worst above 0")
        if self.worst and self.loss != "cross-entropy":
            raise InputError("a worst above 0 needs loss cross-entropy, whose worst case is known")
        if self.ramp_from > self.ramp_to:
            raise InputError("ramp_from must not be larger than ramp_to")
        if self.over == "edges" and self.loss != "cross-entropy":
            raise InputError("a stage over edges needs loss cross-entropy, whose worst is known")
        if self.over == "edges" and self.growing:
            raise InputError("growing is of problems: edges have no length")
        if self.bounds == "boxes" and self.over == "edges":
            raise InputError("bounds are of problems: a stage over edges has boxes of its own")
        others = self.words != "usual" or self.partly
        if self.over == "edges" and others:
            raise InputError(
                "words, lengths and asked are of problems: a stage over edges has none"
            )
        if self.worst and self.partly:
            raise InputError("lengths drawn and asked end are of stages without a worst case")
        if self.growing and self.partly:
            raise InputError("lengths drawn and asked end do not grow: growing must be 0")
        if self.bounds == "boxes" and not self.worst:
            raise InputError("bounds are of the worst case: they need a worst above 0")
        if self.again and self.over != "edges":
            raise InputError(
                "again asks for boxes that are left open: it needs a stage over edges, or is 0"
            )
        for key in ("closing", "forgetting"):
            if getattr(self, key) and self.over != "edges" and self.bounds != "boxes":
                raise InputError(f"{key} is of boxes: it needs bounds boxes, or a stage over edges")

    @property
    def partly(self) -> bool:
        """Whether at some positions of its problems nothing is asked."""
        return (self.lengths, self.asked) != ("whole", "every")

    def step_at(self, update: int) -> float:
        """The step size of update 0, 1, ...: level, then linear to `step * step_end`."""
        level = self.steps * (1 - self.decay)
        if update <= level:
            return self.step
        fraction = (update - level) / (self.steps - level)
        return self.step * (1 + fraction * (self.step_end - 1))

    def ramp_at(self, update: int) -> float:
        """The part of `worst` and `slack` that holds in update 0, 1, ...: from 0 to 1, linear."""
        start, end = self.ramp_from * self.steps, self.ramp_to * self.steps
        if update >= end:
            return 1.0
        return max(0.0, (update - start) / (end - start))

    def closing_at(self, update: int) -> float:
        """The weight of `closing` in update 0, 1, ...: from 1 % it grows, each time as much again.

        It is whole after 60 % of the stage: before outputs are right, boxes would close by
        becoming one.
        """
        whole = 0.6 * self.steps
        return self.closing * 0.01 ** max(0.0, 1 - update / whole)


ROUNDS = 16
"""How often boxes are joined where they bound the worst case (see `nets.joined`)."""

HARDEN = Stage(
    name="harden",
    steps=800,
    batch=32,
    optimiser="adam",
    step=0.02,
    decay=0.2,
    step_end=0.02,
    loss="cross-entropy",
    worst=0.5,
    slack=0.5,
    ramp_to=0.6,
)
"""The stage that makes a network provable, whatever it was trained by."""

CLOSE = Stage(
    name="close",
    over="edges",
    steps=1_500,
    batch=512,
    optimiser="adam",
    step=0.01,
    decay=0.4,
    step_end=0.01,
    loss="cross-entropy",
    worst=1.0,
    slack=0.02,
    ramp_to=0.4,
    closing=10.0,
    forgetting=1.0,
    again=12,
)
"""The same on the machine's edges, for cells with gates, along words of which bounds stay too wide,
and for machines that words alone do not teach."""

GROWING = Stage(
    steps=1_200,
    batch=64,
    growing=0.75,
    optimiser="adam",
    step=0.01,
    decay=0.3,
    step_end=0.02,
    loss="cross-entropy",
)
"""Learning from problems that grow longer."""
