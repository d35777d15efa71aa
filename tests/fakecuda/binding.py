"""CuPy's binding of the CUDA runtime, built against the stand-in.

The wheel links the CUDA runtime statically into one module, `cupy_backends.cuda.api.runtime`: everything else
in CuPy calls the runtime through that module. So this module is rebuilt from CuPy's source distribution of
the same version. It needs the wheel's version of Cython, because modules of different versions do not share
their types. It is stored in a separate folder, from which a finder loads it; the installed wheel is not
changed.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Any

NAME = "cupy_backends.cuda.api.runtime"
HERE = Path(__file__).parent
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")

#: As in CuPy's own build of the wheel for CUDA 13.
CONSTANTS = {
    "CUPY_CUDA_VERSION": 13000,
    "CUPY_HIP_VERSION": 0,
    "CUPY_USE_CUDA_PYTHON": False,
    "CUPY_CUFFT_STATIC": False,
}
DIRECTIVES = {
    "embedsignature": True,
    "c_api_binop_methods": True,
    "binding": False,
    "warn.deprecated.IF": False,
    "freethreading_compatible": True,
}

CYTHONIZE = """
import json, sys, Cython
from Cython.Build import cythonize
source, constants, directives = json.loads(sys.argv[1])
cythonize([source], language="c++", language_level=3, compiler_directives=directives,
          compile_time_env={**constants, "CUPY_CYTHON_VERSION": Cython.__version__})
"""


def cupy_version() -> str:
    """Return the version of the installed wheel; raise PackageNotFoundError if there is none for CUDA 13."""
    return importlib.metadata.version("cupy-cuda13x")


def package(name: str) -> Path:
    """Return the folder of a package, without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    (place,) = spec.submodule_search_locations or ()
    return Path(place)


def headers() -> Path:
    """Return NVIDIA's headers, from the wheels nvidia-cuda-runtime and nvidia-cuda-crt."""
    found = importlib.util.find_spec("nvidia")
    for place in found.submodule_search_locations or () if found else ():
        folder = Path(place) / "cu13" / "include"
        if (folder / "cuda_runtime.h").exists() and (folder / "crt").exists():
            return folder
    raise FileNotFoundError("CUDA's headers are missing: pip install nvidia-cuda-runtime nvidia-cuda-crt")


def compile(folder: Path) -> Path:
    """Return the module's object file in `folder`, building it if needed."""
    target = folder / "runtime.o"
    if target.exists():
        return target
    folder.mkdir(exist_ok=True)
    source = _source(folder)
    pyx = source / "cupy_backends" / "cuda" / "api" / "runtime.pyx"
    cython = folder / "cython"
    _run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--target",
        cython,
        f"Cython=={_cython()}",
    )
    _run(
        sys.executable,
        "-c",
        CYTHONIZE,
        json.dumps([str(pyx), CONSTANTS, DIRECTIVES]),
        cwd=source,
        PYTHONPATH=str(cython),
    )
    _run(
        "g++",
        "-c",
        "-fPIC",
        "-O1",
        "-w",
        '-DCYTHON_EXTERN_C=extern "C"',
        f"-I{HERE / 'include'}",
        f"-I{headers()}",
        f"-I{sysconfig.get_path('include')}",
        pyx.with_suffix(".cpp"),
        "-o",
        f"{target}.part",
    )
    Path(f"{target}.part").rename(target)
    return target


def link(made: Path, folder: Path) -> None:
    """Link the module from its object file and the stand-in's runtime."""
    _run("g++", "-shared", made, folder / "libcuda.so.1", "-o", folder / f"runtime{SUFFIX}")


def _source(folder: Path) -> Path:
    """Return CuPy's source, from the package index."""
    version = cupy_version()
    # for metadata pip runs the package's setup, which needs CUDA unless told to build a stub
    _run(
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--disable-pip-version-check",
        "--no-binary",
        "cupy",
        "--no-deps",
        "-d",
        folder,
        f"cupy=={version}",
        CUPY_INSTALL_USE_STUB="1",
    )
    with tarfile.open(folder / f"cupy-{version}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"cupy-{version}"


def _cython() -> str:
    """Return the version of Cython that built the wheel, as recorded in its modules."""
    text = (package("cupy_backends") / "cuda" / "api" / f"runtime{SUFFIX}").read_bytes()
    found = re.search(rb"_cython_(\d+)_(\d+)_(\d+)", text)
    assert found is not None
    return ".".join(part.decode() for part in found.groups())


def _run(*command: Any, cwd: Path | None = None, **environment: str) -> None:
    done = subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(str(c) for c in command)[:200]}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )


class Finder(importlib.abc.MetaPathFinder):
    """Loads the rebuilt module in place of the wheel's module of the same name."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"runtime{SUFFIX}"

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_file_location(fullname, self._path) if fullname == NAME else None
