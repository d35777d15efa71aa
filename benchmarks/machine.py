"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np


def describe() -> str:
    """Processor, BLAS and its core type, how busy others keep the machine, and versions."""
    from threadpoolctl import threadpool_info

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    np.ones((2, 2)) @ np.ones((2, 2))
    blas: dict[str, Any] = next((b for b in threadpool_info() if b["user_api"] == "blas"), {})
    name, number, core, threads = (
        blas.get(key, "?") for key in ("internal_api", "version", "architecture", "num_threads")
    )
    versions = ", ".join(
        f"{name} {_version(name)}"
        for name in ("xgrad", "numpy", "torch", "jax", "autograd", "mygrad", "numba")
    )
    machine = (
        f"{model}, {os.cpu_count()} cores; {name} {number}, core type {core}, {threads} threads; load "
        f"{os.getloadavg()[0]:.1f}"
    )
    return f"{datetime.now(UTC):%Y-%m-%d}; {machine}\nPython {platform.python_version()}; {versions}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
