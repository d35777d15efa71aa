"""The normal distribution: its cumulative distribution function, and the inverse of that."""

from __future__ import annotations

from math import pi, sqrt

from ..backends.dtypes import canonical, kind_of
from ..backends.types import Array, Namespace
from .table import elementwise

_ROOT = sqrt(2 * pi)


def _like(xp: Namespace, z: Array, x: Array) -> Array:
    """Cast `z`, which array libraries compute in float64, to the floating dtype of `x`."""
    return xp.astype(z, x.dtype) if kind_of(canonical(x.dtype)) == "f" else z


NORMAL_CDF = elementwise(
    "normal_cdf",
    lambda xp, x: _like(xp, xp.normal_cdf(x), x),
    scalar="normal_cdf(x)",
    promotion="float",
    in_numpy=None,
    internal=True,
    dx=lambda xp, dz, x: dz * xp.exp(-x * x / 2) / _ROOT,
)
NORMAL_QUANTILE = elementwise(
    "normal_quantile",
    lambda xp, x: _like(xp, xp.normal_quantile(x), x),
    scalar="normal_quantile(x)",
    promotion="float",
    in_numpy=None,
    internal=True,
    dx=lambda xp, dz, z: dz * _ROOT * xp.exp(z * z / 2),
)
