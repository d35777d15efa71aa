"""Arrays made wider at their ends, and what slides along another array."""

from __future__ import annotations

from typing import Any

from ...ops.correlating import SLIDE
from ...tensors import Tensor
from ..calling import call
from .table import arrays, in_numpy, together, xp


@in_numpy("pad")
def pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0, reflect_type: str = "even") -> Tensor:
    """The modes "constant", "edge", "reflect", "symmetric" and "wrap"."""
    if mode not in ("constant", *_MODES):
        raise TypeError(f"np.pad on a Tensor takes mode={' or '.join(map(repr, ('constant', *_MODES)))}, not {mode!r}")
    if reflect_type != "even":
        raise TypeError(f"np.pad on a Tensor takes reflect_type='even' alone, not {reflect_type!r}")
    z = xp.asarray(array)
    values = _pairs(constant_values, z.ndim)
    for axis, (before, after) in enumerate(_pairs(pad_width, z.ndim)):
        before, after, n = int(before), int(after), z.shape[axis]
        if before < 0 or after < 0:
            raise ValueError(f"pad: a width of {min(before, after)}")
        if not before and not after:
            continue
        if mode == "constant":
            ends = [_filled(z, value, axis, width) for value, width in zip(values[axis], (before, after), strict=True)]
            z = xp.concat([ends[0], z, ends[1]], axis=axis)
        elif n == 0:
            raise ValueError(f"pad: axis {axis} has no elements to go on from with mode {mode!r}")
        else:
            z = xp.take(z, _MODES[mode](xp.arange(-before, n + after, device=z.device), n), axis=axis)
    return z.twin()


def _symmetric(i: Tensor, n: int) -> Tensor:
    i = i % (2 * n)
    return xp.minimum(i, 2 * n - 1 - i)


def _reflect(i: Tensor, n: int) -> Tensor:
    i = i % max(2 * n - 2, 1)
    return xp.minimum(i, 2 * n - 2 - i)


#: Which element of n stands at the places `i`, beyond both ends.
_MODES: dict[str, Any] = {
    "edge": lambda i, n: xp.minimum(xp.maximum(i, 0), n - 1),
    "reflect": _reflect,
    "symmetric": _symmetric,
    "wrap": lambda i, n: i % n,
}


def _pairs(given: Any, ndim: int) -> list[tuple[Any, Any]]:
    """What NumPy takes as a number, a pair, or a pair per axis, as a pair per axis."""
    if isinstance(given, dict):
        pairs = [(0, 0)] * ndim
        for axis, pair in given.items():
            pairs[axis] = (pair, pair) if isinstance(pair, int) else tuple(pair)
        return pairs
    if not hasattr(given, "__len__") or getattr(given, "shape", (1,)) == ():
        return [(given, given)] * ndim
    parts = [tuple(part) if hasattr(part, "__len__") and getattr(part, "shape", (1,)) != () else (part,) for part in given]
    if all(len(part) == 1 for part in parts):
        flat = [part[0] for part in parts]
        if len(flat) <= 2:  # one for all, or before and after
            return [(flat[0], flat[-1])] * ndim
        parts = [(v, v) for v in flat]
    parts = [(part[0], part[-1]) for part in parts]
    return parts * ndim if len(parts) == 1 else parts


def _filled(z: Tensor, value: Any, axis: int, width: int) -> Tensor:
    value = xp.astype(together((z, value))[1], z.dtype)
    return xp.broadcast_to(value, (*z.shape[:axis], width, *z.shape[axis + 1 :]))


@in_numpy("convolve")
def convolve(a: Any, v: Any, mode: str = "full") -> Tensor:
    a, v = (xp.reshape(x, (-1,)) for x in arrays((a, v)))
    a, v = (v, a) if v.shape[0] > a.shape[0] else (a, v)
    return _slid(a, xp.flip(v), mode)


@in_numpy("correlate")
def correlate(a: Any, v: Any, mode: str = "valid") -> Tensor:
    a, v = (xp.reshape(x, (-1,)) for x in arrays((a, v)))
    v = xp.conj(v)
    return xp.flip(_slid(v, a, mode)) if v.shape[0] > a.shape[0] else _slid(a, v, mode)


def _slid(a: Tensor, v: Tensor, mode: str) -> Tensor:
    """The sum of the products at each place of `v` as it slides along the longer `a`."""
    m = v.shape[0]
    if not m:
        raise ValueError("convolve and correlate take arrays of one element at least")
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"convolve: mode is 'full', 'same' or 'valid', not {mode!r}")
    if mode != "same":
        return slide(a, v, full=mode == "full")
    return slide(a, v, full=True)[m - 1 - m // 2 :][: a.shape[0]]


def slide(a: Tensor, v: Tensor, *, full: bool) -> Tensor:
    """The op of that name."""
    return call(SLIDE, (a, v), {"full": full})
