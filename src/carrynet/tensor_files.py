"""Tensors from files that others wrote: safetensors, NumPy's .npz, PyTorch's .pt without PyTorch.

A file is taken for hostile.  No unpickler runs: `pickles` says what a pickle says, and imports
and calls nothing.  Sizes are checked against `MAX_BYTES` before anything is allocated.
Everything refused is an `InputError` of one line; for kinds of file that are known but not
read, it has the line of Python that converts them.

What cannot be a weight is passed over, and named: numbers, texts, lists of numbers, the state of
an optimiser, objects of any class.  What may be one and cannot be read is refused, since the rest
would be another network.

Left out: sparse, quantised and complex tensors, and PyTorch's files before 0.2, which are tar.
"""

import io
import math
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import safetensors
from numpy.typing import NDArray

from carrynet import files, pickles
from carrynet.errors import InputError, shorten
from carrynet.pickles import Name, Object, Refused, require

Tensors = dict[str, NDArray[Any]]

MAX_BYTES = 64 * 2**20
"""The largest file that is read, and the most that its tensors may take together."""

MAX_TENSORS = 1000
MAX_NAME = 256  # characters
MAX_HEADER = 2**20  # bytes of a pickle, or of the header of a safetensors file
MAX_NPY_HEADER = 4096  # bytes
MAX_MEMBERS = 10_000  # of a zip file
MAX_DEPTH = 16  # of dictionaries in dictionaries
MAX_PASSED_OVER = 100  # that are named

ACCEPTED = "accepted are safetensors, .npz and PyTorch's .pt or .pth with a state dict"


@dataclass(frozen=True)
class Contents:
    """What a file holds."""

    tensors: Tensors  #: by name
    passed_over: tuple[str, ...]  #: what is no weight: its name, and in brackets what it is
    facts: Mapping[str, Any]  #: that carrynet wrote into a safetensors file; else none
    sha256: str  #: of the file's bytes
    name: str  #: the file's, fit for a terminal


def read(path: Path) -> Contents:
    """The tensors of a file; what kind of file it is, its first bytes tell.

    float16 and bfloat16 come back as float32; other kinds of number as they are.
    The file of PyTorch may hold a state dict, a whole module, a TorchScript archive, or
    dictionaries and lists of these.  A module's names are those of its `state_dict()`.  If the
    tensors are in several dictionaries, names are joined by dots: `model.rnn.weight_ih_l0`.
    Of dictionaries, only text keys are looked at.  Raises `InputError`.
    """
    shown = files.printable(path)
    try:
        data = files.contents(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {shown}: {_reason(error)}") from None
    found = _Found()
    try:
        _reader(data, path)(data, found)
        require(bool(found.tensors), f"it holds no tensors{found.instead}")
    except Refused as refusal:
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
    return Contents(found.tensors, tuple(found.passed_over), found.facts, sha256, name)


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or files.first_line(error)


class _Found:
    """What a reader has come upon so far."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.passed_over: list[str] = []
        self.facts: Mapping[str, Any] = {}
        self._more = 0

    def add(self, name: str, tensor: NDArray[Any]) -> None:
        """A tensor; one without dimensions is a number, and no weight."""
        require(len(name) <= MAX_NAME, f"a name is longer than {MAX_NAME} characters")
        require(name not in self.tensors, f"it holds two tensors named {shorten(name)}")
        if tensor.ndim == 0:
            self.pass_over(name, "a number")
            return
        require(len(self.tensors) < MAX_TENSORS, f"it holds more than {MAX_TENSORS} tensors")
        self.tensors[name] = tensor

    def pass_over(self, name: str, what: str) -> None:
        """Something that is no weight."""
        if len(self.passed_over) < MAX_PASSED_OVER:
            self.passed_over.append(f"{shorten(name[:MAX_NAME])} ({files.printable(what[:60])})")
            return
        if self._more:
            self.passed_over.pop()
        self._more += 1
        self.passed_over.append(f"{self._more:,} more")

    @property
    def instead(self) -> str:
        """What a file without tensors has, for a message."""
        return f", but {', '.join(self.passed_over[:3])}" if self.passed_over else ""


def _reader(data: bytes, path: Path) -> Callable[[bytes, _Found], None]:
    if data.startswith(b"PK\x03\x04"):
        return lambda data, found: _read_zip(data, found, path)
    if data[8:9] == b"{":
        return _read_safetensors
    if data.startswith(b"\x80") and _LEGACY in data[:32]:
        return _read_legacy
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


def _code(imports: str, tensors: str, first: str = "") -> str:
    """A line of Python, for the reader to run, that writes what an expression gives.

    The file that it writes is unlikely to be there, and of another name than the one it reads.
    """
    return f"import {imports}numpy as np; {first}np.savez('converted.npz', **{tensors})"


def _hdf5(file: str, imports: str = "") -> str:
    visit = "lambda name, x: d.update({name: x[()]}) if hasattr(x, 'shape') else None"
    return _code(f"{imports}h5py, ", "d", f"d = {{}}; h5py.File({file}).visititems({visit}); ")


def _objects(entries: str) -> str:
    """Of a .npz in which an array of objects, a, becomes pairs of names and tensors."""
    pairs = f"{entries} if a.dtype == object else [(name, a)]"
    arrays = "np.load('FILE', allow_pickle=True).items()"
    return _code("", f"{{k: w for name, a in {arrays} for k, w in ({pairs})}}")


_TRUST = ", which runs whatever its author wished when Python reads it"
_OF_OBJECTS = re.compile(rb"\x93NUMPY.{4,6}?\{\s*'descr':\s*'\|O'", re.DOTALL)

_OTHERS = (
    (
        _OF_OBJECTS,
        f"a pickle of Python's in NumPy's .npy{_TRUST}",
        _code("", "np.load('FILE', allow_pickle=True).item()"),
    ),
    (
        re.compile(rb"\x93NUMPY"),
        "a single array of NumPy's",
        _code("", "{'weights': np.load('FILE')}"),
    ),
    (
        re.compile(rb"\x80[\x02-\x05]"),
        f"a pickle of Python's{_TRUST}",
        _code("", "np.load('FILE', allow_pickle=True)"),
    ),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), "HDF5, as Keras writes it", _hdf5("'FILE'")),
    (
        # a dictionary whose first key is a text
        re.compile(rb"(?:[\x81-\x8f]|\xde..|\xdf....)[\xa1-\xbf\xd9]", re.DOTALL),
        "MessagePack, as Flax writes it",
        _code(
            "flax.serialization as s, flax.traverse_util as t, ",
            "t.flatten_dict(s.msgpack_restore(open('FILE', 'rb').read()), sep='.')",
        ),
    ),
    (
        # the version of the format, then who wrote it, or the graph
        re.compile(rb"\x08[\x01-\x1f][\x12\x3a]"),
        "a model in ONNX",
        _code(
            "onnx, onnx.numpy_helper as h, ",
            "{t.name: h.to_array(t) for t in onnx.load('FILE').graph.initializer}",
        ),
    ),
)


# Numbers -----------------------------------------------------------------------------

_KINDS = MappingProxyType(
    {
        # NumPy's name, safetensors', PyTorch's; bfloat16 is read as the upper half of a float32
        kind: names
        for kind, *names in (
            ("f8", "F64", "torch.DoubleStorage"),
            ("f4", "F32", "torch.FloatStorage"),
            ("f2", "F16", "torch.HalfStorage"),
            ("bfloat16", "BF16", "torch.BFloat16Storage"),
            ("i8", "I64", "torch.LongStorage"),
            ("i4", "I32", "torch.IntStorage"),
            ("i2", "I16", "torch.ShortStorage"),
            ("i1", "I8", "torch.CharStorage"),
            ("u1", "U8", "torch.ByteStorage"),
            ("?", "BOOL", "torch.BoolStorage"),
            *(("u8", "U64"), ("u4", "U32"), ("u2", "U16")),  # PyTorch has no storages for them
        )
    }
)
_KIND_OF = MappingProxyType({name: kind for kind, names in _KINDS.items() for name in names})


def _stored(kind: str, big_endian: bool = False) -> np.dtype[Any]:
    """The type of the numbers of a kind as they lie in a file."""
    return np.dtype("u2" if kind == "bfloat16" else kind).newbyteorder(">" if big_endian else "<")


def _numbers(array: NDArray[Any], kind: str = "") -> NDArray[Any]:
    """A copy in the machine's byte order, half precision widened."""
    if kind == "bfloat16":
        return np.asarray(array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32 if array.dtype == np.float16 else array.dtype.newbyteorder("="))


def _read_safetensors(data: bytes, found: _Found) -> None:
    length = int.from_bytes(data[:8], "little")
    require(length <= MAX_HEADER, "its header is too long")
    # other readers take the last of several tensors with one name
    header = files.from_json(data[8 : 8 + length])
    for name, view in safetensors.deserialize(data):  # type: ignore[no-untyped-call]
        kind = _KIND_OF.get(view["dtype"])
        if kind is None:
            raise Refused(f"{shorten(name)} holds {view['dtype']}, which is not supported")
        flat = np.frombuffer(view["data"], _stored(kind))
        found.add(name, _numbers(flat, kind).reshape(view["shape"]))
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        facts = files.from_json(header["__metadata__"]["carrynet"])
        found.facts = MappingProxyType(facts if isinstance(facts, dict) else {})


# Zip files ---------------------------------------------------------------------------


class _Archive:
    """A zip file whose members together give at most `MAX_BYTES`, whatever they claim."""

    def __init__(self, data: bytes) -> None:
        entries = data.count(b"PK\x01\x02")  # which every entry of the directory begins with
        require(entries <= MAX_MEMBERS, f"it has more than {MAX_MEMBERS:,} members")
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        names = Counter(self._zip.namelist())
        for name in names:
            require(names[name] == 1, f"it has {names[name]} members named {shorten(name)}")
        self._left = MAX_BYTES
        self.members = self._zip.NameToInfo

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """A member's bytes."""
        require(name in self.members, f"it has no member {shorten(name)}")
        entry = self.members[name]
        require(
            # others inflate without a bound
            entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
            f"member {shorten(name)} is compressed in an unusual way",
        )
        self._left -= entry.file_size
        require(
            entry.file_size <= most and self._left >= 0,
            f"member {shorten(name)} unpacks to too much: at most {most >> 20} MB, "
            f"and {MAX_BYTES >> 20} MB in all, are accepted",
        )
        with self._zip.open(entry) as member:
            # with a size, because without one it inflates beyond what the entry claims
            content = member.read(entry.file_size)
        require(len(content) == entry.file_size, f"member {shorten(name)} is cut short")
        return content


def _read_zip(data: bytes, found: _Found, path: Path) -> None:
    archive = _Archive(data)
    roots = [n.removesuffix("data.pkl") for n in archive.members if f"/{n}".endswith("/data.pkl")]
    if roots:
        require(len(roots) == 1, f"it has {len(roots)} members named data.pkl")
        _read_torch(archive, roots[0], found)
    elif "model.weights.h5" in archive.members:
        code = _hdf5("zipfile.ZipFile('FILE').open('model.weights.h5')", "zipfile, ")
        raise _other(path, "a model of Keras", code)
    elif any(name.endswith(".npy") for name in archive.members):
        _read_npz(archive, found, path)
    else:
        raise Refused(f"it is a zip file without tensors; {ACCEPTED}")


def _read_npz(archive: _Archive, found: _Found, path: Path) -> None:
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
            found.add(name, _numbers(_array(shorten(member), content)))


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


# PyTorch -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Storage:
    """Numbers that tensors are views of."""

    kind: str
    key: str
    length: int


@dataclass(frozen=True)
class _View:
    """A tensor: element (i, j) is number offset + i stride[0] + j stride[1] of a storage."""

    storage: _Storage
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


def _read_torch(archive: _Archive, root: str, found: _Found) -> None:
    program = archive.read(f"{root}data.pkl", MAX_HEADER)
    order = archive.read(f"{root}byteorder") if f"{root}byteorder" in archive.members else b"little"
    require(order in (b"little", b"big"), "its byte order is neither little nor big")
    content, _ = pickles.read(program, _storage)
    members: dict[str, bytes] = {}

    def numbers(key: str) -> bytes:
        if key not in members:
            members[key] = archive.read(f"{root}data/{key}")
        return members[key]

    _add_views(content, numbers, found, big_endian=order == b"big")


_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # the pickled number that old files begin with


def _read_legacy(data: bytes, found: _Found) -> None:
    """A file of PyTorch before 1.6: five pickles and, little-endian, the storages.

    The pickles are a number, a version, facts about the machine, the content, and the keys of
    the storages; of a storage there is its length as int64, and then its numbers.
    """
    position = 0
    storages: dict[str, _Storage] = {}

    def persistent(identity: object) -> object:
        match identity:
            case ("module", Name() as name, *_):  # with its source
                return name
            case (*usual, None):  # where an older PyTorch described a part of a storage
                storage = _storage(tuple(usual))
                require(
                    storages.setdefault(storage.key, storage) == storage,
                    "a storage is described in two ways",
                )
                return storage
        raise Refused("it is of a PyTorch before 0.4: save it again with a newer one")

    values = []
    for _ in range(5):
        program = data[position : position + MAX_HEADER]
        value, length = pickles.read(program, persistent)
        values.append(value)
        position += length
    *_, content, keys = values
    if not isinstance(keys, list):
        raise Refused("it does not list its storages")
    numbers: dict[str, bytes] = {}
    for key in keys:
        require(key in storages and key not in numbers, "it lists storages that it does not have")
        storage = storages[key]
        start = position + 8
        (length,) = struct.unpack("<q", data[position:start])
        require(
            length == storage.length, f"the length of storage {shorten(key)} is told in two ways"
        )
        position = start + length * _stored(storage.kind).itemsize
        numbers[key] = data[start:position]
    _add_views(content, numbers.__getitem__, found)


def _storage(identity: object) -> _Storage:
    match identity:
        case ("storage", Name(text=text), str(key), str(), int(length)) if (
            text in _KIND_OF and 0 <= length <= MAX_BYTES
        ):
            return _Storage(_KIND_OF[text], key, length)
    raise Refused("a storage is described in a way that PyTorch does not write, or too large")


def _add_views(
    content: object, numbers: Callable[[str], bytes], found: _Found, big_endian: bool = False
) -> None:
    """The tensors of a pickle, by the bytes of their storages."""
    views = _views(content, found)
    instead = found.instead or f", but {files.printable(_kind(content)[:MAX_NAME])}"
    require(bool(views), f"it holds no dictionary of tensors, as model.state_dict() is{instead}")
    several = len({place.path for place, _ in views}) > 1
    left = MAX_BYTES
    for place, view in views:
        name = str(place) if several else place.name
        storage, dtype = view.storage, _stored(view.storage.kind, big_endian)
        left -= math.prod(view.shape) * dtype.itemsize
        require(left >= 0, f"its tensors take more than {MAX_BYTES >> 20} MB")
        buffer = numbers(storage.key)
        require(
            len(buffer) == storage.length * dtype.itemsize,
            f"the storage of {shorten(name[:MAX_NAME])} does not have the size that it claims",
        )
        if 0 in view.shape:
            found.add(name, _numbers(np.empty(view.shape, dtype), storage.kind))
            continue
        array = np.ndarray(  # which checks once more that it stays inside its buffer
            view.shape,
            dtype,
            buffer=buffer,
            offset=view.offset * dtype.itemsize,
            strides=tuple(s * dtype.itemsize for s in view.stride),
        )
        found.add(name, _numbers(array, storage.kind))


# What a pickle holds -----------------------------------------------------------------


class _Place(NamedTuple):
    """Where a tensor is: what leads to a dictionary or to a whole module; its name there."""

    path: tuple[str, ...]
    name: str

    def __str__(self) -> str:
        return ".".join((*self.path, self.name))


def _views(content: object, found: _Found) -> list[tuple[_Place, _View]]:
    """The tensors in dictionaries, lists and modules.

    What has tensors nowhere in it is passed over as a whole.
    """
    views: list[tuple[_Place, _View]] = []
    seen = set()  # a dictionary may hold itself, or one other in exponentially many ways

    def look(value: object, path: tuple[str, ...], prefix: str, depth: int) -> bool:
        """Whether there are tensors in it; in a module's modules, names have a prefix."""
        if id(value) in seen or depth > MAX_DEPTH or not (entries := _entries(value)):
            return False
        seen.add(id(value))
        require(len(prefix) <= MAX_NAME, f"a name is longer than {MAX_NAME} characters")
        before, others, rest = len(views), [], []
        for key, entry in entries.items():
            name = prefix + key[: MAX_NAME + 1]  # which is already too long for a tensor
            view = _view(entry)
            if view is None:
                others.append((name, entry))
            elif _may_be_weight(view):
                require(len(views) < MAX_TENSORS, f"it holds more than {MAX_TENSORS} tensors")
                views.append((_Place(path, name), view))
            else:
                rest.append((name, entry))
        beside = len(views) > before
        for name, entry in others:
            _refuse_unreadable(name, entry, beside)
            inner = _is_module(value) and _is_module(entry)
            where = (path, f"{name}.") if inner else ((*path, name), "")
            if not look(entry, *where, depth + 1):
                rest.append((name, entry))
        holds = len(views) > before
        for name, entry in rest if holds or not depth else ():
            found.pass_over(str(_Place(path, name)), _kind(entry))
        return holds

    look(content, (), "", 0)
    return views


def _entries(value: object) -> dict[str, Any]:
    """What may lead to tensors; nothing of what cannot, and of an optimiser's state."""
    if isinstance(value, Object):
        if not _is_module(value):
            return _entries(value.items)
        if "_parameters" not in value.state:  # of TorchScript, which has no such drawers
            return {k: v for k, v in value.state.items() if isinstance(v, Object)}
        drawers = [value.state.get(drawer) for drawer in ("_parameters", "_buffers", "_modules")]
        return {k: v for drawer in drawers for k, v in _entries(drawer).items() if v is not None}
    if isinstance(value, dict):
        return {} if {"state", "param_groups"} <= value.keys() else value
    if isinstance(value, list | tuple):
        within = any(isinstance(entry, dict | list | tuple | Object) for entry in value)
        return {str(i): entry for i, entry in enumerate(value)} if within else {}
    return {}


def _is_module(value: object) -> bool:
    """Whether something is a module of PyTorch's or of TorchScript's, by what is set on it."""
    return (
        isinstance(value, Object)
        and isinstance(value.state, dict)
        and (
            value.name.startswith("__torch__.") or {"_parameters", "_modules"} <= value.state.keys()
        )
    )


def _view(value: object) -> _View | None:
    """The tensor that an object of a pickle is, if it is one that can be read."""
    if isinstance(value, Object) and value.name in _PARAMETERS:
        value = value.arguments[0]
    if isinstance(value, Object) and value.name == "torch._tensor._rebuild_from_type_v2":
        match value.arguments:  # a class of its own, or with attributes
            case (Name(text=text), Name(), tuple(arguments), *_):
                value = Object(text, arguments)
    if not isinstance(value, Object) or value.name != "torch._utils._rebuild_tensor_v2":
        return None
    match value.arguments:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(stride), *_):
            return _View(storage, offset, shape, stride)
    raise Refused("its pickle makes a tensor in a way that PyTorch does not")


_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")


def _may_be_weight(view: _View) -> bool:
    """A single number is not; nor are bytes, such as the state of a random generator."""
    return bool(view.shape) and not (view.storage.kind == "u1" and len(view.shape) == 1)


def _refuse_unreadable(name: str, value: object, beside: bool) -> None:
    """Refuse what may be a weight and cannot be read; `beside` it in the dictionary are tensors."""
    maker = value.name if isinstance(value, Object) else ""
    of_torch = maker.startswith("torch.") and "_rebuild" in maker
    packed = maker.startswith("__torch__.torch.classes.")
    if of_torch or packed or (beside and maker.endswith(_OF_NUMPY)):
        raise Refused(
            f"{shorten(name[:MAX_NAME])} is made by {shorten(maker[:MAX_NAME])}, which is never "
            "run here: save it as a plain, dense tensor of PyTorch's"
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
            view = _view(value)
            return name if view is None else "bytes" if view.shape else "a number"
        case Name(text=text):
            return f"the name {text}"
    kinds = {str: "a text", bytes: "bytes", list: "a list", tuple: "a tuple", _Storage: "a storage"}
    return kinds.get(type(value), type(value).__name__)
