"""Linear algebra of small matrices in native code, compared with NumPy, and the ops left to NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xgrad as xg
from xgrad.backends.cpu import host_calls

SEEDS = st.integers(0, 2**32 - 1)


#: The library calls made by native code.
CALLS: list[int] = []


@pytest.fixture(autouse=True, scope="module")
def _noted() -> Iterator[None]:
    run = host_calls._Run.call

    def call(self: Any, number: int, steps: Any) -> None:
        CALLS.append(number)
        run(self, number, steps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_calls._Run, "call", call)
        yield


def native(f: Callable[..., Any], *args: Any) -> Any:
    """Return the result of native code, which must make no library call."""
    compiled = xg.compile(f)
    assert "calls of the array library" not in compiled.explain(*args)
    CALLS.clear()
    found = compiled(*args)
    assert not CALLS
    return found


def matrices(data: st.DataObject, n: int, m: int | None = None) -> np.ndarray[Any, Any]:
    """Draw a stack of matrices with singular values between 0.5 and 2, C-ordered or a transposed view."""
    rng = np.random.default_rng(data.draw(SEEDS))
    stacked = data.draw(st.sampled_from([(), (1,), (3,), (0,), (2, 2)]))
    m = n if m is None else m
    u, _, vh = np.linalg.svd(rng.normal(size=(*stacked, n, m)), full_matrices=False)
    x = (u * rng.uniform(0.5, 2, size=(*stacked, 1, min(n, m)))) @ vh
    x = x.astype(data.draw(st.sampled_from(["float64", "float32"])))
    return np.swapaxes(np.swapaxes(x, -1, -2).copy(), -1, -2) if data.draw(st.booleans()) else x


def close(found: Any, expected: Any, factor: float = 1) -> None:
    """Check equality to all but the last few digits."""
    for z, w in zip(
        found if isinstance(found, tuple) else (found,),
        expected if isinstance(expected, tuple) else (expected,),
        strict=True,
    ):
        assert z.dtype == w.dtype
        tolerance = factor * (1e-12 if w.dtype == np.float64 else 2e-4)
        np.testing.assert_allclose(z.numpy(), w, rtol=tolerance, atol=tolerance)


def T(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def cofactors(x: Any) -> Any:
    return np.linalg.det(x)[..., None, None] * T(np.linalg.inv(x))


L = xg.linalg
OPS: dict[str, tuple[Any, Any]] = {
    "inv": (L.inv, np.linalg.inv),
    "inv of the transpose": (lambda x: L.inv(x.mT), lambda x: np.linalg.inv(T(x))),
    "its transpose": (lambda x: L.inv(x).mT * 2, lambda x: T(np.linalg.inv(x)) * 2),
    "det": (L.det, np.linalg.det),
    "slogdet": (lambda x: tuple(L.slogdet(x)), lambda x: tuple(np.linalg.slogdet(x))),
    "cofactor": (xg.grad(lambda x: xg.sum(L.det(x))), cofactors),
    "matrix_power": (lambda x: L.matrix_power(x, -3), lambda x: np.linalg.matrix_power(x, -3)),
    "trace": (lambda x: L.trace(x, offset=1), lambda x: np.trace(x, 1, -2, -1)),
    "diagonal": (lambda x: L.diagonal(x.mT) * 2, lambda x: np.diagonal(x, 0, -2, -1) * 2),
    "tril": (lambda x: xg.tril(x, k=1), lambda x: np.tril(x, 1)),
    "triu": (lambda x: xg.triu(x, k=-1), lambda x: np.triu(x, -1)),
}


@pytest.mark.parametrize("name", OPS)
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_values_are_numpys(name: str, data: st.DataObject) -> None:
    ours, theirs = OPS[name]
    x = matrices(data, data.draw(st.integers(0, 8)))
    close(native(ours, x), theirs(x), factor=10)


def solved(x: Any, y: Any) -> Any:
    """Return NumPy's solutions for stacks that broadcast."""
    stacked = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return np.linalg.solve(*(np.broadcast_to(v, (*stacked, *v.shape[-2:])) for v in (x, y)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_solutions(data: st.DataObject) -> None:
    """One matrix or a stack, whose leading axes broadcast against those of the right-hand side."""
    n, k = data.draw(st.integers(0, 8)), data.draw(st.sampled_from([0, 1, 2, 5, 9, 20]))
    x = matrices(data, n)
    stacked = data.draw(st.sampled_from([(), x.shape[:-2], (2, *x.shape[:-2]), (1,) * (x.ndim - 2)]))
    y = np.random.default_rng(data.draw(SEEDS)).normal(size=(*stacked, n, k)).astype(x.dtype)
    z = native(L.solve, x, y)
    close(z, solved(x, y))
    np.testing.assert_allclose(
        x @ z.numpy(), np.broadcast_to(y, z.shape), atol=1e-12 if x.itemsize == 8 else 1e-4
    )
    if k:
        v = native(lambda x, y: L.solve(x.mT, y.mT[..., 0, :, None]), x, y)
        close(v, solved(T(x), y[..., :1]))


@pytest.mark.parametrize("upper", [False, True])
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_cholesky(upper: bool, data: st.DataObject) -> None:
    """Only one triangle is read, whatever the other holds."""
    x = matrices(data, data.draw(st.integers(0, 8)))
    x = x @ T(x)
    other = np.tril(x, -1) if upper else np.triu(x, 1)
    read = np.where(other != 0, np.nan, x).astype(x.dtype)
    close(native(lambda x: L.cholesky(x, upper=upper), read), np.linalg.cholesky(x, upper=upper))


@pytest.mark.parametrize("mode", ["reduced", "complete"])
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_qr(mode: str, data: st.DataObject) -> None:
    x = matrices(data, data.draw(st.integers(0, 8)), data.draw(st.integers(0, 8)))
    close(native(lambda x: tuple(L.qr(x, mode=mode)), x), tuple(np.linalg.qr(x, mode)))


@pytest.mark.parametrize("n", [9, 16, 17, 33, 63, 64, 65])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_larger_matrices(n: int, dtype: str) -> None:
    """Rows span several vectors, up to the largest size that a kernel accepts."""
    rng = np.random.default_rng(n)
    x = (rng.normal(size=(n, n)) / n**0.5 + 2 * np.eye(n)).astype(dtype)
    p, y = x @ x.T, rng.normal(size=(n, 11)).astype(dtype)
    run = native if n <= 64 else lambda f, *args: xg.compile(f)(*args)
    close(run(L.solve, x, y), np.linalg.solve(x, y))
    close(run(L.solve, x.T, y[:, 3:4]), np.linalg.solve(x.T, y[:, 3:4]))
    close(run(L.inv, x), np.linalg.inv(x))
    close(run(L.cholesky, p), np.linalg.cholesky(p))
    close(run(lambda x: tuple(L.slogdet(x)), x), tuple(np.linalg.slogdet(x)), factor=30)
    close(run(lambda x: tuple(L.qr(x)), x), tuple(np.linalg.qr(x)))


def test_pivots_are_chosen() -> None:
    x = np.array([[0.0, 1.0, 2.0], [1e-14, 1.0, 0.0], [3.0, 0.0, 1.0]])
    close(native(L.inv, x), np.linalg.inv(x))
    close(native(L.det, x), np.linalg.det(x))
    swap = np.eye(4)[[1, 2, 3, 0]]
    close(native(lambda x: tuple(L.slogdet(x)), swap), (np.float64(-1.0), np.float64(0.0)))


SINGULAR = {
    "zero": np.zeros((2, 2)),
    "equal rows": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [1.0, 2.0, 3.0]]),
    "rank 1": np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]),
    "second of a stack": np.stack([np.eye(2), np.array([[1.0, 2.0], [2.0, 4.0]])]),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_singular_matrices_are_numpys(name: str) -> None:
    """Singular matrices give NumPy's errors and determinants."""
    x = SINGULAR[name]
    for ours in (L.inv, lambda x: L.solve(x, x), lambda x: L.matrix_power(x, -2)):
        with pytest.raises(np.linalg.LinAlgError, match="Singular"):
            xg.compile(ours)(x)
    np.testing.assert_array_equal(xg.compile(L.det)(x).numpy(), np.linalg.det(x))
    with np.errstate(divide="ignore"):
        for z, w in zip(xg.compile(lambda x: tuple(L.slogdet(x)))(x), np.linalg.slogdet(x), strict=True):
            np.testing.assert_array_equal(z.numpy(), w)
    f = lambda x: xg.sum(L.det(x))
    np.testing.assert_array_equal(xg.compile(xg.grad(f))(x).numpy(), xg.grad(f)(x).numpy())
    for z, w in zip(xg.compile(lambda x: tuple(L.qr(x)))(x), np.linalg.qr(x), strict=True):
        np.testing.assert_array_equal(z.numpy(), w)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(
    "x",
    [-np.eye(2), np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros((3, 3)), np.ones((2, 2)) - 1e-13 * np.eye(2)],
)
def test_what_is_not_positive_definite_raises(x: Any, upper: bool) -> None:
    f = xg.compile(lambda x: L.cholesky(x, upper=upper))
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        f(x)
    close(f(np.eye(len(x))), np.eye(len(x)))  # it works again after the error


def test_an_error_within_a_loop() -> None:
    f = xg.compile(lambda xs: xg.scan(lambda h, x: (h, L.inv(x)), 0.0, xs)[1])
    xs = np.stack([np.eye(2), 2 * np.eye(2), np.zeros((2, 2))])
    with pytest.raises(np.linalg.LinAlgError):
        f(xs)
    close(f(xs[:2]), np.linalg.inv(xs[:2]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308, 1e-310])
@pytest.mark.parametrize("at", [(0, 0), (0, 2), (1, 1), (2, 0), (2, 2)])
def test_what_is_not_finite_or_extreme_is_numpys(value: float, at: tuple[int, int]) -> None:
    x = np.array([[2.0, 1.0, 0.0], [0.5, 3.0, 1.0], [1.0, 0.0, 4.0]])
    y = np.arange(6.0).reshape(3, 2) + 1
    y[at[0], at[1] % 2] = value
    x[at] = value
    clean = np.array([[2.0, 1.0, 0.0], [0.5, 3.0, 1.0], [1.0, 0.0, 4.0]])
    cases: list[tuple[Any, Any, tuple[Any, ...]]] = [
        (L.solve, np.linalg.solve, (clean, y)),
        (L.solve, np.linalg.solve, (x, clean)),
        (L.inv, np.linalg.inv, (x,)),
        (L.det, np.linalg.det, (x,)),
        (lambda x: tuple(L.slogdet(x)), lambda x: tuple(np.linalg.slogdet(x)), (x,)),
        (lambda x: tuple(L.qr(x)), lambda x: tuple(np.linalg.qr(x)), (x,)),
        (lambda x: tuple(L.qr(x)), lambda x: tuple(np.linalg.qr(x)), (y.T.copy(),)),
        (L.cholesky, np.linalg.cholesky, (x,)),
    ]
    with np.errstate(all="ignore"):
        for ours, theirs, args in cases:
            try:
                expected = theirs(*args)
            except np.linalg.LinAlgError as error:
                with pytest.raises(type(error)):
                    xg.compile(ours)(*args)
                continue
            found = xg.compile(ours)(*args)
            for z, w in zip(
                found if isinstance(found, tuple) else (found,),
                expected if isinstance(expected, tuple) else (expected,),
                strict=True,
            ):
                np.testing.assert_allclose(z.numpy(), w, rtol=1e-12, atol=1e-12)


def test_determinants_whose_parts_overflow() -> None:
    """The determinant is finite although partial products overflow: NumPy adds logarithms."""
    x = np.diag([1e300, 1e300, 1e-300, 1e-300])
    np.testing.assert_allclose(xg.compile(L.det)(x).item(), 1, rtol=1e-10)
    close(native(lambda x: tuple(L.slogdet(x)), np.diag([1e3, 1e-3])), (np.float64(1), np.float64(0)))


def test_cofactors_of_what_is_nearly_singular() -> None:
    """Cofactors by the inverse would lose digits that singular values keep."""
    u, _, vh = np.linalg.svd(np.random.default_rng(0).normal(size=(4, 4)))
    x = (u * [1.0, 0.5, 0.25, 1e-9]) @ vh
    f = xg.grad(L.det)
    np.testing.assert_array_equal(xg.compile(f)(x).numpy(), f(x).numpy())


FOLDS = {
    "any": (xg.any, np.any),
    "all": (xg.all, np.all),
    "prod": (xg.prod, np.prod),
    "count_nonzero": (xg.count_nonzero, np.count_nonzero),
}


@pytest.mark.parametrize("name", FOLDS)
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_folds(name: str, data: st.DataObject) -> None:
    ours, theirs = FOLDS[name]
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    x = np.random.default_rng(data.draw(SEEDS)).integers(-1, 3, size=shape)
    x = x.astype(data.draw(st.sampled_from(["float64", "float32", "int64", "int32", "bool"])))
    if x.dtype.kind == "f" and data.draw(st.booleans()):
        x = np.where(x == 2, np.nan, x)
    axes = list(range(len(shape)))
    axis = data.draw(st.sampled_from([None, *axes, tuple(axes[:2])]))
    keepdims = data.draw(st.booleans())
    found = native(lambda x: ours(x, axis=axis, keepdims=keepdims), x)
    np.testing.assert_array_equal(found.numpy(), theirs(x, axis=axis, keepdims=keepdims))
    assert found.dtype == ours(xg.asarray(x), axis=axis, keepdims=keepdims).dtype


# Derivatives

rng = np.random.default_rng(0)
N = 4
A = rng.normal(size=(N, N)) / 2 + 2 * np.eye(N)
P, B = A @ A.T, rng.normal(size=(N, 2))
SMOOTH: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "solve": (L.solve, (A, B)),
    "solve of a vector": (L.solve, (A, B[:, 0].copy())),
    "solve of stacks": (L.solve, (np.stack([A, A.T]), B)),
    "solve of one matrix": (L.solve, (A, np.stack([B, 2 * B]))),
    "inv": (L.inv, (A,)),
    "cholesky": (L.cholesky, (P,)),
    "upper cholesky": (lambda x: L.cholesky(x, upper=True), (P,)),
    "det": (L.det, (A,)),
    "slogdet": (lambda x: L.slogdet(x).logabsdet, (np.stack([A, P]),)),
    "matrix_power": (lambda x: L.matrix_power(x, -2), (A,)),
    "trace": (L.trace, (A,)),
    "diagonal": (lambda x: L.diagonal(x, offset=-1), (A,)),
    "tril": (xg.tril, (A,)),
    "triu": (lambda x: xg.triu(x, k=1), (A,)),
    "outer": (L.outer, (A[0].copy(), B[:, 0].copy())),
    "cross": (L.cross, (A[:, :3].copy(), P[:, :3].copy())),
    "qr": (lambda x: L.qr(x).Q[:, :1] @ L.qr(x).R[1:2], (A,)),
    "qr of a tall one": (lambda x: L.qr(x).Q, (B,)),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_are_native(name: str) -> None:
    """Gradients and tangents equal the engine's and make no library call."""
    f, args = SMOOTH[name]
    numbers = tuple(range(len(args)))
    loss = lambda *x: xg.sum(f(*x) ** 2 * 0.5)
    slope = xg.grad(loss, argnums=numbers)
    for z, w in zip(native(slope, *args), slope(*args), strict=True):
        np.testing.assert_allclose(z.numpy(), w.numpy(), rtol=1e-10, atol=1e-10)
    along = lambda *x: xg.jvp(loss, x, tuple(0.1 * v + 0.2 for v in x))[1]
    np.testing.assert_allclose(native(along, *args).item(), along(*args).item(), rtol=1e-10, atol=1e-10)
    if name != "det":  # the second derivative of det uses singular values
        curved = xg.grad(lambda *x: sum(xg.sum(g**2) for g in slope(*x)), argnums=numbers)
        for z, w in zip(native(curved, *args), curved(*args), strict=True):
            np.testing.assert_allclose(z.numpy(), w.numpy(), rtol=1e-9, atol=1e-9)


# A Kalman filter


def kalman(scan: Any, f: Any, q: Any, h: Any, r: Any, x: Any, p: Any, ys: Any) -> Any:
    """Return the negative log-likelihood of observations."""

    def step(state: Any, y: Any) -> Any:
        x, p = state
        x, p = x @ f.mT, f @ p @ f.mT + q
        e, s = y - x @ h.mT, h @ p @ h.mT + r
        gain = L.solve(s, h @ p).mT
        x = x + (gain @ e[..., None])[..., 0]
        p = p - gain @ s @ gain.mT
        e = L.solve(L.cholesky(s), e[..., None])[..., 0]
        return (x, p), 0.5 * xg.sum(e * e, axis=-1) + 0.5 * L.slogdet(s).logabsdet

    return xg.sum(scan(step, (x, p), ys)[1])


def unrolled(step: Any, state: Any, xs: Any) -> Any:
    """Run `scan` as a plain Python loop."""
    ys = []
    for x in xs:
        state, y = step(state, x)
        ys.append(y)
    return state, xg.stack(ys)


def model(batch: tuple[int, ...], steps: int) -> tuple[Any, ...]:
    """Return the arguments of a model with 4 state variables, 2 of them observed."""
    g = np.random.default_rng(1)
    f = 0.9 * np.eye(4) + 0.05 * g.normal(size=(4, 4))
    h = np.eye(4)[:2] + 0.1 * g.normal(size=(2, 4))
    x, ys = g.normal(size=(*batch, 4)), g.normal(size=(steps, *batch, 2))
    p = np.broadcast_to(np.eye(4), (*batch, 4, 4)).copy()
    return f, 0.1 * np.eye(4), h, 0.2 * np.eye(2), x, p, ys


@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_kalman_filter_is_native(batch: tuple[int, ...]) -> None:
    args = model(batch, 6)
    tensors = tuple(map(xg.asarray, args))
    fast, plain = partial(kalman, xg.scan), partial(kalman, unrolled)
    np.testing.assert_allclose(native(fast, *args).item(), plain(*tensors).item(), rtol=1e-12)
    which = tuple(range(6))
    slopes = xg.grad(plain, argnums=which)(*tensors)
    for z, w in zip(native(xg.grad(fast, argnums=which), *args), slopes, strict=True):
        np.testing.assert_allclose(z.numpy(), w.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("moving", [False, True])
def test_a_matrix_that_a_loop_keeps_is_factored_once(moving: bool, n: int) -> None:
    """Solutions are those of the matrix of each step, also in a loop inside another that changes it."""
    rng = np.random.default_rng(n)
    x = (rng.normal(size=(n, n)) / n**0.5 + 2 * np.eye(n)).astype("float64")
    y = rng.normal(size=(3, 4, n))

    def inside(x: Any, ys: Any) -> Any:
        return xg.scan(lambda h, y: ((z := L.solve(x, y + 0.1 * h)), z), xg.zeros(n), ys)[1]

    def outside(x: Any, y: Any) -> Any:
        def step(x: Any, ys: Any) -> Any:
            return (x * 1.5 if moving else x), inside(x, ys)

        return xg.scan(step, x, y)[1]

    expected = np.empty_like(y)
    for t, ys in enumerate(y):
        h = np.zeros(n)
        for s, v in enumerate(ys):
            h = expected[t, s] = np.linalg.solve(x * 1.5**t if moving else x, v + 0.1 * h)
    close(native(outside, x, y), expected)


def test_a_singular_matrix_that_a_loop_keeps_raises() -> None:
    loop = lambda x, y: xg.scan(lambda h, y: (h, L.solve(x, y)), 0.0, y)[1]
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        xg.compile(loop)(np.ones((3, 3)), np.ones((2, 3)))
