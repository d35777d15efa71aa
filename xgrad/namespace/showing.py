"""Text of Tensors."""

from __future__ import annotations

from ..core.tensor import Tensor


def show(x: Tensor) -> str:
    """Text of `repr`: the values, and dtype, device and gradient where they are not the default."""
    parts = [x.device.backend.show(x.data, prefix="tensor(")]
    if x.dtype.name not in ("float64", "int64", "bool", "complex128"):
        parts.append(f"dtype={x.dtype}")
    if x.device.name != "cpu":
        parts.append(f"device={str(x.device)!r}")
    if x.name:
        parts.append(f"name={x.name!r}")
    if x.requires_grad:
        parts.append("requires_grad=True")
    return f"tensor({', '.join(parts)})"
