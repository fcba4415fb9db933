"""What is measured of a network beside its verdict: how often it is wrong, how fast it is tried.

Neither is searched for, and neither proves anything: shares are sampled, rates are this machine's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from carrynet import engines
from carrynet.data import rng
from carrynet.judge.evaluation import (
    LENGTHS,
    MOST_PROBLEMS,
    affordable_digits,
    evaluate,
    sample,
    wilson,
)
from carrynet.nets.network import HasNetwork, Network, network_of


@dataclass(frozen=True)
class Share:
    """How many of some random problems are answered wrongly: sampled, and of these problems only.

    A problem is wrong where any digit of its answer is.
    """

    digits: int  #: of the operands
    problems: int
    wrong: int

    @property
    def interval(self) -> tuple[float, float]:
        """In which the share of all such problems is, with 95 % confidence; see `wilson`."""
        return wilson(self.wrong, self.problems)


def shares(
    network: Network | HasNetwork, lengths: Sequence[int] = LENGTHS[:4], *, engine: str = "auto"
) -> tuple[Share, ...]:
    """How many of random problems of each length a network answers wrongly.

    Their digits are uniform, and they are none of those that `sample` draws.  How many there are is
    decided by the work that they are, not by the clock: of the same network always the same.
    """
    network = network_of(network)
    worker = engines.get(engine, network)
    products = _PRODUCTS[worker.threads] // sum(array.size for array in network.weights.values())
    told = []
    for digits in lengths:
        count = min(max(products // digits, _FEWEST), _MOST)
        count = 1 << count.bit_length() - 1
        result = sample(
            network,
            digits,
            pairs=count,
            seed=digits,
            engine=worker.name,
            stream=rng.SHARES,
            whole=False,
        )
        told.append(Share(digits, count, count - result.right))
    return tuple(told)


_PRODUCTS = {False: 2**27, True: 2**28}  # with weights, in NumPy and in machine code
_FEWEST, _MOST = 32, 2048


def rate(network: Network | HasNetwork, *, engine: str = "auto") -> float:
    """How many problems a second `evaluate` tries of a network, on this machine, as measured now.

    With two digits that count; in one or two tenths of a second, by problems that are longer and
    longer.  The best of them counts, since a machine may be busy for a moment, and short ones take
    longer to begin than to try.
    """
    network = network_of(network)
    symbols, digits, best, spent = len(network.task.machine.symbols), 1, 0.0, 0.0
    most = affordable_digits(network.task, 32, MOST_PROBLEMS)
    evaluate(network, 1, engine=engine)  # machine code is made once
    while True:
        begun = monotonic()
        evaluate(network, digits, engine=engine)
        seconds = max(monotonic() - begun, 1e-6)
        best, spent = max(best, symbols**digits / seconds), spent + seconds
        if spent > _LONG_ENOUGH or symbols ** (digits + 1) > best * _TOO_LONG or digits >= most:
            return float(f"{best:.2g}")
        digits += 1


_LONG_ENOUGH, _TOO_LONG = 0.05, 0.15  # seconds
