"""What commands print, and the codes that they exit with."""

import json
import os
import re
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any, NoReturn

import click

from carrynet.errors import InputError

RIGHT, WRONG, BAD_INPUT, UNDECIDED = range(4)
DONE = (RIGHT, WRONG, UNDECIDED)  # of commands that have printed a result
CRASHED = 70  # as sysexits.h has it: an internal error
INTERRUPTED = 130  # as shells have it: 128 + SIGINT


_VERDICTS = {
    "proved": "green",
    "valid": "green",
    "REFUTED": "red",
    "NOT VALID": "red",
    "undecided": "yellow",
}
"""The colour of the word for a verdict, as a line begins with it."""
_COLOURS = {**_VERDICTS, "WRONG": "red"}
_COLOURED = re.compile(rf"^(?:{'|'.join(_VERDICTS)})(?= )|\bWRONG\b", re.MULTILINE)


def tell(result: str | dict[str, Any]) -> None:
    """Print a result: text as it is, plain values as one document of JSON.

    On a terminal the word for a verdict, and of an answer that is wrong, has a colour, unless
    NO_COLOR is set (no-color.org).
    """
    if not isinstance(result, str):
        click.echo(as_text(result), nl=False)
        return
    # elsewhere than on a terminal Click leaves colours out
    click.echo(result if os.environ.get("NO_COLOR") else coloured(result))


def coloured(text: str) -> str:
    """A text with its verdicts, and what is wrong, in colour, as terminals take it."""

    def one(verdict: re.Match[str]) -> str:
        return click.style(verdict[0], fg=_COLOURS[verdict[0]], bold=True)

    return _COLOURED.sub(one, text)


def wrapped(name: str, text: str) -> str:
    """A text beside its name: one line, but on a terminal as many as its width makes of it."""
    line = f"{name:<12}{text}"
    if not sys.stdout.isatty():
        return line
    return textwrap.fill(
        line,
        shutil.get_terminal_size().columns,
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )


def as_text(document: dict[str, Any]) -> str:
    """Plain values as one document of JSON."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def leave(right: bool) -> NoReturn:
    """End with the code of what is right or proved, or of what is not."""
    sys.exit(RIGHT if right else WRONG)


def interrupted(hint: str) -> NoReturn:
    """End with the code of Ctrl-C, and say how to go on."""
    click.echo(f"interrupted; {hint}", err=True)
    sys.exit(INTERRUPTED)


def show(page: Path, wanted: bool) -> None:
    """Open a page in the browser, if that is asked for."""
    import webbrowser

    if wanted and not webbrowser.open(page.resolve().as_uri()):
        raise InputError(f"no browser could be started: open {page} in one")
