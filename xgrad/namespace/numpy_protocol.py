"""NumPy's own functions on Tensors: what `np.sin(t)` and `np.linalg.solve(a, b)` do.

NumPy hands every call that has a Tensor among its arguments to `array_ufunc` or `array_function`. A function that means the
same as one of the table is called with NumPy's arguments passed on by name; those that NumPy alone has stand in
`numpy_functions`. Any other raises TypeError by its name: no gradient is dropped silently.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..tensors import Tensor
from .numpy_functions import ACCUMULATIONS, IN_NUMPY_ALONE, REDUCTIONS
from .table import SAME_IN_NUMPY

#: Parameters of NumPy's that ours call otherwise.
_OURS = {"a_min": "min", "a_max": "max", "newshape": "shape"}


def array_function(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A NumPy function on arguments of which one at least is, or holds, a Tensor."""
    name = f"{function.__module__}.{function.__name__}".removeprefix("numpy.")
    if name in IN_NUMPY_ALONE:
        with _refusals(name):
            return IN_NUMPY_ALONE[name](*args, **kwargs)
    if name not in SAME_IN_NUMPY:
        raise TypeError(f"np.{name} does not work on Tensors and would drop the gradient; use functions that do, or the value, t.numpy()")
    ours = SAME_IN_NUMPY[name]
    operands, named = _passed_on(name, function, ours, args, kwargs)
    return ours(*operands, **named)


def array_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A NumPy ufunc, or one of its methods, on inputs of which one at least is a Tensor."""
    name = ufunc.__name__
    if kwargs.get("out") is not None and any(out is not None for out in kwargs["out"]):
        raise TypeError(f"np.{name} with out=, or an operator in place on a NumPy array: a Tensor's value goes into no array; write a = a + t")
    kwargs = {k: v for k, v in kwargs.items() if k != "out"}
    if method == "__call__":
        ours = IN_NUMPY_ALONE.get(name) or SAME_IN_NUMPY.get(name)
    elif method == "outer":
        ours = _outer(IN_NUMPY_ALONE.get(name) or SAME_IN_NUMPY.get(name))
    else:
        ours = {"reduce": REDUCTIONS, "accumulate": ACCUMULATIONS}.get(method, {}).get(name)
    called = name if method == "__call__" else f"{name}.{method}"
    if ours is None:
        raise TypeError(f"np.{called} does not work on Tensors and would drop the gradient; use functions that do, or the value, t.numpy()")
    with _refusals(called):
        return ours(*inputs, **kwargs)


def _outer(f: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """`f` of every element of `x` with every one of `y`."""
    if f is None:
        return None
    return lambda x, y: f(*(Tensor.xp.reshape(v, (*Tensor.xp.asarray(v).shape, *extra)) for v, extra in ((x, (1,) * Tensor.xp.asarray(y).ndim), (y, ()))))


class _refusals:  # noqa: N801 - used as a function is
    """Say of a parameter that a function does not take which NumPy function it was."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, TypeError) and "keyword argument" in str(error):
            raise TypeError(f"np.{self.name} on a Tensor: {str(error).partition('() ')[2] or error}") from error


def _passed_on(
    name: str, theirs: Callable[..., Any], ours: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """NumPy's arguments as ours, without those that have NumPy's default. Raises TypeError for one that ours does not take."""
    signature = _signature(theirs)
    mine = _signature(ours).parameters
    given = signature.bind(*args, **kwargs).arguments
    by_place = [p.name for p in mine.values() if p.kind is p.POSITIONAL_ONLY]
    several = any(p.kind is p.VAR_POSITIONAL for p in mine.values())
    operands, named = [], {}
    for i, (key, value) in enumerate(given.items()):
        parameter = signature.parameters[key]
        if parameter.kind is parameter.VAR_POSITIONAL:
            operands += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            named.update(value)
        elif i < len(by_place) or several:
            operands.append(value)
        elif value is not parameter.default:
            named[_OURS.get(key, key)] = value
    for key in named:
        if key not in mine:
            reason = ": a Tensor is never written into" if key == "out" else ""
            raise TypeError(f"np.{name} on a Tensor takes no {key}={reason}")
    return operands, named


@lru_cache(None)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)
