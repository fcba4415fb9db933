"""Keras, by itself: models that it wrote are loaded and give the same logits."""

import json
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carrynet as cn
from carrynet import tasks
from carrynet.errors import InputError
from carrynet.exchange import leaving, to_keras
from carrynet.nets import cells
from carrynet.nets.formula import Formula
from carrynet.nets.network import Network
from carrynet.nets.weights import initialise
from tests.test_cells import example
from tests.test_check_formula import by_hand
from tests.test_export import followed, random_words

pytestmark = [
    # Keras's own: of NumPy's protocol, and of what it makes of int64
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning"),
]


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "jax")
        yield pytest.importorskip("keras")


def logits_of(keras: Any, file: Path, words: Any) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(keras.models.load_model(file)(words)))


@pytest.mark.parametrize(
    ("name", "learned"),
    [
        ("sigmoid", True),
        ("gru", True),
        ("gru-reset-before", False),
        ("lstm", False),
        ("lstm,gru-reset-before,elman", True),
    ],
)
def test_keras_computes_what_the_network_does(
    name: str, learned: bool, tmp_path: Path, keras: Any
) -> None:
    network, *_ = example(name, "argmax" if learned else "bits", learned=learned)
    network = network.astype("float32")
    made = cn.export(network, to="keras", out=tmp_path / "net.keras")
    assert made.size == (tmp_path / "net.keras").stat().st_size
    words = random_words(network, 30, 8)
    logits, _ = followed(network, words)
    theirs = logits_of(keras, tmp_path / "net.keras", words)
    np.testing.assert_allclose(theirs, logits, rtol=1e-5, atol=1e-5)


def test_heads_and_other_activations(tmp_path: Path, keras: Any) -> None:
    task, rng = tasks.compare(), np.random.default_rng(0)
    out = cells.readout("u = relu(h @ Whu + bu)\nv = tanh(u @ Wuv)\nlogits = v @ Why + by")
    formula = Formula.parse(cells.CELLS["lstm"].replace("tanh(", "relu("))
    shaped = initialise(task, 4, formula, readout=out)
    weights = shaped.map(lambda w: rng.uniform(-1, 1, w.shape).astype("f"))
    network = Network(task, formula, weights, out)
    cn.export(network, to="keras", out=tmp_path / "a.keras")
    words = random_words(network, 30, 8)
    theirs = logits_of(keras, tmp_path / "a.keras", words)
    np.testing.assert_allclose(theirs, followed(network, words)[0], rtol=1e-5, atol=1e-5)


def test_a_thousand_words_are_answered_alike(adder: Network, tmp_path: Path, keras: Any) -> None:
    network = adder.astype("float32")
    cn.export(network, to="keras", out=tmp_path / "a.keras")
    words = random_words(network, 1_000, 12)
    logits, outputs = followed(network, words)
    theirs = logits_of(keras, tmp_path / "a.keras", words)
    np.testing.assert_allclose(theirs, logits, rtol=1e-5, atol=1e-5)
    assert ((theirs[..., 0] > 0) == outputs).all()


def test_what_is_said_of_it_lies_in_the_archive(adder: Network, tmp_path: Path, keras: Any) -> None:
    cn.export(adder.astype("float32"), to="keras", out=tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        said = json.loads(archive.read(leaving.IN_KERAS))
    assert said["weights_sha256"] == adder.astype("float32").digest()
    assert said["verdict"] == "none"


def test_what_it_has_no_layer_for_is_one_line(adder: Network, tmp_path: Path, keras: Any) -> None:
    with pytest.raises(InputError, match="Keras has no layer for mgu: onnx and c take any cell"):
        cn.export(by_hand(tasks.add(), "mgu"), to="keras", out=tmp_path / "a.keras")
    # JAX, as it is set in these tests, has no doubles; what they are rounded to is another network
    thirds = adder.weights.map(lambda w: w / 3)
    network = Network(adder.task, adder.cell, thirds)
    with pytest.raises(InputError, match=r"its backend jax has no float64 as it is set"):
        cn.export(network, to="keras", out=tmp_path / "a.keras")
    assert not list(tmp_path.iterdir())


def test_doubles_are_written_where_there_are_doubles(
    adder: Network, tmp_path: Path, keras: Any
) -> None:
    jax = pytest.importorskip("jax")
    network = Network(adder.task, adder.cell, adder.weights.map(lambda w: w / 3))
    with jax.enable_x64(True):
        cn.export(network, to="keras", out=tmp_path / "a.keras")
        head = keras.models.load_model(tmp_path / "a.keras").get_layer("head_1")
        assert (head.get_weights()[0] == network.weights.Why).all()


@pytest.mark.parametrize(
    ("installed", "said", "taken"),
    [
        (("jax", "torch"), None, "jax"),
        (("torch",), None, "torch"),
        (("tensorflow", "jax"), None, None),  # which Keras takes by itself
        ((), None, None),
        (("jax",), "torch", "torch"),
    ],
)
def test_keras_computes_with_what_is_installed(
    installed: tuple[str, ...], said: str | None, taken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_keras, "find_spec", installed.__contains__)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if said:
        monkeypatch.setenv("KERAS_BACKEND", said)
    with to_keras._backend():
        assert os.environ.get("KERAS_BACKEND") == taken
    assert os.environ.get("KERAS_BACKEND") == said


def test_without_keras_one_line_says_what_is_missing(
    adder: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(InputError, match=r"pip install 'carrynet\[keras\]'"):
        cn.export(adder, to="keras", out=tmp_path / "a.keras")
    assert not list(tmp_path.iterdir())
