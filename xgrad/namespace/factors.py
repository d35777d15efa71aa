"""Linear systems, inverses and decompositions of matrices stacked along leading axes."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..backends.dtypes import finfo, is_complex, is_floating, is_half
from ..backends.types import ArrayLike
from ..core.dispatch import adopt
from ..core.tensor import Tensor
from ..ops import Op, spectral
from ..ops import decompositions as d
from ..ops.perturbation import SEAL
from . import gates
from .calling import call
from .conversion import asarray, astype
from .creation import zeros
from .manipulation import reshape
from .table import function


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and the eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """Eigenvalues in no particular order, and the eigenvectors as columns of length one."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """Q with orthonormal columns, and upper triangular R."""

    Q: Tensor
    R: Tensor


class SlogdetResult(NamedTuple):
    """det(x) is sign times exp(logabsdet)."""

    sign: Tensor
    logabsdet: Tensor


class SVDResult(NamedTuple):
    """Left singular vectors (columns), descending singular values, conjugated right vectors (rows)."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def floating(x: ArrayLike) -> Tensor:
    """Convert to a floating Tensor: integers become float64."""
    x = asarray(x)
    return x if is_floating(x.dtype) else astype(x, "float64")


def both(x: ArrayLike, y: ArrayLike, op: Op) -> tuple[Tensor, Tensor]:
    """Convert both operands to Tensors; a plain array goes to the other's device."""
    if isinstance(x, Tensor) or isinstance(y, Tensor):
        x, y = (
            adopt(x, y, op) if isinstance(y, Tensor) else x,
            adopt(y, x, op) if isinstance(x, Tensor) else y,
        )
    return asarray(x), asarray(y)


@function(extension="linalg")
def solve(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Solve x1 @ x = x2 for x.

    `x1` has shape (..., n, n), `x2` (..., n, k) with broadcasting leading axes, or (n,).

    Raises ShapeError for other shapes, and the array library's LinAlgError if `x1` is singular.

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
    """The standard's relative cutoff below which a singular value counts as 0."""
    return max(x.shape[-2:]) * finfo(x.dtype).eps


@function(extension="linalg")
def pinv(x: ArrayLike, /, *, rtol: ArrayLike | None = None) -> Tensor:
    """Moore-Penrose inverse; singular values below `rtol` times the largest count as 0.

    The derivative assumes a constant rank.
    """
    x = d.matrices(floating(x), "pinv")
    return call(d.PINV, (x, _cutoff(x) if rtol is None else float(rtol) if isinstance(rtol, int) else rtol))


@function(extension="linalg")
def matrix_rank(x: ArrayLike, /, *, rtol: ArrayLike | None = None) -> Tensor:
    """Number of singular values above `rtol` times the largest; an integer, without a derivative."""
    x = d.matrices(floating(x), "matrix_rank")
    s = call(spectral.SVDVALS, (x,))
    if not s.shape[-1]:
        return zeros(s.shape[:-1], dtype="int64", device=x.device)
    rtol = _cutoff(x) if rtol is None else rtol if isinstance(rtol, int | float) else asarray(rtol)[..., None]
    return gates.count_nonzero(s > gates.max(s, axis=-1, keepdims=True) * rtol, axis=-1)


@function(extension="linalg")
def slogdet(x: ArrayLike, /) -> SlogdetResult:
    """Sign and logarithm of the absolute value of the determinant.

    For complex matrices the sign is a complex number of absolute value 1.

    The derivative needs the inverse: for a singular matrix it raises the array library's LinAlgError.
    """
    return SlogdetResult(*call(d.SLOGDET, (x,)))


@function(extension="linalg")
def eigh(x: ArrayLike, /) -> EighResult:
    """Eigenvalues and eigenvectors of hermitian matrices.

    Only the lower triangle is read, so the gradient is 0 above the diagonal. With equal eigenvalues, a
    function that does not depend on the choice of their eigenvectors has its correct derivative; one that
    does depend on it has none and gives NaN. Also NaN are second derivatives through eigenvectors of equal
    eigenvalues, and derivatives in compiled code that uses such eigenvectors.

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
    """Compute a decomposition; half precision is computed in float32, and the outputs rounded."""
    if not is_half(getattr(x, "dtype", None)):
        return call(op, (x,), params)  # type: ignore[return-value]
    x = asarray(x)
    wide = call(op, (astype(x, "float32"),), params)
    return tuple(astype(part, "complex64" if is_complex(part.dtype) else x.dtype) for part in wide)


def eigh_of(x: ArrayLike, UPLO: str) -> EighResult:
    """As `eigh`, reading the triangle `UPLO`: "L" or "U"."""
    return EighResult(*_spectrum(spectral.EIGH, x, {"UPLO": UPLO}))


def _values_or(x: ArrayLike, values: Op, whole: Op, at: int, params: dict[str, Any]) -> Tensor:
    """Compute only the values, or the full decomposition if a gradient will need the vectors."""
    if isinstance(x, Tensor) and x.requires_grad:
        return _spectrum(whole, x, params)[at]
    return call(values, (x,))


@function(extension="linalg")
def eigvalsh(x: ArrayLike, /) -> Tensor:
    """Eigenvalues of hermitian matrices in ascending order.

    Only the lower triangle is read, so the gradient is 0 above the diagonal. A single one of several equal
    eigenvalues has no derivative: it gives NaN. A smooth symmetric function of all of them has derivatives to
    second order.
    """
    return _values_or(x, spectral.EIGVALSH, spectral.EIGH, 0, {"UPLO": "L"})


@function(extension="linalg")
def svdvals(x: ArrayLike, /) -> Tensor:
    """Singular values of matrices, in descending order.

    A single one of several equal values, or a value of 0, has no derivative: it gives NaN. A smooth symmetric
    function of all values has derivatives to second order.
    """
    return _values_or(x, spectral.SVDVALS, spectral.SVD, 1, {"full_matrices": False})


@function(numpy="linalg.eig", extension="linalg")
def eig(x: ArrayLike, /) -> EigResult:
    """Eigenvalues and eigenvectors of square matrices, always complex, as a dtype cannot depend on values.

    The gradient is correct for functions that do not depend on the phases of the vectors. With equal
    eigenvalues it behaves as that of `eigh`; it is NaN for defective matrices, which have fewer eigenvectors
    than eigenvalues. If the device's library lacks the function, it runs on the host. Raises ShapeError if x
    is not square.

    >>> import xgrad as xg
    >>> xg.linalg.eig(xg.asarray([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues
    tensor([0.+1.j, 0.-1.j])
    """
    return EigResult(*_spectrum(spectral.EIG, x, {}))


@function(numpy="linalg.eigvals", extension="linalg")
def eigvals(x: ArrayLike, /) -> Tensor:
    """Eigenvalues of square matrices, in no particular order, always complex.

    Like `eig`, it may run on the host.
    """
    return eig(x).eigenvalues


@function(extension="linalg")
def qr(x: ArrayLike, /, *, mode: str = "reduced") -> QRResult:
    """x = Q R: columns of Q orthonormal, R upper triangular. `mode` "complete" makes Q square.

    The completing columns are any basis of the orthogonal complement; the gradient is correct for functions
    that do not depend on that choice. It requires the first min(n, m) columns of `x` to be linearly
    independent: if they are dependent within rounding it is NaN, and if exactly dependent the array library's
    LinAlgError is raised.
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(f"qr: mode must be 'reduced' or 'complete', not {mode!r}")
    return QRResult(*call(d.QR, (x,), {"mode": mode}))


@function(extension="linalg")
def svd(x: ArrayLike, /, *, full_matrices: bool = True) -> SVDResult:
    """x = U S Vh: singular vectors and values; with `full_matrices`, U and Vh are square.

    Singular vectors are determined up to a sign or phase; those of equal singular values, and those beyond
    the first min(n, m), up to a choice of basis. The gradient is correct for functions that do not depend on
    such a choice. If singular values are equal or 0, the remarks on `eigh` apply.
    """
    return SVDResult(*_spectrum(spectral.SVD, x, {"full_matrices": full_matrices}))


def cofactor(x: ArrayLike) -> Tensor:
    """det(x) x⁻ᵀ, the derivative of det; also defined for singular matrices."""
    return call(d.COFACTOR, (x,))


def seal(x: ArrayLike) -> Tensor:
    """Zero for each row, with derivative NaN: marks a value that must not be differentiated further."""
    return call(SEAL, (x,))
