"""How whoever waits is told how far something is: the kinds of functions that are called."""

from collections.abc import Callable
from time import monotonic

Watch = Callable[[int, int], None]
"""Told how much is done, out of how much there is, as far as that is known."""

Forecast = Callable[[int, int, float], None]
"""Told the same of a search that finds more to do as it goes, and how many seconds it would take in
all, were the rest like what is done: 0 where that is not known."""

Tell = Callable[[str], None]
"""Told in words what is being done, where nobody knows how long it takes."""


def within(tell: Tell, budget: float) -> Tell:
    """Tell as well how much is used of the seconds that there are from now on: "3 of 10 s"."""
    began = monotonic()

    def told(step: str) -> None:
        tell(f"{step}, {min(monotonic() - began, budget):.0f} of {budget:g} s")

    return told


def seldom(tell: Tell, seconds: float = 0.1) -> Tell:
    """Tell no more often than once in so many seconds, for loops whose turns are short.

    What comes in between is left out, and so is what comes sooner than that.
    """
    last = monotonic()

    def told(step: str) -> None:
        nonlocal last
        now = monotonic()
        if now - last >= seconds:
            last = now
            tell(step)

    return told
