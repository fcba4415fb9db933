"""Random numbers by position: any draw can be had without making those before it.

Philox 4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011), keyed by seed and stream.  A training that resumes, another engine, or
a worker on another machine asks for the same positions and gets the same bits.
Only NumPy's raw generator is used, whose output is fixed for good, and not its
distributions, which may change between versions.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHTS = 0  # stream of the initial weights
EVALUATION = 1  # streams of sampled evaluations: one for each kind, 1 and 2
PROOF = 3  # stream of the words along which a search for a proof watches a network
EXTRACTION = 4  # streams of the words along which a machine is extracted: 4 to 10
COMPILED = 11  # streams of weights by construction: order, signs, spare units, noise, 11 to 14
SHARES = 15  # stream of the words of which the share that is wrong is told
STAGES = 16  # stream of stage i's problems is STAGES + i
CODES = 2**32  # stream of the codes of a machine's states: beyond those of all stages
REFUTATION = 2**32 + 1  # stream of the random words among which a wrong one is sought
WALKERS = 2**32 + 4  # stream of what walkers read, see `judge.walkers`
ACCURACY = 2**32 + 2  # stream of the words by which accuracy is told, and that of their lengths
NUDGES = 2**32 + 5  # stream of what is changed, and read, to see how errors of rounding grow
LENGTHS = 2**33  # stream of the lengths of stage i's problems is LENGTHS + i

_PER_BLOCK = 4  # numbers that one value of Philox's counter yields


def raw(seed: int, stream: int, start: int, count: int) -> NDArray[np.uint64]:
    """Numbers `start .. start + count - 1` of a stream, as uniform 64-bit integers."""
    block, skip = divmod(start, _PER_BLOCK)
    generator = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64), counter=block)
    return generator.random_raw(skip + count)[skip:]


def philox(counter: Any, key: tuple[Any, Any]) -> tuple[Any, Any, Any, Any]:
    """The four numbers that Philox 4x64-10 yields for a counter below 2^64.

    In operations that all modules of arrays have, for devices that NumPy does not know; `counter`
    and both parts of `key` are unsigned 64-bit integers.  `raw` counts blocks from 1.
    """
    shape, seed, stream = counter, *key
    c0, c1, c2, c3 = counter, 0 * shape, 0 * shape, 0 * shape
    for i in range(10):
        if i:
            seed, stream = seed + _W0, stream + _W1
        (h0, l0), (h1, l1) = _product(_M0, c0), _product(_M1, c2)
        c0, c1, c2, c3 = h1 ^ c1 ^ seed, l1, h0 ^ c3 ^ stream, l0
    return c0, c1, c2, c3


_M0, _M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_W0, _W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_HALF, _LOW = np.uint64(32), np.uint64(2**32 - 1)


def _product(a: Any, b: Any) -> tuple[Any, Any]:
    """The upper and the lower 64 bits of a product."""
    (ah, al), (bh, bl) = ((x >> _HALF, x & _LOW) for x in (a, b))
    middle = ah * bl + (al * bl >> _HALF)
    other = al * bh + (middle & _LOW)
    return ah * bh + (middle >> _HALF) + (other >> _HALF), a * b


def uniform(seed: int, stream: int, start: int, count: int) -> NDArray[np.float64]:
    """Numbers `start .. start + count - 1` of a stream, uniform in [0, 1)."""
    return unit(raw(seed, stream, start, count))


def unit(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Numbers in [0, 1) from the upper 53 bits of 64-bit numbers."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(bound: int | NDArray[np.integer], bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Whole numbers in [0, bound) from 64-bit numbers, for bounds up to 2^32.

    Multiply and shift on the upper 32 bits; no number is more likely than another
    by more than `bound` in 2^32.
    """
    upper = bits >> np.uint64(32)
    return ((upper * np.asarray(bound, np.uint64)) >> np.uint64(32)).astype(np.int64)
