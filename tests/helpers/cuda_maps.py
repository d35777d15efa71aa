"""Random maps and reductions, and functions of rows, for tests of CUDA kernels."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

import xgrad as xg
from tests.helpers.cuda_plans import Drawing
from xgrad.compiler.lowering.plan import Map, Reduction, Ref, Step
from xgrad.compiler.lowering.views import broadcast, contiguous, sliced, transposed

LENGTHS = (1, 1, 2, 3, 4, 5, 8, 17, 32)


def drawn_shape(rng: np.random.Generator, most: int = 4) -> tuple[int, ...]:
    shape = tuple(int(n) for n in rng.choice(LENGTHS, rng.integers(0, most + 1)))
    return shape if rng.random() > 0.08 or not shape else (*shape[:-1], 0)


def drawn_ref(rng: np.random.Generator, plan: Drawing, shape: tuple[int, ...], dtype: str, kind: str) -> Ref:
    """Draw a view of that shape.

    Its buffer is larger, has another axis order, or is broadcast along some axes.
    """
    axes = tuple(int(a) for a in rng.permutation(len(shape)))
    lengths = [shape[a] for a in axes]
    repeated = [kind == "input" and rng.random() < 0.2 for _ in axes]
    around = [
        (int(rng.integers(0, 3)), int(rng.integers(0, 3))) if rng.random() < 0.3 else (0, 0) for _ in axes
    ]
    if rng.random() < 0.4:
        axes, lengths, around = tuple(range(len(shape))), list(shape), [(0, 0)] * len(shape)
    whole = tuple(1 if again else a + n + b for n, again, (a, b) in zip(lengths, repeated, around))
    if kind == "input":
        x = rng.normal(size=whole)
        buffer = plan.input(x < 0 if dtype == "bool" else (3 * x).astype(dtype))
    else:
        buffer = plan.buffer(prod(whole), dtype)
        # memory around the view must not change
        plan.body.append(filling(contiguous(buffer, whole), dtype))
    ref = sliced(
        contiguous(buffer, whole),
        [(0, 1) if again else (a, a + n) for n, again, (a, _) in zip(lengths, repeated, around)],
    )
    back = transposed(ref, [axes.index(a) for a in range(len(shape))])
    return broadcast(back, shape) if kind == "input" else back


def filling(ref: Ref, dtype: str) -> Map:
    return Map(ref.shape, (), (Step(0, "none", (3,), (True,), dtype),), ((0, ref),))


def drawn_steps(rng: np.random.Generator, dtypes: list[str]) -> list[Step]:
    """Draw steps on values of these dtypes."""
    found: list[Step] = []
    for _ in range(rng.integers(1, 5)):
        n = len(dtypes)
        a, b = (int(i) for i in rng.integers(0, n, 2))
        real = [d for d in ("float64", "float32", "float16") if d in (dtypes[a], dtypes[b])]
        dtype = real[0] if real else "float32"
        op = str(rng.choice(["+", "-", "*", "maximum", "tanh", "<", "where", "astype", "+1"]))
        if op == "tanh":
            found.append(
                Step(n, op, (a,), (False,), dtypes[a] if dtypes[a].startswith("float") else "float64")
            )
        elif op == "<":
            found.append(Step(n, op, (a, b), (False, False), "bool"))
        elif op == "where":
            condition = [i for i in range(n) if dtypes[i] == "bool"]
            if not condition:
                continue
            found.append(Step(n, op, (condition[0], a, b), (False,) * 3, dtype))
        elif op == "astype":
            found.append(Step(n, op, (a,), (False,), str(rng.choice(["float64", "float32", "int32"]))))
        elif op == "+1":
            found.append(Step(n, "+", (a, 0.5), (False, True), dtype))
        else:
            found.append(Step(n, op, (a, b), (False, False), dtype))
        dtypes.append(found[-1].dtype)
    return found


def drawn_map(rng: np.random.Generator, plan: Drawing) -> None:
    """Draw a map without reductions, sometimes in place."""
    shape = drawn_shape(rng)
    dtypes = [
        str(rng.choice(["float32", "float32", "float64", "float16", "int32", "bool"]))
        for _ in range(rng.integers(1, 4))
    ]
    loads = [(i, drawn_ref(rng, plan, shape, dtype, "input")) for i, dtype in enumerate(dtypes)]
    steps = drawn_steps(rng, dtypes)
    if rng.random() < 0.3:  # the output is read and overwritten
        out = drawn_ref(rng, plan, shape, "float32", "output")
        n = len(dtypes)
        loads.append((n, out))
        steps.append(Step(n + 1, "*", (n, 2.0), (False, True), "float32"))
        stores = [(n + 1, out)]
    else:
        chosen = rng.permutation(len(dtypes))[: rng.integers(1, 3)]
        stores = [(int(v), drawn_ref(rng, plan, shape, dtypes[v], "output")) for v in chosen]
    plan.body.append(Map(shape, tuple(loads), tuple(steps), tuple(stores)))


def drawn_reduction(
    rng: np.random.Generator,
    plan: Drawing,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    dtype: str,
    kind: str,
) -> None:
    """Draw a reduction over some axes of a map's values, which the map may also store."""
    loads = tuple((i, drawn_ref(rng, plan, shape, dtype, "input")) for i in range(2))
    steps = (Step(2, "*", (0, 1), (False, False), dtype),)
    shape_of = tuple(1 if a in axes else n for a, n in enumerate(shape))
    whole = drawn_ref(rng, plan, shape_of, dtype, "output")
    out = whole._replace(
        shape=shape,
        strides=tuple(0 if a in axes or n == 1 else s for a, (n, s) in enumerate(zip(shape, whole.strides))),
    )
    stores = ((2, drawn_ref(rng, plan, shape, dtype, "output")),) if rng.random() < 0.3 else ()
    plan.body.append(Map(shape, loads, steps, stores, (Reduction(2, kind, out),)))


REDUCED = [
    (7,),
    (40,),
    (3000,),
    (4, 33),
    (33, 4),
    (5, 64),
    (64, 5),
    (1, 9),
    (9, 1),
    (3, 4, 5),
    (2, 1, 70),
    (6, 3, 2, 4),
    (2, 130, 3),
    (0, 3),
    (3, 0),
    (2, 2100),
]


def _softmax(x: Any) -> Any:
    return xg.softmax(x, axis=-1)


def _layer_norm(x: Any) -> Any:
    a = x - xg.mean(x, axis=-1, keepdims=True)
    return a / xg.sqrt(xg.mean(a * a, axis=-1, keepdims=True) + 1e-5)


ROWS = {
    "softmax": _softmax,
    "log softmax": lambda x: x - xg.logsumexp(x, axis=-1, keepdims=True),
    "logsumexp": lambda x: xg.logsumexp(x, axis=-1),
    "layer norm": _layer_norm,
}
