"""Plans, the input of code generators: buffers, and the items that work on them, in order.

A plan consists of plain numbers, without names or arrays. It is what a `Program` becomes once every value has
a place in memory. `codegen/llvm/plan.py` writes it as one native function, `codegen/cuda/schedule.py` as CUDA
kernels, `codegen/numpy/plan.py` as Python that calls NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

from ...backends.schedules import Buffer as Buffer
from ...ops import Op

Number = int | float | bool

#: Bytes per element.
SIZES = {
    "bool": 1,
    **{f"{sign}int{bits}": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
}
#: How each reduction folds elements; the last three fold booleans.
FOLDS = {
    **{kind: kind for kind in ("sum", "prod", "max", "min")},
    "any": "max",
    "all": "min",
    "count_nonzero": "sum",
}
OF_TRUTHS = frozenset(("any", "all", "count_nonzero"))


def start(kind: str, dtype: str) -> Number:
    """The start of a fold of this kind, and its result when there are no elements."""
    whole, low = dtype.startswith(("int", "uint")), kind == "max"
    if kind in ("sum", "prod"):
        one = kind == "prod"
        return int(one) if whole else bool(one) if dtype == "bool" else float(one)
    if dtype == "bool":
        return not low
    if not whole:
        return -inf if low else inf
    bits = 8 * SIZES[dtype]
    if dtype.startswith("uint"):
        return 0 if low else (1 << bits) - 1
    return -(1 << bits - 1) if low else (1 << bits - 1) - 1


class Unsupported(NotImplementedError):
    """Raised for a program, or a part of one, that an executor cannot run."""


class Target(NamedTuple):
    """What an executor has kernels for.

    `primitives` are the functions available to elementwise ops, `dtypes` those that maps compute in, and
    `held` the further dtypes that buffers may have. `write(op, args, dtype)` writes an elementwise op of
    operands of these dtypes, or numbers, and raises Unsupported if that is impossible. `folds` maps each kind
    of reduction and result dtype to the dtype of the accumulator, and `products` does the same for matrix
    products. `kernel(call, dtypes)` says whether there is a kernel for a call with these argument and result
    dtypes.
    """

    primitives: frozenset[str]
    dtypes: frozenset[str]
    held: frozenset[str]
    write: Callable[[str, tuple[Any, ...], str], object]
    folds: Mapping[str, Mapping[str, str]]
    products: Mapping[str, str]
    kernel: Callable[[Any, tuple[Any, ...]], bool] = lambda call, dtypes: False

    def knows(self, op: Op) -> bool:
        """Whether each primitive of the op is available, for some dtype at least."""
        return op.kernel.scalar is not None and op.kernel.primitives <= self.primitives

    def computes(self, op: str, args: tuple[Any, ...], dtype: str) -> bool:
        """Whether a map can compute an op of operands of these dtypes, or numbers, with that result dtype."""
        if not {dtype, *(a for a in args if type(a) is str)} <= self.dtypes or complex in map(type, args):
            return False
        return _can_write(self.write, op, tuple((type(a), a) for a in args), dtype)


@lru_cache(4096)
def _can_write(write: Callable[..., object], op: str, args: tuple[tuple[type, Any], ...], dtype: str) -> bool:
    try:
        write(op, tuple(a for _, a in args), dtype)
    except Unsupported:
        return False
    return True


class Ref(NamedTuple):
    """A view of a buffer, in elements.

    Element (i, j, ...) at steps (t, u, ...) of the enclosing loops, outermost first, is at
    offset + t * steps[0] + u * steps[1] + ... + i * strides[0] + j * strides[1] + ...
    """

    buffer: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    steps: tuple[int, ...] = ()


class Step(NamedTuple):
    """One elementwise op on the values of a map.

    Each of `args` is the number of a value or, where `literal` says so, a literal number.
    """

    value: int
    op: str
    args: tuple[Number, ...]
    literal: tuple[bool, ...]
    dtype: str


class Reduction(NamedTuple):
    """`value` folded by "sum", "prod", "max" or "min" over the axes along which `out` has stride 0.

    `out` is overwritten.
    """

    value: int
    kind: str
    out: Ref


class Map(NamedTuple):
    """For every index of `shape`: load, compute, store.

    All refs have this shape, with stride 0 where they broadcast.

    Any two refs of one map are equal or do not overlap.
    """

    shape: tuple[int, ...]
    loads: tuple[tuple[int, Ref], ...]
    steps: tuple[Step, ...]
    stores: tuple[tuple[int, Ref], ...]
    reductions: tuple[Reduction, ...] = ()


class Gemm(NamedTuple):
    """out = a @ b, or out += a @ b, for (M, K) and (K, N), or stacks of them in a first axis.

    Each matrix has stride 1 along one of its two axes; `out` along its last. `packed` is a buffer with b in
    the order in which the product reads it, made by a `Pack`.
    """

    out: Ref
    a: Ref
    b: Ref
    accumulate: bool
    packed: int | None = None


class Call(NamedTuple):
    """An op that is neither a map nor a product: outs = op(*args, **params).

    Each of `args` is a view or a number; `source` is the user's line. The array library computes the call if
    the executor has no `kernel` for it.
    """

    op: str
    params: Mapping[str, Any]
    args: tuple[Ref | Number, ...]
    outs: tuple[Ref, ...]
    source: str = ""
    kernel: bool = False


class Loop(NamedTuple):
    """`body` for t = 0, 1, ..., length - 1, or with `reverse` for t = length - 1, ..., 0."""

    length: int
    reverse: bool
    body: tuple[Any, ...]


class Pack(NamedTuple):
    """The matrix `b` that a loop multiplies by at every step, copied in the order in which it is read."""

    packed: int
    b: Ref


class Rows(NamedTuple):
    """Items whose rows are independent: each thread runs them, loops with all their steps, for some rows.

    In each item, the rows are the first axis that is longer than 1; with `columns`, they are the columns of a
    product. There are `number` of them. `work` is the number of floating-point operations, and `pieces` how
    many parts to give a thread, one after the other.
    """

    number: int
    work: int
    pieces: int
    body: tuple[Loop | Map | Gemm, ...]
    columns: bool = False


class Plan(NamedTuple):
    """Buffers, and the maps, products, calls and loops to run on them in order."""

    buffers: tuple[Buffer, ...]
    body: tuple[Map | Gemm | Call | Loop | Pack | Rows, ...]
