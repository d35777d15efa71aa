"""Launcher of schedules on CUDA through CuPy: NVRTC kernels, CUDA graphs and cuBLAS products."""

from __future__ import annotations

import ctypes
import hashlib
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import disk
from ..dtypes import canonical
from .cublas import WORKSPACE, Cublas, CublasError, library
from .half import classed
from .protocol import PER_THREAD, KernelError, Launcher, make_room

if TYPE_CHECKING:
    from cupy import ndarray as Array


_SHARED_LIMIT = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_ASSURED = 48 * 1024  # bytes of shared memory that a block has without opt-in
_DEVICE_TO_DEVICE = 3
_WIDEST = 16  # bytes of the widest aligned load of a thread
_ROUNDS = 3


def compile_kernels(source: str, arch: int, *options: str) -> bytes:
    """Compile kernel source to machine code for a compute capability; no device is needed.

    `options` are NVRTC options besides the target and the language. Raises KernelError with the compiler's
    log.
    """
    from cupy.cuda import nvrtc

    options = (f"-arch=sm_{arch}", "-std=c++17", *options)
    key = f"NVRTC {nvrtc.getVersion()} {options} {hashlib.sha256(source.encode()).hexdigest()}"
    kept = disk.read("cubin", key)
    if kept is not None:
        return kept
    program = nvrtc.createProgram(source, "xgrad.cu", [], [])
    try:
        nvrtc.compileProgram(program, options)
        code = bytes(nvrtc.getCUBIN(program))
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program).strip("\0\n ")
        version = ".".join(map(str, nvrtc.getVersion()))
        raise KernelError(
            f"NVRTC {version} could not compile a kernel: {error}{': ' if log else ''}{log}"
        ) from error
    finally:
        nvrtc.destroyProgram(program)
    disk.write("cubin", key, code)
    return code


class CudaLauncher(Launcher):
    """The `Launcher` for one CUDA device, based on CuPy."""

    def __init__(self, cupy: ModuleType, index: int) -> None:
        self.cupy, self.index = cupy, index
        self._driver, self._runtime = cupy.cuda.driver, cupy.cuda.runtime
        self.errors = (self._driver.CUDADriverError, self._runtime.CUDARuntimeError, CublasError)
        self._modules: dict[str, Any] = {}
        self._lock = threading.RLock()  # guards cuBLAS handles and stream capture
        # by the stream that the products finally run on, with their workspace
        self._blas: dict[Hashable, tuple[Cublas, Array]] = {}
        self._recorded_for: Hashable = None
        with cupy.cuda.Device(index):
            self._recording = cupy.cuda.Stream(non_blocking=True)
        of = self._runtime.getDeviceProperties(index)
        self._chip = (
            of["name"].decode(),
            of["major"] * 10 + of["minor"],
            of["multiProcessorCount"],
            of["sharedMemPerBlockOptin"],
            of["maxThreadsPerMultiProcessor"],
            of["regsPerMultiprocessor"],
        )

    def missing(self) -> str | None:
        name, arch, *_ = self._chip
        if arch < 80:
            return (
                f"kernels need compute capability 8.0 or newer, but this {name} has {arch // 10}.{arch % 10}"
            )
        try:
            self.cupy.cuda.nvrtc.getVersion()
        except Exception as error:  # CuPy may raise anything if the library is missing
            return f"NVRTC, which compiles kernels, cannot be loaded ({error}): pip install 'xgrad[cuda13]'"
        try:
            library()
        except CublasError as error:
            return str(error)
        return None

    @contextmanager
    def entered(self) -> Iterator[None]:
        with self.cupy.cuda.Device(self.index):
            # for a new thread: driver launches do not create a context
            if not self._driver.ctxGetCurrent():
                self._runtime.setDevice(self.index)
            yield

    def chip(self) -> tuple[str, int, int, int, int, int]:
        return self._chip

    def load(self, source: str) -> Callable[[str], Any]:
        with self._lock, self.entered():
            if source not in self._modules:
                module = self.cupy.cuda.function.Module()
                module.load(compile_kernels(source, self._chip[1]))
                self._modules[source] = module
            module = self._modules[source]
            return lambda name: module.get_function(name)

    def launch(self, kernel: Any, launch: Any, arguments: Sequence[int]) -> None:
        if launch.shared > _ASSURED:
            self._driver.funcSetAttribute(kernel.ptr, _SHARED_LIMIT, launch.shared)
        values = (ctypes.c_int64 * len(arguments))(*arguments)
        start = ctypes.addressof(values)
        pointers = (ctypes.c_void_p * len(arguments))(*range(start, start + 8 * len(arguments), 8))
        go = self._driver.launchCooperativeKernel if launch.cooperative else self._driver.launchKernel
        place = (
            kernel.ptr,
            launch.grid,
            1,
            1,
            launch.block[0],
            launch.block[1],
            1,
            launch.shared,
            self._stream(),
            ctypes.addressof(pointers),
        )
        go(*place) if launch.cooperative else go(*place, 0)

    def product(self, product: Any, addresses: Sequence[int], precision: str) -> None:
        a, b, out = addresses
        with self._lock:
            stream = self._stream()
            home = self.stream() if self._recorded_for is None else self._recorded_for
            if home not in self._blas:
                make_room(self._blas)
                workspace = self.cupy.empty(WORKSPACE, "uint8")
                self._blas[home] = Cublas(workspace.data.ptr, WORKSPACE), workspace
            self._blas[home][0].product(product, (a, b, out), precision, stream)

    def memory(self, size: int) -> Array:
        return self.cupy.empty(size, "uint8")

    def address(self, array: Array) -> int:
        return int(array.data.ptr)

    def ready(self, array: Array, dtype: str) -> Array:
        found = self.cupy.ascontiguousarray(array, canonical(dtype))
        return found.copy() if found.data.ptr % _WIDEST else found

    def view(self, memory: Array, size: int, dtype: str) -> Array:
        return classed(self.cupy, self.cupy.ndarray((size,), canonical(dtype), memory.data))

    def array(self, address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str) -> Array:
        cuda, kind = self.cupy.cuda, canonical(dtype)
        if 0 in shape:
            return classed(self.cupy, self.cupy.empty(shape, kind))
        reach = [(n - 1) * s for n, s in zip(shape, strides)]
        first = sum(r for r in reach if r < 0)
        size = sum(r for r in reach if r > 0) - first + kind.itemsize
        memory = cuda.UnownedMemory(address + first, size, self, self.index)
        pointer = cuda.MemoryPointer(memory, -first)
        return classed(self.cupy, self.cupy.ndarray(shape, kind, pointer, strides))

    def copy(self, target: int, source: int, size: int) -> None:
        if size:
            self._runtime.memcpyAsync(target, source, size, _DEVICE_TO_DEVICE, self._stream())

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        with self._lock:  # keep other threads' products off the captured stream
            self._recorded_for = self.stream()
            try:
                with self._recording as stream:
                    stream.begin_capture()
                    try:
                        work()
                    finally:
                        graph = stream.end_capture()
            finally:
                self._recorded_for = None
        return lambda: graph.launch(self.cupy.cuda.get_current_stream())

    def seconds(self, work: Callable[[], None]) -> float:
        stream = self.cupy.cuda.get_current_stream()
        work()
        before, after = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        before.record(stream)
        for _ in range(_ROUNDS):
            work()
        after.record(stream)
        after.synchronize()
        return float(self.cupy.cuda.get_elapsed_time(before, after)) / 1e3 / _ROUNDS

    def stream(self) -> Hashable:
        pointer = self._stream()
        return (pointer, threading.get_ident()) if pointer == PER_THREAD else pointer

    def _stream(self) -> int:
        return int(self.cupy.cuda.get_current_stream().ptr)
