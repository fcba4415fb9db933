"""Tensors from files that others wrote: safetensors, NumPy's .npz, PyTorch's .pt without PyTorch.

A file is taken for hostile.  No unpickler runs: `pickles` says what a pickle says, and imports
and calls nothing.  Sizes are checked against `MAX_BYTES` before anything is allocated.
Everything refused is an `InputError` of one line; for kinds of file that are known but not
read, it has the line of Python that converts them.

What cannot be a weight is passed over, and named: whole numbers, scores, texts, lists of numbers,
the state of an optimiser, objects without tensors.  What may be one and cannot be read is refused,
since the rest would be another network.

Left out: sparse, quantised and complex tensors, and PyTorch's files before 0.2, which are tar.
"""

import io
import math
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import safetensors
from numpy.typing import NDArray

from carrynet import files
from carrynet.errors import InputError, shorten
from carrynet.exchange import pickles
from carrynet.exchange.pickles import Name, Object, Refused, require

Tensors = dict[str, NDArray[Any]]

MAX_BYTES = 64 * 2**20
"""The largest file that is read, and the most that its tensors may take together."""

MAX_TENSORS = 1000
MAX_NAME = 256  # characters
MAX_HEADER = 2**20  # bytes of a pickle, or of the header of a safetensors file
MAX_NPY_HEADER = 4096  # bytes
MAX_MEMBERS = 10_000  # of a zip file
MAX_CODE = 2**22  # bytes of a member of TorchScript's
MAX_DEPTH = 16  # of dictionaries in dictionaries
MAX_PASSED_OVER = 100  # that are named

ACCEPTED = "accepted are safetensors, .npz and PyTorch's .pt or .pth with a state dict"


CODE = "code of TorchScript"
"""The setting that says which recurrent cell TorchScript's code calls: `rnn_tanh`."""
SETTINGS = ("mode", "nonlinearity", "num_layers", "bidirectional", "proj_size", "batch_first")
"""Attributes of a module that say how its cell computes."""


@dataclass(frozen=True)
class Contents:
    """What a file holds."""

    tensors: Tensors  #: by name
    passed_over: tuple[str, ...]  #: what is no weight: its name, and in brackets what it is
    facts: Mapping[str, Any]  #: that carrynet wrote into a safetensors file; else none
    sha256: str  #: of the file's bytes
    name: str  #: the file's, fit for a terminal
    #: What a whole module says of itself, by the name of its attribute: `rnn.mode`, `rnn_tanh`
    settings: Mapping[str, str | int] = field(default_factory=dict)


def read(path: Path) -> Contents:
    """The tensors of a file; what kind of file it is, its first bytes tell.

    float16 and bfloat16 come back as float32; other kinds of number as they are.
    The file of PyTorch may hold a state dict, a whole module, a TorchScript archive, or
    dictionaries and lists of these.  A module's names are those of its `state_dict()`, and of
    its other attributes; constants of TorchScript are `CONSTANTS.c0` and so on.  If the
    tensors are in several dictionaries, names are joined by dots: `model.rnn.weight_ih_l0`.
    Raises `InputError`.
    """
    shown = files.printable(path)
    try:
        data = files.contents(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {shown}: {_reason(error)}") from None
    found = _Found()
    try:
        _reader(data, path)(data, found)
        require(any(t.ndim for t in found.tensors.values()), f"it holds no tensors{found.instead}")
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
    passed_over, settings = tuple(found.passed_over), MappingProxyType(found.settings)
    return Contents(found.tensors, passed_over, found.facts, sha256, name, settings)


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or files.first_line(error)


class _Found:
    """What a reader has come upon so far."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.passed_over: list[str] = []
        self.facts: Mapping[str, Any] = {}
        self.settings: dict[str, str | int] = {}
        self._more = 0

    def add(self, name: str, tensor: NDArray[Any]) -> None:
        """A tensor, unless it is a number that is no weight."""
        require(len(name) <= MAX_NAME, f"a name is longer than {MAX_NAME} characters")
        require(name not in self.tensors, f"it holds two tensors named {shorten(name)}")
        if tensor.ndim == 0 and is_count(name, tensor.dtype.kind == "f"):
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
        numbers = [
            f"{shorten(name)} (a number)" for name in self.tensors
        ]  # where there are no others
        some = [*self.passed_over, *numbers][:3]
        return f", but {', '.join(some)}" if some else ""


_COUNTED = re.compile(
    r"num_batches_tracked|n_averaged|exp_avg(_sq)?|max_exp_avg_sq|square_avg|momentum_buffer|"
    r"((train|training|val|valid|validation|test|eval|best|last|min|max|mean|global|current|n|num"
    r"|model)_)*"
    r"(loss(es)?|accs?|accurac(y|ies)|scores?|epochs?|steps?|iterations?|lrs?|learning_rates?|seed)"
    r"(_(history|curve|log))?",
    re.IGNORECASE,
)
_STATE = re.compile(
    r"(model_)?optim(s|i[sz]ers?)?([_.]?(g|d|\d+))?(_states?)?(_dicts?)?|opt_states?|"
    r"(lr_?)?schedulers?(_states?)?(_dicts?)?|grad_?scaler(_states?)?(_dicts?)?|"
    r"(\w*_)?(rng|random)(_generator)?(_states?)?|callbacks?|history|metrics?|criterion|loss_fn|loss|"
    r"losses",
    re.IGNORECASE,
)
_BIAS = re.compile(r"bias|^b([_\d]|$|[hy]$)", re.IGNORECASE)


def last_part(name: str) -> str:
    """A name's last part, of those that dots and slashes divide it into."""
    return re.split(r"[./]", name)[-1]


def is_bias(name: str) -> bool:
    """Whether a name is that of a bias."""
    return bool(_BIAS.search(last_part(name)))


def is_counter(name: str) -> bool:
    """Whether a name is that of a counter, a score or a loss."""
    return bool(_COUNTED.fullmatch(last_part(name)))


def is_count(name: str, floating: bool) -> bool:
    """Whether a single number counts or scores something: a learned one has another name."""
    best = last_part(name).lower().startswith("best_")
    return not is_bias(name) and (not floating or best or is_counter(name))


def states(name: str) -> list[str]:
    """What of a path, from its beginning, is named as an optimiser's, a loss's or such a state."""
    ends = [match.start() for match in re.finditer(r"[./]|$", name)]
    return [name[:end] for end in ends if _STATE.fullmatch(last_part(name[:end]))]


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
    big_endian = order == b"big"
    content, _ = pickles.read(program, _storage)
    views = _views(content, found)
    _add_views(views, _members(archive, f"{root}data/"), found, big_endian)
    if f"{root}constants.pkl" in archive.members:  # of TorchScript
        program = archive.read(f"{root}constants.pkl", MAX_HEADER)
        constants, _ = pickles.read(program, _storage)
        if not isinstance(constants, tuple):
            raise Refused("its constants are no tuple")
        named = {f"c{i}": constant for i, constant in enumerate(constants)}
        views = _views({"CONSTANTS": named}, found, constant=True) if named else {}
        _add_views(views, _members(archive, f"{root}constants/"), found, big_endian)
    _add_cell_of_code(archive, root, found)


def _members(archive: _Archive, folder: str) -> Callable[[str], bytes]:
    """The storages in a folder, each read once."""
    members: dict[str, bytes] = {}

    def numbers(key: str) -> bytes:
        if key not in members:
            members[key] = archive.read(f"{folder}{key}")
        return members[key]

    return numbers


_CELL_OF_CODE = re.compile(rb"\btorch\.(?:_VF\.)?(rnn_tanh|rnn_relu|gru|lstm)(?:_cell)?\(")


def _add_cell_of_code(archive: _Archive, root: str, found: _Found) -> None:
    """The recurrent cell that TorchScript's code calls, where it calls one kind only."""
    called = set()
    for name in archive.members:
        if name.startswith(f"{root}code/") and name.endswith(".py"):
            called |= set(_CELL_OF_CODE.findall(archive.read(name, MAX_CODE)))
    if len(called) == 1:
        found.settings[CODE] = called.pop().decode()


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
    _add_views(_views(content, found), numbers.__getitem__, found)


def _storage(identity: object) -> _Storage:
    match identity:
        case ("storage", Name(text=text), str(key), str(), int(length)) if (
            text in _KIND_OF and 0 <= length <= MAX_BYTES
        ):
            return _Storage(_KIND_OF[text], key, length)
    raise Refused("a storage is described in a way that PyTorch does not write, or too large")


def _add_views(
    views: Mapping[str, "_View"],
    numbers: Callable[[str], bytes],
    found: _Found,
    big_endian: bool = False,
) -> None:
    """The tensors of a pickle, by the bytes of their storages."""
    left = MAX_BYTES
    for name, view in views.items():
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


def _views(content: object, found: _Found, constant: bool = False) -> dict[str, _View]:
    """The tensors in dictionaries, lists and modules, by their names.

    What has tensors nowhere in it is passed over as a whole; what has some that are not reached
    in this way is refused.  A file's constants may be none, and always have their whole path.
    """
    views: list[tuple[_Place, _View]] = []
    settings: list[tuple[_Place, str | int]] = []
    aside: list[tuple[_Place, object]] = []
    seen = set()  # a dictionary may hold itself, or one other in exponentially many ways

    def look(value: object, path: tuple[str, ...], prefix: str, depth: int) -> bool:
        """Whether there are tensors in it; in a module, names have a prefix."""
        if id(value) in seen or depth > MAX_DEPTH or not (entries := _entries(value)):
            return False
        seen.add(id(value))
        require(len(prefix) <= MAX_NAME, f"a name is longer than {MAX_NAME} characters")
        module = _is_module(value)
        attributes = _attributes(value)
        before, others, rest = len(views), [], []
        for key, entry in entries.items():
            name = prefix + key[: MAX_NAME + 1]  # which is already too long for a tensor
            view = _view(entry)
            place = _Place(path, name)
            if view is None or (key in attributes and not constant):
                others.append((place, entry, key in attributes))
            elif _may_be_weight(place, view):
                require(len(views) < MAX_TENSORS, f"it holds more than {MAX_TENSORS} tensors")
                views.append((place, view))
            else:
                rest.append((name, entry))
        for place, entry, attribute in others:
            view = _view(entry)
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
        if module:
            settings.extend((_Place(path, prefix + k), v) for k, v in _settings(value).items())
        holds = len(views) > before
        for name, entry in rest if holds or not depth else ():
            found.pass_over(str(_Place(path, name)), _kind(entry))
        return holds

    look(content, (), "", 0)
    instead = found.instead or f", but {files.printable(_kind(content)[:MAX_NAME])}"
    require(
        bool(views) or constant,
        f"it holds no dictionary of tensors, as model.state_dict() is{instead}",
    )
    _refuse_within(aside, {view for _, view in views})
    # a number or bytes beside the dictionary of the weights do not make it one of several
    several = constant or len({place.path for place, view in views if _is_array(view)}) > 1
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


def _settings(value: object) -> dict[str, str | int]:
    """What a module's attributes say of its cell."""
    state = value.state if isinstance(value, Object) else {}
    return {k: v for k in SETTINGS if isinstance(v := state.get(k), str | int)}


def _is_optimisers(value: object) -> bool:
    return isinstance(value, dict) and {"state", "param_groups"} <= value.keys()


def _beyond(value: object) -> list[object]:
    """What of an object `_entries` does not lead to."""
    if not isinstance(value, Object):
        return []
    rest = value.items if _is_module(value) else value.state
    return [value.arguments, value.more, rest]


def _refuse_within(aside: list[tuple[_Place, object]], known: set[_View]) -> None:
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
                view = _view(value)
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


def _view(value: object) -> _View | None:
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
        case (_Storage() as storage, int(offset), tuple(shape), tuple(stride), *rest):
            _require_plain(rest[1:])
            return _View(storage, offset, shape, stride)
    raise Refused("its pickle makes a tensor in a way that PyTorch does not")


_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")


def _require_plain(more: Iterable[object]) -> None:
    """Refuse a tensor whose numbers are not those of its storage: hooks, and bits set on it."""
    for table in more:
        items = table.items if isinstance(table, Object) else table
        # `neg` and `conj` say that the numbers are stored with another sign
        plain = items is None or (isinstance(items, dict) and not any(items.values()))
        require(plain, "a tensor has hooks, or bits such as neg or conj: save a clone of it")


def _may_be_weight(place: _Place, view: _View) -> bool:
    """A number that counts something is none, nor is the state of a random generator."""
    kind = view.storage.kind
    if not view.shape:
        return not is_count(place.name, kind in ("f8", "f4", "f2", "bfloat16"))
    return not (_is_bytes(view) and is_of_generator(str(place), math.prod(view.shape)))


def is_of_generator(name: str, size: int) -> bool:
    """Whether so many bytes in a row are the state of a random generator."""
    named = re.search(
        r"(^|[._/])(\w*rng\w*|\w*random\w*|(\w*_)?states?)([._/]|$)", name, re.IGNORECASE
    )
    return size in _GENERATORS or bool(named)


_GENERATORS = (16, 816, 5056)  # bytes of PyTorch's, of CUDA and of the processor


def _is_bytes(view: _View) -> bool:
    return view.storage.kind == "u1" and len(view.shape) == 1


def _is_array(view: _View) -> bool:
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
            view = _view(value)
            return name if view is None else "bytes" if view.shape else "a number"
        case Name(text=text):
            return f"the name {text}"
    kinds = {str: "a text", bytes: "bytes", list: "a list", tuple: "a tuple", _Storage: "a storage"}
    return kinds.get(type(value), type(value).__name__)
