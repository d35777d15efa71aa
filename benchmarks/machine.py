"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info


def describe() -> str:
    """Processor, BLAS and its core type, and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    np.ones((2, 2)) @ np.ones((2, 2))
    blas = next((b for b in threadpool_info() if b["user_api"] == "blas"), {})
    core = f"{blas.get('internal_api', '?')} {blas.get('version', '?')}, core type {blas.get('architecture', '?')}, {blas.get('num_threads', '?')} threads"
    versions = ", ".join(f"{name} {_version(name)}" for name in ("xgrad", "numpy", "torch", "jax", "autograd", "mygrad"))
    return f"{datetime.now(UTC):%Y-%m-%d}; {model}, {os.cpu_count()} cores; {core}\nPython {platform.python_version()}; {versions}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
