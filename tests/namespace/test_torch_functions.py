"""Values of functions and their first and second gradients, compared with torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xgrad as xg
from tests.helpers.calls import FLAT
from tests.helpers.torch_calls import TABLE, th, torch
from xgrad.namespace.table import FUNCTIONS

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:Casting complex values to real")]


def several(z: Any) -> list[Any]:
    return list(z) if isinstance(z, tuple | list) else [z]


def same(ours: Any, theirs: Any) -> None:
    for a, b in zip(ours, theirs, strict=True):
        a, b = a.numpy(), b.numpy(force=True)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9 * max(1, np.max(abs(b), initial=0)))


def agree(f: Callable[..., Any], arrays: tuple[np.ndarray, ...]) -> None:
    """Check values, gradients for a random dz, and second derivatives against torch.

    The second derivatives are of the gradients along a random direction, with respect to dz as well.
    """
    rng = np.random.default_rng(0)

    def like(x: Any) -> np.ndarray:
        return np.asarray(
            rng.normal(size=x.shape) + (1j * rng.normal(size=x.shape) if x.dtype.kind == "c" else 0)
        )

    def leaves(values: Any) -> list[Any]:
        return [torch.tensor(v.copy(), requires_grad=True) for v in values]

    def ours(*xs: Any) -> list[Any]:
        return several(f(xg, *xs))

    xs = leaves(arrays)
    theirs = several(f(th, *xs))
    z, _ = xg.vjp(ours, *arrays)
    same(z, theirs)
    dz = [like(part) for part in z]
    dzs = leaves(dz)
    dx, pull = xg.vjp(lambda dz, *xs: xg.vjp(ours, *xs)[1](dz), dz, *arrays)
    dxs = torch.autograd.grad(theirs, xs, dzs, create_graph=True, materialize_grads=True)
    same(dx, dxs)
    u = tuple(map(like, dx))
    ddz, *ddx = pull(u)
    moving = [i for i, g in enumerate(dxs) if g.requires_grad]
    every = [*dzs, *xs]
    second = torch.autograd.grad(
        [dxs[i] for i in moving], every, [torch.tensor(u[i]) for i in moving], materialize_grads=True
    )
    same([*ddz, *ddx], second)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
@settings(max_examples=20)
@given(data=st.data())
def test_function(name: str, data: st.DataObject) -> None:
    case = TABLE[name]
    arrays, places, params = data.draw(case.arguments)

    def f(xp: Any, *xs: Any) -> Any:
        return case.f(xp, *xs, *(xp.asarray(p) if isinstance(p, np.ndarray) else p for p in places), **params)

    agree(f, arrays)


def test_none_is_left_out() -> None:
    compared = {FUNCTIONS.get(name.split()[0]) for name in TABLE}
    # torch's function has no derivative
    assert [name for name, f in FUNCTIONS.items() if f not in compared and name not in FLAT] == [
        "unique_values"
    ]
