"""How long a trial of a sweep takes, by a model: it decides where blocks end, and nothing else."""

from dataclasses import dataclass, fields

from carrynet.errors import InputError, shorten
from carrynet.learn import cost
from carrynet.nets import cells
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import ROUNDS
from carrynet.sweep.settings import Settings


@dataclass(frozen=True)
class Cost:
    """A model of the seconds that a trial takes on one core, good to a factor of two or three.

    It only decides where blocks end.  Measured on a core with AVX-512, of 80 GFLOP/s in
    these kernels; a sweep records it, and goes on with what it began with.
    """

    flop: float = 1e-11  #: of a floating-point operation, native engine
    alone: float = 1e-8  #: of a digit of a problem that is an update by itself
    batched: float = 4e-8  #: of a digit of a problem in a batch
    worst: float = 3.0  #: times as much for a stage with a worst case
    update_numpy: float = 2e-5  #: of a digit of an update, NumPy engine
    flop_numpy: float = 2.5e-10
    update_edges: float = cost.UPDATE  #: of an update over edges, NumPy engine
    edge_unit: float = cost.UNIT  #: for each of its edges and hidden units
    flop_edges: float = cost.FLOP  #: and for each weight between those
    edges_native: float = 0.05  #: times as much of both by the native engine
    judged: float = 5e-8  #: of a digit of a problem in an evaluation
    proof: float = 0.05  #: of the quick steps of a search
    proof_unit: float = 0.008  #: for each hidden unit
    proof_budget: float = 0.5  #: the part of a budget that is used

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if type(value) not in (int, float) or not 0 <= value <= 1e9:
                raise InputError(
                    f"{f.name} of a cost must be from 0 to 1e+09, not {shorten(value)}"
                )

    def seconds(self, recipe: Recipe, settings: Settings) -> float:
        """About how long a trial takes: training, evaluation and proof."""
        task, H = recipe.specification, recipe.hidden
        symbols, Y = len(task.machine.symbols), task.neurons
        cell, _ = cells.of(recipe)
        products = sum(each.operation == "matmul" for each in cell.of_state)
        operations = 2.0 * H * (products * H + Y + task.operands)  # of a digit, forward
        along = any(stage.worst and stage.over == "problems" for stage in recipe.stages)
        native = settings.engine != "numpy" and (recipe.elman or not along)
        native = native and recipe.dtype == "float32" and H <= 256
        native = native and not recipe.joined
        compiled = native or settings.engine == "jax"  # which on a GPU takes next to nothing
        seconds = 0.001
        for stage in recipe.stages:
            if stage.over == "edges":
                model = self.update_edges, self.edge_unit, self.flop_edges
                times = self.edges_native if native and settings.engine != "jax" else 1.0
                seconds += times * stage.steps * cost.over_edges(recipe.batch(stage), H, *model)
                continue
            digits = float(stage.steps * stage.batch * recipe.digits)
            if stage.bounds == "boxes":
                model = self.update_edges, self.edge_unit, self.flop_edges
                seconds += stage.steps * ROUNDS * cost.over_edges(recipe.every_edge, H, *model)
            times = self.worst if stage.worst else 1.0
            if compiled:
                each = products * (self.alone if stage.batch == 1 else self.batched)
                seconds += times * digits * (each + 3 * operations * self.flop)
            else:
                seconds += times * stage.steps * recipe.digits * self.update_numpy
                seconds += times * digits * 3 * operations * self.flop_numpy
        flop = self.flop if native else self.flop_numpy
        judged = self.judged + operations * flop
        if settings.exhaustive:
            seconds += judged * min(symbols**settings.exhaustive, 2**20)
        longest = max(settings.accuracy, default=0)
        seconds += judged * settings.pairs * (2 * sum(settings.lengths) + longest)
        if settings.proof is not None:
            quick = (self.proof + self.proof_unit * H) * max(1.0, symbols / 4)
            seconds += quick + self.proof_budget * settings.proof
        return seconds
