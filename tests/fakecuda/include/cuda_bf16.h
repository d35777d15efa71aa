// bfloat16 as CuPy's kernels use it, by the emulator's conversions.
#pragma once

struct __nv_bfloat16 {
    unsigned short bits;
    __nv_bfloat16() = default;
    __nv_bfloat16(float x) : bits(float_to_bfloat16(x)) {}
    operator float() const { return bfloat16_to_float(bits); }
};
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short x) {
    __nv_bfloat16 found;
    found.bits = x;
    return found;
}
inline bool __hisnan(__nv_bfloat16 x) { return (x.bits & 0x7fff) > 0x7f80; }
inline int __hisinf(__nv_bfloat16 x) { return (x.bits & 0x7fff) == 0x7f80; }
