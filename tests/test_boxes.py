"""Boxes: that they hold what the network can do, and close where they should."""

import numpy as np
import pytest

import carrynet as cn
from carrynet import tasks
from carrynet.learn.compile import build
from carrynet.learn.mechanism import Construction
from carrynet.nets.arrays import in_one_thread
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights
from carrynet.proof import boxes
from carrynet.proof.boxes import Plan
from tests.conftest import elman


def follow(plan: Plan, word: list[int]) -> int:
    region = 0
    for a in word:
        region = int(plan.next[region, a])
    return region


@pytest.mark.parametrize(
    ("task", "length", "regions"),
    [
        # the start; for length 1, each edge; for longer ones, the words from the start too
        ("add", 1, 1 + 8),
        ("add", 2, 1 + 4 + 32),
        ("add", 3, 1 + 4 + 16 + 128),
        ("compare", 1, 1 + 12),
        ("multiply_by:k=3", 2, 1 + 2 + 12),
    ],
)
def test_histories(task: str, length: int, regions: int) -> None:
    machine = tasks.parse(task).machine
    plan = boxes.by_history(machine, length)
    assert len(plan.names) == len(set(plan.names)) == regions
    rng = np.random.default_rng(0)
    for _ in range(200):
        word = rng.integers(0, len(machine.symbols), rng.integers(1, 12)).tolist()
        region = follow(plan, word)
        assert plan.state[region] == machine.visit(word)[-1]
        assert plan.output[region] == machine.transduce(word)[-1]
        assert plan.symbol[region] == word[-1]


def test_what_came_before_a_history_is_forgotten() -> None:
    plan = boxes.by_history(tasks.add().machine, 2)
    assert follow(plan, [3, 1, 2]) == follow(plan, [0, 3, 1, 1, 2])  # carry 1 before 1, 2
    assert follow(plan, [3, 1, 2]) != follow(plan, [0, 1, 2])  # carry 0 before 1, 2
    assert plan.names[follow(plan, [3, 1, 2])] == "1; 0,1 1,0"


def test_a_network_that_remembers_more_than_its_machine_is_split() -> None:
    """One unit remembers, for good, whether a 1 was ever read: the task does not ask for it."""
    task = tasks.multiply_by(1)
    k = 40.0
    weights = Weights(
        Wxh=np.array([[k, k]]),
        Whh=np.array([[0.0, 0], [0, k]]),
        bh=np.array([-k / 2, -k / 2]),
        Why=np.array([[k], [0.0]]),
        by=np.array([-k / 2]),
    )
    network = Network(task, "sigmoid", weights)
    plan = boxes.by_history(task.machine, 1)
    assert len(plan.names) == 3  # start, after 0, after 1
    whole = boxes.close(network, plan, 1e-3)
    assert whole is not None
    after_zero = follow(plan, [1, 0])
    assert whole.upper[after_zero, 1] - whole.lower[after_zero, 1] > 0.9
    seen = boxes.observe(network, plan)
    assert seen is not None
    split = boxes.split(plan, seen, 0.3)
    assert split is not None
    assert len(split.names) == 4
    assert follow(split, [0]) != follow(split, [1, 0]) == follow(split, [1, 1, 0, 0])
    apart = boxes.close(network, split, 1e-3)
    assert apart is not None
    assert (apart.upper - apart.lower).max() < 0.1


def test_disturbed_sequences_stay_in_their_boxes(adder: Network) -> None:
    """The invariant in person: any word, every unit off by up to the slack at each step."""
    slack, rng = 0.02, np.random.default_rng(1)
    plan = boxes.by_history(adder.task.machine, 2)
    found = boxes.close(adder, plan, slack)
    assert found is not None
    words = rng.integers(0, 4, (500, 40))
    h: np.ndarray = np.zeros((500, 3))
    region = np.zeros(500, np.intp)
    for t in range(40):
        h = adder.step(h, words[:, t])
        h = h + slack * rng.choice([-1.0, 1.0], h.shape)
        region = plan.next[region, words[:, t]]
        assert (found.lower[region] <= h).all()
        assert (h <= found.upper[region]).all()


def test_a_wrong_network_does_not_close(forgetful: Network) -> None:
    for length in (1, 2, 3):
        plan = boxes.by_history(forgetful.task.machine, length)
        assert boxes.close(forgetful, plan, 0.0) is None


def test_too_much_slack_does_not_close(adder: Network) -> None:
    plan = boxes.by_history(adder.task.machine, 1)
    assert boxes.close(adder, plan, 0.05) is not None
    assert boxes.close(adder, plan, 0.5) is None


def test_margins_over_boxes_are_those_of_their_corners() -> None:
    rng = np.random.default_rng(2)
    for task in (tasks.add(), tasks.add(base=3)):
        Y = task.neurons
        shapes = ((task.inputs, 4), (4, 4), (4,), (4, Y), (Y,))
        network = Network(task, "tanh", elman(*(rng.normal(size=s) for s in shapes)))
        lower = rng.normal(size=(1, 4))
        upper = lower + rng.uniform(0, 1, (1, 4))
        corners = np.array(np.meshgrid(*zip(lower[0], upper[0], strict=True))).reshape(4, -1).T
        logits = corners @ network.weights.Why + network.weights.by
        for output in range(len(task.machine.outputs)):
            if Y == 1:
                least = ((2 * output - 1) * logits).min()
            else:
                others = np.delete(logits, output, axis=1)
                least = (logits[:, [output]] - others).min()
            ours = boxes.smallest_margin(
                network.astype("float64"), lower, upper, np.array([output])
            )
            assert ours == pytest.approx(least)


def test_the_search_repeats_itself(trained: cn.Run) -> None:
    plan = boxes.by_history(trained.network.task.machine, 2)
    observe = in_one_thread(boxes.observe)
    one, again = (observe(trained.network, plan) for _ in range(2))
    assert one is not None
    assert again is not None
    first, second = (boxes.split(plan, seen, 0.15) for seen in (one, again))
    assert first is not None
    assert second is not None
    assert (first.next == second.next).all()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_boxes_are_the_same_however_many_images_fit_in_memory(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, _ = build(tasks.add(), Construction(cell=cell))
    plan = boxes.by_history(network.task.machine, 2)
    at_once = boxes.close(network, plan, 0.001)
    monkeypatch.setattr(boxes, "_AT_ONCE", 4 * 8)  # those of a region or less
    one_by_one = boxes.close(network, plan, 0.001)
    assert at_once is not None
    assert one_by_one is not None
    assert np.abs(one_by_one.lower - at_once.lower).max() < 1e-6
    assert np.abs(one_by_one.upper - at_once.upper).max() < 1e-6
    assert one_by_one.margin == pytest.approx(at_once.margin)
