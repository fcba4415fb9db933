"""What several commands are told alike: options, arguments, how numbers and settings are read."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from carrynet import files
from carrynet.errors import InputError, shorten
from carrynet.spec.codec import Operand
from carrynet.spec.task import Task

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

ALL_DIGITS = "Try all problems whose operands have up to so many digits."

# An operand that begins with a minus sign is refused as a number, not as an option.
OPERANDS_FOLLOW = {"ignore_unknown_options": True}

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
run = click.argument("run", required=False, type=click.Path(path_type=Path))
run_option = click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="The run to ask.  [default: the newest that fits]",
)
digits = click.option("--digits", type=int, help="Read the operands with this many digits.")


def _some_digits(_context: object, _parameter: object, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise InputError(f"digits must be at least 1, not {value}")
    return value


tested_digits = click.option(
    "--digits",
    type=int,
    callback=_some_digits,
    help=f"{ALL_DIGITS}  [default: 8, fewer where they are too many]",
)
settings = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key of the recipe."
)


def check_format(form: str | None, as_json: bool) -> None:
    """Refuse another format beside --json."""
    if as_json and form not in (None, "json"):
        raise InputError(f"--json and the format {form} say different things: give one of them")


def new(said: str) -> Callable[[Decorated], Decorated]:
    """The option that names what to write: nothing that a run or a sweep needs."""
    path = click.Path(path_type=Path)
    return click.option("--out", type=path, callback=_free, help=said)


def _free(_context: object, _parameter: object, value: Path | None) -> Path | None:
    if value is None:
        return None
    from carrynet.report.page import NAME
    from carrynet.runs.format import is_of_run
    from carrynet.sweep.store import is_of_sweep

    # as it is said, and where its links lead
    for path in (Path(os.path.abspath(value)), Path(os.path.realpath(value))):  # noqa: PTH100
        of_run = path.name != NAME and is_of_run(path)
        if of_run or is_of_sweep(path):
            what = "run" if of_run else "sweep"
            raise InputError(f"{shorten(str(value))} is a file of a {what}: choose another --out")
    return value


new_run = new("Folder to write.  [default: runs/...]")


force = click.option("--force", is_flag=True, help="Replace the run that --out names.")


def budget(default: float) -> Callable[[Decorated], Decorated]:
    """The option that bounds how long a verdict is searched for."""
    return click.option(
        "--budget",
        type=click.FloatRange(0, 1e6),
        callback=_finite,
        default=default,
        show_default=True,
        help="Seconds to search, beyond the quick steps.",
    )


def _finite(_context: object, _parameter: object, value: float) -> float:
    if value != value:  # which no range refuses
        raise click.BadParameter("nan is not in the range 0<=x<=1000000.")
    return value


Keys = Mapping[str, Sequence[tuple[str, str]]]
"""Lists of a help text, by their titles: each key with what is said of it."""


class WithKeys(click.Command):
    """A command whose help ends with the keys of a file, from their one definition."""

    def __init__(self, *arguments: Any, keys: Callable[[], Keys], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._keys = keys

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them, in columns like those of the options."""
        for title, rows in self._keys().items():
            with formatter.section(title):
                formatter.write_dl(rows)


def whole_numbers(texts: Sequence[str]) -> tuple[int, ...]:
    """Numbers >= 0 of any length, in decimal digits.  Raises `InputError` for others."""
    return tuple(map(_whole_number, texts))


def problem(task: Task, texts: Sequence[str]) -> tuple[Operand, ...]:
    """A problem of a task from the arguments of a command: numbers, or a word of symbols."""
    return whole_numbers(texts) if task.numeric else (" ".join(texts),)


def run_first(arguments: tuple[str, ...]) -> tuple[Path | None, tuple[str, ...]]:
    """The run that stands before a problem, if one does: a folder, which no number names.

    What three or more arguments begin with that is no number, before numbers, is one as well,
    though it is not there.
    """
    first, *rest = arguments
    numbers = len(rest) > 1 and all(text.lstrip("-").isdecimal() for text in rest)
    missing = numbers and not first.startswith("-")  # which no option is that there is not
    if not first.lstrip("-").isdecimal() and (missing or _is_folder(first)):
        return Path(first), tuple(rest)
    return None, arguments


def parse_settings(texts: tuple[str, ...]) -> dict[str, Any]:
    """Settings from texts of the form `key=value`, values as in TOML, quotes not needed."""
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"setting '{text}' must have the form key=value")
        if (key := key.strip()) in settings:
            raise InputError(f"--set {key} is there twice: give it once")
        try:
            table = files.from_toml(f"value = {value}")
        except (ValueError, RecursionError):
            table = {}
        # what has more lines may say more than the value
        settings[key] = table["value"] if len(table) == 1 else value.strip()
    return settings


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except (OSError, ValueError):
        return False


def _whole_number(text: str) -> int:
    if text.isascii() and text.isdecimal():
        return int(text)
    if text[:1] == "-" and text[1:].isdecimal():
        raise InputError(f"operand {shorten(text)} is negative: accepted are 0, 1, 2, ...")
    raise InputError(f"operand {shorten(text)} is not a whole number in decimal digits: write 118")
