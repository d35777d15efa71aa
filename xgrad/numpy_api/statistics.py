"""Weighted averages, covariance and correlation."""

from __future__ import annotations

from typing import Any

from .. import namespace as xp
from ..backends.dtypes import is_complex
from ..backends.types import DTypeLike, NestedArrayLike
from ..core.context import MODE
from ..core.tensor import Tensor
from ..ops.axes import Axis, normal_axes
from .shapes import atleast_2d
from .table import arrays, in_numpy


@in_numpy("average")
def average(
    a: NestedArrayLike,
    axis: Axis = None,
    weights: NestedArrayLike | None = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    a = xp.asarray(a)
    if weights is None:
        z = xp.mean(a, axis=axis, keepdims=keepdims)
        total: Any = xp.full(z.shape, a.size / max(z.size, 1), dtype=z.dtype, device=z.device)
    else:
        weights = arrays((a, weights))[1]
        if weights.shape != a.shape:
            axes = normal_axes(axis, a.ndim, "np.average")
            if axis is None or weights.shape != tuple(a.shape[i] for i in axes):
                raise ValueError(
                    f"np.average: weights of shape {weights.shape} do not fit an array of shape {a.shape} "
                    f"along axis={axis}; give weights of that shape, or one for each element along the axis"
                )
            order = sorted(range(len(axes)), key=axes.__getitem__)
            weights = xp.reshape(
                xp.permute_dims(weights, tuple(order)),
                tuple(n if i in axes else 1 for i, n in enumerate(a.shape)),
            )
        total = xp.sum(xp.broadcast_to(weights, a.shape), axis=axis, keepdims=keepdims)
        if MODE.get().trace is None and bool(xp.any(total == 0)):
            raise ZeroDivisionError("np.average: the weights sum to zero")
        z = xp.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (z, total) if returned else z


@in_numpy("cov")
def cov(
    m: NestedArrayLike,
    y: NestedArrayLike | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    *,
    dtype: DTypeLike | None = None,
) -> Tensor:
    x = _rows(m, rowvar)
    x = x if y is None else xp.concat([x, _rows(arrays((x, y))[1], rowvar)])
    x = xp.astype(x, xp.result_type(x.dtype, "float64") if dtype is None else dtype)
    ddof = int(not bias) if ddof is None else ddof
    far = x - xp.mean(x, axis=1, keepdims=True)
    z = xp.matmul(far, xp.conj(far).T if is_complex(far.dtype) else far.T) / max(x.shape[1] - ddof, 0)
    return xp.squeeze(z, (0, 1)) if z.shape == (1, 1) else z


def _rows(m: NestedArrayLike, rowvar: bool) -> Tensor:
    """Arrange observations as a matrix with one variable per row."""
    m = xp.asarray(m)
    wide: Tensor = atleast_2d(m)
    return wide if rowvar or m.ndim < 2 else wide.T


@in_numpy("corrcoef")
def corrcoef(
    x: NestedArrayLike,
    y: NestedArrayLike | None = None,
    rowvar: bool = True,
    *,
    dtype: DTypeLike | None = None,
) -> Tensor:
    z = cov(x, y, rowvar, dtype=dtype)
    if z.ndim == 0:
        return z / z
    scale = xp.sqrt(xp.real(xp.linalg.diagonal(z)))
    z = z / scale[:, None] / scale
    # clip values that rounding moved beyond 1, as NumPy does
    return (
        xp.clip(xp.real(z), -1, 1) + 1j * xp.clip(xp.imag(z), -1, 1)
        if is_complex(z.dtype)
        else xp.clip(z, -1, 1)
    )
