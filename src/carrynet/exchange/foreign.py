"""Networks that others trained: which of their tensors are carrynet's weights, and how.

`take` does it all.  What a file is, its reader ends in layers (ONNX, Keras) or in tensors by name.
`as_layers` makes a network of layers, which names of tensors may tell, too; `as_mapping` one Elman
cell: of carrynet's own names, `torch.nn.RNN` or `RNNCell` with an `nn.Linear` readout, and where
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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from carrynet.errors import InputError, shorten, unknown
from carrynet.exchange import as_layers, as_mapping, folding
from carrynet.exchange.conventions import Stated
from carrynet.exchange.mapping import Mapping, Tensors, listing
from carrynet.exchange.samples import Samples, of_arrays as samples_of, read as read_samples
from carrynet.exchange.source import Reading, Source
from carrynet.exchange.tensors import Contents, read
from carrynet.files import brief, printable
from carrynet.nets.arrays import ACTIVATIONS
from carrynet.nets.network import Network, written
from carrynet.spec import builtin
from carrynet.spec.task import Task

__all__ = [
    "Mapping",
    "Samples",
    "Taken",
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
    given = given or Mapping()
    # but a tensor that the owner takes a part of is left out in part
    tensors |= {name: contents.tensors[name] for name in left if given.has_part(name)}
    stated = Stated(activation, coding, given.cuts, delay, head)
    layers = None if ours else as_layers.find(contents, tensors, task, given)
    if layers:
        reading = as_layers.read(layers, task, stated, samples)
    else:
        reading = as_mapping.read(contents, tensors, task, given, stated, samples, left, ours)
    return _taken(contents, reading, left)


def _taken(contents: Contents, reading: Reading, left: Sequence[str] = ()) -> Taken:
    """A network with where it came from, and the lines that say what was made of the file."""
    passed_over = (*contents.passed_over, *map(printable, reading.passed))
    how = printable(reading.how)
    source = Source(
        file=printable(contents.name),
        sha256=contents.sha256,
        mapping=how,
        left_out=(*map(printable, left), *passed_over),
        assumed=reading.assumed,
    )
    said = {
        "read as": ", ".join(filter(None, [reading.network.task.name, reading.named, how])),
        "left out": ", ".join(left),
        "passed over": ", ".join(passed_over),
        "assumed": ", ".join(reading.assumed),
        **reading.notes,
    }
    lines = tuple(f"{key:<12}{brief(text)}" for key, text in said.items() if text)
    return Taken(reading.network, source, lines)


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
    return _taken(contents, Reading(network, mapping, network.kind))


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
