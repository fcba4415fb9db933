"""How a folder comes to its place, or takes another's: whole or not at all.

    .NAME.0123abcd.new    while it is being made
    .NAME.0123abcd.old    what it replaces, until it has appeared

Whenever the process ends, `NAME` is the old folder or the new one, or `recover` makes it so.
"""

import errno
import glob
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from carrynet import files, locks


def appear(place: Path, fill: Callable[[Path], object], force: bool) -> locks.Lock | None:
    """Have a folder filled beside its place and rename it; None where that is taken.

    With `force`, what is there is replaced, unless somebody is writing into it.  Returns the
    folder's lock, held.  Raises `OSError` and `RunError`.
    """
    mark = secrets.token_hex(4)
    beside = place.with_name(f".{place.name}.{mark}.new")
    replaced = place.with_name(f".{place.name}.{mark}.old")
    beside.mkdir(parents=True)
    lock = locks.Lock(beside).__enter__()
    try:
        fill(beside)
        if force and place.exists():
            with locks.Lock(place) as old:
                try:
                    old.rename(replaced)
                    lock.rename(place)
                except BaseException:
                    if replaced.exists() and not place.exists():
                        old.rename(place)
                    raise
                shutil.rmtree(replaced, ignore_errors=True)
        else:
            lock.rename(place)  # fails where the place is a folder with anything in it
    except BaseException as error:
        lock.__exit__()
        shutil.rmtree(beside, ignore_errors=True)
        taken = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
        if isinstance(error, OSError) and error.errno in taken and place.exists():
            return None
        raise
    return lock


def recover(place: Path) -> None:
    """Bring back a run whose replacement was cut off half way, and sweep away what is left over.

    Only of processes that are gone: those that live have locked what they work on, but for the
    first moment of a folder that is new.
    """
    for left in place.parent.glob(f".{glob.escape(place.name)}.*"):
        found = _HIDDEN.fullmatch(left.name)
        if found is None or found[1] != place.name:
            continue
        with suppress(OSError):
            new = found[2] == "new" and time.time() - left.stat().st_mtime < _NEW
            if new or not locks.is_free(left):
                continue
        if found[2] == "old" and not os.path.lexists(place):
            files.guard(place, left.rename, place)
        else:
            shutil.rmtree(left, ignore_errors=True)


def meant_for(hidden: str) -> str | None:
    """What a folder is to be called that is being made or replaced; None for other names."""
    found = _HIDDEN.fullmatch(hidden)
    return found and found[1]


_HIDDEN = re.compile(r"\.(.+)\.[0-9a-f]{8}\.(new|old)", re.DOTALL)
"""What a folder is called while it is being made, or replaced."""
_NEW = 60.0  # seconds
