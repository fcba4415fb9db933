"""A module of PyTorch's that is in this process: its tensors and what it says of itself.

By its own methods, `state_dict` and `named_modules`; PyTorch is not imported, since where there is
a module it is there already.
"""

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from carrynet.data.words import tables
from carrynet.errors import InputError, shorten
from carrynet.exchange.found import MAX_BYTES, Found
from carrynet.exchange.pickles import Refused
from carrynet.exchange.state_dicts import CLASS, SETTINGS, check_module, kind_of
from carrynet.exchange.tensors import Contents
from carrynet.nets.network import Network


def is_module(value: object) -> bool:
    """Whether it has the methods that a module has."""
    return all(callable(getattr(value, name, None)) for name in ("state_dict", "named_modules"))


def contents(module: Any) -> Contents:
    """What a module holds, as a file of its would.

    Buffers that are not kept in a state dict are left out, as there.  `sha256` is that of the
    names, types and bytes of its tensors.  Raises `InputError`.
    """
    found, digest = Found(), hashlib.sha256()
    left = MAX_BYTES
    try:
        for name, tensor in module.state_dict().items():
            left -= tensor.numel() * tensor.element_size()
            if left < 0:
                raise InputError(f"its tensors take more than {MAX_BYTES >> 20} MB")
            array = _array(tensor)
            found.add(str(name), array)
            digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        kept = set(module.state_dict())
        for name, _ in getattr(module, "named_buffers", dict)() or ():
            if name not in kept:
                raise InputError(f"buffer {shorten(name)} is in no state dict, and may be needed")
        for name, part in module.named_modules(remove_duplicate=False):
            prefix = f"{name}." if name else ""
            kind = kind_of(f"{type(part).__module__}.{type(part).__qualname__}")
            check_module(name, kind, vars(part))
            found.settings[f"{prefix}{CLASS}"] = kind
            for key in SETTINGS:
                if isinstance(said := getattr(part, key, None), str | int | float):
                    found.settings[f"{prefix}{key}"] = said
    except (Refused, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"cannot take weights from the {type(module).__name__}: {shorten(str(error))}"
        ) from None
    name, passed = type(module).__name__, tuple(found.passed_over)
    sha256 = digest.hexdigest()
    return Contents(found.tensors, passed, {}, sha256, name, found.settings, listed=True)


WORDS, LENGTH = 4, 6
CLOSE = 1e-3  # half precision computes with no more


def confirm(module: Any, network: Network) -> None:
    """Call the module on some words, and compare: it may do more than its parts say.

    How it wants to be called nobody knows: numbers of symbols or what they are fed as, batch first
    or time first.  Where no call gives logits of the right shape, nothing is said.  Raises
    `InputError` where some do, and none are the network's.
    """
    torch = sys.modules.get("torch")
    if torch is None or not callable(module):
        return
    words = np.random.default_rng(0).integers(network.symbols, size=(WORDS, LENGTH))
    ours = np.array(
        [np.concatenate([block for _, block in network.states(w)]) for w in words.tolist()]
    )
    answers = list(_calls(torch, module, words, network))
    if answers and not any(_agree(theirs, ours) for theirs in answers):
        raise InputError(
            f"the {type(module).__name__} answers otherwise when it is called: its forward does "
            "more than its layers say; samples= of what it answers may show what"
        )


def _agree(theirs: Any, ours: Any) -> bool:
    """Whether what a module gives is the network's logits, or what usual ends make of them."""
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-ours))
    if ours.shape[-1] > 1 == theirs.shape[-1]:  # a number y, of which digit n has n y - n^2 / 2
        ways = [(theirs, ours[..., 1:2] - ours[..., :1] + 0.5)]
    elif ours.shape[-1] > 1:
        raised = np.exp(ours - ours.max(axis=-1, keepdims=True))
        shares = raised / raised.sum(axis=-1, keepdims=True)
        ways = [(theirs, ours), (theirs, shares), (np.exp(theirs), shares)]
    elif theirs.shape[-1] == 2:  # whose difference the network has
        ways = [(theirs[..., 1:] - theirs[..., :1], ours), (theirs[..., 1:], p)]
    else:
        ways = [(theirs, ours), (theirs, p), (theirs - 0.5, ours)]
    return any(np.allclose(one, other, atol=CLOSE, rtol=CLOSE) for one, other in ways)


def _calls(torch: Any, module: Any, words: Any, network: Network) -> Iterator[Any]:
    """Logits (N, T, y) of words (N, T), by each way of calling that gives some."""
    y = 2 if network.task.neurons == 1 else network.task.neurons
    vectors = tables(network.task).vectors[words]
    training, dtype = module.training, next(iter(module.state_dict().values())).dtype
    module.eval()
    try:
        with torch.no_grad():
            for first in (True, False):
                for given in (torch.tensor(words), torch.tensor(vectors).to(dtype)):
                    x = given if first else given.transpose(0, 1)
                    try:
                        found = module(x)
                    except Exception:  # whatever a module says of what it is not made for
                        continue
                    found = found[0] if isinstance(found, tuple) else found
                    shape = (*words.shape,) if first else words.shape[::-1]
                    if tuple(getattr(found, "shape", ()))[:2] != shape or found.ndim > 3:
                        continue
                    logits = _array(found)
                    logits = logits[..., None] if logits.ndim == 2 else logits
                    number = logits.shape[-1] == 1 and logits.dtype.kind == "f"
                    if number or logits.shape[-1] in (network.task.neurons, y):
                        yield logits if first else logits.swapaxes(0, 1)
    finally:
        module.train(training)


def _array(tensor: Any) -> Any:
    """A tensor's numbers; half precision, which is taken exactly, as float32."""
    plain = tensor.detach().cpu()
    if str(plain.dtype) in ("torch.bfloat16", "torch.float16"):
        plain = plain.float()
    return np.array(plain.numpy())
