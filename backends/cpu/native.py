"""Native code on the CPU: LLVM IR compiled by llvmlite, cached, and run on NumPy arrays.

Code is cached in memory and on disk. llvmlite is optional and imported on first use. Matrix products use the
BLAS that NumPy has already loaded, so that there is only one thread pool.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import disk
from ..schedules import HostCall
from . import marshalling, threads
from .host_calls import Host

#: Compiled functions kept in memory.
KEPT = 256
#: What OpenBLAS's get_parallel returns where it was built with OpenMP.
_OPENMP = 2
#: Room in the table of functions that compiled code calls.
_FUNCTIONS = 16
#: Prefix and suffix of "sgemm" in known libraries, and whether integers are then 64-bit.
_SPELLINGS = (
    ("scipy_cblas_", "64_", True),
    ("cblas_", "64_", True),
    ("cblas_", "_64", True),
    ("scipy_cblas_", "", False),
    ("cblas_", "", False),
)


class Blas(NamedTuple):
    """The addresses of `cblas_sgemm` and `cblas_dgemm`, and whether they take 64-bit integers.

    `get_threads` and `set_threads` are those of OpenBLAS's functions for its number of threads, else 0. They
    are 0 for OpenMP as well, where that number is one of the calling thread.
    """

    sgemm: int
    dgemm: int
    long: bool
    path: str
    get_threads: int = 0
    set_threads: int = 0


# only one thread at a time calls LLVM; reentrant, as a signal handler may compile while its thread does
_lock = threading.RLock()
# fork only while no thread is inside LLVM, or its locks would stay locked in the child
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_retired: list[Any] = []  # unused engines, to be freed under the lock


class Compiled:
    """A compiled function.

    Attributes:
        address: its entry point.
        compile_seconds: time to compile it; almost 0 if loaded from the disk cache.
        from_disk: whether it came from the disk cache.
    """

    def __init__(self, address: int, compile_seconds: float, from_disk: bool, engine: Any) -> None:
        self.address, self.compile_seconds, self.from_disk = address, compile_seconds, from_disk
        # releases the GIL while it runs
        self.call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(address)
        self._engine = engine  # keep alive: owns the memory

    def at(self, function: str) -> int:
        """Return the address of another function of the module."""
        return int(self._engine.get_function_address(function))

    def __del__(self) -> None:
        if _retired is not None:  # None at interpreter shutdown
            _retired.append(self._engine)


def missing() -> str | None:
    """What is missing for native code, as text; None if nothing is."""
    try:
        _host()
    except ImportError:
        return "llvmlite is not installed: pip install 'xgrad[fast]'"
    except Exception as error:  # llvmlite built without this processor may raise anything
        return f"llvmlite cannot compile for this machine: {error}"
    if find_blas() is None:
        return "no BLAS with a C interface is loaded: pip install scipy-openblas64"
    return None


@cache
def find_blas() -> Blas | None:
    """Find a BLAS with a C interface.

    In order: NumPy's own, another that is loaded, the scipy-openblas64 wheel, else None.
    """
    for path in _libraries():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for before, after, long in _SPELLINGS:
            try:
                found = [
                    ctypes.cast(getattr(library, f"{before}{name}{after}"), ctypes.c_void_p).value
                    for name in ("sgemm", "dgemm")
                ]
            except AttributeError:
                continue
            if found[0] and found[1]:
                threads = _threads_of(library, f"{before.removesuffix('cblas_')}openblas_", after)
                return Blas(found[0], found[1], long, path or "the process itself", *threads)
    return None


def _threads_of(library: ctypes.CDLL, before: str, after: str) -> tuple[int, int]:
    """Return the addresses of OpenBLAS's functions that get and set its number of threads, or zeros."""
    kind = _address(library, f"{before}get_parallel{after}")
    if kind and ctypes.CFUNCTYPE(ctypes.c_int)(kind)() == _OPENMP:
        return 0, 0
    get, set_ = (_address(library, f"{before}{name}_num_threads{after}") for name in ("get", "set"))
    return get, set_


def _address(library: ctypes.CDLL, name: str) -> int:
    """Return the address of a library's function, 0 if it has none of this name."""
    try:
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except AttributeError:
        return 0


def _libraries() -> list[str | None]:
    """Shared libraries that may contain a BLAS, likeliest first; None is the process itself."""
    bundled = [
        *Path(np.__file__).parent.glob(".dylibs/*blas*"),
        *Path(np.__file__).parent.parent.glob("numpy.libs/*blas*"),
    ]
    found: list[str | None] = [str(p) for p in bundled]
    try:
        mapped = {
            line.split(maxsplit=5)[-1].strip()
            for line in Path("/proc/self/maps").read_text().splitlines()
            if "/" in line
        }
    except OSError:
        mapped = set()
    found += sorted(
        p
        for p in mapped
        if any(word in Path(p).name.lower() for word in ("blas", "mkl_rt", "blis")) and p not in found
    )
    if sys.platform == "darwin":
        found.append("/System/Library/Frameworks/Accelerate.framework/Accelerate")
    if os.name == "posix":
        found.append(None)
    # The wheel is located without importing it: its __init__ would load the library globally, and a SciPy
    # imported later would bind some of its functions instead of those of its own BLAS, which has another
    # integer size.
    wheel = importlib.util.find_spec("scipy_openblas64")
    for folder in wheel.submodule_search_locations or () if wheel else ():
        found += [
            str(p)
            for p in Path(folder).glob("lib/*scipy_openblas64*")
            if p.suffix in (".so", ".dylib", ".dll")
        ]
    return found


class _Host(NamedTuple):
    """llvmlite, initialised for this processor."""

    binding: Any
    cpu: str
    features: str
    key: str
    vector_bytes: int
    half: bool


def _host() -> _Host:
    with _lock:
        return _found_host()


@cache
def _found_host() -> _Host:
    import llvmlite
    import llvmlite.binding as llvm

    if llvm.llvm_version_info[0] < 20:  # later versions do this automatically and reject the call
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, found = llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
    size = (
        64
        if found.get("avx512f") and found.get("avx512dq") and found.get("avx512vl")
        else 32
        if found.get("avx2")
        else 16
    )
    versions = f"xgrad {_version()}, llvmlite {llvmlite.__version__}, LLVM {llvm.llvm_version_info}"
    key = f"{versions}, {llvm.get_process_triple()}, {cpu}, {found.flatten()}"
    half = bool(found.get("f16c")) or not llvm.get_process_triple().startswith(("x86", "i"))
    return _Host(llvm, cpu, found.flatten(), key, size, half)


def _version() -> str:
    """Installed version of this library, if any."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("xgrad")
    except PackageNotFoundError:
        return "not installed"


def vector_bytes() -> int:
    """SIMD width of this processor in bytes."""
    return _host().vector_bytes


def converts_half() -> bool:
    """Whether this processor has instructions to convert between float16 and float32."""
    return _host().half


_loaded: OrderedDict[str, Compiled] = OrderedDict()


def load(text: str) -> Compiled:
    """Load an LLVM IR module with a function `run` from memory, the disk cache, or by compiling it."""
    with _lock:
        _retired.clear()
        found = _loaded.get(text)
        if found is None:
            found = _loaded[text] = _make(text)
            if len(_loaded) > KEPT:
                _loaded.popitem(last=False)
        _loaded.move_to_end(text)
        return found


def _make(text: str) -> Compiled:
    start, host = time.perf_counter(), _host()
    key = f"{host.key}, {hashlib.sha256(text.encode()).hexdigest()}"
    code = disk.read("o", key)
    try:
        engine = None if code is None else _link(code)
    except Exception:  # not a valid object file
        engine = None
    from_disk = engine is not None
    if engine is None:
        code = _compile(text)
        engine = _link(code)
        disk.write("o", key, code)
    return Compiled(engine.get_function_address("run"), time.perf_counter() - start, from_disk, engine)


def _compile(text: str) -> bytes:
    """Compile to an object file."""
    llvm, machine = _host().binding, _machine()
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    # the text is already vectorised
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    passes = builder.getModulePassManager()
    passes.run(module, builder)
    _free(passes)
    return bytes(machine.emit_object(module))


def _free(passes: Any) -> None:
    """Free a pass manager.

    In some versions of llvmlite, its class inherits an empty `_dispose` that hides the working one.
    """
    kinds: list[Any] = [kind for kind in type(passes).__mro__ if "_dispose" in vars(kind)]
    if len(kinds) > 1 and kinds[0].__name__ == "ObjectRef":
        kinds[1]._dispose(passes)
        passes.detach()
    else:
        passes.close()


def _machine() -> Any:
    """A target machine; each engine needs its own."""
    host = _host()
    target = host.binding.Target.from_default_triple()
    return target.create_target_machine(cpu=host.cpu, features=host.features, opt=2, jit=True)


def _link(code: bytes) -> Any:
    """Load an object file into an engine, ready to run; raise if it is not one of ours."""
    llvm = _host().binding
    if code[:4] not in (b"\x7fELF", b"\xcf\xfa\xed\xfe") and os.name != "nt":
        raise ValueError("not an object file")
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    if not engine.get_function_address("run"):
        raise ValueError("the object file has no function 'run'")
    return engine


def pool() -> threads.Pool | None:
    """The threads of this process, None on a system without POSIX threads."""
    if os.name != "posix":
        return None
    with _lock:
        return _made_pool()


@cache
def _made_pool() -> threads.Pool:
    blas = find_blas()
    made = threads.Pool(load, blas.get_threads if blas else 0, blas.set_threads if blas else 0)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=made.forget)
    return made


class _Functions(NamedTuple):
    """Addresses of the functions that compiled code calls, in the order of `codegen/llvm/plan.py`.

    `owner` keeps the code of some of them alive.
    """

    table: np.ndarray
    owner: Compiled | None


@cache
def _functions(kernels: str) -> _Functions:
    """Collect the functions of BLAS, the thread pool and the module `kernels`, whose `run` gives its own."""
    blas = find_blas()
    if blas is None:
        raise RuntimeError(missing())
    table = np.zeros(_FUNCTIONS, np.int64)
    table[:2] = blas.sgemm, blas.dgemm
    code, shared = None, pool() if kernels else None
    if shared is not None:
        table[2:6] = shared.address, *shared.functions
        code = load(kernels)
        code.call(int(table[6:].ctypes.data), None, None, None)
    return _Functions(table, code)


class Native:
    """A plan's compiled code and the means to launch it.

    Several threads may call `run` at once.

    `buffers` are the plan's (kind, size, dtype), `text`, `numbers` and `kernels` the output of `llvm.write`,
    and `calls` the ops left to NumPy.
    """

    def __init__(
        self,
        buffers: Sequence[Any],
        text: str,
        numbers: Sequence[float],
        kernels: str,
        calls: Sequence[HostCall] = (),
    ) -> None:
        self.compiled = load(text)
        self._call, self._pool = self.compiled.call, pool() if kernels else None
        self._functions = marshalling.address(_functions(kernels).table)
        self._numbers = np.array(
            [np.float64(v).view(np.int64) if type(v) is float else v for v in numbers], np.int64
        )
        self._table = marshalling.address(self._numbers)
        self._arguments = marshalling.Arguments(buffers, marshalling.find(load))
        self._free: list[marshalling.Pointers] = []
        self._host = Host(buffers, calls) if calls else None

    def run(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Run; return the outputs, flat, in new memory.

        Raises ValueError unless inputs have the sizes of the input buffers.
        """
        try:
            pointers = self._free.pop()
        except IndexError:
            pointers = self._arguments.pointers()
        try:
            memory, _copies = self._arguments.point(inputs, pointers)
            if self._pool is not None and not self._pool.started:
                self._pool.start()
            if self._host is None:
                self._call(pointers.address, self._table, self._functions, None)
            else:
                with self._host.serving(pointers) as host:
                    self._call(pointers.address, self._table, self._functions, host)
            return self._arguments.outputs(memory, pointers)
        finally:
            self._free.append(pointers)
