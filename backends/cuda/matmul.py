"""float32 matrix products on CUDA in the requested precision.

CuPy sets the arithmetic of cuBLAS for the whole process (CUPY_TF32, `cupy._core.set_compute_type`), for
products of two matrices only, and supports TF32 but not bfloat16. If another precision is wanted, cuBLAS is
called here, through CuPy's binding, with the compute type of this one product. So threads may use different
precisions.
"""

from __future__ import annotations

import ctypes
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..precision import current_matmul_precision
from .cublas import FLOAT32, GEMM_DEFAULT, KINDS

if TYPE_CHECKING:
    from cupy import ndarray as Array


R_32F = KINDS["float32"]
_TF32 = 7  # CuPy's COMPUTE_TYPE_TF32

_ONE, _ZERO = ctypes.c_float(1), ctypes.c_float(0)


def differs(cupy: ModuleType, x: Array, y: Array) -> bool:
    """Whether CuPy's own product of `x` and `y` would not have the current precision."""
    if x.dtype != np.float32 or y.dtype != np.float32 or x.ndim < 2 or y.ndim < 2 or not x.size or not y.size:
        return False
    return rounds(cupy)


def rounds(cupy: ModuleType) -> bool:
    """Whether CuPy's float32 products do not have the current precision.

    That is so if it is not "highest", or if CuPy is set to TF32.
    """
    return current_matmul_precision() != "highest" or bool(cupy._core.get_compute_type(np.float32) == _TF32)


def matmul(cupy: ModuleType, x: Array, y: Array) -> Array:
    """x @ y, on the current device."""
    if not differs(cupy, x, y):
        return x @ y
    if x.shape[-1] != y.shape[-2]:
        raise ValueError(
            f"matrices of shapes {x.shape} and {y.shape} cannot be multiplied: {x.shape[-1]} columns, but "
            f"{y.shape[-2]} rows"
        )
    from cupy_backends.cuda.libs import cublas

    compute = FLOAT32[current_matmul_precision()]
    if int(cupy.cuda.Device().compute_capability) < 80:  # older GPUs have neither
        compute = FLOAT32["highest"]
    return product(cupy, cublas, cupy.cuda.device.get_cublas_handle(), x, y, compute)


def product(cupy: ModuleType, cublas: Any, handle: int, x: Array, y: Array, compute: int) -> Array:
    """x @ y of matrices, or of stacks of them whose leading axes broadcast.

    cuBLAS is column-major and these arrays are row-major: it reads them as xᵀ and yᵀ, and computes yᵀ xᵀ,
    whose memory is that of x @ y.
    """
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    n, k, m = x.shape[-2], x.shape[-1], y.shape[-1]
    z = cupy.empty((*batch, n, m), np.float32)
    (x, x_flipped, x_step), (y, y_flipped, y_step) = (_laid(cupy, v, batch) for v in (x, y))
    one, zero = ctypes.addressof(_ONE), ctypes.addressof(_ZERO)
    first = (handle, int(y_flipped), int(x_flipped), m, n, k, one, address(y), R_32F, k if y_flipped else m)
    if not batch:
        cublas.gemmEx(
            *first,
            address(x),
            R_32F,
            n if x_flipped else k,
            zero,
            address(z),
            R_32F,
            m,
            compute,
            GEMM_DEFAULT,
        )
    else:
        second = (address(x), R_32F, n if x_flipped else k, x_step)
        cublas.gemmStridedBatchedEx(
            *first, y_step, *second, zero, address(z), R_32F, m, n * m, prod(batch), compute, GEMM_DEFAULT
        )
    return z


def _laid(cupy: ModuleType, x: Array, batch: tuple[int, ...]) -> tuple[Array, bool, int]:
    """`x` with each matrix contiguous, whether the matrices are stored transposed, and their stride."""
    rows, columns = x.shape[-2:]
    if prod(x.shape[:-2]) == 1:  # one matrix for all
        x = x.reshape(rows, columns)
        flipped = bool(x.flags.f_contiguous and not x.flags.c_contiguous)
        return (x if flipped else cupy.ascontiguousarray(x)), flipped, 0
    return cupy.ascontiguousarray(cupy.broadcast_to(x, (*batch, rows, columns))), False, rows * columns


def address(x: Array) -> int:
    """Address of the first element of a CuPy array."""
    return int(x.data.ptr)
