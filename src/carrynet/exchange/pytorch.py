"""PyTorch's .pt and .pth, without PyTorch: how its files hold pickles and, beside them, numbers.

A zip file since PyTorch 1.6, TorchScript's too; five pickles and the numbers before.  What the
pickles hold is the business of `state_dicts`.
"""

import math
import re
import struct
from collections.abc import Callable, Mapping

import numpy as np

from carrynet.errors import shorten
from carrynet.exchange import pickles
from carrynet.exchange.archive import Archive
from carrynet.exchange.found import KIND_OF, MAX_BYTES, MAX_HEADER, MAX_NAME, Found, stored, widened
from carrynet.exchange.pickles import Name, Refused, require
from carrynet.exchange.state_dicts import Storage, View, views_of

MAX_CODE = 2**22  # bytes of a member of TorchScript's

CODE = "code of TorchScript"
"""The setting that says which recurrent cell TorchScript's code calls: `rnn_tanh`."""


def read_archive(archive: Archive, root: str, found: Found) -> None:
    """A file of PyTorch since 1.6, or of TorchScript: its members under `root`."""
    found.listed = True
    program = archive.read(f"{root}data.pkl", MAX_HEADER)
    order = archive.read(f"{root}byteorder") if f"{root}byteorder" in archive.members else b"little"
    require(order in (b"little", b"big"), "its byte order is neither little nor big")
    big_endian = order == b"big"
    content, _ = pickles.read(program, _storage)
    views = views_of(content, found)
    _add_views(views, _members(archive, f"{root}data/"), found, big_endian)
    if f"{root}constants.pkl" in archive.members:  # of TorchScript
        program = archive.read(f"{root}constants.pkl", MAX_HEADER)
        constants, _ = pickles.read(program, _storage)
        if not isinstance(constants, tuple):
            raise Refused("its constants are no tuple")
        named = {f"c{i}": constant for i, constant in enumerate(constants)}
        views = views_of({"CONSTANTS": named}, found, constant=True) if named else {}
        _add_views(views, _members(archive, f"{root}constants/"), found, big_endian)
    _add_cell_of_code(archive, root, found)


def _members(archive: Archive, folder: str) -> Callable[[str], bytes]:
    """The storages in a folder, each read once."""
    members: dict[str, bytes] = {}

    def numbers(key: str) -> bytes:
        if key not in members:
            members[key] = archive.read(f"{folder}{key}")
        return members[key]

    return numbers


_BEYOND = re.compile(
    rb"\btorch\.(gelu|elu|selu|celu|silu|mish|leaky_relu|prelu|softplus|hardtanh|hardswish|hardsigmoid"
    rb"|layer_norm|batch_norm|group_norm|instance_norm|neg|sin|cos|exp|log|abs|clamp|pow|sqrt|flip)_?\("
)
"""What TorchScript's code may call that no layer of a network here does."""

_CELL_OF_CODE = re.compile(rb"\btorch\.(?:_VF\.)?(rnn_tanh|rnn_relu|gru|lstm)(?:_cell)?\(")


def _add_cell_of_code(archive: Archive, root: str, found: Found) -> None:
    """The recurrent cell that TorchScript's code calls, where it calls one kind only."""
    called = set()
    for name in archive.members:
        if name.startswith(f"{root}code/") and name.endswith(".py"):
            code = archive.read(name, MAX_CODE)
            called |= set(_CELL_OF_CODE.findall(code))
            if beyond := _BEYOND.search(code):
                raise Refused(
                    f"its code calls torch.{beyond[1].decode()}, which no layer here does"
                )
    if len(called) == 1:
        found.settings[CODE] = called.pop().decode()


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
    _add_views(views_of(content, found), numbers.__getitem__, found)


def _storage(identity: object) -> Storage:
    match identity:
        case ("storage", Name(text=text), str(key), str(), int(length)) if (
            text in KIND_OF and 0 <= length <= MAX_BYTES
        ):
            return Storage(KIND_OF[text], key, length)
    raise Refused("a storage is described in a way that PyTorch does not write, or too large")


def _add_views(
    views: Mapping[str, "View"],
    numbers: Callable[[str], bytes],
    found: Found,
    big_endian: bool = False,
) -> None:
    """The tensors of a pickle, by the bytes of their storages."""
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
            found.add(name, widened(np.empty(view.shape, dtype), storage.kind))
            continue
        array = np.ndarray(  # which checks once more that it stays inside its buffer
            view.shape,
            dtype,
            buffer=buffer,
            offset=view.offset * dtype.itemsize,
            strides=tuple(s * dtype.itemsize for s in view.stride),
        )
        found.add(name, widened(array, storage.kind))
