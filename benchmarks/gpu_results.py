"""Results in files: one for a day, a GPU and a part, written anew after every case, so that a run that is cut
off loses nothing."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"

#: The name of a GPU that is not there.
NO_GPU = "no GPU"

#: Packages whose versions are written down: the first name that is installed counts.
PACKAGES = {
    "CUDA": ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12"),
    "CuPy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "NumPy": ("numpy",),
    "torch": ("torch",),
    "JAX": ("jax",),
    "cuDNN": ("nvidia-cudnn-cu13", "nvidia-cudnn-cu12"),
    "cuBLAS": ("nvidia-cublas", "nvidia-cublas-cu12"),
}


class Results:
    """What one part found: `machine`, and by name whatever was recorded.

    Where a file of this day is there, it is gone on with.
    """

    def __init__(
        self,
        folder: Path,
        part: str,
        machine: dict[str, str],
        page: Callable[[dict[str, Any]], str],
        force: bool = False,
    ) -> None:
        name = f"{machine['date']}-{re.sub('[^a-z0-9]+', '-', machine['GPU'].lower()).strip('-')}-{part}"
        self.path, self._page = folder / f"{name}.json", page
        self._commit = machine["xgrad"]
        self.data: dict[str, Any] = {"part": part, "machine": machine, "finished": False, "records": {}}
        if self.path.exists() and not force:
            self.data = json.loads(self.path.read_text())

    @property
    def records(self) -> dict[str, Any]:
        """By name."""
        found: dict[str, Any] = self.data["records"]
        return found

    def record(self, name: str, value: Any) -> None:
        """Keep it, and write the file and its page.

        Where the commit is another than before, both are named.
        """
        commits = self.data["machine"]["xgrad"].split(", ")
        if self._commit not in commits:
            self.data["machine"]["xgrad"] = ", ".join([*commits, self._commit])
        self.records[name] = value
        self.write()

    def finish(self) -> None:
        """Say that nothing is missing."""
        self.data["finished"] = True
        self.write()

    def write(self) -> None:
        """Both files, each whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for path, text in (
            (self.path, json.dumps(self.data, indent=1)),
            (self.path.with_suffix(".md"), self._page(self.data)),
        ):
            beside = path.with_name(f".{path.name}")
            beside.write_text(text + "\n")
            beside.replace(path)


def machine(device: str) -> dict[str, str]:
    """The day, the GPU, and versions, of packages as they are installed: nothing is imported, and what is not
    there is absent."""
    gpu, driver, supports = _gpu() if device.startswith("cuda") else (f"none, {device}", "none", "none")
    versions = {name: _version(*packages) for name, packages in PACKAGES.items()}
    found = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "GPU": gpu,
        "device": device,
        "driver": driver,
        "driver's CUDA": supports,
    }
    return {
        **found,
        **versions,
        "Python": platform.python_version(),
        "host": f"{os.cpu_count()} cores",
        "xgrad": _commit(),
    }


def _gpu() -> tuple[str, str, str]:
    name = _said("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").partition("\n")[0]
    supports = re.search(r"CUDA Version: *([\d.]+)", _said("nvidia-smi"))
    gpu, _, driver = name.partition(",")
    return gpu.strip() or NO_GPU, driver.strip() or "unknown", supports[1] if supports else "unknown"


def _commit() -> str:
    """The commit that is measured, with a + where files differ from it."""
    root = str(FOLDER.parent.parent)
    changed = _said("git", "-C", root, "status", "--porcelain", "--", "xgrad", "backends")
    commit = _said("git", "-C", root, "rev-parse", "--short", "HEAD").strip()
    return f"{commit}{'+' if changed.strip() else ''}" if commit else "unknown"


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _version(*packages: str) -> str:
    for package in packages:
        with suppress(PackageNotFoundError):
            return version(package)
    return "absent"
