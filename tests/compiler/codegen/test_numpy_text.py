"""Programs as NumPy calls: the values, and how few and cheap the calls in loops are."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.programs import traced
from xgrad.backends import find_device
from xgrad.compiler.codegen.numpy.plan import NUMPY, STRIP, write
from xgrad.compiler.interpreter import interpret
from xgrad.compiler.ir import Loop, Program, Stage, everything
from xgrad.compiler.lowering.lower import lower
from xgrad.compiler.passes import optimise
from xgrad.compiler.passes.contiguous import LONG, contiguous
from xgrad.compiler.passes.pack import SMALL, pack
from xgrad.compiler.verifier import verify

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _numpy_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", "0")
    monkeypatch.setenv("XGRAD_VERIFY", "1")


def gru(xs: Any, dy: Any, *weights: Any) -> Any:
    """The gradients of a GRU that resets its state before the product."""

    def run(xs: Any, zx: Any, zh: Any, rx: Any, rh: Any, hx: Any, hh: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            z = xg.sigmoid(x @ zx.T + h @ zh.T)
            r = xg.sigmoid(x @ rx.T + h @ rh.T)
            new = (1 - z) * h + z * xg.tanh(x @ hx.T + (r * h) @ hh.T)
            return new, new

        return xg.scan(step, xg.zeros(dy.shape[1:], dtype=dy.dtype), xs)[1]

    return xg.vjp(run, xs, *weights)[1](dy)


def operands(length: int, batch: int, inputs: int, hidden: int) -> list[Any]:
    weights = [rng.normal(size=(hidden, n)).astype("f") / n for _ in "zrh" for n in (inputs, hidden)]
    sizes = (length, batch, inputs), (length, batch, hidden)
    return [*(rng.normal(size=size).astype("f") for size in sizes), *weights]


def prepared(f: Any, args: list[Any]) -> tuple[Program, Program, list[Any]]:
    """A program as it is traced, as the NumPy executor runs it, and its inputs."""
    program, captured = traced(f, args)
    return program, contiguous(pack(optimise(program))), [*args, *captured]


SIZES = [
    (7, 1, 3, 4),
    (5, 3, 2, 4),
    (3, 2, 3, LONG),
    (2, 1, 4 * STRIP, 5 * STRIP),
    (SMALL // 1024 + 1, 32, 4, 32),
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_a_gru(sizes: tuple[int, int, int, int]) -> None:
    """The passes for NumPy keep the values, and so does the text, also when it runs again."""
    args = operands(*sizes)
    program, ready, inputs = prepared(gru, args)
    verify(ready, after="contiguous")
    device = find_device("cpu")
    expected = interpret(program, device, inputs)
    compiled = xg.compile(gru)
    for found in (interpret(ready, device, inputs), compiled(*args), compiled(*args)):
        for z, other in zip(expected, map(np.asarray, found), strict=True):
            np.testing.assert_allclose(other, z, rtol=2e-4, atol=2e-5)


def loops(text: str) -> list[list[str]]:
    """The calls of each loop through time."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("        for ") and line.endswith(":"):
            found.append([])
        elif found and line.startswith("            "):
            found[-1].append(line.strip())
    return found


@pytest.mark.parametrize(("batch", "calls"), [(1, 29), (4, 31)])
def test_a_step_of_a_gru_has_few_calls(batch: int, calls: int) -> None:
    """No more than a loop by hand has, and none that converts a number or makes a view."""
    _, ready, _ = prepared(gru, operands(9, batch, 3, 4))
    text = write(lower(ready, recompute=False, target=NUMPY).plan)
    steps = [call for loop in loops(text) for call in loop]
    assert len(steps) <= calls, text
    assert not any(re.search(r"\b\d|\[|matmul", call) for call in steps), text


def test_large_arrays_are_not_computed_before_the_loop() -> None:
    for batch, large in ((1, False), (SMALL // 64, True)):
        _, ready, _ = prepared(gru, operands(32, batch, 3, 4))
        *_, backward = (item for item in ready.stages if isinstance(item, Loop))
        assert any(s.op == "-" and 1 in s.operands for s in everything(backward.stages)) == large


@pytest.mark.parametrize("shape", [(300, 150), (128, 129), (2, 130, 200), (3, 4), (200, 1)])
def test_transposed_copies(shape: tuple[int, ...]) -> None:
    x = rng.normal(size=shape)
    turned = xg.compile(lambda x: xg.concat([xg.matrix_transpose(x), xg.matrix_transpose(x)], axis=-1))(x)
    np.testing.assert_array_equal(turned.numpy(), np.concatenate([x.swapaxes(-1, -2)] * 2, -1))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_numbers_are_weak(dtype: str) -> None:
    """A number beside an array has the array's dtype, however large it is."""
    x = np.arange(1, 7, dtype=dtype)
    numbers = [3, 2**31 - 1] if dtype.startswith("int") else [3, 0.1, -1e-8, 2.0**100, np.inf, np.nan]
    for a in numbers:
        z = xg.compile(lambda x, a=a: xg.scan(lambda c, x: (x * c, x - a), x[0], x))(x)
        with np.errstate(over="ignore", invalid="ignore"):
            ys = x - a
        np.testing.assert_array_equal(z[1].numpy(), ys)
        assert z[1].dtype == ys.dtype


def by_parts(keys: list[Any], axis: int = 1, keep: bool = False) -> Any:
    """A loop over parts of a product by joined weights; with `keep`, the whole product is a result too."""

    def f(x: Any, *weights: Any) -> Any:
        z = x @ xg.concat(weights, axis=axis)
        parts = tuple(z[key] for key in keys)
        carry, ys = xg.scan(lambda c, p: (c * 0.5 + sum(map(xg.sum, p)), p[-1] * c), 0.0, parts)
        return [carry, ys, *([z] if keep else [])]

    return f


ROWS, WHOLE = (5, 3, 6), slice(None)
BY_PARTS: dict[str, tuple[tuple[int, ...], list[Any], dict[str, Any], tuple[int, int]]] = {
    # name -> shape of x, keys, options, and the number of products and of joined arrays afterwards
    "each weight": (ROWS, [(..., slice(0, 4)), (..., slice(4, 7)), (..., slice(7, 9))], {}, (3, 0)),
    "some weights together": (ROWS, [(..., slice(0, 4)), (..., slice(4, None))], {}, (2, 1)),
    "a part unused": (ROWS, [(..., slice(4, 7))], {}, (1, 0)),
    "a matrix": ((5, 6), [(WHOLE, slice(0, 4)), (WHOLE, slice(4, 7))], {}, (2, 0)),
    "a vector": ((6,), [slice(0, 4)], {}, (1, 1)),
    "not at an edge": (ROWS, [(..., slice(0, 3)), (..., slice(3, None))], {}, (1, 1)),
    "nothing": (ROWS, [(..., slice(0, 4)), (..., slice(4, 4))], {}, (1, 1)),
    "part of the rows": (ROWS, [(slice(1, None), WHOLE, slice(0, 4))], {}, (1, 1)),
    "part of the columns of rows": (ROWS, [(WHOLE, slice(1, None), slice(0, 4))], {}, (1, 1)),
    "every second": (ROWS, [(..., slice(0, 4, 2))], {}, (1, 1)),
    "overlapping": (ROWS, [(..., slice(0, 7)), (..., slice(4, 9))], {}, (1, 1)),
    "the whole is read": (ROWS, [(..., slice(0, 4))], {"keep": True}, (1, 1)),
    "joined rows": ((5, 3, 15), [(..., slice(0, 4))], {"axis": 0}, (1, 1)),
}


@pytest.mark.parametrize("name", BY_PARTS)
def test_parts_of_a_product_are_products_where_a_loop_reads_them(name: str) -> None:
    shape, keys, options, wanted = BY_PARTS[name]
    lengths = (5, 5, 5) if "axis" in options else (6, 6, 6)
    widths = (4, 4, 4) if "axis" in options else (4, 3, 2)
    args = [rng.normal(size=size) for size in (shape, *zip(lengths, widths))]
    program, ready, inputs = prepared(by_parts(keys, **options), args)
    device = find_device("cpu")
    verify(ready, after="contiguous")
    found = [s for s in everything(ready.stages) if isinstance(s, Stage) and s.op in ("@", "concat")]
    assert tuple([s.op for s in found].count(op) for op in ("@", "concat")) == wanted
    for z, want in zip(interpret(ready, device, inputs), interpret(program, device, inputs), strict=True):
        np.testing.assert_allclose(z, want, rtol=1e-13)
