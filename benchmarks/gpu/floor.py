"""Lower bound for the time on a GPU: matrix products at peak speed, or latency of sequential steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..harness.clock import Clock, CupyClock
from ..suites.problems import PRECISIONS, Case

# cuBLAS: CUDA_R_32F, CUDA_R_16BF; CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32; CUBLAS_GEMM_DEFAULT.
_TYPES = {"float32": (0, 68), "tf32": (0, 77), "bfloat16": (14, 68)}
_DEFAULT = -1

# Each launch waits for the previous one. Each round of the second kernel waits for all blocks, which
# increment a counter at each barrier, as in our kernels.
_KERNELS = r"""
extern "C" __global__ void tiny(float* y) { y[threadIdx.x] += 1.0f; }

extern "C" __global__ void barriers(unsigned int* count, int rounds) {
    for (int i = 1; i <= rounds; i++) {
        __syncthreads();
        if (threadIdx.x == 0) {
            arrive(count);
            while (arrived(count) < (unsigned int)i * gridDim.x) { spin(); }
        }
        __syncthreads();
    }
}
"""


def floor(case: Case, limits: dict[str, Any]) -> dict[str, float]:
    """Both bounds in seconds, and the larger one."""
    products = case.flops / limits["flops"][case.precision]
    steps = case.dependent * min(s for s in limits["latency"].values())
    return {"products": products, "steps": steps, "floor": max(products, steps)}


def ceilings(device: str, quick: bool) -> dict[str, Any]:
    """Limits of the device: flop/s of a large product by precision, and latency of dependent steps."""
    if not device.startswith("cuda"):
        return {"flops": _host_peaks(256 if quick else 2048), "latency": {"call": _host_latency()}}
    latency = {
        "kernels in a graph": _graph_latency(10 if quick else 500),
        "grid barrier": _barrier_latency(3 if quick else 2000),
    }
    return {"flops": _peaks(64 if quick else 8192), "latency": latency}


def _best(step: Callable[[], Any], clock: Clock, turns: int = 7, calls: int = 3) -> float:
    """Seconds of one step: the median of several turns after a warm-up."""
    found = []
    for _ in range(turns + 1):
        first = clock.mark()
        for _ in range(calls):
            step()
        found.append(clock.between(first, clock.mark()) / calls)
    return statistics.median(found[1:])


def _peaks(n: int) -> dict[str, float]:
    """Peak flop/s of cuBLAS, on random numbers."""
    import cupy
    from cupy_backends.cuda.libs import cublas

    clock, handle = CupyClock(), cupy.cuda.device.get_cublas_handle()
    rng = np.random.default_rng(0)
    a, b, c = (cupy.asarray(rng.standard_normal((n, n), "f")) for _ in range(3))
    one, zero = np.ones(1, "f"), np.zeros(1, "f")
    found = {}
    for precision, (kind, compute) in _TYPES.items():
        # the upper halves of float32 are bfloat16
        x, y, z = (a, b, c) if kind == 0 else ((m.view("uint32") >> 16).astype("uint16") for m in (a, b, c))
        product = partial(
            cublas.gemmEx,
            *(handle, 0, 0, n, n, n),
            *(one.ctypes.data, x.data.ptr, kind, n, y.data.ptr, kind, n),
            *(zero.ctypes.data, z.data.ptr, kind, n, compute, _DEFAULT),
        )
        found[precision] = 2.0 * n**3 / _best(product, clock)
    return found


def _kernel(name: str, **options: Any) -> Any:
    """Compile one of the kernels, with the helper functions of our generated kernels."""
    import cupy

    from xgrad.compiler.codegen.cuda.device import DEVICE

    return cupy.RawKernel(DEVICE + _KERNELS, name, **options)


def _graph_latency(count: int) -> float:
    """Latency between dependent tiny kernels in a CUDA graph of `count` of them."""
    import cupy

    kernel, y, clock = _kernel("tiny"), cupy.zeros(32, "f"), CupyClock()
    kernel((1,), (32,), (y,))
    clock.wait()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        for _ in range(count):
            kernel((1,), (32,), (y,))
        graph = stream.end_capture()
        seconds = _best(lambda: graph.launch(stream), clock)
        clock.wait()
    return seconds / count


def _barrier_latency(rounds: int) -> float:
    """Latency of a grid-wide barrier in a persistent kernel with one block per multiprocessor."""
    import cupy

    blocks = cupy.cuda.Device().attributes["MultiProcessorCount"]
    # cooperative launch: all blocks are resident
    kernel = _kernel("barriers", enable_cooperative_groups=True)
    count, clock = cupy.zeros(1, "uint32"), CupyClock()

    def step() -> None:
        count.fill(0)
        kernel((blocks,), (128,), (count, np.int32(rounds)))

    return _best(step, clock, calls=1) / rounds


def _host_peaks(n: int) -> dict[str, float]:
    """Peak flop/s of NumPy in float32, for every precision, if there is no GPU."""
    a = np.random.default_rng(0).standard_normal((n, n), "f")
    return dict.fromkeys(PRECISIONS, 2.0 * n**3 / _best(lambda: a @ a, Clock()))


def _host_latency(count: int = 1000) -> float:
    """Latency of a small NumPy call."""
    y = np.zeros(32, "f")
    start = time.perf_counter()
    for _ in range(count):
        np.add(y, 1, out=y)
    return (time.perf_counter() - start) / count
