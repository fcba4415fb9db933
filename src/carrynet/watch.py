"""How whoever waits is told how far something is: the kinds of functions that are called."""

from collections.abc import Callable

Watch = Callable[[int, int], None]
"""Told how much is done, out of how much there is, as far as that is known."""

Tell = Callable[[str], None]
"""Told in words what is being done, where nobody knows how long it takes."""
