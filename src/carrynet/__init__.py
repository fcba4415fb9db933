"""carrynet: small recurrent networks that learn rules symbol by symbol, arithmetic first.

    import carrynet as cn

    run = cn.train("certified", hidden=16, seed=3)
    run.network.add(118, 8)               # 126, by the network
    cn.evaluate(run, digits=8)            # Exhaustive(digits=8, pairs=65536, right=65536, ...)
    cn.prove(run)                         # Proved(...) | Refuted(...) | Undecided(...)
    cn.check(run)                         # its proof, by the independent checker
    cn.export(run, to="c")                # for a microcontroller, with what is proved of it

Where a network is asked about, a run may be given, and means its network; no run is changed.

Names are loaded when they are first used, so that `import carrynet` and the
command line's help do not wait for NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from carrynet.errors import (
        CarrynetError as CarrynetError,
        InputError as InputError,
        RunError as RunError,
    )
    from carrynet.judge.evaluation import by_length as by_length, evaluate as evaluate
    from carrynet.judge.extraction import extract as extract
    from carrynet.lab import (
        Run as Run,
        check as check,
        compile as compile,  # noqa: A004
        export as export,
        harden as harden,
        load as load,
        resume as resume,
        train as train,
    )
    from carrynet.learn.training import Diverged as Diverged
    from carrynet.nets.formula import Formula as Formula
    from carrynet.nets.network import Network as Network
    from carrynet.proof.certificate import Rejected as Rejected
    from carrynet.proof.search import prove as prove
    from carrynet.proof.verdict import (
        Proved as Proved,
        Refuted as Refuted,
        Undecided as Undecided,
    )
    from carrynet.spec import tasks as _tasks
    from carrynet.spec.machine import Machine as Machine
    from carrynet.spec.recipe import Recipe as Recipe
    from carrynet.spec.stage import Stage as Stage

    tasks = _tasks

_HOME = {
    "errors": ("CarrynetError", "InputError", "RunError"),
    "judge.evaluation": ("by_length", "evaluate"),
    "judge.extraction": ("extract",),
    "lab": ("Run", "check", "compile", "export", "harden", "load", "resume", "train"),
    "learn.training": ("Diverged",),
    "nets.formula": ("Formula",),
    "nets.network": ("Network",),
    "proof.certificate": ("Rejected",),
    "proof.search": ("prove",),
    "proof.verdict": ("Proved", "Refuted", "Undecided"),
    "spec.machine": ("Machine",),
    "spec.recipe": ("Recipe",),
    "spec.stage": ("Stage",),
}
__all__ = sorted([name for names in _HOME.values() for name in names] + ["tasks"])


def __getattr__(name: str) -> Any:
    if name == "tasks":
        return import_module("carrynet.spec.tasks")
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"carrynet.{module}"), name)
    raise AttributeError(f"module 'carrynet' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
