"""Extraction: known machines are found again, and differences are shown."""

import numpy as np
import pytest

import carrynet as cn
from carrynet import tasks
from carrynet.judge import extraction as extract
from carrynet.learn import compile as compiling
from carrynet.learn.mechanism import Construction
from carrynet.nets.network import Network
from carrynet.spec.machine import Machine, shortest_difference
from tests.conftest import elman


def network_of(machine: Machine, task: tasks.Task, k: float = 40.0) -> Network:
    """A network that is a machine by construction: one unit for each edge (state, symbol).

    Unit (q, a) fires when the last symbol was a and the state before it q: its input is 0 for
    a and -k or less for others, its memory k/2 if the unit that fired before leads to q
    and -k/2 if not.  At the start nothing fires, and silence stands for state 0.
    """
    Q, S = len(machine.states), len(machine.symbols)
    edges = [(q, a) for q in range(Q) for a in range(S)]
    Wxh = np.zeros((task.inputs, len(edges)))
    Whh = np.zeros((len(edges), len(edges)))
    bh, Why = np.zeros(len(edges)), np.zeros((len(edges), task.neurons))
    for i, (q, a) in enumerate(edges):
        digits = task.digits_of(a)
        Wxh[:, i] = [k if d else -k for d in digits]
        bh[i] = -k * sum(digits) + (-k / 2 if q else k / 2)
        for j, (p, b) in enumerate(edges):
            if machine.delta[p][b] != 0 and q == 0:
                Whh[j, i] = -k
            if q and machine.delta[p][b] == q:
                Whh[j, i] = k
        Why[i, 0] = k * ((machine.output[q][a] or 0) - 0.5) * 2
    return Network(task, "sigmoid", elman(Wxh, Whh, bh, Why, np.zeros(task.neurons)))


def random_machine(states: int, seed: int) -> Machine:
    rng, task = np.random.default_rng(seed), tasks.add()
    whole = Machine(
        tuple(map(str, range(states))),
        task.machine.symbols,
        task.machine.outputs,
        tuple(map(tuple, rng.integers(0, states, (states, 4)).tolist())),
        tuple(map(tuple, rng.integers(0, 2, (states, 4)).tolist())),
    )
    return whole.minimise()


@pytest.mark.parametrize("seed", range(12))
def test_a_random_machine_is_found_again(seed: int) -> None:
    machine = random_machine(2 + seed, seed)
    network = network_of(machine, tasks.add())
    word = np.random.default_rng(seed).integers(0, 4, 200).tolist()
    assert network.transduce(word) == machine.transduce(word)  # the construction does what it says
    found = extract.extract(network)
    assert found.complete
    assert shortest_difference(found.machine, machine) is None
    assert len(found.machine.states) == len(machine.states)
    for q, access in enumerate(found.access):
        assert found.machine.visit(access)[-1] == q


def test_a_right_network_has_the_tasks_machine(adder: Network) -> None:
    found = extract.extract(adder)
    assert found.complete
    compared = extract.compare(adder, found.machine)
    assert compared == extract.Comparison(word=None, confirmed=False, names=("0", "1"))
    assert found.machine.states == ("A", "B")
    assert found.machine.delta == adder.task.machine.delta


def test_a_wrong_network_is_shown_where_it_differs(forgetful: Network) -> None:
    found = extract.extract(forgetful)
    assert len(found.machine.states) == 1
    compared = extract.compare(forgetful, found.machine)
    assert compared.word is not None
    assert len(compared.word) == 2  # 1 + 1, and then the carry that is not there
    assert compared.confirmed
    word = list(compared.word)
    assert forgetful.transduce(word)[-1] != forgetful.task.machine.transduce(word)[-1]
    assert compared.names == ("",)


def test_what_random_words_hardly_ever_come_to_is_asked() -> None:
    """Five symbols that must fit: of an expression, =, and its value."""
    network, _ = compiling.build(tasks.parse("modular_answer:5"), Construction(cell="gru"))
    found = extract.extract(network)
    assert found.complete
    assert len(found.machine.states) == len(network.task.machine.states)
    assert extract.compare(network, found.machine).word is None
    # and where the network is not as the task says, it stays what the network does
    other = Network(tasks.parse("cycle_answer:6"), network.cell, network.weights)
    found = extract.extract(other, most=30)
    compared = extract.compare(other, found.machine)
    assert compared.word is not None
    assert compared.confirmed


def test_no_answer_comes_from_the_specification(adder: Network) -> None:
    """The same weights for another task with the same symbols: the same machine."""
    other = Network(tasks.subtract(), "sigmoid", adder.weights)
    one, two = extract.extract(adder), extract.extract(other)
    assert one.machine == two.machine
    assert extract.compare(other, two.machine).word is not None


def test_the_words_of_one_symbol_are_few_and_long() -> None:
    blink = Machine(("on", "off"), ("tick",), ("0", "1"), ((1,), (0,)), ((1,), (0,)))
    task = tasks.own("blink", blink)
    weights = elman(*map(np.array, ([[0.0]], [[-40.0]], [20.0], [[40.0]], [-20.0])))
    found = extract.extract(Network(task, "sigmoid", weights))
    assert found.complete
    assert shortest_difference(found.machine, blink) is None
    assert len(found.machine.states) == 2


def test_a_network_with_too_many_states_is_said_to_have_them() -> None:
    machine = random_machine(20, 5)
    found = extract.extract(network_of(machine, tasks.add()), most=5)
    assert len(found.machine.states) == 5
    assert not found.complete
    assert found.agreed < found.tested


def test_trained_networks(trained: cn.Run) -> None:
    found = extract.extract(trained.network)
    assert found.complete
    assert extract.compare(trained.network, found.machine).word is None
