"""Every op of the table through `check_grads`: on every backend, to second order, in every kind of shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from xgrad.ops import OPS

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def positive(*shape: int) -> np.ndarray:
    return rng.uniform(0.5, 2.0, shape)


def distinct(*shape: int) -> np.ndarray:
    """No two alike, and none near zero, so that no choice between them is near a tie."""
    n = int(np.prod(shape))
    return (rng.permutation(n) - n / 2 + 0.25).reshape(shape) / max(n, 1)


mask = np.array([True, False, True])

#: op -> cases of (function, arguments). Elementwise ops get their shapes from `SHAPES` besides.
CASES: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
    "none": [(lambda x: xg.asarray(x, copy=True), (normal(3),))],
    "+": [
        (lambda x, y: x + y, (normal(3), normal(3))),
        (lambda x: x + 2.0, (normal(3),)),
        (lambda x: 2 + x + x, (normal(3),)),
    ],
    "-": [(lambda x, y: x - y, (normal(3), normal(3))), (lambda x: 1 - x, (normal(3),))],
    "*": [
        (lambda x, y: x * y, (normal(3), normal(3))),
        (lambda x: x * x, (normal(3),)),
        (lambda x: 3.0 * x, (normal(3),)),
    ],
    "/": [
        (lambda x, y: x / y, (normal(3), positive(3))),
        (lambda x: 1 / x, (positive(3),)),
        (lambda x: x / 4, (normal(3),)),
    ],
    "**": [
        (lambda x, y: x**y, (positive(3), normal(3))),
        (lambda x: x**3, (normal(3),)),
        (lambda x: x**0, (normal(3),)),
        (lambda x: x**1, (normal(3),)),
        (lambda x: 2.0**x, (normal(3),)),
        (lambda x: x**-1.5, (positive(3),)),
    ],
    "@": [
        (lambda x, y: x @ y, (normal(*a), normal(*b)))
        for a, b in [
            ((2, 3), (3, 4)),
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 4)),
            ((5, 2, 3), (3, 4)),
            ((2, 3), (5, 3, 4)),
            ((5, 2, 3), (5, 3, 4)),
            ((1, 2, 3), (5, 3, 4)),
            ((6, 5, 2, 3), (5, 3, 4)),
            ((3,), (5, 3, 4)),
            ((5, 2, 3), (3,)),
            ((0, 3), (3, 4)),
            ((2, 0), (0, 4)),
            ((5, 0, 3), (3, 4)),
        ]
    ],
    "neg": [(lambda x: -x, (normal(3),))],
    "abs": [(lambda x: abs(x), (distinct(4),))],
    "exp": [(xg.exp, (normal(3),))],
    "expm1": [(xg.expm1, (normal(3),))],
    "log": [(xg.log, (positive(3),))],
    "log1p": [(xg.log1p, (positive(3),))],
    "sqrt": [(xg.sqrt, (positive(3),))],
    "sin": [(xg.sin, (normal(3),))],
    "cos": [(xg.cos, (normal(3),))],
    "tanh": [(xg.tanh, (normal(3),))],
    "sigmoid": [(xg.sigmoid, (normal(3),))],
    "relu": [(xg.relu, (distinct(6),))],
    "maximum": [
        (xg.maximum, (distinct(6), distinct(6) + 0.01)),
        (lambda x: xg.maximum(x, 0.0), (distinct(6),)),
    ],
    "minimum": [
        (xg.minimum, (distinct(6), distinct(6) + 0.01)),
        (lambda x: xg.minimum(0.0, x), (distinct(6),)),
    ],
    "max": [
        (lambda x, axis=axis, k=k: xg.max(x, axis=axis, keepdims=k), (distinct(2, 3, 4),))
        for axis in (None, 0, -1, (0, 2))
        for k in (False, True)
    ],
    "min": [
        (lambda x, axis=axis, k=k: xg.min(x, axis=axis, keepdims=k), (distinct(2, 3, 4),))
        for axis in (None, 1, (0, 1, 2))
        for k in (False, True)
    ],
    "sum": [
        (lambda x, axis=axis, k=k: xg.sum(x, axis=axis, keepdims=k), (normal(2, 3, 4),))
        for axis in (None, 0, -1, (0, 2), ())
        for k in (False, True)
    ]
    + [
        (lambda x: xg.sum(x), (normal(0, 3),)),
        (lambda x: xg.sum(x, axis=1), (normal(0, 3),)),
        (lambda x: xg.sum(x), (normal(),)),
    ],
    "mean": [
        (lambda x, axis=axis, k=k: xg.mean(x, axis=axis, keepdims=k), (normal(2, 3, 4),))
        for axis in (None, 0, -1, (0, 2))
        for k in (False, True)
    ],
    "logsumexp": [
        (lambda x, axis=axis, k=k: xg.logsumexp(x, axis=axis, keepdims=k), (normal(2, 3, 4),))
        for axis in (None, 0, -1, (0, 2))
        for k in (False, True)
    ],
    "softmax": [(lambda x, axis=axis: xg.softmax(x, axis=axis), (normal(2, 3),)) for axis in (-1, 0, (0, 1))],
    "where": [
        (lambda x, y: xg.where(xg.asarray(mask), x, y), (normal(3), normal(2, 3))),
        (lambda x: xg.where(x > 0, x, 2.0), (distinct(4),)),
    ],
    "reshape": [
        (lambda x: xg.reshape(x, (3, 2)), (normal(2, 3),)),
        (lambda x: x.reshape(-1), (normal(2, 3),)),
        (lambda x: xg.reshape(x, ()), (normal(1),)),
    ],
    "transpose": [
        (lambda x: x.T, (normal(2, 3),)),
        (lambda x: xg.permute_dims(x, (2, 0, 1)), (normal(2, 3, 4),)),
        (lambda x: x.mT, (normal(2, 3, 4),)),
    ],
    "broadcast_to": [
        (lambda x: xg.broadcast_to(x, (4, 2, 3)), (normal(2, 1),)),
        (lambda x: xg.broadcast_to(x, (2, 3)), (normal(),)),
    ],
    "concat": [
        (lambda x, y: xg.concat([x, y], axis=1), (normal(2, 3), normal(2, 1))),
        (lambda x, y: xg.concat([x, y, x], axis=None), (normal(2), normal(3, 1))),
        (lambda x, y: xg.concat([x, y]), (normal(0, 2), normal(3, 2))),
    ],
    "stack": [(lambda x, y: xg.stack([x, y], axis=axis), (normal(2, 3), normal(2, 3))) for axis in (0, -1)],
    "unstack": [
        (lambda x: [a * b for a, b in zip(xg.unstack(x, axis=1), [1.0, 2.0, 3.0])], (normal(2, 3),)),
        (lambda x: xg.unstack(x)[1], (normal(3),)),
    ],
    "item": [(lambda x: list(x), (normal(2, 3),))],
    "take": [
        (lambda x: xg.take(x, xg.asarray([2, 0, 2]), axis=0), (normal(3, 2),)),
        (lambda x: xg.take(x, xg.asarray([[1, 0], [1, 1]]), axis=-1), (normal(3, 2),)),
    ],
    "getitem": [
        (lambda x: x[1], (normal(3, 2),)),
        (lambda x: x[..., ::-2], (normal(3, 4),)),
        (lambda x: x[None, 1:, 0], (normal(3, 4),)),
        (lambda x: x[xg.asarray([0, 2, 0]), xg.asarray([1, 1, 1])], (normal(3, 2),)),
        (lambda x: x[xg.asarray(mask)], (normal(3),)),
    ],
    "setitem": [
        (lambda x, v: _set(x, 1, v), (normal(3, 2), normal(2))),
        (lambda x, v: _set(x, (slice(None), 0), v), (normal(3, 2), normal())),
        (lambda x: _set(x, slice(1, None), 7.0), (normal(3),)),
        (lambda x: _set(x, 0, x[2] * x[1]), (normal(3),)),
    ],
    "scatter": [(lambda x: xg.grad(lambda a: xg.sum(a[xg.asarray([0, 0, 2])] ** 2))(x), (normal(3),))],
    "untake": [
        (
            lambda x: xg.grad(lambda a: xg.sum(xg.take(a, xg.asarray([0, 0, 2]), axis=0) ** 2))(x),
            (normal(3, 2),),
        )
    ],
    "astype": [(lambda x: x.astype(xg.float64), (rng.standard_normal(3).astype("f"),))],
    "to_device": [(lambda x: x.to(x.device) * 2, (normal(3),))],
    "conj": [(lambda x: xg.real(xg.conj(x.astype(xg.complex128) * 1j) * (2 + 3j)), (normal(3),))],
    "real": [(lambda x: xg.real(x.astype(xg.complex128) * (2 + 1j)), (normal(3),))],
    "complex_sign": [(lambda x: xg.real(xg.sign(x.astype(xg.complex128) * (2 + 1j) + 1j)), (normal(3),))],
    "imag": [(lambda x: xg.imag(x.astype(xg.complex128) * (2 + 1j)), (normal(3),))],
}


def _set(x: xg.Tensor, key: Any, v: Any) -> xg.Tensor:
    y = x * 1.0
    y[key] = v
    return y


TESTED = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]


def placed(args: tuple[Any, ...]) -> tuple[xg.Tensor, ...]:
    return tuple(xg.asarray(a) for a in args)


def test_every_differentiable_op_of_the_table_has_a_case() -> None:
    """Here, or where the ops of a family are tested."""
    from . import (
        test_elementwise,
        test_fft,
        test_linalg,
        test_manipulation,
        test_numpy,
        test_random,
        test_sorting,
        test_statistics,
    )

    families = (
        test_fft,
        test_linalg,
        test_manipulation,
        test_numpy,
        test_random,
        test_sorting,
        test_statistics,
    )
    elsewhere = {
        "einsum",
        *(OPS[name].name for name in test_elementwise.SMOOTH),
        *(name for family in families for name in family.GRADIENT_CASES),
    }
    # other tests may have registered more
    ours = {op.name for op in OPS.values() if op.differentiable and not op.listing.registered}
    assert ours == elsewhere | set(CASES) | {"scan", "checkpoint", "after", "custom", "seal"}


@pytest.mark.parametrize(("name", "i"), TESTED)
def test_gradient(name: str, i: int, device: str) -> None:
    f, args = CASES[name][i]
    xg.check_grads(f, placed(args), order=2)


@pytest.mark.parametrize("name", ["+", "*", "/", "tanh", "sum", "max", "@", "getitem", "concat", "softmax"])
def test_inputs_that_are_views(name: str) -> None:
    f, args = CASES[name][0]
    strided = tuple(
        np.repeat(np.repeat(a, 2, axis=-1), 2, axis=0)[::2, ..., ::2] if a.ndim > 1 else np.repeat(a, 2)[::2]
        for a in args
    )
    reversed_ = tuple(a[::-1].copy()[::-1] for a in args)
    transposed = tuple(np.asfortranarray(a) for a in args)
    for views in (strided, reversed_, transposed):
        assert all(np.array_equal(a, v) for a, v in zip(args, views))
        xg.check_grads(f, views, order=2)


SIZES = st.integers(0, 3)


@given(st.lists(SIZES, max_size=3), st.data())
def test_broadcasting_is_undone_for_any_shapes(shape: list[int], data: st.DataObject) -> None:
    def squashed(full: list[int]) -> tuple[int, ...]:
        kept = full[data.draw(st.integers(0, len(full))) :]
        return tuple(1 if data.draw(st.booleans()) else n for n in kept)

    x, y = normal(*squashed(shape)), positive(*squashed(shape))
    op = data.draw(st.sampled_from(["+", "-", "*", "/", "maximum"]))
    dz = normal(*np.broadcast_shapes(x.shape, y.shape))
    dx, dy = xg.deriv(dz, x, y, op)
    assert dx.shape == x.shape
    assert dy.shape == y.shape
    if op in "+-":
        np.testing.assert_allclose(np.sum(dx), np.sum(dz), atol=1e-12)
    if op == "*":
        np.testing.assert_allclose(np.sum(dx * x), np.sum(dz * x * y), atol=1e-12)


@pytest.mark.parametrize("reduce", [xg.max, xg.min])
def test_a_tie_goes_to_the_first(reduce: Any, device: str) -> None:
    x = xg.asarray([[1.0, 1.0, 1.0], [2.0, 2.0, 1.0], [1.0, 2.0, 2.0]])
    g = xg.grad(lambda x: xg.sum(reduce(x, axis=1)))(x).numpy()
    assert (g.sum(axis=1) == 1).all()
    assert ((g == 0) | (g == 1)).all()
    assert g[0].tolist() == [1, 0, 0]
    assert xg.grad(lambda x: reduce(x))(xg.ones((2, 2))).numpy().tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("gate", ["maximum", "minimum"])
def test_a_tie_between_two_goes_to_the_first(gate: str) -> None:
    dx, dy = xg.deriv(np.ones(2), np.ones(2), np.ones(2), gate)
    assert dx.tolist() == [1, 1]
    assert dy.tolist() == [0, 0]


def test_powers_at_zero(device: str) -> None:
    assert xg.grad(lambda x: x**0)(0.0).item() == 0
    assert xg.grad(lambda x: x**1)(0.0).item() == 1
    assert xg.grad(lambda x: x**2)(0.0).item() == 0
    assert xg.grad(lambda y: xg.asarray(0.0) ** y)(2.0).item() == 0
    assert xg.grad(lambda x: xg.sum(x ** xg.asarray([0.0, 1.0, 2.0])))(xg.zeros(3)).numpy().tolist() == [
        0,
        1,
        0,
    ]


def test_sums_of_exponentials_do_not_overflow(device: str) -> None:
    x = xg.asarray([1000.0, 0.0, -1000.0])
    assert xg.logsumexp(x).item() == 1000
    assert xg.grad(xg.logsumexp)(x).numpy().tolist() == [1, 0, 0]
    assert xg.softmax(x).numpy().tolist() == [1, 0, 0]
    assert xg.sigmoid(x).numpy().tolist() == [1, 0.5, 0]
    with np.errstate(invalid="ignore"):
        g = xg.grad(xg.logsumexp)(xg.asarray([float("inf"), 0.0, -1e300, -float("inf")])).numpy()
    assert np.isnan(g[0])
    assert g[1:].tolist() == [0, 0, 0]
    low = xg.asarray([-float("inf"), -float("inf")])
    assert xg.logsumexp(low).item() == -float("inf")
    assert xg.grad(xg.logsumexp)(low).numpy().tolist() == [0, 0]


def test_a_gradient_is_not_computed_for_a_constant() -> None:
    calls = []
    name = "counted product"
    product = xg.register_op(
        name,
        lambda xp, x, y: x * y,
        dx=lambda dz, y: calls.append("dx") or dz * y,
        dy=lambda dz, x: calls.append("dy") or dz * x,
    )
    try:
        x = xg.tensor(2.0, requires_grad=True)
        product(x, 3.0).backward()
        assert calls == ["dx"]
    finally:
        xg.unregister_op(name)


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("einsum", lambda x: xg.einsum("ij,jk->ik", x, np.ones((3, 3)))),
        ("where", lambda x: xg.where(np.eye(3) > 0, x, np.ones((3, 3)))),
    ],
)
def test_nor_by_the_rule_of_many_operands(name: str, f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    xp, calls = xg.backends.find_device("cpu").xp, []
    whole = getattr(xp, name)
    monkeypatch.setattr(xp, name, lambda *args: calls.append(name) or whole(*args))
    x = xg.tensor(np.ones((3, 3)), requires_grad=True)
    xg.sum(f(x)).backward()
    assert len(calls) == 2  # forward, and backward for x alone
