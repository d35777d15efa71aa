"""Order: sorting, searching, unique elements, and the indices of extrema and nonzero elements.

Indices have no derivative.
"""

from __future__ import annotations

from ..backends.types import Array, Namespace
from .axes import normal_axes
from .batching import along_axis
from .reductions import over
from .table import op

ARGMAX = op(
    "argmax",
    over("argmax"),
    in_numpy="argmax",
    batch=along_axis,
    doc="Index of the maximum, on a tie the first; without an axis, into the flattened array.",
)

ARGMIN = op(
    "argmin",
    over("argmin"),
    in_numpy="argmin",
    batch=along_axis,
    doc="Index of the minimum, on a tie the first; without an axis, into the flattened array.",
)


def _sort(xp: Namespace, x: Array, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """Sort along an axis. A descending sort flips, sorts and flips back, to stay stable."""
    if not descending:
        return xp.sort(x, axis=axis, stable=stable)
    return xp.flip(xp.sort(xp.flip(x, axis=axis), axis=axis, stable=stable), axis=axis)


def _argsort(
    xp: Namespace, x: Array, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Array:
    (axis,) = normal_axes(axis, x.ndim)
    if not descending:
        return xp.argsort(x, axis=axis, stable=stable)
    from_behind = xp.argsort(xp.flip(x, axis=axis), axis=axis, stable=stable)
    return x.shape[axis] - 1 - xp.flip(from_behind, axis=axis)


def _place(xp: Namespace, x: Array, axis: int, descending: bool) -> Array:
    """The position of each element of `x` in the sorted array."""
    return xp.argsort(_argsort(xp, x, axis=axis, descending=descending), axis=axis)


SORT = op(
    "sort",
    _sort,
    dx=lambda xp, dz, x, *, axis, descending, stable: xp.take_along_axis(
        dz, _place(xp, x, axis, descending), axis=axis
    ),
    batch=along_axis,
    doc="""The elements along `axis` in ascending order, or descending.

    NaN is the largest. Equal elements keep their order.

    >>> import xgrad as xg
    >>> xg.sort(xg.asarray([2.0, 3.0, 1.0]), descending=True)
    tensor([3., 2., 1.])
    """,
)

ARGSORT = op(
    "argsort",
    _argsort,
    batch=along_axis,
    doc=(
        "The indices along `axis` that sort it in ascending order, or descending. Equal elements keep "
        "their order."
    ),
)

NONZERO = op("nonzero", lambda xp, x: tuple(xp.nonzero(x)))

SEARCHSORTED = op(
    "searchsorted", lambda xp, x, y, *, side="left": xp.searchsorted(x, y, side=side), promotion="result_type"
)

# The first index of each unique element in the flat array, the inverse indices, and the counts.
UNIQUE = op("unique", lambda xp, x: tuple(xp.unique_all(x))[1:])
