"""Elementwise functions: NumPy's values for every dtype, shape and stride, and correct gradients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, mutually_broadcastable_shapes

import xgrad as xg
from tests.helpers.gradient_cases.elementwise import GATES, SMOOTH
from tests.helpers.gradient_cases.ops import distinct, placed

FUNCTIONS = sorted([*GATES, "sign"])

BOOLEAN, SIGNED, UNSIGNED = (
    ["bool"],
    ["int8", "int16", "int32", "int64"],
    ["uint8", "uint16", "uint32", "uint64"],
)
REAL, COMPLEX = ["float32", "float64"], ["complex64", "complex128"]
INTEGER, FLOATING = SIGNED + UNSIGNED, REAL + COMPLEX

#: The dtypes that the standard allows for a function, if not the floating ones.
DTYPES: dict[str, list[str]] = {
    **dict.fromkeys(["equal", "not_equal"], BOOLEAN + INTEGER + FLOATING),
    **dict.fromkeys(["less", "less_equal", "greater", "greater_equal", "maximum", "minimum"], INTEGER + REAL),
    **dict.fromkeys(["floor_divide", "remainder", "floor", "ceil", "trunc"], INTEGER + REAL),
    **dict.fromkeys(
        [
            "add",
            "subtract",
            "multiply",
            "square",
            "positive",
            "round",
            "sign",
            "isnan",
            "isinf",
            "isfinite",
            "pow",
        ],
        INTEGER + FLOATING,
    ),
    **dict.fromkeys(["negative", "abs"], SIGNED + FLOATING),
    **dict.fromkeys(
        ["atan2", "copysign", "hypot", "logaddexp", "nextafter", "signbit", "relu", "sigmoid"], REAL
    ),
    **dict.fromkeys(["logical_and", "logical_or", "logical_xor", "logical_not"], BOOLEAN),
    **dict.fromkeys(["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert"], BOOLEAN + INTEGER),
    **dict.fromkeys(["bitwise_left_shift", "bitwise_right_shift"], SIGNED),
    "real": COMPLEX,
    "imag": COMPLEX,
}

#: Intervals on which a real function is defined and smooth, unless it is so everywhere.
DOMAIN = {
    **dict.fromkeys(["acos", "asin", "atanh"], (-0.9, 0.9)),
    **dict.fromkeys(
        ["log", "log2", "log10", "sqrt", "pow", "reciprocal", "divide", "relu", "abs", "remainder"],
        (0.3, 3.0),
    ),
    "acosh": (1.2, 3.0),
    "tan": (-1.2, 1.2),
    "log1p": (-0.5, 3.0),
}


def in_numpy(name: str) -> Any:
    """Return NumPy's equivalent of one of our functions."""
    if name in ("sigmoid", "relu"):
        return {
            "sigmoid": lambda x: ((np.tanh(x * x.dtype.type(0.5)) + 1) / 2).astype(x.dtype),
            "relu": lambda x: np.where(x < 0, x.dtype.type(0), x),
        }[name]
    return (
        np.round if name == "round" else getattr(np, GATES[name].listing.numpy[0] if name in GATES else name)
    )


def whole_numbers(dtype: str, shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Draw arrays of small integers, on which arithmetic in every dtype is exact or correctly rounded."""
    low = 0 if dtype in UNSIGNED + BOOLEAN else -4
    elements = st.integers(low, 1 if dtype == "bool" else 4)
    if dtype in COMPLEX:
        elements = st.builds(complex, elements, elements)
    return arrays(np.dtype(dtype), shape, elements=elements)


@st.composite
def operands(draw: Any, name: str, mixed: bool) -> list[np.ndarray]:
    """Draw arrays that broadcast, with dtypes that a function accepts, some of them views."""
    arity = GATES[name].arity if name in GATES else 1
    shapes = draw(
        mutually_broadcastable_shapes(num_shapes=arity, max_dims=3, max_side=3, min_side=0)
    ).input_shapes
    known = DTYPES.get(name, FLOATING)
    first = draw(st.sampled_from(known))
    dtypes = (
        [first] * arity if not mixed else [first, *(draw(st.sampled_from(known)) for _ in range(arity - 1))]
    )
    drawn = [draw(whole_numbers(d, s)) for d, s in zip(dtypes, shapes, strict=True)]
    if "shift" in name or (name == "pow" and np.dtype(dtypes[-1]).kind == "i"):
        drawn[1] = abs(drawn[1])  # integers have no negative powers
    turn = draw(st.sampled_from(["as it is", "reversed", "transposed"]))
    return [
        a[::-1].copy()[::-1]
        if turn == "reversed" and a.ndim
        else np.asfortranarray(a)
        if turn == "transposed"
        else a
        for a in drawn
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_dtypes_are_numpys(name: str, device: str) -> None:
    @given(st.data())
    def check(data: st.DataObject) -> None:
        args = data.draw(operands(name, mixed=data.draw(st.booleans())))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            expected = in_numpy(name)(*args)
            z = getattr(xg, name)(*placed(tuple(args)))
        assert z.dtype == expected.dtype
        assert z.shape == expected.shape
        precision = 1e-5 if expected.dtype.itemsize <= 4 or expected.dtype == "complex64" else 1e-12
        np.testing.assert_allclose(z.numpy(), expected, rtol=precision, atol=precision)

    check()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_python_numbers_are_weak(name: str) -> None:
    if name in GATES and GATES[name].arity == 2 and "float32" in DTYPES.get(name, FLOATING):
        x = np.asarray([0.5, 2.0, 3.0], "f")
        for number in (2, 0.25, True):
            if number is True and name in ("subtract", "nextafter"):
                continue
            ours, theirs = getattr(xg, name), in_numpy(name)
            for z, expected in (
                (ours(xg.asarray(x), number), theirs(x, number)),
                (ours(number, xg.asarray(x)), theirs(number, x)),
            ):
                assert z.dtype == expected.dtype
                np.testing.assert_allclose(z.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpys_function_on_tensors_is_ours(name: str, device: str) -> None:
    dtype = DTYPES.get(name, FLOATING)[0]
    arity = GATES[name].arity if name in GATES else 1
    args = [xg.astype(xg.asarray([1, 0, 1]), dtype) for _ in range(arity)]
    if name in ("sigmoid", "relu"):
        assert not hasattr(np, name)
        return
    with np.errstate(all="ignore"):
        z = in_numpy(name)(*args)
        expected = getattr(xg, name)(*args)
    assert isinstance(z, xg.Tensor)
    assert z.device == device
    np.testing.assert_array_equal(z.numpy(), expected.numpy())


def sample(name: str, shape: tuple[int, ...], i: int = 0) -> np.ndarray:
    """Return an operand in the domain of a function, with no two equal elements."""
    low, high = DOMAIN.get(name, (-2.0, 2.0)) if (name, i) != ("remainder", 1) else (3.5, 4.0)
    return low + (high - low) * (distinct(*shape) + 0.51 + 0.013 * i) / 1.05


SHAPES = [
    ((), ()),
    ((0,), (0,)),
    ((1,), (3,)),
    ((2, 1), (1, 3)),
    ((2, 3), ()),
    ((0, 3), (1, 3)),
    ((4, 1, 2), (3, 1)),
]


@pytest.mark.slow
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", SMOOTH)
def test_gradients(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]], device: str) -> None:
    args = tuple(sample(name, s, i) for i, s in enumerate(shapes[: GATES[name].arity]))
    xg.check_grads(getattr(xg, name), placed(args), order=2)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_in_float32(name: str, device: str) -> None:
    args = tuple(sample(name, (3, 4), i).astype("f") for i in range(GATES[name].arity or 1))
    z, pull = xg.vjp(getattr(xg, name), *placed(args))
    assert z.dtype == xg.float32
    assert all(g.dtype == xg.float32 for g in pull(xg.ones(z.shape, dtype=xg.float32)))
    if name != "nextafter":  # its float32 step is smaller than the difference steps
        xg.check_grads(getattr(xg, name), placed(args), order=1)


FLAT = sorted(name for name in FUNCTIONS if name not in GATES or not GATES[name].differentiable)


@pytest.mark.parametrize("name", FLAT)
def test_what_is_flat_or_no_number_has_no_gradient(name: str) -> None:
    if set(REAL) & set(DTYPES.get(name, FLOATING)):
        x = xg.tensor([1.0, -2.0], requires_grad=True)
        assert not getattr(xg, name)(*[x] * (GATES[name].arity if name in GATES else 1)).requires_grad


def test_whole_quotients_of_infinity_are_the_standards(device: str) -> None:
    inf = float("inf")
    x, y = xg.asarray([inf, inf, -inf, 3.0, -3.0, 1.0]), xg.asarray([2.0, -2.0, 2.0, -inf, inf, 0.1])
    with np.errstate(invalid="ignore"):
        z = (x // y).numpy()
    # CuPy computes floor(x / y)
    assert z.tolist() == [inf, -inf, -inf, 0, 0, 10 if device.startswith("cuda") else 9]
    assert np.signbit(z[3:5]).all()


@pytest.mark.parametrize("dtype", REAL)
def test_roots_written_as_powers_are_the_standards(dtype: str, device: str) -> None:
    x = xg.asarray([-np.inf, -0.0, 4.0], dtype=dtype)
    for half in (
        0.5,
        np.float64(0.5),
        xg.asarray(0.5, dtype=dtype),
        xg.asarray([0.5], dtype=dtype),
        xg.full((3,), 0.5),
    ):
        z = (x**half).numpy()
        assert z.tolist() == [np.inf, 0, 2]
        assert not np.signbit(z).any()
    assert (x**0.5).dtype == dtype
    assert (xg.asarray([4], dtype="int8") ** 0.5).dtype == xg.float64
    assert gradient(lambda x: x**0.5, 4.0) == [0.25]
    np.testing.assert_allclose((xg.asarray([-4 + 0j]) ** (0.5 + 0j)).numpy(), [2j], atol=1e-15)


@pytest.mark.parametrize("dtype", REAL)
def test_whole_numbers_of_any_size_beside_floats(dtype: str, device: str) -> None:
    if device.startswith("cuda"):
        pytest.skip("CuPy takes no whole number beyond 64 bits")
    x = xg.asarray([2.5, -2.5], dtype=dtype)
    for f in (xg.add, xg.subtract, xg.multiply, xg.divide, xg.floor_divide, xg.remainder):
        for z, expected in ((f(x, 2**64), f(x, 2.0**64)), (f(-(2**64), x), f(-(2.0**64), x))):
            assert z.dtype == dtype
            np.testing.assert_array_equal(z.numpy(), expected.numpy())


def test_the_sign_of_a_complex_number_has_its_direction(device: str) -> None:
    x = xg.asarray(np.array([3 + 4j, 0j, -2j]))
    np.testing.assert_allclose(xg.sign(x).numpy(), [0.6 + 0.8j, 0, -1j])
    xg.check_grads(
        lambda x: xg.real(xg.sign(xg.astype(x, "complex128") * (1 + 2j) + 2j)),
        placed((distinct(4),)),
        order=2,
    )
    z = np.array([1 + 2j, -0.5j, -3 + 0j, 0.2 - 0.7j])
    for f in (xg.sign, xg.abs, lambda z: xg.abs(z) ** 3, lambda z: xg.abs(xg.sign(z) + 1j * z)):
        xg.check_grads(f, placed((z,)), order=2)
    assert xg.grad(lambda z: xg.real(xg.sum(xg.sign(z))))(xg.asarray(np.zeros(1, complex))).item() == 0
    move, eps = np.array([1.0, -1j, 0.5, 1 + 1j]), 1e-6
    slope = xg.jvp(xg.sign, placed((z,)), placed((move,)))[1].numpy()
    np.testing.assert_allclose(
        slope, (np.sign(z + eps * move) - np.sign(z - eps * move)) / (2 * eps), rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("dtype", COMPLEX)
def test_the_sign_of_a_complex_number_of_any_size(dtype: str, device: str) -> None:
    least, most = float(np.finfo(dtype).smallest_subnormal), float(np.finfo(dtype).max)
    for size in (least, 1e-40, 1.0, most):
        x = np.array([complex(size, size), complex(-size, 0), complex(0, size), complex(size, -size)], dtype)
        root = 2**-0.5
        expected = [complex(root, root), -1, 1j, complex(root, -root)]
        np.testing.assert_allclose(xg.sign(xg.asarray(x)).numpy(), expected, rtol=1e-6)
        np.testing.assert_allclose(xg.deriv(np.ones(4, x.real.dtype), x, None, "abs")[0], expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", COMPLEX)
def test_expm1_of_complex_numbers_on_the_real_axis(dtype: str, device: str) -> None:
    for real, expected in (
        (0.0, 0.0),
        (-0.0, 0.0),
        (np.inf, np.inf),
        (np.nan, np.nan),
        (-np.inf, -1.0),
        (1.0, np.expm1(1.0)),
    ):
        for imag in (0.0, -0.0):
            with np.errstate(invalid="ignore"):
                z = xg.expm1(xg.asarray(np.array([complex(real, imag)], dtype))).numpy()
            np.testing.assert_allclose([z.real[0], z.imag[0]], [expected, 0], rtol=1e-6)
            assert np.signbit(z.imag[0]) == np.signbit(imag)
            assert np.isnan(real) or np.signbit(z.real[0]) == (expected < 0)


def test_log1p_of_complex_numbers_of_any_size(device: str) -> None:
    x = np.array(
        [1.7e308 + 1.7e308j, -1e200 + 1e-5j, 1e18j, 1e16 - 1e16j, 3 + 4j, 1e-20j, complex(-np.inf, np.inf)]
    )
    expected = np.log(x.astype(np.clongdouble) + 1)
    expected[5] = 1e-20j
    with np.errstate(all="raise"):
        z = xg.log1p(xg.asarray(x)).numpy()
    np.testing.assert_allclose(z, expected.astype(complex), rtol=1e-15)
    small = xg.log1p(xg.asarray(np.array([3e38 + 3e38j, 1 + 1j], "complex64"))).numpy()
    np.testing.assert_allclose(small, np.log1p(np.array([3e38 + 3e38j, 1 + 1j])), rtol=1e-6)
    xg.check_grads(xg.log1p, (xg.asarray(np.array([3 + 4j, 0.1 - 0.2j])),), order=2)


def test_hypot_is_flat_at_the_origin() -> None:
    dx, dy = xg.deriv(np.ones(1), np.zeros(1), np.zeros(1), "hypot")
    assert dx.item() == dy.item() == 0


def test_logaddexp_of_nothing(device: str) -> None:
    low = xg.asarray(-float("inf"))
    assert xg.logaddexp(low, low).item() == -float("inf")
    assert xg.grad(lambda x: xg.logaddexp(x, 1.0))(low).item() == 0


def gradient(f: Any, *x: Any, dtype: str = "float64") -> list[float]:
    """Return the gradient of the sum of its values, with respect to all operands."""
    with np.errstate(all="ignore"):
        return [
            g.item()
            for g in xg.grad(lambda *x: xg.sum(f(*x)), argnums=tuple(range(len(x))))(
                *(xg.asarray(v, dtype=dtype) for v in x)
            )
        ]


def test_logaddexp_of_infinity(device: str) -> None:
    dx, dy = gradient(xg.logaddexp, np.inf, 0.0)
    assert np.isnan(dx)
    assert dy == 0


def test_gradients_keep_their_digits_near_the_ends_of_a_domain(device: str) -> None:
    eps = 2.0**-40
    for f, x, expected in (
        (xg.expm1, -30.0, np.exp(-30)),
        (xg.asin, 1 - eps, 1 / np.sqrt(eps * (2 - eps))),
        (xg.acos, -1 + eps, -1 / np.sqrt(eps * (2 - eps))),
        (xg.atanh, 1 - eps, 1 / (eps * (2 - eps))),
        (xg.asinh, 1e200, 1e-200),
        (xg.asinh, -1e-200, 1.0),
    ):
        np.testing.assert_allclose(gradient(f, x), [expected], rtol=1e-14)
    np.testing.assert_allclose(gradient(xg.asinh, 1e30, dtype="float32"), [1e-30], rtol=1e-6)


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_atan2_of_any_size(size: float, device: str) -> None:
    np.testing.assert_allclose(
        gradient(xg.atan2, 3 * size, 4 * size), [0.16 / size, -0.12 / size], rtol=1e-14
    )


def test_clip(device: str) -> None:
    x = distinct(2, 3) * 3
    for low, high in ((-1.0, 1.0), (None, 0.5), (0.25, None), (None, None), (np.full((3,), -0.5), 1.0)):
        bounds = [b if b is None or isinstance(b, float) else xg.asarray(b) for b in (low, high)]
        z = xg.clip(xg.asarray(x), *bounds)
        np.testing.assert_array_equal(z.numpy(), x if low is high is None else np.clip(x, low, high))
        xg.check_grads(lambda x: xg.clip(x, *bounds), placed((x,)), order=2)
    assert xg.clip(xg.asarray([1, 9], dtype="int8"), 2, 5).dtype == xg.int8
    assert xg.grad(lambda x: xg.clip(x, 0.0, 1.0))(1.0).item() == 1


@pytest.mark.parametrize("base", [2, 2.0, 0.0, 2 + 1j, -2 + 0j, True])
@pytest.mark.parametrize("x", [2.0, 3.5])
def test_numbers_to_the_power_of_tensors(base: Any, x: float, device: str) -> None:
    """Numbers and arrays as bases: d/dx base ** x = base ** x log base, once and twice."""
    f = lambda x: xg.real(base**x)
    log = np.log(complex(base)) if base else 0
    power = complex(base) ** x
    given = xg.asarray(x)
    for g in (xg.grad(f), xg.compile(xg.grad(f)), lambda x: xg.jvp(f, (x,), (1.0,))[1]):
        np.testing.assert_allclose(g(given).numpy(), (power * log).real, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        xg.grad(xg.grad(f))(given).numpy(), (power * log**2).real, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 12, -1, -2, -3, 2.0, 3.0])
def test_complex_powers_of_small_whole_numbers_are_products(n: float, device: str) -> None:
    z = np.array([1 + 2j, -3 - 1j, 5j, 2])
    found = (xg.asarray(z) ** n).numpy()
    if n < 0 and device.startswith("cuda"):  # CuPy divides complex numbers in another order
        np.testing.assert_allclose(found, z**n, rtol=1e-15)
    else:
        assert np.array_equal(found, z**n)
    slope = n * z ** (n - 1) if n else 0 * z
    np.testing.assert_allclose(
        xg.grad(lambda z: xg.sum(xg.real(z**n)))(xg.asarray(z)).numpy(), np.conj(slope), rtol=1e-15
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_remainders_of_special_numbers(dtype: str) -> None:
    """% follows NumPy, and // the standard: the floor of the quotient if one operand is infinite.

    Compiled code agrees with eager code, signs of zeros included.
    """
    few = np.array(
        [np.inf, -np.inf, np.nan, 0.0, -0.0, 1.5, -1.5, 3.0, -3.0, np.finfo(dtype).smallest_subnormal], dtype
    )
    x, y = np.repeat(few, len(few)), np.tile(few, len(few))
    with np.errstate(all="ignore"):
        floors = np.where(np.isinf(x) | np.isinf(y), np.floor(x / y), x // y)
        for f, want in ((lambda x, y: x % y, x % y), (lambda x, y: x // y, floors)):
            run = xg.compile(lambda x, y, f=f: f(x, y) * 1)
            for z in (
                f(xg.asarray(x), xg.asarray(y)),
                run(xg.asarray(x), xg.asarray(y)),
                run(xg.asarray(x), xg.asarray(y)),
            ):
                np.testing.assert_array_equal(z.numpy(), want)
                assert (np.signbit(z.numpy()) == np.signbit(want))[~np.isnan(want)].all()
