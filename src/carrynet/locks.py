"""Whose a folder is, and several of its files replaced together: all of them or none.

A folder that is written to belongs to one process, and one thread of it (`Lock`).  What belongs
together is replaced together, whenever the process ends (`replace_all`).
"""

import errno
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from carrynet import files
from carrynet.errors import RunError
from carrynet.files import MOST_BYTES, guard, printable, write_through


def replace_all(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Replace several files of a folder: all of them or none, whenever the process ends.

    They are written into a folder of their own, whose renaming decides; then moved to their
    places, in the order given, by `settle`.  Readers who come in between find them by `path_of`.
    Raises `RunError` unless the caller holds the folder's lock.
    """
    require_lock(folder)
    settle(folder)
    beside = folder / f"{REPLACING}.new"

    def action() -> None:
        _remove(beside)  # of a process that was killed
        beside.mkdir()
        for number, (name, data) in enumerate(contents.items()):
            write_through(beside / f"{number:02} {name}", data)
        require_lock(folder)
        beside.rename(folder / REPLACING)

    try:
        guard(folder, action)
    finally:
        _remove(beside)
    settle(folder)


def settle(folder: Path) -> None:
    """Finish a `replace_all` that was cut off after it was decided.

    The caller holds the folder's lock.
    """
    decided = folder / REPLACING

    def action() -> None:
        for file in sorted(decided.iterdir()):
            file.replace(folder / file.name[3:])
        decided.rmdir()

    if decided.is_dir():
        guard(folder, action)


def path_of(folder: Path, name: str) -> Path:
    """Where a file of a folder is, also while `replace_all` is at work, or was cut off."""
    with suppress(OSError):
        for file in (folder / REPLACING).iterdir():
            if file.name[3:] == name:
                return file
    return folder / name


REPLACING = ".replacing"
"""The folder that `replace_all` decides by."""


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


# Whose a folder is -------------------------------------------------------------------


class Lock:
    """The right to write into a folder; one process, and one thread of it, has it at a time.

    It is the system's lock of a file in the folder, which ends with the process that holds it,
    however that ends.  The thread that holds it may take it again.  Raises `RunError` where
    somebody else has it.
    """

    NAME: ClassVar[str] = ".lock"
    _held: ClassVar[dict[tuple[int, int], "_Held"]] = {}  # by the identity of the file
    _guard: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key: tuple[int, int] | None = None

    def __enter__(self) -> "Lock":
        with self._guard:
            for _ in range(_TRIES):
                if self._take():
                    return self
            raise self._taken("other processes")

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        with self._guard:
            assert self._key is not None
            held = self._held[self._key]
            held.times -= 1
            if not held.times:
                del self._held[self._key]
                try:
                    path = self._folder / self.NAME
                    with suppress(OSError):
                        if _identity(path.stat()) == self._key:
                            path.unlink()
                finally:
                    os.close(held.handle)  # which unlocks

    @property
    def outermost(self) -> bool:
        """Whether its thread has taken it only once."""
        return self._key is not None and self._held[self._key].times == 1

    def rename(self, place: Path) -> None:
        """Rename the folder, and go along.  Raises `OSError`."""
        with self._guard:
            if os.name == "nt":  # there no folder moves that holds an open file
                self.__exit__()
                self._folder = self._folder.rename(place)
                self.__enter__()
            else:
                self._folder = self._folder.rename(place)

    def _take(self) -> bool:
        """Take the lock; False where the file has meanwhile gone, with a lock that has ended."""
        path = self._folder / self.NAME
        handle = guard(self._folder, os.open, path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            key = _identity(os.fstat(handle))
            held = self._held.get(key)
            if held is not None:
                if held.thread != threading.get_ident():
                    raise self._taken("another thread of this process")
                held.times += 1
            else:
                if not _lock_file(handle):
                    number = os.read(handle, 20).decode("ascii", "replace").strip()
                    raise self._taken(f"process {number}" if number else "another process")
                try:
                    if _identity(path.stat()) != key:
                        return False
                except OSError:
                    return False
                with suppress(OSError):  # it is told to who comes next; the lock holds without
                    os.ftruncate(handle, 0)
                    os.write(handle, f"{os.getpid()}\n".encode())
                self._held[key] = _Held(threading.get_ident(), handle)
                handle = -1
            self._key = key
            return True
        finally:
            if handle >= 0:
                os.close(handle)

    def _taken(self, who: str) -> RunError:
        return RunError(f"{self._folder} is being written by {who}: try again when that is done")


@dataclass
class _Held:
    """A lock that this process has."""

    thread: int
    handle: int
    times: int = 1  # that it was taken


_TRIES = 10


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def require_lock(folder: Path) -> None:
    """Raise `RunError` unless this thread has locked the folder that is there now.

    Another may have come in its place while this one was at work.
    """
    with Lock._guard, suppress(OSError):
        held = Lock._held.get(_identity((folder / Lock.NAME).stat()))
        if held is not None and held.thread == threading.get_ident():
            return
    raise RunError(f"{folder} has become another folder in the meantime: nothing was written there")


def is_free(folder: Path) -> bool:
    """Whether no process, this one neither, is writing into a folder."""
    try:
        with Lock(folder) as lock:
            return lock.outermost
    except RunError:
        return False


def _lock_file(handle: int) -> bool:
    """Lock a file until its handle is closed; False where somebody else has."""
    try:
        if os.name == "nt":
            import msvcrt

            # one byte far behind the number, which stays readable
            os.lseek(handle, 2**20, os.SEEK_SET)
            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
            finally:
                os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # elsewhere, as on some network file systems, there are no locks
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


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


def read_result(folder: Path, name: str, most: int = MOST_BYTES) -> bytes:
    """The contents of a file that `replace_all` writes, whenever that is at work."""
    for _ in range(_TRIES):
        for path in (path_of(folder, name), folder / name):
            try:
                return files.contents(path, most)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise RunError(f"cannot read {printable(path)}: {error.strerror}") from None
        if not (folder / REPLACING).is_dir():
            break
    raise RunError(f"{folder} is damaged: it has no {name}")
