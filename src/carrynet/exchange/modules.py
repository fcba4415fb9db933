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
from dataclasses import dataclass, replace
from itertools import pairwise, permutations, zip_longest
from typing import Any

import numpy as np

from carrynet.errors import InputError, shorten
from carrynet.exchange.chains import natural
from carrynet.exchange.folding import input_counts, output_counts
from carrynet.exchange.layered import UNKNOWN, Layer, Layered, Linear, Recurrent, elman, gated
from carrynet.exchange.mapping import Tensors, listing
from carrynet.exchange.pytorch import CODE
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
_NOTHING = ("Identity", "Dropout", "Flatten", "AlphaDropout")
MOST_ORDERED = 5  # linear layers of which every order is tried
_AT_THE_END = ("Softmax", "LogSoftmax", "Sigmoid")  # of which the largest stays the largest


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


def recognise(tensors: Tensors, settings: Settings, task: Task) -> Recognised | None:
    """The layers whose names tell them; None where `recognise.guess` is to find one Elman cell.

    Raises `InputError`, one line that names the tensor, for what cannot be taken, for tensors that
    have no place, and where names and widths leave several possibilities.
    """
    found = _cells(tensors)
    if not found:
        return None
    used = {name for cell in found for name in cell.named.values()}
    others = [name for name in tensors if name not in used]
    floating = {n: t for n, t in tensors.items() if n in others and not is_no_weight(n, t)}
    starts = {n: t for n, t in floating.items() if FIRST_STATE.search(n)}
    plain = {n: t for n, t in floating.items() if n not in starts}
    matrices = [n for n, t in plain.items() if t.ndim == 2 and n.endswith("weight")]
    recurrent = [_layer(cell, tensors, settings) for cell in found]
    if _is_simple(recurrent, matrices, starts):
        return None
    embedding = _embedding(matrices, plain, recurrent[0].inputs, task)
    linear = {n: _linear(n, tensors) for n in matrices if n != embedding}
    table = tensors[embedding] if embedding else None
    before, head = _placed(_in_order(list(linear)), linear, recurrent, table, task)
    recurrent = _started(recurrent, found, starts)
    used |= {*starts, *linear, *([embedding] if embedding else [])}
    used |= {bias for name in linear if (bias := _bias(name)) in tensors}
    _settle(tensors, used)
    classes = {k: v for k, v in settings.items() if k.split(".")[-1] == CLASS}
    layers = Layered(
        recurrent=tuple(recurrent),
        head=_with_activations(head, linear, classes, last=True),
        before=_with_activations(before, linear, classes, last=False),
        embedding=None if table is None else _floating(table),
    )
    parts = [f"embedding {embedding}"] if embedding else []
    parts += [f"linear {name}" for name in before]
    parts += [
        f"{KINDS[each.cell]} {cell.prefix}*{cell.layer} ({each.hidden} units)"
        for each, cell in zip(recurrent, found, strict=True)
    ]
    parts += [f"linear {name}" for name in head]
    parts += [f"start {name}" for name in starts]
    kinds = {each.cell for each in recurrent}
    assumed = ["gates r, z, n, reset after the product"] if "gru" in kinds else []
    assumed += ["gates i, f, g, o"] if "lstm" in kinds else []
    if whole := [n for n in tensors if n in used and tensors[n].dtype.kind != "f"]:
        assumed.append(f"whole numbers of {listing(tensors, whole[:1])} as they are")
    passed = tuple(name for name in tensors if name not in used)
    return Recognised(layers, ", ".join(parts), tuple(assumed), passed)


# Recurrent layers --------------------------------------------------------------------


def _cells(tensors: Tensors) -> list[_Cell]:
    """The recurrent layers, from below: in the order of the file, layers of one by number."""
    found: dict[tuple[str, str], _Cell] = {}
    matches = [match for name in tensors if (match := _CELL.fullmatch(name))]
    recurrent = {(m["prefix"], m["layer"] or "") for m in matches if m["part"] == "weight_hh"}
    for match in matches:
        key = match["prefix"], match["layer"] or ""
        if key not in recurrent:
            continue
        if match["reverse"]:
            raise InputError("the network runs in both directions: only one, forward, can be taken")
        if match["part"] == "weight_hr":
            raise InputError(
                f"{shorten(match[0])} is a projection of the hidden state: accepted are recurrent "
                "layers without"
            )
        found.setdefault(key, _Cell(*key, {})).named[match["part"]] = match[0]
    order = _in_order(list(dict.fromkeys(prefix for prefix, _ in found)))
    return sorted(
        (cell for cell in found.values() if "weight_ih" in cell.named),
        key=lambda cell: (order.index(cell.prefix), int(cell.layer[2:] or 0)),
    )


def _in_order(names: list[str]) -> list[str]:
    """Names by the numbers in them where they differ in nothing else; others as the file has them.

    A state dict is in the order in which its modules were made; other files are in any.
    """
    keys = {name: natural(name) for name in names}
    stems = [tuple(stem for stem, _ in key) for key in keys.values()]
    return [
        name
        for stem in dict.fromkeys(stems)
        for name in sorted(
            (n for n, s in zip(names, stems, strict=True) if s == stem), key=keys.__getitem__
        )
    ]


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
        total = (b.astype(np.float64) + bh).astype(np.result_type(b, bh))
        return elman(Wx.T, Wh.T, total, activation)
    if "bias_n" in part:  # Equinox's, of the state's share in n
        bh = np.concatenate([np.zeros(2 * Wh.shape[1], Wh.dtype), part["bias_n"].reshape(-1)])
    return gated(*GATES[count], Wx.T, Wh.T, b, bh)


def _said(cell: _Cell, settings: Settings) -> str:
    """What a module or TorchScript's code says the cell is: `gru`, `rnn_tanh`; or nothing."""
    prefix = cell.prefix
    for key, sound in (("bidirectional", False), ("proj_size", 0)):
        if settings.get(f"{prefix}{key}", sound) != sound:
            raise InputError(
                f"{shorten(prefix + key)} is {shorten(settings[prefix + key])}: accepted are "
                "recurrent layers that run forward, without a projection"
            )
    said = settings.get(f"{prefix}mode", settings.get(f"{prefix}nonlinearity", settings.get(CODE)))
    text = str(said or "").lower()
    return f"rnn_{text}" if text in ("tanh", "relu") else text


def _started(recurrent: list[Recurrent], cells: list[_Cell], starts: Tensors) -> list[Recurrent]:
    """The layers with the states that they begin in, where these are learned."""
    found: list[dict[str, Array]] = [{} for _ in recurrent]
    for name, tensor in starts.items():
        last = re.split(r"[./]", name)[-1].lower()
        part = "c" if re.search(r"(^|_)c(_?0|x|_|$)|cell", last) else "h"
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


def _begins(name: str, size: int, recurrent: list[Recurrent], cells: list[_Cell]) -> list[int]:
    """The layers that begin in a state: all, or those of the module of the same number."""
    number = re.search(r"_?(\d+)$", name)
    if number and size != sum(each.hidden for each in recurrent):
        same = re.compile(rf"(.*\D)?{number[1]}\.?", re.DOTALL)
        if places := [k for k, cell in enumerate(cells) if same.fullmatch(cell.prefix)]:
            return places
    return list(range(len(recurrent)))


# Other layers ------------------------------------------------------------------------


def _is_simple(recurrent: list[Recurrent], matrices: list[str], starts: Tensors) -> bool:
    """Whether `recognise.guess` takes it: one Elman cell, at most one linear layer, no start."""
    only = len(recurrent) == 1 and recurrent[0].cell == "elman"
    return only and len(matrices) <= 1 and not starts


def _embedding(matrices: list[str], plain: Tensors, x: int, task: Task) -> str:
    """The name of the table of a vector for each symbol; '' where there is none."""
    symbols = len(task.machine.symbols)
    named = [n for n in matrices if re.search(r"emb(ed\w*)?([._/\d]|$)|wte\b", n, re.IGNORECASE)]
    found = named or [
        n
        for n in matrices[:1]
        if _bias(n) not in plain and plain[n].shape[1] == x and x not in input_counts(task)
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
    names: list[str],
    linear: dict[str, Linear],
    recurrent: list[Recurrent],
    table: Array | None,
    task: Task,
) -> tuple[list[str], list[str]]:
    """Which linear layers come before the cells, and which after: in the file's order, by widths.

    Raises `InputError` where none or several ways fit.
    """
    fed = [table.shape[1]] if table is not None else input_counts(task)

    def fits(some: list[str], begin: list[int], end: list[int]) -> bool:
        if not some:
            return bool(set(begin) & set(end))
        layers = [linear[name] for name in some]
        chained = all(a.width == len(b.weight) for a, b in pairwise(layers))
        return chained and len(layers[0].weight) in begin and layers[-1].width in end

    H, x = recurrent[-1].hidden, recurrent[0].inputs

    def divided(some: list[str]) -> list[tuple[list[str], list[str]]]:
        return [
            (some[:k], some[k:])
            for k in range(len(some) + 1)
            if fits(some[:k], fed, [x]) and fits(some[k:], [H], output_counts(task))
        ]

    ways = divided(names)
    if not ways and len(names) <= MOST_ORDERED:  # a file may list them by the alphabet
        ways = [way for order in permutations(names) for way in divided(list(order))]
    if len(ways) == 1:
        return ways[0]
    if not names:
        outputs = " or ".join(map(str, output_counts(task)))
        raise InputError(
            f"there is no linear layer, no weight of an nn.Linear: the recurrent layers have {x} "
            f"inputs and {H} units, task {task.text} has {outputs} outputs"
        )
    shown = ", ".join(f"{shorten(n)} {linear[n].weight.T.shape}" for n in names)
    inputs, outputs = (" or ".join(map(str, n)) for n in (fed, output_counts(task)))
    how = "in several ways" if ways else "in no way"
    raise InputError(
        f"the linear layers, {shown}, fit {how} between {inputs} inputs, recurrent layers of "
        f"{x} inputs and {H} units, and {outputs} outputs of task {task.text}"
    )


def _with_activations(
    names: list[str], linear: dict[str, Linear], classes: Settings, last: bool
) -> tuple[Layer, ...]:
    """Linear layers with the activations between and, as far as these are told, after them.

    In an `nn.Sequential` the numbers that no tensor has are of layers without parameters.  A file
    of tensors only does not tell them: between two layers of a head one is likely.
    """
    found: list[Layer] = []
    for name, following in zip_longest(names, names[1:]):
        found.append(linear[name])
        after = _modules_after(name, following, classes)
        if after is not None:
            found += _activations(after, final=last and following is None)
        elif following is not None:
            found += [] if _adjacent(name, following) else [UNKNOWN]
    return tuple(found)


def _modules_after(name: str, following: str | None, classes: Settings) -> list[str] | None:
    """The kinds of the modules after a linear layer in its `Sequential`; None where not told."""
    place = re.fullmatch(r"(?P<parent>(?:.*\.)?)(?P<number>\d+)\.weight", name)
    if not place or f"{place[0].removesuffix('weight')}{CLASS}" not in classes:
        return None
    parent, number = place["parent"], int(place["number"])
    if following is not None and not re.fullmatch(rf"{re.escape(parent)}\d+\.weight", following):
        return None
    kinds: list[str] = []
    while (kind := classes.get(f"{parent}{(number := number + 1)}.{CLASS}")) is not None:
        if f"{parent}{number}.weight" == following:
            return kinds
        kinds.append(str(kind))
    return kinds if following is None else None


def _activations(kinds: list[str], final: bool) -> list[str]:
    found = []
    for place, kind in enumerate(kinds):
        if kind in _NOTHING or (final and kind in _AT_THE_END and place == len(kinds) - 1):
            continue
        if kind not in _BETWEEN:
            raise InputError(
                f"a layer {shorten(kind)} cannot be taken: accepted are Linear, ReLU, Tanh, Sigmoid"
            )
        found.append(_BETWEEN[kind])
    return found


def _adjacent(name: str, following: str) -> bool:
    """Whether two layers follow each other in one `Sequential`, with nothing between."""
    pattern = r"((?:.*\.)?)(\d+)\.weight"
    one, other = re.fullmatch(pattern, name), re.fullmatch(pattern, following)
    return bool(one and other and one[1] == other[1] and int(other[2]) == int(one[2]) + 1)


def _settle(tensors: Tensors, used: set[str]) -> None:
    """Refuse tensors without a place that the answers may need."""
    rest = [n for n, t in tensors.items() if n not in used and not is_no_weight(n, t, used)]
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


def _floating(tensor: Any) -> Array:
    """A tensor in its own precision; whole numbers in float64.  Raises `InputError`."""
    if tensor.dtype.kind not in "fiu":
        raise InputError(f"a tensor holds {tensor.dtype}, not numbers")
    return tensor if tensor.dtype.kind == "f" else tensor.astype(np.float64)
