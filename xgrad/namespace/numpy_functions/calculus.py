"""Differences, slopes and areas."""

from __future__ import annotations

from math import pi
from typing import Any

from ...ops.reductions import normal_axes
from ...tensors import Tensor
from .table import in_numpy, in_range, together, xp


@in_numpy("diff")
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """As the standard's; what is put before and after may be a number."""
    a = xp.asarray(a)
    axis = in_range(axis, a.ndim)
    ends = [None if v is None else _end(a, v, axis) for v in (prepend, append)]
    return xp.diff(a, axis=axis, n=n, prepend=ends[0], append=ends[1])


def _end(a: Tensor, value: Any, axis: int) -> Tensor:
    value = together((a, value))[1]
    return xp.broadcast_to(value, (*a.shape[:axis], 1, *a.shape[axis + 1 :])) if value.ndim == 0 else value


@in_numpy("ediff1d")
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Tensor:
    flat = xp.reshape(ary, (-1,))
    ends = [None if v is None else xp.astype(xp.reshape(together((flat, v))[1], (-1,)), flat.dtype) for v in (to_begin, to_end)]
    return xp.concat([part for part in (ends[0], flat[1:] - flat[:-1], ends[1]) if part is not None])


@in_numpy("gradient")
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Differences of second order inside, of `edge_order` at the ends; `varargs` are steps, or coordinates along each axis."""
    f = xp.asarray(f)
    f = f if f.dtype.kind in "fc" else xp.astype(f, "float64")
    axes = normal_axes(tuple(axis) if isinstance(axis, list) else axis, f.ndim)
    steps = varargs or (1.0,)
    if len(steps) == 1 and together((f, steps[0]))[1].ndim == 0:  # one step for all axes
        steps *= len(axes)
    if len(steps) != len(axes) or edge_order not in (1, 2):
        raise TypeError(f"gradient: {len(varargs)} steps for {len(axes)} axes, edge_order={edge_order}, which is 1 or 2")
    slopes = tuple(_slope(f, step, i, edge_order) for step, i in zip(steps, axes, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(f: Tensor, step: Any, axis: int, edge_order: int) -> Tensor:
    n = f.shape[axis]
    if n < edge_order + 1:
        raise ValueError(f"gradient: an axis of length {n} is too short; it takes {edge_order + 1} elements")
    before = (slice(None),) * axis
    at: Any = lambda start, stop=None: f[(*before, slice(start, stop))]
    step = together((f, step))[1]
    if step.ndim:
        if step.shape != (n,):
            raise ValueError(f"gradient: coordinates of shape {step.shape} for an axis of length {n}")
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
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Tensor:
    y = xp.asarray(y)
    axis = in_range(axis, y.ndim)
    before = (slice(None),) * axis
    if x is None:
        wide = dx
    else:
        x = together((y, x))[1]
        wide = xp.diff(x, axis=axis if x.ndim > 1 else 0)
        wide = xp.reshape(wide, (-1,) + (1,) * (y.ndim - axis - 1)) if x.ndim == 1 else wide
    return xp.sum(wide * (y[(*before, slice(1, None))] + y[(*before, slice(None, -1))]) / 2.0, axis=axis)


@in_numpy("interp")
def interp(x: Any, xp_: Any, fp: Any, /, left: Any = None, right: Any = None, period: float | None = None) -> Tensor:
    """The gradient goes to all of `x`, the points and their values."""
    x, points, values = together((x, xp_, fp))
    x, points = (xp.astype(v, "float64") if v.dtype.kind != "f" else v for v in (x, points))
    if period is not None:
        x, points = x % abs(period), points % abs(period)
        order = xp.argsort(points)
        points, values = xp.take(points, order, axis=0), xp.take(values, order, axis=0)
        points = xp.concat([points[-1:] - abs(period), points, points[:1] + abs(period)])
        values, left, right = xp.concat([values[-1:], values, values[:1]]), None, None
    if points.shape[0] == 1:
        z = xp.broadcast_to(values[0], x.shape)
    else:
        flat = xp.reshape(x, (-1,))
        after = xp.searchsorted(points, xp.astype(flat.detach(), points.dtype), side="right")
        after = xp.minimum(xp.maximum(after, 1), points.shape[0] - 1)
        x0, x1, y0, y1 = (xp.take(v, i, axis=0) for v in (points, values) for i in (after - 1, after))
        z = xp.reshape(y0 + (flat - x0) * ((y1 - y0) / (x1 - x0)), x.shape)
    z = xp.where(x < points[0], values[0] if left is None else left, z)
    return xp.where(x > points[-1], values[-1] if right is None else right, z)


@in_numpy("unwrap")
def unwrap(p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * pi) -> Tensor:
    """The gradient passes as if nothing were added: what is added is constant in pieces."""
    p = xp.asarray(p)
    axis = in_range(axis, p.ndim)
    steps = xp.diff(p, axis=axis).detach()
    half = period / 2
    wrapped = xp.remainder(steps + half, period) - half
    wrapped = xp.where((wrapped == -half) & (steps > 0), half, wrapped)
    added = xp.where(xp.abs(steps) < max(discont or half, half), 0.0, wrapped - steps)
    before = (slice(None),) * axis
    return xp.concat([p[(*before, slice(None, 1))], p[(*before, slice(1, None))] + xp.cumulative_sum(added, axis=axis)], axis=axis)
