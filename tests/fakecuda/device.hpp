// The devices of the stand-in, for its parts: streams that run at once what they are asked, or keep it while
// they are captured.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <stdlib.h>

#include <functional>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

namespace fake {

// An H100.
constexpr int processors = 132, shared_memory = 232448, assured_shared_memory = 49152;
constexpr size_t total_memory = size_t(1) << 34;

struct Graph {
    std::vector<std::function<void()>> nodes;
};

struct Stream {
    int device;
    unsigned flags;
    int priority;
    Graph* graph;  // what it is captured in, or null
};

inline int devices() {
    const char* told = getenv("FAKE_DEVICES");
    return told ? atoi(told) : 1;
}

struct Thread {
    int device;
    bool context;
};
Thread& thread();  // this one's current device, and whether anything has made a context for it

Stream* stream_of(void* handle);

extern bool kernel_failed;  // of those that a graph has launched, since it was looked at

// Does it now, or with each launch of the graph that the stream is captured in.
template <class Work> void enqueue(void* handle, Work work) {
    Stream* stream = stream_of(handle);
    if (stream->graph)
        stream->graph->nodes.push_back(work);
    else
        work();
}

}  // namespace fake

// For the other libraries: as `enqueue`, of a function and what it takes.
API void fake_enqueue(void* stream, void (*work)(void*), void* data);
