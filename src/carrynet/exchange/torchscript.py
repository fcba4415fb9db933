"""TorchScript's code, without PyTorch: which layers it goes through, and from what symbols on.

It is followed from `forward` to the answer, statement by statement, as far as it is made of what
layers here do; everything else is refused by its name.

Left out: loops, and so cells that are called symbol by symbol; arithmetic.
"""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from carrynet.errors import InputError, shorten
from carrynet.exchange.chains import LAST
from carrynet.exchange.found import MAX_NAME, Found
from carrynet.exchange.layered import Layer, Layered, Linear, Recurrent, elman, gated
from carrynet.exchange.pickles import LONG, Name, Object, Refused, require
from carrynet.exchange.state_dicts import View, view_of
from carrynet.nets.arrays import Array

MAX_CALLS = 32  # of functions in functions
MAX_STEPS = 20_000  # statements that are followed
MAX_SYMBOLS = 1024  # of which is worked out what code makes of their numbers

INSTEAD = "export it to ONNX instead or, where that changes no answer, save model.state_dict()"
_PLAIN, _OPEN, _ZERO = (Name(text) for text in ("a number", "something", "zeros"))
"""What is known only when the code runs: a number, what branches leave open; and a tensor of 0."""


@dataclass(eq=False)
class _Flow:
    """What the code has made of the symbols."""

    embedding: Array | None = None
    coded: Array | None = None  #: what is made of the numbers of symbols, from 0; of others no more
    before: tuple[Layer, ...] = ()
    recurrent: tuple[Recurrent, ...] = ()
    head: tuple[Layer, ...] = ()
    ended: str = ""
    turned: bool = False  #: with its first two axes exchanged
    time: int | None = None  #: which axis that is, where a cell has told it
    last: bool = False  #: after the last symbol only
    flat: bool = False  #: without the axis of its only answer
    spent: list[bool] = field(default_factory=lambda: [False])  #: whether it was changed in place

    @property
    def given(self) -> bool:
        """Whether it is the input still, or what was made of its numbers."""
        return self.embedding is None and not (self.before or self.recurrent)

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return 3 - self.last - self.flat


@dataclass(frozen=True, eq=False)
class _Ends:
    """The states that the cells of a module end in."""

    part: str
    flow: _Flow
    layers: int


class _Raised(Exception):
    """The code raises an exception."""


def follow(
    code: Mapping[str, bytes],
    content: object,
    tensors: Mapping[View, Array],
    constants: Sequence[object],
    found: Found,
) -> None:
    """The layers that TorchScript's code goes through, if it has any functions.

    It is followed from `forward`, as far as it is made of what layers here do: calls of modules and
    functions, what these compute, and checks of shapes.  Everything else is refused by its name,
    loops and arithmetic above all.  Which tensors are whose, only the code says.
    """
    script = _Script(code, tensors, constants)
    if not script.functions:
        return
    if not isinstance(content, Object):
        raise Refused("its code belongs to no module")
    function = script.method(content, "forward")
    require(len(function.args.args) > 1, "its forward takes no input: accepted is one, of symbols")
    _, _, *more = function.args.args
    require(
        len(more) <= len(function.args.defaults),
        f"its forward takes {1 + len(more)} inputs: accepted is one, of symbols",
    )
    try:
        value = script.call(function, [content, _Flow()])
    except _Raised:
        raise Refused("its code raises an exception") from None
    values = value if isinstance(value, tuple) else (value,)
    flows = [each for each in values if isinstance(each, _Flow)] or list(values)
    require(len(flows) == 1, f"its forward gives {len(flows)} answers: accepted is one")
    answer = _flow(flows[0])
    require(bool(answer.recurrent), "its answer comes from no RNN, GRU or LSTM")
    if answer.last:
        found.notes.append(LAST)
    found.layers = Layered(
        answer.recurrent, answer.head, answer.before, answer.embedding, answer.ended
    )


class _Script:
    """The functions of an archive, and what they are followed with."""

    def __init__(
        self,
        code: Mapping[str, bytes],
        tensors: Mapping[View, Array],
        constants: Sequence[object],
    ) -> None:
        self.functions: dict[str, ast.FunctionDef] = {}
        self._finals: dict[str, object] = {}
        self._tensors, self._constants = tensors, constants
        self._steps = self._depth = 0
        for place, text in code.items():
            require(not LONG.search(text), "its code has a number of too many digits")
            self._define(place, ast.parse(text).body)

    def _define(self, place: str, body: list[ast.stmt]) -> None:
        for each in body:
            match each:
                case ast.ClassDef(name=name):
                    self._define(f"{place}.{name}", each.body)
                case ast.FunctionDef(name=name):
                    known = f"{place}.{name}" in self.functions
                    require(not known, f"its code defines {shorten(name)} twice")
                    self.functions[f"{place}.{name}"] = each
                case ast.AnnAssign(ast.Name(name), value=ast.Constant(value)):
                    self._finals[f"{place}.{name}"] = value

    def method(self, module: Object, name: str) -> ast.FunctionDef:
        """The function that a module's class has of a name."""
        found = self.functions.get(f"{module.name}.{name}")
        if found is None:
            raise Refused(f"its code has no {shorten(f'{module.name}.{name}')}")
        return found

    # Statements

    def call(self, function: ast.FunctionDef, given: Sequence[object]) -> object:
        """What a function returns."""
        parameters = function.args.args
        defaults = [self._value(each, {}) for each in function.args.defaults]
        left = len(parameters) - len(given)
        fits = 0 <= left <= len(defaults) and not (function.args.vararg or function.args.kwarg)
        require(fits, f"its code calls {shorten(function.name)} in another way than it is made for")
        values = [*given, *defaults[len(defaults) - left :]]
        self._depth += 1
        require(self._depth <= MAX_CALLS, "its code calls itself")
        names = {each.arg: value for each, value in zip(parameters, values, strict=True)}
        returned = self._follow(function.body, names)
        self._depth -= 1
        return returned[0] if returned else None

    def _follow(self, body: list[ast.stmt], names: dict[str, object]) -> tuple[object, ...]:
        """What statements return, in a tuple; an empty one where they go on."""
        for statement in body:
            self._steps += 1
            require(self._steps <= MAX_STEPS, f"its code takes more than {MAX_STEPS:,} steps")
            match statement:
                case ast.Pass():
                    pass
                case ast.Return(value):
                    return (self._value(value, names) if value else None,)
                case ast.Expr(value):
                    self._value(value, names)
                case ast.Assign([target], value):
                    self._assign(target, self._value(value, names), names)
                case ast.AnnAssign(ast.Name() as target, value=ast.expr() as value):
                    self._assign(target, self._value(value, names), names)
                case ast.If():
                    if returned := self._branch(statement, names):
                        return returned
                case ast.For() | ast.While():
                    raise Refused(f"its code has a loop, which is not followed: {INSTEAD}")
                case other:
                    raise _unknown(ast.unparse(other).partition("\n")[0])
        return ()

    def _assign(self, target: ast.expr, value: object, names: dict[str, object]) -> None:
        match target:
            case ast.Name(name):
                names[name] = value
            case ast.Tuple(targets) if isinstance(value, tuple) and len(value) == len(targets):
                for each, part in zip(targets, value, strict=True):
                    self._assign(each, part, names)
            case other:
                raise _unknown(f"{ast.unparse(other)} = ...")

    def _branch(self, statement: ast.If, names: dict[str, object]) -> tuple[object, ...]:
        """The branch that is taken or, where that is not known, both of which one may raise."""
        condition = self._value(statement.test, names)
        if isinstance(condition, bool):
            return self._follow(statement.body if condition else statement.orelse, names)
        require(condition is _PLAIN, f"its code branches by what it computes: {INSTEAD}")
        ways = []
        for body in (statement.body, statement.orelse):
            way, depth = dict(names), self._depth
            try:
                returned = self._follow(body, way)
            except _Raised:
                self._depth = depth
            else:
                require(not returned, f"its code returns in a branch: {INSTEAD}")
                ways.append(way)
        if not ways:
            raise _Raised
        for name in ways[0].keys() & ways[-1].keys():
            one, other = ways[0][name], ways[-1][name]
            names[name] = one if one is other or _are_equal(one, other) else _OPEN
        return ()

    # Expressions

    def _value(self, expression: ast.expr, names: Mapping[str, object]) -> object:
        match expression:
            case ast.Constant(value):
                return value
            case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
                return -value
            case ast.Name(name) if name in names:
                return names[name]
            case ast.Tuple(parts) | ast.List(parts):
                return tuple(self._value(part, names) for part in parts)
            case ast.Attribute(ast.Name("CONSTANTS"), name) if name[1:].isdecimal():
                require(int(name[1:]) < len(self._constants), "its code reads a constant too many")
                return self._constants[int(name[1:])]
            case ast.Attribute() if (path := ast.unparse(expression)).startswith("__torch__."):
                return Name(path)
            case ast.Attribute(value, name):
                return self._attribute(self._value(value, names), name)
            case ast.Subscript(value, index):
                whole, place = self._value(value, names), self._value(index, names)
                if isinstance(whole, tuple) and type(place) is int and place < len(whole):
                    return whole[place]
            case ast.Call(ast.Attribute(ast.Name("torch"), "device")):
                return _PLAIN
            case ast.Call(ast.Name("getattr"), [value, ast.Constant(str() as name)]):
                return self._attribute(self._value(value, names), name)
            case ast.Call(ast.Name("unchecked_cast" | "annotate"), [_, value]):
                return self._value(value, names)
            case ast.Call(ast.Name("uninitialized")):
                return _OPEN
            case ast.Call(function, arguments, keywords):
                return self._called(function, arguments, keywords, names)
        raise _unknown(ast.unparse(expression))

    def _attribute(self, module: object, name: str) -> object:
        if isinstance(module, Object) and isinstance(module.state, dict):
            if name == "training":
                return _PLAIN
            if f"{module.name}.{name}" in self._finals:
                return self._finals[f"{module.name}.{name}"]
            if name in module.state:
                return self._kept(module.state[name])
        raise _unknown(f"its attribute {name}")

    def _kept(self, value: object) -> object:
        """What is kept in a module, with its tensors."""
        if isinstance(value, Object) and value.name.startswith("torch.jit._pickle."):
            value = value.arguments[0]  # a list, with its type
        if isinstance(value, list | tuple):
            return tuple(self._kept(each) for each in value)
        view = view_of(value)
        return self._tensors.get(view, _OPEN) if view else value

    def _called(
        self,
        function: ast.expr,
        arguments: list[ast.expr],
        keywords: list[ast.keyword],
        names: Mapping[str, object],
    ) -> object:
        given = [self._value(each, names) for each in arguments]
        said = {each.arg or "": self._value(each.value, names) for each in keywords}
        path = ast.unparse(function)
        if path.startswith(("torch.", "ops.prim.")) or path in ("int", "bool", "float"):
            return self._computed(path, given, said)
        require(not said, f"its code calls {shorten(path)} with names of arguments")
        if isinstance(function, ast.Attribute) and not path.startswith("__torch__."):
            module = self._value(function.value, names)
            if isinstance(module, Object):
                return self.call(self.method(module, function.attr), [module, *given])
            raise _unknown(path)
        callee = self._value(function, names)
        if isinstance(callee, Name) and callee.text in self.functions:
            return self.call(self.functions[callee.text], given)
        raise _unknown(path)

    def _computed(self, path: str, given: list[Any], said: dict[str, Any]) -> object:
        """What an operator of TorchScript's makes of values."""
        name = path.removeprefix("torch.").removeprefix("ops.prim.")
        match name:
            case "RaiseException":
                raise _Raised
            case "__is__" | "__isnot__" if len(given) == 2 and given[1] is None:
                if given[0] is _OPEN:
                    return _PLAIN
                return (given[0] is None) == (name == "__is__")
            case "size" | "dim" | "dtype" | "device" | "warn" | "zeros" | "new_zeros":
                return _about(name, given)
        if name in _ON_NUMBERS and all(map(_is_plain, given)):
            if any(_has_plain(each) for each in given):
                return _PLAIN
            return _ON_NUMBERS[name](*given)
        try:
            usual = {"dtype": None, "alpha": 1, "inplace": False}
            require(all(usual.get(k, k) == v for k, v in said.items()), "")
            known = name in _OPERATORS
            made = _OPERATORS[name if known else name.removesuffix("_")](*given)
        except (KeyError, TypeError, ValueError, InputError) as error:
            if isinstance(error, Refused | InputError) and str(error):
                raise
            raise _unknown(path) from None
        if not known and isinstance(made, _Flow):
            _flow(given[0]).spent[0] = True
            return replace(made, spent=[False])
        return made


def _unknown(what: str) -> Refused:
    return Refused(f"its code has {shorten(what[:MAX_NAME])}, which no layer here does: {INSTEAD}")


def _are_equal(one: object, other: object) -> bool:
    plain = not (_has_plain(one) or _has_plain(other))
    return plain and _is_plain(one) and type(one) is type(other) and one == other


def _is_plain(value: object) -> bool:
    """Whether something is no tensor, nor holds one."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or value is _PLAIN or isinstance(value, int | float | str)


def _has_plain(value: object) -> bool:
    return any(map(_has_plain, value)) if isinstance(value, tuple) else value is _PLAIN


def _about(name: str, given: list[Any]) -> object:
    """What there is to know of a tensor without its numbers; and zeros."""
    if name in ("zeros", "new_zeros"):
        return _ZERO
    value = given[0] if given else None
    if isinstance(value, np.ndarray) and name in ("size", "dim"):
        if name == "dim":
            return value.ndim
        return value.shape[given[1]] if len(given) > 1 else tuple(value.shape)
    return value.rank if isinstance(value, _Flow) and name == "dim" else _PLAIN


_ON_NUMBERS: Mapping[str, Callable[..., object]] = {
    **{f"__{n}__": getattr(operator, n) for n in ("contains",)},
    **{n: getattr(operator, n) for n in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "add", "sub")},
    "__not__": operator.not_,
    "len": len,
    "format": lambda *_: "",
    "list": lambda value: value,
    "int": lambda value: value,
    "NumToTensor": lambda value: value,
}
"""What may be done with sizes and settings, of which no answer is made."""


# What operators make of the symbols


def _flow(value: object) -> _Flow:
    """What the symbols have become; of the last states, the only layer's h."""
    if isinstance(value, _Ends):
        require(
            value.part == "h" and value.layers == 1,
            f"its code computes with a state other than the top layer's h: {INSTEAD}",
        )
        return value.flow
    if not isinstance(value, _Flow):
        raise Refused("")
    require(not value.spent[0], f"its code uses what was changed in place: {INSTEAD}")
    return value


def _alive(value: object) -> _Flow:
    """A flow that a layer can follow on."""
    flow = _flow(value)
    if flow.coded is not None and flow.given:
        require(flow.coded.ndim == 2, "its code has no axis of what symbols are written as")
        return replace(flow, embedding=flow.coded.astype(np.float32), spent=[False])
    require(not flow.ended, f"its code goes on after {flow.ended}")
    require(not flow.flat, "its code goes on with a number that has lost its axis")
    return flow


def _input(value: object) -> _Flow:
    """A flow that only how symbols are written was done to."""
    flow = _flow(value)
    require(flow.given, "")
    return flow


def _weights(value: object, rank: int) -> Array:
    """A tensor of floats."""
    fits = isinstance(value, np.ndarray) and value.ndim == rank and value.dtype.kind == "f"
    require(fits, "its code computes a layer with what is no weight")
    return np.asarray(value)


def _with(flow: _Flow, *layers: Layer) -> _Flow:
    if flow.recurrent:
        return replace(flow, head=(*flow.head, *layers), spent=[False])
    return replace(flow, before=(*flow.before, *layers), spent=[False])


def _width(flow: _Flow) -> int:
    linear = [layer.width for layer in flow.head if isinstance(layer, Linear)]
    return linear[-1] if linear else flow.recurrent[-1].hidden if flow.recurrent else 0


def _linear(x: object, weight: object, bias: object = None) -> _Flow:
    W = _weights(weight, 2).T
    b = np.zeros(W.shape[1], W.dtype) if bias is None else _weights(bias, 1)
    require(b.shape == W.shape[1:], "a linear layer's bias has another size than its weight")
    return _with(_alive(x), Linear(W, b))


def _matmul(x: object, weight: object) -> _Flow:
    return _linear(x, _weights(weight, 2).T)


def _add(x: object, bias: object) -> _Flow:
    """The bias of the linear layer before it, as older versions write it."""
    flow = _alive(x)
    layers = flow.head if flow.recurrent else flow.before
    old = layers[-1] if layers else None
    if not isinstance(old, Linear) or not isinstance(bias, np.ndarray) or old.bias.any():
        raise Refused("")
    kept = layers[:-1]
    without = replace(flow, head=kept) if flow.recurrent else replace(flow, before=kept)
    return _linear(without, old.weight.T, bias)


def _embedding(weight: object, x: object, *_: object) -> _Flow:
    flow = _input(x)
    require(flow.coded is None, "its code looks up what is no number of a symbol")
    return replace(flow, embedding=_weights(weight, 2), spent=[False])


def _one_hot(x: object, count: object) -> _Flow:
    require(type(count) is int and 0 < count <= MAX_NAME, "")
    return _embedding(np.eye(int(str(count)), dtype=np.float32), x)


def _coded(operation: Callable[[Array, int], Array]) -> Callable[[object, object], _Flow]:
    """Bits and digits of the number of a symbol."""

    def made(x: object, by: object) -> _Flow:
        flow = _input(x)
        number = by.item() if isinstance(by, np.ndarray) and by.ndim == 0 else by
        require(flow.embedding is None and type(number) is int and number > 0, "")
        return replace(flow, coded=operation(_numbers(flow), int(str(number))))

    return made


def _numbers(flow: _Flow) -> Any:
    return np.arange(MAX_SYMBOLS) if flow.coded is None else flow.coded


def _stack(values: object, axis: object) -> _Flow:
    require(isinstance(values, tuple) and bool(values) and axis in (-1, 2), "")
    assert isinstance(values, tuple)
    flows = [_input(each) for each in values]
    alike = len({flow.turned for flow in flows}) == 1
    require(alike and all(_numbers(flow).ndim == 1 for flow in flows), "")
    return replace(flows[0], coded=np.stack([_numbers(flow) for flow in flows], axis=-1))


def _activation(name: str) -> Callable[[object], _Flow]:
    return lambda x: _with(_alive(x), name)


def _softmax(name: str) -> Callable[..., _Flow]:
    def over(x: object, axis: object, dtype: object = None) -> _Flow:
        flow = _alive(x)
        require(
            axis in (-1, flow.rank - 1) and dtype is None,
            f"its code has a {name} over another axis than the answers'",
        )
        return replace(flow, ended=name)

    return over


def _dropout(x: object, p: object, training: object) -> _Flow:
    require(
        not (training is True and p), "its code drops out as in training: save it after .eval()"
    )
    return _flow(x)


def _to(x: object, dtype: object, *_: object) -> object:
    """Another type: of the input any, later float32 or float64, by their numbers in PyTorch."""
    if x is _ZERO:
        return x
    if isinstance(x, np.ndarray):
        require(dtype is _PLAIN or _TYPES.get(dtype) == x.dtype, "")
        return x
    flow = _flow(x)
    fine = flow.given or dtype in _TYPES
    require(fine, f"its code computes with another type of numbers: {INSTEAD}")
    return flow


_TYPES: Mapping[object, str] = {6: "f4", 7: "f8"}


def _same(x: object, *_: object) -> object:
    return x if x is _ZERO or isinstance(x, np.ndarray | _Ends) else _flow(x)


def _transpose(x: object, one: object = 0, other: object = 1) -> object:
    if isinstance(x, np.ndarray):
        require(x.ndim == 2, "")
        return x.T
    flow = _flow(x)
    require({one, other} == {0, 1} and not flow.last, f"its code exchanges axes: {INSTEAD}")
    time = None if flow.time is None else 1 - flow.time
    return replace(flow, turned=not flow.turned, time=time)


def _permute(x: object, axes: object) -> object:
    require(axes in ((1, 0, 2), (1, 0)), f"its code exchanges axes: {INSTEAD}")
    return _transpose(x)


def _unsqueeze(x: object, axis: object) -> object:
    if isinstance(x, np.ndarray) and type(axis) is int:
        return np.expand_dims(x, axis)
    if x is _ZERO:
        return x
    require(axis in (-1, 2), "")
    return _stack((x,), axis)


def _squeeze(x: object, axis: object) -> object:
    if isinstance(x, np.ndarray) and type(axis) is int:
        return np.squeeze(x, axis)
    if isinstance(x, _Ends):
        require(axis == 0, "")
        return _flow(x)
    flow = _flow(x)
    require(axis in (-1, flow.rank - 1) and _width(flow) == 1 and not flow.flat, "")
    return replace(flow, flat=True)


def _select(x: object, axis: object, place: object) -> _Flow:
    """The last position, the top layer's h, or the only answer."""
    part = f"its code takes a part of what it computes: {INSTEAD}"
    if isinstance(x, _Ends):
        top = x.part == "h" and axis == 0 and place in (-1, x.layers - 1)
        require(top, part)
        return x.flow
    flow = _flow(x)
    if flow.time is not None and axis == flow.time and place == -1 and not flow.last:
        return replace(flow, last=True, time=None)
    require(axis in (-1, flow.rank - 1) and place in (-1, 0) and not flow.flat, part)
    require(_width(flow) == 1 and bool(flow.head), part)
    return replace(flow, flat=True)


def _slice(
    x: object, axis: object = 0, start: object = 0, end: object = None, *step: object
) -> Any:
    whole = start in (0, None) and end in (None, 2**63 - 1) and step in ((), (1,))
    require(whole, f"its code takes a part of what it computes: {INSTEAD}")
    return _flow(x)


def _expand(x: object, sizes: object, *_: object) -> object:
    """A state for every word of a batch, of which one is kept."""
    if x is _ZERO:
        return x
    require(isinstance(x, np.ndarray) and isinstance(sizes, tuple), "")
    assert isinstance(x, np.ndarray)
    assert isinstance(sizes, tuple)
    shape = (1,) * (len(sizes) - x.ndim) + x.shape
    require(len(shape) == len(sizes) == 3 and sizes[0] in (-1, shape[0]), "")
    require(all(size in (-1, n) or n == 1 for size, n in zip(sizes, shape, strict=True)), "")
    return x.reshape(shape)


def _recurrent(kind: str) -> Callable[..., object]:
    def layers(
        x: object,
        start: object,
        weights: object,
        biases: object,
        count: object,
        dropout: object,
        training: object,
        both: object,
        first: object,
    ) -> object:
        """RNN, GRU, LSTM of several layers: what they answer, and the states that they end in."""
        flow = _alive(x)
        each = 4 if biases is True else 2
        parts = "hc" if kind == "lstm" else "h"
        states = start if isinstance(start, tuple) and kind == "lstm" else (start,)
        require(
            both is False
            and type(count) is int
            and isinstance(weights, tuple)
            and len(weights) == count * each
            and len(states) == len(parts)
            and type(first) is bool,
            "its code calls a recurrent layer that runs in both directions, has a projection, or "
            "is given more: accepted are those that run forward",
        )
        require(
            not (training is True and dropout and count != 1),
            "its code drops out as in training: save it after .eval()",
        )
        require(not (flow.last or flow.head), f"its code has a cell after other layers: {INSTEAD}")
        time = 1 if first else 0
        require(flow.time in (None, time), f"its code has two cells along two axes: {INSTEAD}")
        assert isinstance(weights, tuple)
        assert type(count) is int
        found = []
        for k in range(count):
            own = weights[k * each : (k + 1) * each]
            Wx, Wh = (_weights(w, 2).T for w in own[:2])
            zero = np.zeros(Wh.shape[1], Wh.dtype)
            b, bh = (_weights(w, 1) for w in own[2:]) if biases is True else (zero, zero)
            begins: Any = {
                part: row
                for part, state in zip(parts, states, strict=True)
                if (row := _row(state, k, count, Wh.shape[0])) is not None
            }
            if kind in _GATES:
                found.append(gated(kind, _GATES[kind], Wx, Wh, b, bh, **begins))
                continue
            H = Wh.shape[0]
            require(
                Wx.shape[1:] == Wh.shape[1:] == b.shape == bh.shape == (H,),
                f"the weights of a cell of {H} units have other sizes",
            )
            activation = kind.removeprefix("rnn_")
            found.append(elman(Wx, Wh, b, bh, activation=activation, **begins))
        made = replace(flow, recurrent=(*flow.recurrent, *found), time=time, spent=[False])
        end = replace(made, last=True, time=None, spent=[False])
        return (made, *(_Ends(part, end, count) for part in parts))

    return layers


_GATES = {"gru": "rzn", "lstm": "ifgo"}


def _row(state: object, layer: int, layers: int, H: int) -> Array | None:
    """The state that a layer begins in; None for zero."""
    if state is _ZERO:
        return None
    fits = isinstance(state, np.ndarray) and state.shape == (layers, 1, H)
    require(fits, f"its code begins in a state that it computes, or is given: {INSTEAD}")
    return _weights(state, 3)[layer, 0]


_OPERATORS: Mapping[str, Callable[..., object]] = {
    **{kind: _recurrent(kind) for kind in ("rnn_tanh", "rnn_relu", "gru", "lstm")},
    **{name: _activation(name) for name in ("relu", "tanh", "sigmoid")},
    **{name: _softmax(name.replace("_", "")) for name in ("softmax", "log_softmax")},
    **dict.fromkeys(("contiguous", "detach", "clone"), _same),
    **dict.fromkeys(("bitwise_and", "__and__"), _coded(operator.and_)),
    **dict.fromkeys(("bitwise_right_shift", "__rshift__"), _coded(operator.rshift)),
    "floor_divide": _coded(operator.floordiv),
    "remainder": _coded(operator.mod),
    **dict.fromkeys(("t", "transpose", "numpy_T"), _transpose),
    "add": _add,
    "dropout": _dropout,
    "embedding": _embedding,
    "expand": _expand,
    "linear": _linear,
    "matmul": _matmul,
    "one_hot": _one_hot,
    "permute": _permute,
    "select": _select,
    "slice": _slice,
    "squeeze": _squeeze,
    "stack": _stack,
    "to": _to,
    "unsqueeze": _unsqueeze,
}
"""What the layers here do, and what is done around them."""
