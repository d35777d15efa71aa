"""Test every op on single elements, on every executor and dtype, against the eager engine.

Special values and ops inside a loop are included.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import xgrad as xg
from tests.helpers.calls import CALLS
from tests.helpers.cuda_plans import emulator, lowered, outputs_of, run, together
from tests.helpers.single_elements import (
    ALL,
    CASES,
    FLOATS,
    NATIVE,
    NO_FLOATS,
    NO_WHOLE,
    Case,
    as_tensor,
    in_bfloat16,
)
from xgrad.backends.cpu import native
from xgrad.compiler.calls import calls
from xgrad.compiler.codegen.cuda.target import CUDA
from xgrad.compiler.codegen.llvm.target import CPU
from xgrad.compiler.codegen.numpy.plan import NUMPY
from xgrad.compiler.interpreter import interpret
from xgrad.compiler.lowering.plan import Buffer
from xgrad.compiler.passes import optimise
from xgrad.core.dispatch import apply
from xgrad.ops import OPS

#: Ops without a native form, and ops that NumPy lacks.
NOT_NATIVE, NOT_IN_NUMPY = {"normal_quantile"}, {"normal_quantile", "normal_cdf"}
native_only = pytest.mark.skipif(native.missing() is not None, reason=native.missing() or "")


@pytest.fixture(scope="module")
def on_cuda() -> dict[str, list[np.ndarray]]:
    """Return the results of all cases by CUDA kernels compiled from one text.

    No two cases have the same length, so that each gets its own kernel.
    """
    found: dict[str, Any] = {}
    inputs = []
    for i, (name, case) in enumerate(CASES.items()):
        arrays = [np.resize(x, x.size + i if x.size > 100 else 40 + i) for x in case.arrays]
        with np.errstate(all="ignore"):
            found[name] = lowered(case.f, *map(as_tensor, arrays))
        if arrays[0].dtype == ml_dtypes.bfloat16:
            found[name] = found[name]._replace(plan=in_bfloat16(found[name].plan))
        inputs += map(_as_pairs, arrays, found[name].plan.buffers)
    flat = iter(run(together([f.plan for f in found.values()]), inputs)[0])
    return {
        name: outputs_of(f, [next(flat) for b in f.plan.buffers if b.kind == "output"])
        for name, f in found.items()
    }


def _as_pairs(x: np.ndarray, buffer: Buffer) -> np.ndarray:
    """Return an argument in its buffer's form: complex numbers may be stored as pairs of real numbers."""
    return x if x.dtype.kind != "c" or np.dtype(buffer.dtype).kind == "c" else x.view(x.real.dtype)


def _wanted(case: Case, given: Callable[..., Any] = as_tensor) -> list[np.ndarray]:
    """Return the engine's result, op by op."""
    z = case.f(*map(given, case.arrays))
    return [np.asarray(v) for v in (z if isinstance(z, tuple) else (z,))]


def _interpreted(case: Case) -> Any:
    return interpret(optimise(xg.trace(case.f, *case.arrays)), xg.current_device(), case.arrays)


def _compiled(case: Case, kind: str) -> Any:
    f = xg.compile(case.f)
    z = f(*map(xg.asarray, case.arrays))
    executable = f.executable(*map(xg.asarray, case.arrays))
    assert executable.kind == kind, executable.why
    return z if isinstance(z, tuple) else (z,)


def _source(case: Case) -> Any:
    module: dict[str, Any] = {}
    exec(xg.trace(case.f, *case.arrays).source(), module)
    z, _ = module["forward"](*case.arrays)
    return z if isinstance(z, tuple) else (z,)


def _in_a_loop(case: Case, kind: str) -> Any:
    """Return the values of the case, computed in a scan's body in four steps."""
    steps = [x.reshape(4, -1) for x in (np.resize(x, -(-x.size // 4) * 4) for x in case.arrays)]

    def f(*xs: Any) -> Any:
        return xg.scan(lambda c, x: (c + 1, case.f(*x)), 0.0, xs)[1]

    found = _compiled(Case(f, tuple(steps)), kind)
    return [xg.reshape(z, (-1,)) for z in found]


EXECUTORS: dict[str, Callable[[Case], Any]] = {
    "interpreted": _interpreted,
    "NumPy": lambda case: _compiled(case, "NumPy"),
    "NumPy in a loop": lambda case: _in_a_loop(case, "NumPy"),
    "source": _source,
    "native": lambda case: _compiled(case, "native code"),
    "native in a loop": lambda case: _in_a_loop(case, "native code"),
}


def _gives(op: str) -> str:
    """Return the result dtype of an op on booleans."""
    case = CASES[f"{op} bool"]
    with np.errstate(all="ignore"):
        return str(case.f(*map(as_tensor, case.arrays)).dtype)


def _combinations() -> list[Any]:
    """Return every case with every executor that supports it.

    Half precision is for CUDA kernels and native code.
    """
    found = []
    for name in CASES:
        op, _, dtypes = name.partition(" ")
        half = "16" in name or name == "rounded and widened" or (dtypes == "bool" and _gives(op) == "float16")
        executors = ("interpreted", "NumPy", "native") if "complex" in name else EXECUTORS
        for executor in executors if not half else ("native", "native in a loop"):
            without = (
                NOT_NATIVE if "native" in executor else NOT_IN_NUMPY if executor != "interpreted" else ()
            )
            if op not in without or dtypes not in ("float32", "float64", "whole", "bool"):
                found.append(pytest.param(executor, name, marks=_marks(executor, name)))
        found.append(pytest.param("CUDA", name, marks=[emulator, pytest.mark.slow]))
    found += [
        pytest.param("native", name, marks=_marks("native", name))
        for name in NATIVE
        if name.partition(" ")[0] not in NOT_NATIVE
    ]
    return found


def _marks(executor: str, name: str) -> list[pytest.MarkDecorator]:
    """Mark all but one dtype of each kind as slow."""
    usual = name.split()[-1] in ("float64", "whole", "bool") and "and" not in name
    return [*([native_only] if "native" in executor else []), *([] if usual else [pytest.mark.slow])]


@pytest.mark.parametrize(("executor", "name"), _combinations())
def test_an_op_is_what_it_is_eagerly(
    executor: str, name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES.get(name) or NATIVE[name]
    monkeypatch.setenv("XGRAD_NATIVE", "0" if "NumPy" in executor else "1")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        wanted = _wanted(case, xg.asarray if "native" in executor else as_tensor)
        computed = (
            request.getfixturevalue("on_cuda")[name] if executor == "CUDA" else EXECUTORS[executor](case)
        )
    assert len(computed) == len(wanted)
    for i, (found, want) in enumerate(zip(map(np.asarray, computed), wanted)):
        if found.dtype == ml_dtypes.bfloat16 and executor == "CUDA":
            assert want.dtype == np.float32
            want = want.astype(ml_dtypes.bfloat16)
        if executor == "CUDA" and want.dtype.kind == "c" and found.dtype.kind == "f":
            found = found.view(want.dtype)[..., 0]  # pairs of real numbers
        assert executor == "CUDA" or "loop" in executor or found.shape == want.shape
        _check(case, found[: want.size], want, f"output {i} of {[x[:40] for x in case.arrays]}")


def _check(case: Case, found: np.ndarray, want: np.ndarray, where: str) -> None:
    assert found.dtype == want.dtype
    if want.dtype.kind in "biu":
        np.testing.assert_array_equal(found, want, where)
        return
    if want.dtype.kind == "c":
        _check_complex(case, found, want, where)
        return
    info = ml_dtypes.finfo(want.dtype)
    error = case.error if want.dtype.itemsize > 2 else min(case.error, 1)
    wide, exact = found.astype(np.float64), want.astype(np.float64)
    atol = error * float(info.smallest_subnormal) + case.near * float(info.eps)
    np.testing.assert_allclose(wide, exact, rtol=error * float(info.eps), atol=atol, err_msg=where)
    if case.signs:
        zeros = (wide == 0) & (exact == 0)
        np.testing.assert_array_equal(np.signbit(wide)[zeros], np.signbit(exact)[zeros], where)


def _check_complex(case: Case, found: np.ndarray, want: np.ndarray, where: str) -> None:
    """Compare complex numbers to rounding of the larger part.

    Where one result is not finite, the other only has to be not finite as well. Zeros must be zeros.
    """
    finite = np.isfinite(want)
    assert not np.isfinite(found[~finite]).any(), where
    found, want = found[finite].astype(complex), want[finite].astype(complex)
    info = np.finfo("float32" if any(x.dtype == np.complex64 for x in case.arrays) else "float64")
    bound = case.error * float(info.eps) * np.abs(want) + case.near * float(info.eps)
    wrong = ~(np.abs(found - want) <= bound + 4 * float(info.smallest_subnormal))
    assert not wrong.any(), f"{where}: {found[wrong][:5]} and not {want[wrong][:5]}"


def _called(f: Callable[..., Any], *arrays: np.ndarray) -> list[str]:
    """Return the ops that a plan leaves to the array library."""
    with np.errstate(all="ignore"):
        found = lowered(f, *map(as_tensor, arrays))
    return [call.op for call, _ in calls(found.plan.body)]


def test_what_has_a_kernel_but_not_for_every_dtype_is_called() -> None:
    whole, half = np.arange(3), np.arange(3, dtype="float16")
    assert _called(lambda x: x**x, whole) == ["**"]
    assert _called(lambda x: apply(OPS["nextafter"], (x, x)), half) == ["nextafter"]
    assert _called(lambda x: apply(OPS["nextafter"], (x, x)), np.ones(3)) == []


#: The ops that CUDA kernels leave to the array library: copies to or from dtypes that no kernel supports, and
#: the parts of complex numbers that the library has computed; linear algebra; some others. Fourier transforms
#: are called if they are long, which none of these are.
CALLED_ON_CUDA = (
    *("none", "real", "imag", "complex"),
    *("cholesky", "det", "eig", "eigh", "eigvalsh", "inv", "pinv", "qr", "slogdet", "solve", "svd"),
    "svdvals",
    *("prod", "all", "any", "count_nonzero", "searchsorted"),
)


def test_the_ops_without_a_cuda_kernel() -> None:
    """Over all functions of the namespace, except those whose shapes depend on values."""
    found = set()
    for name, made in CALLS.items():
        for call in made if name != "result_type" else ():
            f, arrays = call
            with np.errstate(all="ignore"):
                try:
                    plan = lowered(lambda *xs, f=f: f(xg, *xs), *map(xg.asarray, arrays)).plan
                except xg.TraceError:
                    continue
            found |= {item.op for item, _ in calls(plan.body) if not item.kernel}
    assert found == {*CALLED_ON_CUDA}


def test_every_op_is_here_and_has_a_form_everywhere() -> None:
    assert all(CUDA.knows(op) for op in ALL.values())
    assert {name for name, op in ALL.items() if not CPU.knows(op)} == NOT_NATIVE
    assert {name for name, op in ALL.items() if not NUMPY.knows(op)} == NOT_IN_NUMPY
    assert {name.partition(" ")[0] for name in CASES} >= set(ALL)
    assert all(f"{name} {dtype}" in CASES for name in ALL for dtype in FLOATS[:2] if name not in NO_FLOATS)
    assert all(f"{name} whole" in CASES for name in ALL if name not in {*NO_WHOLE, "where"})


def test_the_table_does_not_depend_on_what_has_run() -> None:
    text = """

from xgrad.ops import OPS
import xgrad as xg
before = dict(OPS)
f = xg.compile(lambda x: xg.scan(lambda h, x: (xg.tanh(h @ x + h), None), x, xg.stack([x, x]))[0])
f(xg.eye(3))
assert OPS == before and {"scan", "checkpoint", "custom", "after", "@+", "repeated"} <= set(OPS)
"""
    subprocess.run([sys.executable, "-c", text], check=True)
