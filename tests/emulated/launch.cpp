// A launch: blocks and threads are run in an order drawn from a seed, each until it has to wait for others. Compiled once, linked to every kernel.
#include "scheduler.hpp"

#include <setjmp.h>
#include <signal.h>

#include <memory>
#include <utility>

#if defined(__x86_64__)
asm(R"(
    .text
    .p2align 4
    .globl emulated_switch
)"
#ifndef EMULATED_SHARED
    ".hidden emulated_switch\n"
#endif
R"(
    .type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulated_switch, . - emulated_switch
)");

#endif

uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {

Fiber* current;
Context scheduler;
std::vector<Fiber*> ready, spinning;
uint64_t events;
unsigned polls;
std::string failure;

namespace {

constexpr size_t guard = 1024;  // bytes before and behind shared memory that nobody may write
constexpr unsigned char untouched = 0xa5;

uint64_t random_state;
void (*kernel)(void**);
void** arguments;
size_t shared_size;
sigjmp_buf on_signal;
size_t kept_threads;   // whose stacks are kept for the next launch
bool returned_arrive;  // whether a thread that has returned counts at a barrier, as it does on a GPU

size_t draw(size_t below) {
    uint64_t z = (random_state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return static_cast<size_t>((static_cast<unsigned __int128>(z ^ (z >> 31)) * below) >> 64);
}

// The bottom of every fiber.
void body() {
    kernel(arguments);
    current->returned = true;
    ++events;
    Barrier& barrier = current->block->barrier;
    if (returned_arrive && --barrier.size && barrier.here.size() == barrier.size) {
        release(barrier.here);
        barrier.here.clear();
    }
    for (;;) suspend();
}

// What waits for what, when nobody can go on.
std::string deadlock(const std::vector<Block>& blocks) {
    std::string text = "deadlock:";
    unsigned told = 0;
    for (const Block& block : blocks) {
        size_t returned = 0;
        std::vector<std::pair<std::string, size_t>> places;
        for (const Fiber& fiber : block.fibers) {
            if (fiber.returned) { ++returned; continue; }
            std::string place = format("%s of line %d", fiber.waits_at, fiber.line);
            size_t i = 0;
            while (i < places.size() && places[i].first != place) ++i;
            if (i == places.size()) places.emplace_back(place, 0);
            ++places[i].second;
        }
        if (places.empty()) continue;
        if (++told > 4) return text + " and more blocks";
        text += " in block " + name(block.index) + format(" of %zu threads", block.fibers.size());
        for (const auto& [place, count] : places) text += format(" %zu wait at ", count) + place + ",";
        text += format(" %zu have returned;", returned);
    }
    text.pop_back();
    return text;
}

// Runs all fibers of the blocks to their ends.
void run(std::vector<Block>& blocks) {
    ready.clear();
    spinning.clear();
    for (Block& block : blocks)
        for (Fiber& fiber : block.fibers) ready.push_back(&fiber);
    uint64_t seen = events;
    int idle_rounds = 0;
    for (;;) {
        // Who spins looks again when something has happened, or nobody else can run. Flags set by plain stores are no events: hence several rounds.
        if (!spinning.empty() && (events != seen || ready.empty())) {
            if (events != seen) idle_rounds = 0;
            else if (++idle_rounds > 64) { failure = deadlock(blocks); return; }
            seen = events;
            ready.insert(ready.end(), spinning.begin(), spinning.end());
            spinning.clear();
        }
        if (ready.empty()) break;
        size_t i = draw(ready.size());
        current = ready[i];
        ready[i] = ready.back();
        ready.pop_back();
        threadIdx = current->thread;
        blockIdx = current->block->index;
        polls = 0;
        switch_to(scheduler, current->context);
        if (!failure.empty()) return;
        if (*reinterpret_cast<const uint64_t*>(current->stack) != stack_mark) {
            failure = "thread " + name(current->thread) + " of block " + name(current->block->index) + format(" needs more than %zu bytes of stack", stack_size);
            return;
        }
    }
    for (const Block& block : blocks)
        for (const Fiber& fiber : block.fibers)
            if (!fiber.returned) { failure = deadlock(blocks); return; }
}

void check_guards(const Block& block) {
    for (size_t i = 0; i < guard; ++i) {
        if (block.shared[shared_size + i] != untouched) {
            failure = "block " + name(block.index) + format(" has written shared memory %zu bytes behind its %zu", i, shared_size);
            return;
        }
        if (block.shared[-1 - static_cast<ptrdiff_t>(i)] != untouched) {
            failure = "block " + name(block.index) + format(" has written shared memory %zu bytes before its beginning", i + 1);
            return;
        }
    }
}

// A block before its first instruction. Its memory is kept from one block to the next.
void begin(Block& block, const Stacks& stacks, size_t first) {
    size_t count = static_cast<size_t>(blockDim.x) * blockDim.y * blockDim.z;
    block.memory.assign(shared_size + 2 * guard + 128, untouched);
    block.shared = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(block.memory.data()) + guard + 127) & ~uintptr_t(127));
    memset(block.shared, undefined, shared_size);
    block.barrier.size = count;
    block.barrier.here.clear();
    block.fibers.resize(count);
    block.warps.assign((count + 31) / 32, Warp{});
    for (size_t i = 0; i < count; ++i) {
        Fiber& fiber = block.fibers[i];
        fiber.stack = stacks[first + i];
        *reinterpret_cast<uint64_t*>(fiber.stack) = stack_mark;
        prepare(fiber.context, fiber.stack, body);
        unsigned n = static_cast<unsigned>(i);
        fiber.thread = {n % blockDim.x, n / blockDim.x % blockDim.y, n / blockDim.x / blockDim.y};
        fiber.block = &block;
        fiber.warp = &block.warps[i / 32];
        fiber.lane = n % 32;
        fiber.returned = false;
        fiber.waits_at = nullptr;
        fiber.warp->lanes |= 1u << fiber.lane;
        fiber.warp->fiber[fiber.lane] = &fiber;
    }
}

// The stacks of a launch: those of the last one, where it is told to keep them and they suffice.
std::shared_ptr<Stacks> stacks_for(size_t count) {
    if (count > kept_threads) return std::make_shared<Stacks>(count);
    static auto kept = std::make_shared<Stacks>(kept_threads);
    return kept;
}

void signalled(int) { siglongjmp(on_signal, 1); }

// Turns a crash of the kernel into a failure of the launch.
struct Signals {
    static constexpr int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction before[4];
    stack_t stack_before;
    std::vector<unsigned char> stack = std::vector<unsigned char>(64 * 1024);
    Signals() {
        stack_t own{};
        own.ss_sp = stack.data();
        own.ss_size = stack.size();
        sigaltstack(&own, &stack_before);
        struct sigaction action{};
        action.sa_handler = signalled;
        action.sa_flags = SA_ONSTACK;
        for (int i = 0; i < 4; ++i) sigaction(numbers[i], &action, &before[i]);
    }
    ~Signals() {
        for (int i = 0; i < 4; ++i) sigaction(numbers[i], &before[i], nullptr);
        sigaltstack(&stack_before, nullptr);
    }
};

// False if a signal ended it.
__attribute__((noinline)) bool run_to_signal(std::vector<Block>& blocks) {
    if (sigsetjmp(on_signal, 1)) return false;
    run(blocks);
    return true;
}

void launch(bool together, unsigned cluster) {
    size_t count = static_cast<size_t>(gridDim.x) * gridDim.y * gridDim.z, threads = static_cast<size_t>(blockDim.x) * blockDim.y * blockDim.z;
    std::vector<size_t> order(count);
    for (size_t i = 0; i < count; ++i) order[i] = i;
    for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[draw(i)]);
    size_t alive = together ? count : 1;
    auto stacks = stacks_for(alive * threads);
    if (!stacks->memory) { failure = "no memory for the stacks"; return; }
    std::vector<Block> blocks(alive);
    std::vector<Barrier> clusters(cluster ? count / cluster : 0);
    for (Barrier& barrier : clusters) barrier.size = cluster * threads;
    Signals signals;
    for (size_t done = 0; done < count && failure.empty(); done += alive) {
        for (size_t i = 0; i < alive; ++i) {
            size_t at = order[done + i];
            Block& block = blocks[i];
            block.index = {static_cast<unsigned>(at % gridDim.x), static_cast<unsigned>(at / gridDim.x % gridDim.y), static_cast<unsigned>(at / gridDim.x / gridDim.y)};
            block.cluster = &clusters[at / cluster];
            begin(block, *stacks, i * threads);
        }
        if (!run_to_signal(blocks)) failure = "thread " + name(current->thread) + " of block " + name(current->block->index) + ": crashed at a bad address";
        for (const Block& block : blocks)
            if (failure.empty()) check_guards(block);
    }
}

}  // namespace
}  // namespace emulated

// For kernels that are not ours, and of which there are many: threads that have returned count at barriers, on which such kernels rely,
// and the stacks of so many threads are kept from launch to launch. Called before the first.
extern "C" __attribute__((visibility("default"))) void emulated_for_others(size_t threads) {
    emulated::kept_threads = threads;
    emulated::returned_arrive = true;
}

// Returns what went wrong, or null.
extern "C" __attribute__((visibility("default"))) const char* emulated_launch(
    void (*kernel)(void**), void** arguments, const unsigned* grid, const unsigned* block, size_t shared, int together, unsigned cluster, uint64_t seed) {
    emulated::kernel = kernel;
    emulated::arguments = arguments;
    emulated::shared_size = shared;
    emulated::random_state = seed * 0xd1342543de82ef95 + 1;
    emulated::failure.clear();
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    emulated::launch(together != 0, cluster);
    return emulated::failure.empty() ? nullptr : emulated::failure.c_str();
}

// What the compiler's own checks call: the first thing they hand over is a place in the text.
struct Place { const char* file; unsigned line, column; };
[[noreturn]] static void checked(const void* place, const char* what) { emulated::fail(static_cast<int>(static_cast<const Place*>(place)->line), what); }
#define EMULATED_CHECK(name, what, ...) \
    extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_##name(void* place, ##__VA_ARGS__) { checked(place, what); }
EMULATED_CHECK(type_mismatch_v1, "uses an address that is not aligned for its type", void*)
EMULATED_CHECK(out_of_bounds, "an index out of the bounds of its array", void*)
EMULATED_CHECK(add_overflow, "a signed sum overflows", void*, void*)
EMULATED_CHECK(sub_overflow, "a signed difference overflows", void*, void*)
EMULATED_CHECK(mul_overflow, "a signed product overflows", void*, void*)
EMULATED_CHECK(negate_overflow, "a signed negation overflows", void*)
EMULATED_CHECK(divrem_overflow, "an integer division by zero, or one that overflows", void*, void*)
EMULATED_CHECK(shift_out_of_bounds, "a shift by more bits than there are", void*, void*)
#undef EMULATED_CHECK
