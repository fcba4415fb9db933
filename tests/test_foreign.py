"""Foreign weights: PyTorch's own answers are the oracle; hostile files are refused in a line."""

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings, strategies as st

from carrynet import foreign, tasks, tensor_files
from carrynet.errors import InputError
from carrynet.foreign import (
    Mapping,
    guess,
    guess_activation,
    to_network,
    unused,
)
from carrynet.network import Network, Weights
from carrynet.tensor_files import Tensors

DATA = Path(__file__).parent / "data"
EXPECTED = json.loads((DATA / "expected.json").read_text())
ADD = tasks.add()
RNN = "Wxh=rnn.weight_ih_l0.T,Whh=rnn.weight_hh_l0.T,bh=rnn.bias_ih_l0+rnn.bias_hh_l0"


def logits(network: Network, word: list[int]) -> np.ndarray[Any, Any]:
    return np.concatenate([block for _, block in network.states(word)])


def read(path: Path) -> Tensors:
    return tensor_files.read(path).tensors


def refusal(action: Callable[[], object]) -> str:
    """The message of the `InputError` that something ends in: one line fit for a terminal."""
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable(), message
    return message


# What PyTorch wrote, and answers -----------------------------------------------------


@pytest.mark.parametrize("name", sorted(EXPECTED["logits"]))
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
    assert network.run(EXPECTED["word"]) == theirs.argmax(axis=1).tolist()


def test_guessed_mapping_is_said_in_full() -> None:
    tensors = read(DATA / "state_dict.pt")
    assert str(guess(tensors, ADD)) == f"{RNN},Why=fc.weight.T,by=fc.bias"
    assert unused(tensors, guess(tensors, ADD)) == []


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
    safetensors.numpy.save_file(dict(adder.weights._asdict()), path)
    tensors = read(path)
    again = to_network(tensors, ADD, "sigmoid", guess(tensors, ADD))
    assert again.digest() == adder.digest()


def test_carrynets_own_files_tell_their_task(tmp_path: Path, adder: Network) -> None:
    path, facts = tmp_path / "weights.safetensors", {"task": "compare", "activation": "tanh"}
    tensors = dict(adder.weights._asdict())
    safetensors.numpy.save_file(tensors, path, {"carrynet": json.dumps(facts)})
    assert tensor_files.read(path).facts == facts
    for metadata in (None, {"carrynet": "[1]"}, {"carrynet": "{"}, {"format": "pt"}):
        safetensors.numpy.save_file(tensors, path, metadata)
        assert tensor_files.read(path).facts == {}


def test_pytorchs_own_activation_is_the_default_for_its_names() -> None:
    assert guess_activation(Mapping(Whh="rnn.weight_hh_l0.T")) == "tanh"
    assert (
        guess_activation(Mapping(Whh="Whh")) == guess_activation(Mapping(Whh="a+b.T")) == "sigmoid"
    )


def test_own_npz_comes_back_bit_for_bit(tmp_path: Path, adder: Network) -> None:
    path = tmp_path / "weights.npz"
    weights = {key: np.asfortranarray(w) for key, w in adder.weights._asdict().items()}
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
        file.truncate(tensor_files.MAX_BYTES + 1)
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
        (b"}(" + number(1) + tensor() + b"u", "no dictionary of tensors"),
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
    zip_file(path, {"x.npy": bytes(tensor_files.MAX_BYTES + 1)}, compression)
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
    archive = tensor_files._Archive(path.read_bytes())
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


# Mappings ----------------------------------------------------------------------------

FLOATS = np.random.default_rng(0)


def rnn(prefix: str = "rnn.", suffix: str = "_l0", H: int = 4, Y: int = 1) -> Tensors:
    shapes = {
        f"{prefix}weight_ih{suffix}": (H, 2),
        f"{prefix}weight_hh{suffix}": (H, H),
        f"{prefix}bias_ih{suffix}": (H,),
        f"{prefix}bias_hh{suffix}": (H,),
        "head.weight": (Y, H),
        "head.bias": (Y,),
    }
    return {name: FLOATS.normal(size=shape).astype("f4") for name, shape in shapes.items()}


@pytest.mark.parametrize("prefix", ["", "rnn.", "module.net.0."])
@pytest.mark.parametrize("suffix", ["", "_l0"])
def test_names_of_pytorch_under_any_prefix(prefix: str, suffix: str) -> None:
    tensors = rnn(prefix, suffix)
    network = to_network(tensors, ADD, "relu", guess(tensors, ADD))
    assert np.array_equal(network.weights.Wxh, tensors[f"{prefix}weight_ih{suffix}"].T)
    assert np.array_equal(network.weights.Whh, tensors[f"{prefix}weight_hh{suffix}"].T)
    biases = tensors[f"{prefix}bias_ih{suffix}"] + tensors[f"{prefix}bias_hh{suffix}"]
    assert np.array_equal(network.weights.bh, biases)
    assert np.array_equal(network.weights.Why, tensors["head.weight"].T)
    assert np.array_equal(network.weights.by, tensors["head.bias"])


@given(st.integers(1, 4), st.floats(-3, 3), st.integers(0, 2**32 - 1))
def test_thresholds_and_pairs_of_logits(H: int, threshold: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = {"Wxh": (2, H), "Whh": (H, H), "bh": (H,), "Why": (H, 2), "by": (2,)}
    tensors = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    mapping = Mapping("Wxh", "Whh", "bh", "Why", "by", threshold)
    network = to_network(tensors, ADD, "tanh", mapping)

    word, h, answers = rng.integers(4, size=9).tolist(), np.zeros(H), []
    for symbol in word:
        x = np.array([symbol // 2, symbol % 2])
        h = np.tanh(x @ tensors["Wxh"] + h @ tensors["Whh"] + tensors["bh"])
        zero, one = h @ tensors["Why"] + tensors["by"]
        answers.append(one - zero - threshold)
    np.testing.assert_allclose(logits(network, word)[:, 0], answers, atol=1e-12)


def test_a_missing_bias_is_zero_and_a_column_is_a_bias() -> None:
    tensors: Tensors = {
        "synapse_0": np.ones((2, 3)),
        "synapse_h": np.eye(3),
        "synapse_1": np.ones((3, 1)),
        "offsets": np.array([[1.0], [2], [3]]),
    }
    mapping = Mapping.parse(["Wxh=synapse_0", "Whh=synapse_h", "Why=synapse_1", "bh=offsets"])
    network = to_network(tensors, ADD, "sigmoid", mapping)
    assert network.weights.bh.tolist() == [1, 2, 3]
    assert network.weights.by.tolist() == [0]
    assert unused(tensors, Mapping.parse(["bh=offsets"])) == ["synapse_0", "synapse_1", "synapse_h"]


def test_what_is_given_overrides_a_guess() -> None:
    tensors = rnn() | {"other.weight": np.zeros((1, 4), "f4")}
    message = refusal(lambda: guess(tensors, ADD))
    assert "'head.weight' (1, 4), 'other.weight' (1, 4) could each be" in message
    assert "--map Why=" in message
    said = Mapping.parse(["Why=head.weight.T,by=head.bias", "threshold=0.25"])
    found = guess(tensors, ADD, said)
    assert str(found) == f"{RNN},Why=head.weight.T,by=head.bias,threshold=0.25"
    assert unused(tensors, found) == ["other.weight"]


def test_a_tensor_without_a_place_is_not_dropped_silently() -> None:
    tensors = rnn(H=4) | {"hidden.weight": np.zeros((4, 4), "f4")}
    message = refusal(lambda: guess(tensors, ADD))
    assert "'hidden.weight' (4, 4) would have no place" in message
    suggested = message.partition("--map '")[2].rstrip("'")
    assert guess(tensors, ADD, Mapping.parse([suggested])) == Mapping.parse([suggested])


def test_two_cells_are_not_chosen_between() -> None:
    tensors = rnn("model.") | rnn("ema.")
    assert "2 recurrent cells, 'ema.', 'model.'" in refusal(lambda: guess(tensors, ADD))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["Whx=a"], "did you mean 'Wxh'"),
        (["Wxh"], "needs the name of a tensor"),
        (["Wxh="], "needs the name of a tensor"),
        (["Wxh=a", "by=b,Wxh=c"], "given twice"),
        (["threshold=high"], "not a number"),
        (["threshold=nan"], "not finite"),
        (["\x1b[31m=x"], "\\x1b"),
    ],
)
def test_mappings_that_say_nothing(said: list[str], message: str) -> None:
    assert message in refusal(lambda: Mapping.parse(said))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Wxh": "rnn.weight_ih_l0"}, "Wxh=rnn.weight_ih_l0.T"),
        ({"Whh": "rnn.weight_ih_l0"}, "a square (H, H)"),
        ({"Whh": "rnn.bias_ih_l0+head.bias"}, "added to"),
        ({"Whh": ""}, "no tensor is said to be Whh"),
        ({"Why": "head.weight"}, "its transpose fits, Why=head.weight.T"),
        ({"Why": "head.bias"}, "Why=head.bias has shape (1,), but must have (4, 1)"),
        ({"by": "head.wieght"}, "did you mean 'head.weight'"),
        ({"by": "rnn.bias_ih_l0"}, "by=rnn.bias_ih_l0 has shape (4,), but must have (1,)"),
        ({"bh": "steps"}, "'steps' holds int64, not weights"),
        ({"by": "infinite"}, "weights by are not all finite"),
        ({"by": "no\x1b[2J"}, "there is no tensor 'no\\x1b[2J'"),
        ({"Why": "nul\x1b[2J"}, "has shape (3,)"),
    ],
)
def test_weights_that_do_not_fit(changes: dict[str, str], message: str) -> None:
    tensors: Tensors = rnn() | {
        "steps": np.zeros(4, "i8"),
        "infinite": np.array([np.inf], "f4"),
        "nul\x1b[2J": np.zeros(3, "f4"),
    }
    fields = vars(Mapping.parse([f"{RNN},Why=head.weight.T,by=head.bias"])) | changes
    assert message in refusal(lambda: to_network(tensors, ADD, "tanh", Mapping(**fields)))


def test_a_task_of_another_size() -> None:
    tensors = rnn()
    for text, message in (
        ("compare", "task compare 3 output neurons"),
        ("add:operands=3", "task add:operands=3 has 3 inputs"),
    ):
        task = tasks.parse(text)
        assert message in refusal(lambda: to_network(tensors, task, "tanh", guess(tensors, task)))  # noqa: B023
    compare, wide = tasks.parse("compare"), rnn(Y=3)
    mapping = guess(wide, compare)
    assert to_network(wide, compare, "tanh", mapping).weights.Why.shape == (4, 3)
    limited = Mapping(**(vars(mapping) | {"threshold": 0.5}))
    assert "no threshold" in refusal(lambda: to_network(wide, compare, "tanh", limited))


def test_a_name_is_a_name_whatever_it_looks_like() -> None:
    tensors: Tensors = {
        "a+a.T": np.ones((2, 3)),
        "b": np.eye(3),
        "a+b": np.ones((1, 3)),
        "c,by=d": np.ones(1),
    }
    mapping = Mapping("a+a.T", "b", "", "a+b.T", "c,by=d")
    assert to_network(tensors, ADD, "tanh", mapping).weights.by.tolist() == [1]


def test_nothing_recognised_says_how_to_go_on() -> None:
    tensors: Tensors = {f"t{n}\n": np.zeros(n) for n in range(20)}
    message = refusal(lambda: guess(tensors, ADD))
    assert "--map Wxh=" in message
    assert "8 more" in message


@given(
    st.builds(
        Mapping,
        *[st.from_regex(r"[a-z_.0-9]{1,9}(\+[a-z]{1,5})?(\.T)?", fullmatch=True) | st.just("")] * 5,
        st.floats(allow_nan=False, allow_infinity=False).filter(bool) | st.just(0.0),
    )
)
def test_mappings_are_read_as_written(mapping: Mapping) -> None:
    assert Mapping.parse([str(mapping)] if str(mapping) else []) == mapping


def test_the_weights_of_a_mapping_are_those_of_a_network() -> None:
    assert set(Weights._fields) < set(vars(Mapping()))
    assert foreign.read is tensor_files.read
