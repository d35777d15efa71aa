"""Random numbers in half precision: computed in float32, and rounded at the end."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..backends.dtypes import canonical, kind_of
from ..core.tensor import Tensor
from ..namespace import asarray, astype, nextafter, where

#: Methods that draw from an interval with an excluded upper end, which rounding must not reach.
_HALF_OPEN = ("random", "uniform")


def parameters(method: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a method's parameters, except `self`."""
    code = method.__code__
    return code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]


def rounded(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Wrap a method with a parameter `dtype` to compute float16 and bfloat16 in float32 and round."""
    names, by_place = parameters(method), method.__code__.co_argcount - 1

    @wraps(method)
    def drawn(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        dtype = None if given.get("dtype") is None else canonical(given["dtype"])
        if dtype is None or kind_of(dtype) != "f" or dtype.itemsize > 2 or len(args) > by_place:
            return method(self, *args, **kwargs)  # checks its arguments
        z = astype(method(self, **{**given, "dtype": canonical("float32")}), dtype)
        if method.__name__ not in _HALF_OPEN:
            return z
        low, high = (
            astype(asarray(given.get(name, end), device=self.device), dtype)
            for name, end in (("low", 0.0), ("high", 1.0))
        )
        return where(z < high, z, nextafter(high, low))

    return drawn
