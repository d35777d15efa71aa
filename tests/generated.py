"""What is made and kept in files: from the table of functions the stubs that type checkers read and the table
in the docs, from
the results of benchmarks on a GPU the table of the page on benchmarks.

    python -m tests.generated

writes them; a test holds the files against what this would write.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

import xgrad as xg
from xgrad.namespace import gates
from xgrad.namespace.dtypes import DTYPES
from xgrad.namespace.table import FUNCTIONS, NUMPY, extension

from .calls import CALLS, FLAT, MODES, ORDER, REAL
from .conftest import DEVICES
from .numpy_calls import SMOOTH
from .test_hard_points import POINTS

ROOT = Path(__file__).parent.parent

HEAD = "# Made from the table of functions by `python -m tests.generated`."


def package_stub() -> str:
    """The stub of the package: whence each of its names comes."""
    sources = {".backends.types": ["DType"]}
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
        sources[".creation"] += ["show as show", "to_device as to_device"]
        sources[".factors"] = ["cofactor as cofactor", "eig as eig", "eigh_of as eigh", "seal as seal"]
        sources[".indexing"] += [
            "scatter as scatter",
            "setitem as setitem",
            "slide as slide",
            "untake as untake",
        ]
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
        "..ops.reductions": ["Axis"],
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

The first table has the functions of the standard ({version}) and of xgrad, with the NumPy functions that mean
the same; the second has those that NumPy alone has. All of them take Tensors. The page is made from the table
of functions by `python -m tests.generated`.

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

- *Derivative*: the order to which it is checked against differences, in reverse and forward mode and every
  nesting of the two. Functions
  without an entry have no derivative, or one that is 0 wherever it exists; no gradient flows through them.
- *Complex*: whether it is checked for complex numbers too.
- *Tested on*: NumPy, and "strict", which is array-api-strict, a library that has nothing but the standard.
  The same tests run on CUDA
  where there is a device.

[Where a derivative is not obvious](21-hard-points.md) has a page of its own.

## Functions of xgrad

| `xg.` | in NumPy | derivative | complex | tested on |
|---|---|---|---|---|
{functions}

## Functions that NumPy alone has

| | derivative | tested on |
|---|---|---|
{alone}
"""

POINTS_PAGE = """# Where a derivative is not obvious

Each line is a test, in reverse and in forward mode, eager and compiled, on NumPy and on array-api-strict: the
function, where, its gradient there, and the sums of the rows of its second derivatives. This page is made by
`python -m tests.generated` from `tests/test_hard_points.py`, which has the functions as code.

Four choices are behind most of them. A norm, a standard deviation and an absolute value are flat at 0. A tie
goes to the first. Where eigenvalues or singular values are equal, one of them has no derivative, nor have
their vectors: NaN. What is smooth in the matrix has one (more below). And the gradient of what `where` has
not chosen is 0, even if it is NaN or its slope is infinite: such a branch needs no second `where` inside it,
as it does in other libraries. That holds through ops that work element by element; a matrix product mixes NaN
of one element into others.

Smooth functions of equal eigenvalues and singular values, which depend on no choice of vectors, are found as
limits, by one more sweep through what was computed from the vectors:

- Of the values alone (a sum of squares, a log det, a Schatten norm): to second order, in both modes.
- Of vectors (an exponential, a square root, a projector): to first order, in both modes; a second derivative
  is NaN. That of a
  vector beside those of equal values is right, where they are not used: of `v[:, 0]`, not of `v @ e`.
- Of what chooses among equal values, NaN. The function is tested, at first order along a direction without a
  pattern and with a
  tolerance of about 1e-6: what depends less than that on the choice passes for smooth.
- Values count as equal when they differ by less than 32 eps times the sum of all. Up to the root of eps they
  are near: there
  the limit is taken where it agrees with the quotient, which is right to about that root, and second
  derivatives through it are NaN. Beyond, the formulas for different values hold, whose errors grow with eps
  over the gap (first order), and over its square (second).
- Compiled code, `deriv` by hand, and the body of a compiled scan have no limits: what needs one is NaN there,
  and so is every
  tangent of equal values. A gradient of the values alone is right.
- A singular value that is 0 has a kink, as |x| has: NaN, but in the norms of matrices, whose derivative there
  is 0.
- `eig` of a matrix that has too few vectors: NaN.

```python
import numpy as np
import xgrad as xg

with np.errstate(all="ignore"):  # NumPy warns of log(0), which is not chosen
    print(xg.grad(lambda x: xg.sum(xg.where(x > 0, x * xg.log(x), 0.0)))(xg.asarray([-1.0, 0.0, 1.0])))
```

```text
tensor([0., 0., 1.])
```

| what | at | gradient | second |
|---|---|---|---|
{rows}
"""


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
    "docs/19-benchmarks.md": benchmarks,
}

if __name__ == "__main__":
    for file, text in FILES.items():
        (ROOT / file).write_text(text())
