"""Anything that answers words, as a teacher of extraction; nothing is known of it but its answers.

    a function      from a word, a tuple of symbols, to what is answered after its last one
    a system        with `pre()`, `step(symbol)` and `post()`, as AALpy's SUL has them

What was answered is kept, and not asked again.  States are numbers of the words that lead there.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from carrynet.errors import InputError, shorten
from carrynet.spec.machine import Machine


@runtime_checkable
class System(Protocol):
    """What is reset, and then answers one symbol after another: AALpy's SUL."""

    def pre(self) -> Any:
        """Begin a word."""

    def step(self, letter: Any) -> Any:
        """What is answered to the next symbol."""

    def post(self) -> Any:
        """End the word."""


Answers = System | Callable[[tuple[Any, ...]], Any]
"""What can be asked words."""


class BlackBox:
    """The states of something by the words that lead to them: shape (N, 1), numbers of words.

    `outputs` are what can be answered, in the order of a machine's; else they are found.
    """

    def __init__(
        self, ask: Answers, symbols: Sequence[Any], outputs: Sequence[Any] | None = None
    ) -> None:
        if not isinstance(ask, System) and not callable(ask):
            raise InputError(
                "what answers words is a function, or has pre, step and post; or it is a Network "
                f"or a Run: not {shorten(ask)}"
            )
        if not symbols:
            raise InputError("a black box needs at least one of its symbols")
        self._ask, self._letters = ask, tuple(symbols)
        self._any = outputs is None
        self._outputs: dict[Any, int] = {out: i for i, out in enumerate(outputs or ())}
        self._said: dict[tuple[int, ...], int] = {}  # to the last symbol of a word
        self._words: list[tuple[int, ...]] = [()]
        self._number: dict[tuple[int, ...], int] = {(): 0}  # of a word
        self.symbols = tuple(map(str, symbols))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what can be answered, or was by now."""
        return tuple(map(str, self._outputs))

    @property
    def start(self) -> NDArray[np.int64]:
        """The state before the first symbol: shape (1, 1)."""
        return np.zeros((1, 1), np.int64)

    def children(self, states: NDArray[Any]) -> NDArray[np.int64]:
        """The states after every symbol: (N, 1) to (N, S, 1)."""
        words = [(*self._words[q], a) for q in states[:, 0] for a in range(len(self._letters))]
        return np.concatenate(list(map(self.after, words))).reshape(len(states), -1, 1)

    def after(self, word: Sequence[int]) -> NDArray[np.int64]:
        """The state (1, 1) after a word."""
        number = self._number.setdefault(tuple(word), len(self._words))
        self._words += [tuple(word)] * (number == len(self._words))
        return np.full((1, 1), number)

    def answers(self, states: NDArray[Any], words: NDArray[np.int64]) -> NDArray[np.int64]:
        """Outputs from each state (N, 1) along each word (M, T): shape (N, M, T)."""
        before = [self._words[q] for q in states[:, 0]]
        found = [
            [self.transduce([*prefix, *word])[len(prefix) :] for word in words.tolist()]
            for prefix in before
        ]
        return np.array(found, np.int64).reshape(len(states), *words.shape)

    def transduce(self, word: Sequence[int]) -> list[int]:
        """The outputs along a word."""
        prefixes = [tuple(word[: i + 1]) for i in range(len(word))]
        if any(prefix not in self._said for prefix in prefixes):
            letters = tuple(self._letters[a] for a in word)
            if isinstance(self._ask, System):
                self._ask.pre()
                told = [self._ask.step(letter) for letter in letters]
                self._ask.post()
                for prefix, out in zip(prefixes, told, strict=True):
                    self._keep(prefix, out)
            else:
                for i, prefix in enumerate(prefixes, 1):
                    if prefix not in self._said:
                        self._keep(prefix, self._ask(letters[:i]))
        return [self._said[prefix] for prefix in prefixes]

    def doubtful(self, machine: Machine) -> None:
        """No word: of what a black box should do nothing is known."""

    def _keep(self, word: tuple[int, ...], answer: Any) -> None:
        try:
            number = self._outputs.get(answer)
        except TypeError:
            raise InputError(f"what is answered must be hashable, not {shorten(answer)}") from None
        if number is None:
            if not self._any:
                raise InputError(
                    f"the answer {shorten(answer)} is none of the outputs "
                    f"{shorten(', '.join(self.outputs))}"
                )
            number = self._outputs[answer] = len(self._outputs)
        if self._said.setdefault(word, number) != number:
            names = shorten(" ".join(self.symbols[a] for a in word))
            raise InputError(
                f"the word {names} is answered otherwise than before: what depends on more than "
                "the word is no machine"
            )
