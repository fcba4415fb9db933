"""The folder of a sweep: which blocks are done is what files there are.

    plan.toml                         everything that the sweep depends on, recipes in full
    parts/part-000123.parquet         the rows of block 123: it is done
    weights/part-000123.safetensors   the weights of those of its rows whose weights are kept
    failed/part-000123.json           a block that was given up, and why

Every file is whole or absent, and a part is written last.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from carrynet import __version__, files
from carrynet.errors import InputError, RunError
from carrynet.nets.arrays import Array
from carrynet.sweep import places
from carrynet.sweep.plan import Plan

PLAN, PARTS, WEIGHTS, FAILED = "plan.toml", "parts", "weights", "failed"
FOLDERS = (PARTS, WEIGHTS, FAILED)
MOST_WEIGHTS = 2**32
"""The largest file of weights that is read: of one block, which may keep many networks."""


def part_name(block: int) -> str:
    """The file with the rows of a block."""
    return f"{PARTS}/part-{block:06d}.parquet"


def weights_name(block: int) -> str:
    """The file with the weights of a block's rows that are kept."""
    return f"{WEIGHTS}/part-{block:06d}.safetensors"


def _failure_name(block: int) -> str:
    return f"{FAILED}/part-{block:06d}.json"


def is_of_sweep(path: Path) -> bool:
    """Whether an absolute path is a plan, or where a sweep has what it needs."""
    for folder in path.parents:
        first = path.relative_to(folder).parts[0]
        inside = first in FOLDERS and (folder / PARTS).is_dir()
        if (inside or path == folder / PLAN) and (folder / PLAN).exists():
            return True
    return False


class Store:
    """The folder of a sweep, by its path, or by the URL of an object store; see `places`.

    Raises `RunError` for what the system refuses, and for what is damaged.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        self.place = places.at(root)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return Path(self._folder).absolute().name

    def path(self, name: str) -> str:
        """A file's path or address."""
        return f"{self._folder.rstrip('/')}/{name}"

    @property
    def _folder(self) -> str:
        """The root, of a URL less what it says besides the path."""
        return self.root.partition("?")[0] if self.place.everywhere else self.root

    def begin(self, plan: Plan) -> Plan:
        """Make the folder, or go on with what is there: the plan, as it was recorded.

        Raises `InputError` where the folder holds another plan, or something else, or was begun
        when the plan's recipes were others for some cell or task.
        """
        names, mine = self.place.names(""), False
        if PLAN not in names:
            if any(not name.startswith(".") for name in names if name not in FOLDERS):
                raise InputError(f"{self.root} holds something else: choose another folder")
            self.place.make(("",))
            # others may begin here at the same time
            mine = self.place.create(PLAN, plan.to_toml().encode())
        plan = plan if mine else self.recorded(plan)
        self.place.make(FOLDERS)
        self.place.clean(("", *FOLDERS))
        return plan

    def recorded(self, plan: Plan) -> Plan:
        """The plan that is there.  Raises `InputError` where that is another, as `begin` does."""
        theirs = self.plan()
        if not theirs.same(plan):
            raise InputError(
                f"{self.root} holds a sweep by another plan, which its {PLAN} shows: choose "
                "another folder"
            )
        if theirs.changed:
            raise InputError(
                f"{self.root} holds a sweep by other recipes than carrynet {__version__} has "
                "for these cells and tasks: choose another folder"
            )
        return theirs

    def plan(self) -> Plan:
        """The plan that the sweep was started with.  Raises `RunError` where there is none."""
        try:
            text = self.place.read(PLAN)
        except FileNotFoundError:
            raise RunError(f"{self.root} is not a sweep: it has no {PLAN}") from None
        with files.reading(self.path(PLAN)):
            return Plan.from_toml(text.decode())

    def done(self, blocks: int) -> bytearray:
        """For each block 1 if its part is there, else 0."""
        if PARTS not in self.place.names(""):
            raise RunError(f"{self.root} is damaged: it has no {PARTS}")
        done = bytearray(blocks)
        for number in self._numbers(PARTS, "parquet"):
            if number >= blocks:
                raise RunError(f"{self.root} is damaged: it has a part of block {number}")
            done[number] = 1
        return done

    def open_part(self, block: int) -> BinaryIO:
        """The rows of a block, as a Parquet file.  Raises `OSError`."""
        return self.place.open(part_name(block))

    def weights(self, block: int) -> dict[str, Array]:
        """The weights of a block's rows that were kept.  Raises `RunError` where none are there."""
        name = weights_name(block)
        try:
            return files.parse_tensors(self.place.read(name, MOST_WEIGHTS), self.path(name))[0]
        except FileNotFoundError:
            raise RunError(f"{self.root} is damaged: it has no {name}") from None

    def finish(self, block: int, rows: bytes, weights: bytes | None) -> None:
        """Write a block's weights and then its rows, by which it is done."""
        if weights is not None:
            self.place.write(weights_name(block), weights)
        self.place.write(part_name(block), rows)
        self.place.remove(_failure_name(block))

    def fail(self, block: int, document: Mapping[str, Any]) -> None:
        """Record that a block was given up, and why."""
        self.place.write(_failure_name(block), files.json_text(document).encode())

    def failures(self) -> dict[int, dict[str, Any]]:
        """The blocks that were given up, and why."""
        found = {}
        for number in sorted(self._numbers(FAILED, "json")):
            name = _failure_name(number)
            with files.reading(self.path(name)):
                found[number] = files.from_json(self.place.read(name, files.MOST_TEXT))
        return found

    def _numbers(self, folder: str, suffix: str) -> list[int]:
        name = re.compile(rf"part-(\d{{6,}})\.{suffix}")
        names = (name.fullmatch(file) for file in self.place.names(folder))
        return [int(found[1]) for found in names if found]
