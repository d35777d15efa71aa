"""Where the best element is: an index, which has no derivative."""

from __future__ import annotations

from .table import op

ARGMAX = op("argmax", lambda xp, x, *, axis=None, keepdims=False: xp.argmax(x, axis=axis, keepdims=keepdims),
    doc="Index of the maximum, on a tie the first; without an axis, into the flattened array.")  # fmt: skip

ARGMIN = op("argmin", lambda xp, x, *, axis=None, keepdims=False: xp.argmin(x, axis=axis, keepdims=keepdims),
    doc="Index of the minimum, on a tie the first; without an axis, into the flattened array.")  # fmt: skip
