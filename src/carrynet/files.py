"""Files that are whole or absent, and input that is bounded; errors are one line and name the file.

A file is written under another name, brought to the disk, and renamed (`locks`: who may write, and
several at once).  Only regular files are read, and only up to a limit (`contents`); in JSON
and TOML no number is longer than `MOST_DIGITS`, since to convert one takes quadratic time.
What the system refuses, and whatever is wrong with a file's contents, becomes a `RunError`.
Arrays are kept as safetensors; nothing is ever unpickled.

NumPy and safetensors are imported where they are needed: recipes are read without them.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carrynet.errors import CarrynetError, RunError, shorten

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


MOST_BYTES = 64 * 2**20
"""The largest file that is read where no other limit is given."""
MOST_TEXT = 2**20
"""The largest file of settings that is read: recipes, plans, a run's configuration."""
MOST_DIGITS = 10_000
"""The longest number in JSON or TOML that is read."""
MOST_VALUES = 4_000_000
"""The most numbers, texts, lists and tables in JSON that is read; each may take 100 bytes."""


def guard(place: object, action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Do something to the disk; what the system refuses becomes one line."""
    try:
        return action(*arguments, **options)
    except OSError as error:
        raise RunError(f"cannot write {place}: {error.strerror or error}") from None


# Writing -----------------------------------------------------------------------------


def write(path: Path, content: str | bytes) -> None:
    """Write a whole file or leave what was there.

    Where a link leads, the file there is written; into what is no file, such as a device, it
    goes as it is.
    """
    # names of files may have bytes that are no text; their stand-ins cannot be written
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    if path.is_dir():
        raise RunError(f"cannot write {printable(path)}: it is a folder, a file is needed")
    if path.exists() and not path.is_file():
        guard(path, _pour, path, data)
        return
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    # two threads, or processes of two machines, may have the same number
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.{os.getpid()}")

    def action() -> None:
        try:
            write_through(beside, data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    guard(path, action)


def _pour(path: Path, data: bytes) -> None:
    """Write into a device, or into a pipe that somebody reads."""
    with open(os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)), "wb") as file:  # noqa: PTH123
        os.set_blocking(file.fileno(), True)
        file.write(data)


def write_through(path: Path, data: bytes) -> None:
    """Write a file, and see it on the disk.  Raises `OSError`."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def leftover(name: str) -> str | None:
    """The name of the file that a write was for, whose process was killed; None for others."""
    match = re.fullmatch(r"\.(.+)\.[0-9a-f]{8}\.\d+", name)
    return match and match[1]


# JSON, TOML, tensors -----------------------------------------------------------------


def json_lines(documents: Iterable[Mapping[str, Any]]) -> str:
    """Documents as JSON, one on each line."""
    return "".join(json.dumps(document) + "\n" for document in documents)


def json_text(document: Mapping[str, Any], deep: bool = True) -> str:
    """A document as readable JSON; numbers that JSON has not are refused.

    Unless it is to be indented as deep as it goes, each of its keys has one line.
    """
    if deep:
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    lines = (f"  {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in document.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as JSON, whole or not at all."""
    write(path, json_text(document))


def from_json(data: str | bytes) -> Any:
    """What a text in JSON says.  Raises `ValueError`, for `NaN` and `Infinity` too.

    `RecursionError` where it is nested too deeply.
    """
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    _refuse_long_numbers(text)
    refuse_many_values(text)

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no number of JSON")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(items)
        if len(table) < len(items):
            raise ValueError("a key is there twice")
        return table

    return json.loads(text, parse_constant=refuse, object_pairs_hook=pairs)


def refuse_many_values(text: str) -> None:
    """Raise `ValueError` for a text in JSON of more values than are read."""
    # every value but the first comes after one of these; in texts they are counted, too
    if sum(map(text.count, ",[{")) >= MOST_VALUES:
        raise ValueError(f"it has more than {MOST_VALUES:,} values")


def from_toml(text: str) -> dict[str, Any]:
    """What a text in TOML says.  Raises `ValueError`, or `RecursionError`."""
    _refuse_long_numbers(text)
    return tomllib.loads(text)


def _refuse_long_numbers(text: str) -> None:
    # Python's own limit is off on the command line, where operands may be longer
    if _LONG.search(text):
        raise ValueError(f"it has a number of more than {MOST_DIGITS:,} digits")


_LONG = re.compile(rf"[0-9_]{{{MOST_DIGITS + 1}}}")


def tensor_bytes(arrays: "Mapping[str, Array]", facts: Mapping[str, Any]) -> bytes:
    """Arrays, and facts about them, as safetensors."""
    import numpy as np
    from safetensors.numpy import save

    # One key of metadata: safetensors writes several in random order, and equal runs are to
    # have equal files.
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(contiguous, {"carrynet": json.dumps(facts)})


def write_tensors(path: Path, arrays: "Mapping[str, Array]", facts: Mapping[str, Any]) -> None:
    """Write arrays, and facts about them, as safetensors."""
    write(path, tensor_bytes(arrays, facts))


def sha256(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


# Reading -----------------------------------------------------------------------------


def first_line(error: object) -> str:
    """The first line of what an error says, or its kind; controls of a terminal are escaped."""
    lines = str(error).splitlines()
    return printable(lines[0]) if lines else type(error).__name__


def printable(text: object) -> str:
    """A text with what would control a terminal escaped, as `repr` does."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def brief(text: object, most: int = 400) -> str:
    """A text to be copied, where that can be, fit for a terminal."""
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def damaged(path: object, error: object) -> RunError:
    """An error that names a file and the first line of what is wrong with it."""
    return RunError(f"{printable(path)} is damaged or not carrynet's: {first_line(error)}")


@contextmanager
def reading(path: object) -> Iterator[None]:
    """Whatever can go wrong with a file's contents becomes one line that names it."""
    try:
        yield
    except RunError:
        raise
    except (
        *(CarrynetError, ValueError, KeyError, TypeError),
        *(AttributeError, IndexError, OverflowError, RecursionError),
    ) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise damaged(path, what) from None


def require(condition: bool, what: str) -> None:
    """Refuse a file's contents; for use within `reading`."""
    if not condition:
        raise ValueError(what)


def contents(path: Path, most: int = MOST_BYTES) -> bytes:
    """The contents of a regular file, or of one that a link leads to.

    Raises `OSError` for what the system refuses, for whatever is not a regular file (pipes,
    devices, folders: neither opened nor waited for), and for more than `most` bytes.
    """
    _check_regular(path.stat(), path)
    # should it have become a pipe in the meantime, this does not wait for a writer
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    with open(handle, "rb") as file:  # noqa: PTH123
        _check_regular(os.fstat(handle), path)
        data = file.read(most + 1)
    if len(data) > most:
        size = f"{most / 2**20:g} MB" if most >= 2**20 else f"{most / 2**10:g} KB"
        raise OSError(errno.EFBIG, f"larger than {size}, the most that is read", path)
    return data


def _check_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The contents of a file that a run must have."""
    try:
        return contents(path, most)
    except FileNotFoundError:
        raise RunError(f"{path.parent} is damaged: it has no {path.name}") from None
    except OSError as error:
        raise RunError(f"cannot read {printable(path)}: {error.strerror}") from None


def read_tensors(path: Path, most: int = MOST_BYTES) -> "tuple[dict[str, Array], dict[str, Any]]":
    """The arrays of a safetensors file, and the facts that carrynet wrote beside them."""
    return parse_tensors(read_bytes(path, most), path)


def parse_tensors(data: bytes, path: object) -> "tuple[dict[str, Array], dict[str, Any]]":
    """See `read_tensors`; errors name the path that the data are from."""
    import safetensors
    from safetensors.numpy import load

    with reading(path):
        _, facts, _ = tensor_header(data)
        try:
            return load(data), facts
        except safetensors.SafetensorError as error:
            raise ValueError(first_line(error)) from None


MODEL: Mapping[str, Any] = {"format": "carrynet-model", "version": 2}
"""What the facts of a file of weights begin with."""

EXPORTED = "exported"
"""The one key beside these and `Network.about`: what an export says of what was known. Nobody
checks it, and nothing is concluded from it."""


def require_version(document: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a document of another format or version than is wanted; for use within `reading`."""
    form, version = document.get("format"), document.get("version")
    require(
        form == wanted["format"], f"its format is not {' version '.join(map(str, wanted.values()))}"
    )
    same = type(version) is int and version == wanted["version"]
    require(same, f"it has version {shorten(version)}, not {wanted['version']}")


def require_facts(said: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Refuse what a file says of its weights unless it is so; for use within `reading`.

    `about` is what is so, as `Network.about` and the checker's `Model.about` have it.
    """
    so = {**MODEL, **about}
    for key in sorted((said.keys() | so.keys()) - {EXPORTED}):
        same = key in said and key in so and said[key] == so[key]
        require(same, f"its {shorten(key)} is not that of its network")


def tensor_header(data: bytes) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The header of a safetensors file of carrynet's: entries by name, facts, where numbers begin.

    JSON can say one thing in many ways, and readers differ in which they take.  The checker reads
    weights by itself; so that it reads what all others read, the header must be spelled as it is
    written, and tensors must fill the file without gaps.  For use within `reading`.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    require(8 <= start <= len(data), "it is cut short")
    text = data[8:start].decode("utf-8")
    header = from_json(text)
    spelled = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    require(text.rstrip(" ") == spelled, "its header is not spelled as carrynet does")
    metadata = header.pop("__metadata__")
    require(metadata.keys() == {"carrynet"}, "its metadata are not carrynet's")
    facts = from_json(metadata["carrynet"])
    require(isinstance(facts, dict), "its metadata are not carrynet's")
    end = start
    for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
        require(entry.keys() == {"dtype", "shape", "data_offsets"}, "a tensor has other keys")
        first, last = entry["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in (first, last, *entry["shape"]))
        require(whole and type(entry["dtype"]) is str, "a tensor is described by other values")
        require(start + first == end <= start + last, "its tensors overlap, or leave gaps")
        end = start + last
    require(end == len(data), "its tensors do not fill it")
    return header, facts, start
