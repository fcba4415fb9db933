"""HDF5 files that are taken for hostile: arrays of floats in groups, and a few texts beside them.

What h5py writes unless it is asked for more, which is all that Keras uses: groups as trees of
names, arrays that lie in one piece.  HDF5's own library is not used: damaged files make it loop
without end, or worse, and it follows links into other files.

    superblock -> root group -> tree of names -> object headers, each a list of messages
    a group's messages say where its names are; an array's, its shape, its numbers and their place

Left out, and refused where it is met: arrays in pieces, compressed or in other files, links, and
what libver='latest' writes.
"""

import math
import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrynet.errors import shorten
from carrynet.exchange.found import MAX_BYTES, MAX_NAME, MAX_TENSORS, Found, Tensors, widened
from carrynet.exchange.pickles import Refused, require

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_STEPS = 100_000  # parts of the file that are looked at
MAX_READ = 4 * MAX_BYTES  # that these take together: they may overlap
MAX_DEPTH = 16  # of groups in groups; a group may hold itself
MAX_TEXT = 2**20

_NOWHERE = 2**64 - 1
_NEWER = (
    "it is written in HDF5's newer format: h5py.File(FILE, 'w', libver='earliest') writes the other"
)

# Messages of an object's header
_SPACE, _TYPE, _LAYOUT, _ATTRIBUTE, _MORE, _NAMES = 0x01, 0x03, 0x08, 0x0C, 0x10, 0x11
_LINK_INFO, _LINK, _FILES, _FILTERS, _DENSE = 0x02, 0x06, 0x07, 0x0B, 0x15


class Hdf5:
    """What a file holds."""

    def __init__(self) -> None:
        self.arrays: Tensors = {}  #: by path, without a slash before it
        self.names: dict[str, str] = {}  #: what a group says that it is called, by its path
        self.config = ""  #: that of a model in Keras's older format

    def under(self, path: str) -> list[str]:
        """The paths of the arrays in a group, and in those within it."""
        return [name for name in self.arrays if name.startswith(f"{path}/")]


def read_hdf5(data: bytes, found: Found) -> Hdf5:
    """All floats of a file, half precision widened; what cannot be a weight is passed over.

    Raises `Refused`, and `struct.error` or `IndexError` for what points outside the file.
    """
    file = _File(data)
    contents = Hdf5()
    left = MAX_BYTES
    groups = [("", file.root(), 0)]
    while groups:
        path, group, depth = groups.pop()
        require(depth <= MAX_DEPTH, "its groups are nested too deeply")
        if not path:
            contents.config = file.text(group, "model_config")
        if called := file.text(group, "name"):
            contents.names[path] = called
        for key, header in file.members(group):
            name = f"{path}/{key}" if path else key
            require(len(name) <= 4 * MAX_NAME, "its groups have long names")
            if header.has(_NAMES):
                if path or not key.startswith("optimizer"):
                    groups.append((name, header, depth + 1))
                else:
                    found.pass_over(key, "an optimiser's state")
                continue
            header.refuse_newer()
            array = file.array(header, name)
            if array is None:
                found.pass_over(name, "no floats")
                continue
            left -= array.size * max(array.itemsize, 4)
            require(left >= 0, f"its arrays take more than {MAX_BYTES >> 20} MB")
            require(len(contents.arrays) < MAX_TENSORS, f"it holds more than {MAX_TENSORS} arrays")
            require(name not in contents.arrays, f"it holds {shorten(name)} twice")
            contents.arrays[name] = widened(array)
    return contents


class _Message(NamedTuple):
    kind: int
    content: bytes


class _Header(NamedTuple):
    """What there is at one address: a group, an array."""

    messages: tuple[_Message, ...]

    def has(self, kind: int) -> bool:
        return any(message.kind == kind for message in self.messages)

    def refuse_newer(self) -> None:
        """Refuse a group of the newer kind, which links into other files are in, too."""
        for kind, content in self.messages:
            if kind != _LINK:
                continue
            _, flags, *rest = content
            place = 2 + (flags >> 3 & 1) + 8 * (flags >> 2 & 1) + (flags >> 4 & 1)
            width = 1 << (flags & 3)
            length = int.from_bytes(content[place : place + width], "little")
            name = content[place + width :][:length][:MAX_NAME].decode()
            if flags & 8 and rest[0] != 0:  # not the place of an object in this file
                other = " into another file" if rest[0] == 64 else ""
                raise Refused(f"{shorten(name)} is a link{other}")
        require(not self.has(_LINK_INFO) and not self.has(_LINK), _NEWER)

    def only(self, kind: int, name: str) -> bytes:
        found = [message.content for message in self.messages if message.kind == kind]
        require(len(found) == 1, f"{shorten(name)} is neither an array nor a group")
        return found[0]


class _File:
    """Bytes, of which every part is looked at within bounds."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._steps = self._read = 0

    def _at(self, place: int, length: int) -> bytes:
        """Some bytes that are there, or the file is damaged."""
        self._steps += 1
        self._read += length
        few = self._steps <= MAX_STEPS and self._read <= MAX_READ
        require(few, f"it has more than {MAX_STEPS:,} parts, or parts in parts")
        require(place + length <= len(self._data), "it is damaged: a part of it is outside")
        return self._data[place : place + length]

    def _signed(self, place: int, signature: bytes, layout: str) -> tuple[Any, ...]:
        """The numbers that follow on the four letters that a part begins with."""
        require(self._at(place, 4) == signature, "it is damaged: a part is not what it should be")
        return struct.unpack(layout, self._at(place + 4, struct.calcsize(layout)))

    def root(self) -> _Header:
        """The group that all others are in."""
        require(self._at(0, 8) == SIGNATURE, "it is no HDF5")
        version, *_, offsets, lengths, _ = self._at(8, 8)
        require(version in (0, 1), _NEWER)
        require(offsets == lengths == 8, "it has addresses of an unusual length")
        start = 24 + 4 * version
        base, _, _, driver = struct.unpack("<4Q", self._at(start, 32))
        require(base == 0 and driver == _NOWHERE, "it is in several files, or not from its start")
        _, address = struct.unpack("<2Q", self._at(start + 32, 16))
        return self._header(address)

    def _header(self, address: int) -> _Header:
        version, _, count, _, size = struct.unpack("<BBHII", self._at(address, 12))
        require(version == 1, _NEWER)
        blocks = [(address + 16, size)]
        messages: list[_Message] = []
        while blocks:
            place, length = blocks.pop(0)
            end = place + length
            while place + 8 <= end and len(messages) < count:
                kind, size, flags, _ = struct.unpack("<HHB3s", self._at(place, 8))
                content = self._at(place + 8, size)
                require(place + 8 + size <= end, "it is damaged: a header is too short")
                if kind == _MORE:
                    blocks.append(struct.unpack("<2Q", content[:16]))
                shared = flags & 2 and kind in (_SPACE, _TYPE, _LAYOUT, _FILTERS)
                require(not shared, "it has types that are shared, which is not accepted")
                messages.append(_Message(kind, content))
                place += 8 + size
        return _Header(tuple(messages))

    # Groups --------------------------------------------------------------------------

    def members(self, group: _Header) -> Iterator[tuple[str, _Header]]:
        """What is in a group, by name."""
        group.refuse_newer()
        require(group.has(_NAMES), _NEWER)
        tree, heap = struct.unpack("<2Q", group.only(_NAMES, "its root")[:16])
        _, size, _, start = self._signed(heap, b"HEAP", "<B3x3Q")
        names = self._at(start, size)
        nodes, seen = [(tree, -1)], set()
        while nodes:
            address, wanted = nodes.pop()
            require(address not in seen, "it is damaged: a group's tree holds itself")
            seen.add(address)
            kind, level, used = self._signed(address, b"TREE", "<BBH")
            require(kind == 0 and wanted in (-1, level), "it is damaged: a group's tree is none")
            # keys and children take turns, after the addresses of the neighbours
            entries = struct.unpack(f"<{2 * used + 1}Q", self._at(address + 24, 16 * used + 8))
            for child in reversed(entries[1::2]):
                if level:
                    nodes.append((child, level - 1))
                else:
                    yield from self._leaf(child, names)

    def _leaf(self, address: int, names: bytes) -> Iterator[tuple[str, _Header]]:
        _, count = self._signed(address, b"SNOD", "<BxH")
        for k in range(count):
            place, header, cached = struct.unpack("<2QI", self._at(address + 8 + 40 * k, 20))
            end = names.find(b"\0", place)
            require(0 <= end - place <= MAX_NAME, "it is damaged: a name does not end")
            name = names[place:end].decode()
            require(cached != 2, f"{shorten(name)} is a link")
            yield name, self._header(header)

    # Arrays --------------------------------------------------------------------------

    def array(self, header: _Header, name: str) -> NDArray[Any] | None:
        """The numbers of an array; None where they are no floats."""
        what = shorten(name)
        shape = self._shape(header.only(_SPACE, name), what)
        kind = header.only(_TYPE, name)
        require(not header.has(_FILES), f"{what} lies in another file")
        require(not header.has(_FILTERS), f"{what} is compressed, which is not accepted")
        if kind[0] & 15 in _NO_WEIGHTS:
            return None
        dtype = _float(kind, what)
        size = math.prod(shape) * dtype.itemsize
        require(size <= MAX_BYTES, f"its arrays take more than {MAX_BYTES >> 20} MB")
        version, place = header.only(_LAYOUT, name)[:2]
        content = header.only(_LAYOUT, name)[2:]
        require(version in (3, 4), f"{what} is laid out in an unusual way")
        if place == 0:  # in the header itself
            data = content[2 : 2 + size]
        else:
            require(place == 1, f"{what} is in pieces or in other files, which is not accepted")
            address, _ = struct.unpack("<2Q", content[:16])
            require(address != _NOWHERE, f"{what} has no numbers")
            data = self._at(address, size)
        require(len(data) == size, f"{what} does not have the size that it claims")
        return np.frombuffer(data, dtype).reshape(shape)

    def _shape(self, space: bytes, what: str) -> tuple[int, ...]:
        version, rank = space[:2]
        require(version in (1, 2) and rank <= 8, f"{what} has no shape")
        require(version == 1 or space[3] != 2, f"{what} has no shape")
        start = 8 if version == 1 else 4
        return struct.unpack(f"<{rank}Q", space[start : start + 8 * rank])

    # Texts ---------------------------------------------------------------------------

    def text(self, header: _Header, name: str) -> str:
        """An attribute that is one text; '' where there is none."""
        require(not header.has(_DENSE), _NEWER)
        for message in header.messages:
            if message.kind != _ATTRIBUTE:
                continue
            called, kind, space, value = _attribute(message.content)
            if called != name.encode():
                continue
            require(math.prod(self._shape(space, name)) == 1, f"its attribute {name} is no text")
            if kind[0] & 15 == 3:  # of so many letters
                text = value[: struct.unpack("<I", kind[4:8])[0]].rstrip(b"\0")
            else:
                require(kind[0] & 15 == 9 and kind[1] & 15 == 1, f"its attribute {name} is no text")
                text = self._from_heap(*struct.unpack("<IQI", value[:16]))
            require(len(text) <= MAX_TEXT, f"its attribute {name} is too long")
            return text.decode()
        return ""

    def _from_heap(self, length: int, address: int, wanted: int) -> bytes:
        """A text of any length: one of the objects of a heap, which follow on each other."""
        _, size = self._signed(address, b"GCOL", "<B3xQ")
        place = address + 16
        while place + 16 <= address + size:
            index, taken = struct.unpack("<H6xQ", self._at(place, 16))
            if index == wanted:
                require(length <= taken, "it is damaged: a text is longer than its place")
                return self._at(place + 16, length)
            require(index > 0, "it is damaged: a text is nowhere")
            place += 16 + -(-taken // 8) * 8
        raise Refused("it is damaged: a text is nowhere")


# Classes of types: whole numbers, texts, bit fields, and texts or lists of any length
_NO_WEIGHTS = (0, 3, 4, 9)
# Where the sign, the exponent and the fraction are, how long these are, and what is added
_FLOATS = {
    2: (15, 0, 16, 10, 5, 0, 10, 15),
    4: (31, 0, 32, 23, 8, 0, 23, 127),
    8: (63, 0, 64, 52, 11, 0, 52, 1023),
}


def _float(kind: bytes, what: str) -> np.dtype[Any]:
    """NumPy's type for one of floats."""
    require(kind[0] & 15 == 1, f"{what} holds numbers of an unusual kind")
    order, sign, _, size = struct.unpack("<BBBI", kind[1:8])
    parts = struct.unpack("<HHBBBBI", kind[8:20])
    # the fraction's first digit is implied
    usual = order & 0b11111110 == 0b100000 and (sign, *parts) == _FLOATS.get(size)
    require(usual, f"{what} holds floats of an unusual kind")
    return np.dtype(f"{'>' if order & 1 else '<'}f{size}")


def _attribute(content: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """The name of an attribute, its type, its shape, and what it is."""
    version, flags, *lengths = struct.unpack("<BBHHH", content[:8])
    require(version in (1, 2, 3) and (version == 1 or not flags), "it has unusual attributes")
    place = 9 if version == 3 else 8
    parts = []
    for length in lengths:
        parts.append(content[place : place + length])
        place += -(-length // 8) * 8 if version == 1 else length
    name, kind, space = parts
    return re.sub(rb"\0.*", b"", name, flags=re.DOTALL), kind, space, content[place:]
