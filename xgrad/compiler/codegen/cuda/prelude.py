"""The code that begins every CUDA kernel: functions that C lacks, vector loads, and warp reductions."""

from __future__ import annotations

#: Plain C++ that follows `device.DEVICE`.
PRELUDE = r"""
template <class T, int n> struct alignas(sizeof(T) * n) Pack {
    T v[n];
};

template <int n, class T> __device__ __forceinline__ Pack<T, n> load(const T* p) {
    return *reinterpret_cast<const Pack<T, n>*>(p);
}
template <int n, class T> __device__ __forceinline__ void store(T* p, Pack<T, n> x) {
    *reinterpret_cast<Pack<T, n>*>(p) = x;
}

// What loads so many bytes at once.
template <int bytes> struct Bits;
template <> struct Bits<1> {
    typedef unsigned char type;
};
template <> struct Bits<2> {
    typedef unsigned short type;
};
template <> struct Bits<4> {
    typedef unsigned type;
};
template <> struct Bits<8> {
    typedef uint2 type;
};
template <> struct Bits<16> {
    typedef uint4 type;
};

// What other blocks have written in the same launch is read past the nearest cache.
template <int n, class T> __device__ __forceinline__ Pack<T, n> load_fresh(const T* p) {
    typedef typename Bits<sizeof(T) * n>::type Word;
    const Word word = __ldcg(reinterpret_cast<const Word*>(p));
    return *reinterpret_cast<const Pack<T, n>*>(&word);
}

// The greater or the smaller of two; the one that is NaN, if one is.
template <class T> __device__ __forceinline__ T maximum(T x, T y) { return x >= y || x != x ? x : y; }
template <class T> __device__ __forceinline__ T minimum(T x, T y) { return x <= y || x != x ? x : y; }

__device__ __forceinline__ float absolute(float x) { return fabsf(x); }
__device__ __forceinline__ double absolute(double x) { return fabs(x); }
template <class T> __device__ __forceinline__ T absolute(T x) { return x < 0 ? -x : x; }
__device__ __forceinline__ bool absolute(bool x) { return x; }

__device__ __forceinline__ bool negative(float x) { return signbit(x); }
__device__ __forceinline__ bool negative(double x) { return signbit(x); }
template <class T> __device__ __forceinline__ bool negative(T x) { return x < 0; }
__device__ __forceinline__ bool negative(bool) { return false; }

// Sums and products; of integers, what overflows wraps around.
__device__ __forceinline__ unsigned unsigned_of(int x) { return x; }
__device__ __forceinline__ unsigned long long unsigned_of(long long x) { return x; }
__device__ __forceinline__ float added(float x, float y) { return x + y; }
__device__ __forceinline__ double added(double x, double y) { return x + y; }
template <class T> __device__ __forceinline__ T added(T x, T y) { return T(unsigned_of(x) + unsigned_of(y)); }
__device__ __forceinline__ float multiplied(float x, float y) { return x * y; }
__device__ __forceinline__ double multiplied(double x, double y) { return x * y; }
template <class T> __device__ __forceinline__ T multiplied(T x, T y) {
    return T(unsigned_of(x) * unsigned_of(y));
}

// Of integers, as NumPy has them: 0 by zero, and what overflows wraps around. Shifts beyond the width leave
// nothing but the sign.
template <class T> __device__ __forceinline__ T floor_quotient(T x, T y) {
    if (y == 0 || y == -1) return y == 0 ? 0 : T(-unsigned_of(x));
    return x / y - (x % y != 0 && (x < 0) != (y < 0));
}
template <class T> __device__ __forceinline__ T modulo(T x, T y) {
    const T rest = y == 0 || y == -1 ? 0 : x % y;
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}
template <class T> __device__ __forceinline__ T left_shift(T x, T y) {
    return unsigned_of(y) < 8 * sizeof(T) ? T(unsigned_of(x) << y) : T(0);
}
template <class T> __device__ __forceinline__ T right_shift(T x, T y) {
    return unsigned_of(y) < 8 * sizeof(T) ? x >> y : x < 0 ? T(-1) : T(0);
}

struct Plus {
    template <class T> __device__ __forceinline__ T operator()(T x, T y) const { return x + y; }
};
struct Maximum {
    template <class T> __device__ __forceinline__ T operator()(T x, T y) const { return maximum(x, y); }
};
struct Minimum {
    template <class T> __device__ __forceinline__ T operator()(T x, T y) const { return minimum(x, y); }
};

// All lanes of a warp folded into one value, which every lane gets.
template <class F, class T> __device__ __forceinline__ T over_warp(F f, T x) {
#pragma unroll
    for (int apart = 16; apart > 0; apart /= 2) x = f(x, __shfl_xor_sync(0xffffffffu, x, apart));
    return x;
}

// The same for a block of `lanes` threads along x; `shared` holds a value for each of its warps.
template <int lanes, class F, class T> __device__ __forceinline__ T over_block(F f, T x, T* shared) {
    x = over_warp(f, x);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    x = shared[0];
#pragma unroll
    for (int warp = 1; warp < lanes / 32; ++warp) x = f(x, shared[warp]);
    __syncthreads();
    return x;
}
"""
