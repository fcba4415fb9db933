"""Sweeps: thousands of networks from one plan, and one table of what became of them.

    plan.py     a plan: trials, and the blocks they are worked in
    rows.py     what a row holds: the data dictionary
    places.py   where files are: a folder, an object store
    store.py    the files of a sweep: a block is done when its part is there
    table.py    parts as Parquet; counts and rates, with intervals
    census.py   counts, distributions and examples by some keys, in one pass
    block.py    one block: train, test, prove, write
    pool.py     who works the blocks: processes of this machine
    cluster.py  or the machines of a Ray cluster
    loop.py     the loop over blocks

Names are loaded when they are first used, so that the command line's help, which lists the keys
of a plan, does not wait for NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carrynet.sweep.block import Counts as Counts, network as network
    from carrynet.sweep.loop import Status as Status, Summary as Summary, execute as execute
    from carrynet.sweep.plan import Plan as Plan, read as read
    from carrynet.sweep.pool import Executor as Executor, LocalPool as LocalPool, cores as cores
    from carrynet.sweep.rows import columns as columns
    from carrynet.sweep.settings import Settings as Settings
    from carrynet.sweep.store import Store as Store
    from carrynet.sweep.table import Group as Group, summarise as summarise

_HOME = {
    "block": ("Counts", "network"),
    "loop": ("Status", "Summary", "execute"),
    "plan": ("Plan", "read"),
    "pool": ("Executor", "LocalPool", "cores"),
    "rows": ("columns",),
    "settings": ("Settings",),
    "store": ("Store",),
    "table": ("Group", "summarise"),
}
__all__ = sorted(name for names in _HOME.values() for name in names)


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"carrynet.sweep.{module}"), name)
    raise AttributeError(f"module 'carrynet.sweep' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
