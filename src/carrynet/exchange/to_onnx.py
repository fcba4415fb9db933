"""A network as ONNX: `symbols` (B, T) in, `logits` (B, T, Y) and `outputs` (B, T) out.

Cells that ONNX has become its operators RNN, GRU and LSTM.  Any other becomes a Scan, whose body
is written out from the formula's instructions; so does every network in float64, which
onnxruntime computes there but not in those operators.

Shapes: B batch, T time, X inputs, H units, G gates, Y logits.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carrynet.data.words import tables
from carrynet.errors import InputError
from carrynet.exchange.layered import Recurrent, recurrent
from carrynet.exchange.leaving import IN_ONNX, Written, library
from carrynet.nets.arrays import Array
from carrynet.nets.equations import Instruction
from carrynet.nets.formula import Formula
from carrynet.nets.network import Network

if TYPE_CHECKING:
    import onnx

ARITHMETIC = library("a runtime of ONNX")
OPSET, IR = 17, 8  # of 2022: what runtimes of today have

_ELEMENTWISE = {
    "matmul": "MatMul",
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
}
_OPERATORS = {
    "elman": ("RNN", "h"),
    "gru": ("GRU", "zrn"),
    "gru-reset-before": ("GRU", "zrn"),
    "lstm": ("LSTM", "iofg"),
}
"""By cell: the operator, and its order of gates by their letters in `nets.cells`."""
_ACTIVATIONS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}


def written(network: Network, file: Path, facts: Mapping[str, str]) -> Written:
    """The model, with what is to be said of it in its metadata."""
    try:
        import onnx
    except ImportError:
        raise InputError(
            "the library onnx is not installed: pip install 'carrynet[onnx]'; in a clone, "
            "uv sync --extra onnx"
        ) from None
    model = _Graph(network).model(file.name.removesuffix(".onnx"))
    said = {f"{IN_ONNX}{key}": value for key, value in facts.items() if value}
    onnx.helper.set_model_props(model, said)
    model.producer_name, model.producer_version = "carrynet", facts["carrynet"]
    use = (
        f'session = onnxruntime.InferenceSession("{file.name}")',
        "words = numpy.array([[0, 1, 1]])  # numbers of symbols, (batch, time)",
        'logits, outputs = session.run(None, {"symbols": words})',
    )
    return Written(model.SerializeToString(deterministic=True), use)


class _Graph:
    """One network's graph as it is being written: its nodes and its constants."""

    def __init__(self, network: Network) -> None:
        import onnx

        self.helper, self.array = onnx.helper, onnx.numpy_helper.from_array
        self.network = network
        self.type = onnx.helper.np_dtype_to_tensor_dtype(network.dtype)
        self.int64 = onnx.TensorProto.INT64
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def model(self, name: str) -> "onnx.ModelProto":
        """All of it."""
        network, helper = self.network, self.helper
        Y = network.task.neurons
        self._constant("encoding", tables(network.task).vectors)
        vectors = self._node("Gather", ["encoding", "symbols"], "vectors")
        self._node("Shape", ["symbols"], "size", start=0, end=1)
        try:
            layers = recurrent(network)
        except InputError:
            layers = ()
        operators = layers and network.dtype == np.float32
        if operators and all(layer.cell in _OPERATORS for layer in layers):
            h = self._layers(layers, vectors)
        else:
            h = self._scan(vectors)
        nodes, values = self._instructions(
            network.readout, network.readout.instructions, {0: h}, "readout"
        )
        self.nodes += nodes
        self._node("Identity", [values[network.readout.results[0]]], "logits")
        if Y == 1:
            above = self._node("Greater", ["logits", self._number(0)], "above")
            chosen = self._node("Cast", [above], "chosen", to=self.int64)
            self._node("Squeeze", [chosen, self._integers("last", [-1])], "outputs")
        else:
            self._node("ArgMax", ["logits"], "outputs", axis=-1, keepdims=0)
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("symbols", self.int64, ["batch", "time"])],
            [
                helper.make_tensor_value_info("logits", self.type, ["batch", "time", Y]),
                helper.make_tensor_value_info("outputs", self.int64, ["batch", "time"]),
            ],
            list(self.constants.values()),
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=IR)

    # Parts -------------------------------------------------------------------------------

    def _node(self, operator: str, inputs: Sequence[str], out: str, **attributes: Any) -> str:
        self.nodes.append(self.helper.make_node(operator, inputs, [out], **attributes))
        return out

    def _constant(self, name: str, values: Array) -> str:
        self.constants[name] = self.array(values.astype(self.network.dtype), name)
        return name

    def _number(self, value: float) -> str:
        return self._constant(f"number {value!r}", np.array(value))

    def _integers(self, name: str, values: Sequence[int]) -> str:
        self.constants[name] = self.array(np.array(values, np.int64), name)
        return name

    def _for_batch(self, start: Array, name: str) -> str:
        """A start (..., 1, H) as that of every word: (..., B, H)."""
        ones = [self._integers("one", [1])] * start[..., 0].ndim
        shape = self._node("Concat", [*ones[1:], "size", "one"], f"{name}.shape", axis=0)
        return self._node("Expand", [self._constant(f"{name}.one", start), shape], name)

    # Operators ---------------------------------------------------------------------------

    def _layers(self, layers: Sequence[Recurrent], vectors: str) -> str:
        """The top layer's h (B, T, H), by the operators: these have time first."""
        x = self._node("Transpose", [vectors], "vectors.T", perm=[1, 0, 2])
        for number, layer in enumerate(layers, 1):
            name = f"layer{number}"
            operator, order = _OPERATORS[layer.cell]
            weights, H = layer.weights, layer.hidden
            # W (1, G H, X), R (1, G H, H), B (1, 2 G H): of the input, then of the state
            W, R = (
                np.concatenate([weights[f"W{kind}{gate}"].T for gate in order])[None]
                for kind in "xh"
            )
            biases = np.zeros((1, 2 * len(order) * H))
            for k, gate in enumerate(order):
                biases[0, k * H :][:H] = weights[f"b{gate}"]
            if "bhn" in weights:
                biases[0, -H:] = weights["bhn"]
            inputs = [
                x,
                *(
                    self._constant(f"{name}.{k}", v)
                    for k, v in zip("WRB", (W, R, biases), strict=True)
                ),
                "",
            ]
            inputs += [
                self._for_batch(layer.start[part][None, None], f"{name}.start.{part}")
                for part in layer.formula().state
                if part in layer.start
            ]
            hidden = _ACTIVATIONS[layer.activation]
            functions = {
                "RNN": [hidden],
                "GRU": ["Sigmoid", hidden],
                "LSTM": ["Sigmoid", hidden, hidden],
            }
            attributes: dict[str, Any] = {"hidden_size": H, "activations": functions[operator]}
            if operator == "GRU":
                attributes["linear_before_reset"] = int(layer.cell == "gru")
            every = self._node(operator, inputs, f"{name}.every", **attributes)
            x = self._node("Squeeze", [every, self._integers("directions", [1])], f"{name}.h")
        return self._node("Transpose", [x], "h", perm=[1, 0, 2])

    # Instructions ------------------------------------------------------------------------

    def _scan(self, vectors: str) -> str:
        """The same for any formula: what needs the input only before, the rest step by step."""
        network, helper = self.network, self.helper
        cell, first = network.cell, len(network.cell.inputs)
        nodes, values = self._instructions(cell, cell.of_input, {0: vectors}, "input")
        self.nodes += nodes
        drives = cell.drives or (0,)  # which say how long the word is
        states = {first + k: f"state.{part}" for k, part in enumerate(cell.state)}
        fed = {slot: f"drive.{slot}" for slot in drives}
        body, now = self._instructions(cell, cell.of_state, {**fed, **states}, "step")
        results = [now[slot] for slot in cell.results]
        news = [f"new.{part}" for part in cell.state]
        for result, new in zip([*results, results[0]], [*news, "told"], strict=True):
            body.append(helper.make_node("Identity", [result], [new]))

        def info(name: str) -> "onnx.ValueInfoProto":
            return helper.make_tensor_value_info(name, self.type, None)

        step = helper.make_graph(
            body,
            "step",
            [*map(info, [*states.values(), *fed.values()])],
            [*map(info, [*news, "told"])],
        )
        starts = [
            self._for_batch(start[None], f"start.{part}")
            for start, part in zip(network.parts(network.start), cell.state, strict=True)
        ]
        scan = helper.make_node(
            "Scan",
            [*starts, *(values[slot] for slot in drives)],
            [*(f"last.{part}" for part in cell.state), "h"],
            body=step,
            num_scan_inputs=len(drives),
            scan_input_axes=[1] * len(drives),
            scan_output_axes=[1],
        )
        self.nodes.append(scan)
        return "h"

    def _instructions(
        self,
        formula: Formula,
        steps: Sequence[Instruction],
        given: Mapping[int, str],
        name: str,
    ) -> "tuple[list[onnx.NodeProto], dict[int, str]]":
        """Nodes that carry instructions out, and the names of all values by their slots."""
        values, nodes = dict(given), []
        read = {slot for each in steps for slot in each.operands}
        for slot, parameter in formula.parameter_slots.items():
            if slot in read:
                values[slot] = self._constant(parameter, self.network.weights[parameter])
        for slot, constant in formula.constant_slots.items():
            values[slot] = self._number(constant)

        def node(operator: str, inputs: Sequence[str], out: str) -> str:
            nodes.append(self.helper.make_node(operator, inputs, [out]))
            return out

        for operation, operands, out in steps:
            of, to = [values[slot] for slot in operands], f"{name}.{out}"
            if operation == "mix":  # (1 - z) n + z h
                z, n, h = of
                open_ = node("Sub", [self._number(1), z], f"{to}.open")
                new, old = node("Mul", [open_, n], f"{to}.new"), node("Mul", [z, h], f"{to}.old")
                values[out] = node("Add", [new, old], to)
            else:
                values[out] = node(_ELEMENTWISE[operation], of, to)
        return nodes, values
