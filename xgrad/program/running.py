"""Which executor runs what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backends import Array, current_device, device_of
from .interpreting import interpret_scan
from .stages import Body


def run_scan(body: Body, length: int, reverse: bool, operands: Sequence[Any]) -> tuple[Array, ...]:
    """A scan on arrays and numbers."""
    device = next((d for d in map(device_of, operands) if d is not None), None) or current_device()
    return interpret_scan(device, body, length, reverse, operands)
