"""Networks that others trained: which of their tensors are carrynet's weights, and how.

`take` does it all.  What a file is, its reader ends in layers (ONNX, Keras) or in tensors by name.
Of these, `modules` and `flax` find networks of layers, and `recognise` the mapping for one Elman
cell: carrynet's own names, `torch.nn.RNN` or `RNNCell` with an `nn.Linear` readout, and where
shapes leave one possibility.  No tensor that the answers may need is left out without the owner's
saying so; `conventions.choose` finds what weights do not say.  The run keeps it all as its
`Source`.

    PyTorch:   h' = f(W_ih x + b_ih + W_hh h + b_hh),   logits = W h' + b     columns
    carrynet:  h' = f(x Wxh + h Whh + bh),              logits = h' Why + by  rows

so that Wxh = W_ih^T (X, H), Whh = W_hh^T (H, H), bh = b_ih + b_hh (H,), Why = W^T (H, Y)
and by = b (Y,).

A file of carrynet's own, of whatever cell, is read by the formulas that it holds.

Left out of others: inputs in another order than carrynet's (`words.tables`), both directions,
answers that come late.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from carrynet.errors import InputError, shorten, unknown
from carrynet.exchange import conventions, flax, folding, modules
from carrynet.exchange.conventions import Stated
from carrynet.exchange.folding import Convention, Owned
from carrynet.exchange.layered import UNKNOWN, Layered, Linear, Recurrent
from carrynet.exchange.mapping import NO_BIAS, Mapping, Tensors, evaluate, in_part, listing
from carrynet.exchange.modules import Recognised
from carrynet.exchange.otherwise import other_readings
from carrynet.exchange.recognise import USAGE, complete, guess, settle, usual_activation, ways
from carrynet.exchange.samples import (
    TOLERANCE,
    Samples,
    of_arrays as samples_of,
    read as read_samples,
)
from carrynet.exchange.source import Source
from carrynet.exchange.tensors import Contents, read
from carrynet.files import brief, printable
from carrynet.nets.arrays import ACTIVATIONS, Array
from carrynet.nets.network import Network, written
from carrynet.spec import builtin
from carrynet.spec.recipe import Recipe
from carrynet.spec.task import Task

__all__ = [
    "Mapping",
    "Samples",
    "Taken",
    "guess",
    "owned",
    "read",
    "read_samples",
    "samples_of",
    "take",
    "task_of",
]


@dataclass(frozen=True, eq=False)
class Taken:
    """A network that was trained elsewhere, and where it came from."""

    network: Network
    source: Source
    notes: tuple[str, ...]  #: lines that say what was made of the file


def take(
    contents: Contents,
    task: Task | None = None,
    given: Mapping | None = None,
    *,
    activation: str | None = None,
    coding: str | None = None,
    delay: int | None = None,
    head: str | None = None,
    samples: Samples | None = None,
    leave_out: Iterable[str] = (),
) -> Taken:
    """The network in a file, computing as its owner's does up to rounding.

    Task, mapping, activation, coding, delay and what is within the head are what the owner says;
    what is not said, the file says, if carrynet wrote it; else it is guessed, and tried on sample
    problems, by `conventions.choose`, or on the owner's own `samples`.
    `leave_out` names tensors, with `*` for any text, that play no part in the answers.

    Sums are taken in float64.  The weights are float64 if a tensor they are made of is, or
    holds whole numbers; else float32.  Raises `InputError` when names, shapes or numbers do
    not fit, when a tensor that may be needed has no place, and when it cannot be told how
    the network is to be read.
    """
    ours = _written(contents)
    task = task_of(contents, task)
    if ours and not ours.elman:
        said = {"--map": given, "--activation": activation, "--coding": coding, "--delay": delay}
        said |= {"--head": head}
        options = [name for name, value in said.items() if value not in (None, Mapping())]
        said_of_it = [*options, *(["--leave-out"] if leave_out else [])]
        return _own(contents, replace(ours, task=task), said_of_it)
    if activation is not None and activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    if coding is not None and coding not in folding.CODED:
        raise unknown("coding", coding, folding.CODED)
    for name in (head or "").split(",") if head is not None else ():
        if name not in folding.HEADS:
            raise unknown("head", name, folding.HEADS)
    left, tensors = _left_out(contents.tensors, leave_out)
    # but a tensor that the owner takes a part of is left out in part
    tensors |= {name: contents.tensors[name] for name in left if _is_in_part(name, given)}
    given = given or Mapping()
    if not ours and (layers := _in_layers(contents, tensors, task, given)):
        told = Stated(activation, coding, given.cuts, delay, head)
        return _layered(contents, layers, task, told, samples, left)
    guessed = guess(tensors, task, given)
    candidates = {"": guessed} if ours else ways(guessed, given, tensors)
    found, along = complete(guessed, given, tensors)
    passed = settle(tensors, found)
    if some := [name for name in in_part(found, contents.tensors) if name not in left]:
        raise InputError(
            f"the mapping leaves out a part of {listing(tensors, some)}, which the answers may "
            "need: --leave-out states that what is left out of it plays no part"
        )
    activation = _of_settings(contents, tensors, found, activation)
    stated = Stated(activation, coding, found.cuts, delay, head)
    if ours:  # its own networks are read in one way only
        codings = owned(tensors, task, found).codings
        own = Stated(ours.activation, codings[0], (0.0,), 0)
        stated = _overlaid(own, stated)
    ended = modules.end(contents.settings)
    if len(candidates) == 1:
        theirs = owned(tensors, task, found, ended)
        usual = usual_activation(found, tensors)
        choice, way = conventions.choose(theirs, stated, usual, samples=samples), ""
    else:
        found, theirs, choice, way = _tried(
            candidates, given, tensors, task, stated, samples, ended
        )
    return _taken(
        contents,
        theirs.network(choice.convention),
        how=printable(_with_cut(found, choice.convention.cut)),
        named=choice.convention.activation,
        left=left,
        passed=passed,
        assumed=(*_ends(theirs.layers), *choice.assumed, *([way] if way else [])),
        notes={
            "comes along": ", ".join(along),
            "tried": choice.why,
            "samples": _agreeing(samples),
        },
    )


def _taken(
    contents: Contents,
    network: Network,
    *,
    how: str,
    named: str = "",
    left: Sequence[str] = (),
    passed: Sequence[str] = (),
    assumed: tuple[str, ...] = (),
    notes: dict[str, str] | None = None,
) -> Taken:
    """A network with where it came from, and the lines that say what was made of the file."""
    passed_over = (*contents.passed_over, *map(printable, passed))
    source = Source(
        file=printable(contents.name),
        sha256=contents.sha256,
        mapping=how,
        left_out=(*map(printable, left), *passed_over),
        assumed=assumed,
    )
    said = {
        "read as": ", ".join(filter(None, [network.task.name, named, how])),
        "left out": ", ".join(left),
        "passed over": ", ".join(passed_over),
        "assumed": ", ".join(assumed),
        **(notes or {}),
    }
    lines = tuple(f"{key:<12}{brief(text)}" for key, text in said.items() if text)
    return Taken(network, source, lines)


def _ends(layers: Layered) -> list[str]:
    """What is left out after a head, or taken not to be there."""
    return [folding.ENDS[layers.ended].format(layers.bound)] if layers.ended else []


def _agreeing(samples: Samples | None) -> str:
    return f"agree: {samples.said} to {TOLERANCE:g}" if samples else ""


# Networks of layers ------------------------------------------------------------------


def _in_layers(
    contents: Contents, tensors: Tensors, task: Task, given: Mapping
) -> Recognised | None:
    """The layers that a file has, where it says them or names tell them; see `modules`."""
    weights = [key for key, _ in given.weights]
    if contents.layers is None:
        if weights:
            return None
        found = modules.recognise(tensors, contents.settings, task, contents.listed)
        return found or _of_flax(tensors)
    if weights:
        raise InputError(
            f"{printable(contents.name)} says which tensors are what: leave out --map "
            f"{', --map '.join(f'{key}=' for key in weights)}"
        )
    return Recognised(contents.layers, _kinds(contents.layers), contents.notes, ())


def _of_flax(tensors: Tensors) -> Recognised | None:
    """The layers of a tree of Flax's, but not one Elman cell and a readout: `guess` takes it."""
    found = flax.layers_of(dict(tensors))
    if found is None:
        return None
    layers, notes = found
    linear = [each for each in (*layers.before, *layers.head) if isinstance(each, Linear)]
    cells = [each.cell for each in layers.recurrent]
    if cells == ["elman"] and layers.embedding is None and len(linear) <= 1:
        return None
    return Recognised(layers, _kinds(layers), tuple(notes), ())


def _kinds(layers: Layered) -> str:
    return ", ".join(f"{modules.KINDS[e.cell]} ({e.hidden} units)" for e in layers.recurrent)


def _layered(
    contents: Contents,
    found: Recognised,
    task: Task,
    stated: Stated,
    samples: Samples | None,
    left: list[str],
) -> Taken:
    """The network of layers, by the convention that is right, or answers as the samples."""
    layers = folding.decided(found.layers, task)
    if layers.ended in ("sigmoid", "softmax"):  # a threshold is one of the p that these yield
        stated = replace(stated, cuts=stated.cuts[-1:])
    theirs = Owned(task, layers, layers.dtype)
    otherwise = ""
    try:
        choice = conventions.choose(theirs, stated, "tanh", samples=samples)
    except conventions.Unlike as unlike:
        theirs, choice, otherwise = _read_otherwise(theirs, stated, samples, unlike)
    except conventions.NoneRight as wrong:
        with suppress(conventions.NoneRight):
            *_, name = _read_otherwise(theirs, stated, None, wrong)
            raise InputError(f"{wrong}; {name} it is right: --samples would show it") from None
        raise
    readings = _readings(theirs, choice.convention) if samples is None else ""
    return _taken(
        contents,
        theirs.network(choice.convention),
        how=printable(found.how),
        left=left,
        passed=found.passed_over,
        assumed=(
            *found.assumed,
            *_ends(layers),
            *choice.assumed,
            *([otherwise] if otherwise else []),
        ),
        notes={"tried": choice.why, "samples": _agreeing(samples), "otherwise": readings},
    )


def _read_otherwise(
    theirs: Owned, stated: Stated, samples: Samples | None, unlike: InputError
) -> tuple[Owned, conventions.Choice, str]:
    """The one other reading that answers as the samples do, as exporters are known to err.

    Raises `unlike` where none does, and `InputError` where several do.
    """
    found = []
    for name, layers in other_readings(theirs.layers).items():
        other = replace(theirs, layers=layers)
        with suppress(InputError):
            choice = conventions.choose(other, stated, "tanh", samples=samples)
            shown = f"{name}, as the samples show, not as the file says"
            found.append((other, choice, shown if samples else f"with {name}"))
    if len(found) > 1 and samples:
        ways = " or ".join(shown.partition(",")[0] for *_, shown in found)
        raise InputError(f"{unlike}; with {ways} it answers as in all: give more samples")
    if not found:
        raise unlike
    return found[0]


def _readings(theirs: Owned, convention: Convention) -> str:
    """How many short sample problems would be right by the usual other readings."""
    scores, short = [], 0
    for name, layers in other_readings(theirs.layers).items():
        tried = conventions.attempt(replace(theirs, layers=layers), [convention])
        short = tried.short
        scores.append(f"{name} {tried.told(convention, short)}")
    return f"right of {short} sample problems: {', '.join(scores)}" if scores else ""


def task_of(contents: Contents, said: Task | None) -> Task:
    """What the network has learned: what is said, else what its file says, else addition.

    Raises `InputError` where the file says a task that is not built in.
    """
    if said is not None:
        return said
    if ours := _written(contents):
        return ours.task
    try:
        return builtin.parse(contents.task) if contents.task else builtin.add()
    except InputError:
        raise InputError(
            f"{printable(contents.name)} is of task {shorten(contents.task)}, which is not built "
            "in: --task names it, or its file"
        ) from None


def _own(contents: Contents, network: Network, said: list[str]) -> Taken:
    """The network of a file of carrynet's own whose cell is not Elman's: its formulas are there.

    Raises `InputError` where anything is `said` of how to read it.
    """
    if said:
        raise InputError(
            f"{printable(contents.name)} is carrynet's own, of cell {network.kind}, and says how "
            f"it is read: leave out {', '.join(said)}"
        )
    mapping = ", ".join(f"{name}={name}" for name in network.weights)
    return _taken(contents, network, how=mapping, named=network.kind)


def _written(contents: Contents) -> Network | None:
    """The network that carrynet wrote into a file, which says so itself; None of other files.

    Raises `InputError` where the file is of another version, or the weights are not those that
    it was written for.
    """
    said = contents.facts
    if not said.keys() & {"format", "weights_sha256"}:
        return None
    try:
        return written(contents.tensors, said)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(
            f"cannot take weights from {printable(contents.name)}, which carrynet wrote: {what}"
        ) from None


def _tried(
    candidates: dict[str, Mapping],
    given: Mapping,
    tensors: Tensors,
    task: Task,
    stated: Stated,
    samples: Samples | None,
    ended: str,
) -> tuple[Mapping, Owned, conventions.Choice, str]:
    """The one of several mappings, by what they assume, with which the network is right.

    Raises `InputError` where it is right with none or with several.
    """
    right, refusals = [], []
    for way, candidate in candidates.items():
        found, _ = complete(candidate, given, tensors)
        try:
            theirs = owned(tensors, task, found, ended)
            usual = usual_activation(found, tensors)
            choice = conventions.choose(theirs, stated, usual, tried=True, samples=samples)
            right.append((found, theirs, choice, way))
        except InputError as error:
            refusals.append(f"with {brief(found)}: {error}")
    if len(right) == 1:
        return right[0]
    if right:
        shown = " or ".join(f"--map {brief(found)}" for found, *_ in right)
        raise InputError(f"the network is right by several mappings: say which is meant, {shown}")
    raise InputError(f"none of {len(candidates)} mappings was right; {'; '.join(refusals)}")


def _of_settings(
    contents: Contents, tensors: Tensors, found: Mapping, said: str | None
) -> str | None:
    """The activation that the cell's module states; else what is said.

    Raises `InputError` where the owner says another, and for cells that cannot be taken.
    """
    settings = contents.settings
    heads = {name[: name.rfind(".") + 1] for name in evaluate("Whh", found.Whh, tensors).names}
    for head in sorted(heads):
        for key, sound in (("num_layers", 1), ("bidirectional", False), ("proj_size", 0)):
            if settings.get(f"{head}{key}", sound) != sound:
                raise InputError(
                    f"{printable(head)}{key} is {shorten(settings[f'{head}{key}'])}: accepted is "
                    f"one recurrent layer that runs forward, without a projection"
                )
    keys = [f"{head}{key}" for head in sorted(heads) for key in ("mode", "nonlinearity")]
    for key in keys:
        if key not in settings:
            continue
        cell = str(settings[key]).lower().removeprefix("rnn_")
        if cell not in ("tanh", "relu"):
            raise InputError(
                f"{printable(key)} is {shorten(settings[key])}: only simple recurrent networks "
                "with tanh or relu, torch.nn.RNN or RNNCell, can be taken"
            )
        if said not in (None, cell):
            raise InputError(
                f"the activation is said to be {said}, but {printable(key)} of the file is "
                f"{shorten(settings[key])}"
            )
        said = cell
    return said


def _overlaid(own: Stated, said: Stated) -> Stated:
    changes = {key: value for key, value in vars(said).items() if value not in (None, ())}
    return replace(own, **changes)


def _with_cut(found: Mapping, cut: float) -> Mapping:
    """The mapping with the unit of its threshold, once that is known."""
    if found.threshold is not None:
        unit = "logit" if cut == found.threshold else "p"
        return found.adding("threshold", None).adding(unit, found.threshold)
    return found if found.cuts else replace(found, logit=cut or None)


def _is_in_part(name: str, given: Mapping | None) -> bool:
    """Whether an expression of the owner's has a part of a tensor, as in `W[:, 2:]`."""
    part = re.compile(rf"{re.escape(name)}(\.T)?\[")
    return given is not None and any(part.search(text) for _, text in given.weights)


def _left_out(tensors: Tensors, patterns: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """The names that the owner states to play no part, and the tensors that are left."""
    left: dict[str, None] = {}
    for pattern in patterns:
        matches = [name for name in tensors if name == pattern or fnmatchcase(name, pattern)]
        if not matches:
            raise InputError(
                f"there is no tensor {shorten(pattern)} to leave out; there are {listing(tensors)}"
            )
        left |= dict.fromkeys(matches)
    return list(left), {name: t for name, t in tensors.items() if name not in left}


# The owner's weights -----------------------------------------------------------------


def owned(tensors: Tensors, task: Task, mapping: Mapping, ended: str = "") -> Owned:
    """The weights that a mapping makes of tensors, as rows; `ended` is as `Layered` has it.

    Raises `InputError` when names, shapes or numbers do not fit.
    """
    for key in ("Wxh", "Whh", "Why"):
        if not getattr(mapping, key):
            raise InputError(f"no tensor is said to be {key}: {USAGE}")
    made = {key: evaluate(key, text, tensors) for key, text in mapping.weights}
    arrays = {key: each.array for key, each in made.items() if getattr(mapping, key) != NO_BIAS}
    Whh, Wxh, Why = (arrays[key] for key in ("Whh", "Wxh", "Why"))
    H = Whh.shape[-1] if Whh.ndim else 0
    x = _likeliest(folding.input_counts(task), [n for n, m in _sizes(Wxh) if m == H])
    y = _likeliest(folding.output_counts(task), [m for n, m in _sizes(Why) if n == H])
    shapes = {"Whh": (H, H), "Wxh": (x, H), "bh": (H,), "Why": (H, y), "by": (y,)}
    for key, shape in shapes.items():
        array = arrays.get(key, np.zeros(shape))
        arrays[key] = _fit(key, array, shape, mapping, task)
    _, most = Recipe.__dataclass_fields__["hidden"].metadata["within"]
    if most < H:
        raise InputError(f"there are {H:,} hidden units: at most {most:,} are accepted")
    kinds = {tensors[name].dtype for each in made.values() for name in each.names}
    single = all(kind == np.float32 for kind in kinds)
    dtype = np.dtype("float32" if single else "float64")
    for key, array in arrays.items():
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(array.astype(dtype)).all():
                raise InputError(f"weights {key} are not all finite")
    head = Linear(arrays.pop("Why"), arrays.pop("by"))
    cell = Recurrent("elman", arrays, UNKNOWN)
    return Owned(task, Layered((cell,), (head,), ended=ended), dtype)


def _sizes(array: Array) -> list[tuple[int, int]]:
    """The shape of a matrix; nothing for others."""
    return [(array.shape[0], array.shape[1])] if array.ndim == 2 else []


def _likeliest(counts: Sequence[int], found: Sequence[int]) -> int:
    """The count that is found, or the first where none is."""
    return next((n for n in counts if n in found), counts[0])


def _fit(key: str, array: Array, shape: tuple[int, ...], mapping: Mapping, task: Task) -> Array:
    if len(shape) == 1 and (array.ndim == 0 or (array.ndim == 2 and 1 in array.shape)):
        array = array.reshape(-1)  # a bias kept as a row, as a column, or as a number
    if array.shape == shape and array.size:
        return array
    expression = getattr(mapping, key)
    wanted = {
        "Whh": "a square (H, H)",
        "Wxh": f"{shape}: task {task.text} has {shape[0]} inputs, Whh {shape[-1]} hidden units",
        "Why": f"{shape}: Whh has {shape[0]} hidden units, task {task.text} {task.neurons} "
        f"output neuron{'s' * (task.neurons > 1)}",
    }.get(key, str(shape))
    hint = ""
    if array.shape == shape[::-1] and "+" not in expression:
        turned = expression[:-2] if expression.endswith(".T") else f"{expression}.T"
        hint = f"; its transpose fits, {key}={brief(turned)}"
        if key == "Wxh":
            hint += ", and Whh may need the same, which its shape cannot show"
    shown = f"{key}={brief(expression)}"
    raise InputError(f"{shown} has shape {array.shape}, but must have {wanted}{hint}")
