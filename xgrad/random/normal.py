"""The distribution function of the normal distribution, and its inverse, each with its derivative."""

from __future__ import annotations

import math

from ..ops import op

_ROOT = math.sqrt(2 * math.pi)

NORMAL_CDF = op("normal_cdf", lambda xp, x: xp.normal_cdf(x), dx=lambda xp, dz, x: dz * xp.exp(-x * x / 2) / _ROOT)
NORMAL_QUANTILE = op("normal_quantile", lambda xp, x: xp.normal_quantile(x), dx=lambda xp, dz, z: dz * _ROOT * xp.exp(z * z / 2))
