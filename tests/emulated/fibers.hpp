// Stacks of one's own for many threads, and the step from one to another: what the scheduler is made of.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulated {

constexpr size_t stack_size = 64 * 1024;
// Stacks a power of two apart would all fall into the same lines of the caches.
constexpr size_t stack_stride = stack_size + 5 * 64;
constexpr uint64_t stack_mark = 0x5ca1ab1e0ddba115;

// Below the first stack, so that one that overflows does not run into memory of somebody else.
constexpr size_t stack_guard = 1024 * 1024;

// Memory for the stacks of `count` threads; a page costs nothing before it is touched.
struct Stacks {
    unsigned char* memory;
    size_t size;
    explicit Stacks(size_t count) : size(stack_guard + count * stack_stride + 64) {
        void* got = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        memory = got == MAP_FAILED || mprotect(got, stack_guard, PROT_NONE) ? nullptr : static_cast<unsigned char*>(got);
    }
    ~Stacks() { if (memory) munmap(memory, size); }
    Stacks(const Stacks&) = delete;
    Stacks& operator=(const Stacks&) = delete;
    unsigned char* operator[](size_t i) const { return memory + stack_guard + i * stack_stride; }
};

#if defined(__x86_64__)

// Where a thread goes on: what it must find again lies on its stack.
struct Context { void* stack_pointer; };

extern "C" void emulated_switch(void** from, void* to);  // in launch.cpp
inline void prepare(Context& context, unsigned char* stack, void (*entry)()) {
    auto top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + stack_size) & ~uintptr_t(15));
    top[-1] = nullptr;  // nobody to return to
    top[-2] = reinterpret_cast<void*>(entry);
    context.stack_pointer = top - 8;  // six registers, whatever is in them
}
inline void switch_to(Context& from, Context& to) { emulated_switch(&from.stack_pointer, to.stack_pointer); }

#else

struct Context { ucontext_t context; };

inline void prepare(Context& context, unsigned char* stack, void (*entry)()) {
    getcontext(&context.context);
    context.context.uc_stack.ss_sp = stack;
    context.context.uc_stack.ss_size = stack_size;
    context.context.uc_link = nullptr;
    makecontext(&context.context, entry, 0);
}
inline void switch_to(Context& from, Context& to) { swapcontext(&from.context, &to.context); }

#endif

}  // namespace emulated
