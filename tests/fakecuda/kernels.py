"""Kernels for the stand-in, CuPy's and ours, compiled once by g++ on the emulator of `tests/emulated`."""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from xgrad.compiler.codegen.cuda.device import DEVICE

from .. import emulated
from .binding import cupy_version, package

HERE = Path(__file__).parent
FLAGS = [
    "-std=c++17",
    "-O0",
    "-fPIC",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-w",
    "-fpermissive",
    "-DEMULATED_SHARED",
]
#: CUDA-only syntax in a kernel's text: shared memory sized by the launch, and attributes.
DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:__align__\(\d+\)\s*)?([\w \t<>:,]+?)\s+(\w+)\[\];")
HEADERS = re.compile(r"#include <cupy/(?:complex|carray|atomics)\.cuh>|#include <cupy/math_constants\.h>")
COMPILER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)


class Kernels:
    """Compiles the sources passed to the stand-in for NVRTC."""

    def __init__(self, folder: Path, nvrtc: ctypes.CDLL) -> None:
        self._folder, self._nvrtc = folder, nvrtc
        nvrtc.fake_compiled.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
        self._call = COMPILER(self._compile)  # must live as long as the library
        nvrtc.fake_set_compiler(self._call)

    def _compile(self, program: int, source: bytes, options: bytes) -> int:
        try:
            code, log = self.image(source.decode(), options.decode().splitlines()), ""
        except Exception as error:  # no exception may propagate through C
            code, log = "", str(error)
        self._nvrtc.fake_compiled(program, code.encode(), log.encode())
        return not log

    def image(self, source: str, options: list[str]) -> str:
        """Return the input of the driver's loader: the path of a library, and a line for each kernel."""
        if not source.strip():
            return "nothing"  # CuPy compiles this to identify the compiler
        kernels = emulated.KERNEL.findall(source)
        path = (
            emulated.compile(source.replace(DEVICE.strip(), "")).path
            if DEVICE.strip() in source
            else self._library(source, options, kernels)
        )
        return "\n".join(
            [
                str(path),
                *(
                    f"{name} {_of(attributes, 'cluster_dims', 1)} {_of(attributes, 'launch_bounds', 1024)}"
                    for attributes, name in kernels
                ),
                "",
            ]
        )

    def _library(self, source: str, options: list[str], kernels: list[tuple[str, str]]) -> Path:
        text = HEADERS.sub(
            "",
            DYNAMIC.sub(r"\1* const \2 = reinterpret_cast<\1*>(::emulated::current->block->shared);", source),
        )
        text = text.replace("static __shared__", "__shared__").replace("__shared__ static", "__shared__")
        text = "\n".join(
            [
                '#line 1 "kernel.cu"',
                text,
                *(f"EMULATED_KERNEL({name})" for name in dict.fromkeys(name for _, name in kernels)),
            ]
        )
        defined = [option for option in options if option.startswith("-D")]
        path = self._folder / f"{hashlib.sha256(repr((text, defined)).encode()).hexdigest()[:32]}.so"
        with emulated.locked(path) as there:
            if not there:
                cpp = path.with_suffix(".cpp")
                cpp.write_text(text + "\n")
                compiled(
                    [
                        "g++",
                        *FLAGS,
                        *includes(),
                        *defined,
                        "-include",
                        "cupy.hpp",
                        "-c",
                        cpp,
                        "-o",
                        f"{path}.o",
                    ],
                    self._folder,
                )
                compiled(
                    ["ld", "-shared", f"{path}.o", "-o", f"{path}.part"], self._folder
                )  # its dependencies are already loaded
                Path(f"{path}.o").unlink()
                Path(f"{path}.part").rename(path)
        return path


def prepared(parent: Path) -> Path:
    """Return the folder for kernels, with their headers copied into it."""
    sources = [
        *(HERE / "include").rglob("*.h*"),
        *(emulated.HERE / name for name in emulated.SOURCES if name.endswith(".hpp")),
    ]
    of = [emulated.version(), cupy_version(), FLAGS, *(path.read_text() for path in sorted(sources))]
    folder = parent / f"kernels-{hashlib.sha256(repr(of).encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with emulated.locked(folder / "cupy.hpp.gch") as there:
        if not there:
            shutil.copytree(HERE / "include", folder, dirs_exist_ok=True)
            for name in emulated.SOURCES:
                shutil.copy(emulated.HERE / name, folder)
            compiled(
                ["g++", *FLAGS, *includes(), "-x", "c++-header", "cupy.hpp", "-o", "cupy.hpp.part"], folder
            )
            (folder / "cupy.hpp.part").rename(folder / "cupy.hpp.gch")
    return folder


def includes() -> list[str]:
    """Return the include paths: the folder of the kernels, and CuPy's own."""
    return ["-I.", f"-I{package('cupy')}/_core/include"]


def compiled(command: list[Any], folder: Path) -> None:
    """Run g++ in a folder; raise RuntimeError with its errors."""
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise RuntimeError("\n".join([f"in {folder}: {' '.join(map(str, command))}", *errors[:5]]))


def _of(attributes: str, name: str, default: int) -> int:
    found = re.search(rf"__{name}__\s*\(\s*(\d+)", attributes)
    return int(found[1]) if found else default
