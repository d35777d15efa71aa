"""Generated files: the stubs for type checkers, the tables of functions, of hard points and of what runs
where in the docs, and the table of GPU benchmarks.

    python docs/generate.py

writes them; a test compares the files with what this would write.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # the package and the tests as they are here
sys.path.append(str(ROOT / "benchmarks"))  # at the end, as its modules have plain names

import xgrad as xg
from tests.helpers.calls import CALLS, FLAT, MODES, ORDER, REAL
from tests.helpers.devices import DEVICES
from tests.helpers.hard_points import POINTS
from tests.helpers.numpy_calls import SMOOTH
from xgrad.namespace import gates
from xgrad.namespace.dtypes import DTYPES
from xgrad.namespace.table import FUNCTIONS, NUMPY, extension

HEAD = "# Made from the table of functions by `python docs/generate.py`."


def package_stub() -> str:
    """The stub of the package: where each of its names comes from."""
    sources: dict[str, list[str]] = {".backends.types": ["DType"]}
    for name in xg.__all__:
        value = getattr(xg, name)
        if name in xg.namespace.__all__:
            sources.setdefault(".namespace", []).append(f"{name} as {name}")
        elif inspect.ismodule(value):
            sources.setdefault(".", []).append(f"{name} as {name}")
        else:
            sources.setdefault(value.__module__.removeprefix("xgrad"), []).append(
                f"{value.__name__} as {name}"
            )
    return "\n".join(
        [
            HEAD,
            *_imports(sources),
            "",
            "__version__: str",
            "bfloat16: DType",
            "__array_api_version__: str",
            _exported(xg.__all__),
            "",
        ]
    )


def stub(part: str) -> str:
    """The stub of the main namespace for "", of an extension by its name."""
    functions = extension(part)
    sources: dict[str, list[str]] = {}
    for name, f in functions.items():
        sources.setdefault(f.__module__.removeprefix("xgrad.namespace"), []).append(f"{name} as {name}")
    names, constants = list(functions), []
    if not part:
        sources["."] = ["fft as fft", "linalg as linalg"]
        sources[".conversion"] += ["to_device as to_device"]
        sources[".showing"] = ["show as show"]
        sources[".factors"] = ["cofactor as cofactor", "eig as eig", "eigh_of as eigh", "seal as seal"]
        sources[".indexing"] += [
            "scatter as scatter",
            "setitem as setitem",
            "slide as slide",
            "untake as untake",
        ]
        sources[".updates"] = ["add_at as add_at"]
        sources["..backends.types"] = ["DType"]
        constants = [
            "e: float",
            "inf: float",
            "nan: float",
            "pi: float",
            "newaxis: None",
            "__array_api_version__: str",
            *(f"{name}: DType" for name in (*DTYPES, "bfloat16")),
        ]
        names = xg.namespace.__all__
    return "\n".join([HEAD, *_imports(sources), "", *sorted(constants), "", _exported(names), ""])


def gates_stub() -> str:
    """The stub of the functions that are made from the table of ops."""
    made = []
    for f in FUNCTIONS.values():
        if f.__module__ == gates.__name__:
            said = (f.__doc__ or "").strip().splitlines()[0]
            made.append(f'def {f.__name__}{_signature(f)}:\n    """{said}"""\n')
    imports = {
        "..backends.types": ["ArrayLike"],
        "..core.tensor": ["Tensor"],
        "..ops.axes": ["Axis"],
    }
    return "\n".join([HEAD, *_imports(imports), "", *sorted(made)])


def _imports(sources: dict[str, list[str]]) -> list[str]:
    return [
        f"from {module} import (\n" + "".join(f"    {name},\n" for name in sorted(found)) + ")"
        for module, found in sorted(sources.items())
    ]


def _exported(names: Iterable[str]) -> str:
    return "__all__ = [\n" + "".join(f'    "{name}",\n' for name in sorted(names)) + "]"


def _signature(f: Callable[..., Any]) -> str:
    """The signature of a function, whose annotations are strings, without the marks around these."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(f)))


def table() -> str:
    """The page of the docs with every function."""
    checked = f"to order {ORDER}, {' and '.join(MODES)}"
    tested = ", ".join(TESTED_ON[device] for device in DEVICES if device in TESTED_ON)
    ours = set(FUNCTIONS.values())
    smooth = {NUMPY[name] for name in SMOOTH if name in NUMPY}  # under any of its names
    rows = []
    for name, f in sorted(FUNCTIONS.items(), key=lambda item: ("." in item[0], item[0])):
        assert name in CALLS, f"{name} has no call among the tests'"
        theirs = [n for n, g in NUMPY.items() if (g is f or n == name) and in_numpy(n)]
        derivative = " | " if name in FLAT else f"{checked} | {'' if name in REAL else 'yes'}"
        rows.append(
            f"| `{name}` | {' '.join(f'`np.{n}`' for n in sorted(theirs))} | {derivative} | {tested} |"
        )
    alone = [
        f"| `np.{name}` | {checked if f in smooth else ''} | {tested} |"
        for name, f in sorted(NUMPY.items())
        if f not in ours and in_numpy(name)
    ]
    return PAGE.format(functions="\n".join(rows), alone="\n".join(alone), version=xg.__array_api_version__)


def points() -> str:
    """The page of the docs with the derivatives that are not obvious."""
    rows = [
        f"| {what} | {_shown(where)} | {_shown(first)} | {_shown(second)} |"
        for what, (_, where, first, second) in POINTS.items()
    ]
    return POINTS_PAGE.format(rows="\n".join(rows))


def _shown(values: Any) -> str:
    """Numbers as one would write them."""
    values = np.asarray(values, float)
    if not values.size:
        return f"shape {values.shape}"
    return re.sub(
        r"(?<=\[) +| +(?=\])",
        "",
        np.array2string(values, formatter={"float": "{:.4g}".format}).replace("\n", ""),
    )


def in_numpy(name: str) -> bool:
    """Whether NumPy has a function of this name, as not all functions of the table are."""
    try:
        return callable(attrgetter(name)(np))
    except AttributeError:
        return False


TESTED_ON = {"cpu": "NumPy", "strict:1": "strict"}

PAGE = """# Every function

The first table lists the functions of the standard ({version}) and of xgrad, with their names in NumPy. The
second table lists functions that only NumPy has. All of them take Tensors. `python docs/generate.py` makes
this page from the table of functions.

```python
import numpy as np
import xgrad as xg

x = xg.asarray([0.0, 1.0])
print(xg.grad(lambda x: xg.sum(xg.tan(x)))(x))
print(xg.grad(lambda x: np.sum(np.tan(x)))(x))
```

```text
tensor([1.        , 3.42551882])
tensor([1.        , 3.42551882])
```

- *Derivative*: the order to which the tests compare it with finite differences, in reverse mode, forward mode
  and every combination of the two. Functions without an entry have no derivative, or their derivative is 0
  wherever it exists; no gradient flows through them.
- *Complex*: whether the derivative is also checked for complex numbers.
- *Tested on*: NumPy, and "strict", which is array-api-strict, a library that implements only the standard.
  The same tests run on CUDA where there is a device.

See also [where a derivative is not obvious](21-hard-points.md).

## Functions of xgrad

| `xg.` | in NumPy | derivative | complex | tested on |
|---|---|---|---|---|
{functions}

## Functions that only NumPy has

| | derivative | tested on |
|---|---|---|
{alone}
"""

POINTS_PAGE = """# Where a derivative is not obvious

Each row is a test, in reverse and in forward mode, eager and compiled, on NumPy and on array-api-strict. It
gives the function, the point, the gradient there, and the row sums of the second derivatives.
`python docs/generate.py` makes this page from `tests/helpers/hard_points.py`, which has the functions as
code.

Most rows follow from four choices:

- A norm, a standard deviation and an absolute value have derivative 0 at 0.
- On a tie, the first element gets the gradient.
- Where eigenvalues or singular values are equal, a single one of them has no derivative, and neither have
  their vectors: the result is NaN. A function that is smooth in the matrix does have a derivative (see
  below).
- The gradient of an element that `where` did not choose is 0, even if the element is NaN or its slope is
  infinite. So you need no second `where` inside such a branch, as you do in other libraries. This holds
  through elementwise ops; a matrix product mixes the NaN of one element into others.

## Equal eigenvalues and singular values

A smooth function of equal eigenvalues or singular values does not depend on the choice of vectors. xgrad
finds its derivative as a limit, with one more sweep through the stages computed from the vectors:

- Functions of the values alone (a sum of squares, a log det, a Schatten norm) have derivatives to second
  order, in both modes.
- Functions of the vectors (an exponential, a square root, a projector) have derivatives to first order, in
  both modes; a second derivative is NaN. The exception is the vector of a distinct value beside equal ones:
  its second derivative is right, as long as the vectors of the equal values are not used. `v[:, 0]` works,
  `v @ e` does not.
- A function that depends on the choice among equal values gives NaN. This is tested at first order, along a
  direction without a pattern, with a tolerance of about 1e-6: a function that depends on the choice by less
  than that passes for smooth.
- Values count as equal if they differ by less than 32 eps times the sum of all. Up to the root of eps they
  count as near: there the limit is used if it agrees with the quotient, which is accurate to about that root,
  and second derivatives through it are NaN. Beyond that, the formulas for distinct values apply. Their errors
  grow with eps over the gap (first order) and over its square (second order).
- Compiled code, `deriv` by hand, and the body of a compiled scan compute no limits: a derivative that needs
  one is NaN there, and so is every tangent of equal values. A gradient of the values alone is right.
- A singular value that is 0 has a kink, like |x|: its derivative is NaN, except in matrix norms, whose
  derivative there is 0.
- `eig` of a matrix with too few eigenvectors gives NaN.

## All points

```python
import numpy as np
import xgrad as xg

with np.errstate(all="ignore"):  # NumPy warns about log(0), which is not chosen
    print(xg.grad(lambda x: xg.sum(xg.where(x > 0, x * xg.log(x), 0.0)))(xg.asarray([-1.0, 0.0, 1.0])))
```

```text
tensor([0., 0., 1.])
```

| function | point | gradient | second derivatives (row sums) |
|---|---|---|---|
{rows}
"""


RUNS_PAGE = """# What runs where

Three executors run compiled programs: native code on the CPU, CUDA kernels, and Python text that calls NumPy
(where llvmlite is missing or `XGRAD_NATIVE=0`). This page says what each of them does with an op: it runs
code of its own, or it calls the array library, NumPy or CuPy. `python docs/generate.py` makes the page by
lowering a small program for each op.

- *view*: takes no work. The result is its operand's memory in another order.
- *map*: an elementwise op, a copy or a reduction. Neighbouring maps are fused into one loop over the
  elements.
- *product*: a matrix product. It is added to another value in place where that is possible.
- *kernel*: a function of its own, for operands that meet the condition.
- *NumPy*, *CuPy*: a call of the array library, on memory that was planned in advance.

In a loop, a call runs Python code at each step. If calls take more than half of the loop's time, a warning
says for which op. Then compute the op outside of the loop, for all steps at once, or write it with ops that
have code of their own. Here is an `argmax`, which has a kernel, as a one-hot vector:

```python
import numpy as np
import xgrad as xg


def step(h, x):
    chosen = xg.argmax(h) == xg.arange(3)
    return xg.tanh(h + x) * chosen, xg.sum(h)


print(xg.compile(lambda xs: xg.scan(step, xg.ones(3), xs)[1])(np.zeros((4, 3))))
```

```text
tensor([3.        , 0.76159416, 0.64201499, 0.56626998])
```

## Ops

The table is for floating-point operands; the next one has other dtypes. Ops that are not listed never stand
in a program: the shape of their results depends on values (`nonzero`), or they are written with other ops.

| op | CPU | CUDA | NumPy text |
|---|---|---|---|
{ops}

A Fourier transform along a short axis is a product with a constant matrix of cosines and sines, because a
call costs more than the whole transform. An axis is short up to 132 elements if operand and result are
complex, and up to 263 if one of them is real. With many rows, where the work costs more than the call, it
must be shorter: then a fast transform takes fewer operations. Where
[products are rounded](12-devices.md#precision-of-matrix-products), all transforms are calls.

## Dtypes

`map`, `sum`, `product`, `take` and `sort` stand for the ops of their kind. Complex numbers are compiled as
real and imaginary parts.

| dtype | CPU | CUDA | NumPy text |
|---|---|---|---|
{dtypes}
"""


def runs_where() -> str:
    """The page of the docs that says which executor has code of its own for which op and dtype."""
    from runs_where import dtypes, ops

    return RUNS_PAGE.format(ops="\n".join(ops()), dtypes="\n".join(dtypes()))


def benchmarks() -> str:
    """The page on benchmarks, with what was measured on a GPU."""
    from benchmarks.gpu.results import FOLDER
    from benchmarks.gpu.table import inserted

    return inserted((ROOT / "docs" / "19-benchmarks.md").read_text(), FOLDER)


FILES: dict[str, Callable[[], str]] = {
    "xgrad/__init__.pyi": package_stub,
    "xgrad/namespace/__init__.pyi": lambda: stub(""),
    "xgrad/namespace/gates.pyi": gates_stub,
    "xgrad/namespace/linalg.pyi": lambda: stub("linalg"),
    "xgrad/namespace/fft.pyi": lambda: stub("fft"),
    "docs/20-functions.md": table,
    "docs/21-hard-points.md": points,
    "docs/22-what-runs-where.md": runs_where,
    "docs/19-benchmarks.md": benchmarks,
}

if __name__ == "__main__":
    for file, text in FILES.items():
        (ROOT / file).write_text(text())
