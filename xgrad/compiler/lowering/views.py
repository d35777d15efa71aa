"""Views of buffers: what transposing, slicing and reshaping do to strides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any

from .plan import Call, Gemm, Loop, Map, Ref


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a contiguous array."""
    return tuple(prod(shape[a + 1 :]) for a in range(len(shape)))


def contiguous(buffer: int, shape: tuple[int, ...], depth: int = 0) -> Ref:
    """A whole buffer."""
    return Ref(buffer, 0, shape, row_major(shape), (0,) * depth)


def is_contiguous(ref: Ref) -> bool:
    """Whether its elements lie one after the other."""
    return all(s == r or n == 1 for n, s, r in zip(ref.shape, ref.strides, row_major(ref.shape)))


def transposed(ref: Ref, axes: Sequence[int]) -> Ref:
    """The axes in another order."""
    return ref._replace(shape=tuple(ref.shape[a] for a in axes), strides=tuple(ref.strides[a] for a in axes))


def sliced(ref: Ref, ranges: Sequence[tuple[int, int]]) -> Ref:
    """A start and a stop along every axis."""
    offset = ref.offset + sum(start * s for (start, _), s in zip(ranges, ref.strides))
    return ref._replace(offset=offset, shape=tuple(stop - start for start, stop in ranges))


def reshaped(ref: Ref, shape: tuple[int, ...]) -> Ref | None:
    """The same elements in another shape, None where they would have to move."""
    if -1 in shape:
        rest = prod(n for n in shape if n != -1)
        shape = tuple(prod(ref.shape) // max(rest, 1) if n == -1 else n for n in shape)
    if prod(ref.shape) == 0:
        return ref._replace(shape=shape, strides=row_major(shape))
    old = [(n, s) for n, s in zip(ref.shape, ref.strides) if n != 1]
    strides: list[int] = []
    # how many elements of the current run of old axes are left, and the stride outside of them
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
            # a run of old axes that are one behind the other in memory
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
    """Whether two views may have an element in common, at the same turns of the loops around them.

    In doubt they may.
    """
    if a.buffer != b.buffer or not prod(a.shape) or not prod(b.shape):
        return False
    if a.steps != b.steps:
        return True
    (low, along), (other, beside) = _from_lowest(a), _from_lowest(b)
    if low + _reach(along) < other or other + _reach(beside) < low:
        return False
    # as numbers with mixed radices, which the strides are: apart are views that are apart in one digit
    strides = sorted({1, *along, *beside}, reverse=True)
    if any(larger % smaller for larger, smaller in pairwise(strides)):
        return True
    first, second = _digits(low, along, strides), _digits(other, beside, strides)
    if first is None or second is None:
        return True
    return all(start < end and begin < stop for (start, stop), (begin, end) in zip(first, second))


def _from_lowest(ref: Ref) -> tuple[int, dict[int, int]]:
    """The lowest offset of a view, and how many elements it has along each stride, all positive."""
    offset, along = ref.offset, dict[int, int]()
    for n, s in zip(ref.shape, ref.strides):
        if n > 1 and s:
            offset += (n - 1) * min(s, 0)
            # two axes of one stride reach as far as one long one
            along[abs(s)] = along.get(abs(s), 1) + n - 1
    return offset, along


def _reach(along: dict[int, int]) -> int:
    return sum((n - 1) * s for s, n in along.items())


def _digits(offset: int, along: dict[int, int], strides: Sequence[int]) -> list[tuple[int, int]] | None:
    """The digits that the offsets of a view have, as ranges; None where one runs over into the next."""
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
    """What an item of a plan reads, and what it writes."""
    if isinstance(item, Map):
        return [r for _, r in item.loads], [r for _, r in item.stores] + [r.out for r in item.reductions]
    if isinstance(item, Gemm):
        return [item.a, item.b], [item.out]
    if isinstance(item, Call):
        return [r for r in item.args if isinstance(r, Ref)], list(item.outs)
    inner = [refs(i) for i in item.body]
    return [r for reads, _ in inner for r in reads], [w for _, writes in inner for w in writes]


def with_refs(m: Map, of: Callable[[Ref], Ref]) -> Map:
    """The map with `of` each of its refs in the ref's place."""
    reductions = tuple(r._replace(out=of(r.out)) for r in m.reductions)
    return m._replace(
        loads=tuple((v, of(r)) for v, r in m.loads),
        stores=tuple((v, of(r)) for v, r in m.stores),
        reductions=reductions,
    )


def renamed(item: Any, old: int, new: int, offset: int = 0) -> Any:
    """The item with one buffer, from `offset` on, in the place of another."""

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
    """Whether a matrix product can read the view where it is: stride 1 along one of the last two axes."""
    if len(ref.shape) < 2:
        return not ref.shape or ref.strides[-1] == 1 or ref.shape[-1] == 1
    rows, columns = ref.strides[-2:]
    m, n = ref.shape[-2:]
    if columns == 1 or n == 1:
        return (rows >= n or m == 1) and (len(ref.shape) <= 3 or reshaped(ref, (-1, n)) is not None)
    return (rows == 1 or m == 1) and columns >= m and len(ref.shape) <= 3


def product_can_write(ref: Ref) -> bool:
    """Whether a matrix product can leave its result at the view: as rows of neighbouring elements that do not
    overlap."""
    reach = 1
    for axis, (n, s) in enumerate(zip(reversed(ref.shape), reversed(ref.strides))):
        if n > 1 and (s != 1 if axis == 0 else s < reach):
            return False
        reach += (n - 1) * s
    return True


def at_every_step(ref: Ref) -> Ref:
    """What the view covers in two steps of the innermost loop around it, whichever of them is first in
    memory."""
    return ref._replace(shape=(2, *ref.shape), strides=(abs(ref.steps[-1]), *ref.strides))


def broadcast(ref: Ref, shape: tuple[int, ...]) -> Ref:
    """The view in a larger shape, with stride 0 where it is repeated."""
    missing = len(shape) - len(ref.shape)
    strides = (0,) * missing + tuple(0 if n == 1 else s for n, s in zip(ref.shape, ref.strides))
    return ref._replace(shape=shape, strides=strides)


def with_axis(ref: Ref, axis: int) -> Ref:
    """The view with an axis of length 1 before `axis`."""
    stride = 1 if axis == len(ref.shape) else ref.strides[axis] * ref.shape[axis]
    return ref._replace(
        shape=(*ref.shape[:axis], 1, *ref.shape[axis:]),
        strides=(*ref.strides[:axis], max(stride, 1), *ref.strides[axis:]),
    )


def index(ref: Ref, axis: int, i: int) -> Ref:
    """The i-th slice along an axis."""
    shape, strides = ((*of[:axis], *of[axis + 1 :]) for of in (ref.shape, ref.strides))
    return ref._replace(offset=ref.offset + i * ref.strides[axis], shape=shape, strides=strides)


def slots(ref: Ref, start: int, stop: int) -> Ref:
    """The slices from `start` to `stop` along the first axis."""
    return ref._replace(offset=ref.offset + start * ref.strides[0], shape=(stop - start, *ref.shape[1:]))


def stepping(ref: Ref) -> Ref:
    """The slice of `ref` at the step of one more loop."""
    return ref._replace(shape=ref.shape[1:], strides=ref.strides[1:], steps=(*ref.steps, ref.strides[0]))


def viewed(ref: Ref, key: Any) -> Ref:
    """`ref[key]` for a key of numbers, slices, new axes."""
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
    """The axes longer than 1, contiguous neighbours as one: the length and each ref's stride."""
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
    """The axes longer than 1, contiguous neighbours as one, in their order; and each ref's strides along
    them."""
    axes = _joined(shape, strides)
    return tuple(n for n, _ in axes), [tuple(along[i] for _, along in axes) for i in range(len(strides))]


def loop_axes(
    shape: tuple[int, ...], strides: list[tuple[int, ...]]
) -> tuple[list[int], list[tuple[int, ...]]]:
    """The axes to loop over, contiguous neighbours as one, the axis for vectors last; and each ref's strides
    along them.

    Without any axis there is one of length 1.
    """
    axes = _joined(shape, strides) or [(1, (1,) * len(strides))]
    best = max(range(len(axes)), key=lambda i: (axes[i][1].count(1), i))
    axes.append(axes.pop(best))
    return [n for n, _ in axes], [tuple(along[i] for _, along in axes) for i in range(len(strides))]


def leading(ref: Ref) -> tuple[bool, int]:
    """Whether a matrix lies transposed, and the distance between its contiguous rows, which BLAS wants no
    shorter than they are."""
    (rows, columns), (down, right) = ref.shape[-2:], ref.strides[-2:]
    if right == 1 or (columns == 1 and down != 1):
        return False, max(1, columns, down if rows > 1 else 0)
    return True, max(1, rows, right if columns > 1 else 0)
