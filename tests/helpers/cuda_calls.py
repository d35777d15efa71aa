"""Random ops that are neither maps nor products: functions, arguments, and NumPy's results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import xgrad as xg
from xgrad.ops.indexing import Hole

# Indexing by arrays

_INTEGERS = ("int8", "uint8", "int16", "int32", "uint32", "int64")


def _drawn(rng: np.random.Generator) -> tuple[np.ndarray, tuple[Any, ...], list[np.ndarray]]:
    """Draw an array, a key with holes, and its index arrays, with some indices out of bounds."""
    rank = int(rng.integers(1, 4))
    x = rng.normal(size=rng.integers(1, 6, size=rank)).astype(rng.choice(["float32", "float64"]))
    shape = tuple(rng.integers(1, 5, size=rng.integers(0, 3)))
    indexed = rng.permutation(rank)[: rng.integers(1, rank + 1)]
    key: list[Any] = []
    arrays = []
    for a, n in enumerate(x.shape):
        if a in indexed:
            kind = str(rng.choice(_INTEGERS))
            low = 0 if kind[0] == "u" else -2 * n
            mine = [1 if rng.random() < 0.3 else int(m) for m in shape]
            key.append(Hole(len(arrays)))
            arrays.append(np.array(rng.integers(low, 2 * n, size=mine), kind))
        else:
            key.append(slice(None, None, int(rng.choice([1, -1, 2]))))
    if rng.random() < 0.3:
        key.insert(int(rng.integers(0, rank + 1)), Ellipsis)
    return x, tuple(key), arrays


def _filled(key: Sequence[Any], arrays: Sequence[Any]) -> tuple[Any, ...]:
    """Fill the holes of a key with arrays."""
    return tuple(arrays[k.i] if isinstance(k, Hole) else k for k in key)


def _inside(x: np.ndarray, key: Sequence[Any], arrays: Sequence[np.ndarray]) -> tuple[Any, ...]:
    """Return the key with its indices wrapped into bounds."""
    axes = [k for k in key if k is not Ellipsis]
    wrapped = [i.astype("int64") % x.shape[axes.index(Hole(n))] for n, i in enumerate(arrays)]
    return _filled(key, wrapped)


def drawn_indexing(rng: np.random.Generator, count: int) -> list[tuple[Any, Any, np.ndarray]]:
    """Draw indexing functions, their arguments and results.

    These are gathers, assignments, and the gradients of both; some assign a single number.
    """
    found: list[tuple[Any, Any, np.ndarray]] = []
    for _ in range(count):
        x, key, arrays = _drawn(rng)
        real = _inside(x, key, arrays)
        v = rng.normal(size=x[real].shape).astype(x.dtype)
        total, assigned, kept = np.zeros_like(x), x.copy(), np.sin(x)
        np.add.at(total, real, v)
        assigned[real] = v
        kept[real] = 0

        def gather(x: Any, *i: Any, key: Any = key) -> Any:
            return x[_filled(key, i)]

        def assign(x: Any, v: Any, *i: Any, key: Any = key) -> Any:
            y = x * 1
            y[_filled(key, i)] = v
            return y

        slope = xg.grad(lambda x, v, *i, gather=gather: xg.sum(gather(x, *i) * v))
        other = xg.grad(lambda x, v, w, *i, assign=assign: xg.sum(assign(x, v, *i) * w))
        found += [
            (gather, (x, *arrays), x[real]),
            (slope, (x, v, *arrays), total),
            (assign, (x, v, *arrays), assigned),
            (other, (x, v, np.sin(x), *arrays), kept),
        ]
    return found


# Along axes

#: Our functions and NumPy's, of an array and an axis.
OPS = {
    "cumulative_sum": (lambda x, a: xg.cumulative_sum(x, axis=a), lambda x, a: np.cumsum(x, a)),
    "cumulative_prod": (lambda x, a: xg.cumulative_prod(x, axis=a), lambda x, a: np.cumprod(x, a)),
    "with the initial one": (
        lambda x, a: xg.cumulative_sum(x, axis=a, include_initial=True),
        lambda x, a: np.cumulative_sum(x, axis=a, include_initial=True),
    ),
    "argmax": (lambda x, a: xg.argmax(x, axis=a), lambda x, a: np.argmax(x, a)),
    "argmin": (lambda x, a: xg.argmin(x, axis=a), lambda x, a: np.argmin(x, a)),
    "argmax of all": (lambda x, a: xg.argmax(x), lambda x, a: np.argmax(x)),
    "kept axis": (
        lambda x, a: xg.argmin(x, axis=a, keepdims=True),
        lambda x, a: np.argmin(x, a, keepdims=True),
    ),
    "sort": (lambda x, a: xg.sort(x, axis=a), lambda x, a: np.sort(x, a)),
    "sort down": (
        lambda x, a: xg.sort(x, axis=a, descending=True),
        lambda x, a: np.flip(np.sort(x, a), a),
    ),
    "argsort": (lambda x, a: xg.argsort(x, axis=a), lambda x, a: np.argsort(x, a, kind="stable")),
    "argsort down": (
        lambda x, a: xg.argsort(x, axis=a, descending=True),
        lambda x, a: x.shape[a] - 1 - np.flip(np.argsort(np.flip(x, a), a, kind="stable"), a),
    ),
}


def drawn_lines(rng: np.random.Generator) -> list[tuple[Any, Any, np.ndarray]]:
    """Draw functions, their arguments and results, for every op and dtype.

    The arrays have many equal elements, NaN, infinities and both zeros.
    """
    found: list[tuple[Any, Any, np.ndarray]] = []
    for name, (ours, theirs) in OPS.items():
        for dtype in ("float64", "float32", "int64", "int32"):
            some = [0, 1, 2, -1] if "int" in dtype else [0.0, -0.0, 1.0, 2.0, -1.0, np.nan, np.inf, -np.inf]
            long = 40 if "sort" not in name else 9
            shape = tuple(rng.permutation([int(rng.integers(1, long)), *rng.integers(1, 5, rng.integers(3))]))
            x = rng.choice(some, size=shape).astype(dtype)
            axis = int(rng.integers(-x.ndim, x.ndim))
            with np.errstate(all="ignore"):
                want = theirs(x, axis).astype(ours(xg.asarray(x), axis).dtype)
            found.append((lambda x, ours=ours, axis=axis: ours(x, axis), (x,), want))
    return found
