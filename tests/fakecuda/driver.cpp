// The CUDA driver, on the host: a module is a library of emulated kernels, and a launch runs one on fibres
// (tests/emulated).
#include "device.hpp"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <memory>
#include <mutex>
#include <string>

namespace {

// An image is text: the path of a library, then a line for each kernel: its name, the blocks of its clusters,
// the threads it may have.
struct Module {
    void* library;
    std::string image;
};

using Call = void (*)(void**);
using Launch = const char* (*)(
    Call, void**, const unsigned*, const unsigned*, size_t, int, unsigned, uint64_t);

struct Function {
    std::string name;
    Call call;
    Launch launch;
    const char* (*signature)();
    unsigned cluster, threads;
    size_t shared;
};

std::mutex one_at_a_time;  // the emulator has one scheduler, and handlers of signals
thread_local std::string launch_error;
uint64_t launches;

void* found(const Module* module, const std::string& name) { return dlsym(module->library, name.c_str()); }

// What a launch needs, with its arguments copied: the signature has a letter and the bytes of each, a pointer
// has none.
struct Prepared {
    Function* function;
    unsigned grid[3], block[3];
    size_t shared;
    bool together;
    std::vector<std::unique_ptr<char, void (*)(void*)>> kept;
    std::vector<void*> arguments;

    void copy(void** given) {
        for (const char* at = function->signature(); *at; at = strchr(at, ' ') + 1) {
            size_t size = *at == 'p' ? sizeof(void*) : static_cast<size_t>(atoi(at + 1));
            auto own = static_cast<char*>(aligned_alloc(64, (size + 63) / 64 * 64));
            kept.emplace_back(own, free);
            arguments.push_back(memcpy(own, given[arguments.size()], size));
        }
    }

    bool run(void** given) {
        const char* most = getenv("FAKE_LAUNCHES");  // after which each fails, as on a GPU that is broken
        if (most && launches >= strtoul(most, nullptr, 10)) return false;
        std::lock_guard<std::mutex> alone(one_at_a_time);
        const Function& f = *function;
        const char* wrong =
            f.launch(f.call, given, grid, block, shared, together || f.cluster > 1, f.cluster, ++launches);
        if (wrong) fprintf(stderr, "%s\n", (launch_error = f.name + ": " + wrong).c_str());
        return !wrong;
    }
};

CUresult refusal(const Function& f, const unsigned* grid, const unsigned* block, size_t shared,
    fake::Stream* stream, bool together) {
    unsigned threads = block[0] * block[1] * block[2];
    size_t blocks = size_t(grid[0]) * grid[1] * grid[2];
    if (!fake::thread().context) return CUDA_ERROR_INVALID_CONTEXT;
    if (stream->device != fake::thread().device) return CUDA_ERROR_INVALID_HANDLE;
    if (!blocks || !threads || threads > f.threads || grid[1] > 65535 || grid[2] > 65535 || shared > f.shared)
        return CUDA_ERROR_INVALID_VALUE;
    if (grid[0] % f.cluster) return CUDA_ERROR_INVALID_CLUSTER_SIZE;
    if (together && blocks > fake::processors) return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
    return CUDA_SUCCESS;
}

CUresult launch(CUfunction handle, const unsigned (&grid)[3], const unsigned (&block)[3], size_t shared,
    CUstream stream, void** arguments, bool together) {
    auto function = reinterpret_cast<Function*>(handle);
    fake::Stream* on = fake::stream_of(stream);
    CUresult refused = refusal(*function, grid, block, shared, on, together);
    if (refused) return refused;
    auto made = std::make_shared<Prepared>();
    made->function = function;
    memcpy(made->grid, grid, sizeof grid);
    memcpy(made->block, block, sizeof block);
    made->shared = shared;
    made->together = together;
    if (!on->graph) return made->run(arguments) ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
    made->copy(arguments);
    fake::enqueue(stream, [=] {
        if (!made->run(made->arguments.data())) fake::kernel_failed = true;
    });
    return CUDA_SUCCESS;
}

}  // namespace

API uint64_t fake_launches() { return launches; }

API CUresult cuGetErrorName(CUresult error, const char** text) {
    static thread_local char own[64];
    snprintf(own, sizeof own, "CUDA_ERROR %d", static_cast<int>(error));
    *text = own;
    return CUDA_SUCCESS;
}
API CUresult cuGetErrorString(CUresult error, const char** text) {
    *text = error == CUDA_ERROR_LAUNCH_FAILED ? launch_error.c_str() : "as the stand-in for CUDA has it";
    return CUDA_SUCCESS;
}
API CUresult cuDriverGetVersion(int* version) {
    *version = 13000;
    return CUDA_SUCCESS;
}
API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
API CUresult cuCtxGetCurrent(CUcontext* context) {
    *context = reinterpret_cast<CUcontext>(
        static_cast<intptr_t>(fake::thread().context ? fake::thread().device + 1 : 0));
    return CUDA_SUCCESS;
}
API CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }
API CUresult cuCtxGetDevice(CUdevice* device) {
    *device = fake::thread().device;
    return CUDA_SUCCESS;
}
API CUresult cuStreamGetCtx(CUstream, CUcontext* context) { return cuCtxGetCurrent(context); }

API CUresult cuModuleLoadData(CUmodule* made, const void* image) {
    if (!fake::thread().context) return CUDA_ERROR_INVALID_CONTEXT;
    auto text = static_cast<const char*>(image);
    std::string path(text, strcspn(text, "\n"));
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "%s\n", dlerror());
    *made = reinterpret_cast<CUmodule>(new Module{library, text});
    return library ? CUDA_SUCCESS : CUDA_ERROR_INVALID_IMAGE;
}
API CUresult cuModuleUnload(CUmodule module) {
    delete reinterpret_cast<Module*>(module);
    return CUDA_SUCCESS;
}  // a graph may still need the library
API CUresult cuModuleGetFunction(CUfunction* made, CUmodule handle, const char* name) {
    auto module = reinterpret_cast<Module*>(handle);
    size_t at = module->image.find(std::string("\n") + name + " ");
    if (at == std::string::npos) return CUDA_ERROR_NOT_FOUND;
    auto function = new Function{name, nullptr, nullptr, nullptr, 1, 1024, fake::assured_shared_memory};
    sscanf(module->image.c_str() + at + 1, "%*s %u %u", &function->cluster, &function->threads);
    function->call = reinterpret_cast<Call>(found(module, "emulated_call_" + function->name));
    function->signature =
        reinterpret_cast<const char* (*)()>(found(module, "emulated_signature_" + function->name));
    void* own = found(module, "emulated_launch");  // as our kernels have; CuPy's share one
    function->launch = reinterpret_cast<Launch>(own ? own : dlsym(RTLD_DEFAULT, "emulated_launch"));
    *made = reinterpret_cast<CUfunction>(function);
    return CUDA_SUCCESS;
}

API CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
    unsigned bz, unsigned shared, CUstream stream, void** arguments, void**) {
    return launch(f, {gx, gy, gz}, {bx, by, bz}, shared, stream, arguments, false);
}
API CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
    unsigned by, unsigned bz, unsigned shared, CUstream stream, void** arguments) {
    return launch(f, {gx, gy, gz}, {bx, by, bz}, shared, stream, arguments, true);
}
API CUresult cuFuncGetAttribute(int* value, CUfunction_attribute, CUfunction) {
    *value = 64;
    return CUDA_SUCCESS;
}
API CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute attribute, int value) {
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_SUCCESS;
    if (value > fake::shared_memory) return CUDA_ERROR_INVALID_VALUE;
    reinterpret_cast<Function*>(f)->shared = static_cast<size_t>(value);
    return CUDA_SUCCESS;
}
API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* count, CUfunction, int, size_t) {
    *count = 1;
    return CUDA_SUCCESS;
}
API CUresult cuOccupancyMaxPotentialBlockSize(
    int* grid, int* block, CUfunction, CUoccupancyB2DSize, size_t, int) {
    *grid = fake::processors;
    *block = 256;
    return CUDA_SUCCESS;
}
