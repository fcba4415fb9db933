"""Machines in files: read, written and read again; and what is refused, in one line."""

import os
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from carrynet import tasks
from carrynet.errors import InputError
from carrynet.spec import automata, tables
from carrynet.spec.machine import OPEN, Machine

PARITY = """\
name = "odd"
[transitions.even]
0 = ["even", "0"]
1 = ["odd", "1"]
[transitions.odd]
0 = ["odd", "1"]
1 = ["even"]
"""
AALPY = """\
digraph learnedModel {
s0 [label="q0"];
s1 [label="q1"];
s0 -> s0  [label="a/x"];
s0 -> s1  [label="b/y"];
s1 -> s1  [label="a/y"];
s1 -> s0  [label="b/x"];
__start0 [shape=none, label=""];
__start0 -> s0  [label=""];
}
"""
DFA = AALPY.replace("/x", "").replace("/y", "").replace('"q1"', '"q1", shape=doublecircle')
MOORE = AALPY.replace("/x", "").replace("/y", "").replace('"q0"', '"q0|x"').replace("q1", "q1|y")
AUTOMATALIB = """\
digraph g {

\ts0 [shape="circle" label="0"];
\ts1 [shape="circle" label="1"];
\ts0 -> s0 [label="a / x"];
\ts0 -> s1 [label="b / y"];
\ts1 -> s1 [label="a / y"];
\ts1 -> s0 [label="b / x"];

__start0 [label="" shape="none" width="0" height="0"];
__start0 -> s0;

}
"""
# of a Moore machine's export; the spaces are AutomataLib's
AUTOMATALIB_MOORE = """\
digraph g {

\ts0 [shape="circle" label="s0 / x"];
\ts1 [shape="circle" label="s1 / y"];
\ts0 -> s0 [label="a"];
\ts0 -> s1 [label="b"];
\ts1 -> s1 [label="a"];
\ts1 -> s0 [label="b"];

__start0 [label="" shape="none" width="0" height="0"];
__start0 -> s0;

}
"""
FST = "0 0 a x\n0 1 b y\n1 1 a y\n1 0 b x\n0\n1\n"

names = st.text(
    st.characters(exclude_categories=("C", "Zl", "Zp", "Zs")) | st.sampled_from(" ,\"'\\/|;#[]->="),
    min_size=1,
    max_size=5,
)
names |= st.sampled_from(
    (*automata.EPSILON, "0", "0,0", "open door", "x/y", "s0 / a", "s0|a", "__start0")
)
alphabets = st.lists(names, min_size=2, max_size=4, unique=True).map(tuple)
of_outputs = alphabets.filter(lambda called: OPEN not in called)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Machines with any names, and with outputs left open."""
    states, symbols = (
        tuple(draw(st.lists(names, min_size=1, max_size=4, unique=True))) for _ in range(2)
    )
    outputs = draw(of_outputs)
    delta = tuple(tuple(draw(st.integers(0, len(states) - 1)) for _ in symbols) for _ in states)
    some = st.none() | st.integers(0, len(outputs) - 1)
    output = [[draw(some) for _ in symbols] for _ in states]
    output[0][0] = 0
    return Machine(states, symbols, outputs, delta, tuple(map(tuple, output)))


def same(one: Machine, other: Machine) -> bool:
    """Whether two machines are alike but for outputs that never occur, and their order."""
    said = [
        [[each.output_name(out) for out in row] for row in each.output] for each in (one, other)
    ]
    return (one.symbols, one.delta, said[0]) == (other.symbols, other.delta, said[1])


@given(alphabets, of_outputs, st.data())
def test_words_of_any_symbols_are_read_as_they_are_written(
    symbols: tuple[str, ...], outputs: tuple[str, ...], data: st.DataObject
) -> None:
    letters = tasks.Letters(symbols, outputs)
    some = st.lists(st.integers(0, len(symbols) - 1), min_size=1, max_size=6)
    word = data.draw(some)
    (text,) = letters.problem(word)
    assert letters.encode((text,)) == word
    answers = st.none() | st.integers(0, len(outputs) - 1)
    one, other = (data.draw(st.lists(answers, min_size=1, max_size=3)) for _ in range(2))
    assert (letters.decode(one) == letters.decode(other)) == (one == other)


@given(machines())
def test_toml_and_back(machine: Machine) -> None:
    task = tasks.own("mine", machine)
    again = tables.from_toml(tables.to_toml(task))
    assert (again, again.text, again.machine) == (task, task.text, machine)
    assert tables.from_facts(tables.to_facts(task)) == task


@given(machines())
def test_dot_and_back_or_it_is_not_written(machine: Machine) -> None:
    spoiled = [n for n in (*machine.symbols, *machine.outputs) if "/" in n or n != n.strip()]
    like_moore = [
        all(
            len(parts := name.split(sign)) == 2 and all(map(str.strip, parts))
            for name in machine.states
        )
        for sign in ("|", " / ")
    ]
    if spoiled or any(like_moore):
        with pytest.raises(InputError, match=r"^DOT cannot have .*$"):
            machine.to_dot()
    else:
        again = automata.from_dot(machine.to_dot())
        assert same(again, machine)
        assert again.states == machine.states


@given(machines())
def test_openfst_and_back_or_it_is_not_written(machine: Machine) -> None:
    named = (*machine.symbols, *machine.outputs)
    if any(" " in name or name in automata.EPSILON for name in named):
        with pytest.raises(InputError, match=r"^OpenFst cannot have a symbol called .*$"):
            automata.to_openfst(machine)
    else:
        text, *symbols = automata.to_openfst(machine)
        assert same(automata.from_openfst(text, *map(automata.symbol_table, symbols)), machine)


def by_automatalibs_rules(text: str) -> tuple[str, dict[tuple[str, str], tuple[str, str]]]:
    """The start, and (state, input) -> (state, output), as AutomataLib's DOTParsers.mealy reads it.

    Written after its grammar (DOT.jj) and its parser of labels, since it is Java's: attributes are
    separated or not, a label of a Mealy edge is two texts round one "/" and is trimmed, and the
    states that `__start0` leads to are the initial ones.
    """
    quoted = r'"((?:\\"|[^"])*)"'
    edges = re.findall(rf"(\w+) -> (\w+)(?: \[label={quoted}\])?;", text)
    (start,) = (there for here, there, _ in edges if here == "__start0")
    steps = {}
    for here, there, label in edges:
        if here != "__start0":
            given, answer = label.replace('\\"', '"').split("/")
            assert (here, given.strip()) not in steps
            steps[here, given.strip()] = there, answer.strip()
    return start, steps


@pytest.mark.parametrize("name", ["add:base=3", "compare", "dyck", "tomita:3", "modular:3"])
def test_dot_by_automatalibs_rules(name: str) -> None:
    machine = tasks.parse(name).machine
    start, steps = by_automatalibs_rules(machine.to_dot())
    rng = random.Random(0)
    for _ in range(100):
        word = [rng.randrange(len(machine.symbols)) for _ in range(20)]
        state = start
        for symbol, output in zip(word, machine.transduce(word), strict=True):
            state, answer = steps[state, machine.symbols[symbol]]
            assert answer == machine.output_name(output)


@pytest.mark.parametrize(
    "name", ["add", "compare:base=3", "dyck", "cycle:5", "tomita:3", "modular:3"]
)
def test_built_in_machines_are_read_as_they_are_written(name: str, tmp_path: Path) -> None:
    """As files, in every format; the last leaves outputs open."""
    task = tasks.parse(name)
    assert task.machine.leaves_open == (name == "modular:3")
    (tmp_path / "task.toml").write_text(tables.to_toml(task))
    (tmp_path / "task.dot").write_text(task.machine.to_dot())
    for ending, text in zip(
        ("fst", "isyms", "osyms"), automata.to_openfst(task.machine), strict=True
    ):
        (tmp_path / f"task.{ending}").write_text(text)
    assert tasks.parse(tmp_path / "task.toml") == task
    for ending in ("dot", "fst"):
        again = tasks.parse(tmp_path / f"task.{ending}")
        assert same(again.machine, task.machine)


@pytest.mark.parametrize("text", ["add", "add:base=3", "divide_by:k=3", "tomita:7", "modular:5"])
def test_what_is_built_in_is_known_when_it_comes_from_a_file(text: str, tmp_path: Path) -> None:
    task = tasks.parse(text)
    (tmp_path / "task.toml").write_text(tables.to_toml(task))
    assert tasks.parse(tmp_path / "task.toml") is task
    assert tasks.parse(str(tmp_path / "task.toml")) is task


def test_a_hand_written_machine() -> None:
    task = tables.from_toml(PARITY)
    machine = task.machine
    assert (task.name, machine.states, machine.symbols) == ("odd", ("even", "odd"), ("0", "1"))
    assert machine.delta == ((0, 1), (1, 0))
    assert machine.output == ((0, 1), (1, None))
    assert task.answer("1101") == "1-01"
    turned = tables.from_toml(PARITY.replace("[", 'start = "odd"\noutputs = ["1", "0"]\n[', 1))
    assert turned.machine.states == ("odd", "even")
    assert turned.answer("101") == "-01"
    assert turned.machine.outputs == ("1", "0")


def test_an_acceptor_by_hand() -> None:
    task = tables.from_toml(
        """
        accepting = ["even"]
        [transitions.even]
        a = "even"
        b = "odd"
        [transitions.odd]
        a = "odd"
        b = ["even"]
        """
    )
    assert task.answer("abba") == "1011"


def test_numbers_and_vectors_by_hand() -> None:
    adder = tables.to_toml(tasks.add())
    assert 'equation = "{} + {} = {answer}"' in adder
    fed = PARITY + "[encoding]\n0 = [0.1, -1]\n1 = [2.5, 0]\n"
    task = tables.from_toml(fed)
    # the nearest numbers of float32, so that networks of both types are fed the same
    assert [task.vector(a) for a in (0, 1)] == [(0.10000000149011612, -1.0), (2.5, 0.0)]
    assert tables.from_toml(tables.to_toml(task)) == task
    assert task != tables.from_toml(PARITY)


@pytest.mark.parametrize("kind", ["bits", "one-hot", "plus-minus-one", "number"])
def test_what_is_fed_for_three_symbols(kind: str) -> None:
    machine = Machine(("q",), tuple("abc"), ("0", "1"), ((0, 0, 0),), ((0, 1, 1),))
    task = tasks.own("three", machine, encoding=tasks.Encoding(kind))
    assert [task.vector(a) for a in range(3)] == {
        "bits": [(0, 0), (0, 1), (1, 0)],
        "one-hot": [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
        "plus-minus-one": [(-1, -1), (-1, 1), (1, -1)],
        "number": [(0,), (1,), (2,)],
    }[kind]


@pytest.mark.parametrize("text", [AALPY, DFA, MOORE, AUTOMATALIB, AUTOMATALIB_MOORE])
def test_dot_of_others(text: str) -> None:
    machine = automata.from_dot(text)
    assert machine.delta == ((0, 1), (1, 0))
    assert [[machine.outputs[y or 0] for y in row] for row in machine.output] in (
        [["x", "y"], ["y", "x"]],
        [["0", "1"], ["1", "0"]],
    )
    assert automata.from_openfst(FST).delta == machine.delta


@pytest.mark.parametrize("text", [MOORE, AUTOMATALIB_MOORE])
def test_a_moore_machine_answers_what_the_state_says_that_it_comes_to(text: str) -> None:
    machine = automata.from_dot(text)
    answers = [machine.output_name(y) for y in machine.transduce([0, 1, 0, 1])]
    assert answers == ["x", "y", "y", "x"]
    assert machine.states in (("q0", "q1"), ("s0", "s1"))


def test_a_mealy_machine_may_call_states_as_it_likes() -> None:
    machine = automata.from_dot(AALPY.replace('"q0"', '"q0|x"').replace('"q1"', '"a/b"'))
    assert (machine.states, machine.symbols) == (("q0|x", "a/b"), ("a", "b"))


def test_the_start_of_a_graph_need_not_come_first() -> None:
    machine = automata.from_dot(AALPY.replace("__start0 -> s0", "__start0 -> s1"))
    assert machine.states == ("q1", "q0")
    assert machine.transduce([0, 1, 0]) == [1, 0, 0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a machine needs transitions"),
        ("transitions = 3", "a machine needs transitions"),
        ("[transitions]", "at least one state"),
        ("[transitions.q]", "at least one of its symbols"),
        ("symbols = []\n[transitions.q]\n0 = ['q', '0']", "at least one of its symbols"),
        ("[transitions.q]\n0 = ['q']", "at least one of its outputs"),
        ("[transitions.q]\n0 = ['q', '0']", "at least 2 outputs"),
        (PARITY.replace('0 = ["odd", "1"]\n', ""), "state odd, symbol 0: the transition is miss"),
        (PARITY.replace('1 = ["even"]', '2 = ["even"]'), "state odd, symbol 2: there is no such"),
        (PARITY.replace('["even"]', '["evn"]'), "state odd, symbol 1: there is no state 'evn'"),
        (PARITY + '1 = ["odd", "1"]\n', r"not a machine in TOML: .*line 8"),
        (PARITY.replace('["even"]', "3"), 'an entry is \\["next state", "output"\\]'),
        (PARITY.replace('["even"]', '["even", "0", "1"]'), "an entry is"),
        (PARITY.replace("name", "nam"), "did you mean 'name'"),
        (PARITY.replace('"odd"', '"o d"', 1), "a task's name must be a word"),
        ('start = "x"\n' + PARITY, "the start 'x' is no state: there are even, odd"),
        ('outputs = ["0", "2"]\n' + PARITY, "state even, symbol 1: there is no output '1'"),
        ('symbols = "01"\n' + PARITY, "symbols must be a list of names"),
        ('encoding = "two-hot"\n' + PARITY, "did you mean 'one-hot'"),
        (PARITY + "[encoding]\n0 = [1]", "the encoding has no vector for the symbol '1'"),
        (PARITY + "[encoding]\n0 = [1]\n1 = [1, 2]", "vectors of one length"),
        (PARITY + "[encoding]\n0 = [1]\n1 = [nan]", "a vector must be of numbers"),
        (PARITY + "[encoding]\n0 = [1]\n1 = [1]\n2 = [1]", "for '2', which is no symbol"),
        (PARITY + "[numbers]\nbas = 2", "unknown key 'bas' of .numbers."),
        (PARITY + "[numbers]\noperands = 2", "make 4 symbols, the machine has 2"),
        (PARITY.replace('"1"', '"\\u001b[31m"'), "printable text of 1 to 64 characters"),
        (PARITY.replace("odd", "o" * 65), "a word of up to 64|printable text of 1 to 64"),
        ('outputs = ["0", "1", "-"]\n' + PARITY, "an output cannot be called '-'"),
        ("accepting = ['odd', 'x']\n" + PARITY, "accepting names 'x', which is no state"),
        ("accepting = ['odd']\n" + PARITY, "an entry of an acceptor is its next state"),
    ],
)
def test_toml_that_is_no_machine(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint) as caught:
        tasks.parse(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: a digraph is needed"),
        ("graph {", "line 1: a digraph is needed"),
        ("digraph g { a -> ", "line 1: a node is needed, not 'its end'"),
        ("digraph g { a [label=<b>] }", "'<b>. }' is not read"),
        ("digraph g {}", "one edge must lead from __start0 to the start, not 0"),
        (AALPY.replace("b/y", "a/y"), "line 5: state q0, symbol a: there are two transitions"),
        (AALPY.replace('s1 -> s1  [label="a/y"];', ""), "state q1, symbol a: the transition is m"),
        (AALPY.replace("a/y", "a/y/z"), "line 6: an edge is labelled symbol/output"),
        (AALPY.replace("a/y", ""), "line 6: an edge is labelled symbol/output, not ''"),
        (DFA.replace(", shape=doublecircle", ""), "outputs are said in none of the ways"),
        (AUTOMATALIB_MOORE.replace("s0 / x", "s0"), "outputs are said in none of the ways"),
        (AUTOMATALIB_MOORE.replace(" / ", "/"), "outputs are said in none of the ways"),
        (
            AUTOMATALIB_MOORE.replace('="a"', '="a/b"'),
            "in several ways: on edges .*; in the labels",
        ),
        (MOORE.replace('|y"', '|y" shape=doublecircle'), "in several ways: in the .* accept"),
        (AALPY.replace('"q1"', '"q1" shape=doublecircle'), "in several ways: on edges .* accept"),
        (AALPY + "__start0 -> s1", None),
    ],
)
def test_graphs_that_are_no_machine(text: str, complaint: str | None, tmp_path: Path) -> None:
    path = tmp_path / "machine.dot"
    path.write_text(text)
    if complaint is None:  # what comes after the graph is not looked at
        assert tasks.parse(path).machine.states == ("q0", "q1")
        return
    with pytest.raises(InputError, match=complaint) as caught:
        tasks.parse(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("first", ["1\n", "1 0\n", "1 0 b x\n", "\n1\n"])
def test_a_transducer_starts_where_its_first_line_does(first: str) -> None:
    """Whether that is of a final state or of an arc, as fstcompile has it."""
    rest = FST.replace("1 0 b x\n", "") if "b" in first else FST
    machine = automata.from_openfst(first + rest)
    assert machine.states == ("1", "0")
    word = [machine.symbols.index(name) for name in "aab"]
    assert [machine.output_name(y) for y in machine.transduce(word)] == ["y", "y", "x"]


def test_that_states_are_final_need_not_be_said() -> None:
    said = automata.from_openfst(FST)
    assert automata.from_openfst(FST.removesuffix("0\n1\n")) == said


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there are no transitions"),
        (FST.removesuffix("1\n"), "state '1' is not final, and others are"),
        ("1\n" + FST.removesuffix("0\n1\n"), "state '0' is not final, and others are"),
        (FST + "2\n", "state 2, symbol a: the transition is missing"),
        (FST + "0 1\n", "weights are not read"),
        (FST.replace("a x", "a x 0.5"), "line 1: weights are not read"),
        (FST.replace("a x", "a x b c"), "source destination input output are needed"),
        (FST.replace("a x", "a"), "line 1: source destination input output"),
        (FST.replace("a x", "0 x"), "line 1: input '0' is the empty word"),
        (FST.replace("a x", "a <eps>"), "line 1: output '<eps>' is the empty word"),
        (FST.replace("b y", "a y"), "line 2: state 0, symbol a: there are two transitions"),
        (FST.replace("1 1 a y\n", ""), "state 1, symbol a: the transition is missing"),
    ],
)
def test_transducers_that_are_no_machine(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "machine.fst"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint) as caught:
        tasks.parse(path)
    assert "\n" not in str(caught.value)


def test_symbol_tables_beside_a_transducer_are_read(tmp_path: Path) -> None:
    text, inputs, outputs = automata.to_openfst(tasks.parse("parity").machine)
    (tmp_path / "machine.fst").write_text(text)
    with pytest.raises(InputError, match="input '0' is the empty word"):
        tasks.parse(tmp_path / "machine.fst")
    (tmp_path / "machine.isyms").write_text(inputs)
    (tmp_path / "machine.osyms").write_text(outputs)
    task = tasks.parse(tmp_path / "machine.fst")
    assert (task.name, task.answer("1101")) == ("machine", "1001")


def test_files_that_are_none_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(2**30)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    complaints = {
        "folder.toml": "[Dd]irectory",
        "pipe.toml": "not a regular file",
        "large.toml": "larger than 1 MB",
        "bytes.toml": "not text in UTF-8",
        "none.toml": "No such file",
        "n\0ne.toml": "null",
    }
    for name, complaint in complaints.items():
        with pytest.raises(InputError, match=complaint) as caught:
            tasks.parse(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_machine_of_a_million_states_is_refused() -> None:
    count = 10**6
    with pytest.raises(InputError, match="1,000,000 states and 1 symbols is too large"):
        Machine(tuple(map(str, range(count))), ("a",), ("0", "1"), ((0,),) * count, ((0,),) * count)
    names = tuple(map(str, range(1100)))
    with pytest.raises(InputError, match="at most 1,048,576 transitions"):
        Machine(names, names, ("0", "1"), ((0,) * 1100,) * 1100, ((0,) * 1100,) * 1100)


def test_unreachable_states_are_told_and_not_refused() -> None:
    machine = Machine(("a", "b", "c"), ("0",), ("0", "1"), ((0,), (0,), (1,)), ((0,), (1,), (1,)))
    assert machine.unreachable == ("b", "c")
    assert tasks.own("mine", machine).machine is machine


def test_what_is_written_where_nothing_is_asked_is_no_output() -> None:
    """Refused where it is made, before anything is trained that could not be read again."""
    with pytest.raises(InputError, match="an output cannot be called '-'") as no:
        Machine(("q",), ("a", "b"), ("+", "-"), ((0, 0),), ((0, 1),))
    assert "\n" not in str(no.value)
    wanted = Machine(("q",), ("a", "b", "c"), ("+", "x"), ((0, 0, 0),), ((0, 1, None),))
    table, fst = "[transitions.q]\na = ['q', '+']\nb = ['q', 'x']\nc = ['q', '-']\n", "q q a +\n"
    assert tables.from_toml(table).machine == wanted
    assert automata.from_openfst(fst + "q q b x\nq q c -\nq\n") == wanted
    assert automata.from_dot(wanted.to_dot()) == wanted
    assert tasks.own("mine", wanted).answer("abc") == "+x-"


def test_digests_tell_machines_apart() -> None:
    machine = tasks.parse("parity").machine
    assert (
        machine.digest()
        == Machine(
            *(vars(machine)[k] for k in ("states", "symbols", "outputs", "delta", "output"))
        ).digest()
    )
    changed = [
        replace(machine, states=("evn", "odd")),
        replace(machine, symbols=("0", "2")),
        replace(machine, outputs=("1", "0")),
        replace(machine, delta=((0, 1), (1, 1))),
        replace(machine, output=((0, 1), (1, None))),
    ]
    assert len({machine.digest(), *(each.digest() for each in changed)}) == 6


def test_facts_of_another_machine_are_refused() -> None:
    facts = tables.to_facts(tables.from_toml(PARITY))
    facts["machine"]["transitions"]["odd"]["1"] = ["odd", "1"]
    with pytest.raises(InputError, match="is not its machine, which is odd@"):
        tables.from_facts(facts)
    with pytest.raises(InputError, match=r"the machine of task .* is not there"):
        tables.from_facts({"task": facts["task"]})
