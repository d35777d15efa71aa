"""Views of buffers: how transposing, slicing and reshaping change strides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any

from .plan import Call, Gemm, Loop, Map, Pack, Ref


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a contiguous array."""
    return tuple(prod(shape[a + 1 :]) for a in range(len(shape)))


def contiguous(buffer: int, shape: tuple[int, ...], depth: int = 0) -> Ref:
    """Return the view of a whole buffer."""
    return Ref(buffer, 0, shape, row_major(shape), (0,) * depth)


def is_contiguous(ref: Ref) -> bool:
    """Whether the view is contiguous."""
    return all(s == r or n == 1 for n, s, r in zip(ref.shape, ref.strides, row_major(ref.shape)))


def transposed(ref: Ref, axes: Sequence[int]) -> Ref:
    """Permute the axes."""
    return ref._replace(shape=tuple(ref.shape[a] for a in axes), strides=tuple(ref.strides[a] for a in axes))


def sliced(ref: Ref, ranges: Sequence[tuple[int, int]]) -> Ref:
    """Slice every axis from a start to a stop."""
    offset = ref.offset + sum(start * s for (start, _), s in zip(ranges, ref.strides))
    return ref._replace(offset=offset, shape=tuple(stop - start for start, stop in ranges))


def part(whole: Ref, shape: tuple[int, ...], axis: int, at: int) -> Ref:
    """Return the part of this shape that starts at `at` along `axis`."""
    return sliced(whole, [(at, at + n) if a == axis else (0, n) for a, n in enumerate(shape)])


def reshaped(ref: Ref, shape: tuple[int, ...]) -> Ref | None:
    """Reshape a view, or return None if that needs a copy."""
    if -1 in shape:
        rest = prod(n for n in shape if n != -1)
        shape = tuple(prod(ref.shape) // max(rest, 1) if n == -1 else n for n in shape)
    if prod(ref.shape) == 0:
        return ref._replace(shape=shape, strides=row_major(shape))
    old = [(n, s) for n, s in zip(ref.shape, ref.strides) if n != 1]
    strides: list[int] = []
    # the number of elements left in the current run of old axes, and the stride outside of it
    at, left, stride = 0, 1, 0
    for n in shape:
        if n == 1:
            strides.append(0)
            continue
        if left == 1:
            if at == len(old):
                return None
            left, _ = old[at]
            last = at
            # a run of old axes that are contiguous with each other
            while last + 1 < len(old) and old[last][1] == old[last + 1][0] * old[last + 1][1]:
                last += 1
                left *= old[last][0]
            stride = old[last][1]
            at = last + 1
        if left % n:
            return None
        left //= n
        strides.append(stride * left)
    return ref._replace(shape=shape, strides=tuple(strides)) if left == 1 and at == len(old) else None


def may_overlap(a: Ref, b: Ref) -> bool:
    """Whether two views may share an element at the same steps of the enclosing loops.

    Errs on the side of True.
    """
    if a.buffer != b.buffer or not prod(a.shape) or not prod(b.shape):
        return False
    if a.steps != b.steps:
        return True
    (low, along), (other, beside) = _from_lowest(a), _from_lowest(b)
    if low + _reach(along) < other or other + _reach(beside) < low:
        return False
    # offsets as mixed-radix numbers with the strides as radices: views that differ in one digit are disjoint
    strides = sorted({1, *along, *beside}, reverse=True)
    if any(larger % smaller for larger, smaller in pairwise(strides)):
        return True
    first, second = _digits(low, along, strides), _digits(other, beside, strides)
    if first is None or second is None:
        return True
    return all(start < end and begin < stop for (start, stop), (begin, end) in zip(first, second))


def _from_lowest(ref: Ref) -> tuple[int, dict[int, int]]:
    """Return the lowest offset of a view, and its extent along each stride, all positive."""
    offset, along = ref.offset, dict[int, int]()
    for n, s in zip(ref.shape, ref.strides):
        if n > 1 and s:
            offset += (n - 1) * min(s, 0)
            # two axes with the same stride reach as far as one long axis
            along[abs(s)] = along.get(abs(s), 1) + n - 1
    return offset, along


def _reach(along: dict[int, int]) -> int:
    return sum((n - 1) * s for s, n in along.items())


def _digits(offset: int, along: dict[int, int], strides: Sequence[int]) -> list[tuple[int, int]] | None:
    """Return the ranges of the digits of a view's offsets; None if a digit overflows into the next."""
    ranges: list[tuple[int, int]] = []
    radix = None
    for s in strides:
        digit, offset = divmod(offset, s)
        end = digit + along.get(s, 1)
        if radix is not None and end > radix // s:
            return None
        ranges.append((digit, end))
        radix = s
    return ranges


def refs(item: Any) -> tuple[list[Ref], list[Ref]]:
    """Return the refs that an item of a plan reads, and those that it writes."""
    if isinstance(item, Map):
        return [r for _, r in item.loads], [r for _, r in item.stores] + [r.out for r in item.reductions]
    if isinstance(item, Gemm):
        return [item.a, item.b], [item.out]
    if isinstance(item, Call):
        return [r for r in item.args if isinstance(r, Ref)], list(item.outs)
    if isinstance(item, Pack):
        return [item.b], []
    inner = [refs(i) for i in item.body]
    return [r for reads, _ in inner for r in reads], [w for _, writes in inner for w in writes]


def with_refs(m: Map, of: Callable[[Ref], Ref]) -> Map:
    """Return the map with `of` applied to each of its refs."""
    reductions = tuple(r._replace(out=of(r.out)) for r in m.reductions)
    return m._replace(
        loads=tuple((v, of(r)) for v, r in m.loads),
        stores=tuple((v, of(r)) for v, r in m.stores),
        reductions=reductions,
    )


def renamed(item: Any, old: int, new: int, offset: int = 0) -> Any:
    """Return the item with one buffer replaced by another, from `offset` on."""

    def of(ref: Ref) -> Ref:
        return ref._replace(buffer=new, offset=ref.offset + offset) if ref.buffer == old else ref

    if isinstance(item, Map):
        return with_refs(item, of)
    if isinstance(item, Gemm):
        return item._replace(out=of(item.out), a=of(item.a), b=of(item.b))
    if isinstance(item, Call):
        args = tuple(of(r) if isinstance(r, Ref) else r for r in item.args)
        return item._replace(args=args, outs=tuple(map(of, item.outs)))
    assert isinstance(item, Loop)
    return item._replace(body=tuple(renamed(i, old, new, offset) for i in item.body))


def product_can_read(ref: Ref) -> bool:
    """Whether a matrix product can read the view in place: stride 1 along one of the last two axes."""
    if len(ref.shape) < 2:
        return not ref.shape or ref.strides[-1] == 1 or ref.shape[-1] == 1
    rows, columns = ref.strides[-2:]
    m, n = ref.shape[-2:]
    if columns == 1 or n == 1:
        return (rows >= n or m == 1) and (len(ref.shape) <= 3 or reshaped(ref, (-1, n)) is not None)
    return (rows == 1 or m == 1) and columns >= m and len(ref.shape) <= 3


def product_can_write(ref: Ref) -> bool:
    """Whether a matrix product can write to the view: contiguous rows that do not overlap."""
    reach = 1
    for axis, (n, s) in enumerate(zip(reversed(ref.shape), reversed(ref.strides))):
        if n > 1 and (s != 1 if axis == 0 else s < reach):
            return False
        reach += (n - 1) * s
    return True


def at_every_step(ref: Ref) -> Ref:
    """Return the memory that the view covers in two steps of the innermost enclosing loop."""
    return ref._replace(shape=(2, *ref.shape), strides=(abs(ref.steps[-1]), *ref.strides))


def broadcast(ref: Ref, shape: tuple[int, ...]) -> Ref:
    """Broadcast the view to a larger shape, with stride 0 where it repeats."""
    missing = len(shape) - len(ref.shape)
    strides = (0,) * missing + tuple(0 if n == 1 else s for n, s in zip(ref.shape, ref.strides))
    return ref._replace(shape=shape, strides=strides)


def with_axis(ref: Ref, axis: int) -> Ref:
    """Insert an axis of length 1 before `axis`."""
    stride = 1 if axis == len(ref.shape) else ref.strides[axis] * ref.shape[axis]
    return ref._replace(
        shape=(*ref.shape[:axis], 1, *ref.shape[axis:]),
        strides=(*ref.strides[:axis], max(stride, 1), *ref.strides[axis:]),
    )


def index(ref: Ref, axis: int, i: int) -> Ref:
    """Return the i-th slice along an axis."""
    shape, strides = ((*of[:axis], *of[axis + 1 :]) for of in (ref.shape, ref.strides))
    return ref._replace(offset=ref.offset + i * ref.strides[axis], shape=shape, strides=strides)


def slots(ref: Ref, start: int, stop: int) -> Ref:
    """Return the slices from `start` to `stop` along the first axis."""
    return ref._replace(offset=ref.offset + start * ref.strides[0], shape=(stop - start, *ref.shape[1:]))


def stepping(ref: Ref) -> Ref:
    """Return the slice of `ref` at the current step of one more loop."""
    return ref._replace(shape=ref.shape[1:], strides=ref.strides[1:], steps=(*ref.steps, ref.strides[0]))


def viewed(ref: Ref, key: Any) -> Ref:
    """Return `ref[key]` for a key of numbers, slices and new axes."""
    key = key if isinstance(key, tuple) else (key,)
    used = sum(k is not None and k is not Ellipsis for k in key)
    at = key.index(Ellipsis) if Ellipsis in key else len(key)
    key = (*key[:at], *(slice(None),) * (len(ref.shape) - used), *key[at + 1 :])
    offset, shape, strides, axis = ref.offset, [], [], 0
    for k in key:
        if k is None:
            shape.append(1)
            strides.append(0)
            continue
        n, s = ref.shape[axis], ref.strides[axis]
        if isinstance(k, int):
            offset += (k % n) * s
        else:
            start, stop, step = k.indices(n)
            count = len(range(start, stop, step))
            offset += start * s if count else 0
            shape.append(count)
            strides.append(s * step)
        axis += 1
    return ref._replace(offset=offset, shape=tuple(shape), strides=tuple(strides))


def _joined(shape: tuple[int, ...], strides: Sequence[tuple[int, ...]]) -> list[tuple[int, tuple[int, ...]]]:
    """Merge contiguous axes and drop those of length 1: the lengths, and each ref's strides."""
    axes: list[tuple[int, tuple[int, ...]]] = []
    for n, along in zip(shape, zip(*strides) if strides else [()] * len(shape)):
        if n == 1:
            continue
        if axes and all(before == n * s for before, s in zip(axes[-1][1], along)):
            axes[-1] = (axes[-1][0] * n, along)
        else:
            axes.append((n, along))
    return axes


def joined_axes(
    shape: tuple[int, ...], strides: Sequence[tuple[int, ...]]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Merge contiguous axes and drop those of length 1, keeping the order.

    Returns the shape, and each ref's strides.
    """
    axes = _joined(shape, strides)
    return tuple(n for n, _ in axes), [tuple(along[i] for _, along in axes) for i in range(len(strides))]


def loop_axes(
    shape: tuple[int, ...], strides: list[tuple[int, ...]]
) -> tuple[list[int], list[tuple[int, ...]]]:
    """Choose the axes to loop over: contiguous axes merged, the axis for vectors last.

    Returns them with each ref's strides along them. There is always at least one axis, if only of length 1.
    """
    axes = _joined(shape, strides) or [(1, (1,) * len(strides))]
    axes.append(axes.pop(_best_for_vectors(axes)))
    return [n for n, _ in axes], [tuple(along[i] for _, along in axes) for i in range(len(strides))]


def place_of_first(shape: tuple[int, ...], strides: list[tuple[int, ...]]) -> int:
    """Return which of the `loop_axes` contains the first axis that is longer than 1."""
    axes = _joined(shape, strides)
    return len(axes) - 1 if not axes or _best_for_vectors(axes) == 0 else 0


def _best_for_vectors(axes: Sequence[tuple[int, tuple[int, ...]]]) -> int:
    """Return the axis along which most refs are contiguous, of these the innermost."""
    return max(range(len(axes)), key=lambda i: (axes[i][1].count(1), i))


def leading(ref: Ref) -> tuple[bool, int]:
    """Return whether a matrix is transposed, and its leading dimension.

    BLAS requires the leading dimension to be at least the length of a contiguous row.
    """
    (rows, columns), (down, right) = ref.shape[-2:], ref.strides[-2:]
    if right == 1 or (columns == 1 and down != 1):
        return False, max(1, columns, down if rows > 1 else 0)
    return True, max(1, rows, right if columns > 1 else 0)
