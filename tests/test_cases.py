"""Networks as people have them, each trained or made by hand elsewhere: the verdicts on them.

How many of all pairs each owner's network gets right was counted by the owner's own few lines
of NumPy, step by step, with nothing of carrynet; `answers` has the rarer ones of them.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carrynet as cn
from carrynet import files, lab, tasks
from carrynet.errors import InputError
from carrynet.exchange import foreign
from carrynet.exchange.foreign import Mapping
from carrynet.exchange.source import Source
from carrynet.exchange.tensors import Contents
from carrynet.judge.evaluation import evaluate, examine
from carrynet.nets.network import Network
from carrynet.proof import search
from carrynet.proof.verdict import Proved, Undecided
from carrynet.report import text
from carrynet.runs.record import has_lost
from carrynet.spec.machine import Machine
from tests.test_cli import carrynet

pytestmark = pytest.mark.usefixtures("short_words")

FOLDER = Path(__file__).parent / "data" / "foreign"
PAIRS = 65_536  # of numbers of up to 8 digits
ASSUMED = "activation {}, bits as {}, cut at logit {}, no delay"
LAYERS = (
    "Wxh=Wx.weight.T,Whh=Wh.weight.T,bh=Wx.bias+Wh.bias,Why=Wy.weight.T,by=Wy.bias,threshold=0.5"
)
HEADLESS = (
    "Wxh=rnn.weight_ih_l0.T,Whh=rnn.weight_hh_l0.T,bh=rnn.bias_ih_l0+rnn.bias_hh_l0,"
    "Why=head.2.weight.T,by=head.2.bias"
)
COLUMNS = "Wxh=Wxh.T,Whh=Whh.T,Why=Why.T"


@dataclass(frozen=True)
class Case:
    """A file, what its owner says, and what it must come to."""

    file: str
    maps: tuple[str, ...] = ()
    said: tuple[tuple[str, Any], ...] = ()
    assumed: str = ""
    right: int = PAIRS
    digits: int = 8
    task: str = "add"
    proved: bool = True
    budget: float = 0.0
    refused: str = ""  #: what the one line has, where the owner's network cannot be taken

    def __str__(self) -> str:
        said = [*self.maps, *(f"{key}={value}" for key, value in self.said)]
        return " ".join([self.file, *said])[:60]


def case(file: str, *maps: str, said: dict[str, Any] | None = None, **outcome: Any) -> Case:
    return Case(file, maps, tuple((said or {}).items()), **outcome)


TANH, SIGMOID = ASSUMED.format("tanh", "0 and 1", 0), ASSUMED.format("sigmoid", "0 and 1", 0)
ONE_HOT = "activation tanh, one-hot vectors of all digits together, cut at logit 0, no delay"
SIGMOID_LAST = "the sigmoid at the end is left out: 1/2 after it is 0 before"
NO_ACTIVATION = "no activation around the linear layers"
TOLD = "bits as 0 and 1, cut at logit 0, no delay"
CASES = [
    case("A_karpathy_columns.npz", assumed=TANH),
    # the biases beside the matrices that are named come along
    case(
        "A_karpathy_columns.npz",
        COLUMNS,
        said={"activation": "tanh"},
        assumed="bits as 0 and 1, cut at logit 0, no delay",
    ),
    case(
        "A_karpathy_columns.npz",
        COLUMNS,
        "bh=0,by=0,logit=0",
        said={"activation": "tanh", "coding": "0/1", "delay": 0},
        right=PAIRS - 62_255,
        proved=False,
    ),
    case("B_relu.pt", assumed=ASSUMED.format("relu", "0 and 1", 0)),
    case("B_relu.pt", said={"activation": "tanh"}, refused="with activation relu instead it is"),
    case("C_general_checkpoint.pt", assumed=TANH),
    case("C_numpy_scalar.pt", assumed=TANH),
    case("C_swa_model.pt", assumed=TANH),
    case("D_hidden_head.pt", refused="none of 576 conventions gets all right"),
    case("D_hidden_head.pt", refused="perhaps it has a layer or an activation that the file does"),
    case(
        "D_hidden_head.pt",
        "logit=0",
        said={"activation": "tanh", "head": "relu", "coding": "0/1", "delay": 0},
        right=0,
        proved=False,
    ),
    case("D_hidden_head.pt", HEADLESS, refused="looks like a hidden layer before the readout"),
    case("E_concat_i2h.pt", assumed=TANH),
    case(
        "E_concat_i2h.pt",
        "Wxh=i2h.weight[:, :2].T,Whh=i2h.weight[:, 2:].T,Why=h2o.weight.T",
        assumed=TANH,
    ),
    case("E_plus_minus_one.pt", assumed=ASSUMED.format("tanh", "-1 and +1", 0), budget=60),
    case("E_one_hot_pairs.pt", assumed=ONE_HOT, proved=False),
    case("F_legacy.pth", assumed=TANH),
    case("F_torchscript.pt", assumed=TANH),
    case("F_adder.onnx", assumed=TOLD),
    case("F_flax.msgpack", assumed=TANH),
    case("F_keras.keras", assumed=f"{SIGMOID_LAST}, {TOLD}"),
    case("F_keras.weights.h5", assumed=TANH.replace("bits", f"{NO_ACTIVATION}, bits")),
    case("F_object.npz", refused="this converts it"),
    case("F_weights.npy", refused="this converts it"),
    case("F_weights.pkl", refused="this converts it"),
    case("G_whole_numbers.npz", assumed=SIGMOID),
    case("I_small_logits.pt", "threshold=0.5", assumed=TANH),
    case("I_small_logits.pt", "p=0.5", assumed=TANH.replace(" cut at logit 0,", "")),
    case("I_small_logits.pt", "logit=0.5", refused="with cut at logit 0 instead it is right"),
    case(
        "J_exact_relu.pt",
        "threshold=0.5",
        said={"activation": "relu"},
        assumed="bits as 0 and 1, cut at logit 0.5, no delay",
    ),
    case("J_exact_relu.pt", assumed=ASSUMED.format("relu", "0 and 1", 0.5)),
    case("K_three_linears.pt", LAYERS, assumed=ASSUMED.format("sigmoid", "0 and 1", 0.5)),
    case("K_three_linears.pt", assumed=ASSUMED.format("sigmoid", "0 and 1", 0.5)),
    case("L_two_steps_late.pt", refused="right on 384 of 384 sample problems when read 2 steps"),
    case("L_two_steps_late.pt", said={"delay": 0}, refused="a delay of 2 steps instead"),
    case(
        "M_base3_numbers.pt",
        assumed="activation sigmoid, digits as numbers, one number out, rounded, no delay",
        task="add:base=3",
        right=531_441,
        digits=6,
        budget=60,
    ),
]


def take(file: str, *maps: str, task: str = "add", **said: Any) -> foreign.Taken:
    contents = foreign.read(FOLDER / file)
    return foreign.take(contents, tasks.parse(task), Mapping.parse(maps), **said)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_verdict_is_on_the_owners_network_or_there_is_none(case: Case) -> None:
    if case.refused:
        with pytest.raises(InputError) as caught:
            take(case.file, *case.maps, task=case.task, **dict(case.said))
        assert case.refused in str(caught.value)
        assert str(caught.value).isprintable()
        return
    taken = take(case.file, *case.maps, task=case.task, **dict(case.said))
    assert ", ".join(taken.source.assumed) == case.assumed
    tested = evaluate(taken.network, case.digits)
    assert (tested.right, tested.digits) == (case.right, case.digits)
    verdict = search.prove(taken.network, budget=case.budget).verdict
    wanted = "proved" if case.proved else "refuted"
    assert verdict == wanted


def test_every_file_is_a_case() -> None:
    files = {path.name for path in FOLDER.iterdir()}
    assert {case.file for case in CASES} == files - {"weights.npz"}  # the truth of the readers


# The owners' own networks ------------------------------------------------------------


def answers(
    step: Callable[[Any, Any], Any], H: int, read: Callable[[Any], Any], base: int, digits: int
) -> tuple[Any, Any, Any]:
    """All pairs of numbers of so many digits, and the owner's answers to them."""
    numbers = np.arange(base**digits)
    a, b = (each.ravel() for each in np.meshgrid(numbers, numbers))
    h, answer = np.zeros((len(a), H), np.float32), np.zeros(len(a), int)
    for t in range(digits + 1):
        x = np.stack([a // base**t % base, b // base**t % base], axis=1)
        h = step(h, x)
        answer += read(h) * base**t
    return a, b, answer


def test_digits_as_numbers_answer_as_the_owners_network_does() -> None:
    w = foreign.read(FOLDER / "M_base3_numbers.pt").tensors

    def step(h: Any, x: Any) -> Any:
        z = x @ w["Wx.weight"].T + w["Wx.bias"] + h @ w["Wh.weight"].T + w["Wh.bias"]
        return (1 / (1 + np.exp(-z))).astype(np.float32)

    def read(h: Any) -> Any:
        return np.rint(h @ w["Wy.weight"].T + w["Wy.bias"])[:, 0].astype(int)

    a, b, theirs = answers(step, 16, read, 3, 4)
    assert (theirs == a + b).all()
    network = take("M_base3_numbers.pt", task="add:base=3").network
    ours = [network.compute(int(m), int(n)) for m, n in zip(a[::97], b[::97], strict=True)]
    assert ours == theirs[::97].tolist()


def test_the_owner_of_the_hidden_head_has_another_network() -> None:
    w = foreign.read(FOLDER / "D_hidden_head.pt").tensors

    def step(h: Any, x: Any) -> Any:
        z = x @ w["rnn.weight_ih_l0"].T + h @ w["rnn.weight_hh_l0"].T
        return np.tanh(z + w["rnn.bias_ih_l0"] + w["rnn.bias_hh_l0"]).astype(np.float32)

    def read(h: Any) -> Any:
        middle = np.maximum(0, h @ w["head.0.weight"].T + w["head.0.bias"])
        return (middle @ w["head.2.weight"].T + w["head.2.bias"] > 0)[:, 0].astype(int)

    a, b, theirs = answers(step, 8, read, 2, 6)
    assert not (theirs == a + b).any()


def test_one_hot_pairs_as_a_machine_of_ones_own() -> None:
    """As the refusal advises, and docs/howto/task.md tells."""
    bits = tasks.add().machine
    machine = Machine(bits.states, tuple("0123"), bits.outputs, bits.delta, bits.output)
    task = tasks.own("pairs", machine, codec=tasks.Digits(4))
    taken = foreign.take(foreign.read(FOLDER / "E_one_hot_pairs.pt"), task)
    assert taken.source.assumed[:2] == ("activation tanh", "digits as one-hot vectors")
    assert evaluate(taken.network, 8).right == 4**8


# The command -------------------------------------------------------------------------


def test_a_run_keeps_where_it_came_from(tmp_path: Path) -> None:
    file = FOLDER / "C_general_checkpoint.pt"
    done = carrynet("import", file, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^passed over .*loss", done.stderr, re.MULTILINE)
    assert f"\nassumed     {TANH}\n" in done.stderr
    source = json.loads(done.stdout)["source"]
    (folder,) = (tmp_path / "runs").iterdir()
    assert json.loads((folder / "config.json").read_text())["source"] == source
    assert source["file"] == file.name
    assert source["sha256"] == files.sha256(file.read_bytes())
    assert any("loss" in name for name in source["left_out"])
    assert source["assumed"] == TANH.split(", ")
    assert source["mapping"].startswith("Wxh=rnn.weight_ih_l0.T,Whh=")
    run = cn.load(folder)
    assert run.source == Source.from_json(source)
    card = (folder / "README.md").read_text()
    assert all(f"    {line}\n" in card for line in run.source.lines())
    # it goes with the run
    assert run.save(tmp_path / "copy").source == run.source
    assert cn.load(tmp_path / "copy").source == run.source
    again = carrynet("import", file, "--out", "again", cwd=tmp_path)
    assert f"trained     elsewhere: {file.name}\nassumed     {TANH}\n" in again.stdout


def test_hardening_is_not_advised_where_it_would_spoil(tmp_path: Path) -> None:
    # an adder of whole numbers, with a unit that counts symbols for nothing: states without end
    adder: dict[str, Any] = {
        "rnn.weight_ih_l0": [[1, 1], [1, 1], [1, 1], [0, 0]],
        "rnn.weight_hh_l0": [*([[1, -1, 0, 0]] * 3), [0, 0, 0, 1]],
        "rnn.bias_ih_l0": [0, 0, 0, 1],
        "rnn.bias_hh_l0": [-1, -2, 0, 0],
        "out.weight": [[-2, 2, 1, 0]],
    }
    adder = {name: np.array(value, np.float32) for name, value in adder.items()}
    np.savez(tmp_path / "counts.npz", **adder)
    done = carrynet("import", "counts.npz", "--map", "threshold=0.5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "undecided   neither proved nor refuted" in done.stdout
    assert "harden" not in done.stdout
    advice = re.search(r"^next +carrynet (\S+) (\S+) (--digits) (\d+) ", done.stdout, re.MULTILINE)
    assert advice is not None
    assert advice[1] == "prove"
    old = Path(advice[2])
    few = carrynet("prove", old, "--digits", 9, "--budget", 0, cwd=tmp_path)
    assert (few.returncode, "right for all numbers of up to 9 digits" in few.stdout) == (0, True)

    worse = carrynet("harden", "--set", "harden.steps=60", "--set", "again.steps=1", cwd=tmp_path)
    assert worse.returncode == 1
    line = next(line for line in worse.stdout.splitlines() if line.startswith("worse "))
    assert f"before 65,536 of 65,536): {old} stays the newest run" in line
    assert f"next        carrynet prove {old}" in worse.stdout
    document = json.loads(carrynet("add", 1, 1, "--json", cwd=tmp_path).stdout)
    assert document["run"] == str(old)
    # the worse one is there, to be asked for by name, and where there is no other
    (new,) = set((tmp_path / "runs").iterdir()) - {tmp_path / old}
    assert json.loads((new / "config.json").read_text())["worse_than"] == str(old)
    assert carrynet("evaluate", new, cwd=tmp_path).returncode == 1
    (tmp_path / old).rename(tmp_path / "elsewhere")
    document = json.loads(carrynet("evaluate", "--json", cwd=tmp_path).stdout)
    assert document["run"] == f"runs/{new.name}"


def test_what_a_hardened_run_can_have_lost(adder: Network, forgetful: Network) -> None:
    def run(network: Network, **changes: Any) -> cn.Run:
        evaluation = examine(network, 4)
        verdict = search.prove(network, budget=0)
        made = cn.Run(lab.importing(network), "numpy", network, 0.0, evaluation, verdict, ())
        return replace(made, **changes)

    proved, wrong, undecided = run(adder), run(forgetful), Undecided(("",), 0.0)
    assert isinstance(proved.proof, Proved)
    open_ = replace(proved, proof=undecided)
    mute = run(replace(adder, weights=adder.weights.replace(Why=0 * adder.weights.Why)))
    assert has_lost(open_, proved)  # a proof
    assert has_lost(wrong, open_)  # being right
    assert has_lost(mute, wrong)  # right answers
    for new, old in ((proved, open_), (proved, proved), (open_, wrong), (wrong, mute)):
        assert not has_lost(new, old)
    assert not has_lost(wrong, wrong)
    # counted over the same problems, also where the new ones are more
    longer = replace(wrong, evaluation=examine(forgetful, 6))
    assert not has_lost(longer, wrong)
    assert has_lost(replace(mute, evaluation=examine(mute.network, 6)), wrong)


def test_hardening_is_not_advised_where_the_convention_is_in_doubt(
    forgetful: Network, tmp_path: Path
) -> None:
    evaluation, verdict = examine(forgetful, 4), search.prove(forgetful, budget=0)
    run = cn.Run(lab.importing(forgetful), "numpy", forgetful, 0.0, evaluation, verdict, ())
    source = Source("a.pt", "0" * 64, "Wxh=a", (), ("activation sigmoid",))
    for assumed, advice in ((source.assumed, "carrynet import --help"), ((), "carrynet harden ")):
        doubted = replace(run, path=tmp_path, source=replace(source, assumed=assumed))
        assert f"next        {advice}" in text.summary(doubted)


def test_import_help_says_units_and_defaults(tmp_path: Path) -> None:
    text = " ".join(carrynet("import", "--help", cwd=tmp_path).stdout.split())
    for phrase in (
        "logit=0.5, where the logit exceeds 0.5, or p=0.5, where its sigmoid does",
        "0/1 or -1/+1",
        "by=0 for no bias",
        "[default: what is right on samples]",
        "a cut at logit 0 or 0.5",
        "--leave-out NAME",
    ):
        assert phrase in text


# What a file says of its own network, and what a mapping leaves out -------------------


def loaded(settings: dict[str, str | float] | None = None) -> Contents:
    """The weights of a cell of PyTorch's, and what its file says besides."""
    contents = foreign.read(FOLDER / "C_general_checkpoint.pt")
    return replace(contents, settings=settings or {})


@pytest.mark.parametrize("key", ["rnn.mode", "rnn.nonlinearity"])
def test_the_activation_that_a_file_states_is_no_assumption(key: str) -> None:
    taken = foreign.take(loaded({key: "RNN_TANH", "num_layers": 3}), tasks.add())
    assert taken.network.activation == "tanh"
    assert ", ".join(taken.source.assumed) == TANH.removeprefix("activation tanh, ")
    # and is never overruled by what would be right
    with pytest.raises(InputError, match="with activation tanh instead it is right on 384"):
        foreign.take(loaded({key: "rnn_relu"}), tasks.add())
    with pytest.raises(InputError, match="is said to be tanh, but"):
        foreign.take(loaded({key: "relu"}), tasks.add(), activation="tanh")
    with pytest.raises(InputError, match=r"is said to be 'gru', but 'rnn\.weight_hh_l0' of"):
        foreign.take(loaded({key: "GRU"}), tasks.add())


@pytest.mark.parametrize(("key", "value"), [("bidirectional", True), ("proj_size", 3)])
def test_cells_that_cannot_be_taken_are_refused_by_name(key: str, value: int) -> None:
    with pytest.raises(InputError, match=f"'rnn.{key}' is {value}"):
        foreign.take(loaded({f"rnn.{key}": value}), tasks.add())


def test_a_part_that_a_mapping_leaves_out_is_asked_about() -> None:
    wide = np.pad(loaded().tensors["readout.weight"], ((0, 0), (0, 3)), constant_values=7)
    said = Mapping.parse(["Why=readout.weight[:, :8].T"])
    contents = loaded()
    contents = replace(contents, tensors=contents.tensors | {"readout.weight": wide})
    with pytest.raises(InputError, match=r"leaves out a part of 'readout.weight' \(1, 11\)"):
        foreign.take(contents, tasks.add(), said)
    taken = foreign.take(contents, tasks.add(), said, leave_out=["readout.weight"])
    assert "readout.weight" in taken.source.left_out


K = 20.0
PAIR = {  # an adder of two units, as rows
    "Wxh": np.array([[0.1, K], [0.1, K]]),
    "Whh": np.array([[0, 0], [0.05, 0.5 * K]]),
    "bh": np.array([0.05, -1.25 * K]),
    "Why": np.array([[-5.0, 5], [0.5, -0.5]]),
    "by": np.array([0.875, -0.875]),
}


@pytest.mark.parametrize("turned", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("biases", [False, True])
def test_square_matrices_are_tried_both_ways(turned: bool, biases: bool) -> None:
    tensors = {k: w.T if turned else w for k, w in PAIR.items()}
    if turned and biases:  # which say it by themselves
        tensors |= {"bh": PAIR["bh"][:, None], "by": PAIR["by"][:, None]}
    taken = foreign.take(replace(loaded(), tensors=tensors), tasks.add())
    assert evaluate(taken.network, 8).right == PAIRS
    way = "columns" if turned else "rows"
    assert (way in taken.source.assumed) == (not (turned and biases))


def test_the_state_may_come_before_the_inputs() -> None:
    contents = foreign.read(FOLDER / "E_concat_i2h.pt")
    both = np.roll(contents.tensors["i2h.weight"], -2, axis=1)
    contents = replace(contents, tensors=contents.tensors | {"i2h.weight": both})
    taken = foreign.take(contents, tasks.add())
    assert evaluate(taken.network, 8).right == PAIRS
    assert "state before input" in taken.source.assumed
    wrong = replace(contents, tensors=contents.tensors | {"i2h.weight": -both})
    with pytest.raises(InputError, match="none of 2 mappings was right"):
        foreign.take(wrong, tasks.add())
