"""Polynomials as coefficients, highest power first.

Leading zeros are kept, whereas some NumPy functions trim them.
"""

from __future__ import annotations

from .. import namespace as xp
from ..backends.dtypes import finfo
from ..backends.types import ArrayLike, NestedArrayLike
from ..core.tensor import Tensor
from .creation import vander
from .filtering import convolve
from .table import arrays, in_numpy


@in_numpy("polyval")
def polyval(p: NestedArrayLike, x: NestedArrayLike) -> Tensor:
    """Evaluate a polynomial by Horner's rule."""
    p, x = arrays((p, x))
    z = xp.zeros_like(x)
    for i in range(p.shape[0]):
        z = z * x + p[i]
    return z


@in_numpy("polyadd")
def polyadd(a1: NestedArrayLike, a2: NestedArrayLike) -> Tensor:
    a1, a2 = (xp.reshape(a, (-1,)) for a in arrays((a1, a2)))
    n = max(a1.shape[0], a2.shape[0])
    a1, a2 = (xp.concat([xp.zeros((n - a.shape[0],), dtype=a.dtype, device=a.device), a]) for a in (a1, a2))
    return a1 + a2


@in_numpy("polysub")
def polysub(a1: NestedArrayLike, a2: NestedArrayLike) -> Tensor:
    a1, a2 = arrays((a1, a2))
    return polyadd(a1, -a2)


@in_numpy("polymul")
def polymul(a1: NestedArrayLike, a2: NestedArrayLike) -> Tensor:
    return convolve(a1, a2)


@in_numpy("polyder")
def polyder(p: NestedArrayLike, m: int = 1) -> Tensor:
    p = xp.asarray(p)
    if m < 0:
        raise ValueError(f"np.polyder: m must be at least 0, not {m}")
    for _ in range(m):
        p = p[:-1] * xp.arange(p.shape[0] - 1, 0, -1, device=p.device)
    return +p


@in_numpy("polyint")
def polyint(p: NestedArrayLike, m: int = 1, k: NestedArrayLike | None = None) -> Tensor:
    """Integrate `m` times; `k` has the integration constants, one for all or one for each."""
    p = xp.asarray(p)
    constants = xp.broadcast_to(arrays((p, 0.0 if k is None else k))[1], (m,))
    for i in range(m):
        p = xp.concat([p / xp.arange(p.shape[0], 0, -1, device=p.device), constants[i : i + 1]])
    return +p


@in_numpy("polyfit")
def polyfit(
    x: NestedArrayLike,
    y: NestedArrayLike,
    deg: int,
    rcond: ArrayLike | None = None,
    *,
    w: NestedArrayLike | None = None,
) -> Tensor:
    """Least-squares coefficients.

    The gradient goes to `x`, `y` and the weights.
    """
    x, y = (xp.astype(v, xp.result_type(v.dtype, "float64")) for v in arrays((x, y)))
    powers = vander(x, deg + 1)
    if w is not None:
        w = arrays((x, w))[1]
        powers, y = powers * w[:, None], y * (w[:, None] if y.ndim > 1 else w)
    scale = xp.sqrt(xp.sum(powers * powers, axis=0))
    fit = xp.matmul(
        xp.linalg.pinv(powers / scale, rtol=x.shape[0] * finfo(x.dtype).eps if rcond is None else rcond), y
    )
    return fit / (scale[:, None] if y.ndim > 1 else scale)
