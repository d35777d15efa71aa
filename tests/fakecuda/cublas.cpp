// cuBLAS's products, on the host and on the stream of their handle: each in the arithmetic that is asked for,
// checked as cuBLAS checks.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <complex>
#include <functional>
#include <type_traits>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))
extern "C" void fake_enqueue(void* stream, void (*work)(void*), void* data);

namespace {

enum Status { success = 0, invalid_value = 7, not_supported = 15 };
enum Type { float32 = 0, float64 = 1, float16 = 2, complex64 = 4, complex128 = 5, bfloat16 = 14 };
enum Compute {
    in_16f = 64,
    in_32f = 68,
    in_32f_pedantic = 69,
    in_64f = 70,
    in_64f_pedantic = 71,
    in_bf16 = 75,
    in_tf32 = 77
};

struct Handle {
    void* stream;
    int pointer_mode, math_mode;
};

void enqueue(const Handle* handle, std::function<void()> work) {  // which is kept, as a graph may do it again
    fake_enqueue(
        handle->stream, [](void* data) { (*static_cast<std::function<void()>*>(data))(); },
        new std::function<void()>(std::move(work)));
}

uint32_t bits(float x) {
    uint32_t b;
    memcpy(&b, &x, 4);
    return b;
}
float number(uint32_t b) {
    float x;
    memcpy(&x, &b, 4);
    return x;
}
uint32_t to_bfloat16(uint32_t b) {
    return (b & 0x7fffffff) > 0x7f800000 ? b | 0x400000 : b + 0x7fff + (b >> 16 & 1);
}

struct BFloat16 {
    uint16_t x;
    BFloat16(float f) : x(static_cast<uint16_t>(to_bfloat16(bits(f)) >> 16)) {}
    operator float() const { return number(static_cast<uint32_t>(x) << 16); }
};
using Float16 = _Float16;

// A float32 operand as tensor cores take it.
float rounded(float x, int compute) {
    if (compute == in_tf32) return number((bits(x) + 0x1000) & 0xffffe000);
    return compute == in_bf16 ? number(to_bfloat16(bits(x)) & 0xffff0000) : x;
}
template <class T> T rounded(T x, int) { return x; }

float conjugate(float x) { return x; }
double conjugate(double x) { return x; }
template <class T> std::complex<T> conjugate(std::complex<T> x) { return std::conj(x); }

// Matrices by columns: as they are (0), transposed (1), or conjugated too (2).
struct Matrix {
    const void* data;
    int type;
    long long lead, apart;
    int op;
};

template <class Wide, class Stored>
std::vector<Wide> rows(const Matrix& of, int i, int height, int width, int compute) {
    auto data = static_cast<const Stored*>(of.data) + of.apart * i;
    std::vector<Wide> found(static_cast<size_t>(height) * width);
    for (int r = 0; r < height; ++r)
        for (int c = 0; c < width; ++c) {
            Wide x = static_cast<Wide>(data[of.op ? c + r * of.lead : r + c * of.lead]);
            found[static_cast<size_t>(r) * width + c] = rounded(of.op == 2 ? conjugate(x) : x, compute);
        }
    return found;
}

struct Product {
    int m, n, k, count, compute;
    Matrix a, b;
    void* c;
    long long lead, apart;
};

template <class Wide, class In, class Out>
Status multiply(const Handle* handle, const Product& p, Wide alpha, Wide beta) {
    enqueue(handle, [=] {
        Matrix across = p.b;
        across.op = p.b.op ? 0 : 1;
        for (int i = 0; i < p.count; ++i) {
            auto a = rows<Wide, In>(p.a, i, p.m, p.k, p.compute),
                 b = rows<Wide, In>(across, i, p.n, p.k, p.compute);
            Out* c = static_cast<Out*>(p.c) + p.apart * i;
            for (int column = 0; column < p.n; ++column)
                for (int row = 0; row < p.m; ++row) {
                    Wide sum = 0;
                    for (int l = 0; l < p.k; ++l) {
                        Wide y = b[static_cast<size_t>(column) * p.k + l];
                        sum += a[static_cast<size_t>(row) * p.k + l] * (p.b.op == 2 ? conjugate(y) : y);
                    }
                    Out& z = c[row + column * p.lead];
                    z = static_cast<Out>(
                        beta == Wide(0) ? alpha * sum : alpha * sum + beta * static_cast<Wide>(z));
                }
        }
    });
    return success;
}

template <class T> T at(const void* address) { return *static_cast<const T*>(address); }

// In any types that CuPy or xgrad asks for; `alpha` and `beta` are of the type of the sums.
Status product(const Handle* handle, const Product& p, const void* alpha, const void* beta, int out) {
    auto too_short = [](const Matrix& x, int height, int width) {
        return x.lead < std::max(1, x.op ? width : height);
    };
    if (p.m < 0 || p.n < 0 || p.k < 0 || p.count < 0 || p.a.type != p.b.type) return invalid_value;
    if (too_short(p.a, p.m, p.k) || too_short(p.b, p.k, p.n) || p.lead < std::max(1, p.m))
        return invalid_value;
    using std::complex;
    bool wide = p.compute == in_64f || p.compute == in_64f_pedantic;
    if (wide && p.a.type == float64 && out == float64)
        return multiply<double, double, double>(handle, p, at<double>(alpha), at<double>(beta));
    if (wide && p.a.type == complex128 && out == complex128)
        return multiply<complex<double>, complex<double>, complex<double>>(
            handle, p, at<complex<double>>(alpha), at<complex<double>>(beta));
    if (wide) return not_supported;
    if (p.a.type == complex64 && out == complex64)
        return multiply<complex<float>, complex<float>, complex<float>>(
            handle, p, at<complex<float>>(alpha), at<complex<float>>(beta));
    bool half = p.compute == in_16f;
    float x = half ? static_cast<float>(at<Float16>(alpha)) : at<float>(alpha),
          y = half ? static_cast<float>(at<Float16>(beta)) : at<float>(beta);
    if (half && (p.a.type != float16 || out != float16)) return not_supported;
    if (p.a.type == float32 && out == float32) return multiply<float, float, float>(handle, p, x, y);
    if (p.a.type == float16 && out == float16) return multiply<float, Float16, Float16>(handle, p, x, y);
    if (p.a.type == float16 && out == float32) return multiply<float, Float16, float>(handle, p, x, y);
    if (p.a.type == bfloat16 && out == bfloat16) return multiply<float, BFloat16, BFloat16>(handle, p, x, y);
    if (p.a.type == bfloat16 && out == float32) return multiply<float, BFloat16, float>(handle, p, x, y);
    return not_supported;
}

}  // namespace

API int cublasCreate_v2(Handle** made) {
    *made = new Handle{};
    return success;
}
API int cublasDestroy_v2(Handle* handle) {
    delete handle;
    return success;
}
API int cublasSetStream_v2(Handle* handle, void* stream) {
    handle->stream = stream;
    return success;
}
API int cublasGetStream_v2(const Handle* handle, void** stream) {
    *stream = handle->stream;
    return success;
}
API int cublasSetWorkspace_v2(Handle*, void* workspace, size_t) {
    return reinterpret_cast<uintptr_t>(workspace) % 256 ? invalid_value : success;
}
API int cublasSetPointerMode_v2(Handle* handle, int mode) {
    handle->pointer_mode = mode;
    return success;
}
API int cublasGetPointerMode_v2(const Handle* handle, int* mode) {
    *mode = handle->pointer_mode;
    return success;
}
API int cublasSetMathMode(Handle* handle, int mode) {
    handle->math_mode = mode;
    return success;
}
API int cublasGetMathMode(const Handle* handle, int* mode) {
    *mode = handle->math_mode;
    return success;
}
API int cublasGetVersion_v2(const Handle*, int* version) {
    *version = 130000;
    return success;
}

API int cublasGemmStridedBatchedEx(const Handle* handle, int op_a, int op_b, int m, int n, int k,
    const void* alpha, const void* a, int type_a, int lda, long long step_a, const void* b, int type_b,
    int ldb, long long step_b, const void* beta, void* c, int type_c, int ldc, long long step_c, int count,
    int compute, int) {
    Product p{m, n, k, count, compute, {a, type_a, lda, step_a, op_a}, {b, type_b, ldb, step_b, op_b}, c, ldc,
        step_c};
    return product(handle, p, alpha, beta, type_c);
}
API int cublasGemmEx(const Handle* handle, int op_a, int op_b, int m, int n, int k, const void* alpha,
    const void* a, int type_a, int lda, const void* b, int type_b, int ldb, const void* beta, void* c,
    int type_c, int ldc, int compute, int algo) {
    return cublasGemmStridedBatchedEx(handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, 0, b, type_b, ldb,
        0, beta, c, type_c, ldc, 0, 1, compute, algo);
}
API int cublasSgemmEx(const Handle* handle, int op_a, int op_b, int m, int n, int k, const void* alpha,
    const void* a, int type_a, int lda, const void* b, int type_b, int ldb, const void* beta, void* c,
    int type_c, int ldc) {
    return cublasGemmEx(
        handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, b, type_b, ldb, beta, c, type_c, ldc, in_32f, 0);
}

// The plain ones: one product, and a stack of them by addresses.
template <int type, int compute>
int plain(const Handle* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
    int lda, const void* b, int ldb, const void* beta, void* c, int ldc) {
    return cublasGemmEx(
        handle, op_a, op_b, m, n, k, alpha, a, type, lda, b, type, ldb, beta, c, type, ldc, compute, 0);
}
#define PLAIN(letter, type, compute)                                                                       \
    API int cublas##letter##gemm_v2(const Handle* handle, int op_a, int op_b, int m, int n, int k,         \
        const void* alpha, const void* a, int lda, const void* b, int ldb, const void* beta, void* c,      \
        int ldc) {                                                                                         \
        return plain<type, compute>(handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);     \
    }                                                                                                      \
    API int cublas##letter##gemmBatched(const Handle* handle, int op_a, int op_b, int m, int n, int k,     \
        const void* alpha, const void* const* a, int lda, const void* const* b, int ldb, const void* beta, \
        void* const* c, int ldc, int count) {                                                              \
        int status = success;                                                                              \
        for (int i = 0; i < count && !status; ++i)                                                         \
            status = plain<type, compute>(                                                                 \
                handle, op_a, op_b, m, n, k, alpha, a[i], lda, b[i], ldb, beta, c[i], ldc);                \
        return status;                                                                                     \
    }
PLAIN(S, float32, in_32f)
PLAIN(D, float64, in_64f)
PLAIN(C, complex64, in_32f)
PLAIN(Z, complex128, in_64f)
