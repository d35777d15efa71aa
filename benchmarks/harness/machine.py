"""Description of the machine: date, processor or GPU, and versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from .. import ROOT

#: Name used if there is no GPU.
NO_GPU = "no GPU"

#: Packages whose versions are recorded; for alternatives, the first that is installed.
Packages = Mapping[str, tuple[str, ...]]
PEERS: Packages = {
    "NumPy": ("numpy",),
    "torch": ("torch",),
    "JAX": ("jax",),
    "autograd": ("autograd",),
    "MyGrad": ("mygrad",),
    "numba": ("numba",),
}
GPU_PEERS: Packages = {
    "CUDA": ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12"),
    "CuPy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "NumPy": ("numpy",),
    "torch": ("torch",),
    "JAX": ("jax",),
    "cuDNN": ("nvidia-cudnn-cu13", "nvidia-cudnn-cu12"),
    "cuBLAS": ("nvidia-cublas", "nvidia-cublas-cu12"),
}


def cpu() -> dict[str, str]:
    """The processor, BLAS and its core type, the load of the machine, and versions."""
    return {
        "date": _today(),
        "host": _host(),
        "BLAS": _blas(),
        "load": f"{os.getloadavg()[0]:.1f}",
        **_versions(PEERS),
    }


def gpu(device: str) -> dict[str, str]:
    """The GPU, its driver, and versions of installed packages, without importing them."""
    name, driver, supports = _gpu() if device.startswith("cuda") else (f"none, {device}", "none", "none")
    return {
        "date": _today(),
        "GPU": name,
        "device": device,
        "driver": driver,
        "driver's CUDA": supports,
        "host": _host(),
        **_versions(GPU_PEERS),
    }


def describe(machine: dict[str, str]) -> str:
    """Describe a machine in one line."""
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _host() -> str:
    """Name and number of cores of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()} ({os.cpu_count()} cores)"


def _blas() -> str:
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    blas: dict[str, Any] = next((b for b in threadpool_info() if b["user_api"] == "blas"), {})
    keys = ("internal_api", "version", "architecture", "num_threads")
    name, number, core, threads = (blas.get(key, "?") for key in keys)
    return f"{name} {number} (core type {core}, {threads} threads)"


def _gpu() -> tuple[str, str, str]:
    """Name of the GPU, its driver, and the CUDA version that the driver supports."""
    name = _said("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").partition("\n")[0]
    supports = re.search(r"CUDA Version: *([\d.]+)", _said("nvidia-smi"))
    gpu, _, driver = name.partition(",")
    return gpu.strip() or NO_GPU, driver.strip() or "unknown", supports[1] if supports else "unknown"


def _versions(packages: Packages) -> dict[str, str]:
    found = {name: _version(*names) for name, names in packages.items()}
    return {**found, "Python": platform.python_version(), "xgrad": _commit()}


def _version(*packages: str) -> str:
    for package in packages:
        with suppress(PackageNotFoundError):
            return version(package)
    return "absent"


def _commit() -> str:
    """The current commit, with a + if the working tree differs from it."""
    changed = _said("git", "-C", str(ROOT), "status", "--porcelain", "--", "xgrad", "backends")
    commit = _said("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD").strip()
    return f"{commit}{'+' if changed.strip() else ''}" if commit else "unknown"


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
