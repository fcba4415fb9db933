"""The tasks that are built in, against predicates written anew, and published state counts."""

import json
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from carrynet import tasks
from carrynet.errors import InputError
from carrynet.spec.builtin import FAMILIES, make
from carrynet.spec.task import Task


def runs(word: str) -> list[str]:
    return [match[0] for match in re.finditer(r"0+|1+", word)]


def tomita3(word: str) -> bool:
    """No odd run of 1s with an odd run of 0s anywhere later."""
    odd = [run[0] for run in runs(word) if len(run) % 2]
    return not any(a == "1" and "0" in odd[i:] for i, a in enumerate(odd))


def value(word: str, modulus: int, precedence: bool) -> str:
    """An expression's value, by Python itself; '-' where it is none."""
    if not re.fullmatch(r"\d([-+*]\d)*", word):
        return "-"
    if precedence:
        return str(eval(word) % modulus)
    total = int(word[0])
    for sign, digit in zip(word[1::2], word[2::2], strict=True):
        total = eval(f"{total}{sign}{digit}")
    return str(total % modulus)


def claimed(word: str, modulus: int) -> str:
    """Whether an expression is followed by = and its value."""
    expression, _, claim = word.rpartition("=")
    return bit(claim.isdecimal() and value(expression, modulus, False) == claim)


def arrived(word: str, places: int) -> str:
    """Whether moves on a circle are followed by the place where they end."""
    moves = word[:-1]
    position = (moves.count(">") - moves.count("<")) % places
    return bit(not set(moves) - set("<>=") and word[-1] == str(position))


def balanced(word: str, depth: int) -> bool:
    before, deepest = "", 0
    while word != before:
        before, word = word, re.sub(r"\(\)|\[\]", "", word)
    return not word and deepest <= depth


def nested(word: str) -> int:
    level = deepest = 0
    for bracket in word:
        level += 1 if bracket in "([" else -1
        deepest = max(deepest, level)
    return deepest


def bit(truth: bool) -> str:
    return "1" if truth else "0"


ORACLES: dict[str, tuple[int, Callable[[str], str]]] = {
    # text: how many states there are, minimised; what is answered after a word
    "tomita:1": (2, lambda w: bit(re.fullmatch("1*", w) is not None)),
    "tomita:2": (3, lambda w: bit(re.fullmatch("(10)*", w) is not None)),
    "tomita:3": (5, lambda w: bit(tomita3(w))),
    "tomita:4": (4, lambda w: bit("000" not in w)),
    "tomita:5": (4, lambda w: bit(w.count("0") % 2 == w.count("1") % 2 == 0)),
    "tomita:6": (3, lambda w: bit((w.count("0") - w.count("1")) % 3 == 0)),
    "tomita:7": (5, lambda w: bit(re.fullmatch("0*1*0*1*", w) is not None)),
    "parity": (2, lambda w: bit(w.count("1") % 2 == 1)),
    "parity_of_zeros": (2, lambda w: bit(w.count("0") % 2 == 1)),
    "parity_of_index": (2, lambda w: bit(len(w) % 2 == 0)),
    "shift": (2, lambda w: w[-2] if len(w) > 1 else "0"),
    "even_pairs": (3, lambda w: bit((w.count("01") + w.count("10")) % 2 == 1)),
    "first": (3, lambda w: w[0]),
    "repeat_01": (3, lambda w: bit(re.fullmatch("(01)*", w) is not None)),
    "cycle:5": (5, lambda w: str((w.count("+") - w.count("-")) % 5)),
    "modular:3": (19, lambda w: value(w, 3, True)),
    "modular:5": (51, lambda w: value(w, 5, True)),
    "modular:5,precedence=0": (19, lambda w: value(w, 5, False)),
    "cycle_answer:5": (6, lambda w: arrived(w, 5)),
    "modular_answer:3": (14, lambda w: claimed(w, 3)),
    "modular_answer:5": (24, lambda w: claimed(w, 5)),
    "dyck": (16, lambda w: bit(balanced(w, 3) and nested(w) <= 3)),
    "window": (3, lambda w: bit(w.endswith("111"))),
    "window:length=1": (1, lambda w: w[-1]),
    "window_parity:length=2": (2, lambda w: bit(w[-2:].count("1") % 2 == 1)),
    "window_parity": (4, lambda w: bit(w[-3:].count("1") % 2 == 1)),
    "window_parity:length=4": (8, lambda w: bit(w[-4:].count("1") % 2 == 1)),
    "window_alternates": (4, lambda w: bit(("00" + w)[-3:] in ("010", "101"))),
    "window_alternates:length=4": (6, lambda w: bit(("000" + w)[-4:] in ("0101", "1010"))),
    "add_mod:k=4": (4, lambda w: str(sum(map(int, w)) % 4)),
    "minimum": (10, lambda w: min(w)),
    "repeats": (8, lambda w: bit(("0" + w)[-2] == w[-1])),
    "even_digit": (1, lambda w: bit(int(w[-1]) % 2 == 0)),
}


@pytest.mark.parametrize("text", ORACLES)
def test_every_short_word_is_answered_as_by_the_predicate(text: str) -> None:
    states, oracle = ORACLES[text]
    task = tasks.parse(text)
    assert task.text == text
    assert len(task.machine.states) == len(task.machine.minimise().states) == states
    names = task.machine.symbols
    longest = max(n for n in range(1, 13) if len(names) ** n <= 60_000 or n == 1)
    for word in map("".join, product(names, repeat=longest)):
        answer = task.answer(word)
        assert isinstance(answer, str)
        # each prefix's answer stands in those of the words that it begins
        assert answer[-1] == oracle(word)
    for n in range(1, longest):
        word = names[-1] * n
        assert task.answer(word) == "".join(oracle(word[: i + 1]) for i in range(n))


def test_adjacent_runs_are_another_language_than_tomitas_third() -> None:
    """In 100110 the odd run of 0s comes later, but not next."""
    machine = tasks.parse("tomita:3")
    assert machine.answer("100110") == "101110"


@pytest.mark.parametrize(
    ("text", "states", "symbols"),
    [
        ("dither", 15, 16),
        ("scalar_product", 2, 4),
        ("is_square", 1, 20),
        ("bitwise_xor", 1, 4),
        ("cycle:7", 7, 3),
        ("dyck:kinds=1,depth=3", 5, 2),
    ],
)
def test_sizes_are_those_that_were_published(text: str, states: int, symbols: int) -> None:
    machine = tasks.parse(text).machine
    assert (len(machine.minimise().states), len(machine.symbols)) == (states, symbols)


def test_words_of_long_names() -> None:
    word = (3, 15, 9, 0, 15)
    total, outputs = 0, []
    for x in word:
        outputs.append(str((total + x) // 15))
        total = (total + x) % 15
    assert tasks.parse("dither").answer(" ".join(map(str, word))) == "".join(outputs)
    assert tasks.parse("scalar_product").answer("11 10,11, 11") == "1101"
    assert tasks.parse("is_square").answer("4 5 16") == "101"


@pytest.mark.parametrize(
    ("text", "oracle"),
    [
        ("divide_by:k=3", lambda a: a // 3),
        ("divide_by:k=5", lambda a: a // 5),
        ("divide_by:k=7,base=10", lambda a: a // 7),
        ("bitwise_and", lambda a, b: a & b),
        ("bitwise_or", lambda a, b: a | b),
        ("bitwise_xor", lambda a, b: a ^ b),
    ],
)
def test_numbers_are_answered_as_by_python(text: str, oracle: Callable[..., int]) -> None:
    task = tasks.parse(text)
    for operands in product(range(200 if task.operands == 1 else 33), repeat=task.operands):
        assert task.answer(*operands) == oracle(*operands)
        word = task.encode(operands, 9)
        assert task.problem(word) == operands
        assert task.decode(task.machine.transduce(word)) == oracle(*operands)


def test_the_most_significant_digit_comes_first_where_the_task_says_so() -> None:
    task = tasks.parse("divide_by:k=3,base=10")
    assert task.encode((907,)) == [9, 0, 7]
    assert task.decode([3, 0, 2]) == 302
    assert task.write((907,), 302) == "907 ÷ 3 = 302"


def test_not_is_of_as_many_bits_as_are_read() -> None:
    task = tasks.parse("bitwise_not")
    assert task.answer(5) == 2
    assert task.decode(task.machine.transduce(task.encode((5,), 4))) == 10


def every_task() -> list[Task]:
    """One of each family at least, with parameters at both ends."""
    found = []
    for name, row in FAMILIES.items():
        ends = [(p.low, min(p.high, 5 if p.name == "base" else 12)) for p in row.parameters]
        for values in product(*ends):
            names = [f"{p.name}={v}" for p, v in zip(row.parameters, values, strict=True)]
            found.append(tasks.parse(f"{name}:{','.join(names)}" if names else name))
    return found


def test_there_is_one_text_for_one_task() -> None:
    for task in every_task():
        assert tasks.parse(task.text) == task
        assert not task.own
    assert tasks.parse("tomita:n=4").text == tasks.parse("tomita:4").text == "tomita:4"
    assert tasks.parse("multiply_by:3").text == "multiply_by:k=3"
    assert tasks.parse("modular:5,precedence=1").text == "modular:5"
    assert tasks.parse("dyck:depth=3,kinds=2").text == "dyck"


def test_every_state_can_be_reached_and_every_output_occurs() -> None:
    for task in every_task():
        machine = task.machine
        assert machine.unreachable == ()
        occurring = {out for row in machine.output for out in row} - {None}
        if task.text not in ("divide_by:k=2", "multiply_by:k=1"):
            assert occurring == set(range(len(machine.outputs))), task.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tomita", "needs n: write for example tomita:3$"),
        ("tomita:8", "^task tomita: n must be a whole number from 1 to 7, not 8"),
        ("tomita:0", "from 1 to 7, not 0"),
        ("tomita:4,5", "unknown parameter of task tomita '5': accepted: n"),
        ("tomita:4,n=5", "n is given twice"),
        ("tomita:x", "n must be a whole number, not 'x'"),
        ("tomita:" + "9" * 5000, "n must be a whole number"),
        ("parity:3", "task parity takes no parameter, not '3'"),
        ("divide_by:k=1", "k must be a whole number from 2 to 100"),
        ("tomitta:4", "did you mean 'tomita'"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        tasks.parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "word", "message"),
    [
        ("parity", "0121", "'2' is no symbol: accepted are 0, 1"),
        ("parity", "", "a word of 0 symbols"),
        ("parity", 5, "takes one word of the symbols 0, 1, not 5"),
        ("dither", "16", "'16' is no symbol: accepted are 0, 1, 2"),
    ],
)
def test_what_is_no_word_is_refused(text: str, word: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tasks.parse(text).encode((word,))
    with pytest.raises(InputError, match="the word has 3 symbols, not 4"):
        tasks.parse("parity").encode(("011",), 4)


STRINGS = Path(__file__).parents[1] / "page" / "src" / "strings.json"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_page_says_in_both_languages_what_a_task_asks_or_does(family: str) -> None:
    """Where it asks a question the answers are 1 for yes and 0 for no."""
    words = json.loads(STRINGS.read_text(encoding="utf-8"))
    given = [p for p in FAMILIES[family].parameters if p.default is None]
    for n in range(1, 8) if family == "tomita" else (3,):
        task = make(family, **{p.name: n for p in given})
        asked = words.get(f"question.{task.text}") or words.get(f"question.{family}")
        told = asked or words[f"what.{family}"]
        assert set(told) == {"en", "zh"}
        if asked:
            assert task.machine.outputs == ("0", "1")
            assert not task.numeric
            assert asked["en"].endswith("?")
            assert asked["zh"].endswith("？")
