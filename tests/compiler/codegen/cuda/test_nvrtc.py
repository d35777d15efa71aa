"""NVRTC compiles the kernels without warnings, and ptxas without spills; no GPU is needed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import xgrad as xg
from tests.helpers import cuda_cells as cells
from tests.helpers.cuda_calls import drawn_indexing, drawn_lines
from tests.helpers.cuda_maps import REDUCED, ROWS, drawn_map, drawn_reduction
from tests.helpers.cuda_plans import Drawing, loops_of, lowered, together
from tests.helpers.single_elements import CASES, as_tensor, in_bfloat16
from xgrad.backends.schedules import Schedule
from xgrad.compiler.codegen.cuda.chips import CHIPS, Chip
from xgrad.compiler.codegen.cuda.schedule import schedule
from xgrad.compiler.lowering.plan import Plan
from xgrad.core.pytree import flatten, unflatten


def _nvrtc() -> str | None:
    """Return why NVRTC cannot be used here, or None if it can."""
    try:
        from cupy.cuda import nvrtc

        nvrtc.getVersion()
    except Exception as error:  # CuPy raises various errors if the library is missing
        return f"no NVRTC: {error}"
    return None


NO_NVRTC = _nvrtc()
#: These take minutes where there is a compiler, so they run only on request.
asked = pytest.mark.skipif(
    shutil.which("nvcc") is None or "'nvcc' not in config.getoption('markexpr')",
    reason="no nvcc, or not asked for with -m nvcc",
)
ARCHES = {80: CHIPS["A100"], 90: CHIPS["H100"]}


def _expressions() -> Any:
    """Return a plan of every op, in every dtype."""
    plans = []
    for i, case in enumerate(CASES.values()):
        with np.errstate(all="ignore"):
            found = lowered(case.f, *(as_tensor(np.resize(x, 1000 + i)) for x in case.arrays)).plan
        plans.append(in_bfloat16(found) if case.arrays[0].dtype.name == "bfloat16" else found)
    return together(plans)


def _maps() -> Any:
    rng, plan = np.random.default_rng(0), Drawing()
    for _ in range(60):
        drawn_map(rng, plan)
    for i, shape in enumerate(REDUCED):
        for axis in range(len(shape)):
            drawn_reduction(
                rng,
                plan,
                shape,
                (axis,),
                ("float32", "float64", "float16")[i % 3],
                ("sum", "max", "min")[i % 3],
            )
    rows = [
        lowered(f, xg.asarray(np.ones(shape, "float32"))).plan
        for f in ROWS.values()
        for shape in ((3, 33), (2, 3, 16), (2, 2500))
    ]
    return together([plan.plan, *rows])


def _calls() -> Any:
    """Return a plan of gathers, sums and assignments by index arrays, and of ops along axes."""
    rng = np.random.default_rng(0)
    cases = [(f, given) for f, given, _ in (*drawn_indexing(rng, 20), *drawn_lines(rng))]
    cases += [(lambda x: xg.argmax(x, axis=1), (np.ones((2, 3000), kind),)) for kind in ("float32", "int64")]
    return together([lowered(f, *map(xg.asarray, given)).plan for f, given in cases])


def _cells() -> Any:
    return together([cells.problem(name, 17, 40, "float32")[0].plan for name in cells.CELLS])


def _cells_of(dtype: str) -> Callable[[], Any]:
    return lambda: together([cells.problem(name, 17, 24, dtype)[0].plan for name in cells.SOME])


#: Kernel families: a plan, and the precision of its products.
FAMILIES = {
    "expressions": (_expressions, "highest"),
    "maps": (_maps, "highest"),
    "calls": (_calls, "highest"),
    "cells, float32": (_cells, "highest"),
    "cells, tf32": (_cells, "tf32"),
    "cells, bf16": (_cells, "bf16"),
    "cells, float64": (_cells_of("float64"), "highest"),
    "cells, float16": (_cells_of("float16"), "highest"),
}


@cache
def source(family: str, chip: Chip) -> str:
    with xg.device("cpu"):
        plan, precision = FAMILIES[family]
        return schedule(plan(), chip, precision).source


SIZES = [(hidden, batch) for hidden in (256, 512, 1024) for batch in (16, 64, 128)]
PRECISIONS = [
    ("float32", "highest"),
    ("float32", "tf32"),
    ("float32", "bf16"),
    ("float64", "highest"),
    ("float16", "highest"),
]
_WIDE = {(1024, batch) for batch in (16, 64, 128)}
#: The sizes, hidden and batch, whose weights do not fit into the shared memory of a chip; the same for
#: forward and backward.
TOO_LARGE = {
    (80, "float32", "highest"): _WIDE,
    (80, "float32", "tf32"): _WIDE,
    (80, "float64", "highest"): _WIDE | {(512, 64), (512, 128)},
    (90, "float64", "highest"): _WIDE - {(1024, 16)},
}


@cache
def units(dtype: str) -> Plan:
    """Return the plan of gated recurrent units of all sizes, forward and backward."""
    cell, plans = cells.CELLS["GRU, reset before"], []
    for hidden, batch in SIZES:
        arrays, structure = flatten(cells.arguments(cell, batch, hidden, dtype))
        with xg.device("cpu"):
            plans.append(
                lowered(cells.loss_of(cell), *unflatten(structure, [xg.asarray(x) for x in arrays])).plan
            )
    return together(plans)


@cache
def gated_units(dtype: str, precision: str, chip: Chip) -> Schedule:
    return schedule(units(dtype), chip, precision)


@pytest.fixture(autouse=True, scope="module")
def _nothing_kept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def _refused_by_nvrtc(text: str, arch: int) -> str | None:
    """Return the compiler's messages, if any."""
    from cupy.cuda import nvrtc

    from xgrad.backends.cuda.kernels import compile_kernels

    strict = ["-Werror=all-warnings"] if nvrtc.getVersion() >= (13, 1) else []  # unknown to older versions
    try:
        code = compile_kernels(text, arch, *strict)
    except RuntimeError as error:
        return str(error)
    assert code[:4] == b"\x7fELF"
    return None


@pytest.mark.cuda_wheel
@pytest.mark.skipif(NO_NVRTC is not None, reason=NO_NVRTC or "")
@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("family", FAMILIES)
def test_nvrtc_takes_every_text(family: str, arch: int) -> None:
    assert _refused_by_nvrtc(source(family, ARCHES[arch]), arch) is None


@pytest.mark.cuda_wheel
@pytest.mark.skipif(NO_NVRTC is not None, reason=NO_NVRTC or "")
def test_what_is_no_text_is_refused_with_the_compilers_words() -> None:
    assert "expected a" in str(_refused_by_nvrtc('extern "C" __global__ void k(', 80))


@pytest.mark.cuda_wheel
@pytest.mark.skipif(NO_NVRTC is not None, reason=NO_NVRTC or "")
def test_a_warning_is_an_error_here_and_not_for_users() -> None:
    from cupy.cuda import nvrtc

    from xgrad.backends.cuda.kernels import compile_kernels

    unused = 'extern "C" __global__ void k() { int x = 0; }'
    assert compile_kernels(unused, 80)
    if nvrtc.getVersion() >= (13, 1):
        assert "never referenced" in str(_refused_by_nvrtc(unused, 80))


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize(("dtype", "precision"), PRECISIONS)
def test_units_that_fit_are_one_launch(dtype: str, precision: str, arch: int) -> None:
    made = gated_units(dtype, precision, ARCHES[arch])
    assert len(loops_of(made)) == 2 * len(SIZES)
    for size, each in zip(SIZES, zip(*[iter(loops_of(made))] * 2)):
        for repeat in each:
            if size in TOO_LARGE.get((arch, dtype, precision), ()):
                assert "do not fit into shared memory" in repeat.why, size
            else:
                assert repeat.why == "", size
                assert repeat.once[-1].grid <= ARCHES[arch].processors


class Used(NamedTuple):
    """The resources that a kernel uses, as reported by ptxas."""

    registers: int
    spilled: int


def used(text: str, arch: int, folder: Path) -> dict[str, Used]:
    """Return the resources of every kernel of a text."""
    (folder / "kernels.cu").write_text(text)
    command = [
        "nvcc",
        "-cubin",
        f"-arch=sm_{arch}",
        "-std=c++17",
        "-Xptxas",
        "-v",
        "-o",
        "kernels.cubin",
        "kernels.cu",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    form = (
        r"Function properties for (\w+)\n.*?(\d+) bytes spill stores, (\d+) bytes spill loads\n.*?Used "
        r"(\d+) registers"
    )
    found = {
        name: Used(int(registers), int(stores) + int(loads))
        for name, stores, loads, registers in re.findall(form, done.stderr)
    }
    assert len(found) == text.count("__global__ void")
    return found


@pytest.mark.nvcc
@asked
@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_spilled(family: str, arch: int, tmp_path: Path) -> None:
    text = source(family, ARCHES[arch])
    for name, of in used(text, arch, tmp_path).items():
        kernel = text[text.index(f" {name}(") :].partition('\nextern "C"')[0]
        # In double precision, CUDA's inverse trigonometric functions save registers around the division that
        # they call; a whole kernel has few of them.
        most = 32 if re.search(r"const double v\d+ = a(sin|tan)\(", kernel) and of.registers <= 64 else 0
        assert of.spilled <= most, kernel
        assert of.registers * 256 <= ARCHES[arch].registers, name


@pytest.mark.nvcc
@asked
@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize(("dtype", "precision"), PRECISIONS)
def test_units_of_usual_sizes_spill_nothing(dtype: str, precision: str, arch: int, tmp_path: Path) -> None:
    made = gated_units(dtype, precision, ARCHES[arch])
    found = used(made.source, arch, tmp_path)
    print(
        f"\n{ARCHES[arch].name}, {dtype} {precision}\nhidden  batch           blocks  cluster   "
        f"shared  registers  spilled"
    )
    spilled = []
    for (hidden, batch), each in zip(SIZES, zip(*[iter(loops_of(made))] * 2)):
        for repeat, direction in zip(each, ("forward", "backward")):
            if repeat.once:
                launch = repeat.once[-1]
                of = found[launch.name]
                print(
                    f"{hidden:6} {batch:6} {direction:>9} {launch.grid:6} {launch.cluster:8} "
                    f"{launch.shared:8} {of.registers:10} {of.spilled:8}"
                )
                spilled += [(hidden, batch, direction, of)] if of.spilled else []
                assert of.registers * 256 <= ARCHES[arch].registers
    assert not spilled
