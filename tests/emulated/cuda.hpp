// CUDA C++ for g++: what a generated kernel uses of the language, and the functions that on a GPU are PTX (`xgrad/compiler/codegen/cuda/device.py`).
#pragma once

#include "scheduler.hpp"

#include <math.h>

#include <tuple>
#include <type_traits>
#include <utility>

// NVRTC does not know these.
#undef INFINITY
#undef NAN
#undef HUGE_VAL
#undef HUGE_VALF
#undef HUGE_VALL
#undef M_PI

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define DYNAMIC_SHARED(name) [[maybe_unused]] unsigned char* const name = ::emulated::current->block->shared

// Vectors of elements.
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(4) ushort2 { unsigned short x, y; };
struct alignas(8) ushort4 { unsigned short x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline ushort2 make_ushort2(unsigned short x, unsigned short y) { return {x, y}; }
inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) { return {x, y, z, w}; }

// Bits.
namespace emulated {
template <class To, class From>
To bits(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
}  // namespace emulated
inline unsigned __float_as_uint(float x) { return emulated::bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return emulated::bits<float>(x); }
inline int __float_as_int(float x) { return emulated::bits<int>(x); }
inline float __int_as_float(int x) { return emulated::bits<float>(x); }
inline long long __double_as_longlong(double x) { return emulated::bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emulated::bits<double>(x); }

// Mathematics that <math.h> has not got. The overloads of min and max are CUDA's: a mixture that CUDA finds ambiguous is so here.
inline float min(float x, float y) { return fminf(x, y); }
inline float max(float x, float y) { return fmaxf(x, y); }
inline double min(double x, double y) { return fmin(x, y); }
inline double max(double x, double y) { return fmax(x, y); }
inline double min(float x, double y) { return fmin(x, y); }
inline double max(float x, double y) { return fmax(x, y); }
inline double min(double x, float y) { return fmin(x, y); }
inline double max(double x, float y) { return fmax(x, y); }
#define EMULATED_MIN_MAX(result, first, second)                                                           \
    constexpr result min(first x, second y) { return static_cast<result>(y) < static_cast<result>(x) ? static_cast<result>(y) : static_cast<result>(x); } \
    constexpr result max(first x, second y) { return static_cast<result>(x) < static_cast<result>(y) ? static_cast<result>(y) : static_cast<result>(x); }
#define EMULATED_BOTH_SIGNS(type)                          \
    EMULATED_MIN_MAX(type, type, type)                     \
    EMULATED_MIN_MAX(unsigned type, unsigned type, unsigned type) \
    EMULATED_MIN_MAX(unsigned type, type, unsigned type)   \
    EMULATED_MIN_MAX(unsigned type, unsigned type, type)
EMULATED_BOTH_SIGNS(int)
EMULATED_BOTH_SIGNS(long)
EMULATED_BOTH_SIGNS(long long)
#undef EMULATED_BOTH_SIGNS
#undef EMULATED_MIN_MAX
inline float exp10(float x) { return exp10f(x); }
inline float rsqrtf(float x) { return static_cast<float>(1 / sqrt(static_cast<double>(x))); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline double normcdf(double x) { return erfc(-x * 0.70710678118654752440) / 2; }
inline float normcdff(float x) { return static_cast<float>(normcdf(static_cast<double>(x))); }
inline float normcdf(float x) { return normcdff(x); }
inline double normcdfinv(double p) {  // by halving
    if (!(p > 0 && p < 1)) return p == 0 ? -__builtin_inf() : p == 1 ? __builtin_inf() : __builtin_nan("");
    if (p > 0.5) return -normcdfinv(1 - p);
    double low = -40, high = 0;
    for (int i = 0; i < 64; ++i) (normcdf((low + high) / 2) < p ? low : high) = (low + high) / 2;
    return (low + high) / 2;
}
inline float normcdfinv(float p) { return static_cast<float>(normcdfinv(static_cast<double>(p))); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __saturatef(float x) { return x > 0 ? fminf(x, 1) : 0; }

template <class T>
T __ldcg(const T* p) {
    static_assert(!std::is_same_v<T, bool>, "CUDA loads no bool in this way");
    return *p;
}
template <class T>
T __ldg(const T* p) { return *p; }
template <class T>
void __stcg(T* p, T x) { *p = x; }

// Barriers. Lines are those of the caller.
inline void __syncthreads(int line = __builtin_LINE()) { emulated::wait_at(emulated::current->block->barrier, "__syncthreads()", line); }
inline void cluster_barrier(int line = __builtin_LINE()) { emulated::wait_at(*emulated::current->block->cluster, "cluster_barrier()", line); }
inline void __syncwarp(unsigned mask = 0xffffffff, int line = __builtin_LINE()) { emulated::collective("__syncwarp()", line, mask, nullptr, nullptr); }
inline void __threadfence() {}

inline void arrive(unsigned* counter) {
    ++*const_cast<volatile unsigned*>(counter);
    ++emulated::events;
}
inline unsigned arrived(const unsigned* counter, int line = __builtin_LINE()) {
    if (++emulated::polls > 1000000) emulated::fail(line, "waits for arrived() without spin()");
    return *const_cast<const volatile unsigned*>(counter);
}
inline void spin(int line = __builtin_LINE()) {
    emulated::current->waits_at = "spin()";
    emulated::current->line = line;
    emulated::spinning.push_back(emulated::current);
    emulated::suspend();
}

// Shuffles.
namespace emulated {
template <class T>
struct Shuffled { T value; unsigned source; };

template <class T>
T shuffle(const char* what, int line, unsigned mask, T value, unsigned source) {
    static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "CUDA shuffles numbers of 4 or 8 bytes");
    if (source > 31 || !((mask & current->warp->lanes) >> source & 1)) fail(line, format("%s reads lane %u, which takes no part", what, source));
    Shuffled<T> own{value, source};
    collective(what, line, mask, &own, [](const Warp& warp, unsigned lanes) {
        T values[32];
        for (unsigned i = 0; i < 32; ++i)
            if (lanes >> i & 1) values[i] = static_cast<Shuffled<T>*>(warp.fiber[i]->data)->value;
        for (unsigned i = 0; i < 32; ++i) {
            if (!(lanes >> i & 1)) continue;
            auto other = static_cast<Shuffled<T>*>(warp.fiber[i]->data);
            other->value = values[other->source];
        }
    });
    return own.value;
}
}  // namespace emulated
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int line = __builtin_LINE()) {
    return emulated::shuffle("__shfl_sync()", line, mask, value, static_cast<unsigned>(lane) & 31);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int line = __builtin_LINE()) {
    return emulated::shuffle("__shfl_xor_sync()", line, mask, value, emulated::current->lane ^ static_cast<unsigned>(bits));
}

// Which lanes something holds for, and the bits of that.
inline unsigned __ballot_sync(unsigned mask, int holds, int line = __builtin_LINE()) {
    unsigned own = holds ? 1u << emulated::current->lane : 0u;
    emulated::collective("__ballot_sync()", line, mask, &own, [](const emulated::Warp& warp, unsigned lanes) {
        unsigned all = 0;
        for (unsigned i = 0; i < 32; ++i)
            if (lanes >> i & 1) all |= *static_cast<unsigned*>(warp.fiber[i]->data);
        for (unsigned i = 0; i < 32; ++i)
            if (lanes >> i & 1) *static_cast<unsigned*>(warp.fiber[i]->data) = all;
    });
    return own;
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }

// Narrow floats, by their bits; NaN is the one that the GPU gives.
inline float half_to_float(unsigned short x) {
    unsigned sign = (x & 0x8000u) << 16, exponent = x >> 10 & 31u, fraction = x & 0x3ffu;
    if (exponent == 0) return __uint_as_float(sign | __float_as_uint(static_cast<float>(fraction) * 0x1p-24f));
    return __uint_as_float(sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13);
}
inline unsigned short float_to_half(float x) {
    unsigned all = __float_as_uint(x), sign = all >> 16 & 0x8000u, size = all & 0x7fffffffu, result;
    if (size > 0x7f800000u) return 0x7fff;
    if (size >= 0x47800000u) result = 0x7c00;  // 2^16 and more
    else if (size < 0x38800000u) result = __float_as_uint(__uint_as_float(size) + 0.5f) - 0x3f000000u;  // below 2^-14: the sum's last bit is 2^-24
    else result = (size + 0xfffu + (size >> 13 & 1u) - 0x38000000u) >> 13;
    return static_cast<unsigned short>(sign | result);
}
inline float bfloat16_to_float(unsigned short x) { return __uint_as_float(static_cast<unsigned>(x) << 16); }
inline unsigned short float_to_bfloat16(float x) {
    unsigned all = __float_as_uint(x);
    if ((all & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return static_cast<unsigned short>((all + 0x7fffu + (all >> 16 & 1u)) >> 16);
}
inline unsigned to_tf32(float x) {
    unsigned all = __float_as_uint(x);
    if ((all & 0x7fffffffu) > 0x7f800000u) return 0x7fffe000;
    return (all + 0x1000u) & 0xffffe000u;
}

// Products on tensor cores: exact products, summed in double, rounded once. Fragments as in the table of device.py.
namespace emulated {
template <class D, class A, class B>
struct Fragments { D* d; const A* a; const B* b; };

inline void whole_warp(const char* what, int line) {
    if (current->warp->lanes != 0xffffffff) fail(line, format("%s in a warp of fewer than 32 threads", what));
}

// `spread(lane, fragments, A, B)` puts a lane's elements into A (m, k) and B (k, 8); what `d` holds is the same for all.
template <int M, int K, class D, class A, class B, void (*spread)(unsigned, const Fragments<D, A, B>&, double (&)[M][K], double (&)[K][8])>
void multiply(const Warp& warp, unsigned) {
    double a[M][K], b[K][8];
    for (unsigned lane = 0; lane < 32; ++lane) spread(lane, *static_cast<Fragments<D, A, B>*>(warp.fiber[lane]->data), a, b);
    for (unsigned lane = 0; lane < 32; ++lane) {
        D* d = static_cast<Fragments<D, A, B>*>(warp.fiber[lane]->data)->d;
        for (unsigned i = 0; i < M / 4; ++i) {
            unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            double sum = d[i];
            for (int k = 0; k < K; ++k) sum += a[row][k] * b[k][column];
            d[i] = static_cast<D>(sum);
        }
    }
}

using Words = Fragments<float, unsigned, unsigned>;
// The hardware does not see the low 13 bits.
inline double from_tf32(unsigned x) { return __uint_as_float(x & 0xffffe000u); }

inline void spread_tf32(unsigned lane, const Words& part, double (&a)[16][8], double (&b)[8][8]) {
    unsigned g = lane / 4, t = lane % 4;
    for (unsigned i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = from_tf32(part.a[i]);
    for (unsigned i = 0; i < 2; ++i) b[t + i * 4][g] = from_tf32(part.b[i]);
}
template <float (*number)(unsigned short)>
void spread_pairs(unsigned lane, const Words& part, double (&a)[16][16], double (&b)[16][8]) {
    unsigned g = lane / 4, t = lane % 4;
    for (unsigned i = 0; i < 4; ++i)
        for (unsigned half = 0; half < 2; ++half) a[g + i % 2 * 8][2 * t + i / 2 * 8 + half] = number(static_cast<unsigned short>(part.a[i] >> 16 * half));
    for (unsigned i = 0; i < 2; ++i)
        for (unsigned half = 0; half < 2; ++half) b[2 * t + i * 8 + half][g] = number(static_cast<unsigned short>(part.b[i] >> 16 * half));
}
}  // namespace emulated

inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], int line = __builtin_LINE()) {
    emulated::whole_warp("mma_tf32()", line);
    emulated::Words own{d, a, b};
    emulated::collective("mma_tf32()", line, 0xffffffff, &own, emulated::multiply<16, 8, float, unsigned, unsigned, emulated::spread_tf32>);
}
inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], int line = __builtin_LINE()) {
    emulated::whole_warp("mma_bf16()", line);
    emulated::Words own{d, a, b};
    emulated::collective("mma_bf16()", line, 0xffffffff, &own, emulated::multiply<16, 16, float, unsigned, unsigned, emulated::spread_pairs<bfloat16_to_float>>);
}
inline void mma_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], int line = __builtin_LINE()) {
    emulated::whole_warp("mma_f16()", line);
    emulated::Words own{d, a, b};
    emulated::collective("mma_f16()", line, 0xffffffff, &own, emulated::multiply<16, 16, float, unsigned, unsigned, emulated::spread_pairs<half_to_float>>);
}

// How a kernel is called with the addresses of its arguments, and what they are: p, or a kind (i, f, s) with its size in bytes.
namespace emulated {
template <class... A, size_t... i>
void call(void (*kernel)(A...), void** those, std::index_sequence<i...>) { kernel(*static_cast<std::remove_reference_t<A>*>(those[i])...); }
template <class... A>
void call(void (*kernel)(A...), [[maybe_unused]] void** those) { call(kernel, those, std::index_sequence_for<A...>{}); }
template <class... A>
const char* signature(void (*)(A...)) {
    static char text[sizeof...(A) * 8 + 1];  // "f8 ", or of a struct more digits
    char* end = text;
    ((end += std::is_pointer_v<A> ? sprintf(end, "p ") : sprintf(end, "%c%zu ", std::is_integral_v<A> ? 'i' : std::is_floating_point_v<A> ? 'f' : 's', sizeof(A))), ...);
    return text;
}
}  // namespace emulated

#define EMULATED_KERNEL(name)                                                                                                      \
    extern "C" __attribute__((visibility("default"))) void emulated_call_##name(void** those) { emulated::call(name, those); }     \
    extern "C" __attribute__((visibility("default"))) const char* emulated_signature_##name() { return emulated::signature(name); }
