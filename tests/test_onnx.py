"""Networks in ONNX: onnxruntime is the judge of what a graph computes.

Graphs are made here as the exporters of PyTorch make them, which is not installed: axes by
Squeeze, Transpose and Reshape, states by Shape, Expand and Concat.
"""

import re
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from carrynet import tasks
from carrynet.errors import InputError
from carrynet.exchange import foreign
from carrynet.exchange.found import Found
from carrynet.exchange.layered import Layered, Linear
from carrynet.exchange.onnx import read_onnx
from carrynet.exchange.pickles import Refused
from carrynet.exchange.tensors import Contents, read
from tests.layered import logits
from tests.test_foreign import refusal

FOREIGN = Path(__file__).parent / "data" / "foreign"
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
T, B, X, H, Y = 7, 5, 3, 4, 2


@pytest.fixture(scope="module")
def onnx() -> Any:
    return pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def ort() -> Any:
    library = pytest.importorskip("onnxruntime")
    library.set_default_logger_severity(4)
    return library


class Graph:
    """A graph that is written node by node, with random weights; `x` is what it reads."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.inputs: dict[str, tuple[Any, ...]] = {"x": ("T", "B", X)}
        self.whole: set[str] = set()
        self.dtype: Any = np.float32
        self.value = "x"

    def weight(self, *shape: int) -> str:
        return self.constant((self.rng.normal(size=shape) * 0.7).astype(self.dtype))

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def ints(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64))

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """A node on what there is, or on other inputs; what it yields is what there is next."""
        from onnx import helper

        names = [f"v{len(self.nodes)}_{k}" for k in range(outputs)]
        inputs = inputs or (self.value,)
        domain = attributes.pop("domain", None)
        name = f"{op.lower()}_{len(self.nodes)}"
        node = helper.make_node(op, list(inputs), names, name, domain=domain, **attributes)
        self.nodes.append(node)
        self.value = names[0]
        return names[0] if outputs == 1 else names

    def recurrent(
        self, op: str, x: int = X, h: int = H, *more: str, bias: bool = True, **attributes: Any
    ) -> list[str]:
        n = GATES[op]
        given = [self.value, self.weight(1, n * h, x), self.weight(1, n * h, h)]
        given += [self.weight(1, 2 * n * h) if bias else "", *more]
        outputs = 3 if op == "LSTM" else 2
        found: list[str] = self.add(op, *given, outputs=outputs, hidden_size=h, **attributes)
        return found

    def squeezed(self) -> "Graph":
        self.add("Squeeze", self.value, self.ints(1))
        return self

    def linear(self, n: int = H, m: int = Y) -> "Graph":
        self.add("MatMul", self.value, self.weight(n, m))
        self.add("Add", self.value, self.weight(m))
        return self

    def model(self, *outputs: str, opset: int = 17) -> Any:
        from onnx import TensorProto, helper, numpy_helper

        real = {np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE}[self.dtype]
        inputs = [
            helper.make_tensor_value_info(k, TensorProto.INT64 if k in self.whole else real, shape)
            for k, shape in self.inputs.items()
        ]
        results = [helper.make_empty_tensor_value_info(k) for k in (*outputs, self.value)]
        graph = helper.make_graph(
            self.nodes,
            "graph",
            inputs,
            list({each.name: each for each in results}.values()),
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def contents(model: Any, path: Path) -> Contents:
    path.write_bytes(model.SerializeToString())
    return read(path)


def taken(model: Any) -> tuple[Layered, list[str]]:
    found = Found()
    read_onnx(model.SerializeToString(), found)
    assert found.layers
    return found.layers, found.notes


def refused(graph: Any, *outputs: str, opset: int = 17) -> str:
    model = graph.model(*outputs, opset=opset) if isinstance(graph, Graph) else graph
    with pytest.raises((Refused, InputError)) as caught:
        taken(model)
    message = str(caught.value)
    assert message.isprintable()
    return message


def answered(ort: Any, graph: Graph, feeds: dict[str, Any], opset: int = 17) -> Any:
    """What onnxruntime makes of the last value, of the graph without what comes after it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    data = graph.model(opset=opset).SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run([graph.value], feeds)[0]


def words(graph: Graph, *shape: int) -> Any:
    return graph.rng.normal(size=shape or (T, B, X)).astype(graph.dtype)


def agree(ort: Any, graph: Graph, x: Any = None, tolerance: float = 1e-5, **feeds: Any) -> Layered:
    x = words(graph) if x is None else x
    layers, _ = taken(graph.model())
    theirs = answered(ort, graph, {"x": x, **feeds})
    assert np.abs(logits(layers, x) - theirs).max() < tolerance
    return layers


# What graphs compute -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("RNN", {}),
        ("RNN", {"activations": ["Relu"]}),
        ("RNN", {"activations": ["Sigmoid"]}),
        ("GRU", {}),
        ("GRU", {"linear_before_reset": 1}),
        ("GRU", {"linear_before_reset": 1, "activations": ["Sigmoid", "Relu"]}),
        ("GRU", {"activations": ["Sigmoid", "Tanh"], "direction": "forward"}),
        ("LSTM", {}),
        ("LSTM", {"activations": ["Sigmoid", "Sigmoid", "Sigmoid"], "input_forget": 0}),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_cells(ort: Any, onnx: Any, op: str, attributes: dict[str, Any], bias: bool) -> None:
    graph = Graph(len(str(attributes)))
    graph.recurrent(op, bias=bias, **attributes)
    layers = agree(ort, graph.squeezed().linear())
    assert layers.dtype == np.float32
    assert layers.width == X


@pytest.mark.parametrize("op", GATES)
def test_double_precision_is_kept(onnx: Any, op: str) -> None:
    from onnx.reference import ReferenceEvaluator  # onnxruntime has none of it

    graph = Graph(1)
    graph.dtype = np.float64
    graph.recurrent(op)
    model = graph.squeezed().linear().model()
    x = words(graph)
    layers, _ = taken(model)
    assert layers.dtype == np.float64
    theirs = ReferenceEvaluator(model).run(None, {"x": x})[0]
    assert np.abs(logits(layers, x) - theirs).max() < 1e-12


@pytest.mark.parametrize("squeezed", [True, False])
def test_shapes_that_are_fixed(ort: Any, onnx: Any, squeezed: bool) -> None:
    """As exporters leave them that are told nothing: of one word of so many symbols."""
    graph = Graph(15)
    graph.inputs["x"] = (T, 1, X)
    graph.recurrent("GRU", X, H, "", graph.constant(np.zeros((1, 1, H), np.float32)))
    if squeezed:
        graph.add("Squeeze")
    else:
        graph.add("Reshape", graph.value, graph.ints(T, 1, H))
        graph.recurrent("GRU", H)
        graph.add("Reshape", graph.value, graph.ints(T, H))
    x = words(graph, T, 1, X)
    layers, _ = taken(graph.linear().model())
    theirs = answered(ort, graph, {"x": x})
    assert np.abs(logits(layers, x)[:, 0] - theirs).max() < 1e-5


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("layout", [0, 1])
def test_batch_first_stacks(ort: Any, onnx: Any, op: str, layout: int) -> None:
    """As PyTorch exports them, three layers of other sizes, and Dropout between them."""
    graph = Graph(1)
    graph.inputs["x"] = ("B", "T", X)
    graph.add("Transpose", perm=[1, 0, 2])
    for x, h in ((X, 5), (5, 4), (4, 6)):
        graph.recurrent(op, x, h)
        graph.squeezed()
        graph.add("Dropout", graph.value, graph.constant(np.float32(0.3)))
    graph.add("Transpose", perm=[1, 0, 2])
    graph.linear(6, 5)
    graph.add("Relu")
    graph.linear(5, Y)
    x = words(graph)
    layers, notes = taken(graph.model())
    theirs = answered(ort, graph, {"x": x.swapaxes(0, 1)}).swapaxes(0, 1)
    assert np.abs(logits(layers, x) - theirs).max() < 1e-5
    assert [each.hidden for each in layers.recurrent] == [5, 4, 6]
    assert layers.head[1] == "relu"
    assert notes == []


@pytest.mark.parametrize("op", GATES)
def test_layout(onnx: Any, op: str) -> None:
    """Batch first by the operator itself, which onnxruntime has not: the other layout judges."""
    graph = Graph(2)
    if op == "RNN":
        graph.inputs["x"] = ("B", "T", X)
    plain = Graph(2)
    for each, layout in ((graph, 1), (plain, 0)):
        each.inputs["x"] = ("B", "T", X) if layout else ("T", "B", X)
        each.recurrent(op, layout=layout)
        each.add("Squeeze", each.value, each.ints(2 if layout else 1))
        each.linear()
    ours, theirs = (taken(each.model())[0] for each in (graph, plain))
    x = words(graph)
    assert np.array_equal(logits(ours, x), logits(theirs, x))


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("way", ["initialiser", "expanded", "as it is", "tiled", "zeros", "given"])
def test_states_to_begin_in(ort: Any, onnx: Any, op: str, way: str) -> None:
    graph = Graph(3)
    parts, feeds = (["h", "c"] if op == "LSTM" else ["h"]), {}
    starts = []
    batch = B
    if way == "initialiser":
        graph.inputs["x"], batch = ("T", 1, X), 1
        starts = [graph.weight(1, 1, H) for _ in parts]
    elif way == "given":  # as one input for all layers, of which each takes its own
        for part in parts:
            graph.inputs[part] = (2, "B", H)
            feeds[part] = np.zeros((2, B, H), np.float32)
            takes = graph.ints(0), graph.ints(1), graph.ints(0)
            starts.append(graph.add("Slice", part, *takes))
    else:
        # the batch's size as exporters find it
        size = graph.add("Shape", "x")
        size = graph.add("Gather", size, graph.constant(np.int64(1)), axis=0)
        size = graph.add("Unsqueeze", size, graph.ints(0))
        shape = graph.add("Concat", graph.ints(1), size, graph.ints(H), axis=0)
        if way == "as it is":  # expand(-1, B, -1)
            stays = graph.ints(-1)
            shape = graph.add("Concat", stays, size, stays, axis=0)
            shape = graph.add("Reshape", shape, graph.ints(-1))
            one = onnx.numpy_helper.from_array(np.ones(1, np.int64))
            ones = graph.add("ConstantOfShape", graph.add("Shape", shape), value=one)
            equal = graph.add("Equal", shape, graph.add("Mul", ones, graph.constant(np.int64(-1))))
            shape = graph.add("Where", equal, ones, shape)
        for _ in parts:
            if way == "zeros":
                starts.append(graph.add("ConstantOfShape", shape))
            elif way == "tiled":
                times = graph.add("Concat", graph.ints(1), size, graph.ints(1), axis=0)
                starts.append(graph.add("Tile", graph.weight(1, 1, H), times))
            else:
                starts.append(graph.add("Expand", graph.weight(1, 1, H), shape))
    graph.value = "x"
    graph.recurrent(op, X, H, "", *starts)
    graph.squeezed().linear()
    layers, notes = taken(graph.model())
    x = words(graph, T, batch, X)
    theirs = answered(ort, graph, {"x": x, **feeds})
    assert np.abs(logits(layers, x) - theirs).max() < 1e-5
    told = way in ("initialiser", "expanded", "as it is", "tiled")
    assert set(layers.recurrent[0].start) == (set(parts) if told else set())
    wanted = [f"initial_{part} of node" for part in parts] if way == "given" else []
    assert [note[: note.index("node") + 4] for note in notes] == wanted


def test_many_units_whose_batch_comes_first(ort: Any, onnx: Any) -> None:
    """States of zeros are made for as many words as there may be."""
    graph = Graph(16)
    graph.inputs["x"] = ("B", "T", X)
    size = graph.add("Gather", graph.add("Shape", "x"), graph.ints(0), axis=0)
    shape = graph.add("Concat", graph.ints(2), size, graph.ints(128), axis=0)
    zeros = graph.add("Expand", graph.constant(np.zeros((), np.float32)), shape)
    graph.add("Transpose", "x", perm=[1, 0, 2])
    for layer in range(2):
        below = graph.value
        takes = graph.ints(layer), graph.ints(layer + 1), graph.ints(0)
        state = graph.add("Slice", zeros, *takes)
        graph.value = below
        graph.recurrent("GRU", 128 if layer else X, 128, "", state)
        graph.squeezed()
    graph.linear(128)
    for name, array in graph.constants.items():  # so that rounding does not grow
        graph.constants[name] = array / np.float32(8) if array.dtype == np.float32 else array
    x = words(graph)
    layers, _ = taken(graph.model())
    theirs = answered(ort, graph, {"x": x.swapaxes(0, 1)})
    assert np.abs(logits(layers, x) - theirs).max() < 1e-5


@pytest.mark.parametrize("way", ["gather", "one_hot", "matrix"])
def test_symbols_by_number(ort: Any, onnx: Any, way: str) -> None:
    graph = Graph(4)
    graph.inputs["x"], graph.whole = ("B", "T"), {"x"}
    x = graph.rng.integers(0, 6, (T, B))
    graph.add("Transpose", perm=[1, 0])
    if way == "gather":
        graph.add("Gather", graph.weight(6, X), graph.value)
    elif way == "one_hot":
        graph.add("OneHot", graph.value, graph.ints(6), graph.constant(np.array([0, 1], "f4")))
        graph.add("MatMul", graph.value, graph.weight(6, X))
    else:
        graph.add("Gather", graph.constant(np.eye(6, dtype=np.float32)), graph.value)
        graph.linear(6, X)
        graph.add("Tanh")
    graph.recurrent("GRU")
    graph.squeezed().linear()
    layers, _ = taken(graph.model())
    assert layers.embedding is not None
    theirs = answered(ort, graph, {"x": x.T})
    assert np.abs(logits(layers, x) - theirs).max() < 1e-5


def test_inputs_that_are_shifted_and_scaled(ort: Any, onnx: Any) -> None:
    graph = Graph(5)
    graph.add("Mul", graph.value, graph.constant(np.float32(2)))
    graph.add("Sub", graph.value, graph.constant(np.array([1, 0.5, 0.25], "f4")))
    graph.add("Div", graph.value, graph.constant(np.array([[[2, 4, 8]]], "f4")))
    graph.recurrent("RNN")
    layers = agree(ort, graph.squeezed().linear())
    assert isinstance(layers.before[0], Linear)
    assert len(layers.before) == 1


def test_arithmetic_after_the_head(ort: Any, onnx: Any) -> None:
    graph = Graph(6)
    graph.recurrent("RNN")
    graph.squeezed()
    graph.add("Sub", graph.constant(np.float32(1)), graph.value)
    graph.linear()
    graph.add("Neg")
    graph.add("Mul", graph.value, graph.weight(1, 1, Y))
    layers = agree(ort, graph)
    assert len(layers.head) == 2


@pytest.mark.parametrize("way", ["reshape", "flatten", "gemm"])
def test_positions_and_words_side_by_side(ort: Any, onnx: Any, way: str) -> None:
    graph = Graph(7)
    graph.recurrent("LSTM")
    if way == "reshape":
        graph.add("Transpose", perm=[0, 2, 1, 3])
        graph.add("Reshape", graph.value, graph.ints(0, 0, -1))
    graph.add("Reshape", graph.value, graph.ints(-1, H))
    if way == "flatten":
        graph.add("Flatten")
    graph.add("Gemm", graph.value, graph.weight(Y, H), graph.weight(Y), transB=1, beta=0.5)
    if way != "gemm":
        shape = graph.add("Slice", graph.add("Shape", "x"), graph.ints(0), graph.ints(2))
        shape = graph.add("Concat", shape, graph.ints(Y), axis=0)
        graph.add("Reshape", graph.nodes[-4].output[0], shape)
    x = words(graph)
    layers, _ = taken(graph.model())
    theirs = answered(ort, graph, {"x": x}).reshape(T, B, Y)
    assert np.abs(logits(layers, x) - theirs).max() < 1e-5


@pytest.mark.parametrize("way", ["gather", "slice", "state", "stacked"])
def test_answers_after_the_last_symbol(ort: Any, onnx: Any, way: str) -> None:
    graph = Graph(8)
    below = graph.recurrent("GRU")
    graph.squeezed()
    above = graph.recurrent("GRU", H)
    if way == "gather":
        graph.squeezed().add("Gather", graph.value, graph.constant(np.int64(-1)), axis=0)
    elif way == "slice":
        graph.squeezed()
        big = 2**63 - 1
        graph.add("Slice", graph.value, *(graph.ints(k) for k in (-1, big, 0)))
        graph.add("Squeeze", graph.value, graph.ints(0))
    elif way == "state":
        graph.add("Squeeze", above[1], graph.ints(0))
    else:
        graph.add("Concat", below[1], above[1], axis=0)
        graph.add("Gather", graph.value, graph.constant(np.int64(-1)), axis=0)
    graph.linear()
    layers, notes = taken(graph.model())
    assert len(notes) == 1
    assert "after the last symbol" in notes[0]
    x = words(graph)
    theirs = answered(ort, graph, {"x": x})
    assert np.abs(logits(layers, x)[-1] - theirs).max() < 1e-5


def test_one_step_whose_state_goes_in_and_out(ort: Any, onnx: Any) -> None:
    graph = Graph(9)
    graph.inputs = {"x": (B, X), "h": (1, B, H)}
    graph.add("Unsqueeze", graph.value, graph.ints(0))
    state = graph.recurrent("GRU", X, H, "", "h")[1]
    graph.add("Squeeze", graph.value, graph.ints(0, 1))
    graph.linear()
    layers, notes = taken(graph.model(state))
    assert "the next step's" in " ".join(notes)
    x, h = words(graph), np.zeros((1, B, H), np.float32)
    options = ort.SessionOptions()
    session = ort.InferenceSession(graph.model(state).SerializeToString(), options)
    ours = logits(layers, x)
    for t in range(T):
        y, h = session.run([graph.value, state], {"x": x[t], "h": h})
        assert np.abs(ours[t] - y).max() < 1e-5
    graph.nodes[1].input[4] = ""
    graph.nodes[1].input[5] = ""
    assert "reads one symbol only" in refused(graph)


Ends = list[tuple[str, list[float], dict[str, Any]]]  # operators, constants, attributes


@pytest.mark.parametrize(
    ("c", "yielded", "reason"),
    [
        ("input", (1, 2), ""),
        ("input", (2,), "the h that it ends in is no output"),
        ("input", (1,), "the c that it ends in is no output"),
        ("constant", (1, 2), "is given no state c"),
        ("", (1, 2), "is given no state c"),
    ],
)
def test_one_step_of_an_lstm_is_given_all_of_its_state(
    onnx: Any, c: str, yielded: tuple[int, ...], reason: str
) -> None:
    graph = Graph(9)
    graph.inputs = {"x": (1, B, X), "h": (1, B, H), "c": (1, B, H)}
    start = {"input": "c", "constant": graph.constant(np.ones((1, 1, H), np.float32))}.get(c, "")
    states = graph.recurrent("LSTM", X, H, "", "h", start)
    graph.squeezed().linear()
    states = [states[k] for k in yielded]
    if reason:
        assert reason in refused(graph, *states)
    else:
        assert "the next step's" in " ".join(taken(graph.model(*states))[1])


def test_half_precision_on_the_way_is_told(onnx: Any) -> None:
    graph = Graph(10)
    graph.recurrent("RNN")
    graph.squeezed().linear().add("Cast", to=10)
    graph.add("Cast", to=1)
    assert taken(graph.model())[1] == ["the graph computes in half precision, here in float32"]


@pytest.mark.parametrize("length", [997, 1009, 1051, 1500, 10**6])
def test_numbers_of_a_graph_are_no_lengths_of_words(onnx: Any, length: int) -> None:
    graph = Graph()
    graph.recurrent("RNN", X, H, graph.constant(np.full(B, length, np.int32)))
    assert "sequence_lens, which is not accepted" in refused(graph.squeezed().linear())

    for start, end in ((0, length), (-length, 2**63 - 1)):
        graph = Graph()
        graph.recurrent("RNN")
        graph.squeezed()
        graph.add("Slice", graph.value, *(graph.ints(k) for k in (start, end, 0)))
        message = refused(graph.linear())
        assert "which words may be longer than" in message or "takes another position" in message

    graph = Graph()
    graph.recurrent("RNN")
    graph.squeezed().linear()
    answer = graph.value
    shape = graph.add("Slice", graph.add("Shape", "x"), graph.ints(0), graph.ints(1))
    graph.add("Mul", answer, graph.add("Cast", shape, to=1))
    assert "its weights depend on how long words are" in refused(graph)


@pytest.mark.parametrize(
    ("y", "ends"),
    [
        (1, [("Greater", [0.3], {})]),
        (1, [("Sigmoid", [], {}), ("Greater", [0.5], {})]),
        (1, [("Sigmoid", [], {}), ("Greater", [0.3], {})]),
        (1, [("Sigmoid", [], {}), ("Greater", [1.5], {})]),
        (1, [("Tanh", [], {}), ("Greater", [-0.2], {}), ("Cast", [], {"to": 1})]),
        (1, [("Sigmoid", [], {}), ("Sigmoid", [], {}), ("Greater", [0.6], {})]),
        (1, [("Sigmoid", [], {}), ("Sub", [0.6], {}), ("Greater", [0.0], {})]),
        (2, [("ArgMax", [], {"axis": -1})]),
        (2, [("Softmax", [], {"axis": -1}), ("ArgMax", [], {"axis": 2, "keepdims": 0})]),
        (2, [("LogSoftmax", [], {"axis": 2}), ("ArgMax", [], {"axis": -1})]),
        # where both are 1 in float32, the first is the largest
        (2, [("Mul", [1e4], {}), ("Sigmoid", [], {}), ("ArgMax", [], {"axis": -1})]),
    ],
)
def test_the_decision_is_the_files(ort: Any, onnx: Any, tmp_path: Path, y: int, ends: Ends) -> None:
    graph = Graph(10)
    graph.inputs["x"] = ("T", "B", 2)
    graph.recurrent("GRU", 2)
    logits = graph.squeezed().linear(H, y).value
    for op, numbers, attributes in ends:
        constants = [graph.constant(np.array(each, np.float32)) for each in numbers]
        graph.add(op, graph.value, *constants, **attributes)
        logits = graph.value if op == "Mul" else logits
    symbols = graph.rng.integers(4, size=(40, 6))
    x = np.stack([symbols >> 1, symbols & 1], axis=-1).astype(np.float32)
    theirs = answered(ort, graph, {"x": x}).reshape(40, 6)
    for outputs in ((), (logits,)):  # logits beside a decision leave it what it is
        made = contents(graph.model(*outputs), tmp_path / "model.onnx")
        taken = foreign.take(made, tasks.add(), coding="0/1", delay=0)
        assert not any(phrase.startswith("cut") for phrase in taken.source.assumed)
        for word, answers in zip(symbols.T.tolist(), theirs.T, strict=True):
            assert taken.network.transduce(word) == answers.astype(int).tolist()


def test_an_end_is_left_out_only_where_it_changes_no_answer(
    ort: Any, onnx: Any, tmp_path: Path
) -> None:
    def ended(y: int, op: str, **attributes: Any) -> Graph:
        graph = Graph(10)
        graph.recurrent("RNN")
        graph.squeezed().linear(H, y).add(op, **attributes)
        return graph

    for op, axis in (("Softmax", -1), ("LogSoftmax", 2), ("ArgMax", -1)):
        layers, _ = taken(ended(Y, op, axis=axis).model())
        assert (len(layers.head), layers.ended) == (1, op.lower())
        assert "of one number, which is" in refused(ended(1, op, axis=axis))
    assert agree(ort, ended(Y, "Sigmoid")).head[-1] == "sigmoid"
    graph = ended(1, "Greater")
    graph.nodes.pop()
    value, bound = graph.nodes[-1].output[0], graph.constant(np.float32(0.5))
    graph.add("Greater", bound, value)
    assert "is a Greater of a constant" in refused(graph)
    graph.nodes.pop()
    graph.add("Greater", value, graph.constant(np.float32("nan")))
    assert "one finite number" in refused(graph)
    graph.nodes.pop()
    graph.add("Less", value, bound)
    assert "is a 'Less': accepted are" in refused(graph)
    graph.nodes.pop()
    graph.add("Greater", value, bound)
    graph.add("ArgMax", axis=-1)
    assert "comes after Greater: that must be the end" in refused(graph)
    # two that differ
    graph.add("Greater", value, bound)
    other = graph.value
    graph.add("Greater", value, graph.constant(np.float32(0.7)))
    graph.nodes.pop(-3)
    assert "2 outputs that may be its answer" in refused(graph, other)


def test_what_decides_does_not_come_before_the_first_cell(onnx: Any) -> None:
    graph = Graph(10)
    graph.add("Softmax", axis=-1)
    graph.recurrent("RNN")
    assert "comes after Softmax: that must be the end" in refused(graph.squeezed())


def test_a_head_may_end_in_another_activation(ort: Any, onnx: Any) -> None:
    graph = Graph(11)
    graph.recurrent("RNN")
    graph.squeezed().linear().add("Tanh")
    assert agree(ort, graph).head[-1] == "tanh"


def test_weights_that_the_graph_puts_in_order(ort: Any, onnx: Any) -> None:
    """As PyTorch's exporter does where it folds no constants: gates r, z, n become z, r, n."""
    graph = Graph(12)

    def ordered(name: str) -> str:
        parts = [
            graph.add("Slice", name, graph.ints(a * H), graph.ints((a + 1) * H), graph.ints(0))
            for a in (1, 0, 2)
        ]
        return str(graph.add("Concat", *parts, axis=0))

    W, R = (graph.add("Unsqueeze", ordered(graph.weight(3 * H, n)), graph.ints(0)) for n in (X, H))
    b = [ordered(graph.weight(3 * H)) for _ in range(2)]
    biases = graph.add("Unsqueeze", graph.add("Concat", *b, axis=0), graph.ints(0))
    options = {"hidden_size": H, "linear_before_reset": 1}
    graph.value = graph.add("GRU", "x", W, R, biases, outputs=2, **options)[0]
    graph.squeezed()
    weight = graph.add("Transpose", graph.weight(Y, H), perm=[1, 0])
    graph.add("MatMul", graph.nodes[-2].output[0], weight)
    assert agree(ort, graph).recurrent[0].cell == "gru"


def test_states_are_no_answers(ort: Any, onnx: Any) -> None:
    graph = Graph(13)
    one = graph.recurrent("LSTM")
    graph.squeezed()
    two = graph.recurrent("LSTM", H)
    top = graph.squeezed().value
    h = graph.add("Concat", one[1], two[1], axis=0)
    c = graph.add("Transpose", graph.add("Concat", one[2], two[2], axis=0), perm=[1, 0, 2])
    graph.value = top
    layers, _ = taken(graph.linear().model(h, c, two[1], two[2]))
    x = words(graph)
    assert np.abs(logits(layers, x) - answered(ort, graph, {"x": x})).max() < 1e-5
    # h of every position is one
    assert "2 outputs that may be its answer" in refused(graph, top)


def test_half_precision_is_widened(onnx: Any) -> None:
    from onnx import TensorProto, helper

    graph = Graph(14)
    graph.recurrent("RNN")
    model = graph.squeezed().linear().model()
    exact, _ = taken(model)
    for kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
        for raw in (False, True):
            half = Graph(14)
            half.recurrent("RNN")
            model = half.squeezed().linear().model()
            for old in model.graph.initializer:
                if old.data_type != TensorProto.FLOAT:
                    continue
                numbers = np.frombuffer(old.raw_data, "f4")
                made = helper.make_tensor(old.name, kind, old.dims, numbers)
                if raw:
                    bits = np.array(made.int32_data, "u2").tobytes()
                    made.ClearField("int32_data")
                    made.raw_data = bits
                old.CopyFrom(made)
            layers, _ = taken(model)
            for ours, theirs in zip(layers.arrays, exact.arrays, strict=True):
                assert ours.dtype == np.float32
                assert 0 < np.abs(ours - theirs).max() < 0.01


def test_a_network_of_somebodys() -> None:
    found = read(FOREIGN / "F_adder.onnx")
    assert found.layers
    weights = np.load(FOREIGN / "weights.npz")
    assert found.layers.parameters.keys() == {"Wxh", "Whh", "bh", "Why", "by"}
    for name, array in found.layers.parameters.items():
        assert np.array_equal(array, weights[f"tanh.{name}"])


# What is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "attributes", "reason"),
    [
        ("RNN", {"clip": 3.0}, "clip"),
        ("RNN", {"direction": "reverse"}, "direction 'reverse'"),
        ("RNN", {"activations": ["Softsign"]}, "activations 'Softsign'"),
        ("RNN", {"activation_alpha": [0.1]}, "activation_alpha"),
        ("RNN", {"activation_beta": [0.1]}, "activation_beta"),
        ("RNN", {"layout": 2}, "layout 2"),
        ("RNN", {"brand_new": 1}, "the attribute 'brand_new', which RNN cannot have"),
        ("RNN", {"linear_before_reset": 1}, "'linear_before_reset', which RNN cannot have"),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"]}, "activations 'HardSigmoid, Tanh'"),
        ("GRU", {"activations": ["Sigmoid", "Affine"]}, "activations 'Sigmoid, Affine'"),
        ("GRU", {"linear_before_reset": 1.5}, "another kind"),
        ("LSTM", {"input_forget": 1}, "input_forget"),
        ("LSTM", {"activations": ["Sigmoid", "Relu", "Tanh"]}, "Sigmoid, Relu, Tanh"),
    ],
)
def test_attributes_that_are_not_accepted(
    onnx: Any, op: str, attributes: dict[str, Any], reason: str
) -> None:
    graph = Graph()
    graph.recurrent(op, **attributes)
    message = refused(graph.squeezed().linear())
    assert reason in message
    assert "node '" in message


@pytest.mark.parametrize("way", ["size", "less", "cast", "place"])
def test_states_that_depend_on_how_many_words_there_are(onnx: Any, way: str) -> None:
    graph = Graph()
    size = graph.add("Shape", "x", start=1, end=2)
    wanted = graph.ints(5)
    if way == "less":  # below zero for as many words as are tried, and not for others
        size = graph.add("Sub", size, graph.ints(5000))
        wanted = graph.ints(-4995)
    elif way == "cast":
        half = graph.add("Div", size, graph.ints(5000))
        graph.add("Cast", half, to=onnx.TensorProto.BOOL)
    elif way == "place":
        rows = graph.constant(np.array([[-1, 5]] * 2000))
        wanted = graph.add("Gather", rows, size)
    if way != "cast":
        graph.add("Equal", size, wanted)
    start = graph.add("Where", graph.value, graph.weight(1, 1, H), graph.weight(1, 1, H))
    graph.value = "x"
    graph.recurrent("GRU", X, H, "", start)
    says = "chooses" if way == "cast" else "compares"
    assert f"{says} by how long words are, or how many" in refused(graph.squeezed().linear())


def test_inputs_of_recurrent_operators_that_are_not_accepted(onnx: Any) -> None:
    graph = Graph()
    lengths = graph.constant(np.full(B, 4, np.int32))
    graph.recurrent("RNN", X, H, lengths)
    assert "sequence_lens" in refused(graph.squeezed().linear())

    graph = Graph()
    graph.recurrent("RNN", X, H, "", graph.weight(1, B, H))
    assert "initial_h that differs between words" in refused(graph.squeezed().linear())

    graph = Graph()
    graph.recurrent("LSTM", X, H, "", "", "", graph.weight(1, 3 * H))
    assert "peepholes" in refused(graph.squeezed().linear())
    graph = Graph()
    zero = graph.constant(np.zeros((1, 3 * H), np.float32))
    graph.recurrent("LSTM", X, H, "", "", "", zero)
    taken(graph.squeezed().linear().model())

    graph = Graph()
    graph.recurrent("GRU", X, H, "", "", graph.weight(1, 1, H))
    assert "has 7 inputs" in refused(graph.squeezed().linear())

    graph = Graph()
    state = graph.recurrent("RNN")[1]
    graph.squeezed().recurrent("RNN", H, H, "", state)
    assert "initial_h that the graph computes" in refused(graph.squeezed().linear())

    graph = Graph()
    graph.inputs["x"], graph.inputs["w"] = ("T", "B", X), (1, H, X)
    graph.add("RNN", "x", "w", graph.weight(1, H, H), hidden_size=H)
    assert "none is constant" in refused(graph.squeezed().linear())


def test_lengths_of_words_that_the_graph_is_given(onnx: Any) -> None:
    graph = Graph()
    graph.inputs["lengths"] = ("B",)
    graph.whole = {"lengths"}
    graph.recurrent("RNN", X, H, "lengths")
    _, notes = taken(graph.squeezed().linear().model())
    assert "sequence_lens of node" in notes[0]


def test_both_directions_are_refused(onnx: Any) -> None:
    graph = Graph()
    graph.add(
        *("GRU", "x", graph.weight(2, 3 * H, X), graph.weight(2, 3 * H, H)),
        hidden_size=H,
        direction="bidirectional",
    )
    assert "direction 'bidirectional': only forward" in refused(graph)


def operator(op: str, *inputs: str, **attributes: Any) -> Graph:
    graph = Graph()
    graph.recurrent("RNN")
    graph.squeezed()
    graph.add(op, graph.value, *inputs, **attributes)
    return graph.linear()


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        ("Conv", "is a 'Conv': accepted are Add, "),
        ("LayerNormalization", "is a 'LayerNormalization': accepted are"),
        ("Scan", "is a 'Scan': accepted are"),
        ("Loop", "is a 'Loop': accepted are"),
        ("If", "is a 'If': accepted are"),
        ("QLinearMatMul", "of a quantised model"),
        ("DequantizeLinear", "of a quantised model"),
        ("DynamicQuantizeLSTM", "of a quantised model"),
        ("Softmax", "comes after Softmax"),
        ("Where", "is a Where of what the network computes"),
        ("ReverseSequence", "is a 'ReverseSequence': accepted are"),
    ],
)
def test_other_operators_are_refused_by_name(onnx: Any, op: str, reason: str) -> None:
    message = refused(operator(op))
    assert reason in message
    assert "node '" in message


def test_paths_that_are_no_chain(onnx: Any) -> None:
    graph = Graph()
    graph.recurrent("RNN", X, X)
    graph.squeezed().add("Add", graph.value, "x")
    assert "two values that depend on the symbols" in refused(graph)

    graph = Graph()
    graph.recurrent("RNN")
    graph.squeezed().linear(H, X)
    graph.recurrent("RNN")
    assert "comes after layers that are not recurrent" in refused(graph)

    graph = Graph()
    graph.recurrent("RNN")
    graph.squeezed().add("Slice", graph.value, graph.ints(0), graph.ints(2), graph.ints(2))
    assert "takes a part of what the network computes" in refused(graph.linear(2))

    graph = Graph()
    graph.recurrent("RNN")
    graph.squeezed().add("Gather", graph.value, graph.constant(np.int64(0)), axis=0)
    assert "another position than the last one" in refused(graph.linear())

    graph = Graph()
    graph.inputs["x"] = ("T", "B", X + 1)
    graph.add("Slice", "x", graph.ints(0), graph.ints(X), graph.ints(2))
    graph.recurrent("RNN")
    assert "takes a part of the input" in refused(graph.squeezed().linear())

    graph = Graph()
    graph.recurrent("RNN")
    graph.squeezed().add("Reshape", graph.value, graph.ints(-1, 2 * H))
    assert "does not hold what there is" in refused(graph.linear(2 * H))
    graph.inputs["x"] = (4, 2, X)
    assert "joins the features of several positions" in refused(graph)

    graph = Graph()
    graph.recurrent("RNN")
    graph.squeezed().add("Transpose", perm=[0, 2, 1])
    assert "does not sum over the features" in refused(graph.linear())

    graph = Graph()
    graph.recurrent("RNN")
    graph.squeezed().linear().add("Softmax", axis=0)
    assert "over another axis than the answers'" in refused(graph)
    graph.nodes[-1].attribute[0].i = 1
    assert "over another axis" in refused(graph, opset=12)

    graph = Graph()
    graph.recurrent("RNN")
    graph.squeezed().add("Transpose", perm=[1, 0, 2])
    graph.recurrent("RNN", H)
    assert "in another order than the layer below" in refused(graph)

    graph = Graph()  # one unit, whose axis is lost among the others
    graph.recurrent("RNN", X, 1)
    graph.add("Reshape", graph.value, graph.ints(-1))
    assert "does not sum over the features" in refused(graph.linear(1))

    graph = Graph()
    graph.linear(X, Y)
    assert "from no RNN, GRU or LSTM" in refused(graph)


def test_layers_that_do_not_fit(onnx: Any) -> None:
    graph = Graph()
    graph.recurrent("RNN", X, H)
    graph.squeezed().recurrent("RNN", H + 1)
    assert f"reads {H + 1} features, and is given {H}" in refused(graph.squeezed().linear())
    graph = Graph()
    graph.recurrent("RNN", X, H)
    assert "for 4 features" in refused(graph.squeezed().linear(H + 1))
    graph = Graph()
    for _ in range(9):
        graph.recurrent("RNN", X, X)
        graph.squeezed()
    assert "at most 8 are accepted" in refused(graph)
    graph = Graph()
    graph.recurrent("GRU")
    graph.constants["c0"] = graph.constants["c0"][:, 1:]
    assert "which do not fit" in refused(graph)


def whole() -> Any:
    graph = Graph()
    graph.recurrent("RNN")
    return graph.squeezed().linear().model()


def test_models_that_are_refused_as_a_whole(onnx: Any, tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    model = whole()
    model.graph.node[0].domain = "com.microsoft"
    assert "of 'com.microsoft': only ONNX's own" in refused(model)

    model = whole()
    model.functions.add().name = "f"
    assert "functions of its own" in refused(model)

    model = whole()
    model.training_info.add()
    assert "how it is trained" in refused(model)

    model = whole()
    model.graph.sparse_initializer.add()
    assert "sparse weights" in refused(model)

    for version in (6, 29):
        model = whole()
        model.opset_import[0].version = version
        assert f"of version {version}: accepted are 7 to 28" in refused(model)

    model = whole()
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "/etc/passwd"), ("offset", "0")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    said = re.search(r'this puts all into ONE.onnx: python -c "(.*)"$', refused(model))
    assert said
    one = whole()
    onnx.save(one, tmp_path / "FILE", save_as_external_data=True, size_threshold=0)
    with chdir(tmp_path):
        assert "lies in another file" in refused(onnx.load("FILE", load_external_data=False))
        exec(said[1], {})
        taken(onnx.load("ONE.onnx"))

    model = whole()
    model.graph.initializer[0].data_type = TensorProto.INT8
    assert "holds INT8" in refused(model)

    model = whole()
    model.graph.initializer[0].dims[0] = 2**40
    assert "has the shape" in refused(model)

    model = whole()
    model.graph.initializer.append(model.graph.initializer[0])
    assert "two tensors named" in refused(model)

    model = whole()
    model.graph.node[0].input[0] = "nowhere"
    assert "reads 'nowhere', which is none" in refused(model)

    model = whole()
    model.graph.output[0].name = "nowhere"
    assert "is computed nowhere" in refused(model)

    model = whole()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert "has no shape" in refused(model)

    model = whole()
    graph = helper.make_graph([], "g", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", graph))
    assert "with an attribute 'body'" in refused(model)


def test_bombs(onnx: Any) -> None:
    graph = Graph()
    graph.add("ConstantOfShape", graph.ints(2**20, 2**20))
    graph.add("MatMul", "x", graph.value)
    graph.recurrent("RNN", 2**10)
    assert "its constants take more than" in refused(graph)

    graph = Graph()
    graph.inputs["x"] = ("T", "B", 2**20)
    graph.add("Mul", graph.value, graph.constant(np.float32(2)))
    graph.recurrent("RNN", 2**10)
    assert "its constants take more than" in refused(graph)

    graph = Graph()
    graph.inputs["x"], graph.whole = ("T", "B"), {"x"}
    graph.add("OneHot", "x", graph.ints(2**40), graph.constant(np.array([0, 1], "f4")))
    graph.recurrent("RNN", 2**10)
    assert "its constants take more than" in refused(graph)

    model = whole()
    for _ in range(2001):
        model.graph.node.add()
    assert "more than 2,000 nodes" in refused(model)

    # empty messages, two bytes each, take a hundred in memory
    data = whole().SerializeToString() + 300_000 * b"\x42\x00"
    with pytest.raises(Refused, match="more than 200,000 fields"):
        read_onnx(data, Found())
    nested = b""
    for level in range(60):  # graphs in the attributes of their nodes
        key = b"\x3a" if level == 59 else b"\x2a\x0a\x32"[level % 3 :][:1]
        size = len(nested)
        length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
        nested = key + length + nested
    with pytest.raises(Refused, match="nested too deeply"):
        read_onnx(whole().SerializeToString() + nested, Found())


def test_the_library_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    message = refusal(lambda: read(FOREIGN / "F_adder.onnx"))
    assert "pip install 'carrynet[onnx]'" in message


# Damage ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def samples(onnx: Any) -> list[bytes]:
    graph = Graph(1)
    graph.inputs["x"] = ("B", "T", X)
    graph.add("Transpose", perm=[1, 0, 2])
    graph.recurrent("LSTM", X, 2)
    graph.add("Reshape", graph.value, graph.ints(0, 0, -1))
    size = graph.add("Gather", graph.add("Shape", "x"), graph.constant(np.int64(1)))
    del size
    graph.value = graph.nodes[2].output[0]
    graph.linear(2)
    return [(FOREIGN / "F_adder.onnx").read_bytes(), graph.model().SerializeToString()]


def _reads_or_refuses(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    try:
        read(path)
    except InputError:
        refusal(lambda: read(path))


def test_every_truncation_is_one_line(samples: list[bytes], tmp_path: Path) -> None:
    for data in samples:
        for length in range(0, len(data), 7):
            _reads_or_refuses(data[:length], tmp_path / "cut.onnx")


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_one_line(samples: list[bytes], tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(samples)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    _reads_or_refuses(bytes(content), tmp_path / "fuzz.onnx")
