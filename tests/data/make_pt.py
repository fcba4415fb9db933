"""Makes the PyTorch files beside it, and what PyTorch answers with them: `python3 make_pt.py`.

Needs PyTorch, which nothing else here does; the files were made with 1.13.  The answers in
`expected.json` are the independent oracle of `tests/test_foreign.py`.
"""

import json
from collections import OrderedDict
from pathlib import Path

import torch

HERE = Path(__file__).parent
WORD = [0, 3, 1, 2, 2, 3, 3, 0, 1, 3, 0]  # symbols of `add`: the digits of a and b


class Adder(torch.nn.Module):  # type: ignore[misc]
    """A network as one would write it in PyTorch."""

    def __init__(self, outputs: int = 1, nonlinearity: str = "tanh", bias: bool = True) -> None:
        super().__init__()
        self.rnn = torch.nn.RNN(2, 5, nonlinearity=nonlinearity, bias=bias)
        self.fc = torch.nn.Linear(5, outputs, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (T, outputs) of digits (T, 2)."""
        states, _ = self.rnn(x[:, None])
        return self.fc(states[:, 0])


def main() -> None:
    """Write every file and the answers."""
    torch.manual_seed(0)
    x = torch.tensor([[symbol // 2, symbol % 2] for symbol in WORD], dtype=torch.float32)
    answers = {}

    def save(name: str, content: object, logits: torch.Tensor, **options: object) -> None:
        torch.save(content, HERE / f"{name}.pt", **options)
        answers[name] = logits.double().tolist()

    with torch.no_grad():
        model = Adder()
        save("state_dict", model.state_dict(), model(x))
        save("protocol4", model.state_dict(), model(x), pickle_protocol=4)
        save("legacy", model.state_dict(), model(x), _use_new_zipfile_serialization=False)

        model = Adder(nonlinearity="relu", bias=False)
        save("relu_no_bias", model.state_dict(), model(x))

        model = Adder(outputs=2)
        save("two_logits", {"epoch": 3, "note": "?", "model": model.state_dict()}, model(x))

        model = Adder()
        save("parameters", dict(model.named_parameters()), model(x))

        model = Adder().double()
        save("double", model.state_dict(), model(x.double()))

        model = Adder().half()
        state = model.state_dict()
        save("half", state, model.float()(x))

        model = Adder().bfloat16()
        state = model.state_dict()
        save("bfloat16", state, model.float()(x))

        # carrynet's own names: transposed views, and slices of one storage at offsets
        model = Adder()
        state = model.state_dict()
        biases = torch.cat([torch.zeros(3), state["rnn.bias_ih_l0"] + state["rnn.bias_hh_l0"]])
        views = OrderedDict(
            Wxh=state["rnn.weight_ih_l0"].T,
            Whh=state["rnn.weight_hh_l0"].T,
            bh=biases[3:],
            Why=state["fc.weight"].T,
            by=state["fc.bias"],
        )
        save("views", views, model(x))

    # a checkpoint with the state of an optimiser
    model = Adder()
    optimiser = torch.optim.Adam(model.parameters())
    model(x).square().sum().backward()
    optimiser.step()
    checkpoint = {"state_dict": model.state_dict(), "optimizer": optimiser.state_dict()}
    save("checkpoint", checkpoint, model(x).detach())

    # what must be refused
    torch.save(torch.nn.LSTM(2, 5).state_dict(), HERE / "lstm.pt")
    torch.save(torch.nn.GRU(2, 5).state_dict(), HERE / "gru.pt")
    torch.save(torch.nn.RNN(2, 5, num_layers=2).state_dict(), HERE / "two_layers.pt")
    torch.save(torch.nn.RNN(2, 5, bidirectional=True).state_dict(), HERE / "bidirectional.pt")
    torch.save(torch.nn.RNN(2, 5), HERE / "module.pt")

    document = {"torch": torch.__version__, "word": WORD, "logits": answers}
    (HERE / "expected.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
