"""Who works the blocks: machines that are one Ray cluster.

A block is a Ray task on one core, and with the engine `jax`, where there are GPUs, on its share of
one.  Where the sweep is in an object store, the worker writes the
part itself; a folder may be one that the worker cannot see, so its part comes back and is
written here.  Ray never tries a task again: that is the business of the loop over blocks, which
is told whether a block failed or only lost its machine.

The one module that imports Ray.
"""

import math
import os
import socket
import time
from functools import lru_cache
from typing import Any

from carrynet import __version__, files
from carrynet.errors import CarrynetError, InputError, shorten
from carrynet.sweep.block import Finished, work
from carrynet.sweep.plan import Plan
from carrynet.sweep.pool import Outcome
from carrynet.sweep.store import Store

Answer = tuple[Finished | None, str]
"""What a worker says: what came of the block, with what is to be written; or why it failed."""


class Cluster:
    """The machines of a Ray cluster; an `Executor`.

    `address` is as Ray has it: 'auto' for the cluster that this machine belongs to, HOST:PORT,
    ray://HOST:PORT, or 'local' for a cluster of this machine alone, that ends with the sweep.
    At most `jobs` blocks are worked at once.

    Raises `CarrynetError` where Ray is not installed, `InputError` where no cluster answers.
    """

    def __init__(self, store: Store, jobs: int | None = None, address: str = "auto") -> None:
        self._ray = library()
        _knock(address)
        try:
            self._ray.init(
                address=address,
                ignore_reinit_error=True,
                logging_level="ERROR",
                log_to_driver=False,
                namespace="carrynet",
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = files.first_line(error).rstrip(".")
            raise InputError(
                f"no Ray cluster answers at {address}: {reason}; one that was started with a token "
                "wants RAY_AUTH_MODE=token and the same token here"
            ) from None
        self._store, self._jobs = store, jobs
        plan = store.plan()
        self._gpu = self._share_of_a_gpu() if plan.settings.engine == "jax" else 0.0
        asked = {"num_cpus": 1, "num_gpus": self._gpu, "max_retries": 0}
        self._work = self._ray.remote(**asked)(_work)
        self._plan = self._ray.put(plan.to_toml())
        self._address = store.root if store.place.everywhere else None
        self._tasks: dict[Any, int] = {}
        self._counted = (0, -1.0)

    @property
    def slots(self) -> int:
        """How many blocks the cluster works at once; machines may come and go."""
        count, when = self._counted
        if time.monotonic() - when > 1.0:
            there = self._ray.cluster_resources()
            count = int(there.get("CPU", 0))
            if self._gpu:
                count = min(count, int(there.get("GPU", 0) / self._gpu))
            self._counted = count, time.monotonic()
        return max(1, min(count, self._jobs or count))

    def submit(self, block: int) -> None:
        """Take a block; see `Executor`."""
        task = self._work.remote(self._plan, self._address, block, __version__)
        self._tasks[task] = block

    def result(self) -> Outcome:
        """The next outcome; see `Executor`."""
        done: list[Any] = []
        while not done:  # in pieces, so that it can be interrupted
            done, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=1.0)
        block = self._tasks.pop(done[0])
        try:
            finished, reason = self._ray.get(done[0])
        except self._lost as error:
            return Outcome(block, None, files.first_line(error), lost=True)
        except self._ray.exceptions.RayError as error:
            return Outcome(block, None, _reason(error))
        if finished is None:
            return Outcome(block, None, reason)
        if self._address is None:
            self._store.finish(block, finished.rows, finished.weights)
        return Outcome(block, finished.counts)

    def close(self) -> None:
        """Let the cluster forget what is not done, and leave it."""
        self._ray.shutdown()

    def _share_of_a_gpu(self) -> float:
        """What a block asks for: as much as leaves none of the cores beside GPUs idle."""
        cores, gpus = 0.0, 0.0
        for node in self._ray.nodes():
            if node["Alive"] and node["Resources"].get("GPU"):
                cores += node["Resources"].get("CPU", 0.0)
                gpus += node["Resources"]["GPU"]
        if not gpus:
            return 0.0
        # Ray counts in ten-thousandths: a share that is rounded up would leave out the last block
        return math.floor(1e4 / max(1, math.ceil(cores / gpus))) / 1e4

    @property
    def _lost(self) -> tuple[type[Exception], ...]:
        """What says that a machine is gone, and nothing about the block."""
        errors = self._ray.exceptions
        return (errors.NodeDiedError, errors.ObjectLostError, errors.LocalRayletDiedError)


def library() -> Any:
    """Ray.  Raises `CarrynetError` where it is not installed."""
    # else a driver under `uv run` has each worker install the driver's folder anew
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
    except ImportError:
        raise CarrynetError(
            "Ray is not installed: pip install 'ray' pyarrow, or in a clone of carrynet: "
            "uv run --extra cluster carrynet ..."
        ) from None
    return ray


def _knock(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself would try for minutes.

    Raises `InputError`.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    if address in ("auto", "local"):
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) < 2**16):
        raise InputError(
            f"no Ray cluster is at {shorten(address)}: accepted are auto, local, HOST:PORT and "
            "ray://HOST:PORT"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
    except OSError as error:
        raise InputError(f"no Ray cluster answers at {address}: {error}") from None


def _reason(error: Exception) -> str:
    """One line of what Ray says, which may be a page."""
    cause = getattr(error, "cause", None)  # what the task itself raised
    kind = "" if cause is None else f"{type(cause).__name__}: "
    return f"{kind}{files.first_line(cause or error)}"


# On a machine of the cluster ------------------------------------------------------------


def _work(plan: str, address: str | None, number: int, version: str) -> Answer:
    """Work a block; write it where the sweep has an address, else give it back."""
    here = f"{os.uname().nodename} has carrynet {__version__}"
    if version != __version__:
        return None, f"{here}, and the sweep was started with {version}"
    try:
        trials = _plan(plan)
        if trials.changed:
            return None, f"{here} with other recipes than the sweep was started with"
        finished = work(trials, number)
        if address is not None:
            Store(address).finish(number, finished.rows, finished.weights)
            finished = Finished(finished.counts, b"", None)
    except CarrynetError as error:
        return None, str(error)
    return finished, ""


@lru_cache(maxsize=1)
def _plan(text: str) -> Plan:
    return Plan.from_toml(text)
