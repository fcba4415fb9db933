"""What a reader of somebody's file has come upon: tensors by name, and what is no weight.

Within bounds, and as numbers that NumPy has: readers of all kinds of file fill a `Found`.
"""

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carrynet import files
from carrynet.errors import shorten
from carrynet.exchange.names import is_count
from carrynet.exchange.pickles import require

if TYPE_CHECKING:
    from collections.abc import Mapping

    from carrynet.exchange.layered import Layered

Tensors = dict[str, NDArray[Any]]

MAX_BYTES = 64 * 2**20
"""The largest file that is read, and the most that its tensors may take together."""

MAX_TENSORS = 1000
MAX_NAME = 256  # characters
MAX_HEADER = 2**20  # bytes of a pickle, or of the header of a safetensors file
MAX_PASSED_OVER = 100  # that are named


class Found:
    """What a reader has come upon so far."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.passed_over: list[str] = []
        self.facts: Mapping[str, Any] = {}
        self.task = ""
        self.settings: dict[str, str | float] = {}
        self.layers: Layered | None = None
        self.listed = False  #: whether tensors come in the order in which modules were made
        self.notes: list[str] = []
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

    def exported(self, said: object) -> None:
        """What a file says of itself: of carrynet's exports (`leaving.about`) the task counts."""
        if isinstance(said, dict) and "carrynet" in said and isinstance(said.get("task"), str):
            self.task = said["task"]

    @property
    def instead(self) -> str:
        """What a file without tensors has, for a message."""
        numbers = [
            f"{shorten(name)} (a number)" for name in self.tensors
        ]  # where there are no others
        some = [*self.passed_over, *numbers][:3]
        return f", but {', '.join(some)}" if some else ""


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
KIND_OF = MappingProxyType({name: kind for kind, names in _KINDS.items() for name in names})


def stored(kind: str, big_endian: bool = False) -> np.dtype[Any]:
    """The type of the numbers of a kind as they lie in a file."""
    return np.dtype("u2" if kind == "bfloat16" else kind).newbyteorder(">" if big_endian else "<")


def widened(array: NDArray[Any], kind: str = "") -> NDArray[Any]:
    """A copy in the machine's byte order, half precision widened."""
    if kind == "bfloat16":
        return np.asarray(array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32 if array.dtype == np.float16 else array.dtype.newbyteorder("="))
