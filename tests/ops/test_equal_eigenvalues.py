"""Functions of repeated eigenvalues and singular values.

They equal the same functions without a decomposition, or are NaN where they have no derivative.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg

N = 3
rng = np.random.default_rng(7)


def plain(*shape: int, complex_: bool = False) -> np.ndarray:
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if complex_ else x


def H(x: Any) -> Any:
    return xg.conj(x).mT if x.dtype.kind == "c" else x.mT


def hermitian(x: Any) -> Any:
    return 0.5 * (x + H(x))


def total(x: Any) -> Any:
    return xg.sum(xg.real(x))


K = {kind: xg.asarray(plain(N, N, complex_=kind == "complex128")) for kind in ("float64", "complex128")}
BASIS = {kind: np.linalg.qr(plain(N, N, complex_=kind == "complex128"))[0] for kind in K}
OTHER = {kind: np.linalg.qr(plain(N, N, complex_=kind == "complex128"))[0] for kind in K}


def weighted(f: Any) -> Any:
    """Return a scalar function of a matrix, the same for both ways of computing the matrix."""
    return lambda x: total(f(x) * K[x.dtype.name]) + total(f(x) @ K[x.dtype.name] @ f(x))


def by_eigh(g: Any) -> Any:
    def f(x: Any) -> Any:
        w, v = xg.linalg.eigh(hermitian(x))
        return (v * g(w)[..., None, :]) @ H(v)

    return f


def by_eig(g: Any) -> Any:
    def f(x: Any) -> Any:
        w, v = xg.linalg.eig(hermitian(x))
        return (
            xg.real((v * g(w)) @ xg.linalg.inv(v)) if x.dtype.kind == "f" else (v * g(w)) @ xg.linalg.inv(v)
        )

    return f


def by_svd(g: Any) -> Any:
    def f(x: Any) -> Any:
        u, s, vh = xg.linalg.svd(x, full_matrices=False)
        return (u * g(s)) @ vh

    return f


def series(x: Any) -> Any:
    z = term = xg.eye(N, dtype=x.dtype)
    for k in range(1, 25):
        term = term @ x / k
        z = z + term
    return z


def newton_root(x: Any) -> Any:
    """The square root of a positive definite matrix, by Newton's iteration (Denman and Beavers)."""
    y, z = x, xg.eye(N, dtype=x.dtype)
    for _ in range(9):
        y, z = 0.5 * (y + xg.linalg.inv(z)), 0.5 * (z + xg.linalg.inv(y))
    return y


#: name -> (the function with a decomposition, and without one).
VECTORS: dict[str, tuple[Any, Any]] = {
    "exp": (weighted(by_eigh(xg.exp)), weighted(lambda x: series(hermitian(x)))),
    "square root": (weighted(by_eigh(xg.sqrt)), weighted(lambda x: newton_root(hermitian(x)))),
    "inverse": (weighted(by_eigh(lambda w: 1 / w)), weighted(lambda x: xg.linalg.inv(hermitian(x)))),
    "square of what is not alone": (
        weighted(by_eigh(lambda w: (w - 1) ** 2)),
        weighted(lambda x: (hermitian(x) - xg.eye(N)) @ (hermitian(x) - xg.eye(N))),
    ),
    "exp, by eig": (weighted(by_eig(xg.exp)), weighted(lambda x: series(hermitian(x)))),
    "x xᴴ x": (weighted(by_svd(lambda s: s**3)), weighted(lambda x: x @ H(x) @ x)),
}
VALUES: dict[str, tuple[Any, Any]] = {
    "squares": (
        lambda x: xg.sum(xg.linalg.eigvalsh(hermitian(x)) ** 2),
        lambda x: total(hermitian(x) * xg.conj(hermitian(x))),
    ),
    "exp": (
        lambda x: xg.sum(xg.exp(xg.linalg.eigh(hermitian(x))[0])),
        lambda x: total(xg.linalg.trace(series(hermitian(x)))),
    ),
    "log det": (
        lambda x: xg.sum(xg.log(xg.linalg.eigvalsh(hermitian(x)))),
        lambda x: xg.linalg.slogdet(hermitian(x))[1],
    ),
    "Frobenius": (lambda x: xg.sum(xg.linalg.svdvals(x) ** 2) ** 0.5, xg.linalg.matrix_norm),
    "fourth powers": (
        lambda x: xg.sum(xg.linalg.svdvals(x) ** 4),
        lambda x: total((x @ H(x)) * xg.conj(x @ H(x))),
    ),
    "log|det|": (lambda x: xg.sum(xg.log(xg.linalg.svdvals(x))), lambda x: xg.linalg.slogdet(x)[1]),
}
SPECTRA = {
    "three": (1.5, 1.5, 1.5),
    "the first two": (1.0, 1.0, 2.0),
    "the last two": (1.0, 2.0, 2.0),
    "nearly": (1.0, 1.0 + 1e-11, 2.0),
}


def matrix(spectrum: str, kind: str, stacked: bool = False) -> Any:
    q = BASIS[kind]
    one = (q * np.array(SPECTRA[spectrum])) @ q.conj().T
    return xg.asarray(np.stack([one, np.diag([3.0, 1.0, 2.0]).astype(kind)]) if stacked else one)


def derivatives(f: Any, x: Any, p: Any) -> Iterator[tuple[str, Any]]:
    yield "grad", xg.grad(f)(x)
    yield "jvp", xg.jvp(f, (x,), (p,))[1]
    yield "hvp", xg.hvp(f, (x,), (p,))
    yield "grad of grad", xg.grad(lambda x: total(xg.grad(f)(x) * xg.conj(p)))(x)
    yield "grad of jvp", xg.grad(lambda x: xg.jvp(f, (x,), (p,))[1])(x)
    yield "jvp of jvp", xg.jvp(lambda x: xg.jvp(f, (x,), (p,))[1], (x,), (p,))[1]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


SLOW = [pytest.param(s, marks=[] if s == "the last two" else pytest.mark.exhaustive) for s in SPECTRA]


@pytest.mark.parametrize("kind", K)
@pytest.mark.parametrize("spectrum", SLOW)
@pytest.mark.parametrize("name", VALUES)
def test_of_values_to_second_order(name: str, spectrum: str, kind: str) -> None:
    f, g = VALUES[name]
    x, p = matrix(spectrum, kind), xg.asarray(plain(N, N, complex_=kind == "complex128"))
    for (what, found), (_, want) in zip(derivatives(f, x, p), derivatives(g, x, p)):
        np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=1e-8, atol=1e-8, err_msg=what)


@pytest.mark.slow
@pytest.mark.parametrize("kind", K)
@pytest.mark.parametrize("spectrum", SLOW)
@pytest.mark.parametrize("name", VECTORS)
def test_of_vectors_to_first_order_and_then_nan(name: str, spectrum: str, kind: str) -> None:
    f, g = VECTORS[name]
    x, p = matrix(spectrum, kind), xg.asarray(plain(N, N, complex_=kind == "complex128"))
    near = 1e-6 if spectrum == "nearly" else 1e-8
    for (what, found), (_, want) in zip(derivatives(f, x, p), derivatives(g, x, p)):
        if what in ("grad", "jvp") or not np.isnan(found.numpy()).all():
            np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=near, atol=near, err_msg=what)
    for found in (xg.compile(xg.grad(f))(x), xg.compile(lambda x: xg.jvp(f, (x,), (p,))[1])(x)):
        assert np.isnan(found.numpy()).all() or spectrum == "nearly"


def test_stacks_and_float32() -> None:
    x, k = matrix("the last two", "float64", stacked=True), K["float64"]
    together = lambda x: xg.sum(by_eigh(xg.exp)(x) * k)
    one_by_one = lambda x: xg.sum(series(hermitian(x[0])) * k) + xg.sum(series(hermitian(x[1])) * k)
    np.testing.assert_allclose(xg.grad(together)(x).numpy(), xg.grad(one_by_one)(x).numpy(), rtol=1e-8)
    found = xg.grad(lambda x: xg.sum(by_eigh(xg.exp)(x) * k.astype("float32")))(
        x[0].astype("float32")
    ).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, xg.grad(lambda x: xg.sum(series(hermitian(x)) * k))(x[0]).numpy(), rtol=2e-4, atol=2e-4
    )


def test_a_vector_beside_equal_values_to_second_order() -> None:
    """Second derivatives are compared with differences of the gradient at distinct eigenvalues."""
    k = rng.normal(size=N)
    f = lambda x: xg.sum(xg.linalg.eigh(hermitian(x))[1][:, 0] * k) ** 2
    x, p = matrix("the last two", "float64"), plain(N, N)
    slope = lambda t: xg.grad(f)(x + t * p).numpy()
    h = 1e-4
    want = (8 * (slope(h) - slope(-h)) - (slope(2 * h) - slope(-2 * h))) / (12 * h)
    for what, found in derivatives(f, x, xg.asarray(p)):
        expected = {"grad": slope(1e-9), "jvp": np.sum(slope(1e-9) * p), "jvp of jvp": np.sum(want * p)}.get(
            what, want
        )
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6, err_msg=what)


def test_a_subspace_that_stays_together() -> None:
    """The projector on the space of two equal eigenvalues is the complement of that on the third."""
    x = matrix("the first two", "float64")
    f = lambda x: xg.sum((lambda v: v[:, :2] @ v[:, :2].mT)(xg.linalg.eigh(hermitian(x))[1]) * K["float64"])
    g = lambda x: xg.sum(
        (lambda v: xg.eye(N) - v[:, 2:] @ v[:, 2:].mT)(xg.linalg.eigh(hermitian(x))[1]) * K["float64"]
    )
    np.testing.assert_allclose(xg.grad(f)(x).numpy(), xg.grad(g)(x).numpy(), atol=1e-12)


ONE_OF_SEVERAL = {
    "eigenvalue": lambda x: xg.linalg.eigvalsh(hermitian(x))[0],
    "eigenvalue by eigh": lambda x: xg.linalg.eigh(hermitian(x))[0][0],
    "eigenvalue beside a smooth function of vectors": lambda x: (
        xg.linalg.eigvalsh(hermitian(x))[0] + weighted(by_eigh(xg.exp))(x)
    ),
    "both of one decomposition": lambda x: (lambda w, v: w[0] + xg.sum((v * w) @ v.mT * K["float64"]))(
        *xg.linalg.eigh(hermitian(x))
    ),
    "eigenvector": lambda x: xg.linalg.eigh(hermitian(x))[1][0, 0] ** 2,
    "singular value": lambda x: xg.linalg.svdvals(x)[0],
    "spectral norm": lambda x: xg.linalg.matrix_norm(x, ord=2),
    "singular vector": lambda x: xg.linalg.svd(x)[0][0, 0] ** 2,
    "eigenvalue by eig": lambda x: xg.real(xg.linalg.eigvals(hermitian(x))[0]) ** 2,
    "many": lambda x: xg.sum(xg.linalg.eigvalsh(hermitian(x)) * xg.asarray([1.0, 2.0, 3.0])),
}


@pytest.mark.parametrize("what", ONE_OF_SEVERAL)
def test_one_of_equal_values_has_no_derivative(what: str) -> None:
    f, x, p = ONE_OF_SEVERAL[what], xg.eye(N), plain(N, N)
    assert np.isnan(xg.grad(f)(x).numpy()).all()
    assert np.isnan(xg.jvp(f, (x,), (p,))[1].numpy())
    assert np.isnan(xg.compile(xg.grad(f))(x).numpy()).all()
    assert np.isnan(xg.compile(lambda x: xg.jvp(f, (x,), (p,))[1])(x).numpy())


def test_too_few_vectors() -> None:
    x = xg.asarray([[1.0, 1.0], [0.0, 1.0]])
    assert np.isnan(xg.grad(lambda x: xg.real(xg.sum(xg.linalg.eigvals(x) ** 2)))(x).numpy()).all()


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (3, 3)])
@pytest.mark.parametrize("full", [False, True])
def test_singular_values_that_are_zero(shape: tuple[int, int], full: bool) -> None:
    low = xg.asarray(plain(shape[0], 1) @ plain(1, shape[1]))
    k = plain(*shape)

    def cubed(x: Any) -> Any:
        u, s, vh = xg.linalg.svd(x, full_matrices=full)
        return xg.sum((u[:, : s.size] * s**3) @ vh[: s.size] * k)

    for x in (low, xg.zeros(shape)):
        np.testing.assert_allclose(
            xg.grad(cubed)(x).numpy(), xg.grad(lambda x: xg.sum(x @ x.mT @ x * k))(x).numpy(), atol=1e-10
        )
        np.testing.assert_allclose(
            xg.hvp(lambda x: xg.sum(xg.linalg.svdvals(x) ** 2), (x,), (k,)).numpy(), 2 * k, atol=1e-10
        )
    u, _, vh = np.linalg.svd(low.numpy(), full_matrices=False)
    np.testing.assert_allclose(
        xg.grad(lambda x: xg.linalg.matrix_norm(x, ord="nuc"))(low).numpy(), u[:, :1] @ vh[:1], atol=1e-12
    )
    assert np.isnan(xg.grad(lambda x: xg.sum(xg.linalg.svdvals(x)))(low).numpy()).all()


def test_the_upper_triangle() -> None:
    a = plain(N, N)
    w, v = np.linalg.eigh(xg.asarray(a), "U")
    assert np.array_equal(w.numpy(), np.linalg.eigh(a, "U")[0])
    assert np.array_equal(v.numpy(), np.linalg.eigh(a, "U")[1])

    def f(x: Any) -> Any:
        w, v = np.linalg.eigh(x, "U")
        return xg.sum((v * xg.exp(w)) @ v.mT * K["float64"])

    k = K["float64"].numpy()
    np.testing.assert_allclose(
        xg.grad(f)(xg.eye(N)).numpy(), np.e * (np.triu(k) + np.tril(k, -1).T), rtol=1e-12, atol=1e-12
    )
    xg.check_grads(f, (xg.asarray(a),), order=2)
