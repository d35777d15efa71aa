"""Finding a BLAS with a C interface for compiled code.

It is the one that NumPy has already loaded, if possible, so that there is only one thread pool.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

#: What OpenBLAS's get_parallel returns where it was built with OpenMP.
_OPENMP = 2
#: Prefix and suffix of "sgemm" in known libraries, and whether integers are then 64-bit.
_SPELLINGS = (
    ("scipy_cblas_", "64_", True),
    ("cblas_", "64_", True),
    ("cblas_", "_64", True),
    ("scipy_cblas_", "", False),
    ("cblas_", "", False),
)


class Blas(NamedTuple):
    """The addresses of `cblas_sgemm` and `cblas_dgemm`, and whether they take 64-bit integers.

    `get_threads` and `set_threads` are those of OpenBLAS's functions for its number of threads, else 0. They
    are 0 for OpenMP as well, where that number is one of the calling thread.
    """

    sgemm: int
    dgemm: int
    long: bool
    path: str
    get_threads: int = 0
    set_threads: int = 0


@cache
def find_blas() -> Blas | None:
    """Find a BLAS with a C interface.

    In order: NumPy's own, another that is loaded, the scipy-openblas64 wheel, else None.
    """
    for path in _libraries():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for before, after, long in _SPELLINGS:
            try:
                found = [
                    ctypes.cast(getattr(library, f"{before}{name}{after}"), ctypes.c_void_p).value
                    for name in ("sgemm", "dgemm")
                ]
            except AttributeError:
                continue
            if found[0] and found[1]:
                threads = _threads_of(library, f"{before.removesuffix('cblas_')}openblas_", after)
                return Blas(found[0], found[1], long, path or "the process itself", *threads)
    return None


def _threads_of(library: ctypes.CDLL, before: str, after: str) -> tuple[int, int]:
    """Return the addresses of OpenBLAS's functions that get and set its number of threads, or zeros."""
    kind = _address(library, f"{before}get_parallel{after}")
    if kind and ctypes.CFUNCTYPE(ctypes.c_int)(kind)() == _OPENMP:
        return 0, 0
    get, set_ = (_address(library, f"{before}{name}_num_threads{after}") for name in ("get", "set"))
    return get, set_


def _address(library: ctypes.CDLL, name: str) -> int:
    """Return the address of a library's function, 0 if it has none of this name."""
    try:
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except AttributeError:
        return 0


def _libraries() -> list[str | None]:
    """Shared libraries that may contain a BLAS, likeliest first; None is the process itself."""
    bundled = [
        *Path(np.__file__).parent.glob(".dylibs/*blas*"),
        *Path(np.__file__).parent.parent.glob("numpy.libs/*blas*"),
    ]
    found: list[str | None] = [str(p) for p in bundled]
    try:
        mapped = {
            line.split(maxsplit=5)[-1].strip()
            for line in Path("/proc/self/maps").read_text().splitlines()
            if "/" in line
        }
    except OSError:
        mapped = set()
    found += sorted(
        p
        for p in mapped
        if any(word in Path(p).name.lower() for word in ("blas", "mkl_rt", "blis")) and p not in found
    )
    if sys.platform == "darwin":
        found.append("/System/Library/Frameworks/Accelerate.framework/Accelerate")
    if os.name == "posix":
        found.append(None)
    # The wheel is located without importing it: its __init__ would load the library globally, and a SciPy
    # imported later would bind some of its functions instead of those of its own BLAS, which has another
    # integer size.
    wheel = importlib.util.find_spec("scipy_openblas64")
    for folder in wheel.submodule_search_locations or () if wheel else ():
        found += [
            str(p)
            for p in Path(folder).glob("lib/*scipy_openblas64*")
            if p.suffix in (".so", ".dylib", ".dll")
        ]
    return found
