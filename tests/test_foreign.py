"""Foreign weights: PyTorch's own answers are the oracle; hostile files are refused in a line."""

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings, strategies as st

from carrynet import tasks
from carrynet.errors import InputError
from carrynet.exchange import tensors as tensor_files
from carrynet.exchange.archive import Archive
from carrynet.exchange.as_mapping import owned
from carrynet.exchange.folding import Convention
from carrynet.exchange.foreign import Mapping, take
from carrynet.exchange.found import MAX_BYTES, Tensors
from carrynet.exchange.recognise import complete, guess, settle
from carrynet.exchange.source import Source
from carrynet.exchange.tensors import Contents
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from carrynet.runs.format import facts as facts_of
from carrynet.spec.task import Task

DATA = Path(__file__).parent / "data"
EXPECTED = json.loads((DATA / "expected.json").read_text())
ADD = tasks.add()
RNN = "Wxh=rnn.weight_ih_l0.T,Whh=rnn.weight_hh_l0.T,bh=rnn.bias_ih_l0+rnn.bias_hh_l0"


def read(path: Path) -> Tensors:
    return tensor_files.read(path).tensors


def contents(tensors: Tensors, **facts: str) -> Contents:
    return Contents(tensors, (), facts, "0" * 64, "weights.npz")


def to_network(tensors: Tensors, task: Task, activation: str, mapping: Mapping) -> Network:
    """The network that a mapping makes, read as carrynet's own are."""
    theirs = owned(tensors, task, complete(mapping, Mapping(), tensors)[0])
    cut = mapping.cuts[0] if mapping.cuts else 0.0
    return theirs.network(Convention(activation, theirs.codings[0], cut, 0))


def logits(network: Network, word: list[int]) -> np.ndarray[Any, Any]:
    return np.concatenate([block for _, block in network.states(word)])


def refusal(action: Callable[[], object]) -> str:
    """The message of the `InputError` that something ends in: one line fit for a terminal."""
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable(), message
    return message


# What PyTorch wrote, and answers -----------------------------------------------------


@pytest.mark.parametrize("name", sorted(EXPECTED["logits"].keys() - {"legacy"}))
def test_answers_as_pytorch_does(name: str) -> None:
    tensors = read(DATA / f"{name}.pt")
    activation = "relu" if name == "relu_no_bias" else "tanh"
    network = to_network(tensors, ADD, activation, guess(tensors, ADD))
    theirs = np.array(EXPECTED["logits"][name])
    if theirs.shape[1] == 2:
        theirs = theirs[:, 1:] - theirs[:, :1]
    tolerance = 1e-14 if name == "double" else 5e-7
    np.testing.assert_allclose(logits(network, EXPECTED["word"]), theirs, rtol=0, atol=tolerance)
    assert network.dtype == ("float64" if name == "double" else "float32")


def test_two_logits_give_the_larger_one() -> None:
    tensors = read(DATA / "two_logits.pt")
    network = to_network(tensors, ADD, "tanh", guess(tensors, ADD))
    theirs = np.array(EXPECTED["logits"]["two_logits"])
    assert network.transduce(EXPECTED["word"]) == theirs.argmax(axis=1).tolist()


def test_guessed_mapping_is_said_in_full() -> None:
    tensors = read(DATA / "state_dict.pt")
    found, _ = complete(guess(tensors, ADD), Mapping(), tensors)
    assert str(found) == f"{RNN},Why=fc.weight.T,by=fc.bias"
    assert settle(tensors, found) == []


def test_optimiser_state_is_left_out() -> None:
    assert len(read(DATA / "checkpoint.pt")) == 6


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("lstm", "LSTM"),
        ("gru", "GRU"),
        ("two_layers", "2 recurrent layers"),
        ("bidirectional", "both directions"),
    ],
)
def test_other_networks_are_refused_by_kind(name: str, reason: str) -> None:
    tensors = read(DATA / f"{name}.pt")
    assert reason in refusal(lambda: guess(tensors, ADD))


def test_a_pickled_module_has_the_names_of_its_state_dict() -> None:
    # whose shapes are those of torch.nn.RNN(2, 5)
    tensors = read(DATA / "module.pt")
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "weight_ih_l0": (5, 2),
        "weight_hh_l0": (5, 5),
        "bias_ih_l0": (5,),
        "bias_hh_l0": (5,),
    }


# Other files -------------------------------------------------------------------------


def test_own_safetensors_come_back_bit_for_bit(tmp_path: Path, adder: Network) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(dict(adder.weights), path)
    tensors = read(path)
    again = to_network(tensors, ADD, "sigmoid", guess(tensors, ADD))
    assert again.digest() == adder.digest()


def test_carrynets_own_files_tell_their_task(tmp_path: Path, adder: Network) -> None:
    path = tmp_path / "weights.safetensors"
    right = facts_of(adder)
    tensors = {key: array.copy() for key, array in adder.weights.items()}

    def written(facts: object) -> Contents:
        safetensors.numpy.save_file(tensors, path, {"carrynet": json.dumps(facts)})
        return tensor_files.read(path)

    taken = take(written(right))
    assert taken.network.digest() == adder.digest()
    assert taken.source.assumed == ()  # the file says it all
    for facts in ([1], {"task": 1, "activation": []}, {}):
        assert take(written(facts)).source.assumed[0] == "activation sigmoid"
    assert "unknown task 'mine'" in refusal(lambda: take(written(right | {"task": "mine"})))
    assert "has version 1, not 2" in refusal(lambda: take(written(right | {"version": 1})))
    old = {"task": "add", "activation": "sigmoid", "weights_sha256": adder.digest()}
    assert "format is not carrynet-model version 2" in refusal(lambda: take(written(old)))
    # an own network that is wrong is taken as it is
    tensors["Whh"][1, 1] = 0
    wrong = Network(ADD, "sigmoid", Weights(tensors))
    taken = take(written(facts_of(wrong)))
    assert taken.network.digest() == wrong.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"Whh": np.eye(3)},
        {"by": np.ones(1)},
        {"more": np.ones(1)},
        {"by": np.zeros(2)},
        {"Wxh": np.ones((2, 3), "f4")},
    ],
    ids=str,
)
def test_carrynets_own_files_are_compared_with_their_hash(adder: Network, change: Tensors) -> None:
    tensors = dict(adder.weights)
    facts = facts_of(adder)
    assert take(contents(tensors, **facts)).network.digest() == adder.digest()
    for task in (None, ADD):
        message = refusal(lambda: take(contents(tensors | change, **facts), task))  # noqa: B023
        assert "cannot take weights from weights.npz, which carrynet wrote: " in message
    other = Network(ADD, "tanh", adder.weights).cell.text
    message = refusal(lambda: take(contents(tensors, **facts | {"cell": other})))
    assert "its 'weights_sha256' is not that of its network" in message


def test_own_npz_comes_back_bit_for_bit(tmp_path: Path, adder: Network) -> None:
    path = tmp_path / "weights.npz"
    weights = {key: np.asfortranarray(w) for key, w in adder.weights.items()}
    for save in (np.savez, np.savez_compressed):
        save(path, allow_pickle=False, **weights)
        tensors = read(path)
        again = to_network(tensors, ADD, "sigmoid", guess(tensors, ADD))
        assert again.digest() == adder.digest()


def test_kinds_of_numbers(tmp_path: Path) -> None:
    values = [-1.5, 0.0, 3.25]
    path = tmp_path / "kinds.npz"
    kinds = {"half": "<f2", "single": "<f4", "big": ">f4", "double": ">f8", "integer": "<i4"}
    arrays: dict[str, Any] = {n: np.array(values).astype(kind) for n, kind in kinds.items()}
    np.savez(path, **arrays)
    tensors = read(path)
    got = {name: tensor.dtype.name for name, tensor in tensors.items()}
    assert got == {
        "half": "float32",
        "single": "float32",
        "big": "float32",
        "double": "float64",
        "integer": "int32",
    }
    assert all(tensors[name].tolist() == values for name in kinds if name != "integer")

    bfloat16 = (np.array(values, "f4").view("u4") >> 16).astype("u2")
    path = tmp_path / "kinds.safetensors"
    content = safetensors.numpy.save({"x": bfloat16})
    path.write_bytes(content.replace(b'"U16"', b'"BF16"').replace(b"  ", b" ", 1))
    assert read(path)["x"].tolist() == values
    path.write_bytes(path.read_bytes().replace(b"BF16", b"F4\x1b["))
    refusal(lambda: read(path))


def test_empty_tensors(tmp_path: Path) -> None:
    empty = {"x": np.zeros((0, 3), "f4")}
    np.savez(tmp_path / "empty.npz", x=empty["x"])
    safetensors.numpy.save_file(empty, tmp_path / "empty.safetensors")
    torch_file(tmp_path / "empty.pt", {"x": tensor(length=0, shape=(0, 3))}, {"0": b""})
    for name in ("empty.npz", "empty.safetensors", "empty.pt"):
        assert read(tmp_path / name)["x"].shape == (0, 3)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x02}.", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x93NUMPY", b"P", b"12345678{"],
)
def test_other_contents_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert str(path) in refusal(lambda: read(path))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in refusal(lambda: read(tmp_path / "missing.pt"))
    refusal(lambda: read(tmp_path))
    path = tmp_path / "large.pt"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert "larger than 64 MB" in refusal(lambda: read(path))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = (DATA / "relu_no_bias.pt").read_bytes()
    path = tmp_path / "cut.pt"
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        refusal(lambda: read(path))


def test_npz_with_objects_or_false_sizes(tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, x=np.array([Evil("touch evil")], dtype=object), allow_pickle=True)
    assert "np.load('" in refusal(lambda: read(path))
    for shape, reason in (
        ("(1000000000000,)", "the size that it claims"),
        ("(3, 2)", "the size that it claims"),
        ("(-1, -3)", "not an array of numbers"),
        ("(" * 3000, "not an array of numbers"),
    ):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
        member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(12)
        zip_file(path, {"x.npy": member})
        assert reason in refusal(lambda: read(path))


# Files of PyTorch made by hand -------------------------------------------------------


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def row(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(kind: str = "torch\nFloatStorage", key: str = "0", length: int = 6) -> bytes:
    where = text(key) + text("cpu") + number(length)
    return b"(" + text("storage") + f"c{kind}\n".encode() + where + b"tQ"


def tensor(
    kind: str = "torch\nFloatStorage",
    key: str = "0",
    length: int = 6,
    offset: int = 0,
    shape: tuple[int, ...] = (2, 3),
    stride: tuple[int, ...] = (3, 1),
) -> bytes:
    """The program that makes a tensor, of 0 to 5 in two rows unless said otherwise."""
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage(kind, key, length)
        + number(offset)
        + row(shape)
        + row(stride)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def dictionary(entries: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def zip_file(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)


def torch_file(
    path: Path,
    content: bytes | dict[str, bytes],
    storages: dict[str, bytes] | None = None,
    **others: bytes,
) -> None:
    """A file as torch.save writes it, of a program or of a dictionary of programs."""
    program = content if isinstance(content, bytes) else dictionary(content)
    data = {"0": struct.pack("<6f", *range(6))} if storages is None else storages
    members = {f"archive/data/{key}": value for key, value in data.items()} | others
    zip_file(path, {"archive/data.pkl": b"\x80\x02" + program + b"."} | members)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    stride=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    offset=st.integers(0, 4),
    length=st.integers(0, 12),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_views_of_a_storage(
    tmp_path: Path, shape: list[int], stride: list[int], offset: int, length: int
) -> None:
    path = tmp_path / "view.pt"
    stride = stride[: len(shape)]
    program = tensor(length=length, offset=offset, shape=tuple(shape), stride=tuple(stride))
    torch_file(path, {"x": program}, {"0": struct.pack(f"<{length}f", *range(length))})
    indices = list(product(*map(range, shape)))
    places = [offset + sum(i * s for i, s in zip(index, stride, strict=True)) for index in indices]
    if max(places, default=-1) >= length:
        assert "outside its storage" in refusal(lambda: read(path))
    elif not shape:
        assert "'x' (a number)" in refusal(lambda: read(path))
    else:
        x = read(path)["x"]
        assert x.shape == tuple(shape)
        assert x.reshape(-1).tolist() == places


HUGE = 2**62


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": -1},
        {"offset": 1},
        {"shape": (2, -3)},
        {"shape": (-2, -3)},
        {"stride": (3, -1)},
        {"stride": (3, -1), "offset": 2},
        {"stride": (3,)},
        {"shape": (HUGE, HUGE), "stride": (0, 0)},
        {"shape": (2**25,), "stride": (0,)},
        {"shape": (2,) * 40, "stride": (0,) * 40},
        {"shape": (0, HUGE), "stride": (0, 0)},
        {"stride": (HUGE, 1)},
        {"offset": 2**200},
        {"length": HUGE},
        {"length": -6},
        {"length": 5},
        {"length": 7},
        {"kind": "torch\nDoubleStorage"},
        {"kind": "torch\nComplexFloatStorage"},
        {"kind": "collections\nOrderedDict"},
        {"key": "1"},
        {"key": "../data.pkl"},
    ],
    ids=str,
)
def test_tensors_that_do_not_fit_their_storage(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "bad.pt"
    torch_file(path, {"x": tensor()})
    assert read(path)["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    torch_file(path, {"x": tensor(**changes)})
    refusal(lambda: read(path))


def test_big_endian(tmp_path: Path) -> None:
    path = tmp_path / "big.pt"
    data = {"0": struct.pack(">6f", *range(6))}
    torch_file(path, {"x": tensor()}, data, **{"archive/byteorder": b"big"})
    assert read(path)["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    torch_file(path, {"x": tensor()}, data, **{"archive/byteorder": b"odd"})
    assert "byte order" in refusal(lambda: read(path))


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_command_in_a_pickle_is_not_run(tmp_path: Path, protocol: int) -> None:
    proof = tmp_path / "was-run"
    evil = pickle.dumps(Evil(f"touch {proof}"), protocol=protocol)
    path = tmp_path / "evil.pt"
    zip_file(path, {"archive/data.pkl": evil})
    message = refusal(lambda: read(path))
    assert "system" in message or "PUT" in message
    assert not proof.exists()
    pickle.loads(evil)  # this file does work on others
    assert proof.exists()


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"cbuiltins\neval\n" + text("1/0") + b"\x85R", "builtins.eval"),
        (b"c__main__\nNet\n)\x81", "__main__.Net"),
        (b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n", "__globals__"),
        (text("os") + text("system") + b"\x93", "os.system"),
        (number(1) + number(2) + b"\x93", "names no class"),
        (b"cos\x1b[31m\nsystem\n", "os\\x1b[31m.system"),
        (b"\x82\x01", "EXT1"),
        (b"(cos\nsystem\n" + text("true") + b"o", "OBJ"),
        (b"(" + text("true") + b"ios\nsystem\n", "INST"),
        (b"ccollections\nOrderedDict\n)\x81", "no dictionary of tensors"),
        (b"ccollections\nOrderedDict\n}" + text("x") + b"K\x01sb", "not a dictionary"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n)R", "in a way that PyTorch does not"),
        (b"ctorch._utils\n_rebuild_parameter\n" + text("x") + b"\x85R", "_rebuild_parameter"),
        (b"ctorch\nFloatStorage\nK\x05\x85R", "torch.FloatStorage"),
        (text("x") + text("y") + b"R", "makes objects by what is no name"),
        (text("storage") + b"Q", "storage is described"),
        (b"((tQ", "storage is described"),
        (b"Q", "damaged"),
        (b"t", "damaged"),
        (b"h\x05", "damaged"),
        (text("x") + text("y") + b"a", "no list"),
        (b"]" + text("x") + text("y") + b"s", "no dictionary"),
        (b"}(" + text("x") + b"u", "damaged"),
        (text("x"), "no dictionary of tensors"),
        (tensor(), "no dictionary of tensors"),
        (b"}", "no dictionary of tensors"),
        (dictionary({"1": tensor()})[:-1] + number(1) + tensor() + b"u", "sets a key twice"),
        (dictionary({"x" * 300: tensor()}), "longer than 256"),
        (b"\x8b\xff\xff\xff\x7f", "damaged"),
        (b"X\xff\xff\xff\xff", "damaged"),
        (b"\xff", "damaged"),
        (b"0" * 10, "POP"),
        (b"N" * (2**20), "unpacks to too much"),
    ],
)
def test_programs_that_are_no_state_dict(tmp_path: Path, program: bytes, reason: str) -> None:
    path = tmp_path / "bad.pt"
    torch_file(path, program)
    assert reason in refusal(lambda: read(path))


def test_a_program_without_an_end(tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    zip_file(path, {"archive/data.pkl": b"\x80\x02}"})
    refusal(lambda: read(path))


@pytest.mark.parametrize(
    "program",
    [
        b"}q\x00" + text("self") + b"h\x00s",  # a dictionary that holds itself
        b"]q\x00h\x00a",
        b"]" * 100_000 + b"a" * 99_999,  # lists in lists
        b")" + b"\x85" * 100_000,
        # each holds the one before twice: 2^60 ways to the first
        b"}q\x00"
        + b"".join(
            b"}("
            + text("a")
            + b"h"
            + bytes([n])
            + text("b")
            + b"h"
            + bytes([n])
            + b"uq"
            + bytes([n + 1])
            for n in range(60)
        ),
        b"".join(b"}" + text("a") for _ in range(10_000)) + b"}" + b"s" * 10_000,
    ],
    ids=["dict in itself", "list in itself", "lists", "tuples", "doubling", "dicts"],
)
def test_programs_that_recur(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "bad.pt"
    torch_file(path, program)
    refusal(lambda: read(path))


def test_a_dictionary_that_holds_itself_is_looked_at_once(tmp_path: Path) -> None:
    path = tmp_path / "self.pt"
    torch_file(path, b"}q\x00(" + text("x") + tensor() + text("self") + b"h\x00u")
    assert list(read(path)) == ["x"]


def test_a_distant_place_in_the_memo_takes_no_memory(tmp_path: Path) -> None:
    # CPython's own unpickler lays out 64 GB for this one
    path = tmp_path / "memo.pt"
    torch_file(path, dictionary({"x": tensor()}) + b"r\xff\xff\xff\xff")
    assert list(read(path)) == ["x"]


def test_many_views_of_one_storage_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "views.pt"
    view = tensor(shape=(2**20,), stride=(0,))
    torch_file(path, {f"x{n}": view for n in range(17)})
    assert "more than 64 MB" in refusal(lambda: read(path))
    torch_file(path, b"}(" + b"".join(text(f"x{n}") + tensor() for n in range(1001)) + b"u")
    assert "more than 1000 tensors" in refusal(lambda: read(path))


def test_what_a_pickle_sets_on_an_object_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "build.pt"
    metadata = dictionary({"items": text("x"), "_metadata": b"}"})
    torch_file(path, dictionary({"x": tensor()}) + metadata + b"b")
    assert list(read(path)) == ["x"]


def test_several_dictionaries_keep_their_paths(tmp_path: Path) -> None:
    path = tmp_path / "two.pt"
    torch_file(
        path,
        {"a": dictionary({"x": tensor(), "n": number(3)}), "b": dictionary({"x": tensor()})},
    )
    assert list(read(path)) == ["a.x", "b.x"]
    torch_file(path, {"a": dictionary({"b": dictionary({"x": tensor()})}), "epoch": number(3)})
    assert list(read(path)) == ["x"]
    torch_file(path, {"a": dictionary({"b.x": tensor()}), "a.b": dictionary({"x": tensor()})})
    assert "two tensors named 'a.b.x'" in refusal(lambda: read(path))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_zip_bombs(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "bomb.npz"
    zip_file(path, {"x.npy": bytes(MAX_BYTES + 1)}, compression)
    assert path.stat().st_size < 100_000
    refusal(lambda: read(path))
    torch_bomb = {"a/data.pkl": b"\x80\x02}.", "a/byteorder": bytes(2**26)}
    zip_file(path, torch_bomb, compression)
    refusal(lambda: read(path))


def test_compression_that_cannot_be_bounded(tmp_path: Path) -> None:
    path = tmp_path / "small.npz"
    for compression in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        zip_file(path, {"x.npy": b"x"}, compression)
        assert "compressed in an unusual way" in refusal(lambda: read(path))


def test_a_zip_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    size = 2**25
    zip_file(path, {"x.npy": bytes(size)}, zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", size), struct.pack("<I", 128)))
    refusal(lambda: read(path))
    archive = Archive(path.read_bytes())
    tracemalloc.start()
    with pytest.raises(zipfile.BadZipFile):
        archive.read("x.npy")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**18


def test_a_zip_of_too_many_members(tmp_path: Path) -> None:
    path = tmp_path / "many.npz"
    path.write_bytes(b"PK\x03\x04" + b"PK\x01\x02" * 10_001)
    assert "more than 10,000 members" in refusal(lambda: read(path))


def _program_of(name: str) -> bytes:
    with zipfile.ZipFile(DATA / f"{name}.pt") as file:
        return file.read(f"{name}/data.pkl")


def test_an_escape_that_python_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "escape.pt"
    program = _program_of("relu_no_bias").replace(b"collections", b"\\ollections")
    assert b"c\\ollections" in program
    zip_file(path, {"relu_no_bias/data.pkl": program})
    refusal(lambda: read(path))


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_one_line(tmp_path: Path, data: st.DataObject) -> None:
    program = bytearray(_program_of(data.draw(st.sampled_from(["relu_no_bias", "protocol4"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        program[data.draw(st.integers(0, len(program) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "fuzz.pt"
    with zipfile.ZipFile(DATA / "relu_no_bias.pt") as file:
        rest = {name: file.read(name) for name in file.namelist() if "/data/" in name}
    zip_file(path, {**rest, "relu_no_bias/data.pkl": bytes(program)})
    _reads_or_refuses(path)


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_to_other_files_is_one_line(tmp_path: Path, data: st.DataObject) -> None:
    tensors = {"x": np.arange(6, dtype="f4").reshape(2, 3), "y": np.ones(2)}
    buffer = io.BytesIO()
    np.save(buffer, tensors["x"])
    npz = data.draw(st.booleans())
    content = bytearray(buffer.getvalue() if npz else safetensors.numpy.save(tensors))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "fuzz"
    if npz:
        zip_file(path, {"x.npy": bytes(content)})
    else:
        path.write_bytes(content)
    _reads_or_refuses(path)


def _reads_or_refuses(path: Path) -> None:
    try:
        read(path)
    except InputError:
        refusal(lambda: read(path))


# What is taken -----------------------------------------------------------------------


def test_what_the_owner_leaves_out_is_recorded(adder: Network) -> None:
    tensors = dict(adder.weights) | {
        "ema.Whh": np.ones((3, 3)),
        "ema.bh": np.ones(3),
        "h[0]": np.ones(3),
        "loss": np.array(0.5),
    }
    assert "looks like" in refusal(lambda: take(contents(tensors)))
    assert "looks like" in refusal(lambda: take(contents(tensors), leave_out=["ema.*"]))
    taken = take(contents(tensors), leave_out=["ema.*", "h[0]"])
    assert taken.network.digest() == adder.digest()
    assert taken.source.left_out == ("ema.Whh", "ema.bh", "h[0]", "loss")
    assert "left out    ema.Whh, ema.bh, h[0]" in taken.notes
    assert "passed over loss" in taken.notes
    message = refusal(lambda: take(contents(tensors), leave_out=["emma.*"]))
    assert "there is no tensor 'emma.*' to leave out" in message
    # what is left out is not there for --map either
    message = refusal(lambda: take(contents(tensors), leave_out=["*bh"], given=Mapping(bh="bh")))
    assert "there is no tensor 'bh'" in message


def test_names_that_write_to_the_terminal_or_into_the_card(adder: Network) -> None:
    evil = "\x1b[2J\u202e<script>alert(1)</script>`**x**`\n# no\r"
    tensors = {f"{evil}{key}": array for key, array in adder.weights.items()}
    said: dict[str, Any] = {key: f"{evil}{key}" for key in adder.weights}
    maps = Mapping(**said)
    theirs = Contents(tensors | {f"{evil}.loss": np.array(1)}, (evil,), {}, "0" * 64, evil)
    taken = take(theirs, given=maps)
    assert taken.network.digest() == adder.digest()
    assert all(line.isprintable() for line in taken.notes)
    assert all(line.isprintable() for line in taken.source.lines())
    # in a block of code nothing is Markdown or HTML; a line break would end it
    assert all(line.startswith("    ") for line in taken.source.to_markdown().split("\n"))
    assert len(taken.source.to_markdown().splitlines()) == 5
    json.dumps(taken.source.to_json())
    refusal(lambda: take(replace(theirs, tensors=tensors | {evil: np.eye(3)})))
    refusal(lambda: take(replace(theirs, tensors=tensors | {evil: np.eye(3)}), given=maps))
    refusal(lambda: take(theirs, given=replace(maps, by=f"{evil}x")))
    refusal(lambda: take(theirs, coding=evil))
    refusal(lambda: take(theirs, leave_out=[evil]))
    refusal(lambda: take(theirs, given=replace(maps, Why=maps.Wxh)))
    # a run's folder is not believed either
    loose = Source(evil, "0" * 64, evil, (evil,), (evil,))
    assert all(line.isprintable() for line in loose.lines())


def test_sources_are_read_as_written() -> None:
    source = Source("a.pt", "ab" * 32, "Wxh=a", ("b", "c"), ())
    document = json.loads(json.dumps(source.to_json()))
    assert document["left_out"] == ["b", "c"]
    assert Source.from_json(document) == source
    for change in (
        {"file": 1},
        {"sha256": "ab"},
        {"sha256": None},
        {"mapping": ["x"]},
        {"left_out": "abc"},
        {"left_out": [1]},
        {"assumed": None},
        {"assumed": ("x",)},
        {"more": ""},
    ):
        with pytest.raises((ValueError, TypeError)):
            Source.from_json(document | change)
    for key in document:
        with pytest.raises(KeyError):
            Source.from_json({k: v for k, v in document.items() if k != key})
    others: list[object] = [None, [], "x", 1]
    for other in others:
        with pytest.raises(ValueError, match="a source has"):
            Source.from_json(other)


def test_what_is_said_wrongly(adder: Network) -> None:
    theirs = contents(dict(adder.weights))
    assert "unknown activation 'sine'" in refusal(lambda: take(theirs, activation="sine"))
    assert "unknown coding '01'" in refusal(lambda: take(theirs, coding="01"))
    assert "does not fit 2 inputs" in refusal(lambda: take(theirs, coding="one-hot"))
    assert "delay must be from 0 to 2" in refusal(lambda: take(theirs, delay=-1))


def test_the_mapping_that_is_kept_names_the_unit_of_its_cut(adder: Network) -> None:
    w = adder.weights
    number = contents(dict(w.replace(Why=0.02 * w.Why, by=0.02 * w.by + 0.5)))
    small = contents(dict(w.replace(Why=0.02 * w.Why, by=0.02 * w.by)))

    def kept(theirs: Contents, **cut: Any) -> str:
        return take(theirs, given=Mapping(**cut)).source.mapping.rpartition(",")[2]

    assert kept(number) == kept(number, threshold=0.5) == kept(number, logit=0.5) == "logit=0.5"
    assert kept(small) == "by=by"
    assert kept(small, threshold=0.5) == kept(small, p=0.5) == "p=0.5"
    assert kept(small, logit=0) == "logit=0"


# What would not be the owner's network -----------------------------------------------


def as_pytorch(network: Network) -> Tensors:
    """The tensors of an Elman network as those of an `nn.RNN` and an `nn.Linear`."""
    w = network.weights
    return {
        "rnn.weight_ih_l0": w.Wxh.T,
        "rnn.weight_hh_l0": w.Whh.T,
        "rnn.bias_ih_l0": w.bh,
        "rnn.bias_hh_l0": np.zeros_like(w.bh),
        "fc.weight": w.Why.T,
        "fc.bias": w.by,
    }


def test_biases_that_cancel_are_refused(adder: Network) -> None:
    """PyTorch rounds by the size of each: of 2**27 and -2**27 it forgets all that is added."""
    tensors = as_pytorch(adder)
    one, other = "rnn.bias_ih_l0", "rnn.bias_hh_l0"
    for apart, taken in ((1.5, True), (100.0, False), (2.0**27, False)):
        both = {one: tensors[one] + np.float32(apart), other: tensors[other] - np.float32(apart)}
        theirs = contents({**tensors, **both})
        if taken:
            assert take(theirs, activation="sigmoid").network.digest() == adder.digest()
            continue
        assert "two biases of one unit nearly cancel" in refusal(
            lambda theirs=theirs: take(theirs, activation="sigmoid")  # type: ignore[misc]
        )
    # in one direction they do not
    halves: Tensors = {**tensors, one: tensors[one] / 2, other: tensors[one] / 2}
    took = take(contents(halves), activation="sigmoid")
    assert took.network.digest() == adder.digest()


def test_logits_that_have_much_in_common_are_refused(adder: Network) -> None:
    w, rng = adder.weights, np.random.default_rng(0)
    for size, taken in ((0.5, True), (1e4, False)):
        common = rng.normal(0, size, w.Why.shape)
        heads = np.concatenate([common, common + w.Why], axis=1).astype("f4")
        two = {"fc.weight": heads.T, "fc.bias": np.array([0, w.by[0]], "f4")}
        whole: Tensors = {**as_pytorch(adder), **two}
        theirs = contents(whole)
        if taken:
            assert take(theirs, activation="sigmoid").network.transduce([3, 0]) == [0, 1]
            continue
        assert "the two logits have too much in common" in refusal(
            lambda theirs=theirs: take(theirs, activation="sigmoid")  # type: ignore[misc]
        )


def test_a_cut_that_takes_the_logits_bias_away_is_refused(adder: Network) -> None:
    w = adder.weights
    far = contents(dict(w.replace(by=w.by + np.float32(2**20))))
    said = refusal(lambda: take(far, given=Mapping(logit=2.0**20)))
    assert "nearly cancel" in said


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_an_embedding_of_doubles_is_not_rounded(adder: Network, dtype: str) -> None:
    """What symbols are written as are numbers of float32; a network of doubles is fed others."""
    fed = np.array([[a & 1, a >> 1] for a in range(4)], "f8")
    embedding = (fed + 1e-9).astype(dtype)
    tensors = {name: array.astype(dtype) for name, array in as_pytorch(adder).items()}
    theirs = contents({"embedding.weight": embedding, **tensors})
    if dtype == "f4":
        assert take(theirs, activation="sigmoid").network.transduce([3, 0]) == [0, 1]
        return
    said = refusal(lambda: take(theirs, activation="sigmoid"))
    assert "no numbers of float32" in said
    whole = contents({"embedding.weight": fed, **tensors})
    assert take(whole, activation="sigmoid").network.dtype == "float64"
