// Threads of a grid as fibers of one thread of the host: what they are, and how one waits for others. Who runs when is in launch.cpp.
#pragma once

#include "fibers.hpp"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <string>
#include <vector>

struct uint3 { unsigned x, y, z; };

// What the scheduler knows is launch.cpp's, which may be a library that many kernels share.
#ifdef EMULATED_SHARED
#define EMULATED_STATE extern __attribute__((visibility("default")))
#else
#define EMULATED_STATE extern
#endif

// Those of the thread that runs.
EMULATED_STATE uint3 threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;

namespace emulated {

struct Block;
struct Warp;

struct Fiber {
    Context context;
    unsigned char* stack;
    uint3 thread;
    Block* block;
    Warp* warp;
    unsigned lane;
    bool returned;
    const char* waits_at;  // the function it waits in
    int line;
    unsigned mask;  // of the lanes that are to come to the collective it waits in
    void* data;     // what it brings to it
};

struct Barrier {
    size_t size;
    std::vector<Fiber*> here;
};

struct Warp {
    unsigned lanes, waiting;
    Fiber* fiber[32];
};

struct Block {
    uint3 index;
    unsigned char* shared;
    Barrier barrier;
    Barrier* cluster;
    std::vector<unsigned char> memory;
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
};

constexpr unsigned char undefined = 0xff;  // shared memory before it is written: NaN in every format

EMULATED_STATE Fiber* current;
EMULATED_STATE Context scheduler;
EMULATED_STATE std::vector<Fiber*> ready, spinning;
EMULATED_STATE uint64_t events;  // whatever may end somebody's waiting
EMULATED_STATE unsigned polls;   // of counters, since the last switch
EMULATED_STATE std::string failure;

inline std::string format(const char* form, ...) {
    char text[512];
    va_list rest;
    va_start(rest, form);
    vsnprintf(text, sizeof text, form, rest);
    va_end(rest);
    return text;
}

inline std::string name(const uint3& at) { return format("(%u, %u, %u)", at.x, at.y, at.z); }

inline void suspend() { switch_to(current->context, scheduler); }

// Ends the launch, on behalf of the thread that runs.
[[noreturn]] inline void fail(int line, const std::string& what) {
    failure = "thread " + name(current->thread) + " of block " + name(current->block->index);
    if (line) failure += format(", line %d", line);
    failure += ": " + what;
    for (;;) suspend();
}

inline void release(const std::vector<Fiber*>& those) {
    ++events;
    for (Fiber* fiber : those) {
        fiber->waits_at = nullptr;
        ready.push_back(fiber);
    }
}

// All threads of a block, or of a cluster, come before one goes on. Within a block they come to the same place: what else happens is undefined.
inline void wait_at(Barrier& barrier, const char* what, int line) {
    if (!barrier.here.empty()) {
        Fiber* other = barrier.here[0];
        if (other->block == current->block && other->line != line)
            fail(line, format("comes to %s while thread ", what) + name(other->thread) + format(" waits at that of line %d", other->line));
    }
    current->waits_at = what;
    current->line = line;
    barrier.here.push_back(current);
    if (barrier.here.size() == barrier.size) {
        release(barrier.here);
        barrier.here.clear();
    }
    suspend();
}

using Exchange = void (*)(const Warp& warp, unsigned mask);

// All lanes of the mask come with their data; the last of them does the exchange for all.
inline void collective(const char* what, int line, unsigned mask, void* data, Exchange exchange) {
    Warp& warp = *current->warp;
    mask &= warp.lanes;
    if (!(mask >> current->lane & 1)) fail(line, format("calls %s with the mask %#x, which leaves out its own lane %u", what, mask, current->lane));
    current->waits_at = what;
    current->line = line;
    current->mask = mask;
    current->data = data;
    warp.waiting |= 1u << current->lane;
    if ((warp.waiting & mask) == mask) {
        for (unsigned lane = 0; lane < 32; ++lane) {
            if (!(mask >> lane & 1)) continue;
            const Fiber& other = *warp.fiber[lane];
            if (other.line != line || other.mask != mask || strcmp(other.waits_at, what) != 0)
                fail(line, format("comes to %s with mask %#x while lane %u of its warp is at %s of line %d with mask %#x", what, mask, lane, other.waits_at, other.line, other.mask));
        }
        if (exchange) exchange(warp, mask);
        warp.waiting &= ~mask;
        ++events;
        for (unsigned lane = 0; lane < 32; ++lane) {
            if (!(mask >> lane & 1)) continue;
            warp.fiber[lane]->waits_at = nullptr;
            ready.push_back(warp.fiber[lane]);
        }
    }
    suspend();
}

}  // namespace emulated
