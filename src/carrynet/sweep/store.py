"""The folder of a sweep: which blocks are done is what files there are.

    plan.toml                         everything that the sweep depends on, recipes in full
    parts/part-000123.parquet         the rows of block 123: it is done
    weights/part-000123.safetensors   the weights of those of its rows whose weights are kept
    failed/part-000123.json           a block that was given up, and why

Every file is whole or absent, and a part is written last.  Whatever writes whole files and
lists names can stand in for `Store`: an object store, for one.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carrynet import files
from carrynet.errors import InputError, RunError
from carrynet.sweep.plan import Plan, read_recorded

PLAN, PARTS, WEIGHTS, FAILED = "plan.toml", "parts", "weights", "failed"


class Store:
    """The folder of a sweep.  Raises `RunError` for what the system refuses."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def begin(self, plan: Plan) -> Plan:
        """Make the folder, or go on with what is there: the plan, as it was recorded.

        Raises `InputError` where the folder holds another plan or something else.
        """
        recorded = self.root / PLAN
        if recorded.exists():
            theirs = read_recorded(recorded)
            if not theirs.same(plan):
                raise InputError(
                    f"{self.root} holds a sweep by another plan, which its {PLAN} shows: choose "
                    "another folder"
                )
            plan = theirs
        elif self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root} is a file: choose another folder")
        elif self.root.is_dir() and any(
            not file.name.startswith(f".{PLAN}.") for file in self.root.iterdir()
        ):
            raise InputError(f"{self.root} holds something else: choose another folder")
        for name in (PARTS, WEIGHTS, FAILED):
            files.guard(self.root, (self.root / name).mkdir, parents=True, exist_ok=True)
        if not recorded.exists():
            files.write(recorded, plan.to_toml())
        self._clean()
        return plan

    def plan(self) -> Plan:
        """The plan that the sweep was started with."""
        return read_recorded(self.root / PLAN)

    def done(self, blocks: int) -> bytearray:
        """For each block 1 if its part is there, else 0."""
        done = bytearray(blocks)
        for number in self._numbers(PARTS, "parquet"):
            if number >= blocks:
                raise RunError(f"{self.root} is damaged: it has a part of block {number}")
            done[number] = 1
        return done

    def part(self, block: int) -> Path:
        """Where the rows of a block are."""
        return self.root / PARTS / f"part-{block:06d}.parquet"

    def weights(self, block: int) -> Path:
        """Where the weights of a block's rows are."""
        return self.root / WEIGHTS / f"part-{block:06d}.safetensors"

    def finish(self, block: int, rows: bytes, weights: bytes | None) -> None:
        """Write a block's weights and then its rows, by which it is done."""
        if weights is not None:
            files.write(self.weights(block), weights)
        files.write(self.part(block), rows)
        self._failure(block).unlink(missing_ok=True)

    def fail(self, block: int, document: Mapping[str, Any]) -> None:
        """Record that a block was given up, and why."""
        files.write_json(self._failure(block), document)

    def failures(self) -> dict[int, dict[str, Any]]:
        """The blocks that were given up, and why."""
        found = {}
        for number in sorted(self._numbers(FAILED, "json")):
            path = self._failure(number)
            with files.reading(path):
                found[number] = json.loads(files.read_bytes(path))
        return found

    def _failure(self, block: int) -> Path:
        return self.root / FAILED / f"part-{block:06d}.json"

    def _numbers(self, folder: str, suffix: str) -> list[int]:
        name = re.compile(rf"part-(\d{{6,}})\.{suffix}")
        names = (name.fullmatch(file.name) for file in (self.root / folder).glob("part-*"))
        return [int(found[1]) for found in names if found]

    def _clean(self) -> None:
        """Remove what processes that are gone have left half-written."""
        for folder in (self.root, *(self.root / name for name in (PARTS, WEIGHTS, FAILED))):
            for file in folder.glob(".*"):
                process = re.fullmatch(r"\..*\.(\d+)", file.name)
                if process and not files.lives(int(process[1])):
                    file.unlink(missing_ok=True)
