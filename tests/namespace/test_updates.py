"""`x.at[key].add(v)`, `x.at[key].set(v)`, and `np.add.at` on Tensors, against NumPy."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import xgrad as xg

SHAPE = (3, 4, 5)
KEYS: list[Any] = [
    0,
    -1,
    slice(0, 2),
    slice(5, 9),
    ...,
    (0, 1),
    (1, 2, 3),
    (slice(None), 1),
    (None, 0),
    (slice(None, None, -1), 2),
    ([0, 0, 2],),
    ([0, -3, 2], 1),
    ([],),
    (0, [1, 1]),
    (..., [1, 1]),
    ([0, 1], None, [0, 1]),
    (None, [0, 0], [0, 0]),
    (0, slice(None), [1, 1]),
    (slice(None), None, [0, 0], 0),
    ([[0, 1], [1, 1]], [0, 0]),
    ([[0], [1]], slice(None), [0, 0]),
    ([0, 0, 2], slice(None), [1, 1, 3]),
    (slice(None), [1, 1], [0, 0]),
    (slice(None), [1, 1], ..., [0, 0]),
]


def for_numpy(key: Any) -> Any:
    """Return a key with arrays for its lists."""
    parts = key if isinstance(key, tuple) else (key,)
    return tuple(np.asarray(k, int) if isinstance(k, list) else k for k in parts)


def readable(x: xg.Tensor) -> list[Any]:
    """Return the keys that the device's library can read with, as the gradient of a sum does."""
    found = []
    for key in KEYS:
        with contextlib.suppress(IndexError):
            x[key]
            found.append(key)
    return found


def added(x: np.ndarray, key: Any, v: Any) -> np.ndarray:
    z = x.copy()
    np.add.at(z, for_numpy(key), v)
    return z


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_sums_and_their_derivatives(key: Any, device: str) -> None:
    if key == slice(5, 9) and device.startswith("strict"):
        pytest.skip("the standard leaves open what such a slice is")
    rng = np.random.default_rng(0)
    a = rng.normal(size=SHAPE)
    part = a[for_numpy(key)].shape
    x = xg.asarray(a)
    for shape in dict.fromkeys((part, (), part[-1:])):
        v = xg.asarray(rng.normal(size=shape))
        expected = added(a, key, v.numpy())
        f = lambda x, v: x.at[key].add(v)
        for way in (f, xg.compile(f)):
            np.testing.assert_allclose(way(x, v).numpy(), expected, atol=1e-14)
        assert (x.numpy() == a).all()
        if key in readable(x):
            xg.check_grads(f, (x, v), order=2)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_numpys_function_changes_the_handle(key: Any, device: str) -> None:
    if key == slice(5, 9) and device.startswith("strict"):
        pytest.skip("the standard leaves open what such a slice is")
    a = np.random.default_rng(0).normal(size=SHAPE)
    v = np.ones(a[for_numpy(key)].shape)
    x = xg.asarray(a, copy=True)
    before = +x
    np.add.at(x, key, xg.asarray(v))
    np.testing.assert_allclose(x.numpy(), added(a, key, v), atol=1e-14)
    np.subtract.at(x, key, 1.0)
    np.testing.assert_allclose(x.numpy(), a, atol=1e-14)
    assert (before.numpy() == a).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "float16", "float32", "complex128"])
def test_dtypes(dtype: str, device: str) -> None:
    if dtype == "float16" and device.startswith("strict"):
        pytest.skip("the standard has no float16")
    x, v = np.asarray([1, 2, 3], dtype), np.asarray([100, 100, 3], dtype)
    z = xg.asarray(x).at[[0, 0, 1]].add(xg.asarray(v))
    assert z.dtype == x.dtype
    np.testing.assert_array_equal(z.numpy(), added(x, ([0, 0, 1],), v))
    t, u = xg.asarray(x), x.copy()
    np.subtract.at(t, [0, 0, 1], 1)
    np.subtract.at(u, [0, 0, 1], 1)
    np.testing.assert_array_equal(t.numpy(), u)


def test_masks(device: str) -> None:
    a = np.random.default_rng(0).normal(size=(3, 4))
    x = xg.asarray(a)
    for mask in (a > 0, a[:, 0] > 0):
        for v in (1.0, np.arange(a[mask].size, dtype=float).reshape(a[mask].shape)):
            expected = a.copy()
            expected[mask] += v
            v = v if isinstance(v, float) else xg.asarray(v)
            np.testing.assert_allclose(x.at[xg.asarray(mask)].add(v).numpy(), expected)
    above = xg.compile(lambda x: x.at[x > 0].add(1.0))
    np.testing.assert_allclose(above(x).numpy(), np.where(a > 0, a + 1, a))
    with pytest.raises(xg.TraceError, match=r"mask.*xg\.where"):
        xg.compile(lambda x: x.at[x > 0].add(x[0]))(x)


def test_the_sign_of_zero_stays(device: str) -> None:
    x = xg.asarray([-0.0, 0.0, -0.0])
    for f in (lambda x: x.at[1].add(1.0), lambda x: x.at[[1]].add(1.0), lambda x: x.at[x > 0].add(1.0)):
        for way in (f, xg.compile(f)):
            assert np.signbit(way(x).numpy()).tolist() == [True, False, True]


def test_special_values_stay_where_they_are(device: str) -> None:
    x = xg.asarray([np.inf, np.nan, -np.inf, 1.0])
    for f in (lambda x: x.at[[3, 3]].add(1.0), xg.compile(lambda x: x.at[[3, 3]].add(1.0))):
        assert str(f(x).tolist()) == "[inf, nan, -inf, 3.0]"


@given(
    arrays.arrays(np.int64, st.integers(0, 12), elements=st.integers(-5, 4)),
    st.integers(0, 2**31),
)
def test_counts(places: np.ndarray, seed: int) -> None:
    v = np.random.default_rng(seed).integers(0, 9, len(places))
    x = np.zeros(5, np.int64)
    assert xg.asarray(x).at[places].add(v).tolist() == added(x, (places,), v).tolist()


def test_in_loops_they_are_native() -> None:
    def count(h: Any, place_and_value: Any) -> Any:
        place, value = place_and_value
        return h.at[place].add(value), h[place[0]]

    rng = np.random.default_rng(0)
    places, values = rng.integers(0, 6, (50, 3)), rng.normal(size=(50, 3))
    f = xg.compile(lambda h, v: xg.scan(count, h, (xg.asarray(places), v)))
    h, v = xg.zeros(6), xg.asarray(values)
    last, seen = f(h, v)
    expected = np.zeros(6)
    for t in range(50):
        assert seen[t].item() == pytest.approx(expected[places[t, 0]])
        np.add.at(expected, places[t], values[t])
    np.testing.assert_allclose(last.numpy(), expected)
    assert "no kernel" not in f.explain(h, v)
    loss = lambda h, v: (lambda last, seen: xg.sum(last**2) + xg.sum(seen**2))(
        *xg.scan(count, h, (places, v))
    )
    xg.check_grads(loss, (h, xg.asarray(values)), order=2)
    slow = lambda h, v: xg.scan(count, h, (places, v), compiled=False)[0]
    np.testing.assert_allclose(slow(h, v).numpy(), expected)


def test_set(device: str) -> None:
    x = xg.asarray([1.0, 2.0, 3.0])
    z = x.at[[0, 1]].set(xg.asarray([5.0, 6.0]))
    assert (x.tolist(), z.tolist()) == ([1, 2, 3], [5, 6, 3])
    assert xg.compile(lambda x: x.at[1:].set(0))(x).tolist() == [1, 0, 0]
    xg.check_grads(lambda x, v: x.at[0, ...].set(v), (x, xg.asarray(4.0)), order=2)
    leaf = xg.tensor([1.0, 2.0], requires_grad=True)
    xg.sum(leaf.at[0].set(3.0) * leaf.at[[1, 1]].add(leaf)).backward()
    assert leaf.tolist() == [1, 2]
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [5, 9]


def test_what_is_refused(device: str) -> None:
    x = xg.ones((3, 4))
    leaf = xg.tensor([1.0, 2.0], requires_grad=True)
    for kind, message, f in [
        (IndexError, "out of bounds", lambda: x.at[3].add(1.0)),
        (IndexError, "out of bounds", lambda: xg.compile(lambda x: x.at[:, -5].add(1.0))(x)),
        (IndexError, "too many indices", lambda: x.at[0, 0, 0].add(1.0)),
        (xg.ShapeError, r"\(3,\) do not broadcast to \(4,\)", lambda: x.at[0].add(xg.ones(3))),
        (xg.ShapeError, r"do not broadcast to \(4,\)", lambda: x.at[0].add(xg.ones((2, 4)))),
        (TypeError, r"t\.astype", lambda: xg.zeros(3, dtype=xg.int64).at[0].add(1.5)),
        (TypeError, "dtype bool: use set", lambda: xg.zeros(3, dtype=xg.bool).at[0].add(True)),
        (AttributeError, r"add and set, not 'multiply'.*counts once", lambda: x.at[0].multiply(2.0)),
        (TypeError, r"np\.maximum\.at does not work.*np\.add\.at does", lambda: np.maximum.at(x, 0, 1.0)),
        (TypeError, r"x = xg\.asarray\(x\)", lambda: np.add.at(np.ones(2), 0, leaf[0])),
        (xg.GraphError, r"xg\.no_grad", lambda: np.add.at(leaf, 0, 1.0)),
    ]:
        with pytest.raises(kind, match=message):
            f()


def test_numpys_function_in_a_compiled_function_changes_the_argument() -> None:
    x = xg.zeros(3)
    f = xg.compile(lambda x, i: np.add.at(x, i, 1.0))
    for n in (1, 2):
        assert f(x, xg.asarray([0, 2, 2])) is None
        assert x.tolist() == [n, 0, 2 * n]
    with pytest.raises(xg.TraceError, match="an argument is changed in place"):
        f(np.zeros(3), xg.asarray([0]))
