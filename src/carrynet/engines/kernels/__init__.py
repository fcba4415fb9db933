"""The native kernels: LLVM IR for exactly one shape of network.

Shapes: B batch, T time, X input, H hidden, Y output, S symbols, Q machine states,
J inputs that a symbol can switch on; L the lanes of a vector.  H is padded to P, a
multiple of L, with units that stay at zero.

Parameters lie in one array of float32 (see `Layout`): Wxh (X+1, P), whose last row
is always zero; Whh (P, P); bh (P,); Why (Y, P); by (Y padded).  A symbol's inputs are
0 or 1, so that x Wxh is the sum of the J rows that it switches on; `active` (S, J)
holds where they begin, and that of the zero row for inputs that are off.

Products come in two forms, both with all sums in registers:

    gemm    C[r] = C0[r] + sum_k A[r, k] W[k]         rows of states through weights
    rank    C[i] += sum_k A[k, i] B[k]                gradients, over time and batch

For the way back W^T is kept beside W and takes the same updates, or is made anew.
They are methods of `cell.Cell`.  `train` and `across` make updates, `inference` holds `walk`,
the tree of prefixes, `follow`, for long words, and `wander`, from any states; `trees` is the
search for proofs, by the `images` of words.

All of this is Elman's cell, shaped by hand.  Any formula, with its readout, is trained by
`formula_train` and judged by the same `walk` and `follow`: there `block` carries out instructions
over rows in memory, and parameters lie as `Formulas.places` says.  `closing` trains it over edges
of the machine, with boxes, a step of which `enclosed` writes out as instructions, and
`formula_bounds` along words.  For the same `trees` it has `formula_images`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir

from carrynet.engines.kernels.across import ACROSS, across, across_offsets
from carrynet.engines.kernels.affine import AffinePlan, affine_plan
from carrynet.engines.kernels.block import padded
from carrynet.engines.kernels.closing import CLOSING, closing
from carrynet.engines.kernels.following import scratch_size
from carrynet.engines.kernels.formula_bounds import bounded
from carrynet.engines.kernels.formula_train import (
    FORMULA_TRAIN,
    formula_train,
    parameters_size,
    room_size,
)
from carrynet.engines.kernels.formulas import Formulas, takes
from carrynet.engines.kernels.growing import (
    CLOSED,
    CUT_EVERY,
    DEEP,
    DOUBT,
    FULL,
    GROWING,
    MOST_AXIS,
    TAGS,
    TALLY,
    TREES,
)
from carrynet.engines.kernels.inference import (
    BLOCK,
    FOLLOW,
    WALK,
    WANDER,
    follow,
    walk,
    walk_room,
    wander,
)
from carrynet.engines.kernels.over_edges import Closing, closes, edge_room
from carrynet.engines.kernels.peak import PEAK, PEAK_SUMS, peak
from carrynet.engines.kernels.shape import Layout, Parameters, Shape
from carrynet.engines.kernels.train import TRAIN, train
from carrynet.engines.kernels.trees import trees, trees_room

__all__ = [
    "BLOCK",
    "CLOSED",
    "CUT_EVERY",
    "DEEP",
    "DOUBT",
    "FULL",
    "GROWING",
    "KERNELS",
    "MOST_AXIS",
    "PEAK_SUMS",
    "TAGS",
    "TALLY",
    "AffinePlan",
    "Closing",
    "Formulas",
    "Kernel",
    "Layout",
    "Parameters",
    "Shape",
    "across_offsets",
    "affine_plan",
    "bounded",
    "closes",
    "edge_room",
    "padded",
    "parameters_size",
    "room_size",
    "scratch_size",
    "takes",
    "trees_room",
    "walk_room",
]


@dataclass(frozen=True)
class Kernel:
    """How a kernel is written, and what it takes."""

    write: Callable[[Any], ir.Module]  #: from a `Shape`, or `Formulas`
    parameters: Parameters


KERNELS = {
    "train": Kernel(train, TRAIN),
    "across": Kernel(across, ACROSS),
    "walk": Kernel(walk, WALK),
    "follow": Kernel(follow, FOLLOW),
    "wander": Kernel(wander, WANDER),
    "trees": Kernel(trees, TREES),
    "closing": Kernel(closing, CLOSING),
    "formula_train": Kernel(formula_train, FORMULA_TRAIN),
    "peak": Kernel(peak, PEAK),
}
