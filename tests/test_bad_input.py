"""Bad input for the whole public API: what is refused, by which error, and the advice in its message.

Refused calls change nothing: modes, parameters and generators stay as they were.
"""

from __future__ import annotations

import dataclasses
import decimal
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.special

import xgrad as xg
from xgrad.core.context import MODE

A = np.arange(3.0)
MASKED = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])
RECORDS = np.zeros(3, dtype=[("mass", float), ("charge", int)])
SPARSE = scipy.sparse.csr_array(np.eye(3))
HUGE = 10**30
NAN = float("nan")


@dataclasses.dataclass
class Point:
    x: float
    y: float


class TwoGradients(xg.Gate):
    def forward(self, x: Any) -> Any:
        return x * 2

    def backward(self, dz: Any) -> Any:
        return dz, dz


class MadeWithArguments(xg.Gate):
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: Any) -> Any:
        return x * self.factor

    def backward(self, dz: Any) -> Any:
        return dz * self.factor


class NoArray(xg.Gate):
    def forward(self, x: Any) -> Any:
        return "a"

    def backward(self, dz: Any) -> Any:
        return dz


class TextGradient(TwoGradients):
    def backward(self, dz: Any) -> Any:
        return "a"


class TallGradient(TwoGradients):
    def backward(self, dz: Any) -> Any:
        return xg.stack([dz, dz])


def t() -> Any:
    return xg.asarray([1.0, 2.0, 3.0])


def m() -> Any:
    return xg.ones((3, 3))


def leaf() -> Any:
    return xg.tensor([1.0, 2.0], requires_grad=True)


def square(x: Any) -> Any:
    return xg.sum(x * x)


def generator() -> Any:
    return (x for x in [1.0, 2.0])


def linear() -> Any:
    return xg.nn.Linear(3, 2)


def ruled(
    fun: Any = lambda x: x * 2,
    fwd: Any = lambda x: (x * 2, x),
    bwd: Any = lambda kept, dz: (2 * dz,),
    nondiff: Any = (),
) -> Any:
    f = xg.custom_vjp(fun, nondiff)
    f.defvjp(fwd, bwd)
    return f


def scaled() -> Any:
    """A function x * n, where n is not an operand."""
    return ruled(lambda x, n: x * n, lambda x, n: (x * n, None), lambda n, kept, dz: (n * dz,), (1,))


def tangents(rule: Any) -> Any:
    f = xg.custom_jvp(lambda x: x * 2)
    f.defjvp(rule)
    return xg.jvp(f, (1.0,), (1.0,))


def registered(forward: Any, use: Callable[[Any], Any] = lambda op: op(1.0), **options: Any) -> Any:
    op = xg.register_op("op_of_a_test", forward, **options)
    try:
        return use(op)
    finally:
        xg.unregister_op("op_of_a_test")


Kind = tuple[Callable[[], Any], type[Exception] | tuple[type[Exception], ...], str]

#: Objects that are not arrays of numbers, and the message about each. `asarray` and `grad` refuse all;
#: functions and operators too.
NO_ARRAYS: dict[str, tuple[Any, str]] = {
    "None": (None, "None; pass a number"),
    "a string": ("abc", "str; use float"),
    "a number as a string": ("1.5", "str; use float"),
    "bytes": (b"ab", "bytes; use float"),
    "an object": (object(), "object"),
    "a dict": ({"a": 1.0}, "dict.*tree"),
    "a nested dict": ({"a": {"b": 1.0}}, "dict.*tree"),
    "a dataclass": (Point(1.0, 2.0), r"Point.*optree\.dataclasses"),
    "a set": ({1.0, 2.0}, "set; pass list"),
    "a generator": (generator(), "generator; pass list"),
    "a decimal": (decimal.Decimal("1.5"), r"Decimal; use float"),
    "a function": (len, "call it"),
    "a class": (float, "class float"),
    "a module": (xg.nn.Linear(2, 2), "Linear, a module"),
    "a sparse array": (SPARSE, r"toarray\(\)"),
    "a slice": (slice(1), "slice"),
}

#: Arrays of other things than numbers.
NO_NUMBERS: dict[str, tuple[Any, str]] = {
    "a masked array": (MASKED, r"no mask.*filled"),
    "a masked number": (MASKED[1], "no mask"),
    "an array of objects": (np.array([1.0, None], dtype=object), "astype.float"),
    "an array of strings": (np.array(["a", "b"]), "holds numbers"),
    "a structured array": (RECORDS, r"array\['mass'\]"),
    "a record": (RECORDS[0], r"array\['mass'\]"),
    "dates": (np.array(["2020-01-01"], dtype="datetime64[D]"), "astype.'int64'"),
}

CREATION: dict[str, Kind] = {
    "a list with None": (lambda: xg.asarray([1.0, None]), TypeError, "None; pass a number"),
    "a list with a string": (lambda: xg.asarray(["a"]), TypeError, "str; use float"),
    "a list with an object in it": (lambda: xg.asarray([[1.0], [object()]]), TypeError, "object"),
    "a ragged list": (lambda: xg.asarray([[1, 2], [3]]), xg.ShapeError, "different lengths.*pad"),
    "a list with a masked array": (lambda: xg.asarray([MASKED, MASKED]), TypeError, "no mask"),
    "a list with a masked number": (lambda: xg.asarray([np.ma.masked, 1.0]), TypeError, "no mask"),
    "a list of a Tensor and a masked array": (lambda: xg.asarray([t(), MASKED]), TypeError, "no mask"),
    "an integer that is too large": (lambda: xg.asarray(HUGE), OverflowError, "float64"),
    "a list with such an integer": (lambda: xg.asarray([1, HUGE]), OverflowError, "float64"),
    "an unknown dtype": (lambda: xg.asarray([1.0], dtype="flaot"), TypeError, "no dtype 'flaot'"),
    "a dtype of strings": (lambda: xg.zeros(2, dtype="S3"), TypeError, "holds numbers"),
    "a dtype of objects": (lambda: xg.zeros(2, dtype=object), TypeError, "holds numbers"),
    "a dtype that is a number": (lambda: xg.zeros(2, dtype=3), TypeError, "no dtype 3"),
    "a structured dtype": (lambda: xg.zeros(2, dtype=[("a", int)]), TypeError, "holds numbers"),
    "astype to strings": (lambda: t().astype(str), TypeError, "holds numbers"),
    "complex numbers as real ones": (lambda: xg.asarray(A * 1j, dtype=xg.float64), TypeError, "xg.real"),
    "an unknown device": (lambda: xg.zeros(2, device="gpu"), xg.DeviceError, "unknown device 'gpu'"),
    "a device that is a number": (lambda: xg.zeros(2, device=0), xg.DeviceError, "unknown device 0"),
    "a gradient of integers": (lambda: xg.tensor([1, 2], requires_grad=True), TypeError, "write 3.0 for 3"),
    "a negative length": (lambda: xg.zeros(-1), xg.ShapeError, r"zeros\(-1\).*at least 0"),
    "a negative length among others": (lambda: xg.ones((2, -1)), xg.ShapeError, "at least 0"),
    "a length of 2.0": (lambda: xg.zeros(2.0), TypeError, "lengths must be integers"),
    "a length that is a string": (lambda: xg.empty("3"), TypeError, "lengths must be integers"),
    "a length that is None": (lambda: xg.zeros(None), TypeError, "lengths must be integers"),
    "a length that is a boolean": (lambda: xg.ones(True), TypeError, "lengths must be integers"),
    "a length beyond all memory": (lambda: xg.zeros(HUGE), xg.ShapeError, "zeros"),
    "petabytes": (lambda: xg.zeros(10**15), xg.OutOfMemoryError, "8 PB"),
    "sixty-five axes": (lambda: xg.zeros((1,) * 65), xg.ShapeError, "64"),
    "a shape that is a set": (lambda: xg.zeros({2}), TypeError, "lengths must be integers"),
    "full of a string": (lambda: xg.full(2, "a"), TypeError, "str; use float"),
    "full of None": (lambda: xg.full(2, None), TypeError, "None; pass a number"),
    "full of None, with a dtype": (
        lambda: xg.full(2, None, dtype=xg.float32),
        TypeError,
        "None; pass a number",
    ),
    "full of an object": (lambda: xg.full(2, object()), TypeError, "object"),
    "full of what is masked": (lambda: xg.full(2, np.ma.masked), TypeError, "no mask"),
    "full of too large an integer": (lambda: xg.full(2, HUGE), OverflowError, "float64"),
    "full of a complex number, as real ones": (
        lambda: xg.full(2, 1j, dtype=xg.float32),
        TypeError,
        "complex",
    ),
    "full_like of a string": (lambda: xg.full_like(t(), "a"), TypeError, "str; use float"),
    "full_like of a complex number": (lambda: xg.full_like(t(), 1j), TypeError, "complex"),
    "arange to None": (lambda: xg.arange(None), TypeError, "stop must be a number"),
    "arange in steps of None": (lambda: xg.arange(0, 3, None), TypeError, "step must be a number"),
    "arange in steps of 0": (lambda: xg.arange(0, 3, 0), ValueError, "step must not be 0"),
    "arange to a string": (lambda: xg.arange("3"), TypeError, "stop must be a number"),
    "arange to a complex number": (lambda: xg.arange(1j), TypeError, "stop must be a number"),
    "arange to a boolean": (lambda: xg.arange(True), TypeError, "stop must be a number"),
    "arange to NaN": (lambda: xg.arange(NAN), xg.ShapeError, "arange"),
    "arange to infinity": (lambda: xg.arange(float("inf")), (xg.ShapeError, OverflowError), "arange"),
    "arange to an array": (lambda: xg.arange(A), TypeError, "stop must be a number"),
    "arange to what needs a gradient": (lambda: xg.arange(leaf()[0]), xg.GraphError, "detach"),
    "linspace of -1 values": (lambda: xg.linspace(0, 1, -1), xg.ShapeError, "at least 0"),
    "linspace of 2.5 values": (lambda: xg.linspace(0, 1, 2.5), TypeError, "num must be"),
    "linspace of True values": (lambda: xg.linspace(0, 1, True), TypeError, "num must be"),
    "linspace from None": (lambda: xg.linspace(None, 1.0, 3), TypeError, "None"),
    "linspace from a masked array": (lambda: xg.linspace(MASKED, 1.0, 3), TypeError, "no mask"),
    "eye of -1 rows": (lambda: xg.eye(-1), xg.ShapeError, "eye"),
    "eye of 2.0 rows": (lambda: xg.eye(2.0), TypeError, "eye"),
    "eye on the diagonal None": (lambda: xg.eye(2, k=None), TypeError, "eye"),
    "meshgrid of None": (lambda: xg.meshgrid(None), TypeError, "None"),
    "meshgrid in another order": (lambda: xg.meshgrid(A, indexing="ab"), ValueError, "'xy' or 'ij'"),
    "from_dlpack of a list": (lambda: xg.from_dlpack([1.0]), AttributeError, "xg.asarray"),
    "from_dlpack of a masked array": (lambda: xg.from_dlpack(MASKED), TypeError, "no mask"),
    "another array standard": (lambda: t().__array_namespace__(api_version="1999"), ValueError, "2024.12"),
}

OPERATORS: dict[str, Kind] = {
    "a list before": (lambda: [1, 2, 3] * t(), TypeError, "multiply.*list; use xg.asarray"),
    "a list after": (lambda: t() * [1, 2, 3], TypeError, "multiply.*list; use xg.asarray"),
    "a list times an integer Tensor, which would repeat it": (
        lambda: [1, 2] * xg.asarray(3),
        TypeError,
        "xg.asarray",
    ),
    "a string times one": (lambda: "ab" * xg.asarray(3), TypeError, "str"),
    "an equal list": (lambda: t() == [1.0, 2.0, 3.0], TypeError, "xg.asarray"),
    "plus a tuple": (lambda: operator.add(t(), (1, 2, 3)), TypeError, "xg.asarray"),
    "+= a list": (lambda: operator.iadd(xg.zeros(3), [1, 2, 3]), TypeError, "xg.asarray"),
    "times None": (lambda: t() * None, TypeError, "NoneType"),
    "less than None": (lambda: t() < None, TypeError, "NoneType"),
    "a product with a number": (lambda: m() @ 3, xg.ShapeError, "to multiply by a number"),
    "a number's product": (lambda: 3 @ m(), xg.ShapeError, "to multiply by a number"),
    "a product with a Tensor of shape ()": (lambda: m() @ xg.asarray(3.0), xg.ShapeError, "'@'"),
    "a product of other shapes": (lambda: m() @ xg.ones((2, 2)), xg.ShapeError, r"\(3, 3\) and \(2, 2\)"),
    "a product with a sparse array": (lambda: m() @ SPARSE, TypeError, "toarray"),
    "a product with a sparse array, with a gradient": (
        lambda: xg.grad(lambda x: xg.sum(x * SPARSE))(np.ones((3, 3))),
        TypeError,
        "toarray",
    ),
    "a masked array before": (lambda: MASKED * t(), TypeError, "no mask"),
    "a masked array after": (lambda: t() * MASKED, TypeError, "no mask"),
    "a masked array in a comparison": (lambda: t() > MASKED, TypeError, "no mask"),
    "a masked array in a function that is compiled": (
        lambda: xg.compile(lambda x: x * MASKED)(t()),
        TypeError,
        "no mask",
    ),
    "a masked array in a body": (
        lambda: xg.scan(lambda c, x: (c + MASKED, None), xg.zeros(3), None, length=2),
        TypeError,
        "no mask",
    ),
    "the negative of a boolean": (lambda: -xg.asarray(True), TypeError, "boolean"),
    "the inverse of floats": (lambda: ~t(), TypeError, "'~'"),
    "shapes that do not broadcast": (lambda: t() + xg.ones(2), xg.ShapeError, r"\(3,\) and \(2,\)"),
    "in place, another shape": (
        lambda: operator.iadd(xg.zeros(3), xg.ones((2, 3))),
        xg.ShapeError,
        "in place",
    ),
    "in place, another dtype": (lambda: operator.iadd(xg.zeros(3, dtype=xg.int64), 1.5), TypeError, "astype"),
    "in place, a leaf": (lambda: operator.iadd(leaf(), 1.0), xg.GraphError, "no_grad"),
    "into a NumPy array": (lambda: operator.iadd(np.zeros(3), t()), TypeError, "a = a \\+ t"),
    "an index that is a string": (lambda: t()["a"], IndexError, "getitem"),
    "an index that is a float": (lambda: t()[1.0], IndexError, "getitem"),
    "an index that is masked": (lambda: t()[np.ma.array([0, 1], mask=[0, 1])], TypeError, "no mask"),
    "an index that is too large": (lambda: t()[7], IndexError, "out of bounds"),
    "an index that is far too large": (lambda: t()[HUGE], IndexError, "getitem"),
    "too many indices": (lambda: t()[0, 0], IndexError, "too many"),
    "a mask of another shape": (lambda: t()[xg.asarray([True, False])], IndexError, "boolean index"),
    "a list of strings as index": (lambda: t()[["a"]], TypeError, "holds numbers"),
    "an assigned string": (lambda: t().__setitem__(0, "a"), TypeError, "str; use float"),
    "an assigned list": (lambda: t().__setitem__(slice(None), [1, 2, 3]), TypeError, "list; use xg.asarray"),
    "an assigned complex number": (lambda: t().__setitem__(0, 1j), TypeError, "complex128"),
    "an assigned masked array": (lambda: t().__setitem__(slice(None), MASKED), TypeError, "no mask"),
    "an assigned number that does not fit": (
        lambda: xg.zeros(3, dtype=xg.int8).__setitem__(0, 300),
        OverflowError,
        "300",
    ),
    "a float as an index of a list": (
        lambda: [1, 2, 3][xg.asarray(1.0)],
        TypeError,
        "an index must be an integer",
    ),
    "a NumPy array indexed by what is traced": (
        lambda: xg.compile(lambda i: A[i])(xg.asarray(2)),
        xg.TraceError,
        r"xg\.asarray\(array\)",
    ),
    "the truth of several": (lambda: bool(t()), ValueError, "ambiguous"),
    "a number of several": (lambda: float(t()), xg.ShapeError, "single element"),
    "a gradient that is an array": (lambda: setattr(leaf(), "grad", np.ones(2)), TypeError, "xg.asarray"),
    "a gradient that is a number": (lambda: setattr(leaf(), "grad", 1.0), TypeError, "xg.asarray"),
    "a gradient of another shape": (lambda: setattr(leaf(), "grad", xg.ones(3)), xg.ShapeError, r"\(3,\)"),
    "to no device": (lambda: t().to("nope"), xg.DeviceError, "unknown device"),
}

FUNCTIONS: dict[str, Kind] = {
    "reshape to another size": (lambda: t().reshape(2, 2), xg.ShapeError, "reshape"),
    "reshape to two unknowns": (lambda: t().reshape(-1, -1), xg.ShapeError, "unknown"),
    "reshape to None": (
        lambda: xg.reshape(t(), None),
        TypeError,
        "reshape: shape must be an integer or a tuple of integers, not None",
    ),
    "broadcast_to another shape": (lambda: xg.broadcast_to(t(), (2, 2)), xg.ShapeError, "broadcast_to"),
    "broadcast_to a negative length": (lambda: xg.broadcast_to(t(), (-1, 3)), xg.ShapeError, "negative"),
    "permute_dims with an axis twice": (lambda: xg.permute_dims(m(), (0, 0)), xg.ShapeError, "transpose"),
    "an axis that is not there": (lambda: xg.sum(m(), axis=5), IndexError, "axis 5"),
    "an axis of 0.5": (lambda: xg.sum(m(), axis=0.5), TypeError, "sum"),
    "an axis that is a string": (lambda: xg.max(m(), axis="a"), TypeError, "max"),
    "an axis twice": (lambda: xg.mean(m(), axis=(0, 0)), xg.ShapeError, "duplicate"),
    "flip along 0.5": (
        lambda: xg.flip(m(), axis=0.5),
        TypeError,
        "axis must be an integer or a tuple of integers, not 0.5",
    ),
    "moveaxis from 0.5": (
        lambda: xg.moveaxis(m(), 0.5, 0),
        TypeError,
        "moveaxis: axis must be an integer or a tuple of integers, not 0.5",
    ),
    "squeeze of a longer axis": (lambda: xg.squeeze(t(), 0), ValueError, "must have length 1"),
    "roll by 1.5": (
        lambda: xg.roll(t(), 1.5),
        TypeError,
        "shift must be an integer or a tuple of integers, not 1.5",
    ),
    "repeat -1 times": (lambda: xg.repeat(t(), -1), ValueError, "at least 0, not -1"),
    "repeat 1.5 times": (lambda: xg.repeat(t(), 1.5), TypeError, "integers"),
    "tile by a string": (lambda: xg.tile(t(), "a"), TypeError, "repetitions must be an integer or a tuple"),
    "tril from the diagonal 0.5": (lambda: xg.tril(m(), k=0.5), TypeError, "tril"),
    "triu from the diagonal 'a'": (lambda: xg.triu(m(), k="a"), TypeError, "triu"),
    "concat of a generator": (lambda: xg.concat(x for x in [t(), t()]), TypeError, r"concat\(list"),
    "concat of None": (lambda: xg.concat(None), TypeError, "list or tuple"),
    "concat of nothing": (lambda: xg.concat([]), ValueError, "at least one"),
    "concat with a list": (lambda: xg.concat([t(), [1, 2]]), TypeError, "list; use xg.asarray"),
    "stack of a dict": (lambda: xg.stack({"a": t()}), TypeError, "list or tuple"),
    "stack of other shapes": (lambda: xg.stack([t(), m()]), xg.ShapeError, "stack"),
    "take beyond the end": (lambda: xg.take(t(), xg.asarray([5])), IndexError, "out of bounds"),
    "take at booleans": (lambda: xg.take(t(), xg.asarray([True, False, True])), IndexError, r"x\[mask\]"),
    "take at floats": (lambda: xg.take(t(), t()), IndexError, "indices must be integers"),
    "take_along_axis at floats": (
        lambda: xg.take_along_axis(t(), t()),
        IndexError,
        "indices must be integers",
    ),
    "clip between strings": (lambda: xg.clip(t(), "a", 1), TypeError, "str; use float"),
    "where between strings": (lambda: xg.where(t() > 1, "a", t()), TypeError, "str; use float"),
    "max of nothing": (lambda: xg.max(xg.zeros(0)), xg.ShapeError, "max"),
    "diff 1.5 times": (lambda: xg.diff(t(), n=1.5), ValueError, "n must be an integer"),
    "diff -1 times": (lambda: xg.diff(t(), n=-1), ValueError, "n must be an integer"),
    "searchsorted in a matrix": (lambda: xg.searchsorted(m(), t()), xg.ShapeError, "searchsorted"),
    "searchsorted on another side": (
        lambda: xg.searchsorted(t(), t(), side="mid"),
        ValueError,
        "'left' or 'right'",
    ),
    "an unknown parameter": (lambda: xg.sum(t(), foo=1), TypeError, "foo"),
    "one operand too many": (lambda: xg.add(t(), t(), t()), TypeError, "3 were given"),
    "einsum of one operand for two": (lambda: xg.einsum("ij,jk", m()), xg.ShapeError, "2 operands"),
    "einsum with a number as index": (lambda: xg.einsum("i1", m()), xg.ShapeError, "a letter"),
    "einsum without operands": (lambda: xg.einsum("i"), (TypeError, xg.ShapeError), "1 operand"),
    "einsum with an index of 99": (lambda: xg.einsum(m(), [0, 99]), xg.ShapeError, "from 0 to 51"),
    "einsum of a masked array": (lambda: xg.einsum("i", MASKED), TypeError, "no mask"),
    "tensordot over three lists of axes": (
        lambda: xg.tensordot(m(), m(), axes=((0,), (0,), (1,))),
        TypeError,
        "pair of lists",
    ),
    "tensordot over an axis twice": (
        lambda: xg.tensordot(m(), m(), axes=((0, 0), (0, 1))),
        xg.ShapeError,
        "repeated",
    ),
    "matrix_power of 2.5": (lambda: xg.linalg.matrix_power(m(), 2.5), TypeError, "integer.*eigh"),
    "matrix_power of NaN": (lambda: xg.linalg.matrix_power(m(), NAN), TypeError, "integer"),
    "matrix_power of a string": (lambda: xg.linalg.matrix_power(m(), "a"), TypeError, "integer"),
    "np.linalg.matrix_power of 2.5": (lambda: np.linalg.matrix_power(m(), 2.5), TypeError, "integer"),
    "inv of a list": (lambda: xg.linalg.inv([[1.0]]), TypeError, "list; use xg.asarray"),
    "inv of a vector": (lambda: xg.linalg.inv(t()), xg.ShapeError, "square"),
    "inv of a singular matrix": (lambda: xg.linalg.inv(m()), ValueError, "ingular"),
    "fft of -1 points": (lambda: xg.fft.fft(t(), n=-1), xg.ShapeError, "-1"),
    "fft with another norm": (lambda: xg.fft.fft(t(), norm="x"), xg.ShapeError, "norm"),
    "finfo of integers": (lambda: xg.finfo(xg.int64), ValueError, "int64"),
    "isdtype of an unknown kind": (lambda: xg.isdtype(xg.float64, "nope"), ValueError, "nope"),
    "result_type of nothing": (lambda: xg.result_type(), ValueError, "one array or dtype"),
    "tree_map over other structures": (
        lambda: xg.tree_map(lambda a, b: a, {"a": 1}, {"b": 1}),
        ValueError,
        "key",
    ),
    "another precision of products": (
        lambda: xg.matmul_precision("nope").__enter__(),
        ValueError,
        "'highest'",
    ),
    "np.array of Tensors": (lambda: xg.grad(lambda x: np.sum(np.array([x, x])))(1.0), xg.GraphError, "stack"),
    "np.vectorize": (lambda: np.vectorize(lambda x: x)(leaf()), xg.GraphError, "detach"),
    "a function of SciPy": (lambda: scipy.special.erfi(t()), TypeError, r"scipy\.special\.erfi .*custom_vjp"),
    "a ufunc of one's own": (lambda: np.frompyfunc(lambda x: x, 1, 1)(t()), TypeError, "the ufunc"),
    "a function of NumPy that is not supported": (lambda: np.i0(t()), TypeError, "np.i0"),
    "out= a NumPy array": (lambda: np.sum(t(), out=np.zeros(())), TypeError, "out="),
}

TRANSFORMS: dict[str, Kind] = {
    "grad of no function": (lambda: xg.grad(3.0), TypeError, "only a function"),
    "grad of a Tensor": (lambda: xg.grad(t()), TypeError, "not its result"),
    "vjp of no function": (lambda: xg.vjp(None, 1.0), TypeError, "only a function"),
    "jvp of no function": (lambda: xg.jvp("f", (1.0,), (1.0,)), TypeError, "only a function"),
    "grad of an integer": (lambda: xg.grad(square)(xg.asarray(3)), TypeError, "write 3.0 for 3"),
    "grad of a masked array": (lambda: xg.grad(square)(MASKED), TypeError, "no mask"),
    "grad without arguments": (lambda: xg.grad(square)(), TypeError, "0 positional"),
    "argnums of 0.5": (lambda: xg.grad(square, argnums=0.5)(1.0), TypeError, "argnums=0.5"),
    "argnums that name no argument": (lambda: xg.grad(square, argnums=3)(1.0), TypeError, "argnums=3"),
    "argnums twice the same": (lambda: xg.grad(square, argnums=(0, 0))(1.0), TypeError, "twice"),
    "grad of what returns None": (lambda: xg.grad(lambda x: None)(1.0), TypeError, "NoneType"),
    "grad of what returns a vector": (lambda: xg.grad(lambda x: x)(A), TypeError, "xg.sum"),
    "grad of what returns an array": (
        lambda: xg.grad(lambda x: np.ones(()))(1.0),
        TypeError,
        "return the Tensor",
    ),
    "grad of what returns a boolean": (lambda: xg.grad(lambda x: x > 0)(1.0), TypeError, "no gradient"),
    "grad of what returns an integer": (
        lambda: xg.grad(lambda x: xg.astype(x, xg.int64))(1.0),
        TypeError,
        "no gradient",
    ),
    "grad of what returns a complex number": (lambda: xg.grad(lambda x: x * 1j)(1.0), TypeError, "complex"),
    "grad of a generator": (lambda: xg.grad(lambda x: (yield x))(1.0), TypeError, "generator"),
    "has_aux without a pair": (lambda: xg.grad(lambda x: x, has_aux=True)(1.0), TypeError, "pair"),
    "pull with another shape": (lambda: xg.vjp(square, A)[1](A), xg.ShapeError, "dz has shape"),
    "pull with a masked array": (lambda: xg.vjp(lambda x: x * 2, A)[1](MASKED), TypeError, "no mask"),
    "primals that are no tuple": (lambda: xg.jvp(square, A, A), TypeError, r"write \(x,\)"),
    "tangents of another shape": (lambda: xg.jvp(square, (A,), (1.0,)), xg.ShapeError, "tangent"),
    "tangents that are complex": (lambda: xg.jvp(square, (A,), (A * 1j,)), TypeError, "complex"),
    "jacobian of a complex argument": (lambda: xg.jacobian(square)(A * 1j), TypeError, "holomorphic"),
    "elementwise_grad of two arguments": (
        lambda: xg.elementwise_grad(lambda a, b: a * b, argnums=(0, 1))(1.0, 2.0),
        TypeError,
        "argnums must be one position",
    ),
    "elementwise_grad of a sum": (
        lambda: xg.elementwise_grad(square)(A),
        xg.ShapeError,
        "is not elementwise",
    ),
    "stop_gradient of a string": (lambda: xg.stop_gradient("a"), TypeError, "str; use float"),
    "check_grads without a tuple": (lambda: xg.check_grads(square, A), TypeError, r"write \(x,\)"),
    "check_grads to the order 1.5": (lambda: xg.check_grads(square, (A,), order=1.5), TypeError, "integer"),
    "check_grads to the order 0": (
        lambda: xg.check_grads(square, (A,), order=0),
        ValueError,
        "checks nothing",
    ),
    "check_grads to within infinity": (
        lambda: xg.check_grads(square, (A,), rtol=float("inf")),
        ValueError,
        "nothing would be checked",
    ),
    "check_grads of integers": (lambda: xg.check_grads(square, (3,)), ValueError, "nothing to check"),
    "trace of no function": (lambda: xg.trace(3, 1.0), TypeError, "callable"),
    "trace of what branches": (
        lambda: xg.trace(lambda x: x if x > 0 else -x, 1.0),
        xg.TraceError,
        "xg.where",
    ),
    "source for another library": (
        lambda: xg.trace(square, 1.0).source("torch"),
        ValueError,
        "numpy, cupy or cuda",
    ),
    "graph of what returns a tuple": (lambda: xg.graph(lambda x: (x, x), 1.0), TypeError, "one Tensor"),
    "a stage that is not there": (lambda: xg.graph(square, A)["nope"], KeyError, "the stages are"),
    "fprop with what is no input": (lambda: xg.graph(square, A).fprop(y=1.0), KeyError, "no input y"),
    "fprop with complex numbers": (lambda: xg.graph(square, A).fprop(x=A * 1j), TypeError, "xg.real"),
    "bprop of a complex number": (lambda: xg.graph(lambda x: x * 1j, 1.0).bprop(), xg.GraphError, "complex"),
    "backward of a complex number": (
        lambda: xg.sum(leaf() * (2 + 0.5j)).backward(),
        xg.GraphError,
        "complex.*xg.real",
    ),
    "backward of a vector": (lambda: (leaf() * 2).backward(), xg.GraphError, "needs dz"),
    "backward of what needs no gradient": (lambda: t().backward(), xg.GraphError, "requires_grad"),
    "backward with a masked array": (
        lambda: (leaf() * 2).backward(np.ma.array([1.0, 2.0], mask=[0, 1])),
        TypeError,
        "no mask",
    ),
    "backward with another shape": (lambda: (leaf() * 2).backward(A), xg.ShapeError, "dz has shape"),
    "deriv of an unknown op": (lambda: xg.deriv(1.0, 1.0, None, "tanhh"), xg.UnknownOpError, "'tanh'"),
    "deriv of an op that is a number": (
        lambda: xg.deriv(1.0, 1.0, None, 3),
        xg.UnknownOpError,
        "by its symbol or name",
    ),
    "deriv of max of two": (lambda: xg.deriv(1.0, 1.0, 2.0, "max"), TypeError, "'maximum'"),
    "deriv of * of one": (lambda: xg.deriv(1.0, 1.0, None, "*"), TypeError, "takes 2 operands"),
    "deriv of a string": (lambda: xg.deriv(1.0, "a", None, "tanh"), TypeError, "str; use float"),
    "deriv of None": (lambda: xg.deriv(None, A, A, "*"), TypeError, "not None"),
    "deriv of a masked array": (lambda: xg.deriv(A, MASKED, A, "*"), TypeError, "no mask"),
    "deriv with an unknown parameter": (lambda: xg.deriv(1.0, A, None, "sum", foo=1), TypeError, "axis"),
    "deriv of a class gate by its name": (
        lambda: xg.deriv(1.0, (1.0,), None, "MadeWithArguments"),
        TypeError,
        "the gate itself",
    ),
}

BODIES: dict[str, Kind] = {
    "scan of what returns None": (lambda: xg.scan(lambda c, x: None, 0.0, A), TypeError, "pair"),
    "scan of what returns three": (lambda: xg.scan(lambda c, x: (c, x, x), 0.0, A), TypeError, "pair"),
    "scan with a y that is a string": (
        lambda: xg.scan(lambda c, x: (c, "a"), 0.0, A),
        TypeError,
        "str; use float",
    ),
    "scan whose carry becomes None": (
        lambda: xg.scan(lambda c, x: (None, x), 0.0, A),
        TypeError,
        "structure",
    ),
    "scan whose carry changes shape": (
        lambda: xg.scan(lambda c, x: (xg.stack([c, c]), x), 0.0, A),
        xg.ShapeError,
        "carry",
    ),
    "scan whose carry changes dtype": (
        lambda: xg.scan(lambda c, x: (c + x, x), 0, A),
        TypeError,
        "int64.*float64",
    ),
    "scan that raises": (lambda: xg.scan(lambda c, x: 1 / 0, 0.0, A), ZeroDivisionError, "zero"),
    "scan that raises at a step": (
        lambda: xg.scan(lambda c, x: (c + 1 / (float(x) - 1), x), 0.0, A, compiled=False),
        ZeroDivisionError,
        "zero",
    ),
    "scan of -1 steps": (lambda: xg.scan(lambda c, x: (c, c), 0.0, None, length=-1), ValueError, "negative"),
    "scan of True steps": (
        lambda: xg.scan(lambda c, x: (c, c), 0.0, None, length=True),
        TypeError,
        "scan: length must be an integer, not True",
    ),
    "scan of 2.0 steps": (
        lambda: xg.scan(lambda c, x: (c, c), 0.0, None, length=np.float64(2)),
        TypeError,
        "scan: length must be an integer, not",
    ),
    "scan of '2' steps": (
        lambda: xg.scan(lambda c, x: (c, c), 0.0, A, length="2"),
        TypeError,
        "scan: length must be an integer, not '2'",
    ),
    "scan of a list of steps": (
        lambda: xg.scan(lambda c, x: (c, c), 0.0, None, length=[2]),
        TypeError,
        "scan: length must be an integer, not",
    ),
    "scan of more steps than there are numbers": (
        lambda: xg.scan(lambda c, x: (c, c), 0.0, None, length=HUGE),
        ValueError,
        "too large",
    ),
    "scan kept once in 1.5 steps": (
        lambda: xg.scan(lambda c, x: (c + x, c), 0.0, A, checkpoint_every=1.5),
        TypeError,
        "checkpoint_every must be an integer, not 1.5",
    ),
    "scan kept once in True steps": (
        lambda: xg.scan(lambda c, x: (c + x, c), 0.0, A, checkpoint_every=True),
        TypeError,
        "checkpoint_every must be an integer, not True",
    ),
    "scan kept once in 'a' steps": (
        lambda: xg.scan(lambda c, x: (c + x, c), 0.0, A, checkpoint_every="a"),
        TypeError,
        "checkpoint_every must be an integer, not 'a'",
    ),
    "scan over a masked array": (
        lambda: xg.scan(lambda c, x: (c + x, None), 0.0, MASKED),
        TypeError,
        "no mask",
    ),
    "scan over a number": (lambda: xg.scan(lambda c, x: (c, c), 0.0, 1.0), xg.ShapeError, "leading axis"),
    "scan over a generator": (
        lambda: xg.scan(lambda c, x: (c, c), 0.0, generator()),
        TypeError,
        "generator; pass list",
    ),
    "scan from a string": (lambda: xg.scan(lambda c, x: (c, c), "a", A), TypeError, "str; use float"),
    "scan of other lengths": (
        lambda: xg.scan(lambda c, x: (c, c), 0.0, (A, A[:2])),
        xg.ShapeError,
        "2 steps",
    ),
    "scan kept once in 0 steps": (
        lambda: xg.scan(lambda c, x: (c + x, c), 0.0, A, checkpoint_every=0),
        ValueError,
        "not positive",
    ),
    "checkpoint of what raises": (
        lambda: xg.grad(xg.checkpoint(lambda x: 1 / 0))(1.0),
        ZeroDivisionError,
        "zero",
    ),
    "checkpoint of what returns a string": (
        lambda: xg.checkpoint(lambda x: "a")(1.0),
        TypeError,
        "str; use float",
    ),
    "compile of what returns a string": (lambda: xg.compile(lambda x: "a")(1.0), TypeError, "str; use float"),
    "compile of what branches": (
        lambda: xg.compile(lambda x: x if x > 0 else -x)(t()[0]),
        xg.TraceError,
        "xg.where",
    ),
    "compile of what takes a masked array": (lambda: xg.compile(square)(MASKED), TypeError, "no mask"),
    "a gate that returns None": (
        lambda: xg.gate(lambda x: None, dx=lambda dz: dz)(1.0),
        TypeError,
        "returned NoneType",
    ),
    "a gate that returns a string": (
        lambda: xg.gate(lambda x: "a", dx=lambda dz: dz)(1.0),
        TypeError,
        "returned str",
    ),
    "a gate whose rule returns None": (
        lambda: xg.grad(xg.gate(lambda x: x * 1, dx=lambda dz: None))(1.0),
        TypeError,
        "returned None",
    ),
    "a gate whose rule returns a string": (
        lambda: xg.grad(xg.gate(lambda x: x * 1, dx=lambda dz: "a"))(1.0),
        TypeError,
        "returned str",
    ),
    "a gate whose rule returns another shape": (
        lambda: xg.grad(lambda x: xg.sum(xg.gate(lambda x: x * 1, dx=lambda dz: dz[:1])(x)))(A),
        xg.ShapeError,
        r"\(1,\)",
    ),
    "a gate whose rule raises": (
        lambda: xg.grad(xg.gate(lambda x: x * 1, dx=lambda dz: 1 / 0))(1.0),
        ZeroDivisionError,
        "zero",
    ),
    "a gate whose rule asks for more": (
        lambda: xg.gate(lambda x: x, dx=lambda dz, foo: dz),
        TypeError,
        "This one takes dz, foo",
    ),
    "a gate of two with one rule": (
        lambda: xg.gate(lambda x, y: x * y, dx=lambda dz: dz),
        TypeError,
        "both derivatives",
    ),
    "a gate of a string": (lambda: xg.gate(lambda x: x, dx=lambda dz: dz)("a"), TypeError, "str; use float"),
    "a gate of nothing": (lambda: TwoGradients()(), TypeError, "needs operands"),
    "a class gate with too many gradients": (
        lambda: xg.grad(TwoGradients())(1.0),
        TypeError,
        "2 gradients for 1",
    ),
    "a class gate that returns a string": (lambda: NoArray()(1.0), TypeError, "returned str"),
    "a class gate whose gradient is a string": (
        lambda: xg.grad(TextGradient())(1.0),
        TypeError,
        "returned str",
    ),
    "a class gate whose gradient has more axes": (
        lambda: xg.grad(TallGradient())(1.0),
        xg.ShapeError,
        r"\(2,\)",
    ),
    "an op that returns None": (lambda: registered(lambda xp, x: None), TypeError, "returned NoneType"),
    "an op that returns a float": (lambda: registered(lambda xp, x: 1.0), TypeError, "returned float"),
    "an op that returns a list": (lambda: registered(lambda xp, x: [x]), TypeError, "returned list"),
    "an op that returns None, compiled": (
        lambda: registered(lambda xp, x: None, lambda op: xg.compile(op)(t())),
        TypeError,
        "returned NoneType",
    ),
    "an op that writes into its operand": (
        lambda: registered(lambda xp, x: operator.iadd(x, 1), lambda op: op(t())),
        ValueError,
        "read-only",
    ),
    "an op without a derivative": (
        lambda: registered(lambda xp, x: x * 2, lambda op: xg.grad(op)(1.0)),
        xg.GraphError,
        "dx=",
    ),
    "an op without a derivative, forward": (
        lambda: registered(lambda xp, x: x * 2, lambda op: xg.jvp(op, (1.0,), (1.0,))),
        xg.GraphError,
        "dx=",
    ),
    "an op without a derivative, compiled": (
        lambda: registered(lambda xp, x: x * 2, lambda op: xg.compile(xg.grad(lambda x: xg.sum(op(x))))(t())),
        xg.GraphError,
        "dx=",
    ),
    "an op with half a derivative": (
        lambda: registered(
            lambda xp, x, y: x * y, lambda op: xg.grad(op, argnums=1)(1.0, 2.0), dx=lambda dz, y: dz * y
        ),
        xg.GraphError,
        "dx=",
    ),
    "an op whose rule returns None": (
        lambda: registered(lambda xp, x: x * 2, lambda op: xg.grad(op)(1.0), dx=lambda dz: None),
        TypeError,
        "returned NoneType",
    ),
    "an op whose rule returns another shape": (
        lambda: registered(lambda xp, x: x * 2, lambda op: xg.grad(op)(1.0), dx=lambda xp, dz: xp.ones(2)),
        xg.ShapeError,
        "that of its operand",
    ),
    "an op of many with one gradient": (
        lambda: registered(
            lambda xp, *x: x[0] * 2,
            lambda op: xg.grad(lambda a: op(a, a))(1.0),
            dx=lambda dz: (dz,),
            variadic=True,
        ),
        TypeError,
        "1 gradient for 2",
    ),
    "an op of many without a tuple": (
        lambda: registered(
            lambda xp, *x: x[0] * 2,
            lambda op: xg.grad(lambda a: op(a, a))(1.0),
            dx=lambda dz: dz,
            variadic=True,
        ),
        TypeError,
        "a tuple",
    ),
    "an op that is there": (lambda: xg.register_op("tanh", lambda xp, x: x), ValueError, "already"),
    "an op without a name": (lambda: xg.register_op("", lambda xp, x: x), TypeError, "name"),
    "an op that is no function": (
        lambda: xg.register_op("op_of_a_test", 3),
        TypeError,
        "forward must be a function",
    ),
    "an op whose rule is no function": (
        lambda: xg.register_op("op_of_a_test", lambda xp, x: x, dx=3),
        TypeError,
        "dx must be a function",
    ),
    "custom_vjp without a rule": (lambda: xg.custom_vjp(square)(1.0), TypeError, r"defvjp\(fwd, bwd\)"),
    "custom_vjp with no functions": (
        lambda: xg.custom_vjp(square).defvjp(None, None),
        TypeError,
        "two functions",
    ),
    "custom_vjp whose fwd returns no pair": (lambda: xg.grad(ruled(fwd=lambda x: x))(1.0), TypeError, "pair"),
    "custom_vjp whose bwd returns no tuple": (
        lambda: xg.grad(ruled(bwd=lambda kept, dz: dz))(1.0),
        TypeError,
        "a tuple",
    ),
    "custom_vjp whose bwd returns a string": (
        lambda: xg.grad(ruled(bwd=lambda kept, dz: ("a",)))(1.0),
        TypeError,
        "returned str",
    ),
    "custom_vjp whose bwd returns another shape": (
        lambda: xg.grad(ruled(bwd=lambda kept, dz: (xg.ones(2),)))(1.0),
        xg.ShapeError,
        r"\(2,\)",
    ),
    "custom_vjp whose bwd raises": (
        lambda: xg.grad(ruled(bwd=lambda kept, dz: 1 / 0))(1.0),
        ZeroDivisionError,
        "zero",
    ),
    "custom_vjp that returns None": (lambda: ruled(fun=lambda x: None)(1.0), TypeError, "no array"),
    "custom_vjp of a string": (lambda: xg.grad(ruled())("a"), TypeError, "str; use float"),
    "nondiff_argnums that are no positions": (
        lambda: xg.custom_vjp(square, "a"),
        TypeError,
        "not a tuple of argument positions",
    ),
    "nondiff_argnums that name no argument": (
        lambda: ruled(nondiff=(5,))(1.0),
        TypeError,
        "names other positions",
    ),
    "a Tensor in nondiff_argnums that needs a gradient": (
        lambda: xg.grad(lambda x: xg.sum(scaled()(x, x)))(A),
        xg.GraphError,
        "nondiff_argnums",
    ),
    "a gradient of what is in nondiff_argnums": (
        lambda: xg.grad(lambda x, n: scaled()(x, n), argnums=1)(1.0, 2.0),
        xg.GraphError,
        "nondiff_argnums",
    ),
    "a traced Tensor in nondiff_argnums": (
        lambda: xg.compile(lambda x, n: scaled()(x, n))(t(), t()),
        xg.GraphError,
        "nondiff_argnums",
    ),
    "custom_jvp without a rule": (lambda: xg.custom_jvp(square)(1.0), TypeError, "defjvp"),
    "custom_jvp whose rule returns no pair": (lambda: tangents(lambda p, t: t[0]), TypeError, "pair"),
    "custom_jvp whose rule returns another shape": (
        lambda: tangents(lambda p, t: (p[0] * 2, xg.stack([t[0], t[0]]))),
        xg.ShapeError,
        "tangent",
    ),
    "custom_jvp whose rule raises": (lambda: tangents(lambda p, t: 1 / 0), ZeroDivisionError, "zero"),
}

LEARNING: dict[str, Kind] = {
    "Linear of 0 inputs": (lambda: xg.nn.Linear(0, 3), ValueError, "n_in must be at least 1, not 0"),
    "Linear of -1 outputs": (lambda: xg.nn.Linear(3, -1), ValueError, "n_out must be at least 1, not -1"),
    "Linear of 3.0 inputs": (lambda: xg.nn.Linear(3.0, 2), TypeError, "n_in must be an integer"),
    "Linear of True inputs": (lambda: xg.nn.Linear(True, 2), TypeError, "n_in must be an integer"),
    "Linear of integers": (lambda: xg.nn.Linear(3, 2, dtype=int), TypeError, "floating"),
    "Linear with NumPy's generator": (
        lambda: xg.nn.Linear(3, 2, rng=np.random.default_rng(0)),
        TypeError,
        r"xg\.random\.default_rng",
    ),
    "Linear on another dtype": (lambda: linear()(xg.ones((5, 3))), TypeError, "astype"),
    "Linear on another width": (
        lambda: linear()(xg.ones((5, 4), dtype=xg.float32)),
        xg.ShapeError,
        r"\(5, 4\)",
    ),
    "Linear on None": (lambda: linear()(None), TypeError, "None"),
    "Linear on a masked array": (lambda: linear()(MASKED), TypeError, "no mask"),
    "GRU of 0 states": (lambda: xg.nn.GRU(3, 0), ValueError, "hidden_size must be at least 1, not 0"),
    "GRU with another reset": (lambda: xg.nn.GRU(3, 2, reset="x"), ValueError, "'before' or 'after'"),
    "GRU without a batch": (
        lambda: xg.nn.GRU(3, 2)(xg.ones((5, 3), dtype=xg.float32)),
        xg.ShapeError,
        r"\(T, B, 3\)",
    ),
    "GRU from other weights": (lambda: xg.nn.GRU.from_torch({}), KeyError, "one layer"),
    "GRU from weights of other shapes": (
        lambda: xg.nn.GRU.from_torch({"weight_ih_l0": np.ones((7, 3)), "weight_hh_l0": np.ones((6, 2))}),
        xg.ShapeError,
        r"\(3 H, I\)",
    ),
    "Embedding of 2.5 numbers": (lambda: xg.nn.Embedding(2.5, 3), TypeError, "count must be an integer"),
    "Embedding of a number below 0": (lambda: xg.nn.Embedding(4, 3)([-1]), IndexError, "from 0 to 3"),
    "Embedding of a number that is not there": (lambda: xg.nn.Embedding(4, 3)([9]), IndexError, "9"),
    "Embedding of floats": (lambda: xg.nn.Embedding(4, 3)(t()), TypeError, "integer indices"),
    "Embedding of a masked array": (
        lambda: xg.nn.Embedding(4, 3)(np.ma.array([0, 1], mask=[0, 1])),
        TypeError,
        "no mask",
    ),
    "Embedding of a number below 0, compiled": (
        lambda: xg.compile(xg.nn.Embedding(4, 3).__call__)(xg.asarray([-1])),
        IndexError,
        "out of bounds",
    ),
    "cross_entropy of a class below 0": (
        lambda: xg.nn.cross_entropy(xg.ones((2, 3)), [-1, 0]),
        IndexError,
        "from 0 to 2",
    ),
    "cross_entropy of a class that is not there": (
        lambda: xg.nn.cross_entropy(xg.ones((2, 3)), [3, 0]),
        IndexError,
        "3",
    ),
    "cross_entropy of a class below 0, compiled": (
        lambda: xg.compile(xg.nn.cross_entropy)(xg.ones((2, 3)), xg.asarray([-1, 0])),
        IndexError,
        "out of bounds",
    ),
    "cross_entropy of float classes": (
        lambda: xg.nn.cross_entropy(xg.ones((2, 3)), [1.0, 0.0]),
        TypeError,
        "integer targets",
    ),
    "cross_entropy of other shapes": (
        lambda: xg.nn.cross_entropy(xg.ones((2, 3)), [1]),
        xg.ShapeError,
        "targets",
    ),
    "cross_entropy of integers": (
        lambda: xg.nn.cross_entropy(xg.ones((2, 3), dtype=xg.int64), [1, 0]),
        TypeError,
        "floating",
    ),
    "cross_entropy of complex numbers": (
        lambda: xg.nn.cross_entropy(xg.ones((2, 3)) * 1j, [1, 0]),
        TypeError,
        "real",
    ),
    "cross_entropy of no classes": (
        lambda: xg.nn.cross_entropy(xg.ones((2, 0)), [0, 0]),
        xg.ShapeError,
        "one class",
    ),
    "cross_entropy of a number": (lambda: xg.nn.cross_entropy(1.0, 0), xg.ShapeError, "classes"),
    "cast to integers": (lambda: xg.nn.cast(linear(), xg.int64), TypeError, "floating"),
    "cast to None": (lambda: xg.nn.cast(linear(), None), TypeError, "None"),
    "an optimiser of a generator": (
        lambda: xg.optim.Adam(p for p in [leaf()]),
        TypeError,
        r"generator.*list\(\.\.\.\)",
    ),
    "an optimiser of a set": (lambda: xg.optim.SGD({leaf()}), TypeError, r"set.*list\(\.\.\.\)"),
    "an optimiser of the values of a dict": (
        lambda: xg.optim.SGD({"a": leaf()}.values()),
        TypeError,
        r"list\(\.\.\.\)",
    ),
    "an optimiser of nothing": (lambda: xg.optim.SGD([]), ValueError, "needs at least one parameter"),
    "an optimiser of None": (lambda: xg.optim.Adam(None), ValueError, "needs at least one parameter"),
    "an optimiser of arrays": (lambda: xg.optim.SGD([A]), xg.GraphError, "ndarray"),
    "an optimiser of what is no leaf": (
        lambda: xg.optim.SGD([leaf() * 2]),
        xg.GraphError,
        "made with requires_grad=True",
    ),
    "a rate that is NaN": (
        lambda: xg.optim.SGD([leaf()], lr=NAN),
        ValueError,
        "learning rate must be at least 0, not nan",
    ),
    "a rate below 0": (lambda: xg.optim.Adam([leaf()], lr=-1.0), ValueError, "at least 0"),
    "an infinite rate": (lambda: xg.optim.SGD([leaf()], lr=float("inf")), ValueError, "learning rate"),
    "a rate that is a string": (lambda: xg.optim.SGD([leaf()], lr="0.1"), TypeError, "must be a number"),
    "a rate that is None": (lambda: xg.optim.SGD([leaf()], lr=None), TypeError, "must be a number"),
    "a rate that becomes NaN": (
        lambda: setattr(xg.optim.SGD([leaf()]), "lr", NAN),
        ValueError,
        "learning rate",
    ),
    "a momentum below 0": (lambda: xg.optim.SGD([leaf()], momentum=-1.0), ValueError, "momentum"),
    "betas of 1": (lambda: xg.optim.Adam([leaf()], betas=(1.0, 0.9)), ValueError, "less than 1"),
    "one beta": (lambda: xg.optim.Adam([leaf()], betas=0.9), TypeError, "pair"),
    "an eps that is NaN": (lambda: xg.optim.Adam([leaf()], eps=NAN), ValueError, "eps"),
    "a step by strings": (lambda: xg.optim.SGD([leaf()]).step(["a"]), TypeError, "str; use float"),
    "a step by integers": (
        lambda: xg.optim.SGD([leaf()]).step([xg.ones(2, dtype=xg.int64)]),
        TypeError,
        "floating",
    ),
    "a step by complex numbers": (
        lambda: xg.optim.SGD([leaf()]).step([xg.ones(2) * 1j]),
        TypeError,
        "xg.real",
    ),
    "a step by another structure": (
        lambda: xg.optim.SGD([leaf()]).step(xg.ones(2)),
        xg.ShapeError,
        "structure",
    ),
    "clip to a norm of NaN": (lambda: xg.optim.clip_by_global_norm([t()], NAN), ValueError, "max_norm"),
    "clip to a norm below 0": (lambda: xg.optim.clip_by_global_norm([t()], -1.0), ValueError, "max_norm"),
    "clip to a string": (lambda: xg.optim.clip_by_global_norm([t()], "a"), TypeError, "max_norm"),
    "clip of integers": (
        lambda: xg.optim.clip_by_global_norm([xg.asarray([3, 4])], 1.0),
        TypeError,
        "floating",
    ),
    "clip of a string": (lambda: xg.optim.clip_by_global_norm("a", 1.0), TypeError, "str; use float"),
    "clip of a generator": (
        lambda: xg.optim.clip_by_global_norm(generator(), 1.0),
        TypeError,
        "generator; pass list",
    ),
    "a scale that is a string": (lambda: xg.optim.LossScale("a"), TypeError, "must be a number"),
    "a scale that is NaN": (lambda: xg.optim.LossScale(NAN), ValueError, "must be positive"),
    "an interval of 1.5": (lambda: xg.optim.LossScale(growth_interval=1.5), TypeError, "integer"),
    "an update by a string": (lambda: xg.optim.LossScale().update("a"), TypeError, "str; use float"),
    "an update by several": (lambda: xg.optim.LossScale().update([True, False]), TypeError, "one boolean"),
    "a step of no optimiser": (lambda: xg.optim.LossScale().step(None), TypeError, "an optimiser"),
    "a seed that is a string": (lambda: xg.random.default_rng("a"), TypeError, "int"),
    "a seed below 0": (lambda: xg.random.default_rng(-1), ValueError, "non-negative"),
    "a size below 0": (lambda: xg.random.default_rng(0).normal(size=-1), ValueError, "negative"),
    "a size of 1.5": (lambda: xg.random.default_rng(0).normal(size=1.5), TypeError, "integer"),
    "a size of True": (lambda: xg.random.default_rng(0).normal(size=True), TypeError, "integer"),
    "a mean that is a string": (lambda: xg.random.default_rng(0).normal("a"), TypeError, "str; use float"),
    "a mean that is masked": (lambda: xg.random.default_rng(0).normal(MASKED), TypeError, "no mask"),
    "a deviation below 0": (
        lambda: xg.random.default_rng(0).normal(0.0, -1.0),
        ValueError,
        "scale must be at least 0; got -1.0",
    ),
    "integers from 5 to 3": (lambda: xg.random.default_rng(0).integers(5, 3), ValueError, "low must be less"),
    "a choice from nothing": (
        lambda: xg.random.default_rng(0).choice(0),
        ValueError,
        "no elements to choose",
    ),
    "a probability of 1.5": (
        lambda: xg.random.default_rng(0).binomial(3, 1.5),
        ValueError,
        "between 0 and 1",
    ),
}

TABLES = {
    "creation": CREATION,
    "operators": OPERATORS,
    "functions": FUNCTIONS,
    "transforms": TRANSFORMS,
    "bodies": BODIES,
    "learning": LEARNING,
}


def refused(f: Callable[[], Any], error: Any, words: str) -> None:
    """Check that `f` raises this error with these words.

    It must leave the modes, the device and the table of ops as they were.
    """
    before = MODE.get(), xg.current_device()
    with pytest.raises(error, match=words):
        f()
    assert (MODE.get(), xg.current_device()) == before


@pytest.mark.parametrize(
    ("table", "name"),
    [(table, name) for table, kinds in TABLES.items() for name in kinds],
    ids=lambda v: v.replace(" ", "-"),
)
def test_it_is_refused(table: str, name: str) -> None:
    refused(*TABLES[table][name])


#: Functions that take one or several arrays.
TAKERS: dict[str, Callable[[Any], Any]] = {
    "asarray": xg.asarray,
    "tensor": xg.tensor,
    "sin": xg.sin,
    "where": lambda v: xg.where(xg.asarray([True, False, True]), v, t()),
    "add": lambda v: xg.add(t(), v),
    "sum": xg.sum,
    "concat": lambda v: xg.concat([t(), v]),
    "full": lambda v: xg.full((2, 3), v),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("name", NO_ARRAYS)
def test_what_is_no_array(name: str, taker: str) -> None:
    value, words = NO_ARRAYS[name]
    refused(lambda: TAKERS[taker](value), TypeError, words)


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_holds_no_numbers(name: str, taker: str) -> None:
    value, words = NO_NUMBERS[name]
    refused(lambda: TAKERS[taker](value), TypeError, words)


@pytest.mark.parametrize("name", NO_ARRAYS)
def test_what_is_no_operand(name: str) -> None:
    value, _ = NO_ARRAYS[name]
    if value is SPARSE:  # SciPy reads the values, unless a gradient is required
        refused(lambda: value * xg.tensor(A, requires_grad=True), xg.GraphError, "detach")
    else:
        refused(lambda: value * t(), TypeError, ".")
    for f in (
        lambda: t() * value,
        lambda: t() - value,
        lambda: t() < value,
        lambda: operator.iadd(t(), value),
    ):
        refused(f, TypeError, ".")


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_is_no_operand_though_an_array(name: str) -> None:
    value, words = NO_NUMBERS[name]
    for f in (
        lambda: t() * value,
        lambda: value * t(),
        lambda: t() < value,
        lambda: operator.iadd(t(), value),
    ):
        refused(f, TypeError, words)


def test_tables_are_taken_as_arrays_and_cut_no_gradient() -> None:
    pandas = pytest.importorskip("pandas")
    series = pandas.Series([1.0, 2.0])
    assert xg.asarray(series).tolist() == [1, 2]
    for f in (lambda: leaf() * series, lambda: series * leaf(), lambda: np.add(series, leaf())):
        refused(f, xg.GraphError, "detach")
    refused(lambda: xg.sin(series), TypeError, "Series; use xg.asarray")
    refused(
        lambda: xg.asarray(pandas.Series(["a", "b"])), TypeError, "not numbers; select the numeric columns"
    )


class TestNothingChanges:
    """A refused call changes nothing."""

    def test_a_refused_step(self) -> None:
        p, q = leaf(), leaf()
        optimizer = xg.optim.Adam([p, q], lr=0.1)
        before = {name: v.tolist() for name, v in optimizer.state_dict().items()}
        good = xg.ones(2)
        for bad in (
            np.ma.array([1.0, 2.0], mask=[0, 1]),
            xg.ones(3),
            xg.ones(2, dtype=xg.int64),
            good * 1j,
            "a",
        ):
            with pytest.raises((TypeError, xg.ShapeError)):
                optimizer.step([good, bad])
        assert {name: v.tolist() for name, v in optimizer.state_dict().items()} == before
        assert p.tolist() == q.tolist() == [1, 2]

    def test_a_refused_rate(self) -> None:
        optimizer = xg.optim.SGD([leaf()], lr=0.5)
        with pytest.raises(ValueError, match="learning rate"):
            optimizer.lr = -1.0
        assert optimizer.lr == 0.5

    def test_a_refused_assignment(self) -> None:
        x = t()
        for value in ("a", [1, 2, 3], 1j, MASKED, xg.ones(2)):
            with pytest.raises((TypeError, xg.ShapeError)):
                x[:] = value
        assert x.tolist() == [1, 2, 3]

    def test_a_refused_draw(self) -> None:
        rng = xg.random.default_rng(0)
        state = rng.state
        for size in (-1, 1.5, "a", True):
            with pytest.raises((TypeError, ValueError)):
                rng.normal(size=size)
        assert rng.state == state

    def test_a_refused_op(self) -> None:
        for arguments in (
            {"forward": 3},
            {"forward": lambda xp, x: x, "dx": 3},
            {"forward": lambda xp, x: x, "dx": lambda foo: foo},
        ):
            with pytest.raises(TypeError):
                xg.register_op("op_of_a_test", **arguments)
        with pytest.raises(xg.UnknownOpError):
            xg.deriv(1.0, 1.0, None, "op_of_a_test")

    def test_an_operand_that_an_op_writes_into(self) -> None:
        x = t()
        with pytest.raises(ValueError, match="read-only"):
            registered(lambda xp, x: operator.iadd(x, 1), lambda op: op(x))
        assert x.tolist() == [1, 2, 3]

    def test_modes_after_what_raises_in_a_body(self) -> None:
        def bad(*args: Any) -> Any:
            raise ValueError("here")

        before = MODE.get()
        for f in (
            lambda: xg.grad(bad)(1.0),
            lambda: xg.vjp(bad, 1.0),
            lambda: xg.jvp(bad, (1.0,), (1.0,)),
            lambda: xg.jacobian(bad)(1.0),
            lambda: xg.graph(bad, 1.0),
            lambda: xg.trace(bad, 1.0),
            lambda: xg.compile(bad)(1.0),
            lambda: xg.checkpoint(bad)(1.0),
            lambda: xg.scan(bad, 0.0, A),
            lambda: xg.scan(bad, 0.0, A, compiled=False),
            lambda: xg.gate(bad, dx=lambda dz: dz)(1.0),
            lambda: xg.grad(ruled(fwd=bad))(1.0),
            lambda: xg.check_grads(bad, (1.0,)),
            lambda: xg.tree_map(bad, [1.0]),
        ):
            with pytest.raises(ValueError, match="here"):
                f()
            assert MODE.get() == before
