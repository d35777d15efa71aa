"""`check_derivation` names the first wrong gradient of a derivation by hand, and the slip behind it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg

rng = np.random.default_rng(0)
X, W, B = rng.normal(size=(5, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)


def layer(x: Any, w: Any, b: Any) -> Any:
    product = x @ w
    pre = product + b
    h = xg.tanh(pre)
    square = h**2
    return xg.sum(square)


def by_hand() -> dict[str, np.ndarray]:
    pre = X @ W + B
    h = np.tanh(pre)
    dh = 2 * h
    dpre = dh * (1 - h**2)
    return {"dh": dh, "dpre": dpre, "dproduct": dpre, "db": dpre.sum(0), "dx": dpre @ W.T, "dw": X.T @ dpre}


def quotient(x: Any, y: Any) -> Any:
    num = x + xg.sigmoid(y)
    s = xg.sigmoid(x)
    total = x + y
    q = total**2
    den = s + q
    return num / den


def quotient_by_hand(x: float, y: float) -> dict[str, float]:
    """The staged derivation of the notes."""
    sy, sx = 1 / (1 + np.exp(-y)), 1 / (1 + np.exp(-x))
    num, q = x + sy, (x + y) ** 2
    den = sx + q
    dnum, dden = 1 / den, -num / den**2
    dtotal = dden * 2 * (x + y)
    return {
        "dnum": dnum,
        "dden": dden,
        "ds": dden,
        "dq": dden,
        "dtotal": dtotal,
        "dx": dnum + dtotal + dden * sx * (1 - sx),
        "dy": dnum * sy * (1 - sy) + dtotal,
    }


def test_right_derivations_are_right() -> None:
    for check in (
        xg.check_derivation(layer, (X, W, B), by_hand()),
        xg.check_derivation(quotient, (3.0, -4.0), quotient_by_hand(3.0, -4.0)),
        xg.check_derivation(quotient, (3.0, -4.0), quotient_by_hand),
    ):
        assert check, str(check)
        assert check.wrong is None
        assert check.right


PRE = X @ W + B
H = np.tanh(PRE)

#: The gradient that is wrong, what was derived, the kind of the slip, and words of its description.
SLIPS: dict[str, tuple[str, Callable[[dict[str, Any]], Any], str, str]] = {
    "no factor 2": ("dh", lambda g: H, "factor", "forgotten: 2"),
    "sign": ("dh", lambda g: -2 * H, "sign", "dh has the wrong sign"),
    "at the input": ("dpre", lambda g: g["dh"] * (1 - PRE**2), "point", "output, h, is taken at its input"),
    "no slope": ("dpre", lambda g: g["dh"], "factor", "the local derivative"),
    "no chain": ("dpre", lambda g: 1 - H**2, "factor", "the gradient of the output, dh"),
    "no sum": ("db", lambda g: g["dpre"], "broadcast", "missing"),
    "a mean": ("db", lambda g: g["dpre"].mean(0), "broadcast", "a mean was taken"),
    "first row": ("db", lambda g: g["dpre"][0], "broadcast", "only the first"),
    "no transpose of w": ("dx", lambda g: g["dpre"] @ W, "transpose", "dproduct @ w.T, not dproduct @ w"),
    "transposed": ("dw", lambda g: g["dpre"].T @ X, "transpose", "transpose"),
    "minus": ("dw", lambda g: -X.T @ g["dpre"], "sign", "dw has the wrong sign"),
}


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_in_a_layer_is_named(name: str) -> None:
    wrong, slip, kind, words = SLIPS[name]
    right = by_hand()
    check = xg.check_derivation(layer, (X, W, B), right | {wrong: slip(right)})
    assert not check
    assert check.wrong is not None
    assert check.wrong.name == wrong
    assert check.wrong.cause is not None, str(check)
    assert (check.wrong.cause.kind, words in str(check)) == (kind, True), str(check)
    assert __file__ in check.wrong.source


@pytest.mark.parametrize(
    ("wrong", "value", "kind"),
    [
        ("dden", lambda g: -g["dden"], "sign"),
        ("dx", lambda g: g["dden"] * 0.04517665973091213, "overwritten"),
        ("dx", lambda g: g["dx"] - g["dnum"], "overwritten"),
        ("dtotal", lambda g: g["dden"] * -1.0, "factor"),
        ("dy", lambda g: g["dnum"] * 0.01798620996209156 + g["dtotal"], "formula"),
        ("dnum", lambda g: g["dden"], "operand"),
    ],
)
def test_a_slip_in_the_quotient_of_the_notes_is_named(wrong: str, value: Any, kind: str) -> None:
    right = quotient_by_hand(3.0, -4.0)
    check = xg.check_derivation(quotient, (3.0, -4.0), right | {wrong: value(right)})
    assert check.wrong is not None
    assert (check.wrong.name, check.wrong.cause and check.wrong.cause.kind) == (wrong, kind), str(check)
    assert check.wrong.right == pytest.approx(right[wrong])


def test_the_first_of_two_wrong_ones_is_named() -> None:
    right = quotient_by_hand(3.0, -4.0)
    check = xg.check_derivation(quotient, (3.0, -4.0), right | {"dx": 1.0, "dden": -right["dden"]})
    assert check.wrong is not None
    assert check.wrong.name == "dden"


def test_a_slip_of_no_usual_kind_is_called_unknown() -> None:
    right = by_hand()
    check = xg.check_derivation(layer, (X, W, B), right | {"dx": rng.normal(size=(5, 3))})
    assert check.wrong is not None
    assert check.wrong.cause is None
    assert "Cause unknown" in str(check)


def test_names_and_shapes() -> None:
    right = by_hand()
    check = xg.check_derivation(layer, (X, W, B), {"dx": right["dx"], "dhh": right["dh"]})
    assert not check.ok
    assert check.unknown == ("dhh",)
    assert "did you mean dh" in str(check)
    assert {"dh", "dpre", "dw"} <= set(check.missing)
    check = xg.check_derivation(layer, (X, W, B), {"dw": np.ones((2, 2))})
    assert "has shape (2, 2), but must have (3, 3)" in str(check)
    with pytest.raises(ValueError, match="no gradients"):
        xg.check_derivation(layer, (X, W, B), {})
    with pytest.raises(TypeError, match="must be a dict"):
        xg.check_derivation(layer, (X, W, B), [1.0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"write \(x,\) for x"):
        xg.check_derivation(layer, X, right)


def plain(x: Any, w: Any, b: Any) -> Any:
    a = x @ w + b
    h = xg.tanh(a)
    return xg.sum(h)


DA = 1 - H**2
PLAIN = {"da": DA, "dw": X.T @ DA, "db": DA.sum(0), "dx": DA @ W.T}


class Foreign:
    """An array of another library, such as torch."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.x, dtype=dtype)


@pytest.mark.parametrize("convert", [xg.asarray, np.ndarray.tolist, Foreign, lambda g: g + 0j])
def test_gradients_of_all_kinds(convert: Any) -> None:
    check = xg.check_derivation(plain, (X, W, B), {name: convert(g) for name, g in PLAIN.items()})
    assert check, str(check)
    wrong = xg.check_derivation(plain, (X, W, B), {"da": convert(DA), "dw": convert(-PLAIN["dw"])})
    assert wrong.wrong is not None
    assert (wrong.wrong.name, wrong.wrong.cause and wrong.wrong.cause.kind) == ("dw", "sign")


def test_integers_are_numbers() -> None:
    assert xg.check_derivation(lambda x: x * x, (3,), {"dx": 6})
    squares = lambda x: xg.sum(x * x)
    assert xg.check_derivation(squares, (np.array([1.0, 2.0]),), {"dx": np.array([2, 4])})
    assert not xg.check_derivation(squares, (np.array([1.0, 2.0]),), {"dx": np.array([2, 5])})


@pytest.mark.parametrize(("dtype", "rtol"), [("float16", 1e-2), ("float32", 1e-4), ("float64", 1e-9)])
def test_the_tolerance_is_that_of_the_dtype(dtype: str, rtol: float) -> None:
    args = [v.astype(dtype) for v in (X, W, B)]
    assert xg.check_derivation(plain, args, {n: (g * (1 + rtol)).astype(dtype) for n, g in PLAIN.items()})
    assert xg.check_derivation(plain, args, {n: g * (1 + rtol) for n, g in PLAIN.items()})
    check = xg.check_derivation(plain, args, {n: (g * 1.1).astype(dtype) for n, g in PLAIN.items()})
    assert re.search("da is 1.(1|09).* times what it must be", str(check))


def test_a_gradient_that_cancels_is_compared_by_what_cancels() -> None:
    def f(x: Any) -> Any:
        p = xg.softmax(3.0 * x)
        return xg.sum(p)

    x = rng.normal(size=(4, 5))
    assert xg.check_derivation(f, (x,), {"dx": np.full((4, 5), 1e-15)})
    assert not xg.check_derivation(f, (x,), {"dx": np.full((4, 5), 1e-9)})


@pytest.mark.parametrize(
    ("mine", "words"),
    [
        (PLAIN | {"da": np.where(DA > 0.9, np.nan, DA)}, "it is nan, but must be"),
        (PLAIN | {"da": np.where(DA > 0.9, np.nan, DA)}, "It is NaN: look for 0 / 0"),
        (PLAIN | {"db": PLAIN["db"] + np.inf}, "it is inf, but must be"),
        (PLAIN | {"da": DA + 1j}, "+1j, but must be"),
        (PLAIN | {"db": PLAIN["db"][None]}, "db is wrong: it has shape (1, 3), but must have (3,)"),
        (PLAIN | {"db": PLAIN["db"][None]}, "the numbers are right, but b has shape (3,)"),
        (PLAIN | {"db": 1.0}, "db is wrong: it has shape (), but must have (3,)"),
        (PLAIN | {"da": DA.T}, "the numbers are right, but the rows and columns of da are exchanged"),
        (
            {name: g.T for name, g in PLAIN.items()},
            "rows and columns of da are exchanged, as in 2 more of your",
        ),
        ({name: g.round(4) for name, g in PLAIN.items()}, "pass a tolerance, such as rtol=1e-3"),
        ({"dW": PLAIN["dw"]}, "No stage has the gradient dW; did you mean dw?"),
        (
            {"grad": DA},
            "No stage has the gradient grad; the gradients are called dz4, dh, da, db, dz1, dx, dw",
        ),
        (
            PLAIN | {"dz4": 2.0},
            "The backward pass starts here: this gradient is 1, or the dz that is passed.",
        ),
    ],
)
def test_odd_gradients_are_answered_with_a_hint(mine: dict[str, Any], words: str) -> None:
    check = xg.check_derivation(plain, (X, W, B), mine)
    assert not check
    assert words in str(check)


def test_rounded_numbers_pass_with_a_tolerance() -> None:
    assert xg.check_derivation(plain, (X, W, B), {n: g.round(4) for n, g in PLAIN.items()}, rtol=1e-3)


def test_what_is_no_gradient_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="da is no gradient: asarray takes arrays"):
        xg.check_derivation(plain, (X, W, B), {"da": "x"})
    with pytest.raises(TypeError, match="returns one Tensor, not tuple: for several outputs"):
        xg.check_derivation(lambda x: (x, x), (1.0,), {"dx": 1.0})
    with pytest.raises(xg.GraphError, match="needs dz"):
        xg.check_derivation(lambda x: 2 * x, (np.ones(3),), {"dx": 2 * np.ones(3)})
    assert xg.check_derivation(plain, (X, W, B), PLAIN | {"dh": None}), "None is a gradient that is not given"


def test_parts_of_containers_and_modules() -> None:
    def f(p: Any, x: Any) -> Any:
        return xg.sum(x @ p["W"] + p["b"][0])

    p = {"W": W, "b": [B]}
    right = {"W": X.T @ np.ones((5, 3)), "b": [np.full(3, 5.0)]}
    assert xg.check_derivation(f, (p, X), {"dp": right})
    assert xg.check_derivation(f, (p, X), {"dp['W']": right["W"], "dp['b'][0]": right["b"][0]})
    check = xg.check_derivation(f, (p, X), {"dp": {"W": right["W"], "b": [np.ones(3)]}})
    assert check.wrong is not None
    assert check.wrong.name == "dp['b'][0]"
    assert "a sum over axis 0; a mean was taken instead" in str(check)
    assert "did you mean dp['W']" in str(xg.check_derivation(f, (p, X), {'dp["W"]': right["W"]}))

    layer = xg.nn.Linear(3, 2, dtype=xg.float64)
    loss = lambda layer, x: xg.sum(layer(x) ** 2)
    right = xg.grad(loss)(layer, X)
    assert xg.check_derivation(loss, (layer, X), {"dlayer": right})
    wrong = xg.tree_map(lambda g: -g, right)
    check = xg.check_derivation(loss, (layer, X), {"dlayer": wrong})
    assert check.wrong is not None
    assert check.wrong.cause is not None
    assert check.wrong.cause.kind == "sign"


def test_each_value_of_a_variable_is_named() -> None:
    def f(x: Any) -> Any:
        z = 2 * x
        z = xg.exp(z)
        return z * z

    e = np.exp(2 * 0.3)
    right = {"dz_2": 2 * e, "dz": 2 * e * e, "dx": 4 * e * e}
    assert xg.check_derivation(f, (0.3,), right)
    check = xg.check_derivation(f, (0.3,), right | {"dz": 2 * e, "dx": 4 * e})
    assert check.wrong is not None
    assert (check.wrong.name, check.right) == ("dz", ("dz_2",))


def test_slips_around_a_scan() -> None:
    def f(w: Any, h0: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = xg.tanh(h @ w + x)
            return h, h

        _, ys = xg.scan(step, h0, xs)
        return xg.mean(ys**2)

    args = W, np.zeros((2, 3)), rng.normal(size=(4, 2, 3))
    dw, dh0, dxs = xg.grad(f, argnums=(0, 1, 2))(*args)
    assert xg.check_derivation(f, args, (dw, dh0, dxs))
    check = xg.check_derivation(f, args, (24 * dw, 24 * dh0, 24 * dxs))
    assert "the derivative of a mean is 1 / n" in str(check.wrong and check.wrong.cause)
    check = xg.check_derivation(f, args, (dw.T, dh0, dxs))
    assert check.wrong is not None
    assert (check.wrong.name, check.wrong.cause) != ("dw", None)
    h = np.tanh(args[2][0])
    last = xg.check_derivation(f, args, {"dh[t=0]": dxs[0] / (1 - h**2), "dxs": dxs, "dw": dw})
    assert last, str(last)


@pytest.mark.slow
def test_thousands_of_stages() -> None:
    def f(x: Any) -> Any:
        for _ in range(1000):
            a = 1.001 * x
            x = xg.sin(a)
        return xg.sum(x)

    x = rng.normal(size=(3, 2))
    dx = xg.grad(f)(x)
    assert xg.check_derivation(f, (x,), {"dx": dx})
    check = xg.check_derivation(f, (x,), {"dx": -dx})
    assert "dx has the wrong sign" in str(check)

    def shared(w: Any, xs: Any) -> Any:
        total = 0.0
        for t in range(1000):
            p = w * xs[t]
            total = total + xg.sum(p)
        return total

    w, xs = rng.normal(size=3), rng.normal(size=(1000, 3))
    assert xg.check_derivation(shared, (w, xs), {"dw": xs.sum(0)})
    check = xg.check_derivation(shared, (w, xs), {"dw": xs[0]})
    assert "and 996 more: it was overwritten (= for +=), or forgotten" in str(check)


@pytest.mark.parametrize("shape", [(3, 3), (3, 1)])
def test_the_listing_that_circulates(shape: tuple[int, ...]) -> None:
    """Its elementwise rules transpose: dz * y.T, dz * x.T, and dz * tanhdx(x).T."""

    def f(x: Any, y: Any) -> Any:
        z = x * y
        return xg.tanh(z)

    x, y, dh = rng.normal(size=(3, *shape))
    h = np.tanh(x * y)
    dz = dh * (1 - h**2)
    for wrong in ({"dz": dh * (1 - h**2).T}, {"dz": dz, "dx": dz * y.T, "dy": dz * x.T}):
        check = xg.check_derivation(f, (x, y), wrong, dh)
        assert "a transpose too many" in str(check)
    g = lambda z: xg.sigmoid(z)
    h = 1 / (1 + np.exp(-x))
    twice = dh * h * (1 - h) * (1 - h * (1 - h))
    assert "z1 * (1 - z1) * (1 - z1 * (1 - z1))" in str(xg.check_derivation(g, (x,), {"dz": twice}, dh))
