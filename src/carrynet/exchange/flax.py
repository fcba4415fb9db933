"""Networks of Flax: MessagePack as `flax.serialization.to_bytes` writes it, and its names of cells.

    linen   ir iz in hr hz hn / ii if ig io hi hf hg ho / i h     a Dense for each gate
    nnx     dense_i dense_h, with gates side by side; or as above
    both    kernel and bias of linear layers, embedding of tables

What a file does not tell is Flax's default, and noted: that gates are sigmoid, and the rest tanh.
Left out: both directions, convolutions, normalisation, MGU, whose reset comes after the product.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from carrynet.errors import InputError, shorten
from carrynet.exchange.chains import arranged
from carrynet.exchange.found import MAX_BYTES, Found, Tensors, stored, widened
from carrynet.exchange.layered import Layered, Linear, Recurrent, elman, gated
from carrynet.exchange.names import is_of_generator, states
from carrynet.exchange.pickles import Refused, require
from carrynet.nets.arrays import Array

MAX_ENTRIES = 100_000  # of all dictionaries and lists together
MAX_WIDE = 10_000  # of one
MAX_DEPTH = 32

_KINDS = {
    "float16": "f2",
    "bfloat16": "bfloat16",
    "float32": "f4",
    "float64": "f8",
    "bool": "?",
    **{f"{sign}int{8 * n}": f"{sign or 'i'}{n}" for sign in ("", "u") for n in (1, 2, 4, 8)},
}
_CHUNKED = "__msgpack_chunked_array__"


# Files -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Unreadable:
    """What may be a weight, and is not of numbers that are supported."""

    kind: str


def read_flax(data: bytes, found: Found) -> None:
    """The arrays of a tree, by the names of its dictionaries with dots between them."""
    try:
        import msgpack
    except ImportError:
        raise Refused(
            "it is MessagePack, as Flax writes it, which the library msgpack reads: "
            "pip install 'carrynet[flax]'"
        ) from None
    entries = 0

    def counted(several: list[Any]) -> list[Any]:
        # an empty list takes a byte in the file, and 56 in memory
        nonlocal entries
        entries += 1 + len(several)
        require(entries <= MAX_ENTRIES, f"it has more than {MAX_ENTRIES:,} entries")
        return several

    def table(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        keys = [_key(key) for key, _ in counted(pairs)]
        require(len(set(keys)) == len(keys), "a key is there twice")
        return dict(zip(keys, (value for _, value in pairs), strict=True))

    limits = {"max_array_len": MAX_WIDE, "max_map_len": MAX_WIDE}

    def extension(code: int, content: bytes) -> Any:
        if code not in (1, 3):  # arrays, and single numbers of NumPy's
            return _Unreadable("complex numbers" if code == 2 else f"an extension {code}")
        parts = msgpack.unpackb(content, raw=True, list_hook=counted, **limits)
        return _array(parts)

    try:
        tree = msgpack.unpackb(
            data,
            ext_hook=extension,
            object_pairs_hook=table,
            list_hook=counted,
            strict_map_key=False,
            **limits,
        )
    except msgpack.exceptions.UnpackException as error:
        raise Refused(f"it is damaged: {shorten(str(error) or type(error).__name__)}") from None
    require(isinstance(tree, dict), "it is no dictionary")
    _add(tree, "", found, 0)


def _key(key: Any) -> str:
    require(isinstance(key, str) or type(key) is int, "it has keys that are no texts")
    return str(key)


def _array(parts: Any) -> Any:
    """Shape, the name of a type, and bytes."""
    require(isinstance(parts, list) and len(parts) == 3, "it is damaged: an array is none")
    shape, name, content = parts
    sizes = isinstance(shape, list) and all(type(n) is int and 0 <= n <= MAX_BYTES for n in shape)
    require(
        sizes and len(shape) <= 8 and isinstance(name, bytes) and isinstance(content, bytes),
        "it is damaged: an array is none",
    )
    kind = _KINDS.get(name.decode(errors="replace"))
    if kind is None:
        return _Unreadable(name.decode(errors="replace")[:60])
    dtype = stored(kind)
    require(
        len(content) == math.prod(shape) * dtype.itemsize,
        "an array does not have the size that it claims",
    )
    return widened(np.frombuffer(content, dtype), kind).reshape(shape)


def _add(tree: Mapping[str, Any], path: str, found: Found, depth: int) -> None:
    require(depth <= MAX_DEPTH, "its dictionaries are nested too deeply")
    for key, entry in tree.items():
        name = f"{path}.{key}" if path else key
        if isinstance(entry, list):
            entry = {str(k): value for k, value in enumerate(entry)}
        if isinstance(entry, dict) and _CHUNKED in entry:
            entry = _whole(name, entry)
        if isinstance(entry, dict) and states(key) == [key]:
            found.pass_over(name, "a dictionary")
        elif isinstance(entry, dict):
            _add(entry, name, found, depth + 1)
        elif isinstance(entry, np.ndarray):
            whole = entry.dtype.kind != "f"
            if whole and is_of_generator(name, entry.nbytes):
                found.pass_over(name, "a generator's state")
            else:
                found.add(name, entry)
        elif isinstance(entry, _Unreadable):
            raise Refused(f"{shorten(name)} holds {shorten(entry.kind)}, which is not supported")
        else:
            found.pass_over(name, "nothing" if entry is None else type(entry).__name__)


def _whole(name: str, chunked: Mapping[str, Any]) -> Any:
    """An array that was too large for one piece."""
    shape, chunks = (chunked.get(key) for key in ("shape", "chunks"))
    good = isinstance(shape, dict) and isinstance(chunks, dict)
    require(good and bool(chunks), f"{shorten(name)} is in pieces that are none")
    assert isinstance(shape, dict)
    assert isinstance(chunks, dict)
    sizes = [shape.get(str(k)) for k in range(len(shape))]
    parts = [chunks.get(str(k)) for k in range(len(chunks))]
    require(
        all(type(n) is int and n >= 0 for n in sizes)
        and all(isinstance(part, np.ndarray) and part.ndim == 1 for part in parts),
        f"{shorten(name)} is in pieces that are none",
    )
    flat: Array = np.concatenate([part for part in parts if part is not None])
    require(
        math.prod(n for n in sizes if n is not None) == flat.size,
        f"{shorten(name)} does not have the size that it claims",
    )
    return flat.reshape(sizes)


# Names -------------------------------------------------------------------------------

Path = tuple[str, ...]

_GRU, _LSTM, _MGU = (
    frozenset(f"{side}{gate}" for side in "ih" for gate in gates) for gates in ("rzn", "ifgo", "fn")
)
_FUSED = frozenset(("dense_i", "dense_h"))


def layers_of(tensors: Tensors) -> tuple[Layered, list[str]] | None:
    """The network that a tree of Flax's is by its names, and what is assumed; None for others.

    Raises `InputError` where there are cells of Flax's, and floats that have no place beside
    them, or layers that fit onto each other in no way or in several.
    """
    modules = _modules(tensors)
    cells: dict[str, Recurrent] = {}
    notes: list[str] = []
    taken: set[Path] = set()
    for path in sorted({module[:-1] for module in modules if module}):
        children = {
            module[-1]: arrays
            for module, arrays in modules.items()
            if module and module[:-1] == path
        }
        name = ".".join(path)
        gates = _gates({child.rstrip("_"): child for child in children})
        cell = _cell(name, {gate: children[child] for gate, child in gates.items()})
        if cell is not None:
            cells[name] = cell
            taken.update((*path, child) for child in gates.values())
            notes.append(f"{shorten(name)} is taken to have the activation tanh")
    if not cells:
        return None
    linear: dict[str, Linear] = {}
    embeddings: dict[str, Array] = {}
    for module, arrays in modules.items():
        name = ".".join(module)
        if module in taken:
            continue
        if set(arrays) == {"embedding"} and arrays["embedding"].ndim == 2:
            embeddings[name] = arrays["embedding"]
            continue
        kernel = arrays.get("kernel")
        if kernel is None or kernel.ndim != 2 or not {"kernel", "bias"}.issuperset(arrays):
            raise InputError(f"{_shown(name, arrays)} has no place in a network of Flax's cells")
        linear[name] = Linear(kernel, _bias(name, arrays, kernel.shape[1]))
    _check_roots([*cells, *linear, *embeddings])
    return arranged(embeddings, linear, cells), notes


def _modules(tensors: Tensors) -> dict[Path, dict[str, Array]]:
    """The floats of each module, by its path."""
    found: dict[Path, dict[str, Array]] = {}
    for name, array in tensors.items():
        parts = re.split(r"[./]", name)
        while len(parts) > 1 and parts[-1] in ("value", "raw_value"):  # as nnx may have it
            parts.pop()
        if array.dtype.kind == "f":
            found.setdefault(tuple(parts[:-1]), {})[parts[-1]] = array
    return found


def _shown(name: str, arrays: Mapping[str, Array]) -> str:
    first = next(iter(arrays))
    return shorten(f"{name}.{first}" if name else first)


def _check_roots(names: list[str]) -> None:
    """Refuse two networks in one file, such as the weights and their averages."""
    roots = {re.split(r"(?<=params)\.", name)[0] if "params." in name else "" for name in names}
    if len(roots) > 1:
        raise InputError(f"there are several trees of parameters: {shorten(', '.join(names))}")


def _gates(children: Mapping[str, str]) -> dict[str, str]:
    """The names of a cell's gates among those of modules; none where there is no cell."""
    if children.keys() == set("ih"):  # which others may be called, too
        return dict(children)
    for gates in (_GRU, _LSTM, _FUSED, _MGU):
        if gates <= children.keys():
            return {gate: children[gate] for gate in gates}
    return {}


def _cell(path: str, gates: Mapping[str, Mapping[str, Array]]) -> Recurrent | None:
    """The cell whose gates, or whose two matrices, these are."""
    names = frozenset(gates)
    order = "rzn" if names == _GRU else "ifgo" if names == _LSTM else ""
    if names == _MGU:
        raise InputError(
            f"{shorten(path)} is an MGU whose reset comes after the product, which no cell has"
        )
    if not order and names not in (_FUSED, frozenset("ih")):
        return None
    for name, arrays in gates.items():
        fits = "kernel" in arrays and arrays["kernel"].ndim == 2
        if not fits or not {"kernel", "bias"}.issuperset(arrays):
            return None  # as in a convolution
        _bias(f"{path}.{name}", arrays, arrays["kernel"].shape[1])
    if re.search(r"backward|forward|reverse", path):
        raise InputError(f"{shorten(path)} reads words in one of two directions")
    inputs, states_ = (
        [gates[f"{side}{gate}"] for gate in order]
        if order
        else [gates[f"dense_{side}" if names == _FUSED else side]]
        for side in "ih"
    )
    return _of_sides(path, order, inputs, states_)


def _of_sides(
    path: str, order: str, inputs: list[Mapping[str, Array]], state: list[Mapping[str, Array]]
) -> Recurrent:
    """A cell of what the input goes through and what the state does."""
    H = state[0]["kernel"].shape[0]
    sides = []
    for arrays in (inputs, state):
        kernels = [each["kernel"] for each in arrays]
        rows = {kernel.shape[0] for kernel in kernels}
        widths = {kernel.shape[1] for kernel in kernels}
        if len(rows) != 1 or (order and widths != {H}) or H == 0:
            raise InputError(f"{shorten(path)} has gates of several sizes")
        biases = [_bias(path, each, each["kernel"].shape[1]) for each in arrays]
        sides += [np.concatenate(kernels, axis=1), np.concatenate(biases)]
    Wx, b, Wh, bh = sides
    order = order or {1: "h", 3: "rzn", 4: "ifgo"}.get(Wh.shape[1] // H, "")
    if not order or Wx.shape[1] != len(order) * H or Wh.shape[1] != len(order) * H:
        raise InputError(f"{shorten(path)} has matrices of shapes {Wx.shape} and {Wh.shape}")
    if order == "h":
        return elman(Wx, Wh, b, bh, activation="tanh")
    return gated("gru" if order == "rzn" else "lstm", order, Wx, Wh, b, bh)


def _bias(name: str, arrays: Mapping[str, Array], width: int) -> Array:
    """The bias of a linear layer, which may have none."""
    bias = arrays.get("bias", np.zeros(width, arrays["kernel"].dtype))
    if bias.shape != (width,):
        raise InputError(f"{shorten(name)} has a bias of shape {bias.shape}, not {(width,)}")
    return bias
