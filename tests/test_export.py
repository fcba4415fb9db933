"""Networks on their way out: what every format says, and the C header, compiled and run."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

import carrynet as cn
from carrynet import files, tasks
from carrynet.errors import InputError, RunError
from carrynet.exchange import to_c
from carrynet.exchange.formats import FORMATS
from carrynet.exchange.leaving import Standing, about
from carrynet.nets.arrays import Array
from carrynet.nets.formula import Formula
from carrynet.nets.losses import predict
from carrynet.nets.network import Network
from carrynet.nets.weights import initialise
from carrynet.spec.machine import Machine
from tests.conftest import briefly
from tests.test_cells import ALONE, STACKS, WRITTEN, example
from tests.test_check_formula import by_hand
from tests.test_cli import carrynet
from tests.test_states import EXPRESSIONS

pytestmark = pytest.mark.usefixtures("short_words")

NOTHING = Standing()
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-O1")
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def random_words(network: Network, count: int, length: int) -> NDArray[np.int64]:
    """Words (N, T), half of them slow to change."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, network.symbols, (count, length))
    stay = rng.random((count, length)) < np.resize([0.0, 0.9], count)[:, None]
    for t in range(1, length):
        words[:, t] = np.where(stay[:, t], words[:, t - 1], words[:, t])
    return words


@np.errstate(over="ignore", invalid="ignore")
def followed(network: Network, words: NDArray[np.int64]) -> tuple[Array, NDArray[np.intp]]:
    """Logits (N, T, Y) and outputs (N, T), by the network itself."""
    state = np.repeat(network.start[None], len(words), axis=0)
    logits = []
    for symbols in words.T:
        state = network.step(state, symbols)
        logits.append(network.read(state))
    every = np.stack(logits, axis=1)
    return every, predict(every)


# C ---------------------------------------------------------------------------------------

MAIN = """
#include "{name}.h"
#include <stdio.h>

int main(void) {{
    {name}_state s;
    int symbol;
    if ({name}_step(&s, -1) != -1 || {name}_step(&s, {symbols}) != -1) return 1;
    while (scanf("%d", &symbol) == 1) {{
        if (symbol < 0) {{
            {name}_start(&s);
        }} else {{
            printf("%d", {name}_step(&s, symbol));
            for (int k = 0; k < {neurons}; k++) printf(" %a", (double){name}_logits(&s)[k]);
            printf("\\n");
        }}
    }}
    return 0;
}}
"""


def compiled(
    network: Network,
    words: NDArray[np.int64],
    folder: Path,
    compiler: Sequence[str] = ("cc", "-std=c99"),
    standing: Standing = NOTHING,
) -> tuple[Array, NDArray[np.intp]]:
    """What `followed` gives, by the header of C."""
    facts = about(network, standing, to_c.ARITHMETIC)
    (folder / "net.h").write_bytes(to_c.written(network, Path("net.h"), facts).data)
    Y = network.task.neurons
    (folder / "main.c").write_text(MAIN.format(name="net", symbols=network.symbols, neurons=Y))
    build = [*compiler, *STRICT, "main.c", "-o", "main", "-lm"]
    made = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    given = "\n".join("-1 " + " ".join(map(str, word)) for word in words.tolist())
    done = subprocess.run(
        [folder / "main"], input=given, capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    outputs = np.array([int(row[0]) for row in rows]).reshape(words.shape)
    logits = [[float.fromhex(text) for text in row[1:]] for row in rows]
    return np.array(logits).reshape(*words.shape, Y), outputs


@needs_cc
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*ALONE, *STACKS, *WRITTEN])
def test_c_computes_what_the_network_does(name: str, dtype: str, tmp_path: Path) -> None:
    other = dtype == "float64"
    layers = other and name != "own"  # whose weights are called alike
    network, *_ = example(name, "argmax" if other else "bits", layers=layers, learned=other)
    network = network.astype(dtype)
    words = random_words(network, 40, 20)
    logits, outputs = followed(network, words)
    theirs, answered = compiled(network, words, tmp_path)
    scale = np.abs(logits).max()
    np.testing.assert_allclose(theirs / scale, logits / scale, atol=1e-13 if other else 1e-5)
    # within rounding of a tie either answer may come out
    close = np.abs(theirs - logits).max() * 10
    sorted_ = np.sort(logits, axis=-1)
    margin = np.abs(logits[..., 0]) if not other else sorted_[..., -1] - sorted_[..., -2]
    assert (answered == outputs)[margin > close].all()
    assert (margin > close).mean() > 0.9


@needs_cc
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_answers_of_a_right_network_are_right_in_c(cell: str, tmp_path: Path) -> None:
    network = by_hand(tasks.add(), cell)
    words = random_words(network, 200, 100)
    _, outputs = followed(network, words)
    _, answered = compiled(network, words, tmp_path)
    assert (answered == outputs).all()
    expected = [network.task.machine.transduce(word) for word in words.tolist()]
    assert (answered == np.array(expected)).all()


@needs_cc
@settings(max_examples=25)
@given(EXPRESSIONS, EXPRESSIONS, st.integers(0, 2**32))
def test_c_of_any_formula(
    tmp_path_factory: pytest.TempPathFactory, u: str, h: str, seed: int
) -> None:
    text = f"state = h, c\nu = {u}\nc = tanh({u} + x @ Wxc)\nh = u + {h} + h @ Whh"
    try:
        formula = Formula.parse(text)
    except InputError:
        return
    task = tasks.compare(base=3)
    rng = np.random.default_rng(seed)
    shaped = initialise(task, 3, formula, dtype="float64", learned_start=True)
    network = Network(task, formula, shaped.map(lambda w: rng.uniform(-0.5, 0.5, w.shape)))
    words = random_words(network, 4, 4)
    with np.errstate(all="ignore"):
        logits, _ = followed(network, words)
    theirs, _ = compiled(network, words, tmp_path_factory.mktemp("c"))
    finite = np.isfinite(logits) & (np.abs(logits) < 1e6)
    np.testing.assert_allclose(theirs[finite], logits[finite], rtol=1e-9, atol=1e-9)


@needs_cc
def test_names_end_no_comment_and_numbers_come_back(tmp_path: Path) -> None:
    """In C++ as well, where there is a compiler: letters of any alphabet, signs of C, extremes."""
    symbols = ("*/ int", "/* ??/", "é\\", "#endif")
    delta, output = ((0,) * 4,), ((0, 1, 0, 1),)
    machine = Machine(("only",), symbols, ('"', "//"), delta, output)
    task = tasks.own("odd", machine)
    text = """
        state = int, float_
        int = tanh(x @ Wé + wé * int - -0.5 * int) * float_
        float_ = relu(int @ W)
    """
    formula = Formula.parse(text)
    rng = np.random.default_rng(0)
    weights = initialise(task, 5, formula).map(
        lambda w: rng.uniform(-1, 1, w.shape).astype(np.float32)
    )
    extremes = [1e-45, -3.4028235e38, 1.17549435e-38, -0.0, 16777216.0]
    weights = weights.replace(wé=np.array(extremes, np.float32))
    network = Network(task, formula, weights)
    words = random_words(network, 8, 8)
    logits, _ = followed(network, words)
    standing = Standing("refuted", "wrong for */ ??/ \\")
    theirs, _ = compiled(network, words, tmp_path, standing=standing)
    np.testing.assert_allclose(theirs, logits, rtol=1e-5)
    if shutil.which("c++"):
        compiled(network, words, tmp_path, ("c++", "-std=c++11", "-x", "c++"), standing)
    text = (tmp_path / "net.h").read_text()
    (row,) = [line for line in text.splitlines() if "1e-45" in line]
    numbers = [np.float32(number.rstrip("f")) for number in row.strip(" {},").split(", ")]
    assert np.array(numbers).tobytes() == np.array(extremes, np.float32).tobytes()


@needs_cc
def test_the_program_of_the_how_to_adds(tmp_path: Path) -> None:
    page = Path(__file__).parents[1] / "docs" / "howto" / "microcontroller.md"
    (program,) = re.findall(r"^```c\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "main.c").write_text(program)
    cn.export(by_hand(tasks.add(), "gru"), to="c", out=tmp_path / "adder.h")
    build = ["cc", "-std=c99", *STRICT, "main.c", "-o", "main", "-lm"]
    subprocess.run(build, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    assert done.stdout == "118 + 8 = 126\n"


# What goes along -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs that are proved, refuted and undecided."""
    cwd = tmp_path_factory.mktemp("runs")
    proved = briefly("certified", hidden=8)
    assert isinstance(proved.proof, cn.Proved)
    proved.save(cwd / "proved")
    wrong = briefly("tutorial", hidden=4, steps=20)
    assert isinstance(wrong.proof, cn.Refuted)
    wrong.save(cwd / "refuted")
    return cwd


def test_what_is_proved_goes_along(runs: Path) -> None:
    run = cn.load(runs / "proved")
    made = cn.export(run, to="c", out=runs / "with.h")
    assert isinstance(run.proof, cn.Proved)
    said = " ".join((runs / "with.h").read_text().split())
    sha256 = files.sha256((runs / "proved" / "certificate.json").read_bytes())
    for words in (run.proof.certificate.claim, run.network.digest(), sha256, "-ffast-math"):
        assert " ".join(words.split()) in said
    assert made.sha256 == files.sha256((runs / "with.h").read_bytes())
    assert made.about["certificate_sha256"] == sha256
    with pytest.raises(InputError, match="exists: choose another"):
        cn.export(run, to="c", out=runs / "with.h")
    again = cn.export(run, to="c", out=runs / "with.h", force=True)
    assert again.sha256 == made.sha256


def test_so_does_what_is_not(runs: Path) -> None:
    run = cn.load(runs / "refuted")
    assert isinstance(run.proof, cn.Refuted)
    made = cn.export(run, to="c", out=runs / "wrong.h")
    said = " ".join((runs / "wrong.h").read_text().split())
    assert "verdict refuted claim It is wrong for" in said
    assert f"answers {run.proof.answered} and not {run.proof.expected}" in said
    assert "certificate" not in said
    assert made.about["arithmetic"] == ""
    cn.export(run.network, to="c", out=runs / "alone.h")
    assert "verdict none claim Nobody has asked" in " ".join((runs / "alone.h").read_text().split())


def test_carrynets_own_file_has_the_runs_weights_and_its_claim(runs: Path) -> None:
    done = carrynet("export", "proved", "--to", "safetensors", "--json", cwd=runs)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["file"] == "proved.safetensors"
    data = (runs / "proved.safetensors").read_bytes()
    assert (document["sha256"], document["bytes"]) == (files.sha256(data), len(data))
    weights, said = files.read_tensors(runs / "proved.safetensors")
    own, own_said = files.read_tensors(runs / "proved" / "model.safetensors")
    assert {name: w.tobytes() for name, w in weights.items()} == {
        name: w.tobytes() for name, w in own.items()
    }
    exported = said.pop(files.EXPORTED)
    assert said == own_said
    assert exported == document["about"]
    certificate = (runs / "proved" / "certificate.json").read_bytes()
    assert exported["certificate_sha256"] == files.sha256(certificate)
    assert exported["verdict"] == "proved"
    (runs / "a b").mkdir()
    elsewhere = carrynet(*("export", "proved", "--to", "safetensors"), "--out", "a b/c", cwd=runs)
    assert elsewhere.stdout.splitlines()[-1].endswith("carrynet import 'a b/c'")
    again = carrynet(*("import", "a b/c", "--out", "again", "--digits", 3), cwd=runs)
    assert again.returncode == 0, again.stderr
    digests = {cn.load(runs / name).network.digest() for name in ("proved", "again")}
    assert len(digests) == 1
    # in the run's place it is the same network to the checker, which believes nothing else of it
    shutil.copytree(runs / "proved", runs / "copied")
    shutil.copy(runs / "proved.safetensors", runs / "copied" / "model.safetensors")
    checked = carrynet("check", "copied", "--json", cwd=runs)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["valid"]


# The command -----------------------------------------------------------------------------


def test_the_command_says_what_it_wrote_and_how_that_is_used(runs: Path) -> None:
    done = carrynet("export", "proved", "--to", "c", "--out", "my adder.h", cwd=runs)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    data = (runs / "my adder.h").read_bytes()
    assert lines[0] == f"wrote       my adder.h, {len(data):,} bytes"
    assert lines[1] == f"sha256      {files.sha256(data)}"
    assert lines[2].startswith("proved      ")
    assert lines[4] == "bytes       constants 420, state 36, stack 72"  # numbers of 4 each
    assert lines[5] == 'use         #include "my adder.h"'
    assert "my_adder_step" in done.stdout
    refused = carrynet("export", "proved", "--to", "c", "--out", "my adder.h", cwd=runs)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "carrynet: 'my adder.h' exists: choose another --out, or replace it by --force\n"
    )
    forced = carrynet("export", "proved", "--to", "c", "--out", "my adder.h", "--force", cwd=runs)
    assert forced.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("proved",), "Missing option '--to'"),
        (("proved", "--to", "tflite"), "'tflite' is not one of"),
        (("nowhere", "--to", "c"), "nowhere"),
        (("proved", "--to", "c", "--out", "no/such/folder.h"), "cannot write no/such/folder.h"),
        (("proved", "--to", "c", "--out", "proved", "--force"), "it is a folder"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    runs: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = carrynet("export", *arguments, cwd=runs)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_a_file_is_whole_or_absent(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    run = cn.load(runs / "proved")
    cn.export(run, to="c", out=runs / "kept.h")
    before = (runs / "kept.h").read_bytes()
    names = {path.name for path in runs.iterdir()}
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(RunError, match="No space left"):
        cn.export(run, to="safetensors", out=runs / "kept.h", force=True)
    assert (runs / "kept.h").read_bytes() == before
    assert {path.name for path in runs.iterdir()} == names


def test_a_file_is_named_after_its_run_or_its_task(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = cn.load(runs / "proved")
    monkeypatch.chdir(tmp_path)
    assert cn.export(run, to="c").path == Path("proved.h")
    assert cn.export(run.network, to="safetensors").path == Path("add.safetensors")
    network = by_hand(tasks.compare(base=3), "gru")
    assert cn.export(network, to="c").path == Path("compare-base-3.h")
    assert "compare_base_3_step" in Path("compare-base-3.h").read_text()


def test_every_format_is_named_in_the_help() -> None:
    done = carrynet("export", "--help", cwd=Path.cwd())
    assert done.returncode == 0
    for to, (_, what) in FORMATS.items():
        assert f"{to}, {what}" in " ".join(done.stdout.split())
    with pytest.raises(InputError, match="unknown format 'safetensor': did you mean"):
        cn.export(by_hand(tasks.add(), "gru"), to="safetensor")
