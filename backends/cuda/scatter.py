"""Deterministic scatter-add on CUDA.

CuPy adds atomically, in the order in which blocks happen to run: float sums differ in their last bits from
run to run. Here the values for one index are grouped by a stable sort, and one thread block adds them in a
fixed order.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cupy import ndarray as Array


_THREADS = 256

#: The block of the first of several equal rows adds all of them: threads in x are columns, those in y stride
#: over rows.
_CODE = """
extern "C" __global__ void add_rows(
        const long long* rows, const long long* order, const T* values, T* target,
        long long count, long long width) {
    __shared__ T parts[THREADS];
    const long long tiles = (width + blockDim.x - 1) / blockDim.x;
    const long long first = blockIdx.x / tiles, column = blockIdx.x % tiles * blockDim.x + threadIdx.x;
    const long long row = rows[first];
    if (first > 0 && rows[first - 1] == row) return;
    T sum = 0;
    if (column < width)
        for (long long j = first + threadIdx.y; j < count && rows[j] == row; j += blockDim.y)
            sum += values[order[j] * width + column];
    parts[threadIdx.y * blockDim.x + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= width) return;
    for (unsigned int y = 1; y < blockDim.y; ++y) sum += parts[y * blockDim.x + threadIdx.x];
    target[row * width + column] += sum;
}
"""


@cache
def _kernel(cupy: ModuleType, dtype: str) -> Any:
    return cupy.RawKernel(
        _CODE.replace("THREADS", str(_THREADS)).replace("T ", f"{dtype} ").replace("T*", f"{dtype}*"),
        "add_rows",
    )


def add_at(cupy: ModuleType, target: Array, key: tuple[Any, ...], values: Array) -> None:
    """`target[key] += values` for integer arrays in `key` and floating or complex values."""
    if not target.size or not values.size:
        return
    whole = all(
        isinstance(k, cupy.ndarray | int) for k in key
    )  # the leading axes are indexed, trailing axes are kept
    lead = len(key) if whole else target.ndim
    count = int(np.prod(target.shape[:lead]))
    numbers = cupy.arange(count).reshape(target.shape[:lead])[key]
    rows = numbers.reshape(-1)
    values = cupy.broadcast_to(values, (*numbers.shape, *target.shape[lead:])).reshape(rows.size, -1)
    parts = np.empty(0, target.dtype).real.dtype  # a complex number is two columns
    order = cupy.argsort(rows)
    sums = cupy.ascontiguousarray(target).reshape(count, -1)
    given = cupy.ascontiguousarray(values, target.dtype).view(parts)
    width = given.shape[1]
    across = min(32, 1 << (width - 1).bit_length())
    blocks = rows.size * -(-width // across)
    kernel = _kernel(cupy, "float" if parts == np.float32 else "double")
    kernel(
        (blocks,),
        (across, _THREADS // across),
        (rows[order], order, given, sums, np.int64(rows.size), np.int64(width)),
    )
    if not target.flags.c_contiguous:
        target[...] = sums.reshape(target.shape)
