"""The command line.  Results go to standard output, progress to standard error.

Exit codes: 0 right or proved, 1 wrong or refuted (or not valid, of `check`), 2 bad usage or
input, or an output that cannot be written, 3 undecided (of `prove` only), 70 an error of
carrynet's own, 130 interrupted.

Here is what all commands share: the list of them, the streams, what becomes of errors.  Each
command is a module, imported when it is called, which itself imports what takes time (NumPy,
the engines) when its arguments have been understood.
"""

import io
import os
import sys
from collections import UserDict
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import click

from carrynet import __version__
from carrynet.cli import output
from carrynet.errors import CarrynetError, shorten

COMMANDS = {
    "add": "Add numbers of any length, in columns: carrynet add 118 8.",
    "ask": "Let a network work one problem: carrynet ask 118 8.",
    "automaton": "Show the machine that a network has learned.",
    "bench": "Measure this machine: carrynet beside what else is installed.",
    "check": "Check a run's certificate, from its weights and nothing else.",
    "compare": "Say which of two numbers is larger: carrynet compare 5 9.",
    "compile": "Make a run of weights by construction, for a machine.",
    "evaluate": "Test a run on every short problem, and on samples of long ones.",
    "explain": "Show a problem digit by digit, with margins and hidden units.",
    "export": "Write a network as ONNX, PyTorch, Keras, C or safetensors.",
    "harden": "Train a run on until it is easy to prove: a new run.",
    "import": "Make a run of a network that was trained elsewhere.",
    "multiply": "Multiply by the constant of the task: carrynet multiply 14.",
    "plot": "Draw what became of a sweep's networks: figures and a page.",
    "prove": "Decide whether a run is right for numbers of any length.",
    "report": "Write the page of a run, one file to look inside the network.",
    "subtract": "Subtract the second number: carrynet subtract 5 9.",
    "sweep": "Train, test and judge every network of a plan: a table.",
    "table": "Count what became of a sweep's networks: rates and intervals.",
    "train": "Train a network, test it, try to prove it, and write the run.",
}
"""How the help of each command begins, so that the list of them needs none of their modules.

Each fits beside its name in 80 columns.
"""

BEGIN = """\
carrynet trains small recurrent networks, and proves that they are right for
words of any length, or shows one that they get wrong. To begin with:

  carrynet train            train one to add, test it, prove it
  carrynet add 118 8        let it add, in columns
  carrynet report --open    look inside: its page

All commands: carrynet --help. Of one: carrynet train --help."""
"""What `carrynet` says alone."""

_HOME = {
    "compile": ("compile", "compile_"),
    "import": ("import_", "import_"),
    **{name: ("arithmetic", name) for name in ("add", "subtract", "compare", "multiply")},
}
"""The module of a command, and its name there, where these are not its own name."""


class _Commands(UserDict[str, click.Command]):
    """Commands by name, each imported when it is asked for; what is held are only the names."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in self:
            raise KeyError(name)
        module, attribute = _HOME.get(name, (name, name))
        command: click.Command = getattr(import_module(f"carrynet.cli.{module}"), attribute)
        return command


class _Group(click.Group):
    """Lists its commands without importing them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list, as Click does."""
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        rows = [
            (name, click.Command(name, help=about).get_short_help_str(limit))
            for name, about in sorted(COMMANDS.items())
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(
    cls=_Group,
    commands=_Commands({name: click.Command(name) for name in COMMANDS}),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Small recurrent networks that learn rules symbol by symbol, arithmetic first.

    RUN, where a command takes one, is a folder that 'carrynet train' made; left
    out, it is the newest under runs/.
    """


def main() -> None:
    """Run the command line; every foreseen error is one line on standard error."""
    # Operands and answers may be longer than the 4,300 digits that Python converts by default.
    sys.set_int_max_str_digits(0)
    _open_streams()
    code = _run_command()
    try:
        sys.stdout.flush()
    except OSError as error:
        # of a command that failed, perhaps because of this very output, one line is told already
        code = _failed(_unwritten(error)) if code in output.DONE else code
    if isinstance(sys.stdout, io.TextIOWrapper) and code not in output.DONE:
        # what cannot be written is not tried again when Python ends
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _open_streams() -> None:
    """Make sure that there are standard streams, and that they take every character.

    A stream that is closed when the process begins is None, and the next file that is opened
    gets its number, so that what is meant for the stream would go there.
    """
    closed = sys.stdout is None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):  # bars and signs that a console cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if closed:
        sys.exit(_failed("standard output is closed: send it to a file, or to /dev/null"))


def _run_command() -> int:
    """Run the command that was given: its exit code."""
    stdout = sys.stdout
    try:
        try:
            code = cli.main(standalone_mode=False) or 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        # where its reader has gone, Click puts another stream in its place and says no more
        return code if sys.stdout is stdout else output.BAD_INPUT
    except CarrynetError as error:
        return _failed(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        alone = error.ctx.command is cli
        click.echo(BEGIN if alone else error.ctx.get_help(), err=True)
        return output.BAD_INPUT
    except click.ClickException as error:
        return _failed(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        return output.INTERRUPTED
    except MemoryError:
        return _failed("there is not enough memory: try smaller digits, hidden or batch")
    except OSError as error:  # a disk that is full, a folder that may not be read, no reader
        return _failed(_unwritten(error))
    except Exception as error:
        if _interrupted(error):
            return output.INTERRUPTED
        return _crashed(error)


def _unwritten(error: OSError) -> str:
    if isinstance(error, BrokenPipeError):
        return ""  # our reader has gone, as in 'carrynet explain ... | head'
    where = shorten(str(error.filename)) if error.filename else "output"
    return f"{where}: {error.strerror or error}"


def _interrupted(error: BaseException | None) -> bool:
    """Whether it was Ctrl-C, which some libraries turn into an error of their own."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _failed(message: str) -> int:
    """The exit code 2, after a line on standard error."""
    if message:
        with suppress(OSError):
            click.echo(f"carrynet: {' '.join(message.split())}", err=True)
    return output.BAD_INPUT


def _crashed(error: Exception) -> int:
    """The exit code for an error that nobody foresaw, after a line on standard error."""
    if os.environ.get("CARRYNET_DEBUG"):
        raise error
    place, last = "", error.__traceback__
    while last is not None:
        file = Path(last.tb_frame.f_code.co_filename)
        if "carrynet" in file.parts:
            place = f" at {file.name}:{last.tb_lineno}"
        last = last.tb_next
    _failed(
        f"an error of carrynet's own{place}, please report it: {type(error).__name__}: "
        f"{shorten(str(error), 200)} (CARRYNET_DEBUG=1 shows where it came from)"
    )
    return output.CRASHED
