"""CUDA kernels on the CPU: compiled by g++, run thread by thread, and checked for errors.

    library = compile(text)   # plain CUDA C++, with the functions of `xgrad.compiler.codegen.cuda.device`
    provided library.launch("add", (8,), (128,), 0, [x, y, ctypes.c_longlong(1000)], seed=3)

The kernel text is the one that a GPU gets. Threads run one at a time, each until it waits for others, in an
order drawn from the seed. A missing barrier therefore gives wrong numbers under some seed. Reported as a
`LaunchError`, with the thread and the line: deadlocks, threads that diverge at a barrier, shared memory or
arrays written outside their bounds, writes to read-only arrays, misaligned vectors, signed overflow,
bad addresses. Shared memory starts as NaN. Two threads that write the same element go unnoticed.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .guarded import Guarded

FLAGS = [
    "-std=c++17",
    "-O0",
    "-fPIC",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-fno-exceptions",
    "-fvisibility=hidden",
    "-fsanitize=alignment,bounds,signed-integer-overflow,integer-divide-by-zero,shift-exponent",
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
    "-Wno-tautological-compare",  # x ^ x of booleans is x != x, which is what the user wrote
]
HERE = Path(__file__).parent
SOURCES = ("fibers.hpp", "scheduler.hpp", "cuda.hpp", "launch.cpp")
KERNEL = re.compile(r"__global__\s+void\s+((?:__\w+__\s*\([^()]*\)\s*)*)(\w+)\s*\(")
SIGNATURES = {"c_float": "f4", "c_double": "f8", "c_void_p": "p"}

#: Seconds after which a compiled library is deleted.
KEPT = 86400

_one_at_a_time = threading.Lock()  # handlers for crashes are process-wide


class CompileError(Exception):
    """The kernel is invalid C++, or uses what the host does not support; holds the compiler's message."""


class LaunchError(Exception):
    """The kernel made an error, or was launched incorrectly."""


@lru_cache
def available() -> str | None:
    """Return why kernels cannot be run here, or None if they can."""
    if shutil.which("g++") is None:
        return "no g++"
    return None


@lru_cache
def _folder() -> Path:
    """Return this user's folder for libraries, with the headers and the compiled scheduler.

    Tests that run side by side share it, as do later ones.
    """
    of = [version(), *FLAGS, *((HERE / name).read_text() for name in SOURCES)]
    folder = (
        Path(tempfile.gettempdir())
        / f"xgrad-emulated-{os.getuid()}-{hashlib.sha256(repr(of).encode()).hexdigest()[:16]}"
    )
    folder.mkdir(mode=0o700, exist_ok=True)
    with locked(folder / "launch.o") as there:
        if not there:
            for name in SOURCES:
                shutil.copy(HERE / name, folder)
            _compiler(folder, "-x", "c++-header", "cuda.hpp", "-o", "cuda.hpp.gch")
            _compiler(folder, "-O2", "-fno-sanitize=all", "-c", "launch.cpp")
    for old in folder.glob("kernel_*"):
        if time.time() - old.stat().st_mtime > KEPT:
            old.unlink(missing_ok=True)
    return folder


@lru_cache
def version() -> str:
    """Return the compiler's version line."""
    return subprocess.run(["g++", "--version"], capture_output=True, text=True, check=False).stdout


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Lock a file that is to be built against other processes; yield whether it already exists."""
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path.exists()


def _compiler(folder: Path, *arguments: str) -> str:
    """Run g++ in the folder; return its warnings."""
    done = subprocess.run(
        ["g++", *FLAGS, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CompileError(done.stderr)
    return done.stderr


def compile(text: str) -> Library:
    """Compile the kernels of a text for launching; the same text is compiled once.

    Raises `CompileError` with the compiler's message.
    """
    return _compiled(text)


@lru_cache
def _compiled(text: str) -> Library:
    kernels = KERNEL.findall(text)
    if not kernels:
        raise CompileError('no kernel: none is found that starts with `extern "C" __global__ void`')
    folder = _folder()
    name = "kernel_" + hashlib.sha256(text.encode()).hexdigest()[:32]
    whole = [
        f'#line 1 "kernel.cu"\n{text}\n#line 1 "calls"',
        *(f"EMULATED_KERNEL({kernel})" for _, kernel in kernels),
    ]
    library, said = folder / f"{name}.so", folder / f"{name}.warnings"
    with locked(library) as there:
        if not there:
            (folder / f"{name}.cpp").write_text("\n".join(whole) + "\n")
            said.write_text(
                _compiler(
                    folder, "-include", "cuda.hpp", "-Winvalid-pch", "-c", f"{name}.cpp", "-o", f"{name}.o"
                )
            )
            # Linked separately, without the flags above: the functions of the checks are in launch.cpp, not
            # in a library.
            link = ["g++", "-shared", f"{name}.o", "launch.o", "-o", f"{name}.part"]
            linked = subprocess.run(link, cwd=folder, capture_output=True, text=True, check=False)
            if linked.returncode:
                raise CompileError(linked.stderr)
            (folder / f"{name}.part").rename(library)
    return Library(library, {kernel: attributes for attributes, kernel in kernels}, said.read_text())


class Library:
    """Compiled kernels: `kernels` are their names, `warnings` the compiler's warnings."""

    def __init__(self, path: Path, kernels: dict[str, str], warnings: str) -> None:
        self.kernels = list(kernels)
        self.warnings = warnings
        self._attributes = kernels
        self.path = path
        self._library = ctypes.CDLL(str(path))
        self._launch = self._library.emulated_launch
        self._launch.restype = ctypes.c_char_p

    def launch(
        self,
        name: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        shared: int,
        args: Sequence[np.ndarray | int | ctypes._SimpleCData[Any]],
        *,
        cooperative: bool = False,
        cluster: int | None = None,
        seed: int = 0,
    ) -> None:
        """Run a kernel to its end, its threads and blocks in an order drawn from `seed`.

        `args`: NumPy arrays (copied between guards and back; overlapping arrays keep sharing memory),
        addresses as plain int, ctypes numbers of the parameter's exact type. `cooperative`: all blocks are
        resident at once, so that they may wait for each other; otherwise one runs after another. `cluster`:
        blocks per cluster; None means the kernel's `__cluster_dims__`. Raises `LaunchError`.
        """
        if name not in self.kernels:
            raise LaunchError(f"no kernel {name}; there are {', '.join(self.kernels)}")
        cluster = self._check_launch(name, grid, block, cluster)
        wanted = self._signature(name)
        given = [_signature(arg) for arg in args]
        if given != wanted:
            raise LaunchError(f"{name} takes the arguments {' '.join(wanted)}, not {' '.join(given)}")
        arrays = [arg for arg in args if isinstance(arg, np.ndarray)]
        with _one_at_a_time:
            guarded = Guarded(arrays)
            addresses = iter(guarded.addresses)
            values = [
                arg
                if isinstance(arg, ctypes._SimpleCData)
                else ctypes.c_void_p(next(addresses) if isinstance(arg, np.ndarray) else arg)
                for arg in args
            ]
            pointers = (ctypes.c_void_p * max(len(values), 1))(*(ctypes.addressof(value) for value in values))
            message = self._launch(
                getattr(self._library, f"emulated_call_{name}"),
                pointers,
                _three(grid),
                _three(block),
                ctypes.c_size_t(shared),
                cooperative or cluster > 1,
                cluster,
                ctypes.c_uint64(seed),
            )
        wrong = message.decode() if message else guarded.wrong()
        guarded.copy_back()
        if wrong:
            raise LaunchError(f"{name}, seed {seed}: {wrong}")

    def _signature(self, name: str) -> list[str]:
        function = getattr(self._library, f"emulated_signature_{name}")
        function.restype = ctypes.c_char_p
        text: bytes = function()
        return text.decode().split()

    def _check_launch(
        self, name: str, grid: tuple[int, ...], block: tuple[int, ...], cluster: int | None
    ) -> int:
        """Raise the errors that the driver would raise; return the cluster size."""
        threads = int(np.prod(block))
        if not (1 <= len(grid) <= 3 and 1 <= len(block) <= 3) or min(*grid, *block, 1) < 1 or threads > 1024:
            raise LaunchError(f"{name}: no launch of {grid} blocks of {block} threads")
        attributes = dict(re.findall(r"(__\w+__)\s*\(\s*(\d+)", self._attributes[name]))
        bound = int(attributes.get("__launch_bounds__", threads))
        if threads > bound:
            raise LaunchError(
                f"{name}: blocks of {threads} threads, more than its __launch_bounds__({bound})"
            )
        own = int(attributes.get("__cluster_dims__", cluster or 1))
        if cluster not in (None, own):
            raise LaunchError(f"{name}: clusters of {cluster} blocks, but its __cluster_dims__ says {own}")
        if grid[0] % own:
            raise LaunchError(f"{name}: {grid[0]} blocks do not make clusters of {own}")
        return own


def _three(sizes: tuple[int, ...]) -> ctypes.Array[ctypes.c_uint]:
    return (ctypes.c_uint * 3)(*sizes, *(1,) * (3 - len(sizes)))


def _signature(arg: np.ndarray | int | ctypes._SimpleCData[Any]) -> str:
    if isinstance(arg, np.ndarray | int):
        return "p"
    return SIGNATURES.get(type(arg).__name__, f"i{ctypes.sizeof(arg)}")
