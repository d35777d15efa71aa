"""Reductions over axes, and softmax."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan, prod

from ..backends.dtypes import is_half
from ..backends.types import Array, Functions, Namespace
from .arithmetic import quotient_or_zero, share
from .axes import Axis, normal_axes
from .batching import over_axes
from .table import op

AXIS = "`axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."


def single(xp: Functions, x: Array) -> Array:
    """Convert half precision to float32, so that a computation of several steps is rounded only once.

    For a gradient, `deriv` does that rounding.
    """
    return xp.astype(x, "float32") if is_half(x.dtype) else x


def _kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with length 1 for the reduced axes."""
    axes = normal_axes(axis, len(shape))
    return tuple(1 if a in axes else n for a, n in enumerate(shape))


def kept(xp: Namespace, z: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """Restore the reduced axes of a result as length 1, so that it broadcasts against the operand."""
    with_ones = _kept_shape(shape, axis)
    return z if z.shape == with_ones else xp.reshape(z, with_ones)


def _size(shape: tuple[int, ...], axis: Axis) -> int:
    """The number of elements in each reduction."""
    return prod(shape[a] for a in normal_axes(axis, len(shape)))


def over(name: str) -> Callable[..., Array]:
    """The array library's reduction of this name.

    It raises IndexError for an axis of an array without axes, for which NumPy accepts axis 0.
    """
    return lambda xp, x, *, axis=None, keepdims=False: getattr(xp, name)(
        x, axis=existing(axis, x.shape), keepdims=keepdims
    )


def existing(axis: Axis, shape: tuple[int, ...]) -> Axis:
    """Return `axis`; raise IndexError if an array of this shape has no axes.

    For other shapes the array library checks the axis.
    """
    if axis is not None and not shape:
        normal_axes(axis, 0)
    return axis


SUM = op(
    "sum",
    over("sum"),
    in_numpy="sum",
    dx=lambda xp, dz, x_shape, *, axis, keepdims: xp.broadcast_to(kept(xp, dz, x_shape, axis), x_shape),
    promotion="count",
    analytic=True,
    linear="jointly",
    batch=over_axes,
)

MEAN = op(
    "mean",
    over("mean"),
    in_numpy="mean",
    dx=lambda xp, dz, x_shape, *, axis, keepdims: xp.broadcast_to(
        kept(xp, single(xp, dz), x_shape, axis) / _size(x_shape, axis), x_shape
    ),
    promotion="float",
    analytic=True,
    linear="jointly",
    batch=over_axes,
    doc="Arithmetic mean. " + AXIS,
)


def _slope(xp: Namespace, x: Array, axis: Axis, correction: float) -> Array:
    """(x - mean) / (n - correction), half the derivative of the variance; NaN if n is too small."""
    n, x = _size(x.shape, axis) - correction, single(xp, x)
    return (x - xp.mean(x, axis=axis, keepdims=True)) * (1 / n if n > 0 else nan)


VAR = op(
    "var",
    lambda xp, x, *, axis=None, correction=0.0, keepdims=False: xp.var(
        x, axis=existing(axis, x.shape), correction=correction, keepdims=keepdims
    ),
    dx=lambda xp, dz, x, *, axis, correction, keepdims: (
        kept(xp, single(xp, dz), x.shape, axis) * (2 * _slope(xp, x, axis, correction))
    ),
    promotion="float",
    batch=over_axes,
    doc="Variance: the sum of |x - mean(x)|² over n - correction. " + AXIS,
)

STD = op(
    "std",
    lambda xp, x, *, axis=None, correction=0.0, keepdims=False: xp.std(
        x, axis=existing(axis, x.shape), correction=correction, keepdims=keepdims
    ),
    dx=lambda xp, dz, z, x, *, axis, correction, keepdims: (
        kept(xp, quotient_or_zero(xp, single(xp, dz), z), x.shape, axis) * _slope(xp, x, axis, correction)
    ),
    promotion="float",
    batch=over_axes,
    doc="Standard deviation, the square root of the variance. Where it is 0, so is the gradient. " + AXIS,
)


def apart(xp: Namespace, x: Array, axis: Axis) -> tuple[Array, Callable[[Array], Array]]:
    """Move the reduced axes of `x` into one last axis; return also the function that undoes this."""
    axes = normal_axes(axis, x.ndim)
    order = tuple(a for a in range(x.ndim) if a not in axes) + axes
    moved = xp.permute_dims(x, order)
    rows = xp.reshape(moved, (*moved.shape[: x.ndim - len(axes)], _size(x.shape, axis)))
    return rows, lambda y: xp.permute_dims(
        xp.reshape(y, moved.shape), tuple(order.index(a) for a in range(x.ndim))
    )


def _first(xp: Namespace, x: Array, axis: Axis, argbest: Callable[..., Array]) -> Array:
    """A mask that is true at exactly one element of each reduction: the first extremum."""
    axes = normal_axes(axis, x.ndim)
    if len(axes) == 1:
        numbers = xp.reshape(
            xp.arange(x.shape[axes[0]], device=x.device), (-1,) + (1,) * (x.ndim - 1 - axes[0])
        )
        return numbers == argbest(x, axis=axes[0], keepdims=True)
    rows, put_back = apart(xp, x, axis)
    return put_back(xp.arange(rows.shape[-1], device=x.device) == argbest(rows, axis=-1, keepdims=True))


MAX = op(
    "max",
    over("max"),
    in_numpy="max",
    dx=lambda xp, dz, x, *, axis, keepdims: xp.where(
        _first(xp, x, axis, xp.argmax), kept(xp, dz, x.shape, axis), 0
    ),
    numpy="max amax",
    batch=over_axes,
    doc="Maximum. The gradient goes to exactly one element: on a tie the first. " + AXIS,
)

MIN = op(
    "min",
    over("min"),
    in_numpy="min",
    dx=lambda xp, dz, x, *, axis, keepdims: xp.where(
        _first(xp, x, axis, xp.argmin), kept(xp, dz, x.shape, axis), 0
    ),
    numpy="min amin",
    batch=over_axes,
    doc="Minimum. The gradient goes to exactly one element: on a tie the first. " + AXIS,
)


def _logsumexp(xp: Namespace, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """log of the sum of exp(x), shifted by the maximum so that exp cannot overflow."""
    axes, dtype, x = normal_axes(axis, x.ndim), x.dtype, single(xp, x)
    if not _size(x.shape, axes):  # log 0
        return xp.astype(xp.sum(x, axis=axes, keepdims=keepdims) - inf, dtype)
    top = xp.max(x, axis=axes, keepdims=True)
    # do not shift by an infinite maximum
    total = xp.sum(xp.exp(x - xp.where(xp.isfinite(top), top, 0)), axis=axes, keepdims=True)
    z = xp.log(xp.where(total > 0, total, 1)) + top  # total is 0 if all are -inf: then z is top
    z = xp.astype(z, dtype) if is_half(dtype) else z
    return z if keepdims else xp.squeeze(z, axis=axes)


def _share(xp: Namespace, z: Array, x: Array, axis: Axis) -> Array:
    """The share of each exp(x) in the sum exp(z); in half precision, z is recomputed in float32."""
    if is_half(x.dtype):
        x = single(xp, x)
        z = _logsumexp(xp, x, axis=axis, keepdims=True)
    return share(xp, x, kept(xp, z, x.shape, axis))


LOGSUMEXP = op(
    "logsumexp",
    _logsumexp,
    dx=lambda xp, dz, z, x, *, axis, keepdims: kept(xp, dz, x.shape, axis) * _share(xp, z, x, axis),
    promotion="float",
    batch=over_axes,
    composite=True,
    doc="""log of the sum of exp(x) over axes, without overflow.

    >>> import xgrad as xg
    >>> xg.logsumexp(xg.asarray([1000.0, 1000.0]))
    tensor(1000.69314718)
    """,
)


def _softmax(xp: Namespace, x: Array, *, axis: Axis = -1) -> Array:
    axes, dtype, x = normal_axes(axis, x.ndim), x.dtype, single(xp, x)
    if not _size(x.shape, axes):
        return xp.exp(xp.astype(x, dtype))  # nothing
    e = xp.exp(x - xp.max(x, axis=axes, keepdims=True))
    z = e / xp.sum(e, axis=axes, keepdims=True)
    return xp.astype(z, dtype) if is_half(dtype) else z


def _softmax_dx(xp: Namespace, dz: Array, z: Array, *, axis: Axis) -> Array:
    dz = single(xp, dz)
    return z * (dz - xp.sum(dz * z, axis=axis, keepdims=True))


SOFTMAX = op(
    "softmax",
    _softmax,
    dx=_softmax_dx,
    promotion="float",
    batch=over_axes,
    composite=True,
    doc="""exp(x) divided by its sum over `axis`, without overflow.

    >>> import xgrad as xg
    >>> xg.softmax(xg.asarray([0.0, 0.0]))
    tensor([0.5, 0.5])
    """,
)
