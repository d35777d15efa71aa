"""Registering new ops in the table, as functions of Tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from types import EllipsisType
from typing import Any

from ..backends.dtypes import is_floating
from ..errors import GraphError
from ..namespace.calling import call
from ..ops import OPS, find_op, op

Function = Callable[..., Any]


def register_op(
    name: str,
    forward: Function,
    *,
    dx: Function | EllipsisType | None = ...,
    dy: Function | EllipsisType | None = ...,
    variadic: bool = False,
    elementwise: bool = True,
    scalar: str | None = None,
) -> Function:
    """Add an op to the table and return it as a function of Tensors; `deriv` and graphs know it by `name`.

    Args:
        forward: `forward(xp, x)` or `forward(xp, x, y)`, with parameters after a `*`, on arrays of
            namespace `xp`.
        dx, dy: its derivatives, functions of any of `xp`, `dz`, `x`, `y`, `z`, `x_shape`, `y_shape`, by these
            names. They use functions of `xp`, so that they can be differentiated again. None means no
            derivative, as for `floor`: no gradient flows back. If omitted, asking for a gradient raises
            GraphError.
        variadic: `forward(xp, *x)` takes any number of operands, and `dx` returns a tuple of gradients.
        elementwise: its operands broadcast against each other.
        scalar: an expression for one element of real numbers, from which compiled programs generate
            kernels; without it, they call `forward`. The operands have the names that `forward` gives them,
            as in "log1p(exp(x))". It may use numbers, `inf`, `nan`, `pi`, arithmetic, comparisons, `and`,
            `or`, `not`, `where(condition, a, b)`, and the table's functions of one element. It must give the
            same values as `forward`.

    Raises ValueError for a name that is taken or an invalid scalar expression, TypeError for a derivative
    with other parameters or results.

    >>> import xgrad as xg
    >>> softplus = xg.register_op("softplus", lambda xp, x: xp.log1p(xp.exp(x)),
    ...                           dx=lambda xp, dz, x: dz / (1 + xp.exp(-x)), scalar="log1p(exp(x))")
    >>> softplus(0.0), xg.grad(softplus)(0.0)
    (tensor(0.69314718), tensor(0.5))
    """
    _check_arguments(name, forward, dx, dy, scalar, variadic or not elementwise)
    forward = _giving_arrays(name, forward)
    given = (("x_shape", dx), ("y_shape", dy))
    dx, dy = (
        _unknown(name, shape, variadic) if f is ... else _giving_gradients(name, f, variadic)
        for shape, f in given
    )
    kind: dict[str, Any] = {
        "variadic": variadic,
        "elementwise": elementwise and not variadic,
        "diagonal": False,
        "scalar": scalar,
    }
    entry = op(name, forward, dx=dx, dy=dy, **kind, promotion="result_type", registered=True)

    def function(*operands: Any, **params: Any) -> Any:
        return call(entry, operands, {**entry.defaults, **params})

    function.__name__ = function.__qualname__ = name
    return function


def unregister_op(name: str) -> None:
    """Remove a registered op from the table. Raises ValueError for a built-in op."""
    entry = find_op(name)
    if not entry.listing.registered:
        raise ValueError(f"the op {name!r} is built in and cannot be removed")
    del OPS[name]


def _check_arguments(name: Any, forward: Any, dx: Any, dy: Any, scalar: Any, whole: bool) -> None:
    """Raise TypeError for bad arguments of `register_op`. An op of `whole` arrays is not elementwise."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"the name of an op must be a string, not {name!r}")
    for what, f in (("forward", forward), ("dx", dx), ("dy", dy)):
        if not callable(f) and (f not in (None, ...) or what == "forward"):
            raise TypeError(f"register_op({name!r}): {what} must be a function of arrays, not {f!r}")
    if scalar is not None:
        if not isinstance(scalar, str):
            raise TypeError(
                f"register_op({name!r}): scalar must be a string with an expression, not {scalar!r}"
            )
        parameters = inspect.signature(forward).parameters.values()
        if whole or any(p.kind is p.KEYWORD_ONLY for p in parameters):
            raise TypeError(
                f"register_op({name!r}): an op with a scalar must be elementwise, with one or two "
                f"operands and no parameters"
            )


def _giving_arrays(name: str, forward: Function) -> Function:
    """Wrap `forward` to check that it returns an array or a tuple of arrays."""

    @wraps(forward)
    def checked(*given: Any, **params: Any) -> Any:
        z = forward(*map(_sealed, given), **params)
        for part in z if type(z) is tuple else (z,):
            if not hasattr(part, "dtype") or not hasattr(part, "shape"):
                raise TypeError(
                    f"{name!r} must return an array, but returned {type(part).__name__}: compute with the "
                    f"functions of xp"
                )
        return z

    return checked


def _sealed(array: Any) -> Any:
    """A read-only view of an array, if its library has them, as the array is the value of a Tensor."""
    if not hasattr(array, "setflags") or not array.shape:
        return array
    view = array[...]
    view.flags.writeable = False
    return view


def _giving_gradients(name: str, rule: Function | None, variadic: bool) -> Function | None:
    """Wrap a rule to check that it returns a gradient; for a variadic op, a tuple of gradients or None."""
    if rule is None:
        return None
    given = rule

    @wraps(given)
    def checked(*values: Any, **params: Any) -> Any:
        found = given(*values, **params)
        if variadic and not isinstance(found, tuple | list):
            raise TypeError(
                f"the derivative of {name!r} must return a tuple with one gradient per operand, but "
                f"returned {type(found).__name__}"
            )
        for g in found if variadic else (found,):
            if not hasattr(g, "shape") and not (g is None and variadic):
                raise TypeError(
                    f"the derivative of {name!r} must return an array shaped like its operand, but "
                    f"returned {type(g).__name__}"
                )
        return found

    return checked


def _unknown(name: str, shape: str, variadic: bool) -> Function:
    """The rule for an omitted derivative: an error for floating-point outputs, no gradient for others."""

    def refuse(z: Any) -> None:
        if any(is_floating(part.dtype) for part in (z if isinstance(z, tuple) else (z,))):
            instead = "define one with register_op(dx=), or pass dx=None if no gradient should flow back"
            raise GraphError(f"the op {name!r} has no derivative: {instead}")

    def of_many(dz: Any, z: Any, x_shape: Any, **params: Any) -> tuple[None, ...]:
        refuse(z)
        return (None,) * len(x_shape)

    def of_x(xp: Any, dz: Any, z: Any, x_shape: tuple[int, ...], **params: Any) -> Any:
        refuse(z)
        return xp.broadcast_to(xp.zeros_like(xp.sum(dz)), x_shape)

    def of_y(xp: Any, dz: Any, z: Any, y_shape: tuple[int, ...], **params: Any) -> Any:
        return of_x(xp, dz, z, y_shape)

    return of_many if variadic else of_x if shape == "x_shape" else of_y
