"""Machine code for kernels: compiled by LLVM through llvmlite, kept in a cache, loaded and called.

A kernel's code depends on its shape, the processor, and the modules that write it: all are in the
name of the file that it is kept in.  ctypes lets go of the interpreter's lock during a call, so
that threads run kernels side by side.
"""

import ctypes
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carrynet.nets import equations, formula, invariant, optim, step

if TYPE_CHECKING:
    from carrynet.engines.kernels import Closing, Formulas, Shape

    Made = Shape | Formulas | Closing

try:
    import llvmlite
    import llvmlite.binding as llvm

    from carrynet.engines import kernels, vector
except ImportError as error:  # no wheel for this machine
    missing: str | None = f"llvmlite cannot be imported: {error}"
else:
    missing = None


@dataclass(frozen=True)
class Processor:
    """The processor that code is made for."""

    triple: str
    cpu: str
    features: str
    lanes: int  # float32 numbers in its vectors


@cache
def processor() -> Processor:
    """This machine's processor, as LLVM knows it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    lanes = 16 if features.get("avx512f") else 8 if features.get("avx") else 4
    return Processor(llvm.get_process_triple(), llvm.get_host_cpu_name(), features.flatten(), lanes)


_lock = threading.Lock()
_loaded: dict[tuple[str, Any], Callable[..., None]] = {}


def function(kernel: str, shape: "Made") -> Callable[..., None]:
    """A kernel, ready to be called with arrays and integers by their names."""
    with _lock:
        if (kernel, shape) not in _loaded:
            _loaded[kernel, shape] = _load(kernel, _object_file(kernel, shape))
        return _loaded[kernel, shape]


def forget() -> None:
    """Let go of all kernels: what is called next comes from the cache again, or is built."""
    with _lock:
        _loaded.clear()


def _load(kernel: str, code: bytes) -> Callable[..., None]:
    target = _target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(kernel)
    prototype = ctypes.CFUNCTYPE(None)(address)

    parameters = kernels.KERNELS[kernel].parameters
    types = {name: np.dtype(kind) for name, kind in parameters.arrays.items()}
    names = {*types, *parameters.integers}

    def call(**given: Any) -> None:
        if wrong := names ^ given.keys():
            raise TypeError(f"kernel {kernel} is called with or without {', '.join(sorted(wrong))}")
        pointers = [ctypes.c_void_p(_address(given[name], kind)) for name, kind in types.items()]
        prototype(*pointers, *(ctypes.c_int64(given[name]) for name in parameters.integers))

    call.engine = engine  # type: ignore[attr-defined]  # owns the code
    return call


def _address(array: NDArray[Any], kind: np.dtype[Any]) -> int:
    if array.dtype != kind or not array.flags.c_contiguous:
        raise ValueError(f"a kernel takes contiguous {kind}, not {array.dtype} {array.strides}")
    return array.ctypes.data


def _target_machine() -> "llvm.TargetMachine":
    machine = processor()
    target = llvm.Target.from_triple(machine.triple)
    return target.create_target_machine(cpu=machine.cpu, features=machine.features, opt=2, jit=True)


def build(kernel: str, shape: "Made") -> bytes:
    """Compile a kernel to an object file."""
    return bytes(_target_machine().emit_object(module(kernel, shape)))


def module(kernel: str, shape: "Made") -> "llvm.ModuleRef":
    """A kernel for LLVM's code generator.

    None of LLVM's passes is run before: kernels are written as they should be carried out, in
    registers, vectorised and unrolled, and what the passes still found took longer than it saved.
    """
    made = llvm.parse_assembly(str(kernels.KERNELS[kernel].write(shape)))
    made.verify()
    return made


# The cache of object files -----------------------------------------------------------


def _object_file(kernel: str, shape: "Made") -> bytes:
    """A kernel's machine code, from the cache or built, and then kept there.

    Whatever is wrong with the cache, the code is built: the cache only saves time.
    """
    key = _key(kernel, shape)
    path = cache_folder() / f"{kernel}-{hashlib.sha256(key).hexdigest()[:40]}.o"
    code = _read_cached(path, key)
    if code is None:
        code = build(kernel, shape)
        _write_cached(path, key, code)
    return code


def cache_folder() -> Path:
    """Where object files are kept: `CARRYNET_CACHE`, or the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("CARRYNET_CACHE") or platformdirs.user_cache_path("carrynet"))


def _key(kernel: str, shape: "Made") -> bytes:
    """Everything that machine code depends on."""
    facts = (kernel, shape, processor(), llvmlite.__version__, llvm.llvm_version_info, _generator())
    return repr(facts).encode()


@cache
def _generator() -> str:
    """A digest of the modules that write the code, so that no version of them is forgotten."""
    digest = hashlib.sha256()
    for file in _sources():
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _sources() -> list[Path]:
    """The modules that write the code, and those that they take constants or formulas from."""
    own = sorted(Path(str(kernels.__file__)).parent.glob("*.py"))
    others = vector, optim, step, invariant, formula, equations
    return [*own, *(Path(str(module.__file__)) for module in others), Path(__file__)]


def _seal(key: bytes, code: bytes) -> bytes:
    return hashlib.sha256(len(key).to_bytes(8, "little") + key + code).digest()


def _read_cached(path: Path, key: bytes) -> bytes | None:
    """The code in a cached file; None unless it is whole, ours, and made for this key."""
    try:
        if hasattr(os, "getuid"):
            for place in (path, path.parent):
                status = place.stat()
                if status.st_uid != os.getuid() or status.st_mode & 0o022:
                    return None  # somebody else could have written it
        data = path.read_bytes()
    except OSError:
        return None
    seal, code = data[:32], data[32:]
    return code if seal == _seal(key, code) else None


def _write_cached(path: Path, key: bytes, code: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            beside.write_bytes(_seal(key, code) + code)
            beside.chmod(0o600)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError:
        pass  # read-only or full: the next process builds again
