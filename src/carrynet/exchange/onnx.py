"""Networks in ONNX: the layers that a graph computes, with the library `onnx` to parse it.

    RNN, GRU, LSTM              the recurrent layers, each on top of the one before
    MatMul, Gemm, Add, ...      linear layers before and after them, activations
    Gather, OneHot              what the number of a symbol is written as
    Transpose, Squeeze, ...     axes

The graph is followed from its input to its answer (`onnx_path`), and nothing else of it is
looked at.  What an operator may do beyond that is refused by its name, never ignored.

Left out: several directions, control flow, functions, quantised numbers, data in other files.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from carrynet.errors import shorten
from carrynet.exchange.chains import LAST
from carrynet.exchange.found import MAX_BYTES, MAX_TENSORS, Found
from carrynet.exchange.layered import Layered
from carrynet.exchange.leaving import IN_ONNX
from carrynet.exchange.onnx_nodes import (
    FLOATS,
    MAX_RANK,
    WHOLE,
    Constant,
    Node,
    check_wire,
    tensor,
)
from carrynet.exchange.onnx_path import DECISIONS, KNOWN, RECURRENT, Atom, Data, Path, State, Value
from carrynet.exchange.pickles import Refused, require

OLDEST, NEWEST = 7, 28
"""The versions of ONNX's operators in which they mean what is read here."""

MAX_NODES = 2_000

# Primes, for which a shape that fits fits for other lengths, too; few enough for states of zeros.
# Two sets, so that a number of the graph's own that is one of them is not taken for a length
_OPEN_SIZES = (
    (997, 1009, 1013, 1019, 1021, 1031, 1033, 1039),
    (1051, 1061, 1063, 1069, 1087, 1091, 1093, 1097),
)


def read_onnx(data: bytes, found: Found) -> None:
    """The layers of a model.  Raises `Refused`, and `InputError` where they do not fit."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise Refused(
            "it is a model in ONNX, which the library onnx reads: pip install 'carrynet[onnx]'"
        ) from None
    check_wire(data, onnx.ModelProto.DESCRIPTOR)
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise Refused(f"it is damaged: {shorten(str(error))}") from None
    (layers, notes), (other, _) = (_computed(model, sizes) for sizes in _OPEN_SIZES)
    require(_are_equal(layers, other), "its weights depend on how long words are, or how many")
    found.layers = layers
    found.notes += notes
    said = {each.key: each.value for each in model.metadata_props}
    found.exported({k.removeprefix(IN_ONNX): v for k, v in said.items() if k.startswith(IN_ONNX)})


def _computed(model: Any, sizes: tuple[int, ...]) -> tuple[Layered, list[str]]:
    """The layers, and what is to be said of them, where open sizes are some numbers."""
    path = Path(_given(model, sizes), _opset(model))
    nodes = list(_needed(model.graph))
    known = bool(nodes) and KNOWN.issuperset(node.op for node in nodes)
    if known and not any(node.op in RECURRENT for node in nodes):
        raise Refused(
            "its answer comes from no RNN, GRU or LSTM: torch.onnx.export writes nn.RNN out step "
            "by step, unless it is told dynamo=False"
        )
    for node in nodes:
        path.follow(node)
    outputs = [(each.name, path.values.get(each.name)) for each in model.graph.output]
    layers = _layers(_answer(outputs), path)
    path.check_steps([value for _, value in outputs])
    return layers, path.notes


def _are_equal(one: Layered, other: Layered) -> bool:
    kinds = [
        [(each.cell, each.activation, tuple(each.start)) for each in layers.recurrent]
        + [layer for layer in (*layers.before, *layers.head) if isinstance(layer, str)]
        for layers in (one, other)
    ]
    arrays = zip(one.arrays, other.arrays, strict=False)
    return (
        kinds[0] == kinds[1]
        and len(one.arrays) == len(other.arrays)
        and all(np.array_equal(a, b, equal_nan=True) for a, b in arrays)
    )


def _opset(model: Any) -> int:
    require(not model.functions, "it has functions of its own, which are not accepted")
    require(not model.training_info, "it says how it is trained: export it for inference")
    versions = {each.domain: each.version for each in model.opset_import}
    version = versions.get("", versions.get("ai.onnx", 0))
    require(
        OLDEST <= version <= NEWEST,
        f"its operators are of version {version}: accepted are {OLDEST} to {NEWEST}, "
        "as torch.onnx.export(..., opset_version=17) writes them",
    )
    return int(version)


def _given(model: Any, open_sizes: tuple[int, ...]) -> dict[str, Value]:
    """The initialisers and inputs of a graph, by name."""
    graph = model.graph
    require(not graph.sparse_initializer, "it has sparse weights, which are not accepted")
    require(len(graph.initializer) <= MAX_TENSORS, f"it holds more than {MAX_TENSORS} tensors")
    found: dict[str, Value] = {}
    taken = 0
    for proto in graph.initializer:
        require(proto.name not in found, f"it has two tensors named {shorten(proto.name)}")
        constant: Constant = tensor(proto, f"tensor {shorten(proto.name)}")
        taken += constant.nbytes
        require(taken <= MAX_BYTES, f"its tensors take more than {MAX_BYTES >> 20} MB")
        found[proto.name] = constant
    sizes = iter(open_sizes * 2)
    names: dict[str, int] = {}  # a size that has the same name in two inputs is the same
    inputs = {each.name for each in graph.input}
    require(len(inputs) == len(graph.input), "it has two inputs of one name")
    for each in graph.input:
        if each.name not in found:  # else it has a value unless one is given
            found[each.name] = _input(each, sizes, names)
    return found


def _input(proto: Any, sizes: Any, names: dict[str, int]) -> Data:
    kind = proto.type.tensor_type
    name = shorten(proto.name)
    require(proto.type.HasField("tensor_type"), f"input {name} is no tensor")
    require(kind.elem_type in (*FLOATS, *WHOLE), f"input {name} is not of numbers")
    require(
        kind.HasField("shape") and 0 < len(kind.shape.dim) <= MAX_RANK,
        f"input {name} has no shape, or {len(kind.shape.dim)} axes",
    )
    axes = []
    for place, dim in enumerate(kind.shape.dim):
        known = dim.WhichOneof("value") == "dim_value"
        require(not known or 0 < dim.dim_value <= MAX_BYTES, f"input {name} has an empty axis")
        size = dim.dim_value if known else names.get(dim.dim_param, 0)
        if not size:
            size = next(sizes, 0)
            require(size > 0, "its inputs have too many axes")
            if dim.dim_param:
                names[dim.dim_param] = size
        axes.append((Atom(f"axis {place}", size, known),))
    return Data(proto.name, tuple(axes), whole=kind.elem_type in WHOLE)


def _needed(graph: Any) -> Iterable[Node]:
    """The nodes that the outputs depend on, in their order."""
    require(len(graph.node) <= MAX_NODES, f"it has more than {MAX_NODES:,} nodes")
    wanted = {each.name for each in graph.output}
    protos = []
    for proto in reversed(graph.node):
        if wanted.isdisjoint(name for name in proto.output if name):
            continue
        wanted.update(proto.input)
        protos.append(proto)
    for proto in reversed(protos):
        what = f"node {shorten(proto.name)} is a {shorten(proto.op_type)}"
        require(
            proto.domain in ("", "ai.onnx"),
            f"{what} of {shorten(proto.domain)}: only ONNX's own operators are accepted",
        )
        yield Node(proto)


def _answer(outputs: list[tuple[str, Value | None]]) -> Data:
    """What the network answers, of all that the graph gives."""
    for name, value in outputs:
        require(value is not None, f"its output {shorten(name)} is computed nowhere")
    data = [(name, v) for name, v in outputs if isinstance(v, Data) and not v.untouched]
    answers = [(name, v) for name, v in data if not v.state] or data
    # a decision says where logits are cut: these are no other answer, nor is the same once more
    decided = {
        (v.recurrent, v.head, v.ended, v.bound): (name, v)
        for name, v in answers
        if v.ended in DECISIONS
    }
    of = [(recurrent, head) for recurrent, head, *_ in decided]
    answers = [
        (name, v)
        for name, v in answers
        if all((v.recurrent, v.head) != (layers, head[: len(v.head)]) for layers, head in of)
    ]
    answers += decided.values()
    if not answers:
        states = any(isinstance(value, State) for _, value in outputs)
        other = " other than states" if states else ""
        raise Refused(f"it has no output{other} that depends on its input")
    require(
        len(answers) == 1,
        f"it has {len(answers)} outputs that may be its answer, "
        f"{shorten(', '.join(name for name, _ in answers))}: take the others out of graph.output",
    )
    return answers[0][1]


def _layers(answer: Data, path: Path) -> Layered:
    require(bool(answer.recurrent), "its answer comes from no RNN, GRU or LSTM")
    if answer.last:
        path.note(LAST)
    return Layered(
        answer.recurrent,
        answer.head,
        answer.before,
        answer.embedding,
        answer.ended.lower(),
        answer.bound,
    )
