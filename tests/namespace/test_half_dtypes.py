"""float16 and bfloat16 as dtypes: creation, conversion, arithmetic, derivatives, saving."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import xgrad as xg
from tests.helpers.calls import CALLS, FLAT
from tests.helpers.drawn import shapes
from xgrad.backends.cpu.half import Half, is_half
from xgrad.backends.promotion import promote

BF16 = np.dtype(ml_dtypes.bfloat16)
HALVES = ["float16", "bfloat16"]
EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
half = pytest.mark.parametrize("dtype", HALVES)
#: On the CPU, and on CUDA, where CuPy itself computes in float16.
on = pytest.mark.parametrize("device", ["cpu", "cuda:0"], indirect=True)
both = pytest.mark.parametrize(
    ("device", "dtype"),
    [
        ("cpu", "float16"),
        ("cpu", "bfloat16"),
        ("cuda:0", "bfloat16"),
        pytest.param("cuda:0", "float16", marks=pytest.mark.exhaustive),
    ],
    indirect=["device"],
)
STRONG = """bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64
    complex64 complex128""".split()


def leaves(z: Any) -> list[xg.Tensor]:
    if isinstance(z, tuple | list):
        return [leaf for part in z for leaf in leaves(part)]
    return [z] if isinstance(z, xg.Tensor) else []


def is_classed(z: xg.Tensor) -> bool:
    """Return whether the inner array is a `Half` exactly if its dtype needs float32 arithmetic."""
    half = z.dtype == BF16 if str(z.device).startswith("cuda") else is_half(z.dtype)
    return (type(z.data).__name__ == "Half") == half


def relative(a: Any, b: Any) -> float:
    a, b = (np.asarray(v.numpy()).astype(complex) for v in (a, b))
    return float(np.abs(a - b).max() / (np.abs(b).max() + 1e-3)) if a.size else 0.0


# The dtype


def test_importing_xgrad_does_not_import_ml_dtypes() -> None:
    code = (
        "import sys, xgrad as xg; xg.zeros(3); assert 'ml_dtypes' not in sys.modules; "
        "print(xg.bfloat16, xg.namespace.bfloat16)"
    )
    assert subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split() == ["bfloat16", "bfloat16"]


@pytest.mark.slow
@pytest.mark.parametrize("use", ["xg.bfloat16", "xg.zeros(3, dtype='bfloat16')", "xg.io.load(sys.argv[1])"])
def test_without_ml_dtypes_the_message_says_what_to_install(use: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    xg.io.save(path, {"a": xg.ones(2, dtype="bfloat16")})
    code = (
        f"import sys; sys.modules['ml_dtypes'] = None\nimport xgrad as xg\nxg.ones(2, dtype=xg.float16) "
        f"+ 1.0\n{use}"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert result.returncode
    assert "pip install ml_dtypes" in result.stderr.splitlines()[-1]


def test_bfloat16_by_every_name() -> None:
    for name in ("bfloat16", xg.bfloat16, BF16, ml_dtypes.bfloat16, xg.namespace.bfloat16):
        assert xg.zeros(3, dtype=name).dtype == BF16
        assert xg.asarray([1, 2]).astype(name).dtype == BF16
    with pytest.raises(TypeError, match="not dtype float8_e4m3"):
        xg.asarray(np.zeros(2, ml_dtypes.float8_e4m3))
    with pytest.raises(AttributeError, match="no attribute 'bfloat17'"):
        xg.namespace.bfloat17  # noqa: B018


def test_limits_and_kinds() -> None:
    info = xg.finfo("bfloat16")
    assert (info.bits, info.eps, info.smallest_normal, info.dtype) == (16, 2.0**-7, 2.0**-126, BF16)
    assert info.max == -info.min == (2 - 2.0**-7) * 2.0**127
    assert xg.finfo(xg.ones(2, dtype="bfloat16")) == info
    assert xg.isdtype(xg.bfloat16, "real floating")
    assert xg.isdtype(xg.bfloat16, ("integral", xg.bfloat16))
    assert not xg.isdtype(xg.bfloat16, ("integral", "complex floating", xg.float16))
    assert xg.isdtype(xg.bfloat16, "numeric")


@given(
    st.lists(st.sampled_from([*STRONG, "bfloat16"]), min_size=1, max_size=4),
    st.sampled_from([None, 1, 1.0, True, 1j]),
)
def test_bfloat16_is_promoted_as_float16_is(names: list[str], number: Any) -> None:
    weak = [] if number is None else [number]
    as_float16 = np.result_type(*(np.dtype("float16" if n == "bfloat16" else n) for n in names), *weak)
    found = xg.result_type(*map(xg.backends.dtypes.canonical, names), *weak)
    floats = {n for n in names if n in HALVES}
    if as_float16 != np.float16:
        assert found == as_float16
    else:
        assert found == ("float32" if len(floats) == 2 else BF16 if floats == {"bfloat16"} else "float16")


@given(
    st.sampled_from([*STRONG, "bfloat16"]),
    st.sampled_from(HALVES),
    st.sampled_from(["add", "multiply", "where", "concat", "stack", "equal"]),
)
def test_operands_together_have_the_dtype_that_result_type_says(a: str, b: str, op: str) -> None:
    x, y = xg.ones(3, dtype=a), xg.ones(3, dtype=b)
    for p, q in ((x, y), (y, x)):
        z = (
            xg.where(xg.asarray([True, False, True]), p, q)
            if op == "where"
            else getattr(xg, op)(*([[p, q]] if op in ("concat", "stack") else [p, q]))
        )
        assert z.dtype == ("bool" if op == "equal" else xg.result_type(a, b))
        assert bool(xg.all(z == (1 if op != "add" or a == b == "bool" else 2)))


@on
@half
def test_numbers_are_weak(device: str, dtype: str) -> None:
    x = xg.ones(3, dtype=dtype)
    for z in (
        x + 1,
        x + 1.5,
        2.0 * x,
        x / 3,
        1 / x,
        x**2,
        x**0.5,
        x - True,
        xg.where(x > 0, x, 0.5),
        xg.maximum(x, 0.1),
        xg.clip(x, 0.0, 0.5),
    ):
        assert z.dtype == dtype
    assert (x * 1j).dtype == "complex64"
    assert bool(xg.all(xg.full(3, 0.1, dtype=dtype) == 0.1)), (
        "a number is rounded as the arrays beside it are"
    )
    assert (x * np.float32(2)).dtype == "float32"


@given(
    st.lists(st.sampled_from([*STRONG, "bfloat16"]), min_size=2, max_size=2),
    st.sampled_from(["add", "true_divide", "power", "maximum", "result_type"]),
)
def test_operands_are_cast_for_libraries_that_do_not_promote(names: list[str], rule: str) -> None:
    device = xg.current_device()
    values = [xg.ones(2, dtype=name).data for name in names]
    want = [
        z.dtype
        for z in promote(
            device, rule, [xg.ones(2, dtype="float16" if n == "bfloat16" else n).data for n in names]
        )
    ]
    found = [z.dtype for z in promote(device, rule, values)]
    if "bfloat16" not in names or "float16" not in want:
        assert found == want
    else:
        assert found == [np.result_type("float32") if "float16" in names else BF16] * 2
    if "bfloat16" in names and rule == "add":
        assert promote(device, rule, [values[names.index("bfloat16")], 2.0])[1].dtype == BF16


# Conversions


@given(arrays(np.float32, shapes(), elements=st.floats(width=32, allow_nan=True)), st.sampled_from(HALVES))
def test_rounding_is_to_the_nearest_and_silent(x: np.ndarray, dtype: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        z = xg.asarray(x).astype(dtype)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(z.numpy(), x.astype(z.dtype))
    back = z.astype("float32").astype(dtype)
    np.testing.assert_array_equal(back.numpy().view(np.uint16), z.numpy().view(np.uint16))
    assert type(z.data) is Half
    assert type(z.numpy()) is type(np.asarray(z)) is np.ndarray


@given(st.sampled_from(HALVES), arrays(np.float32, shapes(), elements=st.floats(-1000, 1000, width=32)))
def test_round_trips(dtype: str, x: np.ndarray) -> None:
    t = xg.asarray(x, dtype=dtype)
    for other in (
        xg.asarray(t.numpy()),
        pickle.loads(pickle.dumps(t)),
        copy.deepcopy(t),
        xg.asarray(t.tolist(), dtype=dtype).reshape(t.shape),
        xg.from_dlpack(t),
        xg.asarray(np.asarray(t)[()]),
        xg.tensor(t),
        xg.asarray(t, copy=True),
    ):
        assert other.dtype == dtype
        assert type(other.data) is Half
        np.testing.assert_array_equal(other.numpy(), t.numpy())


@half
def test_checkpoints(dtype: str, tmp_path: Path) -> None:
    saved = {
        "a": xg.asarray([0.1, -2, 3e4], dtype=dtype),
        "b": xg.ones((2, 0), dtype=dtype),
        "c": xg.asarray(1.5, dtype=dtype),
    }
    xg.io.save(tmp_path / "x.safetensors", saved)
    assert (b'"BF16"' if dtype == "bfloat16" else b'"F16"') in (tmp_path / "x.safetensors").read_bytes()
    code = (
        f"import xgrad as xg; t, _ = xg.io.load({str(tmp_path / 'x.safetensors')!r}); "
        f"print(t['a'].dtype, t['a'].tolist(), t['b'].shape, float(t['c']))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split("\n")[0] == f"{dtype} {saved['a'].tolist()} (2, 0) 1.5"


def test_printing() -> None:
    assert (
        repr(xg.asarray([0.1, 2, -3], dtype="bfloat16"))
        == "tensor([ 0.100098,  2.      , -3.      ], dtype=bfloat16)"
    )
    assert repr(xg.asarray([0.1, 2, -3], dtype="float16")) == "tensor([ 0.1,  2. , -3. ], dtype=float16)"
    assert (
        repr(xg.tensor(1.5, dtype="bfloat16", requires_grad=True))
        == "tensor(1.5, dtype=bfloat16, requires_grad=True)"
    )
    with np.printoptions(precision=2):
        assert repr(xg.asarray(0.1, dtype="bfloat16")) == "tensor(0.1, dtype=bfloat16)"


@on
@half
def test_single_values_and_changes_in_place(device: str, dtype: str) -> None:
    x = xg.asarray([0.5, 2.5, -3.0], dtype=dtype)
    assert (float(x[0]), int(x[1]), bool(x[2]), complex(x[0]), f"{x[0]:.2f}") == (0.5, 2, True, 0.5, "0.50")
    x[0] = 3.3
    x[1:] = xg.asarray([1.0, 2.0])
    x += xg.ones(3, dtype="float32")
    assert x.dtype == dtype
    np.testing.assert_array_equal(
        x.numpy(), (np.asarray([3.3, 1, 2], x.dtype).astype("float32") + 1).astype(x.dtype)
    )
    with pytest.raises(TypeError, match="complex"):
        x += 1j
    i = xg.zeros(3, dtype="int32")
    with pytest.raises(TypeError, match="int32"):
        i += x


def test_a_backend_without_them_says_so() -> None:
    for dtype in HALVES:
        with pytest.raises(TypeError, match=f"strict has no dtype {dtype}"):
            xg.zeros(3, dtype=dtype, device="strict:1")


# Arithmetic


@pytest.mark.parametrize("name", CALLS)
@both
def test_every_function_computes_in_float32_and_rounds(name: str, device: str, dtype: str) -> None:
    for call in CALLS[name]:
        if name in ("asarray", "astype", "from_dlpack") or not any(a.dtype.kind == "f" for a in call.arrays):
            continue
        inputs = [xg.asarray(a, dtype=dtype) if a.dtype.kind == "f" else xg.asarray(a) for a in call.arrays]
        full = [x.astype("float32") if x.dtype == dtype else x for x in inputs]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for z, exact in zip(leaves(call.f(xg, *inputs)), leaves(call.f(xg, *full)), strict=True):
                assert z.dtype == (dtype if exact.dtype == "float32" else exact.dtype)
                assert is_classed(z)
                assert z.shape == exact.shape
                assert relative(z, exact) < 4 * EPS[dtype]


@pytest.mark.parametrize("name", [n for n in CALLS if n not in FLAT])
@both
def test_every_gradient_has_the_dtype_of_its_operand(name: str, device: str, dtype: str) -> None:
    for call in CALLS[name]:
        if not call.arrays or any(a.dtype.kind == "c" for a in call.arrays):
            continue
        inputs = [xg.asarray(a, dtype=dtype) if a.dtype.kind == "f" else xg.asarray(a) for a in call.arrays]
        full = [x.astype("float32") if x.dtype == dtype else x for x in inputs]
        chosen = tuple(i for i, x in enumerate(inputs) if x.dtype == dtype)

        def loss(*args: Any, f: Any = call.f) -> Any:
            floating = [
                z for z in leaves(f(xg, *args)) if xg.isdtype(z.dtype, ("real floating", "complex floating"))
            ]
            return sum(
                xg.sum(xg.abs(z) ** 2) if z.dtype.kind == "c" else xg.sum(z.astype("float32") ** 2)
                for z in floating
            )

        if not chosen or not leaves(call.f(xg, *full)):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for g, exact in zip(
                xg.grad(loss, argnums=chosen)(*inputs), xg.grad(loss, argnums=chosen)(*full), strict=True
            ):
                assert g.dtype == dtype
                assert is_classed(g)
                assert relative(g, exact) < 8 * EPS[dtype]


@on
@half
def test_sums_and_products_accumulate_in_float32(device: str, dtype: str) -> None:
    ones = xg.ones((3000, 2), dtype=dtype)
    rounded = float(xg.asarray(3000, dtype=dtype))
    assert xg.sum(ones, axis=0).tolist() == [rounded] * 2
    assert xg.cumulative_sum(ones[:, 0])[-1].item() == rounded
    assert (ones.T @ ones).tolist() == [[rounded] * 2] * 2
    assert xg.einsum("ij,ij->j", ones, ones).tolist() == [rounded] * 2
    assert xg.mean(xg.full(100_000, 0.5, dtype=dtype)).item() == 0.5
    assert xg.grad(lambda x: xg.sum(x[xg.asarray([0] * 3000)]))(ones[0, :1]).tolist() == [rounded], (
        "and those of a gradient"
    )
    x, y = (xg.random.default_rng(i).normal(size=(8, 500)).astype(dtype) for i in (0, 1))
    exact = x.numpy().astype("float32") @ y.numpy().astype("float32").T
    np.testing.assert_array_equal((x @ y.T).numpy(), exact.astype(x.dtype))


@half
def test_the_mean_of_many_keeps_its_gradient(dtype: str) -> None:
    g = xg.grad(lambda x: xg.mean(x))(xg.ones(100_000, dtype=dtype))
    assert abs(float(g[0]) * 100_000 - 1) < 4e-3


@on
def test_next_numbers_are_those_of_the_dtype(device: str) -> None:
    for dtype in HALVES:
        assert xg.nextafter(xg.ones(1, dtype=dtype), xg.asarray([2.0], dtype=dtype)).item() == 1 + EPS[dtype]
    x = xg.asarray([1.0, 1.0, -1.0, -1.0, 0.0, -0.0, 3.0, float("nan"), 2.0], dtype="bfloat16")
    y = xg.asarray([2.0, -2.0, 2.0, -2.0, 1.0, -1.0, 3.0, 1.0, float("inf")], dtype="bfloat16")
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(
            xg.nextafter(x, y).numpy().astype(float), np.nextafter(x.numpy(), y.numpy()).astype(float)
        )


def test_arrays_of_numpy_beside_tensors() -> None:
    x, y = np.full(3, 0.5, BF16), xg.ones(3, dtype="bfloat16")
    for z in (y + x, x + y, np.add(y, x), xg.add(x, x), np.tanh(y), xg.where(y > 0, x, y)):
        assert isinstance(z, xg.Tensor)
        assert z.dtype == BF16
    (dx, dy) = xg.deriv(np.ones(3, BF16), x, np.ones((), BF16), "*")
    assert (dx.dtype, dy.dtype, dy.item()) == (BF16, BF16, 1.5)


def test_with_plain_numpy_the_arrays_inside_stay_what_they_are() -> None:
    x = xg.asarray([1.0, 2.0, 4.0], dtype="bfloat16").data
    out = np.zeros(3, np.float32)
    assert np.add(x, 1.0, out=out) is out
    assert out.tolist() == [2, 3, 5]
    y = x.copy()
    np.add.at(y, [0, 0], x[:2])
    y *= 0.5
    np.multiply(y, 10.0, out=y, where=np.asarray([True, False, False]))
    assert (y.tolist(), type(y), y.dtype) == ([20, 1, 2], Half, BF16)
    with pytest.raises(TypeError, match="to int64"):
        np.add(x, 1.5, out=np.zeros(3, np.int64))
    assert np.add.reduceat(x, [0, 2]).tolist() == [3, 4]
    assert [type(z) for z in np.divmod(x, 3.0)] == [Half, Half]
    assert np.shares_memory(np.reshape(x, (3, 1)), x)
    assert type(x.astype("float32")) in (np.ndarray, Half)
    assert repr(x) == "array([1, 2, 4], dtype=bfloat16)"


# Gradients


@on
@half
def test_a_leaf_has_a_gradient_of_its_dtype(device: str, dtype: str) -> None:
    x = xg.tensor([0.5, 1.0], dtype=dtype, requires_grad=True)
    for _ in range(2):
        xg.sum(xg.tanh(x) * xg.asarray([1.0, 2.0], dtype="float32")).backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype
    np.testing.assert_allclose(
        x.grad.numpy().astype(float), 2 * np.asarray([1, 2]) / np.cosh([0.5, 1]) ** 2, rtol=4 * EPS[dtype]
    )


def through_plain(f: Any, x: Any) -> Any:
    return f(x)


def through_scan(f: Any, x: Any) -> Any:
    return xg.scan(lambda h, _: (f(h), None), x, None, length=2)[0]


def through_checkpoint(f: Any, x: Any) -> Any:
    return xg.checkpoint(f)(x)


def through_compile(f: Any, x: Any) -> Any:
    return xg.compile(f)(x)


@pytest.mark.parametrize("through", [through_plain, through_scan, through_checkpoint, through_compile])
@on
@half
def test_a_cast_inside_gives_float32_gradients_to_the_second_order(
    through: Any, device: str, dtype: str
) -> None:
    def loss(x: xg.Tensor, cast: str = dtype) -> xg.Tensor:
        return xg.sum(through(lambda h: xg.tanh(h.astype(cast) * 1.5).astype("float32"), x) ** 2)

    x = xg.asarray([0.25, -0.5, 0.75], dtype="float32")
    v = xg.asarray([1.0, 2.0, -1.0], dtype="float32")
    exact = lambda x: loss(x, "float32")
    for found, expected in (
        (xg.grad(loss)(x), xg.grad(exact)(x)),
        (xg.compile(xg.grad(loss))(x), xg.grad(exact)(x)),
        (xg.hvp(loss, (x,), (v,)), xg.hvp(exact, (x,), (v,))),
        (xg.grad(lambda x: xg.sum(xg.grad(loss)(x) * v))(x), xg.hvp(exact, (x,), (v,))),
        (xg.jvp(loss, (x,), (v,))[1], xg.jvp(exact, (x,), (v,))[1]),
    ):
        assert found.dtype == "float32"
        assert relative(found, expected) < 16 * EPS[dtype]


@half
def test_compiled_it_is_native_code(dtype: str) -> None:
    """Each op is rounded as in eager code, but the optimised program orders ops differently."""
    rng = xg.random.default_rng(0)
    gru, xs = xg.nn.GRU(3, 4, dtype=dtype, rng=rng), rng.normal(size=(5, 2, 3), dtype=dtype)
    slope = xg.grad(lambda gru, xs: xg.mean(gru(xs)[0].astype("float32") ** 2))
    compiled = xg.compile(slope)
    for _ in range(2):
        for a, b in zip(slope(gru, xs).parameters(), compiled(gru, xs).parameters(), strict=True):
            assert a.dtype == b.dtype == dtype
            assert relative(a, b) <= 4 * EPS[dtype]
            assert is_classed(b)
    assert "call of" not in compiled.explain(gru, xs)


@half
def test_what_a_compiled_program_gives_is_computed_with_as_its_dtype_asks_for(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums are computed in float32: by native code, by NumPy without it, and on returned values."""
    ones = xg.ones((3000, 2), dtype=dtype)
    rounded = float(xg.asarray(3000, dtype=dtype))
    for native in ("1", "0"):
        monkeypatch.setenv("XGRAD_NATIVE", native)
        total, each, sums, last = xg.compile(
            lambda x: (xg.sum(x, axis=0), x * 1, xg.cumulative_sum(x, axis=0), xg.sort(x, axis=0))
        )(ones)
        assert total.tolist() == sums[-1].tolist() == [rounded] * 2
        assert xg.sum(each, axis=0).tolist() == xg.sum(last, axis=0).tolist() == [rounded] * 2
        assert all(map(is_classed, (total, each, sums, last)))


def test_programs_show_it_and_are_not_written_as_plain_numpy() -> None:
    program = xg.trace(lambda x: xg.sum(x.astype("bfloat16") * 2.0), xg.ones(3))
    assert "bfloat16" in str(program)
    assert "dz" in str(xg.derive(lambda x: xg.sum(x.astype("bfloat16") * 2.0), xg.ones(3)))
    with pytest.raises(TypeError, match="np has no bfloat16"):
        program.source()
    with pytest.raises(TypeError, match="np has no bfloat16"):
        xg.trace(lambda x: x * 2, xg.ones(3, dtype="bfloat16")).source()


# Random numbers


@half
def test_random_numbers_are_those_of_float32_rounded(dtype: str) -> None:
    def draws(dtype: str) -> list[xg.Tensor]:
        rng = xg.random.default_rng(3)
        return [
            rng.normal(1.0, 2.0, 50, dtype=dtype),
            rng.standard_normal(50, dtype),
            rng.gamma(2.0, size=50, dtype=dtype),
            rng.poisson(3.0, 50, dtype=dtype),
            rng.truncated_normal(-1.0, 1.0, size=50, dtype=dtype),
            rng.gumbel_softmax([0.1, 0.2], size=50, dtype=dtype),
            rng.weibull(2.0, 50, dtype=dtype),
        ]

    for found, full in zip(draws(dtype), draws("float32"), strict=True):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.numpy(), full.astype(dtype).numpy())


@half
def test_even_numbers_stay_below_the_end(dtype: str) -> None:
    rng = xg.random.default_rng(0)
    for z, high in (
        (rng.random(20_000, dtype), 1),
        (rng.uniform(2.0, 3.0, 20_000, dtype=dtype), 3),
        (rng.uniform(-2.0, -1.0, 20_000, dtype=dtype), -1),
    ):
        assert z.dtype == dtype
        assert float(xg.max(z)) < high
    assert xg.all(rng.uniform(1.0, 1.0, 5, dtype=dtype) == 1)
    scale = xg.ones(3, dtype=dtype)
    assert xg.grad(lambda s: xg.sum(rng.normal(0.0, s, 3, dtype=dtype)))(scale).dtype == dtype


# Compared with torch


@pytest.mark.parity
@half
def test_casts_and_ops_agree_with_torch(dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: `make parity` installs it")
    kind = getattr(torch, dtype)
    x = np.random.default_rng(0).normal(size=(64, 32)).astype("float32") * np.float32(10.0) ** np.arange(
        -16, 16, dtype="float32"
    )
    ours, theirs = xg.asarray(x).astype(dtype), torch.from_numpy(x).to(kind)
    assert torch.equal(torch.from_dlpack(ours), theirs)
    np.testing.assert_array_equal(xg.from_dlpack(theirs).numpy(), ours.numpy())
    x = np.random.default_rng(1).normal(size=(64, 32)).astype("float32")
    ours, theirs = (
        xg.tensor(x, dtype=dtype, requires_grad=True),
        torch.from_numpy(x).to(kind).requires_grad_(),
    )
    pairs = [
        (ours + ours * 0.5, theirs + theirs * 0.5),
        (ours / 3, theirs / 3),
        (xg.tanh(ours), torch.tanh(theirs)),
        (xg.exp(ours), torch.exp(theirs)),
        (xg.sum(ours, axis=0), theirs.sum(0)),
        (xg.mean(ours), theirs.mean()),
        (xg.max(ours, axis=1), theirs.amax(1)),
        (ours @ ours.T, theirs @ theirs.T),
    ]
    for a, b in pairs:
        np.testing.assert_allclose(
            a.numpy().astype("float32"), b.detach().float().numpy(), rtol=2 * EPS[dtype], atol=4 * EPS[dtype]
        )
    xg.sum(xg.tanh(ours @ ours.T)).backward()
    torch.tanh(theirs @ theirs.T).sum().backward()
    assert ours.grad is not None
    np.testing.assert_allclose(
        ours.grad.numpy().astype("float32"),
        theirs.grad.float().numpy(),
        rtol=0.05,
        atol=0.2 if dtype == "bfloat16" else 0.05,
    )
