"""A module of PyTorch's that is in this process: its tensors and what it says of itself.

By its own methods, `state_dict` and `named_modules`; PyTorch is not imported, since where there is
a module it is there already.
"""

import hashlib
from typing import Any

import numpy as np

from carrynet.errors import InputError, shorten
from carrynet.exchange.found import MAX_BYTES, Found
from carrynet.exchange.pickles import Refused
from carrynet.exchange.state_dicts import CLASS, SETTINGS
from carrynet.exchange.tensors import Contents


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
        for name, part in module.named_modules():
            prefix = f"{name}." if name else ""
            found.settings[f"{prefix}{CLASS}"] = type(part).__name__
            for key in SETTINGS:
                if isinstance(said := getattr(part, key, None), str | int):
                    found.settings[f"{prefix}{key}"] = said
    except (Refused, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"cannot take weights from the {type(module).__name__}: {shorten(str(error))}"
        ) from None
    name, passed = type(module).__name__, tuple(found.passed_over)
    return Contents(found.tensors, passed, {}, digest.hexdigest(), name, found.settings)


def _array(tensor: Any) -> Any:
    """A tensor's numbers; half precision, which is taken exactly, as float32."""
    plain = tensor.detach().cpu()
    if str(plain.dtype) in ("torch.bfloat16", "torch.float16"):
        plain = plain.float()
    return np.array(plain.numpy())
