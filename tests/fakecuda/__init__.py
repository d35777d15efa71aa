"""Run the released CuPy without a GPU, on a stand-in for the CUDA runtime, driver, cuBLAS and NVRTC.

    fakecuda.install()   # before anything imports CuPy; FAKE_DEVICES is the number of devices

Memory is the host's. Streams run synchronously. Captured calls are recorded and repeated at each launch.
Kernels, CuPy's and ours, are compiled for the host and run thread by thread by `tests/emulated`. Everything
else is CuPy's own code.

It needs g++ and the wheels of the extra `fakecuda`; its builds are stored in the virtual environment. Not
covered: cuSOLVER, cuFFT, cuRAND, CUB, time, and the order in which memory is written. Sorting, for which
CuPy calls Thrust, is NumPy's.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from .. import emulated
from . import binding, kernels
from .kernels import Kernels, compiled

HERE = Path(__file__).parent
SOURCES = sorted([*HERE.glob("*.[ch]pp"), *(emulated.HERE / name for name in emulated.SOURCES)])
#: Number of threads whose stacks are kept for the next launch.
KEPT = 2048
#: The libraries by name: their sources, a prefix, and the status code of missing functions.
LIBRARIES = {
    "libcuda.so.1": (["runtime.cpp", "driver.cpp"], "cuda", 801),
    "libcublas.so.13": (["cublas.cpp"], "cublas", 15),
    "libnvrtc.so.13": (["nvrtc.cpp"], "nvrtc", 3),
}

EMPTY = "libcublasLt.so.13"  # never called, but NVIDIA's finder requires it before cuBLAS
_libraries: dict[str, ctypes.CDLL] = {}
#: Libraries that CuPy looks for and that the stand-in lacks.
NOT_COVERED = {"cusolver": "cuSOLVER", "cusparse": "cuSPARSE", "curand": "cuRAND", "cufft": "cuFFT"}


#: Stubs of missing functions: each returns an error status and is remembered as the last one called.
STUBS = """#define API extern "C" __attribute__((visibility("default")))
static const char* asked;
API const char* fake_asked_{prefix}() {{ const char* name = asked; asked = nullptr; return name; }}
#define STUB(name, status) API int name() {{ asked = #name; return status; }}
"""


class NotCovered(ImportError):
    """The stand-in has no such library."""


def asked_for() -> str | None:
    """Return the last missing function that was called, and reset it to None."""
    found = None
    for prefix, library in _libraries.items():
        ask = getattr(library, f"fake_asked_{prefix}")
        ask.restype = ctypes.c_char_p
        found = ask() or found
    return found.decode() if found else None


@cache
def install() -> Path:
    """Put the stand-in where CuPy looks for CUDA; return the folder with the builds."""
    assert "cupy" not in sys.modules, "CuPy was imported before"
    root = Path(sys.prefix) / "fakecuda"
    folder = prepared(root)
    ctypes.CDLL(str(folder / "libemulated.so"), mode=ctypes.RTLD_GLOBAL).emulated_for_others(
        ctypes.c_size_t(KEPT)
    )
    ctypes.CDLL(str(folder / EMPTY), mode=ctypes.RTLD_GLOBAL)
    for name, (_, prefix, _) in LIBRARIES.items():
        _libraries[prefix] = ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    global _kernels
    _kernels = Kernels(kernels.prepared(root), _libraries["nvrtc"])
    sys.meta_path.insert(0, binding.Finder(folder))
    _leave_out()
    kept = tempfile.mkdtemp()  # for this process alone
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
    os.environ |= {"CUPY_CACHE_IN_MEMORY": "1", "CUPY_ACCELERATORS": "", "XGRAD_CACHE_DIR": kept}
    from . import sorting

    sorting.install()
    return folder


def _leave_out() -> None:
    """Make NVIDIA's finder, by which CuPy loads libraries on first use, fail for uncovered libraries."""
    from cuda import pathfinder

    real = pathfinder.load_nvidia_dynamic_lib

    def load(name: str) -> Any:
        if name in NOT_COVERED:
            raise NotCovered(f"the stand-in for CUDA has no {NOT_COVERED[name]}")
        return real(name)

    pathfinder.load_nvidia_dynamic_lib = load


def prepared(root: Path) -> Path:
    """Return the folder with the libraries and the binding, building them if needed."""
    of = [
        emulated.version(),
        binding.cupy_version(),
        sys.version,
        STUBS,
        EMPTY,
        *(p.read_text() for p in SOURCES),
    ]
    folder = root / hashlib.sha256(repr(of).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with emulated.locked(folder / "ready") as there:
        if not there:
            for path in SOURCES:
                shutil.copy(path, folder)
            made = binding.compile(root / f"cupy-{binding.cupy_version()}")
            linked = {"cuda": _symbols(made, "-u"), "cublas": _wheels("cublas"), "nvrtc": _wheels("jitify")}
            for name in LIBRARIES:
                _library(folder, name, linked)
            empty = ["g++", "-shared", "-x", "c++", "/dev/null", f"-Wl,-soname,{EMPTY}", "-o", EMPTY]
            compiled(empty, folder)
            compiled(
                [
                    "g++",
                    "-std=c++17",
                    "-O2",
                    "-fPIC",
                    "-fvisibility=hidden",
                    "-w",
                    "-DEMULATED_SHARED",
                    "-shared",
                    "launch.cpp",
                    "-o",
                    "libemulated.so",
                ],
                folder,
            )
            binding.link(made, folder)
            (folder / "ready").touch()
    return folder


def _library(folder: Path, name: str, linked: dict[str, set[str]]) -> None:
    """Build one of the libraries, with stubs for functions that CuPy links and the stand-in lacks."""
    parts, prefix, status = LIBRARIES[name]
    stubs, versions = folder / f"{prefix}_missing.cpp", folder / f"{prefix}.map"
    command = ["g++", "-std=c++17", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-w"]
    command += [f"-I{binding.headers()}", f"-Wl,-soname,{name}"]
    compiled([*command, *parts, "-o", f"{name}.part"], folder)
    have = _symbols(folder / f"{name}.part", "-D", "--defined-only")
    lacking = sorted(symbol for symbol in linked[prefix] - have if symbol.startswith(prefix))
    lines = [STUBS.format(prefix=prefix), *(f"STUB({symbol}, {status})" for symbol in lacking)]
    stubs.write_text("\n".join(lines) + "\n")
    versions.write_text(f"{name} {{ global: *; }};\n")  # CuPy's modules need symbols of this version
    compiled([*command, *parts, stubs, f"-Wl,--version-script,{versions}", "-o", name], folder)


def _wheels(module: str) -> set[str]:
    """Return the symbols that a module of the wheel links."""
    places = [binding.package(name) for name in ("cupy", "cupy_backends")]
    return {
        symbol
        for place in places
        for path in place.rglob(f"{module}.*.so")
        for symbol in _symbols(path, "-D", "-u")
    }


def _symbols(path: Path, *which: str) -> set[str]:
    lines = subprocess.run(
        ["nm", *which, str(path)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {line.split()[-1].partition("@")[0] for line in lines}
