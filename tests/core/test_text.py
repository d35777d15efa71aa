"""Text of Tensors: short, quick, and never an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg


@pytest.mark.parametrize("shape", [(201,), (30, 40), (3, 100), (2, 30, 40), (6, 7, 8), (5, 6, 7, 8)])
def test_a_large_tensor_shows_its_corners_and_its_shape(shape: tuple[int, ...], device: str) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    text = repr(xg.asarray(values, device=device))
    edge = {1: 3, 2: 3, 3: 2}.get(len(shape), 1)
    same = np.array2string(
        values, separator=", ", prefix="tensor(", precision=4, threshold=0, edgeitems=edge, max_line_width=100
    )
    assert text.startswith(f"tensor({same}, shape={shape}")
    assert len(text.splitlines()) <= 30


def test_an_empty_tensor_shows_its_shape() -> None:
    assert repr(xg.zeros((0, 3))) == "tensor([], shape=(0, 3))"
    assert repr(xg.zeros(0)) == "tensor([])"


def test_numpys_print_options_are_followed() -> None:
    with np.printoptions(threshold=2):
        assert "..." in repr(xg.zeros(9))
    with np.printoptions(threshold=10_000):
        assert "..." not in repr(xg.zeros(2000))
    with np.printoptions(precision=2):
        assert repr(xg.asarray(1 / 3)) == "tensor(0.33)"


def test_little_of_a_large_tensor_is_copied_to_the_host() -> None:
    x = xg.zeros((1000, 1000), device="strict:2")
    with xg.backends.count_transfers() as copies:
        text = repr(x)
    assert "shape=(1000, 1000)" in text
    assert copies.to_host.bytes <= 8 * 7 * 7


def test_a_freed_and_a_non_contiguous_tensor_are_shown() -> None:
    x = xg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    xg.sum(y).backward()
    assert repr(y) == "tensor([1., 4.], requires_grad=True)"
    assert repr(xg.broadcast_to(xg.zeros(1), (2, 3))[:, ::2]) == "tensor([[0., 0.],\n        [0., 0.]])"


def test_a_traced_tensor_is_shown_without_a_value() -> None:
    seen: list[str] = []
    kept: list[Any] = []

    def f(x: Any) -> Any:
        y = x * 2
        seen.extend([repr(y), str(y), f"{y}"])
        kept.append(y)
        return xg.sum(y)

    text = "tensor(traced, shape=(3,), dtype=float32"
    x = xg.zeros(3, dtype=xg.float32)
    for transform in (lambda: xg.trace(f, x), lambda: xg.compile(f)(x), lambda: xg.compile(xg.grad(f))(x)):
        seen.clear()
        transform()
        assert len(seen) == 3
        assert all(shown.startswith(text) for shown in seen)
        assert repr(kept[-1]).startswith(text)  # after the trace too
    seen.clear()
    xg.scan(lambda h, x: (h + f(x), None), 0.0, xg.zeros((4, 3), dtype=xg.float32))
    assert seen[0].startswith(text)


def test_showing_a_tensor_records_nothing_and_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    x = xg.tensor(np.ones((40, 40)), requires_grad=True)
    with xg.record(), xg.detect_cuts() as cuts:
        y = x * x
        repr(y)
        stages = len(xg.graph(y))
    assert (stages, cuts, list(recwarn)) == (2, [], [])
    assert xg.grad(lambda x: (repr(x), xg.sum(x * x))[1])(xg.ones(2)).tolist() == [2.0, 2.0]


@pytest.mark.parametrize("shape", [(200,), (201,), (5, 40), (300, 300, 30), (9,) * 6])
def test_no_text_fills_the_screen(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape) * 1e-9
    assert len(repr(xg.tensor(values, requires_grad=True))) < 5000
