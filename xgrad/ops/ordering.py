"""Where the best element is: an index, which has no derivative."""

from __future__ import annotations

from .table import op

ARGMAX = op("argmax", lambda xp, x, *, axis=None, keepdims=False: xp.argmax(x, axis=axis, keepdims=keepdims))
ARGMIN = op("argmin", lambda xp, x, *, axis=None, keepdims=False: xp.argmin(x, axis=axis, keepdims=keepdims))
