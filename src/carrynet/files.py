"""Files that are whole or absent, and errors that are one line and name the file.

A file is written under another name, brought to the disk, and renamed.  What the system
refuses, and whatever is wrong with a file's contents, becomes a `RunError`.  Arrays are
kept as safetensors; nothing is ever unpickled.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from carrynet.cells import Array
from carrynet.errors import CarrynetError, RunError


def guard(place: object, action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Do something to the disk; what the system refuses becomes one line."""
    try:
        return action(*arguments, **options)
    except OSError as error:
        raise RunError(f"cannot write {place}: {error.strerror or error}") from None


def write(path: Path, content: str | bytes) -> None:
    """Write a whole file or leave what was there."""
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}")

    def action() -> None:
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    guard(path, action)


def lives(process: int) -> bool:
    """Whether a process lives, as far as can be told."""
    if os.name == "nt":
        return True  # there, to ask is to kill
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it lives, and is somebody else's
    with suppress(OSError, IndexError):
        # on Linux: killed, and nobody has asked how it ended, as in many a container
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return True


def json_lines(documents: Iterable[Mapping[str, Any]]) -> str:
    """Documents as JSON, one on each line."""
    return "".join(json.dumps(document) + "\n" for document in documents)


def json_text(document: Mapping[str, Any]) -> str:
    """A document as readable JSON; numbers that JSON has not are refused."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as JSON, whole or not at all."""
    write(path, json_text(document))


def tensor_bytes(arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> bytes:
    """Arrays, and facts about them, as safetensors."""
    # One key of metadata: safetensors writes several in random order, and equal runs are to
    # have equal files.
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return safetensors.numpy.save(contiguous, {"carrynet": json.dumps(facts)})


def write_tensors(path: Path, arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
    """Write arrays, and facts about them, as safetensors."""
    write(path, tensor_bytes(arrays, facts))


def sha256(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def first_line(error: object) -> str:
    """The first line of what an error says, or its kind."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def damaged(path: object, error: object) -> RunError:
    """An error that names a file and the first line of what is wrong with it."""
    return RunError(f"{path} is damaged or not carrynet's: {first_line(error)}")


@contextmanager
def reading(path: object) -> Iterator[None]:
    """Whatever can go wrong with a file's contents becomes one line that names it."""
    try:
        yield
    except RunError:
        raise
    except (
        *(CarrynetError, safetensors.SafetensorError, ValueError, KeyError, TypeError),
        *(AttributeError, IndexError, OverflowError, RecursionError),
    ) as error:
        raise damaged(path, error) from None


def require(condition: bool, what: str) -> None:
    """Refuse a file's contents; for use within `reading`."""
    if not condition:
        raise ValueError(what)


def read_bytes(path: Path) -> bytes:
    """The contents of a file that a run must have."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path.parent} is damaged: it has no {path.name}") from None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None


def read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a safetensors file, and the facts that carrynet wrote beside them."""
    return parse_tensors(read_bytes(path), path)


def parse_tensors(data: bytes, path: object) -> tuple[dict[str, Array], dict[str, Any]]:
    """See `read_tensors`; errors name the path that the data are from."""
    with reading(path):
        tensors = safetensors.numpy.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = json.loads(header["__metadata__"]["carrynet"])
        require(isinstance(facts, dict), "its metadata are not carrynet's")
        return tensors, facts
