"""Devices, versions, measured speed and advice: `xg.info()` and `python -m xgrad info`.

Modules needed only here are imported on first use, to keep `import xgrad` fast.
"""

from __future__ import annotations

import math
import os
from contextlib import nullcontext, suppress
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from .backends import Device, DeviceError, current_device, find_device

#: Values of OPENBLAS_CORETYPE on x86, by the widest instructions that OpenBLAS uses in matmul for them.
#: OpenBLAS ignores other values.
CORE_TYPES = {
    "SSE or AVX": (
        "prescott core2 penryn dunnington atom nano nehalem sandybridge athlon opteron opteron_sse3 "
        "barcelona bobcat "
        "bulldozer piledriver steamroller excavator"
    ),
    "AVX2": "haswell zen",
    "AVX-512": "skylakex cooperlake sapphirerapids",
}
WIDTHS = list(CORE_TYPES)

#: The environment variable that sets the number of threads, by BLAS library other than OpenBLAS. All of them
#: read OMP_NUM_THREADS too.
THREADS = {"mkl": "MKL_NUM_THREADS", "blis": "BLIS_NUM_THREADS", "accelerate": "VECLIB_MAXIMUM_THREADS"}

#: Environment variables that change the device or the speed.
VARIABLES = [
    "XGRAD_DEVICE",
    "XGRAD_NATIVE",
    "XGRAD_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    *THREADS.values(),
]


class Blas(NamedTuple):
    """The library behind matmul on the CPU.

    Core type and threads are None without threadpoolctl.
    """

    name: str
    version: str
    core: str | None = None
    threads: int | None = None


class Gpu(NamedTuple):
    """A CUDA device: its properties as reported by the backend, and its memory in bytes."""

    name: str
    facts: dict[str, str]
    memory: dict[str, int]


class Info(NamedTuple):
    """The facts that `info` collects. Its text is what `python -m xgrad info` prints."""

    device: str | None  # None if XGRAD_DEVICE names an unusable device
    chosen: str  # how the device was chosen
    versions: dict[str, str]
    processor: str
    instructions: str | None  # one of WIDTHS; None if not x86
    l2: int  # bytes of second-level cache; 0 if unknown
    cores: int  # available to this process
    blas: Blas
    rates: dict[str, float]  # dtype -> matmul's GFLOP/s on the device
    # bytes `used` by this process and `total` on the device, and on CUDA in CuPy's `pool`
    memory: dict[str, int]
    gpus: list[Gpu]
    cuda_extra: str | None  # the extra to install, if there is an NVIDIA driver but no CuPy
    environment: dict[str, str]  # those of VARIABLES that are set

    @property
    def advice(self) -> list[str]:
        """Suggestions that would make xgrad faster on this machine."""
        return advise(self)

    def __repr__(self) -> str:
        if self.blas.core is None:
            detail = (
                "core type and threads unknown, as threadpoolctl is not installed: pip install 'xgrad[fast]'"
            )
        else:
            detail = f"core type {self.blas.core}, {_number(self.blas.threads or 1, 'thread')}"
        where = "the CPU" if self.device in (None, "cpu") else self.device
        rates = ", ".join(f"{rate:.3g} GFLOP/s in {dtype}" for dtype, rate in self.rates.items())
        rows = [
            ("versions", ", ".join(f"{name} {version}" for name, version in self.versions.items())),
            ("device", f"{self.device or 'none'} ({self.chosen})"),
            ("processor", ", ".join(filter(None, [self.processor, self.instructions]))),
            ("cores", f"{self.cores} available to this process"),
            ("BLAS", f"{self.blas.name} {self.blas.version}, {detail}"),
            ("matmul", f"{rates}, just measured on {where}; other work on this machine lowers it"),
            ("memory", f"{_memory(self.memory)} on {where}"),
            *(
                (
                    gpu.name,
                    (
                        f"{', '.join(f'{name} {fact}' for name, fact in gpu.facts.items())}; "
                        f"{_memory(gpu.memory)}"
                    ),
                )
                for gpu in self.gpus
            ),
            (
                "environment",
                ", ".join(f"{name}={value}" for name, value in self.environment.items())
                or "no relevant variable is set",
            ),
            *(("advice", line) for line in self.advice or ["none"]),
        ]
        return "\n".join(f"{title:<12} {text}" for title, text in rows)


def info() -> Info:
    """Collect devices, versions, BLAS, measured speed, and advice on making xgrad faster.

    >>> import xgrad as xg
    >>> facts = xg.info()  # print it, or read its attributes
    >>> facts.rates["float32"] > 0  # GFLOP/s
    True
    """
    device, chosen = _current()
    cpu = find_device("cpu")
    used = device or cpu
    cpuinfo = _processor_lines()
    versions = _versions()
    return Info(
        device=device.name if device else None,
        chosen=chosen,
        versions=versions,
        processor=_processor(cpuinfo),
        instructions=_instructions(cpuinfo.get("flags")),
        l2=_second_level_cache(),
        cores=_cores(),
        blas=_blas(cpu),
        memory=used.memory(),  # before the measurement adds to it
        rates={dtype: _rate(used, dtype) for dtype in ("float32", "float64")},
        gpus=[] if versions["CuPy"] == "absent" else _gpus(),
        cuda_extra=_cuda_extra() if versions["CuPy"] == "absent" else None,
        environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )


def advise(facts: Info) -> list[str]:
    """Suggestions that would make xgrad faster, derived from `facts` alone."""
    lines = []
    if facts.device is None:
        lines.append(
            "XGRAD_DEVICE names a device that cannot be used here (see above); set it to another device, or "
            "unset it"
        )
    lines += [*_core_advice(facts), *_thread_advice(facts)]
    if facts.environment.get("XGRAD_NATIVE") == "0":
        lines.append("XGRAD_NATIVE=0 turns compiled loops off; unset it")
    if facts.versions["llvmlite"] == "absent":
        lines.append("llvmlite is not installed, so loops are not compiled: pip install 'xgrad[fast]'")
    if facts.cuda_extra:
        lines.append(
            f"there is an NVIDIA driver but CuPy is not installed, so the GPU is not used: pip install "
            f"'xgrad[{facts.cuda_extra}]'"
        )
    return lines


def _core_advice(facts: Info) -> list[str]:
    """Advice on environment variables that make OpenBLAS assume an older processor."""
    lines = []
    core = facts.environment.get("OPENBLAS_CORETYPE", "")
    width = next((width for width, names in CORE_TYPES.items() if core.lower() in names.split()), None)
    if width and facts.instructions and WIDTHS.index(width) < WIDTHS.index(facts.instructions):
        what = (
            f"keeps matmul from using {facts.instructions}, although this processor has it, and can halve "
            f"the speed"
        )
        lines.append(f"OPENBLAS_CORETYPE={core} {what}; unset it")
    kilobytes = _integer(facts.environment.get("OPENBLAS_L2_SIZE"))
    if 0 < kilobytes < facts.l2 // 1024:
        lines.append(
            f"OPENBLAS_L2_SIZE={kilobytes} is less than the {facts.l2 // 1024} KiB of this processor, which "
            f"can slow matmul down; unset it"
        )
    return lines


def _thread_advice(facts: Info) -> list[str]:
    """Advice on the number of threads, which should be one per core."""
    cores = _number(facts.cores, "core")
    own = next(
        (variable for name, variable in THREADS.items() if name in facts.blas.name.lower()),
        "OPENBLAS_NUM_THREADS",
    )
    # A library reads its own variable first, and OMP_NUM_THREADS if that is not set.
    variable = next(
        (name for name in (own, "OMP_NUM_THREADS") if _integer(facts.environment.get(name)) > 0), None
    )
    asked = _integer(facts.environment.get(variable)) if variable else 0
    if asked > facts.cores:
        return [
            f"{variable}={asked} asks for more threads than the {cores} available; set it to {facts.cores}"
        ]
    if (facts.blas.threads or 0) > facts.cores:
        return [
            (
                f"BLAS runs {facts.blas.threads} threads on {cores}, which slow each other down; set "
                f"{own}={facts.cores}"
            )
        ]
    if 0 < asked < facts.cores:
        return [
            (
                f"{variable}={asked} limits matmul to {_number(asked, 'thread')} of the {cores} available; "
                f"unset it, unless other work needs the rest"
            )
        ]
    return []


def _current() -> tuple[Device | None, str]:
    """The current device, and a description of how it was chosen."""
    wanted = os.environ.get("XGRAD_DEVICE")
    try:
        device = current_device()
    except DeviceError as error:
        return None, f"XGRAD_DEVICE={wanted} cannot be used: {error}"
    without = None  # the device if the program had not set one
    with suppress(DeviceError):
        without = find_device(wanted or "cpu")
    if device is not without:
        return device, "set by the program"
    return device, f"XGRAD_DEVICE={wanted}" if wanted else "the default, as XGRAD_DEVICE is not set"


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    def first(*packages: str) -> str:
        for package in packages:
            with suppress(PackageNotFoundError):
                return version(package)
        return "absent"

    return {
        "xgrad": first("xgrad"),
        "Python": platform.python_version(),
        "NumPy": first("numpy"),
        "CuPy": first("cupy", "cupy-cuda13x", "cupy-cuda12x"),
        "llvmlite": first("llvmlite"),
        "optree": first("optree"),
    }


def _processor_lines() -> dict[str, str]:
    """Fields of /proc/cpuinfo for the first processor; empty on other systems than Linux."""
    first = _text(Path("/proc/cpuinfo")).split("\n\n")[0]
    return {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())
    }


def _processor(cpuinfo: dict[str, str]) -> str:
    import platform

    return cpuinfo.get("model name") or platform.processor() or platform.machine()


def _instructions(flags: str | None) -> str | None:
    """The widest instructions that OpenBLAS could use."""
    if flags is None:
        return None
    have = set(flags.split())
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= have:
        return "AVX-512"
    return "AVX2" if {"avx2", "fma"} <= have else "SSE or AVX"


def _second_level_cache() -> int:
    """Size of the second-level cache in bytes; 0 if unknown."""
    for cache in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        if _text(cache / "level").strip() == "2":
            return 1024 * _integer(_text(cache / "size").strip().removesuffix("K"))
    return 0


def _cores() -> int:
    """Number of cores that this process may use: its affinity, limited by its control group's CPU quota."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(affinity, quota(Path("/sys/fs/cgroup"), _text(Path("/proc/self/cgroup"))))))


def quota(root: Path, groups: str) -> float:
    """CPU quota, in cores, set by the control groups below `root`.

    `groups` is the text of /proc/self/cgroup.
    """
    own = next((line.removeprefix("0::/") for line in groups.splitlines() if line.startswith("0::/")), "")
    folders = [root / own, *(root / own).parents]  # the limits of every group above hold too
    limits = [_text(folder / "cpu.max").split() for folder in folders if folder.is_relative_to(root)]
    # version 1 of control groups
    limits.append([_text(root / "cpu" / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")])
    return min(
        (int(limit[0]) / int(limit[1]) for limit in limits if len(limit) == 2 and limit[0].isdecimal()),
        default=math.inf,
    )


def _blas(cpu: Device) -> Blas:
    told = cpu.backend.facts(cpu.index)
    built = Blas(told.get("BLAS", "unknown"), told.get("BLAS version", "unknown"))
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return built
    loaded: list[dict[str, Any]] = [library for library in threadpool_info() if library["user_api"] == "blas"]
    # Other packages may have loaded a BLAS of their own; that of NumPy's wheels is in a folder named after
    # NumPy.
    loaded.sort(key=lambda library: "numpy" not in library["filepath"])
    if not loaded:  # a library that threadpoolctl does not know, such as Accelerate
        return built
    first = loaded[0]
    return Blas(
        first["internal_api"],
        str(first["version"]),
        first.get("architecture", "unknown"),
        first["num_threads"],
    )


def _rate(device: Device, dtype: str) -> float:
    """GFLOP/s of a square matmul on `device`.

    It is the median of the five fastest runs, as other load can only slow a run down.
    """
    xp = device.xp

    def seconds(n: int, budget: float) -> list[float]:
        """Times of single matmuls, at least two, as the first may initialise the library."""
        x = xp.ones((n, n), dtype=getattr(xp, dtype), device=device.handle)
        times: list[float] = []
        while len(times) < 2 or sum(times) < budget:
            device.synchronize()
            start = perf_counter()
            xp.matmul(x, x)
            device.synchronize()
            times.append(perf_counter() - start)
        return times

    with device.guard or nullcontext():
        n = 512
        while n < 4096 and min(seconds(n, 0)) < 0.004:  # a short one would measure the wake-up of threads
            n *= 2
        best = sorted(seconds(n, 0.05))[:5]
    return 2 * n**3 / best[len(best) // 2] / 1e9


def _gpus() -> list[Gpu]:
    try:
        backend = find_device("cuda").backend
    except DeviceError:  # CuPy is installed, but there is no GPU
        return []
    devices = [find_device(f"cuda:{i}") for i in range(backend.count())]
    return [Gpu(device.name, backend.facts(device.index), device.memory()) for device in devices]


def _cuda_extra() -> str | None:
    from .backends.cuda.backend import fitting_extra

    return fitting_extra()


def _memory(memory: dict[str, int]) -> str:
    pool = f", {memory['pool'] / 1e9:.2f} GB held for it," if "pool" in memory else ","
    return f"{memory['used'] / 1e9:.2f} GB used by this process{pool} of {memory['total'] / 1e9:.1f} GB"


def _number(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def _integer(text: str | None) -> int:
    """Value of an environment variable, or the first of a list; 0 if it is not a number."""
    first = (text or "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def _text(path: Path) -> str:
    """Content of a file, or "" if it does not exist."""
    try:
        return path.read_text()
    except OSError:
        return ""
