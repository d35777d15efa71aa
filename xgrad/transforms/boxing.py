"""Run functions of Tensors on arrays, as ops do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backends import current_device, device_of
from ..core.context import mode
from ..core.dispatch import NUMBERS
from ..core.tensor import Tensor
from ..errors import GraphError
from ..namespace import asarray

Function = Callable[..., Any]


def boxed(array: Any) -> Any:
    """Wrap an array as a Tensor on its device; return numbers and Tensors unchanged."""
    if isinstance(array, Tensor) or type(array) in NUMBERS:
        return array
    return Tensor(array, device_of(array) or current_device())


def on_arrays(f: Function, operands: Sequence[Any]) -> Any:
    """Run `f`, a function of Tensors that returns a Tensor or a tuple of them, on arrays."""
    if any(isinstance(v, Tensor) for v in operands):
        return f(*operands)
    with mode(grad=False, record=False):
        z = f(*map(boxed, operands))
    for part in z if isinstance(z, tuple) else (z,):
        if not isinstance(part, Tensor) and type(part) not in NUMBERS and device_of(part) is None:
            raise TypeError(
                f"{getattr(f, '__qualname__', f)!r} must return an array, or a tuple of arrays, but "
                f"returned {type(part).__name__}"
            )
    return tuple(asarray(part).data for part in z) if isinstance(z, tuple) else asarray(z).data


def as_gradient(g: Any, who: str) -> Any:
    """Convert a gradient that a user's rule returned to a Tensor. Raises TypeError for other types."""
    if g is None or isinstance(g, Tensor):
        return g
    if type(g) not in NUMBERS and device_of(g) is None:
        raise TypeError(
            f"{who} returned {type(g).__name__} as a gradient, which must be an array shaped like its "
            f"operand, or None for no gradient"
        )
    return asarray(g)


def refuse_closure(f: Any) -> None:
    """Raise GraphError if a gate uses a Tensor that needs a gradient but is not an operand."""
    if not hasattr(f, "__code__"):
        return
    closed_over = (cell.cell_contents for cell in f.__closure__ or ())
    for value in (*closed_over, *map(f.__globals__.get, f.__code__.co_names)):
        if isinstance(value, Tensor) and value.requires_grad:
            raise GraphError(
                f"the gate {f.__name__!r} uses a Tensor of shape {value.shape} that needs a gradient but "
                f"is not an operand; pass it as an operand"
            )
