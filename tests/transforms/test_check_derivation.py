"""`check_derivation` names the first wrong gradient of a derivation by hand, and the slip behind it."""

from __future__ import annotations

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
