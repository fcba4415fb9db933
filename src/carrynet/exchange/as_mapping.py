"""A file as one Elman cell: by a mapping of its tensors to carrynet's weights.

`recognise` guesses the mapping, as far as the owner does not say it.  Where several fit, that one
is taken with which the network is right.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from carrynet.errors import InputError, shorten
from carrynet.exchange import conventions, folding, modules
from carrynet.exchange.conventions import Stated
from carrynet.exchange.folding import Owned
from carrynet.exchange.layered import UNKNOWN, Layered, Linear, Recurrent
from carrynet.exchange.mapping import NO_BIAS, Mapping, Tensors, evaluate, in_part, listing
from carrynet.exchange.recognise import USAGE, complete, guess, settle, usual_activation, ways
from carrynet.exchange.samples import Samples
from carrynet.exchange.source import Reading
from carrynet.exchange.tensors import Contents
from carrynet.files import brief, printable
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network
from carrynet.spec.recipe import Recipe
from carrynet.spec.task import Task


def read(
    contents: Contents,
    tensors: Tensors,
    task: Task,
    given: Mapping,
    said: Stated,
    samples: Samples | None,
    left: Sequence[str],
    ours: Network | None,
) -> Reading:
    """The network that a mapping makes of tensors.

    `left` are tensors that the owner states to play no part; `ours` is the network of a file that
    carrynet wrote.  Raises `InputError` where names, shapes or numbers do not fit, where a tensor
    that may be needed has no place, and where none or several ways to read them are right.
    """
    guessed = guess(tensors, task, given)
    candidates = {"": guessed} if ours else ways(guessed, given, tensors)
    found, along = complete(guessed, given, tensors)
    passed = settle(tensors, found)
    if some := [name for name in in_part(found, contents.tensors) if name not in left]:
        raise InputError(
            f"the mapping leaves out a part of {listing(tensors, some)}, which the answers may "
            "need: --leave-out states that what is left out of it plays no part"
        )
    activation = _of_settings(contents, tensors, found, said.activation)
    stated = replace(said, activation=activation, cuts=found.cuts)
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
    return Reading(
        theirs.network(choice.convention),
        str(_with_cut(found, choice.convention.cut)),
        choice.convention.activation,
        passed=tuple(passed),
        assumed=(*folding.ends(theirs.layers), *choice.assumed, *([way] if way else [])),
        notes={
            "comes along": ", ".join(along),
            "tried": choice.why,
            "samples": samples.agreed if samples else "",
        },
    )


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
