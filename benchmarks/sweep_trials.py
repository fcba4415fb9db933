"""What a sweep withstands: kills at random moments, and a plan of a million trials.

uv run --extra sweep python -m benchmarks.sweep_trials kills --kills 20
uv run --extra sweep python -m benchmarks.sweep_trials million

`kills` sends SIGKILL to a whole sweep, or to its parent alone, at moments drawn evenly, starts
it again, and at the end compares every row, but for times, with those of a sweep that nobody
disturbed.  `million` starts a plan of a million trials, kills it when its first part is there,
and says how long that took and the most memory that the parent had.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PLAN = """
recipe = "tutorial"
hidden = [4, 8]
seed = "0..399"

[sweep]
exhaustive = 6
lengths = []
block = 10
"""

MILLION = """
recipe = "tutorial"
hidden = "1..20"
seed = "0..49_999"

[sweep]
proof = "none"
"""


def start(place: Path, out: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "carrynet", "sweep", "plan.toml", "--out", out]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=place, start_new_session=True, **quiet)  # type: ignore[call-overload]


def rows(folder: Path) -> list[dict[str, Any]]:
    from pyarrow import dataset

    found = dataset.dataset(folder / "parts", format="parquet").to_table().to_pylist()
    found = [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in found]
    return sorted(found, key=lambda row: row["number"])


def kills(count: int, seed: int) -> bool:
    """Whether no row was lost, and none is there twice or otherwise."""
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "plan.toml").write_text(PLAN)
        started = time.perf_counter()
        start(place, "undisturbed").wait()
        whole = time.perf_counter() - started
        done = killed = 0
        while killed < count:
            sweeping = start(place, "out")
            try:
                # two starts in a whole sweep's time: most kills come while blocks are worked
                sweeping.wait(timeout=moments.uniform(0, max(1.0, 2 * whole / count)))
                break  # it was faster
            except subprocess.TimeoutExpired:
                (os.killpg if killed % 2 else os.kill)(sweeping.pid, signal.SIGKILL)
                sweeping.wait()
                killed += 1
            parts = len(list((place / "out" / "parts").glob("part-*.parquet")))
            print(f"kill {killed}: {parts} parts", flush=True)
            done = parts
        start(place, "out").wait()
        ours, theirs = rows(place / "out"), rows(place / "undisturbed")
        trials = [row["number"] for row in ours]
        left = [file.name for file in (place / "out" / "parts").glob(".*")]
        print(f"{killed} kills, the last after {done} parts of {len(trials) // 10}")
        print(f"rows lost {800 - len(set(trials))}, twice {len(trials) - len(set(trials))}")
        print(f"rows that differ {sum(a != b for a, b in zip(ours, theirs, strict=True))}")
        print(f"files left half-written {len(left)}")
        return ours == theirs and not left and killed == count


def million() -> bool:
    """Whether it starts in seconds, in under 1 GB."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "plan.toml").write_text(MILLION)
        started = time.perf_counter()
        sweeping = start(place, "out")
        while not list((place / "out" / "parts").glob("part-*.parquet")):
            if sweeping.poll() is not None:
                sys.exit(f"the sweep ended with exit code {sweeping.returncode}")
            time.sleep(0.01)
        seconds = time.perf_counter() - started
        status = Path(f"/proc/{sweeping.pid}/status").read_text()
        (peak,) = (int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
        os.killpg(sweeping.pid, signal.SIGKILL)
        sweeping.wait()
        print(f"1,000,000 trials: first part after {seconds:.1f} s, parent {peak / 1024:.0f} MiB")
        return peak < 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trial", choices=("kills", "million"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    passed = million() if arguments.trial == "million" else kills(arguments.kills, arguments.seed)
    sys.exit(not passed)


if __name__ == "__main__":
    main()
