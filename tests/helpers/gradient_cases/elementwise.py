"""Elementwise functions, and those of them whose gradients are tested."""

from __future__ import annotations

from xgrad.ops import OPS

GATES = {op.function: op for op in OPS.values() if op.elementwise and op.listing.doc}

SMOOTH = sorted(
    name
    for name, op in GATES.items()
    if op.differentiable and name not in ("conj", "real", "imag", "positive")
)
