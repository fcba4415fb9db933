"""Whatever may be said where a task is asked for, as a task.

A text names one that is built in (`add:base=3`), or a file in which somebody has written his
own (`parity.toml`, `machine.dot`); in Python a machine or a task is given as it is.
"""

import re
from pathlib import Path
from typing import Any

from carrynet import files
from carrynet.errors import InputError, shorten
from carrynet.spec import automata, builtin, tables
from carrynet.spec.builtin import (
    FAMILIES as FAMILIES,
    add as add,
    compare as compare,
    family as family,
    multiply_by as multiply_by,
    subtract as subtract,
)
from carrynet.spec.codec import (
    DIGITS as DIGITS,
    MAX_WORD as MAX_WORD,
    Digits as Digits,
    Letters as Letters,
    from_digits as from_digits,
    to_digits as to_digits,
)
from carrynet.spec.encoding import Encoding as Encoding
from carrynet.spec.machine import Machine
from carrynet.spec.task import Task as Task, own as own

ENDINGS = (".toml", ".dot", ".gv", ".fst", ".fst.txt")
"""Of the names of files that are read; `.fst` is OpenFst's text, not its binary form."""


def parse(said: Any) -> Task:
    """The task that is meant by a text, a path, a machine or a task.

    A text with one of the endings `ENDINGS` is a file's path.  What is built in is known
    by its own text wherever it comes from.

    Raises `InputError` for anything else, and for a file that is none of a task's.
    """
    if isinstance(said, Task):
        return known(said)
    if isinstance(said, Machine):
        return own("machine", said)
    if isinstance(said, Path) or (isinstance(said, str) and said.endswith(ENDINGS)):
        return known(read(Path(said)))
    if isinstance(said, str):
        return builtin.parse(said)
    raise InputError(f"a task is a name, a file, a Machine or a Task, not {shorten(said)}")


def example(family: str, operands: int) -> Task:
    """A task of a family that is built in, with so many operands where that can be chosen."""
    more = {"add": f":operands={operands}", "multiply_by": ":k=3"}
    return builtin.parse(family + more.get(family, ""))


def known(task: Task) -> Task:
    """The task as it is built in, if it is; else as it is."""
    if task.own and task.name.partition(":")[0] in FAMILIES:
        try:
            built_in = builtin.parse(task.name)
        except InputError:
            return task
        return built_in if built_in == task else task
    return task


def read(path: Path) -> Task:
    """The task in a file.

    Raises `InputError`, one line that names the file, for whatever is none.
    """
    name = files.printable(path)
    try:
        text = _text(path)
        if path.name.endswith(".toml"):
            return tables.from_toml(text, _plain(path))
        if path.name.endswith((".dot", ".gv")):
            return own(_plain(path), automata.from_dot(text))
        stem = path.name.partition(".")[0]
        beside = [path.with_name(f"{stem}.{side}syms") for side in "io"]
        known = [automata.symbol_table(_text(t)) if t.exists() else None for t in beside]
        return own(_plain(path), automata.from_openfst(text, *known))
    except InputError as error:
        raise InputError(f"{name}: {files.first_line(error)}") from None


def _text(path: Path) -> str:
    try:
        return files.contents(path, files.MOST_TEXT).decode()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError("is not text in UTF-8") from None
    except ValueError as error:  # a null character in the path
        raise InputError(f"cannot be read: {error}") from None


def _plain(path: Path) -> str:
    """A name for the task in a file that does not say one."""
    word = re.sub(r"[^A-Za-z0-9_-]+", "_", path.name.partition(".")[0])[:64]
    return word if re.match("[A-Za-z_]", word) else f"machine_{word}"[:64]
