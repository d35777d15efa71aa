"""Tests of what `info` reports, and of its advice on machines of every kind."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import xgrad as xg
from tests.helpers.paths import ROOT
from xgrad.backends.cuda.backend import CuPy, _driver
from xgrad.information import VARIABLES, Blas, Gpu, Info, _instructions, advise, info, quota

#: A machine with nothing to report.
GOOD = Info(
    device="cpu",
    chosen="the default",
    versions={
        "xgrad": "1",
        "Python": "3",
        "NumPy": "2",
        "CuPy": "absent",
        "llvmlite": "0.45",
        "optree": "0.14",
    },
    processor="A processor",
    instructions="AVX-512",
    l2=2**20,
    cores=4,
    blas=Blas("openblas", "0.3", "SkylakeX", 4),
    rates={"float32": 200.0, "float64": 100.0},
    memory={"used": 10**9, "total": 8 * 10**9},
    gpus=[],
    cuda_extra=None,
    environment={},
)


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m xgrad`, with only these of the relevant environment variables set."""
    others = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.run(
        [sys.executable, "-m", "xgrad", *arguments],
        cwd=ROOT,
        env={**others, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def with_environment(**environment: str) -> Info:
    return GOOD._replace(environment=environment)


def test_nothing_to_advise() -> None:
    assert advise(GOOD) == GOOD.advice == []
    assert repr(GOOD).endswith("advice       none")


ADVICE = {
    "core type": (
        with_environment(OPENBLAS_CORETYPE="Haswell"),
        "OPENBLAS_CORETYPE=Haswell keeps matmul from using AVX-512.*unset it",
    ),
    "core type in capitals": (with_environment(OPENBLAS_CORETYPE="ZEN"), "OPENBLAS_CORETYPE=ZEN .*AVX-512"),
    "old core type": (
        with_environment(OPENBLAS_CORETYPE="Nehalem")._replace(instructions="AVX2"),
        "Nehalem .*AVX2",
    ),
    "cache": (
        with_environment(OPENBLAS_L2_SIZE="256"),
        "OPENBLAS_L2_SIZE=256 is less than .*1024 KiB.*unset it",
    ),
    "too many threads asked for": (
        with_environment(OPENBLAS_NUM_THREADS="8"),
        "OPENBLAS_NUM_THREADS=8 asks for more.* 4 cores.*set it to 4",
    ),
    "too many by OMP": (with_environment(OMP_NUM_THREADS="8,2"), "OMP_NUM_THREADS=8 asks for more"),
    "too many by MKL": (
        with_environment(MKL_NUM_THREADS="8")._replace(blas=Blas("mkl", "2025")),
        "MKL_NUM_THREADS=8 asks for more",
    ),
    "too many threads": (
        GOOD._replace(cores=2),
        "BLAS runs 4 threads on 2 cores.*set OPENBLAS_NUM_THREADS=2",
    ),
    "too many threads of MKL": (
        GOOD._replace(blas=Blas("mkl", "2025", "AVX512", 16)),
        "BLAS runs 16 threads.*set MKL_NUM_THREADS=4",
    ),
    "too few threads": (
        with_environment(OMP_NUM_THREADS="1"),
        "OMP_NUM_THREADS=1 limits matmul to 1 thread of the 4 cores.*unset it",
    ),
    "native off": (with_environment(XGRAD_NATIVE="0"), "XGRAD_NATIVE=0 turns compiled loops off; unset it"),
    "no llvmlite": (
        GOOD._replace(versions={**GOOD.versions, "llvmlite": "absent"}),
        r"llvmlite.*pip install 'xgrad\[fast\]'",
    ),
    "no CuPy": (
        GOOD._replace(cuda_extra="cuda12"),
        r"NVIDIA driver but CuPy is not installed.*pip install 'xgrad\[cuda12\]'",
    ),
    "no such device": (GOOD._replace(device=None), "XGRAD_DEVICE names a device that cannot be used"),
}


@pytest.mark.parametrize(("facts", "expected"), ADVICE.values(), ids=ADVICE.keys())
def test_each_advice(facts: Info, expected: str) -> None:
    (line,) = advise(facts)
    assert re.search(expected, line), line
    assert line in repr(facts)


NO_ADVICE = {
    "core type that fits": with_environment(OPENBLAS_CORETYPE="Cooperlake"),
    "core type of the processor": with_environment(OPENBLAS_CORETYPE="Haswell")._replace(instructions="AVX2"),
    "core type above": with_environment(OPENBLAS_CORETYPE="SkylakeX")._replace(instructions="AVX2"),
    "core type that OpenBLAS ignores": with_environment(OPENBLAS_CORETYPE="mine"),
    "core type on another architecture": with_environment(OPENBLAS_CORETYPE="NEOVERSEN1")._replace(
        instructions=None
    ),
    "cache that fits": with_environment(OPENBLAS_L2_SIZE="1024"),
    "cache not known": with_environment(OPENBLAS_L2_SIZE="256")._replace(l2=0),
    # OpenBLAS reads its own variable first
    "threads that fit": with_environment(OPENBLAS_NUM_THREADS="4", OMP_NUM_THREADS="1"),
    "threads that are no number": with_environment(OPENBLAS_NUM_THREADS="", OMP_NUM_THREADS="many"),
    "threads not known": GOOD._replace(blas=Blas("openblas", "0.3")),
    # MKL uses one thread per two hyperthreads
    "a library of fewer threads": GOOD._replace(blas=Blas("mkl", "2025", "AVX512", 2)),
    "native on": with_environment(XGRAD_NATIVE="1"),
}


@pytest.mark.parametrize("facts", NO_ADVICE.values(), ids=NO_ADVICE.keys())
def test_no_advice_where_nothing_is_lost(facts: Info) -> None:
    assert advise(facts) == []


def test_facts_of_this_machine() -> None:
    with xg.device("cpu"):
        facts = info()
    assert facts.device == "cpu"
    assert facts.versions["NumPy"] != "absent"
    assert facts.processor
    assert facts.cores >= 1
    assert facts.blas.name
    assert all(rate > 0 for rate in facts.rates.values())
    assert 0 < facts.memory["used"] < facts.memory["total"]


def test_on_every_device(device: str) -> None:
    facts = info()
    assert facts.device == xg.current_device().name
    assert facts.rates.keys() == {"float32", "float64"}


def test_says_how_the_device_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XGRAD_DEVICE", raising=False)
    assert "default" in info().chosen
    with xg.device("strict:1"):
        assert info().chosen == "set by the program"
    monkeypatch.setenv("XGRAD_DEVICE", "strict:0")
    assert info().chosen == "XGRAD_DEVICE=strict:0"


def test_text_without_threadpoolctl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    facts = info()
    assert facts.blas.threads is None
    assert "unknown, as threadpoolctl is not installed: pip install 'xgrad[fast]'" in repr(facts)


def test_text_of_a_gpu() -> None:
    text = repr(
        GOOD._replace(device="cuda:0", gpus=[Gpu("cuda:0", {"GPU": "A GPU", "CUDA": "12.4"}, GOOD.memory)])
    )
    assert "cuda:0       GPU A GPU, CUDA 12.4; 1.00 GB used by this process, of 8.0 GB" in text
    assert "measured on cuda:0" in text


def test_text_of_a_pool() -> None:
    memory = {"used": 10**9, "pool": 3 * 10**9, "total": 8 * 10**9}
    assert "1.00 GB used by this process, 3.00 GB held for it, of 8.0 GB" in repr(
        GOOD._replace(gpus=[Gpu("cuda:0", {"GPU": "A GPU"}, memory)])
    )


def test_the_version_of_the_driver(tmp_path: Path) -> None:
    told = tmp_path / "version"
    assert _driver(told) == ""
    told.write_text("nothing of the kind")
    assert _driver(told) == ""
    told.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n")
    assert _driver(told) == "580.65.06, "
    told.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n")
    assert _driver(told) == "535.104.05, "


def test_what_cupy_tells_of_a_gpu() -> None:
    properties = {"name": b"A GPU", "major": 12, "minor": 0}
    runtime = SimpleNamespace(
        getDeviceProperties=lambda i: properties,
        runtimeGetVersion=lambda: 12090,
        driverGetVersion=lambda: 13000,
    )
    backend: Any = CuPy.__new__(CuPy)
    backend.cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime), __version__="14.2.0")
    facts = backend.facts(0)
    assert facts.pop("driver").endswith("for CUDA up to 13.0")
    assert facts == {"GPU": "A GPU", "compute capability": "12.0", "CUDA": "12.9", "CuPy": "14.2.0"}


def test_a_checkout_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert not hasattr(xg, "__version__")


def test_dtypes_of_a_device(device: str) -> None:
    facts = xg.__array_namespace_info__()
    assert facts.default_dtypes(device=device) == facts.default_dtypes()
    assert facts.dtypes(device=device) == facts.dtypes()
    for f in (facts.default_dtypes, facts.dtypes):
        with pytest.raises(xg.DeviceError, match="nope:3"):
            f(device="nope:3")


def test_instructions() -> None:
    assert _instructions("sse2 avx fma avx2 avx512f avx512bw avx512dq avx512vl") == "AVX-512"
    # OpenBLAS needs more than the first AVX-512 extension
    assert _instructions("sse2 avx fma avx2 avx512f") == "AVX2"
    assert _instructions("sse2 avx") == "SSE or AVX"
    assert _instructions(None) is None


def test_control_groups_limit_the_cores(tmp_path: Path) -> None:
    assert quota(tmp_path, "") == float("inf")
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("max 100000\n")
    assert quota(tmp_path, "0::/outer/inner\n") == float("inf")
    (inner.parent / "cpu.max").write_text("150000 100000\n")
    assert quota(tmp_path, "0::/outer/inner\n") == 1.5
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert quota(tmp_path, "1:cpu:/\n") == float("inf")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("200000\n")
    assert quota(tmp_path, "1:cpu:/\n") == 2


def test_command() -> None:
    result = command("info")
    assert result.returncode == 0, result.stderr
    assert "\ndevice       cpu (the default, as XGRAD_DEVICE is not set)\n" in result.stdout
    assert "\nBLAS " in result.stdout
    assert "GFLOP/s in float32" in result.stdout


def test_command_where_the_device_cannot_be_used() -> None:
    result = command("info", XGRAD_DEVICE="abacus")
    assert result.returncode == 0, result.stderr
    assert "\ndevice       none (XGRAD_DEVICE=abacus cannot be used: unknown device" in result.stdout


@pytest.mark.slow
def test_command_advises_on_the_core_type() -> None:
    if info().instructions != "AVX-512":
        pytest.skip("this processor has no AVX-512")
    assert (
        "OPENBLAS_CORETYPE=Haswell keeps matmul from using AVX-512"
        in command("info", OPENBLAS_CORETYPE="Haswell").stdout
    )
    assert "OPENBLAS_CORETYPE" not in command("info").stdout


def test_command_alone_prints_help() -> None:
    result = command()
    assert result.returncode == 0
    assert result.stdout.startswith("usage: python -m xgrad")


def test_importing_it_brings_in_nothing_heavy() -> None:
    code = (
        "import sys, numpy, xgrad; before = set(sys.modules); import xgrad.information; "
        "print(*(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(result.stdout.split()) <= {"xgrad.information"}
