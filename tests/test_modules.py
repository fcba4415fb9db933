"""Layers by PyTorch's and Equinox's names: what PyTorch answered is the oracle.

The files in `data/layers` were made by `data/make_layers.py`.
"""

import json
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import carrynet as cn
from carrynet import tasks
from carrynet.errors import InputError
from carrynet.exchange import foreign, live
from carrynet.exchange.folding import Convention, Owned, decided
from carrynet.exchange.found import Tensors
from carrynet.exchange.layered import OPTIONAL, UNKNOWN, UNPLACED, Linear
from carrynet.exchange.modules import recognise
from carrynet.exchange.otherwise import other_readings
from carrynet.exchange.tensors import Contents, read
from carrynet.judge.evaluation import evaluate
from carrynet.proof import search
from carrynet.spec.machine import Machine
from tests.conftest import words_up_to
from tests.test_cli import carrynet

FOLDER = Path(__file__).parent / "data" / "layers"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
WORD = np.array(EXPECTED["word"])[:, None]
ADD = tasks.add()
PAIRS = 65_536


def contents(name: str) -> Contents:
    return read(FOLDER / f"{name}.pt")


def owned(name: str, task: tasks.Task = ADD) -> Owned:
    given = contents(name)
    if given.layers is not None:  # which TorchScript's code says
        return Owned(task, given.layers, given.layers.dtype)
    found = recognise(given.tensors, given.settings, task)
    assert found is not None
    return Owned(task, decided(found.layers, task), found.layers.dtype)


def convention(theirs: Owned, head: str = "none", activation: str = "") -> Convention:
    return Convention(activation, theirs.codings[0], 0.0, 0, theirs.around(head))


@pytest.mark.parametrize("name", sorted(EXPECTED["logits"].keys()))
def test_answers_as_pytorch_does(name: str) -> None:
    theirs = owned(name)
    head = {"mlp": "relu", "mlp_tanh": "tanh"}.get(name, "none")
    activation = "tanh" if name.startswith("rnn") else ""
    # a file of tensors does not tell activations; a whole module does
    assert theirs.layers.untold == name.startswith("rnn")
    assert (UNKNOWN in theirs.layers.gaps) == name.startswith("mlp")
    how = convention(theirs, head, activation)
    answered = theirs.answered(how, WORD)[:, 0]
    # half precision is taken exactly, and computed with in float32
    np.testing.assert_allclose(answered, EXPECTED["logits"][name], atol=2e-6, rtol=2e-6)
    # and the network that comes of it, symbol by symbol
    network = theirs.network(how)
    logits = np.concatenate([block for _, block in network.states(WORD[:, 0].tolist())])
    wanted = answered if theirs.outputs == 1 else answered[:, 1:] - answered[:, :1]
    np.testing.assert_allclose(logits, wanted, atol=4e-6)
    assert network.dtype == ("float64" if name == "double" else "float32")
    # so that the other readings are other networks
    for reading, layers in other_readings(theirs.layers).items():
        other = replace(theirs, layers=layers)
        if name == "gru_no_bias" and reading == "reset before the product":
            continue  # which is another product, but of numbers as small
        read_so = convention(
            other, how.head, "" if reading.startswith("activation") else activation
        )
        assert not np.allclose(other.answered(read_so, WORD)[:, 0], answered, atol=1e-4), reading


def test_what_stands_in_the_file_is_told() -> None:
    found = recognise(contents("embedding").tensors, {}, ADD)
    assert found is not None
    assert found.how == "embedding embedding.weight, LSTM rnn.*_l0 (5 units), linear head.weight"
    assert found.assumed == ("gates i, f, g, o",)
    found = recognise(contents("cells").tensors, {}, ADD)
    assert found is not None
    assert [each.cell for each in found.layers.recurrent] == ["gru", "lstm"]
    found = recognise(contents("before").tensors, {}, ADD)
    assert found is not None
    assert [isinstance(layer, Linear) for layer in found.layers.before] == [True, False]
    assert [isinstance(layer, Linear) for layer in found.layers.head] == [False, True]


def test_a_whole_module_tells_its_activations() -> None:
    given = contents("module")
    assert given.settings["head.1.class"] == "Sigmoid"
    found = recognise(given.tensors, given.settings, ADD)
    assert found is not None
    _, between, last, end = found.layers.head
    assert (between, end) == ("sigmoid", "sigmoid")
    assert not isinstance(last, str)
    with pytest.raises(InputError, match=r"'head\.1' is a 'GELU', which cannot be taken"):
        recognise(given.tensors, {**given.settings, "head.1.class": "GELU"}, ADD)
    assert "no dropout, as when it is used" not in found.assumed
    found = recognise(given.tensors, {**given.settings, "rnn.dropout": 0.1}, ADD)
    assert found is not None
    assert "no dropout, as when it is used" in found.assumed
    found = recognise(given.tensors, {}, ADD)
    assert found is not None
    assert found.layers.gaps == (OPTIONAL, UNKNOWN)


def test_an_embedding_of_more_symbols_is_read_from_one_of_its_first_rows() -> None:
    assert owned("padded_embedding").codings == ["from 0", "from 1", "from 2"]
    assert owned("embedding").codings == ["from 0"]


# Refused -----------------------------------------------------------------------------


def refusal(tensors: Tensors, settings: Any = None) -> str:
    with pytest.raises(InputError) as caught:
        recognise(tensors, settings or {}, ADD)
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_other_networks_are_refused_by_kind() -> None:
    for name, reason in (("bidirectional", "both directions"), ("projection", "projection")):
        assert reason in refusal(contents(name).tensors)


def test_tensors_without_a_place_are_refused_by_name() -> None:
    given = contents("gru").tensors
    for name, tensor, reason in (
        ("norm.weight", np.ones(5, "f4"), "'norm.weight' (5,) looks like a normalisation"),
        ("attn.in_proj", np.ones((5, 5), "f4"), "attention"),
        ("rnn.weight_x", np.ones((5, 5), "f4"), "has no place"),
        ("fc.weight", np.ones((3, 5), "f4"), "fit in no way between 2"),
        ("h0", np.ones(4, "f4"), "begin in, and has another size"),
        ("c0", np.ones(5, "f4"), "is of an LSTM, and there is none"),
    ):
        assert reason in refusal({**given, name: tensor})


def test_shapes_that_are_of_no_cell() -> None:
    given = contents("gru").tensors
    for name, shape, reason in (
        ("rnn.weight_hh_l0", (15, 4), "which no cell of PyTorch's has"),
        ("rnn.weight_hh_l0", (10, 5), "of no RNN, GRU or LSTM"),
        ("rnn.weight_ih_l0", (20, 2), "of no RNN, GRU or LSTM"),
        ("rnn.bias_ih_l0", (5,), "a bias beside"),
        ("head.weight", (1, 4), "fit in no way"),
        ("head.bias", (2,), "does not fit"),
    ):
        assert reason in refusal({**given, name: np.ones(shape, "f4")})
    assert "said to be 'lstm'" in refusal(given, {"rnn.mode": "LSTM"})
    with pytest.raises(InputError, match="holds bool"):
        recognise({**given, "rnn.weight_hh_l0": np.ones((15, 5), bool)}, {}, ADD)


def test_a_network_of_other_inputs_or_outputs() -> None:
    given = contents("gru")
    with pytest.raises(InputError, match="fit in no way between 3 or 6 or 8 inputs"):
        foreign.take(given, tasks.parse("add:operands=3"))
    with pytest.raises(InputError, match="and 5 or 1 outputs of task add:base=5,operands=3"):
        foreign.take(given, tasks.parse("add:base=5,operands=3"))


def test_what_is_said_of_what_is_told() -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"head": "relu,tanh,none"}, "says 3 activations: accepted are one, .* or 1, for each"),
        ({"head": "gelu"}, "unknown head 'gelu'"),
        ({"activation": "tanh"}, "leave out --activation"),
        ({"coding": "numbers"}, "does not fit 2 inputs"),
    ]
    for said, reason in refused:
        with pytest.raises(InputError, match=reason):
            foreign.take(contents("adder_gru"), ADD, **said)


# What names do not tell ----------------------------------------------------------------


def layer_of(width: int, seed: int) -> Tensors:
    """A GRU of as many units as inputs."""
    rng = np.random.default_rng(seed)
    shapes = {"weight_ih_l0": (3 * width, width), "weight_hh_l0": (3 * width, width)}
    return {name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()}


def test_layers_that_could_come_in_any_order() -> None:
    tensors: Tensors = {"embedding.weight": np.ones((4, 5), "f4")}
    for seed, name in enumerate(("one", "two", "three")):
        tensors |= {f"{name}.{key}": w for key, w in layer_of(5, seed).items()}
    tensors["out.weight"] = np.ones((1, 5), "f4")
    # a state dict is in the order in which its modules were made; other files are in none
    found = recognise(tensors, {}, ADD)
    assert found is not None
    assert "GRU one.*_l0 (5 units), GRU two.*_l0 (5 units), GRU three.*" in found.how
    assert "layers in the order in which the file has them" in found.assumed
    with pytest.raises(InputError, match=r"in several ways .* the file has no order"):
        recognise(tensors, {}, ADD, listed=False)
    numbered = {re.sub("one|two|three", lambda m: numbers[m[0]], n): t for n, t in tensors.items()}
    turned = dict(reversed(numbered.items()))
    found = recognise(turned, {}, ADD, listed=False)
    assert found is not None
    assert "GRU cell1.*_l0 (5 units), GRU cell2.*_l0 (5 units), GRU cell3.*" in found.how
    assert not any("order" in phrase for phrase in found.assumed if "file" in phrase)


numbers = {"one": "cell1", "two": "cell2", "three": "cell3"}


def test_a_safetensors_file_is_the_same_network_in_every_process(tmp_path: Path) -> None:
    tensors = contents("gru_two_layers").tensors
    save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, tmp_path / "n")
    assert list(read(tmp_path / "n").tensors) == sorted(tensors)
    assert not read(tmp_path / "n").listed
    assert contents("gru_two_layers").listed


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rnn.class": "MyGRU"}, "'rnn.' is a 'MyGRU'"),
        ({"rnn.class": "GRU", "norm.class": "LayerNorm"}, "'norm' is a 'LayerNorm'"),
        ({"rnn.class": "GRU", "act.class": "GELU"}, "'act' is a 'GELU'"),
        ({"rnn.class": "GRU", "head.class": "MyHead"}, "'head' is a 'MyHead'"),
    ],
)
def test_modules_that_are_not_understood_are_refused(settings: Any, reason: str) -> None:
    assert reason in refusal(contents("gru").tensors, {"class": "Network", **settings})


def ended(y: int = 2, **settings: Any) -> Any:
    """A GRU, and a head in a `Sequential`; of more modules what the settings say."""
    tensors = dict(contents("gru").tensors)
    weight, bias = tensors.pop("head.weight"), tensors.pop("head.bias")
    tensors |= {"head.0.weight": np.repeat(weight, y, 0), "head.0.bias": np.repeat(bias, y)}
    told = {"class": "Network", "rnn.class": "GRU", "head.class": "Sequential"}
    told |= {"head.0.class": "Linear"} | {k.replace("_", "."): v for k, v in settings.items()}
    found = recognise(tensors, told, ADD)
    assert found is not None
    return found.layers


def test_a_softmax_is_over_the_answers_or_refused() -> None:
    for kind in ("Softmax", "LogSoftmax"):
        for place in ("head_1", "act", "end_0"):  # of `forward`, or of another `Sequential`
            made: dict[str, Any] = {f"{place}_class": kind}
            with pytest.raises(InputError, match=f"is a {kind} whose dim is not told: accepted"):
                ended(**made)
            for dim in (-1, 2):
                made[f"{place}_dim"] = dim
                assert ended(**made).ended == kind.lower()
                with pytest.raises(InputError, match="softmax of one number"):
                    ended(1, **made)
            for dim in (0, 1):
                made[f"{place}_dim"] = dim
                with pytest.raises(InputError, match=f"is a {kind} whose dim is {dim}: accepted"):
                    ended(**made)


def test_a_sigmoid_whose_place_is_not_told_may_be_the_end() -> None:
    assert ended(head_1_class="Sigmoid").head[-1] == "sigmoid"
    assert ended(head_1_class="Sigmoid").ended == ""
    for kind in ("Sigmoid", "Tanh"):
        assert ended(act_class=kind).ended == UNPLACED
    assert ended(act_class="ReLU").ended == ""
    given = contents("gru")
    told = {"class": "Network", "rnn.class": "GRU", "head.class": "Linear", "act.class": "Sigmoid"}
    said = {"coding": "0/1", "delay": 0, "head": "none"}
    taken = foreign.take(replace(given, settings=told), ADD, **said)  # type: ignore[arg-type]
    assert "no sigmoid or tanh after the last linear layer" in taken.source.assumed
    assert "cut at logit 0" in taken.source.assumed


def test_activations_after_an_embedding_and_before_the_first_linear_layer_are_seen() -> None:
    tensors = dict(contents("embedding").tensors)
    tensors["emb.0.weight"] = tensors.pop("embedding.weight")
    told = {"class": "Network", "rnn.class": "LSTM", "head.class": "Linear"}
    told |= {"emb.class": "Sequential", "emb.0.class": "Embedding", "emb.1.class": "Tanh"}
    found = recognise(tensors, told, ADD)
    assert found is not None
    assert found.layers.before == ("tanh",)
    tensors = dict(contents("before").tensors)
    (name,) = (n for n in tensors if n.endswith("weight") and tensors[n].shape[1] == 2)
    tensors["pre.1.weight"] = tensors.pop(name)
    tensors["pre.1.bias"] = tensors.pop(name.replace("weight", "bias"))
    told = {"class": "Network", "pre.class": "Sequential", "pre.0.class": "Tanh"}
    found = recognise(tensors, {**told, "pre.1.class": "Linear"}, ADD)
    assert found is not None
    assert found.layers.before[0] == "tanh"


def test_an_activation_before_the_head_is_seen() -> None:
    tensors = dict(contents("gru").tensors)
    tensors["head.1.weight"], tensors["head.1.bias"] = (
        tensors.pop(f"head.{k}") for k in ("weight", "bias")
    )
    told = {"head.class": "Sequential", "head.0.class": "ReLU", "head.1.class": "Linear"}
    found = recognise(tensors, {"class": "Network", "rnn.class": "GRU", **told}, ADD)
    assert found is not None
    assert found.layers.head[0] == "relu"
    # a list of modules says nothing of what is between them
    listed = {**told, "head.class": "ModuleList"}
    found = recognise(tensors, {"class": "Network", "rnn.class": "GRU", **listed}, ADD)
    assert found is not None
    assert found.layers.gaps == (OPTIONAL,)


def test_starts_whose_place_is_not_told() -> None:
    cells = {f"cells.{k}.{n[:-3]}": w for k in (0, 1) for n, w in layer_of(5, k).items()}
    tensors = {"embedding.weight": np.ones((4, 5), "f4"), **cells, "out.weight": np.ones((1, 5))}
    assert "2 layers of 5 and 5 units begin in" in refusal({**tensors, "h0": np.ones(5, "f4")})
    parts = {"init.0": np.ones(5, "f4"), "init.1": np.ones(5, "f4")}
    assert "does not tell which part of the state" in refusal({**tensors, **parts})
    found = recognise({**tensors, "h0_1": np.ones(5, "f4")}, {}, ADD)
    assert found is not None
    assert [set(each.start) for each in found.layers.recurrent] == [set(), {"h"}]
    # of whatever is called a cell's, h0 is an h
    found = recognise({**contents("gru").tensors, "cell_h0": np.ones(5, "f4")}, {}, ADD)
    assert found is not None
    assert set(found.layers.recurrent[0].start) == {"h"}


def test_layers_that_fit_in_very_many_ways_are_refused() -> None:
    """Six cells and six linear layers of one width: 3,628,800 ways, which are not gone through."""
    square = np.ones((15, 5), "f4")
    tensors = {f"{a}.weight_{part}_l0": square for a in "abcdef" for part in ("ih", "hh")}
    tensors |= {f"{a}.weight": np.ones((5, 5), "f4") for a in "ghijkl"}
    tensors |= {"embedding.weight": np.ones((4, 5), "f4"), "out.weight": np.ones((1, 5), "f4")}
    with pytest.raises(InputError, match="names of 7 layers do not tell their order"):
        recognise(tensors, {}, ADD)
    del tensors["l.weight"]
    with pytest.raises(InputError, match="more than 1,000 orders"):
        recognise(tensors, {}, ADD)


def test_a_linear_layer_that_is_called_an_embedding() -> None:
    tensors = dict(contents("embedding").tensors)
    assert owned("embedding").layers.embedding is not None
    tensors["embedding.weight"] = tensors["embedding.weight"].T.copy()
    told = {"class": "Network", "embedding.class": "Linear", "rnn.class": "LSTM"}
    found = recognise(tensors, {**told, "head.class": "Linear"}, ADD)
    assert found is not None
    assert found.layers.embedding is None
    assert isinstance(found.layers.before[0], Linear)


# Trained elsewhere -------------------------------------------------------------------


def test_a_gru_that_passes_every_test_of_8_digits_is_refuted() -> None:
    taken = foreign.take(contents("adder_gru"), ADD)
    assert "bits as 0 and 1" in taken.source.assumed
    assert evaluate(taken.network, 8).right == PAIRS
    verdict = search.prove(taken.network, budget=0)
    assert verdict.verdict == "refuted"
    # the counterexample, by PyTorch's formula in NumPy, with nothing of carrynet
    w = {name: tensor.astype(np.float32) for name, tensor in contents("adder_gru").tensors.items()}
    a, b = 524286, 0
    assert by_pytorchs_formula(w, a, b) == taken.network.compute(a, b) != a + b


def by_pytorchs_formula(w: Tensors, a: int, b: int) -> int:
    h, answer = np.zeros(8, np.float32), 0
    for t in range(max(a, b).bit_length() + 1):
        x = np.array([a >> t & 1, b >> t & 1], np.float32)
        r, z, n = np.split(w["rnn.weight_ih_l0"] @ x + w["rnn.bias_ih_l0"], 3)
        hr, hz, hn = np.split(w["rnn.weight_hh_l0"] @ h + w["rnn.bias_hh_l0"], 3)
        r, z = (1 / (1 + np.exp(-each)) for each in (r + hr, z + hz))
        h = (1 - z) * np.tanh(n + r * hn) + z * h
        answer |= int((w["head.weight"] @ h + w["head.bias"])[0] > 0) << t
    return answer


def test_an_import_says_how_other_readings_would_do() -> None:
    taken = foreign.take(contents("adder_lstm"), ADD)
    (line,) = (note for note in taken.notes if note.startswith("otherwise"))
    assert "right of 256 sample problems: gates in ONNX's order " in line
    assert int(line.rpartition(" ")[2]) < 256


@words_up_to(64)
@pytest.mark.parametrize("name", ["adder_gru", "adder_lstm"])
def test_samples_are_compared_position_by_position(name: str, tmp_path: Path) -> None:
    samples = FOLDER / f"{name}_samples.npz"
    file = FOLDER / f"{name}.pt"
    done = carrynet("import", file, "--samples", samples, "--out", "taken", cwd=tmp_path)
    assert "samples     agree: logits of 40 words to 0.0001" in done.stderr
    arrays = dict(np.load(samples))
    arrays["logits"][3, 5] += 0.001
    np.savez(tmp_path / "other.npz", **arrays)
    done = carrynet("import", file, "--samples", "other.npz", "--out", "other", cwd=tmp_path)
    assert done.returncode == 2
    assert "answers as in 39 of 40 samples, first another in word 4 at position 6" in done.stderr
    assert not (tmp_path / "other").exists()


def samples_of(network: cn.Network, words: Any, **arrays: Any) -> foreign.Samples:
    logits = [np.concatenate([block for _, block in network.states(list(w))]) for w in words]
    return foreign.samples_of({"words": words, "logits": np.array(logits), **arrays}, network.task)


def test_an_exporters_fault_is_named_when_the_samples_show_it() -> None:
    words = np.random.default_rng(0).integers(4, size=(9, 12))
    theirs = owned("gru")
    layers = other_readings(theirs.layers)["reset before the product"]
    truth = replace(theirs, layers=layers).network(convention(theirs))
    taken = foreign.take(contents("gru"), ADD, samples=samples_of(truth, words))
    assert (
        taken.source.assumed[-1]
        == "reset before the product, as the samples show, not as the file says"
    )
    assert taken.network.kind == "gru-reset-before"
    # without samples, a network that is right when it is read otherwise is not taken either way
    given = contents("adder_gru")
    swapped = dict(given.tensors)
    for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        r, z, n = np.split(swapped[f"rnn.{key}_l0"], 3)
        swapped[f"rnn.{key}_l0"] = np.concatenate([z, r, n])
    with pytest.raises(InputError, match="with gates r and z exchanged it is right"):
        foreign.take(replace(given, tensors=swapped), ADD)


def test_samples_that_several_other_readings_fit_are_too_few() -> None:
    theirs = owned("gru_no_bias")  # whose reset gate does nothing to the first symbol
    layers = other_readings(theirs.layers)["gates r and z exchanged"]
    truth = replace(theirs, layers=layers).network(convention(theirs))
    words = np.array([[1], [2], [3]])
    with pytest.raises(InputError, match=r"gates r and z exchanged or reset .* give more samples"):
        foreign.take(contents("gru_no_bias"), ADD, samples=samples_of(truth, words))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["GRUCell", "LSTMCell"])
@pytest.mark.parametrize("bias", [True, False])
def test_answers_as_equinox_does(kind: str, bias: bool) -> None:
    """By the names that JAX gives to the leaves of Equinox's modules."""
    eqx, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")
    keys = jax.random.split(jax.random.key(0))
    cell = getattr(eqx.nn, kind)(2, 5, use_bias=bias, key=keys[0])
    linear = eqx.nn.Linear(5, 1, key=keys[1])
    leaves = jax.tree_util.tree_flatten_with_path({"cell": cell, "linear": linear})[0]
    tensors = {
        ".".join(str(getattr(key, "key", getattr(key, "name", ""))) for key in path): np.array(leaf)
        for path, leaf in leaves
    }
    zero = np.zeros(5, "f4")
    state: Any = zero if kind == "GRUCell" else (zero, zero)
    wanted = []
    for symbol in WORD[:, 0]:
        state = cell(np.array([symbol // 2, symbol % 2], "f4"), state)
        wanted.append(np.asarray(linear(state if kind == "GRUCell" else state[0])))
    found = recognise(tensors, {}, ADD)
    assert found is not None
    theirs = Owned(ADD, found.layers, found.layers.dtype)
    answered = theirs.answered(convention(theirs), WORD)[:, 0]
    np.testing.assert_allclose(answered, wanted, atol=1e-6)


def test_words_as_symbols_of_a_machine() -> None:
    """Parity, by an LSTM whose input gate flips: fed one-hot, numbers, bits, an embedding."""
    flip = ((0, 1), (1, 0))
    parity = tasks.own("parity", Machine(("even", "odd"), ("0", "1"), ("0", "1"), flip, flip))
    for width, codings in ((2, ["symbols"]), (1, ["0/1", "-1/+1"])):
        tensors = {
            "rnn.weight_ih_l0": np.ones((12, width), "f4"),
            "rnn.weight_hh_l0": np.ones((12, 3), "f4"),
            "out.weight": np.ones((2, 3), "f4"),
        }
        found = recognise(tensors, {}, parity)
        assert found is not None
        assert Owned(parity, found.layers, np.dtype("f4")).codings == codings


# Live modules ------------------------------------------------------------------------


class Tensor:
    """The methods of a tensor of PyTorch's that are called."""

    def __init__(self, array: Any, dtype: str = "torch.float32") -> None:
        self.array, self.dtype = array, dtype

    def detach(self) -> "Tensor":
        return self

    cpu = detach

    def float(self) -> "Tensor":
        return Tensor(self.array.astype("f4"))

    def numpy(self) -> Any:
        return self.array

    def numel(self) -> int:
        return int(self.array.size)

    def element_size(self) -> int:
        return int(self.array.itemsize)


class GRU:
    __module__ = "torch.nn.modules.rnn"
    mode, num_layers, bidirectional = "GRU", 1, False


class Module:
    """The methods of a module that are called; `live.py` was tried with PyTorch's own by hand."""

    def __init__(self, tensors: Tensors, dtype: str = "torch.float32") -> None:
        self.tensors, self.dtype, self.rnn = tensors, dtype, GRU()

    def state_dict(self) -> dict[str, Tensor]:
        return {name: Tensor(tensor, self.dtype) for name, tensor in self.tensors.items()}

    def named_modules(self, *, remove_duplicate: bool) -> list[tuple[str, object]]:
        return [("", self), ("rnn", self.rnn)]


def test_a_live_module_is_the_network_of_its_file() -> None:
    tensors = contents("adder_gru").tensors
    network = cn.load(Module(tensors), task="add")
    assert isinstance(network, cn.Network)
    assert network.digest() == foreign.take(contents("adder_gru"), ADD).network.digest()
    half = Module({name: t.astype("f2") for name, t in tensors.items()}, "torch.float16")
    assert cn.load(half, task="add").dtype == "float32"
    both = Module(tensors)
    both.rnn.bidirectional = True
    with pytest.raises(InputError, match=r"'rnn\.bidirectional' is True"):
        cn.load(both, task="add")


def test_a_live_module_that_does_more_than_its_kind_is_refused() -> None:
    changed, own = (Module(contents("adder_gru").tensors) for _ in range(2))
    changed.rnn.forward = print  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="'rnn' has an attribute 'forward', which no GRU"):
        cn.load(changed, task="add")
    own.rnn = type("GRU", (GRU,), {"__module__": "mine"})()
    with pytest.raises(InputError, match=r"'rnn\.' is a 'mine\.GRU': accepted are PyTorch's own"):
        cn.load(own, task="add")


def test_a_file_is_loaded_with_its_task() -> None:
    file, samples = FOLDER / "adder_lstm.pt", FOLDER / "adder_lstm_samples.npz"
    network = cn.load(file, task="add", samples=samples)
    assert network.add(118, 8) == 126
    assert cn.load(file, task="add", samples=dict(np.load(samples))).digest() == network.digest()
    for call, reason in (
        (lambda: cn.load(file, None, samples=samples), "is loaded with its task"),  # type: ignore[call-overload]
        (lambda: cn.load(file, task="add", activations="tanh"), "cannot be said of a network"),
        (lambda: cn.load(5, task="add"), "a file or a torch.nn.Module"),
        (lambda: cn.load(file, task="add", map="Wxh=rnn.weight_ih_l0.T"), "GRU|Whh|shape"),
    ):
        with pytest.raises(InputError, match=reason):
            call()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["rnn.weight_hh_l0", "rnn.bias_ih_l0", "head.weight", "head.bias"])
@pytest.mark.parametrize(
    "bits", [0x7FC00000, 0x7F800001, 0x7F800000], ids=["NaN", "signals", "inf"]
)
def test_weights_that_are_not_finite_are_named(name: str, bits: int) -> None:
    given = contents("adder_gru")
    changed = given.tensors[name].copy()
    changed.reshape(-1).view("u4")[0] = bits
    with pytest.raises(
        InputError, match=rf"^'{re.escape(name)}' \(.*\) is not finite: it holds NaN"
    ):
        foreign.take(replace(given, tensors={**given.tensors, name: changed}), ADD)


# Samples -----------------------------------------------------------------------------


def test_samples_in_a_csv_file(tmp_path: Path) -> None:
    network = cn.load(FOLDER / "adder_gru.pt", task="add")
    file = tmp_path / "answers.csv"
    words = ([0, 3, 1], [3, 3, 0, 0, 2])
    lines = ["word,outputs,logits"]
    for word in words:
        logits = np.concatenate([block for _, block in network.states(word)])[:, 0]
        outputs = network.transduce(word)
        lines.append(",".join(" ".join(map(str, each)) for each in (word, outputs, logits)))
    file.write_text("\n".join(lines) + "\n")
    assert foreign.read_samples(file, ADD).said == "outputs and logits of 2 words"
    assert cn.load(FOLDER / "adder_gru.pt", task="add", samples=file).digest() == network.digest()
    file.write_text(file.read_text().replace(" 1 ", " 0 "))
    with pytest.raises(InputError, match="first another in word"):
        cn.load(FOLDER / "adder_gru.pt", task="add", samples=file)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("word,answer\n0,0\n", "the columns are word, and outputs or logits"),
        ("word\n0\n", "the columns are word"),
        ("word,outputs\n", "has 0 words"),
        ("word,outputs\n0 9,0 0\n", "line 2 has '0 9'"),
        ("word,outputs\n0 1,0\n", "1 outputs for 2 symbols"),
        ("word,logits\n0 1,0 x\n", "logits that are no numbers"),
        ("word,logits\n0 1,1 2 3\n", "3 logits for 2 symbols"),
        ("word,logits\n0 1,1 2\n0,1 2\n", "different numbers of logits"),
        ('word,outputs\n"0', "cannot be read"),
    ],
)
def test_csv_files_that_are_no_samples(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "answers.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=reason) as caught:
        foreign.read_samples(file, ADD)
    assert str(caught.value).startswith(f"samples {file}: ")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"outputs": [[0]]}, "there are no words"),
        ({"words": [[0]]}, "neither outputs nor logits"),
        ({"words": [[4]], "outputs": [[0]]}, "words must be whole numbers from 0 to 3"),
        ({"words": [[0.5]], "outputs": [[0]]}, "words must be whole"),
        ({"words": [0], "outputs": [0]}, "words have shape"),
        ({"words": [[0]], "outputs": [[2]]}, "outputs must be whole numbers from -1 to 1"),
        ({"words": [[0, 1]], "outputs": [[0]]}, "outputs have shape"),
        ({"words": [[0]], "logits": [[[[0.0]]]]}, "logits have shape"),
        ({"words": [[0]], "logits": [[0.0]], "more": [0]}, "'more' is not understood"),
        ({"words": [[0]], "outputs": [[-1]]}, "nothing is told of any position"),
        ({"words": [[0]], "logits": [[np.nan]]}, "nothing is told of any position"),
        ({"words": [[0]], "logits": [[[np.nan, 1.0]]]}, "NaN throughout"),
        ({"words": [[0]], "logits": [["a"]]}, "logits must be an array of numbers"),
        ({"words": [[0]], "logits": [[1j]]}, "logits must be an array of numbers"),
    ],
)
def test_arrays_that_are_no_samples(arrays: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        foreign.samples_of({name: np.array(each) for name, each in arrays.items()}, ADD)
    given = foreign.samples_of({"words": [[0, 1]], "logits": np.zeros((1, 2, 3))}, ADD)
    with pytest.raises(InputError, match="samples have 3 logits at each position, the network"):
        foreign.take(contents("gru"), ADD, samples=given)


def test_samples_that_fit_in_several_ways_are_too_few() -> None:
    given = foreign.samples_of({"words": [[0]], "outputs": [[0]]}, ADD)
    with pytest.raises(InputError, match="which answer other words differently: say which one"):
        foreign.take(contents("gru"), ADD, samples=given)


@pytest.mark.parametrize("said", [{"map": None}, {"leave_out": 3}, {"samples": 5}])
def test_arguments_of_other_kinds(said: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        cn.load(FOLDER / "gru.pt", task="add", **said)


class Torch:
    """As much of PyTorch as calls a module."""

    no_grad = nullcontext

    class Array(np.ndarray):
        def to(self, dtype: Any) -> "Torch.Array":
            return self.astype(dtype).view(Torch.Array)

        def transpose(self, *axes: int) -> Any:  # type: ignore[override]
            return self.swapaxes(*axes)

        def detach(self) -> "Torch.Array":
            return self

        cpu = detach

        def numpy(self) -> Any:
            return np.asarray(self)

    @staticmethod
    def tensor(array: Any) -> "Torch.Array":
        return np.asarray(array).view(Torch.Array)


class Number:
    """A module that answers with one number for each symbol, batch first."""

    training = False

    def __init__(self, answers: Callable[[Any], Any]) -> None:
        self.answers = answers

    def eval(self) -> None:
        pass

    def train(self, mode: bool) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {"weight": np.zeros(1, "f4")}

    def __call__(self, x: Any) -> Any:
        if x.ndim > 2:
            raise ValueError
        return Torch.tensor(np.array([self.answers(w) for w in x.tolist()]).astype("f4"))


def test_a_module_in_memory_that_answers_another_number_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = tasks.parse("cycle:3")
    rng = np.random.default_rng(0)
    tensors = {
        "weight_ih_l0": rng.normal(size=(5, 1)),
        "weight_hh_l0": rng.normal(size=(5, 5)),
        "fc.weight": rng.normal(size=(1, 5)),
        "fc.bias": np.ones(1),
    }
    file = Contents(tensors, (), {}, "0" * 64, "module")
    said = {"activation": "tanh", "coding": "numbers", "delay": 0}
    network = foreign.take(file, task, **said).network  # type: ignore[arg-type]

    def number(word: list[int]) -> Any:
        logits = np.concatenate([block for _, block in network.states(word)])
        return logits[:, 1:2] - logits[:, :1] + 0.5

    monkeypatch.setitem(sys.modules, "torch", Torch)
    live.confirm(Number(number), network)
    with pytest.raises(InputError, match="the Number answers otherwise when it is called"):
        live.confirm(Number(lambda word: 1 / (1 + np.exp(-number(word)))), network)
