"""One array of numbers sliding along another: convolution and correlation are this, with the second reversed
or conjugated."""

from __future__ import annotations

from ..backends.types import Array, Namespace
from .table import op


def _dx(xp: Namespace, dz: Array, y: Array, *, full: bool) -> Array:
    """dx[i] is the sum of dz[k] y[j] over the places k at which y[j] lay on x[i]: y reversed, along dz."""
    return xp.slide(dz, xp.flip(y), full=not full)


def _dy(xp: Namespace, dz: Array, x: Array, *, full: bool) -> Array:
    """dy[j] is the sum of dz[k] and the x that y[j] lay on at the place k: of two arrays the shorter along
    the longer."""
    return xp.flip(xp.slide(dz, x, full=False)) if full else xp.slide(x, dz, full=False)


# z[k] is the sum of x[k + j] y[j] over all j, for an x no shorter than y, at the places where y lies wholly
# on x; with `full` at those too where it overlaps with one element at least, the first of them at k = 1 -
# len(y).
SLIDE = op(
    "slide",
    lambda xp, x, y, *, full: xp.slide(x, y, full=full),
    dx=_dx,
    dy=_dy,
    promotion="result_type",
    linear="each",
    internal=True,
)
