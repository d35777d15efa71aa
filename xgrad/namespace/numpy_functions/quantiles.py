"""What stands at a part of the way through sorted values."""

from __future__ import annotations

from typing import Any

from ...backends.dtypes import is_floating
from ...ops.reductions import normal_axes
from ...tensors import Tensor
from .table import in_numpy, xp


@in_numpy("median")
def median(a: Any, axis: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Tensor:
    return quantile(a, 0.5, axis, keepdims=keepdims)


@in_numpy("percentile")
def percentile(a: Any, q: Any, axis: Any = None, overwrite_input: bool = False, method: str = "linear", keepdims: bool = False) -> Tensor:
    return quantile(a, _hundredths(q), axis, overwrite_input, method, keepdims)


@in_numpy("quantile")
def quantile(a: Any, q: Any, axis: Any = None, overwrite_input: bool = False, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`q` is a number, or a list or array of them, of one axis; the gradient goes to `a` alone."""
    return _of_rows(lambda rows, part: _quantile(rows, part, method), a, q, axis, keepdims, method)


@in_numpy("nanmedian")
def nanmedian(a: Any, axis: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Tensor:
    return nanquantile(a, 0.5, axis, keepdims=keepdims)


@in_numpy("nanpercentile")
def nanpercentile(a: Any, q: Any, axis: Any = None, overwrite_input: bool = False, method: str = "linear", keepdims: bool = False) -> Tensor:
    return nanquantile(a, _hundredths(q), axis, overwrite_input, method, keepdims)


@in_numpy("nanquantile")
def nanquantile(a: Any, q: Any, axis: Any = None, overwrite_input: bool = False, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`method` is "linear"."""
    if method != "linear":
        raise TypeError(f"np.nanquantile on a Tensor takes method='linear' alone, not {method!r}")
    return _of_rows(_nanquantile, a, q, axis, keepdims, method)


def _hundredths(q: Any) -> Any:
    return [v / 100 for v in q] if _several(q) else q / 100


def _several(q: Any) -> bool:
    return hasattr(q, "__len__") and getattr(q, "shape", (1,)) != ()


def _of_rows(f: Any, a: Any, q: Any, axis: Any, keepdims: bool, method: str) -> Tensor:
    """`f` of the sorted elements along `axis`, laid in rows, for each of `q`."""
    a = xp.asarray(a)
    axes = normal_axes(tuple(axis) if isinstance(axis, list) else axis, a.ndim)
    kept = [i for i in range(a.ndim) if i not in axes]
    lengths = tuple(a.shape[i] for i in kept)
    rows = xp.sort(xp.reshape(xp.permute_dims(a, (*kept, *axes)), (*lengths, -1) if 0 not in lengths else (*lengths, 1)), axis=-1)
    rows = rows if is_floating(rows.dtype) or method in ("lower", "higher", "nearest") else xp.astype(rows, "float64")
    shape = tuple(1 if i in axes else n for i, n in enumerate(a.shape)) if keepdims else lengths
    found = [xp.reshape(f(rows, float(part)), shape) for part in (q if _several(q) else [q])]
    return xp.stack(found) if _several(q) else found[0]


def _quantile(rows: Tensor, q: float, method: str) -> Tensor:
    """Of each sorted row, what stands at the part `q` of its way; NaN where there is one, which sorting puts last."""
    n = _checked(rows, q)
    if n == 0:
        return xp.full(rows.shape[:-1], xp.nan, dtype=rows.dtype, device=rows.device)
    place = q * (n - 1)
    low = min(int(place), n - 1)
    high = min(low + 1, n - 1)
    parts = {"linear": place - low, "lower": 0.0, "higher": float(place > low), "midpoint": 0.5 * (place > low), "nearest": round(place) - low}
    if method not in parts:
        raise TypeError(f"np.quantile on a Tensor takes method={' or '.join(map(repr, parts))}, not {method!r}")
    part = parts[method]
    below, above = rows[..., low], rows[..., high]
    z = below if part == 0 else above if part == 1 else below + (above - below) * part
    return xp.where(xp.isnan(rows[..., -1]), rows[..., -1], z) if is_floating(rows.dtype) else z


def _nanquantile(rows: Tensor, q: float) -> Tensor:
    """As `_quantile`, of what is no NaN: how many there are differs from row to row."""
    _checked(rows, q)
    known = xp.count_nonzero(~xp.isnan(rows), axis=-1, keepdims=True)
    place = q * xp.astype(xp.maximum(known - 1, 0), rows.dtype)
    low = xp.astype(xp.floor(place), "int64")
    high = xp.minimum(low + 1, xp.maximum(known - 1, 0))
    below, above = (xp.take_along_axis(rows, i, axis=-1) for i in (low, high))
    return (below + (above - below) * (place - xp.floor(place)))[..., 0]


def _checked(rows: Tensor, q: float) -> int:
    if not 0 <= q <= 1:
        raise ValueError(f"quantile: {q} is not between 0 and 1")
    return int(rows.shape[-1])
