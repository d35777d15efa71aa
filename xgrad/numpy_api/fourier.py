"""Two-dimensional Fourier transforms; the others are those of the standard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import namespace as xp
from ..backends.types import NestedArrayLike
from ..core.tensor import Tensor
from .table import in_numpy


def _of_two_axes(of_all: str) -> Callable[..., Tensor]:
    """Make a two-dimensional transform from an n-dimensional one: default axes are the last two."""

    def transform(
        a: NestedArrayLike,
        s: Sequence[int] | None = None,
        axes: Sequence[int] | None = (-2, -1),
        norm: str | None = None,
    ) -> Tensor:
        z: Tensor = getattr(xp.fft, of_all)(a, s=s, axes=axes, norm=norm or "backward")
        return z

    return transform


for _name in ("fft", "ifft", "rfft", "irfft"):
    in_numpy(f"fft.{_name}2")(_of_two_axes(f"{_name}n"))
