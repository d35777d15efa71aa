"""Finite differences, interpolation and integration."""

from __future__ import annotations

from math import pi
from typing import Any

from .. import namespace as xp
from ..backends.dtypes import is_complex, is_floating
from ..backends.types import ArrayLike, NestedArrayLike
from ..core.context import MODE
from ..core.tensor import Tensor
from ..ops.axes import Axis, normal_axes
from .table import arrays, in_numpy, together


@in_numpy("ediff1d")
def ediff1d(
    ary: ArrayLike, to_end: NestedArrayLike | None = None, to_begin: NestedArrayLike | None = None
) -> Tensor:
    flat = xp.reshape(ary, (-1,))
    ends = [
        None if v is None else xp.astype(xp.reshape(together((flat, v))[1], (-1,)), flat.dtype)
        for v in (to_begin, to_end)
    ]
    return xp.concat([part for part in (ends[0], flat[1:] - flat[:-1], ends[1]) if part is not None])


@in_numpy("gradient")
def gradient(f: Any, *varargs: Any, axis: Axis = None, edge_order: int = 1) -> Any:
    """Finite differences: second order in the interior, `edge_order` at the ends.

    `varargs` are steps, or coordinates along each axis.
    """
    f = xp.asarray(f)
    f = f if is_floating(f.dtype) else xp.astype(f, "float64")
    axes = normal_axes(axis, f.ndim, "np.gradient")
    steps = varargs or (1.0,)
    if len(steps) == 1 and together((f, steps[0]))[1].ndim == 0:  # one step for all axes
        steps *= len(axes)
    if edge_order not in (1, 2):
        raise TypeError(f"np.gradient: edge_order must be 1 or 2, not {edge_order!r}")
    if len(steps) != len(axes):
        raise TypeError(
            f"np.gradient: {len(varargs)} steps do not fit {len(axes)} axes; give one step, or one for each "
            f"axis"
        )
    slopes = tuple(
        xp.astype(_slope(f, step, i, edge_order), f.dtype) for step, i in zip(steps, axes, strict=True)
    )
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(f: Tensor, step: NestedArrayLike, axis: int, edge_order: int) -> Tensor:
    n = f.shape[axis]
    if n < edge_order + 1:
        raise ValueError(
            f"np.gradient: an axis of length {n} is too short; with edge_order={edge_order} it needs at "
            f"least {edge_order + 1} elements"
        )
    before = (slice(None),) * axis
    at: Any = lambda start, stop=None: f[(*before, slice(start, stop))]
    step = together((f, step))[1]
    if step.ndim:
        if step.shape != (n,):
            raise ValueError(
                f"np.gradient: coordinates of shape {step.shape} do not fit an axis of length {n}"
            )
        wide = xp.reshape(step[1:] - step[:-1], (-1,) + (1,) * (f.ndim - axis - 1))
    else:
        wide = xp.broadcast_to(step, (n - 1,) + (1,) * (f.ndim - axis - 1))
    a, b = wide[:-1], wide[1:]  # the widths before and after each inner element
    left, right = (at(1, -1) - at(0, -2)) / a, (at(2) - at(1, -1)) / b
    inner = (left * b + right * a) / (a + b)  # the slope of the parabola through three neighbours
    first, last = (at(1, 2) - at(0, 1)) / wide[:1], (at(-1) - at(-2, -1)) / wide[-1:]
    if edge_order == 2:  # the parabola through the three elements at the end
        second = (at(2, 3) - at(1, 2)) / wide[1:2]
        first = first - (second - first) * (wide[:1] / (wide[:1] + wide[1:2]))
        other = (at(-2, -1) - at(-3, -2)) / wide[-2:-1]
        last = last + (last - other) * (wide[-1:] / (wide[-1:] + wide[-2:-1]))
    return xp.concat([first, inner, last], axis=axis)


@in_numpy("trapezoid", "trapz")
def trapezoid(
    y: NestedArrayLike, x: NestedArrayLike | None = None, dx: Tensor | float = 1.0, axis: int = -1
) -> Tensor:
    y = xp.asarray(y)
    axis = normal_axes(axis, y.ndim, "np.trapezoid")[0]
    before = (slice(None),) * axis
    if x is None:
        wide = dx
    else:
        x = arrays((y, x))[1]
        wide = xp.diff(x, axis=axis if x.ndim > 1 else 0)
        wide = xp.reshape(wide, (-1,) + (1,) * (y.ndim - axis - 1)) if x.ndim == 1 else wide
    return xp.sum(wide * (y[(*before, slice(1, None))] + y[(*before, slice(None, -1))]) / 2.0, axis=axis)


@in_numpy("interp")
def interp(
    x: NestedArrayLike,
    xp_: NestedArrayLike,
    fp: NestedArrayLike,
    /,
    left: ArrayLike | None = None,
    right: ArrayLike | None = None,
    period: Tensor | float | None = None,
) -> Tensor:
    """Linear interpolation, differentiable in all array arguments.

    At a data point the derivative with respect to `x` is that from the right.
    """
    x, points, values = arrays((x, xp_, fp))
    x, points = xp.astype(x, "float64"), xp.astype(points, "float64")
    values = xp.astype(values, "complex128" if is_complex(values.dtype) else "float64")
    if period is not None:
        if MODE.get().trace is None and float(period) == 0:
            raise ValueError("np.interp: period must not be 0")
        period = abs(period)  # type: ignore[assignment]  # of a Tensor a Tensor, of a number a number
        x, points = x % period, points % period
        order = xp.argsort(points)
        points, values = xp.take(points, order, axis=0), xp.take(values, order, axis=0)
        points = xp.concat([points[-1:] - period, points, points[:1] + period])
        values, left, right = xp.concat([values[-1:], values, values[:1]]), None, None
    z = xp.broadcast_to(values[0], x.shape) if points.shape[0] == 1 else _on_lines(x, points, values)
    z = xp.where(x < points[0], values[0] if left is None else left, z)
    return xp.where(x > points[-1], values[-1] if right is None else right, z)


def _on_lines(x: Tensor, points: Tensor, values: Tensor) -> Tensor:
    """Interpolate linearly between points.

    Points with an infinite coordinate or value are handled separately, to avoid NaN.
    """
    flat = xp.reshape(x, (-1,))
    after = xp.searchsorted(points, flat.detach(), side="right")
    after = xp.minimum(xp.maximum(after, 1), points.shape[0] - 1)
    x0, x1, y0, y1 = (xp.take(v, i, axis=0) for v in (points, values) for i in (after - 1, after))
    slope = (y1 - y0) / xp.where(x1 == x0, 1, x1 - x0)
    from_the_right = (xp.isinf(x0) & (flat != x0)) | (flat >= x1)
    start, height = xp.where(from_the_right, x1, x0), xp.where(from_the_right, y1, y0)
    there = flat == start
    slope = xp.where(there & ~xp.isfinite(slope), 0, slope)
    far = xp.where(xp.isinf(start) & (there | ((y0 == y1) & ~xp.isnan(flat))), 0, flat - start)
    return xp.reshape(height + far * slope, x.shape)


@in_numpy("unwrap")
def unwrap(
    p: NestedArrayLike,
    discont: NestedArrayLike | None = None,
    axis: int = -1,
    *,
    period: Tensor | float = 2 * pi,
) -> Tensor:
    """Unwrap phases.

    The correction is piecewise constant, so the gradient passes to `p` unchanged. The derivative with respect
    to `period` is the number of periods that were added.
    """
    p = xp.asarray(p)
    axis = normal_axes(axis, p.ndim, "np.unwrap")[0]
    steps = xp.diff(p, axis=axis).detach()
    whole = xp.result_type(p.dtype, getattr(period, "dtype", period)).kind in "iu"
    half, even = (period // 2, period % 2 == 0) if whole else (period / 2, True)
    wrapped = xp.remainder(steps + half, period) - half
    wrapped = xp.where((wrapped == -half) & (steps > 0) & even, half, wrapped)
    jump = period / 2 if discont is None else xp.maximum(arrays((p, discont))[1], period / 2)
    added = xp.where(xp.abs(steps) < jump, 0, wrapped - steps)
    before = (slice(None),) * axis
    return xp.concat(
        [
            p[(*before, slice(None, 1))],
            p[(*before, slice(1, None))] + xp.cumulative_sum(added, axis=axis, dtype=added.dtype),
        ],
        axis=axis,
    )
