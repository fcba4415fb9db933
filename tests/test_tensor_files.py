"""What files hold besides weights, and kinds of file; `weights.npz` says what their numbers are.

The files in `data/foreign` were made from it by hand, or by the library whose kind they are; those
in `data` by PyTorch.  The other tests of this reader are in `test_foreign`.
"""

import dataclasses
import json
import os
import re
import struct
import zipfile
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings, strategies as st

from carrynet import files
from carrynet.errors import InputError
from carrynet.exchange.found import Tensors
from carrynet.exchange.tensors import read
from carrynet.nets.network import Network
from tests.test_foreign import (
    dictionary,
    number,
    refusal,
    tensor,
    text,
    torch_file,
    zip_file,
)

DATA = Path(__file__).parent / "data"
FOREIGN = DATA / "foreign"
WEIGHTS = np.load(FOREIGN / "weights.npz")
GLOBAL = {  # programs that name a class
    name: f"c{name.rpartition('.')[0]}\n{name.rpartition('.')[2]}\n".encode()
    for name in (
        *("argparse.Namespace", "lightning.AttributeDict", "collections.OrderedDict"),
        *("__torch__.Adder", "__torch__.RNN", "__main__.Adder", "torch.nn.modules.rnn.RNN"),
        "torch.nn.modules.activation.Softmax",
        *("numpy._core.multiarray._reconstruct", "torch._utils._rebuild_sparse_tensor"),
        *("__torch__.torch.classes.quantized.Packed", "torch._utils._rebuild_parameter"),
        *("torch._tensor._rebuild_from_type_v2", "torch._utils._rebuild_tensor_v2", "a.Tensor"),
    )
}


def new(name: str, state: bytes = b"}") -> bytes:
    """An object as pickle makes it: a class, no arguments, what is set on it."""
    return GLOBAL[name] + b")\x81" + state + b"b"


def module(name: str, modules: dict[str, bytes] | None = None, **parameters: bytes) -> bytes:
    """A whole module of PyTorch's."""
    drawers = {
        "training": b"\x88",
        "_parameters": dictionary(parameters | {"empty": b"N"}),
        "_buffers": dictionary({}),
        "_modules": dictionary(modules or {}),
        "_all_weights": b"](" + text("weight") + b"e",
    }
    return new(name, dictionary(drawers))


# Cases from the field ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "prefix", "passed_over"),
    [
        ("C_general_checkpoint.pt", "", {"'epoch' (a number)", "'loss' (a number)"}),
        ("C_swa_model.pt", "module.", {"'n_averaged' (a number)"}),
        ("C_numpy_scalar.pt", "", {"'epoch' (a number)", "'best_acc' (a number)"}),
        ("F_legacy.pth", "", set()),
        ("F_torchscript.pt", "", set()),
    ],
)
def test_files_of_pytorch_hold_these_weights(name: str, prefix: str, passed_over: set[str]) -> None:
    contents = read(FOREIGN / name)
    wanted = {
        "rnn.weight_ih_l0": WEIGHTS["tanh.Wxh"].T,
        "rnn.weight_hh_l0": WEIGHTS["tanh.Whh"].T,
        "rnn.bias_ih_l0": WEIGHTS["tanh.bh"],
        "rnn.bias_hh_l0": 0 * WEIGHTS["tanh.bh"],
        "readout.weight": WEIGHTS["tanh.Why"].T,
        "readout.bias": WEIGHTS["tanh.by"],
    }
    assert contents.tensors.keys() == {prefix + key for key in wanted}
    for key, array in wanted.items():
        assert np.array_equal(contents.tensors[prefix + key], array)
    assert set(contents.passed_over) == passed_over


def test_whole_numbers_are_weights() -> None:
    tensors = read(FOREIGN / "G_whole_numbers.npz").tensors
    assert {tensor.dtype.kind for tensor in tensors.values()} == {"i"}
    assert tensors["bh"].tolist() == [-10, -30, -50]


def test_a_checkpoint_of_pytorch_passes_over_its_optimiser() -> None:
    assert read(DATA / "checkpoint.pt").passed_over == ("'optimizer' (a dictionary)",)


def command(path: Path) -> str:
    """The line of Python that a refusal gives."""
    message = refusal(lambda: read(path))
    found = re.search(r'this converts it: python -c "([^"$`\\]*)"$', message)
    assert found, message
    compile(found[1], "the line", "exec")
    return found[1]


def converted(path: Path, folder: Path) -> Tensors:
    """What that line makes of a file."""
    with chdir(folder):
        exec(command(path), {})
    return read(folder / "converted.npz").tensors


@pytest.mark.parametrize("name", ["F_weights.pkl", "F_weights.npy", "F_object.npz"])
def test_the_lines_that_convert_pickles_do(name: str, tmp_path: Path) -> None:
    tensors = converted(FOREIGN / name, tmp_path)
    synapses = {"synapse_0": "Wxh", "synapse_h": "Whh", "synapse_1": "Why"}
    assert tensors.keys() == synapses.keys()
    for name, weight in synapses.items():
        assert np.array_equal(tensors[name], WEIGHTS[f"tutorial.{weight}"])


@pytest.mark.parametrize(
    ("name", "kind", "needs"),
    [
        ("F_weights.pkl", "which runs whatever its author wished", "numpy"),
    ],
)
def test_other_kinds_are_named_with_the_line_that_converts_them(
    name: str, kind: str, needs: str
) -> None:
    assert kind in refusal(lambda: read(FOREIGN / name))
    code = command(FOREIGN / name)
    assert code.startswith(f"import {needs}")
    assert f"'{FOREIGN / name}'" in code


def test_a_name_that_a_shell_would_take_apart_is_not_put_into_a_line(tmp_path: Path) -> None:
    for name in ('"; touch evil; "', "$(touch evil)", "it's", "a b", "`evil`"):
        path = tmp_path / name
        path.write_bytes((FOREIGN / "F_weights.pkl").read_bytes())
        assert "np.load('FILE', " in command(path)


def test_arrays_of_numpys(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(6.0).reshape(2, 3))
    assert converted(path, tmp_path)["weights"].shape == (2, 3)

    layers = np.empty(2, dtype=object)
    layers[:] = [np.ones((2, 3)), np.eye(3)]
    np.savez(tmp_path / "layers.npz", allow_pickle=True, layers=layers, by=np.zeros(1))
    tensors = converted(tmp_path / "layers.npz", tmp_path)
    shapes = {key: a.shape for key, a in tensors.items()}
    assert shapes == {"layers.0": (2, 3), "layers.1": (3, 3), "by": (1,)}


# What is passed over -----------------------------------------------------------------


def test_what_cannot_be_a_weight_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    scores = dictionary({"best_model_score": tensor(shape=(), stride=())})
    hyper = GLOBAL["lightning.AttributeDict"] + b")\x81(" + text("lr") + number(3) + b"u"
    exponential = dictionary({"x": dictionary({"exp_avg": tensor()})})
    entries = {
        "state_dict": dictionary({"x": tensor(), "steps": tensor(shape=(), stride=())}),
        "args": new("argparse.Namespace", dictionary({"hidden": number(8)})),
        "hyper_parameters": hyper,
        "callbacks": dictionary({"ModelCheckpoint{'monitor': 'val'}" + 300 * "}": scores}),
        "optimizer": dictionary({"state": exponential, "param_groups": b"]"}),
        "optimizers": b"]" + dictionary({"state": exponential, "param_groups": b"]"}) + b"a",
        "losses": b"](G" + struct.pack(">d", 0.5) + number(1) + b"e",
        "version": text("2.1"),
        "nothing": b"N",
        "kind": GLOBAL["argparse.Namespace"],
        "history": GLOBAL["numpy._core.multiarray._reconstruct"] + b")R",
        "rng_state": tensor("torch\nByteStorage", "1", 5, shape=(5,), stride=(1,)),
    }
    torch_file(path, entries, {"0": struct.pack("<6f", *range(6)), "1": bytes(5)})
    contents = read(path)
    assert contents.tensors.keys() == {"x"}
    assert set(contents.passed_over) == {
        "'state_dict.steps' (a number)",
        "'args' (argparse.Namespace)",
        "'hyper_parameters' (lightning.AttributeDict)",
        "'callbacks' (a dictionary)",
        "'optimizer' (a dictionary)",
        "'optimizers' (a list)",
        "'losses' (a list)",
        "'version' (a text)",
        "'nothing' (nothing)",
        "'kind' (the name argparse.Namespace)",
        "'history' (an array of NumPy's)",
        "'rng_state' (bytes)",
    }


def test_what_is_passed_over_is_short_and_fit_for_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "many.pt"
    junk = {f"\x1b[31m{n}" + "x" * 1000: text("\x1b[2J") for n in range(300)}
    evil = b"cos\x1b[31m\n" + b"x" * 1000 + b"\n)\x81"
    torch_file(path, {"x": tensor(), "evil": evil} | junk)
    passed_over = read(path).passed_over
    assert all(entry.isprintable() and len(entry) < 150 for entry in passed_over)
    assert passed_over[-1] == "201 more"
    assert len(passed_over) == 101


def test_numbers_and_texts_of_other_files_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.ones(3), epoch=3, by=np.array("adam"), names=np.array(["a", "bc"]))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("README", "weights")
    contents = read(path)
    assert contents.tensors.keys() == {"x"}
    assert set(contents.passed_over) == {
        *("'epoch' (a number)", "'by' (texts)", "'names' (texts)", "'README' (no array)"),
    }
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"x": np.ones(3), "steps": np.array(3)}, path)
    assert read(path).tensors.keys() == {"x"}
    assert read(path).passed_over == ("'steps' (a number)",)
    safetensors.numpy.save_file({"steps": np.array(3)}, path)
    assert "holds no tensors, but 'steps' (a number)" in refusal(lambda: read(path))


@pytest.mark.parametrize(
    "unreadable",
    [
        GLOBAL["torch._utils._rebuild_sparse_tensor"] + b")R",
        GLOBAL["numpy._core.multiarray._reconstruct"] + b")R",
        new("__torch__.torch.classes.quantized.Packed", b")"),
    ],
    ids=["sparse", "an array", "packed"],
)
def test_what_may_be_a_weight_is_never_passed_over(tmp_path: Path, unreadable: bytes) -> None:
    path = tmp_path / "bad.pt"
    torch_file(path, {"x": tensor(), "hidden.weight": unreadable})
    assert "'hidden.weight' is made by" in refusal(lambda: read(path))


def test_any_class_stays_a_name(tmp_path: Path) -> None:
    path, proof = tmp_path / "evil.pt", tmp_path / "was-run"
    call = b"cos\nsystem\n" + text(f"touch {proof}") + b"\x85R"
    # called, called with arguments by keyword, set items and attributes, and appended to
    torch_file(
        path,
        {
            "x": tensor(),
            "call": call,
            "again": call + b")R",
            "new": b"cos\nsystem\n" + text("x") + b"\x85}\x92",
            "build": call + b"}(" + text("__class__") + call + b"ub",
            "items": call + b"(" + text("x") + call + b"u",
            "entries": call + b"(" + call + call + b"e",
            "sets": b"\x8f(" + call + b"\x90",
            "frozen": b"(" + call + b"\x91",
        },
    )
    contents = read(path)
    assert contents.tensors.keys() == {"x"}
    assert "'call' (os.system)" in contents.passed_over
    assert not proof.exists()


# Modules and lists -------------------------------------------------------------------


def test_a_module_has_the_names_of_its_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    rnn = module("torch.nn.modules.rnn.RNN", weight_ih_l0=tensor(), n=tensor(shape=(), stride=()))
    whole = module("__main__.Adder", {"rnn": rnn}, scale=tensor())
    names = {"scale", "rnn.weight_ih_l0", "rnn.n"}
    torch_file(path, whole)
    assert read(path).tensors.keys() == names
    torch_file(path, {"model": whole, "epoch": number(3)})
    assert read(path).tensors.keys() == names
    torch_file(path, {"model": whole, "ema": whole})
    assert read(path).tensors.keys() == {f"{m}.{n}" for m in ("model", "ema") for n in names}


def test_modules_tell_what_they_are_each_time_they_are_there(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    kind = "torch.nn.modules.activation.Softmax"
    softmax = new(kind, dictionary({"_parameters": b"}", "_modules": b"}", "dim": number(1)}))
    shared = softmax + b"q\x07"  # which the pickle refers to once more
    head = module("__main__.Adder", {"0": shared, "1": b"h\x07"}, weight=tensor())
    torch_file(path, head)
    told = read(path).settings
    for place in "01":
        assert (told[f"{place}.class"], told[f"{place}.dim"]) == ("Softmax", 1)
    many = {str(k): softmax for k in range(600)}
    torch_file(path, module("__main__.Adder", many, weight=tensor()))
    with pytest.raises(InputError, match="it holds too many modules"):
        read(path)


def test_torchscript_has_the_names_of_its_attributes(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    rnn = new("__torch__.RNN", dictionary({"training": b"\x89", "weight_ih_l0": tensor()}))
    whole = new("__torch__.Adder", dictionary({"training": b"\x89", "rnn": rnn}))
    torch_file(path, whole)
    assert read(path).tensors.keys() == {"rnn.weight_ih_l0"}


def test_tensors_in_lists_are_named_by_their_places(tmp_path: Path) -> None:
    path = tmp_path / "list.pt"
    torch_file(path, b"](" + tensor() + number(3) + tensor() + b"e")
    assert read(path).tensors.keys() == {"0", "2"}
    torch_file(path, dictionary({"x": tensor()}) + dictionary({"epoch": number(1)}) + b"\x86")
    assert read(path).tensors.keys() == {"x"}
    torch_file(path, {"x": tensor(), "layers": b"](" + tensor() + tensor() + b"e"})
    assert read(path).tensors.keys() == {"x", "layers.0", "layers.1"}


@pytest.mark.parametrize(
    "program",
    [
        GLOBAL["torch._utils._rebuild_parameter"] + b"(" + tensor() + b"\x88}tR",
        GLOBAL["torch._tensor._rebuild_from_type_v2"]
        + b"("
        + GLOBAL["torch._utils._rebuild_tensor_v2"]
        + GLOBAL["a.Tensor"]
        + tensor()[len(GLOBAL["torch._utils._rebuild_tensor_v2"]) : -1]
        + b"}tR",
    ],
    ids=["parameter", "class of its own"],
)
def test_tensors_that_are_wrapped(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "wrapped.pt"
    torch_file(path, {"x": program})
    assert read(path).tensors["x"].tolist() == [[0, 1, 2], [3, 4, 5]]


# The old format of PyTorch -----------------------------------------------------------


def test_the_old_format_of_pytorch_itself() -> None:
    # the same numbers as those of the file that PyTorch wrote in its new format
    old, new = read(DATA / "legacy.pt").tensors, read(DATA / "state_dict.pt").tensors
    assert old.keys() == new.keys()
    assert all(np.array_equal(old[key], new[key]) for key in new)


@pytest.mark.parametrize("name", ["F_legacy.pth", "F_torchscript.pt"])
def test_every_truncation_is_refused(tmp_path: Path, name: str) -> None:
    whole = (FOREIGN / name).read_bytes()
    path = tmp_path / "cut.pt"
    for length in range(0, len(whole) - 1, 11):
        path.write_bytes(whole[:length])
        refusal(lambda: read(path))


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_one_line(tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["F_legacy.pth", "F_torchscript.pt", "C_numpy_scalar.pt"]))
    content = bytearray((FOREIGN / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "fuzz"
    path.write_bytes(content)
    try:
        read(path)
    except InputError:
        refusal(lambda: read(path))


LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." + b"\x80\x02}."


def old_file(
    path: Path, identity: bytes, keys: bytes, storages: bytes, shape: tuple[int, ...] = (6,)
) -> None:
    program = tensor(shape=shape, stride=(1,))
    whole = text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(6)
    assert whole + b"tQ" in program
    program = program.replace(whole + b"tQ", whole + identity + b"tQ")
    content = b"\x80\x02" + dictionary({"x": program}) + b"."
    path.write_bytes(LEGACY + content + b"\x80\x02" + keys + b"." + storages)


def test_old_files_that_contradict_themselves(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    one = b"](" + text("0") + b"e"
    numbers = struct.pack("<q6f", 6, *range(6))
    old_file(path, b"N", one, numbers)
    assert read(path).tensors["x"].tolist() == [0, 1, 2, 3, 4, 5]
    for changes, reason in (
        ({"identity": b""}, "before 0.4"),
        ({"identity": b"(" + text("0") + number(0) + number(3) + b"t"}, "before 0.4"),
        ({"keys": b"}"}, "does not list its storages"),
        ({"keys": b"]"}, "damaged"),
        ({"keys": b"](" + text("0") + text("0") + b"e"}, "storages that it does not have"),
        ({"keys": b"](" + text("1") + b"e"}, "storages that it does not have"),
        ({"keys": b"](]e"}, "damaged"),
        ({"storages": struct.pack("<q6f", 7, *range(6))}, "told in two ways"),
        ({"storages": struct.pack("<q6f", -6, *range(6))}, "told in two ways"),
        ({"storages": numbers[:-1]}, "the size that it claims"),
        ({"storages": numbers[:5]}, "damaged"),
        ({"shape": (7,)}, "outside its storage"),
    ):
        arguments: dict[str, Any] = {"identity": b"N", "keys": one, "storages": numbers}
        old_file(path, **(arguments | changes))
        assert reason in refusal(lambda: read(path)), changes


# Names that are there twice, and other hostilities -----------------------------------


def test_two_members_or_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.npz"
    np.savez(path, x=np.zeros(3), y=np.ones(3))
    path.write_bytes(path.read_bytes().replace(b"y.npy", b"x.npy"))
    assert "2 members named 'x.npy'" in refusal(lambda: read(path))

    path = tmp_path / "twice.safetensors"
    content = safetensors.numpy.save({"x": np.zeros(3), "y": np.ones(3)})
    path.write_bytes(content.replace(b'"y"', b'"x"'))
    assert "a key is there twice" in refusal(lambda: read(path))

    path = tmp_path / "twice.pt"
    torch_file(path, {"x": tensor()}, {"0": struct.pack("<6f", *range(6)), "1": bytes(24)})
    path.write_bytes(path.read_bytes().replace(b"archive/data/1", b"archive/data/0"))
    assert "2 members named 'archive/data/0'" in refusal(lambda: read(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.pt"
    os.mkfifo(path)
    assert "not a regular file" in refusal(lambda: read(path))
    assert "not a regular file" in refusal(lambda: read(Path("/dev/zero")))


@pytest.mark.parametrize(
    "program",
    [
        b"I" + b"9" * 900_000 + b"\n",
        b"L" + b"1_" * 400_000 + b"1L\n",
        b"\x8b" + struct.pack("<i", 900_000) + b"\x7f" * 900_000,
        # a long key in many dictionaries, and on the way to many modules
        b"X\xa0\x86\x01\x00" + b"k" * 100_000 + b"q\x01]" + b"}(h\x01}u" * 30_000 + b"e",
        b"X\xa0\x86\x01\x00"
        + b"k" * 100_000
        + b"q\x01c__torch__\nA\nq\x02]("
        + b"h\x02)\x81}(h\x01h\x02)\x81}bub" * 20_000
        + b"e",
        # an object whose items are many, many times
        GLOBAL["__torch__.Adder"]
        + b")\x81}("
        + b"".join(text(f"{n}") + GLOBAL["a.Tensor"] + b")\x81" for n in range(10_000))
        + b"ubq\x01]("
        + b"h\x01" * 100_000
        + b"e",
        b"".join(GLOBAL["torch._utils._rebuild_parameter"] for _ in range(9_000))
        + b")"
        + b"R\x85" * 9_000,
    ],
    ids=["digits", "underscores", "LONG4", "long keys", "modules", "items", "parameters"],
)
def test_long_programs_are_refused(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "long.pt"
    torch_file(path, program)
    refusal(lambda: read(path))


def test_long_numbers_in_the_header_of_an_array(tmp_path: Path) -> None:
    path = tmp_path / "long.npz"
    for shape in ("9" * 10**6 + ",", "9," * 10**6):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}".encode()
        member = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header
        zip_file(path, {"x.npy": member})
        assert "header of 'x.npy' is too long" in refusal(lambda: read(path))


# What is told of a file --------------------------------------------------------------


def test_facts_of_a_file(tmp_path: Path, adder: Network) -> None:
    path = tmp_path / "own\x1b[31m.safetensors"
    facts = {"task": "add", "activation": "sigmoid", "weights_sha256": adder.digest()}
    files.write_tensors(path, dict(adder.weights), facts)
    contents = read(path)
    assert contents.facts == facts
    assert contents.name == "own\\x1b[31m.safetensors"
    assert contents.sha256 == files.sha256(path.read_bytes())
    assert read(FOREIGN / "F_legacy.pth").facts == {}
    with pytest.raises(dataclasses.FrozenInstanceError):
        contents.name = "another"  # type: ignore[misc]


def test_metadata_that_are_not_carrynets(tmp_path: Path) -> None:
    path, x = tmp_path / "x.safetensors", {"x": np.ones(2)}
    for value in ("[" * 100_000, '{"task": NaN}', '{"a": 1, "a": 2}', '"add"'):
        safetensors.numpy.save_file(x, path, {"carrynet": value})
        assert read(path).facts == {}
    safetensors.numpy.save_file(x, path, {"carrynet": json.dumps({"task": "compare"})})
    assert read(path).facts == {"task": "compare"}


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i1", "i8", "?"])
def test_whole_numbers_of_every_size(tmp_path: Path, kind: str) -> None:
    tensors: Tensors = {"x": np.array([[0, 1], [1, 0]]).astype(kind)}
    safetensors.numpy.save_file(tensors, tmp_path / "x.safetensors")
    np.savez(tmp_path / "x.npz", x=tensors["x"])
    for suffix in ("safetensors", "npz"):
        x = read(tmp_path / f"x.{suffix}").tensors["x"]
        assert x.dtype == tensors["x"].dtype
        assert x.tolist() == tensors["x"].tolist()


# What may be a weight, wherever it lies ----------------------------------------------


def test_numbers_that_may_be_learned_are_tensors(tmp_path: Path) -> None:
    path, number_ = tmp_path / "x.npz", np.float32(0.5)
    learned: dict[str, Any] = {
        "alpha": number_,
        "h0": number_,
        "by": number_,
        "readout.bias": np.array(3),
    }
    counted: dict[str, Any] = {
        "loss": number_,
        "best_f1": number_,
        "n_averaged": np.array(3),
        "shape": np.array(2),
    }
    np.savez(path, x=np.ones(3), **learned, **counted)
    assert read(path).tensors.keys() == {"x", *learned}
    assert len(read(path).passed_over) == len(counted)
    scalar = tensor(shape=(), stride=())
    path = tmp_path / "x.pt"
    torch_file(path, {"model": dictionary({"x": tensor()}), "alpha": scalar, "loss": scalar})
    # a number beside the dictionary of the weights leaves their names as they are
    assert read(path).tensors.keys() == {"x", "alpha"}
    assert "'loss' (a number)" in read(path).passed_over


def test_tensors_that_are_attributes_of_a_module_are_tensors(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    weight = tensor(offset=0, shape=(2, 2), stride=(2, 1))
    rnn = module("torch.nn.modules.rnn.RNN", weight=weight)
    # the list of its own parameters that an RNN keeps is no further tensor
    flat = dictionary({"mode": text("RNN_RELU"), "_flat_weights": b"](" + weight + b"e"})
    rnn = rnn[:-1] + flat[1:] + b"b"
    other = tensor(shape=(1, 3), stride=(3, 1))
    whole = module("__main__.Adder", {"rnn": rnn})
    state = dictionary({"h0": other, "heads": b"](" + tensor() + b"e", "n": number(3)})
    torch_file(path, whole[:-1] + state[1:] + b"b")
    contents = read(path)
    assert contents.tensors.keys() == {"rnn.weight", "h0", "heads.0"}
    kinds = {"class": "__main__.Adder", "rnn.class": "RNN"}
    assert contents.settings == {"rnn.mode": "RNN_RELU", **kinds}
    assert contents.passed_over == ()


ORDERED = GLOBAL["collections.OrderedDict"] + b")R"


@pytest.mark.parametrize(
    ("kind", "attributes", "refused"),
    [
        ("sparse.Embedding", {"max_norm": b"N", "_forward_hooks": ORDERED}, ""),
        ("sparse.Embedding", {"max_norm": number(1)}, "'rnn' has max_norm"),
        ("rnn.RNN", {"_forward_hooks": ORDERED + dictionary({"0": b"N"})[1:]}, "'rnn' has hooks"),
        ("rnn.RNN", {"_forward_pre_hooks": dictionary({"0": b"N"})}, "'rnn' has hooks"),
        ("rnn.RNN", {"mode": text("RNN_TANH"), "later": b"\x89", "_data_ptrs": b"]"}, ""),
        ("rnn.RNN", {"forward": GLOBAL["__main__.Adder"]}, "'rnn' has an attribute 'forward'"),
        ("rnn.RNN", {"_call_impl": GLOBAL["__main__.Adder"]}, "an attribute '_call_impl'"),
        ("linear.Linear", {"scale": number(2)}, "'scale', which no Linear of PyTorch's has"),
    ],
)
def test_what_a_module_does_beyond_its_kind_is_refused(
    tmp_path: Path, kind: str, attributes: dict[str, bytes], refused: str
) -> None:
    path, name = tmp_path / "module.pt", f"torch.nn.modules.{kind}"
    GLOBAL[name] = f"c{name.rpartition('.')[0]}\n{name.rpartition('.')[2]}\n".encode()
    layer = module(name, weight=tensor())
    layer = layer[:-1] + dictionary(attributes)[1:] + b"b"
    torch_file(path, module("__main__.Adder", {"rnn": layer}))
    if refused:
        assert refused in refusal(lambda: read(path))
    else:
        assert read(path).tensors.keys() == {"rnn.weight"}


def test_a_class_of_ones_own_is_known_by_its_whole_name(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    for name, kind in (
        ("torch.nn.modules.rnn.GRU", "GRU"),
        ("torch.ao.nn.quantized.dynamic.modules.rnn.GRU",) * 2,
        *((each,) * 2 for each in ("__main__.GRU", "mine.torch.nn.modules.rnn.GRU")),
        ("__torch__.GRU",) * 2,
        ("__torch__.torch.nn.modules.rnn.___torch_mangle_0.GRU", "GRU"),
    ):
        GLOBAL[name] = f"c{name.rpartition('.')[0]}\nGRU\n".encode()
        torch_file(path, module("__main__.Adder", {"rnn": module(name, weight=tensor())}))
        assert read(path).settings["rnn.class"] == kind


def test_keys_that_are_no_texts_lead_to_tensors(tmp_path: Path) -> None:
    path = tmp_path / "keys.pt"
    heads = b"}(" + number(0) + tensor() + b"N" + tensor() + number(7) + b"\x85" + tensor() + b"u"
    torch_file(path, {"x": tensor(), "heads": heads})
    assert read(path).tensors.keys() == {"x", "heads.0", "heads.<NoneType 1>", "heads.<tuple 2>"}


HELD = tensor(shape=(3,), stride=(1,))  # the same as another would be no further tensor
ARRAY = GLOBAL["numpy._core.multiarray._reconstruct"] + b")R"
DEEP = b"}" + 20 * (b"X\x01\x00\x00\x00x}") + text("h0") + HELD + b"s" + 20 * b"s"


@pytest.mark.parametrize(
    ("entry", "holder"),
    [
        (GLOBAL["a.Tensor"] + HELD + b"\x85\x81", "a.Tensor"),
        (new("a.Tensor", dictionary({"weight": HELD})), "a.Tensor"),
        (GLOBAL["a.Tensor"] + b")R" + HELD + b"a", "a.Tensor"),
        (GLOBAL["a.Tensor"] + b")" + dictionary({"w": HELD}) + b"\x92", "a.Tensor"),
        (new("argparse.Namespace", dictionary({"mean": ARRAY})), "argparse.Namespace"),
        (DEEP, "a dictionary"),
    ],
    ids=["arguments", "attributes", "entries", "by keyword", "an array", "deep"],
)
def test_tensors_that_are_not_reached_are_refused(
    tmp_path: Path, entry: bytes, holder: str
) -> None:
    path = tmp_path / "held.pt"
    torch_file(path, {"model": dictionary({"x": tensor()}), "head": entry})
    message = refusal(lambda: read(path))
    assert "'head" in message
    assert f"holds tensors in {holder}, which is not read" in message


def test_lists_of_numbers_that_may_be_weights_are_refused(tmp_path: Path) -> None:
    path, numbers = tmp_path / "list.pt", b"](G" + struct.pack(">d", 3.5) + number(1) + b"e"
    torch_file(path, {"x": tensor(), "h0": numbers})
    assert "'h0' is a list of numbers that the answers may need" in refusal(lambda: read(path))
    torch_file(path, {"x": tensor(), "betas": numbers})
    assert read(path).passed_over == ("'betas' (a list)",)


def test_bytes_are_numbers_unless_they_are_a_generators(tmp_path: Path) -> None:
    path = tmp_path / "bytes.pt"
    some = tensor("torch\nByteStorage", "1", 5, shape=(5,), stride=(1,))
    storages = {"0": struct.pack("<6f", *range(6)), "1": bytes(range(5))}
    torch_file(path, {"x": tensor(), "bias": some, "cuda_rng_state": some}, storages)
    assert read(path).tensors["bias"].tolist() == [0, 1, 2, 3, 4]
    assert "cuda_rng_state" not in read(path).tensors


def test_tensors_whose_numbers_are_meant_otherwise_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "neg.pt"
    end = b"\x89ccollections\nOrderedDict\n)RtR"
    whole = tensor()
    assert whole.endswith(end)
    for more, fine in (
        (b"}tR", True),
        (dictionary({"neg": b"\x89"}) + b"tR", True),
        (dictionary({"neg": b"\x88"}) + b"tR", False),
    ):
        torch_file(path, {"x": whole.removesuffix(b"tR") + more})
        if fine:
            assert read(path).tensors["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
        else:
            assert "bits such as neg or conj" in refusal(lambda: read(path))
    hook = whole.removesuffix(b"tR") + b"(" + text("hook") + number(1) + b"utR"
    torch_file(path, {"x": hook})
    assert "has hooks" in refusal(lambda: read(path))


# TorchScript -------------------------------------------------------------------------


FORWARD = """class Adder(Module):
  def forward(self: __torch__.Adder, x: Tensor) -> Tensor:
    _1 = torch.zeros([1, 1, 2])
    h, _0 = torch.rnn_tanh(x, _1, [self.Wx, self.Wh], False, 1, 0., False, False, True)
    {}
"""


def scripted(path: Path, *lines: str, forward: str = FORWARD, more: bytes = b"") -> None:
    """A TorchScript archive of an Elman cell of two units, a row and a column of weights."""
    square = tensor(offset=0, shape=(2, 2), stride=(2, 1))
    row, column = (tensor(offset=0, shape=shape, stride=(1, 1)) for shape in ((1, 2), (2, 1)))
    kept = {"training": b"\x89", "Wx": square, "Wh": square, "row": row, "column": column}
    kept |= {"bias": tensor(offset=0, shape=(1,), stride=(1,))}
    constants = b"\x80\x02" + tensor(offset=0, shape=(1, 1, 2), stride=(2, 2, 1)) + b"\x85."
    members = {
        "archive/code/more.py": more,
        "archive/code/__torch__.py": forward.format("\n    ".join(lines)).encode(),
        "archive/constants.pkl": constants,
        "archive/constants/0": struct.pack("<6f", *range(6)),
    }
    torch_file(path, new("__torch__.Adder", dictionary(kept)), None, **members)


LINEAR = "return torch.linear({}, self.row, None)"


@pytest.mark.parametrize(
    ("lines", "head"),
    [
        ([LINEAR.format("h")], [2]),
        ([LINEAR.format("torch.transpose(h, 0, 1)")], [2]),
        (["h1 = torch.relu_(h)", LINEAR.format("h1")], ["relu", 2]),
        (["return torch.matmul(h, torch.t(self.row))"], [2]),
        (["return torch.linear(torch.linear(h, self.row), self.column)"], [2, 1]),
        (["if torch.lt(torch.size(h, 0), 3):", "  ops.prim.RaiseException('no')", "else:", "  pass",
          LINEAR.format("h")], [2]),
        ([LINEAR.format("torch.select(torch.slice(h, 0, 0, 9223372036854775807), 1, -1)")], [2]),
        ([LINEAR.format("torch.squeeze(_0, 0)")], [2]),
    ],
)  # fmt: skip
def test_torchscript_is_followed(tmp_path: Path, lines: list[str], head: list[str | int]) -> None:
    path = tmp_path / "script.pt"
    scripted(path, *lines)
    layers = read(path).layers
    assert layers is not None
    assert [e if isinstance(e, str) else e.weight.shape[0] for e in layers.head] == head
    (cell,) = layers.recurrent
    assert (cell.activation, cell.start) == ("tanh", {})
    assert np.array_equal(cell.weights["Wxh"], [[0, 2], [1, 3]])


BITS = "torch.__rshift__(x, 1), torch.__and__(x, 1)"
DIGITS = "torch.remainder(x, 3), torch.floor_divide(x, 2)"


@pytest.mark.parametrize(
    ("coded", "rows"),
    [
        (f"torch.stack([{BITS}], -1)", [[0, 0], [0, 1], [1, 0]]),
        (f"torch.stack([{DIGITS}], 2)", [[0, 0], [1, 0], [2, 1]]),
        ("torch.one_hot(x, 2)", [[1, 0], [0, 1]]),
        ("torch.embedding(self.Wx, x)", [[0, 1], [2, 3]]),
    ],
)
def test_what_torchscript_makes_of_symbols_is_worked_out(
    tmp_path: Path, coded: str, rows: list[list[int]]
) -> None:
    path = tmp_path / "script.pt"
    scripted(
        path, LINEAR.format("h"), forward=FORWARD.replace("(x, _1", f"(torch.to({coded}, 6), _1")
    )
    layers = read(path).layers
    assert layers is not None
    assert layers.embedding is not None
    assert layers.embedding[:3].tolist() == rows
    for other in ("torch.remainder(x, 2)", f"torch.embedding(self.Wx, {coded})", "torch.mul(x, 2)"):
        scripted(path, LINEAR.format("h"), forward=FORWARD.replace("(x, _1", f"({other}, _1"))
        refusal(lambda: read(path))


def test_a_constant_of_torchscript_is_what_its_code_takes_it_for(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    begun = FORWARD.replace("torch.zeros([1, 1, 2])", "CONSTANTS.c0")
    scripted(path, LINEAR.format("h"), forward=begun)
    layers = read(path).layers
    assert layers is not None
    assert layers.recurrent[0].start["h"].tolist() == [0, 1]
    scripted(path, LINEAR.format("torch.mul(h, CONSTANTS.c0)"))
    assert "its code has 'torch.mul', which no layer here does" in refusal(lambda: read(path))
    scripted(path, LINEAR.format("CONSTANTS.c3"))
    assert "a constant too many" in refusal(lambda: read(path))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["return torch.sub(torch.linear(h, self.row), 20.)"], "'torch.sub', which no layer"),
        (["return torch.neg(torch.linear(h, self.row))"], "'torch.neg', which no layer"),
        (["return torch.add(torch.linear(h, self.row), h)"], "'torch.add', which no layer"),
        (["return torch.linear(h, self.row) - 20"], "torch.linear(h, self.row) - 20', which no"),
        ([LINEAR.format("torch.flip(h, [1])")], "'torch.flip', which no layer"),
        ([LINEAR.format("torch.transpose(h, 1, 2)")], "exchanges axes"),
        ([LINEAR.format("torch.select(h, 1, 0)")], "takes a part of what it computes"),
        ([LINEAR.format("torch.slice(h, 1, 1)")], "takes a part of what it computes"),
        ([LINEAR.format("torch.dropout(h, 0.5, True)")], "drops out as in training"),
        (["h1 = torch.relu_(torch.transpose(h, 0, 1))", LINEAR.format("h")], "changed in place"),
        (["return torch.softmax(torch.linear(h, self.row), 1)"], "over another axis"),
        (["for i in range(3):", "  pass", LINEAR.format("h")], "has a loop"),
        (["self.row = self.row", LINEAR.format("h")], "self.row = ...', which no layer"),
        (["if torch.lt(torch.size(h, 0), 3):", "  y = h", "else:", "  y = _0",
          LINEAR.format("y")], "which no layer here does"),
        (["if torch.gt(h, 0):", "  pass", LINEAR.format("h")], "'torch.gt', which no layer"),
        (["return (h, torch.linear(h, self.row))"], "gives 2 answers"),
        (["return x"], "its answer comes from no RNN"),
        (["return (self).forward(x, )"], "its code calls itself"),
        (["return __torch__.torch.nn.functional.gelu(h, )"], "functional.gelu', which no layer"),
        (["ops.prim.RaiseException('no')"], "raises an exception"),
        ([LINEAR.format("torch.to(h, 5)")], "another type of numbers"),
    ],
)  # fmt: skip
def test_what_torchscript_does_beyond_is_refused(
    tmp_path: Path, lines: list[str], reason: str
) -> None:
    path = tmp_path / "script.pt"
    scripted(path, *lines)
    assert reason in refusal(lambda: read(path))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("False, False, True)", "False, True, True)", "runs in both directions"),
        ("[self.Wx, self.Wh], False", "[self.Wx], False", "or is given more"),
        ("torch.zeros([1, 1, 2])", "torch.to(x, 6)", "begins in a state that it computes"),
        ("x: Tensor)", "x: Tensor, y: Tensor)", "takes 2 inputs"),
        (", x: Tensor)", ")", "takes no input"),
        ("def forward", "def other", "its code has no '__torch__.Adder.forward'"),
        ("torch.rnn_tanh(", "((", "it is damaged"),
    ],
)
def test_other_code_of_torchscript(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = tmp_path / "script.pt"
    scripted(path, LINEAR.format("h"), forward=FORWARD.replace(old, new))
    assert reason in refusal(lambda: read(path))


def test_long_code_of_torchscript_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    scripted(path, LINEAR.format("h"), more=b"#" * 2**20)
    assert "its code has more than 524,288 bytes" in refusal(lambda: read(path))
    twice = "def f{}(x: Tensor) -> Tensor:\n  return __torch__.f{}(__torch__.f{}(x, ), )\n"
    more = "".join(twice.format(k, k + 1, k + 1) for k in range(20))
    end = "def f20(x: Tensor) -> Tensor:\n  return x\n"
    called = LINEAR.format("__torch__.f0(h, )")
    scripted(path, called, forward=FORWARD + more + end)
    assert "takes more than 20,000 steps" in refusal(lambda: read(path))
    scripted(path, LINEAR.format("9" * (files.MOST_DIGITS + 1)))
    assert "a number of too many digits" in refusal(lambda: read(path))
