"""Abstract evaluation: an op's output shape and dtype from those of its operands, without computing it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ..backends import find_device
from ..backends.dtypes import canonical
from ..core.context import mode
from ..core.recording import source_line
from ..core.rules import ShapeDtype
from ..errors import ShapeError, TraceError
from ..ops import Op
from ..ops.shaping import RESHAPE, broadcast_shapes
from .keys import exact

#: Results by key. The whole cache is cleared when it grows too large, so that a lookup costs no more than a
#: dictionary's.
_FORMS: dict[Any, Any] = {}
_DTYPES: dict[Any, Any] = {}
KEPT = 4096


def form_of(op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    """Return the ShapeDtype of the output, or a tuple of them.

    Operands have a shape and a dtype, or are numbers.
    """
    if op.kernel.forms is not None:
        return tuple(ShapeDtype(shape, canonical(dtype)) for shape, dtype in op.kernel.forms(params))
    key = (
        op,
        tuple([exact(v) if isinstance(v, int | float | complex) else (v.shape, v.dtype) for v in operands]),
        exact(params) if params else None,
    )
    found = _FORMS.get(key)
    if found is None:
        forms = [
            v if isinstance(v, int | float | complex) else ShapeDtype(v.shape, canonical(v.dtype))
            for v in operands
        ]
        found = _keep(_FORMS, key, _found(op, forms, params))
    return found


def _keep(found: dict[Any, Any], key: Any, value: Any) -> Any:
    if len(found) >= KEPT:
        found.clear()
    found[key] = value
    return value


def _found(op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    if op.kernel.pointwise:
        return ShapeDtype(
            broadcast_shapes(*(getattr(v, "shape", ()) for v in operands)), _dtype(op, operands, params)
        )
    if op.name == "getitem" and any(canonical(v.dtype).kind == "b" for v in operands[1:]):
        raise TraceError(
            f"{source_line()}: the number of elements that a mask selects depends on its values, which "
            f"are unknown during tracing; use xg.where"
        )
    if op.name == "@":
        return ShapeDtype(_product(operands[0].shape, operands[1].shape), _dtype(op, operands, {}))
    if op is RESHAPE:
        return ShapeDtype(_reshaped(operands[0], params["shape"]), canonical(operands[0].dtype))
    return _form(_run(op, operands, params))


def _kind(v: Any) -> Any:
    """Return a value's dtype; for a weak number, its type."""
    return type(v) if isinstance(v, int | float | complex) else canonical(v.dtype)


def _dtype(op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    """Return the dtype of the result for operands of these dtypes."""
    kinds = tuple(map(_kind, operands))
    key = (op, kinds, exact(params))
    found = _DTYPES.get(key)
    if found is None:
        xp = find_device("cpu").xp
        rank = 2 if op.name == "@" else 0
        ones = [kind(1) if isinstance(kind, type) else xp.ones((1,) * rank, dtype=kind) for kind in kinds]
        with xp.errstate(all="ignore"):  # the value does not matter
            found = _keep(_DTYPES, key, op.forward(xp, *ones, **params).dtype)
    return found


def _product(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    rows, columns = x[:-1][-1:], y[-1:] if len(y) > 1 else ()
    if not x or not y or x[-1] != y[-2:][0]:
        raise ShapeError(f"shapes {x} and {y} have no matrix product")
    return (*broadcast_shapes(x[:-2], y[:-2]), *rows, *columns)


def _reshaped(x: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    size, known = prod(x.shape), prod(n for n in shape if n != -1)
    if -1 in shape and known:
        shape = tuple(size // known if n == -1 else n for n in shape)
    if prod(shape) != size:
        raise ShapeError(f"an array of shape {x.shape} cannot be reshaped to {shape}")
    return tuple(shape)


def _run(op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    """Run the op on zeros that take the memory of one element."""
    xp = find_device("cpu").xp
    regular = op.function.startswith("linalg.")  # may reject singular matrices: give it the identity
    arrays = [
        v if isinstance(v, int | float | complex) else xp.broadcast_to(_least(xp, v, regular), v.shape)
        for v in operands
    ]
    with mode(grad=False, record=False, trace=None), xp.errstate(all="ignore"):  # the values do not matter
        return op.forward(xp, *arrays, **params)


def _least(xp: Any, v: Any, regular: bool) -> Any:
    """Return a zero array, or an identity matrix."""
    return (
        xp.eye(*v.shape[-2:], dtype=canonical(v.dtype))
        if regular and len(v.shape) > 1
        else xp.zeros((), dtype=canonical(v.dtype))
    )


def _form(z: Any) -> Any:
    return tuple(map(_form, z)) if isinstance(z, tuple) else ShapeDtype(z.shape, canonical(z.dtype))
