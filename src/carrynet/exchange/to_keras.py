"""A network as a model of Keras: embedding, recurrent layers, Dense head; logits (B, T, Y).

Keras itself writes the file.  A start that is not zero is an Embedding of one row, which gives
each recurrent layer its first state.  What is known of the network lies beside Keras's own files
in the archive, as `carrynet.json`.
"""

import io
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from carrynet import files
from carrynet.errors import InputError
from carrynet.exchange.layered import Layer, Linear, Recurrent, layered
from carrynet.exchange.leaving import IN_KERAS, Written, library
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network

ARITHMETIC = library("Keras")
_LAYERS = {
    "elman": ("SimpleRNN", "h"),
    "gru": ("GRU", "zrn"),
    "gru-reset-before": ("GRU", "zrn"),
    "lstm": ("LSTM", "ifgo"),
}
"""By cell: the layer, and its order of gates by their letters in `nets.cells`."""
_BACKENDS = ("tensorflow", "jax", "torch")


def written(network: Network, file: Path, facts: Mapping[str, str]) -> Written:
    """The archive that Keras reads.

    Raises `InputError` for cells that Keras has no layer for, where Keras or what it computes
    with is not installed, and where that rounds the weights.
    """
    model = layered(network)
    for layer in model.recurrent:
        if layer.cell not in _LAYERS:
            raise InputError(f"Keras has no layer for {layer.cell}: onnx and c take any cell")
    assert model.embedding is not None
    with warnings.catch_warnings(), _backend():
        warnings.simplefilter("ignore")  # Keras's own, of NumPy and of types
        keras = _keras()
        made = _Model(keras, network.dtype.name)
        symbols = keras.Input((None,), dtype="int32", name="symbols")
        x = made.embedding("embedding", model.embedding, symbols)
        for number, each in enumerate(model.recurrent, 1):
            x = made.recurrent(f"rnn_{number}", each, symbols, x)
        for number, one in enumerate(model.head, 1):
            x = made.head(f"head_{number}", one, x)
        whole = keras.Model(symbols, x, name="network")
        for name, arrays in made.weights.items():
            layer = whole.get_layer(name)
            layer.set_weights([np.ascontiguousarray(array, network.dtype) for array in arrays])
            kept = layer.get_weights()
            if not all(map(np.array_equal, kept, [a.astype(network.dtype) for a in arrays])):
                raise InputError(
                    f"Keras rounds these weights, since its backend {keras.backend.backend()} has "
                    f"no {network.dtype.name} as it is set; with JAX, set JAX_ENABLE_X64=1"
                )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.keras"
            whole.save(path)
            data = path.read_bytes()
    decide = "logits[..., 0] > 0" if model.outputs == 1 else "logits.argmax(-1)"
    use = (
        f'model = keras.models.load_model("{file.name}")',
        "words = numpy.array([[0, 1, 1]])  # numbers of symbols, (batch, time)",
        f"logits = model.predict(words)  # outputs: {decide}",
    )
    return Written(_with(data, {key: value for key, value in facts.items() if value}), use)


def _keras() -> Any:
    try:
        import keras
    except ImportError as error:
        raise InputError(
            f"Keras cannot be used ({files.first_line(error)}): pip install 'carrynet[keras]'; in "
            "a clone, uv sync --extra keras"
        ) from None
    return keras


@contextmanager
def _backend() -> Iterator[None]:
    """Where nobody says what Keras is to compute with, something that is installed."""
    there = [name for name in _BACKENDS if find_spec(name)]
    if "KERAS_BACKEND" in os.environ or not there or there[0] == "tensorflow":
        yield
        return
    os.environ["KERAS_BACKEND"] = there[0]
    try:
        yield
    finally:
        del os.environ["KERAS_BACKEND"]


def _with(data: bytes, facts: Mapping[str, str]) -> bytes:
    """An archive with a file more."""
    archive = io.BytesIO(data)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(zipfile.ZipInfo(IN_KERAS), files.json_text(facts))
    return archive.getvalue()


class _Model:
    """A model as it is being made: its layers, and the weights that they are to get."""

    def __init__(self, keras: Any, dtype: str) -> None:
        self.keras, self.dtype = keras, dtype
        self.weights: dict[str, list[Array]] = {}

    def embedding(self, name: str, table: Array, numbers: Any) -> Any:
        """A row of a table for each number."""
        self.weights[name] = [table]
        return self.keras.layers.Embedding(*table.shape, name=name, dtype=self.dtype)(numbers)

    def recurrent(self, name: str, layer: Recurrent, symbols: Any, x: Any) -> Any:
        """h at every position."""
        kind, order = _LAYERS[layer.cell]
        weights = layer.weights
        kernels = [
            np.concatenate([weights[f"W{side}{gate}"] for gate in order], axis=1) for side in "xh"
        ]
        bias = np.concatenate([weights[f"b{gate}"] for gate in order])
        options: dict[str, Any] = {"activation": layer.activation}
        if kind != "SimpleRNN":
            options["recurrent_activation"] = "sigmoid"
        if kind == "GRU":
            options["reset_after"] = layer.cell == "gru"
        if layer.cell == "gru":  # of the input, and of the state
            second = np.zeros_like(bias)
            second[-layer.hidden :] = weights["bhn"]
            bias = np.stack([bias, second])
        self.weights[name] = [*kernels, bias]
        starts = []
        if layer.start:
            first = self.keras.ops.zeros_like(symbols[:, 0])  # the number 0 for every word
            for part in layer.formula().state:
                row = layer.start.get(part, np.zeros(layer.hidden))[None]
                starts.append(self.embedding(f"{name}_start_{part}", row, first))
        made = getattr(self.keras.layers, kind)(
            layer.hidden, return_sequences=True, name=name, dtype=self.dtype, **options
        )
        return made(x, initial_state=starts) if starts else made(x)

    def head(self, name: str, layer: Layer, x: Any) -> Any:
        """What a layer of the head makes of x."""
        if isinstance(layer, Linear):
            self.weights[name] = [layer.weight, layer.bias]
            return self.keras.layers.Dense(layer.width, name=name, dtype=self.dtype)(x)
        return self.keras.layers.Activation(layer, name=name, dtype=self.dtype)(x)
