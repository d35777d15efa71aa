"""Fourier transforms along one axis: they are linear, so each derivative is a transform too.

The matrix of fft is symmetric, so its transpose is fft again; likewise for ifft. Before the transform, `n`
truncates the axis or pads it with zeros; the transpose of that pads or truncates.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import Any

from ..backends.types import Array, Namespace
from .batching import along_axis
from .table import op

#: For each norm, the one with the factors of the two directions swapped.
SWAPPED = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _fit(xp: Namespace, x: Array, axis: int, n: int) -> Array:
    """Truncate the axis of `x`, or pad it with zeros, to length n."""
    axis %= x.ndim
    have = x.shape[axis]
    if have >= n:
        return x if have == n else x[(*(slice(None),) * axis, slice(n), ...)]
    zeros = xp.zeros((*x.shape[:axis], n - have, *x.shape[axis + 1 :]), dtype=x.dtype, device=x.device)
    return xp.concat([x, zeros], axis=axis)


FFT = op(
    "fft",
    lambda xp, x, *, n=None, axis=-1, norm="backward": xp.fft.fft(x, n=n, axis=axis, norm=norm),
    dx=lambda xp, dz, x_shape, *, n, axis, norm: _fit(
        xp, xp.fft.fft(dz, axis=axis, norm=norm), axis, x_shape[axis]
    ),
    function="fft.fft",
    promotion="complex",
    analytic=True,
    linear="jointly",
    batch=along_axis,
    doc="""Discrete Fourier transform along `axis`: z_k is the sum of x_j e^(-2πi jk/n).

    The axis is truncated, or padded with zeros, to length `n`. `norm` says which direction divides by n:
    "backward" the inverse, "forward" this one, "ortho" both by √n.

    >>> import xgrad as xg
    >>> xg.fft.fft(xg.asarray([1.0, 0.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """,
)

IFFT = op(
    "ifft",
    lambda xp, x, *, n=None, axis=-1, norm="backward": xp.fft.ifft(x, n=n, axis=axis, norm=norm),
    dx=lambda xp, dz, x_shape, *, n, axis, norm: _fit(
        xp, xp.fft.ifft(dz, axis=axis, norm=norm), axis, x_shape[axis]
    ),
    function="fft.ifft",
    promotion="complex",
    analytic=True,
    linear="jointly",
    batch=along_axis,
    doc="Inverse of `fft`, with the same arguments.",
)


def _rfft_dx(
    xp: Namespace, dz: Array, x_shape: tuple[int, ...], *, n: int | None, axis: int, norm: str
) -> Array:
    """Transpose rfft: the frequencies that it omits have gradient 0."""
    return _fit(
        xp, xp.fft.fft(dz, n=x_shape[axis] if n is None else n, axis=axis, norm=norm), axis, x_shape[axis]
    )


RFFT = op(
    "rfft",
    lambda xp, x, *, n=None, axis=-1, norm="backward": xp.fft.rfft(x, n=n, axis=axis, norm=norm),
    dx=_rfft_dx,
    function="fft.rfft",
    promotion="float",
    linear="jointly",
    batch=along_axis,
    doc="The first n//2 + 1 elements of the `fft` of real numbers: the others are their conjugates.",
)


def _irfft_dx(
    xp: Namespace, dz: Array, x_shape: tuple[int, ...], *, n: int | None, axis: int, norm: str
) -> Array:
    """Transpose irfft: each frequency counts twice, for its conjugate too.

    The exceptions are the first and, for even n, the middle one.
    """
    n = dz.shape[axis]
    k = xp.arange(n // 2 + 1, device=dz.device)
    once = xp.reshape(k * (2 * k - n) == 0, (-1,) + (1,) * (dz.ndim - 1 - axis % dz.ndim))
    g = xp.fft.rfft(dz, axis=axis, norm=SWAPPED[norm])
    return _fit(xp, xp.where(once, g, 2 * g), axis, x_shape[axis])


IRFFT = op(
    "irfft",
    lambda xp, x, *, n=None, axis=-1, norm="backward": xp.fft.irfft(x, n=n, axis=axis, norm=norm),
    dx=_irfft_dx,
    function="fft.irfft",
    promotion="complex",
    linear="jointly",
    batch=along_axis,
    doc="Inverse of `rfft`: n real numbers, by default 2 (m - 1) of them, from m = n//2 + 1 frequencies.",
)


def fourier_matrix(
    xp: Namespace,
    part: str,
    n: int,
    rows: tuple[int, int],
    columns: tuple[int, int],
    factor: float,
    twice: bool = False,
    *,
    dtype: Any,
    device: Any = None,
) -> Array:
    """The cosines or sines ("cos", "sin") of 2π jk/n, times `factor`, for j in `rows` and k in `columns`.

    With `twice`, the rows of frequencies that stand for their conjugates too are doubled, as `irfft` needs.
    Computed in float64 and rounded once.
    """
    shift = n if part == "sin" else 0
    numbers = [factor * _cosine(4 * m - shift, n) for m in range(n)]
    waves = xp.asarray(numbers, dtype=xp.float64, device=device)
    j, k = xp.arange(*rows, device=device), xp.arange(*columns, device=device)
    at = xp.reshape(j[:, None] * k[None, :] % n, (-1,))
    matrix = xp.reshape(xp.take(waves, at, axis=0), (rows[1] - rows[0], columns[1] - columns[0]))
    if twice:
        matrix = xp.where((j * (2 * j - n) < 0)[:, None], 2 * matrix, matrix)
    return xp.astype(matrix, dtype)


def _cosine(m: int, n: int) -> float:
    """cos(2π m / 4n), from an angle of at most 45 degrees: exact where the cosine is 0 or 1 or -1."""
    m %= 4 * n
    m = min(m, 4 * n - m)
    if m > n:
        return -_cosine(2 * n - m, n)
    return cos(pi * m / (2 * n)) if 2 * m <= n else sin(pi * (n - m) / (2 * n))
