"""Networks of Keras: Keras itself is the judge of what they compute."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from carrynet import tasks
from carrynet.errors import InputError
from carrynet.exchange import foreign
from carrynet.exchange.folding import decided
from carrynet.exchange.found import Found
from carrynet.exchange.hdf5 import read_hdf5
from carrynet.exchange.layered import NONE, OPTIONAL, UNKNOWN, Layered, Linear
from carrynet.exchange.tensors import Contents, read
from tests.layered import logits
from tests.test_foreign import refusal

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*:DeprecationWarning:keras", "ignore:.*:FutureWarning:keras"
)

FOREIGN = Path(__file__).parent / "data" / "foreign"
T, B, X, H, Y = 6, 3, 3, 4, 2


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ["KERAS_BACKEND"] = "numpy"  # which compiles nothing
    library = pytest.importorskip("keras")
    library.utils.set_random_seed(0)
    return library


@pytest.fixture(scope="module")
def h5py() -> Any:
    return pytest.importorskip("h5py")


def randomized(model: Any, seed: int = 0) -> Any:
    """A model whose biases are not zero."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape).astype("f4") * 0.6 for w in model.get_weights()])
    return model


def sequential(keras: Any, *layers: Any, ids: bool = False) -> Any:
    shape = {"shape": (None,), "dtype": "int32"} if ids else {"shape": (None, X)}
    return randomized(keras.Sequential([keras.Input(**shape), *layers]))


def saved(model: Any, path: Path) -> Contents:
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return read(path)


def words(ids: bool = False) -> Any:
    rng = np.random.default_rng(1)
    return rng.integers(0, 6, (T, B)) if ids else rng.normal(size=(T, B, X)).astype("f4")


def agree(model: Any, layers: Layered | None, x: Any, last: bool = False) -> None:
    assert layers
    theirs = np.asarray(model(x.swapaxes(0, 1)))
    ours = logits(layers, x)
    ours = ours[-1] if last else ours.swapaxes(0, 1)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-5


# What models compute -----------------------------------------------------------------

CELLS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "simple": lambda L, o: L.SimpleRNN(H, **o),
    "simple relu": lambda L, o: L.SimpleRNN(H, activation="relu", use_bias=False, **o),
    "gru": lambda L, o: L.GRU(H, **o),
    "gru before": lambda L, o: L.GRU(H, reset_after=False, dropout=0.2, **o),
    "gru no bias": lambda L, o: L.GRU(H, use_bias=False, **o),
    "gru relu": lambda L, o: L.GRU(H, activation="relu", **o),
    "lstm": lambda L, o: L.LSTM(H, **o),
    "lstm sigmoid": lambda L, o: L.LSTM(H, activation="sigmoid", use_bias=False, **o),
    "rnn": lambda L, o: L.RNN(L.GRUCell(H), **o),
}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_cells(keras: Any, tmp_path: Path, cell: str, kind: str) -> None:
    L = keras.layers
    model = sequential(keras, CELLS[cell](L, {"return_sequences": True}), L.Dense(Y))
    contents = saved(model, tmp_path / f"model.{kind}")
    agree(model, contents.layers, words())
    assert contents.notes == ()


@pytest.mark.parametrize("kind", ["keras", "h5", "weights.h5"])
def test_a_whole_model(keras: Any, tmp_path: Path, kind: str) -> None:
    L = keras.layers
    along = {"return_sequences": True}
    model = sequential(
        keras,
        *(L.Embedding(6, 5), L.SpatialDropout1D(0.1), L.GRU(4, **along), L.GaussianNoise(0.1)),
        *(L.GRU(7, name="last", dropout=0.1, **along), L.Dropout(0.3)),
        *(L.Dense(3, activation="relu"), L.TimeDistributed(L.Dense(Y))),
        ids=True,
    )
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    contents = saved(model, tmp_path / f"model.{kind}")
    layers = contents.layers
    assert layers
    if kind == "weights.h5":
        assert layers.gaps == (OPTIONAL, UNKNOWN)
        assert "taken to have tanh, and gates of sigmoid" in contents.notes[0]
        # which is what it takes it for
        model.layers[6].activation = keras.activations.relu
    agree(model, layers, words(True))
    assert [each.hidden for each in layers.recurrent] == [4, 7]
    assert any("optimi" in entry for entry in contents.passed_over)


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_functional_models(keras: Any, tmp_path: Path, kind: str) -> None:
    L = keras.layers
    x = keras.Input((None, X))
    value = L.Dense(5, activation="tanh")(x)
    value = L.LSTM(H, return_sequences=True)(value)
    value, *_ = L.LSTM(H, return_sequences=True, return_state=True)(value)
    value = L.Activation("sigmoid")(value)
    model = randomized(keras.Model(x, L.Dense(Y)(value)))
    contents = saved(model, tmp_path / f"model.{kind}")
    agree(model, contents.layers, words())
    assert contents.layers
    assert contents.layers.before[1] == "tanh"
    assert contents.layers.head[0] == "sigmoid"


def test_stacked_cells_and_the_last_answer(keras: Any, tmp_path: Path) -> None:
    L = keras.layers
    cells = [L.GRUCell(3), L.LSTMCell(5), L.GRUCell(4)]
    model = sequential(keras, L.RNN(cells), L.Dense(Y))
    contents = saved(model, tmp_path / "model.keras")
    agree(model, contents.layers, words(), last=True)
    assert "after the last symbol" in contents.notes[0]


@pytest.mark.parametrize("end", ["softmax", "log_softmax", "sigmoid", "layer", "relu"])
def test_how_a_head_ends(keras: Any, tmp_path: Path, end: str) -> None:
    L = keras.layers
    last = [L.Dense(Y), L.Softmax()] if end == "layer" else [L.Dense(Y, activation=end)]
    model = sequential(keras, L.SimpleRNN(H, return_sequences=True), *last)
    contents = saved(model, tmp_path / "model.keras")
    assert contents.layers
    head = contents.layers.head
    assert isinstance(head[0], Linear)
    assert head[1:] == ((end,) if end in ("relu", "sigmoid") else ())
    ended = {"layer": "softmax", "softmax": "softmax", "log_softmax": "logsoftmax"}
    assert contents.layers.ended == ended.get(end, "")


def test_a_sigmoid_says_the_cut_and_a_softmax_of_one_number_nothing(
    keras: Any, tmp_path: Path
) -> None:
    L = keras.layers
    for end in ("sigmoid", "softmax"):
        model = keras.Sequential([keras.Input((None, 2)), L.GRU(H, return_sequences=True)])
        model.add(L.Dense(1, activation=end))
        randomized(model).save(tmp_path / f"{end}.keras")
        if end == "softmax":
            message = refusal(lambda: read(tmp_path / "softmax.keras"))
            assert "a softmax of one number, which is 1 whatever the number is" in message
            continue
        taken = foreign.take(read(tmp_path / f"{end}.keras"), tasks.add(), coding="0/1", delay=0)
        assert "cut at logit 0" in taken.source.assumed
        symbols = np.random.default_rng(2).integers(4, size=(6, 30))
        theirs = np.asarray(model(np.stack([symbols >> 1, symbols & 1], axis=-1).astype("f4")))
        for word, p in zip(symbols.tolist(), theirs[..., 0], strict=True):
            assert taken.network.transduce(word) == (p > 0.5).astype(int).tolist()


@pytest.mark.parametrize("name", ["simple", "gru", "gru before", "gru no bias", "lstm"])
def test_arrays_alone(keras: Any, tmp_path: Path, name: str) -> None:
    L = keras.layers
    along = {"return_sequences": True}
    model = sequential(keras, L.Dense(5), CELLS[name](L, along), CELLS[name](L, along), L.Dense(Y))
    contents = saved(model, tmp_path / "model.weights.h5")
    agree(model, contents.layers, words())
    assert contents.layers
    assert isinstance(contents.layers.before[0], Linear)
    assert contents.layers.before[1:] == (OPTIONAL,)
    assert contents.layers.untold == (name == "simple")
    assert any("reset_after" in note for note in contents.notes) == (name == "gru no bias")


def test_arrays_of_a_model_of_ones_own_class(keras: Any, tmp_path: Path) -> None:
    L = keras.layers

    class Other(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = L.Embedding(6, X)
            self.rnn = L.GRU(H, return_sequences=True)
            self.out = L.Dense(Y)

        def call(self, x: Any) -> Any:
            return self.out(self.rnn(self.embedding(x)))

    model = Other()
    model(words(True).T)
    contents = saved(randomized(model), tmp_path / "model.weights.h5")
    agree(model, contents.layers, words(True))
    message = refusal(lambda: saved(model, tmp_path / "model.keras"))
    assert "it is a 'Other': accepted are Sequential and Functional" in message


def test_networks_of_somebodys() -> None:
    weights = np.load(FOREIGN / "weights.npz")
    for name, activation in (("F_keras.keras", "tanh"), ("F_keras.weights.h5", UNKNOWN)):
        layers = read(FOREIGN / name).layers
        assert layers
        assert layers.recurrent[0].activation == activation
        told = decided(layers, tasks.add()).told("tanh", [NONE for _ in layers.gaps])
        for key, array in told.parameters.items():
            assert np.array_equal(array, weights[f"tanh.{key}"])


# What is refused ---------------------------------------------------------------------


REFUSED: dict[str, Callable[[Any], list[Any]]] = {
    "Bidirectional, reads words backwards": lambda L: [L.Bidirectional(rnn(L))],
    "has go_backwards": lambda L: [rnn(L, go_backwards=True)],
    "the activation 'hard_sigmoid'": lambda L: [rnn(L, activation="hard_sigmoid")],
    "the activation 'linear'": lambda L: [rnn(L, activation=None)],
    "recurrent_activation 'hard_sigmoid'": lambda L: [
        L.LSTM(H, recurrent_activation="hard_sigmoid", return_sequences=True)
    ],
    "the activation 'elu'": lambda L: [rnn(L), L.Dense(Y, activation="elu")],
    "is a 'LayerNormalization': accepted are": lambda L: [rnn(L), L.LayerNormalization()],
    "is a 'BatchNormalization': accepted are": lambda L: [rnn(L), L.BatchNormalization()],
    "is a 'Conv1D': accepted are": lambda L: [L.Conv1D(X, 2), rnn(L)],
    "is a 'Reshape': accepted are": lambda L: [rnn(L), L.Reshape((-1, 2))],
    "Masking, skips positions": lambda L: [L.Masking(), rnn(L)],
    "Lambda, is code of its author's": lambda L: [L.Lambda(lambda x: x + 1), rnn(L)],
    "not recurrent": lambda L: [rnn(L), L.Dense(X), rnn(L)],
    "comes after the softmax": lambda L: [rnn(L), L.Activation("softmax"), L.Dense(Y)],
    "before the first cell": lambda L: [L.Softmax(), rnn(L)],
    "has 'negative_slope'": lambda L: [rnn(L), L.ReLU(negative_slope=0.5)],
    "is over another axis": lambda L: [rnn(L), L.Softmax(axis=1)],
    "is a 'GlobalAveragePooling1D'": lambda L: [rnn(L), L.GlobalAveragePooling1D()],
    "accepted is Dense": lambda L: [L.TimeDistributed(L.LayerNormalization()), rnn(L)],
    "there is no recurrent layer": lambda L: [L.Dense(Y)],
    "computes in": lambda L: [rnn(L), L.Dense(Y, dtype="int8_from_float32")],
}


def rnn(L: Any, **options: Any) -> Any:
    return L.SimpleRNN(H, return_sequences=True, **options)


def test_half_precision_is_told(keras: Any, tmp_path: Path) -> None:
    model = sequential(keras, rnn(keras.layers, dtype="mixed_float16"), keras.layers.Dense(Y))
    notes = saved(model, tmp_path / "model.keras").notes
    assert any("computes in half precision, here in float32" in note for note in notes)


@pytest.mark.parametrize("reason", REFUSED)
def test_layers_that_are_refused_by_name(keras: Any, tmp_path: Path, reason: str) -> None:
    model = sequential(keras, *REFUSED[reason](keras.layers))
    message = refusal(lambda: saved(model, tmp_path / "model.keras"))
    assert reason in message
    if "no recurrent" not in reason:
        assert "layer '" in message


def test_masks_of_an_embedding(keras: Any, tmp_path: Path) -> None:
    L = keras.layers
    model = sequential(keras, L.Embedding(6, X, mask_zero=True), rnn(L), ids=True)
    assert "mask_zero" in refusal(lambda: saved(model, tmp_path / "model.keras"))


def test_models_that_are_no_chain(keras: Any, tmp_path: Path) -> None:
    L = keras.layers
    x = keras.Input((None, X))
    value = L.SimpleRNN(X, return_sequences=True)(x)
    for model in (
        keras.Model(x, L.Add()([x, value])),
        keras.Model(x, [value, L.Dense(Y)(value)]),
        keras.Model(x, L.SimpleRNN(X)(value, initial_state=value[:, 0])),
    ):
        message = refusal(lambda model=model: saved(model, tmp_path / "model.keras"))  # type: ignore[misc]
        assert "only chains of layers" in message or "is called with" in message

    shared = L.SimpleRNN(X, return_sequences=True)
    model = keras.Model(x, shared(shared(x)))
    assert "is used 2 times" in refusal(lambda: saved(model, tmp_path / "model.keras"))

    inner = sequential(keras, rnn(L))
    message = refusal(lambda: saved(sequential(keras, inner), tmp_path / "model.keras"))
    assert "is a 'Sequential': accepted are" in message


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of F_keras.keras with another configuration."""
    with zipfile.ZipFile(FOREIGN / "F_keras.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("layer", "key", "value", "reason"),
    [
        (1, "units", 7, "has arrays of 8 units, not 7"),
        (1, "units", "8", "a setting units that is '8'"),
        (1, "use_bias", False, "has a bias where it should not"),
        (1, "brand_new", 3, "has 'brand_new' = 3, which is not accepted"),
        (1, "time_major", True, "time_major"),
        (1, "quantization_config", {"mode": "int8"}, "quantization_config"),
        (1, "activation", {"class_name": "function"}, "an activation of its own"),
        (2, "units", 2, "no kernel for 2 units"),
        (2, "lora_rank", 4, "lora_rank"),
        (2, "dtype", "int4_from_float32", "computes in 'int4_from"),
    ],
)
def test_settings_that_are_refused(
    h5py: Any, tmp_path: Path, layer: int, key: str, value: Any, reason: str
) -> None:
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][layer]["config"][key] = value

    path = rewritten(tmp_path / "changed.keras", change)
    assert reason in refusal(lambda: read(path))


def test_configurations_that_are_refused(h5py: Any, tmp_path: Path) -> None:
    def layers(config: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = config["config"]["layers"]
        return found

    def own(config: dict[str, Any]) -> None:
        layers(config)[2]["registered_name"] = "mine>Dense"

    def without(config: dict[str, Any]) -> None:
        del layers(config)[2]

    def again(config: dict[str, Any]) -> None:
        layers(config).append(layers(config)[2])

    def many(config: dict[str, Any]) -> None:
        layers(config).extend(300 * [layers(config)[0]])

    def nothing(config: dict[str, Any]) -> None:
        config["config"] = 3

    for change, reason in (
        (own, "is a 'Dense' of its author's own"),
        (without, "'layers/dense/vars/0' belongs to no layer"),
        (again, "a bias where it should not, or none"),
        (many, "more than 200 layers"),
        (nothing, "has no layers"),
    ):
        path = rewritten(tmp_path / "changed.keras", change)
        assert reason in refusal(lambda path=path: read(path))  # type: ignore[misc]


def test_names_that_contradict_each_other(keras: Any, tmp_path: Path) -> None:
    model = sequential(keras, rnn(keras.layers, name="one"), keras.layers.Dense(Y))
    model.save(tmp_path / "model.keras")
    content = (tmp_path / "model.keras").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        config, weights = file.read("config.json"), file.read("model.weights.h5")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as file:
        file.writestr("config.json", config.replace(b'"one"', b'"two"'))
        file.writestr("model.weights.h5", weights)
    assert "where those of 'one' are" in refusal(lambda: read(tmp_path / "other.keras"))


def test_arrays_alone_that_are_refused(h5py: Any, tmp_path: Path) -> None:
    cell = {"a/vars/0": (2, 12), "a/vars/1": (4, 12), "a/vars/2": (2, 12)}
    path = tmp_path / "x.weights.h5"

    def message(arrays: Mapping[str, tuple[int, ...]]) -> str:
        with h5py.File(path, "w") as file:
            for name, shape in arrays.items():
                file[name] = np.ones(shape, "f4")
        return refusal(lambda: read(path))

    assert "there is no recurrent layer" in message({"dense/vars/0": (4, 2)})
    assert "of an unknown kind" in message({**cell, "norm/vars/0": (4,)})
    assert "of an unknown kind" in message({"a/vars/0": (2, 20), "a/vars/1": (4, 20)})
    assert "of two directions" in message(
        {"layers/bidirectional/forward_layer/cell/vars/0": (2, 12)}
    )
    assert "fit onto each other" in message({**cell, "dense/vars/0": (5, 3)})
    both = {"dense/vars/0": (4, 4), "dense/vars/1": (4,)}
    square = {"a/vars/0": (4, 12), "a/vars/1": (4, 12), "a/vars/2": (2, 12)}
    two = {**square, **both, "dense_1/vars/0": (4, 4)}
    assert "in 2 orders" in message(two)
    other = {name.replace("a/", "b/"): shape for name, shape in square.items()}
    assert "in 2 orders" in message({**square, **other, "dense/vars/0": (4, 1)})
    assert "has arrays of shapes" in message({**cell, "a/vars/2": (3, 12)})
    gru = {name.replace("a/", "lstm/"): shape for name, shape in cell.items()}
    assert "called otherwise than its 3 gates" in message(gru)


def test_models_of_keras_2(h5py: Any, tmp_path: Path) -> None:
    """Their configuration as its files have it, and their names of arrays."""
    rng = np.random.default_rng(0)
    arrays = {
        "gru/gru_cell/kernel:0": rng.normal(size=(X, 3 * H)),
        "gru/gru_cell/recurrent_kernel:0": rng.normal(size=(H, 3 * H)),
        "gru/gru_cell/bias:0": rng.normal(size=(2, 3 * H)),
        "dense/kernel:0": rng.normal(size=(H, Y)),
        "dense/bias:0": rng.normal(size=(Y,)),
    }
    gru = {"name": "gru", "dtype": "float32", "units": H, "activation": "tanh"}
    gru |= {"recurrent_activation": "sigmoid", "return_sequences": True, "time_major": False}
    gru |= {"reset_after": True, "implementation": 2}
    dense = {"name": "dense", "units": Y, "activation": "linear", "use_bias": True}
    layers = [
        {"class_name": "GRU", "config": {**gru, "batch_input_shape": [None, None, X]}},
        {"class_name": "Dense", "config": dense},
    ]
    x = {"batch_input_shape": [None, None, X], "sparse": False, "ragged": False, "name": "x"}
    chain = [
        {"class_name": "InputLayer", "config": x, "name": "x", "inbound_nodes": []},
        {**layers[0], "name": "gru", "inbound_nodes": [[["x", 0, 0, {}]]]},
        {**layers[1], "name": "dense", "inbound_nodes": [["gru", 0, 0, {"training": False}]]},
    ]
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["dense", 0, 0]]}
    bare = {"class_name": "Functional", "config": {"layers": chain, **ends}}
    found = []
    for model in ({"class_name": "Sequential", "config": {"layers": layers}}, bare):
        path = tmp_path / "old.h5"
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(model).encode()
            for name, array in arrays.items():
                file[f"model_weights/{name.split('/')[0]}/{name}"] = array.astype("f4")
        layers_of = read(path).layers
        assert layers_of
        found.append(logits(layers_of, words()))
    assert np.array_equal(found[0], found[1])
    # a cell's own equations decide: z, r, n beside each other, reset after the product
    W, U, b = (arrays[f"gru/gru_cell/{k}:0"] for k in ("kernel", "recurrent_kernel", "bias"))
    h = np.zeros((B, H))
    for t in range(T):
        i, s = words()[t] @ W + b[0], h @ U + b[1]
        z, r = (1 / (1 + np.exp(-(i + s)[:, k * H : (k + 1) * H])) for k in (0, 1))
        h = z * h + (1 - z) * np.tanh(i[:, 2 * H :] + r * s[:, 2 * H :])
        ours = h @ arrays["dense/kernel:0"] + arrays["dense/bias:0"]
        assert np.abs(found[0][t] - ours).max() < 1e-5
    bare["config"]["layers"][2]["inbound_nodes"] = [["gru", 0, 1, {}]]  # type: ignore[index]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(bare)
    assert "does not follow on 'gru' alone" in refusal(lambda: read(path))


# HDF5 --------------------------------------------------------------------------------


def test_arrays_are_read_as_h5py_reads_them(h5py: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "x.h5"
    wanted = {}
    with h5py.File(path, "w") as file:
        for n in range(400):  # names beyond one leaf of the tree
            dtype = ("<f2", "<f4", "<f8", ">f4", ">f8")[n % 5]
            shape = tuple(rng.integers(1, 4, n % 4))
            name = f"group{n % 7}/{'deep/' * (n % 5)}array{n}"
            wanted[name] = rng.normal(size=shape).astype(dtype)
            file[name] = wanted[name]
        file["whole"] = np.arange(3)
        file["compact"] = wanted["compact"] = np.ones(3)
        file.attrs["model_config"] = "x" * 30_000
        for n in range(20):  # more than an object's header has room for
            file["group1"].attrs[f"text{n}"] = n * "many letters"
        file["group1"].attrs["name"] = "one"
        file["group2"].attrs["name"] = np.bytes_("two")
    found = Found()
    contents = read_hdf5(path.read_bytes(), found)
    assert contents.arrays.keys() == wanted.keys()
    for name, array in wanted.items():
        kind = np.float64 if array.dtype.itemsize == 8 else np.float32
        assert contents.arrays[name].dtype == kind
        assert np.array_equal(contents.arrays[name], array)
    assert contents.names == {"group1": "one", "group2": "two"}
    assert contents.config == "x" * 30_000
    assert found.passed_over == ["'whole' (no floats)"]


def test_the_newer_format_is_named(h5py: Any, tmp_path: Path) -> None:
    for options in ({"libver": "latest"}, {"track_order": True}):
        with h5py.File(tmp_path / "x.h5", "w", **options) as file:
            file["x"] = np.ones(3)
        assert "libver='earliest'" in refusal(lambda: read(tmp_path / "x.h5"))


def test_texts_whose_heap_does_not_end(h5py: Any, tmp_path: Path) -> None:
    """With which HDF5's own library loops."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "first"
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    data[heap + 16 : heap + 18] = b"\x07\x00"  # another number than the text's
    data[heap + 24 : heap + 32] = bytes(8)  # and no length
    path.write_bytes(data)
    assert "a text is nowhere" in refusal(lambda: read(path))


def test_parts_that_are_read_again_and_again(h5py: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["big"] = np.ones(2**20)
        for n in range(100):
            file[f"x{n}"] = file["big"]
    assert "more than 64 MB" in refusal(lambda: read(path))
    with h5py.File(path, "w") as file:
        groups = [file.create_group(f"a{n}") for n in range(14)]
        for group, other in pairwise(groups):
            for n in range(3):
                group[f"b{n}"] = other
    assert "it has more than 100,000 parts" in refusal(lambda: read(path))


def test_hostile_hdf5(h5py: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.ones((2, 3))

    def message(write: Callable[[Any], object]) -> str:
        with h5py.File(path, "w") as file:
            write(file)
        return refusal(lambda: read(path))

    def linked(file: Any) -> None:
        file["x"] = h5py.ExternalLink(str(other), "x")

    def soft(file: Any) -> None:
        file["x"] = h5py.SoftLink("/y")

    def cycle(file: Any) -> None:
        file.create_group("a")["b"] = file["/"]

    def stitched(file: Any) -> None:
        layout = h5py.VirtualLayout((2, 3), "f4")
        layout[:] = h5py.VirtualSource(str(other), "x", shape=(2, 3))
        file.create_virtual_dataset("x", layout)

    def elsewhere(file: Any) -> None:
        file.create_dataset("x", (2, 3), "f4", external=[("/etc/passwd", 0, 24)])

    def large(file: Any) -> None:  # of which the file has nothing
        file.create_dataset("x", (2**20, 2**20), "f4")

    def many(file: Any) -> None:
        for n in range(1001):
            file[f"x{n}"] = np.ones(1, "f4")

    for write, reason in (
        (linked, "'x' is a link into another file"),
        (soft, "'x' is a link"),
        (cycle, "nested too deeply"),
        (stitched, "in pieces or in other files"),
        (elsewhere, "'x' lies in another file"),
        (large, "more than 64 MB"),
        (many, "more than 1000 arrays"),
        (lambda f: f.create_dataset("x", data=np.ones(9), compression="gzip"), "compressed"),
        (lambda f: f.create_dataset("x", data=np.ones(9), chunks=(3,)), "'x' is in pieces"),
        (
            lambda f: f.create_dataset("x", data=np.ones(9, "c8")),
            "'x' holds numbers of an unusual kind",
        ),
        (lambda f: f.attrs.create("model_config", 3), "model_config is no text"),
        (lambda f: f.attrs.create("model_config", "{"), "damaged"),
        (lambda f: f.create_group("x"), "no recurrent layer"),
    ):
        assert reason in message(write), reason


# Damage ------------------------------------------------------------------------------


def _reads_or_refuses(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    try:
        read(path)
    except InputError:
        refusal(lambda: read(path))


def test_truncations_are_one_line(h5py: Any, tmp_path: Path) -> None:
    data = (FOREIGN / "F_keras.weights.h5").read_bytes()
    for length in range(0, len(data), 211):
        _reads_or_refuses(data[:length], tmp_path / "cut.h5")


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_one_line(h5py: Any, tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["F_keras.weights.h5", "F_keras.keras"]))
    content = bytearray((FOREIGN / name).read_bytes())
    if name.endswith("keras"):  # in what is in it, or the checksum sees it
        with zipfile.ZipFile(FOREIGN / name) as file:
            members = {each: bytearray(file.read(each)) for each in file.namelist()}
        content = members[data.draw(st.sampled_from(["config.json", "model.weights.h5"]))]
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "fuzz"
    if not name.endswith("keras"):
        _reads_or_refuses(bytes(content), path)
        return
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for each, member in members.items():
            file.writestr(each, bytes(member))
    _reads_or_refuses(buffer.getvalue(), path)
