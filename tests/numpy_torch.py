"""As much of PyTorch as the lines of an export use, in NumPy, by the formulas of its documentation.

The tests do without PyTorch; where it is installed, the same lines are run by it as well.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

Array = Any


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def empty(*shape: int) -> Array:
    # PyTorch leaves what was in memory; a number that no type can hold would warn when it is cast
    return np.zeros(shape, np.float32)


class Tensor(np.ndarray):
    """An array with the method that the lines call."""

    def repeat(self, *times: int) -> Array:  # type: ignore[override]
        return np.tile(np.asarray(self), times)


class Module:
    """A module: its arrays by names, as a state dict has them."""

    def __call__(self, *given: Any) -> Any:
        return self.forward(*given)  # type: ignore[attr-defined]

    def double(self) -> "Module":
        for owner, name, _ in list(self.named()):
            setattr(owner, name, getattr(owner, name).astype(np.float64))
        return self

    def named(self, before: str = "") -> Iterator[tuple["Module", str, str]]:
        """Whose attribute, its name, and what a state dict calls it."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield from value.named(f"{before}{name}.")
            elif isinstance(value, np.ndarray):
                yield self, name, f"{before}{name}"

    def load_state_dict(self, tensors: Mapping[str, Array]) -> None:
        """As PyTorch does it where it is strict: the same names, the same shapes."""
        places = {full: (owner, name) for owner, name, full in self.named()}
        assert places.keys() == tensors.keys()
        for full, (owner, name) in places.items():
            assert getattr(owner, name).shape == tensors[full].shape, full
            # into the parameter, whose type stays what it is
            kind = getattr(owner, name).dtype
            setattr(owner, name, tensors[full].astype(kind).view(Tensor))


class Embedding(Module):
    def __init__(self, count: int, width: int) -> None:
        self.weight = empty(count, width)

    def forward(self, numbers: Array) -> Array:
        return self.weight[numbers]


class Linear(Module):
    def __init__(self, width: int, outputs: int) -> None:
        self.weight, self.bias = empty(outputs, width), empty(outputs)

    def forward(self, x: Array) -> Array:
        return x @ self.weight.T + self.bias


class ModuleDict(Module):
    """Modules by names; parameters are attributes, as those of any module."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        vars(self).update(modules)

    def __getitem__(self, name: str) -> Module:
        return vars(self)[name]


class Sequential(Module):
    def __init__(self, *modules: Module) -> None:
        vars(self).update({str(i): module for i, module in enumerate(modules)})

    def forward(self, x: Array) -> Array:
        for module in vars(self).values():
            x = module(x)
        return x


class Recurrent(Module):
    """nn.RNN, nn.GRU, nn.LSTM, of which a subclass says one step."""

    gates, parts = 1, 1

    def __init__(
        self, x: int, h: int, num_layers: int = 1, *, batch_first: bool, nonlinearity: str = "tanh"
    ) -> None:
        assert batch_first
        G = self.gates * h
        for k in range(num_layers):
            setattr(self, f"weight_ih_l{k}", empty(G, h if k else x))
            setattr(self, f"weight_hh_l{k}", empty(G, h))
            setattr(self, f"bias_ih_l{k}", empty(G))
            setattr(self, f"bias_hh_l{k}", empty(G))
        self.layers, self.h, self.nonlinearity = num_layers, h, nonlinearity

    def forward(self, x: Array, start: Any = None) -> tuple[Array, None]:
        zero = np.zeros((self.layers, len(x), self.h), x.dtype)
        starts = [zero] * self.parts if start is None else start if self.parts > 1 else [start]
        for k in range(self.layers):
            state, every = [part[k] for part in starts], []
            for t in range(x.shape[1]):
                i = x[:, t] @ self.of("weight_ih", k).T + self.of("bias_ih", k)
                r = state[0] @ self.of("weight_hh", k).T + self.of("bias_hh", k)
                of_input, of_state = (np.split(side, self.gates, axis=-1) for side in (i, r))
                state = self.step(of_input, of_state, state)
                every.append(state[0])
            x = np.stack(every, axis=1)
        return x, None

    def of(self, name: str, k: int) -> Array:
        return getattr(self, f"{name}_l{k}")

    def step(self, i: list[Array], r: list[Array], state: list[Array]) -> list[Array]:
        raise NotImplementedError


class RNN(Recurrent):
    def step(self, i: list[Array], r: list[Array], state: list[Array]) -> list[Array]:
        z = i[0] + r[0]
        return [np.tanh(z) if self.nonlinearity == "tanh" else np.maximum(z, 0)]


class GRU(Recurrent):
    gates = 3

    def step(self, i: list[Array], r: list[Array], state: list[Array]) -> list[Array]:
        reset, z = sigmoid(i[0] + r[0]), sigmoid(i[1] + r[1])
        n = np.tanh(i[2] + reset * r[2])
        return [(1 - z) * n + z * state[0]]


class LSTM(Recurrent):
    gates, parts = 4, 2

    def step(self, i: list[Array], r: list[Array], state: list[Array]) -> list[Array]:
        sums = [one + other for one, other in zip(i, r, strict=True)]
        c = sigmoid(sums[1]) * state[1] + sigmoid(sums[0]) * np.tanh(sums[2])
        return [sigmoid(sums[3]) * np.tanh(c), c]


class Tanh(Module):
    def forward(self, z: Array) -> Array:
        return np.tanh(z)


class ReLU(Module):
    def forward(self, z: Array) -> Array:
        return np.maximum(z, 0)


class Sigmoid(Module):
    def forward(self, z: Array) -> Array:
        return sigmoid(z)


@contextmanager
def in_the_place_of_torch() -> Iterator[None]:
    """`import torch` gives this module."""
    torch, nn = ModuleType("torch"), ModuleType("torch.nn")
    kinds = (Module, ModuleDict, Embedding, Linear, Sequential, RNN, GRU, LSTM, Tanh, ReLU, Sigmoid)
    vars(nn).update({kind.__name__: kind for kind in kinds}, Parameter=lambda array: array)
    vars(torch).update(nn=nn, empty=empty)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch.nn", nn)
        patch.setitem(sys.modules, "safetensors.torch", SimpleNamespace(load_file=load_file))
        yield
