"""Networks of layers, by the names that PyTorch and Equinox give to their tensors.

    torch.nn.RNN, GRU, LSTM    weight_ih_l0 (G H, x), weight_hh_l0 (G H, H), bias_ih_l0, bias_hh_l0
    their cells                the same without _l0
    Equinox's cells            weight_ih, weight_hh, bias (G H,), bias_n (H,)
    Linear, Embedding          weight (m, n), bias (m,);  weight (symbols, m)

Gates lie in the order r, z, n in a GRU, whose reset comes after the product, and i, f, g, o in an
LSTM.  Which linear layers come before the cells and which after, widths and their order tell; an
activation without parameters has no tensor, and is `UNKNOWN` where only tensors are told.

Left out: both directions, projections, normalisation, attention.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from carrynet.errors import InputError, shorten
from carrynet.exchange.chains import ways_through
from carrynet.exchange.folding import input_counts, output_counts
from carrynet.exchange.layered import (
    NOT_FINITE,
    OPTIONAL,
    UNKNOWN,
    UNPLACED,
    Layer,
    Layered,
    Linear,
    Recurrent,
    elman,
    gated,
)
from carrynet.exchange.mapping import Tensors, listing
from carrynet.exchange.recognise import FIRST_STATE, is_no_weight, look
from carrynet.exchange.state_dicts import CLASS
from carrynet.nets.arrays import Array
from carrynet.spec.task import Task

Settings = Any  # names with what a file says of them

_CELL = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<part>weight_(?:ih|hh|hr)|bias_(?:ih|hh|n)|bias)"
    r"(?P<layer>_l\d+)?(?P<reverse>_reverse)?",
    re.DOTALL,
)
GATES = {3: ("gru", "rzn"), 4: ("lstm", "ifgo")}
KINDS = {"gru": "GRU", "lstm": "LSTM", "elman": "RNN", "gru-reset-before": "GRU"}
_BETWEEN = {"ReLU": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
_NOTHING = ("Identity", "Dropout", "AlphaDropout")
_SOFTMAXES = ("Softmax", "LogSoftmax")
_LAST = (-1, 2)  #: the axis of the answers, in (time, batch, y) and in (batch, time, y)
_SHOWN = ("RNN", "GRU", "LSTM", "their cells", "Linear", "Embedding", *_BETWEEN, "Dropout")
_UNDERSTOOD = {
    *(f"{kind}{cell}" for kind in ("RNN", "GRU", "LSTM") for cell in ("", "Cell")),
    *("Linear", "Embedding", "Sequential", "ModuleList", *_BETWEEN, *_NOTHING, *_SOFTMAXES),
}


@dataclass(frozen=True)
class Recognised:
    """A network of layers, and how it was found."""

    layers: Layered
    how: str  #: which tensors are what, for people
    assumed: tuple[str, ...]
    passed_over: tuple[str, ...]


@dataclass
class _Cell:
    """The tensors of one recurrent layer, by the parts of their names."""

    prefix: str
    layer: str
    named: dict[str, str]


def recognise(
    tensors: Tensors, settings: Settings, task: Task, listed: bool = True
) -> Recognised | None:
    """The layers whose names tell them; None where `recognise.guess` is to find one Elman cell.

    `listed` says that the tensors come in the order in which their modules were made, as in a
    state dict.  Raises `InputError`, one line that names the tensor, for what cannot be taken, for
    tensors that have no place, and where names and widths leave several possibilities.
    """
    found = _cells(tensors)
    if not found:
        return None
    check_classes(settings, [cell.prefix for cell in found.values()])
    used = {name for cell in found.values() for name in cell.named.values()}
    _check_finite(tensors, used)
    recurrent = {key: _layer(cell, tensors, settings) for key, cell in found.items()}
    sizes = {each.hidden for each in recurrent.values()}
    floating = {
        n: t for n, t in tensors.items() if n not in used and not is_no_weight(n, t, used, sizes)
    }
    _check_finite(tensors, floating)
    starts = {n: t for n, t in floating.items() if _is_start(n, t)}
    plain = {n: t for n, t in floating.items() if n not in starts}
    matrices = [n for n, t in plain.items() if t.ndim == 2 and n.endswith("weight")]
    if _is_simple(list(recurrent.values()), matrices, starts, settings):
        return None
    embedding = _embedding(matrices, plain, recurrent, task, settings)
    linear = {n: _linear(n, tensors) for n in matrices if n != embedding}
    table = tensors[embedding] if embedding else None
    before, order, head, assumed = _placed(linear, recurrent, table, task, listed)
    cells = [found[key] for key in order]
    stacked = _started([recurrent[key] for key in order], cells, starts)
    used |= {*starts, *linear, *([embedding] if embedding else [])}
    used |= {bias for name in linear if (bias := _bias(name)) in tensors}
    _settle(tensors, used, sizes)
    placed: set[str] = set()
    first = [embedding] if embedding else []
    layers = Layered(
        recurrent=tuple(stacked),
        head=_with_activations(head, linear, settings, placed, after=True),
        before=_with_activations([*first, *before], linear, settings, placed, after=False),
        embedding=None if table is None else _floating(table),
        ended=end(settings, placed),
    )
    how = [
        *([f"embedding {embedding}"] if embedding else []),
        *(f"linear {name}" for name in before),
        *(
            f"{KINDS[each.cell]} {cell.prefix}*{cell.layer} ({each.hidden} units)"
            for each, cell in zip(stacked, cells, strict=True)
        ),
        *(f"linear {name}" for name in head),
        *(f"start {name}" for name in starts),
    ]
    dropout = any(settings.get(f"{cell.prefix}dropout") for cell in cells)
    whole = [name for name in sorted(used) if tensors[name].dtype.kind != "f"]
    phrases = {
        "gates r, z, n, reset after the product": any(each.cell == "gru" for each in stacked),
        "gates i, f, g, o": any(each.cell == "lstm" for each in stacked),
        "no dropout, as when it is used": dropout,
        f"whole numbers of {listing(tensors, whole[:1])} as they are": bool(whole),
    }
    assumed += [phrase for phrase, holds in phrases.items() if holds]
    passed = tuple(name for name in tensors if name not in used)
    return Recognised(layers, ", ".join(how), tuple(assumed), passed)


def check_classes(settings: Settings, cells: Iterable[str]) -> None:
    """Refuse modules whose kinds are told and are not understood, cells of their own above all.

    What a module that has others in it does in its own code nobody can see.
    """
    classes = _classes(settings)
    for prefix in cells:
        kind = classes.get(prefix, "")
        if kind and kind.removesuffix("Cell") not in ("RNN", "GRU", "LSTM") and prefix:
            raise InputError(
                f"{shorten(prefix)} is a {shorten(kind)}: accepted are PyTorch's own RNN, GRU, LSTM"
            )
    for path, kind in classes.items():
        holds = any(other != path and other.startswith(path) for other in classes)
        if not holds and path and kind not in _UNDERSTOOD and not kind.endswith("Loss"):
            raise InputError(
                f"{shorten(path.rstrip('.'))} is a {shorten(kind)}, which cannot be taken: "
                f"accepted are {', '.join(_SHOWN)}"
            )


def end(settings: Settings, placed: Iterable[str] = ()) -> str:
    """What may come after the head, by the modules of a file: see `Layered.ended`.

    `placed` are those that have a place elsewhere.  Raises `InputError` for a softmax that may
    be over another axis than that of the answers.
    """
    classes = _classes(settings)
    softmaxes = {path: kind for path, kind in classes.items() if kind in _SOFTMAXES}
    for path, kind in softmaxes.items():
        dim = settings.get(f"{path}dim")
        if dim not in _LAST:
            told = "not told" if dim is None else shorten(dim)
            raise InputError(
                f"{shorten(path.rstrip('.'))} is a {kind} whose dim is {told}: accepted is "
                "dim=-1, over the answers"
            )
    for kind in softmaxes.values():
        return kind.lower()
    unplaced = {classes[path] for path in classes.keys() - set(placed)}
    return UNPLACED if unplaced & {"Sigmoid", "Tanh"} else ""


def _classes(settings: Settings) -> dict[str, str]:
    """The kinds of modules that a file tells, by their names with a dot after each."""
    return {k.removesuffix(CLASS): str(v) for k, v in settings.items() if _ends_in_class(k)}


def _ends_in_class(key: str) -> bool:
    return key == CLASS or key.endswith(f".{CLASS}")


# Recurrent layers --------------------------------------------------------------------


def _cells(tensors: Tensors) -> dict[str, _Cell]:
    """The recurrent layers by prefix and number, in the order of the file."""
    found: dict[str, _Cell] = {}
    matches = [match for name in tensors if (match := _CELL.fullmatch(name))]
    recurrent = {(m["prefix"], m["layer"] or "") for m in matches if m["part"] == "weight_hh"}
    for match in matches:
        prefix, layer = match["prefix"], match["layer"] or ""
        if (prefix, layer) not in recurrent:
            continue
        if match["reverse"]:
            raise InputError("the network runs in both directions: only one, forward, can be taken")
        if match["part"] == "weight_hr":
            raise InputError(
                f"{shorten(match[0])} is a projection of the hidden state: accepted are recurrent "
                "layers without"
            )
        cell = found.setdefault(f"{prefix}{layer}", _Cell(prefix, layer, {}))
        cell.named[match["part"]] = match[0]
    return {key: cell for key, cell in found.items() if "weight_ih" in cell.named}


def _layer(cell: _Cell, tensors: Tensors, settings: Settings) -> Recurrent:
    part = {key: _floating(tensors[name]) for key, name in cell.named.items()}
    name = cell.named["weight_hh"]
    Wh, Wx = part["weight_hh"], part["weight_ih"]
    if Wh.ndim != 2 or Wx.ndim != 2 or not Wh.shape[1] or Wh.shape[0] % Wh.shape[1]:
        raise InputError(f"{shorten(name)} has shape {Wh.shape}, which no cell of PyTorch's has")
    count = Wh.shape[0] // Wh.shape[1]
    if count not in (1, *GATES) or len(Wx) != len(Wh):
        raise InputError(
            f"{shorten(name)} of shape {Wh.shape} and {shorten(cell.named['weight_ih'])} of shape "
            f"{Wx.shape} are of no RNN, GRU or LSTM"
        )
    said = _said(cell, settings)
    kind = GATES[count][0] if count in GATES else "rnn"
    if said and not said.startswith(kind):
        raise InputError(
            f"{shorten(cell.prefix)} is said to be {shorten(said)}, but {shorten(name)} of shape "
            f"{Wh.shape} is of {KINDS.get(kind, 'RNN')}"
        )
    zero = np.zeros(len(Wh), Wh.dtype)
    b = part.get("bias_ih", part.get("bias", zero))
    bh = part.get("bias_hh", zero)
    for bias in (b, bh):
        if bias.shape != zero.shape:
            raise InputError(f"a bias beside {shorten(name)} has shape {bias.shape}")
    if count == 1:
        activation = said.removeprefix("rnn_") if said.startswith("rnn_") else UNKNOWN
        return elman(Wx.T, Wh.T, b, bh, activation=activation)
    if "bias_n" in part:  # Equinox's, of the state's share in n
        bh = np.concatenate([np.zeros(2 * Wh.shape[1], Wh.dtype), part["bias_n"].reshape(-1)])
    return gated(*GATES[count], Wx.T, Wh.T, b, bh)


def _said(cell: _Cell, settings: Settings) -> str:
    """What a module says the cell is: `gru`, `rnn_tanh`; or nothing."""
    prefix = cell.prefix
    for key, sound in (("bidirectional", False), ("proj_size", 0)):
        if settings.get(f"{prefix}{key}", sound) != sound:
            raise InputError(
                f"{shorten(prefix + key)} is {shorten(settings[prefix + key])}: accepted are "
                "recurrent layers that run forward, without a projection"
            )
    said = settings.get(f"{prefix}mode", settings.get(f"{prefix}nonlinearity"))
    text = str(said or "").lower()
    return f"rnn_{text}" if text in ("tanh", "relu") else text


def _started(recurrent: list[Recurrent], cells: list[_Cell], starts: Tensors) -> list[Recurrent]:
    """The layers with the states that they begin in, where these are learned."""
    found: list[dict[str, Array]] = [{} for _ in recurrent]
    for name, tensor in starts.items():
        part = _part(name)
        places = _begins(name, tensor.size, recurrent, cells)
        sizes = [recurrent[k].hidden for k in places]
        if tensor.size != sum(sizes):
            raise InputError(
                f"{listing(starts, [name])} looks like the state that {len(sizes)} layers of "
                f"{' and '.join(map(str, sizes))} units begin in, and has another size"
            )
        pieces = np.split(_floating(tensor).reshape(-1), np.cumsum(sizes)[:-1])
        for k, piece in zip(places, pieces, strict=True):
            if part == "c" and recurrent[k].cell != "lstm":
                raise InputError(f"{shorten(name)} is of an LSTM, and there is none")
            if part in found[k]:
                raise InputError(f"two tensors look like the state {part} that the cells begin in")
            found[k][part] = piece
    return [replace(each, start=start) for each, start in zip(recurrent, found, strict=True)]


_H, _C = r"(^|_)h(_?0|x)?(_|$)|hidden", r"(^|_)c(_?0|x)?(_|$)|cell"


def _is_start(name: str, tensor: Any) -> bool:
    """Whether it is a state to begin in, and no part of a layer that makes one."""
    last = re.split(r"[./]", name)[-1]
    return last not in ("weight", "bias") and bool(FIRST_STATE.search(name)) and tensor.ndim <= 3


def _part(name: str) -> str:
    """Whether a name is that of an h, or of a c.  Raises `InputError` where it does not tell."""
    last = re.split(r"[./]", name)[-1].lower()
    if last.isdecimal():
        raise InputError(f"{shorten(name)} does not tell which part of the state begins so")
    return "c" if re.search(_C, last) and not re.search(_H, last) else "h"


def _begins(name: str, size: int, recurrent: list[Recurrent], cells: list[_Cell]) -> list[int]:
    """The layers that begin in a state: all, or those of the module of the same number."""
    without = re.sub(r"(^|[._/])[hc]_?0(?=_|$)", r"\1", name)
    number = re.search(r"_?(\d+)$", without)
    if number and size != sum(each.hidden for each in recurrent):
        same = re.compile(rf"(.*\D)?{number[1]}\.?", re.DOTALL)
        if places := [k for k, cell in enumerate(cells) if same.fullmatch(cell.prefix)]:
            return places
    return list(range(len(recurrent)))


# Other layers ------------------------------------------------------------------------


def _is_simple(
    recurrent: list[Recurrent], matrices: list[str], starts: Tensors, settings: Settings
) -> bool:
    """Whether `recognise.guess` takes it: one Elman cell, at most one linear layer, no start."""
    only = len(recurrent) == 1 and recurrent[0].cell == "elman"
    activations = {*_BETWEEN, *_SOFTMAXES}.intersection(_classes(settings).values())
    return only and len(matrices) <= 1 and not starts and not activations


def _embedding(
    matrices: list[str],
    plain: Tensors,
    recurrent: Mapping[str, Recurrent],
    task: Task,
    settings: Settings,
) -> str:
    """The name of the table of a vector for each symbol; '' where there is none."""
    classes = _classes(settings)
    symbols = len(task.machine.symbols)
    widths = {each.inputs for each in recurrent.values()}
    kinds = {n: classes.get(n.removesuffix("weight"), "") for n in matrices}
    named = [n for n in matrices if re.search(r"emb(ed\w*)?([._/\d]|$)|wte\b", n, re.IGNORECASE)]
    told = [n for n, kind in kinds.items() if kind == "Embedding"]
    found = told or [n for n in named if not kinds[n] and _bias(n) not in plain]
    if not found and not any(kinds.values()):
        found = [
            n
            for n in matrices[:1]
            if _bias(n) not in plain
            and plain[n].shape[1] in widths
            and plain[n].shape[1] not in input_counts(task)
        ]
    if len(found) > 1:
        raise InputError(f"{listing(plain, found)} both look like embeddings: one can be taken")
    if found and len(plain[found[0]]) < symbols:
        raise InputError(
            f"{listing(plain, found)} has a vector for each of {len(plain[found[0]])} symbols: "
            f"task {task.text} has {symbols}"
        )
    return found[0] if found else ""


def _bias(name: str) -> str:
    return f"{name.removesuffix('weight')}bias"


def _linear(name: str, tensors: Tensors) -> Linear:
    weight = _floating(tensors[name]).T
    bias = _floating(tensors.get(_bias(name), np.zeros(weight.shape[1], weight.dtype)))
    if bias.shape != weight.shape[1:]:
        raise InputError(f"{listing(tensors, [_bias(name)])} does not fit {shorten(name)}")
    return Linear(weight, bias)


def _placed(
    linear: dict[str, Linear],
    cells: dict[str, Recurrent],
    table: Array | None,
    task: Task,
    listed: bool,
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], list[str]]:
    """Which linear layers come before the cells and which after, and the order of all.

    By widths and by the numbers in names; where these leave several ways, in the order in which
    the file lists them, if that is one, and that is assumed.  Raises `InputError` where none or
    several ways fit.
    """
    fed = [table.shape[1]] if table is not None else input_counts(task)
    ways = ways_through(linear, cells, fed, output_counts(task))
    if listed and len(ways) > 1:
        places = {name: k for k, name in enumerate([*linear, *cells])}
        sound = [
            (before, order, head)
            for before, order, head in ways
            if _grows(places, [*before, *head]) and _grows(places, order)
        ]
        if len(sound) == 1:
            return *sound[0], ["layers in the order in which the file has them"]
    if len(ways) == 1:
        return *ways[0], []
    x = " or ".join(sorted({str(each.inputs) for each in cells.values()}))
    H = " or ".join(sorted({str(each.hidden) for each in cells.values()}))
    inputs, outputs = (" or ".join(map(str, n)) for n in (fed, output_counts(task)))
    if not linear:
        raise InputError(
            f"there is no linear layer, no weight of an nn.Linear: the recurrent layers have {x} "
            f"inputs and {H} units, task {task.text} has {outputs} outputs"
        )
    shown = ", ".join(f"{shorten(n)} {linear[n].weight.T.shape}" for n in sorted(linear))
    how = "in several ways" if ways else "in no way"
    hint = ", and the file has no order: torch.save keeps it" if ways and not listed else ""
    raise InputError(
        f"the linear layers, {shown}, fit {how} between {inputs} inputs, recurrent layers of "
        f"{x} inputs and {H} units, and {outputs} outputs of task {task.text}{hint}"
    )


def _grows(places: Mapping[str, int], names: Sequence[str]) -> bool:
    return all(places[a] < places[b] for a, b in pairwise(names))


def _with_activations(
    names: Sequence[str],
    linear: dict[str, Linear],
    settings: Settings,
    placed: set[str],
    *,
    after: bool,
) -> tuple[Layer, ...]:
    """Linear layers with the activations around them, as far as these are told: `placed`.

    An `nn.Sequential` whose kind is told says what is between its layers, and after an embedding,
    which may be the first of the names.  Elsewhere an activation has no tensor, and may be in the
    code of `forward`: between two layers it is `UNKNOWN`, and between a cell and the layer next to
    it `OPTIONAL`.
    """
    if not names:
        return ()
    classes = _classes(settings)
    found: list[Layer] = []
    for name, following in pairwise((None, *names, None)):
        within = _within(name, following, classes)
        if within is not None:
            found += _activations(within, classes, final=after and following is None)
            placed.update(within)
        elif name in linear and following in linear:
            found.append(UNKNOWN)
        elif (following if after else name) in linear and None in (name, following):
            found.append(OPTIONAL)
        if following in linear:
            found.append(linear[following])
    return tuple(found)


_IN_SEQUENTIAL = re.compile(r"(?P<parent>(?:.*\.)?)(?P<number>\d+)\.weight", re.DOTALL)


def _within(
    name: str | None, following: str | None, classes: Mapping[str, str]
) -> list[str] | None:
    """The modules between two layers of one `Sequential`, by their paths; None where not told.

    None for one of the names is its beginning, or its end.
    """
    one, other = (_IN_SEQUENTIAL.fullmatch(n) if n else None for n in (name, following))
    place = one or other
    if place is None or classes.get(place["parent"]) != "Sequential":
        return None
    if (name and not one) or (following and not other):
        return None
    if one and other and one["parent"] != other["parent"]:
        return None
    parent = place["parent"]
    numbers = sorted(
        int(path[len(parent) : -1])
        for path in classes
        if path.startswith(parent) and path[len(parent) : -1].isdecimal()
    )
    low = int(one["number"]) if one else -1
    high = int(other["number"]) if other else numbers[-1] + 1
    return [f"{parent}{k}." for k in numbers if low < k < high]


def _activations(paths: list[str], classes: Mapping[str, str], final: bool) -> list[str]:
    """By name what modules in a row are; a softmax that is the last of them is `Layered.ended`."""
    found = []
    for path in paths:
        kind = classes[path]
        if kind in _NOTHING or (final and kind in _SOFTMAXES and path == paths[-1]):
            continue
        if kind not in _BETWEEN:
            raise InputError(
                f"a layer {shorten(kind)} cannot be taken: accepted are Linear, ReLU, Tanh, Sigmoid"
            )
        found.append(_BETWEEN[kind])
    return found


def _settle(tensors: Tensors, used: set[str], sizes: set[int]) -> None:
    """Refuse tensors without a place that the answers may need."""
    rest = [n for n, t in tensors.items() if n not in used and not is_no_weight(n, t, used, sizes)]
    if rest:
        looks = [
            f"{listing(tensors, [n])} looks like {look(n, tensors[n], 0, ())}" for n in rest[:4]
        ]
        more = f" (and {len(rest) - 4} more)" if len(rest) > 4 else ""
        raise InputError(
            f"{', '.join(looks)}{more}, which has no place in the network: accepted are an "
            "embedding, recurrent layers, linear layers with ReLU, Tanh or Sigmoid between, and "
            "the state that the cells begin in"
        )


def _check_finite(tensors: Tensors, names: Iterable[str]) -> None:
    for name in names:
        if tensors[name].dtype.kind == "f" and not np.isfinite(tensors[name]).all():
            raise InputError(f"{listing(tensors, [name])} is not finite: it holds {NOT_FINITE}")


def _floating(tensor: Any) -> Array:
    """A tensor in its own precision; whole numbers in float64.  Raises `InputError`."""
    if tensor.dtype.kind not in "fiu":
        raise InputError(f"a tensor holds {tensor.dtype}, not numbers")
    return tensor if tensor.dtype.kind == "f" else tensor.astype(np.float64)
