"""Sweeps in folders and in object stores: an S3 server on this machine, and fsspec."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from carrynet import sweep
from carrynet.errors import InputError, RunError
from carrynet.sweep import Store, block, places, table
from tests.test_cli import carrynet
from tests.test_sweep import QUICK, parse, rows_of, run


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server with a bucket named 'results'; gives what follows the '?' of its URLs."""
    from moto.server import ThreadedMotoServer
    from pyarrow import fs

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "me")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        _, port = moto.get_host_and_port()
        options = f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
        system, _ = fs.FileSystem.from_uri(f"s3://results?{options}&allow_bucket_creation=true")
        system.create_dir("results")
        yield options
        moto.stop()


@pytest.fixture(params=["folder", "fsspec", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address of each sort, where nothing is yet."""
    if request.param == "folder":
        return str(tmp_path / "out")
    if request.param == "fsspec":
        return f"fsspec+file://{tmp_path}/out"
    return f"s3://results/{tmp_path.name}?{request.getfixturevalue('server')}"


def kept(root: str) -> list[dict[str, object]]:
    """Every row, in order, less the times, by the library."""
    store = Store(root)
    names = [column.name for column in sweep.columns(store.plan())]
    rows = [row for batch in table.batches(store, names) for row in batch.to_pylist()]
    rows.sort(key=lambda row: row["number"])
    return [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in rows]


def test_files_are_whole_and_are_listed_and_removed(root: str) -> None:
    place = places.at(root)
    assert place.names("") == []
    place.make(("a", "b"))
    assert place.names("a") == []
    place.write("a/x", b"one")
    place.write("a/x", b"two")
    place.write("a/y", bytes(10**6))
    assert sorted(place.names("a")) == ["x", "y"]
    assert place.read("a/x") == b"two"
    with place.open("a/y") as file:
        assert len(file.read()) == 10**6
    place.remove("a/x")
    place.remove("a/x")
    assert place.names("a") == ["y"]
    with pytest.raises(FileNotFoundError):
        place.read("a/x")


def test_a_sweep_is_the_same_wherever_it_is(root: str, tmp_path: Path) -> None:
    run(parse(QUICK, keep="all"), tmp_path / "here")
    expected = rows_of(tmp_path / "here")

    begun = Store(root)
    begun.begin(parse(QUICK, keep="all"))
    finished = block.work(begun.plan(), 3)
    begun.finish(3, finished.rows, finished.weights)
    summary = sweep.execute(parse(QUICK, keep="all"), root, jobs=1)  # goes on; by another process
    assert summary.complete
    assert summary.networks == 32 - len(begun.plan().block(3))
    assert kept(root) == expected
    network = sweep.network(Store(root), 17)
    assert network.digest() == expected[17]["weights_sha256"]
    with pytest.raises(InputError, match="holds a sweep by another plan"):
        run(parse(QUICK), root)


def test_the_command_takes_addresses(server: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(QUICK)
    address = f"s3://results/commanded?{server}"
    done = carrynet("sweep", "plan.toml", "--out", address, "--jobs", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"sweep       {address}" in done.stdout
    done = carrynet("table", address, "--by", "hidden", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert not list(tmp_path.glob("s3*"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s4://bucket/x", "cannot use s4://bucket/x: Unrecognized filesystem type"),
        ("fsspec+nowhere://x", "cannot use fsspec"),
        ("s3://", "s3:// names no folder"),
        ("s3://me:mine@bucket/x", "an address with a password would be shown and written"),
    ],
)
def test_an_address_that_is_none_is_one_line(address: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(QUICK)
    for command in (("sweep", "plan.toml", "--out", address), ("table", address)):
        done = carrynet(*command, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith(f"carrynet: {message}")
        assert len(done.stderr.splitlines()) == 1


def test_a_bucket_that_is_not_there_is_one_line(server: str) -> None:
    with pytest.raises(RunError, match=r"cannot write s3://nobody.*Bucket 'nobody' not found"):
        run(parse(QUICK), f"s3://nobody/x?{server}")
    with pytest.raises(RunError, match=r"is not a sweep: it has no plan\.toml"):
        table.summarise(Store(f"s3://results/nothing?{server}"))


def test_a_damaged_part_is_named(root: str) -> None:
    store = Store(root)
    store.begin(parse(QUICK))
    store.finish(0, b"PAR1 and no more", None)
    with pytest.raises(RunError, match=r"parts/part-000000\.parquet is damaged"):
        table.summarise(store)
