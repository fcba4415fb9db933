"""Which tensors of a file are the weights, by their names and shapes, and what the others are.

`guess` finds the matrices, `complete` the biases that belong to them, and `settle` refuses
tensors without a place that the answers may need.  Nothing is chosen between: where names and
shapes leave several possibilities, the owner is asked.
"""

import re
from collections.abc import Iterable, Set as AbstractSet
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.errors import InputError, shorten
from carrynet.exchange.folding import input_counts, output_counts
from carrynet.exchange.mapping import (
    BIASES,
    MATRICES,
    NO_BIAS,
    Mapping,
    Tensors,
    evaluate,
    listing,
    names,
)
from carrynet.exchange.names import is_bias, is_count, is_counter, is_of_generator, states
from carrynet.files import brief
from carrynet.spec.task import Task

USAGE = "say it with --map, as in --map Wxh=weight_ih_l0.T --map bh=bias_ih_l0+bias_hh_l0"

# Guessing ----------------------------------------------------------------------------

_CELL = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<part>(?:weight|bias)_(?:ih|hh))(?P<layer>_l\d+)?(?P<reverse>_reverse)?",
    re.DOTALL,
)


def guess(tensors: Tensors, task: Task, given: Mapping | None = None) -> Mapping:
    """Which tensors are the weights, by their names and shapes; what is given stays.

    The cell is guessed unless `given` says Wxh and Whh, the readout unless it says
    Why.  Raises `InputError`, never settles for one of several.
    """
    given = found = given or Mapping()
    if not (given.Wxh and given.Whh):
        found = _overlay(_guess_cell(tensors, task), found)
    if not found.Why:
        found = _overlay(_guess_readout(tensors, task, found), found)
    return found


def _overlay(guessed: Mapping, said: Mapping) -> Mapping:
    changes = {key: value for key, value in vars(said).items() if value not in ("", None)}
    return replace(guessed, **changes)


def _guess_cell(tensors: Tensors, task: Task) -> Mapping:
    """The cell; where shapes alone tell it, the readout with it."""
    if {"Wxh", "Whh"} <= tensors.keys():
        # as columns, all matrices are: the shape of a square one cannot show it
        H, shape, X = tensors["Whh"].shape[:1], tensors["Wxh"].shape, input_counts(task)
        columns = shape in {(*H, n) for n in X} and shape not in {(n, *H) for n in X}
        if shape == tensors["Whh"].shape:
            columns = _says_columns(tensors, H[0])
        turn = ".T" if columns else ""
        Why = f"Why{turn}" if "Why" in tensors else ""
        return Mapping(f"Wxh{turn}", f"Whh{turn}", Why=Why)
    matches = [match for name in tensors if (match := _CELL.fullmatch(name))]
    for match in matches:
        name, shape = match[0], tensors[match[0]].shape
        if (
            match["part"] == "weight_hh"
            and len(shape) == 2
            and shape[0] in (3 * shape[1], 4 * shape[1])
        ):
            kind = "a GRU" if shape[0] == 3 * shape[1] else "an LSTM"
            raise InputError(
                f"{shorten(name)} of shape {shape} is of {kind}: --map says how the tensors of one "
                "Elman cell are named; a GRU or LSTM is taken by PyTorch's names, without it"
            )
    prefixes = sorted({match["prefix"] for match in matches})
    if len(prefixes) > 1:
        shown = ", ".join(shorten(prefix) for prefix in prefixes[:12])
        raise InputError(f"there are {len(prefixes)} recurrent cells, {shown}: {USAGE}")
    if any(match["reverse"] for match in matches):
        raise InputError("the network runs in both directions: only one, forward, can be taken")
    layers = sorted({match["layer"] or "" for match in matches})
    if len(layers) > 1:
        raise InputError(f"the network has {len(layers)} recurrent layers: only one can be taken")
    named = {
        part: name
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if prefixes and (name := f"{prefixes[0]}{part}{layers[0]}") in tensors
    }
    if {"weight_ih", "weight_hh"} <= named.keys():
        biases = [named[part] for part in ("bias_ih", "bias_hh") if part in named]
        return Mapping(f"{named['weight_ih']}.T", f"{named['weight_hh']}.T", "+".join(biases))
    found = _guess_by_shapes(tensors, task)
    if found is None:
        raise InputError(
            f"cannot tell which tensors are the weights: {USAGE}; there are {listing(tensors)}"
        )
    return found


def _says_columns(tensors: Tensors, H: int) -> bool:
    """Whether biases kept as columns say it, or a readout of another number of outputs."""
    for bias in BIASES:
        if bias in tensors and tensors[bias].ndim == 2 and tensors[bias].shape[0] > 1:
            return tensors[bias].shape[1] == 1
    shape = tensors["Why"].shape if "Why" in tensors else ()
    return len(shape) == 2 and shape[1] == H != shape[0]


def ways(found: Mapping, given: Mapping, tensors: Tensors) -> dict[str, Mapping]:
    """What is guessed and, by what they assume, the others that shapes cannot tell from it.

    Square matrices as columns, and the state before the inputs in a matrix of both.
    """
    if given.Wxh or given.Whh:
        return {"": found}
    mine = all(getattr(found, key) == key for key in MATRICES)
    if mine and len({tensors[key].shape for key in MATRICES}) == 1:
        if any(bias in tensors and tensors[bias].shape[:1] == (1,) for bias in BIASES):
            return {"": found}  # a bias kept as a row
        turned = Mapping("Wxh.T", "Whh.T", Why="Why.T")
        return {"rows": found, "columns": _overlay(turned, given)}
    both = set(evaluate("Wxh", found.Wxh, tensors).names)
    H = evaluate("Whh", found.Whh, tensors).array.shape[-1]
    if both == set(evaluate("Whh", found.Whh, tensors).names) and len(both) == 1:
        (name,) = both
        turn = found.Wxh.endswith(".T")
        parts = (f"[:, {H}:].T", f"[:, :{H}].T") if turn else (f"[{H}:]", f"[:{H}]")
        other = replace(found, Wxh=f"{name}{parts[0]}", Whh=f"{name}{parts[1]}")
        return {"": found, "state before input": other}
    return {"": found}


def _guess_by_shapes(tensors: Tensors, task: Task) -> Mapping | None:
    """The only way in which all matrices of a file have a place; None for none or several.

    As columns (H, x), (H, H), (y, H) or as rows (x, H), (H, H), (H, y); or with the first two
    side by side, as in `nn.Linear(x + H, H)` of inputs and state in this order.
    """
    some = {name: t for name, t in tensors.items() if not is_no_weight(name, t)}
    matrices = [n for n, t in some.items() if t.ndim == 2 and not _is_bias(n, t)]
    X, Y = input_counts(task), output_counts(task)
    found: list[Mapping] = []
    for turn in (".T", ""):  # columns, rows

        def rows(name: str) -> tuple[int, int]:
            a, b = tensors[name].shape
            return (b, a) if turn else (a, b)  # noqa: B023

        if len(matrices) == 3:
            for i, h, o in permutations(matrices):
                H = rows(h)[0]
                fits = rows(h)[1] == H == rows(i)[1] == rows(o)[0]
                if fits and rows(i)[0] in X and rows(o)[1] in Y:
                    found.append(Mapping(f"{i}{turn}", f"{h}{turn}", Why=f"{o}{turn}"))
        elif len(matrices) == 2:
            for both, o in permutations(matrices):
                H = rows(both)[1]
                x = rows(both)[0] - H
                if x in X and rows(o)[0] == H and rows(o)[1] in Y:
                    parts = [f"[:, :{x}].T", f"[:, {x}:].T"] if turn else [f"[:{x}]", f"[{x}:]"]
                    i, h = (f"{both}{part}" for part in parts)
                    found.append(Mapping(i, h, Why=f"{o}{turn}"))
    if len(found) != 1:
        return None
    return _with_vectors(found[0], tensors)


def _with_vectors(found: Mapping, tensors: Tensors) -> Mapping:
    """The biases, too, where names do not tell them and sizes do."""
    found, _ = complete(found, Mapping(), tensors)
    used = names(found, tensors)
    rest = [n for n, t in tensors.items() if n not in used and not is_no_weight(n, t)]
    H, y = (evaluate(k, getattr(found, k), tensors).array.shape[1] for k in ("Whh", "Why"))
    for bias, size in zip(BIASES, (H, y), strict=True):
        fit = [n for n in rest if tensors[n].size == size and _is_vector(tensors[n])]
        if not getattr(found, bias) and len(fit) == 1 and y != H:
            found = found.adding(bias, fit[0])
    return found


def _is_bias(name: str, tensor: NDArray[Any]) -> bool:
    """Whether a matrix of one row or column looks like a bias."""
    return _is_vector(tensor) and is_bias(name)


def _guess_readout(tensors: Tensors, task: Task, cell: Mapping) -> Mapping:
    if "Why" in tensors:
        return replace(cell, Why="Why")
    taken = names(cell, tensors)
    linear = [
        name
        for name, tensor in tensors.items()
        if name not in taken
        and re.fullmatch(r"(.*\.)?weight", name, re.DOTALL)
        and tensor.ndim == 2
    ]
    H = evaluate("Whh", cell.Whh, tensors).array.shape[-1]
    fitting = [n for n in linear if tensors[n].shape in {(Y, H) for Y in output_counts(task)}]
    candidates = fitting or linear
    if not fitting and len(linear) > 1:
        raise InputError(
            f"{listing(tensors, linear)} look like several layers between the cell and the "
            f"answer, which cannot be taken (yet): accepted is one linear readout of the {H} units"
        )
    if len(candidates) != 1:
        many = f"{listing(tensors, candidates)} could each be" if candidates else "none is like"
        raise InputError(
            f"cannot tell which tensor is the readout: {many} the weight of an nn.Linear; say it "
            f"with --map, as in --map Why=fc.weight.T --map by=fc.bias; "
            f"there are {listing(tensors)}"
        )
    return replace(cell, Why=f"{candidates[0]}.T")


def usual_activation(found: Mapping, tensors: Tensors) -> str | None:
    """The activation that the names of the weights suggest: PyTorch's own default."""
    named = evaluate("Whh", found.Whh, tensors).names
    return "tanh" if any(_CELL.fullmatch(name) for name in named) else None


# Biases that belong to what is named -------------------------------------------------


def complete(found: Mapping, given: Mapping, tensors: Tensors) -> tuple[Mapping, list[str]]:
    """The mapping with the biases that belong to its matrices, and which of them came along.

    Raises `InputError` for one that is ambiguous there, since its matrix is multiplied.
    """
    along = []
    for bias, matrices in _OF.items():
        if getattr(found, bias):
            continue
        terms: dict[str, str] = {}  # the bias and its matrix
        for key in matrices:
            for name, alone in evaluate(key, getattr(found, key), tensors).names.items():
                beside = _beside(name, tensors)
                if beside is None or beside in terms:
                    continue
                if not alone:
                    raise InputError(
                        f"{listing(tensors, [beside])} belongs to {shorten(name)}, which {key} "
                        f"multiplies: say --map {bias}=EXPRESSION, or {bias}=0 for no bias"
                    )
                terms[beside] = name
        if terms:
            found = found.adding(bias, "+".join(terms))
            if any(getattr(given, key) for key in matrices):
                said = " and ".join(shorten(name) for name in dict.fromkeys(terms.values()))
                along.append(f"{bias}={'+'.join(terms)}, which belongs to {said}")
    return found, along


_OF = {"bh": ("Wxh", "Whh"), "by": ("Why",)}
"""The matrices that a bias is added to."""
_BESIDE = (
    *(("weight", "bias"), ("kernel", "bias"), ("Wxh", "bh"), ("Whh", "bh"), ("Why", "by")),
    *(("W", "b"), ("w", "b"), ("U", "b")),
)


def _beside(name: str, tensors: Tensors) -> str | None:
    """The bias that the names say belongs to a matrix; None where there is none."""
    head, last = _split(name)
    for matrix, bias in _BESIDE:
        start, found, end = last.rpartition(matrix)
        beside = f"{head}{start}{bias}{end}"
        if found and beside in tensors and beside != name and _is_vector(tensors[beside]):
            return beside
    return None


def _split(name: str) -> tuple[str, str]:
    """A name's path, with its last separator, and its last part."""
    cut = max(name.rfind("."), name.rfind("/")) + 1
    return name[:cut], name[cut:]


def _is_vector(tensor: NDArray[Any]) -> bool:
    return tensor.ndim < 2 or (tensor.ndim == 2 and 1 in tensor.shape)


# What has no place -------------------------------------------------------------------


def settle(tensors: Tensors, found: Mapping) -> list[str]:
    """The names of what a mapping leaves out and cannot be weights.

    Raises `InputError` for tensors that the answers may need.
    """
    used = names(found, tensors)
    rest = [name for name in tensors if name not in used]
    made = (evaluate(key, getattr(found, key), tensors) for key in MATRICES)
    sizes = {size for each in made for size in each.array.shape}  # X, H and Y
    passed = [name for name in rest if is_no_weight(name, tensors[name], used, sizes)]
    rest = [name for name in rest if name not in passed]
    owned = {_beside(name, tensors) for name in rest}  # biases of matrices without a place
    for bias, matrices in _OF.items():
        said = getattr(found, bias)
        terms = [evaluate(key, getattr(found, key), tensors) for key in matrices]
        beside = {_beside(name, tensors) for each in terms for name in each.names}
        size = terms[-1].array.shape[-1]
        stray = [
            name
            for name in rest
            if name in beside
            or (said in ("", NO_BIAS) and name not in owned and _is_bias_of(name, size, tensors))
        ]
        if said == NO_BIAS:  # as the owner states
            passed += stray
            rest = [name for name in rest if name not in stray]
        elif stray:
            whole = "+".join([*([said] if said else []), *stray])
            how = f"{bias}={brief(said)} is without it" if said else f"no {bias} is said"
            none = (
                "--leave-out states that it plays no part"
                if said
                else f"{bias}=0 that there is none"
            )
            raise InputError(
                f"{listing(tensors, stray)} {'belong' if len(stray) > 1 else 'belongs'} to "
                f"{' and '.join(matrices)}, and {how}: "
                f"--map {bias}={brief(whole)} takes it, {none}"
            )
    if rest:
        H = evaluate("Whh", found.Whh, tensors).array.shape[-1]
        readout = evaluate("Why", found.Why, tensors).names
        looks = [
            f"{listing(tensors, [name])} looks like {look(name, tensors[name], H, readout)}"
            for name in rest[:4]
        ]
        more = f" (and {len(rest) - 4} more)" if len(rest) > 4 else ""
        raise InputError(
            f"{', '.join(looks)}{more}, which has no place in the network and cannot be taken "
            "(yet): accepted are one recurrent layer that begins at zero and one linear readout"
        )
    return passed


def _is_bias_of(name: str, size: int, tensors: Tensors) -> bool:
    """Whether a tensor looks like a bias of so many units."""
    fits = _is_vector(tensors[name]) and tensors[name].size == size
    return fits and is_bias(name)


def is_no_weight(
    name: str,
    tensor: NDArray[Any],
    used: AbstractSet[str] = frozenset(),
    sizes: Iterable[int] = (),
) -> bool:
    """Whether a tensor cannot be a weight: a number, a counter, a score, an optimiser's state.

    Nor can one that is zero throughout where zero is what carrynet has: a bias, a first state.
    What lies beside tensors that are `used` is no such state, whatever its path is named, and
    counters are not as many as one of the `sizes` of the network.
    """
    if tensor.ndim == 0 and is_count(name, tensor.dtype.kind == "f"):
        return True
    if any(not any(_is_below(other, path) for other in used) for path in states(name)):
        return True
    if tensor.ndim == 1 and is_counter(name) and tensor.size not in set(sizes) - {1}:
        return True
    generator = tensor.ndim == 1 and tensor.dtype == np.uint8
    if generator and is_of_generator(name, tensor.size):
        return True
    with np.errstate(invalid="ignore"):  # which NaN that signals is
        zero = tensor.dtype.kind in "fiu" and not tensor.any()
    bias = is_bias(name) and _is_vector(tensor)
    return zero and (bias or bool(FIRST_STATE.search(name)))


def _is_below(name: str, path: str) -> bool:
    return name.startswith((f"{path}.", f"{path}/"))


FIRST_STATE = re.compile(
    r"(^|[._/])([hc]_?0|[hc]x|init\w*|initial\w*|(h|c|hidden|cell|state)_?(init\w*|start|zero)|start\w*)($|[._/])",
    re.IGNORECASE,
)
_LOOKS = (
    (FIRST_STATE, "an initial state other than zero"),
    (re.compile(r"(weight|bias)_\w+_l[1-9]\d*(_reverse)?$"), "a second recurrent layer"),
    (re.compile(r"(weight|bias)_\w+_reverse$"), "the other direction of the cell"),
    (re.compile(r"weight_hr"), "a projection of the hidden state"),
    (re.compile(r"(weight|bias)_(ih|hh)"), "another recurrent cell"),
    (re.compile(r"emb(ed\w*)?($|[._/\d])", re.IGNORECASE), "an embedding of the inputs"),
    (
        re.compile(
            r"norm|running_(mean|var)|(^|[._/])(ln|bn|gamma|beta)[_\d]*($|[._/])", re.IGNORECASE
        ),
        "a normalisation",
    ),
    (re.compile(r"conv", re.IGNORECASE), "a convolution"),
    (re.compile(r"att(e)?n|query|in_proj|out_proj", re.IGNORECASE), "attention"),
    (re.compile(r"proj", re.IGNORECASE), "a projection"),
    (re.compile(r"prelu|(^|[._/])act\w*[._/]", re.IGNORECASE), "an activation with parameters"),
)


def look(name: str, tensor: NDArray[Any], H: int, readout: Iterable[str]) -> str:
    """What a tensor without a place looks like, by its name and shape."""
    for pattern, look in _LOOKS:
        if pattern.search(name):
            return look
    block = re.split(r"[./]", name)[:-2]
    if block and any(re.split(r"[./]", other)[:-2] == block for other in readout):
        return "a hidden layer before the readout"
    if tensor.ndim >= 2 and (tensor.shape in {(1, H), (1, 1, H)}) and "weight" not in name:
        return "an initial state other than zero"
    if tensor.ndim <= 1:
        return "a bias" if is_bias(name) else "something that the answers may need"
    return "a further layer" if tensor.ndim == 2 else "something that the answers may need"
