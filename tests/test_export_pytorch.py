"""PyTorch's weights, by the lines that an export prints: run on its formulas written in NumPy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carrynet as cn
from carrynet import tasks
from carrynet.errors import InputError
from carrynet.exchange import layered
from carrynet.nets import cells
from carrynet.nets.formula import Formula
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights, initialise
from tests.numpy_torch import in_the_place_of_torch
from tests.test_cells import example
from tests.test_check_formula import by_hand
from tests.test_export import followed, random_words

NAMES = [
    *("sigmoid", "tanh", "relu", "gru", "lstm"),
    *("elman,elman", "gru,gru", "lstm,lstm", "gru,lstm", "lstm,elman", "elman,gru"),
]


def answered(network: Network, words: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The logits that the printed lines compute: four that load it, one a start, and one more."""
    monkeypatch.chdir(folder)
    made = cn.export(network, to="pytorch", out='a "net".safetensors')
    starts = [line for line in made.use if line.startswith("net.start")]
    assert len([line for line in made.use if not line.startswith("#")]) == 5 + len(starts)
    names: dict[str, Any] = {"symbols": words}
    with in_the_place_of_torch():
        exec("\n".join(made.use), names)
    return names["logits"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_module_computes_what_the_network_does(
    name: str, learned: bool, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, *_ = example(name, "argmax" if learned else "bits", learned=learned)
    network = network.astype(dtype)
    words = random_words(network, 30, 12)
    theirs = answered(network, words, tmp_path, monkeypatch)
    logits, _ = followed(network, words)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(theirs, logits, rtol=tolerance, atol=tolerance)


HEADS = [
    "u = relu(h @ Whu + bu)\nv = tanh(u @ Wuv)\nlogits = v @ Why + by",
    "u = sigmoid(h)\nlogits = u @ Why + by",
]


@pytest.mark.parametrize("readout", HEADS)
@pytest.mark.parametrize("name", ["sigmoid", "gru"])
def test_heads_of_several_layers(
    name: str, readout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, out, rng = tasks.compare(), cells.readout(readout), np.random.default_rng(0)
    shaped = initialise(task, 4, name, readout=out, dtype="float64")
    network = Network(task, name, shaped.map(lambda w: rng.uniform(-1, 1, w.shape)), out)
    words = random_words(network, 30, 12)
    theirs = answered(network, words, tmp_path, monkeypatch)
    np.testing.assert_allclose(theirs, followed(network, words)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_ten_thousand_words_are_answered_alike(
    cell: str, adder: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = adder.astype("float32") if cell == "elman" else by_hand(tasks.add(), cell)
    words = random_words(network, 10_000, 20)
    with np.errstate(over="ignore"):
        logits, outputs = followed(network, words)
        theirs = answered(network, words, tmp_path, monkeypatch)
    np.testing.assert_allclose(theirs, logits, rtol=1e-5, atol=2e-5)
    assert ((theirs[..., 0] > 0) == outputs).all()


def test_the_file_says_that_weights_were_transformed(adder: Network, tmp_path: Path) -> None:
    for network, transformed in ((adder, True), (by_hand(tasks.add(), "gru"), False)):
        out = tmp_path / f"{transformed}.safetensors"
        made = cn.export(network, to="pytorch", out=out)
        data = out.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        said = json.loads(header["__metadata__"]["about"])
        assert said["weights_sha256"] == network.digest()
        assert said["load"].splitlines()[-1] in made.use
        assert ("transformed" in said) == transformed == made.use[0].startswith("# nn.RNN has no")
        assert cn.export(network, to="pytorch", out=out, force=True).sha256 == made.sha256


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("gru-reset-before", "PyTorch has no module for gru-reset-before: onnx and c take any"),
        ("mgu", "PyTorch has no module for mgu"),
        ("h = tanh(x @ Wxh + bh) * 0.5 + h @ Whh", "no name for a cell of one's own"),
        (cells.CELLS["gru"].replace("tanh", "relu"), "no module for gru with relu for tanh"),
    ],
)
def test_what_it_has_no_module_for_is_one_line(cell: str, words: str, tmp_path: Path) -> None:
    formula = Formula.parse(cell) if "=" in cell else cells.cell(cell)
    network = Network(tasks.add(), formula, initialise(tasks.add(), 3, formula))
    with pytest.raises(InputError, match=words) as caught:
        cn.export(network, to="pytorch", out=tmp_path / "a")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    out = cells.readout("u = relu(h @ Whu)\nlogits = (u + h) @ Why + by")
    network = Network(tasks.add(), "gru", initialise(tasks.add(), 3, "gru", readout=out), out)
    with pytest.raises(InputError, match="a readout that is no chain"):
        cn.export(network, to="pytorch", out=tmp_path / "a")


# The common form -------------------------------------------------------------------------


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", [*NAMES, *cells.CELLS, "lstm,gru-reset-before,elman"])
def test_layers_of_a_network_make_it_again(name: str, learned: bool) -> None:
    network, *_ = example(name, learned=learned)
    found = layered.layered(network)
    cell, readout = found.formulas()
    assert (cell, readout) == (network.cell, network.readout)
    again = Network(network.task, cell, Weights(found.parameters), readout)
    assert again.digest() == network.digest()


def test_a_cell_with_numbers_in_its_names_is_found() -> None:
    text = "state = h_1\nh_1 = tanh(x @ Wxh_1 + bh_1 + h_1 @ Whh_1)"
    formula = Formula.parse(text)
    network = Network(tasks.add(), formula, initialise(tasks.add(), 3, formula))
    (layer,) = layered.recurrent(network)
    assert (layer.cell, layer.activation) == ("elman", "tanh")
    assert layer.weights["Wxh"] is network.weights["Wxh_1"]
