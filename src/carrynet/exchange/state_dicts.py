"""Which of the objects in a pickle of PyTorch's are tensors, and what they are called.

State dicts, whole modules, and dictionaries and lists of these.  What cannot be a weight is passed
over, and named; what may be one and cannot be read is refused.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from carrynet import files
from carrynet.errors import shorten
from carrynet.exchange.found import MAX_NAME, MAX_TENSORS, Found
from carrynet.exchange.names import (
    is_bias,
    is_count,
    is_counter,
    is_of_generator,
    last_part,
    states,
)
from carrynet.exchange.pickles import Name, Object, Refused, require

MAX_DEPTH = 16  # of dictionaries in dictionaries
SETTINGS = (
    *("mode", "nonlinearity", "num_layers", "bidirectional", "proj_size", "batch_first"),
    *("dropout", "dim"),
)
"""Attributes of a module that say how it computes."""
CLASS = "class"
"""The setting that says what kind of module it is: `head.1.class`, `ReLU`; see `kind_of`."""

_CELL = "input_size hidden_size bias nonlinearity"
_RECURRENT = f"{_CELL} mode num_layers batch_first dropout bidirectional proj_size dropout_state"
_ATTRIBUTES = {  # of PyTorch's own layers, beside those of every module, as its versions have them
    **dict.fromkeys(("RNNCell", "GRUCell", "LSTMCell"), _CELL),
    **dict.fromkeys(("RNN", "GRU", "LSTM"), _RECURRENT),
    "Linear": "in_features out_features",
    "Embedding": "num_embeddings embedding_dim padding_idx norm_type scale_grad_by_freq sparse",
    **dict.fromkeys(("ReLU", "Dropout", "AlphaDropout"), "p inplace"),
    **dict.fromkeys(("Softmax", "LogSoftmax"), "dim"),
    **dict.fromkeys(("Tanh", "Sigmoid", "Identity", "Sequential", "ModuleList"), ""),
}
_CALLS = ("_call_impl", "_slow_forward", "_compiled_call_impl")


@dataclass(frozen=True)
class Storage:
    """Numbers that tensors are views of."""

    kind: str
    key: str
    length: int


@dataclass(frozen=True)
class View:
    """A tensor: element (i, j) is number offset + i stride[0] + j stride[1] of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        dimensions = len(self.shape)
        require(
            len(self.stride) == dimensions <= 8
            and all(type(n) is int and n >= 0 for n in (self.offset, *self.shape, *self.stride)),
            "a tensor's offset, shape or strides are not what PyTorch writes",
        )
        reach = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        require(
            0 in self.shape or reach < self.storage.length,
            "a tensor reaches outside its storage",
        )


# What a pickle holds -----------------------------------------------------------------


class _Place(NamedTuple):
    """Where a tensor is: what leads to a dictionary or to a whole module; its name there."""

    path: tuple[str, ...]
    name: str

    def __str__(self) -> str:
        return ".".join((*self.path, self.name))


def views_of(content: object, found: Found) -> dict[str, View]:
    """The tensors in dictionaries, lists and modules, by their names.

    What has tensors nowhere in it is passed over as a whole; what has some that are not reached
    in this way is refused.
    """
    views: list[tuple[_Place, View]] = []
    settings: list[tuple[_Place, str | float]] = []
    aside: list[tuple[_Place, object]] = []
    seen = set()  # a dictionary may hold itself, or one other in exponentially many ways

    def look(value: object, path: tuple[str, ...], prefix: str, depth: int) -> bool:
        """Whether there are tensors in it; in a module, names have a prefix."""
        if isinstance(value, Object) and _is_module(value) and len(settings) < MAX_TENSORS:
            kind = kind_of(value.name)[:MAX_NAME]
            if not value.name.startswith("__torch__."):  # where the code is in the file
                require(not value.more, "its pickle makes a module in a way that PyTorch does not")
                check_module(str(_Place(path, prefix)).strip("."), kind, value.state)
            settings.append((_Place(path, f"{prefix[:MAX_NAME]}{CLASS}"), kind))
            settings.extend((_Place(path, prefix + k), v) for k, v in _settings(value).items())
        # a module that is there twice is told twice: what comes between layers counts each time
        if id(value) in seen or depth > MAX_DEPTH or not (entries := _entries(value)):
            return False
        seen.add(id(value))
        require(len(prefix) <= MAX_NAME, f"a name is longer than {MAX_NAME} characters")
        module = _is_module(value)
        attributes = _attributes(value)
        before, others, rest = len(views), [], []
        for key, entry in entries.items():
            name = prefix + key[: MAX_NAME + 1]  # which is already too long for a tensor
            view = view_of(entry)
            place = _Place(path, name)
            if view is None or key in attributes:
                others.append((place, entry, key in attributes))
            elif _may_be_weight(place, view):
                require(len(views) < MAX_TENSORS, f"it holds more than {MAX_TENSORS} tensors")
                views.append((place, view))
            else:
                rest.append((name, entry))
        for place, entry, attribute in others:
            view = view_of(entry)
            if view is not None:  # a module's attribute, unless it is a parameter, too
                if _may_be_weight(place, view) and view not in {other for _, other in views}:
                    require(len(views) < MAX_TENSORS, f"it holds more than {MAX_TENSORS} tensors")
                    views.append((place, view))
                continue
            _refuse_unreadable(place, entry)
            known = len(views)
            inner = (path, f"{place.name}.") if module else ((*path, place.name), "")
            within = look(entry, *inner, depth + 1)
            if attribute:  # such as the list of all its parameters that an RNN has
                old = {view for _, view in views[:known]}
                views[known:] = [(p, view) for p, view in views[known:] if view not in old]
            if not within:
                aside.append((place, entry))
                if not attribute:
                    rest.append((place.name, entry))
        aside.extend((_Place(path, prefix), part) for part in _beyond(value))
        holds = len(views) > before
        for name, entry in rest if holds or not depth else ():
            found.pass_over(str(_Place(path, name)), _kind(entry))
        return holds

    look(content, (), "", 0)
    require(
        len(settings) < MAX_TENSORS and all(len(place.name) < MAX_NAME for place, _ in settings),
        "it holds too many modules, or their names are too long",
    )
    instead = found.instead or f", but {files.printable(_kind(content)[:MAX_NAME])}"
    require(
        bool(views),
        f"it holds no dictionary of tensors, as model.state_dict() is{instead}",
    )
    _refuse_within(aside, {view for _, view in views})
    # a number or bytes beside the dictionary of the weights do not make it one of several
    several = len({place.path for place, view in views if _is_array(view)}) > 1
    names = [str(place) if several else place.name for place, _ in views]
    if len(set(names)) < len(names):
        several, names = True, [str(place) for place, _ in views]
    for name, times in Counter(names).items():
        require(times == 1, f"it holds two tensors named {shorten(name[:MAX_NAME])}")
    found.settings |= {str(p) if several else p.name: setting for p, setting in settings}
    return dict(zip(names, (view for _, view in views), strict=True))


def _entries(value: object) -> dict[str, Any]:
    """What may lead to tensors; nothing of what cannot, and of an optimiser's state."""
    if isinstance(value, Object):
        if not _is_module(value):
            return _entries(value.items)
        drawers = [value.state.get(drawer) for drawer in _DRAWERS]
        members = {k: v for each in drawers for k, v in _entries(each).items() if v is not None}
        return {**_attributes(value), **members}
    if isinstance(value, dict):
        return {} if _is_optimisers(value) else value
    if isinstance(value, list | tuple):
        within = any(isinstance(entry, dict | list | tuple | Object) for entry in value)
        return {str(i): entry for i, entry in enumerate(value)} if within else {}
    return {}


_DRAWERS = ("_parameters", "_buffers", "_modules")


def _attributes(value: object) -> dict[str, Any]:
    """What may lead to tensors in a module, outside of its parameters, buffers and modules."""
    if not isinstance(value, Object) or not _is_module(value):
        return {}
    return {
        key: entry
        for key, entry in value.state.items()
        if key not in _DRAWERS and isinstance(entry, Object | dict | list | tuple)
    }


def _settings(value: object) -> dict[str, str | float]:
    """What a module's attributes say of its cell."""
    state = value.state if isinstance(value, Object) else {}
    return {k: v for k in SETTINGS if isinstance(v := state.get(k), str | int | float)}


_MANGLED = re.compile(r"\.___torch_mangle_\d+(?=\.)")


def kind_of(name: str) -> str:
    """What kind of module a class makes: `GRU` where it is PyTorch's own, else its whole name."""
    plain = _MANGLED.sub("", name.removeprefix("__torch__."))
    return plain.rpartition(".")[2] if plain.startswith("torch.nn.modules.") else name


def check_module(name: str, kind: str, attributes: Mapping[str, Any]) -> None:
    """Refuse a module that by its attributes does more than its kind says.

    What a class of PyTorch's own does not have is there for code that is not seen, unless it is
    off; names that begin with `_` are its own bookkeeping, but for the methods of a call.
    """
    what = shorten(name[:MAX_NAME]) if name else "the module"
    for hooks in ("_forward_hooks", "_forward_pre_hooks"):
        require(not _holds(attributes.get(hooks)), f"{what} has hooks, which are not seen")
    if kind not in _ATTRIBUTES:
        return
    require(
        attributes.get("max_norm") is None, f"{what} has max_norm, by which it changes when used"
    )
    usual = {"training", *_ATTRIBUTES[kind].split()}
    for key, value in attributes.items():
        hidden = key in _CALLS or not (key.startswith("_") or key in usual)
        off = value is None or (isinstance(value, int | float) and value == 0)
        require(
            off or not hidden,
            f"{what} has an attribute {shorten(key[:MAX_NAME])}, which no {kind} of PyTorch's has: "
            "what it is for is not seen; save model.state_dict() if it changes no answer",
        )


def _holds(table: object) -> bool:
    """Whether there is anything in a dictionary, or in what a pickle makes one of."""
    if isinstance(table, Object):
        return bool(table.items or table.more or any(table.arguments))
    return bool(table)


def _is_optimisers(value: object) -> bool:
    return isinstance(value, dict) and {"state", "param_groups"} <= value.keys()


def _beyond(value: object) -> list[object]:
    """What of an object `_entries` does not lead to."""
    if not isinstance(value, Object):
        return []
    rest = value.items if _is_module(value) else value.state
    return [value.arguments, value.more, rest]


def _refuse_within(aside: list[tuple[_Place, object]], known: set[View]) -> None:
    """Refuse tensors and arrays that are in something else than what is entered.

    By a list of what is still to be seen, as deep as it may be; each object once.
    """
    seen = set()
    for place, whole in aside:
        path = str(place).strip(".")
        left: list[tuple[str, object, object]] = [(path, whole, whole)]
        while left:
            name, value, holder = left.pop()
            if id(value) in seen or _is_optimisers(value):
                continue
            if isinstance(value, dict):
                seen.add(id(value))
                parts = [
                    (f"{name}.{key[:MAX_NAME]}"[: 2 * MAX_NAME], v) for key, v in value.items()
                ]
                left.extend((part, v, holder) for part, v in parts if not states(part))
            elif isinstance(value, list | tuple):
                seen.add(id(value))
                left.extend((name, entry, holder) for entry in value)
            elif isinstance(value, Object):
                seen.add(id(value))
                view = view_of(value)
                if states(name) or view in known:
                    continue
                if value.name.endswith(_OF_NUMPY) or (view and _may_be_weight(place, view)):
                    kind = _kind(holder) if holder is not value else _kind(whole)
                    raise Refused(
                        f"{shorten(path[:MAX_NAME])} holds tensors in "
                        f"{files.printable(kind[:60])}, which is not read: "
                        "save them in a dictionary, as tensors of PyTorch's"
                    )
                if view is None:
                    inner = (value.arguments, value.items, value.state, value.more)
                    left.extend((name, part, value) for part in inner)


def _is_module(value: object) -> bool:
    """Whether something is a module of PyTorch's or of TorchScript's, by what is set on it."""
    return (
        isinstance(value, Object)
        and isinstance(value.state, dict)
        and (
            value.name.startswith("__torch__.") or {"_parameters", "_modules"} <= value.state.keys()
        )
    )


def view_of(value: object) -> View | None:
    """The tensor that an object of a pickle is, if it is one that can be read."""
    if isinstance(value, Object) and value.name in _PARAMETERS:
        _require_plain(value.arguments[2:3])
        value = value.arguments[0]
    if isinstance(value, Object) and value.name == "torch._tensor._rebuild_from_type_v2":
        match value.arguments:  # a class of its own, or with attributes
            case (Name(text=text), Name(), tuple(arguments), *_):
                value = Object(text, arguments)
    if not isinstance(value, Object) or value.name != "torch._utils._rebuild_tensor_v2":
        return None
    match value.arguments:
        case (Storage() as storage, int(offset), tuple(shape), tuple(stride), *rest):
            _require_plain(rest[1:])
            return View(storage, offset, shape, stride)
    raise Refused("its pickle makes a tensor in a way that PyTorch does not")


_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")


def _require_plain(more: Iterable[object]) -> None:
    """Refuse a tensor whose numbers are not those of its storage: hooks, and bits set on it."""
    for table in more:
        items = table.items if isinstance(table, Object) else table
        # `neg` and `conj` say that the numbers are stored with another sign
        plain = items is None or (isinstance(items, dict) and not any(items.values()))
        require(plain, "a tensor has hooks, or bits such as neg or conj: save a clone of it")


def _may_be_weight(place: _Place, view: View) -> bool:
    """A number that counts something is none, nor is the state of a random generator."""
    kind = view.storage.kind
    if not view.shape:
        return not is_count(place.name, kind in ("f8", "f4", "f2", "bfloat16"))
    return not (_is_bytes(view) and is_of_generator(str(place), math.prod(view.shape)))


def _is_bytes(view: View) -> bool:
    return view.storage.kind == "u1" and len(view.shape) == 1


def _is_array(view: View) -> bool:
    return bool(view.shape) and not _is_bytes(view)


def _refuse_unreadable(place: _Place, value: object) -> None:
    """Refuse what may be a weight and cannot be read."""
    maker = value.name if isinstance(value, Object) else ""
    of_torch = maker.startswith("torch.") and "_rebuild" in maker
    packed = maker.startswith("__torch__.torch.classes.")
    of_numpy = maker.endswith(_OF_NUMPY)
    counted = of_numpy and (bool(states(str(place))) or is_counter(place.name))
    if (of_torch or packed or of_numpy) and not counted:
        raise Refused(
            f"{shorten(place.name[:MAX_NAME])} is made by {shorten(maker[:MAX_NAME])}, which is "
            "never run here: save it as a plain, dense tensor of PyTorch's"
        )
    numbers = isinstance(value, list | tuple) and any(type(each) is float for each in value)
    if numbers and (is_bias(place.name) or _OF_NUMBERS.fullmatch(last_part(place.name))):
        raise Refused(
            f"{shorten(place.name[:MAX_NAME])} is {_kind(value)} of numbers that the answers may "
            "need: save it as a tensor of PyTorch's"
        )


_OF_NUMBERS = re.compile(  # a learned state, or a normalisation, as a list
    r"h_?0|hx|(h|hidden|state)_(0|init)|init(ial)?_(h|hidden|states?)|(\w+_)?(mean|std|weights?)",
    re.IGNORECASE,
)


_OF_NUMPY = ("multiarray._reconstruct", "numeric._frombuffer")


def _kind(value: object) -> str:
    """What something in a pickle is, in a few words."""
    match value:
        case None:
            return "nothing"
        case bool() | int() | float():
            return "a number"
        case Object(name="collections.OrderedDict" | "collections.defaultdict") | dict():
            return "a dictionary"
        case Object(name=name) if name.endswith("multiarray.scalar"):
            return "a number"
        case Object(name=name) if name.endswith(_OF_NUMPY):
            return "an array of NumPy's"
        case Object(name=name):
            view = view_of(value)
            return name if view is None else "bytes" if view.shape else "a number"
        case Name(text=text):
            return f"the name {text}"
    kinds = {str: "a text", bytes: "bytes", list: "a list", tuple: "a tuple", Storage: "a storage"}
    return kinds.get(type(value), type(value).__name__)
