"""Products, and linear algebra where NumPy differs from the standard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from .. import namespace as xp
from ..backends.dtypes import finfo, is_complex, is_floating
from ..backends.types import ArrayLike, DTypeLike, NestedArrayLike
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..namespace.factors import eigh_of
from ..ops.axes import Axis, normal_axes
from .table import arrays, in_numpy

#: The order of a norm.
Order = float | Literal["fro", "nuc"]


@in_numpy("dot")
def dot(a: NestedArrayLike, b: NestedArrayLike) -> Tensor:
    """Contract the last axis of `a` with the last but one of `b`."""
    a, b = arrays((a, b))
    if not a.ndim or not b.ndim:
        return a * b
    return xp.matmul(a, b) if b.ndim <= 2 else xp.tensordot(a, b, axes=((-1,), (-2,)))


@in_numpy("inner")
def inner(a: NestedArrayLike, b: NestedArrayLike) -> Tensor:
    a, b = arrays((a, b))
    return a * b if not a.ndim or not b.ndim else xp.tensordot(a, b, axes=((-1,), (-1,)))


@in_numpy("vdot")
def vdot(a: NestedArrayLike, b: NestedArrayLike) -> Tensor:
    a, b = (xp.reshape(v, (-1,)) for v in arrays((a, b)))
    return xp.matmul(xp.conj(a), b)


@in_numpy("outer")
def outer(a: NestedArrayLike, b: NestedArrayLike) -> Tensor:
    a, b = (xp.reshape(v, (-1,)) for v in arrays((a, b)))
    return a[:, None] * b


@in_numpy("matvec")
def matvec(x1: NestedArrayLike, x2: NestedArrayLike) -> Tensor:
    x1, x2 = arrays((x1, x2))
    if x1.ndim < 2 or not x2.ndim:
        raise ShapeError(
            f"np.matvec takes matrices (..., m, n) and vectors (..., n), not shapes {x1.shape} and {x2.shape}"
        )
    return xp.matmul(x1, x2[..., None])[..., 0]


@in_numpy("vecmat")
def vecmat(x1: NestedArrayLike, x2: NestedArrayLike) -> Tensor:
    x1, x2 = arrays((x1, x2))
    if not x1.ndim or x2.ndim < 2:
        raise ShapeError(
            f"np.vecmat takes vectors (..., m) and matrices (..., m, n), not shapes {x1.shape} and {x2.shape}"
        )
    return xp.matmul(xp.conj(x1)[..., None, :], x2)[..., 0, :]


@in_numpy("kron")
def kron(a: NestedArrayLike, b: NestedArrayLike) -> Tensor:
    a, b = arrays((a, b))
    n = max(a.ndim, b.ndim)
    a, b = (xp.reshape(v, (1,) * (n - v.ndim) + v.shape) for v in (a, b))
    wide = xp.reshape(a, tuple(m for length in a.shape for m in (length, 1))) * xp.reshape(
        b, tuple(m for length in b.shape for m in (1, length))
    )
    return xp.reshape(wide, tuple(i * j for i, j in zip(a.shape, b.shape, strict=True)))


@in_numpy("tensordot")
def tensordot(a: NestedArrayLike, b: NestedArrayLike, axes: Any = 2) -> Tensor:
    return xp.tensordot(*arrays((a, b)), axes=axes)


@in_numpy("einsum")
def einsum(*operands: Any, optimize: Any = False) -> Tensor:
    """Einstein summation; `optimize` is ignored, the order of contraction is chosen automatically."""
    return xp.einsum(*operands)


@in_numpy("cross")
def cross(
    a: NestedArrayLike,
    b: NestedArrayLike,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Tensor:
    """Cross product of vectors of three elements."""
    a, b = arrays((a, b))
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    a, b = xp.moveaxis(a, axisa, -1), xp.moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ShapeError(
            f"np.cross on a Tensor takes vectors of 3 elements, not {a.shape[-1]} and {b.shape[-1]}"
        )
    (a0, a1, a2), (b0, b1, b2) = ([v[..., i] for i in range(3)] for v in (a, b))
    z = xp.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=-1)
    return xp.moveaxis(z, -1, axisc)


@in_numpy("diagonal")
def diagonal(a: NestedArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    a = xp.asarray(a)
    i, j = normal_axes((axis1, axis2), a.ndim, "np.diagonal")
    if i == j:
        raise ValueError(f"np.diagonal: axis1={axis1} and axis2={axis2} are the same axis")
    rest = tuple(k for k in range(a.ndim) if k not in (i, j))
    return xp.linalg.diagonal(xp.permute_dims(a, (*rest, i, j)), offset=offset)


@in_numpy("trace")
def trace(
    a: NestedArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: DTypeLike | None = None
) -> Tensor:
    return xp.sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


@in_numpy("diag")
def diag(v: NestedArrayLike, k: int = 0) -> Tensor:
    v = xp.asarray(v)
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ValueError(f"np.diag takes an array with one or two axes, not shape {v.shape}")
    n = v.shape[0]
    square = xp.where(
        xp.eye(n, dtype="bool", device=v.device), v, xp.zeros((), dtype=v.dtype, device=v.device)
    )
    ends = [
        xp.zeros((n, max(k, 0)), dtype=v.dtype, device=v.device),
        square,
        xp.zeros((n, max(-k, 0)), dtype=v.dtype, device=v.device),
    ]
    wide = xp.concat(ends, axis=1) if k else square
    zeros = xp.zeros((abs(k), n + abs(k)), dtype=v.dtype, device=v.device)
    return wide if not k else xp.concat([wide, zeros] if k > 0 else [zeros, wide])


@in_numpy("diagflat")
def diagflat(v: ArrayLike, k: int = 0) -> Tensor:
    return diag(xp.reshape(v, (-1,)), k)


@in_numpy("linalg.norm")
def norm(x: NestedArrayLike, ord: Order | None = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    x = xp.asarray(x)
    x = x if is_floating(x.dtype) else xp.astype(x, "float64")
    if axis is None and (ord is None or (ord in ("f", "fro") and x.ndim == 2) or (ord == 2 and x.ndim == 1)):
        z = xp.linalg.vector_norm(xp.reshape(x, (-1,)))
        return xp.reshape(z, (1,) * x.ndim) if keepdims else z
    axes = normal_axes(axis, x.ndim, "np.linalg.norm")
    if len(axes) == 1:
        if isinstance(ord, str):
            raise ValueError(
                f"np.linalg.norm: a vector has no norm of order {ord!r}; ord={ord!r} is for matrices, with a "
                f"pair of axes"
            )
        return xp.linalg.vector_norm(x, axis=axes[0], ord=2 if ord is None else ord, keepdims=keepdims)
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ValueError(
            f"np.linalg.norm of an array of shape {x.shape} needs axis= with one axis or two different ones, "
            f"not {axis}"
        )
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    z = xp.linalg.matrix_norm(xp.permute_dims(x, (*rest, *axes)), ord="fro" if ord in (None, "f") else ord)
    return xp.reshape(z, tuple(1 if i in axes else n for i, n in enumerate(x.shape))) if keepdims else z


def _as_lower(a: NestedArrayLike, UPLO: str) -> Tensor:
    """Arrange that the lower triangle is the one selected by `UPLO`."""
    if UPLO not in ("L", "U"):
        raise ValueError(f"np.linalg.eigvalsh: UPLO must be 'L' or 'U', not {UPLO!r}")
    a = xp.asarray(a)
    return a if UPLO == "L" else xp.conj(a).mT if is_complex(a.dtype) else a.mT


@in_numpy("linalg.eigh")
def eigh(a: ArrayLike, UPLO: str = "L") -> Any:
    if UPLO not in ("L", "U"):
        raise ValueError(f"np.linalg.eigh: UPLO must be 'L' or 'U', not {UPLO!r}")
    return eigh_of(a, UPLO)


@in_numpy("linalg.eigvalsh")
def eigvalsh(a: NestedArrayLike, UPLO: str = "L") -> Tensor:
    return xp.linalg.eigvalsh(_as_lower(a, UPLO))


@in_numpy("linalg.svd")
def svd(a: ArrayLike, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    return xp.linalg.svd(a, full_matrices=full_matrices) if compute_uv else xp.linalg.svdvals(a)


@in_numpy("linalg.qr")
def qr(a: ArrayLike, mode: str = "reduced") -> Any:
    if mode not in ("reduced", "complete", "r"):
        raise TypeError(f"np.linalg.qr on a Tensor: mode must be 'reduced', 'complete' or 'r', not {mode!r}")
    if mode == "r":
        return xp.linalg.qr(a, mode="reduced")[1]
    return xp.linalg.qr(a, mode=mode)


@in_numpy("linalg.cond")
def cond(x: ArrayLike, p: Order | None = None) -> Tensor:
    if p in (None, 2, -2):
        s = xp.linalg.svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return norm(x, p, (-2, -1)) * norm(xp.linalg.inv(x), p, (-2, -1))


@in_numpy("linalg.pinv")
def pinv(a: ArrayLike, rcond: ArrayLike | None = None, *, rtol: ArrayLike | None = None) -> Tensor:
    """Pseudo-inverse; `rcond` is NumPy's older name for `rtol`, with another default: 1e-15."""
    return xp.linalg.pinv(a, rtol=rcond if rtol is None else rtol)


@in_numpy("linalg.matrix_rank")
def matrix_rank(A: NestedArrayLike, tol: ArrayLike | None = None, *, rtol: ArrayLike | None = None) -> Tensor:
    A = xp.asarray(A)
    if tol is None:
        return xp.astype(xp.any(A != 0), "int64") if A.ndim < 2 else xp.linalg.matrix_rank(A, rtol=rtol)
    return xp.count_nonzero(xp.linalg.svdvals(A) > tol, axis=-1)


@in_numpy("linalg.multi_dot")
def multi_dot(matrices: Sequence[Any], /) -> Tensor:
    """Matrix product in the order with the fewest multiplications; the first and last may be vectors."""
    tensors = arrays(matrices)
    if len(tensors) < 2:
        raise ValueError(f"np.linalg.multi_dot takes at least two matrices, not {len(tensors)}")
    first, last = tensors[0], tensors[-1]
    lengths = [
        first.shape[0] if first.ndim > 1 else 1,
        *(v.shape[0] for v in tensors[1:]),
        last.shape[-1] if last.ndim > 1 else 1,
    ]
    n = len(tensors)
    cost: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(n)}
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            cost[i, j] = min(
                (cost[i, k][0] + cost[k + 1, j][0] + lengths[i] * lengths[k + 1] * lengths[j + 1], k)
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Tensor:
        k = cost[i, j][1]
        return tensors[i] if i == j else xp.matmul(product(i, k), product(k + 1, j))

    return product(0, n - 1)


class LeastSquares(NamedTuple):
    """Result of `lstsq`, as in NumPy."""

    x: Tensor
    residuals: Tensor
    rank: Tensor
    s: Tensor


@in_numpy("linalg.lstsq")
def lstsq(a: NestedArrayLike, b: NestedArrayLike, rcond: float | None = None) -> LeastSquares:
    """Least squares by the pseudo-inverse, which is differentiable.

    It needs the value of the rank, so it cannot be traced.
    """
    a, b = arrays((a, b))
    m, n = a.shape
    s = xp.linalg.svdvals(a)
    rtol = max(m, n) * finfo(s.dtype).eps if rcond is None else rcond
    x = xp.matmul(xp.linalg.pinv(a, rtol=rtol), b)
    rank = int(xp.count_nonzero(s > rtol * s[0])) if s.size else 0
    far = b - xp.matmul(a, x)
    residuals = xp.sum(xp.real(far * xp.conj(far)) if is_complex(far.dtype) else far * far, axis=0)
    residuals = (
        xp.reshape(residuals, (-1,))
        if rank == n and m > n
        else xp.zeros((0,), dtype=s.dtype, device=s.device)
    )
    return LeastSquares(x, residuals, xp.asarray(rank, device=a.device), s)
