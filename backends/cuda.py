"""CuPy on CUDA. The one module, beside NCCL, that imports CuPy."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from . import summation
from .base import Array, Backend, DeviceError
from .cuda_random import CudaSource


class CuPy(Backend):
    """CUDA. CuPy's arrays lack `__array_namespace__`, so array_api_compat supplies the namespace."""

    name = "cuda"
    promotes = True

    def __init__(self) -> None:
        try:
            import cupy
            from array_api_compat import cupy as xp
        except ImportError as error:
            raise DeviceError(f"CUDA needs CuPy, which cannot be imported ({error}). {_advice()}") from error
        self.cupy = cupy
        self.xp = xp
        try:
            self._count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"CuPy is installed, but CUDA finds no device to use ({error}). {_advice()}") from error

    def count(self) -> int:
        return int(self._count)

    def handle(self, index: int) -> Any:
        return self.cupy.cuda.Device(index)

    def index_of(self, array: Array) -> int:
        return int(array.device.id)

    def from_host(self, array: np.ndarray, index: int) -> Array:
        with self.cupy.cuda.Device(index):
            return self.cupy.asarray(array)

    def to_host(self, array: Array) -> np.ndarray:
        return self.cupy.asnumpy(array)  # type: ignore[no-any-return]

    def scatter_add(self, target: Array, key: Any, values: Array) -> None:
        import cupyx

        cupyx.scatter_add(target, key, values)

    def einsum(self, subscripts: str, *operands: Array) -> Array:
        order = len(operands) > 2 and ["einsum_path", *summation.path_of(subscripts, operands)]
        return self.cupy.einsum(subscripts, *operands, optimize=order)

    def pow(self, x: Array, y: Any) -> Array:
        return self.xp.pow(x, y)  # without a look at the exponent, which would wait for the GPU

    def slide(self, x: Array, y: Array, *, full: bool) -> Array:
        return self.cupy.correlate(x, y.conj(), "full" if full else "valid")

    def native_dtype(self, dtype: Any) -> Any:
        return dtype

    def dtype_of(self, array: Array) -> np.dtype[Any]:
        return array.dtype  # type: ignore[no-any-return]

    def generator(self, seed: Any, index: int, native: bool) -> Any:
        return CudaSource(self.cupy, index, seed) if native else super().generator(seed, index, native)

    def normal_cdf(self, array: Array) -> Array:
        from cupyx.scipy.special import ndtr

        return ndtr(array)

    def normal_quantile(self, array: Array) -> Array:
        from cupyx.scipy.special import ndtri

        return ndtri(array)

    def synchronize(self, index: int) -> None:
        self.cupy.cuda.Device(index).synchronize()

    def memory(self, index: int) -> dict[str, int]:
        with self.cupy.cuda.Device(index) as device:
            return {"used": self.cupy.get_default_memory_pool().used_bytes(), "total": device.mem_info[1]}

    def facts(self, index: int) -> dict[str, str]:
        runtime = self.cupy.cuda.runtime
        properties = runtime.getDeviceProperties(index)
        return {
            "GPU": properties["name"].decode(),
            "compute capability": f"{properties['major']}.{properties['minor']}",
            "CUDA": _release(runtime.runtimeGetVersion()),
            "driver": f"for CUDA up to {_release(runtime.driverGetVersion())}",
        }

    def guard(self, index: int) -> AbstractContextManager[Any] | None:
        # CuPy works on its current device; with a single device that is always the right one.
        return self.cupy.cuda.Device(index) if self.count() > 1 else None


def fitting_extra() -> str | None:
    """The extra whose CuPy fits the driver, from what that says of itself; None where there is no driver."""
    if shutil.which("nvidia-smi") is None:
        return None
    report = subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=False).stdout
    return "cuda12" if "CUDA Version: 12" in report else "cuda13"


def _advice() -> str:
    extra = fitting_extra()
    if extra is None:
        return "No NVIDIA driver was found here (nvidia-smi is missing): install one, or use XGRAD_DEVICE=cpu."
    return f"Install the CuPy that fits this driver with: pip install 'xgrad[{extra}]'."


def _release(number: int) -> str:
    """CUDA writes 12.4 as 12040."""
    return f"{number // 1000}.{number % 1000 // 10}"
