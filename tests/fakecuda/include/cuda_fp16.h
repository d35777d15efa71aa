// Half precision as CuPy's kernels use it, by the emulator's conversions.
#pragma once

struct __half_raw { unsigned short x; };

struct half {
    unsigned short bits;
    half() = default;
    half(float x) : bits(float_to_half(x)) {}
    explicit half(double x) : half(static_cast<float>(x)) {}
    explicit half(bool x) : half(static_cast<float>(x)) {}
    explicit half(int x) : half(static_cast<float>(x)) {}
    explicit half(unsigned x) : half(static_cast<float>(x)) {}
    explicit half(long long x) : half(static_cast<float>(x)) {}
    explicit half(unsigned long long x) : half(static_cast<float>(x)) {}
    explicit half(const __half_raw& raw) : bits(raw.x) {}
    operator float() const { return half_to_float(bits); }
    operator __half_raw() const { return {bits}; }
};
inline unsigned short __half_as_ushort(half x) { return x.bits; }
inline half __ushort_as_half(unsigned short x) { return half(__half_raw{x}); }
