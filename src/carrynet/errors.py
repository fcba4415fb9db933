"""The errors that a user can cause, each a single line that says what to do.

The command line prints the line and exits with 2; a library user catches
`CarrynetError`.  Bugs are not wrapped: in a library they keep their traceback, and the command
line exits with 70.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class CarrynetError(Exception):
    """Anything that carrynet refuses or cannot go on with."""


class InputError(CarrynetError, ValueError):
    """A value outside what is accepted; the message names both."""


class Unavailable(CarrynetError):
    """Why this machine, or this network, cannot have an engine."""


class RunError(CarrynetError):
    """A run folder that is missing, damaged, unfinished or not one at all."""


def shorten(value: object, most: int = 60) -> str:
    """A value as it is shown in a message: at most some 60 characters."""
    if isinstance(value, int) and abs(value) >= 10**60:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def unknown(kind: str, name: object, accepted: Iterable[str]) -> InputError:
    """An `InputError` for a name that is not in a list, naming the nearest one that is."""
    names = list(accepted)
    nearest = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean '{nearest[0]}'? " if nearest else ""
    shown = shorten(str(name))
    return InputError(f"unknown {kind} {shown}: {hint}accepted: {', '.join(names)}")
