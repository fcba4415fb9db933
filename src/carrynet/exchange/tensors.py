"""Tensors from files that others wrote: safetensors, NumPy's .npz, PyTorch's .pt without PyTorch.

Files of ONNX, Keras and TorchScript say how their network computes: of these come its layers.
Flax's come as tensors, by the names in its tree.

A file is taken for hostile.  No unpickler runs: `pickles` says what a pickle says, and imports
and calls nothing.  Sizes are checked against `MAX_BYTES` before anything is allocated.
Everything refused is an `InputError` of one line; for kinds of file that are known but not
read, it has the line of Python that converts them.

What cannot be a weight is passed over, and named: whole numbers, scores, texts, lists of numbers,
the state of an optimiser, objects without tensors.  What may be one and cannot be read is refused,
since the rest would be another network.

Left out: sparse, quantised and complex tensors, and PyTorch's files before 0.2, which are tar.
"""

import math
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from carrynet import files
from carrynet.errors import InputError, shorten
from carrynet.exchange.archive import Archive
from carrynet.exchange.flax import read_flax
from carrynet.exchange.found import KIND_OF, MAX_BYTES, MAX_HEADER, Found, Tensors, stored, widened
from carrynet.exchange.keras import read_keras, read_keras_h5
from carrynet.exchange.layered import Layered
from carrynet.exchange.leaving import IN_SAFETENSORS
from carrynet.exchange.onnx import read_onnx
from carrynet.exchange.pickles import Refused, require
from carrynet.exchange.pytorch import LEGACY, read_archive, read_legacy

MAX_NPY_HEADER = 4096  # bytes

ACCEPTED = (
    "accepted are safetensors, .npz, PyTorch's .pt or .pth with a state dict, ONNX, Keras's .keras "
    "and .h5, Flax's .msgpack"
)


@dataclass(frozen=True)
class Contents:
    """What a file holds."""

    tensors: Tensors  #: by name
    passed_over: tuple[str, ...]  #: what is no weight: its name, and in brackets what it is
    facts: Mapping[str, Any]  #: that carrynet wrote into a safetensors file; else none
    sha256: str  #: of the file's bytes
    name: str  #: the file's, fit for a terminal
    #: What a whole module says of itself, by the name of its attribute: `rnn.mode`, `rnn_tanh`
    settings: Mapping[str, str | float] = field(default_factory=dict)
    #: The network, where the file tells how it is computed, and not only its tensors
    layers: Layered | None = None
    #: Whether the tensors come in the order in which their modules were made, as in a state dict
    listed: bool = False
    notes: tuple[str, ...] = ()  #: sentences on what was made of the file
    task: str = ""  #: what the network has learned, where carrynet exported it


def read(path: Path) -> Contents:
    """The tensors of a file; what kind of file it is, its first bytes tell.

    float16 and bfloat16 come back as float32; other kinds of number as they are.
    The file of PyTorch may hold a state dict, a whole module, a TorchScript archive, or
    dictionaries and lists of these.  A module's names are those of its `state_dict()`, and of
    its other attributes.  If the tensors are in several dictionaries, names are joined by dots:
    `model.rnn.weight_ih_l0`.
    Raises `InputError`.
    """
    shown = files.printable(path)
    try:
        data = files.contents(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {shown}: {_reason(error)}") from None
    found = Found()
    try:
        # weights that are not finite are refused later; of escapes in damaged names Python warns
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            _reader(data, path)(data, found)
        any_there = found.layers or any(t.ndim for t in found.tensors.values())
        require(bool(any_there), f"it holds no tensors{found.instead}")
    except (Refused, InputError) as refusal:
        raise InputError(f"cannot take weights from {shown}: {refusal}") from None
    except (
        *(ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, SyntaxError),
        *(RuntimeError, MemoryError, EOFError, struct.error, zlib.error, zipfile.BadZipFile),
        safetensors.SafetensorError,
    ) as error:
        # the words of other libraries may quote the file: `shorten` escapes control characters
        reason = shorten(str(error) or type(error).__name__)
        raise InputError(f"cannot take weights from {shown}: it is damaged: {reason}") from None
    name, sha256 = files.printable(path.name), files.sha256(data)
    passed_over, settings = tuple(found.passed_over), MappingProxyType(found.settings)
    return Contents(
        found.tensors,
        passed_over,
        found.facts,
        sha256,
        name,
        settings,
        layers=found.layers,
        listed=found.listed,
        notes=tuple(found.notes),
        task=found.task,
    )


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or files.first_line(error)


def _reader(data: bytes, path: Path) -> Callable[[bytes, Found], None]:
    if data.startswith(b"PK\x03\x04"):
        return lambda data, found: _read_zip(data, found, path)
    if data[8:9] == b"{":
        return _read_safetensors
    if data.startswith(b"\x80") and LEGACY in data[:32]:
        return read_legacy
    if data.startswith(b"\x89HDF\r\n\x1a\n"):
        return read_keras_h5
    if _ONNX.match(data):
        return read_onnx
    if _FLAX.match(data):
        return read_flax
    for begins, kind, code in _OTHERS:
        if begins.match(data):
            raise _other(path, kind, code)
    raise Refused(f"it is of an unknown kind; {ACCEPTED}")


# Other kinds -------------------------------------------------------------------------


def _other(path: Path, kind: str, code: str) -> Refused:
    """A kind of file that is not read, and the command that makes a .npz of it."""
    # a name that a shell or Python would take apart is left to the reader
    file = str(path) if re.fullmatch(r"[\w.,/@+-]+", str(path)) else "FILE"
    return Refused(f'it is {kind}; this converts it: python -c "{code.replace("FILE", file)}"')


def _code(tensors: str) -> str:
    """A line of Python, for the reader to run, that writes what an expression gives.

    The file that it writes is unlikely to be there, and of another name than the one it reads.
    """
    return f"import numpy as np; np.savez('converted.npz', **{tensors})"


def _objects(entries: str) -> str:
    """Of a .npz in which an array of objects, a, becomes pairs of names and tensors."""
    pairs = f"{entries} if a.dtype == object else [(name, a)]"
    arrays = "np.load('FILE', allow_pickle=True).items()"
    return _code(f"{{k: w for name, a in {arrays} for k, w in ({pairs})}}")


_TRUST = ", which runs whatever its author wished when Python reads it"
_OF_OBJECTS = re.compile(rb"\x93NUMPY.{4,6}?\{\s*'descr':\s*'\|O'", re.DOTALL)

_OTHERS = (
    (
        _OF_OBJECTS,
        f"a pickle of Python's in NumPy's .npy{_TRUST}",
        _code("np.load('FILE', allow_pickle=True).item()"),
    ),
    (
        re.compile(rb"\x93NUMPY"),
        "a single array of NumPy's",
        _code("{'weights': np.load('FILE')}"),
    ),
    (
        re.compile(rb"\x80[\x02-\x05]"),
        f"a pickle of Python's{_TRUST}",
        _code("np.load('FILE', allow_pickle=True)"),
    ),
)

# a dictionary whose first key is a text
_FLAX = re.compile(rb"(?:[\x81-\x8f]|\xde..|\xdf....)[\xa1-\xbf\xd9]", re.DOTALL)
# the version of the format, then who wrote it, or the graph
_ONNX = re.compile(rb"\x08[\x01-\x1f][\x12\x1a\x22\x28\x32\x3a]")


# Safetensors and .npz ----------------------------------------------------------------


def _read_safetensors(data: bytes, found: Found) -> None:
    length = int.from_bytes(data[:8], "little")
    require(length <= MAX_HEADER, "its header is too long")
    # other readers take the last of several tensors with one name
    header = files.from_json(data[8 : 8 + length])
    # whose order is another in each process
    views = sorted(safetensors.deserialize(data), key=lambda pair: pair[0])  # type: ignore[no-untyped-call]
    for name, view in views:
        kind = KIND_OF.get(view["dtype"])
        if kind is None:
            raise Refused(f"{shorten(name)} holds {view['dtype']}, which is not supported")
        flat = np.frombuffer(view["data"], stored(kind))
        found.add(name, widened(flat, kind).reshape(view["shape"]))
    damaged = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
    with suppress(*damaged):
        facts = files.from_json(header["__metadata__"]["carrynet"])
        found.facts = MappingProxyType(facts if isinstance(facts, dict) else {})
    with suppress(*damaged):
        found.exported(files.from_json(header["__metadata__"][IN_SAFETENSORS]))


def _read_zip(data: bytes, found: Found, path: Path) -> None:
    archive = Archive(data)
    roots = [n.removesuffix("data.pkl") for n in archive.members if f"/{n}".endswith("/data.pkl")]
    if roots:
        require(len(roots) == 1, f"it has {len(roots)} members named data.pkl")
        read_archive(archive, roots[0], found)
    elif "model.weights.h5" in archive.members:
        read_keras(archive, found)
    elif any(name.endswith(".npy") for name in archive.members):
        _read_npz(archive, found, path)
    else:
        raise Refused(f"it is a zip file without tensors; {ACCEPTED}")


def _read_npz(archive: Archive, found: Found, path: Path) -> None:
    for member in archive.members:
        name = member.removesuffix(".npy")
        if name == member:
            found.pass_over(name, "no array")
            continue
        content = archive.read(member)
        if _OF_OBJECTS.match(content):
            table = b"'shape': ()" in content[:128]  # else entries have no names
            parts = "[(f'{name}.{i}', w) for i, w in enumerate(a.flat)]"
            code = _objects("a.item().items()" if table else parts)
            raise _other(path, f"a pickle of Python's in NumPy's .npz{_TRUST}", code)
        if _OF_TEXTS.match(content):
            found.pass_over(name, "texts")
        else:
            found.add(name, widened(_array(shorten(member), content)))


_OF_TEXTS = re.compile(rb"\x93NUMPY.{4,6}?\{\s*'descr':\s*'[<>|][US]\d", re.DOTALL)


def _array(name: str, content: bytes) -> NDArray[Any]:
    # NumPy's own reader takes the header for Python, and tokenizes and parses it
    width = 2 if content[6:7] == b"\x01" else 4
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    # Python takes quadratic time for long numbers, and for products of many
    require(start <= MAX_NPY_HEADER, f"the header of {name} is too long")
    header = _NPY.fullmatch(content[8 + width : start])
    require(content.startswith(b"\x93NUMPY") and start <= len(content), f"{name} is no array")
    if header is None:
        raise Refused(f"{name} is not an array of numbers")
    dtype = np.dtype(header["dtype"].decode())
    shape = [int(n) for n in header["shape"].replace(b",", b" ").split()]
    require(
        math.prod(shape) * dtype.itemsize == len(content) - start,
        f"{name} does not have the size that it claims",
    )
    flat = np.frombuffer(content, dtype, offset=start)
    return flat.reshape(shape, order="F" if header["fortran"] == b"True" else "C")


_NPY = re.compile(
    rb"\{\s*'descr':\s*'(?P<dtype>[<>|=]?[biuf]\d{1,2})',\s*"
    rb"'fortran_order':\s*(?P<fortran>True|False),\s*"
    rb"'shape':\s*\((?P<shape>[\d, ]*)\),?\s*\}\s*"
)
