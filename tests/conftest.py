"""Networks that tests share."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import carrynet as cn
from carrynet import lab, tasks
from carrynet.data.words import answers
from carrynet.judge.evaluation import LENGTHS, Evaluation, by_length, evaluate
from carrynet.judge.measures import shares
from carrynet.nets.arrays import Array
from carrynet.nets.losses import predict
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from carrynet.proof.model import Elman
from carrynet.proof.search import model
from carrynet.spec.recipe import Recipe

collect_ignore = ["data"]  # its script needs PyTorch

# JAX takes its time for programs that are run once: they are compiled as they are written.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

settings.register_profile("carrynet", deadline=None)  # machines may be busy
settings.load_profile("carrynet")


ELMAN = ("Wxh", "Whh", "bh", "Why", "by")


def elman(*arrays: Array) -> Weights:
    """Weights of Elman's cell, in the order of `ELMAN`."""
    return Weights(dict(zip(ELMAN, arrays, strict=True)))


def by_letters(network: Network) -> Elman:
    """A network of Elman's as the checker has it by its letters."""
    found = model(network).elman
    assert found
    return found


def hand_built_adder(sharpness: float = 40.0) -> Network:
    """A sigmoid network that adds in binary by construction, not by training.

    Its three units fire when a + b + carry reaches 1, 2, 3; the second is the carry,
    and the digit is unit 1 less unit 2 plus unit 3.
    """
    k = sharpness
    return Network(
        tasks.add(),
        "sigmoid",
        Weights(
            Wxh=np.full((2, 3), k),
            Whh=np.array([[0.0, 0, 0], [k, k, k], [0, 0, 0]]),
            bh=-k * np.array([0.5, 1.5, 2.5]),
            Why=k * np.array([[1.0], [-1], [1]]),
            by=np.array([-k / 2]),
        ),
    )


def briefly(recipe: str | Recipe, **settings: Any) -> cn.Run:
    """A training in memory that is followed by a short evaluation, where that is not the point."""

    def examine(_: object, network: Network, __: object) -> Evaluation:
        return Evaluation(evaluate(network, 2), by_length(network, (16, 64)))

    with words_up_to(64), pytest.MonkeyPatch.context() as patch:
        patch.setattr(lab, "_examine", examine)
        return cn.train(recipe, progress=False, **settings)


@pytest.fixture(scope="module")
def short_words() -> Iterator[None]:
    """Networks are tested on words of up to 64 symbols, not thousands, where that is not the point.

    In this process only.  For whole modules: `pytestmark = pytest.mark.usefixtures("short_words")`.
    """
    with words_up_to(64):
        yield


@contextmanager
def words_up_to(longest: int) -> Iterator[None]:
    """Of the lengths that `by_length` and `shares` take where none are given, those up to some."""
    with pytest.MonkeyPatch.context() as patch:
        for function, lengths in ((by_length, LENGTHS), (shares, LENGTHS[:4])):
            shorter = tuple(length for length in lengths if length <= longest)
            patch.setattr(function, "__defaults__", (shorter,))
        yield


@contextmanager
def started(*command: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that has gone, with its children and its pipes, whatever becomes of the test."""
    arguments = list(map(str, command))
    process = subprocess.Popen(arguments, text=True, start_new_session=True, **options)
    with process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """Processes that tests start hear of Ctrl-C, also where these tests do not (`nohup`, `&`)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[None]:
    """Code is built afresh, once for all workers; the user's cache is left alone."""
    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":  # a worker of xdist has its own folder in that of the session
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARRYNET_CACHE", str(folder / "machine-code"))
        if sys.dont_write_bytecode:  # else each process that tests start compiles every module
            patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
            patch.setenv("PYTHONPYCACHEPREFIX", str(folder / "bytecode"))
        patch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)  # which shows in what is advised
        yield


@pytest.fixture(scope="session")
def adder() -> Network:
    """Right for every length."""
    return hand_built_adder()


@pytest.fixture(scope="session")
def forgetful() -> Network:
    """Like `adder`, but never carries: the wrong network to be caught."""
    right = hand_built_adder()
    return Network(
        right.task, "sigmoid", right.weights.replace(Whh=np.zeros_like(right.weights.Whh))
    )


@pytest.fixture(scope="session")
def trained() -> cn.Run:
    """The tutorial's training, at half its hidden units, in memory."""
    with words_up_to(LENGTHS[-1]):  # whichever module is the first to ask for it
        return cn.train("tutorial", hidden=16, progress=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters first: a cluster forks, which a process in which JAX has started must not do."""
    items.sort(key=lambda item: item.path.name != "test_cluster.py")


def sticky_words(network: Network, count: int, length: int) -> np.ndarray:
    """Random words (count, length), two of three of which tend to repeat their symbol."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, network.symbols, (count, length))
    stay = rng.random((count, length)) < np.resize([0.0, 0.9, 0.99], count)[:, None]
    for t in range(1, length):
        words[:, t] = np.where(stay[:, t], words[:, t - 1], words[:, t])
    return words


def cross_examine(
    network: Network, slack: dict[str, float], count: int = 64, length: int = 300
) -> None:
    """Assert that it answers sticky words as its task does, in the types that are named.

    Moved by nearly so much in every unit at every step, in the worst direction as often as not.
    """
    rng, words = np.random.default_rng(1), sticky_words(network, count, length)
    for dtype, most in slack.items():
        typed = network.astype(dtype)
        state = np.repeat(typed.start[None], count, axis=0)
        for t, expected in enumerate(answers(network.task, words).T):
            state = typed.step(state, words[:, t])
            state = state + (0.9 * most * rng.choice([-1, 1], state.shape)).astype(dtype)
            assert (predict(typed.read(state)) == expected).all()
