"""What is measured of a network beside its verdict: how often it is wrong, how fast it is tried.

`accuracy` is what publications on finite-state tasks report, to be read beside theirs.

Neither is searched for, and neither proves anything: shares are sampled, rates are this machine's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from carrynet import engines
from carrynet.data import balanced, drawn, rng
from carrynet.judge.evaluation import (
    LENGTHS,
    MOST_PROBLEMS,
    affordable_digits,
    evaluate,
    sample,
    wilson,
)
from carrynet.nets.network import HasNetwork, Network, network_of
from carrynet.spec.recipe import check_balanced


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


@dataclass(frozen=True)
class Accuracy:
    """Of how many words the last answer is right: sampled, and of these words only."""

    shortest: int  #: of the lengths that were drawn
    longest: int
    words: int
    right: int

    @property
    def rate(self) -> float:
        """The share that is right."""
        return self.right / self.words


def accuracy(
    network: Network | HasNetwork,
    shortest: int = 41,
    longest: int = 500,
    *,
    words: int = 512,
    seed: int = 0,
    engine: str = "auto",
) -> Accuracy:
    """How often the last answer to a word is right, by the measure of Deletang et al. 2023.

    Each length from `shortest` to `longest` counts alike, and of each the words of every outcome,
    as of `data.balanced`.  What a network answers before the last symbol does not matter.

    Source: Deletang et al., "Neural networks and the Chomsky hierarchy", ICLR 2023, whose words
    are of lengths 41 to 500 after a training on those up to 40.

    Raises `InputError` where the machine is too large for words of such lengths.
    """
    network = network_of(network)
    task = network.task
    check_balanced(task, longest)
    bits = rng.raw(seed, rng.ACCURACY, 0, words * (2 + longest)).reshape(words, 2 + longest)
    length = balanced.lengths(task, longest, bits[:, 0], shortest)
    given = drawn.asking(task, balanced.balanced(task, length, bits[:, 1:]), length, end=True)
    asked = network.for_task(drawn.partly(task))
    errors = engines.get(engine, asked).follow(asked, given, whole=False).first_error
    return Accuracy(shortest, longest, words, int((errors < 0).sum()))


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
