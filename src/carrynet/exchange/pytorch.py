"""PyTorch's .pt and .pth, without PyTorch: how its files hold pickles and, beside them, numbers.

A zip file since PyTorch 1.6, TorchScript's too; five pickles and the numbers before.  What the
pickles hold is the business of `state_dicts`, what TorchScript's code computes of `torchscript`.
"""

import math
import struct
from collections.abc import Callable, Mapping

import numpy as np

from carrynet.errors import shorten
from carrynet.exchange import pickles, torchscript
from carrynet.exchange.archive import Archive
from carrynet.exchange.found import KIND_OF, MAX_BYTES, MAX_HEADER, MAX_NAME, Found, stored, widened
from carrynet.exchange.pickles import Name, Refused, require
from carrynet.exchange.state_dicts import Storage, View, view_of, views_of
from carrynet.nets.arrays import Array

MAX_CODE = 2**19  # bytes of TorchScript's code


def read_archive(archive: Archive, root: str, found: Found) -> None:
    """A file of PyTorch since 1.6, or of TorchScript: its members under `root`."""
    found.listed = True
    program = archive.read(f"{root}data.pkl", MAX_HEADER)
    order = archive.read(f"{root}byteorder") if f"{root}byteorder" in archive.members else b"little"
    require(order in (b"little", b"big"), "its byte order is neither little nor big")
    big_endian = order == b"big"
    content, _ = pickles.read(program, _storage)
    arrays = _arrays(views_of(content, found), _members(archive, f"{root}data/"), big_endian)
    for name, (_, array) in arrays.items():
        found.add(name, array)
    code = _code(archive, root)
    if not code:
        require(
            f"{root}bytecode.pkl" not in archive.members,
            f"its code is bytecode: {torchscript.INSTEAD}",
        )
        return
    constants: object = ()
    if f"{root}constants.pkl" in archive.members:
        constants, _ = pickles.read(archive.read(f"{root}constants.pkl", MAX_HEADER), _storage)
    require(isinstance(constants, tuple), "its constants are no tuple")
    assert isinstance(constants, tuple)
    views = {str(k): view for k, each in enumerate(constants) if (view := view_of(each))}
    numbers = _arrays(views, _members(archive, f"{root}constants/"), big_endian)
    values = [numbers[str(k)][1] if str(k) in views else each for k, each in enumerate(constants)]
    torchscript.follow(code, content, dict(arrays.values()), values, found)


def _code(archive: Archive, root: str) -> dict[str, bytes]:
    """The code of a TorchScript archive, by the names of its modules."""
    found, left = {}, MAX_CODE
    for name in archive.members:
        if name.startswith(f"{root}code/") and name.endswith(".py"):
            left -= archive.members[name].file_size
            require(left >= 0, f"its code has more than {MAX_CODE:,} bytes")
            found[name[len(root) + 5 : -3].replace("/", ".")] = archive.read(name)
    return found


def _members(archive: Archive, folder: str) -> Callable[[str], bytes]:
    """The storages in a folder, each read once."""
    members: dict[str, bytes] = {}

    def numbers(key: str) -> bytes:
        if key not in members:
            members[key] = archive.read(f"{folder}{key}")
        return members[key]

    return numbers


LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # the pickled number that old files begin with


def read_legacy(data: bytes, found: Found) -> None:
    """A file of PyTorch before 1.6: five pickles and, little-endian, the storages.

    The pickles are a number, a version, facts about the machine, the content, and the keys of
    the storages; of a storage there is its length as int64, and then its numbers.
    """
    found.listed = True
    position = 0
    storages: dict[str, Storage] = {}

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
        position = start + length * stored(storage.kind).itemsize
        numbers[key] = data[start:position]
    for name, (_, array) in _arrays(views_of(content, found), numbers.__getitem__).items():
        found.add(name, array)


def _storage(identity: object) -> Storage:
    match identity:
        case ("storage", Name(text=text), str(key), str(), int(length)) if (
            text in KIND_OF and 0 <= length <= MAX_BYTES
        ):
            return Storage(KIND_OF[text], key, length)
    raise Refused("a storage is described in a way that PyTorch does not write, or too large")


def _arrays(
    views: Mapping[str, View],
    numbers: Callable[[str], bytes],
    big_endian: bool = False,
) -> dict[str, tuple[View, Array]]:
    """The tensors of a pickle, by the bytes of their storages."""
    found = {}
    left = MAX_BYTES
    for name, view in views.items():
        storage, dtype = view.storage, stored(view.storage.kind, big_endian)
        left -= math.prod(view.shape) * dtype.itemsize
        require(left >= 0, f"its tensors take more than {MAX_BYTES >> 20} MB")
        buffer = numbers(storage.key)
        require(
            len(buffer) == storage.length * dtype.itemsize,
            f"the storage of {shorten(name[:MAX_NAME])} does not have the size that it claims",
        )
        if 0 in view.shape:
            found[name] = view, widened(np.empty(view.shape, dtype), storage.kind)
            continue
        array = np.ndarray(  # which checks once more that it stays inside its buffer
            view.shape,
            dtype,
            buffer=buffer,
            offset=view.offset * dtype.itemsize,
            strides=tuple(s * dtype.itemsize for s in view.stride),
        )
        found[name] = view, widened(array, storage.kind)
    return found
