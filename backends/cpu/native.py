"""Native code on the CPU: LLVM IR compiled by llvmlite, cached, and run on NumPy arrays.

Code is cached in memory and on disk. llvmlite is optional and imported on first use. Matrix products use the
BLAS that NumPy has already loaded, so that there is only one thread pool.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .. import disk
from ..schedules import HostCall
from . import marshalling, threads
from .blas import find_blas
from .host_calls import Host

#: Compiled functions kept in memory.
KEPT = 256
#: Room in the table of functions that compiled code calls.
_FUNCTIONS = 16

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
                self._host.serve(self._call, pointers, self._table, self._functions)
            return self._arguments.outputs(memory, pointers)
        finally:
            self._free.append(pointers)
