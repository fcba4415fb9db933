"""Layers in a row, where a file does not tell it all: how a head ends, which comes where."""

from collections.abc import Callable

from carrynet.exchange.layered import Layer

LAST = "the answer is the one after the last symbol, and is taken after each"
END = {
    "sigmoid": "the sigmoid at the end is left out: 1/2 after it is 0 before",
    "softmax": "the softmax at the end is left out: it does not change which answer is greatest",
    "logsoftmax": "the log-softmax at the end is left out: it changes no differences of answers",
    "argmax": "the argmax at the end is left out: the answer is the greatest logit's",
}
"""What may end a head, in small letters, and the note that it is left out."""


def without_end(
    head: tuple[Layer, ...], ended: str, note: Callable[[str], None]
) -> tuple[Layer, ...]:
    """A head without what only turns logits into answers; `ended` is what came after it."""
    if ended:
        note(END[ended.lower()])
    if head and head[-1] == "sigmoid":
        note(END["sigmoid"])
        return head[:-1]
    return head
