"""Native code on the CPU: LLVM IR compiled by llvmlite, kept in memory and on disk, and launched on NumPy arrays.

llvmlite is optional and is imported at first use. Matrix products go to the BLAS that NumPy has loaded already, so that
there is one pool of threads.
"""

from __future__ import annotations

import ctypes
import hashlib
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

from . import disk

#: Compiled functions kept in memory.
KEPT = 256
_ALIGN = 64
#: What stands before and after "sgemm" in the libraries there are, and whether it then takes 64-bit integers.
_SPELLINGS = (("scipy_cblas_", "64_", True), ("cblas_", "64_", True), ("cblas_", "_64", True), ("scipy_cblas_", "", False), ("cblas_", "", False))


class Blas(NamedTuple):
    """The addresses of `cblas_sgemm` and `cblas_dgemm`, and whether they take 64-bit integers."""

    sgemm: int
    dgemm: int
    long: bool
    path: str


class Compiled:
    """A function of machine code.

    Attributes:
        address: where it starts.
        compile_seconds: what making it took; next to nothing where it came from the cache on disk.
        from_disk: whether it did.
    """

    def __init__(self, address: int, compile_seconds: float, from_disk: bool, keep: Any) -> None:
        self.address, self.compile_seconds, self.from_disk = address, compile_seconds, from_disk
        self.call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(address)  # releases the global lock while it runs
        self._keep = keep  # the engine owns the memory


def missing() -> str | None:
    """What native code lacks here, in words; None where nothing is missing."""
    try:
        _host()
    except ImportError:
        return "llvmlite is not installed: pip install 'xgrad[fast]'"
    except Exception as error:  # whatever a build of llvmlite without this processor raises
        return f"llvmlite cannot compile for this machine: {error}"
    if find_blas() is None:
        return "no BLAS with a C interface is loaded: pip install scipy-openblas64"
    return None


@cache
def find_blas() -> Blas | None:
    """NumPy's own BLAS if it offers a C interface, else another that is loaded, else the scipy-openblas64 wheel, else None."""
    for path in _libraries():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for before, after, long in _SPELLINGS:
            try:
                found = [ctypes.cast(getattr(library, f"{before}{name}{after}"), ctypes.c_void_p).value for name in ("sgemm", "dgemm")]
            except AttributeError:
                continue
            if found[0] and found[1]:
                return Blas(found[0], found[1], long, path or "the process itself")
    return None


def _libraries() -> list[str | None]:
    """Shared libraries that may hold a BLAS, the likeliest first. None is the process itself."""
    bundled = [*Path(np.__file__).parent.glob(".dylibs/*blas*"), *Path(np.__file__).parent.parent.glob("numpy.libs/*blas*")]
    found: list[str | None] = [str(p) for p in bundled]
    try:
        mapped = {line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line}
    except OSError:
        mapped = set()
    found += sorted(p for p in mapped if any(word in Path(p).name.lower() for word in ("blas", "mkl_rt", "blis")) and p not in found)
    if sys.platform == "darwin":
        found.append("/System/Library/Frameworks/Accelerate.framework/Accelerate")
    if os.name == "posix":
        found.append(None)
    try:
        import scipy_openblas64  # type: ignore[import-not-found, unused-ignore]

        found += [str(p) for p in Path(scipy_openblas64.get_lib_dir()).glob("*scipy_openblas64*") if p.suffix in (".so", ".dylib", ".dll")]
    except ImportError:
        pass
    return found


class _Host(NamedTuple):
    """llvmlite, ready to compile for this processor."""

    binding: Any
    cpu: str
    features: str
    key: str
    vector_bytes: int


@cache
def _host() -> _Host:
    import llvmlite
    import llvmlite.binding as llvm

    if llvm.llvm_version_info[0] < 20:  # later versions do it themselves and refuse the call
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, found = llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
    size = 64 if found.get("avx512f") and found.get("avx512dq") and found.get("avx512vl") else 32 if found.get("avx2") else 16
    key = f"{llvmlite.__version__} {llvm.llvm_version_info} {llvm.get_process_triple()} {cpu} {found.flatten()}"
    return _Host(llvm, cpu, found.flatten(), key, size)


def vector_bytes() -> int:
    """The size of this processor's vectors."""
    return _host().vector_bytes


_loaded: OrderedDict[str, Compiled] = OrderedDict()
_lock = threading.Lock()


def load(text: str) -> Compiled:
    """The function `run` of a module of LLVM IR: from memory, from the cache on disk, or compiled now."""
    with _lock:  # LLVM is not asked by two threads at once
        found = _loaded.get(text)
        if found is None:
            found = _loaded[text] = _make(text)
            if len(_loaded) > KEPT:
                _loaded.popitem(last=False)
        _loaded.move_to_end(text)
        return found


def _make(text: str) -> Compiled:
    start, host = time.perf_counter(), _host()
    key = hashlib.sha256(f"{host.key}\n{text}".encode()).hexdigest()
    code = disk.read(f"{key}.o")
    try:
        engine = None if code is None else _link(code)
    except Exception:  # not an object file after all
        engine = None
    from_disk = engine is not None
    if engine is None:
        code = _compile(text)
        engine = _link(code)
        disk.write(f"{key}.o", code)
    return Compiled(engine.get_function_address("run"), time.perf_counter() - start, from_disk, engine)


def _compile(text: str) -> bytes:
    """Machine code as an object file."""
    llvm, machine = _host().binding, _machine()
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False  # the text has its vectors
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))


def _machine() -> Any:
    """A target machine; each engine needs its own."""
    host = _host()
    target = host.binding.Target.from_default_triple()
    return target.create_target_machine(cpu=host.cpu, features=host.features, opt=2, jit=True)


def _link(code: bytes) -> Any:
    """An engine that holds the object file's code, ready to run. Raises where it is not one of ours."""
    llvm = _host().binding
    if code[:4] not in (b"\x7fELF", b"\xcf\xfa\xed\xfe") and os.name != "nt":
        raise ValueError("not an object file")
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    if not engine.get_function_address("run"):
        raise ValueError("the object file has no function 'run'")
    return engine


class _Workspace:
    """What one call needs for itself: pointers to all buffers, scratch memory, and the inputs of the last call with it."""

    def __init__(self, buffers: Sequence[Any], inputs: int) -> None:
        self.pointers = (ctypes.c_void_p * len(buffers))()
        self.given: list[Any] = [None] * inputs  # as they came: the same object again has the same address
        self.used: list[Any] = [None] * inputs  # as they were read
        scratch = [(i, b) for i, b in enumerate(buffers) if b.kind == "scratch"]
        starts, size = _places([b for _, b in scratch])
        self.scratch = np.zeros(size + _ALIGN, np.uint8)
        base = _address(self.scratch)
        base += -base % _ALIGN
        for (i, _), start in zip(scratch, starts):
            self.pointers[i] = base + start
        self.address = ctypes.addressof(self.pointers)


def _address(array: np.ndarray) -> int:
    """Where a contiguous array's memory starts."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):  # read-only or empty: the slow way, by a microsecond
        return int(array.__array_interface__["data"][0])


def _places(buffers: Sequence[Any]) -> tuple[list[int], int]:
    """Where each buffer starts in one block of bytes, aligned, and the size of the block."""
    starts, end = [], 0
    for b in buffers:
        starts.append(end)
        end += -(-b.size * np.dtype(b.dtype).itemsize // _ALIGN) * _ALIGN
    return starts, end


class Native:
    """A plan's compiled code with what it takes to launch it. Several threads may call `run` at once.

    `buffers` are the plan's (kind, size, dtype), `text` and `numbers` what `llvm.write` made of it.
    """

    def __init__(self, buffers: Sequence[Any], text: str, numbers: Sequence[int]) -> None:
        self.compiled = load(text)
        blas = find_blas()
        if blas is None:
            raise RuntimeError(missing())
        self._call, self._sgemm, self._dgemm = self.compiled.call, blas.sgemm, blas.dgemm
        self._numbers = np.array(numbers, np.int64)
        self._table = _address(self._numbers)
        self._buffers = buffers
        self._inputs = [(i, np.dtype(b.dtype), b.size) for i, b in enumerate(buffers) if b.kind == "input"]
        outputs = [(i, b) for i, b in enumerate(buffers) if b.kind == "output"]
        starts, self._size = _places([b for _, b in outputs])
        self._places = [(i, start) for (i, _), start in zip(outputs, starts)]
        self._parts = [
            (np.dtype(b.dtype), slice(start // np.dtype(b.dtype).itemsize, start // np.dtype(b.dtype).itemsize + b.size))
            for (_, b), start in zip(outputs, starts)
        ]
        self._dtypes = {np.dtype(b.dtype) for _, b in outputs}
        self._free: list[_Workspace] = []

    def run(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """The outputs, flat, in new memory, for arrays of the input buffers' sizes. Raises ValueError for other sizes."""
        if len(inputs) != len(self._inputs):
            raise ValueError(f"{len(self._inputs)} inputs are expected, {len(inputs)} were given")
        try:
            space = self._free.pop()
        except IndexError:
            space = _Workspace(self._buffers, len(self._inputs))
        pointers, given = space.pointers, space.given
        for n, x in enumerate(inputs):
            if x is not given[n]:
                self._take(space, n, x)
        block = np.empty(self._size + _ALIGN, np.uint8)
        address = _address(block)
        skip = -address % _ALIGN
        address += skip
        for i, start in self._places:
            pointers[i] = address + start
        self._call(space.address, self._table, self._sgemm, self._dgemm)
        self._free.append(space)
        block = block[skip : skip + self._size]
        typed = {dtype: block.view(dtype) for dtype in self._dtypes}
        return [typed[dtype][part] for dtype, part in self._parts]

    def _take(self, space: _Workspace, n: int, x: Any) -> None:
        """Note the address of input `n`, or of a copy that is contiguous and of the right dtype."""
        i, dtype, size = self._inputs[n]
        used = x
        if type(x) is not np.ndarray or x.dtype != dtype or not (x.flags.c_contiguous and x.flags.aligned):
            used = np.require(x, dtype, ["C", "A"])
        if used.size != size:
            raise ValueError(f"input {n} has {used.size} elements where {size} are expected")
        space.pointers[i] = _address(used)
        space.used[n] = used
        space.given[n] = x if used is x else None  # a copy is of the values of now
