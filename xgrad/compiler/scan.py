"""`scan` as one gate: a repeated body, whose derivative is another body, repeated backward in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..backends import Device
from ..core.context import MODE
from ..core.dispatch import apply
from ..core.tensor import Tensor
from ..namespace.creation import new
from ..ops import OPS
from ..ops.programs import SCAN
from .ir import Body, Operand, Program, Stage, Value
from .lengths import run_scan
from .linearise import Derivative, Linear, given_name
from .variables import Var

#: A scan of Tensors or of arrays: operands, and parameters by keyword.
Scan = Callable[..., tuple[Any, ...]]


def apply_scan(operands: Sequence[Any], *, body: Body, length: int, reverse: bool) -> tuple[Any, ...]:
    """Apply a scan to Tensors, and record it if a gradient is needed.

    Numbers among the operands stand for arrays filled with them.
    """
    wanted = tuple([isinstance(v, Tensor) and v.requires_grad for v in operands])
    visible = len(body.program.outputs)
    derivative = derivative_of(body, wanted) if MODE.get().grad and any(wanted) else None
    params = {
        "body": derivative.forward if derivative else body,
        "length": length,
        "reverse": reverse,
        "derivative": derivative,
    }
    z: Any = apply(SCAN, tuple(operands), params)
    return z[:visible]  # type: ignore[no-any-return]


def derivative_of(body: Body, wanted: tuple[bool, ...], given: tuple[bool, ...] | None = None) -> Derivative:
    """Return how to differentiate a scan of `body` with respect to the operands that are `wanted`.

    The forward loop keeps the residuals for gradients of all outputs, or of those that are `given`.
    """
    found: Derivative = body.once(
        ("derivative", wanted, given), lambda: Derivative(body, wanted, given, replay)
    )
    return found


def replay(program: Program, inputs: Sequence[Tensor]) -> list[Any]:
    """Run a program on Tensors, op by op through the engine, to trace or differentiate it."""
    values: dict[Operand, Any] = dict(zip(program.inputs, inputs, strict=True))
    tracer = MODE.get().trace
    for stage in program.stages:
        assert isinstance(stage, Stage)
        if tracer is not None:
            tracer.source = stage.source
        z = _applied(stage, [values[v] if type(v) is Value else v for v in stage.operands], inputs[0].device)
        for v, part in zip(stage.outputs, z if isinstance(z, tuple) else (z,), strict=True):
            values[v] = part
            if type(part.data) is Var and part.data.name is None:
                part.data.name = given_name(v)
    if tracer is not None:
        tracer.source = ""
    return [values[v] if type(v) is Value else Tensor.xp.asarray(v) for v in program.outputs]


def _applied(stage: Stage, operands: list[Any], device: Device) -> Any:
    if stage.op == "scan":
        return apply_scan(operands, **stage.params)
    if not operands:
        return new(
            stage.params["function"],
            *stage.params["args"],
            dtype=stage.params["dtype"],
            device=device,
            **stage.params["options"],
        )
    return apply(OPS[stage.op], tuple(operands), dict(stage.params))


# The op: its forward, its reverse rule and its forward-mode rule


def _forward(
    xp: Any, *operands: Any, body: Body, length: int, reverse: bool, derivative: Any = None
) -> tuple[Any, ...]:
    return run_scan(body, length, reverse, operands)


def _dx(
    xp: Any,
    dz: list[Any],
    z: tuple[Any, ...],
    x: tuple[Any, ...],
    *,
    body: Body,
    length: int,
    reverse: bool,
    derivative: Derivative,
) -> tuple[Any, ...]:
    """Run the derivative of the body, from the last step to the first."""
    scan = _scanner((*dz, *x))
    if any(d is not None for d in dz[derivative.visible :]):
        derivative, z = _of_everything(derivative, body, z, partial(scan, x, length=length, reverse=reverse))
        dz = [*dz, *[None] * (len(z) - len(dz))]
    given = tuple(d is not None for d in dz[: derivative.visible])
    back = derivative.back(given)
    if back is None:  # a rule reads other values when some outputs have no gradient
        derivative = derivative_of(derivative.origin, derivative.wanted, given)
        back, z = derivative.back(given), scan(x, body=derivative.forward, length=length, reverse=reverse)
    assert back is not None
    return _run(partial(scan, length=length, reverse=not reverse), back, {"dz": dz, "z": z, "x": x}, len(x))


def _jvp(
    xp: Any,
    t: tuple[Any, ...],
    z: tuple[Any, ...],
    x: tuple[Any, ...],
    needs: Sequence[bool],
    *,
    body: Body,
    length: int,
    reverse: bool,
    derivative: Derivative,
) -> tuple[Any, ...]:
    """Run the linearised body on the residuals, from the first step to the last."""
    scan = partial(_scanner((*t, *x)), length=length, reverse=reverse)
    if any(needs[derivative.visible :]):
        derivative, z = _of_everything(derivative, body, z, partial(scan, x))
    along = derivative.along(tuple(v is not None for v in t))
    return _run(scan, along, {"t": t, "z": z, "x": x}, len(needs))


def _scanner(values: Sequence[Any]) -> Scan:
    """Return the scan of Tensors if any value is one, else the scan of arrays."""
    if any(isinstance(v, Tensor) for v in values):
        return apply_scan
    return lambda operands, body, length, reverse: run_scan(body, length, reverse, operands)


def _of_everything(derivative: Derivative, body: Body, z: Any, scan: Scan) -> tuple[Derivative, Any]:
    """Return the derivative for when the residuals are differentiated too, with what it reads."""
    derivative = derivative_of(body, derivative.wanted)
    complete = len(derivative.forward.program.outputs) == len(z)
    return derivative, z if complete else scan(body=derivative.forward)


def _run(scan: Scan, loop: Linear, source: dict[str, Any], count: int) -> tuple[Any, ...]:
    """Run a loop of the derivative.

    Returns the gradient of each of `count` operands, or the tangent of each output.
    """
    raw = not any(isinstance(v, Tensor) for values in source.values() for v in values)
    source["number"], source["outside"] = (0.0,), [v.data if raw else v for v in loop.outside]
    found = scan([source[kind][i] for kind, i in loop.operands], body=loop.body)
    results: list[Any] = [None] * count
    for i, k in loop.results:
        results[i] = found[k]
    return tuple(results)


SCAN.implement(_forward, dx=_dx, jvp=_jvp, forms=lambda params: params["body"].forms(params["length"]))
