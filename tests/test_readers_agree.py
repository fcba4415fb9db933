"""The checker's own reader of models takes what all others take, and reads the same numbers."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from carrynet import files, tasks
from carrynet.errors import InputError, RunError
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from carrynet.proof import check
from carrynet.proof.certificate import Rejected
from carrynet.proof.model import Model, read_model
from carrynet.proof.search import model
from carrynet.runs.folder import read_network
from carrynet.runs.format import facts
from carrynet.spec.machine import Machine
from carrynet.spec.tables import to_facts
from tests.conftest import hand_built_adder

ADDER = hand_built_adder()
FLIP = ((0, 1), (1, 0))
OWN = tasks.own("own", Machine(('quoted "', "\u4e2d\\"), ("a\u00e9", "b"), ("0", "1"), FLIP, FLIP))
FACTS = facts(ADDER)
SIZES = {"Wxh": (2, 3), "Whh": (3, 3), "bh": (3,), "Why": (3, 1), "by": (1,)}


def by_the_checker(data: bytes) -> Model | None:
    """The model that the checker goes on with."""
    try:
        found = read_model(data)
        check._check_model(found, found.specification)
        return found
    except (InputError, Rejected):
        return None


def by_the_others(data: bytes) -> Network | None:
    """The network that everything else goes on with, as it is read."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(data)
        try:
            return read_network(path)
        except RunError:
            return None


def agree(data: bytes) -> bool:
    """Whether both readers take some bytes; that they do the same of them is asserted."""
    ours, theirs = by_the_checker(data), by_the_others(data)
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert ours == model(theirs)
        assert ours.digest() == theirs.digest()
    return ours is not None


def whole(header: str | bytes, body: bytes, length: int | None = None) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def described(
    order: list[str], code: str = "F64", network: Network = ADDER
) -> tuple[dict[str, Any], bytes]:
    """A header, and a network's numbers in some order."""
    network = network.astype("float64" if code == "F64" else "float32")
    header: dict[str, Any] = {"__metadata__": {"carrynet": json.dumps(facts(network))}}
    body = b""
    for name in order:
        array = network.weights[name].astype("<f8" if code == "F64" else "<f4")
        span = [len(body), len(body) + array.nbytes]
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": span}
        body += array.tobytes()
    return header, body


def spelled(header: dict[str, Any]) -> str:
    return json.dumps(header, separators=(",", ":"))


HEADER, BODY = described(list(SIZES))
TEXT = spelled(HEADER)


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    header = json.loads(TEXT)
    change(header)
    return spelled(header)


def facts_of(task: str) -> dict[str, Any]:
    return to_facts(tasks.parse(task))


def metadata(**values: object) -> str:
    return changed(lambda header: header.update(__metadata__=values))


def test_what_carrynet_writes_is_taken() -> None:
    for dtype in ("float32", "float64"):
        arrays = {name: w.astype(dtype) for name, w in ADDER.weights.items()}
        network = Network(OWN, "sigmoid", Weights(arrays))
        assert agree(files.tensor_bytes(arrays, facts(network)))
    for order in (list(SIZES), list(SIZES)[::-1]):
        for code in ("F32", "F64"):
            header, body = described(order, code)
            assert agree(whole(spelled(header), body))
            assert agree(whole(spelled(header) + "   ", body))
    # the library's own text may have what Python would escape
    header, body = described(list(SIZES), network=Network(OWN, "relu", ADDER.weights))
    assert "\\\\u4e2d" in spelled(header)
    assert agree(whole(spelled(header), body))


ODD = {
    "nothing": b"",
    "only a length": struct.pack("<Q", 0),
    "cut": whole(TEXT, BODY)[:-1],
    "trailing": whole(TEXT, BODY + b"\0"),
    "beyond": whole(TEXT, b"", len(TEXT) + len(BODY) + 1),
    "far beyond": whole(TEXT, BODY, 2**64 - 1),
    "all header": whole(TEXT + " " * 10, b""),
    "leading space": whole(" " + TEXT, BODY),
    "spaces": whole(json.dumps(HEADER), BODY),
    "lines": whole(json.dumps(HEADER, indent=1), BODY),
    "line after": whole(TEXT + "\n", BODY),
    "nul after": whole(TEXT + "\0", BODY),
    "mark": whole("\ufeff" + TEXT, BODY),
    "utf-16": whole(TEXT.encode("utf-16-le"), BODY),
    "not utf-8": whole(TEXT.replace("add", "a\x00d").encode().replace(b"\x00", b"\xff"), BODY),
    "surrogate": whole(TEXT.replace("{\\\"format", "{\\\"\\ud800\\\":1,\\\"format"), BODY),
    "escaped name": whole(TEXT.replace('"bh"', '"b\\u0068"'), BODY),
    "escaped metadata": whole(TEXT.replace('"__metadata__"', '"__met\\u0061data__"'), BODY),
    "a list": whole("[]", BODY),
    "text": whole('"Wxh"', BODY),
    "two objects": whole(TEXT + TEXT, BODY),
    "deep": whole("[" * 100_000, BODY),
    "deep and closed": whole("[" * 5000 + "]" * 5000, BODY),
    "twice": whole(TEXT[:-1] + f',"by":{spelled(HEADER["by"])}}}', BODY),
    "twice, another": whole(TEXT[:-1] + f',"by":{spelled(HEADER["bh"])}}}', BODY),
    "twice in an entry": whole(
        TEXT.replace('{"dtype":"F64"', '{"dtype":"F64","dtype":"F64"', 1), BODY
    ),
    "metadata twice": whole(
        f'{{"__metadata__":{spelled(HEADER["__metadata__"])},{TEXT[1:]}', BODY
    ),
    "1.0": whole(TEXT.replace('"shape":[3]', '"shape":[3.0]'), BODY),
    "1e0": whole(TEXT.replace('"shape":[1]', '"shape":[1e0]'), BODY),
    "true": whole(TEXT.replace('"shape":[1]', '"shape":[true]'), BODY),
    "text for a size": whole(TEXT.replace('"shape":[3]', '"shape":["3"]'), BODY),
    "-0": whole(TEXT.replace('"data_offsets":[0,', '"data_offsets":[-0,'), BODY),
    "00": whole(TEXT.replace('"data_offsets":[0,', '"data_offsets":[00,'), BODY),
    "false": whole(TEXT.replace('"data_offsets":[0,', '"data_offsets":[false,'), BODY),
    "0.0": whole(TEXT.replace('"data_offsets":[0,', '"data_offsets":[0.0,'), BODY),
    "NaN": whole(TEXT.replace('"shape":[3]', '"shape":[NaN]'), BODY),
    "huge": whole(TEXT.replace('"shape":[3]', f'"shape":[{2**64 + 3}]'), BODY),
    "very long": whole(TEXT.replace('"shape":[3]', f'"shape":[{"3" * 20_000}]'), BODY),
    "negative": whole(TEXT.replace('"shape":[2,3]', '"shape":[-2,-3]'), BODY),
    "three offsets": whole(TEXT.replace('"data_offsets":[0,48]', '"data_offsets":[0,48,48]'), BODY),
    "one offset": whole(TEXT.replace('"data_offsets":[0,48]', '"data_offsets":[0]'), BODY),
    "offsets that wrap": whole(
        TEXT.replace('"data_offsets":[0,48]', f'"data_offsets":[0,{2**64 + 48}]'), BODY
    ),
    "negative offsets": whole(
        TEXT.replace('"data_offsets":[0,48]', f'"data_offsets":[{-len(BODY)},48]'), BODY
    ),
    "an extra key": whole(changed(lambda h: h["by"].update(note=1)), BODY),
    "a missing key": whole(changed(lambda h: h["by"].pop("shape")), BODY),
    "an entry as a list": whole(changed(lambda h: h.update(by=list(HEADER["by"].values()))), BODY),
    "an entry that is null": whole(changed(lambda h: h.update(by=None)), BODY),
    "an entry that is a number": whole(changed(lambda h: h.update(by=7)), BODY),
    "a kind as a table": whole(changed(lambda h: h["by"].update(dtype={"F64": None})), BODY),
    "another kind": whole(changed(lambda h: h["by"].update(dtype="I64")), BODY),
    "an unknown kind": whole(changed(lambda h: h["by"].update(dtype="F65")), BODY),
    "a small kind": whole(changed(lambda h: h["by"].update(dtype="f64")), BODY),
    "mixed kinds": whole(changed(lambda h: h["by"].update(dtype="F32", shape=[2])), BODY),
    "all whole numbers": whole(TEXT.replace("F64", "I64"), BODY),
    "all half": whole(TEXT.replace("F64", "F16"), BODY),
    "bfloat16": whole(TEXT.replace("F64", "BF16"), BODY),
    "another shape": whole(changed(lambda h: h["Whh"].update(shape=[9])), BODY),
    "a scalar": whole(changed(lambda h: h["by"].update(shape=[])), BODY),
    "a row": whole(changed(lambda h: h["by"].update(shape=[1, 1])), BODY),
    "transposed": whole(changed(lambda h: h["Wxh"].update(shape=[3, 2])), BODY),
    "zero sizes": whole(changed(lambda h: h["by"].update(shape=[0])), BODY),
    "an empty tensor more": whole(
        changed(lambda h: h.update(x={"dtype": "F64", "shape": [0, 2], "data_offsets": [0, 0]})),
        BODY,
    ),
    "a tensor more": whole(
        changed(
            lambda h: h.update(
                x={"dtype": "F64", "shape": [1], "data_offsets": [len(BODY), len(BODY) + 8]}
            )
        ),
        BODY + bytes(8),
    ),
    "a tensor less": whole(changed(lambda h: h.pop("by")), BODY[:-8]),
    "a tensor of the facts' names": whole(TEXT.replace('"by"', '"task"'), BODY),
    "overlap": whole(
        changed(lambda h: h["by"].update(data_offsets=[len(BODY) - 16, len(BODY) - 8])), BODY[:-8]
    ),
    "the same": whole(changed(lambda h: h.update(Whh=h["Wxh"])), BODY),
    "gap": whole(
        changed(lambda h: h["by"].update(data_offsets=[len(BODY), len(BODY) + 8])), BODY + bytes(8)
    ),
    "nan": whole(TEXT, BODY[:-8] + struct.pack("<d", float("nan"))),
    "inf": whole(TEXT, BODY[:-8] + struct.pack("<d", float("-inf"))),
    "no metadata": whole(changed(lambda h: h.pop("__metadata__")), BODY),
    "metadata null": whole(changed(lambda h: h.update(__metadata__=None)), BODY),
    "metadata a list": whole(changed(lambda h: h.update(__metadata__=["carrynet"])), BODY),
    "metadata without": whole(metadata(format="pt"), BODY),
    "metadata more": whole(metadata(carrynet=json.dumps(FACTS), format="pt"), BODY),
    "metadata number": whole(metadata(carrynet=5), BODY),
    "metadata table": whole(metadata(carrynet=FACTS), BODY),
    "facts a list": whole(metadata(carrynet="[]"), BODY),
    "facts deep": whole(metadata(carrynet="[" * 100_000), BODY),
    "facts with NaN": whole(metadata(carrynet='{"x":NaN,' + json.dumps(FACTS)[1:]), BODY),
    "facts twice": whole(metadata(carrynet='{"task":"compare",' + json.dumps(FACTS)[1:]), BODY),
    "facts long": whole(
        metadata(carrynet='{"x":' + "1" * 20_000 + "," + json.dumps(FACTS)[1:]), BODY
    ),
    "no task": whole(metadata(carrynet=json.dumps({**FACTS, "task": None})), BODY),
    "version 1": whole(metadata(carrynet=json.dumps(FACTS | {"version": 1})), BODY),
    "version 1 as it was": whole(
        metadata(carrynet='{"task":"add","activation":"sigmoid","weights_sha256":""}'), BODY
    ),
    "another machine": whole(
        metadata(carrynet=json.dumps(FACTS | {"machine": facts_of("compare")["machine"]})), BODY
    ),
    "another start": whole(metadata(carrynet=json.dumps(FACTS | {"start": [0, 0, 1]})), BODY),
    "too long a start": whole(metadata(carrynet=json.dumps(FACTS | {"start": [0] * 4})), BODY),
    "other weights": whole(
        metadata(carrynet=json.dumps(FACTS | {"weights_sha256": "0" * 64})), BODY
    ),
    "one fact more": whole(metadata(carrynet=json.dumps(FACTS | {"note": 1})), BODY),
    "task unknown": whole(metadata(carrynet=json.dumps(FACTS | {"task": "divide"})), BODY),
    "task another": whole(metadata(carrynet=json.dumps(FACTS | {"task": "compare"})), BODY),
    "task a number": whole(metadata(carrynet=json.dumps(FACTS | {"task": 5})), BODY),
    "task a list": whole(metadata(carrynet=json.dumps(FACTS | {"task": ["add"]})), BODY),
    "another task, whole": whole(metadata(carrynet=json.dumps(FACTS | facts_of("compare"))), BODY),
    "cell unknown": whole(metadata(carrynet=json.dumps(FACTS | {"cell": "h = sin(x)"})), BODY),
    "cell another": whole(
        metadata(carrynet=json.dumps(FACTS | {"cell": "h = tanh(x @ Wxh + bh + h @ Whh)"})), BODY
    ),
    "cell spelled otherwise": whole(
        metadata(carrynet=json.dumps(FACTS | {"cell": f"{FACTS['cell']} "})), BODY
    ),
    "cell a list": whole(metadata(carrynet=json.dumps(FACTS | {"cell": []})), BODY),
    "readout null": whole(metadata(carrynet=json.dumps(FACTS | {"readout": None})), BODY),
    "readout not linear": whole(
        metadata(carrynet=json.dumps(FACTS | {"readout": "logits = tanh(h @ Why + by)"})), BODY
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_refused_by_both(name: str) -> None:
    assert not agree(ODD[name])


def test_no_hidden_units_are_refused_by_both() -> None:
    header = json.loads(TEXT)
    for name, shape in {"Wxh": (2, 0), "Whh": (0, 0), "bh": (0,), "Why": (0, 1)}.items():
        header[name] = {"dtype": "F64", "shape": shape, "data_offsets": [0, 0]}
    header["by"]["data_offsets"] = [0, 8]
    assert not agree(whole(spelled(header), bytes(8)))


NUMBERS = st.floats(width=64) | st.sampled_from([0.0, -0.0, 5e-324, 1.7e308])


@given(st.lists(NUMBERS, min_size=22, max_size=22), st.permutations(list(SIZES)), st.booleans())
def test_numbers_are_read_alike(numbers: list[float], order: list[str], single: bool) -> None:
    code, dtype = ("F32", "float32") if single else ("F64", "float64")
    with np.errstate(over="ignore"):
        flat = np.array(numbers).astype(dtype)
    finite, at, arrays = bool(np.isfinite(flat).all()), 0, {}
    for name in order:
        end = at + int(np.prod(SIZES[name]))
        arrays[name], at = flat[at:end].reshape(SIZES[name]), end
    network = Network(ADDER.task, "sigmoid", Weights(arrays)) if finite else ADDER
    header, _ = described(order, code, network)
    assert agree(whole(spelled(header), flat.tobytes())) == finite


PIECES = [
    *(b"0", b"1", b"-", b"9", b".", b"e", b" ", b"\n", b"\\", b"u", b'"', b",", b"{", b"}", b"["),
    *(b"]", b"true", b"null", b"NaN", b'"by"', b'"dtype"', b"F32", b"\xc3\xa9", b"\xff", b"\0"),
]


@given(st.data())
@settings(max_examples=500)
def test_damage_is_judged_alike(data: st.DataObject) -> None:
    content = bytearray(whole(TEXT, BODY))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        removed = data.draw(st.integers(0, 3))
        content[place : place + removed] = data.draw(
            st.sampled_from(PIECES) | st.binary(max_size=2)
        )
        if data.draw(st.booleans()):  # let the length of the header still be right
            header = len(content) - len(BODY) - 8
            content[:8] = struct.pack("<Q", max(header, 0))
    agree(bytes(content))


@pytest.mark.parametrize("name", ODD)
def test_errors_are_one_line(name: str) -> None:
    try:
        read_model(ODD[name])
    except InputError as error:
        message = str(error)
    else:
        message = ""  # weights that do not fit: it is the checker that says so
    assert message.isprintable()
    assert message or name in {"transposed", "a tensor more"}
