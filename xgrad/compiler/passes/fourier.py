"""Short Fourier transforms as products with matrices of cosines and sines.

    fft     re_z = re_x @ C + im_x @ S,  im_z = im_x @ C - re_x @ S
    ifft    the same, with the sign of S swapped
    rfft    re_z = x @ C,                im_z = -x @ S, only for the frequencies that are not real
    irfft   z = re_x @ 2C - im_x @ 2S,   where frequencies without a conjugate count once

The matrices are constants, which include the factor of the norm. Products merge with others that read the
same values, and move out of loops. A call of the array library has more overhead than a short transform has
work, and in a loop runs Python code at each step. Long transforms stay calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2, sqrt
from typing import Any

from ...backends import current_matmul_precision
from ...backends.dtypes import canonical
from ...ops.fourier import fourier_matrix
from ..ir import PARTS, Item, Loop, Stage, Value, is_complex

#: Adds a stage, given its op, operands, shape, dtype and parameters, and returns its output.
Add = Callable[[str, Sequence[Any], tuple[int, ...], str, dict[str, Any]], Value]

#: The sign of the exponent, and the norm that divides by n.
_DIRECTIONS = {
    "fft": (-1, "forward"),
    "rfft": (-1, "forward"),
    "ifft": (1, "backward"),
    "irfft": (1, "backward"),
}
#: For each dtype, how many multiplications of a product take as long as one call of the array library, and as
#: its work for one element of a transform, divided by log2(n). Measured on one core.
_COSTS = {"float32": (2**19, 12), "float64": (2**18, 4)}
#: The most elements of a matrix, so that it stays in the cache from step to step.
_LARGEST = 70_000


def is_short(s: Item) -> bool:
    """Whether a stage is a Fourier transform that takes longer as a call than as a product.

    Where products are rounded to fewer bits (see `matmul_precision`), transforms stay calls.
    """
    if isinstance(s, Loop) or s.op not in _DIRECTIONS or current_matmul_precision() != "highest":
        return False
    (x,), (z,), n, axis = s.values, s.outputs, _length(s), _axis(s)
    dtype = PARTS.get(z.dtype, z.dtype)
    given = n // 2 + 1 if s.op == "irfft" else n
    matrix = min(x.shape[axis], given) * z.shape[axis]
    parts = (1 + is_complex(x)) * (1 + is_complex(z))
    if dtype not in _COSTS or z.size == 0 or parts * matrix > _LARGEST:
        return False
    call, element = _COSTS[dtype]
    return parts * (z.size // z.shape[axis]) * (matrix - element * n * log2(n)) <= call


def transformed(s: Stage, parts: Sequence[Value | None], add: Add) -> list[Value]:
    """Return the real and the imaginary part of a transform, or its value if that is real.

    A part of its operand that is 0 is None.
    """
    transform = _Transform(s, add)
    real, imag = (None if v is None else transform.along_last(v) for v in parts)
    found = transform.real(real, imag) if s.op == "irfft" else transform.complex(real, imag)
    return [transform.back(v) for v in found]


def _axis(s: Stage) -> int:
    return int(s.params["axis"]) % len(s.output.shape)


def _length(s: Stage) -> int:
    """Return the number n of samples of a transform."""
    n = s.params["n"] if s.op == "rfft" else s.output.shape[_axis(s)]
    return int(s.values[0].shape[_axis(s)] if n is None else n)


class _Transform:
    """A transform being turned into stages."""

    def __init__(self, s: Stage, add: Add) -> None:
        self.stage, self.add = s, add
        self.n, self.axis = _length(s), _axis(s)
        self.dtype = PARTS.get(s.output.dtype, s.output.dtype)
        self.sign, divides = _DIRECTIONS[s.op]
        norm = s.params["norm"]
        self.factor = 1 / self.n if norm == divides else 1 / sqrt(self.n) if norm == "ortho" else 1.0

    def along_last(self, v: Value) -> Value:
        """Return a matrix, or a stack of them, whose rows are to be transformed."""
        v = self.swapped(v)
        return v if len(v.shape) > 1 else self.reshaped(v, (1, *v.shape))

    def back(self, v: Value) -> Value:
        """Return transformed rows in the shape of the output."""
        return self.swapped(self.reshaped(v, v.shape[-1:]) if len(self.stage.output.shape) == 1 else v)

    def swapped(self, v: Value) -> Value:
        """Swap the axis of the transform with the last one."""
        last = len(v.shape) - 1
        if self.axis == last:
            return v
        axes = list(range(len(v.shape)))
        axes[self.axis], axes[last] = last, self.axis
        return self.add("transpose", (v,), tuple(v.shape[a] for a in axes), v.dtype, {"axes": tuple(axes)})

    def reshaped(self, v: Value, shape: tuple[int, ...]) -> Value:
        return self.add("reshape", (v,), shape, v.dtype, {"shape": shape})

    def product(
        self,
        v: Value,
        part: str,
        columns: tuple[int, int],
        sign: int = 1,
        rows: tuple[int, int] | None = None,
        twice: bool = False,
    ) -> Value:
        """Multiply `v` by these rows and columns of cosines or sines; rows that `v` does not have are 0."""
        first, stop = rows or (0, self.n)
        stop = min(stop, v.shape[-1])
        if (first, stop) != (0, v.shape[-1]):
            key = (..., slice(first, stop))
            v = self.add("getitem", (v,), (*v.shape[:-1], stop - first), v.dtype, {"key": key})
        args = (part, self.n, (first, stop), columns, sign * self.factor, twice)
        made = {"function": fourier_matrix, "args": args, "dtype": canonical(self.dtype), "options": {}}
        width = columns[1] - columns[0]
        matrix = self.add("new", (), (stop - first, width), self.dtype, made)
        return self.add("@", (v, matrix), (*v.shape[:-1], width), self.dtype, {})

    def total(self, terms: Sequence[Value]) -> Value:
        first, *others = terms
        return self.add("+", (first, *others), first.shape, self.dtype, {}) if others else first

    def complex(self, real: Value | None, imag: Value | None) -> list[Value]:
        """Return both parts of a complex result."""
        width = self.stage.output.shape[self.axis]
        every = (0, width)
        if imag is None:
            assert real is not None
            return [self.product(real, "cos", every), self.sines(real, width)]
        if real is None:
            return [self.product(imag, "sin", every, -self.sign), self.product(imag, "cos", every)]
        return [
            self.total([self.product(real, "cos", every), self.product(imag, "sin", every, -self.sign)]),
            self.total([self.product(real, "sin", every, self.sign), self.product(imag, "cos", every)]),
        ]

    def sines(self, v: Value, width: int) -> Value:
        """Return the imaginary part of the transform of real numbers, which is 0 at frequencies 0 and n/2.

        It is 0 there even if the numbers are not finite, as in NumPy.
        """
        real = [k for k in range(width) if 2 * k % self.n == 0]
        parts: list[Value] = []
        for k, stop in zip(real, [*real[1:], width]):
            parts.append(self.zeros((*v.shape[:-1], 1)))
            if k + 1 < stop:
                parts.append(self.product(v, "sin", (k + 1, stop), self.sign))
        if len(parts) == 1:
            return parts[0]
        shape = (*v.shape[:-1], width)
        return self.add("concat", parts, shape, self.dtype, {"axis": len(shape) - 1})

    def zeros(self, shape: tuple[int, ...]) -> Value:
        made = {"function": "zeros", "args": (shape,), "dtype": canonical(self.dtype), "options": {}}
        return self.add("new", (), shape, self.dtype, made)

    def real(self, real: Value | None, imag: Value | None) -> list[Value]:
        """Return a real result: the imaginary parts of frequencies 0 and n/2 are not read, as in NumPy."""
        every, terms = (0, self.n), []
        if real is not None:
            terms.append(self.product(real, "cos", every, rows=(0, self.n // 2 + 1), twice=True))
        if imag is not None and min(imag.shape[-1], (self.n + 1) // 2) > 1:
            rows = (1, (self.n + 1) // 2)
            terms.append(self.product(imag, "sin", every, -1, rows, twice=True))
        if not terms:
            assert imag is not None
            return [self.zeros((*imag.shape[:-1], self.n))]
        return [self.total(terms)]


__all__ = ["is_short", "transformed"]
