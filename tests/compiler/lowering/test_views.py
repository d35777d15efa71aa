"""Views of buffers equal NumPy's views; their properties agree with the offsets of their elements."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from xgrad.compiler.ir import is_basic
from xgrad.compiler.lowering import views
from xgrad.compiler.lowering.plan import Ref

MEMORY = np.arange(4096)
MIDDLE = 2048

many = settings(max_examples=300)


@st.composite
def refs(draw: st.DrawFn, least: int = 0, most: int = 3, empty: bool = True) -> Ref:
    """Draw a view that slicing, reversing, transposing and broadcasting make of a whole array."""
    n = draw(st.integers(least, most))
    whole = tuple(draw(st.integers(0 if empty else 1, 4)) for _ in range(n))
    strides, offset = [], MIDDLE
    for length, reach in zip(whole, (math.prod(whole[a + 1 :]) for a in range(n))):
        kind = draw(st.sampled_from(("as it is", "as it is", "a gap", "reversed", "repeated", "any")))
        stride = {
            "as it is": reach,
            "a gap": reach * 2,
            "reversed": -reach,
            "repeated": 0,
            "any": draw(st.integers(-9, 9)),
        }[kind]
        strides.append(stride)
        offset += (length - 1) * reach if kind == "reversed" and length else 0
    order = draw(st.permutations(range(n)))
    return Ref(0, offset, tuple(whole[a] for a in order), tuple(strides[a] for a in order))


def array(ref: Ref) -> np.ndarray:
    """Return the offsets of a view's elements, as an array of its shape that is the same view of MEMORY."""
    return as_strided(MEMORY[ref.offset :], ref.shape, tuple(s * MEMORY.itemsize for s in ref.strides))


def same(ref: Ref | None, expected: np.ndarray) -> None:
    assert ref is not None
    assert ref.shape == expected.shape
    np.testing.assert_array_equal(array(ref), expected)


@given(st.lists(st.integers(1, 4), max_size=4))
def test_a_whole_buffer(shape: list[int]) -> None:
    ref = views.contiguous(3, tuple(shape), 2)
    assert (ref.buffer, ref.offset, ref.steps) == (3, 0, (0, 0))
    np.testing.assert_array_equal(array(ref).ravel(), np.arange(math.prod(shape)))
    assert views.is_contiguous(ref)


@many
@given(refs(empty=False))
def test_contiguous_as_numpy_has_it(ref: Ref) -> None:
    assert views.is_contiguous(ref) == array(ref).flags.c_contiguous


@many
@given(refs(), st.data())
def test_transposed(ref: Ref, data: st.DataObject) -> None:
    axes = data.draw(st.permutations(range(len(ref.shape))))
    same(views.transposed(ref, axes), array(ref).transpose(axes))


@many
@given(refs(empty=False), st.data())
def test_parts(ref: Ref, data: st.DataObject) -> None:
    ranges = [sorted((data.draw(st.integers(0, n)), data.draw(st.integers(0, n)))) for n in ref.shape]
    same(views.sliced(ref, [(a, b) for a, b in ranges]), array(ref)[tuple(slice(a, b) for a, b in ranges)])
    for axis, n in enumerate(ref.shape):
        i = data.draw(st.integers(0, n - 1))
        same(views.index(ref, axis, i), np.take(array(ref), i, axis))
    if ref.shape:
        a, b = ranges[0]
        same(views.slots(ref, a, b), array(ref)[a:b])
        slice_ = views.stepping(ref._replace(steps=(5,)))
        assert slice_.steps[0] == 5
        for t in range(ref.shape[0]):
            same(slice_._replace(offset=slice_.offset + t * slice_.steps[1]), array(ref)[t])


KEYS = st.one_of(
    st.none(),
    st.builds(slice, *[st.one_of(st.none(), st.integers(-6, 6))] * 2, st.sampled_from((None, 1, 2, -1, -2))),
    st.integers(-2, 1),
)


@many
@given(refs(empty=False), st.lists(KEYS, max_size=4), st.booleans(), st.integers(0, 4))
def test_keys(ref: Ref, parts: list[Any], dots: bool, at: int) -> None:
    key = (*parts[:at], Ellipsis, *parts[at:]) if dots else tuple(parts)
    try:
        expected = array(ref)[key]
    except IndexError:
        return
    same(views.viewed(ref, key), np.asarray(expected))
    if len(key) == 1:
        same(views.viewed(ref, key[0]), np.asarray(expected))


@pytest.mark.parametrize("key", [True, (False, 1), [0, 1], (np.array([0]),), (slice(None), True)], ids=str)
def test_keys_that_give_no_view(key: Any) -> None:
    assert not is_basic(key)


def shapes_of(size: int) -> list[tuple[int, ...]]:
    """Return all shapes of up to three axes with that many elements, including axes of length 1."""
    sides = range(1, max(size, 1) + 1)
    return [s for n in range(4) for s in itertools.product(sides, repeat=n) if math.prod(s) == size]


@many
@given(refs(empty=False), st.data())
def test_reshaped_where_numpy_needs_no_copy(ref: Ref, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from(shapes_of(math.prod(ref.shape))))
    x = array(ref)
    expected = x.reshape(shape)
    found = views.reshaped(ref, shape)
    assert (found is not None) == np.shares_memory(expected, x)
    if found is not None:
        same(found, expected)
    if len(shape) > 1:
        assert views.reshaped(ref, (*shape[:-1], -1)) == found


def test_reshaped_without_elements() -> None:
    for shape in ((0,), (3, 0), (0, 1)):
        found = views.reshaped(Ref(0, 7, (2, 0), (1, 1)), shape)
        assert found is not None
        assert found.shape == shape


@many
@given(refs(), st.data())
def test_broadcast(ref: Ref, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 3)) if n == 1 else n for n in ref.shape)
    shape = (*data.draw(st.lists(st.integers(1, 3), max_size=2)), *shape)
    same(views.broadcast(ref, shape), np.broadcast_to(array(ref), shape))


@many
@given(refs(empty=False), st.data())
def test_an_axis_of_length_1(ref: Ref, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(ref.shape)))
    found = views.with_axis(ref, axis)
    same(found, np.expand_dims(array(ref), axis))
    assert found.strides[axis] >= 1  # BLAS needs a positive distance between rows
    if views.is_contiguous(ref) and 1 not in ref.shape:
        assert found.strides[axis] == math.prod(ref.shape[axis:])


# Layouts that products can read and write


def distances(offsets: np.ndarray) -> list[int]:
    """Return the row strides with which BLAS can read these offsets as a matrix with contiguous rows."""
    m, n = offsets.shape
    first = int(offsets[0, 0])
    return [
        d
        for d in range(max(n, 1), 80)
        if np.array_equal(offsets, first + d * np.arange(m)[:, None] + np.arange(n))
    ]


@pytest.mark.slow
@settings(max_examples=600)
@given(refs(2, 3, empty=False))
def test_a_product_can_read_what_blas_can(ref: Ref) -> None:
    matrices = array(ref).reshape(-1, *ref.shape[-2:])
    rows, columns = ([distances(m) for m in matrices], [distances(m.T) for m in matrices])
    assert views.product_can_read(ref) == (all(rows) or all(columns))
    if views.product_can_read(ref):
        turned, distance = views.leading(ref)
        assert all(distance in found for found in (columns if turned else rows))


@many
@given(refs(0, 1, empty=False))
def test_a_product_can_read_neighbours(ref: Ref) -> None:
    assert views.product_can_read(ref) == (not ref.shape or bool(np.all(np.diff(array(ref)) == 1)))


def test_a_product_reads_stacks_of_stacks_as_one_matrix_alone() -> None:
    assert views.product_can_read(views.contiguous(0, (2, 2, 3, 3)))
    assert not views.product_can_read(views.transposed(views.contiguous(0, (2, 2, 3, 3)), (0, 1, 3, 2)))
    for axes in ((0, 1, 2, 3), (0, 1, 3, 2)):
        gaps = Ref(0, 0, (2, 2, 3, 3), (100, 30, 3, 1))
        assert not views.product_can_read(views.transposed(gaps, axes))


@settings(max_examples=600)
@given(refs(0, 3, empty=False))
def test_a_product_can_write_rows_that_do_not_overlap(ref: Ref) -> None:
    offsets = array(ref).reshape(-1, ref.shape[-1] if ref.shape else 1)
    neighbours = bool(np.all(np.diff(offsets, axis=1) == 1))
    spans = [(int(row[0]), int(row[-1])) for row in offsets]
    in_order = all(end < begin for (_, end), (begin, _) in itertools.pairwise(spans))
    assert views.product_can_write(ref) == (neighbours and in_order)


@many
@given(refs(1, 2, empty=False), st.integers(-9, 9))
def test_two_steps(ref: Ref, step: int) -> None:
    moving = ref._replace(steps=(3, step))
    two = views.at_every_step(moving)
    later = {*array(ref).ravel().tolist()} | {o + abs(step) for o in array(ref).ravel().tolist()}
    assert {*array(two).ravel().tolist()} == later


# Loops over the elements of several views


@settings(max_examples=400)
@given(st.data())
def test_loops_meet_the_same_elements(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), max_size=4)))
    count = data.draw(st.integers(0, 3))
    row_major = views.row_major(shape)
    strides = [
        tuple(data.draw(st.sampled_from((s, s, 0, 2 * s, 1))) for s in row_major) for _ in range(count)
    ]
    sizes, along = views.loop_axes(shape, strides)
    met = sorted(
        tuple(sum(i * s for i, s in zip(at, of)) for of in along)
        for at in itertools.product(*map(range, sizes))
    )
    expected = sorted(
        tuple(sum(i * s for i, s in zip(at, of)) for of in strides)
        for at in itertools.product(*map(range, shape))
    )
    assert met == expected
    assert len(sizes) >= 1
    assert 1 not in sizes or sizes == [1]
    ones = [sum(of[a] == 1 for of in along) for a in range(len(sizes))]
    assert ones[-1] == max(ones)  # innermost: stride 1 in as many views as possible


def test_neighbouring_axes_are_one_loop() -> None:
    assert views.loop_axes((2, 3, 4), [(12, 4, 1), (12, 4, 1)]) == ([24], [(1,), (1,)])
    assert views.loop_axes((2, 3, 4), [(12, 4, 1), (4, 0, 1)]) == ([2, 3, 4], [(12, 4, 1), (4, 0, 1)])
    assert views.loop_axes((2, 3, 4), [(1, 2, 6)]) == ([3, 4, 2], [(2, 6, 1)])
    assert views.loop_axes((1, 1), [(5, 7)]) == ([1], [(1,)])
    assert views.loop_axes((3, 2), []) == ([6], [])
    assert views.loop_axes((3, 2), [(1, 9), (1, 9)]) == ([2, 3], [(9, 1), (9, 1)])
