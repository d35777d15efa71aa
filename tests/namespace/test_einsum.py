"""Einstein summation on every backend, compared with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from xgrad.backends.summation import path

LENGTHS = {"a": 2, "b": 3, "c": 4, "d": 1, "e": 0}


@st.composite
def sums(draw: st.DrawFn, letters: str = "abcde") -> tuple[str, list[np.ndarray]]:
    """Draw subscripts, with or without an output, and operands; axes of length 1 may broadcast."""
    inputs = draw(st.lists(st.text(letters, max_size=3), min_size=1, max_size=5))
    if sum(map(len, inputs)) > 9:
        inputs = inputs[:2]
    used = sorted(set("".join(inputs)))
    subscripts = ",".join(inputs)
    if draw(st.booleans()):
        kept = draw(st.lists(st.sampled_from(used), unique=True)) if used else []
        subscripts += "->" + "".join(kept)
    seed = np.random.default_rng(draw(st.integers(0, 9)))
    return subscripts, [seed.normal(size=[LENGTHS[c] for c in subscript]) for subscript in inputs]


@given(sums(), st.sampled_from(["cpu", "strict:1"]))
def test_values_are_numpys(case: tuple[str, list[np.ndarray]], device: str) -> None:
    subscripts, arrays = case
    with xg.device(device):
        z = xg.einsum(subscripts, *map(xg.asarray, arrays))
    expected = np.einsum(subscripts, *arrays)
    assert z.shape == expected.shape
    np.testing.assert_allclose(z.numpy(), expected, atol=1e-12)


@pytest.mark.slow
@given(sums("abd"), st.sampled_from(["cpu", "strict:1"]))
def test_gradients_are_right(case: tuple[str, list[np.ndarray]], device: str) -> None:
    subscripts, arrays = case
    with xg.device(device):
        xg.check_grads(lambda *x: xg.einsum(subscripts, *x), [xg.asarray(a) for a in arrays], order=2)


@pytest.mark.slow
@given(sums("abc"))
def test_gradients_of_complex_numbers_are_right(case: tuple[str, list[np.ndarray]]) -> None:
    subscripts, arrays = case
    xg.check_grads(
        lambda *x: xg.einsum(subscripts, *x),
        [xg.asarray(a + 1j * a[::-1] if a.ndim else a * 1j) for a in arrays],
    )


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("...", [(2, 3)]),
        ("...i->...", [(2, 3)]),
        ("i...->...", [(2, 3)]),
        ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]),
        ("...,...", [(2, 1), (3,)]),
        ("ij...,jk...->ik...", [(2, 3, 4), (3, 2, 1)]),
        ("i...i->...", [(3, 2, 3)]),
        (" i j , j -> i ", [(2, 3), (3,)]),
        ("aA,Ab->ba", [(2, 3), (3, 4)]),
        ("ij,kj", [(2, 3), (4, 1)]),
        (",->", [(), ()]),
        ("b...,b->b...", [(2, 3, 4), (2,)]),
        ("iijj->ij", [(2, 2, 3, 3)]),
        ("iii->i", [(3, 3, 3)]),
        ("abc,abd,cd->", [(2, 3, 4), (2, 3, 2), (4, 2)]),
    ],
)
def test_every_form(subscripts: str, shapes: list[Any], device: str) -> None:
    arrays = [np.random.default_rng(i).normal(size=shape) for i, shape in enumerate(shapes)]
    z = xg.einsum(subscripts, *map(xg.asarray, arrays))
    np.testing.assert_allclose(z.numpy(), np.einsum(subscripts, *arrays), atol=1e-12)
    assert z.shape == np.einsum(subscripts, *arrays).shape
    xg.check_grads(lambda *x: xg.einsum(subscripts, *x), [xg.asarray(a) for a in arrays], order=2)


#: Sums large enough for the order of products to matter: plain, with a diagonal, a 0-d operand, axes of
#: length 1 and 0, and no summation.
LARGE = [
    ("ab,bc,cd,d->a", [(30, 20), (20, 30), (30, 20), (20,)]),
    ("aab,bc,,cd->ad", [(9, 9, 8), (8, 9), (), (9, 20)]),
    ("ab,bc,ac,bd->cd", [(12, 1), (12, 12), (1, 12), (12, 13)]),
    ("ab,bc,cd->ad", [(40, 0), (0, 40), (40, 10)]),
    ("abc,ab,bc,ca->abc", [(25, 24, 23), (25, 24), (24, 23), (23, 25)]),
    ("ij,jk,kl,lm,mn,nl->i", [(6, 5), (5, 6), (6, 5), (5, 6), (6, 5), (5, 5)]),
]


@pytest.mark.parametrize(("subscripts", "shapes"), LARGE)
def test_products_in_any_order(subscripts: str, shapes: list[tuple[int, ...]], device: str) -> None:
    arrays = [np.random.default_rng(i).normal(size=shape) for i, shape in enumerate(shapes)]
    expected = np.einsum(subscripts, *arrays)
    np.testing.assert_allclose(xg.einsum(subscripts, *map(xg.asarray, arrays)).numpy(), expected, atol=1e-10)
    found = xg.grad(lambda *x: xg.sum(xg.einsum(subscripts, *x)), argnums=tuple(range(len(arrays))))(
        *map(xg.asarray, arrays)
    )
    for i, g in enumerate(found):  # the sum is linear in each operand
        move = np.random.default_rng(9).normal(size=shapes[i])
        moved = np.einsum(subscripts, *arrays[:i], move, *arrays[i + 1 :]).sum()
        np.testing.assert_allclose((g.numpy() * move).sum(), moved, atol=1e-8)


def test_the_cheapest_order_is_found_once(device: str) -> None:
    subscripts, shapes = "ab,bc,cd,de,e->a", [(50, 51), (51, 52), (52, 53), (53, 54), (54,)]
    assert path(subscripts, tuple(shapes))[0] == (3, 4)
    operands = [xg.ones(shape) for shape in shapes]
    for f in (
        xg.einsum,
        lambda subscripts, *x: xg.grad(lambda y: xg.sum(xg.einsum(subscripts, y, *x[1:])))(x[0]),
    ):
        f(subscripts, *operands)
        before = path.cache_info().misses
        f(subscripts, *operands)
        assert path.cache_info().misses == before


def test_lists_of_indices(device: str) -> None:
    x, y = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    a, b = xg.asarray(x), xg.asarray(y)
    for lists in (([0, 1], [1, 2], [2, 0]), ([0, 1], [1, 2]), ([..., 1], [1, 2], [2, ...])):
        ours = [v for pair in zip((a, b), lists, strict=False) for v in pair] + list(lists[2:])
        theirs = [v for pair in zip((x, y), lists, strict=False) for v in pair] + list(lists[2:])
        np.testing.assert_allclose(xg.einsum(*ours).numpy(), np.einsum(*theirs))
        np.testing.assert_allclose(np.einsum(*ours).numpy(), np.einsum(*theirs))


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk", [(2, 3), (2, 3)]),
        ("ij", [(2,)]),
        ("i", [(2, 3)]),
        ("ij->k", [(2, 3)]),
        ("ij->ii", [(2, 3)]),
        ("ij,j", [(2, 3)]),
        ("i!", [(2, 3)]),
        ("ii", [(2, 3)]),
    ],
)
def test_what_does_not_fit(subscripts: str, shapes: list[Any]) -> None:
    with pytest.raises(xg.ShapeError, match="einsum"):
        xg.einsum(subscripts, *map(xg.ones, shapes))


def test_by_hand() -> None:
    x, y = np.ones((2, 3)), np.arange(12.0).reshape(3, 4)
    dx, dy = xg.deriv(np.ones((2, 4)), (x, y), None, "einsum", subscripts="ij,jk->ik")
    np.testing.assert_allclose(dx, np.ones((2, 4)) @ y.T)
    np.testing.assert_allclose(dy, x.T @ np.ones((2, 4)))


def test_in_a_program() -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    f = xg.compile(xg.grad(lambda x, y: xg.einsum("ij,jk->", x, y * y)))
    np.testing.assert_allclose(
        f(xg.asarray(a), xg.asarray(b)).numpy(), np.broadcast_to((b * b).sum(1), (2, 3))
    )


@pytest.mark.parametrize(
    "subscripts",
    """ij,jk->ik bij,bjk->bik bhij,bhjk->bhik i,i-> i,j->ij ij->ji ij-> ijk->ki bhd,bhe->bhde bhde,bhd->bhe
    ab,bc,cd->ad ijk,ij->k i,ij,j-> abc,cd,be->ade ij,ij->ij bi,ijk,bj->bk ij,kl->ijkl ab,ab->""".split(),
)
def test_compiled_it_is_products_alone(subscripts: str) -> None:
    lengths = dict(zip("abcdefghijkl", [2, 3, 4, 5, 2, 3, 4, 2, 3, 4, 5, 2]))
    rng = np.random.default_rng(0)
    x = [rng.normal(size=[lengths[i] for i in s]) for s in subscripts.split("->")[0].split(",")]
    f = xg.compile(lambda *x: xg.einsum(subscripts, *x))
    np.testing.assert_allclose(f(*x).numpy(), np.einsum(subscripts, *x), rtol=1e-12, atol=1e-13)
    slope = xg.grad(lambda *x: xg.sum(xg.sin(xg.einsum(subscripts, *x))), argnums=tuple(range(len(x))))
    compiled = xg.compile(slope)
    for found, expected in zip(compiled(*x), slope(*x), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-11, atol=1e-13)
    assert "calls of" not in compiled.explain(*x)


def test_compiled_with_axes_of_length_1_and_0() -> None:
    x, y = np.arange(3.0).reshape(1, 3), np.arange(12.0).reshape(4, 3)
    for subscripts in ("ij,ij->ij", "ij,ij->i", "ij,ij->"):
        f = xg.compile(lambda x, y, s=subscripts: xg.einsum(s, x, y))
        np.testing.assert_array_equal(f(x, y).numpy(), np.einsum(subscripts, x, y))
        np.testing.assert_array_equal(f(y, x).numpy(), np.einsum(subscripts, y, x))
    nothing = np.zeros((0, 3))
    assert xg.compile(lambda x, y: xg.einsum("ij,kj->ik", x, y))(nothing, y).shape == (0, 4)
    assert xg.compile(lambda x: xg.einsum("ij->j", x))(nothing).tolist() == [0, 0, 0]


def test_compiled_the_diagonal_is_numpys() -> None:
    x = np.arange(9.0).reshape(3, 3)
    assert xg.compile(lambda x: xg.einsum("ii->i", x) * 2)(x).tolist() == [0, 8, 16]
