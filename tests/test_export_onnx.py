"""ONNX, by onnxruntime itself: the same answers, the same logits, whatever the cell."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import carrynet as cn
from carrynet import tasks
from carrynet.errors import InputError
from carrynet.exchange import to_onnx
from carrynet.exchange.leaving import Standing, about
from carrynet.nets.arrays import Array
from carrynet.nets.formula import Formula
from carrynet.nets.network import Network
from carrynet.nets.weights import initialise
from tests.test_cells import ALONE, STACKS, WRITTEN, example
from tests.test_check_formula import by_hand
from tests.test_export import followed, random_words

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def model_of(network: Network, standing: Standing = Standing()) -> bytes:  # noqa: B008
    facts = about(network, standing, to_onnx.ARITHMETIC)
    return to_onnx.written(network, Path("net.onnx"), facts).data


def answered(model: bytes, words: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """Logits and outputs, by onnxruntime in one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    logits, outputs = session.run(["logits", "outputs"], {"symbols": words})
    return logits, outputs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*ALONE, *STACKS, *WRITTEN])
@pytest.mark.parametrize("learned", [False, True])
def test_onnxruntime_computes_what_the_network_does(name: str, dtype: str, learned: bool) -> None:
    layers = learned and name != "own"  # whose weights are called alike
    network, *_ = example(name, "argmax" if learned else "bits", layers=layers, learned=learned)
    network = network.astype(dtype)
    model = model_of(network)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    words = random_words(network, 30, 12)
    logits, outputs = followed(network, words)
    theirs, answers = answered(model, words)
    assert theirs.dtype == network.dtype
    scale = max(1, np.abs(logits).max())
    np.testing.assert_allclose(
        theirs / scale, logits / scale, atol=1e-5 if dtype == "float32" else 1e-13
    )
    assert (answers == outputs).mean() > 0.99
    # whichever way, an answer is what its own logits say
    expected = theirs.argmax(axis=-1) if learned else (theirs[..., 0] > 0).astype(int)
    assert (answers == expected).all()


@pytest.mark.parametrize("cell", ["elman", "gru", "gru-reset-before", "lstm"])
def test_ten_thousand_words_are_answered_alike(cell: str, adder: Network) -> None:
    network = adder.astype("float32") if cell == "elman" else by_hand(tasks.add(), cell)
    nodes = [node.op_type for node in onnx.load_from_string(model_of(network)).graph.node]
    assert len({"RNN", "GRU", "LSTM"}.intersection(nodes)) == 1
    words = random_words(network, 10_000, 40)
    logits, outputs = followed(network, words)
    theirs, answers = answered(model_of(network), words)
    assert (answers == outputs).all()
    np.testing.assert_allclose(theirs, logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("cell", ["gru", "gru-reset-before", "lstm"])
def test_gated_cells_with_other_activations_are_operators(cell: str, activation: str) -> None:
    from carrynet.nets.cells import CELLS

    task, rng = tasks.add(), np.random.default_rng(0)
    formula = Formula.parse(CELLS[cell].replace("tanh(", f"{activation}("))
    shaped = initialise(task, 5, formula)
    network = Network(
        task, formula, shaped.map(lambda w: rng.uniform(-0.5, 0.5, w.shape).astype("f"))
    )
    graph = onnx.load_from_string(model_of(network)).graph
    assert "Scan" not in {node.op_type for node in graph.node}
    words = random_words(network, 30, 12)
    np.testing.assert_allclose(
        answered(model_of(network), words)[0], followed(network, words)[0], atol=1e-5
    )


def test_words_of_every_length_and_batch(adder: Network) -> None:
    for network in (adder.astype("float32"), adder, by_hand(tasks.compare(), "mgu")):
        model = model_of(network)
        for shape in ((1, 1), (1, 300), (7, 1)):
            words = random_words(network, *shape)
            assert (answered(model, words)[1] == followed(network, words)[1]).all()


def test_what_is_said_of_it_is_in_the_metadata(tmp_path: Path) -> None:
    network = by_hand(tasks.parse("tomita:3"), "gru")
    proof = cn.prove(network, budget=0)
    assert isinstance(proof, cn.Proved)
    model = onnx.load_from_string(
        model_of(network, Standing("proved", proof.certificate.claim, "c" * 64))
    )
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["carrynet.claim"] == proof.certificate.claim
    assert said["carrynet.certificate_sha256"] == "c" * 64
    assert said["carrynet.weights_sha256"] == network.digest()
    assert "4.8e-07" in said["carrynet.arithmetic"]
    assert json.loads(said["carrynet.symbols"]) == list(network.task.machine.symbols)
    assert model_of(network) == model_of(network)


def test_without_the_library_one_line_says_what_is_missing(
    adder: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'carrynet\[onnx\]'"):
        cn.export(adder, to="onnx", out=tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
