"""Every op on single elements, in every dtype: the cases, and the errors allowed to an executor."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

import xgrad as xg
from xgrad.compiler.lowering.plan import Plan
from xgrad.core.dispatch import apply
from xgrad.ops import OPS

ALL = {
    op.name: op
    for op in OPS.values()
    if op.kernel.pointwise and op.name not in ("astype", "round_to", "complex_sign")
}

FLOATS = ["float64", "float32", "float16", "bfloat16"]
WHOLE = ["int64", "int32", "bool"]
#: Integers that only native code has kernels for.
MORE = ["int8", "int16", "uint8", "uint16", "uint32", "uint64"]
#: Ops whose kernels are for real numbers only, in the engine or here.
NO_WHOLE = {"**", "nextafter", "normal_quantile"}
NO_BOOL = {"-", "neg", "sign", "cbrt", "reciprocal", "conj", "//", "%", "<<", ">>"}
#: Ops that are defined for complex numbers, in the engine and here; and those only for complex numbers.
COMPLEX = ["complex128", "complex64"]
NO_COMPLEX = {
    *("//", "%", "atan2", "hypot", "copysign", "nextafter", "logaddexp", "signbit", "floor", "ceil", "trunc"),
    *("&", "|", "^", "~", "<<", ">>", "normal_cdf", "normal_quantile"),
}
#: Ops that may overflow; integer overflow depends on the compiler.
OVERFLOWS = {"+", "-", "*", "neg", "square", "abs", "cbrt"}
NO_FLOATS = {"&", "|", "^", "~", "<<", ">>"}

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    3.0,
    inf,
    -inf,
    nan,
    100.0,
    -100.0,
    1e-3,
    0.1,
    1e4,
    -1e4,
]

#: Largest errors in units of the last place, if not 5: three for a function of the C library, two for
#: NumPy's.
ERRORS = {"normal_cdf": 64, "tanh": 6}

EXACT = {
    "none",
    "+",
    "-",
    "*",
    "/",
    "neg",
    "copysign",
    "nextafter",
    "maximum",
    "minimum",
    "where",
    "stop_gradient",
    "sqrt",
    "square",
    "reciprocal",
    "relu",
    "abs",
    "conj",
    "real",
    "imag",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "round",
    "//",
    "%",
}

#: Allowed roundings of a complex op, each part of which is several ops.
COMPLEX_ERROR = 64
#: Ops that are exact near 1 but not near 0, and ops for which NumPy returns either zero.
NEAR = {"sigmoid", "logaddexp", "normal_quantile"}
ANY_ZERO = {"maximum", "minimum", "cbrt", "normal_quantile"}


class Case(NamedTuple):
    f: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]
    error: float = 5  # units in the last place
    near: float = 0  # absolute error near 0
    signs: bool = True  # whether signs of zeros are compared


CASES: dict[str, Case] = {}
NATIVE: dict[str, Case] = {}


def _values(dtype: str, seed: int) -> np.ndarray:
    """Return special and ordinary values of a dtype, equally many of each."""
    rng = np.random.default_rng(seed)
    if dtype in COMPLEX:
        return _complex_values(dtype, rng)
    if dtype == "bool":
        return rng.random(40) < 0.5
    if dtype in MORE:
        ends = np.iinfo(dtype)
        edges = [0, 1, 2, 3, ends.max, ends.max - 1, ends.min, ends.min + 1, ends.max // 2]
        return np.concatenate(
            [np.array(edges, dtype), rng.integers(ends.min, ends.max, 20, dtype, endpoint=True)]
        )
    if dtype in WHOLE:
        return np.concatenate([[0, 1, -1, 2, -2, 7, -8, 1000, -1000], rng.integers(-9, 10, 31)]).astype(dtype)
    info = ml_dtypes.finfo(dtype)
    edges = [float(s * e) for s in (1, -1) for e in (info.max, info.smallest_normal, info.smallest_subnormal)]
    found = np.concatenate([[*SPECIAL, *edges], rng.normal(size=9), rng.uniform(-1, 1, 6)])
    with np.errstate(all="ignore"):
        return found.astype(dtype if dtype != "bfloat16" else ml_dtypes.bfloat16)


def _complex_values(dtype: str, rng: np.random.Generator) -> np.ndarray:
    """Return finite numbers near branch cuts and axes, large and small ones, and some others."""
    info = np.finfo(dtype)
    tiny, large = float(info.tiny), float(info.max) ** 0.5
    parts = np.array([0.0, -0.0, 1, -1, 0.5, -2.5, 21.0, -85.0, 1e-3, large, -large, tiny, 1 - 1e-7])
    grid = np.empty((parts.size, parts.size), dtype)
    grid.real, grid.imag = parts[:, None], parts
    drawn = rng.normal(size=31) + 1j * rng.normal(size=31)
    return np.concatenate([grid.reshape(-1), drawn.astype(dtype)])


def _operands(dtype: str, count: int) -> tuple[np.ndarray, ...]:
    """Pair every value with every other."""
    values = _values(dtype, 0)
    if count == 1:
        return (values,)
    if dtype in COMPLEX:  # too many pairs to test all
        x, y = np.meshgrid(values[::5], _values(dtype, 1)[::3])
        return x.reshape(-1), y.reshape(-1)
    return tuple(x.reshape(-1) for x in np.meshgrid(values, _values(dtype, 1)))


def _enter_ops() -> None:
    for name, op in ALL.items():
        if name == "where":
            continue
        error, near, signs = (
            0 if name in EXACT else ERRORS.get(name, 5),
            1.0 * (name in NEAR),
            name not in ANY_ZERO,
        )
        for dtype in [] if name in NO_FLOATS else FLOATS:
            if name == "nextafter" and dtype in FLOATS[2:]:
                continue
            arrays = _operands(dtype, op.arity or 1)
            if name == "normal_quantile":  # used for random numbers: probabilities only
                arrays = (np.linspace(0.01, 0.99, 41).astype(arrays[0].dtype),)
            CASES[f"{name} {dtype}"] = Case(lambda *a, op=op: apply(op, a), arrays, error, near, signs)
        for dtype in [] if name in NO_COMPLEX else COMPLEX:
            arrays = _operands(dtype, op.arity or 1)
            error = 1e4 if name == "**" else COMPLEX_ERROR  # the error grows with the exponent
            CASES[f"{name} {dtype}"] = Case(
                lambda *a, op=op: apply(op, a), arrays, error, {"log1p": 8.0}.get(name, near)
            )
        if name in NO_WHOLE:
            continue
        arrays = tuple(x for dtype in WHOLE[:2] for x in _operands(dtype, op.arity or 1))
        if name not in OVERFLOWS:
            arrays = tuple(
                np.concatenate([x, [np.iinfo(x.dtype).max, np.iinfo(x.dtype).min]]) for x in arrays
            )
        n = op.arity or 1
        if name not in NO_BOOL:
            CASES[f"{name} bool"] = Case(
                lambda *a, op=op: apply(op, a), _operands("bool", n), error, near, signs
            )
        CASES[f"{name} whole"] = Case(
            lambda *a, op=op, n=n: tuple(apply(op, a[i : i + n]) for i in range(0, len(a), n)),
            arrays,
            error,
            near,
            signs,
        )


def _compared(x: Any, y: Any) -> Any:
    return x < y, x <= y, x > y, x >= y, x == y, x != y, xg.logical_and(x, y), x + y


def _with_numbers(x: Any, y: Any) -> Any:
    """Combine a complex number with another, in either order."""
    return x + y, y - x, x * y, y * x, x - y, y / xg.where(x == 0, 1, x), x == y, y != x


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
    for dtype in COMPLEX:
        x, y = _operands(dtype, 2)
        c = np.random.default_rng(3).random(x.size) < 0.5
        CASES[f"where {dtype}"] = Case(lambda c, x, y: (xg.where(c, x, y), xg.where(x, y, 1j)), (c, x, y), 0)
        x = _complex_values(dtype, np.random.default_rng(2))
        x = x[np.abs(x) < 1e3]
        for n in (0, 1, 2, 3, -1, -2, 0.5, 2.5, 1j, 2 - 1j):
            CASES[f"{dtype} with {n}"] = Case(
                lambda x, n=n: (x + n, n - x, x * n, n / x, x / n if n else x, x == n, x**n),
                (x,),
                COMPLEX_ERROR,
            )
        for other in ("float64", "float32", "int64", "bool"):
            tame = np.resize(np.array([0, 1, 3, -2.5]), x.size).astype(other)
            CASES[f"{dtype} and {other}"] = Case(_with_numbers, (x, tame), COMPLEX_ERROR)
            CASES[f"{other} as {dtype}"] = Case(
                lambda x, d=dtype: (xg.astype(x, d), xg.astype(xg.astype(x, d), "bool")), (tame,), 0
            )
        CASES[f"{dtype} as others"] = Case(
            lambda x: (xg.astype(x, "complex128"), xg.astype(x * 1e-30, "complex64"), xg.astype(x, "bool")),
            (x,),
            COMPLEX_ERROR,
        )
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
        CASES[f"powers of numbers to {dtype}"] = Case(
            lambda x: tuple(n**x for n in (2.5, -2.0, 0.0, 1, inf)), (_values(dtype, 2),)
        )
    for dtype in ("int64", "int32"):
        CASES[f"powers of {dtype}"] = Case(
            lambda x: tuple(x**n for n in (0, 1, 2, 3, 4, 5, 7)), (np.arange(-9, 10, dtype=dtype),), 0
        )
    large = np.array([2**53 + 1, -(2**53) - 1, 2**62 + 3, 5])
    CASES["large whole numbers"] = Case(
        lambda x: tuple(
            apply(OPS[name], (x,)) for name in ("floor", "ceil", "trunc", "round", "abs", "neg", "relu")
        ),
        (large,),
        0,
    )
    tame = np.array([0.0, -0.0, 0.4, -0.6, 1.5, -2.5, 100.7, -100.2, 3e4])
    kinds = ["float64", "float32", "float16", "int64", "int32", "bool"]
    for a in kinds:
        for b in kinds:
            CASES[f"{a} as {b}"] = Case(lambda x, b=b: xg.astype(x, b), (tame.astype(a),), 0)
    CASES["float as int as bool as float"] = Case(
        lambda x: xg.astype(xg.astype(xg.astype(x, "int32"), "bool"), "float32"), (tame.astype("float32"),), 0
    )
    CASES["rounded and widened"] = Case(
        lambda x: xg.astype(xg.astype(x, "float16"), "float64") * 3, (np.linspace(-3, 3, 41),), 0
    )


def _enter_native() -> None:
    """Add integers of every length, with the ends of their ranges, and pairs of different dtypes."""
    for name, op in ALL.items():
        for dtype in [] if name in NO_WHOLE | {"where"} else MORE:
            error, near = 0 if name in EXACT else ERRORS.get(name, 5), 1.0 * (name in NEAR)
            arrays = _operands(dtype, op.arity or 1)
            if name == "cbrt":  # its lowest number has no absolute value
                arrays = (arrays[0][(arrays[0] == 0) | (arrays[0] != np.iinfo(dtype).min)],)
            NATIVE[f"{name} {dtype}"] = Case(lambda *a, op=op: apply(op, a), arrays, error, near, False)
    kinds = [*MORE, *WHOLE, *FLOATS]
    for a in kinds:
        for b in kinds:
            if a in MORE or b in MORE or "bfloat16" in (a, b):
                x, y = _values(a, 0), _values(b, 1)
                pairs = np.repeat(x, y.size), np.tile(y, x.size)
                NATIVE[f"{a} and {b}"] = Case(_compared, pairs, 0)
                tame = np.array([0, 1, 2, 100, 7, 3] if b in MORE and a in FLOATS else x).astype(x.dtype)
                NATIVE[f"{a} as {b}"] = Case(lambda x, b=b: xg.astype(x, b), (tame,), 0)
    for a in FLOATS:
        for b in ("int8", "uint8", "int16", "uint16", "uint32", "uint64"):
            x = np.array([-1.5, -0.5, -100.7, 200.2, 65000.0]).astype(_values(a, 0).dtype)
            NATIVE[f"{a} as {b}, which wraps around"] = Case(lambda x, b=b: xg.astype(x, b), (x,), 0)
    for dtype in MORE:
        x = _values(dtype, 2)
        for n in (0, 1, 2.5, 100, -1, 300, -(2**40), 2**63, 2**70, 2**200):
            NATIVE[f"{dtype} beside {n}"] = Case(lambda x, n=n: (x < n, n == x, x >= n), (x,), 0)
        NATIVE[f"powers of {dtype}"] = Case(lambda x: tuple(x**n for n in (0, 1, 2, 3, 4, 5, 7)), (x,), 0)
        c = np.random.default_rng(3).random(x.size) < 0.5
        NATIVE[f"where {dtype}"] = Case(lambda c, x, y: xg.where(c, x, y), (c, x, x[::-1].copy()), 0)
    exact = np.array(
        [0.0, 1 + 2**-11 + 2**-40, 1 + 2**-11, 1 + 2**-11 - 2**-40, 65519.99, 65520, -3e-8, 3e38]
    )
    for dtype in ("float16", "bfloat16"):
        NATIVE[f"rounded once to {dtype}"] = Case(lambda x, d=dtype: xg.astype(x, d), (exact,), 0)


_enter_ops()


_enter_others()
_enter_native()


def as_tensor(x: np.ndarray) -> Any:
    return xg.asarray(x.astype(np.float32) if x.dtype == ml_dtypes.bfloat16 else x)


def in_bfloat16(plan: Plan) -> Plan:
    """Return a float32 plan converted to bfloat16."""
    name = {"float32": "bfloat16"}
    (m,) = plan.body
    steps = tuple(s._replace(dtype=name.get(s.dtype, s.dtype)) for s in m.steps)
    return Plan(
        tuple(b._replace(dtype=name.get(b.dtype, b.dtype)) for b in plan.buffers), (m._replace(steps=steps),)
    )
