"""Tests of the emulation of CUDA on the CPU.

Each feature has a small kernel. The same kernels are also compiled by NVRTC where there is one.
"""

from __future__ import annotations

import ctypes
import math
import re
from pathlib import Path

import numpy as np
import pytest

from tests import emulated
from tests.emulated import CompileError, LaunchError
from xgrad.compiler.codegen.cuda.device import DEVICE

host = pytest.mark.skipif(emulated.available() is not None, reason=emulated.available() or "")

SEEDS = range(4)
int_, longlong, float_ = ctypes.c_int, ctypes.c_longlong, ctypes.c_float

ADD = r"""
extern "C" __global__ void __launch_bounds__(64)
    add(const float* __restrict__ x0, const float* __restrict__ x1, float* y0, long long n) {
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n;
        i += (long long)gridDim.x * blockDim.x)
        y0[i] = x0[i] + x1[i];
}
extern "C" __global__ void scale(const double* x0, double* y0, float by, int n) {
    int i = blockIdx.y * gridDim.x * blockDim.x + blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y0[i] = x0[i] * by;
}
"""

REDUCE = r"""
extern "C" __global__ void __launch_bounds__(128) reduce(const float* __restrict__ x0, float* y0) {
    DYNAMIC_SHARED(memory);
    float* part = reinterpret_cast<float*>(memory);
    part[threadIdx.x] = x0[blockIdx.x * blockDim.x + threadIdx.x];
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    if (threadIdx.x == 0) y0[blockIdx.x] = part[0];
}
"""

SHUFFLE = r"""
template <class T> __device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
    for (int lane = 16; lane; lane /= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
    return x;
}
extern "C" __global__ void sums(const float* __restrict__ x0, const double* __restrict__ x1,
    const int* __restrict__ x2, float* y0, double* y1, int* y2, unsigned* y3) {
    int i = threadIdx.y * blockDim.x + threadIdx.x;
    y0[i] = warp_sum(x0[i]);
    y1[i] = warp_sum(x1[i]);
    y2[i] = warp_sum(x2[i]);
    __syncwarp();
    y3[i] = __shfl_sync(0xffffffffu, static_cast<unsigned>(i), 5);
}
"""

PRODUCTS = r"""
__device__ __forceinline__ unsigned pair(const unsigned short* x, int step) {
    return x[0] | static_cast<unsigned>(x[step]) << 16;
}

extern "C" __global__ void __launch_bounds__(32)
    tf32(const float* __restrict__ x0, const float* __restrict__ x1, float* y0) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned a[4] = {to_tf32(x0[g * 8 + t]), to_tf32(x0[(g + 8) * 8 + t]), to_tf32(x0[g * 8 + t + 4]),
        to_tf32(x0[(g + 8) * 8 + t + 4])};
    unsigned b[2] = {to_tf32(x1[t * 8 + g]), to_tf32(x1[(t + 4) * 8 + g])};
    float d[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    mma_tf32(d, a, b);
    for (int i = 0; i < 4; ++i) y0[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}
template <bool half>
__device__ __forceinline__ void pairs(const unsigned short* x0, const unsigned short* x1, float* y0) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned a[4] = {pair(x0 + g * 16 + 2 * t, 1), pair(x0 + (g + 8) * 16 + 2 * t, 1),
        pair(x0 + g * 16 + 2 * t + 8, 1), pair(x0 + (g + 8) * 16 + 2 * t + 8, 1)};
    unsigned b[2] = {pair(x1 + 2 * t * 8 + g, 8), pair(x1 + (2 * t + 8) * 8 + g, 8)};
    float d[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    if (half) mma_f16(d, a, b);
    else mma_bf16(d, a, b);
    for (int i = 0; i < 4; ++i) y0[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}
extern "C" __global__ void __launch_bounds__(32)
    f16(const unsigned short* __restrict__ x0, const unsigned short* __restrict__ x1, float* y0) {
    pairs<true>(x0, x1, y0);
}
extern "C" __global__ void __launch_bounds__(32)
    bf16(const unsigned short* __restrict__ x0, const unsigned short* __restrict__ x1, float* y0) {
    pairs<false>(x0, x1, y0);
}
"""

NARROW = r"""
extern "C" __global__ void narrow(
    const float* __restrict__ x0, unsigned short* y0, unsigned short* y1, unsigned* y2, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    y0[i] = float_to_half(x0[i]);
    y1[i] = float_to_bfloat16(x0[i]);
    y2[i] = to_tf32(x0[i]);
}
extern "C" __global__ void wide(const unsigned short* __restrict__ x0, float* y0, float* y1) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y0[i] = half_to_float(x0[i]);
    y1[i] = bfloat16_to_float(x0[i]);
}
"""

# Each block adds its right neighbour's value from the previous step.
STEPS = r"""
__device__ __forceinline__ void grid_barrier(unsigned* counter, unsigned goal) {
    __syncthreads();
    if (threadIdx.x == 0) {
        arrive(counter);
        while (arrived(counter) < goal) spin();
    }
    __syncthreads();
}
extern "C" __global__ void __launch_bounds__(64) steps(float* y0, unsigned* counter, int n, int extra) {
    int size = gridDim.x * blockDim.x;
    for (int t = 0; t < n; ++t) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        const float* before = y0 + t % 2 * size;
        float x = __ldcg(before + (i + blockDim.x) % size);
        y0[(t + 1) % 2 * size + i] = __ldcg(before + i) + x;
        grid_barrier(counter, (t + 1) * gridDim.x + extra);
    }
}
"""

CLUSTERS = r"""
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
extern "C" __global__ void __launch_bounds__(32) __cluster_dims__(2, 1, 1)
    swap_in_clusters(const float* x0, float* y0, float* y1) {
    int i = blockIdx.x * 32 + threadIdx.x;
    y0[i] = x0[i];
    cluster_barrier();
    y1[i] = __ldcg(y0 + (blockIdx.x % 2 ? i - 32 : i + 32));
}
#endif
"""

MATHS = r"""
struct alignas(16) Four {
    float of[4];
};
static_assert(sizeof(tanh(1.0f)) == 4 && sizeof(tanh(1.0)) == 8 && sizeof(exp10(1.0f)) == 4 &&
                  sizeof(max(1.0f, 2.0f)) == 4 && sizeof(fma(1.0f, 1.0f, 1.0f)) == 4,
    "overloads go by type");
extern "C" __global__ void maths(
    const float* __restrict__ x0, const double* __restrict__ x1, float* y0, double* y1) {
    int i = threadIdx.x, n = blockDim.x;
    float x = x0[i];
    double z = x1[i];
    y0[i] = tanh(x) + tanhf(x) + exp(x) + min(x, 1.0f) + fmax(x, 0.5f) + rsqrt(x) + __fdividef(x, 3.0f) +
            normcdf(x) + fma(x, x, x) + copysign(x, -1.0f);
    y0[n + i] = __uint_as_float(__float_as_uint(x) ^ 0x80000000u);
    y0[2 * n + i] = isnan(x) + isinf(x) + 2 * isfinite(x) + (signbit(x) ? 1 : 0);
    y1[i] = tanh(z) + log1p(z) + max(z, 1.0) + fmin(z, 0.5) + rsqrt(z) + normcdf(z) + erf(z) + pow(z, 3.0);
    Four four = {};
    for (int k = 0; k < 4; ++k) four.of[k] = x;
    uint2 pair = {1u, 2u};
    y0[3 * n + i] = four.of[i % 4] * pair.y + min(i, 3) + max(2u, 1) + exp10(0.0f);
}
"""

GOOD = {
    "add": ADD,
    "reduce": REDUCE,
    "shuffle": SHUFFLE,
    "products": PRODUCTS,
    "narrow": NARROW,
    "steps": STEPS,
    "clusters": CLUSTERS,
    "maths": MATHS,
}


def floats(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@host
@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_what_a_gpu_takes_compiles_without_a_warning(text: str) -> None:
    assert emulated.compile(text).warnings == ""
    assert emulated.compile(text) is emulated.compile(text)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("text", ["", *GOOD.values()], ids=["device", *GOOD])
def test_nvrtc_takes_the_same_text(text: str, architecture: str) -> None:
    nvrtc = pytest.importorskip("cupy.cuda").nvrtc
    try:
        nvrtc.getVersion()
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(str(error))
    program = nvrtc.createProgram(DEVICE + text, "kernel.cu", (), ())
    try:
        nvrtc.compileProgram(program, (f"-arch={architecture}", "-std=c++17", "-Werror=all-warnings"))
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    assert len(nvrtc.getCUBIN(program)) > 0


@host
@pytest.mark.parametrize("n", [1, 63, 64, 1000])
def test_a_vector_with_a_tail(n: int) -> None:
    x, y, z = floats(0, n), floats(1, n), np.zeros(n, np.float32)
    emulated.compile(ADD).launch("add", (3,), (64,), 0, [x, y, z, longlong(n)])
    np.testing.assert_array_equal(z, x + y)


@host
def test_grids_of_two_dimensions_and_numbers_by_value() -> None:
    x, y = np.arange(200.0), np.zeros(200)
    emulated.compile(ADD).launch("scale", (4, 2), (32,), 0, [x, y, float_(0.5), int_(200)])
    np.testing.assert_array_equal(y, x / 2)


@host
def test_a_barrier_of_a_block_and_one_left_out() -> None:
    x = floats(2, 4, 128)

    def sums(text: str, seed: int) -> bool:
        y = np.zeros(4, np.float32)
        emulated.compile(text).launch("reduce", (4,), (128,), 512, [x, y], seed=seed)
        return np.allclose(y, x.sum(1), atol=1e-4)

    assert all(sums(REDUCE, seed) for seed in SEEDS)
    assert not all(sums(REDUCE.replace("__syncthreads();", ""), seed) for seed in SEEDS)


@host
def test_lanes_exchange_numbers_of_every_type() -> None:
    x, z, k = (
        floats(3, 4, 32),
        np.random.default_rng(4).standard_normal((4, 32)),
        np.arange(128, dtype=np.int32).reshape(4, 32),
    )
    out = [np.zeros_like(x), np.zeros_like(z), np.zeros_like(k), np.zeros((4, 32), np.uint32)]
    emulated.compile(SHUFFLE).launch("sums", (1,), (16, 8), 0, [x, z, k, *out])
    for given, found in zip((x, z, k), out):
        np.testing.assert_allclose(
            found, np.broadcast_to(given.sum(1, keepdims=True), found.shape), rtol=1e-4, atol=1e-5
        )
    np.testing.assert_array_equal(out[3], np.broadcast_to(32 * np.arange(4)[:, None] + 5, (4, 32)))


def to_tf32(x: np.ndarray) -> np.ndarray:
    """Round to 10 bits of mantissa, ties away from zero."""
    fraction, exponent = np.frexp(x.astype(np.float64))
    return np.ldexp(np.copysign(np.floor(np.abs(fraction) * 2048 + 0.5), x) / 2048, exponent).astype(
        np.float32
    )


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """Return the bits of the nearest bfloat16 of finite numbers, ties to even."""
    low = (x.view(np.uint32) >> 16).astype(np.uint32)
    below, above = ((low + i) << 16 for i in (0, 1))
    with np.errstate(invalid="ignore"):
        # Above the largest number, the next one would be 2^128.
        values = [
            np.where(
                bits << 1 == 0xFF000000,
                np.copysign(2.0**128, x.astype(np.float64)),
                bits.view(np.float32).astype(np.float64),
            )
            for bits in (below, above)
        ]
    down, up = (np.abs(value - x) for value in values)
    return np.where((up < down) | ((up == down) & (low % 2 == 1)), low + 1, low).astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


@host
@pytest.mark.parametrize("seed", SEEDS)
def test_products_on_tensor_cores(seed: int) -> None:
    library = emulated.compile(PRODUCTS)

    def product(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        out = np.zeros((a.shape[0], 8), np.float32)
        library.launch(name, (1,), (32,), 0, [a, b, out], seed=seed)
        return out

    a, b = floats(5, 16, 8), floats(6, 8, 8)
    np.testing.assert_allclose(
        product("tf32", a, b), 1 + to_tf32(a).astype(float) @ to_tf32(b).astype(float), rtol=1e-6, atol=1e-6
    )
    a, b = floats(7, 16, 16).astype(np.float16), floats(8, 16, 8).astype(np.float16)
    np.testing.assert_allclose(
        product("f16", a.view(np.uint16), b.view(np.uint16)),
        1 + a.astype(float) @ b.astype(float),
        rtol=1e-6,
        atol=1e-6,
    )
    a, b = to_bfloat16(floats(9, 16, 16)), to_bfloat16(floats(10, 16, 8))
    np.testing.assert_allclose(
        product("bf16", a, b),
        1 + from_bfloat16(a).astype(float) @ from_bfloat16(b).astype(float),
        rtol=1e-6,
        atol=1e-6,
    )


@host
def test_tensor_cores_do_not_see_the_low_bits_of_a_float() -> None:
    text = PRODUCTS.replace("to_tf32(", "__float_as_uint(")
    a, b, out = floats(5, 16, 8), np.eye(8, dtype=np.float32), np.zeros((16, 8), np.float32)
    emulated.compile(text).launch("tf32", (1,), (32,), 0, [a, b, out])
    np.testing.assert_array_equal(
        out, ((a.view(np.uint32) & 0xFFFFE000).view(np.float32) + 1.0).astype(np.float32)
    )


@host
def test_narrow_floats() -> None:
    every = np.arange(65536, dtype=np.uint16)
    halves, bfloats = np.zeros(65536, np.float32), np.zeros(65536, np.float32)
    library = emulated.compile(NARROW)
    library.launch("wide", (64,), (1024,), 0, [every, halves, bfloats])
    np.testing.assert_array_equal(halves, every.view(np.float16).astype(np.float32))
    np.testing.assert_array_equal(bfloats, from_bfloat16(every))

    # All halves, their midpoints and the neighbours of these; numbers of any size; special values.
    with np.errstate(invalid="ignore"):
        between = ((halves[:-1].astype(np.float64) + halves[1:]) / 2).astype(np.float32)
    hard = np.concatenate(
        [
            halves,
            between,
            bfloats,
            np.array(
                [65519.99, 65520, 65535, 65536, 1e-8, 2**-25, 2**-25 * 1.001, np.inf, -np.inf, -0.0],
                np.float32,
            ),
        ]
    )
    anything = np.random.default_rng(13).integers(0, 2**32, 20000, np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):
        x = np.concatenate(
            [hard, np.nextafter(hard, np.float32(np.inf)), np.nextafter(hard, np.float32(-np.inf)), anything]
        )
    ties = (x[np.isfinite(x)].view(np.uint32) & 0xFFFF0000 | 0x8000).view(np.float32)
    x = np.concatenate([x, ties, (ties.view(np.uint32) & 0xFFFFE000 | 0x1000).view(np.float32)])
    half, bfloat, tf32 = np.zeros(x.size, np.uint16), np.zeros(x.size, np.uint16), np.zeros(x.size, np.uint32)
    library.launch("narrow", (-(-x.size // 256),), (256,), 0, [x, half, bfloat, tf32, int_(x.size)])
    nan, finite = np.isnan(x), np.isfinite(x)
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_array_equal(half[~nan], x[~nan].astype(np.float16).view(np.uint16))
    assert np.isnan(half[nan].view(np.float16)).all()
    np.testing.assert_array_equal(bfloat[finite], to_bfloat16(x[finite]))
    np.testing.assert_array_equal(from_bfloat16(bfloat[np.isinf(x)]), x[np.isinf(x)])
    assert np.isnan(from_bfloat16(bfloat[nan])).all()
    normal = finite & (np.abs(x) >= np.finfo(np.float32).tiny)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(tf32[normal].view(np.float32), to_tf32(x[normal]))
    np.testing.assert_array_equal(tf32[np.isinf(x)].view(np.float32), x[np.isinf(x)])
    assert np.isnan(tf32[nan].view(np.float32)).all()
    assert not (tf32 & 0x1FFF).any()


def steps(text: str, seed: int, extra: int = 0, cooperative: bool = True) -> bool:
    x = floats(14, 4, 64)
    y, counter = np.concatenate([x, np.zeros_like(x)]), np.zeros(1, np.uint32)
    emulated.compile(text).launch(
        "steps", (4,), (64,), 0, [y, counter, int_(6), int_(extra)], cooperative=cooperative, seed=seed
    )
    for _ in range(6):
        x = x + np.roll(x, -1, 0)
    return np.array_equal(y[:4], x) and counter[0] == 24


@host
def test_blocks_pass_values_across_a_barrier_of_the_grid() -> None:
    assert all(steps(STEPS, seed) for seed in SEEDS)


@host
@pytest.mark.parametrize("barrier", ["__syncthreads();\n    if", "}\n    __syncthreads();"])
def test_half_a_barrier_of_the_grid_is_seen(barrier: str) -> None:
    text = STEPS.replace(barrier, barrier.replace("__syncthreads();", ""))
    assert text != STEPS
    assert not all(steps(text, seed) for seed in SEEDS)


@host
def test_a_grid_that_waits_for_ever_is_a_deadlock() -> None:
    with pytest.raises(
        LaunchError, match=r"deadlock.* block \(\d, 0, 0\) of 64 threads.* 1 wait at spin\(\) of line 6"
    ):
        steps(STEPS, 0, extra=1)
    with pytest.raises(LaunchError, match=r"63 wait at __syncthreads\(\) of line 8"):
        steps(STEPS, 0, extra=1)
    with pytest.raises(LaunchError, match=r"without spin\(\)"):
        steps(STEPS.replace("spin()", ""), 0)


@host
def test_blocks_of_a_plain_launch_cannot_wait_for_each_other() -> None:
    with pytest.raises(LaunchError, match="deadlock"):
        steps(STEPS, 0, cooperative=False)


@host
def test_clusters() -> None:
    x = floats(15, 6, 32)
    y, z = np.zeros_like(x), np.zeros_like(x)
    library = emulated.compile(CLUSTERS)
    for seed in SEEDS:
        library.launch("swap_in_clusters", (6,), (32,), 0, [x, y, z], seed=seed)
        np.testing.assert_array_equal(z, x[[1, 0, 3, 2, 5, 4]])
    with pytest.raises(LaunchError, match="clusters of 2"):
        library.launch("swap_in_clusters", (5,), (32,), 0, [x, y, z])
    with pytest.raises(LaunchError, match="__cluster_dims__"):
        library.launch("swap_in_clusters", (6,), (32,), 0, [x, y, z], cluster=3)


@host
def test_mathematics_goes_by_type() -> None:
    x = np.linspace(0.1, 3, 32, dtype=np.float32)
    z, y0, y1 = x.astype(np.float64), np.zeros((4, 32), np.float32), np.zeros(32)
    emulated.compile(MATHS).launch("maths", (1,), (32,), 0, [x, z, y0, y1])
    erf = np.vectorize(math.erf)
    normcdf = (1 + erf(z / 2**0.5)) / 2
    expected = (
        2 * np.tanh(z)
        + np.exp(z)
        + np.minimum(z, 1)
        + np.maximum(z, 0.5)
        + z**-0.5
        + z / 3
        + normcdf
        + z * z
        + z
        - z
    )
    np.testing.assert_allclose(y0[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(y0[1], -x)
    np.testing.assert_array_equal(y0[2], np.full(32, 2))
    np.testing.assert_array_equal(
        y0[3], 2 * x + np.minimum(np.arange(32), 3).astype(np.float32) + np.float32(2) + np.float32(1)
    )
    np.testing.assert_allclose(
        y1,
        np.tanh(z) + np.log1p(z) + np.maximum(z, 1) + np.minimum(z, 0.5) + z**-0.5 + normcdf + erf(z) + z**3,
        rtol=1e-12,
    )


WRONG = r"""
extern "C" __global__ void behind_shared(int offset) {
    DYNAMIC_SHARED(memory);
    memory[static_cast<int>(threadIdx.x) + offset] = 1;
}
extern "C" __global__ void behind_array(float* y0, int n) { y0[n] = 1.0f; }
extern "C" __global__ void bad_address(float* y0) { y0[1ll << 40] = 1.0f; }
extern "C" __global__ void returns() {
    if (threadIdx.x == 7) return;
    __syncthreads();
}
extern "C" __global__ void parts() {
    if (threadIdx.x < 32) __syncthreads();
    else __syncthreads();
}
extern "C" __global__ void lanes_part(float* y0) {
    if (threadIdx.x < 16) y0[0] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
    else __syncwarp();
}
extern "C" __global__ void lanes_missing(float* y0) {
    if (threadIdx.x < 16) y0[0] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}
extern "C" __global__ void few(float* y0) { y0[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 16); }
extern "C" __global__ void misaligned(const float* x0, float4* y0) {
    y0[0] = *reinterpret_cast<const float4*>(x0 + 1);
}
extern "C" __global__ void overflows(int* y0, int n) { y0[0] = n * 65536; }
extern "C" __global__ void zero_divides(int* y0, int n) { y0[0] = 1 / n; }
extern "C" __global__ void indexes(float* y0, int n) {
    float local[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    local[n] = 1.0f;
    y0[0] = local[0];
}
__device__ __forceinline__ float deep(int n, float x) { return n ? deep(n - 1, x + 1.0f) * 1.5f + x : x; }
extern "C" __global__ void recursion(float* y0, int n) { y0[0] = deep(n, 1.0f); }
extern "C" __global__ void uninitialised(float* y0) {
    DYNAMIC_SHARED(memory);
    y0[threadIdx.x] = reinterpret_cast<float*>(memory)[threadIdx.x];
}
"""


@host
@pytest.mark.parametrize(
    ("name", "block", "args", "message"),
    [
        ("behind_shared", 33, [int_(32)], r"shared memory 0 bytes behind its 64"),
        ("behind_shared", 32, [int_(-1)], r"shared memory 1 bytes before its beginning"),
        ("behind_array", 1, [np.zeros(5, np.float32), int_(5)], r"bytes behind array 0 of shape \(5,\)"),
        ("behind_array", 1, [np.zeros(5, np.float32), int_(-1)], r"bytes before array 0 of shape \(5,\)"),
        ("bad_address", 1, [np.zeros(1, np.float32)], r"thread \(0, 0, 0\) of block \(0, 0, 0\): crashed"),
        ("returns", 64, [], r"63 wait at __syncthreads\(\) of line 10, 1 have returned"),
        ("parts", 64, [], r"comes to __syncthreads\(\) while thread .* waits at that of line 1[34]"),
        (
            "lanes_part",
            32,
            [np.zeros(1, np.float32)],
            r"comes to (__shfl_xor_sync|__syncwarp)\(\) with mask 0xffffffff while lane",
        ),
        (
            "lanes_missing",
            32,
            [np.zeros(1, np.float32)],
            r"16 wait at __shfl_xor_sync\(\) of line 21, 16 have returned",
        ),
        ("few", 24, [np.zeros(24, np.float32)], r"reads lane \d+, which takes no part"),
        (
            "misaligned",
            1,
            [np.zeros(8, np.float32), np.zeros(4, np.float32)],
            r"line 25: uses an address that is not aligned",
        ),
        ("overflows", 1, [np.zeros(1, np.int32), int_(65536)], "a signed product overflows"),
        ("zero_divides", 1, [np.zeros(1, np.int32), int_(0)], "division by zero"),
        ("indexes", 1, [np.zeros(1, np.float32), int_(4)], r"line 31: an index out of the bounds"),
        ("recursion", 1, [np.zeros(1, np.float32), int_(1000000)], r"stack|crashed"),
    ],
)
def test_what_is_wrong_is_reported(name: str, block: int, args: list[object], message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        emulated.compile(WRONG).launch(name, (1,), (block,), 64, args)


@host
def test_shared_memory_starts_undefined() -> None:
    y = np.zeros(16, np.float32)
    emulated.compile(WRONG).launch("uninitialised", (1,), (16,), 64, [y])
    assert np.isnan(y).all()


@host
def test_arrays_that_are_read_only_or_overlap_or_are_given_by_address() -> None:
    library = emulated.compile(ADD)
    x = floats(17, 100)
    z = np.zeros(100, np.float32)
    z.flags.writeable = False
    with pytest.raises(LaunchError, match="read-only array 2 of shape"):
        library.launch("add", (1,), (64,), 0, [x, x, z, longlong(100)])
    assert not z.any()
    y = x.copy()
    library.launch("add", (1,), (64,), 0, [y, y, y, longlong(100)])
    np.testing.assert_array_equal(y, 2 * x)
    library.launch("add", (1,), (64,), 0, [y[:50], y[50:], y[25:75], longlong(25)])
    np.testing.assert_array_equal(y[25:50], 2 * x[:25] + 2 * x[50:75])
    out = np.zeros(100, np.float32)
    library.launch("add", (1,), (64,), 0, [x.ctypes.data, y, out.ctypes.data, longlong(100)])
    np.testing.assert_array_equal(out, x + y)


@host
def test_launches_that_a_driver_would_refuse() -> None:
    library, x = emulated.compile(ADD), np.zeros(4, np.float32)
    with pytest.raises(LaunchError, match=r"takes the arguments p p p i8, not p p p i4"):
        library.launch("add", (1,), (64,), 0, [x, x, x, int_(4)])
    with pytest.raises(LaunchError, match=r"takes the arguments p p p i8, not p p"):
        library.launch("add", (1,), (64,), 0, [x, x])
    with pytest.raises(LaunchError, match=r"__launch_bounds__\(64\)"):
        library.launch("add", (1,), (65,), 0, [x, x, x, longlong(4)])
    with pytest.raises(LaunchError, match="no launch"):
        library.launch("add", (0,), (64,), 0, [x, x, x, longlong(4)])
    with pytest.raises(LaunchError, match="no kernel sub; there are add, scale"):
        library.launch("sub", (1,), (64,), 0, [])


@host
def test_what_is_not_cuda_does_not_compile() -> None:
    with pytest.raises(CompileError, match=r"kernel\.cu:2.*missing"):
        emulated.compile('\nextern "C" __global__ void broken(float* y0) { y0[0] = missing(1.0f); }')
    with pytest.raises(CompileError, match="ambiguous"):
        emulated.compile('extern "C" __global__ void mixed(int n, long long* y0) { y0[0] = min(n, y0[1]); }')
    for name in ("INFINITY", "NAN", "M_PI"):  # NVRTC does not define these
        with pytest.raises(CompileError, match=name):
            emulated.compile(f'extern "C" __global__ void constant(float* y0) {{ y0[0] = {name}; }}')
    with pytest.raises(CompileError, match="no kernel"):
        emulated.compile("int x;")


def test_the_host_provides_what_the_device_part_has() -> None:
    header = (Path(emulated.__file__).parent / "cuda.hpp").read_text()
    names = re.findall(r"__forceinline__ [\w ]+? (\w+)\(|#define (\w+)", DEVICE)
    assert len(names) == 13
    for function, macro in names:
        assert re.search(
            rf"#define {macro}\b" if macro else rf"^inline [\w ]+? {function}\(", header, re.M
        ), function or macro
