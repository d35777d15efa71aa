"""`check_grads` of every op of the table: on every backend, to second order, for every kind of shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from tests.helpers.gradient_cases import elementwise, fft, linalg, manipulation, sorting, statistics
from tests.helpers.gradient_cases.ops import CASES, normal, placed, positive
from tests.helpers.numpy_calls import SMOOTH
from xgrad.ops import OPS

TESTED = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]


def test_every_differentiable_op_of_the_table_has_a_case() -> None:
    """The case is here, or in the tests of the op's family."""
    families = (fft, linalg, manipulation, sorting, statistics)
    elsewhere = {
        "einsum",
        *(OPS[name].name for name in elementwise.SMOOTH),
        *(name for family in families for name in family.GRADIENT_CASES),
        *("cbrt", "slide"),  # tested through these calls of NumPy's functions
        *("normal_cdf", "normal_quantile"),  # tested with random numbers
    }
    assert {"cbrt", "convolve", "correlate"} <= set(SMOOTH)
    # other tests may have registered more ops
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
