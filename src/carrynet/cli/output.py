"""What commands print, and the codes that they exit with."""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from carrynet.errors import InputError

RIGHT, WRONG, BAD_INPUT, UNDECIDED = range(4)
DONE = (RIGHT, WRONG, UNDECIDED)  # of commands that have printed a result
CRASHED = 70  # as sysexits.h has it: an internal error
INTERRUPTED = 130  # as shells have it: 128 + SIGINT


def tell(result: str | dict[str, Any]) -> None:
    """Print a result: text as it is, plain values as one document of JSON."""
    click.echo(result if isinstance(result, str) else as_text(result), nl=isinstance(result, str))


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
