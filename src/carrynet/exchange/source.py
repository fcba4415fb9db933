"""Where a network came from that carrynet did not train: as it was read, and as runs keep it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from carrynet.files import brief
from carrynet.nets.network import Network


@dataclass(frozen=True, eq=False)
class Reading:
    """A network as a file was read, and what was made of the file."""

    network: Network
    how: str  #: which tensors are what
    named: str = ""  #: its activation or its cell, where `how` does not say
    passed: tuple[str, ...] = ()  #: tensors that are no weights
    assumed: tuple[str, ...] = ()  #: what neither the owner nor the file has said
    notes: Mapping[str, str] = field(default_factory=dict)  #: for people; empty ones are not told


@dataclass(frozen=True)
class Source:
    """Where a network that was trained elsewhere came from, and what was made of the file."""

    file: str
    sha256: str
    mapping: str
    left_out: tuple[str, ...]
    assumed: tuple[str, ...]  #: what neither the file nor the owner has said

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, document: Any) -> "Source":
        """The inverse of `to_json`.  Raises `ValueError`, `KeyError` or `TypeError`."""
        if not isinstance(document, dict) or document.keys() - {f.name for f in fields(cls)}:
            raise ValueError("a source has file, sha256, mapping, left_out and assumed")
        texts = {key: document[key] for key in ("file", "sha256", "mapping")}
        lists = {key: document[key] for key in ("left_out", "assumed")}
        for key, value in texts.items():
            if type(value) is not str:
                raise TypeError(f"{key} of a source must be text")
        for key, value in lists.items():
            if type(value) is not list or not all(type(each) is str for each in value):
                raise TypeError(f"{key} of a source must be a list of texts")
        if not re.fullmatch("[0-9a-f]{64}", texts["sha256"]):
            raise ValueError("sha256 of a source must be 64 hexadecimal digits")
        left_out, assumed = (tuple(value) for value in lists.values())
        return cls(**texts, left_out=left_out, assumed=assumed)

    def lines(self, most: int = 400) -> list[str]:
        """For people: a line for each thing, without anything that controls a terminal."""
        rows = {
            "file": self.file,
            "SHA-256": self.sha256,
            "mapping": self.mapping,
            "left out": ", ".join(self.left_out) or "nothing",
            "assumed": ", ".join(self.assumed) or "nothing",
        }
        return [f"{key:<12}{brief(value, most)}" for key, value in rows.items()]

    def to_markdown(self) -> str:
        """A block of code: in it neither HTML nor Markdown is anything but text."""
        return "\n".join(f"    {line}" for line in self.lines())
