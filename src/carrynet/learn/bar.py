"""Progress bars, on standard error, or as a widget in a notebook."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from carrynet.learn.training import Progress

if TYPE_CHECKING:
    from tqdm import tqdm

LINE = "{desc}:{percentage:4.0f}%|{bar}| {n_fmt}/{total_fmt} {elapsed}<{remaining}{postfix}"
"""In 80 columns there is room for a bar, how far it is, the time left, and error and rightness."""


class Bar:
    """A bar for a training (a callback), an evaluation (`watch`), a search (`say`), a sweep.

    Shown only where someone can see it move: on a terminal or in a notebook.
    """

    def __init__(self, enabled: bool = True) -> None:
        self._bar: tqdm[Any] | None = None
        self._title = ""
        self._enabled = enabled and (sys.stderr.isatty() or "ipykernel" in sys.modules)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def __call__(self, progress: Progress) -> None:
        """Progress of a training."""
        self._show("training", progress.problem, progress.problems)
        if self._bar is not None:
            self._bar.set_postfix(error=f"{progress.error:.3f}", right=f"{progress.right:.1%}")

    def watch(self, done: int, total: int) -> None:
        """Progress of an evaluation."""
        self._show("evaluating", done, total)

    def say(self, step: str) -> None:
        """A step of a search, in words, which say how much of a budget is used if it has one."""
        if not self._enabled:
            return
        if self._title != "proving":
            self._close()
            self._title = "proving"
            self._bar = _tqdm(bar_format="proving: {desc}, {elapsed}", desc=step, leave=False)
        if self._bar is not None:
            self._bar.set_description_str(step)

    def sweep(self, done: int, total: int, **facts: object) -> None:
        """Progress of a sweep: networks, and what else there is to say."""
        self._show("sweeping", done, total, initial=done)
        if self._bar is not None:
            self._bar.set_postfix(facts)

    def _show(self, title: str, done: int, total: int, **options: Any) -> None:
        if not self._enabled:
            return
        if self._title != title:
            self._close()
        elif self._bar is not None and self._bar.total != total:
            options["initial"] = self._bar.n  # a stage is made again: with a bar of its own,
            self._close()  # since a widget's length is set when it is made
        if self._bar is None:
            self._title = title
            self._bar = _tqdm(
                total=total, desc=title, bar_format=LINE, dynamic_ncols=True, **options
            )
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _tqdm(**options: Any) -> "tqdm[Any]":
    from tqdm.auto import tqdm  # takes a while to import, for a bar that may never be shown

    return tqdm(**options)
