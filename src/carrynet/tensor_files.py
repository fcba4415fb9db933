"""Tensors from files that others wrote: safetensors, NumPy's .npz, PyTorch's .pt without PyTorch.

A file is taken for hostile.  No unpickler runs: the pickle in a .pt is a program for a
stack machine, and the machine here knows only what a state dict needs.  It makes
dictionaries, lists, tuples and descriptions of tensors; names of classes and functions
stay names, and nothing is imported or called.  Sizes are checked against `MAX_BYTES`
before anything is allocated.  Everything refused is an `InputError` of one line.

CPython's `Unpickler` with a list of allowed names would not do: it lets a pickle set
attributes on what the names stand for, and take 64 GB for one distant memo entry.

Left out: the format of PyTorch before 1.6, sparse, quantised and complex tensors.
"""

import hashlib
import io
import json
import math
import pickletools
import re
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from carrynet.errors import InputError, shorten

Tensors = dict[str, NDArray[Any]]

MAX_BYTES = 64 * 2**20
"""The largest file that is read, and the most that its tensors may take together."""

MAX_TENSORS = 1000
MAX_NAME = 256  # characters
MAX_HEADER = 2**20  # bytes of a pickle, or of the header of a safetensors file
MAX_MEMBERS = 10_000  # of a zip file
MAX_DEPTH = 8  # of dictionaries in dictionaries

ACCEPTED = "accepted are safetensors, .npz and PyTorch's .pt or .pth with a state dict"


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds."""

    tensors: Tensors
    passed_over: tuple[str, ...]  #: what is there beside, and is no tensor that a weight could be
    facts: Mapping[str, Any]  #: carrynet's own metadata, where it wrote the file
    sha256: str
    name: str


def read(path: Path) -> Contents:
    """What a file holds; what kind of file it is, its first bytes tell.

    float16 and bfloat16 come back as float32; other kinds of number as they are.
    Of a .pt, only text keys lead to tensors, so that an optimiser's state, which is
    numbered, stays out.  If its tensors are in several dictionaries, names are
    joined by dots: `model.rnn.weight_ih_l0`.  Raises `InputError`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        _require(len(data) <= MAX_BYTES, f"it is larger than {MAX_BYTES >> 20} MB")
        tensors = _collect(_reader(data)(data))
        return Contents(tensors, (), _facts(data), hashlib.sha256(data).hexdigest(), path.name)
    except _Refused as refusal:
        raise InputError(f"cannot take weights from {path}: {refusal}") from None
    except (
        *(ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, SyntaxError),
        *(RuntimeError, MemoryError, EOFError, struct.error, zlib.error, zipfile.BadZipFile),
        safetensors.SafetensorError,
    ) as error:
        # the words of other libraries may quote the file: `shorten` escapes control characters
        reason = shorten(str(error) or type(error).__name__)
        raise InputError(f"cannot take weights from {path}: it is damaged: {reason}") from None


def _facts(data: bytes) -> Mapping[str, Any]:
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = json.loads(header["__metadata__"]["carrynet"])
        return facts if isinstance(facts, dict) else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


class _Refused(ValueError):
    """Something that a file of weights does not need or may not have."""


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise _Refused(otherwise)


def _reader(data: bytes) -> Callable[[bytes], Iterator[tuple[str, NDArray[Any]]]]:
    if data.startswith(b"PK\x03\x04"):
        return _read_zip
    if data[8:9] == b"{":
        return _read_safetensors
    if data.startswith(b"\x80") and _LEGACY in data[:32]:
        raise _Refused(
            "it is in PyTorch's old format: save it again with PyTorch 1.6 or newer, "
            "state = torch.load(FILE); torch.save(state, FILE)"
        )
    raise _Refused(f"it is of an unknown kind; {ACCEPTED}")


_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # the pickled number that old files begin with


def _collect(pairs: Iterable[tuple[str, NDArray[Any]]]) -> Tensors:
    tensors: Tensors = {}
    for name, tensor in pairs:
        _require(len(name) <= MAX_NAME, f"a name is longer than {MAX_NAME} characters")
        _require(name not in tensors, f"it holds two tensors named {shorten(name)}")
        _require(len(tensors) < MAX_TENSORS, f"it holds more than {MAX_TENSORS} tensors")
        tensors[name] = tensor
    _require(bool(tensors), "it holds no tensors")
    return tensors


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


def _read_safetensors(data: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    _require(int.from_bytes(data[:8], "little") <= MAX_HEADER, "its header is too long")
    for name, view in safetensors.deserialize(data):  # type: ignore[no-untyped-call]
        kind = _KIND_OF.get(view["dtype"])
        if kind is None:
            raise _Refused(f"{shorten(name)} holds {view['dtype']}, which is not supported")
        flat = np.frombuffer(view["data"], _stored(kind))
        yield name, _numbers(flat, kind).reshape(view["shape"])


# Zip files ---------------------------------------------------------------------------


class _Archive:
    """A zip file whose members together give at most `MAX_BYTES`, whatever they claim."""

    def __init__(self, data: bytes) -> None:
        entries = data.count(b"PK\x01\x02")  # which every entry of the directory begins with
        _require(entries <= MAX_MEMBERS, f"it has more than {MAX_MEMBERS:,} members")
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        self._left = MAX_BYTES
        self.members = self._zip.NameToInfo

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """A member's bytes."""
        _require(name in self.members, f"it has no member {shorten(name)}")
        entry = self.members[name]
        _require(
            # others inflate without a bound
            entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
            f"member {shorten(name)} is compressed in an unusual way",
        )
        self._left -= entry.file_size
        _require(
            entry.file_size <= most and self._left >= 0,
            f"member {shorten(name)} unpacks to too much: at most {most >> 20} MB, "
            f"and {MAX_BYTES >> 20} MB in all, are accepted",
        )
        with self._zip.open(entry) as member:
            # with a size, because without one it inflates beyond what the entry claims
            content = member.read(entry.file_size)
        _require(len(content) == entry.file_size, f"member {shorten(name)} is cut short")
        return content


def _read_zip(data: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    archive = _Archive(data)
    pickles = [name for name in archive.members if f"/{name}".endswith("/data.pkl")]
    if pickles:
        _require(len(pickles) == 1, f"it has {len(pickles)} members named data.pkl")
        return _read_torch(archive, pickles[0].removesuffix("data.pkl"))
    if any(name.endswith(".npy") for name in archive.members):
        return _read_npz(archive)
    raise _Refused(f"it is a zip file without tensors; {ACCEPTED}")


def _read_npz(archive: _Archive) -> Iterator[tuple[str, NDArray[Any]]]:
    for member in archive.members:
        if member.endswith(".npy"):
            array = _array(shorten(member), archive.read(member))
            yield member.removesuffix(".npy"), _numbers(array)


def _array(name: str, content: bytes) -> NDArray[Any]:
    # NumPy's own reader takes the header for Python, and tokenizes and parses it
    width = 2 if content[6:7] == b"\x01" else 4
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    header = _NPY.fullmatch(content[8 + width : start])
    _require(content.startswith(b"\x93NUMPY") and start <= len(content), f"{name} is no array")
    if header is None:
        raise _Refused(f"{name} is not an array of numbers")
    dtype = np.dtype(header["dtype"].decode())
    shape = [int(n) for n in header["shape"].replace(b",", b" ").split()]
    _require(
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
class _Name:
    """The name of a class or a function; what it names is never looked up."""

    text: str


@dataclass(frozen=True)
class _Storage:
    """Numbers in the member `data/KEY`."""

    kind: str
    key: str
    length: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage: element (i, j) is number offset + i stride[0] + j stride[1]."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        dimensions = len(self.shape)
        _require(
            len(self.stride) == dimensions <= 8
            and all(type(n) is int and n >= 0 for n in (self.offset, *self.shape, *self.stride)),
            "a tensor's offset, shape or strides are not what PyTorch writes",
        )
        reach = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        _require(
            0 in self.shape or reach < self.storage.length,
            "a tensor reaches outside its storage",
        )


def _read_torch(archive: _Archive, root: str) -> Iterator[tuple[str, NDArray[Any]]]:
    program = archive.read(f"{root}data.pkl", MAX_HEADER)
    order = archive.read(f"{root}byteorder") if f"{root}byteorder" in archive.members else b"little"
    _require(order in (b"little", b"big"), "its byte order is neither little nor big")
    members: dict[str, bytes] = {}
    left = MAX_BYTES
    for name, tensor in _named(_interpret(program)):
        storage = tensor.storage
        dtype = _stored(storage.kind, order == b"big")
        left -= math.prod(tensor.shape) * dtype.itemsize
        _require(left >= 0, f"its tensors take more than {MAX_BYTES >> 20} MB")
        if storage.key not in members:
            members[storage.key] = archive.read(f"{root}data/{storage.key}")
        content = members[storage.key]
        _require(
            len(content) == storage.length * dtype.itemsize,
            f"the storage of {shorten(name)} does not have the size that it claims",
        )
        if 0 in tensor.shape:
            yield name, _numbers(np.empty(tensor.shape, dtype), storage.kind)
            continue
        array = np.ndarray(  # which checks once more that it stays inside its buffer
            tensor.shape,
            dtype,
            buffer=content,
            offset=tensor.offset * dtype.itemsize,
            strides=tuple(s * dtype.itemsize for s in tensor.stride),
        )
        yield name, _numbers(array, storage.kind)


def _named(content: object) -> Iterator[tuple[str, _Tensor]]:
    """The tensors in a dictionary of dictionaries: by key if one holds them all, else by path."""
    groups: list[tuple[tuple[str, ...], dict[str, _Tensor]]] = []
    queue: deque[tuple[tuple[str, ...], object]] = deque([((), content)])
    seen = set()  # a dictionary may hold itself, or one other in exponentially many ways
    while queue:
        path, value = queue.popleft()
        if not isinstance(value, dict) or id(value) in seen or len(path) > MAX_DEPTH:
            continue
        seen.add(id(value))
        tensors = {key: entry for key, entry in value.items() if isinstance(entry, _Tensor)}
        if tensors:
            groups.append((path, tensors))
        queue.extend(((*path, key), v) for key, v in value.items() if isinstance(v, dict))
    _require(bool(groups), "it holds no dictionary of tensors, as model.state_dict() is")
    for path, tensors in groups:
        for key, tensor in tensors.items():
            yield (".".join((*path, key)) if len(groups) > 1 else key), tensor


def _interpret(program: bytes) -> object:
    """What a pickle builds, out of dictionaries, lists, tuples, texts, numbers and `_Tensor`s.

    Keys other than text are dropped, and so is what a pickle sets on an object (BUILD).
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    argument: Any
    for opcode, argument, _ in pickletools.genops(program):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                length = int(opcode.name[-1])
                stack[-length:] = [tuple(stack[-length:])]
            case "TUPLE":
                items = since_mark()
                stack.append(tuple(items))
            case "APPEND" | "APPENDS":
                items = since_mark() if opcode.name == "APPENDS" else [stack.pop()]
                _require(type(stack[-1]) is list, "its pickle appends to what is not a list")
                stack[-1].extend(items)
            case "SETITEM" | "SETITEMS":
                items = since_mark() if opcode.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                _require(type(stack[-1]) is dict, "its pickle sets items of no dictionary")
                pairs = zip(items[::2], items[1::2], strict=True)
                stack[-1].update((key, value) for key, value in pairs if type(key) is str)
            case "GLOBAL":
                stack.append(_known(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                _require(type(name) is type(module) is str, "its pickle names no class")
                stack.append(_known(f"{module}.{name}"))
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_made(stack.pop(), arguments))
            case "BUILD":
                stack.pop()
                _require(type(stack[-1]) is dict, "its pickle changes what is not a dictionary")
            case other:
                raise _Refused(f"its pickle uses {other}, which a state dict does not need")
    raise _Refused("its pickle does not end")


_MAKERS = (
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
)


def _known(name: str) -> _Name:
    if name not in _MAKERS and name not in _KIND_OF:
        raise _Refused(
            f"it needs {shorten(name)}, which is never run here: save the state dict alone, "
            "torch.save(model.state_dict(), FILE)"
        )
    return _Name(name)


def _storage(identity: object) -> _Storage:
    match identity:
        case ("storage", _Name(text=text), str(key), str(), int(length)) if (
            text in _KIND_OF and 0 <= length <= MAX_BYTES
        ):
            return _Storage(_KIND_OF[text], key, length)
    raise _Refused("a storage is described in a way that PyTorch does not write, or too large")


def _made(maker: object, arguments: object) -> object:
    match maker, arguments:
        case _Name(text="collections.OrderedDict"), ():
            return {}
        case (
            _Name(text="torch._utils._rebuild_tensor_v2"),
            (_Storage() as storage, int(offset), tuple(shape), tuple(stride), *_),
        ):
            return _Tensor(storage, offset, shape, stride)
        case _Name(text="torch._utils._rebuild_parameter"), (_Tensor() as tensor, *_):
            return tensor
    raise _Refused("its pickle makes something other than tensors and dictionaries")
