// CUDA C++ for g++, as CuPy's own kernels use it: more functions than ours, and CuPy's headers. Precompiled.
#pragma once

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cuda.hpp"

#define __shared__ static  // the threads of a block run one at a time, and so do blocks
#define __constant__ static
#define __restrict__ __restrict
#define __CUDACC_VER_MAJOR__ 13

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

// Atomics, where no two threads run at once.
#define EMULATED_ATOMIC(name, type, result) \
    inline type name(type* at, type y) {    \
        type x = *at;                       \
        *at = result;                       \
        ++emulated::events;                 \
        return x;                           \
    }
#define EMULATED_ATOMICS(type)                      \
    EMULATED_ATOMIC(atomicAdd, type, x + y)         \
    EMULATED_ATOMIC(atomicSub, type, x - y)         \
    EMULATED_ATOMIC(atomicExch, type, y)            \
    EMULATED_ATOMIC(atomicMax, type, x > y ? x : y) \
    EMULATED_ATOMIC(atomicMin, type, x < y ? x : y) \
    EMULATED_ATOMIC(atomicAnd, type, x & y)         \
    EMULATED_ATOMIC(atomicOr, type, x | y)          \
    EMULATED_ATOMIC(atomicXor, type, x ^ y)         \
    inline type atomicCAS(type* at, type old, type y) { \
        type x = *at;                               \
        if (x == old) *at = y;                      \
        ++emulated::events;                         \
        return x;                                   \
    }
EMULATED_ATOMICS(int)
EMULATED_ATOMICS(unsigned)
EMULATED_ATOMICS(unsigned long long)
EMULATED_ATOMIC(atomicAdd, float, x + y)
EMULATED_ATOMIC(atomicAdd, double, x + y)
EMULATED_ATOMIC(atomicMax, long long, x > y ? x : y)
EMULATED_ATOMIC(atomicMin, long long, x < y ? x : y)
EMULATED_ATOMIC(atomicAnd, long long, x & y)
EMULATED_ATOMIC(atomicOr, long long, x | y)
EMULATED_ATOMIC(atomicXor, long long, x ^ y)

// Integers and rounding.
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
inline int __double2int_rn(double x) { return static_cast<int>(rint(x)); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline unsigned short __float2half_rn(float x) { return float_to_half(x); }
inline float __half2float(unsigned short x) { return half_to_float(x); }

// Mathematics that <math.h> has not got.
inline double rcbrt(double x) { return 1 / cbrt(x); }
constexpr double pi = 3.14159265358979323846;
inline double sinpi(double x) { return sin(pi * x); }
inline double cospi(double x) { return cos(pi * x); }
inline double erfcx(double x) { return exp(x * x) * erfc(x); }
inline float normcdfinvf(float x) { return normcdfinv(x); }
inline double erfinv(double x) {
    return fabs(x) > 1 ? __builtin_nan("") : normcdfinv((x + 1) / 2) * 0.70710678118654752440;
}
inline double erfcinv(double x) { return erfinv(1 - x); }
inline double cyl_bessel_i0(double x) { return std::cyl_bessel_i(0.0, fabs(x)); }
inline double cyl_bessel_i1(double x) { return copysign(std::cyl_bessel_i(1.0, fabs(x)), x); }

// Shuffles by a distance: a lane beyond the end reads itself.
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, int line = __builtin_LINE()) {
    unsigned lane = emulated::current->lane, within = lane & static_cast<unsigned>(width - 1);
    return emulated::shuffle("__shfl_up_sync()", line, mask, value, within >= by ? lane - by : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, int line = __builtin_LINE()) {
    unsigned lane = emulated::current->lane, within = lane & static_cast<unsigned>(width - 1);
    bool there = within + by < static_cast<unsigned>(width);
    return emulated::shuffle("__shfl_down_sync()", line, mask, value, there ? lane + by : lane);
}

#include "cuda_bf16.h"
#include "cuda_fp16.h"

#include <cupy/complex.cuh>

#include <cupy/carray.cuh>

#include <cupy/atomics.cuh>
#include <cupy/math_constants.h>
