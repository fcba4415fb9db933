"""What commands do with a run: take the one that is meant, carry one out, write its page."""

from pathlib import Path

from carrynet import lab, locks
from carrynet.cli.output import interrupted, leave, tell
from carrynet.lab import Run
from carrynet.learn.training import Diverged
from carrynet.report import page
from carrynet.runs.folder import newest, resume_hint


def load(run: Path | None) -> Run:
    """The run in a folder; the newest where none is named."""
    return lab.load(run if run is not None else newest())


def carry_out(folder: Path, budget: float, as_json: bool) -> None:
    """Do the training that a folder holds, and print and judge what came of it."""
    from carrynet.report import text  # and with it sweeps, which not every command needs

    try:
        run = lab.resume(folder, budget=budget)
    except KeyboardInterrupt:
        interrupted(resume_hint(folder))
    except Diverged as error:
        raise Diverged(f"{error} (the last good state is in {folder})") from None
    write_page(run)
    tell(run.to_json() if as_json else text.summary(run))
    leave(run.right)


def write_page(run: Run) -> Path:
    """Let the page in a run's folder show the run as it is now."""
    assert run.path is not None
    with locks.Lock(run.path):
        return page.write(run, run.path / page.NAME)
