"""Makes the files in `layers` with PyTorch, and what PyTorch answers: `python3 make_layers.py`.

Needs PyTorch, which nothing else here does; the files were made with 2.14 on the CPU, `scripted`
with 2.15.  Weights are random: `tests/test_modules.py` compares logits, position by position.
`adder_*` have learned to add as a practitioner would let them, and are right on all pairs of
8-digit numbers.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent / "layers"
WORD = [0, 3, 1, 2, 2, 3, 3, 0, 1, 3, 0]  # symbols of `add`: the digits of a and b


class Network(nn.Module):  # type: ignore[misc]
    """Recurrent layers and a head, as one would write them."""

    def __init__(
        self,
        rnn: nn.Module,
        head: nn.Module,
        embedding: nn.Module | None = None,
        before: Any = None,
    ) -> None:
        super().__init__()
        if embedding is not None:
            self.embedding = embedding
        if before is not None:
            self.before = before
        self.rnn, self.head = rnn, head

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        """Logits (T, 1, y) of symbols (T, 1)."""
        if hasattr(self, "embedding"):
            x = self.embedding(symbols)
        else:
            x = torch.stack([symbols // 2, symbols % 2], dim=-1).to(self.dtype)
        if hasattr(self, "before"):
            x = self.before(x)
        return self.head(self.rnn(x, self.start())[0])

    @property
    def dtype(self) -> torch.dtype:
        return self.rnn.weight_hh_l0.dtype

    def start(self) -> Any:
        """What the cells begin in; None is zero."""
        if not hasattr(self, "h0"):
            return None
        return (self.h0, self.c0) if isinstance(self.rnn, nn.LSTM) else self.h0


class Cells(nn.Module):  # type: ignore[misc]
    """Cells step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.GRUCell(2, 5), nn.LSTMCell(5, 4)
        self.fc = nn.Linear(4, 1)

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        """Logits (T, 1, 1) of symbols (T, 1)."""
        h, state, logits = torch.zeros(1, 5), (torch.zeros(1, 4), torch.zeros(1, 4)), []
        for symbol in symbols:
            x = torch.stack([symbol // 2, symbol % 2], dim=-1).float()
            h = self.first(x, h)
            state = self.second(h, state)
            logits.append(self.fc(state[0]))
        return torch.stack(logits)


class Scripted(nn.Module):  # type: ignore[misc]
    """What TorchScript makes code of."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 3, padding_idx=0)
        self.rnn = nn.GRU(3, 5, num_layers=2, dropout=0.1)
        self.head = nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 1))

    def forward(self, symbols: torch.Tensor, start: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (T, 1, 1) of symbols (T, 1)."""
        states, _ = self.rnn(self.embedding(symbols), start)
        return self.head(states)


def main() -> None:
    """Write every file and the answers."""
    torch.manual_seed(0)
    HERE.mkdir(exist_ok=True)
    symbols = torch.tensor(WORD)[:, None]
    answers: dict[str, Any] = {}

    def save(name: str, model: nn.Module, content: object = None) -> None:
        answers[name] = model(symbols)[:, 0].double().tolist()
        torch.save(model.state_dict() if content is None else content, HERE / f"{name}.pt")

    def mlp(hidden: int, *between: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Linear(hidden, 6), *between, nn.Linear(6, 1))

    with torch.no_grad():
        save("gru", Network(nn.GRU(2, 5), nn.Linear(5, 1)))
        save("gru_no_bias", Network(nn.GRU(2, 5, bias=False), nn.Linear(5, 1, bias=False)))
        save("lstm", Network(nn.LSTM(2, 5), nn.Linear(5, 2)))
        save("gru_two_layers", Network(nn.GRU(2, 5, num_layers=2), nn.Linear(5, 1)))
        save("lstm_three_layers", Network(nn.LSTM(2, 4, num_layers=3), nn.Linear(4, 1)))
        save("rnn_two_layers", Network(nn.RNN(2, 4, num_layers=2), nn.Linear(4, 1)))
        save("double", Network(nn.GRU(2, 5), nn.Linear(5, 1)).double())
        save("embedding", Network(nn.LSTM(3, 5), nn.Linear(5, 1), nn.Embedding(4, 3)))
        save("padded_embedding", Network(nn.GRU(3, 5), nn.Linear(5, 1), nn.Embedding(6, 3)))
        before = nn.Linear(2, 3)
        save("before", Network(nn.GRU(3, 5), nn.Linear(5, 1), before=before))
        save("mlp", Network(nn.GRU(2, 5), mlp(5, nn.ReLU())))
        save("mlp_tanh", Network(nn.GRU(2, 5), mlp(5, nn.Tanh(), nn.Dropout(0.1)).eval()))
        save("cells", Cells())
        learned = Network(nn.LSTM(2, 5), nn.Linear(5, 1))
        learned.h0 = nn.Parameter(torch.randn(1, 1, 5))
        learned.c0 = nn.Parameter(torch.randn(1, 1, 5))
        save("learned_start", learned)
        half = Network(nn.GRU(2, 5), nn.Linear(5, 1)).half()
        state = half.state_dict()
        save("half", half.float(), state)
        half = Network(nn.GRU(2, 5), nn.Linear(5, 1)).bfloat16()
        state = half.state_dict()
        save("bfloat16", half.float(), state)
        whole = nn.Sequential(nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid())
        module = Network(nn.GRU(2, 5), whole)
        torch.save(module, HERE / "module.pt")
        module.head = whole[:-1]
        answers["module"] = module(symbols)[:, 0].double().tolist()
        traced = Network(nn.LSTM(2, 5), mlp(5, nn.Tanh()))
        answers["torchscript"] = traced(symbols)[:, 0].double().tolist()
        torch.jit.trace(traced, symbols).save(HERE / "torchscript.pt")
        lightning = Network(nn.GRU(2, 5), nn.Linear(5, 1))
        state = {f"model.{name}": tensor for name, tensor in lightning.state_dict().items()}
        content = {"epoch": 3, "state_dict": state, "pytorch-lightning_version": "2.0.0"}
        save("lightning", lightning, content | {"hyper_parameters": {"lr": 1e-3}})
        torch.save(nn.GRU(2, 5, bidirectional=True).state_dict(), HERE / "bidirectional.pt")
        torch.save(nn.LSTM(2, 5, proj_size=3).state_dict(), HERE / "projection.pt")

    for name, kind in (("adder_gru", nn.GRU), ("adder_lstm", nn.LSTM)):
        model = trained(Network(kind(2, 8), nn.Linear(8, 1)))
        with torch.no_grad():
            save(name, model)
            samples = torch.randint(4, (12, 40))
            logits = torch.movedim(model(samples), 0, 1)
        words, found = samples.T.numpy().astype("i1"), logits.numpy()
        np.savez_compressed(HERE / f"{name}_samples.npz", words=words, logits=found)

    with torch.no_grad():
        scripted = torch.jit.script(Scripted().eval())
        answers["scripted"] = scripted(symbols)[:, 0].double().tolist()
        scripted.save(HERE / "scripted.pt")

    document = {"torch": torch.__version__, "word": WORD, "logits": answers}
    (HERE / "expected.json").write_text(json.dumps(document) + "\n")


def trained(net: Network) -> Network:
    """The network after some thousand batches of random sums."""
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(2000):
        a, b = torch.randint(2**11, (2, 64))
        numbers = torch.stack([a, b, a + b])
        bits = (numbers >> torch.arange(12)[:, None, None]) & 1  # (T, 3, B)
        logits = net(2 * bits[:, 0] + bits[:, 1])[..., 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, bits[:, 2].float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    a, b = (n.ravel() for n in np.meshgrid(np.arange(256), np.arange(256)))
    places = np.arange(9)[:, None]
    words = torch.tensor(2 * (a >> places & 1) + (b >> places & 1))
    with torch.no_grad():
        bits = (net(words)[..., 0] > 0).numpy()
    assert ((bits << places).sum(axis=0) == a + b).all()
    return net


if __name__ == "__main__":
    main()
