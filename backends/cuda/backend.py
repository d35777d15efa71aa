"""CuPy on CUDA.

Only the modules of this package, and NCCL, import CuPy.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import summation
from ..base import Backend, DeviceError
from ..dtypes import is_complex
from ..sources import Seed, Source
from ..types import DTypeLike, HostArray
from . import half, matmul, namespace, scatter
from .kernels import CudaLauncher
from .random import CudaSource

if TYPE_CHECKING:
    from cupy import ndarray as Array


def _any_half(method: Callable[..., Array]) -> Callable[..., Array]:
    """Extend a method of the backend to arrays of bfloat16."""

    @wraps(method)
    def called(self: CuPy, *args: Any, **kwargs: Any) -> Array:
        if any(type(v) is self.half for v in args):
            return half.computed(self.cupy, partial(method, self), args, kwargs)
        return method(self, *args, **kwargs)

    return called


class CuPy(Backend["Array"]):
    """CUDA. CuPy's arrays lack `__array_namespace__`, so array_api_compat supplies the namespace."""

    name = "cuda"
    promotes = True
    indexes_by_scalars = True
    complex_steps = False  # x ** 3 is exp(3 log(x)): for negative x the imaginary part is off by 1e-16

    def __init__(self) -> None:
        try:
            import cupy
            from array_api_compat import cupy as standard
        except ImportError as error:
            raise DeviceError(f"CUDA needs CuPy, which cannot be imported ({error}). {_advice()}") from error
        self.cupy = cupy
        self.half = half.half_of(cupy)
        self.xp = half.namespace(cupy, namespace.namespace(cupy, standard))
        self._launchers: dict[int, CudaLauncher] = {}
        try:
            self._count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(
                f"CuPy is installed, but CUDA finds no device to use ({error}). {_advice()}"
            ) from error

    def count(self) -> int:
        return int(self._count)

    def handle(self, index: int) -> Any:
        return self.cupy.cuda.Device(index)

    def index_of(self, array: Array) -> int:
        return int(array.device.id)

    def from_host(self, array: HostArray, index: int) -> Array:
        with self.cupy.cuda.Device(index):
            return half.classed(self.cupy, self.cupy.asarray(array))

    def checked(self, array: Array) -> Array:
        return half.classed(self.cupy, super().checked(array))

    def to_host(self, array: Array) -> HostArray:
        return self.cupy.asnumpy(array)  # type: ignore[no-any-return]

    def as_complex(self, pairs: Array) -> Array:
        kind = np.result_type(pairs.dtype, np.complex64)
        return self.cupy.ascontiguousarray(pairs).view(kind)[..., 0]

    def as_pairs(self, array: Array) -> Array:
        whole = self.cupy.ascontiguousarray(array).reshape((*array.shape, 1))
        return whole.view(array.real.dtype)

    def is_view(self, array: Array, others: Sequence[Array]) -> bool:
        return array.base is not None and any(self.cupy.may_share_memory(array, x) for x in others)

    def moved(self, array: Array, index: int) -> Array:
        """Copy between GPUs without the host.

        Each stream waits for the other, as memory is freed in stream order.
        """
        cuda, source = self.cupy.cuda, self.index_of(array)
        with cuda.Device(source):
            made = cuda.get_current_stream().record()
        with cuda.Device(index):
            stream = cuda.get_current_stream()
            stream.wait_event(made)
            copied = half.classed(self.cupy, self.cupy.array(array, copy=True))
            done = stream.record()
        with cuda.Device(source):
            cuda.get_current_stream().wait_event(done)
        return copied

    def scatter_add(self, target: Array, key: Any, values: Array) -> None:
        """`target[key] += values`; an index out of range wraps around.

        NumPy would raise; checking would wait for the GPU.
        """
        parts, dtype = key if isinstance(key, tuple) else (key,), target.dtype
        if dtype.name in ("float32", "float64", "complex64", "complex128"):
            if any(isinstance(k, self.cupy.ndarray) and k.dtype.kind in "iu" for k in parts):
                scatter.add_at(self.cupy, target, parts, values)
            else:
                target[key] += values  # a mask or slices: no repeated index
        elif dtype.name in ("int32", "uint32", "uint64"):  # integer sums do not depend on the order
            self.cupy.add.at(target, key, values)
        elif dtype == np.int64:  # sums of uint64 have the same bits
            self.cupy.add.at(target.view(np.uint64), key, values.astype(np.int64, copy=False).view(np.uint64))
        else:
            sums = target.astype(np.dtype(np.int64 if dtype.kind in "biu" else np.float32))
            self.scatter_add(sums, key, values.astype(sums.dtype))
            target[...] = sums.astype(dtype)

    def assign(self, target: Array, key: Any, values: Any) -> None:
        """`target[key] = values`; for repeated indices the last value wins.

        CuPy assigns in no particular order, so the last position for each index is found first.
        """
        parts = key if isinstance(key, tuple) else (key,)
        if not any(isinstance(k, self.cupy.ndarray) and k.dtype.kind in "iu" for k in parts) or not hasattr(
            values, "dtype"
        ):
            target[key] = values
            return
        cp = self.cupy
        last = cp.zeros(target.shape, np.uint64)
        form = last[key].shape
        values = cp.broadcast_to(values.reshape(values.shape[max(values.ndim - len(form), 0) :]), form)
        numbers = cp.arange(1, values.size + 1, dtype=np.uint64).reshape(form)
        cp.maximum.at(last, key, numbers)
        if values.size:
            chosen = values.reshape(-1)[cp.maximum(last, 1).astype(np.int64) - 1]
            target[...] = self.xp.where(last > 0, chosen.astype(target.dtype), target)

    @_any_half
    def einsum(self, subscripts: str, *operands: Array) -> Array:
        if len(operands) > 1 and all(x.dtype == np.float32 for x in operands) and matmul.rounds(self.cupy):
            return summation.einsum(self.xp, subscripts, *operands)  # with our own products
        order = len(operands) > 2 and ["einsum_path", *summation.path_of(subscripts, operands)]
        return self.cupy.einsum(subscripts, *operands, optimize=order)

    def eig(self, x: Array) -> tuple[Array, Array]:
        """Use cuSOLVER from CUDA 12.6 on; before that, the default on the host."""
        from cupyx.cusolver import check_availability

        if not check_availability("geev"):
            return super().eig(x)
        kind = np.result_type(x.dtype, np.complex64)
        w, v = self.cupy.linalg.eig(x)
        return w.astype(kind, copy=False), v.astype(kind, copy=False)

    def eigh(self, x: Array, UPLO: str) -> tuple[Array, Array]:
        w, v = self.cupy.linalg.eigh(x, UPLO=UPLO)
        return w, v

    def pow(self, x: Array, y: Any) -> Array:
        if isinstance(y, int | float) and 0 < abs(y) < 100 and y == int(y) and is_complex(x.dtype):
            return _product(x, int(y))
        return self.xp.pow(x, y)  # without reading the exponent, which would wait for the GPU

    @_any_half
    def slide(self, x: Array, y: Array, *, full: bool) -> Array:
        return self.cupy.correlate(x, y.conj(), "full" if full else "valid")

    def native_dtype(self, dtype: DTypeLike) -> Any:
        return dtype

    def dtype_of(self, array: Array) -> np.dtype[Any]:
        return array.dtype  # type: ignore[no-any-return]

    def generator(self, seed: Seed, index: int, native: bool) -> Source:
        return CudaSource(self.cupy, index, seed) if native else super().generator(seed, index, native)

    @_any_half
    def normal_cdf(self, array: Array) -> Array:
        from cupyx.scipy.special import ndtr

        return ndtr(array)

    @_any_half
    def normal_quantile(self, array: Array) -> Array:
        from cupyx.scipy.special import ndtri

        return ndtri(array)

    def launcher(self, index: int) -> CudaLauncher:
        if index not in self._launchers:
            self._launchers[index] = CudaLauncher(self.cupy, index)
        return self._launchers[index]

    def synchronize(self, index: int) -> None:
        self.cupy.cuda.Device(index).synchronize()

    def stream(self, index: int) -> AbstractContextManager[Any]:
        return self._stream(index)

    @contextmanager
    def _stream(self, index: int) -> Iterator[Any]:
        cuda = self.cupy.cuda
        with cuda.Device(index):
            outer, inner = cuda.get_current_stream(), cuda.Stream(non_blocking=True)
            inner.wait_event(outer.record())
        try:
            with cuda.Device(index), inner:  # the current stream is per device
                yield inner
        finally:
            with cuda.Device(index):
                outer.wait_event(inner.record())

    def memory(self, index: int) -> dict[str, int]:
        pool = self.cupy.get_default_memory_pool()
        with self.cupy.cuda.Device(index) as device:
            return {"used": pool.used_bytes(), "pool": pool.total_bytes(), "total": device.mem_info[1]}

    def release(self, index: int) -> None:
        with self.cupy.cuda.Device(index):
            self.cupy.get_default_memory_pool().free_all_blocks()

    def facts(self, index: int) -> dict[str, str]:
        runtime = self.cupy.cuda.runtime
        properties = runtime.getDeviceProperties(index)
        return {
            "GPU": properties["name"].decode(),
            "compute capability": f"{properties['major']}.{properties['minor']}",
            "CUDA": _release(runtime.runtimeGetVersion()),
            "driver": (
                f"{_driver(Path('/proc/driver/nvidia/version'))}for CUDA up to "
                f"{_release(runtime.driverGetVersion())}"
            ),
            "CuPy": str(self.cupy.__version__),
        }

    def guard(self, index: int) -> AbstractContextManager[Any] | None:
        # CuPy works on its current device; with a single device that is always the right one.
        return self.cupy.cuda.Device(index) if self.count() > 1 else None


def fitting_extra() -> str | None:
    """The extra whose CuPy supports the installed driver; None if there is no driver."""
    if shutil.which("nvidia-smi") is None:
        return None
    report = subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=False).stdout
    return "cuda12" if "CUDA Version: 12" in report else "cuda13"


def _advice() -> str:
    extra = fitting_extra()
    if extra is None:
        return (
            "No NVIDIA driver was found here (nvidia-smi is missing): install one, or use XGRAD_DEVICE=cpu."
        )
    return f"Install the CuPy that fits this driver with: pip install 'xgrad[{extra}]'."


def _driver(told: Path) -> str:
    """Driver version, from a file in /proc on Linux."""
    found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", told.read_text()) if told.exists() else None
    return f"{found[1]}, " if found else ""


def _release(number: int) -> str:
    """Format CUDA's version number: 12040 is 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _product(x: Array, n: int) -> Array:
    """x ** n by repeated squaring, as NumPy does for complex numbers; exact if the products are."""
    left = abs(n)
    z: Array = None
    while True:
        if left % 2:
            z = x if z is None else z * x
        left //= 2
        if not left:
            return z if n > 0 else 1 / z
        x = x * x
