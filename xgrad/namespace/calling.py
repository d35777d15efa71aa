"""Functions on Tensors made from ops."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..backends import device_of
from ..core.context import MODE
from ..core.dispatch import NO_PARAMS, apply
from ..core.tensor import Tensor
from ..errors import TraceError, no_array
from ..ops import Op
from .conversion import asarray


def function_of(op: Op, module: str) -> Callable[..., Any]:
    """Make a function from an op of the table.

    It takes operands by position and parameters by keyword, and is pickled by its name in `module`.
    """
    made: Any
    if op.parameters or op.variadic:
        made = _of_any_form(op)
    elif op.arity == 1:
        made = lambda x, /: call(op, (x,))
        made.__annotations__ = {"x": "ArrayLike", "return": "Tensor"}
    else:
        made = lambda x, y, /: call(op, (x, y))
        made.__annotations__ = {"x": "ArrayLike", "y": "ArrayLike", "return": "Tensor"}
    made.__name__ = made.__qualname__ = op.function.rpartition(".")[2]
    made.__module__, made.__doc__ = module, op.listing.doc
    return made  # type: ignore[no-any-return]


def _of_any_form(op: Op) -> Any:
    parameters = list(inspect.signature(op.forward).parameters.values())[1:]
    signature = inspect.Signature(list(map(_annotated, parameters)), return_annotation="Tensor")
    arity = len(parameters) - len(op.parameters)

    def made(*operands: Any, **params: Any) -> Any:
        if len(operands) != arity or not params.keys() <= op.defaults.keys():
            signature.bind(*operands, **params)  # raises an error that says what is wrong
        return call(op, operands, {**op.defaults, **params})

    made.__signature__ = signature  # type: ignore[attr-defined]
    return made


def _annotated(p: inspect.Parameter) -> inspect.Parameter:
    """A parameter of an op's forward rule with a type annotation, inferred from its default."""
    if p.kind is not p.KEYWORD_ONLY:
        return p.replace(kind=p.POSITIONAL_ONLY, annotation="ArrayLike")
    if p.annotation is not p.empty:
        return p
    of_none = "Axis" if p.name == "axis" else "int | None"
    return p.replace(annotation=of_none if p.default is None else type(p.default).__name__)


def with_values(x: Tensor, function: str) -> Tensor:
    """Return `x` if its values are known.

    Raises TraceError in a trace, as the shape of the result of `function` depends on the values.
    """
    if MODE.get().trace is not None:
        raise TraceError(
            f"{function} cannot be traced: the length of its result depends on values, which a trace does "
            f"not have; call it outside the traced function, or use xg.where"
        )
    return x


def call(op: Op, operands: tuple[Any, ...], params: dict[str, Any] = NO_PARAMS) -> Tensor:
    """As `apply`, but if no operand is a Tensor, they go to the current device."""
    if not isinstance(operands[0], Tensor) and not any(isinstance(v, Tensor) for v in operands):
        for v in operands:
            if not isinstance(v, int | float | complex) and device_of(v) is None:
                raise TypeError(f"{op.function} takes Tensors, arrays and numbers, not {no_array(v)}")
        operands = tuple(map(asarray, operands))
    z = apply(op, operands, params)
    if z is NotImplemented:
        foreign = next(
            v for v in operands if not isinstance(v, Tensor | int | float | complex) and device_of(v) is None
        )
        raise TypeError(f"{op.function} takes Tensors, arrays and numbers, not {no_array(foreign)}")
    return z
