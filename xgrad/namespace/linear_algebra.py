"""Linear algebra: products, diagonals and norms, of vectors and matrices stacked along leading axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any, Literal

from ..backends.dtypes import finfo, is_complex, is_half
from ..backends.types import ArrayLike, DTypeLike
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops import decompositions as d
from ..ops.arithmetic import STOP_GRADIENT
from ..ops.axes import is_integer, normal_axes
from ..ops.linalg import MATMUL
from ..ops.perturbation import ROUNDING
from . import gates, reductions
from .calling import call
from .conversion import asarray, astype
from .creation import eye, zeros
from .factors import both, floating, svdvals
from .gates import conj, where
from .manipulation import broadcast_to, permute_dims, reshape, stack, unstack
from .table import function


def _refuse(message: str) -> Any:
    raise ShapeError(message)


# Products


@function
@function(extension="linalg")
def matmul(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x @ y for matrices (..., n, k) and (..., k, m).

    Leading axes broadcast; a one-dimensional operand is a vector.
    """
    return call(MATMUL, (x, y))


@function
@function(extension="linalg")
def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """Swap the last two axes."""
    return asarray(x).mT


@function
@function(extension="linalg")
def tensordot(x1: ArrayLike, x2: ArrayLike, /, *, axes: int | Sequence[int | Sequence[int]] = 2) -> Tensor:
    """Contract axes of two arrays.

    `axes` is a number, for the last axes of `x1` and the first of `x2`, or a pair of lists of axes.

    >>> import xgrad as xg
    >>> xg.tensordot(xg.ones((2, 3, 4)), xg.ones((4, 3)), axes=((1, 2), (1, 0))).shape
    (2,)
    """
    x1, x2 = both(x1, x2, MATMUL)
    if is_integer(axes):
        n = index(axes)
        if not 0 <= n <= min(x1.ndim, x2.ndim):
            _refuse(
                f"tensordot: axes={n}, but the arrays of shapes {x1.shape} and {x2.shape} do not both have "
                f"so many axes"
            )
        axes = (range(x1.ndim - n, x1.ndim), range(n))
    if not isinstance(axes, tuple | list) or len(axes) != 2:
        raise TypeError(f"tensordot: axes must be an integer or a pair of lists of axes, not {axes!r}")
    first, second = (normal_axes(a, x.ndim, "tensordot") for a, x in zip(axes, (x1, x2)))
    if len(set(first)) < len(first) or len(set(second)) < len(second):
        _refuse(f"tensordot over axes {first} and {second}: an axis is repeated")
    if [x1.shape[a] for a in first] != [x2.shape[a] for a in second]:
        _refuse(
            f"tensordot over axes {first} and {second} of arrays of shapes {x1.shape} and {x2.shape}: the "
            f"axes differ in length"
        )
    kept1, kept2 = ([a for a in range(x.ndim) if a not in over] for x, over in ((x1, first), (x2, second)))
    n, k, m = (math.prod(x.shape[a] for a in kept) for x, kept in ((x1, kept1), (x1, first), (x2, kept2)))
    left, right = (
        reshape(permute_dims(x1, (*kept1, *first)), (n, k)),
        reshape(permute_dims(x2, (*second, *kept2)), (k, m)),
    )
    return reshape(left @ right, (*(x1.shape[a] for a in kept1), *(x2.shape[a] for a in kept2)))


@function
@function(extension="linalg")
def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """Sum of conj(x1) * x2 along an axis, after broadcasting.

    >>> import xgrad as xg
    >>> xg.vecdot(xg.asarray([1j, 2.0]), xg.asarray([1j, 1.0]))
    tensor(3.+0.j)
    """
    x1, x2 = both(x1, x2, MATMUL)
    axis = _common_axis("vecdot", x1, x2, axis)
    if x1.shape[axis] != x2.shape[axis]:
        _refuse(
            f"vecdot along axis {axis}: arrays of shapes {x1.shape} and {x2.shape} differ in length there"
        )
    row, column = (_last(x, axis) for x in (conj(x1) if is_complex(x1.dtype) else x1, x2))
    z = reshape(row, (*row.shape[:-1], 1, row.shape[-1])) @ reshape(column, (*column.shape, 1))
    return reshape(z, z.shape[:-2])


def _common_axis(name: str, x1: Tensor, x2: Tensor, axis: int) -> int:
    """`axis` as a negative number valid for both operands."""
    least = min(x1.ndim, x2.ndim)
    if axis >= 0 and x1.ndim == x2.ndim:
        axis -= least
    if not -least <= axis < 0:
        raise IndexError(
            f"{name}: axis {axis} is out of range for arrays of shapes {x1.shape} and {x2.shape}; count from "
            f"the end, from {-least} to -1"
        )
    return axis


def _last(x: Tensor, axis: int) -> Tensor:
    """Move an axis to the end."""
    return (
        x
        if axis in (-1, x.ndim - 1)
        else permute_dims(x, (*(a for a in range(x.ndim) if a != axis % x.ndim), axis % x.ndim))
    )


@function(extension="linalg")
def outer(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Outer product of two vectors."""
    x1, x2 = both(x1, x2, MATMUL)
    if not x1.ndim == x2.ndim == 1:
        _refuse(f"outer takes two vectors, not arrays of shapes {x1.shape} and {x2.shape}")
    return (
        reshape(x1, (-1, 1)) * x2
        if x1.size
        else zeros((0, x2.size), dtype=(x1 * x2[:0]).dtype, device=x1.device)
    )


@function(extension="linalg")
def cross(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """Cross product of vectors of three elements along `axis`.

    >>> import xgrad as xg
    >>> xg.linalg.cross(xg.asarray([1.0, 0.0, 0.0]), xg.asarray([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    x1, x2 = both(x1, x2, MATMUL)
    axis = _common_axis("cross", x1, x2, axis)
    if not x1.shape[axis] == x2.shape[axis] == 3:
        _refuse(
            f"cross takes vectors of 3 elements, but along axis {axis} the arrays of shapes {x1.shape} and "
            f"{x2.shape} have another length"
        )
    a, b = unstack(x1, axis=axis), unstack(x2, axis=axis)
    return stack([a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)], axis=axis)


@function(extension="linalg")
def matrix_power(x: ArrayLike, n: int, /) -> Tensor:
    """`n`-th power of square matrices, by repeated squaring.

    A negative n takes powers of the inverse; 0 gives the identity.
    """
    x = d.matrices(asarray(x), "matrix_power")
    if x.shape[-1] != x.shape[-2]:
        _refuse(f"matrix_power takes square matrices (..., n, n), not an array of shape {x.shape}")
    if not is_integer(n):
        raise TypeError(
            f"matrix_power: the exponent must be an integer, not {n!r}; for other powers use the "
            f"eigenvalues, from xg.linalg.eigh"
        )
    n = index(n)
    if n == 0:
        return broadcast_to(eye(x.shape[-1], dtype=x.dtype, device=x.device), x.shape)
    if n < 0:
        x, n = gates.inv(x), -n
    z = None
    while True:
        if n % 2:
            z = x if z is None else z @ x
        n //= 2
        if not n:
            return z  # type: ignore[return-value]
        x = x @ x


# Diagonals


@function(extension="linalg")
def diagonal(x: ArrayLike, /, *, offset: int = 0) -> Tensor:
    """The diagonal of the last two axes, or the one `offset` above it."""
    x = d.matrices(asarray(x), "diagonal")
    *stacked, n, m = x.shape
    start = offset if offset >= 0 else -offset * m
    length = max(0, min(n + min(offset, 0), m - max(offset, 0)))
    flat = reshape(x, (*stacked, n * m))
    return flat[..., start : min(start + length * (m + 1), n * m) : m + 1] if length else flat[..., :0]


@function(extension="linalg")
def trace(x: ArrayLike, /, *, offset: int = 0, dtype: DTypeLike | None = None) -> Tensor:
    """Sum of a diagonal of the last two axes, in `dtype` if one is given."""
    return reductions.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


# Norms


@function(extension="linalg")
def vector_norm(
    x: ArrayLike, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """Vector norm over axes, or of all elements if `axis` is None.

    It is the sum of |x|^ord to the power 1/ord; for ord inf or -inf, the largest or smallest |x|; for ord 0,
    the number of non-zero elements. The derivative of a norm that is 0 is 0.

    >>> import xgrad as xg
    >>> xg.linalg.vector_norm(xg.asarray([3.0, 4.0]))
    tensor(5.)
    >>> xg.grad(xg.linalg.vector_norm)(xg.zeros(2))
    tensor([0., 0.])
    """
    x = floating(x)
    if is_half(x.dtype):  # squares would overflow: compute in float32, round once
        return astype(vector_norm(astype(x, "float32"), axis=axis, keepdims=keepdims, ord=ord), x.dtype)
    axes = normal_axes(axis, x.ndim, "vector_norm")
    over: dict[str, Any] = {"axis": axis, "keepdims": keepdims}
    if ord == 2:
        squares = gates.square(gates.real(x)) + gates.square(gates.imag(x)) if is_complex(x.dtype) else x * x
        return _root(reductions.sum(squares, **over), 2)
    size = abs(x)
    # the largest of an empty array is 0
    if ord == 1 or (ord == math.inf and 0 in (x.shape[a] for a in axes)):
        return reductions.sum(size, **over)
    if abs(ord) == math.inf:
        return gates.max(size, **over) if ord > 0 else gates.min(size, **over)
    if ord == 0:
        return reductions.sum(astype(x != 0, size.dtype), **over)
    some = size != 0
    powers = where(some, size, 1) ** ord
    if ord > 0:
        return _root(reductions.sum(where(some, powers, 0), **over), ord)
    z = where(gates.all(some, **over), reductions.sum(powers, **over), math.inf)  # one 0 makes the norm 0
    return where(z == math.inf, 0, where(z == math.inf, 1, z) ** (1 / ord))


def _root(x: Tensor, ord: float) -> Tensor:
    """The ord-th root, flat at 0."""
    safe = where(x == 0, 1, x)
    return where(x == 0, 0, gates.sqrt(safe) if ord == 2 else safe ** (1 / ord))


@function(extension="linalg")
def matrix_norm(
    x: ArrayLike, /, *, keepdims: bool = False, ord: float | Literal["fro", "nuc"] | None = "fro"
) -> Tensor:
    """Norm of matrices.

    `ord` is "fro" or None for the Frobenius norm, "nuc" for the sum of the singular values, 2 or -2 for the
    largest or smallest of them, 1 or -1 for the largest or smallest sum of |x| over a column, inf or -inf for
    that over a row.

    The derivative of a singular value of 0 is taken as 0, like that of |x|. If the largest singular value is
    not unique, the derivative is NaN.
    """
    x = d.matrices(floating(x), "matrix_norm")
    if is_half(x.dtype):
        return astype(matrix_norm(astype(x, "float32"), keepdims=keepdims, ord=ord), x.dtype)
    if ord in ("fro", None):
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord not in ("nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise ValueError(f"matrix_norm: ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not {ord!r}")
    sizes: Tensor = (
        _singular_values(x)
        if ord in ("nuc", 2, -2)
        else reductions.sum(abs(x), axis=-2 if ord in (1, -1) else -1)
    )
    if ord == "nuc":
        z = reductions.sum(sizes, axis=-1)
    elif not sizes.shape[-1] and ord > 0:
        z = reductions.sum(sizes, axis=-1)  # the norm of an empty matrix is 0
    else:
        z = gates.max(sizes, axis=-1) if ord > 0 else gates.min(sizes, axis=-1)
    return reshape(z, (*z.shape, 1, 1)) if keepdims else z


def _singular_values(x: Tensor) -> Tensor:
    """Singular values; those that are 0 within rounding pass no gradient."""
    s = svdvals(x)
    zero = s <= ROUNDING * finfo(s.dtype).eps * reductions.sum(s, axis=-1, keepdims=True)
    return where(zero, call(STOP_GRADIENT, (s,)), s)
