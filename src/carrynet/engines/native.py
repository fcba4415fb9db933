"""The native engine: machine code for exactly this network's shape, built with llvmlite.

Kernels are in `kernels/`; here they are compiled, kept in a cache of object files,
loaded and called.  ctypes lets go of the interpreter's lock during a call, so that
threads run kernels side by side.  float32 only, up to 256 hidden units.
"""

import ctypes
import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet.data.words import Words, tables
from carrynet.engines import reference
from carrynet.engines.reference import Followed, Prefixes, Tally, numbers
from carrynet.errors import CarrynetError
from carrynet.nets import optim
from carrynet.nets.arrays import Array
from carrynet.nets.network import Network, Weights
from carrynet.nets.optim import BETA1, BETA2, Moments
from carrynet.spec.recipe import Recipe, Stage

try:
    import llvmlite
    import llvmlite.binding as llvm

    from carrynet.engines import kernels, vector
    from carrynet.engines.kernels import Layout, Shape
except ImportError as error:  # no wheel for this machine
    _missing: str | None = f"llvmlite cannot be imported: {error}"
else:
    _missing = None

MOST_HIDDEN = 256


class Unavailable(CarrynetError):
    """Why this machine, or this network, cannot have the native engine."""


def refuses(subject: Network | Recipe) -> str | None:
    """Why the engine does not take a network, or those of a recipe; None if it does."""
    if _missing:
        return _missing
    if not subject.elman:
        return "the native engine takes Elman's cell only, begun at zero, read out linearly"
    if subject.dtype != "float32":
        return f"the native engine computes in float32, not {subject.dtype}"
    if subject.hidden > MOST_HIDDEN:
        return f"the native engine takes up to {MOST_HIDDEN} hidden units, not {subject.hidden}"
    task = subject.task if isinstance(subject, Network) else subject.specification
    if task.machine.leaves_open:
        return f"the native engine asks for every output, which task {task.name} does not"
    if not task.encoding.binary:
        return f"the native engine feeds 0 and 1 only, not {task.encoding.kind} of task {task.name}"
    try:
        processor()
    except (RuntimeError, OSError) as error:
        return f"LLVM does not know this processor: {error}"
    return _cannot_build()


@cache
def _cannot_build() -> str | None:
    """Why LLVM makes no machine code here, if it does not; tried once, with the smallest kernel."""
    try:
        multiply_adds(1)[0]()
    except (RuntimeError, OSError, MemoryError) as error:
        return f"LLVM cannot make machine code here: {error}"
    return None


# Training ----------------------------------------------------------------------------


def advance(
    network: Network, moments: Moments, recipe: Recipe, stage: Stage, words: Words, first: int
) -> tuple[Weights, Moments, Array]:
    """Make one update for each batch of words; see `engines.Engine`."""
    updates, B, T = words.shape
    task, shape = network.task, _train_shape(network, recipe, stage)
    layout, table = Layout(shape), tables(task)
    P, Y, rows = layout.width, shape.outputs, B * T

    p = _pack(network.weights, layout)
    packed = [_pack(moment, layout) for moment in moments]
    both = _buffer(len(packed) * layout.size)
    for i, moment in enumerate(packed):
        both[i * layout.size : (i + 1) * layout.size] = moment
    rates, roots = _rates(stage, first, updates, B)
    ramps = [stage.ramp_at(first + i) for i in range(updates)] if stage.worst else []
    shares = np.array([(ramp * stage.worst, ramp * stage.slack) for ramp in ramps], np.float32)
    bounded = rows if stage.worst else 0
    logits = _buffer(updates * rows * Y)
    scratch = _buffer(2 * layout.output_width)
    scratch[:] = -1e30  # what the softmax finds beyond the outputs
    _function("train", shape)(
        p,
        _buffer(P * P),
        both,
        _buffer(layout.size if stage.worst or shape.optimiser == "adam" else 0),
        np.ascontiguousarray(words, np.uint16),
        rates,
        roots,
        logits,
        _active(network, layout),
        table.delta,
        table.output,
        table.targets,
        _buffer(rows, np.int32),
        _buffer(rows * P),
        _buffer(rows * P),
        _buffer(rows * Y),
        scratch,
        shares,
        _buffer(bounded, np.int32),
        *(_buffer(bounded * P) for _ in range(2)),
        *(_buffer((bounded + B) * P) for _ in range(4)),
        *(_buffer(bounded * Y) for _ in range(2)),
        updates,
        B,
        T,
        table.delta.shape[1],
    )
    hidden = shape.hidden
    return (
        _unpack(p, layout, hidden),
        tuple(
            _unpack(both[i * layout.size : (i + 1) * layout.size], layout, hidden)
            for i in range(len(packed))
        ),
        logits.reshape(updates, T, B, Y),
    )


def _train_shape(network: Network, recipe: Recipe, stage: Stage) -> "Shape":
    return Shape(
        **_common(network),
        loss=stage.loss,
        optimiser=stage.optimiser,
        biases=recipe.biases,
        alone=stage.batch == 1 and stage.optimiser == "sgd" and not stage.worst,
        worst=stage.worst > 0,
    )


def _common(network: Network) -> dict[str, Any]:
    task = network.task
    return {
        "lanes": processor().lanes,
        "hidden": network.hidden,
        "inputs": task.inputs,
        "active": tables(task).active,
        "outputs": task.neurons,
        "activation": network.activation,
        "readout": task.readout,
    }


def _rates(stage: Stage, first: int, updates: int, batch: int) -> tuple[Array, Array]:
    """What each update multiplies gradients with, and Adam's corrections."""
    if stage.decay:
        steps = np.array([stage.step_at(first + i) for i in range(updates)])
    else:
        steps = np.full(updates, stage.step)
    if stage.optimiser == "sgd":
        return (-steps / batch).astype(np.float32), _buffer(0)
    count = np.arange(first + 1, first + updates + 1)
    roots = np.stack([steps / (1 - BETA1**count), 1 / np.sqrt(1 - BETA2**count)], axis=1)
    return np.full(updates, 1 / batch, np.float32), np.ascontiguousarray(roots, np.float32)


# Populations -------------------------------------------------------------------------

ACROSS_HIDDEN = 16
"""Up to this many hidden units, networks go across the lanes of vectors, one in each."""


def lanes_for(recipe: Recipe) -> int:
    """How many networks of a recipe are best trained at once by one thread: 1 or all lanes."""
    (stage, *more) = recipe.stages
    simple = stage.batch == 1 and stage.optimiser == "sgd" and not stage.decay and not more
    return processor().lanes if simple and recipe.elman and recipe.hidden <= ACROSS_HIDDEN else 1


def advance_across(
    networks: Sequence[Network], recipes: Sequence[Recipe], words: Sequence[Words]
) -> list[Weights]:
    """Updates for recipes that differ in seed and step only, up to a vector of them.

    Each network has its own words (updates, T); see `kernels.across`.
    """
    recipe, network = recipes[0], networks[0]
    stage, table, H = recipe.stages[0], tables(networks[0].task), networks[0].hidden
    shape = Shape(
        **_common(network), loss=stage.loss, optimiser="sgd", biases=recipe.biases, alone=True
    )
    L, (updates, T) = shape.lanes, words[0].shape
    X, Y = shape.inputs, shape.outputs
    p = _buffer(kernels.across_offsets(shape)["size"] * L)
    lanes = p.reshape(-1, L)
    steps, read = _buffer(L), np.zeros((L, updates, T), np.uint16)
    for lane in range(L):
        # lanes to spare train the first network again
        source = lane if lane < len(networks) else 0
        lanes[:, lane] = np.concatenate([w.ravel() for w in networks[source].weights.values()])
        steps[lane], read[lane] = recipes[source].stages[0].step, words[source]
    _function("across", shape)(
        *(p, read, steps, table.vectors, table.delta, table.output, table.targets),
        *(_buffer(T * X * L), _buffer(T * H * L), _buffer(T * H * L), _buffer(T * Y * L)),
        *(updates, T, table.delta.shape[1]),
    )
    trained = []
    for lane, network in enumerate(networks):
        arrays, start = {}, 0
        for name, w in network.weights.items():
            arrays[name] = lanes[start : start + w.size, lane].reshape(w.shape).copy()
            start += w.size
        trained.append(Weights(arrays))
    return trained


# Evaluation --------------------------------------------------------------------------


def walk(network: Network, prefixes: Prefixes, depth: int) -> Tally:
    """Every word below some prefixes; see `engines.Engine`."""
    shape, layout, p, drives = _evaluation(network)
    table = tables(network.task)
    symbols, rows = table.delta.shape[1], len(prefixes.state)
    h = _buffer(rows * layout.width).reshape(rows, layout.width)
    h[:, : network.hidden] = prefixes.h
    # buffers of their own: two threads that write to one cache line slow each other down
    tally, margin = _buffer(2, np.int64), _buffer(2)
    tally[:], margin[:] = (0, _NONE), np.inf
    function = _function("walk", shape)
    work = _buffer(depth * kernels.walk_room(shape, symbols))
    state, so_far = prefixes.state.astype(np.int32), prefixes.right.astype(np.int32)
    for i in range(0, rows, kernels.BLOCK):
        some = np.s_[i : i + kernels.BLOCK]
        function(
            *(p, drives, table.delta, table.output),
            *(h[some], state[some], so_far[some], work, tally, margin),
            *(len(state[some]), prefixes.word + i, depth, network.task.headroom, symbols),
        )
    right, wrong = int(tally[0]), int(tally[1])
    if prefixes.doubt.any() or _in_doubt(network, margin):
        resolved = reference.walk(network, prefixes, depth)
        # which words differ the kernel does not say; if their number does, at least so many
        return replace(resolved, differ=abs(resolved.right - right))
    return Tally(right, float(numbers(margin)[0]), None if wrong == _NONE else wrong)


def follow(network: Network, words: Words) -> Followed:
    """Where each word first goes wrong, and the smallest margin; see `engines.Engine`."""
    shape, layout, p, drives = _evaluation(network)
    table = tables(network.task)
    first_error = np.full(len(words), -1, np.int32)
    margin = _buffer(2)
    margin[:] = np.inf
    _function("follow", shape)(
        *(p, drives, table.delta, table.output, np.ascontiguousarray(words, np.uint16)),
        *(_buffer(8 * layout.width), _buffer(4, np.int32), first_error, margin),
        *(*words.shape, table.delta.shape[1]),
    )
    if _in_doubt(network, margin):
        resolved = reference.follow(network, words)
        differ = ((resolved.first_error < 0) != (first_error < 0)) & resolved.doubt
        return replace(resolved, differ=int(differ.sum()))
    return Followed(first_error, float(numbers(margin)[0]), np.zeros(len(words), dtype=bool))


def _in_doubt(network: Network, margin: Array) -> bool:
    """Whether some margin may be within rounding of zero, here or in NumPy's engine."""
    return bool(margin[1] <= 2 * reference.near_zero(network))


_NONE = 2**63 - 1  # no word is wrong


@lru_cache(maxsize=8)
def _evaluation(network: Network) -> tuple["Shape", "Layout", Array, Array]:
    """What both kernels of an evaluation need: their shape, weights and drives."""
    shape = Shape(**_common(network))
    layout = Layout(shape)
    drives = _buffer(len(network.drives) * layout.width).reshape(-1, layout.width)
    drives[:, : network.hidden] = network.drives
    return shape, layout, _pack(network.weights, layout), drives


# The processor's peak ----------------------------------------------------------------


def multiply_adds(turns: int) -> tuple[Callable[[], None], float]:
    """A function that only multiplies and adds, and how many operations a call makes."""
    shape = Shape(processor().lanes, 8, 1, 1, 1)
    function = _function("peak", shape)
    numbers = _buffer((kernels.PEAK_CHAINS + 1) * shape.lanes)
    operations = 2.0 * turns * kernels.PEAK_CHAINS * shape.lanes
    return lambda: function(numbers, turns), operations


# Parameters in one array -------------------------------------------------------------


def _buffer(size: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Zeros on a cache line's border, with a vector's width to spare behind them.

    Kernels work on whole vectors and may touch what follows the last number.
    """
    item = np.dtype(dtype).itemsize
    room = np.zeros((size + _SPARE) * item + _LINE, np.uint8)
    start = -room.ctypes.data % _LINE
    return room[start : start + size * item].view(dtype)


_LINE, _SPARE = 64, 16


def _sections(flat: Array, layout: "Layout") -> dict[str, Array]:
    """Views of the parameters, padded, shaped as `kernels.Layout` says."""
    X, P, Y = layout.shape.inputs, layout.width, layout.shape.outputs
    return {
        "Wxh": flat[: X * P].reshape(X, P),
        "Whh": flat[layout.Whh : layout.bh].reshape(P, P),
        "bh": flat[layout.bh : layout.Why],
        "Why": flat[layout.Why : layout.by].reshape(Y, P).T,
        "by": flat[layout.by :],
    }


def _pack(weights: Weights, layout: "Layout") -> Array:
    flat = _buffer(layout.size)
    for name, section in _sections(flat, layout).items():
        array = getattr(weights, name)
        section[tuple(map(slice, array.shape))] = array
    return flat


def _unpack(flat: Array, layout: "Layout", hidden: int) -> Weights:
    X, Y = layout.shape.inputs, layout.shape.outputs
    shapes = {"Wxh": (X, hidden), "Whh": (hidden, hidden), "bh": (hidden,)}
    shapes |= {"Why": (hidden, Y), "by": (Y,)}
    sections = _sections(flat, layout)
    return Weights(
        **{name: sections[name][tuple(map(slice, shape))].copy() for name, shape in shapes.items()}
    )


def _active(network: Network, layout: "Layout") -> NDArray[np.int32]:
    """Where the rows of Wxh begin that each symbol switches on: shape (S, J)."""
    vectors = tables(network.task).vectors
    rows = np.full((len(vectors), layout.shape.active), layout.shape.inputs, np.int32)  # zero row
    for symbol, vector in enumerate(vectors):
        (on,) = np.nonzero(vector)
        rows[symbol, : len(on)] = on
    return rows * layout.width


# Machine code ------------------------------------------------------------------------


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


def _function(kernel: str, shape: "Shape") -> Callable[..., None]:
    """A kernel, ready to be called with arrays and integers."""
    with _lock:
        if (kernel, shape) not in _loaded:
            _loaded[kernel, shape] = _load(kernel, _object_file(kernel, shape))
        return _loaded[kernel, shape]


def _load(kernel: str, code: bytes) -> Callable[..., None]:
    target = _target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(kernel)
    prototype = ctypes.CFUNCTYPE(None)(address)

    types = [np.dtype(kind) for kind in kernels.KERNELS[kernel].arrays.values()]

    def call(*arguments: Any) -> None:
        arrays, integers = arguments[: len(types)], arguments[len(types) :]
        pointers = [
            ctypes.c_void_p(_address(array, kind))
            for array, kind in zip(arrays, types, strict=True)
        ]
        prototype(*pointers, *map(ctypes.c_int64, integers))

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


def build(kernel: str, shape: "Shape") -> bytes:
    """Compile a kernel to an object file."""
    target = _target_machine()
    return bytes(target.emit_object(optimised(kernel, shape, target)))


def optimised(kernel: str, shape: "Shape", target: "llvm.TargetMachine") -> "llvm.ModuleRef":
    """A kernel as LLVM's passes leave it."""
    module = llvm.parse_assembly(str(kernels.KERNELS[kernel].write(shape)))
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    # The kernels are vectorised and unrolled as they should be; LLVM would undo it.
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = options.loop_interleaving = False
    passes = llvm.create_pass_builder(target, options)
    passes.getModulePassManager().run(module, passes)
    return module


# The cache of object files -----------------------------------------------------------


def _object_file(kernel: str, shape: "Shape") -> bytes:
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


def _key(kernel: str, shape: "Shape") -> bytes:
    """Everything that machine code depends on."""
    facts = (kernel, shape, processor(), llvmlite.__version__, llvm.llvm_version_info, _generator())
    return repr(facts).encode()


@cache
def _generator() -> str:
    """A digest of the modules that write the code, so that no version of them is forgotten."""
    digest = hashlib.sha256()
    kernel_files = sorted(Path(str(kernels.__file__)).parent.glob("*.py"))
    others = (Path(str(module.__file__)) for module in (vector, optim))  # optim: Adam's constants
    for file in (*kernel_files, *others, Path(__file__)):
        digest.update(file.read_bytes())
    return digest.hexdigest()


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
