"""Loss functions."""

from __future__ import annotations

from ..backends.dtypes import is_complex, is_floating, is_half
from ..backends.types import ArrayLike
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..namespace import arange, asarray, astype, float32, logsumexp, mean, reshape
from .layers import in_range, nan_outside


def cross_entropy(logits: ArrayLike, targets: ArrayLike) -> Tensor:
    """Mean of -log softmax(logits)[target], in nats.

    Half precision is computed in float32 and rounded once.

    Args:
        logits: (..., classes), floating point.
        targets: (...), integers from 0 to classes - 1.

    Raises ShapeError for incompatible shapes, TypeError for targets that are not integers or logits that are
    not floating point, IndexError for a target out of range.

    >>> import xgrad as xg
    >>> xg.nn.cross_entropy(xg.zeros((2, 4)), xg.asarray([0, 3]))
    tensor(1.38629436)
    """
    logits = asarray(logits)
    targets = asarray(targets, device=None if isinstance(targets, Tensor) else logits.device)
    if targets.dtype.kind not in "iu":
        raise TypeError(
            f"cross_entropy takes integer targets (class numbers), not {targets.dtype}; use "
            f"targets.astype(xg.int64)"
        )
    if not is_floating(logits.dtype) or is_complex(logits.dtype):
        raise TypeError(f"cross_entropy takes real floating-point logits, not {logits.dtype}")
    if not logits.ndim or not logits.shape[-1]:
        raise ShapeError(
            f"cross_entropy takes logits of shape (..., classes) with at least one class, not {logits.shape}"
        )
    if targets.shape != logits.shape[:-1]:
        raise ShapeError(
            f"cross_entropy: logits of shape {logits.shape} need targets of shape "
            f"{logits.shape[:-1]}, not {targets.shape}"
        )
    dtype = logits.dtype
    rows = reshape(astype(logits, float32) if is_half(dtype) else logits, (targets.size, logits.shape[-1]))
    targets, classes = reshape(targets, (-1,)), logits.shape[-1]
    chosen = rows[arange(len(rows), device=rows.device), in_range(targets, classes, "cross_entropy")]
    return astype(mean(nan_outside(logsumexp(rows, axis=-1) - chosen, targets, classes)), dtype, copy=False)
