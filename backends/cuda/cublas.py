"""cuBLAS through ctypes, with its own workspace: CuPy's calls cannot be recorded in a CUDA graph.

The library is the one already loaded by CuPy, or that of the nvidia-cublas wheel.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

#: cudaDataType_t, by dtype.
KINDS = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
#: cublasComputeType_t: arithmetic of products; for float32 by precision, as the fast modes round operands.
_COMPUTE_32F, _COMPUTE_64F = 68, 70
FLOAT32 = {"highest": _COMPUTE_32F, "tf32": 77, "bf16": 75}
GEMM_DEFAULT = -1  # of cublasGemmAlgo_t
_MOST = 2**31 - 1
#: Workspace size recommended by NVIDIA for Hopper; other GPUs need less.
WORKSPACE = 32 * 2**20


class CublasError(RuntimeError):
    """cuBLAS refused a call."""


@cache
def library() -> ctypes.CDLL:
    """Load the library.

    Raises CublasError, saying how to install it, if there is none.
    """
    for path in _paths():
        try:
            found = ctypes.CDLL(path)
        except OSError:
            continue
        _declare(found)
        return found
    raise CublasError("cuBLAS was not found: pip install nvidia-cublas, or install the CUDA toolkit")


def _paths() -> list[str]:
    try:
        mapped = {
            line.split(maxsplit=5)[-1].strip()
            for line in Path("/proc/self/maps").read_text().splitlines()
            if "libcublas.so" in line
        }
    except OSError:
        mapped = set()
    found = sorted(mapped)
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        found.append(str(load_nvidia_dynamic_lib("cublas").abs_path))
    except Exception:  # the search may raise anything if it is missing
        pass
    return [*found, "libcublas.so.13", "libcublas.so.12", "libcublas.so"]


def _declare(found: ctypes.CDLL) -> None:
    """Declare the argument types of the functions."""
    pointer, whole, long = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
    matrix = [pointer, whole, whole, long]  # address, dtype, row stride, matrix stride
    arguments = {
        "cublasCreate_v2": [ctypes.POINTER(pointer)],
        "cublasDestroy_v2": [pointer],
        "cublasSetStream_v2": [pointer, pointer],
        "cublasSetWorkspace_v2": [pointer, pointer, ctypes.c_size_t],
        "cublasGemmStridedBatchedEx": [
            pointer,
            whole,
            whole,
            whole,
            whole,
            whole,
            pointer,
            *matrix,
            *matrix,
            pointer,
            *matrix,
            whole,
            whole,
            whole,
        ],
    }
    for name, kinds in arguments.items():
        function = getattr(found, name)
        function.argtypes, function.restype = kinds, whole


class Cublas:
    """A cuBLAS handle; not thread-safe."""

    def __init__(self, workspace: int, size: int) -> None:
        self._handle = ctypes.c_void_p()
        self._library = library()
        self._workspace, self._size = workspace, size
        self._stream: int | None = None
        _check(self._library.cublasCreate_v2(ctypes.byref(self._handle)), "cublasCreate")

    def product(self, product: Any, addresses: tuple[int, int, int], precision: str, stream: int) -> None:
        """Run a `Product` of a schedule on the addresses of a, b and the result.

        cuBLAS is column-major: its matrices are ours transposed, and outᵀ = bᵀ @ aᵀ.
        """
        if stream != self._stream:  # setting the stream resets the workspace
            _check(self._library.cublasSetStream_v2(self._handle, stream), "cublasSetStream")
            _check(
                self._library.cublasSetWorkspace_v2(self._handle, self._workspace, self._size),
                "cublasSetWorkspace",
            )
            self._stream = stream
        if max(product.m, product.n, product.k, *product.lead, product.stack) > _MOST:
            raise CublasError(
                f"cuBLAS counts rows and columns in 32 bits, so it cannot multiply {product.m} x {product.k} "
                f"by {product.k} x {product.n}"
            )
        a, b, out = addresses
        kind = KINDS[product.dtype]
        compute = (
            FLOAT32[precision]
            if product.dtype == "float32"
            else _COMPUTE_64F
            if product.dtype == "float64"
            else _COMPUTE_32F
        )
        number = ctypes.c_double if product.dtype == "float64" else ctypes.c_float
        one, base = number(1.0), number(float(product.add))
        (lda, ldb, ldc), (step_a, step_b, step_c) = product.lead, product.apart
        across_a, across_b = product.across
        status = self._library.cublasGemmStridedBatchedEx(
            self._handle,
            int(across_b),
            int(across_a),
            product.n,
            product.m,
            product.k,
            ctypes.byref(one),
            b,
            kind,
            ldb,
            step_b,
            a,
            kind,
            lda,
            step_a,
            ctypes.byref(base),
            out,
            kind,
            ldc,
            step_c,
            product.stack,
            compute,
            GEMM_DEFAULT,
        )
        _check(
            status, f"a product of {product.m} x {product.k} and {product.k} x {product.n} in {product.dtype}"
        )

    def __del__(self) -> None:
        if self._handle:
            self._library.cublasDestroy_v2(self._handle)


def _check(status: int, what: str) -> None:
    if status:
        raise CublasError(f"cuBLAS returned the status {status} (see cublasStatus_t) for {what}")
