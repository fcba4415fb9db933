"""Networks on their way out, in the formats of other programs.

    onnx          what every runtime reads; of any cell, as operators or as a scan     `to_onnx`
    pytorch       a state dict of nn.RNN, nn.GRU, nn.LSTM                              `to_pytorch`
    keras         a model of Keras's layers                                            `to_keras`
    safetensors   carrynet's own file, bit for bit as runs have it
    c             one header, of any cell                                              `to_c`

Each says what is known of the network (`leaving`).  A cell that a format has not is refused in
one line; nothing is approximated.
"""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from carrynet import files
from carrynet.errors import InputError, shorten, unknown
from carrynet.exchange import to_c, to_keras, to_onnx, to_pytorch
from carrynet.exchange.formats import FORMATS
from carrynet.exchange.leaving import Standing, Written, about
from carrynet.nets.network import Network

Writer = Callable[[Network, Path, Mapping[str, str]], Written]
"""From the network, the file that is to be written, and what is to be said of it."""


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    path: Path
    format: str
    sha256: str
    size: int  #: bytes
    use: tuple[str, ...]  #: lines of code that use it
    sizes: Mapping[str, int]  #: bytes by what they are for, of C
    about: Mapping[str, str]  #: what the file says of the network

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "file": str(self.path),
            "format": self.format,
            "sha256": self.sha256,
            "bytes": self.size,
            "use": list(self.use),
            "sizes": dict(self.sizes) or None,
            "about": dict(self.about),
        }

    def __str__(self) -> str:
        rows = [f"wrote       {files.printable(self.path)}, {self.size:,} bytes"]
        rows.append(f"sha256      {self.sha256}")
        known = self.about["claim"]
        if self.about["certificate_sha256"]:
            known = "for words of every length, by the claim that is inside"
        rows.append(f"{self.about['verdict']:<11} {known}")
        if self.about["certificate_sha256"]:
            rows.append(f"{'':12}certificate sha256 {self.about['certificate_sha256']}")
        if self.sizes:
            sizes = ", ".join(f"{what} {size:,}" for what, size in self.sizes.items())
            rows.append(f"bytes       {sizes}")
        rows += [f"{'' if i else 'use':<12}{line}" for i, line in enumerate(self.use)]
        return "\n".join(rows)


def _own(network: Network, file: Path, facts: Mapping[str, str]) -> Written:
    """Carrynet's own file, with what is to be said as one more of its facts."""
    said = {**files.MODEL, **network.about, files.EXPORTED: dict(facts)}
    return Written(
        files.tensor_bytes(network.weights, said), (f"carrynet import {shlex.quote(str(file))}",)
    )


_WRITERS: MappingProxyType[str, tuple[Writer, str]] = MappingProxyType(
    {
        "onnx": (to_onnx.written, to_onnx.ARITHMETIC),
        "pytorch": (to_pytorch.written, to_pytorch.ARITHMETIC),
        "keras": (to_keras.written, to_keras.ARITHMETIC),
        "safetensors": (_own, "The file holds these weights bit for bit."),
        "c": (to_c.written, to_c.ARITHMETIC),
    }
)
"""By format: what writes it, and what its arithmetic is like."""


def export(
    network: Network, to: str, out: Path, standing: Standing, *, force: bool = False
) -> Exported:
    """Write a network in a format.

    Raises `InputError` for another format, for a network that it has no words for, and for a file
    that is there, unless `force`; `RunError` where it cannot be written.
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    if os.path.lexists(out) and not force:
        raise InputError(
            f"{shorten(str(out))} exists: choose another --out, or replace it by --force"
        )
    writer, arithmetic = _WRITERS[to]
    facts = about(network, standing, arithmetic)
    made = writer(network, out, facts)
    files.write(out, made.data)
    return Exported(out, to, files.sha256(made.data), len(made.data), made.use, made.sizes, facts)
