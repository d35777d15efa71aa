"""Custom gates inside a program: the forward function as a program, with the user's derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backends import Array, current_device, device_of
from ..backends.dtypes import is_complex
from ..core.dispatch import NUMBERS
from ..core.rules import ShapeDtype, conjugate_vjp
from ..ops import Op
from ..ops.programs import CUSTOM
from ..ops.rules import Given
from .interpreter import interpret
from .ir import Program


def run_program(program: Program, x: Sequence[Array]) -> tuple[Array, ...]:
    """Run a program on arrays, on their device."""
    return tuple(
        interpret(program, next((d for d in map(device_of, x) if d is not None), None) or current_device(), x)
    )


def _forward(
    xp: Any, *x: Array, program: Program, entry: Op, options: tuple[tuple[str, Any], ...], count: int
) -> tuple[Array, ...]:
    return run_program(program, [v for v in x if type(v) not in NUMBERS])


def _dx(
    xp: Any,
    dz: list[Any],
    z: tuple[Any, ...],
    x: tuple[Any, ...],
    needs: Sequence[Any],
    *,
    program: Program,
    entry: Op,
    options: tuple[tuple[str, Any], ...],
    count: int,
) -> tuple[Any, ...]:
    """Apply the gate's own rules to its operands. Values that its function captures get no gradient."""
    targets = [
        ShapeDtype(v.shape, v.dtype) if needs[i] is not None else None for i, v in enumerate(x[:count])
    ]
    one = len(z) == 1
    given = Given(xp, dz[0] if one else dz, entry.save(z[0] if one else z, x[:count]))
    vjp = conjugate_vjp if one and is_complex(z[0].dtype) else Op.vjp
    found = vjp(entry, given, targets, dict(options))
    return (*found, *(None,) * (len(x) - len(found)))


def _jvp(
    xp: Any,
    t: tuple[Any, ...],
    z: tuple[Any, ...],
    x: tuple[Any, ...],
    needs: Sequence[bool],
    *,
    program: Program,
    entry: Op,
    options: tuple[tuple[str, Any], ...],
    count: int,
) -> Any:
    if entry.tangent is None:
        return NotImplemented
    given = Given(xp, saved=entry.save(z[0] if len(z) == 1 else z, x[:count]))
    given.needs = needs
    found = entry.jvp(given, t[:count], dict(options))
    return found if isinstance(found, tuple) else (found,)


CUSTOM.implement(
    _forward, dx=_dx, jvp=_jvp, forms=lambda params: [(v.shape, v.dtype) for v in params["program"].outputs]
)
