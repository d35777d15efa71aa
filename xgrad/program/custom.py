"""A gate of the user's own inside a program: what it does, as a program, and its derivative as it was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..applying import NUMBERS
from ..backends import Array, current_device, device_of
from ..backends.dtypes import is_complex
from ..derivatives import Form, gradients
from ..graphs import NOTHING
from ..ops import Op
from ..ops.programs import CUSTOM
from .interpreting import interpret
from .stages import Program


def run_program(program: Program, x: Sequence[Array]) -> tuple[Array, ...]:
    """The outputs of a program on arrays, on their device."""
    return tuple(interpret(program, next((d for d in map(device_of, x) if d is not None), None) or current_device(), x))


def _forward(xp: Any, *x: Array, program: Program, entry: Op, options: tuple[tuple[str, Any], ...], count: int) -> tuple[Array, ...]:
    return run_program(program, [v for v in x if type(v) not in NUMBERS])


def _saved(entry: Op, z: tuple[Any, ...], x: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """What the gate's own rules ask for."""
    save = entry.saves[3]
    return NOTHING if save is None else save((None, z[0] if len(z) == 1 else z, *x))


def _dx(
    xp: Any, dz: list[Any], z: tuple[Any, ...], x: tuple[Any, ...], needs: Sequence[Any],
    *, program: Program, entry: Op, options: tuple[tuple[str, Any], ...], count: int,
) -> tuple[Any, ...]:  # fmt: skip
    """The gate's own rules, for its operands; what its function uses besides has no gradient."""
    targets = [Form(v.shape, v.dtype) if needs[i] is not None else None for i, v in enumerate(x[:count])]
    one = len(z) == 1
    place = [xp, dz[0] if one else dz, *_saved(entry, z, x[:count]), None]
    found = gradients(entry, place, dict(options), targets, one and is_complex(z[0].dtype))
    return (*found, *(None,) * (len(x) - len(found)))


def _jvp(
    xp: Any, t: tuple[Any, ...], z: tuple[Any, ...], x: tuple[Any, ...], needs: Sequence[bool],
    *, program: Program, entry: Op, options: tuple[tuple[str, Any], ...], count: int,
) -> Any:  # fmt: skip
    if entry.jvp is None:
        return NotImplemented
    rule, pick = entry.jvp
    found = rule(*pick([xp, t[:count], *_saved(entry, z, x[:count]), needs]), **dict(options))
    return found if isinstance(found, tuple) else (found,)


CUSTOM.implement(_forward, dx=_dx, jvp=_jvp)
