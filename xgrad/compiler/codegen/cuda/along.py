"""Kernels along lines: cumulative sums and products, argmax, argmin, and sorting.

One thread accumulates or sorts a line, element by element, in NumPy's order. The largest element of a line
does not depend on the order, so a warp searches for it, or a block if the line is long.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ...lowering import along
from ...lowering.along import lines
from ...lowering.plan import Buffer, Call, Map
from ...lowering.views import loop_axes
from .elements import Axis, Pointers, decoded, element
from .expressions import COMPUTED, literal
from .maps import LONG, THREADS, Kernel, indented, index_type, one_by_one, signature

#: The longest lines that one thread accumulates, and that one block searches.
LONGEST_SUM, LONGEST_CHOICE = 1024, 65536

ALONG = r"""
// Cumulative sums and products, from `total` on.
struct Added {
    template <class T> __device__ __forceinline__ T operator()(T x, T y) const { return added(x, y); }
};
struct Multiplied {
    template <class T> __device__ __forceinline__ T operator()(T x, T y) const { return multiplied(x, y); }
};
template <int n, class F, class T, class S>
__device__ __forceinline__ void accumulate(
    F f, S total, const T* x, long long along, S* out, long long step) {
    for (int i = 0; i < n; ++i) {
        total = f(total, static_cast<S>(x[i * along]));
        out[i * step] = total;
    }
}

// Whether x is larger than y, or smaller; NaN is better than any number.
template <bool largest, class T> __device__ __forceinline__ bool better(T x, T y) {
    return (largest ? x > y : x < y) || (x != x && y == y);
}

// The best element so far, and where it is: of equal ones the first.
template <bool largest, class T> struct Best {
    T value;
    int place;
    __device__ __forceinline__ void meet(T x, int i) {
        if (better<largest>(x, value) || (!better<largest>(value, x) && i < place)) {
            value = x;
            place = i;
        }
    }
    __device__ __forceinline__ void over_warp() {
#pragma unroll
        for (int apart = 16; apart > 0; apart /= 2) {
            const T x = __shfl_xor_sync(0xffffffffu, value, apart);
            meet(x, __shfl_xor_sync(0xffffffffu, place, apart));
        }
    }
    // Of a block of so many threads; `shared` holds one for each warp.
    template <int threads> __device__ __forceinline__ void over_block(Best* shared) {
        over_warp();
        if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = *this;
        __syncthreads();
#pragma unroll
        for (int warp = 0; warp < threads / 32; ++warp) meet(shared[warp].value, shared[warp].place);
        __syncthreads();
    }
};

// Where the elements of a line are in their order, by insertion; equal ones stay as they are, and NaN is the
// largest.
template <bool down, class T> __device__ __forceinline__ bool comes_first(T x, T y) {
    return down ? better<true>(x, y) : x < y || (y != y && x == x);
}
template <bool down, int n, class T>
__device__ __forceinline__ void sort_places(const T* x, long long along, int (&places)[n]) {
    T sorted[n];
    for (int i = 0; i < n; ++i) {
        const T value = x[i * along];
        int j = i;
        for (; j > 0 && comes_first<down>(value, sorted[j - 1]); --j) {
            sorted[j] = sorted[j - 1];
            places[j] = places[j - 1];
        }
        sorted[j] = value;
        places[j] = i;
    }
}
"""


#: The dtypes that elements are added and compared in.
_COMPARED = frozenset(("float32", "float64", "int32", "int64"))


def can_accumulate(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether one thread per line can accumulate."""
    return along.can_accumulate(call, dtypes, _COMPARED) and lines(call).length <= LONGEST_SUM


def can_choose(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether one block per line can search."""
    return along.can_choose(call, dtypes, _COMPARED) and lines(call).length <= LONGEST_CHOICE


def can_sort(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether one thread per line can sort."""
    return along.can_sort(call, dtypes, _COMPARED)


class _Lines:
    """The lines of a call, and the code that their kernels share."""

    def __init__(self, call: Call, buffers: Sequence[Buffer]) -> None:
        self.lines = lines(call)
        x, out, axis = self.lines
        self.length, self.count = self.lines.length, prod(self.lines.shape)
        self.pointers = Pointers(buffers)
        self.pointers.take([x], [out])
        self.dtype, self.new = self.pointers.dtype(x), self.pointers.dtype(out)
        sizes, strides = loop_axes(self.lines.shape, list(self.lines.strides()))
        self.axes = [Axis(n, f"i{a}", tuple(s[a] for s in strides)) for a, n in enumerate(sizes)]
        self.kind = index_type(self.count * max(self.length, 1), [x, out])
        self.along = f"{x.strides[axis]}LL"
        self.step = f"{out.strides[axis]}LL" if len(out.shape) == len(x.shape) else ""

    def decoded(self, source: str, body: Sequence[str]) -> list[str]:
        """Prefix `body` with pointers `x` and `out` to the start of a line and of its result."""
        x, out, _ = self.lines
        begin = [
            f"const auto x = {element(self.pointers, self.axes, 0, x)};",
            f"const auto out = {element(self.pointers, self.axes, 1, out)};",
        ]
        return decoded(self.axes, source, self.kind, [*begin, *body])

    def by_thread(self, body: Sequence[str]) -> list[Map | Kernel]:
        """Return the kernel with one thread per line."""
        if not self.count:
            return []
        return [one_by_one(self.pointers, ["// along", *self.decoded("e", body)], self.kind, self.count)]


def accumulate(call: Call, buffers: Sequence[Buffer]) -> list[Map | Kernel]:
    """out[i] = out[i - 1] op x[i], starting with the initial 0 or 1 if that is included."""
    of = _Lines(call, buffers)
    function, first = ("Added()", 0) if call.op == "cumulative_sum" else ("Multiplied()", 1)
    start = literal(first, of.new)
    initial = of.lines.out.shape[of.lines.axis] == of.length + 1
    return of.by_thread(
        [
            *(["*out = " + start + ";"] if initial else []),
            f"accumulate<{of.length}>({function}, {start}, x, {of.along}, "
            f"out{f' + {of.step}' if initial else ''}, {of.step});",
        ]
    )


def choose(call: Call, buffers: Sequence[Buffer]) -> list[Map | Kernel]:
    """Return the index of the first best element; NaN is better than any number."""
    of = _Lines(call, buffers)
    team = THREADS if of.length >= LONG else 32
    teams, best = THREADS // team, f"Best<{literal(call.op == 'argmax', 'bool')}, {COMPUTED[of.dtype]}>"
    over = "over_warp()" if team == 32 else f"over_block<{team}>(reinterpret_cast<{best}*>(memory))"
    body = [
        f"{best} best = {{*x, 0}};",
        f"for (int i = threadIdx.x; i < {of.length}; i += {team}) best.meet(x[i * {of.along}], i);",
        f"best.{over};",
        "if (threadIdx.x == 0) *out = best.place;",
    ]
    text = [
        signature(of.pointers, THREADS, ["long long lines"]) + " {",
        "    // along",
        *(["    DYNAMIC_SHARED(memory);"] if team != 32 else []),
        f"    for ({of.kind} line = blockIdx.x * {teams} + threadIdx.y; line < lines; line += gridDim.x * "
        f"{teams}) {{",
        *indented(of.decoded("line", body), 2),
        "    }",
        "}",
    ]
    shared = 0 if team == 32 else 16 * (team // 32)
    refs = tuple(of.pointers.refs)
    return [Kernel("\n".join(text), refs, (of.count,), of.count, teams, (team, teams), shared)]


def sort(call: Call, buffers: Sequence[Buffer]) -> list[Map | Kernel]:
    """Sort the elements of each line, or return their indices in sorted order."""
    of = _Lines(call, buffers)
    if not of.length:
        return []
    found = "places[i]" if call.op == "argsort" else f"x[places[i] * {of.along}]"
    return of.by_thread(
        [
            f"int places[{of.length}];",
            f"sort_places<{literal(call.params['descending'], 'bool')}>(x, {of.along}, places);",
            f"for (int i = 0; i < {of.length}; ++i) out[i * {of.step}] = {found};",
        ]
    )
