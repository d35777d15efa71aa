"""The dtypes of the array standard, float16, `bfloat16` (looked up on first use), and constants."""

from __future__ import annotations

import math

from ..backends.dtypes import bfloat16, canonical

NAMES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"
DTYPES = {name: canonical(name) for name in NAMES.split()}

e, inf, nan, newaxis, pi = math.e, math.inf, math.nan, None, math.pi

__all__ = ["DTYPES", "bfloat16", "e", "inf", "nan", "newaxis", "pi"]
