"""Cumulative sums and products, and the product of all elements."""

from __future__ import annotations

from ..backends.types import Array, ArrayT, Namespace
from .axes import Axis
from .batching import along_axis, over_axes
from .reductions import apart, kept, over, single
from .table import op


def part(x: ArrayT, axis: int, start: int | None, stop: int | None) -> ArrayT:
    """The slice from `start` to `stop` along `axis`, clipped to its length."""
    first, end, _ = slice(start, stop).indices(x.shape[axis])
    return x[(*(slice(None),) * (axis % x.ndim), slice(start and first, stop and end), ...)]


def _computed(dz: Array, axis: int, include_initial: bool) -> Array:
    """The part of `dz` for elements of the operand: all but the initial 0 or 1."""
    return part(dz, axis, 1, None) if include_initial else dz


def _from_the_end(xp: Namespace, dz: Array, axis: int) -> Array:
    return xp.flip(xp.cumulative_sum(xp.flip(dz, axis=axis), axis=axis), axis=axis)


CUMULATIVE_SUM = op(
    "cumulative_sum",
    lambda xp, x, *, axis=0, include_initial=False: xp.cumulative_sum(
        x, axis=axis, include_initial=include_initial
    ),
    dx=lambda xp, dz, *, axis, include_initial: _from_the_end(xp, _computed(dz, axis, include_initial), axis),
    promotion="count",
    analytic=True,
    linear="jointly",
    batch=along_axis,
)


def _following(xp: Namespace, dz: Array, x: Array, axis: int) -> Array:
    """s[j], the sum over i >= j of dz[i] x[j+1] ... x[i].

    Multiplied by the product of the elements before j, it is the gradient of x[j]. The recurrence is
    s[j] = dz[j] + x[j+1] s[j+1]. Each round doubles the number of terms, without division, as x may contain
    zeros. `factors` are the products of the next `reach` elements.
    """
    n, reach = dz.shape[axis], 1
    s, factors = dz, part(x, axis, 1, None)
    while reach < n:
        near, far = part(s, axis, None, n - reach), part(s, axis, reach, None)
        s = xp.concat([near + factors * far, part(s, axis, n - reach, None)], axis=axis)
        if 2 * reach < n:
            factors = part(factors, axis, None, n - 2 * reach) * part(factors, axis, reach, None)
        reach *= 2
    return s


def _before(xp: Namespace, z: Array, axis: int, include_initial: bool) -> Array:
    """For each element, the product of the elements before it."""
    if include_initial:
        return part(z, axis, None, -1)
    return xp.concat([xp.ones_like(part(z, axis, None, 1)), part(z, axis, None, -1)], axis=axis)


CUMULATIVE_PROD = op(
    "cumulative_prod",
    lambda xp, x, *, axis=0, include_initial=False: xp.cumulative_prod(
        x, axis=axis, include_initial=include_initial
    ),
    dx=lambda xp, dz, z, x, *, axis, include_initial: (
        _before(xp, z, axis, include_initial)
        * _following(xp, _computed(single(xp, dz), axis, include_initial), x, axis)
    ),
    promotion="count",
    analytic=True,
    batch=along_axis,
)


def _others(xp: Namespace, x: Array, axis: Axis) -> Array:
    """For each element, the product of all others: of those before it and those after it."""
    rows, put_back = apart(xp, x, axis)
    before = xp.cumulative_prod(rows, axis=-1, include_initial=True)
    after = xp.flip(xp.cumulative_prod(xp.flip(rows, axis=-1), axis=-1, include_initial=True), axis=-1)
    return put_back(part(before, -1, None, -1) * part(after, -1, 1, None))


PROD = op(
    "prod",
    over("prod"),
    in_numpy="prod",
    dx=lambda xp, dz, x, *, axis, keepdims: kept(xp, dz, x.shape, axis) * _others(xp, single(xp, x), axis),
    promotion="count",
    analytic=True,
    batch=over_axes,
)
