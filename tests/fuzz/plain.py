"""The functions of `xg` that random programs use, in pure NumPy: a reference without xgrad.

Loops run step by step. `Plain` records how near a value came to a kink or jump of a function, so that a
program is not blamed for rounding there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class Plain:
    """A stand-in for `xg`.

    With `exact`, all floating numbers are float64, which shows the rounding error of float32.
    """

    def __init__(self, exact: bool = False) -> None:
        self.margin = np.inf  # the least distance from a kink
        self.pi, self.e, self.inf, self.newaxis = np.pi, np.e, np.inf, None
        self.bool, self.int32, self.int64 = np.dtype("bool"), np.dtype("int32"), np.dtype("int64")
        self.float32, self.float64 = np.dtype("float64" if exact else "float32"), np.dtype("float64")
        self.complex64, self.complex128 = (
            np.dtype("complex128" if exact else "complex64"),
            np.dtype("complex128"),
        )
        self.fft = np.fft

    def __getattr__(self, name: str) -> Any:
        return getattr(np, NUMPY.get(name, name))

    # Functions that NumPy lacks

    def sigmoid(self, x: Any) -> Any:
        return 1 / (1 + np.exp(-np.asarray(x)))

    def softmax(self, x: Any, axis: int = -1) -> Any:
        e = np.exp(x - np.max(x, axis=axis, keepdims=True))
        return e / np.sum(e, axis=axis, keepdims=True)

    def logsumexp(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        top = np.max(x, axis=axis, keepdims=True)
        z = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
        return z if keepdims else np.squeeze(z, axis) if axis is not None else np.reshape(z, ())

    def stop_gradient(self, x: Any) -> Any:
        return x

    def astype(self, x: Any, dtype: Any) -> Any:
        return np.asarray(x).astype(dtype)

    # Functions with kinks or jumps

    def _apart(self, *gaps: Any) -> None:
        for gap in gaps:
            gap = np.asarray(gap)
            gap = gap[np.isfinite(gap)]
            if gap.size and gap.dtype.kind in "fc":
                self.margin = min(self.margin, float(np.min(np.abs(gap))))

    def _ordered(self, x: Any, axis: int | None, count: int | None = None, last: bool = False) -> None:
        """Record the gaps between sorted neighbours, or only between the first or last `count`.

        Equal integers are allowed, as they are not rounded.
        """
        x = np.asarray(x)
        if x.dtype.kind == "f" and x.ndim and x.size and not np.all(np.isnan(x) | (x == np.round(x))):
            ranks = np.sort(x.reshape(-1) if axis is None else np.moveaxis(x, axis, -1), axis=-1)
            self._apart(
                np.diff(
                    ranks if count is None else ranks[..., -count:] if last else ranks[..., :count], axis=-1
                )
            )

    def abs(self, x: Any) -> Any:
        self._apart(x)
        return np.abs(x)

    def relu(self, x: Any) -> Any:
        self._apart(x)
        return np.maximum(x, np.zeros((), np.asarray(x).dtype))

    def sign(self, x: Any) -> Any:
        self._apart(x)
        return np.sign(x)

    def floor(self, x: Any) -> Any:
        self._apart(x - np.round(x))
        return np.floor(x)

    def clip(self, x: Any, low: Any, high: Any) -> Any:
        self._apart(x - low, x - high)
        return np.clip(x, low, high)

    def maximum(self, x: Any, y: Any) -> Any:
        self._apart(np.subtract(x, y) if np.result_type(x, y).kind == "f" else ())
        return np.maximum(x, y)

    def minimum(self, x: Any, y: Any) -> Any:
        self._apart(np.subtract(x, y) if np.result_type(x, y).kind == "f" else ())
        return np.minimum(x, y)

    def less(self, x: Any, y: Any) -> Any:
        self._apart(np.subtract(x, y) if np.result_type(x, y).kind == "f" else ())
        return np.less(x, y)

    def greater(self, x: Any, y: Any) -> Any:
        return self.less(y, x)

    def max(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        self._ordered(x, axis, 2, last=True)
        return np.max(x, axis=axis, keepdims=keepdims)

    def min(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        self._ordered(x, axis, 2)
        return np.min(x, axis=axis, keepdims=keepdims)

    def argmax(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        self._ordered(x, axis, 2, last=True)
        return np.argmax(x, axis=axis, keepdims=keepdims)

    def argmin(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        self._ordered(x, axis, 2)
        return np.argmin(x, axis=axis, keepdims=keepdims)

    def sort(self, x: Any, axis: int = -1, descending: bool = False) -> Any:
        self._ordered(x, axis)
        z = np.sort(x, axis=axis, stable=True)
        return np.flip(z, axis) if descending else z

    def argsort(self, x: Any, axis: int = -1, descending: bool = False) -> Any:
        self._ordered(x, axis)
        if not descending:
            return np.argsort(x, axis=axis, stable=True)
        back = np.argsort(np.flip(x, axis), axis=axis, stable=True)
        return np.asarray(x).shape[axis] - 1 - np.flip(back, axis)  # equal elements keep their order

    def searchsorted(self, x: Any, v: Any, side: Any = "left") -> Any:
        if np.result_type(x, v).kind == "f":
            gaps = np.subtract.outer(np.asarray(v), np.asarray(x))
            self._apart(gaps[gaps != 0])  # an exact match is always found
        return np.searchsorted(x, v, side=side)

    # Transforms

    def checkpoint(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return f

    def custom_vjp(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return _Known(f)

    custom_jvp = custom_vjp

    def gate(self, f: Any = None, **rules: Any) -> Any:
        return (lambda f: f) if f is None else f

    def register_op(self, name: str, forward: Callable[..., Any], **rules: Any) -> Callable[..., Any]:
        return lambda *operands, **params: forward(self, *operands, **params)

    class Gate:
        def __call__(self, *operands: Any) -> Any:
            return self.forward(*operands)  # type: ignore[attr-defined]

    def scan(
        self,
        f: Any,
        init: Any,
        xs: Any = None,
        length: int | None = None,
        reverse: bool = False,
        **options: Any,
    ) -> Any:
        return plain_scan(self, f, init, xs, length, reverse)


#: Names of the array standard that NumPy spells differently, or uses for another function.
NUMPY = {"atan": "arctan", "cumulative_sum": "cumulative_sum", "permute_dims": "transpose"}


class _Known:
    """A function with a custom derivative, called without it."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.f = f

    def __call__(self, *args: Any) -> Any:
        return self.f(*args)

    def defvjp(self, forward: Any, backward: Any) -> None:
        pass

    def defjvp(self, rule: Any) -> Any:
        return rule


def leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [v for key in sorted(tree) for v in leaves(tree[key])]
    if isinstance(tree, tuple | list):
        return [v for part in tree for v in leaves(part)]
    return [] if tree is None else [tree]


def mapped(f: Callable[..., Any], *trees: Any) -> Any:
    first = trees[0]
    if isinstance(first, dict):
        return {key: mapped(f, *(t[key] for t in trees)) for key in first}
    if isinstance(first, tuple | list):
        return type(first)(mapped(f, *parts) for parts in zip(*trees, strict=True))
    return None if first is None else f(*trees)


def plain_scan(xp: Any, f: Any, init: Any, xs: Any, length: int | None, reverse: bool) -> Any:
    """Run a scan as a Python loop, over arrays of any library."""
    carry = mapped(xp.asarray, init)
    xs = mapped(xp.asarray, xs)
    steps = length if length is not None else len(leaves(xs)[0])
    ys: list[Any] = []
    for t in reversed(range(steps)) if reverse else range(steps):
        carry, y = f(carry, mapped(lambda x: x[t], xs))
        carry = mapped(xp.asarray, carry)
        ys.append(mapped(xp.asarray, y))
    if reverse:
        ys.reverse()
    if steps:
        return carry, mapped(lambda *parts: xp.stack(parts), *ys)
    _, y = f(mapped(xp.zeros_like, carry), mapped(lambda x: xp.zeros(x.shape[1:], dtype=x.dtype), xs))
    return carry, mapped(lambda v: xp.zeros((0, *xp.asarray(v).shape), dtype=xp.asarray(v).dtype), y)
