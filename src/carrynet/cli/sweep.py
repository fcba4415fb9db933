"""`carrynet sweep`."""

import shlex
from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import interrupted, leave, tell


def _keys() -> options.Keys:
    from carrynet.sweep.settings import settings_help

    rows = [(name, f"{about}; default {shown}") for name, shown, about in settings_help()]
    return {"Keys of the table [sweep]": rows}


@click.command(cls=options.WithKeys, keys=_keys)
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
@options.as_json
def sweep(
    plan: Path, out: str, jobs: int | None, keep: str | None, ray: str | None, as_json: bool
) -> None:
    """Train, test and judge every network of a plan: a table.

    It is to be read by 'carrynet table'.

    A plan is keys of a recipe as in 'train --set', where a list or a range "0..999" stands for
    each of its values.  What was interrupted or killed goes on with the same command.  Exit
    code 0 if every block is done, 1 if some had to be given up.
    """
    from carrynet import sweep as sweeps
    from carrynet.learn.bar import Bar
    from carrynet.report import sweep_page, sweep_text
    from carrynet.runs.folder import argument, program
    from carrynet.sweep.outcomes import VERDICTS

    chosen = sweeps.read(plan, **({} if keep is None else {"keep": keep}))

    def hire(store: sweeps.Store, jobs: int | None) -> sweeps.Executor:
        if ray in (None, "", "none"):
            return sweeps.LocalPool(store, jobs)
        from carrynet.sweep.cluster import Cluster

        return Cluster(store, jobs, ray)

    with Bar() as bar:

        def show(status: sweeps.Status) -> None:
            counts, blocks = status.counts, f"{status.blocks_done}/{status.blocks}"
            known = {name: getattr(counts, name) for name in VERDICTS}
            failed = {"failed": status.failed} if status.failed else {}
            bar.sweep(status.done, status.trials, blocks=blocks, **known, **failed)

        try:
            summary = sweeps.execute(chosen, out, jobs=jobs, callback=show, hire=hire)
        except KeyboardInterrupt:
            given = {"--out": out, "--jobs": jobs, "--keep": keep, "--ray": ray or None}
            again = [f"{program()} sweep {argument(plan)}"]
            again += [f"{k} {shlex.quote(str(v))}" for k, v in given.items() if v is not None]
            again += ["--json"] * as_json
            interrupted(f"go on with: {' '.join(again)}")
    page = None
    if 0 < summary.total.networks <= sweep_page.MOST_AT_ONCE:
        page = sweep_page.write(sweeps.Store(out))
    tell(summary.to_json() if as_json else sweep_text.summary(summary, page))
    leave(summary.complete)
