"""Losses."""

from __future__ import annotations

from typing import Any

from ..backends.dtypes import is_half
from ..errors import ShapeError
from ..namespace import arange, asarray, astype, float32, logsumexp, mean, reshape
from ..tensors import Tensor


def cross_entropy(logits: Any, targets: Any) -> Tensor:
    """Mean of -log softmax(logits)[target], in nats; of half precision computed in float32, and rounded once.

    Args:
        logits: (..., classes), floating point.
        targets: (...), integers from 0 to classes - 1.

    Raises ShapeError where the shapes do not fit, TypeError for targets that are no integers.

    >>> import xgrad as xg
    >>> xg.nn.cross_entropy(xg.zeros((2, 4)), xg.asarray([0, 3]))
    tensor(1.38629436)
    """
    logits = asarray(logits)
    targets = asarray(targets, device=None if isinstance(targets, Tensor) else logits.device)
    if targets.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy takes integer targets, not {targets.dtype}")
    if targets.shape != logits.shape[:-1]:
        raise ShapeError(f"cross_entropy: logits of shape {logits.shape} need targets of shape {logits.shape[:-1]}, not {targets.shape}")
    dtype = logits.dtype
    rows = reshape(astype(logits, float32) if is_half(dtype) else logits, (-1, logits.shape[-1]))
    chosen = rows[arange(len(rows), device=rows.device), reshape(targets, (-1,))]
    return astype(mean(logsumexp(rows, axis=-1) - chosen), dtype, copy=False)
