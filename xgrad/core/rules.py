"""Calling derivative rules: by hand through `deriv`, and with complex outputs in the reverse sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..backends import DeviceError, current_device, device_of
from ..backends.dtypes import is_complex, is_floating
from ..backends.promotion import promote
from ..backends.types import Namespace
from ..errors import ShapeError, no_array
from ..ops import Op, find_op
from ..ops.indexing import split
from ..ops.rules import Given


class ShapeDtype(NamedTuple):
    """The shape and dtype that a gradient must have."""

    shape: tuple[int, ...]
    dtype: Any


def conjugate_vjp(
    op: Op, given: Given, targets: Sequence[Any], params: dict[str, Any], rules: Sequence[Any] = ()
) -> Sequence[Any]:
    """As `Op.vjp`, for an op with a complex output.

    Rules are plain calculus, the transpose; this turns them into the conjugate transpose.
    """
    conj = given.xp.conj
    given.dz = conj(given.dz)
    return [
        conj(g) if g is not None and is_complex(g.dtype) else g for g in op.vjp(given, targets, params, rules)
    ]


def _parameters(entry: Op, op: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The op's parameters: those given, and the defaults. Raises TypeError if one is missing or unknown."""
    if "use" in entry.parameters and not ("use" in given or hasattr(op, "use")):  # a class of gates, by name
        given = {"use": entry.defaults["use"](**given)}
    params = {**entry.defaults, **getattr(op, "use", {}), **given}
    if set(params) != set(entry.parameters):
        raise TypeError(
            f"{op!r} takes the parameters {entry.parameters or 'none'}; got {tuple(given) or 'none'}"
        )
    return params


def deriv(dz: Any, x: Any, y: Any, op: Any, *, z: Any = None, **params: Any) -> tuple[Any, ...]:
    """Gradients of the operands of `z = op(x, y)`, given the gradient `dz` of its output.

    Args:
        dz: array of the output's shape (a number is broadcast to it); for an op with several outputs a tuple,
            None for those without a gradient.
        x, y: the operands; `y` is None for an op of one operand. A variadic op ("concat", "stack", "where")
            takes a tuple of operands as `x`.
        op: symbol or name: "*", "@", "tanh", "sum", ... any op of the table, or a gate of your own, or its
            name. With the name of a gate that is a class, pass its attributes as keywords.
        z: the op's output, if available; otherwise it is computed if the derivative needs it.
        params: the op's parameters, such as `axis=0` for "sum". Arrays in the `key` of an index are operands
            as well.

    Returns:
        A tuple with one gradient per operand, of its shape and dtype; None where the op has no derivative
        for it. Arrays give new arrays, which may be added to in place; Tensors give Tensors. The gradient of
        an integer has the dtype of `dz`.

    Raises:
        UnknownOpError, ShapeError, TypeError (the wrong number of operands or parameters).

    The rules are those of https://cs231n.github.io/optimization-2/, for any batch, broadcast and transpose.

    >>> import numpy as np, xgrad as xg
    >>> dx, dy = xg.deriv(np.array([1.0, 1.0]), np.array([2.0, 3.0]), np.array([10.0]), "*")
    >>> dx, dy
    (array([10., 10.]), array([5.]))
    """
    entry = find_op(op)
    if dz is None or x is None:
        raise TypeError(
            f"deriv of {entry.name!r} needs arrays or numbers as dz and x, not None; only y may be None, "
            f"for an op of one operand"
        )
    operands = _operands(entry, x, y)
    params = _parameters(entry, op, params)
    if "key" in params:
        params["key"], arrays = _index(params["key"])
        operands += arrays
    xp, (dz, z, *operands) = _same_kind(entry, [dz, z, *operands])
    try:
        several = type(dz) is tuple
        if z is None and (entry.uses_z or (not several and dz.shape == () and not entry.elementwise)):
            z = entry.forward(xp, *operands, **params)
        if not several:
            one = dz if z is None or isinstance(z, tuple) else z
            dz = _spread(xp, dz, operands if entry.elementwise else [one])
        rules = entry.rules * len(operands) if entry.variadic else entry.rules
        dtype = next(part.dtype for part in dz if part is not None) if several else dz.dtype
        targets = [
            None if rule is None else ShapeDtype(v.shape, v.dtype if is_floating(v.dtype) else dtype)
            for v, rule in zip(operands, rules)
        ]
        vjp = conjugate_vjp if not several and is_complex(dtype) else Op.vjp
        found = vjp(entry, Given(xp, dz, entry.save(z, operands)), targets, params)
    except (ValueError, IndexError) as error:
        shapes = ", ".join(str(v.shape) for v in operands)
        raise ShapeError(
            f"deriv of {op!r}: dz of shape {getattr(dz, 'shape', '?')} does not fit operands of "
            f"shapes {shapes}: {error}"
        ) from error
    found = [None if g is None else _separate(xp, entry, dz, g) for g in found]
    return tuple(found) + (None,) * (len(operands) - len(found))


def _separate(xp: Any, op: Op, dz: Any, g: Any) -> Any:
    """A gradient that callers may add to in place, as nothing else shares it."""
    if hasattr(dz, "xp"):
        return g._alias()
    return xp.asarray(g, copy=True) if g is dz or not op.elementwise else g


def _index(key: Any) -> tuple[Any, list[Any]]:
    """Split an index into a pattern and its arrays, which are operands."""
    pattern, arrays = split(
        key if type(key) is tuple else (key,), lambda k: hasattr(k, "xp") or device_of(k) is not None
    )
    return (pattern if arrays else key), arrays


def _operands(op: Op, x: Any, y: Any) -> list[Any]:
    if op.variadic:
        return list(x) if y is None and isinstance(x, tuple | list) else [v for v in (x, y) if v is not None]
    operands = [x] if y is None else [x, y]
    if len(operands) != op.arity:
        two = {
            "max": "; for the larger of two operands use 'maximum'",
            "min": "; for the smaller of two operands use 'minimum'",
            "neg": "; a difference is '-'",
        }
        hint = two.get(op.name, "") if len(operands) == 2 else ""
        raise TypeError(
            f"{op.name!r} takes {op.arity} operand{'s' * (op.arity != 1)}, got {len(operands)}{hint}"
        )
    return operands


def _same_kind(op: Op, values: list[Any]) -> tuple[Any, list[Any]]:
    """The namespace, and `dz`, `z` and the operands: as Tensors if one is, else as arrays of one device."""
    values = [
        tuple(v) if isinstance(v, tuple) and any(part is None or hasattr(part, "shape") for part in v) else v
        for v in values
    ]
    leaves = [part for v in values for part in (v if type(v) is tuple else (v,)) if part is not None]
    devices = {
        d: None for d in (v.device if hasattr(v, "xp") else device_of(v) for v in leaves) if d is not None
    }
    if len(devices) > 1:
        raise DeviceError(f"deriv of {op.name!r} got arrays on {' and '.join(map(str, devices))}")
    device = next(iter(devices), None) or current_device()
    tensor = next((v for v in leaves if hasattr(v, "xp")), None)
    xp = device.xp if tensor is None else tensor.xp

    def array(v: Any) -> Any:
        if v is None or type(v) is tuple:
            return v if v is None else tuple(map(array, v))
        if tensor is not None:
            return xp.asarray(v, device=device)
        if device_of(v) is None and not isinstance(v, int | float | complex | list):
            raise TypeError(f"deriv of {op.name!r} takes arrays, Tensors and numbers, not {no_array(v)}")
        return device.backend.checked(v if device_of(v) else xp.asarray(v, device=device.handle))

    def floating(v: Any) -> Any:
        if v is None or type(v) is tuple:
            return v if v is None else tuple(map(floating, v))
        return v if is_floating(v.dtype) else xp.astype(v, "float64")

    dz, z, *operands = map(array, values)
    if tensor is None and not device.promotes and op.promotion:
        operands = promote(device, op.promotion, operands)
    return xp, [floating(dz), z, *operands]


def _spread(xp: Namespace, dz: Any, operands: list[Any]) -> Any:
    """Broadcast `dz` to the shape of the output, which is that of `operands` broadcast together."""
    shape = xp.broadcast_arrays(*operands)[0].shape
    if dz.shape not in ((), shape):
        raise ShapeError(f"the output has shape {shape}")
    return dz if dz.shape == shape else xp.broadcast_to(dz, shape)
