"""Linear algebra compared with NumPy, and its gradients, real and complex, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from tests.helpers.gradient_cases.linalg import (
    COMPOSED,
    GRADIENT_CASES,
    H,
    cnormal,
    definite,
    normal,
    regular,
    spectral,
)

CASES = [(name, i) for name, cases in {**GRADIENT_CASES, **COMPOSED}.items() for i in range(len(cases))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "i"), CASES)
def test_gradient(name: str, i: int, device: str) -> None:
    f, args = {**GRADIENT_CASES, **COMPOSED}[name][i]
    xg.check_grads(f, tuple(xg.asarray(a) for a in args), order=2, rtol=1e-6 if name in COMPOSED else None)


# Values


KINDS = ["float32", "float64", "complex64", "complex128", "int64", "int8", "bool"]
STACKS = st.lists(st.integers(0, 3), max_size=2).map(tuple)


def made(data: st.DataObject, shape: tuple[int, ...], kinds: list[str] = KINDS) -> np.ndarray:
    """Draw a well conditioned array of any dtype, possibly a strided view."""
    dtype, seed = np.dtype(data.draw(st.sampled_from(kinds))), data.draw(st.integers(0, 99))
    a = np.random.default_rng(seed).uniform(-1, 1, (2, *shape))
    a = a[0] + 1j * a[1] if dtype.kind == "c" else a[0]
    a = (a / 4 + np.eye(*shape[-2:]) * np.arange(2, shape[-1] + 2) if len(shape) > 1 else 3 * a).astype(dtype)
    a = a.mT.copy().mT if len(shape) > 1 and data.draw(st.booleans()) else a
    return a[::-1].copy()[::-1] if data.draw(st.booleans()) else a


def same(ours: Any, theirs: Any) -> None:
    assert (ours.shape, ours.dtype) == (np.shape(theirs), np.result_type(theirs))
    single = ours.dtype in (np.float32, np.complex64)
    np.testing.assert_allclose(
        ours.numpy(), theirs, rtol=1e-4 if single else 1e-9, atol=1e-4 if single else 1e-10
    )


def each(f: Any, *arrays: np.ndarray) -> list[Any]:
    """Return the results of `f` on two backends."""
    return [f(*(xg.asarray(a, device=device) for a in arrays)) for device in ("cpu", "strict:1")]


@pytest.mark.parametrize(
    "name",
    [
        "inv",
        "det",
        "slogdet",
        "pinv",
        "matrix_rank",
        "svdvals",
        "eigvalsh",
        "trace",
        "matrix_norm",
        "diagonal",
        "matrix_transpose",
    ],
)
@given(data=st.data())
def test_functions_of_a_matrix_as_numpy(name: str, data: st.DataObject) -> None:
    n = data.draw(st.integers(0 if name not in ("matrix_rank", "pinv") else 1, 3))
    m = n if name in ("inv", "det", "slogdet", "eigvalsh") else data.draw(st.integers(1, 4))
    stack = data.draw(STACKS) if name != "matrix_rank" else data.draw(STACKS.filter(lambda s: 0 not in s))
    a = made(data, (*stack, n, m))
    if name in ("inv", "slogdet"):
        a = a if a.dtype != bool else np.broadcast_to(np.eye(n, dtype=bool), a.shape)
    if name == "eigvalsh":
        a = (a + np.conj(a.mT)) if a.dtype != bool else a
    theirs = getattr(np.linalg, name)(a)
    for ours in each(getattr(xg.linalg, name), a):
        if name == "slogdet":
            same(ours.sign, theirs.sign)
            same(ours.logabsdet, theirs.logabsdet)
        else:
            same(ours, theirs)
    if name != "slogdet":
        same(getattr(np.linalg, name)(xg.asarray(a)), theirs)


@given(data=st.data())
def test_solve_as_numpy(data: st.DataObject) -> None:
    n, stack = data.draw(st.integers(0, 3)), data.draw(STACKS)
    a = made(data, (*stack[: data.draw(st.integers(0, 2))], n, n), KINDS[:5])
    b = made(
        data,
        (*(1 if data.draw(st.booleans()) else k for k in stack), n, data.draw(st.integers(0, 2))),
        KINDS[:5],
    )
    if a.shape[:-2] != stack[: a.ndim - 2] or (a.ndim > 2 and len(stack) > a.ndim - 2):
        a = a[(0,) * (a.ndim - 2)] if 0 not in a.shape[:-2] else np.zeros((n, n)) + np.eye(n)
    theirs = np.linalg.solve(a, b)
    for ours in each(xg.linalg.solve, a, b):
        same(ours, theirs)
    v = made(data, (n,), KINDS[:5])
    for ours in each(xg.linalg.solve, a, v):
        same(ours, np.linalg.solve(a, v))


@given(data=st.data())
def test_factors_make_up_the_matrix(data: st.DataObject) -> None:
    stack, n, m = data.draw(STACKS), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    a = made(data, (*stack, n, m), KINDS[:5])
    full, mode = data.draw(st.booleans()), data.draw(st.sampled_from(["reduced", "complete"]))
    u, s, vh = np.linalg.svd(a, full_matrices=full)
    q, r = np.linalg.qr(a, mode=mode)
    for ours in each(lambda x: xg.linalg.svd(x, full_matrices=full), a):
        assert (ours.U.shape, ours.Vh.shape, ours.U.dtype) == (u.shape, vh.shape, u.dtype)
        same(ours.S, s)
        k = min(n, m)
        np.testing.assert_allclose(
            ((ours.U[..., :k] * ours.S[..., None, :]) @ ours.Vh[..., :k, :]).numpy(), a, atol=1e-5
        )
    for ours in each(lambda x: xg.linalg.qr(x, mode=mode), a):
        assert (ours.Q.shape, ours.R.shape, ours.Q.dtype) == (q.shape, r.shape, q.dtype)
        np.testing.assert_allclose((ours.Q @ ours.R).numpy(), a, atol=1e-5)
    b = a @ np.conj(a.mT) + np.eye(n, dtype=a.dtype)
    for ours in each(xg.linalg.eigh, b):
        same(ours.eigenvalues, np.linalg.eigh(b).eigenvalues)
        v = ours.eigenvectors.numpy()
        np.testing.assert_allclose(
            (v * ours.eigenvalues.numpy()[..., None, :]) @ np.conj(v.mT),
            b,
            atol=1e-3 if v.dtype in ("f4", "c8") else 1e-9,
        )
    for upper in (False, True):
        for ours in each(lambda x: xg.linalg.cholesky(x, upper=upper), b):
            same(ours, np.linalg.cholesky(b, upper=upper))


@given(data=st.data())
def test_products_as_numpy(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)))
    a, b = (
        made(data, shape, KINDS[:6]),
        made(
            data,
            tuple(1 if k > 0 and data.draw(st.booleans()) else n for k, n in enumerate(shape)),
            KINDS[:6],
        ),
    )
    if a.shape[0] == b.shape[0]:
        theirs = np.vecdot(a, b, axis=-len(shape))
        for f in (xg.vecdot, xg.linalg.vecdot):
            same(f(a, b, axis=-len(shape)), theirs)
        same(np.vecdot(xg.asarray(a), b, axis=-len(shape)), theirs)
    last = made(data, shape[-1:], ["int64", "int8"])
    whole = made(data, shape, ["int64", "int8"])
    for ours in each(xg.vecdot, whole, last):
        same(ours, np.vecdot(whole, last))
    count = data.draw(st.integers(0, len(shape)))
    c = made(data, (*shape[len(shape) - count :], 2), KINDS[:6])
    same(xg.tensordot(a, c, axes=count), np.tensordot(a, c, axes=count))
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    same(
        xg.tensordot(a, a, axes=(order[:count], order[:count])),
        np.tensordot(a, a, axes=(order[:count], order[:count])),
    )
    u, v = made(data, (data.draw(st.integers(0, 3)),), KINDS[:6]), made(data, (2,), KINDS[:6])
    same(xg.linalg.outer(u, v), np.linalg.outer(u, v))


@given(data=st.data())
def test_cross_as_numpy(data: st.DataObject) -> None:
    shape = [data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))]
    axis = data.draw(st.integers(-3, -1))
    shape.insert(3 + axis, 3)
    a, b = (
        made(data, tuple(shape), KINDS[:5]),
        made(data, tuple(n if k == 3 + axis or n == 0 else 1 for k, n in enumerate(shape)), KINDS[:5]),
    )
    same(xg.linalg.cross(a, b, axis=axis), np.linalg.cross(a, b, axis=axis))
    same(xg.linalg.cross(a, b, axis=3 + axis), np.linalg.cross(a, b, axis=axis))


@pytest.mark.parametrize("ord", [2, 1, 0, 3, 0.5, -1, -2, np.inf, -np.inf])
@given(data=st.data())
def test_vector_norm_as_numpy(ord: float, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1 if ord == -np.inf else 0, 3), min_size=1, max_size=3)))
    a = made(data, shape)
    a = a * (np.arange(a.size).reshape(shape) % 2 > 0) if data.draw(st.booleans()) else a
    axis = data.draw(
        st.none() | st.integers(-len(shape), len(shape) - 1) | st.permutations(range(len(shape))).map(tuple)
    )
    with np.errstate(divide="ignore"):
        theirs = np.linalg.vector_norm(a, axis=axis, ord=ord, keepdims=len(shape) > 1)
        for ours in each(lambda x: xg.linalg.vector_norm(x, axis=axis, ord=ord, keepdims=len(shape) > 1), a):
            same(ours, theirs)


@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
@given(data=st.data())
def test_matrix_norm_as_numpy(ord: Any, data: st.DataObject) -> None:
    least = 1 if ord in (-1, -2, -np.inf) else 0
    a = made(data, (*data.draw(STACKS), data.draw(st.integers(least, 3)), data.draw(st.integers(least, 3))))
    keepdims = data.draw(st.booleans())
    theirs = np.linalg.matrix_norm(a, ord=ord, keepdims=keepdims)
    for ours in each(lambda x: xg.linalg.matrix_norm(x, ord=ord, keepdims=keepdims), a):
        same(ours, theirs)


@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 7])
@given(data=st.data())
def test_matrix_power_as_numpy(n: int, data: st.DataObject) -> None:
    a = made(data, (*data.draw(STACKS), 2, 2), KINDS[:5])
    for ours in each(lambda x: xg.linalg.matrix_power(x, n), a):
        same(ours, np.linalg.matrix_power(a, n))


@pytest.mark.parametrize("offset", [-4, -1, 0, 2, 9])
@pytest.mark.parametrize("shape", [(3, 4), (4, 2), (2, 3, 3), (0, 2), (3, 0), (0, 2, 2), (1, 1)])
def test_diagonals_as_numpy(offset: int, shape: tuple[int, ...], device: str) -> None:
    for kind in ("int8", "float32", "complex128"):
        a = (5 * normal(*shape)).astype(kind)
        same(xg.linalg.diagonal(xg.asarray(a), offset=offset), np.linalg.diagonal(a, offset=offset))
        same(xg.linalg.trace(xg.asarray(a), offset=offset), np.linalg.trace(a, offset=offset))
        same(
            xg.linalg.trace(xg.asarray(a), offset=offset, dtype=xg.complex64),
            np.linalg.trace(a, offset=offset, dtype="c8"),
        )


@pytest.mark.parametrize("ord", [2, 1, 0, 3, -1, np.inf, -np.inf])
def test_the_norm_of_a_number_has_no_axis(ord: float, device: str) -> None:
    x = xg.asarray(-3.0)
    np.testing.assert_allclose(xg.linalg.vector_norm(x, ord=ord).numpy(), 1 if ord == 0 else 3)
    for axis in (0, -1, (0,)):
        with pytest.raises(IndexError, match="no axes"):
            xg.linalg.vector_norm(x, axis=axis, ord=ord)


def test_tolerances_as_the_standard_has_them(device: str) -> None:
    a = np.stack([np.diag([1.0, 1e-3, 1e-9]), np.diag([1.0, 1e-3, 0.0])])
    x = xg.asarray(a)
    assert xg.linalg.matrix_rank(x).numpy().tolist() == [3, 2]
    assert xg.linalg.matrix_rank(x, rtol=1e-6).numpy().tolist() == [2, 2]
    assert xg.linalg.matrix_rank(x, rtol=xg.asarray([1e-2, 1e-12])).numpy().tolist() == [1, 2]
    assert xg.linalg.matrix_rank(xg.zeros((2, 0, 3))).numpy().tolist() == [0, 0]
    np.testing.assert_allclose(
        xg.linalg.pinv(x, rtol=1e-6).numpy()[:, [0, 1, 2], [0, 1, 2]], [[1, 1e3, 0], [1, 1e3, 0]]
    )
    np.testing.assert_allclose(xg.linalg.pinv(x, rtol=xg.asarray([1e-2, 1e-6])).numpy()[:, 1, 1], [0, 1e3])


# Delicate derivatives


def test_norms_are_flat_at_zero(device: str) -> None:
    for ord in (2, 1, 3, 0.5, -1, 0, np.inf, -np.inf):
        for kind in (xg.float64, xg.complex128):
            f = lambda x: xg.sum(xg.linalg.vector_norm(x, axis=-1, ord=ord))
            x = xg.zeros((2, 3), dtype=kind)
            assert (xg.grad(f)(x).numpy() == 0).all()
            assert np.isfinite(xg.grad(lambda x: xg.sum(xg.real(xg.grad(f)(x))))(x).numpy()).all()
    x = xg.asarray([[0.0, 3.0], [0.0, 4.0]])
    np.testing.assert_allclose(xg.grad(xg.linalg.matrix_norm)(x).numpy(), [[0, 0.6], [0, 0.8]])
    for ord in ("fro", "nuc", 1, 2, -2, np.inf):
        assert np.isfinite(
            xg.grad(lambda x: xg.linalg.matrix_norm(x, ord=ord))(xg.zeros((2, 3))).numpy()
        ).all()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_equal_eigenvalues_and_singular_values(dtype: str, device: str) -> None:
    x = xg.eye(3, dtype=dtype)
    assert np.array_equal(xg.grad(lambda x: xg.sum(xg.linalg.eigvalsh(x)))(x).numpy(), np.eye(3))
    assert np.array_equal(
        xg.grad(lambda x: xg.sum(xg.linalg.eigh(x).eigenvalues ** 2))(x).numpy(), 2 * np.eye(3)
    )
    np.testing.assert_allclose(
        xg.grad(lambda x: xg.sum(xg.linalg.svdvals(x)))(x).numpy(), np.eye(3), atol=1e-15
    )

    def rebuilt(x: Any) -> Any:
        w, v = xg.linalg.eigh(x)
        u, s, vh = xg.linalg.svd(x)
        return xg.sum(xg.real((v * w) @ H(v) + (u * s) @ vh))

    for x in (xg.eye(3, dtype=dtype), xg.zeros((2, 2), dtype=dtype)):
        np.testing.assert_allclose(
            xg.grad(rebuilt)(x).numpy(), 2 * np.tri(len(x)) - np.eye(len(x)) + 1, atol=1e-14
        )
        assert np.isnan(xg.grad(lambda x: xg.sum(xg.real(xg.grad(rebuilt)(x))))(x).numpy()).all(), (
            "of vectors of equal values, none"
        )


def test_qr_of_dependent_columns(device: str) -> None:
    x = xg.asarray(np.outer([1.0, 2.0, 3.0], [0.1, 0.3]))
    for i in (0, 1):
        assert np.isnan(xg.grad(lambda x: xg.sum(xg.linalg.qr(x)[i] ** 3))(x).numpy()).all()


def test_determinant_of_singular_matrices(device: str) -> None:
    """Compare with cofactors by hand, and to second order with products of two elements."""
    for a in (
        np.diag([1.0, 2.0, 0.0]),
        np.ones((3, 3)),
        np.zeros((3, 3)),
        np.eye(3),
        normal(3, 1) @ normal(1, 3),
    ):
        minors = np.array(
            [
                [np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) * (-1) ** (i + j) for j in range(3)]
                for i in range(3)
            ]
        )
        np.testing.assert_allclose(xg.grad(xg.linalg.det)(xg.asarray(a)).numpy(), minors, atol=1e-13)
        xg.check_grads(xg.linalg.det, (xg.asarray(a),), order=2, atol=1e-9)


def test_pinv_of_a_lower_rank_along_what_keeps_it() -> None:
    xg.check_grads(
        lambda x, y: xg.linalg.pinv(x @ y, rtol=1e-8),
        (regular(cnormal(4, 2)), regular(cnormal(2, 3))),
        order=1,
    )


def test_with_one_matrix_no_product_is_stacked() -> None:
    loss = lambda x, y: xg.sum(xg.linalg.solve(x, y) ** 2)
    program = str(xg.trace(xg.grad(loss, argnums=(0, 1)), normal(3, 3), normal(5, 4, 3, 2)))
    assert program.count("solve(") == 2
    assert "5, 4, 3, 3" not in program


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_single_precision_stays(dtype: str, device: str) -> None:
    x = xg.asarray(regular(cnormal(3, 3))).astype(xg.complex128)
    x = xg.astype(x if dtype == "complex64" else xg.real(x), dtype)
    size = lambda z: xg.sum(xg.abs(z))
    for f in (
        lambda x: size(xg.linalg.inv(x)),
        lambda x: size(xg.linalg.det(x)),
        lambda x: xg.linalg.slogdet(x).logabsdet,
        lambda x: size(xg.linalg.solve(x, x[0])),
        lambda x: size(xg.linalg.pinv(x)),
        lambda x: size(xg.linalg.cholesky(definite(x).astype(dtype))),
        lambda x: size(spectral(x)[1]),
        lambda x: xg.sum(xg.linalg.eigvalsh(x)),
        lambda x: size(xg.linalg.svd(x).U),
        lambda x: size(xg.linalg.qr(x).R),
        xg.linalg.vector_norm,
        lambda x: xg.linalg.vector_norm(x, ord=3),
        lambda x: xg.linalg.matrix_norm(x, ord="nuc"),
        lambda x: size(xg.vecdot(x, x)),
        lambda x: size(xg.linalg.matrix_power(x, -2)),
    ):
        value, g = xg.value_and_grad(f)(x)
        assert (value.dtype, g.dtype) == (xg.float32, xg.asarray(x).dtype)


def test_what_is_wrong_is_said(device: str) -> None:
    x = xg.ones((2, 3))
    for f in (
        xg.linalg.inv,
        xg.linalg.det,
        xg.linalg.slogdet,
        xg.linalg.cholesky,
        xg.linalg.eigh,
        xg.linalg.eigvalsh,
    ):
        with pytest.raises(xg.ShapeError, match=r"square.*\(2, 3\)"):
            f(x)
    for f in (
        xg.linalg.pinv,
        xg.linalg.svd,
        xg.linalg.svdvals,
        xg.linalg.qr,
        xg.linalg.diagonal,
        xg.linalg.matrix_norm,
        xg.linalg.matrix_rank,
    ):
        with pytest.raises(xg.ShapeError, match=r"matrices.*\(3,\)"):
            f(xg.ones(3))
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        xg.linalg.inv(xg.ones((2, 2)))
    with pytest.raises(np.linalg.LinAlgError):
        xg.linalg.cholesky(-xg.eye(2))
    with pytest.raises(np.linalg.LinAlgError):
        xg.grad(lambda x: xg.linalg.slogdet(x).logabsdet)(xg.ones((2, 2)))
    with pytest.raises(xg.ShapeError, match="solve"):
        xg.linalg.solve(xg.eye(3), xg.ones((2, 2)))
    with pytest.raises(xg.ShapeError, match="cross takes vectors of 3 elements"):
        xg.linalg.cross(x, xg.ones(2))
    with pytest.raises(xg.ShapeError, match="differ in length"):
        xg.vecdot(x, xg.ones(2))
    with pytest.raises(IndexError, match="vecdot"):
        xg.vecdot(x, xg.ones(3), axis=-2)
    with pytest.raises(xg.ShapeError, match="differ in length"):
        xg.tensordot(x, x, axes=1)
    with pytest.raises(ValueError, match="mode"):
        xg.linalg.qr(x, mode="raw")
    with pytest.raises(ValueError, match="ord"):
        xg.linalg.matrix_norm(x, ord=3)
    with pytest.raises(xg.ShapeError, match="two vectors"):
        xg.linalg.outer(x, x)


def test_numpys_own_functions() -> None:
    a, b = regular(normal(3, 3)), normal(3)
    t = xg.asarray(a)
    same(np.linalg.solve(t, b), np.linalg.solve(a, b))
    same(np.linalg.svd(t, full_matrices=False).S, np.linalg.svd(a).S)
    same(np.linalg.qr(t, mode="complete").R, np.linalg.qr(a).R)
    same(np.linalg.matrix_power(t, 3), np.linalg.matrix_power(a, 3))
    same(np.linalg.vector_norm(t, axis=0, ord=1), np.linalg.vector_norm(a, axis=0, ord=1))
    same(np.linalg.tensordot(t, b, axes=1), a @ b)
    with pytest.raises(TypeError, match="tensorinv"):
        np.linalg.tensorinv(t)


def everything(x: Any) -> Any:
    """Return a scalar that uses every op, for a positive definite x."""
    u, s, _ = xg.linalg.svd(x, full_matrices=False)
    factors = (
        xg.linalg.cholesky(x, upper=True) * xg.linalg.qr(x).R
        + xg.linalg.solve(x, x * x)
        + xg.linalg.inv(x)
        + xg.linalg.pinv(x)
    )
    numbers = (
        xg.linalg.slogdet(x).logabsdet
        + xg.linalg.det(x)
        + s[0]
        + xg.linalg.svdvals(x)[1]
        + xg.linalg.eigvalsh(x)[0]
    )
    return (
        numbers
        + xg.sum(factors * u)
        + xg.sum(xg.linalg.eigh(x).eigenvalues ** 2)
        + xg.linalg.vector_norm(x, ord=3)
        + xg.linalg.matrix_norm(x)
    )


DEFINITE = np.array([[3.0, 1.0, 0.5], [1.0, 4.0, -1.0], [0.5, -1.0, 5.0]])


def test_compiled(device: str) -> None:
    x = xg.asarray(DEFINITE)
    np.testing.assert_allclose(
        xg.compile(xg.grad(everything))(x).numpy(), xg.grad(everything)(x).numpy(), rtol=1e-10, atol=1e-12
    )
    assert "eigh" in str(xg.graph(everything, x))


def test_in_a_scan() -> None:
    def f(x: Any) -> Any:
        step = lambda c, _: (
            xg.linalg.solve(x, c),
            (xg.linalg.slogdet(x + c).logabsdet, xg.linalg.svd(x * c).S[0], xg.linalg.eigh(x).eigenvalues),
        )
        c, ys = xg.scan(step, xg.ones(3), None, length=4)
        return xg.sum(c) + xg.sum(ys[0]) + xg.sum(ys[1]) + xg.sum(ys[2] ** 2)

    def unrolled(x: Any) -> Any:
        c, total = xg.ones(3), 0.0
        for _ in range(4):
            total = (
                total
                + xg.linalg.slogdet(x + c).logabsdet
                + xg.linalg.svd(x * c).S[0]
                + xg.sum(xg.linalg.eigh(x).eigenvalues ** 2)
            )
            c = xg.linalg.solve(x, c)
        return total + xg.sum(c)

    expected = xg.grad(unrolled)(DEFINITE).numpy()
    np.testing.assert_allclose(xg.grad(f)(DEFINITE).numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(xg.compile(xg.grad(f))(DEFINITE).numpy(), expected, rtol=1e-10)


def test_written_as_source() -> None:
    space: dict[str, Any] = {}
    exec(xg.trace(everything, DEFINITE).source(), space)
    z, saved = space["forward"](DEFINITE)
    np.testing.assert_allclose(z, everything(xg.asarray(DEFINITE)).item())
    np.testing.assert_allclose(
        space["backward"](saved, np.ones(()))[0], xg.grad(everything)(DEFINITE).numpy(), rtol=1e-9, atol=1e-12
    )
    text = str(xg.derive(everything, DEFINITE))
    assert 'deriv((None, dlogabsdet), x, None, "slogdet")' in text


def test_forward_mode() -> None:
    direction = DEFINITE @ DEFINITE
    _, moved = xg.jvp(everything, (DEFINITE,), (direction,))
    np.testing.assert_allclose(moved.item(), np.sum(xg.grad(everything)(DEFINITE).numpy() * direction))


def test_deriv_of_several_outputs(device: str) -> None:
    x, dw, dv = xg.asarray(DEFINITE), xg.asarray(normal(3)), xg.asarray(normal(3, 3))
    _, pull = xg.vjp(xg.linalg.eigh, x)
    for dz, expected in [
        ((dw, dv), pull(xg.linalg.eigh(x)._replace(eigenvalues=dw, eigenvectors=dv))[0]),
        ((dw, None), xg.linalg.eigh(x).eigenvectors),
    ]:
        (dx,) = xg.deriv(dz, x, None, "eigh")
        if dz[1] is None:
            full = (expected * dw) @ expected.mT
            expected = xg.tril(full) + xg.tril(full, k=-1)
        np.testing.assert_allclose(dx.numpy(), expected.numpy(), atol=1e-12)
    raw = xg.deriv((None, np.ones(())), DEFINITE, None, "slogdet")[0]
    np.testing.assert_allclose(raw, np.linalg.inv(DEFINITE).T)


# Only one triangle of a hermitian matrix is read


ONE_TRIANGLE = {
    "cholesky": lambda xp, x: xp.linalg.cholesky(x),
    "cholesky, upper": lambda xp, x: xp.linalg.cholesky(x, upper=True),
    "eigh": lambda xp, x: (
        lambda w, v: (v * (1.0 / w)[..., None, :]) @ (xp.conj(v) if "complex" in str(v.dtype) else v).mT
    )(*xp.linalg.eigh(x)),
    "eigvalsh": lambda xp, x: xp.linalg.eigvalsh(x),
}


@pytest.mark.parametrize("kind", [normal, cnormal])
@pytest.mark.parametrize("name", ONE_TRIANGLE)
def test_the_gradient_is_of_the_triangle_that_is_read(name: str, kind: Any, device: str) -> None:
    f = ONE_TRIANGLE[name]
    a = kind(2, 3, 3) / 4 + 3 * np.eye(3) + np.diag([0.0, 1.0, 2.5])
    other = np.tril(a, -1) if name.endswith("upper") else np.triu(a, 1)
    # the triangle that is not read
    np.testing.assert_allclose(f(xg, xg.asarray(a)).numpy(), f(xg, xg.asarray(a - other)).numpy(), atol=1e-14)
    np.testing.assert_allclose(f(xg, xg.asarray(a)).numpy(), f(np, a), rtol=1e-10, atol=1e-12)  # nor by NumPy
    xg.check_grads(lambda x: f(xg, x), (xg.asarray(a),), order=2)
    xg.check_grads(lambda x: f(np, x), (xg.asarray(a),), order=1)


def test_numpys_choice_of_a_triangle() -> None:
    a = cnormal(3, 3) + np.diag([1.0, 3.0, 6.0])
    for uplo in "LU":
        np.testing.assert_allclose(
            np.linalg.eigvalsh(xg.asarray(a), uplo).numpy(), np.linalg.eigvalsh(a, uplo)
        )
        xg.check_grads(lambda x: np.linalg.eigvalsh(x, uplo), (a,), order=2)


@pytest.mark.parity
@pytest.mark.parametrize("kind", [normal, cnormal])
@pytest.mark.parametrize("name", ONE_TRIANGLE)
def test_along_hermitian_changes_the_gradient_is_torchs(name: str, kind: Any) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: `make parity` installs it")
    b, d = kind(3, 3), kind(3, 3)
    a, d = b @ np.conj(b.T) + np.diag([1.0, 2.0, 4.0]), d + np.conj(d.T)
    x = torch.tensor(a, requires_grad=True)
    f = lambda xp, x: xp.sum(abs(ONE_TRIANGLE[name](xp, x) + 0.3) ** 3)
    f(torch, x).backward()
    ours, theirs = xg.grad(lambda x: f(xg, x))(a).numpy(), x.grad.numpy()
    np.testing.assert_allclose(np.real(np.vdot(ours, d)), np.real(np.vdot(theirs, d)), rtol=1e-9)


# Compared with torch, which has the same convention for complex numbers


@pytest.mark.parity
@pytest.mark.parametrize(
    "name",
    [
        "inv",
        "det",
        "slogdet",
        "pinv",
        "svdvals",
        "matrix_norm",
        "vector_norm",
        "eigvalsh",
        "cholesky",
        "solve",
        "qr",
    ],
)
def test_complex_gradients_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: `make parity` installs it")
    a = regular(cnormal(2, 3, 3))
    hermitian_only = name in ("eigvalsh", "cholesky")

    def f(xp: Any, x: Any) -> Any:
        x = x @ xp.conj(x).mT if hermitian_only else x
        z = (
            getattr(xp.linalg, name)(x, xp.conj(x)[..., :2])
            if name == "solve"
            else getattr(xp.linalg, name)(x)
        )
        parts = tuple(z) if isinstance(z, tuple) else (z,)
        total = [xp.sum(abs(p * (2 - 1j) + 0.3j) ** 3) for p in parts]
        return total[0] + (total[1] if len(total) > 1 else 0)

    theirs = torch.tensor(a, requires_grad=True)
    f(torch, theirs).backward()
    np.testing.assert_allclose(
        xg.grad(lambda x: f(xg, x))(a).numpy(),
        theirs.grad.numpy(),
        rtol=1e-9,
        atol=1e-9 * float(abs(theirs.grad).max()),
    )
