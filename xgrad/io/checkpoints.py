"""Named Tensors in one safetensors file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..backends import Device
from ..backends.dtypes import bfloat16
from ..namespace import asarray
from ..tensors import Tensor


def save(path: str | Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write Tensors by name, and a few words beside them, to a safetensors file.

    The file appears whole or not at all: it is written beside its place and then moved there.

    >>> import xgrad as xg, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "weights.safetensors")
    >>> xg.io.save(path, {"w": xg.ones(2)}, {"step": "7"})
    >>> xg.io.load(path)
    ({'w': tensor([1., 1.])}, {'step': '7'})
    """
    from safetensors.numpy import save as to_bytes

    path = Path(path)
    arrays = {name: _contiguous(asarray(value)) for name, value in tensors.items()}
    content = to_bytes(arrays, metadata=dict(metadata or {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(beside, 0o666 & ~umask)  # a temporary file is its owner's alone; this one is like any other
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def load(path: str | Path, *, device: str | Device | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """`(tensors, metadata)` as `save` wrote them. Raises FileNotFoundError, and ValueError for a file that is cut short or of another kind.

    bfloat16 needs ml_dtypes: ImportError without it.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            if any(file.get_slice(name).get_dtype() == "BF16" for name in file.keys()):  # noqa: SIM118 - no mapping
                bfloat16()  # which NumPy knows from here on
            tensors = {name: asarray(file.get_tensor(name), device=device) for name in file.keys()}  # noqa: SIM118 - no mapping
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no whole safetensors file: {error}") from error


def _contiguous(x: Tensor) -> Any:
    """The value on the host, row by row in memory, which is what the format stores."""
    return x.device.backend.to_host(x.data).copy(order="C")
