// The CUDA runtime, on the host: its memory is the host's, streams run at once, what is captured is kept and
// done again at each launch.
#include "device.hpp"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <map>
#include <mutex>

using fake::enqueue;
using fake::Graph;
using fake::Stream;
using fake::stream_of;

namespace {

struct Event {
    int device;
    double milliseconds;
};
struct Block {
    size_t size;
    int device;
};

// Never destroyed, as memory is still freed when the process ends.
std::mutex& lock = *new std::mutex;
std::map<char*, Block>& blocks = *new std::map<char*, Block>;
thread_local fake::Thread this_thread;
thread_local cudaError_t last_error = cudaSuccess;
Stream legacy[16], per_thread[16];

cudaError_t failed(cudaError_t error) { return last_error = error; }
cudaError_t checked(bool right, cudaError_t error) { return right ? cudaSuccess : failed(error); }

cudaError_t allocate(void** address, size_t size) {
    this_thread.context = true;
    size_t padded = size + 512;
    if (size > fake::total_memory || posix_memalign(address, 512, padded))
        return failed(cudaErrorMemoryAllocation);
    memset(*address, 0xff, padded < (1 << 26) ? padded : 1 << 26);  // NaN, whatever it is read as
    std::lock_guard<std::mutex> alone(lock);
    blocks[static_cast<char*>(*address)] = {padded, this_thread.device};
    return cudaSuccess;
}

cudaError_t copy(void* to, const void* from, size_t size, cudaStream_t stream) {
    enqueue(stream, [=] { memmove(to, from, size); });
    return cudaSuccess;
}

void copy_rows(void* to, size_t pitch, const void* from, size_t from_pitch, size_t width, size_t height) {
    for (size_t i = 0; i < height; ++i)
        memmove(static_cast<char*>(to) + i * pitch, static_cast<const char*>(from) + i * from_pitch, width);
}

double now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

}  // namespace

namespace fake {

bool kernel_failed;

Thread& thread() { return this_thread; }

Stream* stream_of(void* handle) {
    auto number = reinterpret_cast<uintptr_t>(handle);
    if (number > 2) return static_cast<Stream*>(handle);
    Stream* own = (number == 2 ? per_thread : legacy) + this_thread.device;
    own->device = this_thread.device;
    return own;
}

}  // namespace fake

API void fake_enqueue(void* stream, void (*work)(void*), void* data) {
    enqueue(stream, [=] { work(data); });
}

// Errors and versions

API const char* cudaGetErrorName(cudaError_t error) {
    static thread_local char text[64];
    snprintf(text, sizeof text, "cudaError %d", static_cast<int>(error));
    return text;
}
API const char* cudaGetErrorString(cudaError_t) { return "as the stand-in for CUDA has it"; }
API cudaError_t cudaGetLastError() {
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}
API cudaError_t cudaDriverGetVersion(int* version) {
    *version = 13000;
    return cudaSuccess;
}
API cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = 13000;
    return cudaSuccess;
}

// Devices

API cudaError_t cudaGetDevice(int* device) {
    *device = this_thread.device;
    return cudaSuccess;
}
API cudaError_t cudaSetDevice(int device) {
    if (device < 0 || device >= fake::devices()) return failed(cudaErrorInvalidDevice);
    this_thread = {device, true};
    return cudaSuccess;
}
API cudaError_t cudaGetDeviceCount(int* count) {
    *count = fake::devices();
    return cudaSuccess;
}
API cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    switch (attribute) {
        case cudaDevAttrComputeCapabilityMajor:
            *value = 9;
            break;
        case cudaDevAttrComputeCapabilityMinor:
            *value = 0;
            break;
        case cudaDevAttrMultiProcessorCount:
            *value = fake::processors;
            break;
        case cudaDevAttrWarpSize:
            *value = 32;
            break;
        case cudaDevAttrMaxThreadsPerBlock:
            *value = 1024;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlock:
            *value = fake::assured_shared_memory;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
            *value = fake::shared_memory;
            break;
        case cudaDevAttrMaxGridDimX:
            *value = 2147483647;
            break;
        default:
            *value = 1;
    }
    return cudaSuccess;
}
API cudaError_t cudaDeviceGetPCIBusId(char* text, int size, int device) {
    snprintf(text, size, "0000:%02x:00.0", device);
    return cudaSuccess;
}
API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* found, int device) {
    if (device < 0 || device >= fake::devices()) return failed(cudaErrorInvalidDevice);
    memset(found, 0, sizeof *found);
    strcpy(found->name, "Stand-in for an H100");
    found->major = 9;
    found->multiProcessorCount = fake::processors;
    found->sharedMemPerBlock = fake::assured_shared_memory;
    found->sharedMemPerBlockOptin = fake::shared_memory;
    found->maxThreadsPerMultiProcessor = 2048;
    found->maxThreadsPerBlock = 1024;
    found->regsPerMultiprocessor = 65536;
    found->warpSize = 32;
    found->totalGlobalMem = fake::total_memory;
    return cudaSuccess;
}
API cudaError_t cudaDeviceSynchronize() {
    this_thread.context = true;
    return cudaSuccess;
}
API cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
    *can = 1;
    return cudaSuccess;
}
API cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) { return cudaSuccess; }
API cudaError_t cudaDeviceDisablePeerAccess(int) { return cudaSuccess; }

// Memory

API cudaError_t cudaMalloc(void** address, size_t size) { return allocate(address, size); }
API cudaError_t cudaMallocManaged(void** address, size_t size, unsigned) { return allocate(address, size); }
API cudaError_t cudaMallocAsync(void** address, size_t size, cudaStream_t) { return allocate(address, size); }
API cudaError_t cudaHostAlloc(void** address, size_t size, unsigned) {
    this_thread.context = true;
    return checked(!posix_memalign(address, 512, size + 512), cudaErrorMemoryAllocation);
}
API cudaError_t cudaFree(void* address) {
    std::lock_guard<std::mutex> alone(lock);
    blocks.erase(static_cast<char*>(address));
    free(address);
    return cudaSuccess;
}
API cudaError_t cudaFreeAsync(void* address, cudaStream_t) { return cudaFree(address); }
API cudaError_t cudaFreeHost(void* address) {
    free(address);
    return cudaSuccess;
}
API cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
    this_thread.context = true;
    *available = *total = fake::total_memory;
    return cudaSuccess;
}
API cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind) {
    return copy(to, from, size, nullptr);
}
API cudaError_t cudaMemcpyAsync(
    void* to, const void* from, size_t size, cudaMemcpyKind, cudaStream_t stream) {
    return copy(to, from, size, stream);
}
API cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, size_t size) {
    return copy(to, from, size, nullptr);
}
API cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t size, cudaStream_t stream) {
    return copy(to, from, size, stream);
}
API cudaError_t cudaMemcpy2D(void* to, size_t pitch, const void* from, size_t from_pitch, size_t width,
    size_t height, cudaMemcpyKind) {
    copy_rows(to, pitch, from, from_pitch, width, height);
    return cudaSuccess;
}
API cudaError_t cudaMemcpy2DAsync(void* to, size_t pitch, const void* from, size_t from_pitch, size_t width,
    size_t height, cudaMemcpyKind, cudaStream_t stream) {
    enqueue(stream, [=] { copy_rows(to, pitch, from, from_pitch, width, height); });
    return cudaSuccess;
}
API cudaError_t cudaMemset(void* to, int value, size_t size) {
    memset(to, value, size);
    return cudaSuccess;
}
API cudaError_t cudaMemsetAsync(void* to, int value, size_t size, cudaStream_t stream) {
    enqueue(stream, [=] { memset(to, value, size); });
    return cudaSuccess;
}
API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* address) {
    memset(found, 0, sizeof *found);
    auto at = static_cast<char*>(const_cast<void*>(address));
    std::lock_guard<std::mutex> alone(lock);
    auto next = blocks.upper_bound(at);
    bool ours = next != blocks.begin() && at < std::prev(next)->first + std::prev(next)->second.size;
    found->type = ours ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
    found->device = ours ? std::prev(next)->second.device : -2;
    found->devicePointer = ours ? at : nullptr;
    return cudaSuccess;
}

// Streams. One that is captured does not run, so nobody can wait for it.

API cudaError_t cudaStreamCreateWithPriority(cudaStream_t* made, unsigned flags, int priority) {
    this_thread.context = true;
    *made = reinterpret_cast<cudaStream_t>(new Stream{this_thread.device, flags, priority, nullptr});
    return cudaSuccess;
}
API cudaError_t cudaStreamCreateWithFlags(cudaStream_t* made, unsigned flags) {
    return cudaStreamCreateWithPriority(made, flags, 0);
}
API cudaError_t cudaStreamCreate(cudaStream_t* made) { return cudaStreamCreateWithPriority(made, 0, 0); }
API cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
    *flags = stream_of(stream)->flags;
    return cudaSuccess;
}
API cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
    *priority = stream_of(stream)->priority;
    return cudaSuccess;
}
API cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream_of(stream);
    return cudaSuccess;
}
API cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    return checked(!stream_of(stream)->graph, cudaErrorStreamCaptureUnsupported);
}
API cudaError_t cudaStreamQuery(cudaStream_t stream) {
    return checked(!stream_of(stream)->graph, cudaErrorStreamCaptureUnsupported);
}
API cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t call, void* data, unsigned) {
    call(stream, cudaSuccess, data);
    return cudaSuccess;
}
API cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t call, void* data) {
    enqueue(stream, [=] { call(data); });
    return cudaSuccess;
}
API cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }

// Graphs

API cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    Stream* that = stream_of(stream);
    bool can = reinterpret_cast<uintptr_t>(stream) > 1 && !that->graph;
    if (can) that->graph = new Graph;
    return checked(can, cudaErrorStreamCaptureUnsupported);
}
API cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* found) {
    Stream* that = stream_of(stream);
    *found = reinterpret_cast<cudaGraph_t>(that->graph);
    that->graph = nullptr;
    return checked(*found, cudaErrorIllegalState);
}
API cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    *status = stream_of(stream)->graph ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
API cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
    *made = reinterpret_cast<cudaGraphExec_t>(new Graph(*reinterpret_cast<Graph*>(graph)));
    return cudaSuccess;
}
API cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    fake::kernel_failed = false;
    enqueue(stream, [=] {
        for (const auto& work : reinterpret_cast<Graph*>(graph)->nodes) work();
    });
    return checked(!fake::kernel_failed, cudaErrorLaunchFailure);
}
API cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
API cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete reinterpret_cast<Graph*>(graph);
    return cudaSuccess;
}
API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    delete reinterpret_cast<Graph*>(graph);
    return cudaSuccess;
}

// Events

API cudaError_t cudaEventCreateWithFlags(cudaEvent_t* made, unsigned) {
    this_thread.context = true;
    *made = reinterpret_cast<cudaEvent_t>(new Event{this_thread.device, 0});
    return cudaSuccess;
}
API cudaError_t cudaEventCreate(cudaEvent_t* made) { return cudaEventCreateWithFlags(made, 0); }
API cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete reinterpret_cast<Event*>(event);
    return cudaSuccess;
}
API cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    auto that = reinterpret_cast<Event*>(event);
    that->milliseconds = now();
    return checked(that->device == stream_of(stream)->device, cudaErrorInvalidResourceHandle);
}
API cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
    *milliseconds = static_cast<float>(
        reinterpret_cast<Event*>(to)->milliseconds - reinterpret_cast<Event*>(from)->milliseconds);
    return cudaSuccess;
}
API cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
API cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
API cudaError_t cudaProfilerStart() { return cudaSuccess; }
API cudaError_t cudaProfilerStop() { return cudaSuccess; }
