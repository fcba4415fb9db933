"""Networks that leave in each format and come back: the same answers, and the same proof."""

from pathlib import Path

import numpy as np
import pytest

import carrynet as cn
from carrynet.errors import InputError
from carrynet.exchange import foreign
from carrynet.exchange.tensors import Contents
from carrynet.nets.cells import cell
from carrynet.nets.network import Network
from carrynet.nets.weights import initialise
from carrynet.spec.task import Task
from tests.test_cli import carrynet

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*fork.*:RuntimeWarning", "ignore::DeprecationWarning:keras.*"
)
CELLS = ["sigmoid", "gru", "gru-reset-before", "lstm", "gru,lstm"]
COMBINED = [
    *(("onnx", name) for name in CELLS),
    *(("keras", name) for name in CELLS),
    *(("pytorch", name) for name in CELLS if name != "gru-reset-before"),
    *(("safetensors", name) for name in (*CELLS, "mgu")),
]
ENDINGS = {"pytorch": "safetensors"}


def network(name: str, task: str, start: bool) -> Network:
    """A network of random weights, of which each cell's start may be learned."""
    meant = cn.tasks.parse(task)
    formula = cell("elman", name) if name == "sigmoid" else cell(name)
    weights = initialise(meant, 5, formula, learned_start=start, width=0.7, seed=3)
    rng = np.random.default_rng(7)
    moved = weights.map(lambda w: (w + 0.3 * rng.standard_normal(w.shape)).astype("float32"))
    return Network(meant, formula, moved)


def logits(net: Network, word: list[int]) -> np.ndarray:
    return np.concatenate([block for _, block in net.states(word)])


@pytest.mark.parametrize("task", ["add", "tomita:5"])
@pytest.mark.parametrize("start", [False, True], ids=["zero", "learned"])
@pytest.mark.parametrize(("to", "name"), COMBINED)
def test_what_leaves_comes_back(to: str, name: str, task: str, start: bool, tmp_path: Path) -> None:
    ours = network(name, task, start)
    file = tmp_path / f"network.{ENDINGS.get(to, to)}"
    cn.export(ours, to=to, out=file)
    words = np.random.default_rng(0).integers(ours.symbols, size=(6, 12))
    samples = {"words": words, "logits": np.array([logits(ours, w.tolist()) for w in words])}
    if to == "safetensors":
        back = cn.load(file, task=task)
        assert back.digest() == ours.digest()
        return
    if to == "keras" and start:  # its start is a layer beside the others
        with pytest.raises(InputError, match="only chains of layers are accepted"):
            cn.load(file, task=task)
        return
    # random weights are right by no reading: the samples say how the file is meant
    back = cn.load(file, task=task, samples=samples)
    for word in words.tolist():
        np.testing.assert_allclose(logits(back, word), logits(ours, word), atol=2e-5)
        assert back.transduce(word) == ours.transduce(word)


def exported(task: Task, to: str, folder: Path) -> Contents:
    """What is read of a network of a task that has left."""
    formula, file = cell("gru"), folder / f"network.{ENDINGS.get(to, to)}"
    weights = initialise(task, 3, formula, learned_start=False, width=0.7, seed=3)
    cn.export(Network(task, formula, weights), to=to, out=file)
    return foreign.read(file)


@pytest.mark.parametrize("to", ["onnx", "keras", "pytorch", "safetensors"])
def test_what_comes_back_says_its_task(to: str, tmp_path: Path) -> None:
    task, other = map(cn.tasks.parse, ("tomita:5", "parity"))
    contents = exported(task, to, tmp_path)
    assert foreign.task_of(contents, None) == task
    assert foreign.task_of(contents, other) == other


@pytest.mark.parametrize("to", ["onnx", "keras", "pytorch"])
def test_of_a_task_of_ones_own_its_file_is_asked_for(to: str, tmp_path: Path) -> None:
    task = cn.tasks.own("mine", cn.tasks.parse("tomita:5").machine)
    contents = exported(task, to, tmp_path)
    with pytest.raises(
        InputError, match=r"is of task 'mine@\w{12}', which is not built in: --task"
    ):
        foreign.task_of(contents, None)
    assert foreign.task_of(contents, task) == task


@pytest.fixture(scope="module")
def run(short_words: None) -> cn.Run:
    """A network of gates that is proved."""
    return cn.train("certified", cell="gru", hidden=8, progress=False)


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_a_proof_is_found_again_of_what_comes_back(to: str, run: cn.Run, tmp_path: Path) -> None:
    assert run.proof.verdict == "proved"
    made = cn.export(run, to=to, out=tmp_path / f"adder.{ENDINGS.get(to, to)}")
    done = carrynet("import", made.path, "--out", "back", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "assumed     " in done.stdout
    back = cn.load(tmp_path / "back")
    assert back.proof.verdict == "proved"
    assert back.network.weights.keys() == run.network.weights.keys()
    for key, array in run.network.weights.items():
        np.testing.assert_allclose(back.network.weights[key], array, rtol=1e-6)
    assert carrynet("check", "back", cwd=tmp_path).returncode == 0
    assert carrynet("add", 118, 8, "--run", "back", cwd=tmp_path).returncode == 0
