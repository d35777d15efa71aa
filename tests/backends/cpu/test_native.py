"""Tests of native code for plans against NumPy.

They cover every op, shapes, products, the accuracy of the functions, threads and the cache.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("llvmlite")

import xgrad as xg
from xgrad.backends.cpu import native
from xgrad.compiler.codegen.llvm import plan as llvm
from xgrad.compiler.lowering.plan import Buffer, Gemm, Loop, Map, Plan, Reduction, Ref, Step

if native.missing():
    pytest.skip(str(native.missing()), allow_module_level=True)

FLOATS = ["float32", "float64"]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def compiled(plan: Plan, **options: Any) -> native.Native:
    blas = native.find_blas()
    assert blas is not None
    written = llvm.write(plan, **{"vector_bytes": native.vector_bytes(), "long_blas": blas.long, **options})
    return native.Native(plan.buffers, *written)


def strides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def whole(
    buffer: int, shape: tuple[int, ...], *, like: tuple[int, ...] | None = None, steps: tuple[int, ...] = ()
) -> Ref:
    """Return a view of a whole contiguous buffer of `shape`, broadcast to `like`."""
    strides = strides_of(shape)
    if like is None:
        return Ref(buffer, 0, shape, strides, steps)
    shape, strides = (1,) * (len(like) - len(shape)) + shape, (0,) * (len(like) - len(shape)) + strides
    return Ref(buffer, 0, like, tuple(0 if n == 1 else s for n, s in zip(shape, strides)), steps)


def elementwise(
    op: str, arrays: list[Any], dtype: str, literal: tuple[bool, ...] = (), **options: Any
) -> np.ndarray:
    """Apply one op to arrays that broadcast; plain numbers among them become literals."""
    literal = tuple(not isinstance(a, np.ndarray) for a in arrays)
    inputs = [a for a in arrays if isinstance(a, np.ndarray)]
    shape = np.broadcast_shapes(*(a.shape for a in inputs))
    buffers = [
        *(Buffer("input", a.size, str(a.dtype)) for a in inputs),
        Buffer("output", math.prod(shape), dtype),
    ]
    loads = tuple((i, whole(i, a.shape, like=shape)) for i, a in enumerate(inputs))
    places = iter(range(len(inputs)))
    args = tuple(a if lit else next(places) for a, lit in zip(arrays, literal))
    step = Step(len(inputs), op, args, literal, dtype)
    plan = Plan(tuple(buffers), (Map(shape, loads, (step,), ((len(inputs), whole(len(inputs), shape)),)),))
    return compiled(plan, **options).run(inputs)[0].reshape(shape)


# Functions

SPECIAL = [
    *[-0.0] * 16,
    np.nan,
    np.inf,
    -np.inf,
    0.0,
    -0.0,
    1.0,
    -1.0,
    -2.0,
    1e-30,
    1e-40,
    5e-324,
    1e30,
    -1e30,
    100.0,
    -100.0,
    750.0,
    3e7,
    0.625,
    -0.625,
]
RANGES = {
    "tanh": ([-20, 20], 6, 2),
    "exp": ([-100, 88], 1, 2),
    "expm1": ([-40, 88], 1, 3),
    "log": ([1e-5, 1e5], 1, 1),
    "log1p": ([-0.99999, 1e3], 1, 1),
    "sin": ([-1e5, 1e5], 1, 3),
    "cos": ([-1e5, 1e5], 1, 3),
    "sqrt": ([0, 1e10], 1, 1),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", RANGES)
def test_functions_are_right_to_a_few_units_in_the_last_place(name: str, dtype: str) -> None:
    (low, high), single, double = RANGES[name]
    tiny = np.geomspace(1e-30, 0.9, 20_000) * (1 if low < -1 else 0.999)
    x = np.concatenate([np.linspace(low, high, 100_001), tiny, *([-tiny] if low < 0 else [])]).astype(dtype)
    want = getattr(np, name)(x.astype(np.longdouble))
    error = np.abs(elementwise(name, [x], dtype) - want) / np.spacing(np.abs(want.astype(dtype)))
    assert error.max() <= (single if dtype == "float32" else double), x[error.argmax()]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*RANGES, "abs", "sign", "floor", "isnan", "isfinite", "neg"])
def test_functions_of_special_values(name: str, dtype: str) -> None:
    with np.errstate(all="ignore"):
        x = np.array(SPECIAL).astype(dtype)
        want = {"neg": np.negative}.get(name, getattr(np, name, None))(x)  # type: ignore[misc]
    got = elementwise(name, [x], str(want.dtype))
    np.testing.assert_allclose(got, want, rtol=1e-6 if dtype == "float32" else 1e-14)
    if want.dtype.kind == "f":
        real = ~np.isnan(want)
        assert (np.signbit(got) == np.signbit(want))[real].all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_sigmoid_and_relu(dtype: str) -> None:
    x = np.concatenate([np.linspace(-30, 30, 1001), SPECIAL]).astype(dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            elementwise("sigmoid", [x], dtype),
            0.5 * np.tanh(0.5 * x) + 0.5,
            rtol=0,
            atol=3e-7 if dtype == "float32" else 4e-16,
        )
        np.testing.assert_array_equal(elementwise("relu", [x], dtype), np.where(x < 0, 0, x))


# Ops

BINARY = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@pytest.mark.parametrize(
    ("x_dtype", "y_dtype"),
    [
        ("float32",) * 2,
        ("float64",) * 2,
        ("int64",) * 2,
        ("int32",) * 2,
        ("bool",) * 2,
        ("int64", "float32"),
        ("bool", "float64"),
    ],
)
@pytest.mark.parametrize("op", BINARY)
def test_binary_ops(op: str, x_dtype: str, y_dtype: str) -> None:
    if op == "-" and x_dtype == y_dtype == "bool":
        pytest.skip("NumPy does not subtract bools")
    values = [-2, -1, 0, 1, 2, 3, *([np.nan, np.inf, -np.inf] if "float" in x_dtype + y_dtype else [])]
    with np.errstate(all="ignore"):
        pairs = np.array(list(itertools.product(values, values))).T
        x, y = (
            np.nan_to_num(v).astype(d) if "float" not in d else v.astype(d)
            for v, d in zip(pairs, (x_dtype, y_dtype))
        )
        want = BINARY[op](x, y)
    np.testing.assert_array_equal(elementwise(op, [x, y], str(want.dtype)), want)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 5, 0.5, 1.5, -0.5, 20])
def test_power(exponent: float, dtype: str) -> None:
    x = np.linspace(0.1, 4, 77).astype(dtype)
    np.testing.assert_allclose(
        elementwise("**", [x, exponent], dtype), x**exponent, rtol=1e-6 if dtype == "float32" else 1e-14
    )
    np.testing.assert_allclose(
        elementwise("**", [x, np.full(77, exponent, dtype)], dtype),
        x**exponent,
        rtol=1e-6 if dtype == "float32" else 1e-14,
    )


@pytest.mark.parametrize(
    ("old", "new"), list(itertools.product(["float32", "float64", "int32", "int64", "bool"], repeat=2))
)
def test_casts(old: str, new: str) -> None:
    x = np.array([0, 1, -1, 2.7, -2.7, 100]).astype(old)
    np.testing.assert_array_equal(elementwise("astype", [x], new), x.astype(new))


def test_where_and_literals() -> None:
    c, x, y = np.array([True, False, True]), np.arange(3.0), np.array([7.0, np.nan, 9.0])
    np.testing.assert_array_equal(elementwise("where", [c, x, y], "float64"), np.where(c, x, y))
    np.testing.assert_array_equal(elementwise("where", [c, x, 0], "float64"), np.where(c, x, 0))
    np.testing.assert_array_equal(elementwise("-", [1, x], "float64"), 1 - x)
    np.testing.assert_array_equal(elementwise("<", [np.arange(3), 0.5], "bool"), np.arange(3) < 0.5)
    np.testing.assert_array_equal(elementwise("*", [x, 0.1], "float64"), x * 0.1)


@pytest.mark.parametrize("dtype", FLOATS)
def test_hypot_of_numbers_of_all_sizes(dtype: str) -> None:
    """Including those whose squares overflow or vanish, in any ratio."""
    rng, limits = np.random.default_rng(0), np.finfo(dtype)
    exponent = rng.uniform(limits.minexp - limits.nmant, limits.maxexp, 50_000)
    x = np.exp2(exponent.astype(np.longdouble)).astype(dtype)
    with np.errstate(all="ignore"):
        ratio = np.exp2(rng.normal(size=x.size) * rng.choice([0.1, 1, 20], x.size))
        y = (x * ratio.astype(np.longdouble) * rng.choice([-1, 1], x.size)).astype(dtype)
        want = np.hypot(x.astype(np.longdouble), y.astype(np.longdouble))
        found, rounded = elementwise("hypot", [x, y], dtype), want.astype(dtype)
    finite = np.isfinite(rounded) & np.isfinite(found)
    np.testing.assert_array_equal(found[~finite], np.inf)
    assert np.all(want[~finite] > float(limits.max) * (1 - float(limits.eps)))
    error = np.abs(found[finite] - want[finite]) / np.spacing(rounded[finite])
    assert error.max() <= 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_hypot_of_special_values(dtype: str) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    with np.errstate(all="ignore"):
        x, y = (v.ravel() for v in np.meshgrid(*[np.array([*SPECIAL, tiny, -tiny]).astype(dtype)] * 2))
        np.testing.assert_allclose(elementwise("hypot", [x, y], dtype), np.hypot(x, y), rtol=1e-15)


def test_an_unknown_op_is_named() -> None:
    with pytest.raises(NotImplementedError, match="'erf'"):
        elementwise("erf", [np.ones(2)], "float64")
    with pytest.raises(NotImplementedError, match="'tanh' of dtype int64"):
        elementwise("tanh", [np.ones(2, int)], "int64")


@pytest.mark.parametrize("size", [16, 32, 64])
def test_other_vector_sizes(size: int) -> None:
    x = np.linspace(-3, 3, 37).astype("float32")
    np.testing.assert_allclose(elementwise("tanh", [x], "float32", vector_bytes=size), np.tanh(x), rtol=1e-6)
    np.testing.assert_allclose(
        elementwise("log1p", [abs(x)], "float32", vector_bytes=size), np.log1p(abs(x)), rtol=1e-6
    )


# Maps

SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 5, 8, 17, 33]), max_size=3).map(tuple)


@st.composite
def views(draw: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, int, tuple[int, ...]]:
    """Draw a flat array, and the offset and strides of a view of it.

    The view is permuted, has gaps, and may be broadcast; no axis is reversed.
    """
    order = draw(st.permutations(range(len(shape))))
    strides, step = [0] * len(shape), draw(st.sampled_from([1, 1, 2]))
    for axis in order:
        if draw(st.sampled_from([False, False, True])):
            continue
        strides[axis] = step
        step *= max(1, shape[axis]) + draw(st.sampled_from([0, 0, 1]))
    offset = draw(st.sampled_from([0, 3]))
    flat = (
        np.random.default_rng(step).standard_normal(offset + step + 1).astype(draw(st.sampled_from(FLOATS)))
    )
    return flat, offset, tuple(strides)


def strided(flat: np.ndarray, offset: int, strides: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, [s * flat.itemsize for s in strides])


@given(st.data())
def test_maps_over_any_shape_and_strides(data: Any) -> None:
    shape = data.draw(SHAPES)
    given = [data.draw(views(shape)) for _ in range(2)]
    x, y = (strided(*v, shape) for v in given)
    axes = data.draw(st.sets(st.sampled_from(range(len(shape))))) if shape else set()
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    # the output is stored with its axes permuted
    order = data.draw(st.permutations(range(len(shape))))
    at = strides_of(tuple(shape[i] for i in order))
    out = Ref(2, 0, shape, tuple(at[order.index(i)] for i in range(len(shape))))
    buffers = [
        *(Buffer("input", flat.size, str(flat.dtype)) for flat, _, _ in given),
        *(Buffer("output", math.prod(s), "float64") for s in (shape, kept, kept)),
    ]
    loads = tuple((i, Ref(i, offset, shape, strides)) for i, (_, offset, strides) in enumerate(given))
    folds = [Reduction(2, kind, whole(i, kept, like=shape)) for i, kind in ((3, "sum"), (4, "max"))]
    m = Map(shape, loads, (Step(2, "*", (0, 1), (False, False), "float64"),), ((2, out),), tuple(folds))
    z, total, top = compiled(Plan(tuple(buffers), (m,))).run([flat for flat, _, _ in given])
    want = x.astype("d") * y.astype("d")
    np.testing.assert_array_equal(z.reshape([shape[i] for i in order]), want.transpose(order))
    np.testing.assert_allclose(
        total.reshape(kept), want.sum(tuple(axes), keepdims=True), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_array_equal(top.reshape(kept), want.max(tuple(axes), keepdims=True, initial=-np.inf))


@pytest.mark.parametrize("shape", [(7, 100), (100, 7), (3, 4, 50), (1000,)])
@pytest.mark.parametrize("dtype", [*FLOATS, "int64"])
def test_reductions(shape: tuple[int, ...], dtype: str) -> None:
    x = (np.random.default_rng(0).standard_normal(shape) * 9).astype(dtype)
    for count in range(1, len(shape) + 1):
        for axes in itertools.combinations(range(len(shape)), count):
            kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
            for kind in ("sum", "max", "min"):
                r = Reduction(0, kind, whole(1, kept, like=shape))
                plan = Plan(
                    (Buffer("input", x.size, dtype), Buffer("output", math.prod(kept), dtype)),
                    (Map(shape, ((0, whole(0, shape)),), (), (), (r,)),),
                )
                (z,) = compiled(plan).run([x])
                np.testing.assert_allclose(
                    z.reshape(kept), getattr(x, kind)(axes, keepdims=True), rtol=1e-5, atol=1e-4
                )


@pytest.mark.parametrize("kind", ["sum", "max", "min"])
@pytest.mark.parametrize("axis", [0, 1])
def test_reductions_pass_nan_on(kind: str, axis: int) -> None:
    x = np.random.default_rng(0).standard_normal((40, 40))
    x[np.arange(20), np.arange(20)] = np.nan
    kept = (1, 40) if axis == 0 else (40, 1)
    m = Map(x.shape, ((0, whole(0, x.shape)),), (), (), (Reduction(0, kind, whole(1, kept, like=x.shape)),))
    (z,) = compiled(Plan((Buffer("input", 1600, "float64"), Buffer("output", 40, "float64")), (m,))).run([x])
    np.testing.assert_allclose(z, getattr(x, kind)(axis))


# Products


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("transposed", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [
        (1, 32, 32),
        (1, 100, 33),
        (3, 7, 5),
        (5, 1, 9),
        (4, 6, 1),
        (40, 50, 60),
        (0, 3, 2),
        (3, 0, 2),
        (3, 2, 0),
        (1, 1, 1),
        (2, 70, 16),
    ],
)
def test_products(m: int, n: int, k: int, transposed: tuple[bool, bool], dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), (m, n)))

    def ref(buffer: int, shape: tuple[int, int], turned: bool) -> Ref:
        return Ref(buffer, 0, shape, (1, shape[0]) if turned else (shape[1], 1))

    size = tuple(Buffer("input", x.size, dtype) for x in (a, b, c))
    copy = Map((m * n,), ((0, whole(2, (m * n,))),), (), ((0, whole(3, (m * n,))),))
    operands = ref(0, (m, k), transposed[0]), ref(1, (k, n), transposed[1])
    body = (copy, Gemm(whole(3, (m, n)), *operands, True), Gemm(whole(4, (m, n)), *operands, False))
    plan = Plan((*size, *(Buffer("output", m * n, dtype),) * 2), body)
    added, alone = compiled(plan).run(
        [np.ascontiguousarray(x.T) if t else x for x, t in zip((a, b, c), (*transposed, False))]
    )
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(added.reshape(m, n), c + a @ b, **tolerance)
    np.testing.assert_allclose(alone.reshape(m, n), a @ b, **tolerance)


def test_stacked_products_and_columns_of_a_larger_matrix() -> None:
    a, b = (np.random.default_rng(0).standard_normal(s) for s in ((4, 3, 9), (5, 6)))
    out = Ref(2, 0, (4, 3, 6), (18, 6, 1))
    plan = Plan(
        (
            Buffer("input", a.size, "float64"),
            Buffer("input", b.size, "float64"),
            Buffer("output", 72, "float64"),
        ),
        (Gemm(out, Ref(0, 2, (4, 3, 5), (27, 9, 1)), Ref(1, 0, (4, 5, 6), (0, 6, 1)), False),),
    )
    np.testing.assert_allclose(compiled(plan).run([a, b])[0].reshape(4, 3, 6), a[:, :, 2:7] @ b)


# Loops


def running_sum(length: int, width: int, reverse: bool) -> Plan:
    """Return the plan of the loop h = x[t] + tanh(h), which stores every h."""
    here, row = Ref(0, 0, (width,), (1,), (width,)), Ref(1, 0, (width,), (1,), (width,))
    h = whole(2, (width,), steps=(0,))
    steps = (Step(2, "tanh", (1,), (False,), "float64"), Step(3, "+", (0, 2), (False, False), "float64"))
    zero = Map((width,), (), (Step(0, "none", (0.0,), (True,), "float64"),), ((0, whole(2, (width,))),))
    buffers = (
        Buffer("input", length * width, "float64"),
        Buffer("output", length * width, "float64"),
        Buffer("scratch", width, "float64"),
    )
    return Plan(
        buffers,
        (zero, Loop(length, reverse, (Map((width,), ((0, here), (1, h)), steps, ((3, row), (3, h))),))),
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 7])
def test_loops(length: int, reverse: bool) -> None:
    x = np.random.default_rng(0).standard_normal((length, 21))
    want, h = np.empty_like(x), np.zeros(21)
    for t in reversed(range(length)) if reverse else range(length):
        want[t] = h = x[t] + np.tanh(h)
    np.testing.assert_allclose(
        compiled(running_sum(length, 21, reverse)).run([x])[0].reshape(x.shape), want, rtol=1e-13
    )


def test_nested_loops() -> None:
    x = np.random.default_rng(0).standard_normal((4, 5, 6))
    load, store = Ref(0, 0, (6,), (1,), (30, 6)), Ref(1, 0, (6,), (1,), (6, 24))
    inner = Loop(5, True, (Map((6,), ((0, load),), (), ((0, store),)),))
    plan = Plan(
        (Buffer("input", 120, "float64"), Buffer("output", 120, "float64")), (Loop(4, False, (inner,)),)
    )
    np.testing.assert_array_equal(compiled(plan).run([x])[0].reshape(5, 4, 6), x.transpose(1, 0, 2))


def test_the_text_is_the_same_for_other_sizes() -> None:
    short, long = llvm.write(running_sum(7, 21, True)), llvm.write(running_sum(70, 12, True))
    assert short.text == long.text
    assert short.numbers != long.numbers


# Launching


def test_inputs_of_all_kinds() -> None:
    plan = Plan(
        (Buffer("input", 1, "float32"), Buffer("output", 1, "float32")),
        (Map((), ((0, whole(0, ())),), (), ((0, whole(1, ())),)),),
    )
    run = compiled(plan).run
    for x in (np.float32(3), 3.0, np.array(3), np.array([[3.0]]), np.arange(9, dtype="f")[::3][1:2]):
        assert run([x])[0] == 3
    fixed = np.ones(1, "f")
    fixed.flags.writeable = False
    assert run([fixed])[0] == 1
    with pytest.raises(ValueError, match="must have size 1, but has 2"):
        run([np.ones(2)])
    with pytest.raises(ValueError, match="expected 1 inputs, got 2"):
        run([fixed, fixed])


def test_outputs_are_new_each_time_and_inputs_may_change_in_place() -> None:
    x = np.ones((3, 4))
    kernel = compiled(running_sum(3, 4, False))
    first = kernel.run([x])[0]
    kept = first.copy()
    x[:] = 2
    second = kernel.run([x])[0]
    np.testing.assert_array_equal(first, kept)
    assert (second != first).all()
    transposed = np.ones((4, 3)).T
    first = kernel.run([transposed])[0]
    transposed[:] = 2
    np.testing.assert_array_equal(kernel.run([transposed])[0], second)


def test_several_threads() -> None:
    kernel = compiled(running_sum(50, 40, False))
    inputs = [np.random.default_rng(i).standard_normal((50, 40)) for i in range(8)]
    want = [kernel.run([x])[0] for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for got, w in zip(pool.map(lambda x: kernel.run([x])[0], inputs), want):
                np.testing.assert_array_equal(got, w)


def test_cache_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_CACHE_DIR", str(tmp_path / "new"))
    text = llvm.write(running_sum(3, 4, False), vector_bytes=native.vector_bytes()).text + "; once"

    def load() -> native.Compiled:
        native._loaded.clear()
        return native.load(text)

    assert not load().from_disk
    assert load().from_disk
    (file,) = (tmp_path / "new").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert not load().from_disk
    assert load().from_disk
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XGRAD_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert not load().from_disk
    assert native.load(text) is native.load(text)


@pytest.mark.parametrize("source", ["int64", "int32", "float64", "float32", "bool"])
@pytest.mark.parametrize("target", ["int64", "int32", "float64", "float32", "bool"])
@pytest.mark.parametrize("reverse", [False, True])
def test_numbers_alone_in_another_dtype(
    source: str, target: str, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step stores its number both uncast and cast: LLVM may store both from one register."""
    monkeypatch.setenv("XGRAD_NATIVE", "1")
    xs = np.array([0, 1, 2, 3, 5, 7]).astype(source)
    last, ys = xg.scan(lambda c, x: (x, (xg.astype(x, target), x)), xg.asarray(xs[0]), xs, reverse=reverse)
    np.testing.assert_array_equal(ys[0].numpy(), xs.astype(target))
    np.testing.assert_array_equal(ys[1].numpy(), xs)
    np.testing.assert_array_equal(last.numpy(), xs[0] if reverse else xs[-1])


def test_a_scipy_imported_later_keeps_its_own_blas() -> None:
    """Loading a BLAS with global symbols would replace parts of SciPy's, with integers of another size."""
    code = """
from xgrad.backends.cpu import native
import sys
assert native.find_blas() is not None
assert "scipy_openblas64" not in sys.modules
import numpy as np, scipy.linalg
(work,) = scipy.linalg.get_lapack_funcs(("gesdd_lwork",), (np.ones((200, 4)),))
assert 0 < work(200, 4, compute_uv=True, full_matrices=False)[0] < 1e6
"""
    subprocess.run([sys.executable, "-c", code], check=True)
