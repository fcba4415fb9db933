"""Sweeps on a Ray cluster: several nodes on this machine, as Ray itself simulates them.

They take minutes, and run where CARRYNET_CLUSTER is set, as `.ci/run` does.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from carrynet import __version__, sweep
from carrynet.errors import InputError
from carrynet.sweep import Store, cluster
from carrynet.sweep.cluster import Cluster
from carrynet.sweep.pool import Outcome
from tests.test_cli import carrynet, process
from tests.test_places import kept, server
from tests.test_sweep import ENDLESS, LONG, QUICK, parse, parts, rows_of, run, sweeping, until

__all__ = ["server"]  # a fixture

pytestmark = pytest.mark.cluster
needs_ray = pytest.mark.skipif(
    not os.environ.get("CARRYNET_CLUSTER") or importlib.util.find_spec("ray") is None,
    reason="takes minutes: set CARRYNET_CLUSTER to 1 (Ray has no wheel for some Pythons)",
)


# One core, and none of the processes that are not needed here: each of them takes a second.
HEAD = {"num_cpus": 1, "include_dashboard": False, "no_monitor": True, "include_log_monitor": False}
OTHER = {"num_cpus": 1, "num_gpus": 1}  # no GPU, which only who asks for one would notice


@pytest.fixture(scope="module")
def simulation(server: str) -> Iterator[Any]:
    """The cluster of all tests: two nodes, which may write to the S3 server."""
    cluster.library()
    from ray.cluster_utils import Cluster as Simulation

    simulation = Simulation(initialize_head=True, head_node_args=HEAD)
    try:
        simulation.add_node(**OTHER)
        yield simulation
    finally:
        simulation.shutdown()


@pytest.fixture
def address(simulation: Any) -> str:
    return str(simulation.address)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    assert run(parse(LONG), folder).complete
    return folder


@needs_ray
def test_the_command_works_on_a_cluster(address: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(QUICK)
    command = ("sweep", "plan.toml", "--out", "out", "--keep", "all", "--json")
    done = process(*command, "--ray", address, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert (document["networks"], document["blocks"]["done"]) == (32, 7)
    run(parse(QUICK, keep="all"), tmp_path / "here")
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "here")
    ours, theirs = Store(tmp_path / "out"), Store(tmp_path / "here")
    assert sweep.network(ours, 9).digest() == sweep.network(theirs, 9).digest()


@needs_ray
def test_the_environment_names_a_cluster_and_none_is_this_machine(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan.toml").write_text(QUICK)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    done = carrynet("sweep", "plan.toml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "no Ray cluster answers at 127.0.0.1:1: [Errno 111]" in done.stderr
    done = carrynet("sweep", "plan.toml", "--out", "out", "--ray", "none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("RAY_ADDRESS", address)
    done = carrynet("sweep", "plan.toml", "--out", "out2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "out2")


@needs_ray
def test_workers_write_to_an_object_store_themselves(
    address: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://results/clustered?{server}"

    def refuse(*arguments: object) -> None:
        raise AssertionError("the driver writes")

    # in this process; the workers have their own
    monkeypatch.setattr(Store, "finish", refuse)
    summary = sweep.execute(
        parse(QUICK), url, hire=lambda store, jobs: Cluster(store, jobs, address)
    )
    monkeypatch.undo()
    assert summary.complete
    run(parse(QUICK), tmp_path / "here")
    assert kept(url) == rows_of(tmp_path / "here")


@needs_ray
def test_a_driver_that_is_killed_goes_on(address: str, tmp_path: Path, undisturbed: Path) -> None:
    (tmp_path / "plan.toml").write_text(LONG)
    folder = tmp_path / "out"
    for _ in range(2):
        goal = len(parts(folder)) + 1
        with sweeping(tmp_path, "--out", "out", "--ray", address):
            until(lambda goal=goal: len(parts(folder)) >= goal)  # type: ignore[misc]
        # it is killed, and its children with it
    assert len(parts(folder)) < 30
    done = carrynet("sweep", "plan.toml", "--out", "out", "--ray", address, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert rows_of(folder) == rows_of(undisturbed)


@needs_ray
def test_an_interrupt_leaves_the_cluster_idle(address: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(ENDLESS)
    with sweeping(tmp_path, "--out", "out", "--ray", address) as driver:
        until(lambda: parts(tmp_path / "out"))
        os.killpg(driver.pid, signal.SIGINT)
        _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 130
    assert f"sweep plan.toml --out out --ray {address}" in errors
    assert not list((tmp_path / "out" / "failed").iterdir())
    ray = cluster.library()
    ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    try:
        until(lambda: ray.available_resources().get("CPU") == 2)
    finally:
        ray.shutdown()


@needs_ray
def test_a_node_that_goes_and_one_that_comes(simulation: Any, tmp_path: Path) -> None:
    # blocks of a second or more, so that the node goes in the middle of one
    plan = parse(
        'recipe = "tutorial"\nhidden = 16\nsteps = 300_000\nseed = "0..47"\n'
        '[sweep]\nblock = 8\nexhaustive = 0\nlengths = []\nproof = "none"\n'
    )
    outcomes: list[Outcome] = []
    (node,) = simulation.worker_nodes

    class Watched(Cluster):
        def result(self) -> Outcome:
            outcomes.append(super().result())
            if len(outcomes) == 2:
                assert self.slots == 2
                # a moment later, when both nodes have got another block
                Timer(0.5, lambda: simulation.remove_node(node)).start()
            elif len(outcomes) == 4:
                until(lambda: self.slots == 1)
                simulation.add_node(**OTHER)
                until(lambda: self.slots == 2)
            return outcomes[-1]

    summary = sweep.execute(
        plan,
        tmp_path / "out",
        hire=lambda store, jobs: Watched(store, jobs, simulation.address),
    )
    failed = [outcome for outcome in outcomes if outcome.counts is None]
    assert failed
    assert all(outcome.lost for outcome in failed)
    assert summary.complete
    assert not summary.failures
    run(plan, tmp_path / "here")
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "here")


@needs_ray
def test_of_the_engine_jax_a_block_asks_for_a_gpu(address: str, tmp_path: Path) -> None:
    outcomes: list[Outcome] = []

    class Watched(Cluster):
        def result(self) -> Outcome:
            if not outcomes:  # the first block waits for JAX
                until(lambda: self._ray.available_resources().get("GPU", 0.0) == 0.0)
            assert self.slots == 1  # the node with a core and a GPU, or so it says
            outcomes.append(super().result())
            return outcomes[-1]

    # blocks of one shape: JAX takes its time for each
    plan = parse(QUICK.replace("[2, 3]", "2").replace("0..15", "0..9"), engine="jax")
    hire = lambda store, jobs: Watched(store, jobs, address)  # noqa: E731
    assert sweep.execute(plan, tmp_path / "out", hire=hire).complete
    assert {row["engine"] for row in rows_of(tmp_path / "out")} == {"jax"}


@needs_ray
def test_a_block_that_fails_there_is_recorded(address: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    store.begin(parse(QUICK))
    executor = Cluster(store, 1, address)
    try:
        assert executor.slots == 1
        executor.submit(10**6)
        outcome = executor.result()
        assert (outcome.block, outcome.counts, outcome.lost) == (10**6, None, False)
        assert outcome.reason.startswith("IndexError")
        executor.submit(2)
        assert executor.result().counts is not None
    finally:
        executor.close()
    assert len(parts(tmp_path / "out")) == 1


@needs_ray
def test_a_cluster_with_a_token_takes_nobody_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan.toml").write_text(QUICK)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", 64 * "a")
    begin = f"""
import sys
HEAD = {HEAD}
from ray.cluster_utils import Cluster
print(Cluster(initialize_head=True, head_node_args=HEAD).address, flush=True)
sys.stdin.read()
"""
    # in a process of its own: Ray reads the token once
    with subprocess.Popen(
        [sys.executable, "-c", begin],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as head:
        assert head.stdout is not None
        command = ("sweep", "plan.toml", "--out", "out", "--ray", head.stdout.readline().strip())
        monkeypatch.setenv("RAY_AUTH_TOKEN", 64 * "b")
        done = process(*command, cwd=tmp_path)
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]  # Ray itself says why, again and again
        assert last.startswith("carrynet: no Ray cluster answers at")
        assert last.endswith("the same token here")
        monkeypatch.setenv("RAY_AUTH_TOKEN", 64 * "a")
        done = process(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert len(rows_of(tmp_path / "out")) == 32


def test_another_version_on_a_worker_is_one_line() -> None:
    finished, reason = cluster._work(parse(QUICK).to_toml(), None, 0, "0.0.0")
    assert finished is None
    assert "the sweep was started with 0.0.0" in reason
    plan = parse(QUICK)
    text = plan.to_toml().replace(plan.recipes_digest, "0" * 64)
    finished, reason = cluster._work(text, None, 0, __version__)
    assert finished is None
    assert "with other recipes than the sweep was started with" in reason


@needs_ray
@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("nonsense", "no Ray cluster is at 'nonsense': accepted are auto, local, HOST:PORT"),
        ("127.0.0.1:x", "no Ray cluster is at '127.0.0.1:x'"),
        ("ray://127.0.0.1:1", "no Ray cluster answers at ray://127.0.0.1:1: "),
    ],
)
def test_an_address_where_no_cluster_is(there: str, message: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    store.begin(parse(QUICK))
    with pytest.raises(InputError) as caught:
        Cluster(store, None, there)
    assert str(caught.value).startswith(message)


def test_ray_that_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plan.toml").write_text(QUICK)
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    done = carrynet("sweep", "plan.toml", "--out", "out", "--ray", "auto", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "Ray is not installed: pip install" in done.stderr
