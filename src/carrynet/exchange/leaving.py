"""What a network takes along when it leaves: its task, its digest, and what is known of it.

Whatever format it is written in says this (`about`), so that a verdict is not separated from the
weights that it speaks of, nor taken for one on arithmetic that it does not cover.
"""

import json
from dataclasses import dataclass, field

from carrynet import __version__
from carrynet.nets.network import Network
from carrynet.spec.codec import Digits

IN_SAFETENSORS, IN_KERAS, IN_ONNX = "about", "carrynet.json", "carrynet."
"""Where a file has it: a key of the metadata, a member of the archive, and before each key."""

EPS = {"float32": 2**-24, "float64": 2**-53}


@dataclass(frozen=True)
class Standing:
    """What is known of a network for words of every length, in words."""

    verdict: str = "none"  #: proved, refuted, undecided; none where nobody asked
    words: str = "Nobody has asked whether it is right: it left without a run."
    certificate_sha256: str = ""  #: of the certificate's file, where it is proved


@dataclass(frozen=True)
class Written:
    """A network in a format: the bytes of the file, and what to tell of it."""

    data: bytes
    use: tuple[str, ...]  #: lines of code that use the file
    sizes: dict[str, int] = field(default_factory=dict)  #: bytes, by what they are for


def library(name: str) -> str:
    """What the arithmetic of a library is like, of which nobody has measured this version."""
    return (
        f"In which order {name} adds up is covered; its sigmoid and tanh are where they are that "
        "exact, which was not checked; half precision, TF32 and quantised weights are not."
    )


def about(network: Network, standing: Standing, arithmetic: str) -> dict[str, str]:
    """What goes along, key by key; `arithmetic` says what the format's own is like."""
    task, eps = network.task, EPS[network.dtype.name]
    covered = ""
    if standing.certificate_sha256:
        covered = (
            f"The claim is about these weights in {network.dtype.name} or a better type, products "
            "summed in any order, fused or not, with sigmoid and tanh that are off by at most "
            f"{8 * eps:.1e}, and in whatever else the claim itself allows. {arithmetic}"
        )
    return {
        "carrynet": __version__,
        "task": task.text,
        "symbols": json.dumps(task.machine.symbols),
        "outputs": json.dumps(task.machine.outputs),
        "reads": reads(network),
        "decision": "output 1 where the logit is above 0, else output 0"
        if task.neurons == 1
        else "the output with the largest logit, of equal ones the first",
        "cell": network.cell.text,
        "readout": network.readout.text,
        "dtype": network.dtype.name,
        "weights_sha256": network.digest(),
        "verdict": standing.verdict,
        "claim": standing.words,
        "certificate_sha256": standing.certificate_sha256,
        "arithmetic": covered,
    }


def reads(network: Network) -> str:
    """How a problem is written as a word."""
    codec = network.task.codec
    if not isinstance(codec, Digits):
        return "a word, one symbol after another"
    zeros = f", and {codec.headroom} more of zeros at the end" if codec.headroom else ""
    several = codec.operands > 1
    return (
        f"the digits of {f'{codec.operands} numbers' if several else 'a number'} in base "
        f"{codec.base}, the {codec.first} significant first: each symbol is "
        f"{'a digit of each' if several else 'a digit'}{zeros}"
    )
