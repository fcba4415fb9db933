"""Where the files of a sweep are: a folder, or an object store named by a URL.

A sweep asks for little: a file is written whole or not at all, read, listed, removed.  So a
part that is there is a block that is done, in either.

Object stores are reached by pyarrow (`s3://`, `gs://`, `abfs://`, `hdfs://`), or by pyarrow
through fsspec (`fsspec+sftp://`, ...).  What a URL says besides the path are pyarrow's options:
`s3://bucket/sweeps/adders?region=eu-central-1`.
"""

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from carrynet import files, locks
from carrynet.errors import CarrynetError, InputError, RunError


def library() -> Any:
    """Pyarrow.  Raises `CarrynetError` where it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise CarrynetError(
            "sweeps keep their rows by pyarrow, which is not installed: pip install pyarrow, or "
            "in a clone of carrynet: uv run --extra sweep carrynet ..."
        ) from None
    return pyarrow


class Place(Protocol):
    """A folder or what is like one; names have slashes: 'parts/part-000123.parquet'.

    Methods raise `RunError` for what the system refuses, and `FileNotFoundError` only where
    they say so.
    """

    everywhere: bool
    """Whether its address is good on every machine, so that workers of a cluster write to it."""

    def names(self, folder: str) -> list[str]:
        """Names of the files and folders in a folder, '' for the place itself.

        None where it is empty, or not there.
        """

    def make(self, folders: Iterable[str]) -> None:
        """Make it, and folders in it."""

    def read(self, name: str, most: int = files.MOST_BYTES) -> bytes:
        """A whole file, of at most so many bytes.  Raises `FileNotFoundError`."""

    def open(self, name: str) -> BinaryIO:
        """A file, to read parts of it.  Raises `OSError`."""

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file, or leave what was there."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a whole file unless it is there.

        True where it is certain that nobody else has written it, at the same time neither.
        """

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def clean(self, folders: Iterable[str]) -> None:
        """Remove what processes that are gone have left half-written."""


def at(root: str | Path) -> Place:
    """The place that a path or a URL means.

    Raises `InputError` for a URL that is none, and for no name at all.
    """
    if root == "":
        raise InputError("a sweep's folder must have a name, not '': '.' is where you are")
    if isinstance(root, str) and "://" in root:
        return Objects(root)
    return Folder(Path(root))


class Folder:
    """A folder of this machine, or one that a network shows as such."""

    everywhere = False

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self, folder: str) -> list[str]:
        """See `Place`."""
        path = self._root / folder
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file: choose another folder")
        try:
            return [file.name for file in path.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror}") from None

    def make(self, folders: Iterable[str]) -> None:
        """See `Place`."""
        for name in folders:
            files.guard(self._root, (self._root / name).mkdir, parents=True, exist_ok=True)

    def read(self, name: str, most: int = files.MOST_BYTES) -> bytes:
        """See `Place`."""
        try:
            return files.contents(self._root / name, most)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RunError(f"cannot read {self._root / name}: {error.strerror}") from None

    def open(self, name: str) -> BinaryIO:
        """See `Place`."""
        path = self._root / name
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "not a regular file", str(path))  # a pipe is waited for
        return path.open("rb")

    def write(self, name: str, data: bytes) -> None:
        """See `Place`."""
        files.write(self._root / name, data)

    def create(self, name: str, data: bytes) -> bool:
        """See `Place`."""
        path = self._root / name
        beside = path.with_name(f".{path.name}.{uuid4().hex}.{os.getpid()}")
        files.write(beside, data)
        try:
            os.link(beside, path)  # which replaces nothing
        except OSError:
            if not os.path.lexists(path):  # there are no links here
                files.guard(path, beside.replace, path)
            return False
        finally:
            beside.unlink(missing_ok=True)
        return True

    def remove(self, name: str) -> None:
        """See `Place`."""
        (self._root / name).unlink(missing_ok=True)

    def clean(self, folders: Iterable[str]) -> None:
        """See `Place`."""
        for folder in folders:
            for file in (self._root / folder).glob(".*"):
                process = re.fullmatch(r"\..*\.(\d+)", file.name)
                if process and not locks.lives(int(process[1])):
                    file.unlink(missing_ok=True)


class Objects:
    """Objects under a URL."""

    everywhere = True

    def __init__(self, url: str) -> None:
        arrow = library()
        from pyarrow import fs

        if urlsplit(url).password:
            raise InputError(
                "an address with a password would be shown and written down: let the environment "
                "hold it, as AWS_SECRET_ACCESS_KEY does"
            )
        self._url, self._fs = url, fs
        try:
            self._system, path = fs.FileSystem.from_uri(url)
        except (arrow.ArrowException, OSError, ImportError, ValueError) as error:
            raise InputError(f"cannot use {url}: {files.first_line(error)}") from None
        if not path:
            raise InputError(f"{url} names no folder")
        self._path = PurePosixPath(path)

    def names(self, folder: str) -> list[str]:
        """See `Place`."""
        selector = self._fs.FileSelector(str(self._path / folder), allow_not_found=True)
        found = self._guard("read", self._system.get_file_info, selector)
        return [info.base_name for info in found]

    def make(self, folders: Iterable[str]) -> None:
        """See `Place`."""
        for name in folders:
            self._guard("write", self._system.create_dir, str(self._path / name), recursive=True)

    def read(self, name: str, most: int = files.MOST_BYTES) -> bytes:
        """See `Place`."""

        def action() -> bytes:
            with self._system.open_input_stream(str(self._path / name)) as stream:
                data = bytes(stream.read(most + 1))
            if len(data) > most:
                raise ValueError(f"{name} is larger than {most / 2**20:g} MB")
            return data

        return bytes(self._guard("read", action))

    def open(self, name: str) -> BinaryIO:
        """See `Place`."""
        opened: BinaryIO = self._system.open_input_file(str(self._path / name))
        return opened

    def write(self, name: str, data: bytes) -> None:
        """See `Place`."""
        path = str(self._path / name)
        # these show an object when all of it has arrived; others are files of their own making
        whole = self._system.type_name in ("s3", "gcs", "abfs")
        beside = path if whole else str((self._path / name).with_name(f".{uuid4().hex}"))

        def action() -> None:
            with self._system.open_output_stream(beside) as stream:
                stream.write(data)
            if not whole:
                self._system.move(beside, path)

        self._guard("write", action)

    def create(self, name: str, data: bytes) -> bool:
        """See `Place`: of several that write at once, the last one's stays."""
        if name not in self.names(""):
            self.write(name, data)
        return False

    def remove(self, name: str) -> None:
        """See `Place`."""
        path = str(self._path / name)
        if self._guard("read", self._system.get_file_info, path).type != self._fs.FileType.NotFound:
            self._guard("write", self._system.delete_file, path)

    def clean(self, folders: Iterable[str]) -> None:
        """See `Place`: of another machine's processes nobody knows whether they live."""

    def _guard(self, verb: str, action: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return action(*arguments, **options)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise RunError(f"cannot {verb} {self._url}: {files.first_line(error)}") from None
