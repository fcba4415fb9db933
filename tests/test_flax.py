"""Networks of Flax: Flax itself is the judge of what they compute."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from carrynet.errors import InputError
from carrynet.exchange.flax import layers_of
from carrynet.exchange.foreign import Mapping, take
from carrynet.exchange.found import Tensors
from carrynet.exchange.layered import NONE, OPTIONAL, UNKNOWN, Layered
from carrynet.exchange.tensors import Contents, read
from tests.layered import logits
from tests.test_foreign import refusal

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:(jax|flax|orbax|optax)")

FOREIGN = Path(__file__).parent / "data" / "foreign"
T, B, X, H, Y = 5, 3, 3, 4, 2


@pytest.fixture(scope="module")
def jax() -> Any:
    return pytest.importorskip("jax")


@pytest.fixture(scope="module")
def linen(jax: Any) -> Any:
    return pytest.importorskip("flax.linen")


@pytest.fixture(scope="module")
def nnx(jax: Any) -> Any:
    return pytest.importorskip("flax.nnx")


@pytest.fixture(scope="module")
def msgpack() -> Any:
    return pytest.importorskip("msgpack")


def words(x: int = X) -> Any:
    return np.random.default_rng(1).normal(size=(T, B, x)).astype("f4")


def randomized(jax: Any, tree: Any) -> Any:
    """Numbers in the place of shapes: what initialisers do takes long to compile."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda a: (rng.normal(size=a.shape) * 0.6).astype(a.dtype), tree)


def through_a_file(tree: Any, path: Path) -> Tensors:
    from flax import serialization

    path.write_bytes(serialization.to_bytes(tree))
    return read(path).tensors


def network(tensors: Tensors) -> tuple[Layered, list[str]]:
    found = layers_of(tensors)
    assert found
    return found


def agree(layers: Layered, x: Any, theirs: Any) -> None:
    ours = logits(layers, x).swapaxes(0, 1)
    assert ours.shape == theirs.shape
    assert np.abs(ours - np.asarray(theirs)).max() < 1e-5


# What networks compute ---------------------------------------------------------------

CELLS = ["SimpleCell", "GRUCell", "LSTMCell", "OptimizedLSTMCell"]


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_linen(jax: Any, linen: Any, tmp_path: Path, name: str) -> None:
    class Model(linen.Module):  # type: ignore[misc]
        @linen.compact  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            for h in (H, 6):
                x = linen.RNN(getattr(linen, name)(h))(x)
            return linen.Dense(Y, use_bias=name != "GRUCell")(x)

    x = words()
    given = x.swapaxes(0, 1)
    model = Model()
    tree = randomized(jax, jax.eval_shape(model.init, jax.random.key(0), given))
    layers, notes = network(through_a_file(tree, tmp_path / "model.msgpack"))
    agree(layers, x, jax.jit(model.apply)(tree, given))
    assert [each.hidden for each in layers.recurrent] == [H, 6]
    assert [note.partition(" is ")[2] for note in notes] == 2 * [
        "taken to have the activation tanh"
    ]


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_nnx(jax: Any, nnx: Any, tmp_path: Path, name: str) -> None:
    class Model(nnx.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            rngs = nnx.Rngs(0)
            self.inner = nnx.Linear(X, 5, rngs=rngs)
            self.cell = getattr(nnx, name)(5, H, rngs=rngs)
            self.outer = nnx.Linear(H, Y, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            carry = jax.numpy.zeros((B, H))
            carry = (carry, carry) if "LSTM" in name else carry
            found = []
            for t in range(T):
                carry, h = self.cell(carry, self.inner(x[t]))
                found.append(self.outer(h))
            return jax.numpy.stack(found, 1)

    x = words()
    graph, state = nnx.split(nnx.eval_shape(Model))
    state = randomized(jax, state)
    theirs = jax.jit(lambda state, x: nnx.merge(graph, state)(x))(state, x)
    pure = nnx.to_pure_dict(state)
    layers, notes = network(through_a_file(pure, tmp_path / "model.msgpack"))
    agree(layers, x, theirs)
    assert layers.gaps == (OPTIONAL, OPTIONAL)
    assert "'cell' is taken to have the activation tanh" in notes


def test_a_whole_network(jax: Any, linen: Any, tmp_path: Path) -> None:
    class Model(linen.Module):  # type: ignore[misc]
        @linen.compact  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            x = linen.Embed(6, X)(x)
            x = linen.RNN(linen.OptimizedLSTMCell(H))(x)
            x = linen.Dense(5)(linen.RNN(linen.GRUCell(6))(x))
            return linen.Dense(Y)(linen.relu(x))

    x = np.random.default_rng(0).integers(0, 6, (T, B))
    model = Model()
    tree = randomized(jax, jax.eval_shape(model.init, jax.random.key(0), x.T))
    # the sizes of the cells decide between the two orders
    layers, _ = network(through_a_file(tree, tmp_path / "model.msgpack"))
    assert [each.cell for each in layers.recurrent] == ["lstm", "gru"]
    assert layers.gaps == (OPTIONAL, UNKNOWN)
    agree(layers, x, jax.jit(model.apply)(tree, x.T))


def test_an_elman_cell_behind_an_embedding() -> None:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"Embed_0.embedding": (4, X)}
    shapes |= {"SimpleCell_0.i.kernel": (X, H)}
    shapes |= {"SimpleCell_0.i.bias": (H,), "SimpleCell_0.h.kernel": (H, H)}
    shapes |= {"Dense_0.kernel": (H, 1), "Dense_0.bias": (1,)}
    tree = {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    told: dict[str, Any] = {"coding": "from 0", "head": "none", "delay": 0}
    file = Contents({f"params.{n}": a for n, a in tree.items()}, (), {}, "0" * 64, "m.msgpack")
    network = take(file, given=Mapping(logit=0.0), **told).network
    word, h = [3, 0, 1, 1, 2], np.zeros(H)
    for symbol, block in zip(
        word, np.concatenate([b for _, b in network.states(word)]), strict=True
    ):
        E, Wx, b, Wh, W, by = tree.values()
        h = np.tanh(E[symbol] @ Wx + b + h @ Wh)
        np.testing.assert_allclose(block, h @ W + by, atol=1e-5)


def test_what_a_state_of_training_has_beside_the_weights(
    jax: Any, linen: Any, tmp_path: Path
) -> None:
    tree = {
        "step": 3,
        "params": {"cell": gates("rzn"), "out": dense(H, Y)},
        "opt_state": {"0": {"mu": dense(H, Y)}},
        "rng": np.arange(2, dtype="u4"),
        "lr": np.float32(0.1),
        "nothing": None,
    }
    path = tmp_path / "state.msgpack"
    tensors = through_a_file(tree, path)
    assert {name.split(".")[0] for name in tensors} == {"params"}
    assert set(read(path).passed_over) == {
        *("'step' (int)", "'opt_state' (a dictionary)", "'nothing' (nothing)"),
        *("'rng' (a generator's state)", "'lr' (a number)"),
    }
    network(tensors)


def test_kinds_of_number(jax: Any, tmp_path: Path) -> None:
    from ml_dtypes import bfloat16

    numbers = np.array([0, 1, 2, 4, 300])
    for dtype in ("f2", "f4", "f8", "i4", "u1", "i8", "?", bfloat16):
        tensors = through_a_file({"x": numbers.astype(dtype)}, tmp_path / "x.msgpack")
        assert tensors["x"].tolist() == numbers.astype(dtype).tolist()
        half = dtype == "f2" or dtype is bfloat16
        assert tensors["x"].dtype == (np.float32 if half else np.dtype(dtype))


def test_arrays_in_pieces(
    jax: Any, msgpack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flax import serialization

    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 40)
    array = np.arange(60, dtype="f4").reshape(3, 20)
    tensors = through_a_file({"a": {"x": array}}, tmp_path / "x.msgpack")
    assert np.array_equal(tensors["a.x"], array)


def test_a_network_of_somebodys() -> None:
    layers, _ = network(read(FOREIGN / "F_flax.msgpack").tensors)
    weights = np.load(FOREIGN / "weights.npz")
    told = layers.told("tanh", [NONE for _ in layers.gaps])
    assert told.parameters.keys() == {"Wxh", "Whh", "bh", "Why", "by"}
    for name, array in told.parameters.items():
        assert np.array_equal(array, weights[f"tanh.{name}"])


# What is refused, and what is none ---------------------------------------------------


def dense(n: int, m: int, bias: bool = True) -> dict[str, Any]:
    rng = np.random.default_rng(n * m)
    kernel = {"kernel": rng.normal(size=(n, m)).astype("f4")}
    return kernel | ({"bias": np.ones(m, "f4")} if bias else {})


def gates(order: str, x: int = X, h: int = H) -> dict[str, Any]:
    return {f"i{g}": dense(x, h) for g in order} | {f"h{g}": dense(h, h) for g in order}


def flat(tree: dict[str, Any], joint: str = ".", path: str = "") -> Tensors:
    found: Tensors = {}
    for key, value in tree.items():
        name = f"{path}{joint}{key}" if path else key
        found |= flat(value, joint, name) if isinstance(value, dict) else {name: value}
    return found


CELL = {"cell": gates("rzn"), "out": dense(H, Y)}


def test_trees_of_others_are_none_of_flaxs() -> None:
    assert layers_of({"rnn.weight_ih_l0": np.ones((4, 2)), "Wxh": np.ones(3)}) is None
    assert layers_of(flat({"a": dense(3, 4), "b": dense(4, 2)})) is None
    convolution = {name: {"kernel": np.ones((3, 3, 1, 1))} for name in "ih"}
    assert layers_of(flat({"cell": convolution})) is None
    assert layers_of({}) is None


def test_names_with_slashes() -> None:
    one, two = (network(flat({"params": CELL}, joint))[0] for joint in "./")
    assert all(np.array_equal(a, b) for a, b in zip(one.arrays, two.arrays, strict=True))
    values = {f"{name}.value": array for name, array in flat(CELL).items()}
    network(values)
    bare = flat({**gates("ifgo"), "out": dense(H, Y)})  # a cell that is the model
    assert network(bare)[0].recurrent[0].cell == "lstm"


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({**CELL, "norm": {"scale": np.ones(4, "f4")}}, "'norm.scale' has no place"),
        ({**CELL, "scale": np.ones(4, "f4")}, "'scale' has no place"),
        ({**CELL, "conv": {"kernel": np.ones((3, 2, 2), "f4")}}, "'conv.kernel' has no place"),
        ({**CELL, "x": {**dense(H, H), "gain": np.ones(3)}}, "'x.kernel' has no place"),
        (
            {**CELL, "a": {"embedding": np.ones((6, X))}, "b": {"embedding": np.ones((6, X))}},
            "2 emb",
        ),
        ({"params": CELL, "ema_params": CELL}, "several trees of parameters"),
        ({"params": CELL, "other": CELL}, "several trees of parameters"),
        ({"forward_rnn": CELL, "backward_rnn": CELL}, "in one of two directions"),
        ({"cell": gates("fn")}, "is an MGU whose reset comes after"),
        ({"cell": {**gates("rzn"), "hr": dense(5, H)}}, "has gates of several sizes"),
        ({"cell": {**gates("rzn"), "ir": dense(X, 5)}}, "has gates of several sizes"),
        ({"cell": {"dense_i": dense(X, 20), "dense_h": dense(4, 20)}}, "has matrices of shapes"),
        ({"cell": {"dense_i": dense(X, 16), "dense_h": dense(4, 12)}}, "has matrices of shapes"),
        ({**CELL, "out": {**dense(H, Y), "bias": np.ones(9)}}, "a bias of shape (9,), not (2,)"),
        ({**CELL, "out": dense(H + 2, H + 2)}, "no order in which its layers fit"),
        ({**CELL, "a": dense(H, H), "out": dense(H, H)}, "fit onto each other in 2 orders"),
        ({"a": gates("rzn", H), "b": gates("ifgo", H)}, "fit onto each other in 2 orders"),
        ({"a": gates("h", X), "b": dense(X, X), "c": dense(H, X)}, "in 2 orders"),
    ],
)
def test_trees_that_are_refused(tree: dict[str, Any], reason: str) -> None:
    if "a" in tree and "ih" in tree["a"]:
        tree["a"] = {"i": tree["a"]["ih"], "h": tree["a"]["hh"]}
    with pytest.raises(InputError) as caught:
        layers_of(flat(tree))
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


def test_bombs_and_other_hostilities(msgpack: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.msgpack"

    def array(shape: Any, name: Any, content: Any) -> Any:
        return msgpack.ExtType(1, msgpack.packb((shape, name, content)))

    def message(tree: Any) -> str:
        path.write_bytes(tree if isinstance(tree, bytes) else msgpack.packb(tree))
        return refusal(lambda: read(path))

    empty: list[Any] = 9_999 * [[]]
    deep: Any = {}
    for _ in range(40):
        deep = {"a": deep}
    for tree, reason in (
        ({"a": [empty] * 20}, "more than 100,000 entries"),
        ({"a": list(range(20_000))}, "exceeds max_array_len"),
        (b"\x81\xa1a\xdd\xff\xff\xff\xff", "exceeds max_array_len"),
        (b"\x81\xa1a" + b"\x91" * 5_000, "damaged"),
        (b"\x82\xa1a\x01\xa1a\x02", "a key is there twice"),
        (b"\x82\xa1a\x01\x01\x02", "holds no tensors"),
        (b"\x82\xa1a\x01\xc0\x02", "keys that are no texts"),
        (deep, "nested too deeply"),
        ({"a": array((2**40,), "float32", b"")}, "an array is none"),
        ({"a": array((2**20, 2**20), "float32", b"")}, "does not have the size"),
        ({"a": array((-1,), "float32", b"")}, "an array is none"),
        ({"a": array(3, "float32", b"")}, "an array is none"),
        ({"a": array((1,), "object", bytes(8))}, "'a' holds 'object'"),
        ({"a": array((1,), "complex64", bytes(8))}, "'a' holds 'complex64'"),
        ({"a": msgpack.ExtType(2, b"")}, "'a' holds 'complex numbers'"),
        ({"a": msgpack.ExtType(7, b"")}, "'a' holds 'an extension 7'"),
        ({"a": {"__msgpack_chunked_array__": True}}, "in pieces that are none"),
        ({"a": {"b": 1}, "c": "text"}, "it holds no tensors, but 'a.b' (int)"),
        (msgpack.packb({"a": 1}) + b"\x01", "damaged"),
        ({f"a{n}": array((1,), "float32", bytes(4)) for n in range(1001)}, "more than 1000"),
    ):
        assert reason in message(tree), reason
    chunks = {"0": array((3,), "float32", bytes(12))}
    pieces = {"__msgpack_chunked_array__": True, "shape": {"0": 4}, "chunks": chunks}
    assert "does not have the size" in message({"a": pieces})


def test_the_library_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    assert "pip install 'carrynet[flax]'" in refusal(lambda: read(FOREIGN / "F_flax.msgpack"))


# Damage ------------------------------------------------------------------------------


def _reads_or_refuses(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    try:
        layers_of(read(path).tensors)
    except InputError as error:
        assert str(error).isprintable()  # noqa: PT017


def test_every_truncation_is_one_line(msgpack: Any, tmp_path: Path) -> None:
    data = (FOREIGN / "F_flax.msgpack").read_bytes()
    for length in range(len(data)):
        _reads_or_refuses(data[:length], tmp_path / "cut")


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_one_line(msgpack: Any, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray((FOREIGN / "F_flax.msgpack").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    _reads_or_refuses(bytes(content), tmp_path / "fuzz")
