"""The tables that say which executor has code of its own for which op and dtype, as lowering decides it: a
program of each op is lowered for each executor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

import xgrad as xg
from tests.helpers.calls import CALLS, Call
from tests.helpers.programs import traced
from xgrad.compiler.codegen.cuda.target import CUDA
from xgrad.compiler.codegen.llvm.kernels import KERNELS
from xgrad.compiler.codegen.llvm.target import CPU
from xgrad.compiler.codegen.numpy.plan import NUMPY
from xgrad.compiler.ir import Program, Stage, everything
from xgrad.compiler.lowering import plan as plans
from xgrad.compiler.lowering.lower import lower
from xgrad.compiler.lowering.plan import Target, Unsupported
from xgrad.compiler.passes import optimise
from xgrad.compiler.passes.complex_pairs import complex_pairs
from xgrad.compiler.passes.fourier import is_short
from xgrad.compiler.passes.indices import as_reductions
from xgrad.namespace.dtypes import DTYPES
from xgrad.ops import OPS, Op

#: The executors, and the array library that each calls.
TARGETS = {"CPU": (CPU, "NumPy"), "CUDA": (CUDA, "CuPy"), "NumPy text": (NUMPY, "NumPy")}


def ops() -> list[str]:
    """A row for all ops of the table that are computed alike."""
    stages = samples()
    rows: dict[tuple[str, ...], list[str]] = {}
    named = {op.function: op for op in OPS.values() if not (op.listing.internal or op.listing.registered)}
    for name, op in sorted(named.items(), key=lambda item: ("." in item[0], item[0])):
        if op.name in stages:
            cells = tuple(_where(op, stages[op.name], *target) for target in TARGETS.values())
            rows.setdefault(cells, []).append(f"`{name}`")
    alike = sorted(rows.items(), key=lambda row: [_ORDER.index(re.split("[,;: ]", c)[0]) for c in row[0]])
    return [f"| {' '.join(names)} | {' | '.join(cells)} |" for cells, names in alike]


def _assigned(key: Any) -> Callable[..., Any]:
    def f(xp: Any, x: Any, v: Any) -> Any:
        x = xp.positive(x)
        x[key] = v
        return x

    return f


_x, _v, _i = np.ones((3, 3)), np.ones((2, 3)), np.array([0, 2])
#: Calls of ops that have no function of their own.
MORE = [
    Call(_assigned(slice(2)), (_x, _v)),
    Call(_assigned(_i), (_x, _v)),
    Call(lambda xp, x: xp.grad(lambda x: xp.sum(xp.sin(x[:2])))(x), (_x,)),
    Call(lambda xp, x: xp.grad(lambda x: xp.sum(xp.sin(x[_i])))(x), (_x,)),
]
#: Cells of the table begin with these words, the fastest first.
_ORDER = ("view", "map", "product", "kernel", "NumPy", "CuPy")


def samples() -> dict[str, list[Stage]]:
    """Stages of each op, from a call of every function."""
    found: dict[str, list[Stage]] = {}
    for call in [*(call for calls in CALLS.values() for call in calls), *MORE]:
        for s in _stages(call):
            found.setdefault(s.op, []).append(s)
    return found


def _stages(call: Call) -> Iterator[Stage]:
    def f(*arrays: Any) -> list[Any]:
        z = call.f(xg, *arrays)
        return list(z) if isinstance(z, tuple | list) else [z]

    try:
        with np.errstate(all="ignore"):
            program, _ = traced(f, list(call.arrays))
    except Exception:  # not every function can be traced, as not every one returns arrays
        return
    yield from (s for s in everything(program.stages) if isinstance(s, Stage))


def _where(op: Op, stages: Sequence[Stage], target: Target, library: str) -> str:
    """What an executor does with an op, of floating-point numbers if it takes them."""
    floats = [s for s in stages if all(np.dtype(v.dtype).kind == "f" for v in (*s.values[:1], *s.outputs))]
    found = [kinds_of(s, target) for s in floats or stages]
    words = [kind for kind in ("view", "map", "product") if any(kind in kinds for kinds in found)]
    if any(map(is_short, stages)):
        words = ["product (short axes)", library]
    if any("kernel" in kinds for kinds in found):
        condition = KERNELS[op.name].condition if op.name in KERNELS else ""
        words.append(f"kernel{condition and f' ({condition})'}")
    if any({"kernel", "call"} & kinds for kinds in found):
        words.append(library)
    return ", else ".join(words)


def kinds_of(stage: Stage, target: Target) -> set[str]:
    """What the items of a plan are that computes one stage: maps, products, kernels, calls."""
    if stage.is_view:
        return {"view"}
    inputs = tuple(dict.fromkeys(stage.values))
    return {*_kinds(_lowered(Program(inputs, (stage,), stage.outputs), target))}


def _lowered(program: Program, target: Target) -> Sequence[Any]:
    program = complex_pairs(optimise(program))
    return lower(as_reductions(program) if target is CPU else program, target=target).plan.body


def _kinds(items: Iterable[Any]) -> Iterator[str]:
    for item in items:
        if isinstance(item, plans.Loop):
            yield from _kinds(item.body)
        elif isinstance(item, plans.Call):
            if item.op != "none":
                yield "kernel" if item.kernel else "call"
        else:
            yield "product" if isinstance(item, plans.Gemm) else "map"


#: What is done with elements of each dtype.
USES: dict[str, Callable[[Any], Any]] = {
    "map": lambda x: x + x,
    "sum": xg.sum,
    "product": lambda x: x @ x,
    "take": lambda x: xg.take(x, _i, axis=0),
    "sort": xg.sort,
}


def dtypes() -> list[str]:
    """A row for all dtypes that are computed with alike."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for name in (*DTYPES, "bfloat16"):
        cells = tuple(_of_dtype(name, target, library) for target, library in TARGETS.values())
        rows.setdefault(cells, []).append(f"`{name}`")
    return [f"| {' '.join(names)} | {' | '.join(cells)} |" for cells, names in rows.items()]


def _of_dtype(name: str, target: Target, library: str) -> str:
    """What an executor has code of its own for, of the uses of a dtype, and what it calls the library for."""
    own, called = [], []
    for use, f in USES.items():
        x = xg.zeros((3, 3), dtype=getattr(xg, name))
        try:
            program, _ = traced(lambda x, f=f: [f(x)], [x])  # type: ignore[misc]
            kinds = {*_kinds(_lowered(program, target))}
        except Unsupported:
            return "not compiled"
        (called if "call" in kinds else own).append(use)
    return "; ".join(
        f"{who}: {', '.join(uses) if own and called else 'all'}"
        for who, uses in (("own code", own), (library, called))
        if uses
    )
