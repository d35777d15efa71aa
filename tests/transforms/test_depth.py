"""Depth: long chains, higher derivatives, nested containers, programs of thousands of stages."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.paths import ROOT
from xgrad.compiler.printing.source import source
from xgrad.transforms.derivation import derive
from xgrad.transforms.tracing import trace

CHAIN = """
import math, sys
import xgrad as xg

n = int(sys.argv[1])
factor = 1 + 1 / n
x = xg.tensor(1.0, requires_grad=True, name="x")
z = x
for _ in range(n):
    z = z * factor
assert "tensor" in repr(z)
assert abs(float(z.detach()) - factor**n) < 1e-6
g = xg.graph(z)
assert len(g) == n + 1 and len(str(g).splitlines()) == n + 1
g.bprop()
assert abs(float(g.nodes[0].grad) - factor**n) < 1e-6
z.backward()
assert abs(float(x.grad) - factor**n) < 1e-6
del g, z  # which is deep as well
y = x
for _ in range(n):
    y = y * factor
del y
"""


@pytest.mark.parametrize("length", [20_000, pytest.param(1_000_000, marks=pytest.mark.exhaustive)])
def test_a_long_chain(length: int) -> None:
    """Forward, backward, graph, printing, and freeing."""
    done = subprocess.run(
        [sys.executable, "-c", CHAIN, str(length)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def six(f: Any) -> Any:
    for _ in range(6):
        f = xg.grad(f)
    return f


@pytest.mark.slow
def test_six_nested_derivatives() -> None:
    f = lambda x: xg.sin(x) * xg.exp(2 * x)
    x = 0.3
    # the k-th derivative of exp((2 + i) x) is (2 + i)^k times it
    want = ((2 + 1j) ** 6 * np.exp((2 + 1j) * x)).imag
    assert float(six(f)(x)) == pytest.approx(want, rel=1e-10)
    assert float(xg.compile(six(f))(x)) == pytest.approx(want, rel=1e-10)
    loop = lambda x: xg.scan(lambda c, _: (c * x, None), xg.ones(()), None, length=8)[0]
    assert float(six(loop)(x)) == pytest.approx(math.factorial(8) / math.factorial(2) * x**2, rel=1e-10)
    assert float(xg.compile(six(loop))(x)) == pytest.approx(
        math.factorial(8) / math.factorial(2) * x**2, rel=1e-10
    )


def wrapped(v: Any, kind: str, depth: int) -> Any:
    for _ in range(depth):
        v = {"a": v} if kind == "dict" else [v] if kind == "list" else (v,)
    return v


def inner(v: Any) -> Any:
    while isinstance(v, list | tuple | dict):
        v = v["a"] if isinstance(v, dict) else v[0]
    return v


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
def test_containers_two_hundred_deep(kind: str) -> None:
    x = np.array([1.0, 2.0])
    deep = wrapped(x, kind, 200)
    np.testing.assert_array_equal(inner(xg.grad(lambda v: xg.sum(inner(v) ** 2))(deep)).numpy(), 2 * x)
    np.testing.assert_array_equal(
        inner(xg.compile(lambda v: wrapped(inner(v) ** 2, kind, 200))(deep)).numpy(), x * x
    )
    step = lambda c, _: (wrapped(inner(c) * 2, kind, 200), None)
    np.testing.assert_array_equal(inner(xg.scan(step, deep, None, length=3)[0]).numpy(), 8 * x)
    program = trace(lambda v: xg.sum(inner(v) ** 2), deep)
    assert all(len(line) < 1000 for line in str(program).splitlines())
    module: dict[str, Any] = {}
    exec(source(program), module)
    _, saved = module["forward"](x)
    np.testing.assert_array_equal(module["backward"](saved, np.ones(()))[0], 2 * x)
    assert "deriv(" in str(derive(lambda v: xg.sum(inner(v) ** 2), deep))
    with pytest.raises(ValueError, match="nested too deeply"):  # an error, not a crash
        xg.grad(lambda v: xg.sum(inner(v)))(wrapped(x, kind, 50_000))


@pytest.mark.slow
def test_five_thousand_stages_as_text() -> None:
    def f(x: Any) -> Any:
        for _ in range(2500):
            x = xg.sin(x) * 1.001
        return xg.sum(x)

    x = np.array([0.5, 1.5])
    program = trace(f, x)
    assert len(str(program).splitlines()) == 5003
    module: dict[str, Any] = {}
    exec(source(program), module)
    z, saved = module["forward"](x)
    want, slope = np.array(x), np.ones(2)
    for _ in range(2500):
        slope = slope * np.cos(want) * 1.001
        want = np.sin(want) * 1.001
    np.testing.assert_allclose(z, want.sum(), rtol=1e-12)
    np.testing.assert_allclose(module["backward"](saved, np.ones(()))[0], slope, rtol=1e-9)
    for inline in (False, True):
        assert len(str(derive(f, x, inline=inline)).splitlines()) > 10_000


def test_many_values_of_one_name() -> None:
    """As from a function that is called again and again."""

    def layer(x: Any) -> Any:
        y = xg.tanh(x)
        return y + 1.0

    def f(x: Any) -> Any:
        for _ in range(2000):
            x = layer(x)
        return x

    program = trace(f, 1.0)
    names = [v.name for s in program.stages for v in s.outputs]
    assert len(set(names)) == len(names) == 4000
    assert len(str(program).splitlines()) == 4002


@pytest.mark.parametrize("native", ["0", "1"])
@pytest.mark.parametrize("depth", [6, 21])
def test_loops_inside_of_each_other(depth: int, native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each level has its own slices.

    Python allows 20 nested loops; deeper ones run stage by stage.
    """
    monkeypatch.setenv("XGRAD_NATIVE", native)
    xs = np.arange(2.0) / 3

    def level(d: int, c: Any, compiled: bool) -> Any:
        if d == 0:
            return xg.sin(c) + 0.5
        steps = xs if d <= 6 else xs[:1]

        def step(c: Any, x: Any) -> Any:
            h = level(d - 1, c * (1 + 0.1 * x), compiled)
            return h, h * x

        c, ys = xg.scan(step, c, steps, compiled=compiled)
        return c + 0.01 * xg.sum(ys)

    expected = level(depth, xg.asarray(0.3), False)
    close = lambda z: np.testing.assert_allclose(z.numpy(), expected.numpy(), rtol=1e-12)
    close(level(depth, xg.asarray(0.3), True))
    close(xg.compile(lambda c: level(depth, c, True))(0.3))
