"""Text of Tensors."""

from __future__ import annotations

from ..core.tensor import Tensor

#: The dtypes that NumPy's literals have, which are not written.
_DEFAULT = ("float64", "int64", "bool", "complex128")


def show(x: Tensor) -> str:
    """Text of `repr`: the values; dtype, device and gradient where they are not the default.

    The shape is written where the values do not show it. In a traced function there are no values.
    """
    if hasattr(x.data, "tracer"):
        parts = ["traced", f"shape={x.shape}", f"dtype={x.data.dtype}"]
    else:
        parts = [x.device.backend.show(x.data, prefix="tensor(")]
        if "..." in parts[0] or (x.size == 0 and x.ndim > 1):
            parts.append(f"shape={x.shape}")
        if x.dtype.name not in _DEFAULT:
            parts.append(f"dtype={x.dtype}")
    if x.device.name != "cpu":
        parts.append(f"device={str(x.device)!r}")
    if x.name:
        parts.append(f"name={x.name!r}")
    if x.requires_grad:
        parts.append("requires_grad=True")
    return f"tensor({', '.join(parts)})"
