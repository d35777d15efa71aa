"""Every op that has a kernel, as CUDA computes it, against the engine's forward on the CPU: all in one text, on the emulated device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import inf, nan
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

import xgrad as xg
from xgrad.applying import apply
from xgrad.ops import OPS
from xgrad.program.cuda.expressions import CUDA
from xgrad.program.cuda.schedule import schedule
from xgrad.program.plans import Plan, Unsupported

from .cuda_plans import CHIP, emulator, lowered, outputs_of, run, together

ALL = {op.name: op for op in OPS.values() if op.kernel is not None}
FLOATS = ["float64", "float32", "float16", "bfloat16"]
WHOLE = ["int64", "int32", "bool"]
#: What has a kernel for real numbers alone, in the engine or here.
NO_WHOLE = {"**", "nextafter", "normal_quantile"}
NO_BOOL = {"-", "neg", "sign", "cbrt", "reciprocal", "conj"}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, inf, -inf, nan, 100.0, -100.0, 1e-3, 0.1, 1e4, -1e4]
#: Largest errors in units of the last place, where not 5: three of a function of the C library and two of NumPy's.
ERRORS = {"normal_cdf": 64}
EXACT = {
    "none", "+", "-", "*", "/", "neg", "copysign", "nextafter", "maximum", "minimum", "where", "stop_gradient", "sqrt", "square", "reciprocal", "relu",
    "abs", "conj", "real", "sign", "floor", "ceil", "trunc", "round",
}  # fmt: skip
#: Those that are exact next to 1 but not next to 0, and those of which NumPy gives either zero.
NEAR = {"sigmoid", "normal_quantile"}
ANY_ZERO = {"maximum", "minimum", "cbrt", "normal_quantile"}


class Case(NamedTuple):
    f: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]
    error: float = 5  # units in the last place
    near: float = 0  # and how far it may be off where it is nearly 0
    signs: bool = True  # of zeros


CASES: dict[str, Case] = {}


def _values(dtype: str, seed: int) -> np.ndarray:
    """What is special in a dtype, and what is not; as many for each."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(40) < 0.5
    if dtype in WHOLE:
        return np.concatenate([[0, 1, -1, 2, -2, 7, -8, 1000, -1000], rng.integers(-9, 10, 31)]).astype(dtype)
    info = ml_dtypes.finfo(dtype)
    edges = [float(s * e) for s in (1, -1) for e in (info.max, info.smallest_normal, info.smallest_subnormal)]
    found = np.concatenate([[*SPECIAL, *edges], rng.normal(size=9), rng.uniform(-1, 1, 6)])
    with np.errstate(all="ignore"):
        return found.astype(dtype if dtype != "bfloat16" else ml_dtypes.bfloat16)


def _operands(dtype: str, count: int) -> tuple[np.ndarray, ...]:
    """Every value against every other."""
    values = _values(dtype, 0)
    if count == 1:
        return (values,)
    return tuple(x.reshape(-1) for x in np.meshgrid(values, _values(dtype, 1)))


def _enter_ops() -> None:
    for name, op in ALL.items():
        if name == "where":
            continue
        error, near, signs = 0 if name in EXACT else ERRORS.get(name, 5), 1.0 * (name in NEAR), name not in ANY_ZERO
        for dtype in FLOATS:
            if name == "nextafter" and dtype in FLOATS[2:]:
                continue
            arrays = _operands(dtype, op.arity or 1)
            if name == "normal_quantile":  # what random numbers are made by: of probabilities alone
                arrays = (np.linspace(0.01, 0.99, 41).astype(arrays[0].dtype),)
            CASES[f"{name} {dtype}"] = Case(lambda *a, op=op: apply(op, a), arrays, error, near, signs)
        if name in NO_WHOLE:
            continue
        kinds = WHOLE[:2] if name in NO_BOOL else WHOLE
        arrays = tuple(x for dtype in kinds for x in _operands(dtype, op.arity or 1))
        if name == "reciprocal":
            arrays = (np.array([1, -1, 2, -2, 7]), np.array([1, -1, 2, -2, 7], "int32"))
        n = op.arity or 1
        CASES[f"{name} whole"] = Case(lambda *a, op=op, n=n: tuple(apply(op, a[i : i + n]) for i in range(0, len(a), n)), arrays, error, near, signs)


def _compared(x: Any, y: Any) -> Any:
    return x < y, x <= y, x > y, x >= y, x == y, x != y, xg.logical_and(x, y), x + y


def _with_number(x: Any, n: Any) -> Any:
    if isinstance(n, float) and x.dtype.kind in "bi":
        return x < n, n == x, x >= n
    return x < n, n == x, x >= n, x * n, xg.where(x > 0, n, x), *(() if x.dtype.kind == "b" else (n - x,))


def _enter_others() -> None:
    for dtype in ("float64", "float32", "float16", "int32"):
        x, y = _operands(dtype, 2)
        c = np.random.default_rng(3).random(x.size) < 0.5
        CASES[f"where {dtype}"] = Case(lambda c, x, y: xg.where(c, x, y), (c, x, y), 0)
        CASES[f"where of a comparison {dtype}"] = Case(lambda x, y: xg.where(x < y, x, y), (x, y), 0)
        CASES[f"where of numbers {dtype}"] = Case(lambda x, y: xg.where(x < y, 1, 0) + x, (x, y), 0)
    for a in FLOATS[:3] + WHOLE:
        for b in FLOATS[:3] + WHOLE:
            x, y = _values(a, 0), _values(b, 1)[:: -1 if a != b else 1]
            x, y = x[: min(x.size, y.size)], y[: min(x.size, y.size)]
            CASES[f"{a} and {b}"] = Case(_compared, (x, y), 0)
    for number in (0, -1, 2.5, -0.0, 0.1, inf, nan, -1e300, 1e-300, True):
        for dtype in ("float64", "float32", "float16", "int64", "int32", "bool"):
            if isinstance(number, bool) and dtype == "bool":
                continue
            x = _values(dtype, 2)
            CASES[f"{dtype} and {number}"] = Case(lambda x, n=number: _with_number(x, n), (x,), 0)
    powers = (0, 1, 2, 3, 4, 5, -1, -2, -4, 0.5, -0.5, 0.25, 1.5, 2.0, 3.0, -3.0, inf, -inf, nan, 1e300)
    for dtype in ("float64", "float32", "float16"):
        CASES[f"powers of {dtype}"] = Case(lambda x: tuple(x**n for n in powers), (_values(dtype, 2),))
        CASES[f"powers of numbers to {dtype}"] = Case(lambda x: tuple(n**x for n in (2.5, -2.0, 0.0, 1, inf)), (_values(dtype, 2),))
    large = np.array([2**53 + 1, -(2**53) - 1, 2**62 + 3, 5])
    CASES["large whole numbers"] = Case(lambda x: tuple(apply(OPS[name], (x,)) for name in ("floor", "ceil", "trunc", "round", "abs", "neg", "relu")), (large,), 0)
    tame = np.array([0.0, -0.0, 0.4, -0.6, 1.5, -2.5, 100.7, -100.2, 3e4])
    kinds = ["float64", "float32", "float16", "int64", "int32", "bool"]
    for a in kinds:
        for b in kinds:
            CASES[f"{a} as {b}"] = Case(lambda x, b=b: xg.astype(x, b), (tame.astype(a),), 0)
    CASES["float as int as bool as float"] = Case(lambda x: xg.astype(xg.astype(xg.astype(x, "int32"), "bool"), "float32"), (tame.astype("float32"),), 0)
    CASES["rounded and widened"] = Case(lambda x: xg.astype(xg.astype(x, "float16"), "float64") * 3, (np.linspace(-3, 3, 41),), 0)


_enter_ops()
_enter_others()


def _as_tensor(x: np.ndarray) -> Any:
    return xg.asarray(x.astype(np.float32) if x.dtype == ml_dtypes.bfloat16 else x)


def _in_bfloat16(plan: Plan) -> Plan:
    """A plan of float32 as one of bfloat16."""
    name = {"float32": "bfloat16"}
    (m,) = plan.body
    steps = tuple(s._replace(dtype=name.get(s.dtype, s.dtype)) for s in m.steps)
    return Plan(tuple(b._replace(dtype=name.get(b.dtype, b.dtype)) for b in plan.buffers), (m._replace(steps=steps),))


@pytest.fixture(scope="module")
def computed() -> dict[str, list[np.ndarray]]:
    """The results of all cases; no two of the same length, so that each has its kernel."""
    found: dict[str, Any] = {}
    inputs = []
    for i, (name, case) in enumerate(CASES.items()):
        arrays = [np.resize(x, x.size + i if x.size > 100 else 40 + i) for x in case.arrays]
        with np.errstate(all="ignore"):
            found[name] = lowered(case.f, *map(_as_tensor, arrays))
        if arrays[0].dtype == ml_dtypes.bfloat16:
            found[name] = found[name]._replace(plan=_in_bfloat16(found[name].plan))
        inputs += arrays
    flat = iter(run(together([f.plan for f in found.values()]), inputs)[0])
    return {name: outputs_of(f, [next(flat) for b in f.plan.buffers if b.kind == "output"]) for name, f in found.items()}


@pytest.mark.slow
@emulator
@pytest.mark.parametrize("name", CASES)
def test_an_op_is_what_it_is_on_the_cpu(name: str, computed: dict[str, list[np.ndarray]]) -> None:
    case = CASES[name]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        z = case.f(*map(_as_tensor, case.arrays))
        wanted = [np.asarray(v) for v in (z if isinstance(z, tuple) else (z,))]
    assert len(computed[name]) == len(wanted)
    for i, (found, want) in enumerate(zip(computed[name], wanted)):
        if found.dtype == ml_dtypes.bfloat16:
            assert want.dtype == np.float32
            want = want.astype(ml_dtypes.bfloat16)
        _check(case, found[: want.size], want, f"output {i} of {[x[:40] for x in case.arrays]}")


def _check(case: Case, found: np.ndarray, want: np.ndarray, where: str) -> None:
    assert found.dtype == want.dtype
    if want.dtype.kind in "biu":
        np.testing.assert_array_equal(found, want, where)
        return
    info = ml_dtypes.finfo(want.dtype)
    error = case.error if want.dtype.itemsize > 2 else min(case.error, 1)
    wide, exact = found.astype(np.float64), want.astype(np.float64)
    atol = error * float(info.smallest_subnormal) + case.near * float(info.eps)
    np.testing.assert_allclose(wide, exact, rtol=error * float(info.eps), atol=atol, err_msg=where)
    if case.signs:
        zeros = (wide == 0) & (exact == 0)
        np.testing.assert_array_equal(np.signbit(wide)[zeros], np.signbit(exact)[zeros], where)


def _chosen(f: Callable[..., Any], *arrays: np.ndarray) -> str:
    """What a schedule is refused for."""
    with np.errstate(all="ignore"):
        found = lowered(f, *map(_as_tensor, arrays))
    with pytest.raises(Unsupported) as error:
        schedule(found.plan, CHIP)
    return str(error.value)


def test_ops_of_the_table_without_a_kernel_are_these() -> None:
    without = {op.name for op in OPS.values() if op.elementwise and op.kernel is None}
    assert without == {"//", "%", "&", "|", "^", "~", "<<", ">>", "imag", "complex_sign"}
    assert {op.name for op in OPS.values()} & set(ALL) == set(ALL)
    assert set(ALL) | {"astype", "round_to"} == {OPS[name].name for name in CUDA.ops if name in OPS} | {"astype", "round_to"}


def test_what_has_a_kernel_but_not_for_every_dtype_is_refused() -> None:
    whole, half = np.arange(3), np.arange(3, dtype="float16")
    assert _chosen(lambda x: x**2, whole) == "'**' of dtype int64"
    assert _chosen(lambda x: apply(OPS["nextafter"], (x, x)), half) == "'nextafter' of float16"


def test_every_case_is_there() -> None:
    assert {name.partition(" ")[0] for name in CASES} >= set(ALL) - {"where"}
    assert all(f"{name} {dtype}" in CASES for name in ALL for dtype in FLOATS[:2] if name != "where")
