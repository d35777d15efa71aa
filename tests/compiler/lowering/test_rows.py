"""Rows shared among threads: which loops are shared, and that nothing depends on how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xgrad as xg
from tests.helpers.programs import traced
from xgrad.backends.cpu import native
from xgrad.compiler.lowering import rows
from xgrad.compiler.lowering.lower import lower
from xgrad.compiler.lowering.plan import Gemm, Loop, Pack, Ref, Rows
from xgrad.compiler.passes import optimise

needs_native = pytest.mark.skipif(native.missing() is not None, reason="needs native code")

Cell = Callable[..., Any]


@pytest.fixture
def many_threads() -> Iterator[None]:
    """Share any work, row by row, among three threads."""
    pool = native.pool()
    pool.start()
    before = {name: pool[name] for name in ("least", "tile", "threads", "used", "follows")}
    pool["least"], pool["tile"], pool["threads"], pool["used"], pool["follows"] = 1, 1, 3, 3, 0
    yield
    for name, value in before.items():
        pool[name] = value


def gru(h: Any, x: Any, U: Any) -> Any:
    n = h.shape[-1]
    z, r = xg.sigmoid(x + h @ U[:, :n]), xg.sigmoid(x - h @ U[:, n : 2 * n])
    h = (1 - z) * h + z * xg.tanh(x + (r * h) @ U[:, 2 * n :])
    return h, h


def memory(S: Any, x: Any, U: Any) -> Any:
    """A matrix for each row, as linear attention has."""
    S = 0.9 * S + xg.expand_dims(x, -1) * xg.expand_dims(xg.tanh(x @ U[:, : x.shape[-1]]), -2)
    return S, xg.sum(S * xg.expand_dims(x, -2), axis=-1)


def layer_norm(h: Any, x: Any, U: Any) -> Any:
    h = h + x
    h = (h - xg.mean(h, axis=-1, keepdims=True)) / (1 + xg.std(h, axis=-1, keepdims=True))
    return h, xg.softmax(h)


def delayed(c: Any, x: Any, U: Any) -> Any:
    return (c[1], xg.tanh(c[0] + x)), c[0] * x


def nested(h: Any, x: Any, U: Any) -> Any:
    h, ys = xg.scan(lambda h, _: (xg.tanh(h * 0.9 + x), h), h, length=3)
    return h, ys[1, ...]


def mean_of_rows(h: Any, x: Any, U: Any) -> Any:
    h = xg.tanh(h + x - xg.mean(h, axis=0))
    return h, h


def next_row(h: Any, x: Any, U: Any) -> Any:
    h = xg.tanh(xg.roll(h, 1, axis=0) + x)
    return h, h


def last_row_first(h: Any, x: Any, U: Any) -> Any:
    h = xg.flip(h, axis=0) * 0.9 + x
    return h, h


def fast_weights(W: Any, x: Any, U: Any) -> Any:
    """One matrix, which every row reads and changes."""
    y = xg.tanh(x @ W)
    return 0.9 * W + 0.1 * x.T @ y, y


def first_row(h: Any, x: Any, U: Any) -> Any:
    h = xg.tanh(h + h[:1] * x)
    return h, h


def shapes(cell: Cell, B: int, H: int) -> Any:
    if cell is memory:
        return np.zeros((B, H, H))
    if cell is fast_weights:
        return np.zeros((H, H))
    return (np.zeros((B, H)), np.ones((B, H))) if cell is delayed else np.full((B, H), 0.1)


INDEPENDENT = (gru, memory, layer_norm, delayed, nested)
DEPENDENT = (mean_of_rows, next_row, last_row_first, fast_weights, first_row)


def loss(cell: Cell, looped: bool = False) -> Callable[..., Any]:
    def f(U: Any, xs: Any, init: Any) -> Any:
        if looped:
            c, ys = init, []
            for t in range(xs.shape[0]):
                c, y = cell(c, xs[t, ...], U)
                ys.append(y)
            ys = xg.stack(ys)
        else:
            c, ys = xg.scan(lambda c, x: cell(c, x, U), init, xs)
        c = c if isinstance(c, tuple) else (c,)
        return xg.sum(ys * ys) + sum(xg.sum(xg.sin(x)) for x in c)

    return f


def plan_of(cell: Cell, B: int, H: int) -> Any:
    rng = np.random.default_rng(0)
    init = shapes(cell, B, H)
    first = init if isinstance(init, tuple) else (init,)
    f = loss(cell)
    program, _ = traced(
        lambda U, xs, *c: [f(U, xs, c if isinstance(init, tuple) else c[0])],
        [rng.normal(size=(H, 3 * H)), rng.normal(size=(4, B, H)), *first],
    )
    return rows.shared_by_rows(lower(optimise(program)).plan, 64, products=True)


@pytest.mark.parametrize("cell", INDEPENDENT)
def test_independent_rows_are_shared(cell: Cell) -> None:
    body = plan_of(cell, 6, 40).body
    assert not any(isinstance(i, Loop) for i in body)
    (shared,) = (i for i in body if isinstance(i, Rows) and isinstance(i.body[0], Loop))
    assert shared.number == 6


@pytest.mark.parametrize("cell", DEPENDENT)
def test_rows_that_need_each_other_are_not(cell: Cell) -> None:
    body = plan_of(cell, 6, 40).body
    assert any(isinstance(i, Loop) for i in body)
    assert not any(isinstance(i, Rows) and isinstance(i.body[0], Loop) for i in body)


def test_weights_are_packed_once_and_only_where_they_are_large() -> None:
    body = plan_of(gru, 6, 40).body
    packed = {i.packed for i in body if isinstance(i, Pack)}
    (shared,) = (i for i in body if isinstance(i, Rows) and isinstance(i.body[0], Loop))
    assert packed == {i.packed for i in shared.body[0].body if isinstance(i, Gemm)}  # type: ignore[union-attr]
    assert not any(isinstance(i, Pack) for i in plan_of(gru, 2, 3).body)


@needs_native
@pytest.mark.parametrize("compiled", [True, False], ids=["compile", "scan"])
@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("cell", INDEPENDENT + DEPENDENT)
def test_threads_change_nothing(cell: Cell, dtype: str, compiled: bool, many_threads: None) -> None:
    rng = np.random.default_rng(1)
    for B, H in ((7, 33), (2, 5), (1, 6)):
        init = shapes(cell, B, H)
        init = tuple(c.astype(dtype) for c in init) if isinstance(init, tuple) else init.astype(dtype)
        args = (
            (rng.normal(size=(H, 3 * H)) / 8).astype(dtype),
            (rng.normal(size=(5, B, H)) / 2).astype(dtype),
            init,
        )
        f = xg.value_and_grad(loss(cell), argnums=(0, 1))
        value, found = (xg.compile(f) if compiled else f)(*args)
        expected, wanted = xg.value_and_grad(loss(cell, looped=True), argnums=(0, 1))(*args)
        limit = 1e-12 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(value, expected, rtol=limit)
        for z, w in zip(found, wanted):
            np.testing.assert_allclose(
                z, w, rtol=limit, atol=limit * max(1e-3, float(abs(np.asarray(w)).max()))
            )


@needs_native
def test_the_bits_of_a_loop_do_not_depend_on_the_number_of_threads(many_threads: None) -> None:
    rng = np.random.default_rng(2)
    U, xs, h = rng.normal(size=(48, 144)) / 8, rng.normal(size=(9, 11, 48)), np.zeros((11, 48))
    f = xg.compile(lambda U, xs, h: xg.scan(lambda h, x: gru(h, x, U), h, xs)[1])
    found = []
    for threads in (1, 2, 3, 11):
        native.pool()["used"] = native.pool()["threads"] = threads
        found.append(np.asarray(f(U, xs, h)).tobytes())
    assert len(set(found)) == 1


@st.composite
def refs(draw: Any) -> tuple[Ref, int, int]:
    """Draw a view, the axis of its rows, and their number."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    axis = draw(st.integers(0, len(shape) - 1))
    count = draw(st.integers(2, 4))
    shape = (*shape[:axis], count, *shape[axis + 1 :])
    some = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 8, 12, 24, -1, -4, -12])
    strides = tuple(draw(some) for _ in shape)
    return Ref(0, draw(st.integers(0, 40)), shape, strides, (draw(some),)), axis, count


@settings(max_examples=500)
@given(refs())
def test_what_keeps_to_its_row_does(drawn: tuple[Ref, int, int]) -> None:
    ref, axis, count = drawn
    if not rows._keeps_to_its_row(ref, axis, count, {}):
        return
    stride = ref.strides[axis]
    for t, at in product(range(3), np.ndindex(ref.shape)):
        address = ref.offset + t * ref.steps[0] + sum(i * s for i, s in zip(at, ref.strides))
        assert address // stride % count == at[axis]


def test_a_buffer_has_one_stride_from_row_to_row() -> None:
    strides: dict[int, int] = {}
    assert rows._keeps_to_its_row(Ref(0, 0, (3, 4), (4, 1)), 0, 3, strides)
    assert not rows._keeps_to_its_row(Ref(0, 0, (3, 2), (8, 1)), 0, 3, strides)
    assert rows._keeps_to_its_row(Ref(1, 0, (3, 2), (8, 1)), 0, 3, strides)
