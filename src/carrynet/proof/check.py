"""The checker: whether a certificate proves its claim.  Short, dull, and all that is trusted.

It redoes every inclusion and every output of boxes in ball arithmetic (Arb; Johansson 2017),
whose results are intervals certain to hold the true value: a comparison is true only if it
holds all over them.  It believes nothing that a search has computed, shares no code with one,
and needs no NumPy.  What must be trusted: this module, `certificate` and `model` (with what they
read JSON by in `files`), `equations` and `formula` of `nets`, which read the equations, the
specification (`machine`, `codec`, `encoding`, `task`, `rules`, `builtin` and `tables` of `spec`,
which say what is read and what a right answer is), Python, and Arb with its binding python-flint;
for trees of words, which are too many for Arb, also `check_trees` and `ellipsoids`, which bound the
rounding of doubles; for other cells than Elman's also `check_formula`, or of trees `check_affine`,
and `balls`; for states
that are listed `check_states`, which needs no balls.

Boxes of a network whose equations are Elman's are checked here, of others in `check_formula`.

For boxes [l, u], with f monotone and W+ and W- the positive and negative parts of Whh:

    z in [l W+ + u W- + d,  u W+ + l W- + d]       all pre-activations under a symbol
    f(z) +- slack inside [l', u']                  the box that follows, compared before f,
                                                   as f^-1(l' + slack) <= z <= f^-1(u' - slack)
    smallest margin of h Why + by, h in [l', u']   positive: the readout is right all over it

The claim is to hold for the arithmetic that networks are run in, and not for real numbers
only.  So `slack` must be no less than the rounding errors of one step in the model's type,
and the smallest margin than those of a readout.  For a sum of n terms in any order (Higham 2002,
sections 2.1 and 3.1), eps = 2^-24 or 2^-53, g(n) = n eps / (1 - n eps) and eta the smallest
normal number, they are

    (g(n) s + 2 n eta) max f' + 8 eps max(|h|, 1)
        n = H + X + 4, s = |h| |Whh| + |x| |Wxh| + |bh|
    2 (g(n) s + 2 n eta)
        n = H + 4,     s = |h| |Why| + |by|

the latter twice, since two logits may be compared; |h| is the most that a unit reaches in any
region.  That holds where nothing overflows: so 2 s must be a number of the type.  eta covers
underflow, gradual or to zero.

The last term of a step is what f itself, as it is computed, is assumed to be off by at most.
Where |h| <= 1, as of sigmoid and tanh, that is an *absolute* error of 8 eps for every z: near
tanh(0) = 0 it asks for less than a relative error would, or one in units in the last place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import flint
from flint import arb, arb_mat

from carrynet.errors import InputError
from carrynet.proof.certificate import (
    MOST_INCLUSIONS,
    BoxCertificate,
    Certificate,
    StateCertificate,
    TreeCertificate,
    below,
    require,
    require_numbers,
)
from carrynet.proof.model import EPSILON, LARGEST, SMALLEST, Elman, Model
from carrynet.spec.task import Task
from carrynet.watch import Watch

PRECISION = 80  # bits of the balls


@dataclass(frozen=True)
class Checked:
    """What has been proved."""

    regions: int
    slack: float  #: an error of up to this in every hidden unit at every step does no harm
    margin: float  #: every logit of every word is at least this far on the right side


def check(model: Model, certificate: Certificate, watch: Watch | None = None) -> Checked:
    """Check that a certificate proves its claim about a model.

    Raises `Rejected` with the first thing that does not hold.
    """
    before = flint.ctx.prec
    flint.ctx.prec = PRECISION
    try:
        task = model.specification
        _check_model(model, task)
        for key, another in _ABOUT.items():
            require(getattr(certificate, key) == model.about[key], f"it is about {another}")
        if isinstance(certificate, BoxCertificate):
            _check_regions(certificate, task, len(model.start))
        elman = model.elman
        if isinstance(certificate, StateCertificate):
            from carrynet.proof import check_states

            margin = check_states.check(model, task, certificate, watch)
        elif elman is not None:
            margin = _check_elman(elman, task, certificate, watch)
        else:
            margin = _check_formula(model, task, certificate, watch)
        return Checked(certificate.count, certificate.tolerance, below(margin.lower()))
    finally:
        flint.ctx.prec = before


_ABOUT = {
    "task": "another task",
    "machine": "another machine",
    "cell": "other equations",
    "readout": "other equations",
    "weights_sha256": "other weights",
    "start": "another start",
}


def _check_elman(
    elman: Elman, task: Task, certificate: BoxCertificate | TreeCertificate, watch: Watch | None
) -> arb:
    """Check a certificate about Elman's cell; the smallest margin."""
    drives = _drives(elman, task)
    if isinstance(certificate, BoxCertificate):
        reach, margin = _check_boxes(elman, task, drives, certificate)
        slack = arb((certificate.slack, -certificate.bits))
    else:
        from carrynet.proof import check_trees  # which needs NumPy

        steps = check_trees.OfElman.read(elman, task, drives)
        reach, margin = check_trees.check(steps, task, certificate, watch)
        slack = arb(certificate.slack)
    _check_rounding(elman, task, reach, slack, margin)
    return margin


def _check_formula(
    model: Model, task: Task, certificate: BoxCertificate | TreeCertificate, watch: Watch | None
) -> arb:
    """Check a certificate about any other cell; the smallest margin."""
    require(certificate.slack >= 0, "its slack is negative")
    if isinstance(certificate, BoxCertificate):
        from carrynet.proof import check_formula

        return check_formula.check(model, task, certificate, watch)
    from carrynet.proof import check_affine, check_trees  # which need NumPy

    steps = check_affine.Steps(model, task)
    return check_trees.check(steps, task, certificate, watch)[1]


def _check_model(model: Model, task: Task) -> None:
    """Make sure that equations, weights and task fit together, and that weights are numbers."""
    cell, readout = model.formulas
    starts = {f"{part}_start" for part in cell.state}
    names = {*cell.parameters, *readout.parameters}
    require(not set(cell.parameters) & set(readout.parameters), "cell and readout share weights")
    require(model.weights.keys() in (names, names | starts), "the model has not its weights")
    for name, value in model.weights.items():
        even = not name[0].isupper() or len({len(row) for row in value}) == 1
        require(even, "the model's weights do not fit together")
    try:
        sizes, read = cell.sizes(model.shapes), readout.sizes(model.shapes)
    except InputError as error:
        require(False, f"the model's weights do not fit together: {error}")
    fits = sizes["H"] == read.get("H", sizes["H"]) and all(size > 0 for size in sizes.values())
    require(fits, "the model's weights do not fit together")
    fits = (sizes.get("X", task.inputs), read["Y"]) == (task.inputs, task.neurons)
    require(fits, "the model's weights do not fit together and the task")
    for part, width in zip(cell.state, model.widths, strict=True):
        start = model.weights.get(f"{part}_start", [0.0] * width)
        require(len(start) == width, "the model's start does not fit")
    ends = [each.operation for each in readout.instructions[-2:]]
    last = readout.instructions[-1]
    linear = ends == ["matmul", "add"] and last.operands[0] == last.out - 1
    require(linear and last.operands[1] in readout.parameter_slots, "its readout is not linear")
    rows = [task.vector(symbol) for symbol in range(len(task.machine.symbols))]
    for name, value in model.weights.items():
        rows += value if name[0].isupper() else [value]
    require_numbers(rows, model.dtype)


def _check_regions(certificate: BoxCertificate, task: Task, units: int) -> None:
    """Make sure that regions are boxes of that many units, and lead to regions."""
    regions, symbols = certificate.regions, len(task.machine.symbols)
    size = certificate.inclusions
    require(size <= MOST_INCLUSIONS, f"it has {size:,} inclusions, of at most {MOST_INCLUSIONS:,}")
    require(bool(regions), "it has no regions")
    for i, region in enumerate(regions):
        require(
            len(region.lower) == len(region.upper) == units, f"region {i} has not {units} units"
        )
        ordered = all(low <= high for low, high in zip(region.lower, region.upper, strict=True))
        require(ordered, f"region {i} is empty")
        require(0 <= region.state < len(task.machine.states), f"region {i} has no such state")
        require(len(region.next) == symbols, f"region {i} has not {symbols} successors")
        require(all(0 <= j < len(regions) for j in region.next), f"region {i} leads nowhere")
    require(regions[0].state == 0, "region 0 is not labelled with the start state")


def _check_boxes(
    elman: Elman, task: Task, drives: list[list[arb]], certificate: BoxCertificate
) -> tuple[list[arb], arb]:
    """Check an inductive invariant of boxes: what |h| can reach, and the smallest margin."""
    H = len(elman.bh)
    unit, regions = -certificate.bits, certificate.regions
    start = regions[0]
    holds_zero = all(low <= 0 <= high for low, high in zip(start.lower, start.upper, strict=True))
    require(holds_zero, "region 0 does not hold the start, h = 0")

    def balls(numbers: Sequence[int]) -> list[arb]:  # of one region at a time: they take memory
        return [arb((number, unit)) for number in numbers]

    # step: z under symbol a is in [below, above] + drives[a]
    W = arb_mat(elman.Whh)
    positive, negative = _part(W, 1), _part(W, -1)
    inverse, slack = INVERSES[elman.activation], arb((certificate.slack, unit))
    # -inf <= z <= inf holds for every z: beyond the range of f there is nothing to check
    least = [[inverse(low + slack, -1) for low in balls(region.lower)] for region in regions]
    most = [[inverse(high - slack, 1) for high in balls(region.upper)] for region in regions]
    reach = [arb(0)] * H
    needed: dict[int, set[int]] = {}  # by region, the outputs that are asked of it
    for i, region in enumerate(regions):
        lower, upper = balls(region.lower), balls(region.upper)
        reach = [
            max(r, abs(x), abs(y), key=float) for r, x, y in zip(reach, lower, upper, strict=True)
        ]
        below = (arb_mat([lower]) * positive + arb_mat([upper]) * negative).entries()
        above = (arb_mat([upper]) * positive + arb_mat([lower]) * negative).entries()
        for a, j in enumerate(region.next):
            state, output = (
                task.machine.delta[region.state][a],
                task.machine.output[region.state][a],
            )
            inside = [
                low <= p + d and q + d <= high
                for low, p, q, d, high in zip(
                    least[j], below, above, drives[a], most[j], strict=True
                )
            ]
            if regions[j].state != state or not all(inside):
                where = f"from region {i} under {task.machine.symbols[a]}"
                require(regions[j].state == state, f"{where}: region {j} has the wrong state")
                require(False, f"{where}: unit {inside.index(False)} leaves region {j}")
            if output is not None:  # where it is open, the machine asks nothing
                needed.setdefault(j, set()).add(output)

    # output
    margin = arb("inf")
    for j, outputs in needed.items():
        lower, upper = balls(regions[j].lower), balls(regions[j].upper)
        for output in outputs:
            found = _margin(elman, task, lower, upper, output)
            require(found > 0, f"in region {j} the output is not always {output}")
            margin = margin.min(found)
    return reach, margin


def _drives(elman: Elman, task: Task) -> list[list[arb]]:
    """x Wxh + bh for every symbol; most entries of x are 0."""
    drives = []
    for a in range(len(task.machine.symbols)):
        d = [arb(b) for b in elman.bh]
        for fed, row in zip(task.vector(a), elman.Wxh, strict=True):
            if fed:
                d = [x + arb(fed) * arb(w) for x, w in zip(d, row, strict=True)]
        drives.append(d)
    return drives


def _part(matrix: arb_mat, sign: int) -> arb_mat:
    """The positive or the negative entries of a matrix, and zeros."""
    rows = [[x if x * sign > 0 else arb(0) for x in row] for row in matrix.tolist()]
    return arb_mat(rows)


def _margin(
    elman: Elman, task: Task, lower: Sequence[arb], upper: Sequence[arb], output: int
) -> arb:
    """A lower bound of how far the logits are on the right side, all over a box."""

    def least(weights: Sequence[arb], bias: arb) -> arb:
        ends = (
            (low if w > 0 else high) * w for w, low, high in zip(weights, lower, upper, strict=True)
        )
        return sum(ends, bias)

    columns = [[arb(row[y]) for row in elman.Why] for y in range(task.neurons)]
    biases = [arb(b) for b in elman.by]
    if task.readout == "bits":
        sign = 1 if output == 1 else -1
        return least([sign * w for w in columns[0]], sign * biases[0])
    margin = arb("inf")
    for y in range(task.neurons):
        if y != output:
            pairs = zip(columns[output], columns[y], strict=True)
            margin = margin.min(least([p - q for p, q in pairs], biases[output] - biases[y]))
    return margin


def _check_rounding(
    elman: Elman, task: Task, reach: Sequence[arb], slack: arb, margin: arb
) -> None:
    """That slack and margin cover the model's own arithmetic; |h| <= reach."""
    H, X, eps = len(reach), task.inputs, arb((1, EPSILON[elman.dtype]))
    slope = arb(0.25) if elman.activation == "sigmoid" else arb(1)
    # the most that each input is, either way; a vector's own sum of products is no larger
    vectors = [task.vector(a) for a in range(len(task.machine.symbols))]
    fed = [arb(max(abs(x) for x in column)) for column in zip(*vectors, strict=True)]
    for k in range(H):
        size = sum((reach[i] * abs(arb(elman.Whh[i][k])) for i in range(H)), abs(arb(elman.bh[k])))
        size += sum((x * abs(arb(row[k])) for x, row in zip(fed, elman.Wxh, strict=True)), arb(0))
        error = _rounding(elman.dtype, H + X + 4, size) * slope + 8 * eps * reach[k].max(arb(1))
        require(
            slack >= error,
            f"its slack does not cover the rounding of {elman.dtype}, {float(error.upper()):.1e}",
        )
    for y in range(task.neurons):
        size = sum((reach[i] * abs(arb(elman.Why[i][y])) for i in range(H)), abs(arb(elman.by[y])))
        require(
            margin >= 2 * _rounding(elman.dtype, H + 4, size),
            f"its smallest margin does not cover the rounding of {elman.dtype}",
        )


def _rounding(dtype: str, count: int, size: arb) -> arb:
    """A bound on the error of a sum of `count` terms whose magnitudes add up to `size`."""
    require(2 * size < arb((1, LARGEST[dtype])), f"sums may overflow {dtype}")
    eps = arb((1, EPSILON[dtype]))
    require(count * eps < 1, f"sums have too many terms for {dtype}")
    return count * eps / (1 - count * eps) * size + 2 * count * arb((1, SMALLEST[dtype]))


def _logit(p: arb) -> arb:
    return (p / (1 - p)).log()


def _inverse(f: Callable[[arb], arb], low: int) -> Callable[[arb, int], arb]:
    """f^-1 of a function onto the open interval (low, 1).

    Where a bound lies beyond the interval, every z satisfies it or none does: the result
    is an infinity.  `side` is -1 for a lower bound and 1 for an upper one.
    """

    def inverse(bound: arb, side: int) -> arb:
        if low < bound < 1:
            return f(bound)
        if bound <= low:
            return arb("-inf")
        if bound >= 1:
            return arb("inf")
        return arb("nan")  # cannot be told: no comparison holds

    return inverse


def _relu_inverse(bound: arb, side: int) -> arb:
    """max(z, 0) >= bound for all z where bound <= 0; max(z, 0) <= bound for none where < 0."""
    if bound > 0 or (bound >= 0 and side > 0):
        return bound
    return arb("-inf") if (bound <= 0 and side < 0) or (bound < 0 and side > 0) else arb("nan")


INVERSES = {
    "sigmoid": _inverse(_logit, 0),
    "tanh": _inverse(arb.atanh, -1),
    "relu": _relu_inverse,
}
