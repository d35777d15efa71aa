"""Linear algebra: systems of equations, inverses and decompositions of matrices stacked along leading
axes."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..backends.dtypes import finfo, is_complex, is_floating, is_half
from ..backends.types import ArrayLike
from ..core.dispatch import adopt
from ..core.tensor import Tensor
from ..ops import Op, spectral
from ..ops import decompositions as d
from . import gates
from .calling import call
from .creation import asarray, astype, zeros
from .manipulation import reshape
from .table import function


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and the eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """Eigenvalues in no order, and the eigenvectors as columns of length one."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """Orthonormal columns, and what is upper triangular."""

    Q: Tensor
    R: Tensor


class SlogdetResult(NamedTuple):
    """det(x) is sign times exp(logabsdet)."""

    sign: Tensor
    logabsdet: Tensor


class SVDResult(NamedTuple):
    """Left singular vectors as columns, singular values in descending order, right singular vectors as rows,
    conjugated."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def floating(x: ArrayLike) -> Tensor:
    """`x` as numbers that have derivatives: integers become float64."""
    x = asarray(x)
    return x if is_floating(x.dtype) else astype(x, "float64")


def both(x: ArrayLike, y: ArrayLike, op: Op) -> tuple[Tensor, Tensor]:
    """Two Tensors, a plain array as one beside the other."""
    if isinstance(x, Tensor) or isinstance(y, Tensor):
        x, y = (
            adopt(x, y, op) if isinstance(y, Tensor) else x,
            adopt(y, x, op) if isinstance(x, Tensor) else y,
        )
    return asarray(x), asarray(y)


@function(extension="linalg")
def solve(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The x with x1 @ x = x2: matrices (..., n, n) and (..., n, k), whose leading axes broadcast, or a vector
    (n,).

    Raises ShapeError for other shapes, and the array library's LinAlgError where `x1` is singular.

    >>> import xgrad as xg
    >>> xg.linalg.solve(xg.asarray([[2.0, 0.0], [0.0, 4.0]]), xg.ones(2))
    tensor([0.5 , 0.25])
    """
    x1, x2 = map(floating, both(x1, x2, d.SOLVE))
    if x2.ndim == 1:
        z = call(d.SOLVE, (x1, reshape(x2, (x2.size, 1))))
        return reshape(z, z.shape[:-1])
    return call(d.SOLVE, (x1, d.matrices(x2, "solve")))


def _cutoff(x: Tensor) -> float:
    """What the standard takes a singular value to be 0 below, as a part of the largest."""
    return max(x.shape[-2:]) * finfo(x.dtype).eps


@function(extension="linalg")
def pinv(x: ArrayLike, /, *, rtol: ArrayLike | None = None) -> Tensor:
    """Moore-Penrose inverse, singular values below `rtol` times the largest taken as 0.

    Its derivative takes the rank as fixed.
    """
    x = d.matrices(floating(x), "pinv")
    return call(d.PINV, (x, _cutoff(x) if rtol is None else float(rtol) if isinstance(rtol, int) else rtol))


@function(extension="linalg")
def matrix_rank(x: ArrayLike, /, *, rtol: ArrayLike | None = None) -> Tensor:
    """How many singular values are above `rtol` times the largest: an integer, which has no derivative."""
    x = d.matrices(floating(x), "matrix_rank")
    s = call(spectral.SVDVALS, (x,))
    if not s.shape[-1]:
        return zeros(s.shape[:-1], dtype="int64", device=x.device)
    rtol = _cutoff(x) if rtol is None else rtol if isinstance(rtol, int | float) else asarray(rtol)[..., None]
    return gates.count_nonzero(s > gates.max(s, axis=-1, keepdims=True) * rtol, axis=-1)


@function(extension="linalg")
def slogdet(x: ArrayLike, /) -> SlogdetResult:
    """Sign of the determinant (a complex number of size 1 for complex matrices), and the logarithm of its
    size.

    Its derivative is the inverse, transposed: of a singular matrix there is none, and the array library's
    LinAlgError says so.
    """
    return SlogdetResult(*call(d.SLOGDET, (x,)))


@function(extension="linalg")
def eigh(x: ArrayLike, /) -> EighResult:
    """Eigenvalues and eigenvectors of hermitian matrices.

    The lower triangle is read, and so the gradient is 0 above the diagonal. Where eigenvalues are equal, what
    is smooth in the matrix, and so depends on no choice of their vectors, has its derivative; what depends on
    one has none, and gives NaN. So does a second derivative through the vectors of equal values, and compiled
    code where vectors of equal values are used.

    >>> import xgrad as xg
    >>> def entry_of_exp(x):
    ...     w, v = xg.linalg.eigh(x)
    ...     return ((v * xg.exp(w)) @ v.mT)[1, 0]
    >>> xg.grad(entry_of_exp)(xg.zeros((2, 2)))
    tensor([[0., 0.],
            [1., 0.]])
    """
    return eigh_of(x, "L")


def _spectrum(op: Op, x: ArrayLike, params: dict[str, Any]) -> tuple[Tensor, ...]:
    """A decomposition; of half precision in float32, its outputs rounded."""
    if not is_half(getattr(x, "dtype", None)):
        return call(op, (x,), params)  # type: ignore[return-value]
    x = asarray(x)
    wide = call(op, (astype(x, "float32"),), params)
    return tuple(astype(part, "complex64" if is_complex(part.dtype) else x.dtype) for part in wide)


def eigh_of(x: ArrayLike, UPLO: str) -> EighResult:
    """As `eigh`, with the triangle that is read, "L" or "U"."""
    return EighResult(*_spectrum(spectral.EIGH, x, {"UPLO": UPLO}))


def _values_or(x: ArrayLike, values: Op, whole: Op, at: int, params: dict[str, Any]) -> Tensor:
    """The values alone; by the whole decomposition, whose vectors the gradient needs, where one will flow
    back."""
    if isinstance(x, Tensor) and x.requires_grad:
        return _spectrum(whole, x, params)[at]
    return call(values, (x,))


@function(extension="linalg")
def eigvalsh(x: ArrayLike, /) -> Tensor:
    """Eigenvalues of hermitian matrices in ascending order.

    The lower triangle is read, and so the gradient is 0 above the diagonal. One of several equal eigenvalues
    has no derivative: it gives NaN. A smooth function of all of them has, to second order.
    """
    return _values_or(x, spectral.EIGVALSH, spectral.EIGH, 0, {"UPLO": "L"})


@function(extension="linalg")
def svdvals(x: ArrayLike, /) -> Tensor:
    """Singular values of matrices, in descending order.

    One of several equal ones, or one that is 0, has no derivative: it gives NaN. A smooth function of all
    has, to second order.
    """
    return _values_or(x, spectral.SVDVALS, spectral.SVD, 1, {"full_matrices": False})


@function(numpy="linalg.eig", extension="linalg")
def eig(x: ArrayLike, /) -> EigResult:
    """Eigenvalues and eigenvectors of square matrices, complex always, as a dtype cannot depend on values.

    The gradient is right for what does not depend on the phases of the vectors. Where eigenvalues are equal,
    it is as that of `eigh`, and NaN where there are fewer vectors than values. Where the device's library has
    none, they are found on the host. Raises ShapeError where x is not square.

    >>> import xgrad as xg
    >>> xg.linalg.eig(xg.asarray([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues
    tensor([0.+1.j, 0.-1.j])
    """
    return EigResult(*_spectrum(spectral.EIG, x, {}))


@function(numpy="linalg.eigvals", extension="linalg")
def eigvals(x: ArrayLike, /) -> Tensor:
    """Eigenvalues of square matrices, in no order, complex always.

    Like those of `eig`, they may be found on the host.
    """
    return eig(x).eigenvalues


@function(extension="linalg")
def qr(x: ArrayLike, /, *, mode: str = "reduced") -> QRResult:
    """x = Q R: columns of Q orthonormal, R upper triangular. `mode` "complete" makes Q square.

    The columns that complete it may be any basis of the rest; the gradient is right for what depends on no
    choice. It needs the first min(n, m) columns of `x` to be independent: it is NaN where they are not as far
    as rounding lets one know, and the array library's LinAlgError is raised where they are exactly not.
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(f"qr: mode is 'reduced' or 'complete', not {mode!r}")
    return QRResult(*call(d.QR, (x,), {"mode": mode}))


@function(extension="linalg")
def svd(x: ArrayLike, /, *, full_matrices: bool = True) -> SVDResult:
    """x = U S Vh: singular vectors and values; with `full_matrices`, U and Vh are square.

    Vectors may be changed by a sign or a phase, those of equal singular values and those beyond the first
    min(n, m) for any others of their space: the gradient is right for what depends on no such choice. Where
    singular values are equal, or 0, the rest of what is said of `eigh` holds too.
    """
    return SVDResult(*_spectrum(spectral.SVD, x, {"full_matrices": full_matrices}))


def cofactor(x: ArrayLike) -> Tensor:
    """det(x) x⁻ᵀ, which is the derivative of det, for singular matrices too."""
    return call(d.COFACTOR, (x,))


def seal(x: ArrayLike) -> Tensor:
    """A 0 for each row, whose derivative is NaN: of what holds at its point alone."""
    return call(spectral.SEAL, (x,))
