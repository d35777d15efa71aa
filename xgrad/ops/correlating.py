"""`slide`, the sliding dot product of 1-D arrays, from which convolution and correlation are built.

They reverse or conjugate the second array.
"""

from __future__ import annotations

from ..backends.types import Array, Namespace
from .table import op


def _dx(xp: Namespace, dz: Array, y: Array, *, full: bool) -> Array:
    """dx[i] is the sum of dz[k] y[j] over positions k where y[j] meets x[i]: slide reversed y along dz."""
    return xp.slide(dz, xp.flip(y), full=not full)


def _dy(xp: Namespace, dz: Array, x: Array, *, full: bool) -> Array:
    """dy[j] is the sum over k of dz[k] times the x that y[j] meets at position k.

    The shorter of the two arrays slides along the longer.
    """
    return xp.flip(xp.slide(dz, x, full=False)) if full else xp.slide(x, dz, full=False)


# z[k] is the sum of x[k + j] y[j] over all j; x must not be shorter than y. The positions k are those where y
# lies entirely within x or, with `full`, overlaps it in at least one element, from k = 1 - len(y).
SLIDE = op(
    "slide",
    lambda xp, x, y, *, full: xp.slide(x, y, full=full),
    dx=_dx,
    dy=_dy,
    promotion="result_type",
    linear="each",
    internal=True,
)
