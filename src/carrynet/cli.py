"""The command line.  Results go to standard output, progress to standard error.

Exit codes: 0 right or proved, 1 wrong or refuted (or not valid, of `check`), 2 bad usage or
input, or an output that cannot be written, 3 undecided (of `prove` only), 70 an error of
carrynet's own, 130 interrupted.
"""

import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from carrynet import __version__
from carrynet.errors import CarrynetError, InputError, shorten
from carrynet.spec import recipe as recipes
from carrynet.spec.machine import Machine

if TYPE_CHECKING:
    from carrynet.lab import Run
    from carrynet.runs.record import Record
    from carrynet.spec.recipe import Recipe


Command = TypeVar("Command", bound=Callable[..., Any])

INTERRUPTED = 130  # as shells have it: 128 + SIGINT
CRASHED = 70  # as sysexits.h has it: an internal error


def _whole_number(text: str) -> int:
    """A number >= 0 of any length, in decimal digits."""
    if text.isascii() and text.isdecimal():
        return int(text)
    if text[:1] == "-" and text[1:].isdecimal():
        raise InputError(f"operand {shorten(text)} is negative: accepted are 0, 1, 2, ...")
    raise InputError(f"operand {shorten(text)} is not a whole number in decimal digits: write 118")


def _whole_numbers(
    _context: object, _parameter: object, texts: str | tuple[str, ...]
) -> tuple[int, ...]:
    return tuple(map(_whole_number, (texts,) if isinstance(texts, str) else texts))


def _finite(_context: object, _parameter: object, value: float) -> float:
    if value != value:  # which no range refuses
        raise click.BadParameter("nan is not in the range 0<=x<=1000000.")
    return value


_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_run = click.argument("run", required=False, type=click.Path(path_type=Path))
_run_option = click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="The run to ask.  [default: the newest that fits]",
)
_TRY_ALL = "Try all problems whose operands have up to so many digits."
_digits = click.option("--digits", type=int, help="Read the operands with this many digits.")


def _budget(default: float) -> Callable[[Command], Command]:
    """The option that bounds how long a proof is searched for."""
    return click.option(
        "--budget",
        type=click.FloatRange(0, 1e6),
        callback=_finite,
        default=default,
        show_default=True,
        help="Seconds for a proof, beyond the quick steps.",
    )


# An operand that begins with a minus sign is refused as a number, not as an option.
_operands_follow = {"ignore_unknown_options": True}


class _Train(click.Command):
    """Adds the keys of a recipe to the help, from their one definition."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("\n" + recipes.help_text() + "\n")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Small recurrent networks that learn arithmetic digit by digit.

    RUN, where a command takes one, is a folder that 'carrynet train' made; left
    out, it is the newest under runs/.
    """


@cli.command(cls=_Train)
@click.option(
    "--recipe", "-r", help="certified, tutorial, plain-adam or FILE.toml.  [default: certified]"
)
@click.option("--task", help="add, add:base=3,operands=3, subtract, compare, multiply_by:k=3, ...")
@click.option("--digits", type=int, help="Length of the training problems, answer included.")
@click.option("--hidden", type=int, help="Number of hidden units.")
@click.option("--seed", type=int, help="The only source of randomness.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key of the recipe."
)
@click.option("--engine", help="auto, native, numpy.  [default: auto]")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write.  [default: runs/...]"
)
@click.option("--force", is_flag=True, help="Replace the run that --out names.")
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with an interrupted run.")
@click.option(
    "--origin",
    type=click.Path(path_type=Path),
    help="The model.safetensors that a recipe with an origin begins with.",
)
@_budget(0.0)
@_json
def train(
    recipe: str | None,
    settings: tuple[str, ...],
    engine: str | None,
    out: Path | None,
    force: bool,
    resume: Path | None,
    origin: Path | None,
    budget: float,
    as_json: bool,
    **named: Any,
) -> None:
    """Train a network, test it on every problem, try to prove it, and write the run."""
    given = {key: value for key, value in named.items() if value is not None}
    if resume is not None and (recipe or settings or engine or out or force or origin or given):
        raise click.UsageError("--resume goes on with the run's own recipe: give it alone")
    chosen = recipes.get(recipe or recipes.DEFAULT).with_settings(
        {**recipes.parse_settings(settings), **given}
    )

    from carrynet.runs.create import making
    from carrynet.runs.folder import read_network

    if resume is not None:
        _carry_out(resume, budget, as_json)
        return
    if origin is not None and not origin.exists():
        raise InputError(f"cannot read {shorten(str(origin), 200)}: no such file or folder")
    begin = None if origin is None else read_network(origin)
    with making(out, chosen, engine or "auto", force=force, origin=begin) as folder:
        _carry_out(folder, budget, as_json)


def _carry_out(folder: Path, budget: float, as_json: bool) -> None:
    """Do the training that a folder holds, and print and judge what came of it."""
    from carrynet import lab
    from carrynet.learn.training import Diverged
    from carrynet.report import text
    from carrynet.runs.folder import resume_hint

    try:
        run = lab.resume(folder, budget=budget)
    except KeyboardInterrupt:
        click.echo(f"interrupted; {resume_hint(folder)}", err=True)
        sys.exit(INTERRUPTED)
    except Diverged as error:
        raise Diverged(f"{error} (the last good state is in {folder})") from None
    _write_page(run)
    _print(run.to_json() if as_json else text.summary(run))
    _exit(run.right)


def _write_page(run: "Record") -> Path:
    """Let the page in a run's folder show the run as it is now."""
    from carrynet import files
    from carrynet.report import page

    assert run.path is not None
    with files.Lock(run.path):
        return page.write(run, run.path / page.NAME)


@cli.command()
@_run
@_budget(0.0)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key of the recipe."
)
@click.option("--engine", default="auto", help="auto, native, numpy.  [default: auto]")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write.  [default: runs/...]"
)
@click.option("--force", is_flag=True, help="Replace the run that --out names.")
@_json
def harden(
    run: Path | None,
    budget: float,
    settings: tuple[str, ...],
    engine: str,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Train a run on, against its worst case, until it is easy to prove: a new run.

    Where that one gets fewer problems right, or has lost a proof, RUN stays the newest.
    """
    from carrynet.learn import training
    from carrynet.runs.create import making

    old = _load(run)
    recipe = training.hardening(old.recipe, old.network).with_settings(
        recipes.parse_settings(settings)
    )
    options: dict[str, Any] = {"origin": old.network, "hardened": old.path}
    with making(out, recipe, engine, force=force, **options) as folder:
        _carry_out(folder, budget, as_json)


@cli.command("import")
@click.argument("weights", type=click.Path(path_type=Path))
@click.option("--task", help="What the network has learned.  [default: add]")
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="KEY=EXPRESSION",
    help="Which tensors are Wxh, Whh, bh, Why, by: names, with .T, [:, :2], +, @ and 2*, as in "
    "bh=b1+b2 or Wxh=W.T; by=0 for no bias.  Where an output is 1: logit=0.5, where the logit "
    "exceeds 0.5, or p=0.5, where its sigmoid does.  [default: what names and shapes tell]",
)
@click.option(
    "--activation", help="Of its cell: sigmoid, tanh, relu.  [default: what is right on samples]"
)
@click.option(
    "--coding",
    help="What the bits 0 and 1 are fed as: 0/1 or -1/+1.  [default: what is right on samples]",
)
@click.option(
    "--delay",
    type=click.IntRange(0, 2),
    help="How many steps each answer comes late; only 0 can be taken.  "
    "[default: what is right on samples]",
)
@click.option(
    "--leave-out",
    "leave_out",
    multiple=True,
    metavar="NAME",
    help="A tensor that plays no part in the answers, as the run will record; * for any text.",
)
@click.option("--digits", type=int, default=8, show_default=True, help=_TRY_ALL)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write.  [default: runs/...]"
)
@click.option("--force", is_flag=True, help="Replace the run that --out names.")
@_budget(0.0)
@_json
def import_(
    weights: Path,
    task: str | None,
    maps: tuple[str, ...],
    activation: str | None,
    coding: str | None,
    delay: int | None,
    leave_out: tuple[str, ...],
    digits: int,
    out: Path | None,
    force: bool,
    budget: float,
    as_json: bool,
) -> None:
    """Make a run of weights that were trained elsewhere: safetensors, .npz, PyTorch's .pt.

    Names of torch.nn.RNN with a linear readout are recognised, and shapes that leave one
    possibility.  Task and activation of weights that carrynet wrote are in the file.  What
    is said neither here nor there is tried on sample problems: activations, bits as 0 and 1
    or as -1 and +1, a cut at logit 0 or 0.5, answers that come up to 2 steps late.
    """
    from carrynet import lab
    from carrynet.exchange import foreign
    from carrynet.runs.create import making
    from carrynet.spec import task as tasks

    if digits < 1:  # before the file is read
        raise InputError(f"digits must be at least 1, not {digits}")
    taken = foreign.take(
        foreign.read(weights),
        None if task is None else tasks.parse(task),
        foreign.Mapping.parse(maps),
        activation=activation,
        coding=coding,
        delay=delay,
        leave_out=leave_out,
    )
    for line in taken.notes:
        click.echo(line, err=True)
    recipe = lab.importing(taken.network, digits)
    options: dict[str, Any] = {"origin": taken.network, "source": taken.source}
    with making(out, recipe, force=force, **options) as folder:
        _carry_out(folder, budget, as_json)


@cli.command()
@_run
@_budget(10.0)
@click.option(
    "--digits",
    type=int,
    help="Where undecided, show at least that all numbers of up to so many digits are right.",
)
@_json
def prove(run: Path | None, budget: float, digits: int | None, as_json: bool) -> None:
    """Decide whether a run is right for numbers of any length.

    Exit code 0 if that is proved (or, with --digits, the bounded claim is), 1 if it is
    refuted, 3 if neither could be done.
    """
    from carrynet import lab
    from carrynet.judge import evaluation
    from carrynet.learn.progress import Bar
    from carrynet.proof import verdict
    from carrynet.report import text

    loaded = _load(run)
    if digits is not None:
        evaluation.count_problems(loaded.network.task, digits)  # too many are refused at once
    proved = lab.decide(loaded, budget=budget)
    _write_page(proved)
    network, found, bounded = proved.network, proved.proof, None
    code = {"proved": 0, "refuted": 1, "undecided": 3}[found.verdict]
    if digits is not None and code == 3:
        with Bar() as bar:
            bounded = evaluation.evaluate(network, digits, watch=bar.watch)
        code = 0 if bounded.right == bounded.pairs else 1
        if bounded.wrong is not None:
            word = network.task.encode(bounded.wrong, digits)
            proved = lab.decide(proved, budget=0, suspect=word)
            found = proved.proof
            _write_page(proved)
    if as_json:
        document = {"run": str(proved.path), "proof": verdict.to_json(found)}
        _print(document if digits is None else {**document, "bounded": bounded and vars(bounded)})
    else:
        lines = [text.proof(found, network.task, proved.path)]
        if bounded is not None:
            lines.append(text.bounded(bounded, network.task))
        _print("\n".join(lines))
    sys.exit(code)


@cli.command()
@_run
@_json
def check(run: Path | None, as_json: bool) -> None:
    """Check a run's certificate, from its weights and nothing else: exit code 0 valid, 1 not."""
    from carrynet import lab
    from carrynet.proof.certificate import Rejected
    from carrynet.runs.folder import newest, read_certificate

    folder = run if run is not None else newest()
    certificate = read_certificate(folder)
    found = {"run": str(folder), "valid": True, "claim": certificate.claim}
    try:
        checked = lab.check(folder, certificate)
        found |= {"regions": checked.regions, "slack": checked.slack, "margin": checked.margin}
        lines = f"valid       {certificate.claim}"
    except Rejected as error:
        found |= {"valid": False, "reason": str(error)}
        lines = f"NOT VALID   {error}"
    _print(found if as_json else lines)
    _exit(bool(found["valid"]))


@cli.command()
@_run
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write.  [default: report.html in RUN]"
)
@click.option("--plots", is_flag=True, help="Figures for papers too, in the folder 'plots' of RUN.")
def report(run: Path | None, show: bool, out: Path | None, plots: bool) -> None:
    """Write the page of a run: one HTML file that opens anywhere, to look inside the network."""
    from carrynet import files
    from carrynet.report import page
    from carrynet.runs.format import PLOTS

    loaded = _load(run)
    assert loaded.path is not None
    if plots:
        from carrynet.report import plots as figures

        with files.Lock(loaded.path):
            for file in figures.write(loaded, loaded.path / PLOTS):
                _print(str(file))
    written = page.write(loaded, out) if out else _write_page(loaded)
    _print(str(written))
    _show(written, show)


@cli.command()
@_run
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "svg", "dot"]),
    default="text",
    show_default=True,
)
@_json
def automaton(run: Path | None, form: str, as_json: bool) -> None:
    """Show the machine that a network has learned, found by asking it."""
    from carrynet.judge import extraction as extract
    from carrynet.report import drawing, text

    loaded = _load(run)
    extraction = extract.extract(loaded.network)
    comparison = extract.compare(loaded.network, extraction.machine)
    if as_json:
        _print({"run": str(loaded.path), **text.automaton_json(extraction, comparison)})
    elif form == "text":
        _print(text.automaton(extraction, comparison, loaded.network.task))
    else:
        draw = {"svg": drawing.svg, "mermaid": Machine.to_mermaid, "dot": Machine.to_dot}[form]
        click.echo(draw(extraction.machine), nl=False)
    _exit(comparison.word is None and extraction.complete)


def _solves(command: str, family: str, operands: int, about: str) -> None:
    """Add the command that lets a network of some family of tasks work one problem."""

    @cli.command(command, help=about, context_settings=_operands_follow)
    @click.argument("operands", nargs=operands, required=True, callback=_whole_numbers)
    @_run_option
    @_digits
    @_json
    def solve(
        operands: tuple[int, ...], run: Path | None, digits: int | None, as_json: bool
    ) -> None:
        from carrynet.judge.evaluation import work
        from carrynet.report import text
        from carrynet.runs.folder import newest, read_network
        from carrynet.spec import task as tasks

        def fits(recipe: "Recipe") -> bool:
            task = tasks.parse(recipe.task)
            return task.family == family and task.operands == len(operands)

        if family == "add" and not 2 <= len(operands) <= 4:
            raise InputError(f"add takes two to four numbers, not {len(operands)}")
        if run is None:
            task = tasks.example(family, len(operands))
            what = f"run of {command} with {len(operands)} operand{'s' * (len(operands) > 1)}"
            run = newest(fits=fits, what=what, make=f"train --task {task.text}")
        network = read_network(run)
        if network.task.family != family:
            raise InputError(f"{run} has learned {network.task.text}, not {family}")
        worked = work(network, operands, digits)
        if as_json:
            _print({"run": str(run), "task": network.task.text, **worked.to_json()})
        else:
            _print(text.columns(worked, width=_width()))
        _exit(worked.right)


_solves("add", "add", -1, "Add numbers of any length, in columns: carrynet add 118 8.")
_solves("subtract", "subtract", 2, "Subtract the second number: carrynet subtract 5 9.")
_solves("compare", "compare", 2, "Say which of two numbers is larger: carrynet compare 5 9.")
_solves(
    "multiply",
    "multiply_by",
    1,
    "Multiply by the constant that the network has learned: carrynet multiply 14.",
)


@cli.command()
@_run
@click.option("--digits", type=int, help=f"{_TRY_ALL}  [default: the recipe's]")
@_json
def evaluate(run: Path | None, digits: int | None, as_json: bool) -> None:
    """Test a run on every problem of some length, and on samples of long ones."""
    from carrynet.judge import evaluation
    from carrynet.learn.progress import Bar
    from carrynet.report import text

    loaded = _load(run)
    if digits is None:
        digits = evaluation.affordable_digits(loaded.network.task, loaded.recipe.digits)
    with Bar() as bar:
        result = evaluation.examine(loaded.network, digits, watch=bar.watch)
    if as_json:
        _print({"run": str(loaded.path), "evaluation": result.to_json()})
    else:
        _print(text.evaluation(result, loaded.network.task))
    _exit(result.right)


@cli.command(context_settings=_operands_follow)
@click.argument("arguments", nargs=-1, required=True, metavar="[RUN] A B ...")
@_run_option
@_digits
@_json
def explain(
    arguments: tuple[str, ...], run: Path | None, digits: int | None, as_json: bool
) -> None:
    """Show a problem digit by digit: state, output, margin and hidden units.

    RUN may come first, unless its name is a number; then use --run.
    """
    from carrynet.judge.evaluation import work
    from carrynet.report import text

    numbers = arguments
    first = arguments[0]
    named = not first.lstrip("-").isdecimal() and (len(arguments) > 2 or _is_folder(first))
    if run is None and named:
        run, numbers = Path(first), arguments[1:]
    loaded = _load(run)
    worked = work(loaded.network, [_whole_number(text) for text in numbers], digits, hidden=True)
    if as_json:
        _print({"run": str(loaded.path), **text.explanation_json(worked)})
    else:
        _print(text.explanation(worked, loaded.network.activation))
    _exit(worked.right)


@cli.command()
@click.option("--only", multiple=True, help="tutorial, batches, populations, exhaustive, process.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, show_default=True)
@_json
def bench(only: tuple[str, ...], rounds: int, as_json: bool) -> None:
    """Measure this machine: carrynet beside the tutorial's loop and what else is installed."""
    from carrynet import bench as benchmarks

    results = benchmarks.run(only, rounds, tell=lambda text: click.echo(text, err=True))
    machine = benchmarks.machine()
    if as_json:
        _print({"machine": machine, "comparisons": [result.to_json() for result in results]})
    else:
        facts = ", ".join(f"{name} {value}" for name, value in machine.items())
        _print("\n\n".join([facts, *(result.to_markdown() for result in results)]))


class _Sweep(click.Command):
    """Adds the keys of [sweep] to the help, from their one definition."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from carrynet.sweep import plan

        formatter.write("\n" + plan.help_text() + "\n")


@cli.command(cls=_Sweep)
@click.argument("plan", type=click.Path(path_type=Path), metavar="PLAN.toml")
@click.option("--out", required=True, help="Folder, or URL, to write or to go on in.")
@click.option("--jobs", type=click.IntRange(1, 4096), help="Processes.  [default: one a core]")
@click.option("--keep", help="none, refuted, all: whose weights to keep, whatever the plan says.")
@click.option(
    "--ray",
    envvar="RAY_ADDRESS",
    metavar="ADDRESS",
    help="Work on a Ray cluster: auto, HOST:PORT, ...  [env: RAY_ADDRESS; none: on this machine]",
)
@_json
def sweep(
    plan: Path, out: str, jobs: int | None, keep: str | None, ray: str | None, as_json: bool
) -> None:
    """Train, test and judge every network of a plan: a table, to be read by 'carrynet table'.

    A plan is keys of a recipe as in 'train --set', where a list or a range "0..999" stands for
    each of its values.  What was interrupted or killed goes on with the same command.  Exit
    code 0 if every block is done, 1 if some had to be given up.
    """
    import shlex

    from carrynet import sweep as sweeps
    from carrynet.learn.progress import Bar
    from carrynet.report import sweep_page, text
    from carrynet.runs.folder import program

    chosen = sweeps.read(plan, **({} if keep is None else {"keep": keep}))

    def hire(store: sweeps.Store, jobs: int | None) -> sweeps.Executor:
        if ray in (None, "", "none"):
            return sweeps.LocalPool(store, jobs)
        from carrynet.sweep.cluster import Cluster

        return Cluster(store, jobs, ray)

    with Bar() as bar:

        def watch(progress: sweeps.Progress) -> None:
            counts, blocks = progress.counts, f"{progress.blocks_done}/{progress.blocks}"
            known = {name: getattr(counts, name) for name in ("proved", "refuted", "undecided")}
            failed = {"failed": progress.failed} if progress.failed else {}
            bar.sweep(progress.done, progress.cells, blocks=blocks, **known, **failed)

        try:
            summary = sweeps.run(chosen, out, jobs=jobs, watch=watch, hire=hire)
        except KeyboardInterrupt:
            again = f"{program()} sweep {shlex.quote(str(plan))} --out {shlex.quote(out)}"
            again += f" --ray {shlex.quote(ray)}" if ray else ""
            click.echo(f"interrupted; go on with: {again}", err=True)
            sys.exit(INTERRUPTED)
    page = None
    if 0 < summary.total.networks <= sweep_page.MOST_AT_ONCE:
        page = sweep_page.write(sweeps.Store(out))
    _print(summary.to_json() if as_json else text.sweep(summary, page))
    _exit(summary.complete)


@cli.command()
@click.argument("sweep", metavar="DIR")
@click.option("--by", help="Columns, with commas: hidden,steps.  [default: what the plan varies]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "csv", "json", "parquet"]),
    help="[default: what FILE ends in, else text]",
)
@click.option("--out", type=click.Path(path_type=Path), help="File to write.")
def table(sweep: str, by: str | None, form: str | None, out: Path | None) -> None:
    """Count what became of a sweep's networks: rates with 95 % intervals, for each group."""
    from carrynet import files
    from carrynet.sweep import Store, table as tables

    suffix = out.suffix[1:] if out else ""
    form = form or (suffix if suffix in tables.FORMATS else "text")
    if form == "parquet" and out is None:
        raise InputError("Parquet is not for a terminal: give --out FILE")
    keys = None if by is None else [key for key in by.split(",") if key.strip()]
    result = tables.render(tables.summarise(Store(sweep), keys), form)
    if out is not None:
        files.write(out, result)
    else:
        assert isinstance(result, str)
        click.echo(result, nl=False)


@cli.command()
@click.argument("sweep", metavar="DIR")
@click.option("--x", help="Key that runs across.  [default: what the plan varies, numbers first]")
@click.option("--y", help="Key that runs upwards; 'none' for curves over x alone.")
@click.option(
    "--where", multiple=True, metavar="KEY=VALUE", help="Only these networks: hidden=8, seed=0..9."
)
@click.option(
    "--format", "form", type=click.Choice(["png", "svg", "both"]), default="both", show_default=True
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the figures and the page.  [default: plots/ and report.html in DIR]",
)
@click.option(
    "--page", "only_page", is_flag=True, help="The page alone, which needs no matplotlib."
)
@click.option("--open", "show", is_flag=True, help="Show the page in the browser.")
def plot(
    sweep: str,
    x: str | None,
    y: str | None,
    where: tuple[str, ...],
    form: str,
    out: Path | None,
    only_page: bool,
    show: bool,
) -> None:
    """Draw what became of a sweep's networks: figures for papers, and a page to explore.

    Figures are maps of rates over two keys, or curves over one, distributions of margins, and
    lengths of counterexamples; whatever else the plan varies is counted together.  The page is
    of the whole sweep, and begins with x and y.
    """
    from carrynet.report import page, plots, sweep_page, sweep_plots
    from carrynet.sweep import Store, census

    if only_page and where:
        raise InputError("--where is for figures: the page holds the whole sweep, to choose from")
    if "://" in sweep and out is None and not only_page:
        raise InputError("figures of a sweep elsewhere need a folder here: give --out FOLDER")
    store = Store(sweep)
    keys = census.choose(store.plan(), x, y, where)
    if not only_page:
        try:
            plots.require_library()
        except InputError as error:
            raise InputError(f"{error}; --page writes the page alone, without") from None
        taken = census.take(store, keys, where)
        formats = ("png", "svg") if form == "both" else (form,)
        for file in sweep_plots.write(taken, out or Path(sweep) / "plots", formats, where):
            _print(str(file))
    written = sweep_page.write(store, out and out / page.NAME, keys)
    _print(written)
    if show and "://" in written:
        raise InputError("--open is for a page on this machine: give --out FOLDER")
    _show(Path(written), show)


def _show(page: Path, show: bool) -> None:
    """Open a page in the browser, if that is asked for."""
    import webbrowser

    if show and not webbrowser.open(page.resolve().as_uri()):
        raise InputError(f"no browser could be started: open {page} in one")


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except OSError:
        return False


def _load(run: Path | None) -> "Run":
    from carrynet import lab
    from carrynet.runs.folder import newest

    return lab.load(run if run is not None else newest())


def _print(result: str | dict[str, Any]) -> None:
    click.echo(result if isinstance(result, str) else json.dumps(result, indent=2, allow_nan=False))


def _exit(right: bool) -> None:
    sys.exit(0 if right else 1)


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


def main() -> None:
    """Run the command line; every foreseen error is one line on standard error."""
    # Operands and answers may be longer than the 4,300 digits that Python converts by default.
    sys.set_int_max_str_digits(0)
    _open_streams()
    code = _run_command()
    try:
        sys.stdout.flush()
    except OSError as error:
        code = _failed(_unwritten(error))
    if isinstance(sys.stdout, io.TextIOWrapper) and code == 2:
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
        return code if sys.stdout is stdout else 2
    except CarrynetError as error:
        return _failed(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        return 2
    except click.ClickException as error:
        return _failed(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except MemoryError:
        return _failed("there is not enough memory: try smaller digits, hidden or batch")
    except OSError as error:  # a disk that is full, a folder that may not be read, no reader
        return _failed(_unwritten(error))
    except Exception as error:
        if _interrupted(error):
            return INTERRUPTED
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
    return 2


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
    return CRASHED
