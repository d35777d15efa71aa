"""Padding, convolution and correlation."""

from __future__ import annotations

from typing import Any

from .. import namespace as xp
from ..backends.dtypes import is_complex, is_floating
from ..backends.types import ArrayLike, NestedArrayLike
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops.axes import integers, is_integer
from .creation import linspace
from .quantiles import median
from .reductions import max_, mean, min_
from .shapes import atleast_1d
from .table import arrays, in_numpy, together


@in_numpy("pad")
def pad(
    array: NestedArrayLike,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    end_values: ArrayLike = 0,
    reflect_type: str = "even",
) -> Tensor:
    """Pad with NumPy's modes; statistics always cover the whole axis."""
    modes = ("constant", "empty", "linear_ramp", *_PLACES, *_STATISTICS)
    if mode not in modes:
        raise TypeError(
            f"np.pad on a Tensor: mode must be one of {', '.join(map(repr, modes))}, not {mode!r}"
        )
    if reflect_type != "even":
        raise TypeError(f"np.pad on a Tensor supports only reflect_type='even', not {reflect_type!r}")
    z = xp.asarray(array)
    values = _pairs(end_values if mode == "linear_ramp" else constant_values, z.ndim)
    for axis, (widths, ends) in enumerate(zip(_pairs(pad_width, z.ndim), values, strict=True)):
        if not all(map(is_integer, widths)):
            raise TypeError(f"np.pad: the widths must be integers, not {widths}")
        (before, after), n = integers(widths), z.shape[axis]
        if before < 0 or after < 0:
            raise ValueError(f"np.pad: the widths must be at least 0, not {min(before, after)}")
        if not before and not after:
            continue
        if n == 0 and mode not in ("constant", "empty"):
            raise ValueError(
                f"np.pad: axis {axis} has length 0, so mode={mode!r} has no elements to pad with; use "
                f"mode='constant'"
            )
        if mode in _PLACES:
            z = xp.take(z, _PLACES[mode](xp.arange(-before, n + after, device=z.device), n), axis=axis)
            continue
        if mode == "linear_ramp":
            first, last = (
                _ramp(z, axis, 0, ends[0], before),
                xp.flip(_ramp(z, axis, n - 1, ends[1], after), axis=axis),
            )
        else:
            if mode in _STATISTICS:
                value = _STATISTICS[mode](z, axis, keepdims=True)
                ends = (value if is_floating(z.dtype) else xp.round(value),) * 2
            first, last = _filled(z, ends[0], axis, before), _filled(z, ends[1], axis, after)
        z = xp.concat([first, z, last], axis=axis)
    return +z


def _symmetric(i: Tensor, n: int) -> Tensor:
    i = i % (2 * n)
    return xp.minimum(i, 2 * n - 1 - i)


def _reflect(i: Tensor, n: int) -> Tensor:
    i = i % max(2 * n - 2, 1)
    return xp.minimum(i, 2 * n - 2 - i)


#: By mode: the index among n elements that is used at positions `i` beyond the ends.
_PLACES: dict[str, Any] = {
    "edge": lambda i, n: xp.minimum(xp.maximum(i, 0), n - 1),
    "reflect": _reflect,
    "symmetric": _symmetric,
    "wrap": lambda i, n: i % n,
}


#: By mode: the statistic along the axis that fills the padding.
_STATISTICS: dict[str, Any] = {"maximum": max_, "mean": mean, "median": median, "minimum": min_}


def _pairs(given: Any, ndim: int) -> list[tuple[Any, Any]]:
    """Broadcast to (ndim, 2): from a number, a pair, or one of either per axis.

    A dict gives them for some axes only.
    """
    if isinstance(given, dict):
        pairs: list[Any] = [(0, 0)] * ndim
        for axis, pair in given.items():
            pairs[axis] = _repeated(pair, 2)
        return pairs
    rows = _parts(given)
    deep = [len(_parts(row)) > 1 or _parts(row)[0] is not row for row in rows]
    if any(deep) and not all(deep):
        raise ValueError(f"np.pad: expected a number, a pair, or one of these for each axis, not {given}")
    return [tuple(_repeated(row, 2)) for row in _repeated(given if all(deep) else [given], ndim)]


def _parts(given: Any) -> list[Any]:
    return list(given) if hasattr(given, "__len__") and getattr(given, "shape", None) != () else [given]


def _repeated(given: Any, n: int) -> list[Any]:
    """The `n` parts of a sequence; a single part is repeated."""
    parts = _parts(given)
    if len(parts) not in (1, n):
        raise ValueError(f"np.pad: expected one or {n} values in {given}, not {len(parts)}")
    return parts * (n // len(parts))


def _ramp(z: Tensor, axis: int, place: int, end: Any, width: int) -> Tensor:
    """Linear ramp from `end` towards the element at `place`, excluding that element."""
    edge = z[(*(slice(None),) * axis, place, ...)]
    start = xp.astype(together((z, end))[1], z.dtype)
    steps: Tensor = linspace(start, edge, width, endpoint=False, dtype=z.dtype, axis=axis)
    return steps


def _filled(z: Tensor, value: NestedArrayLike, axis: int, width: int) -> Tensor:
    value = xp.astype(together((z, value))[1], z.dtype)
    return xp.broadcast_to(value, (*z.shape[:axis], width, *z.shape[axis + 1 :]))


@in_numpy("convolve")
def convolve(a: NestedArrayLike, v: NestedArrayLike, mode: str = "full") -> Tensor:
    a, v = (_line("convolve", atleast_1d(x)) for x in arrays((a, v)))
    a, v = (v, a) if v.shape[0] > a.shape[0] else (a, v)
    return _slid("convolve", a, xp.flip(v), mode)


@in_numpy("correlate")
def correlate(a: NestedArrayLike, v: NestedArrayLike, mode: str = "valid") -> Tensor:
    a, v = (_line("correlate", x) for x in arrays((a, v)))
    v = xp.conj(v) if is_complex(v.dtype) else v
    if v.shape[0] > a.shape[0]:
        return xp.flip(_slid("correlate", v, a, mode))
    return _slid("correlate", a, v, mode)


def _line(name: str, x: Tensor) -> Tensor:
    if x.ndim != 1:
        raise ShapeError(f"np.{name} takes arrays with one axis, not shape {x.shape}; use np.ravel")
    return x


def _slid(name: str, a: Tensor, v: Tensor, mode: str) -> Tensor:
    """Sliding dot product of `v` along the longer `a`."""
    m = v.shape[0]
    if not m:
        raise ValueError(f"np.{name} takes arrays with at least one element")
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"np.{name}: mode must be 'full', 'same' or 'valid', not {mode!r}")
    if a.dtype.kind == v.dtype.kind == "b":  # sums and products of booleans are logical
        return _slid(name, xp.astype(a, "int64"), v, mode) != 0
    if mode != "same":
        return xp.slide(a, v, full=mode == "full")
    return xp.slide(a, v, full=True)[m - 1 - m // 2 :][: a.shape[0]]
