"""Who works the blocks: processes of this machine.

Anything that takes blocks and gives back outcomes is an `Executor`.  Here, a worker is a Python
process of its own that is told numbers of blocks, one a line, and answers each by a line of
JSON; it reads the plan from the folder and writes the part itself.  So what a worker dies of
costs one block, of which we know the number, and a worker whose parent is gone reads the end
of its input and goes too, even in the middle of a block.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from carrynet import files
from carrynet.errors import CarrynetError
from carrynet.sweep.block import Counts, work
from carrynet.sweep.store import Store


@dataclass(frozen=True)
class Outcome:
    """What came of a block: its counts, or the reason why it failed."""

    block: int
    counts: Counts | None
    reason: str = ""
    lost: bool = False  # it failed with the machine that worked it, and not by itself


class Executor(Protocol):
    """Works blocks, several at once, in any order."""

    @property
    def slots(self) -> int:
        """How many blocks it works at once; it may change."""

    def submit(self, block: int) -> None:
        """Take a block to be worked; returns at once."""

    def result(self) -> Outcome:
        """The outcome of one of the blocks that were taken; waits for it."""

    def close(self) -> None:
        """Give up what is not done, and leave nobody behind."""


class LocalPool:
    """Processes of this machine, each of which works one block at a time in one thread."""

    def __init__(self, store: Store, jobs: int | None = None) -> None:
        self.slots = jobs or cores()
        self._root = store.root
        self._blocks: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._workers: set[_Worker] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._minders = [
            threading.Thread(target=self._mind, daemon=True) for _ in range(self.slots)
        ]
        for minder in self._minders:
            minder.start()

    def submit(self, block: int) -> None:
        """Take a block; see `Executor`."""
        self._blocks.put(block)

    def result(self) -> Outcome:
        """The next outcome; see `Executor`."""
        while True:
            with contextlib.suppress(queue.Empty):
                # in pieces: on Windows, a wait without an end cannot be interrupted
                return self._outcomes.get(timeout=1.0)

    def close(self) -> None:
        """Let workers go, those in the middle of a block too."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()
        for _ in self._minders:
            self._blocks.put(None)
        for minder in self._minders:
            minder.join(timeout=10.0)

    def _mind(self) -> None:
        """Give blocks to one worker after another, each of which may die of one."""
        worker: _Worker | None = None
        while (block := self._blocks.get()) is not None and not self._closed:
            try:
                worker = worker or self._hire()
                self._outcomes.put(worker.work(block))
            except (OSError, ValueError) as error:
                self._outcomes.put(Outcome(block, None, f"{self._dismiss(worker)} ({error})"))
                worker = None
            except EOFError:
                self._outcomes.put(Outcome(block, None, self._dismiss(worker)))
                worker = None
        self._dismiss(worker)

    def _hire(self) -> "_Worker":
        worker = _Worker(self._root)
        with self._lock:
            self._workers.add(worker)
            if self._closed:
                worker.kill()
        return worker

    def _dismiss(self, worker: "_Worker | None") -> str:
        if worker is None:
            return "no worker could be started"
        with self._lock:
            self._workers.discard(worker)
        return worker.end()


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Worker:
    """A process that works blocks."""

    def __init__(self, sweep: str) -> None:
        # one thread each, and the modules of this process, wherever it found them
        root = str(Path(__file__).parents[2])
        code = (
            f"import sys; sys.path.append({root!r}); "
            "from carrynet.sweep.pool import serve; serve(sys.argv[1])"
        )
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, sweep],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **dict.fromkeys(_THREADS, "1")},
        )

    def work(self, block: int) -> Outcome:
        """Let it work a block.  Raises `EOFError` or `OSError` if it dies of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{block}\n".encode())
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        answer = files.from_json(line)
        counts = Counts(**answer["counts"]) if "counts" in answer else None
        return Outcome(block, counts, answer.get("reason", ""))

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()

    def end(self) -> str:
        """Let it go, and say how it went: 'its worker was ended by signal 9'."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe and pipe.close()  # it reads the end of its input
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        self._errors.close()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return "; ".join([f"its worker {how}", *last])


_THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
"""How many threads libraries of linear algebra start."""


# In the worker ------------------------------------------------------------------------


def serve(sweep: str) -> None:
    """Work the blocks that come in, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends us
    sys.set_int_max_str_digits(0)  # counterexamples may be long
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what anybody prints is no answer
    blocks: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(blocks,), daemon=True).start()
    store = Store(sweep)
    plan = store.plan()
    while True:
        block = blocks.get()
        try:
            finished = work(plan, block)
            store.finish(block, finished.rows, finished.weights)
            answer: dict[str, Any] = {"counts": vars(finished.counts)}
        except CarrynetError as error:
            answer = {"reason": str(error)}
        except Exception as error:
            # a bug, or no memory: the block is recorded as failed, with this
            answer = {"reason": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _listen(blocks: "queue.SimpleQueue[int]") -> None:
    for line in sys.stdin:
        blocks.put(int(line))
    os._exit(0)  # nobody is left who wants anything
