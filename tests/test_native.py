"""Machine code: its cache, what it calls, and the memory it touches.

That it computes what NumPy does is tested with the engines.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carrynet import engines, tasks
from carrynet.data import words as problems
from carrynet.engines import jit, kernels, native, packed, reference
from carrynet.engines.kernels import KERNELS, Closing, Formulas, Layout, Shape
from carrynet.judge import evaluation
from carrynet.learn import edges, training
from carrynet.nets import invariant
from carrynet.nets.network import Network
from carrynet.spec.recipe import RECIPES, Recipe
from tests.conftest import started

SMALL = Shape(lanes=8, hidden=5, inputs=2, active=2, outputs=1, loss="squared", optimiser="sgd")


OWN = "state = h, m; g = sigmoid(x @ Wxg + h @ Whg + bg); m = m * g + tanh(x @ Wxm) - 0.5 * g; "
OWN += "h = relu(m @ Wm + b) * w"
"""A cell of one's own, with a state of two parts and products of two of its values."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of object files, and nothing loaded yet."""
    monkeypatch.setenv("CARRYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(jit, "_loaded", {})
    return tmp_path / "cache"


def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels that are built from now on."""
    names: list[str] = []
    original = jit.build

    def build(kernel: str, shape: Shape) -> bytes:
        names.append(kernel)
        return original(kernel, shape)

    monkeypatch.setattr(jit, "build", build)
    return names


def train_a_little() -> str:
    assert native.refuses(Recipe(hidden=5)) is None  # and its probe, if any, is not counted
    jit.forget()
    recipe = RECIPES["tutorial"].with_settings({"hidden": 5, "steps": 50})
    return training.fit(recipe, engine="native").digest()


def test_a_kernel_is_built_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.refuses(Recipe(hidden=5)) is None
    names = built(monkeypatch)
    first = train_a_little()
    assert names == ["train"]
    assert [file.suffix for file in cache.glob("train-*")] == [".o"]
    assert train_a_little() == first
    assert names == ["train"]
    assert cache.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "foreign", "another", "writable"])
def test_what_is_wrong_with_the_cache_is_built_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    first = train_a_little()
    (file,) = cache.glob("train-*")
    whole = file.read_bytes()
    if damage == "empty":
        file.write_bytes(b"")
    elif damage == "half":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        file.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    elif damage == "foreign":
        file.write_bytes(os.urandom(len(whole)))
    elif damage == "another":  # whole, but made for another shape
        key = jit._key("train", SMALL)
        file.write_bytes(jit._seal(key, whole[32:]) + whole[32:])
    else:
        file.chmod(0o666)
    names = built(monkeypatch)
    assert train_a_little() == first
    assert names == ["train"]
    assert file.read_bytes() == whole
    assert file.stat().st_mode & 0o077 == 0


def test_the_key_holds_everything_that_code_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {jit._key("train", SMALL), jit._key("walk", SMALL)}
    for field, value in {"hidden": 6, "lanes": 4, "biases": False, "activation": "tanh"}.items():
        keys.add(jit._key("train", Shape(**{**vars(SMALL), field: value})))
    machine = jit.processor()
    for field in ("cpu", "features", "triple"):
        other = jit.Processor(**{**vars(machine), field: "other"})
        monkeypatch.setattr(jit, "processor", lambda other=other: other)
        keys.add(jit._key("train", SMALL))
    monkeypatch.setattr(jit, "_generator", lambda: "another version")
    keys.add(jit._key("train", SMALL))
    assert len(keys) == 2 + 4 + 3 + 1


def test_whatever_kernels_import_is_in_the_key() -> None:
    sources = jit._sources()
    folder = Path(str(kernels.__file__)).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("carrynet."):
                parts = str(node.module).split(".")[1:]
                found = folder.parents[1].joinpath(*parts).with_suffix(".py")
                assert found in sources or folder in (found.parent, found.with_suffix("")), found


@pytest.mark.parametrize("place", ["/proc/none", "/dev/null/none"])
def test_it_works_without_a_cache(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    expected = train_a_little()
    monkeypatch.setenv("CARRYNET_CACHE", place)
    assert train_a_little() == expected


def test_many_processes_may_fill_the_cache_at_once(tmp_path: Path) -> None:
    script = (
        "from carrynet.learn import training\nfrom carrynet.spec.recipe import RECIPES\n"
        "print(training.fit(RECIPES['tutorial'].with_settings("
        "{'hidden': 5, 'steps': 50}), engine='native').digest())"
    )
    environment = {**os.environ, "CARRYNET_CACHE": str(tmp_path / "cache")}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started(sys.executable, "-c", script, env=environment, stdout=-1))
            for _ in range(4)
        ]
        assert {process.communicate()[0] for process in processes} == {train_a_little() + "\n"}
    names = sorted(file.name.partition("-")[0] for file in (tmp_path / "cache").iterdir())
    assert names == ["peak", "train"]


def test_threads_may_train_at_once(cache: Path) -> None:
    recipe = RECIPES["tutorial"].with_settings({"hidden": 5, "steps": 300})
    alone = [training.fit(recipe.with_settings({"seed": seed})).digest() for seed in range(8)]
    jit.forget()
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(
            lambda seed: training.fit(recipe.with_settings({"seed": seed})).digest(), range(8)
        )
        assert list(together) == alone


def assembly(kernel: str, shape: Shape | Formulas | Closing) -> str:
    target = jit._target_machine()
    return str(target.emit_assembly(jit.module(kernel, shape)))


@pytest.mark.parametrize("kernel", sorted(KERNELS.keys() - {"formula_train", "closing"}))
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_code_calls_nothing_but_itself(kernel: str, activation: str, outputs: int) -> None:
    readout = "bits" if outputs == 1 else "argmax"
    shape = Shape(
        lanes=jit.processor().lanes,
        hidden=17,
        inputs=6,
        active=2,
        outputs=outputs,
        activation=activation,
        loss="cross-entropy",
        readout=readout,
        optimiser="adam",
    )
    assert called(kernel, shape) - {kernel, "memset", "memcpy"} == set()


@pytest.mark.parametrize("kernel", ["formula_train", "walk", "follow", "wander"])
@pytest.mark.parametrize("task", ["add", "add:base=3"])
def test_nor_does_that_of_formulas(kernel: str, task: str) -> None:
    recipe = RECIPES["plain-adam"].with_settings({"cell": OWN, "hidden": 17, "task": task})
    shape = packed.formulas(training.start(recipe).network, recipe, recipe.stages[0])
    assert called(kernel, shape) - {kernel, "memset", "memcpy"} == set()


@pytest.mark.parametrize("task", ["add", "add:base=3"])
def test_nor_where_the_worst_case_is_bounded(task: str) -> None:
    recipe = along_words({"cell": "lstm", "hidden": 17, "task": task})
    shape = packed.formulas(training.start(recipe).network, recipe, recipe.stages[0])
    assert shape.worst
    assert called("formula_train", shape) - {"formula_train", "memset", "memcpy"} == set()


def called(kernel: str, shape: Shape | Formulas | Closing) -> set[str]:
    """The functions that a kernel calls."""
    return set(re.findall(r"\b(?:call\w*|jmp|bl)[ \t]+([A-Za-z_]\w*)", assembly(kernel, shape)))


def across_lanes(*cases: tuple[Sequence[int], dict[str, object]]) -> pytest.MarkDecorator:
    """Settings, each with the widths of vectors that a test tries them with.

    Code for formulas takes long to be compiled, and asks its width only how many columns and
    registers that makes: not every cell is tried with each.
    """
    pairs = [(lanes, settings) for several, settings in cases for lanes in several]
    return pytest.mark.parametrize(("lanes", "settings"), pairs, ids=str)


def with_lanes(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    machine = jit.processor()
    native._shared.cache_clear()
    monkeypatch.setattr(
        jit, "processor", lambda: jit.Processor(**{**vars(machine), "lanes": lanes})
    )


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("task", ["add", "add:base=3"])
def test_vectors_of_other_widths(
    monkeypatch: pytest.MonkeyPatch, lanes: int, name: str, task: str
) -> None:
    # fewer over edges: where a box closes its gradient jumps, and roundings part
    stages = RECIPES[name].stages
    steps = {f"{stage.name}.steps": 60 if stage.over == "problems" else 15 for stage in stages}
    steps |= {f"{stage.name}.again": 1 for stage in stages if stage.again}
    as_by_numpy(
        RECIPES[name].with_settings({"hidden": 13, "task": task, **steps}), lanes, monkeypatch
    )


# columns that are an even number, and an odd one; of 16 lanes they are as many for both
@pytest.mark.parametrize(("lanes", "hidden"), [(4, 133), (4, 137), (8, 133), (8, 137), (16, 133)])
@pytest.mark.parametrize("name", ["tutorial", "certified"])
def test_columns_of_wide_networks(
    monkeypatch: pytest.MonkeyPatch, lanes: int, hidden: int, name: str
) -> None:
    few = {f"{stage.name}.steps": 12 for stage in RECIPES[name].stages}
    recipe = RECIPES[name].with_settings({"hidden": hidden, "task": "add:base=3", **few})
    as_by_numpy(recipe, lanes, monkeypatch)


def as_by_numpy(recipe: Recipe, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train and judge with vectors of some width as the NumPy engine does."""
    expected = training.fit(recipe, engine="numpy")
    with_lanes(monkeypatch, lanes)
    network = training.fit(recipe, engine="native")
    for ours, theirs in zip(network.weights.values(), expected.weights.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    one, other = (evaluation.evaluate(network, 4, engine=engine) for engine in ("native", "numpy"))
    assert (one.right, one.wrong) == (other.right, other.wrong)
    assert one.margin == pytest.approx(other.margin, rel=1e-4)
    native._shared.cache_clear()


@across_lanes(
    ([4, 8, 16], {"cell": "gru", "hidden": 13, "task": "add:base=3"}),
    (
        [4, 16],
        {"cell": OWN, "hidden": 33, "readout": "v = tanh(h @ V + bv); logits = v @ W + bw"},
    ),
    ([8], {"cell": "lstm,elman", "hidden": 16, "start": "learned"}),
)
def test_vectors_of_other_widths_for_formulas(
    monkeypatch: pytest.MonkeyPatch, lanes: int, settings: dict[str, object]
) -> None:
    recipe = RECIPES["plain-adam"].with_settings({"steps": 12, "batch": 9, **settings})
    expected = training.fit(recipe, engine="numpy")
    with_lanes(monkeypatch, lanes)
    network = training.fit(recipe, engine="native")
    for ours, theirs in zip(network.weights.values(), expected.weights.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    one, other = (evaluation.evaluate(network, 3, engine=engine) for engine in ("native", "numpy"))
    assert (one.right, one.wrong) == (other.right, other.wrong)
    assert one.margin == pytest.approx(other.margin, rel=1e-4)
    native._shared.cache_clear()


@pytest.mark.parametrize("hidden", [1, 8, 17, 33, 64, 100, 256])
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_parameters_are_packed_and_unpacked(hidden: int, lanes: int) -> None:
    recipe = Recipe(hidden=hidden, task="add:base=3", digits=4, biases=True)
    network = training.start(recipe).network
    weights = network.weights.replace(bh=np.arange(hidden, dtype=np.float32))
    shape = Shape(lanes, hidden, network.task.inputs, 2, network.task.neurons)
    layout = Layout(shape)
    assert layout.width % max(8, lanes) == 0
    assert layout.width >= hidden
    flat = packed.pack(weights, layout)
    assert np.count_nonzero(flat) == sum(np.count_nonzero(w) for w in weights.values())
    for one, other in zip(
        packed.unpack(flat, layout, hidden).values(), weights.values(), strict=True
    ):
        assert (one == other).all()


def test_arrays_of_the_wrong_kind_are_refused() -> None:
    layout = Layout(SMALL)
    function = jit.function("follow", SMALL)
    good = {
        name: np.zeros(max(4096, layout.size), kind)
        for name, kind in KERNELS["follow"].parameters.arrays.items()
    }
    none = {"N": 0, "T": 0, "S": 4}
    function(**good, **none)  # no words: nothing is touched
    for name, array in good.items():
        for wrong in (array.astype(np.float64), array[::2], array.byteswap().view(">u1")):
            with pytest.raises(ValueError, match="a kernel takes contiguous"):
                function(**{**good, name: wrong}, **none)
    with pytest.raises(TypeError, match=r"kernel follow is called with or without N, n$"):
        function(**good, n=0, T=0, S=4)


GUARDED = """
import ctypes, sys
import numpy as np
from carrynet.data import words as problems
from carrynet.judge import evaluation
from carrynet.learn import training
from carrynet import engines, tasks
from carrynet.engines import jit, native, packed
from carrynet.spec.recipe import RECIPES, Recipe

libc, page = ctypes.CDLL(None, use_errno=True), 4096
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
kept = []

def guarded(size, dtype=np.float32):
    '''Zeros whose spare room ends where a page begins that must not be touched.'''
    bytes_ = (size + packed._SPARE) * np.dtype(dtype).itemsize
    room = -(-bytes_ // page) * page
    start = libc.mmap(None, room + 2 * page, 3, 0x22, -1, 0)
    assert libc.mprotect(start, page, 0) == 0  # before it too, at some distance
    assert libc.mprotect(start + page + room, page, 0) == 0
    raw = (ctypes.c_uint8 * bytes_).from_address(start + page + room - bytes_)
    return np.frombuffer(raw, np.uint8)[: size * np.dtype(dtype).itemsize].view(dtype)

from carrynet.proof import grown
from carrynet.engines import edges
packed.buffer = native.buffer = grown.buffer = edges.buffer = guarded
lanes = int(sys.argv[1])
machine = jit.processor()
jit.processor = lambda: jit.Processor(**{**vars(machine), "lanes": lanes})
every = lanes == 16  # of formulas, which take long to be compiled, each narrower width has some
for settings in (
    {"hidden": 1, "digits": 2}, {"hidden": 17}, {"hidden": 33, "batch": 5}, {"hidden": 32},
    {"hidden": 9, "task": "add:base=3", "optimiser": "adam", "batch": 3},
    {"hidden": 5, "task": "add:base=16", "loss": "cross-entropy", "batch": 2, "biases": True},
    {"hidden": 40, "task": "compare", "loss": "cross-entropy", "digits": 1},
    *[
        {"hidden": 1, "cell": "gru", "digits": 2},
        {"hidden": 33, "cell": "gru-reset-before", "task": "add:base=3", "start": "learned"},
    ] * (every or lanes == 4),
    *[
        {"hidden": 17, "cell": "lstm,elman", "batch": 5},
        {"hidden": 16, "cell": "elman", "task": "compare", "optimiser": "adam", "batch": 3,
         "biases": True, "readout": "v = tanh(h @ V + bv); logits = v @ W + bw"},
    ] * (every or lanes == 8),
):
    recipe = RECIPES["tutorial"].with_settings({"steps": 20, **settings})
    network = training.fit(recipe, engine="native")
    assert native.refuses(network) is None
    if settings.get("cell", "elman") != "elman":
        worst = {"biases": True, "worst": 0.5, "slack": 0.2, "loss": "cross-entropy"}
        training.fit(recipe.with_settings({**worst, "digits": 3}), engine="native", reports=1)
    digits = evaluation.affordable_digits(network.task, 5, 2**12)
    evaluation.evaluate(network, digits, engine="native")
    evaluation.sample(network, 9, pairs=13, engine="native")
    h, state = np.repeat(network.start[None], 7, axis=0), np.zeros(7, np.int32)
    native.wander(network, h, state, np.zeros((7, 9), np.int64))
for settings in (
    *[{"hidden": 1}, {"hidden": 9, "cell": "lstm", "task": "cycle:5", "close.batch": 7}]
    * (every or lanes == 8),
    *[{"hidden": 17, "task": "add:base=3", "start": "learned"}] * (every or lanes == 4),
):
    own = {key: settings.pop(key) for key in ("cell", "task") if key in settings}
    recipe = RECIPES["certified"].with_settings({"cell": "gru", **own})
    short = {"learn.steps": 5, "learn.batch": 3, "close.steps": 5, "digits": 6}
    training.fit(recipe.with_settings({**short, **settings}), engine="native", reports=1)
from time import monotonic
from carrynet.proof import trees
for hidden in (1, 8, 17):
    network = training.fit(RECIPES["tutorial"].with_settings({"steps": 2000, "hidden": hidden}))
    trees.search(network, slack=1e-4, deadline=monotonic() + 0.5)
for settings in (
    *[{"cell": "gru", "hidden": 9}] * (every or lanes == 8),
    *[{"cell": "lstm,elman", "hidden": 5, "readout": "v = tanh(h @ V + bv); logits = v @ W + bw"}]
    * (every or lanes == 4),
):
    recipe = RECIPES["plain-adam"].with_settings({"steps": 300, **settings})
    network = training.fit(recipe, reports=1)
    assert grown.refuses(network) is None
    trees.search(network, slack=1e-4, deadline=monotonic() + 0.5)
print("untouched")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="guard pages as Linux has them")
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_memory_beyond_the_arrays_is_never_touched(lanes: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, str(lanes)], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "untouched\n"), done.stderr


def test_prefixes_beyond_a_block_are_walked() -> None:
    network = training.fit(RECIPES["tutorial"].with_settings({"steps": 500, "hidden": 4}))
    prefixes = reference.Prefixes.root(network)
    for _ in range(4):  # 256 of them, eight blocks
        prefixes, _ = reference.expand(network, prefixes)
    assert len(prefixes.state) > 4 * kernels.BLOCK
    one, other = (engine.walk(network, prefixes, 2) for engine in (native, reference))
    assert (one.right, one.wrong) == (other.right, other.wrong)
    assert one.margin == pytest.approx(other.margin, rel=1e-4)
    # some of them only: words are numbered from the first prefix on
    (_, part, *_) = prefixes.split(100)
    one, other = (engine.walk(network, part, 3) for engine in (native, reference))
    assert (one.right, one.wrong) == (other.right, other.wrong)
    assert one.wrong is not None
    assert one.wrong >= 100 * 4**3


def test_words_of_every_symbol_width_are_read() -> None:
    # 65,536 symbols: the largest number of a symbol fills the 16 bits of a word
    task = tasks.add(base=16, operands=4)
    recipe = Recipe(task=task.text, hidden=3, digits=3, biases=True)
    network = training.start(recipe).network
    words = np.array([[65_535, 0, 65_535], [1, 65_534, 2]], dtype=np.uint16)
    one, other = native.follow(network, words), reference.follow(network, words)
    assert one.first_error.tolist() == other.first_error.tolist()
    assert one.margin == pytest.approx(other.margin, rel=1e-4)
    assert problems.answers(task, words).tolist() == [
        task.machine.transduce(w) for w in words.tolist()
    ]


OPEN = tasks.own("open", replace(tasks.parse("parity").machine, output=((0, None), (None, 1))))


@pytest.mark.parametrize(
    "settings",
    [
        {"cell": "gru"},
        {"cell": "lstm", "task": "add:base=3", "hidden": 17},
        {"cell": "lstm,elman", "start": "learned"},
        {"cell": OWN, "readout": "v = tanh(h @ V + bv); logits = v @ W + bw"},
        {"cell": "mgu", "task": "compare", "readout": "u = h * h + h; logits = u @ W + bw"},
        {"cell": "gru", "task": OPEN},
        {"task": OPEN},
    ],
    ids=str,
)
def test_words_are_judged_for_any_formula_as_by_numpy(settings: dict[str, object]) -> None:
    recipe = RECIPES["plain-adam"].with_settings(
        {"hidden": 8, "steps": 25, "batch": 8, "digits": 6, **settings}
    )
    network = training.fit(recipe, engine="numpy")
    words = problems.training_words(network.task, 30, seed=5, stream=9, start=0, count=37)
    one, other = native.follow(network, words), reference.follow(network, words)
    assert (one.first_error == other.first_error).all()
    assert one.margin == pytest.approx(other.margin, abs=1e-5)
    depth = 4 if network.symbols < 9 else 2
    roots = reference.Prefixes.root(network)
    longer, _ = reference.expand(network, roots)
    for prefixes, left in ((roots, depth), (longer, depth - 1)):
        ours, theirs = (engine.walk(network, prefixes, left) for engine in (native, reference))
        assert (ours.right, ours.wrong) == (theirs.right, theirs.wrong)
        assert ours.margin == pytest.approx(theirs.margin, abs=1e-5)


@pytest.mark.parametrize("worst", [0.0, 0.5])
@pytest.mark.parametrize("lanes", [8, 16])
def test_what_overflows_in_the_padding_is_never_read(
    monkeypatch: pytest.MonkeyPatch, lanes: int, worst: float
) -> None:
    cell = "h = h * h + x @ Wxh + bh + 2"  # beyond the units there is no bias of -2
    small = {"hidden": 5, "batch": 3, "init_width": 0.1, "step": 1e-3, "biases": True}
    recipe = RECIPES["plain-adam"].with_settings(
        {"cell": cell, **small, "worst": worst, "ramp_from": 0.0}
    )
    with_lanes(monkeypatch, lanes)
    state = training.start(recipe)
    weights = {**state.network.weights, "bh": np.full(5, -2, np.float32)}
    network = state.network.moved(type(state.network.weights)(weights))
    words = problems.training_words(network.task, 12, seed=5, stream=9, start=0, count=12)
    assert native.follow(network, words).margin == pytest.approx(
        reference.follow(network, words).margin, abs=1e-5
    )
    given = network, state.moments, recipe, recipe.stages[0], words.reshape(4, 3, 12), 0
    ours, theirs = native.advance(*given), reference.advance(*given)
    for name, w in theirs[0].items():
        np.testing.assert_allclose(ours[0][name], w, rtol=0, atol=1e-5)
    native._shared.cache_clear()


def along_words(settings: Mapping[str, object]) -> Recipe:
    """A recipe with a worst case that is bounded along words, and that grows all along."""
    worst = {"loss": "cross-entropy", "worst": 0.6, "slack": 0.3, "ramp_from": 0.0, "ramp_to": 1.0}
    usual = {"biases": True, "steps": 12, "batch": 9, "digits": 7}
    return RECIPES["plain-adam"].with_settings({**usual, **settings}).with_settings(worst)


@across_lanes(
    ([4, 8, 16], {"cell": "gru", "hidden": 13}),
    ([16], {"cell": "lstm", "task": "add:base=3", "hidden": 17}),
    ([8], {"cell": "gru-reset-before", "start": "learned", "hidden": 5, "task": "cycle:5"}),
    ([4], {"cell": "lstm,elman", "hidden": 4, "biases": False}),
    ([4, 16], {"cell": "elman,elman", "hidden": 33, "batch": 1, "optimiser": "sgd"}),
    ([8], {"cell": "mgu", "task": "compare", "hidden": 9, "optimiser": "sgd", "step": 0.3}),
    ([16], {"cell": OWN.replace("tanh(x @ Wxm)", "x @ Wxm"), "hidden": 7}),
    ([4], {"cell": "gru", "task": OPEN, "hidden": 6}),
)
def test_the_worst_case_along_words_is_numpys(
    monkeypatch: pytest.MonkeyPatch, lanes: int, settings: dict[str, object]
) -> None:
    recipe = along_words(settings)
    expected = training.fit(recipe, engine="numpy")
    with_lanes(monkeypatch, lanes)
    network = training.fit(recipe, engine="native")
    assert list(network.weights) == list(expected.weights)
    without = training.fit(recipe.with_settings({"slack": 0.0, "worst": 0.0}), engine="numpy")
    apart = 0.0
    for name, w in expected.weights.items():
        np.testing.assert_allclose(network.weights[name], w, rtol=0, atol=2e-5)
        apart = max(apart, float(np.abs(w - without.weights[name]).max()))
    assert apart > 1e-3  # the agreement is about something
    native._shared.cache_clear()


@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hidden": 33, "activation": "relu", "task": "tomita:4"},
        {"cell": "lstm", "task": "add:base=3", "hidden": 5},
        {"cell": "lstm,gru", "start": "learned"},
        {"cell": OWN, "readout": "v = tanh(h @ V + bv); logits = v @ W + bw"},
        {"cell": "gru", "task": OPEN},
    ],
    ids=str,
)
def test_words_are_read_from_any_state_as_by_numpy(
    monkeypatch: pytest.MonkeyPatch, lanes: int, settings: dict[str, object]
) -> None:
    recipe = RECIPES["plain-adam"].with_settings({"hidden": 8, "steps": 5, "batch": 8, **settings})
    network = training.fit(recipe, engine="numpy")
    with_lanes(monkeypatch, lanes)
    random = np.random.default_rng(3)
    h = random.normal(0, 0.3, (13, len(network.start))).astype(np.float32)
    state = random.integers(0, len(network.task.machine.states), 13).astype(np.int32)
    words = random.integers(0, network.symbols, (13, 30))
    given = h.copy(), state.copy()
    one, other = (each.wander(network, h, state, words) for each in (native, reference))
    assert (h == given[0]).all()
    assert (state == given[1]).all()
    for name in ("state", "reached", "after"):
        assert (getattr(one, name) == getattr(other, name)).all(), name
    for name in ("h", "margin", "nearest"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-4)
    for n, word in enumerate(words):  # and by reading each by itself, up to where it was nearest
        alone, here = h[n : n + 1], int(state[n])
        for symbol in word[: one.after[n]]:
            alone = network.step(alone, np.array([symbol]))
            here = network.task.machine.delta[here][symbol]
        assert here == one.reached[n]
        np.testing.assert_allclose(one.nearest[n], alone[0], rtol=1e-4, atol=1e-4)
    native._shared.cache_clear()


OVER_EDGES: list[dict[str, object]] = [
    {"hidden": 6},
    {"cell": "lstm", "task": "add:base=3", "hidden": 17},
    {"cell": "gru-reset-before", "start": "learned", "hidden": 5},
    {"cell": "lstm,gru", "hidden": 4, "learn.biases": False},
    {"cell": OWN.replace("relu", "tanh"), "hidden": 7},
    {"task": OPEN, "hidden": 6},
    {"task": "compare", "hidden": 5, "close.worst": 0.7},
    {"task": "cycle:5", "hidden": 9, "close.batch": 7},
    {"cell": "mgu", "hidden": 33, "close.optimiser": "sgd", "close.step": 0.01},
    {"cell": "elman", "activation": "tanh", "task": "cycle:5", "hidden": 8},
]


def over_edges(settings: dict[str, object]) -> tuple[Recipe, training.State]:
    """A recipe that ends over edges, and where it stands when that begins."""
    own: dict[str, Any] = dict(settings)
    biases = own.pop("learn.biases", True)
    first: dict[str, Any] = {key: own.pop(key) for key in ("cell", "task") if key in own}
    recipe = RECIPES["certified"].with_settings({"cell": "gru", **first})
    recipe = recipe.with_settings({"learn.steps": 40, "learn.batch": 8, "digits": 8, **own})
    recipe = replace(recipe, biases=bool(biases))
    assert recipe.stages[1].over == "edges"
    network = training.fit(replace(recipe, stages=recipe.stages[:1]), engine="numpy")
    return recipe, training._next_stage(recipe, network, 1)


@pytest.mark.parametrize("settings", OVER_EDGES, ids=str)
def test_over_edges_weights_and_boxes_are_numpys(settings: dict[str, object]) -> None:
    recipe, state = over_edges(settings)
    engine = engines.ENGINES["native"].edges
    assert engine is not None
    assert engine.takes(state.network)
    assert state.boxes is not None
    given = state.network, state.moments, state.boxes, recipe, 1, 300, 12
    ours, theirs = edges.advance(*given, engine), edges.advance(*given)
    for one, other in zip((ours[0], *ours[1]), (theirs[0], *theirs[1]), strict=True):
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=0, atol=2e-5)
    for one, other in zip(
        (ours[2].values, *ours[2].moments), (theirs[2].values, *theirs[2].moments), strict=True
    ):
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=0, atol=2e-5)
    assert (ours[3] == theirs[3]).all()
    np.testing.assert_allclose(ours[4], theirs[4], rtol=0, atol=2e-4)
    moved = [np.abs(w - state.network.weights[name]).max() for name, w in theirs[0].items()]
    assert max(moved) > 1e-3  # the agreement is about something


@pytest.mark.parametrize("lanes", [4, 8])
def test_over_edges_with_vectors_of_other_widths(
    monkeypatch: pytest.MonkeyPatch, lanes: int
) -> None:
    recipe, state = over_edges({"hidden": 6, "task": "add:base=3"})
    with_lanes(monkeypatch, lanes)
    assert state.boxes is not None
    given = state.network, state.moments, state.boxes, recipe, 1, 300, 5
    ours, theirs = edges.advance(*given, engines.ENGINES["native"].edges), edges.advance(*given)
    for name in theirs[0]:
        np.testing.assert_allclose(ours[0][name], theirs[0][name], rtol=0, atol=2e-5)


SATURATED: list[dict[str, object]]
SATURATED = [{"cell": cell, "hidden": 6, "task": "cycle:5"} for cell in ("elman", "mgu")]
SATURATED += [OVER_EDGES[i] for i in (0, 1, 3)]  # whose kernels there are


@pytest.mark.parametrize("settings", SATURATED, ids=str)
def test_over_edges_what_is_saturated_is_pulled_alike(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
) -> None:
    recipe, state = over_edges(settings)
    assert state.boxes is not None
    network = state.network.moved(state.network.weights.map(lambda w: 6 * w))
    given = network, state.moments, state.boxes, recipe, 1, 300, 1
    ours, theirs = edges.advance(*given, engines.ENGINES["native"].edges), edges.advance(*given)
    monkeypatch.setattr(invariant, "PULL", 0.0)
    unpulled = edges.advance(*given)
    pulled = 0.0
    for name in theirs[0]:
        # the first moment is a tenth of the gradient: what Adam moves by says only its sign
        one, other, without = (each[1][0][name] for each in (ours, theirs, unpulled))
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-6)
        pulled = max(pulled, np.abs(other - without).max())
    assert pulled > 1e-4


def test_over_edges_numpy_serves_where_there_is_no_kernel() -> None:
    readout = {"readout": "v = tanh(h @ V + bv); logits = v @ W + bw", "hidden": 4}
    recipe, state = over_edges(readout)
    engine = engines.ENGINES["native"].edges
    assert engine is not None
    assert not engine.takes(state.network)
    assert state.boxes is not None
    given = state.network, state.moments, state.boxes, recipe, 1, 0, 2
    one, other = edges.advance(*given, engine), edges.advance(*given)
    assert all((one[0][name] == other[0][name]).all() for name in one[0])


def test_that_kernel_calls_nothing_but_itself() -> None:
    recipe, state = over_edges({"hidden": 5, "cell": OWN, "task": "add:base=3"})
    network = packed.formulas(state.network, recipe, recipe.stages[1])
    shape = kernels.Closing(network, len(state.network.task.machine.states))
    assert called("closing", shape) - {"closing", "memset", "memcpy"} == set()


def test_threads_may_judge_words_at_once() -> None:
    settings = {"cell": "lstm,gru", "hidden": 8, "steps": 30, "batch": 8, "digits": 6}
    network = training.fit(RECIPES["plain-adam"].with_settings(settings), engine="numpy")
    roots, _ = reference.expand(network, reference.Prefixes.root(network))
    # what a race would spoil now and then: each call has room of its own behind the weights
    (_, one, _), (_, other, _) = (native._evaluation(network) for _ in range(2))
    assert not np.shares_memory(one, other)
    alone = native.walk(network, roots, 6)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: native.walk(network, roots, 6), range(8)))
    assert all(tally == alone for tally in together)


DELAYED = "state = h, s; h = tanh(s @ Wsh + h @ Whh + bh); s = x @ Wxs + bs"
INWARD = "h = tanh(h @ Whh + bh)"
SCALED = "h = tanh((x * wx) @ Wxh + bh + h @ Whh)"
INPUT_GATE = "k = sigmoid(x @ Wxk + bk); h = mix(k, tanh(x @ Wxh + bh + h @ Whh), h)"
ADDED = "h = h + tanh(x @ Wxh + bh)"


@pytest.mark.parametrize("cell", [DELAYED, INWARD, SCALED])
def test_where_there_are_no_kernels_of_a_formula_numpy_serves(cell: str) -> None:
    recipe = RECIPES["plain-adam"].with_settings({"cell": cell, "hidden": 4, "steps": 3})
    assert "of input and state that read the input by matrices" in str(native.refuses(recipe))
    recipe = recipe.with_settings({"batch": 2, "digits": 5})
    one, other = (training.fit(recipe, engine=engine) for engine in ("auto", "numpy"))
    assert one.digest() == other.digest()
    assert not engines.edges.takes(one)
    in_jax = training.fit(recipe, engine="jax")
    for name, w in other.weights.items():
        np.testing.assert_allclose(in_jax.weights[name], w, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", [INPUT_GATE, ADDED])
def test_what_varies_with_slack_alone_is_left_to_numpy(cell: str) -> None:
    recipe = along_words({"cell": cell, "hidden": 4})
    assert "whose activations all depend on the state" in str(native.refuses(recipe))
    assert engines.get("auto", recipe).name != "native"
    two = {"cell": "gru", "readout": "v = tanh(h @ V + bv); logits = v @ W + bw"}
    assert "with a linear readout" in str(native.refuses(along_words(two)))


@pytest.mark.parametrize("cell", [INPUT_GATE, ADDED])
def test_over_edges_a_step_is_one_of_boxes_throughout(cell: str) -> None:
    recipe, state = over_edges({"cell": cell, "hidden": 4, "task": "tomita:5"})
    assert native.refuses(state.network) is None
    assert not engines.edges.takes(state.network)
    assert state.boxes is not None
    given = state.network, state.moments, state.boxes, recipe, 1, 0, 2
    one, other = edges.advance(*given, engines.ENGINES["native"].edges), edges.advance(*given)
    assert all((one[0][name] == other[0][name]).all() for name in one[0])


def test_a_worst_case_is_not_left_out_of_populations() -> None:
    worst = {"loss": "cross-entropy", "worst": 0.5, "slack": 0.2, "hidden": 8, "steps": 40}
    recipe = RECIPES["tutorial"].with_settings({**worst, "init_width": 0.3, "biases": True})
    (one,), other = training.fit_many([recipe], engine="native"), training.fit(recipe)
    assert isinstance(one, Network)
    assert one.digest() == other.digest()
