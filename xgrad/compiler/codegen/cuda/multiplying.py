"""Matrix products inside a kernel: operands in shared memory, accumulators in registers.

They use tensor cores where the precision allows.
"""

from __future__ import annotations

#: Plain C++ that follows `prelude.PRELUDE` in a kernel with products. A tile of 16 rows and 8 columns is
#: distributed over a warp as `device.DEVICE` describes for `mma_tf32`'s d.
MULTIPLYING = r"""
// How numbers are kept in shared memory, and how a warp adds the product of 16 rows of a and 8 columns of b,
// `depth` numbers of each, to d.
template <class T> struct Plain {
    typedef T Kept;
    typedef T Sum;
    enum { depth = 16 / sizeof(T) };
    static __device__ __forceinline__ T keep(T x) { return x; }
    template <int lda, int ldb>
    static __device__ __forceinline__ void step(T (&d)[4], const T* a, const T* b, int g, int t) {
        const Pack<T, depth> top = load<depth>(a + g * lda), low = load<depth>(a + (g + 8) * lda);
        const Pack<T, depth> left = load<depth>(b + 2 * t * ldb), right = load<depth>(b + (2 * t + 1) * ldb);
#pragma unroll
        for (int k = 0; k < depth; ++k) {
            d[0] = fma(top.v[k], left.v[k], d[0]);
            d[1] = fma(top.v[k], right.v[k], d[1]);
            d[2] = fma(low.v[k], left.v[k], d[2]);
            d[3] = fma(low.v[k], right.v[k], d[3]);
        }
    }
};

struct Tf32 {
    typedef unsigned Kept;
    typedef float Sum;
    enum { depth = 8 };
    static __device__ __forceinline__ unsigned keep(float x) { return to_tf32(x); }
    template <int lda, int ldb>
    static __device__ __forceinline__ void step(
        float (&d)[4], const unsigned* a, const unsigned* b, int g, int t) {
        const unsigned left[4] = {
            a[g * lda + t], a[(g + 8) * lda + t], a[g * lda + t + 4], a[(g + 8) * lda + t + 4]};
        const unsigned right[2] = {b[g * ldb + t], b[g * ldb + t + 4]};
        mma_tf32(d, left, right);
    }
};

template <class Own> struct Narrow {
    typedef unsigned short Kept;
    typedef float Sum;
    enum { depth = 16 };
    static __device__ __forceinline__ unsigned short keep(unsigned short x) { return x; }
    static __device__ __forceinline__ unsigned short keep(float x) { return Own::narrow(x); }
    template <int lda, int ldb>
    static __device__ __forceinline__ void step(
        float (&d)[4], const unsigned short* a, const unsigned short* b, int g, int t) {
        const unsigned short *top = a + g * lda + 2 * t, *low = top + 8 * lda, *side = b + g * ldb + 2 * t;
        const unsigned left[4] = {two(top), two(low), two(top + 8), two(low + 8)};
        const unsigned right[2] = {two(side), two(side + 8)};
        Own::multiply(d, left, right);
    }
    static __device__ __forceinline__ unsigned two(const unsigned short* p) {
        return *reinterpret_cast<const unsigned*>(p);
    }
};
struct Bfloat16 : Narrow<Bfloat16> {
    static __device__ __forceinline__ unsigned short narrow(float x) { return float_to_bfloat16(x); }
    static __device__ __forceinline__ void multiply(
        float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
        mma_bf16(d, a, b);
    }
};
struct Half : Narrow<Half> {
    static __device__ __forceinline__ unsigned short narrow(float x) { return float_to_half(x); }
    static __device__ __forceinline__ void multiply(
        float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
        mma_f16(d, a, b);
    }
};

// Rows of a, `depth` numbers of each from where `a` points, into shared memory; zeros beyond the `rows` and
// `columns` that there are. Other blocks wrote them: they are read past the nearest cache, `width` neighbours
// at a time.
template <class How, int width, int depth, int lead, int threads, class T>
__device__ __forceinline__ void stage(
    typename How::Kept* kept, const T* a, long long stride, int most, int rows, int columns) {
#pragma unroll 4
    for (int e = threadIdx.x; e < most * (depth / width); e += threads) {
        const int r = e / (depth / width), k = e % (depth / width) * width;
        Pack<T, width> x = {};
        if (r < rows && k < columns) x = load_fresh<width>(a + r * stride + k);
        Pack<typename How::Kept, width> y;
#pragma unroll
        for (int i = 0; i < width; ++i) y.v[i] = How::keep(x.v[i]);
        store(kept + r * lead + k, y);
    }
}

// Columns of b, from where `b` points, into shared memory one behind the other, with zeros beyond the `rows`
// and `columns` that there are.
template <class How, int depth, int lead, int threads, class T>
__device__ __forceinline__ void keep_columns(
    typename How::Kept* kept, const T* b, long long down, long long right, int most, int rows, int columns) {
    for (int e = threadIdx.x; e < most * depth; e += threads) {
        const int n = down == 1 ? e / depth : e % most,
                  k = down == 1 ? e % depth : e / most;  // neighbours read neighbours
        kept[n * lead + k] = How::keep(k < rows && n < columns ? b[k * down + n * right] : T(0));
    }
}

// Adds the products of staged rows and kept columns to the sums of this warp's units: tiles of 16 rows and 8
// * wide columns, each in `shares` parts along the depth.
template <class How, int down, int across, int wide, int shares, int depth, int lda, int ldb, int units>
__device__ __forceinline__ void multiply(
    typename How::Sum (&sums)[units][wide][4], const typename How::Kept* a, const typename How::Kept* b) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int u = 0; u < units; ++u) {
        const int unit = warp + u * 8;
        if (unit < down * across * shares) {
            const int share = unit % shares, tile = unit / shares;
            const typename How::Kept* from = a + tile / across * 16 * lda + share * (depth / shares);
            const typename How::Kept* with = b + tile % across * wide * 8 * ldb + share * (depth / shares);
#pragma unroll 4
            for (int k = 0; k < depth / shares; k += How::depth) {
#pragma unroll
                for (int w = 0; w < wide; ++w)
                    How::template step<lda, ldb>(
                        sums[u][w], from + k, with + w * 8 * ldb + k, lane / 4, lane % 4);
            }
        }
    }
}

// The sums of all warps into shared memory: [share][row][column].
template <int down, int across, int wide, int shares, int units, class Sum>
__device__ __forceinline__ void put_sums(const Sum (&sums)[units][wide][4], Sum* into) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, warp = threadIdx.x / 32,
              columns = across * wide * 8;
#pragma unroll
    for (int u = 0; u < units; ++u) {
        const int unit = warp + u * 8;
        if (unit < down * across * shares) {
            const int share = unit % shares, tile = unit / shares;
#pragma unroll
            for (int w = 0; w < wide; ++w) {
                Sum* const at = into + (share * down * 16 + tile / across * 16 + g) * columns +
                                (tile % across * wide + w) * 8 + 2 * t;
                at[0] = sums[u][w][0];
                at[1] = sums[u][w][1];
                at[8 * columns] = sums[u][w][2];
                at[8 * columns + 1] = sums[u][w][3];
            }
        }
    }
}

// All blocks of a group wait until each of them has come here; `goal` is how often blocks have come by then.
// Both may wrap around.
__device__ __forceinline__ void group_barrier(unsigned* counter, unsigned goal) {
    __syncthreads();
    if (threadIdx.x == 0) {
        arrive(counter);
        while (static_cast<int>(arrived(counter) - goal) < 0) spin();
    }
    __syncthreads();
}
"""
