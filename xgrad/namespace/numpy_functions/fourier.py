"""Fourier transforms over two axes; the others are the standard's."""

from __future__ import annotations

from typing import Any

from ...tensors import Tensor
from .table import in_numpy, xp


@in_numpy("fft.fft2")
def fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    return xp.fft.fftn(a, s=s, axes=axes, norm=norm or "backward")


@in_numpy("fft.ifft2")
def ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    return xp.fft.ifftn(a, s=s, axes=axes, norm=norm or "backward")


@in_numpy("fft.rfft2")
def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    return xp.fft.rfftn(a, s=s, axes=axes, norm=norm or "backward")


@in_numpy("fft.irfft2")
def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    return xp.fft.irfftn(a, s=s, axes=axes, norm=norm or "backward")
