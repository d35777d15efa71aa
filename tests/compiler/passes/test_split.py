"""Products of joined matrices: what the next step does not need is computed outside the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.programs import traced
from xgrad.compiler.ir import Loop, Program, Stage, everything
from xgrad.compiler.passes import optimise
from xgrad.compiler.passes.inline import inline_scans
from xgrad.compiler.passes.split import split_products

Cell = Callable[..., Any]
T, B, H, I = 5, 4, 6, 3


def joined(h: Any, x: Any, W: Any) -> Any:
    h = xg.tanh(xg.concat([h, x], axis=1) @ W[: H + I, :H])
    return h, h


def joined_backwards(h: Any, x: Any, W: Any) -> Any:
    h = xg.tanh(xg.concat([x, h], axis=-1) @ W[: H + I, :H])
    return h, h * h


def three_parts(h: Any, x: Any, W: Any) -> Any:
    h = xg.tanh(xg.concat([h, x, xg.sin(x)], axis=1) @ W[: H + 2 * I, :H])
    return h, h


def lstm(c: Any, x: Any, W: Any) -> Any:
    h, s = c
    z = xg.concat([h, x], axis=1) @ W[: H + I]
    i, f, o, g = (z[:, k * H : (k + 1) * H] for k in range(4))
    s = xg.sigmoid(f) * s + xg.sigmoid(i) * xg.tanh(g)
    h = xg.sigmoid(o) * xg.tanh(s)
    return (h, s), h


def all_late(h: Any, x: Any, W: Any) -> Any:
    h = xg.tanh(xg.concat([h, h * h], axis=1) @ W[: 2 * H, :H] + xg.sum(x))
    return h, h


def slices_overlap(h: Any, x: Any, W: Any) -> Any:
    z = h @ W[:H]
    return xg.tanh(z[:, :H] + xg.sum(x)), z[:, 2 : H + 2]


def cut(h: Any, x: Any, W: Any) -> Any:
    """The next step needs the first columns of the product, and the others are results."""
    z = h @ W[:H]
    return xg.tanh(z[:, :H] + xg.sum(x)), z[:, 2 * H : 3 * H]


CELLS = (joined, joined_backwards, three_parts, lstm, all_late, slices_overlap, cut)


def loss(cell: Cell, looped: bool) -> Callable[..., Any]:
    def f(W: Any, xs: Any, h: Any) -> Any:
        c = (h, 0.5 * h) if cell is lstm else h
        if looped:
            ys = []
            for t in range(T):
                c, y = cell(c, xs[t, ...], W)
                ys.append(y)
            ys = xg.stack(ys)
        else:
            c, ys = xg.scan(lambda c, x: cell(c, x, W), c, xs)
        return xg.sum(ys * ys) + xg.sum(c[0] if cell is lstm else c)

    return f


def arguments() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(2 * H + I, 4 * H)) / 3, rng.normal(size=(T, B, I)), rng.normal(size=(B, H)) / 2]


@pytest.mark.parametrize("native", ["1", "0"])
@pytest.mark.parametrize("cell", CELLS)
def test_values_and_gradients(cell: Cell, native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", native)
    value, found = xg.compile(xg.value_and_grad(loss(cell, False), argnums=(0, 1, 2)))(*arguments())
    expected, wanted = xg.value_and_grad(loss(cell, True), argnums=(0, 1, 2))(*arguments())
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for z, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(z, w, rtol=1e-11, atol=1e-13)


def inner_widths(program: Program) -> list[int]:
    """Return the length of the axis that each product in a loop sums over, or adds to the weights."""
    return sorted(
        s.values[-2].shape[-1]
        for loop in program.stages
        if isinstance(loop, Loop)
        for s in loop.stages
        if isinstance(s, Stage) and s.op in ("@", "@+")
    )


@pytest.mark.parametrize("cell", [joined, joined_backwards, three_parts, lstm])
def test_only_the_state_is_multiplied_in_the_loop(cell: Cell) -> None:
    program, _ = traced(lambda *x: [loss(cell, False)(*x)], arguments())
    assert inner_widths(optimise(program)) == [H]


def test_the_gradient_of_the_inputs_is_one_product_after_the_loop() -> None:
    gradient = xg.grad(loss(joined, False), argnums=(0, 1))
    program, _ = traced(lambda *x: list(gradient(*x)), arguments())
    products = [
        s.output.shape
        for loop in optimise(program).stages
        if isinstance(loop, Loop)
        for s in loop.stages
        if isinstance(s, Stage) and s.op in ("@", "@+")
    ]
    assert products == [(B, H), (B, H)]


def test_parts_that_are_all_late_stay_joined() -> None:
    program, _ = traced(lambda *x: [loss(all_late, False)(*x)], arguments())
    assert inner_widths(optimise(program)) == [2 * H]


@pytest.mark.parametrize("cell", [joined, three_parts, lstm, cut])
def test_split_products_keep_the_line_they_are_from(cell: Cell) -> None:
    """Errors and listings name it."""
    program, _ = traced(lambda *x: [loss(cell, False)(*x)], arguments())
    before = inline_scans(program)
    after = split_products(before)
    (loop,) = (s for s in before.stages if isinstance(s, Loop))
    (split,) = (s for s in after.stages if isinstance(s, Loop))
    assert len(split.stages) > len(loop.stages)
    assert {s.source for s in everything(split.stages)} == {s.source for s in everything(loop.stages)}
