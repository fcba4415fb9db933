"""Zip files that are taken for hostile."""

import io
import zipfile
from collections import Counter

from carrynet.errors import shorten
from carrynet.exchange.found import MAX_BYTES
from carrynet.exchange.pickles import require

MAX_MEMBERS = 10_000  # of a zip file


class Archive:
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
            f"member {shorten(name)} unpacks to too much: at most {most:,} bytes, "
            f"and {MAX_BYTES:,} in all, are accepted",
        )
        with self._zip.open(entry) as member:
            # with a size, because without one it inflates beyond what the entry claims
            content = member.read(entry.file_size)
        require(len(content) == entry.file_size, f"member {shorten(name)} is cut short")
        return content
