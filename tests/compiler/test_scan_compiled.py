"""Compiled scans give the same results as their steps in turn, however the step is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg

T, B, I, H = 5, 2, 3, 4


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape) / 2


def gru(p: Any, h: Any, x: Any) -> Any:
    z, r = xg.sigmoid(x @ p["xz"] + h @ p["hz"]), xg.sigmoid(x @ p["xr"] + h @ p["hr"])
    h = (1 - z) * h + z * xg.tanh(x @ p["xh"] + (r * h) @ p["hh"] + p["b"])
    return h, h


def lstm(p: Any, state: Any, x: Any) -> Any:
    h, c = state
    i, f, o = (xg.sigmoid(x @ p[f"x{k}"] + h @ p[f"h{k}"]) for k in "zrh")
    c = f * c + i * xg.tanh(h @ p["hz"] + p["b"])
    h = o * xg.tanh(c)
    return (h, c), h


def fused(p: Any, h: Any, x: Any) -> Any:
    a, b = x @ p["x3"], h @ p["h3"]
    z, r = xg.sigmoid(a[..., :H] + b[..., :H]), xg.sigmoid(a[..., H : 2 * H] + b[..., H : 2 * H])
    h = h + z * (xg.tanh(a[..., 2 * H :] + r * b[..., 2 * H :]) - h)
    return h, h


def joined(p: Any, h: Any, x: Any) -> Any:
    z = xg.sigmoid(xg.concat([h, x], axis=-1) @ p["z"])
    h = z * h + (1 - z) * xg.tanh(xg.concat([z * h, x], axis=-1) @ p["z"])
    return h, None


def tied(p: Any, h: Any, x: Any) -> Any:
    h = xg.tanh(xg.tanh(h @ p["hz"] + x @ p["xz"]) @ p["hz"].T)
    return h, h @ p["xz"].T


def output_layer(p: Any, h: Any, x: Any) -> Any:
    h = xg.tanh(h @ p["hz"] + x @ p["xz"] + p["b"])
    return h, xg.softmax(h @ p["out"])


def layer_norm(p: Any, h: Any, x: Any) -> Any:
    a = h @ p["hz"] + x @ p["xz"]
    a = a - xg.mean(a, axis=-1, keepdims=True)
    h = xg.tanh(a / xg.sqrt(xg.mean(a * a, axis=-1, keepdims=True) + 1e-5) * p["b"] + p["b"])
    return h, xg.logsumexp(h, axis=-1)


def attention(p: Any, h: Any, x: Any) -> Any:
    weights = xg.softmax(h @ p["hz"] / 2, axis=-1)
    h = xg.maximum(0.9 * h, weights * xg.max(x, axis=-1, keepdims=True))
    return h, xg.where(weights > 0.25, weights, h)


def old_state_written(p: Any, h: Any, x: Any) -> Any:
    return xg.tanh(h @ p["hz"] + x @ p["xz"]), h


def unchanged(p: Any, state: Any, x: Any) -> Any:
    h, c = state
    return (xg.tanh(h * c + x @ p["xz"]), c), c


def unused(p: Any, state: Any, x: Any) -> Any:
    h, _ = state
    return (h, xg.tanh(x @ p["xz"])), x


def nested(p: Any, h: Any, x: Any) -> Any:
    h, inner = xg.scan(lambda a, w: (xg.tanh(a * w + x @ p["xz"]), a), h, p["hz"], compiled=COMPILED[0])
    return h, xg.sum(inner, axis=0)


def dicts(p: Any, state: Any, x: Any) -> Any:
    h = xg.tanh(state["h"] @ p["hz"] + x @ p["xz"])
    return {"h": h, "rest": [state["rest"][0] + h]}, {"y": (h, x)}


CELLS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    **{
        f.__name__: (f, lambda h: h)
        for f in (gru, fused, joined, tied, output_layer, layer_norm, attention, old_state_written, nested)
    },
    **{f.__name__: (f, lambda h: (h, h * 0.5)) for f in (lstm, unchanged, unused)},
    "dicts": (dicts, lambda h: {"h": h, "rest": [h * 0.5]}),
}

COMPILED = [True]  # whether scans inside a step are compiled


def weights() -> dict[str, Any]:
    p = {f"x{k}": array(I, H, seed=i) for i, k in enumerate("zrh")} | {
        f"h{k}": array(H, H, seed=i + 3) for i, k in enumerate("zrh")
    }
    return p | {
        "b": array(H),
        "x3": array(I, 3 * H),
        "h3": array(H, 3 * H),
        "z": array(H + I, H),
        "out": array(H, 2),
    }


def results(f: Callable[..., Any], args: Any, of: str = "all") -> list[np.ndarray]:
    """Return outputs, and gradients of a sum of what `of` selects, for `f` returning (carry, ys)."""

    def loss(*args: Any) -> Any:
        carry, ys = f(*args)
        parts = {"all": (carry, ys), "finals": carry, "ys": ys}[of]
        total = xg.asarray(0.0)
        for i, v in enumerate(leaves(parts)):
            total = total + (i + 1) * xg.sum(xg.sin(v))
        return total, (carry, ys)

    (value, outputs), gradients = xg.value_and_grad(loss, argnums=tuple(range(len(args))), has_aux=True)(
        *args
    )
    return [v.detach().numpy() for v in leaves((value, outputs, gradients))]


def leaves(tree: Any) -> list[Any]:
    found: list[Any] = []
    xg.tree_map(lambda v: found.append(v), tree)
    return found


def agree(make: Callable[[bool], list[np.ndarray]], rtol: float = 1e-10) -> None:
    compiled, plain = make(True), make(False)
    assert len(compiled) == len(plain)
    for a, b in zip(compiled, plain, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol / 10)


def through(
    cell: str, args: Any, of: str = "all", reverse: bool = False
) -> Callable[[bool], list[np.ndarray]]:
    step, start = CELLS[cell]

    def make(compiled: bool) -> list[np.ndarray]:
        COMPILED[0] = compiled
        try:
            return results(
                lambda p, h, xs: xg.scan(
                    lambda h, x: step(p, h, x), start(h), xs, reverse=reverse, compiled=compiled
                ),
                args,
                of,
            )
        finally:
            COMPILED[0] = True

    return make


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_cell(cell: str, reverse: bool, device: str) -> None:
    agree(through(cell, (weights(), array(B, H), array(T, B, I)), reverse=reverse))


@pytest.mark.parametrize("cell", CELLS)
def test_without_a_batch(cell: str, device: str) -> None:
    agree(through(cell, (weights(), array(H), array(T, I))))


@pytest.mark.parametrize("of", ["finals", "ys"])
@pytest.mark.parametrize("cell", sorted(set(CELLS) - {"joined"}))
def test_gradients_of_some_outputs_alone(cell: str, of: str, device: str) -> None:
    agree(through(cell, (weights(), array(B, H), array(T, B, I)), of=of))


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("cell", CELLS)
def test_no_step_and_one(cell: str, steps: int, device: str) -> None:
    agree(through(cell, (weights(), array(B, H), array(steps, B, I))))


@pytest.mark.parametrize("cell", ["gru", "lstm", "layer_norm", "nested"])
def test_float32(cell: str, device: str) -> None:
    args = xg.tree_map(lambda v: v.astype("float32"), (weights(), array(B, H), array(T, B, I)))
    agree(through(cell, args), rtol=2e-5)


def test_an_integer_that_is_carried(device: str) -> None:
    def f(h: Any, xs: Any, compiled: bool) -> Any:
        def step(carry: Any, x: Any) -> Any:
            h, n = carry
            return (xg.tanh(h + x / (1 + n)), n + 1), n

        return xg.scan(step, (h, xg.asarray(0)), xs, compiled=compiled)

    def make(compiled: bool) -> list[np.ndarray]:
        (value, (h, n), ns), g = f_and_grad(compiled)
        return [v.detach().numpy() for v in (value, h, n, ns, *g)]

    def f_and_grad(compiled: bool) -> Any:
        def loss(h: Any, xs: Any) -> Any:
            (h, n), ns = f(h, xs, compiled)
            return xg.sum(h * h), (h, n, ns)

        (value, (h, n, ns)), g = xg.value_and_grad(loss, argnums=(0, 1), has_aux=True)(array(3), array(T, 3))
        return (value, (h, n), ns), g

    agree(make)


def test_leaves_from_outside_get_their_gradients(device: str) -> None:
    def make(compiled: bool) -> list[np.ndarray]:
        p = {k: xg.tensor(v, requires_grad=True) for k, v in weights().items()}
        for _ in range(2):
            h, ys = xg.scan(
                lambda h, x: gru(p, h, x),
                xg.asarray(array(B, H)),
                xg.asarray(array(T, B, I)),
                compiled=compiled,
            )
            (xg.sum(h * h) + xg.sum(xg.sin(ys))).backward()
        return [h.detach().numpy(), *(v.grad.numpy() for v in p.values() if v.grad is not None)]

    agree(make)
    assert len(make(True)) == 8


def test_a_computed_tensor_from_outside(device: str) -> None:
    def make(compiled: bool) -> list[np.ndarray]:
        def f(w: Any, xs: Any) -> Any:
            v = xg.tanh(w)
            return xg.scan(lambda h, x: (xg.tanh(h @ v + x @ v), xg.sum(v) * h), xs[0], xs, compiled=compiled)

        return results(f, (array(I, I), array(T, B, I)))

    agree(make)


def test_what_changes_outside_between_calls_is_seen(device: str) -> None:
    xs = array(T, 3)
    now: dict[str, Any] = {"array": array(3), "number": 0.5}

    def last() -> float:
        w, k = xg.asarray(now["array"]), now["number"]
        h, _ = xg.scan(lambda h, x: (xg.tanh(h * k + x * w), None), xg.ones(3), xs)
        return float(xg.sum(h).item())

    def expected() -> float:
        h = np.ones(3)
        for x in xs:
            h = np.tanh(h * now["number"] + x * now["array"])
        return float(h.sum())

    for change in (
        {},
        {"array": array(3, seed=1)},
        {"number": 0.25},
        {"number": 1},
        {"number": True},
        {"number": 0.5},
    ):
        now |= change
        assert last() == pytest.approx(expected(), rel=1e-12)


def test_xs_that_are_read_past_their_slices_too(device: str) -> None:
    def make(compiled: bool) -> list[np.ndarray]:
        def f(h: Any, xs: Any) -> Any:
            return xg.scan(
                lambda h, x: (xg.tanh(h + x * xg.sum(xs, axis=0)), xs[0] * h), h, xs, compiled=compiled
            )

        return results(f, (array(3), array(T, 3)))

    agree(make)


def test_the_same_tensor_twice(device: str) -> None:
    def make(compiled: bool) -> list[np.ndarray]:
        def f(h: Any, xs: Any) -> Any:
            return xg.scan(
                lambda c, x: ((c[1], xg.tanh(c[0] + x[0] * x[1])), c), (h, h), (xs, xs), compiled=compiled
            )

        return results(f, (array(3), array(T, 3)))

    agree(make)


def test_second_derivatives(device: str) -> None:
    for cell in ("fused", "layer_norm", "old_state_written"):
        step, _ = CELLS[cell]

        def make(compiled: bool) -> list[np.ndarray]:
            def slope(p: Any, h: Any, xs: Any) -> Any:
                def loss(p: Any, h: Any) -> Any:
                    h, _ = xg.scan(lambda h, x: step(p, h, x), h, xs, compiled=compiled)
                    return xg.sum(h * h)

                g, dh = xg.grad(loss, argnums=(0, 1))(p, h)
                return xg.sum(dh * dh) + xg.sum(g["hz"] * g["hz"]) + xg.sum(g["h3"] * g["h3"])

            found = xg.grad(slope, argnums=(0, 1, 2))(weights(), array(B, H), array(T, B, I))
            return [v.numpy() for v in leaves(found)]

        agree(make)


#: Views, read at each step, of a computed array: (T, H, H) from (T, H, H) or smaller.
VIEWS: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda y: y,
    "transposed": lambda y: xg.permute_dims(y, (0, 2, 1)),
    "time last": lambda y: xg.permute_dims(y, (2, 1, 0))[:, :, :H],
    "time second": lambda y: xg.permute_dims(y, (1, 0, 2))[:, :H],
    "flipped rows": lambda y: xg.flip(y, axis=1),
    "flipped columns": lambda y: xg.flip(y, axis=2),
    "against time": lambda y: xg.flip(y, axis=0),
    "the same at each step": lambda y: xg.broadcast_to(y[0], (T, H, H)),
    "the same rows": lambda y: xg.broadcast_to(y[:, :1], (T, H, H)),
    "the same columns": lambda y: xg.broadcast_to(y[:, :, :1], (T, H, H)),
    "one number": lambda y: xg.broadcast_to(y[0, 0, 0], (T, H, H)),
    "one number a step": lambda y: xg.broadcast_to(y[:, :1, :1], (T, H, H)),
    "every second column": lambda y: xg.concat([y, y], axis=2)[:, :, ::2],
    "part of the columns": lambda y: xg.concat([y, y], axis=2)[:, :, 2 : 2 + H],
    "every second step": lambda y: xg.concat([y, y])[::2],
    "a window that moves by a row": lambda y: xg.stack([xg.reshape(y, (-1, H))[t : t + H] for t in range(T)]),
}


@pytest.mark.parametrize("executor", [pytest.param("0", marks=pytest.mark.slow), "1"])
@pytest.mark.parametrize("form", ["h @ U + x", "x + U @ h", "vector", "two"])
@pytest.mark.parametrize("view", VIEWS)
def test_products_added_to_views(
    view: str, form: str, executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product may accumulate in place into a view that it reads.

    This requires that nothing else reads the memory, and that a product can be written with those strides.
    """
    monkeypatch.setenv("XGRAD_NATIVE", executor)
    U, S, C = array(H, H), array(T, H, H), array(T, H, H, seed=1)

    def step(h: Any, x: Any) -> Any:
        if form == "vector":
            return xg.tanh(h @ U + x[0]), h
        h = {
            "h @ U + x": lambda: h @ U + x,
            "x + U @ h": lambda: x + U @ h,
            "two": lambda: (h @ U + x) @ U + x,
        }[form]()
        return h, None

    def f(s: Any, *, compiled: bool) -> Any:
        h = xg.zeros(H) if form == "vector" else xg.zeros((H, H))
        return xg.scan(step, h, VIEWS[view](xg.sin(s)), compiled=compiled)

    def slope(s: Any, *, compiled: bool) -> Any:
        return xg.grad(lambda s: xg.sum(f(s, compiled=compiled)[0] ** 2) + xg.sum(s * C))(s)

    for g in (f, slope):
        want = xg.core.pytree.flatten(g(xg.asarray(S), compiled=False))[0]
        found = xg.core.pytree.flatten(xg.compile(lambda s: g(s, compiled=True))(S))[0]
        for a, b in zip(found, want, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["complex128", "complex64", "float16"])
def test_carries_without_native_form(dtype: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of such carries start as zeros.

    The program has them as plain numbers, so that no operand or stage has the dtype.
    """
    if dtype == "float16" and device.startswith("strict"):
        pytest.skip("the strict library has no float16")
    monkeypatch.setenv("XGRAD_NATIVE", "1")

    def slope(h: Any, compiled: bool) -> Any:
        def loss(h: Any) -> Any:
            c, ys = xg.scan(
                lambda c, x: ((c[0] * x, c[1]), c[0]),
                (h, xg.astype(h, dtype)),
                array(T, 3),
                compiled=compiled,
            )
            return xg.sum(c[0] ** 2) + xg.sum(ys[0])

        return xg.grad(loss)(h)

    expected = slope(xg.asarray(array(3)), False).numpy()
    np.testing.assert_allclose(slope(xg.asarray(array(3)), True).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(
        xg.compile(lambda h: slope(h, True))(xg.asarray(array(3))).numpy(), expected, rtol=1e-12
    )


@pytest.mark.parametrize("native", ["0", "1"])
def test_complex_carries_that_no_stage_computes(native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The carries only swap places: no stage exists at which an unsupported dtype could be noticed."""
    monkeypatch.setenv("XGRAD_NATIVE", native)

    def run(a: Any, b: Any) -> Any:
        return xg.scan(lambda c, _: ((c[1], c[0]), c[1]), (a, b), None, length=3)

    for f in (run, xg.compile(run)):
        (a, b), ys = f(xg.asarray(1.0 + 2.0j), xg.asarray(3.0j))
        assert (complex(a), complex(b), ys.numpy().tolist()) == (3j, 1 + 2j, [3j, 1 + 2j, 3j])
