"""In-place changes of Tensors from outside, made into inputs and outputs of the function that makes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..compiler.trace import ChangedOutside
from ..core.tensor import Tensor


def with_change(f: Callable[..., Any], handle: Tensor) -> Callable[..., tuple[Any, Tensor]]:
    """A function of the value of `handle` and the arguments of `f`.

    It returns what `f` does, and the new value of `handle`, which is left as it was.
    """

    @wraps(f)
    def pure(value: Tensor, *args: Any, **kwargs: Any) -> tuple[Any, Tensor]:
        before = handle.data, handle.node
        handle.data, handle.node = value.data, value.node
        try:
            result = f(*args, **kwargs)
            return result, handle._alias()
        finally:
            handle.data, handle.node = before

    return pure


def body_with_change(f: Callable[[Any, Any], Any], handle: Tensor) -> Callable[[Any, Any], Any]:
    """A body of scan whose carry is that of `f` and the value of `handle`."""
    pure = with_change(f, handle)

    @wraps(f)
    def body(carry: Any, x: Any) -> Any:
        result, value = pure(carry[1], carry[0], x)
        if not isinstance(result, tuple) or len(result) != 2:
            return result  # which scan refuses
        return (result[0], value), result[1]

    return body


def apply_change(change: ChangedOutside, value: Tensor) -> None:
    """Give the handle its new value.

    Where it is outside of another trace as well, the error is about the same line.
    """
    try:
        change.handle._become(value)
    except ChangedOutside:
        raise change from None
