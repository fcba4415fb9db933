"""A file as a network of layers: where it says them, or its tensors' names tell them.

`find` takes what a reader (ONNX, Keras), `modules` or `flax` has found, and `read` the convention
by which it is right.  Where samples show that an exporter has erred, as `otherwise` knows how, the
other reading is taken, and told.
"""

from contextlib import suppress
from dataclasses import replace

from carrynet.errors import InputError
from carrynet.exchange import conventions, flax, folding, modules
from carrynet.exchange.conventions import Stated
from carrynet.exchange.folding import Convention, Owned
from carrynet.exchange.layered import Layered, Linear
from carrynet.exchange.mapping import Mapping, Tensors
from carrynet.exchange.modules import Recognised
from carrynet.exchange.otherwise import other_readings
from carrynet.exchange.samples import Samples
from carrynet.exchange.source import Reading
from carrynet.exchange.tensors import Contents
from carrynet.files import printable
from carrynet.spec.task import Task


def find(contents: Contents, tensors: Tensors, task: Task, given: Mapping) -> Recognised | None:
    """The layers that a file has, where it says them or names tell them; None where neither.

    Raises `InputError` where the owner says of a file that says its layers which tensors are what.
    """
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


def read(found: Recognised, task: Task, stated: Stated, samples: Samples | None) -> Reading:
    """The network of layers, by the convention that is right, or answers as the samples.

    Raises `InputError` where there is none, or several.
    """
    layers = folding.decided(found.layers, task)
    if layers.ended in ("sigmoid", "softmax"):  # a threshold is one of the p that these yield
        stated = replace(stated, cuts=stated.cuts[-1:])
    theirs = Owned(task, layers, layers.dtype)
    otherwise = []
    try:
        choice = conventions.choose(theirs, stated, "tanh", samples=samples)
    except conventions.Unlike as unlike:
        theirs, choice, shown = _read_otherwise(theirs, stated, samples, unlike)
        otherwise = [shown]
    except conventions.NoneRight as wrong:
        with suppress(conventions.NoneRight):
            *_, name = _read_otherwise(theirs, stated, None, wrong)
            raise InputError(f"{wrong}; {name} it is right: --samples would show it") from None
        raise
    notes = {"tried": choice.why}
    if samples is None:
        notes["otherwise"] = _readings(theirs, choice.convention)
    else:
        notes["samples"] = samples.agreed
    return Reading(
        theirs.network(choice.convention),
        found.how,
        passed=found.passed_over,
        assumed=(*found.assumed, *folding.ends(layers), *choice.assumed, *otherwise),
        notes=notes,
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
