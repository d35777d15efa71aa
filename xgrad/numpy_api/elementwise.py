"""Elementwise functions."""

from __future__ import annotations

from collections.abc import Sequence
from math import log as ln
from math import pi
from typing import Any

from .. import namespace as xp
from ..backends.dtypes import finfo, is_complex, is_floating
from ..backends.types import ArrayLike, NestedArrayLike
from ..core.tensor import Tensor
from ..namespace.calling import call
from ..ops.functions import CBRT
from .table import arrays, in_numpy, isnan, together, weak


def _real(x: NestedArrayLike, name: str) -> Tensor:
    """Return `x` if it is real; for functions that NumPy does not define for complex numbers."""
    x = xp.asarray(x)
    if is_complex(x.dtype):
        raise TypeError(f"np.{name} takes real numbers, not {x.dtype}; use xg.real(x) or xg.abs(x)")
    return x


@in_numpy("fabs")
def fabs(x: NestedArrayLike) -> Tensor:
    x = _real(x, "fabs")
    return xp.abs(x if is_floating(x.dtype) else xp.astype(x, xp.float64))


@in_numpy("deg2rad", "radians")
def deg2rad(x: NestedArrayLike) -> Tensor:
    return _real(x, "deg2rad") * (pi / 180)


@in_numpy("rad2deg", "degrees")
def rad2deg(x: NestedArrayLike) -> Tensor:
    return _real(x, "rad2deg") * (180 / pi)


@in_numpy("exp2")
def exp2(x: NestedArrayLike) -> Tensor:
    return 2.0 ** xp.asarray(x)


@in_numpy("cbrt")
def cbrt(x: NestedArrayLike) -> Tensor:
    return call(CBRT, (_real(x, "cbrt"),))


@in_numpy("float_power")
def float_power(x1: NestedArrayLike, x2: NestedArrayLike) -> Tensor:
    x1, x2 = together((x1, x2))
    dtype = xp.complex128 if is_complex(x1.dtype) or is_complex(x2.dtype) else xp.float64
    return xp.pow(xp.astype(x1, dtype), xp.astype(x2, dtype))


@in_numpy("logaddexp2")
def logaddexp2(x1: NestedArrayLike, x2: NestedArrayLike) -> Tensor:
    x1, x2 = (_real(x, "logaddexp2") for x in together((x1, x2)))
    dtype = xp.result_type(x1.dtype, x2.dtype, 1.0)
    return xp.logaddexp(xp.astype(x1, dtype) * ln(2), xp.astype(x2, dtype) * ln(2)) / ln(2)


@in_numpy("square")
def square(x: NestedArrayLike) -> Tensor:
    x = xp.asarray(x)
    return xp.square(xp.astype(x, "int8") if x.dtype.kind == "b" else x)


@in_numpy("rint")
def rint(x: NestedArrayLike) -> Tensor:
    x = xp.asarray(x)
    return xp.round(x if is_floating(x.dtype) else xp.astype(x, xp.float64))


@in_numpy("heaviside")
def heaviside(x1: NestedArrayLike, x2: NestedArrayLike) -> Tensor:
    """Step function; the gradient goes to `x2`, where `x1` is 0."""
    x1, x2 = (_real(x, "heaviside") for x in together((x1, x2)))
    return xp.where(x1 == 0, x2, xp.where(x1 < 0, 0.0, xp.where(x1 > 0, 1.0, x1 * 1.0)))


@in_numpy("fmax")
def fmax(x1: NestedArrayLike, x2: NestedArrayLike) -> Tensor:
    x1, x2 = together((x1, x2))
    return xp.where(isnan(x1), x2, xp.where(isnan(x2), x1, xp.maximum(x1, x2)))


@in_numpy("fmin")
def fmin(x1: NestedArrayLike, x2: NestedArrayLike) -> Tensor:
    x1, x2 = together((x1, x2))
    return xp.where(isnan(x1), x2, xp.where(isnan(x2), x1, xp.minimum(x1, x2)))


@in_numpy("fmod")
def fmod(x1: NestedArrayLike, x2: NestedArrayLike) -> Tensor:
    """x1 - x2 * trunc(x1 / x2): the remainder of |x1| by |x2|, with the sign of x1."""
    x1, x2 = (_real(x, "fmod") for x in together((x1, x2)))
    rest = xp.remainder(xp.abs(x1), xp.abs(x2))
    return xp.where(xp.less(x1, 0), -rest, rest)


@in_numpy("divmod")
def divmod_(x1: ArrayLike, x2: ArrayLike) -> tuple[Tensor, Tensor]:
    return xp.floor_divide(x1, x2), xp.remainder(x1, x2)


@in_numpy("modf")
def modf(x: NestedArrayLike) -> tuple[Tensor, Tensor]:
    x = _real(x, "modf")
    return xp.where(xp.isinf(x), 0.0, x - xp.where(xp.isinf(x), 0.0, xp.trunc(x))), xp.trunc(x)


@in_numpy("sinc")
def sinc(x: NestedArrayLike) -> Tensor:
    """sin(πx) / πx.

    Near 0 it uses the Taylor series, which has correct derivatives there; the truncation error is below
    rounding.
    """
    t = xp.asarray(x) * pi
    near = xp.abs(t) < 0.03
    square, far = xp.where(near, t * t, 0.0), xp.where(near, 1.0, t)
    series = 1 - square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72)))
    return xp.where(near, series, xp.sin(far) / far)


@in_numpy("nan_to_num")
def nan_to_num(
    x: NestedArrayLike,
    copy: bool = True,
    nan: ArrayLike = 0.0,
    posinf: ArrayLike | None = None,
    neginf: ArrayLike | None = None,
) -> Tensor:
    """As in NumPy, but the result is always a new Tensor."""
    x = xp.asarray(x)
    if not is_floating(x.dtype):
        return +x
    if is_complex(x.dtype):
        return nan_to_num(xp.real(x), copy, nan, posinf, neginf) + 1j * nan_to_num(
            xp.imag(x), copy, nan, posinf, neginf
        )
    limits = finfo(x.dtype)
    z = xp.where(xp.isnan(x), nan, x)
    z = xp.where(x == xp.inf, limits.max if posinf is None else posinf, z)
    return xp.where(x == -xp.inf, limits.min if neginf is None else neginf, z)


@in_numpy("clip")
def clip(
    a: NestedArrayLike,
    a_min: NestedArrayLike | None = None,
    a_max: NestedArrayLike | None = None,
    *,
    min: NestedArrayLike | None = None,
    max: NestedArrayLike | None = None,
) -> Tensor:
    """Clip as in NumPy, which promotes `a` with the bounds; the standard keeps its dtype."""
    if (a_min is not None or a_max is not None) and (min is not None or max is not None):
        raise ValueError("np.clip takes the bounds as a_min and a_max or as min and max, not both")
    x, low, high = weak((a, a_min if min is None else min, a_max if max is None else max))
    z = +xp.asarray(x) if low is None else xp.maximum(x, low)
    return z if high is None else xp.minimum(z, high)


@in_numpy("round", "around")
def around(a: NestedArrayLike, decimals: int = 0) -> Tensor:
    a = xp.asarray(a)
    if not is_floating(a.dtype):
        return +a if decimals >= 0 else xp.astype(around(xp.astype(a, xp.float64), decimals), a.dtype)
    if decimals == 0:
        return xp.round(a)
    scale = 10.0 ** abs(decimals)
    return xp.round(a * scale) / scale if decimals > 0 else xp.round(a / scale) * scale


@in_numpy("fix")
def fix(x: ArrayLike) -> Tensor:
    return xp.trunc(x)


@in_numpy("angle")
def angle(z: NestedArrayLike, deg: bool = False) -> Tensor:
    z = xp.asarray(z)
    z = z if is_floating(z.dtype) else xp.astype(z, xp.float64)
    phase = xp.atan2(xp.imag(z), xp.real(z))
    return rad2deg(phase) if deg else phase


@in_numpy("real_if_close")
def real_if_close(a: NestedArrayLike, tol: float = 100) -> Tensor:
    """Real part if the imaginary parts are small; depends on values, so it cannot be traced."""
    a = xp.asarray(a)
    if not is_complex(a.dtype):
        return +a
    tol = tol * finfo(a.dtype).eps if tol > 1 else tol
    return xp.real(a) if bool(xp.all(xp.abs(xp.imag(a)) < tol)) else +a


@in_numpy("iscomplex")
def iscomplex(x: NestedArrayLike) -> Tensor:
    return xp.imag(xp.asarray(x)) != 0


@in_numpy("isreal")
def isreal(x: NestedArrayLike) -> Tensor:
    return xp.imag(xp.asarray(x)) == 0


@in_numpy("isposinf")
def isposinf(x: ArrayLike) -> Tensor:
    return xp.isinf(x) & ~xp.signbit(x)


@in_numpy("isneginf")
def isneginf(x: ArrayLike) -> Tensor:
    return xp.isinf(x) & xp.signbit(x)


@in_numpy("where")
def where(
    condition: NestedArrayLike, x: NestedArrayLike | None = None, y: NestedArrayLike | None = None
) -> Any:
    if x is None and y is None:
        return xp.nonzero(xp.asarray(condition))
    holds, *choices = weak((condition, x, y))
    return xp.where(_true(xp.asarray(holds)), *choices)


@in_numpy("select")
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Tensor:
    if len(condlist) != len(choicelist):
        raise ValueError(
            f"np.select: there are {len(condlist)} conditions but {len(choicelist)} choices; give one choice "
            f"for each condition"
        )
    n = len(condlist)
    given = weak((*condlist, *choicelist, default))
    z: Tensor = given[-1]
    for condition, choice in reversed(list(zip(given[:n], given[n:-1], strict=True))):
        z = xp.where(condition, choice, z)
    return z


@in_numpy("piecewise")
def piecewise(x: NestedArrayLike, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Tensor:
    """Apply each function to the elements for which its condition holds.

    Their number depends on values, so it cannot be traced.
    """
    x = xp.asarray(x)
    if not isinstance(condlist, list | tuple) or (x.ndim and isinstance(condlist[0], bool)):
        condlist = condlist if getattr(condlist, "ndim", 0) > x.ndim else [condlist]
    conditions = [xp.broadcast_to(c, x.shape) != 0 for c in arrays((x, *condlist))[1:]]
    if len(funclist) == len(conditions) + 1:  # the last is the default
        others = conditions[0]
        for c in conditions[1:]:
            others = others | c
        conditions.append(~others)
    elif len(funclist) != len(conditions):
        raise ValueError(
            f"np.piecewise: there are {len(funclist)} functions for {len(conditions)} conditions; give one "
            f"for each, and one more as a default if you want"
        )
    z = xp.zeros_like(x)
    for c, f in zip(conditions, funclist, strict=True):
        if callable(f):
            (at,) = xp.nonzero(xp.reshape(c, (-1,)))
            value = together((x, f(x[c], *args, **kw)))[1]
            f = xp.reshape(xp.untake(xp.broadcast_to(value, at.shape), at, axis=0, shape=(x.size,)), x.shape)
        z = xp.where(c, xp.astype(together((x, f))[1], x.dtype), z)
    return z


@in_numpy("isclose")
def isclose(
    a: NestedArrayLike, b: NestedArrayLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    a, b = together((a, b))
    a, b = (v.detach() if is_floating(v.dtype) else xp.astype(v, xp.float64) for v in (a, b))
    near = xp.isfinite(b) & (xp.abs(a - xp.where(xp.isfinite(b), b, 0.0)) <= atol + rtol * xp.abs(b)) | (
        a == b
    )
    return near | (xp.isnan(a) & xp.isnan(b)) if equal_nan else near


@in_numpy("allclose")
def allclose(
    a: NestedArrayLike, b: NestedArrayLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    return bool(xp.all(isclose(a, b, rtol, atol, equal_nan)))


@in_numpy("array_equal")
def array_equal(a1: NestedArrayLike, a2: NestedArrayLike, equal_nan: bool = False) -> bool:
    a1, a2 = together((a1, a2))
    if a1.shape != a2.shape:
        return False
    same = a1 == a2
    if equal_nan and is_floating(a1.dtype) and is_floating(a2.dtype):
        same = same | (xp.isnan(a1) & xp.isnan(a2))
    return bool(xp.all(same))


@in_numpy("array_equiv")
def array_equiv(a1: NestedArrayLike, a2: NestedArrayLike) -> bool:
    a1, a2 = together((a1, a2))
    try:
        return bool(xp.all(a1 == a2))
    except ValueError:
        return False


def _true(x: Tensor) -> Tensor:
    """Whether each element is not 0: NumPy's logic takes all dtypes, the standard's only booleans."""
    return x if x.dtype.kind == "b" else x != 0


@in_numpy("logical_and")
def logical_and(x1: NestedArrayLike, x2: NestedArrayLike) -> Tensor:
    return xp.logical_and(*map(_true, together((x1, x2))))


@in_numpy("logical_or")
def logical_or(x1: NestedArrayLike, x2: NestedArrayLike) -> Tensor:
    return xp.logical_or(*map(_true, together((x1, x2))))


@in_numpy("logical_xor")
def logical_xor(x1: NestedArrayLike, x2: NestedArrayLike) -> Tensor:
    return xp.logical_xor(*map(_true, together((x1, x2))))


@in_numpy("logical_not")
def logical_not(x: NestedArrayLike) -> Tensor:
    return xp.logical_not(_true(xp.asarray(x)))
