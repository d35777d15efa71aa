"""Fourier transforms over several axes, composed of the ops that transform one axis."""

from __future__ import annotations

from collections.abc import Sequence

from ..backends.dtypes import canonical, kind_of
from ..backends.types import ArrayLike, DTypeLike
from ..core.tensor import Tensor
from ..ops.axes import normal_axes
from ..ops.fourier import SWAPPED
from . import gates
from .conversion import Place, asarray, astype
from .creation import arange
from .gates import conj, where
from .manipulation import concat
from .table import function

Lengths = Sequence[int] | None
Axes = Sequence[int] | None


def _along(name: str, x: Tensor, s: Lengths, axes: Axes) -> list[tuple[int | None, int]]:
    """Length and axis of each one-dimensional transform; the last is applied first.

    A length of -1 means the length of the axis, as in NumPy.
    """
    if axes is None:
        axes = range(x.ndim) if s is None else range(x.ndim - len(s), x.ndim)
    if s is not None and len(s) != len(axes):
        raise ValueError(
            f"{name}: s={s} has length {len(s)}, but axes={tuple(axes)} has length {len(axes)}; give one "
            f"length for each axis"
        )
    lengths = (
        [None] * len(axes) if s is None else [x.shape[axis] if n == -1 else n for n, axis in zip(s, axes)]
    )
    return list(zip(lengths, axes))[::-1]


@function(extension="fft")
def fftn(x: ArrayLike, /, *, s: Lengths = None, axes: Axes = None, norm: str = "backward") -> Tensor:
    """`fft` along each of `axes` (default all, or the last `len(s)` if `s` is given)."""
    z = asarray(x)
    for n, axis in _along("fftn", z, s, axes):
        z = gates.fft(z, n=n, axis=axis, norm=norm)
    return z


@function(extension="fft")
def ifftn(x: ArrayLike, /, *, s: Lengths = None, axes: Axes = None, norm: str = "backward") -> Tensor:
    """Inverse of `fftn`, with the same arguments."""
    z = asarray(x)
    for n, axis in _along("ifftn", z, s, axes):
        z = gates.ifft(z, n=n, axis=axis, norm=norm)
    return z


@function(extension="fft")
def rfftn(x: ArrayLike, /, *, s: Lengths = None, axes: Axes = None, norm: str = "backward") -> Tensor:
    """`rfft` along the last of `axes`, then `fft` along the others."""
    z = asarray(x)
    (n, axis), *others = _some(_along("rfftn", z, s, axes), "rfftn")
    z = gates.rfft(z, n=n, axis=axis, norm=norm)
    for n, axis in others:
        z = gates.fft(z, n=n, axis=axis, norm=norm)
    return z


@function(extension="fft")
def irfftn(x: ArrayLike, /, *, s: Lengths = None, axes: Axes = None, norm: str = "backward") -> Tensor:
    """Inverse of `rfftn`: `ifft` along all of `axes` but the last, then `irfft` along the last.

    The default length of the last axis is 2 (m - 1).
    """
    z = asarray(x)
    last, *others = _some(_along("irfftn", z, s, axes), "irfftn")
    for n, axis in reversed(others):
        z = gates.ifft(z, n=n, axis=axis, norm=norm)
    return gates.irfft(z, n=last[0], axis=last[1], norm=norm)


def _some(along: list[tuple[int | None, int]], name: str) -> list[tuple[int | None, int]]:
    if not along:
        raise ValueError(f"{name} needs at least one axis to transform")
    return along


@function(extension="fft")
def hfft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """`fft` of a Hermitian-symmetric signal, given its first n//2 + 1 elements: n real numbers."""
    return gates.irfft(conj(asarray(x)), n=n, axis=axis, norm=SWAPPED[_known("hfft", norm)])


@function(extension="fft")
def ihfft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """Inverse of `hfft`: n//2 + 1 complex numbers from n real ones."""
    return conj(gates.rfft(x, n=n, axis=axis, norm=SWAPPED[_known("ihfft", norm)]))


def _known(name: str, norm: str) -> str:
    if norm not in SWAPPED:
        raise ValueError(f"{name}: norm must be 'backward', 'ortho' or 'forward', not {norm!r}")
    return norm


@function(extension="fft")
def fftfreq(n: int, /, *, d: float = 1.0, dtype: DTypeLike | None = None, device: Place = None) -> Tensor:
    """The frequencies of an `fft` of n samples with spacing `d`: 0, 1, ..., -2, -1, divided by n d.

    >>> import xgrad as xg
    >>> xg.fft.fftfreq(4)
    tensor([ 0.  ,  0.25, -0.5 , -0.25])
    """
    i = arange(n, device=device)
    return _real(where(i < (n + 1) // 2, i, i - n), dtype) / (n * d)


@function(extension="fft")
def rfftfreq(n: int, /, *, d: float = 1.0, dtype: DTypeLike | None = None, device: Place = None) -> Tensor:
    """The frequencies of an `rfft` of n samples with spacing `d`: 0, 1, ..., n//2, divided by n d."""
    return _real(arange(n // 2 + 1, device=device), dtype) / (n * d)


def _real(x: Tensor, dtype: DTypeLike | None) -> Tensor:
    dtype = canonical(dtype or "float64")
    if kind_of(dtype) != "f":
        raise TypeError(
            f"fftfreq and rfftfreq: dtype must be real and floating, such as xg.float64, not {dtype}"
        )
    return astype(x, dtype)


@function(extension="fft")
def fftshift(x: ArrayLike, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """Move frequency 0 from the beginning of `axes` (default all) to the middle."""
    x = asarray(x)
    for axis in normal_axes(axes, x.ndim, "fftshift"):
        x = _rolled(x, axis, (x.shape[axis] + 1) // 2)
    return +x


@function(extension="fft")
def ifftshift(x: ArrayLike, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """Inverse of `fftshift`."""
    x = asarray(x)
    for axis in normal_axes(axes, x.ndim, "ifftshift"):
        x = _rolled(x, axis, x.shape[axis] // 2)
    return +x


def _rolled(x: Tensor, axis: int, first: int) -> Tensor:
    """Rotate `x` along `axis` so that it begins with element `first`."""
    before: tuple[slice, ...] = (slice(None),) * axis
    return concat([x[(*before, slice(first, None), ...)], x[(*before, slice(first), ...)]], axis=axis)
