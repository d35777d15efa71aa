"""Which items of a plan threads share, which weights are packed and where, on plans written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import pytest

from xgrad.compiler.lowering import rows, views
from xgrad.compiler.lowering.plan import Buffer, Call, Gemm, Loop, Map, Pack, Plan, Ref, Rows, Step


def product_of(shape: tuple[int, ...], k: int, *, transposed: bool = False, moving: bool = False) -> Gemm:
    """Return a product in a loop that stores every step: a, b and the stack of results are buffers 0 to 2.

    `transposed` is how a is stored; `moving` weights are other ones at each step.
    """
    *stack, m, n = shape
    of = lambda *lengths: views.contiguous(0, (*stack, *lengths), 0)
    a, b, out = of(m, k), of(k, n), of(m, n)
    if transposed:
        a = a._replace(strides=(*a.strides[:-2], 1, m))
    return Gemm(
        out._replace(buffer=2, steps=(prod(shape),)),
        a._replace(buffer=0, steps=(0,)),
        b._replace(buffer=1, steps=(prod(b.shape) if moving else 0,)),
        False,
    )


def shared_plan(body: Sequence[Any], *more: Buffer, dtype: str = "float64") -> Plan:
    """Return a plan whose rows are shared: buffers 0 and 1 are inputs, 2 an output, then come `more`."""
    buffers = (*(Buffer(kind, 10**6, dtype) for kind in ("input", "input", "output")), *more)
    return rows.shared_by_rows(Plan(buffers, tuple(body)), 64, products=True)


@pytest.mark.parametrize(
    ("shape", "k", "options", "wanted"),
    [
        # weights of 256 elements are packed, and those of products that are too large for the loop's own code
        ((16, 16), 16, {}, "packed"),
        ((16, 17), 15, {}, "shared"),
        ((64, 16), 8, {}, "shared"),
        ((65, 16), 8, {}, "packed"),
        ((1, 16), 16, {}, "alone"),
        # the code for packed weights reads rows of neighbouring elements
        ((32, 16), 16, {"transposed": True}, "alone"),
        ((6, 4), 4, {"transposed": True}, "shared"),
        ((600, 16), 1, {"transposed": True}, "packed"),
        ((32, 16), 16, {"moving": True}, "alone"),
        ((6, 4), 4, {"moving": True}, "shared"),
        # the products of a stack are the rows, and are not packed
        ((2, 8, 8), 8, {}, "shared"),
        ((4, 16, 16), 32, {}, "shared"),
        ((4, 64, 16), 4, {}, "shared"),
        ((4, 32, 32), 32, {}, "alone"),
        ((1, 8, 8), 8, {}, "alone"),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_which_products_of_a_loop_are_shared_and_packed(
    shape: tuple[int, ...], k: int, options: Any, wanted: str, dtype: str
) -> None:
    body = shared_plan([Loop(3, False, (product_of(shape, k, **options),))], dtype=dtype).body
    assert isinstance(body[-1], Loop if wanted == "alone" else Rows)
    assert [type(item) for item in body[:-1]] == ([Pack] if wanted == "packed" else [])
    if isinstance(body[-1], Rows):
        assert body[-1].number == shape[0]


def test_a_stack_of_products_outside_a_loop_is_shared_however_large() -> None:
    (item,) = shared_plan([product_of((2, 128, 128), 128)]).body
    assert isinstance(item, Rows)
    assert item.number == 2


def a_copy(source: int, target: int, size: int) -> Map:
    """Return a map that copies the beginning of one buffer to another."""
    one, other = (Ref(b, 0, (size,), (1,)) for b in (source, target))
    return Map((size,), ((0, one),), (), ((0, other),))


@pytest.mark.parametrize("kind", ["scratch", "output"])
def test_packed_weights_use_memory_that_is_not_in_use(kind: str) -> None:
    loop, size = Loop(3, False, (product_of((16, 16), 16),)), 256
    buffer = Buffer(kind, size, "float64")
    packed = lambda body: [item.packed for item in body if isinstance(item, Pack)]
    # a buffer of that size that is used only later, and one that is used before and later
    plan = shared_plan([loop, a_copy(0, 3, 9)], buffer)
    assert (packed(plan.body), len(plan.buffers)) == ([3], 4)
    plan = shared_plan([a_copy(0, 3, 9), loop, a_copy(3, 2, 9)], buffer)
    assert (packed(plan.body), len(plan.buffers)) == ([4], 5)
    # an output keeps what was written
    plan = shared_plan([a_copy(0, 3, 9), loop], buffer)
    assert packed(plan.body) == [3 if kind == "scratch" else 4]
    # an input is there from the start
    assert packed(shared_plan([loop, a_copy(3, 2, 9)], buffer._replace(kind="input")).body) == [4]
    # buffers of another size or dtype do not fit
    for other in (buffer._replace(size=size + 1), buffer._replace(dtype="float32")):
        assert packed(shared_plan([loop, a_copy(0, 3, 9)], other).body) == [4]


def test_weights_of_one_loop_do_not_share_memory_and_those_of_two_loops_do() -> None:
    first = product_of((16, 16), 16)
    second = first._replace(b=first.b._replace(offset=256), out=first.out._replace(offset=1024))
    packed = lambda plan: [item.packed for item in plan.body if isinstance(item, Pack)]
    assert packed(shared_plan([Loop(3, False, (first, second))])) == [3, 4]
    apart = shared_plan([Loop(3, False, (first,)), Loop(3, False, (second,))])
    assert (packed(apart), len(apart.buffers)) == ([3, 3], 4)
    buffer = Buffer("scratch", 256, "float64")
    assert packed(shared_plan([Loop(3, False, (first, second)), a_copy(0, 3, 9)], buffer)) == [3, 4]


def alone(shape: tuple[int, ...], k: int) -> Gemm:
    """Return a product outside of loops."""
    return Gemm(*(r._replace(steps=()) for r in product_of(shape, k)[:3]), False)


def elementwise(shape: tuple[int, ...], *ops: str) -> Map:
    """Return a map of ops of one operand, one after the other."""
    steps = tuple(Step(i + 1, op, (i,), (False,), "float64") for i, op in enumerate(ops))
    source, target = (views.contiguous(b, shape, 0) for b in (0, 2))
    return Map(shape, ((0, source),), steps, ((len(ops), target),))


@pytest.mark.parametrize(
    ("item", "number"),
    [
        (alone((64, 64), 64), 64),
        (alone((64, 64), 63), None),
        (alone((64, 63), 64), None),
        (alone((2, 64, 64), 4), None),
        (alone((5, 1000), 1000), 1000),
        (alone((1000, 5), 1000), 1000),
        (alone((4, 1000), 1023), None),
        (alone((1, 5000), 5000), 5000),
        (alone((1, 100_000), 10), None),
        (elementwise((4, 512), "tanh"), 4),
        (elementwise((4, 511), "tanh"), None),
        (elementwise((1, 4, 8, 64), "tanh"), 4),
        (elementwise((1, 4096), "tanh"), None),
        (elementwise((4096,), "tanh"), None),
        (elementwise((), "tanh"), None),
    ],
)
def test_what_is_worth_sharing_outside_of_loops(item: Any, number: int | None) -> None:
    (shared,) = shared_plan([item]).body
    if number is None:
        assert shared == item
    else:
        assert isinstance(shared, Rows)
        assert (shared.number, shared.body) == (number, (item,))
        shape = item.out.shape if isinstance(item, Gemm) else ()
        assert shared.columns == (len(shape) == 2 and shape[0] < shape[1])


def test_blas_has_its_own_threads_if_it_is_said_so() -> None:
    plan = Plan(shared_plan([]).buffers, (alone((64, 64), 64),))
    assert rows.shared_by_rows(plan, 64, products=False) == plan


def test_a_product_that_reads_what_it_writes_is_not_shared_by_columns() -> None:
    item = alone((64, 128), 64)
    beside = item.a._replace(buffer=2, offset=128, strides=(256, 1))
    rows_of = item._replace(a=beside, out=item.out._replace(strides=(256, 1)))
    (shared,) = shared_plan([rows_of]).body
    assert isinstance(shared, Rows)
    assert (shared.number, shared.columns) == (64, False)
    weights = item._replace(b=item.b._replace(buffer=2, offset=10_000))
    assert shared_plan([weights]).body == (weights,)


def test_work_is_counted_in_floating_point_operations() -> None:
    product, heavy, light = alone((64, 64), 100), elementwise((4, 512), "tanh", "neg"), elementwise((4, 512))
    work = lambda *body: [item.work for item in shared_plan(body).body]
    assert work(product, heavy, light) == [2 * 64 * 64 * 100, 2048 * (40 + 4 + 4), 2048 * 4]
    step = product_of((6, 4), 5)
    assert work(Loop(7, False, (step,))) == [7 * 2 * 6 * 4 * 5]
    assert work(Loop(7, False, (step, Loop(3, False, (step, step))))) == [7 * (1 + 3 * 2) * 2 * 6 * 4 * 5]


@pytest.mark.parametrize(("k", "pieces"), [(256, 2), (257, 1)])
def test_weights_that_exceed_a_cache_are_read_by_one_piece_a_thread(k: int, pieces: int) -> None:
    *_, shared = shared_plan([Loop(3, False, (product_of((8, 512), k),))]).body
    assert isinstance(shared, Rows)
    assert shared.pieces == pieces
    (product, copy) = shared_plan([alone((64, 64), 64), elementwise((4, 512))]).body
    assert (product.pieces, copy.pieces) == (1, 2)  # type: ignore[union-attr]


@pytest.mark.parametrize(("dtype", "columns"), [("float64", 24), ("float32", 32)])
def test_packed_weights_are_whole_vectors_of_columns(dtype: str, columns: int) -> None:
    plan = shared_plan([Loop(3, False, (product_of((8, 17), 20),))], dtype=dtype)
    assert plan.buffers[3:] == (Buffer("scratch", 20 * columns, dtype),)
    pack, shared = plan.body
    assert isinstance(pack, Pack)
    assert pack.b.steps == ()
    assert isinstance(shared, Rows)
    assert shared.body[0].body[0].packed == pack.packed == 3  # type: ignore[union-attr]


def test_products_of_inner_loops_are_packed_once_too() -> None:
    item = product_of((16, 16), 16)
    inner = item._replace(
        **{name: r._replace(steps=(*r.steps, 0)) for name, r in zip(("a", "b"), (item.a, item.b))},
        out=item.out._replace(offset=256 * 400, steps=(0, 256)),
    )
    plan = shared_plan([Loop(3, False, (item, Loop(2, False, (inner,))))])
    pack, shared = plan.body
    assert isinstance(pack, Pack)
    assert isinstance(shared, Rows)
    first, loop = shared.body[0].body  # type: ignore[union-attr]
    assert first.packed == loop.body[0].packed == pack.packed


def test_a_stack_of_two_is_two_rows_though_they_are_apart() -> None:
    item = product_of((2, 8, 8), 8)
    apart = item._replace(out=item.out._replace(strides=(100, 8, 1), steps=(200,)))
    (shared,) = shared_plan([Loop(3, False, (apart,))]).body
    assert isinstance(shared, Rows)


@pytest.mark.parametrize("reverse", [False, True])
def test_matrices_that_multiply_those_of_other_rows_are_not_shared(reverse: bool) -> None:
    item = product_of((4, 8, 8), 8)
    b = item.out._replace(offset=256 * 10)
    if reverse:
        b = b._replace(offset=b.offset + 3 * 64, strides=(-64, 8, 1))
    (shared,) = shared_plan([Loop(3, False, (item._replace(b=b),))]).body
    assert isinstance(shared, Loop if reverse else Rows)


def test_every_item_of_a_plan_is_kept() -> None:
    by_columns, by_rows, small = alone((64, 128), 64), alone((128, 64), 64), elementwise((2, 3), "tanh")
    loop = Loop(2, False, (elementwise((1,), "tanh"),))
    found = shared_plan([by_columns, loop, small, by_rows, small]).body
    assert found[1:3] == (loop, small)
    assert found[4] == small
    first, last = found[0], found[3]
    assert isinstance(first, Rows)
    assert isinstance(last, Rows)
    assert (first.body, last.body) == ((by_columns,), (by_rows,))
    assert (first.work, first.pieces) == (last.work, last.pieces) == (2 * 64 * 128 * 64, 1)


def test_loops_with_other_numbers_of_rows_or_calls_are_not_shared() -> None:
    product, size = product_of((16, 16), 16), Buffer("output", 10**6, "float64")
    other = elementwise((4, 512), "tanh")
    other = other._replace(stores=tuple((v, r._replace(buffer=3)) for v, r in other.stores))
    call = Call("sort", {}, (product.a,), (product.out._replace(buffer=3),))
    for item in (other, call):
        for body in ((product, item), (item, product)):
            loop = Loop(3, False, body)
            assert shared_plan([loop], size).body == (loop,)


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "axis", "keeps"),
    [
        # backwards inside each row, which it fills, or from the row before
        ((3, 4), (4, -1), 3, 0, True),
        ((3, 4), (8, -1), 3, 0, True),
        ((3, 4), (4, -1), 2, 0, False),
        # whole sets of rows, forwards and backwards
        ((2, 3, 4), (12, 4, 1), 0, 1, True),
        ((2, 3, 4), (-12, 4, 1), 12, 1, True),
        ((2, 3, 4), (8, 4, 1), 0, 1, False),
        # beyond the end of a row
        ((3, 5), (4, 1), 0, 0, False),
        ((3, 4), (4, 1), 1, 0, False),
        ((3, 4), (4, 1), 4, 0, False),
    ],
)
def test_what_keeps_to_its_row(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int, axis: int, keeps: bool
) -> None:
    assert rows._keeps_to_its_row(Ref(0, offset, shape, strides), axis, 3, {}) == keeps
