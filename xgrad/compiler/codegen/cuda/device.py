"""The GPU-specific part of every kernel's text: operations that plain CUDA C++ lacks, in PTX.

Everything in a generated kernel beyond plain CUDA C++ goes through the functions below, so that the rest of
its text also compiles for the host, where tests provide the same functions (`tests/emulated/cuda.hpp`). No
include file is needed. Compute capability 8.0 is required; the two cluster functions require 9.0.

Matrix fragments, one per thread of a warp, as (row, column), with `g = lane / 4` and `t = lane % 4`:

- `mma_tf32`, m16n8k8: a (g, t) (g+8, t) (g, t+4) (g+8, t+4); b (t, g) (t+4, g); d (g, 2t) (g, 2t+1) (g+8,
  2t) (g+8, 2t+1).
- `mma_bf16` and `mma_f16`, m16n8k16, two neighbours along k in a register, the first in its lower half: a
  (g, 2t) (g+8, 2t) (g, 2t+8) (g+8, 2t+8);
  b (2t, g) (2t+8, g); d as above.

Whole warps call them; all add to `d` in place.
"""

from __future__ import annotations

DEVICE = r"""
// The block's dynamic shared memory, of the size given at the launch.
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]

// Narrow floats, as the bits that memory holds. Rounding is to nearest, ties to even; a NaN stays one.
__device__ __forceinline__ float half_to_float(unsigned short x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}
__device__ __forceinline__ unsigned short float_to_half(float x) {
    unsigned short y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}
__device__ __forceinline__ float bfloat16_to_float(unsigned short x) {
    return __uint_as_float(static_cast<unsigned>(x) << 16);
}
__device__ __forceinline__ unsigned short float_to_bfloat16(float x) {
    unsigned short y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}

// Rounds to 10 bits of mantissa, ties away from zero. Its result is a float whose low 13 bits are zero: PTX
// leaves them open, hence the mask.
__device__ __forceinline__ unsigned to_tf32(float x) {
    unsigned y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
    return y & 0xffffe000u;
}

// d += a b on tensor cores.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
                 "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
                 "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, "
                 "%9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// A counter in global memory, for barriers between blocks: what was written before arrive() is seen by who
// finds it counted in arrived().
__device__ __forceinline__ void arrive(unsigned* counter) {
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;"
        :
        : "l"(__cvta_generic_to_global(counter))
        : "memory");
}
__device__ __forceinline__ unsigned arrived(const unsigned* counter) {
    unsigned count;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];"
        : "=r"(count)
        : "l"(__cvta_generic_to_global(counter))
        : "memory");
    return count;
}
// The body of a loop that waits for arrived(): the host runs other threads here, a GPU does so by itself.
__device__ __forceinline__ void spin() {}

#if __CUDA_ARCH__ >= 900
// All threads of all blocks of a cluster arrive and wait, by whole warps.
__device__ __forceinline__ void cluster_barrier() {
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;"
        :
        :
        : "memory");
}
#endif
"""
