"""Loops through time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg

rng = np.random.default_rng(0)


def cell(h: Any, x: Any) -> tuple[Any, Any]:
    h = xg.tanh(0.5 * h + x)
    return h, h * 2


def test_equals_a_plain_loop(device: str) -> None:
    xs = rng.normal(size=(4, 3))
    h, ys = xg.scan(cell, np.zeros(3), xs)
    state, expected = np.zeros(3), []
    for x in xs:
        state = np.tanh(0.5 * state + x)
        expected.append(2 * state)
    np.testing.assert_allclose(h.numpy(), state)
    np.testing.assert_allclose(ys.numpy(), expected)


def test_reverse(device: str) -> None:
    xs = rng.normal(size=(4, 3))
    h, ys = xg.scan(cell, np.zeros(3), xs, reverse=True)
    h_forward, ys_forward = xg.scan(cell, np.zeros(3), xs[::-1].copy())
    np.testing.assert_array_equal(h.numpy(), h_forward.numpy())
    np.testing.assert_array_equal(ys.numpy()[::-1], ys_forward.numpy())


def test_gradients(device: str) -> None:
    def f(h: Any, xs: Any, w: Any) -> Any:
        return xg.scan(lambda h, x: cell(h * w, x), h, xs)

    xg.check_grads(f, (xg.asarray(rng.normal(size=3)), xg.asarray(rng.normal(size=(4, 3))), xg.asarray(0.7)))


def test_trees(device: str) -> None:
    def body(carry: Any, x: Any) -> Any:
        h, count = carry["h"] + x["a"] * x["b"], carry["count"] + 1
        return {"h": h, "count": count}, (h, {"half": h / 2})

    carry, (hs, other) = xg.scan(body, {"h": 0.0, "count": 0}, {"a": np.arange(3.0), "b": np.full(3, 2.0)})
    assert carry["h"].item() == 6
    assert carry["count"].item() == 3
    assert hs.numpy().tolist() == [0, 2, 6]
    assert other["half"].numpy().tolist() == [0, 1, 3]


def test_length_without_xs(device: str) -> None:
    h, ys = xg.scan(lambda h, _: (h * 2, None), 1.0, length=5)
    assert h.item() == 32
    assert ys is None


def test_no_steps_give_empty_outputs_of_the_right_shape(device: str) -> None:
    h, ys = xg.scan(
        lambda h, x: (h, {"y": xg.stack([h, x]).astype(xg.float32)}), np.ones(3), np.zeros((0, 3))
    )
    assert h.numpy().tolist() == [1, 1, 1]
    assert ys["y"].shape == (0, 2, 3)
    assert ys["y"].dtype == xg.float32
    _, ys = xg.scan(lambda h, _: (h, None), 1.0, length=0)
    assert ys is None


def test_nested(device: str) -> None:
    def outer(h: Any, row: Any) -> Any:
        h, _ = xg.scan(lambda a, x: (a * x, None), h, row)
        return h, h

    _, ys = xg.scan(outer, 1.0, np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert ys.numpy().tolist() == [2, 24]


class TestBadInput:
    def test_an_error_inside_names_the_step(self) -> None:
        def body(h: Any, x: Any) -> Any:
            return h, h @ xg.ones(3 if x.item() < 2 else 4)

        with pytest.raises(xg.ShapeError, match=r"'@'.*\(3,\).*\(4,\).*step t=2"):
            xg.scan(body, np.ones(3), np.arange(4.0), compiled=False)

        def outer(h: Any, x: Any) -> Any:
            return xg.scan(body, h, np.arange(4.0), compiled=False)[0], None

        with pytest.raises(xg.ShapeError, match="step t=0, 2"):
            xg.scan(outer, np.ones(3), length=2, compiled=False)

    def test_a_carry_that_changes(self) -> None:
        with pytest.raises(xg.ShapeError, match=r"carry was \(3,\).*\(1, 3\)"):
            xg.scan(lambda h, _: (h[None], None), np.ones(3), length=2)
        with pytest.raises(TypeError, match=r"float32.*float64"):
            xg.scan(lambda h, x: (h + x, None), np.ones(3, "f"), np.ones((2, 3)))
        with pytest.raises(TypeError, match="structure"):
            xg.scan(lambda h, _: ((h, h), None), 1.0, length=2)
        with pytest.raises(TypeError, match="pair"):
            xg.scan(lambda h, _: h, 1.0, length=2)

    def test_lengths(self) -> None:
        with pytest.raises(xg.ShapeError, match=r"xs\['b'\] has 3 steps, but xs\['a'\] has 2"):
            xg.scan(cell, 0.0, {"a": np.ones(2), "b": np.ones(3)})
        with pytest.raises(xg.ShapeError, match="length=4"):
            xg.scan(cell, 0.0, np.ones(2), length=4)
        with pytest.raises(ValueError, match="length="):
            xg.scan(cell, 0.0)
        with pytest.raises(ValueError, match="negative"):
            xg.scan(cell, 0.0, length=-1)
        with pytest.raises(xg.ShapeError, match="leading axis"):
            xg.scan(cell, 0.0, 1.0)


def appends(carry: Any, _: Any) -> Any:
    carry.append(xg.ones(2))
    return carry, None


def adds_a_key(carry: Any, _: Any) -> Any:
    carry["b"] = xg.ones(2)
    return carry, None


def takes_away(carry: Any, _: Any) -> Any:
    carry.pop()
    return carry, None


@pytest.mark.parametrize(
    "options",
    [{}, {"compiled": False}, {"checkpoint_every": 2}, {"length": 0}, {"length": 0, "compiled": False}],
)
@pytest.mark.parametrize(
    ("body", "init"),
    [(appends, [np.ones(2)]), (adds_a_key, {"a": np.ones(2)}), (takes_away, [np.ones(2), np.ones(2)])],
)
def test_a_body_that_changes_the_container_of_its_carry(
    body: Any, init: Any, options: dict[str, Any]
) -> None:
    """The change is seen, though the body returns the same container that it was given.

    The caller's container is not changed.
    """
    size = len(init)
    with pytest.raises(TypeError, match="scan: the carry had the structure"):
        xg.scan(body, init, None, **{"length": 4, **options})
    assert len(init) == size


@pytest.mark.parametrize("compiled", [True, False])
def test_a_body_that_replaces_parts_of_its_carry(compiled: bool) -> None:
    def body(carry: Any, _: Any) -> Any:
        carry[0] = carry[0] * 2
        carry[1] += carry[0]
        return carry, carry[1]

    init = [xg.asarray(1.0), xg.asarray(0.0)]
    (a, b), ys = xg.scan(body, init, None, length=3, compiled=compiled)
    assert (float(a), float(b), ys.tolist()) == (8.0, 14.0, [2.0, 6.0, 14.0])
    assert (float(init[0]), float(init[1])) == (1.0, 0.0)
